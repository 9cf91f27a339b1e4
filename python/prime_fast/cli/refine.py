"""``prime-fast refine``."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prime_fast.cli.options import Choice, emit, output_options
from prime_fast.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prime_fast.refining import RefineResult


@click.command("refine")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--evaluate",
    "evaluator",
    metavar="COMMAND",
    help="Your simulator: a command with {designs} and {results} for its files, and perhaps {application}; "
    "run without a shell. The bundled simulator by default, where it knows the run.",
)
@click.option(
    "--queries",
    default=64,
    show_default=True,
    metavar="N",
    help="Designs to ask in all, earlier calls included; times the applications.",
)
@click.option("--batch", default=4, show_default=True, metavar="N", help="Designs a round.")
@click.option(
    "--acquisition",
    default="mean",
    show_default=True,
    metavar="NAME",
    help="conservative, mean or optimistic: 1, 0 or -1 deviations are added to what is expected of a design; "
    "or any number.",
)
@click.option("--gate", type=float, help="Least probability of being feasible; that of the run by default.")
@click.option("--minutes", type=float, metavar="MINUTES", help="Begin no round after this much time.")
@click.option("--patience", type=int, metavar="N", help="End once N queries in a row brought nothing better.")
@click.option("--call-designs", type=int, metavar="N", help="Designs a call of the command at most.")
@click.option("--time-limit", type=float, metavar="SECONDS", help="Of a call of the command.")
@click.option("--retries", default=0, show_default=True, help="Further tries of a call that failed.")
@click.option("--parallel", default=1, show_default=True, metavar="N", help="Calls at a time.")
@click.option(
    "--designs-format",
    type=Choice(["csv", "parquet"]),
    default="csv",
    show_default=True,
    help="Format of the command's designs.",
)
@click.option(
    "--results-format",
    type=Choice(["csv", "parquet"]),
    default="csv",
    show_default=True,
    help="Format of its results.",
)
@click.option("--seed", default=0, show_default=True, help="Same seed and answers, same designs.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="New or empty directory, or that of an earlier call, which goes on; RUN/refine by default.",
)
@output_options
def command(run: Path, **options: Any) -> None:
    """Ask your simulator for a few designs a round, and learn from its answers.

    RUN is the directory that `optimize` has made: its proposals are asked first, then what the surrogate,
    updated after each round, prefers. Killed at any moment, the same command goes on: no answer is lost.

    The command reads a table with a column design_id and one a parameter. It writes one with the objective,
    design_id or the parameters, and perhaps feasible (true or false) and reason. A design that fails (time
    limit, exit code, no row, an objective that is no positive number) counts as infeasible.

    \b
    prime-fast refine prime-fast-runs/mine --queries 100 --parallel 4 \\
      --evaluate "my_sim --in {designs} --out {results}" --time-limit 600
    prime-fast refine prime-fast-runs/20260101-120000-mobilenetv2
    """  # noqa: D301 (click reads \b)
    from prime_fast import refining

    with _ended_by_sigterm(), progress_bar() as progress:
        result = refining.refine(run, progress=progress, **options)
    emit(result.as_dict, lambda: _print(result))
    if result.interrupted:
        raise KeyboardInterrupt


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C: the simulator's processes must not outlive us."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(result: RefineResult) -> None:
    from prime_fast.cli.tables import cell

    ended = {
        "queries": "all queries are made",
        "time": "the time is up",
        "stalled": "nothing better for long",
        "exhausted": "no design is left to ask",
        "interrupt": "interrupted",
    }[result.stopped_by]
    table, failed = result.queries, int(result.queries["failed"].sum())
    more = f", {failed} failed" if failed else ""
    feasible = int(table["feasible"].sum())
    click.echo(
        f"{table.height} queries in {result.rounds} rounds ({ended}): {feasible} feasible, "
        f"{table.height - feasible} not{more}."
    )
    if result.best is None:
        click.echo("None of them is feasible within the limits.")
    else:
        best = dict(result.best)
        value, after = best.pop(result.objective), best.pop("queries")
        click.echo(f"Best found: {result.objective} {cell(value)}, after {after} queries.")
        click.echo("  " + ", ".join(f"{name} {cell(held)}" for name, held in best.items()))
        for name, ratio in result.ratios().items():
            click.echo(f"  {ratio:.3f}x better than the {name}, {cell(result.references[name])}")
    for constraint in result.dropped_constraints:
        click.echo(f"A feasible design broke the learned limit {constraint}: it was dropped or moved.")
    click.echo(f"Files: {result.out}")
