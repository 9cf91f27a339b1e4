"""Batched search over a discrete design space: ask and tell, and a driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from prime_fast import _core
from prime_fast.errors import ConfigurationError, DataError
from prime_fast.simulator import Simulator
from prime_fast.space import DesignSpace

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import ArrayLike, NDArray

    from prime_fast.space import Ranks

Scorer: TypeAlias = Callable[[Any], Any]
SEEDS = 1 << 64


def _seed(seed: int) -> int:
    """Fold any integer into the 64 bits that a random stream is keyed by."""
    return seed % SEEDS


def _limits(limits: Mapping[str, float] | None) -> list[tuple[str, float]]:
    return [(name, float(value)) for name, value in (limits or {}).items()]


def _positive(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise ConfigurationError(f"{name} is {value}; it must be at least 1")


def _column(what: str, values: ArrayLike) -> NDArray[np.float64]:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise DataError(f"{what} must be an array of shape (n_designs,), found shape {column.shape}")
    return column


class GeneticAlgorithm:
    """A genetic algorithm by ask and tell that proposes no design twice.

    Parameters
    ----------
    space : DesignSpace
    seed : int
        Any integer; the same seed and the same sizes of `ask` propose the same designs.
    population : int
        Designs that live on from batch to batch.
    limits : mapping of str to float, optional
        Upper limits on metrics that the space computes. Designs that break one, or a constraint of the space,
        are never proposed.

    Raises
    ------
    ConfigurationError
        If a limit is unknown or not positive, or the population is below 1.
    """

    def __init__(
        self,
        space: DesignSpace,
        seed: int = 0,
        population: int = 512,
        limits: Mapping[str, float] | None = None,
    ) -> None:
        _positive(population=population)
        self.space = space
        self.core = _core.Genetic(space.core, _limits(limits), _seed(seed), population)

    def ask(self, designs: int) -> Ranks:
        """Return up to that many new designs; fewer when few are left, none when the space is exhausted.

        Raises
        ------
        NoFeasibleDesignError
            If nothing in the space meets its constraints and the limits.
        """
        _positive(designs=designs)
        return self.core.ask(designs)

    def tell(self, scores: ArrayLike, violations: ArrayLike | None = None) -> None:
        """Take the scores (lower is better) and violations (0 is feasible) of the designs last asked for.

        Parameters
        ----------
        scores, violations : array_like of shape (n_designs,), float

        Raises
        ------
        ConfigurationError
            If no designs are due, or there are more or fewer than scores.
        DataError
            If an array is of another shape, or something in it is NaN; nothing is taken then.
        """
        told = _column("scores", scores)
        self.core.tell(told, np.zeros_like(told) if violations is None else _column("violations", violations))

    def start_with(self, designs: Ranks) -> int:
        """Propose these designs before any other, those that keep the limits; return how many."""
        return self.core.start_with(designs)

    @property
    def best(self) -> tuple[Ranks, float] | None:
        """Ranks of shape (n_parameters,) and score of the best feasible design told so far."""
        best = self.core.best
        return None if best is None or best[2] > 0 else (best[0][0], best[1])


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    space : DesignSpace
    designs : ndarray of shape (keep, n_parameters), ranks
        The best distinct designs, best first: by violation, then score, then index.
    scores, violations : ndarray of shape (keep,), float64
    evaluations : int
        Designs scored.
    history : list of (int, float)
        Each improvement: designs scored by then, and the score.
    stopped_by : {"evaluations", "exhausted", "interrupt", "target"}
    seconds, scoring_seconds : float
        Time of the run, and the scorer's part of it.
    """

    space: DesignSpace
    designs: Ranks
    scores: NDArray[np.float64]
    violations: NDArray[np.float64]
    evaluations: int
    history: list[tuple[int, float]]
    stopped_by: str
    seconds: float
    scoring_seconds: float

    @property
    def best(self) -> dict[str, Any]:
        """The best design as values by parameter."""
        return self.frame().row(0, named=True)

    @property
    def best_score(self) -> float:
        """Score of the best design."""
        return float(self.scores[0])

    @property
    def feasible(self) -> bool:
        """Whether the best design meets every constraint."""
        return bool(self.violations[0] == 0)

    def frame(self) -> pl.DataFrame:
        """Return the designs as a frame of values."""
        return self.space.frame(self.designs)


def minimize(
    space: DesignSpace,
    scorer: Scorer | Simulator,
    *,
    limits: Mapping[str, float] | None = None,
    evaluations: int = 50_000,
    batch: int | None = None,
    seed: int = 0,
    method: Literal["genetic", "random"] = "genetic",
    keep: int = 16,
    population: int = 512,
    objective: str = "latency_us",
    start: Ranks | None = None,
    threads: int | None = None,
    callback: Callable[[int, float | None, float], None] | None = None,
) -> SearchResult:
    """Search a space for the designs of least score.

    Parameters
    ----------
    space : DesignSpace
    scorer : callable or Simulator
        A callable takes ranks of shape (n_designs, n_parameters) and returns scores of shape (n_designs,),
        lower is better, or a pair of scores and violations (0 is feasible). An exception that it raises comes
        back as it is. A simulator is searched without leaving Rust.
    limits : mapping of str to float, optional
        Upper limits on metrics that the space computes, such as ``{"area_mm2": 29.0}``, and on what a
        simulator gives: ``latency_us``, ``energy_uj``, ``average_power_mw``, ``peak_power_mw``.
    evaluations : int
        Designs to score at most.
    batch : int, optional
        Designs a call of the scorer: 512 for a simulator, 4096 for a callable by default.
    seed : int
        The same seed gives the same result at any number of threads.
    method : {"genetic", "random"}
    keep : int
        How many of the best designs to return.
    population : int
        Designs that live on, for the genetic algorithm.
    objective : {"latency_us", "energy_uj", "average_power_mw", "peak_power_mw"}
        What to minimise, where the scorer is a simulator.
    start : ndarray of shape (n, n_parameters), optional
        Designs to score first, such as the best of a log; for the genetic algorithm.
    threads : int, optional
        For a simulator.
    callback : callable, optional
        Called after each batch with the designs scored, the best score or None, and the seconds so far.

    Returns
    -------
    SearchResult
        Also after Ctrl-C, with ``stopped_by == "interrupt"``, unless nothing was scored by then.

    Raises
    ------
    NoFeasibleDesignError
        If nothing in the space meets its constraints and the limits.
    ConfigurationError, DataError
        For unusable arguments, scores that are NaN and arrays of the wrong shape.
    """
    _positive(evaluations=evaluations, keep=keep, population=population)
    if batch is None:
        batch = 512 if isinstance(scorer, Simulator) else 4096
    _positive(batch=batch)
    found = _core.minimize(
        space.core,
        scorer.core if isinstance(scorer, Simulator) else scorer,
        objective=objective,
        limits=_limits(limits),
        method=method,
        evaluations=evaluations,
        batch=batch,
        seed=_seed(seed),
        keep=keep,
        population=population,
        start=start,
        threads=threads,
        callback=callback,
    )
    return SearchResult(space=space, **found)
