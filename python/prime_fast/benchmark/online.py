"""Online search with a counted number of simulator queries: what offline proposals are compared with.

A query is one design asked of the simulator for one application: a design costs k queries where its score
needs k applications. Infeasible designs cost as much as others. Free is what is known without the simulator:
the space's constraints, limits on metrics that it computes (such as ``area_mm2``), and designs asked before.

Sizes of the methods were chosen on the seven bundled applications that are not the PRIME paper's (29 mm2,
geometric mean of best latency over optimum at 100, 300, 1,000, 3,000 and 10,000 queries). Bayesian
optimisation is Optuna's TPE: it takes discrete designs and infeasible ones as they are, and installs lean.
On one core 300 queries take 4 s, 1,000 take 33 s, and 10,000 would take half an hour or more
(extrapolated); a Gaussian process (bayesian-optimization 3.4) took 1.4 to 2.6 s a design from the 20th on.
"""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from prime_fast.errors import ConfigurationError, DataError, NoFeasibleDesignError
from prime_fast.search import Optimizer
from prime_fast.search.arguments import column, positive, whole
from prime_fast.simulator import Simulator
from prime_fast.space import DesignSpace, Ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

Score: TypeAlias = Callable[[Ranks], "NDArray[np.float64]"]
"""Takes ranks of shape (n, parameters); returns (n,) positive numbers, lower is better, NaN if infeasible."""


@dataclass(frozen=True)
class OnlineMethod:
    """A search method with the sizes that suit few queries.

    Attributes
    ----------
    title : str
    search : str
        A method of `prime_fast.search`, or ``"tpe"``.
    batch : int
        Designs asked at a time.
    options : mapping of str to number
    """

    title: str
    search: str
    batch: int
    options: Mapping[str, Any] = field(default_factory=dict)


ONLINE_METHODS: Mapping[str, OnlineMethod] = MappingProxyType(
    {
        "genetic": OnlineMethod("evolutionary search", "genetic", 16, {"population": 16}),
        "firefly": OnlineMethod("firefly search (Eagle strategy)", "firefly", 16, {"flies": 32}),
        "bayesian": OnlineMethod("Bayesian optimisation (Optuna's multivariate TPE)", "tpe", 1),
        "random": OnlineMethod("random designs within the limits", "random", 256),
    }
)
"""By name."""

STARTUP = 20
"""Random designs that the model of Bayesian optimisation starts from."""
RETRIES = 2
"""Suggestions in a row that need no query before a random design is asked instead."""


@dataclass(frozen=True, eq=False)
class SimulatedObjective:
    """One figure of a design over several applications, by their simulators: a `Score`.

    Attributes
    ----------
    simulators : sequence of Simulator
        Of one space.
    combine : {"geometric", "arithmetic", "worst"}
        Weighted geometric or arithmetic mean of latency_us, or the largest ratio of latency_us to
        `references`.
    weights : sequence of float, optional
        Positive; equal by default. Not for ``"worst"``.
    references : sequence of float, optional
        One latency_us an application; needed for ``"worst"``.
    """

    simulators: Sequence[Simulator]
    combine: Literal["geometric", "arithmetic", "worst"] = "geometric"
    weights: Sequence[float] | None = None
    references: Sequence[float] | None = None

    def __post_init__(self) -> None:
        """Check that the numbers fit the simulators."""
        count = len(self.simulators)
        if not count:
            raise ConfigurationError("no simulator was given; give one an application")
        if any(simulator.space != self.simulators[0].space for simulator in self.simulators):
            raise ConfigurationError("the simulators are of different design spaces; give those of one")
        if self.combine not in ("geometric", "arithmetic", "worst"):
            raise ConfigurationError(
                f"combine is {self.combine!r}; it must be geometric, arithmetic or worst"
            )
        if self.combine == "worst" and self.references is None:
            raise ConfigurationError("the worst ratio needs references, one latency_us an application")
        for name, values in {"weights": self.weights, "references": self.references}.items():
            if values is None:
                continue
            if len(values) != count or not all(0.0 < value < math.inf for value in values):
                raise ConfigurationError(
                    f"{name} are {list(values)}; they must be {count} positive, finite numbers"
                )

    @property
    def cost(self) -> int:
        """Queries that one design costs."""
        return len(self.simulators)

    def __call__(self, ranks: Ranks) -> NDArray[np.float64]:
        """Return shape (n,), NaN where infeasible for any application."""
        latencies = np.stack([simulator.score(ranks).latency_us for simulator in self.simulators])
        if self.combine == "worst":
            return np.asarray((latencies / np.asarray(self.references)[:, None]).max(axis=0))
        weights = np.ones(self.cost) if self.weights is None else np.array(self.weights, np.float64)
        weights /= weights.sum()
        if self.combine == "arithmetic":
            return np.asarray(weights @ latencies)
        return np.asarray(np.exp(weights @ np.log(latencies)))


