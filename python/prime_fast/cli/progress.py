"""How long work shows that it goes on: bars on a terminal, else a line now and then; always on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from prime_fast.cli.options import quiet, verbose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVERY_SECONDS = 30.0
"""Time between two lines where there is no terminal."""
WORTH_SECONDS = 5.0
"""A stage that took less is not told at its end, but with --verbose."""


def rate(per_second: float) -> str:
    """Format a rate: three digits, and k, M or G."""
    if per_second < 9.95:
        return f"{per_second:.2g}/s"
    for suffix in ("", "k", "M"):
        if per_second < 999.5:
            return f"{per_second:.0f}{suffix}/s" if suffix == "" else f"{per_second:.3g}{suffix}/s"
        per_second /= 1000
    return f"{per_second:.3g}G/s"


def duration(seconds: float) -> str:
    """Format a time: ``42 s``, ``3:05 min``, ``2:10 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"


class Lines:
    """Plain lines: every so often, and at the end of a stage.

    Parameters
    ----------
    write : callable
        Takes a line.
    every : bool
        Whether the end of a short stage is told too.
    clock : callable
        Returns seconds.
    """

    def __init__(
        self, write: Callable[[str], None], *, every: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.write, self.every, self.clock = write, every, clock
        self.stage = ""
        self.began = self.told = clock()
        self.done = self.total = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take what is done of a stage."""
        now = self.clock()
        if stage != self.stage:
            self.end()
            self.stage, self.began, self.told = stage, now, now
        self.done, self.total = done, total
        if now - self.told < EVERY_SECONDS:
            return
        self.told = now
        speed = done / (now - self.began)
        left = f", {rate(speed)}, {duration((total - done) / speed)} left" if speed > 0 else ""
        share = f" ({done / total:.0%})" if total else ""
        self.write(f"{stage}: {done:,} of {total:,}{share}{left}")

    def end(self) -> None:
        """Tell the end of the stage."""
        seconds = self.clock() - self.began
        if self.stage and (self.every or seconds >= WORTH_SECONDS):
            done = f"{self.done:,}" if self.done == self.total else f"{self.done:,} of {self.total:,}"
            self.write(f"{self.stage}: {done} in {duration(seconds)}")
        self.stage = ""


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None] | None]:
    """Yield a function of stage, done and total that shows them on stderr; None with --quiet."""
    if quiet():
        yield None
        return
    if not sys.stderr.isatty():
        lines = Lines(lambda line: click.echo(line, err=True), every=verbose())
        try:
            yield lines
        finally:
            lines.end()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            seconds = task.finished_time if task.finished else task.elapsed
            told = rate(task.completed / seconds) if seconds and task.completed else ""
            return Text(told, style="progress.data.speed")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show
