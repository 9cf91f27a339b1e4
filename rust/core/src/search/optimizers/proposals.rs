//! What the methods share that move designs about: batches of proposals, each from one of many moving designs.

use rayon::prelude::*;

use crate::search::descent::descend;
use crate::search::ledger::Ledger;
use crate::search::sampler::{PATIENCE, Sampler};
use crate::search::variation::Variation;
use crate::search::{Domain, Merit, Stream, below, known_violation, size_of, stream};
use crate::{Error, Result};

/// Proposals made from one random stream.
const CHUNK: usize = 256;
/// Chunks between looks for an interrupt on the thread that asks.
const GROUP: usize = 64;
/// Candidates made in one try for a proposal.
const ATTEMPTS: usize = 32;
/// Candidates between looks for an interrupt.
const INTERRUPTIBLE: usize = 8;
/// Further changes of a candidate that was visited before another is made in its place.
const SHIFTS: usize = 4;
/// Random designs drawn in place of a proposal that could not be made.
const DRAWS: usize = 64;
/// Random designs that a search can start from; with fewer, the rest of the first batch comes from the descent.
const FOUNDERS: usize = 64;
/// Stream numbers past all chunks: for proposals made once more, for the descent, and for decisions.
const REPAIR: u64 = u64::MAX;
const DESCENT: u64 = u64::MAX - 1;
const PLAN: u64 = u64::MAX - 2;
const DECISION: u64 = u64::MAX - 3;

/// Who a child comes from.
pub(super) enum Parents<'a> {
    /// It differs from this design in one parameter.
    One(&'a [u16]),
    /// It has each rank from either, and mutates.
    Two(&'a [u16], &'a [u16]),
}

/// Makes batches in which every design knows who proposed it.
///
/// No proposal was visited before or has a known violation. A candidate that was visited changes in one more
/// parameter, up to 4 times, before another candidate is made; one with a known violation is made anew; after
/// 32 candidates a random design takes the place. So a search that has seen all neighbours of a design looks
/// further afield by itself.
#[derive(Debug)]
pub(super) struct Proposals<D> {
    pub domain: D,
    pub variation: Variation,
    pub ledger: Ledger,
    /// Who proposed each design of the batch; none did for designs of a warm start and random ones.
    pub origins: Vec<Option<u32>>,
    sampler: Sampler,
    seed: u64,
    generation: u64,
}

impl<D: Domain> Proposals<D> {
    /// For scores of `columns` numbers.
    pub fn new(domain: D, seed: u64, columns: usize) -> Result<Self> {
        let size = size_of(&domain)?;
        let variation = Variation::new(&domain);
        let sampler = Sampler::new(stream(seed, 0, 0), size, domain.cardinalities().len());
        Ok(Self {
            domain,
            variation,
            ledger: Ledger::new(columns),
            origins: Vec::new(),
            sampler,
            seed,
            generation: 0,
        })
    }

    /// Number of parameters.
    pub fn width(&self) -> usize {
        self.domain.cardinalities().len()
    }

    /// Starts a batch of up to `n` designs, and returns how many are missing.
    pub fn open(&mut self, n: usize) -> Result<usize> {
        self.ledger.open(&self.domain, n)?;
        self.generation += 1;
        self.origins.clear();
        self.origins.resize(self.ledger.indices.len(), None);
        Ok(n - self.ledger.indices.len())
    }

    /// Random numbers for what is decided before a batch is made.
    pub fn plans(&self) -> Stream {
        stream(self.seed, self.generation, PLAN)
    }

    /// Random numbers for what follows from the scores of a batch.
    pub fn decisions(&self) -> Stream {
        stream(self.seed, self.generation, DECISION)
    }

    /// Whether all designs of the batch told are random or of a warm start.
    pub fn unproposed(&self) -> bool {
        self.origins.iter().all(Option::is_none)
    }

    /// Origin, ranks and merit of each design of the batch told.
    pub fn told(&self) -> impl Iterator<Item = (Option<usize>, &[u16], Merit)> {
        let rows = self.ledger.ranks.chunks(self.width()).zip(&self.ledger.merits);
        let origins = self.origins.iter().map(|origin| origin.map(|slot| slot as usize));
        origins.zip(rows).map(|(origin, (ranks, &merit))| (origin, ranks, merit))
    }

