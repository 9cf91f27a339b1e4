"""What of this machine and installation matters to prime-fast, and a self-test of a few seconds."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TypeAlias

from prime_fast.errors import PrimeFastError
from prime_fast.machine import processor_name, usable_processors

Status: TypeAlias = Literal["ok", "warning", "FAILED"]
Told: TypeAlias = tuple[Status, str]

# MobileNetV2 on the design `prime-nine-apps`, and within 29 mm2 at best; `tests/test_doctor.py` holds them to
# the simulator.
LATENCY_US = 214.59171875000015
ENERGY_UJ = 372.73832763346456
AREA_MM2 = 46.77503519375
OPTIMUM_US = 190.18165865384617
TOLERANCE = 1e-9

LITTLE_MEMORY = 2 << 30
"""Bytes available below which a run may not fit."""


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes
    ----------
    check : str
        What was looked at.
    status : {"ok", "warning", "FAILED"}
    text : str
        What was found, and what to do about it.
    seconds : float or None
        Time that a self-test took.
    """

    check: str
    status: Status
    text: str
    seconds: float | None = None


def worst(checks: list[Check]) -> Status:
    """Return the worst status."""
    found = {check.status for check in checks}
    return "FAILED" if "FAILED" in found else "warning" if "warning" in found else "ok"


def as_dict(checks: list[Check], seconds: float) -> dict[str, Any]:
    """Return checks as what JSON can hold."""
    return {"status": worst(checks), "checks": [asdict(check) for check in checks], "seconds": seconds}


def examine(*, file: Path | None = None, self_test: bool = True) -> Iterator[Check]:
    """Yield check after check; what goes wrong in one is its finding, and ends none of the others.

    Parameters
    ----------
    file : Path, optional
        The file of defaults in force.
    self_test : bool
        Whether to simulate, solve, search and train, which takes some seconds.
    """
    looks: list[tuple[str, Callable[[], Told]]] = [
        ("version", _version),
        ("packages", _packages),
        ("extras", _extras),
        ("kernels", _kernels),
        ("processors", _processors),
        ("memory", _memory),
        ("JAX", _devices),
        ("defaults", lambda: _defaults(file)),
        ("directory", lambda: _writable(Path.cwd())),  # fails, as it should, where that was deleted
        ("temporary files", lambda: _writable(Path(tempfile.gettempdir()))),
        ("repeatable on", _repeatable),
    ]
    for name, look in looks:
        yield Check(name, *_guarded(look))
    if not self_test:
        return
    test = SelfTest()
    for name, run in (
        ("simulator", test.simulator),
        ("exact search", test.solve),
        ("search", test.search),
        ("training", test.train),
        ("save and load", test.save),
    ):
        start = time.perf_counter()
        status, text = _guarded(run)
        yield Check(name, status, text, round(time.perf_counter() - start, 3))


def _guarded(look: Callable[[], Told]) -> Told:
    try:
        return look()
    except PrimeFastError as error:
        return "FAILED", str(error)
    except Exception as error:  # noqa: BLE001 (a broken installation may raise anything; it is told)
        return "FAILED", f"{type(error).__name__}: {error}"


def _version() -> Told:
    text = f"prime-fast {metadata.version('prime-fast')}, Python {platform.python_version()}, "
    return "ok", f"{text}{platform.system()} {platform.machine()}"


def _requirements() -> tuple[list[Any], dict[str, list[Any]]]:
    """Return the packages that are needed, and those of each extra."""
    from packaging.requirements import Requirement

    needed: list[Any] = []
    extras: dict[str, list[Any]] = {}
    for text in metadata.requires("prime-fast") or ():
        requirement = Requirement(text)
        names = [
            extra
            for extra in metadata.metadata("prime-fast").get_all("Provides-Extra") or ()
            if requirement.marker is not None and requirement.marker.evaluate({"extra": extra})
        ]
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed.append(requirement)
        else:
            for extra in names:
                extras.setdefault(extra, []).append(requirement)
    return needed, extras


