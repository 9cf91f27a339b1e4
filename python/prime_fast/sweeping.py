"""All designs of a space, simulated: the best ones, a Pareto front, histograms and counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from prime_fast import _core
from prime_fast.errors import ConfigurationError
from prime_fast.simulator import Simulator

if TYPE_CHECKING:
    import os

    from prime_fast.space import DesignSpace, Ranks

FRONT = ("latency_us", "area_mm2")
HISTOGRAMS = ("latency_us", "area_mm2", "energy_uj", "average_power_mw")
MAX_KEPT = 1_000_000
SUFFIXES = (".parquet", ".csv", ".json")
# Columns of the tables beside the space's own.
COLUMNS = ("set", "index", "latency_us", "energy_uj", "average_power_mw", "peak_power_mw", "energy_delay")


@dataclass(frozen=True)
class SweepResult:
    """What a sweep counted and found.

    Attributes
    ----------
    application : str
    space : DesignSpace
    objective : str
    limits : dict of str to float
    best : polars.DataFrame
        The best designs within the limits, by objective, then index: ``index`` (uint64), the parameters'
        values, ``latency_us``, ``energy_uj``, ``average_power_mw``, ``peak_power_mw``, the metrics of the
        space and, where asked for, ``energy_delay`` in uJ us (all float64).
    front : polars.DataFrame
        The Pareto front in the same columns: designs within the limits that no other is at least as good as
        in all measures and better in one, by these measures; of equal ones the least index.
    front_measures : list of str
    histograms : polars.DataFrame
        Designs within the limits by size: ``metric`` (str), ``lower``, ``upper`` (float64), ``count``
        (uint64). A bin holds values from lower to below upper (negative ones: above lower, up to upper); 16
        bins of equal width lie between any two powers of two, those that are empty are left out. NaN is not
        counted.
    designs, feasible, within_limits : int
        Designs counted, those that pass all checks, and those of them within the limits.
    rejected : dict of str to int
        Designs by the first check that they fail.
    ties : int
        Designs whose objective exceeds the least by a share of 1e-9 at most.
    complete : bool
        False if Ctrl-C ended the run: then all of this is about the designs counted by then.
    seconds : float
    """

    application: str
    space: DesignSpace
    objective: str
    limits: dict[str, float]
    best: pl.DataFrame
    front: pl.DataFrame
    front_measures: list[str]
    histograms: pl.DataFrame
    designs: int
    feasible: int
    within_limits: int
    rejected: dict[str, int]
    ties: int
    complete: bool
    seconds: float

    def table(self) -> pl.DataFrame:
        """Return the best designs and the front as one frame; the first column, ``set``, is best or front."""
        sets = {"best": self.best, "front": self.front}
        return pl.concat([frame.select(pl.lit(name).alias("set"), pl.all()) for name, frame in sets.items()])

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as values that JSON knows; a number that is not finite is None."""
        frames = {"best": self.best, "front": self.front, "histograms": self.histograms}
        return {
            "application": self.application,
            "space": self.space.name,
            "objective": self.objective,
            "limits": self.limits,
            "designs": self.designs,
            "feasible": self.feasible,
            "within_limits": self.within_limits,
            "rejected": self.rejected,
            "ties": self.ties,
            "complete": self.complete,
            "seconds": self.seconds,
            "front_measures": self.front_measures,
            **{name: _records(frame) for name, frame in frames.items()},
        }


