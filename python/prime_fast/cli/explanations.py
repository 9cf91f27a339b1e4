"""The analysis of a design for a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from rich.table import Table

from prime_fast.cli.tables import cell, heading

if TYPE_CHECKING:
    from rich.console import Console

    from prime_fast.analysis import Analysis, Importance

INTERACTIONS = 5
"""Pairs of parameters that are shown."""


def print_analysis(analysis: Analysis, console: Console) -> None:
    """Print the design, and what is known of it, section by section."""
    for section in (_design, _learned_constraints, _single, _pairs, _importance, _gains, _distance):
        section(analysis, console)
        console.print()
    _text(console, f"Simulator queries: {analysis.queries:,}.")


def _text(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False)


def _title(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, style="bold")


def _table(*headings: str, left: int = 1, gap: int = 2) -> Table:
    """Return a table; all columns but the first few hold figures."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for position, text in enumerate(headings):
        table.add_column(text, justify="left" if position < left else "right", header_style="dim")
    return table


def _ratio(value: float | None, missing: str = "-") -> str:
    """Format a ratio."""
    if value is None or not math.isfinite(value):
        return missing
    return f"{value:.2f}x" if value < 9.995 else f"{value:,.0f}x"


def _error(value: float, error: float) -> str:
    return f"{value:.2f} ±{error:.2f}"


def _value(analysis: Analysis, name: str, text: str) -> str:
    """Format a value that a table holds as text."""
    position = analysis.space.names.index(name)
    for value in analysis.space.values[position]:
        if text == (str(value).lower() if isinstance(value, bool) else str(value)):
            return cell(value, analysis.space.units[position])
    return text


def _design(analysis: Analysis, console: Console) -> None:
    _text(console, heading(analysis))
    units = dict(zip(analysis.space.names, analysis.space.units, strict=True))
    values = ", ".join(f"{name} {cell(value, units[name])}" for name, value in analysis.design.items())
    _text(console, f"{analysis.title[:1].upper()}{analysis.title[1:]} of {analysis.path}: {values}.")
    own = analysis.changes.design.row(0, named=True)
    figures = [f"predicted {cell(own['predicted'])}"]
    if analysis.simulated:
        figures.append(
            "infeasible in simulation" if own["simulated"] is None else f"simulated {cell(own['simulated'])}"
        )
    figures.append(f"feasible with probability {own['feasible_probability']:.2f}")
    if own.get("area_mm2") is not None:
        figures.append(f"{cell(own['area_mm2'])} mm2")
    _text(console, f"{', '.join(figures)}.".capitalize())
    if own.get("reason"):
        _text(console, f"Infeasible: {own['reason']}.")
    if not own["within_limits"]:
        _text(console, "The design is beyond the limits, or breaks a constraint of the space.")


def _learned_constraints(analysis: Analysis, console: Console) -> None:
    if not analysis.learned_constraints.height:
        _text(console, "No limit was learned from infeasible designs.")
        return
    several = len(analysis.applications) > 1
    _title(console, "Learned limits: no feasible logged design is beyond, infeasible ones are")
    table = _table("", "here", "limit", "slack", "infeasible")
    if several:
        table.add_column("", header_style="dim")
    for row in analysis.learned_constraints.iter_rows(named=True):
        value, bound = (f"{x:,.0f}" if abs(x) >= 10_000 else f"{x:.6g}" for x in (row["value"], row["bound"]))
        limit = f"{'>=' if row['at_least'] else '<='} {bound}"
        cells = [row["quantity"], value, limit, _ratio(row["slack"])]
        infeasible = f"{row['infeasible']:,}" if row["infeasible"] else "expected"
        cells += [infeasible, *([row["application"]] if several else [])]
        table.add_row(*cells, style=None if row["kept"] else "bold")
    console.print(table)
    broken = analysis.learned_constraints.filter(~pl.col("kept"))["constraint"].to_list()
    told = f"The design breaks {', '.join(broken)}." if broken else "The design keeps them."
    _text(console, f"{told} Slack: how far within; infeasible: logged beyond it, and beyond none above.")
    if (analysis.learned_constraints["infeasible"] == 0).any():
        _text(console, "Expected: there is no log of the application; the limits of others lead to it.")


def _simulated(row: dict[str, Any]) -> str:
    return _ratio(row["simulated_ratio"], "-" if row["feasible"] else "fails")


