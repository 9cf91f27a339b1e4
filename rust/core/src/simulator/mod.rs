//! An analytical simulator of the accelerator template.
//!
//! # Hardware
//! A controller with instruction, parameter and activation memories feeds an array of X by Y processing elements
//! (PEs) from DRAM. A PE has a memory for activations and cached weights, and L compute lanes; a lane has a core
//! memory for the weights in use and C cores, each a 4-way int8 MAC unit with a 32-bit accumulator (Yazdanbakhsh
//! et al., "An Evaluation of Edge TPU Accelerators for Convolutional Neural Networks", arXiv 2102.10423; PRIME's
//! tables call lanes and cores by these names). Constants, units and sources: `data/technology.toml`.
//!
//! # Time of a layer
//! A layer makes H x W outputs in K channels, each a sum over R products: kernel window x input channels of its
//! group (conv; transposed conv: that over the strides' product, rounded up, as only those taps land on an output),
//! all inputs (dense, recurrent), the window (depthwise, pool) or the operands (elementwise). A mapping spreads
//! rows, columns, channels or the reduction over PE columns, PE rows and lanes (h, w, k, r ways in all, h' w' k'
//! over PEs alone); cores take channels, ways the reduction. Per layer the mapping with the fewest cycles on chip,
//! max(compute, port), is chosen out of [`MAPPINGS`], the first of equals.
//!
//! - compute cycles = ceil(H/h) ceil(W/w) ceil(K/(k C)) ceil(R/(4 r)); the ways sum input channels, so a
//!   per-channel layer (depthwise, pooling, element-wise) uses one: ceil(R/r)
//! - with P = ceil(H/h') ceil(W/w') pixels and ceil(K/k') channels in a PE, its memory port moves
//!   P R ceil(K/(k C)) / reuse bytes of activations (per-channel layers: P ceil(K/k') R / reuse), P ceil(K/k')
//!   bytes of outputs and, where there are weights, ceil(K/k') R bytes of them into the core memories. Where a
//!   lane's weight slice, double-buffered, exceeds its core memory, the reduction is cut into
//!   S = ceil(2 C ceil(R/r) / core memory) tiles (else S = 1), and (S - 1) times the 32-bit partial sums go out and
//!   back. A row buffer saves reads: reuse = kernel width / horizontal stride, rounded down, at least 1 (conv,
//!   depthwise, pool; 1 for all others)
//! - DRAM time = streamed weights / parameter bandwidth + network inputs and outputs / activation bandwidth; each
//!   layer that reads the network's input fetches it, and a layer's output that no layer reads leaves
//! - layer time = max(compute, port, DRAM) + a fixed cost: transfers overlap with compute by double buffering
//!
//! # On-chip residence
//! Activations between layers stay on chip: the PE memories together must hold a layer's input, its outputs (as
//! 32-bit partial sums where there are weights), and every tensor that a later layer still needs; carried state
//! counts where it is read. What the largest such working set leaves free caches weights across inferences: of
//! all weights the same share in every layer, so that what must be streamed is spread evenly. A lane's core
//! memory must hold, double-buffered, a 4-channel slice of the kernel window (4 x window bytes, or R where that
//! is less) for each of its cores. A design that breaks either is rejected, with the first layer that needs the
//! most and both sizes; constraints of the space go first.
//!
//! # Bandwidth and instructions
//! The bandwidth of weights and of activations is the nominal one times an efficiency, or what their staging
//! memory (parameter memory, activation memory) sustains over a DRAM round trip (Little's law), whichever is less.
//! A program has a fixed number of instructions a layer and some for each of its ceil(K/(k C)) S tiles; what the
//! instruction memory can't hold is fetched anew each inference, before it, at nominal bandwidth x efficiency.
//!
//! # Latency, area, energy
//! - latency = invocation + instruction fetch + sum of layer times
//! - area = the space's metric `area_mm2`
//! - energy = MACs x (MAC + one byte from core memory) + port bytes x PEs at work x PE memory + DRAM bytes x DRAM
//!   and leakage of the PEs' SRAM x latency; an SRAM's energy a byte grows as the square root of its size. Of u
//!   PEs that share a loop of n, ceil(n / ceil(n/u)) have work.

