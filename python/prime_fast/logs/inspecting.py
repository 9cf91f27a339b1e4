"""What a log holds: the figures of `prime-fast logs inspect`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.logs.log import Dropped, Log, Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from rich.console import Console

QUANTILES = (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
REASONS = 10
"""Reasons of infeasibility that `render` shows."""


@dataclass(frozen=True)
class Coverage:
    """How much of a parameter's list a log has seen.

    Attributes
    ----------
    parameter : str
        Its name.
    values : int
        Length of its list.
    unseen : tuple
        Values that no design of the log has.
    unseen_feasible : tuple
        Values that no feasible design has, those of `unseen` among them.
    """

    parameter: str
    values: int
    unseen: tuple[Any, ...]
    unseen_feasible: tuple[Any, ...]


@dataclass(frozen=True)
class Inspection:
    """Figures about a log.

    Attributes
    ----------
    sources : tuple of Source
        The files.
    rows : int
        Data rows in them.
    designs : int
        Distinct designs that can be used.
    feasible : int
        How many of them are feasible.
    infeasible_share : float
        Share of the designs that are not.
    reasons : dict of str to int
        Infeasible designs by the reason logged, most frequent first; ``not stated`` where there is none.
    objective : str
        What is minimised.
    quantiles : dict of float to float
        Quantiles of the objective over the feasible designs, from best to worst; empty if there are none.
    ranges : dict of str to tuple of float
        Least and greatest value of each figure over the feasible designs.
    best : dict or None
        The best feasible design: its row of the log.
    limits : dict of str to float
        The upper limits that were asked about.
    best_within_limits : dict or None
        The best feasible design within them; None if there is none, or no limits.
    coverage : tuple of Coverage
        One entry a parameter.
    dropped : tuple of Dropped
        What reading the log for learning leaves out, duplicates and contradictions among it.
    warnings : tuple of str
        What else to know.
    """

    sources: tuple[Source, ...]
    rows: int
    designs: int
    feasible: int
    infeasible_share: float
    reasons: dict[str, int]
    objective: str
    quantiles: dict[float, float]
    ranges: dict[str, tuple[float, float]]
    best: dict[str, Any] | None
    limits: dict[str, float]
    best_within_limits: dict[str, Any] | None
    coverage: tuple[Coverage, ...]
    dropped: tuple[Dropped, ...]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain dicts, lists and scalars, ready for JSON."""
        return asdict(self)


def inspect(log: Log, limits: Mapping[str, float] | None = None) -> Inspection:
    """Gather figures about a log.

    Parameters
    ----------
    log : Log
        Read it with ``least_feasible=0`` to look at a log that is too poor to learn from.
    limits : mapping of str to float, optional
        Upper limits on figures of the log; the best design within them is named.

    Returns
    -------
    Inspection
        The figures.

    Raises
    ------
    ConfigurationError
        If the log has no figure that a limit names.
    """
    frame = log.frame
    feasible = frame.filter(pl.col("feasible"))
    infeasible = frame.filter(~pl.col("feasible"))
    reasons = {}
    if infeasible.height:
        none = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, infeasible.height)
        logged = infeasible.get_column("reason", default=none).fill_null("not stated")
        counted = logged.value_counts(name="count").sort(["count", "reason"], descending=[True, False])
        reasons = dict(counted.iter_rows())
    quantiles = {}
    if feasible.height:
        quantiles = dict(
            zip(QUANTILES, np.quantile(log.values[log.feasible], QUANTILES).tolist(), strict=True)
        )
    return Inspection(
        sources=log.sources,
        rows=sum(source.rows for source in log.sources),
        designs=frame.height,
        feasible=feasible.height,
        infeasible_share=infeasible.height / frame.height,
        reasons=reasons,
        objective=log.objective,
        quantiles=quantiles,
        ranges=_ranges(feasible.select(log.metrics)),
        best=log.best(),
        limits=dict(limits or {}),
        best_within_limits=log.best(limits) if limits else None,
        coverage=tuple(
            Coverage(name, len(values), _unseen(values, ranks), _unseen(values, ranks[log.feasible]))
            for name, values, ranks in zip(log.space.names, log.space.values, log.ranks.T, strict=True)
        ),
        dropped=log.dropped,
        warnings=log.warnings,
    )


def render(inspection: Inspection, console: Console) -> None:
    """Print an inspection for a reader.

    Parameters
    ----------
    inspection : Inspection
        The figures.
    console : rich.console.Console
        Where to print.
    """
    from rich.table import Table

    def table(*headers: str) -> Table:
        grid = Table(box=None, pad_edge=False, header_style="bold")
        for i, header in enumerate(headers):
            grid.add_column(header, justify="right" if i else "left", overflow="fold")
        return grid

    summary = table("log", ", ".join(source.path for source in inspection.sources))
    summary.add_row("rows", f"{inspection.rows:,}")
    summary.add_row("designs", f"{inspection.designs:,}")
    summary.add_row("feasible", f"{inspection.feasible:,}")
    summary.add_row("infeasible", f"{inspection.infeasible_share:.1%}")
    for reason, count in list(inspection.reasons.items())[:REASONS]:
        summary.add_row(f"  {reason}", f"{count:,}")
    if len(inspection.reasons) > REASONS:
        summary.add_row(f"  {len(inspection.reasons) - REASONS} other reasons", "")
    console.print(summary)

    figures = table("figure (feasible designs)", "least", "greatest")
    for name, (least, greatest) in inspection.ranges.items():
        figures.add_row(name, f"{least:,.6g}", f"{greatest:,.6g}")
    quantiles = table(f"quantile of {inspection.objective}", "")
    for share, value in inspection.quantiles.items():
        quantiles.add_row(f"{share:.0%}", f"{value:,.6g}")

    limits = ", ".join(f"{name} <= {limit:g}" for name, limit in inspection.limits.items())
    best = table("best feasible design", "overall", *([limits] if limits else []))
    rows = [inspection.best or {}] + ([inspection.best_within_limits or {}] if limits else [])
    names = [coverage.parameter for coverage in inspection.coverage]
    for name in [*inspection.ranges, *names]:
        best.add_row(name, *(_cell(row.get(name)) for row in rows))

    coverage = table("parameter", "values", "seen", "seen feasible", "never feasible")
    for entry in inspection.coverage:
        coverage.add_row(
            entry.parameter,
            str(entry.values),
            str(entry.values - len(entry.unseen)),
            str(entry.values - len(entry.unseen_feasible)),
            ", ".join(map(str, entry.unseen_feasible)),
        )
    for grid in (figures, quantiles, best, coverage):
        console.print()
        console.print(grid)
    for warning in inspection.warnings:
        console.print(f"\nwarning: {warning}", markup=False, highlight=False)


def _ranges(figures: pl.DataFrame) -> dict[str, tuple[float, float]]:
    """Return the least and the greatest entry of each column that has one."""
    known = {figure.name: figure.drop_nulls().drop_nans().to_numpy() for figure in figures}
    return {name: (float(array.min()), float(array.max())) for name, array in known.items() if array.size}


def _unseen(values: Sequence[Any], ranks: NDArray[Any]) -> tuple[Any, ...]:
    """Return the values whose rank isn't among `ranks`."""
    return tuple(values[rank] for rank in np.setdiff1d(np.arange(len(values)), ranks))


def _cell(value: Any) -> str:
    """Format an entry of a design's row; one that isn't there is a dash."""
    if value is None:
        return "-"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
