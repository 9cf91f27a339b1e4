"""The directory of a finished run, read back and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prime_fast.errors import ConfigurationError, DataError, PrimeFastError
from prime_fast.logs import read_table
from prime_fast.offline import LoggedDesigns, OfflineTask
from prime_fast.run_directory import MANIFEST, read_manifest
from prime_fast.run_inputs import RunInputs, known_contexts, logged_designs, recorded_logs
from prime_fast.space import DesignSpace
from prime_fast.workload import Application

if TYPE_CHECKING:
    import polars as pl

    from prime_fast.logs import Log
    from prime_fast.surrogate import Surrogate

# What the manifest must have, and of which kind.
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "status": str,
    "method": str,
    "applications": list,
    "learned_from": list,
    "combine": str,
    "weights": dict,
    "references": dict,
    "contexts": dict,
    "objective": str,
    "limits": dict,
    "logs": list,
    "space": str,
}


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A run with proposals and a surrogate.

    Attributes
    ----------
    path : Path
    manifest : dict
    space : DesignSpace
    objective : str
    task : OfflineTask
        As it was; without a design in its logs where these can't be read again.
    logs : list of Log
        As learned from; empty where they can't be read again.
    missing : str or None
        Why they can't.
    proposals : polars.DataFrame
    surrogate : Surrogate
    warnings : list of str
    """

    path: Path
    manifest: dict[str, Any]
    space: DesignSpace
    objective: str
    task: OfflineTask
    logs: list[Log]
    missing: str | None
    proposals: pl.DataFrame
    surrogate: Surrogate
    warnings: list[str] = field(default_factory=list)

    @property
    def own(self) -> dict[str, Application]:
        """The applications that the run had from files, by name."""
        texts = self.manifest.get("workloads", {})
        return {name: Application.from_toml(text, f"the workload of {name}") for name, text in texts.items()}

    @property
    def applications(self) -> tuple[str, ...]:
        """Those designed for; one of any name where the log names none."""
        return self.task.applications


def read_run(path: str | Path, *, logs: bool = True) -> FinishedRun:
    """Read the directory of a run.

    Parameters
    ----------
    path : str or Path
    logs : bool
        Whether to read the logs again.

    Raises
    ------
    ConfigurationError
        If there is no such run, it is still running or failed, or its method trains no network.
    DataError
        If a file of it is missing, damaged, or doesn't belong to the others.
    """
    path = Path(path)
    manifest = _manifest(path)
    space = _space(manifest, path)
    objective = manifest["objective"]
    surrogate = _surrogate(path, manifest, space)
    proposals = _proposals(path, space)
    warnings = []
    if manifest["status"] == "interrupted":
        warnings.append("the run was interrupted: its search had not ended")
    read, missing = logs_of(manifest, path) if logs else ([], "the logs were not asked for")
    if missing is not None and logs:
        warnings.append(f"the distance to the log is left out: {missing}")
    try:
        task = _task(manifest, space, read)
        if not read and task.combine == "worst" and set(task.references or {}) < set(task.applications):
            raise DataError(f"the worst ratio needs the best logged designs, but {missing}")
        for name in task.applications:
            surrogate.predict(np.zeros((1, space.dimensions), space.rank_dtype), task.context(name))
    except (ConfigurationError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path / MANIFEST} doesn't describe a run that can be explained: {error}") from None
    return FinishedRun(
        path, manifest, space, objective, task, read, missing, proposals, surrogate, warnings
    )  # fmt: skip


def _manifest(path: Path) -> dict[str, Any]:
    manifest = read_manifest(path)
    # A run that failed early is told apart before anything else is asked of its manifest.
    if manifest.get("status") == "running":
        raise ConfigurationError(
            f"{path}: the run is still going on, or was killed; nothing to explain yet (`prime-fast optimize "
            f"--resume {path}` goes on with it)"
        )
    if manifest.get("status") == "failed":
        raise ConfigurationError(f"{path}: the run failed: {manifest.get('error', 'no reason is recorded')}")
    checked_manifest(path, manifest)
    return manifest


