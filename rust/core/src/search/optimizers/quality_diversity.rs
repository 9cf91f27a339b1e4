//! A quality-diversity archive: the best design for each combination of two measures.

use super::proposals::{Parents, Proposals};
use crate::search::{Domain, Found, Interrupt, Optimizer, Scored, Stream, below, row_violation};
use crate::{Error, Result};

/// Designs that are told before any are bred.
const FOUNDERS: usize = 256;
/// Infeasible designs that lead the search until a feasible one is found.
const LEADERS: usize = 128;
/// Most cells of an archive.
const MOST_CELLS: usize = 1 << 20;
/// In place of an elite's position.
const NONE: u32 = u32::MAX;

/// A measure's range and the number of equal intervals that it is cut into.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasureRange {
    /// Name, for messages.
    pub name: String,
    /// Lower end.
    pub low: f64,
    /// Upper end, above the lower one.
    pub high: f64,
    /// Number of intervals, at least 1.
    pub bins: usize,
}

impl MeasureRange {
    /// The interval that a value falls into; one outside the range into the nearest.
    fn bin(&self, value: f64) -> usize {
        let share = (value - self.low) / (self.high - self.low);
        // The conversion takes what is negative, or beyond all integers, to the nearest integer.
        ((share * self.bins as f64) as usize).min(self.bins - 1)
    }
}

/// How a [`QualityDiversity`] search runs.
#[derive(Debug, Clone)]
pub struct QualityDiversityOptions {
    /// The same seed asks for the same designs.
    pub seed: u64,
    /// Ranges of the two measures.
    pub measures: [MeasureRange; 2],
}

/// The best design told of a cell.
#[derive(Debug, Clone, Copy)]
struct Elite {
    index: u64,
    /// Score and measures.
    scores: [f64; 3],
}

/// MAP-Elites (Mouret and Clune 2015): a grid over two measures that keeps the feasible design of least score
/// of each cell.
///
/// A design's score is a row of three: score, measure 1, measure 2. Measures outside their range count to the
/// nearest cell, so that no design is lost; choose a range that holds what is of interest. Of equal scores in
/// a cell the design of least index stays, so the archive depends on the designs told alone, not on their order.
///
/// The first 256 designs are random. From then on each has two parents, drawn uniformly from the elites; takes
/// each rank from either; and mutates at a rate of 1/d. No design is scored twice. While all designs told are
/// infeasible, the parents are the better of two drawn from the 128 of least violation. A score or measure of
/// plus infinity is infeasible. Small spaces are exhausted exactly, tight limits met as by
/// [`Genetic`](super::Genetic).
///
/// The answer, [`Optimizer::found`], is the elites by cell: the intervals of measure 1, and in each those of
/// measure 2.
#[derive(Debug)]
pub struct QualityDiversity<D> {
    proposals: Proposals<D>,
    options: QualityDiversityOptions,
    /// Position of each cell's elite.
    cells: Vec<u32>,
    elites: Vec<Elite>,
    /// Ranks of the elites, row by row.
    ranks: Vec<u16>,
    /// Violation, index and ranks of the infeasible designs nearest to feasibility, the nearest first; none
    /// once there is an elite.
    leaders: Vec<(f64, u64, Vec<u16>)>,
    told: usize,
}

impl<D: Domain> QualityDiversity<D> {
    /// A search of `domain`.
    pub fn new(domain: D, options: QualityDiversityOptions) -> Result<Self> {
        for MeasureRange { name, low, high, bins } in &options.measures {
            if !(low < high && (high - low).is_finite()) {
                return Err(Error::Configuration(format!(
                    "measure {name} has the range {low} to {high}; it must be finite, with its low end first"
                )));
            }
            if *bins == 0 {
                return Err(Error::Configuration(format!(
                    "measure {name} has 0 bins; it must have at least 1"
                )));
            }
        }
        let [rows, columns] = options.measures.each_ref().map(|range| range.bins);
        let cells = rows.checked_mul(columns).filter(|&cells| cells <= MOST_CELLS).ok_or_else(|| {
            Error::Configuration(format!(
                "the measures have {rows} and {columns} bins; they may have {MOST_CELLS} cells at most"
            ))
        })?;
        Ok(Self {
            proposals: Proposals::new(domain, options.seed, 3)?,
            options,
            cells: vec![NONE; cells],
            elites: Vec::new(),
            ranks: Vec::new(),
            leaders: Vec::new(),
            told: 0,
        })
    }

