"""All that the directory of a run has for a report; what is missing is named with the reason."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from prime_fast.analysis import explain_run
from prime_fast.analysis.runs import checked_manifest, logs_of, read_run
from prime_fast.errors import DataError, PrimeFastError
from prime_fast.exact import solve
from prime_fast.recording import HELD_OUT, LOG_SAMPLE, SEARCH, log_sample
from prime_fast.run_directory import read_manifest
from prime_fast.simulator import Simulator
from prime_fast.space import DesignSpace
from prime_fast.verification import EDGE_TPU_V1, simulators_for
from prime_fast.workload import Application

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prime_fast.analysis import Analysis
    from prime_fast.analysis.runs import FinishedRun
    from prime_fast.exact import SolveResult
    from prime_fast.explanation import Report

SAMPLES = 256
"""Designs that the parameters' importance is estimated from."""
SOLVE_SECONDS = 5.0
OBJECTIVES = {"latency_us": "latency", "energy_uj": "energy"}
AREA = "area_mm2"
STATUS = {
    "complete": "",
    "interrupted": "The run was interrupted: its search had not ended, so better designs may be near.",
    "running": "The run is still going on, or was killed: it has not ended.",
}


@dataclass(eq=False)
class RunRecord:
    """What there is of a run.

    Attributes
    ----------
    path : Path
    manifest : dict
    space : DesignSpace
    own : dict of str to Application
        Applications that came from files.
    proposals, held_out, search, log : polars.DataFrame or None
        Tables of the run; `log` is a sample of its logs.
    records : list of dict
        Lines of ``training.jsonl``.
    missing : dict of str to str
        Why something isn't there, by what.
    threads : int or None
        For the simulator.
    """

    path: Path
    manifest: dict[str, Any]
    space: DesignSpace
    own: dict[str, Application]
    threads: int | None = None
    proposals: pl.DataFrame | None = None
    held_out: pl.DataFrame | None = None
    search: pl.DataFrame | None = None
    log: pl.DataFrame | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def objective(self) -> str:
        """The figure that is minimised."""
        return str(self.manifest["objective"])

    @property
    def applications(self) -> list[str]:
        """Those designed for; empty where the log names none."""
        return list(self.manifest["applications"])

    @property
    def subject(self) -> str:
        """What was designed for, in words."""
        return " + ".join(self.applications) or "logged designs"

    @property
    def limits(self) -> dict[str, float]:
        """Upper limits on metrics."""
        return {name: float(limit) for name, limit in self.manifest["limits"].items()}

    @property
    def combine(self) -> str:
        """How several applications become one figure; empty for one."""
        return str(self.manifest["combine"]) if len(self.applications) > 1 else ""

    @property
    def references(self) -> list[dict[str, Any]]:
        """Designs that the run compared its proposals with."""
        return list((self.manifest.get("result") or {}).get("references", []))

    @property
    def simulated(self) -> bool:
        """Whether the proposals were simulated."""
        return self.proposals is not None and f"simulated_{self.objective}" in self.proposals.columns

    @cached_property
    def simulators(self) -> list[Simulator]:
        """One an application designed for; none where there is none."""
        return simulators_for(self.applications, self.space, self.objective, self.own)

    @cached_property
    def chosen(self) -> dict[str, Any] | None:
        """The best proposal: as simulated where any is feasible, else as predicted."""
        if self.proposals is None or self.proposals.is_empty():
            return None
        rows = self.proposals
        if self.simulated:
            rows = rows.sort(f"simulated_{self.objective}", nulls_last=True, maintain_order=True)
        return rows.row(0, named=True)

    def value_of(self, row: Mapping[str, Any]) -> float | None:
        """Return the objective of a proposal: as simulated where it was simulated, else as predicted."""
        value = row[f"{'simulated' if self.simulated else 'predicted'}_{self.objective}"]
        return None if value is None else float(value)

    def design(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters among a row's columns."""
        return {name: row[name] for name in self.space.names}

    @cached_property
    def finished(self) -> FinishedRun | None:
        """The run with its surrogate; None with a reason where it can't be had."""
        try:
            # What needs the whole log is only the reference of a worst ratio.
            return read_run(self.path, logs=self.log is None or self.manifest["combine"] == "worst")
        except PrimeFastError as error:
            self.missing["surrogate"] = str(error)
            return None

    @cached_property
    def analysis(self) -> Analysis | None:
        """What surrogate and simulator tell of the chosen design's neighbours; None with a reason."""
        if self.finished is None or self.chosen is None:
            self.missing.setdefault("surrogate", self.missing.get("proposals", ""))
            return None
        try:
            analysis = explain_run(
                self.finished,
                proposal=int(self.chosen["proposal"]),
                reference=None if self.simulators else self.best_logged(),
                most_pairs=0,
                samples=SAMPLES,
                threads=self.threads,
            )
            return analysis if self.simulators else replace(analysis, reference="the best logged design")
        except PrimeFastError as error:
            self.missing["surrogate"] = str(error)
            return None

    def best_logged(self, application: str | None = None) -> dict[str, Any] | None:
        """Return parameters of the best design in the log's sample within the limits; None where none is."""
        row = self.best_logged_row(application)
        return None if row is None else self.design(row)

    def best_logged_row(self, application: str | None = None) -> dict[str, Any] | None:
        """Return the row of the best design in the log's sample within the limits."""
        if self.log is None:
            return None
        rows = self.log.filter("feasible")
        if application is not None and len(self.manifest["learned_from"]) > 0:
            rows = rows.filter(pl.col("application") == application)
        for name, limit in self.limits.items():
            if name not in rows.columns:
                return None
            rows = rows.filter(pl.col(name) <= limit)
        rows = rows.sort(self.objective, maintain_order=True)
        return rows.row(0, named=True) if rows.height else None

    def optimum(
        self, applications: list[str] | None = None, *, area_mm2: float | None = None
    ) -> SolveResult | None:
        """Return the proven optimum within the limits, or another one on the area; None with a reason."""
        names = self.applications if applications is None else applications
        if not self.simulators:
            self.missing["optimum"] = "the bundled simulator doesn't know application, space or objective"
            return None
        if self.combine == "worst" and len(names) > 1:
            self.missing["optimum"] = "the worst ratio of several applications can't be solved exactly"
            return None
        weights = self.manifest["weights"]
        try:
            found = solve(
                [self.own.get(name, name) for name in names],
                self.limits if area_mm2 is None else {**self.limits, AREA: area_mm2},
                OBJECTIVES[self.objective],  # type: ignore[arg-type]
                weights=[weights.get(name, 1.0) for name in names],
                mean="arithmetic" if self.combine == "arithmetic" else "geometric",
                space=self.space,
                seconds=SOLVE_SECONDS,
                threads=self.threads,
            )
        except PrimeFastError as error:
            self.missing["optimum"] = str(error)
            return None
        if not found.proved:
            self.missing["optimum"] = f"no proof within {SOLVE_SECONDS:g} s of search"
            return None
        return found

    def simulated_report(self, application: str, design: Mapping[str, Any]) -> Report:
        """Simulate a design, of this space or not, and tell what its score is made of."""
        narrowed = self.space.narrowed(dict(design))
        return Simulator(self.own.get(application, application), narrowed).report(design)

    @property
    def edge_tpu(self) -> dict[str, Any] | None:
        """Parameters of the Edge TPU V1, where they are this space's."""
        if not self.simulators or not set(self.space.names) <= EDGE_TPU_V1.values.keys():
            return None
        return {name: EDGE_TPU_V1.values[name] for name in self.space.names}


def read_record(path: str | Path, threads: int | None = None) -> RunRecord:
    """Read the directory of a run, whatever its state.

    Raises
    ------
    ConfigurationError
        If there is no run.
    DataError
        If its manifest is damaged.
    """
    path = Path(path)
    manifest = read_manifest(path)
    checked_manifest(path, manifest)
    try:
        space = DesignSpace.from_toml(manifest["space"], f"the space in {path / 'manifest.json'}")
    except PrimeFastError as error:
        raise DataError(str(error)) from None
    texts = manifest.get("workloads", {})
    own = {name: Application.from_toml(text, f"the workload of {name}") for name, text in texts.items()}
    record = RunRecord(path, manifest, space, own, threads)
    record.proposals = _table(record, "proposals", "proposals.parquet")
    if record.proposals is not None:
        _check_proposals(record, record.proposals)
    record.held_out = _table(record, "held_out", HELD_OUT)
    record.search = _table(record, "search", SEARCH)
    record.log = _table(record, "log", LOG_SAMPLE)
    if record.log is None:
        logs, why = logs_of(manifest, path)
        if why is None:
            record.log = log_sample(logs, manifest["learned_from"], int(manifest.get("seed", 0)))
            del record.missing["log"]
        else:
            record.missing["log"] += f", and {why}"
    record.records = _records(record)
    return record


def ended(record: RunRecord) -> str:
    """Return how a run ended where that was not as it should; else nothing."""
    status = record.manifest["status"]
    if status == "failed":
        return f"The run failed: {record.manifest.get('error', 'no reason is recorded')}."
    return STATUS.get(status, f"The run's status is {status!r}.")


def _table(record: RunRecord, what: str, name: str) -> pl.DataFrame | None:
    file = record.path / name
    if not file.is_file():
        record.missing[what] = f"the run has no {name}"
        return None
    try:
        return pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        record.missing[what] = f"{name} is damaged: {str(error).splitlines()[0]}"
        return None


def _check_proposals(record: RunRecord, proposals: pl.DataFrame) -> None:
    needed = ["proposal", f"predicted_{record.objective}", "feasible_probability"]
    lacking = [name for name in needed if name not in proposals.columns]
    try:
        if lacking:
            raise DataError(f"it lacks the column `{lacking[0]}`")
        record.space.ranks_from_frame(proposals)
    except DataError as error:
        record.missing["proposals"] = f"proposals.parquet is damaged: {error}"
        record.proposals = None


def _records(record: RunRecord) -> list[dict[str, Any]]:
    file = record.path / "training.jsonl"
    if not file.is_file():
        record.missing["training"] = "the run has no training.jsonl"
        return []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        # The last line of a run that was killed may be half a line.
        rows = [json.loads(line) for line in lines if line.endswith("}")]
    except (OSError, ValueError, RecursionError) as error:
        record.missing["training"] = f"{file} is damaged: {error}"
        return []
    return [row for row in rows if isinstance(row, dict)]
