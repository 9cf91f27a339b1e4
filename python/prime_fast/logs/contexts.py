"""Features of applications from a file: what a surrogate of several applications tells them apart by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from prime_fast.errors import DataError
from prime_fast.logs.reading import read_table

if TYPE_CHECKING:
    from pathlib import Path


def read_contexts(path: str | Path) -> dict[str, list[float]]:
    """Read a table of applications and features.

    Parameters
    ----------
    path : str or Path
        Parquet or CSV: a column ``application`` of distinct names, and a column of finite numbers a feature.
        Counts and sizes serve best as logarithms.

    Returns
    -------
    dict of str to list of float
        Features of each application, in the order of the columns.

    Raises
    ------
    ConfigurationError
        If there is no such file.
    DataError
        If it can't be read, lacks a column, or holds a name twice or a feature that is no finite number.
    """
    table, _ = read_table(path)
    if "application" not in table.columns:
        raise DataError(f"{path} has no column `application`; found {', '.join(table.columns)}")
    features = [name for name in table.columns if name != "application"]
    if not features:
        raise DataError(f"{path} has no feature beside the column `application`")
    names = table["application"].cast(pl.String)
    for row, name in enumerate(names, start=1):
        if name is None or not name.strip():
            raise DataError(f"{path}: row {row}: the application has no name")
    if (repeated := names.filter(names.is_duplicated())).len():
        raise DataError(f"{path}: application {repeated[0]!r} is there twice")
    for name in features:
        numbers = table[name].cast(pl.Float64, strict=False)
        bad = ~numbers.is_finite().fill_null(value=False)
        if bad.any():
            row = int(bad.arg_true()[0])
            raise DataError(
                f"{path}: row {row + 1}: `{name}` is {table[name][row] or 'empty'}; expected a finite number"
            )
        table = table.with_columns(numbers)
    rows = table.select(features).rows()
    return {name: list(row) for name, row in zip(names, rows, strict=True)}
