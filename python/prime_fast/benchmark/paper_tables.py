"""Tables of the evaluation: ours beside the paper's ratios, the proven optimum as the yardstick.

Ratios
------
- to the optimum: latency / proven optimum of the same objective within the same area; 1 is perfect
- gain: best logged latency / best of 16, for several or unlogged applications with the best logged design
  that `prime_fast.benchmark.jobs` describes; the paper's is that of its own table, 2.46x in the mean
- over online: latency of evolutionary search after all its queries / best of 16; the paper's likewise
- speed-up: latency of the Edge TPU V1, which streams its weights / best of 16 (`benchmark.edge_tpu`)

Aggregates
----------
A row of an application has interquartile means over seeds, a failed run being
infinite ("fail"), with the stratified bootstrap interval of 95%. The row "geometric mean" is over
applications and seeds; in it, and in the gains, a run without a feasible proposal counts as the best logged
design, which an architect falls back to, and ``failures`` says how many did. The row "interquartile mean"
is over the same runs, failures infinite.

Methods are compared on the runs of the same application and seed, hence the same log: ``p_holm`` is of
Wilcoxon's test over all of these pairs, ``p_applications_holm`` of that over the applications'
interquartile means, which doesn't count the seeds of an application as independent of each other.

Queries
-------
``to_match``: the median over seeds of the queries after which an online search is at least
as good as the proposals are, their best of 16 being the median over seeds. ``saved_percent`` = 1 - 16
applications / that number, as the proposals have to be simulated too; of the log, which lies there, nothing
is counted.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl

from prime_fast.benchmark.edge_tpu import PUBLISHED_SPEED_UPS
from prime_fast.benchmark.paper import ONLINE, PUBLISHED_SINGLE, Evaluation, Planned, optimum_of
from prime_fast.benchmark.statistics import (
    geometric_mean,
    holm,
    interquartile_mean,
    interval,
    paired_p,
    probability_of_improvement,
)
from prime_fast.designs import reference_design
from prime_fast.errors import ConfigurationError
from prime_fast.logs.writing import atomic_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prime_fast.benchmark.jobs import Row

Values: TypeAlias = list[float]
#: How much worse than PRIME the paper's ablations are, geometric mean.
PUBLISHED_ABLATIONS = {"prime-no-adversarial": 1.27, "prime-no-infeasible": 1.09, "regression": 1.42}
PUBLISHED_SAVED = "93% for one application, 99% for several"
MEAN, MIDDLE = "geometric mean", "interquartile mean"
CHECKPOINTS = (100, 1_000, 10_000)
FAILED = "fail"


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes
    ----------
    name : str
        Of its files.
    title : str
    frame : polars.DataFrame
        All columns.
    columns : list of (str, str, str)
        Those that are printed: heading, column, format specification.
    notes : list of str
    """

    name: str
    title: str
    frame: pl.DataFrame
    columns: list[tuple[str, str, str]]
    notes: list[str] = field(default_factory=list)

    def cells(self) -> list[list[str]]:
        """Return what is printed, row by row: a dash where there is no value."""
        return [[_cell(row[name], spec) for _, name, spec in self.columns] for row in self.frame.to_dicts()]


def _cell(value: Any, spec: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, float) and not math.isfinite(value):
        return FAILED
    return format(value, spec)


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


def _runs(evaluation: Evaluation, table: str, method: str, section: str) -> Strata:
    strata: Strata = {}
    for planned in evaluation.planned:
        job = planned.job
        if (planned.section, planned.table, job.kind, job.method) == (section, table, "offline", method):
            optimum = evaluation.rows[optimum_of(job)]["latency_us"]
            run = Run(planned, evaluation.rows[job], optimum if optimum is not None else math.nan)
            strata.setdefault((planned.case.name, planned.case.area_mm2), []).append(run)
    return strata