def _single(analysis: Analysis, console: Console) -> None:
    simulated = analysis.simulated
    extra = ("simul.",) if simulated else ()
    _title(console, "One parameter changed: objective over that of the design, below 1 is better")
    headings = ("", "now", "allowed", "best", "pred.", *extra, "worst", "pred.", *extra)
    table = _table(*headings, gap=1)
    for name in analysis.space.names:
        rows = analysis.changes.single.filter(pl.col("parameter") == name)
        allowed = rows.filter("allowed").sort("predicted", maintain_order=True)
        cells: list[str] = []
        for place in (0, -1):
            if place == -1 and allowed.height < 2:
                cells += [""] * (2 + simulated)
            elif not allowed.height:
                cells += ["none"] + [""] * (1 + simulated)
            else:
                row = allowed.row(place, named=True)
                cells += [_value(analysis, name, row["value"]), _ratio(row["predicted_ratio"])]
                cells += [_simulated(row)] if simulated else []
        unit = analysis.space.units[analysis.space.names.index(name)]
        now = cell(analysis.design[name], unit)
        table.add_row(name, now, f"{allowed.height}/{rows.height}", *cells)
    console.print(table)
    best = analysis.best(analysis.changes.single, "simulated") if simulated else None
    if best is not None:
        ratio = _ratio(best["simulated_ratio"])
        what = f"{best['parameter']} {_value(analysis, best['parameter'], best['value'])}"
        _text(console, f"Best change within the limits as simulated: {what}, {ratio}.")
    note = "Allowed: within the limits, and predicted feasible."
    _text(console, note + (" Fails: in simulation." if simulated else ""))


def _pair_text(analysis: Analysis, row: dict[str, Any]) -> str:
    parts = [
        f"{row[prefix + 'parameter']} {_value(analysis, row[prefix + 'parameter'], row[prefix + 'value'])}"
        for prefix in ("", "second_")
    ]
    figures = [f"predicted {_ratio(row['predicted_ratio'])}"]
    if analysis.simulated:
        figures.append(f"simulated {_simulated(row)}")
    return f"{' with '.join(parts)}: {', '.join(figures)}"


def _pairs(analysis: Analysis, console: Console) -> None:
    pairs = analysis.changes.pairs
    if not pairs.height:
        _text(console, "No pairs of changes were looked at.")
        return
    simulated = analysis.simulated
    extra = ("simulated",) if simulated else ()
    _title(console, "Two parameters changed: factor between their effect and the product of both")
    table = _table("", "", "pairs", "predicted", *extra, left=2)
    for row in analysis.changes.interactions.head(INTERACTIONS).iter_rows(named=True):
        factors = [row["predicted_interaction"], *([row["simulated_interaction"]] if simulated else [])]
        shown = [_ratio(None if factor is None else math.exp(factor)) for factor in factors]
        table.add_row(row["parameter"], row["second_parameter"], str(row["pairs"]), *shown)
    console.print(table)
    for what in ("predicted", "simulated") if simulated else ("predicted",):
        best = analysis.best(pairs, what)
        told = "none" if best is None else _pair_text(analysis, best)
        _text(console, f"Best pair as {what}: {told}.")


def _importance(analysis: Analysis, console: Console) -> None:
    found, feasibility = analysis.importance, analysis.feasibility_importance
    if found is None:
        _text(console, "No importance of parameters: next to no design is within the limits.")
        return
    if found.table.is_empty():
        _text(console, "No importance of parameters: all designs within the limits are predicted alike.")
        return
    if feasibility is not None and feasibility.table.is_empty():
        feasibility = None
    extra = ("total, feasible",) if feasibility is not None else ()
    _title(console, "What matters to the surrogate: Sobol indices, ± standard error")
    table = _table("", "total", "first order", *extra, "around the design")
    totals = {} if feasibility is None else _totals(feasibility)
    for row in found.table.iter_rows(named=True):
        name = row["parameter"]
        table.add_row(
            name,
            _error(row["total"], row["total_error"]),
            _error(row["first_order"], row["first_order_error"]),
            *([_error(*totals[name])] if totals else []),
            _ratio(analysis.spread[name]),
        )
    console.print(table)
    _text(
        console,
        f"Of the log of the prediction{', and of being feasible,' if totals else ''} over designs within the "
        f"limits ({found.share_within:.2g} of the space; {found.designs:,} drawn, {found.evaluations:,} "
        "predicted). Limits tie parameters to each other: first order may exceed total. Around the design: "
        "worst over best prediction.",
    )


def _totals(importance: Importance) -> dict[str, tuple[float, float]]:
    rows = importance.table.iter_rows(named=True)
    return {row["parameter"]: (row["total"], row["total_error"]) for row in rows}


