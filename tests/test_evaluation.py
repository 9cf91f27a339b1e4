"""Evaluators: functions, commands and the bundled simulator; what fails, what is broken, Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prime_fast.errors import ConfigurationError, DataError, PrimeFastError
from prime_fast.evaluation.commands import CommandEvaluator
from prime_fast.evaluation.evaluators import CallableEvaluator, Evaluator, SimulatorEvaluator, evaluate
from prime_fast.evaluation.results import Designs, checked_results
from prime_fast.simulator import Simulator
from prime_fast.space import DesignSpace

SPACE = DesignSpace.from_toml(
    """
    name = "toy"
    [[parameter]]
    name = "units"
    values = [1, 2, 4, 8]
    [[parameter]]
    name = "order"
    kind = "categorical"
    values = ["rows", "columns"]
    """
)
EVERY = Designs(SPACE, SPACE.ranks(np.arange(SPACE.size, dtype=np.uint64)), "net")
TIMES = [100.0 / units + (0.0 if order == "rows" else 5.0) for units, order in EVERY.frame.rows()]

# A simulator in few words: what it does with a design stands in ACTION.
SIMULATOR = """
import csv, os, sys, time
designs, results, action = sys.argv[1:4]
rows = list(csv.DictReader(open(designs)))
with open(sys.argv[4], "a") as calls:
    calls.write(f"{len(rows)} {os.getpid()}\\n")
units = {int(row["units"]) for row in rows}
if action == "exit" and 8 in units:
    sys.stderr.write("starting\\nno licence for 8 units\\n\\n")
    sys.exit(3)
if action == "exit all":
    sys.exit("out of disk")
if action == "abort" and 8 in units:
    os.abort()
if action == "hang" and 8 in units or action == "hang all":
    if os.fork() == 0:
        time.sleep(600)
    time.sleep(600)
if action == "silent":
    sys.exit(0)
if action == "once":
    if not os.path.exists(results + ".."):
        marker = sys.argv[4] + "." + rows[0]["units"] + rows[0]["order"]
        if not os.path.exists(marker):
            open(marker, "w").close()
            sys.exit("flaky")
def value(row):
    time_ms = 100 / int(row["units"]) + (0 if row["order"] == "rows" else 5)
    bad = {"nan": "nan", "zero": "0", "negative": "-1", "text": "fast", "empty": "", "infinite": "inf"}
    return bad[action] if action in bad and row["units"] == "8" else repr(time_ms)
header = {"column": ["design_id", "runtime"]}.get(action, ["design_id", "time_ms"])
out = [[row["design_id"], value(row)] for row in rows]
if action == "missing":
    out = [row for row, asked in zip(out, rows) if asked["units"] != "8"]
if action == "twice":
    out.append(out[0])
if action == "unknown":
    out[0][0] = "77"
if action == "reversed":
    out.reverse()
if action == "short":
    header, out = header[1:], [row[1:] for row in out[:-1]]
if action == "positions":
    header, out = header[1:], [row[1:] for row in out]
if action == "parameters":
    header = ["units", "order", "time_ms"]
    out = [[row["units"], row["order"], value(row)] for row in rows][::-1]
if action == "rule":
    header += ["feasible", "reason"]
    hot = [asked["units"] == "8" for asked in rows]
    out = [[*row, not bad, "too hot" if bad else ""] for row, bad in zip(out, hot)]
if action == "garbage":
    open(results, "wb").write(b"\\0\\1\\2" * 50)
    sys.exit(0)
if action == "application":
    out = [[row[0], str(len(sys.argv[5]))] for row in out]
with open(results, "w") as file:
    csv.writer(file).writerows([header, *out])
"""

Make = Callable[..., CommandEvaluator]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return evaluators by the simulator above."""
    (tmp_path / "my sim.py").write_text(SIMULATOR)
    (tmp_path / "files").mkdir()

    def made(action: str, extra: str = "", **options: Any) -> CommandEvaluator:
        script, calls = tmp_path / "my sim.py", tmp_path / "calls"
        command = f"{sys.executable} -S -E '{script}' {{designs}} {{results}} '{action}' '{calls}' {extra}"
        return CommandEvaluator(command, "time_ms", directory=tmp_path / "files", **options)

    return made


