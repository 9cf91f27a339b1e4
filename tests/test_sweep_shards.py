"""A sweep in shards is the sweep of the whole space, on a Ray cluster too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_sweep import FEW, cut

import prime_fast as pf
from prime_fast.errors import ConfigurationError
from prime_fast.sweeping import SweepResult, sweep
from prime_fast.sweeping_shards import merge, shards, sweep_on_ray

# A parameter whose values are whole numbers and others, so that shards differ in dtype.
MIXED = """
[[parameter]]
name = "voltage"
values = [1, 1.25, 2, 4]
"""


def told(result: SweepResult) -> dict[str, Any]:
    """All of a result but its time."""
    return {**result.as_dict(), "seconds": 0.0}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"limits": {"area_mm2": 29.0}, "keep": 7},
        {"objective": "energy_delay", "front": ("latency_us", "energy_uj", "area_mm2"), "histograms": ()},
        {"front": (), "limits": {"latency_us": 1.0}},
    ],
)
@pytest.mark.parametrize("extra", ["", MIXED])
def test_shards_make_the_whole(options: dict[str, Any], extra: str) -> None:
    space = cut(FEW, extra)
    parts = shards(space)
    assert len(parts) == (4 if extra else 3)
    assert sum(part.size for part in parts) == space.size
    merged = merge(
        space, [sweep("MobileNetV2", space=part, **options) for part in parts], options.get("keep", 16)
    )
    assert told(merged) == told(sweep("MobileNetV2", space=space, **options))


def test_most_values_make_most_shards() -> None:
    assert len(shards(pf.DesignSpace.bundled())) == 11


def test_without_a_cluster(run: Callable[..., tuple[int, str, str]]) -> None:
    with pytest.raises(ConfigurationError, match=r"Ray"):
        sweep_on_ray("M4", ray="127.0.0.1:1", space=cut(FEW))
    code, out, err = run("sweep", "--app", "M4", "--ray", "127.0.0.1:1")
    assert (code, out) == (2, "")
    assert "Ray" in err


@pytest.mark.filterwarnings("ignore")
def test_a_sweep_on_a_cluster() -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'prime-fast[ray]'")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        counted: list[int] = []
        options: dict[str, Any] = {"space": cut(FEW), "limits": {"area_mm2": 29.0}}
        found = sweep_on_ray(
            "M4", ray=cluster.address, callback=lambda designs, *_: counted.append(designs), **options
        )
        assert told(found) == told(sweep("M4", **options))
        assert counted == sorted(counted)
        assert len(counted) == 3
    finally:
        cluster.shutdown()
