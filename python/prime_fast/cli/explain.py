"""``prime-fast explain``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prime_fast.cli.options import emit, output_options, warn
from prime_fast.cli.progress import progress_bar
from prime_fast.errors import ConfigurationError

if TYPE_CHECKING:
    from prime_fast.analysis import Analysis
    from prime_fast.analysis.gains import Choice


@click.command("explain")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--proposal", type=int, metavar="N", help="Proposal to explain; the best one by default.")
@click.option(
    "--design",
    metavar="NAME=VALUE,...",
    help="Another design: what differs from the proposal (cores=64), best-logged, or a published design "
    "(prime-nine-apps, or a TOML file) with what differs.",
)
@click.option(
    "--reference",
    metavar="DESIGN",
    help="What to compare with, application by application: a proposal's number, or as --design, differing "
    "from the explained design. Edge TPU V1 by default where there is a simulator, else the best logged.",
)
@click.option("--no-simulate", is_flag=True, help="Don't ask the simulator.")
@click.option(
    "--pairs", "most_pairs", type=int, default=20_000, show_default=True, metavar="N",
    help="Most pairs of changes to look at.",
)  # fmt: skip
@click.option(
    "--samples", type=int, default=512, show_default=True, metavar="N",
    help="Designs that the parameters' importance is estimated from.",
)  # fmt: skip
@click.option(
    "--nearest", "neighbours", type=int, default=5, show_default=True, metavar="N",
    help="Nearest logged designs to list.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Same seed, same figures.")
@click.option("--threads", type=int, help="Threads of the simulator; all processors by default.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File for every change: .csv or .parquet for their table, .json for the whole analysis.",
)
@click.option("--plot", type=click.Path(path_type=Path), help="One-parameter changes to draw, .png or .svg.")
@output_options
def command(
    run: Path,
    design: str | None,
    reference: str | None,
    out: Path | None,
    plot: Path | None,
    *,
    no_simulate: bool,
    **options: Any,
) -> None:
    """Explain a proposal of a finished run (a directory that optimize made).

    What one changed parameter does to it, and two; which parameters matter to the surrogate; which
    applications gain and which lose; how far it is from the log.

    \b
    prime-fast explain RUN
    prime-fast explain RUN --proposal 2 --reference cores=128 --plot changes.png
    prime-fast explain RUN --design prime-nine-apps --out changes.parquet
    """  # noqa: D301 (click reads \b)
    from prime_fast.analysis import draw_changes, explain_run
    from prime_fast.roofline import check_plot_suffix

    if out is not None and out.suffix not in (".csv", ".parquet", ".json"):
        raise ConfigurationError(f"can't write {out}: its name must end in .csv, .parquet or .json")
    if plot is not None:
        check_plot_suffix(plot)
    with progress_bar() as progress:
        analysis = explain_run(
            run,
            design=None if design is None else _choice(design, "--design"),
            reference=None if reference is None else _choice(reference, "--reference"),
            simulate=not no_simulate,
            progress=progress,
            **options,
        )
    if out is not None:
        _write(analysis, out)
    if plot is not None:
        draw_changes(analysis, plot)
    for warning in analysis.warnings:
        warn(warning)

    def show() -> None:
        from rich.console import Console

        from prime_fast.cli.explanations import print_analysis

        print_analysis(analysis, Console())
        for file in (out, plot):
            if file is not None:
                click.echo(f"File: {file}")

    emit(analysis.as_dict, show)


def _choice(text: str, option: str) -> Choice:
    """Read a design: a number, a name, ``name=value,...``, or a name and what differs."""
    from prime_fast.analysis.gains import BEST_LOGGED
    from prime_fast.cli.simulate import read_design
    from prime_fast.designs import reference_design

    first, _, rest = (part.strip() for part in text.partition(","))
    if not rest and first.isdigit() and option == "--reference":
        return int(first)
    if not rest and "=" not in first:
        return first
    if first == BEST_LOGGED:
        raise ConfigurationError(f"{option}: {BEST_LOGGED} takes no changes")
    try:
        values, _ = read_design(text if "=" in first else rest)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("--design", option, 1)) from None
    return values if "=" in first else reference_design(first).with_values(**values)


def _write(analysis: Analysis, out: Path) -> None:
    from prime_fast.logs import atomic_file, write_table

    if out.suffix != ".json":
        write_table(analysis.table(), out)
        return
    text = json.dumps(analysis.as_dict(pairs=True), indent=2, allow_nan=False)
    with atomic_file(out) as file:
        file.write(text.encode())
