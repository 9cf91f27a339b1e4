"""Refinement for several applications at once, within a limit that only their logs tell of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import prime_fast as pf
from prime_fast import methods, offline, refinement
from prime_fast.evaluation.results import Designs
from prime_fast.logs import write_table
from prime_fast.refining import RefineResult, refine
from prime_fast.surrogate import TrainingSettings

TINY = TrainingSettings(
    width=32, members=3, steps=200, selection_steps=40, batch=64, alphas=(0.0,), betas=(0.0,), checkpoints=1,
)  # fmt: skip
SPACE = """
name = "shared"
[[parameter]]
name = "units"
values = [1, 2, 4, 8, 16, 32]
[[parameter]]
name = "clock_ghz"
values = [0.5, 1.0, 1.5, 2.0]
[[parameter]]
name = "memory_kib"
values = [32, 64, 128, 256, 512]
"""
NEEDED_KIB = {"video": 8, "speech": 2}
"""Memory that a unit needs."""
LIMIT_MW = 30.0


def truth(frame: pl.DataFrame, application: str) -> pl.DataFrame:
    """Return what a design does: slow memory hurts speech more, units are idle without memory in video."""
    units, clock, memory = (frame[name].to_numpy().astype(float) for name in frame.columns[:3])
    weight = 600.0 if application == "speech" else 200.0
    return pl.DataFrame(
        {
            "time_ms": 200.0 / (units * clock) + weight / memory + 2.0,
            "power_mw": units * clock + memory / 64.0,
            "feasible": units * NEEDED_KIB[application] <= memory,
        }
    )


def answer(designs: Designs) -> pl.DataFrame:
    return truth(designs.frame, designs.application)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run for both, from the poor half of their designs."""
    directory = tmp_path_factory.mktemp("several")
    space = pf.DesignSpace.from_toml(SPACE)
    every = space.frame(space.ranks(np.arange(space.size, dtype=np.uint64)))
    parts = []
    for name in NEEDED_KIB:
        told = truth(every, name).with_columns(application=pl.lit(name))
        table = pl.concat([every, told], how="horizontal")
        good = pl.col("feasible")
        parts.append(table.filter(~good | (pl.col("time_ms") > pl.col("time_ms").filter(good).median())))
    write_table(pl.concat(parts), directory / "log.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods.Method, "settings", lambda *_: TINY)
        patch.setitem(offline.SEARCH_EVALUATIONS, "quick", 2000)
        pf.optimize(
            list(NEEDED_KIB), logs=directory / "log.csv", space=space, objective="time_ms",
            limits={"power_mw": LIMIT_MW}, contexts={"video": [1.0, 0.0], "speech": [0.0, 1.0]},
            proposals=4, budget="quick", out=directory / "run",
        )  # fmt: skip
    return directory / "run"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refinement, "EVALUATIONS", 1000)


def refined(made: Path, out: Path, evaluator: Callable[[Designs], Any] = answer) -> RefineResult:
    # 25 of them: half a design is not asked.
    return refine(made, evaluator, queries=25, batch=4, out=out)


@pytest.fixture(scope="module")
def whole(made: Path, tmp_path_factory: pytest.TempPathFactory) -> RefineResult:
    """A refinement that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refinement, "EVALUATIONS", 1000)
        return refined(made, tmp_path_factory.mktemp("whole") / "refine")


def asked(result: RefineResult) -> list[tuple[Any, ...]]:
    return result.queries.drop("reason").rows()


def test_a_design_is_asked_for_each_and_good_for_all(whole: RefineResult) -> None:
    space, table = pf.DesignSpace.from_toml(SPACE), whole.queries
    assert whole.applications == list(NEEDED_KIB)
    assert whole.stopped_by == "queries"
    assert table.height == 24
    assert whole.designs.height == 12
    # Each once, for both.
    counted = table.group_by(space.names).agg(pl.col("application").sort())
    assert counted.height == 12
    assert counted["application"].to_list() == [sorted(NEEDED_KIB)] * 12
    for name in NEEDED_KIB:
        own = table.filter(pl.col("application") == name)
        told = truth(own.select(space.names), name)
        assert own["feasible"].to_list() == told["feasible"].to_list()
        np.testing.assert_array_equal(own["power_mw"], told["power_mw"])
    # A design is worth the geometric mean, if it is feasible for both and within the limit.
    every = space.frame(space.ranks(np.arange(space.size, dtype=np.uint64)))
    both = [truth(every, name) for name in NEEDED_KIB]
    worth = np.sqrt((both[0]["time_ms"] * both[1]["time_ms"]).to_numpy())
    usable = (both[0]["feasible"] & both[1]["feasible"] & (both[0]["power_mw"] <= LIMIT_MW)).to_numpy()
    by_index = dict(enumerate(np.where(usable, worth, np.nan)))
    expected = [by_index[int(index)] for index in space.indices(space.ranks_from_frame(whole.designs))]
    np.testing.assert_allclose(whole.designs["time_ms"].fill_null(np.nan), expected)
    assert whole.best is not None
    assert whole.best["time_ms"] == whole.designs["time_ms"].min()
    # Better than the proposals, which the first round asks.
    assert whole.best["time_ms"] < whole.designs["time_ms"].head(4).min()
    assert whole.designs["queries"].to_list() == list(range(2, 26, 2))


class KilledError(BaseException):
    """Stands for a kill: nothing in the package catches it."""


@pytest.mark.parametrize("error", [KilledError, KeyboardInterrupt])
def test_interrupted_between_applications_it_asks_only_what_is_open(
    error: type[BaseException], made: Path, whole: RefineResult, tmp_path: Path
) -> None:
    calls: list[tuple[str, int]] = []

    def stopped(designs: Designs) -> pl.DataFrame:
        if len(calls) == 3:
            raise error
        calls.append((designs.application, len(designs)))
        return answer(designs)

    if error is KeyboardInterrupt:
        assert refined(made, tmp_path / "refine", stopped).interrupted
    else:
        with pytest.raises(KilledError):
            refined(made, tmp_path / "refine", stopped)
    # The second round is answered for the first application alone.
    assert calls == [("video", 4), ("speech", 4), ("video", 4)]
    calls = []

    def counted(designs: Designs) -> pl.DataFrame:
        calls.append((designs.application, len(designs)))
        return answer(designs)

    again = refined(made, tmp_path / "refine", counted)
    assert calls == [("speech", 4), ("video", 4), ("speech", 4)]
    assert asked(again) == asked(whole)
    assert again.best == whole.best
