"""What each parameter does around a design: one panel a parameter."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from prime_fast.logs.writing import atomic_file
from prime_fast.roofline import COLOURS, check_plot_suffix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from prime_fast.analysis.explaining import Analysis

COLUMNS = 5
PREDICTED, SIMULATED = COLOURS["compute"], COLOURS["dram"]
MOST_TICKS = 12


def draw_changes(analysis: Analysis, path: str | Path) -> None:
    """Draw the objective over the values of each parameter, all others as in the design.

    Parameters
    ----------
    analysis : Analysis
    path : str or Path
        A name that ends in ``.png`` or ``.svg``.

    Raises
    ------
    ConfigurationError
        If the suffix is another, or the file can't be written.
    """
    check_plot_suffix(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    names = analysis.space.names
    across = min(COLUMNS, len(names))
    down = math.ceil(len(names) / across)
    with mpl.rc_context({"svg.hashsalt": "prime-fast", "font.size": 8, "axes.titlesize": 9}):
        figure = Figure(figsize=(1.0 + 2.3 * across, 1.3 + 2.1 * down), layout="constrained")
        grid = figure.subplots(down, across, sharey=True, squeeze=False)
        panels = list(grid.flat)
        for position, axes in enumerate(panels):
            if position < len(names):
                _panel(axes, analysis, position)
            else:
                axes.set_axis_off()
        panels[0].set_yscale("log")
        panels[0].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panels[0].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panels[0].yaxis.set_minor_formatter(NullFormatter())
        for row in grid:
            row[0].set_ylabel(_quantity(analysis))
        subject = " + ".join(analysis.applications) or "logged designs"
        within = ", ".join(f"{name} <= {limit:g}" for name, limit in analysis.limits.items())
        figure.suptitle(
            f"{subject}: one parameter of {analysis.title} changed ({within or 'no limit'})",
            x=0.01,
            ha="left",
            fontsize=9,
        )
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        with atomic_file(path) as file:
            kind = Path(path).suffix[1:]
            figure.savefig(file, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)


def _quantity(analysis: Analysis) -> str:
    if analysis.combine == "worst":
        return f"{analysis.objective}, worst ratio"
    several = f", {analysis.combine} mean" if len(analysis.applications) > 1 else ""
    return analysis.objective + several


def _panel(axes: Axes, analysis: Analysis, position: int) -> None:
    from prime_fast.cli.tables import cell

    space, name = analysis.space, analysis.space.names[position]
    around = analysis.changes
    values, unit = space.values[position], space.units[position]
    own = values.index(analysis.design[name])
    rows = around.single.filter(pl.col("parameter") == name).drop("parameter", "value_from", "value")
    mine = around.design.with_columns(
        pl.lit(1.0).alias(column) for column in rows.columns if column.endswith("_ratio")
    )
    # Rows of the other values stand in the parameter's order.
    rows = pl.concat([rows[:own], mine.select(rows.columns), rows[own:]])
    place = list(range(len(values)))
    axes.axvline(own, color="0.85", linewidth=6, zorder=0, label="the design")
    axes.plot(place, rows["predicted"].to_list(), color=PREDICTED, linewidth=1.2, label="predicted")
    _markers(axes, rows["predicted"], rows["allowed"], PREDICTED, "beyond the limits, or predicted to fail")
    if analysis.simulated:
        simulated = [math.nan if value is None else value for value in rows["simulated"].to_list()]
        axes.plot(place, simulated, color=SIMULATED, linewidth=1.2, label="simulated")
        kept = rows["within_limits"]
        _markers(axes, pl.Series(simulated), kept, SIMULATED, "beyond the limits")
        fails = [at for at, value in enumerate(simulated) if math.isnan(value)]
        axes.plot(
            fails, [0.03] * len(fails), "x", color=SIMULATED, markersize=5, label="fails in simulation",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    step = math.ceil(len(values) / MOST_TICKS)
    texts = [cell(value, unit) for value in values]
    long = max(map(len, texts)) > 3
    axes.set_xticks(place[::step], texts[::step], rotation=90 if long else 0, fontsize=7)
    axes.set_title(name)
    axes.grid(visible=True, axis="y", which="major", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)


def _markers(axes: Axes, values: pl.Series, filled: pl.Series, colour: str, hollow: str) -> None:
    """Draw points, hollow ones where they are not to be had."""
    for full in (True, False):
        at = [place for place, kept in enumerate(filled.to_list()) if kept == full]
        axes.plot(
            at,
            [values[place] for place in at],
            "o",
            markersize=4,
            color=colour,
            markerfacecolor=colour if full else "white",
            label="_" if full else hollow,
        )
