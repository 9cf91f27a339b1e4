"""How many queries refinement needs to be near the optimum, beside searches that have no log.

For an application and a seed a log is made as `protocol` says, a surrogate trained on it alone, and then the
simulator, the hidden truth until now, is asked: by refinement from the surrogate on, and by searches from
nothing, each as many times. The yardstick is the proven optimum within the area. The log's own designs are
not counted as queries: it lies there. Every query of refinement is, the proposals' verification too.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.benchmark.online import ONLINE_METHODS, SimulatedObjective, online_search
from prime_fast.benchmark.printed_table import FAILED, Table, cell
from prime_fast.benchmark.protocol import LogSettings, training_log
from prime_fast.benchmark.runner import RunnerDirectory
from prime_fast.benchmark.statistics import geometric_mean
from prime_fast.errors import ConfigurationError, did_you_mean
from prime_fast.workload import Application, prime_application_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from prime_fast.benchmark.comparison import Progress
    from prime_fast.benchmark.jobs import Row

KIND = "prime-fast benchmark refine"
REFINE = "refine"
METHODS = (REFINE, "genetic", "firefly", "bayesian")
SHARES = (0.05, 0.01)
"""How near to the optimum counts as there."""
CHECKPOINTS = (16, 32, 64)
"""Queries after which methods are compared, beside all of them."""


@dataclass(frozen=True)
class RefineSettings:
    """What all jobs share.

    Attributes
    ----------
    log : LogSettings
    area_mm2 : float
        Limit.
    budget : {"quick", "standard", "thorough"}
        Of the surrogate's training and of the search for the proposals.
    queries : int
        That each method may make.
    batch : int
        Designs a round of refinement.
    acquisition : str
        As for `prime_fast.refine`.
    """

    log: LogSettings = field(default_factory=LogSettings)
    area_mm2: float = 29.0
    budget: str = "standard"
    queries: int = 64
    batch: int = 4
    acquisition: str = "mean"


@dataclass(frozen=True)
class RefineJob:
    """One method on one application with one seed."""

    method: str
    application: str
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Return the job as what JSON can hold."""
        return dataclasses.asdict(self)

    @property
    def key(self) -> str:
        """A name for files."""
        return f"{self.method}-{self.application.replace(' ', '_')}-{self.seed}"


def run_refine_job(work: tuple[RefineJob, RefineSettings]) -> Row:
    """Return the curve of a job: each improvement as queries made by then and latency over the optimum."""
    from prime_fast.exact import solve
    from prime_fast.simulator import Simulator

    job, settings = work
    limits = {"area_mm2": settings.area_mm2}
    start = time.perf_counter()
    if job.method == REFINE:
        values, extra = _refined(job, settings, limits)
    else:
        simulator = Simulator(job.application)
        found = online_search(
            job.method, SimulatedObjective([simulator]), simulator.space, limits, settings.queries, job.seed
        )
        values, extra = found.curve, {"queries": found.queries, "feasible": found.feasible}
    seconds = time.perf_counter() - start
    # Asked for last: nothing of it can reach the methods.
    optimum_us = solve(job.application, limits).score
    curve = [[made, value / optimum_us] for made, value in values]
    return {"optimum_us": optimum_us, "curve": curve, "seconds": seconds, **extra}


