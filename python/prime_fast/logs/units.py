"""Units that a log's columns may be converted between, by exact factors."""

from __future__ import annotations

from fractions import Fraction

from prime_fast.errors import ConfigurationError, did_you_mean

# Each unit in the first of its kind.
UNITS: dict[str, dict[str, Fraction]] = {
    "time": {
        "s": Fraction(1),
        "ms": Fraction(1, 10**3),
        "us": Fraction(1, 10**6),
        "ns": Fraction(1, 10**9),
        "ps": Fraction(1, 10**12),
        "min": Fraction(60),
        "h": Fraction(3600),
    },
    "energy": {
        "J": Fraction(1),
        "kJ": Fraction(10**3),
        "mJ": Fraction(1, 10**3),
        "uJ": Fraction(1, 10**6),
        "nJ": Fraction(1, 10**9),
        "pJ": Fraction(1, 10**12),
        "Wh": Fraction(3600),
        "kWh": Fraction(3_600_000),
    },
    "power": {
        "W": Fraction(1),
        "kW": Fraction(10**3),
        "mW": Fraction(1, 10**3),
        "uW": Fraction(1, 10**6),
        "nW": Fraction(1, 10**9),
    },
    "area": {
        "m2": Fraction(1),
        "cm2": Fraction(1, 10**4),
        "mm2": Fraction(1, 10**6),
        "um2": Fraction(1, 10**12),
        "nm2": Fraction(1, 10**18),
    },
    "memory": {
        "B": Fraction(1),
        "bit": Fraction(1, 8),
        **{f"{prefix}B": Fraction(1000**power) for power, prefix in enumerate("kMGT", start=1)},
        **{f"{prefix}iB": Fraction(1024**power) for power, prefix in enumerate("KMGT", start=1)},
        **{f"{prefix}bit": Fraction(1000**power, 8) for power, prefix in enumerate("kMG", start=1)},
        **{f"{prefix}ibit": Fraction(1024**power, 8) for power, prefix in enumerate("KMG", start=1)},
    },
    "frequency": {
        "Hz": Fraction(1),
        "kHz": Fraction(10**3),
        "MHz": Fraction(10**6),
        "GHz": Fraction(10**9),
    },
}  # fmt: skip
"""Units by what they measure. Upper and lower case differ: ``mW`` and ``MW``."""


def conversion(from_unit: str, to_unit: str) -> Fraction:
    """Return what a number in `from_unit` must be multiplied by to be in `to_unit`.

    Raises
    ------
    ConfigurationError
        If a unit is unknown, or they measure different things.
    """
    kinds = [_kind(from_unit), _kind(to_unit)]
    if kinds[0] != kinds[1]:
        raise ConfigurationError(
            f"{from_unit!r} is a unit of {kinds[0]} and {to_unit!r} one of {kinds[1]};"
            f" units of {kinds[0]} are {', '.join(UNITS[kinds[0]])}"
        )
    return UNITS[kinds[0]][from_unit] / UNITS[kinds[0]][to_unit]


def _kind(unit: str) -> str:
    """Return what a unit measures."""
    for kind, units in UNITS.items():
        if unit in units:
            return kind
    known = [name for units in UNITS.values() for name in units]
    raise ConfigurationError(
        f"unknown unit {unit!r}{did_you_mean(unit, known)}; known: "
        + "; ".join(f"{', '.join(units)} ({kind})" for kind, units in UNITS.items())
    )
