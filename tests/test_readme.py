"""The README's examples run, and what it states about the project is so."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import prime_fast as pf

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    assert found
    return found


def test_python_examples_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), namespace)  # noqa: S102 (the point of the test)


def test_docstring_example_runs() -> None:
    tried = doctest.testmod(pf)
    assert tried.attempted >= 4
    assert tried.failed == 0


def test_own_log_example_runs(tmp_path: Path) -> None:
    """Run the block on a log whose fastest designs are left out."""
    (block,) = [block for block in blocks("sh") if "space.toml" in block]
    generator = np.random.default_rng(0)
    tile, unroll = generator.choice([8, 16, 32, 64], 300), generator.choice([1, 2, 4, 8], 300)
    order = generator.choice(["ijk", "ikj", "jik"], 300)
    time_ms = 1e3 / (tile * unroll) + 2 * (order == "jik") + 1
    runs = pl.DataFrame({"tile": tile, "unroll": unroll, "order": order, "time_ms": time_ms})
    fits = (pl.col("tile") * pl.col("unroll")) <= 128
    runs = runs.filter((pl.col("time_ms") > 10) | ~fits)
    runs.with_columns(time_ms=pl.when(fits).then("time_ms")).write_csv(tmp_path / "runs.csv")

    binaries = Path(sys.executable).parent
    block = block.replace("prime-fast ", f"{shlex.quote(str(binaries / 'prime-fast'))} ")
    block = block.replace("--objective time_ms\n", "--objective time_ms --budget quick --proposals 4\n", -1)
    block = re.sub(r"(logs inspect.*) --budget quick --proposals 4", r"\1", block)
    done = subprocess.run(["bash", "-euc", block], cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603, S607
    assert done.returncode == 0, done.stderr
    (directory,) = (tmp_path / "prime-fast-runs").iterdir()
    proposals = pl.read_parquet(directory / "proposals.parquet")
    assert proposals.height == 4
    assert (proposals["tile"] * proposals["unroll"] <= 256).all()


def test_commands_and_options_exist() -> None:
    """Every command line shown names options that the command has."""
    import click

    from prime_fast.cli import cli

    context = click.Context(cli)
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("prime-fast ")]
    assert len(lines) >= 4
    for line in lines:
        words = shlex.split(line)[1:]
        command: click.Command | None = cli
        while isinstance(command, click.Group):
            command = command.get_command(context, words.pop(0))
        assert command is not None, line
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_readme_names_both_commands() -> None:
    assert "make optimize" in README
    assert "make test" in README
    assert "@@" not in README
