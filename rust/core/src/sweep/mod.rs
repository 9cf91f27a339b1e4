//! All designs of a space, simulated: the best ones, the Pareto front, histograms, and how many fail which
//! check.
//!
//! What PEs, lanes, cores and core memory decide is worked out once for each of their combinations (77,000 in
//! PRIME's space; [`crate::simulator`]'s costs of every layer). For each of these, the other parameters span
//! a grid (5,880 designs) over which every quantity depends on few axes: constraints and metrics of the space
//! on those that their expressions name (`space::expression::grid`), latency and energy on PE memory
//! and the few pairs of bandwidths that differ (161). Each is worked out once for each combination of its
//! axes; for the single design there are left lookups, comparisons with the limits and the best so far, and
//! the increments of the histograms.
//!
//! Every number is the simulator's own, bit for bit, and no result depends on the number of threads: counts
//! add up, and the best designs and the front are determined by their values and indices.

mod front;
mod histogram;
mod tally;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::simulator::{Output, Simulator};
use crate::space::DesignSpace;
use crate::{Error, Result};
pub use histogram::Bin;
use tally::Tally;
use worker::{Plan, Worker};

/// Most designs of a space that a sweep takes.
pub const MAX_DESIGNS: u128 = 1 << 40;
/// Most of the best designs that are kept.
pub const MAX_KEPT: usize = 1_000_000;
/// Combinations of the parameters that decide what happens on chip in one piece of work: some milliseconds.
const CHUNK: u64 = 64;
/// Time between two reports.
const INTERVAL: Duration = Duration::from_millis(50);
/// The objective that is a product of two outputs, and its name.
const ENERGY_DELAY: &str = "energy_delay";

/// A number that a design has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// A result of the simulator.
    Output(Output),
    /// Energy times latency, uJ us.
    EnergyDelay,
    /// A metric of the space, by position.
    Metric(usize),
}

/// What to find.
#[derive(Debug, Clone)]
pub struct SweepOptions {
    /// What to minimise: a metric of the space, an output of the simulator or `energy_delay`.
    pub objective: String,
    /// Upper limits on metrics and outputs.
    pub limits: Vec<(String, f64)>,
    /// How many of the best designs to keep.
    pub keep: usize,
    /// The two or three measures, all minimised, of the Pareto front; none for no front.
    pub front: Vec<String>,
    /// Measures to make histograms of.
    pub histograms: Vec<String>,
    /// Number of threads; that of the current rayon pool by default.
    pub threads: Option<usize>,
}

impl Default for SweepOptions {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            objective: "latency_us".to_owned(),
            limits: vec![],
            keep: 16,
            front: names(&["latency_us", "area_mm2"]),
            histograms: names(&["latency_us", "area_mm2", "energy_uj", "average_power_mw"]),
            threads: None,
        }
    }
}

/// Where a sweep stands.
#[derive(Debug, Clone, Copy)]
pub struct SweepProgress {
    /// Designs counted so far.
    pub designs: u64,
    /// Objective of the best design so far.
    pub best: Option<f64>,
    /// Time since the start.
    pub seconds: f64,
}

/// What a sweep has counted and found.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Designs counted; all of the space unless interrupted.
    pub designs: u64,
    /// Designs that pass all checks.
    pub feasible: u64,
    /// Feasible designs within the limits: those that all that follows is about.
    pub within_limits: u64,
    /// Designs by the first check that they fail, in the order of [`Simulator::reasons`].
    pub rejected: Vec<u64>,
    /// Index and objective of the best designs, by objective, then index.
    pub best: Vec<(u64, f64)>,
    /// Number of designs whose objective exceeds the least by a share of [`crate::search::TIE`] at most.
    pub ties: u64,
    /// Indices of the designs that no other is at least as good as in all measures of the front and better in
    /// one, by these measures; of equal ones the least index.
    pub front: Vec<u64>,
    /// Bins that hold designs, for each measure asked for.
    pub histograms: Vec<Vec<Bin>>,
    /// Whether all designs were counted.
    pub complete: bool,
    /// Time of the whole run.
    pub seconds: f64,
}

impl Measure {
    fn named(space: &DesignSpace, name: &str) -> Result<Self> {
        if name == ENERGY_DELAY {
            return Ok(Self::EnergyDelay);
        }
        if let Some(output) = Output::named(name) {
            return Ok(Self::Output(output));
        }
        space.metric_position(name).map(Self::Metric).map_err(|_| {
            let outputs = Output::ALL.map(Output::name);
            let metrics = space.metrics().iter().map(|metric| metric.name.as_str());
            let known: Vec<&str> = outputs.into_iter().chain([ENERGY_DELAY]).chain(metrics).collect();
            let hint = crate::suggest::did_you_mean(name, known.iter().copied());
            Error::Configuration(format!(
                "nothing to sweep is called `{name}`{hint}; known: {}",
                known.join(", ")
            ))
        })
    }

