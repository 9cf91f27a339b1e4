"""The charts: each takes a table with columns of fixed names and returns an Altair chart without a width.

Names from users' files are values and titles, never names of columns or parts of expressions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import altair as alt
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

# Okabe and Ito's colours, which the colour-blind can tell apart; grey is readable on white and on black.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#8C8C8C"
CYCLE = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY]
# What stands for the same in every chart.
LOGGED, PROPOSED, PREDICTED, SIMULATED, OPTIMUM, PUBLISHED = (
    "logged",
    "proposals",
    "predicted",
    "simulated",
    "proven optimum",
    "Edge TPU V1",
)
COLOURS = {
    LOGGED: GREY,
    "best logged": ORANGE,
    PROPOSED: VERMILLION,
    "best proposal": VERMILLION,
    PREDICTED: BLUE,
    SIMULATED: VERMILLION,
    OPTIMUM: GREEN,
    PUBLISHED: PURPLE,
    "held out": BLUE,
    "all logged": GREY,
    "feasible, kept": BLUE,
    "infeasible, let through": VERMILLION,
}
MARKS = {"held out": "circle", "all logged": "circle", PROPOSED: "diamond"}
DESIGNED = {"designed for": VERMILLION, "another application": GREY}
SHAPES = {
    LOGGED: "circle",
    "best logged": "square",
    PROPOSED: "diamond",
    "best proposal": "diamond",
    OPTIMUM: "cross",
    PUBLISHED: "triangle-up",
}
CONFIG: dict[str, Any] = {
    "background": None,
    "view": {"stroke": None},
    "font": "system-ui, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif",
    "axis": {
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": "#e4e4e4",
        "domainColor": "#999999",
        "tickColor": "#999999",
        "labelColor": "#333333",
        "titleColor": "#333333",
        "labelLimit": 160,
        "labelOverlap": "greedy",
        "labelSeparation": 5,
    },
    "axisQuantitative": {"tickCount": 6},
    "legend": {
        "orient": "bottom",
        "labelFontSize": 11,
        "labelColor": "#333333",
        "titleColor": "#333333",
        "title": None,
        "symbolStrokeWidth": 2,
        "symbolOpacity": 1,
        "columns": 4,
        "labelLimit": 170,
    },
    "title": {"fontSize": 12, "anchor": "start", "fontWeight": "normal", "color": "#333333"},
    "text": {"color": "#333333", "fontSize": 11},
    "range": {"category": CYCLE},
}
HEIGHT = 300


def _scale(what: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(what), range=[COLOURS.get(name, BLUE) for name in what])


def _log(*values: pl.Series) -> alt.Scale:
    """Return a logarithmic scale where all values allow for one and differ by enough, else a linear one."""
    known = pl.concat([one.cast(pl.Float64) for one in values]).drop_nulls()
    if known.is_empty():
        return alt.Scale(zero=False)
    low, high = float(known.min()), float(known.max())  # type: ignore[arg-type]
    if low > 0.0 and high > 1.6 * low:
        room = (high / low) ** 0.04
        return alt.Scale(type="log", domain=[low / room, high * room], nice=False)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return alt.Scale(domain=[low - room, high + room], zero=False, nice=False)


def _known(table: pl.DataFrame, order: Sequence[str]) -> list[str]:
    there = set(table["what"])
    return [name for name in order if name in there]


def yardsticks(table: pl.DataFrame, title: str) -> Any:
    """Draw ``value`` by ``name``, a mark a design ``what``; ``told`` is the ratio in words."""
    order = _known(table, ["best logged", PUBLISHED, "best proposal", OPTIMUM])
    names = table["name"].unique(maintain_order=True).to_list()
    return (
        alt.Chart(table)
        .mark_point(filled=True, size=110, opacity=0.9)
        .encode(
            x=alt.X("value:Q", title=title, scale=_log(table["value"])),
            y=alt.Y("name:N", title=None, sort=names, axis=alt.Axis(grid=True)),
            color=alt.Color("what:N", scale=_scale(order), sort=order),
            shape=alt.Shape(
                "what:N", scale=alt.Scale(domain=order, range=[SHAPES[name] for name in order]), sort=order
            ),
            tooltip=[
                alt.Tooltip("name:N", title="application"),
                alt.Tooltip("what:N", title="design"),
                alt.Tooltip("value:Q", title=title, format=",.4~g"),
                alt.Tooltip("told:N", title="best proposal is"),
            ],
        )
        .properties(height=max(90, 34 * len(names)))
    )


def truth(table: pl.DataFrame, title: str, what_is_true: str) -> Any:
    """Draw ``predicted`` over ``true`` of designs ``what``, and where both are equal."""
    values = pl.concat([table["true"], table["predicted"]])
    scale = _log(values)
    low, high = values.min(), values.max()
    line = alt.Chart(pl.DataFrame({"x": [low, high]})).mark_line(color=GREY, strokeDash=[4, 4])
    order = _known(table, ["held out", PROPOSED])
    points = (
        alt.Chart(table)
        .mark_point(filled=True)
        .encode(
            x=alt.X("true:Q", title=f"{what_is_true} {title}", scale=scale),
            y=alt.Y("predicted:Q", title=f"predicted {title}", scale=scale),
            color=alt.Color("what:N", scale=_scale(order), sort=order),
            shape=alt.Shape("what:N", scale=alt.Scale(domain=order, range=[MARKS[name] for name in order])),
            size=alt.condition(alt.datum.what == PROPOSED, alt.value(80), alt.value(16)),
            opacity=alt.condition(alt.datum.what == PROPOSED, alt.value(0.95), alt.value(0.45)),
            tooltip=[
                alt.Tooltip("name:N", title="design"),
                alt.Tooltip("predicted:Q", format=",.4~g"),
                alt.Tooltip("true:Q", title=what_is_true, format=",.4~g"),
            ],
        )
    )
    return (line.encode(x="x:Q", y=alt.Y("x:Q")) + points).properties(height=HEIGHT)


def curve(
    table: pl.DataFrame,
    x: str,
    y: str,
    *,
    diagonal: bool = False,
    rule: float | None = None,
    rule_title: str = "",
) -> Any:
    """Draw shares ``y`` over ``x`` from 0 to 1, a line for each ``what``; ``told`` says how many."""
    unit = alt.Scale(domain=[0.0, 1.0])
    order = table["what"].unique(maintain_order=True).to_list()
    layers: list[alt.Chart] = []
    if diagonal:
        both = pl.DataFrame({"x": [0.0, 1.0], "y": [0.0, 1.0]})
        layers.append(alt.Chart(both).mark_line(color=GREY, strokeDash=[4, 4]).encode(x="x:Q", y="y:Q"))
    if rule is not None:
        at = pl.DataFrame({"x": [rule], "text": [rule_title]})
        layers.append(alt.Chart(at).mark_rule(color=GREY, strokeDash=[4, 4]).encode(x="x:Q"))
        layers.append(
            alt.Chart(at).mark_text(align="right", dx=-5, y=10, color=GREY).encode(x="x:Q", text="text:N")
        )
    layers.append(
        alt.Chart(table)
        .mark_line(point=alt.OverlayMarkDef(size=45, filled=True), strokeWidth=2)
        .encode(
            x=alt.X("x:Q", title=x, scale=unit, axis=alt.Axis(format="%")),
            y=alt.Y("y:Q", title=y, scale=unit, axis=alt.Axis(format="%")),
            color=alt.Color(
                "what:N", scale=_scale(order), sort=order, legend=None if len(order) == 1 else alt.Undefined
            ),
            tooltip=[
                alt.Tooltip("what:N", title="of"),
                alt.Tooltip("x:Q", title=x, format=".1%"),
                alt.Tooltip("y:Q", title=y, format=".1%"),
                alt.Tooltip("told:N", title="designs"),
            ],
        )
    )
    return alt.layer(*layers).properties(height=HEIGHT)


def extrapolation(table: pl.DataFrame, title: str, best: float | None) -> Any:
    """Draw the ensemble's ``deviation`` (a share) over ``predicted`` of designs ``what``."""
    known = pl.Series([] if best is None else [best], dtype=pl.Float64)
    order = _known(table, ["all logged", PROPOSED])
    points = (
        alt.Chart(table)
        .mark_point(filled=True)
        .encode(
            x=alt.X("predicted:Q", title=f"predicted {title}", scale=_log(table["predicted"], known)),
            y=alt.Y(
                "deviation:Q",
                title="disagreement of the ensemble (standard deviation, %)",
                axis=alt.Axis(format="%"),
            ),
            color=alt.Color("what:N", scale=_scale(order), sort=order),
            shape=alt.Shape("what:N", scale=alt.Scale(domain=order, range=[MARKS[name] for name in order])),
            size=alt.condition(alt.datum.what == PROPOSED, alt.value(80), alt.value(16)),
            opacity=alt.condition(alt.datum.what == PROPOSED, alt.value(0.95), alt.value(0.4)),
            tooltip=[
                alt.Tooltip("name:N", title="design"),
                alt.Tooltip("predicted:Q", format=",.4~g"),
                alt.Tooltip("deviation:Q", title="disagreement", format=".1%"),
                alt.Tooltip("distance:Q", title="parameters changed from the log"),
            ],
        )
    )
    if best is None:
        return alt.layer(points).properties(height=HEIGHT)
    at = pl.DataFrame({"x": [best], "text": ["best logged"]})
    rule = alt.Chart(at).mark_rule(color=ORANGE, strokeWidth=2).encode(x="x:Q")
    text = alt.Chart(at).mark_text(align="left", dx=5, y=10).encode(x="x:Q", text="text:N")
    return (points + rule + text).properties(height=HEIGHT)


