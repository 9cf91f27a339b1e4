"""The two designs for nine applications that the PRIME paper publishes, under the bundled simulator.

Both were found under 100 mm2 (arXiv 2110.11346). PRIME's takes half the area of the evolutionary search's,
and has the lower latency on average: by memory, as the t-RNNs' weights stay on chip, while it has a
quarter of the MACs and loses on the networks that are bound by compute. The area model's two densities are
solved from these two areas, so the areas agree by construction; the latencies don't.

- ratio = latency on the evolutionary design / latency on PRIME's; above 1 where PRIME's is faster
"""

from __future__ import annotations

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
from prime_fast.designs import reference_design
from prime_fast.workload import Application, prime_application_names

if TYPE_CHECKING:
    from collections.abc import Sequence

PUBLISHED_AREAS = {"prime-nine-apps": 46.78, "evolutionary-nine-apps": 92.05}
# Mean latency over the nine, in the paper's table of several applications under 100 mm2.
PUBLISHED_MEANS = {"prime-nine-apps": 383.57, "evolutionary-nine-apps": 518.58}


def compare_trade(
    applications: Sequence[str] | None = None, *, progress: Progress | None = None
) -> Comparison:
    """Compare PRIME's design for nine applications with the evolutionary search's.

    Parameters
    ----------
    applications : sequence of str, optional
        The nine by default.
    progress : callable, optional
        Called with stage, done and total.

    Returns
    -------
    Comparison
        Columns: application, stand_in, macs, weights_bytes, prime_latency_us, evolutionary_latency_us, ratio.
        Null where a design can't run it.

    Raises
    ------
    ConfigurationError
        If an application is unknown.
    """
    designs = [reference_design(name) for name in PUBLISHED_AREAS]
    known = {
        application.name: application
        for application in map(Application.bundled, applications or prime_application_names())
    }

    def row(name: str) -> dict[str, Any]:
        prime, evolutionary = (float(design.score(known[name]).latency_us[0]) for design in designs)
        return {
            "application": name,
            "stand_in": known[name].is_stand_in,
            "macs": known[name].totals["macs"],
            "weights_bytes": known[name].totals["parameter_bytes"],
            "prime_latency_us": prime,
            "evolutionary_latency_us": evolutionary,
            "ratio": evolutionary / prime,
        }

    rows, interrupted = rows_until_interrupt(list(known), row, "simulating", progress)
    frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.selectors.float().fill_nan(None))
    lines = [STAND_IN] if frame["stand_in"].any() else []
    figures = {}
    for design, area in zip(designs, PUBLISHED_AREAS.values(), strict=True):
        figures[f"{design.name} area_mm2"] = design.area_mm2()
        lines.append(f"{design.title}: {figures[f'{design.name} area_mm2']:.2f} mm2, published {area:.2f}.")
    ratios = frame["ratio"].drop_nulls()
    if ratios.len():
        figures["ratio"] = geometric_mean(ratios)
        lines.append(f"Geometric mean of the ratios: {figures['ratio']:.2f}.")
    if frame["application"].to_list() == prime_application_names():
        means = frame.select("prime_latency_us", "evolutionary_latency_us").mean().row(0)
        prime, evolutionary = PUBLISHED_MEANS.values()
        lines.append(
            f"Mean latency: {means[0]:.0f} and {means[1]:.0f} us, {means[1] / means[0]:.2f}x; "
            f"published {prime:.0f} and {evolutionary:.0f}, {evolutionary / prime:.2f}x."
        )
        figures["mean_ratio"] = means[1] / means[0]
    columns = [
        ("", "application", ""),
        ("MACs", "macs", ",d"),
        ("weights\nbytes", "weights_bytes", ",d"),
        ("PRIME\nus", "prime_latency_us", ".1f"),
        ("evolutionary\nus", "evolutionary_latency_us", ".1f"),
        ("ratio", "ratio", ".2f"),
    ]
    view = View("Two published designs for nine applications", columns)
    return Comparison(frame, [view], lines, figures, interrupted)
