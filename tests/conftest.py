"""What several test files share."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import settings

from prime_fast.cli import main, progress, schemas

# Results with the figures of a design among their fields, which depend on the space.
OPEN = ("explain",)


def check_result(result: dict[str, Any]) -> str:
    """Hold what a command printed as JSON to its schema, every field named; return the command."""
    command = {schemas.json_schema(name)["title"]: name for name in schemas.RESULTS}[result["schema"]]
    jsonschema.validate(result, schemas.json_schema(command, strict=command not in OPEN))
    return command


# Worker processes of pytest-xdist ignore Ctrl-C, which tests send to themselves.
if "PYTEST_XDIST_WORKER" in os.environ:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long hypothesis looks, unless a test says so itself: `fast`, or `thorough` by HYPOTHESIS_PROFILE.
settings.register_profile("fast", deadline=None)
settings.register_profile("thorough", deadline=None, derandomize=False, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Call the entry point in an empty directory, 80 columns wide; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    # However slow the machine is: no test depends on how long a stage takes.
    monkeypatch.setattr(progress, "WORTH_SECONDS", math.inf)
    monkeypatch.setattr(progress, "EVERY_SECONDS", math.inf)

    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        if "--json" in args and exit_.value.code == 0:
            check_result(json.loads(out))
        return exit_.value.code, out, err

    return call
