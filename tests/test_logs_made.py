"""Writing, generating and inspecting logs, and the logs that come with the package."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

import prime_fast as pf
from prime_fast.errors import ConfigurationError, DataError
from prime_fast.logs import (
    Log,
    atomic_file,
    bundled_log,
    generate,
    generating,
    inspect,
    read_log,
    render,
    write_table,
)


@pytest.fixture(scope="module")
def simulator() -> pf.Simulator:
    return pf.Simulator("MobileNetV2")


@pytest.fixture(scope="module")
def generated(simulator: pf.Simulator) -> pl.DataFrame:
    return generate(simulator, 2_000, seed=3)


@pytest.fixture(scope="module")
def log(simulator: pf.Simulator, generated: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Log:
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    write_table(pl.concat([generated, generated[:7]]), path)
    return read_log(path, simulator.space)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_table_replaces_a_file_and_leaves_nothing_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("old")
    frame = pl.DataFrame({"a": [1, 2], "b": [0.1, None]})
    write_table(frame, path)
    read = pl.read_parquet(path) if name.endswith("parquet") else pl.read_csv(path)
    assert read.equals(frame)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_file(path) as file:
        file.write(b"new" * (1 // 0))
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.txt"]


def test_unwritable_places_are_one_error(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1]})
    (tmp_path / "file").touch()
    (tmp_path / "directory.csv").mkdir()
    for path, message in [
        (tmp_path / "t.xlsx", r"t\.xlsx: its name must end in \.parquet or \.csv"),
        (tmp_path / "nowhere" / "t.csv", r"can't write .*t\.csv: No such file or directory"),
        (tmp_path / "file" / "t.csv", r"can't write .*t\.csv: Not a directory"),
        (tmp_path / "directory.csv", r"can't write .*directory\.csv: Is a directory"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            write_table(frame, path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["directory.csv", "file"]


def test_generated_log_is_what_the_simulator_says(simulator: pf.Simulator, generated: pl.DataFrame) -> None:
    figures = ["latency_us", "area_mm2", "energy_uj", "average_power_mw", "peak_power_mw"]
    assert generated.columns == [*simulator.space.names, *figures, "feasible", "reason"]
    scores = simulator.score(generated)
    assert generated["feasible"].to_list() == scores.feasible.tolist()
    assert 0 < scores.feasible.sum() < len(generated)
    for figure in figures:
        expected = getattr(scores, figure)
        np.testing.assert_array_equal(generated[figure].fill_null(np.nan).to_numpy(), expected)
    assert generated["latency_us"].is_not_null().equals(generated["feasible"])
    assert generated["reason"].is_null().equals(generated["feasible"])


def test_generated_log_depends_on_the_seed_alone(
    simulator: pf.Simulator, generated: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generating, "CHUNK", 300)
    assert generate(simulator, 2_000, seed=3).equals(generated)
    assert not generate(simulator, 2_000, seed=4).equals(generated)
    with pytest.raises(ConfigurationError, match="at least 1, not 0"):
        generate(simulator, 0)


def test_inspection_agrees_with_the_log(log: Log, generated: pl.DataFrame) -> None:
    limits = {"area_mm2": 27.0}
    seen = inspect(log, limits)
    feasible = generated.filter("feasible")
    assert (seen.rows, seen.designs, seen.feasible) == (2_007, len(log), feasible.height)
    assert seen.infeasible_share == pytest.approx(1 - feasible.height / len(log))
    assert sum(seen.reasons.values()) == len(log) - feasible.height
    assert seen.reasons == dict(generated["reason"].drop_nulls().value_counts().iter_rows())
    assert list(seen.reasons.values()) == sorted(seen.reasons.values(), reverse=True)
    assert (seen.quantiles[0.0], seen.quantiles[1.0]) == seen.ranges["latency_us"]
    assert seen.quantiles[0.5] == pytest.approx(feasible["latency_us"].median())
    assert seen.best is not None
    assert seen.best["latency_us"] == feasible["latency_us"].min()
    assert seen.best_within_limits is not None
    assert (
        seen.best_within_limits["latency_us"] == feasible.filter(pl.col("area_mm2") <= 27)["latency_us"].min()
    )
    assert [entry.reason for entry in seen.dropped] == ["duplicate of an earlier row"]
    assert inspect(log).best_within_limits is None
    assert json.loads(json.dumps(seen.as_dict()))["designs"] == len(log)


def test_inspection_names_values_never_seen(simulator: pf.Simulator, tmp_path: Path) -> None:
    frame = generate(simulator, 3_000, seed=0)
    big = pl.col("pes_x") == 32
    frame = frame.filter(pl.col("dram_bandwidth") != 5, ~big | ~pl.col("feasible"))
    write_table(frame, tmp_path / "log.csv")
    coverage = {
        entry.parameter: entry for entry in inspect(read_log(tmp_path / "log.csv", simulator.space)).coverage
    }
    assert list(coverage) == simulator.space.names
    assert (coverage["dram_bandwidth"].unseen, coverage["dram_bandwidth"].unseen_feasible) == ((5,), (5,))
    assert (coverage["pes_x"].unseen, coverage["pes_x"].unseen_feasible) == ((), (32,))


def test_inspection_prints_its_figures(log: Log) -> None:
    text = io.StringIO()
    render(inspect(log, {"area_mm2": 27.0}), Console(file=text, width=100))
    shown = text.getvalue()
    for expected in ("2,007", "area_mm2 <= 27", "die_area", "dram_bandwidth", "7 rows dropped: duplicate"):
        assert expected in shown


def test_inspection_of_a_log_without_feasible_designs(
    simulator: pf.Simulator, generated: pl.DataFrame, tmp_path: Path
) -> None:
    write_table(generated.filter(~pl.col("feasible")).drop("reason"), tmp_path / "log.csv")
    seen = inspect(read_log(tmp_path / "log.csv", simulator.space, least_feasible=0), {"area_mm2": 27.0})
    assert (seen.feasible, seen.best, seen.quantiles, seen.ranges) == (0, None, {}, {})
    assert seen.reasons == {"not stated": seen.designs}
    render(seen, Console(file=io.StringIO()))


@pytest.mark.parametrize("application", pf.prime_application_names())
def test_bundled_log_is_poor_and_up_to_date(application: str) -> None:
    simulator = pf.Simulator(application)
    log = bundled_log(application.lower())
    assert log.warnings == ()
    assert (log.feasible.sum(), (~log.feasible).sum()) == (5_000, 5_000)
    scores = simulator.score(log.ranks)
    assert log.feasible.tolist() == scores.feasible.tolist()
    assert log.frame["reason"].to_list() == scores.reasons()
    np.testing.assert_array_equal(log.values, scores.latency_us.astype(np.float32))
    limits = {"area_mm2": 29.0}
    optimum = pf.solve(application, limits=limits)
    best = log.best(limits)
    assert best is not None
    assert best["latency_us"] >= 2.0 * optimum.score


def test_bundled_logs_are_small() -> None:
    logs = list((Path(pf.__file__).parent / "data" / "logs").glob("*.parquet"))
    assert len(logs) == len(pf.prime_application_names())
    assert sum(path.stat().st_size for path in logs) < 1_250_000


def test_bundled_log_for_another_objective_or_application() -> None:
    assert bundled_log("U-Net", objective="energy_uj").metrics[0] == "energy_uj"
    with pytest.raises(ConfigurationError, match=r"unknown application .*did you mean U-Net"):
        bundled_log("UNet")
    with pytest.raises(ConfigurationError, match=r"no log of ResNet-50 comes with the package; name logs of"):
        bundled_log("resnet-50")
    with pytest.raises(DataError, match="no column 'power' for the objective"):
        bundled_log("U-Net", objective="power")
