"""One run of the evaluation: what is asked, and the row of figures that comes of it.

A job is one of three kinds:

- ``optimum``: the proven optimum of a set of applications within an area. It is a job of its own, so that
  nothing of it can reach the methods; tables join it to their rows.
- ``offline``: logs of applications (seed: data), a method that trains on them (the same seed) and proposes
  designs, and then, for the first time, the simulator's word on these.
- ``online``: a search with the simulator in the loop and a counted number of queries.

The objective of several applications is the arithmetic mean of their latencies, which is how we read the
paper's "average latency".

What counts as a failure
------------------------
A proposal that is infeasible for one of the applications, breaks the limit on area, or is missing because a
method made fewer than it was asked for. Failures are never dropped: they are part of the share of feasible
proposals and infinite in the median. A run without a single success among its proposals has no best latency
(null in the row); so has one whose method ended in an error about its data, which stands in the row. What
aggregates make of these say `prime_fast.benchmark.statistics` and `prime_fast.benchmark.paper_summary`.
Designs that break the limit are never proposed by any method, ``random`` included, which is so much better
than designs drawn from the whole space.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from prime_fast.benchmark.comparison import kendall_tau
from prime_fast.benchmark.online import ONLINE_METHODS
from prime_fast.benchmark.protocol import LogSettings, training_log
from prime_fast.benchmark.runner import file_name
from prime_fast.errors import ConfigurationError, DataError, NoFeasibleDesignError
from prime_fast.methods import METHODS
from prime_fast.workload import Application

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from prime_fast.offline import LoggedDesigns
    from prime_fast.simulator import Simulator
    from prime_fast.space import DesignSpace, Ranks

Row: TypeAlias = dict[str, Any]
COMBINE: Literal["arithmetic"] = "arithmetic"


@dataclass(frozen=True)
class RunSettings:
    """What all jobs of an evaluation share.

    Attributes
    ----------
    log : LogSettings
    budget : {"quick", "standard", "thorough"}
        Of training and of the search on the surrogate.
    proposals : int
        Designs that a method may propose.
    architecture : {"mlp", "transformer"}, optional
        Of the networks of all methods; each method's own by default.
    """

    log: LogSettings = field(default_factory=LogSettings)
    budget: str = "standard"
    proposals: int = 16
    architecture: str | None = None


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes
    ----------
    kind : {"optimum", "offline", "online"}
    targets : tuple of str
        Applications that the design is for.
    area_mm2 : float
        Limit.
    method : str
        Empty for the optimum.
    training : tuple of str
        Applications whose logs are given, of an offline method.
    seed : int
        Of data, training and search; 0 for the optimum.
    queries : int
        That an online search may make: designs times applications.
    workloads : tuple of (str, str)
        Name and TOML text of each application that doesn't come with the package.
    """

    kind: Literal["optimum", "offline", "online"]
    targets: tuple[str, ...]
    area_mm2: float
    method: str = ""
    training: tuple[str, ...] = ()
    seed: int = 0
    queries: int = 0
    workloads: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the job as what JSON can hold."""
        fields = dataclasses.asdict(self)
        fields |= {name: list(fields[name]) for name in ("targets", "training")}
        # Rows of bundled applications keep the names they had before there were others.
        workloads = dict(fields.pop("workloads"))
        return fields | ({"workloads": workloads} if workloads else {})

    def applications(self, names: Iterable[str]) -> list[Application]:
        """Return applications of the job by name."""
        own = dict(self.workloads)
        return [
            Application.from_toml(own[name], name) if name in own else Application.bundled(name)
            for name in names
        ]

    @property
    def key(self) -> str:
        """A name for files."""
        what = self.targets[0] if len(self.targets) == 1 else f"{len(self.targets)} applications"
        words = [self.kind, self.method, what, f"{self.area_mm2:g}mm2", str(self.seed)]
        return file_name(words, self.as_dict())


def run_job(work: tuple[Job, RunSettings]) -> Row:
    """Run a job; return its row, of what JSON can hold.

    Raises
    ------
    ConfigurationError
        If a name is unknown or a package is missing. Errors about data become part of the row.
    """
    job, settings = work
    start = time.perf_counter()
    row = {"optimum": _optimum, "offline": _offline, "online": _online}[job.kind](job, settings)
    return row | {"total_seconds": time.perf_counter() - start}


def _limits(job: Job) -> dict[str, float]:
    return {"area_mm2": job.area_mm2}


def _simulators(applications: Iterable[Application]) -> list[Simulator]:
    from prime_fast.simulator import Simulator
    from prime_fast.space import DesignSpace

    space = DesignSpace.bundled("prime")
    return [Simulator(application, space) for application in applications]


def _optimum(job: Job, _settings: RunSettings) -> Row:
    from prime_fast.exact import solve

    try:
        found = solve(job.applications(job.targets), _limits(job), mean=COMBINE)
    except NoFeasibleDesignError as error:
        return {"latency_us": None, "proved": True, "design": None, "error": str(error)}
    return {
        "latency_us": found.score,
        "proved": found.proved,
        "design": int(found.space.indices(found.designs[:1])[0]),
        "error": None,
    }


def latencies(simulators: list[Simulator], designs: Ranks, area_mm2: float) -> NDArray[np.float64]:
    """Return the mean latency in us over applications, shape (n,); NaN for failures."""
    scores = [simulator.score(designs) for simulator in simulators]
    values = np.mean([score.latency_us for score in scores], axis=0)
    good = np.all([score.feasible for score in scores], axis=0) & (scores[0].area_mm2 <= area_mm2)
    return np.where(good, values, np.nan)


def _offline(job: Job, settings: RunSettings) -> Row:
    from prime_fast import offline

    logged = job.applications(job.training)
    logs = {application.name: training_log(application, job.seed, settings.log) for application in logged}
    targets = job.applications(job.targets)
    simulators = _simulators(targets)
    space = simulators[0].space
    known = {application.name: application for application in (*logged, *targets)}
    contexts: dict[str, NDArray[np.float64]] = {}
    if len(known) > 1:
        from prime_fast.surrogate import context_of

        contexts = {name: context_of(application) for name, application in known.items()}
    task = offline.OfflineTask(
        space,
        logs,
        targets=job.targets,
        limits=_limits(job),
        contexts=contexts or None,
        combine=COMBINE,
    )
    start = time.perf_counter()
    try:
        result = offline.run_offline(
            job.method,
            task,
            seed=job.seed,
            budget=settings.budget,
            architecture=settings.architecture,
            proposals=settings.proposals,
        )
        proposed: Row = {
            "designs": space.indices(result.designs).tolist(),
            "predicted_us": _numbers(result.predicted),
            "feasible_probability": _numbers(result.feasible_probability),
            "seconds": {name: float(value) for name, value in result.seconds.items()},
            "error": None,
            **model_selection(result.surrogate),
        }
        designs = result.designs
        if result.interrupted:
            raise KeyboardInterrupt
    except (DataError, NoFeasibleDesignError) as error:
        designs = np.empty((0, space.dimensions), space.rank_dtype)
        proposed = {
            "designs": [],
            "predicted_us": [],
            "feasible_probability": [],
            "seconds": {},
            "error": str(error),
            **model_selection(None),
        }
    # The simulator's first word: whatever follows can't reach the method.
    return {
        **proposed,
        "proposing_seconds": time.perf_counter() - start,
        "simulator_queries": 0,
        **judged(latencies(simulators, designs, job.area_mm2), settings.proposals),
        **_beside_the_log(space, designs, logs),
        **_accuracy(job, simulators, designs, proposed["predicted_us"]),
        **_baselines(job, logs, simulators, contexts),
    }


def model_selection(surrogate: Any) -> Row:
    """Return how a surrogate was chosen, null what it doesn't have (trees differ; `random` has none).

    Returns
    -------
    dict
        ``alpha``, ``beta``; ``share_of_steps`` of the training; ``held_out_tau``, by which they were chosen,
        ``held_out_auroc`` and ``held_out_ece`` of feasibility; ``learned_constraints``, text.
    """
    chosen = getattr(surrogate, "selection", {})
    names = {
        "alpha": "alpha",
        "beta": "beta",
        "share_of_steps": "share",
        "held_out_tau": "tau",
        "held_out_auroc": "auroc",
        "held_out_ece": "ece",
    }
    learned = getattr(surrogate, "constraints", None)
    applications = getattr(surrogate, "applications", ())
    texts = [
        f"{applications[place]}: {one}" if applications else str(one)
        for place, several in enumerate(learned or ())
        for one in several
    ]
    return {
        **{name: None if chosen.get(key) is None else _number(chosen[key]) for name, key in names.items()},
        "learned_constraints": None if learned is None else "; ".join(texts),
    }


def check_packages(methods: Iterable[str]) -> None:
    """Raise ConfigurationError if offline or online methods need a package that is not installed."""
    lacking = {}
    for name in dict.fromkeys(methods):
        trees = name in METHODS and METHODS[name].kind == "trees"
        bayesian = name in ONLINE_METHODS and ONLINE_METHODS[name].search == "tpe"
        for needed, package in ((trees, "lightgbm"), (bayesian, "optuna")):
            if needed and importlib.util.find_spec(package) is None:
                lacking[name] = package
    if lacking:
        raise ConfigurationError(
            f"{', '.join(f'`{name}` needs {package}' for name, package in lacking.items())}: "
            "pip install 'prime-fast[baselines]', or choose other methods"
        )


def method_settings(methods: Iterable[str], budget: str, architecture: str | None = None) -> dict[str, str]:
    """Return a digest of what rows of each method depend on beside their inputs.

    Parameters
    ----------
    methods : iterable of str
        Of `METHODS`.
    budget, architecture
        As for `prime_fast.offline.run_offline`.
    """
    from prime_fast import offline

    search = [offline.SEARCH_EVALUATIONS[budget], offline.SEARCH_BATCH, offline.CANDIDATES]
    found = {}
    for name in dict.fromkeys(methods):
        method = METHODS[name]
        fields: dict[str, Any] = {"kind": method.kind}
        if method.kind in ("network", "trees"):
            fields |= {"infeasible": method.infeasible, "search": [method.search, *search]}
        if method.kind == "network":
            fields["training"] = method.settings(budget, architecture).to_dict()
        found[name] = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
    return found


def judged(latency_us: NDArray[np.float64], proposals: int) -> Row:
    """Return the figures of proposals in the order in which they were made.

    Parameters
    ----------
    latency_us : ndarray of shape (n,), float64
        True latencies, NaN for failures.
    proposals : int
        How many were asked for, at least n; those that are missing failed.

    Returns
    -------
    dict
        ``asked``, ``latency_us`` (list, null for failures), ``first_us``, ``best_of_16_us``,
        ``best_of_128_us`` (null too where fewer than 128 were asked for), ``median_us`` (null where it is a
        failure), ``feasible_share`` of the first 16 asked for, or of all where they are fewer.
    """
    asked = np.full(proposals, np.inf)
    asked[: len(latency_us)] = np.where(np.isnan(latency_us), np.inf, latency_us)
    return {
        "asked": proposals,
        "latency_us": _numbers(latency_us),
        "first_us": _number(asked[0]),
        "best_of_16_us": _number(asked[:16].min()),
        "best_of_128_us": _number(asked[:128].min()) if proposals >= 128 else None,
        "median_us": _number(np.quantile(asked, 0.5, method="inverted_cdf")),
        "feasible_share": float(np.isfinite(asked[:16]).mean()),
    }


def _beside_the_log(space: DesignSpace, designs: Ranks, logs: Mapping[str, LoggedDesigns]) -> Row:
    indices = space.indices(designs)
    logged = np.concatenate([space.indices(log.ranks) for log in logs.values()])
    return {
        "proposed": len(indices),
        "duplicates": len(indices) - len(np.unique(indices)),
        "already_logged": int(np.isin(indices, logged).sum()),
    }


def _accuracy(job: Job, simulators: list[Simulator], designs: Ranks, predicted: list[float | None]) -> Row:
    """Return prediction over truth, in the middle, and Kendall's tau, of the proposals that succeed."""
    true = latencies(simulators, designs, job.area_mm2)
    told = np.array([np.nan if value is None else value for value in predicted], np.float64)
    known = np.isfinite(true) & np.isfinite(told)
    if not known.any():
        return {"predicted_over_true": None, "proposals_tau": None}
    return {
        "predicted_over_true": float(np.median(told[known] / true[known])),
        "proposals_tau": _number(kendall_tau(told[known], true[known])),
    }


