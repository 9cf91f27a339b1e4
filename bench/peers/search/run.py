"""Runs of one peer on problems of known optimum, one row a run.

    cd bench && python -m peers.search.run --peer genoxide --problems 'prime/*' --out genoxide.csv

A run asks for no more evaluations than the problem has designs.
"""

from __future__ import annotations

import csv
import importlib
import importlib.metadata
import sys
import time
from pathlib import Path

import click

from peers.search.problems import TABLES, chosen
from peers.search.recording import Recorder

COMMAND = "cd bench && python -m peers.search.run"
COLUMNS = (
    "peer",
    "version",
    "problem",
    "seed",
    "evaluations_asked",
    "evaluations",
    "evaluations_to_optimum",
    "simulated",
    "simulated_to_optimum",
    "best_score",
    "gap",
    "hypervolume_share",
    "final_share",
    "wall_s",
    "scorer_s",
    "own_us",
)
PEERS = ("genoxide", "nevergrad", "prime_fast", "pygmo", "pymoo", "pymoors", "random", "vizier")


@click.command(help=__doc__)
@click.option("--peer", type=click.Choice(PEERS), required=True)
@click.option("--method", default="", help="Of those that the peer's file knows; by default its first.")
@click.option("--problems", multiple=True, default=("*",), show_default=True, help="Names, `*` for any text.")
@click.option("--seeds", default=20, show_default=True, type=click.IntRange(1))
@click.option("--evaluations", default=50_000, show_default=True, type=click.IntRange(1))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
def main(peer: str, method: str, problems: tuple[str, ...], seeds: int, evaluations: int, out: Path) -> None:
    """Run and write."""
    if not TABLES.is_dir():
        click.echo(f"tuner/*: skipped, no tables of Kernel Tuner at {TABLES}", err=True)
    adapter = importlib.import_module(f"peers.search.with_{peer}")
    version = importlib.metadata.version(adapter.DISTRIBUTION)
    name = f"{peer} {method}".strip()
    with out.open("w", newline="", encoding="utf-8") as stream:
        arguments = " ".join(f"'{text}'" if "*" in text or " " in text else text for text in sys.argv[1:])
        stream.write(f"# {COMMAND} {arguments}\n")
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for problem in chosen(problems):
            if problem.objectives not in adapter.OBJECTIVES:
                click.echo(f"{problem.name}: skipped, {peer} is not run with two objectives here", err=True)
                continue
            for seed in range(seeds):
                asked = min(evaluations, problem.size)
                recorder = Recorder(problem, asked)
                start = time.perf_counter(), time.process_time()
                adapter.search(recorder, seed, method)
                wall_s, processor_s = time.perf_counter() - start[0], time.process_time() - start[1]
                counted = recorder.counted()
                own_s = processor_s - recorder.scorer_s if recorder.own_s is None else recorder.own_s
                shares = counted.hypervolume_share, counted.final_share
                row = (
                    name,
                    version,
                    problem.name,
                    seed,
                    asked,
                    counted.evaluations,
                    counted.evaluations_to_optimum,
                    counted.simulated,
                    counted.simulated_to_optimum,
                    f"{counted.best_score:.12g}",
                    f"{counted.gap:.6g}",
                    *("" if share is None else f"{share:.6f}" for share in shares),
                    f"{wall_s:.4f}",
                    f"{recorder.scorer_s:.4f}",
                    f"{1e6 * own_s / counted.evaluations:.4f}",
                )
                writer.writerow("" if value is None else value for value in row)
                stream.flush()
            click.echo(f"{name}: {problem.name} done", err=True)


if __name__ == "__main__":
    main()
