"""The rules of `prime_fast.logs.reading`: what a row says, and whether it can be used.

Working columns have names that start with ``#``; a file's own columns of such names are left alone.
"""

from __future__ import annotations

import math
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.logs.columns import find, known_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prime_fast.logs.columns import Columns
    from prime_fast.logs.mapping import Column, Limit, LogMapping
    from prime_fast.space import DesignSpace, Value

ROW, FILE, DROP, FOUND = "#row", "#file", "#drop", "#found"
OUTSIDE = "has a value outside its list"
_FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


class _Fault(NamedTuple):
    """Rows (bool) that are bad for one reason, and the column in which the bad value stands."""

    reason: str
    rows: pl.Series
    column: pl.Series


def canonical(
    table: pl.DataFrame,
    path: str,
    space: DesignSpace,
    objective: str,
    columns: Mapping[str, str],
    feasible_values: Mapping[str, Sequence[str]],
    mapping: LogMapping,
    first_row: int = 1,
) -> pl.DataFrame:
    """Bring a table into working form.

    Parameters
    ----------
    table : polars.DataFrame
        The file's columns, text or typed.
    path : str
        The file, for messages.
    space, objective, columns, feasible_values, mapping
        As for `prime_fast.logs.read_log`; `columns` wins over `mapping`.
    first_row : int
        The number of the table's first row in the file.

    Returns
    -------
    polars.DataFrame
        ``#0`` and so on (ranks, null where there is none), the objective and other figures (float64),
        ``feasible`` (bool), ``reason`` and ``application`` (str) where there; ``#row``, ``#drop`` (why the
        row is bad, or null) and ``#found`` (its bad value).

    Raises
    ------
    ConfigurationError
        If `columns`, `feasible_values` or `mapping` names a column that isn't there.
    DataError
        If a column is missing or of a kind that can't be read.
    """
    found = find(table, path, space, objective, columns, feasible_values, mapping)
    try:
        return _Cleaning(table, path, space, objective, found, feasible_values, mapping).rows(first_row)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} has a column of neither numbers nor texts nor flags: {error}") from error


def rank_column(i: int) -> str:
    """Return the name of the working column with the ranks of parameter `i`."""
    return f"#{i}"


