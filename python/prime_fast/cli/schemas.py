"""What `--json` prints, command by command, as types; `prime-fast schema` makes JSON Schemas of them.

Within a version (the number at the end of `schema`) fields may be added; a change of what is there counts it
up. Units stand in names. A figure that is not known, or not finite, is null.
"""

from __future__ import annotations

import types
import typing
from typing import Any, Literal, TypeAlias, TypedDict

from prime_fast.cli.options import schema_name

Value: TypeAlias = str | int | float | bool
Row: TypeAlias = dict[str, Value | None]
"""A row of a table: parameters by name, figures by column."""
Design: TypeAlias = dict[str, Value]


class LearnedLimit(TypedDict):
    """A limit that was learned from infeasible designs."""

    constraint: str
    quantity: str
    at_least: bool
    bound: float
    infeasible: int


class Optimize(TypedDict):
    """The proposals of `optimize`, best first as predicted, and what they are compared with."""

    applications: list[str]
    learned_from: list[str]
    method: str
    combine: str
    objective: str
    limits: dict[str, float]
    proposals: list[Row]
    references: list[Row]
    ratios: dict[str, float]
    learned_constraints: dict[str, list[LearnedLimit]]
    spread_over: LearnedLimit | None
    simulator_queries: dict[str, int]
    interrupted: bool
    warnings: list[str]
    seconds: dict[str, float]
    out: str | None


class Distance(TypedDict):
    """How far a design is from the log."""

    changed_parameters: int
    rank_distance: int
    never_feasible: list[str]
    nearest: list[Row]
    parameters: list[Row]
    applications: list[Row]


class Explain(TypedDict):
    """What `explain` found of a design, with the design's own figures beside these fields."""

    run: str
    design: Design
    title: str
    applications: list[str]
    combine: str
    objective: str
    limits: dict[str, float]
    learned_constraints: list[Row]
    best_change_as_predicted: Row | None
    best_pair_as_predicted: Row | None
    changes: list[Row]
    pairs_left_out: int
    interactions: list[Row]
    importance: dict[str, Any] | None
    feasibility_importance: dict[str, Any] | None
    spread: dict[str, float | None]
    reference: str | None
    reference_design: Design | None
    gains: list[Row] | None
    distance: Distance | None
    simulator_queries: int
    warnings: list[str]


class Refine(TypedDict):
    """What `refine` came to."""

    applications: list[str]
    objective: str
    limits: dict[str, float]
    best: Row | None
    references: dict[str, float]
    ratios: dict[str, float]
    queries: int
    feasible: int
    failed: int
    rounds: int
    stopped_by: str
    dropped_constraints: list[str]
    seconds: dict[str, float]
    out: str


class Rejection(TypedDict):
    """Why a design is infeasible."""

    check: str
    layer: str | None
    needed: float | None
    available: float | None
    text: str


class SimulateDesign(TypedDict):
    """`simulate --design`: one design's figures, in total and by layer."""

    application: str
    design: Design
    feasible: bool
    rejection: Rejection | None
    latency_us: float | None
    area_mm2: float | None
    energy_uj: float | None
    average_power_mw: float | None
    peak_power_mw: float | None
    area_by_component_mm2: dict[str, float]
    energy_by_part_uj: dict[str, float | None]
    residency: dict[str, float | str | None]
    array: dict[str, float]
    layers: list[Row]
    outside_space: dict[str, list[Value]]


class Reason(TypedDict):
    """How many designs fail a check, and what the first of them says."""

    designs: int
    example: str


class SimulateDesigns(TypedDict):
    """`simulate --designs`: a summary of many designs."""

    designs: int
    feasible: int
    least: dict[str, float]
    most: dict[str, float]
    reasons: dict[str, Reason]
    best: Row | None
    interrupted: bool
    file: str | None


