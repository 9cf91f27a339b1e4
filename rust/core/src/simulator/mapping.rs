//! Spatial mappings: what a layer's loops are spread over, and what that costs.

use super::Hardware;

/// The loop that one spatial axis of the array is spread over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loop {
    /// Output rows.
    Rows,
    /// Output columns.
    Columns,
    /// Output channels.
    Channels,
    /// The reduction: kernel window times input channels.
    Reduction,
}

/// A spatial mapping: a loop each for the PE columns (x), the PE rows (y) and the compute lanes of a PE. The
/// cores of a lane always take output channels, the ways of a MAC unit the reduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    x: Loop,
    y: Loop,
    lanes: Loop,
    name: &'static str,
}

/// The mappings that are tried, in order; the first of the fastest is taken.
pub const MAPPINGS: [Mapping; 7] = {
    use Loop::{Channels, Columns, Reduction, Rows};
    [
        Mapping { x: Columns, y: Rows, lanes: Channels, name: "x=columns y=rows lanes=channels" },
        Mapping { x: Columns, y: Rows, lanes: Reduction, name: "x=columns y=rows lanes=reduction" },
        Mapping { x: Channels, y: Rows, lanes: Columns, name: "x=channels y=rows lanes=columns" },
        Mapping { x: Channels, y: Rows, lanes: Reduction, name: "x=channels y=rows lanes=reduction" },
        Mapping { x: Columns, y: Channels, lanes: Rows, name: "x=columns y=channels lanes=rows" },
        Mapping { x: Channels, y: Channels, lanes: Columns, name: "x=channels y=channels lanes=columns" },
        Mapping { x: Channels, y: Channels, lanes: Reduction, name: "x=channels y=channels lanes=reduction" },
    ]
};

/// A layer reduced to what its cost depends on; layers of one shape cost the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Output rows.
    pub rows: u64,
    /// Output columns.
    pub columns: u64,
    /// Output channels.
    pub channels: u64,
    /// Products summed into one output (operands combined, for a layer without weights).
    pub reduction: u64,
    /// Kernel width over horizontal stride: how often a row buffer serves one fetched activation.
    pub reuse: u64,
    /// Every output channel reads its own input channel: depthwise, pooling, element-wise.
    pub per_channel: bool,
    /// The layer multiplies: its weights, or a second operand, go through the core memories.
    pub weights: bool,
    /// Bytes of inputs that the bus brings from PE to PE.
    pub multicast_bytes: u64,
}

/// What a mapping costs on a design.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    pub mapping: usize,
    /// Cycles of the busiest MAC unit.
    pub compute_cycles: f64,
    /// Bytes through the port of the busiest PE memory.
    pub port_bytes: f64,
    /// Tiles of weights that the controller issues.
    pub tiles: f64,
    /// Rows of outputs of all tiles in a PE.
    pub tile_rows: f64,
    /// PEs that have work.
    pub active_pes: f64,
}

fn ceil_div(a: u64, b: u64) -> u64 {
    a.div_ceil(b)
}

impl Mapping {
    /// Name for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Spread of a loop over the PEs, and over the lanes of a PE.
    fn spread(&self, hardware: &Hardware, wanted: Loop) -> (u64, u64) {
        let over = |is: Loop, units: u64| if is == wanted { units } else { 1 };
        (over(self.x, hardware.pes_x) * over(self.y, hardware.pes_y), over(self.lanes, hardware.lanes))
    }
}

/// A layer's cost under one mapping but for the core memory, which only decides into how many tiles the reduction of
/// its weights is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Untiled {
    /// With one tile of the reduction, and without the bytes of the weights.
    cost: Cost,
    weight_bytes: f64,
    /// Outputs of a PE.
    outputs: f64,
    /// Output rows of a PE.
    rows: f64,
    /// Bytes of core memory that one tile of the whole reduction needs; 0 without weights.
    slice: f64,
}

impl Untiled {
    /// Tiles that the reduction is cut into.
    fn splits(&self, hardware: &Hardware) -> f64 {
        (self.slice / hardware.core_memory).ceil().max(1.0)
    }

