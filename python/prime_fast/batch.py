"""Files of designs through the simulator, in chunks: neither designs nor results need fit in memory."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.logs.writing import atomic_file, check_suffix

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from prime_fast.simulator import Simulator
    from prime_fast.space import Ranks

CHUNK = 1 << 16
"""Designs scored per call."""
PARQUET = (".parquet", ".pq")
FIGURES = ("latency_us", "area_mm2", "energy_uj", "average_power_mw", "peak_power_mw")

# Polars raises PanicException, no Exception at all, on some damaged files.
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError)


@dataclass
class BatchSummary:
    """What a batch of designs came to.

    Attributes
    ----------
    designs, feasible : int
    reasons : Counter of str
        How many designs fail each check.
    example : dict of str to str
        The first explanation of each check.
    least, most : dict of str to float
        Over the feasible designs, by figure.
    best, best_row : dict of str to value or None, int
        The design of the least latency, the first of equals, and its row, from 1; None where none is
        feasible.
    interrupted : bool
        Whether Ctrl-C ended it early.
    """

    designs: int = 0
    feasible: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    example: dict[str, str] = field(default_factory=dict)
    least: dict[str, float] = field(default_factory=dict)
    most: dict[str, float] = field(default_factory=dict)
    best: dict[str, Any] | None = None
    best_row: int = 0
    interrupted: bool = False

    def add(self, results: pl.DataFrame) -> None:
        """Count the results of one chunk."""
        feasible = results.filter("feasible")
        failed = results.filter(~pl.col("feasible"))
        self.reasons.update(dict(failed["reason"].value_counts().iter_rows()))
        for reason, text in (
            failed.group_by("reason", maintain_order=True).agg(pl.first("explanation")).iter_rows()
        ):
            self.example.setdefault(reason, text)
        for name in FIGURES if feasible.height else ():
            low, high = float(feasible[name].min()), float(feasible[name].max())  # type: ignore[arg-type]
            if name == FIGURES[0] and low < self.least.get(name, float("inf")):
                row = int(results[name].arg_min() or 0)
                self.best, self.best_row = results.row(row, named=True), self.designs + row + 1
            self.least[name] = min(low, self.least.get(name, low))
            self.most[name] = max(high, self.most.get(name, high))
        self.designs += results.height
        self.feasible += feasible.height

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        fields = {name: getattr(self, name) for name in ("designs", "feasible", "least", "most")}
        reasons = {
            name: {"designs": n, "example": self.example[name]} for name, n in self.reasons.most_common()
        }
        best = None if self.best is None else {"row": self.best_row, **self.best}
        return fields | {"reasons": reasons, "best": best, "interrupted": self.interrupted}


def _scan(path: Path) -> pl.LazyFrame:
    # CSV as text, so that a bad entry can be named.
    return pl.scan_parquet(path) if path.suffix in PARQUET else pl.scan_csv(path, infer_schema=False)


def read_chunks(path: str | Path, columns: list[str]) -> Iterator[pl.DataFrame]:
    """Yield those columns of a CSV (plain or compressed) or Parquet file, up to `CHUNK` rows at a time.

    Raises
    ------
    ConfigurationError
        If there is no such file.
    DataError
        If it can't be read as a table, lacks a column or has no rows.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigurationError(f"{path}: no such file; expected designs, one a row, in CSV or Parquet")
    if path.is_dir():
        raise DataError(f"{path} is a directory: name a file of designs")
    rows = 0
    try:
        table = _scan(path)
        names = table.collect_schema().names()
        if missing := [name for name in columns if name not in names]:
            raise DataError(
                f"{path} has no column `{missing[0]}`; expected one for each parameter: {', '.join(columns)}"
            )
        for batch in table.select(columns).collect_batches(chunk_size=CHUNK, maintain_order=True):
            rows += batch.height
            yield batch
    except DataError:
        raise
    except _UNREADABLE as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        expected = "a Parquet file" if path.suffix in PARQUET else "a CSV file with a header line"
        raise DataError(f"{path} can't be read as {expected}: {cause}") from error
    if not rows:
        raise DataError(f"{path} has no rows: expected one a design")


