"""Logs of random designs, scored by a simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from prime_fast.errors import ConfigurationError

if TYPE_CHECKING:
    from prime_fast.simulator import Simulator

CHUNK = 65_536
"""Designs scored per call, so that a long log doesn't lie in memory twice."""


def generate(simulator: Simulator, designs: int, seed: int = 0) -> pl.DataFrame:
    """Draw designs uniformly, with replacement, and score them.

    Parameters
    ----------
    simulator : Simulator
        What to score with.
    designs : int
        How many to draw, at least 1.
    seed : int
        The same seed gives the same log.

    Returns
    -------
    polars.DataFrame
        One row a design: the parameters' values, ``latency_us``, ``energy_uj`` and ``average_power_mw`` (null
        where infeasible), ``area_mm2`` and ``peak_power_mw`` (all float64), ``feasible`` (bool), ``reason``
        (str, null where feasible).

    Raises
    ------
    ConfigurationError
        If `designs` is below 1.
    """
    if designs < 1:
        raise ConfigurationError(f"the number of designs must be at least 1, not {designs}")
    ranks = simulator.space.sample(designs, seed)
    chunks = []
    for start in range(0, designs, CHUNK):
        part = ranks[start : start + CHUNK]
        scores = simulator.score(part)
        figures = pl.DataFrame(
            {
                "latency_us": scores.latency_us,
                "area_mm2": scores.area_mm2,
                "energy_uj": scores.energy_uj,
                "average_power_mw": scores.average_power_mw,
                "peak_power_mw": scores.peak_power_mw,
                "feasible": scores.feasible,
                "reason": pl.Series(scores.reasons(), dtype=pl.String),
            }
        )
        chunks.append(simulator.space.frame(part).hstack(figures))
    feasible = pl.col("feasible")
    return pl.concat(chunks).with_columns(
        pl.when(feasible).then("latency_us"),
        pl.when(feasible).then("energy_uj"),
        pl.when(feasible).then("average_power_mw"),
        pl.when(~feasible).then("reason"),
    )
