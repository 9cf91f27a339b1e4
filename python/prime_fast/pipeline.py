"""The main job: from logged designs to proposals, without a simulator until the proposals are made."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from prime_fast import surrogate as learning
from prime_fast.errors import ConfigurationError, NoFeasibleDesignError
from prime_fast.logs import Log, bundled_log, read_log
from prime_fast.logs.log import did_you_mean
from prime_fast.run_directory import RunDirectory
from prime_fast.search import Optimizer, SearchResult, minimize
from prime_fast.space import DesignSpace
from prime_fast.verification import EDGE_TPU_V1, reference_designs, simulators_for, verify
from prime_fast.workload import application_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.space import Ranks
    from prime_fast.surrogate import Surrogate

Budget = Literal["quick", "standard", "thorough"]
Architecture = Literal["mlp", "transformer"]
Progress = Callable[[str, int, int], None]

DEFAULT_APPLICATION = "MobileNetV2"
# The area that PRIME names for the Edge TPU, and so the limit for a part that is to replace it.
DEFAULT_LIMITS = {"area_mm2": 27.0}
SEARCH_EVALUATIONS: dict[str, int] = {"quick": 30_000, "standard": 100_000, "thorough": 400_000}
SEARCH_BATCH = 4096


@dataclass(frozen=True)
class OptimizeResult:
    """What `optimize` found.

    Attributes
    ----------
    proposals : polars.DataFrame
        One row a proposal, in the order in which the surrogate prefers them: ``proposal`` (from 1), the
        parameters, ``predicted_<objective>``, ``predicted_deviation`` (of the log over the ensemble),
        ``feasible_probability``, the limited metrics, and where there is a simulator
        ``simulated_<objective>`` (null where infeasible), ``feasible`` and ``reason``.
    references : polars.DataFrame
        Designs to compare with: ``design`` (``best logged``, ``Edge TPU V1``), parameters, metrics and the
        simulated or logged objective.
    objective : str
        For several applications, the geometric mean of the objective over them.
    applications : list of str
        Empty where the log says nothing of an application.
    limits : dict
        Upper limits that the proposals keep.
    queries : dict
        Simulator queries: ``before_proposals`` (always 0), ``proposals``, ``references``.
    warnings : list of str
    surrogates : list of Surrogate
        One an application.
    interrupted : bool
        Whether Ctrl-C ended the search early.
    seconds : dict
        Time by stage.
    out : Path or None
        The run directory.
    """

    proposals: pl.DataFrame
    references: pl.DataFrame
    space: DesignSpace
    objective: str
    applications: list[str]
    limits: dict[str, float]
    queries: dict[str, int]
    warnings: list[str]
    surrogates: list[Surrogate] = field(repr=False)
    interrupted: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    out: Path | None = None

    @property
    def simulated(self) -> bool:
        """Whether the proposals were verified by the simulator."""
        return f"simulated_{self.objective}" in self.proposals.columns

    @property
    def best(self) -> dict[str, Any]:
        """The best proposal: by simulation where there is one, else by prediction.

        Raises
        ------
        NoFeasibleDesignError
            If the simulator found every proposal infeasible.
        """
        if not self.simulated:
            return self.proposals.row(0, named=True)
        feasible = self.proposals.filter("feasible").sort(f"simulated_{self.objective}", maintain_order=True)
        if feasible.is_empty():
            raise NoFeasibleDesignError(
                f"all {self.proposals.height} proposals turned out infeasible; first: "
                f"{self.proposals['reason'][0]}"
            )
        return feasible.row(0, named=True)

    def ratios(self) -> dict[str, float]:
        """Return how many times better the best proposal is than each reference that is feasible."""
        if not self.simulated or not self.proposals["feasible"].any():
            return {}
        best = self.best[f"simulated_{self.objective}"]
        rows = self.references.filter(pl.col(self.objective).is_not_null()).iter_rows(named=True)
        return {row["design"]: row[self.objective] / best for row in rows}

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return {
            "applications": self.applications,
            "objective": self.objective,
            "limits": self.limits,
            "proposals": self.proposals.to_dicts(),
            "references": self.references.to_dicts(),
            "ratios": self.ratios(),
            "simulator_queries": self.queries,
            "interrupted": self.interrupted,
            "warnings": self.warnings,
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "out": None if self.out is None else str(self.out),
        }


def optimize(
    applications: str | Sequence[str] | None = None,
    *,
    logs: str | Path | Log | Sequence[str | Path] | None = None,
    space: DesignSpace | str | Path | None = None,
    objective: str = "latency_us",
    limits: Mapping[str, float] | None = None,
    proposals: int = 16,
    budget: Budget = "standard",
    architecture: Architecture = "mlp",
    seed: int = 0,
    threads: int | None = None,
    columns: Mapping[str, str] | None = None,
    feasible_values: Mapping[str, Sequence[str]] | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> OptimizeResult:
    """Train a conservative surrogate on logged designs, search it, and verify what it proposes.

    No simulator is asked before the proposals are made. Several applications mean one design for all of them:
    the least geometric mean of the objective.

    Parameters
    ----------
    applications : str or sequence of str, optional
        Bundled applications; MobileNetV2 where no log is given. With `logs`, the rows of that application are
        used if the log names applications, and the bundled simulator verifies if the space is the template's.
    logs : path, Log or sequence of paths, optional
        Logged designs (Parquet or CSV); the bundled logs by default.
    space : DesignSpace or path, optional
        PRIME's by default.
    objective : str
        The column to minimise; positive.
    limits : mapping of str to float, optional
        Upper limits on metrics that the space computes or the log records. ``{"area_mm2": 27.0}`` by default
        in PRIME's space, none elsewhere.
    proposals : int
        How many designs to propose.
    budget : {"quick", "standard", "thorough"}
    architecture : {"mlp", "transformer"}
        The transformer is the published one; it takes minutes where the MLP takes seconds.
    seed : int
        The same seed gives the same proposals.
    threads : int, optional
        For the simulator; all processors by default.
    columns, feasible_values
        As for `prime_fast.logs.read_log`.
    out : path, optional
        A new or empty directory for manifest, proposals, surrogate and training records.
    progress : callable, optional
        Called with a stage's name, what is done and the total.

    Returns
    -------
    OptimizeResult

    Raises
    ------
    ConfigurationError, DataError, NoFeasibleDesignError
        One sentence that says what is wrong and what would be right.
    """
    if proposals < 1:
        raise ConfigurationError(f"proposals is {proposals}; it must be at least 1")
    if threads is not None and threads < 1:
        raise ConfigurationError(f"threads is {threads}; it must be at least 1")
    if budget not in SEARCH_EVALUATIONS:
        raise ConfigurationError(f"unknown budget `{budget}`; known: {', '.join(SEARCH_EVALUATIONS)}")
    space = _space(space)
    names = _applications(applications, logs)
    if limits is None:
        limits = DEFAULT_LIMITS if space == DesignSpace.bundled() else {}
    limits = dict(limits)
    read = _logs(names, logs, space, objective, columns, feasible_values)
    known, learned = _split_limits(limits, space, read)
    settings = learning.TrainingSettings.preset(budget, architecture)

    inputs = {
        "seed": seed,
        "budget": budget,
        "applications": names,
        "objective": objective,
        "limits": limits,
        "proposals": proposals,
        "training": asdict(settings),
        "search": {"evaluations": SEARCH_EVALUATIONS[budget], "batch": SEARCH_BATCH},
        "logs": [
            {"sources": [asdict(source) for source in log.sources], "designs": len(log), "sha256": log.sha256}
            for log in read
        ],
        "space": space.to_toml(),
    }
    run = None if out is None else RunDirectory(out, inputs)
    try:
        result = _run(
            names, read, space, objective, known, learned, settings, inputs, proposals, threads, run, progress
        )
    except KeyboardInterrupt:
        if run is not None:
            run.close("interrupted")
        raise
    except Exception as error:
        if run is not None:
            run.close("failed", error=str(error))
        raise
    if run is not None:
        run.table("proposals", result.proposals)
        run.close("interrupted" if result.interrupted else "complete", result=result.as_dict())
    return result


def _run(
    names: list[str],
    logs: list[Log],
    space: DesignSpace,
    objective: str,
    known: dict[str, float],
    learned: dict[str, float],
    settings: learning.TrainingSettings,
    inputs: dict[str, Any],
    count: int,
    threads: int | None,
    run: RunDirectory | None,
    progress: Progress | None,
) -> OptimizeResult:
    seed, seconds, start = inputs["seed"], {}, time.perf_counter()
    # Before minutes of training: does anything meet the limits?
    Optimizer(space, limits=known, seed=seed, journal=False).ask(1)

    surrogates = []
    for position, log in enumerate(logs):
        label = f"training {names[position]}" if len(logs) > 1 else "training"
        data = learning.TrainingData(
            space=space,
            ranks=log.ranks,
            objective=log.values,
            feasible=log.feasible,
            metrics={name: _column(log, name) for name in learned},
        )
        surrogate = learning.train(
            data,
            settings,
            seed=seed,
            limits=known,
            progress=None if progress is None else _stage(progress, label),
            record=None if run is None else run.record,
        )
        surrogates.append(surrogate)
        if run is not None:
            suffix = f"-{_slug(names[position])}" if len(logs) > 1 else ""
            surrogate.save(run.path / f"surrogate{suffix}.safetensors")
    seconds["training"] = time.perf_counter() - start

    start = time.perf_counter()
    evaluations = inputs["search"]["evaluations"]
    found = minimize(
        space,
        _scorer(surrogates, learned),
        limits=known,
        evaluations=evaluations,
        batch=SEARCH_BATCH,
        seed=seed,
        keep=count,
        callback=None if progress is None else (lambda done, *_: progress("search", done, evaluations)),
    )
    seconds["search"] = time.perf_counter() - start
    seconds["search_own"] = found.seconds - found.scoring_seconds

    start = time.perf_counter()
    limits = known | learned
    table = _predictions(surrogates, found, objective, limits)
    simulators = simulators_for(names, space, objective)
    queries = {"before_proposals": 0, "proposals": 0, "references": 0}
    if simulators:
        table = table.hstack(verify(simulators, found.designs, objective, threads))
        queries["proposals"] = len(found.designs) * len(simulators)
    references = reference_designs(names, logs, simulators, space, objective, limits, threads)
    queries["references"] = sum(name == "Edge TPU V1" for name in references["design"]) * len(simulators)
    seconds["verification"] = time.perf_counter() - start
    return OptimizeResult(
        proposals=table,
        references=references,
        space=space,
        objective=objective,
        applications=names,
        limits=limits,
        queries=queries,
        warnings=[warning for log in logs for warning in log.warnings],
        surrogates=surrogates,
        interrupted=found.stopped_by == "interrupt",
        seconds=seconds,
        out=None if run is None else run.path,
    )


def _space(space: DesignSpace | str | Path | None) -> DesignSpace:
    if isinstance(space, DesignSpace):
        return space
    return DesignSpace.bundled() if space is None else DesignSpace.load(space)


def _applications(applications: str | Sequence[str] | None, logs: object) -> list[str]:
    """Return the bundled applications' own names."""
    if applications is None:
        return [DEFAULT_APPLICATION] if logs is None else []
    given = [applications] if isinstance(applications, str) else list(applications)
    known = {name.lower(): name for name in application_names()}
    for name in given:
        if name.lower() not in known:
            raise ConfigurationError(
                f"unknown application `{name}`{did_you_mean(name, known.values())};"
                f" known: {', '.join(known.values())}"
            )
    names = [known[name.lower()] for name in given]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"an application is named twice: {', '.join(names)}")
    return names


