"""Training on a log alone, by the objective of `losses`.

Adversarial designs are the generations of a search that minimises the network being trained.

Alpha, beta and how long to train are chosen on the log: all candidates are trained at once without the best
fifth of each application's feasible designs, and ranked by Kendall's tau on that fifth, the mean over the
applications. How well they tell these from held-out infeasible designs is noted beside it: the AUROC, and the
expected calibration error of their probability where both kinds are equally frequent.

The same networks tell which infeasible designs would be worse than the best one logged; these show the limits
of `constraints`. Then the ensemble is trained on the whole log, without the infeasible designs that such a
limit rejects: what is certain needs no learning, and the rest gets the attention.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import special, stats

from prime_fast.errors import DataError, PrimeFastError
from prime_fast.recording import held_out_event, thinned
from prime_fast.surrogate.adversary import Adversary, DivergedError
from prime_fast.surrogate.checkpoint import Saved, named_arrays, with_arrays
from prime_fast.surrogate.constraints import LearnedConstraint, learn_constraints, violations
from prime_fast.surrogate.contexts import ContextScale
from prime_fast.surrogate.data import Scale, TrainingData
from prime_fast.surrogate.features import Encoder
from prime_fast.surrogate.losses import TERMS, Adversarial, Batch, Objective, member_losses
from prime_fast.surrogate.networks import FEASIBILITY, METRICS, OBJECTIVE, build_ensemble
from prime_fast.surrogate.settings import TrainingSettings
from prime_fast.surrogate.surrogate import Surrogate, padded_outputs

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int, PRNGKeyArray
    from numpy.typing import NDArray

    from prime_fast.surrogate.checkpoint import Checkpoint

Record = Callable[[dict[str, Any]], None]

SEEDS = 1 << 63
MINIMUM_FOR_SELECTION = 50
"""With fewer feasible designs of an application its held-out part can't rank candidates."""
CERTAIN = 3.0
"""Errors of the prediction by which an infeasible design must be worse than the best one logged, for it to
show what cannot be feasible rather than what was not logged."""
CHUNK_SECONDS = 0.1
"""Aimed duration of a compiled call, and so the time between two questions whether to stop."""
RECORDS = 50
"""Records of the losses in a phase of training."""
BINS = 10
"""Bins of probabilities for the calibration error."""


class TrainingInterrupted(PrimeFastError):  # noqa: N818 (the user's wish, not an error)
    """``should_stop`` asked training to end; there is no surrogate."""

    exit_code = 130


class Rows(NamedTuple):
    """The log on the device, padded; by application, feasible designs from the worst to the best."""

    feasible: Int[Array, "n_feasible parameters"]
    infeasible: Int[Array, "n_infeasible parameters"]
    targets: Float[Array, "n_feasible targets"]
    """Standardised objective, then the learned metrics; NaN where unknown."""
    infeasible_targets: Float[Array, "n_infeasible targets"]


class Span(NamedTuple):
    """The rows of each application that batches are drawn from."""

    application: Int[Array, " spans"]
    first: Int[Array, " spans"]
    size: Int[Array, " spans"]


class Terms(NamedTuple):
    """What the loss needs beside networks and rows; arrays, so that another value needs no compilation."""

    beta: Float[Array, " members"]
    feasible: Span
    near: Int[Array, " applications"]
    """Row from which on an application's feasible designs count as near-optimal."""
    infeasible: Span
    """Of no application where there are no infeasible designs."""
    worst: Float[Array, " applications"]
    best: Float[Array, " applications"]
    contexts: Float[Array, "applications features"]
    horizon: Float[Array, ""]
    """Steps after which the learning rate is zero."""


class StepSettings(NamedTuple):
    """The settings that a compiled step holds as constants; any other may change without a compilation."""

    batch: int
    learning_rate: float
    weight_decay: float
    objective: Objective


class State(NamedTuple):
    """What training changes."""

    networks: Any
    optimiser: optax.OptState
    alpha: Float[Array, " members"]
    losses: Float[Array, "members terms"]
    """Sums over the steps since the last record."""
    diverged: Int[Array, ""]
    """The first step whose loss was not finite, or -1."""


