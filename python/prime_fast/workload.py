"""Applications: the neural networks that an accelerator is designed for."""

from __future__ import annotations

from prime_fast import _core

Application = _core.Application


def application_names() -> list[str]:
    """Return the names of the applications that ship with the package, those of the PRIME paper first."""
    return _core.Application.bundled_names()


def prime_application_names() -> list[str]:
    """Return the names of the nine applications of the PRIME paper; each comes with a log."""
    return _core.Application.prime_names()
