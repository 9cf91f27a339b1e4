"""Kill `prime-fast optimize` at random moments, resume it, and compare bytes with an uninterrupted run.

    python bench/resume_kills.py --out bench/results/resume.md

Every run is a process of its own that gets SIGKILL. Moments are drawn one from each of as many equal parts
of an uninterrupted run as there are kills, its first and its last ones among them; some directories are
killed several times in a row. Networks are small and checkpoints come every 0.2 s, so that many kills fall
between two of them; ``--real`` for what `optimize --budget quick` does. The processes are forked from one
that has imported everything, and share JAX's cache of compiled functions: else 30 kills would import and
compile for an hour.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import click

FILES = (
    "proposals.parquet", "proposals.csv", "surrogate.safetensors", "training.jsonl",
    "log_sample.parquet", "held_out.parquet", "search.parquet",
)  # fmt: skip
TIMES = ("seconds", "out")
"""What of a result differs from run to run."""
CHAINS = (2, 1, 5, 1, 3, 2, 1, 5, 1, 2, 3, 1, 2, 1)
"""Kills in a row on one directory."""
MANIFEST, CHECKPOINT = "manifest.json", "checkpoint.safetensors"
LOG = """
import prime_fast as pf
from prime_fast.logs import generate, write_table
write_table(generate(pf.Simulator("MobileNetV2"), 1500, seed=3), "log.parquet")
"""


class Kill(NamedTuple):
    """One kill: when it was to come, and what it found."""

    directory: int
    seconds: float
    found: str


class Runs:
    """Processes of `prime-fast optimize` on one log."""

    def __init__(self, folder: Path, *, real: bool) -> None:
        self.folder = folder
        # Not here: what starts threads can't be forked.
        subprocess.run([sys.executable, "-c", LOG], cwd=folder, check=True)  # noqa: S603
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compiled")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        from prime_fast import cli
        from prime_fast.cli import optimize, tables  # noqa: F401 (imported on use, else)
        from prime_fast.surrogate import checkpoint, settings

        self.main = cli.main
        if not real:
            changes: Any = {"width": 16, "steps": 150, "selection_steps": 150}
            quick = dataclasses.replace(settings.PRESETS["quick"], **changes)
            vars(settings)["PRESETS"] = {**settings.PRESETS, "quick": quick}
            vars(checkpoint).update(SECONDS=0.2, SHARE=1.0)

    def start(self, directory: Path) -> int:
        """Resume what is in a directory, or begin where a kill came before there was a manifest."""
        where = [
            "--app",
            "MobileNetV2",
            "--logs",
            "log.parquet",
            "--budget",
            "quick",
            "--out",
            directory.name,
        ]
        if (directory / MANIFEST).exists():
            where = ["--resume", directory.name]
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            os.chdir(self.folder)
            self.main(["optimize", "--quiet", *where])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        finally:
            os._exit(code)

    def complete(self, directory: Path) -> float:
        """Let a run come to its end; return the time it took."""
        began = time.perf_counter()
        _, status = os.waitpid(self.start(directory), 0)
        if status:
            raise click.ClickException(f"{directory}: exit status {status}")
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
@click.option("--minutes", type=float, default=60.0, show_default=True, help="Begin no run after this time.")
@click.option("--out", type=click.Path(path_type=Path), help="File for the table; printed if not given.")
def main(seed: int, minutes: float, out: Path | None, *, real: bool) -> None:
    """Kill, resume, compare."""
    began = time.perf_counter()
    generator = random.Random(seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as name:
        runs = Runs(Path(name), real=real)
        # Fills the cache of compiled functions.
        runs.complete(runs.folder / "compiling")
        whole = runs.complete(runs.folder / "whole")
        wanted = outcome(runs.folder / "whole")
        count = sum(CHAINS)
        moments = [whole * (part + generator.random()) / count for part in range(count)]
        generator.shuffle(moments)
        pace = 1.0
        kills: list[Kill] = []
        different: dict[int, list[str]] = {}
        for number, length in enumerate(CHAINS, 1):
            if time.perf_counter() - began > 60.0 * minutes:
                break
            directory = runs.folder / f"run-{number}"
            for _ in range(length):
                moment, killed = moments.pop(), False
                while not killed:
                    seconds = moment * pace
                    process = runs.start(directory)
                    time.sleep(seconds)
                    os.kill(process, signal.SIGKILL)
                    killed = os.WIFSIGNALED(os.waitpid(process, 0)[1])
                    if not killed:
                        # Quicker than thought, as it was begun before or the machine is idle: a new one.
                        shutil.rmtree(directory)
                        pace *= 0.8
                kills.append(Kill(number, seconds, state(directory)))
                click.echo(f"{number}: {seconds:.2f} s: {kills[-1].found}", err=True)
            runs.complete(directory)
            click.echo(f"{number}: complete", err=True)
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
        f"{len(kills)} kills of {kills[-1].directory} runs; an uninterrupted run took {whole:.1f} s.",
        f"Compared: {', '.join(FILES)} and the manifest's result but for times.",
        f"Runs that differ: {len(different)}. The whole took {time.perf_counter() - began:.0f} s.",
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