def checked_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Raise DataError unless a manifest has all that a run's must have."""
    file = path / MANIFEST
    for name, kind in FIELDS.items():
        if name not in manifest:
            raise DataError(f"{file} is damaged, or no manifest of `optimize`: it lacks `{name}`")
        if not isinstance(manifest[name], kind):
            raise DataError(f"{file} is damaged: `{name}` is {str(manifest[name])[:60]!r}")
    workloads = manifest.get("workloads", {})
    if not isinstance(workloads, dict) or not all(isinstance(text, str) for text in workloads.values()):
        raise DataError(f"{file} is damaged: `workloads` is {str(workloads)[:60]!r}")
    try:
        for name, text in workloads.items():
            Application.from_toml(text, f"the workload of {name}")
    except ConfigurationError as error:
        raise DataError(f"{file} is damaged: {error}") from None
    names = [*manifest["applications"], *manifest["learned_from"]]
    if not all(isinstance(name, str) for name in names):
        raise DataError(f"{file} is damaged: an application has no name")


def _space(manifest: dict[str, Any], path: Path) -> DesignSpace:
    try:
        return DesignSpace.from_toml(manifest["space"], f"the space in {path / MANIFEST}")
    except ConfigurationError as error:
        raise DataError(str(error)) from None


def _surrogate(path: Path, manifest: dict[str, Any], space: DesignSpace) -> Surrogate:
    file = path / "surrogate.safetensors"
    if not file.is_file():
        if manifest.get("training") is None:
            raise ConfigurationError(
                f"{path}: method `{manifest['method']}` leaves no network behind to explain designs by; "
                "explain a run of `default`, or of another method that trains one"
            )
        if manifest["status"] == "interrupted":
            raise ConfigurationError(f"{path}: the run was interrupted before there was a surrogate")
        raise DataError(f"{file} is missing")
    from prime_fast.surrogate import Surrogate

    surrogate = Surrogate.load(file)
    if surrogate.space != space:
        raise DataError(f"{file} was trained in another design space than that of {path / MANIFEST}")
    return surrogate


def _proposals(path: Path, space: DesignSpace) -> pl.DataFrame:
    file = path / "proposals.parquet"
    if not file.is_file():
        raise DataError(f"{file} is missing")
    table, _ = read_table(file)
    try:
        space.ranks_from_frame(table)
    except DataError as error:
        raise DataError(f"{file} doesn't hold designs of the run's space: {error}") from None
    return table


def logs_of(manifest: dict[str, Any], path: Path) -> tuple[list[Log], str | None]:
    """Read the logs that were learned from, or say why they can't be."""
    try:
        return recorded_logs(manifest, RunInputs.from_manifest(manifest, path / MANIFEST)), None
    except (PrimeFastError, OSError) as error:
        return [], str(error)
    except (KeyError, TypeError, AttributeError) as error:
        return [], f"what the manifest says of the logs is damaged ({error!r})"


def _task(manifest: dict[str, Any], space: DesignSpace, logs: list[Log]) -> OfflineTask:
    limits = {name: float(value) for name, value in manifest["limits"].items()}
    learned = [name for name in limits if name not in space.metric_names]
    names = manifest["learned_from"] or ["the log"]
    if logs:
        logged = logged_designs(manifest["learned_from"], logs, space, limits)
    else:
        empty, none = np.zeros((0, space.dimensions), space.rank_dtype), np.zeros(0)
        no_designs = LoggedDesigns(empty, none, none.astype(np.bool_), dict.fromkeys(learned, none))
        logged = dict.fromkeys(names, no_designs)
    targets = manifest["applications"]
    contexts = known_contexts([*names, *targets], manifest["contexts"])
    task = OfflineTask(space, logged, tuple(targets), limits, contexts, manifest["combine"])
    # Given once the rest holds, so that an error names what is wrong with them.
    return dataclasses.replace(
        task, weights=manifest["weights"] or None, references=manifest["references"] or None
    )
