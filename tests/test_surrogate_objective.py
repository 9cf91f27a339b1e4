"""The parts of PRIME's objective: inputs, every term's gradient and sign, the adversarial designs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prime_fast.search import minimize
from prime_fast.space import DesignSpace
from prime_fast.surrogate import Surrogate, TrainingData, TrainingSettings, train, training
from prime_fast.surrogate.adversary import Adversary
from prime_fast.surrogate.features import Encoder
from prime_fast.surrogate.losses import TERMS, Adversarial, Batch, Objective, member_losses
from prime_fast.surrogate.networks import OBJECTIVE, apply_ensemble, build_ensemble

PRIME = DesignSpace.bundled("prime")
TINY = TrainingSettings(
    width=32, members=2, steps=200, batch=64, alphas=(0.0,), betas=(0.0,), checkpoints=1,
    adversarial_period=5, adversarial_population=32,
)  # fmt: skip
ALONE: dict[str, Any] = {"contexts": np.zeros((1, 0), np.float32), "constraints": [()], "gate": 0.0}
"""One application, of which nothing is known to be infeasible."""


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """A log of the template's space under a made-up cost; designs with little memory are infeasible."""
    ranks = PRIME.sample(800, 0)
    numbers = ranks.astype(float)
    cost = np.exp(6.0 - 0.3 * numbers[:, :4].sum(axis=1) + 0.1 * np.abs(numbers[:, 5] - 4.0))
    good = numbers[:, 4] + numbers[:, 0] > 4
    return TrainingData(PRIME, ranks, np.where(good, cost, np.nan), good)


def test_inputs_are_one_hot_and_carry_order_and_scale() -> None:
    space = DesignSpace.from_toml(
        """
        name = "kinds"
        [[parameter]]
        name = "powers"
        values = [1, 2, 4, 8]
        [[parameter]]
        name = "flag"
        values = [0, 1]
        [[parameter]]
        name = "order"
        kind = "categorical"
        values = ["a", "b", "c"]
        [[parameter]]
        name = "constant"
        values = [32]
        """
    )
    ranks = space.ranks(np.arange(space.size, dtype=np.uint64))
    encoded = Encoder.of(space)(jnp.asarray(ranks))
    one_hot = np.asarray(encoded.one_hot)
    assert one_hot.shape == (24, 4 + 2 + 3 + 1)
    assert set(np.unique(one_hot)) == {0.0, 1.0}
    starts = [0, 4, 6, 9, 10]
    for parameter, (start, end) in enumerate(pairwise(starts)):
        np.testing.assert_array_equal(one_hot[:, start:end].argmax(axis=1), ranks[:, parameter])
        np.testing.assert_array_equal(one_hot[:, start:end].sum(axis=1), 1.0)
        np.testing.assert_array_equal(encoded.columns[:, parameter], ranks[:, parameter] + start)
    numeric = np.asarray(encoded.numeric)
    powers = [numeric[ranks[:, 0] == rank, 0][0] for rank in range(4)]
    np.testing.assert_allclose(np.diff(powers), np.diff(powers)[0], rtol=1e-5)
    assert powers[0] < powers[1]
    np.testing.assert_allclose(np.unique(numeric[:, 1]), [-1.0, 1.0], rtol=1e-5)
    assert (numeric[:, 2:] == 0.0).all()
    # Sizes of both numbers, the three orders one by one, and the constant, which has no size.
    assert encoded.smooth.shape == (24, 1 + 1 + 3 + 1)


