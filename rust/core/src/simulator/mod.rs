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
//! all inputs (dense; recurrent, of one time step), the inner size of a group (matmul), the window (depthwise, pool)
//! or the operands (elementwise). A matmul's second operand takes the place of weights on chip, not in DRAM. A mapping spreads
//! rows, columns, channels or the reduction over PE columns, PE rows and lanes (h, w, k, r ways in all, h' w' k'
//! over PEs alone); cores take channels, ways the reduction. Per layer the mapping with the fewest cycles of
//! max(compute, port) is chosen out of [`MAPPINGS`], the first of equals.
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
//! - a layer that mixes channels needs inputs that lie in other PEs: one bus multicasts each of its input bytes
//!   once. Per-channel layers work where their inputs lie
//! - on-chip cycles = max(compute, port, bus)
//! - DRAM time = streamed weights / parameter bandwidth + network inputs and outputs / activation bandwidth; each
//!   layer that reads the network's input fetches it, and a layer's output that no layer reads leaves
//! - layer time = max(on-chip, DRAM) + a fixed cost: transfers overlap with compute by double buffering
//! - a recurrent layer of T time steps is T runs of the layer of one, by one program: T times its time, its port and
//!   bus bytes, and its streamed weights
//!
//! # On-chip residence
//! Activations between layers stay on chip: the PE memories, T bytes together, must hold a layer's input (of a
//! convolution its windows unrolled: H W x kernel window x input channels), its outputs, and every tensor that a
//! later layer still needs; carried state counts where it is read. A is the largest such working set.
//!
//! Weights, W bytes in all, may take a share s of T, and no more than A leaves. If they fit they stay there across
//! inferences (parameter caching) and nothing is streamed. Else a prefetch window is kept free to stream through,
//! and what is left of the region caches weights: of all weights the same share in every layer, so that what must
//! be streamed is spread evenly. A design without parameter caching streams all weights each inference. That is a
//! property of the design: a boolean parameter `parameter_caching` of the space, where there is one, else the
//! constant of that name.
//!
//! # Checks
//! Constraints of the space go first; then, with the layer that needs the most, what is needed and what there is:
//!
//! - PE memory: T >= max(min(W, window) / s, A + min(W, window))
//! - core memory: a lane must hold, double-buffered, a 4-channel slice of the kernel window (4 x window bytes, or R
//!   where that is less) for each of its cores
//! - instruction memory: the program must fit. A layer has a fixed number of instructions, some for each of its
//!   ceil(K/(k C)) S tiles, and some for each of the ceil(H/h') rows of outputs of a tile
//!
//! # Bandwidth
//! The bandwidth of weights and of activations is the nominal one times an efficiency, or what their staging
//! memory (parameter memory, activation memory) sustains over a DRAM round trip (Little's law), whichever is less.
//!
//! # Latency, area, energy, power
//! - latency = invocation + sum of layer times
//! - area = the space's metric `area_mm2`
//! - energy = MACs x (MAC + one byte from core memory) + port bytes x PEs at work x PE memory + DRAM bytes x DRAM
//!   and leakage of the PEs' SRAM x latency; an SRAM's energy a byte grows as the square root of its size. Of u
//!   PEs that share a loop of n, ceil(n / ceil(n/u)) have work.
//! - average power = energy / latency
//! - peak power = every MAC and every PE port at work in each cycle, DRAM at its nominal bandwidth x efficiency,
//!   and leakage

mod bound;
mod design;
mod explain;
mod factored;
mod hardware;
mod mapping;
mod output;
mod tables;
mod technology;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::space::{DesignSpace, Rank, Value};
use crate::workload::{Application, Layer, LayerKind, Producer};
use crate::{Error, Result};
pub use bound::{Bounds, OnChip, Wanted};
pub use design::{bundled_designs, bundled_technology};
pub use explain::{Array, Explanation, LayerReport, Residency};
pub(crate) use factored::{Bandwidths, Factored, Results, Storage};
use hardware::{Hardware, PARAMETERS, Residence};
use mapping::{Cost, Shape};
pub use mapping::{MAPPINGS, Mapping};
pub use output::Output;
use tables::{Outputs, Tables};
pub use technology::Technology;

const MIB: f64 = 1_048_576.0;
/// Those that count units and so multiply with each other.
const COUNTS: [&str; 4] = ["pes_x", "pes_y", "cores", "compute_lanes"];
/// The simulator's own checks, by the memory that is too small.
const CHECKS: [&str; 3] = ["pe_memory", "core_memory", "instruction_memory"];
/// A boolean parameter that a space may have.
pub const CACHING: &str = "parameter_caching";
/// Designs that one task of a parallel batch scores.
const CHUNK: usize = 512;

