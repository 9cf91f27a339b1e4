"""Runs of offline methods beside their yardstick, and the figures of several of them together.

Ratios
------
- to the optimum: latency / proven optimum of the same objective within the same area; 1 is perfect
- gain: best logged latency / best of 16, for several or unlogged applications with the best logged design
  that `prime_fast.benchmark.jobs` describes; the paper's is that of its own table, 2.46x in the mean

Aggregates
----------
A row of an application has interquartile means over seeds, a failed run being infinite ("fail"), with the
stratified bootstrap interval of 95%. The row "geometric mean" is over applications and seeds; in it, and in
the gains, a run without a feasible proposal counts as the best logged design, which an architect falls back
to, and ``failures`` says how many did. The row "interquartile mean" is over the same runs, failures infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl

from prime_fast.benchmark.paper import Planned, optimum_of, reference_of
from prime_fast.benchmark.printed_table import cell
from prime_fast.benchmark.statistics import geometric_mean, interquartile_mean, interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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

    def with_fallback(self, name: str) -> float:
        """Return the ratio, or that of the best logged design where there is none."""
        ratio = self.ratio(name)
        return ratio if math.isfinite(ratio) else self.ratio("best_logged_us")

    @property
    def gain(self) -> float:
        """Return how much better the best of 16 is than the best logged design; NaN where none is logged."""
        logged = self.ratio("best_logged_us")
        return logged / self.with_fallback("best_of_16_us") if math.isfinite(logged) else math.nan

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
    mean = geometric_mean if geometric else interquartile_mean

    def of(name: str) -> Callable[[Run], float]:
        return lambda run: run.with_fallback(name) if geometric else run.ratio(name)

    best = [[of("best_of_16_us")(run) for run in group] for group in groups]
    span = interval(best, "geometric" if geometric else "interquartile")
    gains = [run.gain for run in runs if not math.isnan(run.gain)]
    asked_128 = all(run.row["asked"] >= 128 for run in runs)
    return {
        "runs": len(runs),
        "failures": sum(run.failed for run in runs),
        "first": mean([of("first_us")(run) for run in runs]),
        "best": mean([value for group in best for value in group]),
        "best_low": None if span is None else span[0],
        "best_high": None if span is None else span[1],
        "span": span_of(span),
        "best_of_128": mean([of("best_of_128_us")(run) for run in runs]) if asked_128 else None,
        "median": interquartile_mean([run.ratio("median_us") for run in runs]),
        "feasible_percent": 100 * float(np.mean([run.row["feasible_share"] for run in runs])),
        "duplicates": sum(run.row["duplicates"] for run in runs),
        "already_logged": sum(run.row["already_logged"] for run in runs),
        "logged": mean([run.ratio("best_logged_us") for run in runs]),
        "gain": mean(gains) if gains else None,
        "proposing_seconds": float(np.median([run.row["proposing_seconds"] for run in runs])),
    }


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