def _logs(
    names: list[str],
    logs: str | Path | Log | Sequence[str | Path] | None,
    space: DesignSpace,
    objective: str,
    columns: Mapping[str, str] | None,
    feasible_values: Mapping[str, Sequence[str]] | None,
) -> list[Log]:
    """Return one log an application, or the one log where no application is named."""
    if isinstance(logs, Log):
        if len(names) > 1:
            raise ConfigurationError("one Log serves one application; give files with a column `application`")
        return [logs]
    if logs is None:
        if space != DesignSpace.bundled():
            raise ConfigurationError("the bundled logs are of PRIME's space; name logs of your own")
        return [bundled_log(name, objective=objective) for name in names]

    def read(application: str | None) -> Log:
        return read_log(
            logs,
            space,
            objective,
            columns=columns,
            feasible_values=feasible_values,
            application=application,
        )

    if len(names) > 1:
        return [read(name) for name in names]
    log = read(None)
    if names and "application" in log.frame.columns and log.frame["application"].n_unique() > 1:
        log = read(names[0])
    return [log]


def _split_limits(
    limits: Mapping[str, float], space: DesignSpace, logs: list[Log]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the limits that the space computes, and those that must be learned from the log."""
    known: dict[str, float] = {}
    learned: dict[str, float] = {}
    for name, value in limits.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigurationError(f"limit {name}={value}: a limit must be a positive, finite number")
        if name in space.metric_names:
            known[name] = float(value)
            continue
        for log in logs:
            if name not in log.metrics:
                metrics = sorted({*space.metric_names, *log.metrics})
                raise ConfigurationError(
                    f"unknown limit `{name}`{did_you_mean(name, metrics)};"
                    f" known: {', '.join(metrics) or 'none'}"
                )
        learned[name] = float(value)
    return known, learned


def _column(log: Log, name: str) -> NDArray[np.float64]:
    return log.frame[name].fill_null(float("nan")).to_numpy()


def _stage(progress: Progress, label: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(label, done, total)


def _slug(name: str) -> str:
    return name.lower().replace(" ", "_")


def _scorer(surrogates: list[Surrogate], learned: Mapping[str, float]) -> Callable[[Ranks], Any]:
    """Return what the search minimises: the sum over applications of the predicted log of the objective."""

    def score(designs: Ranks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        scores, violations = np.zeros(len(designs)), np.zeros(len(designs))
        for surrogate in surrogates:
            score, violation = surrogate.search_score(designs)
            # Standardised scores have a unit of their own each; this is the log's again, but for a constant.
            scores += score * surrogate.objective.deviation
            violations += violation
            if learned:
                metrics = surrogate.predict(designs).metrics
                for name, limit in learned.items():
                    violations += np.maximum(0.0, metrics[name] / limit - 1.0)
        return scores, violations

    return score


def _predictions(
    surrogates: list[Surrogate], found: SearchResult, objective: str, limits: Mapping[str, float]
) -> pl.DataFrame:
    space, designs = found.space, found.designs
    predictions = [surrogate.predict(designs) for surrogate in surrogates]
    logs = np.mean([np.log(prediction.objective) for prediction in predictions], axis=0)
    columns = {
        f"predicted_{objective}": np.exp(logs),
        "predicted_deviation": np.mean([prediction.deviation for prediction in predictions], axis=0),
        "feasible_probability": np.min(
            [prediction.feasible_probability for prediction in predictions], axis=0
        ),
    }
    for name in limits:
        if name in space.metric_names:
            columns[name] = space.metric(name, designs)
        else:
            columns[f"predicted_{name}"] = np.max(
                [prediction.metrics[name] for prediction in predictions], axis=0
            )
    number = pl.Series("proposal", np.arange(1, len(designs) + 1))
    return space.frame(designs).insert_column(0, number).hstack(pl.DataFrame(columns))


__all__ = ["DEFAULT_LIMITS", "EDGE_TPU_V1", "OptimizeResult", "optimize"]
