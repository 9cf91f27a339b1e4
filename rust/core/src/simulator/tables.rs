//! Tables for batches of designs.
//!
//! What a network does on chip follows from PEs, cores, lanes and core memory alone: a *row* of a table. The rest of
//! a design only adds the DRAM's side, of which a step sees two numbers: t = streamed share / parameter bandwidth and
//! u = 1 / activation bandwidth. So
//!
//! latency = fixed costs + sum over slots of max(on-chip time, weight bytes x t + input and output bytes x u)
//!
//! where a *slot* is the steps of one shape, weight bytes and input and output bytes, all of them multiplied by the
//! number of steps. Slots that exchange activations with DRAM go first: on a design that streams no weights the rest
//! is a sum that the row keeps.
//!
//! Rows that differ in core memory only are a *block*, filled by whoever needs it first; a batch of any size, on any
//! thread, reads the same rows. Sums over slots run in a fixed order whatever the processor's vector width.

use std::sync::OnceLock;

use multiversion::multiversion;
use rustc_hash::FxHashMap;

use super::mapping::{Cost, Shape};
use super::{Check, Hardware, Score, Simulator, Step, Technology};
use crate::DesignSpace;
use crate::space::{Batch, Rank};

/// Slots that one step of a sum takes: a vector register of AVX-512, a cache line.
const WIDTH: usize = 8;
/// Most memory that all rows may take; a space with more is simulated design by design.
const MAX_BYTES: usize = 256 << 20;
/// Place of the core memory in the simulator's parameters, and of those that choose a block.
const CORE_MEMORY: usize = 5;
const BLOCK: [usize; 4] = [0, 1, 2, 3];

/// Steps of the network that cost the same on every design, taken together.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Slot {
    /// Position among the shapes of the network.
    shape: usize,
    /// Number of steps, each as often as it runs.
    steps: f64,
    /// Bytes of weights of all of these steps.
    weight_bytes: f64,
    /// Bytes of activations that all of these steps exchange with DRAM.
    input_output_bytes: f64,
}

/// What a design's PEs, cores, lanes and core memory decide.
#[derive(Debug, Clone, Default, PartialEq)]
struct Row {
    /// Time on chip in us of all steps of each slot, without the fixed cost of a layer.
    times_us: Vec<f64>,
    /// Instructions of the program.
    instructions: f64,
    /// Bytes through the ports of all PEs.
    port_bytes: f64,
}

/// Values of [`WIDTH`] slots.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(align(64))]
struct Line([f64; WIDTH]);

/// A row as the batch reads it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Head {
    instructions: f64,
    port_bytes: f64,
    /// Fixed costs, and time of the slots beyond those that exchange activations with DRAM.
    resident_us: f64,
}

/// The rows of all core memories.
#[derive(Debug, Clone)]
struct Block {
    heads: Box<[Head]>,
    lines: Box<[Line]>,
}

/// The tables of one application on one space.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    slots: Vec<Slot>,
    /// Lines of the slots that exchange activations with DRAM.
    exchanging: usize,
    /// Lines of a row that are kept: those, or all where a design may stream weights.
    kept: usize,
    /// Bytes of each slot, in lines.
    weights: Box<[Line]>,
    input_output: Box<[Line]>,
    /// Parameters of a block with their weights in its position.
    digits: [(usize, usize); BLOCK.len()],
    core_memory: usize,
    /// Latency of a network whose layers take no time.
    fixed_us: f64,
    /// None where there would be too many.
    blocks: Option<Box<[OnceLock<Block>]>>,
}

/// A design that passed every check but that of the instruction memory.
struct Candidate {
    /// Position in the batch.
    design: usize,
    /// Position of the block, and of the row in it.
    block: usize,
    row: usize,
    /// Instructions that there is room for.
    instructions: f64,
    /// us a byte of weights, and of inputs and outputs.
    weight_us: f64,
    input_output_us: f64,
    /// Energy but for the PEs' ports and leakage, energy of a byte through a port, and leakage.
    pj: f64,
    pj_per_port_byte: f64,
    leakage_mw: f64,
}

/// Where the results of a few designs go, one a row.
pub(super) struct Outputs<'a> {
    pub latency_us: &'a mut [f64],
    pub area_mm2: &'a mut [f64],
    pub energy_uj: &'a mut [f64],
    pub peak_power_mw: &'a mut [f64],
    pub reason: &'a mut [u16],
}

impl Outputs<'_> {
    /// Puts the result of one design in its row.
    pub(super) fn put(&mut self, row: usize, score: &Score, code: impl Fn(Check) -> u16) {
        self.latency_us[row] = score.latency_us;
        self.area_mm2[row] = score.area_mm2;
        self.energy_uj[row] = score.energy_uj;
        self.peak_power_mw[row] = score.peak_power_mw;
        self.reason[row] = score.rejection.as_ref().map_or(0, |rejection| code(rejection.check));
    }
}

fn lines(values: impl Iterator<Item = f64>) -> Box<[Line]> {
    let mut lines = Vec::new();
    for (position, value) in values.enumerate() {
        if position % WIDTH == 0 {
            lines.push(Line::default());
        }
        if let Some(line) = lines.last_mut() {
            line.0[position % WIDTH] = value;
        }
    }
    lines.into()
}

