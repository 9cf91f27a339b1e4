"""Explanations of designs: sums, designs outside the space, the command line, every kind of bad input."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import prime_fast as pf
from prime_fast.batch import CHUNK, FIGURES, results, simulate_file
from prime_fast.cli.reports import short, shortened
from prime_fast.explanation import SCHEMA
from prime_fast.roofline import draw

PRIME = pf.DesignSpace.bundled("prime")
SIMULATOR = pf.Simulator("MobileNetV2")
V1 = dict(pf.reference_design("edge-tpu-v1").values) | {"dram_bandwidth": 16}
V1.pop("parameter_caching", None)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run: Run) -> Run:
    """Call `prime-fast simulate`."""
    return partial(run, "simulate")


def assigned(values: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in values.items())


def error_of(
    call: Callable[..., Any], *arguments: object, kind: type[pf.PrimeFastError] = pf.ConfigurationError
) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments)
    return str(caught.value)


# --- reports ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("application", pf.application_names())
def test_a_report_adds_up_to_the_score(application: str) -> None:
    simulator = pf.Simulator(application)
    ranks = PRIME.sample(150, seed=5)
    scores, texts = simulator.score(ranks), simulator.explain(ranks)
    feasible = 0
    for row, design in enumerate(ranks):
        report = simulator.report(design)
        assert report.area_mm2 == scores.area_mm2[row]
        assert sum(report.area_by_component.values()) == pytest.approx(report.area_mm2, rel=1e-12)
        assert report.peak_power_mw == scores.peak_power_mw[row]
        assert report.feasible == scores.feasible[row]
        assert report.layers.schema == SCHEMA
        if report.rejection is not None:
            assert report.rejection.text == texts[row]
            assert report.rejection.check == scores.reasons()[row]
            assert report.rejection.needed > report.rejection.available
            assert report.layers.is_empty()
            continue
        feasible += 1
        assert report.latency_us == pytest.approx(scores.latency_us[row], rel=1e-12)
        assert report.energy_uj == pytest.approx(scores.energy_uj[row], rel=1e-12)
        assert report.average_power_mw == pytest.approx(scores.average_power_mw[row], rel=1e-12)
        total = report.array.invocation_us + float(report.layers["time_us"].sum())
        assert total == pytest.approx(report.latency_us, rel=1e-12)
        assert sum(report.energy_by_part.values()) == pytest.approx(report.energy_uj, rel=1e-12)
        assert float(report.layers["instructions"].sum()) <= float(report.design["instruction_memory"])
    assert feasible


def test_a_report_takes_ranks_or_values() -> None:
    by_values = SIMULATOR.report(V1)
    ranks = PRIME.designs([V1])
    for same in (ranks, ranks[0], ranks.astype(np.uint16)):
        assert SIMULATOR.report(same).as_dict() == by_values.as_dict()
    assert by_values.design == V1
    for wrong, text in [
        (np.zeros((2, 10), np.uint8), "expected one design, found 20 ranks"),
        (np.zeros(9, np.uint8), "found shape [1, 9]"),
        (np.zeros(10), "found dtype float64"),
        (np.full(10, 99, np.uint8), "design 0: `pes_x` has rank 99"),
        (V1 | {"cores": 65}, "row 1: `cores` is 65; allowed: 4, 8,"),
        (V1 | {"cores": float("nan")}, "row 1: `cores` is nan; allowed: 4, 8,"),
        ({"pes_x": 4}, "designs have no column `pes_y`"),
    ]:
        assert text in error_of(SIMULATOR.report, wrong, kind=pf.DataError)


def test_a_narrowed_space_holds_the_design() -> None:
    values = V1 | {"dram_bandwidth": 17, "parameter_caching": False}
    space = PRIME.narrowed(values)
    assert space.size == 1
    assert space.metric_names == PRIME.metric_names
    assert space.frame(np.zeros((1, 11), np.uint8)).row(0, named=True) == values
    assert pf.DesignSpace.from_toml(space.to_toml()) == space
    streamed = pf.Simulator("MobileNetV2", space).report(values)
    cached = pf.Simulator("MobileNetV2", PRIME.narrowed(values | {"parameter_caching": True})).report(
        values | {"parameter_caching": True}
    )
    assert streamed.residency.streamed_weight_bytes == streamed.residency.weight_bytes
    assert cached.residency.streamed_weight_bytes == 0
    assert streamed.latency_us > cached.latency_us
    # Within the space nothing changes.
    assert (
        pf.Simulator("MobileNetV2", PRIME.narrowed(V1)).report(V1).as_dict() == SIMULATOR.report(V1).as_dict()
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("inf"), "space `prime`: `cores` is inf; it must be a finite number (4-way MAC units per"),
        ("many", "space `prime`: `cores` is many; it must be a finite number"),
        (True, "space `prime`: `cores` is true; it must be a finite number"),
        (None, "`cores` is None; it must be a finite number, a text or a boolean"),
        (10**400, f"`cores` is 1{'0' * 39}; it must be a finite number"),
    ],
)
def test_values_that_no_space_can_have(value: Any, message: str) -> None:
    assert error_of(PRIME.narrowed, {"cores": value}).startswith(message)


def test_applications_that_are_none() -> None:
    head = 'name = "a"\ntitle = ""\nsource = ""\ninput = [4, 4, 3]\n'
    conv = 'layer = [{{ name = "c", kind = "conv", input = [4, 4, 3], output = [4, 4, {}] }}]\n'
    for text, message in [
        (head + "layer = []\n", "a.toml: layer: found no layer, at least one is needed"),
        (head, "missing field `layer`"),
        (head + conv.format(0), "found [4, 4, 0], every size must be at least 1"),
        (head + conv.format(-1), "invalid value: integer `-1`"),
        (head + conv.format(2**32), "invalid value: integer `4294967296`"),
        (head + conv.format("4, 4"), "invalid length"),
    ]:
        assert message in error_of(pf.Application.from_toml, text, "a.toml")
    # The largest that is one fails a check, and says so.
    simulator = pf.Simulator(pf.Application.from_toml(head + conv.format(2**32 - 1), "a.toml"))
    rejection = simulator.report(V1).rejection
    assert rejection is not None
    assert (rejection.check, rejection.layer) == ("pe_memory", "c")
    assert rejection.needed > 16 * (2**32 - 1)


# --- one design -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "application", ["MobileNetV2", "Inception v1", "EfficientNet-EdgeTPU-S", "t-RNN Enc"]
)
def test_the_table_fits_in_80_columns(run: Run, application: str) -> None:
    code, out, err = run("--app", application, "--design", "prime-nine-apps")
    assert code == 0, err
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    report = pf.Simulator(application).report(dict(pf.reference_design("prime-nine-apps").values))
    start = next(number for number, line in enumerate(lines) if line.startswith("layer "))
    for line, row in zip(lines[start + 1 :], report.layers.iter_rows(named=True), strict=False):
        assert line.startswith(shortened(row["name"], 17)), line
        assert f"{short(row[row['bound'] + '_cycles'])}*" in line.split(), line
        assert line.count("*") == 1
    assert "…" not in out[out.index("\nlatency") :]
    for label in (
        "latency",
        "layers wait for",
        "utilisation",
        "energy",
        "power",
        "area",
        "weights",
        "activations",
    ):
        assert f"\n{label} " in out


def test_the_design_is_marked_where_it_is_outside_the_space(run: Run) -> None:
    code, out, err = run("--design", assigned(V1 | {"dram_bandwidth": 17, "parameter_caching": "false"}))
    assert code == 0, err
    assert "outside the space: dram_bandwidth=17 (allowed: 5, 10, 16, 20, 25, 30)\n" in out
    assert "outside the space: parameter_caching=false (it has no such parameter)\n" in out
    assert "0 B of 3.31 MiB (0%) stay on chip" in out
    assert "outside" not in run("--design", assigned(V1))[1]


def test_json_has_the_whole_report(run: Run) -> None:
    code, out, _ = run("--design", "edge-tpu-v1,dram_bandwidth=16,parameter_caching=true", "--json")
    assert code == 0
    told = json.loads(out)
    assert told.pop("schema") == "prime-fast/simulate/1"
    values = V1 | {"parameter_caching": True}
    report = pf.Simulator("MobileNetV2", PRIME.narrowed(values)).report(values)
    assert told == report.as_dict() | {"outside_space": {"parameter_caching": []}}
    assert list(told) == [
        "application",
        "design",
        "feasible",
        "rejection",
        *FIGURES[:3],
        "average_power_mw",
        "peak_power_mw",
        "area_by_component_mm2",
        "energy_by_part_uj",
        "residency",
        "array",
        "layers",
        "outside_space",
    ]
    assert list(told["layers"][0]) == list(SCHEMA)
    assert list(told["area_by_component_mm2"]) == [
        "pe_memory",
        "core_memory",
        "controller_memory",
        "mac_units",
    ]
    assert list(told["energy_by_part_uj"]) == ["mac", "port", "dram", "leakage"]


@pytest.mark.parametrize(
    ("change", "check", "layer", "text"),
    [
        ({"pes_x": 32}, "die_area", None, "223.7 must not exceed 112"),
        ({"pe_memory": 262144}, "pe_memory", None, "the weights need 6942080 bytes, of which they may take"),
        ({"pe_memory": 1, "core_memory": 1}, "pe_memory", None, "all PE memories have 16"),
        ({"core_memory": 1000}, "core_memory", "stem", "layer stem needs 3456 bytes; a lane has 1000"),
        ({"instruction_memory": 1}, "instruction_memory", "logits", "the memory has 1"),
    ],
)
def test_an_infeasible_design_is_an_answer(
    run: Run, change: dict[str, int], check: str, layer: str | None, text: str
) -> None:
    design = assigned(V1 | change)
    code, out, err = run("--design", design)
    assert (code, err) == (0, "")
    assert f"\ninfeasible   {check}: " in out
    assert text in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    told = json.loads(run("--design", design, "--json")[1])
    assert not told["feasible"]
    assert told["latency_us"] is None
    assert told["energy_uj"] is None
    assert told["layers"] == []
    rejection = told["rejection"]
    assert (rejection["check"], bool(rejection["layer"])) == (check, layer is not None)
    assert rejection["needed"] > rejection["available"]
    code, _, err = run("--design", design, "--plot", "roofline.png")
    assert code == 4
    assert f"can't draw an infeasible design: {check}: " in err
    assert not Path("roofline.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one of --design and --designs"),
        (["--design", "edge-tpu-v1", "--designs", "x.csv"], "give one of --design and --designs"),
        (["--designs", "x.csv", "--plot", "x.png"], "--plot draws one design; give --design"),
        (["--design", ""], "--design: '' is not of the form name=value, such as pes_x=4"),
        (["--design", "edge-tpu-v1,cores"], "--design: 'cores' is not of the form name=value"),
        (["--design", "edge-tpu-v1,cores="], "--design: 'cores=' is not of the form name=value"),
        (["--design", "edge-tpu-v1,cores=4,cores=8"], "--design: `cores` is given twice"),
        (["--design", "edge-tpu-v9"], "unknown design 'edge-tpu-v9' (did you mean edge-tpu-v"),
        (["--design", "none.toml"], "none.toml: no such file; expected a design in TOML"),
        (
            ["--design", "edge-tpu-v1,core=8"],
            "no parameter `core` (did you mean cores?); known: pes_x, pes_y,",
        ),
        (
            ["--design", "edge-tpu-v1,cores=0"],
            "`cores` has the value 0; the simulator needs whole numbers from 1",
        ),
        (["--design", "edge-tpu-v1,cores=-8"], "`cores` has the value -8; the simulator needs whole numbers"),
        (
            ["--design", "edge-tpu-v1,cores=4.5"],
            "`cores` has the value 4.5; the simulator needs whole numbers",
        ),
        (["--design", "edge-tpu-v1,cores=70000"], "whole numbers from 1 to 65535"),
        (
            ["--design", "edge-tpu-v1,cores=" + "9" * 500],
            f"`cores` is {'9' * 40}; it must be a finite number",
        ),
        (["--design", "edge-tpu-v1,cores=" + "9" * 5000], "`cores` is inf; it must be a finite number"),
        (["--design", "edge-tpu-v1,cores=nan"], "`cores` is NaN; it must be a finite number"),
        (
            ["--design", "edge-tpu-v1,pe_memory=2MiB"],
            "`pe_memory` is 2MiB; it must be a finite number (bytes per",
        ),
        (
            ["--design", "edge-tpu-v1,parameter_caching=yes"],
            "`parameter_caching` is yes; it must be true or false",
        ),
        (
            ["--design", assigned({name: V1[name] for name in PRIME.names[:8]})],
            "--design: no value for parameter_memory (2048, 4096, 8192, 16384, 32768), dram_bandwidth (5,",
        ),
        (
            ["--design", "edge-tpu-v1", "--app", "MobileNetV9"],
            'unknown application "MobileNetV9" (did you mean',
        ),
        (
            ["--design", "edge-tpu-v1", "--space", "none.toml"],
            "none.toml: no such file; expected a design space",
        ),
        (
            ["--design", "edge-tpu-v1", "--technology", "none.toml"],
            "none.toml: no such file; expected technology",
        ),
        (
            ["--design", "edge-tpu-v1", "--plot", "x.pdf"],
            "can't draw x.pdf: its name must end in .png or .svg",
        ),
        (
            ["--design", "edge-tpu-v1", "--plot", "no/x.png"],
            "can't write no/x.png: No such file or directory",
        ),
        (
            ["--design", "edge-tpu-v1", "--out", "x.txt"],
            "can't write x.txt: its name must end in .parquet or .csv",
        ),
        (["--designs", "none.csv"], "none.csv: no such file; expected designs, one a row, in CSV or Parquet"),
    ],
)
def test_bad_usage_is_one_clear_error(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert err.startswith("Error: ")
    assert len(err.splitlines()) == 1
    assert message in err
    if "--plot" not in arguments:
        assert out == ""


def test_a_technology_file_and_a_designs_own_constants(run: Run) -> None:
    from prime_fast import _core

    text = _core.bundled_technology()
    Path("slow.toml").write_text(text.replace("invocation_us = 114.0", "invocation_us = 150"))
    plain = json.loads(run("--app", "MobileNetV1", "--design", "coral", "--json")[1])
    slow = json.loads(
        run("--app", "MobileNetV1", "--design", "coral", "--technology", "slow.toml", "--json")[1]
    )
    assert (plain["array"]["invocation_us"], slow["array"]["invocation_us"]) == (114, 150)
    assert plain["array"]["clock_mhz"] == slow["array"]["clock_mhz"] == 500
    for new, message in [
        ("clock_mhz = -1", "bad.toml: clock_mhz is -1; it must be a finite number above 0"),
        ("", "bad.toml: missing field `clock_mhz`"),
    ]:
        Path("bad.toml").write_text(text.replace("clock_mhz = 800.0", new))
        for design in ("coral", "edge-tpu-v1"):
            code, _, err = run("--design", design, "--technology", "bad.toml")
            assert code == 2
            assert message in err


def test_out_holds_the_layers(run: Run) -> None:
    for name in ("layers.csv", "layers.parquet"):
        code, _, err = run("--design", assigned(V1), "--out", name)
        assert code == 0, err
        layers = pl.read_csv(name, schema=SCHEMA) if name.endswith("csv") else pl.read_parquet(name)
        assert layers.equals(SIMULATOR.report(V1).layers)


def test_short_figures_take_five_characters() -> None:
    for value in (
        0,
        1e-9,
        0.0649,
        0.06,
        0.999,
        9.996,
        99.97,
        999.4,
        999.6,
        1000,
        99_960,
        999_600,
        1e9,
        9.9e17,
        1e30,
    ):
        text = short(value)
        assert len(text) <= 5, text
    assert [short(value) for value in (0, 12.34, 999.4, 999.6, 12_345, 123_456, 1.5e6)] == [
        "0",
        "12.3",
        "999",
        "1.00k",
        "12.3k",
        "123k",
        "1.50M",
    ]
    assert shortened("a_long_name_of_a_layer", 10) == "a_lon…ayer"


# --- roofline ---------------------------------------------------------------------------------------------


def test_the_roofline_is_a_picture(run: Run, tmp_path: Path) -> None:
    from matplotlib.image import imread

    code, _, err = run("--design", "edge-tpu-v1", "--plot", "roofline.png")
    assert code == 0, err
    pixels = imread(tmp_path / "roofline.png")[..., :3]
    assert pixels.shape[0] > 600
    assert pixels.shape[1] > 1500
    for colour in ("#0072B2", "#E69F00", "#009E73", "#D55E00"):
        wanted = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        assert (np.abs(pixels - wanted).max(axis=-1) < 0.02).sum() > 20, colour


def test_drawings_repeat_and_need_no_weights(tmp_path: Path) -> None:
    pool = """
        name = "pool"
        title = ""
        source = ""
        input = [4, 4, 8]
        layer = [{ name = "pool", kind = "pool", input = [4, 4, 8], output = [1, 1, 8], kernel = [4, 4] }]
    """
    draw(pf.Simulator(pf.Application.from_toml(pool, "pool")).report(V1), tmp_path / "pool.png")
    # Weights and activations have bandwidths of their own.
    report = pf.Simulator("ResNet-50").report(dict(pf.reference_design("prime-nine-apps").values))
    texts = []
    for name in ("a.svg", "b.svg"):
        draw(report, tmp_path / name)
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]
    assert texts[0].rstrip().endswith("</svg>")


# --- many designs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More designs than a chunk holds, as CSV."""
    path = tmp_path_factory.mktemp("many") / "designs.csv"
    PRIME.frame(PRIME.sample(CHUNK + 1000, seed=2)).write_csv(path)
    return path


