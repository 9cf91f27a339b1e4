"""The bundled application files are what their generator writes."""

import subprocess
import sys
from pathlib import Path

GENERATOR = Path(__file__).resolve().parents[1] / "bench" / "applications" / "generate.py"


def test_application_files_are_generated() -> None:
    command = [sys.executable, str(GENERATOR), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert (result.returncode, result.stderr) == (0, "")
