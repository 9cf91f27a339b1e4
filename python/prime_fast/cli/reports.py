"""What the simulator says, for a terminal: one design by layer, or a summary of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prime_fast.cli.tables import cell

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from prime_fast.batch import BatchSummary
    from prime_fast.explanation import Report
    from prime_fast.simulator import Simulator
    from prime_fast.space import Value

# Columns beside the layer's name: heading, width, gap included.
FIGURES = (
    ("map", 4),
    ("us", 6),
    ("comp", 7),
    ("port", 7),
    ("bus", 7),
    ("DRAM", 7),
    ("util", 5),
    ("port B", 7),
    ("DRAM B", 7),
    ("uJ", 6),
)
BOUNDS = ("compute", "port", "bus", "dram")
AXES = {"rows": "h", "columns": "w", "channels": "k", "reduction": "r"}
LEGEND = (
    "map: x and y of the PEs, then the lanes, over h rows, w columns, k channels of the outputs or the r "
    "reduction. comp, port, bus, DRAM: cycles of MAC units, the busiest PE memory's port, the bus between "
    "PEs, DRAM; the layer takes the most, marked *, and a fixed cost. util: MACs over what the array could "
    "do meanwhile. port B, DRAM B: bytes."
)


def short(value: float) -> str:
    """Format a count in at most five characters: 3 digits and k, M, G, T, P."""
    if value < 999.5:
        return f"{value:.3g}" if value >= 0.1 or value == 0 else f"{value:.1g}"
    for suffix in "kMGTP":
        value /= 1000
        if value < 999.5:
            return f"{value:#.3g}".rstrip(".") + suffix
    return f"{value:.0e}"


def shortened(name: str, width: int) -> str:
    """Leave out the middle of a name that is longer than the width."""
    if len(name) <= width:
        return name
    tail = max(1, (width - 1) // 2)
    return f"{name[: width - 1 - tail]}…{name[-tail:]}"


def size(count: float) -> str:
    """Format bytes."""
    for suffix, unit in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= unit:
            return f"{count / unit:.4g} {suffix}"
    return f"{count:.0f} B"


def told(value: Value, unit: str = "") -> str:
    """Format a parameter's value as --design takes it, but for whole KiB and MiB where the unit is given."""
    return str(value).lower() if isinstance(value, bool) else cell(value, unit)


