"""Offline optimisation: from logged designs to proposals by a named method, without a simulator."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np

from prime_fast.errors import ConfigurationError, NoFeasibleDesignError
from prime_fast.hedging import RUNGS, Ranked, front, interleaved
from prime_fast.methods import METHODS, Method, method_named
from prime_fast.recording import search_event
from prime_fast.search import Optimizer, minimize

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from prime_fast.hedging import Score
    from prime_fast.space import DesignSpace, Ranks
    from prime_fast.surrogate import Prediction, TrainingData
    from prime_fast.surrogate.checkpoint import Checkpoint
    from prime_fast.surrogate.constraints import LearnedConstraint
    from prime_fast.surrogate.training import Record

Combine = Literal["geometric", "arithmetic", "worst"]
SEARCH_EVALUATIONS: Mapping[str, int] = {"quick": 30_000, "standard": 100_000, "thorough": 400_000}
SEARCH_BATCH = 4096
CANDIDATES = 4096
"""The best designs of a search, among which proposals are chosen."""
SPREAD = 16
"""Proposals that keep their distance whatever their number: as many as a first round would build."""
RUNG_EFFORT = 4
"""By how many times fewer evaluations each search along the front has; see `hedging`."""
RUNG_CANDIDATES = 1024
"""The best designs of each such search."""
KNOWN = 1e6
"""Violation of a design that the log knows: to propose it would tell nothing new."""


class SurrogateModel(Protocol):
    """What a search needs of a surrogate."""

    @property
    def space(self) -> DesignSpace:
        """The space of the designs."""

    def predict(self, ranks: NDArray[np.integer], context: NDArray[np.float64] | None = None) -> Prediction:
        """Return predictions, in the unit of the log."""

    def search_score(
        self,
        ranks: NDArray[np.integer],
        context: NDArray[np.float64] | None = None,
        limits: Mapping[str, float] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return logarithms of predictions, pessimistic ones, and violations."""


