"""The main job: from logged designs to proposals, without a simulator until the proposals are made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from prime_fast.errors import (
    ConfigurationError,
    DataError,
    NoFeasibleDesignError,
    PrimeFastError,
)
from prime_fast.logs import Log, LogMapping, read_table
from prime_fast.logs.reading import DEFAULT_OBJECTIVE, mapping_of
from prime_fast.methods import method_named
from prime_fast.offline import Combine, OfflineResult, OfflineTask, run_offline, varying_limit
from prime_fast.recording import Recorder
from prime_fast.run_directory import MANIFEST, RunDirectory, json_data, read_manifest
from prime_fast.run_inputs import (
    DEFAULT_LIMITS,
    RunInputs,
    check_logs,
    log_entries,
    recorded_logs,
    resolved,
)
from prime_fast.space import space_named
from prime_fast.tracking import EXPERIMENT, check_installed, tracked
from prime_fast.verification import EDGE_TPU_V1, reference_designs, simulators_for, verify

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.offline import SurrogateModel
    from prime_fast.space import DesignSpace, Ranks
    from prime_fast.surrogate.constraints import LearnedConstraint

Budget = Literal["quick", "standard", "thorough"]
Architecture = Literal["mlp", "transformer"]
Progress = Callable[[str, int, int], None]

SURROGATE = "surrogate.safetensors"
TOLD = ("method", "budget", "seed", "applications", "learned_from", "objective", "limits", "proposals")
"""Inputs that tell a run from others in MLflow."""


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
    tensorboard: str | Path | None = None,
    mlflow: str | None = None,
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
    tensorboard : path, optional
        Directory for event files of the training, for TensorBoard.
    mlflow : str, optional
        Tracking URI of an MLflow server that takes the training's metrics.

    Returns
    -------
    OptimizeResult

    Raises
    ------
    ConfigurationError, DataError, NoFeasibleDesignError
        One sentence that says what is wrong and what would be right.
    """
    _check_threads(threads)
    check_installed(tensorboard, mlflow)
    mapping = mapping_of(mapping)
    inputs = resolved(
        applications,
        logs,
        learn_from,
        space=space_named(space),
        objective=objective or mapping.objective or DEFAULT_OBJECTIVE,
        limits=limits,
        proposals=proposals,
        method=method,
        combine=combine,
        weights=weights,
        references=references,
        contexts=contexts,
        budget=budget,
        architecture=architecture,
        seed=seed,
        mapping=mapping,
        columns=columns,
        feasible_values=feasible_values,
    )
    run = None if out is None else RunDirectory.begin(out, inputs.to_manifest())
    with _noted(run):
        try:
            read = inputs.read_logs(logs)
            task = inputs.task(read)
        except PrimeFastError:
            # Nothing but the inputs is there yet, and these are of no use.
            if run is not None:
                run.discard()
            raise
        if run is not None:
            run.began_with(logs=log_entries(read))
        return _run(inputs, task, read, run, threads, progress, tensorboard, mlflow)


def resume(
    path: str | Path,
    *,
    logs: Log | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    tensorboard: str | Path | None = None,
    mlflow: str | None = None,
) -> OptimizeResult:
    """Go on with a run of `optimize` that was killed, interrupted or failed; read a complete one's result.

    On the machine where it was begun it ends with the files of a run without interruption, byte for byte but
    for the times in the manifest.

    Parameters
    ----------
    path : str or Path
        The run's directory. All inputs come from its manifest.
    logs : Log, optional
        The log, where the run was given one that no file holds as it was.
    threads, progress, tensorboard, mlflow
        As for `optimize`. Both take up what they have of the run; what was trained again comes twice, alike.

    Returns
    -------
    OptimizeResult

    Raises
    ------
    ConfigurationError, DataError, NoFeasibleDesignError
        As `optimize`, and if there is no run, another process is at work on it, a log of it is gone or has
        changed, its manifest or its checkpoint is damaged, or this version trains with other settings.
    """
    _check_threads(threads)
    check_installed(tensorboard, mlflow)
    path = Path(path)
    if read_manifest(path).get("status") == "complete":
        return _read_result(path)
    run = RunDirectory.reopen(path)
    if run.manifest.get("status") == "complete":
        # By another process, meanwhile.
        run.release()
        return _read_result(path)
    try:
        inputs = RunInputs.from_manifest(run.manifest, path / MANIFEST)
        _check_settings(run.manifest, inputs)
        if logs is None:
            read = recorded_logs(run.manifest, inputs)
        else:
            read = inputs.read_logs(logs)
            check_logs(run.manifest.get("logs") or log_entries(read), read)
        task = inputs.task(read)
        run.resumed(logs=log_entries(read))
    except BaseException:
        # The manifest stays as it is.
        run.release()
        raise
    with _noted(run):
        return _run(inputs, task, read, run, threads, progress, tensorboard, mlflow)


def _check_threads(threads: int | None) -> None:
    if threads is not None and threads < 1:
        raise ConfigurationError(f"threads is {threads}; it must be at least 1")


