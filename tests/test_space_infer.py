"""`prime-fast space infer`: what is taken for a parameter, the file it writes, an error for each mistake."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prime_fast as pf
from prime_fast.logs import bundled_log, read_log, write_table
from prime_fast.spaces import infer_space

Run = Callable[..., tuple[int, str, str]]

LOG = """id,Array Side,flow,cache,volts,2nd,clock,latency_us,total-LUT,stage,valid
1,8,ws,true,0.5,1,9,10.5,3,a,1
2,16,os,false,0.75,2,9,8.25,4,b,1
3,16,,TRUE,0.5,10,9,,5,b,0
4,32,ws,false,1,10,9,7.125,5,a,1
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "my log.csv"
    path.write_text(LOG)
    return path


def kinds_of(found: Any) -> dict[str, tuple[str, list[Any]]]:
    return {
        column.name: (column.kind, list(column.values)) for column in found.columns if column.is_parameter
    }


def test_parameters_are_told_from_results(log: Path) -> None:
    found = infer_space(log)
    assert kinds_of(found) == {
        "Array Side": ("ordinal", [8, 16, 32]),
        "flow": ("categorical", ["", "os", "ws"]),
        "cache": ("boolean", [False, True]),
        "volts": ("ordinal", [0.5, 0.75, 1.0]),
        "2nd": ("ordinal", [1, 2, 10]),
    }
    assert {column.name: column.why for column in found.columns if not column.is_parameter} == {
        "id": "its name is that of a label",
        "clock": "it is 9 everywhere",
        "latency_us": "its name speaks of latency",
        "total-LUT": "its name speaks of lut",
        "stage": "it stands behind latency_us",
        "valid": "its name is that of an outcome",
    }
    assert found.rows == 4
    assert found.space.names == ["Array_Side", "flow", "cache", "volts", "p2nd"]
    assert found.space.columns == ["Array Side", "flow", "cache", "volts", "2nd"]
    assert found.space.kinds == ["ordinal", "categorical", "categorical", "ordinal", "ordinal"]
    assert found.space.name == "my log"
    assert found.toml.count("# to fill in") == 3
    assert "#   clock: it is 9 everywhere\n" in found.toml


def test_what_is_told_counts(log: Path) -> None:
    found = infer_space(
        log,
        parameters=["stage", "clock"],
        not_parameters=["volts"],
        kinds={"2nd": "categorical", "flow": "ordinal"},
        name="mine",
        title='with "quotes"',
    )
    assert kinds_of(found) == {
        "Array Side": ("ordinal", [8, 16, 32]),
        "flow": ("ordinal", ["", "os", "ws"]),
        "cache": ("boolean", [False, True]),
        "2nd": ("categorical", [1, 2, 10]),
        "clock": ("ordinal", [9]),
        "stage": ("categorical", ["a", "b"]),
    }
    assert (found.space.name, found.space.title) == ("mine", 'with "quotes"')
    assert found.space.kinds == ["ordinal", "ordinal", "categorical", "categorical", "ordinal", "categorical"]


def test_zeros_and_ones_as_booleans() -> None:
    table = pl.DataFrame({"pad": ["1", "0", "1"], "unroll": [0, 1, 0], "n": [1.0, 2.0, 4.0]})
    found = infer_space(table, kinds={"pad": "boolean", "unroll": "boolean"})
    assert kinds_of(found) == {
        "pad": ("boolean", [False, True]),
        "unroll": ("boolean", [False, True]),
        "n": ("ordinal", [1, 2, 4]),
    }
    # A column of booleans reads 1 and 0 as true and false.
    ranks = found.space.ranks_from_frame(table)
    assert ranks.tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 2]]


def test_float32_values_are_as_written() -> None:
    table = pl.DataFrame({"v": [0.1, 0.7, 0.1]}, schema={"v": pl.Float32})
    assert kinds_of(infer_space(table)) == {"v": ("ordinal", [0.1, 0.7])}


def test_names_become_words_of_their_own() -> None:
    table = pl.DataFrame({name: [1, 2] for name in ("a-b", "a_b", "a b", "and", "é", "", "1")})
    found = infer_space(table)
    assert found.space.names == ["a_b_2", "a_b", "a_b_3", "and_", "_", "p", "p1"]
    assert found.space.columns == table.columns