impl Tables {
    pub(super) fn new(
        space: &DesignSpace,
        positions: &[usize],
        steps: &[Step],
        technology: &Technology,
        streams: bool,
    ) -> Self {
        let mut known = FxHashMap::default();
        let mut slots: Vec<Slot> = Vec::new();
        for step in steps {
            // Runs follow from the weight bytes of a shape.
            let key = (step.shape, step.weight_bytes.to_bits(), step.input_output_bytes.to_bits());
            let slot = *known.entry(key).or_insert_with(|| {
                slots.push(Slot {
                    shape: step.shape,
                    steps: 0.0,
                    weight_bytes: 0.0,
                    input_output_bytes: 0.0,
                });
                slots.len() - 1
            });
            slots[slot].steps += step.runs;
            slots[slot].weight_bytes += step.weight_bytes;
            slots[slot].input_output_bytes += step.input_output_bytes;
        }
        slots.sort_by_key(|slot| slot.input_output_bytes == 0.0);
        let exchanging = slots.iter().filter(|slot| slot.input_output_bytes > 0.0).count().div_ceil(WIDTH);
        let weights = lines(slots.iter().map(|slot| slot.weight_bytes));
        let input_output = lines(slots.iter().map(|slot| slot.input_output_bytes));

        let mut count = Some(1_usize);
        let digits = BLOCK.map(|place| {
            let weight = count.unwrap_or(0);
            count = count.and_then(|count| count.checked_mul(space.cardinalities()[positions[place]]));
            (positions[place], weight)
        });
        let core_memory = positions[CORE_MEMORY];
        let kept = if streams { weights.len() } else { exchanging };
        let row_bytes = size_of::<Head>() + kept * size_of::<Line>();
        let block_bytes = size_of::<OnceLock<Block>>() + row_bytes * space.cardinalities()[core_memory];
        let fits = |count: &usize| count.checked_mul(block_bytes).is_some_and(|bytes| bytes <= MAX_BYTES);
        let blocks = count.filter(fits).map(|count| (0..count).map(|_| OnceLock::new()).collect());
        let fixed_us =
            technology.invocation_us + steps.iter().map(|step| step.runs).sum::<f64>() * technology.layer_us;
        Self { slots, exchanging, kept, weights, input_output, digits, core_memory, fixed_us, blocks }
    }

    /// Position of the block of a design.
    fn block_of<R: Rank>(&self, ranks: &[R]) -> usize {
        self.digits.iter().map(|&(parameter, weight)| ranks[parameter].get() * weight).sum()
    }

    /// Whether batches are scored from tables.
    pub(super) fn in_use(&self) -> bool {
        self.blocks.is_some()
    }
}

impl Block {
    fn new(rows: &[Row], tables: &Tables) -> Self {
        let beyond = tables.exchanging * WIDTH;
        let head = |row: &Row| Head {
            instructions: row.instructions,
            port_bytes: row.port_bytes,
            resident_us: tables.fixed_us + row.times_us.iter().skip(beyond).sum::<f64>(),
        };
        let heads = rows.iter().map(head).collect();
        let lines = |row: &Row| lines(row.times_us.iter().take(tables.kept * WIDTH).copied());
        let lines = rows.iter().flat_map(lines).collect();
        Self { heads, lines }
    }

    /// A row, whose lines are that many.
    fn row(&self, row: usize, lines: usize) -> (Head, &[Line]) {
        (self.heads[row], &self.lines[row * lines..(row + 1) * lines])
    }
}

impl Simulator {
    /// The rows that a design's PEs, cores and lanes decide, of every core memory of the space: its rank is the
    /// position.
    fn rows<R: Rank>(&self, ranks: &[R]) -> Vec<Row> {
        rows(self, &self.hardware(ranks), self.space.numbers(self.tables.core_memory))
    }

    /// Instructions of the program for a design, where the tables are in use.
    pub(super) fn tabulated_instructions<R: Rank>(&self, ranks: &[R]) -> Option<f64> {
        let tables = &self.tables;
        let block = &tables.blocks.as_ref()?[tables.block_of(ranks)];
        let row = block.get_or_init(|| Block::new(&self.rows(ranks), tables)).heads
            [ranks[tables.core_memory].get()];
        Some(row.instructions)
    }

