"""The JSON Schema of spaces: bundled and inferred ones keep it, mistakes don't, and loading agrees."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import Any

import jsonschema
import polars as pl
import pytest

import prime_fast as pf
from prime_fast import _core
from prime_fast.spaces import infer_space, space_schema

GOOD = """
name = "s"
[[parameter]]
name = "a"
values = [1, 2.5]
[[parameter]]
name = "flow"
values = ["ws", "os"]
[[metric]]
name = "m"
expression = "2 * a"
[[constraint]]
name = "any name"
expression = "m < 5"
"""
VALIDATOR = jsonschema.Draft202012Validator(space_schema())


def valid(text: str) -> bool:
    return bool(VALIDATOR.is_valid(tomllib.loads(text)))


def loads(text: str) -> bool:
    try:
        pf.DesignSpace.from_toml(text)
    except pf.ConfigurationError:
        return False
    return True


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(space_schema())


def test_good_spaces_keep_it() -> None:
    names = _core.DesignSpace.bundled_names()
    assert set(names) >= {"prime", "gemmini"}
    table = pl.DataFrame({"a b": [1, 2], "c": ["x", None], "d": [True, False]})
    texts = [pf.DesignSpace.bundled(name).to_toml() for name in names] + [GOOD, infer_space(table).toml]
    assert all(loads(text) for text in texts)
    for text in texts:
        VALIDATOR.validate(tomllib.loads(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "s"\n', ""),
        ('name = "s"', "name = 3"),
        ('name = "s"', 'name = "s"\nversion = 1'),
        ("values = [1, 2.5]", "value = [1, 2.5]"),
        ("values = [1, 2.5]", ""),
        ("values = [1, 2.5]", "values = []"),
        ("values = [1, 2.5]", "values = [1, 1.0]"),
        ("values = [1, 2.5]", 'values = [1, "2.5"]'),
        ("values = [1, 2.5]", "values = [1, true]"),
        ("values = [1, 2.5]", "values = 3"),
        ("values = [1, 2.5]", 'values = [1, 2.5]\nkind = "numeric"'),
        ("values = [1, 2.5]", "values = [1, 2.5]\nunit = 3"),
        ('name = "a"', 'name = "2a"'),
        ('name = "a"', 'name = "a-b"'),
        ('name = "flow"', 'name = "not"'),
        ('expression = "m < 5"', ""),
        ('expression = "m < 5"', "expression = true"),
        ("[[constraint]]", "[[constraints]]"),
        ("[[metric]]", '[constants]\nk = "x"\n[[metric]]'),
    ],
)
def test_mistakes_don_t(old: str, new: str) -> None:
    text = GOOD.replace(old, new)
    assert text != GOOD
    assert (valid(text), loads(text)) == (False, False)


def test_limits_are_those_of_spaces() -> None:
    def parameters(counts: list[int]) -> str:
        entries = [f'[[parameter]]\nname = "p{i}"\nvalues = {list(range(n))}\n' for i, n in enumerate(counts)]
        return 'name = "s"\n' + "".join(entries)

    for counts, good in [([1] * 64, True), ([1] * 65, False), ([3], True)]:
        text = parameters(counts)
        assert (valid(text), loads(text)) == (good, good)
    values = space_schema()["properties"]["parameter"]["items"]["properties"]["values"]
    assert loads(parameters([values["maxItems"]]))
    assert not loads(parameters([values["maxItems"] + 1]))


def test_the_command_prints_it(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = run("space", "schema")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    assert found == space_schema()
