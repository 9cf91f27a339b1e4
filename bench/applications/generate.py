"""Write the bundled applications, rust/core/data/applications/*.toml.

Run `python bench/applications/generate.py` after a change here; `--check` compares instead of writing and
exits with 1 where a file is missing, stale or not made here. Each function that returns a `Network` is the
readable definition of one application. Convolutions and pools pad "same" unless told otherwise.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parents[2] / "rust" / "core" / "data" / "applications"
COMMAND = "python bench/applications/generate.py"


@dataclass(frozen=True)
class Tensor:
    """What one layer produces: its name and its (height, width, channels)."""

    name: str
    shape: tuple[int, int, int]

    @property
    def channels(self) -> int:
        """Length of the last axis."""
        return self.shape[2]


def concatenated(x: Tensor | Sequence[Tensor]) -> tuple[list[str], tuple[int, int, int]]:
    """Names of one or several tensors, and their shape once concatenated along the channels."""
    tensors = [x] if isinstance(x, Tensor) else list(x)
    height, width, _ = tensors[0].shape
    return [tensor.name for tensor in tensors], (height, width, sum(tensor.channels for tensor in tensors))


@dataclass
class Network:
    """A network under construction; each method appends one layer and returns the tensor it produces."""

    name: str
    title: str
    source: str
    shape: tuple[int, int, int]
    stand_in: bool = False
    lines: list[str] = field(default_factory=list)
    last: str = "input"

    @property
    def input(self) -> Tensor:
        """What the network is given."""
        return Tensor("input", self.shape)

    def _append(
        self,
        name: str,
        kind: str,
        inputs: Sequence[str],
        input_shape: tuple[int, int, int],
        output_shape: tuple[int, int, int],
        kernel: int = 1,
        stride: int = 1,
    ) -> Tensor:
        text = f'name = "{name}", kind = "{kind}", input = {list(input_shape)}, output = {list(output_shape)}'
        if kernel != 1:
            text += f", kernel = [{kernel}, {kernel}]"
        if stride != 1:
            text += f", stride = [{stride}, {stride}]"
        if list(inputs) != [self.last]:
            text += ", inputs = [" + ", ".join(f'"{producer}"' for producer in inputs) + "]"
        self.lines.append(f"  {{ {text} }},")
        self.last = name
        return Tensor(name, output_shape)

    def conv(
        self,
        name: str,
        x: Tensor | Sequence[Tensor],
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        padded: bool = True,
    ) -> Tensor:
        """Convolution; several tensors are concatenated along their channels."""
        inputs, shape = concatenated(x)
        height, width = (
            math.ceil(size / stride) if padded else (size - kernel) // stride + 1 for size in shape[:2]
        )
        return self._append(name, "conv", inputs, shape, (height, width, channels), kernel, stride)

    def depthwise(self, name: str, x: Tensor, kernel: int = 3, stride: int = 1) -> Tensor:
        """Convolution of every channel by itself."""
        output = (math.ceil(x.shape[0] / stride), math.ceil(x.shape[1] / stride), x.channels)
        return self._append(name, "depthwise", [x.name], x.shape, output, kernel, stride)

    def transposed(self, name: str, x: Tensor, channels: int, kernel: int = 3, stride: int = 2) -> Tensor:
        """Transposed convolution, `stride` times as large."""
        output = (x.shape[0] * stride, x.shape[1] * stride, channels)
        return self._append(name, "transposed_conv", [x.name], x.shape, output, kernel, stride)

    def dense(self, name: str, x: Tensor, units: int) -> Tensor:
        """Fully connected layer over the flattened tensor."""
        return self._append(name, "dense", [x.name], x.shape, (1, 1, units))

    def recurrent(self, name: str, x: Tensor, units: int) -> Tensor:
        """Matrix product inside a recurrent cell."""
        return self._append(name, "recurrent", [x.name], x.shape, (1, 1, units))

    def max_pool(
        self,
        name: str,
        x: Tensor | Sequence[Tensor],
        kernel: int = 2,
        stride: int = 2,
        padded: bool = True,
    ) -> Tensor:
        """Pool of square windows; without padding, the last ones may still reach over the edge."""
        inputs, shape = concatenated(x)
        height, width = (
            math.ceil(size / stride) if padded else math.ceil((size - kernel) / stride) + 1
            for size in shape[:2]
        )
        return self._append(name, "pool", inputs, shape, (height, width, shape[2]), kernel, stride)

    def global_pool(self, name: str, x: Tensor | Sequence[Tensor]) -> Tensor:
        """Mean over the whole of a square map."""
        inputs, shape = concatenated(x)
        return self._append(name, "pool", inputs, shape, (1, 1, shape[2]), shape[0])

    def elementwise(self, name: str, *operands: Tensor) -> Tensor:
        """Sum, product or cell update of tensors, the first of full shape."""
        return self._append(
            name, "elementwise", [x.name for x in operands], operands[0].shape, operands[0].shape
        )

    def toml(self) -> str:
        """Text of the application file."""
        header = [
            f"# Written by `{COMMAND}`; change that script, not this file.",
            f'name = "{self.name}"',
            f'title = "{self.title}"',
            f'source = "{self.source}"',
            f"stand_in = {str(self.stand_in).lower()}",
            f"input = {list(self.shape)}",
            "layer = [",
        ]
        return "\n".join([*header, *self.lines, "]", ""])


def divisible(channels: float, divisor: int = 8) -> int:
    """Nearest multiple of `divisor`, never more than 10% below, as all MobileNets round their channels."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def bottleneck(
    net: Network,
    name: str,
    x: Tensor,
    expanded: int,
    channels: int,
    kernel: int = 3,
    stride: int = 1,
    squeeze: bool = False,
    residual: bool = True,
    after_expansion: Callable[[Tensor], object] | None = None,
) -> Tensor:
    """Inverted residual: expand (if it widens), depthwise, squeeze-and-excite, project, add."""
    y = x
    if expanded > x.channels:
        y = net.conv(f"{name}_expand", y, expanded)
        if after_expansion is not None:
            after_expansion(y)
    y = net.depthwise(f"{name}_depthwise", y, kernel, stride)
    if squeeze:
        gate = net.global_pool(f"{name}_squeeze", y)
        gate = net.dense(f"{name}_reduce", gate, divisible(expanded / 4))
        gate = net.dense(f"{name}_excite", gate, expanded)
        y = net.elementwise(f"{name}_scale", y, gate)
    y = net.conv(f"{name}_project", y, channels)
    if residual and stride == 1 and channels == x.channels:
        y = net.elementwise(f"{name}_add", y, x)
    return y


