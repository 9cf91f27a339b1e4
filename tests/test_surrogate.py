"""The surrogate's use: predictions, scores for the search, its file, and what training makes of odd logs."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.search import minimize
from prime_fast.space import DesignSpace
from prime_fast.surrogate import (
    PRESETS,
    Surrogate,
    TrainingData,
    TrainingInterrupted,
    TrainingSettings,
    train,
    training,
)

SPACE = DesignSpace.from_toml(
    """
    name = "toy"
    [[parameter]]
    name = "units"
    values = [1, 2, 4, 8, 16, 32]
    [[parameter]]
    name = "memory"
    values = [64, 128, 256, 512, 1024]
    [[parameter]]
    name = "unroll"
    values = [0, 1, 2, 4]
    [[parameter]]
    name = "order"
    kind = "categorical"
    values = ["rows", "columns", "tiles"]
    """
)
TINY = TrainingSettings(
    width=16, token_width=8, heads=2, feed_forward=16, members=2, steps=60, selection_steps=30, batch=64,
    alphas=(0.0,), betas=(0.0,), checkpoints=1, adversarial_period=5, adversarial_population=16,
)  # fmt: skip


def cost(ranks: np.ndarray) -> np.ndarray:
    """A cost that falls with units and memory, in the manner of a roofline."""
    units, memory, unroll, order = np.asarray(ranks, float).T
    return np.asarray(1000.0 / 2**units + 300.0 / 1.5**memory + 10.0 * (3.0 - unroll) + 7.0 * (order == 1))


def feasible(ranks: np.ndarray) -> np.ndarray:
    """More units need more memory."""
    return np.asarray(ranks[:, 0].astype(int) <= ranks[:, 1].astype(int) + 2)


def logged(keep: Callable[[np.ndarray], np.ndarray] = lambda value: value > 0.0) -> TrainingData:
    """All designs of the toy space whose cost is kept, and all infeasible ones."""
    ranks = SPACE.ranks(np.arange(SPACE.size, dtype=np.uint64))
    good = feasible(ranks)
    rows = ~good | keep(cost(ranks))
    ranks, good = ranks[rows], good[rows]
    return TrainingData(SPACE, ranks, np.where(good, cost(ranks), np.nan), good)


@pytest.fixture(scope="module")
def trained() -> Surrogate:
    return train(logged(), TINY, seed=3)


def test_the_search_on_the_surrogate_finds_designs_better_than_the_log() -> None:
    everything = logged()
    best = np.nanmin(everything.objective)
    data = logged(lambda value: value > 2.0 * best)
    settings = replace(TINY, width=64, members=4, steps=600)
    surrogate = train(data, settings, seed=0)
    found = minimize(SPACE, surrogate.search_score, evaluations=2000, keep=8).designs
    assert feasible(found).mean() >= 0.75
    assert cost(found[feasible(found)]).min() < 1.5 * best


@pytest.mark.parametrize("architecture", ["mlp", "transformer"])
def test_both_architectures_learn_save_and_load(architecture: Any, tmp_path: Path) -> None:
    data = logged()
    data = replace(data, metrics={"power_w": np.where(data.feasible, 2.0 + data.ranks[:, 0], np.nan)})
    surrogate = train(data, replace(TINY, architecture=architecture, blocks=1, steps=150), seed=-7)
    prediction = surrogate.predict(data.ranks)
    rows = data.feasible
    assert np.corrcoef(np.log(prediction.objective[rows]), np.log(data.objective[rows]))[0, 1] > 0.9
    assert np.corrcoef(prediction.metrics["power_w"][rows], data.metrics["power_w"][rows])[0, 1] > 0.8
    assert prediction.feasible_probability[rows].mean() > prediction.feasible_probability[~rows].mean() + 0.3
    assert (prediction.deviation >= 0.0).all()

    path = tmp_path / "surrogate.safetensors"
    surrogate.save(path)
    again = Surrogate.load(path)
    for one, other in zip(prediction[:3], again.predict(data.ranks)[:3], strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.space == SPACE
    assert (again.seed, again.log_sha256, again.settings) == (-7, data.sha256, surrogate.settings)
    assert again.selection == surrogate.selection
    with safetensors.safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["prime_fast"])
    assert {"jax", "equinox", "optax"} <= header["versions"].keys()
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_seed_gives_the_same_surrogate_however_the_steps_are_grouped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = replace(TINY, alphas=(0.1,), betas=(0.1,))
    results = []
    for seconds in (0.0, 10.0):
        monkeypatch.setattr(training, "CHUNK_SECONDS", seconds)
        results.append(train(logged(), settings, seed=5).predict(logged().ranks).objective)
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], train(logged(), settings, seed=6).predict(logged().ranks).objective)


def test_padding_and_a_reused_buffer_change_nothing(trained: Surrogate) -> None:
    ranks = np.concatenate([logged().ranks] * 8)[:2100]
    scores, violations = trained.search_score(ranks)
    assert scores.shape == violations.shape == (2100,)
    for count in (0, 1, 1023, 1024, 1025):
        np.testing.assert_array_equal(trained.search_score(ranks[:count])[0], scores[:count])
    buffer = np.empty((64, 4), np.uint8)
    kept = []
    for start in range(0, 640, 64):
        buffer[:] = ranks[start : start + 64]
        kept.append(trained.search_score(buffer)[0])
        buffer[:] = 0
    np.testing.assert_array_equal(np.concatenate(kept), scores[:640])


def test_scores_rise_with_pessimism_and_violations_with_gate_and_learned_limits() -> None:
    data = logged()
    data = replace(data, metrics={"power_w": np.where(data.feasible, 2.0 + data.ranks[:, 0], np.nan)})
    surrogate = train(data, TINY, seed=0)
    scores, violations = surrogate.search_score(data.ranks)
    probability = surrogate.predict(data.ranks).feasible_probability
    np.testing.assert_array_equal(violations > 0.0, probability < TINY.gate)
    careful = replace(surrogate, settings=replace(TINY, pessimism=2.0, gate=0.9))
    higher, more = careful.search_score(data.ranks)
    assert (higher > scores).all()
    np.testing.assert_array_equal(more > 0.0, probability < 0.9)
    _, limited = surrogate.search_score(data.ranks, limits={"power_w": 3.0})
    over = surrogate.predict(data.ranks).metrics["power_w"] > 3.0
    assert over.any()
    np.testing.assert_array_equal(limited > violations, over)


@pytest.mark.parametrize(
    "ranks",
    [np.zeros((2, 3), np.uint8), np.zeros(4, np.uint8), np.zeros((2, 4)), np.full((2, 4), 6, np.uint8),
     np.full((2, 4), -1)],
)  # fmt: skip
def test_designs_outside_the_space_are_refused(trained: Surrogate, ranks: np.ndarray) -> None:
    with pytest.raises(DataError, match="rank"):
        trained.predict(ranks)


def _with_header(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    with safetensors.safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["prime_fast"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header)
    path.write_bytes(safetensors.numpy.save(tensors, {"prime_fast": json.dumps(header)}))


def _with_tensors(path: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors)
    path.write_bytes(safetensors.numpy.save(tensors, metadata))


def _first(tensors: dict[str, np.ndarray]) -> str:
    return sorted(tensors)[0]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "cut header": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "giant header": lambda path: path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:]),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"prime_fast": 1})),
    "foreign": lambda path: path.write_bytes(safetensors.numpy.save({"a": np.zeros(3, np.float32)})),
    "no JSON": lambda path: path.write_bytes(safetensors.numpy.save({"a": np.zeros(3)}, {"prime_fast": "{"})),
    "a list": lambda path: path.write_bytes(safetensors.numpy.save({"a": np.zeros(3)}, {"prime_fast": "[]"})),
    "deep JSON": lambda path: path.write_bytes(
        safetensors.numpy.save({"a": np.zeros(3)}, {"prime_fast": "[" * 100_000})
    ),
    "other version": lambda path: _with_header(path, lambda h: h.update(format="prime-fast-surrogate/99")),
    "no space": lambda path: _with_header(path, lambda h: h.pop("space")),
    "bad space": lambda path: _with_header(path, lambda h: h.update(space="name = 3")),
    "other space": lambda path: _with_header(
        path, lambda h: h.update(space=DesignSpace.bundled("prime").to_toml())
    ),
    "giant": lambda path: _with_header(path, lambda h: h["settings"].update(width=2**31 - 1)),
    "deep": lambda path: _with_header(path, lambda h: h["settings"].update(depth=2**31 - 1)),
    "many members": lambda path: _with_header(path, lambda h: h.update(members=10**15)),
    "negative members": lambda path: _with_header(path, lambda h: h.update(members=-1)),
    "unknown setting": lambda path: _with_header(path, lambda h: h["settings"].update(__class__="os.system")),
    "NaN setting": lambda path: _with_header(path, lambda h: h["settings"].update(gate=float("nan"))),
    "scale of text": lambda path: _with_header(path, lambda h: h.update(objective="x")),
    "scale of zero": lambda path: _with_header(path, lambda h: h["objective"].update(deviation=0.0)),
    "metrics of text": lambda path: _with_header(path, lambda h: h.update(metrics="x")),
    "seed of text": lambda path: _with_header(path, lambda h: h.update(seed="x")),
    "wrong shape": lambda path: _with_tensors(path, lambda t: t.update({_first(t): t[_first(t)][:1]})),
    "wrong type": lambda path: _with_tensors(
        path, lambda t: t.update({_first(t): t[_first(t)].astype(np.int8)})
    ),
    "NaN tensor": lambda path: _with_tensors(path, lambda t: t[_first(t)].fill(np.nan)),
    "tensor lost": lambda path: _with_tensors(path, lambda t: t.pop(_first(t))),
    "tensor added": lambda path: _with_tensors(path, lambda t: t.update(more=np.zeros(3, np.float32))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_hostile_file_is_one_clear_error(
    damage: str, trained: Surrogate, tmp_path: Path
) -> None:
    path = tmp_path / "surrogate.safetensors"
    trained.save(path)
    DAMAGES[damage](path)
    with pytest.raises(DataError, match=r"surrogate\.safetensors is not a (readable|usable) surrogate: \S+"):
        Surrogate.load(path)


def test_a_surrogate_that_cannot_be_written_leaves_nothing(trained: Surrogate, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't write"):
        trained.save(tmp_path / "missing" / "surrogate.safetensors")
    assert not list(tmp_path.iterdir())


def test_training_stops_when_asked_to() -> None:
    asked: list[float] = []

    def should_stop() -> bool:
        asked.append(time.monotonic())
        return len(asked) > 40

    settings = replace(TINY, steps=10**7, width=128, batch=512)
    with pytest.raises(TrainingInterrupted) as caught:
        train(logged(), settings, seed=0, should_stop=should_stop)
    assert caught.value.exit_code == 130
    # The first calls hold the compilation; a busy machine gets some slack over the aimed 0.1 s.
    assert np.median(np.diff(asked[10:])) < 0.2


def test_progress_and_records_tell_of_every_phase() -> None:
    steps: list[tuple[int, int]] = []
    records: list[dict[str, Any]] = []
    settings = replace(TINY, alphas=(0.0, 0.1), betas=(0.0, 0.1), checkpoints=2)
    surrogate = train(
        logged(), settings, seed=0, progress=lambda *done: steps.append(done), record=records.append
    )
    assert steps[-1] == (90, 90)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    # Predictions of held-out designs are a table of their own.
    assert [record["event"] for record in records].count("held_out") == 1
    records = [record for record in records if record["event"] != "held_out"]
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    candidates = [record for record in records if record["event"] == "candidate"]
    assert {(r["alpha"], r["beta"], r["share"]) for r in candidates} == {
        (alpha, beta, share) for alpha in (0.0, 0.1) for beta in (0.0, 0.1) for share in (0.5, 1.0)
    }
    assert all(-1.0 <= record["tau"] <= 1.0 and 0.0 <= record["auroc"] <= 1.0 for record in candidates)
    assert all(0.0 <= record["ece"] <= 1.0 for record in candidates)
    assert {record["phase"] for record in records if record["event"] == "step"} == {"selection", "fit"}
    [selected] = (record for record in records if record["event"] == "selected")
    assert dict(surrogate.selection).items() <= selected.items()


def test_no_stronger_push_is_chosen_without_a_clear_gain_in_rank_correlation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = replace(TINY, alphas=(0.0, 0.1), betas=(0.0,), members=2)
    monkeypatch.setattr("scipy.stats.kendalltau", _Taus([0.50, 0.51]))
    assert train(logged(), settings).selection["alpha"] == 0.0
    monkeypatch.setattr("scipy.stats.kendalltau", _Taus([0.20, 0.80]))
    assert train(logged(), settings).selection["alpha"] == 0.1
    # Two checkpoints of each candidate, in turn.
    monkeypatch.setattr("scipy.stats.kendalltau", _Taus([0.52, 0.51, 0.50, 0.53]))
    chosen = train(logged(), replace(settings, checkpoints=2)).selection
    assert (chosen["alpha"], chosen["share"]) == (0.0, 1.0)


class _Taus:
    """Stands in for Kendall's tau: the given values, in turn."""

    def __init__(self, taus: list[float]) -> None:
        self.taus = iter(taus)

    def __call__(self, *_: object) -> Any:
        return type("Result", (), {"statistic": next(self.taus)})


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    # Right at the ends; in the bin of 0.7 as many of both kinds; wrong by the whole.
    assert training._ece(np.array([1.0, 1.0]), np.array([0.0])) == 0.0
    assert training._ece(np.array([0.75]), np.array([0.75])) == pytest.approx(0.25)
    assert training._ece(np.array([0.0]), np.array([1.0])) == 1.0
    # One of two feasible designs alone in its bin; three quarters of all in that of 0.6, a third feasible.
    found = training._ece(np.array([0.9, 0.6]), np.array([0.6]))
    assert found == pytest.approx(0.25 * 0.1 + 0.75 * (0.6 - 1 / 3))


