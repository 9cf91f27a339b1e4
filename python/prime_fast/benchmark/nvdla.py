"""The area and power models beside NVDLA's own figures for seven of its configurations at 16 nm, ResNet-50.

NVDLA (nvdla.org, primer: estimates for a 16 nm process at 1 GHz, int8) is another architecture: it keeps no
layer's activations on chip but streams them from SDRAM. So this is a check of orders of magnitude: do the
densities and the energies of an access, which come from CACTI, Aladdin and two published areas, carry over?

A configuration in the template's terms
---------------------------------------
- one PE; of n MACs, lanes x 4 ways = 2^ceil(log2(n)/2) sum one output, cores = n / (4 lanes) take output
  channels; with 2048 MACs 64 x 32, with 64 MACs 8 x 8 as NVDLA's own
- PE memory = convolution buffer, core memory 16 KiB a lane, 1 GHz, no parameter caching, no fixed cost of
  an inference, SDRAM at its bandwidth x the efficiency of the technology; power is the chip's, without
  SDRAM's

What is compared
----------------
- area = SRAM density x convolution buffer + MAC density x MACs, the densities of the space `prime`
- peak power of the configuration
- frames a second and average power. The simulator rejects PE memories that can't hold a layer's
  activations, so here they have 8 MiB, the core memories grow with them, and energy and leakage of a byte
  of SRAM are lowered so that each memory costs what it does at its true size. Bundled is ResNet-50 at 299 x
  299; frames a second are scaled by MACs to 224 x 224 (3.86 billion, as published with the network)

What deviates, and why
----------------------
- area comes out at 0.17 to 0.48 of NVDLA's. The densities are those of two published areas with 20 and 79
  TMAC/s; a line through the seven areas has 0.27 mm2 for what every configuration has (bus interfaces,
  configuration, units for activation, pooling and normalisation), which the area model has none of, 1.9 mm2
  a MiB of its many-banked buffer (ours 0.51) and 0.0010 mm2 a MAC (ours 0.00064). The area model is for
  large arrays of large, plain memories: use it to rank designs, not for a chip of a few mm2
- frames a second come out 1.2 to 2.3 times too high, most with few MACs: their 0.5 to 2 GB/s carry
  activations too
- average power comes out 0.9 to 2.8 times NVDLA's: more frames a second, and each MAC reads its weight from
  a core memory of 16 KiB, where NVDLA holds it in a register
"""

from __future__ import annotations

import math
import tomllib
from typing import TYPE_CHECKING, Any

import polars as pl

from prime_fast import _core
from prime_fast.benchmark.comparison import (
    Comparison,
    Kind,
    View,
    kendall_tau,
    ratio_summary,
    read_table,
)
from prime_fast.designs import ReferenceDesign
from prime_fast.errors import DataError
from prime_fast.space import DesignSpace
from prime_fast.workload import Application

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS: dict[str, Kind] = {
    "macs": "count",
    "conv_buffer_kb": "count",
    "sdram_gbps": "positive",
    "area_mm2_16nm": "positive",
    "resnet50_int8_fps_1ghz": "positive",
    "power_peak_mw_16nm": "positive",
    "power_avg_mw_16nm": "positive",
}
MACS_224 = 3.86e9
KIB, MIB = 1 << 10, 1 << 20
CORE_MEMORY = 16 * KIB
# At least what ResNet-50 at 299 x 299 needs.
ROOM = 8 * MIB


def read_configurations(path: str | Path) -> pl.DataFrame:
    """Read NVDLA's table, one row a configuration.

    Raises
    ------
    ConfigurationError
        If there is no such file.
    DataError
        If a column is missing or a value makes no sense; names the row.
    """
    frame = read_table(path, COLUMNS)
    for number, row in enumerate(frame.iter_rows(named=True), start=1):
        macs, buffer = row["macs"], row["conv_buffer_kb"]
        if not 16 <= macs <= 65_536 or macs & (macs - 1):
            raise DataError(
                f"{path}: row {number}: `macs` is {macs}; expected a power of two from 16 to 65536"
            )
        if not 1 <= buffer <= ROOM // KIB:
            raise DataError(
                f"{path}: row {number}: `conv_buffer_kb` is {buffer}; expected 1 to {ROOM // KIB}"
            )
    return frame


