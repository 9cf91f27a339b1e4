"""`prime-fast benchmark tables`: reading measured tables, drawing poor logs, judging, resuming."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from prime_fast import ConfigurationError, DataError, NoFeasibleDesignError, offline
from prime_fast.benchmark import tables
from prime_fast.benchmark.tables import (
    TableJob,
    TablesSettings,
    compare_tables,
    draw_log,
    jobs_of,
    judge,
    run_table_job,
)
from prime_fast.benchmark.tables_data import GPU_FEATURES, GPUS, MeasuredTable, read_tables
from prime_fast.benchmark.tables_summary import FIGURES, against, aims_of

Run = Callable[..., tuple[int, str, str]]
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
beside_a_checkout = pytest.mark.skipif(
    not (SHARED / "kernel_tuner").is_dir() or not (SHARED / "hlsyn").is_dir(),
    reason="the measured tables lie beside a developer's checkout only",
)
ALLOWED: dict[str, list[int]] = {
    "tile": [1, 2, 4, 8, 16, 32],
    "unroll": [1, 2, 3, 4, 5],
    "pad": [0, 1],
    "one": [7],
}
QUICK = TablesSettings(feasible=20, budget="quick")


def kernel_rows(slower: float = 1.0) -> pl.DataFrame:
    """Return a kernel's designs but for a rule that a third breaks; one in ten fails."""
    rows = [
        {"tile": tile, "unroll": unroll, "pad": pad, "one": 7}
        for tile in ALLOWED["tile"]
        for unroll in ALLOWED["unroll"]
        for pad in ALLOWED["pad"]
        if tile * unroll <= 64
    ]
    frame = pl.DataFrame(rows)
    time_ms = slower * (1.0 + (pl.col("tile").log(2) - 3) ** 2 + pl.col("unroll") / (1 + pl.col("pad")))
    failed = (pl.col("tile") == 1) & (pl.col("unroll") > 3)
    return frame.with_columns(
        status=pl.when(failed).then(pl.lit("RuntimeFailedConfig")).otherwise(pl.lit("ok")),
        time_ms=pl.when(~failed).then(time_ms),
    )


