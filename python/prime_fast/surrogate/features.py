"""From the ranks of a design to what a network sees: which value it is, and how large that value is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Array, Float, Int
    from numpy.typing import NDArray

    from prime_fast.space import DesignSpace


PRODUCT_TRIALS = 256
"""Random designs on which a metric must be the product of its factors."""
MOST_ONE_HOT = 256
"""Values of a parameter, at most, that have an input each: as many as a byte has. Of 65,535 values they would
take 34 MB of weights a member, of which a log of some thousand designs trains few."""
KNOTS = 64
"""Inputs of a parameter that has more values, and an order: piecewise linear functions of its rank."""
DIGIT = 256
"""Inputs of each of the two digits of a parameter that has more values, and no order."""
SCRAMBLE = 40_503
"""Odd, so that to multiply by it modulo 2^16 permutes the ranks: that two share a digit then means little."""


class Encoded(NamedTuple):
    """Inputs of a network; leading axes are those of the ranks they come from."""

    columns: Int[Array, "*batch tokens"]
    """Place of each parameter's value in ``one_hot``: indices into a table of embeddings. A token is a
    parameter, or a digit of one of more than `MOST_ONE_HOT` values without an order."""
    one_hot: Float[Array, "*batch width"]
    """1.0 where a parameter has that value. Of one of more than `MOST_ONE_HOT` values that has an order, its
    distance from the nearest `KNOTS`: both neighbours count by their nearness. Of one that has none, two
    digits, which no two values share."""
    numeric: Float[Array, "*batch tokens"]
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
    its factors, a number for every value of every parameter."""

    def __hash__(self) -> int:
        """Return a hash that is worked out once: there may be hundreds of thousands of numbers."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.cardinalities, self.sizes, self.products))

    @classmethod
    def of(cls, space: DesignSpace) -> Encoder:
        """Return the encoding of a space."""
        sizes = tuple(_sizes(kind, values) for kind, values in zip(space.kinds, space.values, strict=True))
        return cls(tuple(space.cardinalities), sizes, _products(space))

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return len(self.cardinalities)

    @cached_property
    def _narrow(self) -> tuple[int, ...]:
        """Parameters whose values have an input each."""
        return tuple(place for place, count in enumerate(self.cardinalities) if count <= MOST_ONE_HOT)

    @cached_property
    def _wide(self) -> tuple[int, ...]:
        """The others."""
        return tuple(place for place, count in enumerate(self.cardinalities) if count > MOST_ONE_HOT)

    @cached_property
    def _counts(self) -> tuple[int, ...]:
        """Cardinalities of the narrow parameters."""
        return tuple(self.cardinalities[place] for place in self._narrow)

    @cached_property
    def tokens(self) -> int:
        """Number of parameters, those of many values without an order counted twice."""
        return self.parameters + sum(not any(self.sizes[place]) for place in self._wide)

    @cached_property
    def width(self) -> int:
        """Number of one-hot columns, or what stands for them."""
        wide = sum(KNOTS if any(self.sizes[place]) else 2 * DIGIT for place in self._wide)
        return sum(self._counts) + wide

    @cached_property
    def smooth_width(self) -> int:
        """Number of smooth columns."""
        wide = sum(1 if any(self.sizes[place]) else 2 * DIGIT for place in self._wide)
        return int(self._smooth.shape[1]) + len(self._unordered) + wide

    @cached_property
    def _unordered(self) -> NDArray[np.intp]:
        """The one-hot columns of narrow parameters that have no order."""
        ordered = np.asarray([any(self.sizes[place]) for place in self._narrow], np.bool_)
        return np.flatnonzero(~np.repeat(ordered, np.asarray(self._counts, np.intp)))

    @cached_property
    def _smooth(self) -> NDArray[np.float32]:
        """The other smooth columns as a linear function of the one-hot ones: shape (width, columns)."""
        width = sum(self._counts)
        columns, start = [np.zeros((width, 0), np.float32)], 0
        for place in self._narrow:
            sizes = self.sizes[place]
            if any(sizes):
                part = np.zeros((width, 1), np.float32)
                part[start : start + len(sizes), 0] = sizes
                columns.append(part)
            start += len(sizes)
        narrow = np.isin(np.repeat(np.arange(self.parameters), self.cardinalities), self._narrow)
        columns += [np.asarray(product, np.float32)[narrow, None] for product in self.products]
        return np.concatenate(columns, axis=1)

    def __call__(self, ranks: Int[Array, "*batch parameters"]) -> Encoded:
        """Encode ranks, any integer type, inside or outside a compiled function."""
        if not self._wide:
            return self._encode_narrow(ranks)
        narrow = self._encode_narrow(ranks[..., np.asarray(self._narrow, np.intp)])
        columns, one_hot, numeric = [narrow.columns], [narrow.one_hot], [narrow.numeric]
        smooth, start = [], sum(self._counts)
        for place in self._wide:
            rank = ranks[..., place].astype(jnp.int32)
            if any(self.sizes[place]):
                column, hot, size = self._ordered(place, rank)
                smooth.append(size)
                numeric.append(size)
            else:
                column, hot = _digits(rank)
                smooth.append(hot)
                numeric.append(jnp.zeros(column.shape, jnp.float32))
            columns.append(column + start)
            one_hot.append(hot)
            start += hot.shape[-1]
        known = narrow.smooth
        if self.products:
            factors, starts = np.asarray(self.products, np.float32).T, np.cumsum([0, *self.cardinalities])
            # Their columns stand behind the sizes of the narrow parameters.
            first = self._smooth.shape[1] - len(self.products)
            for place in self._wide:
                table = jnp.asarray(factors[starts[place] : starts[place + 1]])
                known = known.at[..., first : first + len(self.products)].add(table[ranks[..., place]])
        return Encoded(
            jnp.concatenate(columns, axis=-1),
            jnp.concatenate(one_hot, axis=-1),
            jnp.concatenate(numeric, axis=-1),
            jnp.concatenate([known, *smooth], axis=-1),
        )

    def _encode_narrow(self, ranks: Int[Array, "*batch narrow"]) -> Encoded:
        counts, width = np.asarray(self._counts, np.intp), sum(self._counts)
        offsets = np.cumsum([0, *counts])[:-1].astype(np.int32)
        parameter = np.repeat(np.arange(len(counts)), counts)
        columns = ranks.astype(jnp.int32) + offsets
        one_hot = (columns[..., parameter] == np.arange(width, dtype=np.int32)).astype(jnp.float32)
        # The sizes are a linear function of the one-hot columns: a product, where a gather would be slower.
        table = np.zeros((width, len(counts)), np.float32)
        table[np.arange(width), parameter] = [size for place in self._narrow for size in self.sizes[place]]
        smooth = one_hot @ self._smooth
        if len(self._unordered):
            smooth = jnp.concatenate([smooth, one_hot[..., self._unordered]], axis=-1)
        return Encoded(columns, one_hot, one_hot @ table, smooth)

    def _ordered(
        self, place: int, rank: Int[Array, "*batch"]
    ) -> tuple[Int[Array, "*batch 1"], Float[Array, "*batch knots"], Float[Array, "*batch 1"]]:
        """Return the nearest knot, the nearness of all, and the size, of a wide parameter with an order."""
        at = rank.astype(jnp.float32) * ((KNOTS - 1) / (self.cardinalities[place] - 1))
        hot = jax.nn.relu(1.0 - jnp.abs(at[..., None] - np.arange(KNOTS, dtype=np.float32)))
        size = jnp.asarray(np.asarray(self.sizes[place], np.float32))[rank]
        return jnp.round(at).astype(jnp.int32)[..., None], hot, size[..., None]


def _digits(rank: Int[Array, "*batch"]) -> tuple[Int[Array, "*batch 2"], Float[Array, "*batch inputs"]]:
    """Return the two digits of a scrambled rank, and both one-hot."""
    scrambled = rank.astype(jnp.uint32) * SCRAMBLE
    digits = jnp.stack([scrambled >> 8, scrambled], axis=-1).astype(jnp.int32) % DIGIT
    hot = jax.nn.one_hot(digits, DIGIT, dtype=jnp.float32)
    offsets = np.array([0, DIGIT], np.int32)
    return digits + offsets, hot.reshape(*rank.shape, 2 * DIGIT)


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
