"""A sweep in shards on a Ray cluster: one for each value of a parameter, put together to the same result.

A shard is the space with that parameter reduced to one value (`DesignSpace.narrowed`), which leaves every
figure of a design as it is. Counts add up; the best designs and the front are those of the shards' best
designs and fronts.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast import parallel
from prime_fast.exact import TIE
from prime_fast.space import DesignSpace, read_text
from prime_fast.sweeping import FRONT, HISTOGRAMS, SweepResult, sweep
from prime_fast.workload import Application, application_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows of a front that are compared with those before them at a time.
ROWS = 256


def sweep_on_ray(
    application: str | Application,
    *,
    ray: str,
    limits: Mapping[str, float] | None = None,
    objective: str = "latency_us",
    keep: int = 16,
    front: Sequence[str] = FRONT,
    histograms: Sequence[str] = HISTOGRAMS,
    space: DesignSpace | None = None,
    technology: str | Path | Mapping[str, float | bool] | None = None,
    threads: int | None = None,
    callback: Callable[[int, float | None, float], None] | None = None,
) -> SweepResult:
    """Simulate all designs of a space on a Ray cluster.

    Parameters
    ----------
    application : str or Application
        As for `Simulator`.
    ray : str
        As for `prime_fast.parallel.for_each`.
    threads : int, optional
        Of a shard, 1 by default.
    limits, objective, keep, front, histograms, space, technology, callback
        As for `sweep`; the callback is called after each shard.

    Returns
    -------
    SweepResult
        That of `sweep`, but that ties of a shard are counted from its own least objective, which may exceed
        the least of all by the same share of 1e-9.

    Raises
    ------
    ConfigurationError
        As `sweep` and `prime_fast.parallel.for_each`.
    """
    start = time.perf_counter()
    space = space if space is not None else DesignSpace.bundled("prime")
    if isinstance(technology, str | Path):
        # The nodes of a cluster need not have the file.
        technology = tomllib.loads(read_text(technology, "technology constants"))
    options = {
        "limits": dict(limits or {}),
        "objective": objective,
        "keep": keep,
        "front": list(front),
        "histograms": list(histograms),
        "technology": technology,
        "threads": threads or 1,
    }
    # Nor the application's file.
    network = application_named(application)
    work = [(network, shard, options) for shard in shards(space)]
    results: dict[int, SweepResult] = {}
    with closing(parallel.for_each(_sweep, work, ray=ray, threads=threads)) as finished:
        for position, result in finished:
            results[position] = result
            if callback is not None:
                least = [float(one.best[objective][0]) for one in results.values() if one.best.height]
                designs = sum(one.designs for one in results.values())
                callback(designs, min(least, default=None), time.perf_counter() - start)
    merged = merge(space, [results[position] for position in range(len(work))], keep)
    return replace(merged, seconds=time.perf_counter() - start)


def _sweep(work: tuple[Application, DesignSpace, dict[str, Any]]) -> SweepResult:
    application, shard, options = work
    return sweep(application, space=shard, **options)


def shards(space: DesignSpace) -> list[DesignSpace]:
    """Return the space with its numeric parameter of most values reduced to each of these, if it has one."""
    numeric = [
        position
        for position, values in enumerate(space.values)
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    ]
    if not numeric:
        return [space]
    position = max(numeric, key=lambda position: space.cardinalities[position])
    return [space.narrowed({space.names[position]: value}) for value in space.values[position]]


def merge(space: DesignSpace, parts: Sequence[SweepResult], keep: int) -> SweepResult:
    """Put the results of all shards of a space together."""
    first = parts[0]

    def together(frames: list[pl.DataFrame], by: Sequence[str]) -> pl.DataFrame:
        # A shard's one value may be of another dtype than all of them.
        designs = np.concatenate([space.ranks_from_frame(frame) for frame in frames])
        figures = pl.concat([frame.drop("index", *space.names) for frame in frames])
        index = pl.DataFrame({"index": space.indices(designs)})
        return pl.concat([index, space.frame(designs), figures], how="horizontal").sort(*by, "index")

    best = together([part.best for part in parts], [first.objective])
    front = together([part.front for part in parts], first.front_measures)
    if first.front_measures and front.height:
        front = front.filter(pl.Series(_undominated(front.select(first.front_measures).to_numpy())))
    histograms = pl.concat([part.histograms for part in parts])
    names = list(dict.fromkeys(histograms["metric"]))
    histograms = pl.concat(
        [
            histograms.filter(pl.col("metric") == name)
            .group_by("metric", "lower", "upper")
            .agg(pl.col("count").sum())
            .sort("lower")
            for name in names
        ]
        or [histograms]
    )
    least = float(best[first.objective][0]) if best.height else np.inf
    return replace(
        first,
        space=space,
        best=best.head(keep),
        front=front,
        histograms=histograms,
        designs=sum(part.designs for part in parts),
        feasible=sum(part.feasible for part in parts),
        within_limits=sum(part.within_limits for part in parts),
        rejected={name: sum(part.rejected[name] for part in parts) for name in first.rejected},
        ties=sum(
            part.ties
            for part in parts
            if part.best.height and float(part.best[first.objective][0]) <= least + TIE * abs(least)
        ),
        complete=all(part.complete for part in parts),
    )


def _undominated(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which rows of a sorted array no other is at least as good as; of equal ones the first."""
    kept: NDArray[np.float64] = values[:0]
    mask = np.zeros(len(values), np.bool_)
    for start in range(0, len(values), ROWS):
        rows = values[start : start + ROWS]
        # Whatever is at least as good stands before, as rows are sorted.
        worse = np.all(kept[None] <= rows[:, None], axis=2)
        among = np.all(rows[None] <= rows[:, None], axis=2) & np.tri(len(rows), k=-1, dtype=np.bool_)
        good = ~(np.any(worse, axis=1) | np.any(among, axis=1))
        mask[start : start + ROWS] = good
        kept = np.concatenate([kept, rows[good]])
    return mask
