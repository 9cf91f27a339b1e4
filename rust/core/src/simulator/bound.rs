//! Bounds of latency, energy and power over a box of designs, for searches that prove what they find.
//!
//! Every bound takes each quantity of the equations (documentation of [`super`]) at the corner of the box where it
//! is least; the quantities are chosen so that each has such a corner:
//!
//! - compute cycles, and rows, pixels, channels and passes in a PE or lane are products of rounded-up quotients of a
//!   loop by a number of units: they fall, or stay, as PEs, lanes and cores grow
//! - tiles of a reduction, S = ceil(2 C ceil(R/r) / core memory), grow with cores and fall with lanes and core
//!   memory; port bytes and instructions are sums of products of S with the above
//! - of a loop of n over u PEs, ceil(n / ceil(n/u)) have work, which grows with u, while its product with ceil(n/u)
//!   is at least n: bytes through all ports are at least both bounds say
//! - the mapping that a design takes has the fewest cycles, so the minimum over mappings of a bound of cycles bounds
//!   the chosen one's; the minimum of a bound of its instructions or bytes holds whichever is chosen. Where a box
//!   leaves no choice on chip, the mapping is known, and cycles, instructions and bytes are exact
//! - streamed weights fall as the PE memories grow together; a bandwidth grows with the nominal one and its staging
//!   memory; energy a byte grows with the SRAM's size, leakage and peak power with everything
//!
//! Upper bounds, which average power needs (its denominator is a latency), exchange the corners. All of these are
//! monotone as computed too; only what is summed in another order than in the simulator can differ, by units in the
//! last place.

use super::mapping::MAPPINGS;
use super::{Cost, Hardware, Shape, Simulator};
use crate::space::{Region, Value};

/// Places in `PARAMETERS` of those that decide what happens on chip.
const ON_CHIP: [usize; 5] = [0, 1, 2, 3, 5];
const PES_X: usize = 0;
const PES_Y: usize = 1;
const CORES: usize = 2;
const PE_MEMORY: usize = 4;
const CORE_MEMORY: usize = 5;
const INSTRUCTION_MEMORY: usize = 7;

/// Lower bounds of the results of the designs of a box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Latency in us.
    pub latency_us: f64,
    /// Energy in uJ; 0 where not wanted.
    pub energy_uj: f64,
    /// Energy over latency in mW; 0 where not wanted.
    pub average_power_mw: f64,
    /// Power in mW with every unit at work.
    pub peak_power_mw: f64,
}

/// Bounds that take more work than that of the latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Bounds of the energy.
    pub energy: bool,
    /// Bounds of the average power; needs those of the energy.
    pub average_power: bool,
}

/// What a box's PEs, lanes, cores and core memory decide by themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct OnChip {
    wanted: Wanted,
    /// Time in us of all that waits for no DRAM: at least and at most.
    fixed_us: [f64; 2],
    transfers: Vec<Transfer>,
    /// Instructions of the program, at least.
    program: f64,
    /// Bytes through the ports of all PEs, at least.
    port_bytes: f64,
}

/// A layer that moves bytes from or to DRAM.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Transfer {
    /// Time on chip in us: at least and at most.
    on_chip_us: [f64; 2],
    weight_bytes: f64,
    input_output_bytes: f64,
}

/// Bounds of one layer's cost.
#[derive(Debug, Clone, Copy, Default)]
struct Layer {
    cycles: [f64; 2],
    instructions: f64,
    port_bytes: f64,
}

/// The corners of a box: every parameter at its least and at its greatest value.
struct Corners {
    least: Hardware,
    most: Hardware,
}

impl Corners {
    /// The corner with the shortest loops and the smallest slices.
    fn fastest(&self) -> Hardware {
        Hardware { slice_cores: self.least.cores, ..self.most }
    }

    fn slowest(&self) -> Hardware {
        Hardware { slice_cores: self.most.cores, ..self.least }
    }
}

impl Shape {
    /// Bytes through all ports that no mapping saves, `passes` times over the channels.
    fn least_bytes(&self, passes: f64) -> f64 {
        let pixels = self.rows as f64 * self.columns as f64;
        let (channels, reduction) = (self.channels as f64, self.reduction as f64);
        let reads = pixels * reduction * if self.per_channel { channels } else { passes };
        let weights = if self.weights { channels * reduction } else { 0.0 };
        pixels * channels + reads / self.reuse as f64 + weights
    }
}

