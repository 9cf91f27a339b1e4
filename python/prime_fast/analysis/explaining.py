"""The analysis of one design of a finished run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.analysis.changes import Changes, changes
from prime_fast.analysis.constraints import learned_constraints
from prime_fast.analysis.distance import Distance, distance
from prime_fast.analysis.gains import Choice, best_proposal, choose, default_reference, gains
from prime_fast.analysis.importance import Importance, importance
from prime_fast.analysis.judging import Judge, within_limits
from prime_fast.analysis.runs import read_run
from prime_fast.errors import ConfigurationError
from prime_fast.offline import combined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.analysis.runs import FinishedRun
    from prime_fast.space import DesignSpace, Ranks, Value

MOST_PAIRS = 20_000
SAMPLES = 512
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Analysis:
    """What a run knows of one design.

    Attributes
    ----------
    path : Path
        The run.
    design : dict of str to value
    title : str
        Where the design is from, such as ``proposal 3``.
    space : DesignSpace
    objective : str
    applications : list of str
        Those designed for; empty where the log names none.
    combine : str
        What is made of several applications.
    limits : dict
    learned_constraints : polars.DataFrame
        What no feasible logged design breaks and many infeasible ones do. One row a constraint:
        ``application``, ``constraint`` (as text), ``quantity``, ``at_least``, ``bound``, ``infeasible``
        (logged designs that it was first to reject; 0 where the application has no log, and the limits of
        others lead to it), ``value`` (of the design), ``slack`` (value over bound,
        or bound over value where that is an upper one; below 1 where broken) and ``kept``.
    changes : Changes
        One-parameter and pairwise changes, predicted and simulated.
    importance : Importance or None
        Sobol indices of the logarithm of the combined prediction over the designs within the limits; None
        where next to no design is within them.
    feasibility_importance : Importance or None
        The same of the probability of being feasible.
    spread : dict of str to float
        By parameter: the largest over the least prediction that its values give within the limits, all other
        parameters as in the design.
    reference : str or None
        What `gains` compares with.
    reference_design : dict or None
    gains : polars.DataFrame or None
        One row an application.
    distance : Distance or None
        From the log; None where it can't be read again.
    queries : int
        Simulations that the analysis took.
    warnings : list of str
    """

    path: Path
    design: dict[str, Value]
    title: str
    space: DesignSpace = field(repr=False)
    objective: str
    applications: list[str]
    combine: str
    limits: dict[str, float]
    learned_constraints: pl.DataFrame = field(repr=False)
    changes: Changes = field(repr=False)
    importance: Importance | None = field(repr=False)
    feasibility_importance: Importance | None = field(repr=False)
    spread: dict[str, float] = field(repr=False)
    reference: str | None
    reference_design: dict[str, Value] | None = field(repr=False)
    gains: pl.DataFrame | None = field(repr=False)
    distance: Distance | None = field(repr=False)
    queries: int
    warnings: list[str]

    @property
    def simulated(self) -> bool:
        """Whether the changes were simulated."""
        return "simulated" in self.changes.design.columns

    def table(self) -> pl.DataFrame:
        """Return all changes in one table; single ones have no ``second_parameter`` and ``second_value``."""
        single = self.changes.single.drop("value_from")
        return pl.concat([single, self.changes.pairs], how="diagonal")

    def best(self, table: pl.DataFrame, what: str = "predicted") -> dict[str, Any] | None:
        """Return the allowed change that is best as predicted or, of those feasible, as simulated."""
        kept = "allowed" if what == "predicted" else pl.col("within_limits") & pl.col("feasible")
        rows = table.filter(kept).sort(what, maintain_order=True).head(1)
        return rows.row(0, named=True) if rows.height else None

    def as_dict(self, *, pairs: bool = False) -> dict[str, Any]:
        """Return the analysis as JSON data, each pair of changes only if asked for."""
        changes = self.changes
        best = {}
        for what in ("predicted", "simulated") if self.simulated else ("predicted",):
            best[f"best_change_as_{what}"] = self.best(changes.single, what)
            best[f"best_pair_as_{what}"] = self.best(changes.pairs, what)
        distance = self.distance
        data = {
            "run": str(self.path),
            "design": self.design,
            "title": self.title,
            "applications": self.applications,
            "combine": self.combine,
            "objective": self.objective,
            "limits": self.limits,
            "learned_constraints": self.learned_constraints.to_dicts(),
            **changes.design.row(0, named=True),
            **best,
            "changes": changes.single.to_dicts(),
            **({"pairs": changes.pairs.to_dicts()} if pairs else {}),
            "pairs_left_out": changes.left_out,
            "interactions": changes.interactions.to_dicts(),
            "importance": _indices(self.importance),
            "feasibility_importance": _indices(self.feasibility_importance),
            "spread": self.spread,
            "reference": self.reference,
            "reference_design": self.reference_design,
            "gains": None if self.gains is None else self.gains.to_dicts(),
            "distance": None
            if distance is None
            else {
                "changed_parameters": distance.changed_parameters,
                "rank_distance": distance.rank_distance,
                "never_feasible": distance.never_feasible,
                "nearest": distance.nearest.to_dicts(),
                "parameters": distance.parameters.to_dicts(),
                "applications": distance.applications.to_dicts(),
            },
            "simulator_queries": self.queries,
            "warnings": self.warnings,
        }
        cleaned: dict[str, Any] = _finite(data)
        return cleaned


def explain_run(
    path: str | Path | FinishedRun,
    *,
    proposal: int | None = None,
    design: Choice | None = None,
    reference: Choice | None = None,
    simulate: bool = True,
    most_pairs: int = MOST_PAIRS,
    samples: int = SAMPLES,
    neighbours: int = 5,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Explain a design of a finished run by its surrogate, its log and, where there is one, the simulator.

    Parameters
    ----------
    path : str, Path or FinishedRun
        A run's directory, as `optimize` makes it, or what was read of one.
    proposal : int, optional
        Number of the proposal to explain; the best one by default.
    design : str, mapping or ReferenceDesign, optional
        Another design: a published one, ``"best-logged"``, or values by parameter; those not given are the
        proposal's.
    reference : int, str, mapping or ReferenceDesign, optional
        What the design is compared with, application by application: the number of a proposal, or as
        ``design``; values that are not given are those of the explained design. By default the Edge TPU V1
        where it can be simulated, else the best logged design.
    simulate : bool
        Whether the simulator may be asked.
    most_pairs : int
        Most pairs of changes to look at; 0 for none.
    samples : int
        Designs that the Sobol indices are estimated from, at least 100.
    neighbours : int
        How many logged designs to name.
    seed : int
        Of the sample; the same seed gives the same analysis.
    threads : int, optional
        Of the simulator; all processors by default.
    progress : callable, optional
        Called with a stage's name, what is done and the total.

    Returns
    -------
    Analysis

    Raises
    ------
    ConfigurationError
        If there is no finished run with a surrogate, or no such proposal, design or reference.
    DataError
        If a file of the run is damaged or doesn't fit the others.
    """
    for name, value, least in (("most_pairs", most_pairs, 0), ("neighbours", neighbours, 1)):
        if value < least:
            raise ConfigurationError(f"{name} is {value}; it must be at least {least}")
    if threads is not None and threads < 1:
        raise ConfigurationError(f"threads is {threads}; it must be at least 1")

    def step(done: int) -> None:
        if progress is not None:
            progress("explaining", done, 4)

    run = read_run(path) if isinstance(path, str | Path) else path
    step(0)
    chosen = choose(run, best_proposal(run) if proposal is None else proposal)
    if design is not None:
        chosen = choose(run, design, chosen)
    if chosen.ranks is None:
        raise ConfigurationError(f"{chosen.title} is not in the run's design space: {chosen.outside}")
    ranks = chosen.ranks
    judge = Judge(run, simulate=simulate, threads=threads)
    other = default_reference(judge, chosen) if reference is None else reference
    against = None if other is None else choose(run, other, chosen)

    around = changes(judge, ranks, most_pairs)
    step(1)
    indices = _importances(run, samples, seed)
    step(2)
    compared = None if against is None else gains(judge, ranks, against, simulate=simulate)
    step(3)
    from_log = None if run.missing is not None else distance(run, ranks, neighbours)
    step(4)
    warnings = list(run.warnings)
    if around.left_out and most_pairs:
        warnings.append(
            f"{around.left_out:,} pairs of changes are left out: only those of the values predicted best are "
            f"combined, {around.pairs.height:,} pairs"
        )
    if against is not None and against.ranks is None:
        warnings.append(f"{against.title} is not in the design space and so not predicted: {against.outside}")
    return Analysis(
        path=run.path,
        design=chosen.values,
        title=chosen.title,
        space=run.space,
        objective=run.objective,
        applications=list(run.manifest["applications"]),
        combine=run.task.combine,
        limits=dict(run.task.limits),
        learned_constraints=learned_constraints(run, ranks),
        changes=around,
        importance=indices[0],
        feasibility_importance=indices[1],
        spread=_spread(run, around),
        reference=None if against is None else against.title,
        reference_design=None if against is None else against.values,
        gains=compared,
        distance=from_log,
        queries=judge.queries,
        warnings=warnings,
    )


