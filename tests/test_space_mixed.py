"""Ordinal, categorical and boolean parameters together, from a log to proposals whose worth is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import prime_fast as pf
from prime_fast.logs import read_log
from prime_fast.search import minimize

Run = Callable[..., tuple[int, str, str]]

SPACE = """
name = "mixed"
[[parameter]]
name = "rows"
values = [2, 4, 8, 16, 32, 64]
[[parameter]]
name = "columns"
values = [2, 4, 8, 16, 32, 64]
[[parameter]]
name = "dataflow"
values = ["weight", "output", "input", "row"]
[[parameter]]
name = "buffer"
unit = "KiB"
values = [16, 32, 64, 128, 256, 512]
[[parameter]]
name = "banked"
values = [false, true]
[[parameter]]
name = "precision"
kind = "categorical"
values = [16, 4, 8]
[[parameter]]
name = "compressed"
values = [true, false]
[[parameter]]
name = "bus"
values = [32, 64, 128]
[[metric]]
name = "area"
expression = "rows * columns * precision / 512 + buffer / 16"
[[constraint]]
name = "fits"
expression = "area <= 48"
[[constraint]]
name = "ports"
expression = "banked or dataflow != 'row' or buffer <= 128"
"""


def truth(frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the time of designs, and which of them work; made up."""
    column = {name: frame[name].to_numpy() for name in frame.columns}
    rows, columns = column["rows"].astype(float), column["columns"].astype(float)
    flow = column["dataflow"]
    use = np.minimum(rows, 24.0 * (1 + (flow == "row"))) * np.minimum(
        columns, 20.0 * (1 + (flow == "output"))
    )
    compute = 4e5 / use * np.where(column["precision"] == 4, 1.6, 1.0)
    traffic = 6e4 / np.sqrt(column["buffer"]) * column["precision"] / 8 * np.where(flow == "input", 1.5, 1.0)
    traffic = traffic / np.where(column["compressed"], 1.5, 1.0) / (column["bus"] / 32.0) ** 0.7
    time = np.maximum(compute, traffic) + 0.2 * np.minimum(compute, traffic) + 200 * column["banked"]
    # What the space doesn't say: a compressor needs room, 4 bits need output-stationary accumulators.
    works = ~(column["compressed"] & (column["buffer"] < 64)) & ~(
        (column["precision"] == 4) & (flow != "output")
    )
    return time, works


@pytest.fixture(scope="module")
def space() -> pf.DesignSpace:
    return pf.DesignSpace.from_toml(SPACE)


@pytest.fixture(scope="module")
def optimum(space: pf.DesignSpace) -> float:
    ranks = space.ranks(np.arange(space.size, dtype=np.uint64))
    time, works = truth(space.frame(ranks))
    return float(time[works & (space.check(ranks) < 0)].min())


@pytest.fixture(scope="module")
def log(space: pf.DesignSpace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of poor designs: the best quarter of the working ones was never tried."""
    ranks = space.sample(2500, seed=7)
    ranks = np.unique(ranks[space.check(ranks) < 0], axis=0)
    frame = space.frame(ranks)
    time, works = truth(frame)
    poor = ~works | (time > np.quantile(time[works], 0.25))
    frame = frame.with_columns(pl.Series("time_us", np.where(works, time, np.nan)).fill_nan(None)).filter(
        poor
    )
    path = tmp_path_factory.mktemp("mixed") / "log.csv"
    frame.write_csv(path)
    return path


def test_the_log_reads_back(space: pf.DesignSpace, log: Path) -> None:
    read = read_log(log, space, "time_us")
    assert not read.dropped
    assert space.frame(read.ranks).equals(read.frame.select(space.names))


@pytest.mark.parametrize("method", ["genetic", "firefly", "differential_evolution", "local_search"])
def test_each_search_finds_the_optimum(space: pf.DesignSpace, optimum: float, method: str) -> None:
    def score(designs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        time, works = truth(space.frame(designs))
        return time, (~works).astype(float)

    found = [
        minimize(space, score, method=method, evaluations=6000, seed=seed).scores[0] for seed in range(3)
    ]
    assert min(found) == pytest.approx(optimum, rel=1e-9)
    assert np.median(found) <= 1.05 * optimum


def test_optimize_comes_near_the_optimum(run: Run, space: pf.DesignSpace, log: Path, optimum: float) -> None:
    # As a user does it: a space from the log, completed by hand.
    code, _, err = run("space", "infer", log, "--out", "space.toml", "--kind", "precision=categorical")
    assert code == 0, err
    text = Path("space.toml").read_text()
    inferred = pf.DesignSpace.load("space.toml")
    assert inferred.names == space.names
    assert [sorted(map(str, values)) for values in inferred.values] == [
        sorted(map(str, values)) for values in space.values
    ]
    Path("space.toml").write_text(text + SPACE[SPACE.index("[[metric]]") :])
    code, out, err = run(
        "optimize", "--logs", log, "--space", "space.toml", "--objective", "time_us", "--budget", "quick",
        "--out", "run", "--proposals", "8", "--json",
    )  # fmt: skip
    assert code == 0, err
    proposals = pl.DataFrame(json.loads(out)["proposals"])
    assert proposals["banked"].dtype == proposals["compressed"].dtype == pl.Boolean
    assert proposals["dataflow"].dtype == pl.String
    time, works = truth(proposals)
    assert (space.check(space.ranks_from_frame(proposals)) < 0).all()
    assert works.mean() >= 0.5
    best = time[works].min()
    assert best < 0.7 * read_log(log, space, "time_us").frame["time_us"].min()  # type: ignore[operator]
    assert best <= 1.1 * optimum
