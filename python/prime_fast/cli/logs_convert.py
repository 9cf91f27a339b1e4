"""``prime-fast logs convert``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prime_fast.cli.options import Assignment, Choice, emit, output_options, space_option, unique, warn
from prime_fast.cli.progress import progress_bar
from prime_fast.errors import ConfigurationError, DataError, did_you_mean

if TYPE_CHECKING:
    import polars as pl

# What one microsecond is in the unit that `runtime` is said to be in.
UNITS = {"us": 1.0, "ms": 1000.0}


@click.command("convert")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR_OR_FILE...")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="File to write: .parquet or .csv."
)
@click.option(
    "--skip-bad", is_flag=True, help="Leave out bad records, counted and named, instead of failing."
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    type=Assignment(number=True),
    help="Leave out feasible designs whose figure NAME is above VALUE, as in area=27; none by default.",
)
@click.option(
    "--app",
    "application",
    metavar="NAME",
    help="Take this application alone; where no folder or column tells it, name it.",
)
@click.option(
    "--runtime-unit",
    type=Choice(["us", "ms"]),
    help="Take the published runtime for this unit and write latency_us; without it, runtime as published.",
)
@space_option
@click.option(
    "--mapping",
    type=click.Path(path_type=Path),
    help="For tables: what their columns mean (TOML): names, units, what marks a design infeasible.",
)
@click.option(
    "--objective",
    metavar="COLUMN",
    help="For tables: figure to minimise; the mapping's by default, else latency_us.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    type=Assignment(number=False),
    help="For tables: the log calls NAME (parameter, objective, feasible, application) VALUE.",
)
@click.option("--threads", type=int, help="Files read at a time; all processors by default.")
@output_options
def command(
    paths: tuple[Path, ...],
    out: Path,
    limits: tuple[tuple[str, float], ...],
    application: str | None,
    runtime_unit: str | None,
    space: str | None,
    mapping: Path | None,
    objective: str | None,
    columns: tuple[tuple[str, str], ...],
    threads: int | None,
    *,
    skip_bad: bool,
) -> None:
    """Bring logs of other formats into one file that optimize and inspect read.

    PRIME's published data set is TFRecord files, plain, gzip or zlib, in folders named after applications.
    Other files are read as tables; rows that can't be used are dropped, counted and named.

    \b
    prime-fast logs convert prime/ --out logs.parquet --limit area=27
    prime-fast optimize --logs logs.parquet --app MobileNetV2 --objective runtime
    prime-fast logs convert runs/ --mapping mapping.toml --out logs.parquet
    """  # noqa: D301 (click reads \b)
    from prime_fast.logs import write_table
    from prime_fast.logs.writing import check_suffix

    check_suffix(out)
    if out.exists() and any(path.exists() and out.samefile(path) for path in paths):
        raise ConfigurationError(f"--out: {out} is one of the logs to convert; name another file")
    within = unique("--limit", limits)
    kinds = {_holds_records(path) for path in paths if path.exists()}
    if len(kinds) > 1:
        raise ConfigurationError(
            "TFRecord files and tables can't be converted at once; optimize takes several --logs"
        )
    if kinds == {True}:
        if any(given is not None for given in (space, mapping, objective)) or columns:
            raise ConfigurationError(
                "--space, --mapping, --objective and --column are for tables: "
                "a TFRecord's features have fixed names"
            )
        frame, figure = _published(paths, application, runtime_unit, threads, skip_bad=skip_bad)
    else:
        if runtime_unit is not None:
            raise ConfigurationError("--runtime-unit is for TFRecord files; of a table, name the --objective")
        frame, figure = _table(paths, application, space, mapping, objective, unique("--column", columns))
    frame, left_out = _within(frame, within)
    write_table(frame, out)
    result = {
        "file": str(out),
        "objective": figure,
        "limits": within,
        "beyond_limits": left_out,
        "designs": frame.height,
        "feasible": int(frame["feasible"].sum()),
        "applications": _applications(frame, figure),
    }
    emit(lambda: result, lambda: _print(result, space, kept=kinds == {True} and runtime_unit is None))


def _holds_records(path: Path) -> bool:
    """Return whether a file is one of TFRecords, or a folder holds such files at any depth, or no table."""
    from prime_fast.logs import tfrecord
    from prime_fast.logs.formats import files_of

    if path.is_file():
        return tfrecord.is_tfrecord(path)
    if any(tfrecord.is_tfrecord(file) for file in path.rglob("*")):
        return True
    try:
        return not files_of(path)
    except DataError:
        return True


def _published(
    paths: tuple[Path, ...],
    application: str | None,
    unit: str | None,
    threads: int | None,
    *,
    skip_bad: bool,
) -> tuple[pl.DataFrame, str]:
    """Return the designs of TFRecord files and the name of what to minimise."""
    import polars as pl

    from prime_fast.logs import tfrecord

    with progress_bar() as progress:
        frame, _, dropped = tfrecord.read_tfrecords(
            paths, skip_bad=skip_bad, application=application, threads=threads, progress=progress, warn=warn
        )
    for entry in dropped:
        warn(str(entry))
    frame = frame.with_columns(pl.col("infeasible").not_().alias("feasible")).drop("infeasible")
    if unit is None:
        return frame, "runtime"
    return frame.with_columns(pl.col("runtime") * UNITS[unit]).rename({"runtime": "latency_us"}), "latency_us"


def _table(
    paths: tuple[Path, ...],
    application: str | None,
    space: str | None,
    mapping: Path | None,
    objective: str | None,
    columns: dict[str, str],
) -> tuple[pl.DataFrame, str]:
    """Return the good rows of tables, with the application as their column, and what to minimise."""
    import polars as pl

    from prime_fast.logs.reading import read_rows
    from prime_fast.space import space_named

    rows = read_rows(list(paths), space_named(space), objective, mapping=mapping, columns=columns)
    log = rows.log(least_feasible=0)
    frame = log.frame
    if application is not None and "application" in frame.columns:
        log = rows.log(application, least_feasible=0)
        frame = log.frame
    elif application is not None:
        frame = frame.with_columns(pl.lit(application).alias("application"))
    for sentence in log.warnings:
        warn(sentence)
    return frame, log.objective


def _within(frame: pl.DataFrame, limits: dict[str, float]) -> tuple[pl.DataFrame, dict[str, int]]:
    """Leave out the feasible designs beyond a limit; return the others, and how many each limit left out."""
    import polars as pl

    left_out = {}

    known = [name for name, dtype in frame.schema.items() if dtype.is_numeric()]
    for name, limit in limits.items():
        if name not in known:
            raise ConfigurationError(
                f"unknown limit {name!r}: the log's figures are {', '.join(known)}{did_you_mean(name, known)}"
            )
        beyond = pl.col("feasible") & ~(pl.col(name) <= limit).fill_null(value=False)
        rest = frame.filter(~beyond)
        if not rest["feasible"].any():
            figures = frame.filter("feasible")[name].drop_nulls().to_numpy()
            least = f": the least of a feasible design is {figures.min():g}" if len(figures) else ""
            raise DataError(f"no feasible design within {name}={limit:g}{least}")
        left_out[name] = frame.height - rest.height
        frame = rest
    return frame, left_out


def _applications(frame: pl.DataFrame, figure: str) -> list[dict[str, Any]]:
    """Return each application's counts and the least of what is minimised; none where none is named."""
    import polars as pl

    if "application" not in frame.columns:
        return []
    by = frame.group_by("application", maintain_order=True)
    return by.agg(
        pl.len().alias("designs"), pl.col("feasible").sum(), pl.col(figure).min().alias("least")
    ).to_dicts()


