"""Parameters of up to 65,535 values in the surrogate."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import prime_fast as pf
from prime_fast.search import minimize
from prime_fast.surrogate import Surrogate, TrainingData, TrainingSettings, train
from prime_fast.surrogate.features import DIGIT, KNOTS, MOST_ONE_HOT, Encoder
from prime_fast.surrogate.networks import build_ensemble

LARGEST = 65_535
TINY = TrainingSettings(
    width=32, token_width=16, heads=2, blocks=1, feed_forward=32, members=2, steps=400, selection_steps=50,
    batch=128, alphas=(0.0,), betas=(0.0,), checkpoints=1, adversarial_population=16,
)  # fmt: skip


def space_of(*parameters: tuple[str, list[Any], str]) -> pf.DesignSpace:
    """Return a space of parameters given by name, values and kind."""
    texts = [
        f'[[parameter]]\nname = "{name}"\nkind = "{kind}"\nvalues = {str(values).lower()}\n'
        for name, values, kind in parameters
    ]
    return pf.DesignSpace.from_toml('name = "large"\n' + "".join(texts))


WIDE: list[tuple[str, list[Any], str]] = [
    ("clock", list(range(1, LARGEST + 1)), "ordinal"),
    ("seed", list(range(LARGEST)), "categorical"),
    ("flow", ["ws", "os"], "categorical"),
    ("ways", [1, 2, 4, 8], "ordinal"),
]


@pytest.fixture(scope="module")
def wide() -> pf.DesignSpace:
    return space_of(*WIDE)


# --- encoding -----------------------------------------------------------------------------------------------


def test_values_of_wide_parameters_are_told_apart(wide: pf.DesignSpace) -> None:
    encoder = Encoder.of(wide)
    assert (encoder.parameters, encoder.tokens) == (4, 5)
    assert encoder.width == KNOTS + 2 * DIGIT + 2 + 4
    every = np.zeros((LARGEST, 4), np.int32)
    every[:, 1] = np.arange(LARGEST)
    encoded = jax.jit(encoder)(jnp.asarray(every[:4096]))
    assert encoded.one_hot.shape == (4096, encoder.width)
    assert encoded.smooth.shape == (4096, encoder.smooth_width)
    assert encoded.numeric.shape == encoded.columns.shape == (4096, encoder.tokens)
    assert (np.asarray(encoded.columns) < encoder.width).all()
    # No two categories share both digits.
    pairs = np.concatenate(
        [np.asarray(encoder(jnp.asarray(part)).columns)[:, -2:] for part in np.array_split(every, 16)]
    )
    assert len(np.unique(pairs, axis=0)) == LARGEST
    # Of an ordinal one the two knots around a value share it, and its size is standardised.
    every[:, 0] = np.arange(LARGEST)
    parts = [encoder(jnp.asarray(part)) for part in np.array_split(every, 16)]
    hot = np.concatenate([np.asarray(part.one_hot)[:, 6 : 6 + KNOTS] for part in parts])
    np.testing.assert_allclose(hot.sum(axis=1), 1.0, atol=1e-4)
    assert ((hot > 0.0).sum(axis=1) <= 2).all()
    np.testing.assert_allclose(
        hot @ np.arange(KNOTS), np.arange(LARGEST) * (KNOTS - 1) / (LARGEST - 1), atol=1e-2
    )
    size = np.concatenate([np.asarray(part.numeric)[:, 2] for part in parts])
    logarithms = np.log(np.arange(1, LARGEST + 1))
    np.testing.assert_allclose(size, (logarithms - logarithms.mean()) / logarithms.std(), atol=1e-4)


def test_products_of_wide_parameters_are_smooth_inputs() -> None:
    text = space_of(*WIDE).to_toml() + '[[metric]]\nname = "rate"\nexpression = "clock * ways"\n'
    space = pf.DesignSpace.from_toml(text)
    encoder = Encoder.of(space)
    ranks = space.sample(500, 0)
    smooth = np.asarray(encoder(jnp.asarray(ranks.astype(np.int32))).smooth)
    rate = np.log(space.metric("rate", ranks))
    # Behind the size of `ways`.
    assert np.corrcoef(smooth[:, 1], rate)[0, 1] == pytest.approx(1.0, abs=1e-5)


def test_a_parameter_of_few_values_has_an_input_each() -> None:
    space = space_of(("n", list(range(MOST_ONE_HOT)), "ordinal"), ("m", list(range(3)), "categorical"))
    encoder = Encoder.of(space)
    assert (encoder.width, encoder.tokens) == (MOST_ONE_HOT + 3, 2)
    hot = np.asarray(
        encoder(jnp.asarray(space.ranks(np.arange(space.size, dtype=np.uint64)).astype(np.int32))).one_hot
    )
    assert (hot.sum(axis=1) == 2).all()
    assert len(np.unique(hot, axis=0)) == space.size


@pytest.mark.parametrize("architecture", ["mlp", "transformer"])
def test_weights_stay_few(wide: pf.DesignSpace, architecture: Any) -> None:
    chosen = TrainingSettings(architecture=architecture)
    networks = eqx.filter_eval_shape(
        build_ensemble,
        Encoder.of(wide),
        0,
        2,
        chosen,
        jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 8)),
    )
    leaves = jax.tree_util.tree_leaves(eqx.filter(networks, lambda leaf: hasattr(leaf, "shape")))
    # One-hot inputs of both parameters would take 537 MB in the MLP.
    assert sum(math.prod(leaf.shape) * 4 for leaf in leaves) < 8e6


# --- fits ---------------------------------------------------------------------------------------------------


def cost(space: pf.DesignSpace, ranks: np.ndarray) -> np.ndarray:
    """Least at a clock of 3000 with 8 ways; every value of `clock` matters, `seed` doesn't."""
    frame = space.frame(ranks)
    clock, ways = frame["clock"].to_numpy(), frame["ways"].to_numpy()
    flow = frame["flow"].to_numpy() == "ws"
    return np.asarray(
        np.exp(0.3 * np.log(clock / 3000.0) ** 2) * (9.0 - ways) ** 0.5 * np.where(flow, 1.0, 1.3)
    )


def test_a_surrogate_of_wide_parameters_fits_and_is_searched(wide: pf.DesignSpace, tmp_path: Any) -> None:
    ranks = wide.sample(1500, seed=1)
    values = cost(wide, ranks)
    working = ranks[:, 0] > 200
    data = TrainingData(wide, ranks, np.where(working, values, np.nan), working)
    surrogate = train(data, TINY, seed=2)
    unseen = wide.sample(1000, seed=3)
    unseen = unseen[unseen[:, 0] > 200]
    predicted, true = np.log(surrogate.predict(unseen).objective), np.log(cost(wide, unseen))
    assert 1.0 - np.square(predicted - true).sum() / np.square(true - true.mean()).sum() > 0.8
    found = minimize(wide, surrogate.search_score, evaluations=20_000, seed=0)
    # Half of the designs cost over 12, one in forty less than 1.5.
    assert cost(wide, found.designs[:1])[0] < 1.5
    path = tmp_path / "surrogate.safetensors"
    surrogate.save(path)
    loaded = Surrogate.load(path)
    np.testing.assert_array_equal(loaded.predict(unseen).objective, surrogate.predict(unseen).objective)
