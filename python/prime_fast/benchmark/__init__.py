"""The simulator beside what is published: a module a comparison, each a function that returns a `Comparison`.

The modules' documentation states equations, sources and where the simulator deviates.
"""

from __future__ import annotations

from prime_fast.benchmark.calibration import compare_calibration
from prime_fast.benchmark.comparison import Comparison, View, kendall_tau, write
from prime_fast.benchmark.edge_tpu import compare_edge_tpu
from prime_fast.benchmark.nvdla import compare_nvdla
from prime_fast.benchmark.optimum import compare_optimum
from prime_fast.benchmark.silicon import compare_silicon
from prime_fast.benchmark.trade import compare_trade

__all__ = [
    "Comparison",
    "View",
    "compare_calibration",
    "compare_edge_tpu",
    "compare_nvdla",
    "compare_optimum",
    "compare_silicon",
    "compare_trade",
    "kendall_tau",
    "write",
]