@dataclass(frozen=True, eq=False)
class OnlineResult:
    """What a search found, and after how many queries.

    Attributes
    ----------
    method : str
    queries : int
        Queries made: fewer than allowed where the space was exhausted, the last design would have cost
        too many, or the time was up.
    feasible : int
        Designs asked that were feasible.
    asked : int
        Designs asked: `queries` over the number of applications.
    curve : list of (int, float)
        Each improvement: queries made by then, and the best score.
    design : ndarray of shape (parameters,) or None
        Ranks of the best design; None where nothing feasible was found.
    score : float
        Of that design, else infinity.
    seconds : dict of str to float
        ``simulator`` and ``search``, the method's own.
    stopped_by : str
        ``"queries"``, ``"exhausted"`` or ``"time"``.
    """

    method: str
    queries: int
    feasible: int
    asked: int
    curve: list[tuple[int, float]]
    design: Ranks | None
    score: float
    seconds: dict[str, float]
    stopped_by: str

    def best_after(self, queries: int) -> float:
        """Return the best score within the first `queries` queries, infinity where there is none."""
        return min((score for made, score in self.curve if made <= queries), default=math.inf)

    def queries_to(self, score: float) -> int | None:
        """Return the queries that were needed for a score of at most `score`; None if it was not reached."""
        return next((made for made, found in self.curve if found <= score), None)


