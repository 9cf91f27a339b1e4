"""The JSON Schema of a design space's file, for editors and for programs that write such files."""

from __future__ import annotations

from typing import Any

MOST_PARAMETERS = 64
MOST_METRICS = 64
MOST_VALUES = 65_535


def space_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) of a design space's TOML file.

    What it can't say is checked when the space is read: that the values of an ordinal parameter rise, that
    names are unique, that expressions can be read and name what there is, and that there are at most 2^64
    designs.
    """
    word = {
        "type": "string",
        "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
        "not": {"enum": ["and", "or", "not", "true", "false"]},
    }
    name = {"$ref": "#/$defs/name"}
    expression = {"$ref": "#/$defs/expression"}
    unit = {"type": "string", "description": "Unit, for people.", "examples": ["KiB", "PEs"]}
    kinds: list[dict[str, Any]] = [{"type": kind} for kind in ("number", "string", "boolean")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "prime-fast design space",
        "type": "object",
        "required": ["name", "parameter"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "description": "Name of the space."},
            "title": {"type": "string", "description": "One line on what the space is."},
            "constants": {
                "type": "object",
                "description": "Numbers that expressions may name.",
                "propertyNames": name,
                "additionalProperties": {"type": "number"},
            },
            "parameter": {
                "type": "array",
                "description": "The parameters, the most significant of the design's index first.",
                "minItems": 1,
                "maxItems": MOST_PARAMETERS,
                "items": _table(
                    ["name", "values"],
                    name=name,
                    unit=unit,
                    column={"type": "string", "description": "The parameter's column in logs, if another."},
                    kind={
                        "enum": ["ordinal", "categorical"],
                        "description": "Whether the order of the values means anything; by default it does "
                        "for numbers, which then must rise, and not for texts and booleans.",
                    },
                    values={
                        "type": "array",
                        "description": "Allowed values, all numbers, all texts or all booleans.",
                        "minItems": 1,
                        "maxItems": MOST_VALUES,
                        "uniqueItems": True,
                        "anyOf": [{"items": kind} for kind in kinds],
                    },
                ),
            },
            "metric": {
                "type": "array",
                "description": "Figures that follow from the parameters, and may be limited.",
                "maxItems": MOST_METRICS,
                "items": _table(["name", "expression"], name=name, unit=unit, expression=expression),
            },
            "constraint": {
                "type": "array",
                "description": "Conditions that a buildable design meets.",
                "items": _table(["name", "expression"], name={"type": "string"}, expression=expression),
            },
        },
        "$defs": {
            "name": word | {"description": "A word that expressions may use."},
            "expression": {
                "type": "string",
                "minLength": 1,
                "maxLength": 4096,
                "description": "Parameters, constants and earlier metrics with or, and, not, <=, <, >=, >, "
                "==, !=, +, -, *, /, //, %, min, max, abs, ceil, floor, log2, (), and texts in quotes.",
            },
        },
    }


def _table(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": properties,
    }
