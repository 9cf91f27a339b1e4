r"""Training on a log alone, by PRIME's objective for a cost that is minimised.

With x a design, y the standardised logarithm of its cost, f the network's prediction of y and p its
probability that x is feasible, one member minimises the mean over a batch of

    (f(x) - y)^2                                             on feasible designs, as for each learned metric
    + alpha * max(0, mean f(feasible) - f(x))                on adversarial designs
    + beta * max(0, worst y of the log - f(x))               on infeasible designs
    + w * (-log p(x)) / 2  and  w * (-log(1 - p(x))) / 2     on feasible and on infeasible designs

The alpha term is PRIME's push, up on adversarial designs and down on the data, and the beta term its push on
infeasible ones. The first ends where a design is predicted no better than the data on average, the second
where it is predicted no better than the worst of them: unbounded, they would outgrow the regression.
Adversarial designs are the generations of a genetic algorithm that minimises the network being trained.

Alpha, beta and how long to train are chosen on the log: all candidates are trained at once without the best
fifth of the feasible designs, and ranked by Kendall's tau on that fifth. Then the ensemble is trained on the
whole log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import stats

from prime_fast.errors import DataError, PrimeFastError
from prime_fast.surrogate.adversary import Adversary
from prime_fast.surrogate.data import Scale, TrainingData
from prime_fast.surrogate.features import Encoded, Encoder
from prime_fast.surrogate.networks import FEASIBILITY, METRICS, OBJECTIVE, Network, build_ensemble
from prime_fast.surrogate.settings import TrainingSettings
from prime_fast.surrogate.surrogate import Surrogate, padded_outputs

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
    from numpy.typing import NDArray

Record = Callable[[dict[str, Any]], None]
TERMS = ("regression", "feasibility", "adversarial", "infeasible")

SEEDS = 1 << 63
MINIMUM_FOR_SELECTION = 50
"""With fewer feasible designs the held-out part can't rank candidates: the weakest push is taken."""
CHUNK_SECONDS = 0.1
"""Aimed duration of a compiled call, and so the time between two questions whether to stop."""
RECORDS = 50
"""Records of the losses in a phase of training."""


class TrainingInterrupted(PrimeFastError):  # noqa: N818 (the user's wish, not an error)
    """``should_stop`` asked training to end; there is no surrogate."""

    exit_code = 130


class Rows(NamedTuple):
    """The log on the device, padded; feasible designs from the worst to the best."""

    feasible: Int[Array, "n_feasible parameters"]
    infeasible: Int[Array, "n_infeasible parameters"]
    targets: Float[Array, "n_feasible targets"]
    """Standardised objective, then the learned metrics; NaN where unknown."""
    infeasible_targets: Float[Array, "n_infeasible targets"]


class Terms(NamedTuple):
    """What the loss needs beside networks and rows; arrays, so that another value needs no compilation."""

    alpha: Float[Array, " members"]
    beta: Float[Array, " members"]
    feasible_count: Int[Array, ""]
    infeasible_count: Int[Array, ""]
    worst: Float[Array, ""]
    horizon: Float[Array, ""]
    """Steps after which the learning rate is zero."""


class StepSettings(NamedTuple):
    """The settings that a compiled step holds as constants; any other may change without a compilation."""

    batch: int
    learning_rate: float
    weight_decay: float
    feasibility_weight: float


class State(NamedTuple):
    """What training changes."""

    networks: Any
    optimiser: optax.OptState
    losses: Float[Array, "members terms"]
    """Sums over the steps since the last record."""
    diverged: Int[Array, ""]
    """The first step whose loss was not finite, or -1."""


class _Batch(NamedTuple):
    feasible: Encoded
    targets: Float[Array, "n targets"]
    infeasible: Encoded
    infeasible_targets: Float[Array, "n targets"]
    has_infeasible: Bool[Array, ""]
    worst: Float[Array, ""]


