"""Discrete design spaces: parameters, the codec between values, ranks and indices, constraints, metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from prime_fast import _core
from prime_fast.errors import ConfigurationError, DataError

Value: TypeAlias = int | float | str | bool
Ranks: TypeAlias = NDArray[np.unsignedinteger[Any]]


def read_text(path: str | Path, what: str) -> str:
    """Read a configuration file as text; ConfigurationError names the file and what it should be."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file; expected {what} in TOML") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: can't be read as text: {error}") from None


def _alike(values: list[Value]) -> list[Value]:
    """Return numbers as floats where any is one, so that they fit in one column."""
    return [float(value) for value in values] if any(isinstance(value, float) for value in values) else values


class DesignSpace:
    """An ordered set of parameters with their allowed values, constraints and metrics.

    A design is a row of ranks: for each parameter the position of its value in the parameter's list. Its
    index is the mixed-radix number with the ranks as digits, the first parameter the most significant.

    Build one with :meth:`bundled`, :meth:`load` or :meth:`from_toml`.
    """

    def __init__(self, core: _core.DesignSpace) -> None:
        self.core = core
        self.name: str = core.name
        self.title: str = core.title
        self.names: list[str] = core.names
        self.units: list[str] = core.units
        self.columns: list[str] = core.columns
        self.kinds: list[str] = core.kinds
        self.values: list[list[Value]] = [_alike(values) for values in core.values]
        self.cardinalities: list[int] = core.cardinalities
        self.size: int = core.size
        self.metric_names: list[str] = [name for name, _ in core.metrics]
        self.metric_units: dict[str, str] = dict(core.metrics)
        self.constraint_names: list[str] = [name for name, _ in core.constraints]

    @classmethod
    def bundled(cls, name: str = "prime") -> DesignSpace:
        """Return a design space that ships with the package; ConfigurationError where there is none such."""
        return cls(_core.DesignSpace.bundled(name))

    @classmethod
    def from_toml(cls, text: str, origin: str = "design space") -> DesignSpace:
        """Parse a design space; errors (ConfigurationError) start with `origin`."""
        return cls(_core.DesignSpace.from_toml(text, origin))

    @classmethod
    def load(cls, path: str | Path) -> DesignSpace:
        """Read a design space from a TOML file.

        Raises
        ------
        ConfigurationError
            If the file can't be read or is no design space, or if no design can meet its constraints; the
            text names file, line or field.
        """
        space = cls.from_toml(read_text(path, "a design space"), str(path))
        # Not of every text: a space narrowed to one design may be of one that breaks a constraint.
        space.core.check_possible(str(path))
        return space

    def to_toml(self) -> str:
        """Return the TOML text that the space was read from."""
        return self.core.text

    def narrowed(self, values: Mapping[str, Value]) -> DesignSpace:
        """Return the same space with each named parameter reduced to one value.

        A design that the space does not contain can be simulated in the space narrowed to it.

        Parameters
        ----------
        values : mapping of str to int, float, str or bool
            By name of parameter. A number need not be among the parameter's values. A text must be, and
            leaves them as they are, since expressions may name the others. A boolean ``parameter_caching``
            (see `Simulator`) is added where the space has none.

        Returns
        -------
        DesignSpace
            With the same metrics and constraints; of one design where all parameters are named and none is
            text.

        Raises
        ------
        ConfigurationError
            If a name is unknown, or a value not of the parameter's type or not finite.
        """
        return DesignSpace(self.core.narrowed(list(values.items())))

    def __repr__(self) -> str:
        return f"DesignSpace({self.name!r}, {len(self.names)} parameters, {self.size:,} designs)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DesignSpace) and self.to_toml() == other.to_toml()

    def __hash__(self) -> int:
        return hash(self.to_toml())

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (DesignSpace, (self.core,))

    @property
    def dimensions(self) -> int:
        """Number of parameters."""
        return len(self.names)

    @property
    def rank_dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Dtype of ranks: uint8 where no parameter has more than 256 values, else uint16."""
        return np.uint8 if max(self.cardinalities) <= 256 else np.uint16

    def indices(self, designs: Ranks) -> NDArray[np.uint64]:
        """Return the index of each design.

        Parameters
        ----------
        designs : ndarray of shape (n_designs, n_parameters), uint8 or uint16
            Ranks. DataError names design and parameter where one is out of range.

        Returns
        -------
        ndarray of shape (n_designs,), uint64
        """
        return self.core.indices(designs)

    def ranks(self, indices: NDArray[np.uint64]) -> Ranks:
        """Return the ranks of the designs with these indices, the inverse of :meth:`indices`.

        Returns
        -------
        ndarray of shape (n_designs, n_parameters), :attr:`rank_dtype`

        Raises
        ------
        DataError
            If an index is not below the size of the space, or the array is not one of integers.
        """
        array = np.asarray(indices)
        if array.ndim != 1 or (array.dtype.kind not in "ui" and array.size > 0):
            raise DataError(
                "indices must be an array of shape (n_designs,) and an integer dtype, "
                f"found shape {array.shape} and dtype {array.dtype}"
            )
        if array.dtype.kind == "i" and (array < 0).any():
            raise DataError(f"design index {array.min()} is below 0")
        return self.core.ranks(array.astype(np.uint64))

    def check(self, designs: Ranks) -> NDArray[np.int32]:
        """Return for each design -1 if it meets all constraints, else the position of the first it breaks.

        Returns
        -------
        ndarray of shape (n_designs,), int32
            Positions in :attr:`constraint_names`.
        """
        return self.core.check(designs)

    def metric(self, name: str, designs: Ranks) -> NDArray[np.float64]:
        """Return a metric that follows from the parameters alone, such as ``area_mm2``.

        Returns
        -------
        ndarray of shape (n_designs,), float64
        """
        return self.core.metric(name, designs)

    def sample(self, designs: int, seed: int) -> Ranks:
        """Draw designs uniformly, with replacement, constraints ignored; the same for the same seed."""
        shape = (designs, self.dimensions)
        generator = np.random.default_rng(seed % (1 << 64))
        return generator.integers(0, self.cardinalities, size=shape, dtype=self.rank_dtype)

    def frame(self, designs: Ranks) -> pl.DataFrame:
        """Return designs as a frame of values, one column a parameter."""
        self.core.check(designs)
        return pl.DataFrame(
            {
                name: pl.Series(values=values, name=name).gather(
                    pl.Series(designs[:, position], dtype=pl.UInt32)
                )
                for position, (name, values) in enumerate(zip(self.names, self.values, strict=True))
            }
        )

    def ranks_from_frame(self, frame: pl.DataFrame, first_row: int = 1) -> Ranks:
        """Return the ranks of designs given as values, one column a parameter; other columns are ignored.

        Raises
        ------
        DataError
            If a column is missing, or a value is not among its parameter's; the text names row (the first is
            `first_row`), parameter and value.
        """
        ranks = np.empty((frame.height, self.dimensions), dtype=self.rank_dtype)
        for position, name in enumerate(self.names):
            if name not in frame.columns:
                raise DataError(f"designs have no column `{name}`; expected {', '.join(self.names)}")
            column = self.column_ranks(position, frame[name])
            if (first := column.is_null().arg_max()) is not None and column.null_count():
                found, allowed = frame[name][first], self.allowed(position)
                raise DataError(f"row {first + first_row}: `{name}` is {found!r}; allowed: {allowed}")
            ranks[:, position] = column.to_numpy()
        return ranks

    def column_ranks(self, position: int, values: pl.Series) -> pl.Series:
        """Return the rank of each value of one parameter, null where the value is not allowed."""
        allowed = self.values[position]
        if isinstance(allowed[0], bool | str):
            texts = [str(value).lower() if isinstance(value, bool) else value for value in allowed]
            cast, keys = values.cast(pl.String, strict=False), pl.Series(texts, dtype=pl.String)
            if isinstance(allowed[0], bool):
                cast = cast.str.to_lowercase().replace({"1": "true", "0": "false"})
        else:
            cast = values.cast(pl.Float64, strict=False)
            keys = pl.Series([float(value) for value in allowed], dtype=pl.Float64)
        ranks = pl.Series(range(len(allowed)), dtype=pl.UInt32)
        return cast.replace_strict(keys, ranks, default=None, return_dtype=pl.UInt32)

    def allowed(self, position: int) -> str:
        """Return the allowed values of one parameter as text, shortened where they are many."""
        values = [str(value) for value in self.values[position]]
        return ", ".join(values if len(values) <= 12 else [*values[:10], "...", values[-1]])

    def designs(self, designs: Ranks | pl.DataFrame | Sequence[Mapping[str, Value]]) -> Ranks:
        """Return ranks whether given as ranks, as a frame of values or as mappings of names to values."""
        if isinstance(designs, np.ndarray):
            return designs
        if not isinstance(designs, pl.DataFrame):
            designs = pl.DataFrame(list(designs))
        return self.ranks_from_frame(designs)


def space_named(space: DesignSpace | str | Path | None = None) -> DesignSpace:
    """Return a design space given as such, by a bundled one's name or by a file's path; PRIME's for None.

    Raises
    ------
    ConfigurationError
        If there is neither a bundled space of that name nor such a file, or the file is no design space.
    """
    if isinstance(space, DesignSpace):
        return space
    if space is None:
        return DesignSpace.bundled()
    text, known = str(space), _core.DesignSpace.bundled_names()
    if text in known:
        return DesignSpace.bundled(text)
    if Path(text).exists() or Path(text).suffix or len(Path(text).parts) > 1:
        return DesignSpace.load(text)
    try:
        return DesignSpace.bundled(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; or the path of a TOML file") from None
