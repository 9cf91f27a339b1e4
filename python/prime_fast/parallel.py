"""One function over many items: in local processes, or on a Ray cluster; results as they come.

The items run in processes of their own even where one is asked for: Ctrl-C then ends the work at once,
whatever it is at, and no process that has started JAX is ever forked. Function, items and results travel by
pickle; nothing is written to disk.
"""

# Nothing heavy here: worker processes import this module before their number of threads is set.
from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from prime_fast.errors import ConfigurationError, PrimeFastError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: What decides the number of threads: XLA's, rayon's, and those of libraries built on OpenMP or Polars.
THREAD_VARIABLES = ("NPROC", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "POLARS_MAX_THREADS")
#: How often a Ray task is tried again whose worker or node was lost.
RETRIES = 3


def for_each(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int = 1,
    threads: int | None = None,
    ray: str | None = None,
) -> Generator[tuple[int, Result], None, None]:
    """Call a function with each item, several at a time; yield positions and results as they are there.

    Parameters
    ----------
    function : callable
        Of a module that the workers can import.
    items : sequence
    workers : int
        Local processes.
    threads : int, optional
        Threads of each; by default the processors divided among the workers, on a cluster 1.
    ray : str, optional
        Address of a Ray cluster to use instead: ``host:port``, ``ray://host:port``, ``auto`` for the one of
        this machine. Its nodes need prime-fast installed; a task takes `threads` of their processors, and
        is tried again, up to 3 times, where its worker is lost.

    Yields
    ------
    (int, result)
        Position of the item, in no particular order.

    Raises
    ------
    ConfigurationError
        If `workers` or `threads` is below 1, Ray is not installed, or there is no cluster at the address.
    PrimeFastError
        If a local worker is lost. What the function raises comes back as it is; the other items are given up.
    """
    for name, value in (("workers", workers), ("threads", threads)):
        if value is not None and value < 1:
            raise ConfigurationError(f"{name} is {value}; it must be at least 1")
    if not items:
        return
    if ray is not None:
        yield from _on_ray(function, items, ray, threads or 1)
        return
    workers = min(workers, len(items))
    yield from _locally(function, items, workers, threads or max(1, _processors() // workers))


def _processors() -> int:
    # Those that this process may use, where the system tells.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _limit_threads(threads: int) -> None:
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))


def _start_worker(threads: int) -> None:
    """Prepare a local worker: Ctrl-C is the parent's to handle, and no worker outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_threads(threads)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _locally(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, threads: int
) -> Generator[tuple[int, Result], None, None]:
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(threads,)
    )
    try:
        positions = {executor.submit(function, item): position for position, item in enumerate(items)}
        left = set(positions)
        while left:
            # Ctrl-C may reach another thread: this one looks now and then.
            done, left = wait(left, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=positions.__getitem__):
                yield positions[future], future.result()
    except BrokenProcessPool:
        raise PrimeFastError(
            "a worker process was lost: killed, or out of memory; what was finished is kept"
        ) from None
    except BaseException:
        # Ctrl-C, an error, or nobody wants more: running items would go on for minutes.
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _check_address(address: str) -> None:
    """Raise OSError or ValueError where nobody listens: Ray itself would try for minutes."""
    if address == "auto":
        return
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not (separator and host and port.isdecimal()):
        raise ValueError("an address has the form HOST:PORT, ray://HOST:PORT or auto")
    with socket.create_connection((host, int(port)), timeout=10.0):
        pass


def _on_ray(
    function: Callable[[Item], Result], items: Sequence[Item], address: str, threads: int
) -> Generator[tuple[int, Result], None, None]:
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise ConfigurationError(
            f"a Ray cluster needs Ray ({error}): pip install 'prime-fast[ray]'"
        ) from None
    joined = ray.is_initialized()
    if not joined:
        try:
            _check_address(address)
            ray.init(address=address, log_to_driver=False, logging_level="error")
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ConfigurationError(f"no Ray cluster at {address!r}: {cause}") from None

    @ray.remote(num_cpus=threads, max_retries=RETRIES)  # type: ignore[untyped-decorator]
    def call(item: Item) -> Result:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
        return function(item)

    pending: dict[Any, int] = {}
    try:
        pending |= {call.remote(item): position for position, item in enumerate(items)}
        while pending:
            done, _ = ray.wait(list(pending), timeout=0.5)
            for reference in done:
                try:
                    result = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                except ray.exceptions.RayError as error:
                    cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
                    raise PrimeFastError(f"the Ray cluster gave up a task: {cause}") from None
                yield pending.pop(reference), result
    finally:
        for reference in pending:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.cancel(reference, force=True)
        if not joined:
            ray.shutdown()
