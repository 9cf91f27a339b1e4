"""What training can be told to do, with the presets behind ``--budget``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from prime_fast.errors import ConfigurationError

MOST_LAYERS = 64
CHOICES = {
    "architecture": ("mlp", "transformer"),
    "conditioning": ("product", "film", "concat"),
    "push": ("hinge", "linear"),
    "adversarial_search": ("genetic", "firefly", "differential_evolution", "local_search"),
}


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of the networks, of their training and of how the search is to read them."""

    architecture: Literal["mlp", "transformer"] = "mlp"
    width: int = 128
    """Hidden units of a layer of the MLP."""
    depth: int = 2
    """Hidden layers of the MLP."""
    token_width: int = 64
    """Width of a token of the transformer; what follows is the transformer's too, as published."""
    blocks: int = 2
    heads: int = 8
    feed_forward: int = 256
    """Hidden units of a block's feed-forward part."""
    mixtures: int = 4
    """Output layers that a gate mixes."""
    conditioning: Literal["product", "film", "concat"] = "concat"
    """How the context of an application meets a design, where there are several; see `Conditioning`."""

    members: int = 8
    """Networks in the ensemble; they differ in their initial weights."""
    steps: int = 1000
    """Steps of the final fit, on the whole log."""
    selection_steps: int = 500
    """Steps of the training by which alpha, beta and the share of ``steps`` to go are chosen."""
    batch: int = 256
    """Feasible designs a step; as many infeasible ones are drawn beside them."""
    learning_rate: float = 5e-3
    """AdamW's at the start; it falls to zero along a cosine."""
    weight_decay: float = 1e-4
    feasibility_weight: float = 1.0
    """Weight of the feasibility head's cross-entropy; with 0.0 the search has no gate."""
    censoring: float | None = 0.2
    """Deviations of the log over which infeasible designs that are predicted to be better than all feasible
    ones cease to count, as no feasible one could be logged beside them; see `losses`. None: all count. A
    deviation of the log, here and below, is the standard deviation of the logarithm of the objective over the
    feasible designs of all applications together, so that where these differ it is mostly between them."""
    constraint_chance: float | None = 1e-6
    """Probability that chance alone gives a limit that is learned from infeasible designs; see `constraints`.
    None: no limits are learned."""
    ranking_weight: float = 0.0
    """Weight of the loss that ranks the best designs logged before the rest."""
    near_optimal: float = 0.2
    """Share of an application's feasible designs that this loss takes to be the best."""

    push: Literal["hinge", "linear"] = "hinge"
    """Whether the pushes end where a design is predicted no better than the log, or never, as in PRIME."""
    alphas: tuple[float, ...] = (0.0, 0.001)
    """Candidates for the weight of the push on adversarial designs."""
    betas: tuple[float, ...] = (0.0, 0.001)
    """Candidates for the weight of the push on infeasible designs."""
    overestimation: float | None = None
    """By how many deviations of the log adversarial designs may be predicted better than logged ones: alpha,
    from its candidate on, rises while they exceed it, else falls (COMs). None: alpha is fixed."""
    alpha_rate: float = 0.01
    """Step size of that ascent on alpha."""
    holdout: float = 0.2
    """Share of the feasible designs, the best ones, that the choice between candidates is made by."""
    checkpoints: int = 4
    """Points of the training between which that choice is made too."""
    adversarial_search: Literal["genetic", "firefly", "differential_evolution", "local_search"] = "genetic"
    """Search that looks for adversarial designs."""
    adversarial_period: int = 20
    """Training steps between two generations of the adversarial search."""
    adversarial_restart: int = 25
    """Generations after which that search starts afresh."""
    adversarial_population: int = 128
    """Designs a generation: the adversarial batch."""

    gate: float = 0.8
    """Probability of being feasible below which a design counts as infeasible in the search."""
    pessimism: float = 0.0
    """Deviations of the ensemble added to its mean in the score that the search sees: an upper confidence
    bound of a quantity that is minimised, or a lower one where it is negative."""

    def __post_init__(self) -> None:
        """Check every value, so that no impossible setting reaches a compiled function."""
        for name in (
            "width", "depth", "token_width", "blocks", "heads", "feed_forward", "mixtures", "members",
            "steps", "selection_steps", "batch", "checkpoints", "adversarial_period", "adversarial_restart",
            "adversarial_population",
        ):  # fmt: skip
            value = getattr(self, name)
            # Layers are made one by one: a surrogate's file must not be able to ask for a million.
            most = MOST_LAYERS if name in ("depth", "blocks") else 2**31 - 1
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                _reject(name, value, f"an integer from 1 to {most}")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                _reject(name, getattr(self, name), " or ".join(repr(value) for value in known))
        for name in ("learning_rate", "weight_decay", "feasibility_weight", "ranking_weight", "alpha_rate"):
            _check_number(name, getattr(self, name))
        # Of either sign: a search with a simulator in the loop may be optimistic.
        if isinstance(self.pessimism, bool) or not isinstance(self.pessimism, int | float):
            _reject("pessimism", self.pessimism, "a finite number")
        if not math.isfinite(self.pessimism):
            _reject("pessimism", self.pessimism, "a finite number")
        for name in ("overestimation", "censoring", "constraint_chance"):
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name))
        if self.censoring == 0.0:
            _reject("censoring", self.censoring, "a positive number or None")
        if self.constraint_chance is not None and not 0.0 < self.constraint_chance < 1.0:
            _reject("constraint_chance", self.constraint_chance, "a number between 0 and 1 or None")
        for name in ("holdout", "gate", "near_optimal"):
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
        if self.token_width % self.heads:
            _reject("token_width", self.token_width, f"a multiple of heads = {self.heads}")

    @property
    def candidates(self) -> list[tuple[float, float]]:
        """Every pair of an alpha and a beta to choose from, by rising strength of the push."""
        pairs = {(alpha, beta) for alpha in self.alphas for beta in self.betas}
        return sorted(pairs, key=lambda pair: (sum(pair), pair))

    @classmethod
    def preset(cls, budget: str, architecture: str = "mlp") -> TrainingSettings:
        """Return a budget's settings; ConfigurationError if it or the architecture is unknown."""
        if budget not in PRESETS:
            raise ConfigurationError(f"unknown budget {budget!r}; known: {', '.join(PRESETS)}")
        chosen: Any = {"architecture": architecture}
        settings = dataclasses.replace(PRESETS[budget], **chosen)
        if architecture == "mlp":
            return settings
        # A transformer costs far more a step: fewer members and steps, at the price of its fit.
        steps = settings.steps // 4
        return dataclasses.replace(settings, members=2, steps=steps, selection_steps=steps // 2)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-able values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """Return settings from ``to_dict``'s values; ConfigurationError if a name or a value is wrong."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            listing = ", ".join(sorted(known))
            raise ConfigurationError(f"unknown training setting {unknown[0]!r}; known: {listing}")
        listed: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**listed)


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < math.inf:
        _reject(name, value, "a finite number of at least 0")


def _reject(name: str, value: object, right: str) -> None:
    raise ConfigurationError(f"training setting {name} is {value!r}; it must be {right}")


PRESETS: Mapping[str, TrainingSettings] = MappingProxyType(
    {
        "quick": TrainingSettings(members=4, steps=500, selection_steps=250),
        "standard": TrainingSettings(),
        "thorough": TrainingSettings(steps=4000, selection_steps=1000, members=16),
    }
)
"""Settings by the name of a budget."""
