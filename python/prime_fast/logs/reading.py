"""Reading logs: files of any origin in, a checked `Log` out.

A row is dropped, counted and named in `Log.dropped`, when

- a parameter is missing or has a value outside its list;
- the column of feasibility says neither yes nor no;
- the objective of a feasible design is missing, unreadable, NaN, infinite, zero or negative;
- one application is asked for and the row names none.

Several rows of one design become one row. Where they agree the first stays. Where feasible rows differ in
the objective, by more than 1e-9 of it, their median stays. Where some say feasible and some infeasible, none
stays. Rows of different applications are never compared.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.logs.cleaning import DROP, FOUND, ROW, canonical, merge_repeats, ranks_of
from prime_fast.logs.log import Dropped, Log, Source, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prime_fast.space import DesignSpace

LEAST_FEASIBLE = 10
"""Fewest feasible designs that a surrogate can be fitted to and checked on."""

SHOWN = 5
"""Row numbers, and offending values, that a message names."""

# Polars raises PanicException, no Exception at all, on some damaged files.
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, OverflowError)

# gzip, Zstandard
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")


def read_table(path: str | Path) -> tuple[pl.DataFrame, Source]:
    """Read a file of rows as it is.

    Parameters
    ----------
    path : str or Path
        Parquet, or CSV with a header line, plain or compressed by gzip or Zstandard.

    Returns
    -------
    table : polars.DataFrame
        All columns. Those of a CSV file are text, so that a bad entry can be named by its row.
    source : Source
        The file's name, digest and number of rows.

    Raises
    ------
    ConfigurationError
        If there is no such file.
    DataError
        If it is a directory, empty, damaged, or in another format.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigurationError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path} is a directory: name the log file in it")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from error
    if not content:
        raise DataError(f"{path} is empty: expected a Parquet or CSV file of logged designs")
    parquet = content.startswith(b"PAR1") or path.suffix in {".parquet", ".pq"}
    if not parquet and not content.startswith(_COMPRESSED) and b"\0" in content[:4096]:
        raise DataError(f"{path} is neither Parquet nor CSV text")
    try:
        if parquet:
            table = pl.read_parquet(io.BytesIO(content))
        else:
            table = pl.read_csv(io.BytesIO(content), infer_schema=False)
    except _UNREADABLE as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        expected = "a whole Parquet file" if parquet else "a CSV file with a header line, or Parquet"
        raise DataError(f"{path} can't be read as {expected}: {cause}") from error
    if not table.height:
        raise DataError(f"{path} has no rows: expected one for each logged design")
    return table, Source(str(path), hashlib.sha256(content).hexdigest(), table.height)