class Solve(TypedDict):
    """The optimum that `solve` found, and whether it is proved."""

    applications: list[str]
    objective: str
    limits: dict[str, float]
    space: str
    design: Design
    score: float
    bound: float | None
    gap: float | None
    proved: bool
    stopped_by: str
    scores: dict[str, dict[str, float]]
    metrics: dict[str, float]
    tie_count: int
    ties: list[Design]
    nodes: int
    seconds: float


class Sweep(TypedDict):
    """What `sweep` counted, and the designs that it kept."""

    application: str
    space: str
    objective: str
    limits: dict[str, float]
    designs: int
    feasible: int
    within_limits: int
    rejected: dict[str, int]
    ties: int
    complete: bool
    seconds: float
    front_measures: list[str]
    best: list[Row]
    front: list[Row]
    histograms: list[Row]
    files: list[str]


class LogsGenerate(TypedDict):
    """The log that `logs generate` wrote."""

    file: str
    designs: int
    feasible: int


class ConvertedApplication(TypedDict):
    """What a converted log has of an application; `least` of the objective."""

    application: str | None
    designs: int
    feasible: int
    least: float | None


class LogsConvert(TypedDict):
    """The log that `logs convert` wrote."""

    file: str
    objective: str
    limits: dict[str, float]
    beyond_limits: dict[str, int]
    designs: int
    feasible: int
    applications: list[ConvertedApplication]


class Source(TypedDict):
    """A file that was read."""

    path: str
    sha256: str
    rows: int


class Coverage(TypedDict):
    """How much of a parameter's list a log has seen."""

    parameter: str
    values: int
    unseen: list[Value]
    unseen_feasible: list[Value]
    rare: list[Value]


class Dropped(TypedDict):
    """Rows that were left out for one reason."""

    reason: str
    count: int
    rows: list[str]
    found: list[str]


class Verdict(TypedDict):
    """Whether a log can be learned from."""

    verdict: Literal["enough", "weak", "cannot"]
    because: list[str]


class InspectedApplication(TypedDict):
    """One application of a log with several."""

    application: str | None
    designs: int
    feasible: int
    best: float | None
    median: float | None
    verdict: Verdict


class LogsInspect(TypedDict):
    """What `logs inspect` found."""

    sources: list[Source]
    rows: int
    designs: int
    feasible: int
    infeasible_share: float | None
    reasons: dict[str, int]
    objective: str
    quantiles: dict[str, float]
    ranges: dict[str, list[float]]
    best: Row | None
    limits: dict[str, float]
    best_within_limits: Row | None
    coverage: list[Coverage]
    duplicates: int
    contradictions: int
    outside: int
    dropped: list[Dropped]
    applications: list[InspectedApplication]
    verdict: Verdict
    warnings: list[str]


class InferredColumn(TypedDict):
    """What a column was taken for."""

    column: str
    parameter: bool
    kind: str
    why: str


class SpaceInfer(TypedDict):
    """The space that `space infer` wrote."""

    file: str
    name: str
    designs: int
    columns: list[InferredColumn]


class Parameter(TypedDict):
    """A parameter of a space."""

    name: str
    kind: str
    unit: str
    column: str
    values: list[Value]


class Metric(TypedDict):
    """A metric of a space."""

    name: str
    unit: str
    expression: str


class Share(TypedDict):
    """The share of designs that pass, exact or with a 95% interval."""

    share: float
    designs: int | None
    interval: list[float]
    exact: bool


class SpaceConstraint(Share):
    """A constraint of a space, and the share that passes it."""

    name: str
    expression: str


class SpaceInspect(TypedDict):
    """What `space inspect` found."""

    name: str
    title: str
    designs: int
    parameters: list[Parameter]
    metrics: list[Metric]
    constraints: list[SpaceConstraint]
    passing: Share
    samples: int
    warnings: list[str]


class Application(TypedDict):
    """An application."""

    name: str
    title: str
    source: str
    stand_in: bool
    kind: str
    input: list[int]
    layer_count: int
    totals: dict[str, int]
    context: dict[str, float]


class WorkloadList(TypedDict):
    """The applications that ship with the package."""

    applications: list[Application]


class Layer(TypedDict):
    """A layer of an application."""

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


