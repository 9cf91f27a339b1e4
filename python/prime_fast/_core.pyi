from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, TypeAlias, TypedDict, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "METHODS",
    "OUTPUTS",
    "__VERSION__",
    "Application",
    "DesignSpace",
    "Search",
    "Simulator",
    "bundled_designs",
    "bundled_technology",
    "cpu_features",
    "hypervolume",
    "is_tfrecord",
    "read_tfrecords",
    "solve",
    "sweep",
]

METHODS: list[str]
OUTPUTS: list[str]
__VERSION__: str

_Ranks: TypeAlias = NDArray[np.unsignedinteger[Any]]

_Floats: TypeAlias = NDArray[np.float64]
_Indices: TypeAlias = NDArray[np.uint64]
_Told: TypeAlias = tuple[_Indices, _Floats, _Floats]

class _SearchFields(TypedDict):
    designs: _Ranks
    scores: NDArray[np.float64]
    violations: NDArray[np.float64]
    found: _Ranks
    found_scores: NDArray[np.float64]
    evaluations: int
    history: list[tuple[int, float]]
    stopped_by: str
    note: str | None
    seconds: float
    scoring_seconds: float

class _SolveFields(TypedDict):
    designs: _Ranks
    tie_count: int
    score: float
    bound: float
    gap: float
    outputs: list[list[tuple[str, float]]]
    nodes: int
    stopped_by: str
    seconds: float

class _SweepFields(TypedDict):
    best: tuple[_Ranks, dict[str, NDArray[np.float64]]]
    front: tuple[_Ranks, dict[str, NDArray[np.float64]]]
    histograms: list[list[tuple[float, float, int]]]
    designs: int
    feasible: int
    within_limits: int
    rejected: list[int]
    ties: int
    complete: bool
    seconds: float

class _DesignRecords(TypedDict):
    columns: dict[str, NDArray[Any]]
    rows: list[int]
    bad: list[tuple[int, str, int, list[tuple[int, int, str]]]]
    ignored: list[str]

class _Layer(TypedDict):
    name: str
    kind: str
    input: list[int]
    output: list[int]
    kernel: list[int]
    stride: list[int]
    dilation: list[int]
    groups: int
    view: bool
    inputs: list[str]
    macs: int
    parameter_bytes: int
    vector_operations: int
    input_bytes: int
    output_bytes: int

class _Totals(TypedDict):
    conv_layers: int
    depthwise_layers: int
    feed_forward_layers: int
    recurrent_layers: int
    parameter_bytes: int
    macs: int
    vector_operations: int
    activation_bytes: int
    largest_activation_bytes: int
    largest_parameter_bytes: int
    largest_macs: int

@final
class DesignSpace:
    @staticmethod
    def from_toml(text: str, origin: str) -> DesignSpace: ...
    @staticmethod
    def bundled(name: str) -> DesignSpace: ...
    @staticmethod
    def bundled_names() -> list[str]: ...
    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def names(self) -> list[str]: ...
    @property
    def units(self) -> list[str]: ...
    @property
    def columns(self) -> list[str]: ...
    @property
    def kinds(self) -> list[str]: ...
    @property
    def cardinalities(self) -> list[int]: ...
    @property
    def values(self) -> list[list[int | float | str | bool]]: ...
    @property
    def metrics(self) -> list[tuple[str, str]]: ...
    @property
    def constraints(self) -> list[tuple[str, str]]: ...
    def narrowed(self, values: list[tuple[str, int | float | str | bool]]) -> DesignSpace: ...
    def indices(self, designs: _Ranks) -> NDArray[np.uint64]: ...
    def ranks(self, indices: NDArray[np.uint64]) -> _Ranks: ...
    def check(self, designs: _Ranks) -> NDArray[np.int32]: ...
    def metric(self, name: str, designs: _Ranks) -> NDArray[np.float64]: ...
    def meets(self, constraint: int, designs: _Ranks) -> NDArray[np.bool_]: ...
    def count(self, constraints: list[int], work: int) -> int | None: ...
    def check_possible(self, origin: str) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Application:
    @staticmethod
    def bundled(name: str) -> Application: ...
    @staticmethod
    def bundled_names() -> list[str]: ...
    @staticmethod
    def prime_names() -> list[str]: ...
    @staticmethod
    def from_toml(text: str, origin: str) -> Application: ...
    def to_toml(self) -> str: ...
    def __reduce__(self) -> tuple[Any, tuple[str, str]]: ...
    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def is_stand_in(self) -> bool: ...
    @property
    def input(self) -> list[int]: ...
    @property
    def layers(self) -> list[_Layer]: ...
    @property
    def totals(self) -> _Totals: ...

