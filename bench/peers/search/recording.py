"""The scorer that a peer calls: it counts, times and remembers, and takes no part in the search."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peers.search.problems import Designs, Problem, Values

#: Above any feasible score, for peers without constraints: violations rank as by Deb's rules.
PENALTY = 1e9


@dataclass
class Counted:
    """What a run came to; `*_to_optimum` are None where the optimum was not hit."""

    evaluations: int
    evaluations_to_optimum: int | None
    simulated: int
    simulated_to_optimum: int | None
    best_score: float
    gap: float
    hypervolume_share: float | None = None
    final_share: float | None = None


class Recorder:
    """Scores designs of a problem for a budget of evaluations.

    Attributes
    ----------
    scorer_s : float
        Processor time in here and in the problem: none of the peer's.
    final : ndarray of shape (n, d), optional
        Set by an adapter: the front that the peer returns.
    own_s, counted_elsewhere : optional
        Set by an adapter whose scorer is not this one: the peer's own time, and the figures of the run.
    """

    def __init__(self, problem: Problem, evaluations: int) -> None:
        self.problem = problem
        self.evaluations = evaluations
        self.scorer_s = 0.0
        self.count = 0
        self.hit = False
        self.own_s: float | None = None
        self.counted_elsewhere: Counted | None = None
        self.final: Designs | None = None
        self._designs: list[Designs] = []
        self._scores: list[Values] = []
        self._violations: list[Values] = []
        self._last: dict[bytes, int] = {}
        self._last_values: tuple[Values, Values] | None = None

    @property
    def left(self) -> int:
        """Evaluations that are left."""
        return max(self.evaluations - self.count, 0)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Count what runs inside as none of the peer's time."""
        start = time.process_time()
        yield
        self.scorer_s += time.process_time() - start

    def __call__(self, designs: Designs) -> tuple[Values, Values]:
        """Return scores, shape (n,) or (n, 2), and violations, shape (n,), of ranks of shape (n, d)."""
        with self.outside():
            return self._score(np.asarray(designs))

    def penalised(self, designs: Designs) -> Values:
        """Return scores alone: that of an infeasible design is above all feasible ones, by violation."""
        with self.outside():
            scores, violations = self._score(np.asarray(designs))
            return np.where(violations > 0, PENALTY * (1.0 + violations), scores)

    def again(self, designs: Designs) -> tuple[Values, Values]:
        """Score as a call does, but not again what the last such call had: parents asked for once more."""
        with self.outside():
            keys = [row.tobytes() for row in np.asarray(designs, dtype=np.int16)]
            new = np.array([key not in self._last for key in keys])
            shape = (len(keys), 2) if self.problem.objectives == 2 else (len(keys),)
            scores, violations = np.empty(shape), np.empty(len(keys))
            if new.any():
                scores[new], violations[new] = self._score(np.asarray(designs)[new])
            if self._last_values is not None and not new.all():
                rows = [self._last[key] for key in keys if key in self._last]
                scores[~new], violations[~new] = (values[rows] for values in self._last_values)
            self._last = {key: row for row, key in enumerate(keys)}
            self._last_values = scores, violations
            return scores, violations

    def _score(self, designs: Designs) -> tuple[Values, Values]:
        scores, violations = self.problem.score(designs)
        left = self.left
        self._designs.append(designs[:left].astype(np.uint8))
        self._scores.append(scores[:left])
        self._violations.append(violations[:left])
        self.count += min(len(designs), left)
        if self.problem.objectives == 1 and not self.hit:
            feasible = violations[:left] <= 0
            self.hit = bool((self.problem.reached(scores[:left]) & feasible).any())
        return scores, violations

    def counted(self) -> Counted:
        """Return the figures of the run."""
        if self.counted_elsewhere is not None:
            return self.counted_elsewhere
        problem = self.problem
        designs = np.concatenate(self._designs)
        scores, violations = np.concatenate(self._scores), np.concatenate(self._violations)
        feasible = violations <= 0
        # Positions at which a design came up for the first time, among those within the known limits.
        kept = np.flatnonzero(problem.known(designs))
        first = np.sort(kept[np.unique(indices(problem, designs[kept]), return_index=True)[1]])
        if problem.objectives == 2:
            share = hypervolume(problem, scores[feasible]) / problem.optimum
            final = None
            if self.final is not None:
                final_scores, final_violations = problem.score(self.final)
                final = hypervolume(problem, final_scores[final_violations <= 0]) / problem.optimum
            best = share * problem.optimum
            return Counted(len(designs), None, len(first), None, best, 1.0 - share, share, final)
        hits = np.flatnonzero(problem.reached(scores) & feasible)
        best = float(scores[feasible].min()) if feasible.any() else np.inf
        return Counted(
            len(designs),
            int(hits[0]) + 1 if len(hits) else None,
            len(first),
            int(np.searchsorted(first, hits[0], side="right")) if len(hits) else None,
            best,
            gap(problem, best),
        )


def gap(problem: Problem, best: float) -> float:
    """Return by which share of the optimum a score is above it; 0 at the optimum."""
    above = (best - problem.optimum) / abs(problem.optimum)
    assert above > -1e-12, f"{problem.name}: {best} is below the optimum, {problem.optimum}"
    return 0.0 if above < 1e-12 else above


def indices(problem: Problem, designs: Designs) -> NDArray[np.uint64]:
    """Return the mixed-radix number of each design, shape (n,)."""
    index = np.zeros(len(designs), dtype=np.uint64)
    for position, values in enumerate(problem.cardinalities):
        index = index * np.uint64(values) + designs[:, position].astype(np.uint64)
    return index


def hypervolume(problem: Problem, points: NDArray[Any]) -> float:
    """Return the hypervolume of points of shape (n, 2) up to the problem's reference point."""
    import moocore

    assert problem.reference is not None
    points = points[(points < problem.reference).all(axis=1)]
    return float(moocore.hypervolume(points, ref=problem.reference)) if len(points) else 0.0
