"""``prime-fast report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prime_fast.cli.options import emit, output_options, warn
from prime_fast.cli.progress import progress_bar

if TYPE_CHECKING:
    from prime_fast.report import WrittenReport


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Directory for report.html and figures/; that of the run by default, needed for several runs.",
)
@click.option("--no-figures", is_flag=True, help="Write the page alone, no PNG and SVG files.")
@click.option("--threads", type=int, help="Threads of the simulator; all processors by default.")
@output_options
def command(
    runs: tuple[Path, ...],
    out: Path | None,
    threads: int | None,
    *,
    no_figures: bool,
) -> None:
    """Write the report of a finished run (a directory that optimize made), or compare several.

    One HTML page that needs no network: what to build, how much better that is, whether to believe it, why,
    how it was found, how to repeat it. Its figures go beside it as PNG and SVG.

    \b
    prime-fast report RUN
    prime-fast report RUN RUN --out comparison
    """  # noqa: D301 (click reads \b)
    from prime_fast.report import write_report

    with progress_bar() as progress:
        written = write_report(runs, out, figures=not no_figures, threads=threads, progress=progress)
    for warning in written.warnings:
        warn(warning)
    emit(
        lambda: {
            "page": str(written.page),
            "figures": [str(path) for path in written.figures],
            "warnings": list(written.warnings),
        },
        lambda: _print(written),
    )


def _print(written: WrittenReport) -> None:
    click.echo(f"Report: {written.page}")
    if written.figures:
        click.echo(f"Figures: {len(written.figures)} files in {written.figures[0].parent}")
