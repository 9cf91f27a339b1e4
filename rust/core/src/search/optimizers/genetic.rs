//! A genetic algorithm that scores no design twice: the default search.

use std::collections::VecDeque;

use rand::Rng;
use rayon::prelude::*;

use crate::search::descent::descend;
use crate::search::ledger::Ledger;
use crate::search::sampler::{Misses, PATIENCE, Sampler};
use crate::search::variation::{Steps, Variation};
use crate::search::{Domain, Merit, Optimizer, Scored, Stream, below, size_of, stream};
use crate::{Error, Result};

/// Children bred from one random stream.
const CHUNK: usize = 256;
/// Pairs of parents tried for a child.
const ATTEMPTS: u8 = 32;
/// Mutations of a child that was visited before it is dropped for one of other parents.
const SHIFTS: usize = 4;
/// Share of the children that have two parents, as a fraction: where parameters interact by three or more, copies
/// with mutations serve as well.
const CROSSED: (usize, usize) = (3, 4);
/// Steps tried to bring a child within the constraints: on average two of three are taken back, and limits far from
/// the parents' take several.
const REPAIRS: u8 = 16;
/// Share of a brood, the inverse of it, that is given up: looking at a few designs together costs as much as at many.
const STRAGGLERS: usize = 16;
/// Times that twins are bred once more before random designs take their place.
const ROUNDS: u64 = 4;
/// Random designs drawn to replace a child that could not be bred.
const DRAWS: usize = 64;
/// Random designs that a search can start from; with fewer, the rest of the first batch comes from the
/// descent.
const FOUNDERS: usize = 64;
/// Populations' worth of designs, and batches, without a better one after which an island starts over.
const STALL: usize = 40;
const STALL_BATCHES: usize = 10;
/// Batches between migrations.
const MIGRATION: u64 = 10;
/// Stream numbers past all chunks: for the descent, and for children bred once more.
const DESCENT: u64 = u64::MAX;
const REPAIR: u64 = u64::MAX - ROUNDS;

/// How a [`Genetic`] search runs.
#[derive(Debug, Clone)]
pub struct GeneticOptions {
    /// Number of designs that live on from batch to batch on each island, at least 1.
    pub population: usize,
    /// Populations that evolve by themselves but for the best designs, which migrate; at least 1.
    pub islands: usize,
    /// The same seed asks for the same designs.
    pub seed: u64,
}

impl Default for GeneticOptions {
    fn default() -> Self {
        Self { population: 64, islands: 1, seed: 0 }
    }
}

/// A (mu + lambda) genetic algorithm in which every batch asked for is a generation.
///
/// The first batch is random. From then on each design has two parents, each the better of two drawn from the
/// population; takes each rank from either (three of four children) or is a copy of one; and mutates at a rate of
/// 1/d, half of the mutations being steps to a neighbouring rank. A child that breaks known constraints or limits is
/// moved towards them by steps of single ranks, those kept that lessen its violation, so that a mutation that
/// takes up area is paid for elsewhere; a child that was visited before mutates on. The best `population` of old and
/// new designs live on, of designs that tie only the newest while there are others: plateaus do not fill the
/// population. After 40 populations' worth of designs (and 10 batches) without a better one the population starts
/// over from random designs: it leaves local optima that way, and what was visited stays so.
///
/// With several islands a batch is divided among as many populations, no design being handed out to two; every 10
/// batches the best design of each takes the place of the worst of the next.
///
/// Where random draws find next to nothing (tight limits), the first designs come from an evolution on the
/// known violation alone; spaces of up to 2^20 designs are enumerated instead, and exhausted exactly.
#[derive(Debug)]
pub struct Genetic<D> {
    domain: D,
    options: GeneticOptions,
    variation: Variation,
    /// Steps that lessen violations.
    steps: Steps,
    sampler: Sampler,
    ledger: Ledger,
    islands: Vec<Island>,
    /// For each batch out, the islands' parts of it.
    parts: VecDeque<Vec<Part>>,
    generation: u64,
}

/// A population.
#[derive(Debug)]
struct Island {
    /// Ranks, row by row, the best design first, and merits.
    ranks: Vec<u16>,
    merits: Vec<Merit>,
    /// Whether all merits differ.
    distinct: bool,
    /// Whether designs are still random.
    founding: bool,
    /// The best merit since the island last started over, and the designs and batches told since that came.
    peak: Merit,
    stalled: (usize, usize),
    /// How often it started over.
    epoch: usize,
}

