//! A genetic algorithm that scores no design twice: the default search.

use rayon::prelude::*;

use crate::search::descent::descend;
use crate::search::ledger::Ledger;
use crate::search::sampler::{Misses, PATIENCE, Sampler};
use crate::search::variation::Variation;
use crate::search::{Domain, Merit, Optimizer, Scored, Stream, below, known_violation, size_of, stream};
use crate::{Error, Result};

/// Children bred from one random stream.
const CHUNK: usize = 256;
/// Candidates bred in one try for a child.
const ATTEMPTS: usize = 32;
/// Mutations of a child that was visited before it is dropped for one of other parents.
const SHIFTS: usize = 4;
/// Random designs drawn to replace a child that could not be bred.
const DRAWS: usize = 64;
/// Random designs that a search can start from; with fewer, the rest of the first batch comes from the
/// descent.
const FOUNDERS: usize = 64;
/// Populations' worth of designs without a better one after which the search starts over.
const STALL: usize = 40;
/// Stream numbers past all chunks: for children bred once more, and for the descent.
const REPAIR: u64 = u64::MAX;
const DESCENT: u64 = u64::MAX - 1;

/// How a [`Genetic`] search runs.
#[derive(Debug, Clone)]
pub struct GeneticOptions {
    /// Number of designs that live on from batch to batch, at least 1.
    pub population: usize,
    /// The same seed asks for the same designs.
    pub seed: u64,
}

impl Default for GeneticOptions {
    fn default() -> Self {
        Self { population: 512, seed: 0 }
    }
}

/// A (mu + lambda) genetic algorithm in which every batch asked for is a generation.
///
/// The first batches are random, until they fill the population. From then on each design has two parents,
/// each the better of two drawn from the population; takes each rank from either; and mutates at a rate of
/// 1/d, half of the mutations being steps to a neighbouring rank. A child that was visited before mutates on;
/// one with a known violation is bred anew. The best `population` of old and new designs live on; newer ones
/// win ties, so that the search drifts across plateaus. After 40 populations' worth of designs without a
/// better one the search starts over from random designs: it leaves local optima that way, and what was
/// visited stays so.
///
/// Where random draws find next to nothing (tight limits), the first designs come from an evolution on the
/// known violation alone; spaces of up to 2^20 designs are enumerated instead, and exhausted exactly.
#[derive(Debug)]
pub struct Genetic<D> {
    domain: D,
    options: GeneticOptions,
    variation: Variation,
    sampler: Sampler,
    ledger: Ledger,
    /// The population's ranks, row by row, and merits.
    ranks: Vec<u16>,
    merits: Vec<Merit>,
    /// Whether batches are still random.
    founding: bool,
    generation: u64,
    /// The best merit since the search last started over, and the designs told since.
    peak: Merit,
    stalled: usize,
}

impl<D: Domain> Genetic<D> {
    /// A search of `domain`.
    pub fn new(domain: D, options: GeneticOptions) -> Result<Self> {
        if options.population == 0 {
            return Err(Error::Configuration("a population of 0 was given; it must be at least 1".into()));
        }
        let size = size_of(&domain)?;
        let variation = Variation::new(&domain);
        let sampler = Sampler::new(stream(options.seed, 0, 0), size, domain.cardinalities().len());
        Ok(Self {
            domain,
            options,
            variation,
            sampler,
            ledger: Ledger::new(1),
            ranks: Vec::new(),
            merits: Vec::new(),
            founding: true,
            generation: 0,
            peak: Merit::WORST,
            stalled: 0,
        })
    }

    /// Fills the batch up to `n` with random designs, where enough can be found.
    fn draw(&mut self, n: usize) -> bool {
        let missing = n - self.ledger.indices.len();
        self.sampler.fill(&self.domain, &self.variation, missing, PATIENCE, &mut self.ledger) == missing
    }

    /// Fills the batch up to `n` with designs that an evolution on the known violation leads to.
    fn descend(&mut self, n: usize) -> Misses {
        let mut random = stream(self.options.seed, self.generation, DESCENT);
        let missing = n - self.ledger.indices.len();
        descend(&self.domain, &self.variation, &mut random, &self.ranks, missing, &mut self.ledger)
    }

    /// Fills the batch up to `n` with children, as far as those can be bred.
    fn breed(&mut self, n: usize) {
        let width = self.domain.cardinalities().len();
        let missing = n - self.ledger.indices.len();
        let mut brood = vec![0; missing * width];
        let mut indices = vec![None; missing];
        let breed = |chunk: usize, brood: &mut [u16], indices: &mut [Option<u64>]| {
            let mut random = stream(self.options.seed, self.generation, chunk as u64);
            for (child, index) in brood.chunks_mut(width).zip(indices) {
                *index = self.child(&mut random, child);
            }
        };
        if missing <= CHUNK {
            breed(0, &mut brood, &mut indices);
        } else {
            let chunks = brood.par_chunks_mut(CHUNK * width).zip(indices.par_chunks_mut(CHUNK));
            chunks.enumerate().for_each(|(chunk, (brood, indices))| breed(chunk, brood, indices));
        }
        // In order, so that of twins the first stays. The other, like a child that could not be bred, is bred
        // once more, now in view of its siblings, and else replaced by a random design.
        let mut random = stream(self.options.seed, self.generation, REPAIR);
        for (child, index) in brood.chunks_mut(width).zip(indices) {
            let admitted = index.is_some_and(|index| self.ledger.admit(index, child))
                || self.child(&mut random, child).is_some_and(|index| self.ledger.admit(index, child));
            if !admitted {
                self.sampler.fill(&self.domain, &self.variation, 1, DRAWS, &mut self.ledger);
            }
        }
    }

