"""Networks from ONNX files: the layers they become, and what is said of files that don't become any."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="the extra prime-fast[onnx] is not installed")

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import FLOAT, Graph, attention, mobilenet_v2, resnet18, unet

import prime_fast as pf
from prime_fast.importing import Imported, import_onnx

Run = Callable[..., tuple[int, str, str]]


def imported(graph: Graph, *outputs: str, path: Path, **options: Any) -> Imported:
    return import_onnx(graph.save(path / "model.onnx", *outputs), "net", **options)


def described(application: pf.Application) -> list[dict[str, Any]]:
    """Return the layers with the places of their producers in the place of names."""
    names = ["input", *(layer["name"] for layer in application.layers)]
    return [
        {**layer, "name": "", "inputs": [names.index(name) for name in layer["inputs"] if name != "state"]}
        for layer in application.layers
    ]


def counted(found: Imported) -> list[tuple[str, int, int]]:
    """Return kind, multiply-accumulates and weights of each layer."""
    return [(layer["kind"], layer["macs"], layer["parameter_bytes"]) for layer in found.application.layers]


# --- networks that ship with the package ------------------------------------------------------------------


@pytest.mark.parametrize("build", [mobilenet_v2, resnet18, unet])
def test_an_imported_network_has_the_bundled_layers(
    build: Callable[[], tuple[Graph, str]], tmp_path: Path
) -> None:
    name = {"mobilenet_v2": "MobileNetV2", "resnet18": "ResNet-18", "unet": "U-Net"}[build.__name__]
    graph, output = build()
    dims = {"batch": 1} if name == "MobileNetV2" else {}
    found = imported(graph, output, path=tmp_path, dims=dims)
    bundled = pf.Application.bundled(name)
    assert described(found.application) == described(bundled)
    assert found.application.input == bundled.input
    assert found.application.totals == bundled.totals
    assert (found.unmapped, found.share, found.notes) == ((), 0.0, ())
    assert "view" not in found.toml


@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23])
def test_opsets(opset: int, tmp_path: Path) -> None:
    graph, output = mobilenet_v2(opset, size=64, classes=10)
    found = imported(graph, output, path=tmp_path, dims={"x.0": 1})
    graph, output = mobilenet_v2(17, size=64, classes=10)
    assert (
        found.toml.replace(f"opset {opset}", "opset 17")
        == imported(graph, output, path=tmp_path, dims={"batch": 1}).toml
    )


# --- kinds of layers --------------------------------------------------------------------------------------


def test_attention(tmp_path: Path) -> None:
    tokens, width, heads = 50, 64, 4
    graph, output = attention(width, heads)
    found = imported(graph, output, path=tmp_path, dims={"batch": 1, "tokens": tokens})
    product = tokens * width * width
    scores = tokens * tokens * width
    assert counted(found) == [
        ("conv", 3 * product, 3 * width * width),
        ("matmul", scores, 0),
        ("matmul", scores, 0),
        ("conv", product, width * width),
        ("elementwise", 0, 0),
        ("conv", 4 * product, 4 * width * width),
        ("conv", 4 * product, 4 * width * width),
        ("elementwise", 0, 0),
    ]
    layers = found.application.layers
    assert [layer["groups"] for layer in layers[1:3]] == [heads, heads]
    assert layers[1]["input_bytes"] == 2 * tokens * width
    assert layers[2]["input_bytes"] == heads * tokens * tokens + tokens * width
    assert found.application.input == [tokens, 1, width]


def test_the_attention_operator_is_its_two_products(tmp_path: Path) -> None:
    graph = Graph(23)
    query, key, value = (
        graph.input(name, [1, length, 64]) for name, length in (("q", 10), ("k", 30), ("v", 30))
    )
    output = graph.node("Attention", query, key, value, q_num_heads=4, kv_num_heads=4)
    found = imported(graph, output, path=tmp_path)
    assert counted(found) == [("matmul", 10 * 30 * 64, 0), ("matmul", 10 * 30 * 64, 0)]
    assert found.application.input == [1, 1, 10 * 64 + 2 * 30 * 64]


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("steps", [1, 20])
def test_lstm(steps: int, directions: int, tmp_path: Path) -> None:
    features, hidden = 24, 32
    graph = Graph()
    x = graph.input("x", [steps, 1, features])
    y, _, _ = graph.node(
        "LSTM",
        x,
        graph.weight(directions, 4 * hidden, features),
        graph.weight(directions, 4 * hidden, hidden),
        graph.weight(directions, 8 * hidden),
        "",
        graph.input("h", [directions, 1, hidden]),
        graph.input("c", [directions, 1, hidden]),
        outputs=3,
        hidden_size=hidden,
        direction="forward" if directions == 1 else "bidirectional",
    )
    y = graph.node("Transpose", graph.node("Squeeze", y, graph.constant([2])), perm=[0, 2, 1])
    y = graph.node("Reshape", y, graph.constant([steps, -1]))
    y = graph.node("MatMul", y, graph.weight(hidden * directions, 10))
    found = imported(graph, y, path=tmp_path)
    own, past = features * hidden, hidden * hidden
    gates = [("recurrent", steps * own, own)] * 4 + [("recurrent", steps * past, past)] * 4
    cells = [*gates, ("elementwise", 0, 0), ("elementwise", 0, 0)] * directions
    last = hidden * directions * 10
    assert counted(found) == [*cells, ("dense" if steps == 1 else "conv", steps * last, last)]
    # The states carried over are no inputs of the network.
    assert found.application.input == [steps, 1, features]
    cell = found.application.layers[8]
    assert cell["vector_operations"] == 7 * steps * hidden
    assert "state" in cell["inputs"]


@pytest.mark.parametrize("reset_after", [0, 1])
def test_gru(reset_after: int, tmp_path: Path) -> None:
    steps, features, hidden = 7, 24, 32
    graph = Graph()
    y, _ = graph.node(
        "GRU",
        graph.input("x", [steps, "batch", features]),
        graph.weight(1, 3 * hidden, features),
        graph.weight(1, 3 * hidden, hidden),
        outputs=2,
        hidden_size=hidden,
        linear_before_reset=reset_after,
    )
    found = imported(graph, y, path=tmp_path, dims={"batch": 1})
    totals = found.application.totals
    assert totals["macs"] == steps * 3 * hidden * (features + hidden)
    assert totals["parameter_bytes"] == 3 * hidden * (features + hidden)
    assert totals["recurrent_layers"] == 6
    combined = [layer for layer in found.application.layers if layer["kind"] == "elementwise"]
    assert len(combined) == (1 if reset_after else 2)
    again = imported(graph, y, path=tmp_path, dims={"batch": 3})
    assert again.application.totals["macs"] == 3 * totals["macs"]
    assert any("3 sequences" in note for note in again.notes)


def test_a_net_of_one_dimensional_convolutions(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.input("x", [1, 40, 100])
    x = graph.conv(x, (40, 64), 3, pads=[1, 1], strides=[2])
    for dilation in (1, 2, 4):
        y = graph.conv(x, (64, 64), 5, group=64, pads=[2 * dilation] * 2, dilations=[dilation])
        y = graph.node("Relu", graph.norm(y, 64))
        x = graph.node("Add", x, graph.conv(y, (64, 64), 1))
    x = graph.node("GlobalAveragePool", x)
    x = graph.node("Gemm", graph.node("Squeeze", x, graph.constant([2])), graph.weight(64, 12))
    found = imported(graph, x, path=tmp_path)
    block = [
        ("depthwise", 50 * 5 * 64, 5 * 64),
        ("conv", 50 * 64 * 64, 64 * 64),
        ("elementwise", 0, 0),
    ]
    assert counted(found) == [
        ("conv", 50 * 3 * 40 * 64, 3 * 40 * 64),
        *block * 3,
        ("pool", 0, 0),
        ("dense", 64 * 12, 64 * 12),
    ]
    layers = found.application.layers
    assert layers[0]["kernel"] == [1, 3]
    assert [layer["dilation"] for layer in layers if layer["kind"] == "depthwise"] == [[1, 1], [1, 2], [1, 4]]
    assert not any(layer["view"] for layer in layers)


CONVOLUTIONS: dict[str, tuple[list[int], tuple[int, ...], dict[str, Any], int]] = {
    # Input, weights, attributes; outputs beside their channels.
    "grouped": ([1, 12, 10, 10], (18, 4, 3, 3), {"group": 3}, 64),
    "channel multiplier": ([1, 6, 10, 10], (18, 1, 3, 3), {"group": 6}, 64),
    "dilated": ([1, 6, 10, 10], (8, 6, 3, 3), {"dilations": [3, 2], "pads": [3, 2, 3, 2]}, 100),
    "over-padded": ([1, 6, 10, 10], (8, 6, 1, 1), {"pads": [2, 2, 2, 2]}, 196),
    "asymmetric": ([1, 6, 10, 20], (8, 6, 2, 5), {"pads": [0, 4, 1, 0], "strides": [1, 3]}, 10 * 7),
    "of a batch": ([4, 6, 10, 10], (8, 6, 3, 3), {}, 4 * 64),
    "depthwise of a batch": ([4, 6, 10, 10], (6, 1, 3, 3), {"group": 6}, 4 * 64),
    "of volumes": ([1, 6, 8, 10, 12], (8, 6, 3, 3, 3), {"strides": [2, 1, 2]}, 3 * 8 * 5),
    "depthwise of volumes": ([1, 6, 8, 8, 8], (6, 1, 3, 3, 3), {"group": 6, "pads": [1] * 6}, 512),
    "of a line": ([2, 6, 50], (8, 6, 5), {"strides": [3]}, 2 * 16),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case: str, tmp_path: Path) -> None:
    shape, weights, attributes, pixels = CONVOLUTIONS[case]
    graph = Graph()
    y = graph.node("Conv", graph.input("x", shape), graph.weight(*weights), **attributes)
    (layer,) = imported(graph, y, path=tmp_path).application.layers
    assert layer["kind"] == ("depthwise" if attributes.get("group", 1) == shape[1] else "conv")
    assert (layer["parameter_bytes"], layer["macs"]) == (prod(weights), pixels * prod(weights))
    assert (layer["input_bytes"], layer["output_bytes"]) == (prod(shape), pixels * weights[0])


TRANSPOSED: dict[str, tuple[list[int], tuple[int, ...], dict[str, Any], int]] = {
    "doubling": ([1, 8, 5, 6], (8, 4, 2, 2), {"strides": [2, 2]}, 10 * 12),
    "cropped": ([1, 8, 5, 6], (8, 4, 4, 4), {"strides": [2, 2], "pads": [1] * 4}, 10 * 12),
    "grouped": ([1, 8, 5, 6], (8, 2, 3, 3), {"group": 2}, 7 * 8),
    "of a line": ([1, 8, 9], (8, 4, 4), {"strides": [2], "output_padding": [1]}, 21),
    "dilated": ([1, 8, 5, 5], (8, 4, 3, 3), {"dilations": [2, 2]}, 81),
    "of volumes": ([1, 8, 4, 5, 6], (8, 4, 2, 2, 2), {"strides": [2, 2, 2]}, 8 * 10 * 12),
}


@pytest.mark.parametrize("case", TRANSPOSED)
def test_transposed_convolutions(case: str, tmp_path: Path) -> None:
    shape, weights, attributes, pixels = TRANSPOSED[case]
    graph = Graph()
    y = graph.node("ConvTranspose", graph.input("x", shape), graph.weight(*weights), **attributes)
    (layer,) = imported(graph, y, path=tmp_path).application.layers
    assert layer["kind"] == "transposed_conv"
    assert (layer["parameter_bytes"], layer["macs"]) == (prod(weights), prod(shape[2:]) * prod(weights))
    assert layer["output_bytes"] == pixels * weights[1] * attributes.get("group", 1)


PRODUCTS: dict[str, tuple[str, list[list[int]], list[int], dict[str, Any], tuple[str, int, int]]] = {
    # Operator, shapes of inputs, shape of the weights, attributes; kind, multiply-accumulates, weights.
    "dense": ("MatMul", [[1, 30]], [30, 7], {}, ("dense", 210, 210)),
    "rows": ("MatMul", [[1, 9, 30]], [30, 7], {}, ("conv", 9 * 210, 210)),
    "vector": ("MatMul", [[30]], [30, 7], {}, ("dense", 210, 210)),
    "by a vector": ("MatMul", [[9, 30]], [30], {}, ("conv", 9 * 30, 30)),
    "weights first": ("MatMul", [[30, 9]], [7, 30], {"first": True}, ("conv", 9 * 210, 210)),
    "batched weights": ("MatMul", [[4, 9, 30]], [4, 30, 7], {}, ("conv", 4 * 9 * 210, 4 * 210)),
    "broadcast weights": ("MatMul", [[1, 9, 30]], [4, 30, 7], {}, ("conv", 4 * 9 * 210, 4 * 210)),
    "transposed": ("Gemm", [[30, 9]], [7, 30], {"transA": 1, "transB": 1}, ("conv", 9 * 210, 210)),
    "activations": ("MatMul", [[2, 9, 30], [2, 30, 7]], [], {}, ("matmul", 2 * 9 * 210, 0)),
    "shared keys": ("MatMul", [[2, 8, 9, 30], [2, 1, 30, 7]], [], {}, ("matmul", 16 * 9 * 210, 0)),
    "squared": ("MatMul", [[30, 30]], [], {"again": True}, ("matmul", 27000, 0)),
    "sum of products": (
        "Einsum", [[2, 9, 30]], [30, 7], {"equation": "bik,kj->bij"}, ("conv", 18 * 210, 210)
    ),
    "heads": (
        "Einsum", [[1, 9, 4, 30], [1, 7, 4, 30]], [], {"equation": "bqhd,bkhd->bhqk"},
        ("matmul", 4 * 9 * 210, 0),
    ),
    "integers": ("MatMulInteger", [[9, 30]], [30, 7], {"kind": TensorProto.INT8}, ("conv", 9 * 210, 210)),
}  # fmt: skip


@pytest.mark.parametrize("case", PRODUCTS)
def test_products(case: str, tmp_path: Path) -> None:
    operator, shapes, weights, attributes, expected = PRODUCTS[case]
    attributes = dict(attributes)
    graph, kind = Graph(), attributes.pop("kind", FLOAT)
    operands = [graph.input(f"x{number}", shape, kind) for number, shape in enumerate(shapes)]
    operands += [graph.weight(*weights, kind=kind)] if weights else []
    operands *= 2 if attributes.pop("again", False) else 1
    operands = operands[:: -1 if attributes.pop("first", False) else 1]
    found = imported(graph, graph.node(operator, *operands, **attributes), path=tmp_path)
    assert counted(found) == [expected]
    (layer,) = found.application.layers
    assert layer["input_bytes"] == sum(map(prod, shapes))


# --- what is no layer -------------------------------------------------------------------------------------


def test_activations_and_normalisations_belong_to_the_layer_before(tmp_path: Path) -> None:
    graph = Graph(20)
    x = graph.input("x", [1, 8, 6, 6])
    y = graph.conv(x, (8, 8), 3, 3)
    swish = graph.node("Mul", y, graph.node("Sigmoid", y))
    y = graph.node("InstanceNormalization", swish, graph.weight(8), graph.weight(8))
    y = graph.node("PRelu", y, graph.weight(8, 1, 1))
    hard = graph.node("Clip", graph.node("Add", y, graph.constant(3, "float32")))
    y = graph.node("Mul", y, graph.node("Div", hard, graph.constant(6, "float32")))
    y = graph.node("Transpose", y, perm=[0, 2, 3, 1])
    # A layer normalisation piece by piece, over the channels.
    centred = graph.node("Sub", y, graph.node("ReduceMean", y, graph.constant([-1])))
    spread = graph.node(
        "ReduceMean", graph.node("Pow", centred, graph.constant(2, "float32")), graph.constant([-1])
    )
    y = graph.node(
        "Div", centred, graph.node("Sqrt", graph.node("Add", spread, graph.constant(1e-5, "float32")))
    )
    y = graph.node("Gelu", graph.node("Mul", y, graph.weight(8)))
    y = graph.node("MatMul", y, graph.weight(8, 5))
    found = imported(graph, y, path=tmp_path)
    assert [layer["kind"] for layer in found.application.layers] == ["conv", "conv"]
    assert found.application.layers[1]["input"] == [4, 4, 8]
    assert not found.application.layers[1]["view"]


def test_moved_elements_make_views(tmp_path: Path) -> None:
    graph = Graph(18)
    x = graph.input("x", [1, 8, 6, 6])
    left, right = graph.node("Split", x, outputs=2, axis=1, num_outputs=2)
    half = graph.conv(left, (4, 4), 3, 3, pads=[1] * 4)
    joined = graph.node("Concat", half, right, axis=1)
    mixed = graph.node("Reshape", joined, graph.constant([1, 2, 4, 6, 6]))
    mixed = graph.node("Transpose", mixed, perm=[0, 2, 1, 3, 4])
    mixed = graph.node("Reshape", mixed, graph.constant([1, 8, 6, 6]))
    deep = graph.node("DepthToSpace", graph.conv(mixed, (8, 12), 1, 1), blocksize=2)
    padded = graph.node("Pad", deep, graph.constant([0, 0, 1, 1, 0, 0, 1, 1]))
    output = graph.conv(padded, (3, 2), 3, 3)
    found = imported(graph, output, path=tmp_path)
    first, second, last = found.application.layers
    assert [layer["view"] for layer in (first, second, last)] == [True, True, True]
    # Half of the input is read, then what was convolved and the other half, then what was rearranged.
    assert [layer["input_bytes"] for layer in (first, second, last)] == [144, 288, 432]
    assert second["inputs"] == [first["name"], "input"]
    # Padding that a kernel takes itself is no view.
    graph = Graph(18)
    padded = graph.node("Pad", graph.input("x", [1, 3, 6, 6]), graph.constant([0, 0, 1, 1, 0, 0, 1, 1]))
    (layer,) = imported(graph, graph.conv(padded, (3, 2), 3, 3), path=tmp_path).application.layers
    assert (layer["input"], layer["view"]) == ([6, 6, 3], False)


def test_pools_resizes_and_gates(tmp_path: Path) -> None:
    graph = Graph(18)
    x = graph.input("x", [1, 8, 12, 12])
    x = graph.conv(x, (8, 8), 1, 1)
    gate = graph.node("ReduceMean", x, graph.constant([2, 3]))
    gate = graph.node("HardSigmoid", graph.conv(gate, (8, 8), 1, 1))
    x = graph.node("Mul", x, gate)
    x = graph.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    up = graph.node("Resize", x, "", graph.constant([1, 1, 2, 2], "float32"), mode="nearest")
    rows = graph.node("ReduceMax", up, graph.constant([3]))
    y = graph.node("Add", up, rows)
    found = imported(graph, y, path=tmp_path)
    layers = found.application.layers
    assert [layer["kind"] for layer in layers] == [
        "conv", "pool", "conv", "elementwise", "pool", "elementwise", "pool", "elementwise"
    ]  # fmt: skip
    assert [layer["vector_operations"] for layer in layers] == [
        0, 8 * 144, 0, 2 * 8 * 144, 9 * 8 * 36, 8 * 144, 8 * 144, 2 * 8 * 144
    ]  # fmt: skip
    assert layers[5]["input_bytes"] == 8 * 36
    assert layers[7]["inputs"] == [layers[5]["name"], layers[6]["name"]]


# --- quantised graphs -------------------------------------------------------------------------------------


def scales(graph: Graph) -> tuple[str, str]:
    return graph.constant(0.1, "float32"), graph.constant(0, "uint8")


def test_quantised_graphs_are_those_of_floats(tmp_path: Path) -> None:
    byte = TensorProto.UINT8

    def floats(graph: Graph) -> str:
        x = graph.conv(graph.input("x", [1, 8, 10, 10]), (8, 16), 3, 3)
        x = graph.node("GlobalAveragePool", graph.node("Add", x, graph.conv(x, (16, 16), 1, 1)))
        return str(graph.node("MatMul", graph.node("Flatten", x), graph.weight(16, 4)))

    def pairs(graph: Graph) -> str:
        """Quantise and dequantise around each operator, weights included."""

        def both(x: str) -> str:
            x = graph.node("QuantizeLinear", x, *scales(graph))
            return str(graph.node("DequantizeLinear", x, *scales(graph)))

        def weight(*shape: int) -> str:
            return str(graph.node("DequantizeLinear", graph.weight(*shape, kind=byte), *scales(graph)))

        x = graph.node("Conv", both(graph.input("x", [1, 8, 10, 10])), weight(16, 8, 3, 3))
        y = graph.node("Conv", both(x), weight(16, 16, 1, 1))
        x = graph.node("GlobalAveragePool", both(graph.node("Add", both(x), both(y))))
        return str(graph.node("MatMul", both(graph.node("Flatten", x)), weight(16, 4)))

    def operators(graph: Graph) -> str:
        """Use operators of integers, those of ONNX Runtime's quantiser among them."""
        graph.domains.append(("com.microsoft", 1))
        contributed: dict[str, Any] = {"domain": "com.microsoft"}

        def conv(x: str, *weights: int) -> str:
            weight = graph.weight(*weights, kind=byte)
            inputs = (x, *scales(graph), weight, *scales(graph), *scales(graph))
            return str(graph.node("QLinearConv", *inputs))

        x = graph.node("QuantizeLinear", graph.input("x", [1, 8, 10, 10]), *scales(graph))
        x = conv(x, 16, 8, 3, 3)
        y = conv(x, 16, 16, 1, 1)
        x = graph.node("QLinearAdd", x, *scales(graph), y, *scales(graph), *scales(graph), **contributed)
        x = graph.node(
            "QLinearGlobalAveragePool", x, *scales(graph), *scales(graph), channels_last=0, **contributed
        )
        x = graph.node("Flatten", x)
        weight = graph.weight(16, 4, kind=byte)
        return str(graph.node("QLinearMatMul", x, *scales(graph), weight, *scales(graph), *scales(graph)))

    def integers(graph: Graph) -> str:
        """Quantise dynamically."""

        def quantised(x: str, op: str, *weights: int) -> str:
            x, scale, zero = graph.node("DynamicQuantizeLinear", x, outputs=3)
            y = graph.node(op, x, graph.weight(*weights, kind=byte), zero, graph.constant(0, "uint8"))
            y = graph.node("Cast", y, to=FLOAT)
            return str(graph.node("Mul", y, graph.node("Mul", scale, graph.constant(0.1, "float32"))))

        x = quantised(graph.input("x", [1, 8, 10, 10]), "ConvInteger", 16, 8, 3, 3)
        x = graph.node("Add", x, quantised(x, "ConvInteger", 16, 16, 1, 1))
        x = graph.node("GlobalAveragePool", x)
        return quantised(graph.node("Flatten", x), "MatMulInteger", 16, 4)

    expected = None
    for build in (floats, pairs, operators, integers):
        graph = Graph()
        found = imported(graph, build(graph), path=tmp_path)
        assert found.unmapped == ()
        layers = described(found.application)
        expected = expected or layers
        assert layers == expected, build.__name__