def test_many_values() -> None:
    # A list of 200 values, each in many rows; a measurement that hardly repeats; a number for each row.
    rows = 2000
    table = pl.DataFrame(
        {
            "listed": [i % 200 for i in range(rows)],
            "measure": [i * 1.7 for i in range(rows)],
            "n": list(range(rows)),
            "small": [i % 3 for i in range(rows)],
        }
    )
    found = infer_space(table)
    assert found.space.names == ["listed", "small"]
    assert [column.why for column in found.columns] == [
        "200 values",
        "it has 2,000 values in 2,000 rows",
        "it has 2,000 values in 2,000 rows",
        "3 values",
    ]
    assert len(infer_space(table, parameters=["n"]).space.values[1]) == rows


def test_results_before_parameters() -> None:
    table = pl.DataFrame({"latency_ms": [1.5, 2.5], "size": [1, 2], "energy": [3.5, 4.5], "way": [2, 4]})
    assert infer_space(table).space.names == ["size"]
    assert infer_space(table, parameters=["way"]).space.names == ["size", "way"]


def test_the_bundled_logs_give_back_primes_space(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    write_table(bundled_log("MobileNetV2").frame, path)
    found = infer_space(path)
    prime = pf.DesignSpace.bundled()
    assert found.space.names == prime.names
    assert found.space.values == prime.values
    (tmp_path / "space.toml").write_text(found.toml)
    log = read_log(path, pf.DesignSpace.load(tmp_path / "space.toml"))
    assert not log.dropped


# --- several files ------------------------------------------------------------------------------------------


def test_files_of_any_format_are_one_log(run: Run, tmp_path: Path) -> None:
    tables = [
        pl.DataFrame({"size": [4, 8], "volts": [0.5, 0.7], "flow": ["ws", "os"], "latency_us": [1.0, 2.0]}),
        pl.DataFrame({"size": [16, 8], "volts": [0.5, 0.9], "flow": ["ws", "rs"], "latency_us": [3.0, None]}),
    ]
    runs = tmp_path / "runs"
    runs.mkdir()
    tables[0].write_csv(runs / "a.csv")
    # 0.7 and 0.9 are no other values in single precision.
    single = tables[1].with_columns(pl.col("volts").cast(pl.Float32), pl.col("flow").cast(pl.Categorical))
    single.write_parquet(runs / "b.parquet")
    (runs / "notes.txt").write_text("nothing to learn from")
    expected = kinds_of(infer_space(pl.concat(tables)))
    assert expected["volts"] == ("ordinal", [0.5, 0.7, 0.9])
    for names in (["runs"], ["runs/*.*s[vq]*", "runs/b.parquet"], ["runs/b.parquet", "runs/a.csv"]):
        code, out, err = run("space", "infer", *names, "--out", "space.toml", "--overwrite")
        assert (code, err) == (0, ""), names
        assert "3 parameters, 27 designs" in out
        text = Path("space.toml").read_text()
        assert " and 1 more, 4 rows" in text
        assert 'name = "a"' in text or names[0] == "runs/b.parquet"
        assert read_log(runs, pf.DesignSpace.load("space.toml"), least_feasible=0).dropped == ()
        assert kinds_of(infer_space([Path(name) for name in names])) == expected


def test_files_that_are_no_one_log(run: Run, tmp_path: Path) -> None:
    write_table(pl.DataFrame({"size": [1, 2]}), tmp_path / "a.parquet")
    pl.DataFrame({"size": [[1], [2]]}).write_parquet(tmp_path / "b.parquet")
    (tmp_path / "empty").mkdir()
    for names, code, told in (
        (["a.parquet", "b.parquet"], 3, "a.parquet and 1 more: their columns can't be joined: "),
        (["*.csv"], 2, "*.csv: no file has a name like this"),
        (["a.parquet", "c.parquet"], 2, "c.parquet: no such file"),
        (["empty"], 3, "empty is a directory without logs"),
    ):
        found, out, err = run("space", "infer", *names, "--out", "space.toml")
        assert (found, out) == (code, ""), err
        assert told in err
        assert err.count("\n") == 1
        assert not (tmp_path / "space.toml").exists()


# --- whatever the log, its space contains it ----------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
COLUMNS = st.one_of(
    st.lists(st.integers(-(10**6), 10**6), min_size=6, max_size=6),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=6, max_size=6),
    st.lists(st.sampled_from([0.1, 1e-9, 1e300, -0.0, 0.0, 5]), min_size=6, max_size=6),
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.lists(TEXTS, min_size=6, max_size=6),
    st.lists(st.one_of(st.none(), TEXTS), min_size=6, max_size=6),
    st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=6, max_size=6),
)


