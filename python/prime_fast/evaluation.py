"""Evaluators: what tells the objective of designs, be it a function, a command or the bundled simulator.

An evaluator takes `Designs` and yields `Part` after part of their results, a row a design:

- the objective, float64, positive; null where the design is infeasible;
- each metric asked for, float64, null where unknown;
- ``feasible``, bool, and ``reason``, str, null where feasible;
- ``failed``, bool: infeasible not by the evaluator's word but because it gave none that can be used.

A design fails by itself if a call for it alone exceeds the time limit, ends with an exit code or without
results, or if its row is missing or its objective no positive, finite number. What no other design can get
past either is an error, not a failure: a command that can't be run, results without the objective's column or
with rows that belong to no design.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import polars as pl

from prime_fast.errors import ConfigurationError, DataError, PrimeFastError, did_you_mean
from prime_fast.logs import read_table, write_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.simulator import Simulator
    from prime_fast.space import DesignSpace, Ranks

FORMATS = ("csv", "parquet")
PLACEHOLDERS = ("designs", "results", "application")
IDENTIFIER = "design_id"
"""Column of a command's designs, from 0, by which rows of its results may say which design they are of."""
POLL_SECONDS = 0.1
GRACE_SECONDS = 0.3
"""From asking processes to end to killing them."""
SHOWN = 200
"""Characters of a simulator's last words that a reason quotes."""
_FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