def changes(table: pl.DataFrame, names: Sequence[str], title: str) -> Any:
    """Draw the ``ratio`` of each value of a ``parameter`` to the design, by ``what``; usable filled."""
    order = _known(table, [PREDICTED, SIMULATED])
    one = alt.Chart(pl.DataFrame({"x": [1.0]})).mark_rule(color=GREY).encode(x="x:Q")
    points = (
        alt.Chart(table)
        .mark_point(size=55, strokeWidth=1.6)
        .encode(
            x=alt.X("ratio:Q", title=title, scale=_log(table["ratio"])),
            y=alt.Y("parameter:N", title=None, sort=list(names), axis=alt.Axis(grid=True)),
            yOffset=alt.YOffset("what:N", sort=order),
            color=alt.Color("what:N", scale=_scale(order), sort=order),
            fill=alt.condition(
                alt.datum.usable,
                alt.Fill("what:N", scale=_scale(order), legend=None),
                alt.value("transparent"),
            ),
            shape=alt.Shape(
                "what:N", scale=alt.Scale(domain=order, range=["circle", "diamond"][: len(order)]), sort=order
            ),
            tooltip=[
                alt.Tooltip("parameter:N"),
                alt.Tooltip("change:N"),
                alt.Tooltip("what:N", title="as"),
                alt.Tooltip("ratio:Q", title="objective over the design's", format=".3f"),
                alt.Tooltip("told:N", title="limits"),
            ],
        )
    )
    return (one + points).properties(height=max(140, 34 * len(names)))


