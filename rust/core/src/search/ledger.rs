//! The bookkeeping that every optimiser shares: what was handed out, what is due, what was best.

use rustc_hash::FxHashSet;

use super::{Domain, Merit, Scored, effective_violation};
use crate::{Error, Result};

/// More designs at a time are taken for a mistake, before they are taken for a request for memory.
const LARGEST_BATCH: usize = 1 << 24;

/// Designs handed out once each, the batch whose scores are due, and the best design told.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Ranks of the batch, row by row.
    pub ranks: Vec<u16>,
    /// Index of each design of the batch.
    pub indices: Vec<u64>,
    /// Merit of each design of the batch, once told.
    pub merits: Vec<Merit>,
    /// Indices of all designs handed out.
    pub visited: FxHashSet<u64>,
    best: Option<(Merit, Scored)>,
    due: bool,
}

impl Ledger {
    /// Starts a batch of up to `n` designs.
    pub fn open(&mut self, n: usize) -> Result<()> {
        if !(1..=LARGEST_BATCH).contains(&n) {
            return Err(Error::Configuration(format!(
                "{n} designs were asked for; ask for 1 to {LARGEST_BATCH} at a time"
            )));
        }
        if self.due {
            return Err(Error::Configuration(format!(
                "ask was called while the scores of {} designs are due; call tell first",
                self.indices.len()
            )));
        }
        self.ranks.clear();
        self.indices.clear();
        Ok(())
    }

    /// Adds a design to the batch unless it was handed out before.
    pub fn admit(&mut self, index: u64, ranks: &[u16]) -> bool {
        let new = self.visited.insert(index);
        if new {
            self.indices.push(index);
            self.ranks.extend_from_slice(ranks);
        }
        new
    }

    /// Hands the batch out.
    pub fn issue(&mut self, ranks: &mut Vec<u16>) -> usize {
        ranks.clear();
        ranks.extend_from_slice(&self.ranks);
        self.due = !self.indices.is_empty();
        self.indices.len()
    }

    /// Takes the scores of the batch: all of them, or none when something is wrong with one.
    pub fn close<D: Domain>(&mut self, domain: &D, scores: &[f64], violations: &[f64]) -> Result<()> {
        let n = self.indices.len();
        if !self.due {
            return Err(Error::Configuration("tell was called with no designs due; call ask first".into()));
        }
        if scores.len() != n || violations.len() != n {
            return Err(Error::Configuration(format!(
                "{} scores and {} violations were told for {n} designs; each needs one of both",
                scores.len(),
                violations.len()
            )));
        }
        let width = self.ranks.len() / n;
        for (row, (&score, &violation)) in scores.iter().zip(violations).enumerate() {
            let fault = if violation.is_nan() {
                "a violation of NaN; it must be 0, or positive where the design is infeasible"
            } else if score.is_nan() && violation <= 0.0 {
                "a score of NaN; it must be a number, or come with a violation above 0"
            } else {
                continue;
            };
            return Err(Error::Data(format!(
                "design {row} of the batch (index {}, {}) has {fault}",
                self.indices[row],
                domain.describe(&self.ranks[row * width..][..width])
            )));
        }
        self.due = false;
        self.merits.clear();
        self.merits
            .extend(scores.iter().zip(violations).map(|(&score, &violation)| Merit::new(score, violation)));
        let winner = self.merits.iter().zip(&self.indices).enumerate().min_by_key(|(_, key)| *key);
        if let Some((row, (&merit, &index))) = winner
            && self.best.as_ref().is_none_or(|(best, scored)| (merit, index) < (*best, scored.index))
        {
            let violation = effective_violation(scores[row], violations[row]);
            let ranks = self.ranks[row * width..][..width].to_vec();
            self.best = Some((merit, Scored { index, ranks, score: scores[row], violation }));
        }
        Ok(())
    }

    /// The best design told.
    pub fn best(&self) -> Option<&Scored> {
        self.best.as_ref().map(|(_, scored)| scored)
    }
}
