"""`prime-fast benchmark paper`: its logs, jobs, directory and tables, and the processes that run it."""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paper_runs
import polars as pl
import pytest

import prime_fast as pf
from prime_fast import parallel
from prime_fast.benchmark import paper
from prime_fast.benchmark.jobs import (
    Job,
    RunSettings,
    judged,
    method_settings,
    model_selection,
    run_job,
)
from prime_fast.benchmark.paper import Evaluation, Selection, evaluate, plan
from prime_fast.benchmark.paper_ablations import ablation_tables
from prime_fast.benchmark.paper_aims import aims_table
from prime_fast.benchmark.paper_queries import query_tables
from prime_fast.benchmark.paper_tables import (
    all_tables,
    case_tables,
    count_table,
    run_frame,
    selection_table,
)
from prime_fast.benchmark.printed_table import FAILED, write_tables
from prime_fast.benchmark.protocol import LogSettings, room, training_log
from prime_fast.benchmark.runner import KIND, TABLES_KIND
from prime_fast.errors import ConfigurationError, DataError, PrimeFastError
from prime_fast.locking import locked_directory
from prime_fast.methods import METHODS
from prime_fast.surrogate.constraints import LearnedConstraint

Run = Callable[..., tuple[int, str, str]]
SMALL = LogSettings(pool=20_000, feasible=300, infeasible=200)


# Logs


def test_log_is_the_worst_of_a_pool() -> None:
    simulator = pf.Simulator("M5")
    whole = training_log("M5", 3, LogSettings(20_000, removed=0.0, feasible=20_000, infeasible=20_000))
    log = training_log("M5", 3, LogSettings(20_000, removed=0.7, feasible=20_000, infeasible=20_000))
    scores = simulator.score(log.ranks)
    assert np.array_equal(log.feasible, scores.feasible)
    assert np.array_equal(log.objective, scores.latency_us, equal_nan=True)
    assert len(np.unique(simulator.space.indices(log.ranks))) == len(log.ranks)
    # Of all feasible designs of the pool the slowest 30%, and every infeasible one.
    latency = np.sort(whole.objective[whole.feasible])
    assert np.sort(log.objective[log.feasible]) == pytest.approx(latency[int(0.7 * len(latency)) :])
    assert (~log.feasible).sum() == (~whole.feasible).sum()
    # No limit on area had a part in it.
    assert (simulator.space.metric("area_mm2", log.ranks[log.feasible]) > 29).any()


def test_log_has_its_sizes_and_its_seed() -> None:
    log = training_log("U-Net", 0, SMALL)
    assert (log.feasible.sum(), (~log.feasible).sum()) == (300, 200)
    assert np.array_equal(log.ranks, training_log("U-Net", 0, SMALL).ranks)
    assert not np.array_equal(log.ranks, training_log("U-Net", 1, SMALL).ranks)
    assert not np.array_equal(log.ranks, training_log("M4", 0, SMALL).ranks)
    assert training_log("M4", 0, LogSettings(2_000, infeasible=0)).feasible.all()


