"""Design spaces from Python: codec, frames of values, constraints and metrics, every kind of bad argument."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import prime_fast as pf

Values = list[list[int | float | str | bool]]

PRIME = pf.DesignSpace.bundled("prime")
# Published areas in mm2 of two designs for all nine applications (Kumar et al., ICLR 2022): PRIME's own and
# that of the evolutionary search.
PUBLISHED = {
    46.78: [4, 6, 64, 4, 2097152, 131072, 512, 32768, 4096, 30],
    92.05: [4, 8, 128, 6, 1048576, 131072, 2048, 8192, 4096, 30],
}
V1 = [4, 4, 64, 4, 2097152, 32768, 1024, 16384, 16384, 16]

TINY = """
name = "tiny"
[[parameter]]
name = "size"
unit = "KiB"
column = "param_1"
values = [1, 2, 4]
[[parameter]]
name = "voltage"
values = [0.5, 1, 2.5]
[[parameter]]
name = "flow"
values = ["ws", "os", "1"]
[[parameter]]
name = "cache"
values = [true, false]
[[metric]]
name = "power"
unit = "W"
expression = "size * voltage"
[[constraint]]
name = "cool"
expression = "power < 10"
[[constraint]]
name = "cached"
expression = "cache or flow != 'ws'"
"""


def space_of(cardinalities: list[int]) -> pf.DesignSpace:
    """Return a space of integer parameters p0, p1, ... with these numbers of values."""
    parameters = [
        f'[[parameter]]\nname = "p{position}"\nvalues = {list(range(cardinality))}\n'
        for position, cardinality in enumerate(cardinalities)
    ]
    return pf.DesignSpace.from_toml('name = "integers"\n' + "".join(parameters))


def error_of(call: Callable[[], Any], kind: type[pf.PrimeFastError] = pf.DataError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


# --- codec ------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(
    cardinalities=st.lists(st.sampled_from([1, 2, 3, 7, 255, 256, 257, 1000]), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
)
def test_indices_and_ranks_are_inverse(cardinalities: list[int], seed: int) -> None:
    space = space_of(cardinalities)
    dtype = np.uint8 if max(cardinalities) <= 256 else np.uint16
    assert space.rank_dtype is dtype
    assert space.size == np.prod([int(n) for n in cardinalities], dtype=object)
    random = np.random.default_rng(seed)
    indices = random.integers(0, space.size, size=64, dtype=np.uint64)
    indices[:2] = 0, space.size - 1
    ranks = space.ranks(indices)
    assert ranks.dtype == dtype
    assert ranks.shape == (64, len(cardinalities))
    assert (ranks < np.asarray(cardinalities)).all()
    np.testing.assert_array_equal(space.indices(ranks), indices)
    # NumPy has the same convention: the first parameter is the most significant.
    expected = np.stack(np.unravel_index(indices.astype(np.int64), cardinalities), axis=1)
    np.testing.assert_array_equal(ranks, expected)
    np.testing.assert_array_equal(space.ranks(space.indices(ranks)), ranks)
    np.testing.assert_array_equal(space.indices(ranks.astype(np.uint16)), indices)


def test_a_space_of_2_to_the_64_designs() -> None:
    space = space_of([2] * 64)
    assert space.size == 1 << 64
    last = (1 << 64) - 1
    ranks = space.ranks(np.array([last, 1], dtype=np.uint64))
    assert (ranks[0] == 1).all()
    assert ranks[1].tolist() == [0] * 63 + [1]
    assert space.indices(ranks).tolist() == [last, 1]


def test_prime() -> None:
    assert PRIME.size == 452_760_000
    assert PRIME.cardinalities == [10, 10, 7, 10, 7, 11, 7, 4, 5, 6]
    assert PRIME.columns == [f"param_{number}" for number in range(1, 11)]
    assert PRIME.kinds == ["ordinal"] * 10
    assert PRIME.rank_dtype is np.uint8
    assert PRIME.dimensions == 10
    assert "area_mm2" in PRIME.metric_names
    assert PRIME.metric_units["area_mm2"] == "mm2"
    assert repr(PRIME) == "DesignSpace('prime', 10 parameters, 452,760,000 designs)"


def test_empty_batches() -> None:
    none = np.empty((0, 10), dtype=np.uint8)
    assert PRIME.indices(none).shape == (0,)
    assert PRIME.ranks([]).shape == (0, 10)  # type: ignore[arg-type]
    assert PRIME.check(none).shape == (0,)
    assert PRIME.metric("area_mm2", none).shape == (0,)
    assert PRIME.frame(none).shape == (0, 10)
    assert PRIME.ranks_from_frame(PRIME.frame(none)).shape == (0, 10)
    assert PRIME.sample(0, seed=1).shape == (0, 10)


LAYOUTS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "Fortran order": np.asfortranarray,
    "strided rows": lambda ranks: np.repeat(ranks, 2, axis=0)[::2],
    "strided columns": lambda ranks: np.repeat(ranks, 3, axis=1)[:, 1::3],
    "reversed twice": lambda ranks: np.ascontiguousarray(ranks[::-1, ::-1])[::-1, ::-1],
    "transposed": lambda ranks: np.ascontiguousarray(ranks.T).T,
    "16 bits": lambda ranks: ranks.astype(np.uint16),
    "16 bits, Fortran order": lambda ranks: np.asfortranarray(ranks.astype(np.uint16)),
}


def read_only(ranks: NDArray[Any]) -> NDArray[Any]:
    ranks = ranks.copy()
    ranks.flags.writeable = False
    return ranks


@pytest.mark.parametrize("layout", [*LAYOUTS.values(), read_only], ids=[*LAYOUTS, "read-only"])
def test_the_layout_of_an_array_makes_no_difference(
    layout: Callable[[NDArray[Any]], NDArray[Any]],
) -> None:
    ranks = PRIME.sample(100, seed=1)
    same = layout(ranks)
    np.testing.assert_array_equal(same, ranks)
    np.testing.assert_array_equal(PRIME.indices(same), PRIME.indices(ranks))
    np.testing.assert_array_equal(PRIME.check(same), PRIME.check(ranks))
    np.testing.assert_array_equal(PRIME.metric("area_mm2", same), PRIME.metric("area_mm2", ranks))
    assert PRIME.frame(same).equals(PRIME.frame(ranks))


# --- values -----------------------------------------------------------------------------------------------


def test_values_and_kinds_of_a_mixed_space() -> None:
    space = pf.DesignSpace.from_toml(TINY)
    assert space.values == [[1, 2, 4], [0.5, 1.0, 2.5], ["ws", "os", "1"], [True, False]]
    assert [type(values[0]) for values in space.values] == [int, float, str, bool]
    assert space.kinds == ["ordinal", "ordinal", "categorical", "categorical"]
    assert space.columns == ["param_1", "voltage", "flow", "cache"]
    assert space.units == ["KiB", "", "", ""]
    frame = space.frame(space.ranks(np.arange(space.size, dtype=np.uint64)))
    assert frame.schema == {"size": pl.Int64, "voltage": pl.Float64, "flow": pl.String, "cache": pl.Boolean}
    rows = {"size": [1, 1], "voltage": [0.5, 0.5], "flow": ["ws", "ws"], "cache": [True, False]}
    assert frame.head(2).equals(pl.DataFrame(rows))


@st.composite
def mixed_spaces(draw: st.DrawFn) -> Values:
    texts = st.text(st.characters(codec="utf-8", exclude_characters="'\r\n"), max_size=6).filter(
        lambda text: text.isprintable()
    )
    floats = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: value + 0.0)
    kinds: list[st.SearchStrategy[Any]] = [st.integers(-(2**53), 2**53), floats, texts, st.booleans()]
    return [
        draw(st.lists(draw(st.sampled_from(kinds)), min_size=1, max_size=5, unique=True))
        for _ in range(draw(st.integers(1, 5)))
    ]


def toml_value(value: float | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else repr(value)


@settings(deadline=None, max_examples=100)
@given(values=mixed_spaces(), seed=st.integers(0, 100))
def test_frames_and_ranks_are_inverse(values: Values, seed: int) -> None:
    text = 'name = "mixed"\n'
    for position, some in enumerate(values):
        listed = ", ".join(map(toml_value, some))
        text += f'[[parameter]]\nname = "p{position}"\nkind = "categorical"\nvalues = [{listed}]\n'
    space = pf.DesignSpace.from_toml(text)
    assert space.values == values
    ranks = space.sample(20, seed)
    frame = space.frame(ranks)
    assert frame.columns == space.names
    for position, name in enumerate(space.names):
        assert frame[name].to_list() == [values[position][rank] for rank in ranks[:, position]]
    back = space.ranks_from_frame(frame.select(reversed(frame.columns)).with_columns(other=pl.lit(1)))
    assert back.dtype == space.rank_dtype
    np.testing.assert_array_equal(back, ranks)
    # All as texts, as from a CSV file that was read without types.
    np.testing.assert_array_equal(space.ranks_from_frame(frame.cast(pl.String)), ranks)


def test_values_of_other_types_are_understood() -> None:
    space = pf.DesignSpace.from_toml(TINY)
    expected = [[2, 1, 2, 0], [0, 0, 1, 1]]
    frames: list[dict[str, list[Any]]] = [
        {"size": [4.0, 1.0], "voltage": [1.0, 0.5], "flow": ["1", "os"], "cache": [1, 0]},
        {"size": ["4", "1.0"], "voltage": ["1", "0.5"], "flow": ["1", "os"], "cache": ["True", "false"]},
    ]
    for frame in frames:
        assert space.ranks_from_frame(pl.DataFrame(frame)).tolist() == expected
    rows: list[dict[str, Any]] = [
        {"size": 4, "voltage": 1, "flow": "1", "cache": True},
        {"size": 1, "voltage": 0.5, "flow": "os", "cache": False},
    ]
    assert space.designs(rows).tolist() == expected


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("size", [1, 3], "row 2: `size` is 3; allowed: 1, 2, 4"),
        ("size", [None, 1], "row 1: `size` is None; allowed: 1, 2, 4"),
        ("size", [1.5, 1], "row 1: `size` is 1.5; allowed: 1, 2, 4"),
        ("size", ["1", "many"], "row 2: `size` is 'many'; allowed: 1, 2, 4"),
        ("voltage", [0.5, float("nan")], "row 2: `voltage` is nan; allowed: 0.5, 1.0, 2.5"),
        ("voltage", [float("inf"), 0.5], "row 1: `voltage` is inf; allowed: 0.5, 1.0, 2.5"),
        ("flow", ["ws", "WS"], "row 2: `flow` is 'WS'; allowed: ws, os, 1"),
        ("cache", ["yes", "true"], "row 1: `cache` is 'yes'; allowed: True, False"),
    ],
)
def test_a_value_outside_its_list_is_named(column: str, values: list[Any], message: str) -> None:
    space = pf.DesignSpace.from_toml(TINY)
    frame = space.frame(np.zeros((2, 4), dtype=np.uint8)).with_columns(pl.Series(column, values))
    assert error_of(lambda: space.ranks_from_frame(frame)) == message


def test_a_missing_column_is_named() -> None:
    message = error_of(lambda: pf.DesignSpace.from_toml(TINY).ranks_from_frame(pl.DataFrame({"size": [1]})))
    assert message == "designs have no column `voltage`; expected size, voltage, flow, cache"


# --- bad arguments ----------------------------------------------------------------------------------------

WANTED = "designs must be an array of shape (n_designs, 10) and dtype uint8 or uint16, found "


@pytest.mark.parametrize(
    ("designs", "message"),
    [
        ([[0] * 10], WANTED + "a list"),
        (None, WANTED + "a NoneType"),
        (np.zeros((3, 9), np.uint8), WANTED + "shape [3, 9]"),
        (np.zeros(10, np.uint8), WANTED + "shape [10]"),
        (np.zeros((1, 1, 10), np.uint8), WANTED + "shape [1, 1, 10]"),
        (np.array(1, np.uint8), WANTED + "shape []"),
        (np.zeros((3, 10)), WANTED + "dtype float64"),
        (np.zeros((3, 10), np.int64), WANTED + "dtype int64"),
        (np.zeros((3, 10), np.int8), WANTED + "dtype int8"),
        (np.zeros((3, 10), np.bool_), WANTED + "dtype bool"),
        (np.zeros((3, 10), object), WANTED + "dtype object"),
        (np.zeros((3, 10), ">u2"), WANTED + "dtype >u2"),
        (
            np.array([[0] * 10, [9, 9, 7, *[0] * 7]], np.uint8),
            "design 1: `cores` has rank 7; it has 7 values, so ranks 0 to 6",
        ),
        (
            np.array([[65_535, *[0] * 9]], np.uint16),
            "design 0: `pes_x` has rank 65535; it has 10 values, so ranks 0 to 9",
        ),
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        PRIME.indices,
        PRIME.check,
        PRIME.frame,
        lambda designs: PRIME.metric("area_mm2", designs),
    ],
    ids=["indices", "check", "frame", "metric"],
)
def test_unusable_ranks(call: Callable[[Any], Any], designs: Any, message: str) -> None:
    assert error_of(lambda: call(designs)) == message


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (np.array([0, 452_760_000]), "design index 452760000 is not below the size of the space, 452760000"),
        (np.array([3, -1]), "design index -1 is below 0"),
        ([0.5], "indices must be an array of shape (n_designs,) and an integer dtype, found shape (1,) and"),
        (
            [[1]],
            "indices must be an array of shape (n_designs,) and an integer dtype, found shape (1, 1) and",
        ),
        (7, "indices must be an array of shape (n_designs,) and an integer dtype, found shape () and"),
        (
            [1 << 64],
            "indices must be an array of shape (n_designs,) and an integer dtype, found shape (1,) and",
        ),
        (["a"], "indices must be an array of shape (n_designs,) and an integer dtype, found shape (1,) and"),
    ],
)
def test_unusable_indices(indices: Any, message: str) -> None:
    assert error_of(lambda: PRIME.ranks(indices)).startswith(message)


def test_unknown_names() -> None:
    message = error_of(lambda: PRIME.metric("aera_mm2", PRIME.sample(1, 0)), pf.ConfigurationError)
    assert message.startswith(
        "space `prime` has no metric `aera_mm2` (did you mean area_mm2?); known: macs_per"
    )
    message = error_of(lambda: pf.DesignSpace.bundled("prim"), pf.ConfigurationError)
    assert message == "unknown design space `prim` (did you mean prime?); bundled: prime, gemmini"


def test_unusable_files(tmp_path: Path) -> None:
    def load(path: Path) -> str:
        message = error_of(lambda: pf.DesignSpace.load(path), pf.ConfigurationError)
        assert message.startswith(f"{path}: ")
        return message.removeprefix(f"{path}: ")

    assert load(tmp_path / "missing.toml") == "no such file; expected a design space in TOML"
    assert load(tmp_path).startswith("can't be read as text: ")
    path = tmp_path / "space.toml"
    path.write_bytes(b'name = "caf\xe9"')
    assert load(path).startswith("can't be read as text: 'utf-8' codec can't decode byte 0xe9")
    path.write_text("")
    assert load(path) == "line 1: missing field `name`"
    path.write_text(TINY.replace("voltage = ", "volts = ").replace("size * voltage", "size * volts"))
    assert load(path).startswith(
        "line 20: metric `power`: unknown name `volts` (did you mean voltage?); known: "
    )
    path.write_text(TINY)
    assert pf.DesignSpace.load(path) == pf.DesignSpace.from_toml(TINY)


# --- identity, sampling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [TINY, PRIME.to_toml()])
def test_pickles_and_text_give_the_same_space(text: str) -> None:
    space = pf.DesignSpace.from_toml(text)
    for other in (pickle.loads(pickle.dumps(space)), pf.DesignSpace.from_toml(space.to_toml())):  # noqa: S301
        assert (other, hash(other), other.names, other.values) == (
            space,
            hash(space),
            space.names,
            space.values,
        )
        ranks = space.sample(50, seed=0)
        np.testing.assert_array_equal(other.check(ranks), space.check(ranks))
    assert space != pf.DesignSpace.from_toml(text + "\n# other")


@pytest.mark.parametrize("seed", [0, -1, 1 << 80])
def test_samples_are_uniform_and_repeatable(seed: int) -> None:
    space = space_of([3, 1, 300, 257])
    ranks = space.sample(20_000, seed)
    assert ranks.dtype == np.uint16
    assert ranks.shape == (20_000, 4)
    np.testing.assert_array_equal(ranks, space.sample(20_000, seed))
    assert (ranks != space.sample(20_000, seed + 1)).any()
    for column, cardinality in zip(ranks.T, space.cardinalities, strict=True):
        counts = np.bincount(column, minlength=cardinality)
        assert len(counts) == cardinality
        expected = len(ranks) / cardinality
        assert (np.abs(counts - expected) <= 6 * np.sqrt(expected)).all()


# --- constraints and metrics ------------------------------------------------------------------------------


def prime_area(frame: pl.DataFrame) -> NDArray[np.float64]:
    """PRIME's area model, from its description: SRAM by the MiB, logic by the int8 MAC."""
    columns = {name: frame[name].to_numpy().astype(np.float64) for name in frame.columns}
    pes = columns["pes_x"] * columns["pes_y"]
    in_pes = pes * (columns["pe_memory"] + columns["compute_lanes"] * columns["core_memory"])
    controller = (
        16 * columns["instruction_memory"]
        + 16 * columns["activation_memory"]
        + 4 * columns["parameter_memory"]
    )
    macs = pes * columns["compute_lanes"] * columns["cores"] * 4
    area: NDArray[np.float64] = 0.5113 * (in_pes + controller) / 2**20 + 0.0006441 * macs
    return area


