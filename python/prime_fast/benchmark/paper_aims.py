"""The project's aims, what was measured of each, and whether it is met.

Of the default method, where it ran: geometric means over applications of the median over seeds, in which a
run without a feasible proposal is infinite, so that an application fails where half of its runs do;
``failed`` says how many do. Intervals are those of the stratified bootstrap over seeds; what is compared over
the same applications and seeds is drawn together. Of nothing it is
said whether it is met where an application is missing, one of the paper's ablations, or one of 10 seeds of a
case; applications that are not the paper's have no part in any.

- gain: best logged latency / best of 16
- ablations: the default method's interquartile mean / that of the best of the others, on the application
  where this is greatest; at most 1 where it is at least as good as each on every application
"""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from prime_fast.benchmark.paper import PUBLISHED_SINGLE, SEVERAL, ZERO_SHOT
from prime_fast.benchmark.paper_ablations import PUBLISHED_ABLATIONS, ablation_strata, paired
from prime_fast.benchmark.paper_summary import CASE, judged_method, runs_of, span_of, trained_strata
from prime_fast.benchmark.printed_table import Table
from prime_fast.benchmark.statistics import MEANS, STATISTICS, interval, paired_interval, statistic_of

if TYPE_CHECKING:
    from collections.abc import Sequence, Sized

    from numpy.typing import NDArray

    from prime_fast.benchmark.jobs import Row
    from prime_fast.benchmark.paper import Evaluation
    from prime_fast.benchmark.paper_ablations import Values
    from prime_fast.benchmark.paper_summary import Strata

BEST, FIRST, SEVERAL_BEST, ZERO_SHOT_BEST = 1.03, 1.08, 1.05, 1.15
FEASIBLE_PERCENT, GAIN = 95.0, 2.46
SEEDS = 10
NINE = len(PUBLISHED_SINGLE)


def _row(
    name: str, aim: str | None, value: float, span: tuple[float, float] | None, *, met: bool | None
) -> Row:
    """Return a row; `met` is None where there is nothing to be met, or too little to tell."""
    return {
        "case": name,
        "aim": aim,
        "value": value,
        "low": None if span is None else span[0],
        "high": None if span is None else span[1],
        "span": span_of(span, ".3f"),
        "met": {None: None, True: "yes", False: "no"}[met],
        "failed": None,
        "runs": None,
        "cases": None,
        "seeds": None,
    }


def _ratio_row(name: str, aim: float | None, strata: Strata, figure: str, cases: int) -> Row:
    """Return the row of a latency over the optimum, at most `aim`; no aim where that is None."""
    values = [[run.ratio(figure) for run in runs] for runs in strata.values()]
    value = statistic_of(values, "medians")
    met = value <= aim if aim is not None and _enough(values, cases) else None
    row = _row(name, None if aim is None else f"<= {aim:g}", value, interval(values, "medians"), met=met)
    return row | _counts(values)


def _enough(strata: Sequence[Sized], cases: int) -> bool:
    """Return whether there are all cases, and seeds enough of each."""
    return len(strata) == cases and min(map(len, strata)) >= SEEDS


def _counts(values: Sequence[Values]) -> Row:
    return {
        "failed": sum(map(math.isinf, np.concatenate(values))),
        "runs": sum(map(len, values)),
        "cases": len(values),
        "seeds": min(map(len, values)),
    }


def _feasible_row(strata: Strata) -> Row:
    shares = [[100 * run.row["feasible_share"] for run in runs] for runs in strata.values()]
    value = statistic_of(shares, "arithmetic")
    met = value >= FEASIBLE_PERCENT if _enough(shares, NINE) else None
    row = _row(
        "feasible proposals, %", f">= {FEASIBLE_PERCENT:g}", value, interval(shares, "arithmetic"), met=met
    )
    failed = sum(run.failed for runs in strata.values() for run in runs)
    return row | _counts(shares) | {"failed": failed}


def _gain_rows(strata: Strata) -> list[Row]:
    known = [[run.over_logged for run in runs if not math.isnan(run.over_logged)] for runs in strata.values()]
    values = [ratios for ratios in known if ratios]
    if not values:
        return []
    span = interval(values, "medians")
    value = 1 / statistic_of(values, "medians")
    met = value >= GAIN if _enough(values, NINE) else None
    inverted = None if span is None else (1 / span[1], 1 / span[0])
    return [_row("gain over the best logged", f">= {GAIN}", value, inverted, met=met) | _counts(values)]


