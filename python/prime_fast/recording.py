"""What a run keeps for its report: a sample of its logs, the predictions it was judged by, its search.

All three are small tables, so that a report needs neither the logs nor the run once more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.logs.writing import write_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prime_fast.logs import Log
    from prime_fast.run_directory import RunDirectory

LOG_SAMPLE, HELD_OUT, SEARCH = "log_sample.parquet", "held_out.parquet", "search.parquet"
MOST_LOGGED = 20_000
"""Designs of all logs that are kept."""
MOST_HELD_OUT = 4_000
"""Held-out designs that are kept of each application, feasible and infeasible ones each."""
BEST_LOGGED = 200
"""The best designs of each log, kept in any case; at most half of what is kept of it."""


class Recorder:
    """Takes what training and search tell of, and keeps it in a run's directory.

    Parameters
    ----------
    run : RunDirectory
    logs : sequence of Log
    names : sequence of str
        Their applications; empty where the one log names none.
    seed : int
        Of the sample.
    """

    def __init__(self, run: RunDirectory, logs: Sequence[Log], names: Sequence[str], seed: int) -> None:
        self.run = run
        write_table(log_sample(logs, names, seed), run.path / LOG_SAMPLE)

    def __call__(self, entry: Mapping[str, Any]) -> None:
        """Write tables as tables, and any other event as a line of ``training.jsonl``."""
        event = entry.get("event")
        if event in ("held_out", "search"):
            columns = {name: values for name, values in entry.items() if name != "event"}
            frame = pl.DataFrame(columns).with_columns(pl.selectors.float().fill_nan(None))
            write_table(frame, self.run.path / (HELD_OUT if event == "held_out" else SEARCH))
        else:
            self.run.records.write(entry)


def log_sample(logs: Sequence[Log], names: Sequence[str], seed: int = 0) -> pl.DataFrame:
    """Return designs of logs: the best of each, and others by chance.

    Returns
    -------
    polars.DataFrame
        At most 20,000 rows: ``application`` (null where the log names none), then the log's own columns. The
        seed decides which.
    """
    each = max(1, MOST_LOGGED // len(logs))
    generator = np.random.default_rng(seed % (1 << 63))
    parts = []
    for place, log in enumerate(logs):
        rows = np.arange(len(log))
        if len(log) > each:
            order = np.lexsort((rows, log.values))
            best = order[: min(BEST_LOGGED, each // 2, int(log.feasible.sum()))]
            rest = generator.choice(np.setdiff1d(rows, best), each - len(best), replace=False)
            rows = np.sort(np.concatenate([best, rest]))
        name = pl.lit(names[place] if names else None, dtype=pl.String)
        frame = log.frame[rows]
        parts.append(
            frame.select(name.alias("application"), pl.exclude("application"))
            if "application" in frame.columns
            else frame.select(name.alias("application"), pl.all())
        )
    return pl.concat(parts, how="diagonal")


def held_out_event(parts: Sequence[tuple[str, Mapping[str, np.ndarray[Any, Any]]]]) -> dict[str, Any]:
    """Return the event of predictions on held-out designs.

    Parameters
    ----------
    parts : sequence of (application, columns)
        Columns of equal length: ``feasible`` (bool), ``logged`` and ``predicted`` (the objective in the log's
        unit, NaN where unknown), ``deviation`` (of the logarithm of the prediction, over the ensemble) and
        ``feasible_probability``.
    """
    counts = [len(columns["feasible"]) for _, columns in parts]
    names = [name for name, _ in parts]
    event: dict[str, Any] = {"event": "held_out", "application": np.repeat(names, counts)}
    for name in ("feasible", "logged", "predicted", "deviation", "feasible_probability"):
        event[name] = np.concatenate([columns[name] for _, columns in parts])
    return event


def search_event(history: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """Return the event of a search: designs scored, and the best prediction by then, in the log's unit."""
    return {
        "event": "search",
        "evaluations": [evaluations for evaluations, _ in history],
        "predicted": [math.exp(score) for _, score in history],
    }


def thinned(rows: np.ndarray[Any, Any], most: int = MOST_HELD_OUT) -> np.ndarray[Any, Any]:
    """Return at most that many rows, evenly apart."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.intp)]


__all__ = ["HELD_OUT", "LOG_SAMPLE", "SEARCH", "Recorder", "held_out_event", "log_sample", "search_event"]
