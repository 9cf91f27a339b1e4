//! Uniform random search: the baseline.

use crate::Result;
use crate::search::ledger::Ledger;
use crate::search::sampler::{PATIENCE, Sampler};
use crate::search::variation::Variation;
use crate::search::{Domain, Interrupt, Optimizer, Scored, size_of, stream};

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
        Ok(Self { domain, variation, sampler, ledger: Ledger::new(1) })
    }
}

impl<D: Domain + Send> Optimizer for Random<D> {
    fn ask_ahead(&mut self) -> bool {
        self.ledger.ahead = 1;
        true
    }

    fn heed(&mut self, interrupt: Interrupt) {
        self.ledger.interrupt = interrupt;
    }

    fn ask(&mut self, n: usize, ranks: &mut Vec<u16>) -> Result<usize> {
        self.ledger.open(&self.domain, n)?;
        let missing = n - self.ledger.indices.len();
        self.sampler.fill(&self.domain, &self.variation, missing, PATIENCE, &mut self.ledger);
        if self.ledger.visited.is_empty() {
            return Err(self.sampler.nothing_found(&self.domain));
        }
        Ok(self.ledger.issue(ranks))
    }

    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()> {
        self.ledger.close(&self.domain, scores, violations)
    }

    fn start_with(&mut self, designs: &[u16]) -> Result<usize> {
        self.ledger.start_with(&self.domain, designs)
    }

    fn best(&self) -> Option<&Scored> {
        self.ledger.best()
    }
}