impl Simulator {
    /// Positions of the parameters that decide what happens on chip.
    #[must_use]
    pub fn on_chip_parameters(&self) -> [usize; ON_CHIP.len()] {
        ON_CHIP.map(|place| self.positions[place])
    }

    /// Positions of all parameters that the simulator reads.
    #[must_use]
    pub fn parameters(&self) -> Vec<usize> {
        self.positions.iter().copied().chain(self.caching).collect()
    }

    fn corners(&self, region: &Region) -> Corners {
        let bounds = self.positions.map(|position| self.space.parameter_bounds(position, region));
        let caching = |wanted: bool| {
            self.caching.map_or(self.technology.parameter_caching, |position| {
                let values = &self.space.parameters()[position].values[region.ranks(position)];
                values.contains(&Value::Boolean(wanted)) == wanted
            })
        };
        Corners {
            least: Hardware::new(bounds.map(|bound| bound.least), caching(false), &self.technology),
            most: Hardware::new(bounds.map(|bound| bound.most), caching(true), &self.technology),
        }
    }

    /// Takes ranks with which every design of the box fails a check off the ends of `region`, for a program of at
    /// least that many instructions; false where nothing is left.
    #[must_use]
    pub fn shrink(&self, region: &mut Region, program: f64) -> bool {
        let needed = self.residence.needed(&self.technology);
        let slice = self.window.0 as f64;
        let value = |region: &Region, place: usize| {
            let bounds = self.space.parameter_bounds(self.positions[place], region);
            (bounds.least, bounds.most)
        };
        let pes = |x: f64, y: f64, bytes: f64| (x as u64 * y as u64) as f64 * bytes >= needed;
        let (x, y, bytes) = (value(region, PES_X).1, value(region, PES_Y).1, value(region, PE_MEMORY).1);
        let (cores, core_memory) = (value(region, CORES).0, value(region, CORE_MEMORY).1);
        self.trim(region, PES_X, |x| pes(x, y, bytes))
            && self.trim(region, PES_Y, |y| pes(x, y, bytes))
            && self.trim(region, PE_MEMORY, |bytes| pes(x, y, bytes))
            && self.trim(region, CORES, |cores| 2.0 * cores * slice <= core_memory)
            && self.trim(region, CORE_MEMORY, |bytes| 2.0 * cores * slice <= bytes)
            && self.trim(region, INSTRUCTION_MEMORY, |entries| program <= entries)
    }

    /// Takes ranks whose value does not pass off both ends of a parameter; false where none passes.
    fn trim(&self, region: &mut Region, place: usize, passes: impl Fn(f64) -> bool) -> bool {
        let position = self.positions[place];
        let numbers = self.space.numbers(position);
        let mut ranks = region.ranks(position);
        let Some(least) = ranks.find(|&rank| passes(numbers[rank])) else { return false };
        region.least[position] = least as u16;
        // Starts behind `least`; none but that one may pass.
        region.most[position] = ranks.rfind(|&rank| passes(numbers[rank])).unwrap_or(least) as u16;
        true
    }

    /// Bounds of what happens on chip over a box.
    #[must_use]
    pub fn on_chip(&self, region: &Region, wanted: Wanted) -> OnChip {
        let corners = self.corners(region);
        let known = self.on_chip_parameters().iter().all(|&position| region.spread(position) == 0);
        let layers: Vec<Layer> =
            self.shapes
                .iter()
                .map(|shape| {
                    if known { self.known(shape, &corners.most) } else { self.layer(shape, &corners, wanted) }
                })
                .collect();
        let technology = &self.technology;
        let mut on_chip = OnChip {
            wanted,
            fixed_us: [technology.invocation_us; 2],
            transfers: vec![],
            program: 0.0,
            port_bytes: 0.0,
        };
        for step in &self.steps {
            let layer = &layers[step.shape];
            let bus = self.shapes[step.shape].multicast_bytes as f64 / technology.bus_bytes_per_cycle;
            let on_chip_us = layer.cycles.map(|cycles| cycles.max(bus) / technology.clock_mhz * step.runs);
            let (weight_bytes, input_output_bytes) = (step.weight_bytes, step.input_output_bytes);
            if weight_bytes + input_output_bytes > 0.0 {
                on_chip.transfers.push(Transfer { on_chip_us, weight_bytes, input_output_bytes });
            } else {
                on_chip.fixed_us[0] += on_chip_us[0];
                on_chip.fixed_us[1] += on_chip_us[1];
            }
            on_chip.fixed_us[0] += technology.layer_us * step.runs;
            on_chip.fixed_us[1] += technology.layer_us * step.runs;
            on_chip.program += layer.instructions;
            on_chip.port_bytes += layer.port_bytes * step.runs;
        }
        on_chip
    }

