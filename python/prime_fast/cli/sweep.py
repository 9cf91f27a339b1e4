"""``prime-fast sweep``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prime_fast.cli.options import (
    Assignment,
    emit,
    output_options,
    space_option,
    terminal_width,
    unique,
    verbose,
    wrapped,
)
from prime_fast.cli.progress import progress_bar
from prime_fast.errors import NoFeasibleDesignError

if TYPE_CHECKING:
    from collections.abc import Callable

    from prime_fast.sweeping import SweepResult

# Measures of the designs that the table shows, beside those that are asked for.
MEASURES = ("latency_us", "energy_uj", "average_power_mw", "peak_power_mw", "area_mm2")


@click.command("sweep")
@click.option(
    "--app",
    "application",
    required=True,
    metavar="NAME",
    help="Application to simulate, or path of its TOML file.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    type=Assignment(number=True),
    help="Upper limit on a measure: latency_us, energy_uj, average_power_mw, peak_power_mw, energy_delay or "
    "a metric of the space (area_mm2).",
)
@click.option(
    "--objective", default="latency_us", show_default=True, metavar="MEASURE", help="What to minimise."
)
@click.option(
    "--keep", default=16, show_default=True, metavar="K", help="How many of the best designs to keep."
)
@click.option(
    "--front",
    default="latency_us,area_mm2",
    show_default=True,
    metavar="MEASURES",
    help="Two or three measures of the Pareto front; none for no front.",
)
@click.option(
    "--histograms",
    default="latency_us,area_mm2,energy_uj,average_power_mw",
    show_default=True,
    metavar="MEASURES",
    help="Measures to make histograms of, or none.",
)
@space_option
@click.option(
    "--technology", type=click.Path(path_type=Path), help="Technology constants (TOML) of the simulator."
)
@click.option("--threads", type=int, help="All processors by default; the result is the same.")
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Ray cluster to sweep on in shards: HOST:PORT, or auto for this machine's.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File for the best designs and the front (.parquet, .csv or .json); histograms go to a file "
    "NAME-histograms beside it.",
)
@output_options
def command(
    application: str,
    limits: tuple[tuple[str, float], ...],
    front: str,
    histograms: str,
    space: str | None,
    ray: str | None,
    out: Path | None,
    **options: Any,
) -> None:
    """Simulate every design of a space: the best ones, the Pareto front, histograms.

    PRIME's 452,760,000 designs take some seconds.

    \b
    prime-fast sweep --app MobileNetV2 --limit area_mm2=29 --out designs.parquet
    """  # noqa: D301 (click reads \b)
    from prime_fast import sweeping, sweeping_shards
    from prime_fast.space import space_named

    if out is not None:
        sweeping.output_files(out)
    where = space_named(space)
    with progress_bar() as show:
        run = sweeping.sweep if ray is None else partial(sweeping_shards.sweep_on_ray, ray=ray)
        result = run(
            application,
            limits=unique("--limit", limits),
            front=_names(front),
            histograms=_names(histograms),
            space=where,
            callback=None if show is None else _progress(show, where.size),
            **options,
        )
    files = () if out is None else sweeping.write_sweep(result, out)
    emit(
        lambda: {**result.as_dict(), "files": [str(file) for file in files]},
        lambda: click.echo("\n".join([*lines(result), *(f"File: {file}" for file in files)])),
    )
    if not result.complete:
        raise KeyboardInterrupt
    if not result.within_limits:
        raise NoFeasibleDesignError(
            f"no design of the space `{where.name}` is feasible within the limits"
            if limits
            else f"no design of the space `{where.name}` is feasible"
        )


def _names(text: str) -> list[str]:
    return [] if text.strip() == "none" else [name.strip() for name in text.split(",")]


def _progress(show: Callable[[str, int, int], None], size: int) -> Callable[[int, float | None, float], None]:
    def report(designs: int, _best: float | None, _seconds: float) -> None:
        # In millions: two figures of nine digits leave no room for the bar.
        show("million designs", designs // 1_000_000, size // 1_000_000)

    return report


def lines(result: SweepResult) -> list[str]:
    """Return the result as lines that fit the terminal."""
    space = result.space
    within = ", ".join(f"{name} <= {limit:g}" for name, limit in result.limits.items()) or "no limit"
    shown = wrapped(f"{result.application}: least {result.objective}, {within}")
    if result.best.height:
        shown += [*_table(result), ""]
    rows = [
        ("designs", result.designs),
        ("feasible", result.feasible),
        ("within the limits", result.within_limits),
    ]
    rows += [(f"rejected: {name}", count) for name, count in result.rejected.items()]
    label = max(len(name) for name, _ in rows)
    shown += [f"{name:<{label}}  {count:>{len(f'{result.designs:,}')},}" for name, count in rows]
    shown.append("")
    if result.ties > 1:
        shown += wrapped(f"{result.ties:,} designs tie for the best; those of least index are shown.")
    if result.front_measures:
        front = ", ".join(result.front_measures)
        shown += wrapped(f"Pareto front ({front}): {result.front.height:,} designs.")
    rate = result.designs / max(result.seconds, 1e-9)
    shown.append(f"Time: {result.seconds:.2f} s, {rate / 1e6:,.0f} million designs a second.")
    if not result.complete:
        shown += wrapped(f"Incomplete: {result.designs:,} of {space.size:,} designs were counted.")
    return shown


def _table(result: SweepResult) -> list[str]:
    """Return the best designs, one a column, as many as fit."""
    from prime_fast.cli.tables import cell

    space, best = result.space, result.best
    named = (*MEASURES, result.objective, *result.front_measures, *result.limits)
    units = dict(zip(space.names, space.units, strict=True)) | dict.fromkeys(named, "")
    rows = {name: [cell(value, unit) for value in best[name]] for name, unit in units.items()}
    label = max(map(len, rows))
    width = max(len(value) for values in rows.values() for value in values)
    fit = max(1, (terminal_width() - label) // (width + 2))
    rows = {"": [f"#{number + 1}" for number in range(best.height)], **rows}
    # With --verbose all designs, in several blocks.
    starts = range(0, best.height, fit) if verbose() else (0,)
    blocks = [
        [
            f"{name:<{label}}" + "".join(f"  {value:>{width}}" for value in values[start : start + fit])
            for name, values in rows.items()
        ]
        for start in starts
    ]
    return [line for number, block in enumerate(blocks) for line in ([""] * (number > 0) + block)]
