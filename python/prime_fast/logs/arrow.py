"""Arrow IPC files: lengths, checked before Polars reserves memory by them, and streams in parts.

A compressed buffer starts with the length that it unpacks to; where that is damaged, Polars asks for as much
memory and the process ends. Layout: https://arrow.apache.org/docs/format/Columnar.html and the FlatBuffers
schemas Message.fbs and File.fbs that it names.
"""

from __future__ import annotations

import io
import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"ARROW1"
CONTINUATION = 0xFFFFFFFF
MOST_METADATA = 1 << 28
# 128 KiB in a block of 4 bytes is the most that Zstandard packs; LZ4 packs less.
MOST_PACKED = 32_768
_DICTIONARY, _BATCH = 2, 3


def check_arrow(file: io.BufferedIOBase, *, stream: bool) -> None:
    """Raise ValueError if lengths in an Arrow IPC file or stream can't be right."""
    size = file.seek(0, io.SEEK_END)
    try:
        for offset in _stream(file, size) if stream else _blocks(file, size):
            _check_message(file, offset, size)
    except (struct.error, IndexError, OverflowError):
        raise ValueError("its metadata is damaged or cut short") from None


def stream_parts(file: io.BufferedIOBase, rows: int) -> Iterator[bytes]:
    """Yield streams of at least `rows` rows, the last one maybe of fewer, that together are a checked one.

    Each has the schema, the dictionaries read so far, and the next batches. What one batch holds is not
    divided.
    """
    size = file.seek(0, io.SEEK_END)
    starts = [*_stream(file, size), size]
    head, batches, held = b"", b"", 0
    for offset, end in pairwise(starts):
        start, length = _header(file, offset, size)
        if length == 0:
            break
        message = FlatBuffer(_read(file, start, length, size))
        file.seek(offset)
        content = file.read(end - offset)
        batch = message.table(message.root, 2)
        if message.field("<B", message.root, 1, 0) != _BATCH or batch is None:
            head += content
            continue
        batches, held = batches + content, held + message.field("<q", batch, 0, 0)
        if held >= rows:
            yield head + batches
            batches, held = b"", 0
    if batches or not held:
        yield head + batches


def _read(file: io.BufferedIOBase, offset: int, length: int, size: int) -> bytes:
    if offset < 0 or length < 0 or length > MOST_METADATA or offset + length > size:
        raise ValueError(f"it names {length:,} bytes from byte {offset:,} and has {size:,}")
    file.seek(offset)
    return file.read(length)


def _blocks(file: io.BufferedIOBase, size: int) -> Iterator[int]:
    """Yield where the messages start that a file's footer names."""
    tail = _read(file, max(0, size - 10), min(size, 10), size)
    if size < 20 or tail[4:] != MAGIC:
        raise ValueError("its end is missing")
    (length,) = struct.unpack_from("<i", tail)
    footer = FlatBuffer(_read(file, size - 10 - length, length, size))
    for field in (2, 3):
        for place in footer.vector(footer.root, field, width=24):
            yield footer.number("<q", place)


def _stream(file: io.BufferedIOBase, size: int) -> Iterator[int]:
    """Yield where the messages of a stream start."""
    offset = 0
    while offset + 8 <= size:
        yield offset
        start, length = _header(file, offset, size)
        if length == 0:
            return
        message = FlatBuffer(_read(file, start, length, size))
        offset = start + length + max(0, message.field("<q", message.root, 3, 0))


def _header(file: io.BufferedIOBase, offset: int, size: int) -> tuple[int, int]:
    """Return where a message's metadata starts, and its length."""
    mark, length = struct.unpack("<Ii", _read(file, offset, 8, size))
    # Before version 0.15 the length stood first.
    return (offset + 8, length) if mark == CONTINUATION else (offset + 4, mark)


def _check_message(file: io.BufferedIOBase, offset: int, size: int) -> None:
    start, length = _header(file, offset, size)
    if length == 0:
        return
    message = FlatBuffer(_read(file, start, length, size))
    body, body_length = start + length, message.field("<q", message.root, 3, 0)
    if not 0 <= body_length <= size - body:
        raise ValueError(f"a part of it would have {body_length:,} bytes of {size - body:,} left")
    kind = message.field("<B", message.root, 1, 0)
    batch = message.table(message.root, 2)
    if kind == _DICTIONARY and batch is not None:
        batch = message.table(batch, 1)
    if kind not in {_DICTIONARY, _BATCH} or batch is None:
        return
    packed = message.table(batch, 3) is not None
    for place in message.vector(batch, 2, width=16):
        at, held = message.number("<q", place), message.number("<q", place + 8)
        if at < 0 or held < 0 or at + held > body_length:
            raise ValueError(f"a column would have {held:,} bytes of {body_length:,}")
        if packed and held >= 8:
            (claimed,) = struct.unpack("<q", _read(file, body + at, 8, size))
            if claimed < -1 or claimed > held * MOST_PACKED:
                raise ValueError(f"{held:,} bytes would unpack to {claimed:,}")


class FlatBuffer:
    """Reads numbers, tables and vectors of a FlatBuffers message; struct.error where they lie outside."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.root = self.number("<I", 0)

    def number(self, kind: str, place: int) -> int:
        """Return the number at a place."""
        if place < 0:
            raise IndexError
        value: Any = struct.unpack_from(kind, self.content, place)[0]
        return int(value)

    def _place(self, table: int, field: int) -> int | None:
        """Return where a field lies, None if the table leaves it out."""
        layout = table - self.number("<i", table)
        slot = 4 + 2 * field
        if slot >= self.number("<H", layout):
            return None
        offset = self.number("<H", layout + slot)
        return table + offset if offset else None

    def field(self, kind: str, table: int, field: int, default: int) -> int:
        """Return a number of a table."""
        place = self._place(table, field)
        return default if place is None else self.number(kind, place)

    def table(self, table: int, field: int) -> int | None:
        """Return where a table's table starts."""
        place = self._place(table, field)
        return None if place is None else place + self.number("<I", place)

    def vector(self, table: int, field: int, width: int) -> range:
        """Return where the entries of a table's vector start."""
        place = self.table(table, field)
        if place is None:
            return range(0)
        length = self.number("<I", place)
        if place + 4 + length * width > len(self.content):
            raise IndexError
        return range(place + 4, place + 4 + length * width, width)