def test_metrics_that_are_products_are_inputs_and_others_are_not() -> None:
    encoder = Encoder.of(PRIME)
    ranks = PRIME.sample(200, 0)
    smooth = np.asarray(encoder(jnp.asarray(ranks)).smooth)[:, PRIME.dimensions :]
    # Of PRIME's metrics the numbers of MACs and the two memories are products; their areas are the same but
    # for a factor, and the whole area is a sum.
    assert smooth.shape == (200, 3)
    for place, name in enumerate(["macs_per_cycle", "pe_memory_mib", "core_memory_mib"]):
        metric = np.log(PRIME.metric(name, ranks))
        assert np.corrcoef(metric, smooth[:, place])[0, 1] > 0.9999
    sums = DesignSpace.from_toml(
        """
        name = "sums"
        parameter = [{ name = "a", values = [1, 2, 3] }, { name = "b", values = [1, 4] }]
        metric = [
            { name = "sum", unit = "1", expression = "a + b" },
            { name = "zero", unit = "1", expression = "a - a" },
            { name = "double", unit = "1", expression = "2 * a" },
            { name = "ratio", unit = "1", expression = "a / b" },
        ]
        """
    )
    assert len(Encoder.of(sums).products) == 1


def _terms(architecture: Any) -> tuple[Any, Any]:
    """Return one network and the function from a network to its weighted loss terms."""
    settings = TrainingSettings(
        architecture=architecture, width=16, token_width=8, blocks=1, heads=2, feed_forward=16
    )
    encoder = Encoder.of(PRIME)
    ensemble = build_ensemble(encoder, 2, 3, settings, jax.random.split(jax.random.key(0), 1))
    network = jax.tree_util.tree_map(lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, ensemble)
    good, bad, adversarial = (encoder(jnp.asarray(PRIME.sample(32, seed))) for seed in range(3))
    targets = jax.random.normal(jax.random.key(1), (32, 2)).at[:5, 1].set(jnp.nan)

    contexts = jax.random.normal(jax.random.key(2), (32, 2))
    application = jnp.arange(32) % 2
    near = targets[:, 0] < -0.5

    def terms(
        network: Any,
        adversarial: Any = adversarial,
        worst: float = 3.0,
        push: str = "hinge",
        contexts: Any = contexts,
        application: Any = application,
        attacked: int = 0,
    ) -> Any:
        worsts = jnp.full(32, worst)
        rows = (good, contexts, application, targets, near, bad, contexts, targets, worsts, -worsts)
        objective = Objective(1.0, 1.0, push == "linear", None, 0.0, True, None)
        one = jnp.asarray(1.0)
        designs = Adversarial(adversarial, contexts[0], jnp.asarray(attacked))
        return member_losses(network, one, one, designs, Batch(*rows, jnp.asarray(True)), objective)[1][0]

    return network, terms


@pytest.mark.parametrize("architecture", ["mlp", "transformer"])
def test_every_term_of_the_loss_has_a_finite_gradient_that_is_not_zero(architecture: str) -> None:
    network, terms = _terms(architecture)
    slopes = eqx.filter_jit(eqx.filter_jacrev(terms))(network)
    leaves = [np.asarray(leaf).reshape(len(TERMS), -1) for leaf in jax.tree_util.tree_leaves(slopes)]
    gradients = np.concatenate(leaves, axis=1)
    assert np.isfinite(gradients).all()
    assert (np.abs(gradients).max(axis=1) > 1e-6).all()


def test_a_push_ends_at_its_bound() -> None:
    network, terms = _terms("mlp")
    good = Encoder.of(PRIME)(jnp.asarray(PRIME.sample(32, 0)))
    context = jax.random.normal(jax.random.key(2), (32, 2))[0]
    dearest = jnp.argmax(jax.vmap(network, in_axes=(0, None))(good, context)[:, OBJECTIVE])
    dear = jax.tree_util.tree_map(lambda leaf: leaf[dearest][None], good)
    bounded = terms(network, adversarial=dear, worst=-100.0)
    assert bounded[TERMS.index("adversarial")] == 0.0
    assert bounded[TERMS.index("infeasible")] == 0.0


