"""From the ranks of a design to what a network sees: which value it is, and how large that value is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Array, Float, Int
    from numpy.typing import NDArray

    from prime_fast.space import DesignSpace


PRODUCT_TRIALS = 256
"""Random designs on which a metric must be the product of its factors."""


class Encoded(NamedTuple):
    """Inputs of a network; leading axes are those of the ranks they come from."""

    columns: Int[Array, "*batch parameters"]
    """Place of each parameter's value in ``one_hot``: indices into a table of embeddings."""
    one_hot: Float[Array, "*batch width"]
    """1.0 where a parameter has that value; ``width`` is the sum of the cardinalities."""
    numeric: Float[Array, "*batch parameters"]
    """Standardised size of each value; 0.0 where the parameter has no order."""
    smooth: Float[Array, "*batch smooth"]
    """What carries over to values and combinations that no log holds: the sizes of the parameters that have
    an order, ``one_hot`` of the others, and logarithms of those metrics of the space that are products."""


@dataclass(frozen=True)
class Encoder:
    """The encoding of one design space; hashable, so that a compiled step can hold it as a constant.

    One-hot inputs let a network treat each value on its own; the numeric ones carry order and scale, without
    which it cannot say anything about designs better than all that it has seen.
    """

    cardinalities: tuple[int, ...]
    sizes: tuple[tuple[float, ...], ...]
    products: tuple[tuple[float, ...], ...] = ()
    """For each metric that is a product of functions of one parameter each, the standardised logarithms of
    its factors, a number for every one-hot column."""

    @classmethod
    def of(cls, space: DesignSpace) -> Encoder:
        """Return the encoding of a space."""
        sizes = tuple(_sizes(kind, values) for kind, values in zip(space.kinds, space.values, strict=True))
        return cls(tuple(space.cardinalities), sizes, _products(space))

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return len(self.cardinalities)

    @property
    def width(self) -> int:
        """Number of one-hot columns."""
        return sum(self.cardinalities)

    @property
    def smooth_width(self) -> int:
        """Number of smooth columns."""
        return int(self._smooth.shape[1]) + len(self._unordered)

    @cached_property
    def _unordered(self) -> NDArray[np.intp]:
        """The one-hot columns of parameters that have no order."""
        ordered = np.repeat([any(sizes) for sizes in self.sizes], self.cardinalities)
        return np.flatnonzero(~ordered)

    @cached_property
    def _smooth(self) -> NDArray[np.float32]:
        """The other smooth columns as a linear function of the one-hot ones: shape (width, columns)."""
        columns, start = [np.zeros((self.width, 0), np.float32)], 0
        for sizes in self.sizes:
            if any(sizes):
                part = np.zeros((self.width, 1), np.float32)
                part[start : start + len(sizes), 0] = sizes
                columns.append(part)
            start += len(sizes)
        columns += [np.asarray(product, np.float32)[:, None] for product in self.products]
        return np.concatenate(columns, axis=1)

    def __call__(self, ranks: Int[Array, "*batch parameters"]) -> Encoded:
        """Encode ranks, any integer type, inside or outside a compiled function."""
        offsets = np.cumsum([0, *self.cardinalities[:-1]]).astype(np.int32)
        parameter = np.repeat(np.arange(self.parameters), self.cardinalities)
        columns = ranks.astype(jnp.int32) + offsets
        one_hot = (columns[..., parameter] == np.arange(self.width, dtype=np.int32)).astype(jnp.float32)
        # The sizes are a linear function of the one-hot columns: a product, where a gather would be slower.
        table = np.zeros((self.width, self.parameters), np.float32)
        table[np.arange(self.width), parameter] = np.concatenate(self.sizes)
        smooth = one_hot @ self._smooth
        if len(self._unordered):
            smooth = jnp.concatenate([smooth, one_hot[..., self._unordered]], axis=-1)
        return Encoded(columns, one_hot, one_hot @ table, smooth)


def _products(space: DesignSpace) -> tuple[tuple[float, ...], ...]:
    """Return the factors of each metric that is a product, without those that another one repeats."""
    cardinalities = np.asarray(space.cardinalities)
    starts = np.cumsum(cardinalities) - cardinalities
    singles = np.zeros((int(cardinalities.sum()), len(cardinalities)), space.rank_dtype)
    for parameter, (start, count) in enumerate(zip(starts, cardinalities, strict=True)):
        singles[start : start + count, parameter] = np.arange(count)
    trials = space.sample(PRODUCT_TRIALS, 0)
    found: list[NDArray[np.float64]] = []
    for name in space.metric_names:
        with np.errstate(all="ignore"):
            factors = np.log(space.metric(name, singles)) - np.log(space.metric(name, singles[:1]))
            whole = np.log(space.metric(name, trials)) - np.log(space.metric(name, singles[:1]))
        product = factors[starts + trials.astype(np.intp)].sum(axis=1)
        if not (np.isfinite(factors).all() and np.allclose(product, whole, rtol=1e-9, atol=1e-9)):
            continue
        centred = factors - np.repeat(np.add.reduceat(factors, starts) / cardinalities, cardinalities)
        variance = (np.add.reduceat(np.square(centred), starts) / cardinalities).sum()
        # A function of one parameter is among the sizes.
        several = np.count_nonzero(np.add.reduceat(np.abs(centred), starts) > 1e-9) > 1
        if several and not any(np.allclose(centred / np.sqrt(variance), other) for other in found):
            found.append(centred / np.sqrt(variance))
    return tuple(tuple(factors.tolist()) for factors in found)


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
