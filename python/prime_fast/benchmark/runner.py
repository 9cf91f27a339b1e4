"""A directory of finished jobs: written one by one, whole or not at all, and taken up again where it stopped.

``manifest.json`` states what the rows depend on (``inputs``) and what is asked for (``selection``);
``rows/`` has one JSON file a finished job. A run that was killed at any moment leaves whole files only, so
that the next one does what is missing and ends with the rows of an uninterrupted run (times apart). The
inputs must be those of the directory; the selection may grow, by seeds, applications, methods or sections.
Reading what is finished asks for the same inputs, of any selection, and writes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from prime_fast import _core, parallel
from prime_fast.errors import ConfigurationError, DataError
from prime_fast.locking import contents, locked_directory
from prime_fast.logs.writing import atomic_file
from prime_fast.run_directory import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from prime_fast.benchmark.comparison import Progress
    from prime_fast.benchmark.jobs import Row

MANIFEST = "manifest.json"
KIND = "prime-fast benchmark paper"
TABLES_KIND = "prime-fast benchmark tables"
FORMAT = 1
#: The input that has an entry a method; entries that only one side has are no contradiction.
METHOD_SETTINGS = "method settings"


class Job(Protocol):
    """What a directory asks of a job, which is hashable besides."""

    def as_dict(self) -> dict[str, Any]:
        """Return the job as what JSON can hold."""

    @property
    def key(self) -> str:
        """A name for files, another for every other job."""


def file_name(words: Sequence[str], job: Mapping[str, Any]) -> str:
    """Return a name for files: words that say what a job is, and a digest of all of it."""
    digest = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:12]
    return "-".join(re.sub(r"[^\w.+-]", "_", word)[:60] for word in (*words, digest) if word)


AnyJob = TypeVar("AnyJob", bound=Job)
Settings = TypeVar("Settings")


class RunnerDirectory:
    """Rows of finished jobs.

    Parameters
    ----------
    path : str or Path
        A directory that is new, empty, or holds an earlier run of the same inputs.
    inputs : mapping of str to JSON value
        What every row depends on.
    selection : mapping of str to list
        What is asked for.
    kind : str
        The command that the rows are of.
    read_only : bool
        Write nothing: the directory must hold a manifest of these inputs, of whatever selection.

    Raises
    ------
    ConfigurationError
        If the directory holds something else, was made by another version or with other inputs, holds
        results that are not asked for, is in use, or can't be used.
    DataError
        If its manifest is damaged.
    """

    def __init__(
        self,
        path: str | Path,
        inputs: Mapping[str, Any],
        selection: Mapping[str, list[Any]],
        *,
        kind: str = KIND,
        read_only: bool = False,
    ) -> None:
        self.path, self.kind = Path(path), kind
        self.rows = self.path / "rows"
        # As JSON has them: what is compared is what is read.
        wanted = json.loads(json.dumps({"version": _core.__VERSION__, **inputs}))
        chosen = json.loads(json.dumps(selection))
        if read_only:
            if not (self.path / MANIFEST).is_file():
                raise ConfigurationError(
                    f"{path}: holds no {MANIFEST} of a benchmark, so there is nothing finished"
                )
            _compare_inputs(self.path, self._manifest()[0], wanted)
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"{path}: can't be used as output directory: {error.strerror or error}"
            ) from None
        present = contents(self.path)
        if present and MANIFEST not in present:
            raise ConfigurationError(
                f"{path}: holds {present[0]}, and no {MANIFEST} of a benchmark; name a directory that "
                "is new or empty, or that of an earlier run"
            )
        with locked_directory(self.path):
            self._begin(wanted, chosen)

    def _begin(self, wanted: dict[str, Any], chosen: dict[str, Any]) -> None:
        if (self.path / MANIFEST).exists():
            found, before = self._manifest()
            _compare_inputs(self.path, found, wanted)
            _compare_selection(self.path, before, chosen)
            # Of rows from before these were noted nobody knows: they are not noted afterwards.
            if METHOD_SETTINGS in wanted and (noted := found.get(METHOD_SETTINGS)) is not None:
                wanted[METHOD_SETTINGS] = noted | wanted[METHOD_SETTINGS]
            else:
                wanted.pop(METHOD_SETTINGS, None)
        with atomic_file(self.path / MANIFEST) as file:
            fields = {"kind": self.kind, "format": FORMAT, "inputs": wanted, "selection": chosen}
            file.write(json.dumps(fields | {"environment": environment()}, indent=2).encode())
        try:
            self.rows.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{self.rows}: can't be made: {error.strerror or error}") from None

    def _manifest(self) -> tuple[dict[str, Any], dict[str, Any]]:
        path = self.path / MANIFEST
        fields = _read(path, "the manifest of a benchmark")
        inputs, kind = fields.get("inputs"), fields.get("kind")
        # Before each command had its own.
        if kind == KIND and isinstance(inputs, dict) and inputs.get("benchmark") == "tables":
            kind = TABLES_KIND
        if kind != self.kind:
            what = f"`{kind}`" if kind in (KIND, TABLES_KIND) else "something else"
            raise ConfigurationError(
                f"{path}: is that of {what}, not of `{self.kind}`; name a directory that is new or empty"
            )
        if fields.get("format") != FORMAT:
            raise ConfigurationError(
                f"{path}: has format {fields.get('format')}, this version writes {FORMAT}; "
                "name another directory"
            )
        lists = fields.get("selection")
        if (
            not isinstance(inputs, dict)
            or not isinstance(inputs.get(METHOD_SETTINGS, {}), dict)
            or not isinstance(lists, dict)
            or not all(isinstance(values, list) for values in lists.values())
        ):
            raise DataError(f"{path}: damaged: no inputs or selection; restore it or name another directory")
        return inputs, lists

    def load(self, job: Job) -> Row | None:
        """Return the row of a job, None where it isn't finished; DataError where the file is damaged."""
        path = self.rows / f"{job.key}.json"
        if not path.exists():
            return None
        fields = _read(path, "the row of a finished job", " to run the job again")
        if fields.get("job") != job.as_dict() or not isinstance(fields.get("row"), dict):
            raise DataError(f"{path}: damaged: not the row of its job; delete the file to run the job again")
        return dict(fields["row"])

    def save(self, job: Job, row: Row) -> None:
        """Write the row of a finished job."""
        with atomic_file(self.rows / f"{job.key}.json") as file:
            file.write(json.dumps({"job": job.as_dict(), "row": row}, indent=1, allow_nan=False).encode())

    def finished(self, jobs: Sequence[AnyJob]) -> dict[AnyJob, Row]:
        """Return the rows of those jobs that are finished."""
        return {job: row for job in jobs if (row := self.load(job)) is not None}

    def complete(
        self,
        jobs: Sequence[AnyJob],
        settings: Settings,
        run: Callable[[tuple[AnyJob, Settings]], Row],
        *,
        workers: int = 1,
        threads: int | None = None,
        ray: str | None = None,
        progress: Progress | None = None,
    ) -> dict[AnyJob, Row]:
        """Run what is missing of some jobs; return the rows of all.

        Parameters
        ----------
        jobs : sequence of Job
            In the order in which they are started.
        settings : object
            Given to every job beside it.
        run : callable
            Returns the row of a job; of a module that workers can import.
        workers, threads, ray
            As for `prime_fast.parallel.for_each`.
        progress : callable, optional
            Called with stage, jobs done and jobs in all.

        Raises
        ------
        KeyboardInterrupt
            At Ctrl-C, within a second or so; rows that were finished are kept.
        """
        with locked_directory(self.path):
            return self._complete(jobs, settings, run, workers, threads, ray, progress)

    def _complete(
        self,
        jobs: Sequence[AnyJob],
        settings: Settings,
        run: Callable[[tuple[AnyJob, Settings]], Row],
        workers: int,
        threads: int | None,
        ray: str | None,
        progress: Progress | None,
    ) -> dict[AnyJob, Row]:
        jobs = list(dict.fromkeys(jobs))
        rows = self.finished(jobs)
        missing = [job for job in jobs if job not in rows]
        if progress is not None:
            progress("jobs", len(rows), len(jobs))
        work = [(job, settings) for job in missing]
        with closing(parallel.for_each(run, work, workers=workers, threads=threads, ray=ray)) as finished:
            for position, row in finished:
                self.save(missing[position], row)
                rows[missing[position]] = row
                if progress is not None:
                    progress("jobs", len(rows), len(jobs))
        return {job: rows[job] for job in jobs}