def _refined(
    job: RefineJob, settings: RefineSettings, limits: dict[str, float]
) -> tuple[list[tuple[int, float]], dict[str, Any]]:
    from prime_fast.evaluation.evaluators import SimulatorEvaluator, evaluate
    from prime_fast.evaluation.results import Designs
    from prime_fast.offline import OfflineTask, run_offline
    from prime_fast.refinement import Refinement
    from prime_fast.simulator import Simulator
    from prime_fast.surrogate import Surrogate

    simulator = Simulator(job.application)
    log = training_log(job.application, job.seed, settings.log)
    task = OfflineTask(simulator.space, {job.application: log}, limits=limits)
    offline = run_offline("default", task, seed=job.seed, budget=settings.budget)
    if not isinstance(offline.surrogate, Surrogate):
        raise ConfigurationError("refinement needs a method that trains a network")
    refinement = Refinement(
        task, offline.surrogate, offline.designs, acquisition=settings.acquisition, seed=job.seed
    )
    evaluator = SimulatorEvaluator({job.application: simulator})
    values: list[float] = []
    while len(values) < settings.queries:
        designs = refinement.ask(min(settings.batch, settings.queries - len(values)))
        if not len(designs):
            break
        results = evaluate(evaluator, Designs(simulator.space, designs, job.application))
        values += results["latency_us"].fill_null(math.inf).to_list()
        refinement.tell(designs, {job.application: results})
    curve: list[tuple[int, float]] = []
    for made, value in enumerate(values, 1):
        if value < (curve[-1][1] if curve else math.inf):
            curve.append((made, value))
    return curve, {"queries": len(values), "feasible": int(np.isfinite(values).sum())}


def compare_refining(
    out: str | Path,
    applications: Sequence[str] = (),
    *,
    methods: Sequence[str] = METHODS,
    seeds: int = 3,
    settings: RefineSettings | None = None,
    workers: int = 1,
    threads: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
) -> tuple[list[Table], pl.DataFrame]:
    """Run what is missing in a directory; return tables, and a row a run.

    Parameters
    ----------
    out : path
    applications : sequence of str
        The nine of the PRIME paper by default.
    methods : sequence of str
        ``"refine"``, or of `online.ONLINE_METHODS`.
    seeds : int
    settings : RefineSettings, optional
    workers, threads, ray
        As for `prime_fast.parallel.for_each`.
    progress : callable, optional
        Called with stage, runs done and runs in all.

    Raises
    ------
    ConfigurationError, DataError
        One sentence that says what is wrong and what would be right.
    """
    settings = settings or RefineSettings()
    names = [Application.bundled(name).name for name in applications] or prime_application_names()
    known = (REFINE, *ONLINE_METHODS)
    for method in methods:
        if method not in known:
            raise ConfigurationError(
                f"unknown method `{method}`{did_you_mean(method, known)}; known: {', '.join(known)}"
            )
    for name, value in (("seeds", seeds), ("queries", settings.queries), ("batch", settings.batch)):
        if value < 1:
            raise ConfigurationError(f"{name} is {value}; it must be at least 1")
    jobs = [
        RefineJob(method, name, seed)
        for seed in range(seeds)
        for name in dict.fromkeys(names)
        for method in dict.fromkeys(methods)
    ]
    directory = RunnerDirectory(
        out,
        dataclasses.asdict(settings),
        {
            "applications": list(dict.fromkeys(names)),
            "methods": list(dict.fromkeys(methods)),
            "seeds": list(range(seeds)),
        },
        kind=KIND,
    )
    rows = directory.complete(
        jobs, settings, run_refine_job, workers=workers, threads=threads, ray=ray, progress=progress
    )
    return refining_tables(rows, settings)


def _to(curve: list[list[float]], ratio: float) -> float:
    """Return the queries after which a curve is at a ratio to the optimum, infinity where it never is."""
    return min((made for made, value in curve if value <= ratio), default=math.inf)


