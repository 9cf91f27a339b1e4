"""Why: what the parameters do, who gains, what the design waits for and spends its area and energy on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from prime_fast.report import charts
from prime_fast.report.blocks import (
    Cell,
    Figure,
    Section,
    Table,
    Text,
    number,
    numeric,
    parameter,
    quantity,
    share,
    times,
)
from prime_fast.roofline import COLOURS, NAMES

if TYPE_CHECKING:
    from prime_fast.analysis import Analysis
    from prime_fast.explanation import Report
    from prime_fast.report.blocks import Block
    from prime_fast.report.reading import RunRecord

MOST_ROOFLINES = 3
"""Applications of several whose rooflines are drawn: those that the design is slowest at."""
INTENSITIES = {
    "port": "MACs a byte of the PE memories' ports",
    "bus": "MACs a byte on the bus",
    "dram": "MACs a byte of DRAM traffic",
}


def why(record: RunRecord) -> Section:
    """Return what the design is good for, and because of what."""
    section = Section("why", "Why")
    analysis = record.analysis
    if analysis is None:
        section.blocks.append(
            Text(f"What each parameter does can't be told: {record.missing['surrogate']}.", "missing")
        )
    else:
        section.blocks += _sensitivity(record, analysis)
        section.blocks += _gains(analysis)
        section.blocks += _limits(analysis)
    section.blocks += _simulated(record)
    return section


def _sensitivity(record: RunRecord, analysis: Analysis) -> list[Block]:
    blocks: list[Block] = []
    spread = sorted(analysis.spread.items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} ({times(value)})" for name, value in spread[:3] if value > 1.0)
    if told:
        blocks.append(
            Text(
                f"Around the chosen design the objective depends most on {told}: the largest over the "
                "least prediction that the values of a parameter give within the limits.",
                "lead",
            )
        )
    single = analysis.changes.single
    units = dict(zip(record.space.names, record.space.units, strict=True))
    change = [
        f"{parameter(_typed(start), units[name]).text} → {parameter(_typed(to), units[name]).text}"
        for name, start, to in single.select("parameter", "value_from", "value").iter_rows()
    ]
    single = single.with_columns(change=pl.Series(change, dtype=pl.String))
    frames = []
    for what in ("predicted", "simulated"):
        if f"{what}_ratio" not in single.columns:
            continue
        usable = pl.col("allowed") if what == "predicted" else pl.col("within_limits")
        frames.append(
            single.drop_nulls(f"{what}_ratio").select(
                "parameter",
                "change",
                what=pl.lit(what),
                ratio=f"{what}_ratio",
                usable=usable,
                told=pl.when("within_limits")
                .then(pl.when(usable).then(pl.lit("kept")).otherwise(pl.lit("predicted to fail")))
                .otherwise(pl.lit("broken")),
            )
        )
    table = pl.concat(frames)
    order = [name for name, _ in spread]
    best = analysis.best(analysis.changes.single, "simulated" if analysis.simulated else "predicted")
    text = "No change of one value within the limits is better."
    if best is not None:
        ratio = best["simulated_ratio" if analysis.simulated else "predicted_ratio"]
        if ratio is not None and ratio < 1.0 - 1e-9:
            text = (
                f"The best change of one value, {best['parameter']} from {best['value_from']} to "
                f"{best['value']}, gives {number(ratio, 3)} of the objective as "
                f"{'simulated' if analysis.simulated else 'predicted'}."
            )
    if table.height:
        blocks.append(
            Figure(
                "sensitivity",
                f"What becomes of the objective when one value of {analysis.title} changes: left of 1 is "
                f"better, hollow marks break a limit or are predicted to fail. {text}",
                f"Dot plot of the objective over that of {analysis.title} for every other value of each "
                f"parameter. {text} Spread by parameter: "
                + ", ".join(f"{name} {times(value)}" for name, value in spread)
                + ".",
                [charts.changes(table, order, "objective over that of the design (ratio)")],
                620,
            )
        )
    blocks += _importance(analysis)
    return blocks


def _typed(text: str) -> Any:
    """Return a value's text as a number where it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _importance(analysis: Analysis) -> list[Block]:
    found = analysis.importance
    if found is None:
        return [
            Text(
                "Which parameters matter overall can't be told: next to no design is within the limits.",
                "missing",
            )
        ]
    if found.table.is_empty():
        return [
            Text("No parameter matters to the surrogate: it predicts the same for all designs.", "missing")
        ]
    parts = [
        found.table.select(
            "parameter",
            what=pl.lit(what),
            index=pl.col(column).clip(lower_bound=0.0),
            error=f"{column}_error",
            low=(pl.col(column) - pl.col(f"{column}_error")).clip(lower_bound=0.0),
            high=pl.col(column) + pl.col(f"{column}_error"),
        )
        for what, column in (("in total", "total"), ("alone", "first_order"))
    ]
    first = ", ".join(
        f"{name} {share(total)}"
        for name, total in found.table.select("parameter", "total").head(3).iter_rows()
    )
    return [
        Figure(
            "importance",
            "Which parameters matter over all designs within the limits: the share of the variance of "
            "the predicted logarithm that each explains alone, and that is left when all others are "
            f"known ({found.designs:,} designs, standard errors).",
            f"Sobol indices by parameter; the greatest in total: {first}.",
            [charts.importance(pl.concat(parts))],
            620,
        )
    ]