mod mapping;
mod technology;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::space::{DesignSpace, Rank};
use crate::workload::{Application, Layer, LayerKind, Producer};
use crate::{Error, Result};
use mapping::{Cost, Shape};
pub use mapping::{MAPPINGS, Mapping};
pub use technology::Technology;

const MIB: f64 = 1_048_576.0;
/// Parameters that a space must have to be simulated, in the order of [`Hardware::new`].
const PARAMETERS: [&str; 10] = [
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
/// Those that count units and so multiply with each other.
const COUNTS: [&str; 4] = ["pes_x", "pes_y", "cores", "compute_lanes"];
/// The simulator's own checks, by the memory that is too small.
const CHECKS: [&str; 2] = ["pe_memory", "core_memory"];
/// Designs that one task of a parallel batch scores.
const CHUNK: usize = 256;

/// Why a design can't run an application.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// The check that failed.
    pub check: Check,
    /// Position of the layer that failed it, where a layer did.
    pub layer: Option<usize>,
    /// What was needed: bytes, or 0 for a constraint of the space.
    pub needed: f64,
    /// What there is, in the same unit.
    pub available: f64,
}

/// A check that a design can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// A constraint of the design space, by position.
    Constraint(usize),
    /// The working set of a layer exceeds all PE memories together.
    PeMemory,
    /// The least weight tile of a layer exceeds a lane's core memory.
    CoreMemory,
}

/// Result for one design.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Latency of one inference in us; NaN where rejected.
    pub latency_us: f64,
    /// Area in mm2.
    pub area_mm2: f64,
    /// Energy of one inference in uJ; NaN where rejected.
    pub energy_uj: f64,
    /// Why the design can't run the application, if so.
    pub rejection: Option<Rejection>,
}

/// Results for a batch, one array a metric; `reason` is 0 where feasible, else a position in
/// [`Simulator::reasons`] plus one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// Latency in us, NaN where infeasible.
    pub latency_us: Vec<f64>,
    /// Area in mm2.
    pub area_mm2: Vec<f64>,
    /// Energy in uJ, NaN where infeasible.
    pub energy_uj: Vec<f64>,
    /// 0 where feasible, else position of the reason plus one.
    pub reason: Vec<u16>,
}

/// A design's parameters in the units of the equations.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Hardware {
    pes_x: u64,
    pes_y: u64,
    cores: u64,
    lanes: u64,
    mac_ways: u64,
    pe_memory: f64,
    core_memory: f64,
    accumulator_bytes: f64,
    cycles_per_port_byte: f64,
    instructions: f64,
    /// Bytes per us: of instructions and of weights and activations through their staging memories.
    dram: f64,
    parameter_dram: f64,
    activation_dram: f64,
}

/// A layer's place in the network, beside its shape.
#[derive(Debug, Clone)]
struct Step {
    shape: usize,
    macs: f64,
    weight_bytes: f64,
    input_output_bytes: f64,
}

/// The simulator of one application on the designs of one space.
#[derive(Debug, Clone)]
pub struct Simulator {
    space: DesignSpace,
    application: Application,
    technology: Technology,
    positions: [usize; PARAMETERS.len()],
    area: usize,
    shapes: Vec<Shape>,
    steps: Vec<Step>,
    working_set: (f64, usize),
    window: (u64, usize),
    weight_bytes: f64,
}

impl Hardware {
    fn new(values: [f64; PARAMETERS.len()], technology: &Technology) -> Self {
        let [x, y, cores, lanes, pe_memory, core_memory, activations, instructions, parameters, gbps] =
            values;
        let dram = gbps * technology.dram_efficiency * 1e3;
        let staged =
            |entries: f64, bytes: f64| dram.min(entries * bytes / (technology.dram_round_trip_ns * 1e-3));
        Self {
            pes_x: x as u64,
            pes_y: y as u64,
            cores: cores as u64,
            lanes: lanes as u64,
            mac_ways: technology.mac_ways,
            pe_memory,
            core_memory,
            accumulator_bytes: technology.accumulator_bytes,
            cycles_per_port_byte: technology.pe_port_bytes_per_cycle.recip(),
            instructions,
            dram,
            parameter_dram: staged(parameters, technology.parameter_entry_bytes),
            activation_dram: staged(activations, technology.activation_entry_bytes),
        }
    }

