"""Whether to believe it: predictions beside what is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from scipy import stats

from prime_fast.report import charts
from prime_fast.report.answers import title_of
from prime_fast.report.blocks import Cell, Figure, Section, Table, Text, axis, number, numeric, share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.report.blocks import Block
    from prime_fast.report.reading import RunRecord

MOST_POINTS = 1_200
"""Points of a kind in a chart."""
BINS = 10
QUANTILES = (0.5, 0.68, 0.8, 0.9, 0.95, 0.99)
FEW = 8
"""Fewer designs than this give no share."""


def sampled(frame: pl.DataFrame, most: int = MOST_POINTS) -> pl.DataFrame:
    """Return at most so many rows, evenly apart."""
    if frame.height <= most:
        return frame
    return frame[np.linspace(0, frame.height - 1, most).round().astype(np.int64)]


def whether_to_believe_it(record: RunRecord) -> Section:
    """Return predictions beside what is true, of held-out designs and of the proposals."""
    section = Section("believe", "Whether to believe it")
    blocks = section.blocks
    held = _held_out(record)
    proposals = _verified(record)
    rows = _figures(record, held, proposals)
    blocks.append(Text(_summary(record, held, proposals), "lead"))
    if rows:
        blocks.append(
            Table(
                "How well the surrogate predicts",
                [("measure", False), ("value", True), ("what it says", False)],
                rows,
            )
        )
    points = [frame for frame in (held, proposals) if frame is not None and frame.height]
    if points:
        drawn = pl.concat([sampled(frame.select("what", "name", "true", "predicted")) for frame in points])
        blocks.append(_truth(record, drawn))
    if held is None:
        blocks.append(Text(f"There is no plot of held-out designs: {_no_held_out(record)}.", "missing"))
    if proposals is None:
        blocks.append(Text("No proposal was simulated, so that none is verified.", "missing"))
    blocks += _feasibility(record)
    if held is not None and held["deviation"].max() > 0.0:  # type: ignore[operator]
        blocks.append(_coverage(held))
    elif held is not None:
        blocks.append(
            Text(
                "Whether the uncertainty of held-out designs is right is not shown: a candidate was one "
                "model while choosing.",
                "missing",
            )
        )
    blocks += _extrapolation(record)
    return section


def _no_held_out(record: RunRecord) -> str:
    if record.manifest.get("training") is None and record.manifest["method"] != "trees":
        return f"method {record.manifest['method']} trains nothing"
    reason = next((row.get("reason") for row in record.records if row.get("event") == "selected"), None)
    why = record.missing.get("held_out", "the table is empty")
    return why + (f" ({reason})" if reason else "")


def _held_out(record: RunRecord) -> pl.DataFrame | None:
    """Return feasible held-out designs: what, name, true, predicted, deviation."""
    if record.held_out is None:
        return None
    rows = record.held_out.filter("feasible").drop_nulls(["logged", "predicted"])
    if rows.is_empty():
        return None
    name = (
        pl.when(pl.col("application") == "")
        .then(pl.lit("held out"))
        .otherwise("held out, " + pl.col("application"))
    )
    return rows.select(
        pl.lit("held out").alias("what"),
        name.alias("name"),
        true="logged",
        predicted="predicted",
        deviation="deviation",
        application="application",
    )


def _verified(record: RunRecord) -> pl.DataFrame | None:
    """Return simulated proposals that are feasible: what, name, true, predicted."""
    if record.proposals is None or not record.simulated:
        return None
    true, predicted = f"simulated_{record.objective}", f"predicted_{record.objective}"
    rows = record.proposals.drop_nulls([true, predicted])
    return rows.select(
        pl.lit("proposals").alias("what"),
        pl.format("proposal {}", "proposal").alias("name"),
        true=true,
        predicted=predicted,
    )


def _tau(frame: pl.DataFrame) -> float | None:
    if frame.height < 3:
        return None
    tau = float(stats.kendalltau(frame["predicted"], frame["true"]).statistic)
    return tau if np.isfinite(tau) else None


def _held_tau(held: pl.DataFrame) -> float | None:
    """Return Kendall's tau, the mean over the applications, as the selection takes it."""
    taus = [_tau(part) for part in held.partition_by("application")]
    known = [tau for tau in taus if tau is not None]
    return float(np.mean(known)) if known else None


