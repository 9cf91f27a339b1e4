"""The learned cost model: trained on logged designs only, cautious about designs that no log contains.

``train`` fits an ensemble of networks to a `TrainingData` and returns a `Surrogate`, which predicts and
scores batches for the search. Importing this package imports JAX.
"""

from prime_fast.surrogate.contexts import FEATURES, context_of
from prime_fast.surrogate.data import TrainingData
from prime_fast.surrogate.settings import PRESETS, TrainingSettings
from prime_fast.surrogate.surrogate import Prediction, Surrogate
from prime_fast.surrogate.training import TrainingInterrupted, train

__all__ = [
    "FEATURES",
    "PRESETS",
    "Prediction",
    "Surrogate",
    "TrainingData",
    "TrainingInterrupted",
    "TrainingSettings",
    "context_of",
    "train",
]