def results(simulator: Simulator, designs: Ranks, threads: int | None = None) -> pl.DataFrame:
    """Simulate designs and return their values and figures.

    Parameters
    ----------
    simulator : Simulator
    designs : ndarray of shape (n_designs, n_parameters), uint8 or uint16
        Ranks.
    threads : int, optional
        Number of threads; all processors by default.

    Returns
    -------
    polars.DataFrame
        One row a design: the parameters' values; ``latency_us``, ``area_mm2``, ``energy_uj``,
        ``average_power_mw`` and ``peak_power_mw`` (float64, null where an infeasible design has none);
        ``feasible``, bool; ``reason`` and ``explanation``, str, null where feasible.
    """
    scores = simulator.score(designs, threads)
    explanations: list[str | None] = [None] * len(scores)
    failed = (~scores.feasible).nonzero()[0]
    for row, text in zip(failed, simulator.explain(designs[failed]), strict=True):
        explanations[row] = text
    return simulator.space.frame(designs).with_columns(
        *(pl.Series(name, getattr(scores, name), nan_to_null=True) for name in FIGURES),
        pl.Series("feasible", scores.feasible),
        pl.Series("reason", scores.reasons(), dtype=pl.String),
        pl.Series("explanation", explanations, dtype=pl.String),
    )


def simulate_file(
    simulator: Simulator,
    path: str | Path,
    out: str | Path | None = None,
    *,
    threads: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> BatchSummary:
    """Simulate the designs of a file, and write their results if wanted.

    Parameters
    ----------
    simulator : Simulator
    path : str or Path
        CSV (plain or compressed) or Parquet with a column for each parameter; others are ignored.
    out : str or Path, optional
        Table of :func:`results` to write, ``.csv`` or ``.parquet``, in the order of the rows, whole or not at
        all. Where Ctrl-C ends the work, it holds the chunks done until then.
    threads : int, optional
        Number of threads; all processors by default.
    progress : callable, optional
        Called after each chunk with what is done, how many of it and how many there are.

    Returns
    -------
    BatchSummary

    Raises
    ------
    ConfigurationError
        If there is no such file, or `out` can't be written.
    DataError
        If the file can't be read, lacks a parameter, has no rows, or a value is not among its parameter's;
        the text names file, row and parameter.
    """
    summary = BatchSummary()
    if out is not None:
        check_suffix(out)
    with closing(_chunks(simulator, path, summary, threads, progress)) as chunks:
        if out is None:
            for _ in chunks:
                pass
        elif Path(out).suffix == ".csv":
            with atomic_file(out) as file:
                for number, chunk in enumerate(chunks):
                    chunk.write_csv(file, include_header=number == 0)
        else:
            _write_parquet(chunks, Path(out))
    return summary


def _write_parquet(chunks: Iterator[pl.DataFrame], out: Path) -> None:
    """Write a file for each chunk, then one of all."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as parts:
            for number, chunk in enumerate(chunks):
                chunk.write_parquet(Path(parts) / f"{number:09}.parquet")
            with atomic_file(out) as file:
                pl.scan_parquet(Path(parts) / "*.parquet").sink_parquet(file, compression="zstd")
    except (OSError, pl.exceptions.ComputeError) as error:
        told = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"can't write {out}: {told}") from error


def _chunks(
    simulator: Simulator,
    path: str | Path,
    summary: BatchSummary,
    threads: int | None,
    progress: Callable[[str, int, int], None] | None,
) -> Generator[pl.DataFrame]:
    """Yield the results of each chunk once they are counted."""
    space = simulator.space
    rows = 0
    with _deferred_interrupt() as interrupts:
        for frame in read_chunks(path, space.names):
            try:
                designs = space.ranks_from_frame(frame, first_row=summary.designs + 1)
            except DataError as error:
                raise DataError(f"{path}: {error}") from None
            chunk = results(simulator, designs, threads)
            summary.add(chunk)
            yield chunk
            if progress is not None:
                rows = rows or _scan(Path(path)).select(pl.len()).collect().item()
                progress("designs", summary.designs, rows)
            if interrupts:
                summary.interrupted = True
                return


@contextmanager
def _deferred_interrupt() -> Iterator[list[int]]:
    """Yield a list to which Ctrl-C adds, so that no chunk is half written; a second Ctrl-C raises as ever."""
    interrupts: list[int] = []
    previous = signal.getsignal(signal.SIGINT) or signal.default_int_handler

    def note(number: int, _: object) -> None:
        interrupts.append(number)
        signal.signal(signal.SIGINT, previous)

    main = threading.current_thread() is threading.main_thread()
    if main:
        signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        if main:
            signal.signal(signal.SIGINT, previous)