def _gains(analysis: Analysis, console: Console) -> None:
    if analysis.gains is None or analysis.reference is None:
        _text(console, "No other design to compare with.")
        return
    simulated = bool(
        analysis.gains["simulated"].is_not_null().any() or analysis.gains["reason"].is_not_null().any()
    )
    headings = ["", "predicted", "gain"] + (["simulated", "gain"] if simulated else [])
    _title(console, f"Against {analysis.reference}: objective there over here, above 1 is a gain")
    table = _table(*headings)
    for row in analysis.gains.iter_rows(named=True):
        mark = "" if row["designed_for"] else " ." if row["learned_from"] else " *"
        cells = [cell(row["predicted"]), _ratio(row["predicted_gain"])]
        if simulated:
            told = "fails" if row["reason"] else cell(row["simulated"])
            gain = "ref. fails" if row["reference_reason"] else _ratio(row["simulated_gain"])
            cells += [told, gain]
        table.add_row(row["application"] + mark, *cells)
    console.print(table)
    gained = analysis.gains["simulated_gain" if simulated else "predicted_gain"].drop_nulls()
    fails, other_fails = (analysis.gains[name].is_not_null() for name in ("reason", "reference_reason"))
    # To run where the reference fails is a gain, to fail where it runs a loss.
    decided = gained.len() + int((fails ^ other_fails).sum())
    lines = []
    if decided > 1:
        won = int((gained > 1.0).sum()) + int((other_fails & ~fails).sum())
        mean = _ratio(float(np.exp(np.log(gained.to_numpy()).mean()))) if gained.len() else ""
        told = f", geometric mean {mean}" if mean else ""
        if gained.len() < decided:
            told = f"{told} of the {gained.len()} that both run" if mean else ", none of which both run"
        lines.append(f"{won} of {decided} gain{told}.")
    failing = analysis.gains.filter(pl.col("reason").is_not_null())["application"].to_list()
    if failing:
        lines.append(f"Not run by the design: {', '.join(failing)}.")
    if not analysis.gains["designed_for"].all():
        others = analysis.gains.filter(~pl.col("designed_for"))["learned_from"]
        marks = ([". learned from"] if others.any() else []) + (
            [] if others.all() else ["* not known to the run"]
        )
        lines.append(f"Not designed for: {', '.join(marks)}.")
    if lines:
        _text(console, " ".join(lines))


def _distance(analysis: Analysis, console: Console) -> None:
    distance = analysis.distance
    if distance is None:
        _text(console, "The distance to the log is left out: the log can't be read again.")
        return
    several = distance.applications.height > 1
    total = distance.applications["feasible"].sum()
    _title(console, f"Nearest feasible logged designs, of {total:,}; the design's own values differ in")
    headings = ("parameters", "ranks", analysis.objective, *(("log",) if several else ()))
    table = _table(*headings, left=0)
    table.add_column("there", header_style="dim")
    units = dict(zip(analysis.space.names, analysis.space.units, strict=True))
    for row in distance.nearest.iter_rows(named=True):
        cells = [str(row["changed_parameters"]), str(row["rank_distance"]), cell(row[analysis.objective])]
        cells += [row["application"]] if several else []
        differ = [name for name, value in analysis.design.items() if row[name] != value]
        there = ", ".join(f"{name} {cell(row[name], units[name])}" for name in differ)
        table.add_row(*cells, there or "nothing")
    console.print(table)
    for row in distance.applications.iter_rows(named=True):
        best = "none within the limits" if row["best_logged"] is None else f"best {cell(row['best_logged'])}"
        deviation = (
            f"ensemble's deviation {cell(row['deviation'])}, {cell(row['median_logged_deviation'])} in the "
            f"median of the log, where {row['share_deviating_less']:.0%} deviate less"
        )
        if row["deviation"] == row["median_logged_deviation"] == 0.0:
            deviation = "one network has no deviation to tell"
        _text(
            console,
            f"{row['application'] + ': ' if several else ''}predicted {cell(row['predicted'])}, better than "
            f"{100 * (1 - row['share_better']):.4g}% of the feasible logged designs ({best}); {deviation}.",
        )
    never = distance.parameters.filter(pl.col("logged_feasible") == 0)
    if never.height:
        named = [f"{name} {_value(analysis, name, value)}" for name, value, *_ in never.iter_rows()]
        _text(console, f"Values that no feasible logged design has: {', '.join(named)}.")
    else:
        _text(console, "Each value is that of some feasible logged design.")
