"""Layers whose window moves over an input: convolutions of all kinds, and pooling."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from prime_fast.errors import DataError
from prime_fast.importing.building import Builder, given, joined
from prime_fast.importing.inference import Value, attributes, node_name
from prime_fast.importing.network import padding_range, transposed_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx


class Windows(Builder):
    """Makes the layers of convolutions and pooling."""

    def _window(
        self,
        node: onnx.NodeProto,
        value: Value,
        output: Value,
        kernel: Sequence[int],
        *,
        kind: str,
        groups: int = 1,
    ) -> list[Value]:
        """Add a layer whose window moves over what lies behind the channels."""
        found = attributes(node)
        shape, made = value.shape, output.shape
        dimensions = len(shape) - 2
        if dimensions < 1 or len(made) != len(shape) or len(kernel) != dimensions:
            raise DataError(
                f"node `{node_name(node)}` ({node.op_type}): a window of {list(kernel)} over {list(shape)}"
            )
        strides = list(found.get("strides") or [1] * dimensions)
        dilations = list(found.get("dilations") or [1] * dimensions)
        if (
            len(strides) != dimensions
            or len(dilations) != dimensions
            or min(*strides, *dilations, *kernel) < 1
        ):
            raise DataError(
                f"node `{node_name(node)}` ({node.op_type}): strides {strides}, dilations {dilations}"
            )
        ends = (shape[2:], made[2:], list(kernel), strides, dilations)
        width = tuple(each[-1] for each in ends)
        # The height: what there is of one, else one row; several dimensions and batches are rows one below
        # the other.
        images = prod(shape[:1]) * prod(made[2:-2] or (1,))
        height = (
            (shape[-2], made[-2], kernel[-2], strides[-2], dilations[-2])
            if dimensions > 1
            else (1, 1, 1, 1, 1)
        )
        deep = prod(kernel[:-2])
        rows = (shape[0] * height[0], shape[0] * height[1], *height[2:])
        if dimensions > 2 or not _in_range(*rows):
            # Every output row has rows of its own.
            taps = deep * height[2]
            rows = (images * height[1] * taps, images * height[1], taps, taps, 1)
        columns = width if _in_range(*width) else (width[1] * width[2], width[1], width[2], width[2], 1)
        parts = self.network.add(
            node_name(node),
            kind,
            value.parts,
            ((rows[0], columns[0], shape[1]), (rows[1], columns[1], made[1])),
            kernel=(rows[2], columns[2]),
            stride=(rows[3], columns[3]),
            dilation=(rows[4], columns[4]),
            groups=groups,
        )
        return [given(output, parts, 1)]

    def _conv(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        return self._convolved(node, inputs[0], inputs[1], outputs[0])

    _convinteger = _conv

    def _qlinearconv(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        return self._convolved(node, inputs[0], inputs[3], outputs[0])

    def _convolved(self, node: onnx.NodeProto, value: Value, weight: Value, output: Value) -> list[Value]:
        groups = int(attributes(node).get("group", 1))
        shape, kernel = value.shape, weight.shape
        if len(kernel) < 3 or groups < 1 or len(shape) != len(kernel) or kernel[1] * groups != shape[1]:
            raise DataError(
                f"node `{node_name(node)}` ({node.op_type}): weights of {list(kernel)} in {groups} groups "
                "don't fit "
                f"an input of {list(shape)}"
            )
        if kernel[0] % groups:
            raise DataError(
                f"node `{node_name(node)}`: {groups} groups don't divide {kernel[0]} output channels"
            )
        if not weight.constant:
            # A product of two activations, the input unrolled.
            inner, pixels = prod(kernel[1:]), output.size // kernel[0]
            source, made = (pixels, 1, inner * groups), (pixels, 1, kernel[0])
            parts = self.network.add(
                node_name(node), "matmul", joined([value, weight]), (source, made), groups=groups
            )
            return [given(output, parts, 1)]
        self._weight(weight, node_name(node))
        depthwise = groups == shape[1] and groups > 1
        kind = "depthwise" if depthwise else "conv"
        return self._window(node, value, output, kernel[2:], kind=kind, groups=groups)

    def _convtranspose(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        value, weight, output = inputs[0], inputs[1], outputs[0]
        groups = int(attributes(node).get("group", 1))
        shape, kernel, made = value.shape, weight.shape, output.shape
        dimensions = len(shape) - 2
        found = attributes(node)
        strides = list(found.get("strides") or [1] * dimensions)
        dilations = list(found.get("dilations") or [1] * dimensions)
        sizes = (len(kernel), len(made), len(strides) + 2, len(dilations) + 2)
        if (
            dimensions < 1
            or {*sizes} != {len(shape)}
            or kernel[0] != shape[1]
            or not weight.constant
            or groups < 1
        ):
            raise DataError(
                f"node `{node_name(node)}` (ConvTranspose): weights of {list(kernel)} don't fit an input of "
                f"{list(shape)}"
            )
        self._weight(weight, node_name(node))
        rows = prod((*shape[:1], *shape[2:-1]))
        window = (prod(kernel[2:-1]), kernel[-1])
        stride = (prod(strides[:-1]), strides[-1])
        dilation = (dilations[-2] if dimensions == 2 else 1, dilations[-1])
        # What padding crops beyond a kernel is computed, and left out by whoever reads it.
        size = [
            min(max(wanted, least), most)
            for wanted, (least, most) in (
                (prod((*made[:1], *made[2:-1])), transposed_range(rows, window[0], stride[0], dilation[0])),
                (made[-1], transposed_range(shape[-1], window[1], stride[1], dilation[1])),
            )
        ]
        parts = self.network.add(
            node_name(node),
            "transposed_conv",
            value.parts,
            ((rows, shape[-1], shape[1]), (size[0], size[1], made[1])),
            kernel=window,
            stride=stride,
            dilation=dilation,
            groups=groups,
        )
        return [given(output, parts, 1)]

    def _maxpool(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        kernel = attributes(node).get("kernel_shape") or []
        (made,) = self._window(node, inputs[0], outputs[0], kernel, kind="pool")
        return [made, *(given(value, made.parts, 1) for value in outputs[1:])]

    _averagepool = _lppool = _maxpool

    def _globalaveragepool(
        self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]
    ) -> list[Value]:
        value, output = inputs[0], outputs[0]
        return self._window(node, value, output, value.shape[2:], kind="pool")

    _globalmaxpool = _globallppool = _globalaveragepool


def _in_range(size: int, outputs: int, kernel: int, stride: int, dilation: int) -> bool:
    least, most = padding_range(size, kernel, stride, dilation)
    return least <= outputs <= most
