"""`prime-fast benchmark`: comparisons with published figures, and how they are read, printed and written.

Tests that need the published tables are skipped where these don't lie beside the checkout; what is computed
and printed is tested with tables made here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import kendalltau

import prime_fast as pf
from prime_fast import benchmark
from prime_fast.benchmark.calibration import COLUMNS
from prime_fast.benchmark.silicon import MEASURED, NETWORKS

Run = Callable[..., tuple[int, str, str]]
SHARED = Path(__file__).resolve().parents[2] / "shared"
PUBLISHED = SHARED / "facts" / "published_dataset.csv"
CORAL = SHARED / "reference" / "coral_benchmarks.csv"
NVDLA = SHARED / "reference" / "nvdla_configurations.csv"
beside_a_checkout = pytest.mark.skipif(
    not all(path.exists() for path in (PUBLISHED, CORAL, NVDLA)),
    reason="the published tables lie beside a developer's checkout only",
)


@pytest.fixture
def run(run: Run) -> Run:
    """Call `prime-fast benchmark`; its output keeps to 80 columns."""

    def call(*args: object) -> tuple[int, str, str]:
        code, out, err = run("benchmark", *args)
        assert all(len(line) <= 80 for line in out.splitlines()), out
        return code, out, err

    return call


def test_rank_correlation_with_ties() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        a, b = generator.integers(0, 6, size=(2, 12))
        assert benchmark.kendall_tau(a, b) == pytest.approx(kendalltau(a, b).statistic)
    assert np.isnan(benchmark.kendall_tau([1, 1], [1, 2]))


def published(frame: pl.DataFrame, path: Path, **changed: pl.Expr) -> Path:
    """Write a table as PRIME's authors publish, of figures of our own."""
    table = frame.select(
        "application",
        infeasible=(1e6 - 1e4 * pl.col("feasible_percent")).round().cast(pl.Int64),
        feasible=(1e4 * pl.col("feasible_percent")).round().cast(pl.Int64),
        max_runtime="max_latency_us",
        min_runtime="min_latency_us",
        mean_runtime="mean_latency_us",
    ).with_columns(**changed)
    table.write_csv(path)
    return path


def test_calibration_finds_what_was_drawn(tmp_path: Path) -> None:
    ours = benchmark.compare_calibration(designs=4000, seed=3)
    assert ours.frame["application"].to_list() == pf.prime_application_names()
    assert ours.frame.filter("stand_in")["application"].to_list() == ["M4", "M5", "M6"]
    shares = ours.frame.select("feasible_percent", pl.col("^(die|pe|core|instruction)_.*_percent$"))
    assert shares.width == 5
    assert shares.sum_horizontal().to_list() == pytest.approx([100.0] * 9)
    simulator = pf.Simulator("U-Net")
    scores = simulator.score(simulator.space.sample(4000, seed=3))
    row = ours.frame.row(by_predicate=pl.col("application") == "U-Net", named=True)
    assert row["feasible_percent"] == pytest.approx(100 * scores.feasible.mean())
    assert row["mean_latency_us"] == pytest.approx(np.nanmean(scores.latency_us))
    # Compared with itself nothing is off; compared with half the latency everything is.
    same = benchmark.compare_calibration(
        designs=4000, seed=3, published=published(ours.frame, tmp_path / "a.csv")
    )
    assert same.frame["feasible_difference_points"].to_list() == pytest.approx([0.0] * 9, abs=1e-3)
    assert same.frame["mean_ratio"].to_list() == pytest.approx([1.0] * 9)
    assert set(same.figures.values()) == {9.0}
    halved = {f"{which}_runtime": pl.col(f"{which}_runtime") / 2 for which in ("min", "mean", "max")}
    path = published(ours.frame.head(2), tmp_path / "b.csv", **halved)
    other = benchmark.compare_calibration(["m4", "MobileNetV2"], designs=4000, seed=3, published=path)
    assert other.frame["mean_ratio"].to_list() == [None, pytest.approx(2.0)]
    assert other.figures == {"feasible_within": 1, "min_within": 0, "mean_within": 0, "max_within": 1}
    assert "mean within a factor of 1.35: 0 of 1; not MobileNetV2" in other.lines


@beside_a_checkout
def test_random_designs_are_like_those_of_the_published_data_set() -> None:
    figures = benchmark.compare_calibration(designs=200_000, published=PUBLISHED).figures
    aims = {"feasible_within": 8, "min_within": 7, "mean_within": 8, "max_within": 8}
    assert all(figures[name] >= least for name, least in aims.items()), figures