def _methods(evaluation: Evaluation, section: str, table: str) -> list[str]:
    jobs = [
        planned.job
        for planned in evaluation.planned
        if (planned.section, planned.table, planned.job.kind) == (section, table, "offline")
    ]
    return list(dict.fromkeys(job.method for job in jobs))


def _summary(strata: Iterable[list[Run]], *, geometric: bool) -> Row:
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
        "best_of_128": mean([of("best_of_128_us")(run) for run in runs]) if asked_128 else None,
        "median": interquartile_mean([run.ratio("median_us") for run in runs]),
        "feasible_percent": 100 * float(np.mean([run.row["feasible_share"] for run in runs])),
        "duplicates": sum(run.row["duplicates"] for run in runs),
        "already_logged": sum(run.row["already_logged"] for run in runs),
        "logged": mean([run.ratio("best_logged_us") for run in runs]),
        "gain": mean(gains) if gains else None,
        "proposing_seconds": float(np.median([run.row["proposing_seconds"] for run in runs])),
    }


def _span(row: Row) -> str | None:
    if row["best_low"] is None:
        return None
    return "-".join(_cell(row[name], ".2f") for name in ("best_low", "best_high"))


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return geometric_mean(known) if known and len(known) == len(values) else None


def _online_latency(evaluation: Evaluation, run: Run) -> float | None:
    """Return what evolutionary search reached for the same targets and area, in the middle of its seeds."""
    job = run.planned.job
    found = [
        evaluation.rows[other.job]["latency_us"]
        for other in evaluation.planned
        if (other.job.kind, other.job.method) == ("online", ONLINE)
        and (other.job.targets, other.job.area_mm2) == (job.targets, job.area_mm2)
    ]
    return interquartile_mean([math.inf if value is None else value for value in found]) if found else None


def _case_rows(evaluation: Evaluation, section: str, table: str, method: str) -> list[Row]:
    """Return a row a case, and those of all together."""
    strata = _runs(evaluation, table, method, section)
    rows: list[Row] = []
    for (name, area_mm2), runs in strata.items():
        case, row = runs[0].planned.case, _summary([runs], geometric=False)
        online = _online_latency(evaluation, runs[0])
        published = PUBLISHED_SINGLE.get(name) if section == "single" else None
        rows.append(
            {
                "method": method,
                "case": name,
                "area_mm2": area_mm2,
                "optimum_us": runs[0].optimum_us,
                **row,
                "over_online": None if online is None else online / (row["best"] * runs[0].optimum_us),
                "paper_gain": published[2] / published[0] if published else None,
                "paper_over_online": case.published_us[1] / case.published_us[0]
                if case.published_us and section != "edge-tpu"
                else None,
                **{
                    name: interquartile_mean([run.ratio(f"{name}_us") for run in runs])
                    if section == "zero-shot"
                    else None
                    for name in ("nearest", "average")
                },
                "v1_us": None,
                "speed_up": None,
                "optimum_speed_up": None,
                "paper_speed_up": None,
            }
        )
    if section == "edge-tpu":
        rows = [row | _speed_up(row["case"], strata[row["case"], row["area_mm2"]]) for row in rows]
    return rows + _overall(strata, rows, method)


def _overall(strata: Strata, rows: list[Row], method: str) -> list[Row]:
    if len(rows) < 2:
        return []
    blank = dict.fromkeys(rows[0]) | {"method": method}
    means = {
        name: _mean_of_known([row[name] for row in rows])
        for name in ("over_online", "paper_gain", "paper_over_online", "nearest", "average")
    }
    means |= {name: _mean_of_known([row[name] for row in rows]) for name in ("speed_up", "optimum_speed_up")}
    published = (
        PUBLISHED_SPEED_UPS["all nine applications"][1] if len(rows) == len(PUBLISHED_SINGLE) else None
    )
    means["paper_speed_up"] = published if rows[0]["speed_up"] is not None else None
    return [
        blank | {"case": MEAN} | _summary(strata.values(), geometric=True) | means,
        blank | {"case": MIDDLE} | _summary(strata.values(), geometric=False),
    ]


