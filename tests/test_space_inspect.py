"""`prime-fast space inspect`: size and shares, exact or estimated, and what is said of bad spaces."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import prime_fast as pf
from prime_fast.space import space_named
from prime_fast.spaces import inspect_space

Run = Callable[..., tuple[int, str, str]]

SMALL = """
name = "small"
[[parameter]]
name = "a"
unit = "KiB"
values = [1, 2, 4, 8]
[[parameter]]
name = "flow"
values = ["ws", "os"]
[[parameter]]
name = "cache"
values = [true, false]
[[metric]]
name = "twice"
expression = "2 * a"
"""
HALF = '[[constraint]]\nname = "half"\nexpression = "a <= 2"\n'
CACHED = '[[constraint]]\nname = "cached"\nexpression = "cache or flow == \'os\'"\n'


def test_shares_are_those_of_all_designs() -> None:
    space = pf.DesignSpace.from_toml(SMALL + HALF + CACHED)
    found = inspect_space(space)
    assert (found.passing.designs, found.passing.value) == (6, 6 / 16)
    assert {name: share.designs for name, share in found.constraints.items()} == {"half": 8, "cached": 12}
    assert (found.samples, found.warnings) == (0, ())


def test_estimates_contain_the_exact_share() -> None:
    # Area in PRIME's space: exact by counting, then estimated by itself.
    prime = pf.DesignSpace.bundled()
    exact = inspect_space(prime).passing
    assert exact.designs is not None
    drawn = prime.check(prime.sample(200_000, seed=5)) < 0
    assert exact.value == pytest.approx(drawn.mean(), abs=0.005)
    # 20 seeds: a 95% interval may miss, but not often.
    hits = 0
    for seed in range(20):
        estimate = inspect_space(prime, samples=2000, seed=seed, work=0)
        low, high = estimate.passing.interval
        assert (estimate.passing.designs, estimate.samples) == (None, 2000)
        assert low < estimate.passing.value < high
        hits += low <= exact.value <= high
    assert hits >= 17


def test_gemmini_is_counted_exactly_though_it_is_large() -> None:
    space = pf.DesignSpace.bundled("gemmini")
    assert space.size > 10**12
    found = inspect_space(space)
    assert found.passing.designs is not None
    assert found.warnings == ()
    drawn = space.sample(100_000, seed=1)
    assert found.passing.value == pytest.approx((space.check(drawn) < 0).mean(), rel=0.1)
    for position, (name, share) in enumerate(found.constraints.items()):
        assert share.value == pytest.approx(space.core.meets(position, drawn).mean(), rel=0.1), name


def test_constraints_that_nothing_or_everything_passes() -> None:
    def warnings(*expressions: str, **options: int) -> list[str]:
        constraints = [
            f'[[constraint]]\nname = "c{i}"\nexpression = "{e}"\n' for i, e in enumerate(expressions)
        ]
        space = pf.DesignSpace.from_toml(SMALL + "".join(constraints))
        return list(inspect_space(space, **options).warnings)

    assert warnings("a <= 2") == []
    assert warnings("a > 8", "a < 9") == [
        "the constraint c0 is met by no design",
        "the constraint c1 is met by every design",
    ]
    assert warnings("a % 3 == 0", work=0) == ["the constraint c0 is met by none of 100,000 designs drawn"]
    assert warnings("a <= 2", "a > 2") == ["all constraints together are met by no design"]


def test_a_space_that_nothing_can_meet_is_refused(run: Run) -> None:
    path = Path("space.toml")
    path.write_text(SMALL + '[[constraint]]\nname = "large"\nexpression = "twice > 16"\n')
    code, _, err = run("space", "inspect", path)
    assert (code, err) == (2, "Error: space.toml: no design meets the constraint `large`: twice > 16\n")
    # Where bounds don't prove it, the space loads, and inspect says so.
    more = '[[parameter]]\nname = "n"\nvalues = [1, 2, 4, 8]\n[[constraint]]\nname = "odd"\n'
    path.write_text(f'{SMALL}{more}expression = "a * n % 3 == 0"\n')
    code, out, _ = run("space", "inspect", path)
    assert code == 0
    assert "warning: the constraint odd is met by no design" in out


@pytest.mark.parametrize("name", ["prime", "gemmini"])
def test_bundled_spaces_in_80_columns(run: Run, name: str) -> None:
    code, out, err = run("space", "inspect", name)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    space = pf.DesignSpace.bundled(name)
    assert f"{space.size:,} designs" in out
    for word in [*space.names, *space.metric_names, *space.constraint_names, "all together"]:
        assert word in out


def test_many_values_and_booleans_are_shown(run: Run) -> None:
    values = list(range(1, 401))
    Path("s.toml").write_text(
        f'name = "s"\n[[parameter]]\nname = "n"\nvalues = {values}\n'
        '[[parameter]]\nname = "b"\nvalues = [true]\n'
    )
    code, out, _ = run("space", "inspect", "s.toml")
    assert code == 0
    assert "400: 1, 2, 3, 4, 5, 6, ..., 400" in out
    assert "boolean" in out
    assert "no constraints: every design passes" in out


def test_json(run: Run) -> None:
    code, out, _ = run("space", "inspect", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["name"], found["designs"]) == ("prime", 452_760_000)
    assert found["passing"] == {key: found["constraints"][0][key] for key in found["passing"]}
    assert found["passing"]["exact"]
    assert found["passing"]["share"] == pytest.approx(found["passing"]["designs"] / 452_760_000)
    assert found["parameters"][0]["values"] == [1, 2, 4, 6, 8, 10, 12, 14, 16, 32]
    assert {metric["name"] for metric in found["metrics"]} >= {"area_mm2"}
    assert "sram_mm2_per_mib" in next(m for m in found["metrics"] if m["name"] == "area_mm2")["expression"]


def test_spaces_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text(SMALL)
    assert space_named(None) == space_named("prime") == pf.DesignSpace.bundled()
    assert space_named("mine").name == space_named(tmp_path / "mine").name == "small"
    assert space_named(pf.DesignSpace.bundled("gemmini")).name == "gemmini"
    Path("prime").write_text(SMALL)
    assert space_named("prime").name == "prime"
    assert space_named("./prime").name == "small"


def broken(constraint: str) -> str:
    return f'{SMALL}[[constraint]]\nname = "c"\nexpression = "{constraint}"\n'


@pytest.mark.parametrize(
    ("arguments", "content", "message"),
    [
        (
            ["gemini"],
            "",
            "unknown design space `gemini` (did you mean gemmini?); bundled: prime, gemmini; or the",
        ),
        (["none.toml"], "", "none.toml: no such file; expected a design space in TOML"),
        (["s.toml"], "name = ", "s.toml: line 1: "),
        (["s.toml"], SMALL.replace("values = [true, false]", ""), "s.toml: line 10: missing field `values`"),
        (
            ["s.toml"],
            broken("b <= 2"),
            "s.toml: line 18: constraint `c`: unknown name `b`; known: a, cache, flow, twice (column 1)\n"
            "    b <= 2\n    ^",
        ),
        (["s.toml"], broken("twcie < 4"), "unknown name `twcie` (did you mean twice?); known: "),
        (
            ["s.toml"],
            broken("a < 4 +"),
            "expected a number or a name, found the end (column 8)\n    a < 4 +\n",
        ),
        (["s.toml"], broken("a = 4"), "`=` is not a comparison; write `==` (column 3)\n    a = 4\n      ^"),
        (
            ["s.toml"],
            broken("flow < 4"),
            "`flow` is categorical: it compares by == or != with one of its texts: ws",
        ),
        (
            ["s.toml"],
            broken("flow == 'wss'"),
            '"wss" is no value of `flow` (did you mean ws?); known: ws, os',
        ),
        (
            ["s.toml"],
            broken("flow == ws"),
            "unknown name `ws`; as a value of `flow` it needs quotes: 'ws'; known",
        ),
        (["s.toml"], broken("a == 'ws'"), "a text compares with a categorical parameter only (column 6)"),
        (
            ["s.toml"],
            broken("cache == 1"),
            "expected a number, found what is true or false, which stands by itself",
        ),
        (
            ["s.toml"],
            broken("a + 1"),
            "this is a number; a constraint needs a comparison such as a <= b (column 1)",
        ),
        (
            ["s.toml"],
            broken("mim(a, 2) < 3"),
            "unknown function `mim` (did you mean min?); known: min, max, abs",
        ),
        (["--samples", "0"], "", "samples is 0; it must be at least 1"),
    ],
)
def test_mistakes(run: Run, arguments: list[str], content: str, message: str) -> None:
    if content:
        Path("s.toml").write_text(content)
    code, out, err = run("space", "inspect", *arguments)
    assert (code, out, "Traceback" in err) == (2, "", False), err
    assert message in err


def test_a_space_without_a_simulator_says_so(run: Run) -> None:
    space = pf.DesignSpace.bundled("gemmini")
    space.frame(space.sample(3, 0)).write_csv("designs.csv")
    code, _, err = run("simulate", "--space", "gemmini", "--designs", "designs.csv")
    assert code == 2
    assert "space `gemmini` has no parameter `pes_x`; the simulator needs pes_x, pes_y" in err
    code, _, err = run("optimize", "--space", "gemmini", "--quiet", "--out", "run")
    assert code == 2
    assert "the bundled logs are of PRIME's space; name logs of your own" in err


@pytest.mark.parametrize(
    "command",
    [
        ["solve", "--app", "MobileNetV2"],
        ["sweep", "--app", "MobileNetV2"],
        ["simulate", "--design", "edge-tpu-v1"],
        ["logs", "generate", "--app", "MobileNetV2", "--out", "x.parquet"],
        ["logs", "inspect", "x.parquet"],
        ["optimize", "--out", "x"],
    ],
)
def test_what_takes_a_space_takes_its_name(run: Run, command: list[str]) -> None:
    code, _, err = run(*command, "--space", "primee")
    assert code == 2
    assert (
        "unknown design space `primee` (did you mean prime?); bundled: prime, gemmini; or the path of" in err
    )


def test_shares_by_name_are_of_the_right_constraint() -> None:
    space = pf.DesignSpace.from_toml(SMALL + HALF + CACHED)
    ranks = space.ranks(np.arange(space.size, dtype=np.uint64))
    met = [space.core.meets(position, ranks) for position in range(2)]
    first = np.where(~met[0], 0, np.where(~met[1], 1, -1))
    np.testing.assert_array_equal(space.check(ranks), first)
    with pytest.raises(pf.ConfigurationError, match="there is no constraint 2 among 2"):
        space.core.meets(2, ranks)
    with pytest.raises(pf.ConfigurationError, match="there is no constraint 2 among 2"):
        space.core.count([0, 2], 10)