def calls_of(evaluator: CommandEvaluator) -> list[int]:
    """Return the designs of each call that was made."""
    return [int(line.split()[0]) for line in Path(evaluator.words[7]).read_text().splitlines()]


def test_a_command_gives_what_its_results_say(make: Make, tmp_path: Path) -> None:
    for action, options in (
        ("plain", {}),
        ("plain", {"batch": 3, "parallel": 3}),
        ("reversed", {"parallel": 2}),
        ("positions", {}),
        ("parameters", {"batch": 5}),
    ):
        results = evaluate(make(action, **options), EVERY)
        assert results["time_ms"].to_list() == TIMES, action
        assert results.columns == ["time_ms", "feasible", "reason", "failed"]
        assert results["feasible"].all()
        assert not results["failed"].any()
        assert results["reason"].null_count() == 8
    assert not list((tmp_path / "files").iterdir())


def test_files_are_of_the_format_asked_for(tmp_path: Path) -> None:
    program = (
        "import sys, polars as pl; d = pl.read_parquet(sys.argv[1]); "
        "assert d.schema['units'] == pl.Int64 and d.columns == ['design_id', 'units', 'order']; "
        "d.select('design_id', time_ms=100.0 / pl.col('units')).write_parquet(sys.argv[2])"
    )
    command = f'{sys.executable} -c "{program}" {{designs}} {{results}}'
    evaluator = CommandEvaluator(
        command, "time_ms", directory=tmp_path, designs_format="parquet", results_format="parquet"
    )
    results = evaluate(evaluator, EVERY)
    assert results["time_ms"].to_list() == [100.0, 100.0, 50.0, 50.0, 25.0, 25.0, 12.5, 12.5]


def test_the_application_is_handed_on_as_one_word(make: Make) -> None:
    named = Designs(SPACE, EVERY.ranks[:2], "t-RNN Dec; exit 1")
    results = evaluate(make("application", "{application}"), named)
    assert results["time_ms"].to_list() == [17.0, 17.0]


@pytest.mark.parametrize(
    ("action", "options", "reason"),
    [
        ("exit", {}, "exit code 3: no licence for 8 units"),
        ("exit", {"retries": 1, "parallel": 2, "batch": 3}, "exit code 3: no licence for 8 units"),
        ("abort", {}, "killed by SIGABRT"),
        ("hang", {"seconds": 1.5, "batch": 2}, "not done after 1.5 s"),
        ("missing", {}, "no row in the results"),
        ("nan", {}, "time_ms is NaN"),
        ("zero", {}, "time_ms is 0; it must be positive and finite"),
        ("negative", {}, "time_ms is -1; it must be positive and finite"),
        ("infinite", {}, "time_ms is inf; it must be positive and finite"),
        ("text", {}, "time_ms is 'fast', not a number"),
    ],
)
def test_a_design_that_fails_is_told_from_those_beside_it(
    make: Make, action: str, options: dict[str, Any], reason: str
) -> None:
    results = evaluate(make(action, **options), EVERY)
    assert results["feasible"].to_list() == [True] * 6 + [False] * 2
    assert results["failed"].to_list() == [False] * 6 + [True] * 2
    assert results["reason"].to_list() == [None] * 6 + [reason] * 2
    assert results["time_ms"].to_list() == [*TIMES[:6], None, None]


@pytest.mark.parametrize(("action", "reason"), [("rule", "too hot"), ("empty", "infeasible")])
def test_what_the_simulator_says_is_infeasible_did_not_fail(make: Make, action: str, reason: str) -> None:
    results = evaluate(make(action), EVERY)
    assert results["feasible"].to_list() == [True] * 6 + [False] * 2
    assert results["reason"].to_list() == [None] * 6 + [reason] * 2
    assert not results["failed"].any()


def test_a_call_is_tried_again_before_it_is_split(make: Make) -> None:
    evaluator = make("once", retries=1)
    assert evaluate(evaluator, EVERY)["time_ms"].to_list() == TIMES
    assert calls_of(evaluator) == [8, 8]


