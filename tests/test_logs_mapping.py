"""A log's mapping: what columns mean, what marks a design infeasible, units; its mistakes, one error each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_explain import TINY
from test_logs import SPACE, good_rows, with_row

from prime_fast import ConfigurationError, DataError, DesignSpace, methods, offline
from prime_fast.analysis.runs import read_run
from prime_fast.logs import Log, LogMapping, inspect, read_log, repeats, write_table
from prime_fast.logs.units import UNITS, conversion

Run = Callable[..., tuple[int, str, str]]
MAPPINGS = Path(__file__).parent / "mappings"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
beside_a_checkout = pytest.mark.skipif(
    not (SHARED / "kernel_tuner").is_dir() or not (SHARED / "hlsyn").is_dir(),
    reason="the measured tables lie beside a developer's checkout only",
)


def read(frame: pl.DataFrame, directory: Path, text: str, name: str = "log.csv", **options: object) -> Log:
    write_table(frame, directory / name)
    mapping = LogMapping.from_toml(text, "mapping.toml")
    return read_log(directory / name, SPACE, mapping=mapping, **options)  # type: ignore[arg-type]


def plain(directory: Path) -> pl.DataFrame:
    """The frame of `good_rows`, read without a mapping."""
    write_table(good_rows(), directory / "plain.parquet")
    return read_log(directory / "plain.parquet", SPACE).frame


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_names_units_and_values(tmp_path: Path, name: str) -> None:
    logged = good_rows().select(
        pl.col("size").alias("s") / 1024,
        pl.col("voltage").alias("V"),
        pl.col("flow").replace({"ws": "weight stationary", "": "none"}),
        pl.when("cache").then(pl.lit("yes")).otherwise(pl.lit("no")).alias("cache"),
        (pl.col("latency_us") / 1e3).alias("time"),
        pl.col("feasible").cast(pl.Int8).alias("valid"),
        pl.lit(2.5).alias("E"),
        pl.lit(7).alias("unused"),
    )
    text = """
        objective = { name = "latency_us", column = "time", from = "ms", to = "us" }
        metrics = { energy_uj = { column = "E", from = "mJ", to = "uJ" } }
        feasibility.feasible = "valid"
        [parameters]
        size = { column = "s", from = "KiB", to = "B" }
        voltage = "V"
        [values]
        flow = { "weight stationary" = "ws", none = "" }
        cache = { yes = true, no = false }
    """
    log = read(logged, tmp_path, text, name)
    expected = plain(tmp_path)
    assert log.frame.drop("energy_uj", "reason", "latency_us").equals(expected.drop("latency_us"))
    np.testing.assert_allclose(log.values, expected["latency_us"].fill_null(np.nan).to_numpy(), rtol=1e-15)
    assert log.frame["energy_uj"].unique().to_list() == [2500.0]
    assert log.frame["reason"].unique().sort().to_list() == [None, "valid is false"]
    assert log.metrics == ["latency_us", "area_mm2", "energy_uj"]


def test_flags_win_over_the_mapping(tmp_path: Path) -> None:
    frame = good_rows().with_columns(old=pl.col("latency_us") * 2, energy=pl.lit(3.0))
    text = 'objective = { name = "latency_us", column = "old" }\n[metrics]\nenergy = "energy"'
    assert read(frame, tmp_path, text).values[0] == 20.0
    assert read(frame, tmp_path, text, columns={"latency_us": "latency_us"}).values[0] == 10.0
    other = read(frame, tmp_path, text, objective="energy")
    assert other.values[0] == 3.0
    assert other.metrics == ["energy", "area_mm2", "latency_us"]


MARKS: dict[str, tuple[dict[str, object], str]] = {
    'feasible = "valid"': ({"valid": 0}, "valid is false"),
    'infeasible = "failed"': ({"failed": True}, "failed is true"),
    'status = { state = ["ok", "slow"] }': ({"state": "crashed"}, "crashed"),
    "missing = true": ({"latency_us": None}, "latency_us is missing"),
    "sentinels = [0, -1]": ({"latency_us": -1.0}, "latency_us is -1"),
    "sentinels = [1e9]": ({"latency_us": 1e9}, "latency_us is 1e+09"),
    "sentinels = [nan]": ({"latency_us": float("nan")}, "latency_us is nan"),
    'limits = ["util <= 0.8"]': ({"util": 0.9}, "not util <= 0.8"),
    'limits = ["slack > 0"]': ({"slack": 0.0}, "not slack > 0"),
    'reason = "why"\ninfeasible = "failed"': ({"failed": True, "why": "too hot"}, "too hot"),
}
EVERY_MARK = """
    [feasibility]
    feasible = "valid"
    infeasible = "failed"
    status = { state = ["ok", "slow"] }
    missing = true
    sentinels = [0, -1, 1e9, nan]
    limits = ["util <= 0.8", "slack > 0"]
    reason = "why"
