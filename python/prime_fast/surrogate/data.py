"""Logged designs as arrays, checked once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from prime_fast.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.space import DesignSpace

MINIMUM_FEASIBLE = 10
"""Fewer feasible designs than this teach nothing that a search could use."""


@dataclass(frozen=True)
class Scale:
    """The affine map, on logarithms if ``logarithmic``, from a logged quantity to what is learned."""

    logarithmic: bool
    mean: float
    deviation: float

    @classmethod
    def fitted(cls, values: NDArray[np.float64]) -> Scale:
        """Return the scale that standardises ``values``; NaNs are ignored."""
        known = values[np.isfinite(values)]
        logarithmic = bool((known > 0.0).all())
        known = np.log(known) if logarithmic else known
        return cls(logarithmic, float(known.mean()), float(known.std()) or 1.0)

    def standardised(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return what a network is to predict; NaN stays NaN."""
        values = np.log(values) if self.logarithmic else values
        return ((values - self.mean) / self.deviation).astype(np.float32)

    def original(self, standardised: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return predictions in the logged unit."""
        values = standardised * self.deviation + self.mean
        return np.exp(values) if self.logarithmic else values


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Logged designs of one objective, which is to be minimised.

    Parameters
    ----------
    space : DesignSpace
    ranks : ndarray of shape (n, parameters), integer
    objective : ndarray of shape (n,), float
        Positive and finite where feasible; ignored elsewhere.
    feasible : ndarray of shape (n,), bool
    metrics : mapping of name to ndarray of shape (n,), float
        Further quantities to learn, such as an area that the space cannot compute. NaN where unknown.
    log_sha256 : str
        Digest of the log that all this comes from; by default of the arrays themselves.
    applications : tuple of str
        Names of the applications, where there are several or others are to be designed for.
    contexts : ndarray of shape (applications, features), float64, optional
        Features of each, as `context_of` computes them.
    application : ndarray of shape (n,), integer, optional
        Which of them each design was logged for.

    Raises
    ------
    DataError
        If shapes disagree, a rank lies outside its parameter's values, an objective is not positive and
        finite, fewer than `MINIMUM_FEASIBLE` designs of an application are feasible, they all have one
        objective, or a metric is unknown on all of them or infinite somewhere; or if a context is missing,
        not finite or of another length.
    """

    space: DesignSpace
    ranks: NDArray[np.integer]
    objective: NDArray[np.float64]
    feasible: NDArray[np.bool_]
    metrics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    log_sha256: str = ""
    applications: tuple[str, ...] = ()
    contexts: NDArray[np.float64] | None = None
    application: NDArray[np.integer] | None = None

    def __post_init__(self) -> None:
        """Check everything that training relies on."""
        check_ranks(self.space, self.ranks)
        n = len(self.ranks)
        columns = {"objective": self.objective, "feasible": self.feasible, **self.metrics}
        for name, values in columns.items():
            if values.shape != (n,):
                raise DataError(f"{name} has shape {values.shape}; {n} designs need ({n},)")
        if self.feasible.dtype != np.bool_:
            raise DataError(f"feasible has type {self.feasible.dtype}; it must be bool")
        self._check_contexts()
        values = self.objective[self.feasible]
        wrong = ~(np.isfinite(values) & (values > 0.0))
        if wrong.any():
            row = int(np.flatnonzero(self.feasible)[wrong][0])
            raise DataError(
                f"row {row}: the objective is {self.objective[row]}; "
                "that of a feasible design must be positive and finite"
            )
        for place, name in enumerate(self.applications or ("",)):
            where = f" of {name}" if name else ""
            rows = self.feasible & (self.application_of_row == place)
            values = self.objective[rows]
            if len(values) < MINIMUM_FEASIBLE:
                raise DataError(
                    f"the log has {len(values)} feasible designs{where}; training needs at least "
                    f"{MINIMUM_FEASIBLE}"
                )
            if np.ptp(np.log(values)) < 1e-9:
                raise DataError(
                    f"all {len(values)} feasible designs{where} have the objective {values[0]}: it shows "
                    "nothing to learn"
                )
            for metric_name, known in self.metrics.items():
                if np.isnan(known[rows]).all():
                    raise DataError(f"metric {metric_name!r} is unknown on every feasible design{where}")
        for name, metric in self.metrics.items():
            if np.isinf(metric).any():
                row = int(np.flatnonzero(np.isinf(metric))[0])
                raise DataError(
                    f"row {row}: metric {name!r} is {metric[row]}; it must be finite, or NaN where unknown"
                )

    def _check_contexts(self) -> None:
        count = len(self.applications)
        if len(set(self.applications)) < count:
            raise DataError(f"an application is named twice: {', '.join(self.applications)}")
        if self.contexts is None:
            if count > 1 or self.application is not None:
                raise DataError("several applications need a context each: the features of its workload")
            return
        shape = self.contexts.shape
        if len(shape) != 2 or shape[0] != max(count, 1):
            raise DataError(f"contexts have shape {shape}; {count} applications need ({count}, features)")
        if not np.isfinite(self.contexts).all():
            place = int(np.flatnonzero(~np.isfinite(self.contexts).all(axis=1))[0])
            raise DataError(f"the context of {self.applications[place]} is not finite")
        if self.application is None:
            if count > 1:
                raise DataError(f"{count} applications need to be told for each design")
        elif (
            self.application.shape != (len(self.ranks),)
            or not np.issubdtype(self.application.dtype, np.integer)
            or ((self.application < 0) | (self.application >= count)).any()
        ):
            raise DataError(f"application must be {len(self.ranks)} integers from 0 to {count - 1}")

    @cached_property
    def application_of_row(self) -> NDArray[np.integer]:
        """Which application each design was logged for: zeros where there is but one."""
        return np.zeros(len(self.ranks), np.intp) if self.application is None else self.application

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of the log."""
        if self.log_sha256:
            return self.log_sha256
        digest = hashlib.sha256()
        digest.update(np.ascontiguousarray(self.ranks, "<u2").tobytes())
        digest.update(np.where(self.feasible, self.objective, np.nan).astype("<f8").tobytes())
        digest.update(self.feasible.tobytes())
        if self.contexts is not None:
            digest.update(json.dumps(self.applications).encode())
            digest.update(np.ascontiguousarray(self.contexts, "<f8").tobytes())
            digest.update(self.application_of_row.astype("<i8").tobytes())
        for name, metric in sorted(self.metrics.items()):
            digest.update(name.encode() + b"\0" + metric.astype("<f8").tobytes())
        return digest.hexdigest()


def check_ranks(space: DesignSpace, ranks: NDArray[np.integer]) -> None:
    """Raise DataError unless ``ranks`` are integers of shape (n, parameters) within the space."""
    cardinalities = np.asarray(space.cardinalities)
    if ranks.ndim != 2 or ranks.shape[1] != len(cardinalities) or not np.issubdtype(ranks.dtype, np.integer):
        raise DataError(
            f"ranks have shape {ranks.shape} and type {ranks.dtype}; "
            f"they must be integers of shape (designs, {len(cardinalities)})"
        )
    outside = (ranks < 0) | (ranks >= cardinalities)
    if outside.any():
        row, column = (int(index[0]) for index in np.nonzero(outside))
        raise DataError(
            f"row {row}: rank {ranks[row, column]} of {space.names[column]!r} "
            f"is not below its {cardinalities[column]} values"
        )
