"""How a design stands to the limits that its log shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from prime_fast.analysis.runs import FinishedRun
    from prime_fast.space import Ranks

SCHEMA: dict[str, Any] = {
    "application": pl.String,
    "constraint": pl.String,
    "quantity": pl.String,
    "at_least": pl.Boolean,
    "bound": pl.Float64,
    "infeasible": pl.Int64,
    "value": pl.Float64,
    "slack": pl.Float64,
    "kept": pl.Boolean,
}


def learned_constraints(run: FinishedRun, design: Ranks) -> pl.DataFrame:
    """Return a row for each learned constraint of the applications designed for; see `Analysis`."""
    space, one = run.space, design[None]
    rows = []
    for name in run.task.applications:
        for constraint in run.surrogate.constraints_of(run.task.context(name)):
            # Products come from logarithms: 28 rather than 27.999999999999996.
            value = float(f"{constraint.values(space, one)[0]:.12g}")
            bound = constraint.bound
            below = bound / value if value > 0.0 else math.inf
            rows.append(
                {
                    "application": name,
                    "constraint": str(constraint),
                    "quantity": constraint.quantity,
                    "at_least": constraint.at_least,
                    "bound": bound,
                    "infeasible": constraint.infeasible,
                    "value": value,
                    "slack": value / bound if constraint.at_least else below,
                    "kept": bool(constraint.excess(space, one)[0] == 0.0),
                }
            )
    return pl.DataFrame(rows, schema=SCHEMA)
