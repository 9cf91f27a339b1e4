"""Reading logs: every kind of file, every kind of bad row, one clear error or a counted and named drop."""

from __future__ import annotations

import gzip
import hashlib
import math
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prime_fast import ConfigurationError, DataError, DesignSpace
from prime_fast.logs import Log, read_log, read_table, write_table

SPACE = DesignSpace.from_toml(
    """
    name = "tiny"
    [[parameter]]
    name = "size"
    column = "param_1"
    values = [1, 2, 4, 8]
    [[parameter]]
    name = "voltage"
    values = [0.7, 0.8, 0.9]
    [[parameter]]
    name = "flow"
    kind = "categorical"
    values = ["ws", "os", ""]
    [[parameter]]
    name = "cache"
    kind = "categorical"
    values = [true, false]
    [[metric]]
    name = "area_mm2"
    unit = "mm2"
    expression = "2.0 * size"
    """
)


def good_rows(feasible: int = 12, infeasible: int = 4) -> pl.DataFrame:
    """Distinct designs in the order of their indices; the feasible ones take 10 us, 11 us and so on."""
    rows = feasible + infeasible
    ranks = SPACE.ranks(np.arange(rows, dtype=np.uint64))
    good = np.arange(rows) < feasible
    return SPACE.frame(ranks).with_columns(
        pl.Series("latency_us", np.where(good, 10.0 + np.arange(rows), np.nan)).fill_nan(None),
        pl.Series("feasible", good),
    )


def read(frame: pl.DataFrame, directory: Path, objective: str = "latency_us", **options: object) -> Log:
    path = directory / "log.parquet"
    frame.write_parquet(path)
    return read_log(path, SPACE, objective, **options)  # type: ignore[arg-type]


def with_row(frame: pl.DataFrame, row: int, **entries: object) -> pl.DataFrame:
    """Replace entries of a row, counted from 1."""
    here = pl.int_range(pl.len()) == row - 1
    return frame.with_columns(
        pl.when(here).then(pl.lit(entry)).otherwise(name).alias(name) for name, entry in entries.items()
    )


def test_a_good_log_comes_back_as_it_was(tmp_path: Path) -> None:
    log = read(good_rows(), tmp_path)
    assert log.frame.columns == [*SPACE.names, "latency_us", "area_mm2", "feasible"]
    assert log.frame.select(*SPACE.names, "latency_us", "feasible").equals(good_rows())
    assert SPACE.indices(log.ranks).tolist() == list(range(16))
    assert log.ranks.dtype == SPACE.rank_dtype
    assert log.feasible.sum() == 12
    assert np.isnan(log.values).tolist() == (~log.feasible).tolist()
    assert log.frame["area_mm2"].to_list() == (2.0 * log.frame["size"]).to_list()
    assert (log.dropped, log.warnings) == ((), ())
    content = (tmp_path / "log.parquet").read_bytes()
    assert log.sources[0].sha256 == hashlib.sha256(content).hexdigest()
    assert log.sources[0].rows == 16


