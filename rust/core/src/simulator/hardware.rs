//! A design in the units of the equations, and what its PE memories must hold.

use super::{MIB, Technology};
use crate::DesignSpace;

/// Parameters that a space must have to be simulated, in the order of [`Hardware::new`].
pub(super) const PARAMETERS: [&str; 10] = [
    "pes_x",
    "pes_y",
    "cores",
    "compute_lanes",
    "pe_memory",
    "core_memory",
    "activation_memory",
    "instruction_memory",
    "parameter_memory",
    "dram_bandwidth",
];
/// Most combinations of PEs and PE memory that are looked through for one that streams weights.
const MAX_PE_MEMORIES: usize = 1 << 16;

/// A design's parameters in the units of the equations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hardware {
    pub(super) pes_x: u64,
    pub(super) pes_y: u64,
    pub(super) cores: u64,
    /// Cores that a lane's core memory holds a slice for: all of them, but apart from `cores` for bounds.
    pub(super) slice_cores: u64,
    pub(super) lanes: u64,
    pub(super) mac_ways: u64,
    pub(super) pe_memory: f64,
    pub(super) core_memory: f64,
    pub(super) accumulator_bytes: f64,
    pub(super) cycles_per_port_byte: f64,
    pub(super) instructions: f64,
    pub(super) parameter_caching: bool,
    /// Bytes per us: nominal x efficiency, and of weights and activations through their staging memories.
    pub(super) dram: f64,
    pub(super) parameter_dram: f64,
    pub(super) activation_dram: f64,
}

/// What the PE memories must hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Residence {
    /// The largest working set of activations, bytes, and its layer.
    pub(super) activations: f64,
    pub(super) layer: usize,
    /// Bytes of all weights.
    pub(super) weights: f64,
    /// Bytes of weights that must be on chip: all, or a prefetch window.
    pub(super) least_weights: f64,
}

impl Hardware {
    pub(super) fn new(
        values: [f64; PARAMETERS.len()],
        parameter_caching: bool,
        technology: &Technology,
    ) -> Self {
        let [x, y, cores, lanes, pe_memory, core_memory, activations, instructions, parameters, gbps] =
            values;
        let dram = gbps * technology.dram_efficiency * 1e3;
        let staged =
            |entries: f64, bytes: f64| dram.min(entries * bytes / (technology.dram_round_trip_ns * 1e-3));
        Self {
            pes_x: x as u64,
            pes_y: y as u64,
            cores: cores as u64,
            slice_cores: cores as u64,
            lanes: lanes as u64,
            mac_ways: technology.mac_ways,
            pe_memory,
            core_memory,
            accumulator_bytes: technology.accumulator_bytes,
            cycles_per_port_byte: technology.pe_port_bytes_per_cycle.recip(),
            instructions,
            parameter_caching,
            dram,
            parameter_dram: staged(parameters, technology.parameter_entry_bytes),
            activation_dram: staged(activations, technology.activation_entry_bytes),
        }
    }

    pub(super) fn pes(&self) -> f64 {
        (self.pes_x * self.pes_y) as f64
    }

    /// Bytes of all PE memories.
    pub(super) fn pe_memories(&self) -> f64 {
        self.pes() * self.pe_memory
    }

    /// Power in mW that the PEs' SRAM leaks.
    pub(super) fn leakage_mw(&self, technology: &Technology) -> f64 {
        let bytes = self.pes() * (self.pe_memory + self.lanes as f64 * self.core_memory);
        technology.sram_leakage_mw_per_mib * bytes / MIB
    }

    pub(super) fn macs_per_cycle(&self) -> f64 {
        self.pes() * (self.lanes * self.cores * self.mac_ways) as f64
    }

    /// Power in mW with every unit at work.
    pub(super) fn peak_power_mw(&self, technology: &Technology) -> f64 {
        let pj_per_cycle = self.macs_per_cycle()
            * (technology.mac_pj + technology.sram_pj_per_byte(self.core_memory))
            + self.pes() * technology.pe_port_bytes_per_cycle * technology.sram_pj_per_byte(self.pe_memory);
        // pJ x MHz = uW, and bytes per us x pJ = uW.
        (pj_per_cycle * technology.clock_mhz + self.dram * technology.dram_pj_per_byte) * 1e-3
            + self.leakage_mw(technology)
    }
}

impl Residence {
    /// Bytes that the PE memories must have together.
    pub(super) fn needed(&self, technology: &Technology) -> f64 {
        (self.least_weights / technology.parameter_share).max(self.activations + self.least_weights)
    }

    /// Bytes that weights may take.
    pub(super) fn region(&self, hardware: &Hardware, technology: &Technology) -> f64 {
        let memories = hardware.pe_memories();
        (memories * technology.parameter_share).min(memories - self.activations)
    }

    /// Share of the weights that each inference streams on a design that passes the checks.
    pub(super) fn streamed(&self, hardware: &Hardware, technology: &Technology) -> f64 {
        let region = self.region(hardware, technology);
        if !hardware.parameter_caching {
            1.0
        } else if self.weights <= region {
            0.0
        } else {
            1.0 - (region - technology.prefetch_mib * MIB).max(0.0) / self.weights
        }
    }

    /// Whether a design of the space may pass the checks and stream weights, or there are too many PE memories to
    /// tell; all have the technology's parameter caching.
    pub(super) fn may_stream(
        &self,
        space: &DesignSpace,
        positions: &[usize],
        technology: &Technology,
    ) -> bool {
        let [x, y, memory] = [0, 1, 4].map(|place| space.numbers(positions[place]));
        let streams = |x: f64, y: f64, memory: f64| {
            let values = [x, y, 1.0, 1.0, memory, 1.0, 1.0, 1.0, 1.0, 1.0];
            let hardware = Hardware::new(values, technology.parameter_caching, technology);
            self.needed(technology) <= hardware.pe_memories() && self.streamed(&hardware, technology) > 0.0
        };
        let any = |x: f64| y.iter().any(|&y| memory.iter().any(|&memory| streams(x, y, memory)));
        x.len() * y.len() * memory.len() > MAX_PE_MEMORIES || x.iter().any(|&x| any(x))
    }
}