def test_a_file_of_designs_gives_the_figures_of_each(run: Run, many: Path) -> None:
    expected = results(SIMULATOR, PRIME.sample(CHUNK + 1000, seed=2))
    assert expected.filter("feasible")["explanation"].null_count() == expected["feasible"].sum()
    assert expected.filter(~pl.col("feasible"))["explanation"].null_count() == 0
    code, out, err = run("--designs", many, "--out", "figures.parquet")
    assert code == 0, err
    assert pl.read_parquet("figures.parquet").equals(expected)
    assert f"{CHUNK + 1000:,} designs, {expected['feasible'].sum():,} feasible" in out
    assert max(map(len, out.splitlines())) <= 80
    # Parquet in, CSV out; other columns and their order make no difference.
    PRIME.frame(PRIME.sample(CHUNK + 1000, seed=2)).select(
        pl.lit(1).alias("note"), *reversed(PRIME.names)
    ).write_parquet("designs.parquet")
    code, out, _ = run("--designs", "designs.parquet", "--out", "figures.csv", "--json")
    assert code == 0
    assert pl.read_csv("figures.csv", schema=expected.schema).equals(expected)
    assert {path.name for path in Path().iterdir()} == {"figures.parquet", "figures.csv", "designs.parquet"}
    told = json.loads(out)
    assert told["designs"] == expected.height
    assert {name: value["designs"] for name, value in told["reasons"].items()} == dict(
        expected.filter(~pl.col("feasible"))["reason"].value_counts().iter_rows()
    )
    fastest = expected["latency_us"].arg_min()
    assert fastest is not None
    assert told["best"] == {"row": fastest + 1, **expected.row(fastest, named=True)}
    for figure in FIGURES:
        column = expected.filter("feasible")[figure]
        assert (told["least"][figure], told["most"][figure]) == (column.min(), column.max())


