"""The two architectures behind one interface, and the ensemble.

A network takes one `Encoded` design and gives a vector: the standardised logarithm of the objective, the
logit of being feasible, then one standardised value a learned metric. `vmap` adds designs and members.
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
    def __call__(self, design: Encoded) -> Float[Array, " outputs"]:
        """Return the outputs for one design."""


class MLP(Network):
    """A multi-layer perceptron on one-hot and numeric inputs."""

    layers: eqx.nn.MLP

    def __init__(self, encoder: Encoder, outputs: int, settings: TrainingSettings, key: PRNGKeyArray) -> None:
        self.layers = eqx.nn.MLP(
            encoder.width + encoder.parameters, outputs, settings.width, settings.depth, jax.nn.silu, key=key
        )

    def __call__(self, design: Encoded) -> Float[Array, " outputs"]:
        """Return the outputs for one design."""
        return self.layers(jnp.concatenate([design.one_hot, design.numeric]))


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

    def __call__(self, tokens: Float[Array, "parameters width"]) -> Float[Array, "parameters width"]:
        """Return the tokens after this block."""
        normed = jax.vmap(self.attention_norm)(tokens)
        tokens = tokens + self.attention(normed, normed, normed)
        return tokens + jax.vmap(self.feed_forward)(jax.vmap(self.feed_forward_norm)(tokens))


class Transformer(Network):
    """PRIME's published architecture: a token a parameter, attention between them, gated output heads.

    A token is the embedding of the parameter's value plus a direction scaled by the value's size.
    """

    embedding: eqx.nn.Embedding
    direction: Float[Array, "parameters width"]
    blocks: list[Block]
    norm: eqx.nn.LayerNorm
    gate: eqx.nn.Linear
    heads: eqx.nn.Linear
    outputs: int = eqx.field(static=True)

    def __init__(self, encoder: Encoder, outputs: int, settings: TrainingSettings, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, settings.blocks + 4)
        self.embedding = eqx.nn.Embedding(encoder.width, settings.token_width, key=keys[0])
        self.direction = jax.random.normal(keys[1], (encoder.parameters, settings.token_width))
        self.blocks = [Block(settings, block_key) for block_key in keys[4:]]
        self.norm = eqx.nn.LayerNorm(settings.token_width)
        self.gate = eqx.nn.Linear(settings.token_width, settings.mixtures, key=keys[2])
        self.heads = eqx.nn.Linear(settings.token_width, settings.mixtures * outputs, key=keys[3])
        self.outputs = outputs

    def __call__(self, design: Encoded) -> Float[Array, " outputs"]:
        """Return the outputs for one design."""
        tokens = jax.vmap(self.embedding)(design.columns) + design.numeric[:, None] * self.direction
        for block in self.blocks:
            tokens = block(tokens)
        pooled = self.norm(tokens.mean(axis=0))
        return jax.nn.softmax(self.gate(pooled)) @ self.heads(pooled).reshape(-1, self.outputs)


def build_ensemble(encoder: Encoder, outputs: int, settings: TrainingSettings, keys: PRNGKeyArray) -> Any:
    """Return one network a key, as one `Network` whose arrays have a leading axis of members."""
    kind = MLP if settings.architecture == "mlp" else Transformer
    return eqx.filter_vmap(lambda key: kind(encoder, outputs, settings, key))(keys)


def apply_network(
    network: Network, encoder: Encoder, ranks: Int[Array, "n parameters"]
) -> Float[Array, "n outputs"]:
    """Return one network's outputs for a batch of designs."""
    return jax.vmap(network)(encoder(ranks))


def apply_ensemble(
    networks: Any, encoder: Encoder, ranks: Int[Array, "n parameters"]
) -> Float[Array, "members n outputs"]:
    """Return every member's outputs for one batch of designs."""
    encoded = encoder(ranks)
    outputs: Array = eqx.filter_vmap(lambda network: jax.vmap(network)(encoded))(networks)
    return outputs
