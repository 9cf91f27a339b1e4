//! Batched search over discrete design spaces: ask an [`Optimizer`] for designs, tell it their scores.
//!
//! A design is a row of ranks, one `u16` a parameter. The search knows a space only as a [`Domain`] and a
//! scorer only as numbers, so that a simulator, a surrogate and a Python callable are all the same to it.
//! Lower scores are better. Designs are ordered by feasibility first, then by violation, then by score (Deb,
//! 2000).
//!
//! What a space knows without scoring (its constraints, limits on metrics it computes) is settled here: no
//! design with a [known violation](Domain::violation) is handed out, and none twice.
//!
//! [`solve`] is apart from these: it finds the best design with proof, where the scores are the simulator's.
//!
//! Runs are repeatable: one random stream a (seed, generation, chunk of designs) gives the same designs at
//! any number of threads. The designs do depend on how many are asked for at a time.

mod best;
mod descent;
mod driver;
mod exact;
mod interrupt;
mod ledger;
mod limits;
mod method;
mod optimizers;
mod packing;
mod pareto;
mod sampler;
mod session;
mod simulation;
mod track;
mod variation;

use std::ops::{Deref, DerefMut};

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

pub use driver::{Options, Outcome, Progress, Run, Scorer, Stop, minimize};
pub use exact::{Goal, Mean, Problem, Solution, SolveOptions, SolveProgress, SolveStop, TIE, solve};
pub use interrupt::Interrupt;
pub use limits::{LimitedSpace, improper_limit};
pub use method::{METHODS, Setup, optimizer_named};
pub use optimizers::{
    Annealing, AnnealingOptions, DifferentialEvolution, DifferentialEvolutionOptions, Firefly,
    FireflyOptions, LocalSearch, LocalSearchOptions,
};
pub use optimizers::{Genetic, GeneticOptions, Random};
pub use optimizers::{MeasureRange, Nsga2, Nsga2Options, QualityDiversity, QualityDiversityOptions};
pub use pareto::{Front, crowding_distances, hypervolume, non_dominated_sort};
pub use session::{Event, Journal, Session};
pub use simulation::Simulation;
pub use track::{Improvement, Record};

use crate::{Error, Result};

/// The space that is searched, with all that is known about its designs before they are scored.
pub trait Domain: Sync {
    /// Number of values of each parameter, each from 1 to 65,536; their product at most 2^64.
    fn cardinalities(&self) -> &[usize];

    /// The number of a design, distinct for distinct designs.
    fn index_of(&self, ranks: &[u16]) -> u64;

    /// How far a design is from meeting the constraints and limits that need no scoring; 0 when it meets
    /// them.
    ///
    /// Graded amounts lead the search into a small feasible region; a flat 1 leaves it to chance.
    fn violation(&self, ranks: &[u16]) -> f64;

    /// [`Domain::violation`] of each of many designs, row by row: what a search asks for most.
    fn violations(&self, designs: &[u16], violations: &mut [f64]) {
        let width = self.cardinalities().len();
        for (violation, ranks) in violations.iter_mut().zip(designs.chunks_exact(width)) {
            *violation = self.violation(ranks);
        }
    }

    /// [`Domain::violations`] of designs given parameter by parameter: all ranks of the first, then of the next.
    fn violations_by_parameter(&self, columns: &[u16], violations: &mut [f64]) {
        let count = violations.len();
        let mut ranks = vec![0; self.cardinalities().len()];
        for (row, violation) in violations.iter_mut().enumerate() {
            for (parameter, rank) in ranks.iter_mut().enumerate() {
                *rank = columns[parameter * count + row];
            }
            *violation = self.violation(&ranks);
        }
    }

    /// Whether neighbouring ranks of a parameter are alike, so that a step of one rank is a small change.
    fn is_ordinal(&self, _parameter: usize) -> bool {
        true
    }

    /// A design as error messages show it.
    fn describe(&self, ranks: &[u16]) -> String {
        format!("ranks {ranks:?}")
    }
}

