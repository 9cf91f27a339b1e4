"""``prime-fast optimize``."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prime_fast.cli.options import Assignment, progress_bar

if TYPE_CHECKING:
    from prime_fast.pipeline import OptimizeResult


@click.command("optimize")
@click.option(
    "--app",
    "applications",
    multiple=True,
    metavar="NAME",
    help="Application to design for; repeat for one "
    "design for several. MobileNetV2 by default, where no log is given.",
)
@click.option(
    "--logs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Log of designs (Parquet, CSV, also .gz); the bundled log by default. Repeat to join several.",
)
@click.option("--space", type=click.Path(path_type=Path), help="Design space (TOML); PRIME's by default.")
@click.option(
    "--objective", default="latency_us", show_default=True, metavar="COLUMN", help="Column to minimise."
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    type=Assignment(number=True),
    help="Upper limit on a metric of the space or column of the log. area_mm2=27 by default in PRIME's space.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    type=Assignment(number=False),
    help="NAME of a parameter, the objective, feasible, infeasible or application, to the log's column VALUE.",
)
@click.option(
    "--feasible-value",
    "feasible_values",
    multiple=True,
    type=Assignment(number=False),
    help="Status column NAME holds VALUE where a design is feasible; repeat for several.",
)
@click.option("--proposals", default=16, show_default=True, metavar="K", help="Designs to propose.")
@click.option(
    "--budget",
    type=click.Choice(["quick", "standard", "thorough"]),
    default="standard",
    show_default=True,
    help="Effort of training and search.",
)
@click.option(
    "--surrogate",
    "architecture",
    type=click.Choice(["mlp", "transformer"]),
    help="Network; the budget's own by default.",
)
@click.option("--seed", default=0, show_default=True, help="Same seed, same proposals.")
@click.option("--threads", type=int, help="Threads of the simulator; all processors by default.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="New or empty directory for the run's files; prime-fast-runs/DATE-TIME-APP by default.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="No progress, no warnings, no table.")
def command(
    applications: tuple[str, ...],
    logs: tuple[Path, ...],
    space: Path | None,
    limits: tuple[tuple[str, float], ...],
    columns: tuple[tuple[str, str], ...],
    feasible_values: tuple[tuple[str, str], ...],
    out: Path | None,
    *,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    r"""Propose designs that beat the logged ones.

    Trains a conservative surrogate on the log, searches it within the limits, and simulates the proposals where
    the bundled simulator knows application and space. Without arguments: MobileNetV2 in 27 mm2.

    \b
    prime-fast optimize
    prime-fast optimize --app U-Net --limit area_mm2=29 --budget quick
    prime-fast optimize --logs mine.csv --space mine.toml --objective time_ms
    """
    from prime_fast import pipeline

    values: dict[str, list[str]] = {}
    for name, value in feasible_values:
        values.setdefault(name, []).append(value)
    with progress_bar(quiet=quiet) as progress:
        result = pipeline.optimize(
            list(applications) or None,
            logs=list(logs) or None,
            space=space,
            limits=dict(limits) or None,
            columns=dict(columns) or None,
            feasible_values=values or None,
            out=out if out is not None else _default_directory(applications, logs),
            progress=progress,
            **options,
        )
    if not quiet:
        for warning in result.warnings:
            click.echo(f"Warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=2))
    elif not quiet:
        _print(result)
    if result.interrupted:
        raise KeyboardInterrupt
    _ = result.best


def _default_directory(applications: tuple[str, ...], logs: tuple[Path, ...]) -> Path:
    subject = "-".join(applications) or (logs[0].name.split(".")[0] if logs else "MobileNetV2")
    stamp = dt.datetime.now(tz=dt.UTC).strftime("%Y%m%d-%H%M%S")
    return Path("prime-fast-runs") / f"{stamp}-{subject.lower().replace(' ', '_')}"


def _number(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        for unit, size in (("M", 1 << 20), ("K", 1 << 10)):
            if value >= 4 * size // 2 and value % size == 0:
                return f"{value // size}{unit}"
        return str(value)
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _print(result: OptimizeResult) -> None:
    """Print the best proposals beside the reference designs, one design a column."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    objective, space = result.objective, result.space
    subject = " + ".join(result.applications) or "the logged designs"
    within = ", ".join(f"{name} <= {_number(limit)}" for name, limit in result.limits.items()) or "no limit"
    rows = result.proposals.to_dicts()
    if result.simulated:
        simulated = f"simulated_{objective}"
        rows.sort(key=lambda row: float("inf") if row[simulated] is None else row[simulated])
    references = result.references.to_dicts()
    label = max(len(name) for name in (*space.names, "predicted " + objective, "simulated " + objective))
    room = max(1, (console.width - label - 2 - 13 * len(references)) // 9)
    shown = rows[: min(len(rows), room)]

    table = Table(title=f"{subject}: {objective}, {within}", title_justify="left", box=None, pad_edge=False)
    table.add_column("design")
    for row in shown:
        table.add_column(f"#{row['proposal']}", justify="right")
    for row in references:
        table.add_column(row["design"], justify="right", style="dim", min_width=11)
    for name in space.names:
        table.add_row(name, *(_number(row[name]) for row in (*shown, *references)))
    table.add_section()
    table.add_row(
        f"predicted {objective}",
        *(_number(row[f"predicted_{objective}"]) for row in shown),
        *("" for _ in references),
    )
    if result.simulated:
        told = ["infeasible" if row[simulated] is None else _number(row[simulated]) for row in shown]
        table.add_row(
            f"[bold]simulated {objective}[/]", *told, *(_number(row[objective]) for row in references)
        )
    else:
        table.add_row(
            f"logged {objective}", *("" for _ in shown), *(_number(row[objective]) for row in references)
        )
    for name in result.limits:
        column = name if name in space.metric_names else f"predicted_{name}"
        table.add_row(
            name, *(_number(row[column]) for row in shown), *(_number(row.get(name)) for row in references)
        )
    console.print(table)
    console.print()
    for line in _summary(result):
        console.print(line, highlight=False, soft_wrap=True)


def _summary(result: OptimizeResult) -> list[str]:
    proposals, objective, queries = result.proposals, result.objective, result.queries
    lines = []
    if result.simulated:
        feasible = int(proposals["feasible"].sum())
        if feasible:
            best = result.best
            found = f"Best of {proposals.height} proposals: #{best['proposal']}, {best[f'simulated_{objective}']:.4g}"
            lines.append(f"{found} ({objective}, simulated); {feasible} of {proposals.height} feasible.")
            lines += [f"  {ratio:.2f}x better than {design}" for design, ratio in result.ratios().items()]
        else:
            lines.append(f"None of {proposals.height} proposals is feasible; #1: {proposals['reason'][0]}")
        lines.append(
            f"Simulator queries: {queries['before_proposals']} before the proposals, {queries['proposals']} to verify "
            f"them, {queries['references']} for reference designs."
        )
    else:
        best = result.best
        lines.append(
            f"Best of {proposals.height} proposals as predicted: {best[f'predicted_{objective}']:.4g} ({objective})."
        )
        lines.append("No simulator knows this space and objective: the proposals are not verified.")
    seconds = result.seconds
    lines.append(
        f"Time: {seconds['training']:.0f} s training, {seconds['search']:.0f} s search, "
        f"{seconds['verification']:.1f} s verification."
    )
    if result.out is not None:
        lines.append(f"Files: {result.out}")
    return lines
