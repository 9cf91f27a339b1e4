"""One table of figures, as it is printed and as it is written: Markdown, CSV and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from prime_fast.errors import ConfigurationError
from prime_fast.logs.writing import atomic_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

Column: TypeAlias = tuple[str, str, str]
"""Heading, column of the frame, format specification."""
FAILED = "fail"


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes
    ----------
    name : str
        Of its files.
    title : str
    frame : polars.DataFrame
        All columns.
    columns : list of Column
        Those that are printed.
    notes : list of str
    """

    name: str
    title: str
    frame: pl.DataFrame
    columns: list[Column]
    notes: list[str] = field(default_factory=list)

    def cells(self) -> list[list[str]]:
        """Return what is printed, row by row: a dash where there is no value."""
        return [[cell(row[name], spec) for _, name, spec in self.columns] for row in self.frame.to_dicts()]

    def as_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold: `FAILED` for what is infinite."""
        rows = [
            {
                name: FAILED if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in row.items()
            }
            for row in self.frame.to_dicts()
        ]
        return {"title": self.title, "rows": rows, "notes": self.notes}


def cell(value: Any, spec: str) -> str:
    """Return a value as it is printed: a dash where there is none, `FAILED` where it is infinite."""
    if value is None:
        return "-"
    if isinstance(value, float) and not math.isfinite(value):
        return FAILED
    return format(value, spec)


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    head = [heading.replace("-\n", "").replace("\n", " ").strip() for heading, _, _ in table.columns]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *table.cells()]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([f"## {table.title}", body, *([" ".join(table.notes)] if table.notes else [])]) + "\n"


def write_tables(out: str | Path, tables: Sequence[Table], runs: pl.DataFrame) -> Path:
    """Write each table as Markdown, CSV and JSON, and all runs as CSV; each file whole or not at all.

    A figure of failed runs is infinite: `FAILED` in Markdown and JSON, ``inf`` in CSV. What was not measured
    is a dash, null, and nothing.

    Returns
    -------
    Path
        The directory of the tables, ``tables`` in `out`.

    Raises
    ------
    ConfigurationError
        If a file can't be written.
    """
    directory = Path(out) / "tables"
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{directory}: can't be made: {error.strerror or error}") from None
    texts = {"runs.csv": runs.write_csv()}
    for table in tables:
        texts[f"{table.name}.md"] = markdown(table)
        texts[f"{table.name}.csv"] = table.frame.write_csv()
        texts[f"{table.name}.json"] = json.dumps(table.as_dict(), indent=1, allow_nan=False)
    for name, text in texts.items():
        with atomic_file(directory / name) as file:
            file.write(text.encode())
    return directory
