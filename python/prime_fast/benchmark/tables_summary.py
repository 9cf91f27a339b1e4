"""Runs on measured tables as tables of means, the tests of methods, and the project's aims.

The aims are for the Kernel Tuner tables, each with its own log, and for 10 seeds: the mean over tables of
the mean score over seeds. Of nothing it is said whether it is met where a table or a seed is missing.

Other methods are compared with one on the same table and seed, hence log, by Wilcoxon's test: ``p_holm`` over
all runs, ``p_tables_holm`` over the tables' interquartile means, which doesn't count the seeds of a table as
independent of each other, but can't be below 2 / 2^tables. Both are corrected after Holm over the methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from prime_fast.benchmark.paper import reference_of
from prime_fast.benchmark.printed_table import Table, write_tables
from prime_fast.benchmark.statistics import (
    holm,
    interquartile_mean,
    interval,
    paired_p,
    probability_of_improvement,
    statistic_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from prime_fast.benchmark.jobs import Row
    from prime_fast.benchmark.tables import TableJob
    from prime_fast.benchmark.tables_data import MeasuredTable

FIGURES = (
    "best_logged", "top_1", "best_of_16", "best_of_128", "median_of_16", "feasible_of_16", "feasible_of_128",
    "duplicates", "already_logged",
)  # fmt: skip
"""Figures of a run: scores and shares in [0, 1], and of all proposals how many stood in the log or twice."""
COLUMNS = [
    ("best\nlogged", "best_logged", ".3f"),
    ("top 1", "top_1", ".3f"),
    ("best\nof 16", "best_of_16", ".3f"),
    ("best\nof 128", "best_of_128", ".3f"),
    ("feasible\nof 16", "feasible_of_16", ".0%"),
    ("feasible\nof 128", "feasible_of_128", ".0%"),
]
SPREAD = [
    ("IQM\nof 16", "best_of_16_interquartile", ".3f"),
    ("low", "best_of_16_low", ".3f"),
    ("high", "best_of_16_high", ".3f"),
]
BY_TABLE = [*COLUMNS[:4], *SPREAD]
COLLECTION = "Kernel Tuner"
AIMS = {"best_of_16": 0.85, "best_of_128": 0.93}
"""Mean score of the collection's tables, at least."""
SEEDS = 10
"""That the aims are for."""


@dataclass(frozen=True)
class TablesResult:
    """What the methods are worth on measured tables.

    Attributes
    ----------
    runs : polars.DataFrame
        One row a run: ``collection``, ``table``, ``zero_shot``, ``method``, ``seed``, `FIGURES`, ``seconds``
        and ``error`` (null where there was none).
    tables : list of Table
        Of each collection, zero-shot apart: means over tables and seeds by method, means over seeds by table
        and method, and the test of each method against one; then the aims.
    """

    runs: pl.DataFrame
    tables: list[Table]

    def write(self, out: Path) -> Path:
        """Write ``runs.csv``, and each table as Markdown, CSV and JSON; return their directory."""
        return write_tables(out, self.tables, self.runs)


def summarised(tables: Mapping[str, MeasuredTable], rows: Mapping[TableJob, Row]) -> TablesResult:
    """Return the rows of jobs as a frame, and the tables of their means."""
    runs = pl.DataFrame(
        [
            {
                "collection": tables[job.table].collection,
                "table": job.table,
                "zero_shot": job.zero_shot,
                "method": job.method,
                "seed": job.seed,
                **{name: row[name] for name in (*FIGURES, "seconds", "error")},
            }
            for job, row in rows.items()
        ],
        schema_overrides={"error": pl.String},
        infer_schema_length=None,
    )
    means: list[Table] = []
    for (collection, zero_shot), part in runs.group_by("collection", "zero_shot", maintain_order=True):
        name = f"{str(collection).lower().replace(' ', '_')}{'_zero_shot' if zero_shot else ''}"
        title = f"{collection}{', zero-shot' if zero_shot else ''}"
        count = part["table"].n_unique()
        overall = f"{title}: mean over {count} tables of {part['seed'].n_unique()} runs each"
        notes = ["[low, high]: 95% interval of IQM, the interquartile mean of the best of 16."]
        if not all(tables[table].whole for table in part["table"].unique()):
            notes.append("Few designs are recorded: 128 proposals are a good part of them, and tell little.")
        means += [
            Table(
                name, overall, _means(part, ["method"]), [("method", "method", ""), *COLUMNS, *SPREAD], notes
            ),
            Table(
                f"{name}_by_table",
                f"{title}: by table",
                _means(part, ["table", "method"]),
                [("table", "table", ""), ("method", "method", ""), *BY_TABLE],
                ["[low, high]: as above."],
            ),
            *against(part, f"{name}_against", title),
        ]
    return TablesResult(runs, means + aims_of(tables, runs))


