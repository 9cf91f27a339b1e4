"""ONNX files: read, checked, cleared of weights, their inputs bound to sizes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prime_fast.errors import ConfigurationError, DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import onnx

MOST_BYTES = 2**31 - 1
"""What protobuf can hold."""
CLEARED = "values not kept"
SMALL = 65_536
"""Elements up to which a constant's values are kept: shapes, axes, scalars. Else the shape counts."""


def onnx_package() -> Any:
    """Import and return the package onnx.

    Raises
    ------
    ConfigurationError
        If it is not installed.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.inliner
        import onnx.shape_inference
    except ImportError as error:
        raise ConfigurationError(
            f"ONNX files need the package onnx ({error}); install it by `pip install 'prime-fast[onnx]'`"
        ) from None
    return onnx


def read_model(path: str | Path) -> onnx.ModelProto:
    """Read an ONNX file without its external data, check it, and take large weights for their shapes.

    Raises
    ------
    ConfigurationError
        If there is no such file, or the package onnx is missing.
    DataError
        If the file is no ONNX model, or breaks ONNX's rules.
    """
    onnx = onnx_package()
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(
                f"{path}: larger than {MOST_BYTES} bytes, more than an ONNX file can have; "
                "save its weights as external data"
            )
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from None
    if not content:
        raise DataError(f"{path}: the file is empty; an ONNX model is needed")
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception as error:  # noqa: BLE001 (protobuf's errors differ by its implementation)
        raise DataError(f"{path}: no ONNX model, or a damaged one: {_line(error)}") from None
    if not model.HasField("graph") or not model.opset_import:
        raise DataError(f"{path}: no ONNX model: it has no {'graph' if model.opset_import else 'opset'}")
    try:
        _clear(model.graph)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        onnx.checker.check_model(_standard(model, onnx))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # noqa: BLE001 (the checker raises errors of several classes)
        raise DataError(f"{path}: breaks ONNX's rules: {_line(error)}") from None
    return model


def _line(error: BaseException) -> str:
    """Return an error's text as one line, without its context."""
    text = str(error).split("==> Context")[0].strip().splitlines()
    return " ".join(" ".join(text).split())[:300] or type(error).__name__


def _graphs(graph: onnx.GraphProto, depth: int = 0) -> Iterator[onnx.GraphProto]:
    if depth > 50:
        raise DataError("graphs within graphs more than 50 deep")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.output:
                    yield from _graphs(inner, depth + 1)


def _clear(graph: onnx.GraphProto) -> None:
    """Take the values out of large initializers."""
    for each in _graphs(graph):
        for tensor in each.initializer:
            if any(size < 0 for size in tensor.dims):
                raise DataError(f"weight `{tensor.name}` has the shape {list(tensor.dims)}")
            if not is_small(tensor):
                name, dims, kind = tensor.name, list(tensor.dims), tensor.data_type
                tensor.Clear()
                tensor.name, tensor.data_type = name, kind
                tensor.dims.extend(dims)
                tensor.doc_string = CLEARED


def is_small(tensor: onnx.TensorProto) -> bool:
    """Return whether a constant's values are kept."""
    size = 1
    for extent in tensor.dims:
        size *= extent
    return size <= SMALL and not tensor.external_data and tensor.data_location == 0


def _standard(model: onnx.ModelProto, onnx: Any) -> onnx.ModelProto:
    """Return a copy that the checker takes: weights without values become inputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = max(copy.ir_version, 4)
    for index, graph in enumerate(_graphs(copy.graph)):
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.HasField("tensor_type"):
                # The checker wants a shape, which files often leave out.
                value.type.tensor_type.shape.SetInParent()
        kept = []
        for tensor in graph.initializer:
            if tensor.doc_string != CLEARED:
                kept.append(tensor)
            elif index == 0 and all(known.name != tensor.name for known in graph.input):
                graph.input.append(
                    onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
                )
            elif index:
                # Of a branch: a name from outside of it.
                copy.graph.input.append(
                    onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
                )
        del graph.initializer[:]
        graph.initializer.extend(kept)
    return copy


def bound_inputs(
    graph: onnx.GraphProto, needed: set[str], dims: Mapping[str, int], values: Mapping[str, float]
) -> dict[str, list[int]]:
    """Return the shape of each input that is needed, with the given sizes in place of its unknown ones.

    Parameters
    ----------
    graph : GraphProto
    needed : set of str
        Names of inputs.
    dims : mapping of str to int
        Sizes by symbol, or by input and axis (``x.0``).
    values : mapping of str to float
        Inputs that are constants; only their names count here.

    Raises
    ------
    ConfigurationError
        If a size stays unknown, or one is given that is none of an input's.
    """
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    symbols: dict[str, None] = {}
    shapes: dict[str, list[int]] = {}
    used: set[str] = set()
    for value in inputs:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            symbols |= dict.fromkeys([dim.dim_param] if dim.dim_param else [])
            symbols[f"{value.name}.{axis}"] = None
            used |= {dim.dim_param, f"{value.name}.{axis}"} & dims.keys()
    for what, given, known in (
        ("--dim", dims, list(symbols)),
        ("--value", values, [value.name for value in inputs]),
    ):
        for name in given:
            if name not in known:
                raise ConfigurationError(
                    f"{what} {name}: no input has {'such a dimension' if what == '--dim' else 'that name'}"
                    f"{did_you_mean(name, known)}; known: {', '.join(known) or 'none'}"
                )
    unknown = []
    for value in inputs:
        if value.name not in needed or value.name in values:
            continue
        if not value.type.HasField("tensor_type"):
            raise DataError(f"input `{value.name}` is no tensor; sequences and maps can't be imported")
        if not value.type.tensor_type.HasField("shape"):
            raise DataError(f"input `{value.name}` has no shape, not even its number of dimensions")
        shape = []
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            size = dims.get(f"{value.name}.{axis}", dims.get(dim.dim_param) if dim.dim_param else None)
            if size is None and dim.HasField("dim_value") and dim.dim_value > 0:
                size = dim.dim_value
            shape.append(size)
        if None in shape:
            unknown.append((value, shape))
        else:
            shapes[value.name] = [size for size in shape if size is not None]
    if unknown:
        raise ConfigurationError(_unknown(unknown))
    return shapes


def _unknown(inputs: Sequence[tuple[onnx.ValueInfoProto, list[int | None]]]) -> str:
    """Return the error that names dimensions which are not known, and the flags that bind them."""
    told: list[str] = []
    flags: dict[str, None] = {}
    for value, shape in inputs:
        dims = value.type.tensor_type.shape.dim
        shown = [
            str(size) if size is not None else dim.dim_param or "?"
            for dim, size in zip(dims, shape, strict=True)
        ]
        told.append(f"input `{value.name}` has the shape [{', '.join(shown)}]")
        for axis, (dim, size) in enumerate(zip(dims, shape, strict=True)):
            if size is None:
                symbol = dim.dim_param if dim.dim_param.isidentifier() else f"{value.name}.{axis}"
                flags[f"--dim {symbol}=N"] = None
    return f"{'; '.join(told)}: its unknown dimensions need sizes, by {' '.join(flags)}"
