"""The ablations: all methods beside the default one.

All figures are of the applications and seeds, hence logs, that every method has a run of; other runs are left
out. In the table of methods ``p_applications_holm`` is of Wilcoxon's test over the applications'
interquartile means, which doesn't count the seeds of an application as independent of each other, as
``p_holm``, of the test over all runs, does; both are corrected over the methods.

``relative_with_fallback`` is the ratio to ``prime`` of ``best_with_fallback``, the geometric mean over runs
in which one without a feasible proposal counts as the best logged design. All else keeps it infinite.

Application by application the default method wins where its interquartile mean is less than the other's,
where both are infinite if fewer of its runs failed. ``p_holm`` is of the test over seeds there, corrected
over all methods and applications. The row "geometric mean" is over applications, infinite where one is; its
test is that of the table of methods, over the applications' interquartile means.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl

from prime_fast.benchmark.paper import reference_of
from prime_fast.benchmark.paper_summary import (
    CASE,
    MEAN,
    methods_of,
    runs_of,
    shown,
    summary,
    summary_frame,
)
from prime_fast.benchmark.printed_table import Table
from prime_fast.benchmark.statistics import (
    geometric_mean,
    holm,
    interquartile_mean,
    interval,
    paired_p,
    probability_of_improvement,
    statistic_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prime_fast.benchmark.jobs import Row
    from prime_fast.benchmark.paper import Evaluation
    from prime_fast.benchmark.paper_summary import Run, Strata

Values: TypeAlias = list[float]
#: How much worse than PRIME the paper's ablations are, geometric mean.
PUBLISHED_ABLATIONS = {"prime-no-adversarial": 1.27, "prime-no-infeasible": 1.09, "regression": 1.42}
SECTION = "ablations"
SIGNIFICANT = 0.05


def ablation_strata(evaluation: Evaluation) -> dict[str, Strata]:
    """Return the runs of the cases and seeds that all methods have, the one compared with first.

    Empty where there are none. All methods have the same cases, in these the same seeds in the same order.
    """
    methods = methods_of(evaluation, SECTION, SECTION)
    if not methods:
        return {}
    strata = {
        method: runs_of(evaluation, SECTION, method, SECTION)
        for method in dict.fromkeys([reference_of(methods), *methods])
    }
    common = set.intersection(
        *({(key, run.planned.job.seed) for key in found for run in found[key]} for found in strata.values())
    )
    if not common:
        return {}
    return {
        method: {
            key: kept
            for key, runs in found.items()
            if (kept := [run for run in runs if (key, run.planned.job.seed) in common])
        }
        for method, found in strata.items()
    }


def paired(strata: Sequence[Strata]) -> dict[str, list[Values]]:
    """Return the best of 16 over the optimum by application, of each method, by seed."""
    return {
        key[0]: [[run.ratio("best_of_16_us") for run in some[key]] for some in strata] for key in strata[0]
    }


def ablation_tables(evaluation: Evaluation) -> list[Table]:
    """Return all methods beside the default one; them on each application; and who wins there."""
    strata = ablation_strata(evaluation)
    if not strata:
        return []
    reference = next(iter(strata))
    verdicts = verdict_rows(strata)
    rows = []
    for method in strata:
        row: Row = {"case": method} | summary(strata[method].values(), geometric=True)
        row["interquartile"] = summary(strata[method].values(), geometric=False)["best"]
        pairs = list(paired([strata[reference], strata[method]]).values())
        ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
        tested = method != reference
        here = [found for found in verdicts if found["case"] == method and found["application"] != MEAN]
        row |= {
            "applications": len(pairs),
            "at_least_as_good": sum(found["verdict"] != "loss" for found in here),
            "significantly_worse": sum(_significant_loss(found) for found in here),
            "probability": probability_of_improvement(ours, theirs) if tested else None,
            "p": paired_p(np.concatenate(ours), np.concatenate(theirs)) if tested else None,
            "p_applications": _p_of_applications(ours, theirs) if tested else None,
            "paper_relative": PUBLISHED_ABLATIONS.get(method),
            "best_with_fallback": geometric_mean(
                [_with_fallback(run) for runs in strata[method].values() for run in runs]
            ),
        }
        rows.append(row)
    for name in ("p", "p_applications"):
        _correct(rows, name)
    best = {row["case"]: row["best_with_fallback"] for row in rows}
    for row in rows:
        row["relative_with_fallback"] = row["best_with_fallback"] / best["prime"] if "prime" in best else None
    frame = summary_frame(rows)
    columns = shown(
        frame,
        [
            CASE,
            ("\nfirst", "first", ".3f"),
            ("best\nof 16", "best", ".3f"),
            ("\n95%", "span", ""),
            ("feas.\n%", "feasible_percent", ".0f"),
            ("by\nprime*", "relative_with_fallback", ".2f"),
            ("\npaper", "paper_relative", ".2f"),
            ("P\nbetter", "probability", ".2f"),
            ("p\nHolm", "p_applications_holm", ".1g"),
            ("as\ngood", "at_least_as_good", "d"),
        ],
    )
    notes = [
        f"P better: how likely a run of `{reference}` beats one of the method. p: Wilcoxon's test of the",
        "applications' interquartile means, corrected after Holm over methods. As good: applications on",
        f"which `{reference}` is at least as good.",
    ]
    if "prime" in best:
        notes += [
            "By prime*: best of 16 over that of `prime`, means over runs, of which, here alone, one without",
            "a feasible proposal counts as the best logged design.",
        ]
    if failed := [f"{row['case']} {row['failures']}" for row in rows if row["failures"]]:
        notes.append(f"Runs without a feasible proposal: {', '.join(failed)}.")
    all_runs = sum((p.section, p.job.kind) == (SECTION, "offline") for p in evaluation.planned)
    if left := all_runs - sum(row["runs"] for row in rows):
        notes.append(f"Left out are {left} runs of applications and seeds that some method lacks.")
    return [
        Table("ablations", "Methods, one application, 29 mm2, geometric means", frame, columns, notes),
        _by_application(strata),
        *([_verdict_table(verdicts, reference)] if len(strata) > 1 else []),
    ]


def _with_fallback(run: Run) -> float:
    """Return the best of 16 over the optimum, or the best logged design's where none of them is feasible."""
    return run.ratio("best_logged_us" if run.failed else "best_of_16_us")


