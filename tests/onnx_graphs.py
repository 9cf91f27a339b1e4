"""ONNX graphs for tests, whose weights are external data that is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


class Graph:
    """A graph under construction: each method appends a node and returns the name of what it makes."""

    def __init__(self, opset: int = 17) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.initializers: list[Any] = []
        self.domains: list[tuple[str, int]] = []
        self.functions: list[Any] = []

    def input(self, name: str, shape: list[Any], kind: int = FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def weight(self, *shape: int, kind: int = FLOAT) -> str:
        """Add a weight that has a shape and no values."""
        name = f"w{len(self.initializers)}"
        tensor = TensorProto(name=name, data_type=kind, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="nowhere.bin")
        self.initializers.append(tensor)
        return name

    def constant(self, values: Any, dtype: str = "int64") -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def node(self, op: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        names = [f"{op.lower()}{len(self.nodes)}_{number}" for number in range(outputs)]
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, names, name=name, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def conv(self, x: str, channels: tuple[int, int], *kernel: int, group: int = 1, **attributes: Any) -> str:
        weight = self.weight(channels[1], channels[0] // group, *kernel)
        made: str = self.node("Conv", x, weight, self.weight(channels[1]), group=group, **attributes)
        return made

    def norm(self, x: str, channels: int) -> str:
        made: str = self.node("BatchNormalization", x, *(self.weight(channels) for _ in range(4)))
        return made

    def model(self, *outputs: str, opset: int | None = None) -> Any:
        made = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "graph", self.inputs, made, self.initializers)
        opsets = [helper.make_opsetid("", opset or self.opset)]
        opsets += [helper.make_opsetid(domain, version) for domain, version in self.domains]
        return helper.make_model(graph, opset_imports=opsets, functions=self.functions, ir_version=8)

    def save(self, path: Path, *outputs: str, opset: int | None = None) -> Path:
        path.write_bytes(self.model(*outputs, opset=opset).SerializeToString())
        return path


def mobilenet_v2(opset: int = 17, size: int = 224, classes: int = 1001) -> tuple[Graph, str]:
    """Build MobileNetV2 as exporters of TensorFlow's write it: batch normalisation and ReLU6 apart."""
    graph = Graph(opset)

    def block(x: str, channels: tuple[int, int], kernel: int = 1, stride: int = 1, group: int = 1) -> str:
        x = graph.conv(
            x, channels, kernel, kernel, group=group, strides=[stride, stride], auto_pad="SAME_UPPER"
        )
        x = graph.norm(x, channels[1])
        if opset < 11:
            return str(graph.node("Clip", x, min=0.0, max=6.0))
        return str(graph.node("Clip", x, graph.constant(0, "float32"), graph.constant(6, "float32")))

    x = block(graph.input("x", ["batch", 3, size, size]), (3, 32), 3, 2)
    width = 32
    for expansion, channels, repeats, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for repeat in range(repeats):
            stride, wide, y = (1 if repeat else first), width * expansion, x
            if expansion > 1:
                y = block(y, (width, wide))
            y = block(y, (wide, wide), 3, stride, group=wide)
            y = graph.norm(graph.conv(y, (wide, channels), 1, 1), channels)
            x = graph.node("Add", y, x) if stride == 1 and width == channels else y
            width = channels
    x = graph.node("GlobalAveragePool", block(x, (width, 1280)))
    x = graph.node("Flatten", x)
    return graph, graph.node("Gemm", x, graph.weight(classes, 1280), graph.weight(classes), transB=1)


