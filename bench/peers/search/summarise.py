"""Table of the runs in results/*.csv: hits, expected evaluations to the optimum, gaps, the peers' own time.

    cd bench && python -m peers.search.summarise

Writes results/summary.csv. Expected evaluations are those of all runs, up to the hit where there is one, over
the number of hits; "simulated" counts distinct designs within the known limits alone. A row such as `prime/*`
pools the runs of all problems of that kind.
"""

from __future__ import annotations

from pathlib import Path

import click
import polars as pl

RESULTS = Path(__file__).with_name("results")
SUMMARY = RESULTS / "summary.csv"
COMMAND = "cd bench && python -m peers.search.summarise"
KINDS = ("prime", "nk", "tuner", "pbo", "front")
# Runs are alike in each of these.
KEY = ("problem", "peer", "version", "evaluations_asked")


def read() -> pl.DataFrame:
    """Return all runs as one frame."""
    files = [file for file in sorted(RESULTS.glob("*.csv")) if file != SUMMARY]
    types = {
        "evaluations_to_optimum": pl.Int64,
        "simulated_to_optimum": pl.Int64,
        "hypervolume_share": pl.Float64,
        "final_share": pl.Float64,
    }
    frames = [
        pl.read_csv(file, comment_prefix="#", schema_overrides=types, infer_schema_length=None)
        for file in files
    ]
    return pl.concat(frames, how="vertical_relaxed")


def summary(runs: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each problem and peer."""
    hits = pl.col("evaluations_to_optimum").count()

    def expected(column: str) -> pl.Expr:
        spent = pl.col(f"{column}_to_optimum").fill_null(pl.col(column)).sum()
        return pl.when(hits > 0).then((spent / hits).round(0)).cast(pl.Int64).alias(f"expected_{column}")

    return runs.group_by(KEY, maintain_order=True).agg(
        pl.len().alias("runs"),
        hits.alias("hits"),
        expected("evaluations"),
        expected("simulated"),
        pl.col("gap").median().alias("gap_median"),
        pl.col("gap").quantile(0.25, "linear").alias("gap_lower_quartile"),
        pl.col("gap").quantile(0.75, "linear").alias("gap_upper_quartile"),
        pl.col("hypervolume_share").median().alias("hypervolume_share"),
        pl.col("final_share").median().alias("final_share"),
        pl.col("own_us").median().alias("own_us"),
        pl.col("own_us").min().alias("own_us_least"),
    )


def pooled(runs: pl.DataFrame) -> pl.DataFrame:
    """Return the runs of one objective with the kind of problem in place of its name."""
    kind = pl.col("problem").str.split("/").list.first() + "/*"
    return runs.filter(~pl.col("problem").str.starts_with("front/")).with_columns(
        kind.alias("problem"), pl.col("evaluations_asked").max().over(kind, "peer")
    )


def lines(frame: pl.DataFrame) -> list[str]:
    """Return the table as lines of 80 characters; gaps are percentages, their quartiles around the median."""
    found: list[str] = []
    title = ""
    for row in frame.iter_rows(named=True):
        front = row["problem"].startswith("front/")
        if row["problem"] != title:
            title = row["problem"]
            heads = ("runs", "all", "final") if front else ("hits", "expected", "simulated")
            found += ["", cells(title, heads, "gap, %", "own us")]
        if front:
            shares = row["hypervolume_share"], row["final_share"]
            counts = (
                str(row["runs"]),
                *("-" if share is None else f"{100 * share:.3f}%" for share in shares),
            )
        else:
            expected = row["expected_evaluations"], row["expected_simulated"]
            hits = f"{row['hits']}/{row['runs']}"
            counts = (hits, *("-" if count is None else f"{count:,}" for count in expected))
        gaps = [round(100 * row[f"gap_{name}"], 9) for name in ("lower_quartile", "median", "upper_quartile")]
        asked = "" if row["evaluations_asked"] >= 50_000 else f", {row['evaluations_asked']:,}"
        name = f"  {row['peer']}{asked}"
        found.append(
            cells(name, counts, " ".join(f"{gap:.2g}" for gap in gaps), f"{row['own_us_least']:.3g}")
        )
    return found


def cells(name: str, counts: tuple[str, ...], gap: str, own_us: str) -> str:
    """Return a line of 80 characters."""
    return f"{name:27.27}" + "".join(f" {count:>9}" for count in counts) + f" {gap:>15} {own_us:>6}"


@click.command(help=__doc__)
def main() -> None:
    """Read, print and write."""
    runs = read()
    order = {kind: position for position, kind in enumerate(KINDS)}
    frame = (
        pl.concat([summary(pooled(runs)), summary(runs)])
        .with_columns(pl.col("problem").str.split("/").list.first().replace_strict(order).alias("order"))
        .sort("order", "problem", "peer", "evaluations_asked")
        .drop("order")
    )
    for line in lines(frame):
        click.echo(line)
    with SUMMARY.open("w", encoding="utf-8") as stream:
        stream.write(f"# {COMMAND}\n")
        stream.write(frame.write_csv(float_precision=6))


if __name__ == "__main__":
    main()
