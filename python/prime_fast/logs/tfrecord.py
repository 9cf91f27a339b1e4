"""The data set published with PRIME: TFRecord files, one folder an application.

Each record is a serialized ``tf.train.Example`` of one design: ``param_1`` to ``param_10``, ``runtime`` and
``area`` as float lists of length 1, ``infeasible`` as an int64 list of length 1, 0 for a feasible design.
Files may be plain or compressed by gzip or zlib, whatever their names. Snappy, which TensorFlow's C++ can
write besides, can't be told from damage and is not read.

Runtimes stay as published. The data set's README calls them milliseconds; they behave like microseconds: a
network of 300 million MACs doesn't take 200 ms on a part that does 13 million million of them a second.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from prime_fast import _core
from prime_fast.errors import ConfigurationError, DataError
from prime_fast.logs.log import Dropped, Source
from prime_fast.workload import application_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PARAMETERS = tuple(f"param_{number}" for number in range(1, 11))

SHOWN = 5
"""Records, and offending values, that a message names."""

_MARK = re.compile(r"\.tfrecords?(?![a-z])", re.IGNORECASE)


class TFRecordFile(NamedTuple):
    """A file and the application whose designs it holds; whether that one comes with the package."""

    path: Path
    application: str
    is_bundled: bool


def is_tfrecord(path: str | Path) -> bool:
    """Return whether a file is a TFRecord file by its name or, whatever its name, by its first record."""
    return _MARK.search(Path(path).name) is not None or (Path(path).is_file() and _core.is_tfrecord(path))


def bundled_application(name: str) -> str | None:
    """Return the bundled application that a folder's name means, None if none: ``t_rnn_dec`` is t-RNN Dec."""
    return {_plain(known): known for known in application_names()}.get(_plain(name))


def tfrecord_files(
    paths: str | Path | Sequence[str | Path], application: str | None = None
) -> list[TFRecordFile]:
    """List the TFRecord files among files and in folders, at any depth, with their applications.

    Parameters
    ----------
    paths : str, Path or sequence of them
        Files, taken as they are, and folders, of which those files are taken that have ``.tfrecord`` in their
        names, in the order of the names. A file that is found twice is taken once.
    application : str, optional
        List only the files of this application. Where no folder has the name of a bundled application, all
        files are this one's.

    Returns
    -------
    list of TFRecordFile
        The application of a file is the bundled one after which its folder is named, in any case and spelling
        (``MobilenetEdgeTPU``, ``t_rnn_dec``), or a folder above it up to the one given; else the name of its
        folder.

    Raises
    ------
    ConfigurationError
        If there is no such file, or none of the application.
    DataError
        If a folder has no TFRecord file.
    """
    files: dict[str, TFRecordFile] = {}
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        if not path.exists():
            raise ConfigurationError(f"{path}: no such file or folder")
        if not path.is_dir() and not path.is_file():
            raise ConfigurationError(f"{path} is neither a file nor a folder")
        for file in _walk(path) if path.is_dir() else [path]:
            files.setdefault(os.path.realpath(file), _named(file, path))
    found = sorted(files.values(), key=lambda file: str(file.path))
    if not found:
        raise ConfigurationError("no TFRecord file was named")
    if application is None:
        return found
    wanted = bundled_application(application) or application
    if chosen := [file for file in found if file.application.lower() == wanted.lower()]:
        return chosen
    if any(file.is_bundled for file in found):
        known = ", ".join(dict.fromkeys(file.application for file in found))
        raise ConfigurationError(f"no folder of application {application!r}: found {known}")
    return [TFRecordFile(file.path, wanted, bundled_application(wanted) is not None) for file in found]