def _strata(runs: pl.DataFrame, figure: str = "best_of_16") -> list[NDArray[np.float64]]:
    """Return a figure of the runs of a method by table, in the order of seeds."""
    return [
        part.sort("seed")[figure].to_numpy()
        for part in runs.sort("table").partition_by("table", maintain_order=True)
    ]


def against(runs: pl.DataFrame, name: str, title: str) -> list[Table]:
    """Return how the methods fare against the one that stands for this package; none where it is alone."""
    methods = runs["method"].unique(maintain_order=True).to_list()
    reference = reference_of(methods)
    # Optimum / objective, of which more is better; a failure is infinite.
    with np.errstate(divide="ignore"):
        ratios = {method: [1 / one for one in _strata(runs.filter(method=method))] for method in methods}
    ours = ratios.pop(reference)
    if not ratios:
        return []
    middles = {method: [interquartile_mean(one) for one in theirs] for method, theirs in ratios.items()}
    rows = [
        {
            "method": method,
            "pairs": sum(map(len, theirs)),
            "tables": len(theirs),
            "probability": probability_of_improvement(ours, theirs),
            "p": paired_p(np.concatenate(ours), np.concatenate(theirs)),
            "p_tables": paired_p([interquartile_mean(one) for one in ours], middles[method]),
        }
        for method, theirs in ratios.items()
    ]
    frame = pl.DataFrame(rows)
    frame = frame.with_columns(
        pl.Series(f"{column}_holm", holm(frame[column].to_list())) for column in ("p", "p_tables")
    )
    columns = [
        ("method", "method", ""),
        ("pairs", "pairs", "d"),
        ("P\nbetter", "probability", ".2f"),
        ("p\nruns", "p_holm", ".1g"),
        ("p\ntables", "p_tables_holm", ".1g"),
    ]
    notes = [
        f"P better: how likely a run of `{reference}` beats one of the method, best of 16. p: Wilcoxon's",
        "test of runs of the same table and seed, and of the tables' interquartile means, after Holm.",
    ]
    return [Table(name, f"{title}: `{reference}` against each method", frame, columns, notes)]


def aims_of(tables: Mapping[str, MeasuredTable], runs: pl.DataFrame) -> list[Table]:
    """Return the aims of one collection; met is null where a table is missing, or seeds are too few."""
    part = runs.filter(~pl.col("zero_shot"), collection=COLLECTION)
    if part.is_empty():
        return []
    method = reference_of(part["method"].unique(maintain_order=True).to_list())
    part = part.filter(method=method)
    fewest = min(map(len, _strata(part)))
    whole = {table.name for table in tables.values() if table.collection == COLLECTION} == {*part["table"]}
    rows = []
    for figure, aim in AIMS.items():
        strata = _strata(part, figure)
        value, span = statistic_of(strata, "arithmetic"), interval(strata, "arithmetic")
        met = ("yes" if value >= aim else "no") if whole and fewest >= SEEDS else None
        low, high = span or (None, None)
        row = {"case": figure.replace("_", " "), "aim": f">= {aim:g}", "value": value, "low": low}
        rows.append(row | {"high": high, "met": met, "runs": part.height, "tables": len(strata)})
    columns = [
        ("mean score", "case", ""),
        ("aim", "aim", ""),
        ("value", "value", ".3f"),
        ("low", "low", ".3f"),
        ("high", "high", ".3f"),
        ("met", "met", ""),
        ("runs", "runs", "d"),
        ("tables", "tables", "d"),
    ]
    notes = ["[low, high]: 95% interval, stratified bootstrap over seeds."]
    if fewest < SEEDS:
        notes.append(f"The aims are for {SEEDS} seeds; some table has {fewest}.")
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return [Table("aims", f"Aims, {COLLECTION}: {method}", frame, columns, notes)]


def _means(runs: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Return the means of groups of runs, and for the best of 16 the interquartile mean and its interval."""
    means = [pl.col(name).mean() for name in (*FIGURES, "seconds")]
    failures = pl.col("error").count().alias("failures")
    spread = []
    for _, part in runs.group_by(keys, maintain_order=True):
        strata = [some["best_of_16"].to_numpy() for some in part.partition_by("table", maintain_order=True)]
        low, high = interval(strata) or (None, None)
        spread.append((interquartile_mean(np.concatenate(strata)), low, high))
    columns = dict.fromkeys((name for _, name, _ in SPREAD), pl.Float64)
    return (
        runs.group_by(keys, maintain_order=True)
        .agg(pl.len().alias("runs"), failures, *means)
        .hstack(pl.DataFrame(spread, schema=columns, orient="row"))
    )
