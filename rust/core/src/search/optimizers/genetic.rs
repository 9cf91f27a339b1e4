//! A genetic algorithm that scores no design twice: the default search.

use std::collections::VecDeque;

use rand::Rng;
use rayon::prelude::*;

use super::proposals::improper;
use crate::Result;
use crate::search::descent::descend;
use crate::search::ledger::Ledger;
use crate::search::packing::{Packed, Packing};
use crate::search::sampler::{Misses, PATIENCE, Sampler};
use crate::search::variation::{Steps, Variation};
use crate::search::{Domain, Interrupt, Merit, Optimizer, Scored, Stream, size_of, stream};

/// Children bred from one random stream.
const CHUNK: usize = 256;
/// Chunks between looks for an interrupt on the thread that asks.
const GROUP: usize = 64;
/// Pairs of parents tried for a child.
const ATTEMPTS: u8 = 32;
/// Mutations of a child that was visited before it is dropped for one of other parents.
const SHIFTS: u8 = 4;
/// Share of the children that have two parents, as a fraction: where parameters interact by three or more, copies
/// with mutations serve as well.
const CROSSED: (u64, u64) = (3, 4);
/// Steps tried to bring a child within the constraints: limits far from the parents' take several.
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
/// Populations' worth of designs, and batches, without a better one after which an island starts over for the first
/// time: each start waits half as long again as the one before, for what takes longer runs.
const STALL: usize = 80;
const STALL_BATCHES: usize = 10;
/// More islands are taken for a mistake, before they are taken for a request for memory.
const MOST_ISLANDS: usize = 1024;
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
    /// Populations that evolve by themselves but for the best designs, which migrate; 1 to 1,024.
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
/// population. After 80 populations' worth of designs (and 10 batches) without a better one the population starts
/// over from random designs, the next time after half as many again, and so on: it leaves local optima that way, and
/// what was visited stays so.
///
/// With several islands a batch is divided among as many populations, no design being handed out to two; every 10
/// batches the best design of each takes the place of the worst of the next.
///
/// Where random draws find next to nothing (tight limits), the first designs come from an evolution on the
/// known violation alone; spaces of up to 2^20 designs are enumerated instead, and exhausted exactly.
#[derive(Debug)]
pub struct Genetic<D> {
    domain: Packed<D>,
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
    /// Designs, the best first, and their merits.
    words: Vec<u128>,
    merits: Vec<Merit>,
    /// Whether all merits differ.
    distinct: bool,
    /// Whether designs are still random.
    founding: bool,
    /// The best merit since the island last started over, and the designs and batches told since that came.
    peak: Merit,
    stalled: (usize, usize),
    /// How many of these let it start over.
    patience: (usize, usize),
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
    word: u128,
    /// The child before its last step, with its violation then.
    before: u128,
    violation: f64,
    attempts: u8,
    repairs: u8,
    shifts: u8,
}

impl Island {
    fn new(epoch: usize, patience: (usize, usize)) -> Self {
        Self {
            words: Vec::new(),
            merits: Vec::new(),
            distinct: false,
            founding: true,
            peak: Merit::WORST,
            stalled: (0, 0),
            patience,
            epoch,
        }
    }

    fn parent(&self, random: &mut Stream) -> u128 {
        // Half a random number for each draw: no population has 2^32 designs. The better of both comes first.
        let (word, n) = (random.next_u64(), self.merits.len() as u64);
        let draw = |half: u64| ((half * n) >> 32) as usize;
        self.words[draw(word >> 32).min(draw(word & 0xffff_ffff))]
    }

    /// Keeps the best of the population and new designs, of those that tie the newest before any other. `word` gives
    /// a new design.
    fn select(&mut self, mu: usize, new: &[Merit], word: impl Fn(usize) -> u128) {
        let full = self.merits.len() == mu && self.distinct;
        let worst = self.merits.last().copied().filter(|_| full).unwrap_or(Merit::WORST);
        // A full population of merits that all differ has no place for what is worse than its worst.
        let count = new.len();
        let candidates = new.iter().copied().zip(0..).filter(|&(merit, _)| merit <= worst);
        let mut sorted: Vec<(Merit, usize)> = candidates.collect();
        if sorted.is_empty() {
            return;
        }
        let size = mu.min(sorted.len() + self.merits.len());
        sorted.sort_unstable();
        let mut new = sorted.into_iter().peekable();
        let mut old = self.merits.iter().copied().zip(count..).peekable();
        let mut kept: Vec<(Merit, usize)> = Vec::with_capacity(size);
        let mut ties = Vec::new();
        while kept.len() < size {
            // The new ones come first among ties.
            let first = |new: &(Merit, usize)| old.peek().is_none_or(|old| new.0 <= old.0);
            let Some(next) = new.next_if(first).or_else(|| old.next()) else { break };
            if kept.last().is_none_or(|last| last.0 != next.0) {
                kept.push(next);
            } else if ties.len() < size {
                ties.push(next);
            }
        }
        self.distinct = kept.len() == size;
        if !self.distinct {
            ties.truncate(size - kept.len());
            kept.append(&mut ties);
            kept.sort_by_key(|&(merit, _)| merit);
        }
        let word = |&(_, place): &(Merit, usize)| {
            if place < count { word(place) } else { self.words[place - count] }
        };
        self.words = kept.iter().map(word).collect();
        self.merits = kept.into_iter().map(|(merit, _)| merit).collect();
    }
}

