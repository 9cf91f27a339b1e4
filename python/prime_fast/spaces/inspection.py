"""What a design space is: its size, its parameters, and the share of it that the constraints pass."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from prime_fast.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from rich.console import Console

    from prime_fast.space import DesignSpace, Value

WORK = 1 << 27
"""Designs to look at for an exact count, at most: a second or two."""
SAMPLES = 100_000
"""Designs drawn where that is not enough."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Share:
    """The share of the designs that pass one constraint, or all.

    Attributes
    ----------
    value : float
    designs : int or None
        How many designs; None where the share is estimated.
    interval : tuple of float
        What contains the share with a probability of `CONFIDENCE` (Clopper-Pearson); of no width where exact.
    """

    value: float
    designs: int | None
    interval: tuple[float, float]

    def __str__(self) -> str:
        """Return it as a percentage, with its interval where there is one."""
        if self.designs is not None:
            return percent(self.value, exactly_none=self.designs == 0)
        low, high = self.interval
        return f"{percent(self.value)} ({percent(low)} to {percent(high)})"


@dataclass(frozen=True)
class SpaceInspection:
    """What `inspect_space` found.

    Attributes
    ----------
    space : DesignSpace
    passing : Share
        Of all constraints together.
    constraints : mapping of str to Share
        Of each constraint by itself.
    expressions : mapping of str to str
        Of metrics and constraints, as written.
    samples : int
        Designs drawn for the shares that are estimated.
    warnings : tuple of str
        Constraints that nothing or everything passes.
    """

    space: DesignSpace
    passing: Share
    constraints: dict[str, Share]
    expressions: dict[str, str]
    samples: int
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        space = self.space
        return {
            "name": space.name,
            "title": space.title,
            "designs": space.size,
            "parameters": [
                {"name": name, "kind": kind, "unit": unit, "column": column, "values": values}
                for name, kind, unit, column, values in zip(
                    space.names, kinds(space), space.units, space.columns, space.values, strict=True
                )
            ],
            "metrics": [
                {"name": name, "unit": unit, "expression": self.expressions[name]}
                for name, unit in space.metric_units.items()
            ],
            "constraints": [
                {"name": name, "expression": text, **_share(self.constraints[name])}
                for name, text in space.core.constraints
            ],
            "passing": _share(self.passing),
            "samples": self.samples,
            "warnings": list(self.warnings),
        }


def inspect_space(
    space: DesignSpace, *, samples: int = SAMPLES, seed: int = 0, work: int = WORK
) -> SpaceInspection:
    """Find out how large a space is and what share of it the constraints pass.

    Shares are exact where counting the designs takes a look at few of them: constraints that share no
    parameter are counted by themselves, and of boxes of designs that all pass or all fail none is looked at.
    Else they are estimated from designs drawn uniformly.

    Parameters
    ----------
    space : DesignSpace
    samples : int
        Designs to draw for an estimate.
    seed : int
        The same seed gives the same estimate.
    work : int
        Designs to look at, at most, to count a share; 0 to estimate all.

    Raises
    ------
    ConfigurationError
        If there is no design to draw.
    """
    if samples < 1:
        raise ConfigurationError(f"samples is {samples}; it must be at least 1")
    names = space.constraint_names
    counts = [space.core.count([position], work) for position in range(len(names))]
    passing = counts[0] if len(counts) == 1 else space.core.count(list(range(len(names))), work)
    drawn = space.sample(samples if None in [*counts, passing] else 0, seed)
    shares = {}
    for position, (name, count) in enumerate(zip(names, counts, strict=True)):
        if count is not None:
            shares[name] = _counted(count, space.size)
        else:
            shares[name] = _estimated(space.core.meets(position, drawn))
    together = _counted(passing, space.size) if passing is not None else _estimated(space.check(drawn) < 0)
    samples = samples if len(drawn) else 0
    warnings = _warnings(shares, together, samples)
    return SpaceInspection(space, together, shares, _expressions(space), samples, tuple(warnings))


def _counted(count: int, size: int) -> Share:
    return Share(count / size, count, (count / size, count / size))


def _estimated(passes: NDArray[Any]) -> Share:
    from scipy.stats import binomtest

    test = binomtest(int(passes.sum()), len(passes))
    interval = test.proportion_ci(CONFIDENCE, method="exact")
    return Share(float(passes.mean()), None, (float(interval.low), float(interval.high)))


