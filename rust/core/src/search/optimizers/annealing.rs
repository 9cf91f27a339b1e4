//! Simulated annealing.

use super::proposals::{Population, Proposals, improper, unit};
use crate::Result;
use crate::search::{Domain, Interrupt, Optimizer, Scored, below};

/// Share of the uphill moves to accept at the start of a cycle; it falls exponentially to the last share, which it
/// reaches when this part of the cycle is over, and is 0 from then on.
const FIRST_SHARE: f64 = 0.3;
const LAST_SHARE: f64 = 0.0003;
const COOLING: f64 = 0.9;
/// Largest relative change of the temperature after a batch, and that for each uphill move of a chain.
const LARGEST_STEP: f64 = 0.5;
const STEP: f64 = 0.1;
/// Each cycle is longer than the one before by this factor.
const GROWTH: f64 = 1.5;
/// Batches that the first cycle takes at least.
const BATCHES: usize = 8;

/// How an [`Annealing`] search runs.
#[derive(Debug, Clone)]
pub struct AnnealingOptions {
    /// Designs that move at a time, at least 1.
    pub chains: usize,
    /// Evaluations of the first cycle of cooling, at least 1.
    pub cycle: usize,
    /// The same seed asks for the same designs.
    pub seed: u64,
}

impl Default for AnnealingOptions {
    fn default() -> Self {
        Self { chains: 16, cycle: 4096, seed: 0 }
    }
}

/// Simulated annealing in parallel chains, at the temperature that accepts a given share of the moves (after Lam
/// and Delosme, 1988).
///
/// Each chain proposes designs that differ from where it stands in one parameter, half of them by one rank where
/// it is ordinal. It moves to a design that is no worse; to a worse one, by d in score, at a chance of
/// exp(-d / T); and never from a feasible to an infeasible one, nor to a greater violation. In a batch larger than
/// the number of chains, each proposes several designs and takes them in turn.
///
/// T knows neither the score's scale nor how long the search will last. A cycle starts at the median d of its
/// first batch; T then rises or falls after each batch, as fewer or more uphill moves were accepted than a share
/// that falls from 0.3 to 0.0003 over a cycle. Each cycle is 1.5 times as long as the one before, so that the
/// last that fits in any budget is about a third of it. A new cycle heats the chains where they stand, but a
/// random half of them where the best of them stands.
///
/// The first designs are random, and the chains start from the best of them. A proposal that was visited changes
/// in one more parameter, so that chains look further afield where all is known; one with a known violation is
/// made anew.
#[derive(Debug)]
pub struct Annealing<D> {
    options: AnnealingOptions,
    proposals: Proposals<D>,
    chains: Population,
    scores: Vec<f64>,
    /// Whether batches are still random.
    founding: bool,
    /// Whose turn it is.
    next: usize,
    /// Evaluations of the cycle, and how many it has had.
    length: f64,
    told: f64,
    /// 0 where it is to be estimated.
    temperature: f64,
}

impl<D: Domain> Annealing<D> {
    /// A search of `domain`.
    pub fn new(domain: D, options: AnnealingOptions) -> Result<Self> {
        for (name, value) in [("chains", options.chains), ("cycle", options.cycle)] {
            if value == 0 {
                return Err(improper(name, value, "at least 1"));
            }
        }
        Ok(Self {
            proposals: Proposals::new(domain, options.seed, 1)?,
            length: options.cycle as f64,
            options,
            chains: Population::default(),
            scores: Vec::new(),
            founding: true,
            next: 0,
            told: 0.0,
            temperature: 0.0,
        })
    }

    /// Puts chains where the best designs of the batch stand.
    fn found(&mut self, scores: &[f64]) {
        let ledger = &self.proposals.ledger;
        let width = self.proposals.width();
        let mut rows: Vec<usize> = (0..scores.len()).collect();
        rows.sort_unstable_by_key(|&row| (ledger.merits[row], row));
        for row in rows {
            let (ranks, merit) = (&ledger.ranks[row * width..][..width], ledger.merits[row]);
            if self.chains.len() < self.options.chains {
                self.chains.push(ranks, merit);
                self.scores.push(scores[row]);
            } else if let Some(worst) = self.chains.worst().filter(|&slot| merit < self.chains.merits[slot]) {
                self.chains.set(worst, ranks, merit);
                self.scores[worst] = scores[row];
            } else {
                break;
            }
        }
    }

