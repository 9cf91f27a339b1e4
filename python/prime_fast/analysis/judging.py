"""What surrogate and simulator say of designs, all of them in one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.offline import combined
from prime_fast.verification import simulators_for, verify

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.analysis.runs import FinishedRun
    from prime_fast.space import Ranks

AREA = "area_mm2"


class Judge:
    """Predicts designs for the applications of a run, and simulates them where there is a simulator.

    Parameters
    ----------
    run : FinishedRun
    simulate : bool
        Whether to ask the simulator.
    threads : int, optional
        Of the simulator.

    Attributes
    ----------
    simulators : list of Simulator
        One an application; none where there is none or it is not to be asked.
    queries : int
        Simulations so far.
    """

    def __init__(self, run: FinishedRun, *, simulate: bool = True, threads: int | None = None) -> None:
        self.run = run
        self.threads = threads
        names = list(run.manifest["applications"])
        self.simulators = simulators_for(names, run.space, run.objective, run.own) if simulate else []
        self.queries = 0
        self.metrics = [name for name in run.task.limits if name in run.space.metric_names]
        if AREA in run.space.metric_names and AREA not in self.metrics:
            self.metrics.append(AREA)

    def predict(self, designs: Ranks) -> pl.DataFrame:
        """Return one row a design.

        Returns
        -------
        polars.DataFrame
            ``predicted`` (the combined objective), ``predicted_deviation``, ``feasible_probability`` (the
            least over the applications), metrics, ``within_limits`` (limits and constraints of the space) and
            ``allowed`` (that, limits on what is learned, and a probability that the search would accept).
        """
        run, task = self.run, self.run.task
        predictions = [run.surrogate.predict(designs, task.context(name)) for name in task.applications]
        logarithms = np.stack([np.log(prediction.objective) for prediction in predictions])
        probability = np.min([prediction.feasible_probability for prediction in predictions], axis=0)
        within = within_limits(run, designs)
        allowed = within & (probability >= run.surrogate.settings.gate)
        columns: dict[str, Any] = {
            "predicted": np.exp(combined(task, logarithms)),
            "predicted_deviation": np.mean([prediction.deviation for prediction in predictions], axis=0),
            "feasible_probability": probability,
            **{name: run.space.metric(name, designs) for name in self.metrics},
        }
        for name, limit in task.learned_limits.items():
            learned = np.max([prediction.metrics[name] for prediction in predictions], axis=0)
            columns[f"predicted_{name}"] = learned
            allowed &= learned <= limit
        return pl.DataFrame({**columns, "within_limits": within, "allowed": allowed})

    def judge(self, designs: Ranks) -> pl.DataFrame:
        """Return `predict`'s columns and, where there is a simulator, its own.

        Returns
        -------
        polars.DataFrame
            And ``simulated`` (the combined objective; null where infeasible), ``feasible`` and ``reason``.
        """
        table = self.predict(designs)
        if not self.simulators:
            return table
        objective = self.run.objective
        told = verify(self.run.task, self.simulators, designs, objective, self.threads)
        self.queries += len(designs) * len(self.simulators)
        columns = [pl.col(f"simulated_{objective}").alias("simulated"), "feasible", "reason"]
        return table.hstack(told.select(columns))


def within_limits(run: FinishedRun, designs: Ranks) -> NDArray[np.bool_]:
    """Return which designs keep the limits that the space computes, and its constraints: shape (n,), bool."""
    return run.task.within(designs) & (run.space.check(designs) < 0)
