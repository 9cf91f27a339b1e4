"""PRIME's evaluation (arXiv 2110.11346) on the bundled simulator, with the proven optimum as the yardstick.

Sections
--------
``single``
    Applications one by one, 29 mm2.
``several``
    The paper's sets of applications for which one design is sought, 29 and 100 mm2.
``zero-shot``
    The paper's sets of training and test applications; each application left out in turn, with 2, 4, 6 and
    all of the others logged (drawn by the seed, the smaller sets part of the larger).
``edge-tpu``
    Applications one by one within the 27 mm2 of the Edge TPU V1.
``ablations``
    All methods, applications one by one, 29 mm2; `random` draws within the limit too.
``queries``
    How many queries online search needs to match the proposals.

Applications that TOML files describe join the sections of one application, and are left out in turn like the
others, but never logged for them, so that what stands beside the paper's figures stays the same.

How logs are made says `prime_fast.benchmark.protocol`, what is measured of a run `prime_fast.benchmark.jobs`.
What two sections share is run once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from prime_fast.benchmark.jobs import (
    COMBINE,
    Job,
    Row,
    RunSettings,
    check_packages,
    method_settings,
    run_job,
)
from prime_fast.benchmark.online import ONLINE_METHODS
from prime_fast.benchmark.protocol import LogSettings
from prime_fast.benchmark.runner import METHOD_SETTINGS, RunnerDirectory
from prime_fast.errors import ConfigurationError, NoFeasibleDesignError
from prime_fast.methods import METHODS
from prime_fast.simulator import Simulator
from prime_fast.workload import is_file_name, own_application, prime_application_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from prime_fast.benchmark.comparison import Progress

SECTIONS = ("single", "several", "zero-shot", "edge-tpu", "ablations", "queries")
BUDGETS = ("quick", "standard", "thorough")
ARCHITECTURES = ("mlp", "transformer")
AREA_MM2 = 29.0
EDGE_TPU_MM2 = 27.0
TRAINING_COUNTS = (2, 4, 6)
#: The search that the paper calls evolutionary, beside which its tables stand.
ONLINE = "genetic"
#: Online methods of `queries`; all of `ONLINE_METHODS` but random designs.
QUERIED = tuple(name for name in ONLINE_METHODS if name != "random")

_MOBILENETS = ("MobileNetEdgeTPU", "MobileNetV2", "MobileNetV3")
_TRAINED = (*_MOBILENETS, "M4", "M5", "M6", "t-RNN Enc")


@dataclass(frozen=True)
class Case:
    """A row of one of the paper's tables.

    Attributes
    ----------
    name : str
    training, targets : tuple of str
    area_mm2 : float
    published_us : tuple of float
        PRIME's latency and that of evolutionary search, the better of "best" and "median" where there are
        two.
    """

    name: str
    training: tuple[str, ...]
    targets: tuple[str, ...]
    area_mm2: float
    published_us: tuple[float, float] | None = None


def _together(name: str, applications: Iterable[str], area_mm2: float, prime: float, online: float) -> Case:
    names = tuple(applications)
    return Case(name, names, names, area_mm2, (prime, online))


_ALL = tuple(prime_application_names())
SEVERAL = (
    _together("MobileNets", _MOBILENETS, 29.0, 310.21, 315.72),
    _together("V2, V3, M5, M6", ("MobileNetV2", "MobileNetV3", "M5", "M6"), 29.0, 268.47, 288.67),
    _together("all but t-RNN Dec", (name for name in _ALL if name != "t-RNN Dec"), 29.0, 305.47, 404.06),
    _together("all nine", _ALL, 100.0, 383.57, 518.58),
)
ZERO_SHOT = (
    Case(
        "Edge, M4",
        ("MobileNetV2", "MobileNetV3", "M5", "M6"),
        ("MobileNetEdgeTPU", "M4"),
        29.0,
        (357.05, 354.59),
    ),
    Case("U-Net, t-RNN Dec", _TRAINED, ("U-Net", "t-RNN Dec"), 29.0, (745.87, 1075.91)),
    Case("U-Net, t-RNN Dec", _TRAINED, ("U-Net", "t-RNN Dec"), 100.0, (517.76, 859.76)),
)
#: By application: PRIME, evolutionary search, best in the training data, us; 29 mm2.
PUBLISHED_SINGLE = {
    "MobileNetEdgeTPU": (298.50, 320.28, 354.13),
    "MobileNetV2": (207.43, 238.58, 410.83),
    "MobileNetV3": (454.30, 501.27, 938.41),
    "M4": (370.45, 383.58, 779.98),
    "M5": (208.21, 198.86, 449.38),
    "M6": (131.46, 120.49, 369.85),
    "U-Net": (740.27, 791.64, 1333.18),
    "t-RNN Dec": (132.88, 770.93, 890.22),
    "t-RNN Enc": (130.67, 865.07, 584.70),
}


def reference_of(methods: Sequence[str]) -> str:
    """Return the method that is held against the aims, and that others are compared with."""
    return "default" if "default" in methods else methods[0]


@dataclass(frozen=True)
class Selection:
    """What of the evaluation is run.

    Attributes
    ----------
    seeds : int
        Runs with the seeds 0, 1, ... are made.
    sections : tuple of str
        Of `SECTIONS`; all by default.
    methods : tuple of str
        Offline methods of every section. By default ``default`` and ``prime``; all for the ablations.
    applications : tuple of str
        Of the paper's nine, or paths of TOML files of others, which become their names; the nine by default.
        Sets of which one is missing are left out.
    online : tuple of str
        Online methods of `queries`.
    queries : int
        Of an online search.
    slow_queries : int
        Of Bayesian optimisation, whose own time grows with the square of its queries.
    workloads : tuple of (str, str)
        Name and TOML text of each application that a file describes.

    Raises
    ------
    ConfigurationError
        If a name is unknown, given twice, or a number is below 1; if a file can't be read, describes no
        application, or one whose name is that of one which ships with the package.
    """

    seeds: int = 10
    sections: tuple[str, ...] = SECTIONS
    methods: tuple[str, ...] = ()
    applications: tuple[str, ...] = _ALL
    online: tuple[str, ...] = QUERIED
    queries: int = 10_000
    slow_queries: int = 1_000
    workloads: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Read files; check names and numbers."""
        applications, own = list(self.applications), dict(self.workloads)
        for position, name in enumerate(applications):
            if is_file_name(name):
                application = own_application(name)
                applications[position] = application.name
                own[application.name] = application.to_toml()
        own = {name: own[name] for name in applications if name in own}
        object.__setattr__(self, "applications", tuple(applications))
        object.__setattr__(self, "workloads", tuple(own.items()))
        known: dict[str, Sequence[str]] = {
            "sections": SECTIONS,
            "methods": tuple(METHODS),
            "applications": (*_ALL, *own),
            "online": tuple(ONLINE_METHODS),
        }
        for what, names in known.items():
            chosen = getattr(self, what)
            for position, name in enumerate(chosen):
                if name not in names:
                    files = "; or name a TOML file of one" if what == "applications" else ""
                    raise ConfigurationError(f"{what}: `{name}` is unknown; known: {', '.join(names)}{files}")
                if name in chosen[:position]:
                    raise ConfigurationError(f"{what}: `{name}` is given twice")
            if not chosen and what != "methods":
                raise ConfigurationError(f"{what}: none is given; known: {', '.join(names)}")
        for name in ("seeds", "queries", "slow_queries"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def most_trained(self) -> int:
        """Return how many applications are logged at most for one that is left out."""
        return len(self.applications) - len(self.workloads) - 1

    def methods_of(self, section: str) -> tuple[str, ...]:
        """Return the offline methods of a section."""
        if section == "queries":
            return (reference_of(self.methods or ("default",)),)
        if section == "ablations":
            return self.methods or tuple(METHODS)
        return self.methods or ("default", "prime")

    def queries_of(self, method: str) -> int:
        """Return the queries that an online method may make."""
        return min(self.queries, self.slow_queries) if method == "bayesian" else self.queries


@dataclass(frozen=True)
class Planned:
    """A job's place in the tables: section, table within it, and row."""

    section: str
    table: str
    case: Case
    job: Job


def plan(selection: Selection) -> list[Planned]:
    """Return the jobs of a selection, seed by seed, so that what is finished first is of use first."""
    return [
        dataclasses.replace(planned, job=_with_workloads(planned.job, selection))
        for seed in range(selection.seeds)
        for section in SECTIONS
        if section in selection.sections
        for planned in _section(selection, section, seed)
    ]


def _with_workloads(job: Job, selection: Selection) -> Job:
    own = tuple(entry for entry in selection.workloads if entry[0] in job.targets)
    return dataclasses.replace(job, workloads=own)


def _section(selection: Selection, section: str, seed: int) -> Iterator[Planned]:
    chosen = set(selection.applications)
    whole = {
        "several": [case for case in SEVERAL if chosen.issuperset(case.targets)],
        "zero-shot": [case for case in ZERO_SHOT if chosen.issuperset(case.training + case.targets)],
    }
    area_mm2 = EDGE_TPU_MM2 if section == "edge-tpu" else AREA_MM2
    singles = [
        Case(name, (name,), (name,), area_mm2, PUBLISHED_SINGLE[name][:2] if name in _ALL else None)
        for name in selection.applications
    ]
    cases = whole.get(section, singles)
    if section == "queries":
        cases = singles + whole["several"]
    methods = selection.methods_of(section)
    online = {"edge-tpu": (), "ablations": (), "queries": selection.online}.get(section, (ONLINE,))
    for case in cases:
        for method in methods:
            yield Planned(section, section, case, _offline(case, method, seed))
        for method in online:
            queries = selection.queries_of(method)
            job = Job("online", case.targets, case.area_mm2, method, seed=seed, queries=queries)
            yield Planned(section, section, case, job)
    if section == "zero-shot":
        most = selection.most_trained
        for count in [*(count for count in TRAINING_COUNTS if count < most), most]:
            # That more applications help, one method shows.
            for method in methods if count == most else [reference_of(methods)]:
                for case in _left_out(selection.applications, count, seed):
                    yield Planned(section, f"{count} trained", case, _offline(case, method, seed))


def _offline(case: Case, method: str, seed: int) -> Job:
    return Job("offline", case.targets, case.area_mm2, method, case.training, seed)


def _left_out(applications: Sequence[str], count: int, seed: int) -> Iterator[Case]:
    """Yield a case for each application, with `count` of the paper's logged; none for fewer than two."""
    for name in applications if count > 1 else ():
        others = [other for other in applications if other != name and other in _ALL]
        order = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(len(others))
        yield Case(name, tuple(others[position] for position in sorted(order[:count])), (name,), AREA_MM2)


def optimum_of(job: Job) -> Job:
    """Return the job that finds the yardstick of another."""
    return Job("optimum", job.targets, job.area_mm2, workloads=job.workloads)


@dataclass(frozen=True)
class Evaluation:
    """Rows of an evaluation.

    Attributes
    ----------
    selection : Selection
    settings : RunSettings
    planned : list of Planned
        What is finished.
    rows : dict of Job to row
        Those of the jobs of `planned` and of their optima, and maybe others.
    """

    selection: Selection
    settings: RunSettings
    planned: list[Planned]
    rows: dict[Job, Row] = field(repr=False)


def simulator_digest() -> str:
    """Return a digest of what the simulator says of some designs, in six digits."""
    digest = hashlib.sha256()
    for name in prime_application_names():
        simulator = Simulator(name)
        scores = simulator.score(simulator.space.sample(2_000, seed=0))
        digest.update("".join(f"{value:.6g} " for value in scores.latency_us).encode())
    digest.update(simulator.space.to_toml().encode())
    return digest.hexdigest()[:16]


def evaluate(
    out: str | Path,
    selection: Selection | None = None,
    settings: RunSettings | None = None,
    *,
    workers: int = 1,
    threads: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
    finished_only: bool = False,
    run: Callable[[tuple[Job, RunSettings]], Row] = run_job,
) -> Evaluation:
    """Run what is missing of a selection in a directory.

    Parameters
    ----------
    out : str or Path
        New, empty, or that of an earlier run with the same settings, which is taken up where it stopped.
    selection : Selection, optional
    settings : RunSettings, optional
    workers, threads, ray
        As for `prime_fast.parallel.for_each`.
    progress : callable, optional
        Called with stage, jobs done and jobs in all.
    finished_only : bool
        Run and write nothing: return what an earlier run of the same settings, or one that goes on
        elsewhere, has finished of the selection, which may be smaller or larger than its own.
    run : callable
        What runs a job.

    Raises
    ------
    ConfigurationError, DataError
        If the directory holds something else or is damaged, a setting is out of range, or a package is
        missing that a method needs.
    NoFeasibleDesignError
        If no design within the area runs an application of the user's own.
    """
    selection, settings = selection or Selection(), settings or RunSettings()
    if settings.proposals < 1:
        raise ConfigurationError(f"proposals is {settings.proposals}; it must be at least 1")
    if settings.budget not in BUDGETS:
        raise ConfigurationError(f"budget is {settings.budget!r}; it must be one of {', '.join(BUDGETS)}")
    if settings.architecture not in (None, *ARCHITECTURES):
        raise ConfigurationError(
            f"architecture is {settings.architecture!r}; it must be one of {', '.join(ARCHITECTURES)}"
        )
    planned = plan(selection)
    if not planned:
        raise ConfigurationError(
            f"nothing to run: {', '.join(selection.sections)} needs more applications than "
            f"{', '.join(selection.applications)}"
        )
    for job in (planned.job for planned in planned if planned.job.kind == "online"):
        if job.queries < len(job.targets):
            name = "queries" if job.queries == selection.queries else "slow_queries"
            raise ConfigurationError(
                f"{name} is {job.queries}; a design for {', '.join(job.targets)} costs {len(job.targets)}"
            )
    # A stand-in needs nothing, and a cluster's nodes have packages of their own.
    if run is run_job and ray is None and not finished_only:
        check_packages(planned.job.method for planned in planned)
    inputs: dict[str, Any] = {
        "simulator": simulator_digest(),
        "objective of several": f"{COMBINE} mean",
        **dataclasses.asdict(settings),
        "queries": selection.queries,
        "slow_queries": selection.slow_queries,
        METHOD_SETTINGS: method_settings(
            sorted({planned.job.method for planned in planned if planned.job.kind == "offline"}),
            settings.budget,
            settings.architecture,
        ),
    }
    chosen = {
        "sections": selection.sections,
        "methods": sorted({planned.job.method for planned in planned if planned.job.method}),
        "applications": selection.applications,
        "seeds": list(range(selection.seeds)),
    }
    directory = RunnerDirectory(
        out, inputs, {name: list(values) for name, values in chosen.items()}, read_only=finished_only
    )
    jobs = [optimum_of(planned.job) for planned in planned] + [planned.job for planned in planned]
    if finished_only:
        rows = directory.finished(list(dict.fromkeys(jobs)))
        # What has no yardstick yet can't be judged.
        planned = [p for p in planned if p.job in rows and optimum_of(p.job) in rows]
        if not planned:
            raise ConfigurationError(f"{out}: nothing of what is asked for is finished yet")
    else:
        # What is no yardstick for an own application says why before anything else is run.
        yardsticks = [optimum_of(planned.job) for planned in planned if planned.job.workloads]
        for job, row in directory.complete(
            yardsticks, settings, run, workers=workers, threads=threads, ray=ray
        ).items():
            if row["latency_us"] is None:
                raise NoFeasibleDesignError(f"{', '.join(job.targets)}: {row['error']}")
        rows = directory.complete(
            jobs, settings, run, workers=workers, threads=threads, ray=ray, progress=progress
        )
    return Evaluation(selection, settings, planned, rows)


def quick() -> tuple[Selection, RunSettings]:
    """Return a smoke run: one application, one seed, one method, small budgets."""
    return (
        Selection(
            seeds=1,
            sections=("single", "queries"),
            methods=("default",),
            applications=("MobileNetV2",),
            online=("genetic",),
            queries=200,
            slow_queries=50,
        ),
        RunSettings(LogSettings(pool=20_000, feasible=1_000, infeasible=1_000), "quick"),
    )
