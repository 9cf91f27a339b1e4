"""`prime-fast doctor`: what it finds here, and that it finds what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from prime_fast import _core, doctor, surrogate
from prime_fast.surrogate import Surrogate

Run = Callable[..., tuple[int, str, str]]
SELF_TESTS = ("simulator", "exact search", "search", "training", "save and load")


def found(name: str) -> doctor.Check:
    (check,) = [check for check in doctor.examine(self_test=False) if check.check == name]
    return check


def test_everything_works_here(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prime-fast.toml").write_text("[doctor]\nquiet = false\n")
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    code, out, err = run("doctor", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    checks = {check["check"]: check for check in told["checks"]}
    assert {check["status"] for check in checks.values()} == {"ok"}, checks
    assert told["status"] == "ok"
    assert [name for name, check in checks.items() if check["seconds"] is not None] == list(SELF_TESTS)
    for name in ("jax", "numpy", "polars", "click"):
        assert f"{name} {metadata.version(name)}" in checks["packages"]["text"]
    assert _core.cpu_features()[0] in checks["kernels"]["text"]
    assert str(tmp_path / "prime-fast.toml") in checks["defaults"]["text"]
    for text in (metadata.version("jax"), metadata.version("jaxlib"), "cpu"):
        assert text in checks["repeatable on"]["text"]


def test_lines_and_quiet(run: Run) -> None:
    code, out, err = run("doctor", "--no-self-test")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) > 11
    assert max(map(len, out.splitlines())) <= 80
    assert "simulator " not in out
    assert run("doctor", "--no-self-test", "--quiet") == (0, "", "")


def test_missing_and_old_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = [
        "click>=8.4,<9", "numpy>=99", "nowhere>=1", "onnx>=1.20; extra == 'onnx'",
        "nothing>=2; extra == 'other'", "polars<1; extra == 'old'", "winonly; sys_platform == 'win32'",
    ]  # fmt: skip
    real = metadata.metadata

    class Metadata:
        def get_all(self, _: str) -> list[str]:
            return ["onnx", "other", "old"]

    monkeypatch.setattr(metadata, "requires", lambda _: needed)
    monkeypatch.setattr(metadata, "metadata", lambda name: Metadata() if name == "prime-fast" else real(name))
    packages = found("packages")
    assert packages.status == "FAILED"
    assert f"numpy {metadata.version('numpy')}, needed: numpy>=99" in packages.text
    assert "nowhere is missing, needed: nowhere>=1" in packages.text
    assert "winonly" not in packages.text
    extras = found("extras")
    assert extras.status == "warning"
    assert f"installed: onnx (onnx {metadata.version('onnx')})" in extras.text
    assert f"of another version: old (polars {metadata.version('polars')}; needed: polars<1" in extras.text
    assert "not installed: other (pip install 'prime-fast[other]')" in extras.text


def test_processor_without_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "cpu_features", lambda: ("baseline", [("avx2", False), ("bmi1", True)]))
    check = found("kernels")
    assert check.status == "warning"
    assert "without avx2" in check.text
    monkeypatch.setattr(_core, "cpu_features", lambda: ("baseline", []))  # another architecture
    assert found("kernels") == doctor.Check("kernels", "ok", "baseline version")


def test_gpu_that_jax_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert found("JAX").text.endswith("no GPU found")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    assert found("JAX").status == "warning"
    assert "pip install 'jax[cuda" in found("JAX").text
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert found("JAX").status == "ok"


def test_full_or_read_only_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise OSError(30, "Read-only file system")

    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5_000_000))
    assert found("directory").status == "warning"
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    check = found("directory")
    assert check.status == "FAILED"
    assert check.text == f"{Path.cwd()} can't be written: Read-only file system"


def test_busy_machine_and_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    monkeypatch.setenv("RAYON_NUM_THREADS", "3")
    check = found("processors")
    assert check.status == "warning"
    assert "RAYON_NUM_THREADS is 3" in check.text
    monkeypatch.setattr(doctor, "LITTLE_MEMORY", 1 << 60)
    assert found("memory").status == "warning"


def test_a_simulator_that_is_wrong_is_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    test = doctor.SelfTest()
    monkeypatch.setattr(doctor, "ENERGY_UJ", doctor.ENERGY_UJ * (1 + 1e-7))
    assert test.simulator()[0] == "FAILED"
    monkeypatch.setattr(doctor, "OPTIMUM_US", doctor.OPTIMUM_US * (1 + 1e-7))
    assert test.solve()[0] == "FAILED"
    assert test.search()[0] == "FAILED"
    assert test.save() == ("FAILED", "there is no surrogate to save")

    def broken() -> Any:
        raise RuntimeError("no kernel")

    monkeypatch.setattr(_core, "cpu_features", broken)
    code, out, _ = run("doctor", "--no-self-test", "--json")
    checks = {check["check"]: check for check in json.loads(out)["checks"]}
    assert code == 1
    assert checks["kernels"]["text"] == "RuntimeError: no kernel"
    assert checks["repeatable on"]["status"] == "ok"


def test_training_that_does_not_repeat_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real, seeds = surrogate.train, iter(range(9))

    def restless(data: Any, settings: Any, seed: int) -> Surrogate:  # noqa: ARG001
        return real(data, settings, seed=next(seeds))

    monkeypatch.setattr(surrogate, "train", restless)
    assert doctor.SelfTest().train() == ("FAILED", "the same seed trained two different surrogates")
