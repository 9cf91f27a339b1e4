"""Sweeps against all designs simulated and sorted with NumPy; the command, its files, errors and Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from polars.testing import assert_frame_equal

import prime_fast as pf
from prime_fast.sweeping import SweepResult

Run = Callable[..., tuple[int, str, str]]
FEW = {
    "pes_x": [1, 6, 16],
    "pes_y": [4, 8],
    "cores": [4, 16, 64],
    "compute_lanes": [2, 8],
    "pe_memory": [262144, 1048576, 8388608],
    "core_memory": [4096, 32768],
    "activation_memory": [256, 512, 4096],
    "instruction_memory": [8192, 32768],
    "parameter_memory": [2048, 8192],
    "dram_bandwidth": [5, 20, 30],
}
WIDE = """
[[parameter]]
name = "clusters"
values = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]

[[parameter]]
name = "ways"
values = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
"""


def cut(values: dict[str, list[int]], extra: str = "") -> pf.DesignSpace:
    """PRIME's space with fewer values of some parameters and more lines of TOML."""
    text = pf.DesignSpace.bundled().to_toml()
    for name, few in values.items():
        text, found = re.subn(rf'(name = "{name}"[^[]*?values = )\[.*?\]', rf"\g<1>{few}", text, count=1)
        assert found == 1
    return pf.DesignSpace.from_toml(f"{text}\n{extra}")


def measures(simulator: pf.Simulator) -> tuple[dict[str, NDArray[np.float64]], list[str | None]]:
    """Every measure of every design of a small space, and why designs are rejected."""
    space = simulator.space
    designs = space.ranks(np.arange(space.size, dtype=np.uint64))
    scores = simulator.score(designs)
    outputs = ("latency_us", "energy_uj", "average_power_mw", "peak_power_mw")
    values = {name: getattr(scores, name) for name in outputs}
    values["energy_delay"] = scores.latency_us * scores.energy_uj
    values |= {name: space.metric(name, designs) for name in space.metric_names}
    return values, scores.reasons()


def compare(application: str, space: pf.DesignSpace, **options: Any) -> SweepResult:
    """Compare a sweep with brute force; return it."""
    result = pf.sweep(application, space=space, keep=25, **options)
    values, reasons = measures(pf.Simulator(application, space))
    counts = Counter(reasons)
    feasible = np.array([reason is None for reason in reasons])
    assert (result.complete, result.designs, result.feasible) == (True, space.size, counts.pop(None))
    assert {name: count for name, count in result.rejected.items() if count} == counts
    within = feasible & np.all([values[name] <= limit for name, limit in result.limits.items()], axis=0)
    assert result.within_limits == within.sum() > 0

    objective = np.where(within, values[result.objective], np.inf)
    order = np.argsort(objective, kind="stable")[: min(25, int(within.sum()))]
    np.testing.assert_allclose(result.best[result.objective], objective[order], rtol=1e-12)
    assert result.ties == np.sum(objective <= objective.min() * (1 + 1e-9))
    assert result.best["index"].is_unique().all()
    for frame in (result.best, result.front):
        index = frame["index"].to_numpy()
        assert within[index].all()
        assert frame.select(space.names).equals(space.frame(space.ranks(index)))
        for name in set(frame.columns) - {"index", *space.names}:
            np.testing.assert_allclose(frame[name], values[name][index], rtol=1e-12)

    if result.front_measures:
        points = np.stack([values[name] for name in result.front_measures], axis=1).round(9)
        inside = np.unique(points[within], axis=0)
        beaten = [
            bool(np.any(np.all(inside <= point, axis=1) & np.any(inside < point, axis=1))) for point in inside
        ]
        expected = inside[~np.array(beaten)]
        found = points[result.front["index"].to_numpy()]
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    for (name,), bins in result.histograms.group_by("metric", maintain_order=True):
        column = values[str(name)][within]
        counted = [
            np.sum((low <= column) & (column < up)) for low, up in bins.select("lower", "upper").rows()
        ]
        assert bins["count"].to_list() == counted
        assert sum(counted) == len(column)
    return result


