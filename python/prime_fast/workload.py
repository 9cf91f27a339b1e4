"""Applications: the neural networks that an accelerator is designed for."""

from __future__ import annotations

from prime_fast import _core

Application = _core.Application


def application_names() -> list[str]:
    """Return the names of the applications that ship with the package."""
    return _core.Application.bundled_names()
