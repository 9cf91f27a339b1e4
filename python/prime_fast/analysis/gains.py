"""Which applications gain and which lose by a design against another one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl

from prime_fast.designs import CACHING, ReferenceDesign, reference_design
from prime_fast.errors import ConfigurationError, DataError, did_you_mean
from prime_fast.simulator import Simulator
from prime_fast.verification import TEMPLATE, simulators_for
from prime_fast.workload import application_names, prime_application_names

if TYPE_CHECKING:
    from prime_fast.analysis.judging import Judge
    from prime_fast.analysis.runs import FinishedRun
    from prime_fast.space import DesignSpace, Ranks, Value

Choice: TypeAlias = "int | str | Mapping[str, Value] | ReferenceDesign"
BEST_LOGGED = "best-logged"


@dataclass(frozen=True)
class Chosen:
    """A design by name.

    Attributes
    ----------
    title : str
    values : dict of str to value
        Of each parameter of the space.
    ranks : ndarray of shape (parameters,), integer, or None
        None where a value is not among the space's: such a design is simulated but not predicted.
    outside : str
        Which value that is.
    """

    title: str
    values: dict[str, Value]
    ranks: Ranks | None
    outside: str = ""


def choose(run: FinishedRun, choice: Choice, start: Chosen | None = None) -> Chosen:
    """Find a design.

    Parameters
    ----------
    run : FinishedRun
    choice : int, str, mapping or ReferenceDesign
        Number of a proposal; ``best-logged``; a published design or a TOML file of one; or values by
        parameter.
    start : Chosen, optional
        The design that values are changes of; without it, all parameters need one.

    Raises
    ------
    ConfigurationError
        If there is no such proposal, design or parameter, or a parameter has no value.
    """
    space = run.space
    if isinstance(choice, int):
        return _proposal(run, choice)
    if isinstance(choice, str) and choice == BEST_LOGGED:
        return _best_logged(run)
    if isinstance(choice, str):
        try:
            choice = reference_design(choice)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}, {BEST_LOGGED}, the number of a proposal, or values") from None
    if isinstance(choice, ReferenceDesign):
        _known(space, sorted(choice.values.keys() - TEMPLATE - {CACHING}))
        if missing := [name for name in space.names if name not in choice.values]:
            raise ConfigurationError(f"design `{choice.name}`: no value for {', '.join(missing)}")
        return _chosen(space, choice.title, {name: choice.values[name] for name in space.names})
    _known(space, choice)
    if missing := [name for name in space.names if name not in choice and start is None]:
        raise ConfigurationError(f"no value for {', '.join(missing)}")
    values = dict(choice) if start is None else {**start.values, **choice}
    text = ", ".join(f"{name}={value}" for name, value in choice.items())
    changed = len(choice) < space.dimensions and start is not None
    title = f"{start.title} with {text}" if start is not None and changed else "the design given"
    return _chosen(space, title, {name: values[name] for name in space.names})


def _known(space: DesignSpace, names: Iterable[str]) -> None:
    for name in names:
        if name not in space.names:
            hint = did_you_mean(name, space.names)
            raise ConfigurationError(f"unknown parameter `{name}`{hint}; known: {', '.join(space.names)}")


def _chosen(space: DesignSpace, title: str, values: dict[str, Value]) -> Chosen:
    ranks: list[int] = []
    for position, (name, allowed) in enumerate(zip(space.names, space.values, strict=True)):
        value = values[name]
        if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
            # Also of a type that a simulator could take?
            space.narrowed({name: value})
            outside = f"{name} is {value}; the space has {space.allowed(position)}"
            return Chosen(title, values, None, outside)
        ranks.append(allowed.index(value))
    return Chosen(title, values, np.array(ranks, space.rank_dtype))


def _proposal(run: FinishedRun, number: int) -> Chosen:
    rows = run.proposals
    if not 1 <= number <= rows.height:
        raise ConfigurationError(f"there is no proposal {number}: the run has 1 to {rows.height}")
    values = {name: rows[name][number - 1] for name in run.space.names}
    return Chosen(f"proposal {number}", values, run.space.ranks_from_frame(rows)[number - 1])


def _best_logged(run: FinishedRun) -> Chosen:
    if run.missing is not None:
        raise DataError(f"the best logged design is not known: {run.missing}")
    best = [row for log in run.logs[:1] if (row := log.best(run.task.limits)) is not None]
    if not best:
        raise ConfigurationError("no design logged is feasible and within the limits to compare with")
    values = {name: best[0][name] for name in run.space.names}
    title = "best logged" if len(run.logs) == 1 else f"best logged, {run.manifest['learned_from'][0]}"
    return Chosen(title, values, run.space.designs([values])[0])


def best_proposal(run: FinishedRun) -> int:
    """Return the number of the proposal that is best as simulated, else the first one."""
    column = f"simulated_{run.objective}"
    if column not in run.proposals.columns:
        return 1
    place = run.proposals[column].arg_min()
    return 1 if place is None else place + 1


def default_reference(judge: Judge, chosen: Chosen) -> Choice | None:
    """Return the Edge TPU V1 where it can be simulated, else the best logged or another proposal."""
    run, published = judge.run, reference_design("edge-tpu-v1")
    if judge.simulators and set(run.space.names) <= published.values.keys():
        return published
    if any(log.best(run.task.limits) is not None for log in run.logs[:1]):
        return BEST_LOGGED
    others = [number for number in (1, 2) if number <= run.proposals.height]
    return next((number for number in others if f"proposal {number}" != chosen.title), None)


def gains(judge: Judge, design: Ranks, reference: Chosen, *, simulate: bool) -> pl.DataFrame:
    """Compare a design with a reference on every application that surrogate or simulator know.

    Returns
    -------
    polars.DataFrame
        One row an application: ``application``, ``designed_for``, ``learned_from``; ``predicted``,
        ``predicted_reference`` and ``predicted_gain``; ``simulated``, ``simulated_reference`` and
        ``simulated_gain`` (null where unknown or infeasible); ``reason`` and ``reference_reason``, why a
        simulated design is infeasible. A gain is the reference's objective over the design's: above 1 the
        application gains by the design. Both have the technology that the bundled simulator has.
    """
    run = judge.run
    designed, learned = run.applications, list(run.task.logs)
    known = [*application_names(), *run.own]
    bundled = {name for name in known if simulate and _simulator(run, name, run.space)}
    names = dict.fromkeys([*designed, *learned])
    names |= dict.fromkeys(name for name in prime_application_names() if name in bundled)
    outside = reference.ranks is None
    narrowed = run.space.narrowed(reference.values) if outside else run.space
    other = narrowed.designs([reference.values])
    rows = []
    for name in names:
        row: dict[str, Any] = {
            "application": name,
            "designed_for": name in designed,
            "learned_from": name in learned,
        }
        row |= dict.fromkeys(("predicted", "predicted_reference", "simulated", "simulated_reference"))
        row |= dict.fromkeys(("reason", "reference_reason"))
        if name in designed or (run.task.contextual and name in (run.task.contexts or {})):
            both = design[None] if reference.ranks is None else np.stack([design, reference.ranks])
            values = run.surrogate.predict(both, run.task.context(name)).objective
            row["predicted"] = float(values[0])
            row["predicted_reference"] = None if outside else float(values[1])
        if name in bundled:
            row["simulated"], row["reason"] = _simulated(run, name, run.space, design[None])
            row["simulated_reference"], row["reference_reason"] = _simulated(run, name, narrowed, other)
            judge.queries += 2
        for what in ("predicted", "simulated"):
            mine, theirs = row[what], row[f"{what}_reference"]
            row[f"{what}_gain"] = theirs / mine if mine is not None and theirs is not None else None
        rows.append(row)
    schema = {
        "application": pl.String,
        "designed_for": pl.Boolean,
        "learned_from": pl.Boolean,
        **{
            f"{what}{suffix}": pl.Float64
            for what in ("predicted", "simulated")
            for suffix in ("", "_reference", "_gain")
        },
        "reason": pl.String,
        "reference_reason": pl.String,
    }
    return pl.DataFrame(rows, schema=schema)


def _simulator(run: FinishedRun, name: str, space: DesignSpace) -> Simulator | None:
    found = simulators_for([name], space, run.objective, run.own)
    return found[0] if found else None


def _simulated(
    run: FinishedRun, name: str, space: DesignSpace, design: Ranks
) -> tuple[float | None, str | None]:  # fmt: skip
    simulator = _simulator(run, name, space)
    if simulator is None:
        return None, None
    value = float(getattr(simulator.score(design), run.objective)[0])
    return (None, simulator.explain(design)[0]) if math.isnan(value) else (value, None)
