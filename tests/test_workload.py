"""Applications by name and by file: what the commands show of them, and files in place of names."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_simulator as reference
from hypothesis import given, settings
from hypothesis import strategies as st

import prime_fast as pf
from prime_fast.designs import reference_design
from prime_fast.workload import FEATURES, application_named, context_of

Run = Callable[..., tuple[int, str, str]]

MIXED = Path(__file__).resolve().parents[1] / "rust" / "core" / "tests" / "mixed.toml"
SMALL = """
name = "Small"
title = "a small network"
source = "made up"
input = [16, 16, 3]
layer = [
  { name = "s", kind = "conv", input = [16, 16, 3], output = [8, 8, 16], kernel = [2, 2], stride = [2, 2] },
  { name = "a-layer-whose-name-is-too-long", kind = "conv", input = [8, 8, 16], output = [8, 8, 32] },
  { name = "logits", kind = "dense", input = [8, 8, 32], output = [1, 1, 10] },
]
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


# --- list and show ----------------------------------------------------------------------------------------


def test_list(run: Run) -> None:
    code, out, err = run("workload", "list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    for name in pf.application_names():
        assert any(line.startswith(f"{name} ") for line in lines), name
    (row,) = [line for line in lines if line.startswith("MobileNetV2 ")]
    assert row.split() == ["MobileNetV2", "convolutional", "64", "300.8M", "3.31", "MiB", "1.44", "MiB"]
    code, out, _ = run("workload", "list", "--json")
    told = json.loads(out)["applications"]
    assert [each["name"] for each in told] == pf.application_names()
    for each in told:
        assert each["totals"] == pf.Application.bundled(each["name"]).totals


@pytest.mark.parametrize("name", pf.application_names())
def test_show(run: Run, name: str) -> None:
    code, out, err = run("workload", "show", name)
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines())
    application = pf.Application.bundled(name)
    assert f"{application.totals['macs']:,}" in out
    code, out, _ = run("workload", "show", name.upper(), "--json")
    told = json.loads(out)
    assert told["layers"] == application.layers
    assert sum(layer["macs"] for layer in told["layers"]) == application.totals["macs"]
    assert sum(layer["parameter_bytes"] for layer in told["layers"]) == application.totals["parameter_bytes"]
    assert told["context"] == dict(zip(FEATURES, context_of(application).tolist(), strict=True))


def test_show_of_every_kind_and_attribute(run: Run) -> None:
    code, out, err = run("workload", "show", MIXED)
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines())
    for text in ("conv 3x3/2 g3", "conv 3x3 d2x3", "depthwise..1x2 d1x2", "transposed 4x4/2 g2", "matmul g4"):
        assert text in out, text


