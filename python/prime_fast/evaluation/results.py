"""Results of designs: what every evaluator hands back, checked and in the order of the designs.

Results are a table with a row a design:

- the objective, float64, positive; null where the design is infeasible;
- each metric asked for, float64, null where unknown;
- ``feasible``, bool, and ``reason``, str, null where feasible;
- ``failed``, bool: infeasible not by the evaluator's word but because it gave none that can be used.

A design fails by itself if a call for it alone exceeds the time limit, ends with an exit code or without
results, or if its row is missing or its objective no positive, finite number. What no other design can get
past either is an error, not a failure: a command that can't be run, results without the objective's column or
with rows that belong to no design.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from prime_fast.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from prime_fast.space import DesignSpace, Ranks

IDENTIFIER = "design_id"
"""Column of a command's designs, from 0, by which rows of its results may say which design they are of."""
_FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


@dataclass(frozen=True, eq=False)
class Designs:
    """Designs to be evaluated for one application.

    Attributes
    ----------
    space : DesignSpace
    ranks : ndarray of shape (n, parameters), integer
    application : str
        Empty where nobody named one.
    """

    space: DesignSpace
    ranks: Ranks
    application: str = ""

    def __len__(self) -> int:
        return len(self.ranks)

    def __getitem__(self, rows: slice) -> Designs:
        return Designs(self.space, self.ranks[rows], self.application)

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The values, a column a parameter."""
        return self.space.frame(self.ranks)


class Part(NamedTuple):
    """Results of some designs next to one another."""

    first: int
    """Row of the first among the designs evaluated."""
    results: pl.DataFrame


def checked_results(
    table: pl.DataFrame, designs: Designs, objective: str, metrics: Sequence[str], origin: str
) -> pl.DataFrame:
    """Return an evaluator's answer as results, in the order of the designs.

    Parameters
    ----------
    table : polars.DataFrame
        Columns as the evaluator gave them, texts or typed.
    designs : Designs
        Those that were asked.
    objective : str
    metrics : sequence of str
    origin : str
        What gave the answer, for messages.

    Returns
    -------
    polars.DataFrame

    Raises
    ------
    DataError
        If a column is missing, or the rows can't be told apart or belong to no design.
    """
    for name in (objective, *metrics):
        if name not in table.columns:
            shown = ", ".join(table.columns[:20]) or "none"
            raise DataError(
                f"{origin} lack a column `{name}`{did_you_mean(name, table.columns)}; they have {shown}"
                if origin.startswith("the results")
                else f"{origin} gave no `{name}`{did_you_mean(name, table.columns)}, but {shown}"
            )
    places = _places(table, designs, origin)
    rows = table.with_columns(places.alias("#place")).filter(pl.col("#place").is_not_null())
    asked = pl.DataFrame({"#place": pl.Series(range(len(designs)), dtype=pl.Int64)})
    rows = asked.join(rows.with_columns(pl.lit(value=True).alias("#there")), on="#place", how="left")
    there = rows["#there"].fill_null(value=False)
    numbers = {name: _numbers(rows[name]) for name in (objective, *metrics)}
    given, value = rows[objective], numbers[objective]
    empty = given.is_null() | (_text(given) == "")
    says = pl.Series([None], dtype=pl.Boolean).new_from_index(0, len(designs))
    if "feasible" in rows.columns:
        flags = _text(rows["feasible"]).str.to_lowercase()
        says = flags.replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean)
        unclear = there & says.is_null()
    else:
        unclear = says.is_not_null()
        says = ~empty
    reasons: list[str | None] = [None] * len(designs)
    if "reason" in rows.columns:
        reasons = _text(rows["reason"]).to_list()
    feasible, failed = [], []
    for row in range(len(designs)):
        fault = None
        if not there[row]:
            fault = "no row in the results"
        elif unclear[row]:
            fault = f"feasible is {rows['feasible'][row]!r}, neither true nor false"
        elif says[row]:
            fault = _fault(objective, given[row], value[row], empty=bool(empty[row]))
        feasible.append(fault is None and bool(says[row]))
        failed.append(fault is not None)
        if fault is not None:
            reasons[row] = fault
        elif feasible[row]:
            reasons[row] = None
        elif not reasons[row]:
            reasons[row] = "infeasible"
    good = pl.Series(feasible, dtype=pl.Boolean)
    return pl.DataFrame(
        {
            objective: value.set(~good, None),
            **{name: numbers[name].fill_nan(None) for name in metrics},
            "feasible": good,
            "reason": pl.Series(reasons, dtype=pl.String),
            "failed": pl.Series(failed, dtype=pl.Boolean),
        }
    )


def _fault(objective: str, given: object, value: float | None, *, empty: bool) -> str | None:
    """Return what is wrong with the objective of a design that is said to be feasible."""
    if empty:
        return f"feasible, but without {objective}"
    if value is None:
        return f"{objective} is {given!r}, not a number"
    if np.isnan(value):
        return f"{objective} is NaN"
    if not 0.0 < value < float("inf"):
        return f"{objective} is {value:g}; it must be positive and finite"
    return None


def _places(table: pl.DataFrame, designs: Designs, origin: str) -> pl.Series:
    """Return which design each row is of."""
    if IDENTIFIER in table.columns and IDENTIFIER not in designs.space.names:
        places = _numbers(table[IDENTIFIER])
        known = places.is_in([float(row) for row in range(len(designs))]).fill_null(value=False)
        if not known.all():
            found = table[IDENTIFIER].filter(~known)[0]
            raise DataError(
                f"{origin} have a row of {IDENTIFIER} {found}; it must be one of those asked, "
                f"0 to {len(designs) - 1}"
            )
        places = places.cast(pl.Int64)
    elif set(designs.space.names) <= set(table.columns):
        try:
            ranks = designs.space.ranks_from_frame(table)
        except DataError as error:
            raise DataError(f"{origin} are of no design in the space: {error}") from None
        rows = {index: row for row, index in enumerate(designs.space.indices(designs.ranks).tolist())}
        found_rows = [rows.get(index) for index in designs.space.indices(ranks).tolist()]
        if None in found_rows:
            raise DataError(f"{origin}: row {found_rows.index(None) + 1} is of a design that was not asked")
        places = pl.Series(found_rows, dtype=pl.Int64)
    elif table.height == len(designs):
        return pl.Series(range(table.height), dtype=pl.Int64)
    else:
        raise DataError(
            f"{origin}: {table.height} rows for {len(designs)} designs, and no column {IDENTIFIER}, nor one "
            "for each parameter, that tells which row is of which"
        )
    if places.is_duplicated().any():
        twice = int(places.filter(places.is_duplicated())[0])
        raise DataError(f"{origin} have more than one row of design {twice}")
    return places


def failures(reason: str, objective: str, metrics: Sequence[str]) -> pl.DataFrame:
    """Return the results of one design that failed."""
    nothing = pl.Series([None], dtype=pl.Float64)
    return pl.DataFrame(
        {
            **dict.fromkeys((objective, *metrics), nothing),
            "feasible": [False],
            "reason": pl.Series([reason], dtype=pl.String),
            "failed": [True],
        }
    )


def _text(column: pl.Series) -> pl.Series:
    return column.cast(pl.String, strict=False).str.strip_chars()


def _numbers(column: pl.Series) -> pl.Series:
    """Return a column as float64, null where it isn't a number."""
    return (_text(column) if column.dtype == pl.String else column).cast(pl.Float64, strict=False)


__all__ = ["IDENTIFIER", "Designs", "Part", "checked_results", "failures"]
