"""``prime-fast logs``."""

from __future__ import annotations

from pathlib import Path

import click

from prime_fast.cli import logs_convert
from prime_fast.cli.options import Assignment, emit, grouped, output_options, space_option, unique


@click.group("logs")
def command() -> None:
    """Look into logs of designs, convert or make them.

    \b
    prime-fast logs inspect "runs/*.csv.gz" --space mine.toml --mapping mapping.toml
    prime-fast logs convert prime/ --out logs.parquet
    prime-fast logs generate --app MobileNetV2 --out logs.parquet
    """  # noqa: D301 (click reads \b)


command.add_command(logs_convert.command)


@command.command("generate")
@click.option(
    "--app",
    "application",
    required=True,
    metavar="NAME",
    help="Application to simulate, or path of its TOML file.",
)
@click.option("--designs", default=200_000, show_default=True, help="Designs to draw.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same log.")
@space_option
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="File to write: .parquet or .csv."
)
@output_options
def generate(application: str, designs: int, seed: int, space: str | None, out: Path) -> None:
    """Draw designs uniformly, simulate them and write the log.

    \b
    prime-fast logs generate --app MobileNetV2 --designs 200000 --out logs.parquet
    prime-fast logs generate --app mine.toml --seed 1 --out mine.csv
    """  # noqa: D301 (click reads \b)
    from prime_fast import Simulator
    from prime_fast.logs import generate as draw
    from prime_fast.logs import write_table
    from prime_fast.logs.writing import check_suffix
    from prime_fast.space import space_named

    check_suffix(out)
    simulator = Simulator(application, space_named(space))
    frame = draw(simulator, designs, seed)
    write_table(frame, out)
    feasible = int(frame["feasible"].sum())
    emit(
        lambda: {"file": str(out), "designs": frame.height, "feasible": feasible},
        lambda: click.echo(f"{out}: {frame.height:,} designs, {feasible:,} feasible"),
    )


@command.command("inspect")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@space_option
@click.option(
    "--mapping",
    type=click.Path(path_type=Path),
    help="What the log's columns mean (TOML): names, units, what marks a design infeasible.",
)
@click.option("--app", "application", metavar="NAME", help="Take the rows of this application alone.")
@click.option(
    "--objective", metavar="COLUMN", help="Figure to minimise; the mapping's by default, else latency_us."
)
@click.option(
    "--limit", "limits", multiple=True, type=Assignment(number=True), help="Upper limit on a figure."
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    type=Assignment(number=False),
    help="NAME of a parameter or figure, to the log's column VALUE.",
)
@click.option(
    "--feasible-value",
    "feasible_values",
    multiple=True,
    type=Assignment(number=False),
    help="Status column NAME holds VALUE where a design is feasible; repeat for several.",
)
@output_options
def inspect_(
    files: tuple[Path, ...],
    space: str | None,
    mapping: Path | None,
    application: str | None,
    objective: str | None,
    limits: tuple[tuple[str, float], ...],
    columns: tuple[tuple[str, str], ...],
    feasible_values: tuple[tuple[str, str], ...],
) -> None:
    """Tell whether a log can be learned from.

    Counts, ranges, best designs, values that are missing or rare, what makes designs infeasible, what would
    be dropped and why, and a verdict. FILE is a file, a directory, or a pattern in quotes.

    \b
    prime-fast logs inspect logs.parquet --limit area_mm2=29
    prime-fast logs inspect "runs/*.csv" --space mine.toml --mapping names.toml
    """  # noqa: D301 (click reads \b)
    from rich.console import Console

    from prime_fast.logs import inspect, read_log, render
    from prime_fast.space import space_named

    where = space_named(space)
    log = read_log(
        list(files),
        where,
        objective,
        mapping=mapping,
        columns=unique("--column", columns),
        feasible_values=grouped(feasible_values),
        application=application,
        least_feasible=0,
    )
    inspection = inspect(log, unique("--limit", limits))
    emit(inspection.as_dict, lambda: render(inspection, Console()))
