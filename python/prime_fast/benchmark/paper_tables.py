"""Tables of the evaluation: ours beside the paper's ratios, the proven optimum as the yardstick.

What the figures are says `prime_fast.benchmark.paper_summary`. Besides:

- over online: latency of evolutionary search after all its queries / best of 16; the paper's likewise
- speed-up: latency of the Edge TPU V1, which streams its weights / best of 16 (`benchmark.edge_tpu`)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from prime_fast.benchmark.edge_tpu import PUBLISHED_SPEED_UPS
from prime_fast.benchmark.paper import ONLINE, PUBLISHED_SINGLE, optimum_of
from prime_fast.benchmark.paper_ablations import ablation_tables
from prime_fast.benchmark.paper_aims import aims_table
from prime_fast.benchmark.paper_queries import query_tables
from prime_fast.benchmark.paper_summary import (
    CASE,
    MEAN,
    MIDDLE,
    failure_notes,
    judged_method,
    methods_of,
    our_columns,
    runs_of,
    shown,
    summary,
    summary_frame,
    trained_strata,
)
from prime_fast.benchmark.printed_table import Table
from prime_fast.benchmark.statistics import geometric_mean, interquartile_mean
from prime_fast.designs import reference_design

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prime_fast.benchmark.jobs import Row
    from prime_fast.benchmark.paper import Evaluation
    from prime_fast.benchmark.paper_summary import Run, Strata
    from prime_fast.benchmark.printed_table import Column


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return geometric_mean(known) if known and len(known) == len(values) else None


def _online_latency(evaluation: Evaluation, run: Run) -> float | None:
    """Return what evolutionary search reached for the same targets and area, in the middle of its seeds."""
    job = run.planned.job
    # Several sections may have planned one job.
    found = [
        evaluation.rows[other]["latency_us"]
        for other in dict.fromkeys(planned.job for planned in evaluation.planned)
        if (other.kind, other.method) == ("online", ONLINE)
        and (other.targets, other.area_mm2) == (job.targets, job.area_mm2)
    ]
    return interquartile_mean([math.inf if value is None else value for value in found]) if found else None


def _case_rows(evaluation: Evaluation, section: str, table: str, method: str) -> list[Row]:
    """Return a row a case, and those of all together."""
    strata = runs_of(evaluation, table, method, section)
    rows: list[Row] = []
    for (name, area_mm2), runs in strata.items():
        case, row = runs[0].planned.case, summary([runs], geometric=False)
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
        rows = [row | _speed_up(strata[row["case"], row["area_mm2"]]) for row in rows]
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
    nine = {row["case"] for row in rows} == PUBLISHED_SINGLE.keys()
    published = PUBLISHED_SPEED_UPS["all nine applications"][1] if nine else None
    means["paper_speed_up"] = published if rows[0]["speed_up"] is not None else None
    return [
        blank | {"case": MEAN} | summary(strata.values(), geometric=True) | means,
        blank | {"case": MIDDLE} | summary(strata.values(), geometric=False),
    ]


def _speed_up(runs: list[Run]) -> Row:
    """Return the Edge TPU V1's latency over that of the best of 16; 0 where that is a failure."""
    (application,) = runs[0].planned.job.applications(runs[0].planned.job.targets)
    v1_us = float(reference_design("edge-tpu-v1").score(application).latency_us[0])
    if math.isnan(v1_us):
        return {}
    published = {
        group[0]: figure for group, figure in PUBLISHED_SPEED_UPS.values() if group and len(group) == 1
    }
    optimum_us = runs[0].optimum_us
    return {
        "v1_us": v1_us,
        "speed_up": v1_us / (optimum_us * interquartile_mean([run.ratio("best_of_16_us") for run in runs])),
        "optimum_speed_up": v1_us / optimum_us,
        "paper_speed_up": published.get(application.name),
    }


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


def case_tables(evaluation: Evaluation, section: str, table: str) -> list[Table]:
    """Return a table of a section for each of its methods."""
    tables = []
    for method in methods_of(evaluation, section, table):
        frame = summary_frame(_case_rows(evaluation, section, table, method))
        kind = "trained" if table.endswith("trained") else section
        title = f"Zero-shot: each left out, {table}, 29 mm2" if kind == "trained" else _TITLES[section]
        notes = failure_notes(frame.filter(~pl.col("case").is_in([MEAN, MIDDLE])).to_dicts())
        if section == "edge-tpu":
            notes += _speed_up_notes(frame)
        name = "-".join([section, *(table.split() if kind == "trained" else []), method])
        columns = shown(frame, [CASE, *our_columns(frame), *_COLUMNS[kind]])
        tables.append(Table(name, f"{title}: {method}", frame, columns, notes))
    return tables