def _drawn(key: PRNGKeyArray, span: Span, size: int) -> tuple[Int[Array, " size"], Int[Array, " size"]]:
    """Return rows, applications with even chances and their rows with even chances, and applications."""
    place_key, row_key = jax.random.split(key)
    places = jax.random.randint(place_key, (size,), 0, len(span.size))
    counts = span.size[places]
    rows = span.first[places] + jax.random.randint(row_key, (size,), 0, jnp.maximum(counts, 1))
    return rows, span.application[places]


def _optimiser(weight_decay: float) -> optax.GradientTransformation:
    """Return AdamW less its learning rate, which follows a horizon that is known only when the step runs."""
    return optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(weight_decay))


def initial_state(networks: Any, alpha: Float[Array, " members"], weight_decay: float) -> State:
    """Return the state before the first step, of new networks or of trained ones."""
    params = eqx.filter(networks, eqx.is_inexact_array)
    return State(
        networks,
        jax.vmap(_optimiser(weight_decay).init)(params),
        alpha,
        jnp.zeros((len(alpha), len(TERMS))),
        jnp.asarray(-1, jnp.int32),
    )


@eqx.filter_jit
def advance(
    state: State,
    rows: Rows,
    terms: Terms,
    pool: tuple[Int[Array, "members n parameters"], Float[Array, " features"], Int[Array, ""]] | None,
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
    adversarial = None if pool is None else Adversarial(encoder(pool[0]), *pool[1:])

    def loss(
        member: Any,
        alpha: Float[Array, ""],
        beta: Float[Array, ""],
        adversarial: Adversarial | None,
        batch: Batch,
    ) -> tuple[Float[Array, ""], tuple[Float[Array, " terms"], Float[Array, ""]]]:
        network = eqx.combine(member, static)
        return member_losses(network, alpha, beta, adversarial, batch, settings.objective)

    designs = None if adversarial is None else Adversarial(0, None, None)  # type: ignore[arg-type]
    gradients = jax.vmap(jax.grad(loss, has_aux=True), in_axes=(0, 0, 0, designs, None))

    def step(number: Int[Array, ""], carry: State) -> State:
        feasible_key, infeasible_key = jax.random.split(jax.random.fold_in(key, number))
        good, of_good = _drawn(feasible_key, terms.feasible, settings.batch)
        bad, of_bad = _drawn(infeasible_key, terms.infeasible, settings.batch)
        batch = Batch(
            encoder(rows.feasible[good]), terms.contexts[of_good], of_good, rows.targets[good],
            good >= terms.near[of_good],
            encoder(rows.infeasible[bad]), terms.contexts[of_bad], rows.infeasible_targets[bad],
            terms.worst[of_bad], terms.best[of_bad], terms.infeasible.size.sum() > 0,
        )  # fmt: skip
        slopes, (losses, excess) = gradients(carry.networks, carry.alpha, terms.beta, adversarial, batch)
        updates, optimiser_state = jax.vmap(optimiser.update)(slopes, carry.optimiser, carry.networks)
        updates = optax.tree.scale(-schedule(number.astype(jnp.float32) / terms.horizon), updates)
        broken = (carry.diverged < 0) & ~jnp.isfinite(losses).all()
        alpha, objective = carry.alpha, settings.objective
        if objective.overestimation is not None and adversarial is not None:
            alpha = jax.nn.relu(alpha + objective.alpha_rate * (excess - objective.overestimation))
        return State(
            optax.apply_updates(carry.networks, updates),
            optimiser_state,
            alpha,
            carry.losses + losses,
            jnp.where(broken, number, carry.diverged),
        )

    trained: State = jax.lax.fori_loop(start, start + count, step, state._replace(networks=params))
    return trained._replace(networks=eqx.combine(trained.networks, static))


TOLD = "held_out/"
"""What stands before the names of held-out predictions in a checkpoint."""


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
        checkpoint: Checkpoint | None,
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
        # Worst first: the selection trains on a prefix of each application's designs and judges by the rest.
        of_row = data.application_of_row
        self.feasible = feasible[np.lexsort((-targets[feasible, 0], of_row[feasible]))]
        generator = np.random.default_rng(self.seed)
        # What breaks a constraint of the space is never proposed: there is nothing to learn about it.
        allowed = data.space.check(data.ranks.astype(data.space.rank_dtype)) < 0
        infeasible = generator.permutation(np.flatnonzero(~data.feasible & allowed))
        self.infeasible = infeasible[np.argsort(of_row[infeasible], kind="stable")]
        self.applications = max(1, len(data.applications))
        self.feasible_counts = np.bincount(of_row[self.feasible], minlength=self.applications)
        self.infeasible_counts = np.bincount(of_row[self.infeasible], minlength=self.applications)
        raw = np.zeros((1, 0)) if data.contexts is None else data.contexts
        self.context_scale = ContextScale.fitted(raw)
        self.contexts = self.context_scale.standardised(raw)
        self.targets = targets
        self.constraints: tuple[tuple[LearnedConstraint, ...], ...] = ((),) * self.applications
        self.rows = Rows(
            jnp.asarray(padded(data.ranks[self.feasible].astype(np.int32))),
            jnp.asarray(padded(data.ranks[self.infeasible].astype(np.int32))),
            jnp.asarray(padded(targets[self.feasible])),
            jnp.asarray(padded(targets[self.infeasible])),
        )
        self.key = jax.random.key(int(generator.integers(1 << 31)))
        self.total = settings.steps
        self.done = 0
        self.found: list[dict[str, Any]] = []
        """What came of each candidate."""
        self.told: list[dict[str, dict[str, NDArray[Any]]]] = []
        """What each predicted of the held-out designs: columns by place of the application."""
        self.selection: dict[str, Any] = {}
        """The choice between them, once it is made."""
        self.checkpoint = checkpoint
        self.saved: Saved | None = None
        if checkpoint is not None:
            told = [settings.to_dict(), self.seed, self.limits, data.sha256, data.space.to_toml()]
            self.identity = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
            self.saved = checkpoint.load(self.identity)

    def save(self, phase: str, step: int, recorded: int, state: State, adversary: Adversary | None) -> None:
        """Write down where training stands: `train` and `resume` go on from it, bit for bit."""
        if self.checkpoint is None:
            return
        generation, arrays = (0, {}) if adversary is None else adversary.state()
        header = {
            "phase": phase,
            "step": step,
            "recorded": recorded,
            "generation": generation,
            "done": self.done,
            "total": self.total,
            "found": self.found,
            "selection": self.selection,
            "constraints": [[one.to_dict() for one in several] for several in self.constraints],
        }
        if phase == "selection":
            arrays |= {
                f"{TOLD}{number}/{place}/{name}": values
                for number, told in enumerate(self.told)
                for place, columns in told.items()
                for name, values in columns.items()
            }
        self.checkpoint.save(self.identity, header, named_arrays(state, "state") | arrays)

    def resume(self) -> bool:
        """Take up what a checkpoint holds; return whether the selection was over."""
        if self.saved is None:
            return False
        header = self.saved.header
        self.done, self.found, self.selection = header["done"], header["found"], header["selection"]
        if header["phase"] == "selection":
            self.told = [{} for _ in self.found]
            for name, values in self.saved.arrays.items():
                if name.startswith(TOLD):
                    number, place, column = name.removeprefix(TOLD).split("/")
                    self.told[int(number)].setdefault(place, {})[column] = values
            return False
        self.total = header["total"]
        self._take_constraints(
            tuple(
                tuple(LearnedConstraint.from_dict(one, self.data.space) for one in several)
                for several in header["constraints"]
            )
        )
        return True

    def emit(self, **values: Any) -> None:
        if self.record is not None:
            self.record(values)

    def train(
        self,
        phase: str,
        candidates: list[tuple[float, float]],
        members: int,
        feasible_counts: NDArray[np.integer],
        infeasible_counts: NDArray[np.integer],
        horizon: int,
        steps: int,
        at_checkpoint: Callable[[int, Any], None] | None = None,
    ) -> Any:
        """Return an ensemble trained for ``steps`` of ``horizon``; member m takes candidate m, in turn.

        Of each application's designs, the first ``..._counts`` are trained on.
        """
        settings = self.settings
        key = jax.random.fold_in(self.key, 0 if phase == "selection" else 1)
        # Members of one round differ in their candidate alone, so that candidates are compared fairly.
        keys = jax.random.split(key, -(-members // len(candidates)))[np.arange(members) // len(candidates)]
        features = self.context_scale.features
        networks = build_ensemble(self.encoder, features, METRICS + len(self.metrics), settings, keys)
        groups = np.arange(members) % len(candidates)
        pairs = np.asarray(candidates, np.float32)[groups]
        state = initial_state(networks, jnp.asarray(pairs[:, 0]), settings.weight_decay)
        firsts = np.cumsum(self.feasible_counts) - self.feasible_counts
        near = firsts + np.ceil(feasible_counts * (1.0 - settings.near_optimal)).astype(np.int64)
        terms = Terms(
            jnp.asarray(pairs[:, 1]),
            _span(self.feasible_counts, feasible_counts),
            jnp.asarray(near, jnp.int32),
            _span(self.infeasible_counts, infeasible_counts),
            jnp.asarray(self.targets[self.feasible[firsts], 0]),
            jnp.asarray(self.targets[self.feasible[firsts + feasible_counts - 1], 0]),
            jnp.asarray(self.contexts),
            jnp.asarray(horizon, jnp.float32),
        )
        adversary = None
        if (pairs[:, 0] > 0.0).any() or settings.overestimation is not None:
            space, seed = self.data.space, self.seed
            gate = settings.gate if settings.feasibility_weight > 0.0 and infeasible_counts.any() else 0.0
            adversary = Adversary(
                space,
                self.encoder,
                settings,
                self.limits,
                groups,
                seed,
                contexts=self.contexts,
                constraints=self.constraints,
                gate=gate,
            )
        objective = Objective(
            settings.feasibility_weight,
            settings.ranking_weight,
            settings.push == "linear",
            settings.overestimation,
            settings.alpha_rate,
            bool((pairs[:, 1] > 0.0).any()),
            settings.censoring,
        )
        constants = StepSettings(settings.batch, settings.learning_rate, settings.weight_decay, objective)
        marks = {round(horizon * (1 + n) / settings.checkpoints) for n in range(settings.checkpoints)}
        period = max(1, horizon // RECORDS)
        pool, step, recorded, length = None, 0, 0, 1
        if self.saved is not None and self.saved.header["phase"] == phase:
            (header, arrays), self.saved = self.saved, None
            step, recorded = header["step"], header["recorded"]
            state = with_arrays(state, arrays, "state")
            if adversary is not None:
                pool = adversary.restore(header["generation"], arrays)
        while step < steps:
            if self.should_stop is not None and self.should_stop():
                raise TrainingInterrupted("training was interrupted")
            stops = [steps, step + period - step % period, *(mark for mark in marks if mark > step)]
            if adversary is not None:
                if step % settings.adversarial_period == 0:
                    try:
                        pool = adversary.next_generation(state.networks)
                    except DivergedError:
                        raise self._divergence(step, phase) from None
                stops.append(step + settings.adversarial_period - step % settings.adversarial_period)
            count = min(length, min(stops) - step)
            began = time.perf_counter()
            first, length_now = jnp.asarray(step, jnp.int32), jnp.asarray(count, jnp.int32)
            state = advance(state, self.rows, terms, pool, key, first, length_now, self.encoder, constants)
            # At once: a search must not be told of what is not finite.
            if (diverged := int(state.diverged)) >= 0:
                raise self._divergence(diverged, phase)
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
            if self.checkpoint is not None and (step == steps or self.checkpoint.due):
                self.save(phase, step, recorded, state, adversary)
            if self.progress is not None:
                self.progress(min(self.done, self.total), self.total)
        return state.networks

    def _divergence(self, step: int, phase: str) -> DataError:
        return DataError(
            f"training diverged at step {step} of the {phase}: the loss is not finite; "
            f"lower the learning rate (now {self.settings.learning_rate}), alpha or beta"
        )

    def _record_losses(
        self,
        phase: str,
        step: int,
        state: State,
        count: int,
        groups: NDArray[np.intp],
        candidates: list[tuple[float, float]],
    ) -> None:
        means = np.asarray(state.losses, np.float64) / count
        for number, (alpha, beta) in enumerate(candidates):
            losses = dict(zip(TERMS, means[groups == number].mean(axis=0).tolist(), strict=True))
            now = float(np.asarray(state.alpha)[groups == number].mean())
            chosen = {"alpha": alpha, "beta": beta}
            if self.settings.overestimation is not None:
                chosen["adapted_alpha"] = now
            self.emit(event="step", phase=phase, step=step, **chosen, **losses)

    def select(self) -> dict[str, Any]:
        """Choose alpha, beta and the share of the steps to go on the log."""
        settings = self.settings
        candidates = settings.candidates
        held = (self.feasible_counts * settings.holdout).astype(np.int64)
        choice: dict[str, Any] = {"alpha": candidates[0][0], "beta": candidates[0][1], "share": 1.0}
        wanted = settings.constraint_chance is not None and settings.feasibility_weight > 0.0
        if len(candidates) == 1 and settings.checkpoints == 1 and not (wanted and len(self.infeasible)):
            return {**choice, "reason": "there was only one candidate"}
        # Applications with fewer designs are trained on whole and judge nothing.
        enough = (self.feasible_counts >= MINIMUM_FOR_SELECTION) & (held >= 2)
        if not enough.any():
            few = f"{held.min()} of {self.feasible_counts.min()} feasible designs are too few to hold out"
            return {**choice, "reason": f"{few}: the weakest push was taken"}
        held = np.where(enough, held, 0)
        steps = settings.selection_steps
        self.total += steps
        trained = self.feasible_counts - held
        members = max(settings.members, len(candidates))
        kept = (self.infeasible_counts * (1.0 - settings.holdout)).astype(np.int64)
        infeasible = np.where(enough & (kept > 0), kept, self.infeasible_counts)
        ends, infeasible_ends = np.cumsum(self.feasible_counts), np.cumsum(self.infeasible_counts)
        judged = [
            (self.feasible[end - few : end], self.infeasible[bad_end - rest : bad_end])
            for end, few, bad_end, rest in zip(
                ends, held, infeasible_ends, self.infeasible_counts - infeasible, strict=True
            )
        ]

        def judge(step: int, networks: Any) -> None:
            parts = []
            for place in np.flatnonzero(enough):
                context, (good, bad) = self.contexts[place], judged[place]
                ranks = self.data.ranks[np.concatenate([good, bad])]
                outputs = padded_outputs(networks, self.encoder, ranks, context, settings.architecture)
                parts.append((int(place), outputs, self.targets[good, 0]))
            for number, (alpha, beta) in enumerate(candidates):
                taus, aurocs, eces = [], [], []
                for _, outputs, truth in parts:
                    means = outputs[number :: len(candidates)].mean(axis=0)
                    tau = float(stats.kendalltau(means[: len(truth), OBJECTIVE], truth).statistic)
                    # Undefined where all predictions are equal, which ranks nothing.
                    taus.append(tau if np.isfinite(tau) else -1.0)
                    logits = means[:, FEASIBILITY]
                    if len(logits) > len(truth):
                        aurocs.append(_auroc(logits[: len(truth)], logits[len(truth) :]))
                        likely = special.expit(outputs[number :: len(candidates), :, FEASIBILITY])
                        likely = likely.mean(axis=0)
                        eces.append(_ece(likely[: len(truth)], likely[len(truth) :]))
                result = {"alpha": alpha, "beta": beta, "share": step / steps, "tau": float(np.mean(taus))}
                if aurocs and settings.feasibility_weight > 0.0:
                    result |= {"auroc": float(np.mean(aurocs)), "ece": float(np.mean(eces))}
                self.found.append(result)
                self.told.append(self._held_out(parts, number, len(candidates)))
                self.emit(event="candidate", **result)

        networks = self.train("selection", candidates, members, trained, infeasible, steps, steps, judge)
        # What was pushed on infeasible designs is no witness of how good they would be.
        pushed = np.array([beta for _, beta in candidates])[np.arange(members) % len(candidates)]
        witnesses = np.flatnonzero(pushed == pushed.min())
        self._learn_constraints(networks, witnesses, held)
        best = max(result["tau"] for result in self.found)
        # Kendall's standard error of unrelated rankings, of a mean over applications: a stronger push, or
        # less training, must win by more.
        judges = held[enough]
        variances = 2.0 * (2.0 * judges + 5.0) / (9.0 * judges * (judges - 1.0))
        error = float(np.sqrt(variances.sum())) / len(judges)
        near = [result for result in self.found if result["tau"] >= best - error]
        push = {pair: strength for strength, pair in enumerate(candidates)}
        chosen = min(near, key=lambda result: (push[result["alpha"], result["beta"]], -result["share"]))
        shown = self.told[next(place for place, result in enumerate(self.found) if result is chosen)]
        names = self.data.applications or ("",)
        self.emit(**held_out_event([(names[place], shown[str(place)]) for place in sorted(map(int, shown))]))
        reason = (
            f"weakest push, then longest training, within {error:.3f} of the highest tau "
            f"({held.sum()} held out)"
        )
        if not enough.all():
            few = ", ".join(self.data.applications[place] for place in np.flatnonzero(~enough))
            reason += f"; with too few feasible designs to judge by: {few}"
        return {**chosen, "reason": reason}

    def _held_out(
        self, parts: list[tuple[int, NDArray[np.float64], NDArray[np.float64]]], number: int, candidates: int
    ) -> dict[str, dict[str, NDArray[Any]]]:
        """Return what the members of a candidate predict of the held-out designs, by place of application."""
        found = {}
        for place, outputs, truth in parts:
            good, all_rows = len(truth), np.arange(outputs.shape[1])
            rows = np.concatenate([thinned(all_rows[:good]), thinned(all_rows[good:])])
            mine = outputs[number::candidates, rows]
            likely = np.ones(len(rows))
            if self.settings.feasibility_weight > 0.0:
                likely = special.expit(mine[:, :, FEASIBILITY]).mean(axis=0)
            scores, scale = mine[:, :, OBJECTIVE], self.objective
            logged = np.full(outputs.shape[1], np.nan)
            logged[:good] = scale.original(truth)
            columns = {
                "feasible": rows < good,
                "logged": logged[rows],
                "predicted": scale.original(scores.mean(axis=0)),
                "deviation": scores.std(axis=0) * scale.deviation,
                "feasible_probability": likely,
            }
            found[str(place)] = columns
        return found

    def _learn_constraints(
        self, networks: Any, witnesses: NDArray[np.integer], held: NDArray[np.integer]
    ) -> None:
        """Learn the limits that the log shows, and leave out what they reject; see `constraints`.

        The networks have not seen the ``held`` best feasible designs of each application: the error on these
        of the ``witnesses`` among them is taken for that on the infeasible ones. Where none are held out
        nothing tells the error, and no limits are learned.
        """
        chance = self.settings.constraint_chance
        if chance is None or self.settings.feasibility_weight == 0.0:
            return
        found: list[tuple[LearnedConstraint, ...]] = []
        good_ends, bad_ends = np.cumsum(self.feasible_counts), np.cumsum(self.infeasible_counts)
        for place, context in enumerate(self.contexts):
            good = self.feasible[good_ends[place] - self.feasible_counts[place] : good_ends[place]]
            span = slice(bad_ends[place] - self.infeasible_counts[place], bad_ends[place])
            bad = self.infeasible[span]
            if not held[place]:
                found.append(())
                continue
            space, best = self.data.space, good[len(good) - held[place] :]
            ranks = self.data.ranks[np.concatenate([best, bad])]
            outputs = padded_outputs(networks, self.encoder, ranks, context, self.settings.architecture)
            predicted = outputs[witnesses, :, OBJECTIVE].mean(axis=0)
            error = np.sqrt(np.mean(np.square(predicted[: len(best)] - self.targets[best, 0])))
            # Designs that would have been logged had they been feasible, almost surely.
            logged = predicted[len(best) :] >= self.targets[good[-1], 0] + CERTAIN * error
            logged |= self.settings.censoring is None
            ranks = ranks[len(best) :]
            constraints = learn_constraints(space, self.data.ranks[good], ranks[logged], chance)
            found.append(constraints)
            names = self.data.applications or ("",)
            for constraint in constraints:
                self.emit(event="constraint", application=names[place], **constraint.to_dict())
        self._take_constraints(tuple(found))

    def _take_constraints(self, constraints: tuple[tuple[LearnedConstraint, ...], ...]) -> None:
        """Leave out the infeasible designs that each application's constraints reject."""
        self.constraints = constraints
        kept = np.ones(len(self.infeasible), np.bool_)
        ends = np.cumsum(self.infeasible_counts)
        for several, end, count in zip(constraints, ends, self.infeasible_counts, strict=True):
            rows = self.data.ranks[self.infeasible[end - count : end]]
            kept[end - count : end] = violations(several, self.data.space, rows) == 0.0
        of_row = self.data.application_of_row
        self.infeasible = self.infeasible[kept]
        self.infeasible_counts = np.bincount(of_row[self.infeasible], minlength=self.applications)
        # Of the size that the compiled step knows.
        size = len(self.rows.infeasible)
        self.rows = self.rows._replace(
            infeasible=jnp.asarray(padded(self.data.ranks[self.infeasible].astype(np.int32), size)),
            infeasible_targets=jnp.asarray(padded(self.targets[self.infeasible], size)),
        )


def _span(counts: NDArray[np.integer], used: NDArray[np.integer]) -> Span:
    """Return the first ``used`` rows of each application, of which there are ``counts``."""
    # Padding where there are none: drawn, and without effect.
    places = np.flatnonzero(used > 0) if (used > 0).any() else np.array([0])
    firsts = np.cumsum(counts) - counts
    return Span(
        *(jnp.asarray(values[places], jnp.int32) for values in (np.arange(len(counts)), firsts, used))
    )


def padded(rows: NDArray[Any], least: int = 1024) -> NDArray[Any]:
    """Append rows up to a power of two, so that logs of like size share a compiled step.

    They teach nothing: they are drawn only where there are no others, and their targets are unknown.
    """
    size = max(least, 1 << max(len(rows) - 1, 0).bit_length())
    unknown = np.nan if np.issubdtype(rows.dtype, np.floating) else 0
    return np.concatenate([rows, np.full((size - len(rows), *rows.shape[1:]), unknown, rows.dtype)])


def _auroc(feasible: NDArray[np.float64], infeasible: NDArray[np.float64]) -> float:
    """Return the probability that a feasible design's logit exceeds an infeasible one's."""
    statistic = stats.mannwhitneyu(feasible, infeasible).statistic
    return float(statistic) / (len(feasible) * len(infeasible))


def _ece(feasible: NDArray[np.float64], infeasible: NDArray[np.float64]) -> float:
    """Return the expected calibration error of probabilities over ten bins; each side weighs a half."""
    likely = np.concatenate([feasible, infeasible])
    weights = np.repeat([0.5 / len(feasible), 0.5 / len(infeasible)], [len(feasible), len(infeasible)])
    gaps = weights * (likely - np.repeat([1.0, 0.0], [len(feasible), len(infeasible)]))
    bins = np.minimum((BINS * likely).astype(np.int64), BINS - 1)
    return float(np.abs(np.bincount(bins, gaps)).sum())


def train(
    data: TrainingData,
    settings: TrainingSettings,
    seed: int = 0,
    *,
    limits: Mapping[str, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    record: Record | None = None,
    checkpoint: Checkpoint | None = None,
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
    checkpoint : Checkpoint, optional
        Keeps where training stands. If it holds an earlier state of the same training this goes on from
        there, to the same surrogate on the same machine, bit for bit.

    Returns
    -------
    Surrogate
        With no infeasible design in the log beyond what learned constraints explain, or no weight on
        feasibility, it has no gate: what keeps the constraints has a probability of 1.0. An application with
        fewer than `MINIMUM_FOR_SELECTION` feasible designs has no say in the selection, and no constraints
        of it are learned, as no held-out designs tell how far to trust what the networks say of its
        infeasible ones. Where this is so of all, the weakest push is taken. `selection` says so.

    Raises
    ------
    TrainingInterrupted
        If ``should_stop`` returned true.
    DataError
        If training diverges; the text names the step. If the checkpoint is damaged or of another training.
    """
    session = _Session(data, settings, seed, limits or {}, progress, should_stop, record, checkpoint)
    if not session.resume():
        session.selection = session.select()
        session.emit(event="selected", **session.selection)
    selection = session.selection
    networks = session.train(
        "fit",
        [(selection["alpha"], selection["beta"])],
        settings.members,
        session.feasible_counts,
        session.infeasible_counts,
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
        has_gate=settings.feasibility_weight > 0.0 and bool(len(session.infeasible)),
        context_scale=session.context_scale,
        applications=data.applications,
        contexts=data.contexts,
        constraints=session.constraints,
        settings=settings,
        seed=seed,
        log_sha256=data.sha256,
        selection=selection,
    )
