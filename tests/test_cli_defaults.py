"""Options from the environment and from prime-fast.toml: which comes first, and what a mistake there says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]
SOLVE = ("solve", "--app", "M4", "--json")


def limits(run: Run, *args: str) -> dict[str, float]:
    code, out, err = run(*SOLVE, *args)
    assert code == 0, err
    found: dict[str, float] = json.loads(out)["limits"]
    return found


def test_command_line_environment_file_default(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limits(run) == {}
    (tmp_path / "prime-fast.toml").write_text('[solve]\nlimit = ["area_mm2=50", "latency_us=900"]\n')
    assert limits(run) == {"area_mm2": 50.0, "latency_us": 900.0}
    monkeypatch.setenv("PRIME_FAST_SOLVE_LIMIT", "area_mm2=40,latency_us=800")
    assert limits(run) == {"area_mm2": 40.0, "latency_us": 800.0}
    assert limits(run, "--limit", "area_mm2=30") == {"area_mm2": 30.0}
    monkeypatch.setenv("PRIME_FAST_SOLVE_LIMIT", "")
    assert limits(run) == {"area_mm2": 50.0, "latency_us": 900.0}


def test_file_as_table_flag_list_and_for_a_command_of_a_group(run: Run, tmp_path: Path) -> None:
    (tmp_path / "prime-fast.toml").write_text(
        "[solve]\nlimit = { area_mm2 = 35 }\napp = ['t-RNN Enc', 'M4']\njson = true\n"
        "objective = 'energy_uj'\n"
        "[logs.generate]\ndesigns = 70\nseed = 3\n[space.inspect]\nquiet = false\n"
    )
    code, out, err = run("solve")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["applications"] == ["t-RNN Enc", "M4"]
    assert (told["limits"], told["objective"]) == ({"area_mm2": 35.0}, "geometric mean of energy")
    code, out, _ = run("logs", "generate", "--app", "M4", "--out", "log.csv")
    assert (code, out.startswith("log.csv: 70 designs")) == (0, True)


def test_names_with_blanks_and_flags_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIME_FAST_SOLVE_APP", "t-RNN Enc,M4")
    monkeypatch.setenv("PRIME_FAST_SOLVE_JSON", "1")
    code, out, err = run("solve", "--limit", "area_mm2=29")
    assert (code, err) == (0, "")
    assert json.loads(out)["applications"] == ["t-RNN Enc", "M4"]


def test_file_named_or_found_up_to_the_repository(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prime-fast.toml").write_text("[solve]\nlimit = ['area_mm2=50']\n")
    inner = tmp_path / "repository" / "design"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    # Outside a repository only the working directory counts.
    assert limits(run) == {}
    (tmp_path / ".git").mkdir()
    assert limits(run) == {"area_mm2": 50.0}
    # Nothing beyond the root of a repository.
    (tmp_path / "repository" / ".git").mkdir()
    assert limits(run) == {}
    (tmp_path / "repository" / "prime-fast.toml").write_text("[solve]\nlimit = ['area_mm2=45']\n")
    assert limits(run) == {"area_mm2": 45.0}
    (tmp_path / "other.toml").write_text("[solve]\nlimit = ['area_mm2=40']\n")
    monkeypatch.setenv("PRIME_FAST_CONFIG", str(tmp_path / "other.toml"))
    assert limits(run) == {"area_mm2": 40.0}
    code, out, _ = run("--config", tmp_path / "prime-fast.toml", *SOLVE)
    assert (code, json.loads(out)["limits"]) == (0, {"area_mm2": 50.0})
    code, out, err = run("--config", "nowhere.toml", *SOLVE)
    assert (code, out, "nowhere.toml" in err) == (2, "", True)


BAD_FILES = {
    "no TOML": ("[solve", "prime-fast.toml: "),
    "unknown command": ("[slve]\nseconds = 1", "there is no command `slve` (did you mean solve?)"),
    "unknown command of a group": ("[logs.inspct]\n", "`logs inspct` (did you mean inspect?)"),
    "no table": ("solve = 3", "`solve` is 3; expected a table, [solve]"),
    "option outside a table": ("[logs]\nseed = 1", "there is no command `logs seed`"),
    "unknown option": ("[solve]\nlimt = 1", "[solve] limt: solve has no such option (did you mean limit?)"),
    "argument": ("[explain]\nrun = 'x'", "[explain] run: explain has no such option"),
    "underscore": ("[optimize]\nlearn_from = []", "(did you mean learn-from?)"),
    "unknown choice": ("[solve]\nobjective = 'enrgy'", "(did you mean energy_uj?)"),
    "text for a number": ("[solve]\nthreads = 'two'", "[solve] threads: 'two' is not a valid integer"),
    "half a thread": ("[solve]\nthreads = 1.5", "[solve] threads: '1.5' is not a valid integer"),
    "truth for a number": ("[solve]\nthreads = true", "[solve] threads: True is no text or number"),
    "number for a flag": ("[solve]\njson = 1", "[solve] json: 1 is not true or false"),
    "one for a list": ("[solve]\nlimit = 'area_mm2=29'", 'is no list; write ["area_mm2=29"]'),
    "list for one": ("[solve]\nspace = ['prime']", "[solve] space: ['prime'] is no text or number"),
    "limit without a value": ("[solve]\nlimit = ['area_mm2']", "'area_mm2' is not of the form NAME=VALUE"),
    "limit that is no number": ("[solve]\nlimit = { area_mm2 = 'big' }", "'big' in 'area_mm2=big' is not"),
    "date": ("[solve]\nseconds = 2026-01-01", "is no text or number"),
    "another command's": (
        "[sweep]\nkeeps = 3",
        "[sweep] keeps: sweep has no such option (did you",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file(run: Run, tmp_path: Path, case: str) -> None:
    text, told = BAD_FILES[case]
    (tmp_path / "prime-fast.toml").write_text(text + "\n")
    code, out, err = run(*SOLVE)
    assert (code, out) == (2, "")
    assert told in err
    assert str(tmp_path / "prime-fast.toml") in err
    assert err.count("\n") == 1


def test_file_of_an_editor_that_marks_utf_8(run: Run, tmp_path: Path) -> None:
    (tmp_path / "prime-fast.toml").write_text("[solve]\nlimit = ['area_mm2=50']\n", encoding="utf-8-sig")
    assert limits(run) == {"area_mm2": 50.0}


def test_file_that_is_no_text(run: Run, tmp_path: Path) -> None:
    (tmp_path / "prime-fast.toml").write_bytes(b"\xff\xfe\x00")
    code, out, err = run(*SOLVE)
    assert (code, out) == (2, "")
    assert "can't read" in err
    assert "prime-fast.toml" in err


def test_a_bad_value_names_where_it_is_from(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIME_FAST_SOLVE_THREADS", "two")
    code, out, err = run(*SOLVE)
    assert (code, out) == (2, "")
    assert "'two' is not a valid integer. (from PRIME_FAST_SOLVE_THREADS)" in err
    monkeypatch.setenv("PRIME_FAST_SOLVE_THREADS", "0")
    (tmp_path / "prime-fast.toml").write_text("[solve]\nseconds = 9\n")
    code, out, err = run(*SOLVE)
    assert (code, out) == (2, "")
    assert "threads is 0; it must be at least 1\n" in err
    assert f"--seconds 9.0 (from {tmp_path / 'prime-fast.toml'})" in err
    assert "--threads 0 (from PRIME_FAST_SOLVE_THREADS)" in err


def test_a_mistyped_variable_is_warned_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIME_FAST_SOLVE_LIMTS", "area_mm2=29")
    monkeypatch.setenv("PRIME_FAST_SWEEP_KEEP", "3")
    code, _, err = run(*SOLVE)
    assert code == 0
    assert err == (
        "Warning: PRIME_FAST_SOLVE_LIMTS is set, but solve has no such option "
        "(did you mean PRIME_FAST_SOLVE_LIMIT?)\n"
    )
