"""`prime-fast benchmark refine`: the queries that refinement needs, beside searches without a log."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from prime_fast import methods, offline, refinement
from prime_fast.benchmark.protocol import LogSettings
from prime_fast.benchmark.refining import (
    RefineJob,
    RefineSettings,
    compare_refining,
    refining_tables,
    run_refine_job,
)
from prime_fast.errors import ConfigurationError
from prime_fast.surrogate import TrainingSettings

Run = Callable[..., tuple[int, str, str]]
SMALL = RefineSettings(LogSettings(20_000, 0.695, 300, 300), queries=12, budget="quick")


def test_a_run_counts_every_query_from_the_proposals_on(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = TrainingSettings(
        width=32, members=2, steps=150, selection_steps=40, batch=64, alphas=(0.0,), betas=(0.0,)
    )
    monkeypatch.setattr(methods.Method, "settings", lambda *_: tiny)
    monkeypatch.setitem(offline.SEARCH_EVALUATIONS, "quick", 2000)
    monkeypatch.setattr(refinement, "EVALUATIONS", 1000)
    job = RefineJob("refine", "SqueezeNet", 1)
    row = run_refine_job((job, SMALL))
    assert row["queries"] == 12
    assert 1 <= row["feasible"] <= 12
    made, values = zip(*row["curve"], strict=True)
    assert list(made) == sorted(made)
    assert 1 <= made[0] <= made[-1] <= 12
    assert list(values) == sorted(values, reverse=True)
    assert values[-1] >= 1.0
    again = run_refine_job((job, SMALL))
    assert again["curve"] == row["curve"]


def test_tables_are_medians_over_seeds_and_failures_count() -> None:
    def row(*curve: list[float]) -> dict[str, Any]:
        return {"curve": list(curve), "queries": 12, "feasible": 9, "seconds": 1.0, "optimum_us": 1.0}

    rows = {
        RefineJob("refine", "M4", 0): row([1, 1.2], [3, 1.04], [5, 1.001]),
        RefineJob("refine", "M4", 1): row([2, 1.03]),
        RefineJob("refine", "M4", 2): row([4, 1.02], [12, 1.01]),
        RefineJob("genetic", "M4", 0): row([8, 1.5]),
        RefineJob("genetic", "M4", 1): row(),
        RefineJob("genetic", "M4", 2): row([9, 1.05]),
    }
    tables, runs = refining_tables(rows, SMALL)
    overall, five, one, after = (table.frame.to_dicts() for table in tables)
    figures = {"refine": 3.0, "refine_low": 2.0, "refine_high": 4.0, "refine_shown": "3 (2-4)"}
    assert figures.items() <= five[0].items()
    assert five[0]["genetic"] == math.inf
    assert five[0]["genetic_shown"] == "fail (9-fail)"
    assert one[0]["refine_shown"] == "12 (5-fail)"
    assert {"refine": 1.01, "refine_low": 1.001, "refine_high": 1.03}.items() <= after[0].items()
    assert tables[3].cells() == [["M4", "1.010", "1.500"]]
    refined, genetic = overall
    assert refined["reached_5%"] == 100.0
    assert refined["reached_1%"] == pytest.approx(200 / 3)
    assert genetic["reached_5%"] == pytest.approx(100 / 3)
    assert refined["to_1%"] == 12.0
    assert refined["after_12"] == pytest.approx((1.001 * 1.03 * 1.01) ** (1 / 3))
    assert genetic["after_12"] == math.inf
    assert runs.height == 6
    assert "fail" in {cell for line in tables[0].cells() for cell in line}


def test_searches_run_resume_and_print(run: Run, tmp_path: Path) -> None:
    arguments = ["benchmark", "refine", "--out", "out", "--app", "SqueezeNet", "--method", "genetic"]
    code, out, _ = run(*arguments, "--seeds", 2, "--queries", 20)
    assert code == 0
    assert "Queries to within 5% of the optimum" in out
    rows = sorted((tmp_path / "out" / "rows").iterdir())
    assert [path.name for path in rows] == ["genetic-SqueezeNet-0.json", "genetic-SqueezeNet-1.json"]
    before = rows[0].stat().st_mtime_ns
    code, _, _ = run(*arguments, "--seeds", 2, "--queries", 20, "--json")
    assert code == 0
    assert rows[0].stat().st_mtime_ns == before
    assert pl.read_csv(tmp_path / "out" / "tables" / "runs.csv").height == 2
    code, _, errors = run(*arguments, "--seeds", 2, "--queries", 30)
    assert code == 2
    assert "were made with queries 20, this run has 30" in errors


def test_wrong_use_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown method `genetics` \(did you mean genetic\?\)"):
        compare_refining(tmp_path / "a", methods=["genetics"])
    with pytest.raises(ConfigurationError, match="seeds is 0"):
        compare_refining(tmp_path / "a", seeds=0)
    with pytest.raises(ConfigurationError, match="queries is 0"):
        compare_refining(tmp_path / "a", settings=dataclasses.replace(SMALL, queries=0))
    assert not (tmp_path / "a").exists()
