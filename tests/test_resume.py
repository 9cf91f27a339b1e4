"""Runs that are killed, interrupted or fail, and go on to the very bytes of a run that was let be."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest

import prime_fast as pf
from prime_fast.locking import LOCK, lock_directory, locked_directory
from prime_fast.logs import generate, read_log, write_table
from prime_fast.run_directory import CHECKPOINT, MANIFEST, RECORDS, environment
from prime_fast.surrogate import checkpoint, settings

Run = Callable[..., tuple[int, str, str]]

FILES = (
    "proposals.parquet", "proposals.csv", "surrogate.safetensors", RECORDS,
    "log_sample.parquet", "held_out.parquet", "search.parquet",
)  # fmt: skip
SMALL = {"width": 8, "members": 4, "steps": 90, "selection_steps": 60, "adversarial_population": 16}
# As in the fixture below, for processes of their own.
SCRIPT = f"""
import dataclasses, sys
from prime_fast.surrogate import checkpoint, settings
quick = dataclasses.replace(settings.PRESETS["quick"], **{SMALL})
settings.PRESETS = {{"quick": quick}}
checkpoint.SECONDS, checkpoint.SHARE = 0.0, 1.0
from prime_fast.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(autouse=True, scope="module")
def small_networks_and_many_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Train in a second; yield where compiled functions are kept for processes of their own."""
    quick = dataclasses.replace(settings.PRESETS["quick"], **SMALL)  # type: ignore[arg-type]
    compiled = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "PRESETS", {"quick": quick})
        patch.setattr(checkpoint, "SECONDS", 0.0)
        patch.setattr(checkpoint, "SHARE", 1.0)
        names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
        before = [getattr(jax.config, name) for name in names]
        for name, value in zip(names, (str(compiled), 0.0), strict=True):
            jax.config.update(name, value)  # type: ignore[no-untyped-call]
        yield compiled
        for name, value in zip(names, before, strict=True):
            jax.config.update(name, value)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a log."""
    path = tmp_path_factory.mktemp("runs")
    write_table(generate(pf.Simulator("MobileNetV2"), 800, seed=3), path / "log.csv")
    return path


def begin(folder: Path, name: str, **options: Any) -> pf.OptimizeResult:
    return pf.optimize(
        "MobileNetV2", logs=folder / "log.csv", budget="quick", proposals=4, out=folder / name, **options
    )


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    """A run that nobody disturbed."""
    begin(folder, "whole")
    return folder / "whole"


@pytest.fixture(scope="module")
def interrupted(folder: Path, whole: Path) -> Path:  # noqa: ARG001 (functions are compiled then)
    """One that was ended by Ctrl-C, half way through its training."""

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "training" and done > 0.5 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin(folder, "interrupted", progress=stop)
    return folder / "interrupted"


@pytest.fixture(scope="module")
def failed(folder: Path) -> Path:
    """One without training that failed at its end."""
    begin(folder, "failed", method="random")
    change(folder / "failed", status="failed", result=None)
    return folder / "failed"


def manifest_of(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / MANIFEST).read_text())
    return content


def change(path: Path, **fields: Any) -> None:
    manifest = manifest_of(path) | fields
    kept = {name: value for name, value in manifest.items() if value is not None}
    (path / MANIFEST).write_text(json.dumps(kept))