@settings(max_examples=max(200, settings().max_examples))
@given(columns=st.dictionaries(TEXTS, COLUMNS, min_size=1, max_size=5))
def test_the_space_contains_the_log(columns: dict[str, list[Any]]) -> None:
    table = pl.DataFrame(columns, strict=False)
    try:
        found = infer_space(table)
    except pf.DataError as error:
        assert "looks like a parameter" in str(error)  # noqa: PT017
        return
    text = found.toml
    assert tomllib.loads(text)["name"] == "inferred"
    space = pf.DesignSpace.from_toml(text)
    for position, column in enumerate(space.columns):
        entries = table[column]
        if entries.dtype == pl.String:
            entries = entries.str.strip_chars().fill_null("")
        assert space.column_ranks(position, entries).null_count() == 0, (column, space.values[position])


@settings(max_examples=max(200, settings().max_examples))
@given(text=st.one_of(st.text(), st.text(st.sampled_from("ab,\n\"'1.e\t"))))
def test_no_text_ends_in_a_traceback(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        infer_space(path)
    except pf.PrimeFastError as error:
        assert str(error)  # noqa: PT017


# --- command line -------------------------------------------------------------------------------------------


def test_the_command_writes_a_space_that_covers_the_log(run: Run, log: Path) -> None:
    code, out, err = run("space", "infer", log, "--out", "space.toml", "--title", "A try")
    assert (code, err) == (0, "")
    assert "space.toml: 5 parameters, 162 designs; units and constraints are yours to add" in out
    assert "Array Side  ordinal parameter" in out
    assert "it stands behind latency_us" in out
    assert max(map(len, out.splitlines())) <= 80
    space = pf.DesignSpace.load("space.toml")
    assert space.title == "A try"
    code, out, err = run(
        "space", "infer", log, "--out", "space.toml", "--kind", "2nd=categorical", "--overwrite"
    )
    assert code == 0
    assert pf.DesignSpace.load("space.toml").kinds[-1] == "categorical"


@pytest.mark.parametrize(
    ("content", "arguments", "code", "message"),
    [
        (None, [], 2, "no such file"),
        ("", [], 3, "is empty"),
        ("a,b\n", [], 3, "has no rows"),
        (
            LOG,
            ["--parameter", "vols"],
            2,
            "has no column 'vols' (did you mean volts?); its columns are id, Arr",
        ),
        (LOG, ["--not-parameter", "x"], 2, "has no column 'x'; its columns are"),
        (
            LOG,
            ["--kind", "flow=nominal"],
            2,
            "kind 'nominal' of 'flow' is unknown (did you mean ordinal?); known: ordinal",
        ),
        (LOG, ["--kind", "flow"], 2, "'flow' is not of the form NAME=VALUE"),
        (
            LOG,
            ["--kind", "volts=boolean"],
            2,
            "column 'volts' holds 0.5, 0.75, 1; a boolean one holds true and",
        ),
        (
            LOG,
            ["--parameter", "flow", "--not-parameter", "flow"],
            2,
            "'flow' is named as a parameter and as none",
        ),
        (LOG, ["--parameter", "latency_us"], 3, "parameter latency_us is missing in 1 of 4 rows"),
        (
            "latency,energy\n1,2\n3,4\n",
            [],
            3,
            "no column of its 2 rows looks like a parameter; name them (--par",
        ),
        (
            ",".join(f"c{i}" for i in range(65)) + "\n" + ",".join("1" * 65) + "\n" + ",".join("2" * 65),
            [],
            3,
            "65 columns look like parameters, and a space has at most 64; say which are none (--not-param",
        ),
        (
            ",".join(f"c{i}" for i in range(60))
            + "\n"
            + "".join(",".join(str(r) * 60) + "\n" for r in range(4)),
            [],
            3,
            "the 60 columns that look like parameters span 1.33e+36 designs, and a space has at most 2^64",
        ),
        (LOG, ["--out", "no/such/directory/space.toml"], 2, "can't write"),
    ],
)
def test_mistakes(
    run: Run, tmp_path: Path, content: str | None, arguments: list[str], code: int, message: str
) -> None:
    path = tmp_path / "log.csv"
    if content is not None:
        path.write_text(content)
    found, _, err = run("space", "infer", path, "--out", "space.toml", *arguments)
    assert (found, "Traceback" in err) == (code, False), err
    assert message in err
    assert not (tmp_path / "space.toml").exists()


def test_a_file_is_not_replaced_unasked(run: Run, log: Path) -> None:
    Path("space.toml").write_text("mine")
    code, _, err = run("space", "infer", log, "--out", "space.toml")
    assert (code, Path("space.toml").read_text()) == (2, "mine")
    assert "space.toml exists; name another file, or replace it with --overwrite" in err