def _factor(frame: pl.DataFrame) -> float:
    """Return the median factor between prediction and truth, at least 1."""
    errors = np.abs(np.log(frame["predicted"].to_numpy() / frame["true"].to_numpy()))
    return float(np.exp(np.median(errors)))


def _summary(record: RunRecord, held: pl.DataFrame | None, proposals: pl.DataFrame | None) -> str:
    told = []
    if proposals is not None and record.proposals is not None:
        feasible = (
            proposals.height
            if "feasible" not in record.proposals.columns
            else int(record.proposals["feasible"].sum())
        )
        told.append(f"{feasible} of {record.proposals.height} proposals are feasible when simulated")
        if proposals.height:
            told.append(f"their predictions are off by a factor of {number(_factor(proposals), 3)} (median)")
    if held is not None and (tau := _held_tau(held)) is not None:
        told.append(f"held-out designs are ranked with a Kendall's tau of {tau:.2f}")
    if not told:
        return "Nothing here tells how far the predictions can be trusted."
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def _figures(
    record: RunRecord, held: pl.DataFrame | None, proposals: pl.DataFrame | None
) -> list[list[Cell]]:
    rows: list[list[Cell]] = []

    def add(what: str, value: float | None, says: str, text: str | None = None) -> None:
        if value is not None:
            rows.append([Cell(what), numeric(value, text), Cell(says)])

    if held is not None:
        add(
            "held-out designs",
            held.height,
            "the best fifth of the feasible logged ones, which no network had seen",
            f"{held.height:,}",
        )
        add(
            "rank correlation, held out",
            _held_tau(held),
            "Kendall's tau: 1 ranks all pairs right, 0 is chance",
        )
        add("error, held out", _factor(held), "median factor between prediction and truth")
    scores = _selected(record)
    add(
        "AUROC of feasibility",
        scores.get("auroc"),
        "chance that a feasible held-out design is told from an infeasible one; 0.5 is guessing",
    )
    add(
        "calibration error of feasibility",
        scores.get("ece"),
        "mean distance of the probability from the share that is feasible; 0 is best",
    )
    if proposals is not None and record.proposals is not None:
        add(
            "proposals that are feasible",
            proposals.height / record.proposals.height,
            "as simulated",
            f"{proposals.height} of {record.proposals.height}",
        )
        add(
            "rank correlation, proposals",
            _tau(proposals),
            "Kendall's tau; proposals are much alike, so lower than among all designs",
        )
        if proposals.height and (ratio := _error_against_uncertainty(record, proposals)) is not None:
            add(
                "error over uncertainty, proposals",
                ratio,
                "median error in standard deviations of the ensemble; above 1 it is surer than it may be",
            )
        add(
            "error, proposals",
            _factor(proposals) if proposals.height else None,
            "median factor between prediction and simulation",
        )
    return rows


def _error_against_uncertainty(record: RunRecord, proposals: pl.DataFrame) -> float | None:
    rows = record.proposals
    if rows is None or "predicted_deviation" not in rows.columns or record.finished is None:
        return None
    known = rows.drop_nulls([f"simulated_{record.objective}", f"predicted_{record.objective}"])
    deviation = known["predicted_deviation"].to_numpy() * record.finished.surrogate.objective.deviation
    errors = np.abs(np.log(proposals["predicted"].to_numpy() / proposals["true"].to_numpy()))
    return float(np.median(errors / deviation)) if (deviation > 0.0).all() else None


def _selected(record: RunRecord) -> dict[str, Any]:
    """Return the scores of the candidate that was chosen."""
    return next((row for row in reversed(record.records) if row.get("event") == "selected"), {})


def _truth(record: RunRecord, drawn: pl.DataFrame) -> Figure:
    title = axis(record.objective)
    kinds = drawn["what"].unique(maintain_order=True).to_list()
    true = {("held out",): "logged", ("proposals",): "simulated"}.get(tuple(kinds), "true")
    return Figure(
        "truth",
        "Predicted and true figures: on the dashed line they agree. Held-out designs are those that the "
        "networks were judged by.",
        f"Scatter plot of predicted over {true} {title}: "
        + ", ".join(
            f"{(drawn['what'] == kind).sum()} {kind if kind == 'proposals' else 'held-out designs'}, "
            f"median error factor {number(_factor(drawn.filter(pl.col('what') == kind)), 3)}"
            for kind in kinds
        )
        + ".",
        [charts.truth(drawn, title, true)],
        560,
    )


