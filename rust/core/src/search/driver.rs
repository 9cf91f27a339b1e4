//! The loop of ask, score and tell, with its limits and its record.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::best::Best;
use super::{Domain, Merit, Optimizer, Scored};
use crate::{Error, Result};

/// Scores designs in batches: a simulator, a surrogate, a call into Python.
pub trait Scorer {
    /// What scoring can fail with; it passes through [`minimize`] as it is.
    type Error: From<Error>;

    /// Writes the score and violation of each of the `n` designs in `ranks`, row by row.
    ///
    /// Scores come as NaN and violations as 0, so that a design that is left out is an error.
    fn score(
        &mut self,
        ranks: &[u16],
        n: usize,
        scores: &mut [f64],
        violations: &mut [f64],
    ) -> std::result::Result<(), Self::Error>;
}

impl<F, E> Scorer for F
where
    F: FnMut(&[u16], usize, &mut [f64], &mut [f64]) -> std::result::Result<(), E>,
    E: From<Error>,
{
    type Error = E;

    fn score(
        &mut self,
        ranks: &[u16],
        n: usize,
        scores: &mut [f64],
        violations: &mut [f64],
    ) -> std::result::Result<(), E> {
        self(ranks, n, scores, violations)
    }
}

/// Limits of a run of [`minimize`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Designs to score at most.
    pub evaluations: usize,
    /// Designs a call of the scorer; the last batch may be smaller, as may those of a space nearly exhausted.
    pub batch: usize,
    /// How many of the best designs to report.
    pub keep: usize,
    /// End once a feasible design scores no more than this.
    pub target: Option<f64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { evaluations: 50_000, batch: 4096, keep: 16, target: None }
    }
}

/// Where a run stands after a batch.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Designs scored so far.
    pub evaluations: usize,
    /// Score of the best feasible design so far.
    pub best: Option<f64>,
    /// Time since the start.
    pub seconds: f64,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// As many designs were scored as the options allow.
    Evaluations,
    /// The optimiser found no further design that meets what is known of the constraints.
    Exhausted,
    /// The stop flag was set.
    Interrupted,
    /// A feasible design reached the target.
    Target,
}

/// A design better than all scored before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Improvement {
    /// Designs scored up to and with this one.
    pub evaluations: usize,
    /// Its score.
    pub score: f64,
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The best distinct designs by violation, score and index; the first has a violation above 0 when no
    /// feasible design was found.
    pub best: Vec<Scored>,
    /// Designs scored.
    pub evaluations: usize,
    /// The feasible designs that were the best when they were scored.
    pub history: Vec<Improvement>,
    /// Why the run ended.
    pub stop: Stop,
    /// Time spent in the scorer.
    pub scoring_seconds: f64,
    /// Time of the whole run.
    pub seconds: f64,
}

/// Runs `optimizer` against `scorer` until a limit is met, the space is exhausted or `stop` is set.
///
/// `stop` is looked at and `progress` called between batches; once it is set, an error of the scorer ends the
/// run with what was found. `domain` is the space that the optimiser searches.
pub fn minimize<D: Domain + ?Sized, S: Scorer + ?Sized>(
    domain: &D,
    optimizer: &mut dyn Optimizer,
    scorer: &mut S,
    options: &Options,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> std::result::Result<Outcome, S::Error> {
    check(options)?;
    let start = Instant::now();
    let width = domain.cardinalities().len();
    let mut ranks = Vec::new();
    let mut scores = Vec::new();
    let mut violations = Vec::new();
    let mut best = Best::new(options.keep);
    let mut history: Vec<Improvement> = Vec::new();
    let (mut evaluations, mut scoring_seconds) = (0, 0.0);
    let reason = loop {
        let reached = history.last().zip(options.target).is_some_and(|(best, target)| best.score <= target);
        if reached {
            break Stop::Target;
        }
        if evaluations == options.evaluations {
            break Stop::Evaluations;
        }
        if stop.load(Ordering::Relaxed) {
            break Stop::Interrupted;
        }
        let n = optimizer.ask(options.batch.min(options.evaluations - evaluations), &mut ranks)?;
        if n == 0 {
            break Stop::Exhausted;
        }
        scores.clear();
        scores.resize(n, f64::NAN);
        violations.clear();
        violations.resize(n, 0.0);
        let before = Instant::now();
        if let Err(error) = scorer.score(&ranks, n, &mut scores, &mut violations) {
            // A scorer that gives up because it was told to stop has not failed.
            if stop.load(Ordering::Relaxed) {
                break Stop::Interrupted;
            }
            return Err(error);
        }
        scoring_seconds += before.elapsed().as_secs_f64();
        optimizer.tell(&scores, &violations)?;
        for (row, design) in ranks.chunks(width).enumerate() {
            evaluations += 1;
            let feasible = Merit::new(scores[row], violations[row]).is_feasible();
            if feasible && history.last().is_none_or(|best| scores[row] < best.score) {
                history.push(Improvement { evaluations, score: scores[row] });
            }
            best.offer(domain, design, scores[row], violations[row]);
        }
        progress(Progress {
            evaluations,
            best: history.last().map(|best| best.score),
            seconds: start.elapsed().as_secs_f64(),
        });
    };
    Ok(Outcome {
        best: best.into_sorted(),
        evaluations,
        history,
        stop: reason,
        scoring_seconds,
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn check(options: &Options) -> Result<()> {
    for (name, value) in
        [("evaluations", options.evaluations), ("batch", options.batch), ("keep", options.keep)]
    {
        if value == 0 {
            return Err(Error::Configuration(format!("{name} is 0; it must be at least 1")));
        }
    }
    if options.target.is_some_and(f64::is_nan) {
        return Err(Error::Configuration("the target is NaN; it must be a number".into()));
    }
    Ok(())
}
