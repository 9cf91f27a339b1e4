"""Searches that are saved, loaded, copied and sent to other processes go on as if nothing had happened."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search_problems import FEASIBLE, PRIME, SMALL, Ranks, distance, error_of, problem, same

import prime_fast as pf
from prime_fast.search import METHODS, Optimizer, SearchResult, minimize

FIXTURES = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def reloaded(optimizer: Optimizer, path: Path) -> Optimizer:
    optimizer.save(path)
    return Optimizer.load(path)


# --- saved and loaded -------------------------------------------------------------------------------------


@settings(FIXTURES, max_examples=25)
@given(
    method=st.sampled_from(METHODS),
    seed=st.integers(-(1 << 70), 1 << 70),
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=12),
    cut=st.floats(0, 1),
    asked=st.booleans(),
    warm=st.booleans(),
    limit=st.sampled_from([7.0, 40.0]),
)
def test_a_loaded_search_asks_the_same(
    tmp_path: Path,
    method: str,
    seed: int,
    sizes: list[int],
    cut: float,
    asked: bool,
    warm: bool,
    limit: float,
) -> None:
    options, score = problem(method)
    optimizer = Optimizer(SMALL, seed=seed, keep=5, limits={"sum": limit}, **options)
    if warm:
        start = SMALL.sample(80, seed=abs(seed) % 1000)
        optimizer.start_with(start[:40])
        optimizer.start_with(start[40:], score(start[40:]), start[40:, 0] > 4)
    copy = None
    for batch, size in enumerate(sizes):
        here = batch == int(cut * (len(sizes) - 1))
        if here and not asked:
            copy = reloaded(optimizer, tmp_path / "state")
        ranks = optimizer.ask(size)
        if here and asked:
            # The batch that is out is out of the copy too.
            copy = reloaded(optimizer, tmp_path / "state")
            np.testing.assert_array_equal(copy.due, ranks)
        elif copy is not None:
            np.testing.assert_array_equal(copy.ask(size), ranks)
        if len(ranks):
            optimizer.tell(score(ranks), ranks[:, 1] > 5)
            if copy is not None:
                copy.tell(score(ranks), ranks[:, 1] > 5)
    assert copy is not None
    assert copy.evaluations == optimizer.evaluations
    more = optimizer.evaluations + 200
    assert same(copy.minimize(score, evaluations=more), optimizer.minimize(score, evaluations=more))


class Cut:
    """A scorer that fails at one of its calls."""

    def __init__(self, scorer: Any, call: int, error: BaseException) -> None:
        self.scorer, self.call, self.error = scorer, call, error
        self.calls = 0

    def __call__(self, ranks: Ranks) -> Any:
        self.calls += 1
        if self.calls == self.call:
            raise self.error
        return self.scorer(ranks)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ConnectionError("lost")])
@pytest.mark.parametrize("call", [2, 5])
def test_a_run_that_was_cut_goes_on(
    tmp_path: Path, method: str, overlap: bool, error: BaseException, call: int
) -> None:
    options, score = problem(method)
    run: dict[str, Any] = {"evaluations": 1450, "batch": 200, "overlap": overlap}
    whole = Optimizer(SMALL, **options).minimize(score, record=True, **run)
    optimizer = Optimizer(SMALL, **options)
    scorer = Cut(score, call, error)
    if isinstance(error, KeyboardInterrupt):
        found = optimizer.minimize(scorer, **run)
        assert found.stopped_by == "interrupt"
    else:
        with pytest.raises(type(error)) as caught:
            optimizer.minimize(scorer, **run)
        found = caught.value.search_result  # type: ignore[attr-defined]
    assert found.evaluations == (call - 1) * 200
    # The batch that was not scored is due, and is scored first.
    assert whole.told is not None
    np.testing.assert_array_equal(
        SMALL.indices(optimizer.due), whole.told[0][found.evaluations : found.evaluations + 200]
    )
    copies = [reloaded(optimizer, tmp_path / "state"), pickle.loads(pickle.dumps(optimizer)), optimizer]  # noqa: S301
    for copy in copies:
        resumed = copy.minimize(score, record=True, **run)
        assert same(resumed, whole)
        assert resumed.evaluated().equals(whole.evaluated())


def test_a_search_of_which_nothing_was_asked(tmp_path: Path) -> None:
    for method in METHODS:
        options, score = problem(method)
        loaded = reloaded(Optimizer(SMALL, seed=3, **options), tmp_path / "state")
        assert same(
            loaded.minimize(score, evaluations=300),
            minimize(SMALL, score, seed=3, evaluations=300, **options),
        )


def test_options_and_numbers_of_numpy_are_kept(tmp_path: Path) -> None:
    optimizer = Optimizer(
        SMALL,
        seed=np.int64(5),  # type: ignore[arg-type]
        keep=np.int32(3),  # type: ignore[arg-type]
        limits={"sum": np.float32(30.0)},  # type: ignore[dict-item]
        population=np.uint8(77),  # type: ignore[arg-type]
    )
    loaded = reloaded(optimizer, tmp_path / "state")
    found = loaded.minimize(distance, evaluations=1000, batch=100)
    assert same(found, optimizer.minimize(distance, evaluations=1000, batch=100))
    assert same(
        found,
        minimize(
            SMALL, distance, seed=5, keep=3, limits={"sum": 30}, population=77, evaluations=1000, batch=100
        ),
    )
    assert found.designs.shape == (3, 5)


def test_a_search_that_finds_nothing_feasible_can_be_saved(tmp_path: Path) -> None:
    optimizer = Optimizer(SMALL, limits={"sum": 1.0})
    found = optimizer.minimize(distance)
    assert found.stopped_by == "infeasible"
    assert same(reloaded(optimizer, tmp_path / "state").minimize(distance), found)
    # Where it gives up before all was looked at, the next try is another, after loading too.
    optimizer = Optimizer(PRIME, limits={"area_mm2": 0.1})
    first = optimizer.minimize(distance).note
    assert reloaded(optimizer, tmp_path / "state").minimize(distance).note != first


def test_saving_is_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "state"
    optimizer = Optimizer(SMALL)
    optimizer.save(path)
    loads = 0
    done = threading.Event()

    def save() -> None:
        for _ in range(60):
            optimizer.tell(distance(optimizer.ask(50)))
            optimizer.save(path)
        done.set()

    thread = threading.Thread(target=save)
    thread.start()
    evaluations = [0]
    while not done.is_set():
        evaluations.append(Optimizer.load(path).evaluations)
        loads += 1
    thread.join()
    assert loads > 0
    assert evaluations == sorted(evaluations)
    assert Optimizer.load(path).evaluations == 3000
    # Where it can't be written, the old one stays and nothing is left about.
    message = error_of(optimizer.save, tmp_path / "missing" / "state")
    assert "missing" in message
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


# --- copied and sent --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_copies_go_their_own_way(method: str) -> None:
    options, score = problem(method)
    optimizer = Optimizer(SMALL, **options)
    optimizer.minimize(score, evaluations=400, batch=100)
    for copy in (pickle.loads(pickle.dumps(optimizer)), deepcopy(optimizer)):  # noqa: S301
        ranks = copy.ask(100)
        copy.tell(score(ranks))
        assert (copy.evaluations, optimizer.evaluations) == (500, 400)
    np.testing.assert_array_equal(optimizer.ask(100), ranks)


def search(optimizer: Optimizer) -> tuple[SearchResult, Optimizer]:
    """Run a search in a process of its own."""
    _, score = problem(optimizer._setup["method"])
    return optimizer.minimize(score, evaluations=900, batch=150), optimizer


def test_searches_run_in_processes() -> None:
    optimizers = []
    for method in METHODS:
        options, score = problem(method)
        optimizer = Optimizer(SMALL, seed=8, **options)
        optimizer.minimize(score, evaluations=300, batch=150)
        optimizers.append(optimizer)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for optimizer, (found, after) in zip(optimizers, pool.map(search, optimizers), strict=True):
            here, _ = search(optimizer)
            assert same(found, here)
            np.testing.assert_array_equal(after.ask(50), optimizer.ask(50))


# --- files that are no saved search -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    optimizer = Optimizer(SMALL, limits={"sum": 20.0}, population=30)
    optimizer.start_with(FEASIBLE[:10])
    optimizer.start_with(FEASIBLE[10:20], np.arange(10.0))
    optimizer.minimize(distance, evaluations=100, batch=30, overlap=True)
    path = tmp_path_factory.mktemp("state") / "state"
    optimizer.save(path)
    return path.read_bytes()


def loads_or_says_why(path: Path) -> None:
    try:
        loaded = Optimizer.load(path)
    except pf.DataError as error:
        said = str(error)
    else:
        loaded.minimize(distance, evaluations=300, batch=50)
        return
    assert str(path) in said


@settings(FIXTURES, max_examples=200)
@given(data=st.data())
def test_damaged_bytes(state: bytes, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(state)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["change", "cut", "remove", "insert"])):
            case "change":
                content[position] = data.draw(st.integers(0, 255))
            case "cut":
                del content[position + 1 :]
            case "remove":
                del content[position]
            case _:
                content[position:position] = data.draw(st.binary(min_size=1, max_size=9))
        if not content:
            break
    path = tmp_path / "damaged"
    path.write_bytes(content)
    loads_or_says_why(path)


# What may stand where a header has something else; sizes small enough to be tried out.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 80), 1 << 80)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([*METHODS, "sum", "near"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ARRAYS = ("events", "start", "start_scores", "start_violations", "indices", "scores", "violations")


@settings(FIXTURES, max_examples=200)
@given(data=st.data())
def test_hostile_content(state: bytes, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(state)
    with safetensors.safe_open(path, framework="numpy") as file:
        header: dict[str, Any] = json.loads(file.metadata()["prime_fast"])
    arrays = safetensors.numpy.load(state)
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(header)))
        target = header
        if isinstance(header[name], dict) and data.draw(st.booleans()):
            target, name = header[name], data.draw(st.sampled_from([*header[name], "journal", "space"]))
        if data.draw(st.booleans()):
            target[name] = data.draw(JSON)
        else:
            target.pop(name, None)
    else:
        name = data.draw(st.sampled_from(ARRAYS))
        match data.draw(st.sampled_from(["drop", "shorten", "change", "dtype", "events"])):
            case "drop":
                del arrays[name]
            case "shorten":
                arrays[name] = arrays[name][: data.draw(st.integers(0, len(arrays[name]) - 1))].copy()
            case "change":
                array = arrays[name].reshape(-1)
                value = data.draw(st.sampled_from([0, 1, 3, 255, np.inf, np.nan, -1, 1 << 63]))
                with np.errstate(invalid="ignore"):
                    array[data.draw(st.integers(0, len(array) - 1))] = np.array(value).astype(array.dtype)
            case "dtype":
                dtype = data.draw(st.sampled_from(["i8", "f4", "u1", "u2", "bool", "c8"]))
                with np.errstate(invalid="ignore"):
                    arrays[name] = np.asarray(arrays[name].real).astype(dtype)
            case _:
                pairs = st.tuples(st.integers(0, 5), st.sampled_from([0, 1, 30, 10_000, 1 << 62]))
                events = data.draw(st.lists(pairs, max_size=6))
                arrays["events"] = np.array(events, np.uint64).reshape(-1)
    path.write_bytes(safetensors.numpy.save(arrays, {"prime_fast": json.dumps(header)}))
    loads_or_says_why(path)


def test_files_of_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert str(path) in error_of(Optimizer.load, path, kind=pf.DataError)
    assert str(tmp_path) in error_of(Optimizer.load, tmp_path, kind=pf.DataError)
    for content in (b"", b"\0" * 100, b"PAR1" * 9, pickle.dumps({"a": 1}), b"\xff" * 16):
        path.write_bytes(content)
        assert str(path) in error_of(Optimizer.load, path, kind=pf.DataError)
    for metadata in (None, {"other": "1"}, {"prime_fast": "no JSON"}, {"prime_fast": "[" * 100_000}):
        path.write_bytes(safetensors.numpy.save({"weights": np.zeros(3)}, metadata))
        assert str(path) in error_of(Optimizer.load, path, kind=pf.DataError)


def test_what_does_not_fit_is_said(state: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(state)
    with safetensors.safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["prime_fast"])
    arrays = safetensors.numpy.load(state)

    def refused(**changes: Any) -> str:
        content = safetensors.numpy.save(arrays, {"prime_fast": json.dumps(header | changes)})
        path.write_bytes(content)
        return error_of(Optimizer.load, path, kind=pf.DataError)

    assert "its format is 'prime-fast search 9'; this version reads " in refused(format="prime-fast search 9")
    assert "not those that this version proposes" in refused(seed=1)
    assert "unknown method `gentic`" in refused(method="gentic")
    assert "its space" in refused(space="name = 3")
    arrays["scores"] = arrays["scores"].astype(np.float32)
    assert "its array 'scores' is float32" in refused()
