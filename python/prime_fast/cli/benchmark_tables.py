"""``prime-fast benchmark tables``."""

from __future__ import annotations

from pathlib import Path

import click

from prime_fast.cli.benchmark_paper import show_tables
from prime_fast.cli.options import Choice, output_options
from prime_fast.cli.progress import progress_bar


@click.command("tables")
@click.option(
    "--data",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder of measured tables, of the Kernel Tuner hub or HLSyn; repeat for more.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory of rows and tables; an earlier run with the same settings is taken up where it stopped.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    default=("default", "trees", "random", "best-logged"),
    show_default=True,
    help="Offline method; repeat for more.",
)
@click.option("--seeds", default=10, show_default=True, help="Runs of each method, with seeds 0, 1, ...")
@click.option("--table", "names", multiple=True, metavar="NAME", help="Table to judge by; all by default.")
@click.option(
    "--zero-shot/--no-zero-shot",
    default=True,
    show_default=True,
    help="Also design for a device from the logs of the others.",
)
@click.option(
    "--budget",
    type=Choice(["quick", "standard", "thorough"]),
    default="standard",
    show_default=True,
    help="Effort of training and search.",
)
@click.option("--feasible", default=1_000, show_default=True, help="Feasible designs of a log.")
@click.option(
    "--worst",
    default=0.6,
    show_default=True,
    help="Share of a table's feasible designs, the slowest, that they are drawn from.",
)
@click.option("--infeasible", default=5_000, show_default=True, help="Infeasible designs of a log at most.")
@click.option("--workers", default=1, show_default=True, help="Local processes.")
@click.option("--ray", metavar="ADDRESS", help="Ray cluster to use instead: HOST:PORT, or auto.")
@output_options
def tables(
    data: tuple[Path, ...],
    out: Path,
    methods: tuple[str, ...],
    seeds: int,
    names: tuple[str, ...],
    budget: str,
    feasible: int,
    worst: float,
    infeasible: int,
    workers: int,
    ray: str | None,
    *,
    zero_shot: bool,
) -> None:
    """Judge methods by tables that were measured whole.

    Methods learn from a poor part of a table; the score of what they propose is the optimum over what the
    table says, 0 where infeasible. Ctrl-C keeps what is finished.

    \b
    prime-fast benchmark tables --data kernel_tuner --data hlsyn --out results
    """  # noqa: D301 (click reads \b)
    from prime_fast.benchmark.tables import TablesSettings, compare_tables

    settings = TablesSettings(feasible, worst, infeasible, budget)
    with progress_bar() as progress:
        result = compare_tables(
            data,
            out,
            methods=methods,
            seeds=seeds,
            names=names,
            zero_shot=zero_shot,
            settings=settings,
            workers=workers,
            ray=ray,
            progress=progress,
        )
    show_tables(result.tables, result.write(out))
