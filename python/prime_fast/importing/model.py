"""From an ONNX file to an application: nodes in order, constant branches, the share that is left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prime_fast.errors import ConfigurationError, DataError, PrimeFastError
from prime_fast.importing.building import Unmapped, given, seen
from prime_fast.importing.conversion import Converter
from prime_fast.importing.inference import STANDARD, Inference, Value, node_name
from prime_fast.importing.operators import standard
from prime_fast.importing.reading import bound_inputs, read_model
from prime_fast.workload import Application

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import onnx

MOST_UNMAPPED = 0.01
"""Share of the operations that may be no layer."""
MOST_NODES = 200_000
# What comes of attributes and shapes that a checked file may still have, and that make no sense.
SENSELESS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True)
class Imported:
    """A network read from an ONNX file.

    Attributes
    ----------
    application : Application
    toml : str
        Text of its application file.
    unmapped : tuple of Unmapped
        Operators that are no layer, in the order of the file.
    share : float
        Their share of the operations: of the multiply-accumulates and vector operations of all layers and
        theirs.
    notes : tuple of str
        What the layers don't tell: tables that are looked up, weights used twice.
    """

    application: Application
    toml: str
    unmapped: tuple[Unmapped, ...]
    share: float
    notes: tuple[str, ...]

    def operators(self) -> dict[str, tuple[int, int | None]]:
        """Return for each unmapped operator how many nodes it has and their operations, None if unknown."""
        found: dict[str, tuple[int, int | None]] = {}
        for each in self.unmapped:
            nodes, operations = found.get(each.operator, (0, 0))
            known = operations is not None and each.operations is not None
            total = (operations or 0) + (each.operations or 0) if known else None
            found[each.operator] = (nodes + 1, total)
        return found


def import_onnx(
    path: str | Path,
    name: str | None = None,
    *,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, float] | None = None,
    most_unmapped: float = MOST_UNMAPPED,
) -> Imported:
    """Read an ONNX file as an application.

    Weights need not be there: their shapes count.

    Parameters
    ----------
    path : str or Path
    name : str, optional
        Name of the application; the file's, without its suffix, by default.
    dims : mapping of str to int, optional
        Sizes of unknown dimensions, by symbol (``batch``) or by input and axis (``x.0``).
    values : mapping of str to float, optional
        Inputs that are constants, such as a sampling rate that a branch depends on.
    most_unmapped : float
        Share of the operations that may be in operators that are no layer.

    Returns
    -------
    Imported

    Raises
    ------
    ConfigurationError
        For a missing file or package, and for dimensions that are not known, or given but not there.
    DataError
        For a file that is damaged, has control flow or shapes that depend on data, or has too much unmapped.
    """
    dims, values = dict(dims or {}), dict(values or {})
    for dimension, size in dims.items():
        if not 1 <= size < 2**31:
            raise ConfigurationError(f"--dim {dimension}={size}: a size must be from 1 to {2**31 - 1}")
    if not 0.0 <= most_unmapped <= 1.0:
        raise ConfigurationError(f"--most-unmapped {most_unmapped}: a share must be from 0 to 1")
    model = read_model(path)
    try:
        return _Walk(model, dims, values).imported(Path(path), name, most_unmapped)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except SENSELESS as error:
        raise DataError(f"{path}: the graph makes no sense: {error!r}") from None


class _Walk:
    """One pass over the nodes of a model."""

    def __init__(self, model: onnx.ModelProto, dims: Mapping[str, int], values: Mapping[str, float]) -> None:
        self.model = model
        self.inference = Inference(model)
        self.converter = Converter()
        self.visited = 0
        graph = model.graph
        self.nodes, needed = _needed(graph)
        shapes = bound_inputs(graph, needed, dims, values)
        self.known: dict[str, Value] = {}
        for each in graph.input:
            kind = each.type.tensor_type.elem_type
            if each.name in values:
                self.known[each.name] = self._value(each, values[each.name])
            elif each.name in shapes:
                shape = tuple(shapes[each.name])
                value = Value(each.name, self.inference.tensor_type(kind, shape))
                part = self.converter.network.from_outside(each.name, seen(shape, None))
                self.known[each.name] = given(value, (part,))

    def _value(self, each: onnx.ValueInfoProto, value: float) -> Value:
        import numpy as np

        dims = each.type.tensor_type.shape.dim
        dtype = self.inference.onnx.helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type)
        if any(dim.dim_value > 1 for dim in dims):
            raise ConfigurationError(
                f"--value {each.name}: the input has several elements; only one can be bound"
            )
        try:
            array = np.full([1] * len(dims), value).astype(dtype)
        except (TypeError, ValueError, OverflowError):
            raise ConfigurationError(
                f"--value {each.name}={value:g}: the input isn't a number, or not of that range"
            ) from None
        return self.inference.constant(each.name, array)

    def imported(self, path: Path, name: str | None, most_unmapped: float) -> Imported:
        self._graph(self.model.graph, self.nodes, self.known)
        opset = self.inference.opsets.get("", 0)
        producer = " ".join(filter(None, (self.model.producer_name, self.model.producer_version)))
        name = name if name is not None else path.stem
        network = self.converter.network
        toml = network.toml(
            name,
            f"{name}, imported",
            f"{path.name}, ONNX of opset {opset}" + (f" by {producer}" if producer else ""),
            "Written by `prime-fast workload import`.",
        )
        try:
            application = Application.from_toml(toml, "the network")
        except ConfigurationError as error:
            raise DataError(str(error)) from None
        totals = application.totals
        unmapped = tuple(self.converter.unmapped)
        left = sum(each.operations or 0 for each in unmapped)
        whole = totals["macs"] + totals["vector_operations"] + left
        share = left / whole if whole else 0.0
        unknown = [each for each in unmapped if each.operations is None]
        found = Imported(application, toml, unmapped, share, tuple(self.converter.notes))
        if unknown and most_unmapped < 1.0:
            first = unknown[0]
            raise DataError(
                f"{len(unknown)} operators can't be mapped, and their work isn't known, the first "
                f"{first.operator} "
                f"(node `{first.node}`); --most-unmapped 1 leaves them out"
            )
        if share > most_unmapped:
            listed = ", ".join(
                f"{operator} {100 * (operations or 0) / whole:.3g}%"
                for operator, (_, operations) in sorted(
                    found.operators().items(), key=lambda item: -(item[1][1] or 0)
                )[:8]
            )
            raise DataError(
                f"{100 * share:.3g}% of the operations are in operators that can't be mapped ({listed}), "
                "more than "
                f"the {100 * most_unmapped:g}% of --most-unmapped"
            )
        return found

    def _graph(
        self, graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto], outer: dict[str, Value]
    ) -> None:
        """Walk a graph; `outer` holds what is known before, and after."""
        for tensor in graph.initializer:
            outer[tensor.name] = self.inference.initializer(tensor)
        for sparse in graph.sparse_initializer:
            kind = self.inference.tensor_type(sparse.values.data_type, tuple(sparse.dims))
            outer[sparse.values.name] = Value(sparse.values.name, kind)
        for node in nodes:
            self.visited += 1
            if self.visited > MOST_NODES:
                raise DataError(f"more than {MOST_NODES:,} nodes")
            inputs = [outer[name] if name else Value("") for name in node.input if not name or name in outer]
            if len(inputs) < len(node.input):
                missing = next(name for name in node.input if name and name not in outer)
                raise DataError(f"node `{node_name(node)}` reads `{missing}`, which nothing made before it")
            if node.op_type == "If" and node.domain in STANDARD:
                self._branch(node, inputs, outer)
                continue
            try:
                outer |= {value.name: value for value in self._made(node, inputs, outer)}
            except PrimeFastError:
                raise
            except SENSELESS as error:
                raise DataError(
                    f"node `{node_name(node)}` ({node.op_type}): its attributes or shapes make no sense: "
                    f"{error!r}"
                ) from None

    def _made(self, node: onnx.NodeProto, inputs: list[Value], outer: dict[str, Value]) -> list[Value]:
        """Return what a node makes, with its parts, and add the layers it takes."""
        quantised = 0
        replaced = standard(node, self._make)
        if replaced is not None:
            first = outer[replaced.input[0]].type
            if node.op_type.startswith("Q") and first is not None:
                quantised = first.tensor_type.elem_type
            node, inputs = replaced, [self._float(outer[name]) for name in replaced.input]
        made = self.inference.outputs(node, inputs)
        if quantised:
            # What comes next may compare its type with that of a zero point.
            made = {name: self._typed(value, quantised) for name, value in made.items()}
        outputs = [made[name] for name in node.output if name]
        if not outputs or all(value.data is not None for value in outputs):
            return outputs
        return self.converter.convert(node, inputs, outputs)

    def _make(self, op: str, inputs: list[str], outputs: list[str], name: str, **kept: Any) -> onnx.NodeProto:
        made: onnx.NodeProto = self.inference.onnx.helper.make_node(op, inputs, outputs, name, **kept)
        return made

    def _float(self, value: Value) -> Value:
        """Return a quantised tensor as one of floats, which standard operators take."""
        return self._typed(value, self.inference.onnx.TensorProto.FLOAT)

    def _typed(self, value: Value, kind: int) -> Value:
        """Return a tensor as one of that type of elements."""
        shape = value.known_shape
        if shape is None or value.data is not None:
            return value
        return Value(value.name, self.inference.tensor_type(kind, shape), None, value.parts, value.channel)

    def _branch(self, node: onnx.NodeProto, inputs: list[Value], outer: dict[str, Value]) -> None:
        condition = inputs[0]
        if condition.data is None or condition.data.size != 1:
            sources = [part[1:] for part in condition.parts if part.startswith("\0")]
            hint = (
                f"; it depends on input `{sources[0]}`: bind it by --value {sources[0]}=VALUE"
                if sources
                else ""
            )
            raise DataError(
                f"node `{node_name(node)}` is an If whose condition is not known before the network runs: "
                "control "
                f"flow can't be imported{hint}"
            )
        taken = "then_branch" if condition.data.reshape(-1)[0] else "else_branch"
        graph = next((each.g for each in node.attribute if each.name == taken), None)
        if graph is None or len(graph.output) < len(node.output):
            raise DataError(f"node `{node_name(node)}` is an If without a complete {taken}")
        inner = dict(outer)
        self._graph(graph, graph.node, inner)
        for name, made in zip(node.output, graph.output, strict=False):
            if made.name not in inner:
                raise DataError(f"node `{node_name(node)}`: nothing makes `{made.name}` in its {taken}")
            value = inner[made.name]
            outer[name] = Value(name, value.type, value.data, value.parts, value.channel)


def _needed(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], set[str]]:
    """Return the nodes that an output of the graph depends on, in order, and the names that they read."""
    needed = {value.name for value in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output):
            continue
        nodes.append(node)
        needed.update(node.input)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _read(inner, needed)
    return nodes[::-1], needed


def _read(graph: onnx.GraphProto, needed: set[str]) -> None:
    """Add the names that a branch reads, its own among them."""
    needed.update(value.name for value in graph.output)
    for node in graph.node:
        needed.update(node.input)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _read(inner, needed)


__all__ = ["MOST_UNMAPPED", "Imported", "Unmapped", "import_onnx"]
