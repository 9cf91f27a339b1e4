"""Whether a log can be learned from: counts, coverage, applications and the verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from prime_fast import DesignSpace
from prime_fast.logs import Inspection, inspect, read_log, write_table

Run = Callable[..., tuple[int, str, str]]
SPACE = DesignSpace.from_toml(
    """
    name = "small"
    [[parameter]]
    name = "rows"
    values = [1, 2, 4, 8, 16, 32]
    [[parameter]]
    name = "columns"
    values = [1, 2, 4, 8, 16, 32]
    [[parameter]]
    name = "flow"
    kind = "categorical"
    values = ["ws", "os", "rs"]
    [[parameter]]
    name = "banks"
    values = [1, 2, 3, 4]
    """
)


def designs() -> pl.DataFrame:
    """All designs; those of many rows and columns fail, the others are the faster the larger."""
    frame = SPACE.frame(SPACE.ranks(np.arange(SPACE.size, dtype=np.uint64)))
    size = pl.col("rows") * pl.col("columns")
    return frame.with_columns(
        latency_us=1000 / size + pl.col("banks"), feasible=size <= 256, reason=pl.lit("too large")
    )


def inspected(frame: pl.DataFrame, directory: Path) -> Inspection:
    write_table(frame, directory / "log.parquet")
    return inspect(read_log(directory / "log.parquet", SPACE, least_feasible=0))


def test_a_log_of_all_designs_is_enough(tmp_path: Path) -> None:
    seen = inspected(designs(), tmp_path)
    assert (seen.verdict.verdict, seen.verdict.because) == ("enough", ())
    assert str(seen.verdict) == "enough to learn from"
    assert seen.applications == ()
    assert (seen.duplicates, seen.contradictions, seen.outside) == (0, 0, 0)


def fails(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(~pl.col("feasible"))


POOR: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "cannot be learned from: 0 feasible designs, at least 10 are needed": fails,
    "cannot be learned from: 1 feasible design, at least 10 are needed": lambda frame: pl.concat(
        [frame[:1], fails(frame)]
    ),
    "cannot be learned from: all feasible designs have the objective 7": lambda frame: frame.with_columns(
        latency_us=7.0
    ),
    "weak, because 100 feasible designs are few for the space: 160 would do": lambda frame: pl.concat(
        [frame.filter("feasible").sample(100, seed=1), fails(frame)]
    ),
    "weak, because no infeasible designs to learn from what fails": lambda frame: frame.filter("feasible"),
    "weak, because 9 infeasible designs to": lambda frame: pl.concat(
        [frame.filter("feasible"), fails(frame)[:9]]
    ),
    "weak, because a tenth of the feasible designs is within 1% of the best": lambda frame: (
        frame.with_columns(latency_us=pl.col("latency_us").clip(300.0))
    ),
    "weak, because feasible designs have one value only of flow": lambda frame: pl.concat(
        [frame.filter(pl.col("flow") == "ws", "feasible")] * 2 + [fails(frame)]
    ),
    "weak, because feasible designs have under half of the values of rows": lambda frame: frame.with_columns(
        feasible=pl.col("feasible") & (pl.col("rows") < 4)
    ),
    "weak, because 20% of the rows can't be used: see what was dropped": lambda frame: frame.with_columns(
        banks=pl.when(pl.int_range(pl.len()) % 5 == 0).then(7).otherwise("banks")
    ),
    "weak, because 46% of the rows contradict others of the same design": lambda frame: pl.concat(
        [frame, frame.with_columns(pl.col("latency_us") * 2)]
    ),
}


@pytest.mark.parametrize("verdict", POOR)
def test_what_speaks_against_a_log_is_said(tmp_path: Path, verdict: str) -> None:
    seen = inspected(POOR[verdict](designs()), tmp_path)
    parts = verdict.split("because ")
    assert seen.verdict.verdict == verdict.split(maxsplit=1)[0].rstrip(",")
    assert parts[-1].removeprefix("cannot be learned from: ") in str(seen.verdict)


def test_values_that_are_missing_or_rare_are_named(tmp_path: Path) -> None:
    frame = designs().with_row_index("i")
    rare = (pl.col("banks") != 3) | pl.col("i").is_in([2])
    seen = inspected(frame.filter(rare, pl.col("flow") != "os").drop("i"), tmp_path)
    coverage = {entry.parameter: entry for entry in seen.coverage}
    assert (coverage["banks"].unseen, coverage["banks"].rare) == ((), (3,))
    assert (coverage["flow"].unseen, coverage["flow"].unseen_feasible, coverage["flow"].rare) == (
        ("os",), ("os",), ()
    )  # fmt: skip
    assert (coverage["rows"].unseen, coverage["rows"].unseen_feasible) == ((), ())


def test_repeats_and_contradictions_are_counted(tmp_path: Path) -> None:
    frame = designs()
    other = frame[[0, 1]].with_columns(pl.col("latency_us") * 2)
    failed = frame[[5]].with_columns(feasible=False)
    strange = frame[[7]].with_columns(banks=pl.lit(9, pl.Int64))
    seen = inspected(pl.concat([frame, frame[:4], other, failed, strange]), tmp_path)
    # Of two rows that differ, the later ones are merged; one that failed once is worth nothing.
    assert (seen.duplicates, seen.contradictions, seen.outside) == (2, 6, 1)
    assert seen.rows == SPACE.size + 8
    assert seen.designs == SPACE.size - 1


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """A log of three applications: one that is enough, one that is weak and one that is of no use."""
    frame = designs()
    parts = [
        frame.with_columns(application=pl.lit("gemm")),
        frame.filter("feasible").with_columns(application=pl.lit("conv")),
        fails(frame).with_columns(application=pl.lit("lstm")),
    ]
    write_table(pl.concat(parts), tmp_path / "log.csv")
    (tmp_path / "space.toml").write_text(SPACE.to_toml())
    return tmp_path / "log.csv"


def test_applications_are_judged_each(run: Run, several: Path) -> None:
    code, out, err = run("logs", "inspect", several, "--space", "space.toml", "--json")
    assert (code, err) == (0, "")
    seen = json.loads(out)
    assert [(one["application"], one["verdict"]["verdict"]) for one in seen["applications"]] == [
        ("conv", "weak"), ("gemm", "enough"), ("lstm", "cannot")
    ]  # fmt: skip
    assert seen["verdict"] == {"verdict": "weak", "because": ["lstm is no use", "conv is weak"]}
    gemm = seen["applications"][1]
    assert (gemm["designs"], gemm["feasible"]) == (SPACE.size, int(designs()["feasible"].sum()))
    assert gemm["best"] == designs().filter("feasible")["latency_us"].min()
    code, out, _ = run("logs", "inspect", several, "--space", "space.toml", "--app", "GEMM", "--json")
    assert json.loads(out)["verdict"] == {"verdict": "enough", "because": []}


def test_inspection_fits_a_terminal_and_ends_in_the_verdict(run: Run, several: Path) -> None:
    code, out, err = run("logs", "inspect", several, "--space", "space.toml", "--limit", "banks_used=3")
    assert code == 2
    assert "unknown limit 'banks_used'" in err
    code, out, err = run("logs", "inspect", several, "--space", "space.toml")
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines())
    shown = " ".join(out.split())
    assert "conv: weak, because no infeasible designs to learn from what fails" in shown
    assert "lstm: cannot be learned from: 0 feasible designs" in shown
    assert out.rstrip().endswith("verdict: weak, because lstm is no use; conv is weak")
    for heading in ("duplicates", "contradictions", "outside the space", "never feasible", "too large"):
        assert heading in out


def test_status_by_flag(run: Run, tmp_path: Path) -> None:
    state = pl.when("feasible").then(pl.lit("ok")).otherwise(pl.lit("crashed"))
    write_table(designs().select(*SPACE.names, "latency_us", state=state), tmp_path / "log.csv")
    (tmp_path / "space.toml").write_text(SPACE.to_toml())
    code, out, _ = run(
        "logs", "inspect", "*.csv", "--space", "space.toml", "--feasible-value", "state=ok", "--json"
    )
    assert code == 0
    assert json.loads(out)["reasons"] == {"crashed": int((~designs()["feasible"]).sum())}
