"""Rooflines of one design: what each layer of an application could reach, and what it does reach.

A panel each for PE memory ports, bus and DRAM: a layer's MACs a cycle over its MACs a byte there. A layer on
a slope waits for that resource; one below all roofs leaves PEs or MAC units idle.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from prime_fast.errors import ConfigurationError, NoFeasibleDesignError
from prime_fast.logs.writing import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from prime_fast.explanation import Report

SUFFIXES = (".png", ".svg")
# Colours that the colour-blind can tell apart.
COLOURS = {"compute": "#0072B2", "port": "#E69F00", "bus": "#009E73", "dram": "#D55E00"}
NAMES = {"compute": "MAC units", "port": "PE memory ports", "bus": "bus", "dram": "DRAM"}
LABELLED = 4
"""Layers that are named, the slowest."""
LARGEST = 1500.0
"""Area of a layer's marker, in points squared, that took all of the time."""


def check_plot_suffix(path: str | Path) -> None:
    """Raise ConfigurationError unless `draw` knows the format of this name."""
    if Path(path).suffix not in SUFFIXES:
        raise ConfigurationError(f"can't draw {path}: its name must end in {' or '.join(SUFFIXES)}")


def draw(report: Report, path: str | Path) -> None:
    """Draw the rooflines of a report, one point a layer that multiplies.

    Parameters
    ----------
    report : Report
    path : str or Path
        A name that ends in ``.png`` or ``.svg``.

    Raises
    ------
    ConfigurationError
        If the suffix is another, or the file can't be written.
    NoFeasibleDesignError
        If the design is infeasible.
    """
    check_plot_suffix(path)
    if report.rejection is not None:
        raise NoFeasibleDesignError(f"can't draw an infeasible design: {report.rejection.text}")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    array = report.array
    cycles = pl.max_horizontal("compute_cycles", "port_cycles", "bus_cycles", "dram_cycles")
    layers = report.layers.with_columns(
        dram_bytes=pl.col("dram_weight_bytes") + pl.col("dram_activation_bytes"),
        reached=pl.col("macs") / cycles,
        share=pl.col("time_us") / pl.col("time_us").sum(),
    )
    multiplying = layers.filter(pl.col("macs") > 0)
    slowest = multiplying.top_k(LABELLED, by="time_us")["name"].to_list()
    roofs = {
        "port": [("", array.port_bytes_per_cycle)],
        "bus": [("", array.bus_bytes_per_cycle)],
        "dram": [
            (" (weights)", array.dram_weight_bytes_per_cycle),
            (" (activations, dashed)", array.dram_activation_bytes_per_cycle),
        ],
    }
    if roofs["dram"][0][1] == roofs["dram"][1][1]:
        roofs["dram"] = [("", array.dram_weight_bytes_per_cycle)]

    # The same bytes for the same design.
    with mpl.rc_context({"svg.hashsalt": "prime-fast", "font.size": 9, "axes.titlesize": 9}):
        figure = Figure(figsize=(12, 5), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        for axes, (resource, lines) in zip(panels, roofs.items(), strict=True):
            shown = multiplying.filter(pl.col(f"{resource}_bytes") > 0)
            _panel(axes, resource, shown, lines, array.macs_per_cycle)
        low = float(multiplying["reached"].min() or 1.0)  # type: ignore[arg-type]
        panels[0].set_ylim(min(low, array.macs_per_cycle / 10) / 4, array.macs_per_cycle * 2)
        panels[0].set_ylabel("MACs a cycle")
        figure.suptitle(_title(report, layers), x=0.01, ha="left", fontsize=9)
        _legend(figure, layers)
        figure.draw_without_rendering()
        for axes, resource in zip(panels, roofs, strict=True):
            at_home = pl.col("bound") == resource
            if resource == "port":
                at_home |= pl.col("bound") == "compute"
            _label(axes, resource, multiplying.filter(pl.col("name").is_in(slowest) & at_home))
        with atomic_file(path) as file:
            kind = Path(path).suffix[1:]
            figure.savefig(file, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)


def _title(report: Report, layers: pl.DataFrame) -> str:
    # Lines break between parameters only.
    design = ", ".join(f"{name}\N{NO-BREAK SPACE}{value}" for name, value in report.design.items())
    idle = layers.filter(pl.col("macs") == 0)
    figures = f"{report.latency_us:.4g} us, {report.energy_uj:.4g} uJ, {report.area_mm2:.4g} mm2"
    text = f"{report.application}: {figures}"
    if idle.height:
        share = float(idle["share"].sum())
        text += f"   ({idle.height} layers without MACs, {share:.0%} of the layers' time, are not shown)"
    return "\n".join([text, *textwrap.wrap(design, 150)])


def _panel(
    axes: Axes, resource: str, layers: pl.DataFrame, roofs: list[tuple[str, float]], peak: float
) -> None:
    """Draw roofs and layers. Intensities a decade beyond the ridge and the layers are in view."""
    from matplotlib.colors import to_rgba

    intensity = (layers["macs"] / layers[f"{resource}_bytes"]).to_numpy()
    ridges = [peak / bandwidth for _, bandwidth in roofs]
    least = min([min(ridges) / 10, *(intensity / 3)])
    most = max([max(ridges), *intensity]) * 6
    for style, (_, bandwidth) in zip(("-", "--"), roofs, strict=False):
        axes.plot(
            [least, peak / bandwidth, most],
            [least * bandwidth, peak, peak],
            style,
            color="0.25",
            linewidth=1.2,
            label="_",
            zorder=1,
        )
    axes.annotate(
        f"{peak:,.0f} MACs",
        (most, peak),
        xytext=(-3, 3),
        textcoords="offset points",
        ha="right",
        color="0.25",
    )
    bounds = layers["bound"].to_list()
    axes.scatter(
        intensity,
        layers["reached"].to_numpy(),
        s=(layers["share"].to_numpy() * LARGEST).clip(min=12),
        c=[to_rgba(COLOURS[bound], 0.8 if bound in (resource, "compute") else 0.25) for bound in bounds],
        edgecolors="white",
        linewidths=0.6,
        zorder=2,
    )
    bandwidths = ", ".join(f"{bandwidth:.4g}{name}" for name, bandwidth in roofs)
    title = f"{NAMES[resource]}: {bandwidths} B a cycle"
    axes.set(xscale="log", yscale="log", xlim=(least, most), title=title)
    axes.set_xlabel(f"MACs a byte, {NAMES[resource]}")
    axes.grid(visible=True, which="major", color="0.9", linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
    if not layers.height:
        axes.text(0.5, 0.4, "no traffic", transform=axes.transAxes, ha="center", color="0.4")


def _label(axes: Axes, resource: str, layers: pl.DataFrame) -> None:
    """Name layers beside their points, one below the other where they are close."""
    points = []
    for row in layers.iter_rows(named=True):
        place = (row["macs"] / row[f"{resource}_bytes"], row["reached"])
        points.append((*axes.transData.transform(place), place, row))
    right, below = axes.transAxes.transform((0.66, 0))[0], float("inf")
    height = axes.figure.dpi / 72 * 11
    for x, y, place, row in sorted(points, key=lambda point: -point[1]):
        below = min(y - height, below - height)
        left = x > right
        axes.annotate(
            f"{row['name']}, {row['share']:.0%}",
            place,
            xytext=((-14 if left else 14), (below - y) * 72 / axes.figure.dpi),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": "0.4", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
            | {"relpos": (1.0 if left else 0.0, 0.5)},
            zorder=3,
        )


def _legend(figure: Any, layers: pl.DataFrame) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for bound, colour in COLOURS.items():
        mine = layers.filter(bound=bound)
        plural = "" if mine.height == 1 else "s"
        label = f"{NAMES[bound]}: {mine.height} layer{plural}, {float(mine['share'].sum()):.0%} of time"
        handles.append(
            Line2D(
                [],
                [],
                linestyle="",
                marker="o",
                markersize=7,
                color=colour,
                markeredgecolor="white",
                label=label,
            )
        )
    title = (
        "Colour: what a layer waits for (faint where it is not this panel's). Area: its share of the time."
    )
    figure.legend(
        handles=handles,
        title=title,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=8,
        title_fontsize=8,
    )
