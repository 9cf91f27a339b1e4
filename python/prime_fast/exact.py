"""The best design there is, with proof, by branch and bound over the bundled simulator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from prime_fast import _core
from prime_fast.errors import ConfigurationError
from prime_fast.simulator import Simulator
from prime_fast.space import DesignSpace

if TYPE_CHECKING:
    from pathlib import Path

    from prime_fast.space import Ranks

#: Designs whose objectives differ by no more than this share tie.
TIE = 1e-9


@dataclass(frozen=True)
class SolveResult:
    """The design of least objective, and what is proved about it.

    Attributes
    ----------
    applications : list of str
        Names of the applications.
    objective : str
        What was minimised: the objective of one application, or the mean of those of several.
    limits : dict of str to float
        Upper limits that every design kept, for each of the applications.
    space : DesignSpace
    designs : ndarray of shape (n_listed, n_parameters), ranks
        The designs that tie (a relative 1e-9) for the least objective, by index; at most 10,000.
    tie_count : int
        How many designs tie; exact where proved, else those found so far.
    score : float
        Objective of the first of them: us, uJ or uJ us, or their mean.
    bound : float
        No design within the limits has a lower objective.
    gap : float
        Share by which the objective could still be lower, ``1 - bound / score``; 0 where proved.
    scores : dict of str to dict of str to float
        For each application ``latency_us``, ``energy_uj``, ``average_power_mw`` and ``peak_power_mw`` of the
        first design.
    nodes : int
        Boxes of designs, single ones among them, that were bounded. Independent of the number of threads.
    stopped_by : {"proof", "nodes", "seconds", "interrupt"}
    seconds : float
        Time of the whole run.
    """

    applications: list[str]
    objective: str
    limits: dict[str, float]
    space: DesignSpace
    designs: Ranks
    tie_count: int
    score: float
    bound: float
    gap: float
    scores: dict[str, dict[str, float]]
    nodes: int
    stopped_by: str
    seconds: float

    @property
    def design(self) -> dict[str, Any]:
        """The best design as values by parameter; of those that tie, the one of least index."""
        return self.space.frame(self.designs[:1]).row(0, named=True)

    @property
    def ties(self) -> list[dict[str, Any]]:
        """The designs that tie as values by parameter, the best first; at most 10,000."""
        return self.space.frame(self.designs).to_dicts()

    @property
    def metrics(self) -> dict[str, float]:
        """The space's metrics of the best design, such as ``area_mm2``."""
        names = self.space.metric_names
        return {name: float(self.space.metric(name, self.designs[:1])[0]) for name in names}

    @property
    def proved(self) -> bool:
        """Whether no design within the limits is better."""
        return self.stopped_by == "proof"

    def as_dict(self) -> dict[str, Any]:
        """Return the result as what JSON can hold."""
        return {
            "applications": self.applications,
            "objective": self.objective,
            "limits": self.limits,
            "space": self.space.name,
            "design": self.design,
            "score": self.score,
            "bound": self.bound if math.isfinite(self.bound) else None,
            "gap": self.gap,
            "proved": self.proved,
            "stopped_by": self.stopped_by,
            "scores": self.scores,
            "metrics": self.metrics,
            "tie_count": self.tie_count,
            "ties": self.ties,
            "nodes": self.nodes,
            "seconds": self.seconds,
        }


def solve(
    applications: str | _core.Application | Sequence[str | _core.Application],
    limits: Mapping[str, float] | None = None,
    objective: Literal["latency", "energy", "energy_delay"] = "latency",
    weights: Sequence[float] | None = None,
    mean: Literal["geometric", "arithmetic"] = "geometric",
    space: DesignSpace | None = None,
    technology: str | Path | Mapping[str, float | bool] | None = None,
    seconds: float | None = None,
    nodes: int | None = None,
    threads: int | None = None,
    callback: Callable[[int, float | None, float, float], None] | None = None,
) -> SolveResult:
    """Find the design of least latency, energy or energy-delay product, and prove that none is better.

    Parameters
    ----------
    applications : str or Application, or a sequence of these
        One application, or several that one design shall run.
    limits : mapping of str to float, optional
        Upper limits on metrics of the space, such as ``area_mm2``, and on results of the simulator for each
        application: ``latency_us``, ``energy_uj``, ``average_power_mw``, ``peak_power_mw``.
    objective : {"latency", "energy", "energy_delay"}
        What to minimise: us, uJ, or uJ us.
    weights : sequence of float, optional
        A positive weight for each application; equal by default. Only their ratios count.
    mean : {"geometric", "arithmetic"}
        How the objectives of several applications become one.
    space : DesignSpace, optional
        As for `Simulator`; PRIME's by default.
    technology : str, Path or mapping, optional
        As for `Simulator`.
    seconds : float, optional
        Time to take at most; the result then says how much better a design could be (`SolveResult.gap`).
    nodes : int, optional
        Nodes to bound before the run ends, give or take some tens.
    threads : int, optional
        All processors by default. The result does not depend on it.
    callback : callable, optional
        Called several times a second with the nodes bounded, the best objective or None, the bound and the
        seconds so far.

    Returns
    -------
    SolveResult
        Also after Ctrl-C, with ``stopped_by == "interrupt"``, unless nothing was found by then.

    Raises
    ------
    NoFeasibleDesignError
        If nothing meets the limits; the text names the limit and the least that can be reached. Also if
        nothing was found before `seconds` or `nodes` ran out.
    ConfigurationError
        For unknown names, and limits, weights, `seconds` or `nodes` that are not positive.

    Examples
    --------
    >>> import prime_fast as pf
    >>> found = pf.solve("t-RNN Enc", limits={"area_mm2": 29.0})
    >>> found.proved, found.gap
    (True, 0.0)
    """
    if isinstance(applications, str | _core.Application):
        applications = [applications]
    if space is None:
        space = DesignSpace.bundled("prime")
    simulators = [Simulator(application, space, technology) for application in applications]
    names = [simulator.application.name for simulator in simulators]
    if twice := [name for position, name in enumerate(names) if name in names[:position]]:
        raise ConfigurationError(f"application {twice[0]} is given twice; use a weight")
    for name, value in (("nodes", nodes), ("threads", threads)):
        if value is not None and value < 1:
            raise ConfigurationError(f"{name} is {value}; it must be at least 1")
    limits = {name: float(limit) for name, limit in (limits or {}).items()}
    fields = _core.solve(
        [simulator.core for simulator in simulators],
        weights=[1.0] * len(simulators) if weights is None else [float(weight) for weight in weights],
        objective=objective,
        mean=mean,
        limits=list(limits.items()),
        seconds=seconds,
        nodes=nodes,
        threads=threads,
        callback=callback,
    )
    return SolveResult(
        applications=names,
        objective=objective if len(names) == 1 else f"{mean} mean of {objective}",
        limits=limits,
        space=space,
        designs=fields["designs"],
        tie_count=fields["tie_count"],
        score=fields["score"],
        bound=fields["bound"],
        gap=fields["gap"],
        scores={name: dict(outputs) for name, outputs in zip(names, fields["outputs"], strict=True)},
        nodes=fields["nodes"],
        stopped_by=fields["stopped_by"],
        seconds=fields["seconds"],
    )
