"""The bundled simulator: latency, area and energy of an application on designs of the accelerator template.

The model's equations, units and sources stand in the documentation of the Rust module `simulator`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prime_fast import _core
from prime_fast.explanation import report
from prime_fast.space import DesignSpace, read_text
from prime_fast.workload import application_named

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from prime_fast.explanation import Report
    from prime_fast.space import Ranks, Value


@dataclass(frozen=True)
class Scores:
    """Simulated metrics of a batch of designs.

    Attributes
    ----------
    latency_us, area_mm2, energy_uj : ndarray of shape (n_designs,), float64
        Latency in us and energy in uJ of one inference, NaN where infeasible; area in mm2.
    peak_power_mw : ndarray of shape (n_designs,), float64
        Power in mW with every unit at work.
    feasible : ndarray of shape (n_designs,), bool
    reason : ndarray of shape (n_designs,), uint16
        0 where feasible, else 1 plus the position of the reason in `reason_names`.
    reason_names : list of str
        The space's constraints, then the simulator's checks.
    """

    latency_us: NDArray[np.float64]
    area_mm2: NDArray[np.float64]
    energy_uj: NDArray[np.float64]
    peak_power_mw: NDArray[np.float64]
    feasible: NDArray[np.bool_]
    reason: NDArray[np.uint16]
    reason_names: list[str]

    def __len__(self) -> int:
        return len(self.latency_us)

    @property
    def average_power_mw(self) -> NDArray[np.float64]:
        """Energy over latency in mW, shape (n_designs,), float64, NaN where infeasible."""
        return self.energy_uj / self.latency_us * 1e3

    def reasons(self) -> list[str | None]:
        """Return for each design the name of the check that it fails, or None."""
        names = [None, *self.reason_names]
        return [names[code] for code in self.reason]


def _constants(technology: str | Path | Mapping[str, float | bool] | None) -> tuple[str, str] | None:
    """Return the text of technology constants and where it is from; None stands for the bundled ones."""
    if technology is None:
        return None
    if isinstance(technology, Mapping):
        constants = tomllib.loads(_core.bundled_technology()) | dict(technology)
        return "".join(f"{name} = {str(value).lower()}\n" for name, value in constants.items()), "technology"
    return read_text(technology, "technology constants"), str(technology)


class Simulator:
    """An analytical simulator of one application on the designs of one space.

    Parameters
    ----------
    application : str, Path or Application
        Name of a bundled application, path of an application file (TOML), or an application.
    space : DesignSpace, optional
        A space with PRIME's ten parameters by name and a metric ``area_mm2``; PRIME's own by default.
    technology : str or Path or mapping of str to float or bool, optional
        A TOML file of technology constants instead of those that ship with the package, or the values of some
        of these that differ.

    Raises
    ------
    ConfigurationError
        If the application is unknown, the space lacks a parameter or a constant is missing or negative.
    """

    def __init__(
        self,
        application: str | Path | _core.Application,
        space: DesignSpace | None = None,
        technology: str | Path | Mapping[str, float | bool] | None = None,
    ) -> None:
        self.application = application_named(application)
        self.space = space if space is not None else DesignSpace.bundled("prime")
        self.core = _core.Simulator(self.space.core, self.application, _constants(technology))
        self.reason_names: list[str] = self.core.reasons

    def __repr__(self) -> str:
        return f"Simulator({self.application.name!r}, {self.space.name!r})"

    def score(self, designs: Ranks | pl.DataFrame, threads: int | None = None) -> Scores:
        """Simulate a batch of designs in parallel, with the interpreter detached.

        Parameters
        ----------
        designs : ndarray of shape (n_designs, n_parameters), uint8 or uint16, or polars.DataFrame
            Ranks, or values in columns named as the parameters.
        threads : int, optional
            Number of threads; all processors by default. The result does not depend on it.

        Returns
        -------
        Scores

        Raises
        ------
        DataError
            If shape or dtype is wrong, or a rank or value is not the space's.
        """
        latency, area, energy, peak, reason = self.core.score(self.space.designs(designs), threads)
        return Scores(latency, area, energy, peak, reason == 0, reason, self.reason_names)

    def report(self, design: Ranks | Mapping[str, Value]) -> Report:
        """Simulate one design and tell what its score is made of, by layer and in total.

        Parameters
        ----------
        design : ndarray of shape (n_parameters,) or (1, n_parameters), or mapping of str to value
            Ranks, or values by parameter. `DesignSpace.narrowed` makes a space of a design outside this one.

        Returns
        -------
        Report

        Raises
        ------
        DataError
            If shape or dtype is wrong, or a rank or value is not the space's.
        """
        ranks = np.atleast_2d(design) if isinstance(design, np.ndarray) else self.space.designs([design])
        fields = self.core.report(ranks)
        metrics = [name for name, unit in self.space.metric_units.items() if unit == "mm2"]
        areas = {name: float(self.space.metric(name, ranks)[0]) for name in metrics}
        return report(self.application.name, self.space.frame(ranks).row(0, named=True), areas, fields)

    def violation(self, designs: Ranks | pl.DataFrame) -> NDArray[np.float64]:
        """Return how far each design is from passing all checks: 0 when it does.

        Returns
        -------
        ndarray of shape (n_designs,), float64
            Of the first check that fails, in their order, the share of what is needed that is not available,
            plus 1 for each check that comes after it; 4 where a constraint of the space is broken.
        """
        return self.core.violation(self.space.designs(designs))

    def explain(self, designs: Ranks | pl.DataFrame) -> list[str | None]:
        """Return for each design why it is infeasible (check, layer, needed, available), or None."""
        return self.core.explain(self.space.designs(designs))
