"""Refinement: rounds of queries that learn, resume and stop; warm starts; constraints that were none."""

from __future__ import annotations

import dataclasses
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

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

import prime_fast as pf
from prime_fast import methods, offline, refinement, refining, refining_directory
from prime_fast.analysis.runs import read_run
from prime_fast.belief import log_improvement
from prime_fast.errors import ConfigurationError, DataError
from prime_fast.evaluation.evaluators import CallableEvaluator
from prime_fast.evaluation.results import Designs, Part
from prime_fast.logs import read_log, write_table
from prime_fast.offline import training_data
from prime_fast.refinement import pessimism_of
from prime_fast.refining import refine
from prime_fast.residuals import SPREAD, Distances, Residuals
from prime_fast.space import Ranks
from prime_fast.surrogate import Surrogate, TrainingSettings
from prime_fast.surrogate.constraints import LearnedConstraint
from prime_fast.surrogate.updating import Answers, corrected_constraints, update

Run = Callable[..., tuple[int, str, str]]
TINY = TrainingSettings(
    width=32, members=3, steps=200, selection_steps=40, batch=64, alphas=(0.0,), betas=(0.0,), checkpoints=1,
)  # fmt: skip
SPACE = """
name = "own"
[[parameter]]
name = "units"
values = [1, 2, 4, 8, 16, 32]
[[parameter]]
name = "clock_ghz"
values = [0.5, 1.0, 1.5, 2.0]
[[parameter]]
name = "memory_kib"
values = [32, 64, 128, 256, 512]
[[parameter]]
name = "order"
kind = "categorical"
values = ["rows", "columns", "tiles"]
[[metric]]
name = "area_mm2"
unit = "mm2"
expression = "units * clock_ghz + memory_kib / 64"
"""
LIMIT = 40.0


