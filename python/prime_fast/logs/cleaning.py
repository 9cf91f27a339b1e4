"""The rules of `prime_fast.logs.reading`: which column is what, which rows are bad, which become one.

Working columns have names that start with ``#``; a file's own columns of such names are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.logs.log import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prime_fast.space import DesignSpace, Ranks, Value

ROW, DROP, FOUND = "#row", "#drop", "#found"
_MARKS = ("feasible", "infeasible", "reason", "application")
_FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


class _Columns(NamedTuple):
    """Names of a table's columns by what they hold; a mark or figure that isn't there is left out."""

    parameters: dict[str, str]
    objective: str
    marks: dict[str, str]
    figures: dict[str, str]


class _Fault(NamedTuple):
    """Rows (bool) that are bad for one reason, and the column in which the bad value stands."""

    reason: str
    rows: pl.Series
    column: pl.Series


def ranks_of(rows: pl.DataFrame, space: DesignSpace) -> Ranks:
    """Return the designs of good rows in working form: ndarray of shape (n_rows, n_parameters)."""
    columns = rows.select(_rank_column(i) for i in range(len(space.names)))
    # Polars hands out column-major arrays; the core wants rows.
    ranks: Ranks = np.ascontiguousarray(columns.to_numpy(), dtype=space.rank_dtype)
    return ranks


def _rank_column(i: int) -> str:
    """Return the name of the working column with the ranks of parameter `i`."""
    return f"#{i}"


def canonical(
    table: pl.DataFrame,
    path: str,
    space: DesignSpace,
    objective: str,
    columns: Mapping[str, str],
    feasible_values: Mapping[str, Sequence[str]],
) -> pl.DataFrame:
    """Bring a table into working form.

    Parameters
    ----------
    table : polars.DataFrame
        The file's columns, text or typed.
    path : str
        The file, for messages.
    space, objective, columns, feasible_values
        As for `prime_fast.logs.read_log`.

    Returns
    -------
    polars.DataFrame
        ``#0`` and so on (uint32 ranks, null where there is none), the objective and other figures (float64),
        ``feasible`` (bool), ``reason`` and ``application`` (str) where there; ``#row`` (1-based), ``#drop``
        (why the row is bad, or null) and ``#found`` (its bad value).

    Raises
    ------
    ConfigurationError
        If `columns` or `feasible_values` names a column that isn't there.
    DataError
        If a column is missing or of a kind that can't be read.
    """
    for column in (*columns.values(), *feasible_values):
        if column not in table.columns:
            raise ConfigurationError(f"{path} has no column {column!r}: {_known(table, column)}")
    found = _find(table, path, space, objective, columns, feasible_values)
    try:
        return _clean(table, path, space, objective, found, feasible_values)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} has a column of neither numbers nor texts nor flags: {error}") from error


def merge_repeats(rows: pl.DataFrame, space: DesignSpace, objective: str) -> pl.DataFrame:
    """Mark the rows that repeat a design, and put medians where its rows differ (see `reading`).

    Parameters
    ----------
    rows : polars.DataFrame
        As `canonical` returns it.
    space : DesignSpace
        The space of the ranks.
    objective : str
        Name of the objective's column.

    Returns
    -------
    polars.DataFrame
        The rows, bad ones first, more of them with a text in ``#drop``.
    """
    good = rows.filter(pl.col(DROP).is_null())
    key = ["#index", "application"] if "application" in rows.columns else ["#index"]
    good = good.with_columns(pl.Series("#index", space.indices(ranks_of(good, space))))
    if good.select(pl.struct(key).n_unique()).item() < good.height:
        cost = pl.col(objective)
        differs = cost.max().over(key) - cost.min().over(key) > 1e-9 * cost.max().over(key)
        mixed = pl.col("feasible").any().over(key) != pl.col("feasible").all().over(key)
        later = pl.int_range(pl.len()).over(key) > 0
        good = good.with_columns(
            pl.when(mixed)
            .then(pl.lit("the same design is both feasible and infeasible"))
            .when(later & differs)
            .then(pl.lit(f"the same design with another {objective}; the median is kept"))
            .when(later)
            .then(pl.lit("duplicate of an earlier row"))
            .alias(DROP),
            pl.col(pl.Float64).median().over(key),
        )
    return pl.concat([rows.filter(pl.col(DROP).is_not_null()), good.drop("#index")])


def _known(table: pl.DataFrame, name: str) -> str:
    """Return a clause that lists a table's columns and the one nearest to `name`."""
    shown = ", ".join(table.columns[:20]) + (", ..." if table.width > 20 else "")
    return f"its columns are {shown}{did_you_mean(name, table.columns)}"


