"""What the score on measured tables depends on: size and poorness of the log, ensemble, alpha, architecture.

Each point is the median over seeds of the mean score over the tables, beside the least and the largest. All
but one setting are those of `prime-fast benchmark tables`; nothing may be chosen by these figures. Rows that
are finished are kept: a run that was stopped is taken up where it stopped.

    python bench/tables_curves.py --data kernel_tuner --out results --curve feasible --method trees
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import polars as pl

from prime_fast import offline
from prime_fast.benchmark.printed_table import Table, write_tables
from prime_fast.benchmark.tables import BUDGETS, TablesSettings, draw_log, judge
from prime_fast.benchmark.tables_data import MeasuredTable, read_tables
from prime_fast.logs.writing import atomic_file
from prime_fast.methods import METHODS, Method
from prime_fast.surrogate import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

FIGURES = tuple("top_1" if budget == 1 else f"best_of_{budget}" for budget in BUDGETS)
LOGS: dict[str, tuple[float, ...]] = {
    "feasible": (100, 300, 1_000, 3_000),
    "worst": (0.2, 0.4, 0.6, 0.8, 1.0),
}
"""What a log is drawn by."""
TRAINING: dict[str, tuple[float, ...]] = {"members": (1, 2, 4, 8, 16), "alpha": (0.0, 0.001, 0.01, 0.1)}
"""What the networks of the default are trained by."""
ARCHITECTURES = ("mlp", "transformer", "trees")
CURVES = (*LOGS, *TRAINING, "architecture")


@dataclasses.dataclass(frozen=True)
class Point:
    """One setting of one curve."""

    curve: str
    value: str
    line: str
    """What is compared along the curve: a method's name."""
    method: Method
    settings: TablesSettings
    architecture: str | None = None

    def digest(self) -> dict[str, Any]:
        """Return all that the rows of the point depend on, of what JSON can hold."""
        fields = {"curve": self.curve, "value": self.value, "line": self.line}
        fields |= dataclasses.asdict(self.settings) | {"architecture": self.architecture or "own"}
        return fields | {"training": str(self.trained())}

    def trained(self) -> TrainingSettings | None:
        """Return the networks' settings, if there are networks."""
        if self.method.kind != "network":
            return None
        return self.method.settings(self.settings.budget, self.architecture)


def points(curves: tuple[str, ...], lines: tuple[str, ...], budget: str) -> Iterator[Point]:
    """Return the settings of the curves; `lines` are the methods of those over logs."""
    usual, default = TablesSettings(budget=budget), METHODS["default"]
    for curve in curves:
        for value in LOGS.get(curve, ()):
            kind = int if curve == "feasible" else float
            changed: dict[str, Any] = {curve: kind(value)}
            settings = dataclasses.replace(usual, **changed)
            for line in lines:
                yield Point(curve, f"{value:g}", line, METHODS[line], settings)
        for value in TRAINING.get(curve, ()):
            changes: dict[str, Any] = {"members": int(value)} if curve == "members" else {"alphas": (value,)}
            yield Point(curve, f"{value:g}", "default", dataclasses.replace(default, changes=changes), usual)
        for name in ARCHITECTURES if curve == "architecture" else ():
            trees = name == "trees"
            method = METHODS["trees"] if trees else default
            yield Point(curve, name, name, method, usual, None if trees else name)


def run_point(point: Point, table: MeasuredTable, seed: int) -> dict[str, Any]:
    """Return the figures of one point on one table."""
    log = draw_log(table, seed, point.settings)
    task = offline.OfflineTask(table.space, {table.name: log}, candidates=table.candidates)
    found = offline.run_offline(
        point.method,
        task,
        seed=seed,
        budget=point.settings.budget,
        architecture=point.architecture,
        proposals=max(BUDGETS),
    )
    row = judge(table, found.designs, table.space.indices(log.ranks))
    best = float(table.optimum / np.nanmin(log.objective))
    sizes = {"logged_feasible": int(log.feasible.sum()), "logged_infeasible": int((~log.feasible).sum())}
    return {"best_logged": best, **sizes, **row, "seconds": sum(found.seconds.values())}