def classifier(net: Network, x: Tensor | Sequence[Tensor], classes: int = 1001) -> None:
    """Global pooling and the logits; ImageNet's 1000 classes and TensorFlow's background class."""
    net.dense("logits", net.global_pool("pool", x), classes)


def mobilenet_v1_features(net: Network, after_block10: Callable[[Tensor], object] | None = None) -> Tensor:
    """Body of MobileNetV1."""
    x = net.conv("stem", net.input, 32, 3, 2)
    rows = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
    for block, (channels, stride) in enumerate(rows):
        x = net.conv(
            f"block{block}_pointwise", net.depthwise(f"block{block}_depthwise", x, stride=stride), channels
        )
        if block == 10 and after_block10 is not None:
            after_block10(x)
    return x


MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2_features(
    net: Network, width: float, last: int, after_expansion: Callable[[Tensor], object] | None = None
) -> Tensor:
    """Body of MobileNetV2 and its last convolution; `after_expansion` gets block 13's expansion."""
    x = net.conv("stem", net.input, divisible(32 * width), 3, 2)
    block = 0
    for expansion, channels, repeats, stride in MOBILENET_V2:
        for repeat in range(repeats):
            x = bottleneck(
                net,
                f"block{block}",
                x,
                x.channels * expansion,
                divisible(channels * width),
                stride=stride if repeat == 0 else 1,
                after_expansion=after_expansion if block == 13 else None,
            )
            block += 1
    return net.conv("last", x, last)