    /// Scores designs, rows of ranks within range, by the tables; nothing happens where those are not in use.
    pub(super) fn score_by_tables<R: Rank>(&self, designs: &[R], outputs: &mut Outputs<'_>) {
        let (tables, technology, dimensions) = (&self.tables, &self.technology, self.space.dimensions());
        let Some(blocks) = &tables.blocks else { return };
        let mut batch = Batch::new(&self.space, designs);
        outputs.area_mm2.copy_from_slice(batch.metric(self.area));
        batch.check(outputs.reason);
        let mut candidates = Vec::with_capacity(outputs.reason.len());
        for (design, ranks) in designs.chunks_exact(dimensions).enumerate() {
            let hardware = self.hardware(ranks);
            outputs.peak_power_mw[design] = hardware.peak_power_mw(technology);
            (outputs.latency_us[design], outputs.energy_uj[design]) = (f64::NAN, f64::NAN);
            let reason = &mut outputs.reason[design];
            if *reason > 0 {
                continue;
            }
            if let Some(rejection) = self.memory_rejection(&hardware) {
                *reason = self.code(rejection.check);
                continue;
            }
            let streamed = self.residence.streamed(&hardware, technology);
            let dram_bytes = self.totals.weight_bytes * streamed + self.totals.input_output_bytes;
            candidates.push(Candidate {
                design,
                block: tables.block_of(ranks),
                row: ranks[tables.core_memory].get(),
                instructions: hardware.instructions,
                weight_us: streamed / hardware.parameter_dram,
                input_output_us: hardware.activation_dram.recip(),
                pj: self.pj(&hardware, 0.0, dram_bytes),
                pj_per_port_byte: technology.sram_pj_per_byte(hardware.pe_memory),
                leakage_mw: hardware.leakage_mw(technology),
            });
        }
        // Loops that do nothing else have many cache misses under way at once.
        let new = |one: &Candidate| {
            Block::new(&self.rows(&designs[one.design * dimensions..(one.design + 1) * dimensions]), tables)
        };
        let blocks: Vec<&Block> =
            candidates.iter().map(|one| blocks[one.block].get_or_init(|| new(one))).collect();
        let rows: Vec<(Head, &[Line])> =
            candidates.iter().zip(blocks).map(|(one, block)| block.row(one.row, tables.kept)).collect();
        finish(tables, &candidates, &rows, self.code(Check::InstructionMemory), outputs);
    }
}

/// Sum over slots of the longer of the time on chip and that of the DRAM.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled for the vector width of its caller")]
fn sum(times: &[Line], weights: &[Line], input_output: &[Line], weight_us: f64, input_output_us: f64) -> f64 {
    let mut sums = [0.0; WIDTH];
    for ((time, weight), bytes) in times.iter().zip(weights).zip(input_output) {
        for (((sum, &time), &weight), &bytes) in sums.iter_mut().zip(&time.0).zip(&weight.0).zip(&bytes.0) {
            let dram = weight * weight_us + bytes * input_output_us;
            // `f64::max` would look out for NaN.
            *sum += if time > dram { time } else { dram };
        }
    }
    let halves: [f64; WIDTH / 2] = std::array::from_fn(|lane| sums[lane] + sums[lane + WIDTH / 2]);
    (halves[0] + halves[2]) + (halves[1] + halves[3])
}

/// Latency and energy of the designs whose program fits; the others get the reason `too_long`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2", "x86_64+avx2+bmi1+bmi2"))]
fn finish(
    tables: &Tables,
    candidates: &[Candidate],
    rows: &[(Head, &[Line])],
    too_long: u16,
    outputs: &mut Outputs<'_>,
) {
    for (one, (head, lines)) in candidates.iter().zip(rows) {
        if head.instructions > one.instructions {
            outputs.reason[one.design] = too_long;
            continue;
        }
        let (rest_us, lines) = if one.weight_us > 0.0 {
            (tables.fixed_us, *lines)
        } else {
            (head.resident_us, &lines[..tables.exchanging])
        };
        let latency_us =
            rest_us + sum(lines, &tables.weights, &tables.input_output, one.weight_us, one.input_output_us);
        let pj = one.pj + head.port_bytes * one.pj_per_port_byte;
        outputs.latency_us[one.design] = latency_us;
        outputs.energy_uj[one.design] = pj * 1e-6 + one.leakage_mw * latency_us * 1e-3;
    }
}

/// The rows of these core memories, in their order.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2", "x86_64+avx2+bmi1+bmi2"))]
fn rows(simulator: &Simulator, hardware: &Hardware, core_memories: &[f64]) -> Vec<Row> {
    let technology = &simulator.technology;
    let mapped: Vec<_> = simulator.shapes.iter().map(|shape| shape.mapped(hardware)).collect();
    let mut costs: Vec<Cost> = Vec::with_capacity(mapped.len());
    let row = |&core_memory: &f64| {
        let hardware = Hardware { core_memory, ..*hardware };
        costs.clear();
        costs.extend(mapped.iter().map(|mapped| Shape::fastest(mapped, &hardware)));
        let time_us = |slot: &Slot| {
            slot.steps * simulator.shapes[slot.shape].on_chip_us(&costs[slot.shape], technology)
        };
        Row {
            times_us: simulator.tables.slots.iter().map(time_us).collect(),
            // In the order of the steps, as where one design is simulated: rounding decides no check.
            instructions: simulator
                .steps
                .iter()
                .map(|step| technology.instructions(&costs[step.shape]))
                .sum(),
            port_bytes: simulator
                .tables
                .slots
                .iter()
                .map(|slot| slot.steps * costs[slot.shape].port_bytes * costs[slot.shape].active_pes)
                .sum(),
        }
    };
    core_memories.iter().map(row).collect()
}