@pytest.mark.parametrize("name", ["log.parquet", "log.csv", "log.csv.gz", "log.csv.zst", "noname"])
def test_every_format_gives_the_same_log(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    frame = good_rows()
    if name.endswith(".csv.gz"):
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    elif name.endswith(".csv.zst"):
        frame.write_csv(path, compression="zstd")
    elif name.endswith(".parquet"):
        write_table(frame, path)
    else:
        path.write_text(frame.write_csv())
    log = read_log(path, SPACE)
    reference = read(frame, tmp_path)
    assert log.frame.equals(reference.frame)
    assert log.sha256 == reference.sha256


def test_digest_tells_logs_apart(tmp_path: Path) -> None:
    assert (
        read(good_rows(), tmp_path).sha256 != read(with_row(good_rows(), 1, latency_us=9.0), tmp_path).sha256
    )


def test_float32_columns_find_their_values(tmp_path: Path) -> None:
    frame = good_rows().with_columns(
        pl.col("voltage").cast(pl.Float32), pl.col("latency_us").cast(pl.Float32)
    )
    assert read(frame, tmp_path).ranks.tolist() == read(good_rows(), tmp_path).ranks.tolist()


def test_columns_by_alias_and_by_mapping(tmp_path: Path) -> None:
    expected = read(good_rows(), tmp_path).frame
    assert read(good_rows().rename({"size": "param_1"}), tmp_path).frame.equals(expected)
    renamed = good_rows().rename({"size": "s", "latency_us": "t", "feasible": "valid"})
    log = read(renamed, tmp_path, columns={"size": "s", "latency_us": "t", "feasible": "valid"})
    assert log.frame.equals(expected)


def test_mapped_column_wins_over_one_of_the_parameters_name(tmp_path: Path) -> None:
    frame = good_rows().with_columns(pl.col("size").alias("s"), pl.lit(1).alias("size"))
    log = read(frame, tmp_path, columns={"size": "s"})
    assert log.frame.equals(read(good_rows(), tmp_path).frame)


def test_other_figures_are_kept_and_other_texts_are_not(tmp_path: Path) -> None:
    frame = good_rows().with_columns(
        pl.lit(3).alias("energy"), pl.lit("x").alias("note"), pl.lit(1).alias("#0")
    )
    log = read(frame, tmp_path)
    assert log.metrics == ["latency_us", "area_mm2", "energy"]
    assert log.frame["energy"].dtype == pl.Float64
    assert not {"note", "#0"} & set(log.frame.columns)
    renamed = read(frame, tmp_path, columns={"power": "energy"})
    assert renamed.metrics == ["latency_us", "area_mm2", "power"]
    with pytest.raises(DataError, match=r"column 'note', mapped to 'power', holds more than numbers"):
        read(frame, tmp_path, columns={"power": "note"})


@pytest.mark.parametrize(
    "flags",
    [
        pl.col("feasible").cast(pl.Int8).alias("feasible"),
        pl.col("feasible").cast(pl.Float64).alias("feasible"),
        pl.col("feasible").cast(pl.String).str.to_uppercase().alias("feasible"),
        (~pl.col("feasible")).alias("infeasible"),
        (~pl.col("feasible")).cast(pl.Int64).alias("infeasible"),
    ],
)
def test_feasibility_as_flag(tmp_path: Path, flags: pl.Expr) -> None:
    frame = good_rows().with_columns(pl.col("latency_us").fill_null(1e9))
    frame = frame.drop("feasible").with_columns(frame.select(flags).to_series())
    log = read(frame, tmp_path)
    assert log.feasible.tolist() == good_rows()["feasible"].to_list()
    assert log.frame["latency_us"].null_count() == 4, "the placeholder of an infeasible design must go"


def test_feasibility_by_missing_objective(tmp_path: Path) -> None:
    log = read(good_rows().drop("feasible"), tmp_path)
    assert log.feasible.tolist() == good_rows()["feasible"].to_list()


def test_feasibility_by_status(tmp_path: Path) -> None:
    status = pl.when("feasible").then(pl.lit("ok")).otherwise(pl.lit("crashed"))
    frame = good_rows().with_columns(status=status).drop("feasible")
    log = read(frame, tmp_path, feasible_values={"status": ["ok", "fine"]})
    assert log.feasible.tolist() == good_rows()["feasible"].to_list()
    assert log.frame["reason"].to_list() == [None] * 12 + ["crashed"] * 4


def test_reasons_belong_to_infeasible_designs(tmp_path: Path) -> None:
    log = read(good_rows().with_columns(reason=pl.lit("too hot")), tmp_path)
    assert log.frame["reason"].to_list() == [None] * 12 + ["too hot"] * 4


@pytest.mark.parametrize(
    ("entries", "reason", "found"),
    [
        ({"size": 3}, "size has a value outside its list", ("3",)),
        ({"voltage": 0.75}, "voltage has a value outside its list", ("0.75",)),
        ({"voltage": float("nan")}, "voltage has a value outside its list", ("NaN",)),
        ({"flow": "rs"}, "flow has a value outside its list", ("rs",)),
        ({"size": None}, "size is missing", ()),
        ({"feasible": None}, "feasible is neither true nor false", ()),
        ({"latency_us": None}, "latency_us of a feasible design is missing", ()),
        ({"latency_us": float("nan")}, "latency_us of a feasible design is NaN", ("NaN",)),
        ({"latency_us": float("inf")}, "latency_us of a feasible design is infinite", ("inf",)),
        ({"latency_us": -float("inf")}, "latency_us of a feasible design is infinite", ("-inf",)),
        ({"latency_us": 0.0}, "latency_us of a feasible design is zero or negative", ("0.0",)),
        ({"latency_us": -2.5}, "latency_us of a feasible design is zero or negative", ("-2.5",)),
    ],
)
def test_bad_row_is_dropped_and_named(
    tmp_path: Path, entries: dict[str, object], reason: str, found: tuple[str, ...]
) -> None:
    log = read(with_row(good_rows(), 3, **entries), tmp_path)
    assert len(log) == 15
    assert [(d.reason, d.count, d.rows, d.found) for d in log.dropped] == [(reason, 1, ("3",), found)]
    shown = f", found {found[0]}" if found else ""
    assert log.warnings[0] == f"1 row dropped: {reason}{shown} (row 3)"


def test_bad_entry_of_a_csv_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    lines = good_rows(15, 1).write_csv().splitlines()
    lines[2] = lines[2].replace("11.0", "eleven")
    lines[5] = lines[5].replace("14.0,true", "14.0,perhaps")
    lines[6] = "one" + lines[6].removeprefix("1")
    path.write_text("\n".join(lines))
    log = read_log(path, SPACE)
    assert {(d.reason, d.rows, d.found) for d in log.dropped} == {
        ("latency_us of a feasible design is not a number", ("2",), ("eleven",)),
        ("feasible is neither true nor false", ("5",), ("perhaps",)),
        ("size has a value outside its list", ("6",), ("one",)),
    }
    assert len(log) == 13


def test_many_bad_rows_are_counted_and_a_few_named(tmp_path: Path) -> None:
    latency = pl.when(pl.int_range(pl.len()) < 8).then(-1.0 - pl.int_range(pl.len())).otherwise("latency_us")
    log = read(good_rows(20).with_columns(latency_us=latency), tmp_path)
    (entry,) = log.dropped
    assert (entry.count, entry.rows) == (8, ("1", "2", "3", "4", "5"))
    assert entry.found == ("-1.0", "-2.0", "-3.0", "-4.0", "-5.0")
    assert "8 rows dropped" in str(entry)
    assert str(entry).endswith("(rows 1, 2, 3, 4, 5, ...)")


def test_infeasible_designs_may_have_any_objective(tmp_path: Path) -> None:
    log = read(with_row(good_rows(), 13, latency_us=-1.0), tmp_path)
    assert (len(log), log.dropped) == (16, ())


def test_nan_without_flags_is_dropped_with_advice(tmp_path: Path) -> None:
    log = read(with_row(good_rows().drop("feasible"), 3, latency_us=float("nan")), tmp_path)
    assert log.dropped[0].rows == ("3",)
    assert any("if NaN marks infeasible designs" in warning for warning in log.warnings)


def test_exact_duplicates_are_kept_once(tmp_path: Path) -> None:
    frame = good_rows()
    log = read(pl.concat([frame, frame[[0, 15]], frame[[0]]]), tmp_path)
    assert log.frame.equals(read(frame, tmp_path).frame)
    (entry,) = log.dropped
    assert (entry.reason, entry.count, entry.rows) == ("duplicate of an earlier row", 3, ("17", "18", "19"))


def test_contradictory_objectives_give_the_median(tmp_path: Path) -> None:
    frame = good_rows()
    repeats = [with_row(frame[[0]], 1, latency_us=latency) for latency in (30.0, 12.0)]
    log = read(pl.concat([frame, *repeats]), tmp_path)
    assert log.values[0] == 12.0
    assert len(log) == 16
    (entry,) = log.dropped
    assert (entry.count, entry.rows) == (2, ("17", "18"))
    assert entry.reason == "the same design with another latency_us; the median is kept"


def test_rounding_is_no_contradiction(tmp_path: Path) -> None:
    frame = good_rows()
    log = read(pl.concat([frame, with_row(frame[[0]], 1, latency_us=10.0 + 1e-9)]), tmp_path)
    assert [entry.reason for entry in log.dropped] == ["duplicate of an earlier row"]


def test_design_both_feasible_and_infeasible_is_dropped(tmp_path: Path) -> None:
    frame = good_rows()
    log = read(pl.concat([frame, with_row(frame[[2]], 1, feasible=False)]), tmp_path)
    assert 2 not in SPACE.indices(log.ranks)
    (entry,) = log.dropped
    assert (entry.count, entry.rows) == (2, ("3", "17"))
    assert entry.reason == "the same design is both feasible and infeasible"


def test_applications_are_kept_apart(tmp_path: Path) -> None:
    first = good_rows().with_columns(application=pl.lit("A"))
    second = good_rows().with_columns(application=pl.lit("B"), latency_us=pl.col("latency_us") * 2)
    both = pl.concat([first, second])
    log = read(both, tmp_path)
    assert (len(log), log.dropped) == (32, ())
    assert "mixes the applications A, B" in log.warnings[0]
    only = read(both, tmp_path, application="b")
    assert only.values[0] == 20.0
    assert only.warnings == ()
    third = good_rows().with_columns(application=pl.lit(None, pl.String))
    with_nameless = read(
        pl.concat([both, third[:2], with_row(third[2:3], 1, size=3)]), tmp_path, application="b"
    )
    assert with_nameless.frame.equals(only.frame)
    assert list(map(str, with_nameless.dropped)) == [
        "2 rows dropped: application is missing (rows 33, 34)",
        "1 row dropped: size has a value outside its list, found 3 (row 35)",
    ]
    with pytest.raises(DataError, match=r"no row of application 'C': it has A, B"):
        read(both, tmp_path, application="C")
    with pytest.raises(DataError, match="no column `application`"):
        read(good_rows(), tmp_path, application="A")


def test_several_files_name_file_and_row(tmp_path: Path) -> None:
    frame = good_rows()
    write_table(frame[:8], tmp_path / "a.csv")
    write_table(with_row(frame[8:], 2, size=3).with_columns(energy=1.5), tmp_path / "b.parquet")
    log = read_log([tmp_path / "a.csv", tmp_path / "b.parquet"], SPACE, least_feasible=1)
    assert len(log) == 15
    assert log.dropped[0].rows == (f"{tmp_path / 'b.parquet'}:2",)
    assert [source.rows for source in log.sources] == [8, 8]
    assert log.frame["energy"].null_count() == 8


def test_area_that_contradicts_the_space_is_noted(tmp_path: Path) -> None:
    area = pl.when(pl.int_range(pl.len()) > 2).then(2.0 * pl.col("size")).otherwise(99.0)
    log = read(with_row(good_rows().with_columns(area_mm2=area), 9, area_mm2=None), tmp_path)
    assert log.frame["area_mm2"][0] == 99.0
    assert log.frame["area_mm2"][8] == 2.0 * log.frame["size"][8]
    (warning,) = log.warnings
    assert warning.startswith(
        "area_mm2 differs by over 1% from the design space's own figure in 3 of 16 designs"
    )


def test_best_within_limits(tmp_path: Path) -> None:
    log = read(good_rows().with_columns(pl.Series("power", np.arange(16.0, 0.0, -1.0))), tmp_path)
    best = log.best()
    assert best is not None
    assert best["latency_us"] == 10.0
    limited = log.best({"power": 8.0})
    assert limited is not None
    assert limited["latency_us"] == 18.0
    assert log.best({"power": 0.5}) is None
    with pytest.raises(ConfigurationError, match=r"unknown limit 'pwer'.*did you mean power"):
        log.best({"pwer": 1.0})


def test_no_infeasible_design_is_a_warning(tmp_path: Path) -> None:
    log = read(good_rows(12, 0), tmp_path)
    assert log.warnings == (
        "the log has no infeasible design: nothing can be learned about what makes one fail",
    )


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (good_rows(0, 5), r"has no feasible design among 5 usable designs; at least 10 are needed"),
        (good_rows(1, 0), r"has only 1 feasible among 1 usable designs; at least 10 are needed"),
        (good_rows(9, 3), r"has only 9 feasible among 12 usable designs"),
        (
            good_rows().with_columns(size=3),
            r"every row was dropped; 16 rows dropped: size has a value outside",
        ),
        (good_rows().clear(), r"has no rows"),
        (good_rows().drop("flow"), r"no column for the parameter flow;.*its columns are size, voltage"),
        (good_rows().drop("size", "flow"), r"no column for the parameters size \(or param_1\), flow"),
        (good_rows().rename({"voltage": "voltge"}), r"parameter voltage;.*did you mean voltge\?"),
        (
            good_rows().rename({"latency_us": "latency_ms"}),
            r"no column 'latency_us' .*did you mean latency_ms\?",
        ),
        (
            good_rows().with_columns(latency_us=pl.concat_list("latency_us")),
            "neither numbers nor texts nor flags",
        ),
    ],
)
def test_unusable_log_is_one_error(tmp_path: Path, frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(frame, tmp_path)
    assert str(tmp_path / "log.parquet") in str(caught.value)


def test_a_log_too_poor_to_learn_from_can_be_looked_at(tmp_path: Path) -> None:
    assert len(read(good_rows(0, 5), tmp_path, least_feasible=0)) == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "neither Parquet nor CSV text"),
        (b"size,voltage\n1,2,3,4\n", "can't be read as a CSV file"),
        (b"size,voltage,flow,cache,latency_us\n", "has no rows"),
        (gzip.compress(good_rows(60).write_csv().encode(), mtime=0)[:100], "can't be read as a CSV file"),
        (b"dear reader\nthis is a letter\n", "no column for the parameters size"),
    ],
)
def test_file_that_is_no_log_is_one_error(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_log(path, SPACE)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_parquet_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    write_table(good_rows(), path)
    whole = path.read_bytes()
    for length in range(1, len(whole), len(whole) // 40):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"log\.parquet can't be read as a whole Parquet file"):
            read_log(path, SPACE)


def test_missing_file_directory_and_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.csv: no such file"):
        read_log(tmp_path / "nowhere.csv", SPACE)
    with pytest.raises(DataError, match="is a directory"):
        read_log(tmp_path, SPACE)
    with pytest.raises(ConfigurationError, match="no log file"):
        read_log([], SPACE)
    with pytest.raises(ConfigurationError, match="'size' is a parameter"):
        read(good_rows(), tmp_path, objective="size")
    with pytest.raises(ConfigurationError, match=r"no column 'latncy_us'.*did you mean latency_us\?"):
        read(good_rows(), tmp_path, columns={"latency_us": "latncy_us"})
    with pytest.raises(ConfigurationError, match="no column 'status'"):
        read(good_rows(), tmp_path, feasible_values={"status": ["ok"]})


def test_read_table_keeps_the_text_of_a_csv(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n01,\n")
    table, source = read_table(tmp_path / "t.csv")
    assert table.rows() == [("01", None)]
    assert source.rows == 1


# Halves of sums of these are exact, however a median is computed.
LATENCIES = st.sampled_from([1.0, 2.0, 5.0, 8.0, 0.0, -1.0, math.inf, math.nan])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), LATENCIES, st.sampled_from([True, False, None])), max_size=60))
def test_rules_for_rows_are_those_of_a_plain_reference(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, float, bool | None]]
) -> None:
    indices = np.array([row[0] for row in rows], dtype=np.uint64)
    frame = SPACE.frame(SPACE.ranks(indices)).with_columns(
        pl.Series("latency_us", [row[1] for row in rows], dtype=pl.Float64),
        pl.Series("feasible", [row[2] for row in rows], dtype=pl.Boolean),
    )
    usable: dict[int, list[tuple[float, bool]]] = {}
    for index, latency, feasible in rows:
        if feasible is False or (feasible and 0 < latency < math.inf):
            usable.setdefault(index, []).append((latency, feasible))
    expected = {
        index: median(latency for latency, _ in entries) if entries[0][1] else None
        for index, entries in usable.items()
        if len({feasible for _, feasible in entries}) == 1
    }
    directory = tmp_path_factory.mktemp("log")
    if not expected:
        with pytest.raises(DataError):
            read(frame, directory, least_feasible=0)
        return
    log = read(frame, directory, least_feasible=0)
    assert dict(zip(SPACE.indices(log.ranks).tolist(), log.frame["latency_us"], strict=True)) == expected
    assert len(log) + sum(entry.count for entry in log.dropped) == len(rows)
