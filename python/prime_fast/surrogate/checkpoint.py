"""Where a training stands, in one file: written whole every few seconds, checked when it is read back."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from prime_fast.errors import DataError
from prime_fast.logs.writing import atomic_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prime_fast.run_directory import Records

FORMAT = "prime-fast-training/1"
SECONDS = 5.0
"""Least time between two checkpoints, and so about the most that a kill costs."""
SHARE = 0.01
"""Most of the time that checkpoints may take."""

Tree = TypeVar("Tree")


class Saved(NamedTuple):
    """What a checkpoint holds."""

    header: dict[str, Any]
    """JSON values; which they are is the training's affair."""
    arrays: dict[str, NDArray[Any]]


class Checkpoint:
    """Writes where a training stands, and reads it back.

    Parameters
    ----------
    path : Path
    records : Records, optional
        Lines written meanwhile; those written after a checkpoint are taken back with it.

    Attributes
    ----------
    seconds_before : float
        Time that went into the training before it was taken up again.
    """

    def __init__(self, path: Path, records: Records | None = None) -> None:
        self.path, self._records = path, records
        self.seconds_before = 0.0
        self._began = self._last = time.perf_counter()
        self._cost = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to save: after `SECONDS`, or more where that would take over `SHARE`."""
        return time.perf_counter() - self._last > max(SECONDS, self._cost / SHARE)

    def save(self, identity: str, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write a checkpoint in place of the last one.

        Parameters
        ----------
        identity : str
            A digest of all that the training depends on.
        header : mapping of str to JSON value
        arrays : mapping of str to ndarray

        Raises
        ------
        ConfigurationError
            If it can't be written; the last one stays.
        """
        began = time.perf_counter()
        fields = {
            "format": FORMAT,
            "identity": identity,
            "seconds": self.seconds_before + began - self._began,
            "records": 0 if self._records is None else self._records.bytes(),
            "header": dict(header),
        }
        # Not `ascontiguousarray`, which gives a number a dimension.
        tensors = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        text = json.dumps(fields, allow_nan=False)
        metadata = {"prime_fast": text, "sha256": _digest(text, tensors)}
        with atomic_file(self.path) as file:
            file.write(safetensors.numpy.save(tensors, metadata))
        self._last = time.perf_counter()
        self._cost = self._last - began

    def load(self, identity: str) -> Saved | None:
        """Return the last checkpoint, None where there is none; take back what was recorded after it.

        Raises
        ------
        DataError
            If the file is damaged, or is that of another training.
        """
        self._began = self._last = time.perf_counter()
        if not self.path.exists():
            return None
        remedy = "delete it, and the run is trained from its start"
        try:
            with safetensors.safe_open(self.path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            text = metadata.get("prime_fast", "")
            if metadata.get("sha256") != _digest(text, arrays):
                raise ValueError("its content doesn't have the digest written with it")
            fields = json.loads(text)
        except (OSError, safetensors.SafetensorError, TypeError, ValueError) as error:
            raise DataError(f"{self.path} is damaged: {error}; {remedy}") from None
        if fields["format"] != FORMAT:
            raise DataError(
                f"{self.path}: its format is {fields['format']!r}, this version reads {FORMAT!r}; {remedy}"
            )
        if fields["identity"] != identity:
            raise DataError(
                f"{self.path} is of a training with other data, settings or seed than the run's; {remedy}"
            )
        if self._records is not None:
            self._records.rewind(fields["records"])
        self.seconds_before = fields["seconds"]
        return Saved(fields["header"], arrays)


def _digest(text: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def named_arrays(tree: Any, prefix: str = "") -> dict[str, NDArray[Any]]:
    """Return a tree's arrays by their place in it, such as ``.layers.layers[0].weight``."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array))
    return {prefix + jax.tree_util.keystr(place): np.asarray(leaf) for place, leaf in leaves}


def with_arrays(tree: Tree, arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> Tree:
    """Return a tree with other arrays of the same names and shapes; DataError where these don't fit."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    values = []
    for place, leaf in leaves:
        if eqx.is_array(leaf):
            name = prefix + jax.tree_util.keystr(place)
            if name not in arrays or (arrays[name].shape, arrays[name].dtype) != (leaf.shape, leaf.dtype):
                raise DataError(f"{name} of the checkpoint doesn't fit the networks")
            leaf = jnp.asarray(arrays[name])
        values.append(leaf)
    restored: Tree = jax.tree_util.tree_unflatten(structure, values)
    return restored


__all__ = ["Checkpoint", "Saved", "named_arrays", "with_arrays"]