def _some(data: TrainingData, good: int, bad: int) -> TrainingData:
    rows = np.concatenate([np.flatnonzero(data.feasible)[:good], np.flatnonzero(~data.feasible)[:bad]])
    return TrainingData(SPACE, data.ranks[rows], data.objective[rows], data.feasible[rows])


def test_a_log_without_infeasible_designs_has_no_gate() -> None:
    surrogate = train(_some(logged(), 200, 0), replace(TINY, betas=(0.0, 0.1)), seed=0)
    assert not surrogate.has_gate
    assert (surrogate.predict(logged().ranks).feasible_probability == 1.0).all()
    assert (surrogate.search_score(logged().ranks)[1] == 0.0).all()


def test_a_small_log_is_learned_without_a_choice_of_the_push() -> None:
    surrogate = train(_some(logged(), 30, 1), replace(TINY, alphas=(0.0, 0.1)), seed=0)
    assert surrogate.selection["alpha"] == 0.0
    assert "too few" in surrogate.selection["reason"]
    assert np.isfinite(surrogate.predict(logged().ranks).objective).all()


def test_contradictory_rows_are_averaged() -> None:
    data = _some(logged(), 60, 20)
    twice = TrainingData(
        SPACE,
        np.concatenate([data.ranks, data.ranks]),
        np.concatenate([data.objective, 4.0 * data.objective]),
        np.concatenate([data.feasible, data.feasible]),
    )
    surrogate = train(twice, replace(TINY, steps=300), seed=0)
    rows = data.feasible
    ratio = surrogate.predict(data.ranks[rows]).objective / data.objective[rows]
    assert 1.6 < np.median(ratio) < 2.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: _some(data, 1, 0), "1 feasible designs; training needs at least 10"),
        (lambda data: _some(data, 0, 20), "0 feasible"),
        (lambda data: replace(data, objective=np.where(data.feasible, 3.0, np.nan)), "nothing to learn"),
        (lambda data: replace(data, objective=np.full(len(data.ranks), np.nan)), "positive and finite"),
        (
            lambda data: replace(data, objective=np.where(data.feasible, np.inf, np.nan)),
            "positive and finite",
        ),
        (lambda data: replace(data, objective=-data.objective), "positive and finite"),
        (lambda data: replace(data, objective=data.objective[1:]), "objective has shape"),
        (lambda data: replace(data, feasible=data.feasible.astype(int)), "must be bool"),
        (lambda data: replace(data, ranks=data.ranks + 3), "rank"),
        (lambda data: replace(data, metrics={"area": np.full(len(data.ranks), np.inf)}), "area"),
    ],
)
def test_a_log_that_teaches_nothing_is_refused(
    change: Callable[[TrainingData], TrainingData], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        change(logged())


@pytest.mark.parametrize("changes", [{}, {"alphas": (0.1,), "adversarial_period": 1}])
def test_divergence_is_told_with_its_step(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"diverged at step \d+ of the (fit|selection)"):
        train(logged(), replace(TINY, learning_rate=1e30, steps=200, **changes), seed=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("architecture", "tree"), ("width", 0), ("depth", 10**9), ("members", 1.5), ("steps", True),
        ("learning_rate", 0.0), ("learning_rate", float("inf")), ("alphas", (float("nan"),)), ("alphas", ()),
        ("betas", (-0.1,)), ("betas", [0.1]), ("holdout", 1.0), ("gate", float("nan")), ("heads", 3),
        ("constraint_chance", 0.0), ("constraint_chance", 1.0), ("constraint_chance", float("nan")),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"training setting .* must be"):
        TrainingSettings(**{name: value})


def test_settings_survive_json_and_presets_are_known_by_budget() -> None:
    for settings in [*PRESETS.values(), TrainingSettings.preset("quick", "transformer")]:
        assert TrainingSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    with pytest.raises(ConfigurationError, match="unknown budget"):
        TrainingSettings.preset("hasty")
    with pytest.raises(ConfigurationError, match="architecture"):
        TrainingSettings.preset("quick", "tree")
