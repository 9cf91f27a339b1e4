"""``prime-fast solve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from prime_fast.cli.options import Assignment, Choice, emit, output_options, space_option, unique, wrapped
from prime_fast.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from prime_fast.exact import SolveResult

OBJECTIVES: dict[str, Literal["latency", "energy", "energy_delay"]] = {
    "latency_us": "latency",
    "energy_uj": "energy",
    "energy_delay": "energy_delay",
}
UNITS = {"latency": "us", "energy": "uJ", "energy_delay": "uJ us"}
COLUMNS = {
    "latency_us": "latency us",
    "energy_uj": "energy uJ",
    "average_power_mw": "average mW",
    "peak_power_mw": "peak mW",
}


@click.command("solve")
@click.option(
    "--app",
    "applications",
    multiple=True,
    required=True,
    metavar="NAME",
    help="Application to design for, or path of its TOML file; repeat for one design for several.",
)
@click.option(
    "--weight",
    "weights",
    multiple=True,
    type=Assignment(number=True),
    help="Weight of an application; 1.",
)
@click.option(
    "--objective",
    type=Choice(list(OBJECTIVES)),
    default="latency_us",
    show_default=True,
    help="What to minimise.",
)
@click.option(
    "--combine",
    "mean",
    type=Choice(["geometric", "arithmetic"]),
    default="geometric",
    show_default=True,
    help="Of several applications, minimise this mean of the objective.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    type=Assignment(number=True),
    help="Upper limit on a metric of the space (area_mm2) or a result of each application (latency_us, "
    "energy_uj, average_power_mw, peak_power_mw).",
)
@space_option
@click.option(
    "--technology", type=click.Path(path_type=Path), help="Technology constants (TOML) of the simulator."
)
@click.option(
    "--seconds", type=float, metavar="SECONDS", help="Stop after that time, with what is proved by then."
)
@click.option("--nodes", type=int, metavar="N", help="Stop after about that many nodes.")
@click.option("--threads", type=int, help="All processors by default; the result is the same.")
@output_options
def command(
    applications: tuple[str, ...],
    weights: tuple[tuple[str, float], ...],
    objective: str,
    limits: tuple[tuple[str, float], ...],
    space: str | None,
    **options: Any,
) -> None:
    """Find the best design that the simulator knows, and prove it.

    Branch and bound over the whole design space: no log, no training. Where several designs tie, all are
    found, and the one of least index is shown.

    \b
    prime-fast solve --app MobileNetV2 --limit area_mm2=29
    prime-fast solve --app U-Net --app M4 --objective energy_uj
    """  # noqa: D301 (click reads \b)
    from prime_fast import exact
    from prime_fast.space import space_named

    result = exact.solve(
        list(applications),
        limits=unique("--limit", limits),
        objective=OBJECTIVES[objective],
        weights=_weights(applications, unique("--weight", weights)),
        space=space_named(space),
        **options,
    )
    emit(result.as_dict, lambda: click.echo("\n".join(lines(result))))
    if result.stopped_by == "interrupt":
        raise KeyboardInterrupt


def _weights(applications: tuple[str, ...], given: dict[str, float]) -> list[float] | None:
    """Return the weight of each application, None where none is given."""
    from prime_fast.workload import application_named

    if not given:
        return None
    names = [application_named(each).name for each in applications]
    by_lower = {name.lower(): value for name, value in given.items()}
    for name in given:
        if name.lower() not in map(str.lower, names):
            raise ConfigurationError(
                f"--weight: {name} is not among the applications{did_you_mean(name, names)}: "
                f"{', '.join(names)}"
            )
    return [by_lower.get(name.lower(), 1.0) for name in names]


def lines(result: SolveResult) -> list[str]:
    """Return the result as lines that fit the terminal."""
    from prime_fast.cli.tables import cell

    space, unit = result.space, UNITS[result.objective.split()[-1]]
    within = ", ".join(f"{name} <= {limit:g}" for name, limit in result.limits.items())
    title = f"{', '.join(result.applications)}: least {result.objective.replace('_', '-')}"
    shown = wrapped(title + (f", {within}" if within else ""))
    design = result.design
    rows = [(name, cell(design[name], unit)) for name, unit in zip(space.names, space.units, strict=True)]
    rows += [
        (name, cell(value))
        for name, value in result.metrics.items()
        if name in result.limits or name == "area_mm2"
    ]
    label = max(len(name) for name, _ in rows) + 2
    shown += [f"{name:<{label}}{value:>12}" for name, value in rows]

    label = max(len(name) for name in result.scores)
    shown += ["", " " * label + "".join(f"  {heading:>10}" for heading in COLUMNS.values())]
    for name, values in result.scores.items():
        shown.append(f"{name:<{label}}" + "".join(f"  {cell(values[output]):>10}" for output in COLUMNS))

    if result.proved:
        verdict = f"Proved: no design within the limits has less than {result.score:.6g} {unit}."
    else:
        verdict = (
            f"Not proved (stopped by {result.stopped_by}): {result.score:.6g} {unit} found, none can have "
            f"less than {result.bound:.6g}, a gap of {100 * result.gap:.2g}%."
        )
    shown += ["", *wrapped(verdict)]
    if result.tie_count > 1:
        shown += wrapped(f"{result.tie_count:,} designs tie: {_varied(result)}.")
    shown.append(f"{result.nodes:,} nodes for {space.size:,} designs, {result.seconds:.2f} s.")
    return shown


def _varied(result: SolveResult) -> str:
    """Say which parameters differ among the designs that tie, and by how much."""
    from prime_fast.cli.tables import cell

    space, parts = result.space, []
    for position, (name, unit) in enumerate(zip(space.names, space.units, strict=True)):
        ranks = sorted(set(result.designs[:, position].tolist()))
        values = [cell(space.values[position][rank], unit) for rank in ranks]
        if len(values) > 1:
            span = ", ".join(values) if len(values) <= 3 else f"{values[0]} to {values[-1]}"
            parts.append(f"{name} {span}")
    return "; ".join(parts)