def kernel_folder(folder: Path, devices: tuple[str, ...] = ("RTX_Titan", "RTX_2080_Ti")) -> Path:
    folder.mkdir(exist_ok=True)
    manifest = []
    for position, device in enumerate(devices):
        name, frame = f"toy__{device}.csv.gz", kernel_rows(1.0 + position)
        frame.write_csv(folder / name, compression="gzip")
        manifest.append({"file": name, "parameters": ALLOWED, "rows": frame.height})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def synthesis_rows() -> pl.DataFrame:
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "__PARA__L0": generator.choice([1, 2, 4, 8, 16], 400),
            "__TILE__L0": generator.choice([1, 2, 5], 400),
            "__TILE__L1": np.ones(400, int),
            "__PIPE__L0": generator.choice(["off", "", "flatten"], 400),
        }
    ).unique(maintain_order=True)
    return frame.with_columns(
        valid=(pl.col("__PARA__L0") < 16).cast(int),
        perf_cycles=pl.when(pl.col("__PARA__L0") < 16)
        .then(1000.0 / pl.col("__PARA__L0") + pl.int_range(pl.len()))
        .otherwise(0.0),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kernel_folder(tmp_path_factory.mktemp("data") / "kernel_tuner")


@pytest.fixture(scope="module")
def toy(folder: Path) -> MeasuredTable:
    return read_tables(folder)["toy__RTX_Titan"]


def test_what_a_whole_table_lacks_or_failed_is_infeasible(toy: MeasuredTable) -> None:
    rows = kernel_rows()
    assert (toy.collection, toy.kernel, toy.device, toy.whole) == ("Kernel Tuner", "toy", "RTX_Titan", True)
    assert toy.space.names == ["tile", "unroll", "pad"]
    assert toy.space.kinds == ["ordinal", "ordinal", "categorical"]
    assert len(toy.candidates) == toy.space.size == 60
    assert toy.optimum == rows["time_ms"].min()
    values = toy.look_up(toy.candidates)
    assert np.isnan(values).sum() == 60 - rows["time_ms"].count()
    known = {(row["tile"], row["unroll"], row["pad"]): row["time_ms"] for row in rows.to_dicts()}
    for row, value in zip(toy.space.frame(toy.candidates).rows(), values.tolist(), strict=True):
        assert np.array_equal(np.array(known.get(row), float), value, equal_nan=True)


def test_search_keeps_to_the_designs_that_a_part_of_a_space_records(tmp_path: Path) -> None:
    rows = synthesis_rows()
    rows.write_csv(tmp_path / "mine.csv")
    table = read_tables(tmp_path)["mine"]
    assert (table.collection, table.device, table.whole) == ("HLSyn", "", False)
    assert table.space.names == ["para_L0", "tile_L0", "pipe_L0"]
    assert table.space.kinds == ["ordinal", "ordinal", "categorical"]
    assert table.space.values[2] == ["off", "coarse", "flatten"]
    assert len(table.candidates) == rows.height
    valid = rows.filter(valid=1)
    assert table.optimum == valid["perf_cycles"].min()
    assert table.feasible.sum() == valid.height
    log = draw_log(table, 0, TablesSettings(feasible=1_000))
    assert log.feasible.sum() == round(0.6 * valid.height)
    with pytest.raises(DataError, match="nothing is known of the device ''"):
        _ = table.context


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (
            lambda rows: rows.with_columns(tile=pl.lit(3)),
            DataError,
            "row 1: `tile` is 3; expected one of 1, 2",
        ),
        (lambda rows: rows.with_columns(tile=pl.lit("NaN")), DataError, "`tile` is NaN"),
        (lambda rows: rows.with_columns(tile=None), DataError, "`tile` is empty"),
        (lambda rows: rows.with_columns(one=pl.lit(8)), DataError, "`one` is 8; expected one of 7"),
        (
            lambda rows: rows.with_columns(time_ms=pl.lit("NaN")),
            DataError,
            "`time_ms` is NaN; expected a finite",
        ),
        (lambda rows: rows.with_columns(time_ms=pl.lit(-1.0)), DataError, "`time_ms` is -1.0"),
        (lambda rows: rows.with_columns(time_ms=pl.lit(None)), DataError, "`time_ms` is empty"),
        (
            lambda rows: rows.with_columns(time_ms=pl.lit(2.0)),
            DataError,
            "have `time_ms` 2.0; nothing to find",
        ),
        (lambda rows: rows.with_columns(status=pl.lit("failed")), DataError, "has 0 feasible designs"),
        (lambda rows: rows.with_columns(status=None), DataError, "row 1: `status` is empty"),
        (lambda rows: rows.drop("status"), DataError, "no column status; found tile, unroll"),
        (lambda rows: pl.concat([rows[:-1], rows[:1]]), DataError, "rows 1 and 5. are the same design"),
        (lambda rows: rows[:-1], DataError, "rows; manifest.json says"),
        (lambda rows: rows.clear(), DataError, "no rows"),
    ],
)
def test_unusable_tables_are_refused(tmp_path: Path, change: Any, error: type[Exception], text: str) -> None:
    folder = kernel_folder(tmp_path / "data")
    change(kernel_rows()).write_csv(folder / "toy__RTX_Titan.csv.gz", compression="gzip")
    with pytest.raises(error, match=text) as caught:
        read_tables(folder)
    assert "toy__RTX_Titan.csv.gz" in str(caught.value)


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        ("{", "can't be read as JSON"),
        ("{}", "expected a list of tables, found {}"),
        ("[]", "expected a list of tables"),
        ("[3]", "expected a table with `file`, a name, found 3"),
        ('[{"file": "../toy.csv", "parameters": {"a": [1]}}]', "expected a table with `file`, a name"),
        ('[{"file": "toy.csv", "parameters": {"a": [1, 1]}}]', "lists of distinct whole numbers"),
        ('[{"file": "toy.csv", "parameters": {"a": ["x"]}}]', "lists of distinct whole numbers"),
        ('[{"file": "toy.csv"}]', "`parameters` must map names"),
    ],
)
def test_unusable_manifests_are_refused(tmp_path: Path, manifest: str, text: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(DataError, match=text):
        read_tables(tmp_path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda rows: rows.with_columns(pl.lit("on").alias("__PIPE__L0")),
            "`__PIPE__L0` is on; expected one of off",
        ),
        (
            lambda rows: rows.with_columns(pl.lit("x").alias("__PARA__L0")),
            "`__PARA__L0` is x; expected a whole",
        ),
        (lambda rows: rows.with_columns(pl.lit(0).alias("__TILE__L0")), "`__TILE__L0` is 0"),
        (lambda rows: rows.with_columns(valid=pl.lit(2)), "`valid` is 2; expected one of 0, 1"),
        (lambda rows: rows.with_columns(perf_cycles=pl.lit(0.0)), "`perf_cycles` is 0.0"),
        (lambda rows: rows.select("valid", "perf_cycles"), "no column __PARA__"),
        (lambda rows: rows.drop("perf_cycles"), "no column perf_cycles"),
        (lambda rows: pl.concat([rows, rows[4:5]]), "rows 5 and .* are the same design"),
    ],
)
def test_unusable_synthesis_tables_are_refused(tmp_path: Path, change: Any, text: str) -> None:
    change(synthesis_rows()).write_csv(tmp_path / "mine.csv")
    with pytest.raises(DataError, match=text):
        read_tables(tmp_path)


