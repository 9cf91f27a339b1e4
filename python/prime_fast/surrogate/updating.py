"""A trained ensemble goes on from its weights once designs were asked of a simulator.

Log and answers train together, by the objective of `losses`, with these differences:

- A row answered is drawn as often as it takes for `SHARE` of each batch to be such rows: beside a log of
  thousands a handful would never be seen.
- The scale stays that of the first fit: what is better than all of the log has a target below its best.
- The log is censored at its own best design, as before: that queries have found better ones doesn't make the
  log say more. What was asked was asked without regard to how good it is, so its labels always count.
- There is no push on adversarial designs: these are what is asked, and their labels do it better.
- A learned constraint that a feasible design breaks was none. Its bound moves to that design, and it stays
  if the infeasible designs that are left beyond show it still, by the test of `constraints`; else it goes.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from prime_fast.errors import DataError
from prime_fast.surrogate.constraints import PRODUCTS, LearnedConstraint, violations
from prime_fast.surrogate.losses import Objective
from prime_fast.surrogate.training import (
    SEEDS,
    Rows,
    Span,
    State,
    StepSettings,
    Terms,
    advance,
    initial_state,
    padded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from prime_fast.space import DesignSpace
    from prime_fast.surrogate.data import TrainingData
    from prime_fast.surrogate.surrogate import Surrogate

SHARE = 4
"""One of so many rows of a batch is one that was answered."""
FRACTION = 0.2
"""Steps of an update over those of the first fit."""
LEARNING_RATE = 0.4
"""That of an update at its start over that of the first fit."""
UNCENSORED = -1e9
"""A best objective that every design is worse than."""
CHUNK = 50
"""Steps between two questions whether to stop."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Designs that were asked of a simulator.

    Attributes
    ----------
    ranks : ndarray of shape (n, parameters), integer
    objective : ndarray of shape (n,), float64
        NaN where infeasible.
    feasible : ndarray of shape (n,), bool
    metrics : mapping of str to ndarray of shape (n,), float64
        The metrics that the surrogate learned; NaN where unknown.
    contexts : ndarray of shape (targets, features), float64, optional
        Of the applications asked for; None where the surrogate knows one application alone.
    target : ndarray of shape (n,), integer, optional
        Which of them each design was asked for; the first by default.
    """

    ranks: NDArray[np.integer]
    objective: NDArray[np.float64]
    feasible: NDArray[np.bool_]
    metrics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    contexts: NDArray[np.float64] | None = None
    target: NDArray[np.integer] | None = None

    @property
    def target_of_row(self) -> NDArray[np.integer]:
        """Which application each design was asked for."""
        return np.zeros(len(self.ranks), np.intp) if self.target is None else self.target


def update(
    surrogate: Surrogate,
    data: TrainingData,
    answers: Answers,
    seed: int = 0,
    *,
    fraction: float = FRACTION,
    should_stop: Callable[[], bool] | None = None,
) -> Surrogate:
    """Train a surrogate further, from its weights, on its log and on what was answered since.

    Parameters
    ----------
    surrogate : Surrogate
    data : TrainingData
        The log that it was trained on.
    answers : Answers
        All that was asked so far.
    seed : int
        Determines the batches.
    fraction : float
        Steps over those of the first fit.
    should_stop : callable returning bool, optional
        Where it returns true the surrogate is returned as it is by then.

    Returns
    -------
    Surrogate

    Raises
    ------
    DataError
        If training diverges.
    """
    if not len(answers.ranks):
        return surrogate
    constraints = corrected_constraints(surrogate, data, answers)
    rows, terms, gated = _rows(surrogate, data, answers, constraints)
    settings, selection = surrogate.settings, surrogate.selection
    members = int(jax.tree_util.tree_leaves(eqx.filter(surrogate.networks, eqx.is_array))[0].shape[0])
    beta = float(selection.get("beta", 0.0))
    steps = max(1, round(fraction * settings.steps))
    objective = Objective(
        settings.feasibility_weight, settings.ranking_weight, settings.push == "linear", None,
        settings.alpha_rate, beta > 0.0, settings.censoring,
    )  # fmt: skip
    rate = LEARNING_RATE * settings.learning_rate
    constants = StepSettings(settings.batch, rate, settings.weight_decay, objective)
    terms = terms._replace(beta=jnp.full(members, beta), horizon=jnp.asarray(steps, jnp.float32))
    state: State = initial_state(surrogate.networks, jnp.zeros(members), settings.weight_decay)
    key = jax.random.key(seed % SEEDS % (1 << 31))
    for first in range(0, steps, CHUNK):
        if should_stop is not None and should_stop():
            break
        start, count = jnp.asarray(first, jnp.int32), jnp.asarray(min(CHUNK, steps - first), jnp.int32)
        state = advance(state, rows, terms, None, key, start, count, surrogate.encoder, constants)
        if int(state.diverged) >= 0:
            raise DataError(
                "the update of the surrogate diverged: the loss is not finite; lower the learning rate "
                f"of the first fit (now {settings.learning_rate})"
            )
    return dataclasses.replace(
        surrogate,
        networks=state.networks,
        constraints=constraints,
        has_gate=surrogate.has_gate or gated,
        selection={**selection, "answers": len(answers.ranks)},
    )


def _rows(
    surrogate: Surrogate,
    data: TrainingData,
    answers: Answers,
    constraints: Sequence[Sequence[LearnedConstraint]],
) -> tuple[Rows, Terms, bool]:
    """Return the rows that batches are drawn from, and whether any teach what is feasible.

    Answers stand behind the log, for applications of their own: they have another ``best``.
    """
    space, of_row = data.space, data.application_of_row
    contexts, applications = data.contexts, max(1, len(data.applications))
    contexts = np.zeros((1, 0)) if contexts is None else contexts
    asked = contexts[:1] if answers.contexts is None else answers.contexts
    everything = surrogate.context_scale.standardised(np.concatenate([contexts, asked]))
    targets, asked_targets = _targets(surrogate, data), _targets(surrogate, answers)
    allowed = space.check(data.ranks.astype(space.rank_dtype)) < 0
    kept = ~data.feasible & allowed
    for place, several in enumerate(constraints):
        own = np.flatnonzero(kept & (of_row == place))
        kept[own] = violations(several, space, data.ranks[own]) == 0.0
    parts = {}
    for name, old, new in (
        ("feasible", np.flatnonzero(data.feasible), np.flatnonzero(answers.feasible)),
        ("infeasible", np.flatnonzero(kept), np.flatnonzero(~answers.feasible)),
    ):
        # Of an application one after the other, the worst designs first.
        old = old[np.lexsort((-np.nan_to_num(targets[old, 0]), of_row[old]))]
        new = new[np.argsort(answers.target_of_row[new], kind="stable")]
        counts = np.concatenate(
            [
                np.bincount(of_row[old], minlength=applications),
                np.bincount(answers.target_of_row[new], minlength=len(asked)),
            ]
        )
        ranks = np.concatenate([data.ranks[old].astype(np.int32), answers.ranks[new].astype(np.int32)])
        parts[name] = ranks, np.concatenate([targets[old], asked_targets[new]]), counts
    good, bad = parts["feasible"], parts["infeasible"]
    ends = np.cumsum(good[2])[:applications]
    firsts = ends - good[2][:applications]
    # An application that is asked for and not logged is measured by the whole log.
    worst = np.full(applications + len(asked), good[1][:, 0].max())
    best = np.full(applications + len(asked), UNCENSORED)
    worst[:applications], best[:applications] = good[1][firsts, 0], good[1][ends - 1, 0]
    starts = np.cumsum(good[2]) - good[2]
    near = starts + np.ceil(good[2] * (1.0 - surrogate.settings.near_optimal)).astype(np.int64)
    rows = Rows(*(jnp.asarray(padded(part)) for part in (good[0], bad[0], good[1], bad[1])))
    terms = Terms(
        jnp.zeros(0),
        _span(good[2], applications),
        jnp.asarray(near, jnp.int32),
        _span(bad[2], applications),
        jnp.asarray(worst, jnp.float32),
        jnp.asarray(best, jnp.float32),
        jnp.asarray(everything),
        jnp.asarray(1.0),
    )
    return rows, terms, surrogate.settings.feasibility_weight > 0.0 and bool(len(bad[0]))


def _targets(surrogate: Surrogate, rows: TrainingData | Answers) -> NDArray[np.float32]:
    objective = surrogate.objective.standardised(np.where(rows.feasible, rows.objective, np.nan))
    learned = [scale.standardised(rows.metrics[name]) for name, scale in surrogate.metrics.items()]
    return np.stack([objective, *learned], axis=1)


def _span(counts: NDArray[np.integer], logged: int) -> Span:
    """Return spans, drawn with even chances, of which one in `SHARE` is of answers.

    Their number depends on the log alone, so that answers need no compilation.
    """
    places = np.arange(len(counts))
    old, new = places[:logged][counts[:logged] > 0], places[logged:][counts[logged:] > 0]
    if not len(old):
        old = new if len(new) else places[:1]
    new = new if len(new) else old
    most = logged * (len(counts) - logged)
    spans = np.concatenate([np.resize(old, (SHARE - 1) * most), np.resize(new, most)])
    firsts = np.cumsum(counts) - counts
    return Span(*(jnp.asarray(values[spans], jnp.int32) for values in (places, firsts, counts)))


def corrected_constraints(
    surrogate: Surrogate, data: TrainingData, answers: Answers
) -> tuple[tuple[LearnedConstraint, ...], ...]:
    """Return the learned constraints less those that a feasible design answered breaks, or with its bound."""
    contexts = data.contexts
    asked = answers.contexts
    corrected = []
    for place, constraints in enumerate(surrogate.constraints):
        own = answers.feasible.copy()
        if contexts is not None and asked is not None:
            same = np.flatnonzero([np.array_equal(contexts[place], row) for row in asked])
            own &= np.isin(answers.target_of_row, same)
        rows = data.application_of_row == place
        good = int((data.feasible & rows).sum() + own.sum())
        bad = data.ranks[~data.feasible & rows]
        chance = surrogate.settings.constraint_chance
        kept = [_corrected(one, data.space, answers.ranks[own], bad, good, chance) for one in constraints]
        corrected.append(tuple(one for one in kept if one is not None))
    return tuple(corrected)


def _corrected(
    constraint: LearnedConstraint,
    space: DesignSpace,
    feasible: NDArray[np.integer],
    infeasible: NDArray[np.integer],
    good: int,
    chance: float | None,
) -> LearnedConstraint | None:
    """Return a constraint that the feasible designs keep; None where too little shows it."""
    beyond = constraint.excess(space, feasible)
    if not (beyond > 0.0).any():
        return constraint
    values = constraint.values(space, feasible)
    bound = float(np.min(values) if constraint.at_least else np.max(values))
    if not (math.isfinite(bound) and bound > 0.0):
        return None
    moved = dataclasses.replace(constraint, bound=float(f"{bound:.12g}"))
    before = int((constraint.excess(space, infeasible) > 0.0).sum())
    left = int((moved.excess(space, infeasible) > 0.0).sum())
    # The share of them that it was shown by.
    count = int(constraint.infeasible * left / max(before, 1))
    share = good / (good + len(infeasible))
    if chance is None or count < max(1.0, math.log(chance / (2 * PRODUCTS)) / math.log1p(-share)):
        return None
    return dataclasses.replace(moved, infeasible=count)


__all__ = ["Answers", "corrected_constraints", "update"]
