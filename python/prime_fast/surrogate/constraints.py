"""Limits that a log shows but nobody wrote down: what no feasible design has and many infeasible ones have.

An accelerator is mostly infeasible because something is too small for the application: a memory, or a memory
a core. Such a limit is a bound on a product of powers of parameters, or on a metric of the space. Of all
products with exponents of -1, 0 and 1 and few factors, and of all metrics, the bound of the feasible designs
logged that rejects most of the infeasible ones is taken, then the one that rejects most of the rest, and so
on.

A bound is a limit only if chance does not explain it: were feasible designs as frequent beyond it as in the
log, a share q, then n designs beyond it would all be infeasible with a probability of (1 - q)^n. Over all
bounds that were looked at this must be less than ``chance`` (Bonferroni).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prime_fast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from prime_fast.space import DesignSpace, Ranks

PRODUCTS = 5000
"""Products that are looked at, at most: they have as many factors as this allows."""
FACTORS = 4
"""Parameters of a product, at most: a limit with more is no longer one that a designer would write."""
INFEASIBLE = 20_000
"""Infeasible designs by which bounds are chosen, at most."""
CHUNK = 256
"""Products looked at together."""
ROWS = 65_536
"""Feasible designs looked at together."""
FARTHEST = 50.0
"""Largest logarithm by which a bound counts as broken."""
TOLERANCE = 1e-9
"""Of logarithms: equal products of parameters may differ in their last bits."""


@dataclass(frozen=True)
class LearnedConstraint:
    """A bound that all feasible designs of a log keep.

    Attributes
    ----------
    quantity : str
        A metric of the space, or a product of parameters, such as ``cores / core_memory``.
    exponents : tuple of int
        Of each parameter of the space; empty for a metric.
    at_least : bool
        Whether it is a lower bound, else an upper one.
    bound : float
        In the unit of the metric or the parameters.
    infeasible : int
        Infeasible designs logged that it was first to reject; of more than `INFEASIBLE` an estimate. 0 where
        no log shows it, and it is expected from those of other applications.
    """

    quantity: str
    exponents: tuple[int, ...]
    at_least: bool
    bound: float
    infeasible: int

    @property
    def expected(self) -> bool:
        """Whether it was not learned, but is expected from the limits of other applications."""
        return self.infeasible == 0

    def __str__(self) -> str:
        """Return it as it would stand in a space's file."""
        return f"{self.quantity} {'>=' if self.at_least else '<='} {self.bound:.6g}"

    def values(self, space: DesignSpace, ranks: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the quantity of each design, in the unit of the bound."""
        if not self.exponents:
            return np.asarray(space.metric(self.quantity, _ranks(space, ranks)))
        return np.exp(_logarithms(space, ranks, [(self.quantity, self.exponents)])[:, 0])

    def excess(self, space: DesignSpace, ranks: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return by what factor each design breaks the bound, as a logarithm: 0.0 where it keeps it."""
        beyond = _logarithms(space, ranks, [(self.quantity, self.exponents)])[:, 0] - math.log(self.bound)
        beyond = -beyond if self.at_least else beyond
        # A metric that has no logarithm here had one on all designs logged: it is beyond them.
        beyond = np.minimum(np.where(np.isnan(beyond), FARTHEST, beyond), FARTHEST)
        return np.where(beyond > TOLERANCE, beyond, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], space: DesignSpace) -> LearnedConstraint:
        """Return the constraint of ``to_dict``; DataError if it does not fit the space."""
        exponents = tuple(int(exponent) for exponent in values["exponents"])
        quantity, bound = str(values["quantity"]), float(values["bound"])
        usable = quantity in space.metric_names
        if exponents:
            usable = (
                len(exponents) == len(space.names) and any(exponents) and {-1, 0, 1}.issuperset(exponents)
            )
        infeasible = int(values["infeasible"])
        usable = usable and math.isfinite(bound) and bound > 0.0 and infeasible >= 1
        if not usable or quantity != (_name(space, exponents) if exponents else quantity):
            raise DataError(f"its learned constraint {dict(values)} does not fit the space")
        sizes = [_sizes(space, place) for place, exponent in enumerate(exponents) if exponent]
        if any(size is None for size in sizes):
            raise DataError(f"its learned constraint on {quantity} needs parameters of positive numbers")
        return cls(quantity, exponents, values["at_least"] is True, bound, infeasible)


