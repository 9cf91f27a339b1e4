"""A network under construction: layers of the package's own kind, wired by name.

The conventions of shapes and kinds stand in the documentation of the Rust module `workload`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

from prime_fast.errors import DataError

Shape: TypeAlias = tuple[int, int, int]
"""Height, width and channels."""
MOST = 2**32 - 1
"""The largest size that an application file can state."""
WINDOWED = ("conv", "depthwise", "transposed_conv", "pool")
RESERVED = ("input", "state")
STATE = "state"


@dataclass
class Layer:
    """One layer; `inputs` are names of layers, of inputs of the network, or ``state``."""

    name: str
    kind: str
    input: Shape
    output: Shape
    inputs: tuple[str, ...]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    view: bool = False


def padding_range(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Return the least and most outputs of a window over `size`, by the padding."""
    reach = (kernel - 1) * dilation + 1
    return max(1, (size - reach) // stride + 1), (size + reach - 2) // stride + 1


def transposed_range(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Return the least and most outputs of a transposed window over `size`, by the cropping."""
    reach, first = (kernel - 1) * dilation + 1, (size - 1) * stride
    return max(1, first + 2 - reach), first + reach + stride - 1


@dataclass
class Network:
    """Layers in the order in which they run, and the tensors that come from outside."""

    layers: list[Layer] = field(default_factory=list)
    made: dict[str, Layer] = field(default_factory=dict)
    outside: dict[str, int] = field(default_factory=dict)
    """Elements of each tensor from outside, by the name that layers use."""
    seen_as: dict[str, Shape] = field(default_factory=dict)
    """The shape in which a tensor from outside was first read as a whole."""
    likely: dict[str, Shape] = field(default_factory=dict)
    """The shape that such a tensor seems to have."""

    def from_outside(self, name: str, shape: Shape) -> str:
        """Return the name for layers' inputs of a tensor that comes from outside."""
        part = f"\0{name}"
        self.outside[part] = prod(shape)
        self.likely[part] = shape
        return part

    def shape_of(self, part: str) -> Shape | None:
        """Return the shape of what a layer made, or None where that is not settled yet."""
        if part in self.made:
            return self.made[part].output
        return self.seen_as.get(part)

    def add(
        self,
        name: str,
        kind: str,
        inputs: tuple[str, ...],
        shapes: tuple[Shape, Shape],
        *,
        kernel: tuple[int, int] = (1, 1),
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> tuple[str, ...]:
        """Append a layer from one shape to another; return the tuple of its name as what it made."""
        source, output = shapes
        for size in (*source, *output, *kernel, *stride, *dilation, groups):
            if not 1 <= size <= MOST:
                raise DataError(
                    f"node `{name}`: a size of {size} in {list(source)} to {list(output)}; "
                    f"it must be from 1 to {MOST}"
                )
        inputs = tuple(dict.fromkeys(inputs))
        layer = Layer(self._unique(name), kind, source, output, inputs, kernel, stride, dilation, groups)
        if len(inputs) == 1 and inputs[0] in self.outside and prod(source) == self.outside[inputs[0]]:
            self.seen_as.setdefault(inputs[0], source)
        self.layers.append(layer)
        self.made[layer.name] = layer
        return (layer.name,)

    def _unique(self, name: str) -> str:
        base = name.strip("/").strip() or "layer"
        name, number = base, 1
        while name in self.made or name in RESERVED:
            number += 1
            name = f"{base}_{number}"
        return name

    def toml(self, name: str, title: str, source: str, comment: str) -> str:
        """Return the text of the application file.

        Raises
        ------
        DataError
            If no layer reads a tensor from outside.
        """
        read = list(
            dict.fromkeys(part for layer in self.layers for part in layer.inputs if part in self.outside)
        )
        if not read:
            raise DataError("no layer reads an input of the network")
        if len(read) == 1:
            whole = self.seen_as.get(read[0], self.likely[read[0]])
        else:
            whole = (1, 1, sum(self.outside[part] for part in read))
        if max(whole) > MOST:
            raise DataError(f"the network's input has the shape {list(whole)}; sizes go up to {MOST}")
        lines = [
            f"# {comment}",
            f"name = {quoted(name)}",
            f"title = {quoted(title)}",
            f"source = {quoted(source)}",
            f"input = {list(whole)}",
            "layer = [",
        ]
        last = "input"
        for layer in self.layers:
            named = tuple(dict.fromkeys("input" if part in self.outside else part for part in layer.inputs))
            shapes = [self._source_shape(part, whole, layer) for part in named]
            self._settle(layer, shapes)
            text = f"name = {quoted(layer.name)}, kind = {quoted(layer.kind)}"
            text += f", input = {list(layer.input)}, output = {list(layer.output)}"
            for key in ("kernel", "stride", "dilation"):
                if getattr(layer, key) != (1, 1):
                    text += f", {key} = {list(getattr(layer, key))}"
            if layer.groups != 1 and layer.kind != "depthwise":
                text += f", groups = {layer.groups}"
            if named != (last,):
                text += ", inputs = [" + ", ".join(map(quoted, named)) + "]"
            if layer.view:
                text += ", view = true"
            lines.append(f"  {{ {text} }},")
            last = layer.name
        return "\n".join([*lines, "]", ""])

    def _source_shape(self, part: str, whole: Shape, layer: Layer) -> Shape:
        if part == "input":
            return whole
        return layer.input if part == STATE else self.made[part].output

    def _settle(self, layer: Layer, sources: list[Shape]) -> None:
        """Say whether the layer's input is a view; a window may take its padding itself."""
        if len(sources) == 1 and layer.kind in ("conv", "depthwise", "pool"):
            (source,) = sources
            if source != layer.input and source[2] == layer.input[2] and fits(layer, source):
                layer.input = source
        layer.view = not reads(layer, sources)


def fits(layer: Layer, source: Shape) -> bool:
    """Return whether a window may lie over `source`, which is smaller, in place of the padded input."""
    return all(
        size <= padded and least <= outputs <= most
        for size, padded, outputs, (least, most) in zip(
            source[:2],
            layer.input[:2],
            layer.output[:2],
            (
                padding_range(source[axis], layer.kernel[axis], layer.stride[axis], layer.dilation[axis])
                for axis in (0, 1)
            ),
            strict=True,
        )
    )


def reads(layer: Layer, sources: list[Shape]) -> bool:
    """Return whether sources of these shapes are the layer's input as they are."""
    if layer.kind == "elementwise":
        operands = all(
            all(size in (1, full) for size, full in zip(source, layer.input, strict=True))
            for source in sources
        )
        return operands and layer.input in sources
    elements = sum(prod(source) for source in sources)
    if layer.kind == "matmul":
        return elements == prod(layer.input) + layer.input[2] // layer.groups * layer.output[2]
    if layer.kind in ("dense", "recurrent") and elements == prod(layer.input):
        return True
    alike = all(source[:2] == layer.input[:2] for source in sources)
    return alike and sum(source[2] for source in sources) == layer.input[2]


def quoted(text: str) -> str:
    """Return a TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
