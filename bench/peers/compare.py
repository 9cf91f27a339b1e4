"""Rank the same designs with prime-fast and with its peers: Kendall's tau of latency and energy.

    cd bench && python -m peers.compare

Reads the peers' tables, scores their designs with prime_fast and writes peers/results/agreement.csv. Runs in
the environment of prime_fast, which has SciPy, without the peers. The peers stream all weights in every
inference, so prime_fast is told to as well.
"""

from __future__ import annotations

import csv
import re
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import polars as pl
from scipy.stats import kendalltau

import prime_fast as pf
from peers.translation import APPLICATIONS, DESIGNS, RESULTS, Design, read_designs, read_results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

TECHNOLOGY = APPLICATIONS.parent / "technology.toml"
OURS = "prime-fast"
# No weights kept on chip, and no window that our check of feasibility wants free to stream them through: the
# peers do with whatever memory there is. The window bears on that check alone, once nothing is kept. Nor do
# their energies count leakage.
AS_PEERS = {"parameter_caching": "false", "prefetch_mib": "0.0", "sram_leakage_mw_per_mib": "0.0"}
BATCH = 100_000
METRICS = ("latency_us", "energy_uj")
COLUMNS = ("application", "metric", "first", "second", "designs", "tau", "p_value")
COMMAND = "cd bench && python -m peers.compare"


def as_peers(technology: str) -> str:
    """Return the technology constants with what the peers leave out left out."""
    for name, value in AS_PEERS.items():
        technology, found = re.subn(rf"^{name}\s*=.*$", f"{name} = {value}", technology, flags=re.MULTILINE)
        if found != 1:
            raise click.ClickException(f"{TECHNOLOGY.name} has no constant {name}")
    return technology


def score_ours(
    application: Path, designs: Sequence[Design], caching: bool
) -> tuple[str, dict[str, NDArray[np.float64]], float]:
    """Score designs with prime_fast.

    Returns
    -------
    str
        Name of the application.
    dict
        For each metric an ndarray of shape (n_designs,), NaN where infeasible.
    float
        Seconds a design in a batch of random feasible ones on one thread.
    """
    network = pf.Application.from_toml(application.read_text(encoding="utf-8"), application.name)
    if caching:
        simulator = pf.Simulator(network)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "technology.toml"
            path.write_text(as_peers(TECHNOLOGY.read_text(encoding="utf-8")), encoding="utf-8")
            simulator = pf.Simulator(network, technology=path)
    frame = pl.DataFrame(
        {name: [getattr(design, name) for design in designs] for name in simulator.space.names}
    )
    scores = simulator.score(frame)
    for design, reason in zip(designs, scores.reasons(), strict=True):
        if reason is not None:
            click.echo(f"{network.name}, design {design.design}: left out, {OURS} rejects it ({reason})")
    batch = simulator.space.sample(BATCH, seed=0)
    batch = batch[simulator.score(batch).feasible]
    start = time.perf_counter()
    simulator.score(batch, threads=1)
    seconds = (time.perf_counter() - start) / len(batch)
    return network.name, {metric: getattr(scores, metric) for metric in METRICS}, seconds


def agreement(
    application: str, tools: Mapping[str, Mapping[str, NDArray[np.float64]]]
) -> list[dict[str, str | int | float]]:
    """Return tau-b of every pair of tools, over the designs that both could score."""
    rows: list[dict[str, str | int | float]] = []
    for metric in METRICS:
        for first, second in combinations(tools, 2):
            one, other = tools[first][metric], tools[second][metric]
            both = np.isfinite(one) & np.isfinite(other)
            tau, p_value = kendalltau(one[both], other[both])
            rows.append(
                dict(
                    zip(
                        COLUMNS,
                        (application, metric, first, second, int(both.sum()), float(tau), float(p_value)),
                        strict=True,
                    )
                )
            )
    return rows


@click.command(help=__doc__)
@click.option(
    "--app", "applications", multiple=True, default=("mobilenet_v2", "resnet_18"), show_default=True
)
@click.option("--designs", "designs_file", type=click.Path(path_type=Path, exists=True), default=DESIGNS)
@click.option(
    "--peer",
    "peers",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    default=(RESULTS / "zigzag.csv", RESULTS / "scalesim.csv"),
    help="Tables of the peers' results, named as the peers.",
)
@click.option("--caching", is_flag=True, help="Let prime_fast keep weights on chip across inferences.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "agreement.csv")
def main(
    applications: tuple[str, ...], designs_file: Path, peers: tuple[Path, ...], caching: bool, out: Path
) -> None:
    """Compare, print and write."""
    designs = read_designs(designs_file)
    tables = {peer.stem: read_results(peer) for peer in peers}
    rows = []
    for file in applications:
        application, ours, seconds = score_ours(APPLICATIONS / f"{file}.toml", designs, caching)
        tools: dict[str, dict[str, NDArray[np.float64]]] = {OURS: ours}
        speeds = [f"{OURS} {seconds:.2g} (one thread)"]
        for peer, table in tables.items():
            by_design = {row.design: row for row in table if row.application == application}
            tools[peer] = {
                metric: np.array(
                    [
                        getattr(by_design[design.design], metric) if design.design in by_design else np.nan
                        for design in designs
                    ]
                )
                for metric in METRICS
            }
            speeds.append(f"{peer} {np.mean([row.wall_s for row in by_design.values()]):.2g}")
        click.echo(f"{application}, seconds a design: {', '.join(speeds)}")
        for row in agreement(application, tools):
            rows.append(row)
            click.echo(
                f"  {row['metric']:10}  {row['first']:>10} / {row['second']:10}  tau {row['tau']:6.3f}"
            )
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as stream:
        stream.write(f"# {COMMAND}{' --caching' if caching else ''}\n")
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(
            [f"{value:.4g}" if isinstance(value, float) else value for value in row.values()] for row in rows
        )


if __name__ == "__main__":
    main()
