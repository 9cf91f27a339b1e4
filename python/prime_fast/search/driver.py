"""The search in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prime_fast import _core
from prime_fast.errors import ConfigurationError
from prime_fast.search.arguments import checked_space, flag, start_of, upper_limits
from prime_fast.search.optimizer import Optimizer, Scorer
from prime_fast.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import polars as pl

    from prime_fast.logs import Log
    from prime_fast.search.result import SearchResult
    from prime_fast.space import DesignSpace, Ranks


def minimize(
    space: DesignSpace,
    scorer: Scorer | Simulator,
    *,
    limits: Mapping[str, float] | None = None,
    evaluations: int = 50_000,
    batch: int | None = None,
    seed: int = 0,
    method: str = "genetic",
    keep: int = 16,
    objective: str | Sequence[str] = "latency_us",
    measures: Mapping[str, tuple[float, float, int]] | None = None,
    start: Ranks | pl.DataFrame | Log | None = None,
    target: float | None = None,
    seconds: float | None = None,
    stagnation: int | None = None,
    overlap: bool = False,
    pad: bool | None = None,
    nan: str = "error",
    threads: int | None = None,
    record: bool = False,
    callback: Callable[[int, float | None, float], None] | None = None,
    **options: float,
) -> SearchResult:
    """Search a space for the designs of least score.

    Parameters
    ----------
    space : DesignSpace
    scorer : callable or Simulator
        A callable takes ranks of shape (n_designs, n_parameters) and returns scores of shape (n_designs,),
        lower is better, or of shape (n_designs, n_columns) where there are several objectives or measures; or
        a pair of scores and violations (0 is feasible). An exception that it raises comes back as it is, with
        what was found so far as its attribute ``search_result``. A simulator is searched within Rust.
    limits : mapping of str to float, optional
        Upper limits on metrics that the space computes, such as ``{"area_mm2": 29.0}``, and on what a
        simulator gives: ``latency_us``, ``energy_uj``, ``average_power_mw``, ``peak_power_mw``.
    evaluations : int
        Designs to score at most; the search ends before where the space is exhausted.
    batch : int, optional
        Designs a call of the scorer; by default 512 for a simulator (256 with ``"nsga2"``), else 4096.
    seed : int
        Any integer. The same seed gives the same result at any number of threads.
    method : str
        ``"genetic"``, or another of `METHODS`.
    keep : int
        How many of the best designs to return.
    objective : str or sequence of str
        What to minimise: for a simulator one of the names above or a metric of the space, two or three for
        ``"nsga2"``; for a callable the names that columns of the result bear.
    measures : mapping of str to (low, high, bins), optional
        For ``"quality_diversity"``: two measures of designs, by whose values they are put into
        ``bins`` cells between ``low`` and ``high``.
    start : ndarray of shape (n, n_parameters), DataFrame or Log, optional
        Designs to start with, such as a log. Where a frame has columns of the objective's name, those scores
        are taken as they stand: the designs are not scored again, and don't count as evaluations.
    target : float, optional
        End once a feasible design scores no more than this.
    seconds : float, optional
        End after the batch during which this much time has passed; a batch that takes long to find, as where
        nearly all designs are scored, is given up.
    stagnation : int, optional
        End once this many designs have been scored since the last better one.
    overlap : bool
        Make the next batch while one is scored; its designs then follow from the scores of the batch before.
        For scorers that leave processors idle, such as an accelerator. Without effect on ``"firefly"``,
        ``"local_search"``, ``"annealing"`` and ``"differential_evolution"``, which need all scores so far for
        the next batch.
    pad : bool, optional
        Fill batches up to `batch` rows with their first design, so that a compiled function sees one shape;
        by default where the scorer is a function of `jax.jit`.
    nan : {"error", "infeasible"}
        What a score of NaN means.
    threads : int, optional
        For a simulator.
    record : bool
        Keep every design scored, for `SearchResult.evaluated`.
    callback : callable, optional
        Called after each batch with the designs scored, the best score or None, and the seconds so far.
    **options : float
        The method's own, such as ``population``.

    Returns
    -------
    SearchResult
        Also after Ctrl-C, with ``stopped_by == "interrupt"``, unless nothing was scored by then; and where
        nothing is feasible, with the design that misses the constraints by least and ``feasible`` False.

    Raises
    ------
    ConfigurationError, DataError
        For unusable arguments, scores that are NaN and arrays of the wrong shape.
    """
    checked_space(space)
    if "journal" in options:
        raise ConfigurationError("minimize has no option `journal`; record=True keeps every design scored")
    given = upper_limits(limits)
    outputs = {
        name: limit
        for name, limit in given.items()
        if isinstance(scorer, Simulator) and name in _core.OUTPUTS and name not in space.metric_names
    }
    optimizer = Optimizer(
        space,
        method,
        seed=seed,
        limits={name: limit for name, limit in given.items() if name not in outputs},
        objective=objective,
        measures=measures,
        keep=keep,
        journal=flag("record", record),
        **options,
    )
    if start is not None:
        optimizer.start_with(*start_of(start, space, optimizer.columns))
    return optimizer.minimize(
        scorer,
        evaluations=evaluations,
        batch=batch,
        limits=outputs,
        target=target,
        seconds=seconds,
        stagnation=stagnation,
        overlap=overlap,
        pad=pad,
        nan=nan,
        threads=threads,
        record=record,
        callback=callback,
    )