def _zero_shot_rows(evaluation: Evaluation, method: str) -> list[Row]:
    rows = []
    if strata := runs_of(evaluation, "zero-shot", method, "zero-shot"):
        rows.append(_ratio_row("zero-shot, paper's", ZERO_SHOT_BEST, strata, "best_of_16_us", len(ZERO_SHOT)))
    counts = trained_strata(evaluation, method)
    for count, strata in counts.items():
        aim = ZERO_SHOT_BEST if count == NINE - 1 else None
        rows.append(_ratio_row(f"zero-shot, {count} trained", aim, strata, "best_of_16_us", NINE))
    if len(counts) < 2:
        return rows
    least, most = min(counts), max(counts)

    def change(drawn: Sequence[NDArray[np.float64]], axis: int) -> NDArray[np.float64]:
        less, more = (STATISTICS["medians"]([runs[side] for runs in drawn], axis) for side in (0, 1))
        return np.asarray(more / less)

    values = [row["value"] for row in rows[-len(counts) :]]
    falls = all(more <= less * (1 + 1e-9) for less, more in pairwise(values)) and values[-1] < values[0]
    met = falls if all(_enough(list(strata.values()), NINE) for strata in counts.values()) else None
    with np.errstate(invalid="ignore"):
        value = float(np.divide(values[-1], values[0]))
    name = f"zero-shot, {most} over {least}"
    span = paired_interval(_pairs(counts[least], counts[most]), change)
    row = _row(name, "falling", value, span, met=met)
    return [*rows, row | {"seeds": min(row["seeds"] for row in rows[-len(counts) :])}]


def _pairs(few: Strata, many: Strata) -> list[NDArray[np.float64]]:
    """Return the best of 16 over the optimum where both have runs: shape (2, seeds) an application."""
    found = []
    for key in (key for key in few if key in many):
        both = few[key], many[key]
        sides = [{run.planned.job.seed: run.ratio("best_of_16_us") for run in runs} for runs in both]
        seeds = sorted(sides[0].keys() & sides[1].keys())
        found.append(np.array([[side[seed] for seed in seeds] for side in sides]))
    return found


def _ablation_rows(evaluation: Evaluation) -> list[Row]:
    strata = ablation_strata(evaluation)
    if len(strata) < 2:
        return []
    matrices = [np.array(values) for values in paired(list(strata.values())).values()]

    def worst(drawn: Sequence[NDArray[np.float64]], axis: int) -> NDArray[np.float64]:
        ratios = []
        for runs in drawn:
            middles, failed = MEANS["interquartile"](runs, axis), np.isinf(runs).sum(axis=axis)
            with np.errstate(invalid="ignore"):
                ratio = middles[0] / middles[1:].min(axis=0)
            # Where all are infinite, fewer failures are better.
            fails_more = np.where(failed[0] > failed[1:].min(axis=0), np.inf, 1.0)
            ratios.append(np.where(np.isnan(ratio), fails_more, ratio))
        return np.asarray(np.max(ratios, axis=0))

    value = float(worst(matrices, -1))
    seeds = [values[0] for values in matrices]
    whole = _enough(seeds, NINE) and {"prime", *PUBLISHED_ABLATIONS} <= strata.keys()
    met = value <= 1 + 1e-9 if whole else None
    # Methods are drawn together, as they share logs.
    row = _row("ablations, worst ratio", "<= 1", value, paired_interval(matrices, worst), met=met)
    runs = sum(values.size for values in matrices)
    return [row | {"runs": runs, "cases": len(matrices), "seeds": min(map(len, seeds))}]


def aims_table(evaluation: Evaluation) -> list[Table]:
    """Return the table of aims; none where nothing was measured of any."""
    planned = [planned for planned in evaluation.planned if not planned.job.workloads]
    evaluation = dataclasses.replace(evaluation, planned=planned)
    method = judged_method(evaluation)
    rows: list[Row] = []
    notes = ["Medians over seeds, geometric means over cases; a failed run is infinite."]
    if strata := runs_of(evaluation, "single", method, "single"):
        rows += [
            _ratio_row("best of 16", BEST, strata, "best_of_16_us", NINE),
            _ratio_row("first proposal", FIRST, strata, "first_us", NINE),
            _feasible_row(strata),
            *_gain_rows(strata),
        ]
        logged = [[run.ratio("best_logged_us") for run in runs] for runs in strata.values()]
        notes.append(f"The gain can be at most {statistic_of(logged, 'medians'):.2f}.")
    if strata := runs_of(evaluation, "several", method, "several"):
        rows.append(_ratio_row("several at once", SEVERAL_BEST, strata, "best_of_16_us", len(SEVERAL)))
    rows += _zero_shot_rows(evaluation, method) + _ablation_rows(evaluation)
    if not rows:
        return []
    if (fewest := min(row["seeds"] for row in rows)) < SEEDS:
        notes.append(f"The aims are for {SEEDS} seeds; some case has {fewest}.")
    columns = [
        CASE,
        ("aim", "aim", ""),
        ("value", "value", ".3f"),
        ("95%", "span", ""),
        ("met", "met", ""),
        ("failed", "failed", "d"),
        ("runs", "runs", "d"),
        ("cases", "cases", "d"),
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return [
        Table("aims", f"Aims, over the optimum where not said otherwise: {method}", frame, columns, notes)
    ]