    /// Whether random draws are no use.
    pub fn is_dry(&self) -> bool {
        self.sampler.is_dry()
    }

    /// Adds a random design to the batch, in the name of `origin`.
    pub fn draw(&mut self, missing: usize, origin: Option<u32>) -> usize {
        let patience = if origin.is_some() { DRAWS } else { PATIENCE };
        let found = self.sampler.fill(&self.domain, &self.variation, missing, patience, &mut self.ledger);
        self.origins.resize(self.ledger.indices.len(), origin);
        found
    }

    /// Adds a design to the batch unless it was handed out before or has a known violation.
    pub fn admit(&mut self, design: &[u16], origin: u32) -> bool {
        let index = self.domain.index_of(design);
        let admitted = !self.ledger.visited.contains(&index)
            && known_violation(&self.domain, design) == 0.0
            && self.ledger.admit(index, design);
        if admitted {
            self.origins.push(Some(origin));
        }
        admitted
    }

    /// Adds one design for each of `origins`, where one can be found.
    ///
    /// `candidate` writes one for an origin, from a random stream, at its attempt 0, 1, ...
    pub fn propose<F>(&mut self, origins: &[u32], candidate: F)
    where
        F: Fn(&Variation, &mut Stream, u32, usize, &mut [u16]) + Sync,
    {
        let width = self.width();
        let mut designs = vec![0; origins.len() * width];
        let mut indices = vec![None; origins.len()];
        let make = |chunk: usize, designs: &mut [u16], indices: &mut [Option<u64>]| {
            let mut random = stream(self.seed, self.generation, chunk as u64);
            for ((design, index), &origin) in
                designs.chunks_mut(width).zip(indices).zip(&origins[chunk * CHUNK..])
            {
                *index = self.unvisited(&mut random, origin, &candidate, design);
            }
        };
        if origins.len() <= CHUNK {
            make(0, &mut designs, &mut indices);
        } else {
            let groups = designs.chunks_mut(GROUP * CHUNK * width).zip(indices.chunks_mut(GROUP * CHUNK));
            for (group, (designs, indices)) in groups.enumerate() {
                if self.ledger.interrupt.is_due() {
                    return;
                }
                let chunks = designs.par_chunks_mut(CHUNK * width).zip(indices.par_chunks_mut(CHUNK));
                chunks
                    .enumerate()
                    .for_each(|(chunk, (designs, indices))| make(group * GROUP + chunk, designs, indices));
            }
        }
        // In order, so that of twins the first stays; the other is made once more, in view of its siblings.
        let mut random = stream(self.seed, self.generation, REPAIR);
        for ((design, index), &origin) in designs.chunks_mut(width).zip(indices).zip(origins) {
            let admitted = index.is_some_and(|index| self.ledger.admit(index, design))
                || self
                    .unvisited(&mut random, origin, &candidate, design)
                    .is_some_and(|index| self.ledger.admit(index, design));
            if admitted {
                self.origins.push(Some(origin));
            } else if self.ledger.interrupt.is_due() {
                return;
            } else {
                self.draw(1, Some(origin));
            }
        }
    }