def importance(table: pl.DataFrame) -> Any:
    """Draw the ``index`` of each ``parameter``, total and first-order (``what``), with standard errors."""
    names = table["parameter"].unique(maintain_order=True).to_list()
    order = ["in total", "alone"]
    base = alt.Chart(table).encode(
        y=alt.Y("parameter:N", title=None, sort=names), yOffset=alt.YOffset("what:N", sort=order)
    )
    bars = base.mark_bar().encode(
        x=alt.X("index:Q", title="Sobol index (share of the variance)", axis=alt.Axis(format="%")),
        color=alt.Color("what:N", scale=alt.Scale(domain=order, range=[BLUE, SKY]), sort=order),
        tooltip=[
            alt.Tooltip("parameter:N"),
            alt.Tooltip("what:N", title="explains"),
            alt.Tooltip("index:Q", title="share of the variance", format=".1%"),
            alt.Tooltip("error:Q", title="standard error", format=".1%"),
        ],
    )
    errors = base.mark_rule(color=GREY).encode(x="low:Q", x2="high:Q")
    return (bars + errors).properties(height=max(140, 34 * len(names)))


def gains(table: pl.DataFrame, title: str) -> Any:
    """Draw the ``gain`` of each application ``name``; ``what`` says whether it was designed for."""
    names = table["name"].to_list()
    order = _known(table, list(DESIGNED))
    one = alt.Chart(pl.DataFrame({"x": [1.0]})).mark_rule(color=GREY).encode(x="x:Q")
    base = alt.Chart(table.with_columns(one=1.0)).encode(
        y=alt.Y("name:N", title=None, sort=names, axis=alt.Axis(grid=True))
    )
    colour = alt.Color(
        "what:N", scale=alt.Scale(domain=order, range=[DESIGNED[name] for name in order]), sort=order
    )
    stems = base.mark_rule(strokeWidth=5, opacity=0.45).encode(x="one:Q", x2="gain:Q", color=colour)
    points = base.mark_point(filled=True, size=110, opacity=1.0).encode(
        x=alt.X("gain:Q", title=title, scale=_log(table["gain"], pl.Series([1.0]))),
        color=colour,
        tooltip=[
            alt.Tooltip("name:N", title="application"),
            alt.Tooltip("gain:Q", title=title, format=".3~f"),
            alt.Tooltip("told:N", title="design, reference"),
        ],
    )
    return (one + stems + points).properties(height=max(90, 30 * len(names)))


