"""Several runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from prime_fast.report import charts
from prime_fast.report.answers import title_of
from prime_fast.report.blocks import (
    DASH,
    Cell,
    Figure,
    Part,
    Section,
    Table,
    Text,
    axis,
    number,
    numeric,
    quantity,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prime_fast.report.blocks import Block
    from prime_fast.report.reading import RunRecord

COMPARED = ("method", "budget", "seed", "applications", "learned_from", "combine", "objective", "limits")


def compared(records: Sequence[RunRecord], names: Sequence[str]) -> Part:
    """Return the sections that compare runs."""
    table = Section("compared", "The runs side by side", [_table(records, names)])
    best = Section("compared-better", "How much better they are", _designs(records, names))
    course = Section("compared-search", "How they were found", _searches(records, names))
    differ = Section("compared-inputs", "How they differ", _inputs(records, names))
    return Part("comparison", "Comparison", f"{len(records)} runs", [table, best, course, differ])


def alike(records: Sequence[RunRecord]) -> str | None:
    """Return why the objectives of runs can't share an axis, if so."""
    if len({record.objective for record in records}) > 1:
        return "the runs minimise different figures"
    if len({tuple(sorted(record.applications)) for record in records}) > 1:
        return "the runs design for different applications"
    if len({record.manifest["combine"] if len(record.applications) > 1 else "" for record in records}) > 1:
        return "the runs combine applications in different ways"
    return None


def _table(records: Sequence[RunRecord], names: Sequence[str]) -> Table:
    columns = [
        ("run", False),
        ("applications", False),
        ("method", False),
        ("status", False),
        ("best predicted", True),
        ("best simulated", True),
        ("against best logged", True),
        ("of the proven optimum", True),
        ("feasible", True),
        ("training and search (s)", True),
    ]
    rows = []
    for record, name in zip(records, names, strict=True):
        chosen, unit = record.chosen, quantity(record.objective)[1]
        predicted = simulated = against = beyond = None
        feasible = Cell(DASH)
        if chosen is not None and record.proposals is not None:
            predicted = chosen[f"predicted_{record.objective}"]
            if record.simulated:
                simulated = record.value_of(chosen)
                count = int(record.proposals["feasible"].sum())
                feasible = numeric(count / record.proposals.height, f"{count} of {record.proposals.height}")
            logged = [
                row[record.objective]
                for row in record.references
                if str(row["design"]).startswith("best logged") and row.get(record.objective)
            ]
            if simulated is not None and logged:
                against = min(logged) / simulated
            if simulated is not None and (optimum := record.optimum()) is not None:
                beyond = simulated / optimum.score
        seconds = (record.manifest.get("result") or {}).get("seconds") or {}
        time = seconds.get("training", 0.0) + seconds["search"] if "search" in seconds else None
        rows.append(
            [
                Cell(name, name),
                Cell(record.subject, record.subject),
                Cell(record.manifest["method"], record.manifest["method"]),
                Cell(record.manifest["status"], record.manifest["status"]),
                numeric(predicted, None if predicted is None else f"{number(predicted)} {unit}".strip()),
                numeric(simulated, f"{number(simulated)} {unit}".strip() if simulated is not None else None),
                numeric(against, times(against)),
                numeric(beyond, times(beyond)),
                feasible,
                numeric(time, None if time is None else f"{time:,.0f}"),
            ]
        )
    return Table("A row a run; a click on a heading sorts", columns, rows, sortable=True)


def _designs(records: Sequence[RunRecord], names: Sequence[str]) -> list[Block]:
    why = alike(records)
    if why is not None:
        return [
            Text(
                f"There is no common axis: {why}. Each run is compared with its own yardsticks below.",
                "missing",
            )
        ]
    rows = []
    for record, name in zip(records, names, strict=True):
        if record.proposals is None:
            continue
        rows += [
            (name, f"proposal {row['proposal']}", value)
            for row in record.proposals.iter_rows(named=True)
            if (value := record.value_of(row)) is not None
        ]
    if not rows:
        return [Text("No run has a feasible proposal.", "missing")]
    table = pl.DataFrame(
        rows, schema={"run": pl.String, "name": pl.String, "value": pl.Float64}, orient="row"
    )
    all_simulated = all(record.simulated for record in records if record.proposals is not None)
    what = "simulated" if all_simulated else "simulated, else predicted,"
    best = table.group_by("run", maintain_order=True).agg(pl.col("value").min())
    told = ", ".join(f"{name} {number(value)}" for name, value in best.iter_rows())
    title = f"{what} {title_of(records[0])}"
    return [
        Figure(
            "compared-proposals",
            f"All proposals of each run, {what} {title_of(records[0])}; further left is better.",
            f"The best of each run: {told}.",
            [charts.by_run(table, title)],
            640,
        )
    ]


def _searches(records: Sequence[RunRecord], names: Sequence[str]) -> list[Block]:
    if (why := alike(records)) is not None:
        return [Text(f"Searches are not drawn together: {why}.", "missing")]
    rows: list[tuple[str, float, float]] = []
    for record, name in zip(records, names, strict=True):
        if record.search is not None:
            rows += [
                (name, float(x), float(y))
                for x, y in record.search.select("evaluations", "predicted").iter_rows()
            ]
    if not rows:
        return [Text("No run recorded its search.", "missing")]
    table = pl.DataFrame(rows, schema={"what": pl.String, "x": pl.Float64, "y": pl.Float64}, orient="row")
    lacking = [name for name in names if name not in set(table["what"])]
    caption = "The best prediction of each run's own surrogate: lower is not better where surrogates differ."
    if lacking:
        caption += f" Without a recorded search: {', '.join(lacking)}."
    return [
        Figure(
            "compared-searches",
            caption,
            f"Best prediction over designs scored, {table['what'].n_unique()} runs.",
            [
                charts.lines(
                    table,
                    "designs scored by the surrogate",
                    f"best predicted {axis(records[0].objective)}",
                    scale_x="log",
                    stepped=True,
                )
            ],
            640,
        )
    ]


def _inputs(records: Sequence[RunRecord], names: Sequence[str]) -> list[Block]:
    def told(value: Any) -> str:
        if isinstance(value, dict):
            return (
                ", ".join(
                    f"{key} {one:g}" if isinstance(one, float) else f"{key} {one}"
                    for key, one in value.items()
                )
                or "none"
            )
        return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)

    inputs = {
        name: [told(record.manifest.get(name, "not recorded")) for record in records] for name in COMPARED
    }
    inputs["space"] = [record.space.name for record in records]
    if len({record.manifest["space"] for record in records}) > 1 and len(set(inputs["space"])) == 1:
        inputs["space"] = [f"{record.space.name} ({record.space.size:,} designs)" for record in records]
    inputs["log"] = [
        ", ".join(str(log.get("sha256"))[:12] for log in record.manifest["logs"]) for record in records
    ]
    inputs["prime-fast"] = [
        str(((record.manifest.get("environment") or {}).get("packages") or {}).get("prime-fast", "unknown"))
        for record in records
    ]
    differing = {what: values for what, values in inputs.items() if len(set(values)) > 1}
    if not differing:
        return [Text("They don't: same inputs, same seed, same versions.")]
    rows = [[Cell(what), *(Cell(value) for value in values)] for what, values in differing.items()]
    return [Table("Inputs in which the runs differ", [("", False), *((name, False) for name in names)], rows)]