def test_missing_folders_and_files_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere: no such folder"):
        read_tables(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match=r"holds no manifest.json and no CSV files"):
        read_tables(tmp_path)
    with pytest.raises(ConfigurationError, match="is there twice; name each folder once"):
        read_tables([folder, folder])
    (kernel_folder(tmp_path / "data") / "toy__RTX_Titan.csv.gz").unlink()
    with pytest.raises(ConfigurationError, match=r"toy__RTX_Titan.csv.gz: no such file"):
        read_tables(tmp_path / "data")


def test_a_log_is_poor_and_has_infeasible_designs_at_the_rate_of_the_space(toy: MeasuredTable) -> None:
    log = draw_log(toy, 3, QUICK)
    again, other = draw_log(toy, 3, QUICK), draw_log(toy, 4, QUICK)
    assert np.array_equal(log.ranks, again.ranks)
    assert not np.array_equal(log.ranks, other.ranks)
    indices = toy.space.indices(log.ranks)
    assert len(np.unique(indices)) == len(indices)
    assert np.array_equal(log.objective, toy.look_up(log.ranks), equal_nan=True)
    assert np.array_equal(log.feasible, ~np.isnan(log.objective))
    good = np.sort(toy.values[toy.feasible])
    assert log.feasible.sum() == 20
    assert np.nanmin(log.objective) >= good[-round(0.6 * len(good))]
    assert (~log.feasible).sum() == round(20 * (60 - len(good)) / len(good))
    assert (~draw_log(toy, 3, TablesSettings(20, infeasible=2)).feasible).sum() == 2


def test_judge_counts_failures_and_what_is_missing(toy: MeasuredTable) -> None:
    values = toy.look_up(toy.candidates)
    order = np.argsort(values)  # infeasible ones last
    bad, best, second = toy.candidates[order[-1:]], toy.candidates[order[:1]], toy.candidates[order[1:2]]
    row = judge(toy, np.concatenate([bad, second, second]), toy.space.indices(second))
    reached = toy.optimum / values[order[1]]
    assert (row["top_1"], row["best_of_16"], row["best_of_128"]) == (0.0, reached, reached)
    assert (row["feasible_of_16"], row["feasible_of_128"]) == (2 / 16, 2 / 128)
    assert (row["duplicates"], row["already_logged"], row["median_of_16"]) == (1, 2, 0.0)
    seventeen = np.concatenate([np.repeat(second, 16, axis=0), best])
    row = judge(toy, seventeen, np.zeros(0, np.uint64))
    assert (row["best_of_16"], row["best_of_128"], row["already_logged"]) == (reached, 1.0, 0)
    assert judge(toy, bad[:0], np.zeros(0, np.uint64))["best_of_128"] == 0.0


