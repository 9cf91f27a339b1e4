"""A search by ask and tell that can be saved, copied and run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from prime_fast import _core
from prime_fast.errors import ConfigurationError, DataError
from prime_fast.search.arguments import (
    by_name,
    checked_space,
    column,
    flag,
    floats,
    is_compiled,
    measure_range,
    number,
    objective_names,
    positive,
    upper_limits,
    whole,
)
from prime_fast.search.result import SearchResult
from prime_fast.simulator import Simulator
from prime_fast.space import DesignSpace

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from prime_fast.space import Ranks

Scorer: TypeAlias = Callable[[Any], Any]
METHODS: tuple[str, ...] = tuple(_core.METHODS)
FORMAT = "prime-fast search 1"
SEEDS = 1 << 64


class Optimizer:
    """A search method by ask and tell that proposes no design twice.

    Parameters
    ----------
    space : DesignSpace
    method : str
        One of `METHODS`.
    seed : int
        Any integer; the same seed and the same sizes of `ask` propose the same designs.
    limits : mapping of str to float, optional
        Upper limits on metrics that the space computes. Designs that break one, or a constraint of the space,
        are never proposed.
    objective : str or sequence of str
        Names of the objectives, two or three for ``"nsga2"``. A simulator is asked for them by name; for a
        callable they only name the columns of the result.
    measures : mapping of str to (low, high, bins), optional
        For ``"quality_diversity"``: two measures, by whose value designs are put into cells.
    keep : int
        How many of the best designs a result reports.
    journal : bool
        Write down all that is asked and told, 8 bytes and its scores a design. `save`, copies and
        `SearchResult.evaluated` need it.
    **options : float
        The method's own: the README lists them.

    Raises
    ------
    ConfigurationError
        If a name is unknown, a limit not positive or an option out of its range.
    """

    def __init__(
        self,
        space: DesignSpace,
        method: str = "genetic",
        *,
        seed: int = 0,
        limits: Mapping[str, float] | None = None,
        objective: str | Sequence[str] = "latency_us",
        measures: Mapping[str, tuple[float, float, int]] | None = None,
        keep: int = 16,
        journal: bool = True,
        **options: float,
    ) -> None:
        positive(keep=keep)
        self.space = checked_space(space)
        if not isinstance(method, str):
            raise ConfigurationError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")
        objectives = objective_names(objective)
        ranges = {name: measure_range(name, edges) for name, edges in by_name("measures", measures).items()}
        self.columns = [*objectives, *ranges]
        taken = [*space.names, "violation"]
        for position, name in enumerate(self.columns):
            if name in self.columns[:position]:
                raise ConfigurationError(
                    f"objective and measures {', '.join(self.columns)}: a name stands twice"
                )
            if name in taken:
                raise ConfigurationError(
                    f"objective or measure {name} bears the name of another column of the result; "
                    f"it can't be one of {', '.join(taken)}"
                )
        self._setup: dict[str, Any] = {
            "method": method,
            "seed": whole("seed", seed) % SEEDS,
            "limits": upper_limits(limits),
            "objective": objectives,
            "measures": ranges,
            "keep": int(keep),
            "options": {name: number(f"option {name}", value) for name, value in options.items()},
        }
        self.core = _core.Search(
            space.core,
            method,
            limits=list(self._setup["limits"].items()),
            seed=self._setup["seed"],
            objectives=len(objectives),
            measures=[(name, *edges) for name, edges in ranges.items()],
            options=list(self._setup["options"].items()),
            keep=keep,
            journal=flag("journal", journal),
        )

    def ask(self, designs: int) -> Ranks:
        """Return up to that many new designs; fewer when few are left, none when the space is exhausted.

        Raises
        ------
        ConfigurationError
            If the scores of other designs are due.
        NoFeasibleDesignError
            If nothing in the space meets its constraints and the limits.
        """
        positive(designs=designs)
        return self.core.ask(designs)

    def tell(self, scores: ArrayLike, violations: ArrayLike | None = None) -> None:
        """Take the scores (lower is better) and violations (0 is feasible) of the designs last asked for.

        Parameters
        ----------
        scores : array_like of shape (n_designs,) or (n_designs, n_columns), float
        violations : array_like of shape (n_designs,), float

        Raises
        ------
        ConfigurationError
            If no designs are due, or there are more or fewer than scores.
        DataError
            If an array is of another shape, or something in it is NaN; nothing is taken then.
        """
        told = self._rows("scores", scores)
        rows = len(told) // len(self.columns)
        self.core.tell(told, np.zeros(rows) if violations is None else column("violations", violations))

    def start_with(
        self, designs: Ranks, scores: ArrayLike | None = None, violations: ArrayLike | None = None
    ) -> int:
        """Propose these designs before any other, those that keep the limits; return how many.

        Parameters
        ----------
        designs : ndarray of shape (n_designs, n_parameters), ranks
        scores : array_like of shape (n_designs,) or (n_designs, n_columns), float, optional
            Their scores, where these are known: `minimize` then does not score them again, nor count them.
        violations : array_like of shape (n_designs,), float, optional
            Above 0 for those that are infeasible; 0 by default.
        """
        if scores is None:
            return self.core.start_with(designs)
        known = self._rows("scores", scores)
        rows = len(known) // len(self.columns)
        return self.core.start_with(
            designs, known, np.zeros(rows) if violations is None else column("violations", violations)
        )

    @property
    def due(self) -> Ranks:
        """Designs whose scores `tell` takes next: ranks of shape (n_designs, n_parameters)."""
        return self.core.due

    @property
    def best(self) -> tuple[Ranks, float] | None:
        """Ranks of shape (n_parameters,) and score of the best feasible design told so far."""
        best = self.core.best
        return None if best is None or best[2] > 0 else (best[0][0], best[1])

    @property
    def evaluations(self) -> int:
        """Designs told so far, without those whose scores were known from the start."""
        return self.core.evaluations

    def minimize(
        self,
        scorer: Scorer | Simulator,
        *,
        evaluations: int = 50_000,
        batch: int | None = None,
        limits: Mapping[str, float] | None = None,
        target: float | None = None,
        seconds: float | None = None,
        stagnation: int | None = None,
        overlap: bool = False,
        pad: bool | None = None,
        nan: str = "error",
        threads: int | None = None,
        record: bool = False,
        callback: Callable[[int, float | None, float], None] | None = None,
    ) -> SearchResult:
        """Ask, score and tell until a limit is met; goes on where the last call ended.

        The parameters are those of `prime_fast.search.minimize`; `limits` are on outputs of a simulator.
        `evaluations` counts the designs of earlier calls too.
        """
        positive(evaluations=evaluations)
        if batch is None:
            simulated = 256 if self._setup["method"] == "nsga2" else 512
            batch = simulated if isinstance(scorer, Simulator) else 4096
        positive(batch=batch)
        for name, size in {"stagnation": stagnation, "threads": threads}.items():
            if size is not None:
                positive(**{name: size})
        if nan not in ("error", "infeasible"):
            raise ConfigurationError(f"nan is {nan!r}; it must be 'error' or 'infeasible'")
        if not isinstance(scorer, Simulator) and not callable(scorer):
            raise ConfigurationError(
                f"the scorer is a {type(scorer).__name__}; it must be a Simulator or a callable"
            )
        if callback is not None and not callable(callback):
            raise ConfigurationError(f"the callback is {callback!r}; it must be callable")
        overlap, record = flag("overlap", overlap), flag("record", record)
        pad = is_compiled(scorer) if pad is None else flag("pad", pad)
        outputs = _core.OUTPUTS if isinstance(scorer, Simulator) else ()
        given = upper_limits(limits)
        for name in given:
            if name not in outputs:
                raise ConfigurationError(
                    f"limit {name}: the scorer has no such output; limits here are on a simulator's "
                    f"{', '.join(_core.OUTPUTS)}, those on metrics of the space are given to the Optimizer"
                )
        fields, error = self.core.minimize(
            scorer.core if isinstance(scorer, Simulator) else scorer,
            columns=self.columns,
            limits=list(given.items()),
            evaluations=evaluations,
            batch=batch,
            target=None if target is None else number("target", target),
            seconds=None if seconds is None else number("seconds", seconds),
            stagnation=stagnation,
            overlap=overlap,
            pad=pad,
            nan_is_infeasible=nan == "infeasible",
            threads=threads,
            callback=callback,
        )
        result = SearchResult(
            space=self.space,
            columns=self.columns,
            told=self.core.told if record else None,
            measures=list(self._setup["measures"]),
            **fields,
        )
        if error is not None:
            if len(result.designs):
                # A class of errors may refuse plain assignment.
                BaseException.__setattr__(error, "search_result", result)
            raise error
        return result

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that was asked and told as safetensors, whole or not at all.

        A search that is loaded goes on as this one would: the same designs, bit for bit.
        """
        import safetensors.numpy

        from prime_fast.logs.writing import atomic_file

        if not isinstance(path, (str, os.PathLike)):
            raise ConfigurationError(f"the path is {path!r}; it must be a path of a file")
        header = {"format": FORMAT, "space": self.space.to_toml(), **self._setup}
        content = safetensors.numpy.save(self.state(), {"prime_fast": json.dumps(header)})
        with atomic_file(path) as file:
            file.write(content)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Optimizer:
        """Read a search that `save` wrote.

        Raises
        ------
        DataError
            If the file is missing, damaged, or of a version whose search proposes other designs; nothing in
            it is executed.
        """
        import safetensors

        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                header = json.loads((file.metadata() or {}).get("prime_fast", "{}"))
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            if header.get("format") != FORMAT:
                raise DataError(f"its format is {header.get('format')!r}; this version reads {FORMAT!r}")
            space = DesignSpace.from_toml(header.pop("space"), origin="its space")
            return _rebuilt(space, header, arrays)
        except KeyError as error:
            raise DataError(f"{path} is not a saved search: it lacks {error}") from None
        except (
            OSError,
            safetensors.SafetensorError,
            ValueError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise DataError(f"{path} is not a usable saved search: {error}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.space, self._setup, self.state())

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was asked and told, for `restore`; ConfigurationError without a journal."""
        journal = self.core.journal()
        if journal is None:
            raise ConfigurationError("a search that keeps no journal can't be saved or copied")
        events, start, start_scores, start_violations, (indices, scores, violations) = journal
        return {
            "events": events,
            "start": np.ascontiguousarray(start),
            "start_scores": start_scores,
            "start_violations": start_violations,
            "indices": indices,
            "scores": scores,
            "violations": violations,
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring a search just made with the same arguments to where `state` was taken, bit for bit.

        Raises
        ------
        DataError
            If the arrays are not of such a search.
        """
        columns = ("start_scores", "start_violations", "scores", "violations")
        wanted = dict.fromkeys(columns, np.float64) | {"events": np.uint64, "indices": np.uint64}
        for name, dtype in wanted.items():
            if arrays[name].dtype != dtype or arrays[name].ndim != 1:
                raise DataError(
                    f"its array {name!r} is {arrays[name].dtype} of {arrays[name].ndim} dimensions"
                )
        self.core.replay(
            arrays["events"],
            arrays["start"],
            arrays["start_scores"],
            arrays["start_violations"],
            (arrays["indices"], arrays["scores"], arrays["violations"]),
        )

    def _rows(self, what: str, values: ArrayLike) -> NDArray[np.float64]:
        """Return rows of scores one after the other."""
        width = len(self.columns)
        if width == 1:
            return column(what, values)
        rows = floats(what, values)
        if rows.ndim != 2 or rows.shape[1] != width:
            raise DataError(
                f"{what} must be an array of shape (n_designs, {width}), found shape {rows.shape}"
            )
        return np.ascontiguousarray(rows).ravel()


def _rebuilt(space: DesignSpace, setup: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Optimizer:
    optimizer = Optimizer(
        space,
        setup["method"],
        seed=setup["seed"],
        limits=setup["limits"],
        objective=setup["objective"],
        measures={name: tuple(edges) for name, edges in setup["measures"].items()},
        keep=setup["keep"],
        **setup["options"],
    )
    optimizer.restore(arrays)
    return optimizer
