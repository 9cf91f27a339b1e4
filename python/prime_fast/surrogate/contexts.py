"""What a surrogate of several applications knows of each: features of the workload, not its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prime_fast.errors import DataError
from prime_fast.workload import FEATURES, context_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["FARTHEST", "FEATURES", "ContextScale", "context_of"]

FARTHEST = 3.0
"""Deviations beyond which a feature counts as no farther: networks say nothing sensible there."""


@dataclass(frozen=True)
class ContextScale:
    """The affine map from features of applications to what a network sees; hashable.

    A feature that is the same in all applications of the log becomes 0.0 everywhere.
    """

    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @classmethod
    def fitted(cls, contexts: NDArray[np.float64]) -> ContextScale:
        """Return the scale that standardises the rows of ``contexts``."""
        spread = contexts.std(axis=0)
        spread[spread < 1e-9 * (1.0 + np.abs(contexts).max(axis=0, initial=0.0))] = 0.0
        return cls(tuple(contexts.mean(axis=0).tolist()), tuple(spread.tolist()))

    @property
    def features(self) -> int:
        """Number of features."""
        return len(self.mean)

    def standardised(self, context: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the context of one application, or a row of each of several, as a network sees it.

        Raises
        ------
        DataError
            If it has another number of features, or one that is not finite.
        """
        values = np.asarray(context, np.float64)
        if values.ndim not in (1, 2) or values.shape[-1] != self.features or not np.isfinite(values).all():
            raise DataError(
                f"the context of an application has shape {values.shape}; it must be {self.features} "
                "finite numbers, as those of the log"
            )
        deviation = np.asarray(self.deviation)
        scaled = (values - np.asarray(self.mean)) / np.where(deviation > 0.0, deviation, 1.0)
        return np.where(deviation > 0.0, np.clip(scaled, -FARTHEST, FARTHEST), 0.0).astype(np.float32)
