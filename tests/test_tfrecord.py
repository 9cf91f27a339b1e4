"""PRIME's published data set: read as another reader reads it, converted, and refused with a reason."""

from __future__ import annotations

import gzip
import hashlib
import signal
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import prime_fast as pf
from prime_fast.logs import generate, read_log, read_tfrecords
from prime_fast.logs.tfrecord import bundled_application, tfrecord_files
from tfrecord_writing import FLOATS, designs, example, framed, write_designs

Run = Callable[..., tuple[int, str, str]]
FIGURES = {"runtime": 400.5, "area": 25.5, "infeasible": 0}


def of_simulator(application: str, count: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Designs in the form of the data set; an infeasible one's runtime is a placeholder."""
    frame = generate(pf.Simulator(application), count, seed)
    columns = {FLOATS[i]: frame[name].to_numpy() for i, name in enumerate(pf.DesignSpace.bundled().names)}
    columns["runtime"] = frame["latency_us"].fill_null(-1.0).to_numpy()
    columns["area"] = frame["area_mm2"].to_numpy()
    return columns | {"infeasible": (~frame["feasible"]).to_numpy()}


def record(**changes: Any) -> bytes:
    """One record; a change to None leaves the feature out."""
    features: dict[str, Any] = {name: [4.0] for name in FLOATS}
    features |= {name: [value] for name, value in FIGURES.items()} | changes
    return framed(example({name: values for name, values in features.items() if values is not None}))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set of two applications."""
    folder = tmp_path / "prime"
    for name, application in {"MobilenetV2": "MobileNetV2", "t_rnn_dec": "t-RNN Dec"}.items():
        columns = of_simulator(application, 600)
        for part in range(2):
            half = {key: values[part::2] for key, values in columns.items()}
            write_designs(folder / name / f"data-{part}.tfrecord", half)
    return folder


def test_columns_are_as_another_reader_reads_them(data: Path) -> None:
    reader = pytest.importorskip("tfrecord.reader")
    frame, sources, dropped = read_tfrecords(data)
    files = [Path(source.path) for source in sources]
    wanted = [record for file in files for record in reader.tfrecord_loader(str(file), None)]
    assert frame.height == len(wanted) == 1200
    assert not dropped
    for name in (*FLOATS, "infeasible"):
        known = pl.Series([record[name][0].item() for record in wanted])
        ours = frame[name] if name != "infeasible" else frame[name].cast(pl.Int64)
        if name == "runtime":
            placeholder = frame["infeasible"]
            assert ours.is_null().equals(placeholder)
            ours, known = ours.drop_nulls(), known.filter(~placeholder)
        assert ours.cast(known.dtype).equals(known), name
    assert [source.rows for source in sources] == [300] * 4
    assert sources[0].sha256 == hashlib.sha256(files[0].read_bytes()).hexdigest()


def test_files_of_another_writer_are_read(tmp_path: Path) -> None:
    writer = pytest.importorskip("tfrecord.writer")
    file = tmp_path / "m5" / "x.tfrecord"
    file.parent.mkdir()
    out = writer.TFRecordWriter(str(file))
    for number in range(50):
        features = dict.fromkeys(FLOATS, (number + 0.25, "float"))
        out.write(features | {"infeasible": (number % 2, "int"), "name": (b"x", "byte")})
    out.close()
    remarks: list[str] = []
    frame, _, _ = read_tfrecords(file, warn=remarks.append)
    assert frame["param_3"].to_list() == [number + 0.25 for number in range(50)]
    assert frame["infeasible"].to_list() == [False, True] * 25
    assert len(remarks) == 1
    assert '"name"' in remarks[0]


@pytest.mark.parametrize(
    ("folder", "application"),
    [
        ("MobilenetEdgeTPU", "MobileNetEdgeTPU"),
        ("MobileNetEdgeTPU", "MobileNetEdgeTPU"),
        ("u-net", "U-Net"),
        ("t_rnn_enc", "t-RNN Enc"),
        ("m4", "M4"),
        ("MobilenetV2/part", "MobileNetV2"),
        ("my-network", "my-network"),
    ],
)
def test_applications_are_named_by_folders(tmp_path: Path, folder: str, application: str) -> None:
    file = tmp_path / "data" / folder / "x.tfrecord"
    file.parent.mkdir(parents=True)
    file.write_bytes(record())
    frame, _, _ = read_tfrecords(tmp_path / "data")
    assert frame["application"].to_list() == [application]
    if "/" not in folder:
        assert read_tfrecords(file)[0]["application"].to_list() == [application]


def test_every_folder_of_the_published_data_set_names_an_application() -> None:
    mobile = ["MobilenetEdgeTPU", "MobilenetV2", "MobilenetV3"]
    folders = [*mobile, "m4", "m5", "m6", "u-net", "t_rnn_dec", "t_rnn_enc"]
    assert [bundled_application(folder) for folder in folders] == pf.prime_application_names()


def test_files_are_found_once_and_hidden_ones_are_not(data: Path) -> None:
    (data / "MobilenetV2" / "._data-0.tfrecord").write_bytes(b"x")
    (data / "notes.txt").write_text("x")
    (data / "MobilenetV2" / "loop").symlink_to(data)
    every = tfrecord_files(data)
    assert [file.path.name for file in every] == ["data-0.tfrecord", "data-1.tfrecord"] * 2
    assert len(tfrecord_files([data, data / "MobilenetV2" / "data-0.tfrecord"])) == 4


@pytest.mark.parametrize("name", ["x.tfrecord", "x.tfrecord.gz", "x.gz", "x.bin", "x.tfrecord-0-of-1"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress])
def test_compressed_files_are_read_whatever_their_names(
    run: Run, tmp_path: Path, pack: Callable[[bytes], bytes], name: str
) -> None:
    file = tmp_path / "m4" / name
    file.parent.mkdir()
    file.write_bytes(pack(record() * 100))
    code, out, err = run("logs", "convert", file, "--out", "log.csv")
    assert (code, err) == (0, "")
    assert "100 designs, 100 feasible" in out
    assert "M4" in out


def test_reading_does_not_depend_on_threads(data: Path) -> None:
    one, many = (read_tfrecords(data, threads=threads) for threads in (1, 7))
    assert one[0].equals(many[0])
    assert one[1:] == many[1:]


def test_ctrl_c_ends_the_reading(data: Path) -> None:
    def press(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        read_tfrecords(data, progress=press)


def test_an_exception_of_the_callback_comes_back(data: Path) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read_tfrecords(data, progress=fail)


def test_a_converted_data_set_goes_into_the_other_commands(run: Run, data: Path) -> None:
    code, out, err = run("logs", "convert", data, "--out", "log.parquet")
    assert (code, err) == (0, "")
    assert "log.parquet: 1,200 designs" in out
    assert "MobileNetV2" in out
    assert "t-RNN Dec" in out
    assert "runtime is as published" in out
    assert "Next: prime-fast optimize --logs log.parquet --app MobileNetV2 --objective runtime" in out
    code, out, _ = run("logs", "inspect", "log.parquet", "--objective", "runtime")
    assert code == 0
    assert "1,200" in out
    code, out, err = run(
        "optimize", "--logs", "log.parquet", "--app", "MobileNetV2", "--objective", "runtime",
        "--method", "trees", "--budget", "quick", "--proposals", 2, "--out", "run",
    )  # fmt: skip
    assert code == 0, err
    proposals = pl.read_csv("run/proposals.csv")
    assert proposals.height == 2
    assert proposals["predicted_runtime"].is_not_null().all()


def test_what_was_written_is_the_log_it_came_from(run: Run, data: Path) -> None:
    run("logs", "convert", data, "--app", "t-rnn dec", "--runtime-unit", "us", "--out", "log.parquet")
    space = pf.DesignSpace.bundled()
    log = read_log("log.parquet", space)
    assert not log.dropped
    truth = generate(pf.Simulator("t-RNN Dec"), 600, 0)
    truth = pl.concat([truth[0::2], truth[1::2]]).unique(space.names, keep="first", maintain_order=True)
    assert log.frame["feasible"].equals(truth["feasible"])
    assert log.frame.select(space.names).equals(truth.select(space.names))
    both = log.frame["latency_us"].fill_null(0), truth["latency_us"].fill_null(0)
    np.testing.assert_allclose(*both, rtol=1e-6)


def test_the_unit_of_runtimes_is_ones_own_choice(run: Run, data: Path) -> None:
    read = {}
    for unit in ("us", "ms"):
        code, out, _ = run("logs", "convert", data, "--runtime-unit", unit, "--out", f"{unit}.parquet")
        assert code == 0
        assert "--objective" not in out
        read[unit] = pl.read_parquet(f"{unit}.parquet")["latency_us"].drop_nulls()
    assert (read["us"] * 1000.0).equals(read["ms"])


def test_limits_leave_out_feasible_designs_alone(run: Run, data: Path) -> None:
    run("logs", "convert", data, "--out", "all.parquet")
    code, out, _ = run("logs", "convert", data, "--out", "some.parquet", "--limit", "area=27")
    every, some = pl.read_parquet("all.parquet"), pl.read_parquet("some.parquet")
    assert code == 0
    assert some.equals(every.filter(~pl.col("feasible") | (pl.col("area") <= 27.0)))
    assert every.height - some.height > 0
    assert f"area <= 27: {every.height - some.height:,} feasible designs beyond it left out." in out


def test_tables_are_converted_too(run: Run, tmp_path: Path) -> None:
    frame = generate(pf.Simulator("M5"), 50)
    frame.rename({"latency_us": "time", "pes_x": "px"}).write_csv(tmp_path / "mine.csv")
    code, out, err = run(
        "logs", "convert", "mine.csv", "--objective", "time", "--column", "pes_x=px", "--app", "M5",
        "--out", "log.parquet",
    )  # fmt: skip
    assert code == 0, err
    assert "--app M5 --objective time" in out
    log = read_log("log.parquet", pf.DesignSpace.bundled(), "time", application="M5")
    assert len(log) == 50
    assert log.frame["time"].round(3).equals(frame["latency_us"].round(3).alias("time"))


def test_a_folder_of_tables_is_converted_by_a_mapping(run: Run, tmp_path: Path) -> None:
    frame = generate(pf.Simulator("M5"), 50)
    (tmp_path / "runs").mkdir()
    for number, part in enumerate((frame.head(30), frame.tail(20))):
        named = part.select(pf.DesignSpace.bundled().names, time_ms=pl.col("latency_us") / 1000.0)
        named.write_csv(tmp_path / "runs" / f"{number}.csv")
    text = 'objective = { name = "latency_us", column = "time_ms", from = "ms", to = "us" }\n'
    (tmp_path / "mapping.toml").write_text(text)
    code, out, err = run("logs", "convert", "runs", "--mapping", "mapping.toml", "--out", "log.parquet")
    assert code == 0, err
    assert out.splitlines()[-1] == "Next: prime-fast optimize --logs log.parquet"
    log = read_log("log.parquet", pf.DesignSpace.bundled(), least_feasible=0)
    assert log.frame["latency_us"].round(3).equals(frame["latency_us"].round(3))


def test_bad_records_are_skipped_counted_and_named(run: Run, tmp_path: Path) -> None:
    good = record()
    damaged = bytearray(good)
    damaged[20] ^= 1
    folder = tmp_path / "m4"
    folder.mkdir()
    (folder / "a.tfrecord").write_bytes(good + damaged + good + record(infeasible=[3]) + bytes(damaged))
    (folder / "b.tfrecord").write_bytes(good + damaged + good[:50])
    (folder / "c.tfrecord").write_bytes(b"")
    code, out, err = run("logs", "convert", "m4", "--out", "log.parquet", "--skip-bad")
    size = len(good)
    assert code == 0
    assert "3 designs, 3 feasible" in out
    assert "3 rows dropped: wrong CRC of a record's payload, found 0x" in err
    assert f"m4/a.tfrecord:2 at byte {size}, m4/a.tfrecord:5 at byte" in err
    place = f"(row m4/a.tfrecord:4 at byte {3 * size})"
    assert f"1 row dropped: `infeasible` is neither 0 nor 1, found 3 {place}" in err
    assert "1 row dropped: the file ends inside a record, found 50 bytes" in err
    assert "1 row dropped: the file is empty (row m4/c.tfrecord)" in err


def flip(content: bytes, byte: int) -> bytes:
    return content[:byte] + bytes([content[byte] ^ 1]) + content[byte + 1 :]


SIZE = len(record())
# Content of m4/x.tfrecord, exit code, and what the one line of error says.
DAMAGED = {
    "empty": (b"", ["m4/x.tfrecord: the file is empty"]),
    "a table": (b"param_1,param_2\n1,2\n", ["not a TFRecord file", '"param_1,para"', "CRC-32C"]),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(20), ["not a TFRecord file", "Zstandard", "unpacked first"]),
    "cut header": (record() + b"\x01\x00", [f"record 2 at byte {SIZE}", "2 bytes of the record's header"]),
    "cut payload": (record()[:-9], ["record 1 at byte 0: the file ends inside", f"found {SIZE - 9} bytes"]),
    "cut gzip": (gzip.compress(record() * 99)[:-30], ["once unpacked", "cut off"]),
    "wrong CRC of length": (flip(record() * 2, SIZE), ["record 2", "CRC of a record's length", "the rest"]),
    "wrong CRC of payload": (flip(record(), 40), ["record 1 at byte 0: wrong CRC of a record's payload"]),
    "no example": (framed(b"\xff" * 20), ["no tf.train.Example", "an integer of more than 10 bytes"]),
    "no feature": (record(param_7=None), ["lacks `param_7`", "found param_1, param_2", "a record needs"]),
    "no runtime": (record(runtime=None), ["lacks `runtime`"]),
    "integers": (record(param_1=[4]), ["`param_1` is not a float list: found an int64 list"]),
    "texts": (record(infeasible=[b"no"]), ["`infeasible` is not an int64 list: found a bytes list"]),
    "two values": (record(area=[1.0, 2.0]), ["`area` is no list of length 1: found length 2"]),
    "no value": (record(area=[]), ["`area`"]),
    "NaN": (record(param_2=[float("nan")]), ["`param_2` is not finite: found NaN"]),
    "infeasible 2": (record(infeasible=[2]), ["neither 0 nor 1: found 2", "0 marks a feasible design"]),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_told_by_place_and_cause(run: Run, tmp_path: Path, case: str) -> None:
    content, wanted = DAMAGED[case]
    (tmp_path / "m4").mkdir()
    (tmp_path / "m4" / "x.tfrecord").write_bytes(content)
    code, out, err = run("logs", "convert", "m4", "--out", "log.parquet")
    assert (code, out) == (3, "")
    assert err.startswith("Error: m4/x.tfrecord")
    assert err.count("\n") == 1
    assert all(part in err for part in wanted), err
    assert not (tmp_path / "log.parquet").exists()
    code, _, err = run("logs", "convert", "m4", "--out", "log.parquet", "--skip-bad")
    assert "1 row dropped" in err
    assert code == (0 if content.startswith((record(), b"\x1f\x8b")) else 3)


# Arguments after `logs convert`, exit code, what the error says.
MISTAKES: dict[str, tuple[list[str], int, list[str]]] = {
    "no such folder": (["prim"], 2, ["prim: no such file"]),
    "neither records nor tables": (["other"], 3, ["other has no TFRecord file", "*.tfrecord", ".txt"]),
    "tables of other things": (["tables"], 3, ["tables/a.csv has no column for the parameters pes_x"]),
    "out's format": (["prime", "--out", "x.xlsx"], 2, [".parquet or .csv"]),
    "out's folder": (["prime", "--out", "none/x.parquet"], 2, ["none/x.parquet"]),
    "out is in": (["tables/a.csv", "--out", "tables/a.csv"], 2, ["one of the logs to convert"]),
    "application": (["prime", "--app", "M6"], 2, ["'M6'", "found MobileNetV2, t-RNN Dec"]),
    "unknown limit": (["prime", "--limit", "aera=27"], 2, ["unknown limit 'aera'", "did you mean area?"]),
    "limit of text": (["prime", "--limit", "area=big"], 2, ["not a number"]),
    "limit twice": (["prime", "--limit", "area=1", "--limit", "area=2"], 2, ["given twice"]),
    "limit too low": (["prime", "--limit", "area=0.01"], 3, ["area=0.01: the least of a feasible design is"]),
    "unit": (["prime", "--runtime-unit", "s"], 2, ["'us', 'ms'"]),
    "unit of a table": (["tables/a.csv", "--runtime-unit", "us"], 2, ["--objective"]),
    "objective of TFRecords": (["prime", "--objective", "area"], 2, ["are for tables"]),
    "both": (["prime", "tables/a.csv"], 2, ["can't be converted at once"]),
    "no threads": (["prime", "--threads", "0"], 2, ["threads is 0"]),
    "table without columns": (["tables/a.csv"], 3, ["no column for the parameters pes_x"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_and_nothing_written(run: Run, data: Path, case: str) -> None:
    (data.parent / "tables").mkdir()
    (data.parent / "tables" / "a.csv").write_text("a,b\n1,2\n")
    (data.parent / "other").mkdir()
    (data.parent / "other" / "a.txt").write_text("a,b\n1,2\n")
    arguments, wanted_code, wanted = MISTAKES[case]
    code, _, err = run("logs", "convert", "--out", "x.parquet", *arguments)
    assert code == wanted_code
    assert "Traceback" not in err
    assert all(part in err for part in wanted), err
    assert not Path("x.parquet").exists()


# Several files of one case are one folder.
@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("m4")


whole = st.integers(0, 2**24)
single = st.floats(width=32, allow_nan=False, allow_infinity=False)
alike = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@given(rows=st.lists(st.tuples(whole, single, single, st.booleans()), min_size=1, max_size=30))
@alike
def test_what_is_written_is_read(folder: Path, rows: list[tuple[int, float, float, bool]]) -> None:
    first, second, runtime, infeasible = (np.array(column) for column in zip(*rows, strict=True))
    columns: dict[str, Any] = dict.fromkeys(FLOATS, np.zeros(len(rows))) | {
        "param_1": first, "param_2": second, "runtime": runtime, "infeasible": infeasible,
    }  # fmt: skip
    write_designs(folder / "x.tfrecord", columns)
    frame, _, _ = read_tfrecords(folder)
    assert frame["param_1"].dtype == pl.Int64
    assert frame["param_1"].to_list() == first.tolist()
    assert frame["param_2"].to_list() == second.tolist()
    assert frame["infeasible"].to_list() == infeasible.tolist()
    kept = [None if bad else value for value, bad in zip(runtime.tolist(), infeasible, strict=True)]
    assert frame["runtime"].to_list() == kept


@given(content=st.binary(max_size=400), shape=st.sampled_from(["bytes", "payload", "gzip", "after"]))
@alike
def test_any_bytes_are_refused_with_a_reason(folder: Path, content: bytes, shape: str) -> None:
    forms: dict[str, Callable[[], bytes]] = {
        "bytes": lambda: content,
        "payload": lambda: framed(content),
        "gzip": lambda: gzip.compress(framed(content)),
        "after": lambda: record() + struct.pack("<Q", len(content)) + content,
    }
    (folder / "x.tfrecord").write_bytes(forms[shape]())
    with pytest.raises(pf.DataError, match=r"x\.tfrecord"):
        read_tfrecords(folder)
    if shape == "after":
        frame, _, (lost,) = read_tfrecords(folder, skip_bad=True)
        assert (frame.height, lost.count) == (1, 1)


@given(data=st.data())
@alike
def test_payloads_are_decoded_as_protocol_buffers_are(folder: Path, data: st.DataObject) -> None:
    example_pb2 = pytest.importorskip("tfrecord.example_pb2")
    payload = bytearray(record()[12:-4])
    for _ in range(data.draw(st.integers(0, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    (folder / "x.tfrecord").write_bytes(framed(bytes(payload)))
    try:
        frame = read_tfrecords(folder)[0]
    except pf.DataError:
        return
    # What is accepted is what the reference implementation reads there.
    message = example_pb2.Example.FromString(bytes(payload))
    for name in FLOATS:
        if name != "runtime" or not frame["infeasible"][0]:
            (value,) = message.features.feature[name].float_list.value
            assert frame[name][0] == value


def test_the_writer_of_the_tests_writes_whole_records() -> None:
    columns: dict[str, Any] = dict.fromkeys(FLOATS, np.array([4.0, 4.0]))
    columns |= {name: np.array([value] * 2) for name, value in FIGURES.items()}
    assert designs(columns) == record() * 2