impl<P> Domain for P
where
    P: Deref<Target: Domain> + Sync,
{
    fn cardinalities(&self) -> &[usize] {
        (**self).cardinalities()
    }

    fn index_of(&self, ranks: &[u16]) -> u64 {
        (**self).index_of(ranks)
    }

    fn violation(&self, ranks: &[u16]) -> f64 {
        (**self).violation(ranks)
    }

    fn violations(&self, designs: &[u16], violations: &mut [f64]) {
        (**self).violations(designs, violations);
    }

    fn violations_by_parameter(&self, columns: &[u16], violations: &mut [f64]) {
        (**self).violations_by_parameter(columns, violations);
    }

    fn is_ordinal(&self, parameter: usize) -> bool {
        (**self).is_ordinal(parameter)
    }

    fn describe(&self, ranks: &[u16]) -> String {
        (**self).describe(ranks)
    }
}

/// A search method as a pair of calls: take designs, give back their scores.
pub trait Optimizer: Send {
    /// Numbers in a design's score: 1, unless the method has several objectives, or measures beside one.
    fn columns(&self) -> usize {
        1
    }

    /// Lets one batch be asked for while the scores of another are due, where the method can make it so
    /// early; returns whether it can.
    fn ask_ahead(&mut self) -> bool {
        false
    }

    /// Has every [`Optimizer::ask`] from now on end once `interrupt` says so, with what designs it has by then: how
    /// many there are, or that there are none, then means nothing.
    fn heed(&mut self, interrupt: Interrupt);

    /// Replaces the content of `ranks` by up to `n` designs, row by row, and returns how many there are.
    ///
    /// Fewer than `n` come when few are left, and 0 when no further design can be found: then no `tell` is
    /// due. Errs when `n` is 0 or above 2^24, when scores are still due (see [`Optimizer::ask_ahead`]), and when
    /// nothing in the space meets the constraints.
    fn ask(&mut self, n: usize, ranks: &mut Vec<u16>) -> Result<usize>;

    /// Takes the scores of the designs asked for first among those due, in their order: rows of
    /// [`Optimizer::columns`].
    ///
    /// A design with a violation above 0 or a score of plus infinity is infeasible. Errs, and takes nothing,
    /// when no designs are out, a length is wrong, a violation is NaN, or a score of a feasible design is
    /// NaN.
    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()>;

    /// Has the given designs, row by row, handed out before any other: a warm start.
    ///
    /// Designs with a known violation and those handed out before are passed over. Returns how many are kept,
    /// repetitions counted.
    fn start_with(&mut self, designs: &[u16]) -> Result<usize>;

    /// The best design told so far, by the first number of its score; none is feasible yet when its violation
    /// is above 0.
    fn best(&self) -> Option<&Scored>;

    /// The designs that are the method's answer: the Pareto front told so far, the elites of an archive; the
    /// best design by default.
    fn found(&self) -> Vec<Found> {
        let best = self.best().filter(|best| best.violation <= 0.0);
        best.map(|best| Found { index: best.index, ranks: best.ranks.clone(), scores: vec![best.score] })
            .into_iter()
            .collect()
    }
}

impl<P> Optimizer for P
where
    P: DerefMut<Target: Optimizer> + Send,
{
    fn columns(&self) -> usize {
        (**self).columns()
    }

    fn ask_ahead(&mut self) -> bool {
        (**self).ask_ahead()
    }

    fn heed(&mut self, interrupt: Interrupt) {
        (**self).heed(interrupt);
    }

    fn ask(&mut self, n: usize, ranks: &mut Vec<u16>) -> Result<usize> {
        (**self).ask(n, ranks)
    }

    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()> {
        (**self).tell(scores, violations)
    }

    fn start_with(&mut self, designs: &[u16]) -> Result<usize> {
        (**self).start_with(designs)
    }

    fn best(&self) -> Option<&Scored> {
        (**self).best()
    }

    fn found(&self) -> Vec<Found> {
        (**self).found()
    }
}

