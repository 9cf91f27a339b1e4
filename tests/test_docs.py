"""The page about one's own data runs as it stands, from the first block to the last."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from onnx_graphs import mobilenet_v2

import prime_fast as pf
from tfrecord_writing import write_designs

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "your-own-data.md").read_text(encoding="utf-8")
TABLE = ROOT.parent / "shared" / "data" / "kernel_tuner" / "convolution_milo__A100.csv.gz"


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert found
    return found


def execute(command: list[str], directory: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(  # noqa: S603
        command, cwd=directory, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not TABLE.exists(), reason="the measured tables are not beside this checkout")
def test_from_a_table_to_proposals_and_on(tmp_path: Path) -> None:
    shutil.copy(TABLE, tmp_path)
    hide, measure = blocks("python")
    constraint, mapping = blocks("toml")
    commands = [block for block in blocks("sh") if "workload" not in block and "prime/" not in block]
    infer, inspect_space, inspect_log, optimize, refine = commands
    (tmp_path / "hide.py").write_text(hide)
    (tmp_path / "measure.py").write_text(measure)
    (tmp_path / "mapping.toml").write_text(mapping)
    execute([sys.executable, "hide.py"], tmp_path)
    shell = ["bash", "-euc"]
    execute([*shell, infer], tmp_path)
    with (tmp_path / "space.toml").open("a") as file:
        file.write("\n" + constraint)
    assert "threads" in execute([*shell, inspect_space], tmp_path)
    assert "verdict: enough to learn from" in execute([*shell, inspect_log], tmp_path)
    # The least work that goes the whole way.
    execute([*shell, optimize.replace("--out run", "--out run --budget quick")], tmp_path)
    execute([*shell, refine], tmp_path)

    hidden = pl.read_csv(TABLE)["time_ms"].median()
    assert isinstance(hidden, float)
    answers = pl.read_parquet(tmp_path / "run" / "refine" / "queries.parquet")
    assert answers.height == 24
    best = answers.filter("feasible")["latency_us"].min()
    assert isinstance(best, float)
    assert best < 1e3 * hidden


def test_a_network_of_ones_own(tmp_path: Path) -> None:
    graph, output = mobilenet_v2()
    graph.save(tmp_path / "model.onnx", output)
    (block,) = [block for block in blocks("sh") if "workload import" in block]
    told = execute(["bash", "-euc", block], tmp_path)
    assert "latency" in told
    assert pf.Application.from_toml((tmp_path / "mine.toml").read_text(), "mine.toml").name == "Mine"


def test_the_published_data_set(tmp_path: Path) -> None:
    space = pf.DesignSpace.bundled()
    frame = space.frame(space.sample(500, 0))
    generator = np.random.default_rng(0)
    columns = {alias: frame[name].to_numpy() for name, alias in zip(space.names, space.columns, strict=True)}
    columns |= {
        "runtime": generator.uniform(100.0, 900.0, len(frame)),
        "area": generator.uniform(10.0, 100.0, len(frame)),
        "infeasible": generator.integers(0, 2, len(frame)),
    }
    write_designs(tmp_path / "prime" / "MobilenetV2" / "part.tfrecord", columns)
    (block,) = [block for block in blocks("sh") if "logs convert" in block]
    assert "verdict" in execute(["bash", "-euc", block], tmp_path)