@pytest.mark.parametrize(
    ("application", "options"),
    [
        ("MobileNetV2", {}),
        ("MobileNetV2", {"limits": {"area_mm2": 29.0}, "objective": "energy_delay"}),
        ("U-Net", {"objective": "energy_uj", "front": ("energy_uj", "peak_power_mw", "area_mm2")}),
        (
            "t-RNN Enc",
            {
                "limits": {"average_power_mw": 800.0, "area_mm2": 80.0},
                "front": (),
                "histograms": ("peak_power_mw",),
            },
        ),
    ],
)
def test_a_sweep_equals_brute_force(application: str, options: dict[str, Any]) -> None:
    result = compare(application, cut(FEW), **options)
    assert result.best.height == 25
    assert result.ties > 1
    assert result.front.height > 3 or not result.front_measures
    assert sum(count > 0 for count in result.rejected.values()) >= 2


def test_parameters_that_the_simulator_does_not_know() -> None:
    extra = """
        [[parameter]]
        name = "voltage"
        values = [0.5, 0.7, 0.9]
        [[parameter]]
        name = "process"
        values = ["old", "new"]
        [[metric]]
        name = "price"
        expression = "max(area_mm2, 20) * voltage + (dram_bandwidth * pes_x) % 7"
        [[constraint]]
        name = "stable"
        expression = 'process == "new" or voltage * pes_x * (pe_memory // 3e5) > 3 * dram_bandwidth // pes_y'
    """
    space = cut({**FEW, "compute_lanes": [4], "activation_memory": [512]}, textwrap.dedent(extra))
    result = compare("M5", space, limits={"price": 60.0}, front=("price", "latency_us"), histograms=["price"])
    assert result.rejected["stable"] > 0


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    space = cut(dict(list(FEW.items())[4:]))
    options: dict[str, Any] = {"space": space, "limits": {"area_mm2": 29.0}}
    one, two, five = (pf.sweep("MobileNetV3", threads=threads, **options) for threads in (1, 2, 5))
    for other in (two, five):
        assert {**other.as_dict(), "seconds": 0} == {**one.as_dict(), "seconds": 0}
    assert one.front.height > 10


@pytest.mark.parametrize("application", ["MobileNetV2", "t-RNN Enc"])
def test_the_whole_space_of_prime_has_the_optimum_that_is_proved(application: str) -> None:
    limits = {"area_mm2": 29.0}
    found = pf.sweep(application, limits=limits, histograms=("latency_us",))
    assert found.designs == 452_760_000
    proved = pf.solve(application, limits=limits)
    assert proved.proved
    assert found.best["latency_us"][0] == pytest.approx(proved.score, rel=1e-12)
    assert found.ties == proved.tie_count
    ties = found.best.head(proved.tie_count)
    assert ties["index"].to_list() == found.space.indices(proved.designs)[: ties.height].tolist()
    assert found.front["latency_us"][0] == found.best["latency_us"][0]


def test_reported_figures_are_those_of_the_simulator_and_progress_is_told() -> None:
    reports: list[tuple[int, float | None, float]] = []
    result = pf.sweep("M6", space=cut(FEW), callback=lambda *report: reports.append(report))
    assert reports[-1][:2] == (result.designs, result.best["latency_us"][0])
    assert 0 < reports[-1][2] <= result.seconds

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pf.sweep("M6", space=cut(FEW), callback=fail)


