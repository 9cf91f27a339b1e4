"""Formats of files of rows: told by their first bytes, checked, scanned without reading them whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.logs.arrow import check_arrow, stream_parts
from prime_fast.logs.log import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BATCH = 262_144
"""Rows that are read and checked at a time."""

HEAD = 4096
_SUFFIXES = {
    ".csv": "CSV",
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".json": "JSON lines",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".arrow": "Arrow",
    ".ipc": "Arrow",
    ".feather": "Arrow",
    ".arrows": "Arrow",
}
_COMPRESSIONS = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}
_ARROW_FILE, _ARROW_STREAM = b"ARROW1", b"\xff\xff\xff\xff"
_FORMATS = "CSV with a header line, Parquet, Arrow IPC or JSON lines"
# What a message asks for.
_EXPECTED = {
    "CSV": "a CSV file with a header line, or Parquet, Arrow IPC or JSON lines",
    "JSON lines": "JSON lines, one object a line",
    "Parquet": "a whole Parquet file",
    "Arrow file": "a whole Arrow IPC file",
    "Arrow stream": "a whole Arrow IPC stream",
}

# Polars raises PanicException, no Exception at all, on some damaged files.
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, OverflowError)


def files_of(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the files that are meant by names of files, directories and patterns.

    Parameters
    ----------
    paths : str, Path or sequence of them
        A directory stands for the files in it whose names end as one of a known format does; ``*``, ``?``,
        ``[...]`` and ``**`` are patterns unless a file has just this name.

    Returns
    -------
    list of Path
        In the order given; those of one directory or pattern sorted by name; none twice.

    Raises
    ------
    ConfigurationError
        If nothing is named, or a name or pattern stands for no file.
    DataError
        If a directory holds no file of a known format.
    """
    named = [paths] if isinstance(paths, str | Path) else list(paths)
    if not named:
        raise ConfigurationError("no log file was named")
    files: dict[Path, None] = {}
    for name in named:
        path = Path(name)
        found = [path]
        if path.is_dir():
            found = [file for file in path.iterdir() if file.is_file() and suffix_of(file) in _SUFFIXES]
            if not found:
                raise DataError(
                    f"{path} is a directory without logs: expected files in it that end in"
                    f" {', '.join(_SUFFIXES)}, or these with {' or '.join(_COMPRESSIONS)} after"
                )
        elif not path.exists():
            if not any(character in str(name) for character in "*?["):
                raise ConfigurationError(f"{path}: no such file")
            # Path.glob takes no absolute pattern.
            matches = map(Path, glob(str(name), recursive=True))  # noqa: PTH207
            found = [file for file in matches if file.is_file()]
            if not found:
                raise ConfigurationError(f"{name}: no file has a name like this")
        files |= dict.fromkeys(sorted(found))
    return list(files)


def suffix_of(path: Path) -> str:
    """Return how a file's name ends, before the suffix of a compression."""
    name = path.name.lower()
    for compression in _COMPRESSIONS:
        name = name.removesuffix(compression)
    return Path(name).suffix


