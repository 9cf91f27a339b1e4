"""`prime-fast explain`: learned limits, neighbours, importance, gains, distance to the log, and bad runs."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy.stats import randint, sobol_indices
from search_problems import EVERYTHING, FEASIBLE, SMALL

import prime_fast as pf
from prime_fast import methods, offline
from prime_fast.analysis import importance
from prime_fast.analysis.changes import changes, single_changes
from prime_fast.analysis.constraints import learned_constraints
from prime_fast.analysis.runs import read_run
from prime_fast.cli.explanations import print_analysis
from prime_fast.logs import generate, write_table
from prime_fast.space import Ranks
from prime_fast.surrogate import Surrogate, TrainingSettings
from prime_fast.surrogate.constraints import LearnedConstraint

Run = Callable[..., tuple[int, str, str]]
TINY = TrainingSettings(
    width=32, members=3, steps=150, selection_steps=60, batch=64, alphas=(0.0,), betas=(0.0,), checkpoints=2,
    adversarial_period=10, adversarial_population=16,
)  # fmt: skip
OWN = """
name = "own"
[[parameter]]
name = "units"
values = [1, 2, 4, 8, 16]
[[parameter]]
name = "clock_ghz"
values = [0.5, 1.0, 1.5, 2.0]
[[parameter]]
name = "order"
kind = "categorical"
values = ["rows", "columns", "tiles"]
[[parameter]]
name = "cached"
values = [false, true]
"""


def small_run(*args: Any, **kwargs: Any) -> None:
    """Run `optimize` with networks and a search that take little time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods.Method, "settings", lambda *_: TINY)
        patch.setitem(offline.SEARCH_EVALUATIONS, "quick", 2000)
        pf.optimize(*args, budget="quick", **kwargs)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run for one application, by a log of the user's."""
    directory = tmp_path_factory.mktemp("one")
    log = directory / "log.parquet"
    write_table(generate(pf.Simulator("MobileNetV2"), 800, seed=3), log)
    out = directory / "run"
    small_run("MobileNetV2", logs=log, proposals=4, out=out)
    return out


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run for an application of the logs and for one of none."""
    directory = tmp_path_factory.mktemp("several")
    frame = pl.concat(
        generate(pf.Simulator(name), 500, seed=4).with_columns(application=pl.lit(name))
        for name in ("MobileNetV2", "M5")
    )
    write_table(frame, directory / "log.parquet")
    small_run(
        ["M5", "M6"],
        learn_from=["MobileNetV2", "M5"],
        logs=directory / "log.parquet",
        proposals=4,
        out=directory / "run",
    )
    return directory / "run"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in a space that no simulator knows; no feasible logged design has 16 units or less than 1 GHz."""
    directory = tmp_path_factory.mktemp("own")
    space = pf.DesignSpace.from_toml(OWN)
    designs = space.ranks(np.arange(space.size, dtype=np.uint64))
    frame = space.frame(designs)
    time = 100.0 / (frame["units"].to_numpy() * frame["clock_ghz"].to_numpy()) + 5.0 * designs[:, 2]
    feasible = (frame["units"].to_numpy() < 16) & (frame["clock_ghz"].to_numpy() >= 1.0)
    frame = frame.with_columns(
        time_ms=pl.Series(np.where(feasible, time, np.nan), nan_to_null=True), feasible=feasible
    )
    write_table(frame, directory / "log.csv")
    small_run(
        logs=directory / "log.csv",
        space=space,
        objective="time_ms",
        proposals=3,
        out=directory / "run",
    )
    return directory / "run"


