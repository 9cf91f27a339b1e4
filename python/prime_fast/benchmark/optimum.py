"""The proven optimum beside a sweep of the whole space: two engines that share only the simulator.

`solve` bounds boxes of designs and looks at some thousand of them, `sweep` simulates all; both report the
reference evaluation of what they find, so that they must agree to the last bit, in the designs that tie too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from prime_fast.benchmark.comparison import STAND_IN, Comparison, Progress, View, rows_until_interrupt
from prime_fast.exact import solve
from prime_fast.sweeping import sweep
from prime_fast.workload import Application, application_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def compare_optimum(
    applications: Sequence[str] | None = None,
    *,
    limits: Mapping[str, float] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare the design that `solve` proves best with the best of a sweep of all designs.

    Parameters
    ----------
    applications : sequence of str, optional
        All bundled ones by default.
    limits : mapping of str to float, optional
        As for `solve`; ``{"area_mm2": 29.0}`` by default.
    threads : int, optional
        All processors by default.
    progress : callable, optional
        Called with stage, done and total.

    Returns
    -------
    Comparison
        Columns: application, stand_in, optimum_us, sweep_us, tie_count, sweep_tie_count, nodes, solve_s,
        sweep_s, equal (proved, and the same latency, ties and first design).

    Raises
    ------
    ConfigurationError
        If an application or limit is unknown.
    NoFeasibleDesignError
        If nothing meets the limits.
    """
    limits = {"area_mm2": 29.0} if limits is None else dict(limits)

    def row(name: str) -> dict[str, Any]:
        proved = solve(name, limits=limits, threads=threads)
        swept = sweep(name, limits=limits, keep=1, front=(), histograms=(), threads=threads)
        latency_us = float(swept.best["latency_us"][0])
        return {
            "application": name,
            "stand_in": Application.bundled(name).is_stand_in,
            "optimum_us": proved.score,
            "sweep_us": latency_us,
            "tie_count": proved.tie_count,
            "sweep_tie_count": swept.ties,
            "nodes": proved.nodes,
            "solve_s": proved.seconds,
            "sweep_s": swept.seconds,
            "equal": proved.proved
            and swept.complete
            and proved.score == latency_us
            and proved.tie_count == swept.ties
            and int(proved.space.indices(proved.designs[:1])[0]) == swept.best["index"][0],
        }

    rows, interrupted = rows_until_interrupt(
        list(applications or application_names()), row, "solving and sweeping", progress
    )
    frame = pl.DataFrame(rows)
    lines = [STAND_IN] if frame["stand_in"].any() else []
    equal = int(frame["equal"].sum())
    lines.append(
        f"Optimum, ties and first design are those of the sweep for {equal} of {len(frame)} applications."
    )
    columns = [
        ("", "application", ""),
        ("optimum\nus", "optimum_us", ".3f"),
        ("sweep\nus", "sweep_us", ".3f"),
        ("ties", "tie_count", ",d"),
        ("sweep\nties", "sweep_tie_count", ",d"),
        ("nodes", "nodes", ",d"),
        ("solve\ns", "solve_s", ".2f"),
        ("sweep\ns", "sweep_s", ".2f"),
    ]
    named = ", ".join(f"{name} <= {limit:g}" for name, limit in limits.items())
    view = View(f"Proven optimum and sweep of all designs{f', {named}' if named else ''}", columns)
    return Comparison(frame, [view], lines, {"equal": equal}, interrupted)