def member_losses(
    network: Network,
    alpha: Float[Array, ""],
    beta: Float[Array, ""],
    adversarial: Encoded | None,
    batch: _Batch,
    feasibility_weight: float,
) -> tuple[Float[Array, ""], Float[Array, " terms"]]:
    """Return one member's loss and its four terms, weighted, in the order of ``TERMS``."""
    feasible = jax.vmap(network)(batch.feasible)
    infeasible = jax.vmap(network)(batch.infeasible)
    predicted = feasible[:, OBJECTIVE]
    regression = jnp.mean(jnp.square(predicted - batch.targets[:, 0]))
    for place in range(batch.targets.shape[1] - 1):
        known = jnp.concatenate([batch.targets[:, 1 + place], batch.infeasible_targets[:, 1 + place]])
        found = jnp.concatenate([feasible[:, METRICS + place], infeasible[:, METRICS + place]])
        usable = jnp.isfinite(known)
        error = jnp.where(usable, found - jnp.where(usable, known, 0.0), 0.0)
        regression += jnp.sum(jnp.square(error)) / jnp.maximum(usable.sum(), 1).astype(error.dtype)
    entropy = jnp.mean(jax.nn.softplus(-feasible[:, FEASIBILITY])) + jnp.mean(
        jax.nn.softplus(infeasible[:, FEASIBILITY])
    )
    infeasible_push = jnp.mean(jax.nn.relu(batch.worst - infeasible[:, OBJECTIVE]))
    adversarial_push = jnp.zeros_like(regression)
    if adversarial is not None:
        below = predicted.mean() - jax.vmap(network)(adversarial)[:, OBJECTIVE]
        adversarial_push = jnp.mean(jax.nn.relu(below))
    # Without infeasible designs their rows are padding, which teaches nothing.
    present = batch.has_infeasible.astype(regression.dtype)
    terms = jnp.stack(
        [
            regression,
            present * feasibility_weight * entropy / 2.0,
            alpha * adversarial_push,
            present * beta * infeasible_push,
        ]
    )
    return terms.sum(), terms


def _optimiser(weight_decay: float) -> optax.GradientTransformation:
    """Return AdamW less its learning rate, which follows a horizon that is known only when the step runs."""
    return optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(weight_decay))


@eqx.filter_jit
def advance(
    state: State,
    rows: Rows,
    terms: Terms,
    pool: Int[Array, "members n parameters"] | None,
    key: PRNGKeyArray,
    start: Int[Array, ""],
    count: Int[Array, ""],
    encoder: Encoder,
    settings: StepSettings,
) -> State:
    """Train ``count`` steps from step ``start``; batches depend on the key and the step's number alone."""
    optimiser = _optimiser(settings.weight_decay)
    schedule = optax.cosine_decay_schedule(settings.learning_rate, decay_steps=1)
    params, static = eqx.partition(state.networks, eqx.is_inexact_array)
    adversarial = None if pool is None else encoder(pool)

    def loss(
        member: Any, alpha: Float[Array, ""], beta: Float[Array, ""], designs: Encoded | None, batch: _Batch
    ) -> tuple[Float[Array, ""], Float[Array, " terms"]]:
        return member_losses(
            eqx.combine(member, static), alpha, beta, designs, batch, settings.feasibility_weight
        )

    gradients = jax.vmap(jax.grad(loss, has_aux=True), in_axes=(0, 0, 0, 0, None))

    def step(number: Int[Array, ""], carry: State) -> State:
        feasible_key, infeasible_key = jax.random.split(jax.random.fold_in(key, number))
        good = jax.random.randint(feasible_key, (settings.batch,), 0, terms.feasible_count)
        bad = jax.random.randint(infeasible_key, (settings.batch,), 0, jnp.maximum(terms.infeasible_count, 1))
        batch = _Batch(
            encoder(rows.feasible[good]), rows.targets[good],
            encoder(rows.infeasible[bad]), rows.infeasible_targets[bad],
            terms.infeasible_count > 0, terms.worst,
        )  # fmt: skip
        slopes, losses = gradients(carry.networks, terms.alpha, terms.beta, adversarial, batch)
        updates, optimiser_state = jax.vmap(optimiser.update)(slopes, carry.optimiser, carry.networks)
        updates = optax.tree.scale(-schedule(number.astype(jnp.float32) / terms.horizon), updates)
        broken = (carry.diverged < 0) & ~jnp.isfinite(losses).all()
        return State(
            optax.apply_updates(carry.networks, updates),
            optimiser_state,
            carry.losses + losses,
            jnp.where(broken, number, carry.diverged),
        )

    trained: State = jax.lax.fori_loop(start, start + count, step, state._replace(networks=params))
    return trained._replace(networks=eqx.combine(trained.networks, static))


