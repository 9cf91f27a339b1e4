r"""What a log's columns mean, as a TOML file says it.

Every part may be left out. What a mapping doesn't name is looked for under its own name::

    objective = { name = "latency_us", column = "time_ms", from = "ms", to = "us" }  # or a name

    [parameters]                       # or a list of names
    pe_rows = "ROWS"
    buffer_bytes = { column = "buf", from = "KiB", to = "B" }

    [metrics]                          # or a list; without it every column of numbers
    area_mm2 = "area"

    [application]                      # or a name
    column = "kernel"                  # or name = "gemm", or a pattern that finds it in
                                       # the file's path: pattern = 'gemm__(\w+)\.csv'

    [feasibility]                      # a design is feasible if nothing here speaks against it
    feasible = "valid"                 # a column of true and false, or 1 and 0
    infeasible = "failed"
    status = { state = ["ok"] }        # a column's good values
    missing = true                     # a missing objective is infeasible
    sentinels = [0, -1, 1e9, "N/A"]    # so are these entries of the objective, as they are logged
    limits = ["util-BRAM <= 0.8"]
    reason = "message"                 # a column that says why
    absent = "infeasible"              # designs of the space that the log lacks

    [values."pipe_*"]                  # a parameter, several by a pattern, or `application`
    "" = "none"                        # an entry of the log = the value meant
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

from prime_fast.errors import ConfigurationError, did_you_mean
from prime_fast.logs.units import conversion
from prime_fast.space import read_text

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = re.compile(r"\s*(?P<name>.+?)\s*(?P<sign><=|>=|<|>)\s*(?P<bound>[^\s<>=]+)\s*")

MARKS = ("feasible", "infeasible", "reason", "application")
"""Columns of a log that are neither parameters nor figures."""

_SECTIONS = ("objective", "parameters", "metrics", "application", "feasibility", "values")
_COLUMN = ("column", "from", "to")
_FEASIBILITY = (
    "feasible", "infeasible", "status", "missing", "sentinels", "limits", "reason", "absent"
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a log, and the units to convert it between, if any.

    Attributes
    ----------
    name : str
        As the log calls it.
    from_unit, to_unit : str or None
        Both or neither.
    """

    name: str
    from_unit: str | None = None
    to_unit: str | None = None

    @property
    def factor(self) -> Fraction:
        """What its numbers must be multiplied by."""
        if self.from_unit is None or self.to_unit is None:
            return Fraction(1)
        return conversion(self.from_unit, self.to_unit)


@dataclass(frozen=True)
class Limit:
    """A limit that a feasible design keeps.

    Attributes
    ----------
    name : str
        A figure, by the mapping's name (and in its unit) or the log's.
    sign : str
        ``<=``, ``>=``, ``<`` or ``>``.
    bound : float
    """

    name: str
    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.bound:g}"


@dataclass(frozen=True)
class LogMapping:
    """What a log's columns mean.

    Attributes
    ----------
    origin : str
        The file, for messages; empty where there is none.
    objective : str or None
        What to minimise.
    parameters : dict of str to Column
        By the space's names.
    figures : dict of str to Column
        The objective, if it is of another name or unit in the log, and other metrics.
    metrics : tuple of str or None
        Figures to take beside the objective; None for every column of numbers.
    application : str or None
        The application of every row.
    application_column : str or None
    application_pattern : str or None
        A regular expression with one group, which finds the application in the file's path.
    feasible, infeasible : str or None
        Columns of flags.
    status : dict of str to tuple of str
        Good values by column.
    missing : bool or None
        Whether a missing objective is infeasible; None if nothing but the objective tells.
    sentinels : tuple of float or str
        Entries of the objective that mean infeasible.
    limits : tuple of Limit
    reason : str or None
        A column that says why a design is infeasible.
    absent : bool
        Whether designs of the space that the log lacks are infeasible.
    values : dict of str to dict of str to value
        By parameter, pattern of parameters' names or ``application``: entry of the log to what it means.
    """

    origin: str = ""
    objective: str | None = None
    parameters: Mapping[str, Column] = field(default_factory=dict)
    figures: Mapping[str, Column] = field(default_factory=dict)
    metrics: tuple[str, ...] | None = None
    application: str | None = None
    application_column: str | None = None
    application_pattern: str | None = None
    feasible: str | None = None
    infeasible: str | None = None
    status: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: bool | None = None
    sentinels: tuple[float | str, ...] = ()
    limits: tuple[Limit, ...] = ()
    reason: str | None = None
    absent: bool = False
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    text: str = field(default="", repr=False)

    @classmethod
    def load(cls, path: str | Path) -> LogMapping:
        """Read a mapping from a TOML file.

        Raises
        ------
        ConfigurationError
            If it can't be read or is no mapping; the text names file and field.
        """
        return cls.from_toml(read_text(path, "a mapping of a log's columns"), str(path))

    @classmethod
    def from_toml(cls, text: str, origin: str = "mapping") -> LogMapping:
        """Parse a mapping; errors (ConfigurationError) start with `origin`."""
        try:
            data = tomllib.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"{origin}: is no TOML: {error}") from None
        except RecursionError:
            raise ConfigurationError(f"{origin}: is no TOML: nested too deep") from None
        return _Parser(origin).mapping(data, text)

    def to_toml(self) -> str:
        """Return the text that the mapping was read from."""
        return self.text


