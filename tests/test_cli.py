"""The command line through its entry point: results, files, one clear error for each kind of bad input."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

import prime_fast as pf
from prime_fast import offline, pipeline, run_directory
from prime_fast.cli.tables import print_result
from prime_fast.logs import bundled_log, generate, read_log, write_table
from prime_fast.surrogate import Surrogate
from prime_fast.surrogate.constraints import LearnedConstraint

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of a few hundred simulated designs."""
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    write_table(generate(pf.Simulator("MobileNetV2"), 1500, seed=3), path)
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[pf.OptimizeResult, Path]:
    """One run of the main job on the bundled log."""
    out = tmp_path_factory.mktemp("run") / "out"
    return pf.optimize("MobileNetV2", budget="quick", seed=1, out=out), out


def test_optimize_beats_the_log_within_the_limit(finished: tuple[pf.OptimizeResult, Path]) -> None:
    result, _ = finished
    assert result.proposals.height == 16
    assert result.proposals["area_mm2"].max() <= 27.0  # type: ignore[operator]
    assert result.proposals.select(result.space.names).is_unique().all()
    assert result.queries == {"before_proposals": 0, "proposals": 16, "references": 1}
    logged = bundled_log("MobileNetV2").best({"area_mm2": 27.0})
    assert logged is not None
    assert result.best["simulated_latency_us"] < 0.75 * logged["latency_us"]
    assert result.ratios()["best logged"] == pytest.approx(
        logged["latency_us"] / result.best["simulated_latency_us"]
    )


def test_optimize_writes_a_run_that_can_be_repeated(finished: tuple[pf.OptimizeResult, Path]) -> None:
    result, out = finished
    names = {path.name for path in out.iterdir()}
    assert names == {
        ".lock",
        "held_out.parquet",
        "log_sample.parquet",
        "manifest.json",
        "proposals.csv",
        "proposals.parquet",
        "search.parquet",
        "surrogate.safetensors",
        "training.jsonl",
    }
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["seed"] == 1
    assert manifest["logs"][0]["sources"][0]["path"] == "bundled:mobilenetv2.parquet"
    assert pf.DesignSpace.from_toml(manifest["space"]) == result.space
    assert pl.read_parquet(out / "proposals.parquet").equals(result.proposals)
    records = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert len(records) > 2
    loaded = pf.surrogate.Surrogate.load(out / "surrogate.safetensors")
    predicted = loaded.predict(result.space.ranks_from_frame(result.proposals)).objective
    assert predicted == pytest.approx(result.proposals["predicted_latency_us"].to_numpy())


