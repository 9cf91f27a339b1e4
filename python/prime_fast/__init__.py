"""From logged accelerator designs to a better accelerator: conservative offline optimisation.

>>> import prime_fast as pf
>>> simulator = pf.Simulator("MobileNetV2")
>>> scores = simulator.score(simulator.space.sample(1000, seed=0))
>>> scores.latency_us.shape
(1000,)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from prime_fast.errors import ConfigurationError, DataError, NoFeasibleDesignError, PrimeFastError

if TYPE_CHECKING:
    from prime_fast import benchmark, logs, search, surrogate
    from prime_fast.analysis import Analysis, explain_run
    from prime_fast.designs import ReferenceDesign, reference_design, reference_design_names
    from prime_fast.exact import SolveResult, solve
    from prime_fast.explanation import Report
    from prime_fast.pipeline import OptimizeResult, optimize, resume
    from prime_fast.refining import RefineResult, refine
    from prime_fast.report import WrittenReport, write_report
    from prime_fast.simulator import Scores, Simulator
    from prime_fast.space import DesignSpace
    from prime_fast.sweeping import SweepResult, sweep
    from prime_fast.workload import Application, application_names, prime_application_names

__all__ = [
    "Analysis",
    "Application",
    "ConfigurationError",
    "DataError",
    "DesignSpace",
    "NoFeasibleDesignError",
    "OptimizeResult",
    "PrimeFastError",
    "ReferenceDesign",
    "RefineResult",
    "Report",
    "Scores",
    "Simulator",
    "SolveResult",
    "SweepResult",
    "WrittenReport",
    "application_names",
    "benchmark",
    "explain_run",
    "logs",
    "optimize",
    "prime_application_names",
    "reference_design",
    "reference_design_names",
    "refine",
    "resume",
    "search",
    "solve",
    "surrogate",
    "sweep",
    "write_report",
]

# Imported on first use, so that what needs no JAX does not wait for it.
_HOMES = {
    "Analysis": "analysis",
    "Application": "workload",
    "DesignSpace": "space",
    "OptimizeResult": "pipeline",
    "ReferenceDesign": "designs",
    "RefineResult": "refining",
    "Report": "explanation",
    "Scores": "simulator",
    "Simulator": "simulator",
    "SolveResult": "exact",
    "SweepResult": "sweeping",
    "WrittenReport": "report",
    "application_names": "workload",
    "explain_run": "analysis",
    "optimize": "pipeline",
    "prime_application_names": "workload",
    "reference_design": "designs",
    "reference_design_names": "designs",
    "refine": "refining",
    "resume": "pipeline",
    "solve": "exact",
    "sweep": "sweeping",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"prime_fast.{_HOMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"prime_fast.{name}")
    raise AttributeError(f"module 'prime_fast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
