"""``prime-fast benchmark refine``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prime_fast.cli.benchmark_paper import show_tables
from prime_fast.cli.options import Choice, output_options
from prime_fast.cli.progress import progress_bar


@click.command("refine")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory for the rows; one of an earlier run goes on.",
)
@click.option(
    "--app",
    "applications",
    multiple=True,
    metavar="NAME",
    help="Application; repeat for more. The nine of the PRIME paper by default.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="refine, genetic, firefly, bayesian or random; repeat for more. All but random by default.",
)
@click.option("--seeds", default=3, show_default=True, help="Runs of each method on each application.")
@click.option("--queries", type=int, help="Queries of each run.  [default: 64]")
@click.option("--batch", type=int, help="Designs a round of refinement.  [default: 4]")
@click.option("--acquisition", metavar="NAME", help="conservative, mean or optimistic.  [default: mean]")
@click.option("--area", "area_mm2", type=float, metavar="MM2", help="Limit.  [default: 29]")
@click.option(
    "--budget",
    type=Choice(["quick", "standard", "thorough"]),
    help="Effort of training and search.  [default: standard]",
)
@click.option("--workers", default=1, show_default=True, help="Local processes.")
@click.option("--threads", type=int, help="Threads of each.")
@click.option("--ray", metavar="ADDRESS", help="Ray cluster to use instead: HOST:PORT, or auto.")
@output_options
def refine(
    out: Path,
    applications: tuple[str, ...],
    methods: tuple[str, ...],
    seeds: int,
    workers: int,
    threads: int | None,
    ray: str | None,
    **options: Any,
) -> None:
    """Count the queries that refinement needs to come near the optimum, beside searches without a log.

    Prints and writes (Markdown, CSV, JSON) the queries to within 5% and 1% of the proven optimum: medians
    over seeds with their range, the share of runs that get there, and the latency over the optimum after 16,
    32 and 64 queries. Ctrl-C keeps what is finished.

    \b
    prime-fast benchmark refine --out results --seeds 1 --app U-Net
    """  # noqa: D301 (click reads \b)
    from prime_fast.benchmark.printed_table import write_tables
    from prime_fast.benchmark.refining import METHODS, RefineSettings, compare_refining

    settings = RefineSettings(**{name: value for name, value in options.items() if value is not None})
    with progress_bar() as progress:
        tables, runs = compare_refining(
            out,
            applications,
            methods=methods or METHODS,
            seeds=seeds,
            settings=settings,
            workers=workers,
            threads=threads,
            ray=ray,
            progress=progress,
        )
    show_tables(tables, write_tables(out, tables, runs))