class _Parser:
    """Turns what TOML holds into a `LogMapping`; an error names the field, what was found, what is right."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def mapping(self, data: dict[str, Any], text: str) -> LogMapping:
        self.known(data, "", _SECTIONS)
        figures: dict[str, Column] = {}
        objective = None
        if "objective" in data:
            objective, column = self.objective(data["objective"])
            figures[objective] = column
        metrics = None
        if "metrics" in data:
            named = self.columns(data["metrics"], "metrics")
            metrics = tuple(named)
            if objective in named and figures[objective] != named[objective] != Column(objective):
                self.fail(f"metrics.{objective}", "given twice", "it once: it is the objective")
            figures = named | figures
        application = self.application(data["application"]) if "application" in data else {}
        parameters = self.columns(data["parameters"], "parameters") if "parameters" in data else {}
        for key, names in (("parameters", parameters), ("metrics", figures)):
            for name in names:
                if name in MARKS or name[:1] == "#":
                    self.fail(f"{key}.{name}", "a name that logs use for something else", "another name")
        for name in parameters:
            if name in figures:
                self.fail(f"parameters.{name}", "the name of a figure too", "different names")
        return LogMapping(
            origin=self.origin,
            objective=objective,
            parameters=parameters,
            figures=figures,
            metrics=metrics,
            values=self.values(data.get("values", {})),
            text=text,
            **application,
            **self.feasibility(data.get("feasibility", {})),
        )

    def fail(self, key: str, found: str, wanted: str) -> NoReturn:
        raise ConfigurationError(f"{self.origin}: `{key}` is {found}; expected {wanted}")

    def known(self, table: dict[str, Any], key: str, names: tuple[str, ...]) -> None:
        for name in table:
            if name not in names:
                full = f"{key}.{name}" if key else name
                raise ConfigurationError(
                    f"{self.origin}: unknown key `{full}`{did_you_mean(name, names)};"
                    f" known here: {', '.join(names)}"
                )

    def table(self, found: Any, key: str, wanted: str) -> dict[str, Any]:
        if not isinstance(found, dict):
            self.fail(key, _shown(found), wanted)
        return found

    def name(self, found: Any, key: str, wanted: str = "the name of a column") -> str:
        if not isinstance(found, str) or not found.strip():
            self.fail(key, _shown(found), wanted)
        return found

    def objective(self, found: Any) -> tuple[str, Column]:
        if not isinstance(found, dict):
            name = self.name(found, "objective", "a name, or a table with `column`")
            return name, Column(name)
        self.known(found, "objective", ("name", *_COLUMN))
        if "column" not in found and "name" not in found:
            self.fail("objective", "without `column`", 'a table such as { column = "time_ms" }')
        name = self.name(found.get("name", found.get("column")), "objective.name", "a name")
        column = {key: value for key, value in found.items() if key != "name"}
        return name, self.column({"column": name} | column, "objective")

    def columns(self, found: Any, key: str) -> dict[str, Column]:
        if isinstance(found, list):
            names = [self.name(name, f"{key}[{i}]") for i, name in enumerate(found)]
            for name in names:
                if names.count(name) > 1:
                    self.fail(key, f"a list with {name!r} twice", "each name once")
            return {name: Column(name) for name in names}
        table = self.table(found, key, "a table of names and columns, or a list of columns")
        columns = {name: self.column(value, f"{key}.{name}") for name, value in table.items()}
        for name, column in columns.items():
            if (same := [other for other, one in columns.items() if one.name == column.name])[0] != name:
                self.fail(f"{key}.{name}", f"{column.name!r}, as is {key}.{same[0]}", "each column once")
        return columns

    def column(self, found: Any, key: str) -> Column:
        if isinstance(found, str):
            return Column(self.name(found, key))
        table = self.table(found, key, 'a column\'s name, or { column = "NAME", from = "ms", to = "us" }')
        self.known(table, key, _COLUMN)
        if "column" not in table:
            self.fail(key, "without `column`", 'a table such as { column = "time_ms" }')
        name = self.name(table["column"], f"{key}.column")
        units = [side for side in ("from", "to") if side in table]
        if len(units) == 1:
            self.fail(key, f"with `{units[0]}` alone", "both units, `from` and `to`, or neither")
        if not units:
            return Column(name)
        column = Column(
            name,
            self.name(table["from"], f"{key}.from", "a unit"),
            self.name(table["to"], f"{key}.to", "a unit"),
        )
        try:
            _ = column.factor
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.origin}: `{key}`: {error}") from None
        return column

    def application(self, found: Any) -> dict[str, Any]:
        wanted = "a name, or a table with one of `column`, `name` and `pattern`"
        if not isinstance(found, dict):
            return {"application": self.name(found, "application", wanted)}
        self.known(found, "application", ("column", "name", "pattern"))
        if len(found) != 1:
            self.fail("application", f"a table of {', '.join(found) or 'nothing'}", wanted)
        ((key, value),) = found.items()
        value = self.name(value, f"application.{key}", "a text")
        if key == "pattern":
            try:
                groups = re.compile(value).groups
            except (re.error, RecursionError, OverflowError) as error:
                self.fail("application.pattern", f"{_shown(value)} ({error})", "a regular expression")
            if groups != 1:
                self.fail(
                    "application.pattern",
                    f"{_shown(value)} with {groups} groups",
                    r"a regular expression with one group, such as 'gemm__(\w+)\.csv'",
                )
        return {"name": {"application": value}}.get(key, {f"application_{key}": value})

    def feasibility(self, found: Any) -> dict[str, Any]:
        table = self.table(found, "feasibility", "a table")
        self.known(table, "feasibility", _FEASIBILITY)
        marks = {
            key: self.name(table[key], f"feasibility.{key}")
            for key in ("feasible", "infeasible", "reason")
            if key in table
        }
        status = {}
        wanted = 'a table of columns and their good values, such as { status = ["ok"] }'
        for name, good in self.table(table.get("status", {}), "feasibility.status", wanted).items():
            key = f"feasibility.status.{name}"
            entries = good if isinstance(good, list) else [good]
            if not entries:
                self.fail(key, "empty", "at least one good value")
            status[name] = tuple(self.entry(entry, key) for entry in entries)
        if not isinstance(missing := table.get("missing", False), bool):
            self.fail("feasibility.missing", _shown(missing), "true or false")
        wanted = 'a list of numbers and texts, such as [0, -1, "N/A"]'
        if not isinstance(sentinels := table.get("sentinels", []), list):
            self.fail("feasibility.sentinels", _shown(sentinels), wanted)
        for entry in sentinels:
            if isinstance(entry, bool) or not _is_entry(entry):
                self.fail("feasibility.sentinels", f"a list with {_shown(entry)}", wanted)
        if not isinstance(limits := table.get("limits", []), list):
            self.fail("feasibility.limits", _shown(limits), 'a list such as ["util-BRAM <= 0.8"]')
        if table.get("absent", "infeasible") != "infeasible":
            self.fail("feasibility.absent", _shown(table["absent"]), '"infeasible", or nothing')
        return marks | {
            "status": status,
            "missing": table.get("missing"),
            "sentinels": tuple(entry if isinstance(entry, str) else float(entry) for entry in sentinels),
            "limits": tuple(map(self.limit, limits)),
            "absent": "absent" in table,
        }

    def limit(self, found: Any) -> Limit:
        wanted = 'a name, one of <=, >=, < and >, and a number, such as "util-BRAM <= 0.8"'
        match = LIMIT.fullmatch(found) if isinstance(found, str) else None
        if match is None:
            self.fail("feasibility.limits", f"a list with {_shown(found)}", wanted)
        try:
            bound = float(match["bound"])
        except ValueError:
            bound = float("nan")
        if not abs(bound) < float("inf"):
            self.fail("feasibility.limits", f"a list with {_shown(found)}", wanted)
        return Limit(match["name"], match["sign"], bound)

    def values(self, found: Any) -> dict[str, dict[str, str]]:
        tables = self.table(found, "values", "a table of parameters")
        wanted = 'a table of entries and values, such as { "" = "none" }'
        return {
            name: {
                entry: self.entry(value, f"values.{name}.{entry or _shown(entry)}")
                for entry, value in self.table(table, f"values.{name}", wanted).items()
            }
            for name, table in tables.items()
        }

    def entry(self, found: Any, key: str) -> str:
        if isinstance(found, bool):
            return str(found).lower()
        if not _is_entry(found):
            self.fail(key, _shown(found), "a text, a number, true or false")
        return str(found)


def _is_entry(value: Any) -> bool:
    """Tell whether a log's column could hold the value; TOML's integers have no bounds."""
    return isinstance(value, float | str) or (isinstance(value, int) and abs(value) < 1 << 63)


def _shown(value: Any) -> str:
    """Return what was found, as short text."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