    /// By how much the batch's designs are worse than their chains, where they are.
    fn rises(&self, scores: &[f64]) -> Vec<f64> {
        let rise = |((slot, _, merit), score): ((Option<usize>, _, _), &f64)| {
            let slot = slot.filter(|&slot| self.chains.merits[slot] < merit && merit.is_feasible())?;
            Some(score - self.scores[slot])
                .filter(|rise| rise.is_finite() && self.chains.merits[slot].is_feasible())
        };
        self.proposals.told().zip(scores).filter_map(rise).collect()
    }

    fn accept(&mut self, scores: &[f64]) {
        let mut random = self.proposals.decisions();
        let phase = self.told / self.length;
        if self.temperature == 0.0 {
            let mut rises = self.rises(scores);
            if !rises.is_empty() {
                let middle = rises.len() / 2;
                self.temperature = *rises.select_nth_unstable_by(middle, f64::total_cmp).1;
            }
        }
        let (mut uphill, mut accepted) = (0.0, 0.0);
        for ((slot, ranks, merit), &score) in self.proposals.told().zip(scores) {
            let (slot, stranger) = (slot.or_else(|| self.chains.worst()).unwrap_or(0), slot.is_none());
            let mut moves = merit <= self.chains.merits[slot];
            if !moves && !stranger && merit.is_feasible() {
                moves = unit(&mut random) < ((self.scores[slot] - score) / self.temperature).exp();
                uphill += 1.0;
                accepted += f64::from(u8::from(moves));
            }
            if moves {
                self.chains.set(slot, ranks, merit);
                self.scores[slot] = score;
            }
        }
        let share = FIRST_SHARE * (LAST_SHARE / FIRST_SHARE).powf(phase / COOLING);
        let step = (STEP * uphill / self.chains.len() as f64).min(LARGEST_STEP);
        let warmer = phase < COOLING && accepted < share * uphill;
        self.temperature *= if warmer { step.exp() } else { (-step).exp() };
        self.told += scores.len() as f64;
        if self.told >= self.length {
            (self.told, self.temperature) = (0.0, 0.0);
            self.length *= GROWTH;
            self.gather();
        }
    }

    /// Puts a random half of the chains where the best one stands.
    fn gather(&mut self) {
        let mut random = self.proposals.plans();
        let count = self.chains.len();
        if let Some(best) = (0..count).min_by_key(|&slot| self.chains.merits[slot]) {
            let (ranks, merit) = (self.chains.row(best).to_vec(), self.chains.merits[best]);
            for slot in 0..count {
                if below(&mut random, 2) == 0 {
                    self.chains.set(slot, &ranks, merit);
                    self.scores[slot] = self.scores[best];
                }
            }
        }
    }
}

impl<D: Domain + Send> Optimizer for Annealing<D> {
    fn heed(&mut self, interrupt: Interrupt) {
        self.proposals.ledger.interrupt = interrupt;
    }

    fn ask(&mut self, n: usize, ranks: &mut Vec<u16>) -> Result<usize> {
        let missing = self.proposals.open(n)?;
        let founding = self.founding || self.chains.len() == 0;
        if founding {
            self.length = self.length.max((n * BATCHES) as f64);
            self.founding = self.proposals.draw(missing, None) == missing;
        } else {
            let chains = &self.chains;
            let turns: Vec<u32> = (0..missing).map(|i| ((self.next + i) % chains.len()) as u32).collect();
            self.next = (self.next + missing) % chains.len();
            self.proposals.propose(&turns, |variation, random, slot, _, design| {
                design.copy_from_slice(chains.row(slot as usize));
                variation.change_one(random, design);
            });
        }
        self.proposals.issue(n, founding, &self.chains.ranks, ranks)
    }

    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()> {
        self.proposals.ledger.close(&self.proposals.domain, scores, violations)?;
        if self.founding || self.proposals.unproposed() {
            self.found(scores);
            self.founding &= self.chains.len() < self.options.chains;
        } else {
            self.accept(scores);
        }
        Ok(())
    }

    fn start_with(&mut self, designs: &[u16]) -> Result<usize> {
        self.proposals.ledger.start_with(&self.proposals.domain, designs)
    }

    fn best(&self) -> Option<&Scored> {
        self.proposals.ledger.best()
    }
}
