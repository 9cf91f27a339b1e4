"""The small logs that come with the package, one for each application of the PRIME paper.

Made by bench/make_bundled_logs.py.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

from prime_fast.errors import ConfigurationError
from prime_fast.logs.log import Log
from prime_fast.logs.reading import read_log
from prime_fast.space import DesignSpace
from prime_fast.workload import Application


def bundled_file(application: str) -> str:
    """Return the name of the file with an application's log: ``t-rnn_dec.parquet`` for t-RNN Dec.

    Raises
    ------
    ConfigurationError
        If no application of that name comes with the package.
    """
    return Application.bundled(application).name.lower().replace(" ", "_") + ".parquet"


def bundled_log(application: str, space: DesignSpace | None = None, objective: str = "latency_us") -> Log:
    """Read the log of an application on PRIME's design space that comes with the package.

    Parameters
    ----------
    application : str
        Name of an application of the PRIME paper.
    space : DesignSpace, optional
        PRIME's space, where it is at hand already.
    objective : str
        What to minimise: ``latency_us`` or ``energy_uj``.

    Returns
    -------
    Log
        About 5,000 feasible designs, each at least 2.05 times as slow as the best design within 29 mm2, and
        about 5,000 infeasible ones.

    Raises
    ------
    ConfigurationError
        If no application of that name comes with the package, or no log of it.
    DataError
        If the log has no such objective.
    """
    name = bundled_file(application)
    file = resources.files("prime_fast").joinpath("data", "logs", name)
    if not file.is_file():
        raise ConfigurationError(
            f"no log of {Application.bundled(application).name} comes with the package; name logs of your own"
        )
    with resources.as_file(file) as path:
        log = read_log(path, space or DesignSpace.bundled("prime"), objective)
    # Where the package lies differs from machine to machine; what was read does not.
    return replace(log, sources=(replace(log.sources[0], path=f"bundled:{name}"),))
