"""What --json prints keeps its schema, as `run` checks of every result, here and in other tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import check_result

import prime_fast as pf
from prime_fast.cli import schemas
from prime_fast.logs import write_table

Run = Callable[..., tuple[int, str, str]]

COMMANDS = {
    "solve": "solve --app M4 --app U-Net --limit area_mm2=29",
    "solve stopped": "solve --app M4 --nodes 2",
    "simulate": "simulate --app M4 --design edge-tpu-v1",
    "simulate infeasible": "simulate --app U-Net --design edge-tpu-v1,pe_memory=4096",
    "simulate many": "simulate --app M4 --designs designs.csv --out scores.csv",
    "simulate none feasible": "simulate --app M4 --designs bad.csv",
    "generate": "logs generate --app M4 --designs 300 --out log.parquet",
    "inspect": "logs inspect log.csv --limit area_mm2=29",
    "convert": "logs convert log.csv --app M4 --limit area_mm2=80 --out converted.csv",
    "infer": "space infer log.csv --out inferred.toml",
    "inspect space": "space inspect --samples 100",
    "list": "workload list",
    "show": "workload show U-Net",
    "trade": "benchmark trade --app M4",
    "optimize": "optimize --logs log.csv --method random --proposals 3",
    "optimize with simulator": "optimize --app M4 --method best-logged --proposals 2 --limit area_mm2=40",
    "doctor": "doctor --no-self-test",
}


@pytest.fixture
def files(tmp_path: Path) -> None:
    space = pf.DesignSpace.bundled()
    designs = space.sample(40, seed=0)
    write_table(space.frame(designs), tmp_path / "designs.csv")
    write_table(space.frame(designs[:1] * 0), tmp_path / "bad.csv")
    write_table(pf.logs.generate(pf.Simulator("M4"), 400, seed=1), tmp_path / "log.csv")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("name", COMMANDS)
def test_results_keep_their_schema(run: Run, name: str) -> None:
    command = COMMANDS[name].split()
    code, out, _ = run(*command, "--json")
    assert code == 0
    told = json.loads(out)
    schema = told["schema"]
    assert schema.startswith("prime-fast/")
    assert schema.endswith("/1")
    assert COMMANDS[name].replace(" ", "-").startswith(schema.split("/")[1])
    # What reads it keeps on reading it once there is more.
    jsonschema.validate(told | {"more": 1}, schemas.json_schema(check_result(told)))


def test_a_result_that_lacks_something_is_refused(run: Run) -> None:
    told: dict[str, Any] = json.loads(run("solve", "--app", "M4", "--json")[1])
    schema = schemas.json_schema("solve")
    for wrong in (
        {key: value for key, value in told.items() if key != "proved"},
        told | {"score": "fast"},
        told | {"schema": "prime-fast/solve/2"},
        told | {"ties": [[1]]},
        told | {"limits": {"area_mm2": None}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_schemas_are_printed(run: Run) -> None:
    code, out, err = run("schema")
    assert (code, err) == (0, "")
    every = json.loads(out)
    assert list(every) == list(schemas.RESULTS)
    for schema in every.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(run("schema", "logs", "inspect")[1]) == every["logs inspect"]
    assert every["solve"]["properties"]["score"] == {"type": "number"}
    assert len(every["simulate"]["oneOf"]) == 2