def _importances(run: FinishedRun, samples: int, seed: int) -> tuple[Importance | None, Importance | None]:
    """Return the Sobol indices of the log of the prediction and of the probability of being feasible."""
    task, surrogate = run.task, run.surrogate
    probabilities: dict[bytes, NDArray[np.float64]] = {}

    def logarithm(designs: Ranks) -> NDArray[np.float64]:
        predictions = [surrogate.predict(designs, task.context(name)) for name in task.applications]
        least = np.min([prediction.feasible_probability for prediction in predictions], axis=0)
        probabilities[designs.tobytes()] = least
        return combined(task, np.stack([np.log(prediction.objective) for prediction in predictions]))

    def within(designs: Ranks) -> NDArray[np.bool_]:
        return within_limits(run, designs)

    objective = importance(run.space, logarithm, within, designs=samples, seed=seed)
    if objective is None or not (surrogate.has_gate or any(surrogate.constraints)):
        return objective, None
    # The same seed asks for the same designs: nothing is predicted twice.
    return objective, importance(
        run.space, lambda designs: probabilities[designs.tobytes()], within, designs=samples, seed=seed
    )


def _spread(run: FinishedRun, around: Changes) -> dict[str, float]:
    spread = {}
    own = 0.0 if around.design["within_limits"][0] else math.nan
    for name in run.space.names:
        rows = around.single.filter((pl.col("parameter") == name) & pl.col("within_limits"))
        effects = np.log(rows["predicted_ratio"].to_numpy())
        effects = effects if math.isnan(own) else np.append(effects, own)
        spread[name] = float(np.exp(np.ptp(effects))) if len(effects) else 1.0
    return spread


def _indices(importance: Importance | None) -> dict[str, Any] | None:
    if importance is None:
        return None
    return asdict(importance) | {"table": importance.table.to_dicts()}


def _finite(data: Any) -> Any:
    """Return JSON data with None in the place of what is not finite."""
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
