//! Boxes of designs, and bounds of metrics and constraints over them.

use super::expression::interval::{Interval, Ranges, Truth};
use super::{DesignSpace, Kind, MAX_METRICS, Parameter, Rank, Value};

/// Most entries of a metric's table that are looked through for its bounds; more are bounded by its expression.
const MAX_SCANNED: usize = 16;

/// A box of designs: for each parameter the ranks from `least` to `most`, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Least rank of each parameter.
    pub least: Vec<u16>,
    /// Greatest rank of each parameter.
    pub most: Vec<u16>,
}

impl Region {
    /// All designs of a space.
    #[must_use]
    pub fn all(space: &DesignSpace) -> Self {
        let most = space.cardinalities().iter().map(|&cardinality| u16::put(cardinality - 1)).collect();
        Self { least: vec![0; space.dimensions()], most }
    }

    /// How many ranks a parameter may have, less one.
    #[must_use]
    pub fn spread(&self, parameter: usize) -> usize {
        usize::from(self.most[parameter] - self.least[parameter])
    }

    /// Whether one design is left.
    #[must_use]
    pub fn is_design(&self) -> bool {
        self.least == self.most
    }

    /// The ranks of a parameter.
    #[must_use]
    pub fn ranks(&self, parameter: usize) -> std::ops::RangeInclusive<usize> {
        usize::from(self.least[parameter])..=usize::from(self.most[parameter])
    }
}

/// A region as expressions see it, with the bounds of the metrics worked out so far.
struct Bounded<'a> {
    space: &'a DesignSpace,
    region: &'a Region,
    metrics: [Interval; MAX_METRICS],
}

impl Ranges for Bounded<'_> {
    fn parameter(&self, parameter: usize) -> Interval {
        self.space.parameter_bounds(parameter, self.region)
    }

    fn ranks(&self, parameter: usize) -> (usize, usize) {
        self.region.ranks(parameter).into_inner()
    }

    fn metric(&self, metric: usize) -> Interval {
        self.metrics[metric]
    }
}

/// Conditions that a design must meet, as a search over regions uses them: the constraints of a space and upper
/// limits on its metrics.
#[derive(Debug, Clone)]
pub struct Conditions {
    limits: Vec<(usize, f64)>,
    /// Positions of the metrics that the conditions are made of, and of those that these are made of, in order.
    needs: Vec<usize>,
    /// Parameters that decide a condition.
    parameters: Vec<usize>,
}

impl Conditions {
    /// The constraints of `space` and limits on metrics, by position.
    #[must_use]
    pub fn new(space: &DesignSpace, limits: &[(usize, f64)]) -> Self {
        let (mut needs, mut parameters) = (Vec::new(), Vec::new());
        for &(metric, _) in limits {
            needs.extend(space.all_needs(metric));
            parameters.extend(&space.metrics[metric].parameters);
        }
        for constraint in &space.constraints {
            constraint.condition.leaves(&mut |leaf| match leaf {
                super::Number::Parameter(parameter) => parameters.push(*parameter),
                super::Number::Metric(metric) => {
                    needs.extend(space.all_needs(*metric));
                    parameters.extend(&space.metrics[*metric].parameters);
                }
                _ => {}
            });
            constraint.condition.ranked(&mut |parameter| parameters.push(parameter));
        }
        super::sort_unique(&mut needs);
        super::sort_unique(&mut parameters);
        Self { limits: limits.to_vec(), needs, parameters }
    }

    /// What is known of all conditions together over a region.
    #[must_use]
    pub fn truth(&self, space: &DesignSpace, region: &Region) -> Truth {
        let bounded = space.bounded(region, &self.needs);
        let mut truth = Truth::Always;
        for constraint in &space.constraints {
            truth = truth.and(constraint.condition.truth(&bounded));
        }
        for &(metric, limit) in &self.limits {
            let value = bounded.metrics[metric];
            truth = truth.and(if value.least > limit {
                Truth::Never
            } else if value.most <= limit && !value.nan {
                Truth::Always
            } else {
                Truth::Unknown
            });
        }
        truth
    }