def test_a_failing_call_is_split_until_the_design_is_known(make: Make) -> None:
    evaluator = make("exit")
    evaluate(evaluator, EVERY)
    assert calls_of(evaluator) == [8, 4, 4, 2, 2, 1, 1]


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("exit all", "exit code 1: out of disk"),
        ("silent", "no results were written"),
        ("garbage", "the results file is neither Parquet nor CSV text, nor Arrow IPC or JSON lines"),
    ],
)
def test_where_all_fail_each_says_why(make: Make, action: str, reason: str) -> None:
    results = evaluate(make(action), Designs(SPACE, EVERY.ranks[:2]))
    assert results["failed"].all()
    assert results["reason"].to_list() == [reason] * 2


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("column", "lack a column `time_ms`.*; they have design_id, runtime"),
        ("twice", "more than one row of design 0"),
        ("unknown", "a row of design_id 77; it must be one of those asked, 0 to 7"),
        ("short", "7 rows for 8 designs, and no column design_id, nor one for each parameter"),
    ],
)
def test_results_of_no_use_for_any_design_are_an_error(make: Make, action: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(make(action), EVERY)


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("", {}, "the command is empty"),
        ("'sim {designs} {results}", {}, "can't be split: No closing quotation"),
        ("cat {results}", {}, "lacks {designs}, which stands for the file of designs"),
        ("cat {designs}", {}, "lacks {results}"),
        ("cat {design} {results}", {}, r"placeholder {design} \(did you mean designs\?\); known: {designs}"),
        ("no-such-simulator {designs} {results}", {}, "`no-such-simulator` can't be run: there is no such"),
        ("./plain.txt {designs} {results}", {}, "`./plain.txt` can't be run: it is not an executable"),
        ("cat {designs} {results}", {"batch": 0}, "batch is 0; it must be an integer of at least 1"),
        ("cat {designs} {results}", {"parallel": 1.5}, "parallel is 1.5; it must be an integer"),
        ("cat {designs} {results}", {"retries": -1}, "retries is -1; it must be an integer of at least 0"),
        ("cat {designs} {results}", {"seconds": 0.0}, "time limit is 0.0 s; it must be positive"),
        ("cat {designs} {results}", {"results_format": "json"}, "results_format is 'json'; it must be csv"),
    ],
)
def test_a_command_that_can_not_work_is_one_clear_error(
    command: str, options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain.txt").write_text("hello")
    with pytest.raises(ConfigurationError, match=message):
        CommandEvaluator(command, **options)


def test_a_program_that_goes_away_stops_the_evaluation(tmp_path: Path) -> None:
    program = tmp_path / "sim"
    program.write_text("#!/no/such/shell\n")
    program.chmod(0o755)
    with pytest.raises(ConfigurationError, match="can't be run: No such file"):
        evaluate(CommandEvaluator(f"{program} {{designs}} {{results}}", "time_ms"), EVERY)


def alive(pid: int) -> bool:
    """Return whether a process runs (a zombie doesn't)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
def test_ctrl_c_ends_all_processes_and_keeps_what_is_finished(make: Make, tmp_path: Path) -> None:
    evaluator = make("hang", batch=1, parallel=8)
    finished: list[int] = []
    interrupted: list[float] = []

    def interrupt() -> None:
        deadline = time.monotonic() + 60
        while len(finished) < 6 or len(calls_of(evaluator)) < 8:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        interrupted.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        # One by one: what came before the interrupt stays.
        finished.extend(part.first for part in evaluator.evaluate(EVERY))
    ended = time.monotonic()
    thread.join()
    assert sorted(finished) == [0, 1, 2, 3, 4, 5]
    # Within a second; more where the machine is busy.
    assert ended - interrupted[0] < 5.0
    pids = [int(line.split()[1]) for line in (tmp_path / "calls").read_text().splitlines()]
    assert len(pids) == 8
    deadline = time.monotonic() + 5
    # The forked ones are of their parents' groups.
    while (left := [pid for pid in _group_members(pids) if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left
    assert not list((tmp_path / "files").iterdir())


def _group_members(groups: list[int]) -> list[int]:
    """Return the processes of these process groups."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                group = int((entry / "stat").read_text().rpartition(")")[2].split()[2])
            except OSError:
                continue
            if group in groups:
                found.append(int(entry.name))
    return found