def test_v1_and_the_best_designs() -> None:
    comparison = benchmark.compare_edge_tpu(["t-RNN Enc", "MobileNetV2"], tolerance=0.1)
    assert not comparison.interrupted
    for row in comparison.frame.iter_rows(named=True):
        best = pf.solve(row["application"], {"area_mm2": 27.0})
        assert row["best_latency_us"] == best.score
        assert row["speed_up"] == pytest.approx(row["v1_latency_us"] / best.score)
        assert row["v1_caching_latency_us"] < row["v1_latency_us"]
        assert row["least_area_mm2"] <= row["best_area_mm2"] <= 27.0
        # Nothing smaller is as fast, but for the step of the bisection.
        limits = {"area_mm2": row["least_area_mm2"] - 0.05, "latency_us": 1.1 * best.score}
        with pytest.raises(pf.NoFeasibleDesignError):
            pf.solve(row["application"], limits)
    # The published factor of t-RNN Enc is 11.84.
    assert 8 < comparison.figures["speed_up, t-RNN Enc"] < 16
    assert "speed_up, all nine applications" not in comparison.figures


def test_speed_up_over_v1_is_of_the_published_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prime_fast.benchmark.edge_tpu.AREA_STEP", 4.0)
    figures = benchmark.compare_edge_tpu().figures
    assert 2.69 / 1.35 < figures["speed_up, all nine applications"] < 2.69 * 1.35
    assert 1.85 / 1.35 < figures["speed_up, the MobileNets"] < 1.85 * 1.35
    assert 1.0 < figures["area_ratio, all nine applications"] < 2.0


def test_prime_wins_where_memory_binds_and_loses_where_compute_does() -> None:
    comparison = benchmark.compare_trade()
    ratios = dict(comparison.frame.select("application", "ratio").iter_rows())
    for name, ratio in ratios.items():
        assert ratio > 3 if name.startswith("t-RNN") else ratio < 1, name
    assert min(ratios, key=lambda name: ratios[name]) == "U-Net"
    assert comparison.figures["mean_ratio"] > 1


def measured(path: Path) -> Path:
    """Write measurements that are half of what is simulated, and a network that isn't bundled."""
    ours = dict(benchmark.compare_silicon().frame.select("application", "latency_ms").iter_rows())
    rows = [(name, ours[bundled] / 2) for name, bundled in NETWORKS.items()]
    pl.DataFrame([*rows, ("DenseNet", 20.0)], schema=["model", MEASURED], orient="row").write_csv(path)
    return path


def test_silicon_compares_with_what_is_measured(tmp_path: Path) -> None:
    comparison = benchmark.compare_silicon(measured(tmp_path / "coral.csv"))
    assert sorted(comparison.frame["application"]) == sorted(NETWORKS.values())
    assert comparison.figures["tau"] == 1.0
    assert comparison.figures["ratio"] == pytest.approx(2.0)
    frame = comparison.frame.with_columns(gain=pl.col("no_caching_latency_ms") / pl.col("latency_ms"))
    assert frame.filter("fits")["gain"].min() > 2  # type: ignore[operator]
    assert frame.filter(~pl.col("fits"))["gain"].max() < 1.5  # type: ignore[operator]
    assert comparison.figures["jump, simulated"] > 4 > 2 > comparison.figures["jump, uncached"]


@beside_a_checkout
def test_silicon_has_the_measured_order() -> None:
    figures = benchmark.compare_silicon(CORAL).figures
    assert figures["tau"] >= 0.8
    assert 0.6 < figures["ratio"] < 1.4
    assert 0.5 < figures["jump, simulated"] / figures["jump, measured"] < 2


NVDLA_HEADER = (
    "macs,conv_buffer_kb,sdram_gbps,area_mm2_16nm,resnet50_int8_fps_1ghz,power_peak_mw_16nm,power_avg_mw_16nm"
)


