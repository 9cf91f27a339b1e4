"""What the comparisons share: their result, the reading of published tables, means and rank correlation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import polars as pl

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.logs.writing import atomic_file, write_table

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Kind: TypeAlias = Literal["text", "count", "positive"]
Progress: TypeAlias = Callable[[str, int, int], None]
SUFFIXES = (".csv", ".parquet", ".json")
STAND_IN = "* a stand-in: the network of the paper is not public"


@dataclass(frozen=True)
class View:
    """Columns of a comparison that are printed as one table.

    Attributes
    ----------
    title : str
    columns : list of (str, str, str)
        Heading (lines separated by newlines), column of the frame, format specification of its values.
    """

    title: str
    columns: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Comparison:
    """The simulator beside what is published.

    Attributes
    ----------
    frame : polars.DataFrame
        One row an application or configuration; names of columns end in their unit.
    views : list of View
        How to print it.
    lines : list of str
        What it amounts to.
    figures : dict of str to float
        The summary's figures by name; only those that could be computed.
    interrupted : bool
        Ctrl-C came before the last row.
    """

    frame: pl.DataFrame
    views: list[View]
    lines: list[str]
    figures: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return rows, lines and figures as what JSON can hold, but for numbers that are not finite."""
        return {
            "rows": self.frame.to_dicts(),
            "lines": self.lines,
            "figures": self.figures,
            "interrupted": self.interrupted,
        }


def rows_until_interrupt(
    items: Sequence[str], row: Callable[[str], dict[str, Any]], stage: str, progress: Progress | None
) -> tuple[list[dict[str, Any]], bool]:
    """Return the row of each item, and whether Ctrl-C ended it; the rows by then are kept.

    Raises
    ------
    KeyboardInterrupt
        Where there is no row yet.
    """
    rows: list[dict[str, Any]] = []
    try:
        for done, item in enumerate(items):
            if progress is not None:
                progress(stage, done, len(items))
            rows.append(row(item))
        if progress is not None:
            progress(stage, len(items), len(items))
    except KeyboardInterrupt:
        if not rows:
            raise
        return rows, True
    return rows, False


def read_table(path: str | Path, columns: Mapping[str, Kind]) -> pl.DataFrame:
    """Read a published table from a CSV file; other columns are left out.

    Parameters
    ----------
    path : str or Path
    columns : mapping of str to {"text", "count", "positive"}
        Columns that it must have: texts, whole numbers from 0, or finite numbers above 0.

    Returns
    -------
    polars.DataFrame
        Columns of the dtypes String, Int64 and Float64, at least one row.

    Raises
    ------
    ConfigurationError
        If there is no such file or it can't be read.
    DataError
        If a column is missing, there are no rows or a value is not of its kind; names row and column.
    """
    try:
        text = pl.read_csv(Path(path).read_bytes(), infer_schema=False)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: no such file; expected a CSV table of {', '.join(columns)}"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror or error}") from None
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: no CSV table: {str(error).splitlines()[0]}") from None
    if missing := [name for name in columns if name not in text.columns]:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(text.columns)[:200] or 'none'}"
        )
    if not text.height:
        raise DataError(f"{path}: no rows under the header")
    return pl.DataFrame([_parsed(text[name], kind, path) for name, kind in columns.items()])


def _parsed(column: pl.Series, kind: Kind, path: str | Path) -> pl.Series:
    values = column.str.strip_chars()
    if kind == "text":
        good, wanted = values.str.len_bytes().fill_null(0) > 0, "a text"
    elif kind == "count":
        values = values.cast(pl.Int64, strict=False)
        good, wanted = (values >= 0).fill_null(value=False), "a whole number from 0"
    else:
        values = values.cast(pl.Float64, strict=False)
        good = (values.is_finite() & (values > 0)).fill_null(value=False)
        wanted = "a finite number above 0"
    if not good.all():
        row = (~good).arg_true()[0]
        raise DataError(
            f"{path}: row {row + 1}: `{column.name}` is {column[row] or 'empty'}; expected {wanted}"
        )
    return values


def by_name(
    frame: pl.DataFrame, key: str, known: Iterable[str], path: str | Path
) -> dict[str, dict[str, Any]]:
    """Return rows by a name that is one of `known`, spelled as there; upper and lower case are the same.

    Raises
    ------
    DataError
        If a name is unknown or there twice; names the row.
    """
    spelled = {name.lower(): name for name in known}
    rows: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(frame.iter_rows(named=True), start=1):
        name = spelled.get(row[key].lower())
        if name is None:
            raise DataError(
                f"{path}: row {number}: unknown {key} {row[key]!r}; known: {', '.join(spelled.values())}"
            )
        if name in rows:
            raise DataError(f"{path}: row {number}: {key} {row[key]!r} is there twice")
        rows[name] = row
    return rows


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean of positive numbers, NaN of none."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def kendall_tau(a: ArrayLike, b: ArrayLike) -> float:
    """Return Kendall's rank correlation tau-b, NaN where either has one value only.

    Parameters
    ----------
    a, b : array_like of shape (n,), float

    Notes
    -----
    tau = (concordant - discordant) / sqrt(pairs untied in a x pairs untied in b)
    """
    signs = [np.sign(np.subtract.outer(x, x)) for x in (np.asarray(a, float), np.asarray(b, float))]
    untied = math.sqrt(float(np.abs(signs[0]).sum()) * float(np.abs(signs[1]).sum()))
    return float((signs[0] * signs[1]).sum()) / untied if untied else math.nan


def check_suffix(path: Path) -> None:
    """Raise ConfigurationError unless `write` knows the format of this name; ask before long work."""
    if path.suffix not in SUFFIXES:
        raise ConfigurationError(f"can't write {path}: its name must end in {', '.join(SUFFIXES)}")


def write(comparison: Comparison, path: Path) -> None:
    """Write the rows as CSV, Parquet or JSON (a list of objects), by the suffix, whole or not at all.

    Raises
    ------
    ConfigurationError
        If the suffix is another, or the file can't be written.
    """
    check_suffix(path)
    if path.suffix != ".json":
        write_table(comparison.frame, path)
        return
    with atomic_file(path) as file:
        file.write(comparison.frame.write_json().encode())


def ratio_summary(ratios: pl.Series) -> tuple[float, str]:
    """Return the geometric mean of ratios and a text with their range."""
    known = ratios.drop_nulls().to_list()
    mean = geometric_mean(known)
    return mean, f"{mean:.2f} (geometric mean; {min(known):.2f} to {max(known):.2f})" if known else "none"


def cells(view: View, frame: pl.DataFrame) -> Iterator[list[str]]:
    """Yield a view's rows as texts: a dash where there is no value, a star at a stand-in."""
    for row in frame.iter_rows(named=True):
        star = {"application": " *"} if row.get("stand_in") else {}
        yield [
            "-" if row[name] is None else format(row[name], spec) + star.get(name, "")
            for _, name, spec in view.columns
        ]