def test_zero_shot_withholds_the_judging_table(folder: Path, tmp_path: Path) -> None:
    synthesis_rows().write_csv(tmp_path / "mine.csv")
    known = read_tables([folder, tmp_path])
    jobs = jobs_of(known, ["random"], 2)
    assert len({job.key for job in jobs}) == len(jobs) == 2 * (3 + 2)
    zero_shot = [job for job in jobs if job.zero_shot]
    assert {(job.table, job.training) for job in zero_shot} == {
        ("toy__RTX_Titan", ("toy__RTX_2080_Ti",)),
        ("toy__RTX_2080_Ti", ("toy__RTX_Titan",)),
    }
    assert not any(job.zero_shot for job in jobs_of(known, ["random"], 1, zero_shot=False))
    assert {job.table for job in jobs_of(known, ["random"], 1, names=["mine"])} == {"mine"}
    with pytest.raises(ConfigurationError, match="unknown method `guess`; known: default"):
        jobs_of(known, ["guess"], 1)
    with pytest.raises(ConfigurationError, match="unknown table `yours`; known: toy__RTX"):
        jobs_of(known, ["random"], 1, names=["yours"])
    with pytest.raises(ConfigurationError, match="seeds is 0"):
        jobs_of(known, ["random"], 0)
    assert all(len(features) == len(GPU_FEATURES) for features in GPUS.values())