def test_nvdla_compares_each_configuration(tmp_path: Path) -> None:
    path = tmp_path / "nvdla.csv"
    path.write_text(f"{NVDLA_HEADER}\n1024,512,16,1.0,100,500,200\n64,64,0.5,0.1,10,50,20\n")
    comparison = benchmark.compare_nvdla(path)
    frame = comparison.frame
    for name in ("area_mm2", "peak_power_mw", "average_power_mw", "fps"):
        large, small = frame[name]
        assert large > small > 0
        assert frame[f"{name}_ratio"].to_list() == pytest.approx(
            [large / frame[f"published_{name}"][0], small / frame[f"published_{name}"][1]]
        )
    assert (frame["average_power_mw"] < frame["peak_power_mw"]).all()
    # No more frames than MACs allow at 1 GHz.
    assert (frame["fps"] <= frame["macs"] * 1e9 / 3.86e9).all()


@beside_a_checkout
def test_nvdla_power_is_of_the_published_order() -> None:
    figures = benchmark.compare_nvdla(NVDLA).figures
    assert 0.5 < figures["peak_power_mw ratio"] < 2
    assert 0.5 < figures["average_power_mw ratio"] < 3
    for name in ("area_mm2", "peak_power_mw", "average_power_mw", "fps"):
        assert figures[f"{name} tau"] > 0.9


def test_every_command_prints_and_writes(run: Run, tmp_path: Path) -> None:
    ours = benchmark.compare_calibration(designs=2000).frame
    (tmp_path / "nvdla.csv").write_text(f"{NVDLA_HEADER}\n64,64,0.5,0.1,10,50,20\n128,64,0.5,0.1,10,50,20\n")
    commands = {
        "calibration": ("--designs", 2000, "--published", published(ours, tmp_path / "published.csv")),
        "edge-tpu": ("--app", "M6", "--area", 20, "--threads", 1),
        "trade": (),
        "silicon": ("--measured", measured(tmp_path / "coral.csv")),
        "nvdla": ("--configurations", "nvdla.csv"),
    }
    for name, options in commands.items():
        code, told, err = run(name, *options, "--out", f"{name}-rows.csv")
        assert (code, err) == (0, "")
        assert f"File: {name}-rows.csv" in told
        frame = pl.read_csv(tmp_path / f"{name}-rows.csv")
        assert all(str(value) in told for value in frame[:, 0])
    for suffix in (".parquet", ".json"):
        code, told, err = run("trade", "--app", "VGG16", "--app", "m4", "--out", f"out{suffix}")
        assert (code, err) == (0, "")
        # VGG16 doesn't fit the evolutionary design.
        assert " - " in told
    rows = json.loads((tmp_path / "out.json").read_text())
    assert rows == pl.read_parquet(tmp_path / "out.parquet").to_dicts()
    assert (rows[0]["evolutionary_latency_us"], rows[1]["stand_in"]) == (None, True)
    code, told, _ = run("silicon")
    assert "by --measured FILE" in told
    code, told, _ = run("calibration", "--designs", 500, "--app", "M6")
    assert "by --published FILE" in told


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("calibration", "--app", "MobilNetV2"), "did you mean MobileNetV2"),
        (("calibration", "--designs", 0), "designs is 0; it must be at least 1"),
        (("calibration", "--published", "none.csv"), "none.csv: no such file; expected a CSV table of appl"),
        (("calibration", "--out", "a.xlsx"), "its name must end in .csv, .parquet, .json"),
        (("edge-tpu", "--tolerance", "nan"), "tolerance is nan; it must be a finite number of at least 0"),
        (("edge-tpu", "--area", "-1"), "area_mm2"),
        (("trade", "--app", "M9"), "unknown application"),
        (("trade", "--out", "nowhere/a.csv"), "can't write nowhere/a.csv"),
        (("silicon", "--measured", "none.csv"), "none.csv: no such file"),
        (("nvdla",), "--configurations"),
        (("nvdla", "--configurations", "."), ".: can't be read"),
        (("golden",), "golden"),
    ],
)
def test_usage_errors(run: Run, args: tuple[object, ...], told: str) -> None:
    code, _, err = run(*args)
    assert code == 2
    assert told in err
    assert "Traceback" not in err


def test_nothing_within_the_area(run: Run) -> None:
    code, _, err = run("edge-tpu", "--app", "U-Net", "--area", 5)
    assert code == 4
    assert "area_mm2" in err


