"""The directory of a run: a manifest from its first second, results written whole or not at all."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.metadata
import json
import math
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.locking import LOCK, contents, lock_directory
from prime_fast.logs.writing import atomic_file, write_table
from prime_fast.machine import processor_name, usable_processors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

    import polars as pl
    from filelock import BaseFileLock

    from prime_fast.surrogate.checkpoint import Checkpoint

MANIFEST = "manifest.json"
RECORDS = "training.jsonl"
CHECKPOINT = "checkpoint.safetensors"
KIND = "prime-fast optimize"
FORMAT = 1
PACKAGES = ("prime-fast", "numpy", "jax", "jaxlib", "equinox", "optax", "polars")


def environment() -> dict[str, Any]:
    """Return what a result may depend on beside its inputs: versions and the kind of machine."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor_name(),
        "processor_features": [*simd["baseline"], *simd["found"]],
        "processors": usable_processors(),
    }


def jax_devices() -> list[str]:
    """Return the kinds of JAX's devices; starts JAX."""
    import jax

    return sorted({f"{device.platform}: {device.device_kind}" for device in jax.devices()})


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what of an environment is no longer as it was, part by part; the platform's name aside."""
    flat = [{**fields, **fields.get("packages", {})} for fields in (before, now)]
    changed = []
    for name, value in flat[0].items():
        if name in ("packages", "platform") or name not in flat[1] or value == flat[1][name]:
            continue
        told = f"{name} {flat[1][name]}, not {value}"
        changed.append(f"other {name.replace('_', ' ')}" if isinstance(value, list) else told)
    return changed


