"""The result of `optimize` for a terminal: proposals beside reference designs, one design a column."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.table import Table

from prime_fast.cli.options import verbose

if TYPE_CHECKING:
    from rich.console import Console

    from prime_fast.analysis import Analysis
    from prime_fast.pipeline import OptimizeResult

# Widths that columns take, the gap included.
GAP = 2
PROPOSAL_WIDTH = 9
REFERENCE_WIDTH = 14

# Title, width with the gap, style, cells.
Column: TypeAlias = tuple[str, int, str | None, list[str]]

NO_BREAK = "\N{NO-BREAK SPACE}"


def cell(value: object, unit: str = "") -> str:
    """Format one value: four digits, six with --verbose; whole KiB and MiB where the unit is bytes."""
    if value is None:
        return "-"
    if isinstance(value, float):
        if verbose():
            return f"{value:.6g}" if abs(value) < 1_000_000 else f"{value:,.0f}"
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool) and unit.startswith("bytes"):
        for suffix, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size and value % size == 0:
                return f"{value // size} {suffix}"
    return str(value)


def heading(found: OptimizeResult | Analysis) -> str:
    """Return what was designed for, by what, and within what."""
    subject = " + ".join(found.applications) or "logged designs"
    if found.combine == "worst":
        subject = f"worst ratio to reference of {subject}"
    elif len(found.applications) > 1:
        subject = f"{found.combine} mean of {subject}"
    within = ", ".join(f"{name} <= {cell(limit)}" for name, limit in found.limits.items()) or "no limit"
    return f"{subject}: {found.objective}, {within}"


def print_result(result: OptimizeResult, console: Console) -> None:
    """Print the best proposals, the reference designs and what they amount to."""
    objective, space = result.objective, result.space
    simulated = f"simulated_{objective}" if result.simulated else None
    rows = result.proposals.to_dicts()
    if simulated:
        rows.sort(key=lambda row: float("inf") if row[simulated] is None else row[simulated])
    references = result.references.to_dicts()
    measured = "ratio" if result.combine == "worst" else objective
    names = [(name, name, unit) for name, unit in zip(space.names, space.units, strict=True)]
    metrics = [(name, name if name in space.metric_names else f"predicted_{name}") for name in result.limits]

    def proposed(row: dict[str, Any]) -> list[str]:
        told = [cell(row[name], unit) for name, _, unit in names]
        told.append(cell(row[f"predicted_{objective}"]))
        if simulated:
            told.append("fails" if row[simulated] is None else cell(row[simulated]))
        else:
            told.append("")
        return [*told, *(cell(row[column]) for _, column in metrics)]

    def referred(row: dict[str, Any]) -> list[str]:
        told = [cell(row[name], unit) for name, _, unit in names]
        return [*told, "", cell(row[objective]), *(cell(row[name]) for name, _ in metrics)]

    labels = [
        *space.names,
        f"predicted {measured}",
        f"simulated {measured}" if simulated else f"logged {objective}",
        *result.limits,
    ]
    label = max(map(len, labels))
    widths = [_wrapped_width(row["design"], REFERENCE_WIDTH - GAP) + GAP for row in references]
    room = (console.width - label - sum(widths)) // PROPOSAL_WIDTH
    # As many proposals as leave room for the references beside them, all with --verbose; at least three where
    # the references alone are wider than the terminal.
    shown = len(rows) if verbose() else room if room > 0 else 3
    columns: list[Column] = [
        (f"#{row['proposal']}", PROPOSAL_WIDTH, None, proposed(row)) for row in rows[:shown]
    ]
    columns += [
        (row["design"], width, "dim", referred(row)) for row, width in zip(references, widths, strict=True)
    ]
    console.print(heading(result), style="italic", markup=False, highlight=False)
    for number, block in enumerate(_blocks(columns, console.width - label)):
        if number:
            console.print()
        table = Table(box=None, pad_edge=False)
        table.add_column("", no_wrap=True)
        for title, width, style, _ in block:
            table.add_column(title, justify="right", style=style, max_width=width - GAP)
        for place, name in enumerate(labels):
            table.add_row(name, *(cells[place] for *_, cells in block))
        console.print(table)
    console.print()
    for text in summary(result, console.width):
        console.print(text, highlight=False, soft_wrap=True)


def _blocks(columns: list[Column], width: int) -> list[list[Column]]:
    """Divide columns into as many rows of columns as the width asks for."""
    blocks: list[list[Column]] = [[]]
    for column in columns:
        if blocks[-1] and sum(each[1] for each in blocks[-1]) + column[1] > width:
            blocks.append([])
        blocks[-1].append(column)
    return blocks


def summary(result: OptimizeResult, width: int) -> list[str]:
    """Return the lines under the table."""
    proposals, objective = result.proposals, result.objective
    measured = f"worst ratio of {objective}" if result.combine == "worst" else objective
    lines = []
    if not result.simulated:
        value = cell(result.best[f"predicted_{objective}"])
        lines.append(f"Best of {proposals.height} proposals as predicted: {value} ({measured}).")
        lines.append("Not verified: the bundled simulator needs an application, its own space and objective.")
    else:
        count: Any = proposals["feasible"].sum()
        if count:
            best = result.best
            value = f"{cell(best[f'simulated_{objective}'])} ({measured}, simulated)"
            lines.append(f"Best of {proposals.height} proposals: #{best['proposal']}, {value}.")
            lines += [f"  {ratio:.2f}x better than {design}" for design, ratio in result.ratios().items()]
        lines.append(f"{count} of {proposals.height} proposals feasible.")
        queries = result.queries
        lines += _wrapped(
            f"Simulator queries: {queries['before_proposals']} before the proposals, {queries['proposals']} "
            f"to verify them, {queries['references']} for references.",
            width,
        )
    lines += _learned_constraints(result, width)
    seconds = result.seconds
    lines.append(f"Time: {seconds['training']:.0f} s training, {seconds['search']:.0f} s search.")
    if result.out is not None:
        lines.append(f"Files: {result.out}")
    return lines


def _learned_constraints(result: OptimizeResult, width: int) -> list[str]:
    lines = []
    for name, constraints in result.learned_constraints.items():
        if not constraints:
            continue
        of = f" of {name}" if len(result.learned_constraints) > 1 else ""
        # A constraint is broken only where it alone is too long for a line.
        told = ", ".join(
            (str(one) if one.expected else f"{one} ({one.infeasible:,})").replace(" ", NO_BREAK)
            for one in constraints
        )
        what = "Learned from infeasible designs"
        if constraints[0].expected:
            what = "Expected from limits of other applications"
        for line in _wrapped(f"{what}{of}: {told}", width):
            lines += _wrapped(line.replace(NO_BREAK, " "), width)
    if result.spread_over is not None:
        quantity = result.spread_over.quantity
        lines += _wrapped(f"Proposals are spread over {quantity}, in whose limit applications differ.", width)
    return lines


def _wrapped_width(title: str, width: int) -> int:
    """Return the width of a title that is wrapped where it is longer than the given width."""
    return min(len(title), max(width, *map(len, title.split())))


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )  # fmt: skip