# --- branches, functions, tables --------------------------------------------------------------------------


def branching(condition: str | None = None) -> tuple[Graph, str]:
    """Build a graph whose If depends on an input, or on a node of that operator."""
    graph = Graph()
    x = graph.input("x", [1, 8, 6, 6])
    rate = graph.input("rate", [], TensorProto.INT64)
    test = graph.node("Equal", rate, graph.constant(16000)) if condition is None else graph.node(condition, x)
    branches = {}
    for name, kernel in (("then_branch", 3), ("else_branch", 1)):
        weight = graph.weight(4, 8, kernel, kernel)
        node = helper.make_node("Conv", [x, weight], [f"{name}_y"], name=f"{name}_conv")
        info = helper.make_tensor_value_info(f"{name}_y", FLOAT, None)
        branches[name] = helper.make_graph([node], name, [], [info])
    return graph, graph.node("If", test, **branches)


def test_a_branch_of_a_constant_condition_is_taken(tmp_path: Path) -> None:
    graph, output = branching()
    for rate, macs in ((16000, 16 * 9 * 32), (8000, 36 * 32)):
        found = imported(graph, output, path=tmp_path, values={"rate": rate})
        assert found.application.totals["macs"] == macs
        assert found.application.input == [6, 6, 8]


def test_functions_of_a_file_are_written_out(tmp_path: Path) -> None:
    graph = Graph()
    nodes = [
        helper.make_node("Conv", ["a", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["d"]),
    ]
    opsets = [helper.make_opsetid("", 17)]
    graph.functions.append(helper.make_function("own", "Block", ["a", "b"], ["d"], nodes, opsets))
    graph.domains.append(("own", 1))
    x = graph.input("x", [1, 8, 6, 6])
    for _ in range(2):
        x = graph.node("Block", x, graph.weight(8, 8, 3, 3), domain="own")
    assert counted(imported(graph, x, path=tmp_path)) == [("conv", 36 * 576, 576)] * 2


def test_rows_of_a_table_are_inputs(tmp_path: Path) -> None:
    graph = Graph()
    words = graph.node("Gather", graph.weight(30000, 64), graph.input("ids", [1, 20], TensorProto.INT64))
    x = graph.node("Add", words, graph.weight(1, 20, 64))
    found = imported(graph, graph.node("MatMul", x, graph.weight(64, 8)), path=tmp_path)
    assert found.application.input == [20, 1, 64]
    assert found.application.totals["parameter_bytes"] == 512
    assert any("table of 1,920,000 elements" in note for note in found.notes)


def test_weights_that_two_layers_share_count_twice_and_are_told(tmp_path: Path) -> None:
    graph = Graph()
    x, weight = graph.input("x", [1, 64]), graph.weight(64, 64)
    x = graph.node("MatMul", graph.node("Relu", graph.node("MatMul", x, weight)), weight)
    found = imported(graph, x, path=tmp_path)
    assert found.application.totals["parameter_bytes"] == 2 * 64 * 64
    assert any("count once a layer" in note for note in found.notes)


def test_what_no_output_needs_is_left_out(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.input("x", [1, 8, 6, 6])
    y = graph.conv(x, (8, 4), 3, 3)
    graph.conv(graph.input("other", ["n", 8, "h", "w"]), (8, 4), 3, 3)
    assert len(imported(graph, y, path=tmp_path).application.layers) == 1


# --- what can't be mapped ---------------------------------------------------------------------------------


def detector(channels: int) -> tuple[Graph, str]:
    graph = Graph()
    x = graph.conv(graph.input("x", [1, 3, 64, 64]), (3, channels), 3, 3)
    values, _ = graph.node(
        "TopK", graph.node("Reshape", x, graph.constant([1, -1])), graph.constant([100]), outputs=2
    )
    return graph, values


def test_what_is_not_mapped_is_listed_with_its_share(run: Run, tmp_path: Path) -> None:
    graph, output = detector(8)
    graph.save(tmp_path / "model.onnx", output)
    macs, left = 62 * 62 * 27 * 8, 62 * 62 * 8
    share = left / (macs + left)
    code, out, err = run("workload", "import", "model.onnx", "--out", "net.toml")
    assert (code, out) == (3, "")
    assert f"{100 * share:.3g}% of the operations are in operators that can't be mapped" in err
    assert "TopK" in err
    assert "more than the 1% of --most-unmapped" in err
    assert not (tmp_path / "net.toml").exists()
    arguments = ("workload", "import", "model.onnx", "--out", "net.toml", "--most-unmapped", "0.05")
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert f"Not mapped: 1 TopK, share of the operations {100 * share:.3g}%" in out
    code, out, _ = run(*arguments, "--json")
    told = json.loads(out)
    assert told["unmapped"] == [{"operator": "TopK", "nodes": 1, "operations": left}]
    assert told["unmapped_share"] == pytest.approx(share)
    assert told["totals"]["macs"] == macs


def test_work_that_nobody_knows_is_left_out_on_request_alone(tmp_path: Path) -> None:
    graph = Graph()
    graph.domains.append(("acme", 1))
    x = graph.conv(graph.input("x", [1, 3, 64, 64]), (3, 8), 3, 3)
    y = graph.node("Warp", x, domain="acme")
    with pytest.raises(pf.DataError, match=r"acme\.Warp.*--most-unmapped 1"):
        imported(graph, y, path=tmp_path, most_unmapped=0.5)
    found = imported(graph, y, path=tmp_path, most_unmapped=1.0)
    assert [each.operator for each in found.unmapped] == ["acme.Warp"]
    assert found.operators() == {"acme.Warp": (1, None)}


# --- mistakes ---------------------------------------------------------------------------------------------


def conv_net(path: Path) -> None:
    graph = Graph()
    y = graph.conv(graph.input("x", ["batch", 3, "height", 32]), (3, 8), 3, 3)
    graph.save(path, y)


def no_model(path: Path) -> None:
    path.write_bytes(b"\x08this is text, not a model\n")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    conv_net(path)
    path.write_bytes(path.read_bytes()[:-40])


def no_graph(path: Path) -> None:
    path.write_bytes(helper.make_model(helper.make_graph([], "g", [], [])).SerializeToString()[:10])


def unknown_operator(path: Path) -> None:
    graph = Graph()
    graph.save(path, graph.node("Convolution", graph.input("x", [1, 3])))


def loop(path: Path) -> None:
    graph = Graph()
    x = graph.input("x", [1, 8])
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c_out"]), helper.make_node("Relu", ["v"], ["v_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, [1, 8]),
        ],
        [
            helper.make_tensor_value_info("c_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_out", FLOAT, [1, 8]),
        ],
    )
    graph.save(path, graph.node("Loop", graph.constant(10), graph.constant(True, "bool"), x, body=body))