def test_single_changes_are_every_other_value_as_surrogate_and_simulator_tell(one: Path) -> None:
    analysis = pf.explain_run(one, proposal=2, samples=100)
    space, table = analysis.space, analysis.changes.single
    proposals = pl.read_parquet(one / "proposals.parquet")
    assert analysis.design == proposals.select(space.names).row(1, named=True)
    assert table.height == sum(space.cardinalities) - space.dimensions
    assert table.select("parameter", "value").is_unique().all()
    texts = {name: list(map(str, values)) for name, values in zip(space.names, space.values, strict=True)}
    rows = [
        analysis.design
        | {name: space.values[space.names.index(name)][texts[name].index(value)]}
        for name, value in table.select("parameter", "value").iter_rows()
    ]  # fmt: skip
    designs = space.designs(rows)
    assert (designs != space.designs([analysis.design])).sum(axis=1).tolist() == [1] * len(rows)
    predicted = Surrogate.load(one / "surrogate.safetensors").predict(designs)
    assert table["predicted"].to_numpy() == pytest.approx(predicted.objective)
    assert table["feasible_probability"].to_numpy() == pytest.approx(predicted.feasible_probability)
    scores = pf.Simulator("MobileNetV2").score(designs)
    assert table["feasible"].to_list() == scores.feasible.tolist()
    assert table["simulated"].cast(float).fill_null(np.nan).to_numpy() == pytest.approx(
        scores.latency_us, nan_ok=True
    )
    assert table["area_mm2"].to_numpy() == pytest.approx(scores.area_mm2)
    kept = (scores.area_mm2 <= 27.0) & (space.check(designs) < 0)
    assert table["within_limits"].to_list() == kept.tolist()
    allowed = table.filter("allowed")
    assert allowed["within_limits"].all()
    assert (allowed["feasible_probability"] >= TINY.gate).all()
    best = analysis.best(table)
    assert best is None or best["predicted"] == allowed["predicted"].min()


