"""Shares of feasible designs and latencies of random designs, beside those of PRIME's data set.

PRIME's authors published, for nine applications, how many of their logged designs are feasible and the
smallest, mean and largest latency of these (google-research, prime/README.md; the table's runtimes are
labelled milliseconds but behave like microseconds: `120 us + weight bytes / bandwidth` for both t-RNNs).
Their designs are taken to be uniform draws of the space; ours are.

Equations, over n designs of which F are feasible, with latencies t in us:

- feasible = 100 |F| / n percent; its standard error is at most 50 / sqrt(n) points, 0.05 for a million
- difference = ours - published, in percentage points; ratio = ours / published
- minimum and maximum over a sample are noisy: the minimum by some percent between seeds, the maximum more,
  hence the wide aim for it

What deviates, and why
----------------------
- MobileNetV3: fast designs are too fast (0.4 of the published minimum, 0.3 of the mean). The published
  runtimes are 2 to 3 times MobileNetV2's although it has 0.7 of the operations: its squeeze-and-excite and
  hard-swish must cost much that hardly shrinks with the array. Here they are pooling, element-wise and
  small dense layers, which the cores do at the array's width.
- M5: the published share says that it needs hardly any memory; the stand-in, at a resolution that gives the
  published operations, needs 4.6 MiB of PE memory. M6: its stand-in is slower at best. The networks are not
  public.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.benchmark.comparison import (
    STAND_IN,
    Comparison,
    Kind,
    Progress,
    View,
    by_name,
    read_table,
    rows_until_interrupt,
)
from prime_fast.errors import ConfigurationError, DataError
from prime_fast.simulator import Simulator
from prime_fast.workload import prime_application_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# The aims: a share's distance in percentage points, a ratio's factor either way.
SHARE_POINTS = 3.0
FACTORS = {"min": 1.35, "mean": 1.35, "max": 3.0}
COLUMNS: dict[str, Kind] = {
    "application": "text",
    "infeasible": "count",
    "feasible": "count",
    "max_runtime": "positive",
    "min_runtime": "positive",
    "mean_runtime": "positive",
}


def read_published(path: str | Path) -> dict[str, dict[str, Any]]:
    """Read the published table: a row an application, runtimes in us over the feasible designs.

    Raises
    ------
    ConfigurationError
        If there is no such file.
    DataError
        If a column is missing or a value makes no sense; names the row.
    """
    rows = by_name(read_table(path, COLUMNS), "application", prime_application_names(), path)
    for number, row in enumerate(rows.values(), start=1):
        if not row["feasible"]:
            raise DataError(f"{path}: row {number}: `feasible` is 0; expected at least 1, as it has runtimes")
        if not row["min_runtime"] <= row["mean_runtime"] <= row["max_runtime"]:
            raise DataError(f"{path}: row {number}: the runtimes must ascend from min over mean to max")
    return rows


def compare_calibration(
    applications: Sequence[str] | None = None,
    *,
    designs: int = 1_000_000,
    seed: int = 0,
    published: str | Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare uniformly drawn designs with the published statistics.

    Parameters
    ----------
    applications : sequence of str, optional
        The nine of the paper by default.
    designs : int
        Drawn once, for all applications.
    seed : int
    published : str or Path, optional
        CSV table with the columns application, infeasible, feasible, max_runtime, min_runtime, mean_runtime.
    threads : int, optional
        All processors by default; the result does not depend on it.
    progress : callable, optional
        Called with stage, done and total.

    Returns
    -------
    Comparison
        Columns: application, stand_in, feasible_percent, {min,mean,max}_latency_us; with a published table
        also published_*, feasible_difference_points, {min,mean,max}_ratio; and a column for each reason of
        rejection, percent of all designs. Null where nothing is feasible or published.

    Raises
    ------
    ConfigurationError
        If an application is unknown or a number below 1.
    DataError
        If the published table can't be used.
    """
    if designs < 1:
        raise ConfigurationError(f"designs is {designs}; it must be at least 1")
    table = {} if published is None else read_published(published)
    simulators = {}
    for name in applications or prime_application_names():
        simulator = Simulator(name)
        simulators[simulator.application.name] = simulator
    first = next(iter(simulators.values()))
    drawn = first.space.sample(designs, seed)

    def row(name: str) -> dict[str, Any]:
        simulator = simulators[name]
        scores = simulator.score(drawn, threads)
        latency = scores.latency_us[scores.feasible]
        reasons = np.bincount(scores.reason, minlength=len(scores.reason_names) + 1) / designs
        ours: dict[str, Any] = {
            "application": name,
            "stand_in": simulator.application.is_stand_in,
            "feasible_percent": 100 * float(scores.feasible.mean()),
            "min_latency_us": float(latency.min()) if latency.size else None,
            "mean_latency_us": float(latency.mean()) if latency.size else None,
            "max_latency_us": float(latency.max()) if latency.size else None,
        }
        if published is not None:
            ours |= _beside(ours, table.get(name))
        told = zip(scores.reason_names, reasons[1:], strict=True)
        return ours | {f"{reason}_percent": 100 * float(share) for reason, share in told}

    rows, interrupted = rows_until_interrupt(list(simulators), row, "simulating", progress)
    frame = pl.DataFrame(rows, infer_schema_length=None)
    lines = [STAND_IN] if frame["stand_in"].any() else []
    if published is None:
        lines.append("Compare with the table published with PRIME's data set by --published FILE (CSV).")
        figures: dict[str, float] = {}
    else:
        figures, told_aims = _aims(frame)
        lines += told_aims
    views = _views(first.reason_names, compared=published is not None)
    return Comparison(frame, views, lines, figures, interrupted)


