"""Optuna: the trials of a study as a log, a log as trials, and proposals as trials to come.

Needs Optuna: ``pip install 'prime-fast[baselines]'``.

>>> import optuna
>>> from prime_fast import DesignSpace
>>> from prime_fast.adapters.optuna import distributions
>>> distributions(DesignSpace.bundled())["dram_bandwidth"]
CategoricalDistribution(choices=(5, 10, 15, 20, 25, 30))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optuna
import polars as pl
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from prime_fast.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from prime_fast.logs import Log
    from prime_fast.space import DesignSpace, Ranks


def distributions(space: DesignSpace) -> dict[str, BaseDistribution]:
    """Return what `optuna.study.Study.ask` takes: each parameter a choice among its values.

    A choice, as the values of most parameters are no range with a step; samplers see no order in it.
    """
    return {
        name: CategoricalDistribution(values) for name, values in zip(space.names, space.values, strict=True)
    }


def frame_of_study(study: optuna.study.Study, space: DesignSpace, objective: str) -> pl.DataFrame:
    """Return the finished trials of a study as a log.

    Parameters
    ----------
    study : optuna.study.Study
        Of one objective, which is minimised.
    space : DesignSpace
        Trials have its parameters by name; others are left out.
    objective : str
        What the trials' value is to be called.

    Returns
    -------
    polars.DataFrame
        A row a finished trial that has all parameters: these, the objective (null where infeasible),
        ``feasible`` and ``reason``, and as float64 each user attribute that is a number in all trials that
        have it. Failed and pruned trials are infeasible, and those that break a constraint. `write_table`
        and `read_log` make a `Log` of it.

    Raises
    ------
    ConfigurationError
        If the study has several objectives or maximises.
    DataError
        If no finished trial has all the parameters, or one has a value outside its list.
    """
    if len(study.directions) != 1:
        raise ConfigurationError(f"the study has {len(study.directions)} objectives; a log has one")
    if study.direction == optuna.study.StudyDirection.MAXIMIZE:
        raise ConfigurationError("the study maximises; a log's objective is minimised: tell it 1 / value")
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    known = [trial for trial in trials if set(space.names) <= trial.params.keys()]
    if not known:
        raise DataError(f"none of {len(trials)} finished trials has the parameters {', '.join(space.names)}")
    reasons = [_reason(trial) for trial in known]
    columns: dict[str, Any] = {name: [trial.params[name] for trial in known] for name in space.names}
    columns[objective] = pl.Series(
        [trial.value if reason is None else None for trial, reason in zip(known, reasons, strict=True)],
        dtype=pl.Float64,
    )
    taken = {*columns, "feasible", "reason"}
    for name in dict.fromkeys(name for trial in known for name in trial.user_attrs if name not in taken):
        values = [trial.user_attrs.get(name) for trial in known]
        if all(isinstance(value, int | float | None) and not isinstance(value, bool) for value in values):
            columns[name] = pl.Series(values, dtype=pl.Float64, strict=False)
    columns["feasible"] = [reason is None for reason in reasons]
    columns["reason"] = pl.Series(reasons, dtype=pl.String)
    frame = pl.DataFrame(columns, strict=False)
    space.ranks_from_frame(frame)
    return frame


def _reason(trial: FrozenTrial) -> str | None:
    """Return why a trial counts as infeasible."""
    if trial.state != TrialState.COMPLETE:
        return f"trial {trial.state.name.lower()}"
    for name, value in _constraints(trial):
        if value > 0.0:
            return f"constraint {name} is {value:g}"
    return None


def _constraints(trial: FrozenTrial) -> list[tuple[str, float]]:
    """Return a trial's constraints, which are broken above 0: by name, or by position from before names."""
    named = getattr(trial, "constraints", None)
    if named:
        return [(str(name), float(value)) for name, value in dict(named).items()]
    values = trial.system_attrs.get("constraints") or ()
    items = values.items() if isinstance(values, dict) else enumerate(values)
    return [(str(name), float(value)) for name, value in items]


def add_log(study: optuna.study.Study, log: Log) -> int:
    """Add the designs of a log to a study as finished trials; return how many.

    Feasible designs are complete trials with the objective as value, infeasible ones failed trials with the
    user attribute ``reason``.
    """
    kinds = distributions(log.space)
    rows = log.frame.iter_rows(named=True)
    trials = []
    for row in rows:
        good = bool(row["feasible"])
        attributes = {
            name: row[name] for name in log.metrics if name != log.objective and row[name] is not None
        }
        if not good and row.get("reason") is not None:
            attributes["reason"] = row["reason"]
        trials.append(
            optuna.trial.create_trial(
                params={name: row[name] for name in log.space.names},
                distributions=kinds,
                value=float(row[log.objective]) if good else None,
                state=TrialState.COMPLETE if good else TrialState.FAIL,
                user_attrs=attributes,
            )
        )
    study.add_trials(trials)
    return len(trials)


def enqueue(study: optuna.study.Study, space: DesignSpace, designs: Ranks | pl.DataFrame) -> int:
    """Let a study's next trials try these designs, such as proposals; return how many are new to it.

    Parameters
    ----------
    study : optuna.study.Study
    space : DesignSpace
    designs : ndarray of shape (n, parameters), ranks, or DataFrame
        Of values, a column a parameter; other columns are ignored.

    Raises
    ------
    DataError
        If a column is missing, or a value is not its parameter's.
    """
    before = len(study.get_trials(deepcopy=False))
    for row in space.frame(space.designs(designs)).iter_rows(named=True):
        study.enqueue_trial(row, skip_if_exists=True)
    return len(study.get_trials(deepcopy=False)) - before


__all__ = ["add_log", "distributions", "enqueue", "frame_of_study"]
