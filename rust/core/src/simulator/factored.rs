//! The simulator taken apart by what decides each part, for runs through all designs.
//!
//! PEs, lanes, cores and core memory decide what happens on chip; PE memory and parameter caching the share
//! of the weights that is streamed; the other three parameters two bandwidths, of which few pairs differ. All
//! sums run in the order of [`Simulator::evaluate`], so that every result is the same, bit for bit.

use rustc_hash::FxHashMap;

use super::{Cost, Hardware, Simulator};

/// Places in `PARAMETERS`.
const PE_MEMORY: usize = 4;
const INSTRUCTION_MEMORY: usize = 7;
const DRAM_BANDWIDTH: usize = 9;

/// The pairs of bandwidths of some designs, and the time of network inputs and outputs on them.
#[derive(Debug, Clone)]
pub(crate) struct Bandwidths {
    /// Bytes per us of weights and of activations, all pairs distinct.
    pairs: Vec<(f64, f64)>,
    known: FxHashMap<(u64, u64), usize>,
    /// Time in us of each step's network inputs and outputs at each pair; empty for a step without any.
    input_output_us: Vec<Vec<f64>>,
}

/// What decides the share of the weights that is streamed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Storage {
    pe_memory: f64,
    parameter_caching: bool,
}

/// Results of the designs of one storage, one a pair of bandwidths.
#[derive(Debug, Clone, Default)]
pub(crate) struct Results {
    pub latency_us: Vec<f64>,
    pub energy_uj: Vec<f64>,
}

/// What PEs, lanes, cores and core memory decide.
#[derive(Debug)]
pub(crate) struct Factored<'a> {
    simulator: &'a Simulator,
    hardware: Hardware,
    costs: Vec<Cost>,
    on_chip_us: Vec<f64>,
    port_bytes: f64,
}

impl Bandwidths {
    /// Number of pairs.
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    pub(crate) fn new(simulator: &Simulator) -> Self {
        let input_output_us = vec![vec![]; simulator.steps.len()];
        Self { pairs: vec![], known: FxHashMap::default(), input_output_us }
    }

    /// Position of the pair of a design, which is added where it is new.
    pub(crate) fn position(&mut self, simulator: &Simulator, ranks: &[u16]) -> usize {
        let hardware = simulator.hardware(ranks);
        let pair = (hardware.parameter_dram, hardware.activation_dram);
        *self.known.entry((pair.0.to_bits(), pair.1.to_bits())).or_insert_with(|| {
            self.pairs.push(pair);
            for (step, times) in simulator.steps.iter().zip(&mut self.input_output_us) {
                if step.input_output_bytes > 0.0 {
                    times.push(step.input_output_bytes / pair.1);
                }
            }
            self.pairs.len() - 1
        })
    }
}

impl Simulator {
    /// The part of a design that decides what is streamed.
    pub(crate) fn storage(&self, ranks: &[u16]) -> Storage {
        let hardware = self.hardware(ranks);
        Storage { pe_memory: hardware.pe_memory, parameter_caching: hardware.parameter_caching }
    }

    /// Entries of a design's instruction memory.
    pub(crate) fn instruction_entries(&self, ranks: &[u16]) -> f64 {
        self.hardware(ranks).instructions
    }

    /// Position of the parameter that is the instruction memory.
    pub(crate) fn instruction_parameter(&self) -> usize {
        self.positions[INSTRUCTION_MEMORY]
    }

    /// Positions of the parameters that decide the peak power beside those that decide what happens on chip.
    pub(crate) fn power_parameters(&self) -> [usize; 2] {
        [self.positions[PE_MEMORY], self.positions[DRAM_BANDWIDTH]]
    }

    /// Power in mW with every unit at work.
    pub(crate) fn peak_power_mw(&self, ranks: &[u16]) -> f64 {
        self.hardware(ranks).peak_power_mw(&self.technology)
    }
}