    fn cycles(&self, cost: &Cost) -> f64 {
        cost.compute_cycles.max(cost.port_bytes / self.technology.pe_port_bytes_per_cycle)
    }

    /// A layer's cost where all that decides it is known.
    fn known(&self, shape: &Shape, hardware: &Hardware) -> Layer {
        let cost = shape.best(hardware);
        Layer {
            cycles: [self.cycles(&cost); 2],
            instructions: self.technology.instructions(&cost),
            port_bytes: cost.port_bytes * cost.active_pes,
        }
    }

    fn layer(&self, shape: &Shape, corners: &Corners, wanted: Wanted) -> Layer {
        let fastest = corners.fastest();
        let (mut cycles, mut instructions, mut port_bytes) =
            ([f64::INFINITY; 2], f64::INFINITY, f64::INFINITY);
        for mapping in 0..MAPPINGS.len() {
            let cost = shape.cost(&fastest, mapping);
            cycles[0] = cycles[0].min(self.cycles(&cost));
            instructions = instructions.min(self.technology.instructions(&cost));
            if wanted.energy {
                let slow = shape.cost(&corners.slowest(), mapping);
                cycles[1] = cycles[1].min(self.cycles(&slow));
                let passes = shape
                    .channels
                    .div_ceil(fastest.pes_x * fastest.pes_y * fastest.lanes.saturating_mul(fastest.cores));
                let corner = cost.port_bytes * slow.active_pes;
                port_bytes = port_bytes.min(corner.max(shape.least_bytes(passes as f64)));
            }
        }
        Layer { cycles, instructions, port_bytes: if wanted.energy { port_bytes } else { 0.0 } }
    }

    /// Bounds of the results over a box, whose part on chip is `on_chip`.
    #[must_use]
    pub fn bounds(&self, region: &Region, on_chip: &OnChip) -> Bounds {
        let technology = &self.technology;
        let Corners { least, most } = self.corners(region);
        let streamed = self.residence.streamed(&most, technology);
        let latency_us = on_chip.latency_us(0, streamed, &most);
        let peak_power_mw = least.peak_power_mw(technology);
        let mut bounds = Bounds { latency_us, energy_uj: 0.0, average_power_mw: 0.0, peak_power_mw };
        if on_chip.wanted.energy {
            let dram_bytes =
                self.steps.iter().map(|step| step.weight_bytes * streamed + step.input_output_bytes).sum();
            let pj = self.pj(&least, on_chip.port_bytes, dram_bytes);
            let leakage_mw = least.leakage_mw(technology);
            bounds.energy_uj = pj * 1e-6 + leakage_mw * latency_us * 1e-3;
            if on_chip.wanted.average_power {
                // Designs with less PE memory than is needed don't count.
                let needed = self.residence.needed(technology);
                let enough = Hardware { pes_x: 1, pes_y: 1, pe_memory: needed, ..least };
                let memories = if least.pe_memories() < needed { &enough } else { &least };
                let streamed = self.residence.streamed(memories, technology);
                let slowest_us = on_chip.latency_us(1, streamed, &least);
                bounds.average_power_mw = pj * 1e-3 / slowest_us + leakage_mw;
            }
        }
        bounds
    }
}

impl OnChip {
    /// Instructions of the program, at least.
    #[must_use]
    pub fn program(&self) -> f64 {
        self.program
    }

    /// Latency at least (`end` 0) or at most (1), with that share of the weights streamed.
    fn latency_us(&self, end: usize, streamed: f64, hardware: &Hardware) -> f64 {
        let (us_per_weight, us_per_byte) =
            (streamed / hardware.parameter_dram, 1.0 / hardware.activation_dram);
        self.transfers.iter().fold(self.fixed_us[end], |sum, layer| {
            let dram_us = layer.weight_bytes * us_per_weight + layer.input_output_bytes * us_per_byte;
            sum + layer.on_chip_us[end].max(dram_us)
        })
    }
}