class WorkloadShow(Application):
    """An application with its layers."""

    layers: list[Layer]


class Unmapped(TypedDict):
    """Nodes of an operator that became no layer."""

    operator: str
    nodes: int
    operations: int | None


class WorkloadImport(Application):
    """The application that `workload import` wrote."""

    file: str
    unmapped: list[Unmapped]
    unmapped_share: float
    notes: list[str]


class Comparison(TypedDict):
    """The simulator beside what is published: a row an application or configuration."""

    rows: list[Row]
    lines: list[str]
    figures: dict[str, float | None]
    interrupted: bool
    file: str | None


class Table(TypedDict):
    """A table of an evaluation; a figure of failed runs is "fail"."""

    title: str
    rows: list[dict[str, Any]]
    notes: list[str]


class Evaluation(TypedDict):
    """The tables of an evaluation, and where they were written."""

    directory: str
    tables: list[Table]


class Report(TypedDict):
    """The files of a report."""

    page: str
    figures: list[str]
    warnings: list[str]


class Check(TypedDict):
    """One line of `doctor`."""

    check: str
    status: Literal["ok", "warning", "FAILED"]
    text: str
    seconds: float | None


class Doctor(TypedDict):
    """What `doctor` found; `status` is the worst of all."""

    status: Literal["ok", "warning", "FAILED"]
    checks: list[Check]
    seconds: float


RESULTS: dict[str, Any] = {
    "optimize": Optimize,
    "explain": Explain,
    "report": Report,
    "refine": Refine,
    "simulate": SimulateDesign | SimulateDesigns,
    "solve": Solve,
    "sweep": Sweep,
    "logs generate": LogsGenerate,
    "logs inspect": LogsInspect,
    "logs convert": LogsConvert,
    "space infer": SpaceInfer,
    "space inspect": SpaceInspect,
    "workload list": WorkloadList,
    "workload show": WorkloadShow,
    "workload import": WorkloadImport,
    "benchmark calibration": Comparison,
    "benchmark edge-tpu": Comparison,
    "benchmark trade": Comparison,
    "benchmark silicon": Comparison,
    "benchmark nvdla": Comparison,
    "benchmark optimum": Comparison,
    "benchmark paper": Evaluation,
    "benchmark refine": Evaluation,
    "benchmark tables": Evaluation,
    "doctor": Doctor,
}
"""By the words of the command."""

_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}


def json_schema(command: str, *, strict: bool = False) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what a command of `RESULTS` prints with ``--json``.

    Parameters
    ----------
    command : str
        Its words.
    strict : bool
        Refuse fields that are not named; those who read should not, as fields may be added.
    """
    name = schema_name(command.split())
    kind = RESULTS[command]
    members = typing.get_args(kind) or (kind,)
    bodies = []
    for member in members:
        body = _schema(member, strict=strict)
        body["properties"] = {"schema": {"const": name}, **body["properties"]}
        body["required"] = ["schema", *body["required"]]
        bodies.append(body)
    body = bodies[0] if len(bodies) == 1 else {"oneOf": bodies}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name, **body}


def _schema(kind: Any, *, strict: bool) -> dict[str, Any]:
    if kind is Any:
        return {}
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if typing.is_typeddict(kind):
        fields = typing.get_type_hints(kind)
        return {
            "description": kind.__doc__,
            "type": "object",
            "properties": {name: _schema(each, strict=strict) for name, each in fields.items()},
            "required": sorted(kind.__required_keys__),
            **({"additionalProperties": False} if strict else {}),
        }
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return {"type": "array", "items": _schema(inner[0], strict=strict)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(inner[1], strict=strict)}
    if origin is Literal:
        return {"enum": list(inner)}
    assert origin is types.UnionType or origin is typing.Union, kind  # noqa: S101 (all kinds are above)
    if all(each in _SCALARS for each in inner):
        return {"type": [_SCALARS[each] for each in inner]}
    return {"anyOf": [_schema(each, strict=strict) for each in inner]}
