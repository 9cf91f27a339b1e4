"""`refine`: the rounds of a `Refinement` with an evaluator, written down so that nothing is lost.

A query is one design asked for one application.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.analysis.runs import FinishedRun, read_run
from prime_fast.errors import ConfigurationError, DataError
from prime_fast.evaluation.commands import CommandEvaluator
from prime_fast.evaluation.evaluators import Answer, CallableEvaluator, Evaluator, SimulatorEvaluator
from prime_fast.evaluation.results import Designs
from prime_fast.logs.formats import digest
from prime_fast.offline import combined
from prime_fast.refinement import Refinement
from prime_fast.refining_directory import RefinementDirectory
from prime_fast.run_directory import json_data
from prime_fast.verification import simulators_for

if TYPE_CHECKING:
    from prime_fast.space import Ranks
    from prime_fast.surrogate import Surrogate

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class RefineResult:
    """What a refinement has come to, earlier calls included.

    Attributes
    ----------
    queries : polars.DataFrame
        One row a query: ``query`` (from 1), ``round`` (from 0), the parameters, ``application`` where one is
        named, the objective, the learned metrics, ``feasible``, ``reason`` and ``failed``; see `evaluation`.
    designs : polars.DataFrame
        One row a design asked for all applications: the parameters, the objective combined over these, null
        where infeasible or beyond a limit, and ``queries``, those made by then.
    best : dict or None
        The row of the best of them; None where none is feasible within the limits.
    references : dict of str to float
        Objective of ``best logged``, and of ``best proposal`` of the run as far as it was simulated or asked.
    rounds : int
    stopped_by : str
        ``"queries"``, ``"time"``, ``"stalled"``, ``"exhausted"`` or ``"interrupt"``.
    dropped_constraints : list of str
        Learned constraints that a feasible design broke, as they were.
    surrogate : Surrogate
        As updated by all answers; after Ctrl-C as trained offline.
    seconds : dict of str to float
        Of this call: ``evaluation``, ``update`` and ``search``.
    out : Path
    """

    queries: pl.DataFrame
    designs: pl.DataFrame
    objective: str
    applications: list[str]
    limits: dict[str, float]
    best: dict[str, Any] | None
    references: dict[str, float]
    rounds: int
    stopped_by: str
    dropped_constraints: list[str]
    surrogate: Surrogate = field(repr=False)
    seconds: dict[str, float]
    out: Path

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.stopped_by == "interrupt"

    def ratios(self) -> dict[str, float]:
        """Return how many times better the best design is than each reference."""
        if self.best is None:
            return {}
        return {name: value / self.best[self.objective] for name, value in self.references.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON data, without the tables."""
        data: dict[str, Any] = json_data(
            {
                "applications": self.applications,
                "objective": self.objective,
                "limits": self.limits,
                "best": self.best,
                "references": self.references,
                "ratios": self.ratios(),
                "queries": self.queries.height,
                "feasible": int(self.queries["feasible"].sum()),
                "failed": int(self.queries["failed"].sum()),
                "rounds": self.rounds,
                "stopped_by": self.stopped_by,
                "dropped_constraints": self.dropped_constraints,
                "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
                "out": str(self.out),
            }
        )
        return data


