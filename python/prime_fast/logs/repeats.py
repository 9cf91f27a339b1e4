"""Designs that a log has several times, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from prime_fast.errors import ConfigurationError
from prime_fast.logs.cleaning import DROP, rank_column

if TYPE_CHECKING:
    from prime_fast.space import DesignSpace, Ranks

DUPLICATE = "duplicate of an earlier row"
CONTRADICTION = "the same design is both feasible and infeasible"
OTHER_OBJECTIVE = "the same design with another"
ABSENT = "absent from the log"
MOST_ABSENT = 1_000_000
"""Designs that a log is filled up to where absent ones are infeasible."""


def ranks_of(rows: pl.DataFrame, space: DesignSpace) -> Ranks:
    """Return the designs of good rows in working form: ndarray of shape (n_rows, n_parameters)."""
    columns = rows.select(rank_column(i) for i in range(len(space.names)))
    # Polars hands out column-major arrays; the core wants rows.
    ranks: Ranks = np.ascontiguousarray(columns.to_numpy(), dtype=space.rank_dtype)
    return ranks


def merge_repeats(rows: pl.DataFrame, space: DesignSpace, objective: str) -> pl.DataFrame:
    """Mark the rows that repeat a design, and put medians where its rows differ (see `reading`).

    Parameters
    ----------
    rows : polars.DataFrame
        Good rows, as `canonical` returns them, without ``#drop``.
    space : DesignSpace
        The space of the ranks.
    objective : str
        Name of the objective's column.

    Returns
    -------
    polars.DataFrame
        The rows, with ``#drop``: a text for those that are merged or contradict each other.
    """
    key = ["#index", "application"] if "application" in rows.columns else ["#index"]
    rows = rows.with_columns(
        pl.Series("#index", space.indices(ranks_of(rows, space))), pl.lit(None, pl.String).alias(DROP)
    )
    if rows.select(pl.struct(key).n_unique()).item() < rows.height:
        cost = pl.col(objective)
        differs = cost.max().over(key) - cost.min().over(key) > 1e-9 * cost.max().over(key)
        mixed = pl.col("feasible").any().over(key) != pl.col("feasible").all().over(key)
        later = pl.int_range(pl.len()).over(key) > 0
        rows = rows.with_columns(
            pl.when(mixed)
            .then(pl.lit(CONTRADICTION))
            .when(later & differs)
            .then(pl.lit(f"{OTHER_OBJECTIVE} {objective}; the median is kept"))
            .when(later)
            .then(pl.lit(DUPLICATE))
            .alias(DROP),
            pl.col(pl.Float64).median().over(key),
        )
    return rows.drop("#index")


def absent_designs(rows: pl.DataFrame, space: DesignSpace, origin: str) -> pl.DataFrame:
    """Return the designs of the space that a log lacks, as infeasible rows.

    Parameters
    ----------
    rows : polars.DataFrame
        All rows in working form. One that was dropped isn't absent: what it says just can't be used.
    space : DesignSpace
        The space of the ranks.
    origin : str
        The mapping's file, for messages.

    Returns
    -------
    polars.DataFrame
        Ranks, ``feasible``, ``reason`` and, where `rows` has it, ``application``.

    Raises
    ------
    ConfigurationError
        If the space, once an application, has more than `MOST_ABSENT` designs.
    """
    names: list[str | None] = [None]
    if "application" in rows.columns:
        names = rows["application"].drop_nulls().unique().sort().to_list() or names
    if space.size * len(names) > MOST_ABSENT:
        times = f" for each of {len(names)} applications" if len(names) > 1 else ""
        raise ConfigurationError(
            f"{origin}: `feasibility.absent` needs all designs of the space {space.name!r}, {space.size:,}"
            f"{times}; at most {MOST_ABSENT:,} are filled up: leave it out, and write what a design must"
            " keep as a [[constraint]] of the space"
        )
    ranks = [rank_column(i) for i in range(len(space.names))]
    rows = rows.drop_nulls(ranks)
    indices = space.indices(ranks_of(rows, space))
    parts = []
    for name in names:
        logged = np.zeros(space.size, dtype=bool)
        here = indices if name is None else indices[(rows["application"] == name).fill_null(value=True)]
        logged[here] = True
        absent = space.ranks(np.flatnonzero(~logged).astype(np.uint64))
        part = pl.DataFrame(absent, schema=[(column, rows.schema[column]) for column in ranks])
        part = part.with_columns(feasible=False, reason=pl.lit(ABSENT))
        parts.append(part if name is None else part.with_columns(application=pl.lit(name)))
    return pl.concat(parts)