    /// Breeds one unvisited child with no known violation, and returns its index.
    fn child(&self, random: &mut Stream, child: &mut [u16]) -> Option<u64> {
        let width = child.len();
        let parent = |random: &mut Stream| {
            let (a, b) = (below(random, self.merits.len()), below(random, self.merits.len()));
            let winner = if self.merits[b] < self.merits[a] { b } else { a };
            &self.ranks[winner * width..][..width]
        };
        let mut shifts = SHIFTS;
        for _ in 0..ATTEMPTS {
            if shifts == SHIFTS {
                let (mother, father) = (parent(random), parent(random));
                Variation::cross(random, mother, father, child);
                self.variation.mutate(random, child);
                shifts = 0;
            } else {
                self.variation.change_one(random, child);
                shifts += 1;
            }
            let index = self.domain.index_of(child);
            if self.ledger.visited.contains(&index) {
                continue;
            }
            if known_violation(&self.domain, child) == 0.0 {
                return Some(index);
            }
            shifts = SHIFTS;
        }
        None
    }

    /// Keeps the best of the population and the batch.
    fn select(&mut self) {
        let (mu, width) = (self.options.population, self.domain.cardinalities().len());
        let (old, new) = (self.merits.len(), self.ledger.merits.len());
        // Ties go to the batch, and within it to the first, by a number that makes every key distinct.
        let key = |merit: Merit, order: usize| (merit, order);
        let mut keys: Vec<_> = (0..old).map(|slot| key(self.merits[slot], new + slot)).collect();
        keys.extend((0..new).map(|row| key(self.ledger.merits[row], row)));
        let worst =
            if keys.len() > mu { *keys.select_nth_unstable(mu - 1).1 } else { (Merit::WORST, usize::MAX) };
        let mut slot = 0;
        for row in 0..new {
            if key(self.ledger.merits[row], row) > worst {
                continue;
            }
            let ranks = &self.ledger.ranks[row * width..][..width];
            while slot < old && key(self.merits[slot], new + slot) <= worst {
                slot += 1;
            }
            if slot < old {
                self.merits[slot] = self.ledger.merits[row];
                self.ranks[slot * width..][..width].copy_from_slice(ranks);
                slot += 1;
            } else {
                self.merits.push(self.ledger.merits[row]);
                self.ranks.extend_from_slice(ranks);
            }
        }
    }
}

impl<D: Domain + Send> Optimizer for Genetic<D> {
    fn ask_ahead(&mut self) -> bool {
        self.ledger.ahead = 1;
        true
    }

    fn ask(&mut self, n: usize, ranks: &mut Vec<u16>) -> Result<usize> {
        self.ledger.open(&self.domain, n)?;
        self.generation += 1;
        let mut enough = 1;
        if self.founding || self.merits.is_empty() {
            let full = self.draw(n);
            let designs = self.merits.len() + self.ledger.indices.len();
            self.founding = full && designs < self.options.population;
            enough = FOUNDERS.min(n);
        } else {
            self.breed(n);
        }
        if self.sampler.is_exact() {
            self.draw(n);
        } else if self.ledger.indices.len() < enough {
            let misses = self.descend(n);
            if self.ledger.visited.is_empty() {
                let looked_at = format!("{} candidates of an evolution towards them", misses.count);
                return Err(misses.error(&self.domain, &looked_at));
            }
        }
        if self.ledger.visited.is_empty() {
            return Err(self.sampler.nothing_found(&self.domain));
        }
        Ok(self.ledger.issue(ranks))
    }

    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()> {
        self.ledger.close(&self.domain, scores, violations)?;
        let top = self.ledger.merits.iter().copied().min().unwrap_or(Merit::WORST);
        if top < self.peak {
            (self.peak, self.stalled) = (top, 0);
        } else {
            self.stalled += scores.len();
        }
        if self.stalled >= self.options.population.saturating_mul(STALL) && !self.sampler.is_dry() {
            (self.peak, self.stalled, self.founding) = (Merit::WORST, 0, true);
            self.merits.clear();
            self.ranks.clear();
        } else {
            self.select();
        }
        Ok(())
    }

    fn start_with(&mut self, designs: &[u16]) -> Result<usize> {
        self.ledger.start_with(&self.domain, designs)
    }

    fn best(&self) -> Option<&Scored> {
        self.ledger.best()
    }
}