def _beside(ours: dict[str, Any], theirs: dict[str, Any] | None) -> dict[str, Any]:
    """Return the published figures and how far ours are from them."""
    beside: dict[str, Any] = {"published_feasible_percent": None, "feasible_difference_points": None}
    beside |= {f"published_{which}_latency_us": None for which in FACTORS}
    beside |= {f"{which}_ratio": None for which in FACTORS}
    if theirs is None:
        return beside
    share = 100 * theirs["feasible"] / (theirs["feasible"] + theirs["infeasible"])
    beside["published_feasible_percent"] = share
    beside["feasible_difference_points"] = ours["feasible_percent"] - share
    for which in FACTORS:
        latency, published = ours[f"{which}_latency_us"], theirs[f"{which}_runtime"]
        beside[f"published_{which}_latency_us"] = published
        beside[f"{which}_ratio"] = None if latency is None else latency / published
    return beside


def _aims(frame: pl.DataFrame) -> tuple[dict[str, float], list[str]]:
    """Return how many rows are within each aim, and a line an aim that names the others."""
    compared = frame.filter(pl.col("published_feasible_percent").is_not_null())
    within = {"feasible": pl.col("feasible_difference_points").abs() <= SHARE_POINTS}
    texts = {"feasible": f"share within {SHARE_POINTS:g} points"}
    for which, factor in FACTORS.items():
        within[which] = pl.col(f"{which}_ratio").is_between(1 / factor, factor).fill_null(value=False)
        texts[which] = f"{which} within a factor of {factor:g}"
    figures, lines = {}, []
    for which, condition in within.items():
        outside = compared.filter(~condition)["application"].to_list()
        figures[f"{which}_within"] = float(compared.height - len(outside))
        line = f"{texts[which]}: {compared.height - len(outside)} of {compared.height}"
        lines.append(line + (f"; not {', '.join(outside)}" if outside else ""))
    return figures, lines


def _views(reasons: list[str], *, compared: bool) -> list[View]:
    share = [("", "application", ""), ("feasible\nours", "feasible_percent", ".1f")]
    latency = [("", "application", "")]
    if compared:
        share += [
            ("\npublished", "published_feasible_percent", ".1f"),
            ("\npoints", "feasible_difference_points", "+.1f"),
        ]
    share += [(reason.replace("_", "\n", 1), f"{reason}_percent", ".1f") for reason in reasons]
    for which in FACTORS:
        latency.append((f"{which}\nours", f"{which}_latency_us", ".1f" if which == "min" else ".0f"))
        if compared:
            latency += [
                ("\npubl.", f"published_{which}_latency_us", ".1f" if which == "min" else ".0f"),
                ("\nratio", f"{which}_ratio", ".2f"),
            ]
    return [View("Designs, percent", share), View("Latency of the feasible designs, us", latency)]
