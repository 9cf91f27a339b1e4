"""pymoors: genetic algorithm and NSGA-II.

Sampling and mutation are NumPy operators of ours, since the package's have one range for all genes, or none
for integers; their time is not counted as the peer's. The package asks for its parents' scores again in every
generation; those are remembered and not counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pymoors

from peers.search.recording import Recorder

DISTRIBUTION = "pymoors"
OBJECTIVES = (1, 2)
POPULATION = 512


class Operators:
    """Sampler and mutation, uniform over each gene's values."""

    def __init__(self, recorder: Recorder, seed: int) -> None:
        self.recorder = recorder
        self.generator = np.random.default_rng(seed)
        self.cardinalities = np.array(recorder.problem.cardinalities)

    def operate(self, genes: Any = None) -> Any:
        """Return a first population, or one with each gene reset at a rate of 1 / d."""
        with self.recorder.outside():
            shape = (POPULATION, len(self.cardinalities)) if genes is None else genes.shape
            drawn = self.generator.integers(0, self.cardinalities, shape).astype(np.float64)
            if genes is None:
                return drawn
            return np.where(self.generator.random(shape) < 1 / len(self.cardinalities), drawn, genes)


def search(recorder: Recorder, seed: int, _method: str) -> None:
    """Run with the violation as a constraint; exact duplicates removed."""
    violations: list[Any] = []

    def fitness(genes: Any) -> Any:
        scores, found = recorder.again(genes.astype(np.int64))
        violations[:] = [found]
        return scores

    def constraint(genes: Any) -> Any:
        assert len(genes) == len(violations[0])
        return violations[0][:, None]

    kind = pymoors.Nsga2 if recorder.problem.objectives == 2 else pymoors.GeneticAlgorithmSOO
    algorithm = kind(
        sampler=Operators(recorder, seed),
        crossover=pymoors.UniformBinaryCrossover(),
        mutation=Operators(recorder, seed + 1_000_000),
        fitness_fn=fitness,
        constraints_fn=constraint,
        duplicates_cleaner=pymoors.ExactDuplicatesCleaner(),
        num_vars=recorder.problem.dimensions,
        population_size=POPULATION,
        num_offsprings=POPULATION,
        num_iterations=-(-recorder.evaluations // POPULATION),
        mutation_rate=1.0,
        crossover_rate=0.9,
        keep_infeasible=True,
        verbose=False,
        seed=seed,
    )
    algorithm.run()
    if recorder.problem.objectives == 2:
        recorder.final = algorithm.population.genes.astype(np.int64)
