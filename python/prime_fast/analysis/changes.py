"""The neighbours of a design: every other value of each parameter, and of each two parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.analysis.judging import Judge
    from prime_fast.space import DesignSpace, Ranks


@dataclass(frozen=True)
class Changes:
    """What becomes of a design when one or two of its values change.

    Attributes
    ----------
    design : polars.DataFrame
        One row: the design itself, with the columns of `Judge.judge`.
    single : polars.DataFrame
        One row a change: ``parameter``, ``value_from``, ``value`` (as text), the columns of `Judge.judge`,
        and ``predicted_ratio`` and ``simulated_ratio``, the objective over that of the design: below 1 is
        better.
    pairs : polars.DataFrame
        One row for each two changes of different parameters: ``parameter``, ``value``, ``second_parameter``,
        ``second_value``, the same columns, and ``predicted_interaction`` and ``simulated_interaction``: the
        logarithm of the ratio less the sum of those of the two changes alone.
    interactions : polars.DataFrame
        One row for each two parameters, by strength: ``parameter``, ``second_parameter``, ``pairs``,
        ``predicted_interaction`` and ``simulated_interaction``, the root mean square over the pairs of
        values: as predicted where the pair and its parts are predicted feasible, as simulated where they are.
    left_out : int
        Pairs that were too many to be looked at.
    """

    design: pl.DataFrame
    single: pl.DataFrame
    pairs: pl.DataFrame
    interactions: pl.DataFrame
    left_out: int


def changes(judge: Judge, design: Ranks, most_pairs: int) -> Changes:
    """Judge the neighbours of a design.

    Parameters
    ----------
    judge : Judge
    design : ndarray of shape (parameters,), integer
    most_pairs : int
        Where there would be more pairs, the values that are predicted best, of each parameter in turn, are
        combined.
    """
    space = judge.run.space
    parameter, rank = single_changes(space, design)
    alone = np.repeat(design[None], len(parameter), axis=0)
    alone[np.arange(len(parameter)), parameter] = rank
    judged = judge.judge(np.concatenate([design[None], alone]))
    base, single = judged[:1], judged[1:]

    chosen, total = _chosen(parameter, single, most_pairs)
    first, second = np.triu_indices(len(chosen), k=1)
    first, second = chosen[first], chosen[second]
    differ = parameter[first] != parameter[second]
    first, second = first[differ], second[differ]
    together = alone[first]
    together[np.arange(len(first)), parameter[second]] = rank[second]
    pairs = judge.judge(together) if len(first) else single.clear()

    names = pl.Series(space.names, dtype=pl.String)
    texts = pl.Series([_text(space, p, r) for p, r in zip(parameter, rank, strict=True)], dtype=pl.String)
    now = pl.Series([_text(space, p, design[p]) for p in range(space.dimensions)], dtype=pl.String)

    def named(rows: NDArray[np.intp], prefix: str = "") -> dict[str, pl.Series]:
        return {f"{prefix}parameter": names.gather(parameter[rows]), f"{prefix}value": texts.gather(rows)}

    effects = {what: _effects(single, base, what) for what in ("predicted", "simulated") if what in base}
    both = {what: _effects(pairs, base, what) for what in effects}
    beyond = {
        f"{what}_interaction": pl.Series(both[what] - effect[first] - effect[second], nan_to_null=True)
        for what, effect in effects.items()
    }
    every = np.arange(len(parameter))
    single_table = pl.DataFrame(
        {
            **{name: values for name, values in named(every).items() if name == "parameter"},
            "value_from": now.gather(parameter),
            "value": texts,
        }
    ).hstack(single)
    pair_table = pl.DataFrame({**named(first), **named(second, "second_")}).hstack(pairs)
    for what, effect in effects.items():
        ratio = f"{what}_ratio"
        single_table = single_table.with_columns(pl.Series(ratio, np.exp(effect), nan_to_null=True))
        pair_table = pair_table.with_columns(pl.Series(ratio, np.exp(both[what]), nan_to_null=True))
    pair_table = pair_table.with_columns(**beyond)
    allowed = single["feasible_probability"].to_numpy() >= judge.run.surrogate.settings.gate
    likely = allowed[first] & allowed[second]
    likely &= pairs["feasible_probability"].to_numpy() >= judge.run.surrogate.settings.gate
    return Changes(base, single_table, pair_table, _interactions(pair_table, likely), total - len(first))


def single_changes(space: DesignSpace, design: Ranks) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return parameter and new rank of every change of one value: shapes (changes,), int64."""
    parameter = np.repeat(np.arange(space.dimensions), space.cardinalities)
    rank = np.concatenate([np.arange(count) for count in space.cardinalities])
    other = rank != design[parameter]
    return parameter[other], rank[other]


def _chosen(
    parameter: NDArray[np.int64], single: pl.DataFrame, most_pairs: int
) -> tuple[NDArray[np.intp], int]:
    """Return the changes to combine, in their order, and how many pairs all would make."""
    n = len(parameter)
    counts = np.bincount(parameter) if n else np.zeros(0, np.int64)
    total = int(n * (n - 1) // 2 - (counts * (counts - 1) // 2).sum())
    if total <= most_pairs:
        return np.arange(n), total
    # The best of each parameter before the second best of any.
    preference = np.lexsort((single["predicted"].to_numpy(), ~single["allowed"].to_numpy()))
    turn = np.empty(n, np.int64)
    for position in range(len(counts)):
        mine = preference[parameter[preference] == position]
        turn[mine] = np.arange(len(mine))
    place = np.empty(n, np.int64)
    place[preference] = np.arange(n)
    order = np.lexsort((place, turn))
    # A change makes a pair with each one before it of another parameter.
    made = np.cumsum(np.arange(n) - turn[order])
    return np.sort(order[: np.searchsorted(made, most_pairs, side="right")]), total


def _effects(table: pl.DataFrame, base: pl.DataFrame, what: str) -> NDArray[np.float64]:
    """Return the logarithm of the objective over that of the design; NaN where either is unknown."""
    values = table[what].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    own = float("nan") if base[what][0] is None else float(base[what][0])
    return np.asarray(np.log(values) - np.log(own))


def _interactions(pairs: pl.DataFrame, likely: NDArray[np.bool_]) -> pl.DataFrame:
    columns = [name for name in ("predicted_interaction", "simulated_interaction") if name in pairs.columns]
    usable = pl.when(pl.col("likely")).then(pl.col("predicted_interaction"))
    strengths = [
        (usable if name.startswith("predicted") else pl.col(name)).pow(2).mean().sqrt().alias(name)
        for name in columns
    ]
    return (
        pairs.with_columns(likely=likely)
        .group_by("parameter", "second_parameter", maintain_order=True)
        .agg(pl.len().alias("pairs"), *strengths)
        .sort("predicted_interaction", descending=True, nulls_last=True, maintain_order=True)
    )


def _text(space: DesignSpace, parameter: int, rank: int) -> str:
    value = space.values[parameter][rank]
    return str(value).lower() if isinstance(value, bool) else str(value)
