"""``prime-fast benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prime_fast.cli.benchmark_paper import paper
from prime_fast.cli.benchmark_refine import refine
from prime_fast.cli.benchmark_tables import tables
from prime_fast.cli.options import emit, output_options
from prime_fast.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from prime_fast.benchmark import Comparison
    from prime_fast.benchmark.comparison import Progress

APP = click.option(
    "--app",
    "applications",
    multiple=True,
    metavar="NAME",
    help="Application; repeat for several. By default the nine of the PRIME paper, if not said otherwise.",
)
OUT = click.option(
    "--out", type=click.Path(path_type=Path), help="Write the rows too: .csv, .parquet or .json."
)
THREADS = click.option("--threads", type=int, help="Threads of the simulator; all processors by default.")


@click.group("benchmark")
def command() -> None:
    """Compare methods, and the simulator with what is published.

    \b
    methods                       paper, tables, refine
    the simulator beside others   calibration, silicon, nvdla
    PRIME's published designs     edge-tpu, trade
    the simulator's own engines   optimum

    Each has an example: `prime-fast benchmark paper --help`.
    """  # noqa: D301 (click reads \b)


command.add_command(paper)
command.add_command(refine)
command.add_command(tables)


def _show(compare: Callable[[Progress | None], Comparison], out: Path | None) -> None:
    """Compare, print and write; rows that were there before Ctrl-C are kept."""
    from prime_fast.benchmark.comparison import check_suffix, write

    if out is not None:
        check_suffix(out)
    with progress_bar() as progress:
        comparison = compare(progress)
    if out is not None:
        write(comparison, out)
    emit(
        lambda: {**comparison.as_dict(), "file": None if out is None else str(out)},
        lambda: _print(comparison, out),
    )
    if comparison.interrupted:
        raise KeyboardInterrupt


def _print(comparison: Comparison, out: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from prime_fast.benchmark.comparison import cells

    console = Console()
    for view in comparison.views:
        table = Table(title=view.title, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for position, (heading, _, _) in enumerate(view.columns):
            table.add_column(heading, justify="right" if position else "left")
        for row in cells(view, comparison.frame):
            table.add_row(*row)
        console.print(table)
        console.print()
    for line in comparison.lines:
        console.print(line, markup=False, highlight=False)
    if out is not None:
        click.echo(f"File: {out}")


@command.command("calibration")
@APP
@click.option("--designs", default=1_000_000, show_default=True, help="Designs to draw.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same designs.")
@click.option(
    "--published",
    type=click.Path(path_type=Path),
    help="Table to compare with (CSV): application, infeasible, feasible, max_runtime, min_runtime, "
    "mean_runtime.",
)
@THREADS
@OUT
@output_options
def calibration(
    applications: tuple[str, ...],
    designs: int,
    seed: int,
    published: Path | None,
    threads: int | None,
    out: Path | None,
) -> None:
    """Simulate random designs; compare with the statistics published with PRIME's data set.

    \b
    prime-fast benchmark calibration --published published_dataset.csv
    """  # noqa: D301 (click reads \b)
    from prime_fast.benchmark import compare_calibration

    _show(
        lambda progress: compare_calibration(
            applications,
            designs=designs,
            seed=seed,
            published=published,
            threads=threads,
            progress=progress,
        ),
        out,
    )


@command.command("edge-tpu")
@APP
@click.option("--area", "area_mm2", default=27.0, show_default=True, metavar="MM2", help="Limit of the best.")
@click.option(
    "--tolerance",
    default=0.05,
    show_default=True,
    help="How much slower than the best the design of least area may be.",
)
@THREADS
@OUT
@output_options
def edge_tpu(
    applications: tuple[str, ...],
    area_mm2: float,
    tolerance: float,
    threads: int | None,
    out: Path | None,
) -> None:
    """Compare the Edge TPU V1 with the best designs of its area.

    V1 streams its weights in each inference, as the published figures imply; "cached" is V1 that keeps
    them.

    \b
    prime-fast benchmark edge-tpu --app MobileNetV2 --app "t-RNN Enc"
    """  # noqa: D301 (click reads \b)
    from prime_fast.benchmark import compare_edge_tpu

    _show(
        lambda progress: compare_edge_tpu(
            applications,
            area_mm2=area_mm2,
            tolerance=tolerance,
            threads=threads,
            progress=progress,
        ),
        out,
    )


@command.command("trade")
@APP
@OUT
@output_options
def trade(applications: tuple[str, ...], out: Path | None) -> None:
    """Compare the two published designs for nine applications.

    \b
    prime-fast benchmark trade --out trade.csv
    """  # noqa: D301 (click reads \b)
    from prime_fast.benchmark import compare_trade

    _show(lambda progress: compare_trade(applications, progress=progress), out)


@command.command("silicon")
@click.option(
    "--measured",
    type=click.Path(path_type=Path),
    help="Table to compare with (CSV): model, desktop_cpu_plus_usb_edgetpu_ms.",
)
@OUT
@output_options
def silicon(measured: Path | None, out: Path | None) -> None:
    """Simulate the Coral Edge TPU; compare with measured latencies.

    \b
    prime-fast benchmark silicon --measured coral.csv
    """  # noqa: D301 (click reads \b)
    from prime_fast.benchmark import compare_silicon

    _show(lambda progress: compare_silicon(measured, progress=progress), out)


@command.command("nvdla")
@click.option(
    "--configurations",
    required=True,
    type=click.Path(path_type=Path),
    help="Table to compare with (CSV): macs, conv_buffer_kb, sdram_gbps, area_mm2_16nm, "
    "resnet50_int8_fps_1ghz, power_peak_mw_16nm, power_avg_mw_16nm.",
)
@OUT
@output_options
def nvdla(configurations: Path, out: Path | None) -> None:
    """Compare area, power and frames a second with NVDLA's.

    \b
    prime-fast benchmark nvdla --configurations nvdla.csv
    """  # noqa: D301 (click reads \b)
    from prime_fast.benchmark import compare_nvdla

    _show(lambda _progress: compare_nvdla(configurations), out)


@command.command("optimum")
@APP
@click.option("--area", "area_mm2", default=29.0, show_default=True, metavar="MM2", help="Limit of the area.")
@THREADS
@OUT
@output_options
def optimum(applications: tuple[str, ...], area_mm2: float, threads: int | None, out: Path | None) -> None:
    """Compare the proven optimum with a sweep of the whole space.

    Of all bundled applications by default.

    \b
    prime-fast benchmark optimum --app U-Net --area 29
    """  # noqa: D301 (click reads \b)
    from prime_fast.benchmark import compare_optimum

    _show(
        lambda progress: compare_optimum(
            applications, limits={"area_mm2": area_mm2}, threads=threads, progress=progress
        ),
        out,
    )