def roofline(layers: pl.DataFrame, roofs: pl.DataFrame, title: str, x: str, bounds: dict[str, str]) -> Any:
    """Draw ``reached`` over ``intensity`` of each layer by what ``bound`` it, under roofs."""
    order = [name for name in bounds if name in set(layers["bound"])]
    line = (
        alt.Chart(roofs)
        .mark_line(color=GREY, strokeWidth=1.8)
        .encode(x="x:Q", y="y:Q", detail="roof:N", strokeDash=alt.StrokeDash("roof:N", legend=None))
    )
    points = (
        alt.Chart(layers)
        .mark_circle(stroke="white", strokeWidth=0.6)
        .encode(
            x=alt.X("intensity:Q", title=x, scale=alt.Scale(type="log", nice=False)),
            y=alt.Y("reached:Q", title="MACs a cycle", scale=alt.Scale(type="log", nice=False)),
            size=alt.Size("share:Q", scale=alt.Scale(range=[18, 700], domain=[0.0, 1.0]), legend=None),
            color=alt.Color(
                "bound:N", sort=order, scale=alt.Scale(domain=order, range=[bounds[name] for name in order])
            ),
            opacity=alt.condition(alt.datum.here, alt.value(0.85), alt.value(0.3)),
            tooltip=[
                alt.Tooltip("layer:N"),
                alt.Tooltip("kind:N"),
                alt.Tooltip("bound:N", title="waits for"),
                alt.Tooltip("share:Q", title="share of the layers' time", format=".1%"),
                alt.Tooltip("reached:Q", title="MACs a cycle", format=",.4~g"),
                alt.Tooltip("utilization:Q", title="of the array's MACs", format=".1%"),
            ],
        )
    )
    return (line + points).properties(height=280, title=title)