def refining_tables(
    rows: Mapping[RefineJob, Row], settings: RefineSettings
) -> tuple[list[Table], pl.DataFrame]:
    """Return tables and a row a run.

    There is a table of the queries to each nearness and one of the latency over the optimum after so many
    queries, by application and method, and one over all applications.
    """
    checkpoints = sorted({min(count, settings.queries) for count in (*CHECKPOINTS, settings.queries)})
    runs = pl.DataFrame(
        [
            {
                "application": job.application,
                "method": job.method,
                "seed": job.seed,
                **{f"to_{share:.0%}": _to(row["curve"], 1.0 + share) for share in SHARES},
                **{
                    f"after_{count}": min(
                        (value for made, value in row["curve"] if made <= count), default=math.inf
                    )
                    for count in checkpoints
                },
                "queries": row["queries"],
                "feasible": row["feasible"],
                "seconds": row["seconds"],
            }
            for job, row in rows.items()
        ]
    )
    methods = runs["method"].unique(maintain_order=True).to_list()
    seeds = runs["seed"].n_unique()
    tables = [_overall(runs, methods, checkpoints, settings)]
    fails = f"{FAILED}: not within {settings.queries} queries"
    for column, what, note in (
        *(
            (
                f"to_{share:.0%}",
                f"Queries to within {share:.0%} of the optimum",
                f"(lowest-highest); {fails}.",
            )
            for share in SHARES
        ),
        *(
            (f"after_{count}", f"Latency over the optimum after {count} queries", "; extremes in the CSV.")
            for count in checkpoints
        ),
    ):
        counted = column.startswith("to_")
        lines: list[Row] = []
        for name in runs["application"].unique(maintain_order=True):
            line: Row = {"application": name}
            for method in methods:
                values = runs.filter((pl.col("application") == name) & (pl.col("method") == method))[column]
                if len(values):
                    line |= _spread(method, values, shown=counted)
            lines.append(line)
        frame = pl.DataFrame(lines, infer_schema_length=None)
        columns = [("", "application", "")]
        columns += [
            (method, f"{method}_shown" if counted else method, "" if counted else ".3f") for method in methods
        ]
        notes = [f"Median of {seeds} seeds{' ' if counted else ''}{note}"]
        tables.append(Table(column.replace("%", "-percent"), what, frame, columns, notes))
    return tables, runs


def _spread(method: str, values: pl.Series, *, shown: bool) -> Row:
    """Return the median of some runs and their extremes, and these in one text if they are to be shown."""
    low, middle, high = (
        float(np.quantile(values.to_numpy(), share, method="inverted_cdf")) for share in (0.0, 0.5, 1.0)
    )
    line: Row = {method: middle, f"{method}_low": low, f"{method}_high": high}
    if shown:
        extremes = f" ({cell(low, '.0f')}-{cell(high, '.0f')})" if low < high else ""
        line[f"{method}_shown"] = cell(middle, ".0f") + extremes
    return line


def _overall(
    runs: pl.DataFrame, methods: Sequence[str], checkpoints: Sequence[int], settings: RefineSettings
) -> Table:
    """Return a row a method: over all applications and seeds."""
    lines: list[Row] = []
    for method in methods:
        own = runs.filter(pl.col("method") == method)
        line: Row = {"method": method, "runs": own.height}
        for share in SHARES:
            needed = own[f"to_{share:.0%}"].to_numpy()
            line[f"to_{share:.0%}"] = float(np.quantile(needed, 0.5, method="inverted_cdf"))
            line[f"reached_{share:.0%}"] = 100.0 * float(np.isfinite(needed).mean())
        for count in checkpoints:
            line[f"after_{count}"] = geometric_mean(own[f"after_{count}"].to_numpy())
        lines.append(line)
    columns = [
        ("", "method", ""),
        *(
            column
            for share in SHARES
            for column in (
                (f"queries\nto {share:.0%}", f"to_{share:.0%}", ".0f"),
                (f"reached\n{share:.0%}, %", f"reached_{share:.0%}", ".0f"),
            )
        ),
        *((f"after\n{count}", f"after_{count}", ".3f") for count in checkpoints),
    ]
    title = f"Queries to near the proven optimum within {settings.area_mm2:g} mm2, all applications and seeds"
    notes = [
        f"Queries: median of {runs.height // len(methods)}; {FAILED}: most need over {settings.queries}.",
        "Reached: share of the runs. After: latency over the optimum after so many queries, geometric mean;",
        f"{FAILED}: some run knew no feasible design by then. The log of refine counts as no query.",
    ]
    return Table("overall", title, pl.DataFrame(lines, infer_schema_length=None), columns, notes)


__all__ = ["METHODS", "RefineJob", "RefineSettings", "compare_refining", "refining_tables", "run_refine_job"]
