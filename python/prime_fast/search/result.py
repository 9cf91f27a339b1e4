"""What a search found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast import _core
from prime_fast.errors import ConfigurationError
from prime_fast.search.arguments import by_name, floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from prime_fast.space import DesignSpace, Ranks


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Return the volume that points dominate within a reference point, all objectives being minimised.

    Parameters
    ----------
    points : array_like of shape (n, 2) or (n, 3), float
        Points that don't dominate the reference point add nothing.
    reference : array_like of shape (2,) or (3,), float

    Raises
    ------
    ConfigurationError
        If the shapes don't fit, or what is given is no number or NaN.
    """
    array = floats("points", points, ConfigurationError)
    corner = floats("the reference point's values", reference, ConfigurationError)
    if array.ndim != 2 or corner.shape != array.shape[1:]:
        raise ConfigurationError(
            f"points have shape {array.shape} and the reference point {corner.shape}; they must have shapes "
            "(n, objectives) and (objectives,)"
        )
    return _core.hypervolume(array.ravel(), corner)


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    space : DesignSpace
    columns : list of str
        What each number of a score is: the objectives, then the measures of an archive.
    designs : ndarray of shape (keep, n_parameters), ranks
        The best distinct designs, best first: by violation, then score, then index. Of several objectives the
        first counts.
    scores, violations : ndarray of shape (keep,), float64
    found : ndarray of shape (n, n_parameters), ranks
        The method's answer: the Pareto front of all designs scored (`nsga2`), the elites of the archive in
        the order of their cells (`quality_diversity`), else the best design; feasible ones only.
    found_scores : ndarray of shape (n, n_columns), float64
    evaluations : int
        Designs scored.
    history : list of (int, float)
        Each improvement: designs scored by then, and the score.
    stopped_by : str
        ``"evaluations"``, ``"target"``, ``"time"``, ``"stagnation"``, ``"interrupt"``;
        ``"exhausted"``: the method found no further design, which in a space of more than 2^20 may leave out
        a few;
        ``"infeasible"``: nothing meets the constraints and limits that are known before scoring, `designs`
        has the one that misses them by least, and `note` says by how much; ``"error"``: the exception that
        carries this result ended the run.
    note : str or None
        What stands in the way, where nothing is feasible.
    seconds, scoring_seconds : float
        Time of the run, and the scorer's part of it.
    told : tuple of ndarray, optional
        Index (uint64), scores (n_columns each) and violation of every design scored, in order, where
        ``record=True`` asked for them.
    measures : list of str
        Those of `columns` that are measures of an archive.
    """

    space: DesignSpace
    columns: list[str]
    designs: Ranks
    scores: NDArray[np.float64]
    violations: NDArray[np.float64]
    found: Ranks
    found_scores: NDArray[np.float64]
    evaluations: int
    history: list[tuple[int, float]]
    stopped_by: str
    note: str | None
    seconds: float
    scoring_seconds: float
    told: tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.float64]] | None = None
    measures: Sequence[str] = ()

    @property
    def best(self) -> dict[str, Any]:
        """The best design as values by parameter."""
        return self.frame().row(0, named=True)

    @property
    def best_score(self) -> float:
        """Score of the best design, NaN where none was scored."""
        return float(self.scores[0])

    @property
    def feasible(self) -> bool:
        """Whether the best design meets every constraint."""
        return bool(self.violations[0] == 0)

    def frame(self) -> pl.DataFrame:
        """Return the best designs as a frame of values."""
        return self.space.frame(self.designs)

    def front(self) -> pl.DataFrame:
        """Return the method's answer as a frame: values of the parameters, then the columns of the score."""
        return self._scored(self.found, self.found_scores)

    def hypervolume(self, reference: Mapping[str, float] | Sequence[float]) -> float:
        """Return the volume that the Pareto front dominates within a reference point.

        Parameters
        ----------
        reference : mapping of str to float, or sequence of float
            A value of each objective, by name or in the order of `columns`.

        Raises
        ------
        ConfigurationError
            If a value is missing or no number, or there are not 2 or 3 objectives.
        """
        if self.measures:
            raise ConfigurationError(
                f"a hypervolume is of 2 or 3 objectives; {' and '.join(self.measures)} are measures of an "
                "archive"
            )
        if reference is None or isinstance(reference, (str, bytes)):
            raise ConfigurationError(
                f"the reference point is {reference!r}; it must give a number for each of "
                f"{', '.join(self.columns)}"
            )
        if isinstance(reference, Mapping):
            named = by_name("the reference point's values", reference)
            if named.keys() != set(self.columns):
                raise ConfigurationError(
                    f"the reference point names {', '.join(named) or 'nothing'}; it must name "
                    f"{', '.join(self.columns)}"
                )
            reference = [named[name] for name in self.columns]
        return hypervolume(self.found_scores, reference)

    def evaluated(self) -> pl.DataFrame:
        """Return every design scored, in order: parameters, score columns, ``violation``.

        Raises
        ------
        ConfigurationError
            If the search was not asked to record them.
        """
        if self.told is None:
            raise ConfigurationError(
                "the designs scored were not recorded; call minimize with record=True, or use an Optimizer"
            )
        indices, scores, violations = self.told
        frame = self._scored(self.space.ranks(indices), scores.reshape(len(indices), len(self.columns)))
        return frame.with_columns(pl.Series("violation", violations))

    def _scored(self, designs: Ranks, scores: NDArray[np.float64]) -> pl.DataFrame:
        frame = self.space.frame(designs)
        return frame.with_columns(
            pl.Series(name, scores[:, position]) for position, name in enumerate(self.columns)
        )
