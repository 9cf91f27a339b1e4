"""The ablations: all methods beside the default one.

Methods are compared on the runs of the same application and seed, hence the same log; where a row is missing,
so is its pair. In the table of methods ``p_holm`` is of Wilcoxon's test over all of these pairs,
``p_applications_holm`` of that over the applications' interquartile means, which doesn't count the seeds of
an application as independent of each other; both are corrected over the methods.

Application by application the default method wins where its interquartile mean is less than the other's,
where both are infinite if fewer of its runs failed. ``p_holm`` is of the test over seeds there, corrected
over the applications of a method. The row "geometric mean" is over applications, infinite where one is.
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
    from prime_fast.benchmark.paper_summary import Strata

Values: TypeAlias = list[float]
#: How much worse than PRIME the paper's ablations are, geometric mean.
PUBLISHED_ABLATIONS = {"prime-no-adversarial": 1.27, "prime-no-infeasible": 1.09, "regression": 1.42}
SECTION = "ablations"
SIGNIFICANT = 0.05


def ablation_strata(evaluation: Evaluation) -> dict[str, Strata]:
    """Return the runs of all methods, that which the others are compared with first."""
    methods = methods_of(evaluation, SECTION, SECTION)
    first = [reference_of(methods)] if methods else []
    return {
        method: runs_of(evaluation, SECTION, method, SECTION) for method in dict.fromkeys([*first, *methods])
    }


def paired(strata: Sequence[Strata]) -> dict[str, list[Values]]:
    """Return the best of 16 over the optimum by application: of each method, on the seeds that all ran."""
    found = {}
    for key in strata[0]:
        by_seed = [
            {run.planned.job.seed: run.ratio("best_of_16_us") for run in some.get(key, [])} for some in strata
        ]
        seeds = [seed for seed in by_seed[0] if all(seed in others for others in by_seed)]
        if seeds:
            found[key[0]] = [[values[seed] for seed in seeds] for values in by_seed]
    return found


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
        middles = [[interquartile_mean(values) for values in side] for side in (ours, theirs)]
        tested = method != reference and bool(pairs)
        here = [found for found in verdicts if found["case"] == method and found["application"] != MEAN]
        row |= {
            "applications": len(pairs),
            "at_least_as_good": sum(found["verdict"] != "loss" for found in here),
            "significantly_worse": sum(_significant_loss(found) for found in here),
            "probability": probability_of_improvement(ours, theirs) if tested else None,
            "p": paired_p(np.concatenate(ours), np.concatenate(theirs)) if tested else None,
            "p_applications": paired_p(*middles) if tested else None,
            "paper_relative": PUBLISHED_ABLATIONS.get(method),
        }
        rows.append(row)
    for name in ("p", "p_applications"):
        _correct(rows, name)
    best = {row["case"]: row["best"] for row in rows}
    for row in rows:
        row["relative"] = row["best"] / best["prime"] if "prime" in best else None
    frame = summary_frame(rows)
    columns = shown(
        frame,
        [
            CASE,
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
    if failed := [f"{row['case']} {row['failures']}" for row in rows if row["failures"]]:
        notes.append(f"Runs without a feasible proposal, here the best logged design: {', '.join(failed)}.")
    return [
        Table("ablations", "Methods, one application, 29 mm2, geometric means", frame, columns, notes),
        _by_application(strata),
        *([_verdict_table(verdicts, reference)] if len(strata) > 1 else []),
    ]


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
        _correct(here, "p")
        rows += here + overall
    _correct([row for row in rows if row["application"] == MEAN], "p")
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
        "p": paired_p(np.concatenate(ours), np.concatenate(theirs)),
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
        f"p: Wilcoxon's test over seeds, corrected after Holm over applications. `{reference}` is at",
        f"least as good in {len(others) - len(lost)} of {len(others)} cases, and significantly worse in",
        f"{sum(map(_significant_loss, lost))}.",
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
