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

from prime_fast.errors import ConfigurationError, NoFeasibleDesignError, did_you_mean
from prime_fast.logs import Log, LogMapping, bundled_log
from prime_fast.logs.reading import DEFAULT_OBJECTIVE, mapping_of, read_rows
from prime_fast.methods import method_named
from prime_fast.offline import (
    SEARCH_BATCH,
    SEARCH_EVALUATIONS,
    Combine,
    LoggedDesigns,
    OfflineResult,
    OfflineTask,
    run_offline,
    varying_limit,
)
from prime_fast.run_directory import RunDirectory, json_data
from prime_fast.space import DesignSpace, space_named
from prime_fast.verification import EDGE_TPU_V1, reference_designs, simulators_for, verify
from prime_fast.workload import Application, application_names, is_file_name, own_application, workload_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.offline import SurrogateModel
    from prime_fast.space import Ranks
    from prime_fast.surrogate.constraints import LearnedConstraint

Budget = Literal["quick", "standard", "thorough"]
Architecture = Literal["mlp", "transformer"]
Progress = Callable[[str, int, int], None]

DEFAULT_APPLICATION = "MobileNetV2"
# The area that PRIME names for the Edge TPU, and so the limit for a part that is to replace it.
DEFAULT_LIMITS = {"area_mm2": 27.0}


