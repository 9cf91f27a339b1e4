"""What makers of layers share: tensors as parts and shapes, a network under construction, what is left."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from prime_fast.importing.inference import STANDARD, Value, node_name
from prime_fast.importing.network import Network, Shape
from prime_fast.importing.operators import UNCOUNTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx


@dataclass(frozen=True)
class Unmapped:
    """An operator that is no layer.

    Attributes
    ----------
    node, operator : str
    operations : int or None
        Multiply-accumulates or elements, whichever are more; None where nobody knows.
    """

    node: str
    operator: str
    operations: int | None


def given(value: Value, parts: tuple[str, ...], channel: int | None = None) -> Value:
    """Return a tensor with its parts; its data is not known."""
    return Value(value.name, value.type, None, parts, channel)


def joined(values: Sequence[Value]) -> tuple[str, ...]:
    """Return the parts of several tensors, each once."""
    return tuple(dict.fromkeys(part for value in values for part in value.parts))


def seen(shape: tuple[int, ...], channel: int | None) -> Shape:
    """Return a tensor's shape as height, width and channels.

    Of several dimensions beside the channels the last is the width and the others are the height; where there
    is one, it is the width of what has its channels in front (a convolution's), else the height (a
    sequence's).
    """
    if not shape:
        return (1, 1, 1)
    axis = (
        channel if channel is not None and channel < len(shape) else (1 if len(shape) > 3 else len(shape) - 1)
    )
    rest = [size for position, size in enumerate(shape) if position != axis]
    if len(shape) < 3 or (len(shape) == 3 and axis == 2):
        return (prod(rest), 1, shape[axis])
    return (prod(rest[:-1]), rest[-1], shape[axis])


class Builder:
    """A network under construction, and what is noted on the way."""

    def __init__(self) -> None:
        self.network = Network()
        self.unmapped: list[Unmapped] = []
        self.notes: dict[str, None] = {}
        self.weights: dict[str, int] = {}

    def _leave(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        """Count a node as not mapped; what it makes depends on what it reads."""
        operations: int | None = None
        if node.domain in (*STANDARD, "ai.onnx.ml") and node.op_type not in UNCOUNTED:
            sizes = [
                prod(value.known_shape) for value in (*inputs, *outputs) if value.known_shape is not None
            ]
            operations = max(sizes, default=0)
        operator = node.op_type if node.domain in STANDARD else f"{node.domain}.{node.op_type}"
        self.unmapped.append(Unmapped(node_name(node), operator, operations))
        return [given(value, joined(inputs)) for value in outputs]

    def _weight(self, value: Value, name: str) -> None:
        """Note a weight that several layers share: its bytes count once a layer."""
        if value.name:
            self.weights[value.name] = self.weights.get(value.name, 0) + 1
            if self.weights[value.name] == 2:
                self.notes[f"weights `{value.name}` are used again by `{name}`; they count once a layer"] = (
                    None
                )

    def _input(self, value: Value, wanted: Shape) -> Shape:
        """Return the shape a flattening layer reads: that of its one source where it has as many elements."""
        if len(value.parts) == 1:
            shape = self.network.shape_of(value.parts[0])
            if shape is not None and prod(shape) == prod(wanted):
                return shape
        return wanted