def resnet18() -> tuple[Graph, str]:
    """Build ResNet-18 as PyTorch exports it: padding given, batch normalisation folded."""
    graph = Graph()

    def conv(x: str, channels: tuple[int, int], kernel: int, stride: int) -> str:
        pads = [kernel // 2] * 4
        return graph.conv(x, channels, kernel, kernel, strides=[stride, stride], pads=pads)

    x = graph.node("Relu", conv(graph.input("x", [1, 3, 224, 224]), (3, 64), 7, 2))
    x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    width = 64
    for stage in range(4):
        for index in range(2):
            channels, stride = 64 << stage, 2 if stage and not index else 1
            shortcut = x if channels == width else conv(x, (width, channels), 1, stride)
            y = graph.node("Relu", conv(x, (width, channels), 3, stride))
            x = graph.node("Relu", graph.node("Add", conv(y, (channels, channels), 3, 1), shortcut))
            width = channels
    # The mean as some exporters write it, and a reshape that computes its batch.
    x = graph.node("ReduceMean", x, axes=[2, 3], keepdims=1)
    batch = graph.node("Gather", graph.node("Shape", x), graph.constant(0), axis=0)
    shape = graph.node(
        "Concat", graph.node("Unsqueeze", batch, graph.constant([0])), graph.constant([-1]), axis=0
    )
    x = graph.node("Reshape", x, shape)
    return graph, graph.node("Add", graph.node("MatMul", x, graph.weight(512, 1000)), graph.weight(1000))


def unet() -> tuple[Graph, str]:
    """Build the bundled U-Net: concatenations and transposed convolutions."""
    graph, widths, width = Graph(), (20, 40, 80, 160, 160), 3
    x, skips = graph.input("x", [1, 3, 256, 256]), []

    def convs(x: str, width: int, channels: int, count: int) -> str:
        for index in range(count):
            wide = channels if index else width
            x = graph.node("Relu", graph.conv(x, (wide, channels), 3, 3, pads=[1] * 4))
        return x

    for level, channels in enumerate(widths):
        x = convs(x, width, channels, 6 if level == 4 else 3)
        width = channels
        if level < 4:
            skips.append(x)
            x = graph.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    for level in reversed(range(4)):
        channels = widths[level]
        up = graph.node(
            "ConvTranspose", x, graph.weight(width, channels, 3, 3), strides=[2, 2], pads=[1] * 4,
            output_padding=[1, 1],
        )  # fmt: skip
        x = convs(graph.node("Concat", skips[level], up, axis=1), 2 * channels, channels, 3)
        width = channels
    return graph, graph.conv(x, (width, 2), 1, 1)


def attention(width: int, heads: int) -> tuple[Graph, str]:
    """Build a transformer's block as PyTorch exports it, its queries, keys and values of one product."""
    graph, inner = Graph(), width // heads
    x = graph.input("x", ["batch", "tokens", width])
    y = graph.node("LayerNormalization", x, graph.weight(width), graph.weight(width))
    y = graph.node("Add", graph.node("MatMul", y, graph.weight(width, 3 * width)), graph.weight(3 * width))
    y = graph.node("Reshape", y, graph.constant([0, 0, 3, heads, inner]))
    y = graph.node("Transpose", y, perm=[2, 0, 3, 1, 4])
    query, key, value = (graph.node("Gather", y, graph.constant(number), axis=0) for number in range(3))
    scores = graph.node("MatMul", query, graph.node("Transpose", key, perm=[0, 1, 3, 2]))
    scores = graph.node("Softmax", graph.node("Mul", scores, graph.constant(0.125, "float32")), axis=-1)
    y = graph.node("Transpose", graph.node("MatMul", scores, value), perm=[0, 2, 1, 3])
    y = graph.node("Reshape", y, graph.constant([0, 0, width]))
    x = graph.node("Add", x, graph.node("MatMul", y, graph.weight(width, width)))
    y = graph.node("MatMul", x, graph.weight(width, 4 * width))
    half = graph.node("Erf", graph.node("Div", y, graph.constant(1.4142, "float32")))
    y = graph.node("Mul", y, graph.node("Add", half, graph.constant(1, "float32")))
    return graph, graph.node("Add", x, graph.node("MatMul", y, graph.weight(4 * width, width)))


__all__ = ["FLOAT", "Graph", "attention", "mobilenet_v2", "onnx", "resnet18", "unet"]
