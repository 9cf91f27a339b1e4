//! Uniform draws, without repetition, among the designs with no known violation.

use super::ledger::Ledger;
use super::variation::Variation;
use super::{Domain, Stream, below, known_violation};
use crate::error::{Error, Infeasible};

/// Spaces up to this size are enumerated once rejection has cost as much.
const ENUMERABLE: u128 = 1 << 20;
/// Designs drawn at a time, to be looked at together.
const BLOCK: usize = 256;
/// Draws between looks for an interrupt.
const INTERRUPTIBLE: usize = 4096;
/// Draws in a row whose rejection shows that drawing on is no use.
pub(super) const PATIENCE: usize = 1 << 20;

/// Rejection sampling that turns to enumeration in small spaces, and so empties those exactly.
#[derive(Debug)]
pub(super) struct Sampler {
    random: Stream,
    size: u128,
    /// Shuffled numbers, last parameter fastest, of the unviolating designs of an enumerated space.
    rest: Option<Vec<u32>>,
    dry: bool,
    misses: Misses,
    design: Vec<u16>,
    /// Ranks of a block of designs, parameter by parameter, and known violations of those not looked at yet, the next
    /// one last.
    drawn: Vec<u16>,
    violations: Vec<f64>,
}

/// Candidates that were no use, and the one that came nearest to meeting the constraints.
#[derive(Debug, Default)]
pub(super) struct Misses {
    pub count: usize,
    violation: f64,
    ranks: Vec<u16>,
}

impl Misses {
    pub fn note(&mut self, violation: f64, ranks: &[u16]) {
        self.count += 1;
        if violation < self.violation || self.ranks.is_empty() {
            self.violation = violation;
            self.ranks.clear();
            self.ranks.extend_from_slice(ranks);
        }
    }

    /// The error of a search that found no design to score.
    pub fn error<D: Domain>(&self, domain: &D, looked_at: &str) -> Error {
        let message = format!(
            "no design meets the constraints and limits: of {looked_at} the nearest misses by {:.6} ({}); \
             loosen what it breaks",
            self.violation,
            domain.describe(&self.ranks)
        );
        Error::NoFeasibleDesign(Infeasible { message, nearest: Some((self.ranks.clone(), self.violation)) })
    }
}

impl Sampler {
    pub fn new(random: Stream, size: u128, width: usize) -> Self {
        Self {
            random,
            size,
            rest: None,
            dry: false,
            misses: Misses::default(),
            design: vec![0; width],
            drawn: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// Adds up to `n` designs to the batch, rejecting at most `patience`, and returns how many.
    pub fn fill<D: Domain>(
        &mut self,
        domain: &D,
        variation: &Variation,
        n: usize,
        patience: usize,
        ledger: &mut Ledger,
    ) -> usize {
        let mut found = 0;
        let mut rejected = 0;
        while found < n && !self.dry {
            if (found + rejected + 1) % INTERRUPTIBLE == 0 && ledger.interrupt.is_due() {
                break;
            }
            if let Some(rest) = &mut self.rest {
                let Some(number) = rest.pop() else {
                    self.dry = true;
                    break;
                };
                decode(number, domain.cardinalities(), &mut self.design);
                found += usize::from(ledger.admit(domain.index_of(&self.design), &self.design));
                continue;
            }
            let violation = self.draw(domain, variation);
            if violation <= 0.0 && ledger.admit(domain.index_of(&self.design), &self.design) {
                found += 1;
                continue;
            }
            self.misses.note(violation, &self.design);
            rejected += 1;
            if self.is_exact() && self.misses.count as u128 >= self.size {
                self.enumerate(domain);
            } else if rejected == patience {
                self.dry = found == 0 && patience == PATIENCE;
                break;
            }
        }
        found
    }

    /// Draws the next design, and returns its known violation.
    fn draw<D: Domain>(&mut self, domain: &D, variation: &Variation) -> f64 {
        if self.violations.is_empty() {
            self.drawn.resize(BLOCK * self.design.len(), 0);
            for (parameter, column) in self.drawn.chunks_exact_mut(BLOCK).enumerate() {
                variation.draw_column(&mut self.random, parameter, column);
            }
            self.violations.resize(BLOCK, 0.0);
            domain.violations_by_parameter(&self.drawn, &mut self.violations);
        }
        let violation = self.violations.pop().unwrap_or(f64::INFINITY);
        for (rank, column) in self.design.iter_mut().zip(self.drawn.chunks_exact(BLOCK)) {
            *rank = column[self.violations.len()];
        }
        if violation.is_nan() { f64::INFINITY } else { violation.max(0.0) }
    }

    /// Whether drawing on is no use.
    pub fn is_dry(&self) -> bool {
        self.dry
    }

    /// Whether a fill with full patience comes short only when no design is left.
    pub fn is_exact(&self) -> bool {
        self.size <= ENUMERABLE
    }

    /// The error of a search to which no draw gave a design.
    pub fn nothing_found<D: Domain>(&self, domain: &D) -> Error {
        let looked_at = if self.rest.is_some() {
            format!("all {} designs", self.size)
        } else {
            format!("{} random designs", self.misses.count)
        };
        self.misses.error(domain, &looked_at)
    }

    fn enumerate<D: Domain>(&mut self, domain: &D) {
        let mut rest = Vec::new();
        for number in 0..self.size as u32 {
            decode(number, domain.cardinalities(), &mut self.design);
            let violation = known_violation(domain, &self.design);
            if violation == 0.0 {
                rest.push(number);
            } else {
                self.misses.note(violation, &self.design);
            }
        }
        for i in (1..rest.len()).rev() {
            rest.swap(i, below(&mut self.random, i + 1));
        }
        self.rest = Some(rest);
    }
}

fn decode(mut number: u32, cardinalities: &[usize], design: &mut [u16]) {
    for (rank, &cardinality) in design.iter_mut().zip(cardinalities).rev() {
        *rank = (number as usize % cardinality) as u16;
        number = (number as usize / cardinality) as u32;
    }
}