def violations(
    constraints: Sequence[LearnedConstraint], space: DesignSpace, ranks: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return for each design how many constraints it breaks, plus by how much: shape (n,), 0.0 if none."""
    total = np.zeros(len(ranks))
    for constraint in constraints:
        excess = constraint.excess(space, ranks)
        total += np.where(excess > 0.0, 1.0 + excess, 0.0)
    return total


def learn_constraints(
    space: DesignSpace,
    feasible: NDArray[np.integer],
    infeasible: NDArray[np.integer],
    chance: float,
) -> tuple[LearnedConstraint, ...]:
    """Return the limits that a log shows, the one that rejects most first.

    Parameters
    ----------
    space : DesignSpace
    feasible, infeasible : ndarray of shape (n, parameters), integer
        Ranks of designs that keep the constraints of the space. Infeasible designs that would be better than
        all feasible ones show nothing where a log holds poor designs alone, and must be left out.
    chance : float
        Probability that chance alone gives a limit.

    Returns
    -------
    tuple of LearnedConstraint
    """
    if not len(feasible) or not len(infeasible):
        return ()
    stride = -(-len(infeasible) // INFEASIBLE)
    infeasible = infeasible[::stride]
    kinds = [*_metrics(space, feasible, infeasible), *_products(space)]
    rejected, bounds = _rejected(space, kinds, feasible, infeasible)
    share = len(feasible) / (len(feasible) + len(infeasible))
    # Metrics and short products come first, so that of equals the first is the simplest.
    least = max(1.0, math.log(chance / max(1, len(rejected))) / math.log1p(-share))
    left, found = np.ones(len(infeasible), np.bool_), []
    counts = rejected.sum(axis=1)
    while len(rejected):
        place = int(counts.argmax())
        if counts[place] < least:
            break
        kind, upper = divmod(place, 2)
        quantity, exponents = kinds[kind]
        # Well within the tolerance, and 100 rather than 100.00000000000004.
        bound = float(f"{math.exp(bounds[place]):.12g}")
        found.append(LearnedConstraint(quantity, exponents, not upper, bound, int(counts[place]) * stride))
        now = left & rejected[place]
        left &= ~now
        counts -= rejected[:, now].sum(axis=1)
    return tuple(found)


def _rejected(
    space: DesignSpace,
    kinds: Sequence[tuple[str, tuple[int, ...]]],
    feasible: NDArray[np.integer],
    infeasible: NDArray[np.integer],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which infeasible designs lie beyond the lowest and highest feasible value of each quantity."""
    # In chunks: a table of all quantities and designs may be larger than memory.
    blocks = [[kind] for kind in kinds if not kind[1]]
    products = kinds[len(blocks) :]
    blocks += [list(products[start : start + CHUNK]) for start in range(0, len(products), CHUNK)]
    rejected = np.zeros((2 * len(kinds), len(infeasible)), np.bool_)
    bounds = np.zeros(2 * len(kinds))
    start = 0
    for block in blocks:
        rows = range(0, len(feasible), ROWS)
        parts = [_logarithms(space, feasible[row : row + ROWS], block) for row in rows]
        low = np.min([part.min(axis=0) for part in parts], axis=0)
        high = np.max([part.max(axis=0) for part in parts], axis=0)
        bad = _logarithms(space, infeasible, block).T
        places = slice(start, start + 2 * len(block))
        bounds[places] = np.stack([low, high], axis=-1).ravel()
        beyond = np.stack([bad < low[:, None] - TOLERANCE, bad > high[:, None] + TOLERANCE], axis=1)
        rejected[places] = beyond.reshape(2 * len(block), -1)
        start += 2 * len(block)
    return rejected, bounds


def _metrics(space: DesignSpace, *designs: NDArray[np.integer]) -> list[tuple[str, tuple[int, ...]]]:
    """Return the metrics that have a logarithm on all designs."""
    found: list[tuple[str, tuple[int, ...]]] = []
    for name in space.metric_names:
        values = np.concatenate([space.metric(name, _ranks(space, ranks)) for ranks in designs])
        if (np.isfinite(values) & (values > 0.0)).all():
            found.append((name, ()))
    return found


def _products(space: DesignSpace) -> list[tuple[str, tuple[int, ...]]]:
    """Return the products to look at, those of the fewest factors first; one of each and its inverse."""
    usable = [
        place
        for place, cardinality in enumerate(space.cardinalities)
        if cardinality > 1 and _sizes(space, place) is not None
    ]
    found: list[tuple[str, tuple[int, ...]]] = []
    for factors in range(1, min(FACTORS, len(usable)) + 1):
        if len(found) + math.comb(len(usable), factors) * 2 ** (factors - 1) > PRODUCTS:
            break
        for places in itertools.combinations(usable, factors):
            for signs in itertools.product((1, -1), repeat=factors - 1):
                exponents = [0] * len(space.cardinalities)
                for place, sign in zip(places, (1, *signs), strict=True):
                    exponents[place] = sign
                found.append((_name(space, tuple(exponents)), tuple(exponents)))
    return found


def _name(space: DesignSpace, exponents: tuple[int, ...]) -> str:
    above = [name for name, exponent in zip(space.names, exponents, strict=False) if exponent > 0]
    below = [name for name, exponent in zip(space.names, exponents, strict=False) if exponent < 0]
    return " / ".join([" * ".join(above), *below])


def _sizes(space: DesignSpace, place: int) -> NDArray[np.float64] | None:
    """Return the logarithms of a parameter's values; None unless they are positive numbers with an order."""
    values = space.values[place]
    if space.kinds[place] != "ordinal" or any(isinstance(value, str | bool) for value in values):
        return None
    numbers = np.asarray(values, np.float64)
    return np.log(numbers) if (numbers > 0.0).all() else None


def _logarithms(
    space: DesignSpace, ranks: NDArray[np.integer], kinds: Sequence[tuple[str, tuple[int, ...]]]
) -> NDArray[np.float64]:
    """Return the logarithm of one metric, or of several products: shape (n, quantities)."""
    quantity, exponents = kinds[0]
    if not exponents:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(space.metric(quantity, _ranks(space, ranks))))[:, None]
    powers = np.array([exponents for _, exponents in kinds], np.float64).T
    sized = np.zeros(ranks.shape)
    for place in np.flatnonzero(powers.any(axis=1)):
        sizes = _sizes(space, int(place))
        if sizes is not None:
            sized[:, place] = sizes[ranks[:, place]]
    return np.asarray(sized @ powers)


def _ranks(space: DesignSpace, ranks: NDArray[np.integer]) -> Ranks:
    return np.ascontiguousarray(ranks, space.rank_dtype)
