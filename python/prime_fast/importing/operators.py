"""Operators of ONNX by what becomes of them; those of ONNX Runtime by the standard one they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prime_fast.importing.inference import attributes

if TYPE_CHECKING:
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
