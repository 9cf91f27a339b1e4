"""Gradient-boosted trees (LightGBM) in the place of networks: a baseline."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import kendalltau

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.recording import held_out_event, thinned
from prime_fast.surrogate.data import Scale, check_ranks
from prime_fast.surrogate.surrogate import Prediction

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from prime_fast.space import DesignSpace
    from prime_fast.surrogate.data import TrainingData
    from prime_fast.surrogate.training import Record

PARAMETERS: Mapping[str, Any] = MappingProxyType(
    {
        # LightGBM's own defaults, written down so that another release can't change a baseline.
        "learning_rate": 0.1,
        "min_data_in_leaf": 20,
        "lambda_l2": 0.0,
        "feature_fraction": 1.0,
        "bagging_fraction": 1.0,
        # The same trees at any number of threads.
        "deterministic": True,
        "force_row_wise": True,
        # Logs are small: threads wait for one another longer than they work.
        "num_threads": 1,
        "verbosity": -1,
    }
)
LEAVES = (7, 31)
"""Leaves a tree to choose from; 31 is LightGBM's default."""
ROUNDS = (100, 300, 1000)
"""Numbers of trees to choose from; 100 is LightGBM's default, which all but the objective's model have."""
HOLDOUT = 0.2
"""Share of the feasible designs, the best ones, that the choice is made on, as for networks."""
GATE = 0.5
"""Probability of being feasible below which the search counts a design as infeasible: that is likelier then.

Trees see the log as it is, so that theirs is the probability among designs as logged. Networks see as many
infeasible designs as feasible ones, and have a gate of their own (`TrainingSettings.gate`).
"""


