"""The simulator's equations once more, in plain NumPy, from the documentation of the Rust module `simulator`.

Slow and simple, to test the fast one against. One array entry is one design; sizes are exact integers.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).resolve().parents[1] / "rust" / "core" / "data"

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Design: TypeAlias = dict[str, Integers]

# What the PE columns, the PE rows and the lanes of a PE are spread over.
MAPPINGS = [
    ("columns", "rows", "channels"),
    ("columns", "rows", "reduction"),
    ("channels", "rows", "columns"),
    ("channels", "rows", "reduction"),
    ("columns", "channels", "rows"),
    ("channels", "channels", "columns"),
    ("channels", "channels", "reduction"),
]


@dataclass(frozen=True)
class Layer:
    """A layer's numbers in the equations: rows H, columns W, channels K, products a sum R, and its bytes."""

    name: str
    rows: int
    columns: int
    channels: int
    reduction: int
    reuse: int
    per_channel: bool
    multicast: int
    unrolled: int
    weights: int
    macs: int
    window: int
    inputs: frozenset[str]
    input_bytes: int
    output_bytes: int
    runs: int


def load(name: str | Path) -> tuple[list[Layer], int]:
    """Read a bundled application, or a file; return its layers and the bytes of the network's input."""
    paths = [name] if isinstance(name, Path) else list((DATA / "applications").glob("*.toml"))
    files = [tomllib.loads(path.read_text()) for path in paths]
    (application,) = [file for file in files if isinstance(name, Path) or file["name"] == name]
    shapes = {"input": application["input"]}
    layers: list[Layer] = []
    for entry in application["layer"]:
        inputs = entry.get("inputs", [layers[-1].name if layers else "input"])
        sources = {source: entry["input"] if source == "state" else shapes[source] for source in inputs}
        shapes[entry["name"]] = entry["output"]
        layers.append(read(entry, sources))
    return layers, prod(application["input"])