def read_log(
    paths: str | Path | Sequence[str | Path],
    space: DesignSpace,
    objective: str = "latency_us",
    *,
    columns: Mapping[str, str] | None = None,
    feasible_values: Mapping[str, Sequence[str]] | None = None,
    application: str | None = None,
    least_feasible: int = LEAST_FEASIBLE,
) -> Log:
    """Read logged designs and check every row.

    Parameters
    ----------
    paths : str, Path or sequence of them
        Parquet or CSV files (see `read_table`); their rows are put one after the other.
    space : DesignSpace
        The space that the designs must lie in. A parameter's column bears its name or its ``column`` alias.
    objective : str
        Name of the figure to minimise; positive.
    columns : mapping of str to str, optional
        Columns that bear other names: name of a parameter, of the objective or another figure, or one of
        ``feasible``, ``infeasible``, ``reason``, ``application``, to the name of the log's column.
    feasible_values : mapping of str to sequence of str, optional
        Status columns: a design is feasible if each of them holds one of its values, as
        ``{"status": ["ok"]}``. Without it the column ``feasible`` decides, then ``infeasible``, as true and
        false or 1 and 0; without either, a design whose objective is missing is infeasible.
    application : str, optional
        Take only the rows whose ``application`` is this one, in any case; rows without one are dropped.
    least_feasible : int
        Fewest feasible designs to accept; 0 accepts a log with none, to look at.

    Returns
    -------
    Log
        The good rows, with an account of the others, and with the figures that the space can compute.

    Raises
    ------
    ConfigurationError
        If a file doesn't exist, or the mapping names no column of it.
    DataError
        If a file can't be read, lacks a column, or has too few rows that are good.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if not files:
        raise ConfigurationError("no log file was named")
    if objective in space.names:
        raise ConfigurationError(f"the objective {objective!r} is a parameter of the design space")
    tables = [read_table(path) for path in files]
    sources = tuple(source for _, source in tables)
    name = ", ".join(source.path for source in sources)
    parts = [
        canonical(table, source.path, space, objective, columns or {}, feasible_values or {}).with_columns(
            pl.format("{}{}", pl.lit(f"{source.path}:" if len(files) > 1 else ""), ROW).alias(ROW)
        )
        for table, source in tables
    ]
    rows = pl.concat(parts, how="diagonal_relaxed")
    warnings = []
    if application is not None:
        rows = _only(rows, application, name)
    elif (
        "application" in rows.columns
        and (several := rows["application"].unique().drop_nulls().sort()).len() > 1
    ):
        warnings.append(
            f"the log mixes the applications {', '.join(several)}: name one to take only its rows"
        )
    rows = merge_repeats(rows, space, objective)
    dropped = _account(rows)
    rows = rows.filter(pl.col(DROP).is_null())
    if not rows.height:
        raise DataError(f"{name}: every row was dropped; " + "; ".join(map(str, dropped)))

    ranks = ranks_of(rows, space)
    warnings += map(str, dropped)
    if any("is NaN" in entry.reason for entry in dropped):
        warnings.append("if NaN marks infeasible designs, leave it out or add a column `feasible`")
    frame = space.frame(ranks).hstack(rows.select(pl.exclude(r"^#.*$")))
    for metric in reversed(space.metric_names):
        computed = pl.Series(metric, space.metric(metric, ranks))
        if metric not in frame.columns:
            frame = frame.insert_column(len(space.names) + 1, computed)
            continue
        off = ((frame[metric] / computed - 1).abs() > 0.01).sum()
        if off:
            warnings.append(
                f"{metric} differs by over 1% from the design space's own figure in {off:,} of"
                f" {len(frame):,} designs; limits on proposals go by the design space"
            )
        frame = frame.with_columns(pl.col(metric).fill_null(computed))

    feasible = int(frame["feasible"].sum())
    if feasible < least_feasible:
        found = "no feasible design" if not feasible else f"only {feasible} feasible"
        hint = "; " + "; ".join(map(str, dropped)) if dropped else ""
        raise DataError(
            f"{name} has {found} among {frame.height:,} usable designs;"
            f" at least {least_feasible} are needed to learn from{hint}"
        )
    if feasible == frame.height:
        warnings.append("the log has no infeasible design: nothing can be learned about what makes one fail")
    return Log(space, objective, frame, ranks, dropped, tuple(warnings), sources)


def _only(rows: pl.DataFrame, application: str, name: str) -> pl.DataFrame:
    """Return the rows of one application, and those of none, marked as bad."""
    if "application" not in rows.columns:
        raise DataError(f"{name} has no column `application` to take {application} from")
    known = rows["application"].drop_nulls().unique().sort().to_list()
    if application.lower() not in {other.lower() for other in known}:
        raise DataError(
            f"{name} has no row of application {application!r}: it has {', '.join(known)}"
            + did_you_mean(application, known)
        )
    nameless = pl.col("application").is_null()
    rows = rows.filter(nameless | (pl.col("application").str.to_lowercase() == application.lower()))
    bad = pl.when(nameless & pl.col(DROP).is_null()).then(pl.lit("application is missing"))
    return rows.with_columns(bad.otherwise(DROP).alias(DROP))


def _account(rows: pl.DataFrame) -> tuple[Dropped, ...]:
    """Count the dropped rows by reason, with the first rows and values of each."""
    reasons = (
        rows.filter(pl.col(DROP).is_not_null())
        .group_by(DROP, maintain_order=True)
        .agg(
            count=pl.len(),
            rows=pl.col(ROW).head(SHOWN),
            found=pl.col(FOUND).drop_nulls().unique(maintain_order=True).head(SHOWN),
        )
    )
    return tuple(
        Dropped(reason, count, tuple(numbers), tuple(found))
        for reason, count, numbers, found in reasons.iter_rows()
    )
