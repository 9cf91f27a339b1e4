"""The directory of a run: a manifest from its first second, results written whole or not at all."""

from __future__ import annotations

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

from prime_fast.errors import ConfigurationError
from prime_fast.logs.writing import atomic_file, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    import polars as pl

MANIFEST = "manifest.json"
FORMAT = 1
PACKAGES = ("prime-fast", "numpy", "jax", "jaxlib", "equinox", "optax", "polars")


def environment() -> dict[str, Any]:
    """Return what a result may depend on beside its inputs: versions and the kind of machine."""
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
    }


def json_data(data: Any) -> Any:
    """Return what JSON can hold: NumPy's numbers and arrays as Python's, None for what is not finite."""
    if isinstance(data, np.generic | np.ndarray):
        data = data.tolist()
    if isinstance(data, dict):
        return {key: json_data(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [json_data(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


class RunDirectory:
    """Writes one run's files.

    Parameters
    ----------
    path : str or Path
        A directory that doesn't exist yet, or is empty.
    inputs : mapping
        Everything needed to repeat the run; goes into the manifest.

    Raises
    ------
    ConfigurationError
        If the directory holds something already, or can't be written.
    """

    def __init__(self, path: str | Path, inputs: Mapping[str, Any]) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            occupied = next(self.path.iterdir(), None)
        except OSError as error:
            raise ConfigurationError(f"{path}: can't be used as output directory: {error.strerror}") from None
        if occupied is not None:
            raise ConfigurationError(
                f"{path}: holds {occupied.name} already; name a directory that is new or empty"
            )
        self.manifest: dict[str, Any] = {
            "format": FORMAT,
            "status": "running",
            "started": _now(),
            "command": sys.argv,
            "environment": environment(),
            **inputs,
        }
        self._write(self.manifest)
        self._records: TextIO | None = None

    def record(self, entry: Mapping[str, Any]) -> None:
        """Append one line to ``training.jsonl``."""
        try:
            if self._records is None:
                self._records = (self.path / "training.jsonl").open("w", encoding="utf-8")
            self._records.write(json.dumps(json_data(dict(entry)), allow_nan=False) + "\n")
            self._records.flush()
        except OSError as error:
            raise ConfigurationError(f"{self.path}: can't be written: {error.strerror}") from None

    def table(self, name: str, frame: pl.DataFrame) -> None:
        """Write a table as Parquet and as CSV."""
        for suffix in (".parquet", ".csv"):
            write_table(frame, self.path / f"{name}{suffix}")

    def close(self, status: str, **outcome: Any) -> None:
        """Write the final manifest: status is ``complete``, ``interrupted`` or ``failed``."""
        if self._records is not None:
            self._records.close()
            self._records = None
        # Kept only once it is written: after an error the next status is written without it.
        manifest = self.manifest | {"status": status, "ended": _now(), **outcome}
        self._write(manifest)
        self.manifest = manifest

    def _write(self, manifest: dict[str, Any]) -> None:
        with atomic_file(self.path / MANIFEST) as file:
            file.write(json.dumps(json_data(manifest), indent=2, allow_nan=False).encode())


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