/// An island's part of a batch.
#[derive(Debug)]
struct Part {
    /// Row after the last.
    end: usize,
    /// What the island's epoch was: designs of one that is over join no later population.
    epoch: usize,
}

/// A child in the making.
#[derive(Debug, Clone, Copy)]
struct Lane {
    /// Row of the child in its brood.
    row: u32,
    /// The parameter of the last step with its rank before; none where there was none.
    before: Option<(u32, u16)>,
    attempts: u8,
    repairs: u8,
    /// Its violation, but for the last step.
    violation: f64,
}

/// Children with the indices of those that could be bred.
struct Brood {
    ranks: Vec<u16>,
    indices: Vec<Option<u64>>,
}

impl Island {
    fn new(epoch: usize) -> Self {
        Self {
            ranks: Vec::new(),
            merits: Vec::new(),
            distinct: false,
            founding: true,
            peak: Merit::WORST,
            stalled: (0, 0),
            epoch,
        }
    }

    fn parent<'a>(&'a self, random: &mut Stream, width: usize) -> &'a [u16] {
        // Half a random number for each draw: no population has 2^32 designs. The better of both comes first.
        let (word, n) = (random.next_u64(), self.merits.len() as u64);
        let draw = |half: u64| ((half * n) >> 32) as usize;
        let winner = draw(word >> 32).min(draw(word & 0xffff_ffff));
        &self.ranks[winner * width..][..width]
    }

    /// Keeps the best of the population and new designs, of those that tie the newest before any other.
    fn select(&mut self, mu: usize, new: &[Merit], ranks: &[u16], width: usize) {
        let old = self.merits.len();
        let full = old == mu && self.distinct;
        let worst = self.merits.last().copied().filter(|_| full).unwrap_or(Merit::WORST);
        // The new ones first, so that they come first among ties. A full population of merits that all differ
        // has no place for what is worse than its worst.
        let new_keys = new.iter().zip(0..).filter(|&(&merit, _)| !full || merit <= worst);
        let mut keys: Vec<(Merit, usize)> = new_keys.map(|(&merit, row)| (merit, row)).collect();
        if keys.is_empty() {
            return;
        }
        keys.extend(self.merits.iter().zip(new.len()..).map(|(&merit, slot)| (merit, slot)));
        keys.sort_by_key(|&(merit, _)| merit);
        let first = |position: usize| position == 0 || keys[position - 1].0 != keys[position].0;
        let mut kept: Vec<usize> = (0..keys.len()).filter(|&position| first(position)).take(mu).collect();
        self.distinct = kept.len() == mu.min(keys.len());
        if !self.distinct {
            let missing = mu.min(keys.len()) - kept.len();
            kept.extend((0..keys.len()).filter(|&position| !first(position)).take(missing));
            kept.sort_unstable();
        }
        let mut survivors = Vec::with_capacity(kept.len() * width);
        self.merits.clear();
        for position in kept {
            let (merit, place) = keys[position];
            self.merits.push(merit);
            survivors.extend_from_slice(if place < new.len() {
                &ranks[place * width..][..width]
            } else {
                &self.ranks[(place - new.len()) * width..][..width]
            });
        }
        self.ranks = survivors;
    }
}

impl<D: Domain> Genetic<D> {
    /// A search of `domain`.
    pub fn new(domain: D, options: GeneticOptions) -> Result<Self> {
        for (name, count) in [("a population", options.population), ("a number of islands", options.islands)]
        {
            if count == 0 {
                return Err(Error::Configuration(format!("{name} of 0 was given; it must be at least 1")));
            }
        }
        let size = size_of(&domain)?;
        let variation = Variation::new(&domain);
        let steps = Steps::new(&domain, &variation, &mut stream(options.seed, 0, 1));
        let sampler = Sampler::new(stream(options.seed, 0, 0), size, domain.cardinalities().len());
        let islands = (0..options.islands).map(|_| Island::new(0)).collect();
        let (ledger, parts) = (Ledger::new(1), VecDeque::new());
        Ok(Self { domain, options, variation, steps, sampler, ledger, islands, parts, generation: 0 })
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
        let start = self.islands.first().map_or(&[][..], |island| &island.ranks);
        descend(&self.domain, &self.variation, &mut random, start, missing, &mut self.ledger)
    }

