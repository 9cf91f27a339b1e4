"""Adversarial designs: what a search takes to be good according to the networks being trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from prime_fast.surrogate.constraints import LearnedConstraint, violations
from prime_fast.surrogate.features import Encoder
from prime_fast.surrogate.networks import FEASIBILITY, OBJECTIVE, apply_network

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int
    from numpy.typing import NDArray

    from prime_fast.search import Optimizer
    from prime_fast.space import DesignSpace
    from prime_fast.surrogate.settings import TrainingSettings


class DivergedError(ArithmeticError):
    """A prediction of the networks being trained is not finite."""


class Adversary:
    """A search a group of members and application, which minimises the group's mean prediction for it.

    Designs that the feasibility head or a learned constraint rejects are worse than any that are accepted, as
    in the search to come. The networks change meanwhile, so it starts afresh every
    ``settings.adversarial_restart`` generations. With several applications the generations take turns.
    """

    def __init__(
        self,
        space: DesignSpace,
        encoder: Encoder,
        settings: TrainingSettings,
        limits: Mapping[str, float],
        groups: NDArray[np.intp],
        seed: int,
        *,
        contexts: NDArray[np.float32],
        constraints: Sequence[Sequence[LearnedConstraint]],
        gate: float,
    ) -> None:
        self._space, self._encoder, self._settings = space, encoder, settings
        self._limits, self._groups, self._seed = dict(limits), groups, seed
        self._contexts, self._constraints, self._gate = contexts, constraints, gate
        self._generation = 0
        self._searches: list[list[Optimizer]] = []
        self._designs: Int[Array, "members n parameters"] = jnp.zeros((0, 0, 0), jnp.int32)

    def next_generation(
        self, networks: Any
    ) -> tuple[Int[Array, "members n parameters"], Float[Array, " features"], Int[Array, ""]]:
        """Return the next generation of each member's group; the context and number of its application."""
        settings = self._settings
        size = settings.adversarial_population
        turn, place = divmod(self._generation, len(self._contexts))
        restart, age = divmod(turn, settings.adversarial_restart)
        if age == 0 and place == 0:
            self._searches = self._started(restart)
        self._generation += 1
        searches = self._searches[place]
        asked = [search.ask(size) for search in searches]
        pools = np.stack([self._filled(ranks, size, group) for group, ranks in enumerate(asked)])
        self._designs = jnp.asarray(pools[self._groups], jnp.int32)
        designs, context, application = self._pool(place)
        outputs = np.asarray(_outputs(networks, self._encoder, designs, context), np.float64)
        if not np.isfinite(outputs).all():
            raise DivergedError
        for group, (search, ranks) in enumerate(zip(searches, asked, strict=True)):
            if len(ranks):
                means = outputs[self._groups == group, : len(ranks)].mean(axis=0)
                probability = 0.5 + 0.5 * np.tanh(0.5 * means[:, FEASIBILITY])
                broken = violations(self._constraints[place], self._space, ranks)
                search.tell(means[:, OBJECTIVE], broken + np.maximum(0.0, self._gate - probability))
        return designs, context, application

    def _started(self, restart: int) -> list[list[Optimizer]]:
        """Return new searches of every application and group."""
        from prime_fast.search import Optimizer

        settings, count = self._settings, int(self._groups.max()) + 1
        options: dict[str, Any] = {}
        if settings.adversarial_search == "genetic":
            options = {"population": settings.adversarial_population}
        return [
            [
                Optimizer(
                    self._space,
                    settings.adversarial_search,
                    seed=self._seed + (restart * len(self._contexts) + application) * count + group,
                    limits=self._limits,
                    # To be taken up again by `restore`.
                    journal=True,
                    **options,
                )
                for group in range(count)
            ]
            for application in range(len(self._contexts))
        ]

    def _pool(
        self, place: int
    ) -> tuple[Int[Array, "members n parameters"], Float[Array, " features"], Int[Array, ""]]:
        return self._designs, jnp.asarray(self._contexts[place]), jnp.asarray(place, jnp.int32)

    def state(self) -> tuple[int, dict[str, NDArray[Any]]]:
        """Return the number of generations, and arrays for `restore`."""
        if self._generation == 0:
            return 0, {}
        arrays = {
            f"adversary.{application}.{group}.{name}": array
            for application, searches in enumerate(self._searches)
            for group, search in enumerate(searches)
            for name, array in search.state().items()
        }
        return self._generation, arrays | {"adversary.designs": np.asarray(self._designs)}

    def restore(
        self, generation: int, arrays: Mapping[str, NDArray[Any]]
    ) -> tuple[Int[Array, "members n parameters"], Float[Array, " features"], Int[Array, ""]] | None:
        """Go on from where `state` was taken; return the last generation as `next_generation` did."""
        if generation == 0:
            return None
        turn, place = divmod(generation - 1, len(self._contexts))
        self._generation, self._searches = (
            generation,
            self._started(turn // self._settings.adversarial_restart),
        )
        for application, searches in enumerate(self._searches):
            for group, search in enumerate(searches):
                prefix = f"adversary.{application}.{group}."
                search.restore(
                    {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
                )
        self._designs = jnp.asarray(arrays["adversary.designs"])
        return self._pool(place)

    def _filled(self, ranks: NDArray[np.integer], size: int, group: int) -> NDArray[np.integer]:
        """Return ``size`` designs: those asked, repeated where a small space has no more that are new."""
        if len(ranks) == 0:
            return self._space.sample(
                size, (self._seed + self._generation * (int(self._groups.max()) + 1) + group) % (1 << 63)
            )
        return ranks[np.arange(size) % len(ranks)]


@eqx.filter_jit
def _outputs(
    networks: Any,
    encoder: Encoder,
    designs: Int[Array, "members n parameters"],
    context: Float[Array, " features"],
) -> Float[Array, "members n outputs"]:
    params, static = eqx.partition(networks, eqx.is_inexact_array)
    return jax.vmap(
        lambda member, ranks: apply_network(eqx.combine(member, static), encoder, ranks, context)
    )(params, designs)