def test_methods_see_the_log_alone(folder: Path, toy: MeasuredTable, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[offline.OfflineTask] = []

    def propose(method: str, task: offline.OfflineTask, **options: Any) -> Any:
        seen.append(task)
        if method == "coms":
            raise NoFeasibleDesignError("nothing found")
        assert (options["proposals"], options["budget"]) == (128, "quick")
        return offline.OfflineResult(
            toy.ranks[np.nanargmin(toy.values)][None], np.ones(1), np.ones(1), {"training": 2.0}, None
        )

    monkeypatch.setattr(offline, "run_offline", propose)
    work = (QUICK, (str(folder),))
    own = TableJob("toy__RTX_Titan", ("toy__RTX_Titan",), "default", 0, "")
    row = run_table_job((own, work))
    assert (row["top_1"], row["seconds"], row["error"]) == (1.0, 2.0, None)
    log = draw_log(toy, 0, QUICK)
    assert row["best_logged"] == toy.optimum / np.nanmin(log.objective)
    task = seen[-1]
    assert np.array_equal(task.logs["toy__RTX_Titan"].ranks, log.ranks)
    assert (task.targets, task.contexts) == (("toy__RTX_Titan",), None)

    row = run_table_job((TableJob("toy__RTX_Titan", ("toy__RTX_2080_Ti",), "default", 0, ""), work))
    task = seen[-1]
    assert list(task.logs) == ["toy__RTX_2080_Ti"]
    assert task.contexts is not None
    assert np.allclose(task.contexts["toy__RTX_Titan"], np.log(GPUS["RTX_Titan"]))
    # The devices differ by a factor: the other's best logged design is judged by this one's table.
    other = draw_log(read_tables(folder)["toy__RTX_2080_Ti"], 0, QUICK)
    assert row["best_logged"] == pytest.approx(2.0 * toy.optimum / np.nanmin(other.objective))

    failed = run_table_job((TableJob("toy__RTX_Titan", ("toy__RTX_Titan",), "coms", 0, ""), work))
    assert (failed["error"], failed["best_of_128"], failed["best_logged"] > 0) == ("nothing found", 0.0, True)


def test_devices_that_nothing_is_known_of_are_told_before_the_start(run: Run, tmp_path: Path) -> None:
    folder = kernel_folder(tmp_path / "data", ("RTX_Titan", "Voodoo2"))
    arguments = ("benchmark", "tables", "--data", folder, "--out", "out", "--method", "random", "--seeds", 1)
    # Zero-shot to the one that is known needs the other's features.
    code, out, err = run(*arguments, "--table", "toy__RTX_Titan")
    assert (code, out) == (3, "")
    assert "nothing is known of the device 'Voodoo2'; known: A100" in err
    assert "leave out what is zero-shot (--no-zero-shot)" in err
    assert not (tmp_path / "out").exists()
    assert run(*arguments, "--no-zero-shot")[0] == 0


def test_missing_packages_are_told_before_the_start(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match="`trees` needs lightgbm: pip install"):
        compare_tables([folder], tmp_path / "out", methods=["random", "trees"])
    assert not (tmp_path / "out").exists()


def runs_of(scores: dict[str, list[list[float]]]) -> pl.DataFrame:
    """Return runs of methods on tables a, b, ... of own logs, one score for all figures."""
    rows = [
        {"collection": "Kernel Tuner", "table": "abcde"[place], "zero_shot": False, "method": method}
        | {"seed": seed, "error": None, "seconds": 1.0, **dict.fromkeys(FIGURES, score)}
        for method, tables_ in scores.items()
        for place, seeds in enumerate(tables_)
        for seed, score in enumerate(seeds)
    ]
    return pl.DataFrame(rows, schema_overrides={"error": pl.String})


def known_as(*names: str) -> Any:
    return {name: SimpleNamespace(name=name, collection="Kernel Tuner", whole=True) for name in names}


def test_aims_of_measured_tables() -> None:
    ten = [[0.9] * 5 + [1.0] * 5, [0.8] * 10]
    runs = runs_of({"random": [[0.1] * 10] * 2, "default": ten})
    (table,) = aims_of(known_as("a", "b"), runs)
    assert "default" in table.title
    (sixteen, most) = table.frame.to_dicts()
    assert (sixteen["value"], most["value"]) == pytest.approx((0.875, 0.875))
    assert (sixteen["met"], most["met"], sixteen["runs"], sixteen["tables"]) == ("yes", "no", 20, 2)
    assert 0.85 < sixteen["low"] < 0.875 < sixteen["high"] < 0.9
    # A table that was not run, or nine seeds of one: nothing is met.
    for known, some in (
        (known_as("a", "b", "c"), runs),
        (known_as("a", "b"), runs_of({"default": [ten[0], ten[1][:9]]})),
    ):
        assert aims_of(known, some)[0].frame["met"].null_count() == 2
    assert aims_of(known_as("a"), runs.with_columns(zero_shot=True)) == []


def test_methods_against_the_default_one() -> None:
    generator = np.random.default_rng(0)
    ours = generator.uniform(0.5, 1.0, (5, 4))
    runs = runs_of(
        {
            "random": (generator.uniform(0.4, 0.6, (5, 4)) * ours).tolist(),
            "default": ours.tolist(),
            "trees": ours.tolist(),
            "coms": np.zeros((5, 4)).tolist(),
        }
    )
    # In whatever order runs are finished.
    (table,) = against(runs.sample(fraction=1.0, shuffle=True, seed=1), "against", "Kernel Tuner")
    rows = {row["method"]: row for row in table.frame.to_dicts()}
    assert set(rows) == {"random", "trees", "coms"}
    assert rows["coms"]["probability"] == 1.0
    assert (rows["trees"]["p_holm"], rows["trees"]["p_tables_holm"]) == (1.0, 1.0)
    # 20 pairs, 5 tables, all on one side; three methods are tested.
    assert rows["random"]["p"] == pytest.approx(2 / 2**20)
    assert rows["random"]["p_tables"] == 2 / 2**5
    assert rows["random"]["p_tables_holm"] == 3 * 2 / 2**5
    assert against(runs.filter(method="trees"), "against", "Kernel Tuner") == []


def test_trees_learn_from_tables(folder: Path) -> None:
    pytest.importorskip("lightgbm", reason="the extra `baselines` is not installed")
    work = (TablesSettings(feasible=40, budget="quick"), (str(folder),))
    for training in ("toy__RTX_Titan", "toy__RTX_2080_Ti"):
        row = run_table_job((TableJob("toy__RTX_Titan", (training,), "trees", 0, ""), work))
        assert row["error"] is None
        assert row["best_of_16"] > row["best_logged"] > 0.0
        assert (
            run_table_job((TableJob("toy__RTX_Titan", (training,), "trees", 0, ""), work))["top_1"]
            == row["top_1"]
        )


def test_command_writes_tables_and_takes_up_where_it_stopped(run: Run, folder: Path, tmp_path: Path) -> None:
    arguments = (
        "benchmark",
        "tables",
        "--data",
        folder,
        "--out",
        "out",
        "--budget",
        "quick",
        "--feasible",
        20,
    )
    chosen = ("--method", "random", "--method", "best-logged")
    code, out, err = run(*arguments, *chosen, "--seeds", 2, "--table", "toy__RTX_Titan")
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines()), out
    assert "Kernel Tuner, zero-shot: mean over 1 tables of 2 runs each" in out
    directory = tmp_path / "out"
    runs = pl.read_csv(directory / "tables" / "runs.csv")
    assert runs.height == 2 * 2 * 2
    own = runs.filter(~pl.col("zero_shot"), method="best-logged")
    assert own["best_of_16"].equals(own["best_logged"].alias("best_of_16"))
    assert own["feasible_of_16"].min() == 1.0
    means = pl.DataFrame(json.loads((directory / "tables" / "kernel_tuner.json").read_text())["rows"])
    assert means.filter(method="random")["best_of_16"].item() == pytest.approx(
        runs.filter(~pl.col("zero_shot"), method="random")["best_of_16"].mean()
    )
    assert "| best-logged | " in (directory / "tables" / "kernel_tuner.md").read_text()
    before = {
        path: (path.stat().st_mtime_ns, zlib.crc32(path.read_bytes())) for path in directory.glob("rows/*")
    }
    assert len(before) == 8

    removed = min(before)
    content = json.loads(removed.read_text())
    removed.unlink()
    assert run(*arguments, *chosen, "--seeds", 2, "--table", "toy__RTX_Titan", "--json")[0] == 0
    after = {
        path: (path.stat().st_mtime_ns, zlib.crc32(path.read_bytes())) for path in directory.glob("rows/*")
    }
    assert {path for path in before if before[path] != after[path]} == {removed}
    again = json.loads(removed.read_text())
    for each in (content, again):
        each["row"].pop("seconds")
    assert again == content

    code, _, err = run(*arguments[:-1], 30, *chosen, "--seeds", 2)
    assert (code, "feasible 20, this run has 30" in err) == (2, True)
    # It says what it is of; one from before it did is known by its inputs.
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["kind"] == "prime-fast benchmark tables"
    code, _, err = run("benchmark", "paper", "--quick", "--out", "out")
    assert (code, "is that of `prime-fast benchmark tables`, not of" in err) == (2, True)
    (directory / "manifest.json").write_text(json.dumps(manifest | {"kind": "prime-fast benchmark paper"}))
    assert run(*arguments, *chosen, "--seeds", 2, "--table", "toy__RTX_Titan")[0] == 0
    assert json.loads((directory / "manifest.json").read_text())["kind"] == manifest["kind"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--feasible", 3), "feasible is 3; it must be at least 10"),
        (("--worst", "nan"), "worst is nan; it must be above 0"),
        (("--infeasible", -1), "infeasible is -1"),
        (("--budget", "huge"), "'huge' is not one of 'quick'"),
        (("--method", "guess"), "unknown method `guess`"),
        (("--seeds", 0), "seeds is 0"),
    ],
)
def test_unusable_options_are_refused(run: Run, folder: Path, arguments: tuple[Any, ...], text: str) -> None:
    code, out, err = run("benchmark", "tables", "--data", folder, "--out", "out", *arguments)
    assert (code, out) == (2, "")
    assert text in err
    assert not Path("out").exists()


@beside_a_checkout
def test_measured_tables() -> None:
    known = read_tables([SHARED / "kernel_tuner", SHARED / "hlsyn"])
    assert len(known) == 15
    titan = known["gemm__RTX_Titan"]
    assert (titan.space.size, titan.feasible.sum(), titan.optimum) == (82_944, 17_956, 11.466165)
    a100 = known["convolution_milo__A100"]
    assert (a100.space.size, len(a100.ranks), a100.feasible.sum()) == (10_240, 4_362, 4_201)
    log = draw_log(titan, 0, TablesSettings())
    assert (len(log.ranks), log.feasible.sum()) == (4_619, 1_000)
    assert 0.4 < titan.optimum / np.nanmin(log.objective) < 0.6
    zero_shot = [job for job in jobs_of(known, ["random"], 1) if job.zero_shot]
    assert {job.table for job in zero_shot} == {name for name in known if "__" in name}
    # Each kernel of HLSyn has pragmas of its own: nothing to carry over.
    spaces = [table.space for table in known.values() if table.collection == "HLSyn"]
    assert len(set(spaces)) == len(spaces) == 10
    assert tables.BUDGETS == (1, 16, 128)