def test_a_function_is_an_evaluator() -> None:
    def times(designs: Designs) -> Any:
        assert designs.application == "net"
        return 100.0 / designs.frame["units"].to_numpy()

    results = evaluate(CallableEvaluator(times, "time_ms", batch=3), EVERY)
    assert results["time_ms"].to_list() == [100.0, 100.0, 50.0, 50.0, 25.0, 25.0, 12.5, 12.5]
    table = {"time_ms": [1.0] * 8, "power_w": [2.0] * 7 + [float("nan")], "feasible": [True] * 7 + [False]}
    evaluator = CallableEvaluator(lambda _: table, "time_ms", ["power_w"])
    assert isinstance(evaluator, Evaluator)
    results = evaluate(evaluator, EVERY)
    assert results["power_w"].to_list() == [2.0] * 7 + [None]
    assert results["reason"].to_list() == [None] * 7 + ["infeasible"]
    # The only way in which numbers alone can say it.
    results = evaluate(CallableEvaluator(lambda _: [1.0] * 7 + [float("nan")], "time_ms"), EVERY)
    assert not results["failed"].any()
    assert results["feasible"].to_list() == [True] * 7 + [False]


class OwnError(Exception):
    """What a user's function raises."""


def _answered(answer: object, _: Designs) -> Any:
    return answer


def test_a_function_that_returns_nonsense_or_raises() -> None:
    def broken(_: Designs) -> Any:
        raise OwnError("mine")

    with pytest.raises(OwnError, match="mine"):
        evaluate(CallableEvaluator(broken), EVERY)
    for answer, message in (
        ([1.0], r"returned shape \(1,\) for 8 designs"),
        ("fast", "returned 'fast'; it must return numbers"),
        ({"runtime": [1.0] * 8}, "the evaluator gave no `time_ms`.*, but runtime"),
        ({"time_ms": [1.0]}, "1 rows for 8 designs"),
    ):
        with pytest.raises(DataError, match=message):
            evaluate(CallableEvaluator(partial(_answered, answer), "time_ms"), EVERY)
    with pytest.raises(ConfigurationError, match="it must be callable"):
        CallableEvaluator("sim")  # type: ignore[arg-type]


def test_the_bundled_simulator_is_an_evaluator_too() -> None:
    simulator = Simulator("MobileNetV2")
    designs = Designs(simulator.space, simulator.space.sample(200, 1), "MobileNetV2")
    evaluator = SimulatorEvaluator({"MobileNetV2": simulator}, "latency_us", ["area_mm2"])
    results, scores = evaluate(evaluator, designs), simulator.score(designs.ranks)
    assert results["feasible"].to_list() == scores.feasible.tolist()
    assert results["reason"].to_list() == scores.reasons()
    np.testing.assert_array_equal(results["latency_us"].fill_null(np.nan).to_numpy(), scores.latency_us)
    np.testing.assert_array_equal(results["area_mm2"].to_numpy(), scores.area_mm2)
    assert not results["failed"].any()
    with pytest.raises(ConfigurationError, match="no simulator of M4; there are those of MobileNetV2"):
        evaluate(evaluator, Designs(simulator.space, designs.ranks, "M4"))


entries = st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["1", "2.5", "nan", "inf", "-3", "true"]))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_a_simulator_writes_ends_in_results_or_one_error(data: st.DataObject) -> None:
    names = st.sampled_from(["time_ms", "design_id", "units", "order", "feasible", "reason", "other"])
    columns = data.draw(st.lists(names, unique=True, max_size=7))
    rows = data.draw(st.integers(0, 9))
    table = pl.DataFrame(
        {name: data.draw(st.lists(entries, min_size=rows, max_size=rows)) for name in columns},
        schema=dict.fromkeys(columns, pl.String),
    )
    try:
        results = checked_results(table, EVERY, "time_ms", (), "the results of `sim`")
    except PrimeFastError as error:
        if "\n" in str(error):
            pytest.fail(f"more than one line: {error}")
        return
    assert results.height == len(EVERY)
    good = results.filter("feasible")
    assert good["time_ms"].is_finite().all()
    assert (good["time_ms"] > 0.0).all()
    assert not good["failed"].any()
    assert results.filter(~pl.col("feasible"))["reason"].null_count() == 0