/// Why a design can't run an application.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// The check that failed.
    pub check: Check,
    /// Position of the layer that failed it, where a layer did.
    pub layer: Option<usize>,
    /// What was needed: bytes, instructions, or 0 for a constraint of the space.
    pub needed: f64,
    /// What there is, in the same unit.
    pub available: f64,
}

/// A check that a design can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// A constraint of the design space, by position.
    Constraint(usize),
    /// Activations and weights exceed all PE memories together.
    PeMemory,
    /// The least weight tile of a layer exceeds a lane's core memory.
    CoreMemory,
    /// The program exceeds the instruction memory.
    InstructionMemory,
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
    /// Power in mW with every unit at work.
    pub peak_power_mw: f64,
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
    /// Power with every unit at work, in mW.
    pub peak_power_mw: Vec<f64>,
    /// 0 where feasible, else position of the reason plus one.
    pub reason: Vec<u16>,
}

/// A layer's place in the network, beside its shape.
#[derive(Debug, Clone)]
struct Step {
    shape: usize,
    /// Runs one after the other; what follows is of all of them.
    runs: f64,
    macs: f64,
    /// Bytes of weights to stream where none stay on chip.
    weight_bytes: f64,
    input_output_bytes: f64,
}

/// What a layer takes beside its cost on chip.
#[derive(Debug, Clone, Copy)]
struct Load {
    time_us: f64,
    dram_us: f64,
    /// Bytes of weights streamed.
    weight_bytes: f64,
}

/// What a network does on every design.
#[derive(Debug, Clone, Copy)]
struct Totals {
    macs: f64,
    /// Bytes of weights to stream where none stay on chip: those of each run.
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
    caching: Option<usize>,
    residence: Residence,
    window: (u64, usize),
    totals: Totals,
    tables: Tables,
}