def sweep(
    application: str | _core.Application,
    *,
    limits: Mapping[str, float] | None = None,
    objective: str = "latency_us",
    keep: int = 16,
    front: Sequence[str] = FRONT,
    histograms: Sequence[str] = HISTOGRAMS,
    space: DesignSpace | None = None,
    technology: str | Path | Mapping[str, float | bool] | None = None,
    threads: int | None = None,
    callback: Callable[[int, float | None, float], None] | None = None,
) -> SweepResult:
    """Simulate all designs of a space: 452,760,000 in PRIME's, in some seconds.

    Parameters
    ----------
    application : str or Application
        Name of a bundled application, or one read from TOML.
    limits : mapping of str to float, optional
        Upper limits on measures, such as ``{"area_mm2": 29.0}``. A measure is ``latency_us``, ``energy_uj``,
        ``average_power_mw``, ``peak_power_mw``, ``energy_delay`` (energy times latency, uJ us) or a metric of
        the space.
    objective : str
        The measure to minimise.
    keep : int
        How many of the best designs to return.
    front : sequence of str
        The two or three measures of the Pareto front; empty for no front.
    histograms : sequence of str
        Measures to make histograms of.
    space : DesignSpace, optional
        At most 2^40 designs with the simulator's parameters by name, and any others; PRIME's by default.
    technology : str or Path or mapping of str to float or bool, optional
        A TOML file of technology constants instead of those that ship with the package, or the values of some
        of these that differ.
    threads : int, optional
        All processors by default; the result does not depend on it.
    callback : callable, optional
        Called some times a second with the designs counted, the least objective or None, and the seconds so
        far.

    Returns
    -------
    SweepResult
        Also after Ctrl-C, with ``complete`` False. Its figures are those of designs simulated one by one, bit
        for bit; `Simulator.score` sums in another order and may differ in the last digit.

    Raises
    ------
    ConfigurationError
        If a name is unknown, a limit is not positive, the space is too large or has a name that the tables
        need.
    """
    simulator = Simulator(application, space, technology)
    space = simulator.space
    for name in (*space.names, *space.metric_names):
        if name in COLUMNS:
            raise ConfigurationError(
                f"space `{space.name}`: a sweep has a column `{name}` of its own; rename it"
            )
    if not 1 <= keep <= MAX_KEPT:
        raise ConfigurationError(f"keep is {keep}; it must be from 1 to {MAX_KEPT}")
    if threads is not None and threads < 1:
        raise ConfigurationError(f"threads is {threads}; it must be at least 1")
    found = _core.sweep(
        simulator.core,
        objective=objective,
        limits=[(name, float(limit)) for name, limit in (limits or {}).items()],
        keep=keep,
        front=list(front),
        histograms=list(histograms),
        threads=threads,
        callback=callback,
    )
    product = "energy_delay" in {objective, *front, *histograms, *(limits or {})}
    rows = [
        {"metric": name, "lower": lower, "upper": upper, "count": count}
        for name, bins in zip(histograms, found["histograms"], strict=True)
        for lower, upper, count in bins
    ]
    schema = {"metric": pl.String, "lower": pl.Float64, "upper": pl.Float64, "count": pl.UInt64}
    return SweepResult(
        application=simulator.application.name,
        space=space,
        objective=objective,
        limits=dict(limits or {}),
        best=_frame(space, *found["best"], product=product),
        front=_frame(space, *found["front"], product=product),
        front_measures=list(front),
        histograms=pl.DataFrame(rows, schema=schema),
        designs=found["designs"],
        feasible=found["feasible"],
        within_limits=found["within_limits"],
        rejected=dict(zip(simulator.reason_names, found["rejected"], strict=True)),
        ties=found["ties"],
        complete=found["complete"],
        seconds=found["seconds"],
    )


def _frame(space: DesignSpace, designs: Ranks, outputs: Mapping[str, Any], *, product: bool) -> pl.DataFrame:
    metrics = {name: space.metric(name, designs) for name in space.metric_names}
    more = {"energy_delay": outputs["energy_uj"] * outputs["latency_us"]} if product else {}
    values = [pl.Series(name, column) for name, column in {**outputs, **metrics, **more}.items()]
    return (
        space.frame(designs).select(pl.Series("index", space.indices(designs)), pl.all()).with_columns(values)
    )


def _records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()
        }
        for row in frame.iter_rows(named=True)
    ]


def output_files(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Return the names of the files of designs and of histograms: NAME.SUFFIX and NAME-histograms.SUFFIX.

    Raises
    ------
    ConfigurationError
        If the suffix is not .parquet, .csv or .json, or there is no such directory.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ConfigurationError(f"{path}: the name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if not path.parent.is_dir():
        raise ConfigurationError(f"{path}: there is no directory {path.parent}")
    return path, path.with_name(f"{path.stem}-histograms{path.suffix}")


def write_sweep(result: SweepResult, path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write designs and histograms, each file whole or not at all; return their names (see `output_files`).

    Raises
    ------
    ConfigurationError
        If the suffix is another, or a file can't be written.
    """
    files = output_files(path)
    for frame, file in zip((result.table(), result.histograms), files, strict=True):
        _write(frame, file)
    return files


def _write(frame: pl.DataFrame, path: Path) -> None:
    import json

    from prime_fast.logs.writing import atomic_file, write_table

    if path.suffix != ".json":
        write_table(frame, path)
        return
    rows: Iterable[str] = (json.dumps(row) for row in _records(frame))
    with atomic_file(path) as file:
        file.write(("[" + ",\n ".join(rows) + "]\n").encode())
