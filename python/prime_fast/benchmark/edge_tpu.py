"""The Edge TPU V1 beside the best design of its area, application by application.

PRIME reports (arXiv 2110.11346) that its designs within 27 mm2 beat an Edge TPU of that area, which was
tuned for MobileNets, by 2.69x in latency (geometric mean of nine applications; 1.85x on the three
MobileNets, 11.84x on t-RNN Enc), with 1.50x less area (2.28x on MobileNetV3).

What the baseline must lack
---------------------------
t-RNN Enc has 22.7 MB of weights and uses each once. At 15.5 GB/s, what V1's 17 GB/s sustain, streaming them
takes 1.46 ms, so with the fixed cost of 0.11 ms V1 needs 1.58 ms, and a design that keeps them on chip some
0.13 ms: 12 times less, as published. With caching V1's 32 MiB of PE memory would keep a third of them (half
the memory less a prefetch window), and the factor would be 8.5. So the published baseline streams its
weights in each inference, and V1's file says ``parameter_caching = false``. Both are shown.

What deviates: the MobileNets' factor, 2.3 for 1.85, mostly by MobileNetV3's 3.0 (too fast on wide arrays,
see `calibration`). U-Net's gain is one of compute and hardly depends on caching.

Equations
---------
- best: the least latency within the limit on area of all designs of the space, proved (`prime_fast.solve`);
  best area: the least of the designs that tie for it
- speed-up = V1's latency / best latency
- least area: of the designs at most `tolerance` slower than the best, by bisection of the limit on area to
  0.05 mm2. The best itself takes all the area it may, however little it gains; the paper doesn't say how
  its designs weigh the one against the other
- area ratio = V1's area / least area
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from prime_fast.benchmark.comparison import (
    STAND_IN,
    Comparison,
    Progress,
    View,
    geometric_mean,
    rows_until_interrupt,
)
from prime_fast.designs import CACHING, reference_design
from prime_fast.errors import ConfigurationError, NoFeasibleDesignError
from prime_fast.exact import SolveResult, solve
from prime_fast.workload import Application, prime_application_names

if TYPE_CHECKING:
    from collections.abc import Sequence

AREA_MM2 = 27.0
AREA_STEP = 0.05
# As published: (what, applications or all, figure).
MOBILENETS = ("MobileNetEdgeTPU", "MobileNetV2", "MobileNetV3")
PUBLISHED_SPEED_UPS = {
    "all nine applications": (None, 2.69),
    "the MobileNets": (MOBILENETS, 1.85),
    "t-RNN Enc": (("t-RNN Enc",), 11.84),
}
PUBLISHED_AREA_RATIOS = {"all nine applications": (None, 1.50), "MobileNetV3": (("MobileNetV3",), 2.28)}


def compare_edge_tpu(
    applications: Sequence[str] | None = None,
    *,
    area_mm2: float = AREA_MM2,
    tolerance: float = 0.05,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare the Edge TPU V1 with the best design of its area for each application.

    Parameters
    ----------
    applications : sequence of str, optional
        The nine of the paper by default.
    area_mm2 : float
        Limit on the area of the best design, mm2.
    tolerance : float
        How much slower than the best the design of least area may be, as a fraction.
    threads, progress
        As for `compare_calibration`.

    Returns
    -------
    Comparison
        Columns: application, stand_in, v1_latency_us and v1_caching_latency_us (null where V1 can't run it),
        best_latency_us, best_area_mm2, speed_up, caching_speed_up, least_area_mm2, area_ratio.

    Raises
    ------
    ConfigurationError
        If an application is unknown or a number is out of range.
    NoFeasibleDesignError
        If no design within the area runs an application.
    """
    if not 0 <= tolerance < math.inf:
        raise ConfigurationError(f"tolerance is {tolerance}; it must be a finite number of at least 0")
    v1 = reference_design("edge-tpu-v1")
    caching_v1 = v1.with_values(**{CACHING: True})
    v1_area = v1.area_mm2()
    known = {
        application.name: application
        for application in map(Application.bundled, applications or prime_application_names())
    }

    def row(name: str) -> dict[str, Any]:
        latency, caching = (float(design.score(known[name]).latency_us[0]) for design in (v1, caching_v1))
        best = _solve(name, {"area_mm2": area_mm2}, threads)
        best_area = _area(best)
        least_area = _least_area(name, best_area, best.score * (1 + tolerance), threads)
        return {
            "application": name,
            "stand_in": known[name].is_stand_in,
            "v1_latency_us": latency,
            "v1_caching_latency_us": caching,
            "best_latency_us": best.score,
            "best_area_mm2": best_area,
            "speed_up": latency / best.score,
            "caching_speed_up": caching / best.score,
            "least_area_mm2": least_area,
            "area_ratio": v1_area / least_area,
        }

    rows, interrupted = rows_until_interrupt(list(known), row, "searching", progress)
    frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.selectors.float().fill_nan(None))
    lines = [STAND_IN] if frame["stand_in"].any() else []
    lines.append(f"V1: {v1_area:.1f} mm2, published 27.")
    figures = {"v1_area_mm2": v1_area}
    for what, (group, published) in PUBLISHED_SPEED_UPS.items():
        means = [_mean(frame, column, group) for column in ("speed_up", "caching_speed_up")]
        if means[0] is not None:
            figures[f"speed_up, {what}"] = means[0]
            over = "" if means[1] is None else f"; cached {means[1]:.2f}x"
            lines.append(f"Faster than V1, {what}: {means[0]:.2f}x; published {published:.2f}x{over}.")
    for what, (group, published) in PUBLISHED_AREA_RATIOS.items():
        if (mean := _mean(frame, "area_ratio", group)) is not None:
            figures[f"area_ratio, {what}"] = mean
            lines.append(
                f"Smaller than V1 (+{tolerance:.0%} latency), {what}: {mean:.2f}x; published "
                f"{published:.2f}x."
            )
    columns = [
        ("", "application", ""),
        ("V1\nus", "v1_latency_us", ".1f"),
        ("best\nus", "best_latency_us", ".1f"),
        ("\nfaster", "speed_up", ".2f"),
        ("V1 with\ncaching", "v1_caching_latency_us", ".1f"),
        ("\nfaster", "caching_speed_up", ".2f"),
        ("best\nmm2", "best_area_mm2", ".1f"),
        ("least\nmm2", "least_area_mm2", ".1f"),
        ("\nratio", "area_ratio", ".2f"),
    ]
    title = f"Edge TPU V1 and the best design within {area_mm2:g} mm2"
    return Comparison(frame, [View(title, columns)], lines, figures, interrupted)


def _solve(application: str, limits: dict[str, float], threads: int | None) -> SolveResult:
    found = solve(application, limits, threads=threads)
    if found.stopped_by == "interrupt":
        raise KeyboardInterrupt
    return found


def _area(found: SolveResult) -> float:
    return float(found.space.metric("area_mm2", found.designs).min())


def _least_area(application: str, area_mm2: float, latency_us: float, threads: int | None) -> float:
    """Return the area of the smallest design within a latency, given the area of one."""
    least, reached = 0.0, area_mm2
    while reached - least > AREA_STEP:
        middle = (least + reached) / 2
        try:
            reached = _area(_solve(application, {"area_mm2": middle, "latency_us": latency_us}, threads))
        except NoFeasibleDesignError:
            least = middle
    return reached


def _mean(frame: pl.DataFrame, column: str, group: Sequence[str] | None) -> float | None:
    """Return the geometric mean over a published group of applications, where all of it is there."""
    names = prime_application_names() if group is None else group
    rows = frame.filter(pl.col("application").is_in(names) & pl.col(column).is_not_null())
    return geometric_mean(rows[column]) if rows.height == len(names) else None
