"""``prime-fast simulate``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prime_fast.cli.options import emit, output_options, space_option
from prime_fast.cli.progress import progress_bar
from prime_fast.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prime_fast.explanation import Report
    from prime_fast.simulator import Simulator
    from prime_fast.space import DesignSpace, Value


@click.command("simulate")
@click.option(
    "--app",
    "application",
    default="MobileNetV2",
    show_default=True,
    metavar="NAME",
    help="Application, or path of the TOML file of one.",
)
@click.option(
    "--design",
    metavar="NAME=VALUE,...",
    help="One design to explain: a value for each parameter, or a published design (edge-tpu-v1, or a TOML "
    "file) with what differs: edge-tpu-v1,dram_bandwidth=30. Values need not be the space's.",
)
@click.option(
    "--designs",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Many designs, one a row, in CSV or Parquet with a column for each parameter.",
)
@space_option
@click.option(
    "--technology",
    type=click.Path(path_type=Path),
    help="Technology constants (TOML) in place of the bundled.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Table to write, .csv or .parquet: of the layers, or of the designs of --designs.",
)
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Roofline of the layers to draw, .png or .svg (--design)."
)
@click.option("--threads", type=int, help="Threads for --designs; all processors by default.")
@output_options
def command(
    application: str,
    design: str | None,
    designs: Path | None,
    space: str | None,
    technology: Path | None,
    out: Path | None,
    plot: Path | None,
    threads: int | None,
) -> None:
    """Simulate designs, and tell what a design's figures are made of: time, bytes and energy by layer.

    \b
    prime-fast simulate --app MobileNetV2 --design edge-tpu-v1 --plot roofline.png
    prime-fast simulate --designs designs.csv --out figures.parquet
    """  # noqa: D301 (click reads \b)
    from prime_fast.logs.writing import check_suffix
    from prime_fast.space import space_named

    if (design is None) == (designs is None):
        raise ConfigurationError("give one of --design and --designs")
    if designs is not None and plot is not None:
        raise ConfigurationError("--plot draws one design; give --design in place of --designs")
    if out is not None:
        check_suffix(out)
    where = space_named(space)
    if designs is not None:
        _simulate_file(application, where, technology, designs, out, threads)
    elif design is not None:
        _explain(application, where, technology, design, out, plot)


def _simulate_file(
    application: str,
    space: DesignSpace,
    technology: Path | None,
    designs: Path,
    out: Path | None,
    threads: int | None,
) -> None:
    from prime_fast import Simulator
    from prime_fast.batch import simulate_file
    from prime_fast.cli.reports import print_summary

    simulator = Simulator(application, space, technology)
    with progress_bar() as progress:
        summary = simulate_file(simulator, designs, out, threads=threads, progress=progress)
    emit(
        lambda: {**summary.as_dict(), "file": None if out is None else str(out)},
        lambda: print_summary(summary, simulator, out),
    )
    if summary.interrupted:
        raise KeyboardInterrupt


def _explain(
    application: str,
    space: DesignSpace,
    technology: Path | None,
    design: str,
    out: Path | None,
    plot: Path | None,
) -> None:
    from prime_fast.cli.reports import print_report
    from prime_fast.logs import write_table
    from prime_fast.roofline import check_plot_suffix, draw

    if plot is not None:
        check_plot_suffix(plot)
    values, constants = read_design(design)
    simulator, report = explain(application, space, technology, values, constants)
    outside = outside_space(space, values)
    if out is not None:
        write_table(report.layers, out)
    if plot is not None:
        draw(report, plot)
    emit(
        lambda: {**report.as_dict(), "outside_space": outside},
        lambda: print_report(report, simulator, outside),
    )


def read_design(text: str) -> tuple[dict[str, Value], dict[str, float | bool]]:
    """Return values by parameter, and constants of the technology that go with a published design.

    Raises
    ------
    ConfigurationError
        If the text is not of the form ``[design,]name=value,...``, or there is no such design.
    """
    values: dict[str, Value] = {}
    constants: dict[str, float | bool] = {}
    given = set()
    for position, item in enumerate(text.split(",")):
        name, found, value = (part.strip() for part in item.partition("="))
        if not found and name and position == 0:
            from prime_fast.designs import reference_design

            reference = reference_design(name)
            values, constants = dict(reference.values), dict(reference.technology)
            continue
        if not (name and value):
            raise ConfigurationError(f"--design: {item!r} is not of the form name=value, such as pes_x=4")
        if name in given:
            raise ConfigurationError(f"--design: `{name}` is given twice")
        given.add(name)
        values[name] = _value(value)
    return values, constants


def _value(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def explain(
    application: str,
    space: DesignSpace,
    technology: Path | None,
    values: Mapping[str, Value],
    constants: Mapping[str, float | bool],
) -> tuple[Simulator, Report]:
    """Simulate one design, in the space or not, with constants on top of the technology's."""
    from prime_fast import Simulator
    from prime_fast.space import read_text

    narrowed = space.narrowed(values)
    if missing := [name for name in space.names if name not in values]:
        listed = (f"{name} ({space.allowed(space.names.index(name))})" for name in missing)
        raise ConfigurationError(f"--design: no value for {', '.join(listed)}")
    simulator = Simulator(application, narrowed, technology)
    if constants:
        own = {} if technology is None else tomllib.loads(read_text(technology, "technology constants"))
        simulator = Simulator(application, narrowed, own | dict(constants))
    return simulator, simulator.report(values)


def outside_space(space: DesignSpace, values: Mapping[str, Value]) -> dict[str, list[Value]]:
    """Return what the space allows for each parameter whose value it doesn't; nothing for one it lacks."""
    known = dict(zip(space.names, space.values, strict=True))
    return {name: known.get(name, []) for name, value in values.items() if value not in known.get(name, [])}