def mobilenet_v2() -> Network:
    """MobileNetV2."""
    net = Network(
        "MobileNetV2",
        "MobileNetV2, width 1.0, 224 x 224",
        "Sandler et al. 2018, MobileNetV2, arXiv 1801.04381, table 2",
        (224, 224, 3),
    )
    classifier(net, mobilenet_v2_features(net, 1.0, 1280))
    return net


def mobilenet_v3() -> Network:
    """MobileNetV3-Large, hard-swish fused into the layer before it."""
    net = Network(
        "MobileNetV3",
        "MobileNetV3-Large, width 1.0, 224 x 224",
        "Howard et al. 2019, Searching for MobileNetV3, arXiv 1905.02244, table 1",
        (224, 224, 3),
    )
    # Kernel, expanded channels, output channels, squeeze-and-excite, stride: the rows of the paper's table.
    rows = (
        (3, 16, 16, False, 1),
        (3, 64, 24, False, 2),
        (3, 72, 24, False, 1),
        (5, 72, 40, True, 2),
        (5, 120, 40, True, 1),
        (5, 120, 40, True, 1),
        (3, 240, 80, False, 2),
        (3, 200, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 480, 112, True, 1),
        (3, 672, 112, True, 1),
        (5, 672, 160, True, 2),
        (5, 960, 160, True, 1),
        (5, 960, 160, True, 1),
    )
    x = net.conv("stem", net.input, 16, 3, 2)
    for block, (kernel, expanded, channels, squeeze, stride) in enumerate(rows):
        x = bottleneck(net, f"block{block}", x, expanded, channels, kernel, stride, squeeze)
    x = net.global_pool("pool", net.conv("last", x, 960))
    net.dense("logits", net.conv("features", x, 1280), 1001)
    return net


def mobilenet_edgetpu() -> Network:
    """MobileNetEdgeTPU: the first two stages expand by a full 3 x 3 convolution."""
    net = Network(
        "MobileNetEdgeTPU",
        "MobileNetEdgeTPU, width 1.0, 224 x 224",
        "V3_EDGETPU of research/slim/nets/mobilenet/mobilenet_v3.py in tensorflow/models",
        (224, 224, 3),
    )
    x = net.conv("stem", net.input, 32, 3, 2)
    # A block that does not widen has no expansion, and with it loses the fused 3 x 3 kernel.
    x = net.conv("block0_project", x, 16)
    block = 1
    for channels in (32, 48):
        for repeat in range(4):
            y = net.conv(f"block{block}_expand", x, x.channels * (4 if repeat else 8), 3, 1 if repeat else 2)
            y = net.conv(f"block{block}_project", y, channels)
            x = net.elementwise(f"block{block}_add", y, x) if repeat else y
            block += 1
    for kernel, channels, repeats, stride in ((3, 96, 4, 2), (3, 96, 4, 1), (5, 160, 4, 2), (3, 192, 1, 1)):
        for repeat in range(repeats):
            expanded = x.channels * (4 if repeat else 8)
            step = 1 if repeat else stride
            x = bottleneck(net, f"block{block}", x, expanded, channels, kernel, step, residual=repeat > 0)
            block += 1
    classifier(net, net.conv("last", x, 1280))
    return net