@dataclass(frozen=True)
class OptimizeResult:
    """What `optimize` found.

    Attributes
    ----------
    proposals : polars.DataFrame
        One row a proposal, in the order in which the surrogate prefers them: ``proposal`` (from 1), the
        parameters, ``predicted_<objective>``, ``predicted_deviation`` (of the log over the ensemble),
        ``feasible_probability``, the limited metrics, ``changed_parameters`` (the fewest by which it differs
        from a feasible logged design), and where there is a simulator
        ``simulated_<objective>`` (null where infeasible), ``feasible`` and ``reason``.
    references : polars.DataFrame
        Designs to compare with: ``design`` (``best logged``, ``Edge TPU V1``), parameters, metrics and the
        simulated or logged objective.
    objective : str
        For several applications, what `combine` makes of it.
    applications : list of str
        Those designed for; empty where the log says nothing of an application.
    learned_from : list of str
        Those whose logs were learned from.
    combine : str
        As given.
    method : str
    limits : dict
        Upper limits that the proposals keep.
    queries : dict
        Simulator queries: ``before_proposals`` (always 0), ``proposals``, ``references``.
    warnings : list of str
    surrogate : SurrogateModel or None
        None where the method trains none.
    learned_constraints : dict of str to tuple of LearnedConstraint
        By application designed for: what no feasible design of its log breaks and many infeasible ones do.
        Of an application without a log, what is expected from those of the others; these have ``infeasible``
        0. Empty where no log shows any, and for methods that learn none.
    spread_over : LearnedConstraint or None
        The limit that is not known of an application without a log, so that proposals are spread over its
        quantity; its bound is the logged applications' geometric mean.
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
    surrogate: SurrogateModel | None = field(repr=False)
    learned_constraints: dict[str, tuple[LearnedConstraint, ...]] = field(default_factory=dict)
    spread_over: LearnedConstraint | None = None
    learned_from: list[str] = field(default_factory=list)
    combine: str = "geometric"
    method: str = "default"
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
        """Return the result as JSON data, what is not finite as None."""
        data: dict[str, Any] = json_data(
            {
                "applications": self.applications,
                "learned_from": self.learned_from,
                "method": self.method,
                "combine": self.combine,
                "objective": self.objective,
                "limits": self.limits,
                "proposals": self.proposals.to_dicts(),
                "references": self.references.to_dicts(),
                "ratios": self.ratios(),
                "learned_constraints": {
                    name: [_told(one) for one in constraints]
                    for name, constraints in self.learned_constraints.items()
                },
                "spread_over": None if self.spread_over is None else _told(self.spread_over),
                "simulator_queries": self.queries,
                "interrupted": self.interrupted,
                "warnings": self.warnings,
                "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
                "out": None if self.out is None else str(self.out),
            }
        )
        return data


def optimize(
    applications: str | Sequence[str] | None = None,
    *,
    logs: str | Path | Log | Sequence[str | Path] | None = None,
    space: DesignSpace | str | Path | None = None,
    objective: str | None = None,
    limits: Mapping[str, float] | None = None,
    proposals: int = 16,
    method: str = "default",
    learn_from: str | Sequence[str] | None = None,
    combine: Combine = "geometric",
    weights: Mapping[str, float] | None = None,
    references: Mapping[str, float] | None = None,
    contexts: Mapping[str, Sequence[float]] | None = None,
    budget: Budget = "standard",
    architecture: Architecture | None = None,
    seed: int = 0,
    threads: int | None = None,
    mapping: LogMapping | str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    feasible_values: Mapping[str, Sequence[str]] | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> OptimizeResult:
    """Train a conservative surrogate on logged designs, search it, and verify what it proposes.

    No simulator is asked before the proposals are made. Several applications mean one design for all of them.

    Parameters
    ----------
    applications : str or sequence of str, optional
        Bundled applications, application files (TOML), or those that the log names; MobileNetV2 where no log
        is given. With `logs`, the
        rows of that application are used if the log names applications, and the bundled simulator verifies
        if the space is the template's.
    logs : path, Log or sequence of paths, optional
        Logged designs: files, directories or patterns, as for `prime_fast.logs.read_log`; the bundled logs by
        default.
    space : DesignSpace or str or Path, optional
        Also by a file's path or a bundled space's name; PRIME's by default.
    objective : str, optional
        The figure to minimise; positive. The mapping's by default, else ``latency_us``.
    limits : mapping of str to float, optional
        Upper limits on metrics that the space computes or the log records. ``{"area_mm2": 27.0}`` by default
        in PRIME's space, none elsewhere.
    proposals : int
        How many designs to propose.
    method : str
        ``"default"``, ``"prime"`` for the published recipe, or another of `methods.METHODS`.
    learn_from : str or sequence of str, optional
        Applications whose logs are learned from; those designed for by default. One that is designed for and
        not among them is zero-shot: nothing of it is known but its workload.
    combine : {"geometric", "arithmetic", "worst"}
        What is minimised over several applications: the weighted geometric or arithmetic mean of the
        objective, or its worst ratio to a reference.
    weights : mapping of str to float, optional
        By application; 1 where not given.
    references : mapping of str to float, optional
        Objective by application that ``"worst"`` divides by; the best logged by default.
    contexts : mapping of str to sequence of float, optional
        Features of the workload of each application that doesn't come with the package, all as long as
        `surrogate.FEATURES` where bundled ones are mixed in; needed where several are learned from.
    budget : {"quick", "standard", "thorough"}
    architecture : {"mlp", "transformer"}, optional
        The method's own by default. The transformer is the published one; it takes minutes where the MLP
        takes seconds.
    seed : int
        The same seed gives the same proposals.
    threads : int, optional
        For the simulator; all processors by default.
    mapping, columns, feasible_values
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
    chosen = method_named(method)
    space = space_named(space)
    own: dict[str, Application] = {}
    targets = _applications(applications, logs, own)
    learned = _applications(learn_from, logs, own) if learn_from is not None else targets
    for name in learned if logs is None else []:
        if name in own:
            raise ConfigurationError(
                f"no log of {name} comes with the package: name one by `logs`, or learn from applications "
                "that have one (`learn_from`)"
            )
    if limits is None:
        limits = DEFAULT_LIMITS if space == DesignSpace.bundled() else {}
    mapping = mapping_of(mapping)
    objective = objective or mapping.objective or DEFAULT_OBJECTIVE
    read = read_logs(learned, logs, space, objective, columns, feasible_values, mapping)
    limits = _checked_limits(limits, space, read)
    features = known_contexts([*learned, *targets], contexts, own)
    task = OfflineTask(
        space,
        logged_designs(learned, read, space, limits),
        tuple(targets),
        limits,
        features,
        combine,
        weights,
        references,
    )
    trains = chosen.kind == "network"
    inputs = {
        "seed": seed,
        "method": method,
        "budget": budget,
        "applications": targets,
        "learned_from": learned,
        "combine": combine,
        "weights": dict(weights or {}),
        "references": dict(references or {}),
        "contexts": {name: features[name].tolist() for name in {**(contexts or {}), **own}},
        "workloads": workload_texts(own),
        "objective": objective,
        "limits": limits,
        "proposals": proposals,
        "training": chosen.settings(budget, architecture).to_dict() if trains else None,
        "search": {
            "method": chosen.search, "evaluations": SEARCH_EVALUATIONS[budget], "batch": SEARCH_BATCH
        },
        "logs": [
            {"sources": [asdict(source) for source in log.sources], "designs": len(log), "sha256": log.sha256}
            for log in read
        ],
        "mapping": mapping.to_toml(),
        "columns": dict(columns or {}),
        "feasible_values": {name: list(values) for name, values in (feasible_values or {}).items()},
        "space": space.to_toml(),
    }  # fmt: skip
    run = None if out is None else RunDirectory(out, inputs)
    try:
        found = run_offline(
            method,
            task,
            seed=seed,
            budget=budget,
            architecture=architecture,
            proposals=proposals,
            progress=progress,
            record=None if run is None else run.record,
        )
        if run is not None and trains:
            found.surrogate.save(run.path / "surrogate.safetensors")  # type: ignore[union-attr]
        result = _verified(task, found, read, inputs, own, threads, run)
        if run is not None:
            run.table("proposals", result.proposals)
            run.close("interrupted" if result.interrupted else "complete", result=result.as_dict())
    except KeyboardInterrupt:
        if run is not None:
            run.close("interrupted")
        raise
    except Exception as error:
        if run is not None:
            run.close("failed", error=str(error))
        raise
    return result


