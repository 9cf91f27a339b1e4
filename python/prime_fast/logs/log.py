"""What a log is once it has been read and checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from prime_fast.space import DesignSpace, Ranks


@dataclass(frozen=True)
class Source:
    """A file that a log was read from.

    Attributes
    ----------
    path : str
        The file as it was named, or ``bundled:NAME``.
    sha256 : str
        Hexadecimal digest of the file's bytes.
    rows : int
        Data rows in the file.
    """

    path: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class Dropped:
    """Rows of a log that were left out, or merged into another row, for one reason.

    Attributes
    ----------
    reason : str
        What is wrong with the rows.
    count : int
        How many rows.
    rows : tuple of str
        The first few of them: 1-based data rows, ``FILE:ROW`` where several files were read.
    found : tuple of str
        The first few distinct offending values, where a value is what is wrong.
    """

    reason: str
    count: int
    rows: tuple[str, ...]
    found: tuple[str, ...] = ()

    def __str__(self) -> str:
        found = f", found {', '.join(self.found)}" if self.found else ""
        more = ", ..." if self.count > len(self.rows) else ""
        noun = "row" if self.count == 1 else "rows"
        return f"{self.count:,} {noun} dropped: {self.reason}{found} ({noun} {', '.join(self.rows)}{more})"


@dataclass(frozen=True, eq=False)
class Log:
    """Logged designs, every one of them inside the design space and logged once.

    Attributes
    ----------
    space : DesignSpace
        The space that the designs belong to.
    objective : str
        Name of the column to minimise.
    frame : polars.DataFrame
        One row a design: the parameters by their names, the objective (float64, null where infeasible),
        further figures (float64), ``feasible`` (bool), and ``reason`` and ``application`` (str) where the log
        has them.
    ranks : ndarray of shape (n_designs, n_parameters), space.rank_dtype
        The designs, encoded.
    dropped : tuple of Dropped
        What was left out, and why.
    warnings : tuple of str
        Sentences for the user: what was dropped, and what the log lacks.
    sources : tuple of Source
        The files.
    """

    space: DesignSpace
    objective: str
    frame: pl.DataFrame
    ranks: Ranks
    dropped: tuple[Dropped, ...]
    warnings: tuple[str, ...]
    sources: tuple[Source, ...]

    def __len__(self) -> int:
        return self.frame.height

    @cached_property
    def feasible(self) -> NDArray[np.bool_]:
        """Which designs are feasible: ndarray of shape (n_designs,), bool."""
        return self.frame["feasible"].to_numpy()

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The objective: ndarray of shape (n_designs,), float64, NaN where infeasible."""
        return self.frame[self.objective].fill_null(float("nan")).to_numpy()

    @property
    def metrics(self) -> list[str]:
        """Names of the figures: the objective first, then what else may be limited."""
        figures = self.frame.select(pl.exclude(self.space.names)).schema
        return [name for name, dtype in figures.items() if dtype == pl.Float64]

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of what can be learned from the log, whatever file it came in."""
        digest = hashlib.sha256(self.space.to_toml().encode())
        for array in (self.ranks, self.feasible, self.values):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def best(self, limits: Mapping[str, float] | None = None) -> dict[str, Any] | None:
        """Return the best feasible design logged.

        Parameters
        ----------
        limits : mapping of str to float, optional
            Upper limits on figures, each in its column's unit; a design without the figure is left out.

        Returns
        -------
        dict or None
            The design's row of `frame`, or None if nothing feasible is within the limits.

        Raises
        ------
        ConfigurationError
            If the log has no such column.
        """
        within = pl.col("feasible")
        for name, limit in (limits or {}).items():
            if name not in self.metrics:
                raise ConfigurationError(
                    f"unknown limit {name!r}: the log's figures are {', '.join(self.metrics)}"
                    + did_you_mean(name, self.metrics)
                )
            within &= pl.col(name) <= limit
        rows = self.frame.filter(within).sort(self.objective, maintain_order=True).head(1)
        return rows.row(0, named=True) if rows.height else None