    fn tiled(&self, hardware: &Hardware) -> Cost {
        let splits = self.splits(hardware);
        let partial_sums = (splits - 1.0) * 2.0 * hardware.accumulator_bytes * self.outputs;
        let tiles = self.cost.tiles * splits;
        let port_bytes = self.cost.port_bytes + (self.weight_bytes + partial_sums);
        Cost { port_bytes, tiles, tile_rows: tiles * self.rows, ..self.cost }
    }
}

impl Shape {
    /// Cost of this layer under one mapping; the equations stand in the documentation of [`super`].
    pub(super) fn cost(&self, hardware: &Hardware, mapping: usize) -> Cost {
        self.untiled(hardware, mapping).tiled(hardware)
    }

    /// Tiles that the reduction is cut into under one mapping.
    pub(super) fn splits(&self, hardware: &Hardware, mapping: usize) -> f64 {
        self.untiled(hardware, mapping).splits(hardware)
    }

    /// Cost of this layer under every mapping, whatever the core memory.
    pub(super) fn mapped(&self, hardware: &Hardware) -> [Untiled; MAPPINGS.len()] {
        std::array::from_fn(|mapping| self.untiled(hardware, mapping))
    }

    fn untiled(&self, hardware: &Hardware, mapping: usize) -> Untiled {
        let spatial = MAPPINGS[mapping];
        let (rows_pe, rows_lane) = spatial.spread(hardware, Loop::Rows);
        let (columns_pe, columns_lane) = spatial.spread(hardware, Loop::Columns);
        let (channels_pe, channels_lane) = spatial.spread(hardware, Loop::Channels);
        let (_, reduction_lane) = spatial.spread(hardware, Loop::Reduction);

        let passes = ceil_div(self.channels, channels_pe * channels_lane * hardware.cores);
        // The ways of a MAC unit sum input channels: where there is one an output, one way works.
        let ways = if self.per_channel { 1 } else { hardware.mac_ways };
        let steps = ceil_div(self.reduction, reduction_lane * ways);
        let pixels_lane =
            ceil_div(self.rows, rows_pe * rows_lane) * ceil_div(self.columns, columns_pe * columns_lane);
        let compute_cycles = pixels_lane as f64 * passes as f64 * steps as f64;

        let rows = ceil_div(self.rows, rows_pe);
        let pixels_pe = (rows * ceil_div(self.columns, columns_pe)) as f64;
        let outputs_pe = pixels_pe * ceil_div(self.channels, channels_pe) as f64;
        let reads = if self.per_channel {
            outputs_pe * self.reduction as f64
        } else {
            pixels_pe * self.reduction as f64 * passes as f64
        } / self.reuse as f64;
        let (slice, weight_bytes) = if self.weights {
            let slice = 2.0 * hardware.slice_cores as f64 * ceil_div(self.reduction, reduction_lane) as f64;
            (slice, (ceil_div(self.channels, channels_pe) * self.reduction) as f64)
        } else {
            (0.0, 0.0)
        };
        let busy = |length: u64, units: u64| ceil_div(length, ceil_div(length, units)) as f64;
        let active_pes =
            busy(self.rows, rows_pe) * busy(self.columns, columns_pe) * busy(self.channels, channels_pe);
        let (rows, tiles) = (rows as f64, passes as f64);
        let port_bytes = reads + outputs_pe;
        let cost = Cost { mapping, compute_cycles, port_bytes, tiles, tile_rows: tiles * rows, active_pes };
        Untiled { cost, weight_bytes, outputs: outputs_pe, rows, slice }
    }

    /// The first of the mappings that take the fewest cycles of compute and port.
    pub(super) fn best(&self, hardware: &Hardware) -> Cost {
        Self::fastest(&self.mapped(hardware), hardware)
    }

    /// The first of the mappings that take the fewest cycles of compute and port with this core memory.
    pub(super) fn fastest(mapped: &[Untiled; MAPPINGS.len()], hardware: &Hardware) -> Cost {
        let cycles = |cost: &Cost| cost.compute_cycles.max(cost.port_bytes * hardware.cycles_per_port_byte);
        let mut best = mapped[0].tiled(hardware);
        for untiled in &mapped[1..] {
            let other = untiled.tiled(hardware);
            if cycles(&other) < cycles(&best) {
                best = other;
            }
        }
        best
    }
}