def _speed_up(application: str, runs: list[Run]) -> Row:
    """Return the Edge TPU V1's latency over that of the best of 16; a failure is the best logged design."""
    v1_us = float(reference_design("edge-tpu-v1").score(application).latency_us[0])
    if math.isnan(v1_us):
        return {}
    published = {
        group[0]: figure for group, figure in PUBLISHED_SPEED_UPS.values() if group and len(group) == 1
    }
    optimum_us = runs[0].optimum_us
    return {
        "v1_us": v1_us,
        "speed_up": v1_us
        / (optimum_us * interquartile_mean([run.with_fallback("best_of_16_us") for run in runs])),
        "optimum_speed_up": v1_us / optimum_us,
        "paper_speed_up": published.get(application),
    }


_CASE = ("", "case", "")
_OURS = [
    ("optimum\nus", "optimum_us", ".1f"),
    ("\nfirst", "first", ".3f"),
    ("best\nof 16", "best", ".3f"),
    ("\n95%", "span", ""),
    ("feas.\n%", "feasible_percent", ".0f"),
]
_COLUMNS = {
    "single": [
        ("\ngain", "gain", ".2f"),
        ("paper\ngain", "paper_gain", ".2f"),
        ("over\nonline", "over_online", ".2f"),
        ("\npaper", "paper_over_online", ".2f"),
    ],
    "several": [
        ("\nmm2", "area_mm2", ".0f"),
        ("\ngain", "gain", ".2f"),
        ("over\nonline", "over_online", ".2f"),
        ("\npaper", "paper_over_online", ".2f"),
    ],
    "zero-shot": [
        ("\nmm2", "area_mm2", ".0f"),
        ("near-\nest", "nearest", ".2f"),
        ("over\nonline", "over_online", ".2f"),
        ("\npaper", "paper_over_online", ".2f"),
    ],
    "trained": [("nearest\nlogged", "nearest", ".2f"), ("average\nlogged", "average", ".2f")],
    "edge-tpu": [
        ("V1\nus", "v1_us", ".1f"),
        ("speed-\nup", "speed_up", ".2f"),
        ("opti-\nmum", "optimum_speed_up", ".2f"),
        ("\npaper", "paper_speed_up", ".2f"),
    ],
}
_TITLES = {
    "single": "One application, 29 mm2",
    "several": "Several applications, one design",
    "zero-shot": "Zero-shot: the paper's training and test applications",
    "edge-tpu": "Edge TPU V1 and proposals within its 27 mm2",
}


def _frame(rows: list[Row]) -> pl.DataFrame:
    frame = pl.DataFrame([row | {"span": _span(row)} for row in rows], infer_schema_length=None)
    empty = [name for name in frame.columns if frame[name].null_count() == frame.height]
    return frame.drop(name for name in empty if name in ("v1_us", "optimum_speed_up", "nearest", "average"))


def _ours(frame: pl.DataFrame) -> list[tuple[str, str, str]]:
    """Return the columns of every table; the best of 128 takes the place of the optimum, for the width."""
    if frame["best_of_128"].null_count():
        return _OURS
    first, best, *others = _OURS[1:]
    return [first, best, ("of\n128", "best_of_128", ".3f"), *others]


