"""A design space proposed from a log: which columns are parameters, of what kind, with which values.

A log doesn't say which of its columns were chosen and which were found out. A column is taken for a result if

- its name says so: ``id``, ``feasible``, ``status``, ..., or a word in it such as latency, area, power, util;
- numbers are missing in it, or NaN, or infinite: a design has all its parameters;
- it takes so many values that nobody would have listed them;
- it has one value: there is nothing to choose;
- it stands behind the first measured column, where parameters stand before that.

All others are taken for parameters. Constraints are not guessed.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from prime_fast.errors import ConfigurationError, DataError, did_you_mean
from prime_fast.logs.formats import files_of
from prime_fast.logs.reading import read_table
from prime_fast.space import DesignSpace
from prime_fast.spaces.schema import MOST_PARAMETERS, MOST_VALUES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prime_fast.space import Value

OUTCOMES = frozenset(
    [
        "feasible",
        "infeasible",
        "valid",
        "invalid",
        "status",
        "reason",
        "error",
        "failed",
        "failure",
        "ok",
        "passed",
    ]
)
"""Names of columns that say what became of a design."""
LABELS = frozenset(
    [
        "application",
        "app",
        "workload",
        "network",
        "benchmark",
        "id",
        "index",
        "design_id",
        "row",
        "uuid",
        "hash",
        "timestamp",
        "date",
        "seed",
        "run",
    ]
)
"""Names of columns that say which row this is."""
RESULTS = frozenset(
    [
        "latency",
        "runtime",
        "time",
        "times",
        "seconds",
        "cycles",
        "throughput",
        "fps",
        "gops",
        "tops",
        "speedup",
        "energy",
        "power",
        "watt",
        "watts",
        "area",
        "mm2",
        "objective",
        "score",
        "loss",
        "cost",
        "perf",
        "performance",
        "edp",
        "util",
        "utilization",
        "utilisation",
        "total",
        "std",
        "stdev",
        "mean",
        "median",
        "accuracy",
        "error",
        "slack",
        "wns",
        "temperature",
        "lut",
        "luts",
        "dsp",
        "dsps",
        "bram",
        "brams",
        "ff",
        "ffs",
        "measured",
        "predicted",
        "simulated",
        "result",
    ]
)
"""Words that name what is measured, in the name of a column of numbers."""
FEW = 64
"""Values that a parameter may have in any log; more must be listed ones, each in several rows."""
ROWS_PER_VALUE = 5
"""Rows to a value, on average, for a parameter of more than `FEW` values."""
EXACT = 2**53
KINDS = ("ordinal", "categorical", "boolean")
_KEYWORDS = ("and", "or", "not", "true", "false")
_MEASURED = ("its name is that of an outcome", "its name speaks of", "it is missing in", "it is NaN")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class Column:
    """A log's column and what it was taken for.

    Attributes
    ----------
    name : str
        In the log.
    is_parameter : bool
    why : str
        A clause that says why.
    kind : str
        ``"ordinal"``, ``"categorical"`` or ``"boolean"``; empty for what is no parameter.
    values : tuple of int, float, str or bool
        Those of a parameter, in order.
    """

    name: str
    is_parameter: bool
    why: str
    kind: str = ""
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class InferredSpace:
    """A space proposed from a log.

    Attributes
    ----------
    space : DesignSpace
        It contains every design of the log.
    columns : tuple of Column
        All columns of the log, in order.
    rows : int
        Rows of the log.
    """

    space: DesignSpace
    columns: tuple[Column, ...]
    rows: int

    @property
    def toml(self) -> str:
        """The file's text, with comments on what is to be filled in and what was left out."""
        return self.space.to_toml()


@dataclass
class _Found:
    """A column under way."""

    name: str
    entries: pl.Series
    kind: str
    values: list[Value]
    missing: int
    result: str = ""
    parameter: str = ""


