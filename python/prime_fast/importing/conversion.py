"""From ONNX operators to layers.

A tensor's *parts* are the layers (and outside tensors) that it is made of. Operators that compute next to
nothing (activations, normalisations, casts, quantisation) and those that only move elements pass parts on:
the first belong to the layer they follow, the second make the next reader's input a view. What multiplies,
pools or combines two different tensors becomes a layer. What is known to be none of this is counted as not
mapped.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from prime_fast.errors import DataError
from prime_fast.importing import recurrent
from prime_fast.importing.inference import STANDARD, Value, attributes, node_name
from prime_fast.importing.network import Network, Shape, padding_range, transposed_range

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx


def _names(text: str) -> frozenset[str]:
    """Return words as a set."""
    return frozenset(text.split())


# Of one tensor: an activation, a normalisation, another form of the same numbers. Computed where it is made.
PASSED = _names(
    """Abs Acos Acosh ArgMax ArgMin Asin Asinh Atan Atanh BatchNormalization Bernoulli BitCast BitwiseNot Cast
    CastLike Ceil Celu Clip Cos Cosh DequantizeLinear Dropout DynamicQuantizeLinear Elu Erf Exp EyeLike Floor
    Gelu GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN
    LayerNormalization LeakyRelu Log LogSoftmax LpNormalization MeanVarianceNormalization Mish Neg Not OneHot
    PRelu QuantizeLinear RMSNormalization Reciprocal Relu RotaryEmbedding Round Selu Shrink Sigmoid Sign Sin
    Sinh Softmax
    Softplus Softsign Sqrt SwiGLU Swish Tan Tanh ThresholdedRelu Trilu"""
)
# Elements moved, nothing computed.
MOVED = _names(
    """CenterCropPad Compress Concat DepthToSpace Expand Flatten Gather GatherElements GatherND Pad Reshape
    ReverseSequence Slice SpaceToDepth Split Squeeze Tile Transpose Unsqueeze"""
)
# Of several tensors, element by element.
COMBINED = _names(
    """Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max
    Mean Min Mod Mul Or Pow Sub Sum Where Xor"""
)
REDUCED = _names(
    """ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare"""
)
CONTROL = frozenset(("Loop", "Scan", "SequenceMap"))
# Operators of ONNX Runtime's quantiser and optimiser by the standard one, and which inputs that one takes.
CONTRIBUTED: dict[str, tuple[str, tuple[int, ...]]] = {
    "BiasGelu": ("Add", (0, 1)),
    "FastGelu": ("Identity", (0,)),
    "FusedConv": ("Conv", (0, 1, 2)),
    "FusedGemm": ("Gemm", (0, 1, 2)),
    "Gelu": ("Identity", (0,)),
    "QGemm": ("Gemm", (0, 3)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearLeakyRelu": ("Identity", (0,)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearReduceMean": ("ReduceMean", (0,)),
    "QLinearSigmoid": ("Identity", (0,)),
    "QLinearSoftmax": ("Identity", (0,)),
    "QuickGelu": ("Identity", (0,)),
}
# Attributes that the standard operator of a contributed one takes.
TAKEN = {
    "AveragePool": ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"),
    "Conv": ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"),
    "Gemm": ("transA", "transB"),
    "ReduceMean": ("axes", "keepdims"),
}


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


class Converter:
    """Makes layers of nodes, one after the other."""

    def __init__(self) -> None:
        self.network = Network()
        self.unmapped: list[Unmapped] = []
        self.notes: dict[str, None] = {}
        self.weights: dict[str, int] = {}

    # --- what every node goes through -----------------------------------------------------------------------

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

    # --- windows --------------------------------------------------------------------------------------------

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

    # --- products -------------------------------------------------------------------------------------------

    def _gemm(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        a, b = inputs[0], inputs[1]
        inner = a.shape[-2 if attributes(node).get("transA") else -1]
        return self._product(node, a, b, outputs[0], inner)

    def _matmul(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        return self._product(node, inputs[0], inputs[1], outputs[0], inputs[0].shape[-1])

    _matmulinteger = _matmul

    def _qlinearmatmul(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        return self._product(node, inputs[0], inputs[3], outputs[0], inputs[0].shape[-1])

    def _product(self, node: onnx.NodeProto, a: Value, b: Value, output: Value, inner: int) -> list[Value]:
        """Add a product over `inner` elements; batches of the second operand are groups."""
        if 0 in (a.size, b.size, output.size, inner):
            raise DataError(
                f"node `{node_name(node)}`: a product of nothing, {list(a.shape)} by {list(b.shape)}"
            )
        channel: int | None = len(output.shape) - 1
        if a.constant:
            # The transposed product has the weights behind.
            channel = len(output.shape) - min(2, len(b.shape)) if len(a.shape) > 1 else None
            units = 1 if channel is None else output.shape[channel]
            a, b = b, a
        else:
            units = output.shape[-1] if len(b.shape) > 1 else 1
        groups = max(1, b.size // (inner * units))
        rows = output.size // (groups * units)
        return self._products(node, a, b, output, (rows, groups, inner, units), channel)

    def _products(
        self,
        node: onnx.NodeProto,
        a: Value,
        b: Value,
        output: Value,
        sizes: tuple[int, int, int, int],
        channel: int | None,
        suffix: str = "",
    ) -> list[Value]:
        """Add `groups` products of [rows, inner] by [inner, units], the second operand weights or not."""
        rows, groups, inner, units = sizes
        name = node_name(node) + suffix
        source, made = (rows, 1, groups * inner), (rows, 1, groups * units)
        if not b.constant:
            parts = self.network.add(name, "matmul", joined([a, b]), (source, made), groups=groups)
            return [given(output, parts, channel)]
        self._weight(b, name)
        if rows == 1 and groups == 1:
            parts = self.network.add(name, "dense", a.parts, (self._input(a, source), made))
            return [given(output, parts, channel)]
        alike = self._input(a, source)
        if alike[2] == source[2]:
            source, made = alike, (*alike[:2], made[2])
        parts = self.network.add(name, "conv", a.parts, (source, made), groups=groups)
        return [given(output, parts, channel)]

    def _einsum(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        equation = str(attributes(node).get("equation", "")).replace(" ", "")
        terms, _, result = equation.partition("->")
        names = terms.split(",")
        if (
            "." in equation
            or "->" not in equation
            or len(names) > 2
            or any(len({*n}) < len(n) for n in names)
        ):
            return self._leave(node, inputs, outputs)
        if any(len(name) != len(value.shape) for name, value in zip(names, inputs, strict=True)):
            raise DataError(f"node `{node_name(node)}`: {equation!r} doesn't fit its inputs")
        if len(names) == 1:
            return [given(outputs[0], inputs[0].parts)]
        sizes = {
            index: size
            for name, value in zip(names, inputs, strict=True)
            for index, size in zip(name, value.shape, strict=True)
        }
        (a, b), (first, second) = inputs, names
        if a.constant:
            a, b, first, second = b, a, second, first
        kinds = {"rows": 1, "groups": 1, "inner": 1, "units": 1}
        for index, size in sizes.items():
            mine, theirs, out = index in first, index in second, index in result
            if mine and theirs:
                kinds["groups" if out else "inner"] *= size
            elif out:
                kinds["rows" if mine else "units"] *= size
        order = (kinds["rows"], kinds["groups"], kinds["inner"], kinds["units"])
        return self._products(node, a, b, outputs[0], order, None)

    def _attention(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        """Scores of queries by keys, then by values; the operator of opset 23."""
        query, key, value = inputs[:3]
        found = attributes(node)
        output = outputs[0]
        if len(query.shape) == 4:
            batch, heads, rows, inner = query.shape
            length, units = key.shape[2], value.shape[3]
            shared = key.shape[1]
        else:
            batch, rows, width = query.shape
            heads, shared = int(found.get("q_num_heads", 1)), int(found.get("kv_num_heads", 1))
            length, inner, units = key.shape[1], width // max(heads, 1), value.shape[2] // max(shared, 1)
        past = inputs[4] if len(inputs) > 4 and inputs[4].name else None
        length += past.shape[2] if past is not None else 0
        # Heads that share their keys are rows of one product.
        groups, rows = batch * max(shared, 1), rows * max(1, heads // max(shared, 1))
        scores = self._products(node, query, key, output, (rows, groups, inner, length), None, "/scores")
        made = self._products(node, scores[0], value, output, (rows, groups, length, units), None, "/values")
        return [
            given(made[0], made[0].parts, len(output.shape) - 1 if len(output.shape) == 3 else None),
            *(given(each, joined([key, value])) for each in outputs[1:]),
        ]

    # --- recurrent ------------------------------------------------------------------------------------------

    def _lstm(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        value, weight, state = inputs[:3]
        hidden = int(attributes(node).get("hidden_size") or state.shape[-1])
        if not (weight.constant and state.constant):
            return self._leave(node, inputs, outputs)
        if len(value.shape) != 3 or len(state.shape) != 3 or state.shape[-1] != hidden:
            raise DataError(
                f"node `{node_name(node)}` ({node.op_type}): {hidden} hidden units don't fit weights of "
                f"{list(state.shape)} and an input of {list(value.shape)}"
            )
        steps, batch = value.shape[:2] if not attributes(node).get("layout") else value.shape[1::-1]
        if batch > 1:
            self.notes[f"`{node_name(node)}` runs {batch} sequences one after the other"] = None
        for each in (weight, state):
            self._weight(each, node_name(node))
        parts = recurrent.cells(
            self.network,
            node_name(node),
            node.op_type,
            value.parts,
            (steps * batch, value.shape[2], hidden),
            directions=state.shape[0],
            reset_after=bool(attributes(node).get("linear_before_reset", 0)),
        )
        return [given(each, parts, len(each.known_shape or (1, 1, 1)) - 1) for each in outputs]

    _gru = _rnn = _lstm


# Operators that become layers, by the method of that name.
LAYERS = _names(
    """Attention AveragePool Conv ConvInteger ConvTranspose Einsum GRU Gemm GlobalAveragePool GlobalLpPool
    GlobalMaxPool LSTM LpPool MatMul MatMulInteger MaxPool QLinearConv QLinearMatMul RNN Resize Upsample"""
)
# Operators whose work doesn't follow from their shapes.
UNCOUNTED = _names(
    """CausalConvWithState DFT DeformConv Einsum GRU LSTM LinearAttention RNN STFT SVMClassifier SVMRegressor
    TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor"""
)


def given(value: Value, parts: tuple[str, ...], channel: int | None = None) -> Value:
    """Return a tensor with its parts; its data is not known."""
    return Value(value.name, value.type, None, parts, channel)


def _in_range(size: int, outputs: int, kernel: int, stride: int, dilation: int) -> bool:
    least, most = padding_range(size, kernel, stride, dilation)
    return least <= outputs <= most


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


def standard(node: onnx.NodeProto, make: Any) -> onnx.NodeProto | None:
    """Return the standard operator that a contributed one is, or None."""
    if node.domain != "com.microsoft":
        return None
    name, positions = CONTRIBUTED.get(node.op_type, ("", ()))
    if node.op_type == "QLinearConcat":
        name, positions = "Concat", tuple(range(2, len(node.input), 3))
    taken = attributes(node)
    if not name or taken.get("channels_last"):
        return None
    kept = {key: taken[key] for key in TAKEN.get(name, ()) if key in taken}
    if name == "Concat":
        kept = {"axis": taken.get("axis", 0)}
    inputs = [node.input[position] for position in positions if position < len(node.input)]
    made: onnx.NodeProto = make(name, inputs, list(node.output), node.name, **kept)
    return made
