"""`solve` and its command: results, proof, interruption, one clear error for each kind of bad input."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import prime_fast as pf

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def small() -> pf.DesignSpace:
    """A part of PRIME's space that can be enumerated."""
    text = pf.DesignSpace.bundled().to_toml()
    for values, fewer in (
        ("[1, 2, 4, 6, 8, 10, 12, 14, 16, 32]", "[2, 6, 16]"),
        ("[4, 8, 16, 32, 64, 128, 256]", "[8, 32]"),
        ("[262144, 524288, 1048576, 2097152, 4194304, 8388608, 16777216]", "[262144, 1048576]"),
        (
            "[4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576, 2097152, 4194304]",
            "[8192, 65536]",
        ),
        ("[256, 512, 1024, 2048, 4096, 8192, 16384]", "[256, 4096]"),
        ("[8192, 16384, 32768, 65536]", "[16384, 65536]"),
        ("[2048, 4096, 8192, 16384, 32768]", "[2048, 8192]"),
        ("[5, 10, 16, 20, 25, 30]", "[10, 20, 30]"),
    ):
        assert values in text
        text = text.replace(values, fewer)
    return pf.DesignSpace.from_toml(text)


@pytest.mark.parametrize("objective", ["latency", "energy", "energy_delay"])
@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
def test_the_best_of_all_designs_is_found(small: pf.DesignSpace, objective: str, mean: str) -> None:
    names, weights, limits = ["t-RNN Enc", "MobileNetV3"], [1.0, 3.0], {"area_mm2": 40.0, "latency_us": 900.0}
    found = pf.solve(names, limits, objective, weights, mean, space=small)  # type: ignore[arg-type]

    designs = small.ranks(np.arange(small.size, dtype=np.uint64))
    values, feasible = [], small.metric("area_mm2", designs) <= 40.0
    for name in names:
        scores = pf.Simulator(name, small).score(designs)
        feasible &= scores.feasible & ~(scores.latency_us > 900.0)
        chosen = {"latency": scores.latency_us, "energy": scores.energy_uj}
        chosen["energy_delay"] = scores.latency_us * scores.energy_uj
        values.append(chosen[objective])
    if mean == "geometric":
        score = np.exp((np.log(values[0]) + 3 * np.log(values[1])) / 4)
    else:
        score = (values[0] + 3 * values[1]) / 4
    score = np.where(feasible, score, np.inf)
    least = score.min()
    assert feasible.any()
    assert found.score == pytest.approx(least, rel=1e-8)
    np.testing.assert_array_equal(found.designs, designs[score <= least * (1 + 1e-9)])
    assert (found.proved, found.gap, found.tie_count) == (True, 0.0, len(found.designs))
    assert found.design == found.ties[0] == small.frame(found.designs).row(0, named=True)
    assert found.bound == pytest.approx(least, rel=1e-8)
    assert found.applications == names
    assert found.metrics["area_mm2"] <= 40.0
    for name in names:
        scores = pf.Simulator(name, small).score(found.designs[:1])
        told = {output: float(getattr(scores, output)[0]) for output in found.scores[name]}
        assert found.scores[name] == pytest.approx(told)
        assert told["latency_us"] <= 900.0


def test_prime_is_solved_by_a_glance_at_few_designs() -> None:
    found = pf.solve("MobileNetV2", limits={"area_mm2": 29.0})
    assert found.proved
    # Of 452,760,000: bounds that got loose show here, whatever the machine.
    assert 1 < found.nodes < 2_000
    assert found.scores["MobileNetV2"]["latency_us"] == found.score
    # No search does better.
    simulator = pf.Simulator("MobileNetV2")
    searched = pf.search.minimize(simulator.space, simulator, limits={"area_mm2": 29.0}, evaluations=20_000)
    assert searched.best_score >= found.score * (1 - 1e-9)
    # The result does not depend on the number of threads, nor does the count of nodes.
    alone = pf.solve("MobileNetV2", limits={"area_mm2": 29.0}, threads=1)
    assert (alone.score, alone.nodes, alone.ties) == (found.score, found.nodes, found.ties)