class _Cleaning:
    """Does what `canonical` promises, the columns being known."""

    def __init__(
        self,
        table: pl.DataFrame,
        path: str,
        space: DesignSpace,
        objective: str,
        columns: Columns,
        feasible_values: Mapping[str, Sequence[str]],
        mapping: LogMapping,
    ) -> None:
        self.table, self.path, self.space, self.objective = table, path, space, objective
        self.columns, self.mapping = columns, mapping
        self.status: dict[str, Sequence[str]] = {**mapping.status, **feasible_values}
        self.faults: list[_Fault] = []
        self.none = pl.Series([None], dtype=pl.String).new_from_index(0, table.height)

    def rows(self, first_row: int) -> pl.DataFrame:
        """Return the table in working form."""
        table, columns = self.table, self.columns
        out = {ROW: pl.Series(np.arange(first_row, first_row + table.height, dtype=np.int64))}
        out |= self.ranks()
        given = table[columns.objective.name]
        numbers = _numbers(given)
        cost = _converted(numbers, columns.objective)
        figures = {name: self.figure(name, column) for name, column in columns.figures.items()}
        feasible, why = self.feasibility(given, numbers, {**figures, self.objective: cost})
        for what, rows in (
            ("is missing", given.is_null()),
            ("is not a number", cost.is_null()),
            ("is NaN", cost.is_nan()),
            ("is infinite", cost.is_infinite()),
            ("is zero or negative", cost <= 0),
        ):
            self.faults.append(
                _Fault(f"{self.objective} of a feasible design {what}", rows & feasible, given)
            )
        out[self.objective] = cost.zip_with(feasible, self.none.cast(pl.Float64))
        for name, numbers in figures.items():
            column = columns.figures[name].name
            # A design that failed may have any text for a figure, if the figure was asked for.
            asked = name in columns.mapped
            known = (~feasible if asked else self._any([])) | numbers.is_not_null() | table[column].is_null()
            if known.all() and table[column].dtype != pl.Boolean:
                out[name] = numbers
            elif asked:
                raise DataError(
                    f"{self.path}: column {column!r}, mapped to {name!r}, holds more than numbers"
                )
        out["feasible"] = feasible
        if why is not None:
            out["reason"] = self.none.zip_with(feasible, why)
        application = self.application()
        if application is not None:
            out["application"] = application
        return pl.DataFrame(out).with_columns(*self.dropped())

    def ranks(self) -> dict[str, pl.Series]:
        """Look up the parameters' values."""
        dtype = pl.UInt8 if self.space.rank_dtype is np.uint8 else pl.UInt16
        ranks = {}
        for i, (name, values) in enumerate(zip(self.space.names, self.space.values, strict=True)):
            column = self.columns.parameters[name]
            logged = self.table[column.name]
            entries = _entries(_translated(logged, _translations(self.mapping, name)), values)
            if column.factor != 1:
                entries = _converted(_numbers(entries), column)
            found = self.space.column_ranks(i, entries)
            missing = logged.is_null() & found.is_null()
            self.faults.append(_Fault(f"{name} is missing", missing, logged))
            self.faults.append(_Fault(f"{name} {OUTSIDE}", found.is_null(), logged))
            ranks[rank_column(i)] = found.cast(dtype)
        return ranks

    def figure(self, name: str, column: Column) -> pl.Series:
        """Return a figure's numbers, null where there is none."""
        logged = self.table[column.name]
        if logged.dtype.is_nested():
            if name in self.columns.mapped:
                raise DataError(f"{self.path}: column {column.name!r}, mapped to {name!r}, holds lists")
            return self.none.cast(pl.Float64)
        return _converted(_numbers(logged), column)

    def feasibility(
        self, given: pl.Series, numbers: pl.Series, figures: Mapping[str, pl.Series]
    ) -> tuple[pl.Series, pl.Series | None]:
        """Return which designs are feasible, and why the others aren't, where something says so."""
        mapping, marks, table = self.mapping, self.columns.marks, self.table
        # Which rows are infeasible, and the reason.
        rules: list[tuple[pl.Series, pl.Series]] = []
        for column, good in self.status.items():
            status = _text(table[column])
            allowed = [str(value) for value in good]
            rules.append((~status.is_in(allowed).fill_null(value="" in allowed), status))
        flags = {mark: marks[mark] for mark in ("feasible", "infeasible") if mark in marks}
        named = {"feasible": mapping.feasible, "infeasible": mapping.infeasible}
        if self.status:
            flags = {mark: column for mark, column in flags.items() if column == named[mark]}
        elif "feasible" in flags and not mapping.infeasible:
            flags.pop("infeasible", None)
        flagged = []
        for mark, column in flags.items():
            flag = _flags(table[column])
            self.faults.append(_Fault(f"{column} is neither true nor false", flag.is_null(), table[column]))
            bad = ~flag if mark == "feasible" else flag
            # A flag that nobody named needs no words.
            says = f"{column} is {'false' if mark == 'feasible' else 'true'}"
            why = says if column == named[mark] else None
            flagged.append((bad.fill_null(value=True), self._constant(why)))

        # What the mapping's objective says holds whatever is minimised.
        named_cost = mapping.figures.get(mapping.objective or "")
        if named_cost is not None and named_cost.name in table.columns:
            given, name = table[named_cost.name], named_cost.name
            numbers = _numbers(given)
        else:
            name = self.columns.objective.name
        alone = not self.status and not flags
        if mapping.missing or (mapping.missing is None and alone):
            # Where nothing else is said, that the objective is missing says it all.
            reason = f"{name} is missing" if mapping.origin else None
            rules.append((given.is_null(), self._constant(reason)))
        rules += [
            (_is(given, numbers, sentinel), self._constant(f"{name} is {_plain(sentinel)}"))
            for sentinel in mapping.sentinels
        ]
        so_far = self._any([bad for bad, _ in (*rules, *flagged)])
        for limit in mapping.limits:
            figure = self._limited(limit, figures)
            within = {"<=": figure <= limit.bound, ">=": figure >= limit.bound,
                      "<": figure < limit.bound, ">": figure > limit.bound}[limit.sign]  # fmt: skip
            unknown = figure.is_null() | figure.is_nan()
            self.faults.append(
                _Fault(f"{limit.name}, which has a limit, is missing", unknown & ~so_far, figure)
            )
            rules.append(((~within & ~unknown).fill_null(value=False), self._constant(f"not {limit}")))

        # The others tell more of why.
        rules += flagged
        infeasible = self._any([bad for bad, _ in rules])
        reasons = [_text(table[marks["reason"]])] if "reason" in marks else []
        reasons += [
            self.none.zip_with(~bad, reason) for bad, reason in rules if reason.null_count() < len(reason)
        ]
        if not reasons:
            return ~infeasible, None
        return ~infeasible, pl.select(pl.coalesce(reasons)).to_series()

    def _any(self, series: Sequence[pl.Series]) -> pl.Series:
        result = pl.Series([False]).new_from_index(0, self.table.height)
        for one in series:
            result |= one
        return result

    def _constant(self, text: str | None) -> pl.Series:
        return pl.Series([text], dtype=pl.String).new_from_index(0, self.table.height)

    def _limited(self, limit: Limit, figures: Mapping[str, pl.Series]) -> pl.Series:
        """Return the figure that a limit is on."""
        if limit.name in figures:
            return figures[limit.name]
        known = list(dict.fromkeys((*figures, *self.table.columns)))
        if limit.name not in known:
            raise ConfigurationError(
                f"{self.mapping.origin}: `feasibility.limits` names {limit.name!r}, which {self.path} hasn't:"
                f" {known_columns(self.table, limit.name)}"
            )
        return _numbers(self.table[limit.name])

    def application(self) -> pl.Series | None:
        """Return the applications of the rows, if anything names them."""
        mapping = self.mapping
        if "application" in self.columns.marks:
            names = _text(self.table[self.columns.marks["application"]])
        elif mapping.application is not None:
            names = self._constant(mapping.application)
        elif mapping.application_pattern is not None:
            match = re.search(mapping.application_pattern, self.path)
            if match is None or not match[1]:
                raise ConfigurationError(
                    f"{mapping.origin}: `application.pattern` {mapping.application_pattern!r} finds no"
                    f" application in the path {self.path}"
                )
            names = self._constant(match[1])
        else:
            return None
        return _translated(names, mapping.values.get("application", {}))

    def dropped(self) -> tuple[pl.Series, pl.Series]:
        """Return the first fault of each row and the value at fault."""
        drop = found = self.none
        for fault in self.faults:
            new = (fault.rows & drop.is_null()).fill_null(value=False)
            if new.any():
                drop = self._constant(fault.reason).zip_with(new, drop)
                found = _text(fault.column).zip_with(new, found)
        return drop.alias(DROP), found.alias(FOUND)


