"""What is expected of any design once a simulator has answered for some: a surrogate and what it lacks.

Gaussian processes of residuals correct what an ensemble learned offline: the logarithm of the combined
objective, the probability of being feasible, and the learned metrics.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_ndtr, ndtr

from prime_fast.offline import combined
from prime_fast.residuals import Residuals
from prime_fast.surrogate.updating import Answers, corrected_constraints

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from numpy.typing import NDArray

    from prime_fast.offline import OfflineTask
    from prime_fast.residuals import Distances
    from prime_fast.space import Ranks
    from prime_fast.surrogate import Surrogate, TrainingData
    from prime_fast.surrogate.constraints import LearnedConstraint

FEASIBILITY_LENGTH = 0.3
"""Of the process of what is feasible; see `residuals.LENGTHS`."""
FEASIBILITY_NOISE = 0.1


@dataclass(frozen=True, eq=False)
class Told:
    """Designs that were answered for all applications of a task.

    Attributes
    ----------
    ranks : ndarray of shape (n, parameters), integer
    objective : ndarray of shape (targets, n), float64
        NaN where infeasible.
    feasible : ndarray of shape (targets, n), bool
    metrics : mapping of str to ndarray of shape (targets, n), float64
        The learned ones that are limited; NaN where unknown.
    """

    ranks: Ranks
    objective: NDArray[np.float64]
    feasible: NDArray[np.bool_]
    metrics: Mapping[str, NDArray[np.float64]]

    @classmethod
    def nothing(cls, task: OfflineTask) -> Told:
        """Return that nothing was answered yet."""
        targets, space = len(task.applications), task.space
        return cls(
            np.zeros((0, space.dimensions), space.rank_dtype),
            np.zeros((targets, 0)),
            np.zeros((targets, 0), np.bool_),
            {name: np.zeros((targets, 0)) for name in task.learned_limits},
        )

    def and_also(self, ranks: Ranks, results: list[pl.DataFrame]) -> Told:
        """Return this and the results of more designs, one table a target; see `evaluation.results`."""

        def with_column(before: NDArray[np.float64], name: str) -> NDArray[np.float64]:
            new = np.stack([table[name].fill_null(np.nan).to_numpy() for table in results])
            return np.concatenate([before, new], axis=1)

        feasible = np.stack([table["feasible"].to_numpy() for table in results])
        return Told(
            np.concatenate([self.ranks, ranks.astype(self.ranks.dtype)]),
            with_column(self.objective, results[0].columns[0]),
            np.concatenate([self.feasible, feasible], axis=1),
            {name: with_column(values, name) for name, values in self.metrics.items()},
        )

    def answers(self, task: OfflineTask) -> Answers:
        """Return it as what a surrogate is updated by."""
        contexts = None
        if task.contextual:
            contexts = np.stack([np.asarray(task.context(name)) for name in task.applications])
        return Answers(
            np.tile(self.ranks, (len(task.applications), 1)),
            self.objective.ravel(),
            self.feasible.ravel(),
            {name: values.ravel() for name, values in self.metrics.items()},
            contexts,
            np.repeat(np.arange(len(task.applications)), len(self.ranks)),
        )


class Belief:
    """What is expected of designs.

    Parameters
    ----------
    task : OfflineTask
    surrogate : Surrogate
        As trained offline.
    data : TrainingData
        The log that it was trained on.
    told : Told
    distances : Distances
    gate : float
        Least probability of being feasible.
    pessimism : float
        Deviations that are added to what is expected.
    """

    def __init__(
        self,
        task: OfflineTask,
        surrogate: Surrogate,
        data: TrainingData,
        told: Told,
        distances: Distances,
        *,
        gate: float,
        pessimism: float,
    ) -> None:
        self.task, self.gate, self.pessimism = task, gate, pessimism
        self._networks = without_constraints(surrogate)
        constraints = corrected_constraints(surrogate, data, told.answers(task))
        corrected = dataclasses.replace(surrogate, constraints=constraints)
        self._limits = [
            _Limits(task, name, corrected.constraints_of(task.context(name)), told.ranks[~feasible])
            for name, feasible in zip(task.applications, told.feasible, strict=True)
        ]
        objective, probability, metrics = self._learned(told.ranks)
        values = combined(task, np.log(np.where(told.feasible, told.objective, np.nan)))
        good = np.isfinite(values)
        self._objective = Residuals.fitted(distances, told.ranks[good], (values - objective)[good])
        self._feasibility = Residuals.fitted(
            distances,
            told.ranks,
            told.feasible.all(axis=0) - probability,
            length=FEASIBILITY_LENGTH,
            mean=0.0,
            noise=FEASIBILITY_NOISE,
        )
        self._metrics: dict[str, list[Residuals]] = {name: [] for name in task.learned_limits}
        for name, limit in task.learned_limits.items():
            for answered, predicted in zip(told.metrics[name], metrics[name], strict=True):
                usable = (answered > 0.0) & (predicted > 0.0)
                residuals = np.log(answered[usable] / predicted[usable])
                self._metrics[name].append(Residuals.fitted(distances, told.ranks[usable], residuals))
            good &= (told.metrics[name] <= limit).all(axis=0)
        self._best = float(values[good].min()) if good.any() else None

    def _learned(
        self, ranks: Ranks
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """Return what was learned offline.

        Returns
        -------
        objective : ndarray of shape (n,), float64
            Logarithm of the combined one.
        probability : ndarray of shape (n,), float64
            Of being feasible for all applications: the least of theirs.
        metrics : dict of str to ndarray of shape (targets, n), float64
        """
        task = self.task
        predictions = [self._networks.predict(ranks, task.context(name)) for name in task.applications]
        objective = combined(task, np.stack([np.log(prediction.objective) for prediction in predictions]))
        probability = [
            limits.probability(ranks, prediction.feasible_probability)
            for limits, prediction in zip(self._limits, predictions, strict=True)
        ]
        metrics = {
            name: np.stack([prediction.metrics[name] for prediction in predictions])
            for name in task.learned_limits
        }
        return objective, np.min(probability, axis=0), metrics

    def believe(self, designs: Ranks) -> None:
        """Take it that designs will be answered as expected."""
        self._objective = self._objective.believing(designs)

    def score(
        self, ranks: Ranks, *, relaxed: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score designs for a search, lower being better.

        Returns
        -------
        scores : ndarray of shape (n,), float64
            Negative logarithm of the expected improvement times the probability of being feasible; where
            nothing feasible is known yet, the logarithm of the objective less that of this probability.
        violations : ndarray of shape (n,), float64
            How far the probability lies below the gate, and by how much learned constraints are broken and
            limits exceeded. With `relaxed` learned constraints may be broken.
        """
        objective, probability, metrics = self._learned(ranks)
        deviation = self._objective.deviations(ranks)
        mean = objective + self._objective.expected(ranks) + self.pessimism * deviation
        probability = np.clip(probability + self._feasibility.expected(ranks), 1e-6, 1.0)
        gain = -mean if self._best is None else log_improvement(self._best - mean, deviation)
        beyond = np.sum([limits.excess(ranks) for limits in self._limits], axis=0)
        violations = np.maximum(0.0, self.gate - probability)
        violations = np.where(violations > 0.0, violations + beyond, 0.0)
        if relaxed:
            violations[beyond > 0.0] = 0.0
        for name, limit in self.task.learned_limits.items():
            for process, predicted in zip(self._metrics[name], metrics[name], strict=True):
                corrected = predicted * np.exp(process.expected(ranks))
                violations += np.maximum(0.0, corrected / limit - 1.0)
        return -gain - np.log(probability), violations


