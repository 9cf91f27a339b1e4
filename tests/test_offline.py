"""Offline optimisation by named methods: several applications, zero-shot, what a method sees, bad input."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prime_fast import methods, offline
from prime_fast.errors import ConfigurationError, DataError, NoFeasibleDesignError
from prime_fast.logs import read_contexts
from prime_fast.offline import METHODS, LoggedDesigns, OfflineTask, combined, run_offline, training_data
from prime_fast.space import DesignSpace
from prime_fast.surrogate import Surrogate, TrainingSettings, context_of
from prime_fast.workload import Application, application_names

SPACE = DesignSpace.from_toml(
    """
    name = "toy"
    [[parameter]]
    name = "units"
    values = [1, 2, 4, 8, 16, 32]
    [[parameter]]
    name = "memory"
    values = [64, 128, 256, 512, 1024]
    [[parameter]]
    name = "unroll"
    values = [1, 2, 4, 8]
    [[metric]]
    name = "area_mm2"
    unit = "mm2"
    expression = "units + memory / 64"
    """
)
EVERY = SPACE.ranks(np.arange(SPACE.size, dtype=np.uint64))
AREA = SPACE.metric("area_mm2", EVERY)
# (work, traffic) of an application; unroll suits those of much work only.
APPLICATIONS = {"a": (9.0, 4.0), "b": (5.0, 8.0), "c": (7.0, 6.0), "d": (3.0, 9.0), "between": (6.0, 7.0)}
CONTEXTS = {name: list(values) for name, values in APPLICATIONS.items()}
TINY: dict[str, Any] = {
    "width": 32, "members": 2, "steps": 200, "selection_steps": 20, "batch": 64, "checkpoints": 1,
    "adversarial_population": 16, "token_width": 8, "heads": 2, "feed_forward": 16, "blocks": 1,
}  # fmt: skip


def cost(name: str, ranks: np.ndarray = EVERY) -> np.ndarray:
    """Return latencies of a roofline of compute and memory."""
    work, traffic = APPLICATIONS[name]
    units, memory, unroll = np.asarray(ranks, float).T
    compute = np.exp(work) / 2.0**units / (1.0 + 0.2 * unroll)
    return np.asarray(10.0 + compute + np.exp(traffic) / 2.0**memory)


def logged(name: str, worst: float = 0.7) -> LoggedDesigns:
    """Return the slower part of all designs; many units with little memory are infeasible."""
    values = cost(name)
    good = EVERY[:, 0].astype(int) <= EVERY[:, 1].astype(int) + 2
    rows = ~good | (values >= np.quantile(values[good], 1.0 - worst))
    return LoggedDesigns(EVERY[rows], np.where(good, values, np.nan)[rows], good[rows])


def task(*names: str, **options: Any) -> OfflineTask:
    return OfflineTask(SPACE, {name: logged(name) for name in names}, contexts=CONTEXTS, **options)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train small networks for a moment, whatever the method changes beside."""
    preset = TrainingSettings.preset

    def tiny(budget: str, architecture: str = "mlp") -> TrainingSettings:
        return dataclasses.replace(preset(budget, architecture), **TINY)

    monkeypatch.setattr(TrainingSettings, "preset", tiny)
    monkeypatch.setattr(offline, "SEARCH_EVALUATIONS", {"quick": 200, "standard": 200})


@pytest.mark.parametrize("name", METHODS)
def test_every_method_proposes_distinct_designs_within_the_limits(name: str) -> None:
    given = task("a", limits={"area_mm2": 20.0})
    options: dict[str, Any] = {"seed": 1, "budget": "quick", "architecture": "mlp", "proposals": 6}
    found, again = run_offline(name, given, **options), run_offline(name, given, **options)
    np.testing.assert_array_equal(found.designs, again.designs)
    assert found.designs.shape == (6, 3)
    assert len(np.unique(found.designs, axis=0)) == 6
    assert (SPACE.metric("area_mm2", found.designs) <= 20.0).all()
    trains = METHODS[name].kind in ("network", "trees")
    assert (found.surrogate is not None) == trains
    assert np.isfinite(found.predicted).all() == (trains or name == "best-logged")


