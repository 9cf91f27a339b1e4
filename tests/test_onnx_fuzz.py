"""Random ONNX graphs against counts made along with them, and damaged files against tracebacks."""

from __future__ import annotations

import tempfile
from math import prod
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="the extra prime-fast[onnx] is not installed")

from hypothesis import given
from hypothesis import strategies as st
from onnx_graphs import Graph, attention, mobilenet_v2

import prime_fast as pf
from prime_fast.importing import import_onnx


@st.composite
def networks(draw: st.DrawFn) -> tuple[Graph, str, int, int]:
    """Draw a graph with what it multiplies and the weights it has."""
    graph = Graph(draw(st.sampled_from([13, 17])))
    shape = [1, *draw(st.lists(st.integers(1, 12), min_size=2, max_size=4))]
    x = graph.input("x", list(shape))
    macs = weights = 0
    for _ in range(draw(st.integers(1, 6))):
        spatial = shape[2:]
        operators = [
            "Relu",
            "Softmax",
            "Mul",
            "Transpose",
            "MatMul",
            "Square",
            "Slice",
            "Reduce",
            "Concat",
            "Reshape",
        ]
        operators += ["Conv", "ConvTranspose", "MaxPool", "Pad"] if spatial else []
        operator = draw(st.sampled_from(operators))
        if operator in ("Relu", "Softmax"):
            x = graph.node(operator, x)
        elif operator == "Mul":
            x = graph.node("Mul", x, graph.node("Sigmoid", x))
        elif operator == "Transpose":
            order = [0, *(1 + axis for axis in draw(st.permutations(range(len(shape) - 1))))]
            x, shape = graph.node("Transpose", x, perm=order), [shape[axis] for axis in order]
        elif operator == "MatMul":
            units = draw(st.integers(1, 9))
            x = graph.node("MatMul", x, graph.weight(shape[-1], units))
            macs, weights = macs + prod(shape) * units, weights + shape[-1] * units
            shape = [*shape[:-1], units]
        elif operator == "Square" and len(shape) > 2:
            order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
            x = graph.node("MatMul", x, graph.node("Transpose", x, perm=order))
            macs += prod(shape) * shape[-2]
            shape = [*shape[:-1], shape[-2]]
        elif operator == "Slice":
            axis = draw(st.integers(1, len(shape) - 1))
            end = draw(st.integers(1, shape[axis]))
            x = graph.node("Slice", x, *(graph.constant([value]) for value in (0, end, axis)))
            shape[axis] = end
        elif operator == "Reduce":
            axis = draw(st.integers(1, len(shape) - 1))
            x = graph.node("ReduceMean", x, axes=[axis], keepdims=1)
            shape[axis] = 1
        elif operator == "Concat":
            axis = draw(st.integers(1, len(shape) - 1))
            x = graph.node("Concat", x, graph.node("Relu", x), axis=axis)
            shape[axis] *= 2
        elif operator == "Reshape":
            shape = [1, shape[-1], prod(shape[1:-1])] if len(shape) > 2 else [1, 1, shape[-1]]
            x = graph.node("Reshape", x, graph.constant(shape))
        elif operator == "Pad":
            x = graph.node("Pad", x, graph.constant([0] * (2 * len(shape) - 1) + [2]))
            shape[-1] += 2
        elif operator in ("Conv", "MaxPool"):
            kernel = [draw(st.integers(1, size)) for size in spatial]
            stride, dilation = draw(st.integers(1, 3)), 1
            options: dict[str, Any] = {"strides": [stride] * len(kernel)}
            if operator == "Conv" and max(kernel) == 1 and draw(st.booleans()):
                options["pads"] = [draw(st.integers(0, 2))] * (2 * len(kernel))
            pad = options.get("pads", [0])[0]
            after = [
                (size + 2 * pad - (side - 1) * dilation - 1) // stride + 1
                for size, side in zip(spatial, kernel, strict=True)
            ]
            if operator == "MaxPool":
                x, shape = graph.node("MaxPool", x, kernel_shape=kernel, **options), [*shape[:2], *after]
                continue
            group = draw(st.sampled_from([size for size in range(1, shape[1] + 1) if shape[1] % size == 0]))
            channels = group * draw(st.integers(1, 3))
            x = graph.node(
                "Conv", x, graph.weight(channels, shape[1] // group, *kernel), group=group, **options
            )
            own = channels * shape[1] // group * prod(kernel)
            macs, weights, shape = macs + own * prod(after), weights + own, [1, channels, *after]
        elif operator == "ConvTranspose":
            kernel = [draw(st.integers(1, 3)) for _ in spatial]
            stride, channels = draw(st.integers(1, 3)), draw(st.integers(1, 4))
            weight = graph.weight(shape[1], channels, *kernel)
            x = graph.node("ConvTranspose", x, weight, strides=[stride] * len(kernel))
            own = shape[1] * channels * prod(kernel)
            macs, weights = macs + own * prod(spatial), weights + own
            shape = [1, channels, *((n - 1) * stride + side for n, side in zip(spatial, kernel, strict=True))]
    # A last layer, so that there is one.
    x = graph.node("MatMul", x, graph.weight(shape[-1], 3))
    macs, weights = macs + prod(shape) * 3, weights + shape[-1] * 3
    return graph, x, macs, weights


@given(networks())
def test_random_graphs_have_the_counts_of_their_making(network: tuple[Graph, str, int, int]) -> None:
    graph, output, macs, weights = network
    with tempfile.TemporaryDirectory() as directory:
        found = import_onnx(graph.save(Path(directory) / "model.onnx", output), "net")
    totals = found.application.totals
    assert (totals["macs"], totals["parameter_bytes"]) == (macs, weights)
    assert found.unmapped == ()


def samples() -> list[bytes]:
    graphs = [mobilenet_v2(size=32, classes=10), attention(16, 2)]
    return [graph.model(output).SerializeToString() for graph, output in graphs]


SAMPLES = samples()
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True), st.sampled_from(["set", "cut", "add"]), st.binary(max_size=8)
    ),
    min_size=1,
    max_size=6,
)


@given(st.sampled_from(range(len(SAMPLES))), EDITS)
def test_damaged_files_are_told(sample: int, edits: list[tuple[float, str, bytes]]) -> None:
    content = bytearray(SAMPLES[sample])
    for place, what, value in edits:
        start = int(place * len(content))
        if what == "set":
            content[start : start + len(value)] = value
        elif what == "add":
            content[start:start] = value
        else:
            del content[start : start + len(value)]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.onnx"
        path.write_bytes(content)
        told = str(path)
        try:
            import_onnx(path, "net", dims={"batch": 1, **({"tokens": 8} if sample else {})})
        except pf.PrimeFastError as error:
            told = str(error)
        assert told.startswith(str(path))