class _Limits:
    """Learned constraints of one application, with the infeasible designs that each alone accounts for."""

    def __init__(
        self,
        task: OfflineTask,
        application: str,
        constraints: tuple[LearnedConstraint, ...],
        infeasible: Ranks,
    ) -> None:
        self._space, self._constraints = task.space, constraints
        if (log := task.logs.get(application)) is not None:
            infeasible = np.concatenate([infeasible, log.ranks[~log.feasible].astype(infeasible.dtype)])
        excess = [one.excess(task.space, infeasible) for one in constraints]
        broken = np.sum([one > 0.0 for one in excess], axis=0)
        self._alone = [np.sort(one[(one > 0.0) & (broken == 1)]) for one in excess]

    def excess(self, ranks: Ranks) -> NDArray[np.float64]:
        """Return by how much designs break the constraints in all: shape (n,)."""
        total = np.zeros(len(ranks))
        for constraint in self._constraints:
            total += constraint.excess(self._space, ranks)
        return total

    def probability(self, ranks: Ranks, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a probability of being feasible, lowered by Laplace's rule where constraints are broken."""
        for constraint, alone in zip(self._constraints, self._alone, strict=True):
            excess = constraint.excess(self._space, ranks)
            # Those that break it by no more.
            count = np.searchsorted(alone, excess + 1e-9, side="right")
            probability = np.where(excess > 0.0, np.minimum(probability, 1.0 / (count + 2.0)), probability)
        return probability


def without_constraints(surrogate: Surrogate) -> Surrogate:
    """Return what the networks of a surrogate learned, alone."""
    return dataclasses.replace(surrogate, constraints=((),) * len(surrogate.constraints))


def log_improvement(gain: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of the expected improvement, also where that is too small for a float."""
    u, root = gain / deviation, 0.5 * math.log(2.0 * math.pi)
    above, below = np.maximum(u, 0.0), np.minimum(u, -1e-9)
    near = np.log(above * ndtr(above) + np.exp(-0.5 * above**2 - root))
    # Below, u cdf(u) + pdf(u) is pdf(u) times 1 - |u| cdf(u) / pdf(u), which tends to 1 / u^2.
    rest = np.maximum(1.0 + below * np.exp(log_ndtr(below) + 0.5 * below**2 + root), 1e-12)
    far = -0.5 * below**2 - root + np.log(np.where(u < -100.0, 1.0 / below**2, rest))
    return np.asarray(np.log(deviation) + np.where(u < 0.0, far, near))


__all__ = ["Belief", "Told", "log_improvement", "without_constraints"]
