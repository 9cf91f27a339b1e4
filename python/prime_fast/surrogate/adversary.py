"""Adversarial designs: what a search takes to be good according to the networks being trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from prime_fast.surrogate.features import Encoder
from prime_fast.surrogate.networks import FEASIBILITY, OBJECTIVE, apply_network

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int
    from numpy.typing import NDArray

    from prime_fast.search import Optimizer
    from prime_fast.space import DesignSpace
    from prime_fast.surrogate.settings import TrainingSettings


class Adversary:
    """One genetic algorithm a group of members, which minimises the group's mean prediction.

    Designs that the feasibility head rejects are worse than any it accepts, as in the search to come. The
    networks change meanwhile, so it starts afresh every ``settings.adversarial_restart`` generations.
    """

    def __init__(
        self,
        space: DesignSpace,
        encoder: Encoder,
        settings: TrainingSettings,
        limits: Mapping[str, float],
        groups: NDArray[np.intp],
        seed: int,
    ) -> None:
        self._space, self._encoder, self._settings = space, encoder, settings
        self._limits, self._groups, self._seed = dict(limits), groups, seed
        self._generation = 0
        self._searches: list[Optimizer] = []

    def next_generation(self, networks: Any) -> Int[Array, "members n parameters"]:
        """Return each member's adversarial designs: the next generation of its group's search."""
        from prime_fast.search import Optimizer

        size = self._settings.adversarial_population
        count = int(self._groups.max()) + 1
        restart, age = divmod(self._generation, self._settings.adversarial_restart)
        if age == 0:
            self._searches = [
                Optimizer(
                    self._space,
                    seed=self._seed + restart * count + group,
                    population=size,
                    limits=self._limits,
                    journal=False,
                )
                for group in range(count)
            ]
        self._generation += 1
        asked = [search.ask(size) for search in self._searches]
        pools = np.stack([self._filled(ranks, size, group) for group, ranks in enumerate(asked)])
        designs = jnp.asarray(pools[self._groups], jnp.int32)
        outputs = np.asarray(_outputs(networks, self._encoder, designs), np.float64)
        for group, (search, ranks) in enumerate(zip(self._searches, asked, strict=True)):
            if len(ranks):
                means = outputs[self._groups == group, : len(ranks)].mean(axis=0)
                probability = 0.5 + 0.5 * np.tanh(0.5 * means[:, FEASIBILITY])
                search.tell(means[:, OBJECTIVE], np.maximum(0.0, self._settings.gate - probability))
        return designs

    def _filled(self, ranks: NDArray[np.integer], size: int, group: int) -> NDArray[np.integer]:
        """Return ``size`` designs: those asked, repeated where a small space has no more that are new."""
        if len(ranks) == 0:
            return self._space.sample(
                size, (self._seed + self._generation * len(self._searches) + group) % (1 << 63)
            )
        return ranks[np.arange(size) % len(ranks)]


@eqx.filter_jit
def _outputs(
    networks: Any, encoder: Encoder, designs: Int[Array, "members n parameters"]
) -> Float[Array, "members n outputs"]:
    params, static = eqx.partition(networks, eqx.is_inexact_array)
    return jax.vmap(lambda member, ranks: apply_network(eqx.combine(member, static), encoder, ranks))(
        params, designs
    )
