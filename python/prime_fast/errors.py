"""The exceptions of prime-fast; each class has the exit code that the command line returns for it."""


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