def test_adversarial_designs_are_pushed_towards_their_own_application() -> None:
    _, terms = _terms("mlp")
    place = TERMS.index("adversarial")

    class Told(eqx.Module):
        """A network that predicts the first feature of the context."""

        def __call__(self, _: Any, context: Any) -> Any:
            return jnp.stack([context[0], jnp.zeros(()), jnp.zeros(())])

    # Adversarial designs have the first row's context: -1; logged ones of application 1 have a mean of 3.
    contexts = jnp.stack([jnp.where(jnp.arange(32) % 2 == 0, -1.0, 3.0), jnp.zeros(32)], axis=1)
    own, other, absent = (terms(Told(), contexts=contexts, attacked=which)[place] for which in (0, 1, 7))
    assert (own, other, absent) == (0.0, 4.0, 0.0)


def test_a_linear_push_has_no_bound() -> None:
    network, terms = _terms("mlp")
    unbounded = terms(network, worst=-100.0, push="linear")
    assert unbounded[TERMS.index("infeasible")] < -50.0


def test_the_ranking_term_falls_as_the_best_are_predicted_below_the_rest() -> None:
    _, terms = _terms("mlp")
    place = TERMS.index("ranking")

    class Told(eqx.Module):
        """A network that predicts the first feature of the context, the sign turned or not."""

        sign: float

        def __call__(self, _: Any, context: Any) -> Any:
            return jnp.stack([self.sign * context[0], jnp.zeros(()), jnp.zeros(())])

    targets = jax.random.normal(jax.random.key(1), (32, 2))
    right, wrong = (terms(Told(sign), contexts=targets)[place] for sign in (1.0, -1.0))
    assert right < np.log(2.0) < wrong


def test_adversarial_designs_are_distinct_designs_of_the_space_within_the_limits() -> None:
    settings = replace(TINY, adversarial_restart=8, gate=0.0)
    encoder = Encoder.of(PRIME)
    networks = build_ensemble(encoder, 0, 2, settings, jax.random.split(jax.random.key(0), 4))
    limits, groups = {"area_mm2": 29.0}, np.array([0, 1, 0, 1])
    adversary = Adversary(PRIME, encoder, settings, limits, groups, seed=1, **ALONE)
    best = []
    for _ in range(16):
        designs = np.asarray(adversary.next_generation(networks)[0])
        assert designs.shape == (4, 32, 10)
        np.testing.assert_array_equal(designs[0], designs[2])
        for group in designs[:2]:
            assert len(np.unique(group, axis=0)) == 32
            assert ((group >= 0) & (group < PRIME.cardinalities)).all()
            assert (PRIME.metric("area_mm2", group.astype(np.uint8)) <= 29.0).all()
            one_hot = np.asarray(encoder(jnp.asarray(group)).one_hot)
            np.testing.assert_array_equal(one_hot.sum(axis=1), 10.0)
        outputs = np.asarray(apply_ensemble(networks, encoder, jnp.asarray(designs[0]), jnp.zeros(0)))
        best.append(outputs[[0, 2], :, OBJECTIVE].mean(axis=0).mean())
    assert not np.array_equal(designs[0], designs[1])
    # The search optimises within a life; after eight generations it starts afresh.
    assert best[7] < best[0]
    assert best[15] < best[8]
    assert best[7] < best[8]


def test_a_space_smaller_than_a_generation_still_gives_full_batches() -> None:
    space = DesignSpace.from_toml('name = "small"\n[[parameter]]\nname = "a"\nvalues = [1, 2, 3]\n')
    encoder = Encoder.of(space)
    networks = build_ensemble(encoder, 0, 2, TINY, jax.random.split(jax.random.key(0), 2))
    adversary = Adversary(space, encoder, TINY, {}, np.array([0, 0]), seed=0, **ALONE)
    for _ in range(3):
        designs = np.asarray(adversary.next_generation(networks)[0])
        assert designs.shape == (2, 32, 1)
        assert (designs < 3).all()


