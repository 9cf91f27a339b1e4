"""What training can be told to do, with the presets behind ``--budget``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from prime_fast.errors import ConfigurationError


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of the networks, of their training and of how the search is to read them."""

    architecture: Literal["mlp", "transformer"] = "mlp"
    width: int = 128
    """Hidden units of the MLP; width of a token of the transformer."""
    depth: int = 2
    """Hidden layers of the MLP; blocks of the transformer."""
    heads: int = 8
    """Attention heads (transformer only)."""
    feed_forward: int = 256
    """Hidden units of a block's feed-forward part (transformer only)."""
    mixtures: int = 4
    """Output layers that a gate mixes (transformer only)."""

    members: int = 8
    """Networks in the ensemble; they differ in their initial weights."""
    steps: int = 2000
    """Steps of training, of the selection and of the final fit each."""
    batch: int = 256
    """Feasible designs a step; as many infeasible ones are drawn beside them."""
    learning_rate: float = 1e-3
    """Adam's, at the start; it falls to zero along a cosine."""
    weight_decay: float = 1e-4
    feasibility_weight: float = 1.0
    """Weight of the feasibility head's cross-entropy."""

    alphas: tuple[float, ...] = (0.0, 0.01)
    """Candidates for the weight of the push on adversarial designs."""
    betas: tuple[float, ...] = (0.0, 0.01)
    """Candidates for the weight of the push on infeasible designs."""
    adversarial_period: int = 20
    """Training steps between two generations of the adversarial search."""
    adversarial_restart: int = 25
    """Generations after which that search starts afresh."""
    adversarial_population: int = 128
    """Designs a generation: the adversarial batch."""
    holdout: float = 0.2
    """Share of the feasible designs, the best ones, held out for the choice of alpha, beta and the checkpoint."""
    checkpoints: int = 4
    """Points of the training between which that choice is made."""

    gate: float = 0.5
    """Probability of being feasible below which a design counts as infeasible in the search."""
    pessimism: float = 0.0
    """Deviations of the ensemble added to its mean in the score that the search sees."""

    def __post_init__(self) -> None:
        """Check every value, so that no impossible setting reaches a compiled function."""
        if self.architecture not in ("mlp", "transformer"):
            _reject("architecture", self.architecture, "'mlp' or 'transformer'")
        for name in (
            "width", "depth", "heads", "feed_forward", "mixtures", "members", "steps", "batch",
            "adversarial_period", "adversarial_restart", "adversarial_population", "checkpoints",
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**31 - 1:
                _reject(name, value, "an integer of at least 1")
        for name in ("learning_rate", "weight_decay", "feasibility_weight", "pessimism"):
            _check_number(name, getattr(self, name))
        for name in ("holdout", "gate"):
            _check_number(name, getattr(self, name))
            if getattr(self, name) >= 1.0:
                _reject(name, getattr(self, name), "a number of at least 0 and less than 1")
        for name in ("alphas", "betas"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or not values:
                _reject(name, values, "a tuple of at least one number")
            for value in values:
                _check_number(name, value)
        if self.learning_rate == 0.0:
            _reject("learning_rate", self.learning_rate, "a positive number")
        if self.architecture == "transformer" and self.width % self.heads:
            _reject("width", self.width, f"a multiple of heads = {self.heads}")

    @property
    def candidates(self) -> list[tuple[float, float]]:
        """Every pair of an alpha and a beta to choose from; the first is used where no choice is possible."""
        return [(alpha, beta) for alpha in self.alphas for beta in self.betas]

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-able values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """Return settings from ``to_dict``'s values; ConfigurationError for an unknown name or a wrong value."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigurationError(f"unknown training setting {unknown[0]!r}; known: {', '.join(sorted(known))}")
        listed = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**listed)


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0.0:
        _reject(name, value, "a finite number of at least 0")


def _reject(name: str, value: object, right: str) -> None:
    raise ConfigurationError(f"training setting {name} is {value!r}; it must be {right}")


PRESETS: Mapping[str, TrainingSettings] = MappingProxyType(
    {
        "quick": TrainingSettings(steps=600),
        "standard": TrainingSettings(),
        "thorough": TrainingSettings(steps=8000, members=16),
    }
)
"""Settings by the name of a budget."""
