//! What a score is made of: time, traffic and energy by layer, and what stays on chip.

use super::{Check, Cost, Hardware, Load, MAPPINGS, MIB, Rejection, Score, Simulator, Step};
use crate::Result;
use crate::space::Rank;

/// One layer on a design. The equations stand in the documentation of [`super`].
#[derive(Debug, Clone, PartialEq)]
pub struct LayerReport {
    /// Name in the application.
    pub name: String,
    /// Kind, as application files call it.
    pub kind: &'static str,
    /// The mapping chosen.
    pub mapping: &'static str,
    /// What takes the most cycles, the first of equals: compute, port, bus or dram.
    pub bound: &'static str,
    /// Time in us with the fixed cost of a layer.
    pub time_us: f64,
    /// Cycles of the busiest MAC unit.
    pub compute_cycles: f64,
    /// Cycles of the busiest PE memory's port.
    pub port_cycles: f64,
    /// Cycles of the bus.
    pub bus_cycles: f64,
    /// Time of the DRAM transfers in cycles.
    pub dram_cycles: f64,
    /// Multiply-accumulates.
    pub macs: f64,
    /// Multiply-accumulates over those that the array could do in the most cycles of the four.
    pub utilization: f64,
    /// PEs that have work.
    pub active_pes: f64,
    /// Tiles that the reduction is cut into, for its weights to fit in the core memories.
    pub splits: f64,
    /// Instructions.
    pub instructions: f64,
    /// Bytes through the ports of all PE memories.
    pub port_bytes: f64,
    /// Bytes over the bus.
    pub bus_bytes: f64,
    /// Bytes of weights from DRAM.
    pub dram_weight_bytes: f64,
    /// Bytes of the network's inputs and outputs from and to DRAM.
    pub dram_activation_bytes: f64,
    /// Energy in uJ of multiply-accumulates and core memories.
    pub mac_energy_uj: f64,
    /// Energy in uJ of PE memories.
    pub port_energy_uj: f64,
    /// Energy in uJ of DRAM.
    pub dram_energy_uj: f64,
    /// Energy in uJ that the PEs' SRAM leaks meanwhile.
    pub leakage_energy_uj: f64,
}

/// What the PE memories hold, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Residency {
    /// All PE memories together.
    pub pe_memories_bytes: f64,
    /// The largest working set of activations.
    pub activation_bytes: f64,
    /// The layer that needs it.
    pub activation_layer: String,
    /// All weights.
    pub weight_bytes: f64,
    /// Most that weights may take: a share of the memories, and no more than activations leave.
    pub weight_limit_bytes: f64,
    /// Kept free to stream weights through where not all fit.
    pub prefetch_bytes: f64,
    /// Weights that stay on chip across inferences; nothing where the design is rejected.
    pub resident_weight_bytes: Option<f64>,
    /// Weights that each inference streams, once a time step; nothing where the design is rejected.
    pub streamed_weight_bytes: Option<f64>,
}

/// What the array can do at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Array {
    /// Clock in MHz.
    pub clock_mhz: f64,
    /// Processing elements.
    pub pes: f64,
    /// Multiply-accumulates a cycle.
    pub macs_per_cycle: f64,
    /// Bytes a cycle through the ports of all PE memories.
    pub port_bytes_per_cycle: f64,
    /// Bytes a cycle over the bus.
    pub bus_bytes_per_cycle: f64,
    /// Bytes of weights a cycle from DRAM.
    pub dram_weight_bytes_per_cycle: f64,
    /// Bytes of activations a cycle from and to DRAM.
    pub dram_activation_bytes_per_cycle: f64,
    /// Fixed cost of an inference in us.
    pub invocation_us: f64,
    /// Fixed cost of a layer in us, part of its time.
    pub layer_us: f64,
    /// Power in mW that the PEs' SRAM leaks.
    pub leakage_mw: f64,
}

/// A score with what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The totals, those of [`Simulator::score_one`]; where one comparison is the constraint that is broken, with
    /// its two sides as what is needed and available.
    pub score: Score,
    /// The layers in the order in which they run; none where the design is rejected.
    pub layers: Vec<LayerReport>,
    /// What stays on chip.
    pub residency: Residency,
    /// What the array can do.
    pub array: Array,
}

