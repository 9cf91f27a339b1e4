"""How many queries online search needs to be as good as the proposals that cost none.

``to_match``: the median over seeds of the queries after which an online search is at least as
good as the proposals are, their best of 16 being the median over seeds. ``saved_percent`` =
1 - 16 applications / that number, as the proposals have to be simulated too; negative where they cost more.
Of the log, which lies there, nothing is counted; ``saved_with_log_percent`` counts its designs as queries.
Where most searches don't get there, both are lower bounds, which ``saved`` and ``saved_with_log`` say.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.benchmark.paper_summary import CASE, methods_of, runs_of, shown
from prime_fast.benchmark.printed_table import FAILED, Table
from prime_fast.benchmark.statistics import interquartile_mean

if TYPE_CHECKING:
    from prime_fast.benchmark.jobs import Row
    from prime_fast.benchmark.paper import Evaluation
    from prime_fast.benchmark.paper_summary import Run

PUBLISHED_SAVED = "93% for one application, 99% for several"
CHECKPOINTS = (100, 1_000, 10_000)


def query_tables(evaluation: Evaluation) -> list[Table]:
    """Return how online search fares with its queries, and how many it needs to match the proposals."""
    planned = [p for p in evaluation.planned if p.section == "queries"]
    methods = methods_of(evaluation, "queries", "queries")
    if not methods:
        return []
    offline = methods[0]
    proposals = runs_of(evaluation, "queries", offline, "queries")
    rows: list[Row] = []
    for method in dict.fromkeys(p.job.method for p in planned if p.job.kind == "online"):
        for key, runs in proposals.items():
            jobs = [
                p.job
                for p in planned
                if (p.job.kind, p.job.method) == ("online", method) and (p.case.name, p.case.area_mm2) == key
            ]
            if jobs:
                rows.append({"method": method, **_queries(evaluation, jobs, runs)})
    if not rows:
        return []
    frame = pl.DataFrame(rows, infer_schema_length=None)
    tables = []
    for method in frame["method"].unique(maintain_order=True):
        part = frame.filter(pl.col("method") == method)
        limit = max(part["queries"].to_list())
        columns = shown(
            part,
            [
                CASE,
                (f"best\nof {min(16, evaluation.settings.proposals)}", "offline", ".3f"),
                *((f"online\n{count:,}", f"after_{count}", ".3f") for count in CHECKPOINTS),
                ("queries\nto match", "to_match", ",.0f"),
                ("matched\nruns %", "matched_percent", ".0f"),
                ("saved\n%", "saved", ""),
                ("with\nlog, %", "saved_with_log", ""),
            ],
        )
        log = evaluation.settings.log
        logged = log.feasible + log.infeasible
        notes = [
            f"To match: median over seeds; {FAILED} where most don't within {limit:,} queries.",
            "Saved: of these, when all proposals are simulated for each application; the logged designs are",
            f"not counted as queries. With log: with them counted, {logged:,} an application at most.",
            f"The paper: {PUBLISHED_SAVED}.",
        ]
        if method == "bayesian" and limit < evaluation.selection.queries:
            notes.insert(0, f"Bayesian optimisation, being slow, ran to no more than {limit:,} queries.")
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
    log = evaluation.settings.log
    logged = (log.feasible + log.infeasible) * len(jobs[0].targets)
    saved = _saved(proposed, middle, allowed)
    with_log = _saved(proposed + logged, middle, allowed)
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
        "saved_percent": saved,
        "saved": _bounded(saved, middle, ".1f"),
        "saved_with_log_percent": with_log,
        "saved_with_log": _bounded(with_log, middle, ".0f"),
    }


def _saved(used: int, needed: float | None, allowed: int) -> float | None:
    """Return which share of the queries needed is saved; at least, where these are more than allowed."""
    return None if needed is None else 100 * (1 - used / min(needed, allowed))


def _bounded(saved: float | None, needed: float | None, spec: str) -> str | None:
    if saved is None or needed is None:
        return None
    return f"{'>= ' if math.isinf(needed) else ''}{saved:{spec}}"