def test_every_simulation_is_counted(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    score = pf.Simulator.score

    def counting(self: pf.Simulator, designs: Ranks, threads: int | None = None) -> pf.Scores:
        asked.append(len(designs))
        return score(self, designs, threads)

    monkeypatch.setattr(pf.Simulator, "score", counting)
    analysis = pf.explain_run(one, samples=100)
    ways = [count - 1 for count in analysis.space.cardinalities]
    pairs = sum(a * b for a, b in itertools.combinations(ways, 2))
    assert analysis.changes.pairs.height == pairs
    assert analysis.queries == sum(asked) == 1 + sum(ways) + pairs + 2 * 9
    asked.clear()
    quiet = pf.explain_run(one, samples=100, simulate=False)
    assert (quiet.queries, asked, quiet.simulated) == (0, [], False)
    assert quiet.gains is not None
    assert quiet.reference == "best logged"
    assert quiet.gains["simulated"].null_count() == quiet.gains.height
    same = analysis.changes.single.select("parameter", "value", "predicted")
    assert quiet.changes.single.select("parameter", "value", "predicted").equals(same)


class Known:
    """Judges designs by a formula in the place of a surrogate."""

    def __init__(self, effect: Callable[[Ranks], Any], gate: float = 0.5) -> None:
        self.run: Any = SimpleNamespace(
            space=SMALL, surrogate=SimpleNamespace(settings=SimpleNamespace(gate=gate))
        )
        self.effect = effect

    def judge(self, designs: Ranks) -> pl.DataFrame:
        kept = SMALL.check(designs) < 0
        return pl.DataFrame(
            {
                "predicted": np.exp(self.effect(designs.astype(np.float64))),
                "feasible_probability": np.ones(len(designs)),
                "within_limits": kept,
                "allowed": kept,
            }
        )


def test_interactions_are_what_the_sum_of_effects_lacks() -> None:
    design = np.full(5, 3, np.uint8)
    judge: Any = Known(lambda x: 0.3 * x.sum(axis=1) + 0.5 * (x[:, 1] - 3) * (x[:, 4] - 3))
    found = changes(judge, design, 10**6)
    assert found.left_out == 0
    expected = {pair: [0.0] for pair in itertools.combinations(SMALL.names, 2)}
    expected["p1", "p4"] = [0.5 * (a - 3) * (b - 3) for a in range(7) for b in range(8) if a != 3 and b != 3]
    for row in found.interactions.iter_rows(named=True):
        known = np.array(expected[row["parameter"], row["second_parameter"]])
        assert row["predicted_interaction"] == pytest.approx(np.sqrt((known**2).mean()), abs=1e-9)
    assert found.interactions.row(0)[:2] == ("p1", "p4")
    pair = found.pairs.filter(parameter="p1", value="6", second_parameter="p4", second_value="0")
    assert pair["predicted_interaction"].item() == pytest.approx(-4.5)
    # Without the interaction the best pair would be another.
    best = found.pairs.filter("allowed").sort("predicted").row(0, named=True)
    assert (best["parameter"], best["value"], best["second_parameter"], best["second_value"]) == (
        "p1", "0", "p4", "7",
    )  # fmt: skip


@pytest.mark.parametrize("most", [0, 1, 50, 400])
def test_pairs_are_bounded_and_begin_with_the_best_values(most: int) -> None:
    design = np.array([3, 3, 11, 3, 3], np.uint8)
    judge: Any = Known(lambda x: x @ [1.0, 1.0, 10.0, 1.0, 1.0])
    found = changes(judge, design, most)
    everything = changes(judge, design, 10**6)
    assert found.pairs.height <= most
    assert found.pairs.height + found.left_out == everything.pairs.height
    keys = ["parameter", "value", "second_parameter", "second_value", "predicted"]
    assert found.pairs.select(keys).is_unique().all()
    assert found.pairs.select(keys).join(everything.pairs.select(keys), on=keys, how="anti").is_empty()
    if most == 50:
        # Ten values of p2 are better than any of the others, but every parameter has its turn.
        values = {name: set(found.pairs.filter(parameter=name)["value"]) for name in SMALL.names[:-1]}
        assert values == {"p0": {"0", "1"}, "p1": {"0", "1"}, "p2": {"0", "1", "2"}, "p3": {"0", "1"}}
    assert found.single.equals(everything.single)


def test_a_space_of_one_parameter_has_no_pairs() -> None:
    space = pf.DesignSpace.from_toml('name = "line"\n[[parameter]]\nname = "a"\nvalues = [1, 2, 3]\n')
    parameter, rank = single_changes(space, np.array([1], np.uint8))
    assert (parameter.tolist(), rank.tolist()) == ([0, 0], [0, 2])


def printed(analysis: pf.Analysis) -> str:
    console = Console(file=io.StringIO(), width=80)
    print_analysis(analysis, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def anywhere(designs: Ranks) -> Any:
    return np.ones(len(designs), np.bool_)


def formula(designs: Any) -> Any:
    x = np.asarray(designs, np.float64)
    return 1000.0 + x[:, 0] + 0.1 * x[:, 1] ** 2 + 0.5 * x[:, 0] * x[:, 4] - 0.3 * x[:, 2]


def test_importance_without_limits_is_that_of_scipy() -> None:
    found = importance(SMALL, formula, anywhere, designs=4000, seed=1)
    assert found is not None
    assert found.share_within == 1.0
    known = sobol_indices(
        func=lambda x: formula(x.T), n=2**14, dists=[randint(0, n) for n in SMALL.cardinalities],
        rng=np.random.default_rng(0),
    )  # fmt: skip
    for row in found.table.iter_rows(named=True):
        place = SMALL.names.index(row["parameter"])
        close = 0.01 + 4.0 * row["total_error"]
        assert row["total"] == pytest.approx(known.total_order[place], abs=close)
        assert row["first_order"] == pytest.approx(known.first_order[place], abs=close)
    assert found.table["total"].is_sorted(descending=True)
    unused = found.table.filter(parameter="p3").row(0, named=True)
    assert unused["total"] == pytest.approx(0.0, abs=1e-12)


def test_importance_within_limits_is_that_of_their_definition() -> None:
    def within(designs: Ranks) -> Any:
        return (SMALL.check(designs) < 0) & (designs.astype(int).sum(axis=1) <= 14)

    designs = EVERYTHING[within(EVERYTHING)]
    frame = pl.DataFrame(designs.astype(np.int64), schema=SMALL.names).with_columns(f=formula(designs))
    variance = float(formula(designs).var())
    found = importance(SMALL, formula, within, designs=3000, seed=2)
    assert found is not None
    assert found.share_within == pytest.approx(len(designs) / len(EVERYTHING), rel=0.05)
    assert found.deviation == pytest.approx(variance**0.5, rel=0.05)
    for row in found.table.iter_rows(named=True):
        name = row["parameter"]
        others = [other for other in SMALL.names if other != name]
        parts = frame.group_by(others).agg(pl.len(), pl.col("f").var(ddof=0))
        total = np.average(parts["f"], weights=parts["len"]) / variance
        means = frame.group_by(name).agg(pl.len(), pl.col("f").mean())
        spread = (means["f"].to_numpy() - formula(designs).mean()) ** 2
        first = np.average(spread, weights=means["len"]) / variance
        assert row["total"] == pytest.approx(total, abs=4.0 * row["total_error"] + 1e-3)
        assert row["first_order"] == pytest.approx(first, abs=4.0 * row["first_order_error"] + 2e-3)
    # The errors are those that samples show.
    seen = {
        name: np.std([
            importance(SMALL, formula, within, designs=400, seed=100 * seed).table  # type: ignore[union-attr]
            .filter(parameter=name)["total"].item()
            for seed in range(1, 13)
        ])
        for name in ("p0", "p4")
    }  # fmt: skip
    small = importance(SMALL, formula, within, designs=400, seed=7)
    assert small is not None
    for name, deviation in seen.items():
        error = small.table.filter(parameter=name)["total_error"].item()
        assert 0.4 < error / deviation < 2.5


def test_importance_of_nothing_is_none() -> None:
    few = SMALL.indices(FEASIBLE[:50])
    rare = importance(SMALL, formula, lambda d: np.isin(SMALL.indices(d), few), designs=100)
    assert rare is not None
    assert rare.share_within == pytest.approx(50 / SMALL.size, rel=0.5)
    never = importance(SMALL, formula, lambda designs: np.zeros(len(designs), np.bool_), designs=100)
    assert never is None
    with pytest.raises(pf.ConfigurationError, match="samples is 99"):
        importance(SMALL, formula, anywhere, designs=99)


def test_nothing_matters_to_a_constant_and_why_is_told(several: Path) -> None:
    constant = importance(SMALL, lambda designs: np.full(len(designs), 5.0), anywhere, designs=100)
    assert constant is not None
    assert (constant.table.height, constant.deviation, constant.share_within) == (0, 0.0, 1.0)
    analysis = pf.explain_run(several, samples=100, most_pairs=0)
    assert "Sobol" in printed(analysis)
    for found, feasibility, told in (
        (constant, constant, "all designs within the limits are predicted alike."),
        (None, None, "next to no design is within the limits."),
    ):
        edited = dataclasses.replace(analysis, importance=found, feasibility_importance=feasibility)
        assert f"No importance of parameters: {told}" in printed(edited)
        json.dumps(edited.as_dict(), allow_nan=False)
    assert "Sobol" in printed(dataclasses.replace(analysis, feasibility_importance=constant))


def test_samples_of_neighbouring_seeds_differ() -> None:
    drawn: list[bytes] = []

    def never(designs: Ranks) -> Any:
        drawn.append(designs.tobytes())
        return np.zeros(len(designs), np.bool_)

    for seed in (0, 1, -1):
        assert importance(SMALL, formula, never, designs=100, seed=seed) is None
    assert len(set(drawn)) == len(drawn) > 100


def test_importance_of_a_parameter_of_many_values() -> None:
    space = pf.DesignSpace.from_toml(
        f'name = "long"\n[[parameter]]\nname = "a"\nvalues = {list(range(1000))}\n'
        '[[parameter]]\nname = "b"\nvalues = [0, 1]\n'
    )
    found = importance(
        space, lambda d: d[:, 0] / 288.7 + 2.0 * d[:, 1], lambda d: d[:, 0] != 500, designs=2000
    )  # fmt: skip
    assert found is not None
    shares = dict(found.table.select("parameter", "total").iter_rows())
    # Uniform on [0, 1000) over its deviation, and two values 2 apart: half of the variance each.
    assert shares == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.03)
    assert found.evaluations < 2000 * (64 + 2 + 1)


def test_gains_by_application(several: Path) -> None:
    analysis = pf.explain_run(several, samples=100, reference={"cores": 4, "compute_lanes": 1})
    table = analysis.gains
    assert table is not None
    assert table["application"].to_list()[:3] == ["M5", "M6", "MobileNetV2"]
    assert set(table["application"]) == set(pf.prime_application_names())
    assert table["designed_for"].to_list() == [True, True] + [False] * 7
    assert table["learned_from"].to_list() == [True, False, True] + [False] * 6
    # The surrogate knows those of the run, by features those that the log lacks too.
    assert table["predicted_gain"].is_not_null().to_list() == [True] * 3 + [False] * 6
    changed = analysis.design | {"cores": 4, "compute_lanes": 1}
    assert analysis.reference_design == changed
    designs = analysis.space.designs([analysis.design, changed])
    for row in table.iter_rows(named=True):
        values = pf.Simulator(row["application"]).score(designs).latency_us
        for name, value in zip(("simulated", "simulated_reference"), values, strict=True):
            assert row[name] == (None if np.isnan(value) else pytest.approx(value))
        known = not np.isnan(values).any()
        assert row["simulated_gain"] == (pytest.approx(values[1] / values[0]) if known else None)
        assert (row["reason"] is None) == (not np.isnan(values[0]))
    surrogate = Surrogate.load(several / "surrogate.safetensors")
    predicted = surrogate.predict(designs, "M5").objective
    assert table["predicted_gain"][0] == pytest.approx(predicted[1] / predicted[0])
    # The objective is the mean over the applications designed for.
    own = np.exp(np.log(table["predicted"][:2].to_numpy()).mean())
    assert analysis.changes.design["predicted"].item() == pytest.approx(own)


@pytest.mark.parametrize(
    ("own", "other", "told"),
    [
        ([1.0, 2.0, 4.0], [2.0, 4.0, 2.0], "2 of 3 gain, geometric mean 1.26x."),
        ([1.0, None, 4.0], [2.0, 4.0, 2.0], "1 of 3 gain, geometric mean 1.00x of the 2 that both run."),
        ([1.0, None, 4.0], [2.0, 4.0, None], "2 of 3 gain, geometric mean 2.00x of the 1 that both run."),
        ([1.0, None, 4.0], [2.0, None, 2.0], "1 of 2 gain, geometric mean 1.00x."),
        ([1.0, None, None], [None, 4.0, None], "1 of 2 gain, none of which both run."),
    ],
)
def test_failures_count_as_losses_and_those_of_the_reference_as_gains(
    several: Path, own: list[float | None], other: list[float | None], told: str
) -> None:
    analysis = pf.explain_run(several, samples=100, most_pairs=0)
    assert analysis.gains is not None
    gains = analysis.gains.head(3).with_columns(
        pl.Series("simulated", own, pl.Float64), pl.Series("simulated_reference", other, pl.Float64)
    )
    gains = gains.with_columns(
        simulated_gain=pl.col("simulated_reference") / pl.col("simulated"),
        reason=pl.when(pl.col("simulated").is_null()).then(pl.lit("die_area")),
        reference_reason=pl.when(pl.col("simulated_reference").is_null()).then(pl.lit("die_area")),
    )
    text = " ".join(printed(dataclasses.replace(analysis, gains=gains)).split())
    assert told in text
    assert ("Not run by the design: M6" in text) == (own[1] is None)


def test_references(one: Path) -> None:
    def gain(reference: Any, what: str = "simulated_gain") -> Any:
        found = pf.explain_run(one, proposal=1, reference=reference, samples=100, most_pairs=0)
        assert found.gains is not None
        return found.reference, found.gains.filter(application="MobileNetV2")[what].item()

    proposals = pl.read_parquet(one / "proposals.parquet")
    column = proposals["predicted_latency_us"]
    assert gain(1, "predicted_gain") == ("proposal 1", 1.0)
    assert gain(3, "predicted_gain") == ("proposal 3", pytest.approx(column[2] / column[0]))
    # As `optimize` compares: in the technology of the simulator, a bandwidth that the space doesn't have.
    manifest = json.loads((one / "manifest.json").read_text())
    published = {row["design"]: row["latency_us"] for row in manifest["result"]["references"]}
    simulated = proposals["simulated_latency_us"][0]
    if simulated is not None:
        assert gain(None) == ("Edge TPU V1", pytest.approx(published["Edge TPU V1"] / simulated))
        assert gain("best-logged")[1] == pytest.approx(published["best logged"] / simulated)
    assert gain("edge-tpu-v1", "predicted_gain") == ("Edge TPU V1", None)
    nearly = pf.reference_design("edge-tpu-v1").with_values(dram_bandwidth=20)
    assert gain(nearly, "predicted_gain")[1] > 0.0
    chosen = pf.explain_run(one, design="prime-nine-apps", samples=100, most_pairs=0)
    assert chosen.design["pes_y"] == 6
    assert not chosen.changes.design["within_limits"].item()


def test_distance_is_that_of_a_plain_count(several: Path) -> None:
    analysis = pf.explain_run(several, samples=100, most_pairs=0, neighbours=7)
    found, space = analysis.distance, analysis.space
    assert found is not None
    frame = pl.read_parquet(several.parent / "log.parquet").filter("feasible")
    logged = space.ranks_from_frame(frame).astype(int)
    apart = np.abs(logged - space.designs([analysis.design]).astype(int))
    keys = sorted(
        zip((apart > 0).sum(axis=1).tolist(), apart.sum(axis=1).tolist(), frame["latency_us"], strict=True)
    )
    columns = ["changed_parameters", "rank_distance", "latency_us"]
    assert found.nearest.select(columns).rows() == keys[:7]
    assert found.changed_parameters == keys[0][0]
    assert found.rank_distance == apart.sum(axis=1).min()
    for row in found.nearest.iter_rows(named=True):
        assert sum(row[name] != analysis.design[name] for name in space.names) == row["changed_parameters"]
    counts = [frame[name].to_list().count(value) for name, value in analysis.design.items()]
    assert found.parameters["logged_feasible"].to_list() == counts
    for row in found.applications.iter_rows(named=True):
        mine = frame.filter(application=row["application"])
        assert row["feasible"] == mine.height
        assert row["share_better"] == pytest.approx((mine["latency_us"] < row["predicted"]).mean())
        best = mine.filter(pl.col("area_mm2") <= 27.0)["latency_us"].min()
        assert row["best_logged"] == best


def test_a_logged_design_is_at_no_distance(one: Path) -> None:
    found = pf.explain_run(one, design="best-logged", samples=100, most_pairs=0).distance
    assert found is not None
    assert (found.changed_parameters, found.rank_distance, found.never_feasible) == (0, 0, [])


def test_space_without_simulator(own: Path, run: Run) -> None:
    analysis = pf.explain_run(own, design={"units": 16, "order": "tiles", "cached": True}, samples=100)
    assert (analysis.simulated, analysis.queries, analysis.reference) == (False, 0, "best logged")
    assert analysis.distance is not None
    assert analysis.distance.never_feasible == ["units"]
    assert analysis.distance.changed_parameters >= 1
    assert set(analysis.changes.single.filter(parameter="cached")["value"]) == {"false"}
    # Nothing lies between texts.
    other = pf.explain_run(own, design={"units": 16, "order": "rows", "clock_ghz": 2.0}, samples=100).distance
    assert other is not None
    assert other.nearest["rank_distance"][0] == 1
    code, out, err = run("explain", own, "--design", "units=16,cached=true", "--plot", "own.svg")
    assert (code, err) == (0, "")
    assert "Values that no feasible logged design has: units 16." in out
    assert "Simulator queries: 0." in out


def test_learned_constraints_and_how_the_design_stands_to_them(own: Path, several: Path, run: Run) -> None:
    manifest = json.loads((own / "manifest.json").read_text())
    (told,) = manifest["result"]["learned_constraints"]["the log"]
    assert told == {
        "constraint": "clock_ghz >= 1",
        "quantity": "clock_ghz",
        "at_least": True,
        "bound": 1.0,
        "infeasible": 30,
    }
    for clock, slack in ((2.0, 2.0), (1.0, 1.0), (0.5, 0.5)):
        analysis = pf.explain_run(own, design={"clock_ghz": clock}, samples=100, most_pairs=0)
        (row,) = analysis.as_dict()["learned_constraints"]
        assert row == told | {"application": "the log", "value": clock, "slack": slack, "kept": slack >= 1.0}
        allowed = analysis.changes.single.filter(pl.col("parameter") != "clock_ghz")["allowed"]
        assert slack >= 1.0 or not allowed.any()
    code, out, _ = run("explain", own, "--design", "clock_ghz=0.5", "--samples", 100, "--pairs", 0)
    assert code == 0
    assert re.search(r"clock_ghz +0\.5 +>= 1 +0\.50x +30\n", out)
    assert "The design breaks clock_ghz >= 1." in out
    # An upper bound on a ratio, and one of an application; none for one without a log.
    surrogate = Surrogate.load(several / "surrogate.safetensors")
    ratio = LearnedConstraint("cores / core_memory", (0, 0, 1, 0, 0, -1, 0, 0, 0, 0), False, 0.01, 9)
    memory = LearnedConstraint("pe_memory_mib", (), True, 3.0, 20)
    surrogate = dataclasses.replace(surrogate, constraints=((), (ratio, memory)))
    finished = dataclasses.replace(read_run(several), surrogate=surrogate)
    values: dict[str, Any] = dict(pf.reference_design("prime-nine-apps").values)
    design = finished.space.designs([values])[0]
    ratio_row, memory_row = learned_constraints(finished, design).to_dicts()
    assert {ratio_row["application"], memory_row["application"]} == {"M5"}
    assert ratio_row["value"] == pytest.approx(values["cores"] / values["core_memory"])
    assert ratio_row["slack"] == pytest.approx(0.01 * values["core_memory"] / values["cores"])
    assert memory_row["value"] == finished.space.metric("pe_memory_mib", design[None])[0]
    assert (ratio_row["kept"], memory_row["kept"]) == (ratio_row["slack"] >= 1, memory_row["slack"] >= 1)
    # What both logged applications show is expected of the one without a log.
    surrogate = dataclasses.replace(surrogate, constraints=((memory,), (memory,)))
    table = learned_constraints(dataclasses.replace(finished, surrogate=surrogate), design)
    assert dict(table.select("application", "infeasible").rows()) == {"M5": 20, "M6": 0}
    analysis = dataclasses.replace(analysis, applications=["M5", "M6"], learned_constraints=table)
    printed = io.StringIO()
    print_analysis(analysis, Console(file=printed, width=80))
    assert re.search(r"pe_memory_mib .* expected +M6\n", printed.getvalue())
    assert "Expected: there is no log of the application" in printed.getvalue()


def test_same_seed_same_analysis(several: Path) -> None:
    first, second = (pf.explain_run(several, samples=100, seed=5).as_dict(pairs=True) for _ in range(2))
    assert first == second
    assert pf.explain_run(several, samples=100, seed=6).as_dict()["importance"] != first["importance"]


def test_command_prints_within_80_columns_and_writes_files(run: Run, several: Path, tmp_path: Path) -> None:
    code, out, err = run(
        "explain", several, "--samples", 100, "--out", "all.parquet", "--plot", "changes.png",
        "--reference", "prime-nine-apps",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines()[4:])) <= 80, out
    for told in (
        "Learned limits",
        "One parameter changed",
        "Best pair as simulated",
        "Sobol",
        "Against PRIME",
        "Nearest",
    ):
        assert told in out
    assert (tmp_path / "changes.png").read_bytes().startswith(b"\x89PNG")
    analysis = pf.explain_run(several, samples=100)
    table = pl.read_parquet(tmp_path / "all.parquet")
    assert table.height == analysis.changes.single.height + analysis.changes.pairs.height
    assert table["second_parameter"].null_count() == analysis.changes.single.height
    code, out, err = run("explain", several, "--samples", 100, "--json", "--out", "all.json")
    assert code == 0
    assert [f"Warning: {warning}" for warning in json.loads(out)["warnings"]] == err.splitlines()
    data, whole = json.loads(out), json.loads((tmp_path / "all.json").read_text())
    assert data.pop("schema") == "prime-fast/explain/1"
    assert data == {name: value for name, value in whole.items() if name != "pairs"}
    assert len(whole["pairs"]) == analysis.changes.pairs.height
    assert data["simulator_queries"] == analysis.queries
    code, _, _ = run("explain", several, "--samples", 100, "--pairs", 10, "--out", "all.csv")
    assert code == 0
    assert pl.read_csv(tmp_path / "all.csv")["second_parameter"].is_not_null().sum() <= 10


