//! What a run has come to: the best designs, each improvement, and every design told on request.

use rustc_hash::FxHashMap;

use super::best::Best;
use super::{Domain, Merit, row_violation};

/// A design better than all scored before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Improvement {
    /// Designs scored up to and with this one.
    pub evaluations: usize,
    /// Its score.
    pub score: f64,
}

/// Every design told, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Index of each design.
    pub indices: Vec<u64>,
    /// Scores, as many numbers a design as the method has columns.
    pub scores: Vec<f64>,
    /// Violation of each design.
    pub violations: Vec<f64>,
}

#[derive(Debug)]
pub(super) struct Track {
    pub best: Best,
    pub history: Vec<Improvement>,
    /// Designs told, without those whose scores were known from the start.
    pub evaluations: usize,
}

impl Track {
    pub fn new(keep: usize) -> Self {
        Self { best: Best::new(keep), history: Vec::new(), evaluations: 0 }
    }

    /// Takes a batch told, with scores of `columns` numbers each.
    pub fn note<D: Domain>(
        &mut self,
        domain: &D,
        ranks: &[u16],
        (scores, columns): (&[f64], usize),
        violations: &[f64],
        known: &FxHashMap<u64, usize>,
    ) {
        let designs = ranks.chunks_exact(domain.cardinalities().len());
        for ((design, scores), &violation) in designs.zip(scores.chunks_exact(columns)).zip(violations) {
            let is_known = !known.is_empty() && known.contains_key(&domain.index_of(design));
            self.evaluations += usize::from(!is_known);
            let (score, violation) = (scores[0], row_violation(scores, violation));
            let feasible = Merit::new(score, violation).is_feasible();
            if feasible && self.history.last().is_none_or(|best| score < best.score) {
                self.history.push(Improvement { evaluations: self.evaluations, score });
            }
            self.best.offer(domain, design, score, violation);
        }
    }
}
