"""How it was found, and how to repeat it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from prime_fast.logs.formats import digest
from prime_fast.report import charts
from prime_fast.report.answers import title_of
from prime_fast.report.blocks import Cell, Figure, Section, Table, Text, axis, number, parameter, quantity
from prime_fast.report.evidence import sampled

if TYPE_CHECKING:
    from prime_fast.report.blocks import Block
    from prime_fast.report.reading import RunRecord

AREA = "area_mm2"
MOST_LOGGED = 1_500
"""Logged designs behind the Pareto front."""
MOST_LINES = 80
"""Logged designs among the parallel coordinates."""
AREAS = 12
"""Area limits that the optimum is proven for."""
LOSSES = ("regression", "feasibility", "adversarial", "infeasible", "ranking")
PHASES = {"selection": "choosing alpha and beta, best fifth held out", "fit": "final training, whole log"}
SURROGATE_FREE = "method {} trains no network"


def how_it_was_found(record: RunRecord) -> Section:
    """Return the course of training and search, the Pareto front, and the designs by parameter."""
    section = Section("found", "How it was found")
    section.blocks.append(Text(_summary(record), "lead"))
    section.blocks += _training(record)
    section.blocks += _search(record)
    section.blocks += _pareto(record)
    section.blocks += _parallel(record)
    return section


def _summary(record: RunRecord) -> str:
    manifest = record.manifest
    names = manifest["learned_from"]
    count = sum(int(log.get("designs", 0)) for log in manifest["logs"])
    of = f" of {', '.join(names)}" if names else ""
    text = (
        f"Method {manifest['method']}, {manifest.get('budget', 'unknown')} budget, learned from "
        f"{count:,} logged designs{of}"
    )
    queries = (manifest.get("result") or {}).get("simulator_queries")
    if queries:
        text += f"; no simulator query before the proposals, {queries['proposals']:,} to verify them"
    seconds = (manifest.get("result") or {}).get("seconds") or {}
    if "training" in seconds:
        text += f"; {seconds['training']:.0f} s of training, {seconds['search']:.0f} s of search"
    return text + "."


def _training(record: RunRecord) -> list[Block]:
    steps = [row for row in record.records if row.get("event") == "step"]
    if not steps:
        why = record.missing.get("training", "no step was recorded")
        if record.manifest.get("training") is None:
            why = SURROGATE_FREE.format(record.manifest["method"])
        return [Text(f"There are no training curves: {why}.", "missing")]
    chosen: dict[str, Any] = next((row for row in record.records if row.get("event") == "selected"), {})
    panels = []
    for phase, title in PHASES.items():
        mine = [row for row in steps if row.get("phase") == phase]
        # The candidate that was chosen; a run that was killed before has the weakest push.
        pair = (chosen.get("alpha"), chosen.get("beta")) if chosen else None
        known = [(row["alpha"], row["beta"]) for row in mine]
        if known and pair not in known:
            pair = known[0]
        mine = [row for row in mine if (row["alpha"], row["beta"]) == pair]
        rows = [
            (loss, float(row["step"]), float(row[loss]))
            for loss in LOSSES
            for row in mine
            if row.get(loss) is not None and row[loss] > 0.0
        ]
        if rows:
            table = pl.DataFrame(
                rows, schema={"what": pl.String, "x": pl.Float64, "y": pl.Float64}, orient="row"
            )
            panels.append(charts.lines(table, "training step", "loss (logarithmic)", title=title))
    candidates = [row for row in record.records if row.get("event") == "candidate" and "share" in row]
    if candidates:
        rows = [
            (f"alpha {row['alpha']:g}, beta {row['beta']:g}", 100.0 * row["share"], row["tau"])
            for row in candidates
        ]
        table = pl.DataFrame(
            rows, schema={"what": pl.String, "x": pl.Float64, "y": pl.Float64}, orient="row", strict=False
        )
        panels.append(
            charts.lines(
                table,
                "share of the training (%)",
                "Kendall's tau, held out",
                scale_y="linear",
                points=True,
                title="candidates",
            )
        )
    if not panels:
        return [Text("There are no training curves: no loss was recorded.", "missing")]
    last = {row["phase"]: row for row in steps}
    told = ", ".join(
        f"{phase} {number(row['regression'], 3)}" for phase, row in last.items() if row.get("regression")
    )
    reason = f" Chosen: {chosen['reason']}." if chosen.get("reason") else ""
    return [
        Figure(
            "training",
            "Losses of the chosen candidate by step, and how well each candidate ranked the held-out "
            f"designs.{reason}",
            f"Training curves; regression loss at the end of each phase: {told}.",
            panels,
            360,
        )
    ]


def _search(record: RunRecord) -> list[Block]:
    table = record.search
    if table is None or table.is_empty():
        why = record.missing.get("search", "the search recorded no improvement")
        if record.manifest["method"] in ("random", "best-logged"):
            why = f"method {record.manifest['method']} searches nothing"
        return [Text(f"There is no search history: {why}.", "missing")]
    evaluations = int(record.manifest["search"]["evaluations"])
    rows = table.select(
        what=pl.lit("best prediction"), x=pl.col("evaluations").cast(pl.Float64), y="predicted"
    )
    if rows["x"][-1] < evaluations:
        rows = pl.concat([rows, rows.tail(1).with_columns(x=pl.lit(float(evaluations)))])
    first, last = float(rows["y"][0]), float(rows["y"][-1])
    unit = quantity(record.objective)[1]
    told = f"from {number(first)} to {number(last)} {unit} over {evaluations:,} evaluations".replace(
        "  ", " "
    )
    return [
        Figure(
            "search",
            f"The search's best prediction so far, {told} of the surrogate.",
            f"Line chart: the best prediction falls {told}.",
            [
                charts.lines(
                    rows,
                    "designs scored by the surrogate",
                    f"best predicted {title_of(record)}",
                    scale_x="log",
                    stepped=True,
                )
            ],
            560,
        )
    ]


def _metric(record: RunRecord) -> str | None:
    """Return the metric to set the objective against: the area, else the first limited one of the log."""
    names = [AREA, *record.limits]
    return next(
        (
            name
            for name in names
            if record.log is not None and name in record.log.columns and name != record.objective
        ),
        None,
    )


def _pareto(record: RunRecord) -> list[Block]:
    metric = _metric(record)
    if record.log is None or metric is None:
        why = record.missing.get("log") or "neither area nor a limited metric is in the log"
        return [Text(f"There is no Pareto front: {why}.", "missing")]
    if (
        len(record.manifest["logs"]) > 1
        or record.manifest["combine"] == "worst"
        or (record.applications and record.applications != record.manifest["learned_from"])
    ):
        return [
            Text(
                "There is no Pareto front: the log's figures are not those of the one application "
                "designed for.",
                "missing",
            )
        ]
    objective, space = record.objective, record.space
    feasible = record.log.filter("feasible").drop_nulls([metric, objective])
    schema = {"what": pl.String, "name": pl.String, "x": pl.Float64, "y": pl.Float64}

    def points(rows: list[tuple[str, str, Any, Any]]) -> pl.DataFrame:
        known = [
            (what, name, float(x), float(y)) for what, name, x, y in rows if x is not None and y is not None
        ]
        return pl.DataFrame(known, schema=schema, orient="row")

    cloud = sampled(feasible, MOST_LOGGED).select(
        what=pl.lit(charts.LOGGED),
        name=pl.lit("logged design"),
        x=pl.col(metric).cast(pl.Float64),
        y=pl.col(objective),
    )
    front = _front(feasible[metric].to_numpy(), feasible[objective].to_numpy())
    rows: list[tuple[str, str, Any, Any]] = [("best logged", "the log's front", x, y) for x, y in front]
    optima = _optima(record, metric, feasible)
    rows += [(charts.OPTIMUM, "proven front", x, y) for x, y in optima]
    designs: list[tuple[str, str, Any, Any]] = []
    if record.proposals is not None:
        value = f"{'simulated' if record.simulated else 'predicted'}_{objective}"
        column = metric if metric in space.metric_names else f"predicted_{metric}"
        if column in record.proposals.columns:
            designs = [
                (charts.PROPOSED, f"proposal {row['proposal']}", row[column], row[value])
                for row in record.proposals.iter_rows(named=True)
            ]
    for row in record.references:
        kind = "best logged" if str(row["design"]).startswith("best logged") else str(row["design"])
        if kind in charts.SHAPES:
            designs.append((kind, kind, row.get(metric), row.get(objective)))
    told = f"{feasible.height:,} feasible designs of the log's sample"
    proven = " Below the green line there is no design: its points are proven optima." if optima else ""
    return [
        Figure(
            "pareto",
            f"{quantity(objective)[0].capitalize()} and {quantity(metric)[0]}: the proposals before what "
            f"is logged; lower and further left is better. Lines join designs of a Pareto front.{proven}",
            f"Scatter plot of {axis(objective)} over "
            f"{axis(metric, unit=space.metric_units.get(metric, ''))} of {told}, {len(designs)} "
            f"proposals and references; the log's Pareto front has {len(front)} designs.",
            [
                charts.pareto(
                    cloud,
                    points(rows),
                    points(designs),
                    axis(metric, unit=space.metric_units.get(metric, "")),
                    ("" if record.simulated else "predicted or logged ") + axis(objective),
                    record.limits.get(metric),
                )
            ],
            640,
        )
    ]


def _front(x: Any, y: Any) -> list[tuple[float, float]]:
    """Return the Pareto front of points, both coordinates being minimised."""
    order = np.lexsort((y, x))
    best = np.minimum.accumulate(y[order])
    new = np.concatenate([[True], best[1:] < best[:-1]]) if len(order) else np.zeros(0, np.bool_)
    return [(float(x[row]), float(y[row])) for row in order[new]]


def _optima(record: RunRecord, metric: str, feasible: pl.DataFrame) -> list[tuple[float, float]]:
    """Return the proven optimum for some limits on the area; empty where there is no simulator."""
    if metric != AREA or not record.simulators or feasible.is_empty() or record.combine == "worst":
        return []
    low, high = float(feasible[metric].min()), float(feasible[metric].max())  # type: ignore[arg-type]
    limit = record.limits.get(metric)
    high = min(high, 4.0 * limit) if limit else high
    known = record.missing.get("optimum")
    found = []
    for area in sorted({*np.geomspace(max(low, 1e-6), high, AREAS).tolist(), *([limit] if limit else [])}):
        optimum = record.optimum(area_mm2=float(area))
        if optimum is not None:
            found.append((optimum.metrics[metric], optimum.score))
    # That nothing fits into a small area is not why an optimum is missing.
    record.missing.pop("optimum", None)
    if known is not None:
        record.missing["optimum"] = known
    return list(dict.fromkeys(found))


def _parallel(record: RunRecord) -> list[Block]:
    space = record.space
    if record.proposals is None or record.proposals.is_empty():
        return [Text("There are no parallel coordinates: there are no proposals.", "missing")]
    objective, unit = record.objective, quantity(record.objective)[1]
    rows: list[dict[str, Any]] = []

    def add(ranks: Any, what: str, names: list[str], told: list[str]) -> None:
        for number_, (design, name, text) in enumerate(zip(ranks, names, told, strict=True)):
            for place, rank in enumerate(design):
                count = space.cardinalities[place]
                rows.append(
                    {
                        "id": f"{what} {number_}",
                        "what": what,
                        "name": name,
                        "parameter": space.names[place],
                        "place": float(rank) / max(1, count - 1),
                        "told": text,
                        "value": parameter(space.values[place][int(rank)], space.units[place]).text,
                    }
                )

    if record.log is not None:
        logged = sampled(record.log.filter("feasible").sort(objective), MOST_LINES)
        add(
            space.ranks_from_frame(logged),
            charts.LOGGED,
            ["logged design"] * logged.height,
            [f"{number(value)} {unit}".strip() for value in logged[objective]],
        )
    value = [record.value_of(row) for row in record.proposals.iter_rows(named=True)]
    add(
        space.ranks_from_frame(record.proposals),
        charts.PROPOSED,
        [f"proposal {n}" for n in record.proposals["proposal"]],
        ["fails" if one is None else f"{number(one)} {unit}".strip() for one in value],
    )
    for row in record.references:
        kind = "best logged" if str(row["design"]).startswith("best logged") else str(row["design"])
        try:
            if kind in charts.SHAPES:
                told = f"{number(row.get(objective))} {unit}".strip()
                add(space.designs([record.design(row)]), kind, [str(row["design"])], [told])
        except (ValueError, KeyError):
            continue  # A design outside this space has no line.
    ticks = [
        {"parameter": name, "place": float(place), "text": parameter(values[rank], unit_).text}
        for name, values, unit_ in zip(space.names, space.values, space.units, strict=True)
        for place, rank in ((0, 0), (1, len(values) - 1))
        if len(values) > 1 or not place
    ]
    return [
        Figure(
            "parallel",
            "All parameters at once: each line is a design, each axis runs over the values of a "
            "parameter from the first to the last. Point at a proposal to follow it.",
            f"Parallel coordinates of {record.proposals.height} proposals before logged designs over "
            f"{space.dimensions} parameters: {', '.join(space.names)}.",
            [
                charts.parallel(
                    pl.DataFrame(rows), pl.DataFrame(ticks), space.names, {"told": quantity(objective)[0]}
                )
            ],
            860,
            76 * space.dimensions,
        )
    ]


def how_to_repeat_it(record: RunRecord) -> Section:
    """Return command, versions, hashes and seeds."""
    section = Section("repeat", "How to repeat it")
    manifest = record.manifest
    command = [str(word) for word in manifest.get("command", [])]
    if command:
        command[0] = Path(command[0]).name
        if command[0] != "prime-fast":
            command.insert(0, "python")
    rows = [
        ("command", shlex.join(command) or "not recorded"),
        ("seed", str(manifest.get("seed", "not recorded"))),
        ("status", str(manifest["status"])),
        ("started", str(manifest.get("started", "not recorded"))),
        ("ended", str(manifest.get("ended", "not recorded"))),
        (
            "objective, limits",
            f"{record.objective}; "
            + (", ".join(f"{name} <= {limit:g}" for name, limit in record.limits.items()) or "no limit"),
        ),
        (
            "space",
            f"{record.space.name}, {record.space.size:,} designs, {record.space.dimensions} parameters",
        ),
    ]
    environment = manifest.get("environment") or {}
    packages = environment.get("packages") or {}
    rows.append(
        (
            "versions",
            ", ".join(
                f"{name} {version}"
                for name, version in {"Python": environment.get("python", "unknown"), **packages}.items()
            ),
        )
    )
    rows.append(
        (
            "machine",
            ", ".join(str(environment[name]) for name in ("platform", "machine") if name in environment)
            + (f", {environment['processors']} processors" if environment.get("processors") else ""),
        )
    )
    seen = set()
    for log in manifest["logs"]:
        for source in log.get("sources", []):
            if source.get("path") not in seen:
                seen.add(source.get("path"))
                rows.append(
                    (
                        f"log {source.get('path')}",
                        f"{source.get('rows', 0):,} rows, SHA-256 {source.get('sha256')}",
                    )
                )
    for name in ("surrogate.safetensors", "proposals.parquet"):
        file = record.path / name
        if file.is_file():
            rows.append((name, f"SHA-256 {digest(file)}"))
    section.blocks.append(
        Text(
            "The same command with the same seed gives the same proposals on the same kind of machine; "
            "relative paths are to where it was run.",
            "lead",
        )
    )
    section.blocks.append(
        Table(
            "The run",
            [("what", False), ("value", False)],
            [[Cell(what), Cell(value)] for what, value in rows],
        )
    )
    return section
