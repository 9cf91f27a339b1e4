"""What a log holds: the figures of `prime-fast logs inspect`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.logs.cleaning import OUTSIDE
from prime_fast.logs.log import Dropped, Log, Source
from prime_fast.logs.repeats import CONTRADICTION, DUPLICATE, OTHER_OBJECTIVE
from prime_fast.logs.verdict import Verdict, judge, overall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from rich.console import Console

QUANTILES = (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
REASONS = 10
"""Reasons of infeasibility, and values of a parameter, that `render` shows."""
RARE = 0.1
"""A value is rare among the feasible designs if it has less than this part of an even share of them."""


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
    rare : tuple
        Values that some feasible designs have, but less than a tenth of an even share.
    """

    parameter: str
    values: int
    unseen: tuple[Any, ...]
    unseen_feasible: tuple[Any, ...]
    rare: tuple[Any, ...] = ()


@dataclass(frozen=True)
class ApplicationInspection:
    """Figures about the designs of one application of several.

    Attributes
    ----------
    application : str or None
        None for rows without one.
    designs, feasible : int
    best, median : float or None
        Of the objective over the feasible designs.
    verdict : Verdict
    """

    application: str | None
    designs: int
    feasible: int
    best: float | None
    median: float | None
    verdict: Verdict


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
    duplicates : int
        Rows that repeat an earlier one.
    contradictions : int
        Rows that say something else of a design than other rows: another objective, or feasibility.
    outside : int
        Rows with a value that the space hasn't.
    dropped : tuple of Dropped
        What reading the log for learning leaves out, these three among it.
    applications : tuple of ApplicationInspection
        One entry an application where there are several.
    verdict : Verdict
        Whether the log can be learned from.
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
    duplicates: int
    contradictions: int
    outside: int
    dropped: tuple[Dropped, ...]
    applications: tuple[ApplicationInspection, ...]
    verdict: Verdict
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
    rows = sum(source.rows for source in log.sources)
    duplicates = _count(log, lambda reason: reason == DUPLICATE)
    contradictions = _count(log, lambda reason: reason.startswith((CONTRADICTION, OTHER_OBJECTIVE)))
    applications = _applications(log)
    return Inspection(
        sources=log.sources,
        rows=rows,
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
            _coverage(name, values, ranks, log.feasible)
            for name, values, ranks in zip(log.space.names, log.space.values, log.ranks.T, strict=True)
        ),
        duplicates=duplicates,
        contradictions=contradictions,
        outside=_count(log, lambda reason: reason.endswith(OUTSIDE)),
        dropped=log.dropped,
        applications=applications,
        verdict=overall(
            {one.application or "none": one.verdict for one in applications}
            or {"": judge(log.space, log.ranks, log.values)},
            rows=rows,
            dropped=_count(log, lambda _: True) - duplicates - contradictions,
            contradicting=contradictions,
        ),
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

    names = [source.path for source in inspection.sources]
    summary = table("log", _listed(names))
    summary.add_row("rows", f"{inspection.rows:,}")
    summary.add_row("designs", f"{inspection.designs:,}")
    summary.add_row("feasible", f"{inspection.feasible:,}")
    summary.add_row("infeasible", f"{inspection.infeasible_share:.1%}")
    for reason, count in list(inspection.reasons.items())[:REASONS]:
        summary.add_row(f"  {reason}", f"{count:,}")
    if len(inspection.reasons) > REASONS:
        summary.add_row(f"  {len(inspection.reasons) - REASONS} other reasons", "")
    summary.add_row("duplicates", f"{inspection.duplicates:,}")
    summary.add_row("contradictions", f"{inspection.contradictions:,}")
    summary.add_row("outside the space", f"{inspection.outside:,}")
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

    coverage = table("parameter", "values", "seen", "feasible", "never feasible", "rarely")
    for entry in inspection.coverage:
        coverage.add_row(
            entry.parameter,
            str(entry.values),
            str(entry.values - len(entry.unseen)),
            str(entry.values - len(entry.unseen_feasible)),
            _listed(entry.unseen_feasible),
            _listed(entry.rare),
        )
    applications = table("application", "designs", "feasible", "best", "median", "verdict")
    for one in inspection.applications:
        applications.add_row(
            one.application or "none",
            f"{one.designs:,}",
            f"{one.feasible:,}",
            _cell(one.best),
            _cell(one.median),
            one.verdict.verdict,
        )
    for grid in (figures, quantiles, best, coverage, *([applications] if inspection.applications else [])):
        console.print()
        console.print(grid)
    for warning in inspection.warnings:
        console.print(f"\nwarning: {warning}", markup=False, highlight=False)
    for one in inspection.applications:
        if one.verdict.because:
            console.print(f"\n{one.application or 'none'}: {one.verdict}", markup=False, highlight=False)
    console.print(f"\nverdict: {inspection.verdict}", markup=False, highlight=False)


def _ranges(figures: pl.DataFrame) -> dict[str, tuple[float, float]]:
    """Return the least and the greatest entry of each column that has one."""
    known = {figure.name: figure.drop_nulls().drop_nans().to_numpy() for figure in figures}
    return {name: (float(array.min()), float(array.max())) for name, array in known.items() if array.size}


def _coverage(name: str, values: Sequence[Any], ranks: NDArray[Any], feasible: NDArray[np.bool_]) -> Coverage:
    """Count how often designs have each value of a parameter."""
    seen = np.bincount(ranks, minlength=len(values))
    good = np.bincount(ranks[feasible], minlength=len(values))
    rare = (good > 0) & (good < RARE * good.sum() / len(values))

    def those(mask: NDArray[np.bool_]) -> tuple[Any, ...]:
        return tuple(values[rank] for rank in np.flatnonzero(mask).tolist())

    return Coverage(name, len(values), those(seen == 0), those(good == 0), those(rare))


def _applications(log: Log) -> tuple[ApplicationInspection, ...]:
    """Gather figures about each application where the log has several."""
    if "application" not in log.frame.columns or log.frame["application"].n_unique() < 2:
        return ()
    entries = []
    names = log.frame["application"]
    for name in names.unique().sort():
        here = (names.is_null() if name is None else (names == name).fill_null(value=False)).to_numpy()
        values = log.values[here]
        known = values[~np.isnan(values)]
        entries.append(
            ApplicationInspection(
                application=name,
                designs=len(values),
                feasible=len(known),
                best=float(known.min()) if len(known) else None,
                median=float(np.median(known)) if len(known) else None,
                verdict=judge(log.space, log.ranks[here], values),
            )
        )
    return tuple(entries)


def _count(log: Log, wanted: Callable[[str], bool]) -> int:
    """Count the dropped rows whose reason is wanted."""
    return sum(entry.count for entry in log.dropped if wanted(entry.reason))


def _listed(values: Sequence[Any]) -> str:
    """Return values as text, shortened where they are many; an empty text as quotes."""
    shown = [str(value) if value != "" else "''" for value in values[:REASONS]]
    return ", ".join(shown + ([f"{len(values) - REASONS} more"] if len(values) > REASONS else []))


def _cell(value: Any) -> str:
    """Format an entry of a design's row; one that isn't there is a dash."""
    if value is None:
        return "-"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