/// A feasible design with its whole score.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The design's number in its space.
    pub index: u64,
    /// The rank of each parameter's value.
    pub ranks: Vec<u16>,
    /// As many numbers as the method has [columns](Optimizer::columns).
    pub scores: Vec<f64>,
}

/// A design with its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The design's number in its space.
    pub index: u64,
    /// The rank of each parameter's value.
    pub ranks: Vec<u16>,
    /// The score, lower is better; without meaning where the violation is above 0.
    pub score: f64,
    /// 0 for a feasible design.
    pub violation: f64,
}

/// A score and violation as one number whose order is theirs: lower violation first, then lower score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Merit(u128);

impl Merit {
    const WORST: Self = Self(u128::MAX);

    fn new(score: f64, violation: f64) -> Self {
        let violation = effective_violation(score, violation);
        // Adding 0 turns -0 into 0; one NaN stands for all, and comes last.
        let bits = if score.is_nan() { f64::NAN.to_bits() } else { (score + 0.0).to_bits() };
        let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
        Self(u128::from(violation.to_bits()) << 64 | u128::from(ordered))
    }

    fn is_feasible(self) -> bool {
        self.0 >> 64 == 0
    }
}

/// The violation a design counts with: a score of plus infinity means infeasible by an unknown amount.
fn effective_violation(score: f64, violation: f64) -> f64 {
    if violation > 0.0 {
        violation
    } else if score == f64::INFINITY {
        f64::INFINITY
    } else {
        0.0
    }
}

/// The violation of a design with several scores: plus infinity in any of them means infeasible.
fn row_violation(scores: &[f64], violation: f64) -> f64 {
    scores.iter().map(|&score| effective_violation(score, violation)).fold(0.0, f64::max)
}

/// The error of scores and violations that are not as many as the designs they are `of`.
fn wrong_lengths(scores: usize, violations: usize, of: &str, columns: usize) -> Error {
    let each = if columns == 1 { "one of both".into() } else { format!("{columns} scores and a violation") };
    Error::Configuration(format!("{scores} scores and {violations} violations were {of}; each needs {each}"))
}

/// [`Domain::violation`] as a number from 0 up: an amount that is no number is the worst.
fn known_violation<D: Domain>(domain: &D, ranks: &[u16]) -> f64 {
    let violation = domain.violation(ranks);
    if violation.is_nan() { f64::INFINITY } else { violation.max(0.0) }
}

/// The number of designs of a space, where it can be searched.
fn size_of<D: Domain>(domain: &D) -> Result<u128> {
    const LARGEST: u128 = 1 << 64;
    let cardinalities = domain.cardinalities();
    if cardinalities.is_empty() {
        return Err(Error::Configuration(
            "the design space has no parameters; a search needs at least one".into(),
        ));
    }
    let mut size = 1_u128;
    for (parameter, &cardinality) in cardinalities.iter().enumerate() {
        if !(1..=1 << 16).contains(&cardinality) {
            return Err(Error::Configuration(format!(
                "parameter {parameter} has {cardinality} values; a search takes 1 to 65,536"
            )));
        }
        size *= cardinality as u128;
        if size > LARGEST {
            return Err(Error::Configuration("the design space has more than 2^64 designs".into()));
        }
    }
    Ok(size)
}

type Stream = Xoshiro256PlusPlus;

/// The random stream of one chunk of one generation.
fn stream(seed: u64, generation: u64, chunk: u64) -> Stream {
    // SplitMix64's finaliser between the parts of the key, and once more inside `seed_from_u64`.
    let mix = |key: u64| {
        let key = (key ^ key >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let key = (key ^ key >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        key ^ key >> 31
    };
    let key = mix(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ generation).wrapping_add(chunk);
    Stream::seed_from_u64(mix(key))
}

/// A number from 0 to `n` - 1.
fn below(random: &mut Stream, n: usize) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}