def test_alpha_raises_predictions_on_adversarial_designs(data: TrainingData) -> None:
    plain = train(data, TINY, seed=0)
    pushed = train(data, replace(TINY, alphas=(0.3,)), seed=0)
    adversarial = minimize(PRIME, plain.search_score, evaluations=3000, keep=64).designs
    logged = data.ranks[data.feasible]

    def gap(surrogate: Surrogate) -> float:
        below = np.log(surrogate.predict(adversarial).objective).mean()
        return float(below - np.log(surrogate.predict(logged).objective).mean())

    assert gap(pushed) > gap(plain) + 0.1


def test_beta_raises_predictions_on_infeasible_designs(data: TrainingData) -> None:
    plain = train(data, TINY, seed=0)
    pushed = train(data, replace(TINY, betas=(0.3,)), seed=0)
    bad = data.ranks[~data.feasible]
    before, after = (np.log(surrogate.predict(bad).objective) for surrogate in (plain, pushed))
    assert after.mean() > before.mean() + 0.5


@pytest.mark.parametrize("allowed", [0.0, 5.0])
def test_alpha_rises_until_the_overestimation_is_as_allowed(data: TrainingData, allowed: float) -> None:
    settings = replace(TINY, overestimation=allowed, alpha_rate=0.05, alphas=(0.1,), push="linear")
    records: list[dict[str, Any]] = []
    train(data, settings, seed=0, record=records.append)
    alphas = [record["adapted_alpha"] for record in records if record.get("phase") == "fit"]
    # Half a network's worth of deviations is passed at once, five are not.
    assert (alphas[-1] > 0.2) == (allowed == 0.0)
    assert (alphas[-1] == 0.0) == (allowed == 5.0)


def test_what_is_fast_is_not_held_to_be_infeasible_because_nothing_fast_was_logged() -> None:
    """Two memories decide what is feasible; the log has lost nearly all that is fast of it."""
    ranks = PRIME.sample(6000, 0)
    speed = ranks[:, :4].astype(float).sum(axis=1)
    good = ranks[:, 4] + ranks[:, 5] >= 10
    cost = np.exp(6.0 - 0.2 * speed)
    kept = ~good | (cost >= np.quantile(cost[good], 0.93))
    log = TrainingData(PRIME, ranks[kept], np.where(good, cost, np.nan)[kept], good[kept])
    lost = ranks[good & (cost < np.quantile(cost, 0.1))]
    never = ranks[~good & (cost < np.quantile(cost, 0.1))]
    settings = replace(TINY, steps=400, constraint_chance=None)
    plain, censored = (train(log, replace(settings, censoring=width), seed=0) for width in (None, 0.2))
    assert plain.predict(lost).feasible_probability.mean() < 0.75
    assert censored.predict(lost).feasible_probability.mean() > 0.9
    assert censored.predict(never).feasible_probability.mean() < 0.2


def test_a_strong_push_does_not_diverge(data: TrainingData) -> None:
    surrogate = train(data, replace(TINY, alphas=(100.0,), betas=(100.0,), push="hinge"), seed=0)
    assert np.isfinite(np.log(surrogate.predict(PRIME.sample(500, 1)).objective)).all()


@pytest.mark.parametrize("architecture", ["mlp", "transformer"])
def test_no_dtype_is_promoted_by_accident(
    architecture: Any, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = training._optimiser

    def lenient(weight_decay: float) -> optax.GradientTransformation:
        """Optax itself relies on promotion."""
        optimiser = build(weight_decay)

        def update(*arguments: Any) -> Any:
            with jax.numpy_dtype_promotion("standard"):
                return optimiser.update(*arguments)

        return optax.GradientTransformation(optimiser.init, update)

    monkeypatch.setattr(training, "_optimiser", lenient)
    settings = replace(
        TINY, architecture=architecture, token_width=8, blocks=1, heads=2, feed_forward=16, steps=4,
        alphas=(0.1,), betas=(0.1,),
    )  # fmt: skip
    metrics = {"power_w": np.where(data.feasible, 1.0, np.nan)}
    with jax.numpy_dtype_promotion("strict"):
        surrogate = train(replace(data, metrics=metrics), settings, seed=0)
        assert np.isfinite(surrogate.predict(data.ranks).objective).all()