def as_design(macs: int, conv_buffer_kb: int, sdram_gbps: float, *, room: bool) -> ReferenceDesign:
    """Return a configuration in the template's terms; with `room` for activations at the same cost a byte."""
    constants = tomllib.loads(_core.bundled_technology())
    memory = conv_buffer_kb * KIB
    larger = math.ceil(ROOM / memory) if room else 1
    ways = constants["mac_ways"]
    inputs = 2 ** math.ceil(math.log2(macs) / 2)
    nominal = math.ceil(sdram_gbps)
    return ReferenceDesign(
        name=f"nvdla-{macs}",
        title=f"NVDLA, {macs} MACs",
        source="nvdla.org, primer",
        values={
            "pes_x": 1,
            "pes_y": 1,
            "cores": macs // inputs,
            "compute_lanes": inputs // ways,
            "pe_memory": memory * larger,
            "core_memory": CORE_MEMORY * larger,
            # Large enough to bound nothing.
            "activation_memory": 16_384,
            "instruction_memory": MIB,
            "parameter_memory": 32_768,
            "dram_bandwidth": nominal,
            "parameter_caching": False,
        },
        technology={
            "clock_mhz": 1000.0,
            "invocation_us": 0.0,
            "prefetch_mib": 0.0,
            "unrolled_kernels": False,
            # The simulator takes whole GB/s.
            "dram_efficiency": constants["dram_efficiency"] * sdram_gbps / nominal,
            "dram_pj_per_byte": 0.0,
            "sram_pj_per_byte_at_1_mib": constants["sram_pj_per_byte_at_1_mib"] / math.sqrt(larger),
            "sram_leakage_mw_per_mib": constants["sram_leakage_mw_per_mib"] / larger,
        },
    )


def compare_nvdla(configurations: str | Path) -> Comparison:
    """Compare area, power and frames a second with NVDLA's.

    Parameters
    ----------
    configurations : str or Path
        CSV table with the columns of `COLUMNS`: MACs (a power of two), KiB, GB/s, mm2, frames/s, mW.

    Returns
    -------
    Comparison
        Columns: macs, conv_buffer_kb, sdram_gbps, and for each of area_mm2, peak_power_mw, average_power_mw
        and fps ours, published_* and *_ratio (ours / published).

    Raises
    ------
    ConfigurationError
        If there is no such file.
    DataError
        If the table can't be used.
    """
    table = read_configurations(configurations)
    space = DesignSpace.bundled("prime")
    densities = tomllib.loads(space.to_toml())["constants"]
    network = Application.bundled("ResNet-50")
    rows: list[dict[str, Any]] = []
    for theirs in table.iter_rows(named=True):
        macs, buffer, bandwidth = theirs["macs"], theirs["conv_buffer_kb"], theirs["sdram_gbps"]
        true, roomy = (as_design(macs, buffer, bandwidth, room=room).score(network) for room in (False, True))
        ours = {
            "area_mm2": densities["sram_mm2_per_mib"] * buffer / KIB + densities["mac_mm2"] * macs,
            "peak_power_mw": float(true.peak_power_mw[0]),
            "average_power_mw": float(roomy.average_power_mw[0]),
            "fps": 1e6 / float(roomy.latency_us[0]) * network.totals["macs"] / MACS_224,
        }
        row: dict[str, Any] = {"macs": macs, "conv_buffer_kb": buffer, "sdram_gbps": bandwidth}
        for (name, value), column in zip(ours.items(), _PUBLISHED, strict=True):
            published = theirs[column]
            row |= {name: value, f"published_{name}": published, f"{name}_ratio": value / published}
        rows.append(row)
    frame = pl.DataFrame(rows).with_columns(pl.selectors.float().fill_nan(None))

    figures, lines = {}, []
    for name, text in _TEXTS.items():
        known = frame.filter(pl.col(name).is_not_null())
        figures[f"{name} tau"] = kendall_tau(known[name], known[f"published_{name}"])
        figures[f"{name} ratio"], told = ratio_summary(known[f"{name}_ratio"])
        lines.append(f"{text}: ours / published {told}, tau {figures[f'{name} tau']:.2f}.")
    columns = [("MACs", "macs", "d"), ("buffer\nKiB", "conv_buffer_kb", "d"), ("\nGB/s", "sdram_gbps", "g")]
    for name, heading in (("area_mm2", "mm2"), ("peak_power_mw", "peak mW")):
        columns += _triple(name, heading)
    more = [columns[0], *_triple("average_power_mw", "avg. mW"), *_triple("fps", "frames/s")]
    views = [View("NVDLA: area and peak power", columns), View("NVDLA: ResNet-50", more)]
    return Comparison(frame, views, lines, figures)


_PUBLISHED = ("area_mm2_16nm", "power_peak_mw_16nm", "power_avg_mw_16nm", "resnet50_int8_fps_1ghz")
_TEXTS = {
    "area_mm2": "Area",
    "peak_power_mw": "Peak power",
    "average_power_mw": "Average power",
    "fps": "Frames a second",
}


def _triple(name: str, heading: str) -> list[tuple[str, str, str]]:
    spec = ".2f" if name == "area_mm2" else ".0f" if name != "fps" else ".1f"
    return [
        (f"{heading}\nours", name, spec),
        ("\npublished", f"published_{name}", spec),
        ("\nratio", f"{name}_ratio", ".2f"),
    ]