def test_room_grows_with_what_is_taken_away() -> None:
    little, much = (
        room(["SqueezeNet"], seeds=2, settings=LogSettings(20_000, removed=removed))["SqueezeNet"]
        for removed in (0.2, 0.7)
    )
    assert 1 < little < much


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pool": 0}, "pool is 0"),
        ({"feasible": -1}, "feasible is -1"),
        ({"removed": 1.0}, "removed is 1.0"),
        ({"removed": float("nan")}, "removed is nan"),
    ],
)
def test_bad_sizes_of_logs(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        LogSettings(**change)


# Jobs


def test_failures_are_never_dropped() -> None:
    row = judged(np.array([np.nan, 4.0, 3.0]), proposals=4)
    assert row["latency_us"] == [None, 4.0, 3.0]
    assert row["first_us"] is None
    assert row["best_of_16_us"] == 3.0
    # 3, 4, and two failures: one that was infeasible, one that was never made.
    assert row["median_us"] == 4.0
    assert row["feasible_share"] == 0.5
    assert row["best_of_128_us"] is None
    assert judged(np.array([]), proposals=2)["best_of_16_us"] is None
    many = judged(np.append(np.arange(128.0, 120.0, -1.0), np.full(120, np.nan)), proposals=128)
    assert (many["best_of_16_us"], many["best_of_128_us"]) == (121.0, 121.0)
    # Of the first 16.
    assert many["feasible_share"] == 0.5
    many = judged(np.arange(128.0, 0.0, -1.0), proposals=128)
    assert (many["best_of_16_us"], many["best_of_128_us"]) == (113.0, 1.0)


def test_job_of_one_application() -> None:
    settings = RunSettings(SMALL, proposals=8)
    job = Job("offline", ("MobileNetV2",), 29.0, "best-logged", ("MobileNetV2",), seed=2)
    row = run_job((job, settings))
    log = training_log("MobileNetV2", 2, SMALL)
    space = pf.DesignSpace.bundled()
    within = log.feasible & (space.metric("area_mm2", log.ranks) <= 29)
    best = np.sort(log.objective[within])[:8]
    assert row["latency_us"] == pytest.approx(best)
    assert row["best_logged_us"] == row["first_us"] == pytest.approx(best[0])
    assert (row["already_logged"], row["duplicates"], row["feasible_share"]) == (8, 0, 1.0)
    assert row["simulator_queries"] == 0
    assert row["predicted_over_true"] == pytest.approx(1)
    assert row["nearest_us"] is None
    json.dumps(row, allow_nan=False)


def test_job_without_data_on_its_application() -> None:
    targets, training = ("MobileNetEdgeTPU", "M4"), ("MobileNetV2", "M5")
    job = Job("offline", targets, 29.0, "best-logged", training)
    row = run_job((job, RunSettings(SMALL)))
    # The objective is the mean latency over the targets, and each must run the design.
    ranks = pf.DesignSpace.bundled().ranks(np.array(row["designs"], np.uint64))
    scores = [pf.Simulator(name).score(ranks).latency_us for name in targets]
    expected = np.mean(scores, axis=0)
    assert np.array([np.nan if us is None else us for us in row["latency_us"]]) == pytest.approx(
        expected, nan_ok=True
    )
    assert {row["nearest_us"], row["average_us"]} & {row["best_logged_us"]}


def test_job_of_data_that_teach_nothing() -> None:
    job = Job("offline", ("M4",), 29.0, "default", ("M4",))
    row = run_job((job, RunSettings(LogSettings(pool=20_000, feasible=3), "quick")))
    assert "3 feasible designs" in row["error"]
    assert row["alpha"] is row["learned_constraints"] is None
    assert (row["best_of_16_us"], row["feasible_share"], row["proposed"]) == (None, 0.0, 0)


def test_rows_say_how_a_surrogate_was_chosen() -> None:
    chosen = {
        "alpha": 0.0,
        "beta": 0.001,
        "share": 0.75,
        "tau": 0.6,
        "auroc": 0.9,
        "ece": 0.1,
        "reason": "it was best",
    }
    learned = LearnedConstraint("cores / core_memory", (), at_least=True, bound=2.5, infeasible=9)
    surrogate = SimpleNamespace(selection=chosen, constraints=((learned,), ()), applications=("M4", "M5"))
    assert model_selection(surrogate) == {
        "alpha": 0.0,
        "beta": 0.001,
        "share_of_steps": 0.75,
        "held_out_tau": 0.6,
        "held_out_auroc": 0.9,
        "held_out_ece": 0.1,
        "learned_constraints": "M4: cores / core_memory >= 2.5",
    }
    one = SimpleNamespace(selection=chosen, constraints=((learned, learned),), applications=())
    assert model_selection(one)["learned_constraints"] == "; ".join(["cores / core_memory >= 2.5"] * 2)
    assert set(model_selection(SimpleNamespace(selection={"leaves": 31})).values()) == {None}
    assert set(model_selection(None).values()) == {None}


def test_jobs_with_the_simulator() -> None:
    settings = RunSettings()
    optimum = run_job((Job("optimum", ("M5", "M6"), 29.0), settings))
    assert optimum["proved"]
    assert optimum["latency_us"] == pf.solve(["M5", "M6"], {"area_mm2": 29.0}, mean="arithmetic").score
    online = run_job((Job("online", ("M5", "M6"), 29.0, "genetic", seed=1, queries=101), settings))
    assert (online["queries"], online["asked"]) == (100, 50)
    assert optimum["latency_us"] <= online["latency_us"] == online["curve"][-1][1]


# The plan


def test_plan_is_the_papers() -> None:
    planned = plan(Selection(seeds=2))
    cases = {
        name: {(p.case.name, p.case.area_mm2) for p in planned if p.table == name}
        for name in ("single", "several", "zero-shot", "8 trained", "2 trained", "edge-tpu", "ablations")
    }
    assert {name: len(found) for name, found in cases.items()} == {
        "single": 9,
        "several": 4,
        "zero-shot": 3,
        "8 trained": 9,
        "2 trained": 9,
        "edge-tpu": 9,
        "ablations": 9,
    }
    assert {area for _, area in cases["edge-tpu"]} == {27.0}
    for p in planned:
        if p.section == "zero-shot" and p.job.kind == "offline":
            assert not set(p.job.training) & set(p.job.targets)
        elif p.job.kind == "offline":
            assert p.job.training == p.job.targets


def test_more_training_applications_include_the_fewer() -> None:
    planned = [p for p in plan(Selection(seeds=3, sections=("zero-shot",))) if p.table.endswith("trained")]
    sets = {(p.table, p.case.name, p.job.seed): set(p.job.training) for p in planned}
    assert len(sets) == 4 * 9 * 3
    for (table, name, seed), trained in sets.items():
        count = int(table.split()[0])
        assert len(trained) == count
        assert count == 2 or trained > sets[f"{count - 2} trained", name, seed]


def test_what_two_sections_share_is_run_once() -> None:
    jobs = [p.job for p in plan(Selection(seeds=1, sections=("single", "ablations"), methods=("default",)))]
    assert len(jobs) == 9 * 3
    assert len(set(jobs)) == 9 * 2
    assert len({job.key for job in jobs}) == 9 * 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": -3}, "seeds is -3"),
        ({"methods": ("primes",)}, "`primes` is unknown; known: default"),
        ({"applications": ("MobileNetV1",)}, "`MobileNetV1` is unknown; known: MobileNetEdgeTPU"),
        ({"sections": ("singles",)}, "`singles` is unknown; known: single"),
        ({"online": ("annealing",)}, "`annealing` is unknown; known: genetic"),
        ({"methods": ("default", "default")}, "`default` is given twice"),
        ({"sections": ()}, "sections: none is given"),
        ({"queries": 0}, "queries is 0"),
    ],
)
def test_bad_selections(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Selection(**change)


# The directory


ONE = Selection(seeds=2, sections=("single",), methods=("default",), applications=("M4", "M5"))


def made_up(out: Path, selection: Selection = ONE, **options: Any) -> Evaluation:
    return evaluate(out, selection, RunSettings(SMALL), run=paper_runs.made_up, **options)


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "rows").iterdir()}


def test_what_is_finished_is_not_run_again(tmp_path: Path) -> None:
    whole = made_up(tmp_path / "whole")
    part = made_up(tmp_path / "part")
    rows = sorted((tmp_path / "part" / "rows").iterdir())
    # As after a kill: some rows are missing, one is half a temporary file.
    rows[0].rename(rows[0].with_name(f".{rows[0].name}.abcd.tmp"))
    rows[3].unlink()
    kept = {path: path.stat().st_mtime_ns for path in rows[4:]}
    seen: list[tuple[str, int, int]] = []
    part = made_up(tmp_path / "part", progress=lambda *state: seen.append(state))
    assert seen == [("jobs", len(rows) - 2 + done, len(rows)) for done in range(3)]
    assert part.rows == whole.rows
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    both = [{n: c for n, c in files(tmp_path / n_).items() if c and n[0] != "."} for n_ in ("whole", "part")]
    assert both[0] == both[1]


def test_rows_before_an_error_are_kept(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="seed 1 can't be run"):
        evaluate(tmp_path, ONE, RunSettings(SMALL), run=paper_runs.not_the_first)
    # Two optima, and seed 0 of two methods on two applications.
    assert len(files(tmp_path)) == 6
    assert len(made_up(tmp_path).rows) == 10


def test_selection_may_grow(tmp_path: Path) -> None:
    made_up(tmp_path)
    grown = Selection(3, ("single", "edge-tpu"), ("default", "prime"), ("M4", "M5", "M6"))
    assert made_up(tmp_path, grown).rows == made_up(tmp_path / "whole", grown).rows
    with pytest.raises(
        ConfigurationError, match=r"holds results of sections edge-tpu, which this run leaves"
    ):
        made_up(tmp_path)


