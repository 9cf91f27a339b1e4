r"""PRIME's objective for a cost that is minimised, with the terms that others have added.

With x a design logged for an application of context c, y the standardised logarithm of its cost (1 is the
standard deviation over the feasible designs of all applications together: c and t below are in this unit),
f(x, c) the network's prediction of y and p its probability that x is feasible, one member minimises the mean
over a batch of

    (f - y)^2                                            on feasible designs, as for each learned metric
    + alpha * push(mean f(feasible) - f)                 on adversarial designs, the mean their application's
    + beta * push(worst y of the application - f)        on infeasible designs
    + w * (-log p) / 2  and  w * s * (-log(1 - p)) / 2   on feasible and on infeasible designs
    + r * log(1 + exp(f(near) - f(other)))               on pairs of a near-optimal and another design

push(z) = max(0, z) is the hinge, which ends where a design is predicted no better than the data on average
(alpha) or than the worst of them (beta); push(z) = z is PRIME's own, which ends nowhere. Where an
over-estimation of t is allowed (COMs, arXiv 2107.06882), alpha follows

    alpha <- max(0, alpha + rate * (mean f(feasible) - mean f(adversarial) - t))

A log of poor designs has no feasible design better than its best, t, but infeasible ones of every kind. Of a
design of y < t the label says nothing: it is logged if it is infeasible and missing if it is feasible, and a
network that learned from it would hold all that is fast to be infeasible. The likelihood of the labels given
what was logged leaves such designs out. Their y is unknown, so the prediction stands in for it, its gradient
stopped: s = sigmoid((f - t) / c), with c the width of the edge; s = 1 without censoring.
A held-out slice of the log has such infeasible designs too: a temperature fitted to it would take the gate's
probability from designs near the optimum as well, so none is; the calibration error is noted instead.

The ranking term sees designs of one application, the best fifth of its log against the rest (after DAR's idea
of ranking near-optimal designs); it acts on the difference of predictions, not on its sign, whose gradient
would be zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from prime_fast.surrogate.networks import FEASIBILITY, METRICS, OBJECTIVE, Network

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Int

    from prime_fast.surrogate.features import Encoded

TERMS = ("regression", "feasibility", "adversarial", "infeasible", "ranking")


class Objective(NamedTuple):
    """The settings of the objective that a compiled step holds as constants."""

    feasibility_weight: float
    ranking_weight: float
    linear: bool
    """Whether pushes end nowhere."""
    overestimation: float | None
    alpha_rate: float
    infeasible_push: bool
    """Whether any member's beta is positive: without, there is no gradient to be computed."""
    censoring: float | None
    """Width of the edge between infeasible designs that teach and those that don't."""


class Batch(NamedTuple):
    """Rows of the log for one step, with the contexts of their applications."""

    feasible: Encoded
    contexts: Float[Array, "n features"]
    application: Int[Array, " n"]
    targets: Float[Array, "n targets"]
    near: Bool[Array, " n"]
    """Whether a feasible design is among the best of its application."""
    infeasible: Encoded
    infeasible_contexts: Float[Array, "n features"]
    infeasible_targets: Float[Array, "n targets"]
    worst: Float[Array, " n"]
    """Highest standardised objective of each infeasible design's application."""
    best: Float[Array, " n"]
    """Lowest one."""
    has_infeasible: Bool[Array, ""]


class Adversarial(NamedTuple):
    """Designs that a search takes to be good, for one application."""

    designs: Encoded
    context: Float[Array, " features"]
    application: Int[Array, ""]


def member_losses(
    network: Network,
    alpha: Float[Array, ""],
    beta: Float[Array, ""],
    adversarial: Adversarial | None,
    batch: Batch,
    objective: Objective,
) -> tuple[Float[Array, ""], tuple[Float[Array, " terms"], Float[Array, ""]]]:
    """Return one member's loss, its terms, weighted, in the order of ``TERMS``, and the over-estimation."""
    push = (lambda gap: gap) if objective.linear else jax.nn.relu
    feasible = jax.vmap(network)(batch.feasible, batch.contexts)
    infeasible = jax.vmap(network)(batch.infeasible, batch.infeasible_contexts)
    predicted = feasible[:, OBJECTIVE]
    regression = jnp.mean(jnp.square(predicted - batch.targets[:, 0]))
    for place in range(batch.targets.shape[1] - 1):
        known = jnp.concatenate([batch.targets[:, 1 + place], batch.infeasible_targets[:, 1 + place]])
        found = jnp.concatenate([feasible[:, METRICS + place], infeasible[:, METRICS + place]])
        usable = jnp.isfinite(known)
        error = jnp.where(usable, found - jnp.where(usable, known, 0.0), 0.0)
        regression += jnp.sum(jnp.square(error)) / jnp.maximum(usable.sum(), 1).astype(error.dtype)
    labelled = jax.nn.softplus(infeasible[:, FEASIBILITY])
    if objective.censoring is not None:
        beyond = (infeasible[:, OBJECTIVE] - batch.best) / objective.censoring
        labelled = jax.lax.stop_gradient(jax.nn.sigmoid(beyond)) * labelled
    entropy = jnp.mean(jax.nn.softplus(-feasible[:, FEASIBILITY])) + jnp.mean(labelled)
    adversarial_push = overestimation = infeasible_push = jnp.zeros_like(regression)
    if objective.infeasible_push:
        infeasible_push = jnp.mean(push(batch.worst - infeasible[:, OBJECTIVE]))
    if adversarial is not None:
        outputs = jax.vmap(network, in_axes=(0, None))(adversarial.designs, adversarial.context)
        # Applications differ in latency: those of the others say nothing of this one.
        own = (batch.application == adversarial.application).astype(predicted.dtype)
        mean = jnp.sum(own * predicted) / jnp.maximum(own.sum(), 1.0)
        below = jnp.where(own.any(), mean - outputs[:, OBJECTIVE], 0.0)
        adversarial_push, overestimation = jnp.mean(push(below)), jnp.mean(below)
    ranking = jnp.zeros_like(regression)
    if objective.ranking_weight > 0.0:
        pairs = batch.near[:, None] & ~batch.near[None, :]
        pairs &= batch.application[:, None] == batch.application[None, :]
        losses = jax.nn.softplus(predicted[:, None] - predicted[None, :])
        ranking = jnp.sum(jnp.where(pairs, losses, 0.0)) / jnp.maximum(pairs.sum(), 1).astype(losses.dtype)
    # Without infeasible designs their rows are padding, which teaches nothing.
    present = batch.has_infeasible.astype(regression.dtype)
    terms = jnp.stack(
        [
            regression,
            present * objective.feasibility_weight * entropy / 2.0,
            alpha * adversarial_push,
            present * beta * infeasible_push,
            objective.ranking_weight * ranking,
        ]
    )
    return terms.sum(), (terms, overestimation)
