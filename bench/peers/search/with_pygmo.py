"""pygmo: its simple genetic algorithm on integers.

It takes no constraints: infeasible designs score above all feasible ones, by violation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pygmo as pg

from peers.search.recording import Recorder

DISTRIBUTION = "pygmo"
OBJECTIVES = (1,)
POPULATION = 512


class Problem:
    """The recorder's problem as pygmo wants it."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def __deepcopy__(self, memo: object) -> Problem:
        """Return itself: pygmo copies, but there is one count."""
        return self

    def fitness(self, design: Any) -> Any:
        """Return the score of one design."""
        return self.recorder.penalised(design[None].astype(np.int64))

    def get_bounds(self) -> tuple[list[float], list[float]]:
        """Return least and greatest ranks."""
        cardinalities = self.recorder.problem.cardinalities
        return [0.0] * len(cardinalities), [values - 1.0 for values in cardinalities]

    def get_nix(self) -> int:
        """All of them are integers."""
        return self.recorder.problem.dimensions


def search(recorder: Recorder, seed: int, _method: str) -> None:
    """Run until the budget is used; uniform crossover is `binomial` at 0.5."""
    population = pg.population(pg.problem(Problem(recorder)), size=POPULATION, seed=seed)
    algorithm = pg.sga(
        gen=-(-recorder.left // POPULATION),
        cr=0.5,
        m=1 / recorder.problem.dimensions,
        crossover="binomial",
        mutation="uniform",
        selection="tournament",
        param_s=2,
        seed=seed,
    )
    pg.algorithm(algorithm).evolve(population)