class _Session:
    """One call of ``train``: the log on the device and what its two phases share."""

    def __init__(
        self,
        data: TrainingData,
        settings: TrainingSettings,
        seed: int,
        limits: Mapping[str, float],
        progress: Callable[[int, int], None] | None,
        should_stop: Callable[[], bool] | None,
        record: Record | None,
    ) -> None:
        # Any integer is a seed; those that generators take are of 64 bits.
        self.data, self.settings, self.seed, self.limits = data, settings, seed % SEEDS, limits
        self.progress, self.should_stop, self.record = progress, should_stop, record
        self.encoder = Encoder.of(data.space)
        self.objective = Scale.fitted(data.objective[data.feasible])
        self.metrics = {name: Scale.fitted(values) for name, values in data.metrics.items()}
        targets = np.stack(
            [
                self.objective.standardised(np.where(data.feasible, data.objective, np.nan)),
                *(scale.standardised(data.metrics[name]) for name, scale in self.metrics.items()),
            ],
            axis=1,
        )
        feasible = np.flatnonzero(data.feasible)
        # Worst first: the selection trains on a prefix and judges by the rest.
        self.feasible = feasible[np.argsort(-targets[feasible, 0], kind="stable")]
        generator = np.random.default_rng(self.seed)
        self.infeasible = generator.permutation(np.flatnonzero(~data.feasible))
        self.targets = targets
        self.rows = Rows(
            jnp.asarray(_padded(data.ranks[self.feasible].astype(np.int32))),
            jnp.asarray(_padded(data.ranks[self.infeasible].astype(np.int32))),
            jnp.asarray(_padded(targets[self.feasible])),
            jnp.asarray(_padded(targets[self.infeasible])),
        )
        self.key = jax.random.key(int(generator.integers(1 << 31)))
        self.total = settings.steps
        self.done = 0

    def emit(self, **values: Any) -> None:
        if self.record is not None:
            self.record(values)

    def train(
        self,
        phase: str,
        candidates: list[tuple[float, float]],
        members: int,
        feasible_count: int,
        infeasible_count: int,
        horizon: int,
        steps: int,
        at_checkpoint: Callable[[int, Any], None] | None = None,
    ) -> Any:
        """Return an ensemble trained for ``steps`` of ``horizon``; member m takes candidate m, in turn."""
        settings = self.settings
        key = jax.random.fold_in(self.key, 0 if phase == "selection" else 1)
        # Members of one round differ in their candidate alone, so that candidates are compared fairly.
        keys = jax.random.split(key, -(-members // len(candidates)))[np.arange(members) // len(candidates)]
        networks = build_ensemble(self.encoder, METRICS + len(self.metrics), settings, keys)
        params = eqx.filter(networks, eqx.is_inexact_array)
        state = State(
            networks,
            jax.vmap(_optimiser(settings.weight_decay).init)(params),
            jnp.zeros((members, len(TERMS))),
            jnp.asarray(-1, jnp.int32),
        )
        groups = np.arange(members) % len(candidates)
        pairs = np.asarray(candidates, np.float32)[groups]
        terms = Terms(
            jnp.asarray(pairs[:, 0]),
            jnp.asarray(pairs[:, 1]),
            jnp.asarray(feasible_count, jnp.int32),
            jnp.asarray(infeasible_count, jnp.int32),
            jnp.asarray(self.targets[self.feasible[0], 0]),
            jnp.asarray(horizon, jnp.float32),
        )
        adversary = None
        if (pairs[:, 0] > 0.0).any():
            adversary = Adversary(self.data.space, self.encoder, settings, self.limits, groups, self.seed)
        constants = StepSettings(
            settings.batch, settings.learning_rate, settings.weight_decay, settings.feasibility_weight
        )
        marks = {round(horizon * (1 + n) / settings.checkpoints) for n in range(settings.checkpoints)}
        period = max(1, horizon // RECORDS)
        pool, step, recorded, length = None, 0, 0, 1
        while step < steps:
            if self.should_stop is not None and self.should_stop():
                raise TrainingInterrupted("training was interrupted")
            stops = [steps, step + period - step % period, *(mark for mark in marks if mark > step)]
            if adversary is not None:
                if step % settings.adversarial_period == 0:
                    pool = adversary.next_generation(state.networks)
                stops.append(step + settings.adversarial_period - step % settings.adversarial_period)
            count = min(length, min(stops) - step)
            began = time.perf_counter()
            first, length_now = jnp.asarray(step, jnp.int32), jnp.asarray(count, jnp.int32)
            state = advance(state, self.rows, terms, pool, key, first, length_now, self.encoder, constants)
            state.diverged.block_until_ready()
            # Where a chunk ends changes nothing in the result, so its length may follow the clock.
            seconds = time.perf_counter() - began
            length = max(1, min(2 * length, int(count * CHUNK_SECONDS / max(seconds, 1e-6))))
            step += count
            self.done += count
            if step % period == 0 or step == steps:
                self._record_losses(phase, step, state, step - recorded, groups, candidates)
                state = state._replace(losses=jnp.zeros_like(state.losses))
                recorded = step
            if at_checkpoint is not None and step in marks:
                at_checkpoint(step, state.networks)
            if self.progress is not None:
                self.progress(min(self.done, self.total), self.total)
        return state.networks

    def _record_losses(
        self,
        phase: str,
        step: int,
        state: State,
        count: int,
        groups: NDArray[np.intp],
        candidates: list[tuple[float, float]],
    ) -> None:
        diverged = int(state.diverged)
        if diverged >= 0:
            raise DataError(
                f"training diverged at step {diverged} of the {phase}: the loss is not finite; "
                f"lower the learning rate (now {self.settings.learning_rate}), alpha or beta"
            )
        means = np.asarray(state.losses, np.float64) / count
        for number, (alpha, beta) in enumerate(candidates):
            losses = dict(zip(TERMS, means[groups == number].mean(axis=0).tolist(), strict=True))
            self.emit(event="step", phase=phase, step=step, alpha=alpha, beta=beta, **losses)

    def select(self) -> dict[str, Any]:
        """Choose alpha, beta and the share of the steps to go on the log."""
        settings = self.settings
        candidates = settings.candidates
        held = int(len(self.feasible) * settings.holdout)
        choice: dict[str, Any] = {"alpha": candidates[0][0], "beta": candidates[0][1], "share": 1.0}
        if len(candidates) == 1 and settings.checkpoints == 1:
            return {**choice, "reason": "there was only one candidate"}
        if len(self.feasible) < MINIMUM_FOR_SELECTION or held < 2:
            few = f"{held} of {len(self.feasible)} feasible designs are too few to hold out"
            return {**choice, "reason": f"{few}: the weakest push was taken"}
        steps = settings.selection_steps
        self.total += steps
        trained = len(self.feasible) - held
        members = max(settings.members, len(candidates))
        infeasible = int(len(self.infeasible) * (1.0 - settings.holdout)) or len(self.infeasible)
        judged = np.concatenate([self.feasible[trained:], self.infeasible[infeasible:]])
        truth = self.targets[self.feasible[trained:], 0]
        found: list[dict[str, Any]] = []

        def judge(step: int, networks: Any) -> None:
            outputs = padded_outputs(networks, self.encoder, self.data.ranks[judged], settings.architecture)
            for number, (alpha, beta) in enumerate(candidates):
                means = outputs[number :: len(candidates)].mean(axis=0)
                tau = float(stats.kendalltau(means[:held, OBJECTIVE], truth).statistic)
                result = {"alpha": alpha, "beta": beta, "share": step / steps}
                # Undefined where all predictions are equal, which ranks nothing.
                result["tau"] = tau if np.isfinite(tau) else -1.0
                if len(judged) > held:
                    result["auroc"] = _auroc(means[:held, FEASIBILITY], means[held:, FEASIBILITY])
                found.append(result)
                self.emit(event="candidate", **result)

        self.train("selection", candidates, members, trained, infeasible, steps, steps, judge)
        best = max(result["tau"] for result in found)
        # Kendall's standard error of unrelated rankings: a stronger push, or less training, must win by more.
        error = np.sqrt(2.0 * (2.0 * held + 5.0) / (9.0 * held * (held - 1.0)))
        near = [result for result in found if result["tau"] >= best - error]
        push = {pair: strength for strength, pair in enumerate(candidates)}
        chosen = min(near, key=lambda result: (push[result["alpha"], result["beta"]], -result["share"]))
        reason = (
            f"weakest push, then longest training, within {error:.3f} of the highest tau ({held} held out)"
        )
        return {**chosen, "reason": reason}


def _padded(rows: NDArray[Any]) -> NDArray[Any]:
    """Append rows up to a power of two, so that logs of like size share a compiled step.

    They teach nothing: they are drawn only where there are no others, and their targets are unknown.
    """
    size = max(1024, 1 << max(len(rows) - 1, 0).bit_length())
    unknown = np.nan if np.issubdtype(rows.dtype, np.floating) else 0
    return np.concatenate([rows, np.full((size - len(rows), *rows.shape[1:]), unknown, rows.dtype)])


def _auroc(feasible: NDArray[np.float64], infeasible: NDArray[np.float64]) -> float:
    """Return the probability that a feasible design's logit exceeds an infeasible one's."""
    statistic = stats.mannwhitneyu(feasible, infeasible).statistic
    return float(statistic) / (len(feasible) * len(infeasible))


def train(
    data: TrainingData,
    settings: TrainingSettings,
    seed: int = 0,
    *,
    limits: Mapping[str, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    record: Record | None = None,
) -> Surrogate:
    """Train a surrogate on a log, without any other source of truth.

    Parameters
    ----------
    data : TrainingData
    settings : TrainingSettings
    seed : int
        Determines the result, on a given machine and number of threads.
    limits : mapping of metric name to largest value, optional
        Limits on metrics that the space knows; the adversarial search keeps to them.
    progress : callable of (steps done, steps in all), optional
    should_stop : callable returning bool, optional
        Asked at least every 0.2 s, apart from the seconds of compilation.
    record : callable of a dict, optional
        Gets a JSON-able dict for every logged step, candidate and choice, by key ``event``.

    Returns
    -------
    Surrogate
        With no infeasible design in the log it predicts a probability of 1.0 and has no gate. With fewer than
        `MINIMUM_FOR_SELECTION` feasible designs the weakest push is taken without a selection; `selection`
        says so.

    Raises
    ------
    TrainingInterrupted
        If ``should_stop`` returned true.
    DataError
        If training diverges; the text names the step.
    """
    session = _Session(data, settings, seed, limits or {}, progress, should_stop, record)
    selection = session.select()
    session.emit(event="selected", **selection)
    networks = session.train(
        "fit",
        [(selection["alpha"], selection["beta"])],
        settings.members,
        len(session.feasible),
        len(session.infeasible),
        settings.steps,
        max(1, round(selection["share"] * settings.steps)),
    )
    if progress is not None:
        progress(session.total, session.total)
    return Surrogate(
        space=data.space,
        networks=networks,
        objective=session.objective,
        metrics=session.metrics,
        has_infeasible=bool(len(session.infeasible)),
        settings=settings,
        seed=seed,
        log_sha256=data.sha256,
        selection=selection,
    )