    /// Adds up to `n` children of an island to the batch.
    fn breed(&mut self, island: usize, n: usize) {
        let key = |stage: u64| (island as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(stage);
        let breed = |this: &Self, stage: u64, n: usize| {
            let mut random = stream(this.options.seed, this.generation, key(stage));
            this.brood(&mut random, &this.islands[island], n)
        };
        let sizes = (0..n.div_ceil(CHUNK)).map(|chunk| CHUNK.min(n - chunk * CHUNK));
        let sizes: Vec<usize> = sizes.collect();
        let this = &*self;
        let broods: Vec<Brood> = if sizes.len() > 1 {
            sizes.par_iter().enumerate().map(|(chunk, &n)| breed(this, chunk as u64, n)).collect()
        } else {
            sizes.iter().map(|&n| breed(this, 0, n)).collect()
        };
        // In order, so that of twins the first stays. The others, like children that could not be bred, are bred
        // once more, now in view of their siblings, and else replaced by random designs.
        let mut missing = n;
        for brood in broods {
            missing -= self.admit(&brood);
        }
        for round in 0..ROUNDS {
            if missing == 0 {
                return;
            }
            let brood = breed(self, REPAIR + round, missing.min(CHUNK));
            missing -= self.admit(&brood);
        }
        for _ in 0..missing {
            self.sampler.fill(&self.domain, &self.variation, 1, DRAWS, &mut self.ledger);
        }
    }

    /// Adds what was not handed out before to the batch, and returns how many designs that is.
    fn admit(&mut self, brood: &Brood) -> usize {
        let width = self.domain.cardinalities().len();
        let mut admitted = 0;
        for (child, index) in brood.ranks.chunks_exact(width).zip(&brood.indices) {
            admitted += usize::from(index.is_some_and(|index| self.ledger.admit(index, child)));
        }
        admitted
    }

    /// Breeds `n` children without a known violation, none visited.
    fn brood(&self, random: &mut Stream, island: &Island, n: usize) -> Brood {
        let width = self.domain.cardinalities().len();
        let (mut ranks, mut indices) = (vec![0; n * width], vec![None; n]);
        let lane = |row| Lane { row, before: None, attempts: 0, repairs: 0, violation: 0.0 };
        let mut lanes: Vec<Lane> = (0..n as u32).map(lane).collect();
        let (mut candidates, mut violations) = (Vec::new(), vec![0.0; n]);
        for child in ranks.chunks_exact_mut(width) {
            self.conceive(random, island, child);
        }
        self.shift(random, &mut ranks, &mut indices);
        // Children are looked at together, and those that are through leave.
        while !lanes.is_empty() {
            let known = if lanes.len() == n {
                &ranks
            } else {
                candidates.clear();
                for lane in &lanes {
                    candidates.extend_from_slice(&ranks[lane.row as usize * width..][..width]);
                }
                &candidates
            };
            self.domain.violations(known, &mut violations[..lanes.len()]);
            let mut left = 0;
            for position in 0..lanes.len() {
                let (mut lane, violation) = (lanes[position], violations[position]);
                let row = lane.row as usize;
                let child = &mut ranks[row * width..][..width];
                if violation <= 0.0 {
                    if lane.before.is_some() {
                        let index = self.domain.index_of(child);
                        indices[row] = Some(index).filter(|index| !self.ledger.visited.contains(index));
                    }
                    if indices[row].is_some() {
                        continue;
                    }
                    lane.repairs = REPAIRS;
                } else if let Some((parameter, rank)) = lane.before
                    && (violation >= lane.violation || violation.is_nan())
                {
                    child[parameter as usize] = rank;
                } else {
                    lane.violation = violation;
                }
                if lane.repairs < REPAIRS && !self.steps.is_empty() {
                    lane.repairs += 1;
                    lane.before = Some(self.steps.take(random, child));
                } else if lane.attempts < ATTEMPTS {
                    (lane.before, lane.attempts, lane.repairs) = (None, lane.attempts + 1, 0);
                    self.conceive(random, island, child);
                    self.shift(random, child, &mut indices[row..=row]);
                } else {
                    indices[row] = None;
                    continue;
                }
                lanes[left] = lane;
                left += 1;
            }
            lanes.truncate(left);
            // A few that take long are bred again with others like them.
            if left * STRAGGLERS < n && n > STRAGGLERS {
                for lane in &lanes {
                    indices[lane.row as usize] = None;
                }
                break;
            }
        }
        Brood { ranks, indices }
    }

    /// Makes a child of one or two parents.
    fn conceive(&self, random: &mut Stream, island: &Island, child: &mut [u16]) {
        let width = child.len();
        child.copy_from_slice(island.parent(random, width));
        if below(random, CROSSED.1) < CROSSED.0 {
            let father = island.parent(random, width);
            Variation::cross_into(random, father, child);
        }
        self.variation.mutate(random, child);
    }

    /// Mutates children, row by row, until they are unvisited or were shifted often enough; only the unvisited
    /// get an index.
    fn shift(&self, random: &mut Stream, children: &mut [u16], indices: &mut [Option<u64>]) {
        let width = self.domain.cardinalities().len();
        let mut rows: Vec<u32> = (0..indices.len() as u32).collect();
        for again in (0..=SHIFTS).rev() {
            for &row in &rows {
                let row = row as usize;
                indices[row] = Some(self.domain.index_of(&children[row * width..][..width]));
            }
            rows.retain(|&row| {
                let index = &mut indices[row as usize];
                let visited = index.is_some_and(|index| self.ledger.visited.contains(&index));
                *index = index.filter(|_| !visited);
                visited
            });
            if again > 0 {
                for &row in &rows {
                    self.variation.change_one(random, &mut children[row as usize * width..][..width]);
                }
            }
        }
    }

    /// Puts the best design of each island in the place of the worst of the next.
    fn migrate(&mut self) {
        let width = self.domain.cardinalities().len();
        let best = |island: &Island| Some((*island.merits.first()?, island.ranks.get(..width)?.to_vec()));
        let mut migrants: Vec<_> = self.islands.iter().map(best).collect();
        migrants.rotate_right(1);
        for (island, migrant) in self.islands.iter_mut().zip(migrants) {
            if let Some((merit, ranks)) = migrant
                && !island.founding
            {
                island.select(self.options.population, &[merit], &ranks, width);
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
        let (mut enough, count) = (1, self.islands.len());
        let mut parts = Vec::with_capacity(count);
        for island in 0..count {
            let end = (n * (island + 1) / count).max(self.ledger.indices.len());
            if self.islands[island].founding || self.islands[island].merits.is_empty() {
                let full = self.draw(end);
                let start = parts.last().map_or(0, |part: &Part| part.end);
                let designs = self.islands[island].merits.len() + self.ledger.indices.len() - start;
                self.islands[island].founding = full && designs < self.options.population;
                enough = FOUNDERS.min(n);
            } else {
                self.breed(island, end - self.ledger.indices.len());
            }
            parts.push(Part { end: self.ledger.indices.len(), epoch: self.islands[island].epoch });
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
        if let Some(last) = parts.last_mut() {
            last.end = self.ledger.indices.len();
        }
        let n = self.ledger.issue(ranks);
        if n > 0 {
            self.parts.push_back(parts);
        }
        Ok(n)
    }

    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()> {
        self.ledger.close(&self.domain, scores, violations)?;
        let (mu, width) = (self.options.population, self.domain.cardinalities().len());
        let parts = self.parts.pop_front().unwrap_or_default();
        let mut start = 0;
        for (island, Part { end, epoch }) in self.islands.iter_mut().zip(parts) {
            let rows = std::mem::replace(&mut start, end)..end;
            if epoch != island.epoch {
                continue;
            }
            let new = &self.ledger.merits[rows.clone()];
            let top = new.iter().copied().min().unwrap_or(Merit::WORST);
            if top < island.peak {
                (island.peak, island.stalled) = (top, (0, 0));
            } else {
                island.stalled = (island.stalled.0 + new.len(), island.stalled.1 + 1);
            }
            let long = island.stalled.0 >= mu.saturating_mul(STALL) && island.stalled.1 >= STALL_BATCHES;
            if long && !self.sampler.is_dry() {
                *island = Island::new(epoch + 1);
            } else {
                island.select(mu, new, &self.ledger.ranks[rows.start * width..rows.end * width], width);
            }
        }
        if self.islands.len() > 1 && self.generation.is_multiple_of(MIGRATION) {
            self.migrate();
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
