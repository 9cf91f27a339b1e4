//! New designs for the methods that keep more than one best: random, bred from pairs of parents, or led to by
//! their known violation.

use rayon::prelude::*;

use crate::Result;
use crate::search::descent::descend;
use crate::search::ledger::Ledger;
use crate::search::sampler::{PATIENCE, Sampler};
use crate::search::variation::Variation;
use crate::search::{Domain, Stream, known_violation, size_of, stream};

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
/// Stream numbers past all chunks: for children bred once more, and for the descent.
const REPAIR: u64 = u64::MAX;
const DESCENT: u64 = u64::MAX - 1;

/// Who a child comes from.
pub(super) enum Parents<'a> {
    /// It differs from this design in one parameter.
    One(&'a [u16]),
    /// It has each rank from either, and mutates.
    Two(&'a [u16], &'a [u16]),
}

/// A space with what was handed out of it, and the means to hand out more: no design twice, none with a known
/// violation.
#[derive(Debug)]
pub(super) struct Offspring<D> {
    pub domain: D,
    pub ledger: Ledger,
    seed: u64,
    generation: u64,
    variation: Variation,
    sampler: Sampler,
}

impl<D: Domain> Offspring<D> {
    /// For scores of `columns` numbers.
    pub fn new(domain: D, seed: u64, columns: usize) -> Result<Self> {
        let size = size_of(&domain)?;
        let variation = Variation::new(&domain);
        let sampler = Sampler::new(stream(seed, 0, 0), size, domain.cardinalities().len());
        Ok(Self { domain, ledger: Ledger::new(columns), seed, generation: 0, variation, sampler })
    }

    /// Makes a batch of up to `n` designs: children of those that `parents` draws or, without it, random
    /// ones. `start` are designs from which a descent may start.
    ///
    /// Returns how many there are; fewer than `n` when no more can be found. Small spaces are exhausted exactly.
    pub fn ask<'a, P>(
        &mut self,
        n: usize,
        ranks: &mut Vec<u16>,
        start: &[u16],
        parents: Option<P>,
    ) -> Result<usize>
    where
        P: Fn(&mut Stream) -> Parents<'a> + Sync,
    {
        self.ledger.open(&self.domain, n)?;
        self.generation += 1;
        let mut enough = 1;
        if let Some(parents) = parents {
            self.breed(n, &parents);
        } else {
            self.draw(n);
            enough = FOUNDERS.min(n);
        }
        if self.sampler.is_exact() {
            self.draw(n);
        } else if self.ledger.indices.len() < enough {
            let mut random = stream(self.seed, self.generation, DESCENT);
            let missing = n - self.ledger.indices.len();
            let misses =
                descend(&self.domain, &self.variation, &mut random, start, missing, &mut self.ledger);
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

    /// Fills the batch up to `n` with random designs, as far as those can be found.
    fn draw(&mut self, n: usize) {
        let missing = n - self.ledger.indices.len();
        self.sampler.fill(&self.domain, &self.variation, missing, PATIENCE, &mut self.ledger);
    }

    /// Fills the batch up to `n` with children, as far as those can be bred.
    fn breed<'a, P>(&mut self, n: usize, parents: &P)
    where
        P: Fn(&mut Stream) -> Parents<'a> + Sync,
    {
        let width = self.domain.cardinalities().len();
        let missing = n - self.ledger.indices.len();
        let mut brood = vec![0; missing * width];
        let mut indices = vec![None; missing];
        let breed = |chunk: usize, brood: &mut [u16], indices: &mut [Option<u64>]| {
            let mut random = stream(self.seed, self.generation, chunk as u64);
            for (child, index) in brood.chunks_mut(width).zip(indices) {
                *index = self.child(&mut random, parents, child);
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
        let mut random = stream(self.seed, self.generation, REPAIR);
        for (child, index) in brood.chunks_mut(width).zip(indices) {
            let admitted = index.is_some_and(|index| self.ledger.admit(index, child))
                || self
                    .child(&mut random, parents, child)
                    .is_some_and(|index| self.ledger.admit(index, child));
            if !admitted {
                self.sampler.fill(&self.domain, &self.variation, 1, DRAWS, &mut self.ledger);
            }
        }
    }

    /// Breeds one unvisited child with no known violation, and returns its index.
    fn child<'a, P>(&self, random: &mut Stream, parents: &P, child: &mut [u16]) -> Option<u64>
    where
        P: Fn(&mut Stream) -> Parents<'a>,
    {
        let mut shifts = SHIFTS;
        for _ in 0..ATTEMPTS {
            if shifts == SHIFTS {
                match parents(random) {
                    Parents::One(parent) => {
                        child.copy_from_slice(parent);
                        self.variation.change_one(random, child);
                    }
                    Parents::Two(mother, father) => {
                        Variation::cross(random, mother, father, child);
                        self.variation.mutate(random, child);
                    }
                }
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
}
