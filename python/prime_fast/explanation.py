"""What a score is made of: time, traffic and energy by layer, area by component, what stays on chip."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from prime_fast.space import Value

AREA = "area_mm2"
LAYER_TEXTS = ("name", "kind", "mapping", "bound")
LAYER_FIGURES = (
    "time_us",
    "compute_cycles",
    "port_cycles",
    "bus_cycles",
    "dram_cycles",
    "macs",
    "utilization",
    "active_pes",
    "splits",
    "instructions",
    "port_bytes",
    "bus_bytes",
    "dram_weight_bytes",
    "dram_activation_bytes",
    "mac_energy_uj",
    "port_energy_uj",
    "dram_energy_uj",
    "leakage_energy_uj",
)
SCHEMA = dict.fromkeys(LAYER_TEXTS, pl.String()) | dict.fromkeys(LAYER_FIGURES, pl.Float64())


@dataclass(frozen=True)
class Rejection:
    """Why a design can't run an application.

    Attributes
    ----------
    check : str
        Name of a constraint of the space or of a check of the simulator.
    layer : str or None
        The layer that needs the most, where it is one.
    needed, available : float
        Bytes, instructions, or both sides of the constraint; 0 where that is no single comparison.
    text : str
        All of it in words.
    """

    check: str
    layer: str | None
    needed: float
    available: float
    text: str


@dataclass(frozen=True)
class Residency:
    """What the PE memories hold.

    Attributes
    ----------
    pe_memories_bytes : float
        All PE memories together.
    activation_bytes, activation_layer : float, str
        The largest working set of activations and the layer that needs it.
    weight_bytes, weight_limit_bytes, prefetch_bytes : float
        All weights; the most of them that may stay on chip; what is kept free to stream through where not
        all do.
    resident_weight_bytes, streamed_weight_bytes : float or None
        Weights that stay on chip across inferences, and those that each inference streams; None where the
        design is infeasible.
    """

    pe_memories_bytes: float
    activation_bytes: float
    activation_layer: str
    weight_bytes: float
    weight_limit_bytes: float
    prefetch_bytes: float
    resident_weight_bytes: float | None
    streamed_weight_bytes: float | None


@dataclass(frozen=True)
class Array:
    """What a design can do at most.

    Attributes
    ----------
    clock_mhz : float
    pes, macs_per_cycle : float
        Processing elements, and multiply-accumulates of all of them together in a cycle.
    port_bytes_per_cycle, bus_bytes_per_cycle : float
        Through the ports of all PE memories, and over the bus between PEs.
    dram_weight_bytes_per_cycle, dram_activation_bytes_per_cycle : float
    invocation_us, layer_us : float
        Fixed costs of an inference and of each layer.
    leakage_mw : float
        Power that the PEs' SRAM leaks.
    """

    clock_mhz: float
    pes: float
    macs_per_cycle: float
    port_bytes_per_cycle: float
    bus_bytes_per_cycle: float
    dram_weight_bytes_per_cycle: float
    dram_activation_bytes_per_cycle: float
    invocation_us: float
    layer_us: float
    leakage_mw: float


@dataclass(frozen=True)
class Report:
    """One design's score with what it is made of.

    Attributes
    ----------
    application : str
    design : dict of str to value
        By parameter.
    latency_us, energy_uj : float
        Of one inference; NaN where infeasible. Exactly those of `Simulator.score` on this design alone.
    area_mm2, peak_power_mw : float
    area_by_component : dict of str to float
        The space's other metrics in mm2, by name without the unit; empty where it has none.
    layers : polars.DataFrame
        One row a layer in the order in which they run, none where the design is infeasible:

        - ``name``, ``kind``, ``mapping`` (what the PE array's x and y and the lanes are spread over) and
          ``bound`` (compute, port, bus or dram: what takes the most cycles), str
        - ``time_us`` with the fixed cost of a layer, ``compute_cycles``, ``port_cycles``, ``bus_cycles`` and
          ``dram_cycles``, of which the most count
        - ``macs``, ``utilization`` (MACs over those that the array could do in these cycles), ``active_pes``,
          ``splits`` (tiles of the reduction) and ``instructions``
        - ``port_bytes`` of all PE memories, ``bus_bytes``, ``dram_weight_bytes``, ``dram_activation_bytes``
        - ``mac_energy_uj`` with the core memories', ``port_energy_uj``, ``dram_energy_uj`` and
          ``leakage_energy_uj``
    residency : Residency
    array : Array
    rejection : Rejection or None
        Why the design is infeasible, if so.
    """

    application: str
    design: dict[str, Value]
    latency_us: float
    area_mm2: float
    energy_uj: float
    peak_power_mw: float
    area_by_component: dict[str, float]
    layers: pl.DataFrame
    residency: Residency
    array: Array
    rejection: Rejection | None

    @property
    def feasible(self) -> bool:
        """Whether the design can run the application."""
        return self.rejection is None

    @property
    def average_power_mw(self) -> float:
        """Energy over latency in mW, NaN where infeasible."""
        return self.energy_uj / self.latency_us * 1e3

    @property
    def energy_by_part(self) -> dict[str, float]:
        """Energy in uJ of MACs, PE memories' ports, DRAM and leakage; empty where infeasible."""
        if not self.feasible:
            return {}
        parts = {part: float(self.layers[f"{part}_energy_uj"].sum()) for part in ("mac", "port", "dram")}
        return parts | {"leakage": self.array.leakage_mw * self.latency_us * 1e-3}

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it: None for what an infeasible design has not."""
        figures = {
            name: None if math.isnan(value := getattr(self, name)) else value
            for name in ("latency_us", AREA, "energy_uj", "average_power_mw", "peak_power_mw")
        }
        return {
            "application": self.application,
            "design": self.design,
            "feasible": self.feasible,
            "rejection": None if self.rejection is None else asdict(self.rejection),
            **figures,
            "area_by_component_mm2": self.area_by_component,
            "energy_by_part_uj": self.energy_by_part,
            "residency": asdict(self.residency),
            "array": asdict(self.array),
            "layers": self.layers.to_dicts(),
        }


def report(
    application: str, design: dict[str, Value], areas: dict[str, float], fields: dict[str, Any]
) -> Report:
    """Build a report from the simulator's fields and the space's metrics in mm2."""
    rejection = fields.pop("rejection")
    suffix = "_mm2"
    return Report(
        application=application,
        design=design,
        area_by_component={name.removesuffix(suffix): area for name, area in areas.items() if name != AREA},
        layers=pl.DataFrame(fields.pop("layers"), schema=SCHEMA),
        residency=Residency(**fields.pop("residency")),
        array=Array(**fields.pop("array")),
        rejection=None if rejection is None else Rejection(**rejection),
        **fields,
    )