def _find(
    table: pl.DataFrame,
    path: str,
    space: DesignSpace,
    objective: str,
    columns: Mapping[str, str],
    feasible_values: Mapping[str, Sequence[str]],
) -> _Columns:
    """Say which column holds what: the mapped one, else the one of that name, else a parameter's alias."""
    parameters: dict[str, str] = {}
    missing = []
    for name, alias in zip(space.names, space.columns, strict=True):
        candidates = [columns[name]] if name in columns else [name, alias]
        present = [column for column in candidates if column in table.columns]
        if present:
            parameters[name] = present[0]
        else:
            missing.append(name if alias == name else f"{name} (or {alias})")
    if missing:
        plural = "s" if len(missing) > 1 else ""
        raise DataError(
            f"{path} has no column for the parameter{plural} {', '.join(missing)};"
            f" {_known(table, missing[0].split(' ')[0])}; map them if they bear other names"
        )
    cost = columns.get(objective, objective)
    if cost not in table.columns:
        raise DataError(
            f"{path} has no column {cost!r} for the objective; {_known(table, cost)};"
            " name or map the one to minimise"
        )
    marks = {mark: columns.get(mark, mark) for mark in _MARKS}
    marks = {mark: column for mark, column in marks.items() if column in table.columns}
    taken = {*parameters.values(), *marks.values(), *feasible_values, *columns.values(), cost}
    reserved = {*space.names, objective, *_MARKS}
    figures = {name: name for name in table.columns if name not in taken | reserved and name[:1] != "#"}
    figures |= {name: column for name, column in columns.items() if name not in reserved}
    return _Columns(parameters, cost, marks, figures)


def _clean(
    table: pl.DataFrame,
    path: str,
    space: DesignSpace,
    objective: str,
    columns: _Columns,
    feasible_values: Mapping[str, Sequence[str]],
) -> pl.DataFrame:
    """Do what `canonical` promises, the columns being known."""
    out = {ROW: pl.Series(np.arange(1, table.height + 1))}
    faults = []
    for i, (name, values) in enumerate(zip(space.names, space.values, strict=True)):
        entries = table[columns.parameters[name]]
        ranks = space.column_ranks(i, _entries(entries, values))
        out[_rank_column(i)] = ranks
        faults.append(_Fault(f"{name} is missing", entries.is_null() & ranks.is_null(), entries))
        faults.append(_Fault(f"{name} has a value outside its list", ranks.is_null(), entries))

    given = table[columns.objective]
    cost = _numbers(given)
    status = {column: _text(table[column]) for column in feasible_values}
    if status:
        feasible = pl.Series([True]).new_from_index(0, table.height)
        for column, good in feasible_values.items():
            feasible &= status[column].is_in([str(value) for value in good]).fill_null(value=False)
    elif flag := columns.marks.get("feasible") or columns.marks.get("infeasible"):
        flags = _flags(table[flag])
        faults.append(_Fault(f"{flag} is neither true nor false", flags.is_null(), table[flag]))
        feasible = (flags if "feasible" in columns.marks else ~flags).fill_null(value=False)
    else:
        feasible = given.is_not_null()
    for what, rows in (
        ("is missing", given.is_null()),
        ("is not a number", cost.is_null()),
        ("is NaN", cost.is_nan()),
        ("is infinite", cost.is_infinite()),
        ("is zero or negative", cost <= 0),
    ):
        faults.append(_Fault(f"{objective} of a feasible design {what}", rows & feasible, given))

    none = pl.Series([None], dtype=pl.String).new_from_index(0, table.height)
    out[objective] = cost.zip_with(feasible, none.cast(pl.Float64))
    for name, column in columns.figures.items():
        numbers = _numbers(table[column])
        if numbers.null_count() == table[column].null_count() and table[column].dtype != pl.Boolean:
            out[name] = numbers
        elif name != column:
            raise DataError(f"{path}: column {column!r}, mapped to {name!r}, holds more than numbers")
    out["feasible"] = feasible
    if reason := columns.marks.get("reason"):
        out["reason"] = none.zip_with(feasible, _text(table[reason]))
    elif status:
        out["reason"] = none.zip_with(feasible, next(iter(status.values())))
    if "application" in columns.marks:
        out["application"] = _text(table[columns.marks["application"]])

    out[DROP] = out[FOUND] = none
    for fault in faults:
        new = (fault.rows & out[DROP].is_null()).fill_null(value=False)
        if new.any():
            out[DROP] = pl.Series([fault.reason]).new_from_index(0, table.height).zip_with(new, out[DROP])
            out[FOUND] = _text(fault.column).zip_with(new, out[FOUND])
    return pl.DataFrame(out)


def _text(column: pl.Series) -> pl.Series:
    """Return a column as text."""
    return column.cast(pl.String).str.strip_chars()


def _numbers(column: pl.Series) -> pl.Series:
    """Return a column as float64, null where it isn't a number."""
    return (_text(column) if column.dtype == pl.String else column).cast(pl.Float64, strict=False)


def _flags(column: pl.Series) -> pl.Series:
    """Return a column as bool, null where it says neither."""
    return _text(column).str.to_lowercase().replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean)


def _entries(column: pl.Series, values: Sequence[Value]) -> pl.Series:
    """Return a parameter's column in a form that its list of values can be looked up in."""
    if column.dtype == pl.String:
        # CSV has no way to tell an empty text from a missing one.
        return _text(column).fill_null("") if "" in values else _text(column)
    # As text 0.1 is 0.1 in either precision.
    return _text(column) if column.dtype == pl.Float32 else column