def _feasibility(record: RunRecord) -> list[Block]:
    """Return the calibration of the probability of being feasible, and what a threshold lets through."""
    held = record.held_out
    why = "held-out designs of both kinds are needed"
    if held is not None:
        held = held.drop_nulls("feasible_probability")
        if held["feasible"].sum() < FEW or held.height - held["feasible"].sum() < FEW:
            held = None
    else:
        why = _no_held_out(record)
    if held is None:
        return [Text(f"There is no calibration of feasibility: {why}.", "missing")]
    likely, feasible = held["feasible_probability"].to_numpy(), held["feasible"].to_numpy()
    # Both kinds weigh a half, as in training.
    weight = np.where(feasible, 0.5 / feasible.sum(), 0.5 / (~feasible).sum())
    bins = np.minimum((BINS * likely).astype(np.int64), BINS - 1)
    rows = []
    for place in range(BINS):
        mine = bins == place
        if mine.sum() >= FEW:
            rows.append(
                (
                    "held out",
                    float(np.average(likely[mine], weights=weight[mine])),
                    float(np.average(feasible[mine], weights=weight[mine])),
                    f"{mine.sum():,}",
                )
            )
    schema = {"what": pl.String, "x": pl.Float64, "y": pl.Float64, "told": pl.String}
    if len(rows) < 2:
        return [Text("There is no calibration of feasibility: too few designs were held out.", "missing")]
    calibration = pl.DataFrame(rows, schema=schema, orient="row")
    gate = float((record.manifest.get("training") or {}).get("gate", 0.5))
    thresholds = np.linspace(0.0, 1.0, 41)
    passed = [
        (
            name,
            float(at),
            float((likely[kind] >= at).mean()),
            f"{int((likely[kind] >= at).sum()):,} of {int(kind.sum()):,}",
        )
        for name, kind in (("feasible, kept", feasible), ("infeasible, let through", ~feasible))
        for at in thresholds
    ]
    curve = pl.DataFrame(passed, schema=schema, orient="row")
    kept, let = (float((likely[kind] >= gate).mean()) for kind in (feasible, ~feasible))
    return [
        Figure(
            "feasibility",
            "Left: how often designs of a predicted probability are feasible (both kinds weigh a half); "
            "on the dashed line the probability is right. Right: what a threshold lets through; the "
            f"search's gate of {gate:g} keeps {share(kept)} of the feasible designs and lets "
            f"{share(let)} of the infeasible ones through, before learned limits.",
            "Calibration curve of the predicted probability of being feasible, and the shares of "
            f"feasible ({share(kept)} at the gate) and infeasible ({share(let)}) held-out designs above "
            "each threshold.",
            [
                charts.curve(
                    calibration,
                    "predicted probability of being feasible (%)",
                    "feasible held-out designs (%)",
                    diagonal=True,
                ),
                charts.curve(
                    curve,
                    "threshold on the probability (%)",
                    "designs above it (%)",
                    rule=gate,
                    rule_title="gate",
                ),
            ],
            420,
        )
    ]


def _coverage(held: pl.DataFrame) -> Figure:
    errors = np.abs(np.log(held["predicted"].to_numpy() / held["true"].to_numpy()))
    deviation = np.maximum(held["deviation"].to_numpy(), 1e-12)
    rows = []
    for quantile in QUANTILES:
        inside = errors <= stats.norm.ppf(0.5 + quantile / 2.0) * deviation
        rows.append(("held out", quantile, float(inside.mean()), f"{int(inside.sum()):,} of {len(inside):,}"))
    table = pl.DataFrame(
        rows, schema={"what": pl.String, "x": pl.Float64, "y": pl.Float64, "told": pl.String}, orient="row"
    )
    ninety = rows[3][2]
    verdict = "too narrow" if ninety < 0.8 else "wide enough"
    return Figure(
        "uncertainty",
        "Is the uncertainty right? If the ensemble's disagreement were the whole error, 90% intervals "
        f"would hold 90% of the held-out designs; they hold {share(ninety)}: {verdict}.",
        "Share of held-out designs within intervals of 50% to 99% nominal coverage; at 90% it is "
        f"{share(ninety)}.",
        [
            charts.curve(
                table, "nominal coverage of the interval (%)", "held-out designs within it (%)", diagonal=True
            )
        ],
        420,
    )


