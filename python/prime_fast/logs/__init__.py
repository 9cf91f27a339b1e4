"""Logs of designs: read and checked, inspected, generated, written, and the ones that come along."""

from prime_fast.logs.bundled import bundled_log
from prime_fast.logs.contexts import read_contexts
from prime_fast.logs.formats import files_of
from prime_fast.logs.generating import generate
from prime_fast.logs.inspecting import Inspection, inspect, render
from prime_fast.logs.log import Dropped, Log, Source
from prime_fast.logs.mapping import LogMapping
from prime_fast.logs.reading import read_log, read_table
from prime_fast.logs.tfrecord import read_tfrecords
from prime_fast.logs.writing import atomic_file, write_table

__all__ = [
    "Dropped",
    "Inspection",
    "Log",
    "LogMapping",
    "Source",
    "atomic_file",
    "bundled_log",
    "files_of",
    "generate",
    "inspect",
    "read_contexts",
    "read_log",
    "read_table",
    "read_tfrecords",
    "render",
    "write_table",
]
