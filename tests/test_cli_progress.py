"""Progress on a terminal, elsewhere, and with --quiet; tables that fit the terminal."""

from __future__ import annotations

import io
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

import prime_fast as pf
from prime_fast.cli import progress
from prime_fast.cli.tables import print_result
from prime_fast.logs import generate, write_table

Run = Callable[..., tuple[int, str, str]]
SCRIPT = Path(sys.executable).with_name("prime-fast")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_come_now_and_then_and_at_the_end_of_what_took_long() -> None:
    clock, told = Clock(), list[str]()
    lines = progress.Lines(told.append, every=False, clock=clock)
    for second in range(91):
        clock.now = float(second)
        lines("training", 10 * second, 1000)
    clock.now = 100.0
    lines("training", 1000, 1000)
    lines("search", 0, 40_000)
    clock.now = 101.0
    lines("search", 40_000, 40_000)
    lines.end()
    assert told == [
        "training: 300 of 1,000 (30%), 10/s, 1:10 min left",
        "training: 600 of 1,000 (60%), 10/s, 40 s left",
        "training: 900 of 1,000 (90%), 10/s, 10 s left",
        "training: 1,000 in 1:40 min",
    ]


def test_every_stage_is_told_with_verbose() -> None:
    clock, told = Clock(), list[str]()
    lines = progress.Lines(told.append, every=True, clock=clock)
    lines("training", 0, 0)
    clock.now = 40.0
    lines("training", 0, 0)
    lines("search", 3, 9)
    lines.end()
    lines.end()
    assert told == ["training: 0 of 0", "training: 0 in 40 s", "search: 3 of 9 in 0 s"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123, "0.012/s"),
        (9.9, "9.9/s"),
        (43.2, "43/s"),
        (12_345, "12.3k/s"),
        (2.5e6, "2.5M/s"),
        (7e9, "7G/s"),
    ],
)
def test_rates(value: float, text: str) -> None:
    assert progress.rate(value) == text


@pytest.mark.parametrize(("value", "text"), [(3.2, "3 s"), (61, "1:01 min"), (8000, "2:13 h")])
def test_durations(value: float, text: str) -> None:
    assert progress.duration(value) == text


@pytest.fixture(scope="module")
def designs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("designs") / "designs.parquet"
    space = pf.DesignSpace.bundled()
    write_table(space.frame(space.sample(2_000, seed=0)), path)
    return path


def on_terminal(*args: object, **variables: str) -> tuple[int, str, str]:
    """Run the installed script with stderr on a terminal; return exit code, stdout and stderr."""
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80"} | variables
    process = subprocess.Popen(  # noqa: S603
        [SCRIPT, *map(str, args)], stdout=subprocess.PIPE, stderr=theirs, env=environment, text=True
    )
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        try:
            chunk = os.read(ours, 65_536)
        except OSError:  # its end is closed
            break
        if not chunk:
            break
        seen += chunk
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    return process.returncode, out, seen.decode()


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
def test_bars_with_rate_on_a_terminal(designs: Path) -> None:
    command = ("simulate", "--app", "M4", "--designs", designs)
    code, out, err = on_terminal(*command)
    assert code == 0
    assert "M4: 2,000 designs" in out
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert re.search(r"designs \S+ 2000/2000 \S+/s", plain), err
    assert "\x1b[3" in err
    assert "\x1b" not in out
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-9]")
    assert coloured.search(err)
    code, _, err = on_terminal(*command, NO_COLOR="1")
    assert (code, coloured.search(err)) == (0, None)
    assert on_terminal(*command, "--quiet") == (0, "", "")


def test_no_bars_in_a_pipe(designs: Path) -> None:
    def err(*more: str) -> str:
        done = subprocess.run(  # noqa: S603
            [SCRIPT, "simulate", "--app", "M4", "--designs", designs, *more],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"COLUMNS": "80"},
        )
        return done.stderr

    assert "\x1b" not in err()
    assert "designs: 2,000 in 0 s\n" in err("--verbose")


def test_colours_only_where_they_are_wanted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("simulate", "--app", "M4", "--design", "edge-tpu-v1")
    assert "\x1b" not in run(*command)[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" in run(*command)[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", run(*command)[1])


@pytest.fixture(scope="module")
def nine(tmp_path_factory: pytest.TempPathFactory) -> pf.OptimizeResult:
    """Proposals for the nine applications, each with a best logged design to stand beside them."""
    names = pf.prime_application_names()
    path = tmp_path_factory.mktemp("nine") / "log.parquet"
    logs = [
        generate(pf.Simulator(name), 600, seed=4).with_columns(application=pl.lit(name)) for name in names
    ]
    write_table(pl.concat(logs), path)
    return pf.optimize(names, logs=path, method="random", proposals=6, limits={"area_mm2": 60})


@pytest.mark.parametrize("width", [60, 80, 140, 250])
def test_many_reference_designs_are_shown_in_several_tables(nine: pf.OptimizeResult, width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    print_result(nine, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    tables = text.count("pes_x ")
    assert tables == {60: 6, 80: 3, 140: 2, 250: 1}[width]
    # Each of nine best ones and the Edge TPU has a column, and no value is cut short.
    assert "…" not in text
    head = " ".join(re.findall(r"\S+", text))
    assert head.count("best logged") >= 10
    for name, row in zip(nine.references["design"], nine.references.to_dicts(), strict=True):
        assert name.split(", ")[-1].split()[0] in text
        assert str(row["parameter_memory"]) in text


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize(
    "args",
    [
        ("workload", "list"),
        ("workload", "show", "U-Net"),
        ("simulate", "--app", "U-Net", "--design", "edge-tpu-v1"),
        (
            "solve",
            "--app",
            "t-RNN Enc",
            "--app",
            "U-Net",
            "--limit",
            "area_mm2=29",
            "--limit",
            "energy_uj=9000",
        ),
        ("space", "inspect"),
        ("benchmark", "trade", "--app", "M4"),
    ],
    ids=" ".join,
)
def test_output_fits(run: Run, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, err = run(*args)
    assert code == 0, err
    assert len(out.splitlines()) > 5
    assert max(map(len, out.splitlines())) <= width


def test_sweep_shows_more_designs_on_a_wider_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = pf.DesignSpace.bundled().to_toml()
    two = r"\g<1>\g<2>]"  # the third and the fourth value
    text = re.sub(r"^(values = \[)[^,]+,[^,]+,([^,]+,[^],]+).*\]", two, text, flags=re.MULTILINE)
    (tmp_path / "few.toml").write_text(text)
    assert pf.DesignSpace.load(tmp_path / "few.toml").size == 2**10
    command = ("sweep", "--app", "M4", "--space", "few.toml", "--front", "none", "--histograms", "none")
    shown = {}
    for width in (80, 140):
        monkeypatch.setenv("COLUMNS", str(width))
        out = run(*command)[1]
        assert max(map(len, out.splitlines())) <= width
        shown[width] = out.count("#")
    assert 3 <= shown[80] < shown[140] <= 16
    out = run(*command, "--verbose")[1]
    assert out.count("#") == 16
    assert max(map(len, out.splitlines())) <= 140
