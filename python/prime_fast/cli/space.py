"""``prime-fast space``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prime_fast.cli.options import Assignment, emit, output_options, unique

if TYPE_CHECKING:
    from prime_fast.spaces import InferredSpace


@click.group("space")
def command() -> None:
    """Propose design spaces from logs, and look into them."""


@command.command("infer")
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="LOG...")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write (TOML).")
@click.option(
    "--parameter", "parameters", multiple=True, metavar="COLUMN", help="A column that is a parameter."
)
@click.option(
    "--not-parameter", "not_parameters", multiple=True, metavar="COLUMN", help="A column that is none."
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=Assignment(number=False),
    help="Kind of a parameter's COLUMN: ordinal, categorical or boolean.",
)
@click.option("--name", default="", help="Name of the space; the first log's name by default.")
@click.option("--title", default="", help="One line on what the space is.")
@click.option("--overwrite", is_flag=True, help="Replace the file to write, where there is one.")
@output_options
def infer(
    logs: tuple[Path, ...],
    out: Path,
    parameters: tuple[str, ...],
    not_parameters: tuple[str, ...],
    kinds: tuple[tuple[str, str], ...],
    name: str,
    title: str,
    *,
    overwrite: bool,
) -> None:
    """Propose a design space from the designs of LOG: parameters, their kind and their values.

    Which columns are parameters is guessed, and said why; name those it got wrong. Units are left to fill
    in, and constraints to add. LOG is a file, a directory, or a pattern in quotes.

    \b
    prime-fast space infer logs.csv --out space.toml
    prime-fast space infer logs.csv --out space.toml --not-parameter clock
    prime-fast space infer "runs/*.csv.gz" --out space.toml --kind cache=boolean
    """  # noqa: D301 (click reads \b)
    from prime_fast.errors import ConfigurationError
    from prime_fast.logs import atomic_file
    from prime_fast.spaces import infer_space

    if out.exists() and not overwrite:
        raise ConfigurationError(f"{out} exists; name another file, or replace it with --overwrite")
    found = infer_space(
        logs,
        parameters=parameters,
        not_parameters=not_parameters,
        kinds=unique("--kind", kinds),
        name=name,
        title=title,
    )
    with atomic_file(out) as file:
        file.write(found.toml.encode())
    emit(lambda: _inferred(found, out), lambda: _print_inferred(found, out))


def _inferred(found: InferredSpace, out: Path) -> dict[str, Any]:
    columns = [
        {"column": column.name, "parameter": column.is_parameter, "kind": column.kind, "why": column.why}
        for column in found.columns
    ]
    size = found.space.size
    return {"file": str(out), "name": found.space.name, "designs": size, "columns": columns}


def _print_inferred(found: InferredSpace, out: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("column", "taken for", "because"):
        grid.add_column(header, overflow="fold")
    for column in found.columns:
        kind = f"{column.kind} parameter" if column.is_parameter else "no parameter"
        grid.add_row(escape(column.name), kind, escape(column.why))
    console = Console()
    console.print(grid)
    console.print(
        f"\n{out}: {len(found.space.names)} parameters, {found.space.size:,} designs; units and"
        " constraints are yours to add",
        markup=False,
        highlight=False,
    )


@command.command("inspect")
@click.argument("space", default="prime", metavar="[SPACE]")
@click.option("--samples", default=100_000, show_default=True, help="Designs to draw for an estimate.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same estimate.")
@output_options
def inspect_(space: str, samples: int, seed: int) -> None:
    """Show a design space: size, parameters, metrics, and the share that the constraints pass.

    SPACE is a file (TOML) or the name of a bundled space; PRIME's by default. The shares are exact where
    they can be counted within seconds, else estimated from designs drawn uniformly, with a 95% interval.

    \b
    prime-fast space inspect
    prime-fast space inspect gemmini
    prime-fast space inspect space.toml --json
    """  # noqa: D301 (click reads \b)
    from rich.console import Console

    from prime_fast.space import space_named
    from prime_fast.spaces import inspect_space, render

    inspection = inspect_space(space_named(space), samples=samples, seed=seed)
    emit(inspection.as_dict, lambda: render(inspection, Console()))


@command.command("schema")
def schema() -> None:
    r"""Print the JSON Schema of a design space's file (TOML), for editors.

    \b
    prime-fast space schema > space.schema.json
    """
    from prime_fast.spaces import space_schema

    click.echo(json.dumps(space_schema(), indent=2))
