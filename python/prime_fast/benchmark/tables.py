"""Offline optimisation judged by tables that were measured whole, or on the designs that they record.

For a table and a seed:

1. Of the feasible designs the slowest share `worst` may be logged; `feasible` of them are drawn, or all
   where there are fewer.
2. Infeasible designs are drawn at the rate at which the candidates have them, at most `infeasible`.
3. A method gets this log and proposes designs: of the whole space of a Kernel Tuner table, of the recorded
   designs of HLSyn's.
4. The table judges: a proposal's score is optimum / its objective, 0 where it is infeasible.

Zero-shot: the logs of the same kernel on all other devices, with the devices' features as contexts; the
table's own log is withheld. That needs tables of one space: each kernel of HLSyn has pragmas of its own, so
there is none.

No setting of any method may be chosen by these figures. The stream of a table with a seed is
``numpy.random.SeedSequence([seed, crc32(name)])``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prime_fast import offline
from prime_fast.benchmark.jobs import check_packages, method_settings
from prime_fast.benchmark.runner import METHOD_SETTINGS, TABLES_KIND, RunnerDirectory, file_name
from prime_fast.benchmark.tables_data import MeasuredTable, read_tables
from prime_fast.benchmark.tables_summary import TablesResult, summarised
from prime_fast.errors import ConfigurationError, DataError, NoFeasibleDesignError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.benchmark.comparison import Progress
    from prime_fast.benchmark.jobs import Row
    from prime_fast.space import Ranks

BUDGETS = (1, 16, 128)
"""Proposals that are judged: the first so many of one run."""


@dataclass(frozen=True)
class TablesSettings:
    """What all runs share.

    Attributes
    ----------
    feasible : int
        Feasible designs of a log.
    worst : float
        Share of the feasible designs, the slowest, that these are drawn from; in (0, 1].
    infeasible : int
        Infeasible designs of a log at most.
    budget : str
        Of `prime_fast.offline.run_offline`.

    Raises
    ------
    ConfigurationError
        If a number is out of range or the budget unknown.
    """

    feasible: int = 1_000
    worst: float = 0.6
    infeasible: int = 5_000
    budget: str = "standard"

    def __post_init__(self) -> None:
        """Check the values."""
        for name, least in (("feasible", 10), ("infeasible", 0)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0.0 < self.worst <= 1.0:
            raise ConfigurationError(f"worst is {self.worst}; it must be above 0 and at most 1")
        if self.budget not in offline.SEARCH_EVALUATIONS:
            raise ConfigurationError(
                f"unknown budget {self.budget!r}; known: {', '.join(offline.SEARCH_EVALUATIONS)}"
            )


@dataclass(frozen=True)
class TableJob:
    """One run.

    Attributes
    ----------
    table : str
        The table that judges.
    training : tuple of str
        The tables that logs are drawn from: the same one, or others (zero-shot).
    method : str
    seed : int
        Of log, training and search.
    data : str
        Digest of all these tables.
    """

    table: str
    training: tuple[str, ...]
    method: str
    seed: int
    data: str

    @property
    def zero_shot(self) -> bool:
        """Whether the table's own log is withheld."""
        return self.table not in self.training

    def as_dict(self) -> dict[str, Any]:
        """Return the job as what JSON can hold."""
        return dataclasses.asdict(self) | {"training": list(self.training)}

    @property
    def key(self) -> str:
        """A name for files."""
        words = ["zero-shot"] * self.zero_shot + [self.table, self.method, str(self.seed)]
        return file_name(words, self.as_dict())


def draw_log(table: MeasuredTable, seed: int, settings: TablesSettings) -> offline.LoggedDesigns:
    """Draw a poor log from a table; the same for the same seed.

    Returns
    -------
    LoggedDesigns
        Distinct designs in random order.
    """
    stream = np.random.SeedSequence([seed, zlib.crc32(table.name.encode())])
    generator = np.random.default_rng(stream)
    good = np.flatnonzero(table.feasible)
    slowest = good[np.argsort(table.values[good], kind="stable")][
        -max(1, round(settings.worst * len(good))) :
    ]
    drawn = generator.permutation(slowest)[: settings.feasible]
    candidates = table.candidates
    bad = candidates[np.isnan(table.look_up(candidates))]
    count = min(settings.infeasible, round(len(drawn) * len(bad) / len(good)))
    failed = bad[generator.permutation(len(bad))[:count]]
    ranks = np.concatenate([table.ranks[drawn], failed])
    values = np.concatenate([table.values[drawn], np.full(len(failed), np.nan)])
    order = generator.permutation(len(ranks))
    return offline.LoggedDesigns(ranks[order], values[order], ~np.isnan(values[order]))


def judge(table: MeasuredTable, designs: Ranks, logged: NDArray[np.uint64]) -> Row:
    """Score proposals in their order by a table.

    Parameters
    ----------
    table : MeasuredTable
    designs : ndarray of shape (k, parameters), integer
        Where fewer than 16 or 128, the missing ones count as infeasible.
    logged : ndarray of uint64
        Indices of the logged designs.

    Returns
    -------
    dict
        Figures by name, without ``best_logged``.
    """
    scores = np.zeros(max(BUDGETS))
    values = table.look_up(designs)[: len(scores)]
    scores[: len(values)] = np.nan_to_num(table.optimum / values, nan=0.0)
    indices = table.space.indices(designs)
    row: Row = {
        "top_1": float(scores[0]),
        "best_of_16": float(scores[:16].max()),
        "best_of_128": float(scores[:128].max()),
        "median_of_16": float(np.median(scores[:16])),
        "feasible_of_16": float((scores[:16] > 0).mean()),
        "feasible_of_128": float((scores[:128] > 0).mean()),
    }
    return row | {
        "duplicates": len(indices) - len(np.unique(indices)),
        "already_logged": int(np.isin(indices, logged).sum()),
    }