def summary(runs: pl.DataFrame, curve: str) -> Table:
    """Return medians over seeds of means over tables, with the least and the largest."""
    part = runs.filter(curve=curve)
    # A seed counts where it has all tables.
    whole = part.group_by("value", "line", "seed", maintain_order=True).agg(
        pl.len(), *(pl.col(name).mean() for name in ("best_logged", *FIGURES))
    )
    whole = whole.filter(pl.col("len") == part["table"].n_unique())
    frame = whole.group_by("value", "line", maintain_order=True).agg(
        pl.len().alias("seeds"),
        pl.col("best_logged").median(),
        *(pl.col(name).median() for name in FIGURES),
        *(pl.col(name).min().alias(f"{name}_least") for name in FIGURES[1:]),
        *(pl.col(name).max().alias(f"{name}_largest") for name in FIGURES[1:]),
    )
    columns = [("value", "value", ""), ("method", "line", ""), ("seeds", "seeds", "d")]
    columns += [("best logged", "best_logged", ".3f"), ("top 1", "top_1", ".3f")]
    for name in FIGURES[1:]:
        columns.append((name.replace("_", " "), name, ".3f"))
        columns += [(end, f"{name}_{end}", ".3f") for end in ("least", "largest")]
    tables = part["table"].n_unique()
    return Table(curve, f"{curve}: median over seeds of the mean over {tables} tables", frame, columns)


def draw(tables: list[Table], path: Path) -> None:
    """Draw best of 16 and of 128 over each curve's values, with the range of the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(tables), 3.0), layout="constrained")
    panels = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for axes, table in zip(panels, tables, strict=True):
        values = table.frame["value"].unique(maintain_order=True).to_list()
        lines = table.frame["line"].unique(maintain_order=True).to_list()
        for place, line in enumerate([None] if table.name == "architecture" else lines):
            part = table.frame if line is None else table.frame.filter(line=line)
            at = [values.index(value) for value in part["value"]]
            for number, name in enumerate(FIGURES[1:]):
                low, high = part[name] - part[f"{name}_least"], part[f"{name}_largest"] - part[name]
                label = " ".join(filter(None, (line, name.replace("_", " "))))
                axes.errorbar(
                    at,
                    part[name],
                    np.abs([low, high]),
                    marker="os"[number],
                    # Architectures are no scale.
                    linestyle="" if line is None else ("-", "--")[number],
                    color=f"C{number if line is None else place}",
                    label=label,
                    capsize=2,
                )
        axes.set_xticks(range(len(values)), values)
        axes.set_xlabel(table.name)
        axes.legend(fontsize=6)
    panels[0].set_ylabel("mean of optimum / found")
    panels[0].set_ylim(0.0, 1.02)
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=150)


@click.command()
@click.option("--data", required=True, multiple=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path))
@click.option("--curve", "curves", multiple=True, type=click.Choice(CURVES), default=CURVES)
@click.option(
    "--method",
    "lines",
    multiple=True,
    type=click.Choice(list(METHODS)),
    default=("default", "trees"),
    show_default=True,
    help="Methods of the curves over logs.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--budget", type=click.Choice(list(offline.SEARCH_EVALUATIONS)), default="standard")
def main(
    data: tuple[Path, ...],
    out: Path,
    curves: tuple[str, ...],
    lines: tuple[str, ...],
    seeds: int,
    budget: str,
) -> None:
    """Draw what the score on measured tables depends on."""
    out.mkdir(parents=True, exist_ok=True)
    tables, path = read_tables(data), out / "rows.jsonl"
    lines_of_file = path.read_text().splitlines() if path.exists() else []
    finished = {json.dumps(fields["job"]): fields["row"] for fields in map(json.loads, lines_of_file)}
    rows = []
    with path.open("a") as file:
        for seed, point in itertools.product(range(seeds), list(points(curves, lines, budget))):
            for table in tables.values():
                job = {**point.digest(), "table": table.name, "data": table.sha256, "seed": seed}
                row = finished.get(json.dumps(job))
                if row is None:
                    row = run_point(point, table, seed)
                    file.write(json.dumps({"job": job, "row": row}) + "\n")
                    file.flush()
                    words = point.curve, point.value, point.line, table.name, str(seed)
                    click.echo(f"{' '.join(words)}: {row['best_of_16']:.3f}")
                rows.append(job | row)
    runs = pl.DataFrame(rows, infer_schema_length=None)
    summaries = [summary(runs, curve) for curve in CURVES if curve in curves]
    directory = write_tables(out, summaries, runs)
    draw(summaries, directory / "curves.png")
    click.echo(f"Tables: {directory}")


if __name__ == "__main__":
    main()