def branch(path: Path) -> None:
    graph, output = branching()
    graph.save(path, output)


def data_dependent(path: Path) -> None:
    graph = Graph()
    x = graph.input("x", [1, 64])
    found = graph.node("Transpose", graph.node("NonZero", x))
    graph.save(path, graph.node("MatMul", graph.node("Cast", found, to=FLOAT), graph.weight(2, 8)))


def misfit(path: Path) -> None:
    graph = Graph()
    graph.save(path, graph.conv(graph.input("x", [1, 5, 8, 8]), (3, 8), 3, 3))


def huge(path: Path) -> None:
    graph = Graph()
    graph.save(path, graph.conv(graph.input("x", [1, 3, 2**40, 2**40]), (3, 8), 3, 3))


def no_shape(path: Path) -> None:
    graph = Graph()
    graph.inputs.append(helper.make_tensor_value_info("x", FLOAT, None))
    graph.save(path, graph.conv("x", (3, 8), 3, 3))


def constants_alone(path: Path) -> None:
    graph = Graph()
    graph.input("x", [1, 3])
    graph.save(path, graph.node("Relu", graph.weight(3, 3)))


def damaged_weight(path: Path) -> None:
    graph = Graph()
    graph.initializers.append(TensorProto(name="w", data_type=FLOAT, dims=[8, 3, 3, 3], raw_data=b"1234"))
    graph.save(path, graph.node("Conv", graph.input("x", [1, 3, 8, 8]), "w"))