def test_an_empty_result_is_empty() -> None:
    result = pf.sweep("M6", space=cut(FEW), limits={"latency_us": 1.0})
    assert (result.within_limits, result.ties, result.best.height, result.front.height) == (0, 0, 0, 0)
    assert result.feasible > 0
    assert result.table().height == result.histograms.height == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": "latency"}, ["`latency`", "latency_us"]),
        ({"limits": {"area": 29.0}}, ["`area`", "area_mm2", "energy_delay"]),
        ({"limits": {"area_mm2": -1.0}}, ["area_mm2=-1", "positive"]),
        ({"front": ("area_mm2",)}, ["front", "1 measures"]),
        ({"front": ("area_mm2", "area_mm2")}, ["front", "`area_mm2` twice"]),
        ({"histograms": ("size",)}, ["`size`"]),
        ({"keep": 0}, ["keep is 0"]),
        ({"keep": 10**12}, ["keep is 1000000000000"]),
        ({"threads": -1}, ["threads is -1"]),
        ({"space": cut(FEW, '[[parameter]]\nname = "index"\nvalues = [1, 2]')}, ["`index`", "rename"]),
        (
            {"space": cut({}, "".join(WIDE.replace('s"', f'{n}"') for n in range(2)))},
            ["4527600000000 designs", "2^40", "prime-fast solve"],
        ),
    ],
)
def test_unusable_arguments_are_named(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(pf.ConfigurationError) as raised:
        pf.sweep("M6", **{"space": cut(FEW), **options})
    assert [word for word in words if word not in str(raised.value)] == []


# --- the command -----------------------------------------------------------------------------------------


@pytest.fixture
def run(run: Run) -> Run:
    """Call `prime-fast sweep`."""
    return partial(run, "sweep")


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A small space as a file."""
    path = tmp_path / "few.toml"
    path.write_text(cut(FEW).to_toml())
    return path


def test_command_prints_a_table(run: Run, few: Path) -> None:
    code, out, err = run("--app", "mobilenetv2", "--limit", "area_mm2=29", "--space", few)
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines()), out
    result = pf.sweep("MobileNetV2", space=cut(FEW), limits={"area_mm2": 29.0})
    for text in (
        "MobileNetV2: least latency_us, area_mm2 <= 29",
        f"{result.best['latency_us'][0]:.4g}",
        f"{result.designs:,}",
        f"{result.within_limits:,}",
        f"{result.rejected['die_area']:,}",
        f"Pareto front (latency_us, area_mm2): {result.front.height:,} designs",
    ):
        assert text in out


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".json"])
def test_command_writes_designs_and_histograms(run: Run, few: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"found{suffix}"
    code, printed, err = run(
        "--app", "M4", "--space", few, "--keep", 3, "--out", out, "--json", "--front", "energy_uj,area_mm2",
        "--histograms", "area_mm2",
    )  # fmt: skip
    assert (code, err) == (0, "")
    readers: dict[str, Any] = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".json": pl.read_json}
    options: dict[str, Any] = {"keep": 3, "front": ("energy_uj", "area_mm2"), "histograms": ("area_mm2",)}
    result = pf.sweep("M4", space=cut(FEW), **options)
    wanted = {out: result.table(), tmp_path / f"found-histograms{suffix}": result.histograms}
    assert set(tmp_path.iterdir()) == {few, *wanted}
    for path, frame in wanted.items():
        assert_frame_equal(readers[suffix](path), frame, check_dtypes=False, check_exact=True)
    assert result.table()["set"].unique().to_list() in (["best", "front"], ["front", "best"])
    told = json.loads(printed)
    assert told.pop("schema") == "prime-fast/sweep/1"
    assert told.pop("files") == [str(path) for path in wanted]
    assert {**told, "seconds": 0} == {**result.as_dict(), "seconds": 0}


def test_command_without_front_and_histograms(run: Run, few: Path) -> None:
    code, out, _ = run("--app", "M4", "--space", few, "--front", "none", "--histograms", "none", "--json")
    told = json.loads(out)
    assert code == 0
    assert len(told["best"]) == 16
    assert told["front"] == told["histograms"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--limit", "area_mm2=1"], 4, "Error: no design of the space `prime` is feasible within the limits"),
        (["--limit", "area_mm2"], 2, "NAME=VALUE"),
        (["--limit", "areas=3"], 2, "`areas`"),
        (["--limit", "area_mm2=3", "--limit", "area_mm2=4"], 2, "`area_mm2` is given twice"),
        (["--front", "area_mm2"], 2, "the front has 1 measures"),
        (["--out", "found.txt"], 2, ".parquet, .csv or .json"),
        (["--out", "nowhere/found.csv"], 2, "there is no directory nowhere"),
        (["--app", "MobileNetV9"], 2, "MobileNetV9"),
    ],
)
def test_command_names_what_is_wrong(
    run: Run, few: Path, arguments: list[str], code: int, words: str
) -> None:
    found, _, err = run("--app", "M4", "--space", few, *arguments)
    assert found == code
    assert words in err
    assert err.count("Error") == 1


def test_ctrl_c_prints_what_was_found(tmp_path: Path) -> None:
    space = tmp_path / "wide.toml"
    space.write_text(cut({}, WIDE).to_toml())
    program = """
        import sys
        from prime_fast import sweeping
        from prime_fast.cli import main

        real = sweeping.sweep

        def sweep(*args, **options):
            running = lambda designs, best, seconds: best and print("running", flush=True)
            return real(*args, **{**options, "callback": running})

        sweeping.sweep = sweep
        main(sys.argv[1:])
    """
    options = ["sweep", "--app", "M6", "--space", str(space), "--out", str(tmp_path / "found.csv")]
    command = [sys.executable, "-c", textwrap.dedent(program), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, err.strip()) == (130, "Interrupted.")
    assert "45,276,000,000 designs were counted" in out
    assert "latency_us" in out
    assert pl.read_csv(tmp_path / "found.csv").height >= 16
