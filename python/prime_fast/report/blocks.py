"""What a report is made of: sections of texts, tables and figures, and how values are written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

DASH, TIMES = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"
# Suffixes of names, and the units as people write them.
UNITS = {
    "us": "µs", "ms": "ms", "ns": "ns", "ps": "ps", "s": "s", "min": "min", "uj": "µJ", "mj": "mJ",
    "nj": "nJ", "pj": "pJ", "j": "J", "mm2": "mm²", "um2": "µm²", "cm2": "cm²", "mw": "mW",
    "uw": "µW", "w": "W", "ghz": "GHz", "mhz": "MHz", "khz": "kHz", "hz": "Hz", "kib": "KiB", "mib": "MiB",
    "gib": "GiB", "bytes": "bytes", "cycles": "cycles",
}  # fmt: skip


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is ``lead`` for a section's answer, ``missing`` for what can't be given and why."""

    text: str
    kind: str = "plain"


@dataclass(frozen=True)
class Cell:
    """A table's cell; `key` is what it sorts by, None last."""

    text: str
    key: float | str | None = None


@dataclass(frozen=True)
class Table:
    """A table; it sorts by a click on a heading if `sortable`.

    Attributes
    ----------
    caption : str
    columns : sequence of (str, bool)
        Heading, and whether its cells are numbers.
    rows, foot : sequence of sequence of Cell
        Rows of `foot` stay where they are.
    marked : int or None
        Row to set off.
    """

    caption: str
    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[Cell]]
    foot: Sequence[Sequence[Cell]] = ()
    sortable: bool = False
    marked: int | None = None


@dataclass(frozen=True)
class Figure:
    """Charts side by side under one caption.

    Attributes
    ----------
    name : str
        Of its files, without a suffix.
    caption : str
        What to see in it.
    alternative : str
        The same for those who can't see it.
    panels : sequence of Altair charts
        Each without a width.
    width : int
        Of each panel in a file, in px.
    least : int
        Width in px below which a page scrolls instead of squeezing the panels.
    """

    name: str
    caption: str
    alternative: str
    panels: Sequence[Any]
    width: int = 520
    least: int = 0


Block: TypeAlias = "Text | Table | Figure"


@dataclass
class Section:
    """A question and what answers it."""

    name: str
    title: str
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """The sections on one run, or those that compare several."""

    name: str
    title: str
    subtitle: str
    sections: list[Section]
    figures: list[tuple[str, str]] = field(default_factory=list)
    """Headline figures: what, and how much."""
    warnings: list[str] = field(default_factory=list)


def quantity(name: str) -> tuple[str, str]:
    """Return what a name stands for and its unit: ``latency_us`` gives latency and µs."""
    stem, _, suffix = name.rpartition("_")
    if stem and suffix.lower() in UNITS:
        return stem.replace("_", " "), UNITS[suffix.lower()]
    return name.replace("_", " "), ""


def axis(name: str, prefix: str = "", unit: str = "") -> str:
    """Return the title of an axis, with its unit."""
    what, known = quantity(name)
    shown = UNITS.get(unit.lower(), unit) or known or "as logged"
    return f"{prefix} {what} ({shown})".strip()


def number(value: float | None, digits: int = 4) -> str:
    """Format a figure to some digits, with thousands separators; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0.0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4:
        return f"{value:.{digits - 1}g}"
    return f"{value:,.{max(0, digits - 1 - size)}f}"


def times(value: float | None) -> str:
    """Format a ratio."""
    return DASH if value is None or not math.isfinite(value) else f"{number(value, 3)}{TIMES}"


def share(value: float | None) -> str:
    """Format a share as a percentage."""
    return DASH if value is None or not math.isfinite(value) else f"{100.0 * value:.0f}%"


def numeric(value: float | None, text: str | None = None) -> Cell:
    """Return the cell of a figure."""
    known = value is not None and math.isfinite(value)
    return Cell(
        number(value) if text is None else text, float(value) if known and value is not None else None
    )


def parameter(value: Any, unit: str = "") -> Cell:
    """Return the cell of a parameter's value; whole KiB and MiB where the unit is bytes."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        text = DASH if value is None else str(value).lower() if isinstance(value, bool) else value
        return Cell(text, text)
    if isinstance(value, int) and unit.startswith("bytes"):
        for suffix, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size and value % size == 0:
                return Cell(f"{value // size:,} {suffix}", float(value))
    return Cell(f"{value:,}" if isinstance(value, int) else f"{value:,.6g}", float(value))
