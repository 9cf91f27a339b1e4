"""Published designs: the Edge TPU classes, the first Coral part, and two designs of the PRIME paper.

>>> import prime_fast as pf
>>> design = pf.reference_design("edge-tpu-v1")
>>> bool(design.score("MobileNetV2").feasible[0])
True
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prime_fast import _core
from prime_fast.errors import ConfigurationError, did_you_mean
from prime_fast.simulator import Simulator
from prime_fast.space import DesignSpace, read_text

if TYPE_CHECKING:
    from prime_fast.simulator import Scores
    from prime_fast.space import Value

# A parameter that every space of the template may have; see `DesignSpace.narrowed`.
CACHING = "parameter_caching"
TEXTS = ("name", "title", "source")


@dataclass(frozen=True)
class ReferenceDesign:
    """One design, with what its technology has of its own.

    Attributes
    ----------
    name, title, source : str
    values : dict of str to value
        By parameter. ``parameter_caching``, where given, says whether weights stay on chip from one inference
        to the next; the technology says so where it isn't.
    technology : dict of str to float or bool
        Constants that differ from the bundled ones.
    """

    name: str
    title: str
    source: str
    values: dict[str, Value]
    technology: dict[str, float | bool]

    def simulator(self, application: str | _core.Application, space: DesignSpace | None = None) -> Simulator:
        """Return a simulator of an application on the space of this one design.

        Parameters
        ----------
        application : str or Application
        space : DesignSpace, optional
            Where area and constraints come from; PRIME's by default. The design's values need not be among
            its values.

        Raises
        ------
        ConfigurationError
            If the space has a parameter that the design has no value for, or lacks one that it has, or the
            simulator can't take a value or a constant.
        """
        space = space if space is not None else DesignSpace.bundled("prime")
        if missing := [name for name in space.names if name not in self.values]:
            raise ConfigurationError(f"design `{self.name}`: no value for {', '.join(missing)}")
        try:
            return Simulator(application, space.narrowed(self.values), self.technology or None)
        except ConfigurationError as error:
            raise ConfigurationError(f"design `{self.name}`: {error}") from None

    def score(self, application: str | _core.Application, space: DesignSpace | None = None) -> Scores:
        """Simulate an application on this design; the arrays have one entry. Errors as :meth:`simulator`."""
        simulator = self.simulator(application, space)
        return simulator.score(simulator.space.designs([self.values]))

    def area_mm2(self, space: DesignSpace | None = None) -> float:
        """Return the area in mm2, which no application has a part in."""
        return float(self.score(_core.Application.bundled_names()[0], space).area_mm2[0])

    def with_values(self, **values: Value) -> ReferenceDesign:
        """Return this design with other values of some parameters."""
        return replace(self, values=self.values | values)

    @classmethod
    def from_toml(cls, text: str, origin: str = "design") -> ReferenceDesign:
        """Parse a design: ``name``, ``title``, ``source``, and tables ``values`` and ``technology``.

        Raises
        ------
        ConfigurationError
            If the text is no TOML or a field is missing, unknown or of the wrong kind; starts with `origin`.
        """
        try:
            fields: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{origin}: {error}") from None
        known = (*TEXTS, "values", "technology")
        if unknown := fields.keys() - set(known):
            raise ConfigurationError(f"{origin}: unknown field `{min(unknown)}`; known: {', '.join(known)}")
        fields = {"title": fields.get("name"), "source": "", "technology": {}, **fields}
        for name in known:
            wanted = str if name in TEXTS else dict
            if not isinstance(fields.get(name), wanted):
                found = "is missing" if fields.get(name) is None else f"is {fields[name]!r}"
                raise ConfigurationError(
                    f"{origin}: `{name}` {found}; expected a {'text' if wanted is str else 'table'}"
                )
        for table in ("values", "technology"):
            for name, value in fields[table].items():
                if not isinstance(value, bool | int | float | str):
                    raise ConfigurationError(
                        f"{origin}: `{table}.{name}` is {value!r}; expected one number, text or boolean"
                    )
        if not isinstance(fields["values"].get(CACHING, True), bool):
            raise ConfigurationError(
                f"{origin}: `values.{CACHING}` is {fields['values'][CACHING]!r}; expected true or false"
            )
        return cls(**fields)


def _bundled() -> dict[str, ReferenceDesign]:
    designs = (ReferenceDesign.from_toml(text, file) for file, text in _core.bundled_designs())
    return {design.name: design for design in designs}


def reference_design_names() -> list[str]:
    """Return the names of the designs that ship with the package."""
    return list(_bundled())


def reference_design(design: str | Path) -> ReferenceDesign:
    """Return a design by its name, or read one from a TOML file.

    Parameters
    ----------
    design : str or Path
        One of :func:`reference_design_names`, or a path that ends in ``.toml``.

    Raises
    ------
    ConfigurationError
        If there is no such design, or the file can't be read or is no design.
    """
    if isinstance(design, Path) or design.endswith(".toml"):
        return ReferenceDesign.from_toml(read_text(design, "a design"), str(design))
    designs = _bundled()
    if design.lower() not in designs:
        raise ConfigurationError(
            f"unknown design {design!r}{did_you_mean(design, designs)}; "
            f"known: {', '.join(designs)}, or a path that ends in .toml"
        )
    return designs[design.lower()]