def _translations(mapping: LogMapping, name: str) -> dict[str, str]:
    """Return what entries of a parameter mean; its own name wins over patterns."""
    meanings: dict[str, str] = {}
    for pattern, entries in mapping.values.items():
        if fnmatchcase(name, pattern):
            meanings |= entries
    return {**meanings, **mapping.values.get(name, {})}


def _translated(column: pl.Series, meanings: Mapping[str, str]) -> pl.Series:
    """Replace entries by what they mean, as text; what has no meaning given stays."""
    if not meanings:
        return column
    if column.dtype.is_float() and (column.drop_nulls() == column.drop_nulls().round()).all():
        column = column.cast(pl.Int64, strict=False)
    text = _text(column)
    # Files have no common way to tell an empty text from a missing one.
    return (text.fill_null("") if "" in meanings else text).replace(dict(meanings))


def _is(given: pl.Series, numbers: pl.Series, sentinel: float | str) -> pl.Series:
    """Tell which entries are the sentinel, as text or as a number."""
    same = pl.Series([False]).new_from_index(0, len(given))
    if isinstance(sentinel, str):
        same |= (_text(given) == sentinel.strip()).fill_null(value=False)
        return same
    hits = numbers.is_nan() if math.isnan(sentinel) else numbers == sentinel
    return same | hits.fill_null(value=False)


def _plain(sentinel: float | str) -> str:
    """Write a sentinel as a log would."""
    return f"{sentinel:g}" if isinstance(sentinel, float) else sentinel


def _converted(numbers: pl.Series, column: Column) -> pl.Series:
    """Return numbers in the unit that is asked for; a whole factor or its inverse is one rounding."""
    factor = column.factor
    if factor.numerator != 1:
        numbers = numbers * float(factor.numerator)
    return numbers / float(factor.denominator) if factor.denominator != 1 else numbers


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
