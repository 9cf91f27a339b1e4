"""One process at a time in a directory that is written to."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prime_fast.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filelock import BaseFileLock

LOCK = ".lock"
"""Its file stays; what counts is who holds it, and the system takes it from a process that ends."""


def lock_directory(path: Path) -> BaseFileLock:
    """Return a lock on a directory, held until ``release`` is called or the process ends, however it does.

    Raises
    ------
    ConfigurationError
        If another process, or another call in this one, holds it, or the directory can't be written.
    """
    import filelock

    # Whichever thread is the one to release it.
    lock = filelock.FileLock(path / LOCK, blocking=False, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ConfigurationError(
            f"{path}: another process is at work in this directory; wait for it, or end it"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be written: {error.strerror or error}") from None
    return lock


@contextmanager
def locked_directory(path: Path) -> Iterator[None]:
    """Hold `lock_directory` for a block."""
    lock = lock_directory(path)
    try:
        yield
    finally:
        lock.release()


def contents(path: Path) -> list[str]:
    """Return the sorted names of what a directory holds, without locks and what a kill left half written.

    Raises
    ------
    ConfigurationError
        If it can't be listed.
    """
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be used as output directory: {error.strerror}") from None
    return [name for name in names if name != LOCK and not name.endswith(".tmp")]
