"""What to build, and how much better that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from prime_fast.report import charts
from prime_fast.report.blocks import (
    DASH,
    Cell,
    Figure,
    Section,
    Table,
    Text,
    axis,
    number,
    numeric,
    parameter,
    quantity,
    share,
    times,
)

if TYPE_CHECKING:
    from prime_fast.report.reading import RunRecord

SHORT = 5
"""Letters of a unit that has room in a heading."""
NOT_SIMULATED = (
    "The proposals were not simulated: the bundled simulator doesn't know application, space or objective."
)


def title_of(record: RunRecord) -> str:
    """Return the title of an axis that shows the objective."""
    if record.manifest["combine"] == "worst" and len(record.applications) > 0:
        return f"worst ratio of {quantity(record.objective)[0]} (to the reference)"
    mean = f"{record.combine} mean of " if record.combine else ""
    return mean + axis(record.objective)


def limits_of(record: RunRecord) -> str:
    """Return the limits in words."""
    told = (
        f"{quantity(name)[0]} ≤ {number(limit)} {quantity(name)[1]}".strip()
        for name, limit in record.limits.items()
    )
    return ", ".join(told) or "no limit"


def headline(record: RunRecord) -> list[tuple[str, str]]:
    """Return the figures that stand at the top."""
    chosen = record.chosen
    if chosen is None:
        return []
    value, unit = (
        record.value_of(chosen),
        "" if record.manifest["combine"] == "worst" else quantity(record.objective)[1],
    )
    what = "simulated" if record.simulated and value is not None else "predicted"
    value = chosen[f"predicted_{record.objective}"] if value is None else value
    found = [(f"best of {record.proposals.height} proposals, {what}", f"{number(value)} {unit}".strip())]  # type: ignore[union-attr]
    if not record.simulated or record.value_of(chosen) is None:
        return found
    references: dict[str, float] = {}
    for row in record.references:
        kind, reference = _kind(str(row["design"])), row.get(record.objective)
        if reference is not None:
            references[kind] = min(reference, references.get(kind, reference))
    if value:
        found += [(f"better than {kind}", times(known / value)) for kind, known in references.items()]
    optimum = record.optimum()
    if optimum is not None and value:
        found.append(("the proven optimum", times(value / optimum.score)))
    return found


def what_to_build(record: RunRecord) -> Section:
    """Return the proposals."""
    section = Section("build", "What to build")
    proposals, chosen = record.proposals, record.chosen
    if proposals is None or chosen is None:
        section.blocks.append(
            Text(
                f"There are no proposals: {record.missing.get('proposals', 'the table is empty')}.", "missing"
            )
        )
        return section
    values = ", ".join(
        f"{name} {parameter(chosen[name], unit).text}"
        for name, unit in zip(record.space.names, record.space.units, strict=True)
    )
    why = "the best as simulated" if record.simulated else "the first, as predicted"
    if record.simulated and record.value_of(chosen) is None:
        section.blocks.append(
            Text(
                f"None of {proposals.height} proposals is feasible. The first one fails: "
                f"{chosen.get('reason')}.",
                "lead",
            )
        )
    else:
        section.blocks.append(Text(f"Build proposal {chosen['proposal']}, {why}: {values}.", "lead"))
    if not record.simulated:
        section.blocks.append(Text(NOT_SIMULATED, "missing"))
    section.blocks.append(_table(record, proposals, chosen))
    notes = ["A click on a heading sorts."]
    if "predicted_deviation" in proposals.columns:
        notes.append(
            "Uncertainty is the standard deviation of the ensemble, in standard deviations of the logged "
            "objective's logarithm."
        )
    notes.append(
        "Distance counts the parameters by which a design differs from the nearest feasible logged one."
    )
    long = [
        f"{name} in {unit}"
        for name, unit in zip(record.space.names, record.space.units, strict=True)
        if len(unit) > SHORT
    ]
    if long:
        notes.append(f"Units: {', '.join(long)}.")
    section.blocks.append(Text(" ".join(notes)))
    return section


def _table(record: RunRecord, proposals: pl.DataFrame, chosen: dict[str, Any]) -> Table:
    space, objective = record.space, record.objective
    unit = quantity(objective)[1]
    measured = (
        "ratio"
        if record.manifest["combine"] == "worst"
        else " ".join((quantity(objective)[0], f"({unit})" if unit else "")).strip()
    )
    figures: list[tuple[str, str]] = []
    if record.simulated:
        figures.append((f"simulated_{objective}", f"simulated {measured}"))
    figures.append((f"predicted_{objective}", f"predicted {measured}"))
    if "predicted_deviation" in proposals.columns:
        figures.append(("predicted_deviation", "uncertainty"))
    figures.append(("feasible_probability", "probability feasible"))
    for name in record.limits:
        column = name if name in space.metric_names else f"predicted_{name}"
        if column in proposals.columns:
            prefix = "" if column == name else "predicted "
            figures.append((column, prefix + axis(name, unit=space.metric_units.get(name, ""))))
    if "changed_parameters" in proposals.columns:
        figures.append(("changed_parameters", "distance"))
    singles = [
        name for name in proposals.columns if ", " in name and name.startswith(("simulated_", "predicted_"))
    ]
    columns = [("proposal", True), *((title, True) for _, title in figures)]
    columns += [
        (name + (f" ({unit})" if 0 < len(unit) <= SHORT else ""), not isinstance(values[0], str | bool))
        for name, unit, values in zip(space.names, space.units, space.values, strict=True)
    ]
    columns += [(_single(name), True) for name in singles]
    told = "reason" in proposals.columns and proposals["reason"].null_count() < proposals.height
    if told:
        columns.append(("fails because", False))
    rows = []
    if record.simulated:
        proposals = proposals.sort(f"simulated_{objective}", nulls_last=True, maintain_order=True)
    for row in proposals.iter_rows(named=True):
        cells = [numeric(row["proposal"], f"{row['proposal']}")]
        for name, _ in figures:
            if name == f"simulated_{objective}" and row[name] is None:
                cells.append(Cell("fails"))
            elif name == "feasible_probability":
                cells.append(numeric(row[name], None if row[name] is None else share(row[name])))
            elif name == "changed_parameters":
                cells.append(numeric(row[name], str(row[name])))
            else:
                cells.append(numeric(row[name]))
        cells += [parameter(row[name], unit) for name, unit in zip(space.names, space.units, strict=True)]
        cells += [numeric(row[name]) for name in singles]
        if told:
            cells.append(Cell(row["reason"] or "", row["reason"]))
        rows.append(cells)
    foot = []
    for reference in record.references:
        cells = [Cell(str(reference["design"]))]
        for name, _ in figures:
            # Without a simulator the logged figure stands beside the predictions.
            measures = name == f"{'simulated' if record.simulated else 'predicted'}_{objective}"
            column = objective if measures else name.removeprefix("predicted_")
            known = measures or (column in record.limits and column != objective)
            cells.append(numeric(reference.get(column) if known else None))
        cells += [
            parameter(reference.get(name), unit) for name, unit in zip(space.names, space.units, strict=True)
        ]
        cells += [Cell(DASH)] * (len(columns) - len(cells))
        foot.append(cells)
    place = [row[0].text for row in rows].index(str(chosen["proposal"]))
    return Table(
        f"Proposals for {record.subject} ({limits_of(record)}), the best first; below, designs to "
        "compare with",
        columns,
        rows,
        foot,
        sortable=True,
        marked=place,
    )


def _single(column: str) -> str:
    """Return the heading of a figure for one application of several."""
    figure, _, application = column.partition(", ")
    what, _, name = figure.partition("_")
    return f"{application}: {what} {axis(name)}"


def how_much_better(record: RunRecord) -> Section:
    """Return the comparison with what is known: logged, published and optimal designs."""
    section = Section("better", "How much better it is")
    chosen = record.chosen
    if chosen is None:
        section.blocks.append(Text("There is no proposal to compare.", "missing"))
        return section
    if record.value_of(chosen) is None:
        section.blocks.append(Text("No proposal is feasible, so none is better than anything.", "missing"))
        return section
    rows = _yardsticks(record, chosen)
    if not rows:
        section.blocks.append(
            Text("There is no design to compare with: the run recorded no reference.", "missing")
        )
        return section
    frame = pl.DataFrame(rows, schema={"name": pl.String, "what": pl.String, "value": pl.Float64})
    table = _ratios(frame)
    section.blocks.append(Text(_summary(frame), "lead"))
    if not record.simulated:
        section.blocks.append(
            Text(NOT_SIMULATED + " So a prediction is compared with what is logged.", "missing")
        )
    title = axis(record.objective)
    drawn = frame.join(table, on="name").with_columns(
        told=pl.struct("value", "best").map_elements(
            lambda row: better(row["value"] / row["best"]),
            return_dtype=pl.String,
        )
    )
    section.blocks.append(
        Figure(
            "yardsticks",
            "The best proposal beside the best logged design, the published one and the proven optimum; "
            "further left is better.",
            f"{axis(record.objective)} of the designs by application: "
            + "; ".join(f"{row['name']}, {row['what']}: {number(row['value'])}" for row in rows[:24]),
            [charts.yardsticks(drawn, title)],
            640,
        )
    )
    section.blocks.append(_ratio_table(record, frame))
    if "optimum" in record.missing:
        section.blocks.append(Text(f"No optimum is shown: {record.missing['optimum']}.", "missing"))
    if record.simulators and record.edge_tpu is None:
        section.blocks.append(Text("The Edge TPU V1 is not in this space.", "missing"))
    return section


def _yardsticks(record: RunRecord, chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """Return name, what and value of each design, for all applications together and one by one."""
    objective, several = record.objective, len(record.applications) > 1
    name = record.subject if not several else f"all ({record.combine})"
    rows = [
        {"name": name, "what": _kind(str(row["design"])), "value": row[objective]}
        for row in record.references
        if row.get(objective) is not None and _kind(str(row["design"])) in charts.COLOURS
    ]
    # Of several logs the best of the best.
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["what"] not in best or row["value"] < best[row["what"]]["value"]:
            best[row["what"]] = row
    rows = list(best.values())
    if not record.references:
        logged = record.best_logged_row()
        if logged is not None and not several:
            rows.append({"name": name, "what": "best logged", "value": float(logged[objective])})
    rows.append({"name": name, "what": "best proposal", "value": record.value_of(chosen)})
    optimum = record.optimum()
    if optimum is not None:
        rows.append({"name": name, "what": charts.OPTIMUM, "value": optimum.score})
    for application in record.applications if several and record.simulators else []:
        rows += _one(record, application, chosen)
    return rows


def better(ratio: float) -> str:
    """Return by how many times something is better or worse."""
    return f"{times(ratio)} better" if ratio >= 1.0 else f"{times(1.0 / ratio)} worse"


def _kind(design: str) -> str:
    return "best logged" if design.startswith("best logged") else design


def _one(record: RunRecord, application: str, chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the yardsticks of one of several applications."""
    objective = record.objective
    rows = [
        {
            "name": application,
            "what": "best proposal",
            "value": chosen.get(f"simulated_{objective}, {application}"),
        }
    ]
    logged = record.best_logged_row(application)
    if logged is not None:
        rows.append({"name": application, "what": "best logged", "value": float(logged[objective])})
    if record.edge_tpu is not None:
        report = record.simulated_report(application, record.edge_tpu)
        if report.feasible:
            rows.append(
                {"name": application, "what": charts.PUBLISHED, "value": float(getattr(report, objective))}
            )
    optimum = record.optimum([application])
    if optimum is not None:
        rows.append({"name": application, "what": charts.OPTIMUM, "value": optimum.score})
    return [row for row in rows if row["value"] is not None]


