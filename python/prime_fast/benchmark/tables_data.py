"""Measured tables as design spaces: GPU kernels of the Kernel Tuner hub and FPGA kernels of HLSyn.

A folder with a ``manifest.json`` is read as the Kernel Tuner benchmark hub's brute-forced spaces
(10.5281/zenodo.15364124) as CSV. The manifest is a list of objects with ``file``
(``KERNEL__DEVICE.csv.gz``), ``parameters`` (name to allowed integers) and optionally ``rows``; the files
have a column a parameter, ``status`` and ``time_ms``. A design that failed, or that a file lacks, is
infeasible: a file holds all that can be built.

Any other folder is read as HLSyn's (Bai et al., NeurIPS 2023), one CSV file a kernel: pragmas
(``__PARA__*`` and ``__TILE__*`` integers; ``__PIPE__*`` one of ``off``, ``flatten`` and, written as
nothing, coarse), ``valid`` and ``perf_cycles``. Its spaces were not measured whole: a search keeps to the
recorded designs.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.logs import read_table
from prime_fast.space import DesignSpace, Ranks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

MANIFEST = "manifest.json"
MOST_CANDIDATES = 1_000_000
"""Designs of a space that is searched by scoring all of them."""
LEAST_FEASIBLE = 20
"""Fewer feasible designs make no table: their worst part is too few to learn from."""
PIPE = {"off": "off", "": "coarse", "flatten": "flatten"}
"""What the HLSyn files write, and what it means: no pipeline, one of coarse grain, one of unrolled loops."""

GPU_FEATURES = ("compute_units", "clock_mhz", "bandwidth_gb_s", "l2_mib", "local_memory_kib", "wavefront")
"""Of a device as a kernel sees it: SMs or CUs, boost clock, DRAM bandwidth, L2 cache (the W7800 has 64 MiB of
Infinity Cache beside it), shared memory of a unit, threads of a warp or wavefront."""
GPUS: Mapping[str, tuple[float, ...]] = {
    # NVIDIA A100 Tensor Core GPU Architecture (white paper, 2020); PCIe card of 40 GB.
    "A100": (108, 1410, 1555, 40, 164, 32),
    # AMD CDNA 2 Architecture (white paper, 2021): one of the card's two dies, as a program sees it.
    "MI250X": (110, 1700, 1638, 8, 64, 64),
    # AMD's product page of the Radeon PRO W7800 (32 GB); "RDNA3" instruction set reference.
    "W7800": (70, 2499, 576, 6, 64, 32),
    # NVIDIA Turing GPU Architecture (white paper, 2018), reference card; NVIDIA's page of the TITAN RTX.
    "RTX_2080_Ti": (68, 1545, 616, 5.5, 64, 32),
    "RTX_Titan": (72, 1770, 672, 6, 64, 32),
}
"""`GPU_FEATURES` by the device in a file's name."""


@dataclass(frozen=True, eq=False)
class MeasuredTable:
    """A space and what was measured in it.

    Attributes
    ----------
    name : str
        The file's, without suffixes.
    collection : str
        ``"Kernel Tuner"`` or ``"HLSyn"``.
    kernel, device : str
        `device` is empty where the name has none.
    space : DesignSpace
        Of the parameters with more than one value.
    objective : str
        ``"time_ms"`` or ``"perf_cycles"``.
    ranks : ndarray of shape (n, parameters)
        The recorded designs, distinct, by index.
    values : ndarray of shape (n,), float64
        The objective, NaN where infeasible.
    whole : bool
        Whether every design that is not recorded is known to be infeasible.
    sha256 : str
        Digest of the space and the file.
    """

    name: str
    collection: str
    kernel: str
    device: str
    space: DesignSpace
    objective: str
    ranks: Ranks
    values: NDArray[np.float64]
    whole: bool
    sha256: str

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Shape (n,)."""
        return ~np.isnan(self.values)

    @property
    def optimum(self) -> float:
        """The least objective."""
        return float(np.nanmin(self.values))

    @cached_property
    def indices(self) -> NDArray[np.uint64]:
        """Indices of the recorded designs, ascending."""
        return self.space.indices(self.ranks)

    @property
    def candidates(self) -> Ranks:
        """Designs that a search may propose: of a whole table all of the space, else the recorded ones."""
        if not self.whole:
            return self.ranks
        return self.space.ranks(np.arange(self.space.size, dtype=np.uint64))

    @property
    def context(self) -> list[float]:
        """Logarithms of the device's `GPU_FEATURES`; DataError where they are not known."""
        if self.device not in GPUS:
            raise DataError(
                f"{self.name}: nothing is known of the device {self.device!r}; known: {', '.join(GPUS)}"
            )
        return [math.log(feature) for feature in GPUS[self.device]]

    def look_up(self, designs: Ranks) -> NDArray[np.float64]:
        """Return the objective of designs, NaN where they are infeasible or not recorded; shape (n,)."""
        indices = self.space.indices(designs)
        places = np.minimum(np.searchsorted(self.indices, indices), len(self.indices) - 1)
        return np.where(self.indices[places] == indices, self.values[places], np.nan)