def test_a_run_cut_short_tells_what_is_left_to_prove() -> None:
    whole = pf.solve("U-Net", limits={"area_mm2": 29.0})
    part = pf.solve("U-Net", limits={"area_mm2": 29.0}, nodes=20)
    assert (part.stopped_by, part.proved) == ("nodes", False)
    assert part.bound <= whole.score <= part.score
    assert part.gap == pytest.approx(1 - part.bound / part.score)
    assert pf.solve("U-Net", limits={"area_mm2": 29.0}, seconds=1e-6).stopped_by == "seconds"


def test_ctrl_c_returns_what_was_found() -> None:
    calls: list[tuple[int, float | None, float, float]] = []

    def press(nodes: int, best: float | None, bound: float, seconds: float) -> None:
        calls.append((nodes, best, bound, seconds))
        if best is not None:
            signal.raise_signal(signal.SIGINT)

    found = pf.solve(pf.prime_application_names(), limits={"area_mm2": 29.0}, callback=press)
    assert found.stopped_by == "interrupt"
    assert calls[-1][1] is not None
    assert not found.proved
    assert found.bound <= found.score


def test_ctrl_c_before_anything_is_found_is_an_interruption() -> None:
    with pytest.raises(pf.NoFeasibleDesignError, match="the least area_mm2 is") as refused:
        pf.solve("U-Net", limits={"area_mm2": 1.0})
    least = float(str(refused.value).rsplit(" ", 1)[1])
    with pytest.raises(KeyboardInterrupt):
        pf.solve("U-Net", limits={"area_mm2": least}, callback=lambda *_: signal.raise_signal(signal.SIGINT))


def test_an_exception_of_the_callback_comes_back() -> None:
    def fail(*_: object) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        pf.solve("U-Net", callback=fail)


def test_technology_and_applications_of_ones_own() -> None:
    fast = pf.solve("t-RNN Enc", limits={"area_mm2": 29.0}, technology={"invocation_us": 0.0})
    slow = pf.solve(pf.Application.bundled("t-RNN Enc"), limits={"area_mm2": 29.0})
    assert fast.score < slow.score
    assert slow.applications == ["t-RNN Enc"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"applications": []}, "no application is given; at least one is needed"),
        ({"applications": "U-Nett"}, r'unknown application "U-Nett" \(did you mean U-Net\?\)'),
        ({"applications": ["U-Net", "u-net"]}, "application U-Net is given twice; use a weight"),
        (
            {"limits": {"area": 29}},
            r"unknown limit `area` \(did you mean area_mm2\?\); known: .*peak_power_mw",
        ),
        ({"limits": {"area_mm2": -1}}, "limit area_mm2=-1: a limit must be a positive, finite number"),
        ({"limits": {"area_mm2": float("nan")}}, "limit area_mm2=NaN: a limit must be a positive"),
        ({"weights": [-1.0]}, "a weight is -1; weights must be positive, finite numbers"),
        ({"weights": [1.0, 2.0]}, "as many weights as applications are needed, found 2 and 1"),
        ({"objective": "speed"}, "unknown objective `speed`; known: latency, energy, energy_delay"),
        ({"mean": "harmonic"}, "unknown mean `harmonic`; known: geometric, arithmetic"),
        ({"seconds": 0.0}, "seconds is 0; it must be above 0"),
        ({"nodes": -5}, "nodes is -5; it must be at least 1"),
        ({"threads": 0}, "threads is 0; it must be at least 1"),
    ],
)
def test_unusable_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(pf.ConfigurationError, match=message):
        pf.solve(**({"applications": "U-Net"} | arguments))  # type: ignore[arg-type]