impl Simulator {
    /// Simulates one design and tells what its score is made of; the error names a rank out of range.
    pub fn explain<R: Rank>(&self, ranks: &[R]) -> Result<Explanation> {
        self.validate_one(ranks)?;
        let mut layers = Vec::with_capacity(self.steps.len());
        let mut score = self.evaluate_each(ranks, &mut Vec::new(), |hardware, step, cost, load| {
            layers.push(self.layer_report(layers.len(), hardware, step, cost, load));
        });
        if let Some(Rejection { check: Check::Constraint(constraint), needed, available, .. }) =
            &mut score.rejection
        {
            (*needed, *available) = self.space.sides(*constraint, ranks).unwrap_or_default();
        }

        let (technology, hardware) = (&self.technology, self.hardware(ranks));
        let residence = &self.residence;
        let share = residence.streamed(&hardware, technology);
        let passes = score.rejection.is_none();
        let residency = Residency {
            pe_memories_bytes: hardware.pe_memories(),
            activation_bytes: residence.activations,
            activation_layer: self.application.layers()[residence.layer].name.clone(),
            weight_bytes: residence.weights,
            weight_limit_bytes: residence.region(&hardware, technology).max(0.0),
            prefetch_bytes: technology.prefetch_mib * MIB,
            resident_weight_bytes: passes.then_some((1.0 - share) * residence.weights),
            streamed_weight_bytes: passes.then_some(share * self.totals.weight_bytes),
        };
        let array = Array {
            clock_mhz: technology.clock_mhz,
            pes: hardware.pes(),
            macs_per_cycle: hardware.macs_per_cycle(),
            port_bytes_per_cycle: hardware.pes() * technology.pe_port_bytes_per_cycle,
            bus_bytes_per_cycle: technology.bus_bytes_per_cycle,
            dram_weight_bytes_per_cycle: hardware.parameter_dram / technology.clock_mhz,
            dram_activation_bytes_per_cycle: hardware.activation_dram / technology.clock_mhz,
            invocation_us: technology.invocation_us,
            layer_us: technology.layer_us,
            leakage_mw: hardware.leakage_mw(technology),
        };
        Ok(Explanation { score, layers, residency, array })
    }

    fn layer_report(
        &self,
        position: usize,
        hardware: &Hardware,
        step: &Step,
        cost: &Cost,
        load: Load,
    ) -> LayerReport {
        let (technology, shape) = (&self.technology, &self.shapes[step.shape]);
        let layer = &self.application.layers()[position];
        let [compute_cycles, port_cycles, bus_cycles] =
            shape.cycles(cost, technology).map(|cycles| cycles * step.runs);
        let dram_cycles = load.dram_us * technology.clock_mhz;
        let mut slowest = ("compute", compute_cycles);
        for other in [("port", port_cycles), ("bus", bus_cycles), ("dram", dram_cycles)] {
            if other.1 > slowest.1 {
                slowest = other;
            }
        }
        let port_bytes = cost.port_bytes * cost.active_pes * step.runs;
        let mac_pj = technology.mac_pj + technology.sram_pj_per_byte(hardware.core_memory);
        let dram_bytes = load.weight_bytes + step.input_output_bytes;
        LayerReport {
            name: layer.name.clone(),
            kind: layer.kind.name(),
            mapping: MAPPINGS[cost.mapping].name(),
            bound: slowest.0,
            time_us: load.time_us,
            compute_cycles,
            port_cycles,
            bus_cycles,
            dram_cycles,
            macs: step.macs,
            utilization: step.macs / (slowest.1 * hardware.macs_per_cycle()),
            active_pes: cost.active_pes,
            splits: shape.splits(hardware, cost.mapping),
            instructions: technology.instructions(cost),
            port_bytes,
            bus_bytes: shape.multicast_bytes as f64 * step.runs,
            dram_weight_bytes: load.weight_bytes,
            dram_activation_bytes: step.input_output_bytes,
            mac_energy_uj: step.macs * mac_pj * 1e-6,
            port_energy_uj: port_bytes * technology.sram_pj_per_byte(hardware.pe_memory) * 1e-6,
            dram_energy_uj: dram_bytes * technology.dram_pj_per_byte * 1e-6,
            leakage_energy_uj: hardware.leakage_mw(technology) * load.time_us * 1e-3,
        }
    }
}
