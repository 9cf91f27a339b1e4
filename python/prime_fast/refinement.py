"""Refinement: a few designs a round are asked of a simulator, and the surrogate learns from the answers.

The first round asks the proposals of a run that was made offline, each later one the designs that the
surrogate prefers among those not known by then. Preferred is the least

    mean + k deviations

of the logarithm of the objective over the ensemble, k being 1 where the acquisition is conservative, 0 for
the mean and -1 where it is optimistic, among designs whose probability of being feasible is at least the
gate. Where nothing is left that is better near by, the surrogate doesn't know it, as it hardly differs there
from what was asked. So only half of a round is asked wherever the surrogate likes; the other half keeps a
distance to all that was asked, of one rank more for each round in a row that brought nothing better.

A query is one design asked for one application.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from prime_fast.errors import ConfigurationError, did_you_mean
from prime_fast.offline import combined, training_data
from prime_fast.search import minimize
from prime_fast.surrogate.updating import Answers, update

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from numpy.typing import NDArray

    from prime_fast.offline import OfflineTask
    from prime_fast.space import Ranks
    from prime_fast.surrogate import Surrogate

ACQUISITIONS: Mapping[str, float] = MappingProxyType({"conservative": 1.0, "mean": 0.0, "optimistic": -1.0})
"""Deviations of the ensemble that are added to its mean, by name."""
EVALUATIONS = 30_000
"""Designs that the search of a round scores by the surrogate."""
SEARCH_BATCH = 4096
KEPT = 2048
"""Best designs of a search, among which those to ask are chosen, beside as many as are known."""
START = 100
"""Best designs logged that a search starts with, beside all that were asked."""
FARTHEST = 8
"""Ranks that the other half keeps away at most."""
KNOWN = 1e6
"""Violation of a known design in a search that found no other."""


def pessimism_of(acquisition: str | float) -> float:
    """Return the deviations of an acquisition; ConfigurationError if it is neither a name nor a number."""
    if isinstance(acquisition, str) and acquisition in ACQUISITIONS:
        return ACQUISITIONS[acquisition]
    try:
        value = float(acquisition)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ConfigurationError(
            f"unknown acquisition {acquisition!r}{did_you_mean(str(acquisition), ACQUISITIONS)}; it must be "
            f"{', '.join(ACQUISITIONS)}, or the deviations to add to the mean"
        )
    return value


class Refinement:
    """The rounds of a refinement by ask and tell; what is asked follows from what was told.

    Parameters
    ----------
    task : OfflineTask
        With the logs that the surrogate was trained on.
    surrogate : Surrogate
        As trained offline, or as updated after `rounds` rounds.
    first : ndarray of shape (n, parameters), integer
        What to ask first, the best first.
    acquisition : str or float
        One of `ACQUISITIONS`, or its k.
    gate : float, optional
        Least probability of being feasible; the surrogate's by default.
    seed : int
    """

    def __init__(
        self,
        task: OfflineTask,
        surrogate: Surrogate,
        first: Ranks,
        *,
        acquisition: str | float = "mean",
        gate: float | None = None,
        seed: int = 0,
    ) -> None:
        if gate is not None and not 0.0 <= gate < 1.0:
            raise ConfigurationError(f"gate is {gate}; it must be at least 0 and less than 1")
        self.task, self.surrogate, self.seed = task, surrogate, seed
        self.pessimism = pessimism_of(acquisition)
        self.gate = surrogate.settings.gate if gate is None else gate
        self._first, self._data = first, training_data(task)
        self.round = self._stalled = 0
        self._best = math.inf
        space = task.space
        self._answers = Answers(
            np.zeros((0, space.dimensions), space.rank_dtype),
            np.zeros(0),
            np.zeros(0, np.bool_),
            {name: np.zeros(0) for name in task.learned_limits},
            None
            if not task.contextual
            else np.stack([np.asarray(task.context(name)) for name in task.applications]),
            np.zeros(0, np.intp),
        )
        logged = [
            space.indices(np.ascontiguousarray(task.logs[name].ranks, space.rank_dtype))
            for name in task.applications
            if name in task.logs
        ]
        # Where one application lacks an answer there is something to ask.
        self._known = np.zeros(0, np.uint64)
        if len(logged) == len(task.applications):
            self._known = functools.reduce(np.intersect1d, logged)

    def ask(self, count: int) -> Ranks:
        """Return up to that many designs that are not known yet; fewer, or none, when few are left."""
        if not self.round:
            designs = self._new(self._first)
            if len(designs):
                return designs[:count]
        return self._searched(count)

    def tell(self, ranks: Ranks, results: Mapping[str, pl.DataFrame]) -> None:
        """Take the results of the designs last asked for, by application; see `evaluation`."""
        self.take(ranks, results)
        self.learn()

    def take(self, ranks: Ranks, results: Mapping[str, pl.DataFrame]) -> None:
        """Take results and learn nothing yet."""
        parts = [self._answers]
        for place, name in enumerate(self.task.applications):
            frame = results[name]
            objective = frame.columns[0]
            parts.append(
                Answers(
                    ranks,
                    frame[objective].fill_null(np.nan).to_numpy(),
                    frame["feasible"].to_numpy(),
                    {metric: frame[metric].fill_null(np.nan).to_numpy() for metric in self._answers.metrics},
                    None,
                    np.full(len(ranks), place),
                )
            )
        self._answers = Answers(
            np.concatenate([part.ranks for part in parts]),
            np.concatenate([part.objective for part in parts]),
            np.concatenate([part.feasible for part in parts]),
            {
                metric: np.concatenate([part.metrics[metric] for part in parts])
                for metric in self._answers.metrics
            },
            self._answers.contexts,
            np.concatenate([part.target_of_row for part in parts]),
        )
        self._known = np.union1d(self._known, self.task.space.indices(ranks))
        values = np.stack([part.objective for part in parts[1:]])
        for metric, limit in self.task.learned_limits.items():
            within = np.all([part.metrics[metric] <= limit for part in parts[1:]], axis=0)
            values[:, ~within] = np.nan
        best = np.nanmin(combined(self.task, np.log(values)), initial=math.inf)
        self._stalled = 0 if best < self._best else self._stalled + 1
        self._best = min(self._best, float(best))
        self.round += 1

    def learn(self) -> None:
        """Update the surrogate by all that was told."""
        self.surrogate = update(self.surrogate, self._data, self._answers, self.seed + self.round)

    def _new(self, designs: Ranks) -> Ranks:
        return designs[~np.isin(self.task.space.indices(designs), self._known)]

    def _searched(self, count: int) -> Ranks:
        task, space = self.task, self.task.space
        settings = dataclasses.replace(self.surrogate.settings, pessimism=self.pessimism, gate=self.gate)
        surrogate = dataclasses.replace(self.surrogate, settings=settings)
        contexts = [task.context(name) for name in task.applications]

        def score(designs: Ranks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            scored = [surrogate.search_score(designs, context, task.learned_limits) for context in contexts]
            violations = np.sum([violation for _, violation in scored], axis=0)
            return combined(task, np.stack([score for score, _ in scored])), violations

        def score_new(designs: Ranks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            scores, violations = score(designs)
            return scores, violations + KNOWN * np.isin(space.indices(designs), self._known)

        # Known designs are parents of better ones, so that a search may keep to them at first.
        for scorer in (score, score_new):
            found = minimize(
                space,
                scorer,
                limits=task.known_limits,
                evaluations=EVALUATIONS,
                batch=SEARCH_BATCH,
                seed=self.seed + self.round,
                keep=KEPT + len(self._answers.ranks),
                start=self._start(),
            )
            if found.stopped_by == "interrupt":
                raise KeyboardInterrupt
            new = ~np.isin(space.indices(found.designs), self._known) & (space.check(found.designs) < 0)
            new &= task.within(found.designs)
            designs, violations = found.designs[new], found.violations[new]
            if len(designs) >= count:
                break
        # What is not predicted to be feasible only where there is nothing else.
        designs = designs[: max(count, int((violations <= 0.0).sum()))]
        return designs[_apart(designs, self._answers.ranks, count, min(FARTHEST, 2 + self._stalled))]

    def _start(self) -> Ranks:
        parts = [self._answers.ranks]
        for log in self.task.logs.values():
            best = np.argsort(np.where(log.feasible, log.objective, np.inf), kind="stable")[:START]
            parts.append(log.ranks[best])
        return np.concatenate([part.astype(self.task.space.rank_dtype) for part in parts])


def _apart(designs: Ranks, asked: NDArray[np.integer], count: int, distance: int) -> NDArray[np.intp]:
    """Return rows of designs, the best first: half of them a distance from all asked and chosen, if any are.

    Those of the nearer half are two ranks apart, where there are such.
    """
    ranks = designs.astype(np.int64)
    rows: list[int] = []
    far = np.full(len(ranks), np.iinfo(np.int64).max)
    for design in asked.astype(np.int64):
        far = np.minimum(far, np.abs(ranks - design).sum(axis=1))
    near = np.full(len(ranks), np.iinfo(np.int64).max)
    for slot in range(min(count, len(ranks))):
        wanted = [(far, least) for least in range(distance, 2, -1)] if slot >= (count + 1) // 2 else []
        for distances, least in (*wanted, (near, 2), (near, 1)):
            found = np.flatnonzero(distances >= least)
            if len(found):
                rows.append(int(found[0]))
                apart = np.abs(ranks - ranks[found[0]]).sum(axis=1)
                far, near = np.minimum(far, apart), np.minimum(near, apart)
                break
    return np.array(rows, np.intp)