def test_area_and_check_are_as_described() -> None:
    ranks = PRIME.sample(20_000, seed=2)
    area = prime_area(PRIME.frame(ranks))
    np.testing.assert_allclose(PRIME.metric("area_mm2", ranks), area, rtol=1e-12)
    checked = PRIME.check(ranks)
    assert checked.dtype == np.int32
    np.testing.assert_array_equal(
        checked, np.where(area <= 112, -1, PRIME.constraint_names.index("die_area"))
    )
    assert 0.3 < (checked == -1).mean() < 0.4
    assert 0.12 < (area <= 29).mean() < 0.15


@pytest.mark.parametrize("published", PUBLISHED)
def test_published_areas(published: float) -> None:
    design = dict(zip(PRIME.names, PUBLISHED[published], strict=True))
    assert PRIME.metric("area_mm2", PRIME.designs([design])) == pytest.approx(published, rel=0.05)


def test_area_of_the_first_edge_tpu() -> None:
    area = PRIME.metric("area_mm2", PRIME.designs([dict(zip(PRIME.names, V1, strict=True))]))
    assert 26 < area[0] < 30


def test_check_names_the_first_constraint_that_is_broken() -> None:
    space = pf.DesignSpace.from_toml(TINY)
    ranks = space.ranks(np.arange(space.size, dtype=np.uint64))
    names = ["fine", "cool", "cached"]
    found = [names[code + 1] for code in space.check(ranks)]
    expected = [
        "cool" if size * voltage >= 10 else ("fine" if cache or flow != "ws" else "cached")
        for size, voltage, flow, cache in space.frame(ranks).iter_rows()
    ]
    assert found == expected
    assert set(found) == set(names)
    assert space.constraint_names == ["cool", "cached"]
