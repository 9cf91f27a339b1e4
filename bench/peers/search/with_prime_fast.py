"""prime_fast: `search.minimize` with a Python callable, or with the bundled simulator inside Rust.

A method is one of `minimize`'s, `METHOD/BATCH` for other batches than the default, or `METHOD:simulator`;
one thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import prime_fast as pf
from peers.search.recording import Counted, Recorder, gap, hypervolume
from prime_fast.search import SearchResult, minimize

DISTRIBUTION = "prime-fast"
OBJECTIVES = (1, 2)
BATCH, FRONT_BATCH = 512, 256  # what `minimize` takes for a simulator


def search(recorder: Recorder, seed: int, method: str) -> None:
    """Run with the default settings of the method."""
    problem = recorder.problem
    name, _, scorer = method.partition(":")
    name, _, batch = name.partition("/")
    default = BATCH if problem.objectives == 1 else FRONT_BATCH
    settings: dict[str, Any] = {
        "limits": problem.limits,
        "evaluations": recorder.evaluations,
        "seed": seed,
        "batch": int(batch or default),
    }
    if problem.objectives == 2:
        settings |= {"method": name or "nsga2", "objective": ["latency_us", "area_mm2"]}
    elif name:
        settings["method"] = name
    if scorer != "simulator":
        found = minimize(problem.space, recorder, **settings)
        recorder.final = found.found if problem.objectives == 2 else None
        return
    assert problem.application is not None, f"{problem.name} has no simulator"
    with recorder.outside():
        simulator = pf.Simulator(problem.application)
    found = minimize(problem.space, simulator, threads=1, **settings)
    recorder.scorer_s += found.scoring_seconds
    recorder.own_s = found.seconds - found.scoring_seconds
    recorder.counted_elsewhere = counted(recorder, found)


def counted(recorder: Recorder, found: SearchResult) -> Counted:
    """Return the figures of a run inside Rust; every design it proposes is a new one within the limits."""
    problem, evaluations = recorder.problem, found.evaluations
    if problem.objectives == 2:
        # The front of all designs scored.
        volume = hypervolume(problem, found.found_scores)
        share = volume / problem.optimum
        return Counted(evaluations, None, evaluations, None, volume, 1.0 - share, share, share)
    hits = [count for count, score in found.history if problem.reached(np.array([score]))[0]]
    first = hits[0] if hits else None
    best = found.best_score if found.feasible else np.inf
    return Counted(evaluations, first, evaluations, first, best, gap(problem, best))