def test_an_impossible_limit_is_named_with_what_can_be_reached() -> None:
    with pytest.raises(pf.NoFeasibleDesignError, match=r"the least area_mm2 is \d") as refused:
        pf.solve("U-Net", limits={"latency_us": 1e6, "area_mm2": 1.0})
    least = float(str(refused.value).rsplit(" ", 1)[1])
    assert pf.solve("U-Net", limits={"area_mm2": least}).proved
    with pytest.raises(pf.NoFeasibleDesignError):
        pf.solve("U-Net", limits={"area_mm2": least * 0.999})
    # Each by itself can be met, not both.
    with pytest.raises(pf.NoFeasibleDesignError, match="within the other limits, the least latency_us is"):
        pf.solve("U-Net", limits={"area_mm2": least, "latency_us": 500.0})


# --- the command -----------------------------------------------------------------------------------------


def test_the_command_prints_the_optimum_and_its_proof(run: Run) -> None:
    code, out, err = run("solve", "--app", "MobileNetV2", "--limit", "area_mm2=29")
    assert (code, err) == (0, "")
    found = pf.solve("MobileNetV2", limits={"area_mm2": 29.0})
    assert out.startswith("MobileNetV2: least latency, area_mm2 <= 29\n")
    assert f"Proved: no design within the limits has less than {found.score:.6g} us." in out
    assert f"{found.tie_count} designs tie: " in out
    assert f"{found.nodes} nodes for 452,760,000 designs, " in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_command_takes_several_applications(run: Run) -> None:
    names = pf.prime_application_names()
    args = [part for name in names for part in ("--app", name, "--weight", f"{name}={len(name)}")]
    limits = ["--limit", "area_mm2=29", "--limit", "average_power_mw=2000", "--nodes", "300"]
    code, out, _ = run("solve", *args, *limits, "--combine", "arithmetic", "--objective", "energy_delay")
    assert code == 0
    assert "least arithmetic mean of energy-delay" in " ".join(out.split())
    assert "Not proved (stopped by nodes): " in out
    assert all(f"\n{name} " in out for name in names)
    assert max(map(len, out.splitlines())) <= 80


def test_json_holds_the_whole_result(run: Run, tmp_path: Path) -> None:
    space, constants = tmp_path / "space.toml", tmp_path / "constants.toml"
    space.write_text(pf.DesignSpace.bundled().to_toml())
    found = pf.solve("t-RNN Enc", limits={"area_mm2": 29.0})
    code, out, _ = run("solve", "--app", "t-RNN Enc", "--limit", "area_mm2=29", "--space", space, "--json")
    assert code == 0
    told = json.loads(out)
    assert told.pop("schema") == "prime-fast/solve/1"
    assert told | {"seconds": 0} == json.loads(json.dumps(found.as_dict())) | {"seconds": 0}
    assert len(told["ties"]) == told["tie_count"] > 1

    constants.write_text("clock_mhz = 1")
    code, _, err = run("solve", "--app", "U-Net", "--technology", constants)
    assert (code, "constants.toml" in err) == (2, True)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([], 2, "Missing option '--app'"),
        (["--app", "U-Net", "--limit", "area_mm2=0.5"], 4, "the least area_mm2 is"),
        (["--app", "U-Net", "--limit", "volume=1"], 2, "unknown limit `volume`"),
        (["--app", "U-Net", "--limit", "area_mm2"], 2, "not of the form NAME=VALUE"),
        (["--app", "U-Net", "--weight", "u-net=-1"], 2, "a weight is -1"),
        (
            ["--app", "U-Net", "--weight", "UNet=1"],
            2,
            "--weight: UNet is not among the applications (did you mean U-Net?)",
        ),
        (["--app", "Nothing"], 2, "unknown application"),
        (["--app", "U-Net", "--objective", "area"], 2, "'area' is not one of"),
        (["--app", "U-Net", "--space", "missing.toml"], 2, "missing.toml: no such file"),
        (["--app", "U-Net", "--seconds", "-1"], 2, "seconds is -1; it must be above 0"),
    ],
)
def test_the_command_names_bad_input(run: Run, args: list[str], code: int, message: str) -> None:
    told, out, err = run("solve", *args)
    assert (told, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