impl Scores {
    /// Room for that many results.
    #[must_use]
    pub fn new(designs: usize) -> Self {
        let zeros = || vec![0.0; designs];
        Self {
            latency_us: zeros(),
            area_mm2: zeros(),
            energy_uj: zeros(),
            peak_power_mw: zeros(),
            reason: vec![0; designs],
        }
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
        let caching = space.position(CACHING);
        if let Some(position) = caching {
            let boolean = |value: &Value| matches!(value, Value::Boolean(_));
            if let Some(value) = space.parameters()[position].values.iter().find(|value| !boolean(value)) {
                return Err(Error::Configuration(format!(
                    "space `{}`: `{CACHING}` has the value {value}; the simulator needs true or false",
                    space.name()
                )));
            }
        }

        let live = application.live_bytes();
        let network_input = application.input.iter().map(|&size| f64::from(size)).product::<f64>();
        let (mut shapes, mut known) = (Vec::new(), FxHashMap::default());
        let mut steps = Vec::with_capacity(application.layers().len());
        let ((mut activations, mut largest), mut window) = ((0.0, 0), (0, 0));
        for (position, layer) in application.layers().iter().enumerate() {
            let shape = Shape::new(layer);
            let index = *known.entry(shape).or_insert_with(|| {
                shapes.push(shape);
                shapes.len() - 1
            });
            let output = layer.output_bytes() as f64;
            let taps = layer.kernel.map(u64::from).iter().product::<u64>();
            let input = if technology.unrolled_kernels && layer.kind == LayerKind::Conv && taps > 1 {
                shape.rows as f64 * shape.columns as f64 * taps as f64 * f64::from(layer.input[2])
            } else {
                layer.input_bytes() as f64
            };
            let set = input + live[position] as f64 + output;
            if set > activations {
                (activations, largest) = (set, position);
            }
            let slice =
                if shape.weights { shape.reduction.min(taps.saturating_mul(technology.mac_ways)) } else { 0 };
            if slice > window.0 {
                window = (slice, position);
            }
            let from_outside = if layer.producers.contains(&Producer::Input) { network_input } else { 0.0 };
            let read = |later: &Layer| later.producers.contains(&Producer::Layer(position));
            let to_outside = if application.layers().iter().any(read) { 0.0 } else { output };
            let runs = f64::from(layer.steps());
            steps.push(Step {
                shape: index,
                runs,
                macs: layer.macs() as f64,
                weight_bytes: layer.parameter_bytes() as f64 * runs,
                input_output_bytes: from_outside + to_outside,
            });
        }
        let weights = application.totals().parameter_bytes as f64;
        let least_weights = weights.min(technology.prefetch_mib * MIB);
        let residence = Residence { activations, layer: largest, weights, least_weights };
        let totals = Totals {
            macs: steps.iter().map(|step| step.macs).sum(),
            weight_bytes: steps.iter().map(|step| step.weight_bytes).sum(),
            input_output_bytes: steps.iter().map(|step| step.input_output_bytes).sum(),
        };
        let streams = caching.is_some() || residence.may_stream(&space, &positions, &technology);
        let tables = Tables::new(&space, &positions, &steps, &technology, streams);
        Ok(Self {
            space,
            application,
            technology,
            positions,
            area,
            shapes,
            steps,
            caching,
            residence,
            window,
            totals,
            tables,
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
            Check::InstructionMemory => self.space.constraints().len() + 2,
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
            Check::PeMemory if rejection.layer.is_none() => format!(
                "pe_memory: the weights need {needed:.0} bytes, of which they may take {:.0} percent; all PE \
                 memories have {available:.0}",
                100.0 * self.technology.parameter_share
            ),
            Check::PeMemory => format!(
                "pe_memory: the activations of layer {layer} and the weights kept need {needed:.0} bytes; all PE \
                 memories have {available:.0}"
            ),
            Check::CoreMemory => format!(
                "core_memory: the least weight tile of layer {layer} needs {needed:.0} bytes; a lane has {available:.0}"
            ),
            Check::InstructionMemory => format!(
                "instruction_memory: the program, most of it for layer {layer}, needs {needed:.0} instructions; \
                 the memory has {available:.0}"
            ),
        }
    }

    fn hardware<R: Rank>(&self, ranks: &[R]) -> Hardware {
        let value = |position: usize| self.space.numbers(position)[ranks[position].get()];
        let caching = self.caching.map_or(self.technology.parameter_caching, |position| {
            self.space.parameters()[position].values[ranks[position].get()] == Value::Boolean(true)
        });
        Hardware::new(self.positions.map(value), caching, &self.technology)
    }

    fn rejection<R: Rank>(&self, ranks: &[R], hardware: &Hardware) -> Option<Rejection> {
        if let Some(constraint) = self.space.check(ranks) {
            let check = Check::Constraint(constraint);
            return Some(Rejection { check, layer: None, needed: 0.0, available: 0.0 });
        }
        self.memory_rejection(hardware)
    }

    /// The check of PE and core memories that fails, if any.
    fn memory_rejection(&self, hardware: &Hardware) -> Option<Rejection> {
        let (available, needed) = (hardware.pe_memories(), self.residence.needed(&self.technology));
        if needed > available {
            let activations = self.residence.activations + self.residence.least_weights;
            let layer = (needed <= activations).then_some(self.residence.layer);
            return Some(Rejection { check: Check::PeMemory, layer, needed, available });
        }
        let needed = 2.0 * hardware.cores as f64 * self.window.0 as f64;
        (needed > hardware.core_memory).then_some(Rejection {
            check: Check::CoreMemory,
            layer: Some(self.window.1),
            needed,
            available: hardware.core_memory,
        })
    }

    /// How far a design, given by ranks within range, is from passing all checks: 0 when it does.
    ///
    /// Of the first check that fails, in their order, the share of what is needed that is not available, plus 1 for
    /// each check that comes after it; a broken constraint of the space lacks all. So a design that gets further
    /// is better, and of two that get as far the one that lacks less.
    #[must_use]
    pub fn violation<R: Rank>(&self, ranks: &[R]) -> f64 {
        let hardware = self.hardware(ranks);
        let lacks = |needed: f64, available: f64| 1.0 - available / needed;
        if let Some(Rejection { check, needed, available, .. }) = self.rejection(ranks, &hardware) {
            return match check {
                Check::Constraint(_) => 4.0,
                Check::PeMemory => 2.0 + lacks(needed, available),
                Check::CoreMemory | Check::InstructionMemory => 1.0 + lacks(needed, available),
            };
        }
        let program = self.tabulated_instructions(ranks).unwrap_or_else(|| {
            let costs: Vec<Cost> = self.shapes.iter().map(|shape| shape.best(&hardware)).collect();
            self.steps.iter().map(|step| self.technology.instructions(&costs[step.shape])).sum()
        });
        if program > hardware.instructions { lacks(program, hardware.instructions) } else { 0.0 }
    }

    /// Simulates one design, given by ranks within range. `costs` is scratch space.
    fn evaluate<R: Rank>(&self, ranks: &[R], costs: &mut Vec<Cost>) -> Score {
        self.evaluate_each(ranks, costs, |_, _, _, _| {})
    }

    /// Simulates one design and, where it passes all checks, hands each layer to `each`, in order.
    fn evaluate_each<R: Rank>(
        &self,
        ranks: &[R],
        costs: &mut Vec<Cost>,
        mut each: impl FnMut(&Hardware, &Step, &Cost, Load),
    ) -> Score {
        let technology = &self.technology;
        let area_mm2 = self.space.metric(self.area, ranks);
        let hardware = self.hardware(ranks);
        let peak_power_mw = hardware.peak_power_mw(technology);
        let rejected = |rejection| Score {
            latency_us: f64::NAN,
            area_mm2,
            energy_uj: f64::NAN,
            peak_power_mw,
            rejection: Some(rejection),
        };
        if let Some(rejection) = self.rejection(ranks, &hardware) {
            return rejected(rejection);
        }
        costs.clear();
        costs.extend(self.shapes.iter().map(|shape| shape.best(&hardware)));
        let instructions = |step: &Step| technology.instructions(&costs[step.shape]);
        let program: f64 = self.steps.iter().map(instructions).sum();
        if program > hardware.instructions {
            let layers = self.steps.iter().map(instructions).enumerate();
            let layer = layers.fold((0, 0.0), |most, layer| if layer.1 > most.1 { layer } else { most }).0;
            return rejected(Rejection {
                check: Check::InstructionMemory,
                layer: Some(layer),
                needed: program,
                available: hardware.instructions,
            });
        }

        let streamed = self.residence.streamed(&hardware, technology);
        let mut latency_us = technology.invocation_us;
        let (mut port_bytes, mut dram_bytes) = (0.0, 0.0);
        for step in &self.steps {
            let (shape, cost) = (&self.shapes[step.shape], &costs[step.shape]);
            let weight_bytes = step.weight_bytes * streamed;
            let dram_us =
                weight_bytes / hardware.parameter_dram + step.input_output_bytes / hardware.activation_dram;
            let on_chip_us = shape.on_chip_us(cost, technology) * step.runs;
            let time_us = on_chip_us.max(dram_us) + technology.layer_us * step.runs;
            latency_us += time_us;
            port_bytes += cost.port_bytes * cost.active_pes * step.runs;
            dram_bytes += weight_bytes + step.input_output_bytes;
            each(&hardware, step, cost, Load { time_us, dram_us, weight_bytes });
        }
        let pj = self.pj(&hardware, port_bytes, dram_bytes);
        let energy_uj = pj * 1e-6 + hardware.leakage_mw(technology) * latency_us * 1e-3;
        Score { latency_us, area_mm2, energy_uj, peak_power_mw, rejection: None }
    }

    /// Energy in pJ of one inference, leakage aside.
    fn pj(&self, hardware: &Hardware, port_bytes: f64, dram_bytes: f64) -> f64 {
        let technology = &self.technology;
        self.totals.macs * (technology.mac_pj + technology.sram_pj_per_byte(hardware.core_memory))
            + port_bytes * technology.sram_pj_per_byte(hardware.pe_memory)
            + dram_bytes * technology.dram_pj_per_byte
    }

    /// What [`Scores`] has as the reason of a design that fails this check.
    fn code(&self, check: Check) -> u16 {
        self.reason(check) as u16 + 1
    }

    /// Simulates one design; the error names a rank out of range.
    pub fn score_one<R: Rank>(&self, ranks: &[R]) -> Result<Score> {
        self.validate_one(ranks)?;
        Ok(self.evaluate(ranks, &mut Vec::new()))
    }

    fn validate_one<R: Rank>(&self, ranks: &[R]) -> Result<()> {
        self.space.validate(ranks)?;
        if ranks.len() != self.space.dimensions() {
            return Err(Error::Data(format!("expected one design, found {} ranks", ranks.len())));
        }
        Ok(())
    }

    /// Simulates a batch of designs, rows of ranks, on the threads of the current rayon pool.
    pub fn score<R: Rank>(&self, ranks: &[R]) -> Result<Scores> {
        let mut scores = Scores::new(ranks.len() / self.space.dimensions());
        self.score_part(ranks, &mut scores, 0)?;
        Ok(scores)
    }

    /// As [`Self::score`], for a part of a batch whose results go from row `first` on.
    pub fn score_part<R: Rank>(&self, ranks: &[R], scores: &mut Scores, first: usize) -> Result<()> {
        self.score_chunks(ranks, scores, first, 1)
    }

    /// As [`Self::score_part`], on the calling thread alone: there is no pool to start or to wake.
    pub fn score_part_inline<R: Rank>(&self, ranks: &[R], scores: &mut Scores, first: usize) -> Result<()> {
        // What may not be split is not handed to other threads.
        self.score_chunks(ranks, scores, first, usize::MAX)
    }

    /// Scores chunks of designs, at least so many of them on one thread.
    fn score_chunks<R: Rank>(
        &self,
        ranks: &[R],
        scores: &mut Scores,
        first: usize,
        least: usize,
    ) -> Result<()> {
        let dimensions = self.space.dimensions();
        let chunks = ranks.par_chunks(CHUNK * dimensions).with_min_len(least);
        // On all threads, then again for the error's row.
        if chunks.any(|ranks| self.space.validate(ranks).is_err()) {
            self.space.validate(ranks)?;
        }
        let (designs, all) = (ranks.len() / dimensions, scores.reason.len());
        if first.checked_add(designs).is_none_or(|end| end > all) {
            return Err(Error::Data(format!("{designs} designs from row {first} on exceed {all} results")));
        }
        let part = first..first + designs;
        let outputs = (
            scores.latency_us[part.clone()].par_chunks_mut(CHUNK),
            scores.area_mm2[part.clone()].par_chunks_mut(CHUNK),
            scores.energy_uj[part.clone()].par_chunks_mut(CHUNK),
            scores.peak_power_mw[part.clone()].par_chunks_mut(CHUNK),
            scores.reason[part.clone()].par_chunks_mut(CHUNK),
            ranks.par_chunks(CHUNK * dimensions),
        );
        outputs.into_par_iter().with_min_len(least).for_each_init(
            Vec::new,
            |costs, (latency_us, area_mm2, energy_uj, peak_power_mw, reason, designs)| {
                let mut outputs = Outputs { latency_us, area_mm2, energy_uj, peak_power_mw, reason };
                if self.tables.in_use() {
                    self.score_by_tables(designs, &mut outputs);
                } else {
                    for (row, design) in designs.chunks_exact(dimensions).enumerate() {
                        outputs.put(row, &self.evaluate(design, costs), |check| self.code(check));
                    }
                }
            },
        );
        Ok(())
    }
}

impl Shape {
    /// Time in us that the layer takes on chip.
    fn on_chip_us(&self, cost: &Cost, technology: &Technology) -> f64 {
        let [compute, port, bus] = self.cycles(cost, technology);
        compute.max(port).max(bus) / technology.clock_mhz
    }

