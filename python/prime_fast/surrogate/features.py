"""From the ranks of a design to what a network sees: which value it is, and how large that value is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Array, Float, Int

    from prime_fast.space import DesignSpace


class Encoded(NamedTuple):
    """Inputs of a network; leading axes are those of the ranks they come from."""

    columns: Int[Array, "*batch parameters"]
    """Place of each parameter's value in ``one_hot``: indices into a table of embeddings."""
    one_hot: Float[Array, "*batch width"]
    """1.0 where a parameter has that value; ``width`` is the sum of the cardinalities."""
    numeric: Float[Array, "*batch parameters"]
    """Standardised size of each value; 0.0 where the parameter has no order."""


@dataclass(frozen=True)
class Encoder:
    """The encoding of one design space; hashable, so that a compiled step can hold it as a constant.

    One-hot inputs let a network treat each value on its own; the numeric ones carry order and scale, without
    which it cannot say anything about designs better than all that it has seen.
    """

    cardinalities: tuple[int, ...]
    sizes: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, space: DesignSpace) -> Encoder:
        """Return the encoding of a space, which needs ``cardinalities``, ``values`` and ``kinds`` only."""
        sizes = tuple(_sizes(kind, values) for kind, values in zip(space.kinds, space.values, strict=True))
        return cls(tuple(space.cardinalities), sizes)

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return len(self.cardinalities)

    @property
    def width(self) -> int:
        """Number of one-hot columns."""
        return sum(self.cardinalities)

    def __call__(self, ranks: Int[Array, "*batch parameters"]) -> Encoded:
        """Encode ranks, any integer type, inside or outside a compiled function."""
        offsets = np.cumsum([0, *self.cardinalities[:-1]]).astype(np.int32)
        parameter = np.repeat(np.arange(self.parameters), self.cardinalities)
        columns = ranks.astype(jnp.int32) + offsets
        one_hot = (columns[..., parameter] == np.arange(self.width, dtype=np.int32)).astype(jnp.float32)
        # The sizes are a linear function of the one-hot columns: a product, where a gather would be slower.
        table = np.zeros((self.width, self.parameters), np.float32)
        table[np.arange(self.width), parameter] = np.concatenate(self.sizes)
        return Encoded(columns, one_hot, one_hot @ table)


def _sizes(kind: str, values: Sequence[Any]) -> tuple[float, ...]:
    """Return one standardised number a value: logarithms of positive numbers, else ranks, else zeros."""
    if kind != "ordinal" or any(isinstance(value, str) for value in values):
        return (0.0,) * len(values)
    if all(not isinstance(value, bool) and value > 0 for value in values):
        numbers = np.log(np.asarray(values, np.float64))
    else:
        numbers = np.arange(len(values), dtype=np.float64)
    spread = float(numbers.std())
    if spread == 0.0:
        return (0.0,) * len(values)
    return tuple(((numbers - numbers.mean()) / spread).tolist())