def run_table_job(work: tuple[TableJob, tuple[TablesSettings, tuple[str, ...]]]) -> Row:
    """Run a job on the tables of some folders; return its row, of what JSON can hold.

    A method that ends in an error about data, or finds nothing feasible, scores 0; its row has the error.
    """
    job, (settings, folders) = work
    tables = _cached(folders)
    table = tables[job.table]
    logs = {name: draw_log(tables[name], job.seed, settings) for name in job.training}
    task = offline.OfflineTask(
        table.space,
        logs,
        targets=(job.table,),
        contexts={name: tables[name].context for name in (*logs, job.table)} if job.zero_shot else None,
        candidates=table.candidates,
    )
    seconds: dict[str, float] = {}
    error = None
    try:
        found = offline.run_offline(
            job.method, task, seed=job.seed, budget=settings.budget, proposals=max(BUDGETS)
        )
        designs, seconds = found.designs, dict(found.seconds)
    except (DataError, NoFeasibleDesignError) as caught:
        designs, error = table.ranks[:0], str(caught)
    # Only now the table: the best logged design of each log, and the proposals.
    best = np.stack([log.ranks[np.nanargmin(log.objective)] for log in logs.values()])
    logged = np.concatenate([table.space.indices(log.ranks) for log in logs.values()])
    reached = np.nan_to_num(table.optimum / table.look_up(best), nan=0.0)
    return {
        "best_logged": float(reached.max()),
        **judge(table, designs, logged),
        "seconds": float(sum(seconds.values())),
        "error": error,
    }


@lru_cache(maxsize=1)
def _cached(folders: tuple[str, ...]) -> dict[str, MeasuredTable]:
    return read_tables(folders)


def jobs_of(
    tables: Mapping[str, MeasuredTable],
    methods: Sequence[str],
    seeds: int,
    *,
    names: Sequence[str] = (),
    zero_shot: bool = True,
) -> list[TableJob]:
    """Return the runs, seed by seed, of the tables named (all by default).

    Raises
    ------
    ConfigurationError
        If a method or a table is unknown, or there are no seeds.
    DataError
        If nothing is known of a device that is needed for zero-shot.
    """
    if seeds < 1:
        raise ConfigurationError(f"seeds is {seeds}; it must be at least 1")
    for name in methods:
        if name not in offline.METHODS:
            raise ConfigurationError(f"unknown method `{name}`; known: {', '.join(offline.METHODS)}")
    for name in names:
        if name not in tables:
            raise ConfigurationError(f"unknown table `{name}`; known: {', '.join(tables)}")
    tasks: list[tuple[str, tuple[str, ...]]] = []
    for name in names or tables:
        table = tables[name]
        others = [
            other.name
            for other in tables.values()
            if other is not table and table.whole and other.space == table.space
        ]
        tasks.append((name, (name,)))
        if zero_shot and others:
            for each in (name, *others):
                _check_device(tables[each])
            tasks.append((name, tuple(others)))
    jobs = []
    for seed in range(seeds):
        for name, training in tasks:
            digests = "".join(tables[each].sha256 for each in (name, *training))
            data = hashlib.sha256(digests.encode()).hexdigest()
            jobs += [TableJob(name, training, method, seed, data) for method in dict.fromkeys(methods)]
    return jobs


def _check_device(table: MeasuredTable) -> None:
    """Raise DataError unless something is known of a table's device."""
    try:
        _ = table.context
    except DataError as error:
        raise DataError(
            f"{error}; leave out what is zero-shot (--no-zero-shot), or the table's file"
        ) from None


def compare_tables(
    data: Sequence[str | Path],
    out: str | Path,
    *,
    methods: Sequence[str] = ("default", "trees", "random", "best-logged"),
    seeds: int = 10,
    names: Sequence[str] = (),
    zero_shot: bool = True,
    settings: TablesSettings | None = None,
    workers: int = 1,
    ray: str | None = None,
    progress: Progress | None = None,
) -> TablesResult:
    """Judge methods by measured tables.

    Parameters
    ----------
    data : sequence of path
        Folders of tables; see `prime_fast.benchmark.tables_data`.
    out : path
        Directory for the rows. What an earlier call finished is not run again.
    methods : sequence of str
        Of `prime_fast.offline.METHODS`.
    seeds : int
        Runs of each method on each table.
    names : sequence of str
        Tables to judge by; all by default.
    zero_shot : bool
        Also without the judging table's own log, where others share its space.
    settings : TablesSettings, optional
    workers, ray
        As for `prime_fast.parallel.for_each`.
    progress : callable, optional
        Called with stage, runs done and runs in all.

    Raises
    ------
    ConfigurationError, DataError
        One sentence that says what is wrong and what would be right.
    """
    settings = settings or TablesSettings()
    folders = tuple(str(Path(folder).resolve()) for folder in data)
    tables = read_tables(folders)
    jobs = jobs_of(tables, methods, seeds, names=names, zero_shot=zero_shot)
    if ray is None:
        check_packages(methods)
    directory = RunnerDirectory(
        out,
        {
            "benchmark": "tables",
            **dataclasses.asdict(settings),
            METHOD_SETTINGS: method_settings(methods, settings.budget),
        },
        {
            "methods": list(dict.fromkeys(methods)),
            "seeds": list(range(seeds)),
            "tables": list(dict.fromkeys(job.table for job in jobs)),
        },
        kind=TABLES_KIND,
    )
    rows = directory.complete(
        jobs, (settings, folders), run_table_job, workers=workers, ray=ray, progress=progress
    )
    return summarised(tables, rows)
