"""Records a second of the reader of PRIME's published data set, beside the PyPI package ``tfrecord``.

    pip install tfrecord==1.14.6
    python bench/tfrecord_reading.py

Writes records in the published form to a temporary folder, one file an application, reads all of them with
`prime_fast.logs.read_tfrecords` (checksums, hashes of the files and the frame included) and some of them with
the package, which checks no checksum, and prints both rates and their ratio, the second time by the time that
processors were busy, which other work on the machine changes little. What is read must be the same.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from tfrecord.reader import tfrecord_loader

from prime_fast import DesignSpace, prime_application_names
from prime_fast.logs import read_tfrecords
from tfrecord_writing import FLOATS, write_designs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

T = TypeVar("T")


def columns(designs: int, seed: int) -> dict[str, NDArray[np.generic]]:
    """Return random designs of PRIME's space with made-up figures."""
    space, random = DesignSpace.bundled(), np.random.default_rng(seed)
    frame = space.frame(space.sample(designs, seed))
    values = [frame[name].to_numpy() for name in space.names]
    figures = [random.lognormal(6.0, 1.0, designs), random.uniform(1.0, 100.0, designs)]
    return dict(zip(FLOATS, [*values, *figures], strict=True)) | {
        "infeasible": random.integers(0, 2, designs)
    }


def timed(work: Callable[[], T], repeats: int) -> tuple[T, float, float]:
    """Return what the work returns, its least time and its least time of all processors, in seconds."""
    least, least_busy = float("inf"), float("inf")
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        result = work()
        least = min(least, time.perf_counter() - start)
        least_busy = min(least_busy, time.process_time() - busy)
    return result, least, least_busy


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--peer-records", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=3, help="the least time counts")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    names = prime_application_names()
    with tempfile.TemporaryDirectory() as folder:
        for seed, name in enumerate(names):
            share = (arguments.records + seed) // len(names)
            write_designs(Path(folder, name, "designs.tfrecord"), columns(share, seed))
        files = sorted(Path(folder).rglob("*.tfrecord"))
        size = sum(file.stat().st_size for file in files)

        def peer() -> list[dict[str, NDArray[np.generic]]]:
            kinds = dict.fromkeys(FLOATS, "float") | {"infeasible": "int"}
            records = itertools.chain.from_iterable(tfrecord_loader(str(file), None, kinds) for file in files)
            return list(itertools.islice(records, arguments.peer_records))

        (frame, _, _), ours, ours_busy = timed(
            lambda: read_tfrecords(folder, threads=arguments.threads), arguments.repeats
        )
        theirs_read, theirs, theirs_busy = timed(peer, arguments.repeats)
    for name in (*FLOATS, "infeasible"):
        read = np.concatenate([record[name] for record in theirs_read]).astype(float)
        mine = frame[name].head(len(read)).cast(float).to_numpy()
        known = ~np.isnan(mine)
        assert np.array_equal(mine[known], read[known]), name
    print(f"{frame.height:,} records in {len(files)} files, {size / 1e6:,.0f} MB")
    rows = (
        ("a second", frame.height / ours, len(theirs_read) / theirs),
        ("a second of processor", frame.height / ours_busy, len(theirs_read) / theirs_busy),
    )
    for unit, rate, other in rows:
        print(f"records {unit}: prime-fast {rate:,.0f}, tfrecord {other:,.0f}, ratio {rate / other:,.0f}")


if __name__ == "__main__":
    main()