    fn unvisited<F>(&self, random: &mut Stream, origin: u32, candidate: &F, design: &mut [u16]) -> Option<u64>
    where
        F: Fn(&Variation, &mut Stream, u32, usize, &mut [u16]),
    {
        let mut shifts = SHIFTS;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 && attempt % INTERRUPTIBLE == 0 && self.ledger.interrupt.is_due() {
                break;
            }
            if shifts == SHIFTS {
                candidate(&self.variation, random, origin, attempt, design);
                shifts = 0;
            } else {
                self.variation.change_one(random, design);
                shifts += 1;
            }
            let index = self.domain.index_of(design);
            if self.ledger.visited.contains(&index) {
                continue;
            }
            if known_violation(&self.domain, design) == 0.0 {
                return Some(index);
            }
            shifts = SHIFTS;
        }
        None
    }

    /// A whole batch of up to `n` designs: children of those that `parents` draws or, without it, random ones.
    /// `start` are designs from which a descent may start.
    pub fn ask_children<'a, P>(
        &mut self,
        n: usize,
        ranks: &mut Vec<u16>,
        start: &[u16],
        parents: Option<P>,
    ) -> Result<usize>
    where
        P: Fn(&mut Stream) -> Parents<'a> + Sync,
    {
        let missing = self.open(n)?;
        let founding = parents.is_none();
        if let Some(parents) = parents {
            self.propose(&vec![0; missing], |variation, random, _, _, child| match parents(random) {
                Parents::One(parent) => {
                    child.copy_from_slice(parent);
                    variation.change_one(random, child);
                }
                Parents::Two(mother, father) => {
                    Variation::cross(random, mother, father, child);
                    variation.mutate(random, child);
                }
            });
        } else {
            self.draw(missing, None);
        }
        self.issue(n, founding, start, ranks)
    }

    /// Hands the batch of up to `n` designs out, filled up where that takes another source of designs: an
    /// enumeration of a small space; or an evolution on the known violation that begins at `start`, where the
    /// batch has too few random designs for a beginning (`founding`), or none.
    pub fn issue(&mut self, n: usize, founding: bool, start: &[u16], ranks: &mut Vec<u16>) -> Result<usize> {
        let missing = n - self.ledger.indices.len();
        if self.sampler.is_exact() {
            self.draw(missing, None);
        } else if self.ledger.indices.len() < if founding { FOUNDERS.min(n) } else { 1 } {
            let mut random = stream(self.seed, self.generation, DESCENT);
            let misses =
                descend(&self.domain, &self.variation, &mut random, start, missing, &mut self.ledger);
            self.origins.resize(self.ledger.indices.len(), None);
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
}

/// Designs that a search works on, row by row, with their merits.
#[derive(Debug, Default)]
pub(super) struct Population {
    pub ranks: Vec<u16>,
    pub merits: Vec<Merit>,
}

impl Population {
    pub fn clear(&mut self) {
        self.ranks.clear();
        self.merits.clear();
    }

    pub fn len(&self) -> usize {
        self.merits.len()
    }

    pub fn row(&self, slot: usize) -> &[u16] {
        let width = self.ranks.len() / self.merits.len();
        &self.ranks[slot * width..][..width]
    }

    pub fn push(&mut self, ranks: &[u16], merit: Merit) {
        self.ranks.extend_from_slice(ranks);
        self.merits.push(merit);
    }

    pub fn set(&mut self, slot: usize, ranks: &[u16], merit: Merit) {
        self.ranks[slot * ranks.len()..][..ranks.len()].copy_from_slice(ranks);
        self.merits[slot] = merit;
    }

    /// The slot of the worst design, the first of several.
    pub fn worst(&self) -> Option<usize> {
        (0..self.len()).rev().max_by_key(|&slot| self.merits[slot])
    }

    /// Takes the batch's designs in and keeps the best `size` of all, in their order; the first win ties.
    pub fn found(&mut self, ledger: &Ledger, size: usize) {
        self.ranks.extend_from_slice(&ledger.ranks);
        self.merits.extend_from_slice(&ledger.merits);
        if self.len() > size {
            let width = self.ranks.len() / self.len();
            let mut slots: Vec<usize> = (0..self.len()).collect();
            slots.select_nth_unstable_by_key(size - 1, |&slot| (self.merits[slot], slot));
            slots.truncate(size);
            slots.sort_unstable();
            // Each moves to an equal or lower slot, after what stood there has moved.
            for (to, &from) in slots.iter().enumerate() {
                self.merits[to] = self.merits[from];
                self.ranks.copy_within(from * width..(from + 1) * width, to * width);
            }
            self.merits.truncate(size);
            self.ranks.truncate(size * width);
        }
    }
}

/// A number from 1 up to `n`, though not `n` where that is above 1, without a factor in common with it: the stride
/// at which a walk around `n` places comes past all of them.
pub(super) fn stride(random: &mut Stream, n: usize) -> usize {
    loop {
        let stride = 1 + below(random, n.max(2) - 1);
        let (mut a, mut b) = (n, stride);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        if a <= 1 {
            return stride;
        }
    }
}

/// A number from 0 up to, but not including, 1.
pub(super) fn unit(random: &mut Stream) -> f64 {
    use rand::Rng;
    (random.next_u64() >> 11) as f64 * 2_f64.powi(-53)
}

/// The error of an option that is out of its range.
pub(super) fn improper(name: &str, found: impl std::fmt::Display, right: &str) -> Error {
    Error::Configuration(format!("{name} is {found}; it must be {right}"))
}