def _ratios(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("what") == "best proposal").select("name", best="value")


def _ratio_table(record: RunRecord, frame: pl.DataFrame) -> Table:
    order = [what for what in ("best logged", charts.PUBLISHED, charts.OPTIMUM) if what in set(frame["what"])]
    unit = quantity(record.objective)[1]
    shown = f" ({unit})" if unit and record.manifest["combine"] != "worst" else ""
    columns = [
        ("application", False),
        (f"best proposal{shown}", True),
        *((f"{what}{shown}", True) for what in order),
    ]
    columns += [(f"against {what}", True) for what in order]
    rows = []
    for name in frame["name"].unique(maintain_order=True):
        values = dict(frame.filter(pl.col("name") == name).select("what", "value").rows())
        mine = values.get("best proposal")
        ratios = [None if mine is None or values.get(what) is None else values[what] / mine for what in order]
        rows.append(
            [
                Cell(name, name),
                numeric(mine),
                *(numeric(values.get(what)) for what in order),
                *(numeric(ratio, times(ratio)) for ratio in ratios),
            ]
        )
    return Table(
        "How many times better the best proposal is (below 1: worse)", columns, rows, sortable=len(rows) > 1
    )


def _summary(frame: pl.DataFrame) -> str:
    first = frame.filter(pl.col("name") == frame["name"][0])
    values = dict(first.select("what", "value").rows())
    mine = values["best proposal"]
    told = [
        f"{better(values[what] / mine)} than {text}"
        for what, text in (("best logged", "the best logged design"), (charts.PUBLISHED, "the Edge TPU V1"))
        if what in values
    ]
    text = f"The best proposal is {' and '.join(told)}." if told else ""
    if charts.OPTIMUM in values:
        beyond = mine / values[charts.OPTIMUM] - 1.0
        text += (
            " It is the proven optimum within the limits."
            if beyond < 1e-6
            else f" No design within the limits is better by more than {100 * beyond:.1f}%: that is proven."
        )
    return text.strip() or "There is nothing to compare the best proposal with."
