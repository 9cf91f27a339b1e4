"""Run ZigZag on the designs of ``designs.csv``, one row a design and application.

    cd bench && python -m peers.run_zigzag

README.md says how a design of the template becomes an accelerator description. Each distinct shape is mapped
once, for the least latency.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from zigzag.api import get_hardware_performance_zigzag

from peers.translation import (
    APPLICATIONS,
    DESIGNS,
    DRAM_PJ_PER_BYTE,
    MAC_PJ,
    MAC_WAYS,
    RESULTS,
    Design,
    Layer,
    Result,
    read_designs,
    read_layers,
    sram_pj_per_byte,
    write_results,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

BITS = 8
ACCUMULATOR_BITS = 32
REGISTER_PJ_PER_BYTE = 0.01438  # Aladdin at 16 nm
DRAM_BITS = 10**12  # more than any network
DIMENSIONS = ["D1", "D2", "D3", "D4", "D5"]  # ways, cores, lanes, PE rows, PE columns
# Ways sum input channels and cores take output channels. The tool knows hints for four dimensions; the fifth
# takes any loop.
HINTS = {
    "D1": ["C"],
    "D2": ["K", "G"],
    "D3": ["K", "G", "C", "OX", "OY"],
    "D4": ["OY", "OX", "K", "G", "C"],
}
EQUATION = "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"


def memory(
    size: int,
    pj_per_byte: tuple[float, float],
    ports: dict[str, tuple[int, list[str]]],
    operands: list[str],
    dimensions: list[str],
) -> dict[str, Any]:
    """Describe one level; a port is its bits a cycle and what it carries, its name gives its direction."""
    kinds = {"r": "read", "w": "write", "rw": "read_write"}
    width = max(bits for bits, _ in ports.values())
    read, write = (cost * width / BITS for cost in pj_per_byte)
    return {
        "size": size,
        # The cost of a full word: the tool takes a share of it for narrower accesses.
        "r_cost": read,
        "w_cost": write,
        "area": 0.0,
        "latency": 1,
        "operands": operands,
        "ports": [
            {
                "name": name,
                "type": kinds[name.split("_")[0]],
                "bandwidth_min": BITS,
                "bandwidth_max": bits,
                "allocation": allocation,
            }
            for name, (bits, allocation) in ports.items()
        ],
        "served_dimensions": dimensions,
    }


def accelerator(design: Design) -> dict[str, Any]:
    """Return the tool's description of a design, memories from the innermost outwards."""
    word = MAC_WAYS * design.cores * BITS
    port = design.pe_port_bytes_per_cycle * BITS
    return {
        "name": f"design{design.design}",
        "operational_array": {
            "unit_energy": MAC_PJ,
            "unit_area": 0.0,
            "dimensions": DIMENSIONS,
            "sizes": [MAC_WAYS, design.cores, design.compute_lanes, design.pes_y, design.pes_x],
        },
        "memories": {
            "accumulator": memory(
                ACCUMULATOR_BITS,
                (REGISTER_PJ_PER_BYTE, REGISTER_PJ_PER_BYTE),
                {
                    "r_port_1": (ACCUMULATOR_BITS, ["O, tl"]),
                    "r_port_2": (ACCUMULATOR_BITS, ["O, th"]),
                    "w_port_1": (ACCUMULATOR_BITS, ["O, fh"]),
                    "w_port_2": (ACCUMULATOR_BITS, ["O, fl"]),
                },
                ["O"],
                ["D1"],
            ),
            "core_memory": memory(
                design.core_memory * BITS,
                sram_pj_per_byte(design.core_memory),
                {"r_port_1": (word, ["I2, tl"]), "w_port_1": (word, ["I2, fh"])},
                ["I2"],
                ["D1", "D2"],
            ),
            # All PE memories as one: what several PEs need is read once.
            "pe_memory": memory(
                design.pe_memory_bytes * BITS,
                sram_pj_per_byte(design.pe_memory),
                {
                    "rw_port_1": (
                        port,
                        ["I1, fh", "I1, tl", "I2, fh", "I2, tl", "O, fh", "O, tl", "O, fl", "O, th"],
                    )
                },
                ["I1", "I2", "O"],
                DIMENSIONS,
            ),
            # Activations stay on chip between layers.
            "dram": memory(
                DRAM_BITS,
                (DRAM_PJ_PER_BYTE, DRAM_PJ_PER_BYTE),
                {"rw_port_1": (round(design.dram_bytes_per_cycle * BITS), ["I2, fh", "I2, tl"])},
                ["I2"],
                DIMENSIONS,
            ),
        },
    }


