"""Design spaces as files: proposed from a log, looked into, described by a schema."""

from prime_fast.spaces.inference import InferredSpace, infer_space
from prime_fast.spaces.inspection import SpaceInspection, inspect_space, render
from prime_fast.spaces.schema import space_schema

__all__ = [
    "InferredSpace",
    "SpaceInspection",
    "infer_space",
    "inspect_space",
    "render",
    "space_schema",
]