def _gains(analysis: Analysis) -> list[Block]:
    table = analysis.gains
    if table is None or analysis.reference is None:
        return [Text("There is no trade by application: nothing to compare the design with.", "missing")]
    what = "simulated" if table["simulated_gain"].drop_nulls().len() else "predicted"
    rows = table.drop_nulls(f"{what}_gain").select(
        name="application",
        gain=f"{what}_gain",
        what=pl.when("designed_for").then(pl.lit("designed for")).otherwise(pl.lit("another application")),
        told=pl.format("{}, {}", pl.col(what).round(3), pl.col(f"{what}_reference").round(3)),
    )
    if rows.is_empty():
        return [
            Text(
                f"There is no trade by application: neither design runs any that {analysis.reference} runs.",
                "missing",
            )
        ]
    fails = table.filter(pl.col("reason").is_not_null())["application"].to_list()
    caption = (
        f"The trade by application: how many times better {analysis.title} is than {analysis.reference}, "
        f"as {what}; left of 1 an application loses."
    )
    if fails:
        caption += f" The design can't run {', '.join(fails)}."
    told = ", ".join(f"{name} {times(gain)}" for name, gain in rows.select("name", "gain").iter_rows())
    return [
        Figure(
            "trade",
            caption,
            f"Gain by application against {analysis.reference}: {told}.",
            [
                charts.gains(
                    rows,
                    f"{analysis.reference} / {analysis.title} (ratio of {quantity(analysis.objective)[0]})",
                )
            ],
            620,
        )
    ]


def _limits(analysis: Analysis) -> list[Block]:
    table = analysis.learned_constraints
    if table.is_empty():
        return [Text("The log showed no limits beyond those given.")]
    rows = [
        [
            Cell(row["application"]),
            Cell(row["constraint"]),
            numeric(row["infeasible"], f"{row['infeasible']:,}" if row["infeasible"] else "expected"),
            numeric(row["value"]),
            Cell("kept" if row["kept"] else "broken"),
        ]
        for row in table.iter_rows(named=True)
    ]
    columns = [
        ("application", False),
        ("limit", False),
        ("infeasible designs it explains", True),
        ("of the design", True),
        ("", False),
    ]
    return [Table("Limits learned from infeasible logged designs, which the search keeps", columns, rows)]


def _simulated(record: RunRecord) -> list[Block]:
    chosen = record.chosen
    if chosen is None:
        return [Text("There is no design whose layers, area and energy could be told.", "missing")]
    if not record.simulators:
        return [
            Text(
                "Rooflines, area and energy by component need the bundled simulator, which doesn't know "
                "application, space or objective.",
                "missing",
            )
        ]
    design, title = record.design(chosen), f"proposal {chosen['proposal']}"
    reports = {name: record.simulated_report(name, design) for name in record.applications}
    failing = [
        f"{name}: {report.rejection.text}" for name, report in reports.items() if report.rejection is not None
    ]
    if failing:
        return [
            Text(
                f"Rooflines and energy are those of feasible designs; {title} fails. {'; '.join(failing)}.",
                "missing",
            )
        ]
    slowest = sorted(reports.values(), key=lambda report: -report.latency_us)[:MOST_ROOFLINES]
    blocks: list[Block] = [_roofline(report, title, place) for place, report in enumerate(slowest)]
    if len(slowest) < len(reports):
        blocks.append(
            Text(
                f"Rooflines are drawn of the {MOST_ROOFLINES} slowest of {len(reports)} applications; "
                "prime-fast simulate --plot draws any."
            )
        )
    others = {title: design}
    if record.edge_tpu is not None:
        others["Edge TPU V1"] = record.edge_tpu
    if (logged := record.best_logged()) is not None:
        others["best logged"] = logged
    optimum = record.optimum()
    if optimum is not None:
        others["proven optimum"] = optimum.design
    blocks += _parts(record, slowest[0].application, others)
    return blocks