def read_tables(folders: str | Path | Sequence[str | Path]) -> dict[str, MeasuredTable]:
    """Read all tables of some folders.

    Returns
    -------
    dict of str to MeasuredTable
        By name, in alphabetical order within a folder.

    Raises
    ------
    ConfigurationError
        If a folder or a file that a manifest names is missing, or two tables bear one name.
    DataError
        If a manifest or a table is unusable: the text names the file, the row where there is one, what was
        found and what would be right.
    """
    tables: dict[str, MeasuredTable] = {}
    for folder in [folders] if isinstance(folders, str | Path) else folders:
        for table in _folder(Path(folder)):
            if table.name in tables:
                raise ConfigurationError(
                    f"{folder}: table {table.name} is there twice; name each folder once"
                )
            tables[table.name] = table
    return tables


def _folder(folder: Path) -> list[MeasuredTable]:
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no such folder; expected one of measured tables")
    if (folder / MANIFEST).exists():
        return sorted(_kernel_tuner(folder), key=lambda table: table.name)
    files = sorted(path for path in folder.iterdir() if path.name.endswith((".csv", ".csv.gz")))
    if not files:
        raise ConfigurationError(f"{folder}: holds no {MANIFEST} and no CSV files; expected measured tables")
    return [_hlsyn(path) for path in files]


