"""What a run depends on: resolved from the arguments of `optimize`, or read back from a manifest."""

from __future__ import annotations

import glob
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prime_fast.errors import ConfigurationError, DataError, did_you_mean
from prime_fast.logs import Log, LogMapping, bundled_log
from prime_fast.logs.formats import digest
from prime_fast.logs.reading import read_rows
from prime_fast.methods import method_named
from prime_fast.offline import SEARCH_BATCH, SEARCH_EVALUATIONS, LoggedDesigns, OfflineTask
from prime_fast.space import DesignSpace
from prime_fast.workload import (
    Application,
    application_names,
    context_of,
    is_file_name,
    own_application,
    workload_texts,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_APPLICATION = "MobileNetV2"
# The area that PRIME names for the Edge TPU, and so the limit for a part that is to replace it.
DEFAULT_LIMITS = {"area_mm2": 27.0}
BUNDLED = "bundled:"
"""What stands before the name of a log that comes with the package."""


@dataclass(frozen=True, eq=False)
class RunInputs:
    """What the result of a run depends on, beside the content of its logs.

    Attributes
    ----------
    applications, learned_from : list of str
        Names as they are spelled; both empty where the log says nothing of an application.
    own : dict of str to Application
        Those that files describe.
    contexts : dict of str to list of float
        Features of the applications that don't come with the package.
    log_paths : list of str or None
        Files, directories and patterns as they were named; None for the bundled logs.

    The others are as for `prime_fast.optimize`.
    """

    applications: list[str]
    learned_from: list[str]
    own: dict[str, Application]
    space: DesignSpace
    objective: str
    limits: dict[str, float]
    proposals: int
    method: str
    combine: Any
    weights: dict[str, float]
    references: dict[str, float]
    contexts: dict[str, list[float]]
    budget: str
    architecture: str | None
    seed: int
    mapping: LogMapping
    columns: dict[str, str]
    feasible_values: dict[str, list[str]]
    log_paths: list[str] | None

    def __post_init__(self) -> None:
        """Check what needs no log."""
        if self.proposals < 1:
            raise ConfigurationError(f"proposals is {self.proposals}; it must be at least 1")
        if self.budget not in SEARCH_EVALUATIONS:
            raise ConfigurationError(
                f"unknown budget `{self.budget}`; known: {', '.join(SEARCH_EVALUATIONS)}"
            )
        method_named(self.method)
        for name, value in self.limits.items():
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"limit {name}={value}: a limit must be a positive, finite number")

    def to_manifest(self) -> dict[str, Any]:
        """Return the inputs as fields of a manifest, with the settings that follow from them."""
        method = method_named(self.method)
        trains = method.kind == "network"
        return {
            "seed": self.seed,
            "method": self.method,
            "budget": self.budget,
            "architecture": self.architecture,
            "applications": self.applications,
            "learned_from": self.learned_from,
            "combine": self.combine,
            "weights": self.weights,
            "references": self.references,
            "contexts": self.contexts,
            "workloads": workload_texts(self.own),
            "objective": self.objective,
            "limits": self.limits,
            "proposals": self.proposals,
            "training": method.settings(self.budget, self.architecture).to_dict() if trains else None,
            "search": {
                "method": method.search, "evaluations": SEARCH_EVALUATIONS[self.budget], "batch": SEARCH_BATCH
            },
            "log_paths": self.log_paths,
            "mapping": self.mapping.to_toml(),
            "columns": self.columns,
            "feasible_values": self.feasible_values,
            "space": self.space.to_toml(),
        }  # fmt: skip

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any], file: Path) -> RunInputs:
        """Return the inputs that a manifest holds; DataError, which names the file, if it doesn't."""
        try:
            own = {
                name: Application.from_toml(text, f"the workload of {name}")
                for name, text in manifest.get("workloads", {}).items()
            }
            marks = manifest.get("feasible_values", {})
            mapping, given = manifest.get("mapping"), manifest.get("log_paths")
            return cls(
                applications=_texts(manifest["applications"]),
                learned_from=_texts(manifest["learned_from"]),
                own=own,
                space=DesignSpace.from_toml(manifest["space"], f"the space in {file}"),
                objective=str(manifest["objective"]),
                limits=_numbers(manifest["limits"]),
                proposals=int(manifest["proposals"]),
                method=str(manifest["method"]),
                combine=manifest["combine"],
                weights=_numbers(manifest["weights"]),
                references=_numbers(manifest["references"]),
                contexts={name: [float(x) for x in values] for name, values in manifest["contexts"].items()},
                budget=str(manifest["budget"]),
                architecture=manifest.get("architecture"),
                seed=int(manifest["seed"]),
                mapping=LogMapping.from_toml(mapping, "the run's mapping") if mapping else LogMapping(),
                columns=dict(manifest.get("columns", {})),
                feasible_values={name: _texts(many) for name, many in marks.items()},
                log_paths=None if given is None else _texts(given),
            )
        except KeyError as error:
            raise DataError(f"{file} is damaged, or of an earlier version: it lacks {error}") from None
        except (ConfigurationError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{file} is damaged: {error}") from None

    @property
    def features(self) -> dict[str, NDArray[np.float64]]:
        """Features of each application that are known."""
        return known_contexts([*self.learned_from, *self.applications], self.contexts, self.own)

    def task(self, logs: Sequence[Log]) -> OfflineTask:
        """Return what is to be designed; of empty logs where none are given.

        Raises
        ------
        ConfigurationError
            If limits, weights or references don't fit the logs.
        """
        if logs:
            _check_limits(self.limits, self.space, logs)
            logged = logged_designs(self.learned_from, list(logs), self.space, self.limits)
        else:
            none = np.zeros(0)
            learned = [name for name in self.limits if name not in self.space.metric_names]
            ranks = np.zeros((0, self.space.dimensions), self.space.rank_dtype)
            empty = LoggedDesigns(ranks, none, none.astype(np.bool_), dict.fromkeys(learned, none))
            logged = dict.fromkeys(self.learned_from or ["the log"], empty)
        return OfflineTask(
            self.space,
            logged,
            tuple(self.applications),
            self.limits,
            self.features,
            self.combine,
            self.weights or None,
            self.references or None,
        )

    def read_logs(self, logs: Any) -> list[Log]:
        """Return one log an application, or the one log where no application is named."""
        return read_logs(
            self.learned_from,
            logs,
            self.space,
            self.objective,
            self.columns,
            self.feasible_values,
            self.mapping,
        )


def resolved(
    applications: str | Sequence[str] | None,
    logs: str | Path | Log | Sequence[str | Path] | None,
    learn_from: str | Sequence[str] | None,
    *,
    space: DesignSpace,
    limits: Mapping[str, float] | None,
    weights: Mapping[str, float] | None,
    references: Mapping[str, float] | None,
    contexts: Mapping[str, Sequence[float]] | None,
    columns: Mapping[str, str] | None,
    feasible_values: Mapping[str, Sequence[str]] | None,
    **others: Any,
) -> RunInputs:
    """Return the inputs that arguments of `optimize` stand for; ConfigurationError where they don't."""
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
    features = known_contexts([*learned, *targets], contexts, own)
    if isinstance(logs, Log):
        paths: list[str] | None = [source.path for source in logs.sources]
    elif logs is None:
        paths = None
    else:
        paths = [str(path) for path in ([logs] if isinstance(logs, str | Path) else logs)]
    return RunInputs(
        applications=targets,
        learned_from=learned,
        own=own,
        space=space,
        limits={name: float(value) for name, value in limits.items()},
        weights=dict(weights or {}),
        references=dict(references or {}),
        contexts={name: features[name].tolist() for name in {**(contexts or {}), **own}},
        columns=dict(columns or {}),
        feasible_values={name: list(values) for name, values in (feasible_values or {}).items()},
        log_paths=paths,
        **others,
    )


def log_entries(logs: Sequence[Log]) -> list[dict[str, Any]]:
    """Return what a manifest says of the logs."""
    return [
        {"sources": [asdict(source) for source in log.sources], "designs": len(log), "sha256": log.sha256}
        for log in logs
    ]


def recorded_logs(manifest: Mapping[str, Any], inputs: RunInputs) -> list[Log]:
    """Read the logs of a run again.

    Parameters
    ----------
    manifest : mapping
        Where it doesn't have the logs yet, these are whatever files the run was told.
    inputs : RunInputs
        Those in the manifest.

    Raises
    ------
    DataError
        If a log is gone, has changed or is not read as it was.
    """
    entries = manifest.get("logs")
    base = manifest.get("working_directory")
    if entries is None:
        return inputs.read_logs(inputs.log_paths and [_found(path, base) for path in inputs.log_paths])
    if len(entries) != max(1, len(inputs.learned_from)):
        raise DataError(f"the manifest names {len(entries)} logs of {len(inputs.learned_from)} applications")
    # The applications share their files, unless these are bundled.
    sources = entries[0]["sources"]
    bundled = any(source["path"].startswith(BUNDLED) for source in sources)
    files = [] if bundled else [_found(source["path"], base) for source in sources]
    for file, source in zip(files, sources, strict=False):
        if not Path(file).is_file():
            raise DataError(f"the log {file} is not there")
        if digest(Path(file)) != source["sha256"]:
            raise DataError(f"the log {file} has changed since the run")
    logs = inputs.read_logs(None if bundled else files)
    check_logs(entries, logs)
    return logs


def check_logs(entries: Sequence[Mapping[str, Any]], logs: Sequence[Log]) -> None:
    """Raise DataError unless these are the logs of a manifest."""
    for log, entry in zip(logs, entries, strict=True):
        if log.sha256 != entry["sha256"]:
            paths = ", ".join(source["path"] for source in entry["sources"])
            raise DataError(f"the log {paths} is not read as it was for the run")


def _found(path: str, base: str | None) -> str:
    """Return a path that the run knew, as it is from here."""
    if base is None or Path(path).is_absolute() or Path(base) == Path.cwd():
        return path
    # The directory is no pattern, whatever characters it has.
    return str(Path(glob.escape(base) if any(c in path for c in "*?[") else base) / path)


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{str(values)[:60]!r} stands where a list of names belongs")
    return list(values)


def _numbers(values: Any) -> dict[str, float]:
    return {str(name): float(value) for name, value in values.items()}


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


def _check_limits(limits: Mapping[str, float], space: DesignSpace, logs: Sequence[Log]) -> None:
    """Raise ConfigurationError if neither the space nor the logs know a limit."""
    for name in limits:
        for log in logs if name not in space.metric_names else []:
            if name not in log.metrics:
                metrics = sorted({*space.metric_names, *log.metrics})
                raise ConfigurationError(
                    f"unknown limit `{name}`{did_you_mean(name, metrics)};"
                    f" known: {', '.join(metrics) or 'none'}"
                )


def _column(log: Log, name: str) -> NDArray[np.float64]:
    return log.frame[name].fill_null(float("nan")).to_numpy()