def infer_space(
    log: str | Path | Sequence[str | Path] | pl.DataFrame,
    *,
    parameters: Sequence[str] = (),
    not_parameters: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
    name: str = "",
    title: str = "",
) -> InferredSpace:
    """Propose the space that the designs of a log come from.

    Parameters
    ----------
    log : str, Path, sequence of them, or polars.DataFrame
        Files, directories and patterns as for `logs.read_log`, whose rows are put one after the other; or a
        table.
    parameters, not_parameters : sequence of str
        Columns that are, or aren't, parameters, whatever they look like.
    kinds : mapping of str to {"ordinal", "categorical", "boolean"}, optional
        By column, where it isn't what it looks like: ``ordinal`` for texts in the order of the alphabet,
        ``boolean`` for 0 and 1.
    name, title : str
        Of the space; the first file's name by default.

    Returns
    -------
    InferredSpace

    Raises
    ------
    ConfigurationError
        If a column is named that isn't there, twice, or with a kind that its values don't fit.
    DataError
        If the log can't be read, its files' columns can't be joined, no column is taken for a parameter, or
        there are more parameters, values or designs than a space may have.
    """
    if isinstance(log, pl.DataFrame):
        table, origin = log, "the log"
    else:
        table, origin, first = _joined(files_of(log))
        name = name or first.name.split(".")[0]
    kinds = dict(kinds or {})
    _check_names(table, origin, parameters, not_parameters, kinds)
    found = [_column(table[column], kinds.get(column)) for column in table.columns]
    for column in found:
        if column.name in not_parameters:
            column.result = "as told"
        elif column.name in parameters or column.name in kinds:
            column.parameter = "as told"
            if column.missing and "" not in column.values:
                raise DataError(
                    f"{origin}: parameter {column.name} is missing in {column.missing:,} of {table.height:,}"
                    " rows"
                )
        else:
            column.result = _why_result(column, table.height)
    _take_block(found)
    chosen = [column for column in found if not column.result]
    _check_size(chosen, origin, table.height)
    words = _words([column.name for column in chosen], table.columns)
    text = _toml(chosen, words, found, Path(origin).name, table.height, name or "inferred", title)
    space = DesignSpace.from_toml(text, f"the space inferred from {origin}")
    columns = tuple(
        Column(one.name, is_parameter=False, why=one.result)
        if one.result
        else Column(one.name, True, one.parameter or _why_parameter(one), one.kind, tuple(one.values))
        for one in found
    )
    return InferredSpace(space, columns, table.height)


def _joined(files: Sequence[Path]) -> tuple[pl.DataFrame, str, Path]:
    """Return the rows of files, what messages call them, and the first of them."""
    tables = [read_table(file)[0] for file in files]
    origin = str(files[0]) + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    if len(files) == 1:
        return tables[0], origin, files[0]
    # What one file has as texts, another may have as numbers; categories may differ.
    texts = pl.col(pl.Float32, pl.Categorical, pl.Enum).cast(pl.String)
    try:
        return (
            pl.concat([table.with_columns(texts) for table in tables], how="diagonal_relaxed"),
            origin,
            files[0],
        )
    except pl.exceptions.PolarsError as error:
        cause = str(error).strip().splitlines()[0]
        raise DataError(f"{origin}: their columns can't be joined: {cause}") from None


def _check_names(
    table: pl.DataFrame,
    origin: str,
    parameters: Sequence[str],
    not_parameters: Sequence[str],
    kinds: Mapping[str, str],
) -> None:
    for column in (*parameters, *not_parameters, *kinds):
        if column not in table.columns:
            shown = ", ".join(table.columns[:20]) + (", ..." if table.width > 20 else "")
            hint = did_you_mean(column, table.columns)
            raise ConfigurationError(f"{origin} has no column {column!r}{hint}; its columns are {shown}")
    for column in not_parameters:
        if column in parameters or column in kinds:
            raise ConfigurationError(f"column {column!r} is named as a parameter and as none")
    for column, kind in kinds.items():
        if kind not in KINDS:
            hint = did_you_mean(kind, KINDS)
            raise ConfigurationError(
                f"kind {kind!r} of {column!r} is unknown{hint}; known: {', '.join(KINDS)}"
            )