def _print(result: dict[str, Any], space: str | None, *, kept: bool) -> None:
    """Say what was written, and what to do with it."""
    out, figure, applications = result["file"], result["objective"], result["applications"]
    for name, limit in result["limits"].items():
        count = result["beyond_limits"][name]
        click.echo(f"{name} <= {limit:g}: {count:,} feasible designs beyond it left out.")
    click.echo(f"{out}: {result['designs']:,} designs, {result['feasible']:,} feasible")
    width = max((len(str(row["application"])) for row in applications), default=0)
    for row in applications:
        best = "" if row["least"] is None else f", least {figure} {row['least']:.6g}"
        name = row["application"] or "(none)"
        click.echo(f"  {name:<{width}}  {row['designs']:>9,} designs, {row['feasible']:>9,} feasible{best}")
    if kept:
        click.echo(
            "runtime is as published: the data set's README says ms, its figures behave like us.\n"
            "--runtime-unit us or ms writes latency_us instead."
        )
    named = [row["application"] for row in applications if row["application"] is not None][:1]
    command = ["prime-fast", "optimize", "--logs", out]
    command += [part for name in named for part in ("--app", name)]
    command += [] if space is None else ["--space", space]
    command += [] if figure == "latency_us" else ["--objective", figure]
    click.echo(f"Next: {shlex.join(command)}")
