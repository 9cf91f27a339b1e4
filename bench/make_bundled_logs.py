"""Make the logs that come with the package: ``python bench/make_bundled_logs.py``.

A log holds uniformly drawn designs of one application: infeasible ones at random, and feasible ones that are
all at least 2.05 times as slow as the best design within 29 mm2, whatever their own area. Run it again
whenever the simulator's figures change.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import polars as pl

import prime_fast as pf
from prime_fast.logs import atomic_file, generate
from prime_fast.logs.bundled import bundled_file

LOGS = Path(__file__).resolve().parents[1] / "python" / "prime_fast" / "data" / "logs"
AREA_MM2 = 29.0
SLOWER = 2.05
DRAWS = 200_000


def bundled_frame(simulator: pf.Simulator, fastest: float, rows: int, seed: int) -> pl.DataFrame:
    """Draw up to `rows` feasible designs of latency `fastest` or more, and up to `rows` infeasible ones.

    The rows stand in the order of the designs' indices, which makes the file a fifth smaller.
    """
    drawn = generate(simulator, DRAWS, seed).unique(simulator.space.names, maintain_order=True)
    slow = drawn.filter(pl.col("latency_us") >= fastest).head(rows)
    infeasible = drawn.filter(~pl.col("feasible")).head(rows)
    frame = pl.concat([slow, infeasible]).drop("area_mm2")
    frame = frame[np.argsort(simulator.space.indices(simulator.space.ranks_from_frame(frame)))]
    return frame.with_columns(
        pl.col(simulator.space.names).cast(pl.Int32),
        pl.col("latency_us", "energy_uj", "average_power_mw", "peak_power_mw").cast(pl.Float32),
    )


@click.command(help=__doc__)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=LOGS, show_default=False)
@click.option("--rows", type=click.IntRange(min=1), default=5_000, show_default=True, help="Of each kind.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def main(out: Path, rows: int, seed: int) -> None:
    """Write one log for each application of the PRIME paper into `out` and say what each holds."""
    out.mkdir(parents=True, exist_ok=True)
    total = 0
    for number, application in enumerate(pf.prime_application_names()):
        simulator = pf.Simulator(application)
        best = pf.solve(application, limits={"area_mm2": AREA_MM2}).score
        frame = bundled_frame(simulator, SLOWER * best, rows, seed + number)
        path = out / bundled_file(application)
        with atomic_file(path) as file:
            frame.write_parquet(file, compression="zstd", compression_level=19, statistics=False)
        total += path.stat().st_size
        log = pf.logs.read_log(path, simulator.space)
        logged = log.best({"area_mm2": AREA_MM2})
        within = f"{logged['latency_us'] / best:.3f}x" if logged else "none"
        click.echo(
            f"{application:17} best {best:9.3f} us, best logged {within} within {AREA_MM2:g} mm2,"
            f" {log.feasible.sum()} of {len(log)} feasible, {path.stat().st_size:,} bytes"
        )
    click.echo(f"{total:,} bytes in all")


if __name__ == "__main__":
    main()