def _baselines(
    job: Job,
    logs: Mapping[str, LoggedDesigns],
    simulators: list[Simulator],
    contexts: Mapping[str, NDArray[np.float64]],
) -> Row:
    """Return what an architect has without a method: the applications' best logged designs, simulated.

    ``best_logged_us`` is the least latency among the best logged design (within the limit) of each
    application in the logs, simulated for the targets; of one application simply its best logged latency.
    For zero-shot also that of the application of nearest context (each feature over its standard deviation
    among those logged), and that which is best on average over the logged applications; both choose without
    the targets.
    """
    from prime_fast.offline import nearest_context

    space = simulators[0].space
    best: dict[str, Ranks] = {}
    for name, log in logs.items():
        within = log.feasible & (space.metric("area_mm2", log.ranks) <= job.area_mm2)
        if within.any():
            position = int(np.argmin(np.where(within, log.objective, np.inf)))
            best[name] = log.ranks[position : position + 1]
    row: Row = {"best_logged_us": None, "nearest_us": None, "average_us": None}
    if not best:
        return row
    designs = np.concatenate(list(best.values()))
    on_targets = latencies(simulators, designs, job.area_mm2)
    if np.isfinite(on_targets).any():
        row["best_logged_us"] = float(np.nanmin(on_targets))
    if not set(job.targets) & logs.keys():
        middle = np.mean([contexts[name] for name in job.targets], axis=0)
        nearest = nearest_context([contexts[name] for name in best], middle)
        row["nearest_us"] = _number(on_targets[nearest])
        average = latencies(_simulators(job.applications(job.training)), designs, job.area_mm2)
        if np.isfinite(average).any():
            row["average_us"] = _number(on_targets[int(np.nanargmin(average))])
    return row


def _online(job: Job, _settings: RunSettings) -> Row:
    from prime_fast.benchmark.online import SimulatedObjective, online_search

    simulators = _simulators(job.applications(job.targets))
    objective = SimulatedObjective(simulators, combine=COMBINE)
    space = simulators[0].space
    found = online_search(job.method, objective, space, _limits(job), job.queries, job.seed)
    return {
        "queries": found.queries,
        "asked": found.asked,
        "feasible": found.feasible,
        "curve": [[made, score] for made, score in found.curve],
        "design": None if found.design is None else int(space.indices(found.design[None])[0]),
        "latency_us": _number(found.score),
        "seconds": found.seconds,
        "stopped_by": found.stopped_by,
        "error": None,
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [_number(value) for value in values]
