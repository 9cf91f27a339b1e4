//! Uniform random search: the baseline.

use super::ledger::Ledger;
use super::sampler::{PATIENCE, Sampler};
use super::variation::Variation;
use super::{Domain, Optimizer, Scored, size_of, stream};
use crate::Result;

/// Draws designs uniformly among those with no known violation, none twice.
///
/// Ends, by handing out no design, when the space is exhausted or a million draws in a row were rejected.
#[derive(Debug)]
pub struct Random<D> {
    domain: D,
    variation: Variation,
    sampler: Sampler,
    ledger: Ledger,
}

impl<D: Domain> Random<D> {
    /// A search of `domain`, the same for the same seed.
    pub fn new(domain: D, seed: u64) -> Result<Self> {
        let size = size_of(&domain)?;
        let variation = Variation::new(&domain);
        let sampler = Sampler::new(stream(seed, 0, 0), size, domain.cardinalities().len());
        Ok(Self { domain, variation, sampler, ledger: Ledger::default() })
    }
}

impl<D: Domain + Send> Optimizer for Random<D> {
    fn ask(&mut self, n: usize, ranks: &mut Vec<u16>) -> Result<usize> {
        self.ledger.open(n)?;
        self.sampler.fill(&self.domain, &self.variation, n, PATIENCE, &mut self.ledger);
        if self.ledger.visited.is_empty() {
            return Err(self.sampler.nothing_found(&self.domain));
        }
        Ok(self.ledger.issue(ranks))
    }

    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()> {
        self.ledger.close(&self.domain, scores, violations)
    }

    fn best(&self) -> Option<&Scored> {
        self.ledger.best()
    }
}
