"""``prime-fast benchmark paper``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prime_fast.cli.options import Choice, emit, output_options
from prime_fast.cli.progress import progress_bar

if TYPE_CHECKING:
    from prime_fast.benchmark.printed_table import Table


@click.command("paper")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory of rows and tables; that of an earlier run is taken up where it stopped.",
)
@click.option("--seeds", type=int, help="Runs of each method, with seeds 0, 1, ...  [default: 10]")
@click.option(
    "--section",
    "sections",
    multiple=True,
    type=Choice(["single", "several", "zero-shot", "edge-tpu", "ablations", "queries"]),
    help="Part of the evaluation; repeat for more. All by default.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="Offline method; repeat for more. By default `default` and `prime`, in the ablations all. `random` "
    "draws within the limit on area.",
)
@click.option(
    "--app",
    "applications",
    multiple=True,
    metavar="NAME",
    help="Application of the paper, or path of the TOML file of your own; repeat for more. The nine of the "
    "paper by default.",
)
@click.option(
    "--online",
    multiple=True,
    metavar="NAME",
    help="Online method; repeat for more. All but random by default.",
)
@click.option(
    "--budget",
    type=Choice(["quick", "standard", "thorough"]),
    help="Effort of training and search.  [default: standard]",
)
@click.option(
    "--surrogate",
    "architecture",
    type=Choice(["mlp", "transformer"]),
    help="Network, for all methods; each method's own by default.",
)
@click.option("--proposals", type=int, help="Designs that a method may propose.  [default: 16]")
@click.option("--queries", type=int, help="Queries of an online search.  [default: 10000]")
@click.option(
    "--slow-queries", type=int, help="Queries of Bayesian optimisation, which is slow.  [default: 1000]"
)
@click.option("--pool", type=int, help="Random designs that a log is made from.  [default: 500000]")
@click.option(
    "--removed", type=float, help="Share of the feasible ones, the fastest, taken away.  [default: 0.695]"
)
@click.option("--feasible", type=int, help="Feasible designs of a log.  [default: 8000]")
@click.option("--infeasible", type=int, help="Infeasible designs of a log.  [default: 8000]")
@click.option("--workers", default=1, show_default=True, help="Local processes.")
@click.option(
    "--threads", type=int, help="Threads of each; by default the processors divided among the workers."
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Ray cluster to use instead: HOST:PORT, or auto for that of this machine.",
)
@click.option(
    "--tables-only",
    "finished_only",
    is_flag=True,
    help="Run nothing; tables of what is finished of a selection, be it under way elsewhere.",
)
@click.option(
    "--quick", is_flag=True, help="A smoke run: other defaults, of one application, seed and method."
)
@output_options
def paper(
    out: Path,
    workers: int,
    threads: int | None,
    ray: str | None,
    *,
    finished_only: bool,
    quick: bool,
    **options: Any,
) -> None:
    """Run PRIME's evaluation, with the proven optimum as the yardstick.

    Logs of poor random designs, methods that learn from them alone, and what the simulator says of their
    proposals: one application at a time, several, unlogged ones, beside the Edge TPU, ablations, and the
    queries that online search needs. Ctrl-C keeps what is finished.

    \b
    prime-fast benchmark paper --out results --seeds 3 --section single
    prime-fast benchmark paper --out mine --app mine.toml --section single
    """  # noqa: D301 (click reads \b)
    from prime_fast.benchmark.jobs import RunSettings
    from prime_fast.benchmark.paper import Selection, evaluate
    from prime_fast.benchmark.paper import quick as smoke_run
    from prime_fast.benchmark.paper_tables import all_tables, run_frame
    from prime_fast.benchmark.printed_table import write_tables

    selection, settings = smoke_run() if quick else (Selection(), RunSettings())
    given = {name: value for name, value in options.items() if value not in (None, ())}
    # The log's sizes are settings of their own.
    log, settings_, chosen = (
        {name: given[name] for name in (field.name for field in dataclasses.fields(kind)) if name in given}
        for kind in (settings.log, settings, selection)
    )
    settings = dataclasses.replace(settings, **settings_, log=dataclasses.replace(settings.log, **log))
    selection = dataclasses.replace(selection, **chosen)
    try:
        with progress_bar() as progress:
            evaluation = evaluate(
                out,
                selection,
                settings,
                workers=workers,
                threads=threads,
                ray=ray,
                progress=progress,
                finished_only=finished_only,
            )
    except KeyboardInterrupt:
        click.echo(f"What is finished is in {out}; the same command goes on from there.", err=True)
        raise
    tables = all_tables(evaluation)
    directory = write_tables(out, tables, run_frame(evaluation))
    show_tables(tables, directory)


def show_tables(tables: list[Table], directory: Path) -> None:
    """Print tables and where they are."""
    emit(
        lambda: {"directory": str(directory), "tables": [table.as_dict() for table in tables]},
        lambda: _print(tables, directory),
    )


def _print(tables: list[Table], directory: Path) -> None:
    from rich.console import Console
    from rich.table import Table as Shown

    console = Console()
    for table in tables:
        shown = Shown(
            box=None,
            pad_edge=False,
            header_style="bold",
            collapse_padding=True,
        )
        for position, (heading, _, _) in enumerate(table.columns):
            shown.add_column(heading, justify="right" if position else "left")
        for cells in table.cells():
            shown.add_row(*cells)
        console.print(table.title, style="italic", markup=False, highlight=False)
        console.print(shown)
        if table.notes:
            console.print(" ".join(table.notes), markup=False, highlight=False)
        console.print()
    click.echo(f"Tables: {directory}")
