//! The simulator as a scorer of chosen outputs.

use std::ops::Deref;

use super::Interrupt;
use super::driver::Scorer;
use super::limits::improper_limit;
use crate::simulator::{Output, Simulator};
use crate::space::Batch;
use crate::{Error, Result};

/// Designs scored between looks for an interrupt.
const PART: usize = 1 << 16;

/// What one number of a score is.
#[derive(Debug, Clone, Copy)]
enum Column {
    Output(Output),
    /// A metric of the space, by position.
    Metric(usize),
}

/// Scores designs by outputs of a simulator and metrics of its space, within limits on outputs.
///
/// The violation of a design that fails a check is [`Simulator::violation`], else the sum of the shares by which
/// it exceeds the limits.
#[derive(Debug, Clone)]
pub struct Simulation<S> {
    simulator: S,
    columns: Vec<Column>,
    limits: Vec<(Output, f64)>,
    interrupt: Interrupt,
}

impl<S: Deref<Target = Simulator>> Simulation<S> {
    /// A scorer whose scores are rows of the named outputs or metrics, in their order.
    pub fn new(simulator: S, columns: &[String], limits: &[(String, f64)]) -> Result<Self> {
        let space = simulator.space();
        let column = |name: &String| match (Output::named(name), space.metric_position(name)) {
            (Some(output), _) => Ok(Column::Output(output)),
            (None, Ok(metric)) => Ok(Column::Metric(metric)),
            (None, Err(_)) => {
                let metrics = space.metrics().iter().map(|metric| metric.name.as_str());
                let known: Vec<&str> = Output::ALL.map(Output::name).into_iter().chain(metrics).collect();
                Err(Error::Configuration(format!(
                    "unknown objective `{name}`{}; the simulator and its space give {}",
                    crate::suggest::did_you_mean(name, known.iter().copied()),
                    known.join(", ")
                )))
            }
        };
        let limit = |(name, limit): &(String, f64)| {
            if !(limit.is_finite() && *limit > 0.0) {
                return Err(improper_limit(name, *limit));
            }
            match Output::named(name) {
                Some(output) => Ok((output, *limit)),
                None => Err(Error::Configuration(format!(
                    "limit {name}={limit}: the simulator gives {}",
                    Output::ALL.map(Output::name).join(", ")
                ))),
            }
        };
        let columns = columns.iter().map(column).collect::<Result<_>>()?;
        let limits = limits.iter().map(limit).collect::<Result<_>>()?;
        Ok(Self { simulator, columns, limits, interrupt: Interrupt::default() })
    }

    /// The same, ended by an error in the middle of a large batch once `interrupt` is due.
    #[must_use]
    pub fn until(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    fn score_part(&self, ranks: &[u16], scores: &mut [f64], violations: &mut [f64]) -> Result<()> {
        let simulator = &*self.simulator;
        let result = simulator.score(ranks)?;
        let width = self.columns.len();
        for (position, column) in self.columns.iter().enumerate() {
            let slots = scores.iter_mut().skip(position).step_by(width);
            match *column {
                Column::Output(output) => {
                    slots.enumerate().for_each(|(row, slot)| *slot = output.of_row(&result, row));
                }
                Column::Metric(metric) => {
                    let mut batch = Batch::new(simulator.space(), ranks);
                    slots.zip(batch.metric(metric)).for_each(|(slot, &value)| *slot = value);
                }
            }
        }
        let designs = ranks.chunks_exact(simulator.space().dimensions());
        for (row, (violation, design)) in violations.iter_mut().zip(designs).enumerate() {
            let excess = |&(output, limit): &(Output, f64)| {
                let share = output.of_row(&result, row) / limit - 1.0;
                // Rounding must not make the least excess none.
                if output.of_row(&result, row) > limit { share.max(f64::EPSILON) } else { 0.0 }
            };
            *violation = if result.reason[row] == 0 {
                self.limits.iter().map(excess).sum()
            } else {
                simulator.violation(design)
            };
        }
        Ok(())
    }
}

impl<S: Deref<Target = Simulator>> Scorer for Simulation<S> {
    type Error = Error;

    fn score(&mut self, ranks: &[u16], _: usize, scores: &mut [f64], violations: &mut [f64]) -> Result<()> {
        let dimensions = self.simulator.space().dimensions();
        let columns = self.columns.len();
        let parts = ranks.chunks(PART * dimensions).zip(scores.chunks_mut(PART * columns));
        for ((ranks, scores), violations) in parts.zip(violations.chunks_mut(PART)) {
            if self.interrupt.is_due() {
                return Err(Error::Configuration("the simulation was interrupted".into()));
            }
            self.score_part(ranks, scores, violations)?;
        }
        Ok(())
    }
}
