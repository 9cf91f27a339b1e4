"""nevergrad: a discrete optimiser by ask and tell; a run ends once the optimum is hit.

Infeasible designs score above all feasible ones, by violation.
"""

from __future__ import annotations

import nevergrad as ng
import numpy as np

from peers.search.recording import Recorder

DISTRIBUTION = "nevergrad"
OBJECTIVES = (1,)
OPTIMIZER = "DiscreteOnePlusOne"


def search(recorder: Recorder, seed: int, method: str) -> None:
    """Ask and tell, one design at a time."""
    problem = recorder.problem
    last = np.array(problem.cardinalities) - 1.0
    # Near the middle, around which the package draws, but not quite: of bits that is a string of equal ones,
    # at times the optimum.
    first = last / 2 + np.random.default_rng(seed).uniform(-0.1, 0.1, len(last))
    parameters = ng.p.Array(init=first, lower=0 * last, upper=last).set_integer_casting()
    parameters.random_state.seed(seed)
    optimizer = ng.optimizers.registry[method or OPTIMIZER](parameters, budget=recorder.evaluations)
    while recorder.left and not recorder.hit:
        asked = optimizer.ask()
        optimizer.tell(asked, float(recorder.penalised(asked.value[None].astype(np.int64))[0]))
