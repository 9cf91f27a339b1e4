"""Training metrics for TensorBoard and MLflow, beside the JSON lines that every run writes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from prime_fast.errors import ConfigurationError

Record = Callable[[dict[str, Any]], None]

EXPERIMENT = "prime-fast"
FLUSH_SECONDS = 5
"""What TensorBoard may lag behind by."""
LONGEST = 500
"""Characters of a parameter's value that MLflow always takes."""
KEY = "prime_fast.run"
"""Tag of an MLflow run by which a resumed run finds it."""


def check_installed(tensorboard: object, mlflow: object) -> None:
    """Raise ConfigurationError if the extra for one that is not None isn't there; ask before long work."""
    for extra, module, given in (("tensorboard", "tensorboardX", tensorboard), ("mlflow", "mlflow", mlflow)):
        if given is not None and find_spec(module) is None:
            raise ConfigurationError(
                f'--{extra} needs {module}, which is not installed: pip install "prime-fast[{extra}]"'
            )


@contextmanager
def tracked(
    tensorboard: str | Path | None, mlflow: str | None, name: str, parameters: Mapping[str, Any]
) -> Iterator[list[Record]]:
    """Yield what takes the records of a training, by their key ``event``.

    Parameters
    ----------
    tensorboard : path, optional
        Directory for event files.
    mlflow : str, optional
        Tracking URI: a server's, or ``file:`` and a directory.
    name : str
        Of the run, unlike that of any other; one that MLflow knows goes on.
    parameters : mapping of str to JSON value
        Inputs of the run, for MLflow.

    Raises
    ------
    ConfigurationError
        If the extra for one of them isn't installed, or it can't be written to.
    """
    with ExitStack() as stack:
        sinks = []
        if tensorboard is not None:
            sinks.append(stack.enter_context(_tensorboard(tensorboard)))
        if mlflow is not None:
            sinks.append(stack.enter_context(_mlflow(mlflow, name, parameters)))
        yield sinks


def metrics_of(record: Mapping[str, Any]) -> tuple[dict[str, float], int]:
    """Return the figures of a record by names that tell its curve, and its step.

    Of a candidate in the selection the step is the percentage of the steps trained.
    """
    event = record["event"]
    numbers = {
        name: float(value)
        for name, value in record.items()
        if isinstance(value, float | int) and not isinstance(value, bool)
    }
    share = numbers.pop("share", 0.0)
    step = int(numbers.pop("step", round(100 * share)))
    where = str(record.get("phase", event))
    if event != "selected":
        # What tells its curve from those of other candidates.
        where += "".join(f"/{name}={numbers.pop(name):g}" for name in ("alpha", "beta") if name in numbers)
    return {f"{where}/{name}": value for name, value in numbers.items()}, step


@contextmanager
def _tensorboard(directory: str | Path) -> Iterator[Record]:
    import tensorboardX

    try:
        writer = tensorboardX.SummaryWriter(str(directory), flush_secs=FLUSH_SECONDS)
    except OSError as error:
        raise ConfigurationError(f"{directory}: can't be written: {error.strerror or error}") from None

    def record(entry: dict[str, Any]) -> None:
        figures, step = metrics_of(entry)
        for name, value in figures.items():
            writer.add_scalar(name, value, step)

    try:
        yield record
    finally:
        writer.close()


@contextmanager
def _mlflow(uri: str, name: str, parameters: Mapping[str, Any]) -> Iterator[Record]:
    import mlflow
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException

    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(EXPERIMENT)
        experiment = client.create_experiment(EXPERIMENT) if known is None else known.experiment_id
        tag = name.replace("'", "")
        found = client.search_runs([experiment], f"tags.`{KEY}` = '{tag}'", max_results=1)
        run = found[0] if found else client.create_run(experiment, tags={KEY: tag}, run_name=tag)
        identity = run.info.run_id
        client.update_run(identity, status="RUNNING")
        if not found:
            told = {
                key: value if isinstance(value, str) else json.dumps(value)
                for key, value in parameters.items()
            }
            client.log_batch(identity, params=[Param(key, value[:LONGEST]) for key, value in told.items()])

        def record(entry: dict[str, Any]) -> None:
            figures, step = metrics_of(entry)
            now = time.time_ns() // 1_000_000
            # Its names hold no equals signs.
            metrics = [Metric(key.replace("=", " "), value, now, step) for key, value in figures.items()]
            client.log_batch(identity, metrics=metrics)

        status = "FAILED"
        try:
            yield record
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            client.set_terminated(identity, status)
    except MlflowException as error:
        raise ConfigurationError(f"MLflow at {uri}: {error}") from None


__all__ = ["check_installed", "metrics_of", "tracked"]
