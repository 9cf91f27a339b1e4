"""How good are the proposals? One row an application and seed, with the bundled logs at the default budget.

    python bench/evaluate.py --out bench/results/proposals.csv

The yardstick is the proven optimum (`prime_fast.solve`); it plays no part in training, search or the choice
of proposals. Run with nothing else on the machine if the times are to mean anything.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
import polars as pl

import prime_fast as pf
from prime_fast.logs import bundled_log, write_table


def row(
    application: str, seed: int, budget: str, limits: dict[str, float], optimum: float
) -> dict[str, object]:
    """Run the main job once and compare what it proposes with the yardstick."""
    start = time.perf_counter()
    result = pf.optimize(application, limits=limits, budget=budget, seed=seed)  # type: ignore[arg-type]
    seconds = time.perf_counter() - start
    simulated = result.proposals["simulated_latency_us"].fill_null(np.inf).to_numpy()
    log = bundled_log(application, result.space)
    logged = log.best(limits)
    return {
        "application": application,
        "seed": seed,
        "budget": budget,
        "area_mm2": limits["area_mm2"],
        "best_logged_us": logged["latency_us"] if logged else None,
        "first_us": float(simulated[0]),
        "best_of_16_us": float(simulated.min()),
        "optimum_us": optimum,
        "first_ratio": float(simulated[0]) / optimum,
        "best_ratio": float(simulated.min()) / optimum,
        "feasible_share": float(result.proposals["feasible"].mean()),  # type: ignore[arg-type]
        "new_designs": int(
            (
                ~np.isin(
                    result.space.indices(result.space.ranks_from_frame(result.proposals)),
                    result.space.indices(log.ranks),
                )
            ).sum()
        ),
        "seconds": seconds,
        "search_share": result.seconds["search_own"] / result.seconds["search"],
    }


@click.command(help=__doc__)
@click.option("--app", "applications", multiple=True, help="PRIME's nine by default.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--budget", type=click.Choice(["quick", "standard", "thorough"]), default="standard")
@click.option("--area", default=29.0, show_default=True, help="Limit in mm2.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(applications: tuple[str, ...], seeds: int, budget: str, area: float, out: Path) -> None:
    """Run every application and seed; write the rows after each, and print the summary."""
    limits = {"area_mm2": area}
    rows = []
    for application in applications or pf.prime_application_names():
        optimum = pf.solve(application, limits=limits).score
        for seed in range(seeds):
            rows.append(row(application, seed, budget, limits, optimum))
            click.echo(
                "  ".join(
                    f"{value:.4g}" if isinstance(value, float) else str(value) for value in rows[-1].values()
                )
            )
            write_table(pl.DataFrame(rows), out)
    table = pl.DataFrame(rows)
    ratios = ("first_ratio", "best_ratio")
    by_application = table.group_by("application", maintain_order=True).agg(
        pl.col("best_logged_us", "optimum_us").first(),
        pl.col("best_of_16_us").median(),
        *(pl.col(name).median().alias(f"{name}_median") for name in ratios),
        *(pl.col(name).max().alias(f"{name}_worst") for name in ratios),
        pl.col("feasible_share").mean(),
        pl.col("seconds").median(),
    )
    with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=200, float_precision=3):
        click.echo(by_application)
    for name in ratios:
        means = table.group_by("seed").agg(pl.col(name).log().mean().exp()).sort("seed")[name].to_list()
        click.echo(
            f"{name}, geometric mean over applications, by seed: {', '.join(f'{mean:.4f}' for mean in means)}"
        )
    click.echo(f"feasible: {np.mean(table['feasible_share'].to_numpy()):.3f}")


if __name__ == "__main__":
    main()