def _shown(frame: pl.DataFrame, columns: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [
        column for column in columns if column[1] in frame.columns and frame[column[1]].is_not_null().any()
    ]


def case_tables(evaluation: Evaluation, section: str, table: str) -> list[Table]:
    """Return a table of a section for each of its methods."""
    tables = []
    for method in _methods(evaluation, section, table):
        frame = _frame(_case_rows(evaluation, section, table, method))
        kind = "trained" if table.endswith("trained") else section
        title = f"Zero-shot: each left out, {table}, 29 mm2" if kind == "trained" else _TITLES[section]
        failures = int(frame.filter(~pl.col("case").is_in([MEAN, MIDDLE]))["failures"].sum())
        notes = [f"Runs without a feasible proposal: {failures}."] if failures else []
        if section == "edge-tpu":
            notes += _speed_up_notes(frame)
        name = "-".join([section, *(table.split() if kind == "trained" else []), method])
        columns = _shown(frame, [_CASE, *_ours(frame), *_COLUMNS[kind]])
        tables.append(Table(name, f"{title}: {method}", frame, columns, notes))
    return tables


def _speed_up_notes(frame: pl.DataFrame) -> list[str]:
    notes = []
    for what, (group, published) in PUBLISHED_SPEED_UPS.items():
        names = list(PUBLISHED_SINGLE if group is None else group)
        rows = frame.filter(pl.col("case").is_in(names))
        if rows.height == len(names):
            ours = geometric_mean(rows["speed_up"].to_list())
            notes.append(f"Faster than V1, {what}: {ours:.2f}x; paper {published:.2f}x.")
    return notes


def count_table(evaluation: Evaluation) -> list[Table]:
    """Return how zero-shot proposals depend on the number of training applications."""
    counts = [
        table
        for table in dict.fromkeys(p.table for p in evaluation.planned if p.section == "zero-shot")
        if table.endswith("trained")
    ]
    if len(counts) < 2:
        return []
    method = _methods(evaluation, "zero-shot", counts[0])[0]
    rows = [
        {"case": table, "method": method}
        | _summary(_runs(evaluation, table, method, "zero-shot").values(), geometric=True)
        for table in counts
    ]
    frame = _frame(rows)
    columns = _shown(
        frame, [_CASE, *_ours(frame), ("\ngain", "gain", ".2f"), ("\nfailures", "failures", "d")]
    )
    title = f"Zero-shot: more training applications, geometric means: {method}"
    return [Table("zero-shot-counts", title, frame, columns)]


def _pairs(ours: Strata, theirs: Strata) -> tuple[list[Values], list[Values]]:
    """Return the ratios of two methods on the same cases, seeds in the same order."""
    names = [name for name in ours if name in theirs]
    return tuple(  # type: ignore[return-value]
        [[run.ratio("best_of_16_us") for run in strata[name]] for name in names] for strata in (ours, theirs)
    )


def ablation_tables(evaluation: Evaluation) -> list[Table]:
    """Return all methods beside the default one, and each of them on each application."""
    section = "ablations"
    methods = _methods(evaluation, section, section)
    if not methods:
        return []
    reference = "default" if "default" in methods else methods[0]
    strata = {method: _runs(evaluation, section, method, section) for method in methods}
    rows: list[Row] = []
    for method in methods:
        row: Row = {"case": method} | _summary(strata[method].values(), geometric=True)
        row["interquartile"] = _summary(strata[method].values(), geometric=False)["best"]
        ours, theirs = _pairs(strata[reference], strata[method])
        middles = [[interquartile_mean(values) for values in side] for side in (ours, theirs)]
        flat = [[value for values in side for value in values] for side in (ours, theirs)]
        other = method != reference
        row |= {
            "applications": len(ours),
            "at_least_as_good": int(np.sum(np.array(middles[0]) <= np.array(middles[1]) * (1 + 1e-9))),
            "probability": probability_of_improvement(ours, theirs) if other else None,
            "p": paired_p(*flat) if other else None,
            "p_applications": paired_p(*middles) if other else None,
            "paper_relative": PUBLISHED_ABLATIONS.get(method),
        }
        rows.append(row)
    tested = [row for row in rows if row["p"] is not None]
    for name in ("p", "p_applications"):
        for row, p in zip(tested, holm([row[name] for row in tested]), strict=True):
            row[f"{name}_holm"] = p
    best = {row["case"]: row["best"] for row in rows}
    for row in rows:
        row.setdefault("p_holm", None)
        row.setdefault("p_applications_holm", None)
        row["relative"] = row["best"] / best["prime"] if "prime" in best else None
    frame = _frame(rows)
    columns = _shown(
        frame,
        [
            _CASE,
            ("\nfirst", "first", ".3f"),
            ("best\nof 16", "best", ".3f"),
            ("\n95%", "span", ""),
            ("feas.\n%", "feasible_percent", ".0f"),
            ("by\nprime", "relative", ".2f"),
            ("\npaper", "paper_relative", ".2f"),
            ("P\nbetter", "probability", ".2f"),
            ("p\nHolm", "p_holm", ".1g"),
            ("as\ngood", "at_least_as_good", "d"),
        ],
    )
    notes = [
        f"P better: how likely a run of `{reference}` beats one of the method. p: Wilcoxon's test of pairs",
        "over applications and seeds, corrected after Holm. As good: applications on which",
        f"`{reference}` is at least as good. By prime: over that of `prime`, as in the paper.",
    ]
    return [
        Table("ablations", "Methods, one application, 29 mm2, geometric means", frame, columns, notes),
        _by_application(strata),
    ]


def _by_application(strata: Mapping[str, Strata]) -> Table:
    names = list(next(iter(strata.values())))
    rows = [
        {"case": name[0]}
        | {
            method: interquartile_mean([run.ratio("best_of_16_us") for run in runs[name]])
            for method, runs in strata.items()
        }
        for name in names
    ]
    # Methods as rows: there may be more of them than columns fit.
    frame = pl.DataFrame(
        [{"case": method} | {str(row["case"]): row[method] for row in rows} for method in strata],
        infer_schema_length=None,
    )
    short = {name: name.replace("MobileNet", "").replace("EdgeTPU", "Edge") for name, _ in names}
    columns = [_CASE, *((short[name].replace(" ", "\n"), name, ".2f") for name, _ in names)]
    return Table(
        "ablations-applications", "Best of 16 over optimum, application by application", frame, columns
    )


def query_tables(evaluation: Evaluation) -> list[Table]:
    """Return how online search fares with its queries, and how many it needs to match the proposals."""
    planned = [p for p in evaluation.planned if p.section == "queries"]
    if not planned:
        return []
    offline = _methods(evaluation, "queries", "queries")[0]
    proposals = _runs(evaluation, "queries", offline, "queries")
    rows: list[Row] = []
    for method in dict.fromkeys(p.job.method for p in planned if p.job.kind == "online"):
        for key, runs in proposals.items():
            jobs = [
                p.job
                for p in planned
                if (p.job.kind, p.job.method) == ("online", method) and (p.case.name, p.case.area_mm2) == key
            ]
            rows.append({"method": method, **_queries(evaluation, jobs, runs)})
    frame = pl.DataFrame(rows, infer_schema_length=None)
    tables = []
    for method in frame["method"].unique(maintain_order=True):
        part = frame.filter(pl.col("method") == method)
        limit = max(part["queries"].to_list())
        columns = _shown(
            part,
            [
                _CASE,
                (f"best\nof {min(16, evaluation.settings.proposals)}", "offline", ".3f"),
                *((f"online\n{count:,}", f"after_{count}", ".3f") for count in CHECKPOINTS),
                ("queries\nto match", "to_match", ",.0f"),
                ("matched\nruns %", "matched_percent", ".0f"),
                ("saved\n%", "saved_percent", ".1f"),
            ],
        )
        notes = [
            f"To match: median over seeds; {FAILED} where most don't within {limit:,} queries.",
            "Saved: of these, when all proposals are simulated for each application.",
            f"The paper: {PUBLISHED_SAVED}.",
        ]
        title = f"Online search, over the optimum: {method}, beside {offline}"
        tables.append(Table(f"queries-{method}", title, part, columns, notes))
    return tables


def _queries(evaluation: Evaluation, jobs: list[Any], runs: list[Run]) -> Row:
    optimum_us = runs[0].optimum_us
    offline_us = float(
        np.quantile([run.ratio("best_of_16_us") for run in runs], 0.5, method="inverted_cdf") * optimum_us
    )
    curves = [evaluation.rows[job]["curve"] for job in jobs]

    def after(curve: list[list[float]], queries: int) -> float:
        return min((score for made, score in curve if made <= queries), default=math.inf) / optimum_us

    needed = [
        next((float(made) for made, score in curve if score <= offline_us * (1 + 1e-9)), math.inf)
        for curve in curves
    ]
    if not math.isfinite(offline_us):
        needed = []
    middle = float(np.quantile(needed, 0.5, method="inverted_cdf")) if needed else None
    proposed = min(16, evaluation.settings.proposals) * len(jobs[0].targets)
    allowed = jobs[0].queries
    # What it takes at least, where the search did not get there.
    reached = None if middle is None else min(middle, allowed)
    return {
        "case": runs[0].planned.case.name,
        "area_mm2": runs[0].planned.case.area_mm2,
        "runs": len(jobs),
        "queries": allowed,
        "optimum_us": optimum_us,
        "offline": offline_us / optimum_us,
        **{
            f"after_{count}": interquartile_mean([after(curve, count) for curve in curves])
            if count <= allowed
            else None
            for count in CHECKPOINTS
        },
        "to_match": middle,
        "matched_percent": 100 * float(np.isfinite(needed).mean()) if needed else None,
        "saved_percent": None if reached is None else 100 * max(0.0, 1 - proposed / reached),
    }


def all_tables(evaluation: Evaluation) -> list[Table]:
    """Return the tables of all sections that were run."""
    tables: list[Table] = []
    for section in ("single", "several", "zero-shot", "edge-tpu"):
        names = dict.fromkeys(p.table for p in evaluation.planned if p.section == section)
        for table in names:
            if table in (section, f"{len(evaluation.selection.applications) - 1} trained"):
                tables += case_tables(evaluation, section, table)
        if section == "zero-shot":
            tables += count_table(evaluation)
    return tables + ablation_tables(evaluation) + query_tables(evaluation)


def run_frame(evaluation: Evaluation) -> pl.DataFrame:
    """Return all runs of methods, one a row, with the optimum beside each: what the tables are made of."""
    rows = []
    for job in dict.fromkeys(p.job for p in evaluation.planned if p.job.kind == "offline"):
        optimum = evaluation.rows[optimum_of(job)]
        row = {
            name: value
            for name, value in evaluation.rows[job].items()
            if value is None or isinstance(value, str | int | float)
        }
        names = {name: ", ".join(getattr(job, name)) for name in ("training", "targets")}
        key = {"method": job.method, **names, "area_mm2": job.area_mm2, "seed": job.seed}
        rows.append(key | {"optimum_us": optimum["latency_us"], "optimum_proved": optimum["proved"]} | row)
    return pl.DataFrame(rows, infer_schema_length=None)


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    head = [heading.replace("-\n", "").replace("\n", " ").strip() for heading, _, _ in table.columns]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *table.cells()]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([f"## {table.title}", body, *([" ".join(table.notes)] if table.notes else [])]) + "\n"


def write_tables(evaluation: Evaluation, tables: Sequence[Table], out: str | Path) -> Path:
    """Write each table as Markdown, CSV and JSON, and all runs as CSV; each file whole or not at all.

    Returns
    -------
    Path
        The directory of the tables, ``tables`` in `out`.

    Raises
    ------
    ConfigurationError
        If a file can't be written.
    """
    directory = Path(out) / "tables"
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{directory}: can't be made: {error.strerror or error}") from None
    for table in tables:
        finite = [
            {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in row.items()
            }
            for row in table.frame.to_dicts()
        ]
        fields = {"title": table.title, "rows": finite, "notes": table.notes}
        texts = {
            ".md": markdown(table),
            ".csv": table.frame.write_csv(),
            ".json": json.dumps(fields, indent=1, allow_nan=False),
        }
        for suffix, text in texts.items():
            with atomic_file(directory / f"{table.name}{suffix}") as file:
                file.write(text.encode())
    with atomic_file(directory / "runs.csv") as file:
        run_frame(evaluation).write_csv(file)
    return directory