    /// The share of cells that have an elite.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        self.elites.len() as f64 / self.cells.len() as f64
    }

    /// The sum over the elites of how far their score is below `reference`, where it is (the QD-score of Pugh,
    /// Soros, Szerlip, Stanley 2015, for scores that are minimised). Errs where the reference is not finite.
    pub fn qd_score(&self, reference: f64) -> Result<f64> {
        if !reference.is_finite() {
            return Err(Error::Configuration(format!(
                "the reference of the QD score is {reference}; it must be a finite number"
            )));
        }
        // By cell: the order of a sum shows in its last bits, and that of the elites depends on that of scoring.
        let elites = self.cells.iter().filter_map(|&at| self.elites.get(at as usize));
        Ok(elites.map(|elite| (reference - elite.scores[0]).max(0.0)).sum())
    }

    fn keep(&mut self, index: u64, ranks: &[u16], scores: [f64; 3]) {
        let [first, second] = &self.options.measures;
        let cell = first.bin(scores[1]) * second.bins + second.bin(scores[2]);
        let elite = Elite { index, scores };
        let Some(known) = self.elites.get_mut(self.cells[cell] as usize) else {
            self.cells[cell] = self.elites.len() as u32;
            self.elites.push(elite);
            self.ranks.extend_from_slice(ranks);
            return;
        };
        if (scores[0], index) < (known.scores[0], known.index) {
            *known = elite;
            self.ranks[self.cells[cell] as usize * ranks.len()..][..ranks.len()].copy_from_slice(ranks);
        }
    }
}

impl<D: Domain + Send> Optimizer for QualityDiversity<D> {
    fn columns(&self) -> usize {
        3
    }

    fn ask_ahead(&mut self) -> bool {
        self.proposals.ledger.ahead = 1;
        true
    }

    fn heed(&mut self, interrupt: Interrupt) {
        self.proposals.ledger.interrupt = interrupt;
    }

    fn ask(&mut self, n: usize, ranks: &mut Vec<u16>) -> Result<usize> {
        let width = self.proposals.domain.cardinalities().len();
        let (elites, leaders) = (&self.ranks, &self.leaders);
        let parents = |random: &mut Stream| {
            let mut parent = || {
                if elites.is_empty() {
                    let winner = below(random, leaders.len()).min(below(random, leaders.len()));
                    &leaders[winner].2[..]
                } else {
                    &elites[below(random, elites.len() / width) * width..][..width]
                }
            };
            Parents::Two(parent(), parent())
        };
        self.proposals.ask_children(n, ranks, &[], (self.told >= FOUNDERS).then_some(parents))
    }

    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()> {
        self.proposals.ledger.close(&self.proposals.domain, scores, violations)?;
        let width = self.proposals.domain.cardinalities().len();
        let ranks = std::mem::take(&mut self.proposals.ledger.ranks);
        for (row, (scores, &violation)) in scores.chunks_exact(3).zip(violations).enumerate() {
            let (index, ranks) = (self.proposals.ledger.indices[row], &ranks[row * width..][..width]);
            let violation = row_violation(scores, violation);
            if violation <= 0.0 {
                self.keep(index, ranks, [scores[0], scores[1], scores[2]]);
            } else if self.elites.is_empty() {
                self.leaders.push((violation, index, ranks.to_vec()));
            }
        }
        if self.elites.is_empty() {
            self.leaders.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            self.leaders.truncate(LEADERS);
        } else {
            self.leaders.clear();
        }
        self.told += violations.len();
        Ok(())
    }

    fn start_with(&mut self, designs: &[u16]) -> Result<usize> {
        self.proposals.ledger.start_with(&self.proposals.domain, designs)
    }

    fn best(&self) -> Option<&Scored> {
        self.proposals.ledger.best()
    }

    fn found(&self) -> Vec<Found> {
        let width = self.proposals.domain.cardinalities().len();
        let found = |&at: &u32| {
            let elite = self.elites.get(at as usize)?;
            let ranks = self.ranks[at as usize * width..][..width].to_vec();
            Some(Found { index: elite.index, ranks, scores: elite.scores.to_vec() })
        };
        self.cells.iter().filter_map(found).collect()
    }
}
