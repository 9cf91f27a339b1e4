"""NK landscapes with three-way interactions on the cardinalities of PRIME's space, and their optima.

    cd bench && python -m peers.search.landscapes

enumerates all 452,760,000 designs of each and writes peers/search/landscapes.json.

Design x has the score f(x) = sum_i T_i[x_i, x_a(i), x_b(i)] / 10, lower is better, with entries of T_i
uniform in [0, 1) and a(i), b(i) two other parameters. It is feasible where g(x), another such sum of tables
with the same partners, is at most a bound: the 0.24 quantile of g over 1,000,000 random designs.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

CARDINALITIES = (10, 10, 7, 10, 7, 11, 7, 4, 5, 6)
SEEDS = {"1": 1001, "2": 1002}
FEASIBLE_SHARE = 0.24
FILE = Path(__file__).with_name("landscapes.json")
# Leading parameters that are looped over; the grid of the others fits in the processor's cache.
LOOPED = 4


@dataclass(frozen=True)
class Landscape:
    """Tables of the score and of the rule, each over the parameters of `positions` (ascending)."""

    positions: list[tuple[int, int, int]]
    tables: list[NDArray[np.float64]]
    rules: list[NDArray[np.float64]]
    bound: float

    def sum(self, tables: list[NDArray[np.float64]], designs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sum of tables for designs of shape (n, 10), in the order that `optimum` adds in."""
        total = np.zeros(len(designs))
        for positions, table in zip(self.positions, tables, strict=True):
            total += table[tuple(designs[:, position] for position in positions)]
        return total

    def score(self, designs: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return scores and violations (0 or 1), each of shape (n,)."""
        broken = self.sum(self.rules, designs) > self.bound
        return self.sum(self.tables, designs) / len(CARDINALITIES), broken.astype(np.float64)


def landscape(seed: int) -> Landscape:
    """Draw a landscape."""
    generator = np.random.default_rng(seed)
    dimensions = len(CARDINALITIES)
    positions, tables, rules = [], [], []
    for parameter in range(dimensions):
        others = [other for other in range(dimensions) if other != parameter]
        first, second, third = sorted([parameter, *generator.choice(others, 2, replace=False).tolist()])
        shape = CARDINALITIES[first], CARDINALITIES[second], CARDINALITIES[third]
        positions.append((first, second, third))
        tables.append(generator.random(shape))
        rules.append(generator.random(shape))
    drawn = Landscape(positions, tables, rules, 0.0)
    sample = generator.integers(0, CARDINALITIES, (1_000_000, dimensions))
    return Landscape(positions, tables, rules, float(np.quantile(drawn.sum(rules, sample), FEASIBLE_SHARE)))


def optimum(drawn: Landscape) -> dict[str, Any]:
    """Score every design; return the least feasible score, its design, ties and the share feasible."""
    rest = CARDINALITIES[LOOPED:]
    best, design, ties, feasible = np.inf, [0], 0, 0
    score, rule = np.empty(rest), np.empty(rest)
    for prefix in itertools.product(*map(range, CARDINALITIES[:LOOPED])):
        score[...], rule[...] = 0.0, 0.0
        for positions, table, rule_table in zip(drawn.positions, drawn.tables, drawn.rules, strict=True):
            fixed = tuple(prefix[position] for position in positions if position < LOOPED)
            shape = tuple(size if LOOPED + offset in positions else 1 for offset, size in enumerate(rest))
            score += table[fixed].reshape(shape)
            rule += rule_table[fixed].reshape(shape)
        allowed = rule <= drawn.bound
        feasible += int(allowed.sum())
        score[~allowed] = np.inf
        least = float(score.min())
        if least < best:
            best, ties = least, 0
            design = [*prefix, *map(int, np.unravel_index(int(score.argmin()), rest))]
        if least == best:
            ties += int((score == best).sum())
    share = feasible / float(np.prod(CARDINALITIES))
    return {"optimum": best / len(CARDINALITIES), "design": design, "ties": ties, "feasible_share": share}


@click.command(help=__doc__)
def main() -> None:
    """Enumerate and write."""
    found: dict[str, Any] = {"command": "cd bench && python -m peers.search.landscapes"}
    for name, seed in SEEDS.items():
        drawn = landscape(seed)
        entry = {"seed": seed, **optimum(drawn)}
        score, violation = drawn.score(np.array([entry["design"]]))
        assert score[0] == entry["optimum"]
        assert violation[0] == 0.0
        found[name] = entry
        click.echo(f"{name}: {entry}")
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
