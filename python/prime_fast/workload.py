"""Applications: the neural networks that an accelerator is designed for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prime_fast import _core
from prime_fast.errors import ConfigurationError
from prime_fast.space import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Application = _core.Application

FEATURES = (
    "conv_layers", "depthwise_layers", "feed_forward_layers", "recurrent_layers", "parameter_bytes", "macs",
    "vector_operations", "activation_bytes", "largest_activation_bytes", "largest_parameter_bytes",
    "largest_macs", "macs_per_byte", "macs_per_parameter_byte",
)  # fmt: skip
"""Names of the features that `context_of` computes, in their order."""


def application_names() -> list[str]:
    """Return the names of the applications that ship with the package, those of the PRIME paper first."""
    return _core.Application.bundled_names()


def prime_application_names() -> list[str]:
    """Return the names of the nine applications of the PRIME paper; each comes with a log."""
    return _core.Application.prime_names()


def is_file_name(name: str | Path) -> bool:
    """Return whether `name` stands for a file: it is a Path, ends in .toml or .onnx, or has a directory."""
    if isinstance(name, Path):
        return True
    return Path(name).suffix.lower() in (".toml", ".onnx") or "/" in name or "\\" in name


def application_named(name: str | Path | Application) -> Application:
    """Return the application that ships with the package under a name, or the one that a TOML file describes.

    Parameters
    ----------
    name : str, Path or Application
        A name, upper and lower case alike; or the path of a file, known by its ending .toml or a directory in
        it.

    Raises
    ------
    ConfigurationError
        If there is no such application or file, or the file describes no application.
    """
    if isinstance(name, Application):
        return name
    if not is_file_name(name):
        try:
            return Application.bundled(str(name))
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}; or name a TOML file of one") from None
    if Path(name).suffix.lower() == ".onnx":
        raise ConfigurationError(
            f"{name}: an ONNX file; first make an application of it by `prime-fast workload import {name} "
            "--out "
            f"{Path(name).with_suffix('.toml')}`"
        )
    return Application.from_toml(read_text(name, "an application"), str(name))


def own_application(path: str | Path) -> Application:
    """Return the application of a TOML file whose name is not that of one that ships with the package.

    Raises
    ------
    ConfigurationError
        As `application_named`, and for a name that is taken, as logs and runs know applications by name
        alone.
    """
    application = application_named(path)
    if application.name.lower() in {name.lower() for name in application_names()}:
        raise ConfigurationError(
            f"{path}: it is called {application.name}, as an application that ships with the package; rename "
            "it, or "
            f"name {application.name} in place of the file"
        )
    return application


def workload_texts(applications: Mapping[str, Application]) -> dict[str, str]:
    """Return the text of each application's file, by name."""
    return {name: application.to_toml() for name, application in applications.items()}


def context_of(application: Application) -> NDArray[np.float64]:
    """Return the features of a workload.

    Returns
    -------
    ndarray of shape (13,), float64
        ``log(1 + x)`` of each of `FEATURES`: numbers of layers by kind, bytes of weights and of activations
        read and written, MACs, the largest of each in one layer, and the arithmetic intensities MACs / (bytes
        of weights and activations) and MACs / bytes of weights.
    """
    totals: dict[str, float] = {**application.totals}  # type: ignore[dict-item]
    totals["macs_per_byte"] = totals["macs"] / (totals["parameter_bytes"] + totals["activation_bytes"])
    totals["macs_per_parameter_byte"] = totals["macs"] / max(totals["parameter_bytes"], 1)
    return np.array([math.log1p(totals[name]) for name in FEATURES])
