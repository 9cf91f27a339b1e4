//! What an exact search minimises, over which applications and within which limits.

use crate::search::improper_limit;
use crate::simulator::{Bounds, Output, Score, Simulator, Wanted};
use crate::space::DesignSpace;
use crate::{Error, Result};

/// What to minimise for each application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Latency in us.
    Latency,
    /// Energy in uJ.
    Energy,
    /// Energy times latency, in uJ us.
    EnergyDelay,
}

/// How the objectives of several applications become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mean {
    /// Product of powers.
    Geometric,
    /// Weighted sum.
    Arithmetic,
}

/// What a limit is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    /// A metric of the space, by position.
    Metric(usize),
    /// A result of each application.
    Output(Output),
}

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objective {
    Mean(Goal, Mean),
    /// The quantity by itself; of several applications, the greatest.
    Quantity(Quantity),
}

/// Applications, what to minimise over them, and within which limits.
#[derive(Debug, Clone)]
pub struct Problem {
    pub(super) simulators: Vec<Simulator>,
    /// Shares of the applications, which add up to 1.
    pub(super) shares: Vec<f64>,
    pub(super) objective: Objective,
    pub(super) names: Vec<String>,
    pub(super) limits: Vec<(Quantity, f64)>,
}

pub(super) fn bound_of(output: Output, bounds: &Bounds) -> f64 {
    match output {
        Output::Latency => bounds.latency_us,
        Output::Energy => bounds.energy_uj,
        Output::AveragePower => bounds.average_power_mw,
        Output::PeakPower => bounds.peak_power_mw,
    }
}

impl Goal {
    pub(super) fn value(self, latency_us: f64, energy_uj: f64) -> f64 {
        match self {
            Self::Latency => latency_us,
            Self::Energy => energy_uj,
            Self::EnergyDelay => energy_uj * latency_us,
        }
    }
}

impl Problem {
    /// Simulators of one space, a positive weight each, and upper limits by the name of a metric of the space or
    /// of a result of the simulator (latency, energy, average and peak power, which each application must keep).
    pub fn new(
        simulators: Vec<Simulator>,
        weights: &[f64],
        goal: Goal,
        mean: Mean,
        limits: &[(String, f64)],
    ) -> Result<Self> {
        let Some(first) = simulators.first() else {
            return Err(Error::Configuration("no application is given; at least one is needed".into()));
        };
        if simulators.iter().any(|other| other.space() != first.space()) {
            return Err(Error::Configuration("the simulators have different design spaces".into()));
        }
        if weights.len() != simulators.len() {
            return Err(Error::Configuration(format!(
                "as many weights as applications are needed, found {} and {}",
                weights.len(),
                simulators.len()
            )));
        }
        if let Some(weight) = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
            return Err(Error::Configuration(format!(
                "a weight is {weight}; weights must be positive, finite numbers"
            )));
        }
        let total: f64 = weights.iter().sum();
        let quantities = limits.iter().map(|(name, limit)| {
            if !(limit.is_finite() && *limit > 0.0) {
                return Err(improper_limit(name, *limit));
            }
            Ok((quantity(first.space(), name)?, *limit))
        });
        let limits_found = quantities.collect::<Result<Vec<_>>>()?;
        Ok(Self {
            shares: weights.iter().map(|weight| weight / total).collect(),
            simulators,
            objective: Objective::Mean(goal, mean),
            names: limits.iter().map(|(name, _)| name.clone()).collect(),
            limits: limits_found,
        })
    }

    /// The design space of all simulators.
    #[must_use]
    pub fn space(&self) -> &DesignSpace {
        self.simulators[0].space()
    }

    pub(super) fn wanted(&self) -> Wanted {
        let quantities = self.limits.iter().map(|&(quantity, _)| quantity);
        let objective = match self.objective {
            Objective::Quantity(quantity) => Some(quantity),
            Objective::Mean(..) => None,
        };
        let all: Vec<Quantity> = quantities.chain(objective).collect();
        let average_power = all.contains(&Quantity::Output(Output::AveragePower));
        let energy = average_power
            || all.contains(&Quantity::Output(Output::Energy))
            || matches!(self.objective, Objective::Mean(Goal::Energy | Goal::EnergyDelay, _));
        Wanted { energy, average_power }
    }

    /// Limits on metrics of the space.
    pub(super) fn metrics(&self) -> Vec<(usize, f64)> {
        let metric = |&(quantity, limit): &(Quantity, f64)| match quantity {
            Quantity::Metric(metric) => Some((metric, limit)),
            Quantity::Output(_) => None,
        };
        self.limits.iter().filter_map(metric).collect()
    }

    fn mean(&self, mean: Mean, mut value: impl FnMut(usize) -> f64) -> f64 {
        if self.simulators.len() == 1 {
            return value(0);
        }
        let shares = self.shares.iter().enumerate();
        match mean {
            Mean::Arithmetic => shares.map(|(one, share)| share * value(one)).sum(),
            Mean::Geometric => shares.map(|(one, share)| share * value(one).ln()).sum::<f64>().exp(),
        }
    }

    /// The objective, by the results of each application and a metric of the space.
    pub(super) fn objective(
        &self,
        goal: impl Fn(usize, Goal) -> f64,
        output: impl Fn(usize, Output) -> f64,
        metric: impl Fn(usize) -> f64,
    ) -> f64 {
        match self.objective {
            Objective::Mean(what, mean) => self.mean(mean, |one| goal(one, what)),
            Objective::Quantity(Quantity::Metric(position)) => metric(position),
            Objective::Quantity(Quantity::Output(what)) => {
                (0..self.simulators.len()).map(|one| output(one, what)).fold(0.0, f64::max)
            }
        }
    }

    /// Objective of a design of which `scores` are the results; nothing where it fails a check or a limit.
    pub(super) fn value(&self, ranks: &[u16], scores: &[Score]) -> Option<f64> {
        let fits = |score: &Score| {
            score.rejection.is_none()
                && self.limits.iter().all(|&(quantity, limit)| match quantity {
                    Quantity::Output(output) => output.of(score) <= limit,
                    Quantity::Metric(_) => true,
                })
        };
        let within = |&(metric, limit): &(usize, f64)| self.space().metric(metric, ranks) <= limit;
        if !scores.iter().all(fits) || !self.metrics().iter().all(within) {
            return None;
        }
        let value = self.objective(
            |one, goal| goal.value(scores[one].latency_us, scores[one].energy_uj),
            |one, output| output.of(&scores[one]),
            |metric| self.space().metric(metric, ranks),
        );
        // A metric of the space may be anything.
        (!value.is_nan()).then_some(value)
    }

    pub(super) fn simulate(&self, ranks: &[u16]) -> Result<Vec<Score>> {
        self.simulators.iter().map(|simulator| simulator.score_one(ranks)).collect()
    }
}

fn quantity(space: &DesignSpace, name: &str) -> Result<Quantity> {
    let metrics = space.metrics().iter().map(|metric| metric.name.as_str());
    if let Some(metric) = metrics.clone().position(|known| known == name) {
        return Ok(Quantity::Metric(metric));
    }
    if let Some(output) = Output::named(name) {
        return Ok(Quantity::Output(output));
    }
    let known: Vec<&str> = metrics.chain(Output::ALL.map(Output::name)).collect();
    Err(Error::Configuration(format!(
        "unknown limit `{name}`{}; known: {}",
        crate::suggest::did_you_mean(name, known.iter().copied()),
        known.join(", ")
    )))
}