def _check_settings(manifest: Mapping[str, Any], inputs: RunInputs) -> None:
    now = json_data(inputs.to_manifest())
    for name in ("training", "search"):
        if manifest.get(name) != now[name]:
            raise ConfigurationError(
                f"the run was begun by prime-fast {manifest['environment']['packages']['prime-fast']}, whose "
                f"settings of the {name} were others than now; go on with that version, or begin a new run"
            )


@contextmanager
def _noted(run: RunDirectory | None) -> Iterator[None]:
    """Write into the manifest how a run ends that doesn't end well."""
    try:
        yield
    except BaseException as error:
        if run is not None and not run.closed:
            status = {"status": "failed", "error": str(error) or type(error).__name__}
            if isinstance(error, KeyboardInterrupt):
                status = {"status": "interrupted"}
            # What went wrong first is what counts: on a full disk this goes wrong as well.
            with suppress(PrimeFastError):
                run.close(**status)
        raise
    finally:
        if run is not None:
            run.release()


def _run(
    inputs: RunInputs,
    task: OfflineTask,
    logs: list[Log],
    run: RunDirectory | None,
    threads: int | None,
    progress: Progress | None,
    tensorboard: str | Path | None,
    mlflow: str | None,
) -> OptimizeResult:
    trains = method_named(inputs.method).kind == "network"
    name = EXPERIMENT if run is None else f"{run.path.resolve()}, {run.manifest['started']}"
    told = {key: value for key, value in inputs.to_manifest().items() if key in TOLD}
    kept = None if run is None else Recorder(run, logs, inputs.learned_from, inputs.seed)
    with tracked(tensorboard, mlflow, name, told) as sinks:

        def record(entry: dict[str, Any]) -> None:
            if kept is not None:
                kept(entry)
            for sink in sinks:
                sink(entry)

        found = run_offline(
            inputs.method,
            task,
            seed=inputs.seed,
            budget=inputs.budget,
            architecture=inputs.architecture,
            proposals=inputs.proposals,
            progress=progress,
            record=record,
            checkpoint=run.checkpoint if run is not None and trains else None,
        )
    if run is not None and trains:
        found.surrogate.save(run.path / SURROGATE)  # type: ignore[union-attr]
    result = _verified(task, found, logs, inputs, threads, run)
    if run is not None:
        run.table("proposals", result.proposals)
        run.close("interrupted" if result.interrupted else "complete", result=result.as_dict())
    return result


def _read_result(path: Path) -> OptimizeResult:
    """Return the result of a run that is complete."""
    manifest = read_manifest(path)
    inputs = RunInputs.from_manifest(manifest, path / MANIFEST)
    surrogate: SurrogateModel | None = None
    if manifest.get("training") is not None:
        from prime_fast.surrogate import Surrogate

        surrogate = Surrogate.load(path / SURROGATE)
    task = inputs.task([])
    proposals, _ = read_table(path / "proposals.parquet")
    try:
        told = manifest["result"]
        return OptimizeResult(
            proposals=proposals,
            references=pl.DataFrame(told["references"], infer_schema_length=None),
            space=inputs.space,
            objective=inputs.objective,
            applications=inputs.applications,
            limits=inputs.limits,
            queries=dict(told["simulator_queries"]),
            warnings=list(told["warnings"]),
            surrogate=surrogate,
            learned_constraints=_learned_constraints(task, surrogate),
            spread_over=varying_limit(task, surrogate),
            learned_from=inputs.learned_from,
            combine=inputs.combine,
            method=inputs.method,
            seconds=dict(told["seconds"]),
            out=path,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path / MANIFEST} is damaged: its result is not usable ({error!r})") from None


def _verified(
    task: OfflineTask,
    found: OfflineResult,
    logs: list[Log],
    inputs: RunInputs,
    threads: int | None,
    run: RunDirectory | None,
) -> OptimizeResult:
    """Ask the simulator what the proposals are worth, where there is one."""
    start = time.perf_counter()
    space, objective, names = task.space, inputs.objective, inputs.applications
    table = _predictions(task, found, objective)
    simulators = simulators_for(names, space, objective, inputs.own)
    more = [] if run is None else run.manifest.get("warnings", [])
    queries = {"before_proposals": 0, "proposals": 0, "references": 0}
    if simulators:
        table = table.hstack(verify(task, simulators, found.designs, objective, threads))
        queries["proposals"] = len(found.designs) * len(simulators)
    references, queries["references"] = reference_designs(
        task, inputs.learned_from, logs, simulators, objective, threads
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
        warnings=list(dict.fromkeys([*(warning for log in logs for warning in log.warnings), *more])),
        surrogate=found.surrogate,
        learned_constraints=_learned_constraints(task, found.surrogate),
        spread_over=varying_limit(task, found.surrogate),
        learned_from=inputs.learned_from,
        combine=task.combine,
        method=inputs.method,
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
