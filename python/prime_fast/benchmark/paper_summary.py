"""Runs of offline methods beside their yardstick, and the figures of several of them together.

Ratios
------
- to the optimum: latency / proven optimum of the same objective within the same area; 1 is perfect
- gain: best logged latency / best of 16, for several or unlogged applications with the best logged design
  that `prime_fast.benchmark.jobs` describes; the paper's is that of its own table, 2.46x in the mean

Aggregates
----------
A row of an application has interquartile means over seeds, a failed run being infinite ("fail") and its gain
0, with the stratified bootstrap interval of 95%. The row "geometric mean" has geometric means over
applications of medians over seeds, as the aims do; one is infinite where half of the runs of an application
failed. The row "interquartile mean" is over all runs. ``failures`` says how many runs have no feasible
proposal, ``first_failures`` how many no feasible first one. Nothing takes a failed run's place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl

from prime_fast.benchmark.paper import Planned, optimum_of, reference_of
from prime_fast.benchmark.printed_table import cell
from prime_fast.benchmark.statistics import interquartile_mean, interval, statistic_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prime_fast.benchmark.jobs import Row
    from prime_fast.benchmark.paper import Evaluation
    from prime_fast.benchmark.printed_table import Column

MEAN, MIDDLE = "geometric mean", "interquartile mean"


@dataclass(frozen=True)
class Run:
    """An offline run beside its yardstick; ratios are infinite where there is nothing to compare."""

    planned: Planned
    row: Row
    optimum_us: float

    def ratio(self, name: str) -> float:
        """Return a latency of the row over the optimum."""
        value = self.row[name]
        return math.inf if value is None else value / self.optimum_us

    @property
    def over_logged(self) -> float:
        """Return the best of 16 over the best logged design, 1 / the gain; NaN where none is logged."""
        logged = self.ratio("best_logged_us")
        return self.ratio("best_of_16_us") / logged if math.isfinite(logged) else math.nan

    @property
    def failed(self) -> bool:
        """Return whether none of the first 16 proposals is feasible."""
        return self.row["best_of_16_us"] is None


Strata: TypeAlias = dict[tuple[str, float], list[Run]]
"""Runs by name and area of the case."""


def runs_of(evaluation: Evaluation, table: str, method: str, section: str) -> Strata:
    """Return the finished runs of a method in a table of a section."""
    strata: Strata = {}
    for planned in evaluation.planned:
        job = planned.job
        if (planned.section, planned.table, job.kind, job.method) == (section, table, "offline", method):
            optimum = evaluation.rows[optimum_of(job)]["latency_us"]
            run = Run(planned, evaluation.rows[job], optimum if optimum is not None else math.nan)
            strata.setdefault((planned.case.name, planned.case.area_mm2), []).append(run)
    return strata


def methods_of(evaluation: Evaluation, section: str, table: str) -> list[str]:
    """Return the offline methods of a table of a section."""
    jobs = [
        planned.job
        for planned in evaluation.planned
        if (planned.section, planned.table, planned.job.kind) == (section, table, "offline")
    ]
    return list(dict.fromkeys(job.method for job in jobs))


def judged_method(evaluation: Evaluation) -> str:
    """Return the method that is held against the aims; empty where no offline method has a row."""
    methods = [planned.job.method for planned in evaluation.planned if planned.job.kind == "offline"]
    return reference_of(methods) if methods else ""


def trained_strata(evaluation: Evaluation, method: str) -> dict[int, Strata]:
    """Return the runs for applications that were left out, by the number of those logged, ascending."""
    tables = {p.table for p in evaluation.planned if p.table.endswith("trained")}
    counts = {int(table.split()[0]): table for table in tables}
    found = {count: runs_of(evaluation, counts[count], method, "zero-shot") for count in sorted(counts)}
    return {count: strata for count, strata in found.items() if strata}


def summary(strata: Iterable[list[Run]], *, geometric: bool) -> Row:
    """Return the figures of the runs of one application, or of several together."""
    groups = [list(runs) for runs in strata]
    runs = [run for group in groups for run in group]
    statistic = "medians" if geometric else "interquartile"

    def ratios(name: str) -> list[list[float]]:
        return [[run.ratio(name) for run in group] for group in groups]

    def of(name: str) -> float:
        return statistic_of(ratios(name), statistic)

    span = interval(ratios("best_of_16_us"), statistic)
    known = [[run.over_logged for run in group if not math.isnan(run.over_logged)] for group in groups]
    asked_128 = all(run.row["asked"] >= 128 for run in runs)
    return {
        "runs": len(runs),
        "failures": sum(run.failed for run in runs),
        "first_failures": sum(run.row["first_us"] is None for run in runs),
        "first": of("first_us"),
        "best": of("best_of_16_us"),
        "best_low": None if span is None else span[0],
        "best_high": None if span is None else span[1],
        "span": span_of(span),
        "best_of_128": of("best_of_128_us") if asked_128 else None,
        "median": of("median_us"),
        "feasible_percent": 100 * float(np.mean([run.row["feasible_share"] for run in runs])),
        "duplicates": sum(run.row["duplicates"] for run in runs),
        "already_logged": sum(run.row["already_logged"] for run in runs),
        "logged": of("best_logged_us"),
        "gain": _gain([group for group in known if group], geometric=geometric),
        "proposing_seconds": float(np.median([run.row["proposing_seconds"] for run in runs])),
    }


def _gain(over_logged: list[list[float]], *, geometric: bool) -> float | None:
    if not over_logged:
        return None
    if geometric:
        return 1 / statistic_of(over_logged, "medians")
    return interquartile_mean([1 / value for values in over_logged for value in values])


def failure_notes(rows: Iterable[Row]) -> list[str]:
    """Return how many runs failed of those that rows are about, each in one row."""
    rows = list(rows)
    failures, first = (sum(row[name] for row in rows) for name in ("failures", "first_failures"))
    if not first:
        return []
    return [f"Runs without a feasible proposal: {failures}; whose first one is not: {first}."]


def span_of(span: tuple[float, float] | None, spec: str = ".2f") -> str | None:
    """Return an interval as it is printed."""
    return None if span is None else "-".join(cell(end, spec) for end in span)


CASE = ("", "case", "")
_OURS = [
    ("optimum\nus", "optimum_us", ".1f"),
    ("\nfirst", "first", ".3f"),
    ("best\nof 16", "best", ".3f"),
    ("\n95%", "span", ""),
    ("feas.\n%", "feasible_percent", ".0f"),
]


def summary_frame(rows: list[Row]) -> pl.DataFrame:
    """Return rows as a frame, without columns that only other tables fill."""
    frame = pl.DataFrame(rows, infer_schema_length=None)
    empty = [name for name in frame.columns if frame[name].null_count() == frame.height]
    return frame.drop(name for name in empty if name in ("v1_us", "optimum_speed_up", "nearest", "average"))


def our_columns(frame: pl.DataFrame) -> list[Column]:
    """Return the columns of every table; the best of 128 takes the place of the optimum, for the width."""
    if frame["best_of_128"].null_count():
        return _OURS
    first, best, *others = _OURS[1:]
    return [first, best, ("of\n128", "best_of_128", ".3f"), *others]


def shown(frame: pl.DataFrame, columns: list[Column]) -> list[Column]:
    """Return those columns that the frame has something for."""
    return [
        column for column in columns if column[1] in frame.columns and frame[column[1]].is_not_null().any()
    ]