@dataclass(frozen=True, eq=False)
class LoggedDesigns:
    """Designs of one application as arrays.

    Attributes
    ----------
    ranks : ndarray of shape (n, parameters), integer
    objective : ndarray of shape (n,), float64
        Positive, lower is better; NaN where infeasible.
    feasible : ndarray of shape (n,), bool
    metrics : mapping of str to ndarray of shape (n,), float64
        Figures to be learned because they are limited and the space doesn't compute them; NaN where unknown.
    """

    ranks: Ranks
    objective: NDArray[np.float64]
    feasible: NDArray[np.bool_]
    metrics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class OfflineTask:
    """What is to be designed, and what is known.

    Attributes
    ----------
    space : DesignSpace
    logs : mapping of str to LoggedDesigns
        By application; any name where there is but one.
    targets : tuple of str
        Applications to design for; those of the logs where empty. One without a log is zero-shot.
    limits : mapping of str to float
        Upper limits on metrics that the space computes, or that all logs have.
    contexts : mapping of str to sequence of float, optional
        Features of each application, all of one length (`surrogate.context_of` gives those of a workload);
        needed for several logs and for zero-shot.
    combine : {"geometric", "arithmetic", "worst"}
        What is minimised over several targets: the weighted geometric or arithmetic mean of the objective, or
        the worst ratio to a reference.
    weights : mapping of str to float, optional
        Of the targets, positive; 1 each where not given.
    references : mapping of str to float, optional
        Objective of each target that ``"worst"`` divides by; the best logged within the limits by default.
    candidates : ndarray of shape (n, parameters), integer, optional
        The only designs that may be proposed.

    Raises
    ------
    ConfigurationError
        If targets, contexts, weights, references or limits don't fit the logs, or contexts differ in length
        or are not finite.
    """

    space: DesignSpace
    logs: Mapping[str, LoggedDesigns]
    targets: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    contexts: Mapping[str, Sequence[float] | NDArray[np.float64]] | None = None
    combine: Combine = "geometric"
    weights: Mapping[str, float] | None = None
    references: Mapping[str, float] | None = None
    candidates: Ranks | None = None

    def __post_init__(self) -> None:
        """Check what doesn't depend on the method."""
        if not self.logs:
            raise ConfigurationError("there is no log to learn from")
        if self.combine not in get_args(Combine):
            raise ConfigurationError(
                f"combine is {self.combine!r}; it must be {' or '.join(map(repr, get_args(Combine)))}"
            )
        if len(set(self.targets)) < len(self.targets):
            raise ConfigurationError(f"an application is named twice: {', '.join(self.targets)}")
        if self.contextual:
            self._check_contexts()
        for what, values in (("weight", self.weights), ("reference", self.references)):
            for name, value in (values or {}).items():
                if name not in self.applications:
                    known = ", ".join(self.applications)
                    raise ConfigurationError(f"{what} of unknown application {name!r}; designed for: {known}")
                if not (math.isfinite(value) and value > 0.0):
                    raise ConfigurationError(f"{what} of {name} is {value}; it must be positive and finite")
        for name, value in self.limits.items():
            if not (math.isfinite(value) and value > 0.0):
                raise ConfigurationError(f"limit {name}={value}: a limit must be a positive, finite number")
            if name not in self.space.metric_names:
                for application, log in self.logs.items():
                    if name not in log.metrics:
                        raise ConfigurationError(
                            f"limit {name}: neither the space nor the log of {application} knows it"
                        )

    def _check_contexts(self) -> None:
        names = list(dict.fromkeys([*self.logs, *self.applications]))
        rows: list[NDArray[np.float64]] = []
        for name in names:
            if name not in (self.contexts or {}):
                raise ConfigurationError(
                    f"{name} has no context; several applications, and one without a log, need the "
                    "features of their workloads"
                )
            try:
                row = self.context(name)
            except (TypeError, ValueError):
                row = None
            if row is None or row.ndim != 1 or not len(row) or not np.isfinite(row).all():
                raise ConfigurationError(f"the context of {name} must be a list of finite numbers")
            rows.append(row)
            if len(row) != len(rows[0]):
                raise ConfigurationError(
                    f"the context of {name} has {len(row)} features, that of {names[0]} {len(rows[0])}; "
                    "all need the same features"
                )

    @property
    def applications(self) -> tuple[str, ...]:
        """Applications to design for."""
        return self.targets or tuple(self.logs)

    @property
    def contextual(self) -> bool:
        """Whether a surrogate must tell applications apart."""
        return len(self.logs) > 1 or set(self.applications) != set(self.logs)

    @property
    def known_limits(self) -> dict[str, float]:
        """Limits on what the space computes."""
        return {name: value for name, value in self.limits.items() if name in self.space.metric_names}

    @property
    def learned_limits(self) -> dict[str, float]:
        """Limits on what must be learned."""
        return {name: value for name, value in self.limits.items() if name not in self.space.metric_names}

    def context(self, application: str) -> NDArray[np.float64] | None:
        """Return an application's features; None where one surrogate serves one application."""
        if not self.contextual or self.contexts is None:
            return None
        return np.asarray(self.contexts[application], np.float64)

    def within(self, ranks: Ranks) -> NDArray[np.bool_]:
        """Return which designs keep the limits that the space computes: shape (n,), bool."""
        kept = np.ones(len(ranks), np.bool_)
        for name, limit in self.known_limits.items():
            kept &= self.space.metric(name, ranks) <= limit
        return kept

    def best_logged(self, application: str) -> float | None:
        """Return the least objective logged for an application within all limits."""
        log = self.logs[application]
        usable = log.feasible & self.within(log.ranks)
        for name, limit in self.learned_limits.items():
            usable &= log.metrics[name] <= limit
        return float(log.objective[usable].min()) if usable.any() else None

    @functools.cached_property
    def resolved_references(self) -> tuple[float, ...]:
        """What ``"worst"`` divides each target's objective by; ConfigurationError where there is nothing."""
        references = []
        for name in self.applications:
            reference = (self.references or {}).get(name)
            if reference is None and name in self.logs:
                reference = self.best_logged(name)
            if reference is None:
                raise ConfigurationError(
                    f"the worst ratio needs a reference for {name}: no logged design gives one"
                )
            references.append(reference)
        return tuple(references)