def _speed_up_notes(frame: pl.DataFrame) -> list[str]:
    notes = []
    for what, (group, published) in PUBLISHED_SPEED_UPS.items():
        names = list(PUBLISHED_SINGLE if group is None else group)
        rows = frame.filter(pl.col("case").is_in(names)).drop_nulls("speed_up")
        if rows.height == len(names):
            ours = geometric_mean(rows["speed_up"].to_list())
            notes.append(f"Faster than V1, {what}: {ours:.2f}x; paper {published:.2f}x.")
    return notes


def count_table(evaluation: Evaluation) -> list[Table]:
    """Return how zero-shot proposals depend on the number of training applications."""
    method = judged_method(evaluation)
    rows = [
        {"case": f"{count} trained", "method": method} | summary(strata.values(), geometric=True)
        for count, strata in trained_strata(evaluation, method).items()
    ]
    if len(rows) < 2:
        return []
    frame = summary_frame(rows)
    columns = shown(frame, [CASE, *our_columns(frame), ("\nfailures", "failures", "d")])
    title = f"Zero-shot: more training applications, geometric means: {method}"
    return [Table("zero-shot-counts", title, frame, columns, ["Of medians over seeds."])]


def selection_table(evaluation: Evaluation) -> list[Table]:
    """Return how the surrogates of each method were chosen; none where no row has it."""
    rows = []
    found: dict[str, list[Row]] = {}
    for job in dict.fromkeys(p.job for p in evaluation.planned if p.job.kind == "offline"):
        if evaluation.rows[job].get("alpha") is not None:
            found.setdefault(job.method, []).append(evaluation.rows[job])
    for method, runs in found.items():
        row: Row = {"case": method, "runs": len(runs)}
        names = ("held_out_tau", "held_out_auroc", "held_out_ece", "share_of_steps", "predicted_over_true")
        for name in names:
            # Of rows from before it was noted nobody knows.
            known = [run[name] for run in runs if run.get(name) is not None]
            row[name] = float(np.median(known)) if known else None
        for name in ("alpha", "beta"):
            row[f"{name}_percent"] = 100 * float(np.mean([run[name] > 0 for run in runs]))
        row["constraints_percent"] = 100 * float(np.mean([bool(run["learned_constraints"]) for run in runs]))
        rows.append(row)
    if not rows:
        return []
    columns: list[Column] = [
        CASE,
        ("\nruns", "runs", "d"),
        ("\ntau", "held_out_tau", ".2f"),
        ("\nAUROC", "held_out_auroc", ".3f"),
        ("\nECE", "held_out_ece", ".3f"),
        ("alpha\n> 0 %", "alpha_percent", ".0f"),
        ("beta\n> 0 %", "beta_percent", ".0f"),
        ("steps\nshare", "share_of_steps", ".2f"),
        ("limits\n%", "constraints_percent", ".0f"),
        ("pred./\ntrue", "predicted_over_true", ".2f"),
    ]
    notes = ["Medians, but for shares of runs in %. tau, AUROC, ECE: of the best fifth of the log, held out."]
    notes.append("ECE: calibration error of feasibility, where half of all designs are feasible.")
    notes.append("Limits: runs that learned any from the log.")
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return [Table("model-selection", "Model selection, all sections", frame, columns, notes)]


def all_tables(evaluation: Evaluation) -> list[Table]:
    """Return the tables of all sections that were run."""
    tables: list[Table] = []
    for section in ("single", "several", "zero-shot", "edge-tpu"):
        names = dict.fromkeys(p.table for p in evaluation.planned if p.section == section)
        for table in names:
            if table in (section, f"{evaluation.selection.most_trained} trained"):
                tables += case_tables(evaluation, section, table)
        if section == "zero-shot":
            tables += count_table(evaluation)
    tables += ablation_tables(evaluation) + query_tables(evaluation) + selection_table(evaluation)
    return tables + aims_table(evaluation)


def run_frame(evaluation: Evaluation) -> pl.DataFrame:
    """Return all runs of methods, one a row, with the optimum beside each: what the tables are made of."""
    rows = []
    for job in dict.fromkeys(p.job for p in evaluation.planned if p.job.kind == "offline"):
        optimum = evaluation.rows[optimum_of(job)]
        figures = evaluation.rows[job]
        # What a run without a feasible proposal has is no missing value.
        failing = ["first_us", "best_of_16_us", "median_us", *["best_of_128_us"] * (figures["asked"] >= 128)]
        row = {
            name: math.inf if value is None and name in failing else value
            for name, value in figures.items()
            if value is None or isinstance(value, str | int | float)
        }
        names = {name: ", ".join(getattr(job, name)) for name in ("training", "targets")}
        key = {"method": job.method, **names, "area_mm2": job.area_mm2, "seed": job.seed}
        rows.append(key | {"optimum_us": optimum["latency_us"], "optimum_proved": optimum["proved"]} | row)
    return pl.DataFrame(rows, infer_schema_length=None)