def _kernel_tuner(folder: Path) -> list[MeasuredTable]:
    manifest = folder / MANIFEST
    try:
        entries = json.loads(manifest.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{manifest}: can't be read as JSON: {error}") from None
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{manifest}: expected a list of tables, found {_shortened(entries)}")
    return [_kernel_tuner_table(folder, entry) for entry in entries]


def _kernel_tuner_table(folder: Path, entry: Any) -> MeasuredTable:
    manifest = folder / MANIFEST
    file = entry.get("file") if isinstance(entry, dict) else None
    if not isinstance(file, str) or Path(file).name != file:
        raise DataError(f"{manifest}: expected a table with `file`, a name, found {_shortened(entry)}")
    allowed = entry.get("parameters")
    if not isinstance(allowed, dict) or not allowed or not all(map(_whole_numbers, allowed.values())):
        raise DataError(
            f"{manifest}: {file}: `parameters` must map names to lists of distinct whole numbers, "
            f"found {_shortened(allowed)}"
        )
    path = folder / file
    name = _stem(path)
    kernel, _, device = name.partition("__")
    frame, source = read_table(path)
    _need(path, frame, [*allowed, "status", "time_ms"])
    if entry.get("rows", frame.height) != frame.height:
        raise DataError(f"{path}: has {frame.height} rows; {MANIFEST} says {entry['rows']}")
    # Parameters of one value are no choice, but must have it.
    fixed = {parameter: values for parameter, values in allowed.items() if len(values) == 1}
    for parameter, values in fixed.items():
        _no_other(path, frame[parameter], values)
    kinds = {parameter: _kind(values) for parameter, values in allowed.items() if parameter not in fixed}
    space = _space(path, kernel, {parameter: (kinds[parameter], allowed[parameter]) for parameter in kinds})
    for parameter in space.names:
        _no_other(path, frame[parameter], allowed[parameter])
    missing = frame["status"].fill_null("") == ""
    if missing.any():
        raise DataError(
            f"{path}: row {missing.arg_true()[0] + 1}: `status` is empty; expected ok or a failure"
        )
    return _table(
        path, source.sha256, "Kernel Tuner", kernel, device, space, frame, "time_ms", frame["status"] == "ok"
    )


def _hlsyn(path: Path) -> MeasuredTable:
    frame, source = read_table(path)
    _need(path, frame, ["valid", "perf_cycles"])
    pragmas = [column for column in frame.columns if column.startswith(("__PARA__", "__TILE__", "__PIPE__"))]
    if not pragmas:
        raise DataError(
            f"{path}: no column __PARA__*, __TILE__* or __PIPE__*; found {', '.join(frame.columns)}"
        )
    parameters: dict[str, tuple[str, list[Any]]] = {}
    columns: list[pl.Series] = []
    for name in pragmas:
        texts = frame[name].fill_null("").str.strip_chars()
        if name.startswith("__PIPE__"):
            _no_other(path, texts, list(PIPE))
            column = texts.replace_strict(PIPE)
            values: list[Any] = [value for value in PIPE.values() if (column == value).any()]
        else:
            column = texts.cast(pl.Int64, strict=False)
            _good(path, texts, (column >= 1).fill_null(value=False), "a whole number from 1")
            values = column.unique().sort().to_list()
        if len(values) > 1:
            # Names that an expression could bear: HLSyn's begin with underscores.
            kind, _, place = name.strip("_").partition("__")
            parameters[f"{kind.lower()}_{place}"] = (
                "categorical" if name.startswith("__PIPE__") else "ordinal",
                values,
            )
            columns.append(column.rename(f"{kind.lower()}_{place}"))
    valid = frame["valid"].fill_null("").str.strip_chars()
    _no_other(path, valid, [0, 1])
    name = _stem(path)
    space = _space(path, name, parameters)
    rows = pl.DataFrame([*columns, frame["perf_cycles"]])
    return _table(path, source.sha256, "HLSyn", name, "", space, rows, "perf_cycles", valid == "1")


def _table(
    path: Path,
    sha256: str,
    collection: str,
    kernel: str,
    device: str,
    space: DesignSpace,
    frame: pl.DataFrame,
    objective: str,
    feasible: pl.Series,
) -> MeasuredTable:
    """Check what both collections share, and sort the rows."""
    numbers = frame[objective].cast(pl.Float64, strict=False)
    positive = (numbers.is_finite() & (numbers > 0)).fill_null(value=False)
    _good(path, frame[objective], positive | ~feasible, "a finite number above 0 where feasible")
    try:
        ranks = space.ranks_from_frame(frame)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    indices = space.indices(ranks)
    order = np.argsort(indices, kind="stable")
    again = np.flatnonzero(np.diff(indices[order]) == 0)
    if len(again):
        first, second = sorted((order[again[0]] + 1, order[again[0] + 1] + 1))
        raise DataError(f"{path}: rows {first} and {second} are the same design; expected each design once")
    values = np.where(feasible.to_numpy(), numbers.fill_null(np.nan).to_numpy(), np.nan)
    count = int(feasible.sum())
    if count < LEAST_FEASIBLE:
        raise DataError(f"{path}: has {count} feasible designs; expected at least {LEAST_FEASIBLE}")
    known = values[~np.isnan(values)]
    if known.min() == known.max():
        raise DataError(
            f"{path}: all {count} feasible designs have `{objective}` {known[0]}; nothing to find"
        )
    whole = collection == "Kernel Tuner"
    if whole and space.size > MOST_CANDIDATES:
        raise DataError(
            f"{path}: its space has {space.size:,} designs; at most {MOST_CANDIDATES:,} are judged"
        )
    digest = hashlib.sha256(f"{space.to_toml()}{sha256}".encode()).hexdigest()
    return MeasuredTable(
        _stem(path), collection, kernel, device, space, objective, ranks[order], values[order], whole, digest
    )


def _space(path: Path, name: str, parameters: Mapping[str, tuple[str, Sequence[Any]]]) -> DesignSpace:
    lines = [f"name = {json.dumps(name)}"]
    for parameter, (kind, values) in parameters.items():
        listed = json.dumps(list(values))
        lines.append(f'[[parameter]]\nname = {json.dumps(parameter)}\nkind = "{kind}"\nvalues = {listed}')
    return DesignSpace.from_toml("\n".join(lines), str(path))


def _kind(values: Sequence[int]) -> str:
    # Switches; all else that the hub varies is a size.
    return "categorical" if set(values) == {0, 1} else "ordinal"


def _whole_numbers(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) > 0
        and all(isinstance(value, int) and not isinstance(value, bool) for value in values)
        and len(set(values)) == len(values)
    )


def _need(path: Path, frame: pl.DataFrame, columns: Sequence[str]) -> None:
    if missing := [column for column in columns if column not in frame.columns]:
        raise DataError(f"{path}: no column {', '.join(missing)}; found {', '.join(frame.columns)}")


def _no_other(path: Path, column: pl.Series, allowed: Sequence[int | str]) -> None:
    texts = [str(value) for value in allowed]
    known = column.is_in(texts).fill_null(value=False)
    _good(path, column, known, f"one of {', '.join(text or repr(text) for text in texts)}")


def _good(path: Path, column: pl.Series, good: pl.Series, wanted: str) -> None:
    if not good.all():
        row = (~good).arg_true()[0]
        found = column[row]
        found = "empty" if found is None or found == "" else found
        raise DataError(f"{path}: row {row + 1}: `{column.name}` is {found}; expected {wanted}")


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
