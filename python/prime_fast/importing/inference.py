"""What is known of each tensor of an ONNX graph: its type, and its values where it is a small constant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, NoReturn

from prime_fast.errors import DataError
from prime_fast.importing.reading import CLEARED, SMALL, onnx_package

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx
    from numpy.typing import NDArray

STANDARD = ("", "ai.onnx")
# Operators whose result is worked out where all inputs are known: what exporters make shapes and axes with.
FOLDED = frozenset(
    re.findall(
        r"\w+",
        """Abs Add And Cast CastLike Ceil Clip Concat Constant ConstantOfShape CumSum Div Equal Expand Floor
        Gather GatherElements GatherND Greater GreaterOrEqual Identity Less LessOrEqual Max Min Mod Mul Neg
        NonZero Not Or Pow Range ReduceMax ReduceMin ReduceProd ReduceSum Reshape Round ScatterElements
        ScatterND Shape Sign Size Slice Split Sqrt Squeeze Sub Tile Transpose Unsqueeze Where Xor""",
    )
)


@dataclass(frozen=True)
class Value:
    """A tensor.

    Attributes
    ----------
    name : str
    type : TypeProto or None
    data : ndarray or None
        The values of a small constant.
    parts : tuple of str
        The layers and outside tensors that it is made of; none for a constant.
    channel : int or None
        The axis of its channels, where that is known.
    """

    name: str
    type: onnx.TypeProto | None = None
    data: NDArray[Any] | None = None
    parts: tuple[str, ...] = ()
    channel: int | None = None

    @property
    def constant(self) -> bool:
        """Whether it depends on no input of the network."""
        return not self.parts

    @property
    def known_shape(self) -> tuple[int, ...] | None:
        """The sizes, or None where one isn't known."""
        if self.type is None or not self.type.tensor_type.HasField("shape"):
            return None
        dims = self.type.tensor_type.shape.dim
        if not all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in dims):
            return None
        return tuple(dim.dim_value for dim in dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes.

        Raises
        ------
        DataError
            If one isn't known.
        """
        shape = self.known_shape
        if shape is not None:
            return shape
        if "-" in self.shown_shape():
            raise DataError(
                f"the shape of tensor `{self.name}` is {self.shown_shape()}: what it is made of is too small"
            )
        raise DataError(
            f"the shape of tensor `{self.name}` is {self.shown_shape()}: it depends on the data, or on an "
            "operator "
            "whose output's shape is not known; only networks of fixed shapes can be imported"
        )

    def shown_shape(self) -> str:
        """Return the shape as text, ``?`` for unknown sizes."""
        if self.type is None or not self.type.tensor_type.HasField("shape"):
            return "unknown"
        dims = self.type.tensor_type.shape.dim
        sizes = (str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims)
        return f"[{', '.join(sizes)}]"

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


def node_name(node: onnx.NodeProto) -> str:
    """Return a node's name, or that of what it makes."""
    made = next((name for name in node.output if name), "")
    return node.name or made or node.op_type


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name; texts as str."""
    onnx = onnx_package()
    found = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        found[attribute.name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return found


class Inference:
    """Types and constants, node by node, by the package onnx.

    Parameters
    ----------
    model : ModelProto
    bound : mapping of str to list of int
        Shapes of the inputs.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.onnx = onnx_package()
        self.opsets = {
            ("" if each.domain in STANDARD else each.domain): each.version for each in model.opset_import
        }
        self.declared = {
            value.name: value.type
            for value in (*model.graph.value_info, *model.graph.output)
            if value.type.HasField("tensor_type")
        }

    def tensor_type(self, kind: int, shape: tuple[int, ...]) -> onnx.TypeProto:
        """Return the type of a tensor."""
        made: onnx.TypeProto = self.onnx.helper.make_tensor_type_proto(kind, shape)
        return made

    def initializer(self, tensor: onnx.TensorProto) -> Value:
        """Return a weight or another constant of the file."""
        kind = self.tensor_type(tensor.data_type, tuple(tensor.dims))
        if tensor.doc_string == CLEARED:
            return Value(tensor.name, kind)
        return Value(tensor.name, kind, self._array(tensor))

    def constant(self, name: str, array: NDArray[Any]) -> Value:
        """Return a constant of these values."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        return Value(name, self.tensor_type(kind, array.shape), array)

    def _array(self, tensor: onnx.TensorProto) -> NDArray[Any] | None:
        try:
            array: NDArray[Any] = self.onnx.numpy_helper.to_array(tensor)
        except Exception as error:  # noqa: BLE001 (of several classes)
            raise DataError(f"constant `{tensor.name}` is damaged: {_short(error)}") from None
        return array

    def outputs(self, node: onnx.NodeProto, inputs: list[Value]) -> dict[str, Value]:
        """Return what a node makes, without its parts.

        Raises
        ------
        DataError
            If the node breaks its operator's rules.
        """
        named = [name for name in node.output if name]
        if node.op_type == "Constant" and node.domain in STANDARD:
            found = self._constant_node(node)
            if found is not None:
                return {node.output[0]: found}
        types = self._types(node, inputs)
        values = {}
        for name in named:
            kind = types.get(name)
            declared = self.declared.get(name)
            if (kind is None or Value(name, kind).known_shape is None) and declared is not None:
                other = Value(name, declared)
                kind = declared if other.known_shape is not None or kind is None else kind
            values[name] = Value(name, kind)
        return self._evaluated(node, inputs, values)

    def _constant_node(self, node: onnx.NodeProto) -> Value | None:
        for attribute in node.attribute:
            if attribute.name != "value":
                continue
            tensor = attribute.t
            kind = self.tensor_type(tensor.data_type, tuple(tensor.dims))
            small = prod(tensor.dims) <= SMALL and not tensor.external_data
            return Value(node.output[0], kind, self._array(tensor) if small else None)
        return None

    def _types(self, node: onnx.NodeProto, inputs: list[Value]) -> dict[str, onnx.TypeProto]:
        domain = "" if node.domain in STANDARD else node.domain
        try:
            schema = self.onnx.defs.get_schema(node.op_type, self.opsets.get(domain, 1), domain)
        except Exception:  # noqa: BLE001 (the package's own class, not always there)
            return {}
        given = {value.name: value.type for value in inputs if value.name and value.type is not None}
        if len(given) < len({name for name in node.input if name}):
            return {}
        data = {
            value.name: self.onnx.numpy_helper.from_array(value.data, value.name)
            for value in inputs
            if value.name and value.data is not None
        }
        opsets = [self.onnx.helper.make_opsetid(name, version) for name, version in self.opsets.items()]
        try:
            found: dict[str, onnx.TypeProto] = self.onnx.shape_inference.infer_node_outputs(
                schema, node, given, data, opset_imports=opsets
            )
        except Exception as error:  # noqa: BLE001 (InferenceError, and errors of the binding)
            self._refuse(node, error)
        return found

    def _refuse(self, node: onnx.NodeProto, error: Exception) -> NoReturn:
        raise DataError(f"node `{node_name(node)}` ({node.op_type}): {_short(error)}") from None

    def _evaluated(
        self, node: onnx.NodeProto, inputs: list[Value], values: dict[str, Value]
    ) -> dict[str, Value]:
        """Return `values` with data, where the node is of constants that are known."""
        if node.op_type == "Shape" and node.domain in STANDARD and inputs[0].known_shape is not None:
            shape = self._np().array(inputs[0].known_shape, "int64")
            start, end = attributes(node).get("start", 0), attributes(node).get("end")
            return {node.output[0]: self.constant(node.output[0], shape[start:end])}
        if node.op_type == "Size" and node.domain in STANDARD and inputs[0].known_shape is not None:
            size = prod(inputs[0].known_shape)
            if size < 2**63:
                return {node.output[0]: self.constant(node.output[0], self._np().array(size, "int64"))}
        if node.op_type not in FOLDED or node.domain not in STANDARD:
            return values
        given = {value.name: value.data for value in inputs if value.name}
        if any(data is None for data in given.values()):
            return values
        shapes = [value.known_shape for value in values.values()]
        small = all(shape is not None and prod(shape) <= SMALL for shape in shapes)
        if not small and node.op_type not in ("NonZero", "Range"):
            return values
        if node.op_type == "Range" and not small:
            return values
        results = self._run(node, given)
        if results is None:
            return values
        return values | {
            name: self.constant(name, array)
            for name, array in zip(values, results, strict=True)
            if isinstance(array, self._np().ndarray | self._np().generic)
        }

    def _run(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> list[Any] | None:
        from onnx.reference import ReferenceEvaluator

        helper = self.onnx.helper
        graph = helper.make_graph(
            [node],
            "constants",
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(data.dtype), data.shape)
                for name, data in given.items()
            ],
            [helper.make_empty_tensor_value_info(name) for name in node.output if name],
        )
        opsets = [helper.make_opsetid(name, version) for name, version in self.opsets.items()]
        try:
            with self._np().errstate(all="ignore"):
                results = ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets)).run(
                    None, dict(given)
                )
        except Exception:  # noqa: BLE001 (what it can't evaluate, is not known)
            return None
        arrays = [self._np().asarray(result) for result in results]
        return arrays if all(array.size <= SMALL for array in arrays) else None

    @staticmethod
    def _np() -> Any:
        import numpy as np

        return np


def _short(error: Exception) -> str:
    """Return an error's text as one line."""
    text = " ".join(str(error).split())
    return text.removeprefix("[ShapeInferenceError] ").removeprefix("[TypeInferenceError] ")[:300]
