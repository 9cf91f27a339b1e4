"""Designs a second of prime-fast and its peers, measured one after the other in one run.

    cd bench && python -m peers.speed

Runs in the peers' environment with prime_fast installed beside them (`pip install .`). Writes
peers/results/speed.csv. MAESTRO's row is the figure that its authors publish for a whole design-space
exploration (Kwon et al., MICRO 2019, arXiv 1805.02566), not a measurement.
"""

from __future__ import annotations

import csv
import logging
import time
from pathlib import Path

import click

import prime_fast as pf
from peers import run_scalesim, run_zigzag
from peers.translation import APPLICATIONS, DESIGNS, RESULTS, read_designs

MAESTRO_DESIGNS_PER_S = 0.17e6
COLUMNS = ("tool", "application", "designs", "seconds", "designs_per_s", "source")
COMMAND = "cd bench && python -m peers.speed"
BATCH = 1_000_000
# Of run_zigzag, by default.
LPF_LIMIT = 5


def ours(application: str) -> tuple[int, float]:
    """Return designs scored and seconds: uniform random ones, one thread, tables filled by a batch before."""
    simulator = pf.Simulator(application)
    simulator.score(simulator.space.sample(BATCH, seed=1), threads=1)
    designs = simulator.space.sample(BATCH, seed=0)
    start = time.perf_counter()
    simulator.score(designs, threads=1)
    return BATCH, time.perf_counter() - start


@click.command(help=__doc__)
@click.option("--app", "file", default="mobilenet_v2", show_default=True)
@click.option("--designs", "count", default=2, show_default=True, help="Designs for each of the peers.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "speed.csv")
def main(file: str, count: int, out: Path) -> None:
    """Measure, print and write."""
    logging.basicConfig(level=logging.ERROR)
    path = APPLICATIONS / f"{file}.toml"
    application = pf.Application.from_toml(path.read_text(encoding="utf-8"), path.name).name
    designs = read_designs(DESIGNS)[:count]
    rows: list[tuple[str, str, int, float, float, str]] = []

    def add(tool: str, scored: int, seconds: float) -> None:
        rows.append((tool, application, scored, seconds, scored / seconds, "measured"))

    add("prime-fast", *ours(application))
    zigzag = [run_zigzag.run(design, path, LPF_LIMIT, 1) for design in designs]
    add(zigzag[0].tool, count, sum(result.wall_s for result in zigzag))
    scalesim = [run_scalesim.run(design, path) for design in designs]
    add(scalesim[0].tool, count, sum(result.wall_s for result in scalesim))
    rows.append(("MAESTRO", "", 0, 0.0, MAESTRO_DESIGNS_PER_S, "published"))
    for tool, *_, rate, source in rows:
        click.echo(
            f"{tool:18} {rate:>16,.3f} designs a second ({source}); prime-fast {rows[0][4] / rate:,.0f}x"
        )
    with out.open("w", newline="", encoding="utf-8") as stream:
        stream.write(f"# {COMMAND}\n")
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(
            [f"{value:.4g}" if isinstance(value, float) else value for value in row] for row in rows
        )


if __name__ == "__main__":
    main()
