"""Which column of a log is what: by a mapping, by flags, by the column's own name."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from prime_fast.errors import ConfigurationError, DataError, did_you_mean
from prime_fast.logs.mapping import MARKS, Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prime_fast.logs.mapping import LogMapping
    from prime_fast.space import DesignSpace


class Columns(NamedTuple):
    """A table's columns by what they hold; a mark or figure that isn't there is left out.

    `mapped` are the figures that somebody asked for.
    """

    parameters: dict[str, Column]
    objective: Column
    marks: dict[str, str]
    figures: dict[str, Column]
    mapped: set[str]


def check_mapping(mapping: LogMapping, space: DesignSpace) -> None:
    """Raise ConfigurationError if a mapping names a parameter or a value that the space hasn't."""
    for name in mapping.parameters:
        if name not in space.names:
            raise ConfigurationError(
                f"{mapping.origin}: `parameters.{name}` is no parameter of the space {space.name!r}"
                f"{did_you_mean(name, space.names)}; it has {', '.join(space.names)}"
            )
    for name in mapping.figures:
        if name in space.names:
            raise ConfigurationError(
                f"{mapping.origin}: `{name}` is given as a figure;"
                f" it is a parameter of the space {space.name!r}"
            )
    for pattern, entries in mapping.values.items():
        matched = [i for i, name in enumerate(space.names) if fnmatchcase(name, pattern)]
        if not matched and pattern != "application":
            raise ConfigurationError(
                f"{mapping.origin}: `values.{pattern}` is no parameter of the space {space.name!r}"
                f"{did_you_mean(pattern, space.names)}; it has {', '.join(space.names)}"
            )
        for entry, value in entries.items():
            # Under a pattern a parameter may lack a value that its column doesn't hold.
            wrong = [i for i in matched if space.column_ranks(i, pl.Series([value])).null_count()]
            if matched and len(wrong) == len(matched):
                raise ConfigurationError(
                    f"{mapping.origin}: `values.{pattern}` turns {entry!r} into {value!r}, which is no"
                    f" value of {space.names[wrong[0]]}; allowed: {space.allowed(wrong[0])}"
                )


def _mapped(mapping: LogMapping) -> list[tuple[str, str]]:
    """Return the columns that a mapping names, each with the field that does."""
    named: dict[str, str | None] = {
        f"parameters.{name}": column.name for name, column in mapping.parameters.items()
    }
    named |= {
        "objective" if name == mapping.objective else f"metrics.{name}": column.name
        for name, column in mapping.figures.items()
    }
    named |= {
        "application.column": mapping.application_column,
        "feasibility.feasible": mapping.feasible,
        "feasibility.infeasible": mapping.infeasible,
        "feasibility.reason": mapping.reason,
    }
    named |= {f"feasibility.status.{column}": column for column in mapping.status}
    return [(key, column) for key, column in named.items() if column is not None]


def known_columns(table: pl.DataFrame, name: str) -> str:
    """Return a clause that lists a table's columns and the one nearest to `name`."""
    shown = ", ".join(table.columns[:20]) + (", ..." if table.width > 20 else "")
    if table.width == 1 and (wrong := [mark for mark in ";\t|" if mark in table.columns[0]]):
        return f"its columns are {shown} (one column: separate them by commas, not by {wrong[0]!r})"
    return f"its columns are {shown}{did_you_mean(name, table.columns)}"


def find(
    table: pl.DataFrame,
    path: str,
    space: DesignSpace,
    objective: str,
    columns: Mapping[str, str],
    feasible_values: Mapping[str, Sequence[str]],
    mapping: LogMapping,
) -> Columns:
    """Say which column holds what: the mapped one, else the one of that name, else a parameter's alias.

    Raises
    ------
    ConfigurationError
        If `columns`, `feasible_values` or `mapping` names a column that isn't there.
    DataError
        If a parameter or the objective has no column.
    """
    for column in (*columns.values(), *feasible_values):
        if column not in table.columns:
            raise ConfigurationError(f"{path} has no column {column!r}: {known_columns(table, column)}")
    for key, column in _mapped(mapping):
        if column not in table.columns:
            raise ConfigurationError(
                f"{mapping.origin}: `{key}` names the column {column!r}, which {path} hasn't:"
                f" {known_columns(table, column)}"
            )
    given = {**mapping.parameters, **mapping.figures}
    given |= {name: Column(column) for name, column in columns.items() if name not in MARKS}
    parameters: dict[str, Column] = {}
    missing = []
    for name, alias in zip(space.names, space.columns, strict=True):
        candidates = [given[name]] if name in given else [Column(name), Column(alias)]
        present = [column for column in candidates if column.name in table.columns]
        if present:
            parameters[name] = present[0]
        else:
            missing.append(name if alias == name else f"{name} (or {alias})")
    if missing:
        plural = "s" if len(missing) > 1 else ""
        raise DataError(
            f"{path} has no column for the parameter{plural} {', '.join(missing)};"
            f" {known_columns(table, missing[0].split(' ')[0])}; map them if they bear other names"
        )
    cost = given.get(objective, Column(objective))
    if cost.name not in table.columns:
        raise DataError(
            f"{path} has no column {cost.name!r} for the objective; {known_columns(table, cost.name)};"
            " name or map the one to minimise"
        )
    marks = {mark: columns.get(mark, mark) for mark in MARKS}
    named = {
        "feasible": mapping.feasible,
        "infeasible": mapping.infeasible,
        "reason": mapping.reason,
        "application": mapping.application_column,
    }
    marks |= {mark: column for mark, column in named.items() if column and mark not in columns}
    marks = {mark: column for mark, column in marks.items() if column in table.columns}
    taken = {column.name for column in (*parameters.values(), *given.values(), cost)}
    taken |= {*marks.values(), *feasible_values, *mapping.status, *columns.values()}
    reserved = {*space.names, objective, *MARKS}
    figures: dict[str, Column] = {}
    if mapping.metrics is None:
        free = (name for name in table.columns if name not in taken | reserved and name[:1] != "#")
        figures = {name: Column(name) for name in free}
    figures |= {name: column for name, column in given.items() if name not in reserved}
    return Columns(parameters, cost, marks, figures, {name for name in figures if name in given})