def json_data(data: Any) -> Any:
    """Return what JSON can hold: NumPy's numbers and arrays as Python's, None for what is not finite."""
    if isinstance(data, np.generic | np.ndarray):
        data = data.tolist()
    if isinstance(data, dict):
        return {key: json_data(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [json_data(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Return the manifest of a run of `optimize`.

    Raises
    ------
    ConfigurationError
        If there is none, or it is that of something else.
    DataError
        If it is damaged, or of another version's format.
    """
    path = Path(path)
    file = path / MANIFEST
    if not file.is_file():
        what = f"no {MANIFEST} in it" if path.is_dir() else "no such directory"
        what = "a file" if path.is_file() else what
        if (path / "refine.json").is_file():
            what = "it is that of `prime-fast refine`"
        raise ConfigurationError(f"{path}: {what}; name the directory of a run, as `optimize --out` makes it")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is damaged: {error}") from None
    found = manifest.get("kind", KIND) if isinstance(manifest, dict) else None
    if found is not None and found != KIND:
        raise ConfigurationError(
            f"{path}: is the directory of `{found}`; name one of a run, as `optimize --out` makes it"
        )
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise DataError(f"{file}: its format is {found!r}; this version reads {FORMAT}")
    return manifest


class Records:
    """Lines of JSON, each on the disk's way when `write` returns.

    Parameters
    ----------
    path : Path
        Begun afresh, unless `rewind` says how much of it stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._kept = 0

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append one line; ConfigurationError if it can't be written."""
        try:
            file = self._opened()
            file.write(json.dumps(json_data(dict(entry)), allow_nan=False).encode() + b"\n")
            file.flush()
        except OSError as error:
            raise ConfigurationError(f"can't write {self.path}: {error.strerror}") from None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self.path.open("r+b" if self._kept else "wb")
            self._file.truncate(self._kept)
            self._file.seek(self._kept)
        return self._file

    def bytes(self) -> int:
        """Return the length of what was written, once that is on the disk."""
        try:
            file = self._opened()
            os.fsync(file.fileno())
        except OSError as error:
            raise ConfigurationError(f"can't write {self.path}: {error.strerror}") from None
        return file.tell()

    def rewind(self, length: int) -> None:
        """Go on after this many bytes; DataError if there are fewer."""
        found = self.path.stat().st_size if self.path.exists() else 0
        if found < length:
            raise DataError(f"{self.path} is damaged: it has {found} bytes, {length} were written")
        self._kept = length

    def close(self) -> None:
        """Close the file; what could not be written to it was an error before."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


class RunDirectory:
    """Writes one run's files; `begin` makes a new one and `reopen` goes on with one.

    Attributes
    ----------
    path : Path
    manifest : dict
    records : Records
        ``training.jsonl``.
    """

    def __init__(
        self, path: Path, manifest: dict[str, Any], lock: BaseFileLock, made: Sequence[Path] = ()
    ) -> None:
        self.path, self.manifest, self._lock, self._made = path, manifest, lock, made
        self.records = Records(path / RECORDS)

    @classmethod
    def begin(cls, path: str | Path, inputs: Mapping[str, Any]) -> RunDirectory:
        """Make a directory for a new run.

        Parameters
        ----------
        path : str or Path
            A directory that doesn't exist yet, or is empty.
        inputs : mapping
            Everything needed to repeat the run; goes into the manifest.

        Raises
        ------
        ConfigurationError
            If the directory holds something already, is in use, or can't be written.
        """
        path = Path(path)
        made = [one for one in (path, *path.parents) if not one.exists()]
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{path}: can't be used as output directory: {error.strerror}") from None
        # Before anything is put into what may be someone else's.
        _check_empty(path)
        lock = lock_directory(path)
        try:
            _check_empty(path)
            run = cls(path, {}, lock, made)
            run.update(
                kind=KIND,
                format=FORMAT,
                status="running",
                started=_now(),
                command=sys.argv,
                working_directory=str(Path.cwd()),
                environment=environment(),
                **inputs,
            )
        except BaseException:
            lock.release()
            raise
        return run

    @classmethod
    def reopen(cls, path: str | Path) -> RunDirectory:
        """Take up a run that has not ended; `resumed` then says in the manifest that it goes on.

        Raises
        ------
        ConfigurationError, DataError
            As for `read_manifest`, and if it is in use or can't be written.
        """
        path = Path(path)
        read_manifest(path)
        lock = lock_directory(path)
        try:
            manifest = read_manifest(path)
            if not isinstance(manifest.get("environment"), dict):
                raise DataError(f"{path / MANIFEST} is damaged: it lacks `environment`")
        except BaseException:
            lock.release()
            raise
        return cls(path, manifest, lock)

    def began_with(self, **fields: Any) -> None:
        """Add to the manifest what became known since, and JAX's devices where these are used."""
        self.update(environment=self._environment(), **fields)

    def resumed(self, **fields: Any) -> None:
        """Note that the run goes on; warn in the manifest where that is not where it was begun."""
        now = self._environment()
        earlier = self.manifest.get("resumed", [])
        warnings = list(self.manifest.get("warnings", []))
        changes = (
            differences(before, now)
            for before in (self.manifest["environment"], *(entry["environment"] for entry in earlier))
        )
        warnings += [
            f"the run goes on with {', '.join(changed)}: its result may differ in the last digits from "
            "that of a run without interruption"
            for changed in changes
            if changed
        ]
        entry = {"started": _now(), "command": sys.argv, "environment": now}
        for name in ("error", "ended"):
            self.manifest.pop(name, None)
        self.update(
            status="running", resumed=[*earlier, entry], warnings=list(dict.fromkeys(warnings)), **fields
        )

    def _environment(self) -> dict[str, Any]:
        trains = self.manifest.get("training") is not None
        return environment() | ({"devices": jax_devices()} if trains else {})

    @property
    def checkpoint(self) -> Checkpoint:
        """Where the training of this run stands."""
        from prime_fast.surrogate.checkpoint import Checkpoint

        return Checkpoint(self.path / CHECKPOINT, self.records)

    def table(self, name: str, frame: pl.DataFrame) -> None:
        """Write a table as Parquet and as CSV."""
        for suffix in (".parquet", ".csv"):
            write_table(frame, self.path / f"{name}{suffix}")

    def update(self, **fields: Any) -> None:
        """Write the manifest with these fields."""
        # Kept only once it is written: after an error the next status is written without it.
        manifest = self.manifest | fields
        with atomic_file(self.path / MANIFEST) as file:
            file.write(json.dumps(json_data(manifest), indent=2, allow_nan=False).encode())
        self.manifest = manifest

    def close(self, status: str, **outcome: Any) -> None:
        """Write the final manifest: status is ``complete``, ``interrupted`` or ``failed``; let others in."""
        self.records.close()
        self.update(status=status, ended=_now(), **outcome)
        if status == "complete":
            (self.path / CHECKPOINT).unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let others in, and write nothing any more."""
        self.records.close()
        self._lock.release()

    @property
    def closed(self) -> bool:
        """Whether others may be at work in the directory."""
        return not self._lock.is_locked

    def discard(self) -> None:
        """Take back a run that was only begun, with the directories that were made for it."""
        with contextlib.suppress(OSError):
            (self.path / MANIFEST).unlink()
        self.release()
        with contextlib.suppress(OSError):
            if self._made:
                (self.path / LOCK).unlink()
            for directory in self._made:
                directory.rmdir()


def _check_empty(path: Path) -> None:
    if occupied := contents(path):
        more = ""
        if MANIFEST in occupied:
            more = f", or go on with the run by `prime-fast optimize --resume {path}`"
        raise ConfigurationError(
            f"{path}: holds {occupied[0]} already; name a directory that is new or empty{more}"
        )


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