def missing_tensor(path: Path) -> None:
    graph = Graph()
    graph.save(path, graph.node("Add", graph.input("x", [1, 3]), "nothing"))


GOOD = ("--dim", "batch=1", "--dim", "height=32")
MISTAKES: dict[str, tuple[Callable[[Path], None] | None, tuple[str, ...], int, str]] = {
    # What makes the file, flags, exit code, what is said.
    "no file": (None, (), 2, "model.onnx: can't be read: No such file"),
    "empty file": (empty, (), 3, "model.onnx: the file is empty"),
    "no model": (no_model, (), 3, "no ONNX model, or a damaged one"),
    "truncated": (truncated, GOOD, 3, "model.onnx: "),
    "no graph": (no_graph, (), 3, "no ONNX model"),
    "unknown operator": (unknown_operator, (), 3, "No Op registered for Convolution"),
    "loop": (loop, (), 3, "is a Loop: control flow can't be imported"),
    "branch": (branch, (), 3, "it depends on input `rate`: bind it by --value rate=VALUE"),
    "shapes that depend on data": (data_dependent, (), 3, "only networks of fixed shapes can be imported"),
    "weights of another shape": (misfit, (), 3, "node `conv0` (Conv)"),
    "huge sizes": (huge, (), 3, "a size of 1099511627776"),
    "input of no shape": (no_shape, (), 3, "input `x` has no shape, not even its number of dimensions"),
    "nothing but constants": (constants_alone, (), 3, "no layer reads an input of the network"),
    "damaged weight": (damaged_weight, (), 3, "model.onnx: "),
    "missing tensor": (missing_tensor, (), 3, "nothing"),
    "unbound": (conv_net, (), 2, "has the shape [batch, 3, height, 32]: its unknown dimensions need sizes"),
    "one unbound": (conv_net, ("--dim", "batch=1"), 2, "by --dim height=N"),
    "unknown dimension": (conv_net, (*GOOD, "--dim", "hight=3"), 2, "(did you mean height?); known: batch"),
    "unknown axis": (conv_net, (*GOOD, "--dim", "x.9=3"), 2, "--dim x.9: no input has such a dimension"),
    "dimension of zero": (conv_net, ("--dim", "batch=0"), 2, "--dim batch=0: a size must be from 1"),
    "dimension of words": (conv_net, ("--dim", "batch=one"), 2, "'one' in 'batch=one' is not a whole number"),
    "half a dimension": (conv_net, ("--dim", "batch"), 2, "is not of the form NAME=N, such as batch=1"),
    "dimension twice": (conv_net, (*GOOD, "--dim", "batch=2"), 2, "--dim: `batch` is given twice"),
    "too small": (conv_net, ("--dim", "batch=1", "--dim", "height=1"), 3, "[1, 8, -1, 30]: what it is made"),
    "unknown input": (conv_net, (*GOOD, "--value", "y=1"), 2, "--value y: no input has that name"),
    "value of many": (conv_net, (*GOOD, "--value", "x=1"), 2, "only one can be bound"),
    "share": (conv_net, (*GOOD, "--most-unmapped", "2"), 2, "a share must be from 0 to 1"),
    "suffix": (conv_net, (*GOOD, "--out", "net.json"), 2, "must end in .toml"),
    "bundled name": (conv_net, (*GOOD, "--name", "u-net"), 2, "U-Net is an application that ships"),
    "no name": (conv_net, (*GOOD, "--name", " "), 2, "the name is empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_told_in_one_sentence(run: Run, tmp_path: Path, case: str) -> None:
    make, flags, expected, told = MISTAKES[case]
    if make is not None:
        make(tmp_path / "model.onnx")
    flags = flags if "--out" in flags else (*flags, "--out", "net.toml")
    code, out, err = run("workload", "import", "model.onnx", *flags)
    assert (code, out) == (expected, ""), err
    assert told in " ".join(err.split())
    assert "Traceback" not in err
    assert err.count("Error: ") == 1
    assert not (tmp_path / "net.toml").exists()


def test_importing_needs_the_package_onnx(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conv_net(tmp_path / "model.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    code, _, err = run("workload", "import", "model.onnx", "--out", "net.toml")
    assert code == 2
    assert "pip install 'prime-fast[onnx]'" in err


def test_an_imported_file_is_an_application(run: Run, tmp_path: Path) -> None:
    conv_net(tmp_path / "model.onnx")
    code, out, err = run("workload", "import", "model.onnx", "--name", 'My "net"', "--out", "net.toml", *GOOD)
    assert (code, err) == (0, "")
    assert "1 layers, 194.4k MACs, 216 parameters, input 32x32x3" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    code, out, err = run("workload", "show", "net.toml", "--json")
    assert json.loads(out)["name"] == 'My "net"'
    code, out, err = run("simulate", "--app", "net.toml", "--design", "edge-tpu-v1", "--json")
    assert code == 0, err


def test_weights_may_be_there(tmp_path: Path) -> None:
    """With values, without, or as constants in the graph: the layers are the same."""
    texts = []
    for form in ("absent", "initializer", "node"):
        graph = Graph()
        x = graph.input("x", [1, 16, 40, 40])
        values = numpy_helper.from_array(np.zeros((512, 16, 3, 3), "float32"), "w")
        if form == "absent":
            weight = graph.weight(512, 16, 3, 3)
        elif form == "initializer":
            graph.initializers.append(values)
            weight = "w"
        else:
            weight = graph.node("Constant", value=values)
        output = graph.node("Conv", x, weight)
        graph.nodes[-1].name = "conv"
        texts.append(imported(graph, output, path=tmp_path).toml)
    assert texts == texts[:1] * 3