def parts(table: pl.DataFrame, title: str, components: Sequence[str]) -> Any:
    """Draw stacked bars: ``value`` of each ``component`` of the designs ``name``."""
    names = table["name"].unique(maintain_order=True).to_list()
    colours = [BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, GREY]
    return (
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X("value:Q", title=title),
            y=alt.Y("name:N", title=None, sort=names),
            color=alt.Color(
                "component:N",
                sort=list(components),
                scale=alt.Scale(domain=list(components), range=colours[: len(components)]),
            ),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip("name:N", title="design"),
                alt.Tooltip("component:N"),
                alt.Tooltip("value:Q", title=title, format=",.4~g"),
                alt.Tooltip("share:Q", title="share", format=".1%"),
            ],
        )
        .properties(height=max(90, 38 * len(names)))
    )


def lines(
    table: pl.DataFrame,
    x: str,
    y: str,
    *,
    scale_x: Literal["linear", "log"] = "linear",
    scale_y: str = "log",
    stepped: bool = False,
    points: bool = False,
    tall: int = 260,
    title: str = "",
) -> Any:
    """Draw ``y`` over ``x``, a line for each ``what``."""
    order = table["what"].unique(maintain_order=True).to_list()
    drawn = alt.Chart(table, title=title) if title else alt.Chart(table)
    return (
        drawn.mark_line(
            strokeWidth=2,
            point=alt.OverlayMarkDef(size=35, filled=True) if points else alt.OverlayMarkDef(opacity=0),
            interpolate="step-after" if stepped else "linear",
        )
        .encode(
            x=alt.X("x:Q", title=x, scale=alt.Scale(type=scale_x, nice=False)),
            y=alt.Y("y:Q", title=y, scale=_log(table["y"]) if scale_y == "log" else alt.Scale(zero=False)),
            color=alt.Color(
                "what:N",
                sort=order,
                scale=alt.Scale(domain=order, range=CYCLE[: len(order)]),
                legend=None if len(order) == 1 else alt.Undefined,
            ),
            tooltip=[
                alt.Tooltip("what:N", title="line"),
                alt.Tooltip("x:Q", title=x, format=",.6~g"),
                alt.Tooltip("y:Q", title=y, format=",.4~g"),
            ],
        )
        .properties(height=tall)
    )


def pareto(
    logged: pl.DataFrame, fronts: pl.DataFrame, designs: pl.DataFrame, x: str, y: str, limit: float | None
) -> Any:
    """Draw ``y`` over ``x``: the log, fronts (``what``), and designs (``what``) on top."""
    order = [LOGGED, PROPOSED, "best logged", PUBLISHED, OPTIMUM]
    order = [name for name in order if name in {*logged["what"], *fronts["what"], *designs["what"]}]
    tooltip = [
        alt.Tooltip("what:N", title="design"),
        alt.Tooltip("name:N", title="which"),
        alt.Tooltip("x:Q", title=x, format=",.4~g"),
        alt.Tooltip("y:Q", title=y, format=",.4~g"),
    ]
    bound = pl.Series([] if limit is None else [limit], dtype=pl.Float64)
    x_axis = alt.X("x:Q", title=x, scale=_log(logged["x"], fronts["x"], designs["x"], bound))
    y_axis = alt.Y("y:Q", title=y, scale=_log(logged["y"], fronts["y"], designs["y"]))
    colour = alt.Color("what:N", scale=_scale(order), sort=order)
    proven = pl.col("what") == OPTIMUM

    def line(part: pl.DataFrame) -> Any:
        # Between two optima no design is better than the second one; of a log's front the first one counts.
        steps: Any = "step-before" if (part["what"] == OPTIMUM).all() else "step-after"
        return (
            alt.Chart(part)
            .mark_line(strokeWidth=2, interpolate=steps, point=alt.OverlayMarkDef(size=30, filled=True))
            .encode(x_axis, y_axis, colour, tooltip=tooltip)
        )

    layers: list[alt.Chart] = []
    if limit is not None:
        at = pl.DataFrame({"x": [limit], "text": ["limit"]})
        layers += [
            alt.Chart(at).mark_rule(color=GREY, strokeDash=[4, 4]).encode(x="x:Q"),
            alt.Chart(at).mark_text(align="left", dx=4, y=10).encode(x="x:Q", text="text:N"),
        ]
    layers += [
        alt.Chart(logged).mark_circle(size=14, opacity=0.35).encode(x_axis, y_axis, colour, tooltip=tooltip),
        *(line(part) for part in (fronts.filter(proven), fronts.filter(~proven)) if part.height),
        alt.Chart(designs)
        .mark_point(filled=True, size=90, opacity=0.95)
        .encode(
            x_axis,
            y_axis,
            colour,
            shape=alt.Shape(
                "what:N", scale=alt.Scale(domain=order, range=[SHAPES[name] for name in order]), sort=order
            ),
            tooltip=tooltip,
        ),
    ]
    return alt.layer(*layers).properties(height=360)


