//! Differential evolution on ranks.

use super::proposals::{Population, Proposals, improper, unit};
use crate::Result;
use crate::search::{Domain, Interrupt, Merit, Optimizer, Scored, Stream, below};

/// Scale factors and crossover rates are drawn from these ranges, anew for each trial.
const SCALE: (f64, f64) = (0.3, 0.9);
const CROSSOVER: (f64, f64) = (0.0, 1.0);
/// The best design that a trial moves towards is one of this share of the population.
const ELITE: usize = 10;

/// How a [`DifferentialEvolution`] search runs.
#[derive(Debug, Clone)]
pub struct DifferentialEvolutionOptions {
    /// Number of designs that live on, at least 4.
    pub population: usize,
    /// Populations' worth of designs without a better one after which the search starts over, at least 1.
    pub patience: usize,
    /// The same seed asks for the same designs.
    pub seed: u64,
}

impl Default for DifferentialEvolutionOptions {
    fn default() -> Self {
        Self { population: 48, patience: 100, seed: 0 }
    }
}

/// Differential evolution, current-to-pbest/1/bin (Zhang and Sanderson, 2009), on the ranks of ordinal parameters.
///
/// The trial of design x takes each parameter, at a rate that is uniform in 0 to 1 and in one parameter at
/// least, from v = x + F (p - x) + F (b - c), the others from x. p is one of the best tenth of the population,
/// b and c are any; F is uniform in 0.3 to 0.9 and drawn anew for each trial, as is the rate. v is reflected at
/// the ends of the ranks and rounded up or down at random, on average to itself. Of a categorical parameter, v is
/// b's category at a chance of F where b and c differ, else p's at a chance of F, else x's. The trial replaces x
/// unless it is worse.
///
/// Every batch goes through the population in turn; designs have several trials in a batch larger than the
/// population. A trial that was visited changes in one more parameter at random, so that the population does not
/// come to rest; one with a known violation is made anew. The first designs are random, the best of them the
/// population. After `patience` populations' worth of designs without a better one the search starts over.
#[derive(Debug)]
pub struct DifferentialEvolution<D> {
    options: DifferentialEvolutionOptions,
    proposals: Proposals<D>,
    ordinal: Vec<bool>,
    population: Population,
    /// Whether batches are still random.
    founding: bool,
    /// Whose turn it is.
    next: usize,
    /// The best merit since the search last started over, and the designs told since.
    peak: Merit,
    stalled: usize,
}

impl<D: Domain> DifferentialEvolution<D> {
    /// A search of `domain`.
    pub fn new(domain: D, options: DifferentialEvolutionOptions) -> Result<Self> {
        if options.population < 4 {
            return Err(improper("population", options.population, "at least 4"));
        }
        if options.patience == 0 {
            return Err(improper("patience", 0, "at least 1"));
        }
        let ordinal =
            (0..domain.cardinalities().len()).map(|parameter| domain.is_ordinal(parameter)).collect();
        Ok(Self {
            proposals: Proposals::new(domain, options.seed, 1)?,
            options,
            ordinal,
            population: Population::default(),
            founding: true,
            next: 0,
            peak: Merit::WORST,
            stalled: 0,
        })
    }

    fn evolve(&mut self, missing: usize) {
        let (population, ordinal) = (&self.population, &self.ordinal);
        let size = population.len();
        let targets: Vec<u32> = (0..missing).map(|i| ((self.next + i) % size) as u32).collect();
        self.next = (self.next + missing) % size;
        let mut elite: Vec<usize> = (0..size).collect();
        elite.sort_unstable_by_key(|&slot| (population.merits[slot], slot));
        elite.truncate(size.div_ceil(ELITE));
        let last: Vec<f64> = self.proposals.domain.cardinalities().iter().map(|&c| c as f64 - 1.0).collect();
        self.proposals.propose(&targets, |_, random, target, _, trial| {
            let between = |random: &mut Stream, (low, high): (f64, f64)| low + (high - low) * unit(random);
            let (factor, rate) = (between(random, SCALE), between(random, CROSSOVER));
            let from = population.row(target as usize);
            let to = population.row(elite[below(random, elite.len())]);
            let (b, c) = (population.row(below(random, size)), population.row(below(random, size)));
            let sure = below(random, from.len());
            for i in 0..from.len() {
                trial[i] = if i != sure && unit(random) >= rate {
                    from[i]
                } else if ordinal[i] {
                    let [from, to, b, c] = [from[i], to[i], b[i], c[i]].map(f64::from);
                    let v = (from + factor * (to - from + b - c)).abs();
                    let v = if v > last[i] { 2.0 * last[i] - v } else { v };
                    (v + unit(random)).floor().clamp(0.0, last[i]) as u16
                } else if b[i] != c[i] && unit(random) < factor {
                    b[i]
                } else if unit(random) < factor {
                    to[i]
                } else {
                    from[i]
                };
            }
        });
    }
}

impl<D: Domain + Send> Optimizer for DifferentialEvolution<D> {
    fn heed(&mut self, interrupt: Interrupt) {
        self.proposals.ledger.interrupt = interrupt;
    }

    fn ask(&mut self, n: usize, ranks: &mut Vec<u16>) -> Result<usize> {
        let missing = self.proposals.open(n)?;
        let founding = self.founding || self.population.len() == 0;
        if founding {
            self.founding = self.proposals.draw(missing, None) == missing;
        } else {
            self.evolve(missing);
        }
        self.proposals.issue(n, founding, &self.population.ranks, ranks)
    }

    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()> {
        let proposals = &mut self.proposals;
        proposals.ledger.close(&proposals.domain, scores, violations)?;
        let top = proposals.ledger.merits.iter().copied().min().unwrap_or(Merit::WORST);
        if top < self.peak {
            (self.peak, self.stalled) = (top, 0);
        } else {
            self.stalled += scores.len();
        }
        let size = self.options.population;
        if self.stalled >= size.saturating_mul(self.options.patience) && !proposals.is_dry() {
            (self.peak, self.stalled, self.founding) = (Merit::WORST, 0, true);
            self.population.clear();
        } else if self.founding || proposals.unproposed() {
            self.population.found(&proposals.ledger, size);
            self.founding &= self.population.len() < size;
        } else {
            for (slot, ranks, merit) in proposals.told() {
                let slot = slot.or_else(|| self.population.worst());
                if let Some(slot) = slot.filter(|&slot| merit <= self.population.merits[slot]) {
                    self.population.set(slot, ranks, merit);
                }
            }
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
