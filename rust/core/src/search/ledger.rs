//! The bookkeeping that every optimiser shares: what was handed out, what is due, what was best.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use super::{Domain, Interrupt, Merit, Scored, known_violation, row_violation, wrong_lengths};
use crate::{Error, Result};

/// More designs at a time are taken for a mistake, before they are taken for a request for memory.
const LARGEST_BATCH: usize = 1 << 24;

/// Designs handed out once each, the batches whose scores are due, and the best design told.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Ranks of the batch that is being made or was last told, row by row.
    pub ranks: Vec<u16>,
    /// Index of each design of that batch, or another number that orders designs so.
    pub indices: Vec<u64>,
    /// Merit, by the first number of its score, of each design of the batch last told.
    pub merits: Vec<Merit>,
    /// Indices of all designs handed out.
    pub visited: FxHashSet<u64>,
    best: Option<(Merit, Scored)>,
    /// Ranks and indices of batches handed out, the first one first.
    due: VecDeque<(Vec<u16>, Vec<u64>)>,
    columns: usize,
    /// Batches that may be out when another is asked for.
    pub ahead: usize,
    /// Ends the making of a batch.
    pub interrupt: Interrupt,
    /// Designs to hand out first: rows not handed out yet, the next one last.
    seeds: Vec<u16>,
}

impl Ledger {
    /// For scores of `columns` numbers a design.
    pub fn new(columns: usize) -> Self {
        Self {
            ranks: Vec::new(),
            indices: Vec::new(),
            merits: Vec::new(),
            visited: FxHashSet::default(),
            best: None,
            due: VecDeque::new(),
            columns,
            ahead: 0,
            interrupt: Interrupt::default(),
            seeds: Vec::new(),
        }
    }

    /// Queues designs of a warm start, row by row; see [`Optimizer::start_with`](super::Optimizer::start_with).
    pub fn start_with<D: Domain>(&mut self, domain: &D, designs: &[u16]) -> Result<usize> {
        let cardinalities = domain.cardinalities();
        let width = cardinalities.len();
        if !designs.len().is_multiple_of(width) {
            return Err(Error::Configuration(format!(
                "{} ranks of start designs were given; they must be rows of {width}",
                designs.len()
            )));
        }
        for (row, design) in designs.chunks(width).enumerate() {
            for (parameter, (&rank, &cardinality)) in design.iter().zip(cardinalities).enumerate() {
                if usize::from(rank) >= cardinality {
                    return Err(Error::Data(format!(
                        "start design {row} has rank {rank} for parameter {parameter} of {cardinality} values"
                    )));
                }
            }
        }
        let usable = |design: &&[u16]| {
            known_violation(domain, design) == 0.0 && !self.visited.contains(&domain.index_of(design))
        };
        let kept: Vec<u16> = designs.chunks(width).rev().filter(usable).flatten().copied().collect();
        let count = kept.len() / width;
        self.seeds.splice(0..0, kept);
        Ok(count)
    }

    /// Starts a batch of up to `n` designs with those of a warm start.
    pub fn open<D: Domain>(&mut self, domain: &D, n: usize) -> Result<()> {
        if !(1..=LARGEST_BATCH).contains(&n) {
            return Err(Error::Configuration(format!(
                "{n} designs were asked for; ask for 1 to {LARGEST_BATCH} at a time"
            )));
        }
        if self.due.len() > self.ahead {
            return Err(Error::Configuration(format!(
                "ask was called while the scores of {} designs are due; call tell first",
                self.due.iter().map(|(_, indices)| indices.len()).sum::<usize>()
            )));
        }
        self.ranks.clear();
        self.indices.clear();
        if self.visited.capacity() < self.visited.len() + n {
            // Grown by more than twice: what was entered is entered again each time.
            self.visited.reserve(2 * self.visited.len() + n);
        }
        let width = domain.cardinalities().len();
        while self.indices.len() < n && !self.seeds.is_empty() {
            let design = self.seeds.split_off(self.seeds.len() - width);
            self.admit(domain.index_of(&design), &design);
        }
        Ok(())
    }

    /// Adds a design to the batch unless it was handed out before.
    pub fn admit(&mut self, index: u64, ranks: &[u16]) -> bool {
        let new = self.enter(index);
        if new {
            self.ranks.extend_from_slice(ranks);
        }
        new
    }

    /// As [`Ledger::admit`] for a design whose ranks the caller adds.
    pub fn enter(&mut self, index: u64) -> bool {
        let new = self.visited.insert(index);
        if new {
            self.indices.push(index);
        }
        new
    }

    /// Hands the batch out.
    pub fn issue(&mut self, ranks: &mut Vec<u16>) -> usize {
        ranks.clear();
        ranks.extend_from_slice(&self.ranks);
        let n = self.indices.len();
        if n > 0 {
            self.due.push_back((std::mem::take(&mut self.ranks), std::mem::take(&mut self.indices)));
        }
        n
    }

    /// Takes the scores of the first batch due: all of them, or none when something is wrong with one.
    pub fn close<D: Domain>(&mut self, domain: &D, scores: &[f64], violations: &[f64]) -> Result<()> {
        let Some((ranks, indices)) = self.due.front() else {
            return Err(Error::Configuration("tell was called with no designs due; call ask first".into()));
        };
        let (n, columns, width) = (indices.len(), self.columns, domain.cardinalities().len());
        if scores.len() != n * columns || violations.len() != n {
            let of = format!("told for {n} designs");
            return Err(wrong_lengths(scores.len(), violations.len(), &of, columns));
        }
        for (row, (scores, &violation)) in scores.chunks(columns).zip(violations).enumerate() {
            let fault = if violation.is_nan() {
                "a violation of NaN; it must be 0, or positive where the design is infeasible"
            } else if violation <= 0.0 && scores.iter().any(|score| score.is_nan()) {
                "a score of NaN; it must be a number, or come with a violation above 0"
            } else {
                continue;
            };
            return Err(Error::Data(format!(
                "design {row} of the batch (index {}, {}) has {fault}",
                domain.index_of(&ranks[row * width..][..width]),
                domain.describe(&ranks[row * width..][..width])
            )));
        }
        (self.ranks, self.indices) = self.due.pop_front().unwrap_or_default();
        let violation = |row: usize| row_violation(&scores[row * columns..][..columns], violations[row]);
        self.merits.clear();
        self.merits.extend((0..n).map(|row| Merit::new(scores[row * columns], violation(row))));
        let winner = self.merits.iter().zip(&self.indices).enumerate().min_by_key(|(_, key)| *key);
        if let Some((row, (&merit, _))) = winner
            && self.best.as_ref().is_none_or(|(best, _)| merit <= *best)
        {
            let ranks = self.ranks[row * width..][..width].to_vec();
            let index = domain.index_of(&ranks);
            if self.best.as_ref().is_none_or(|(best, scored)| (merit, index) < (*best, scored.index)) {
                let scored = Scored { index, ranks, score: scores[row * columns], violation: violation(row) };
                self.best = Some((merit, scored));
            }
        }
        Ok(())
    }

    /// The best design told.
    pub fn best(&self) -> Option<&Scored> {
        self.best.as_ref().map(|(_, scored)| scored)
    }
}
