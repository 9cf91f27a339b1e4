"""Problems of known optimum behind one interface: designs as ranks in, scores and violations out.

A score is to be minimised; a violation is 0 where the design is feasible. Names:

- `prime/APPLICATION`: latency in us by the bundled simulator, area at most 29 mm2; optimum by `solve`;
- `nk/N`: `landscapes.py`; optimum by enumeration;
- `tuner/KERNEL-DEVICE`: whole measured tables of Kernel Tuner, time in ms;
- `pbo/NAME`: pseudo-Boolean functions of the package `ioh`, 64 bits, instance 1, negated;
- `front/APPLICATION`: latency and area, area at most 100 mm2; exact front by `sweep`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import prime_fast as pf
from peers.search import landscapes

Designs = NDArray[Any]
Values = NDArray[np.float64]
Score = Callable[[Designs], tuple[Values, Values]]

AREA_LIMIT_MM2 = 29.0
FRONT_AREA_LIMIT_MM2 = 100.0
FRONT_APPLICATIONS = ("MobileNetEdgeTPU", "U-Net")
#: The reference point's latency, in least latencies within the area limit; its area is the limit.
FRONT_REFERENCE = 3.0
TABLES = Path(__file__).resolve().parents[4] / "shared" / "data" / "kernel_tuner"
BITS = 64
# Traps of 5 bits; of 64 bits ioh has better values than the optimum that it states.
TRAP_BITS = 60
PBO = (
    "LeadingOnes",
    "OneMaxEpistasis",
    "OneMaxRuggedness3",
    "IsingTorus",
    "MIS",
    "NQueens",
    "ConcatenatedTrap",
    "LABS",
)
# Greatest merit factor of 64 bits, energy 208 (Packebusch and Mertens, 2016); ioh states none.
LABS_OPTIMUM = BITS**2 / (2 * 208)
# Score of a design that could not be scored; its violation is what counts.
UNSCORED = 1e9


@dataclass(frozen=True)
class Problem:
    """A problem on designs of ranks, shape (n, d), any integer dtype.

    `score` returns scores of shape (n,), or (n, 2) with two objectives, and violations of shape (n,).
    `optimum` is the least feasible score, or the hypervolume of the exact front up to `reference`.
    `known` says which designs keep the limits that follow from the space alone.
    """

    name: str
    cardinalities: tuple[int, ...]
    categorical: tuple[bool, ...]
    score: Score
    optimum: float
    limits: dict[str, float] = field(default_factory=dict)
    application: str | None = None
    reference: tuple[float, float] | None = None

    @property
    def dimensions(self) -> int:
        """Number of parameters."""
        return len(self.cardinalities)

    @property
    def size(self) -> int:
        """Number of designs."""
        return int(np.prod(np.array(self.cardinalities, dtype=object)))

    @property
    def objectives(self) -> int:
        """Number of objectives."""
        return 1 if self.reference is None else 2

    @cached_property
    def space(self) -> pf.DesignSpace:
        """The space for prime_fast."""
        if self.application is not None:
            return pf.DesignSpace.bundled("prime")
        lines = [f'name = "{self.name}"', f'title = "{self.name}"']
        for position, (values, categorical) in enumerate(
            zip(self.cardinalities, self.categorical, strict=True)
        ):
            kind = "categorical" if categorical else "ordinal"
            lines += ["[[parameter]]", f'name = "p{position}"', f'kind = "{kind}"']
            lines.append(f"values = {list(range(values))}")
        return pf.DesignSpace.from_toml("\n".join(lines))

    def known(self, designs: Designs) -> NDArray[np.bool_]:
        """Return which designs keep the limits that follow from the space alone, shape (n,)."""
        kept = np.ones(len(designs), dtype=np.bool_)
        for name, limit in self.limits.items():
            kept &= self.space.metric(name, designs.astype(np.uint8)) <= limit
        return kept

    def reached(self, scores: Values) -> NDArray[np.bool_]:
        """Return which scores are the optimum, to a relative 1e-12."""
        return scores <= self.optimum + 1e-12 * abs(self.optimum)


def simulated(application: str, limit_mm2: float, objectives: int) -> Score:
    """Score by the bundled simulator; violation (area - limit) / limit, plus 1 where its own checks fail."""
    simulator = pf.Simulator(application)
    space_checks = len(simulator.space.constraint_names)

    def score(designs: Designs) -> tuple[Values, Values]:
        found = simulator.score(designs.astype(np.uint8))
        violations = np.maximum(found.area_mm2 / limit_mm2 - 1.0, 0.0)
        violations += found.reason > space_checks
        latency_us = np.where(found.feasible, found.latency_us, UNSCORED)
        return (latency_us if objectives == 1 else np.stack([latency_us, found.area_mm2], 1)), violations

    return score


def prime(application: str) -> Problem:
    """Latency of an application within the area limit."""
    limits = {"area_mm2": AREA_LIMIT_MM2}
    solved = pf.solve(application, limits=limits)
    assert solved.proved
    cardinalities = tuple(solved.space.cardinalities)
    return Problem(
        f"prime/{application}",
        cardinalities,
        (False,) * len(cardinalities),
        simulated(application, AREA_LIMIT_MM2, 1),
        solved.score,
        limits,
        application,
    )


def front(application: str) -> Problem:
    """Latency and area of an application."""
    import moocore

    limits = {"area_mm2": FRONT_AREA_LIMIT_MM2}
    swept = pf.sweep(application, limits=limits, keep=1, histograms=())
    exact = swept.front.select("latency_us", "area_mm2").to_numpy()
    reference = (FRONT_REFERENCE * float(exact[:, 0].min()), FRONT_AREA_LIMIT_MM2)
    cardinalities = tuple(swept.space.cardinalities)
    return Problem(
        f"front/{application}",
        cardinalities,
        (False,) * len(cardinalities),
        simulated(application, FRONT_AREA_LIMIT_MM2, 2),
        float(moocore.hypervolume(exact, ref=reference)),
        limits,
        application,
        reference,
    )


def nk(number: str) -> Problem:
    """Return an NK landscape; violation 1 where infeasible."""
    drawn = landscapes.landscape(landscapes.SEEDS[number])
    optimum = json.loads(landscapes.FILE.read_text(encoding="utf-8"))[number]["optimum"]
    cardinalities = landscapes.CARDINALITIES
    return Problem(f"nk/{number}", cardinalities, (True,) * len(cardinalities), drawn.score, optimum)


def tuner(file: str) -> Problem:
    """Return a table of Kernel Tuner; violation 1 where nothing was measured or the kernel failed."""
    name = f"{file}.csv.gz"
    manifest = json.loads((TABLES / "manifest.json").read_text(encoding="utf-8"))
    (entry,) = (entry for entry in manifest if entry["file"] == name)
    values = {key: allowed for key, allowed in entry["parameters"].items() if len(allowed) > 1}
    cardinalities = tuple(map(len, values.values()))
    frame = pl.read_csv(TABLES / name).filter(pl.col("status") == "ok")
    ranks = [[allowed.index(value) for value in frame[key].to_list()] for key, allowed in values.items()]
    times = np.full(cardinalities, np.nan)
    times[tuple(ranks)] = frame["time_ms"].to_numpy()

    def score(designs: Designs) -> tuple[Values, Values]:
        found = times[tuple(designs.T)]
        failed = np.isnan(found)
        return np.where(failed, UNSCORED, found), failed.astype(np.float64)

    return Problem(
        f"tuner/{file.replace('__', '-')}",
        cardinalities,
        tuple(len(allowed) == 2 for allowed in values.values()),
        score,
        float(np.nanmin(times)),
    )


def pbo(name: str) -> Problem:
    """Return a pseudo-Boolean function of ioh."""
    import ioh

    bits = TRAP_BITS if name == "ConcatenatedTrap" else BITS
    function = ioh.get_problem(name, instance=1, dimension=bits, problem_class=ioh.ProblemClass.PBO)
    assert function.meta_data.optimization_type == ioh.OptimizationType.MAX
    optimum = LABS_OPTIMUM if name == "LABS" else float(function.optimum.y)
    assert np.isfinite(optimum)

    def score(designs: Designs) -> tuple[Values, Values]:
        return -np.array(function(designs.tolist())), np.zeros(len(designs))

    return Problem(f"pbo/{name}", (2,) * bits, (True,) * bits, score, -optimum)


def makers() -> dict[str, Callable[[], Problem]]:
    """Return for each name what makes the problem; tables are left out where the data is absent."""
    tables = sorted(path.name.removesuffix(".csv.gz") for path in TABLES.glob("*.csv.gz"))
    found: dict[str, Callable[[], Problem]] = {}
    for prefix, maker, names in (
        ("prime", prime, pf.prime_application_names()),
        ("nk", nk, landscapes.SEEDS),
        ("tuner", tuner, tables),
        ("pbo", pbo, PBO),
        ("front", front, FRONT_APPLICATIONS),
    ):
        for name in names:
            found[f"{prefix}/{name.replace('__', '-')}"] = lambda maker=maker, name=name: maker(name)  # type: ignore[misc]
    return found


def chosen(patterns: tuple[str, ...]) -> Iterator[Problem]:
    """Yield the problems whose names match one of the patterns, such as `prime/*`."""
    for name, make in makers().items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            yield make()
