"""Proposals for an application without a log: spread over the limit that is not known of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prime_fast import offline
from prime_fast.hedging import RUNGS, SHARE, Ranked, front, interleaved
from prime_fast.methods import METHODS
from prime_fast.offline import LoggedDesigns, OfflineTask, run_offline, varying_limit
from prime_fast.space import DesignSpace
from prime_fast.surrogate import TrainingSettings
from prime_fast.surrogate.constraints import LearnedConstraint

SPACE = DesignSpace.from_toml(
    """
    name = "toy"
    [[parameter]]
    name = "units"
    values = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    [[parameter]]
    name = "memory"
    values = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    [[parameter]]
    name = "banks"
    values = [1, 2, 3, 4, 5, 6, 8]
    [[metric]]
    name = "capacity"
    expression = "memory * banks"
    [[metric]]
    name = "area_mm2"
    expression = "units + memory * banks / 4"
    """
)
EVERY = SPACE.ranks(np.arange(SPACE.size, dtype=np.uint64))
CAPACITY = SPACE.metric("capacity", EVERY)
NEEDED = {"a": 6.0, "b": 12.0, "c": 24.0, "large": 60.0}
AREA = 32.0
LIMIT = LearnedConstraint("capacity", (), True, 10.0, 0)


def cost(ranks: np.ndarray) -> np.ndarray:
    return np.asarray(10.0 + 500.0 / np.array(SPACE.values[0])[ranks[:, 0]] + ranks[:, 2])


def logged(name: str) -> LoggedDesigns:
    values, good = cost(EVERY), NEEDED[name] <= CAPACITY
    rows = ~good | (values >= np.quantile(values[good], 0.2))
    return LoggedDesigns(EVERY[rows], np.where(good, values, np.nan)[rows], good[rows])


def task(*names: str, **options: Any) -> OfflineTask:
    # A context that tells nothing of the memory that an application needs.
    contexts = {"a": [1.0, 0.0], "b": [2.0, 1.0], "c": [1.0, 2.0], "large": [1.5, 1.0]}
    logs = {name: logged(name) for name in names}
    return OfflineTask(SPACE, logs, limits={"area_mm2": AREA}, contexts=contexts, **options)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train small networks for a moment."""
    preset = TrainingSettings.preset
    changes: dict[str, Any] = {"width": 32, "members": 2, "steps": 100, "selection_steps": 50, "batch": 64}

    def tiny(budget: str, architecture: str = "mlp") -> TrainingSettings:
        return dataclasses.replace(
            preset(budget, architecture), **changes, alphas=(0.0,), betas=(0.0,), censoring=None
        )

    monkeypatch.setattr(TrainingSettings, "preset", tiny)
    monkeypatch.setattr(offline, "SEARCH_EVALUATIONS", {"quick": 2000})


@pytest.mark.parametrize("listed", [False, True])
def test_one_that_needs_more_than_all_logged_gets_a_feasible_design_that_is_nearly_best(listed: bool) -> None:
    candidates = EVERY if listed else None
    given = task("a", "b", "c", targets=("large",), candidates=candidates)
    stages: list[tuple[str, int, int]] = []
    found = run_offline(
        "default", given, budget="quick", proposals=16, progress=lambda *told: stages.append(told)
    )
    assert found.surrogate is not None
    limit = varying_limit(given, found.surrogate)
    assert limit is not None
    assert str(limit) == "capacity >= 12"
    assert len(np.unique(found.designs, axis=0)) == 16
    assert (SPACE.metric("area_mm2", found.designs) <= AREA).all()
    feasible = SPACE.metric("capacity", found.designs) >= NEEDED["large"]
    # What the surrogate prefers fails.
    assert not feasible[0]
    usable = (NEEDED["large"] <= CAPACITY) & (SPACE.metric("area_mm2", EVERY) <= AREA)
    assert cost(found.designs[feasible]).min() <= 1.15 * cost(EVERY[usable]).min()
    again = offline._searched(METHODS["default"], given, found.surrogate, 0, "quick", 16, None, None)[0]
    assert np.array_equal(found.designs, again)
    (one,) = offline._searched(METHODS["default"], given, found.surrogate, 0, "quick", 1, None, None)[0]
    assert np.array_equal(one, found.designs[0])
    searched = [(done, total) for stage, done, total in stages if stage == "search"]
    assert listed or searched == sorted(searched)
    assert all(0 <= done <= total for done, total in searched)


def test_an_application_with_a_log_is_designed_for_as_if_it_were_the_only_target_known() -> None:
    given = task("a", "b", "c", targets=("c",))
    found = run_offline("default", given, budget="quick", proposals=8)
    assert varying_limit(given, found.surrogate) is None
    assert (SPACE.metric("capacity", found.designs) >= NEEDED["c"]).all()


def exhaustive(within: np.ndarray) -> Any:
    def search(score: Any) -> Ranked:
        scores, violations = score(within)
        order = np.lexsort((scores, violations))
        return Ranked(within[order], violations[order], False, 0.5)

    return search


@pytest.mark.parametrize("at_least", [True, False])
def test_each_search_along_the_front_is_bounded_more_strictly(at_least: bool) -> None:
    within = EVERY[SPACE.metric("area_mm2", EVERY) <= AREA]
    limit = dataclasses.replace(LIMIT, at_least=at_least)

    def score(ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return cost(ranks), np.zeros(len(ranks))

    strict = np.log(limit.values(SPACE, within)) * (1 if at_least else -1)
    favourite = within[strict.argsort()[len(strict) // 2]]
    steps = front(SPACE, limit, score, exhaustive(within), favourite)
    # From the middle of an upper limit the best is the strictest at once.
    assert 1 + at_least <= len([step for step in steps if len(step.designs)]) <= RUNGS
    reached = float(np.log(limit.values(SPACE, favourite[None]))[0]) * (1 if at_least else -1)
    for step in steps[1:]:
        now = np.log(limit.values(SPACE, step.designs)) * (1 if at_least else -1)
        assert (now > reached).all()
        # The best of all that are as strict.
        assert cost(step.designs[:1]) == cost(within[strict >= now.min() - 1e-9]).min()
        reached = now[0]
    assert reached <= strict.max()


def test_a_search_that_was_interrupted_is_the_last_one() -> None:
    def search(_: Any) -> Ranked:
        return Ranked(EVERY[::-1], np.zeros(len(EVERY)), True, 1.0)

    (only,) = front(SPACE, LIMIT, lambda ranks: (cost(ranks), cost(ranks)), search, EVERY[0])
    assert (len(only.designs), only.interrupted, only.seconds) == (0, True, 1.0)


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 40),
    st.integers(1, 60),
    st.lists(st.lists(st.integers(0, SPACE.size - 1), max_size=20), max_size=RUNGS),
)
def test_proposals_are_distinct_and_start_with_the_favourite(
    proposals: int, count: int, places: list[list[int]]
) -> None:
    favourites, rungs = EVERY[:count], [EVERY[rung] for rung in places]
    found = interleaved(favourites, rungs, proposals)
    assert np.array_equal(found[0], favourites[0])
    assert len(np.unique(found, axis=0)) == len(found) <= proposals
    assert len(found) >= min(proposals, count)
    assert (~np.isin(SPACE.indices(found), np.arange(count))).sum() <= SHARE * proposals
