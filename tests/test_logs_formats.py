"""Formats of logs: CSV, JSON lines, Parquet and Arrow, many files, damaged files, batches of rows."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_logs import SPACE, good_rows, with_row

from prime_fast import ConfigurationError, DataError
from prime_fast.logs import files_of, formats, read_log, read_table, write_table
from prime_fast.run_inputs import read_logs


def packed(frame: pl.DataFrame, name: str) -> bytes:
    """Return a frame in the format that a name stands for."""
    buffer = io.BytesIO()
    stem, _, compression = name.partition(".csv" if ".csv" in name else ".jsonl")
    if ".csv" in name or ".jsonl" in name:
        text = frame.write_csv() if ".csv" in name else frame.write_ndjson()
        if compression == ".zst":
            # Polars packs CSV alone; JSON lines are a column of it.
            lines = pl.DataFrame({"": text.splitlines()})
            lines.write_csv(buffer, include_header=False, quote_style="never", compression="zstd")
            return buffer.getvalue()
        return gzip.compress(text.encode()) if compression else text.encode()
    if stem == "parquet":
        frame.write_parquet(buffer)
    elif stem.startswith("arrow-stream"):
        frame.write_ipc_stream(buffer, compression="lz4" if stem.endswith("lz4") else "uncompressed")
    else:
        frame.write_ipc(buffer, compression="zstd" if stem.endswith("zstd") else "uncompressed")
    return buffer.getvalue()


FORMATS = [
    "log.csv", "log.csv.gz", "log.csv.zst", "log.jsonl", "log.jsonl.gz", "log.jsonl.zst",
    "parquet", "arrow", "arrow-zstd", "arrow-stream", "arrow-stream-lz4",
]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_log_and_names_the_same_rows(tmp_path: Path, name: str) -> None:
    frame = with_row(good_rows(20), 3, size=3)
    path = tmp_path / name
    path.write_bytes(packed(frame, name))
    write_table(frame, tmp_path / "reference.parquet")
    log, reference = read_log(path, SPACE), read_log(tmp_path / "reference.parquet", SPACE)
    assert log.frame.equals(reference.frame)
    assert log.dropped == reference.dropped
    assert log.sha256 == reference.sha256
    assert log.sources[0].rows == 24


@pytest.mark.parametrize("name", FORMATS)
def test_batches_of_rows_are_one_log(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = with_row(good_rows(60), 50, size=3)
    frame = pl.concat([frame, frame[[0]]])
    path = tmp_path / name
    path.write_bytes(packed(frame, name))
    whole = read_log(path, SPACE)
    monkeypatch.setattr(formats, "BATCH", 7)
    parts = list(formats.TableFile.open(path).batches())
    assert sum(part.height for part in parts) == 65
    log = read_log(path, SPACE)
    assert log.frame.equals(whole.frame)
    assert log.dropped == whole.dropped
    assert [entry.rows for entry in log.dropped] == [("50",), ("65",)]


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_a_stream_is_read_in_parts(tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # So many rows that Polars writes several batches.
    rows = pl.int_range(1_000_000, eager=True)
    flow = pl.Series(["", "os", "ws"], dtype=pl.Enum(["", "os", "ws"])).gather(rows % 3)
    frame = pl.DataFrame({"size": rows, "flow": flow})
    path = tmp_path / "log"
    frame.write_ipc_stream(path, compression=compression)  # type: ignore[call-overload]
    lengths = []
    whole = pl.read_ipc_stream

    def seen(part: bytes) -> pl.DataFrame:
        lengths.append(len(part))
        return whole(part)

    monkeypatch.setattr(pl, "read_ipc_stream", seen)
    parts = list(formats.TableFile.open(path).batches())
    assert max(part.height for part in parts) <= formats.BATCH
    assert pl.concat(parts).equals(frame)
    assert max(lengths) < 0.7 * path.stat().st_size


def test_a_column_with_a_text_in_a_later_batch_is_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "BATCH", 5)
    text = pl.when(pl.int_range(pl.len()) == 60).then(pl.lit("n/a")).otherwise(pl.lit("1.5"))
    frame = good_rows(60).with_columns(power=pl.lit(2.5), energy=text)
    (tmp_path / "log.jsonl").write_text(frame.write_ndjson())
    assert read_log(tmp_path / "log.jsonl", SPACE).metrics == ["latency_us", "area_mm2", "power"]


def test_directory_and_pattern_stand_for_their_files(tmp_path: Path) -> None:
    frame = good_rows(24)
    runs = tmp_path / "runs"
    (runs / "later").mkdir(parents=True)
    for number, name in enumerate(FORMATS[:4]):
        (runs / f"{number}{name}").write_bytes(packed(frame[7 * number : 7 * number + 7], name))
    (runs / "notes.txt").write_text("nothing to learn from")
    whole = read_log(runs, SPACE)
    assert whole.frame.equals(read_log(write(frame, tmp_path), SPACE).frame)
    assert [Path(source.path).name[0] for source in whole.sources] == ["0", "1", "2", "3"]
    (runs / "3log.jsonl").rename(runs / "later" / "3log.jsonl")
    for names in ([f"{runs}/**/*log*"], [f"{runs}/*log*", f"{runs}/2*", f"{runs}/later"]):
        log = read_log(names, SPACE)
        assert log.frame.equals(whole.frame)
        assert log.dropped == ()
    assert [file.name for file in files_of(f"{runs}/[02]*.csv*")] == ["0log.csv", "2log.csv.zst"]


def write(frame: pl.DataFrame, directory: Path, name: str = "whole.parquet") -> Path:
    write_table(frame, directory / name)
    return directory / name


@pytest.mark.parametrize("name", ["run[1].csv", "run*.jsonl", "x=1/run[2].parquet"])
def test_names_that_look_like_patterns(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(packed(good_rows(), "parquet" if "parquet" in name else name))
    assert read_log(path, SPACE).frame.columns == [*SPACE.names, "latency_us", "area_mm2", "feasible"]


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = good_rows().write_csv().encode()
    writer = threading.Thread(target=lambda: pipe.write_bytes(content))
    writer.start()
    log = read_log(pipe, SPACE)
    writer.join()
    assert log.sha256 == read_log(write(good_rows(), tmp_path), SPACE).sha256


def test_a_pipe_serves_several_applications(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    """What can be read only once: the rows are divided after."""
    frame = pl.concat([good_rows().with_columns(application=pl.lit(name)) for name in ("A", "B")])
    write_table(frame, tmp_path / "log.parquet")
    (tmp_path / "space.toml").write_text(SPACE.to_toml())
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def filled() -> threading.Thread:
        writer = threading.Thread(target=lambda: pipe.write_bytes(frame.write_csv().encode()), daemon=True)
        writer.start()
        return writer

    for names in (["A", "B"], ["B"]):
        writer = filled()
        logs = read_logs(names, pipe, SPACE, "latency_us", None, None)
        writer.join()
        expected = [read_log(tmp_path / "log.parquet", SPACE, application=name) for name in names]
        assert [log.sha256 for log in logs] == [log.sha256 for log in expected]
        assert all(
            log.frame["application"].unique().to_list() == [name]
            for log, name in zip(logs, names, strict=True)
        )
    writer = filled()
    code, out, err = run(
        "logs", "convert", "pipe", "--space", "space.toml", "--app", "b", "--out", "b.parquet"
    )
    writer.join()
    assert (code, err) == (0, "")
    assert "b.parquet: 16 designs, 12 feasible" in out


def test_json_lines_may_differ_in_their_keys_and_types(tmp_path: Path) -> None:
    rows = good_rows().to_dicts()
    rows[0] = {**rows[0], "size": "1", "latency_us": "10.0", "feasible": 1, "note": [1, {"a": 2}]}
    del rows[15]["latency_us"]
    (tmp_path / "log").write_text("\n\n".join(map(json.dumps, rows)))
    log = read_log(tmp_path / "log", SPACE)
    assert log.frame.equals(read_log(write(good_rows(), tmp_path), SPACE).frame)


def test_columns_of_lists_are_left_alone(tmp_path: Path) -> None:
    frame = good_rows().with_columns(trace=pl.concat_list("latency_us"), shape=pl.struct("size"))
    assert read_log(write(frame, tmp_path), SPACE).metrics == ["latency_us", "area_mm2"]


ARROW = packed(good_rows(60), "arrow")
NOT_A_LOG = {
    "neither Parquet nor CSV text, nor Arrow IPC or JSON lines: convert TFRecord files by `prime-fast logs": (
        "a.tfrecord", b"\x10\0\0\0\0\0\0\0rest"
    ),
    "is a directory without logs: expected files in it that end in .csv,": ("folder/", b""),
    "is Parquet packed by gzip: unpack it": ("a.parquet.gz", gzip.compress(packed(good_rows(), "parquet"))),
    "is Arrow packed by gzip": ("a.gz", gzip.compress(ARROW)),
    "is neither an Arrow IPC file nor an Arrow IPC stream, as its name says": ("a.feather", b"a,b\n1,2\n"),
    "is one JSON array: expected JSON lines, one object a line": ("a.json", b'[{"size": 1}]'),
    "can't be read as JSON lines, one object a line: line 3: Expecting": ("a", b'{"a": 1}\n\n{"a": 1,]\n'),
    "line 1: NaN is no JSON: write null": ("b.jsonl", b'{"a": NaN}\n'),
    "line 2: is a list": ("c.jsonl", b'{"a": 1}\n[1, 2]\n'),
    "line 2: is a number": ("d.jsonl.gz", gzip.compress(b'{"a": 1}\n2\n')),
    "can't be read as a whole Parquet file: its end is missing": ("e.pq", b"PAR1" + bytes(40)),
    "its footer would have 16,777,216 of 16 bytes": ("f", b"PAR1" + bytes(4) + b"\0\0\0\x01PAR1"),
    "can't be read as a whole Arrow IPC file: its end is missing": ("g", ARROW[:-1]),
    "can't be read as a whole Arrow IPC stream: ": ("h", packed(good_rows(60), "arrow-stream")[:900]),
    "can't be read as a CSV file with a header line": ("i.csv", "size\ngröße\n".encode("latin-1")),
    "its columns are size;flow (one column: separate them by commas, not by ';')": ("k", b"size;flow\n1;2\n"),
    "has no rows: expected one for each logged design": ("j.arrow", packed(good_rows().clear(), "arrow")),
}  # fmt: skip


@pytest.mark.parametrize("message", NOT_A_LOG)
def test_file_that_is_no_log_is_one_error(tmp_path: Path, message: str) -> None:
    name, content = NOT_A_LOG[message]
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_log(path, SPACE)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_pattern_of_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\*\.csv: no file has a name like this"):
        read_log(tmp_path / "*.csv", SPACE)


@pytest.mark.parametrize("name", ["arrow-zstd", "arrow-stream-lz4"])
def test_arrow_that_would_unpack_to_all_memory_is_one_error(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"a": [7] * 5_000})
    whole = packed(frame, name)
    length = struct.pack("<q", 5_000 * 8)
    assert whole.count(length) == 1, "the buffer's length stands before what is packed"
    path = tmp_path / name
    path.write_bytes(whole)
    assert read_table(path)[0].equals(frame)
    path.write_bytes(whole.replace(length, struct.pack("<q", 1 << 50)))
    with pytest.raises(DataError, match=r"bytes would unpack to 1,125,899,906,842,624"):
        read_table(path)


def test_truncated_arrow_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for name in ("arrow-zstd", "arrow-stream"):
        whole = packed(good_rows(60), name)
        for length in range(16, len(whole) - 16, len(whole) // 40):
            path.write_bytes(whole[:length])
            with pytest.raises(DataError, match=r"log (can't be read as a whole Arrow|has no rows)"):
                read_log(path, SPACE)


@given(
    name=st.sampled_from(["log.csv", "log.jsonl", "log.jsonl.gz"]),
    damage=st.lists(st.tuples(st.integers(0, 2_000), st.binary(max_size=3)), min_size=1, max_size=4),
)
def test_damaged_text_is_a_log_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, damage: list[tuple[int, bytes]]
) -> None:
    content = bytearray(packed(good_rows(20), name))
    for place, other in damage:
        content[place % len(content) : place % len(content) + 1] = other
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content)
    message = ""
    try:
        log = read_log(path, SPACE, least_feasible=0)
        assert len(log) + sum(entry.count for entry in log.dropped) == log.sources[0].rows
    except DataError as error:
        message = str(error)
    assert "\n" not in message