def unet() -> Network:
    """U-Net; a decoder level joins the encoder's tensor of its size to the upscaled one."""
    net = Network(
        "U-Net",
        "U-Net, 5 levels of 20 to 160 channels, 256 x 256, 2 classes",
        "Ronneberger et al. 2015, U-Net, arXiv 1505.04597. PRIME publishes 35 convolutions, 3.69 MiB and "
        "13.7 G operations, not the shape: this is the paper's network with padding, three convolutions a "
        "block in place of two, six at the bottom, 3 x 3 transposed ones, and widths that meet those figures",
        (256, 256, 3),
    )
    widths = (20, 40, 80, 160, 160)
    x, skips = net.input, []
    for level, width in enumerate(widths):
        for index in range(6 if level == 4 else 3):
            x = net.conv(f"down{level}_conv{index}", x, width, 3)
        if level < 4:
            skips.append(x)
            x = net.max_pool(f"down{level}_pool", x)
    for level in reversed(range(4)):
        up = net.transposed(f"up{level}_transposed", x, widths[level])
        x = net.conv(f"up{level}_conv0", (skips[level], up), widths[level], 3)
        for index in (1, 2):
            x = net.conv(f"up{level}_conv{index}", x, widths[level], 3)
    net.conv("classes", x, 2)
    return net


def lstm(net: Network, name: str, x: Tensor, hidden: int, projection: int) -> Tensor:
    """One time step of a projected LSTM (Sak et al. 2014, arXiv 1402.1128): 9 matmuls, 2 element-wise."""
    state = Tensor("state", (1, 1, projection))
    terms = {
        gate: (
            net.recurrent(f"{name}_{gate}_input", x, hidden),
            net.recurrent(f"{name}_{gate}_state", state, hidden),
        )
        for gate in ("in", "forget", "update", "out")
    }
    operands = [*terms["in"], *terms["forget"], *terms["update"], Tensor("state", (1, 1, hidden))]
    cell = net.elementwise(f"{name}_cell", *operands)
    return net.recurrent(
        f"{name}_projection", net.elementwise(f"{name}_hidden", cell, *terms["out"]), projection
    )


def trnn_encoder() -> Network:
    """First part of a speech transducer's encoder."""
    net = Network(
        "t-RNN Enc",
        "Transducer encoder, 2 LSTM layers of 2048 projected to 640, one time step",
        "He et al. 2018, Streaming End-to-end Speech Recognition for Mobile Devices, arXiv 1811.06621: the "
        "layers before the time reduction; 528 inputs (4 x 128 log-mel, 16 for the domain) give 21.62 MiB",
        (1, 1, 528),
    )
    x = lstm(net, "lstm0", net.input, 2048, 640)
    lstm(net, "lstm1", x, 2048, 640)
    return net


def trnn_decoder() -> Network:
    """Prediction network of a speech transducer."""
    net = Network(
        "t-RNN Dec",
        "Transducer prediction network, 2 LSTM layers of 2048 projected to 512, one time step",
        "He et al. 2018, Streaming End-to-end Speech Recognition for Mobile Devices, arXiv 1811.06621; "
        "embedding and projection of 512 and an output layer of 2048 meet PRIME's 19 layers and 19 MiB",
        (1, 1, 512),
    )
    x = lstm(net, "lstm0", net.input, 2048, 512)
    net.dense("output", lstm(net, "lstm1", x, 2048, 512), 2048)
    return net


def heads(net: Network, name: str, x: Tensor, anchors: int, classes: int, separable: bool) -> None:
    """Class scores and boxes of one feature map; on a map of one pixel the predictors are dense layers."""
    for part, outputs in (("class", classes), ("box", 4)):
        y = net.depthwise(f"{name}_{part}_depthwise", x) if separable else x
        last = net.dense if x.shape[0] == 1 else net.conv
        last(f"{name}_{part}", y, anchors * outputs)