"""


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_what_marks_a_design_infeasible_alone_and_with_all_others(
    tmp_path: Path, mark: str, name: str
) -> None:
    entries, reason = MARKS[mark]
    frame = good_rows(20, 0).with_columns(
        valid=pl.lit(1), failed=pl.lit(value=False), state=pl.lit("ok"), util=pl.lit(0.8), slack=pl.lit(1.0),
        why=pl.lit(None, pl.String),
    )  # fmt: skip
    for text in (f"[feasibility]\n{mark}", EVERY_MARK):
        log = read(with_row(frame.drop("feasible"), 7, **entries), tmp_path, text, name)
        assert np.flatnonzero(~log.feasible).tolist() == [6]
        assert log.frame["reason"][6] == reason
        assert log.frame["latency_us"].null_count() == 1
        assert log.dropped == ()


def test_texts_as_sentinels(tmp_path: Path) -> None:
    cost = pl.when(pl.int_range(pl.len()) < 3).then(pl.lit(" N/A")).otherwise(pl.col("latency_us"))
    frame = good_rows(20, 0).drop("feasible").with_columns(latency_us=cost)
    log = read(frame, tmp_path, 'feasibility.sentinels = ["N/A"]')
    assert np.flatnonzero(~log.feasible).tolist() == [0, 1, 2]
    # Nothing else marks a design: one without an objective is infeasible too.
    log = read(with_row(frame, 9, latency_us=None), tmp_path, 'feasibility.sentinels = ["N/A"]')
    assert np.flatnonzero(~log.feasible).tolist() == [0, 1, 2, 8]
    log = read(
        with_row(frame, 9, latency_us=None), tmp_path, 'feasibility = {missing=false, sentinels=["N/A"]}'
    )
    assert [str(entry) for entry in log.dropped] == [
        "1 row dropped: latency_us of a feasible design is missing (row 9)"
    ]


def test_what_the_objective_says_of_feasibility_holds_for_other_objectives(tmp_path: Path) -> None:
    frame = with_row(good_rows(20, 0), 4, latency_us=0.0).with_columns(energy=pl.lit(2.0))
    log = read(
        frame.drop("feasible"),
        tmp_path,
        'objective = "latency_us"\nfeasibility.sentinels = [0]',
        objective="energy",
    )
    assert np.flatnonzero(~log.feasible).tolist() == [3]
    assert log.values[2] == 2.0


def test_limit_on_a_figure_is_in_its_unit_and_an_unknown_figure_is_no_verdict(tmp_path: Path) -> None:
    frame = good_rows(20, 0).drop("feasible").with_columns(power=pl.int_range(pl.len()) * 0.1)
    text = """
        metrics = { power_mw = { column = "power", from = "W", to = "mW" } }
        feasibility.limits = ["power_mw < 1500"]
    """
    log = read(frame, tmp_path, text)
    assert np.flatnonzero(~log.feasible).tolist() == [15, 16, 17, 18, 19]
    log = read(with_row(frame, 3, power=None), tmp_path, text)
    assert [entry.reason for entry in log.dropped] == ["power_mw, which has a limit, is missing"]


def test_figures_of_failed_designs_may_be_any_text(tmp_path: Path) -> None:
    power = pl.when("feasible").then(pl.lit("1.5")).otherwise(pl.lit("failed"))
    frame = good_rows().with_columns(power=power)
    log = read(frame, tmp_path, 'metrics = ["power"]\nfeasibility.feasible = "feasible"')
    assert log.frame["power"].to_list() == [1.5] * 12 + [None] * 4
    with pytest.raises(DataError, match="column 'power', mapped to 'power', holds more than numbers"):
        read(frame.with_columns(power=pl.lit("x")), tmp_path, 'metrics = ["power"]')


def test_application_by_column_name_and_pattern(tmp_path: Path) -> None:
    frame = good_rows().with_columns(kernel=pl.lit("gemm v2"))
    for text, name in [
        ('application.column = "kernel"', "gemm v2"),
        ('application = "gemm"', "gemm"),
        ("application.pattern = 'log_(\\w+)\\.'", "A100"),
        ("application.pattern = 'log_(\\w+)\\.'\n[values.application]\nA100 = 'Ampere'", "Ampere"),
    ]:
        log = read(frame, tmp_path, text, "log_A100.csv")
        assert log.frame["application"].unique().to_list() == [name]
        assert len(read(frame, tmp_path, text, "log_A100.csv", application=name.upper())) == 16


def test_absent_designs_are_infeasible_once_an_application(tmp_path: Path) -> None:
    frame = with_row(good_rows(20, 2), 5, latency_us=-1.0)
    frame = pl.concat([frame, with_row(frame[[3]], 1, feasible=False)])
    log = read(frame, tmp_path, 'feasibility.absent = "infeasible"')
    # Designs 3 (contradicts itself) and 4 (a bad objective) are no absent ones.
    assert len(log) == SPACE.size - 2
    assert sorted(SPACE.indices(log.ranks).tolist()) == [i for i in range(SPACE.size) if i not in {3, 4}]
    assert log.feasible.sum() == 18
    assert inspect(log).reasons["absent from the log"] == SPACE.size - 22
    both = pl.concat([frame.with_columns(application=pl.lit(name)) for name in "AB"])
    assert len(read(both, tmp_path, 'feasibility.absent = "infeasible"')) == 2 * (SPACE.size - 2)
    assert len(read(both, tmp_path, 'feasibility.absent = "infeasible"', application="a")) == SPACE.size - 2


def test_absent_designs_of_a_large_space_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "MOST_ABSENT", SPACE.size - 1)
    with pytest.raises(
        ConfigurationError, match=r"`feasibility.absent` needs all designs .* 72; at most 71 are"
    ):
        read(good_rows(), tmp_path, 'feasibility.absent = "infeasible"')


@pytest.mark.parametrize("kind", UNITS)
def test_units_convert_there_and_back_exactly(kind: str) -> None:
    for first in UNITS[kind]:
        for second in UNITS[kind]:
            assert conversion(first, second) * conversion(second, first) == 1


@pytest.mark.parametrize(
    ("first", "second", "factor"),
    [
        ("ms", "us", Fraction(1000)), ("h", "s", Fraction(3600)), ("kWh", "J", Fraction(3_600_000)),
        ("pJ", "uJ", Fraction(1, 10**6)), ("um2", "mm2", Fraction(1, 10**6)), ("W", "mW", Fraction(1000)),
        ("MiB", "B", Fraction(1 << 20)), ("Mbit", "kB", Fraction(125)), ("GHz", "MHz", Fraction(1000)),
    ],
)  # fmt: skip
def test_units_are_what_they_are_called(first: str, second: str, factor: Fraction) -> None:
    assert conversion(first, second) == factor


MISTAKES = {
    "objective = 3": "`objective` is 3; expected a name, or a table with `column`",
    "objectiv = 'x'": "unknown key `objectiv` (did you mean objective?); known here: objective, parameters,",
    "objective = {}": "`objective` is without `column`; expected a table such as",
    "objective = {column = 'latency_us', form = 'ms'}": "unknown key `objective.form` (did you mean from?)",
    "objective = {column = 'latency_us', from = 'ms'}": "`objective` is with `from` alone; expected both",
    "objective = {column = 'latency_us', from = 'msec', to = 'us'}": "unknown unit 'msec' (did you mean",
    "objective = {column = 'latency_us', from = 'ms', to = 'mm2'}":
        "`objective`: 'ms' is a unit of time and 'mm2' one of area; units of time are s, ms, us,",
    "objective = {column = 'latncy_us'}":
        "`objective` names the column 'latncy_us', which {log} hasn't: its columns are size, voltage, flow,",
    "parameters = 'size'": "`parameters` is 'size'; expected a table of names and columns, or a list",
    "parameters = ['size', 'size']": "`parameters` is a list with 'size' twice; expected each name once",
    "parameters = {siz = 'size'}":
        "`parameters.siz` is no parameter of the space 'tiny' (did you mean size?); it has size, voltage,",
    "parameters = {size = ''}": "`parameters.size` is ''; expected the name of a column",
    "parameters = {size = {from = 'B', to = 'KiB'}}": "`parameters.size` is without `column`",
    "parameters = {size = 'voltage', voltage = 'voltage'}":
        "`parameters.voltage` is 'voltage', as is parameters.size; expected each column once",
    "metrics = {size = 'latency_us'}": "`size` is given as a figure; it is a parameter of the space 'tiny'",
    "metrics = {reason = 'latency_us'}": "`metrics.reason` is a name that logs use for something else",
    "metrics = ['powr']": "`metrics.powr` names the column 'powr', which {log} hasn't: its columns are",
    "application = {column = 'a', name = 'b'}": "`application` is a table of column, name; expected a name,",
    "application.pattern = '('": "`application.pattern` is '(' (missing ), unterminated subpattern",
    "application.pattern = 'log'": "`application.pattern` is 'log' with 0 groups; expected a regular",
    "application.pattern = 'gemm(.*)'":
        "`application.pattern` 'gemm(.*)' finds no application in the path {log}",
    "feasibility = true": "`feasibility` is True; expected a table",
    "feasibility.valid = 'x'": "unknown key `feasibility.valid`; known here: feasible, infeasible, status,",
    "feasibility.feasible = 'valid'": "`feasibility.feasible` names the column 'valid', which {log} hasn't",
    "feasibility.status = ['ok']": "`feasibility.status` is ['ok']; expected a table of columns and",
    "feasibility.status = {flow = []}": "`feasibility.status.flow` is empty; expected at least one good",
    "feasibility.status = {flow = [[1]]}": "`feasibility.status.flow` is [1]; expected a text, a number,",
    "feasibility.missing = 'yes'": "`feasibility.missing` is 'yes'; expected true or false",
    "feasibility.sentinels = 0": "`feasibility.sentinels` is 0; expected a list of numbers and texts",
    "feasibility.sentinels = [true]": "`feasibility.sentinels` is a list with True; expected",
    "feasibility.limits = ['size = 3']": "`feasibility.limits` is a list with 'size = 3'; expected a name",
    "feasibility.limits = ['size <= inf']": "`feasibility.limits` is a list with 'size <= inf'",
    "feasibility.limits = ['utl <= 0.8']": "`feasibility.limits` names 'utl', which {log} hasn't",
    "feasibility.absent = true": "`feasibility.absent` is True; expected \"infeasible\", or nothing",
    "values.flw = {a = 'ws'}": "`values.flw` is no parameter of the space 'tiny' (did you mean flow?)",
    "values.flow = 'ws'": "`values.flow` is 'ws'; expected a table of entries and values",
    "values.flow = {a = 'rs'}": "`values.flow` turns 'a' into 'rs', which is no value of flow; allowed: ws",
    "values.flow = {a = ['ws']}": "`values.flow.a` is ['ws']; expected a text, a number, true or false",
    "objective =": "is no TOML: Invalid value (at",
    "a = [[[" + "[" * 10_000: "is no TOML: ",
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES, ids=range(len(MISTAKES)))
def test_mistake_is_one_error_that_names_file_and_field(tmp_path: Path, run: Run, text: str) -> None:
    log = write_log(tmp_path)
    (tmp_path / "mapping.toml").write_text(text)
    (tmp_path / "space.toml").write_text(SPACE.to_toml())
    code, out, err = run("logs", "inspect", "log.csv", "--space", "space.toml", "--mapping", "mapping.toml")
    assert (code, out) == (2, "")
    assert err.startswith("Error: mapping.toml: ")
    assert MISTAKES[text].replace("{log}", log) in err
    assert err.count("\n") == 1


def write_log(directory: Path) -> str:
    write_table(good_rows(), directory / "log.csv")
    return "log.csv"


def test_mapping_that_can_not_be_read(tmp_path: Path, run: Run) -> None:
    write_log(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\0")
    for name, message in [
        ("nowhere.toml", "no such file; expected a mapping of a log's columns in TOML"),
        ("binary.toml", "can't be read as text"),
    ]:
        code, _, err = run("logs", "inspect", "log.csv", "--mapping", name)
        assert code == 2
        assert message in err
    code, _, err = run("optimize", "--mapping", "log.csv")
    assert code == 2
    assert "log.csv: is no TOML" in err
    (tmp_path / "good.toml").write_text("feasibility.missing = true")
    code, _, err = run("optimize", "--mapping", "good.toml")
    assert code == 2
    assert "good.toml: a mapping says what files hold; name the files as logs" in err


TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    "objective", "objective.name", "objective.column", "objective.from", "objective.to", "parameters",
    "parameters.size", "metrics", "metrics.x", "metrics.x.column", "metrics.x.from", "metrics.x.to",
    "application", "application.column", "application.pattern", "feasibility", "feasibility.feasible",
    "feasibility.status", "feasibility.status.flow", "feasibility.missing", "feasibility.sentinels",
    "feasibility.limits", "feasibility.absent", "values", "values.flow", "values.flow.ws",
]  # fmt: skip


def as_toml(value: object) -> str:
    """Write a value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(key)} = {as_toml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, bool) or value is None:
        return str(value is True).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    return str(value)