def _column(entries: pl.Series, wanted: str | None) -> _Found:
    """Return a column with its kind and its values in order."""
    name = entries.name
    if entries.dtype.is_nested() or entries.dtype == pl.Binary:
        return _Found(name, entries, "", [], 0, result=f"its type is {entries.dtype}")
    # As text 0.1 is 0.1 in either precision.
    if entries.dtype in (pl.String, pl.Float32, pl.Categorical, pl.Enum) or not (
        entries.dtype.is_numeric() or entries.dtype == pl.Boolean
    ):
        entries = entries.cast(pl.String).str.strip_chars()
        if entries.dtype == pl.String:
            entries = entries.set(entries == "", None)
    missing = entries.null_count()
    distinct = entries.drop_nulls().unique()
    if entries.dtype == pl.Boolean:
        return _Found(name, entries, "boolean", sorted(distinct.to_list()), missing)
    if entries.dtype == pl.String:
        lower = distinct.str.to_lowercase()
        if lower.len() and lower.is_in(list(_BOOLEANS)).all() and wanted in (None, "boolean"):
            return _Found(name, entries, "boolean", sorted({_BOOLEANS[text] for text in lower}), missing)
    numbers = distinct.cast(pl.Float64, strict=False)
    if wanted == "boolean":
        if not distinct.len() or not numbers.is_in([0.0, 1.0]).fill_null(value=False).all():
            shown = ", ".join(map(str, distinct.sort().head(5).to_list()))
            raise ConfigurationError(
                f"column {name!r} holds {shown or 'nothing'}; a boolean one holds true and false, or 0 and 1"
            )
        return _Found(name, entries, "boolean", sorted({number == 1.0 for number in numbers}), missing)
    if numbers.null_count() or not distinct.len():
        texts = sorted(distinct.cast(pl.String).to_list())
        # In CSV an empty entry is a text like any other.
        texts = ["", *texts] if missing and texts else texts
        return _Found(name, entries, wanted or "categorical", list(texts), missing)
    values = sorted({number + 0.0 for number in numbers.to_list()})
    if all(math.isfinite(value) and value.is_integer() and abs(value) < EXACT for value in values):
        return _Found(name, entries, wanted or "ordinal", [int(value) for value in values], missing)
    return _Found(name, entries, wanted or "ordinal", list(values), missing)


def _why_result(column: _Found, rows: int) -> str:
    """Return why a column must be a result, or nothing where it may be a parameter."""
    if column.result:
        return column.result
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", column.name).lower()
    if words in LABELS:
        return "its name is that of a label"
    if words in OUTCOMES:
        return "its name is that of an outcome"
    values = column.values
    if not values:
        return "it is empty"
    numeric = not isinstance(values[0], str | bool)
    if numeric and (told := RESULTS.intersection(re.split(r"[^a-z0-9]+", words))):
        return f"its name speaks of {min(told)}"
    if len(values) == 1:
        return f"it is {values[0]} everywhere"
    if column.missing and "" not in column.values:
        return f"it is missing in {column.missing:,} rows"
    if numeric and not all(math.isfinite(float(value)) for value in values):
        return "it is NaN or infinite in places"
    if len(values) > FEW and (len(values) > MOST_VALUES or rows < ROWS_PER_VALUE * len(values)):
        return f"it has {len(values):,} values in {rows:,} rows"
    return ""


def _why_parameter(column: _Found) -> str:
    return f"{len(column.values):,} values" if len(column.values) > 1 else "1 value"


def _take_block(found: list[_Found]) -> None:
    """Take what stands behind the first measured column for a result, where parameters stand before it."""
    started, first = False, ""
    for column in found:
        if column.result:
            if started and not first and column.result.startswith(_MEASURED):
                first = column.name
        elif column.parameter:
            continue
        elif first:
            column.result = f"it stands behind {first}"
        else:
            started = True


