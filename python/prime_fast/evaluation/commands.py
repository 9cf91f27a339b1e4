"""A command as an evaluator: calls in parallel, tried again, and split until one design is known to fail."""

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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from prime_fast.errors import ConfigurationError, PrimeFastError, did_you_mean
from prime_fast.evaluation.evaluators import check_count
from prime_fast.evaluation.results import IDENTIFIER, Designs, Part, checked_results, failures
from prime_fast.logs import read_table, write_table

FORMATS = ("csv", "parquet")
PLACEHOLDERS = ("designs", "results", "application")
POLL_SECONDS = 0.1
GRACE_SECONDS = 0.3
"""From asking processes to end to killing them."""
SHOWN = 200
"""Characters of a simulator's last words that a reason quotes."""


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
        check_count("batch", self.batch)
        check_count("parallel", self.parallel)
        check_count("retries", self.retries, 0)
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
            calls.parts.put(Part(first, failures(reason, self.objective, self.metrics)))

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


__all__ = ["CommandEvaluator"]
