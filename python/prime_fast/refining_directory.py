"""The directory of a refinement: what was asked and answered, written so that nothing is lost or asked twice.

``journal.jsonl`` has a line for the designs of each round, written before any is asked, and one for each
answer, written as soon as it is there; a line that a kill has cut short counts as not written. What else is
there follows from it: ``queries.parquet`` and ``.csv``, a log of the answers that `prime_fast.logs.read_log`
reads; ``surrogate.safetensors`` as updated at the end of the last call; ``refine.json``, the settings and
the outcome.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.locking import contents, lock_directory
from prime_fast.logs.writing import atomic_file, write_table
from prime_fast.run_directory import environment, json_data
from prime_fast.surrogate import Surrogate

if TYPE_CHECKING:
    from typing import BinaryIO

MANIFEST = "refine.json"
JOURNAL = "journal.jsonl"
SURROGATE = "surrogate.safetensors"
CALLS = "calls"
FORMAT = 1


class RefinementDirectory:
    """Files of one refinement, new or taken up again.

    Parameters
    ----------
    path : path
    inputs : mapping of str to JSON value
        What the designs asked follow from; that of an earlier call must be the same.

    Attributes
    ----------
    rounds : list of list of int
        Indices of the designs of each round.
    answers : dict of (int, str) to dict
        By design and application: ``objective``, ``metrics``, ``feasible``, ``reason`` and ``failed``.

    Raises
    ------
    ConfigurationError
        If the directory holds something else, was begun with other inputs, is in use, or can't be written.
    DataError
        If a file of it is damaged.
    """

    def __init__(self, path: Path, inputs: Mapping[str, Any]) -> None:
        self.path = path
        self._journal: BinaryIO | None = None
        self.rounds: list[list[int]] = []
        self.answers: dict[tuple[int, str], dict[str, Any]] = {}
        wanted = json.loads(json.dumps(json_data(dict(inputs))))
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{path}: can't be used as output directory: {error.strerror}") from None
        _check_ours(path)
        self._lock = lock_directory(path)
        try:
            self._begin(wanted)
        except BaseException:
            self.close()
            raise

    def _begin(self, wanted: dict[str, Any]) -> None:
        path, present = self.path, _check_ours(self.path)
        if MANIFEST in present:
            self.manifest = self._read_manifest()
            for name, value in wanted.items():
                if (found := self.manifest["inputs"].get(name)) != value:
                    raise ConfigurationError(
                        f"{path}: was begun with {name} {_short(found)}, not {_short(value)}; give what it "
                        "was begun with, or another directory by --out"
                    )
        else:
            self.manifest = {"format": FORMAT, "inputs": wanted, "environment": environment()}
        self._journal = self._open()
        self.write_manifest(status="running")
        # What a killed call has left behind.
        shutil.rmtree(self.calls, ignore_errors=True)
        self.calls.mkdir(exist_ok=True)

    @property
    def calls(self) -> Path:
        """Where calls of a command have their files."""
        return self.path / CALLS

    def _read_manifest(self) -> dict[str, Any]:
        file = self.path / MANIFEST
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{file} is damaged: {error}") from None
        if not isinstance(manifest, dict) or not isinstance(manifest.get("inputs"), dict):
            raise DataError(f"{file} is damaged: it has no inputs")
        if manifest.get("format") != FORMAT:
            raise DataError(f"{file}: its format is {manifest.get('format')!r}; this version reads {FORMAT}")
        return manifest

    def _open(self) -> BinaryIO:
        """Read the journal and return it, cut after its last whole line, for appending."""
        file = self.path / JOURNAL
        try:
            journal = file.open("a+b")
        except OSError as error:
            raise ConfigurationError(f"{file}: can't be written: {error.strerror}") from None
        try:
            journal.seek(0)
            content = journal.read()
            whole = content.rfind(b"\n") + 1
            for number, line in enumerate(content[:whole].splitlines(), 1):
                try:
                    self._take(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    raise DataError(f"{file}: line {number} is damaged: {error!r}") from None
            journal.truncate(whole)
        except BaseException:
            journal.close()
            raise
        return journal

    def _take(self, entry: dict[str, Any]) -> None:
        if "asked" in entry:
            self.rounds.append([int(index) for index in entry["asked"]])
        else:
            key = int(entry.pop("design")), str(entry.pop("application"))
            self.answers[key] = {
                "objective": None if entry["objective"] is None else float(entry["objective"]),
                "metrics": dict(entry["metrics"]),
                "feasible": entry["feasible"] is True,
                "reason": entry["reason"],
                "failed": entry["failed"] is True,
            }

    def _append(self, entries: list[dict[str, Any]]) -> None:
        if self._journal is None:
            raise ConfigurationError(f"{self.path}: is closed")
        try:
            for entry in entries:
                self._journal.write(json.dumps(entry, allow_nan=False).encode() + b"\n")
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise ConfigurationError(f"{self.path / JOURNAL}: can't be written: {error.strerror}") from None

    def ask(self, designs: list[int]) -> None:
        """Write down the designs of a new round."""
        self._append([{"asked": designs}])
        self.rounds.append(designs)

    def tell(self, application: str, designs: list[int], answers: list[dict[str, Any]]) -> None:
        """Write down answers."""
        entries = [
            {"design": design, "application": application, **json_data(answer)}
            for design, answer in zip(designs, answers, strict=True)
        ]
        self._append(entries)
        for entry in entries:
            self._take(entry)

    def write_queries(self, frame: pl.DataFrame) -> None:
        """Write the log of answers."""
        for suffix in (".parquet", ".csv"):
            write_table(frame, self.path / f"queries{suffix}")

    def surrogate(self) -> Surrogate | None:
        """Return the surrogate as last updated."""
        file = self.path / SURROGATE
        return Surrogate.load(file) if file.is_file() else None

    def save(self, surrogate: Surrogate) -> None:
        """Write the updated surrogate."""
        surrogate.save(self.path / SURROGATE)

    def write_manifest(self, **outcome: Any) -> None:
        """Write the manifest with an outcome."""
        self.manifest = self.manifest | outcome
        with atomic_file(self.path / MANIFEST) as file:
            file.write(json.dumps(json_data(self.manifest), indent=2, allow_nan=False).encode())

    def close(self) -> None:
        """Let another call go on."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
            shutil.rmtree(self.calls, ignore_errors=True)
        self._lock.release()


def _check_ours(path: Path) -> list[str]:
    """Return what a directory holds; ConfigurationError if it is something else than a refinement."""
    present = contents(path)
    if present and MANIFEST not in present:
        raise ConfigurationError(
            f"{path}: holds {present[0]}, and no {MANIFEST}; name a directory that is new or empty, or "
            "that of an earlier refinement"
        )
    return present


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
