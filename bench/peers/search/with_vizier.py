"""Google Vizier's Eagle designer, in its own process; a run ends once the optimum is hit.

`penalty` (the default) tells infeasible designs a score above all feasible ones, by violation; `infeasible`
tells them as such, and the designer leaves them out.
"""

from __future__ import annotations

import numpy as np
from vizier import algorithms as vza
from vizier import pyvizier as vz
from vizier._src.algorithms.designers.eagle_strategy import eagle_strategy

from peers.search.recording import Recorder

DISTRIBUTION = "google-vizier"
OBJECTIVES = (1,)


def search(recorder: Recorder, seed: int, method: str) -> None:
    """Suggest and update, one design at a time."""
    problem = recorder.problem
    statement = vz.ProblemStatement()
    for position, (values, categorical) in enumerate(
        zip(problem.cardinalities, problem.categorical, strict=True)
    ):
        if categorical:
            statement.search_space.root.add_categorical_param(f"p{position}", [str(v) for v in range(values)])
        else:
            statement.search_space.root.add_discrete_param(f"p{position}", list(range(values)))
    statement.metric_information.append(
        vz.MetricInformation(name="score", goal=vz.ObjectiveMetricGoal.MINIMIZE)
    )
    designer = eagle_strategy.EagleStrategyDesigner(statement, seed=seed)
    while recorder.left and not recorder.hit:
        (suggestion,) = designer.suggest(1)
        trial = suggestion.to_trial(recorder.count + 1)
        ranks = [int(trial.parameters[f"p{p}"].value) for p in range(problem.dimensions)]
        if method != "infeasible":
            trial.complete(vz.Measurement({"score": float(recorder.penalised(np.array([ranks]))[0])}))
        else:
            scores, violations = recorder(np.array([ranks]))
            reason = "violation" if violations[0] > 0 else None
            trial.complete(vz.Measurement({"score": float(scores[0])}), infeasibility_reason=reason)
        designer.update(vza.CompletedTrials([trial]), vza.ActiveTrials())
