//! A space with upper limits on metrics that follow from the parameters.

use super::Domain;
use crate::space::{DesignSpace, Kind, Violations};
use crate::{Error, Result};

/// A design space beside upper limits on some of its metrics: what a search may propose.
#[derive(Debug, Clone)]
pub struct LimitedSpace {
    space: DesignSpace,
    limits: Vec<(usize, f64)>,
    violations: Violations,
}

/// The error of a limit that is no positive, finite number.
#[must_use]
pub fn improper_limit(name: &str, limit: f64) -> Error {
    Error::Configuration(format!("limit {name}={limit}: a limit must be a positive, finite number"))
}

impl LimitedSpace {
    /// Limits metrics of a space, by name, to at most the given positive value.
    pub fn new(space: DesignSpace, limits: &[(String, f64)]) -> Result<Self> {
        let mut found = Vec::with_capacity(limits.len());
        for (name, limit) in limits {
            if !(limit.is_finite() && *limit > 0.0) {
                return Err(improper_limit(name, *limit));
            }
            found.push((space.metric_position(name)?, *limit));
        }
        let violations = Violations::new(&space, &found);
        Ok(Self { space, limits: found, violations })
    }

    /// The space without its limits.
    #[must_use]
    pub fn space(&self) -> &DesignSpace {
        &self.space
    }
}

impl Domain for LimitedSpace {
    fn cardinalities(&self) -> &[usize] {
        self.space.cardinalities()
    }

    fn index_of(&self, ranks: &[u16]) -> u64 {
        self.space.index_of(ranks)
    }

    fn violation(&self, ranks: &[u16]) -> f64 {
        if self.violations.is_empty() { 0.0 } else { self.space.violation(ranks, &self.limits) }
    }

    fn violations(&self, designs: &[u16], violations: &mut [f64]) {
        let count = violations.len();
        let mut columns = vec![0; designs.len()];
        for (row, design) in designs.chunks_exact(self.space.dimensions()).enumerate() {
            for (parameter, &rank) in design.iter().enumerate() {
                columns[parameter * count + row] = rank;
            }
        }
        self.violations.of(&self.space, &columns, violations);
    }

    fn violations_by_parameter(&self, columns: &[u16], violations: &mut [f64]) {
        self.violations.of(&self.space, columns, violations);
    }

    fn is_ordinal(&self, parameter: usize) -> bool {
        self.space.parameters()[parameter].kind == Kind::Ordinal
    }

    fn describe(&self, ranks: &[u16]) -> String {
        let parts = self.space.parameters().iter().zip(ranks);
        let parts: Vec<String> =
            parts.map(|(p, &rank)| format!("{}={}", p.name, p.values[usize::from(rank)])).collect();
        parts.join(" ")
    }
}
