"""What a surrogate of several applications knows of each: features of the workload, not its name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prime_fast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from prime_fast.workload import Application

FEATURES = (
    "conv_layers", "depthwise_layers", "feed_forward_layers", "recurrent_layers", "parameter_bytes", "macs",
    "vector_operations", "activation_bytes", "largest_activation_bytes", "largest_parameter_bytes",
    "largest_macs", "macs_per_byte", "macs_per_parameter_byte",
)  # fmt: skip
"""Names of the features that `context_of` computes, in their order."""
FARTHEST = 3.0
"""Deviations beyond which a feature counts as no farther: networks say nothing sensible there."""


def context_of(application: Application) -> NDArray[np.float64]:
    """Return the features of a workload.

    Returns
    -------
    ndarray of shape (13,), float64
        ``log(1 + x)`` of each of `FEATURES`: numbers of layers by kind, bytes of weights and of activations
        read and written, MACs, the largest of each in one layer, and the arithmetic intensities MACs / (bytes
        of weights and activations) and MACs / bytes of weights.
    """
    totals: dict[str, float] = {**application.totals}  # type: ignore[dict-item]
    totals["macs_per_byte"] = totals["macs"] / (totals["parameter_bytes"] + totals["activation_bytes"])
    totals["macs_per_parameter_byte"] = totals["macs"] / max(totals["parameter_bytes"], 1)
    return np.array([math.log1p(totals[name]) for name in FEATURES])


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