def read(entry: dict[str, Any], sources: dict[str, list[int]]) -> Layer:
    kind = entry["kind"]
    depth, (rows, columns, channels) = entry["input"][2], entry["output"]
    kernel, stride = entry.get("kernel", [1, 1]), entry.get("stride", [1, 1])
    window, depth = prod(kernel), depth // entry.get("groups", 1)
    pixels, runs, second = rows * columns, 1, 0
    match kind:
        case "conv":
            reduction, weights = window * depth, window * depth * channels
        case "transposed_conv":
            reduction, weights = -(-window * depth // prod(stride)), window * depth * channels
            pixels = prod(entry["input"][:2])
        case "dense":
            reduction, weights = prod(entry["input"]), prod(entry["input"]) * channels
        case "recurrent":
            # As often as there are time steps, which are its rows.
            runs, rows, pixels = rows, 1, 1
            reduction = prod(entry["input"]) // runs
            weights = reduction * channels
        case "matmul":
            reduction, weights, second = depth, 0, depth * channels
        case "depthwise":
            reduction, weights = window, window * channels
        case "pool":
            reduction, weights = window, 0
        case _:
            reduction, weights = len(sources), 0
    read = sum(prod(shape) for shape in sources.values())
    if entry.get("view"):
        full = prod(entry["input"])
        read = min(read, full + second)
        if kind == "elementwise":
            read = sum(min(prod(shape), full) for shape in sources.values())
    per_channel = kind in ("depthwise", "pool", "elementwise")
    unrolls = kind == "conv" and window > 1
    return Layer(
        name=entry["name"],
        rows=rows,
        columns=columns,
        channels=channels,
        reduction=reduction,
        reuse=max(1, kernel[1] // stride[1]) if kind in ("conv", "depthwise", "pool") else 1,
        per_channel=per_channel,
        multicast=0 if per_channel else -(-read // runs),
        unrolled=pixels * window * entry["input"][2] if unrolls else read,
        weights=weights,
        macs=(weights + second) * pixels * runs,
        window=window,
        inputs=frozenset(sources),
        input_bytes=read,
        output_bytes=prod(entry["output"]),
        runs=runs,
    )


def ceil(a: Integers | int, b: Integers | int) -> Integers:
    """Return a / b rounded up."""
    return np.asarray(-(-np.asarray(a) // b))


@dataclass(frozen=True)
class OnChip:
    """What a layer takes on chip: cycles of compute and port, bytes of the port, tiles, rows, PEs at work."""

    compute: Integers
    port: Floats
    port_bytes: Floats
    tiles: Integers
    tile_rows: Integers
    pes: Integers

    @property
    def cycles(self) -> Floats:
        return np.maximum(self.compute, self.port)


def on_chip(
    layer: Layer, mapping: tuple[str, str, str], design: Design, constants: dict[str, float]
) -> OnChip:
    one = np.ones_like(design["pes_x"])
    over_pes = dict.fromkeys(("rows", "columns", "channels", "reduction"), one)
    over_lanes = dict(over_pes)
    for loop, units in zip(mapping[:2], (design["pes_x"], design["pes_y"]), strict=True):
        over_pes[loop] = over_pes[loop] * units
    over_lanes[mapping[2]] = design["compute_lanes"]
    ways = 1 if layer.per_channel else int(constants["mac_ways"])

    groups = ceil(layer.channels, over_pes["channels"] * over_lanes["channels"] * design["cores"])
    slice_ = ceil(layer.reduction, over_lanes["reduction"])
    compute = (
        ceil(layer.rows, over_pes["rows"] * over_lanes["rows"])
        * ceil(layer.columns, over_pes["columns"] * over_lanes["columns"])
        * groups
        * ceil(layer.reduction, over_lanes["reduction"] * ways)
    )

    rows = ceil(layer.rows, over_pes["rows"])
    pixels = rows * ceil(layer.columns, over_pes["columns"])
    channels = ceil(layer.channels, over_pes["channels"])
    port_bytes = pixels * layer.reduction * (channels if layer.per_channel else groups) / layer.reuse
    port_bytes = port_bytes + pixels * channels
    tiles = groups
    if layer.macs:
        cuts = np.maximum(1, ceil(2 * design["cores"] * slice_, design["core_memory"]))
        spill = 2 * constants["accumulator_bytes"] * pixels * channels
        port_bytes = port_bytes + channels * layer.reduction + (cuts - 1) * spill
        tiles = tiles * cuts
    pes = one
    for length, loop in ((layer.rows, "rows"), (layer.columns, "columns"), (layer.channels, "channels")):
        pes = pes * ceil(length, ceil(length, over_pes[loop]))
    port = port_bytes / constants["pe_port_bytes_per_cycle"]
    return OnChip(compute, port, port_bytes, tiles, tiles * rows, pes)


def working_sets(layers: list[Layer], network_input: int) -> list[int]:
    """Return for each layer the bytes of activations that the PE memories hold while it runs."""
    sizes = {"input": network_input} | {layer.name: layer.output_bytes for layer in layers}
    sets = []
    for position, layer in enumerate(layers):
        made = {"input", *(earlier.name for earlier in layers[:position])}
        needed = frozenset[str]().union(*(later.inputs for later in layers[position + 1 :]))
        waiting = sum(sizes[tensor] for tensor in (made & needed) - layer.inputs)
        sets.append(layer.unrolled + layer.output_bytes + waiting)
    return sets


def simulate(name: str | Path, design: Design) -> dict[str, Any]:
    """Simulate designs given as values by parameter; return latency, energy and which checks fail.

    The space's own constraints are not looked at, and costs are given for infeasible designs too.
    """
    constants = tomllib.loads((DATA / "technology.toml").read_text())
    layers, network_input = load(name)
    design = {parameter: np.asarray(values, np.int64) for parameter, values in design.items()}
    pes = design["pes_x"] * design["pes_y"]

    sets = working_sets(layers, network_input)
    activations, largest = max(sets), layers[int(np.argmax(sets))].name
    windows = [
        min(layer.reduction, layer.window * int(constants["mac_ways"])) if layer.macs else 0
        for layer in layers
    ]
    pe_memories = pes * design["pe_memory"]
    all_weights = sum(layer.weights for layer in layers)
    prefetch = constants["prefetch_mib"] * 2**20
    resident = min(all_weights, prefetch)
    region = np.minimum(pe_memories * constants["parameter_share"], pe_memories - activations)
    cached = np.where(region >= all_weights, all_weights, np.maximum(0, region - prefetch))
    caching = design.get("parameter_caching", np.full(len(pes), constants["parameter_caching"]))
    streamed = np.where(caching, 1 - cached / all_weights, 1.0)

    nominal = design["dram_bandwidth"] * constants["dram_efficiency"] * 1e9  # bytes per second
    round_trip = constants["dram_round_trip_ns"] * 1e-9

    def staged(memory: str) -> Floats:
        entry = constants[f"{memory}_entry_bytes"]
        return np.asarray(np.minimum(nominal, design[f"{memory}_memory"] * entry / round_trip))

    latency = np.full(len(pes), constants["invocation_us"] * 1e-6)
    picojoules, dram_bytes, instructions = np.zeros((3, len(pes)))
    energy_of_core = sram(design["core_memory"], constants)
    energy_of_pe = sram(design["pe_memory"], constants)
    for layer in layers:
        costs = [on_chip(layer, mapping, design, constants) for mapping in MAPPINGS]
        chosen = np.argmin([cost.cycles for cost in costs], axis=0)

        def of_chosen(field: str, chosen: Integers = chosen, costs: list[OnChip] = costs) -> Any:
            return np.choose(chosen, [getattr(cost, field) for cost in costs])

        read = network_input if "input" in layer.inputs else 0
        written = 0 if any(layer.name in later.inputs for later in layers) else layer.output_bytes
        weights = streamed * layer.weights * layer.runs
        dram = weights / staged("parameter") + (read + written) / staged("activation")
        cycles = np.maximum(of_chosen("cycles"), layer.multicast / constants["bus_bytes_per_cycle"])
        on_chip_time = cycles / (constants["clock_mhz"] * 1e6) * layer.runs
        latency += np.maximum(on_chip_time, dram) + constants["layer_us"] * 1e-6 * layer.runs
        instructions += constants["instructions_per_layer"]
        instructions += constants["instructions_per_tile"] * of_chosen("tiles")
        instructions += constants["instructions_per_row"] * of_chosen("tile_rows")
        dram_bytes += weights + read + written
        picojoules += layer.macs * (constants["mac_pj"] + energy_of_core)
        picojoules += of_chosen("port_bytes") * of_chosen("pes") * energy_of_pe * layer.runs

    picojoules += dram_bytes * constants["dram_pj_per_byte"]
    on_chip_bytes = pes * (design["pe_memory"] + design["compute_lanes"] * design["core_memory"])
    leakage = constants["sram_leakage_mw_per_mib"] * 1e-3 * on_chip_bytes / 2**20  # watts
    macs = pes * design["compute_lanes"] * design["cores"] * constants["mac_ways"]
    peak = macs * (constants["mac_pj"] + energy_of_core)
    peak += pes * constants["pe_port_bytes_per_cycle"] * energy_of_pe
    peak = peak * constants["clock_mhz"] * 1e6 + nominal * constants["dram_pj_per_byte"]  # pJ a second
    weights_need = resident / constants["parameter_share"]
    return {
        "latency_us": latency * 1e6,
        "energy_uj": (picojoules * 1e-12 + leakage * latency) * 1e6,
        "peak_power_mw": peak * 1e-9 + leakage * 1e3,
        "pe_memory": pe_memories < max(weights_need, activations + resident),
        "core_memory": 2 * design["cores"] * max(windows) > design["core_memory"],
        "instruction_memory": instructions > design["instruction_memory"],
        "instructions": instructions,
        "streamed": streamed,
        "weights_need": weights_need,
        "activations_need": (largest, activations + resident),
        "largest_window": (layers[int(np.argmax(windows))].name, max(windows)),
    }


def sram(size: Integers, constants: dict[str, float]) -> Floats:
    """Return picojoules a byte of an SRAM of that many bytes."""
    return np.asarray(constants["sram_pj_per_byte_at_1_mib"] * np.sqrt(size / 2**20))