def online_search(
    method: str,
    score: Score,
    space: DesignSpace,
    limits: Mapping[str, float] | None = None,
    queries: int = 1_000,
    seed: int = 0,
    *,
    cost: int | None = None,
    seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> OnlineResult:
    """Search with a simulator in the loop and count what is asked of it.

    Parameters
    ----------
    method : str
        One of `ONLINE_METHODS`.
    score : callable
        Takes ranks of shape (n, parameters), returns shape (n,), float: positive, lower is better, NaN where
        infeasible. Of an infeasible design a method learns no more than that.
    space : DesignSpace
    limits : mapping of str to float, optional
        Upper limits on metrics that the space computes; designs that break them are never asked.
    queries : int
        Queries at most.
    seed : int
        The same seed gives the same search.
    cost : int, optional
        Queries that one design costs; by default `score.cost` where there is such, else 1.
    seconds : float, optional
        Ask no more after this much time.
    progress : callable, optional
        Called with queries made and queries allowed.

    Returns
    -------
    OnlineResult

    Raises
    ------
    ConfigurationError
        If a name is unknown, a number not positive, or Optuna is not installed where it is needed.
    DataError
        If scores are of the wrong shape, infinite or not positive.
    NoFeasibleDesignError
        If nothing in the space meets its constraints and the limits.
    """
    if method not in ONLINE_METHODS:
        raise ConfigurationError(f"unknown online method `{method}`; known: {', '.join(ONLINE_METHODS)}")
    cost = whole("cost", getattr(score, "cost", 1) if cost is None else cost)
    positive(queries=queries, cost=cost)
    if queries < cost:
        raise ConfigurationError(f"{queries} queries are not enough for one design, which costs {cost}")
    chosen = ONLINE_METHODS[method]
    count = _Count(score, cost, queries, seconds, progress)
    search = _tpe if chosen.search == "tpe" else _engine
    stopped = search(chosen, count, space, dict(limits or {}), whole("seed", seed))
    own = time.perf_counter() - count.start - count.seconds
    return OnlineResult(
        method=method,
        queries=count.asked * cost,
        feasible=count.feasible,
        asked=count.asked,
        curve=count.curve,
        design=count.design,
        score=count.curve[-1][1] if count.curve else math.inf,
        seconds={"simulator": count.seconds, "search": own},
        stopped_by=stopped,
    )


class _Count:
    """A score that counts its designs and keeps the best."""

    def __init__(
        self,
        score: Score,
        cost: int,
        queries: int,
        limit: float | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.score, self.cost, self.queries, self.limit, self.progress = score, cost, queries, limit, progress
        self.allowed = queries // cost
        self.asked = self.feasible = 0
        self.curve: list[tuple[int, float]] = []
        self.design: Ranks | None = None
        self.seconds, self.start = 0.0, time.perf_counter()

    @property
    def left(self) -> int:
        return self.allowed - self.asked

    @property
    def late(self) -> bool:
        return self.limit is not None and time.perf_counter() - self.start >= self.limit

    def __call__(self, ranks: Ranks) -> NDArray[np.float64]:
        start = time.perf_counter()
        scores = column("scores", self.score(ranks))
        self.seconds += time.perf_counter() - start
        if scores.shape != (len(ranks),):
            raise DataError(f"the simulator gave {len(scores)} scores for {len(ranks)} designs")
        wrong = ~(np.isnan(scores) | (np.isfinite(scores) & (scores > 0.0)))
        if wrong.any():
            raise DataError(
                f"the simulator gave the score {scores[wrong][0]}; "
                "it must be positive and finite, or NaN where infeasible"
            )
        for design, value in zip(ranks, scores.tolist(), strict=True):
            self.asked += 1
            if math.isnan(value):
                continue
            self.feasible += 1
            if not self.curve or value < self.curve[-1][1]:
                self.curve.append((self.asked * self.cost, value))
                self.design = design.copy()
        if self.progress is not None:
            self.progress(self.asked * self.cost, self.queries)
        return scores


def _engine(
    method: OnlineMethod, count: _Count, space: DesignSpace, limits: dict[str, float], seed: int
) -> str:
    """Search by the package's own methods."""
    optimizer = Optimizer(
        space, method.search, seed=seed, limits=limits, journal=False, keep=1, **method.options
    )
    while count.left:
        if count.late:
            return "time"
        designs = optimizer.ask(min(method.batch, count.left))
        if not len(designs):
            return "exhausted"
        scores = count(designs)
        bad = np.isnan(scores)
        optimizer.tell(np.where(bad, 0.0, np.log(np.where(bad, 1.0, scores))), bad.astype(np.float64))
    return "queries"


def _tpe(
    _method: OnlineMethod, count: _Count, space: DesignSpace, limits: dict[str, float], seed: int
) -> str:
    """Search by Optuna's tree-structured Parzen estimator.

    Parameters are integers, the ranks, or categories. What is infeasible is told as a broken constraint, and
    so is, without a query, what breaks a limit; what was asked before is told as failed.
    """
    optuna = _optuna()
    random = Optimizer(space, "random", seed=seed, limits=limits, journal=False, keep=1)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed % (1 << 32), n_startup_trials=0),
        storage=optuna.storages.InMemoryStorage(),
    )
    kinds = {
        name: optuna.distributions.CategoricalDistribution(range(cardinality))
        if kind == "categorical"
        else optuna.distributions.IntDistribution(0, cardinality - 1)
        for name, kind, cardinality in zip(space.names, space.kinds, space.cardinalities, strict=True)
    }
    asked: set[int] = set()

    def told(design: Ranks) -> tuple[float, dict[str, float]]:
        """Ask for a design; return what the model is told."""
        asked.add(int(space.indices(design[None])[0]))
        value = float(count(design[None])[0])
        return (0.0, {"feasible": 1.0}) if math.isnan(value) else (math.log(value), {"feasible": 0.0})

    def ask_random() -> bool:
        """Ask for one random design; False where all were asked."""
        while len(designs := random.ask(1)):
            random.tell(np.zeros(1))
            if int(space.indices(designs)[0]) in asked:
                continue
            value, constraints = told(designs[0])
            params = dict(zip(space.names, designs[0].tolist(), strict=True))
            study.add_trial(
                optuna.trial.create_trial(
                    params=params, distributions=kinds, value=value, constraints=constraints
                )
            )
            return True
        return False

    for _ in range(min(STARTUP, count.left)):
        if not ask_random():
            return "exhausted"
    retries = 0
    while count.left:
        if count.late:
            return "time"
        if retries == RETRIES:
            retries = 0
            if not ask_random():
                return "exhausted"
            continue
        trial = study.ask(kinds)
        design: Ranks = np.array([trial.params[name] for name in space.names], space.rank_dtype)
        if int(space.indices(design[None])[0]) in asked:
            retries += 1
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif (excess := _excess(space, design[None], limits)) > 0.0:
            retries += 1
            trial.set_constraint("feasible", excess)
            study.tell(trial, 0.0)
        else:
            retries = 0
            value, constraints = told(design)
            trial.set_constraint("feasible", constraints["feasible"])
            study.tell(trial, value)
    return "queries"


def _excess(space: DesignSpace, design: Ranks, limits: Mapping[str, float]) -> float:
    """Return by how much a design breaks what is known of the space: 0 where it doesn't."""
    excess = float(space.check(design)[0] >= 0)
    for name, limit in limits.items():
        excess += max(0.0, float(space.metric(name, design)[0]) / limit - 1.0)
    return excess


def _optuna() -> Any:
    try:
        optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise ConfigurationError(
            f"Bayesian optimisation needs Optuna ({error}): pip install 'prime-fast[baselines]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


__all__ = [
    "ONLINE_METHODS",
    "NoFeasibleDesignError",
    "OnlineMethod",
    "OnlineResult",
    "SimulatedObjective",
    "online_search",
]
