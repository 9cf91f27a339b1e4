"""genoxide: genetic algorithm, a (1+1) evolutionary algorithm, and NSGA-II."""

from __future__ import annotations

from typing import Any

import genoxide as gx

from peers.search.recording import Recorder

DISTRIBUTION = "genoxide"
OBJECTIVES = (1, 2)
POPULATION = 512


def search(recorder: Recorder, seed: int, method: str) -> None:
    """Run `ga` (the default), `ls` or, with two objectives, NSGA-II; violations as genoxide takes them."""
    problem = recorder.problem
    genome: Any
    mutation: Any
    if set(problem.cardinalities) == {2}:
        genome, mutation = gx.Binary(problem.dimensions), gx.BitFlip(rate=1 / problem.dimensions)
    else:
        genome = gx.Integer([(0, values - 1) for values in problem.cardinalities])
        mutation = gx.UniformMutation(rate=2 / problem.dimensions)
    if problem.objectives == 2:
        nsga2 = gx.Nsga2(
            genome,
            objectives=["minimize", "minimize"],
            population_size=POPULATION,
            crossover=gx.UniformCrossover(),
            mutation=mutation,
            seed=seed,
        )
        recorder.final = nsga2.run(recorder, evaluations=recorder.evaluations, batch=True).front_genomes
        return
    algorithm: Any
    if method == "ls":
        # A neighbour at a time, kept unless it is worse: the (1+1) EA with standard bit mutation.
        algorithm = gx.LocalSearch(genome, neighbor=mutation, objective="minimize", seed=seed)
    else:
        algorithm = gx.Ga(
            genome,
            population_size=POPULATION,
            select=gx.Tournament(2),
            crossover=gx.UniformCrossover(),
            mutation=mutation,
            scheme=gx.MuPlusLambda(POPULATION),
            objective="minimize",
            seed=seed,
        )
    algorithm.run(recorder, evaluations=recorder.evaluations, batch=True)
