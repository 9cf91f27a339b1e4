"""Published designs: what they hold, how they are simulated and read, and their use as references."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import prime_fast as pf

V1 = pf.reference_design("edge-tpu-v1")
TEXT = """
name = "mine"
[values]
pes_x = 4
"""


def test_every_bundled_design_runs_something() -> None:
    names = pf.reference_design_names()
    assert {"edge-tpu-v1", "edge-tpu-v2", "edge-tpu-v3", "coral", "prime-nine-apps"} < set(names)
    for name in names:
        design = pf.reference_design(name.upper())
        assert (design.name, bool(design.title), bool(design.source)) == (name, True, True)
        assert design.score("M6").feasible.all()
        assert design.area_mm2() == pytest.approx(float(design.score("U-Net").area_mm2[0]))


@pytest.mark.parametrize(
    ("name", "tera_operations"),
    [("edge-tpu-v1", 26.2), ("edge-tpu-v2", 8.73), ("edge-tpu-v3", 8.73), ("coral", 4.1)],
)
def test_peak_throughput_is_the_published_one(name: str, tera_operations: float) -> None:
    design = pf.reference_design(name)
    space = design.simulator("M6").space
    macs = float(space.metric("macs_per_cycle", space.designs([design.values]))[0])
    clock = float(design.technology.get("clock_mhz", 800.0))
    assert 2 * macs * clock * 1e-6 == pytest.approx(tera_operations, rel=0.01)


@pytest.mark.parametrize(
    ("name", "area"), [("edge-tpu-v1", 28.1), ("prime-nine-apps", 46.78), ("evolutionary-nine-apps", 92.05)]
)
def test_area_is_the_published_one(name: str, area: float) -> None:
    assert pf.reference_design(name).area_mm2() == pytest.approx(area, rel=1e-3)


def test_a_design_of_the_space_scores_as_in_the_space() -> None:
    design = pf.reference_design("prime-nine-apps")
    for application in ("U-Net", "t-RNN Enc"):
        simulator = pf.Simulator(application)
        expected = simulator.score(simulator.space.designs([design.values]))
        found = design.score(application)
        assert found.latency_us == expected.latency_us
        assert found.energy_uj == expected.energy_uj


def test_values_beyond_the_space_and_overridden_constants_count() -> None:
    assert V1.values["dram_bandwidth"] == 17
    streaming = float(V1.score("t-RNN Enc").latency_us[0])
    slower = float(V1.with_values(dram_bandwidth=16).score("t-RNN Enc").latency_us[0])
    # All of its 22.7 MB are streamed.
    assert slower - streaming == pytest.approx(22_675_456 / 0.91e3 * (1 / 16 - 1 / 17), rel=0.01)
    assert float(V1.with_values(parameter_caching=True).score("t-RNN Enc").latency_us[0]) < 0.8 * streaming
    v3 = pf.reference_design("edge-tpu-v3")
    at_800 = pf.ReferenceDesign(v3.name, v3.title, v3.source, v3.values, {})
    ratio = float((at_800.score("M5").latency_us / v3.score("M5").latency_us)[0])
    assert 1 < ratio <= 1066 / 800


def test_some_constants_of_the_technology_can_be_overridden() -> None:
    simulator = pf.Simulator("M4")
    ranks = simulator.space.sample(300, seed=1)
    expected = simulator.score(ranks).latency_us
    np.testing.assert_array_equal(pf.Simulator("M4", technology={}).score(ranks).latency_us, expected)
    slower = pf.Simulator("M4", technology={"invocation_us": 150, "unrolled_kernels": True}).score(ranks)
    np.testing.assert_allclose(slower.latency_us, expected + 36)
    for constants, told in (
        ({"clock_ghz": 1.0}, "unknown field `clock_ghz`"),
        ({"clock_mhz": -1.0}, "clock_mhz is -1; it must be a finite number above 0"),
        ({"clock_mhz": float("nan")}, "clock_mhz is NaN"),
        ({"mac_ways": 2.5}, "expected u64"),
    ):
        with pytest.raises(pf.ConfigurationError, match=told):
            pf.Simulator("M4", technology=constants)


def test_a_design_of_your_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    values = "\n".join(f"{name} = {str(value).lower()}" for name, value in V1.values.items())
    path.write_text(f'name = "mine"\n[values]\n{values}\n[technology]\nclock_mhz = 800\n')
    for where in (path, str(path)):
        design = pf.reference_design(where)
        assert (design.title, design.technology) == ("mine", {"clock_mhz": 800})
        assert design.score("M4").latency_us == V1.score("M4").latency_us
    path.write_text("values = 3")
    with pytest.raises(pf.ConfigurationError, match=r"mine\.toml: `name` is missing; expected a text"):
        pf.reference_design(path)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("name", "nam", "unknown field `nam`; known: name, title"),
        ('"mine"', "3", "`name` is 3; expected a text"),
        ("[values]", "[technology]", "`values` is missing; expected a table"),
        ("= 4", "= [4]", r"`values.pes_x` is \[4\]; expected one number"),
        ("= 4", "= ", "Invalid value"),
        ("pes_x = 4", "parameter_caching = 1", "`values.parameter_caching` is 1; expected true or false"),
    ],
)
def test_files_that_are_no_designs(old: str, new: str, told: str) -> None:
    with pytest.raises(pf.ConfigurationError, match="mine.toml: .*" + told):
        pf.ReferenceDesign.from_toml(TEXT.replace(old, new), "mine.toml")


def test_designs_that_do_not_fit_the_space() -> None:
    partial = pf.ReferenceDesign.from_toml(TEXT)
    for design, told in (
        (partial, "design `mine`: no value for pes_y, cores"),
        (V1.with_values(pes_z=3), "design `edge-tpu-v1`: .*pes_z"),
        (V1.with_values(cores=2.5), "design `edge-tpu-v1`: .*2.5"),
        (V1.with_values(cores="many"), "design `edge-tpu-v1`: .*cores"),
    ):
        with pytest.raises(pf.ConfigurationError, match=told):
            design.score("M4")


def test_names_that_no_design_has(tmp_path: Path) -> None:
    with pytest.raises(pf.ConfigurationError, match=r"'edge-tpu-v9' \(did you mean edge-tpu-v3"):
        pf.reference_design("edge-tpu-v9")
    with pytest.raises(pf.ConfigurationError, match="no such file; expected a design in TOML"):
        pf.reference_design(tmp_path / "none.toml")
