//! Technology and overhead constants; values, units and sources stand in `data/technology.toml`.

use crate::{Error, Result};

/// Constants of the simulator. Field names end in their unit.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "documented, with units and sources, in data/technology.toml")]
pub struct Technology {
    pub clock_mhz: f64,
    pub mac_ways: u64,
    pub invocation_us: f64,
    pub layer_us: f64,
    pub pe_port_bytes_per_cycle: f64,
    pub bus_bytes_per_cycle: f64,
    pub dram_efficiency: f64,
    pub dram_round_trip_ns: f64,
    pub instruction_entry_bytes: f64,
    pub activation_entry_bytes: f64,
    pub parameter_entry_bytes: f64,
    pub instructions_per_layer: f64,
    pub instructions_per_tile: f64,
    pub instructions_per_row: f64,
    pub accumulator_bytes: f64,
    pub parameter_share: f64,
    pub prefetch_mib: f64,
    pub unrolled_kernels: bool,
    pub parameter_caching: bool,
    pub mac_pj: f64,
    pub sram_pj_per_byte_at_1_mib: f64,
    pub dram_pj_per_byte: f64,
    pub sram_leakage_mw_per_mib: f64,
}

impl Technology {
    /// The constants that ship with the crate.
    pub fn bundled() -> Result<Self> {
        Self::from_toml(include_str!("../../data/technology.toml"), "technology.toml")
    }

    /// Reads constants from TOML text; `origin` (a file's name) starts every error.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let technology: Self = toml::from_str(text)
            .map_err(|error| Error::Configuration(format!("{origin}: {}", error.message().trim())))?;
        let positive = [
            ("clock_mhz", technology.clock_mhz),
            ("mac_ways", technology.mac_ways as f64),
            ("pe_port_bytes_per_cycle", technology.pe_port_bytes_per_cycle),
            ("bus_bytes_per_cycle", technology.bus_bytes_per_cycle),
            ("dram_efficiency", technology.dram_efficiency),
            ("dram_round_trip_ns", technology.dram_round_trip_ns),
            ("instruction_entry_bytes", technology.instruction_entry_bytes),
            ("activation_entry_bytes", technology.activation_entry_bytes),
            ("parameter_entry_bytes", technology.parameter_entry_bytes),
            ("accumulator_bytes", technology.accumulator_bytes),
            ("parameter_share", technology.parameter_share),
        ];
        let not_negative = [
            ("invocation_us", technology.invocation_us),
            ("layer_us", technology.layer_us),
            ("instructions_per_layer", technology.instructions_per_layer),
            ("instructions_per_tile", technology.instructions_per_tile),
            ("instructions_per_row", technology.instructions_per_row),
            ("prefetch_mib", technology.prefetch_mib),
            ("mac_pj", technology.mac_pj),
            ("sram_pj_per_byte_at_1_mib", technology.sram_pj_per_byte_at_1_mib),
            ("dram_pj_per_byte", technology.dram_pj_per_byte),
            ("sram_leakage_mw_per_mib", technology.sram_leakage_mw_per_mib),
        ];
        for (name, value) in positive.into_iter().chain(not_negative) {
            if !value.is_finite() || value < 0.0 || (value == 0.0 && positive.iter().any(|(n, _)| *n == name))
            {
                return Err(Error::Configuration(format!(
                    "{origin}: {name} is {value}; it must be a finite number {} 0",
                    if positive.iter().any(|(n, _)| *n == name) { "above" } else { "of at least" }
                )));
            }
        }
        let shares = [
            ("dram_efficiency", technology.dram_efficiency),
            ("parameter_share", technology.parameter_share),
        ];
        if let Some((name, value)) = shares.into_iter().find(|&(_, value)| value > 1.0) {
            return Err(Error::Configuration(format!(
                "{origin}: {name} is {value}; it is a share, at most 1"
            )));
        }
        if technology.mac_ways > u64::from(u16::MAX) {
            return Err(Error::Configuration(format!(
                "{origin}: mac_ways is {}; it must be at most {}",
                technology.mac_ways,
                u16::MAX
            )));
        }
        Ok(technology)
    }

    /// Energy in pJ of a byte read from an SRAM of that many bytes.
    pub(super) fn sram_pj_per_byte(&self, bytes: f64) -> f64 {
        self.sram_pj_per_byte_at_1_mib * (bytes / super::MIB).sqrt()
    }

    /// Instructions of a layer that costs this.
    pub(super) fn instructions(&self, cost: &super::Cost) -> f64 {
        self.instructions_per_layer
            + self.instructions_per_tile * cost.tiles
            + self.instructions_per_row * cost.tile_rows
    }
}