def test_a_file_without_a_feasible_design(run: Run) -> None:
    pl.DataFrame([V1 | {"pes_x": 32}] * 3).write_csv("designs.csv")
    code, out, err = run("--designs", "designs.csv")
    assert (code, err) == (0, "")
    assert "3 designs, 0 feasible (0.0%)" in out
    assert "die_area: breaks area_mm2 <= 112" in out
    assert json.loads(run("--designs", "designs.csv", "--json")[1])["best"] is None


def test_bad_files_of_designs(run: Run, many: Path) -> None:
    good = many.read_text().splitlines()
    late = good.copy()
    late[CHUNK + 10] = ",".join(["17", *late[CHUNK + 10].split(",")[1:]])
    first = dict(zip(PRIME.names, good[1].split(","), strict=True))
    cases = [
        ("late.csv", "\n".join(late), f"late.csv: row {CHUNK + 10}: `pes_x` is '17'; allowed: 1, 2, 4, 6,"),
        (
            "text.csv",
            "\n".join([good[0], assigned(first).replace("=", "")]),
            "text.csv: row 1: `pes_x` is 'pes_x",
        ),
        ("nan.csv", "\n".join([*good[:3], "NaN" + good[3][good[3].index(",") :]]), "row 3: `pes_x` is 'NaN'"),
        ("gap.csv", "\n".join([*good[:3], good[3][good[3].index(",") :]]), "row 3: `pes_x` is None"),
        (
            "column.csv",
            "pes_x\n4\n",
            "column.csv has no column `pes_y`; expected one for each parameter: pes_x,",
        ),
        ("none.csv", good[0] + "\n", "none.csv has no rows: expected one a design"),
        ("empty.csv", "", "empty.csv can't be read as a CSV file with a header line"),
        ("other.parquet", "not parquet", "other.parquet can't be read as a Parquet file"),
    ]
    for name, text, message in cases:
        Path(name).write_text(text)
        for options in ([], ["--out", "out.csv"], ["--out", "out.parquet"]):
            code, out, err = run("--designs", name, *options)
            assert (code, out) == (3, ""), (name, err)
            assert len(err.splitlines()) == 1, err
            assert message in err
    assert {path.name for path in Path().iterdir()} == {name for name, _, _ in cases}
    frame = pl.DataFrame([V1]).with_columns(pl.lit(float("nan")).alias("cores"))
    assert "row 1: `cores` is nan" in error_of(SIMULATOR.score, frame, kind=pf.DataError)
    code, _, err = run("--designs", ".")
    assert code == 3
    assert "is a directory" in err


def test_ctrl_c_keeps_the_chunks_that_are_done(tmp_path: Path) -> None:
    frame = PRIME.frame(PRIME.sample(CHUNK, seed=0))
    frame = pl.concat([frame] * 60)
    frame.write_parquet(tmp_path / "designs.parquet")
    code = "from prime_fast.cli import main; main()"
    arguments = ["simulate", "--designs", "designs.parquet", "--out", "out.csv"]
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        # The first rows are on the disk.
        while not any(path.stat().st_size for path in tmp_path.glob(".out.csv.*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    written = pl.read_csv(tmp_path / "out.csv", infer_schema_length=None)
    assert 0 < written.height < frame.height
    assert written.height % CHUNK == 0
    assert f"{written.height:,} designs" in out
    assert written.select(PRIME.names).equals(frame.head(written.height))
    assert {path.name for path in tmp_path.iterdir()} == {"designs.parquet", "out.csv"}


def test_threads_make_no_difference(tmp_path: Path, many: Path) -> None:
    texts = []
    for threads in (1, 2, None):
        simulate_file(SIMULATOR, many, tmp_path / "out.csv", threads=threads)
        texts.append((tmp_path / "out.csv").read_bytes())
    assert texts[0] == texts[1] == texts[2]