def assert_same(path: Path, whole: Path) -> None:
    for name in FILES:
        assert (path / name).read_bytes() == (whole / name).read_bytes(), name
    results = [manifest_of(one)["result"] for one in (path, whole)]
    assert results[0].keys() == results[1].keys()
    for name in results[0].keys() - {"seconds", "out"}:
        assert results[0][name] == results[1][name]
    assert manifest_of(path)["status"] == "complete"
    assert {entry.name for entry in path.iterdir()} == {entry.name for entry in whole.iterdir()}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_a_run_killed_several_times_ends_with_the_same_bytes(
    folder: Path, whole: Path, small_networks_and_many_checkpoints: Path
) -> None:
    out = folder / "killed"

    def phase() -> str:
        content = (out / CHECKPOINT).read_bytes() if (out / CHECKPOINT).exists() else b"\0" * 8
        return content[8 : 8 + int.from_bytes(content[:8], "little")].decode()

    moments: list[Callable[[], bool]] = [
        lambda: (out / MANIFEST).exists(),
        lambda: 'phase\\": \\"selection' in phase(),
        lambda: 'phase\\": \\"fit' in phase(),
    ]
    begun = ["--app", "MobileNetV2", "--logs", str(folder / "log.csv"), "--budget", "quick"]
    arguments = [*begun, "--proposals", "4", "--out", str(out)]
    for moment in moments:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", SCRIPT, "optimize", *arguments],
            env=os.environ
            | {
                "JAX_COMPILATION_CACHE_DIR": str(small_networks_and_many_checkpoints),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while process.poll() is None and not moment():
            time.sleep(0.002)
        process.kill()
        printed, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, printed
        assert manifest_of(out)["status"] == "running"
        arguments = ["--resume", str(out)]
    pf.resume(out)
    assert len(manifest_of(out)["resumed"]) >= 2
    assert_same(out, whole)


def test_ctrl_c_keeps_what_was_trained(interrupted: Path, whole: Path, tmp_path: Path) -> None:
    assert manifest_of(interrupted)["status"] == "interrupted"
    records = (interrupted / RECORDS).read_bytes()
    assert records
    assert (whole / RECORDS).read_bytes().startswith(records)
    out = tmp_path / "run"
    shutil.copytree(interrupted, out)
    steps: list[int] = []
    result = pf.resume(
        out, progress=lambda stage, done, _: steps.append(done) if stage == "training" else None
    )
    # It does not begin anew.
    assert min(steps) > 0.4 * max(steps)
    assert result.out == out
    assert_same(out, whole)


# The manifest, the logs in it, a checkpoint, the last manifest.
@pytest.mark.parametrize("place", [1, 2, 4, 10])
def test_a_full_disk_loses_nothing(
    whole: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    sync, count = os.fsync, 0

    def full(file: int) -> None:
        nonlocal count
        count += 1
        if count >= place:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    out = tmp_path / "run"
    # One at the end of each phase alone.
    monkeypatch.setattr(checkpoint, "SECONDS", 1e9)
    monkeypatch.setattr(os, "fsync", full)
    options: Any = {"logs": folder / "log.csv", "budget": "quick", "proposals": 4, "out": out}
    with pytest.raises(pf.ConfigurationError, match=r"can't write .*: No space left on device"):
        pf.optimize("MobileNetV2", **options)
    monkeypatch.setattr(os, "fsync", sync)
    if place == 1:
        # There is no run yet, and the directory can be used.
        pf.optimize("MobileNetV2", **options)
    else:
        assert manifest_of(out)["status"] == "running"
        pf.resume(out)
    assert_same(out, whole)


@pytest.mark.parametrize("name", ["table.parquet", "table.csv"])
def test_tables_that_dont_fit_are_not_there(name: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="the system has no limit on the size of files")
    frame = pl.DataFrame({"latency_us": np.random.default_rng(0).random(20_000)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(pf.ConfigurationError, match=r"can't write .*table.*: File too large"):
            write_table(frame, tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_complete_run_tells_its_result(whole: Path, run: Run) -> None:
    before = {entry.name: entry.read_bytes() for entry in whole.iterdir()}
    code, out, err = run("optimize", "--resume", whole, "--no-report")
    assert code == 0, err
    assert "complete" in err
    assert "Best of 4 proposals" in out
    code, out, err = run("optimize", "--resume", whole, "--no-report", "--json")
    assert json.loads(out) == {"schema": "prime-fast/optimize/1", **manifest_of(whole)["result"]}
    assert {entry.name: entry.read_bytes() for entry in whole.iterdir()} == before


def test_damaged_checkpoints_are_not_passed_over(interrupted: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(interrupted, out)
    file, content = out / CHECKPOINT, (interrupted / CHECKPOINT).read_bytes()
    flipped = content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]
    text = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["prime_fast"]
    step = content.replace(b'step\\": ', b'step\\":1', 1)
    assert step != content, text
    for damaged in (content[:-1], content[:1000], b"", b"{}" * 50, flipped, step):
        file.write_bytes(damaged)
        with pytest.raises(pf.DataError, match=r"checkpoint.safetensors is damaged: .*; delete it"):
            pf.resume(out)
        assert manifest_of(out)["status"] == "failed"
    file.write_bytes(content)
    (out / RECORDS).write_bytes((out / RECORDS).read_bytes()[:-300])
    with pytest.raises(pf.DataError, match=r"training.jsonl is damaged: it has \d+ bytes, \d+ were written"):
        pf.resume(out)
    file.unlink()
    pf.resume(out)
    assert_same(out, whole)


def test_checkpoints_of_another_training_are_refused(interrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(interrupted, out)
    change(out, seed=5)
    with pytest.raises(pf.DataError, match="is of a training with other data, settings or seed"):
        pf.resume(out)


def test_the_log_must_be_what_it_was(failed: Path, folder: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "run", tmp_path / "log.csv"
    shutil.copytree(failed, out)
    shutil.copy(folder / "log.csv", log)
    logs = manifest_of(out)["logs"]
    logs[0]["sources"][0]["path"] = str(log)
    change(out, logs=logs)
    before = (out / MANIFEST).read_bytes()
    log.write_text(log.read_text().replace("\n", "\n\n", 1))
    with pytest.raises(pf.DataError, match=r"the log .*log\.csv has changed since the run"):
        pf.resume(out)
    log.unlink()
    with pytest.raises(pf.DataError, match=r"the log .*log\.csv is not there"):
        pf.resume(out)
    assert (out / MANIFEST).read_bytes() == before
    # The log itself will do in place of its file.
    assert pf.resume(out, logs=read_log(folder / "log.csv", pf.DesignSpace.bundled())).proposals.height == 4


def test_relative_logs_are_found_from_elsewhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    first = pf.optimize(logs="*.csv", method="random", out="relative")
    monkeypatch.chdir(tmp_path)
    for lost in ({"result": None}, {"result": None, "logs": None}):
        change(folder / "relative", status="running", **lost)
        assert pf.resume(folder / "relative").proposals.equals(first.proposals)


def test_what_differs_from_the_first_machine_is_told(failed: Path, tmp_path: Path, run: Run) -> None:
    told = environment()
    assert told["processor_features"]
    out = tmp_path / "run"
    shutil.copytree(failed, out)
    other = told | {"processor": "Z80", "processor_features": ["Z80"]}
    change(out, environment=other | {"packages": told["packages"] | {"jax": "0.1"}})
    code, _, err = run("optimize", "--resume", out)
    assert code == 0, err
    assert f"jax {told['packages']['jax']}, not 0.1" in err
    assert "not Z80" in err
    assert "other processor features" in err
    assert "may differ in the last digits" in manifest_of(out)["result"]["warnings"][-1]


def test_two_processes_in_one_directory(failed: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "run"
    shutil.copytree(failed, out)
    hold = (
        "import sys, time, pathlib; from prime_fast.locking import lock_directory\n"
        "lock = lock_directory(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", hold, str(out)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    code, _, err = run("optimize", "--resume", out)
    assert code == 2
    assert "another process is at work in this directory" in " ".join(err.split())
    assert manifest_of(out)["status"] == "failed"
    # The system takes the lock from whom it kills.
    holder.kill()
    holder.communicate()
    assert run("optimize", "--resume", out, "--quiet")[0] == 0
    empty = tmp_path / "empty"
    empty.mkdir()
    with locked_directory(empty):
        code, _, err = run("optimize", "--method", "random", "--budget", "quick", "--out", empty)
    assert code == 2
    assert "another process" in err


def a_benchmark(path: Path) -> None:
    (path / MANIFEST).write_text('{"kind": "prime-fast benchmark paper", "format": 1}')


def a_refinement(path: Path) -> None:
    (path / MANIFEST).unlink()
    (path / "refine.json").write_text("{}")


MISTAKES: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "no directory": (shutil.rmtree, 2, "no such directory; name the directory of a run"),
    "no manifest": (lambda path: (path / MANIFEST).unlink(), 2, "no manifest.json in it"),
    "a benchmark": (a_benchmark, 2, "is the directory of `prime-fast benchmark paper`"),
    "a refinement": (a_refinement, 2, "it is that of `prime-fast refine`"),
    "another format": (lambda path: change(path, format=99), 3, "its format is 99; this version reads 1"),
    "no JSON": (lambda path: (path / MANIFEST).write_text("{"), 3, "manifest.json is damaged"),
    "a list": (lambda path: (path / MANIFEST).write_text("[]"), 3, "its format is None"),
    "no seed": (lambda path: change(path, seed=None), 3, "it lacks 'seed'"),
    "a bad seed": (lambda path: change(path, seed="x"), 3, "manifest.json is damaged: invalid literal"),
    "a bad space": (lambda path: change(path, space="x = "), 3, "manifest.json is damaged: the space in"),
    "no environment": (lambda path: change(path, environment=None), 3, "it lacks `environment`"),
    "other settings": (
        lambda path: change(path, search={"method": "firefly"}), 2, "settings of the search were others"
    ),
    "no such method": (lambda path: change(path, method="magic"), 3, "unknown method `magic`"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_directories_that_cant_be_resumed(case: str, failed: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "run"
    shutil.copytree(failed, out)
    spoil, expected, message = MISTAKES[case]
    spoil(out)
    before = (out / MANIFEST).read_bytes() if (out / MANIFEST).exists() else b""
    code, _, err = run("optimize", "--resume", out)
    assert code == expected, err
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert before == ((out / MANIFEST).read_bytes() if before else b"")


def test_options_that_a_run_has_of_its_own(failed: Path, run: Run) -> None:
    for option in (("--seed", 3), ("--app", "M5"), ("--budget", "quick"), ("--out", "x"), ("--logs", "x")):
        code, _, err = run("optimize", "--resume", failed, *option)
        assert code == 2
        assert f"{option[0]} can't be given with --resume" in " ".join(err.split())


def test_bad_inputs_leave_no_directory(folder: Path, tmp_path: Path, run: Run) -> None:
    code, _, err = run(
        "optimize", "--method", "random", "--budget", "quick", "--logs", "none.csv", "--out", "new"
    )
    assert (code, "no such file" in err) == (2, True)
    given = ("--method", "random", "--budget", "quick", "--logs", folder / "log.csv", "--limit", "warmth=3")
    code, _, err = run("optimize", *given, "--out", "new")
    assert (code, "unknown limit" in err) == (2, True)
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    code, _, err = run("optimize", "--method", "random", "--budget", "quick", "--out", "mine")
    assert (code, "holds thesis.tex already" in err) == (2, True)
    assert [entry.name for entry in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_directories_that_cant_be_written(failed: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").touch()
    code, _, err = run("optimize", "--budget", "quick", "--out", tmp_path / "file" / "run")
    assert code == 2
    assert "can't be used as output directory: Not a directory" in " ".join(err.split())
    out = tmp_path / "run"
    shutil.copytree(failed, out)
    (out / LOCK).unlink()
    (out / LOCK).mkdir()
    code, _, err = run("optimize", "--resume", out)
    assert code == 2
    assert "can't be written: Is a directory" in " ".join(err.split())


def test_the_lock_of_a_directory_can_be_taken_again(tmp_path: Path) -> None:
    first = lock_directory(tmp_path)
    with pytest.raises(pf.ConfigurationError, match="another process"):
        lock_directory(tmp_path)
    first.release()
    lock_directory(tmp_path).release()


def test_tables_hold_what_was_found(whole: Path) -> None:
    result = pf.resume(whole)
    assert result.proposals.equals(pl.read_parquet(whole / "proposals.parquet"))
    assert result.as_dict() == manifest_of(whole)["result"]
