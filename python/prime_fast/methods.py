"""The named ways to proposals: what each trains, and what it leaves out.

What `prime` takes over from the paper (arXiv 2110.11346): one transformer; squared error on feasible designs;
pushes without an end on infeasible designs (beta) and on adversarial ones (alpha), of which a search makes a
generation a training step and starts afresh every so many; alpha, beta and checkpoint by Kendall's tau on the
best fifth of the log; firefly as the search, while training and after it; the context by a product. Where it
can't be followed or isn't told: targets are standardised logarithms instead of raw runtimes; a learning rate
of 1e-3 along a cosine instead of 1e-4, for 2,000 steps (of the standard budget) instead of many more; the
grids of alpha and beta.

`default` differs by an ensemble, numeric inputs beside one-hot ones in an MLP that costs a tenth, a network
that learns what is feasible and gates the search, limits learned from infeasible designs, and pushes that end
where a design is predicted no better than the log. `default-no-...` lack one of these parts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from prime_fast.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from prime_fast.surrogate import TrainingSettings


@dataclass(frozen=True)
class Method:
    """A way to proposals.

    Attributes
    ----------
    title : str
        What it does, in a line.
    kind : {"network", "trees", "random", "logged"}
        What it trains, if anything.
    changes : mapping of str to value
        Settings of a network that differ from those of the budget.
    infeasible : bool
        Whether it sees infeasible designs.
    search : str
        The search that minimises the surrogate.
    architecture : {"mlp", "transformer"}
        The network's, unless another is asked for.
    effort : int
        Multiple of the budget's steps for which it trains; 0 for as many as the budget has for the
        architecture, which are fewer for a transformer.
    """

    title: str
    kind: Literal["network", "trees", "random", "logged"] = "network"
    changes: Mapping[str, Any] = field(default_factory=dict)
    infeasible: bool = True
    search: str = "genetic"
    architecture: Literal["mlp", "transformer"] = "mlp"
    effort: int = 0

    def settings(self, budget: str, architecture: str | None = None) -> TrainingSettings:
        """Return the settings of the network it trains; ConfigurationError if an argument is unknown."""
        from prime_fast.surrogate import TrainingSettings

        settings = TrainingSettings.preset(budget, architecture or self.architecture)
        if self.effort:
            # Of an MLP's budget: what a transformer costs is its own affair.
            mlp = TrainingSettings.preset(budget)
            steps, selection_steps = self.effort * mlp.steps, self.effort * mlp.selection_steps
            settings = dataclasses.replace(settings, steps=steps, selection_steps=selection_steps)
        return dataclasses.replace(settings, **self.changes)


_PRIME: dict[str, Any] = {
    "members": 1,
    "push": "linear",
    "feasibility_weight": 0.0,
    "censoring": None,
    "alphas": (0.01, 0.1, 1.0),
    "betas": (0.01, 0.1, 1.0),
    "adversarial_period": 1,
    "adversarial_search": "firefly",
    "conditioning": "product",
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
}
_PUBLISHED: dict[str, Any] = {"search": "firefly", "architecture": "transformer", "effort": 2}
_PLAIN: dict[str, Any] = {"alphas": (0.0,), "betas": (0.0,), "feasibility_weight": 0.0}
_COMS: dict[str, Any] = {
    **_PLAIN,
    "members": 1,
    "push": "linear",
    # COMs allow an over-estimation of half a deviation (arXiv 2107.06882, appendix).
    "overestimation": 0.5,
    "adversarial_period": 1,
}

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "default": Method("ensemble with a feasibility head, as the benchmark shows to be best"),
        "default-no-constraints": Method(
            "the default without limits learned from infeasible designs", changes={"constraint_chance": None}
        ),
        "default-no-censoring": Method(
            "the default learning from all infeasible designs", changes={"censoring": None}
        ),
        "default-no-gate": Method(
            "the default without learning what is feasible", changes={"feasibility_weight": 0.0}
        ),
        "default-no-ensemble": Method("the default with one network", changes={"members": 1}),
        "prime": Method("PRIME as published", changes=_PRIME, **_PUBLISHED),
        "prime-no-adversarial": Method(
            "PRIME without adversarial designs",
            changes={**_PRIME, "alphas": (0.0,)},
            **_PUBLISHED,
        ),
        "prime-no-infeasible": Method(
            "PRIME without infeasible designs",
            changes={**_PRIME, "betas": (0.0,)},
            infeasible=False,
            **_PUBLISHED,
        ),
        "coms": Method("conservative objective models", changes=_COMS, infeasible=False),
        "ensemble": Method("plain regression by an ensemble", changes=_PLAIN, infeasible=False),
        "regression": Method(
            "plain regression by one network", changes={**_PLAIN, "members": 1}, infeasible=False
        ),
        "trees": Method("gradient-boosted trees", kind="trees"),
        "random": Method("random designs within the limits", kind="random"),
        "best-logged": Method("the best designs logged", kind="logged"),
    }
)


def method_named(name: str) -> Method:
    """Return a method; ConfigurationError with the names if there is none such."""
    if name not in METHODS:
        raise ConfigurationError(
            f"unknown method `{name}`{did_you_mean(name, METHODS)}; known: {', '.join(METHODS)}"
        )
    return METHODS[name]