impl<D: Domain> Genetic<D> {
    /// A search of `domain`.
    pub fn new(domain: D, options: GeneticOptions) -> Result<Self> {
        if options.population == 0 {
            return Err(improper("population", 0, "at least 1"));
        }
        if !(1..=MOST_ISLANDS).contains(&options.islands) {
            return Err(improper("islands", options.islands, &format!("from 1 to {MOST_ISLANDS}")));
        }
        let size = size_of(&domain)?;
        let variation = Variation::new(&domain);
        let steps = Steps::new(&domain, &variation, &mut stream(options.seed, 0, 1));
        let sampler = Sampler::new(stream(options.seed, 0, 0), size, domain.cardinalities().len());
        let patience = (options.population.saturating_mul(STALL), STALL_BATCHES);
        let islands = (0..options.islands).map(|_| Island::new(0, patience)).collect();
        let domain = Packed { packing: Packing::new(domain.cardinalities()), domain };
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
        let words = self.islands.first().map_or(&[][..], |island| &island.words);
        let start: Vec<u16> = words.iter().flat_map(|&word| self.domain.packing.unpack(word)).collect();
        descend(&self.domain, &self.variation, &mut random, &start, missing, &mut self.ledger)
    }

    /// Adds up to `n` children of an island to the batch.
    fn breed(&mut self, island: usize, n: usize) {
        let key = |stage: u64| (island as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(stage);
        let breed = |this: &Self, stage: u64, n: usize| {
            let random = stream(this.options.seed, this.generation, key(stage));
            this.brood(random, &this.islands[island], n)
        };
        let sizes = (0..n.div_ceil(CHUNK)).map(|chunk| CHUNK.min(n - chunk * CHUNK));
        let sizes: Vec<usize> = sizes.collect();
        let this = &*self;
        let mut broods: Vec<Vec<u128>> = Vec::with_capacity(sizes.len());
        if sizes.len() > 1 {
            for (group, sizes) in sizes.chunks(GROUP).enumerate() {
                if self.ledger.interrupt.is_due() {
                    return;
                }
                let breed = |(chunk, &n)| breed(this, (group * GROUP + chunk) as u64, n);
                broods.par_extend(sizes.par_iter().enumerate().map(breed));
            }
        } else {
            broods.extend(sizes.iter().map(|&n| breed(this, 0, n)));
        }
        // In order, so that of twins the first stays. The others, like children that could not be bred, are bred
        // once more, now in view of their siblings, and else replaced by random designs.
        let mut missing = n;
        for brood in broods {
            missing -= self.admit(brood);
        }
        for round in 0..ROUNDS {
            if missing == 0 {
                return;
            }
            let brood = breed(self, REPAIR + round, missing.min(CHUNK));
            missing -= self.admit(brood);
        }
        for _ in 0..missing {
            if self.ledger.interrupt.is_due() {
                return;
            }
            self.sampler.fill(&self.domain, &self.variation, 1, DRAWS, &mut self.ledger);
        }
    }

    /// Adds what was not handed out before to the batch, and returns how many designs that is.
    fn admit(&mut self, mut brood: Vec<u128>) -> usize {
        let Packed { domain, packing } = &self.domain;
        brood.retain(|&word| self.ledger.enter(packing.key(domain, word)));
        packing.unpack_all(&brood, &mut self.ledger.ranks);
        brood.len()
    }

    /// Breeds up to `n` children without a known violation, none visited.
    fn brood(&self, mut random: Stream, island: &Island, n: usize) -> Vec<u128> {
        let Packed { domain, packing } = &self.domain;
        let random = &mut random;
        let lane = |word, attempts, shifts| Lane {
            word,
            before: word,
            violation: f64::INFINITY,
            attempts,
            repairs: 0,
            shifts,
        };
        let mut lanes: Vec<Lane> = (0..n).map(|_| lane(self.conceive(random, island), 0, 0)).collect();
        let (mut bred, mut next) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let (mut words, mut columns, mut violations) = (Vec::with_capacity(n), Vec::new(), vec![0.0; n]);
        let mut order = vec![0; n];
        // Children are looked at together, and those that are through leave. A few that take long are given up, and
        // bred again with others like them.
        while !lanes.is_empty()
            && (lanes.len() * STRAGGLERS >= n || n <= STRAGGLERS)
            && !self.ledger.interrupt.is_due()
        {
            words.clear();
            words.extend(lanes.iter().map(|lane| lane.word));
            packing.columns(&words, &mut columns);
            let violations = &mut violations[..lanes.len()];
            domain.violations_by_parameter(&columns, violations);
            // Those that meet all constraints from the front, the others from the back: to come to each in turn would
            // be to branch on what nothing foretells.
            let (mut kept, mut broken) = (0, lanes.len());
            for (position, &violation) in violations.iter().enumerate() {
                let keeps = violation <= 0.0;
                order[if keeps { kept } else { broken - 1 }] = position;
                kept += usize::from(keeps);
                broken -= usize::from(!keeps);
            }
            for &position in &order[..kept] {
                let Lane { word, attempts, shifts, .. } = lanes[position];
                if !self.ledger.visited.contains(&packing.key(domain, word)) {
                    bred.push(word);
                } else if shifts < SHIFTS {
                    next.push(lane(self.change(random, word), attempts, shifts + 1));
                } else if attempts < ATTEMPTS {
                    next.push(lane(self.conceive(random, island), attempts + 1, 0));
                }
            }
            for &position in &order[kept..lanes.len()] {
                let (mut child, violation) = (lanes[position], violations[position]);
                if violation >= child.violation || violation.is_nan() {
                    child.word = child.before;
                } else {
                    (child.before, child.violation) = (child.word, violation);
                }
                child.repairs += 1;
                if child.repairs <= REPAIRS && self.step(random, &mut child.word) {
                    next.push(child);
                } else if child.attempts < ATTEMPTS {
                    next.push(lane(self.conceive(random, island), child.attempts + 1, 0));
                }
            }
            std::mem::swap(&mut lanes, &mut next);
            next.clear();
        }
        bred
    }

    /// Makes a child of one or two parents.
    #[inline]
    fn conceive(&self, random: &mut Stream, island: &Island) -> u128 {
        let mut child = island.parent(random);
        // The number of mutations follows from the upper bits.
        let word = random.next_u64();
        if word % CROSSED.1 < CROSSED.0 {
            let father = island.parent(random);
            child = self.domain.packing.cross(random, child, father);
        }
        for _ in 0..self.variation.mutations(word) {
            child = self.change(random, child);
        }
        child
    }

    /// Changes one parameter of a design.
    #[inline]
    fn change(&self, random: &mut Stream, word: u128) -> u128 {
        let packing = &self.domain.packing;
        let change = self.variation.change(random, |parameter| packing.get(word, parameter));
        change.map_or(word, |(parameter, rank)| packing.set(word, parameter, rank))
    }

    /// Takes a step that may lessen a design's violation, where there is one.
    #[inline]
    fn step(&self, random: &mut Stream, word: &mut u128) -> bool {
        let packing = &self.domain.packing;
        let step = self.steps.draw(random, |parameter| packing.get(*word, parameter));
        if let Some((parameter, rank)) = step {
            *word = packing.set(*word, parameter, rank);
        }
        step.is_some()
    }

    /// Puts the best design of each island in the place of the worst of the next.
    fn migrate(&mut self) {
        let best = |island: &Island| Some((*island.merits.first()?, *island.words.first()?));
        let mut migrants: Vec<_> = self.islands.iter().map(best).collect();
        migrants.rotate_right(1);
        for (island, migrant) in self.islands.iter_mut().zip(migrants) {
            if let Some((merit, word)) = migrant
                && !island.founding
            {
                island.select(self.options.population, &[merit], |_| word);
            }
        }
    }
}

impl<D: Domain + Send> Optimizer for Genetic<D> {
    fn ask_ahead(&mut self) -> bool {
        self.ledger.ahead = 1;
        true
    }

    fn heed(&mut self, interrupt: Interrupt) {
        self.ledger.interrupt = interrupt;
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
        self.ledger.close(&self.domain.domain, scores, violations)?;
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
            let (designs, batches) = island.patience;
            let long = island.stalled.0 >= designs && island.stalled.1 >= batches;
            if long && !self.sampler.is_dry() {
                let longer = |most: usize| most.saturating_add(most / 2);
                *island = Island::new(epoch + 1, (longer(designs), longer(batches)));
            } else {
                let ranks = &self.ledger.ranks[rows.start * width..];
                island.select(mu, new, |row| self.domain.packing.pack(&ranks[row * width..][..width]));
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
