"""What the runs of both peers share: designs, layers, the cost of an access, the table of results."""

from __future__ import annotations

import csv
import math
import tomllib
from collections import Counter
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PEERS = Path(__file__).resolve().parent
DESIGNS = PEERS / "designs.csv"
RESULTS = PEERS / "results"
APPLICATIONS = PEERS.parents[1] / "rust" / "core" / "data" / "applications"

CLOCK_MHZ = 800.0
MAC_WAYS = 4
PE_PORT_BYTES_PER_CYCLE = 32
KIB = 1024

MAC_PJ = 0.20  # int8 multiply and 32-bit add, Aladdin at 16 nm
DRAM_PJ_PER_BYTE = 64.0  # LPDDR4, 8 pJ a bit
# CACTI 7 at 16 nm: bytes -> pJ a byte read and written; 64-bit ports up to 4 KiB, 128-bit ports above.
SRAM_PJ_PER_BYTE = {
    1 * KIB: (0.04053, 0.08363),
    4 * KIB: (0.1248, 0.1328),
    16 * KIB: (0.2041, 0.2234),
    64 * KIB: (0.4779, 0.4052),
    256 * KIB: (0.9471, 0.8147),
    1024 * KIB: (1.937, 1.676),
    2048 * KIB: (2.725, 2.464),
    4096 * KIB: (3.998, 3.489),
    16384 * KIB: (7.72, 7.203),
}


@dataclass(frozen=True)
class Design:
    """One row of ``designs.csv``: the ten parameters of the template, memories in the units of its space."""

    design: int
    pes_x: int
    pes_y: int
    cores: int
    compute_lanes: int
    pe_memory: int
    core_memory: int
    activation_memory: int
    instruction_memory: int
    parameter_memory: int
    dram_bandwidth: int

    @property
    def pes(self) -> int:
        """Number of PEs."""
        return self.pes_x * self.pes_y

    @property
    def pe_memory_bytes(self) -> int:
        """Bytes of all PE memories together."""
        return self.pes * self.pe_memory

    @property
    def core_memory_bytes(self) -> int:
        """Bytes of all core memories together."""
        return self.pes * self.compute_lanes * self.core_memory

    @property
    def pe_port_bytes_per_cycle(self) -> int:
        """Bytes a cycle through the ports of all PE memories."""
        return self.pes * PE_PORT_BYTES_PER_CYCLE

    @property
    def dram_bytes_per_cycle(self) -> float:
        """Nominal bytes a cycle from DRAM."""
        return self.dram_bandwidth * 1e3 / CLOCK_MHZ


@dataclass(frozen=True)
class Layer:
    """The shape of a convolution, depthwise convolution or dense layer.

    A dense layer is a convolution of a single pixel.
    """

    depthwise: bool
    input_channels: int
    output: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]

    @property
    def padded_input(self) -> tuple[int, int]:
        """Height and width that the kernel slides over, padding included."""
        rows, columns, _ = self.output
        return (
            (rows - 1) * self.stride[0] + self.kernel[0],
            (columns - 1) * self.stride[1] + self.kernel[1],
        )

    @property
    def reduction(self) -> int:
        """Products that make one output."""
        return math.prod(self.kernel) * (1 if self.depthwise else self.input_channels)

    @property
    def macs(self) -> int:
        """Multiplications of the layer."""
        return math.prod(self.output) * self.reduction

    @property
    def weights(self) -> int:
        """Bytes of int8 weights, without biases."""
        return self.output[2] * self.reduction


@dataclass(frozen=True)
class Result:
    """One design on one application; ``layers`` counts the distinct shapes that were simulated."""

    design: int
    application: str
    latency_cycles: int
    latency_us: float
    energy_uj: float
    wall_s: float
    layers: int
    tool: str

    @classmethod
    def of(
        cls,
        design: Design,
        application: str,
        times: Sequence[int],
        costs: Sequence[tuple[float, float]],
        seconds: float,
        tool: str,
    ) -> Result:
        """Sum (cycles, pJ) of distinct layers, each as often as it occurs."""
        cycles = sum(count * cost[0] for count, cost in zip(times, costs, strict=True))
        picojoules = sum(count * cost[1] for count, cost in zip(times, costs, strict=True))
        return cls(
            design.design,
            application,
            round(cycles),
            cycles / CLOCK_MHZ,
            picojoules * 1e-6,
            seconds,
            len(costs),
            tool,
        )

    def __str__(self) -> str:
        return (
            f"{self.tool}, {self.application}, design {self.design}: {self.latency_us:.1f} us, "
            f"{self.energy_uj:.1f} uJ ({self.wall_s:.0f} s)"
        )


def read_designs(path: Path) -> list[Design]:
    """Read the designs, one a row."""
    with path.open(newline="") as file:
        return [Design(**{name: int(value) for name, value in row.items()}) for row in csv.DictReader(file)]


def read_layers(path: Path) -> tuple[str, dict[Layer, int]]:
    """Read an application: its name and how often each distinct shape with multiplications occurs.

    Pooling and element-wise layers are left out.
    """
    application = tomllib.loads(path.read_text(encoding="utf-8"))
    shapes = (_shape(layer) for layer in application["layer"] if layer["kind"] not in ("pool", "elementwise"))
    return application["name"], dict(Counter(shapes))


def _shape(layer: Mapping[str, Any]) -> Layer:
    kind = layer["kind"]
    if kind not in ("conv", "depthwise", "dense") or layer.get("groups", 1) != 1:
        raise ValueError(f"layer {layer['name']!r}: no translation for kind {kind!r} or its groups")
    if kind == "dense":
        return Layer(False, math.prod(layer["input"]), (1, 1, math.prod(layer["output"])), (1, 1), (1, 1))
    rows, columns, channels = layer["output"]
    kernel, stride = layer.get("kernel", (1, 1)), layer.get("stride", (1, 1))
    return Layer(
        kind == "depthwise",
        layer["input"][2],
        (rows, columns, channels),
        (kernel[0], kernel[1]),
        (stride[0], stride[1]),
    )


def sram_pj_per_byte(size: int) -> tuple[float, float]:
    """Energy of a byte read from and written to one SRAM of ``size`` bytes, in pJ.

    Interpolated between the sizes of the table, logarithmic on both axes.
    """
    sizes = sorted(SRAM_PJ_PER_BYTE)
    if not sizes[0] <= size <= sizes[-1]:
        raise ValueError(f"no cost for an SRAM of {size} bytes")
    lower, upper = next(pair for pair in pairwise(sizes) if size <= pair[1])
    share = math.log(size / lower) / math.log(upper / lower)
    read, write = (
        low ** (1 - share) * high**share
        for low, high in zip(SRAM_PJ_PER_BYTE[lower], SRAM_PJ_PER_BYTE[upper], strict=True)
    )
    return read, write


def write_results(rows: Sequence[Result], path: Path, command: str) -> None:
    """Write the table, its first line the command that made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [field.name for field in fields(Result)]
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# {command}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            values = (getattr(row, name) for name in names)
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in values])


def read_results(path: Path) -> list[Result]:
    """Read a table that `write_results` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return [
        Result(
            int(row["design"]),
            row["application"],
            int(row["latency_cycles"]),
            float(row["latency_us"]),
            float(row["energy_uj"]),
            float(row["wall_s"]),
            int(row["layers"]),
            row["tool"],
        )
        for row in rows
    ]