def read_tfrecords(
    paths: str | Path | Sequence[str | Path],
    *,
    skip_bad: bool = False,
    application: str | None = None,
    threads: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> tuple[pl.DataFrame, list[Source], list[Dropped]]:
    """Read designs as the PRIME data set publishes them.

    Parameters
    ----------
    paths, application
        As for `tfrecord_files`.
    skip_bad : bool
        Leave out the records that can't be used, and account for them. After a damaged length, or in damaged
        compressed data, nothing more of that file can be read: this counts as one.
    threads : int, optional
        Files read at a time; all processors by default. The result doesn't depend on it.
    progress : callable, optional
        Called some times a second with a text, how much has been done and how much there is to do.
    warn : callable, optional
        Called with sentences on features that are ignored and folders that name no bundled application.

    Returns
    -------
    frame : polars.DataFrame
        One row a design, in the order of files and records: ``param_1`` to ``param_10`` (int64; float32 as
        published where a value is not whole), ``runtime`` (float64, as published; null where infeasible,
        since what stands there is a placeholder), ``area`` (float64, mm2), ``infeasible`` (bool),
        ``application`` (str).
    sources : list of Source
        The files.
    dropped : list of Dropped
        What was left out; empty unless `skip_bad`.

    Raises
    ------
    ConfigurationError
        If there is no such file, or no thread.
    DataError
        If a folder has no TFRecord file, or a file or record is bad: the text names file, record, byte, what
        was found and what would be right. With `skip_bad`, if no record is good.
    KeyboardInterrupt
        After Ctrl-C, within a second.

    Examples
    --------
    >>> frame, sources, dropped = read_tfrecords("prime/")  # doctest: +SKIP
    """
    files = tfrecord_files(paths, application)
    total = sum(file.path.stat().st_size for file in files) // 1_000_000

    def report(read: int) -> None:
        if progress is not None:
            progress("MB read", read // 1_000_000, total)

    read = _core.read_tfrecords(
        [file.path for file in files], skip_bad=skip_bad, threads=threads, callback=report
    )
    dropped = _account(read["bad"], [str(file.path) for file in files])
    columns = read["columns"]
    if not columns["infeasible"].size:
        raise DataError("no record is good; " + "; ".join(map(str, dropped)))
    names = pl.Series([file.application for file in files], dtype=pl.String)
    frame = pl.DataFrame({name: _whole(pl.Series(columns[name])) for name in PARAMETERS}).with_columns(
        pl.Series("runtime", columns["runtime"]).cast(pl.Float64).fill_nan(None),
        pl.Series("area", columns["area"]).cast(pl.Float64),
        pl.Series("infeasible", columns["infeasible"]),
        names.gather(np.repeat(np.arange(len(files), dtype=np.uint32), read["rows"])).alias("application"),
    )
    sources = []
    for number, (file, rows) in enumerate(zip(files, read["rows"], strict=True), 1):
        sources.append(Source(str(file.path), _digest(file.path), rows))
        if progress is not None:
            progress("files hashed", number, len(files))
    if warn is not None:
        for sentence in _remarks([] if application else files, read["ignored"]):
            warn(sentence)
    return frame, sources, dropped


def _plain(name: str) -> str:
    """Return a name's letters and digits in lower case."""
    return re.sub(r"[\W_]+", "", name).lower()


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the TFRecord files below a folder; those of a folder that is linked twice come twice."""
    found = False
    suffixes = set()
    seen = set()
    for where, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        # A link to a folder above would go round for ever.
        if (real := os.path.realpath(where)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(where, name)
            if not name.startswith(".") and _MARK.search(name) and path.is_file():
                found = True
                yield path
            else:
                suffixes.add(path.suffix or name)
    if not found:
        there = ", ".join(sorted(suffixes)[:SHOWN]) or "nothing"
        raise DataError(
            f"{folder} has no TFRecord file: expected *.tfrecord in folders named after applications,"
            f" found {there}"
        )


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename} can't be listed: {error.strerror}") from error


def _named(file: Path, given: Path) -> TFRecordFile:
    """Return a file with its application, by the folders from its own up to the one given."""
    top = given.absolute() if given.is_dir() else file.absolute().parent
    for folder in file.absolute().parents:
        if known := bundled_application(folder.name):
            return TFRecordFile(file, known, is_bundled=True)
        if folder == top:
            break
    return TFRecordFile(file, file.resolve().parent.name or "unnamed", is_bundled=False)


def _whole(column: pl.Series) -> pl.Series:
    """Return float32 numbers as int64 where all are whole, else as they are."""
    integers = column.cast(pl.Int64, strict=False)
    is_whole = integers.null_count() == 0 and (integers.cast(pl.Float32) == column).all()
    return integers if is_whole else column


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _account(
    bad: Sequence[tuple[int, str, int, Sequence[tuple[int, int, str]]]], paths: Sequence[str]
) -> list[Dropped]:
    """Count the bad records of all files by what is wrong."""
    counts: dict[str, int] = {}
    places: dict[str, list[str]] = {}
    found: dict[str, dict[str, None]] = {}
    for file, problem, count, examples in bad:
        counts[problem] = counts.get(problem, 0) + count
        for number, offset, value in examples:
            place = f"{paths[file]}:{number} at byte {offset}" if number else paths[file]
            places.setdefault(problem, []).append(place)
            found.setdefault(problem, {}).update({value: None} if value else {})
    return [
        Dropped(problem, count, tuple(places[problem][:SHOWN]), tuple(found[problem])[:SHOWN])
        for problem, count in counts.items()
    ]


def _remarks(files: Sequence[TFRecordFile], ignored: Sequence[str]) -> Iterator[str]:
    if ignored:
        more = ", ..." if len(ignored) > SHOWN else ""
        yield (
            f"features other than the data set's are ignored: {', '.join(ignored[:SHOWN])}{more}"
            f" (known: {', '.join((*PARAMETERS, 'runtime', 'area', 'infeasible'))})"
        )
    for name in dict.fromkeys(file.application for file in files if not file.is_bundled):
        yield f"application {name!r} is named after its folder; no bundled application has that name"
