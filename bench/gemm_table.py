"""Judge proposals against a table that was measured whole, such as GEMM kernels from the Kernel Tuner hub.

    python bench/gemm_table.py prepare --table gemm__RTX_Titan.csv.gz --out log.parquet
    prime-fast optimize --logs log.parquet --space tests/space_files/gemm.toml --objective time_ms --out run
    python bench/gemm_table.py judge --table gemm__RTX_Titan.csv.gz --proposals run/proposals.parquet

The table holds every design that can be built; one that it lacks, or that failed there, is infeasible.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl

import prime_fast as pf
from prime_fast.errors import ConfigurationError, PrimeFastError
from prime_fast.logs import read_log, read_table, write_table

SPACE = Path(__file__).resolve().parents[1] / "tests" / "space_files" / "gemm.toml"
OBJECTIVE = "time_ms"


def measured(table: Path, space: pf.DesignSpace) -> pf.logs.Log:
    """Read a whole table; its column ``status`` says ``ok`` where a design was built and ran."""
    return read_log(table, space, OBJECTIVE, feasible_values={"status": ["ok"]})


def prepare(log: pf.logs.Log, feasible: int, worst: float, seed: int) -> pl.DataFrame:
    """Take a poor training log out of a whole table.

    Parameters
    ----------
    log : Log
        The whole table.
    feasible : int
        Feasible designs to draw, evenly from the slowest share `worst` of the table's.
    worst : float
        That share, in (0, 1].
    seed : int
        The same seed gives the same log.

    Returns
    -------
    polars.DataFrame
        Parameters, objective and ``feasible``, in random order; infeasible designs at the rate of the space.
    """
    space = log.space
    generator = np.random.default_rng(seed)
    good = np.flatnonzero(log.feasible)
    slowest = good[np.argsort(log.values[good], kind="stable")][-round(worst * good.size) :]
    if feasible > slowest.size:
        raise ConfigurationError(
            f"the worst {worst:.0%} of the table are {slowest.size} designs, not {feasible}"
        )
    drawn = generator.choice(slowest, feasible, replace=False)
    absent = np.setdiff1d(np.arange(space.size, dtype=np.uint64), space.indices(log.ranks[good]))
    rate = absent.size / good.size
    infeasible = generator.choice(absent, round(feasible * rate), replace=False)
    ranks = np.concatenate([log.ranks[drawn], space.ranks(infeasible)])
    frame = space.frame(ranks).with_columns(
        pl.Series(OBJECTIVE, np.concatenate([log.values[drawn], np.full(infeasible.size, np.nan)])).fill_nan(
            None
        ),
        pl.Series("feasible", np.arange(len(ranks)) < feasible),
    )
    return frame[generator.permutation(len(ranks))]


def judge(log: pf.logs.Log, proposals: pl.DataFrame, first: int) -> dict[str, Any]:
    """Score the first proposals by a whole table.

    Parameters
    ----------
    log : Log
        The whole table.
    proposals : polars.DataFrame
        The parameters' values, best proposal first.
    first : int
        How many proposals count.

    Returns
    -------
    dict
        ``proposals`` and ``distinct`` (int), ``feasible`` (share of the proposals), ``found`` (best objective
        among them, or None), ``optimum``, and ``score``, the optimum over what was found, 0 if nothing was.
    """
    values = dict(
        zip(
            log.space.indices(log.ranks[log.feasible]).tolist(),
            log.values[log.feasible].tolist(),
            strict=True,
        )
    )
    indices = log.space.indices(log.space.ranks_from_frame(proposals.head(first))).tolist()
    found = [values[index] for index in indices if index in values]
    optimum = min(values.values())
    return {
        "proposals": len(indices),
        "distinct": len(set(indices)),
        "feasible": len(found) / len(indices),
        "found": min(found, default=None),
        "optimum": optimum,
        "score": optimum / min(found) if found else 0.0,
    }


_table = click.option("--table", required=True, type=click.Path(path_type=Path), help="The whole table.")
_space = click.option("--space", type=click.Path(path_type=Path), default=SPACE, help="Its design space.")


@click.group(help=__doc__)
def main() -> None:
    """Group the two commands."""


@main.command("prepare")
@_table
@_space
@click.option("--feasible", type=click.IntRange(min=1), default=1_000, show_default=True)
@click.option("--worst", type=click.FloatRange(0, 1, min_open=True), default=0.6, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path))
def prepare_command(table: Path, space: Path, feasible: int, worst: float, seed: int, out: Path) -> None:
    """Write a poor training log."""
    log = measured(table, pf.DesignSpace.load(space))
    frame = prepare(log, feasible, worst, seed)
    write_table(frame, out)
    best = log.values[log.feasible].min() / frame[OBJECTIVE].drop_nulls().to_numpy().min()
    click.echo(
        f"{feasible} feasible designs, {frame.height - feasible} infeasible; the best scores {best:.3f}"
    )


@main.command("judge")
@_table
@_space
@click.option("--proposals", required=True, type=click.Path(path_type=Path))
@click.option("--first", type=click.IntRange(min=1), multiple=True, default=(1, 16, 128), show_default=True)
def judge_command(table: Path, space: Path, proposals: Path, first: tuple[int, ...]) -> None:
    """Print one JSON line for each number of proposals."""
    log = measured(table, pf.DesignSpace.load(space))
    proposed, _ = read_table(proposals)
    for count in first:
        if count <= proposed.height or count == min(first):
            click.echo(json.dumps(judge(log, proposed, count)))


if __name__ == "__main__":
    try:
        main()
    except PrimeFastError as error:
        sys.exit(f"error: {error}")
