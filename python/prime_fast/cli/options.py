"""What several commands share: options of the form NAME=VALUE, the console, the progress bar."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


space_option = click.option(
    "--space",
    metavar="SPACE",
    help="Design space: a TOML file or the name of a bundled one; PRIME's by default.",
)


class Assignment(click.ParamType[tuple[str, float | str]]):
    """``NAME=VALUE``; the value a number or a text."""

    name = "NAME=VALUE"

    def __init__(self, *, number: bool) -> None:
        self.number = number

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float | str]:
        """Split at the first ``=``."""
        if isinstance(value, tuple):
            return value
        name, found, text = str(value).partition("=")
        if not found or not name.strip() or not text.strip():
            self.fail(f"{value!r} is not of the form NAME=VALUE", param, ctx)
        if not self.number:
            return name.strip(), text.strip()
        try:
            return name.strip(), float(text)
        except ValueError:
            self.fail(f"{text!r} in {value!r} is not a number", param, ctx)


def grouped(assignments: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the values of each name, in the order given."""
    values: dict[str, list[str]] = {}
    for name, value in assignments:
        values.setdefault(name, []).append(value)
    return values


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Yield a callback that draws on stderr, or None where there is no terminal to draw on."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show
