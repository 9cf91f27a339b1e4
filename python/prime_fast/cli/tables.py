"""The result of `optimize` for a terminal: proposals beside reference designs, one design a column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from prime_fast.pipeline import OptimizeResult

# Widths that columns take, the gap included.
PROPOSAL_WIDTH = 9
REFERENCE_WIDTH = 13


def cell(value: object, unit: str = "") -> str:
    """Format one value; whole KiB and MiB where the unit is bytes."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool) and unit.startswith("bytes"):
        for suffix, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size and value % size == 0:
                return f"{value // size} {suffix}"
    return str(value)


def print_result(result: OptimizeResult, console: Console) -> None:
    """Print the best proposals, the reference designs and what they amount to."""
    objective, space = result.objective, result.space
    simulated = f"simulated_{objective}" if result.simulated else None
    rows = result.proposals.to_dicts()
    if simulated:
        rows.sort(key=lambda row: float("inf") if row[simulated] is None else row[simulated])
    references = result.references.to_dicts()
    label = max(map(len, (*space.names, f"predicted {objective}")))
    room = (console.width - label - REFERENCE_WIDTH * len(references)) // PROPOSAL_WIDTH
    rows = rows[: max(1, room)]

    subject = " + ".join(result.applications) or "logged designs"
    if len(result.applications) > 1:
        subject = f"{result.combine} of {subject}"
    within = ", ".join(f"{name} <= {cell(limit)}" for name, limit in result.limits.items()) or "no limit"
    table = Table(title=f"{subject}: {objective}, {within}", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for row in rows:
        table.add_column(f"#{row['proposal']}", justify="right")
    for row in references:
        table.add_column(row["design"], justify="right", style="dim")

    def line(name: str, proposed: str | None, referred: str | None, unit: str = "") -> None:
        table.add_row(
            name,
            *(cell(row[proposed], unit) if proposed else "" for row in rows),
            *(cell(row[referred], unit) if referred else "" for row in references),
        )

    for name, unit in zip(space.names, space.units, strict=True):
        line(name, name, name, unit)
    table.add_section()
    line(f"predicted {objective}", f"predicted_{objective}", None)
    if simulated:
        told = ["fails" if row[simulated] is None else cell(row[simulated]) for row in rows]
        table.add_row(f"simulated {objective}", *told, *(cell(row[objective]) for row in references))
    else:
        line(f"logged {objective}", None, objective)
    for name in result.limits:
        line(name, name if name in space.metric_names else f"predicted_{name}", name)
    console.print(table)
    console.print()
    for text in summary(result):
        console.print(text, highlight=False, soft_wrap=True)


def summary(result: OptimizeResult) -> list[str]:
    """Return the lines under the table."""
    proposals, objective = result.proposals, result.objective
    lines = []
    if not result.simulated:
        value = cell(result.best[f"predicted_{objective}"])
        lines.append(f"Best of {proposals.height} proposals as predicted: {value} ({objective}).")
        lines.append("Not verified: the bundled simulator needs an application, its own space and objective.")
    else:
        count: Any = proposals["feasible"].sum()
        if count:
            best = result.best
            value = f"{cell(best[f'simulated_{objective}'])} ({objective}, simulated)"
            lines.append(f"Best of {proposals.height} proposals: #{best['proposal']}, {value}.")
            lines += [f"  {ratio:.2f}x better than {design}" for design, ratio in result.ratios().items()]
        lines.append(f"{count} of {proposals.height} proposals feasible.")
        queries = result.queries
        lines.append(
            f"Simulator queries: {queries['before_proposals']} before the proposals, {queries['proposals']} "
            f"to verify them, {queries['references']} for references."
        )
    seconds = result.seconds
    lines.append(f"Time: {seconds['training']:.0f} s training, {seconds['search']:.0f} s search.")
    if result.out is not None:
        lines.append(f"Files: {result.out}")
    return lines