def parallel(table: pl.DataFrame, ticks: pl.DataFrame, names: Sequence[str], titles: dict[str, str]) -> Any:
    """Draw a line for each design ``id`` through its ``place`` (0 to 1) on each ``parameter``."""
    order = _known(table, [LOGGED, "best logged", PUBLISHED, PROPOSED])
    hover = alt.selection_point("hover", fields=["id"], on="pointerover", clear="pointerout", empty=False)
    x = alt.X(
        "parameter:N",
        title=None,
        sort=list(names),
        scale=alt.Scale(type="point", padding=0.3),
        axis=alt.Axis(orient="top", grid=True, labelAngle=-30, labelOverlap=False, domain=False, ticks=False),
    )
    y = alt.Y("place:Q", title=None, axis=None, scale=alt.Scale(domain=[-0.06, 1.06]))
    colour = alt.Color("what:N", scale=_scale(order), sort=order)
    tooltip = [
        alt.Tooltip("name:N", title="design"),
        alt.Tooltip("parameter:N"),
        alt.Tooltip("value:N"),
        *(alt.Tooltip(f"{name}:N", title=title) for name, title in titles.items()),
    ]
    base = alt.Chart(table).encode(x=x, y=y, color=colour, detail="id:N")
    logged = alt.datum.what == LOGGED
    drawn = base.mark_line().encode(
        strokeWidth=alt.when(hover).then(alt.value(4)).otherwise(alt.value(1.4)),
        opacity=alt.when(hover)
        .then(alt.value(1.0))
        .when(logged)
        .then(alt.value(0.15))
        .otherwise(alt.value(0.8)),
    )
    points = (
        base.mark_circle(size=60)
        .properties(name="points")  # Altair's own names would number the charts of a process.
        .encode(opacity=alt.when(logged).then(alt.value(0.02)).otherwise(alt.value(0.7)), tooltip=tooltip)
        .add_params(hover)
    )
    labels = alt.Chart(ticks).mark_text(dx=6, align="left", fontSize=10).encode(x=x, y=y, text="text:N")
    return (drawn + points + labels).properties(height=340)


def by_run(table: pl.DataFrame, title: str) -> Any:
    """Draw ``value`` of every proposal by ``run``; ``best`` ones filled."""
    names = table["run"].unique(maintain_order=True).to_list()
    return (
        alt.Chart(table)
        .mark_point(size=70, filled=True, opacity=0.75)
        .encode(
            x=alt.X("value:Q", title=title, scale=_log(table["value"])),
            y=alt.Y("run:N", title=None, sort=names, axis=alt.Axis(grid=True)),
            color=alt.Color("run:N", sort=names, legend=None, scale=alt.Scale(domain=names, range=CYCLE)),
            tooltip=[
                alt.Tooltip("run:N"),
                alt.Tooltip("name:N", title="design"),
                alt.Tooltip("value:Q", title=title, format=",.4~g"),
            ],
        )
        .properties(height=max(90, 34 * len(names)))
    )
