"""`prime-fast benchmark paper` with an application that a file describes, beside the paper's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paper_runs
import polars as pl
import pytest
from test_workload import SMALL, small

import prime_fast as pf
from prime_fast.benchmark.jobs import RunSettings
from prime_fast.benchmark.paper import Evaluation, Selection, evaluate, plan
from prime_fast.benchmark.paper_tables import all_tables
from prime_fast.errors import ConfigurationError

__all__ = ["small"]

Run = Callable[..., tuple[int, str, str]]
PAPERS = tuple(pf.prime_application_names())
LOG = ("--pool", 20_000, "--feasible", 300, "--infeasible", 200)
# Whose filters no processing element has room for.
HUGE = """
name = "Huge"
title = "t"
source = "s"
input = [8, 8, 16]
layer = [{ name = "c", kind = "conv", input = [8, 8, 16], output = [8, 8, 16], kernel = [2001, 2001] }]
"""


def test_a_file_is_run_beside_its_proven_optimum(run: Run, small: Path) -> None:
    command = ("benchmark", "paper", "--out", "out", "--app", "small.toml", "--app", "M6", "--seeds", 1, *LOG)
    options = ("--method", "best-logged", "--online", "genetic", "--queries", 100, "--threads", 1)
    sections = ("--section", "single", "--section", "edge-tpu", "--section", "queries")
    code, out, err = run(*command, *options, *sections)
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines()), out
    runs = pl.read_csv("out/tables/runs.csv").filter(pl.col("targets") == "Small")
    assert sorted(runs["area_mm2"]) == [27.0, 29.0]
    for row in runs.iter_rows(named=True):
        assert row["optimum_us"] == pf.solve(str(small), {"area_mm2": row["area_mm2"]}).score
        assert row["best_of_16_us"] >= row["optimum_us"]
    single = pl.read_csv("out/tables/single-best-logged.csv")
    known = single.drop_nulls("paper_gain")["case"].to_list()
    # What of the paper's is compared is compared with the paper, and no mean that has another in it.
    assert known == ["M6"]
    edge = pl.read_csv("out/tables/edge-tpu-best-logged.csv").filter(pl.col("case") == "Small")
    assert (
        edge["v1_us"][0]
        == pf.reference_design("edge-tpu-v1").score(pf.workload.application_named(small)).latency_us
    )
    # Taken up again; and of another network of that name nothing is known.
    before = {path: path.stat().st_mtime_ns for path in Path("out/rows").iterdir()}
    assert run(*command, *options, *sections)[:2] == (0, out)
    assert {path: path.stat().st_mtime_ns for path in Path("out/rows").iterdir()} == before
    small.write_text(SMALL.replace("10]", "20]"))
    code, _, err = run(*command, *options, *sections, "--tables-only")
    assert code == 0, err
    assert "Small" not in pl.read_csv("out/tables/runs.csv")["targets"]


def made_up(out: Path, applications: tuple[str, ...], **options: Any) -> Evaluation:
    selection = Selection(1, ("single", "several", "zero-shot", "edge-tpu"), ("default",), applications)
    return evaluate(out, selection, RunSettings(), run=paper_runs.made_up, **options)


def test_what_is_compared_with_the_paper_stays_the_same(tmp_path: Path, small: Path) -> None:
    alone = made_up(tmp_path / "out", PAPERS)
    files = {path.name for path in (tmp_path / "out" / "rows").iterdir()}
    both = made_up(tmp_path / "out", (*PAPERS, str(small)))
    # The paper's jobs are the same, so that no row of theirs is run again.
    added = [planned for planned in both.planned if planned not in alone.planned]
    assert {planned.job.targets for planned in added} == {("Small",)}
    assert all(planned.job.workloads == (("Small", SMALL),) for planned in added)
    assert files < {path.name for path in (tmp_path / "out" / "rows").iterdir()}
    for planned in added:
        if planned.section == "zero-shot" and planned.job.kind == "offline":
            assert set(planned.job.training) < set(PAPERS)
    tables = {table.name: table.frame for table in all_tables(alone)}
    with_own = {table.name: table.frame for table in all_tables(both)}
    assert with_own.keys() == tables.keys()
    assert with_own["aims"].equals(tables["aims"])
    for name in ("single-default", "edge-tpu-default", "zero-shot-8-trained-default"):
        frame = with_own[name]
        of_cases = frame.filter(pl.col("case").is_in(PAPERS))
        assert of_cases.equals(tables[name].filter(pl.col("case").is_in(PAPERS)))
        assert frame.height == tables[name].height + 1
        (mean,) = frame.filter(pl.col("case") == "geometric mean").to_dicts()
        assert {mean["paper_gain"], mean["paper_over_online"], mean["paper_speed_up"]} == {None}


def test_an_own_application_takes_no_place_of_the_papers(tmp_path: Path, small: Path) -> None:
    # Nine, as many as the paper's, but not those.
    evaluation = made_up(tmp_path / "out", (*PAPERS[1:], str(small)))
    (table,) = [table for table in all_tables(evaluation) if table.name == "edge-tpu-default"]
    assert table.frame.filter(pl.col("case") == "geometric mean")["paper_speed_up"].to_list() == [None]


def test_a_selection_keeps_what_the_file_said(small: Path) -> None:
    selection = Selection(applications=(str(small), "M4"), sections=("single",), methods=("default",))
    small.unlink()
    again = dataclasses.replace(selection, seeds=1)
    assert again.applications == ("Small", "M4")
    assert {planned.case.name for planned in plan(again)} == {"Small", "M4"}
    assert dataclasses.replace(again, applications=("M4",)).workloads == ()
    several = dataclasses.replace(again, applications=("Small",), sections=("several",))
    with pytest.raises(ConfigurationError, match="several needs more applications than Small"):
        evaluate(small.parent / "out", several, run=paper_runs.made_up)


MISTAKES = {
    "missing": (["nowhere.toml"], 2, "nowhere.toml: no such file; expected an application in TOML"),
    "no application": (["space.toml"], 2, "space.toml, line 2: unknown field `parameter`"),
    "ONNX": (["net.onnx"], 2, "first make an application of it by `prime-fast workload import net.onnx"),
    "a taken name": (["taken.toml"], 2, "it is called MobileNetV2, as an application that ships"),
    "twice": (["small.toml", "./small.toml"], 2, "applications: `Small` is given twice"),
    "unknown": (["Small"], 2, "applications: `Small` is unknown; known: MobileNetEdgeTPU"),
    "too large": (["huge.toml"], 4, "Huge: no design of space `prime` can run Huge, even without limits"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(run: Run, small: Path, case: str) -> None:
    applications, expected, told = MISTAKES[case]
    small.with_name("space.toml").write_text('name = "s"\n[[parameter]]\nname = "a"\nvalues = [1]\n')
    small.with_name("taken.toml").write_text(SMALL.replace('"Small"', '"MobileNetV2"'))
    small.with_name("huge.toml").write_text(HUGE)
    options = [option for name in applications for option in ("--app", name)]
    code, out, err = run("benchmark", "paper", "--quick", "--out", "out", *options)
    assert (code, out) == (expected, ""), err
    assert told in err
    assert "Traceback" not in err
