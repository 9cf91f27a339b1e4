"""How far a design lies from what was logged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from prime_fast.analysis.runs import FinishedRun
    from prime_fast.space import Ranks


@dataclass(frozen=True)
class Distance:
    """How far a design lies from the log.

    Attributes
    ----------
    changed_parameters : int
        The fewest parameters by which it differs from a feasible logged design.
    rank_distance : int
        The least sum, over the parameters, of how many values apart the two designs are (categories: 1
        where they differ); of any feasible logged design.
    nearest : polars.DataFrame
        The nearest feasible logged designs, the fewest changed parameters first, then the least rank
        distance: ``application``, ``changed_parameters``, ``rank_distance``, the logged objective and the
        parameters.
    parameters : polars.DataFrame
        One row a parameter: ``parameter``, ``value``, and how many designs ``logged`` and
        ``logged_feasible`` have that value.
    applications : polars.DataFrame
        One row an application of the log: ``application``, ``designs``, ``feasible``, ``predicted`` (of the
        design), ``best_logged`` (feasible and within the limits; null where none is), ``share_better``
        (share of the feasible logged designs with a lower objective than predicted), ``deviation`` (of the
        ensemble on the design), ``median_logged_deviation`` and ``share_deviating_less`` (of the feasible
        logged designs).
    """

    changed_parameters: int
    rank_distance: int
    nearest: pl.DataFrame
    parameters: pl.DataFrame
    applications: pl.DataFrame

    @property
    def never_feasible(self) -> list[str]:
        """Parameters whose value no feasible logged design has."""
        return self.parameters.filter(pl.col("logged_feasible") == 0)["parameter"].to_list()


def distance(run: FinishedRun, design: Ranks, neighbours: int = 5) -> Distance:
    """Compare a design of shape (parameters,) with the log of a run; the log must have been read."""
    space, task = run.space, run.task
    categorical = np.array(space.kinds) == "categorical"
    value_of = space.frame(design[None]).row(0)
    parts, rows = [], []
    counts = np.zeros((2, space.dimensions), np.int64)
    for name, log in task.logs.items():
        same = log.ranks == design
        counts += np.stack([same.sum(axis=0), same[log.feasible].sum(axis=0)])
        feasible = log.ranks[log.feasible]
        apart = np.abs(feasible.astype(np.int64) - design.astype(np.int64))
        # Nothing lies between categories.
        apart = np.where(categorical, apart > 0, apart)
        parts.append(
            (name, feasible, log.objective[log.feasible], (apart > 0).sum(axis=1), apart.sum(axis=1))
        )
        context = task.context(name)
        mine = run.surrogate.predict(design[None], context)
        others = run.surrogate.predict(feasible, context).deviation
        predicted, deviation = float(mine.objective[0]), float(mine.deviation[0])
        rows.append(
            {
                "application": name,
                "designs": len(log.ranks),
                "feasible": len(feasible),
                "predicted": predicted,
                "best_logged": task.best_logged(name),
                "share_better": float((log.objective[log.feasible] < predicted).mean()),
                "deviation": deviation,
                "median_logged_deviation": float(np.median(others)),
                "share_deviating_less": float((others < deviation).mean()),
            }
        )
    found = _nearest(run, parts, neighbours)
    table = pl.DataFrame(
        {
            "parameter": space.names,
            "value": [str(value) for value in value_of],
            "logged": counts[0],
            "logged_feasible": counts[1],
        }
    )
    return Distance(
        min(int(part[3].min()) for part in parts),
        min(int(part[4].min()) for part in parts),
        found,
        table,
        pl.DataFrame(rows, schema_overrides={"best_logged": pl.Float64}),
    )


def _nearest(run: FinishedRun, parts: list[tuple[Any, ...]], neighbours: int) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    found: list[Ranks] = []
    for name, feasible, objective, changed, apart in parts:
        order = np.lexsort((objective, apart, changed))[:neighbours]
        found.append(feasible[order])
        rows += [
            {
                "application": name,
                "changed_parameters": int(changed[row]),
                "rank_distance": int(apart[row]),
                run.objective: float(objective[row]),
            }
            for row in order
        ]
    keys = ["changed_parameters", "rank_distance", run.objective]
    values = run.space.frame(np.concatenate(found))
    return pl.DataFrame(rows).hstack(values).sort(keys, maintain_order=True).head(neighbours)
