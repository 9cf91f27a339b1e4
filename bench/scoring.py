"""Designs a second of `Simulator.score` from Python: uniform and feasible designs, one thread and more."""

from __future__ import annotations

import time

import click
import numpy as np

import prime_fast as pf
from prime_fast.space import Ranks


def fastest(simulator: pf.Simulator, designs: Ranks, threads: int, seconds: float) -> tuple[float, float]:
    """Return the most designs a second, and a second of processor time, of repeated calls.

    The most, since other processes only ever take time; those hardly touch the processor time.
    """
    wall = processor = float("inf")
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.perf_counter(), time.process_time()
        simulator.score(designs, threads=threads)
        wall = min(wall, time.perf_counter() - before[0])
        processor = min(processor, time.process_time() - before[1])
    return len(designs) / wall, len(designs) / processor


@click.command()
@click.option("--app", "applications", multiple=True, default=("MobileNetV2",), show_default=True)
@click.option("--designs", default=500_000, show_default=True, type=click.IntRange(1))
@click.option("--threads", multiple=True, default=(1, 2), show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=3.0, show_default=True, help="Time for each figure.")
@click.option("--seed", default=0, show_default=True)
def main(
    applications: tuple[str, ...], designs: int, threads: tuple[int, ...], seconds: float, seed: int
) -> None:
    """Print millions of designs a second, and a second of one processor.

    The first batch fills the tables and is timed by itself.
    """
    click.echo(f"{'application':<20} {'designs':<10} {'threads':>7} {'M/s':>7} {'M/CPU s':>8}")
    for application in applications:
        simulator = pf.Simulator(application)
        uniform = simulator.space.sample(designs, seed)
        before = time.perf_counter()
        feasible = uniform[simulator.score(uniform).feasible]
        first = designs / (time.perf_counter() - before) / 1e6
        click.echo(f"{application:<20} {'first':<10} {'all':>7} {first:7.1f}")
        if len(feasible):
            feasible = np.resize(feasible, uniform.shape)
        for name, batch in (("uniform", uniform), ("feasible", feasible)):
            for count in threads:
                wall, processor = fastest(simulator, batch, count, seconds)
                click.echo(
                    f"{application:<20} {name:<10} {count:>7} {wall / 1e6:7.1f} {processor / 1e6:8.1f}"
                )


if __name__ == "__main__":
    main()