def _roofline(report: Report, title: str, place: int) -> Figure:
    array = report.array
    cycles = pl.max_horizontal("compute_cycles", "port_cycles", "bus_cycles", "dram_cycles")
    layers = (
        report.layers.with_columns(
            dram_bytes=pl.col("dram_weight_bytes") + pl.col("dram_activation_bytes"),
            reached=pl.col("macs") / cycles,
            share=pl.col("time_us") / pl.col("time_us").sum(),
        )
        .filter(pl.col("macs") > 0)
        .sort("share", descending=True)
    )
    bandwidths = {
        "port": {"": array.port_bytes_per_cycle},
        "bus": {"": array.bus_bytes_per_cycle},
        "dram": {
            "weights": array.dram_weight_bytes_per_cycle,
            "activations": array.dram_activation_bytes_per_cycle,
        },
    }
    if len(set(bandwidths["dram"].values())) == 1:
        bandwidths["dram"] = {"": array.dram_weight_bytes_per_cycle}
    panels = []
    for resource, roofs in bandwidths.items():
        shown = layers.filter(pl.col(f"{resource}_bytes") > 0).select(
            layer="name",
            kind="kind",
            reached="reached",
            share="share",
            utilization="utilization",
            intensity=pl.col("macs") / pl.col(f"{resource}_bytes"),
            bound=pl.col("bound").replace_strict(NAMES),
            here=pl.col("bound").is_in([resource, "compute"]),
        )
        if shown.is_empty():
            continue
        ridges = [array.macs_per_cycle / bandwidth for bandwidth in roofs.values()]
        low = min(float(shown["intensity"].min()) / 2, *(ridge / 4 for ridge in ridges))  # type: ignore[arg-type]
        high = max(float(shown["intensity"].max()) * 2, *(ridge * 4 for ridge in ridges))  # type: ignore[arg-type]
        points = [
            (name, x, y)
            for name, bandwidth in roofs.items()
            for x, y in (
                (low, low * bandwidth),
                (array.macs_per_cycle / bandwidth, array.macs_per_cycle),
                (high, array.macs_per_cycle),
            )
        ]
        roof = pl.DataFrame(
            points, schema={"roof": pl.String, "x": pl.Float64, "y": pl.Float64}, orient="row"
        )
        per = ", ".join(f"{number(value)} {name}".strip() for name, value in roofs.items())
        panels.append(
            charts.roofline(
                shown,
                roof,
                f"{NAMES[resource]}: {per} B a cycle",
                INTENSITIES[resource],
                {NAMES[bound]: colour for bound, colour in COLOURS.items()},
            )
        )
    waits = (
        report.layers.group_by("bound")
        .agg(share=pl.col("time_us").sum() / report.layers["time_us"].sum())
        .sort("share", descending=True)
    )
    told = ", ".join(f"{NAMES[bound]} {share(part)}" for bound, part in waits.iter_rows())
    return Figure(
        "roofline" if not place else f"roofline-{place + 1}",
        f"Rooflines of {title} on {report.application}: each point is a layer, its area the share of the "
        "time. Layers on a slope wait for that resource, those below all roofs leave MAC units idle. "
        f"Time by what layers wait for: {told}.",
        f"Rooflines by layer of {title} on {report.application}, {number(report.latency_us)} µs. Time by "
        f"what layers wait for: {told}.",
        panels,
        380,
    )


def _parts(record: RunRecord, application: str, designs: dict[str, dict[str, Any]]) -> list[Block]:
    """Return area and energy by component of several designs."""
    areas: list[dict[str, Any]] = []
    energies: list[dict[str, Any]] = []
    left_out = []
    for name, design in designs.items():
        report = record.simulated_report(application, design)
        if not report.feasible:
            left_out.append(name)
        for table, values in ((areas, report.area_by_component), (energies, report.energy_by_part)):
            total = sum(values.values())
            for place, (component, value) in enumerate(values.items()):
                component = (
                    component.replace("_", " ")
                    .replace("mac", "MAC")
                    .replace("pe ", "PE ")
                    .replace("dram", "DRAM")
                )
                table.append(
                    {
                        "name": name,
                        "component": component,
                        "value": float(value),
                        "place": place,
                        "share": float(value) / total if total else 0.0,
                    }
                )
    panels, told = [], []
    for table, title in ((areas, "area (mm²)"), (energies, f"energy of an inference of {application} (µJ)")):
        if table:
            frame = pl.DataFrame(table)
            panels.append(
                charts.parts(frame, title, frame["component"].unique(maintain_order=True).to_list())
            )
            mine = frame.filter(pl.col("name") == frame["name"][0]).sort("value", descending=True)
            told.append(
                f"{title}: "
                + ", ".join(
                    f"{component} {share(part)}"
                    for component, part in mine.select("component", "share").iter_rows()
                )
            )
    if not panels:
        return [Text("The space has no areas by component.", "missing")]
    caption = f"Area and energy by component. Of the chosen design, {'; '.join(told)}."
    if left_out:
        caption += f" {', '.join(left_out)} can't run {application} and has no energy."
    return [Figure("components", caption, caption, panels, 460)]
