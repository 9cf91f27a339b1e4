//! Results of the simulator by name: what can be minimised and limited.

use super::{Score, Scores};

/// A result of the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Latency of one inference, us.
    Latency,
    /// Energy of one inference, uJ.
    Energy,
    /// Energy over latency, mW.
    AveragePower,
    /// Power with every unit at work, mW.
    PeakPower,
}

impl Output {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 4] = [Self::Latency, Self::Energy, Self::AveragePower, Self::PeakPower];

    /// Name with its unit.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency_us",
            Self::Energy => "energy_uj",
            Self::AveragePower => "average_power_mw",
            Self::PeakPower => "peak_power_mw",
        }
    }

    /// The output of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|output| output.name() == name)
    }

    /// Value for one design; NaN where it is infeasible, but for the peak power.
    #[must_use]
    pub fn of(self, score: &Score) -> f64 {
        self.value(score.latency_us, score.energy_uj, score.peak_power_mw)
    }

    /// Value for one design of a batch.
    #[must_use]
    pub fn of_row(self, scores: &Scores, row: usize) -> f64 {
        self.value(scores.latency_us[row], scores.energy_uj[row], scores.peak_power_mw[row])
    }

    fn value(self, latency_us: f64, energy_uj: f64, peak_power_mw: f64) -> f64 {
        match self {
            Self::Latency => latency_us,
            Self::Energy => energy_uj,
            // uJ per us is W.
            Self::AveragePower => energy_uj / latency_us * 1e3,
            Self::PeakPower => peak_power_mw,
        }
    }
}