HEADER = ",".join(COLUMNS)
BAD_CALIBRATION = {
    "": "no CSV table",
    HEADER: "no rows under the header",
    "application,feasible\nM4,3": "no column infeasible, max_runtime, min_runtime, mean_runtime",
    f"{HEADER}\nM4,1,2,9,1,3\nM7,1,2,9,1,3": "row 2: unknown application 'M7'; known: MobileNetEdgeTPU",
    f"{HEADER}\nM4,1,2,9,1,3\nm4,1,2,9,1,3": "row 2: application 'm4' is there twice",
    f"{HEADER}\nM4,-1,2,9,1,3": "row 1: `infeasible` is -1; expected a whole number from 0",
    f"{HEADER}\nM4,1,2.5,9,1,3": "row 1: `feasible` is 2.5; expected a whole number from 0",
    f"{HEADER}\nM4,1,0,9,1,3": "row 1: `feasible` is 0; expected at least 1",
    f"{HEADER}\nM4,1,2,inf,1,3": "row 1: `max_runtime` is inf; expected a finite number above 0",
    f"{HEADER}\nM4,1,2,9,,3": "row 1: `min_runtime` is empty; expected a finite number above 0",
    f"{HEADER}\nM4,1,2,9,fast,3": "row 1: `min_runtime` is fast; expected a finite number above 0",
    f"{HEADER}\n,1,2,9,1,3": "row 1: `application` is empty; expected a text",
    f"{HEADER}\nM4,1,2,1,9,3": "row 1: the runtimes must ascend",
    f"{HEADER}\nM4,1,2,9,1,3,4,5,6": "no CSV table",
    "\xff\xfe\x00": "table.csv: no ",
}


@pytest.mark.parametrize("text", BAD_CALIBRATION)
def test_published_tables_that_are_none(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "table.csv").write_bytes(text.encode("latin-1"))
    code, out, err = run("calibration", "--published", "table.csv", "--designs", 10)
    assert (code, out) == (3, "")
    assert BAD_CALIBRATION[text] in err
    assert err.startswith("Error: table.csv: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "text", "told"),
    [
        ("silicon", "model,ms\nVGG16,3", f"no column {MEASURED}"),
        ("silicon", f"model,{MEASURED}\nVGG16,3\nDenseNet,4", "1 models of MobileNet v1"),
        ("silicon", f"model,{MEASURED}\nVGG16,3\nSqueezeNet,0", f"row 2: `{MEASURED}` is 0"),
        ("silicon", f"model,{MEASURED}\nVGG16,3\nVGG16,3", "'VGG16' is there twice"),
        ("nvdla", f"{NVDLA_HEADER}\n48,64,0.5,1,1,1,1", "row 1: `macs` is 48; expected a power of two"),
        ("nvdla", f"{NVDLA_HEADER}\n64,0,0.5,1,1,1,1", "row 1: `conv_buffer_kb` is 0; expected 1 to 8192"),
        ("nvdla", f"{NVDLA_HEADER}\n64,64,-1,1,1,1,1", "row 1: `sdram_gbps` is -1"),
    ],
)
def test_reference_tables_that_are_none(run: Run, tmp_path: Path, command: str, text: str, told: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    option = "--measured" if command == "silicon" else "--configurations"
    code, out, err = run(command, option, "table.csv")
    assert (code, out) == (3, "")
    assert told in err
    assert err.startswith("Error: table.csv: ")
    assert err.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="signals are delivered differently on Windows")
def test_ctrl_c_keeps_the_rows_by_then(tmp_path: Path) -> None:
    """Interrupt between the first row, which a hook announces, and the last."""
    program = (
        "from prime_fast.benchmark import calibration\nfrom prime_fast.cli import main\n"
        "plain = calibration.rows_until_interrupt\n"
        "def told(items, row, stage, progress):\n"
        "    def show(stage, done, total):\n"
        "        if done == 1:\n            print('one row', flush=True)\n"
        "    return plain(items, row, stage, show)\n"
        "calibration.rows_until_interrupt = told\n"
        "main(['benchmark', 'calibration', '--designs', '1500000', '--out', 'rows.csv'])\n"
    )
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "one row\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    rows = pl.read_csv(tmp_path / "rows.csv")
    assert 1 <= rows.height < 9
    assert "MobileNetEdgeTPU" in out


def test_the_sweep_confirms_the_proven_optimum(run: Run) -> None:
    code, out, err = run("optimum", "--app", "M6", "--app", "resnet-18", "--area", 40, "--out", "t.csv")
    assert (code, err) == (0, "")
    assert "area_mm2 <= 40" in out
    assert "those of the sweep for 2 of 2 applications" in out
    table = pl.read_csv("t.csv")
    assert table["equal"].all()
    assert table["optimum_us"].to_list() == table["sweep_us"].to_list()
    assert (table["nodes"] > 1).all()
