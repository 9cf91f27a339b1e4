"""The exceptions of prime-fast; each class has the exit code that the command line returns for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class PrimeFastError(Exception):
    """Base of every error that prime-fast raises on purpose; its text is one sentence for the user."""

    exit_code = 1


class ConfigurationError(PrimeFastError, ValueError):
    """An unusable argument or configuration file: unknown name, bad expression, size of zero."""

    exit_code = 2


class DataError(PrimeFastError, ValueError):
    """Unusable data: a truncated log, a value outside its parameter's list, no feasible design logged."""

    exit_code = 3


class NoFeasibleDesignError(PrimeFastError):
    """Nothing in the design space meets the constraints and limits."""

    exit_code = 4


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean X?)"`` for the known name nearest to `name`, or nothing if none is near."""
    import difflib

    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""
