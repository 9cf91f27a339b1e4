"""A stand-in for the evaluation's jobs with figures known beforehand; in a module that workers can import."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from prime_fast.benchmark.jobs import Job, RunSettings
from prime_fast.errors import ConfigurationError

OPTIMUM_US = 100.0
LOGGED_US = 300.0
# Best of 16 over the optimum, before the seed's hundredths.
RATIOS = {"default": 1.0, "prime": 1.5, "regression": 2.0}
#: `random` fails with this seed.
FAILING_SEED = 1


def made_up(work: tuple[Job, RunSettings]) -> dict[str, Any]:
    """Return a row as `run_job` would."""
    job, settings = work
    if job.kind == "optimum":
        return {"latency_us": OPTIMUM_US, "proved": True, "design": 0, "error": None}
    if job.kind == "online":
        curve = [[50, 180.0], [400, 120.0], [900, 100.0 + job.seed]]
        return {"curve": curve, "queries": 1000, "latency_us": curve[-1][1], "error": None}
    best_us: float | None = OPTIMUM_US * (RATIOS.get(job.method, 3.0) + 0.01 * job.seed)
    if job.method == "random" and job.seed == FAILING_SEED:
        best_us = None
    return {
        "designs": [1],
        "predicted_us": [100.0],
        "feasible_probability": [1.0],
        "seconds": {"training": 1.0},
        "error": None,
        "proposing_seconds": 1.0,
        "simulator_queries": 0,
        "asked": settings.proposals,
        "latency_us": [best_us],
        "first_us": best_us,
        "best_of_16_us": best_us,
        "best_of_128_us": None,
        "median_us": best_us,
        "feasible_share": 0.0 if best_us is None else 1.0,
        "proposed": 1,
        "duplicates": 0,
        "already_logged": 0,
        "predicted_over_true": None,
        "proposals_tau": None,
        "best_logged_us": LOGGED_US,
        "nearest_us": None if set(job.targets) & set(job.training) else 2 * LOGGED_US,
        "average_us": None,
        "total_seconds": 1.0,
    }


def not_the_first(work: tuple[Job, RunSettings]) -> dict[str, Any]:
    """Work like `made_up`, but end in an error at the jobs of seed 1."""
    if work[0].seed == 1:
        raise ConfigurationError("seed 1 can't be run")
    return made_up(work)


def waiting(place: Path, work: tuple[Job, RunSettings]) -> dict[str, Any]:
    """Work like `made_up`, leave a file named as the process, and wait for one named ``go``."""
    if work[0].kind == "offline":
        (place / f"{work[0].key}.{os.getpid()}").touch()
        while not (place / "go").exists():
            time.sleep(0.05)
    return made_up(work)


def threads(_number: int) -> list[str | None]:
    """Return the numbers of threads that the environment asks for."""
    return [os.environ.get(name) for name in ("NPROC", "RAYON_NUM_THREADS", "OMP_NUM_THREADS")]


def ended(number: int) -> int:
    """End the process without a word."""
    os._exit(number + 1)