def refine(
    run: str | Path,
    evaluator: Evaluator | Callable[[Designs], Answer] | str | None = None,
    *,
    queries: int = 64,
    batch: int = 4,
    acquisition: str | float = "mean",
    gate: float | None = None,
    minutes: float | None = None,
    patience: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    call_designs: int | None = None,
    time_limit: float | None = None,
    retries: int = 0,
    parallel: int = 1,
    designs_format: str = "csv",
    results_format: str = "csv",
    progress: Progress | None = None,
) -> RefineResult:
    """Ask a simulator, a few designs a round, and learn from each round; go on where an earlier call ended.

    Killed at any moment, the same call goes on: no answer is lost, and none is asked for twice but those
    that were under way.

    Parameters
    ----------
    run : path
        The directory of a run, as `optimize` makes it, of a method that trains a network.
    evaluator : Evaluator, callable or str, optional
        A callable as for `CallableEvaluator`, or a command as for `CommandEvaluator`; by default the bundled
        simulator, where it knows the run's applications, space and objective.
    queries : int
        Queries at most, those of earlier calls included. One is one design asked for one application.
    batch : int
        Designs a round.
    acquisition : {"conservative", "mean", "optimistic"} or float
        Deviations that are added to what is expected of a design.
    gate : float, optional
        Least probability of being feasible of what is asked; that of the run by default.
    minutes : float, optional
        Begin no round after this much time.
    patience : int, optional
        End once so many queries in a row have brought nothing better.
    seed : int
        The same seed, and the same answers, ask the same designs.
    out : path, optional
        A directory that is new, empty or that of an earlier call; ``refine`` in the run's by default.
    call_designs, time_limit, retries, parallel, designs_format, results_format
        As `batch`, `seconds` and so on of `CommandEvaluator`, for a command.
    progress : callable, optional
        Called with a stage's name, what is done and the total.

    Returns
    -------
    RefineResult
        Also after Ctrl-C, with ``stopped_by == "interrupt"``.

    Raises
    ------
    ConfigurationError, DataError
        One sentence that says what is wrong and what would be right. What the evaluator answered by then is
        kept.
    """
    for name, value in (("queries", queries), ("batch", batch), ("patience", patience)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigurationError(f"{name} is {value!r}; it must be an integer of at least 1")
    if minutes is not None and not 0.0 < minutes < math.inf:
        raise ConfigurationError(f"minutes is {minutes}; it must be positive and finite")
    finished = read_run(run)
    if finished.missing is not None:
        raise DataError(f"{run}: the surrogate can't learn more without its log: {finished.missing}")
    task = finished.task
    if queries < len(task.applications):
        raise ConfigurationError(
            f"{queries} queries are not enough for one design, which costs {len(task.applications)}"
        )
    path = Path(run) / "refine" if out is None else Path(out)
    options = {
        "batch": call_designs, "seconds": time_limit, "retries": retries, "parallel": parallel,
        "designs_format": designs_format, "results_format": results_format,
    }  # fmt: skip
    # Before there is a directory: most mistakes are in the command.
    evaluator = _evaluator(evaluator, finished, options)
    refinement = Refinement(
        task,
        finished.surrogate,
        task.space.ranks_from_frame(finished.proposals),
        acquisition=acquisition,
        gate=gate,
        seed=seed,
    )
    inputs = {
        "run": digest(Path(run) / "surrogate.safetensors"),
        "batch": batch,
        "acquisition": refinement.pessimism,
        "gate": refinement.gate,
        "seed": seed,
    }
    directory = RefinementDirectory(path, inputs)
    try:
        if isinstance(evaluator, CommandEvaluator):
            evaluator = dataclasses.replace(evaluator, directory=directory.calls)
        driver = _Driver(finished, refinement, evaluator, directory, queries, batch, progress)
        return driver.run(minutes, patience)
    finally:
        directory.close()


def _evaluator(given: object, run: FinishedRun, options: Mapping[str, Any]) -> Evaluator:
    objective, metrics = run.objective, tuple(run.task.learned_limits)
    if given is None:
        names = list(run.manifest["applications"])
        simulators = simulators_for(names, run.space, objective)
        if not simulators or metrics:
            raise ConfigurationError(
                f"the bundled simulator doesn't know the run's applications, space, objective ({objective}) "
                "or limits; name a simulator of your own by --evaluate"
            )
        applications = names or [simulators[0].application.name]
        return SimulatorEvaluator(dict(zip(applications, simulators, strict=True)), objective)
    if isinstance(given, str):
        return CommandEvaluator(given, objective, metrics, **options)
    if isinstance(given, Evaluator):
        return given
    if callable(given):
        return CallableEvaluator(given, objective, metrics)
    raise ConfigurationError(f"the evaluator is {given!r}; it must be an Evaluator, a callable or a command")


class _Driver:
    """One call of `refine`."""

    def __init__(
        self,
        run: FinishedRun,
        refinement: Refinement,
        evaluator: Evaluator,
        directory: RefinementDirectory,
        queries: int,
        batch: int,
        progress: Progress | None,
    ) -> None:
        self.finished, self.refinement, self.evaluator = run, refinement, evaluator
        self.directory, self.queries, self.batch, self.progress = directory, queries, batch, progress
        self.task, self.space = run.task, run.space
        self.surrogate = run.surrogate
        # No application is named where the log names none.
        self.named = list(run.manifest["applications"])
        self.metrics = tuple(run.task.learned_limits)
        self.seconds = {"evaluation": 0.0, "update": 0.0, "search": 0.0}
        before = {str(one) for several in run.surrogate.constraints for one in several}
        self.constraints_before = before

    def run(self, minutes: float | None, patience: int | None) -> RefineResult:
        start = time.perf_counter()
        try:
            self._resume()
            while (stopped := self._stopped(start, minutes, patience)) is None:
                if not self._round():
                    stopped = "exhausted"
                    break
            self.surrogate = self._learn()
        except KeyboardInterrupt:
            stopped = "interrupt"
        except Exception as error:
            self.directory.write_manifest(status="failed", error=str(error))
            raise
        result = self._result(stopped)
        status = "interrupted" if result.interrupted else "complete"
        self.directory.write_manifest(status=status, error=None, result=result.as_dict())
        return result

    def _resume(self) -> None:
        """Take up what is in the directory, as if it had been told just now."""
        for indices in self.directory.rounds:
            if not self._complete(indices):
                self._evaluate(indices)
            self.refinement.tell(self._ranks(indices), self._frames(indices))
        if self.directory.rounds:
            self._write_queries()

    def _round(self) -> bool:
        """Ask, evaluate and learn once; False where there is nothing left to ask."""
        left = (self.queries - self._told) // len(self.task.applications)
        began = time.perf_counter()
        ranks = self.refinement.ask(min(self.batch, left))
        self.seconds["search"] += time.perf_counter() - began
        if not len(ranks):
            return False
        indices = self.space.indices(ranks).tolist()
        self.directory.ask(indices)
        self._evaluate(indices)
        self.refinement.tell(ranks, self._frames(indices))
        return True

    def _evaluate(self, indices: list[int]) -> None:
        """Ask for what of a round is not answered yet, and write down each answer as it comes."""
        began = time.perf_counter()
        for application in self.task.applications:
            open_ = [index for index in indices if (index, application) not in self.directory.answers]
            if not open_:
                continue
            name = application if self.named else ""
            designs = Designs(self.space, self._ranks(open_), name)
            held: list[tuple[list[int], list[dict[str, Any]]]] = []
            with closing(_iterator(self.evaluator.evaluate(designs))) as parts:
                for part in parts:
                    chosen = open_[part.first : part.first + part.results.height]
                    answers = self._answers(part.results)
                    # A simulator that never answered may be broken: its failures tell nothing of designs.
                    if not self._answered and all(answer["failed"] for answer in answers):
                        held.append((chosen, answers))
                        continue
                    for earlier in (*held, (chosen, answers)):
                        self._write(application, *earlier)
                    held = []
            if held:
                reason = held[0][1][0]["reason"]
                raise DataError(
                    f"the simulator is broken, or its time limit too short: all {len(open_)} designs of the "
                    f"first batch failed; the first one: {reason}"
                )
        self.seconds["evaluation"] += time.perf_counter() - began

    def _write(self, application: str, chosen: list[int], answers: list[dict[str, Any]]) -> None:
        self.directory.tell(application, chosen, answers)
        self._write_queries()
        if self.progress is not None:
            self.progress("queries", self._told, self.queries)

    def _answers(self, results: pl.DataFrame) -> list[dict[str, Any]]:
        return [
            {
                "objective": row[self.finished.objective],
                "metrics": {name: row[name] for name in self.metrics},
                "feasible": row["feasible"],
                "reason": row["reason"],
                "failed": row["failed"],
            }
            for row in results.iter_rows(named=True)
        ]

    def _learn(self) -> Surrogate:
        """Return the surrogate as trained further on all answers, by an earlier call if that had the same."""
        began = time.perf_counter()
        saved = self.directory.surrogate()
        if saved is None or saved.selection.get("answers") != self._told:
            saved = self.refinement.learned()
            self.directory.save(saved)
        self.seconds["update"] += time.perf_counter() - began
        return saved

    def _frames(self, indices: list[int]) -> dict[str, pl.DataFrame]:
        """Return a round's results by application, in the order in which they were asked for."""
        frames = {}
        for application in self.task.applications:
            rows = [self.directory.answers[index, application] for index in indices]
            columns = {self.finished.objective: [row["objective"] for row in rows]}
            columns |= {name: [row["metrics"].get(name) for row in rows] for name in self.metrics}
            schema = dict.fromkeys(columns, pl.Float64)
            frames[application] = pl.DataFrame(columns, schema=schema).with_columns(
                pl.Series("feasible", [row["feasible"] for row in rows], dtype=pl.Boolean),
                pl.Series("reason", [row["reason"] for row in rows], dtype=pl.String),
                pl.Series("failed", [row["failed"] for row in rows], dtype=pl.Boolean),
            )
        return frames

    def _ranks(self, indices: list[int]) -> Ranks:
        return self.space.ranks(np.array(indices, np.uint64))

    def _complete(self, indices: list[int]) -> bool:
        keys = [(index, name) for index in indices for name in self.task.applications]
        return all(key in self.directory.answers for key in keys)

    @property
    def _told(self) -> int:
        return len(self.directory.answers)

    @property
    def _answered(self) -> bool:
        return any(not answer["failed"] for answer in self.directory.answers.values())

    def _stopped(self, start: float, minutes: float | None, patience: int | None) -> str | None:
        if self.queries - self._told < len(self.task.applications):
            return "queries"
        if minutes is not None and time.perf_counter() - start >= 60.0 * minutes:
            return "time"
        if patience is not None:
            designs = self._designs()
            best = designs[self.finished.objective].arg_min()
            since = self._told - (0 if best is None else int(designs["queries"][best]))
            if since >= patience:
                return "stalled"
        return None

    def _write_queries(self) -> None:
        self.directory.write_queries(self._queries())

    def _queries(self) -> pl.DataFrame:
        """Return the answers as a log, round by round in the order asked for."""
        keys, rounds = [], []
        for number, indices in enumerate(self.directory.rounds):
            for application in self.task.applications:
                told = [(index, application) for index in indices]
                told = [key for key in told if key in self.directory.answers]
                keys += told
                rounds += [number] * len(told)
        answers = [self.directory.answers[key] for key in keys]
        frame = self.space.frame(self._ranks([index for index, _ in keys]))
        frame = frame.insert_column(0, pl.Series("query", range(1, len(keys) + 1), dtype=pl.Int64))
        frame = frame.insert_column(1, pl.Series("round", rounds, dtype=pl.Int64))
        if self.named:
            frame = frame.with_columns(application=pl.Series([name for _, name in keys], dtype=pl.String))
        columns = [
            pl.Series(self.finished.objective, [answer["objective"] for answer in answers], dtype=pl.Float64),
            *(
                pl.Series(name, [answer["metrics"].get(name) for answer in answers], dtype=pl.Float64)
                for name in self.metrics
            ),
            pl.Series("feasible", [answer["feasible"] for answer in answers], dtype=pl.Boolean),
            pl.Series("reason", [answer["reason"] for answer in answers], dtype=pl.String),
            pl.Series("failed", [answer["failed"] for answer in answers], dtype=pl.Boolean),
        ]
        return frame.with_columns(columns)

    def _designs(self) -> pl.DataFrame:
        """Return the designs answered for all applications with what they are worth."""
        names, answers = self.task.applications, self.directory.answers
        kept, values, made = [], [], []
        for number, indices in enumerate(self.directory.rounds):
            before = sum(map(len, self.directory.rounds[:number])) * len(names)
            for place, index in enumerate(indices, 1):
                if any((index, name) not in answers for name in names):
                    continue
                rows = [answers[index, name] for name in names]
                usable = all(row["feasible"] for row in rows)
                for metric, limit in self.task.learned_limits.items():
                    known = [row["metrics"].get(metric) for row in rows]
                    usable &= all(value is not None and value <= limit for value in known)
                kept.append(index)
                made.append(before + place * len(names))
                if len(names) == 1 and self.task.combine != "worst":
                    # As answered, to the last bit.
                    values.append(rows[0]["objective"] if usable else math.nan)
                    continue
                logarithms = [[math.log(row["objective"])] if usable else [math.nan] for row in rows]
                values.append(float(np.exp(combined(self.task, np.array(logarithms)))[0]))
        frame = self.space.frame(self._ranks(kept))
        objective = pl.Series(self.finished.objective, values, dtype=pl.Float64).fill_nan(None)
        return frame.with_columns(objective, pl.Series("queries", made, dtype=pl.Int64))

    def _result(self, stopped: str) -> RefineResult:
        objective, designs = self.finished.objective, self._designs()
        best = designs[objective].arg_min()
        references = {}
        names = self.task.applications
        logged = self.task.best_logged(names[0]) if len(names) == 1 and names[0] in self.task.logs else None
        if logged is not None:
            references["best logged"] = logged
        if (proposed := self._best_proposal(designs)) is not None:
            references["best proposal"] = proposed
        after = {str(one) for several in self.surrogate.constraints for one in several}
        return RefineResult(
            queries=self._queries(),
            designs=designs,
            objective=objective,
            applications=self.named,
            limits=dict(self.task.limits),
            best=None if best is None else designs.row(best, named=True),
            references=references,
            rounds=len(self.directory.rounds),
            stopped_by=stopped,
            dropped_constraints=sorted(self.constraints_before - after),
            surrogate=self.surrogate,
            seconds=self.seconds,
            out=self.directory.path,
        )

    def _best_proposal(self, designs: pl.DataFrame) -> float | None:
        """Return what the best proposal of the run is worth, by what is known of them."""
        proposals, objective = self.finished.proposals, self.finished.objective
        values = []
        if f"simulated_{objective}" in proposals.columns:
            values += proposals[f"simulated_{objective}"].drop_nulls().to_list()
        proposed = set(self.space.indices(self.space.ranks_from_frame(proposals)).tolist())
        asked = self.space.indices(self.space.ranks_from_frame(designs)).tolist()
        for index, value in zip(asked, designs[objective].to_list(), strict=True):
            if index in proposed and value is not None:
                values.append(value)
        return min(values, default=None)


def _iterator(parts: Any) -> Any:
    """Return something that can be closed: an evaluator of the user's may hand back a list."""
    return parts if hasattr(parts, "close") else (part for part in parts)


__all__ = ["RefineResult", "refine"]
