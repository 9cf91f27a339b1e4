"""The two architectures behind one interface, and the ensemble.

A network takes one `Encoded` design with the standardised context of an application (of no features where
there is but one) and gives a vector: the standardised logarithm of the objective, the logit of being
feasible, then one standardised value a learned metric. `vmap` adds designs and members.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int, PRNGKeyArray

    from prime_fast.surrogate.features import Encoded, Encoder
    from prime_fast.surrogate.settings import TrainingSettings

OBJECTIVE = 0
"""Place of the objective in a network's output."""
FEASIBILITY = 1
"""Place of the logit of being feasible."""
METRICS = 2
"""Place of the first learned metric."""


class Network(eqx.Module):
    """What every architecture offers."""

    @abstractmethod
    def __call__(self, design: Encoded, context: Float[Array, " features"]) -> Float[Array, " outputs"]:
        """Return the outputs for one design and application."""


class Conditioning(eqx.Module):
    """How hidden features h of a design meet the context c of an application.

    - product, as PRIME describes it: h * g(c)
    - film: h * (1 + g(c)) + b(c), after Perez et al., arXiv 1709.07871

    with g and b networks of one hidden layer. The third way, concat, is to add c to a network's inputs.
    """

    network: eqx.nn.MLP
    film: bool = eqx.field(static=True)

    def __init__(self, features: int, width: int, kind: str, key: PRNGKeyArray) -> None:
        self.film = kind == "film"
        outputs = 2 * width if self.film else width
        self.network = eqx.nn.MLP(features, outputs, width, 1, jax.nn.silu, key=key)

    def __call__(
        self, hidden: Float[Array, " width"], context: Float[Array, " features"]
    ) -> Float[Array, " width"]:
        """Return the features of the design for this application."""
        if not self.film:
            return hidden * self.network(context)
        scale, shift = jnp.split(self.network(context), 2)
        return hidden * (1.0 + scale) + shift


def _conditioning(
    features: int, width: int, settings: TrainingSettings, key: PRNGKeyArray
) -> Conditioning | None:
    if features == 0 or settings.conditioning == "concat":
        return None
    return Conditioning(features, width, settings.conditioning, key)


FEASIBILITY_WIDTH = 32
"""Hidden units of the MLP's network for feasibility."""


class MLP(Network):
    """A multi-layer perceptron on one-hot and numeric inputs; a context enters at the first hidden layer.

    What is feasible is told by a small network of its own, on smooth inputs alone: a memory that is too small
    is too small at any number of PEs, which one-hot inputs would have to learn for each.
    """

    first: eqx.nn.Linear
    conditioning: Conditioning | None
    rest: eqx.nn.MLP
    feasibility: eqx.nn.MLP

    def __init__(
        self, encoder: Encoder, features: int, outputs: int, settings: TrainingSettings, key: PRNGKeyArray
    ) -> None:
        first_key, conditioning_key, rest_key, feasibility_key = jax.random.split(key, 4)
        self.feasibility = eqx.nn.MLP(
            encoder.smooth_width + features, "scalar", FEASIBILITY_WIDTH, 1, jnp.tanh, key=feasibility_key
        )
        self.conditioning = _conditioning(features, settings.width, settings, conditioning_key)
        inputs = encoder.width + encoder.tokens + (0 if self.conditioning else features)
        self.first = eqx.nn.Linear(inputs, settings.width, key=first_key)
        self.rest = eqx.nn.MLP(
            settings.width, outputs, settings.width, settings.depth - 1, jax.nn.silu, key=rest_key
        )

    def __call__(self, design: Encoded, context: Float[Array, " features"]) -> Float[Array, " outputs"]:
        """Return the outputs for one design and application."""
        if self.conditioning is None:
            hidden = self.first(jnp.concatenate([design.one_hot, design.numeric, context]))
        else:
            hidden = self.first(jnp.concatenate([design.one_hot, design.numeric]))
            hidden = self.conditioning(hidden, context)
        outputs = self.rest(jax.nn.silu(hidden))
        logit = self.feasibility(jnp.concatenate([design.smooth, context]))
        return outputs.at[FEASIBILITY].set(logit)