@dataclass(frozen=True, eq=False)
class Trees:
    """Boosted trees for the logarithm of the objective, and others for being feasible.

    Attributes
    ----------
    space : DesignSpace
    regressor : lightgbm.Booster
    classifier : lightgbm.Booster or None
        None where the logs had no infeasible designs to learn from.
    metrics : mapping of str to (lightgbm.Booster, Scale)
        Of each learned metric.
    features : int
        Length of a context; 0 where the trees were trained without.
    selection : mapping
        The chosen leaves and number of trees, and Kendall's tau of each choice; JSON-able.
    """

    space: DesignSpace
    regressor: Any
    classifier: Any
    metrics: Mapping[str, tuple[Any, Scale]]
    features: int
    selection: Mapping[str, Any]

    def predict(self, ranks: NDArray[np.integer], context: ArrayLike | None = None) -> Prediction:
        """Predict designs.

        Parameters
        ----------
        ranks : ndarray of shape (n, parameters), integer
        context : array_like of shape (features,), float, optional
            Of the application; needed where the trees were trained with contexts.

        Returns
        -------
        Prediction
            Its deviation is 0.0, since there is one model.

        Raises
        ------
        DataError
            If ranks lie outside the space, or the context is not of the length trained with.
        """
        inputs = self._inputs(ranks, context)
        scores = _evaluated(self.regressor, inputs)
        metrics = {name: self._metric(name, inputs) for name in self.metrics}
        return Prediction(np.exp(scores), np.zeros(len(ranks)), self._probability(inputs), metrics)

    def search_score(
        self,
        ranks: NDArray[np.integer],
        context: ArrayLike | None = None,
        limits: Mapping[str, float] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score designs for the search, lower being better.

        Parameters
        ----------
        ranks, context
            As for `predict`.
        limits : mapping of learned metric to largest value, optional

        Returns
        -------
        scores : ndarray of shape (n,), float64
            The predicted logarithm of the objective.
        violations : ndarray of shape (n,), float64
            How far the probability of being feasible lies below `GATE`, plus by what share a learned metric
            exceeds its limit; 0.0 where neither is the case.
        """
        if unknown := [name for name in limits or () if name not in self.metrics]:
            raise ConfigurationError(
                f"limit {unknown[0]}: the trees learned no such metric; "
                f"they know {', '.join(self.metrics) or 'none'}"
            )
        inputs = self._inputs(ranks, context)
        violations = np.maximum(0.0, GATE - self._probability(inputs))
        for name, limit in (limits or {}).items():
            violations += np.maximum(0.0, self._metric(name, inputs) / limit - 1.0)
        return _evaluated(self.regressor, inputs), violations

    def _metric(self, name: str, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        model, scale = self.metrics[name]
        return scale.original(_evaluated(model, inputs))

    def _probability(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.classifier is None:
            return np.ones(len(inputs))
        return _evaluated(self.classifier, inputs)

    def _inputs(self, ranks: NDArray[np.integer], context: ArrayLike | None) -> NDArray[np.float64]:
        check_ranks(self.space, ranks)
        features = np.zeros(0) if context is None else np.asarray(context, np.float64)
        if features.shape != (self.features,) or not np.isfinite(features).all():
            raise DataError(
                f"a context of shape {features.shape} was given; "
                f"the trees need {self.features} finite numbers, as they were trained with"
            )
        repeated = np.broadcast_to(features, (len(ranks), self.features))
        return np.concatenate([ranks.astype(np.float64), repeated], axis=1)


def train_trees(data: TrainingData, seed: int = 0, record: Record | None = None) -> Trees:
    """Fit trees to the log of one application or of several.

    Leaves and number of trees are those that rank the best fifth of each application's feasible designs
    best (mean of Kendall's tau) when trained on the rest; then all designs are trained on.

    Parameters
    ----------
    data : TrainingData
        Contexts become further inputs.
    seed : int
        The same seed gives the same trees.
    record : callable, optional
        Called with each choice and its tau (``event`` is ``"candidate"``), then with the one made
        (``"selected"``).

    Raises
    ------
    ConfigurationError
        If LightGBM is not installed.
    """
    fit = _Fit(data.space, seed)
    features = np.zeros((1, 0)) if data.contexts is None else data.contexts
    application = data.application_of_row
    inputs = np.concatenate([data.ranks.astype(np.float64), features[application]], axis=1)
    good = data.feasible
    targets = np.log(data.objective[good])
    tried, told = _candidates(fit, inputs[good], targets, application[good])
    # Of equal ones the smaller.
    place = max(
        range(len(tried)),
        key=lambda place: (tried[place]["tau"], -tried[place]["rounds"], -tried[place]["leaves"]),
    )
    chosen = tried[place]
    leaves, rounds = int(chosen["leaves"]), int(chosen["rounds"])
    if record is not None:
        for choice in tried:
            record({"event": "candidate", **choice})
        record({"event": "selected", **chosen})
        names = data.applications or ("",)
        shown = [(names[number], _held_out(*parts)) for number, *parts in told[place]]
        record(held_out_event(shown))
    regressor = fit("regression", inputs[good], targets, leaves, rounds)
    classifier = None
    if not good.all():
        classifier = fit("binary", inputs, good.astype(np.float64), LEAVES[-1], ROUNDS[0])
    metrics = {}
    for name, values in data.metrics.items():
        known = np.isfinite(values)
        scale = Scale.fitted(values)
        targets = scale.standardised(values[known]).astype(np.float64)
        metrics[name] = (fit("regression", inputs[known], targets, LEAVES[-1], ROUNDS[0]), scale)
    selection = {"leaves": leaves, "rounds": rounds, "candidates": tried}
    return Trees(data.space, regressor, classifier, metrics, features.shape[1], selection)


class _Fit:
    """Trains trees on the inputs of one space."""

    def __init__(self, space: DesignSpace, seed: int) -> None:
        self.lightgbm = _lightgbm()
        self.parameters = dict(PARAMETERS) | {"seed": seed % (1 << 31)}
        # Two values are split alike in either kind; more that have no order are split into any two sets.
        self.unordered = [
            column
            for column, (kind, cardinality) in enumerate(zip(space.kinds, space.cardinalities, strict=True))
            if kind == "categorical" and cardinality > 2
        ]

    def __call__(
        self,
        objective: str,
        rows: NDArray[np.float64],
        targets: NDArray[np.float64],
        leaves: int,
        rounds: int,
    ) -> Any:
        # Of few designs some splits rather than none.
        least = max(1, min(int(PARAMETERS["min_data_in_leaf"]), len(rows) // 10))
        parameters = self.parameters | {
            "objective": objective,
            "num_leaves": leaves,
            "min_data_in_leaf": least,
        }
        dataset = self.lightgbm.Dataset(rows, label=targets, categorical_feature=self.unordered)
        return self.lightgbm.train(parameters, dataset, num_boost_round=rounds)


def _candidates(
    fit: _Fit, rows: NDArray[np.float64], targets: NDArray[np.float64], application: NDArray[np.integer]
) -> tuple[list[dict[str, float]], list[list[tuple[int, NDArray[np.float64], NDArray[np.float64]]]]]:
    """Return each choice of leaves and rounds with its tau on each application's best designs, held out.

    And what each predicts of these: application, predictions and truth, all logarithms.
    """
    held = []
    for place in np.unique(application):
        own = np.flatnonzero(application == place)
        best = np.argsort(targets[own], kind="stable")[: max(2, round(HOLDOUT * len(own)))]
        held.append(own[best])
    rest = np.setdiff1d(np.arange(len(rows)), np.concatenate(held))
    tried, told = [], []
    for leaves in LEAVES:
        model = fit("regression", rows[rest], targets[rest], leaves, ROUNDS[-1])
        for rounds in ROUNDS:
            parts = [
                (
                    int(application[some[0]]),
                    np.asarray(model.predict(rows[some], num_iteration=rounds, num_threads=1), np.float64),
                    targets[some],
                )
                for some in held
            ]
            taus = [kendalltau(predicted, truth).statistic for _, predicted, truth in parts]
            # Where all are predicted or measured alike there is no tau: it ranks nothing.
            tried.append({"leaves": leaves, "rounds": rounds, "tau": float(np.mean(np.nan_to_num(taus)))})
            told.append(parts)
    return tried, told


def _held_out(predicted: NDArray[np.float64], truth: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    rows = thinned(np.arange(len(truth)))
    return {
        "feasible": np.ones(len(rows), np.bool_),
        "logged": np.exp(truth[rows]),
        "predicted": np.exp(predicted[rows]),
        # One model, and no infeasible designs held out.
        "deviation": np.zeros(len(rows)),
        "feasible_probability": np.full(len(rows), np.nan),
    }


def _evaluated(model: Any, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    # Rows don't wait for one another: here more threads pay.
    return np.asarray(model.predict(inputs, num_threads=0), np.float64)


def _lightgbm() -> Any:
    try:
        return importlib.import_module("lightgbm")
    except ImportError as error:
        raise ConfigurationError(
            f"the method `trees` needs LightGBM ({error}): pip install 'prime-fast[baselines]'"
        ) from None


__all__ = ["Trees", "train_trees"]
