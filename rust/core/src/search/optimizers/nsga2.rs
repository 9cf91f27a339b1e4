//! NSGA-II with an archive of all non-dominated designs, for two or three objectives.

use rand::Rng;

use super::proposals::{Parents, Proposals, improper};
use crate::Result;
use crate::search::pareto::{Front, check_objectives, crowding_distances, non_dominated_sort};
use crate::search::{Domain, Found, Interrupt, Optimizer, Scored, Stream, below, row_violation};

/// One child in as many is a change of one parameter of a design on the front.
const STEPS: u64 = 8;

/// How an [`Nsga2`] search runs.
#[derive(Debug, Clone)]
pub struct Nsga2Options {
    /// Number of designs that live on from batch to batch, at least 1.
    pub population: usize,
    /// The same seed asks for the same designs.
    pub seed: u64,
    /// Numbers in a design's score, all minimised: 2 or 3.
    pub objectives: usize,
}

impl Default for Nsga2Options {
    fn default() -> Self {
        Self { population: 256, seed: 0, objectives: 2 }
    }
}

/// NSGA-II (Deb, Pratap, Agarwal, Meyarivan 2002) in which every batch asked for is a generation and no design
/// is scored twice.
///
/// The first batches are random, until as many designs are told as the population has. From then on seven
/// children in eight have two parents, each the better of two drawn from the population, by front and then
/// crowding distance; take each rank from either; and mutate at a rate of 1/d. The eighth is a design of the
/// archive with one parameter changed, since designs on the front have neighbours on it. The
/// best `population` of old and new designs live on, newer ones at ties. Infeasible designs come after all
/// feasible ones, by violation (constrained domination); a score of plus infinity in any objective is
/// infeasible.
///
/// The answer, [`Nsga2::front`], is the archive: what is non-dominated among all designs told, not only among
/// the population. Its size has no limit.
///
/// Where random draws find next to nothing (tight limits), the first designs come from an evolution on the
/// known violation alone; spaces of up to 2^20 designs are enumerated instead, and exhausted exactly.
#[derive(Debug)]
pub struct Nsga2<D> {
    proposals: Proposals<D>,
    options: Nsga2Options,
    population: Population,
    front: Front,
    /// Positions of the front's designs in it.
    members: Vec<u32>,
    told: usize,
}

/// Designs, the best first, row by row.
#[derive(Debug, Default)]
struct Population {
    ranks: Vec<u16>,
    /// 0 where a design is infeasible.
    scores: Vec<f64>,
    violations: Vec<f64>,
}

impl<D: Domain> Nsga2<D> {
    /// A search of `domain`.
    pub fn new(domain: D, options: Nsga2Options) -> Result<Self> {
        if options.population == 0 {
            return Err(improper("population", 0, "at least 1"));
        }
        check_objectives("NSGA-II", options.objectives)?;
        let width = domain.cardinalities().len();
        Ok(Self {
            proposals: Proposals::new(domain, options.seed, options.objectives)?,
            front: Front::new(options.objectives, width)?,
            options,
            population: Population::default(),
            members: Vec::new(),
            told: 0,
        })
    }

    /// The non-dominated ones of all designs told so far.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// Keeps the best of the population and what was added to it.
    fn select(&mut self) -> Result<()> {
        let (objectives, width) = (self.options.objectives, self.front.width());
        let Population { ranks, scores, violations } = &mut self.population;
        let fronts = non_dominated_sort(scores, objectives, Some(violations))?;
        // Crowding decides on the last front that has room, and matters to none beyond.
        let mut sizes = vec![0; fronts.len()];
        for &front in &fronts {
            sizes[front as usize] += 1;
        }
        let (mut room, mut last) = (self.options.population, 0);
        while sizes.get(last).is_some_and(|&size| size < room) {
            room -= sizes[last];
            last += 1;
        }
        let near: Vec<u32> =
            (0..fronts.len() as u32).filter(|&i| fronts[i as usize] as usize <= last).collect();
        let row = |&i: &u32| &scores[i as usize * objectives..][..objectives];
        let points: Vec<f64> = near.iter().flat_map(row).copied().collect();
        let fronts: Vec<u32> = near.iter().map(|&i| fronts[i as usize]).collect();
        let distances = crowding_distances(&points, objectives, &fronts)?;
        // A distance is never below 0, so that its bits have its order.
        let key = |((&i, &front), distance): ((&u32, &u32), &f64)| (front, !distance.to_bits(), !i);
        let mut keys: Vec<_> = near.iter().zip(&fronts).zip(&distances).map(key).collect();
        if keys.len() > self.options.population {
            keys.select_nth_unstable(self.options.population);
            keys.truncate(self.options.population);
        }
        keys.sort_unstable();
        let kept = || keys.iter().map(|key| !key.2 as usize);
        *ranks = kept().flat_map(|i| &ranks[i * width..][..width]).copied().collect();
        *scores = kept().flat_map(|i| &scores[i * objectives..][..objectives]).copied().collect();
        *violations = kept().map(|i| violations[i]).collect();
        Ok(())
    }
}

impl<D: Domain + Send> Optimizer for Nsga2<D> {
    fn columns(&self) -> usize {
        self.options.objectives
    }

    fn ask_ahead(&mut self) -> bool {
        self.proposals.ledger.ahead = 1;
        true
    }

    fn heed(&mut self, interrupt: Interrupt) {
        self.proposals.ledger.interrupt = interrupt;
    }

    fn ask(&mut self, n: usize, ranks: &mut Vec<u16>) -> Result<usize> {
        let width = self.front.width();
        let (population, front, members) = (&self.population, &self.front, &self.members);
        let parents = |random: &mut Stream| {
            if !members.is_empty() && random.next_u64().is_multiple_of(STEPS) {
                return Parents::One(front.ranks_at(members[below(random, members.len())]));
            }
            let mut parent = || {
                let designs = population.violations.len();
                let winner = below(random, designs).min(below(random, designs));
                &population.ranks[winner * width..][..width]
            };
            Parents::Two(parent(), parent())
        };
        let founding = self.told < self.options.population || population.violations.is_empty();
        self.proposals.ask_children(n, ranks, &population.ranks, (!founding).then_some(parents))
    }

    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()> {
        self.proposals.ledger.close(&self.proposals.domain, scores, violations)?;
        let (objectives, ledger) = (self.options.objectives, &self.proposals.ledger);
        let designs = ledger.ranks.chunks_exact(self.front.width()).zip(&ledger.indices);
        let mut changed = false;
        for ((scores, &violation), (ranks, &index)) in
            scores.chunks_exact(objectives).zip(violations).zip(designs)
        {
            let violation = row_violation(scores, violation);
            self.population.violations.push(violation);
            self.population.ranks.extend_from_slice(ranks);
            if violation > 0.0 {
                self.population.scores.extend(std::iter::repeat_n(0.0, objectives));
            } else {
                self.population.scores.extend_from_slice(scores);
                changed |= self.front.insert(index, ranks, scores);
            }
        }
        if changed {
            self.members.clear();
            self.members.extend(self.front.rows());
        }
        self.told += violations.len();
        self.select()
    }

    fn start_with(&mut self, designs: &[u16]) -> Result<usize> {
        self.proposals.ledger.start_with(&self.proposals.domain, designs)
    }

    fn best(&self) -> Option<&Scored> {
        self.proposals.ledger.best()
    }

    fn found(&self) -> Vec<Found> {
        self.front.found()
    }
}