def _lines(console: Console, rows: list[tuple[str, str]]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for label, text in rows:
        table.add_row(label, Text(text))
    console.print(table, highlight=False)


def _parts(parts: Mapping[str, float]) -> str:
    return " + ".join(f"{cell(float(value))} {name}" for name, value in parts.items())


def layers_table(report: Report, width: int) -> Table:
    """Return the table of layers, no wider than `width` where that leaves some of the names."""
    room = max(8, width - sum(width for _, width in FIGURES))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("layer", no_wrap=True)
    for heading, _ in FIGURES:
        table.add_column(heading, justify="left" if heading == "map" else "right", no_wrap=True)
    for row in report.layers.iter_rows(named=True):
        mapping = "".join(AXES[part.split("=")[1]] for part in row["mapping"].split())
        marks = {bound: "*" if bound == row["bound"] else " " for bound in BOUNDS}
        table.add_row(
            Text(shortened(row["name"], room)),
            mapping,
            short(row["time_us"]),
            *(short(row[f"{bound}_cycles"]) + marks[bound] for bound in BOUNDS),
            f"{row['utilization']:.0%}" if row["macs"] else "-",
            short(row["port_bytes"]),
            short(row["dram_weight_bytes"] + row["dram_activation_bytes"]),
            short(sum(row[f"{part}_energy_uj"] for part in ("mac", "port", "dram", "leakage"))),
        )
    return table


def print_report(report: Report, simulator: Simulator, outside: Mapping[str, list[Value]]) -> None:
    """Print one design's figures by layer and in total, or why it is infeasible."""
    console = Console()
    units = dict(zip(simulator.space.names, simulator.space.units, strict=True))
    design = ", ".join(f"{name} {told(value, units[name])}" for name, value in report.design.items())
    console.print(f"{report.application} on {design}", highlight=False, markup=False)
    for name, values in outside.items():
        why = f"allowed: {', '.join(map(told, values))}" if values else "it has no such parameter"
        note = f"outside the space: {name}={told(report.design[name])} ({why})"
        console.print(note, highlight=False, markup=False)
    console.print()
    if report.feasible:
        console.print(layers_table(report, console.width))
        console.print(LEGEND, highlight=False, style="dim")
        console.print()
    _lines(console, totals(report, simulator))


def totals(report: Report, simulator: Simulator) -> list[tuple[str, str]]:
    """Return the lines under the table: label and text."""
    array, residency, rows = report.array, report.residency, []
    area = f"{cell(report.area_mm2)} mm2"
    if report.area_by_component:
        area += f" = {_parts(report.area_by_component)}"
    if (rejection := report.rejection) is not None:
        rows.append(("infeasible", rejection.text))
        if rejection.check in simulator.space.constraint_names and (rejection.needed or rejection.available):
            rows.append(("", f"{cell(rejection.needed)} must not exceed {cell(rejection.available)}"))
        rows.append(("area", area))
        rows.append(("peak power", f"{cell(report.peak_power_mw)} mW"))
    else:
        layers = report.layers
        work = report.latency_us - array.invocation_us
        fixed = {"invocation": array.invocation_us, "layers": work}
        rows.append(("latency", f"{cell(report.latency_us)} us = {_parts(fixed)}"))
        shares = []
        for bound in BOUNDS:
            mine = layers.filter(bound=bound)
            if mine.height:
                share = float(mine["time_us"].sum()) / work
                plural = "s" if mine.height > 1 else ""
                shares.append(f"{bound} {share:.0%} ({mine.height} layer{plural})")
        rows.append(("layers wait for", ", ".join(shares)))
        macs = float(layers["macs"].sum())
        used = macs / (work * array.clock_mhz * array.macs_per_cycle)
        peak = f"{short(macs)} MACs, {used:.1%} of what the array could do while layers run"
        rows.append(("utilisation", f"{peak} ({cell(array.macs_per_cycle)} a cycle)"))
        rows.append(("energy", f"{cell(report.energy_uj)} uJ = {_parts(report.energy_by_part)}"))
        power = f"{cell(report.average_power_mw)} mW average, {cell(report.peak_power_mw)} mW peak"
        rows.append(("power", power))
        rows.append(("area", area))
        resident, streamed = residency.resident_weight_bytes or 0.0, residency.streamed_weight_bytes or 0.0
        kept = f" ({resident / residency.weight_bytes:.0%})" if residency.weight_bytes else ""
        rows.append(
            (
                "weights",
                f"{size(resident)} of {size(residency.weight_bytes)}{kept} stay on chip, where they may "
                f"take {size(residency.weight_limit_bytes)}; {size(streamed)} streamed each inference",
            )
        )
    rows.append(
        (
            "activations",
            f"at most {size(residency.activation_bytes)} at once (layer {residency.activation_layer}); all "
            f"PE memories have {size(residency.pe_memories_bytes)}",
        )
    )
    return rows


def print_summary(summary: BatchSummary, simulator: Simulator, out: Path | None) -> None:
    """Print what a batch of designs came to."""
    console = Console()
    name = simulator.application.name
    share = summary.feasible / summary.designs
    console.print(
        f"{name}: {summary.designs:,} designs, {summary.feasible:,} feasible ({share:.1%})", highlight=False
    )
    if summary.best is not None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for position, heading in enumerate(
            ("feasible", "least", "most", f"fastest (row {summary.best_row})")
        ):
            table.add_column(heading, justify="right" if position else "left")
        for figure in summary.least:
            row: list[Any] = [summary.least[figure], summary.most[figure], summary.best[figure]]
            table.add_row(figure, *map(cell, row))
        for parameter, unit in zip(simulator.space.names, simulator.space.units, strict=True):
            table.add_row(parameter, "", "", cell(summary.best[parameter], unit))
        console.print(table, highlight=False)
    if summary.reasons:
        console.print("Infeasible:")
        rows = [(f"  {count:,}", summary.example[reason]) for reason, count in summary.reasons.most_common()]
        _lines(console, rows)
    if out is not None:
        console.print(f"File: {out}", highlight=False, markup=False, soft_wrap=True)
