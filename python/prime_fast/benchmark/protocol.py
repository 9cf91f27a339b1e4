"""How the logs are made that the methods learn from, after the PRIME paper: poor designs of a random pool.

For an application and a seed:

1. `pool` designs are drawn uniformly from PRIME's space, with replacement, and simulated; each counts once.
2. Of the feasible ones the fastest, a share `removed` of them, are taken away, whatever their area. The paper
   takes away the best of a pool likewise, and the best design in its training data is 2.46 times as slow as
   what PRIME finds (geometric mean of nine applications).
3. Of those left, at most `feasible` are drawn, and of the infeasible ones at most `infeasible`.

No limit on area has a part in it: a log holds designs of any area, and serves every limit.

`removed` is set by seven applications that the evaluation leaves out (see `CALIBRATION`), so that the best
logged design within 29 mm2 is about 2.46 times as slow as the proven optimum (geometric mean of five seeds);
`room` measures it.

Seeds are published: the evaluation's are 0, 1, 2 ...; a seed stands for the data and for the training. The
stream of an application with a seed is ``numpy.random.SeedSequence([seed, crc32(name)])``.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.offline import LoggedDesigns
from prime_fast.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prime_fast.workload import Application

#: Applications by which `LogSettings.removed` was set.
CALIBRATION = (
    "MobileNetV1",
    "SqueezeNet",
    "Inception v1",
    "ResNet-18",
    "ResNet-50",
    "VGG16",
    "EfficientNet-EdgeTPU-S",
)


@dataclass(frozen=True)
class LogSettings:
    """Sizes of a training log.

    Attributes
    ----------
    pool : int
        Designs to draw and simulate.
    removed : float
        Share of the feasible ones to take away, the fastest first; in [0, 1).
    feasible, infeasible : int
        How many of each to log at most.

    Raises
    ------
    ConfigurationError
        If a number is out of range.
    """

    pool: int = 500_000
    removed: float = 0.695
    feasible: int = 8_000
    infeasible: int = 8_000

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, least in (("pool", 1), ("feasible", 1), ("infeasible", 0)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0.0 <= self.removed < 1.0:
            raise ConfigurationError(f"removed is {self.removed}; it must be at least 0 and below 1")


def training_log(
    application: str | Application, seed: int, settings: LogSettings | None = None
) -> LoggedDesigns:
    """Make the log of an application for a seed, with the latency in us as objective.

    Parameters
    ----------
    application : str or Application
    seed : int
        At least 0; the same seed gives the same log.
    settings : LogSettings, optional

    Returns
    -------
    LoggedDesigns
        Distinct designs in the order in which they were drawn.

    Raises
    ------
    DataError
        If none of the pool's designs is feasible.
    """
    settings = settings or LogSettings()
    simulator = Simulator(application)
    space = simulator.space
    stream = np.random.SeedSequence([seed, zlib.crc32(simulator.application.name.encode())])
    pool_stream, draw_stream = stream.spawn(2)
    drawn = space.sample(settings.pool, int(pool_stream.generate_state(1, np.uint64)[0]))
    ranks = drawn[np.sort(np.unique(space.indices(drawn), return_index=True)[1])]
    scores = simulator.score(ranks)
    feasible = np.flatnonzero(scores.feasible)
    if not len(feasible):
        raise DataError(
            f"none of {settings.pool} designs drawn for {simulator.application.name} is feasible; draw more"
        )
    by_latency = feasible[np.argsort(scores.latency_us[feasible], kind="stable")]
    worst = by_latency[int(settings.removed * len(by_latency)) :]
    generator = np.random.default_rng(draw_stream)
    logged = np.sort(
        np.concatenate(
            [
                generator.permutation(some)[:most]
                for some, most in (
                    (worst, settings.feasible),
                    (np.flatnonzero(~scores.feasible), settings.infeasible),
                )
            ]
        )
    )
    return LoggedDesigns(ranks[logged], scores.latency_us[logged], scores.feasible[logged])


def room(
    applications: Sequence[str] = CALIBRATION,
    *,
    area_mm2: float = 29.0,
    seeds: int = 5,
    settings: LogSettings | None = None,
) -> dict[str, float]:
    """Return by application how much slower the best logged design within an area is than the optimum.

    Returns
    -------
    dict of str to float
        Geometric mean over seeds of best logged latency / proven optimum; infinite where some log has no
        feasible design within the area.
    """
    from prime_fast.exact import solve

    limits = {"area_mm2": area_mm2}
    ratios = {}
    for name in applications:
        optimum = solve(name, limits)
        best = []
        for seed in range(seeds):
            log = training_log(name, seed, settings)
            within = log.feasible & (optimum.space.metric("area_mm2", log.ranks) <= area_mm2)
            best.append(np.min(log.objective[within], initial=np.inf))
        ratios[name] = float(np.exp(np.mean(np.log(best))) / optimum.score)
    return ratios
