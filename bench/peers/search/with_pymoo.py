"""pymoo: genetic algorithm and NSGA-II on integers; duplicates removed, constraints by Deb's rules.

A run ends once the optimum is hit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.evaluator import Evaluator
from pymoo.core.problem import Problem
from pymoo.core.variable import Integer
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.rm import ChoiceRandomMutation
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.problems.static import StaticProblem

from peers.search.recording import Recorder

DISTRIBUTION = "pymoo"
OBJECTIVES = (1, 2)
POPULATION = 200


def search(recorder: Recorder, seed: int, _method: str) -> None:
    """Ask and tell until the budget is used."""
    searched = recorder.problem
    upper = np.array(searched.cardinalities) - 1
    problem = Problem(
        n_var=len(upper), n_obj=searched.objectives, n_ieq_constr=1, xl=0 * upper, xu=upper, vtype=int
    )
    # What the mutation draws from.
    problem.vars = {position: Integer(bounds=(0, last)) for position, last in enumerate(upper)}
    kind: Any = NSGA2 if searched.objectives == 2 else GA
    algorithm = kind(
        pop_size=POPULATION,
        sampling=IntegerRandomSampling(),
        crossover=UX(),
        mutation=ChoiceRandomMutation(),
        eliminate_duplicates=True,
    )
    algorithm.setup(problem, termination=("n_eval", 10 * recorder.evaluations), seed=seed, verbose=False)
    while recorder.left and not recorder.hit:
        asked = algorithm.ask()
        if not len(asked):
            break
        scores, violations = recorder(asked.get("X").astype(np.int64))
        values = {"F": scores.reshape(len(asked), -1), "G": violations[:, None]}
        Evaluator().eval(StaticProblem(problem, **values), asked)
        algorithm.tell(infills=asked)
    if searched.objectives == 2:
        recorder.final = algorithm.pop.get("X").astype(np.int64)