def test_showing_needs_no_jax(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jax", None)
    monkeypatch.delitem(__import__("sys").modules, "prime_fast.surrogate", raising=False)
    assert run("workload", "show", "U-Net")[0] == 0


# --- files in place of names ------------------------------------------------------------------------------


def test_commands_take_files(run: Run, small: Path) -> None:
    design = ("--design", "edge-tpu-v1", "--json")
    code, out, err = run("simulate", "--app", small, *design)
    assert code == 0, err
    assert json.loads(out)["layers"][0]["name"] == "s"
    code, out, err = run("solve", "--app", "small.toml", "--app", "M6", "--limit", "area_mm2=29", "--json")
    assert code == 0, err
    assert list(json.loads(out)["scores"]) == ["Small", "M6"]
    code, out, err = run("logs", "generate", "--app", f"./{small.name}", "--designs", 50, "--out", "log.csv")
    assert code == 0, err
    assert "50 designs" in out


def test_a_sweep_takes_a_file(run: Run, small: Path, tmp_path: Path) -> None:
    space = pf.DesignSpace.bundled().narrowed({"pes_x": 4, "pes_y": 4, "cores": 16, "compute_lanes": 4})
    (tmp_path / "space.toml").write_text(space.to_toml())
    code, out, err = run("sweep", "--app", small, "--space", "space.toml", "--json", "--quiet")
    assert code == 0, err
    assert json.loads(out)["application"] == "Small"


MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown name": (("simulate", "--app", "MobilNetV2", "--design", "coral"), "did you mean MobileNetV2"),
    "unknown name of solve": (("solve", "--app", "U-Nett"), "did you mean U-Net?"),
    "missing file": (("sweep", "--app", "nowhere.toml"), "nowhere.toml: no such file; expected an app"),
    "missing directory": (("solve", "--app", "no/where"), "no/where: no such file"),
    "a directory": (("workload", "show", "./folder.toml"), "folder.toml: can't be read as text"),
    "not of text": (("workload", "show", "bytes.toml"), "bytes.toml: can't be read as text"),
    "no application": (("workload", "show", "space.toml"), "space.toml, line 2: unknown field `parameter`"),
    "no TOML": (("workload", "show", "broken.toml"), "broken.toml, line 2"),
    "ONNX": (("simulate", "--app", "net.onnx", "--design", "coral"), "workload import net.onnx --out net"),
    "unknown to show": (("workload", "show", "ResNet-19"), "did you mean ResNet-18"),
    "layers that don't fit": (("workload", "show", "misfit.toml"), 'layer "logits": inputs: found a'),
    "a taken name": (("optimize", "--app", "taken.toml"), "is called MobileNetV2, as an application"),
    "no log": (("optimize", "--app", "small.toml"), "no log of Small comes with the package"),
    "twice": (("optimize", "--app", "small.toml", "--app", "./small.toml"), "named twice"),
    "missing for optimize": (("optimize", "--app", "nowhere.toml"), "nowhere.toml: no such file"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_told_in_one_sentence(run: Run, tmp_path: Path, small: Path, case: str) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "space.toml").write_text('name = "s"\n[[parameter]]\nname = "a"\nvalues = [1]\n')
    (tmp_path / "broken.toml").write_text('name = "s"\ntitle =\n')
    (tmp_path / "misfit.toml").write_text(SMALL.replace("input = [8, 8, 32]", "input = [8, 8, 31]"))
    (tmp_path / "taken.toml").write_text(SMALL.replace('"Small"', '"MobileNetV2"'))
    arguments, told = MISTAKES[case]
    code, out, err = run(*arguments)
    assert (code, out) == (2, ""), err
    assert told in " ".join(err.split())
    assert "Traceback" not in err
    assert not (tmp_path / "prime-fast-runs").exists()
    assert small.exists()


def test_a_file_is_designed_for_zero_shot_and_explained(run: Run, small: Path) -> None:
    arguments = ("--learn-from", "M6", "--learn-from", "U-Net", "--method", "regression", "--budget", "quick")
    code, out, err = run(
        "optimize", "--app", "small.toml", *arguments, "--proposals", 2, "--out", "run", "--quiet"
    )
    assert code == 0, err
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["workloads"] == {"Small": SMALL}
    assert manifest["applications"] == ["Small"]
    small.unlink()
    code, out, err = run("explain", "run", "--pairs", 10, "--samples", 100, "--json")
    assert code == 0, err
    rows = {row["application"]: row for row in json.loads(out)["gains"]}
    assert rows["Small"]["simulated"] > 0


def test_a_file_is_the_application_it_describes(small: Path) -> None:
    application = application_named(small)
    assert (application.name, application.input) == ("Small", [16, 16, 3])
    assert application_named(str(small)).totals == application.totals
    assert application_named(application) is application
    assert application.to_toml() == SMALL
    again = pickle.loads(pickle.dumps(application))  # noqa: S301
    assert (again.name, again.layers) == (application.name, application.layers)


# --- kinds that no bundled application has ----------------------------------------------------------------


def test_every_kind_is_simulated_as_in_the_reference() -> None:
    space = pf.DesignSpace.bundled()
    ranks = space.sample(4000, seed=11)
    simulator = pf.Simulator(str(MIXED), space)
    scores = simulator.score(ranks)
    values = {name: column.to_numpy() for name, column in space.frame(ranks).to_dict().items()}
    expected = reference.simulate(MIXED, values)
    checks = ["pe_memory", "core_memory", "instruction_memory"]
    failed = [space.metric("area_mm2", ranks) > 112, *(expected[check] for check in checks)]
    reasons = np.select(failed, ["die_area", *checks], default="")
    assert [reason or "" for reason in scores.reasons()] == reasons.tolist()
    feasible = scores.feasible
    assert feasible.sum() > 300
    np.testing.assert_allclose(scores.latency_us[feasible], expected["latency_us"][feasible], rtol=1e-9)
    np.testing.assert_allclose(scores.energy_uj[feasible], expected["energy_uj"][feasible], rtol=1e-9)
    assert (expected["streamed"][feasible] > 0).any()


def test_a_sequence_takes_as_long_as_its_steps() -> None:
    """Latency without the invocation grows by the same time a step."""

    def latency(steps: int) -> float:
        text = f"""
        name = "r"
        title = ""
        source = ""
        input = [{steps}, 1, 256]
        layer = [{{ name = "r", kind = "recurrent", input = [{steps}, 1, 256], output = [{steps}, 1, 512] }}]
        """
        simulator = pf.Simulator(pf.Application.from_toml(text, "r"))
        design = reference_design("edge-tpu-v1")
        values = {name: design.values[name] for name in simulator.space.names}
        space = simulator.space.narrowed(values)
        return float(pf.Simulator(simulator.application, space).score(space.designs([values])).latency_us[0])

    one, two, many = latency(1), latency(2), latency(101)
    assert two > one
    assert many - one == pytest.approx(100 * (two - one), rel=1e-9)


# --- any text -----------------------------------------------------------------------------------------------

KEYS = (
    "name",
    "kind",
    "input",
    "output",
    "kernel",
    "stride",
    "dilation",
    "groups",
    "inputs",
    "view",
    "other",
)
KINDS = (
    "conv",
    "depthwise",
    "dense",
    "recurrent",
    "matmul",
    "transposed_conv",
    "pool",
    "elementwise",
    "none",
)
SIZE = st.one_of(st.integers(1, 9), st.sampled_from([0, -1, 2**16, 2**31, 2**32 - 1, 2**32, 2**63]))
VALUE = st.one_of(
    st.lists(SIZE, min_size=1, max_size=4),
    SIZE,
    st.booleans(),
    st.floats(),
    st.sampled_from([*KINDS, "a", "b", "input", "state", "\0", "é"]),
    st.lists(st.sampled_from(["a", "b", "input", "state", "x"]), max_size=3),
)


@st.composite
def layers(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a layer that may make sense."""
    shape = draw(st.lists(st.integers(1, 6), min_size=3, max_size=3))
    made = {
        "name": draw(st.sampled_from("abcde")),
        "kind": draw(st.sampled_from(KINDS)),
        "input": shape,
        "output": draw(st.one_of(st.just(shape), st.lists(st.integers(1, 6), min_size=3, max_size=3))),
    }
    made |= draw(st.dictionaries(st.sampled_from(KEYS), VALUE, max_size=2))
    return made


def made_or_told(text: str) -> tuple[pf.Application | None, str]:
    try:
        return pf.Application.from_toml(text, "f.toml"), ""
    except pf.ConfigurationError as error:
        return None, str(error)


def toml_value(value: Any) -> str:
    if isinstance(value, float):
        return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(str(value), repr(value))
    return json.dumps(value)


@settings(max_examples=max(200, settings().max_examples))
@given(
    entries=st.lists(layers(), max_size=4),
    shape=st.lists(SIZE, min_size=2, max_size=4),
    views=st.booleans(),
)
def test_any_file_is_an_application_or_a_clear_error(
    entries: list[dict[str, Any]], shape: list[int], *, views: bool
) -> None:
    rows = [
        "{ " + ", ".join(f"{key} = {toml_value(value)}" for key, value in entry.items()) + " }"
        for entry in ({**entry, "view": True} if views else entry for entry in entries)
    ]
    text = f'name = "n"\ntitle = ""\nsource = ""\ninput = {shape}\nlayer = [{", ".join(rows)}]\n'
    application, told = made_or_told(text)
    if application is None:
        assert told.startswith("f.toml")
        assert "\n" not in told
        return
    assert application.totals["macs"] == sum(layer["macs"] for layer in application.layers)
    simulator = pf.Simulator(application)
    scores = simulator.score(simulator.space.sample(8, 0))
    assert np.isfinite(scores.latency_us[scores.feasible]).all()


@settings(max_examples=max(200, settings().max_examples))
@given(st.binary(max_size=60), st.integers(0, len(SMALL)), st.integers(0, 30))
def test_damaged_text_is_told(noise: bytes, start: int, length: int) -> None:
    text = SMALL[:start] + noise.decode("utf-8", "replace") + SMALL[start + length :]
    application, told = made_or_told(text)
    assert application is not None or told.startswith("f.toml")