def _installed(requirement: Any) -> tuple[str | None, bool]:
    """Return a package's version, and whether it is one that is asked for."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return None, False
    return version, requirement.specifier.contains(version, prereleases=True)


def _packages() -> Told:
    found, wrong = [], []
    for requirement in _requirements()[0]:
        version, good = _installed(requirement)
        found.append(f"{requirement.name} {version}")
        if not good:
            wrong.append(f"{requirement.name} {version or 'is missing'}, needed: {requirement}")
    if wrong:
        return "FAILED", f"{'; '.join(wrong)}; install prime-fast again with pip"
    return "ok", ", ".join(found)


def _extras() -> Told:
    present, missing, wrong = [], [], []
    for extra, requirements in _requirements()[1].items():
        each = {requirement: _installed(requirement) for requirement in requirements}
        told = ", ".join(f"{one.name} {version}" for one, (version, _) in each.items() if version)
        if all(good for _, good in each.values()):
            present.append(f"{extra} ({told})")
        elif all(version for version, _ in each.values()):
            wrong.append(f"{extra} ({told}; needed: {', '.join(map(str, requirements))})")
        else:
            missing.append(extra)
    lines = []
    if present:
        lines.append(f"installed: {', '.join(present)}")
    if wrong:
        lines.append(f"of another version: {', '.join(wrong)}")
    if missing:
        lines.append(f"not installed: {', '.join(missing)} (pip install 'prime-fast[{','.join(missing)}]')")
    return "warning" if wrong else "ok", "; ".join(lines) or "none are known"


def _kernels() -> Told:
    from prime_fast import _core

    kernel, features = _core.cpu_features()
    has = ", ".join(name for name, there in features if there)
    lacks = ", ".join(name for name, there in features if not there)
    text = f"{kernel} version" + (f"; the processor has {has}" if has else "")
    if kernel == "baseline" and features:
        return "warning", f"{text}; without {lacks} the simulator is several times slower"
    return "ok", text + (f", not {lacks}" if lacks else "")


def _processors() -> Told:
    usable, there = usable_processors(), os.cpu_count() or 1
    text = f"{usable} of {there} to use ({processor_name()})"
    text += f"; {os.getloadavg()[0]:.1f} busy in the last minute" if hasattr(os, "getloadavg") else ""
    if threads := os.environ.get("RAYON_NUM_THREADS"):
        text += f"; RAYON_NUM_THREADS is {threads}"
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > usable + 0.5:
        return "warning", f"{text}: other work slows this down"
    return "ok", text


def _memory() -> Told:
    try:
        pairs = (line.split(":") for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
        amounts = {name: 1024 * int(text.split()[0]) for name, text in pairs}
    except (OSError, ValueError):
        return "ok", "amount unknown on this system"
    total, free = amounts["MemTotal"], amounts["MemAvailable"]
    text = f"{free / (1 << 30):.1f} of {total / (1 << 30):.1f} GiB available"
    if free < LITTLE_MEMORY:
        return "warning", f"{text}; a run on one application takes about 1 GiB"
    return "ok", text


def _devices() -> Told:
    import jax

    devices = jax.devices()
    text = f"{jax.__version__} on {', '.join(str(device) for device in devices)}"
    if any(device.platform != "cpu" for device in devices):
        return "ok", text
    if shutil.which("nvidia-smi") is None and not Path("/dev/nvidia0").exists():
        return "ok", f"{text}; no GPU found"
    if "cpu" in (chosen := os.environ.get("JAX_PLATFORMS", "")):
        return "ok", f"{text}; JAX_PLATFORMS={chosen} keeps it from the GPU that is there"
    return "warning", f"{text}; a GPU is there that JAX can't use: pip install 'jax[cuda13]'"


def _defaults(file: Path | None) -> Told:
    text = "no prime-fast.toml here or above" if file is None else f"read from {file}"
    given = sorted(name for name in os.environ if name.startswith("PRIME_FAST_"))
    return "ok", text + (f"; in the environment: {', '.join(given)}" if given else "")


def _writable(directory: Path) -> Told:
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        return "FAILED", f"{directory} can't be written: {error.strerror or error}"
    free = shutil.disk_usage(directory).free
    text = f"{directory} can be written, {free / 1e9:.0f} GB free"
    return ("warning", f"{text}: a run needs some MB") if free < 100_000_000 else ("ok", text)


def _repeatable() -> Told:
    """Say what the same seed needs to give the same result."""
    import jax

    flags = os.environ.get("XLA_FLAGS")
    text = (
        f"{processor_name()}, JAX {jax.__version__}, jaxlib {metadata.version('jaxlib')}, "
        f"{jax.default_backend()}"
        f"{f', XLA_FLAGS={flags}' if flags else ''}: the same seed gives the same designs there; what is "
        "trained elsewhere may round differently. Simulator and search don't differ."
    )
    return "ok", text


class SelfTest:
    """Small jobs with known results."""

    def __init__(self) -> None:
        self.surrogate: Any = None

    def simulator(self) -> Told:
        """Compare one design, by itself and in a batch, with stored figures."""
        from prime_fast.designs import reference_design
        from prime_fast.simulator import Simulator

        simulator = Simulator("MobileNetV2")
        design = reference_design("prime-nine-apps").values
        report = simulator.report(design)
        scores = simulator.score(simulator.space.designs([design]))
        for name, wanted in (("latency_us", LATENCY_US), ("energy_uj", ENERGY_UJ), ("area_mm2", AREA_MM2)):
            for found in (getattr(report, name), float(getattr(scores, name)[0])):
                if not abs(found / wanted - 1.0) < TOLERANCE:
                    return "FAILED", f"{name} of MobileNetV2 on prime-nine-apps is {found!r}, not {wanted!r}"
        return "ok", f"MobileNetV2 on prime-nine-apps takes {LATENCY_US:.6g} us, as stored"

    def solve(self) -> Told:
        """Prove the optimum of one application."""
        from prime_fast.exact import solve

        result = solve("MobileNetV2", limits={"area_mm2": 29.0})
        if not (result.proved and abs(result.score / OPTIMUM_US - 1.0) < TOLERANCE):
            return "FAILED", f"optimum of MobileNetV2 in 29 mm2 is {result.score!r} us, not {OPTIMUM_US!r}"
        return "ok", f"{result.score:.6g} us for MobileNetV2 in 29 mm2, proved"

    def search(self) -> Told:
        """Find the same optimum by search."""
        from prime_fast.search import minimize
        from prime_fast.simulator import Simulator

        simulator = Simulator("MobileNetV2")
        limits = {"area_mm2": 29.0}
        found = minimize(simulator.space, simulator, limits=limits, evaluations=20_000, seed=0)
        score = float(found.best_score)
        if not abs(score / OPTIMUM_US - 1.0) < TOLERANCE:
            return "FAILED", f"{score!r} us after 20,000 evaluations, the optimum is {OPTIMUM_US!r}"
        return "ok", "the same optimum within 20,000 evaluations"

    def train(self) -> Told:
        """Train a tiny surrogate, twice: finite, and the same to the last bit."""
        import numpy as np

        from prime_fast.simulator import Simulator
        from prime_fast.surrogate import PRESETS, TrainingData, train

        simulator = Simulator("MobileNetV2")
        designs = simulator.space.sample(600, seed=0)
        scores = simulator.score(designs)
        data = TrainingData(simulator.space, designs, scores.latency_us, scores.feasible)
        tiny = dataclasses.replace(
            PRESETS["quick"],
            width=16, members=2, steps=30, selection_steps=15, batch=64, alphas=(0.0,), betas=(0.0,),
            checkpoints=1,
        )  # fmt: skip
        models = [train(data, tiny, seed=0) for _ in range(2)]
        self.surrogate = models[0]
        predicted = [model.predict(designs).objective for model in models]
        if not np.isfinite(predicted[0]).all():
            return "FAILED", "a tiny surrogate predicts what is not finite"
        if predicted[0].tobytes() != predicted[1].tobytes():
            return "FAILED", "the same seed trained two different surrogates"
        return "ok", "a tiny surrogate, twice the same"

    def save(self) -> Told:
        """Save the surrogate and load it."""
        from prime_fast.simulator import Simulator
        from prime_fast.surrogate import Surrogate

        if self.surrogate is None:
            return "FAILED", "there is no surrogate to save"
        designs = Simulator("MobileNetV2").space.sample(600, seed=0)
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "surrogate.safetensors"
            self.surrogate.save(file)
            loaded = Surrogate.load(file)
        wanted, found = (each.predict(designs).objective.tobytes() for each in (self.surrogate, loaded))
        if wanted != found:
            return "FAILED", "a surrogate predicts something else once it was saved and loaded"
        return "ok", "the surrogate predicts the same once saved and loaded"