def ssdlite_mobilenet_v2(
    net: Network, width: float, last: int, extras: Sequence[tuple[int, int]], classes: int
) -> None:
    """SSDLite: separable heads on block 13's expansion, on the last convolution and on each extra stage."""
    x = mobilenet_v2_features(net, width, last, lambda y: heads(net, "map0", y, 3, classes, True))
    heads(net, "map1", x, 6, classes, True)
    for index, (middle, channels) in enumerate(extras):
        y = net.conv(f"extra{index}_reduce", x, middle)
        y = net.depthwise(f"extra{index}_depthwise", y, stride=2)
        x = net.conv(f"extra{index}_expand", y, channels)
        heads(net, f"map{index + 2}", x, 6, classes, True)


def m4() -> Network:
    """Stand-in for M4: SSD on MobileNetV1."""
    net = Network(
        "M4",
        "Stand-in for M4: SSD on MobileNetV1, 360 x 360, 90 classes",
        "PRIME's M4 is not public. SSD (Liu et al. 2016, arXiv 1512.02325) on MobileNetV1 (Howard et al. "
        "2017, arXiv 1704.04861) with 1 x 1 heads, at the size that meets PRIME's figures",
        (360, 360, 3),
        stand_in=True,
    )
    classes = 91
    x = mobilenet_v1_features(net, lambda y: heads(net, "map0", y, 3, classes, False))
    heads(net, "map1", x, 6, classes, False)
    for index, channels in enumerate((512, 256, 256, 128)):
        x = net.conv(f"extra{index}_reduce", x, channels // 2)
        x = net.conv(f"extra{index}_expand", x, channels, 3, 2)
        heads(net, f"map{index + 2}", x, 6, classes, False)
    return net


def m5() -> Network:
    """Stand-in for M5: SSDLite on MobileNetV2."""
    net = Network(
        "M5",
        "Stand-in for M5: SSDLite on MobileNetV2, 272 x 272, 1 class",
        "PRIME's M5 is not public. SSDLite on MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381) with two "
        "narrow extra stages and four feature maps, at the size that meets PRIME's figures",
        (272, 272, 3),
        stand_in=True,
    )
    ssdlite_mobilenet_v2(net, 1.0, 1280, ((64, 128), (32, 64)), 2)
    return net


def m6() -> Network:
    """Stand-in for M6: SSDLite on a narrow MobileNetV2."""
    net = Network(
        "M6",
        "Stand-in for M6: SSDLite on MobileNetV2, width 0.35, 320 x 320, 1 class",
        "PRIME's M6 is not public. SSDLite on MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381) with every "
        "width times 0.35, four extra stages and six feature maps; meets PRIME's figures",
        (320, 320, 3),
        stand_in=True,
    )
    ssdlite_mobilenet_v2(net, 0.35, 448, ((88, 176), (48, 88), (48, 88), (24, 48)), 2)
    return net


def mobilenet_v1() -> Network:
    """MobileNetV1."""
    net = Network(
        "MobileNetV1",
        "MobileNetV1, width 1.0, 224 x 224",
        "Howard et al. 2017, MobileNets, arXiv 1704.04861, table 1",
        (224, 224, 3),
    )
    classifier(net, mobilenet_v1_features(net))
    return net


def squeezenet() -> Network:
    """SqueezeNet; the first convolution and the pools do not pad."""
    net = Network(
        "SqueezeNet",
        "SqueezeNet 1.0, 224 x 224",
        "Iandola et al. 2016, SqueezeNet, arXiv 1602.07360, table 1, with the sizes that 224 x 224 gives "
        "without padding, as in torchvision",
        (224, 224, 3),
    )
    x: Tensor | tuple[Tensor, Tensor] = net.conv("stem", net.input, 96, 7, 2, padded=False)
    x = net.max_pool("pool1", x, 3, padded=False)
    for fire, squeezed in enumerate((16, 16, 32, 32, 48, 48, 64, 64), start=2):
        y = net.conv(f"fire{fire}_squeeze", x, squeezed)
        x = (
            net.conv(f"fire{fire}_expand1x1", y, 4 * squeezed),
            net.conv(f"fire{fire}_expand3x3", y, 4 * squeezed, 3),
        )
        if fire in (4, 8):
            x = net.max_pool(f"pool{fire}", x, 3, padded=False)
    net.global_pool("pool", net.conv("classes", x, 1000))
    return net


def inception_v1() -> Network:
    """Inception v1; a module's four branches are concatenated by whoever reads them."""
    net = Network(
        "Inception v1",
        "Inception v1 (GoogLeNet) without auxiliary heads, 224 x 224",
        "Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842, table 1, with 3 x 3 for 5 x 5 "
        "kernels as in research/slim/nets/inception_v1.py of tensorflow/models, and in torchvision",
        (224, 224, 3),
    )
    # 1 x 1; 3 x 3 reduced, 3 x 3; the other 3 x 3 reduced, 3 x 3; pooled: the rows of the paper's table.
    rows = {
        "3a": (64, 96, 128, 16, 32, 32),
        "3b": (128, 128, 192, 32, 96, 64),
        "4a": (192, 96, 208, 16, 48, 64),
        "4b": (160, 112, 224, 24, 64, 64),
        "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128),
        "5a": (256, 160, 320, 32, 128, 128),
        "5b": (384, 192, 384, 48, 128, 128),
    }
    y = net.max_pool("pool1", net.conv("stem", net.input, 64, 7, 2), 3)
    y = net.conv("conv2", net.conv("conv2_reduce", y, 64), 192, 3)
    x: Tensor | list[Tensor] = net.max_pool("pool2", y, 3)
    for row, (direct, reduced3, channels3, reduced5, channels5, pooled) in rows.items():
        name = f"inception{row}"
        x = [
            net.conv(f"{name}_direct", x, direct),
            net.conv(f"{name}_conv3", net.conv(f"{name}_reduce3", x, reduced3), channels3, 3),
            net.conv(f"{name}_conv5", net.conv(f"{name}_reduce5", x, reduced5), channels5, 3),
            net.conv(f"{name}_pooled", net.max_pool(f"{name}_pool", x, 3, 1), pooled),
        ]
        if row in ("3b", "4e"):
            x = net.max_pool(f"pool{row[0]}", x, 3 if row == "3b" else 2)
    classifier(net, x)
    return net


def residual_stages(net: Network, repeats: Sequence[int], bottlenecks: bool) -> None:
    """Append a ResNet of basic blocks or bottlenecks; the first convolution of a block has its stride."""
    x = net.max_pool("pool1", net.conv("stem", net.input, 64, 7, 2), 3)
    for stage, count in enumerate(repeats):
        width = 64 << stage
        channels = width * 4 if bottlenecks else width
        for index in range(count):
            name = f"stage{stage}_block{index}"
            stride = 2 if stage > 0 and index == 0 else 1
            shortcut = x
            if stride != 1 or channels != x.channels:
                shortcut = net.conv(f"{name}_shortcut", x, channels, 1, stride)
            if bottlenecks:
                y = net.conv(f"{name}_reduce", x, width, 1, stride)
                y = net.conv(f"{name}_expand", net.conv(f"{name}_conv", y, width, 3), channels)
            else:
                y = net.conv(f"{name}_conv1", net.conv(f"{name}_conv0", x, width, 3, stride), width, 3)
            x = net.elementwise(f"{name}_add", y, shortcut)
    classifier(net, x, 1000)


def resnet18() -> Network:
    """ResNet-18."""
    net = Network(
        "ResNet-18",
        "ResNet-18, 224 x 224",
        "He et al. 2015, Deep Residual Learning for Image Recognition, arXiv 1512.03385, table 1",
        (224, 224, 3),
    )
    residual_stages(net, (2, 2, 2, 2), bottlenecks=False)
    return net


def resnet50(size: int = 299) -> Network:
    """ResNet-50 as published: a stage's stride is in the first 1 x 1 convolution, not in the 3 x 3."""
    net = Network(
        "ResNet-50",
        f"ResNet-50 v1, {size} x {size}",
        "He et al. 2015, Deep Residual Learning for Image Recognition, arXiv 1512.03385, table 1; "
        f"{size} x {size} is the size in Coral's table of Edge TPU benchmarks, the paper's is 224 x 224",
        (size, size, 3),
    )
    residual_stages(net, (3, 4, 6, 3), bottlenecks=True)
    return net


def vgg16() -> Network:
    """VGG16."""
    net = Network(
        "VGG16",
        "VGG16, 224 x 224",
        "Simonyan and Zisserman 2014, arXiv 1409.1556, table 1, configuration D",
        (224, 224, 3),
    )
    x = net.input
    for stage, (channels, repeats) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        for index in range(repeats):
            x = net.conv(f"stage{stage}_conv{index}", x, channels, 3)
        x = net.max_pool(f"stage{stage}_pool", x)
    net.dense("logits", net.dense("dense1", net.dense("dense0", x, 4096), 4096), 1000)
    return net


def efficientnet_edgetpu_s() -> Network:
    """EfficientNet-EdgeTPU-S: three stages expand by a full 3 x 3 convolution; their projection strides."""
    net = Network(
        "EfficientNet-EdgeTPU-S",
        "EfficientNet-EdgeTPU-S, 224 x 224",
        "efficientnet-edgetpu-S of models/official/efficientnet/edgetpu/efficientnet_edgetpu_builder.py in "
        "tensorflow/tpu; Gupta and Akin 2020, arXiv 2003.02838",
        (224, 224, 3),
    )
    x = net.conv("stem", net.input, 32, 3, 2)
    # The first block expands the 24 channels that its definition states, not the stem's 32.
    y = net.conv("block0_expand", x, 24 * 4, 3)
    x = net.conv("block0_project", y, 24)
    block = 1
    for channels, repeats in ((32, 2), (48, 4)):
        for repeat in range(repeats):
            y = net.conv(f"block{block}_expand", x, x.channels * 8, 3)
            y = net.conv(f"block{block}_project", y, channels, 1, 1 if repeat else 2)
            x = net.elementwise(f"block{block}_add", y, x) if repeat else y
            block += 1
    for channels, repeats, stride in ((96, 5, 2), (144, 4, 1), (192, 2, 2)):
        for repeat in range(repeats):
            x = bottleneck(net, f"block{block}", x, x.channels * 8, channels, 5, 1 if repeat else stride)
            block += 1
    classifier(net, net.conv("last", x, 1280))
    return net


NETWORKS: dict[str, Callable[[], Network]] = {
    "mobilenet_edgetpu": mobilenet_edgetpu,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3": mobilenet_v3,
    "m4": m4,
    "m5": m5,
    "m6": m6,
    "u_net": unet,
    "t_rnn_dec": trnn_decoder,
    "t_rnn_enc": trnn_encoder,
    "mobilenet_v1": mobilenet_v1,
    "squeezenet": squeezenet,
    "inception_v1": inception_v1,
    "resnet_18": resnet18,
    "resnet_50": resnet50,
    "vgg16": vgg16,
    "efficientnet_edgetpu_s": efficientnet_edgetpu_s,
}


def main() -> int:
    """Write or check the files; the exit status."""
    parser = argparse.ArgumentParser(description="Write the bundled applications.")
    parser.add_argument("--check", action="store_true", help="compare with the files, write nothing")
    arguments = parser.parse_args()
    expected = {f"{name}.toml": build().toml() for name, build in NETWORKS.items()}
    if not arguments.check:
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        for name, text in expected.items():
            (DIRECTORY / name).write_text(text, encoding="utf-8", newline="\n")
        return 0
    found = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.toml")}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    for name in wrong:
        print(f"{DIRECTORY / name}: differs from what `{COMMAND}` writes", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