def test_finished_rows_of_any_selection(tmp_path: Path) -> None:
    whole = made_up(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    smaller = made_up(tmp_path, dataclasses.replace(ONE, seeds=1, applications=("M5",)), finished_only=True)
    assert {planned.job for planned in smaller.planned} < {planned.job for planned in whole.planned}
    assert {planned.case.name for planned in smaller.planned} == {"M5"}
    larger = Selection(3, ("single", "edge-tpu"), ("default", "prime"), ("M4", "M5", "M6"))
    assert made_up(tmp_path, larger, finished_only=True).planned == whole.planned
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    # The inputs are those of the directory even so, and the run itself goes on.
    other = RunSettings(LogSettings(pool=20_000, feasible=301, infeasible=200))
    with pytest.raises(ConfigurationError, match=r"made with log\.feasible 300, this run has 301"):
        evaluate(tmp_path, ONE, other, run=paper_runs.made_up, finished_only=True)
    assert made_up(tmp_path).rows == whole.rows


def test_rows_of_other_settings_of_a_method(tmp_path: Path) -> None:
    made_up(tmp_path)
    path = tmp_path / "manifest.json"
    inputs = json.loads(path.read_text())["inputs"]
    noted = inputs["method settings"]
    assert list(noted) == ["default"]
    grown = dataclasses.replace(ONE, methods=("default", "random"))
    made_up(tmp_path, grown)
    assert json.loads(path.read_text())["inputs"]["method settings"]["default"] == noted["default"]
    # A method that this run leaves out is none of its business.
    made_up(tmp_path, ONE, finished_only=True)
    change(tmp_path, "manifest.json", {"inputs": inputs | {"method settings": {"default": "another"}}})
    for finished_only in (False, True):
        with pytest.raises(ConfigurationError, match="rows of `default` were made with other settings"):
            made_up(tmp_path, grown, finished_only=finished_only)
    # Directories from before the settings were noted are taken as they are.
    del inputs["method settings"]
    change(tmp_path, "manifest.json", {"inputs": inputs})
    made_up(tmp_path, grown)
    assert "method settings" not in json.loads(path.read_text())["inputs"]


def test_settings_of_methods_differ() -> None:
    found = method_settings(("default", "prime", "random"), "standard")
    assert len(set(found.values())) == 3
    assert method_settings(("default", "random"), "quick")["default"] != found["default"]
    assert method_settings(("default",), "standard", "transformer")["default"] != found["default"]
    assert method_settings(("random",), "quick")["random"] == found["random"]


def test_missing_packages_and_queries_are_told_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = Selection(1, ("single", "queries"), ("random", "trees"), ("M4", "M5"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(
        ConfigurationError, match=r"`trees` needs lightgbm, `bayesian` needs optuna: pip install"
    ):
        evaluate(tmp_path / "out", everything, RunSettings(SMALL))
    few = Selection(1, ("queries",), ("random",), online=("genetic", "bayesian"), slow_queries=8)
    with pytest.raises(ConfigurationError, match=r"slow_queries is 8; a design for .*t-RNN Enc costs 9"):
        made_up(tmp_path / "out", few)
    with pytest.raises(ConfigurationError, match=r"^queries is 2; a design for MobileNet.* costs 3"):
        made_up(tmp_path / "out", dataclasses.replace(few, queries=2))
    assert not (tmp_path / "out").exists()
    # One application needs one.
    made_up(tmp_path / "out", dataclasses.replace(few, queries=1, slow_queries=1, applications=("M4",)))


def change(out: Path, name: str, fields: dict[str, Any]) -> None:
    path = out / name
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_directories_of_other_inputs(tmp_path: Path) -> None:
    made_up(tmp_path)
    other = RunSettings(LogSettings(pool=20_000, feasible=301, infeasible=200))
    with pytest.raises(ConfigurationError, match=r"made with log\.feasible 300, this run has 301"):
        evaluate(tmp_path, ONE, other, run=paper_runs.made_up)
    inputs = json.loads((tmp_path / "manifest.json").read_text())["inputs"]
    change(tmp_path, "manifest.json", {"inputs": inputs | {"version": "0.0.0"}})
    with pytest.raises(ConfigurationError, match=r"made with version 0\.0\.0, this run has"):
        made_up(tmp_path)
    change(tmp_path, "manifest.json", {"inputs": inputs | {"simulator": "another"}})
    with pytest.raises(ConfigurationError, match="made with simulator another"):
        made_up(tmp_path)
    change(tmp_path, "manifest.json", {"format": 99})
    with pytest.raises(ConfigurationError, match="has format 99"):
        made_up(tmp_path)
    change(tmp_path, "manifest.json", {"kind": "a run"})
    with pytest.raises(ConfigurationError, match="that of something else"):
        made_up(tmp_path)
    change(tmp_path, "manifest.json", {"kind": TABLES_KIND})
    with pytest.raises(
        ConfigurationError, match="that of `prime-fast benchmark tables`, not of `prime-fast benchmark paper`"
    ):
        made_up(tmp_path)
    change(tmp_path, "manifest.json", {"kind": KIND, "inputs": {"benchmark": "tables"}})
    with pytest.raises(ConfigurationError, match="that of `prime-fast benchmark tables`"):
        made_up(tmp_path)
    change(tmp_path, "manifest.json", {"kind": KIND, "format": 1, "inputs": 3})
    with pytest.raises(DataError, match="damaged: no inputs"):
        made_up(tmp_path)
    change(tmp_path, "manifest.json", {"inputs": inputs, "selection": {"seeds": 3}})
    with pytest.raises(DataError, match="damaged: no inputs"):
        made_up(tmp_path)


def test_architecture_is_part_of_what_rows_depend_on(tmp_path: Path) -> None:
    made_up(tmp_path)
    path = tmp_path / "manifest.json"
    inputs = json.loads(path.read_text())["inputs"]
    assert inputs.pop("architecture") is None
    # Directories from before there was a choice hold each method's own.
    change(tmp_path, "manifest.json", {"inputs": inputs})
    made_up(tmp_path)
    with pytest.raises(ConfigurationError, match="made with architecture None, this run has transformer"):
        evaluate(tmp_path, ONE, RunSettings(SMALL, architecture="transformer"), run=paper_runs.made_up)


def test_architecture_reaches_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def trained(*_arguments: Any, architecture: str | None, **_options: Any) -> None:
        asked.append(architecture)
        raise DataError("that is all")

    monkeypatch.setattr("prime_fast.offline.run_offline", trained)
    job = Job("offline", ("M5",), 29.0, "default", ("M5",))
    for architecture in (None, "transformer"):
        assert run_job((job, RunSettings(SMALL, architecture=architecture)))["error"] == "that is all"
    assert asked == [None, "transformer"]


def test_directories_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigurationError, match=r"holds thesis\.tex, and no manifest\.json of a benchmark"):
        made_up(tmp_path)
    with pytest.raises(ConfigurationError, match="can't be used as output directory"):
        made_up(tmp_path / "thesis.tex")
    (tmp_path / "manifest.json").write_text('{"kind": ')
    with pytest.raises(DataError, match=r"manifest\.json: damaged"):
        made_up(tmp_path)
    with (
        locked_directory(tmp_path),
        pytest.raises(ConfigurationError, match="another process is at work in this directory"),
    ):
        made_up(tmp_path)


@pytest.mark.parametrize("content", ["", '{"job": {', "[]", '{"job": {}, "row": {}}', "\x00\x01"])
def test_damaged_rows(tmp_path: Path, content: str) -> None:
    made_up(tmp_path)
    row = next(path for path in (tmp_path / "rows").iterdir() if path.name.startswith("offline"))
    row.write_text(content)
    with pytest.raises(DataError, match=rf"{row.name}: damaged.* to run the job again"):
        made_up(tmp_path)
    row.unlink()
    assert len(made_up(tmp_path).rows) == 10


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"workers": -2}, "workers is -2"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_bad_numbers_of_processes(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        made_up(tmp_path, **options)


def test_bad_settings(tmp_path: Path) -> None:
    for settings, text in (
        (RunSettings(SMALL, proposals=0), "proposals is 0"),
        (RunSettings(SMALL, "lavish"), "budget is 'lavish'"),
        (RunSettings(SMALL, architecture="cnn"), "architecture is 'cnn'; it must be one of mlp, transformer"),
    ):
        with pytest.raises(ConfigurationError, match=text):
            evaluate(tmp_path, ONE, settings, run=paper_runs.made_up)
    lonely = Selection(applications=("M4",), sections=("several", "zero-shot"))
    with pytest.raises(
        ConfigurationError, match="nothing to run: several, zero-shot needs more applications"
    ):
        made_up(tmp_path, lonely)
    assert not list(tmp_path.iterdir())


# Tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the tables of made-up runs of everything, by name."""
    out = tmp_path_factory.mktemp("tables")
    evaluation = made_up(out, Selection(seeds=2, queries=1_000))
    found = all_tables(evaluation)
    write_tables(out, found, run_frame(evaluation))
    return {table.name: table for table in found} | {"out": out, "evaluation": evaluation}


def by_case(table: Any) -> dict[str, dict[str, Any]]:
    return {row["case"]: row for row in table.frame.to_dicts()}


def test_single_table(tables: dict[str, Any]) -> None:
    rows = by_case(tables["single-default"])
    assert list(rows)[:9] == pf.prime_application_names()
    # Seeds 0 and 1: 1.00 and 1.01 times the optimum; 300 us logged.
    assert rows["M4"]["best"] == pytest.approx(1.005)
    assert (rows["M4"]["best_low"], rows["M4"]["best_high"]) == pytest.approx((1.0, 1.01))
    assert rows["M4"]["gain"] == pytest.approx((3 / 1.0 + 3 / 1.01) / 2)
    # Online search ends at 100 us with seed 0 and 101 us with seed 1.
    assert rows["M4"]["over_online"] == pytest.approx(1.0)
    assert rows["M4"]["paper_gain"] == pytest.approx(779.98 / 370.45)
    # Of medians over seeds.
    assert rows["geometric mean"]["best"] == pytest.approx(1.005)
    assert rows["geometric mean"]["gain"] == pytest.approx(3 / 1.005)
    # The factor that the paper publishes for its own table.
    assert rows["geometric mean"]["paper_gain"] == pytest.approx(2.46, abs=0.01)
    assert rows["geometric mean"]["paper_over_online"] == pytest.approx(1.54, abs=0.01)
    assert by_case(tables["single-prime"])["M4"]["best"] == pytest.approx(1.505)


def test_several_and_zero_shot_tables(tables: dict[str, Any]) -> None:
    several = tables["several-default"].frame
    assert several["area_mm2"].to_list()[:4] == [29.0, 29.0, 29.0, 100.0]
    zero_shot = tables["zero-shot-default"].frame
    assert zero_shot["nearest"].to_list()[:3] == pytest.approx([6.0] * 3)
    assert zero_shot["paper_over_online"][1] == pytest.approx(1075.91 / 745.87)
    counts = by_case(tables["zero-shot-counts"])
    assert list(counts) == ["2 trained", "4 trained", "6 trained", "8 trained"]
    assert len(by_case(tables["zero-shot-8-trained-prime"])) == 9 + 2


def test_edge_tpu_table(tables: dict[str, Any]) -> None:
    rows = by_case(tables["edge-tpu-default"])
    v1_us = float(pf.reference_design("edge-tpu-v1").score("t-RNN Enc").latency_us[0])
    assert rows["t-RNN Enc"]["v1_us"] == pytest.approx(v1_us)
    assert rows["t-RNN Enc"]["speed_up"] == pytest.approx(v1_us / 100.5)
    assert rows["t-RNN Enc"]["optimum_speed_up"] == pytest.approx(v1_us / 100)
    assert rows["t-RNN Enc"]["paper_speed_up"] == 11.84
    assert rows["geometric mean"]["paper_speed_up"] == 2.69


def test_ablation_table(tables: dict[str, Any]) -> None:
    rows = by_case(tables["ablations"])
    assert rows["prime"]["relative_with_fallback"] == pytest.approx(1)
    assert rows["regression"]["relative_with_fallback"] == pytest.approx((2.0 * 2.01 / 1.5 / 1.51) ** 0.5)
    assert rows["regression"]["paper_relative"] == 1.42
    assert rows["regression"]["probability"] == 1.0
    assert rows["regression"]["at_least_as_good"] == 9
    # Nine applications, all on one side, in all methods that are tested.
    tested = len(METHODS) - 1
    assert rows["regression"]["p_applications"] == pytest.approx(2 / 2**9)
    assert rows["regression"]["p_applications_holm"] == pytest.approx(tested * 2 / 2**9)
    assert ("p\nHolm", "p_applications_holm", ".1g") in tables["ablations"].columns
    assert rows["regression"]["p_holm"] < rows["regression"]["p_applications_holm"]
    assert rows["default"]["p"] is rows["default"]["p_applications"] is None
    # Half of these runs fail: 3.00 with seed 0, and the logged 3.00 to fall back to in one column.
    assert (rows["random"]["failures"], rows["random"]["first_failures"]) == (9, 9)
    assert rows["random"]["best"] == rows["random"]["first"] == float("inf")
    assert rows["random"]["best_with_fallback"] == pytest.approx(3.0)
    assert rows["random"]["interquartile"] == float("inf")
    assert rows["random"]["gain"] == 0.0
    assert "By prime*" in " ".join(tables["ablations"].notes)
    single = by_case(tables["ablations-applications"])
    assert single["prime"]["U-Net"] == pytest.approx(1.505)
    assert single["random"]["U-Net"] == float("inf")


def changed(evaluation: Evaluation, best: Mapping[tuple[str, str, int], float | None]) -> Evaluation:
    """Return an evaluation with other latencies of runs at 29 mm2, by method, application and seed."""
    rows = dict(evaluation.rows)
    for (method, name, seed), value in best.items():
        job = Job("offline", (name,), 29.0, method, (name,), seed)
        rows[job] = rows[job] | {"best_of_16_us": value, "first_us": value}
    return dataclasses.replace(evaluation, rows=rows)


def verdicts(evaluation: Evaluation) -> dict[tuple[str, str], dict[str, Any]]:
    *_, table = ablation_tables(evaluation)
    return {(row["case"], row["application"]): row for row in table.frame.to_dicts()}


def test_verdicts(tables: dict[str, Any]) -> None:
    table = tables["ablations-verdicts"]
    assert table.frame.height == len(METHODS) * (9 + 1)
    rows = verdicts(tables["evaluation"])
    assert rows["default", "M4"]["verdict"] is None
    row = rows["prime", "M4"]
    assert (row["best"], row["reference"], row["feasible"]) == (
        pytest.approx(1.505),
        pytest.approx(1.005),
        "2/2",
    )
    # Two pairs on one side: p = 2 / 2^2, and no correction goes beyond 1.
    assert (row["verdict"], row["p"], row["p_holm"]) == ("win", 0.5, 1.0)
    row = rows["random", "geometric mean"]
    assert (row["verdict"], row["best"], row["feasible"]) == ("win", float("inf"), "9/18")
    cases = 9 * (len(METHODS) - 1)
    notes = " ".join(table.notes)
    assert f"at least as good in {cases} of {cases} cases, and significantly worse in 0." in notes


def test_methods_are_compared_on_what_all_have(tables: dict[str, Any]) -> None:
    evaluation = tables["evaluation"]
    # `prime` lacks its better seed of one application, `random` all of another.
    left_out = {("prime", "M4", 0), ("random", "M5", 0), ("random", "M5", 1)}
    fewer = dataclasses.replace(
        evaluation,
        planned=[
            p
            for p in evaluation.planned
            if p.section != "ablations" or (p.job.method, p.case.name, p.job.seed) not in left_out
        ],
    )
    table, applications, _ = ablation_tables(fewer)
    rows = by_case(table)
    assert {row["runs"] for row in rows.values()} == {2 * 9 - 3}
    assert rows["regression"]["applications"] == 8
    assert "M5" not in applications.frame.columns
    assert by_case(applications)["default"]["M4"] == pytest.approx(1.01)
    assert f"Left out are {3 * len(METHODS) - 3} runs" in " ".join(table.notes)
    assert "Left out" not in " ".join(tables["ablations"].notes)


def test_a_family_of_tests_is_all_methods_and_applications(tmp_path: Path) -> None:
    selection = Selection(8, ("ablations",), ("default", "prime", "regression"), ("M4", "M5"))
    rows = verdicts(made_up(tmp_path, selection))
    assert rows["prime", "M4"]["p"] == pytest.approx(2 / 2**8)
    assert rows["prime", "M4"]["p_holm"] == pytest.approx(4 * 2 / 2**8)
    # Two applications can't tell more.
    assert rows["prime", "geometric mean"]["p"] == 0.5


def test_failures_count_in_means(tables: dict[str, Any]) -> None:
    worse = {("default", "M4", seed): None for seed in (0, 1)}
    found = {table.name: table for table in all_tables(changed(tables["evaluation"], worse))}
    rows = by_case(found["single-default"])
    for name in ("M4", "geometric mean"):
        assert rows[name]["best"] == rows[name]["first"] == float("inf")
        assert rows[name]["gain"] == 0.0
    assert rows["interquartile mean"]["best"] < 1.02
    notes = " ".join(found["single-default"].notes)
    assert "Runs without a feasible proposal: 2; whose first one is not: 2." in notes
    # Of unlogged applications likewise: no best logged design takes their place.
    evaluation = tables["evaluation"]
    rows_ = dict(evaluation.rows)
    for p in evaluation.planned:
        if (p.table, p.case.name, p.job.method) == ("2 trained", "M4", "default"):
            rows_[p.job] = rows_[p.job] | {"best_of_16_us": None}
    counts = by_case(count_table(dataclasses.replace(evaluation, rows=rows_))[0])
    assert (counts["2 trained"]["best"], counts["2 trained"]["failures"]) == (float("inf"), 2)
    assert counts["4 trained"]["best"] == pytest.approx(1.005)


def test_more_applications_are_compared_seed_by_seed(tables: dict[str, Any]) -> None:
    evaluation = tables["evaluation"]
    rows = dict(evaluation.rows)
    for p in evaluation.planned:
        if p.table in ("2 trained", "8 trained") and p.job.kind == "offline":
            factor = 0.9 if p.table == "8 trained" else 1.0
            rows[p.job] = rows[p.job] | {"best_of_16_us": factor * (100.0 + 300.0 * p.job.seed)}
    (table,) = aims_table(dataclasses.replace(evaluation, rows=rows))
    row = by_case(table)["zero-shot, 8 over 2"]
    # However seeds differ, nine tenths with each.
    assert (row["value"], row["low"], row["high"]) == pytest.approx((0.9, 0.9, 0.9))


def test_what_failed_is_not_what_was_not_measured(tables: dict[str, Any], tmp_path: Path) -> None:
    worse = {("default", "M4", seed): None for seed in (0, 1)}
    found = changed(tables["evaluation"], worse)
    tables_ = case_tables(found, "single", "single")
    directory = write_tables(tmp_path, tables_, run_frame(found))
    rows = json.loads((directory / "single-default.json").read_text())["rows"]
    (row,) = (row for row in rows if row["case"] == "M4")
    assert (row["best"], row["best_of_128"]) == (FAILED, None)
    with (directory / "single-default.csv").open() as file:
        (cells,) = (row for row in csv.DictReader(file) if row["case"] == "M4")
    assert (cells["best"], cells["best_of_128"]) == ("inf", "")
    runs = pl.read_csv(directory / "runs.csv").filter(method="default", training="M4", area_mm2=29.0)
    assert runs["best_of_16_us"].to_list() == [float("inf")] * 2
    assert runs["best_of_128_us"].to_list() == [None] * 2


def test_a_job_of_two_sections_counts_once(tables: dict[str, Any]) -> None:
    evaluation = tables["evaluation"]
    job = Job("online", ("M4",), 29.0, "genetic", seed=0, queries=1_000)
    assert sum(p.job == job for p in evaluation.planned) > 1
    other = dataclasses.replace(job, seed=2)
    place = next(p for p in evaluation.planned if p.job == job)
    rows = dict(evaluation.rows) | {other: evaluation.rows[job] | {"latency_us": 130.0}}
    # A third seed that one section alone has weighs as much as the others: (100 + 101 + 130) / 3.
    found = dataclasses.replace(
        evaluation, rows=rows, planned=[*evaluation.planned, dataclasses.replace(place, job=other)]
    )
    single = by_case(case_tables(found, "single", "single")[0])
    assert single["M4"]["over_online"] == pytest.approx((331 / 3) / 100.5)


def test_model_selection(tables: dict[str, Any]) -> None:
    assert "model-selection" not in tables
    evaluation = tables["evaluation"]
    rows = dict(evaluation.rows)
    for seed in (0, 1):
        job = Job("offline", ("M4",), 29.0, "default", ("M4",), seed)
        chosen = SimpleNamespace(
            selection={"alpha": 0.001 * seed, "beta": 0.1, "share": 1.0, "tau": 0.5 + 0.2 * seed},
            constraints=((),),
        )
        rows[job] = rows[job] | model_selection(chosen) | {"predicted_over_true": 0.9}
    (table,) = selection_table(dataclasses.replace(evaluation, rows=rows))
    (row,) = table.frame.to_dicts()
    assert (row["case"], row["runs"], row["held_out_auroc"]) == ("default", 2, None)
    assert (row["held_out_tau"], row["predicted_over_true"]) == pytest.approx((0.6, 0.9))
    assert (row["alpha_percent"], row["beta_percent"], row["constraints_percent"]) == (50, 100, 0)
    assert all(table.cells())


def test_failures_count_in_verdicts(tables: dict[str, Any]) -> None:
    # `random` fails with seed 1 everywhere.
    failed: dict[tuple[str, str, int], float | None]
    failed = {("default", "M4", 0): None, ("default", "M4", 1): None, ("default", "M5", 1): None}
    failed |= {("prime", "M6", 0): 90.0, ("prime", "M6", 1): 90.0}
    found = changed(tables["evaluation"], failed)
    rows = verdicts(found)
    assert rows["random", "M4"]["verdict"] == "loss"
    assert rows["random", "M5"]["verdict"] == "tie"
    assert rows["random", "U-Net"]["verdict"] == "win"
    assert rows["prime", "M4"]["verdict"] == rows["prime", "M5"]["verdict"] == "loss"
    assert rows["prime", "M6"]["verdict"] == "loss"
    assert rows["prime", "geometric mean"]["verdict"] == "loss"
    assert rows["random", "geometric mean"]["verdict"] == "win"
    summary = by_case(ablation_tables(found)[0])
    assert (summary["prime"]["at_least_as_good"], summary["random"]["at_least_as_good"]) == (6, 8)


def test_a_significant_loss(tmp_path: Path) -> None:
    selection = Selection(8, ("ablations",), ("default", "prime"), ("M4", "M5"))
    found = changed(made_up(tmp_path, selection), {("prime", "M4", seed): 90.0 for seed in range(8)})
    rows = verdicts(found)
    # Of 8 pairs all on one side p = 2 / 2^8; corrected over two applications.
    assert rows["prime", "M4"]["p_holm"] == pytest.approx(2 / 2**7)
    summary = by_case(ablation_tables(found)[0])
    assert (summary["prime"]["at_least_as_good"], summary["prime"]["significantly_worse"]) == (1, 1)


def in_memory(selection: Selection) -> Evaluation:
    """Return made-up rows without a directory."""
    planned, settings = plan(selection), RunSettings(SMALL)
    jobs = {paper.optimum_of(p.job) for p in planned} | {p.job for p in planned}
    return Evaluation(
        selection, settings, planned, {job: paper_runs.made_up((job, settings)) for job in jobs}
    )


def test_aims() -> None:
    evaluation = in_memory(Selection(10, methods=("default",)))
    ablations = in_memory(Selection(10, ("ablations",)))
    whole = dataclasses.replace(
        evaluation,
        planned=[p for p in evaluation.planned if p.section != "ablations"] + ablations.planned,
        rows=evaluation.rows | ablations.rows,
    )
    (table,) = aims_table(whole)
    assert not any("The aims are for" in note for note in table.notes)
    rows = by_case(table)
    assert {name: row["met"] for name, row in rows.items() if row["aim"] is not None} == {
        # Seeds 0 to 9: 1.00 to 1.09, of which the median is 1.045.
        "best of 16": "no",
        "first proposal": "yes",
        "feasible proposals, %": "yes",
        "gain over the best logged": "yes",
        "several at once": "yes",
        "zero-shot, paper's": "yes",
        "zero-shot, 8 trained": "yes",
        # As good as with 2, not better.
        "zero-shot, 8 over 2": "no",
        "ablations, worst ratio": "yes",
    }
    # One application's seed fewer, and nothing is said of what it is part of.
    lost = Job("offline", ("M4",), 29.0, "default", ("M4",), 9)
    (table,) = aims_table(
        dataclasses.replace(whole, planned=[planned for planned in whole.planned if planned.job != lost])
    )
    assert "The aims are for 10 seeds; some case has 9." in table.notes
    met = {name: row["met"] for name, row in by_case(table).items() if row["aim"] is not None}
    assert {name for name, value in met.items() if value is None} == {
        "best of 16",
        "first proposal",
        "feasible proposals, %",
        "gain over the best logged",
        "ablations, worst ratio",
    }


def test_values_of_aims(tables: dict[str, Any]) -> None:
    rows = by_case(tables["aims"])
    assert {row["met"] for row in rows.values()} == {None}
    assert "The aims are for 10 seeds; some case has 2." in tables["aims"].notes
    # Seeds 0 and 1 of each application: 1.00 and 1.01.
    assert rows["best of 16"]["value"] == pytest.approx(1.005)
    assert rows["gain over the best logged"]["value"] == pytest.approx(3 / 1.005)
    # The best of the others is `prime`.
    assert rows["ablations, worst ratio"]["value"] == pytest.approx(1.005 / 1.505)
    assert (rows["best of 16"]["runs"], rows["best of 16"]["cases"]) == (18, 9)


def test_failures_count_in_aims(tables: dict[str, Any]) -> None:
    better = {("prime", "M5", seed): 80.0 for seed in (0, 1)}
    worse = {("default", "M4", seed): None for seed in (0, 1)}
    rows = by_case(*aims_table(changed(tables["evaluation"], worse)))
    assert (rows["best of 16"]["value"], rows["best of 16"]["failed"]) == (float("inf"), 2)
    assert rows["gain over the best logged"]["value"] == 0
    assert rows["ablations, worst ratio"]["value"] == float("inf")
    rows = by_case(*aims_table(changed(tables["evaluation"], better)))
    assert rows["ablations, worst ratio"]["value"] == pytest.approx(1.005 / 0.8)


def test_aims_of_some_applications_are_not_met(tmp_path: Path) -> None:
    rows = aims_table(made_up(tmp_path))[0].frame
    assert rows["case"].to_list()[:2] == ["best of 16", "first proposal"]
    assert rows["met"].null_count() == rows.height


# Of a run that goes on elsewhere


@pytest.mark.parametrize("missing", range(4))
def test_tables_of_what_is_finished(tables: dict[str, Any], tmp_path: Path, missing: int) -> None:
    rows = sorted((tables["out"] / "rows").iterdir())
    kept = np.random.default_rng(missing).random(len(rows)) < (0.7, 0.3, 0.1, 0.02)[missing]
    (tmp_path / "rows").mkdir()
    shutil.copy(tables["out"] / "manifest.json", tmp_path)
    for path in [path for path, keep in zip(rows, kept, strict=True) if keep or "optimum" in path.name]:
        shutil.copy(path, tmp_path / "rows")
    assert_printable(made_up(tmp_path, tables["evaluation"].selection, finished_only=True), tmp_path)


@pytest.mark.parametrize(
    "missing", ["offline", "online", "offline-default", "offline-prime-", "-U-Net-", "-1-", "optimum-M4"]
)
def test_tables_without_some_rows(tables: dict[str, Any], tmp_path: Path, missing: str) -> None:
    shutil.copytree(tables["out"], tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "rows").glob(f"*{missing}*"):
        path.unlink()
    assert_printable(made_up(tmp_path, tables["evaluation"].selection, finished_only=True), tmp_path)


def assert_printable(evaluation: Evaluation, out: Path) -> None:
    found = all_tables(evaluation)
    write_tables(out, found, run_frame(evaluation))
    for table in found:
        assert table.cells()
    left = {p.job for p in evaluation.planned if p.job.kind == "offline"}
    assert run_frame(evaluation).height == len(left)


def test_tables_only(run: Run, tmp_path: Path) -> None:
    applications = ("--app", "M4", "--app", "M5")
    sizes = ("--pool", 20_000, "--feasible", 300, "--infeasible", 200)
    chosen = ("--seeds", 2, "--section", "single", "--method", "default", *applications, *sizes)
    command = ("benchmark", "paper", "--out", tmp_path / "out", *chosen, "--tables-only")
    code, _, err = run(*command)
    assert code == 2
    assert "holds no manifest.json of a benchmark, so there is nothing finished" in err
    assert not (tmp_path / "out").exists()
    made_up(tmp_path / "out")
    next((tmp_path / "out" / "rows").glob("offline-default-M4-29mm2-1-*")).unlink()
    before = files(tmp_path / "out")
    code, out, err = run(*command)
    assert (code, err) == (0, "")
    assert "Aims" in out
    assert files(tmp_path / "out") == before
    assert pl.read_csv(tmp_path / "out" / "tables" / "runs.csv").height == 3
    for path in (tmp_path / "out" / "rows").iterdir():
        path.unlink()
    code, _, err = run(*command)
    assert code == 2
    assert "nothing of what is asked for is finished yet" in err


def test_query_table(tables: dict[str, Any]) -> None:
    row = by_case(tables["queries-genetic"])["M4"]
    assert row["offline"] == pytest.approx(1.0)
    assert (row["after_100"], row["after_1000"]) == pytest.approx((1.8, 1.005))
    # Seed 0 reaches the median of the proposals, 100 us, after 900 queries; seed 1 ends at 101 us.
    assert row["to_match"] == 900
    assert row["matched_percent"] == 50
    assert row["saved_percent"] == pytest.approx(100 * (1 - 16 / 900))
    assert row["saved"] == "98.2"
    # With the 300 feasible and 200 infeasible designs of the log.
    assert row["saved_with_log_percent"] == pytest.approx(100 * (1 - 516 / 900))
    row = by_case(tables["queries-genetic"])["all nine"]
    assert row["saved_percent"] == pytest.approx(100 * (1 - 16 * 9 / 900))
    assert row["saved_with_log"] == "-416"
    notes = " ".join(tables["queries-genetic"].notes)
    assert "the logged designs are not counted as queries" in notes
    assert "500 an application at most" in notes


def test_bounds_and_losses_of_queries(tables: dict[str, Any]) -> None:
    def proposing(latency_us: float) -> dict[str, Any]:
        best = {("default", "M4", seed): latency_us for seed in (0, 1)}
        return by_case(query_tables(changed(tables["evaluation"], best))[0])["M4"]

    # No search gets to 95 us in its 1,000 queries; 16 proposals of 190 us are worth 50 queries, of 1 ms one.
    bound = proposing(95.0)
    assert (bound["to_match"], bound["saved"], bound["saved_with_log"]) == (float("inf"), ">= 98.4", ">= 48")
    assert proposing(190.0)["saved_percent"] == pytest.approx(100 * (1 - 16 / 50))
    worse = tables["evaluation"]
    rows = {
        job: row | ({"curve": [[2, 90.0]]} if job.kind == "online" else {}) for job, row in worse.rows.items()
    }
    row = by_case(query_tables(dataclasses.replace(worse, rows=rows))[0])["M4"]
    assert (row["saved_percent"], row["saved"]) == (-700.0, "-700.0")


def test_bayesian_optimisation_has_its_own_number_of_queries(tables: dict[str, Any]) -> None:
    selection = Selection(1, ("queries",), queries=1_000, slow_queries=300)
    notes = {table.name: " ".join(table.notes) for table in query_tables(in_memory(selection))}
    text = "Bayesian optimisation, being slow, ran to no more than 300 queries."
    assert {name for name, found in notes.items() if text in found} == {"queries-bayesian"}
    assert text not in " ".join(tables["queries-bayesian"].notes)


def test_files_of_tables(tables: dict[str, Any]) -> None:
    out = tables["out"] / "tables"
    assert {path.suffix for path in out.iterdir()} == {".md", ".csv", ".json"}
    for name in ("single-default", "ablations-applications", "queries-bayesian"):
        frame = pl.read_csv(out / f"{name}.csv")
        assert frame.height == tables[name].frame.height
        fields = json.loads((out / f"{name}.json").read_text())
        assert len(fields["rows"]) == frame.height
        body = [line for line in (out / f"{name}.md").read_text().splitlines() if line.startswith("|")]
        assert len(body) == frame.height + 2
        assert len({line.count("|") for line in body}) == 1
    # A failure is shown as such.
    assert FAILED in (out / "ablations-applications.md").read_text()
    single = json.loads((out / "ablations-applications.json").read_text())["rows"]
    assert next(row for row in single if row["case"] == "random")["M4"] == FAILED
    with (out / "runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert len(runs) == run_frame(tables["evaluation"]).height
    assert {row["optimum_us"] for row in runs} == {"100.0"}


# Processes


def test_rows_do_not_depend_on_workers(tmp_path: Path) -> None:
    selection = Selection(
        2, ("single", "queries"), ("random", "best-logged"), ("M4", "M5"), ("genetic",), 64, 64
    )
    for name, workers in (("one", 1), ("two", 2)):
        evaluate(tmp_path / name, selection, RunSettings(SMALL), workers=workers)
    rows = [
        {
            name: {key: value for key, value in json.loads(text)["row"].items() if "seconds" not in key}
            for name, text in files(tmp_path / part).items()
        }
        for part in ("one", "two")
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 2 + 2 * 2 * 3


def test_workers_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_processors", lambda: 6)
    assert [found for _, found in parallel.for_each(paper_runs.threads, [0, 1], workers=2)] == [["3"] * 3] * 2
    assert [found for _, found in parallel.for_each(paper_runs.threads, [0], threads=5)] == [["5"] * 3]


def test_a_lost_worker() -> None:
    with pytest.raises(PrimeFastError, match="a worker process was lost"):
        list(parallel.for_each(paper_runs.ended, [0]))


def test_no_items_no_processes() -> None:
    assert list(parallel.for_each(paper_runs.ended, [], ray="nowhere:1")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_control_c_ends_at_once_and_keeps_rows(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = "--section single --app M4 --method random --method default --seeds 1 --pool 20000"
    command = [sys.executable, "-c", "from prime_fast.cli import script; script()", "benchmark", "paper"]
    process = subprocess.Popen(  # noqa: S603
        [*command, "--out", str(out), *arguments.split(), "--budget", "thorough"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    try:
        deadline = time.monotonic() + 60
        # The optimum and the random proposals are there; the training takes minutes.
        while len(list(out.glob("rows/*.json"))) < 2 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.5)
        started = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        # Ends when nobody is left to write to the pipes, no worker either.
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - started < 5
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 130
    assert err.splitlines()[0].endswith("the same command goes on from there.")
    assert err.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in err
    assert len(list(out.glob("rows/*.json"))) >= 2


# The command


def test_smoke_run(run: Run, tmp_path: Path) -> None:
    options = ("--quick", "--out", tmp_path / "out", "--threads", "1")
    code, out, err = run("benchmark", "paper", *options)
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines()), out
    assert "MobileNetV2" in out
    runs = pl.read_csv(tmp_path / "out" / "tables" / "runs.csv")
    assert runs.height == 1
    assert runs["optimum_us"][0] <= runs["best_of_16_us"][0]
    code, again, err = run("benchmark", "paper", *options)
    assert (code, again, err) == (0, out, "")
    told = json.loads(run("benchmark", "paper", *options, "--json")[1])
    assert told["directory"] == str(tmp_path / "out" / "tables")
    assert "MobileNetV2" in json.dumps(told["tables"])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--seeds", "0"], "seeds is 0"),
        (["--workers", "0"], "workers is 0"),
        (["--method", "oracle"], "`oracle` is unknown"),
        (["--budget", "lavish"], "'lavish' is not one of"),
        (["--removed", "1.5"], "removed is 1.5"),
        (["--surrogate", "cnn"], "'cnn' is not one of"),
    ],
)
def test_bad_options(run: Run, options: list[str], text: str) -> None:
    code, out, err = run("benchmark", "paper", "--out", "out", *options)
    assert (code, out) == (2, "")
    assert "Error: " in err
    assert text in err
    assert err.count("Error: ") == 1


def test_tables_fit_the_screen(
    run: Run, tables: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paper, "evaluate", lambda *_args, **_options: tables["evaluation"])
    (tmp_path / "out").mkdir()
    code, out, _ = run("benchmark", "paper", "--out", "out")
    assert code == 0
    assert all(len(line) <= 80 for line in out.splitlines()), out
    # Nothing was cut off for it.
    assert "…" not in out
    for name in pf.prime_application_names():
        assert name in out


# Ray


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a cluster of two nodes on this machine, one processor each."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'prime-fast[ray]'")
    from ray.cluster_utils import Cluster

    # Workers import this folder's modules.
    paths = [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        found.add_node(num_cpus=1)
        yield found
    finally:
        found.shutdown()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(sys.platform == "win32", reason="ends a worker by a signal")
def test_a_cluster_survives_the_loss_of_a_worker(cluster: Any, tmp_path: Path) -> None:
    assert len(cluster.list_all_nodes()) == 2
    place = tmp_path / "place"
    place.mkdir()

    def kill(_stage: str, done: int, _all: int) -> None:
        if done == 0 or (place / "go").exists():
            return
        # Rows are there, and jobs are under way, which wait: one worker of them is lost.
        deadline = time.monotonic() + 60
        while not (started := list(place.iterdir())):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(int(started[0].suffix[1:]), signal.SIGKILL)
        (place / "go").touch()

    run = functools.partial(paper_runs.waiting, place)
    found = evaluate(tmp_path / "there", ONE, RunSettings(SMALL), ray=cluster.address, run=run, progress=kill)
    assert found.rows == made_up(tmp_path / "here").rows
    assert files(tmp_path / "there") == files(tmp_path / "here")
    started = [path.stem for path in place.iterdir() if path.name != "go"]
    # One job was taken up by another process.
    assert len(started) == len(set(started)) + 1


def test_a_missing_cluster(tmp_path: Path) -> None:
    try:
        importlib.import_module("ray")
    except ImportError:
        expected = r"needs Ray .*: pip install 'prime-fast\[ray\]'"
    else:
        expected = "no Ray cluster at"
    for address in ("127.0.0.1:1", "somewhere"):
        with pytest.raises(ConfigurationError, match=expected):
            made_up(tmp_path, ray=address)


@pytest.mark.filterwarnings("ignore")
def test_a_run_on_a_cluster_has_the_rows_of_a_local_one(cluster: Any, tmp_path: Path) -> None:
    there = made_up(tmp_path / "there", ray=cluster.address)
    assert there.rows == made_up(tmp_path / "here").rows
    with pytest.raises(ConfigurationError, match="seed 1 can't be run"):
        evaluate(
            tmp_path / "error", ONE, RunSettings(SMALL), ray=cluster.address, run=paper_runs.not_the_first
        )