    fn pes(&self) -> f64 {
        (self.pes_x * self.pes_y) as f64
    }
}

impl Simulator {
    /// Prepares the simulation of `application` on the designs of `space`, which must have the parameters of
    /// the template (positive whole numbers, by name) and a metric `area_mm2`.
    pub fn new(space: DesignSpace, application: Application, technology: Technology) -> Result<Self> {
        let mut positions = [0; PARAMETERS.len()];
        for (position, name) in positions.iter_mut().zip(PARAMETERS) {
            *position = space.position(name).ok_or_else(|| {
                Error::Configuration(format!(
                    "space `{}` has no parameter `{name}`; the simulator needs {}",
                    space.name(),
                    PARAMETERS.join(", ")
                ))
            })?;
            // Counts multiply in 64 bits.
            let most = if COUNTS.contains(&name) { f64::from(u16::MAX) } else { f64::from(u32::MAX) };
            let fits = |value: f64| value.fract() == 0.0 && (1.0..=most).contains(&value);
            let parameter = &space.parameters()[*position];
            if let Some(value) = parameter.values.iter().find(|value| !value.number().is_some_and(fits)) {
                return Err(Error::Configuration(format!(
                    "space `{}`: `{name}` has the value {value}; the simulator needs whole numbers from 1 to {most}",
                    space.name()
                )));
            }
        }
        if let Some(constraint) = space.constraints().iter().find(|one| CHECKS.contains(&one.name.as_str())) {
            return Err(Error::Configuration(format!(
                "space `{}`: a constraint is called `{}` like a check of the simulator; rename it",
                space.name(),
                constraint.name
            )));
        }
        let area = space.metric_position("area_mm2")?;

        let live = application.live_bytes();
        let network_input = application.input.iter().map(|&size| f64::from(size)).product::<f64>();
        let (mut shapes, mut known) = (Vec::new(), FxHashMap::default());
        let mut steps = Vec::with_capacity(application.layers().len());
        let (mut working_set, mut window) = ((0.0, 0), (0, 0));
        for (position, layer) in application.layers().iter().enumerate() {
            let shape = Shape::new(layer);
            let index = *known.entry(shape).or_insert_with(|| {
                shapes.push(shape);
                shapes.len() - 1
            });
            let (input, output) = (layer.input_bytes() as f64, layer.output_bytes() as f64);
            let width = if shape.weights { technology.accumulator_bytes } else { 1.0 };
            let set = input + live[position] as f64 + output * width;
            if set > working_set.0 {
                working_set = (set, position);
            }
            let taps = layer.kernel.map(u64::from).iter().product::<u64>();
            let slice =
                if shape.weights { shape.reduction.min(taps.saturating_mul(technology.mac_ways)) } else { 0 };
            if slice > window.0 {
                window = (slice, position);
            }
            let from_outside = if layer.producers.contains(&Producer::Input) { network_input } else { 0.0 };
            let read = |later: &Layer| later.producers.contains(&Producer::Layer(position));
            let to_outside = if application.layers().iter().any(read) { 0.0 } else { output };
            steps.push(Step {
                shape: index,
                macs: layer.macs() as f64,
                weight_bytes: layer.parameter_bytes() as f64,
                input_output_bytes: from_outside + to_outside,
            });
        }
        let weight_bytes = steps.iter().map(|step| step.weight_bytes).sum();
        Ok(Self {
            space,
            application,
            technology,
            positions,
            area,
            shapes,
            steps,
            working_set,
            window,
            weight_bytes,
        })
    }

    /// The design space.
    #[must_use]
    pub fn space(&self) -> &DesignSpace {
        &self.space
    }

