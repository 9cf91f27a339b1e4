"""The simulator against a plain NumPy reference of its equations, its invariants, every kind of bad input."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import reference_simulator as reference
from hypothesis import given, settings
from hypothesis import strategies as st

import prime_fast as pf

APPLICATIONS = pf.application_names()
SIMULATORS = {name: pf.Simulator(name) for name in APPLICATIONS}
PRIME = pf.DesignSpace.bundled("prime")
TECHNOLOGY = (reference.DATA / "technology.toml").read_text()
# Every constant that a technology file must give.
CONSTANTS = re.findall(r"^(\w+) = ", TECHNOLOGY, re.MULTILINE)

CHECKS = ["pe_memory", "core_memory", "instruction_memory"]

V1 = {
    "pes_x": 4,
    "pes_y": 4,
    "cores": 64,
    "compute_lanes": 4,
    "pe_memory": 2097152,
    "core_memory": 32768,
    "activation_memory": 1024,
    "instruction_memory": 16384,
    "parameter_memory": 16384,
    "dram_bandwidth": 16,
}


def error_of(
    call: Callable[..., Any],
    *arguments: object,
    kind: type[pf.PrimeFastError] = pf.ConfigurationError,
    **options: object,
) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    return str(caught.value)


def designs(*changes: dict[str, int]) -> pl.DataFrame:
    """Return the Edge TPU V1 with each of these changes."""
    return pl.DataFrame([V1 | change for change in changes])


def equal(a: pf.Scores, b: pf.Scores) -> None:
    """Check that two results are the same to the last bit."""
    for field in ("latency_us", "area_mm2", "energy_uj", "peak_power_mw", "feasible", "reason"):
        assert getattr(a, field).tobytes() == getattr(b, field).tobytes(), field
    assert a.reasons() == b.reasons()


# --- parity -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("application", APPLICATIONS)
def test_results_are_the_references(application: str) -> None:
    ranks = PRIME.sample(4000, seed=APPLICATIONS.index(application))
    values = {name: column.to_numpy() for name, column in PRIME.frame(ranks).to_dict().items()}
    scores = SIMULATORS[application].score(ranks)
    expected = reference.simulate(application, values)

    area = PRIME.metric("area_mm2", ranks)
    np.testing.assert_array_equal(scores.area_mm2, area)
    failed = [area > 112, *(expected[check] for check in CHECKS)]
    reasons = np.select(failed, ["die_area", *CHECKS], default="")
    assert [reason or "" for reason in scores.reasons()] == reasons.tolist()
    np.testing.assert_array_equal(scores.feasible, reasons == "")

    feasible = scores.feasible
    assert feasible.sum() > 300
    np.testing.assert_allclose(scores.latency_us[feasible], expected["latency_us"][feasible], rtol=1e-9)
    np.testing.assert_allclose(scores.energy_uj[feasible], expected["energy_uj"][feasible], rtol=1e-9)
    assert np.isnan(scores.latency_us[~feasible]).all()
    assert np.isnan(scores.energy_uj[~feasible]).all()
    np.testing.assert_allclose(scores.peak_power_mw, expected["peak_power_mw"], rtol=1e-9)
    average = expected["energy_uj"] / expected["latency_us"] * 1e3
    np.testing.assert_allclose(scores.average_power_mw[feasible], average[feasible], rtol=1e-9)
    # Designs hold all, some or hardly any weights of a network that exceeds the prefetch window.
    streamed = expected["streamed"][feasible]
    assert (streamed == 0).any() or application in ("ResNet-50", "VGG16")
    if application in ("t-RNN Dec", "t-RNN Enc", "ResNet-18"):
        assert ((streamed > 0.05) & (streamed < 0.95)).any()
        assert (streamed > 0.6).any()


@pytest.mark.parametrize("application", APPLICATIONS)
def test_explain_gives_check_layer_needed_and_available(application: str) -> None:
    simulator = SIMULATORS[application]
    ranks = PRIME.sample(1000, seed=3)
    scores, explained = simulator.score(ranks), simulator.explain(ranks)
    frame = PRIME.frame(ranks)
    values = {name: column.to_numpy() for name, column in frame.to_dict().items()}
    expected = reference.simulate(application, values)
    (set_layer, set_bytes), (window_layer, window) = expected["activations_need"], expected["largest_window"]
    weights = expected["weights_need"]
    for row, (reason, text) in enumerate(zip(scores.reasons(), explained, strict=True)):
        design = {name: int(column[row]) for name, column in values.items()}
        match reason:
            case None:
                assert text is None
            case "die_area":
                assert text == "die_area: breaks area_mm2 <= 112"
            case "pe_memory":
                available = design["pes_x"] * design["pes_y"] * design["pe_memory"]
                need = f"the activations of layer {set_layer} and the weights kept need {set_bytes:.0f} bytes"
                if weights > set_bytes:
                    need = f"the weights need {weights:.0f} bytes, of which they may take 50 percent"
                assert text == f"pe_memory: {need}; all PE memories have {available}"
            case "instruction_memory":
                assert text is not None
                assert text.startswith("instruction_memory: the program, most of it for layer ")
                assert text.endswith(
                    f", needs {expected['instructions'][row]:.0f} instructions; "
                    f"the memory has {design['instruction_memory']}"
                )
            case _:
                assert text == (
                    f"core_memory: the least weight tile of layer {window_layer} needs "
                    f"{2 * design['cores'] * window} bytes; a lane has {design['core_memory']}"
                )
    assert {*CHECKS} & {*scores.reasons()}


# --- invariants -------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    application=st.sampled_from(APPLICATIONS),
    parameter=st.sampled_from(
        ["dram_bandwidth", "pe_memory", "activation_memory", "instruction_memory", "parameter_memory"]
    ),
    seed=st.integers(0, 1000),
)
def test_more_bandwidth_and_more_memory_are_never_slower(application: str, parameter: str, seed: int) -> None:
    position = PRIME.names.index(parameter)
    cardinality = PRIME.cardinalities[position]
    ranks = np.repeat(PRIME.sample(50, seed), cardinality, axis=0)
    ranks[:, position] = np.tile(np.arange(cardinality), 50)
    scores = SIMULATORS[application].score(ranks)
    latency = scores.latency_us.reshape(50, cardinality)
    both = scores.feasible.reshape(50, cardinality)
    slower = both[:, 1:] & both[:, :-1] & (latency[:, 1:] > latency[:, :-1] * (1 + 1e-12))
    assert not slower.any()
    # More of it costs no feasibility but by the area.
    lost = scores.reason.reshape(50, cardinality)[:, 1:][both[:, :-1] & ~both[:, 1:]]
    assert {scores.reason_names[code - 1] for code in lost} <= {"die_area"}


@pytest.mark.parametrize("application", APPLICATIONS)
def test_latency_is_at_least_the_fixed_costs_and_the_macs(application: str) -> None:
    ranks = PRIME.sample(4000, seed=5)
    scores = SIMULATORS[application].score(ranks)
    layers = len(reference.load(application)[0])
    macs = SIMULATORS[application].application.totals["macs"]
    fastest = macs / (PRIME.metric("macs_per_cycle", ranks) * 800)
    assert (scores.latency_us >= 114 + 0.05 * layers + fastest)[scores.feasible].all()


@pytest.mark.parametrize("application", ["t-RNN Enc", "t-RNN Dec"])
def test_weights_kept_on_chip_make_the_recurrent_networks_faster(application: str) -> None:
    simulator = SIMULATORS[application]
    weights = simulator.application.totals["parameter_bytes"]
    small, large = designs(
        {"pe_memory": 2097152, "dram_bandwidth": 5}, {"pe_memory": 4194304, "dram_bandwidth": 5}
    ).iter_rows(named=True)
    assert 8 * small["pe_memory"] < weights < 8 * large["pe_memory"]
    held = simulator.score(pl.DataFrame([small, large])).latency_us
    assert held[0] > 3 * held[1]


def test_a_design_without_parameter_caching_streams_all_weights() -> None:
    text = PRIME.to_toml() + '\n[[constraint]]\nname = "any"\nexpression = "true"\n'
    own = '[[parameter]]\nname = "parameter_caching"\nvalues = [false, true]\n\n[[parameter]]\nname = "pes_x"'
    space = pf.DesignSpace.from_toml(text.replace('[[parameter]]\nname = "pes_x"', own))
    frame = pl.concat([PRIME.frame(PRIME.sample(2000, seed=1))] * 2).with_columns(
        parameter_caching=pl.Series([False] * 2000 + [True] * 2000)
    )
    for application in ("MobileNetV2", "t-RNN Enc"):
        scores = pf.Simulator(application, space).score(frame)
        values = {name: column.to_numpy() for name, column in frame.to_dict().items()}
        expected = reference.simulate(application, values)
        feasible = scores.feasible
        np.testing.assert_allclose(scores.latency_us[feasible], expected["latency_us"][feasible], rtol=1e-5)
        without, with_caching = scores.latency_us.reshape(2, 2000)
        assert (without >= with_caching)[feasible[2000:]].all()
        assert (without > 1.2 * with_caching).any()
    yes_or_no = text.replace('[[parameter]]\nname = "pes_x"', own.replace("[false, true]", "[0, 1]"))
    message = error_of(pf.Simulator, "M4", pf.DesignSpace.from_toml(yes_or_no))
    assert message == (
        "space `prime`: `parameter_caching` has the value 0; the simulator needs true or false"
    )


def test_the_first_edge_tpu_runs_what_it_was_made_for() -> None:
    for application, least, most in [
        ("MobileNetV2", 150, 700),
        ("MobileNetEdgeTPU", 200, 1200),
        ("t-RNN Enc", 120, 2500),
    ]:
        scores = SIMULATORS[application].score(designs({}))
        assert scores.feasible.all()
        assert least < scores.latency_us[0] < most


# --- forms of input ---------------------------------------------------------------------------------------


def test_threads_make_no_difference() -> None:
    simulator = SIMULATORS["MobileNetV3"]
    ranks = PRIME.sample(5000, seed=7)
    one = simulator.score(ranks, threads=1)
    for threads in (2, 8, None):
        equal(simulator.score(ranks, threads=threads), one)
    message = error_of(simulator.score, ranks, threads=0)
    assert message == "threads is 0; it must be at least 1"


def test_batches_make_no_difference() -> None:
    simulator = SIMULATORS["M6"]
    ranks = PRIME.sample(40_000, seed=8)
    whole = simulator.score(ranks)
    assert len(whole) == 40_000
    for start, end in ((0, 1), (255, 257), (32_767, 32_769), (39_999, 40_000)):
        part = simulator.score(ranks[start:end])
        np.testing.assert_array_equal(part.latency_us, whole.latency_us[start:end])
        np.testing.assert_array_equal(part.reason, whole.reason[start:end])


def test_frames_ranks_and_layouts_give_the_same() -> None:
    simulator = SIMULATORS["MobileNetV2"]
    ranks = PRIME.sample(500, seed=9)
    expected = simulator.score(ranks)
    equal(simulator.score(PRIME.frame(ranks)), expected)
    for same in (ranks.astype(np.uint16), np.asfortranarray(ranks), np.repeat(ranks, 2, axis=0)[::2]):
        equal(simulator.score(same), expected)
        assert simulator.explain(same) == simulator.explain(ranks)
    equal(pf.Simulator("mobilenetv2").score(ranks), expected)


def test_an_empty_batch_gives_empty_arrays() -> None:
    simulator = SIMULATORS["M5"]
    none = np.empty((0, 10), np.uint8)
    for batch in (none, none.astype(np.uint16), PRIME.frame(none)):
        scores = simulator.score(batch)
        assert len(scores) == 0
        assert scores.reasons() == []
        assert scores.feasible.dtype == np.bool_
        assert simulator.explain(batch) == []


# --- bad input --------------------------------------------------------------------------------------------


def test_an_unknown_application_is_answered_by_a_suggestion() -> None:
    message = error_of(pf.Simulator, "MobileNetV4")
    assert message.startswith('unknown application "MobileNetV4" (did you mean MobileNetV')
    assert message.endswith("known: " + ", ".join(APPLICATIONS) + "; or name a TOML file of one")
    assert "did you mean" not in error_of(pf.Simulator, "something else")


def test_unusable_designs() -> None:
    simulator = SIMULATORS["M4"]
    wanted = "designs must be an array of shape (n_designs, 10) and dtype uint8 or uint16, found "
    ranks = np.full((2, 10), 3, np.uint8)
    ranks[1, 7] = 4
    cases = [
        (np.zeros((3, 9), np.uint8), wanted + "shape [3, 9]"),
        (np.zeros((3, 10)), wanted + "dtype float64"),
        (ranks, "design 1: `instruction_memory` has rank 4; it has 4 values, so ranks 0 to 3"),
        (
            designs({}, {"dram_bandwidth": 17}),
            "row 2: `dram_bandwidth` is 17; allowed: 5, 10, 16, 20, 25, 30",
        ),
        (designs({}).drop("cores"), f"designs have no column `cores`; expected {', '.join(PRIME.names)}"),
    ]
    for batch, message in cases:
        for call in (simulator.score, simulator.explain):
            assert error_of(call, batch, kind=pf.DataError) == message


def test_a_space_with_other_values_and_order() -> None:
    text = PRIME.to_toml().replace("[5, 10, 16, 20, 25, 30]", "[17, 21.0]")
    design = V1 | {"dram_bandwidth": 17}
    scores = pf.Simulator("MobileNetV2", pf.DesignSpace.from_toml(text)).score(designs(design))
    expected = reference.simulate("MobileNetV2", {name: np.array([value]) for name, value in design.items()})
    assert scores.latency_us[0] == pytest.approx(expected["latency_us"][0], rel=1e-9)
    # Parameters count by name: neither their order nor one more matters.
    blocks = PRIME.to_toml().split("[[parameter]]")
    head, parameters, tail = blocks[0], blocks[1:-1], blocks[-1]
    own = '\nname = "process"\nvalues = ["slow", "fast"]\n'
    last, rest = tail.split("# Area model", 1)
    text = "[[parameter]]".join([head, own, last, *reversed(parameters)]) + "# Area model" + rest
    space = pf.DesignSpace.from_toml(text)
    assert space.names == ["process", *reversed(PRIME.names)]
    ranks = PRIME.sample(300, seed=1)
    frame = PRIME.frame(ranks).with_columns(process=pl.lit("fast"))
    equal(pf.Simulator("MobileNetV2", space).score(frame), SIMULATORS["MobileNetV2"].score(ranks))


def test_reasons_name_the_constraints_of_the_space_first() -> None:
    text = PRIME.to_toml() + '\n[[constraint]]\nname = "square"\nexpression = "pes_x == pes_y"\n'
    simulator = pf.Simulator("U-Net", pf.DesignSpace.from_toml(text))
    assert simulator.reason_names == ["die_area", "square", *CHECKS]
    scores = simulator.score(simulator.space.sample(3000, seed=4))
    assert set(scores.reasons()) == {None, *simulator.reason_names}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "cores"', 'name = "kernels"', None),
        (
            "area_mm2",
            "area",
            "has no metric `area_mm2` (did you mean area?); known: macs_per_cycle,",
        ),
        (
            "[4, 8, 16, 32, 64, 128, 256]",
            "[0, 4]",
            "`cores` has the value 0; the simulator needs whole numbers from 1",
        ),
        (
            "[4, 8, 16, 32, 64, 128, 256]",
            "[4, 8.5]",
            "`cores` has the value 8.5; the simulator needs whole numbers",
        ),
        (
            "[4, 8, 16, 32, 64, 128, 256]",
            "[-4, 8]",
            "`cores` has the value -4; the simulator needs whole numbers",
        ),
        (
            "[4, 8, 16, 32, 64, 128, 256]",
            "[4, 65536]",
            "`cores` has the value 65536; the simulator needs whole numbers from 1 to 65535",
        ),
        (
            "[5, 10, 16, 20, 25, 30]",
            "['slow']",
            "`dram_bandwidth` has the value slow; the simulator needs whole",
        ),
        (
            "[5, 10, 16, 20, 25, 30]",
            "[1e12]",
            "`dram_bandwidth` has the value 1000000000000; the simulator needs",
        ),
        (
            'name = "die_area"',
            'name = "pe_memory"',
            "a constraint is called `pe_memory` like a check of the simulator",
        ),
    ],
)
def test_spaces_that_are_no_accelerators(old: str, new: str, message: str | None) -> None:
    text = PRIME.to_toml().replace(old, new)
    if message is None:
        text = re.sub(r"\bcores \* ", "kernels * ", text)
        message = (
            "space `prime` has no parameter `cores`; the simulator needs pes_x, pes_y, cores, compute_lanes,"
        )
    space = pf.DesignSpace.from_toml(text)
    assert message in error_of(pf.Simulator, "M4", space)


def test_the_largest_counts_do_not_overflow() -> None:
    text = PRIME.to_toml().replace("<= 112", "<= 1e30")
    for values in ("[1, 2, 4, 6, 8, 10, 12, 14, 16, 32]", "[4, 8, 16, 32, 64, 128, 256]"):
        text = text.replace(values, "[65535]")
    text = text.replace("2097152, 4194304]", "2097152, 4294967295]")
    space = pf.DesignSpace.from_toml(text)
    for application in APPLICATIONS:
        simulator = pf.Simulator(application, space)
        ranks = space.ranks(np.arange(space.size, dtype=np.uint64))
        scores = simulator.score(ranks)
        assert scores.feasible.any()
        assert (scores.latency_us[scores.feasible] > 114).all()
        assert np.isfinite(scores.energy_uj[scores.feasible]).all()


def simulator_of(constants: str, folder: Path) -> pf.Simulator:
    path = folder / "technology.toml"
    path.write_text(constants)
    return pf.Simulator("MobileNetV2", technology=path)


def test_a_technology_file_changes_the_result(tmp_path: Path) -> None:
    ranks = PRIME.sample(200, seed=0)
    expected = SIMULATORS["MobileNetV2"].score(ranks)
    equal(simulator_of(TECHNOLOGY, tmp_path).score(ranks), expected)
    slower = simulator_of(TECHNOLOGY.replace("invocation_us = 114.0", "invocation_us = 150"), tmp_path)
    np.testing.assert_allclose(slower.score(ranks).latency_us, expected.latency_us + 36)


@pytest.mark.parametrize("constant", CONSTANTS)
def test_each_constant_must_be_there_and_make_sense(constant: str, tmp_path: Path) -> None:
    line = re.compile(rf"^{constant} = .*$", re.MULTILINE)
    for value in (None, "-1", "nan", "inf", "'fast'"):
        text = line.sub("" if value is None else f"{constant} = {value}", TECHNOLOGY)
        message = error_of(simulator_of, text, tmp_path)
        assert message.startswith(f"{tmp_path / 'technology.toml'}: ")
        if value is None:
            assert f"missing field `{constant}`" in message
        elif constant in ("unrolled_kernels", "parameter_caching"):
            assert "expected a boolean" in message
        elif value == "'fast'":
            assert 'string "fast"' in message
        elif constant != "mac_ways":
            number = {"nan": "NaN"}.get(value, value)
            assert f"{constant} is {number}; it must be a finite number" in message
    assert len(CONSTANTS) == 23


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("clock_mhz = 800.0", "clock_mhz = 0", "clock_mhz is 0; it must be a finite number above 0"),
        (
            "dram_efficiency = 0.91",
            "dram_efficiency = 1.5",
            "dram_efficiency is 1.5; it is a share, at most 1",
        ),
        ("mac_ways = 4", "mac_ways = 0", "mac_ways is 0; it must be a finite number above 0"),
        ("mac_ways = 4", "mac_ways = 100000", "mac_ways is 100000; it must be at most 65535"),
        ("mac_ways = 4", "mac_ways = 2.5", "invalid type: floating point `2.5`, expected u64"),
        (
            "clock_mhz = 800.0",
            "clock_mhz = 800.0\nclock_ghz = 1",
            "unknown field `clock_ghz`, expected one of `clock_",
        ),
        ("clock_mhz = 800.0", "clock_mhz = ", "technology.toml: "),
    ],
)
def test_unusable_technology_files(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert message in error_of(simulator_of, TECHNOLOGY.replace(old, new), tmp_path)


def test_unreadable_technology_files(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    message = error_of(pf.Simulator, "M4", technology=path)
    assert message == f"{path}: no such file; expected technology constants in TOML"
    path.write_bytes(b"clock_mhz = \xff")
    assert "can't be read as text: 'utf-8' codec" in error_of(pf.Simulator, "M4", technology=path)
