"""Uniform random designs, with replacement, limits ignored."""

from __future__ import annotations

import numpy as np

from peers.search.recording import Recorder

DISTRIBUTION = "numpy"
OBJECTIVES = (1, 2)
BATCH = 4096


def search(recorder: Recorder, seed: int, _method: str) -> None:
    """Draw until the budget is used."""
    generator = np.random.default_rng(seed)
    cardinalities = recorder.problem.cardinalities
    while recorder.left:
        recorder(generator.integers(0, cardinalities, (min(BATCH, recorder.left), len(cardinalities))))