def _verified(
    task: OfflineTask,
    found: OfflineResult,
    logs: list[Log],
    inputs: Mapping[str, Any],
    own: Mapping[str, Application],
    threads: int | None,
    run: RunDirectory | None,
) -> OptimizeResult:
    """Ask the simulator what the proposals are worth, where there is one."""
    start = time.perf_counter()
    space, objective, names = task.space, inputs["objective"], inputs["applications"]
    table = _predictions(task, found, objective)
    simulators = simulators_for(names, space, objective, own)
    queries = {"before_proposals": 0, "proposals": 0, "references": 0}
    if simulators:
        table = table.hstack(verify(task, simulators, found.designs, objective, threads))
        queries["proposals"] = len(found.designs) * len(simulators)
    references, queries["references"] = reference_designs(
        task, inputs["learned_from"], logs, simulators, objective, threads
    )
    return OptimizeResult(
        proposals=table,
        references=references,
        space=space,
        objective=objective,
        applications=names,
        limits=dict(task.limits),
        queries=queries,
        # Logs of one file tell the same of it.
        warnings=list(dict.fromkeys(warning for log in logs for warning in log.warnings)),
        surrogate=found.surrogate,
        learned_constraints=_learned_constraints(task, found.surrogate),
        spread_over=varying_limit(task, found.surrogate),
        learned_from=inputs["learned_from"],
        combine=task.combine,
        method=inputs["method"],
        interrupted=found.interrupted,
        seconds=found.seconds | {"verification": time.perf_counter() - start},
        out=None if run is None else run.path,
    )


def _told(constraint: LearnedConstraint) -> dict[str, Any]:
    return {
        "constraint": str(constraint),
        "quantity": constraint.quantity,
        "at_least": constraint.at_least,
        "bound": constraint.bound,
        "infeasible": constraint.infeasible,
    }


def _learned_constraints(task: OfflineTask, surrogate: object) -> dict[str, tuple[LearnedConstraint, ...]]:
    # Trees learn none.
    of = getattr(surrogate, "constraints_of", None)
    return {name: () if of is None else of(task.context(name)) for name in task.applications}


def _applications(
    applications: str | Sequence[str] | None, logs: object, own: dict[str, Application]
) -> list[str]:
    """Return names of applications, bundled ones as they are spelled; what files describe goes into `own`."""
    if applications is None:
        return [DEFAULT_APPLICATION] if logs is None else []
    given = [applications] if isinstance(applications, str) else list(applications)
    if not given:
        raise ConfigurationError("the list of applications is empty; name one, or leave the list out")
    for position, name in enumerate(given):
        if is_file_name(name):
            application = own_application(name)
            given[position] = application.name
            own[application.name] = application
    known = {name.lower(): name for name in application_names()}
    for name in given:
        if logs is None and name.lower() not in known and name not in own:
            raise ConfigurationError(
                f"unknown application `{name}`{did_you_mean(name, known.values())};"
                f" known: {', '.join(known.values())}; or name a TOML file of one"
            )
    names = [known.get(name.lower(), name) for name in given]
    if len({name.lower() for name in names}) < len(names):
        raise ConfigurationError(f"an application is named twice: {', '.join(names)}")
    return names


