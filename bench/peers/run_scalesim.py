"""Run SCALE-Sim on the designs of ``designs.csv``, one row a design and application.

    cd bench && python -m peers.run_scalesim

SCALE-Sim models one systolic array; README.md says how a design of the template becomes one. Each distinct
shape is simulated once, in the mode with given bandwidths, without traces.
"""

from __future__ import annotations

import configparser
import csv
import math
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
from scalesim.scale_sim import scalesim

from peers.translation import (
    APPLICATIONS,
    DESIGNS,
    DRAM_PJ_PER_BYTE,
    KIB,
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

PARTIAL_SUM_BYTES = 4
# Apart in the tool's address space, above the largest tensor.
OFFSETS = {"IfmapOffset": 0, "FilterOffset": 100_000_000, "OfmapOffset": 200_000_000}
RUN = "run"


def array(design: Design) -> tuple[int, int]:
    """Return rows and columns of the systolic array: the reduction goes down, output channels across."""
    return MAC_WAYS * design.compute_lanes * design.pes_y, design.cores * design.pes_x


def configuration(design: Design) -> configparser.ConfigParser:
    """Return the tool's configuration of a design."""
    rows, columns = array(design)
    share = str(design.pe_memory_bytes // 3 // KIB)
    port = design.pe_port_bytes_per_cycle
    config = configparser.ConfigParser()
    config["general"] = {"run_name": RUN}
    config["run_presets"] = {"InterfaceBandwidth": "USER", "UseRamulatorTrace": "False"}
    config["architecture_presets"] = {
        "ArrayHeight": str(rows),
        "ArrayWidth": str(columns),
        "IfmapSramSzkB": share,
        "FilterSramSzkB": share,
        "OfmapSramSzkB": share,
        **{name: str(offset) for name, offset in OFFSETS.items()},
        "Dataflow": "ws",
        "Bandwidth": str(port),
        "ReadRequestBuffer": "64",
        "WriteRequestBuffer": "64",
    }
    # Version 3 takes the bandwidths of both inputs from this section even where no layout is given.
    config["layout"] = {
        "IfmapCustomLayout": "False",
        "IfmapSRAMBankBandwidth": str(port),
        "IfmapSRAMBankNum": "1",
        "IfmapSRAMBankPort": "2",
        "FilterCustomLayout": "False",
        "FilterSRAMBankBandwidth": str(round(design.dram_bytes_per_cycle)),
        "FilterSRAMBankNum": "1",
        "FilterSRAMBankPort": "2",
    }
    config["sparsity"] = {"SparsitySupport": "false"}
    return config


def topology(layer: Layer) -> str:
    """Return the tool's table of layers with one layer; of a depthwise convolution, one channel."""
    if layer.stride[0] != layer.stride[1]:
        raise ValueError("the tool's table has one stride")
    channels, filters = (1, 1) if layer.depthwise else (layer.input_channels, layer.output[2])
    values = (*layer.padded_input, *layer.kernel, channels, filters, layer.stride[0])
    head = "name,ifmap h,ifmap w,filter h,filter w,channels,filters,stride,"
    return f"{head}\nlayer," + ",".join(map(str, values)) + ",\n"


def read_report(path: Path) -> dict[str, float]:
    """Read one of the tool's reports on a single layer."""
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    return {name.strip(): float(value) for name, value in row.items() if name.strip()}


def simulate(design: Design, layer: Layer) -> tuple[float, float]:
    """Return the cycles and the energy in pJ of one layer.

    One layer a run: the tool keeps every address of every layer in memory until its end.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "config.cfg").open("w") as file:
            configuration(design).write(file)
        (folder / "topology.csv").write_text(topology(layer))
        (folder / "layout.csv").write_text("no layout\n")
        tool = scalesim(
            save_disk_space=True,
            verbose=False,
            config=str(folder / "config.cfg"),
            topology=str(folder / "topology.csv"),
            layout=str(folder / "layout.csv"),
        )
        tool.run_scale(top_path=name)
        cycles = read_report(folder / RUN / "COMPUTE_REPORT.csv")["Total Cycles (incl. prefetch)"]
        accesses = read_report(folder / RUN / "DETAILED_ACCESS_REPORT.csv")
    # The report counts the empty slots of a request (address -1) as reads; the trace tells them apart.
    (simulated,) = tool.runner.single_layer_sim_object_list
    requests = simulated.memory_system.filter_buf.get_trace_matrix()[:, 1:]
    accesses["DRAM Filter Reads"] = float(np.count_nonzero(requests >= 0))
    # A depthwise convolution's channels run one after another.
    times = layer.output[2] if layer.depthwise else 1
    return times * cycles, times * energy(design, layer, accesses) + layer.macs * MAC_PJ


def energy(design: Design, layer: Layer, accesses: dict[str, float]) -> float:
    """Return the energy in pJ of the accesses that the tool counts in one layer.

    Activations stay in the PE memories between layers: what the tool moves to and from its DRAM of them costs
    nothing here. Weights come from DRAM.
    """
    read, write = sram_pj_per_byte(design.pe_memory)
    # Outputs that more than one fold adds up are 32 bits wide; the tool counts words.
    output_bytes = PARTIAL_SUM_BYTES if math.ceil(layer.reduction / array(design)[0]) > 1 else 1
    return (
        (accesses["SRAM IFMAP Reads"] + accesses["SRAM Filter Reads"]) * read
        + accesses["SRAM OFMAP Writes"] * output_bytes * write
        + accesses["DRAM Filter Reads"] * (DRAM_PJ_PER_BYTE + write)
    )


def run(design: Design, application: Path) -> Result:
    """Simulate one application on one design."""
    name, layers = read_layers(application)
    start = time.perf_counter()
    costs = [simulate(design, layer) for layer in layers]
    seconds = time.perf_counter() - start
    return Result.of(design, name, list(layers.values()), costs, seconds, f"scalesim {version('scalesim')}")


@click.command(help=__doc__)
@click.option(
    "--app", "applications", multiple=True, default=("mobilenet_v2", "resnet_18"), show_default=True
)
@click.option("--designs", type=click.Path(path_type=Path, exists=True), default=DESIGNS)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "scalesim.csv")
def main(applications: tuple[str, ...], designs: Path, out: Path) -> None:
    """Run every design and application; write the rows after each."""
    rows: list[Result] = []
    for application in applications:
        for design in read_designs(designs):
            rows.append(run(design, APPLICATIONS / f"{application}.toml"))
            click.echo(rows[-1])
            write_results(rows, out, "cd bench && python -m peers.run_scalesim")


if __name__ == "__main__":
    main()