@settings(max_examples=max(300, settings().max_examples))
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=4) | st.text(max_size=200))
def test_any_mapping_is_one_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, object] | str
) -> None:
    text = entries
    if isinstance(entries, dict):
        text = "\n".join(f"{key} = {as_toml(value)}" for key, value in entries.items())
    assert isinstance(text, str)
    message = "m.toml: "
    try:
        mapping = LogMapping.from_toml(text, "m.toml")
        log = tmp_path_factory.getbasetemp() / "fuzzed.parquet"
        if not log.exists():
            write_table(good_rows(), log)
        read_log(log, SPACE, mapping=mapping, least_feasible=0)
    except ConfigurationError as error:
        message = str(error)
    except DataError:
        pass
    assert message.startswith("m.toml: ") or message.endswith("is a parameter of the design space")


@beside_a_checkout
def test_kernel_tuner_goes_in_with_a_mapping_alone() -> None:
    mapping = MAPPINGS / "kernel_tuner.toml"
    space = DesignSpace.load(MAPPINGS / "kernel_tuner_convolution_space.toml")
    file = SHARED / "kernel_tuner" / "convolution_milo__A100.csv.gz"
    log = read_log(file, space, mapping=mapping)
    assert (len(log), log.feasible.sum()) == (space.size, 4_201)
    assert inspect(log).reasons == {
        "absent from the log": 10_240 - 4_362, "RuntimeFailedConfig": 155, "CompilationFailedConfig": 6
    }  # fmt: skip
    measured = pl.read_csv(file)["time_ms"].to_numpy()
    np.testing.assert_allclose(log.values[:4_362], 1e3 * measured, rtol=1e-15)
    both = read_log(
        f"{SHARED}/kernel_tuner/gemm*.csv.gz",
        DesignSpace.load(MAPPINGS / "kernel_tuner_gemm_space.toml"),
        mapping=mapping,
    )
    assert (len(both), both.feasible.sum()) == (2 * 82_944, 2 * 17_956)
    assert both.frame["application"].unique().sort().to_list() == ["2080 Ti", "Titan"]


