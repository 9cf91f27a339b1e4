"""What the search costs beside a surrogate: its own share of a run, with and without overlap.

The networks have the default and the published shapes and random weights: what a score costs does not depend
on them. Overlap and none take turns; figures are medians over the rounds.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import click
import jax
import polars as pl

import prime_fast as pf
from prime_fast.search import minimize
from prime_fast.surrogate import Surrogate, TrainingSettings
from prime_fast.surrogate.data import Scale
from prime_fast.surrogate.features import Encoder
from prime_fast.surrogate.networks import METRICS, build_ensemble


def untrained(architecture: str, members: int) -> Surrogate:
    """Return a surrogate of PRIME's space with random weights."""
    settings = TrainingSettings.from_dict(
        TrainingSettings().to_dict() | {"architecture": architecture, "members": members}
    )
    space = pf.DesignSpace.bundled("prime")
    keys = jax.random.split(jax.random.key(0), members)
    return Surrogate(
        space=space,
        networks=build_ensemble(Encoder.of(space), 0, METRICS, settings, keys),
        objective=Scale(logarithmic=True, mean=0.0, deviation=1.0),
        metrics={},
        has_gate=True,
        settings=settings,
        seed=0,
        log_sha256="",
        selection={},
    )


@click.command()
@click.option("--evaluations", default=65_536, show_default=True, type=click.IntRange(1))
@click.option("--batch", default=4096, show_default=True, type=click.IntRange(1))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--limit", default=29.0, show_default=True, help="mm2")
@click.option("--out", type=click.Path(path_type=Path), help="CSV of all rounds.")
def main(evaluations: int, batch: int, rounds: int, limit: float, out: Path | None) -> None:
    """Print designs a second and the search's own share of the time."""
    rows = []
    for architecture, members in (("mlp", 8), ("transformer", 1), ("transformer", 4)):
        surrogate = untrained(architecture, members)
        surrogate.search_score(surrogate.space.sample(batch, seed=0))  # compiles
        for seed in range(rounds):
            for overlap in (False, True):
                start = time.perf_counter()
                found = minimize(
                    surrogate.space,
                    surrogate.search_score,
                    limits={"area_mm2": limit},
                    evaluations=evaluations,
                    batch=batch,
                    seed=seed,
                    overlap=overlap,
                )
                seconds = time.perf_counter() - start
                rows.append(
                    {
                        "network": architecture,
                        "members": members,
                        "overlap": overlap,
                        "seed": seed,
                        "evaluations": found.evaluations,
                        "seconds": seconds,
                        "own_share": 1.0 - found.scoring_seconds / seconds,
                    }
                )
    table = pl.DataFrame(rows)
    if out is not None:
        table.write_csv(out)
    click.echo(f"{'network':<13} {'members':>7} {'overlap':>7} {'designs/s':>10} {'own share':>9}")
    for (network, members, overlap), part in table.group_by(
        "network", "members", "overlap", maintain_order=True
    ):
        rate = evaluations / statistics.median(part["seconds"])
        share = statistics.median(part["own_share"])
        click.echo(f"{network:<13} {members:>7} {overlap!s:>7} {rate:>10,.0f} {share:>9.2%}")


if __name__ == "__main__":
    main()