def known_contexts(
    names: list[str],
    given: Mapping[str, Sequence[float]] | None,
    own: Mapping[str, Application] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return the features of each application that are known: those given, else those of its workload."""
    from prime_fast.surrogate import context_of

    bundled = set(application_names())
    contexts = {name: context_of(Application.bundled(name)) for name in names if name in bundled}
    contexts |= {name: context_of(application) for name, application in (own or {}).items()}
    for name, values in (given or {}).items():
        try:
            contexts[name] = np.array(values, np.float64)
        except (TypeError, ValueError):
            raise ConfigurationError(f"the context of {name} is {values!r}; it must be numbers") from None
        if contexts[name].ndim != 1 or not np.isfinite(contexts[name]).all():
            raise ConfigurationError(f"the context of {name} must be a list of finite numbers")
    return contexts


def logged_designs(
    names: list[str], logs: list[Log], space: DesignSpace, limits: Mapping[str, float]
) -> dict[str, LoggedDesigns]:
    """Return logs as arrays, with the limited metrics that the space doesn't compute."""
    learned = [name for name in limits if name not in space.metric_names]
    return {
        name: LoggedDesigns(
            log.ranks, log.values, log.feasible, {metric: _column(log, metric) for metric in learned}
        )
        for name, log in zip(names or ["the log"], logs, strict=True)
    }


def read_logs(
    names: list[str],
    logs: str | Path | Log | Sequence[str | Path] | None,
    space: DesignSpace,
    objective: str,
    columns: Mapping[str, str] | None,
    feasible_values: Mapping[str, Sequence[str]] | None,
    mapping: LogMapping | None = None,
) -> list[Log]:
    """Return one log an application, or the one log where no application is named.

    Raises
    ------
    ConfigurationError, DataError
        If a log can't be read, or names applications but not the one that is asked for.
    """
    if mapping is not None and mapping.origin and (logs is None or isinstance(logs, Log)):
        raise ConfigurationError(f"{mapping.origin}: a mapping says what files hold; name the files as logs")
    if isinstance(logs, Log):
        if len(names) > 1:
            raise ConfigurationError("one Log serves one application; give files with a column `application`")
        if others := _others(logs, names):
            raise ConfigurationError(
                f"the Log has rows of {', '.join(others)}; read one of {names[0]} alone "
                f"(`read_log` with application={names[0]!r})"
            )
        return [logs]
    if logs is None:
        if space != DesignSpace.bundled():
            raise ConfigurationError("the bundled logs are of PRIME's space; name logs of your own")
        return [bundled_log(name, objective=objective) for name in names]

    rows = read_rows(
        logs, space, objective, mapping=mapping, columns=columns, feasible_values=feasible_values
    )
    if len(names) > 1:
        return [rows.log(name) for name in names]
    log = rows.log()
    return [rows.log(names[0]) if _others(log, names) else log]


def _others(log: Log, names: list[str]) -> list[str]:
    """Return what a log that names applications has beside the one asked for; ``no application`` for null."""
    if not names or "application" not in log.frame.columns:
        return []
    found = log.frame["application"].unique().sort().to_list()
    if found == [None]:
        return []
    return [name or "no application" for name in found if (name or "").lower() != names[0].lower()]


def _checked_limits(limits: Mapping[str, float], space: DesignSpace, logs: list[Log]) -> dict[str, float]:
    """Return the limits; ConfigurationError if neither the space nor the logs know one."""
    for name, value in limits.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigurationError(f"limit {name}={value}: a limit must be a positive, finite number")
        for log in logs if name not in space.metric_names else []:
            if name not in log.metrics:
                metrics = sorted({*space.metric_names, *log.metrics})
                raise ConfigurationError(
                    f"unknown limit `{name}`{did_you_mean(name, metrics)};"
                    f" known: {', '.join(metrics) or 'none'}"
                )
    return {name: float(value) for name, value in limits.items()}


def _column(log: Log, name: str) -> NDArray[np.float64]:
    return log.frame[name].fill_null(float("nan")).to_numpy()


def _predictions(task: OfflineTask, found: OfflineResult, objective: str) -> pl.DataFrame:
    """Return the proposals with what is predicted of them."""
    space, designs, surrogate = task.space, found.designs, found.surrogate
    columns: dict[str, Any] = {
        f"predicted_{objective}": pl.Series(found.predicted, nan_to_null=True),
        "feasible_probability": pl.Series(found.feasible_probability, nan_to_null=True),
    }
    predictions = []
    if surrogate is not None:
        predictions = [surrogate.predict(designs, task.context(name)) for name in task.applications]
        deviation = np.mean([prediction.deviation for prediction in predictions], axis=0)
        columns["predicted_deviation"] = deviation
        if len(predictions) > 1:
            columns |= {
                f"predicted_{objective}, {name}": prediction.objective
                for name, prediction in zip(task.applications, predictions, strict=True)
            }
    for name in task.limits:
        if name in space.metric_names:
            columns[name] = space.metric(name, designs)
        elif predictions:
            learned = [prediction.metrics[name] for prediction in predictions]
            columns[f"predicted_{name}"] = np.max(learned, axis=0)
    columns["changed_parameters"] = _changed_parameters(task, designs)
    number = pl.Series("proposal", np.arange(1, len(designs) + 1))
    return space.frame(designs).insert_column(0, number).hstack(pl.DataFrame(columns))


def _changed_parameters(task: OfflineTask, designs: Ranks) -> NDArray[np.int64]:
    """Return by how many parameters each design differs from the nearest feasible logged one."""
    logged = np.concatenate([log.ranks[log.feasible] for log in task.logs.values()])
    return np.array([int((logged != design).sum(axis=1).min()) for design in designs])


__all__ = ["DEFAULT_LIMITS", "EDGE_TPU_V1", "OptimizeResult", "optimize"]