impl<'a> Factored<'a> {
    pub(crate) fn new(simulator: &'a Simulator) -> Self {
        let hardware = simulator.hardware(&vec![0_u16; simulator.space.dimensions()]);
        Self { simulator, hardware, costs: vec![], on_chip_us: vec![], port_bytes: 0.0 }
    }

    /// Chooses PEs, lanes, cores and core memory.
    pub(crate) fn choose(&mut self, ranks: &[u16]) {
        self.hardware = self.simulator.hardware(ranks);
    }

    fn with(&self, storage: Storage) -> Hardware {
        let Storage { pe_memory, parameter_caching } = storage;
        Hardware { pe_memory, parameter_caching, ..self.hardware }
    }

    /// Whether activations and weights fit in the PE memories.
    pub(crate) fn fits(&self, storage: Storage) -> bool {
        self.simulator.residence.needed(&self.simulator.technology) <= self.with(storage).pe_memories()
    }

    /// Whether the least weight tiles fit in the core memories.
    pub(crate) fn tiles_fit(&self) -> bool {
        2.0 * self.hardware.cores as f64 * self.simulator.window.0 as f64 <= self.hardware.core_memory
    }

    /// Works out what happens on chip; returns the number of instructions.
    pub(crate) fn compile(&mut self) -> f64 {
        let Simulator { shapes, steps, technology, .. } = self.simulator;
        self.costs.clear();
        self.costs.extend(shapes.iter().map(|shape| shape.best(&self.hardware)));
        self.on_chip_us.clear();
        self.port_bytes = 0.0;
        for step in steps {
            let (shape, cost) = (&shapes[step.shape], &self.costs[step.shape]);
            self.on_chip_us.push(shape.on_chip_us(cost, technology) * step.runs);
            self.port_bytes += cost.port_bytes * cost.active_pes * step.runs;
        }
        steps.iter().map(|step| technology.instructions(&self.costs[step.shape])).sum()
    }

    /// Latency at each pair of bandwidths, after [`Self::compile`]; energy too, where wanted.
    pub(crate) fn evaluate(&self, storage: Storage, pairs: &Bandwidths, energy: bool, results: &mut Results) {
        let Simulator { steps, technology, residence, .. } = self.simulator;
        let hardware = self.with(storage);
        let streamed = residence.streamed(&hardware, technology);
        let latency_us = &mut results.latency_us;
        latency_us.clear();
        latency_us.resize(pairs.len(), technology.invocation_us);
        let mut dram_bytes = 0.0;
        for ((step, &on_chip_us), input_output_us) in
            steps.iter().zip(&self.on_chip_us).zip(&pairs.input_output_us)
        {
            let weights = step.weight_bytes * streamed;
            let take = |latency: &mut f64, dram_us: f64| {
                *latency += on_chip_us.max(dram_us) + technology.layer_us * step.runs;
            };
            match (weights > 0.0, input_output_us.is_empty()) {
                (false, true) => latency_us.iter_mut().for_each(|latency| take(latency, 0.0)),
                (false, false) => {
                    latency_us.iter_mut().zip(input_output_us).for_each(|(latency, &us)| take(latency, us));
                }
                (true, true) => latency_us
                    .iter_mut()
                    .zip(&pairs.pairs)
                    .for_each(|(latency, pair)| take(latency, weights / pair.0)),
                (true, false) => latency_us
                    .iter_mut()
                    .zip(&pairs.pairs)
                    .zip(input_output_us)
                    .for_each(|((latency, pair), us)| take(latency, weights / pair.0 + us)),
            }
            dram_bytes += weights + step.input_output_bytes;
        }
        results.energy_uj.clear();
        if energy {
            let pj = self.simulator.pj(&hardware, self.port_bytes, dram_bytes);
            let leakage_mw = hardware.leakage_mw(technology);
            let with_leakage = |latency_us: &f64| pj * 1e-6 + leakage_mw * latency_us * 1e-3;
            results.energy_uj.extend(results.latency_us.iter().map(with_leakage));
        }
    }
}