def truth(frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return times, and which designs work: not more units than the memory feeds, nor 2 GHz in tiles."""
    units, clock, memory = (frame[name].to_numpy().astype(float) for name in frame.columns[:3])
    order = frame["order"].replace_strict({"rows": 0.0, "columns": 4.0, "tiles": -1.0}).to_numpy()
    times = 200.0 / (units * clock) + 300.0 / memory + order + 2.0
    return times, (units * 8 <= memory) & ~((order < 0) & (clock == 2.0))


def answer(designs: Designs) -> pl.DataFrame:
    """Answer as the user's simulator."""
    times, good = truth(designs.frame)
    return pl.DataFrame({"time_ms": times, "feasible": good})


def own_run(directory: Path) -> Path:
    """Make a run in a space of the user's, by a log of its poor designs, with networks that take no time."""
    space = pf.DesignSpace.from_toml(SPACE)
    designs = space.ranks(np.arange(space.size, dtype=np.uint64))
    frame = space.frame(designs)
    times, good = truth(frame)
    logged = ~good | (times > np.quantile(times[good], 0.4))
    frame = frame.with_columns(
        time_ms=pl.Series(np.where(good, times, np.nan), nan_to_null=True), feasible=pl.Series(good)
    ).filter(pl.Series(logged & (np.arange(len(good)) % 3 > 0)))
    write_table(frame, directory / "log.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods.Method, "settings", lambda *_: TINY)
        patch.setitem(offline.SEARCH_EVALUATIONS, "quick", 2000)
        pf.optimize(
            logs=directory / "log.csv", space=space, objective="time_ms", limits={"area_mm2": LIMIT},
            proposals=4, budget="quick", out=directory / "run",
        )  # fmt: skip
    return directory / "run"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_run(tmp_path_factory.mktemp("own"))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refinement, "EVALUATIONS", 1000)


@pytest.fixture(scope="module")
def whole(made: Path, tmp_path_factory: pytest.TempPathFactory) -> refining.RefineResult:
    """A refinement that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refinement, "EVALUATIONS", 1000)
        return refine(made, answer, queries=14, batch=4, out=tmp_path_factory.mktemp("whole") / "refine")


def asked(result: refining.RefineResult) -> list[tuple[Any, ...]]:
    return result.queries.select("round", "units", "clock_ghz", "memory_kib", "order", "time_ms").rows()


def test_queries_are_new_within_the_limits_and_better_than_the_log(
    whole: refining.RefineResult, made: Path
) -> None:
    table, space = whole.queries, pf.DesignSpace.from_toml(SPACE)
    assert table.height == 14
    assert whole.stopped_by == "queries"
    assert table["round"].to_list() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 2
    designs = space.designs(table)
    assert len(np.unique(space.indices(designs))) == 14
    assert (space.metric("area_mm2", designs) <= LIMIT).all()
    log = read_log(made.parent / "log.csv", space, "time_ms")
    assert not np.isin(space.indices(designs), space.indices(log.ranks)).any()
    every = space.ranks(np.arange(space.size, dtype=np.uint64))
    times, good = truth(space.frame(every))
    optimum = times[good & (space.metric("area_mm2", every) <= LIMIT)].min()
    assert whole.best is not None
    assert whole.best["time_ms"] == table.filter("feasible")["time_ms"].min() >= optimum
    assert whole.best["time_ms"] <= whole.references["best proposal"] < whole.references["best logged"]
    assert whole.ratios()["best logged"] == whole.references["best logged"] / whole.best["time_ms"] > 1.2
    # The first round asks the proposals.
    proposals = pl.read_parquet(made / "proposals.parquet").select(space.names)
    assert table.select(space.names).head(4).rows() == proposals.rows()


def test_the_files_are_a_log_and_an_updated_surrogate(whole: refining.RefineResult, made: Path) -> None:
    space = pf.DesignSpace.from_toml(SPACE)
    log = read_log(whole.out / "queries.parquet", space, "time_ms", least_feasible=1)
    assert len(log) == 14
    assert log.frame.select(space.names).rows() == whole.queries.select(space.names).rows()
    assert pl.read_csv(whole.out / "queries.csv").height == 14
    surrogate, before = (Surrogate.load(path / "surrogate.safetensors") for path in (whole.out, made))
    assert surrogate.objective == before.objective
    good = whole.queries.filter("feasible")
    ranks, times = space.designs(good), good["time_ms"].to_numpy()
    errors = [np.abs(np.log(one.predict(ranks).objective / times)).mean() for one in (before, surrogate)]
    assert errors[1] < 0.5 * errors[0]
    manifest = json.loads((whole.out / "refine.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["result"]["best"] == whole.best
    assert not (whole.out / "calls").exists()


class KilledError(BaseException):
    """Stands for a kill: nothing in the package catches it."""


@pytest.mark.parametrize("moment", [1, 2, 4, 7])
def test_killed_at_any_write_it_goes_on_with_the_same_queries(
    moment: int, whole: refining.RefineResult, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, calls = iter(range(1, 1000)), []
    fsync = os.fsync
    append = refining_directory.RefinementDirectory._append

    def torn(self: Any, entries: list[dict[str, Any]]) -> None:
        if next(writes) == moment:
            # Half of what was to be written is on the disk.
            text = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
            self._journal.write(text[: len(text) // 2])
            self._journal.flush()
            raise KilledError
        append(self, entries)

    def counted(designs: Designs) -> pl.DataFrame:
        calls.extend(designs.space.indices(designs.ranks).tolist())
        return answer(designs)

    monkeypatch.setattr(refining_directory.RefinementDirectory, "_append", torn)
    options: dict[str, Any] = {"queries": 14, "batch": 4, "out": tmp_path / "refine"}
    with pytest.raises(KilledError):
        refine(made, counted, **options)
    again = refine(made, counted, **options)
    assert asked(again) == asked(whole)
    assert again.best == whole.best
    # Only what was not written down was asked for again: a round's at most.
    assert len(calls) - len(set(calls)) <= 4
    assert os.fsync is fsync


def test_killed_while_it_learns_it_goes_on_with_the_same_queries(
    whole: refining.RefineResult, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(100))

    def killed(*args: Any, **kwargs: Any) -> Surrogate:
        if next(calls) < 2:
            raise KilledError
        return update(*args, **kwargs)

    monkeypatch.setattr(refinement, "update", killed)
    options: dict[str, Any] = {"queries": 14, "batch": 4, "out": tmp_path / "refine"}
    for _ in range(2):
        with pytest.raises(KilledError):
            refine(made, answer, **options)
    assert asked(refine(made, answer, **options)) == asked(whole)
    # An update that was lost altogether is made again.
    (tmp_path / "refine" / "surrogate.safetensors").unlink()
    assert asked(refine(made, answer, **options)) == asked(whole)


PROGRAM = """
import csv, sys, time
designs, results, calls, pause = sys.argv[1:5]
rows = list(csv.DictReader(open(designs)))
order = {"rows": 0.0, "columns": 4.0, "tiles": -1.0}
time.sleep(float(pause))
out = [["design_id", "time_ms", "feasible"]]
for row in rows:
    units, clock, memory = float(row["units"]), float(row["clock_ghz"]), float(row["memory_kib"])
    value = 200.0 / (units * clock) + 300.0 / memory + order[row["order"]] + 2.0
    good = units * 8 <= memory and not (order[row["order"]] < 0 and clock == 2.0)
    out.append([row["design_id"], repr(value), good])
csv.writer(open(results, "w")).writerows(out)
with open(calls, "a") as file:
    for row in rows:
        file.write(" ".join(list(row.values())[1:]) + "\\n")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no such kill")
def test_kill_9_loses_and_repeats_nothing(whole: refining.RefineResult, made: Path, tmp_path: Path) -> None:
    (tmp_path / "sim.py").write_text(PROGRAM)
    journal = tmp_path / "refine" / "journal.jsonl"

    def arguments(pause: float) -> tuple[list[object], dict[str, Any]]:
        files = [tmp_path / "sim.py", "{designs}", "{results}", tmp_path / "calls"]
        command = " ".join(map(str, [sys.executable, "-S", "-E", *files, pause]))
        return [str(made), command], {
            "queries": 14, "batch": 4, "parallel": 2, "call_designs": 1, "out": str(tmp_path / "refine"),
        }  # fmt: skip

    positional, named = arguments(0.3)
    code = (
        "from prime_fast import refinement, refining; refinement.EVALUATIONS = 1000; "
        f"refining.refine(*{positional!r}, **{named!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)  # noqa: S603
    deadline = time.monotonic() + 300
    # In the second round, while a call is under way.
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 7):
        if process.poll() is not None or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    told = journal.read_bytes().count(b"\n")
    time.sleep(1.0)  # calls under way, orphans now, end
    positional, named = arguments(0.0)
    again = refine(*positional, **named)  # type: ignore[arg-type]
    assert [row[:5] for row in asked(again)] == [row[:5] for row in asked(whole)]
    assert again.best == whole.best
    calls = (tmp_path / "calls").read_text().splitlines()
    # At most those that were under way, two at a time, or not yet written down.
    assert len(calls) - len(set(calls)) <= 4
    assert told >= 7


def test_more_queries_go_on_from_the_directory(made: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"batch": 4, "out": tmp_path / "refine"}
    first = refine(made, answer, queries=8, **options)

    def none(_: Designs) -> Any:
        raise AssertionError("asked again")

    same = refine(made, none, queries=8, **options)
    assert asked(same) == asked(first)
    more = refine(made, answer, queries=12, **options)
    assert asked(more)[:8] == asked(first)
    assert more.queries.height == 12


def test_results_do_not_depend_on_the_order_in_which_calls_end(
    whole: refining.RefineResult, made: Path, tmp_path: Path
) -> None:
    class Backwards:
        def evaluate(self, designs: Designs) -> Iterator[Part]:
            for row in reversed(range(len(designs))):
                (part,) = CallableEvaluator(answer, "time_ms").evaluate(designs[row : row + 1])
                yield Part(row, part.results)

    again = refine(made, Backwards(), queries=14, batch=4, out=tmp_path / "refine")
    assert asked(again) == asked(whole)


def test_it_stops_when_it_stalls_and_when_the_time_is_up(made: Path, tmp_path: Path) -> None:
    stalled = refine(made, answer, queries=100, batch=4, patience=8, out=tmp_path / "stalled")
    assert stalled.stopped_by == "stalled"
    assert stalled.best is not None
    assert stalled.queries.height - stalled.best["queries"] >= 8
    timed = refine(made, answer, queries=100, minutes=1e-9, out=tmp_path / "timed")
    assert timed.stopped_by == "time"
    assert timed.queries.height == 0
    assert timed.best is None


def test_ctrl_c_keeps_what_was_answered(made: Path, tmp_path: Path) -> None:
    calls = iter(range(10))

    def interrupted(designs: Designs) -> pl.DataFrame:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return answer(designs)

    options: dict[str, Any] = {"queries": 8, "batch": 4, "out": tmp_path / "refine"}
    result = refine(made, interrupted, **options)
    assert result.interrupted
    assert result.queries.height == 4
    assert json.loads((tmp_path / "refine" / "refine.json").read_text())["status"] == "interrupted"
    assert refine(made, interrupted, **options).queries.height == 8


def test_failures_count_as_infeasible_once_the_simulator_has_answered(made: Path, tmp_path: Path) -> None:
    def some(designs: Designs) -> dict[str, Any]:
        times, good = truth(designs.frame)
        times[::2] = -1.0
        return {"time_ms": times, "feasible": good}

    result = refine(made, some, queries=8, batch=4, out=tmp_path / "some")
    failed = result.queries.filter("failed")
    assert failed.height >= 1
    assert not failed["feasible"].any()
    assert failed["reason"].str.contains("time_ms is -1").all()

    def all_fail(designs: Designs) -> list[float]:
        return [0.0] * len(designs)

    with pytest.raises(DataError, match=r"all 4 designs of the first batch failed; .*: time_ms is 0"):
        refine(made, all_fail, queries=8, batch=4, out=tmp_path / "all")
    assert json.loads((tmp_path / "all" / "refine.json").read_text())["status"] == "failed"
    # Nothing was taken for an answer: mended, it asks the same.
    again = refine(made, answer, queries=4, batch=4, out=tmp_path / "all")
    assert again.queries["feasible"].any()


class OwnError(Exception):
    """What a user's simulator raises."""


def test_an_error_that_stops_loses_nothing(made: Path, tmp_path: Path) -> None:
    calls = iter(range(10))

    def breaks(designs: Designs) -> pl.DataFrame:
        if next(calls) == 1:
            raise OwnError("no more")
        return answer(designs)

    with pytest.raises(OwnError, match="no more"):
        refine(made, breaks, queries=8, batch=4, out=tmp_path / "refine")
    assert (
        read_log(
            tmp_path / "refine" / "queries.parquet",
            pf.DesignSpace.from_toml(SPACE),
            "time_ms",
            least_feasible=1,
        ).frame.height
        == 4
    )


def test_acquisitions_differ_in_what_they_ask(made: Path, tmp_path: Path) -> None:
    first: list[Any] = []
    # Without a gate: it goes before what is to be gained.
    for name in ("conservative", "optimistic"):
        out = tmp_path / name
        result = refine(made, answer, queries=20, batch=4, acquisition=name, gate=0.0, out=out)
        first.append(asked(result)[4:])
    assert first[0] != first[1]
    assert pessimism_of("optimistic") == pessimism_of("-1") == -1.0


def test_a_small_space_is_exhausted(tmp_path: Path, made: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made, run)
    result = refine(run, answer, queries=300, batch=60, gate=0.0)
    assert result.stopped_by == "exhausted"
    assert result.out == run / "refine"
    space = pf.DesignSpace.from_toml(SPACE)
    every = space.ranks(np.arange(space.size, dtype=np.uint64))
    log = read_log(made.parent / "log.csv", space, "time_ms")
    new = (space.metric("area_mm2", every) <= LIMIT) & ~np.isin(
        space.indices(every), space.indices(log.ranks)
    )
    assert result.queries.height == new.sum()


def answers_of(space: pf.DesignSpace, ranks: np.ndarray) -> Answers:
    times, good = truth(space.frame(ranks))
    return Answers(ranks, np.where(good, times, np.nan), good)


def test_an_update_is_the_same_for_the_same_seed_and_keeps_the_scale(made: Path) -> None:
    run = read_run(made)
    data, space = training_data(run.task), run.space
    ranks = space.ranks_from_frame(run.proposals)
    answers = answers_of(space, ranks)
    one, two, other = (update(run.surrogate, data, answers, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.predict(ranks).objective, two.predict(ranks).objective)
    assert (one.predict(ranks).objective != other.predict(ranks).objective).any()
    assert one.objective == run.surrogate.objective
    assert update(run.surrogate, data, answers_of(space, ranks[:0]), 1) is run.surrogate
    # A log without infeasible designs, and answers that are: from now on something gates.
    good = dataclasses.replace(
        data, ranks=data.ranks[data.feasible], objective=data.objective[data.feasible],
        feasible=data.feasible[data.feasible],
    )  # fmt: skip
    ungated = dataclasses.replace(run.surrogate, has_gate=False)
    bad = Answers(data.ranks[~data.feasible][:20], np.full(20, np.nan), np.zeros(20, np.bool_))
    assert update(ungated, good, bad, 1).has_gate
    assert not update(ungated, good, answers_of(space, good.ranks[:1]), 1).has_gate


def test_a_learned_constraint_that_a_feasible_design_breaks_moves_or_goes(made: Path) -> None:
    run = read_run(made)
    space, data = run.space, training_data(run.task)
    names = space.names
    exponents = tuple(1 if name == "units" else 0 for name in names)
    constraint = LearnedConstraint("units", exponents, at_least=False, bound=4.0, infeasible=1000)
    other = LearnedConstraint("units", exponents, at_least=True, bound=1.0, infeasible=3)
    surrogate = dataclasses.replace(run.surrogate, constraints=((constraint, other),))
    rank = {value: place for place, value in enumerate(space.values[0])}
    designs: dict[int, Ranks] = {
        units: np.array([[rank[units], 1, 4, 0]]).astype(space.rank_dtype) for units in (4, 8, 32)
    }
    assert all(truth(space.frame(design))[1].all() for design in designs.values())
    # A design that keeps them, one that is infeasible beyond, one feasible beyond, one at the very end.
    kept = corrected_constraints(surrogate, data, answers_of(space, designs[4]))
    assert kept == surrogate.constraints
    bad = Answers(designs[8], np.array([np.nan]), np.array([False]))
    assert corrected_constraints(surrogate, data, bad) == surrogate.constraints
    (moved,) = corrected_constraints(surrogate, data, answers_of(space, designs[8]))
    assert [str(one) for one in moved] == ["units <= 8", "units >= 1"]
    assert moved[0].infeasible < 1000
    (left,) = corrected_constraints(surrogate, data, answers_of(space, designs[32]))
    assert left == (other,)
    updated = update(surrogate, data, answers_of(space, designs[32]), 1)
    assert updated.constraints == ((other,),)
    # Laplace's rule no longer holds it down.
    before, after = (one.predict(designs[32]).feasible_probability[0] for one in (surrogate, updated))
    assert before <= 1.0 / 1002.0 < after


def test_a_learned_constraint_that_is_wrong_is_put_to_the_test(made: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made, run)
    surrogate = Surrogate.load(run / "surrogate.safetensors")
    exponents = tuple(1 if name == "units" else 0 for name in surrogate.space.names)
    wrong = LearnedConstraint("units", exponents, at_least=False, bound=8.0, infeasible=20)
    dataclasses.replace(surrogate, constraints=((wrong,),)).save(run / "surrogate.safetensors")
    result = refine(run, answer, queries=32, batch=4)
    # Never more than one of a round, until one of them was feasible.
    beyond = result.queries.filter((pl.col("units") > 8) & (pl.col("round") > 0))
    first = beyond.filter("feasible")["round"].min()
    before = beyond.filter(pl.col("round") <= first)
    assert before["round"].is_unique().all()
    assert result.dropped_constraints == ["units <= 8"]
    assert result.best is not None
    assert result.best["units"] > 8


def test_what_was_believed_or_answered_promises_nothing_more() -> None:
    space = pf.DesignSpace.from_toml(SPACE)
    designs = space.sample(40, seed=3)

    def surrogate(ranks: Ranks) -> np.ndarray:
        # The order matters to nobody.
        return np.asarray(np.log(truth(space.frame(ranks).with_columns(order=pl.lit("rows")))[0]))

    distances = Distances(space, surrogate, designs[:8])
    residuals = 0.2 + 0.1 * np.sin(designs[:, 0] + designs[:, 1])
    process = Residuals.fitted(distances, designs, residuals)
    np.testing.assert_allclose(process.expected(designs), residuals, atol=0.02)
    assert (process.deviations(designs) < 0.1 * process.deviation).all()
    other = space.ranks(np.arange(space.size, dtype=np.uint64))
    other = other[~np.isin(other[:, :3] @ [1, 10, 100], designs[:, :3] @ [1, 10, 100])]
    unsure = other[[int(process.deviations(other).argmax())]]
    twin = unsure.copy()
    twin[:, 3] = (twin[:, 3] + 1) % 3
    believed = process.believing(unsure)
    np.testing.assert_allclose(believed.expected(other), process.expected(other))
    assert believed.deviations(twin)[0] < 0.5 * process.deviations(twin)[0]
    # No answer yet: nothing is known but how sure one is.
    empty = Residuals.fitted(distances, designs[:0], residuals[:0])
    assert (empty.expected(other) == 0.0).all()
    np.testing.assert_allclose(empty.deviations(other), SPREAD)


def test_the_improvement_has_a_logarithm_wherever_it_is() -> None:
    u, deviation = np.array([-30.0, -5.0, -1e-3, 0.0, 1e-3, 5.0, 40.0]), np.full(7, 0.3)
    exact = np.log(deviation * (u * norm.cdf(u) + norm.pdf(u)))
    np.testing.assert_allclose(log_improvement(u * deviation, deviation), exact, rtol=1e-9)
    far = log_improvement(np.array([-1e4, -101.0, -100.0, -99.0]), np.ones(4))
    assert np.isfinite(far).all()
    assert (np.diff(far) > 0).all()


def test_the_bundled_simulator_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr(methods.Method, "settings", lambda *_: TINY)
    monkeypatch.setitem(offline.SEARCH_EVALUATIONS, "quick", 2000)
    pf.optimize("MobileNetV2", proposals=4, budget="quick", out=tmp_path / "run")
    code, out, _ = run("refine", tmp_path / "run", "--queries", 6, "--batch", 3)
    assert code == 0
    assert "6 queries in 2 rounds (all queries are made)" in out
    assert "better than the best logged" in out
    assert "better than the best proposal" in out
    table = pl.read_parquet(tmp_path / "run" / "refine" / "queries.parquet")
    assert table["application"].unique().to_list() == ["MobileNetV2"]
    simulator = pf.Simulator("MobileNetV2")
    scores = simulator.score(simulator.space.designs(table))
    np.testing.assert_array_equal(table["latency_us"].fill_null(np.nan).to_numpy(), scores.latency_us)
    code, out, _ = run("refine", tmp_path / "run", "--queries", 6, "--batch", 3, "--json")
    assert code == 0
    assert json.loads(out)["queries"] == 6


SIM = "cat {designs} {results}"
MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "no run": (["nothing"], 2, "nothing: no such directory; name the directory of a run"),
    "no simulator": (["RUN"], 2, "the bundled simulator doesn't know the run's"),
    "no program": (["RUN", "--evaluate", "no-such-sim {designs} {results}"], 2, "there is no such program"),
    "no placeholder": (["RUN", "--evaluate", "cat {designs}"], 2, "lacks {results}"),
    "placeholder": (["RUN", "--evaluate", "cat {input}"], 2, "has a placeholder {input}"),
    "quote": (["RUN", "--evaluate", "cat '{designs}"], 2, "can't be split"),
    "no queries": (["RUN", "--evaluate", SIM, "--queries", "0"], 2, "queries is 0; it must be an integer"),
    "no batch": (["RUN", "--evaluate", SIM, "--batch", "0"], 2, "batch is 0"),
    "acquisition": (
        ["RUN", "--evaluate", SIM, "--acquisition", "optimist"], 2, "did you mean optimistic?"
    ),
    "gate": (["RUN", "--evaluate", SIM, "--gate", "1.5"], 2, "gate is 1.5; it must be at least 0"),
    "minutes": (["RUN", "--evaluate", SIM, "--minutes", "-1"], 2, "minutes is -1.0; it must be positive"),
    "patience": (["RUN", "--evaluate", SIM, "--patience", "0"], 2, "patience is 0"),
    "time limit": (["RUN", "--evaluate", SIM, "--time-limit", "0"], 2, "time limit is 0.0 s"),
    "parallel": (["RUN", "--evaluate", SIM, "--parallel", "0"], 2, "parallel is 0"),
    "retries": (["RUN", "--evaluate", SIM, "--retries", "-1"], 2, "retries is -1"),
    "format": (["RUN", "--evaluate", SIM, "--designs-format", "xlsx"], 2, "'xlsx' is not one of"),
    "occupied": (["RUN", "--evaluate", SIM, "--out", "full"], 2, "full: holds file.txt, and no refine.json"),
    "other batch": (["RUN", "--evaluate", SIM, "--out", "begun", "--batch", "7"], 2, "begun with batch 4"),
    "damaged": (["RUN", "--evaluate", SIM, "--out", "damaged"], 3, "journal.jsonl: line 2 is damaged"),
    "damaged manifest": (["RUN", "--evaluate", SIM, "--out", "torn"], 3, "refine.json is damaged"),
    "broken": (["RUN", "--evaluate", SIM, "--out", "new"], 3, "all 4 designs of the first batch failed"),
    "column": (
        ["RUN", "--evaluate", "cp {designs} {results}", "--out", "new2"], 3, "lack a column `time_ms`"
    ),
    "log gone": (["moved", "--evaluate", SIM], 3, "can't learn more without its log"),
}  # fmt: skip


@pytest.fixture(scope="module")
def mistakes(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the mistakes need."""
    place = tmp_path_factory.mktemp("mistakes")
    (place / "full").mkdir()
    (place / "full" / "file.txt").write_text("mine")
    refine(made, answer, queries=4, out=place / "begun")
    for name in ("damaged", "torn"):
        shutil.copytree(place / "begun", place / name)
    journal = (place / "damaged" / "journal.jsonl").read_text().splitlines()
    (place / "damaged" / "journal.jsonl").write_text(
        "\n".join([journal[0], '{"design": 3}', *journal[2:]]) + "\n"
    )
    (place / "torn" / "refine.json").write_text("{")
    shutil.copytree(made, place / "moved")
    manifest = json.loads((place / "moved" / "manifest.json").read_text())
    manifest["logs"][0]["sources"][0]["path"] = "gone.csv"
    (place / "moved" / "manifest.json").write_text(json.dumps(manifest))
    return place


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_clear_error(case: str, made: Path, mistakes: Path, run: Run) -> None:
    arguments, expected, message = MISTAKES[case]
    for entry in mistakes.iterdir():
        if not Path(entry.name).exists():
            shutil.copytree(entry, entry.name)
    code, _, errors = run("refine", *(str(made) if one == "RUN" else one for one in arguments))
    assert code == expected, errors
    assert message in " ".join(errors.split())
    assert "Traceback" not in errors


def test_two_at_a_time_in_one_directory_are_refused(made: Path, tmp_path: Path) -> None:
    def nested(designs: Designs) -> pl.DataFrame:
        with pytest.raises(ConfigurationError, match="another process is at work in this directory"):
            refine(made, answer, queries=4, out=tmp_path / "refine")
        return answer(designs)

    assert refine(made, nested, queries=4, out=tmp_path / "refine").queries.height == 4
