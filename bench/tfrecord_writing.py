"""TFRecord files in the form of PRIME's published data set, for tests and benches."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FLOATS = (*(f"param_{number}" for number in range(1, 11)), "runtime", "area")
POLYNOMIAL = 0x82F63B78  # CRC-32C, bits reversed


def _table() -> NDArray[np.uint32]:
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = ((crc >> 1) ^ np.where(crc & 1, POLYNOMIAL, 0)).astype(np.uint32)
    return crc


TABLE = _table()


def masked_crcs(rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return the masked CRC-32C of each row: ndarray of shape (n_rows,)."""
    crc = np.full(len(rows), 0xFFFFFFFF, dtype=np.uint32)
    for column in rows.T:
        crc = TABLE[(crc ^ column) & 0xFF] ^ (crc >> 8)
    crc = ~crc
    return (((crc >> 15) | (crc << 17)) + np.uint32(0xA282EAD8)).astype(np.uint32)


def framed(payload: bytes) -> bytes:
    """Return a record: length, its checksum, payload, its checksum."""
    length = struct.pack("<Q", len(payload))
    crcs = [int(masked_crcs(np.frombuffer(part, np.uint8)[None])[0]) for part in (length, payload)]
    return length + struct.pack("<I", crcs[0]) + payload + struct.pack("<I", crcs[1])


def _varint(value: int) -> bytes:
    value &= 2**64 - 1
    digits = []
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def example(features: Mapping[str, Sequence[float] | Sequence[int] | Sequence[bytes] | None]) -> bytes:
    """Return a serialized tf.train.Example; its lists are of their values' kinds, None is no list."""
    entries = b""
    for name, values in features.items():
        if values is None:
            feature = b""
        elif all(isinstance(value, bytes) for value in values):
            feature = _field(1, b"".join(_field(1, value) for value in values if isinstance(value, bytes)))
        elif all(isinstance(value, int) for value in values):
            feature = _field(3, _field(1, b"".join(_varint(int(value)) for value in values)))
        else:
            feature = _field(2, _field(1, np.asarray(values, dtype="<f4").tobytes()))
        entries += _field(1, _field(1, name.encode()) + _field(2, feature))
    return _field(1, entries)


def designs(columns: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return records of designs: columns ``param_1`` and so on as numbers, ``infeasible`` as 0 and 1."""
    # All records have one layout: a template, and in it the places of the numbers.
    marks = {name: 1e30 + number * 1e28 for number, name in enumerate(FLOATS)}
    payload = example({name: [mark] for name, mark in marks.items()} | {"infeasible": [0x55]})
    template = np.frombuffer(framed(payload), np.uint8)
    infeasible = np.asarray(columns["infeasible"], dtype=np.uint8)
    rows = np.tile(template, (len(infeasible), 1))
    for name, mark in marks.items():
        start = 12 + payload.index(struct.pack("<f", mark))
        rows[:, start : start + 4] = np.asarray(columns[name], dtype="<f4")[:, None].view(np.uint8)
    rows[:, 12 + payload.rindex(b"\x55")] = infeasible
    rows[:, -4:] = masked_crcs(rows[:, 12:-4]).astype("<u4")[:, None].view(np.uint8)
    return rows.tobytes()


def write_designs(path: Path, columns: Mapping[str, NDArray[np.generic]]) -> None:
    """Write a TFRecord file of designs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(designs(columns))
