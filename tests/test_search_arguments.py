"""Unusable arguments of a search: one clear error each, of the kind that says who can mend it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from search_problems import MOBILENET, PRIME, SINGLE, SMALL, distance, error_of, problem

import prime_fast as pf
from prime_fast.search import METHODS, Optimizer, minimize


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": {"smu": 3}}, "space `small` has no metric `smu` (did you mean sum?); known: sum"),
        ({"limits": {"sum": -1}}, "limit sum=-1: a limit must be a positive, finite number"),
        ({"limits": {"sum": 0}}, "limit sum=0: a limit must be a positive, finite number"),
        ({"limits": {"sum": float("nan")}}, "limit sum=NaN: a limit must be a positive, finite number"),
        ({"limits": {"sum": float("inf")}}, "limit sum=inf: a limit must be a positive, finite number"),
        ({"limits": {"sum": "3"}}, "limit sum is '3'; it must be a number"),
        ({"evaluations": 0}, "evaluations is 0; it must be at least 1"),
        ({"evaluations": -5}, "evaluations is -5; it must be at least 1"),
        ({"evaluations": 2.5}, "evaluations is 2.5; it must be a whole number"),
        ({"batch": 0}, "batch is 0; it must be at least 1"),
        ({"batch": "9"}, "batch is '9'; it must be a whole number"),
        ({"batch": True}, "batch is True; it must be a whole number"),
        ({"keep": -1}, "keep is -1; it must be at least 1"),
        ({"threads": 0}, "threads is 0; it must be at least 1"),
        ({"threads": 10**6}, "threads is 1000000; it must be at most 1024"),
        ({"threads": -2}, "threads is -2; it must be at least 1"),
        ({"stagnation": 0}, "stagnation is 0; it must be at least 1"),
        ({"stagnation": -1}, "stagnation is -1; it must be at least 1"),
        ({"seconds": 0.0}, "seconds is 0; it must be a positive number"),
        ({"seconds": float("nan")}, "seconds is NaN; it must be a positive number"),
        ({"seconds": "1"}, "seconds is '1'; it must be a number"),
        ({"target": float("nan")}, "the target is NaN; it must be a number"),
        ({"target": "low"}, "target is 'low'; it must be a number"),
        ({"nan": "ignore"}, "nan is 'ignore'; it must be 'error' or 'infeasible'"),
        ({"seed": 1.5}, "seed is 1.5; it must be a whole number"),
        ({"seed": "1"}, "seed is '1'; it must be a whole number"),
        ({"population": 0}, "population is 0; it must be at least 1"),
        ({"population": 2.5}, "population is 2.5; it must be a whole number"),
        ({"population": True}, "option population is True; it must be a number"),
        ({"population": "64"}, "option population is '64'; it must be a number"),
        ({"objective": []}, "no objective was given"),
        ({"objective": 3}, "objective is 3"),
        ({"objective": ["near", "near"]}, "objective and measures near, near: a name stands twice"),
        (
            {"objective": "p1"},
            "objective or measure p1 bears the name of another column of the result; it can't be",
        ),
        ({"objective": ""}, "objective is ''; it must be a name"),
        ({"objective": ["near", ""]}, "objective is ['near', '']; it must be a name"),
        ({"islands": 2**32 - 1}, "islands is 4294967295; it must be from 1 to 1024"),
        ({"callback": 3}, "the callback is 3; it must be callable"),
        ({"limits": [("sum", 3.0)]}, "limits are [('sum', 3.0)]; they must be a mapping by name"),
        ({"limits": {1: 2.0}}, "limits are {1: 2.0}; 1 is no name"),
        (
            {"limits": {"sum": 10**400}},
            "limit sum is beyond 1.7976931348623157e+308; it must be a smaller number",
        ),
        ({"target": 10**400}, "target is beyond 1.7976931348623157e+308; it must be a smaller number"),
        ({"population": 10**400}, "option population is beyond 1.7976931348623157e+308"),
        ({"method": None}, "method is None; it must be one of genetic, firefly"),
        ({"overlap": "yes"}, "overlap is 'yes'; it must be True or False"),
        ({"pad": "yes"}, "pad is 'yes'; it must be True or False"),
        ({"record": "yes"}, "record is 'yes'; it must be True or False"),
        ({"journal": False}, "minimize has no option `journal`; record=True keeps every design scored"),
    ],
)
def test_unusable_arguments(options: dict[str, Any], message: str) -> None:
    assert message in error_of(minimize, SMALL, distance, **options)


@pytest.mark.parametrize("space", [None, "prime"])
def test_a_space_is_a_design_space(space: Any) -> None:
    message = f"the space is {space!r}; it must be a DesignSpace, such as DesignSpace.bundled('prime')"
    assert error_of(minimize, space, distance) == message
    assert error_of(minimize, space, MOBILENET, limits={"latency_us": 3.0}) == message
    assert error_of(Optimizer, space) == message


def test_unusable_arguments_of_an_optimizer() -> None:
    assert error_of(Optimizer, SMALL, journal=1) == "journal is 1; it must be True or False"
    assert error_of(Optimizer(SMALL).save, None) == "the path is None; it must be a path of a file"
    limits = [("latency_us", 3.0)]
    assert error_of(Optimizer(PRIME).minimize, MOBILENET, limits=limits) == (
        "limits are [('latency_us', 3.0)]; they must be a mapping by name"
    )


def test_unknown_names_come_with_the_known_ones() -> None:
    message = error_of(minimize, SMALL, distance, method="genetics")
    assert message == f"unknown method `genetics` (did you mean genetic?); known: {', '.join(METHODS)}"
    message = error_of(minimize, SMALL, distance, poplation=7)
    assert message.startswith(
        "method `genetic` has no option `poplation` (did you mean population?); known: "
    )
    assert "has no option `population`; known: none" in error_of(
        minimize, SMALL, distance, method="random", population=7
    )
    message = error_of(minimize, PRIME, MOBILENET, objective="latency")
    assert message.startswith("unknown objective `latency`")
    assert "(did you mean latency_us?)" in message
    assert (
        "the simulator and its space give latency_us, energy_uj, average_power_mw, peak_power_mw, " in message
    )
    assert "area_mm2" in message
    assert error_of(minimize, SMALL, 3) == "the scorer is a int; it must be a Simulator or a callable"


def test_unusable_arguments_for_a_simulator() -> None:
    message = error_of(minimize, SMALL, MOBILENET)
    assert message == "the simulator and the search have different design spaces"
    message = error_of(minimize, PRIME, MOBILENET, limits={"peak_power_mw": float("nan")})
    assert message == "limit peak_power_mw=NaN: a limit must be a positive, finite number"


@pytest.mark.parametrize("method", SINGLE)
def test_a_method_of_one_score_takes_one(method: str) -> None:
    measures = {"left": (0.0, 16.0, 4), "middle": (0.0, 12.0, 3)}
    assert method in error_of(Optimizer, SMALL, method, objective=["near", "far"])
    assert method in error_of(Optimizer, SMALL, method, measures=measures)


@pytest.mark.parametrize("method", METHODS)
def test_any_option_of_any_method_is_checked(method: str) -> None:
    setup, _ = problem(method)
    known = error_of(Optimizer, SMALL, **setup, nonsense=1).partition("known: ")[2]
    assert known
    for option in known.split(", ") if known != "none" else []:
        for value in (float("nan"), float("inf"), -1, "1", None, [1], True):
            arguments: dict[str, Any] = setup | {option: value}
            assert option in error_of(Optimizer, SMALL, **arguments)


def test_limits_on_what_a_scorer_does_not_give() -> None:
    # Limits on metrics of the space belong to the optimizer, which may have proposed designs already.
    optimizer = Optimizer(SMALL)
    assert "sum" in error_of(optimizer.minimize, distance, limits={"sum": 5.0})
    assert "latency_us" in error_of(optimizer.minimize, distance, limits={"latency_us": 5.0})
    assert "latency_us" in error_of(minimize, SMALL, distance, limits={"latency_us": 5.0})
    message = error_of(Optimizer(PRIME).minimize, MOBILENET, limits={"area_mm2": 29.0})
    assert "positive" not in message
    assert "area_mm2" in message


def test_unusable_starts() -> None:
    def refused(start: object, kind: type[pf.PrimeFastError] = pf.DataError, **options: Any) -> str:
        return error_of(minimize, SMALL, distance, start=start, objective="near", kind=kind, **options)

    assert refused(np.zeros((2, 3), np.uint8)).endswith("found shape [2, 3]")
    assert "found dtype int64" in refused(np.zeros((2, 5), np.int64))
    assert "found a list" in refused([[1, 2, 3, 4, 5]])
    assert "9" in refused(np.full((1, 5), 9, np.uint8))
    good = SMALL.frame(SMALL.sample(3, 0))
    assert "p1" in refused(good.with_columns(p1=pl.lit(1000)))
    assert "p1" in refused(good.drop("p1"))
    assert "near" in refused(good.with_columns(near=pl.Series(["a", "b", "c"])))
    assert "feasible" in refused(good.with_columns(near=1.0, feasible=pl.Series(["a", "b", "c"])))
