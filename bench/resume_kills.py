"""Kill `prime-fast optimize` at random moments, resume it, and compare bytes with an uninterrupted run.

    python bench/resume_kills.py --out bench/results/resume.md

Every run is a process of its own that gets SIGKILL. Moments are drawn one from each of as many equal parts of
an uninterrupted run as there are kills, the first second and the end among them; some directories are killed
several times in a row. Small networks and checkpoints every 0.2 s, so that many kills fall between two of
them; ``--real`` for what `optimize --budget quick` does. Compiled functions are kept in a cache that JAX
shares between the processes, as 30 kills would otherwise compile for ten minutes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import click

import prime_fast as pf
from prime_fast.logs import generate, write_table
from prime_fast.run_directory import CHECKPOINT, MANIFEST
from prime_fast.surrogate.checkpoint import Checkpoint  # noqa: F401 (JAX is there before times are taken)

FILES = ("proposals.parquet", "proposals.csv", "surrogate.safetensors", "training.jsonl")
TIMES = ("seconds", "out")
"""What of a result differs from run to run."""
CHAINS = (1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 5, 5)
"""Kills in a row on one directory."""
SMALL = """
import dataclasses, sys
from prime_fast.surrogate import checkpoint, settings
quick = dataclasses.replace(settings.PRESETS["quick"], width=16, steps=200, selection_steps=200)
settings.PRESETS = {**settings.PRESETS, "quick": quick}
checkpoint.SECONDS, checkpoint.SHARE = 0.2, 1.0
"""
CALL = "import sys; from prime_fast.cli import script; script()"


class Kill(NamedTuple):
    """One kill: when it was to come, and what it found."""

    directory: int
    seconds: float
    found: str


class Runs:
    """Processes of `prime-fast optimize` on one log."""

    def __init__(self, folder: Path, *, real: bool) -> None:
        self.folder = folder
        self.code = CALL if real else SMALL + CALL
        self.environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        write_table(generate(pf.Simulator("MobileNetV2"), 1500, seed=3), folder / "log.parquet")
        self.begin = ["--app", "MobileNetV2", "--logs", "log.parquet", "--budget", "quick"]

    def start(self, directory: Path) -> subprocess.Popen[str]:
        """Resume what is in a directory, or begin where a kill came before there was a manifest."""
        where = ["--out", directory.name, *self.begin]
        if (directory / MANIFEST).exists():
            where = ["--resume", directory.name]
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", self.code, "optimize", "--quiet", *where],
            cwd=self.folder,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def complete(self, directory: Path) -> float:
        """Let a run come to its end; return the time it took."""
        began = time.perf_counter()
        process = self.start(directory)
        _, errors = process.communicate()
        if process.returncode != 0:
            raise click.ClickException(f"{directory}: exit code {process.returncode}: {errors}")
        return time.perf_counter() - began


def state(directory: Path) -> str:
    """Say what a kill has left behind."""
    if not (directory / MANIFEST).exists():
        return "no manifest"
    manifest = json.loads((directory / MANIFEST).read_text())
    if manifest["status"] == "complete":
        return "complete"
    if (directory / "proposals.parquet").exists():
        return "proposals"
    if (directory / "surrogate.safetensors").exists():
        return "surrogate"
    if not (directory / CHECKPOINT).exists():
        return "logs read" if "logs" in manifest else "inputs"
    content = (directory / CHECKPOINT).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    where = json.loads(header["prime_fast"])["header"]
    return f"{where['phase']}, step {where['step']}"


def outcome(directory: Path) -> dict[str, Any]:
    """Return what must not depend on kills."""
    result = json.loads((directory / MANIFEST).read_text())["result"]
    kept = {name: value for name, value in result.items() if name not in TIMES}
    return {name: (directory / name).read_bytes() for name in FILES} | {"result": kept}


@click.command()
@click.option("--seed", default=0, show_default=True, help="Of the moments.")
@click.option("--real", is_flag=True, help="Networks and checkpoints of `optimize --budget quick`.")
@click.option("--out", type=click.Path(path_type=Path), help="File for the table; printed if not given.")
def main(seed: int, out: Path | None, *, real: bool) -> None:
    """Kill, resume, compare."""
    generator = random.Random(seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as name:
        runs = Runs(Path(name), real=real)
        # The first fills the cache of compiled functions.
        runs.complete(runs.folder / "compiling")
        whole = runs.complete(runs.folder / "whole")
        wanted = outcome(runs.folder / "whole")
        count = sum(CHAINS)
        moments = [whole * (part + generator.random()) / count for part in range(count)]
        generator.shuffle(moments)
        kills: list[Kill] = []
        different: dict[int, list[str]] = {}
        for number, length in enumerate(CHAINS, 1):
            directory = runs.folder / f"run-{number}"
            for _ in range(length):
                seconds = moments.pop()
                process = runs.start(directory)
                time.sleep(seconds)
                process.send_signal(signal.SIGKILL)
                process.communicate()
                ended = "" if process.returncode == -signal.SIGKILL else f" (ended: {process.returncode})"
                kills.append(Kill(number, seconds, state(directory) + ended))
                click.echo(f"{number}: {seconds:.2f} s: {kills[-1].found}", err=True)
            runs.complete(directory)
            if found := [key for key, value in outcome(directory).items() if value != wanted[key]]:
                different[number] = found
    lines = ["| run | kill after, s | found | then |", "| --- | --- | --- | --- |"]
    for place, kill in enumerate(kills):
        then = "the same bytes"
        if kill.directory in different:
            then = "DIFFERENT: " + ", ".join(different[kill.directory])
        if place + 1 < len(kills) and kills[place + 1].directory == kill.directory:
            then = "killed again"
        lines.append(f"| {kill.directory} | {kill.seconds:.2f} | {kill.found} | {then} |")
    lines += [
        "",
        f"{len(kills)} kills of {len(CHAINS)} runs; an uninterrupted run took {whole:.1f} s. Compared: "
        f"{', '.join(FILES)} and the manifest's result but for times.",
        f"Runs that differ: {len(different)}.",
    ]
    text = "\n".join(lines)
    if out is None:
        click.echo(text)
    else:
        out.write_text(
            f"# Runs killed and resumed\n\n`python bench/resume_kills.py --seed {seed}`\n\n{text}\n"
        )
    if different:
        sys.exit(1)


if __name__ == "__main__":
    main()