def _check_size(chosen: list[_Found], origin: str, rows: int) -> None:
    if not chosen:
        raise DataError(
            f"{origin}: no column of its {rows:,} rows looks like a parameter; name them (--parameter NAME)"
        )
    if len(chosen) > MOST_PARAMETERS:
        raise DataError(
            f"{origin}: {len(chosen)} columns look like parameters, and a space has at most"
            f" {MOST_PARAMETERS}; say which are none (--not-parameter NAME), {chosen[-1].name} perhaps"
        )
    for column in chosen:
        if len(column.values) > MOST_VALUES:
            raise DataError(
                f"{origin}: column {column.name} has {len(column.values):,} values, and a parameter at most "
                f"{MOST_VALUES:,}"
            )
        if not column.values:
            raise DataError(f"{origin}: column {column.name} is empty: a parameter needs values")
    size = math.prod(len(column.values) for column in chosen)
    if size > 1 << 64:
        largest = max(chosen, key=lambda column: len(column.values))
        raise DataError(
            f"{origin}: the {len(chosen)} columns that look like parameters span {size:.3g} designs, and a"
            f" space has at most 2^64; say which are none (--not-parameter NAME): {largest.name} has "
            f"{len(largest.values):,} values"
        )


def _words(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return a word for each column that expressions may use, unlike all others and all other columns."""
    words: list[str] = []
    for name in names:
        word = re.sub(r"[^A-Za-z0-9_]", "_", name) or "p"
        word = f"p{word}" if word[0].isdigit() else word
        word = f"{word}_" if word in _KEYWORDS else word
        stem, number = word, 2
        while word in words or (word != name and word in columns):
            word, number = f"{stem}_{number}", number + 1
        words.append(word)
    return words


def _toml(
    chosen: list[_Found],
    words: list[str],
    found: list[_Found],
    origin: str,
    rows: int,
    name: str,
    title: str,
) -> str:
    lines = [
        f"# Proposed from {_comment(origin)}, {rows:,} rows. To do: units, values that the log lacks, and",
        "# constraints, such as",
        "#     [[constraint]]",
        '#     name = "fits"',
        f'#     expression = "{words[0]} <= 8"',
    ]
    if left := [column for column in found if column.result]:
        lines += ["#", "# Columns that were not taken for parameters:"]
        lines += [_comment(f"#   {column.name}: {column.result}") for column in left]
    lines += ["", f"name = {_text(name)}"]
    lines += [f"title = {_text(title)}"] if title else []
    for column, word in zip(chosen, words, strict=True):
        lines += ["", "[[parameter]]", f"name = {_text(word)}"]
        lines += [f"column = {_text(column.name)}"] if word != column.name else []
        usual = "categorical" if isinstance(column.values[0], str | bool) else "ordinal"
        if column.kind == "ordinal" and usual == "ordinal":
            lines += ['unit = ""                           # to fill in: KiB, PEs, ...']
        elif column.kind not in (usual, "boolean"):
            lines += [f'kind = "{column.kind}"']
        lines += _values(column.values)
    return "\n".join(lines) + "\n"


def _values(values: Sequence[Value]) -> list[str]:
    """Return the line, or lines, of a parameter's values."""
    texts = [_value(value) for value in values]
    line = f"values = [{', '.join(texts)}]"
    if len(line) <= 120:
        return [line]
    lines, width = ["values = ["], 0
    for text in texts:
        if width == 0 or width + len(text) > 110:
            lines.append("   ")
            width = 4
        lines[-1] += f" {text},"
        width += len(text) + 2
    return [*lines, "]"]


def _value(value: Value) -> str:
    if isinstance(value, str):
        return _text(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _text(text: str) -> str:
    """Return a TOML string: JSON's escapes are among TOML's, but for the control character DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """Return a text that may stand in a comment: on one line, without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
