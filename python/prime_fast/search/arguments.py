"""Arguments of a search as the core takes them; one clear error for any other."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from prime_fast.errors import ConfigurationError, DataError, PrimeFastError
from prime_fast.space import DesignSpace

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import ArrayLike, NDArray

    from prime_fast.logs import Log
    from prime_fast.space import Ranks


def positive(**sizes: int) -> None:
    """Raise ConfigurationError unless all are whole numbers from 1 up."""
    for name, value in sizes.items():
        if whole(name, value) < 1:
            raise ConfigurationError(f"{name} is {value}; it must be at least 1")
        if value > sys.maxsize:
            raise ConfigurationError(f"{name} is {value}; it must be at most {sys.maxsize}")


def column(what: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return one number a design; DataError for another shape."""
    array = floats(what, values)
    if array.ndim != 1:
        raise DataError(f"{what} must be an array of shape (n_designs,), found shape {array.shape}")
    return array


def floats(what: str, values: ArrayLike, kind: type[PrimeFastError] = DataError) -> NDArray[np.float64]:
    """Return real numbers of any shape; an error of the given kind for others."""
    # NumPy forgets the mask of what it makes an array of.
    if np.ma.is_masked(values):
        raise kind(
            f"{what} are masked in places; fill those, with NaN or a violation above 0 where a design is "
            "infeasible"
        )
    try:
        array = np.asarray(values)
        # Of kind V are the short floats of accelerators, and records.
        if array.dtype.kind in "biufV" and array.dtype.names is None:
            return array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise kind(f"{what} are no array of numbers: {error}") from None
    raise kind(f"{what} have dtype {array.dtype}; they must be real numbers")


def whole(name: str, value: object) -> int:
    """Return an integer, NumPy's among them; ConfigurationError for another type."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ConfigurationError(f"{name} is {value!r}; it must be a whole number")
    return int(value)


def number(name: str, value: object) -> float:
    """Return a real number; ConfigurationError for another type."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ConfigurationError(f"{name} is {value!r}; it must be a number")
    try:
        return float(value)
    except OverflowError:
        raise ConfigurationError(
            f"{name} is beyond {sys.float_info.max}; it must be a smaller number"
        ) from None


def flag(name: str, value: object) -> bool:
    """Return True or False, NumPy's among them; ConfigurationError for another type."""
    if not isinstance(value, (bool, np.bool_)):
        raise ConfigurationError(f"{name} is {value!r}; it must be True or False")
    return bool(value)


def checked_space(space: object) -> DesignSpace:
    """Return a design space; ConfigurationError for another type."""
    if not isinstance(space, DesignSpace):
        raise ConfigurationError(
            f"the space is {space!r}; it must be a DesignSpace, such as DesignSpace.bundled('prime')"
        )
    return space


def by_name(what: str, values: object) -> dict[str, Any]:
    """Return a mapping from names as a dictionary, None as an empty one; ConfigurationError for others."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{what} are {values!r}; they must be a mapping by name")
    for name in values:
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"{what} are {dict(values)!r}; {name!r} is no name")
    return dict(values)


def upper_limits(limits: Mapping[str, float] | None) -> dict[str, float]:
    """Return limits by name as numbers."""
    return {name: number(f"limit {name}", limit) for name, limit in by_name("limits", limits).items()}


def objective_names(objective: object) -> list[str]:
    """Return one name, or several, as a list."""
    names: list[Any] = list(objective) if isinstance(objective, (list, tuple)) else [objective]
    if not names:
        raise ConfigurationError("no objective was given; name at least one")
    for name in names:
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"objective is {objective!r}; it must be a name, or several in a list")
    return names


def measure_range(name: str, edges: Sequence[float]) -> tuple[float, float, int]:
    """Return low, high and bins of a measure."""
    try:
        low, high, bins = edges
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"measure {name} is {edges!r}; it must be (low, high, bins), such as (0.0, 100.0, 32)"
        ) from None
    positive(**{f"bins of measure {name}": bins})  # type: ignore[arg-type]
    low, high = (number(f"range of measure {name}", end) for end in (low, high))
    return low, high, int(bins)


def is_compiled(scorer: object) -> bool:
    """Whether JAX compiles the function anew for each shape that it meets."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(scorer, jax.stages.Wrapped)


def start_of(
    start: Ranks | pl.DataFrame | Log, space: DesignSpace, columns: Sequence[str]
) -> tuple[Ranks, NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return designs of a warm start with the scores and violations that come with them."""
    import polars as pl

    frame = start if isinstance(start, pl.DataFrame) else getattr(start, "frame", None)
    if frame is None:
        return start, None, None  # type: ignore[return-value]
    ranks = space.ranks_from_frame(frame)
    if not set(columns) <= set(frame.columns):
        return ranks, None, None

    def cast(name: str, dtype: type[pl.DataType]) -> pl.Series:
        try:
            return frame[name].cast(dtype)
        except pl.exceptions.PolarsError as error:
            raise DataError(f"column {name!r} of the start designs is not usable: {error}") from None

    scores = np.column_stack([cast(name, pl.Float64).fill_null(np.nan).to_numpy() for name in columns])
    feasible = np.isfinite(scores).all(axis=1)
    if "feasible" in frame.columns:
        feasible &= cast("feasible", pl.Boolean).fill_null(value=False).to_numpy()
    return ranks, scores if len(columns) > 1 else scores[:, 0], (~feasible).astype(np.float64)