USAGE = {
    "no such run": (["nowhere"], "nowhere: no such directory"),
    "no manifest": (["empty"], "no manifest.json in it"),
    "proposal out of range": (["RUN", "--proposal", "5"], "there is no proposal 5: the run has 1 to 4"),
    "proposal 0": (["RUN", "--proposal", "0"], "there is no proposal 0"),
    "unknown reference": (["RUN", "--reference", "edge-tpu-v9"], "did you mean edge-tpu-v"),
    "reference out of range": (["RUN", "--reference", "77"], "there is no proposal 77"),
    "unknown parameter": (["RUN", "--reference", "coers=64"], "did you mean cores"),
    "unknown parameter of a published design": (
        ["RUN", "--reference", "edge-tpu-v1,coers=64"],
        "did you mean cores",
    ),
    "no value": (["RUN", "--reference", "cores="], "--reference: 'cores=' is not of the form"),
    "design outside the space": (["RUN", "--design", "cores=5"], "cores is 5; the space has 4, 8"),
    "text for a number": (["RUN", "--design", "cores=many"], "many"),
    "published design outside the space": (["RUN", "--design", "edge-tpu-v1"], "dram_bandwidth is 17"),
    "changes to the best logged": (["RUN", "--design", "best-logged,cores=4"], "takes no changes"),
    "pairs": (["RUN", "--pairs", "-1"], "most_pairs is -1; it must be at least 0"),
    "samples": (["RUN", "--samples", "5"], "samples is 5; it must be at least 100"),
    "nearest": (["RUN", "--nearest", "0"], "neighbours is 0; it must be at least 1"),
    "threads": (["RUN", "--threads", "0"], "threads is 0; it must be at least 1"),
    "suffix": (["RUN", "--out", "a.xlsx"], ".csv, .parquet or .json"),
    "suffix of the plot": (["RUN", "--plot", "a.gif"], ".png or .svg"),
    "no run": ([], "RUN"),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage_errors(run: Run, one: Path, tmp_path: Path, case: str) -> None:
    (tmp_path / "empty").mkdir()
    args, told = USAGE[case]
    code, out, err = run("explain", *(one if arg == "RUN" else arg for arg in args))
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


def edited(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        file = path / "manifest.json"
        manifest = json.loads(file.read_text())
        change(manifest)
        file.write_text(json.dumps(manifest))

    return edit


def without(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


def cut(name: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        (path / name).write_bytes((path / name).read_bytes()[:-200])

    return edit


def listed(path: Path) -> None:
    (path / "manifest.json").write_text("[]")


def interrupted_early(path: Path) -> None:
    edited(lambda manifest: manifest.update(status="interrupted"))(path)
    (path / "surrogate.safetensors").unlink()


def other_proposals(path: Path) -> None:
    pl.DataFrame({"pes_x": [3]}).write_parquet(path / "proposals.parquet")


BROKEN: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "still running": (edited(lambda m: m.update(status="running")), 2, "still going on"),
    "failed": (edited(lambda m: m.update(status="failed", error="no luck")), 2, "the run failed: no luck"),
    "cut manifest": (cut("manifest.json"), 3, "manifest.json is damaged"),
    "list for a manifest": (listed, 3, "its format is None"),
    "another format": (edited(lambda m: m.update(format=99)), 3, "its format is 99"),
    "field missing": (edited(lambda m: m.pop("limits")), 3, "it lacks `limits`"),
    "field of another kind": (edited(lambda m: m.update(limits="all")), 3, "`limits` is 'all'"),
    "limit of no number": (edited(lambda m: m.update(limits={"area_mm2": None})), 3, "manifest.json"),
    "nameless application": (edited(lambda m: m.update(applications=[3])), 3, "has no name"),
    "several applications of one network": (
        edited(lambda m: m.update(applications=["M4", "M5"])), 3, "doesn't describe a run",
    ),
    "unusable space": (edited(lambda m: m.update(space="pes = ")), 3, "the space in"),
    "another space": (edited(lambda m: m.update(space=OWN)), 3, "trained in another design space"),
    "no surrogate": (without("surrogate.safetensors"), 3, "surrogate.safetensors is missing"),
    "cut surrogate": (cut("surrogate.safetensors"), 3, "is not a readable surrogate"),
    "interrupted in training": (interrupted_early, 2, "interrupted before"),
    "no proposals": (without("proposals.parquet"), 3, "proposals.parquet is missing"),
    "cut proposals": (cut("proposals.parquet"), 3, "proposals.parquet can't be read"),
    "other proposals": (other_proposals, 3, "doesn't hold designs of the run's space"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_runs(run: Run, one: Path, tmp_path: Path, case: str) -> None:
    spoil, code, told = BROKEN[case]
    shutil.copytree(one, tmp_path / "run")
    spoil(tmp_path / "run")
    found, out, err = run("explain", "run")
    assert (found, out) == (code, "")
    assert told in err
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("method", ["random", "best-logged"])
def test_methods_without_a_surrogate(run: Run, one: Path, method: str) -> None:
    log = one.parent / "log.parquet"
    assert run("optimize", "--logs", log, "--method", method, "--out", "run", "--quiet")[0] == 0
    code, out, err = run("explain", "run")
    assert (code, out) == (2, "")
    assert f"method `{method}` leaves no network behind" in err


def test_log_that_changed_or_went(run: Run, one: Path, tmp_path: Path) -> None:
    """The rest is explained; the section about the log says why it is left out."""
    shutil.copytree(one.parent, tmp_path / "all")
    manifest = json.loads((tmp_path / "all/run/manifest.json").read_text())
    log = tmp_path / "all/log.parquet"
    manifest["logs"][0]["sources"][0]["path"] = str(log)
    (tmp_path / "all/run/manifest.json").write_text(json.dumps(manifest))
    assert pf.explain_run(tmp_path / "all/run", samples=100, most_pairs=0).distance is not None
    write_table(pl.read_parquet(log).head(700), log)
    for told in ("has changed since the run", "is not there"):
        code, out, err = run("explain", tmp_path / "all/run", "--samples", 100, "--pairs", 0)
        assert code == 0
        assert told in err
        assert "The distance to the log is left out" in out
        assert "Sobol" in out
        log.unlink(missing_ok=True)
    code, _, err = run("explain", tmp_path / "all/run", "--reference", "best-logged")
    assert (code, "the best logged design is not known" in err) == (3, True)


def test_interrupted_run_is_explained_with_a_warning(one: Path, tmp_path: Path) -> None:
    shutil.copytree(one, tmp_path / "run")
    edited(lambda m: m.update(status="interrupted"))(tmp_path / "run")
    analysis = pf.explain_run(tmp_path / "run", samples=100, most_pairs=0)
    assert any("interrupted" in warning for warning in analysis.warnings)
