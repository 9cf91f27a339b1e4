"""From ONNX operators to layers.

A tensor's *parts* are the layers (and outside tensors) that it is made of. Operators that compute next to
nothing (activations, normalisations, casts, quantisation) and those that only move elements pass parts on:
the first belong to the layer they follow, the second make the next reader's input a view. What multiplies,
pools or combines two different tensors becomes a layer. What is known to be none of this is counted as not
mapped.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from prime_fast.errors import DataError
from prime_fast.importing.building import given, joined, seen
from prime_fast.importing.inference import STANDARD, Value, attributes, node_name
from prime_fast.importing.operators import COMBINED, CONTROL, LAYERS, MOVED, PASSED, REDUCED
from prime_fast.importing.products import Products
from prime_fast.importing.recurrent import Recurrent
from prime_fast.importing.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx


class Converter(Windows, Products, Recurrent):
    """Makes layers of nodes, one after the other."""

    def convert(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        """Return the node's outputs with their parts, and add the layers they take.

        Raises
        ------
        DataError
            If a shape that counts isn't known, or the operator is control flow.
        """
        if node.op_type in CONTROL:
            raise DataError(
                f"node `{node_name(node)}` is a {node.op_type}: control flow can't be imported; export the "
                "network "
                "with its loops unrolled, or as LSTM or GRU"
            )
        parts = joined(inputs)
        if not parts:
            return outputs
        layers: Callable[..., list[Value]] | None = None
        if node.domain in STANDARD:
            layers = getattr(self, f"_{node.op_type.lower()}", None) if node.op_type in LAYERS else None
        if layers is not None:
            return layers(node, inputs, outputs)
        if node.domain in STANDARD:
            if node.op_type in COMBINED:
                return self._combined(node, inputs, outputs)
            if node.op_type in REDUCED:
                return self._reduced(node, inputs, outputs)
            if node.op_type in PASSED or node.op_type in MOVED:
                return self._passed(node, inputs, outputs)
        return self._leave(node, inputs, outputs)

    # --- nothing of its own ---------------------------------------------------------------------------------

    def _passed(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        if node.op_type in ("Gather", "GatherND", "GatherElements") and inputs[0].constant:
            return self._looked_up(node, inputs, outputs)
        if node.op_type == "DynamicQuantizeLinear":
            # Scale and zero point are constants in all that counts.
            return [given(outputs[0], inputs[0].parts, inputs[0].channel), *outputs[1:]]
        channel = _channel(node, inputs)
        parts = joined(inputs if node.op_type in MOVED else inputs[:1]) or joined(inputs)
        ranks = {
            len(value.known_shape or ()) for value in (*outputs, *(each for each in inputs if each.parts))
        }
        return [given(value, parts, channel if len(ranks) == 1 else None) for value in outputs]

    def _looked_up(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        """Rows of a table by number: they arrive as an input of the network."""
        table, output = inputs[0], outputs[0]
        if table.size <= 1024:
            return [given(output, joined(inputs))]
        self.notes[
            f"`{node_name(node)}` looks up rows of a table of {table.size:,} elements: the rows are an input "
            "of the "
            "network, the table is no parameter"
        ] = None
        part = self.network.from_outside(f"rows of {output.name}", seen(output.shape, None))
        return [given(output, (part,), len(output.shape) - 1)]

    # --- element by element, and over axes ------------------------------------------------------------------

    def _combined(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        output = outputs[0]
        operands = {value.parts: value for value in inputs if not value.constant}
        channel = next(
            (
                len(output.known_shape) - len(value.known_shape) + value.channel
                for value in sorted(inputs, key=lambda value: -len(value.known_shape or ()))
                if value.channel is not None and value.known_shape and output.known_shape
            ),
            None,
        )
        if len(operands) == 1:
            return [given(output, next(iter(operands)), channel)]
        shape = seen(output.shape, channel)
        for value in operands.values():
            made = self.network.shape_of(value.parts[0]) if len(value.parts) == 1 else None
            if made is not None and prod(made) == output.size and value.size == output.size:
                shape = made
                break
        parts = self.network.add(
            node_name(node), "elementwise", joined(list(operands.values())), (shape, shape)
        )
        return [given(output, parts, channel)]

    def _reduced(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        value, output = inputs[0], outputs[0]
        rank = len(value.shape)
        found = attributes(node).get("axes")
        if found is None and len(inputs) > 1 and inputs[1].data is not None:
            found = inputs[1].data.reshape(-1).tolist()
        axes = {axis % rank for axis in found} if found and rank else set(range(rank))
        if found is not None and not len(found) and attributes(node).get("noop_with_empty_axes"):
            axes = set()
        channel = value.channel if value.channel is not None else (1 if rank > 3 else rank - 1)
        kept = attributes(node).get("keepdims", 1)
        after = channel if kept else channel - sum(axis < channel for axis in axes)
        window = prod(value.shape[axis] for axis in axes)
        if channel in axes or window == 1 or value.size == 0:
            # A statistic over the channels belongs to the layer it follows, as a normalisation.
            return [given(output, value.parts, None if channel in axes and not kept else after)]
        rest = set(range(rank)) - axes - {channel}
        if all(value.shape[axis] == 1 for axis in rest):
            source = seen(value.shape, channel)
            made = self._input(value, source)
            source = made if made[2] == source[2] else source
            kernel, shape = (source[0], source[1]), (1, 1, source[2])
        else:
            others = prod(value.shape[axis] for axis in rest)
            source, kernel = (others, window, value.shape[channel]), (1, window)
            shape = (others, 1, value.shape[channel])
        parts = self.network.add(node_name(node), "pool", value.parts, (source, shape), kernel=kernel)
        return [given(output, parts, after)]

    def _resize(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        value, output = inputs[0], outputs[0]
        channel = value.channel if value.channel is not None else 1
        if output.shape == value.shape:
            return [given(output, value.parts, channel)]
        shape = seen(output.shape, channel)
        parts = self.network.add(node_name(node), "elementwise", value.parts, (shape, shape))
        return [given(output, parts, channel)]

    _upsample = _resize


def _channel(node: onnx.NodeProto, inputs: list[Value]) -> int | None:
    """Return the axis of the channels after an operator that passes its first activation on."""
    value = next((each for each in inputs if not each.constant), None)
    if value is None or value.channel is None or value.known_shape is None:
        return 1 if node.op_type in ("BatchNormalization", "InstanceNormalization", "DepthToSpace") else None
    rank, found = len(value.known_shape), attributes(node)
    if node.op_type == "Transpose":
        order = found.get("perm") or list(range(rank))[::-1]
        return order.index(value.channel) if value.channel in order else None
    return None if node.op_type in ("Flatten", "Gather", "GatherND", "Reshape") else value.channel