def test_optimize_prints_table_or_json(run: Run, log: Path, tmp_path: Path) -> None:
    code, out, err = run(
        "optimize", "--app", "mobilenetv2", "--logs", log, "--budget", "quick", "--proposals", 3
    )
    assert code == 0, err
    assert all(len(line) <= 80 for line in out.splitlines()[:18]), out
    for text in (
        "pes_x",
        "best logged",
        "Edge TPU V1",
        "simulated latency_us",
        "Simulator queries: 0 before",
    ):
        assert text in out
    (directory,) = (tmp_path / "prime-fast-runs").iterdir()
    code, out, err = run(
        "optimize", "--app", "MobileNetV2", "--logs", log, "--budget", "quick", "--proposals", 3, "--json",
        "--out", "again",
    )  # fmt: skip
    assert code == 0, err
    data = json.loads(out)
    assert len(data["proposals"]) == 3
    assert data["simulator_queries"]["before_proposals"] == 0
    # The same seed makes the same proposals.
    for name in ("proposals.parquet", "proposals.csv", "surrogate.safetensors"):
        assert (directory / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def printed(result: pf.OptimizeResult) -> str:
    console = Console(file=io.StringIO(), width=80)
    print_result(result, console)
    assert isinstance(console.file, io.StringIO)
    assert max(map(len, console.file.getvalue().splitlines())) <= 80
    return console.file.getvalue()


def test_learned_constraints_are_printed_and_written(finished: tuple[pf.OptimizeResult, Path]) -> None:
    result = dataclasses.replace(finished[0], out=None)
    none = dataclasses.replace(result, learned_constraints={"MobileNetV2": ()})
    assert "Learned" not in printed(none)
    assert none.as_dict()["learned_constraints"] == {"MobileNetV2": []}
    memory = LearnedConstraint("pe_memory_mib", (), True, 48.0, 1923)
    ratio = LearnedConstraint("cores / core_memory", (0, 0, 1, 0, 0, -1, 0, 0, 0, 0), False, 1 / 128, 14)
    names = ["activation_memory", "instruction_memory", "parameter_memory", "dram_bandwidth"]
    product = LearnedConstraint(" * ".join(names), (0,) * 6 + (1,) * 4, True, 4.5e9, 20)
    one = dataclasses.replace(result, learned_constraints={"MobileNetV2": (memory, ratio)})
    assert (
        "Learned from infeasible designs: pe_memory_mib >= 48 (1,923),\n"
        "  cores / core_memory <= 0.0078125 (14)\n"
    ) in printed(one)
    several = dataclasses.replace(
        result, learned_constraints={"M4": (memory, product), "M5": (), "U-Net": (ratio,)}
    )
    out = printed(several)
    assert "Learned from infeasible designs of M4: pe_memory_mib >= 48 (1,923),\n" in out
    assert f"{product} (20)" in " ".join(out.split())
    assert "Learned from infeasible designs of U-Net: cores / core_memory <= 0.0078125 (14)\n" in out
    assert "of M5" not in out
    manifest = json.loads((finished[1] / "manifest.json").read_text())
    assert manifest["result"]["learned_constraints"] == finished[0].as_dict()["learned_constraints"]
    assert isinstance(finished[0].surrogate, Surrogate)
    assert finished[0].learned_constraints == {"MobileNetV2": finished[0].surrogate.constraints[0]}


def test_the_worst_of_several_is_printed_as_a_ratio(finished: tuple[pf.OptimizeResult, Path]) -> None:
    mean = dataclasses.replace(finished[0], applications=["M5", "M6"], out=None)
    out = printed(mean)
    assert out.startswith("geometric mean of M5 + M6: latency_us, area_mm2 <= 27\n")
    assert "simulated latency_us" in out
    out = printed(dataclasses.replace(mean, combine="worst"))
    assert out.startswith("worst ratio to reference of M5 + M6: latency_us, area_mm2 <= 27\n")
    assert "predicted ratio" in out
    assert "simulated ratio" in out
    assert "simulated latency_us" not in out
    assert "(worst ratio of latency_us, simulated)" in out


def test_a_run_whose_result_cant_be_written_says_that_it_failed(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: pl.DataFrame, path: Path) -> None:
        raise pf.ConfigurationError(f"can't write {path}: no space left")

    monkeypatch.setattr(run_directory, "write_table", full)
    with pytest.raises(pf.ConfigurationError, match="no space left"):
        pf.optimize(logs=log, method="random", out=tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "failed"
    assert "no space left" in manifest["error"]
    assert "result" not in manifest


def test_manifests_hold_what_json_can(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*args: Any, **options: Any) -> Any:
        found = offline.run_offline(*args, **options)
        options["record"]({"event": "made up", "tau": np.float32("nan")})
        return dataclasses.replace(found, predicted=np.full(len(found.designs), np.inf))

    monkeypatch.setattr(pipeline, "run_offline", endless)
    contexts: Any = {"MobileNetV2": np.arange(3), "M5": [np.int64(3), 4, np.float32(5)]}
    result = pf.optimize(
        "MobileNetV2", logs=log, method="random", contexts=contexts, proposals=2, out=tmp_path / "run"
    )
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["contexts"] == {"MobileNetV2": [0.0, 1.0, 2.0], "M5": [3.0, 4.0, 5.0]}
    assert [row["predicted_latency_us"] for row in manifest["result"]["proposals"]] == [None, None]
    assert json.loads(json.dumps(result.as_dict(), allow_nan=False)) == manifest["result"]
    assert result.proposals["predicted_latency_us"].to_list() == [float("inf")] * 2
    line = (tmp_path / "run" / "training.jsonl").read_text()
    assert json.loads(line) == {"event": "made up", "tau": None}


def test_threads_make_no_difference_to_proposals(log: Path) -> None:
    script = f"""
import dataclasses, sys
import prime_fast as pf
from prime_fast.surrogate import settings
quick = dataclasses.replace(settings.PRESETS["quick"], width=16, members=2, steps=60, selection_steps=60)
settings.PRESETS = {{"quick": quick}}
found = pf.optimize("MobileNetV2", logs={str(log)!r}, budget="quick", seed=2, threads=int(sys.argv[1]))
print(found.proposals.write_json())
"""
    # Of the simulator, and of the search, whose number the process is told.
    runs = [
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", script, str(threads)],
            env=os.environ | {"RAYON_NUM_THREADS": str(search)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads, search in ((1, 1), (2, 3))
    ]
    assert len(json.loads(runs[0])) == 16
    assert runs[0] == runs[1]


def test_an_empty_list_of_applications_is_refused(log: Path) -> None:
    empty: tuple[dict[str, Any], ...] = (
        {"applications": []},
        {"applications": "M4", "learn_from": []},
        {"logs": log, "learn_from": []},
    )
    for options in empty:
        with pytest.raises(pf.ConfigurationError, match="the list of applications is empty"):
            pf.optimize(**options)


def test_rows_of_another_application_are_not_learned_from(log: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(log)
    for name, value in (("named", "M5"), ("same", "mobilenetv2")):
        write_table(frame.with_columns(application=pl.lit(value)), tmp_path / f"{name}.parquet")
    options: dict[str, Any] = {"method": "best-logged", "proposals": 3}
    with pytest.raises(pf.DataError, match="no row of application 'U-Net': it has M5"):
        pf.optimize("U-Net", logs=tmp_path / "named.parquet", **options)
    read = read_log(tmp_path / "named.parquet", pf.DesignSpace.bundled())
    with pytest.raises(pf.ConfigurationError, match="the Log has rows of M5; read one of U-Net alone"):
        pf.optimize("U-Net", logs=read, **options)
    plain = pf.optimize("MobileNetV2", logs=log, **options)
    for logs in (tmp_path / "same.parquet", read_log(tmp_path / "same.parquet", plain.space)):
        assert pf.optimize("MobileNetV2", logs=logs, **options).proposals.equals(plain.proposals)
    # Rows without an application are no one's; both logs tell so, once.
    nameless = pl.when(pl.int_range(pl.len()) >= 5).then(pl.lit("M5")).alias("application")
    both = [frame.with_columns(nameless), frame.with_columns(application=pl.lit("M4"))]
    write_table(pl.concat(both), tmp_path / "both.parquet")
    found = pf.optimize(["M5", "M4"], logs=tmp_path / "both.parquet", **options)
    assert [text for text in found.warnings if "application" in text] == [
        "5 rows dropped: application is missing (rows 1, 2, 3, 4, 5)"
    ]


def test_every_simulation_for_references_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    score = pf.Simulator.score

    def counting(self: pf.Simulator, designs: Any, threads: int | None = None) -> pf.Scores:
        asked.append(len(designs))
        return score(self, designs, threads)

    monkeypatch.setattr(pf.Simulator, "score", counting)
    for targets, references in (("M4", 1), (["M4", "M5"], 6)):
        asked.clear()
        queries = pf.optimize(targets, method="random", proposals=3).queries
        assert queries["references"] == references
        assert queries["proposals"] + queries["references"] == sum(asked)


def test_trees_leave_their_trace(log: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightgbm", reason="the extra `baselines` is not installed")
    pf.optimize(logs=log, method="trees", budget="quick", proposals=2, out=tmp_path / "run")
    lines = (tmp_path / "run" / "training.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["event"] for record in records] == ["candidate"] * (len(records) - 1) + ["selected"]
    assert records[-1]["tau"] == max(record["tau"] for record in records)


@pytest.mark.parametrize("method", ["trees", "random"])
def test_methods_that_learn_no_constraints_have_none(log: Path, method: str) -> None:
    result = pf.optimize("MobileNetV2", logs=log, method=method, budget="quick", proposals=2)
    assert result.learned_constraints == {"MobileNetV2": ()}


def test_one_design_for_two_applications(tmp_path: Path) -> None:
    frame = pl.concat(
        generate(pf.Simulator(name), 800, seed=4).with_columns(application=pl.lit(name))
        for name in ("MobileNetV2", "U-Net")
    )
    write_table(frame, tmp_path / "both.parquet")
    result = pf.optimize(
        ["MobileNetV2", "U-Net"],
        logs=tmp_path / "both.parquet",
        budget="quick",
        proposals=4,
        limits={"area_mm2": 50},
    )
    assert isinstance(result.surrogate, Surrogate)
    assert result.surrogate.applications == ("MobileNetV2", "U-Net")
    assert result.queries["proposals"] == 8
    first = result.space.ranks_from_frame(result.proposals)[:1]
    each = [float(pf.Simulator(name).score(first).latency_us[0]) for name in ("MobileNetV2", "U-Net")]
    assert result.proposals["simulated_latency_us"][0] == pytest.approx((each[0] * each[1]) ** 0.5)
    assert result.references["design"].to_list() == [
        "best logged, MobileNetV2",
        "best logged, U-Net",
        "Edge TPU V1",
    ]
    # What U-Net needs is more than what MobileNetV2 does.
    told = result.as_dict()["learned_constraints"]
    assert list(told) == ["MobileNetV2", "U-Net"]
    bound = {name: {one["quantity"]: one["bound"] for one in told[name]}["pe_memory_mib"] for name in told}
    assert bound["U-Net"] > bound["MobileNetV2"]
    for name, least in bound.items():
        mine = frame.filter("feasible", application=name)
        assert result.space.metric("pe_memory_mib", result.space.ranks_from_frame(mine)).min() == least


def test_generate_and_inspect(run: Run, tmp_path: Path) -> None:
    code, out, err = run(
        "logs", "generate", "--app", "U-Net", "--designs", 500, "--seed", 5, "--out", "log.csv"
    )
    assert (code, err) == (0, "")
    assert "500 designs" in out
    frame = pl.read_csv(tmp_path / "log.csv")
    assert frame.columns[-5:] == ["energy_uj", "average_power_mw", "peak_power_mw", "feasible", "reason"]
    code, out, err = run("logs", "inspect", "log.csv", "--limit", "area_mm2=29")
    assert code == 0, err
    assert "die_area" in out
    code, out, err = run("logs", "inspect", "log.csv", "--json")
    assert json.loads(out)["designs"] == 500


USAGE = {
    "unknown application": (["optimize", "--app", "MobilNetV2"], "did you mean MobileNetV2"),
    "unknown limit": (["optimize", "--limit", "aera_mm2=27"], "did you mean area_mm2"),
    "limit without value": (["optimize", "--limit", "area_mm2"], "NAME=VALUE"),
    "limit that is no number": (["optimize", "--limit", "area_mm2=big"], "is not a number"),
    "limit of NaN": (["optimize", "--limit", "area_mm2=nan"], "positive, finite"),
    "negative limit": (["optimize", "--limit", "area_mm2=-3"], "positive, finite"),
    "no threads": (["optimize", "--threads", "0"], "threads is 0; it must be at least 1"),
    "no proposals": (["optimize", "--proposals", "0"], "proposals is 0; it must be at least 1"),
    "unknown budget": (["optimize", "--budget", "huge"], "quick"),
    "application twice": (["optimize", "--app", "M4", "--app", "m4"], "twice"),
    "missing log": (["optimize", "--logs", "nowhere.parquet"], "nowhere.parquet"),
    "missing space": (["optimize", "--space", "nowhere.toml"], "nowhere.toml: no such file"),
    "bundled log of another space": (["optimize", "--space", "SPACE"], "name logs of your own"),
    "unknown option": (["optimize", "--bugdet", "quick"], "--budget"),
    "unknown command": (["optimise"], "optimise"),
    "objective is a parameter": (["optimize", "--objective", "pes_x"], "pes_x"),
    "no designs": (["logs", "generate", "--app", "M4", "--designs", "0", "--out", "a.parquet"], "at least 1"),
    "unknown suffix": (["logs", "generate", "--app", "M4", "--out", "a.xlsx"], ".parquet or .csv"),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage_errors(run: Run, tmp_path: Path, case: str) -> None:
    args, told = USAGE[case]
    (tmp_path / "space.toml").write_text('name = "s"\n[[parameter]]\nname = "a"\nvalues = [1, 2]\n')
    code, out, err = run(*("space.toml" if arg == "SPACE" else arg for arg in args))
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err
    assert not (tmp_path / "prime-fast-runs").exists()


def test_output_directory_in_the_way(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = run("optimize", "--out", "file")
    assert (code, "file: can't be used as output directory" in err) == (2, True)
    code, _, err = run("optimize", "--out", "file/inside")
    assert (code, "can't be used as output directory" in err) == (2, True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    code, _, err = run("optimize", "--out", "full")
    assert (code, "holds thesis.tex already" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--column", "cores=nowhere"), 2, "no column 'nowhere'"),
        (("--feasible-value", "state=ok"), 2, "no column 'state'"),
        (("--objective", "lateny_us"), 3, "did you mean latency_us"),
        (("--limit", "power_w=3"), 2, "unknown limit `power_w`"),
    ],
)
def test_names_that_the_log_lacks(
    run: Run, log: Path, options: tuple[str, str], code: int, told: str
) -> None:
    found, out, err = run("optimize", "--logs", log, *options)
    assert (found, out) == (code, "")
    assert told in err
    assert err.count("\n") == 1


def spoiled(frame: pl.DataFrame, case: str, path: Path) -> None:
    """Write a log that is wrong in one way."""
    feasible = pl.col("feasible")
    changed: dict[str, Any] = {
        "no feasible design": lambda: frame.filter(~feasible),
        "one row": lambda: frame.filter(feasible).head(1),
        "no rows": lambda: frame.head(0),
        "no objective column": lambda: frame.drop("latency_us"),
        "no parameter column": lambda: frame.drop("cores"),
        "every value outside": lambda: frame.with_columns(cores=pl.lit(5)),
        "constant objective": lambda: frame.with_columns(latency_us=pl.when(feasible).then(100.0)),
    }
    if case == "empty file":
        path.write_bytes(b"")
    elif case == "truncated":
        write_table(frame, path)
        path.write_bytes(path.read_bytes()[:-100])
    elif case == "not a table":
        path.write_text("hello")
    else:
        write_table(changed[case](), path)


BAD_DATA = {
    "no feasible design": "no feasible design",
    "one row": "at least",
    "no rows": "log.parquet",
    "no objective column": "latency_us",
    "no parameter column": "cores",
    "every value outside": "cores",
    "constant objective": "objective",
    "empty file": "log.parquet",
    "truncated": "log.parquet",
    "not a table": "log.parquet",
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data(run: Run, log: Path, tmp_path: Path, case: str) -> None:
    spoiled(pl.read_parquet(log), case, tmp_path / "log.parquet")
    code, out, err = run("optimize", "--logs", "log.parquet", "--budget", "quick")
    assert (code, out) == (3, "")
    assert BAD_DATA[case] in err
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_dirty_rows_are_counted_and_named(run: Run, log: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(log)
    good = frame.filter("feasible")
    bad = [
        good[0:1].with_columns(latency_us=pl.lit(float("nan"))),
        good[1:2].with_columns(latency_us=pl.lit(float("inf"))),
        good[2:3].with_columns(latency_us=pl.lit(-1.0)),
        good[3:4],
        good[4:5].with_columns(latency_us=pl.col("latency_us") * 2),
        good[5:6].with_columns(pes_x=pl.lit(3, dtype=frame.schema["pes_x"])),
    ]
    write_table(pl.concat([frame, *bad]), tmp_path / "dirty.parquet")
    code, out, err = run("optimize", "--logs", "dirty.parquet", "--budget", "quick", "--proposals", 2)
    assert code == 0, err
    for told in ("NaN", "inf", "negative", "pes_x", "1506"):
        assert told in err, err
    assert "Not verified" in out


def test_limit_that_nothing_meets(run: Run) -> None:
    code, out, err = run("optimize", "--limit", "area_mm2=0.01")
    assert (code, out) == (4, "")
    assert err.startswith("Error: ")


def test_help_does_not_import_jax() -> None:
    program = (
        "import sys\nfrom prime_fast.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n"
        "    sys.exit('jax' in sys.modules or 'polars' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert "optimize" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="signals are delivered differently on Windows")
@pytest.mark.parametrize("moment", ["manifest.json", "surrogate.safetensors"])
def test_ctrl_c_ends_soon_and_keeps_what_was_found(tmp_path: Path, moment: str) -> None:
    """Interrupt the installed script in training and, right after its file appears, in the search."""
    script = Path(sys.executable).with_name("prime-fast")
    out = tmp_path / "run"
    budget = "thorough" if moment == "manifest.json" else "quick"
    process = subprocess.Popen(  # noqa: S603
        [script, "optimize", "--budget", budget, "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while not (out / moment).exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        time.sleep(2.0 if moment == "manifest.json" else 0.0)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    if moment == "surrogate.safetensors":
        assert pf.surrogate.Surrogate.load(out / moment).space == pf.DesignSpace.bundled()
