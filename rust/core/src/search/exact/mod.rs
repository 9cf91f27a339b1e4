//! The best design of a space with proof, by branch and bound.
//!
//! A node is a box of designs, [`Region`]. Its constraints and limits take ranks off its ends, a lower bound of the
//! objective (documentation of `simulator::bound`) is worked out for what is left, and it is dropped where the bound
//! is above the best design found, else split in two. Nodes are taken in rounds: the most promising ones are each
//! searched in depth for a fixed number of nodes, in parallel, against the best design known when the round began;
//! what they leave goes back to the others. So nothing depends on the number of threads, the count of nodes
//! included. Only a limit on time can end a run elsewhere the next time.
//!
//! Designs within a relative [`TIE`] of the least objective tie; nodes are dropped above that only, so that every
//! one of them is found.

mod frontier;
mod problem;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use self::frontier::{Found, Search};
pub use self::problem::{Goal, Mean, Problem};
use self::problem::{Objective, Quantity};
use crate::simulator::Score;
use crate::{Error, Infeasible, Result};

/// Designs whose objectives differ by no more than this share tie.
pub const TIE: f64 = 1e-9;

/// Limits of a run of [`solve`].
#[derive(Debug, Clone, Copy)]
pub struct SolveOptions {
    /// Time to take at most.
    pub seconds: Option<f64>,
    /// Nodes to bound before the run ends; those of the last round may pass it by some tens.
    pub nodes: Option<u64>,
    /// Designs that tie to list at most, those of least index; all are counted.
    pub ties: usize,
}

impl Default for SolveOptions {
    fn default() -> Self {
        Self { seconds: None, nodes: None, ties: 10_000 }
    }
}

/// Where a run stands after a round.
#[derive(Debug, Clone, Copy)]
pub struct SolveProgress {
    /// Nodes bounded so far.
    pub nodes: u64,
    /// Objective of the best design so far.
    pub best: Option<f64>,
    /// No design has a lower objective than this.
    pub bound: f64,
    /// Time since the start.
    pub seconds: f64,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SolveStop {
    /// No better design is left: the result is the optimum.
    Proved,
    /// As many nodes were bounded as the options allow.
    Nodes,
    /// The time that the options allow has passed.
    Seconds,
    /// The stop flag was set.
    Interrupted,
}

/// The best design, and what is known of all others.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// Of the designs that tie for the least objective, that of the least index; ranks.
    pub design: Vec<u16>,
    /// Its objective.
    pub score: f64,
    /// Its simulation for each application.
    pub scores: Vec<Score>,
    /// No design has a lower objective than this; `score` itself (or less by a tie) where proved.
    pub bound: f64,
    /// Indices of the designs that tie, in order, as many as the options list; all that there are where proved.
    pub ties: Vec<u64>,
    /// How many designs tie; at least, unless proved.
    pub tie_count: usize,
    /// Boxes of designs, single ones among them, whose objective was bounded or worked out.
    pub nodes: u64,
    /// Why the run ended.
    pub stop: SolveStop,
    /// Time of the whole run.
    pub seconds: f64,
}

impl Solution {
    /// Share by which the objective could still be lower: 0 where proved.
    #[must_use]
    pub fn gap(&self) -> f64 {
        if self.stop == SolveStop::Proved || self.score <= self.bound {
            return 0.0;
        }
        1.0 - self.bound / self.score
    }
}

/// Finds the design of least objective and proves that there is none better, or comes as far as `options` allow.
///
/// `stop` is looked at between nodes, `progress` called between rounds of some tens of milliseconds. Errs where no
/// design meets the limits, with the limit to blame and the least that can be reached, and where none was found
/// before the run was stopped.
pub fn solve(
    problem: &Problem,
    options: &SolveOptions,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(SolveProgress),
) -> Result<Solution> {
    let start = Instant::now();
    let deadline = match options.seconds {
        Some(seconds) if seconds.is_nan() || seconds <= 0.0 => {
            return Err(Error::Configuration(format!("seconds is {seconds}; it must be above 0")));
        }
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok().and_then(|time| start.checked_add(time)),
        None => None,
    };
    if options.nodes == Some(0) {
        return Err(Error::Configuration("nodes is 0; it must be at least 1".into()));
    }
    let Found { designs, bound, nodes, stop: reason } =
        Search::new(problem, true, stop, deadline).run(options.nodes, progress)?;
    let Some(&(score, index)) = designs.first() else {
        let message = if reason == SolveStop::Proved {
            blame(problem, stop, deadline, progress)?
        } else {
            format!(
                "no feasible design was found among the first {nodes} nodes; whether there is one is not proved"
            )
        };
        return Err(Error::NoFeasibleDesign(Infeasible { message, nearest: None }));
    };
    let mut design = vec![0; problem.space().dimensions()];
    problem.space().ranks_of(index, &mut design);
    Ok(Solution {
        scores: problem.simulate(&design)?,
        design,
        score,
        bound,
        tie_count: designs.len(),
        ties: designs.iter().take(options.ties).map(|design| design.1).collect(),
        nodes,
        stop: reason,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Says why no design of the problem is feasible.
fn blame(
    problem: &Problem,
    stop: &AtomicBool,
    deadline: Option<Instant>,
    progress: &mut dyn FnMut(SolveProgress),
) -> Result<String> {
    /// The least of a quantity under some of the limits, and whether that was searched to the end.
    type Reach = (Option<f64>, bool);
    let mut reach = |quantity: Quantity, limits: Vec<(Quantity, f64)>| -> Result<Reach> {
        let names = vec![];
        let relaxed = Problem { objective: Objective::Quantity(quantity), limits, names, ..problem.clone() };
        let found = Search::new(&relaxed, false, stop, deadline).run(None, progress)?;
        let least = found.designs.iter().map(|design| design.0).min_by(f64::total_cmp);
        Ok((least, found.stop == SolveStop::Proved))
    };
    let names: Vec<&str> = problem.simulators.iter().map(|one| one.application().name.as_str()).collect();
    let runs = names.join(", ");
    let all: Vec<String> = problem
        .names
        .iter()
        .zip(&problem.limits)
        .map(|(name, (_, limit))| format!("{name} <= {limit}"))
        .collect();
    let (all, plain) =
        (all.join(", "), format!("no design of space `{}` can run {runs}", problem.space().name()));
    for (name, &(quantity, limit)) in problem.names.iter().zip(&problem.limits) {
        match reach(quantity, vec![])? {
            (None, true) => return Ok(format!("{plain}, even without limits")),
            (Some(least), true) if least > limit => {
                return Ok(format!(
                    "{plain} within {name} <= {limit}: the least {name} is {}",
                    figure(least)
                ));
            }
            _ => {}
        }
    }
    // Each limit can be kept by itself.
    for (position, (name, &(quantity, _))) in problem.names.iter().zip(&problem.limits).enumerate().rev() {
        let mut others = problem.limits.clone();
        others.remove(position);
        if let (Some(least), true) = reach(quantity, others)? {
            return Ok(format!(
                "{plain} within {all}: within the other limits, the least {name} is {}",
                figure(least)
            ));
        }
    }
    Ok(if all.is_empty() { plain } else { format!("{plain} within {all}") })
}

/// A figure with digits enough to set a limit by, rounded up.
fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let scale = 10_f64.powf(5.0 - value.abs().log10().floor());
    ((value * scale).ceil() / scale).to_string()
}