@beside_a_checkout
def test_hlsyn_goes_in_with_a_mapping_alone(tmp_path: Path) -> None:
    mapping = MAPPINGS / "hlsyn.toml"
    space = DesignSpace.load(MAPPINGS / "hlsyn_gemm-p_space.toml")
    file = SHARED / "hlsyn" / "gemm-p.csv.gz"
    log = read_log(file, space, mapping=mapping)
    table = pl.read_csv(file, infer_schema_length=None)
    assert log.dropped == ()
    assert log.feasible.tolist() == (table["valid"] == 1).to_list()
    assert log.values[log.feasible].tolist() == table.filter(valid=1)["perf_cycles"].to_list()
    coarse = table["__PIPE__L0"].is_null() | (table["__PIPE__L0"] == "")
    assert (log.frame["pipe_L0"] == "coarse").to_list() == coarse.to_list()
    assert inspect(log).reasons["perf_cycles is 0"] == 423
    # Two rows of one design, once the same and once another figure.
    first = table.filter(valid=1)[[0]]
    again = pl.concat([table, first, first.with_columns(pl.col("perf_cycles") * 3)])
    write_table(again, tmp_path / "gemm-p.csv")
    twice = read_log(tmp_path / "gemm-p.csv", space, mapping=mapping)
    assert len(twice) == len(log)
    assert inspect(twice).contradictions == 2