def _read(path: Path, what: str, remedy: str = " and name another directory") -> dict[str, Any]:
    try:
        fields = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(
            f"{path}: damaged, it should be {what} in JSON ({error}); delete it{remedy}"
        ) from None
    if not isinstance(fields, dict):
        raise DataError(f"{path}: damaged, it should be {what}, a JSON object; delete it{remedy}")
    return fields


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _compare_inputs(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    there, here = (
        _flat({name: value for name, value in fields.items() if name != METHOD_SETTINGS})
        for fields in (found, wanted)
    )
    for name in dict.fromkeys((*here, *there)):
        if there.get(name) != here.get(name):
            raise ConfigurationError(
                f"{path}: its rows were made with {name} {there.get(name)}, this run has {here.get(name)}; "
                "use the same or name another directory"
            )
    noted = found.get(METHOD_SETTINGS, {})
    for method, digest in wanted.get(METHOD_SETTINGS, {}).items():
        if noted.get(method, digest) != digest:
            raise ConfigurationError(
                f"{path}: its rows of `{method}` were made with other settings of this method than it has "
                "now; name another directory"
            )


def _compare_selection(path: Path, before: Mapping[str, Any], chosen: Mapping[str, list[Any]]) -> None:
    for name, values in before.items():
        if lost := [value for value in values if value not in chosen.get(name, [])]:
            raise ConfigurationError(
                f"{path}: holds results of {name} {', '.join(map(str, lost))}, which this run leaves out; "
                "ask for these too or name another directory"
            )