    fn all(space: &DesignSpace, what: &str, names: &[String]) -> Result<Vec<Self>> {
        let repeated = names.iter().enumerate().find(|(position, name)| names[..*position].contains(name));
        if let Some((_, name)) = repeated {
            return Err(Error::Configuration(format!("the {what} names `{name}` twice; name it once")));
        }
        names.iter().map(|name| Self::named(space, name)).collect()
    }
}

fn plan<'a>(simulator: &'a Simulator, options: &SweepOptions) -> Result<Plan<'a>> {
    let space = simulator.space();
    if space.size() > MAX_DESIGNS {
        return Err(Error::Configuration(format!(
            "space `{}` has {} designs; a sweep takes at most 2^40: `prime-fast solve` finds the best \
             design of a larger space",
            space.name(),
            space.size()
        )));
    }
    if !(1..=MAX_KEPT).contains(&options.keep) {
        return Err(Error::Configuration(format!(
            "keep is {}; it must be from 1 to {MAX_KEPT}",
            options.keep
        )));
    }
    if options.threads == Some(0) {
        return Err(Error::Configuration("threads is 0; it must be at least 1".into()));
    }
    let mut limits = Vec::with_capacity(options.limits.len());
    for (name, limit) in &options.limits {
        if !(limit.is_finite() && *limit > 0.0) {
            return Err(Error::Configuration(format!(
                "limit {name}={limit}: a limit must be a positive, finite number"
            )));
        }
        limits.push((Measure::named(space, name)?, *limit));
    }
    let front = Measure::all(space, "front", &options.front)?;
    if ![0, 2, front::MAX_MEASURES].contains(&front.len()) {
        return Err(Error::Configuration(format!(
            "the front has {} measures; it takes 2 or {}, or none for no front",
            front.len(),
            front::MAX_MEASURES
        )));
    }
    let histograms = Measure::all(space, "list of histograms", &options.histograms)?;
    let objective = Measure::named(space, &options.objective)?;
    Ok(Plan::new(simulator, objective, limits, front, histograms))
}

/// Simulates all designs of the simulator's space. `progress` is called on the calling thread some times a
/// second; `stop` ends the run within milliseconds, with what was found by then.
pub fn sweep(
    simulator: &Simulator,
    options: &SweepOptions,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(SweepProgress),
) -> Result<Sweep> {
    let start = Instant::now();
    let plan = plan(simulator, options)?;
    let reasons = simulator.reasons().len();
    let new_tally = || Tally::new(reasons, options.keep, plan.histograms.len());
    let threads = options.threads.unwrap_or_else(rayon::current_num_threads);
    let threads = plan.pieces().div_ceil(CHUNK).min(threads as u64);
    let (next, designs) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut best: Option<f64> = None;
    let tally = std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        let started: std::io::Result<Vec<_>> = (0..threads)
            .map(|_| {
                let (sender, mut tally) = (sender.clone(), new_tally());
                let (plan, next, designs) = (&plan, &next, &designs);
                std::thread::Builder::new().spawn_scoped(scope, move || {
                    let mut worker = Worker::new(plan);
                    while !stop.load(Ordering::Relaxed) {
                        let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                        if first >= plan.pieces() {
                            break;
                        }
                        let (before, least) = (tally.designs, tally.best.least());
                        for piece in first..plan.pieces().min(first + CHUNK) {
                            if stop.load(Ordering::Relaxed) {
                                break;
                            }
                            worker.take(piece, &mut tally);
                        }
                        designs.fetch_add(tally.designs - before, Ordering::Relaxed);
                        // A receiver that has gone wants no news.
                        if let Some(found) = tally.best.least().filter(|&found| least != Some(found)) {
                            let _ = sender.send(found);
                        }
                    }
                    tally
                })
            })
            .collect();
        drop(sender);
        let workers = started.map_err(|error| {
            // Those that did start find nothing left to do.
            next.store(plan.pieces(), Ordering::Relaxed);
            Error::Configuration(format!("can't start {threads} threads: {error}"))
        })?;
        let mut reported = start;
        loop {
            let running = match receiver.recv_timeout(INTERVAL) {
                Ok(found) => {
                    best = Some(best.map_or(found, |best| best.min(found)));
                    true
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            if reported.elapsed() >= INTERVAL || !running {
                reported = Instant::now();
                let seconds = start.elapsed().as_secs_f64();
                progress(SweepProgress { designs: designs.load(Ordering::Relaxed), best, seconds });
            }
            if !running {
                break;
            }
        }
        let mut all = new_tally();
        for worker in workers {
            all.merge(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        Ok(all)
    })?;
    Ok(Sweep {
        designs: tally.designs,
        feasible: tally.designs - tally.rejected.iter().sum::<u64>(),
        within_limits: tally.within_limits,
        rejected: tally.rejected,
        ties: tally.best.ties(),
        best: tally.best.into_sorted(),
        front: tally.front.into_points().into_iter().map(|point| point.index).collect(),
        histograms: tally.histograms.iter().map(histogram::Histogram::bins).collect(),
        complete: u128::from(tally.designs) == simulator.space().size(),
        seconds: start.elapsed().as_secs_f64(),
    })
}