def test_a_run_remembers_its_mapping_and_the_hashes_of_its_logs(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods.Method, "settings", lambda *_: TINY)
    monkeypatch.setitem(offline.SEARCH_EVALUATIONS, "quick", 2000)
    frame = SPACE.frame(SPACE.ranks(np.arange(SPACE.size, dtype=np.uint64))).with_columns(
        ms=pl.int_range(pl.len()) * 1e-3 + 5, state=pl.Series(["ok", "ok", "failed"] * 24)
    )
    write_table(frame[:40], tmp_path / "a.csv")
    write_table(frame[40:], tmp_path / "b.csv")
    (tmp_path / "space.toml").write_text(SPACE.to_toml())
    text = """
        objective = { name = "latency_us", column = "ms", from = "ms", to = "us" }
        feasibility.status.state = ["ok"]
    """
    (tmp_path / "mapping.toml").write_text(text)
    code, _, err = run(
        "optimize", "--logs", "*.csv", "--space", "space.toml", "--mapping", "mapping.toml",
        "--budget", "quick", "--proposals", 2, "--out", "run", "--quiet",
    )  # fmt: skip
    assert code == 0, err
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["objective"] == "latency_us"
    assert manifest["mapping"] == text
    (log,) = manifest["logs"]
    digests = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.csv", "b.csv")]
    assert [source["sha256"] for source in log["sources"]] == digests
    assert [source["path"] for source in log["sources"]] == ["a.csv", "b.csv"]
    # What explains the run reads the logs as the run did.
    (tmp_path / "mapping.toml").unlink()
    finished = read_run(tmp_path / "run")
    assert finished.missing is None
    assert finished.warnings == []
    assert np.nanmin(finished.logs[0].values) == 5000.0
    write_table(frame[:39], tmp_path / "a.csv")
    assert read_run(tmp_path / "run").missing == "the log a.csv has changed since the run"
