"""What the simulator says once the proposals are made: their true figures, and those of reference designs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.designs import CACHING, reference_design
from prime_fast.offline import combined
from prime_fast.simulator import Simulator
from prime_fast.workload import application_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prime_fast.logs import Log
    from prime_fast.offline import OfflineTask
    from prime_fast.space import DesignSpace, Ranks
    from prime_fast.workload import Application

# Objectives that the simulator gives.
SIMULATED = ("latency_us", "energy_uj")

EDGE_TPU_V1 = reference_design("edge-tpu-v1")
# The template's parameters: all that V1 has values for, but the optional one.
TEMPLATE = EDGE_TPU_V1.values.keys() - {CACHING}


def simulators_for(
    names: list[str], space: DesignSpace, objective: str, own: Mapping[str, Application] | None = None
) -> list[Simulator]:
    """Return a simulator an application, `own` ones among them; none where it doesn't know the objective."""
    if objective not in SIMULATED or TEMPLATE - set(space.names) or "area_mm2" not in space.metric_names:
        return []
    own = own or {}
    if set(names) - set(application_names()) - own.keys():
        return []
    return [Simulator(own.get(name, name), space) for name in names]


def verify(
    task: OfflineTask, simulators: list[Simulator], designs: Ranks, objective: str, threads: int | None
) -> pl.DataFrame:
    """Simulate each design once an application; the objective is combined as the task says."""
    scores = [simulator.score(designs, threads) for simulator in simulators]
    values = np.stack([getattr(score, objective) for score in scores])
    feasible = np.all([score.feasible for score in scores], axis=0)
    told = zip(*(simulator.explain(designs) for simulator in simulators), strict=True)
    reasons = [next((reason for reason in reasons if reason is not None), None) for reasons in told]
    single = {
        f"simulated_{objective}, {name}": pl.Series(row, nan_to_null=True)
        for name, row in zip(task.applications, values, strict=True)
    }
    return pl.DataFrame(
        {
            f"simulated_{objective}": pl.Series(np.exp(combined(task, np.log(values))), nan_to_null=True),
            **(single if len(simulators) > 1 else {}),
            "feasible": feasible,
            "reason": pl.Series(reasons, dtype=pl.String),
        }
    )


def reference_designs(
    task: OfflineTask,
    learned_from: list[str],
    logs: list[Log],
    simulators: list[Simulator],
    objective: str,
    threads: int | None,
) -> tuple[pl.DataFrame, int]:
    """Return the best logged designs and, in a space of the template, the Edge TPU V1; and simulations."""
    space, limits = task.space, task.limits
    rows: list[dict[str, Any]] = []
    queries = 0
    # What is logged needs no simulator where it is the very thing that is designed for.
    alone = len(logs) == 1 and not task.contextual and task.combine != "worst"
    for place, log in enumerate(logs):
        best = log.best(limits)
        if best is None or not (alone or simulators):
            continue
        title = "best logged" if alone else f"best logged, {learned_from[place]}"
        rows.append({"design": title, **{name: best[name] for name in (*space.names, objective)}})
        rows[-1] |= {name: best.get(name) for name in limits}
        if not alone:
            verified = verify(task, simulators, space.designs([best]), objective, threads)
            queries += len(simulators)
            rows[-1][objective] = verified[f"simulated_{objective}"][0]
    if simulators and set(space.names) <= EDGE_TPU_V1.values.keys():
        # Weights are cached as in the space's own designs, unless those differ in it.
        values = {name: EDGE_TPU_V1.values[name] for name in space.names}
        narrowed = space.narrowed(values)
        alike = [Simulator(simulator.application, narrowed) for simulator in simulators]
        designs = narrowed.designs([values])
        verified = verify(task, alike, designs, objective, threads)
        queries += len(alike)
        rows.append({"design": EDGE_TPU_V1.title, **values, objective: verified[f"simulated_{objective}"][0]})
        rows[-1] |= {
            name: float(narrowed.metric(name, designs)[0]) for name in limits if name in space.metric_names
        }
    schema = ["design", *space.names, objective, *(name for name in limits if name != objective)]
    table = pl.DataFrame(rows, schema=schema if not rows else None, infer_schema_length=None)
    return table.select(schema), queries