    /// Cycles of compute, port and bus.
    fn cycles(&self, cost: &Cost, technology: &Technology) -> [f64; 3] {
        let port = cost.port_bytes / technology.pe_port_bytes_per_cycle;
        let bus = self.multicast_bytes as f64 / technology.bus_bytes_per_cycle;
        [cost.compute_cycles, port, bus]
    }

    fn new(layer: &Layer) -> Self {
        let [rows, columns, channels] = layer.output.map(u64::from);
        let [kernel, stride] = [layer.kernel, layer.stride].map(|sides| sides.map(u64::from));
        let taps = kernel[0] * kernel[1];
        let [height, width, depth] = layer.input.map(u64::from);
        let inputs = depth / u64::from(layer.groups);
        let steps = u64::from(layer.steps());
        let rows = if layer.kind == LayerKind::Recurrent { 1 } else { rows };
        let (reduction, per_channel) = match layer.kind {
            LayerKind::Conv => (taps * inputs, false),
            // Each output gathers only the taps that land on it.
            LayerKind::TransposedConv => ((taps * inputs).div_ceil(stride[0] * stride[1]), false),
            LayerKind::Dense | LayerKind::Recurrent => (height * width * depth / steps, false),
            LayerKind::Matmul => (inputs, false),
            LayerKind::Depthwise | LayerKind::Pool => (taps, true),
            LayerKind::Elementwise => (layer.producers.len() as u64, true),
        };
        let slides = matches!(layer.kind, LayerKind::Conv | LayerKind::Depthwise | LayerKind::Pool);
        let reuse = if slides { (kernel[1] / stride[1]).max(1) } else { 1 };
        let multicast_bytes = if per_channel { 0 } else { layer.input_bytes().div_ceil(steps) };
        let weights = layer.kind.multiplies();
        Self { rows, columns, channels, reduction, reuse, per_channel, weights, multicast_bytes }
    }
}