@final
class Simulator:
    def __new__(
        cls, space: DesignSpace, application: Application, technology: tuple[str, str] | None = None
    ) -> Simulator: ...
    @property
    def reasons(self) -> list[str]: ...
    def score(
        self, designs: _Ranks, threads: int | None = None
    ) -> tuple[
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.uint16],
    ]: ...
    def violation(self, designs: _Ranks) -> NDArray[np.float64]: ...
    def explain(self, designs: _Ranks) -> list[str | None]: ...
    def report(self, design: _Ranks) -> dict[str, Any]: ...

@final
class Search:
    def __new__(
        cls,
        space: DesignSpace,
        method: str,
        *,
        limits: list[tuple[str, float]],
        seed: int,
        objectives: int,
        measures: list[tuple[str, float, float, int]],
        options: list[tuple[str, float]],
        keep: int,
        journal: bool,
    ) -> Search: ...
    def ask(self, n: int) -> _Ranks: ...
    def tell(self, scores: _Floats, violations: _Floats) -> None: ...
    def start_with(
        self, designs: _Ranks, scores: _Floats | None = None, violations: _Floats | None = None
    ) -> int: ...
    @property
    def due(self) -> _Ranks: ...
    @property
    def columns(self) -> int: ...
    @property
    def best(self) -> tuple[_Ranks, float, float] | None: ...
    @property
    def evaluations(self) -> int: ...
    @property
    def told(self) -> _Told | None: ...
    def journal(self) -> tuple[_Indices, _Ranks, _Floats, _Floats, _Told] | None: ...
    def replay(
        self, events: _Indices, start: _Ranks, start_scores: _Floats, start_violations: _Floats, told: _Told
    ) -> None: ...
    def minimize(
        self,
        scorer: Simulator | Callable[[Any], Any],
        *,
        columns: list[str],
        limits: list[tuple[str, float]],
        evaluations: int,
        batch: int,
        target: float | None,
        seconds: float | None,
        stagnation: int | None,
        overlap: bool,
        pad: bool,
        nan_is_infeasible: bool,
        threads: int | None,
        callback: Callable[[int, float | None, float], None] | None,
    ) -> tuple[_SearchFields, BaseException | None]: ...

def bundled_designs() -> list[tuple[str, str]]: ...
def bundled_technology() -> str: ...
def cpu_features() -> tuple[str, list[tuple[str, bool]]]: ...
def hypervolume(points: _Floats, reference: _Floats) -> float: ...
def is_tfrecord(path: str | PathLike[str]) -> bool: ...
def read_tfrecords(
    paths: Sequence[str | PathLike[str]],
    *,
    skip_bad: bool,
    threads: int | None,
    callback: Callable[[int], None] | None,
) -> _DesignRecords: ...
def solve(
    simulators: list[Simulator],
    *,
    weights: list[float],
    objective: str,
    mean: str,
    limits: list[tuple[str, float]],
    seconds: float | None,
    nodes: int | None,
    threads: int | None,
    callback: Callable[[int, float | None, float, float], None] | None,
) -> _SolveFields: ...
def sweep(
    simulator: Simulator,
    *,
    objective: str,
    limits: list[tuple[str, float]],
    keep: int,
    front: list[str],
    histograms: list[str],
    threads: int | None,
    callback: Callable[[int, float | None, float], None] | None,
) -> _SweepFields: ...