def _p_of_applications(ours: list[Values], theirs: list[Values]) -> float:
    return paired_p(*([interquartile_mean(values) for values in side] for side in (ours, theirs)))


def _correct(rows: Iterable[Row], name: str) -> None:
    """Add the p-values of rows, corrected after Holm; None where there is none."""
    rows = list(rows)
    tested = [row for row in rows if row[name] is not None]
    corrected = iter(holm([row[name] for row in tested]))
    for row in rows:
        row[f"{name}_holm"] = None if row[name] is None else next(corrected)


def _significant_loss(row: Row) -> bool:
    return row["verdict"] == "loss" and row["p_holm"] is not None and row["p_holm"] <= SIGNIFICANT


def verdict_rows(strata: Mapping[str, Strata]) -> list[Row]:
    """Return a row a method and application, and one of all applications together."""
    reference = next(iter(strata))
    rows: list[Row] = []
    for method in strata:
        pairs = paired([strata[reference], strata[method]])
        here = [_verdict_row(method, name, [pair]) for name, pair in pairs.items()]
        overall = [_verdict_row(method, MEAN, list(pairs.values()))] if len(pairs) > 1 else []
        for row in (here + overall) if method == reference else ():
            row |= {"p": None, "verdict": None}
        rows += here + overall
    for together in (False, True):
        _correct([row for row in rows if (row["application"] == MEAN) == together], "p")
    return rows


def _verdict_row(method: str, application: str, pairs: list[list[Values]]) -> Row:
    ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    best, compared = statistic_of(theirs, "interquartiles"), statistic_of(ours, "interquartiles")
    low, high = interval(theirs, "interquartiles") or (None, None)
    failed = [sum(map(math.isinf, np.concatenate(side))) for side in (theirs, ours)]
    runs = sum(map(len, theirs))
    found = "win" if compared < best else "loss"
    if math.isclose(compared, best, rel_tol=1e-9):
        found = "tie"
        if math.isinf(best) and failed[0] != failed[1]:
            found = "win" if failed[1] < failed[0] else "loss"
    return {
        "case": method,
        "application": application,
        "runs": runs,
        "feasible_runs": runs - failed[0],
        "feasible": f"{runs - failed[0]}/{runs}",
        "best": best,
        "best_low": low,
        "best_high": high,
        "median": statistic_of(theirs, "medians"),
        "reference": compared,
        "reference_median": statistic_of(ours, "medians"),
        "p": paired_p(ours[0], theirs[0]) if len(pairs) == 1 else _p_of_applications(ours, theirs),
        "verdict": found,
    }


def _verdict_table(rows: list[Row], reference: str) -> Table:
    frame = pl.DataFrame(rows, infer_schema_length=None)
    columns = [
        CASE,
        ("\n", "application", ""),
        ("feas.\nruns", "feasible", ""),
        ("best\nof 16", "best", ".3f"),
        ("\nmedian", "median", ".3f"),
        ("refer-\nence", "reference", ".3f"),
        ("p\nHolm", "p_holm", ".1g"),
        ("ver-\ndict", "verdict", ""),
    ]
    others = [row for row in rows if row["verdict"] is not None and row["application"] != MEAN]
    lost = [row for row in others if row["verdict"] == "loss"]
    notes = [
        f"Verdict: of `{reference}`, whose interquartile mean over the same seeds stands as reference.",
        "p: Wilcoxon's test over seeds, of means over applications, corrected after Holm over all cases.",
        f"`{reference}` is at least as good in {len(others) - len(lost)} of {len(others)} cases, and",
        f"significantly worse in {sum(map(_significant_loss, lost))}.",
    ]
    return Table("ablations-verdicts", f"`{reference}` against each method", frame, columns, notes)


def _by_application(strata: Mapping[str, Strata]) -> Table:
    names = list(dict.fromkeys(name for runs in strata.values() for name, _ in runs))
    rows = [
        {"case": method}
        | {
            name: interquartile_mean([run.ratio("best_of_16_us") for run in runs])
            for (name, _), runs in found.items()
        }
        for method, found in strata.items()
    ]
    # Methods as rows: there may be more of them than columns fit.
    frame = pl.DataFrame([dict.fromkeys(("case", *names)) | row for row in rows], infer_schema_length=None)
    short = {name: name.replace("MobileNet", "").replace("EdgeTPU", "Edge") for name in names}
    columns = [CASE, *((short[name].replace(" ", "\n"), name, ".2f") for name in names)]
    return Table(
        "ablations-applications", "Best of 16 over optimum, application by application", frame, columns
    )