def digest(path: str | Path) -> str:
    """Return the SHA-256 of a file, read in chunks."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class TableFile:
    """A file of rows whose format is known.

    Attributes
    ----------
    path : Path
    format : str
        A key of what can be expected, such as ``CSV``.
    sha256 : str
        Of its bytes.
    content : bytes or None
        All of it where the path is a pipe, which can be read once only.
    """

    path: Path
    format: str
    sha256: str
    content: bytes | None = None

    @classmethod
    def open(cls, path: str | Path) -> TableFile:
        """Find out what a file is.

        Raises
        ------
        ConfigurationError
            If there is no such file.
        DataError
            If it is a directory, empty, or in no format that is known.
        """
        path = Path(path)
        if not path.exists():
            raise ConfigurationError(f"{path}: no such file")
        if path.is_dir():
            raise DataError(f"{path} is a directory: name the file in it")
        try:
            content = None if path.is_file() else path.read_bytes()
            if content is not None:
                sha256, head = hashlib.sha256(content).hexdigest(), content[:HEAD]
            else:
                sha256 = digest(path)
                with path.open("rb") as file:
                    head = file.read(HEAD)
        except OSError as error:
            raise DataError(f"{path} can't be read: {error.strerror}") from error
        if not head:
            raise DataError(f"{path} is empty: expected logged designs as {_FORMATS}")
        return cls(path, _format(path, head), sha256, content)

    def batches(self) -> Iterator[pl.DataFrame]:
        """Read the rows, some at a time; the columns of text formats are text.

        An Arrow stream is divided where its writer did, so that what must fit in memory are its batches.

        Yields
        ------
        polars.DataFrame
            At least one, none of them without rows.

        Raises
        ------
        DataError
            If the file is damaged or has no rows.
        """
        rows = 0
        try:
            self._check()
            parts = (
                self._stream()
                if self.format == "Arrow stream"
                else self._scan().collect_batches(chunk_size=BATCH, engine="streaming")
            )
            for part in parts:
                rows += part.height
                if part.height:
                    yield part
        except _UNREADABLE as error:
            cause = self._cause(error)
            raise DataError(f"{self.path} can't be read as {_EXPECTED[self.format]}: {cause}") from error
        if not rows:
            raise DataError(f"{self.path} has no rows: expected one for each logged design")

    def source(self, rows: int) -> Source:
        """Return the account of the file."""
        return Source(str(self.path), self.sha256, rows)

    def _source(self) -> Path | io.BytesIO:
        return self.path if self.content is None else io.BytesIO(self.content)

    def _stream(self) -> Iterator[pl.DataFrame]:
        """Yield an Arrow stream's batches; Polars scans none, but reads a shorter one as it does any."""
        with self._open() as file:
            for part in stream_parts(file, BATCH):
                yield from pl.read_ipc_stream(part).iter_slices(BATCH)

    def _scan(self) -> pl.LazyFrame:
        source = self._source()
        if self.format == "Parquet":
            return pl.scan_parquet(source, glob=False, hive_partitioning=False)
        if self.format == "Arrow file":
            return pl.scan_ipc(source, glob=False, hive_partitioning=False)
        if self.format == "CSV":
            return pl.scan_csv(source, infer_schema=False, glob=False)
        # It knows no `glob`.
        lines = escape(str(source)) if isinstance(source, Path) else source
        names = pl.scan_ndjson(lines, infer_schema_length=None).collect_schema().names()
        if isinstance(lines, io.BytesIO):
            lines.seek(0)
        return pl.scan_ndjson(lines, schema=dict.fromkeys(names, pl.String))

    def _check(self) -> None:
        """Raise ValueError if the file's ends or lengths can't be right, which Polars may not survive."""
        if self.format == "Parquet":
            with self._open() as file:
                size = file.seek(0, io.SEEK_END)
                file.seek(max(0, size - 8))
                tail = file.read(8)
            footer = int.from_bytes(tail[:4], "little")
            if size < 12 or tail[4:] != b"PAR1":
                raise ValueError("its end is missing")
            if footer + 12 > size:
                raise ValueError(f"its footer would have {footer:,} of {size:,} bytes")
        elif self.format.startswith("Arrow"):
            with self._open() as file:
                check_arrow(file, stream=self.format == "Arrow stream")

    def _open(self) -> io.BufferedIOBase:
        return self.path.open("rb") if self.content is None else io.BytesIO(self.content)

    def _cause(self, error: BaseException) -> str:
        """Return the first line of what an error says, or which line of JSON is wrong."""
        if self.format == "JSON lines" and (line := self._wrong_line()):
            return line
        return (str(error).strip().splitlines() or [type(error).__name__])[0]

    def _wrong_line(self) -> str | None:
        """Return what is wrong with the first line that is no JSON object, if Python can tell."""
        try:
            with self._open() as file:
                packed = file.read(2) == _COMPRESSIONS[".gz"]
                file.seek(0)
                for number, line in enumerate(gzip.GzipFile(fileobj=file) if packed else file, start=1):
                    if not line.strip():
                        continue
                    try:
                        found = json.loads(line, parse_constant=_no_number)
                    except (ValueError, RecursionError) as error:
                        return f"line {number}: {error}"
                    if not isinstance(found, dict):
                        return f"line {number}: is {_kind(found)}"
        except (OSError, EOFError, zlib.error):
            return None
        return None


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON: write null for a figure that isn't known")


def _kind(value: object) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _format(path: Path, head: bytes) -> str:
    """Tell a file's format by its first bytes, and by its name where these don't tell."""
    by_name = _SUFFIXES.get(suffix_of(path), "CSV")
    packed = next((suffix for suffix, magic in _COMPRESSIONS.items() if head.startswith(magic)), None)
    if packed == ".gz":
        head = _unpacked(head)
    elif packed:
        # Zstandard can't be looked into: the name must tell.
        return by_name if by_name in {"CSV", "JSON lines"} else "CSV"
    if head.startswith(b"PAR1") or by_name == "Parquet":
        found = "Parquet"
    elif head.startswith(_ARROW_FILE):
        found = "Arrow file"
    elif head.startswith(_ARROW_STREAM):
        found = "Arrow stream"
    elif by_name == "Arrow":
        raise DataError(f"{path} is neither an Arrow IPC file nor an Arrow IPC stream, as its name says")
    elif b"\0" in head:
        hint = ": convert TFRecord files by `prime-fast logs convert`" if "tfrecord" in path.name else ""
        raise DataError(f"{path} is neither Parquet nor CSV text, nor Arrow IPC or JSON lines{hint}")
    else:
        first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if by_name == "JSON lines" and first == b"[":
            raise DataError(f"{path} is one JSON array: expected JSON lines, one object a line")
        return "JSON lines" if first == b"{" or by_name == "JSON lines" else "CSV"
    if packed:
        raise DataError(
            f"{path} is {found.split()[0]} packed by gzip: unpack it; it has compression of its own"
        )
    return found


def _unpacked(head: bytes) -> bytes:
    """Return what the first bytes of a gzip file unpack to."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD)
    except zlib.error:
        return b""
