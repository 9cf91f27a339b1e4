"""The bundled application files are what their generator writes, and their names are offered."""

import subprocess
import sys
import tomllib
from math import prod
from pathlib import Path
from typing import Any

import pytest

import prime_fast as pf
from applications.generate import Network, mobilenet_v1, resnet50

GENERATOR = Path(__file__).resolve().parents[1] / "bench" / "applications" / "generate.py"


def test_application_files_are_generated() -> None:
    command = [sys.executable, str(GENERATOR), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert (result.returncode, result.stderr) == (0, "")


def counts(network: Network) -> tuple[int, int]:
    """Return weights and multiply-accumulates of a network of convolutions and dense layers."""
    layers: list[dict[str, Any]] = tomllib.loads(network.toml())["layer"]
    weights, macs = 0, 0
    for layer in layers:
        depth, (height, width, channels) = layer["input"][2], layer["output"]
        window = prod(layer.get("kernel", [1, 1]))
        match layer["kind"]:
            case "conv":
                own = window * depth * channels
            case "depthwise":
                own = window * channels
            case "dense":
                own = prod(layer["input"]) * channels
            case _:
                own = 0
        weights += own
        macs += own * height * width
    return weights, macs


# The bundled ResNet-50 is larger; osmr/imgclsmob has 3,877.95 M at this size, activations counted too, and
# 25,557,032 parameters, of which 26,560 channels of batch normalisation have two each and the logits 1000.
def test_resnet50_at_its_papers_size_has_the_published_counts() -> None:
    weights, macs = counts(resnet50(224))
    assert weights == 25_557_032 - 2 * 26_560 - 1000
    assert macs == pytest.approx(3_877.95e6, rel=0.006)
    assert counts(resnet50())[0] == weights


def test_the_generators_counts_are_the_packages() -> None:
    for network in (mobilenet_v1(), resnet50()):
        totals = pf.Application.bundled(network.name).totals
        assert counts(network) == (totals["parameter_bytes"], totals["macs"])


def test_the_papers_nine_come_first() -> None:
    names = pf.application_names()
    assert len(names) == len(set(names)) == 16
    assert pf.prime_application_names() == names[:9]
    assert {name for name in names if pf.Application.bundled(name).is_stand_in} == {"M4", "M5", "M6"}