def _extrapolation(record: RunRecord) -> list[Block]:
    finished = record.finished
    if finished is None or record.log is None or record.proposals is None:
        why = (
            record.missing.get("surrogate")
            or record.missing.get("log")
            or record.missing.get("proposals", "")
        )
        return [Text(f"Where the surrogate extrapolates is not shown: {why}.", "missing")]
    space, task = record.space, finished.task
    scale = finished.surrogate.objective.deviation
    logged = sampled(record.log.filter("feasible"), MOST_POINTS)
    name = task.applications[0]

    def points(frame: pl.DataFrame, what: str) -> pl.DataFrame:
        ranks = space.ranks_from_frame(frame)
        predictions = [finished.surrogate.predict(ranks, task.context(one)) for one in task.applications]
        if len(predictions) == 1:
            values: NDArray[np.float64] = predictions[0].objective
        else:
            from prime_fast.offline import combined

            values = np.exp(combined(task, np.stack([np.log(one.objective) for one in predictions])))
        deviation = np.mean([one.deviation for one in predictions], axis=0) * scale
        return pl.DataFrame({"predicted": values, "deviation": deviation}).with_columns(what=pl.lit(what))

    cloud = points(logged, "all logged").with_columns(
        name=pl.lit("logged design"), distance=pl.lit(0, pl.Int64)
    )
    few = points(record.proposals, "proposals").with_columns(
        name=pl.format("proposal {}", record.proposals["proposal"]),
        distance=record.proposals["changed_parameters"].cast(pl.Int64),
    )
    order = ["what", "name", "predicted", "deviation", "distance"]
    table = pl.concat([cloud.select(order), few.select(order)])
    one = len(task.applications) == 1
    row = record.best_logged_row(name if name in record.manifest["learned_from"] else None) if one else None
    best = None if row is None else float(row[record.objective])
    distances = few["distance"].to_numpy()
    low, high = int(distances.min()), int(distances.max())
    # One network doesn't disagree with itself.
    usual = float(np.median(cloud["deviation"].to_numpy()))
    far = float(np.median(few["deviation"].to_numpy())) / usual if usual > 0.0 else None
    beyond = int((few["predicted"] < best).sum()) if best is not None else 0
    between = f"{low} to {high}" if low != high else f"{low}"
    told = f"The proposals differ from the nearest feasible logged design in {between} parameters"
    if not high:
        told = "The proposals are logged designs"
    if far is not None:
        told += f", and the networks disagree on them {number(far, 2)} times as much as on logged designs"
    told += "."
    if best is not None:
        told += f" {beyond or 'None'} of {few.height} {'is' if beyond < 2 else 'are'} predicted better"
        told += " than anything logged" + (": there the surrogate extrapolates." if beyond else ".")
    unseen = _unseen(record)
    if unseen:
        told += f" No feasible logged design has the chosen design's {', '.join(unseen)}."
    return [
        Text(told),
        Figure(
            "extrapolation",
            "Where the surrogate extrapolates: "
            + ("left of the best logged design nothing was ever measured, and " if best is not None else "")
            + "the higher a point, the less the networks agree.",
            f"Scatter plot of the ensemble's disagreement over predicted {axis(record.objective)}: "
            f"{cloud.height} logged designs and {few.height} proposals. {told}",
            [charts.extrapolation(table, title_of(record), best)],
            560,
        ),
    ]


def _unseen(record: RunRecord) -> list[str]:
    chosen = record.chosen
    if chosen is None or record.log is None:
        return []
    feasible = record.log.filter("feasible")
    return [
        f"{name} {chosen[name]}" for name in record.space.names if not (feasible[name] == chosen[name]).any()
    ]
