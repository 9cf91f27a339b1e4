"""scikit-learn: the surrogate as a regressor of designs, by that library's conventions.

Needs scikit-learn: ``pip install 'prime-fast[sklearn]'``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.space import DesignSpace
from prime_fast.surrogate import Surrogate, TrainingData, TrainingSettings, train

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.space import Ranks


class SurrogateRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The ensemble that `train` fits, from a table of designs to their objective.

    Parameters
    ----------
    space : DesignSpace, optional
        PRIME's by default.
    budget : {"quick", "standard", "thorough"}
    architecture : {"mlp", "transformer"}
    settings : dict, optional
        Fields of `TrainingSettings` that differ from the budget's.
    limits : dict of str to float, optional
        As for `train`.
    random_state : int

    Attributes
    ----------
    surrogate_ : Surrogate
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    Notes
    -----
    ``X`` is a frame with a column a parameter (polars, pandas, or whatever turns into a polars frame), or an
    array of shape (n, parameters) of values in the space's order. ``y`` is positive, NaN where a design is
    infeasible. Values outside a parameter's list are refused.
    """

    def __init__(
        self,
        space: DesignSpace | None = None,
        *,
        budget: str = "quick",
        architecture: str = "mlp",
        settings: dict[str, Any] | None = None,
        limits: dict[str, float] | None = None,
        random_state: int = 0,
    ) -> None:
        self.space = space
        self.budget = budget
        self.architecture = architecture
        self.settings = settings
        self.limits = limits
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train on designs and their objective.

        Raises
        ------
        ConfigurationError, DataError
            If a setting is unknown, a value is not its parameter's, or there is too little to learn from.
        """
        space = DesignSpace.bundled() if self.space is None else self.space
        ranks = self._ranks(X, space)
        try:
            objective = np.asarray(y, np.float64)
        except (TypeError, ValueError):
            raise DataError("y must be numbers, NaN where a design is infeasible") from None
        if objective.shape != (len(ranks),):
            raise DataError(f"y has shape {objective.shape}; {len(ranks)} designs need ({len(ranks)},)")
        settings = TrainingSettings.preset(self.budget, self.architecture)
        given = {**settings.to_dict(), **(self.settings or {})}
        settings = dataclasses.replace(TrainingSettings.from_dict(given))
        data = TrainingData(space, ranks, objective, ~np.isnan(objective))
        self.surrogate_: Surrogate = train(data, settings, self.random_state, limits=self.limits)
        self.n_features_in_ = space.dimensions
        self.feature_names_in_ = np.array(space.names, dtype=object)
        return self

    def predict(self, X: Any, *, return_std: bool = False) -> Any:
        """Return the predicted objective, shape (n,), and if asked the deviation of its logarithm.

        The deviation is that of the ensemble, in the unit of the natural logarithm of the objective.
        """
        check_is_fitted(self)
        prediction = self.surrogate_.predict(self._ranks(X, self.surrogate_.space))
        if not return_std:
            return prediction.objective
        return prediction.objective, prediction.deviation * self.surrogate_.objective.deviation

    def predict_feasible(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of being feasible, shape (n,)."""
        check_is_fitted(self)
        return self.surrogate_.predict(self._ranks(X, self.surrogate_.space)).feasible_probability

    def _ranks(self, X: Any, space: DesignSpace) -> Ranks:
        if hasattr(X, "columns") and not isinstance(X, np.ndarray):
            try:
                frame = (
                    X if isinstance(X, pl.DataFrame) else pl.DataFrame({name: X[name] for name in X.columns})
                )
            except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
                raise DataError(f"X can't be read as a table: {error}") from None
            return space.ranks_from_frame(frame)
        values = np.asarray(X)
        if values.ndim != 2 or values.shape[1] != space.dimensions:
            raise ConfigurationError(
                f"X has shape {values.shape}; it must be (designs, {space.dimensions}), the parameters "
                f"{', '.join(space.names)}"
            )
        lists = zip(space.names, values.T.tolist(), strict=True)
        return space.ranks_from_frame(pl.DataFrame([pl.Series(*one, strict=False) for one in lists]))


__all__ = ["SurrogateRegressor"]
