"""The exit codes of the README, through the installed script; Ctrl-C is tested with what takes long."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import prime_fast as pf

SCRIPT = Path(sys.executable).with_name("prime-fast")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "bad.csv").write_text("a,b\n")
    (tmp_path / "bad.toml").write_text("hello")
    (tmp_path / "run").mkdir()
    # The first two values of each parameter: no design is feasible.
    text = pf.DesignSpace.bundled().to_toml()
    text = re.sub(r"^(values = \[[^,]+,[^],]+),.*\]", r"\g<1>]", text, flags=re.MULTILINE)
    (tmp_path / "small.toml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("--version", 0),
        ("solve --app M4 --limit area_mm2=29", 0),
        ("simulate --app U-Net --design edge-tpu-v1,pe_memory=4096", 0),  # infeasible, and it says why
        ("logs generate --app M4 --designs 50 --out log.csv", 0),
        ("space inspect --samples 100", 0),
        ("workload show M4", 0),
        ("benchmark trade --app M4", 0),
        ("--config nowhere.toml solve --app M4", 2),
        ("optimize --bugdet quick", 2),
        ("explain run", 2),
        ("refine run --quries 9", 2),
        ("simulate", 2),
        ("solve", 2),
        ("sweep --app bad.toml", 2),
        ("logs inspect", 2),
        ("space inspect bad.toml", 2),
        ("workload show bad.toml", 2),
        ("benchmark trade --app nothing", 2),
        ("doctor --selftest", 2),
        ("optimize --logs bad.csv", 3),
        ("simulate --designs bad.csv", 3),
        ("logs inspect bad.csv", 3),
        ("logs convert bad.csv --out log.parquet", 3),
        ("space infer bad.csv --out space.toml", 3),
        ("workload import bad.csv --out network.toml", 3),
        ("benchmark nvdla --configurations bad.csv", 3),
        ("optimize --limit area_mm2=0.01", 4),
        ("solve --app M4 --limit area_mm2=0.01", 4),
        ("sweep --app U-Net --space small.toml --front none --histograms none", 4),
    ],
)
def test_code(directory: Path, command: str, code: int) -> None:
    done = subprocess.run(  # noqa: S603
        [SCRIPT, *command.split()],
        cwd=directory,
        env=os.environ | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code == 0:
        assert done.stderr == ""
    else:
        *_, last = done.stderr.splitlines()
        assert last.startswith("Error: ")
    if code in (2, 3):
        assert done.stdout == ""
    written = {path.name for path in directory.iterdir()} - {"bad.csv", "bad.toml", "run", "small.toml"}
    assert written <= {0: {"log.csv"}, 4: {"prime-fast-runs"}}.get(code, set())


@pytest.mark.skipif(os.name == "nt", reason="signals are delivered differently on Windows")
def test_ctrl_c_in_a_self_test() -> None:
    process = subprocess.Popen(  # noqa: S603
        [SCRIPT, "doctor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        # The tests before the training are done.
        assert any(line.startswith("ok       search ") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)  # a compilation is not cut short
    finally:
        process.kill()
    assert (process.returncode, errors.strip()) == (130, "Interrupted.")


def test_doctor_in_a_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = 'cd gone; rmdir "$PWD"; exec "$0" doctor --no-self-test'
    done = subprocess.run(  # noqa: S603
        ["bash", "-c", shell, SCRIPT],  # noqa: S607
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert line.split()[1] == "directory"
    assert "Something FAILED" in done.stdout