def workload(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Return the tool's description of independent layers."""
    described = []
    for position, layer in enumerate(layers):
        rows, columns, channels = layer.output
        groups, inputs, outputs = (channels, 1, 1) if layer.depthwise else (1, layer.input_channels, channels)
        sizes = {
            "B": 1,
            "G": groups,
            "K": outputs,
            "C": inputs,
            "OY": rows,
            "OX": columns,
            "FY": layer.kernel[0],
            "FX": layer.kernel[1],
        }
        described.append(
            {
                "id": position,
                "name": f"layer{position}",
                "operator_type": "Conv",
                "equation": EQUATION,
                "dimension_relations": [
                    f"ix={layer.stride[1]}*ox+1*fx",
                    f"iy={layer.stride[0]}*oy+1*fy",
                ],
                "loop_dims": list(sizes),
                "loop_sizes": list(sizes.values()),
                "operand_precision": {"W": BITS, "I": BITS, "O": ACCUMULATOR_BITS, "O_final": BITS},
                "operand_source": {"I": position, "W": position},
            }
        )
    return described


def simulate(
    design: Design, layers: Sequence[Layer], lpf_limit: int, spatial_mappings: int
) -> list[tuple[float, float]]:
    """Return the cycles and the energy in pJ of each layer."""
    # JSON is YAML.
    mapping = [{"name": "default", "spatial_mapping_hint": HINTS}]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "accelerator.yaml").write_text(json.dumps(accelerator(design)))
        (folder / "mapping.yaml").write_text(json.dumps(mapping))
        *_, evaluations = get_hardware_performance_zigzag(
            workload(layers),
            str(folder / "accelerator.yaml"),
            str(folder / "mapping.yaml"),
            opt="latency",
            dump_folder=str(folder / "dump"),
            lpf_limit=lpf_limit,
            nb_spatial_mappings_generated=spatial_mappings,
            loma_show_progress_bar=False,
        )
    _, by_layer = evaluations[0]
    found = {
        evaluation.layer.id: (float(evaluation.latency_total2), float(evaluation.energy_total))
        for evaluation, _ in by_layer
    }
    return [found[position] for position in range(len(layers))]


def run(design: Design, application: Path, lpf_limit: int, spatial_mappings: int) -> Result:
    """Evaluate one application on one design."""
    name, layers = read_layers(application)
    start = time.perf_counter()
    costs = simulate(design, list(layers), lpf_limit, spatial_mappings)
    seconds = time.perf_counter() - start
    return Result.of(
        design, name, list(layers.values()), costs, seconds, f"zigzag-dse {version('zigzag-dse')}"
    )


@click.command(help=__doc__)
@click.option(
    "--app", "applications", multiple=True, default=("mobilenet_v2", "resnet_18"), show_default=True
)
@click.option("--designs", type=click.Path(path_type=Path, exists=True), default=DESIGNS)
@click.option("--lpf-limit", default=5, show_default=True, help="Loop factors that are permuted, at most.")
@click.option("--spatial-mappings", default=1, show_default=True, help="Spatial mappings tried a layer.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "zigzag.csv")
def main(
    applications: tuple[str, ...], designs: Path, lpf_limit: int, spatial_mappings: int, out: Path
) -> None:
    """Run every design and application; write the rows after each."""
    logging.basicConfig(level=logging.ERROR)
    rows: list[Result] = []
    for application in applications:
        for design in read_designs(designs):
            rows.append(run(design, APPLICATIONS / f"{application}.toml", lpf_limit, spatial_mappings))
            click.echo(rows[-1])
            write_results(rows, out, "cd bench && python -m peers.run_zigzag")


if __name__ == "__main__":
    main()
