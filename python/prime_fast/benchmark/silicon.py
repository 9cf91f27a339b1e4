"""The simulator beside measured latencies of the first Coral Edge TPU.

The part (4 TOPS, 500 MHz, 8 MB of SRAM) is a smaller design than V1; `coral.toml` among the bundled designs
says how it is put in the template's terms, with the few constants that differ from the bundled technology.
One of them is fitted: the link's 0.46 GB/s, to the measured VGG16, nearly all of whose weights come over
it. The others are from data sheets or describe the part's compiler; nothing is set for one network.

How the 4096 MACs are split isn't published. 64 x 64 around one scratchpad is what is generally inferred,
and what is used. Other splits give a tau between 0.71 (4 x 4 and 8 x 8 PEs) and 1.00: with several PEs
there are as many memory ports, networks that fit run two to three times faster again, and SqueezeNet falls
behind the MobileNets.

What is compared
----------------
- order: Kendall's tau-b over the networks, aim 0.8
- ratio = simulated / measured latency
- parameter caching: the part keeps weights in what its 8 MB leave. Networks whose weights fit are several
  times faster per MAC. us per million MACs of each, with and without caching; the jump is the median over
  those that don't fit over the median over those that do

What deviates, and why: networks that fit are 0.6 to 0.9 of the measured latency, where a host's overheads,
which differ from V1's fixed 0.11 ms, weigh most. DenseNet, Inception v4 and others of the table aren't
bundled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.benchmark.comparison import (
    Comparison,
    Progress,
    View,
    by_name,
    kendall_tau,
    ratio_summary,
    read_table,
    rows_until_interrupt,
)
from prime_fast.designs import CACHING, reference_design
from prime_fast.errors import DataError
from prime_fast.workload import Application

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
LEAST_TAU = 0.8
# Bundled applications by what the published table calls them, at the same input size.
NETWORKS = {
    "MobileNet v1": "MobileNetV1",
    "MobileNet v2": "MobileNetV2",
    "SqueezeNet": "SqueezeNet",
    "Inception v1": "Inception v1",
    "EfficientNet-EdgeTpu-S": "EfficientNet-EdgeTPU-S",
    "ResNet-50 V1": "ResNet-50",
    "VGG16": "VGG16",
}
MEASURED = "desktop_cpu_plus_usb_edgetpu_ms"


def read_measured(path: str | Path) -> dict[str, float]:
    """Read measured latencies in ms by bundled application; rows of other networks are left out.

    Raises
    ------
    ConfigurationError
        If there is no such file.
    DataError
        If a column is missing, a value makes no sense, or fewer than two rows are of bundled networks.
    """
    frame = read_table(path, {"model": "text", MEASURED: "positive"})
    named = frame.filter(pl.col("model").str.to_lowercase().is_in([name.lower() for name in NETWORKS]))
    rows = by_name(named, "model", NETWORKS, path)
    if len(rows) < 2:
        raise DataError(
            f"{path}: {len(rows)} models of {', '.join(NETWORKS)}; at least 2 are needed to compare"
        )
    return {NETWORKS[name]: row[MEASURED] for name, row in rows.items()}


def compare_silicon(measured: str | Path | None = None, *, progress: Progress | None = None) -> Comparison:
    """Compare the Coral part's simulated and measured latencies.

    Parameters
    ----------
    measured : str or Path, optional
        CSV table with the columns model and desktop_cpu_plus_usb_edgetpu_ms (latency with the USB part, ms).
    progress : callable, optional
        Called with stage, done and total.

    Returns
    -------
    Comparison
        Columns: application, weights_mib, fits, latency_ms, no_caching_latency_ms, us_per_mmac,
        no_caching_us_per_mmac; with measurements also measured_ms, ratio, measured_us_per_mmac.
        Rows by ascending weights.

    Raises
    ------
    ConfigurationError
        If there is no such file.
    DataError
        If the measurements can't be used.
    """
    table = None if measured is None else read_measured(measured)
    design = reference_design("coral")
    uncached = design.with_values(**{CACHING: False})
    memory = int(design.values["pe_memory"])
    networks = [Application.bundled(name) for name in (table or NETWORKS.values())]
    known = {each.name: each for each in sorted(networks, key=lambda each: each.totals["parameter_bytes"])}

    def row(name: str) -> dict[str, Any]:
        totals = known[name].totals
        latency, streaming = (float(each.score(known[name]).latency_us[0]) for each in (design, uncached))
        mmacs = totals["macs"] / 1e6
        ours: dict[str, Any] = {
            "application": name,
            "weights_mib": totals["parameter_bytes"] / MIB,
            "fits": totals["parameter_bytes"] <= memory,
            "latency_ms": latency / 1e3,
            "no_caching_latency_ms": streaming / 1e3,
            "us_per_mmac": latency / mmacs,
            "no_caching_us_per_mmac": streaming / mmacs,
        }
        if table is not None:
            ours |= {
                "measured_ms": table[name],
                "ratio": latency / 1e3 / table[name],
                "measured_us_per_mmac": table[name] * 1e3 / mmacs,
            }
        return ours

    rows, interrupted = rows_until_interrupt(list(known), row, "simulating", progress)
    frame = pl.DataFrame(rows, infer_schema_length=None)
    figures, lines = {}, []
    if table is None:
        lines.append("Compare with Coral's table of benchmarks by --measured FILE (CSV).")
    else:
        figures["tau"] = kendall_tau(frame["latency_ms"], frame["measured_ms"])
        figures["ratio"], told = ratio_summary(frame["ratio"])
        lines.append(f"Kendall's tau of the order: {figures['tau']:.2f} (aim {LEAST_TAU:g}).")
        lines.append(f"Simulated / measured: {told}.")
    texts = {"us_per_mmac": "simulated", "no_caching_us_per_mmac": "uncached"}
    texts |= {"measured_us_per_mmac": "measured"} if table is not None else {}
    if frame["fits"].any() and not frame["fits"].all():
        for column, text in texts.items():
            inside, outside = (
                float(np.median(frame.filter(pl.col("fits") == fits)[column])) for fits in (True, False)
            )
            figures[f"jump, {text}"] = outside / inside
        jumps = ", ".join(f"{text} {figures[f'jump, {text}']:.1f}x" for text in texts.values())
        lines.append(f"us/MMAC, beyond {memory / MIB:g} MiB / within: {jumps}.")
    name, weights = ("", "application", ""), ("weights\nMiB", "weights_mib", ".2f")
    latency = [name, weights, ("ms\nsimulated", "latency_ms", ".2f")]
    per_mac = [name, weights, ("us/MMAC\nsimulated", "us_per_mmac", ".2f")]
    if table is not None:
        latency += [("\nmeasured", "measured_ms", ".1f"), ("\nratio", "ratio", ".2f")]
        per_mac.append(("\nmeasured", "measured_us_per_mmac", ".2f"))
    latency.append(("without\ncaching", "no_caching_latency_ms", ".2f"))
    per_mac.append(("without\ncaching", "no_caching_us_per_mmac", ".2f"))
    views = [View("Coral Edge TPU, USB: latency", latency), View("Time per million MACs", per_mac)]
    return Comparison(frame, views, lines, figures, interrupted)
