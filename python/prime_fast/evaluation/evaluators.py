"""What tells the objective of designs: a function, the bundled simulator, or anything of that shape.

An evaluator takes `Designs` and yields `Part` after part of their results; see `results`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import polars as pl

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.evaluation.results import Designs, Part, checked_results

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.simulator import Simulator


@runtime_checkable
class Evaluator(Protocol):
    """What tells the objective of designs."""

    def evaluate(self, designs: Designs) -> Iterator[Part]:
        """Yield results in any order, all of them once, each as soon as it is there.

        Closing the iterator ends what is under way.
        """


Answer: TypeAlias = "pl.DataFrame | Mapping[str, Any] | Sequence[float] | NDArray[np.float64]"


def evaluate(evaluator: Evaluator, designs: Designs) -> pl.DataFrame:
    """Return the results of all designs in their order; see the module for the columns."""
    parts = sorted(evaluator.evaluate(designs), key=lambda part: part.first)
    return pl.concat([part.results for part in parts])


@dataclass(frozen=True, eq=False)
class CallableEvaluator:
    """A function from `Designs` to their objective.

    Attributes
    ----------
    function : callable
        Returns numbers, one a design, NaN where infeasible; or a frame or mapping of columns with the
        objective's name, those of the metrics, and perhaps ``feasible`` and ``reason``. What it raises comes
        back as it is.
    objective : str
    metrics : sequence of str
    batch : int, optional
        Designs a call at most; all by default.
    """

    function: Callable[[Designs], Answer]
    objective: str = "latency_us"
    metrics: Sequence[str] = ()
    batch: int | None = None

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not callable(self.function):
            raise ConfigurationError(f"the evaluator is {self.function!r}; it must be callable")
        check_count("batch", self.batch)

    def evaluate(self, designs: Designs) -> Iterator[Part]:
        """Call the function batch by batch."""
        for first in range(0, len(designs), self.batch or max(1, len(designs))):
            some = designs[first : first + (self.batch or len(designs))]
            answer = self.function(some)
            if not isinstance(answer, pl.DataFrame | Mapping):
                try:
                    numbers = np.asarray(answer, np.float64)
                except (TypeError, ValueError):
                    raise DataError(f"the evaluator returned {answer!r}; it must return numbers") from None
                if numbers.shape != (len(some),):
                    raise DataError(
                        f"the evaluator returned shape {numbers.shape} for {len(some)} designs; it must "
                        "return one number a design"
                    )
                answer = {self.objective: pl.Series(numbers, nan_to_null=True)}
            table = pl.DataFrame(answer)
            yield Part(first, checked_results(table, some, self.objective, self.metrics, "the evaluator"))


@dataclass(frozen=True, eq=False)
class SimulatorEvaluator:
    """The bundled simulator.

    Attributes
    ----------
    simulators : mapping of str to Simulator
        By application; the only one also serves designs for which none is named.
    objective : str
        ``latency_us`` or ``energy_uj``.
    metrics : sequence of str
        Of ``latency_us``, ``energy_uj``, ``average_power_mw``, ``peak_power_mw`` and ``area_mm2``.
    """

    simulators: Mapping[str, Simulator]
    objective: str = "latency_us"
    metrics: Sequence[str] = ()

    def evaluate(self, designs: Designs) -> Iterator[Part]:
        """Simulate all designs at once."""
        only = next(iter(self.simulators.values())) if len(self.simulators) == 1 else None
        simulator = self.simulators.get(designs.application, only if not designs.application else None)
        if simulator is None:
            raise ConfigurationError(
                f"there is no simulator of {designs.application or 'no application'}; there are those of "
                f"{', '.join(self.simulators)}"
            )
        scores = simulator.score(designs.ranks)
        columns = {
            name: pl.Series(getattr(scores, name), nan_to_null=True)
            for name in (self.objective, *self.metrics)
        }
        told = {"feasible": scores.feasible, "reason": pl.Series(scores.reasons(), dtype=pl.String)}
        table = pl.DataFrame({**columns, **told})
        yield Part(0, checked_results(table, designs, self.objective, self.metrics, "the simulator"))


def check_count(name: str, value: int | None, least: int = 1) -> None:
    """Raise ConfigurationError unless a number of something is an integer and not too small."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise ConfigurationError(f"{name} is {value!r}; it must be an integer of at least {least}")


__all__ = ["Answer", "CallableEvaluator", "Evaluator", "SimulatorEvaluator", "evaluate"]