def _share(share: Share) -> dict[str, Any]:
    return {
        "share": share.value,
        "designs": share.designs,
        "interval": list(share.interval),
        "exact": share.designs is not None,
    }


def _expressions(space: DesignSpace) -> dict[str, str]:
    entries = tomllib.loads(space.to_toml())
    every = [*entries.get("metric", []), *entries.get("constraint", [])]
    # A metric and a constraint may bear one name; a constraint's text comes from the core.
    return {entry["name"]: entry["expression"] for entry in reversed(every)}


def _warnings(shares: dict[str, Share], passing: Share, samples: int) -> list[str]:
    found = []
    for name, share in shares.items():
        if share.value == 0.0:
            what = "no design" if share.designs == 0 else f"none of {samples:,} designs drawn"
            found.append(f"the constraint {name} is met by {what}")
        elif share.value == 1.0:
            what = "every design" if share.designs is not None else f"each of {samples:,} designs drawn"
            found.append(f"the constraint {name} is met by {what}")
    if passing.value == 0.0 and all(share.value > 0.0 for share in shares.values()):
        what = "no design" if passing.designs == 0 else f"none of {samples:,} designs drawn"
        found.append(f"all constraints together are met by {what}")
    return found


def kinds(space: DesignSpace) -> list[str]:
    """Return the kinds of the parameters, ``boolean`` for those that are true or false."""
    return [
        "boolean" if isinstance(values[0], bool) else kind
        for kind, values in zip(space.kinds, space.values, strict=True)
    ]


def percent(share: float, *, exactly_none: bool = False) -> str:
    """Return a share as a percentage that is neither 0% nor 100% unless it is so."""
    if share == 0.0:
        return "0%" if exactly_none else "0.0%"
    if share == 1.0:
        return "100%"
    if share < 0.001 or share > 0.999:
        return f"{100 * share:.3g}%" if share < 0.5 else f"{100 - max(100 * (1 - share), 1e-6):.8g}%"
    return f"{100 * share:.2f}%"


def render(inspection: SpaceInspection, console: Console) -> None:
    """Print an inspection for a reader."""
    from rich.markup import escape
    from rich.table import Table

    space = inspection.space

    def table(*headers: str) -> Table:
        grid = Table(box=None, pad_edge=False, header_style="bold")
        for place, header in enumerate(headers):
            # A name is looked for whole.
            justify: Literal["left", "right"] = "right" if header == "passes" else "left"
            grid.add_column(header, overflow="fold", justify=justify, no_wrap=place == 0)
        return grid

    title = f": {space.title}" if space.title else ""
    size = f"{space.size:,} designs" + (f" ({space.size:.3g})" if space.size >= 10**9 else "")
    console.print(escape(f"{space.name}{title}"), highlight=False)
    console.print(f"{size}, {len(space.names)} parameters", highlight=False)

    parameters = table("parameter", "kind", "unit", "values")
    rows = zip(space.names, kinds(space), space.units, space.values, strict=True)
    for name, kind, unit, values in rows:
        parameters.add_row(escape(name), kind, escape(unit), escape(_listed(values)))
    grids = [parameters]
    if space.metric_names:
        metrics = table("metric", "unit", "expression")
        for name, unit in space.metric_units.items():
            metrics.add_row(escape(name), escape(unit), escape(inspection.expressions[name]))
        grids.append(metrics)
    if space.constraint_names:
        constraints = table("constraint", "passes", "expression")
        for name, text in space.core.constraints:
            constraints.add_row(escape(name), str(inspection.constraints[name]), escape(text))
        designs = inspection.passing.designs
        note = f"{designs:,} designs" if designs is not None else "of the designs"
        constraints.add_row("all together", str(inspection.passing), note)
        grids.append(constraints)
    for grid in grids:
        console.print()
        console.print(grid)
    if not space.constraint_names:
        console.print("\nno constraints: every design passes", highlight=False)
    if inspection.samples:
        console.print(
            f"\nShares with an interval ({CONFIDENCE:.0%}) are of {inspection.samples:,} designs drawn.",
            highlight=False,
        )
    for warning in inspection.warnings:
        console.print(f"\nwarning: {warning}", markup=False, highlight=False)


def _listed(values: Sequence[Value]) -> str:
    """Return values as text, their count first where they are many."""
    texts = [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
    if len(texts) <= 12:
        return ", ".join(texts)
    return f"{len(texts):,}: {', '.join(texts[:6])}, ..., {texts[-1]}"