@pytest.mark.parametrize("name", ["default", "ensemble", "prime"])
def test_what_is_learned_beats_the_log(name: str) -> None:
    given = task("a", limits={"area_mm2": 25.0})
    best = given.best_logged("a")
    assert best is not None
    found = run_offline(name, given, budget="quick", architecture="mlp", proposals=8)
    assert cost("a", found.designs).min() < 0.9 * best


@pytest.mark.parametrize("conditioning", ["concat", "product", "film"])
@pytest.mark.parametrize("architecture", ["mlp", "transformer"])
def test_a_surrogate_of_several_applications_tells_them_apart(
    conditioning: str, architecture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = dataclasses.replace(METHODS["default"], changes={"conditioning": conditioning})
    monkeypatch.setattr(offline, "method_named", lambda _: method)
    given = task("a", "b", "c", "d")
    surrogate = run_offline("default", given, budget="quick", architecture=architecture).surrogate
    assert isinstance(surrogate, Surrogate)
    predicted = {name: np.log(surrogate.predict(EVERY, name).objective) for name in "abcd"}
    for name in "abcd":
        rows = given.logs[name].ranks[given.logs[name].feasible]
        errors = {
            other: np.abs(np.log(cost(name, rows)) - predicted[other][SPACE.indices(rows)]).mean()
            for other in "abcd"
        }
        assert min(errors, key=errors.__getitem__) == name
    surrogate.save(tmp_path / "surrogate.safetensors")
    again = Surrogate.load(tmp_path / "surrogate.safetensors")
    np.testing.assert_array_equal(
        again.predict(EVERY, "b").objective, surrogate.predict(EVERY, "b").objective
    )
    np.testing.assert_array_equal(
        again.predict(EVERY, CONTEXTS["b"]).objective, again.predict(EVERY, "b").objective
    )
    with pytest.raises(ConfigurationError, match="name one"):
        again.predict(EVERY)
    with pytest.raises(ConfigurationError, match="'e'"):
        again.predict(EVERY, "e")
    with pytest.raises(DataError, match="2 finite numbers"):
        again.predict(EVERY, [1.0, 2.0, 3.0])


def test_an_application_without_a_log_is_designed_for_by_its_context() -> None:
    given = task("a", "b", "c", "d", targets=("between",), limits={"area_mm2": 20.0})
    found = run_offline("default", given, budget="quick", proposals=8)
    usable = (AREA <= 20.0) & (EVERY[:, 0].astype(int) <= EVERY[:, 1].astype(int) + 2)
    assert cost("between", found.designs).min() <= 1.2 * cost("between")[usable].min()
    nearest = run_offline("best-logged", given, budget="quick", proposals=8)
    assert cost("between", found.designs).min() < cost("between", nearest.designs).min()


def test_the_best_logged_designs_of_several_come_in_turn() -> None:
    # The best of a is the third of b: it stays first.
    rows = np.arange(0, 40, 4)
    first, second = np.arange(1.0, 11.0), np.array([3.0, 1.0, 2.0, *np.arange(4.0, 11.0)])
    good = np.ones(10, bool)
    logs = {"a": LoggedDesigns(EVERY[rows], first, good), "b": LoggedDesigns(EVERY[rows], second, good)}
    for proposals, expected in ((1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (6, [0, 1, 2, 3, 4, 5])):
        found = run_offline("best-logged", OfflineTask(SPACE, logs, contexts=CONTEXTS), proposals=proposals)
        assert SPACE.indices(found.designs).tolist() == rows[expected].tolist()


def test_several_objectives_are_combined_as_told() -> None:
    values = np.array([[10.0, 20.0, 1e200], [40.0, 20.0, 1e-200]])
    logs = np.log(values)
    given: dict[str, Any] = {"targets": ("a", "b"), "weights": {"a": 3.0}}
    geometric = np.exp(combined(task("a", "b", **given), logs))
    np.testing.assert_allclose(geometric, values[0] ** 0.75 * values[1] ** 0.25)
    arithmetic = np.exp(combined(task("a", "b", combine="arithmetic", **given), logs))
    np.testing.assert_allclose(arithmetic, 0.75 * values[0] + 0.25 * values[1])
    references = {"a": 5.0, "b": 40.0}
    worst = np.exp(combined(task("a", "b", combine="worst", references=references), logs))
    np.testing.assert_allclose(worst, [2.0, 4.0, 2e199])
    by_log = task("a", "b", combine="worst")
    best = [by_log.best_logged(name) or 0.0 for name in "ab"]
    np.testing.assert_allclose(
        np.exp(combined(by_log, logs)), np.max(values / np.array(best)[:, None], axis=0)
    )


def test_methods_without_infeasible_designs_never_see_any() -> None:
    assert training_data(task("a")).feasible.mean() < 1.0
    assert training_data(task("a", "b"), infeasible=False).feasible.all()
    for name in ("coms", "ensemble", "regression", "prime-no-infeasible"):
        assert not METHODS[name].infeasible


def test_candidates_are_all_that_is_proposed() -> None:
    candidates = EVERY[::7]
    found = run_offline("default", task("a", candidates=candidates), budget="quick", proposals=4)
    assert np.isin(SPACE.indices(found.designs), SPACE.indices(candidates)).all()
    with pytest.raises(NoFeasibleDesignError, match="candidates"):
        run_offline("default", task("a", candidates=candidates, limits={"area_mm2": 1.0}), budget="quick")


@pytest.mark.parametrize("name", ["default", "trees"])
def test_what_the_log_tells_is_not_proposed_while_there_is_more(name: str) -> None:
    options: dict[str, Any] = {"seed": 1, "budget": "quick", "proposals": 6}
    log = logged("a")
    good, bad = log.ranks[log.feasible], log.ranks[~log.feasible]
    unlogged = EVERY[~np.isin(SPACE.indices(EVERY), SPACE.indices(log.ranks))]
    for offered, proposed in ((4, unlogged[:4]), (10, unlogged[:10])):
        candidates = np.concatenate([good[:30], bad[:10], unlogged[:offered]])
        designs = run_offline(name, task("a", candidates=candidates), **options).designs
        first = SPACE.indices(designs[: min(offered, 6)])
        assert np.isin(first, SPACE.indices(proposed)).all()
        assert len(designs) == 6
    # Of two applications a design is known where both logs have it, or where one says that it fails.
    other = dataclasses.replace(
        log, ranks=good, objective=log.objective[log.feasible], feasible=np.ones(len(good), bool)
    )
    half = dataclasses.replace(
        other, ranks=other.ranks[::2], objective=other.objective[::2], feasible=other.feasible[::2]
    )
    both = OfflineTask(SPACE, {"a": log, "b": half}, contexts=CONTEXTS, candidates=good)
    designs = run_offline(name, both, **options).designs
    assert not np.isin(SPACE.indices(designs), SPACE.indices(half.ranks)).any()


def test_proposals_keep_their_distance_where_there_is_room() -> None:
    designs = np.array([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 2, 2], [0, 0, 0, 3]], np.uint8)
    ordered = ["ordinal"] * 4
    np.testing.assert_array_equal(offline.distinct_rows(designs, 3, ordered), [0, 2, 3])
    # Too few are two ranks apart: nearer ones fill up.
    np.testing.assert_array_equal(offline.distinct_rows(designs, 5, ordered), range(5))
    np.testing.assert_array_equal(offline.distinct_rows(designs, 9, ordered), range(5))
    # Of texts each is as far from the other: one rank.
    texts = [*ordered[:3], "categorical"]
    np.testing.assert_array_equal(offline.distinct_rows(designs, 2, texts), [0, 3])
    np.testing.assert_array_equal(offline.distinct_rows(designs, 3, texts), [0, 1, 3])


def test_more_proposals_change_nothing_in_the_first_sixteen() -> None:
    given = task("a", candidates=EVERY)
    few, more = (
        run_offline("regression", given, budget="quick", proposals=count).designs for count in (16, 40)
    )
    assert len(few) == 16
    assert len(np.unique(more, axis=0)) == 40
    np.testing.assert_array_equal(more[:16], few)


def test_contexts_are_features_of_the_workload() -> None:
    contexts = {name: context_of(Application.bundled(name)) for name in application_names()}
    assert len({tuple(context) for context in contexts.values()}) == len(contexts) > 10
    for context in contexts.values():
        assert context.shape == contexts["U-Net"].shape
        assert np.isfinite(context).all()
    # The recurrent networks use each weight once.
    assert contexts["t-RNN Enc"][-1] < contexts["MobileNetV2"][-1] < contexts["U-Net"][-1]


BAD_TASKS: dict[str, tuple[dict[str, Any], str]] = {
    "no context": ({"contexts": {"a": [1.0, 2.0]}}, "b has no context"),
    "no contexts": ({"contexts": None}, "a has no context"),
    "target without a context": ({"targets": ("x",)}, "x has no context"),
    "longer context": (
        {"contexts": {"a": [1.0], "b": [1.0, 2.0]}}, "context of b has 2 features, that of a 1;"
    ),
    "longer context of a target": (
        {"contexts": {**CONTEXTS, "x": [1.0]}, "targets": ("x",)}, "context of x has 1 features, that of a 2;"
    ),
    "context of NaN": (
        {"contexts": {**CONTEXTS, "x": [1.0, math.nan]}, "targets": ("x",)}, "context of x must be a list of"
    ),
    "context of a table": ({"contexts": {**CONTEXTS, "b": [[1.0, 2.0]]}}, "context of b must be a list of"),
    "context of text": ({"contexts": {**CONTEXTS, "b": ["big"]}}, "context of b must be a list of"),
    "target twice": ({"targets": ("a", "a")}, "named twice"),
    "combine": ({"combine": "sum"}, "'geometric' or 'arithmetic' or 'worst'"),
    "weight of nothing": ({"weights": {"x": 1.0}}, "weight of unknown application 'x'"),
    "weight 0": ({"weights": {"a": 0.0}}, "weight of a is 0.0"),
    "reference NaN": ({"references": {"a": float("nan")}}, "reference of a is nan"),
    "limit": ({"limits": {"area_mm2": -1.0}}, "positive, finite"),
    "limit unknown": ({"limits": {"power": 1.0}}, "limit power"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TASKS)
def test_an_impossible_task_is_one_clear_error(case: str) -> None:
    options, message = BAD_TASKS[case]
    with pytest.raises(ConfigurationError, match=message):
        OfflineTask(SPACE, {name: logged(name) for name in "ab"}, **({"contexts": CONTEXTS} | options))


@pytest.mark.parametrize(("rows", "message"), [(3, "b has 3 feasible|3 feasible designs of b"), (0, "of b")])
def test_an_application_with_next_to_no_rows_is_named(rows: int, message: str) -> None:
    few = logged("b")
    kept = np.flatnonzero(few.feasible)[:rows]
    logs = {"a": logged("a"), "b": LoggedDesigns(few.ranks[kept], few.objective[kept], few.feasible[kept])}
    with pytest.raises(DataError, match=message):
        run_offline("default", OfflineTask(SPACE, logs, contexts=CONTEXTS), budget="quick")


@pytest.mark.parametrize("name", ["default", "trees", "random", "best-logged"])
def test_a_worst_ratio_without_a_reference_is_refused_before_any_work(name: str) -> None:
    def stages(*_: Any) -> None:
        pytest.fail("something was trained or searched")

    # Of one there is no log, of the other none within the limit.
    large = SPACE.metric("area_mm2", logged("between").ranks) > 20.0
    log = LoggedDesigns(
        *(getattr(logged("between"), name)[large] for name in ("ranks", "objective", "feasible"))
    )
    options: dict[str, Any] = {"limits": {"area_mm2": 20.0}, "contexts": CONTEXTS, "combine": "worst"}
    for logs in ({"a": logged("a")}, {"a": logged("a"), "between": log}):
        given = OfflineTask(SPACE, logs, ("a", "between"), **options)
        with pytest.raises(ConfigurationError, match="a reference for between"):
            run_offline(name, given, budget="quick", progress=stages, record=stages)
        given = dataclasses.replace(given, references={"between": 100.0})
        assert len(given.resolved_references) == 2


def test_a_limited_metric_that_one_application_never_logged_is_named() -> None:
    power = {name: np.arange(1.0, 1.0 + len(logged(name).ranks)) for name in "ab"}
    power["b"][logged("b").feasible] = np.nan
    logs = {name: dataclasses.replace(logged(name), metrics={"power_mw": power[name]}) for name in "ab"}
    given = OfflineTask(SPACE, logs, limits={"power_mw": 20.0}, contexts=CONTEXTS)
    with pytest.raises(DataError, match="'power_mw' is unknown on every feasible design of b"):
        run_offline("default", given, budget="quick")
    unbounded = {"power_mw": np.where(np.isnan(power["b"]), np.inf, 1.0)}
    logs["b"] = dataclasses.replace(logs["b"], metrics=unbounded)
    with pytest.raises(DataError, match="metric 'power_mw' is inf; it must be finite"):
        training_data(dataclasses.replace(given, logs=logs))


def test_prime_trains_as_long_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for architecture in ("mlp", "transformer"):
        settings = METHODS["prime"].settings("standard", architecture)
        assert (settings.steps, settings.selection_steps) == (2000, 1000)
    assert "2,000 steps" in str(methods.__doc__)
    assert METHODS["default"].settings("standard").steps == TrainingSettings().steps


def test_unknown_methods_budgets_and_counts_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="did you mean prime"):
        run_offline("primr", task("a"))
    with pytest.raises(ConfigurationError, match="unknown budget"):
        run_offline("default", task("a"), budget="long")
    with pytest.raises(ConfigurationError, match="at least 1"):
        run_offline("default", task("a"), proposals=0)
    with pytest.raises(ConfigurationError, match="no log"):
        OfflineTask(SPACE, {})


CONTEXT_FILES = {
    "no column": ("name,macs\na,1\n", "no column `application`"),
    "no feature": ("application\na\n", "no feature"),
    "no name": ("application,macs\na,1\n ,2\n", "row 2: the application has no name"),
    "twice": ("application,macs\na,1\na,2\n", "'a' is there twice"),
    "text": ("application,macs\na,1\nb,many\n", "row 2: `macs` is many"),
    "NaN": ("application,macs\na,nan\n", "row 1: `macs` is nan"),
    "empty field": ("application,macs,bytes\na,1,\n", "row 1: `bytes` is empty"),
}


@pytest.mark.parametrize("case", CONTEXT_FILES)
def test_a_bad_table_of_contexts_is_one_clear_error(case: str, tmp_path: Path) -> None:
    text, message = CONTEXT_FILES[case]
    (tmp_path / "contexts.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_contexts(tmp_path / "contexts.csv")


def test_a_table_of_contexts_is_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "contexts.csv").write_text("macs,application,bytes\n1.5,a,2\n3,b,-4e2\n")
    assert read_contexts(tmp_path / "contexts.csv") == {"a": [1.5, 2.0], "b": [3.0, -400.0]}


def test_prime_differs_from_the_default_as_documented() -> None:
    prime = METHODS["prime"].settings("standard")
    assert prime.architecture == "transformer"
    assert (prime.push, prime.censoring, prime.feasibility_weight, prime.members) == ("linear", None, 0.0, 1)
    assert prime.adversarial_period == 1
    assert (METHODS["default-no-constraints"].settings("quick").constraint_chance) is None
    assert METHODS["prime-no-adversarial"].settings("standard").alphas == (0.0,)
    assert methods.METHODS["prime-no-infeasible"].settings("standard").betas == (0.0,)
