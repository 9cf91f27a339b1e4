"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from prime_fast.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

SUFFIXES = (".parquet", ".csv")


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when all of it is on the disk.

    Parameters
    ----------
    path : str or PathLike
        The file to write or to replace.

    Yields
    ------
    BinaryIO
        A temporary file in the same directory; it goes away if the block raises.

    Raises
    ------
    ConfigurationError
        If the file can't be written there.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            # Gone already if it was renamed; never there if it couldn't be created.
            with contextlib.suppress(OSError):
                temporary.unlink()
    except OSError as error:
        raise ConfigurationError(f"can't write {path}: {error.strerror or error}") from error


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Raise ConfigurationError unless `write_table` knows the format of this name; ask before long work."""
    if Path(path).suffix not in SUFFIXES:
        raise ConfigurationError(f"can't write {path}: its name must end in {' or '.join(SUFFIXES)}")


def write_table(frame: pl.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a frame as Parquet (Zstandard) or CSV, by the name's suffix, whole or not at all.

    Parameters
    ----------
    frame : polars.DataFrame
        What to write.
    path : str or PathLike
        A name that ends in ``.parquet`` or ``.csv``, in a directory that exists.

    Raises
    ------
    ConfigurationError
        If the suffix is another, or the file can't be written.
    """
    from polars.exceptions import ComputeError

    check_suffix(path)
    with atomic_file(path) as file:
        try:
            if Path(path).suffix == ".parquet":
                frame.write_parquet(file, compression="zstd")
            else:
                frame.write_csv(file)
        except ComputeError as error:
            # What a full disk is to the writer of Parquet.
            raise OSError(str(error).rpartition("underlying IO error: ")[2]) from None
