"""Reading logs: files of any origin in, a checked `Log` out.

A row is dropped, counted and named in `Log.dropped`, when

- a parameter is missing or has a value outside its list;
- a column of feasibility says neither yes nor no, or a figure that has a limit is missing;
- the objective of a feasible design is missing, unreadable, NaN, infinite, zero or negative;
- one application is asked for and the row names none.

Several rows of one design become one row. Where they agree the first stays. Where feasible rows differ in
the objective, by more than 1e-9 of it, their median stays. Where some say feasible and some infeasible, none
stays. Rows of different applications are never compared.

Files are read and checked a batch of rows at a time, so that what must fit in memory are the encoded designs
and their figures, not the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from prime_fast.errors import ConfigurationError, DataError, did_you_mean
from prime_fast.logs.cleaning import DROP, FILE, FOUND, ROW, canonical
from prime_fast.logs.columns import check_mapping
from prime_fast.logs.formats import TableFile, files_of
from prime_fast.logs.log import Dropped, Log, Source
from prime_fast.logs.mapping import LogMapping
from prime_fast.logs.repeats import absent_designs, merge_repeats, ranks_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prime_fast.space import DesignSpace

LEAST_FEASIBLE = 10
"""Fewest feasible designs that a surrogate can be fitted to and checked on."""

SHOWN = 5
"""Row numbers, and offending values, that a message names."""

DEFAULT_OBJECTIVE = "latency_us"


def read_table(path: str | Path) -> tuple[pl.DataFrame, Source]:
    """Read a file of rows as it is.

    Parameters
    ----------
    path : str or Path
        Parquet, Arrow IPC (file or stream), CSV with a header line or JSON lines; the last two plain or
        compressed by gzip or Zstandard. The format is told by the first bytes, else by the name.

    Returns
    -------
    table : polars.DataFrame
        All columns. Those of CSV and JSON lines are text, so that a bad entry can be named by its row.
    source : Source
        The file's name, digest and number of rows.

    Raises
    ------
    ConfigurationError
        If there is no such file.
    DataError
        If it is a directory, empty, damaged, or in another format.
    """
    file = TableFile.open(path)
    table = pl.concat(file.batches())
    return table, file.source(table.height)


def read_log(
    paths: str | Path | Sequence[str | Path],
    space: DesignSpace,
    objective: str | None = None,
    *,
    mapping: LogMapping | str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    feasible_values: Mapping[str, Sequence[str]] | None = None,
    application: str | None = None,
    least_feasible: int = LEAST_FEASIBLE,
) -> Log:
    """Read logged designs and check every row.

    Parameters
    ----------
    paths : str, Path or sequence of them
        Files (see `read_table`), directories of such files, or patterns as ``logs/*.csv``; their rows are put
        one after the other.
    space : DesignSpace
        The space that the designs must lie in. A parameter's column bears its name or its ``column`` alias.
    objective : str, optional
        Name of the figure to minimise; positive. The mapping's by default, else ``latency_us``.
    mapping : LogMapping or path, optional
        What the columns mean.
    columns : mapping of str to str, optional
        Columns that bear other names: name of a parameter, of the objective or another figure, or one of
        ``feasible``, ``infeasible``, ``reason``, ``application``, to the name of the log's column. Wins over
        the mapping.
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
    rows = read_rows(
        paths, space, objective, mapping=mapping, columns=columns, feasible_values=feasible_values
    )
    return rows.log(application, least_feasible)


def read_rows(
    paths: str | Path | Sequence[str | Path],
    space: DesignSpace,
    objective: str | None = None,
    *,
    mapping: LogMapping | str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    feasible_values: Mapping[str, Sequence[str]] | None = None,
) -> ReadRows:
    """Read files once, for the logs of several applications; parameters and errors as of `read_log`."""
    mapping = mapping_of(mapping)
    objective = objective or mapping.objective or DEFAULT_OBJECTIVE
    if objective in space.names:
        raise ConfigurationError(f"the objective {objective!r} is a parameter of the design space")
    check_mapping(mapping, space)
    good, bad, sources = _read(
        files_of(paths), space, objective, columns or {}, feasible_values or {}, mapping
    )
    return ReadRows(space, objective, mapping, good, bad, sources)


@dataclass(frozen=True)
class ReadRows:
    """Rows of files, each checked by itself, of which logs are made.

    Attributes
    ----------
    space : DesignSpace
    objective : str
    mapping : LogMapping
    good, bad : polars.DataFrame
        Rows that can be used, and others with the reason.
    sources : list of Source
    """

    space: DesignSpace
    objective: str
    mapping: LogMapping
    good: pl.DataFrame
    bad: pl.DataFrame
    sources: list[Source]

    def log(self, application: str | None = None, least_feasible: int = LEAST_FEASIBLE) -> Log:
        """Return the log of one application, or of all rows; parameters and errors as of `read_log`."""
        space, objective, good, bad, sources = self.space, self.objective, self.good, self.bad, self.sources
        name = ", ".join(source.path for source in sources[:SHOWN]) + (
            ", ..." if len(sources) > SHOWN else ""
        )
        warnings = []
        if application is not None:
            good, bad = _only(good, bad, application, name)
        elif (
            "application" in good.columns
            and (several := good["application"].unique().drop_nulls().sort()).len() > 1
        ):
            warnings.append(
                f"the log mixes the applications {', '.join(several)}: name one to take only its rows"
            )
        rows = merge_repeats(good, space, objective)
        bad = pl.concat([bad, rows.filter(pl.col(DROP).is_not_null())], how="diagonal_relaxed")
        rows = rows.filter(pl.col(DROP).is_null())
        dropped = _account(bad, sources)
        if self.mapping.absent:
            absent = absent_designs(
                pl.concat([rows, bad], how="diagonal_relaxed"), space, self.mapping.origin
            )
            if absent.height:
                rows = pl.concat([rows, absent], how="diagonal_relaxed")
        if not rows.height:
            raise DataError(f"{name}: every row was dropped; " + "; ".join(map(str, dropped)))

        ranks = ranks_of(rows, space)
        warnings += map(str, dropped)
        if any("is NaN" in entry.reason for entry in dropped):
            warnings.append(
                "if NaN marks infeasible designs, leave it out, add a column `feasible`"
                " or map `sentinels = [nan]`"
            )
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
            warnings.append(
                "the log has no infeasible design: nothing can be learned about what makes one fail"
            )
        return Log(space, objective, frame, ranks, dropped, tuple(warnings), tuple(sources))


def mapping_of(mapping: LogMapping | str | Path | None) -> LogMapping:
    """Return a mapping whether given as one, as a file's name or not at all."""
    if isinstance(mapping, LogMapping):
        return mapping
    return LogMapping() if mapping is None else LogMapping.load(mapping)


def _read(
    files: Sequence[Path],
    space: DesignSpace,
    objective: str,
    columns: Mapping[str, str],
    feasible_values: Mapping[str, Sequence[str]],
    mapping: LogMapping,
) -> tuple[pl.DataFrame, pl.DataFrame, list[Source]]:
    """Return the good rows of the files, the bad ones, and an account of the files."""
    good, bad, sources = [], [], []
    for number, path in enumerate(files):
        file = TableFile.open(path)
        parts: list[pl.DataFrame] = []
        first = 1
        for table in file.batches():
            part = canonical(table, str(path), space, objective, columns, feasible_values, mapping, first)
            first += table.height
            parts.append(part.filter(pl.col(DROP).is_null()).drop(DROP, FOUND))
            bad.append(part.filter(pl.col(DROP).is_not_null()).with_columns(pl.lit(number).alias(FILE)))
        # A column that holds a text further down is no figure.
        kept = [column for column in parts[0].columns if all(column in part.columns for part in parts)]
        kept += ["reason"] if "reason" not in kept and any("reason" in part.columns for part in parts) else []
        whole = pl.concat(
            [part.select(pl.col(c) for c in kept if c in part.columns) for part in parts], how="diagonal"
        )
        good.append(whole.with_columns(pl.lit(number).alias(FILE)))
        sources.append(file.source(first - 1))
    return pl.concat(good, how="diagonal_relaxed"), pl.concat(bad, how="diagonal_relaxed"), sources


def _only(
    good: pl.DataFrame, bad: pl.DataFrame, application: str, name: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of one application; those of none are bad."""
    if "application" not in good.columns:
        raise DataError(f"{name} has no column `application` to take {application} from")
    known = pl.concat([good["application"], bad["application"]]).drop_nulls().unique().sort().to_list()
    if application.lower() not in {other.lower() for other in known}:
        raise DataError(
            f"{name} has no row of application {application!r}: it has {', '.join(known)}"
            + did_you_mean(application, known)
        )
    mine = pl.col("application").str.to_lowercase() == application.lower()
    nameless = good.filter(pl.col("application").is_null()).with_columns(
        pl.lit("application is missing").alias(DROP)
    )
    bad = pl.concat([bad.filter(mine | pl.col("application").is_null()), nameless], how="diagonal_relaxed")
    return good.filter(mine), bad.sort(FILE, ROW)


def _account(rows: pl.DataFrame, sources: Sequence[Source]) -> tuple[Dropped, ...]:
    """Count the dropped rows by reason, with the first rows and values of each."""
    reasons = rows.group_by(DROP, maintain_order=True).agg(
        count=pl.len(),
        files=pl.col(FILE).head(SHOWN),
        rows=pl.col(ROW).head(SHOWN),
        found=pl.col(FOUND).drop_nulls().unique(maintain_order=True).head(SHOWN),
    )
    several = len(sources) > 1
    return tuple(
        Dropped(
            reason,
            count,
            tuple(
                f"{sources[file].path}:{row}" if several else str(row)
                for file, row in zip(files, numbers, strict=True)
            ),
            tuple(found),
        )
        for reason, count, files, numbers, found in reasons.iter_rows()
    )
