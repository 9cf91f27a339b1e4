"""Any text as a space, any text as an expression, and spaces made of odd values: a space, or one error."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import prime_fast as pf
from prime_fast.spaces import inspect_space

NAMES = st.sampled_from(["a", "b", "flow", "cache", "half", "twice", "kib"]) | st.text(max_size=4)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, -1, 2**31, 2**53 + 1, 2**64, 1e308, 5e-324])
VALUES = st.one_of(NUMBERS, st.booleans(), st.text(max_size=4))
ANYTHING = st.recursive(
    VALUES | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
SPACE = """
name = "fuzzed"
constants = { half = 0.5, kib = 1024 }
[[parameter]]
name = "a"
values = [-3, 0, 1, 2.5, 16]
[[parameter]]
name = "b"
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
SIGNS = [*"()+-*/%,^.!=<>'\"&|", "**", "==", "!=", "<=", ">="]
WORDS = ["and", "or", "not", "if", "true", "a", "b", "flow", "cache", "half", "twice", "kib", "'ws'", "'os'"]
FIGURES = ["0", "1", "2.5", "1e308", "1e999", "min(", "max(", "abs(", "log2(", "ceil(", "floor(", "sqrt("]
TOKENS = st.sampled_from([*SIGNS, *WORDS, *FIGURES, "a <= 2", "flow == 'ws'"])
EXPRESSIONS = st.one_of(
    st.lists(TOKENS, max_size=12).map(" ".join), st.lists(TOKENS, max_size=8).map("".join), st.text()
)


def as_toml(value: Any) -> str:
    """Write a value as TOML, of any length and sign."""
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{as_toml(str(key))} = {as_toml(entry)}" for key, entry in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    return str(value).lower() if isinstance(value, bool | float) else str(value)


def made_or_told(text: str) -> pf.DesignSpace | None:
    """Return the space of a text, or None where one error names the file."""
    try:
        return pf.DesignSpace.from_toml(text, "s.toml")
    except pf.ConfigurationError as error:
        assert str(error).startswith("s.toml: ")  # noqa: PT017
        return None


def looked_at(space: pf.DesignSpace) -> None:
    """Use what a space can do: its codec, constraints and metrics."""
    ranks = space.sample(20, seed=0)
    np.testing.assert_array_equal(space.ranks(space.indices(ranks)), ranks)
    np.testing.assert_array_equal(space.ranks_from_frame(space.frame(ranks)), ranks)
    passing = space.check(ranks) < 0
    met = [space.core.meets(position, ranks) for position in range(len(space.constraint_names))]
    np.testing.assert_array_equal(passing, np.all(met, axis=0) if met else np.ones(20, np.bool_))
    for name in space.metric_names:
        assert space.metric(name, ranks).shape == (20,)
    assert 0 <= inspect_space(space, samples=50, work=1_000).passing.value <= 1


@given(st.text() | st.text(st.sampled_from("name=[]{}\"'\n.#0123456789value parameter")))
def test_any_text_is_a_space_or_one_error(text: str) -> None:
    assert made_or_told(text) is None
    made_or_told(SPACE + text)


@st.composite
def spaces(draw: st.DrawFn) -> str:
    """Draw fields of a space, some of which are as they should be."""

    def entries(known: dict[str, Any], most: int) -> list[dict[str, Any]]:
        fields = {
            key: st.one_of(value, ANYTHING) if draw(st.booleans()) else value for key, value in known.items()
        }
        return draw(st.lists(st.fixed_dictionaries(fields, optional={"unit": VALUES}), max_size=most))

    fields: dict[str, Any] = {
        "name": draw(st.just("s") | ANYTHING),
        "parameter": entries({"name": NAMES, "values": st.lists(VALUES, max_size=4, unique_by=repr)}, 3),
        "metric": entries({"name": NAMES, "expression": EXPRESSIONS}, 1),
        "constraint": entries({"name": NAMES, "expression": EXPRESSIONS}, 2),
        "constants": draw(st.dictionaries(NAMES, NUMBERS, max_size=2)),
    }
    fields |= draw(st.dictionaries(NAMES, ANYTHING, max_size=1))
    return "\n".join(f"{json.dumps(key)} = {as_toml(value)}" for key, value in fields.items())


@given(spaces())
def test_any_fields_are_a_space_or_one_error(text: str) -> None:
    space = made_or_told(text)
    if space is not None:
        assert space.size == math.prod(space.cardinalities)
        looked_at(space)


@settings(max_examples=max(300, settings().max_examples))
@given(EXPRESSIONS, st.sampled_from(["constraint", "metric"]))
def test_any_expression_is_one_or_is_told(expression: str, kind: str) -> None:
    text = f'{SPACE}[[{kind}]]\nname = "c"\nexpression = {as_toml(expression)}\n'
    space = made_or_told(text)
    if space is not None:
        looked_at(space)
