"""bench/gemm_table.py: a training log out of a table measured whole, and the table as the judge."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gemm_table import judge, measured, prepare
from prime_fast import ConfigurationError, DesignSpace
from prime_fast.logs import Log, read_log, write_table

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "bench" / "gemm_table.py"
SPACE = ROOT / "tests" / "space_files" / "gemm.toml"
TABLE = ROOT.parent / "shared" / "data" / "kernel_tuner" / "gemm__RTX_Titan.csv.gz"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Every fourth design, one in eight of those failed; the others take 1 ms, 2 ms and so on, shuffled."""
    space = DesignSpace.load(SPACE)
    indices = np.arange(0, space.size, 4, dtype=np.uint64)
    good = np.arange(indices.size) % 8 > 0
    times = np.random.default_rng(0).permutation(indices.size) + 1.0
    frame = space.frame(space.ranks(indices)).with_columns(
        pl.when(pl.Series(good)).then(pl.lit("ok")).otherwise(pl.lit("RuntimeFailedConfig")).alias("status"),
        pl.when(pl.Series(good)).then(pl.Series(times)).alias("time_ms"),
    )
    path = tmp_path_factory.mktemp("table") / "table.csv"
    write_table(frame, path)
    return measured(path, space)


def test_training_log_is_poor_and_keeps_the_rate_of_infeasible_designs(table: Log, tmp_path: Path) -> None:
    frame = prepare(table, feasible=1_000, worst=0.6, seed=1)
    assert frame.equals(prepare(table, feasible=1_000, worst=0.6, seed=1))
    assert not frame.equals(prepare(table, feasible=1_000, worst=0.6, seed=2))
    write_table(frame, tmp_path / "log.parquet")
    log = read_log(tmp_path / "log.parquet", table.space, "time_ms")
    assert (log.dropped, log.feasible.sum()) == ((), 1_000)
    share = table.feasible.sum() / table.space.size
    assert log.feasible.mean() == pytest.approx(share, rel=1e-3)
    good = table.values[table.feasible]
    assert log.values[log.feasible].min() >= np.quantile(good, 0.4, method="higher")
    known = dict(zip(table.space.indices(table.ranks).tolist(), table.values.tolist(), strict=True))
    for index, value in zip(table.space.indices(log.ranks).tolist(), log.values.tolist(), strict=True):
        assert np.array_equal(known.get(index, np.nan), value, equal_nan=True)
    with pytest.raises(ConfigurationError, match="the worst 60% of the table are 10886 designs, not 20000"):
        prepare(table, feasible=20_000, worst=0.6, seed=1)


def test_judge_counts_what_is_infeasible(table: Log) -> None:
    good = np.flatnonzero(table.feasible)
    best, other = good[np.argsort(table.values[good])[[0, 9]]]
    absent = table.space.ranks(np.array([1, 2], dtype=np.uint64))
    ranks = np.concatenate([absent, table.ranks[[other, other, best]]])
    proposals = table.space.frame(ranks)
    optimum = table.values[best]
    assert judge(table, proposals, 2) == {
        "proposals": 2, "distinct": 2, "feasible": 0.0, "found": None, "optimum": optimum, "score": 0.0
    }  # fmt: skip
    verdict = judge(table, proposals, 4)
    assert (verdict["distinct"], verdict["feasible"], verdict["found"]) == (3, 0.5, table.values[other])
    assert verdict["score"] == optimum / table.values[other]
    assert judge(table, proposals, 100)["score"] == 1.0


@pytest.mark.skipif(not TABLE.exists(), reason="the measured table lies beside a developer's checkout only")
def test_commands_on_the_measured_table(tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        command = [sys.executable, str(SCRIPT), *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603

    log = tmp_path / "log.parquet"
    said = run("prepare", "--table", TABLE, "--out", log)
    assert said.startswith("1000 feasible designs, 3619 infeasible")
    first, *_, last = map(json.loads, run("judge", "--table", TABLE, "--proposals", log).splitlines())
    assert (first["proposals"], last["proposals"]) == (1, 128)
    assert last["optimum"] == pytest.approx(11.466165)
    assert last["score"] < 0.6