class Block(eqx.Module):
    """Self-attention and a feed-forward part, each with a residual connection behind a layer norm."""

    attention: eqx.nn.MultiheadAttention
    feed_forward: eqx.nn.MLP
    attention_norm: eqx.nn.LayerNorm
    feed_forward_norm: eqx.nn.LayerNorm

    def __init__(self, settings: TrainingSettings, key: PRNGKeyArray) -> None:
        attention_key, feed_forward_key = jax.random.split(key)
        width = settings.token_width
        self.attention = eqx.nn.MultiheadAttention(settings.heads, width, key=attention_key)
        self.feed_forward = eqx.nn.MLP(
            width, width, settings.feed_forward, 1, jax.nn.gelu, key=feed_forward_key
        )
        self.attention_norm = eqx.nn.LayerNorm(width)
        self.feed_forward_norm = eqx.nn.LayerNorm(width)

    def __call__(self, tokens: Float[Array, "tokens width"]) -> Float[Array, "tokens width"]:
        """Return the tokens after this block."""
        normed = jax.vmap(self.attention_norm)(tokens)
        tokens = tokens + self.attention(normed, normed, normed)
        return tokens + jax.vmap(self.feed_forward)(jax.vmap(self.feed_forward_norm)(tokens))


class Transformer(Network):
    """PRIME's published architecture: a token a parameter, attention between them, gated output heads.

    A token is the embedding of the parameter's value plus a direction scaled by the value's size. A context
    multiplies the pooled tokens, or is a token of its own (``concat``).
    """

    embedding: eqx.nn.Embedding
    direction: Float[Array, "tokens width"]
    context: eqx.nn.Linear | None
    blocks: list[Block]
    norm: eqx.nn.LayerNorm
    conditioning: Conditioning | None
    gate: eqx.nn.Linear
    heads: eqx.nn.Linear
    outputs: int = eqx.field(static=True)

    def __init__(
        self, encoder: Encoder, features: int, outputs: int, settings: TrainingSettings, key: PRNGKeyArray
    ) -> None:
        keys = jax.random.split(key, settings.blocks + 5)
        width = settings.token_width
        self.embedding = eqx.nn.Embedding(encoder.width, width, key=keys[0])
        self.direction = jax.random.normal(keys[1], (encoder.tokens, width))
        self.conditioning = _conditioning(features, width, settings, keys[4])
        as_token = features > 0 and self.conditioning is None
        self.context = eqx.nn.Linear(features, width, key=keys[4]) if as_token else None
        self.blocks = [Block(settings, block_key) for block_key in keys[5:]]
        self.norm = eqx.nn.LayerNorm(width)
        self.gate = eqx.nn.Linear(width, settings.mixtures, key=keys[2])
        self.heads = eqx.nn.Linear(width, settings.mixtures * outputs, key=keys[3])
        self.outputs = outputs

    def __call__(self, design: Encoded, context: Float[Array, " features"]) -> Float[Array, " outputs"]:
        """Return the outputs for one design and application."""
        tokens = jax.vmap(self.embedding)(design.columns) + design.numeric[:, None] * self.direction
        if self.context is not None:
            tokens = jnp.concatenate([tokens, self.context(context)[None]])
        for block in self.blocks:
            tokens = block(tokens)
        pooled = self.norm(tokens.mean(axis=0))
        if self.conditioning is not None:
            pooled = self.conditioning(pooled, context)
        return jax.nn.softmax(self.gate(pooled)) @ self.heads(pooled).reshape(-1, self.outputs)


def build_ensemble(
    encoder: Encoder, features: int, outputs: int, settings: TrainingSettings, keys: PRNGKeyArray
) -> Any:
    """Return one network a key, as one `Network` whose arrays have a leading axis of members."""
    kind = MLP if settings.architecture == "mlp" else Transformer
    return eqx.filter_vmap(lambda key: kind(encoder, features, outputs, settings, key))(keys)


def apply_network(
    network: Network,
    encoder: Encoder,
    ranks: Int[Array, "n parameters"],
    context: Float[Array, " features"],
) -> Float[Array, "n outputs"]:
    """Return one network's outputs for a batch of designs and one application."""
    return jax.vmap(network, in_axes=(0, None))(encoder(ranks), context)


def apply_ensemble(
    networks: Any, encoder: Encoder, ranks: Int[Array, "n parameters"], context: Float[Array, " features"]
) -> Float[Array, "members n outputs"]:
    """Return every member's outputs for one batch of designs and one application."""
    encoded = encoder(ranks)
    outputs: Array = eqx.filter_vmap(lambda network: jax.vmap(network, in_axes=(0, None))(encoded, context))(
        networks
    )
    return outputs
