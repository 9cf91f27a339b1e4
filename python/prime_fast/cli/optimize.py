"""``prime-fast optimize``."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import click

from prime_fast.cli.options import Assignment, progress_bar


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
    help="Upper limit on a metric or column; area_mm2=27 by default in PRIME's space.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    type=Assignment(number=False),
    help="The log calls NAME (parameter, objective, feasible, application) VALUE.",
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
    default="mlp",
    show_default=True,
    help="Network; the transformer is the published one and takes minutes.",
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
    """Propose designs that beat the logged ones.

    Trains a conservative surrogate on the log, searches it within the limits, and simulates the proposals
    where the bundled simulator knows application and space. Without arguments: MobileNetV2 in 27 mm2.

    \b
    prime-fast optimize
    prime-fast optimize --app U-Net --limit area_mm2=29 --budget quick
    prime-fast optimize --logs mine.csv --space mine.toml --objective time_ms
    """  # noqa: D301 (click reads \b)
    from rich.console import Console

    from prime_fast import pipeline
    from prime_fast.cli.tables import print_result

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
        print_result(result, Console())
    if result.interrupted:
        raise KeyboardInterrupt
    _ = result.best


def _default_directory(applications: tuple[str, ...], logs: tuple[Path, ...]) -> Path:
    subject = "-".join(applications) or (logs[0].name.split(".")[0] if logs else "MobileNetV2")
    stamp = dt.datetime.now(tz=dt.UTC).strftime("%Y%m%d-%H%M%S")
    return Path("prime-fast-runs") / f"{stamp}-{subject.lower().replace(' ', '_')}"