@dataclass(frozen=True, eq=False)
class Designs:
    """Designs to be evaluated for one application.

    Attributes
    ----------
    space : DesignSpace
    ranks : ndarray of shape (n, parameters), integer
    application : str
        Empty where nobody named one.
    """

    space: DesignSpace
    ranks: Ranks
    application: str = ""

    def __len__(self) -> int:
        return len(self.ranks)

    def __getitem__(self, rows: slice) -> Designs:
        return Designs(self.space, self.ranks[rows], self.application)

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The values, a column a parameter."""
        return self.space.frame(self.ranks)


class Part(NamedTuple):
    """Results of some designs next to one another."""

    first: int
    """Row of the first among the designs evaluated."""
    results: pl.DataFrame


@runtime_checkable
class Evaluator(Protocol):
    """What tells the objective of designs."""

    def evaluate(self, designs: Designs) -> Iterator[Part]:
        """Yield results in any order, all of them once, each as soon as it is there.

        Closing the iterator ends what is under way.
        """


Answer: TypeAlias = "pl.DataFrame | Mapping[str, Any] | Sequence[float] | NDArray[np.float64]"


def evaluate(evaluator: Evaluator, designs: Designs) -> pl.DataFrame:
    """Return the results of all designs in their order; see the module for the columns."""
    parts = sorted(evaluator.evaluate(designs), key=lambda part: part.first)
    return pl.concat([part.results for part in parts])


@dataclass(frozen=True, eq=False)
class CallableEvaluator:
    """A function from `Designs` to their objective.

    Attributes
    ----------
    function : callable
        Returns numbers, one a design, NaN where infeasible; or a frame or mapping of columns with the
        objective's name, those of the metrics, and perhaps ``feasible`` and ``reason``. What it raises comes
        back as it is.
    objective : str
    metrics : sequence of str
    batch : int, optional
        Designs a call at most; all by default.
    """

    function: Callable[[Designs], Answer]
    objective: str = "latency_us"
    metrics: Sequence[str] = ()
    batch: int | None = None

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not callable(self.function):
            raise ConfigurationError(f"the evaluator is {self.function!r}; it must be callable")
        _check_count("batch", self.batch)

    def evaluate(self, designs: Designs) -> Iterator[Part]:
        """Call the function batch by batch."""
        for first in range(0, len(designs), self.batch or max(1, len(designs))):
            some = designs[first : first + (self.batch or len(designs))]
            answer = self.function(some)
            if not isinstance(answer, pl.DataFrame | Mapping):
                try:
                    numbers = np.asarray(answer, np.float64)
                except (TypeError, ValueError):
                    raise DataError(f"the evaluator returned {answer!r}; it must return numbers") from None
                if numbers.shape != (len(some),):
                    raise DataError(
                        f"the evaluator returned shape {numbers.shape} for {len(some)} designs; it must "
                        "return one number a design"
                    )
                answer = {self.objective: pl.Series(numbers, nan_to_null=True)}
            table = pl.DataFrame(answer)
            yield Part(first, checked_results(table, some, self.objective, self.metrics, "the evaluator"))


@dataclass(frozen=True, eq=False)
class SimulatorEvaluator:
    """The bundled simulator.

    Attributes
    ----------
    simulators : mapping of str to Simulator
        By application; the only one also serves designs for which none is named.
    objective : str
        ``latency_us`` or ``energy_uj``.
    metrics : sequence of str
        Of ``latency_us``, ``energy_uj``, ``average_power_mw``, ``peak_power_mw`` and ``area_mm2``.
    """

    simulators: Mapping[str, Simulator]
    objective: str = "latency_us"
    metrics: Sequence[str] = ()

    def evaluate(self, designs: Designs) -> Iterator[Part]:
        """Simulate all designs at once."""
        only = next(iter(self.simulators.values())) if len(self.simulators) == 1 else None
        simulator = self.simulators.get(designs.application, only if not designs.application else None)
        if simulator is None:
            raise ConfigurationError(
                f"there is no simulator of {designs.application or 'no application'}; there are those of "
                f"{', '.join(self.simulators)}"
            )
        scores = simulator.score(designs.ranks)
        columns = {
            name: pl.Series(getattr(scores, name), nan_to_null=True)
            for name in (self.objective, *self.metrics)
        }
        told = {"feasible": scores.feasible, "reason": pl.Series(scores.reasons(), dtype=pl.String)}
        table = pl.DataFrame({**columns, **told})
        yield Part(0, checked_results(table, designs, self.objective, self.metrics, "the simulator"))


@dataclass(frozen=True, eq=False)
class CommandEvaluator:
    """A program that reads a file of designs and writes one of results.

    Attributes
    ----------
    command : str
        Split as by a shell, but run without one. ``{designs}`` and ``{results}`` stand for the files,
        ``{application}`` for the application's name. The designs have a column `IDENTIFIER` and one a
        parameter; the results need one with the objective, and to tell which design a row is of either of
        these, or as many rows as designs in the same order. They may have ``feasible`` (true or false; an
        empty objective says the same) and ``reason``.
    objective : str
    metrics : sequence of str
        Other columns that the results must have.
    designs_format, results_format : {"csv", "parquet"}
    batch : int, optional
        Designs a call; by default they are divided among the parallel calls.
    seconds : float, optional
        Time limit of a call.
    retries : int
        How often a call is tried again that failed. One with several designs is then split in two, until it
        is known which design fails.
    parallel : int
        Calls at a time.
    directory : path, optional
        Where calls have their files while they run; the system's by default.

    Raises
    ------
    ConfigurationError
        If the command can't be split, lacks ``{designs}`` or ``{results}``, has another placeholder, or there
        is no such program; or if a number is out of range.
    """

    command: str
    objective: str = "latency_us"
    metrics: Sequence[str] = ()
    designs_format: str = "csv"
    results_format: str = "csv"
    batch: int | None = None
    seconds: float | None = None
    retries: int = 0
    parallel: int = 1
    directory: Path | None = None
    words: list[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the arguments."""
        object.__setattr__(self, "words", _split(self.command))
        for name in ("designs_format", "results_format"):
            if getattr(self, name) not in FORMATS:
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; it must be csv or parquet")
        _check_count("batch", self.batch)
        _check_count("parallel", self.parallel)
        _check_count("retries", self.retries, 0)
        if self.seconds is not None and not 0.0 < self.seconds < float("inf"):
            raise ConfigurationError(f"the time limit is {self.seconds} s; it must be positive and finite")

    def evaluate(self, designs: Designs) -> Iterator[Part]:
        """Run the calls; closing the iterator, or Ctrl-C, ends their processes and all that these started."""
        size = self.batch or -(-len(designs) // self.parallel)
        calls = _Calls()
        executor = ThreadPoolExecutor(self.parallel)
        try:
            for first in range(0, len(designs), max(1, size)):
                executor.submit(self._work, calls, designs, first, min(size, len(designs) - first))
            left = len(designs)
            while left:
                try:
                    # Ctrl-C may reach another thread: this one looks now and then.
                    part = calls.parts.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    continue
                if isinstance(part, BaseException):
                    raise part
                left -= part.results.height
                yield part
        except KeyboardInterrupt:
            calls.stop()
            executor.shutdown(wait=True, cancel_futures=True)
            while not calls.parts.empty():
                # What was finished is not lost.
                if isinstance(part := calls.parts.get(), Part):
                    yield part
            raise
        finally:
            calls.stop()
            executor.shutdown(wait=True, cancel_futures=True)

    def _work(self, calls: _Calls, designs: Designs, first: int, count: int) -> None:
        """Evaluate some designs; hand back parts, or what went wrong."""
        try:
            self._answer(calls, designs, first, count)
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 (raised again where it is waited for)
            calls.parts.put(error)

    def _answer(self, calls: _Calls, designs: Designs, first: int, count: int) -> None:
        some, reason = designs[first : first + count], ""
        for _ in range(1 + self.retries):
            try:
                table = self._call(calls, some)
            except _FailedError as error:
                reason = str(error)
            else:
                origin = f"the results of `{self.words[0]}`"
                results = checked_results(table, some, self.objective, self.metrics, origin)
                calls.parts.put(Part(first, results))
                return
        if count > 1:
            self._answer(calls, designs, first, count // 2)
            self._answer(calls, designs, first + count // 2, count - count // 2)
        else:
            calls.parts.put(Part(first, _failures(reason, self.objective, self.metrics)))

    def _call(self, calls: _Calls, designs: Designs) -> pl.DataFrame:
        """Run the command once and return its results as they are."""
        with tempfile.TemporaryDirectory(
            prefix="call-", dir=self.directory, ignore_cleanup_errors=True
        ) as name:
            files = {
                "designs": Path(name) / f"designs.{self.designs_format}",
                "results": Path(name) / f"results.{self.results_format}",
            }
            # Absolute: the command may change its directory.
            values = {key: str(file.absolute()) for key, file in files.items()}
            values["application"] = designs.application
            words = [re.sub(r"\{(\w+)\}", lambda found: values[found[1]], word) for word in self.words]
            identifiers = pl.Series(IDENTIFIER, range(len(designs)), dtype=pl.Int64)
            write_table(designs.frame.select(identifiers, pl.all()), files["designs"])
            errors = Path(name) / "stderr"
            code = calls.run(words, errors, self.seconds)
            if code:
                how = f"exit code {code}" if code > 0 else f"killed by {_signal_name(-code)}"
                last = _last_line(errors)
                raise _FailedError(f"{how}: {last}" if last else how)
            if not files["results"].exists():
                raise _FailedError("no results were written")
            try:
                return read_table(files["results"])[0]
            except PrimeFastError as error:
                # By its own name: the directory is gone when this is read.
                raise _FailedError(str(error).replace(values["results"], "the results file")) from None


class _FailedError(Exception):
    """A call gave no results; the text says why."""


class _StoppedError(Exception):
    """Nobody waits for the call any more."""


class _Calls:
    """The processes under way and what finished ones handed back."""

    def __init__(self) -> None:
        self.parts: queue.SimpleQueue[Part | BaseException] = queue.SimpleQueue()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, words: list[str], errors: Path, seconds: float | None) -> int:
        """Run a process to its end and return its exit code."""
        with errors.open("wb") as file, self._lock:
            if self._stopped:
                raise _StoppedError
            try:
                # A group of its own: Ctrl-C in the terminal is ours to hand on, and to all that it starts.
                process = subprocess.Popen(  # noqa: S603 (the user's command)
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=file,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                cause = getattr(error, "strerror", None) or error
                raise ConfigurationError(f"`{words[0]}` can't be run: {cause}") from None
            self._processes.add(process)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            _end([process])
            raise _FailedError(f"not done after {seconds:g} s") from None
        finally:
            with self._lock:
                self._processes.discard(process)
        if self._stopped:
            raise _StoppedError
        return code

    def stop(self) -> None:
        """End all processes, and start no more."""
        with self._lock:
            self._stopped = True
            processes = list(self._processes)
        _end(processes)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ask the groups of these processes to end, then kill them."""
    for number in ("SIGTERM", "SIGKILL"):
        for process in processes:
            if hasattr(os, "killpg"):
                # The group outlives its leader where that has left others behind.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, getattr(signal, number))
            elif process.poll() is None:
                process.kill()
        until = time.monotonic() + GRACE_SECONDS
        while any(process.poll() is None for process in processes) and time.monotonic() < until:
            time.sleep(0.01)


def checked_results(
    table: pl.DataFrame, designs: Designs, objective: str, metrics: Sequence[str], origin: str
) -> pl.DataFrame:
    """Return an evaluator's answer as results, in the order of the designs.

    Parameters
    ----------
    table : polars.DataFrame
        Columns as the evaluator gave them, texts or typed.
    designs : Designs
        Those that were asked.
    objective : str
    metrics : sequence of str
    origin : str
        What gave the answer, for messages.

    Returns
    -------
    polars.DataFrame

    Raises
    ------
    DataError
        If a column is missing, or the rows can't be told apart or belong to no design.
    """
    for name in (objective, *metrics):
        if name not in table.columns:
            shown = ", ".join(table.columns[:20]) or "none"
            raise DataError(
                f"{origin} lack a column `{name}`{did_you_mean(name, table.columns)}; they have {shown}"
                if origin.startswith("the results")
                else f"{origin} gave no `{name}`{did_you_mean(name, table.columns)}, but {shown}"
            )
    places = _places(table, designs, origin)
    rows = table.with_columns(places.alias("#place")).filter(pl.col("#place").is_not_null())
    asked = pl.DataFrame({"#place": pl.Series(range(len(designs)), dtype=pl.Int64)})
    rows = asked.join(rows.with_columns(pl.lit(value=True).alias("#there")), on="#place", how="left")
    there = rows["#there"].fill_null(value=False)
    numbers = {name: _numbers(rows[name]) for name in (objective, *metrics)}
    given, value = rows[objective], numbers[objective]
    empty = given.is_null() | (_text(given) == "")
    says = pl.Series([None], dtype=pl.Boolean).new_from_index(0, len(designs))
    if "feasible" in rows.columns:
        flags = _text(rows["feasible"]).str.to_lowercase()
        says = flags.replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean)
        unclear = there & says.is_null()
    else:
        unclear = says.is_not_null()
        says = ~empty
    reasons: list[str | None] = [None] * len(designs)
    if "reason" in rows.columns:
        reasons = _text(rows["reason"]).to_list()
    feasible, failed = [], []
    for row in range(len(designs)):
        fault = None
        if not there[row]:
            fault = "no row in the results"
        elif unclear[row]:
            fault = f"feasible is {rows['feasible'][row]!r}, neither true nor false"
        elif says[row]:
            fault = _fault(objective, given[row], value[row], empty=bool(empty[row]))
        feasible.append(fault is None and bool(says[row]))
        failed.append(fault is not None)
        if fault is not None:
            reasons[row] = fault
        elif feasible[row]:
            reasons[row] = None
        elif not reasons[row]:
            reasons[row] = "infeasible"
    good = pl.Series(feasible, dtype=pl.Boolean)
    return pl.DataFrame(
        {
            objective: value.set(~good, None),
            **{name: numbers[name].fill_nan(None) for name in metrics},
            "feasible": good,
            "reason": pl.Series(reasons, dtype=pl.String),
            "failed": pl.Series(failed, dtype=pl.Boolean),
        }
    )


def _fault(objective: str, given: object, value: float | None, *, empty: bool) -> str | None:
    """Return what is wrong with the objective of a design that is said to be feasible."""
    if empty:
        return f"feasible, but without {objective}"
    if value is None:
        return f"{objective} is {given!r}, not a number"
    if np.isnan(value):
        return f"{objective} is NaN"
    if not 0.0 < value < float("inf"):
        return f"{objective} is {value:g}; it must be positive and finite"
    return None


def _places(table: pl.DataFrame, designs: Designs, origin: str) -> pl.Series:
    """Return which design each row is of."""
    if IDENTIFIER in table.columns and IDENTIFIER not in designs.space.names:
        places = _numbers(table[IDENTIFIER])
        known = places.is_in([float(row) for row in range(len(designs))]).fill_null(value=False)
        if not known.all():
            found = table[IDENTIFIER].filter(~known)[0]
            raise DataError(
                f"{origin} have a row of {IDENTIFIER} {found}; it must be one of those asked, "
                f"0 to {len(designs) - 1}"
            )
        places = places.cast(pl.Int64)
    elif set(designs.space.names) <= set(table.columns):
        try:
            ranks = designs.space.ranks_from_frame(table)
        except DataError as error:
            raise DataError(f"{origin} are of no design in the space: {error}") from None
        rows = {index: row for row, index in enumerate(designs.space.indices(designs.ranks).tolist())}
        found_rows = [rows.get(index) for index in designs.space.indices(ranks).tolist()]
        if None in found_rows:
            raise DataError(f"{origin}: row {found_rows.index(None) + 1} is of a design that was not asked")
        places = pl.Series(found_rows, dtype=pl.Int64)
    elif table.height == len(designs):
        return pl.Series(range(table.height), dtype=pl.Int64)
    else:
        raise DataError(
            f"{origin}: {table.height} rows for {len(designs)} designs, and no column {IDENTIFIER}, nor one "
            "for each parameter, that tells which row is of which"
        )
    if places.is_duplicated().any():
        twice = int(places.filter(places.is_duplicated())[0])
        raise DataError(f"{origin} have more than one row of design {twice}")
    return places


def _failures(reason: str, objective: str, metrics: Sequence[str]) -> pl.DataFrame:
    """Return the results of one design that failed."""
    nothing = pl.Series([None], dtype=pl.Float64)
    return pl.DataFrame(
        {
            **dict.fromkeys((objective, *metrics), nothing),
            "feasible": [False],
            "reason": pl.Series([reason], dtype=pl.String),
            "failed": [True],
        }
    )


def _split(command: str) -> list[str]:
    """Return the words of a command; ConfigurationError unless it can be run."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigurationError(f"the command {command!r} can't be split: {error}") from None
    if not words:
        raise ConfigurationError("the command is empty; give one such as `my_sim {designs} {results}`")
    found = {name for word in words for name in re.findall(r"\{(\w+)\}", word)}
    if unknown := sorted(found - set(PLACEHOLDERS)):
        raise ConfigurationError(
            f"the command has a placeholder {{{unknown[0]}}}{did_you_mean(unknown[0], PLACEHOLDERS)}; known: "
            + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        )
    for name in ("designs", "results"):
        if name not in found:
            raise ConfigurationError(
                f"the command {command!r} lacks {{{name}}}, which stands for the file of {name}"
            )
    if shutil.which(words[0]) is None:
        missing = not Path(words[0]).exists()
        what = "there is no such program" if missing else "it is not an executable program"
        raise ConfigurationError(f"the command `{words[0]}` can't be run: {what}")
    return words


def _check_count(name: str, value: int | None, least: int = 1) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise ConfigurationError(f"{name} is {value!r}; it must be an integer of at least {least}")


def _text(column: pl.Series) -> pl.Series:
    return column.cast(pl.String, strict=False).str.strip_chars()


def _numbers(column: pl.Series) -> pl.Series:
    """Return a column as float64, null where it isn't a number."""
    return (_text(column) if column.dtype == pl.String else column).cast(pl.Float64, strict=False)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(path: Path) -> str:
    """Return the last line of a file that says something."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 8192))
        lines = file.read().decode("utf-8", "replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return last if len(last) <= SHOWN else f"{last[: SHOWN - 3]}..."


__all__ = [
    "CallableEvaluator",
    "CommandEvaluator",
    "Designs",
    "Evaluator",
    "Part",
    "SimulatorEvaluator",
    "checked_results",
    "evaluate",
]