    /// The application.
    #[must_use]
    pub fn application(&self) -> &Application {
        &self.application
    }

    /// Names of the reasons a design can be rejected for: the space's constraints, then the simulator's checks.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let constraints = self.space.constraints().iter().map(|constraint| constraint.name.clone());
        constraints.chain(CHECKS.map(str::to_owned)).collect()
    }

    /// Position of a rejection's reason in [`Self::reasons`].
    #[must_use]
    pub fn reason(&self, check: Check) -> usize {
        match check {
            Check::Constraint(position) => position,
            Check::PeMemory => self.space.constraints().len(),
            Check::CoreMemory => self.space.constraints().len() + 1,
        }
    }

    /// A rejection in words: the check, the layer, what was needed and what there is.
    #[must_use]
    pub fn describe(&self, rejection: &Rejection) -> String {
        let layer = rejection.layer.map_or("", |layer| self.application.layers()[layer].name.as_str());
        let Rejection { needed, available, .. } = rejection;
        match rejection.check {
            Check::Constraint(position) => {
                let constraint = &self.space.constraints()[position];
                format!("{}: breaks {}", constraint.name, constraint.text)
            }
            Check::PeMemory => format!(
                "pe_memory: the working set of layer {layer} needs {needed:.0} bytes; all PE memories have {available:.0}"
            ),
            Check::CoreMemory => format!(
                "core_memory: the least weight tile of layer {layer} needs {needed:.0} bytes; a lane has {available:.0}"
            ),
        }
    }

    fn hardware<R: Rank>(&self, ranks: &[R]) -> Hardware {
        let value = |position: usize| self.space.numbers(position)[ranks[position].get()];
        Hardware::new(self.positions.map(value), &self.technology)
    }

    fn rejection<R: Rank>(&self, ranks: &[R], hardware: &Hardware) -> Option<Rejection> {
        if let Some(constraint) = self.space.check(ranks) {
            let check = Check::Constraint(constraint);
            return Some(Rejection { check, layer: None, needed: 0.0, available: 0.0 });
        }
        let available = hardware.pes() * hardware.pe_memory;
        let (needed, layer) = self.working_set;
        if needed > available {
            return Some(Rejection { check: Check::PeMemory, layer: Some(layer), needed, available });
        }
        let needed = 2.0 * hardware.cores as f64 * self.window.0 as f64;
        (needed > hardware.core_memory).then_some(Rejection {
            check: Check::CoreMemory,
            layer: Some(self.window.1),
            needed,
            available: hardware.core_memory,
        })
    }

    /// Simulates one design, given by ranks within range. `costs` is scratch space.
    fn evaluate<R: Rank>(&self, ranks: &[R], costs: &mut Vec<Cost>) -> Score {
        let area_mm2 = self.space.metric(self.area, ranks);
        let hardware = self.hardware(ranks);
        let rejection = self.rejection(ranks, &hardware);
        if rejection.is_some() {
            return Score { latency_us: f64::NAN, area_mm2, energy_uj: f64::NAN, rejection };
        }
        costs.clear();
        costs.extend(self.shapes.iter().map(|shape| shape.best(&hardware)));

        let technology = &self.technology;
        let free = hardware.pes() * hardware.pe_memory - self.working_set.0;
        let streamed = if self.weight_bytes > free { 1.0 - free / self.weight_bytes } else { 0.0 };
        let (mut latency_us, mut instructions) = (technology.invocation_us, 0.0);
        let (mut macs, mut port_bytes, mut dram_bytes) = (0.0, 0.0, 0.0);
        for step in &self.steps {
            let cost = &costs[step.shape];
            let weights = step.weight_bytes * streamed;
            let on_chip_cycles = cost.compute_cycles.max(cost.port_bytes * hardware.cycles_per_port_byte);
            let dram_us =
                weights / hardware.parameter_dram + step.input_output_bytes / hardware.activation_dram;
            latency_us += (on_chip_cycles / technology.clock_mhz).max(dram_us) + technology.layer_us;
            instructions += technology.instructions_per_layer + technology.instructions_per_tile * cost.tiles;
            macs += step.macs;
            port_bytes += cost.port_bytes * cost.active_pes;
            dram_bytes += weights + step.input_output_bytes;
        }
        let fetched = (instructions - hardware.instructions).max(0.0) * technology.instruction_entry_bytes;
        latency_us += fetched / hardware.dram;
        dram_bytes += fetched;

        let sram_pj = |bytes: f64| technology.sram_pj_per_byte_at_1_mib * (bytes / MIB).sqrt();
        let pj = macs * (technology.mac_pj + sram_pj(hardware.core_memory))
            + port_bytes * sram_pj(hardware.pe_memory)
            + dram_bytes * technology.dram_pj_per_byte;
        let sram_mib =
            hardware.pes() * (hardware.pe_memory + hardware.lanes as f64 * hardware.core_memory) / MIB;
        let leakage_mw = technology.sram_leakage_mw_per_mib * sram_mib;
        let energy_uj = pj * 1e-6 + leakage_mw * latency_us * 1e-3;
        Score { latency_us, area_mm2, energy_uj, rejection: None }
    }

    /// Simulates one design; the error names a rank out of range.
    pub fn score_one<R: Rank>(&self, ranks: &[R]) -> Result<Score> {
        self.space.validate(ranks)?;
        if ranks.len() != self.space.dimensions() {
            return Err(Error::Data(format!("expected one design, found {} ranks", ranks.len())));
        }
        Ok(self.evaluate(ranks, &mut Vec::new()))
    }

    /// Simulates a batch of designs, rows of ranks, on the threads of the current rayon pool.
    pub fn score<R: Rank>(&self, ranks: &[R]) -> Result<Scores> {
        self.space.validate(ranks)?;
        let dimensions = self.space.dimensions();
        let designs = ranks.len() / dimensions;
        let mut scores = Scores {
            latency_us: vec![0.0; designs],
            area_mm2: vec![0.0; designs],
            energy_uj: vec![0.0; designs],
            reason: vec![0; designs],
        };
        let outputs = (
            scores.latency_us.par_chunks_mut(CHUNK),
            scores.area_mm2.par_chunks_mut(CHUNK),
            scores.energy_uj.par_chunks_mut(CHUNK),
            scores.reason.par_chunks_mut(CHUNK),
            ranks.par_chunks(CHUNK * dimensions),
        );
        outputs.into_par_iter().for_each_init(Vec::new, |costs, (latency, area, energy, reason, designs)| {
            for (row, design) in designs.chunks_exact(dimensions).enumerate() {
                let score = self.evaluate(design, costs);
                (latency[row], area[row], energy[row]) = (score.latency_us, score.area_mm2, score.energy_uj);
                reason[row] = score.rejection.map_or(0, |rejection| self.reason(rejection.check) as u16 + 1);
            }
        });
        Ok(scores)
    }
}

impl Shape {
    fn new(layer: &Layer) -> Self {
        let [rows, columns, channels] = layer.output.map(u64::from);
        let [kernel, stride] = [layer.kernel, layer.stride].map(|sides| sides.map(u64::from));
        let taps = kernel[0] * kernel[1];
        let [height, width, depth] = layer.input.map(u64::from);
        let inputs = depth / u64::from(layer.groups);
        let (reduction, per_channel) = match layer.kind {
            LayerKind::Conv => (taps * inputs, false),
            // Each output gathers only the taps that land on it.
            LayerKind::TransposedConv => ((taps * inputs).div_ceil(stride[0] * stride[1]), false),
            LayerKind::Dense | LayerKind::Recurrent => (height * width * depth, false),
            LayerKind::Depthwise | LayerKind::Pool => (taps, true),
            LayerKind::Elementwise => (layer.producers.len() as u64, true),
        };
        let slides = matches!(layer.kind, LayerKind::Conv | LayerKind::Depthwise | LayerKind::Pool);
        let reuse = if slides { (kernel[1] / stride[1]).max(1) } else { 1 };
        Self { rows, columns, channels, reduction, reuse, per_channel, weights: layer.kind.has_weights() }
    }
}