@dataclass(frozen=True, eq=False)
class OfflineResult:
    """What a method proposes.

    Attributes
    ----------
    designs : ndarray of shape (k, parameters), integer
        Distinct and within the limits that the space computes, the first one first proposed; fewer than asked
        for where there are no more. What is learned proposes no logged design while there are others. For an
        application without a log they are spread over the limit that is not known of it; see `hedging`.
    predicted : ndarray of shape (k,), float64
        The combined objective; NaN where the method predicts none.
    feasible_probability : ndarray of shape (k,), float64
        The least over the targets.
    seconds : dict of str to float
        ``training`` and ``search``, and ``search_own`` without the surrogate.
    surrogate : SurrogateModel or None
    interrupted : bool
        Whether Ctrl-C ended the search early.
    """

    designs: Ranks
    predicted: NDArray[np.float64]
    feasible_probability: NDArray[np.float64]
    seconds: dict[str, float]
    surrogate: SurrogateModel | None = None
    interrupted: bool = False


def run_offline(
    method: str | Method,
    task: OfflineTask,
    *,
    seed: int = 0,
    budget: str = "standard",
    architecture: str | None = None,
    proposals: int = 16,
    progress: Callable[[str, int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    record: Record | None = None,
    checkpoint: Checkpoint | None = None,
) -> OfflineResult:
    """Propose designs by a method.

    Parameters
    ----------
    method : str or Method
        One of `METHODS` by name, or one of its own.
    task : OfflineTask
    seed : int
        Any integer; the same seed gives the same proposals.
    budget : {"quick", "standard", "thorough"}
    architecture : {"mlp", "transformer"}, optional
        The method's own by default.
    proposals : int
        How many designs to propose.
    progress : callable, optional
        Called with a stage's name, what is done and the total.
    should_stop, record : callable, optional
    checkpoint : Checkpoint, optional
        As for `surrogate.train`.

    Returns
    -------
    OfflineResult

    Raises
    ------
    ConfigurationError, DataError, NoFeasibleDesignError
        One sentence that says what is wrong and what would be right.
    """
    chosen = method_named(method) if isinstance(method, str) else method
    if proposals < 1:
        raise ConfigurationError(f"proposals is {proposals}; it must be at least 1")
    if budget not in SEARCH_EVALUATIONS:
        raise ConfigurationError(f"unknown budget `{budget}`; known: {', '.join(SEARCH_EVALUATIONS)}")
    if chosen.kind in ("random", "logged"):
        found = _random(task, seed, proposals) if chosen.kind == "random" else _logged(task, proposals)
        _check_references(task)
        return found
    # Before minutes of training: does anything meet the limits, and can it be scored?
    if task.candidates is None:
        Optimizer(task.space, limits=task.known_limits, seed=seed, journal=False).ask(1)
    elif not task.within(task.candidates).any():
        raise NoFeasibleDesignError(f"none of {len(task.candidates)} candidates is within the limits")
    _check_references(task)
    start = time.perf_counter()
    surrogate = _trained(chosen, task, seed, budget, architecture, progress, should_stop, record, checkpoint)
    before = 0.0 if checkpoint is None else checkpoint.seconds_before
    seconds = {"training": before + time.perf_counter() - start}
    start = time.perf_counter()
    designs, interrupted, own = _searched(chosen, task, surrogate, seed, budget, proposals, progress, record)
    seconds |= {"search": time.perf_counter() - start, "search_own": own}
    predictions = [surrogate.predict(designs, task.context(name)) for name in task.applications]
    objectives = np.stack([np.log(prediction.objective) for prediction in predictions])
    probability = np.min([prediction.feasible_probability for prediction in predictions], axis=0)
    predicted = np.exp(combined(task, objectives))
    return OfflineResult(designs, predicted, probability, seconds, surrogate, interrupted)


def _check_references(task: OfflineTask) -> None:
    # Not a matter of the task alone: one whose logs are gone may be given its references later.
    if task.combine == "worst":
        _ = task.resolved_references


def combined(task: OfflineTask, logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of what a task minimises.

    Parameters
    ----------
    task : OfflineTask
    logarithms : ndarray of shape (targets, n), float64
        Of the objective, by target.

    Returns
    -------
    ndarray of shape (n,), float64

    Raises
    ------
    ConfigurationError
        If ``"worst"`` lacks a reference.
    """
    given = task.weights or {}
    weights = np.array([given.get(name, 1.0) for name in task.applications])
    weights = (weights / weights.sum())[:, None]
    if task.combine == "geometric":
        return np.asarray((weights * logarithms).sum(axis=0))
    if task.combine == "arithmetic":
        # Of numbers of any size: the largest is taken out of the sum.
        largest = logarithms.max(axis=0)
        return np.asarray(largest + np.log((weights * np.exp(logarithms - largest)).sum(axis=0)))
    references = np.array([math.log(reference) for reference in task.resolved_references])
    return np.asarray((logarithms - references[:, None]).max(axis=0))


def training_data(task: OfflineTask, *, infeasible: bool = True) -> TrainingData:
    """Return the logs of a task as one, each design with its application.

    Raises
    ------
    DataError
        If it shows nothing to learn; see `TrainingData`.
    """
    from prime_fast.surrogate import TrainingData

    logs = list(task.logs.values())
    counts = [len(log.ranks) for log in logs]
    arrays: dict[str, Any] = {
        "ranks": np.concatenate([log.ranks for log in logs]),
        "objective": np.concatenate([log.objective for log in logs]),
        "feasible": np.concatenate([log.feasible for log in logs]),
    }
    metrics = {name: np.concatenate([log.metrics[name] for log in logs]) for name in task.learned_limits}
    application = np.repeat(np.arange(len(logs)), counts)
    if not infeasible:
        kept = arrays["feasible"]
        arrays = {name: values[kept] for name, values in arrays.items()}
        metrics = {name: values[kept] for name, values in metrics.items()}
        application = application[kept]
    contextual: dict[str, Any] = {}
    if task.contextual and task.contexts is not None:
        contextual = {
            "applications": tuple(task.logs),
            "contexts": np.stack([np.asarray(task.contexts[name], np.float64) for name in task.logs]),
            "application": application,
        }
    return TrainingData(task.space, **arrays, metrics=metrics, **contextual)


def _trained(
    method: Method,
    task: OfflineTask,
    seed: int,
    budget: str,
    architecture: str | None,
    progress: Callable[[str, int, int], None] | None,
    should_stop: Callable[[], bool] | None,
    record: Record | None,
    checkpoint: Checkpoint | None,
) -> SurrogateModel:
    data = training_data(task, infeasible=method.infeasible)
    if method.kind == "trees":
        from prime_fast.surrogate.trees import train_trees

        return train_trees(data, seed, record)
    from prime_fast.surrogate import train

    settings = method.settings(budget, architecture)
    # Several applications are more to learn, if less than as many times more.
    more = round(math.sqrt(len(task.logs)))
    settings = replace(settings, steps=more * settings.steps, selection_steps=more * settings.selection_steps)
    return train(
        data,
        settings,
        seed,
        limits=task.known_limits,
        should_stop=should_stop,
        record=record,
        checkpoint=checkpoint,
        progress=None if progress is None else lambda done, total: progress("training", done, total),
    )


def _searched(
    method: Method,
    task: OfflineTask,
    surrogate: SurrogateModel,
    seed: int,
    budget: str,
    proposals: int,
    progress: Callable[[str, int, int], None] | None,
    record: Record | None,
) -> tuple[Ranks, bool, float]:
    """Return the designs that the surrogate prefers, whether Ctrl-C came, and the search's own time."""
    contexts = [task.context(name) for name in task.applications]
    known = _known(task, infeasible=method.infeasible)

    def score(designs: Ranks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        scored = [surrogate.search_score(designs, context, task.learned_limits) for context in contexts]
        violations = np.sum([violation for _, violation in scored], axis=0)
        indices = task.space.indices(designs)
        # By bisection: `isin` would sort a large log for every batch.
        places = np.minimum(np.searchsorted(known, indices), len(known) - 1)
        violations += KNOWN * (known[places] == indices) if len(known) else 0.0
        return combined(task, np.stack([score for score, _ in scored])), violations

    evaluations = SEARCH_EVALUATIONS[budget]
    limit = varying_limit(task, surrogate)
    more = 0 if limit is None else max(1, evaluations // RUNG_EFFORT)
    total, done = evaluations + (RUNGS + 1) * more, 0

    def ranked(score: Score, evaluations: int, keep: int) -> Ranked:
        nonlocal done
        if task.candidates is not None:
            designs = np.unique(task.candidates[task.within(task.candidates)], axis=0)
            scores, violations = score(designs)
            order = np.lexsort((scores, violations))[:keep]
            return Ranked(designs[order], violations[order], False, 0.0)
        before = done
        found = minimize(
            task.space,
            score,
            limits=task.known_limits,
            evaluations=evaluations,
            batch=SEARCH_BATCH,
            seed=seed,
            method=method.search,
            keep=keep,
            callback=None if progress is None else (lambda now, *_: progress("search", before + now, total)),
        )
        if record is not None and not before:
            record(search_event(found.history))
        done += evaluations
        own = found.seconds - found.scoring_seconds
        return Ranked(found.designs, found.violations, found.stopped_by == "interrupt", own)

    best = ranked(score, evaluations, max(proposals, CANDIDATES))
    designs = _chosen(task.space, best.designs, best.violations, proposals)
    if limit is None or best.interrupted:
        return designs, best.interrupted, best.seconds
    keep = max(RUNG_CANDIDATES, proposals)
    steps = front(task.space, limit, score, lambda bounded: ranked(bounded, more, keep), designs[0])
    rungs = [_chosen(task.space, step.designs, step.violations, proposals) for step in steps]
    designs = interleaved(designs, rungs, proposals)
    seconds = best.seconds + sum(step.seconds for step in steps)
    return designs, any(step.interrupted for step in steps), seconds


def varying_limit(task: OfflineTask, surrogate: object) -> LearnedConstraint | None:
    """Return the limit that proposals are spread over, as it is not known of a target without a log.

    That is the one in which logged applications differ most; None where all targets have logs, or there is no
    such limit.
    """
    # Trees learn none.
    of = getattr(surrogate, "varying_limit", None)
    unlogged = [name for name in task.applications if name not in task.logs]
    return None if of is None or not unlogged else of(task.context(unlogged[0]))


def _known(task: OfflineTask, *, infeasible: bool) -> NDArray[np.uint64]:
    """Return indices of the designs that the logs tell all of: logged for each target, or bad for one.

    A method that sees no infeasible designs doesn't know the latter.
    """
    logs = [task.logs[name] for name in task.applications if name in task.logs]
    indices = [task.space.indices(np.ascontiguousarray(log.ranks, task.space.rank_dtype)) for log in logs]
    failed = [index[~log.feasible & infeasible] for index, log in zip(indices, logs, strict=True)]
    seen = [index[log.feasible | infeasible] for index, log in zip(indices, logs, strict=True)]
    everywhere: Any = []
    if len(logs) == len(task.applications):
        everywhere = functools.reduce(np.intersect1d, seen)
    return np.unique(np.concatenate([np.asarray(everywhere, np.uint64), *failed]))


def _chosen(space: DesignSpace, designs: Ranks, violations: NDArray[np.float64], proposals: int) -> Ranks:
    """Return proposals among designs, the best first; one that is known or bad only where others lack.

    The first `SPREAD` are the same however many more are asked for, which in a small space could not all keep
    the same distance.
    """
    good, spread = int((violations <= 0.0).sum()), min(proposals, SPREAD)
    first = distinct_rows(designs[: max(spread, good)], spread, space.kinds)
    if proposals <= SPREAD:
        return designs[first]
    wide = distinct_rows(designs[: max(proposals, good)], proposals, space.kinds)
    return designs[list(dict.fromkeys([*first, *wide]))[:proposals]]


def distinct_rows(designs: Ranks, count: int, kinds: Sequence[str]) -> NDArray[np.intp]:
    """Return rows of designs that differ from one another, the best first.

    Next to a surrogate's best design stand others that differ in what it takes to be nothing: if it is wrong
    in one, it is wrong in all. So each row is the next one whose ranks differ from those of all rows before
    by at least half a rank a parameter on average; where there are too few such, by less. Values without
    order are all one rank apart.

    Parameters
    ----------
    designs : ndarray of shape (n, parameters), integer
        The best first.
    count : int
        Rows to return; all where there are no more.
    kinds : sequence of str
        Of each parameter, as in `DesignSpace.kinds`.
    """
    ranks = designs.astype(np.int64)
    most = np.where(np.array(kinds) == "categorical", 1, np.iinfo(np.int64).max)
    rows: list[int] = []
    farthest = -(-designs.shape[1] // 2)
    nearest = np.full(len(ranks), np.iinfo(np.int64).max)
    for least in range(farthest, 0, -1):
        place = 0
        while len(rows) < min(count, len(ranks)):
            far = np.flatnonzero(nearest[place:] >= least)
            if not len(far):
                break
            place += int(far[0])
            rows.append(place)
            apart = np.minimum(np.abs(ranks - ranks[place]), most)
            nearest = np.minimum(nearest, apart.sum(axis=1))
    return np.array(sorted(rows), np.intp)


def _random(task: OfflineTask, seed: int, proposals: int) -> OfflineResult:
    start = time.perf_counter()
    if task.candidates is None:
        optimizer = Optimizer(task.space, "random", limits=task.known_limits, seed=seed, journal=False)
        designs = optimizer.ask(proposals)
    else:
        designs = np.unique(task.candidates[task.within(task.candidates)], axis=0)
        designs = np.random.default_rng(seed % (1 << 63)).permutation(designs)[:proposals]
    return _unlearned(designs, np.full(len(designs), np.nan), time.perf_counter() - start)


def _logged(task: OfflineTask, proposals: int) -> OfflineResult:
    """Return the best logged designs: of several targets in turn, of one without a log the nearest one's."""
    start = time.perf_counter()
    lists = []
    for target in task.applications:
        log = task.logs[target if target in task.logs else _nearest(task, target)]
        usable = log.feasible & task.within(log.ranks)
        for name, limit in task.learned_limits.items():
            usable &= log.metrics[name] <= limit
        rows = np.flatnonzero(usable)
        rows = rows[np.argsort(log.objective[rows], kind="stable")][:proposals]
        lists.append(list(zip(log.ranks[rows], log.objective[rows], strict=True)))
    turns = [one[turn] for turn in range(proposals) for one in lists if turn < len(one)]
    distinct: dict[bytes, tuple[Ranks, float]] = {}
    for ranks, objective in turns:
        distinct.setdefault(ranks.tobytes(), (ranks, objective))
    chosen = list(distinct.values())[:proposals]
    if not chosen:
        raise NoFeasibleDesignError("no design logged is feasible and within the limits")
    designs = np.stack([ranks for ranks, _ in chosen])
    one = len(task.applications) == 1 and task.applications[0] in task.logs
    predicted = np.array([objective if one else np.nan for _, objective in chosen])
    return _unlearned(designs, predicted, time.perf_counter() - start)


def _nearest(task: OfflineTask, target: str) -> str:
    """Return the logged application whose context is nearest to a target's."""
    contexts = task.contexts or {}
    return list(task.logs)[nearest_context([contexts[name] for name in task.logs], contexts[target])]


def nearest_context(logged: Sequence[ArrayLike], context: ArrayLike) -> int:
    """Return the place of the logged context nearest to another, each feature over its spread in `logged`."""
    contexts = np.array(logged, np.float64)
    spread = contexts.std(axis=0)
    distances = (contexts - np.asarray(context)) / np.where(spread > 0.0, spread, 1.0)
    return int(np.square(distances).sum(axis=1).argmin())


def _unlearned(designs: Ranks, predicted: NDArray[np.float64], seconds: float) -> OfflineResult:
    probability = np.full(len(designs), np.nan)
    return OfflineResult(designs, predicted, probability, {"training": 0.0, "search": seconds})


__all__ = [
    "METHODS",
    "LoggedDesigns",
    "OfflineResult",
    "OfflineTask",
    "combined",
    "run_offline",
    "training_data",
    "varying_limit",
]