    /// Takes ranks that meet the conditions nowhere in the region off its ends; false where nothing is left.
    pub fn shrink(&self, space: &DesignSpace, region: &mut Region) -> bool {
        match self.truth(space, region) {
            Truth::Always => return true,
            Truth::Never => return false,
            Truth::Unknown => {}
        }
        loop {
            let mut changed = false;
            for &parameter in &self.parameters {
                changed |= self.shrink_end(space, region, parameter, true);
                changed |= self.shrink_end(space, region, parameter, false);
            }
            if !changed {
                return true;
            }
        }
    }

    /// Takes ranks off one end of a parameter, in steps that halve; at least one rank stays.
    fn shrink_end(&self, space: &DesignSpace, region: &mut Region, parameter: usize, top: bool) -> bool {
        let (mut changed, mut step) = (false, 1_u16);
        let mut growing = true;
        loop {
            let (least, most) = (region.least[parameter], region.most[parameter]);
            if least == most || step == 0 {
                return changed;
            }
            let step_now = step.min(most - least);
            // The part at the end, by itself.
            if top {
                region.least[parameter] = most - step_now + 1;
            } else {
                region.most[parameter] = least + step_now - 1;
            }
            let gone = self.truth(space, region) == Truth::Never;
            (region.least[parameter], region.most[parameter]) = match (gone, top) {
                (false, _) => (least, most),
                (true, true) => (least, most - step_now),
                (true, false) => (least + step_now, most),
            };
            changed |= gone;
            growing &= gone;
            step = if growing { step.saturating_mul(2) } else { step / 2 };
        }
    }
}

impl DesignSpace {
    /// Bounds of a metric over a region.
    #[must_use]
    pub fn metric_bounds(&self, metric: usize, region: &Region) -> Interval {
        self.bounded(region, &self.all_needs(metric)).metrics[metric]
    }

    /// Bounds of a numeric parameter over a region.
    #[must_use]
    pub fn parameter_bounds(&self, parameter: usize, region: &Region) -> Interval {
        let (numbers, ranks) = (&self.numbers[parameter], region.ranks(parameter));
        let ordered = |parameter: &Parameter| {
            parameter.kind == Kind::Ordinal && !matches!(parameter.values.first(), Some(Value::Boolean(_)))
        };
        if ordered(&self.parameters[parameter]) {
            return Interval::hull([numbers[*ranks.start()], numbers[*ranks.end()]]);
        }
        Interval::hull(numbers[ranks].iter().copied())
    }

    /// What is known of some constraints together, given by position, over a region; `needs` are the metrics that
    /// they are made of, and those that these are made of.
    pub(super) fn truth(&self, constraints: &[usize], needs: &[usize], region: &Region) -> Truth {
        let bounded = self.bounded(region, needs);
        let each = constraints.iter().map(|&one| self.constraints[one].condition.truth(&bounded));
        each.fold(Truth::Always, Truth::and)
    }

    /// Positions of a metric and of all that it is made of, in order.
    pub(super) fn all_needs(&self, metric: usize) -> Vec<usize> {
        let mut needs = vec![metric];
        self.metrics[metric].expression.leaves(&mut |leaf| {
            if let super::Number::Metric(inner) = leaf {
                needs.extend(self.all_needs(*inner));
            }
        });
        super::sort_unique(&mut needs);
        needs
    }

    fn bounded<'a>(&'a self, region: &'a Region, needs: &[usize]) -> Bounded<'a> {
        let mut bounded = Bounded { space: self, region, metrics: [Interval::ANY; MAX_METRICS] };
        for &metric in needs {
            bounded.metrics[metric] =
                self.scan(metric, region).unwrap_or_else(|| self.metrics[metric].expression.bounds(&bounded));
        }
        bounded
    }

    /// Bounds of a metric from its table, where few of its entries lie in the region.
    fn scan(&self, metric: usize, region: &Region) -> Option<Interval> {
        let table = self.metrics[metric].table.as_ref()?;
        let entries = table.digits.iter().try_fold(1, |entries: usize, &(parameter, _)| {
            Some(entries * (region.spread(parameter) + 1)).filter(|&entries| entries <= MAX_SCANNED)
        })?;
        let value = |entry: usize| {
            let (mut rest, mut position) = (entry, 0);
            for &(parameter, weight) in &table.digits {
                let count = region.spread(parameter) + 1;
                position += (usize::from(region.least[parameter]) + rest % count) * weight;
                rest /= count;
            }
            table.values[position]
        };
        Some(Interval::hull((0..entries).map(value)))
    }
}
