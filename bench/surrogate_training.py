"""What training costs: steps a second, the adversarial search's share, and the share of the processor used.

The default networks learn the bundled log of one application. A step without adversarial designs is compared
with one of a push on them, whose search makes a generation every 20 steps. Floating-point operations are
those of the matrix products (a multiplication and an addition a weight and design, three times as many with
the gradient's); the processor's pace is that of products of 512 by 512 matrices in JAX, in the same run.
"""

from __future__ import annotations

import dataclasses
import statistics
import time

import click
import jax
import numpy as np

import prime_fast as pf
from prime_fast.logs import bundled_log
from prime_fast.surrogate import Surrogate, TrainingData, TrainingSettings, train


def pace(seconds: float = 2.0) -> float:
    """Return floating-point operations a second of large matrix products."""
    matrices = jax.random.normal(jax.random.key(0), (8, 512, 512))
    product = jax.jit(lambda a: a @ a)
    product(matrices).block_until_ready()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        product(matrices).block_until_ready()
        count += 1
    return count * 8 * 2 * 512**3 / (time.perf_counter() - start)


def weights(surrogate: Surrogate) -> tuple[int, int]:
    """Return the weights of a member's main network and of its network for feasibility."""
    sizes = {}
    for name, part in (
        ("main", [surrogate.networks.first, surrogate.networks.rest]),
        ("feasibility", surrogate.networks.feasibility),
    ):
        leaves = [leaf for leaf in jax.tree_util.tree_leaves(part) if getattr(leaf, "ndim", 0) == 3]
        sizes[name] = sum(int(np.prod(leaf.shape[1:])) for leaf in leaves)
    return sizes["main"], sizes["feasibility"]


def steps_a_second(data: TrainingData, settings: TrainingSettings, limit: float) -> tuple[float, Surrogate]:
    """Return the pace of the fit without what precedes it, after a first run that compiles.

    It is counted from the end of the first compiled call, which is of one step, to that of the last one.
    """
    calls: list[tuple[int, float]] = []

    def train_once() -> Surrogate:
        calls.clear()
        return train(
            data,
            settings,
            0,
            limits={"area_mm2": limit},
            progress=lambda done, _: calls.append((done, time.perf_counter())),
        )

    train_once()
    surrogate = train_once()
    (first, start), (last, end) = calls[0], next(call for call in calls if call[0] == settings.steps)
    return (last - first) / (end - start), surrogate


@click.command()
@click.option("--app", default="MobileNetV2", show_default=True)
@click.option("--steps", default=300, show_default=True, type=click.IntRange(2))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--limit", default=29.0, show_default=True, help="mm2")
def main(app: str, steps: int, rounds: int, limit: float) -> None:
    """Print the pace of training and of scoring; medians over the rounds, in which all take turns."""
    space = pf.DesignSpace.bundled("prime")
    log = bundled_log(app, space, "latency_us")
    data = TrainingData(space, log.ranks, log.values, log.feasible)
    # No selection, of limits neither: the fit alone, with the push that is given.
    plain = dataclasses.replace(
        TrainingSettings(), steps=steps, alphas=(0.0,), betas=(0.0,), checkpoints=1, constraint_chance=None
    )
    kinds = {
        "no push": plain,
        "push on infeasible designs": dataclasses.replace(plain, betas=(0.001,)),
        "push on adversarial designs too": dataclasses.replace(plain, alphas=(0.001,), betas=(0.001,)),
        "the same without their search": dataclasses.replace(
            plain, alphas=(0.001,), betas=(0.001,), adversarial_period=steps
        ),
    }
    found: dict[str, list[float]] = {name: [] for name in [*kinds, "scoring", "pace"]}
    designs = space.sample(65_536, 0)
    for _ in range(rounds):
        for name, settings in kinds.items():
            rate, surrogate = steps_a_second(data, settings, limit)
            found[name].append(rate)
        surrogate.search_score(designs[:4096])
        start = time.perf_counter()
        for first in range(0, len(designs), 4096):
            surrogate.search_score(designs[first : first + 4096])
        found["scoring"].append(len(designs) / (time.perf_counter() - start))
        found["pace"].append(pace())
    middle = {name: statistics.median(values) for name, values in found.items()}
    main_weights, gate_weights = weights(surrogate)
    settings, members = plain, plain.members
    forward = 2 * members * (main_weights + gate_weights)
    # Infeasible designs pass through the main network without a gradient.
    plain_step = settings.batch * members * 2 * (3 * main_weights + main_weights + 6 * gate_weights)
    click.echo(f"products of 512 x 512 matrices: {middle['pace'] / 1e9:.0f} GFLOP/s")
    for name in kinds:
        click.echo(f"{name}: {middle[name]:.0f} steps/s ({1e3 / middle[name]:.1f} ms)")
    share = middle["no push"] * plain_step / middle["pace"]
    click.echo(f"share of that pace, no push: {share:.0%}")
    searched, still = (
        1 / middle[name] for name in ("push on adversarial designs too", "the same without their search")
    )
    click.echo(f"adversarial search: {1 - still / searched:.0%} of its step")
    infeasible = 1 / middle["push on infeasible designs"]
    click.echo(f"adversarial designs, search and gradient: {1 - infeasible / searched:.0%} of its step")
    share = middle["scoring"] * forward / middle["pace"]
    click.echo(f"scoring: {middle['scoring']:,.0f} designs/s, {share:.0%} of that pace")


if __name__ == "__main__":
    main()
