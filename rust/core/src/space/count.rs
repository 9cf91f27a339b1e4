//! How many designs meet the constraints, and whether any can.
//!
//! Constraints that share no parameter, neither directly nor through others, are counted by themselves, and what
//! they pass multiplies. Boxes of designs are split in two until bounds tell that all or none of a box pass, or few
//! designs are left, which are looked at one by one.

use super::expression::interval::Truth;
use super::{Batch, Conditions, DesignSpace, Number, Region, sort_unique};
use crate::{Error, Result};

/// Designs of a box that are looked at one by one rather than split.
const LEAF: u128 = 1024;

/// Constraints that share parameters.
struct Group {
    constraints: Vec<usize>,
    parameters: Vec<usize>,
    /// Metrics that the constraints are made of, and those that these are made of.
    needs: Vec<usize>,
}

/// What is left to spend, in designs or boxes looked at.
struct Budget<'a> {
    left: u64,
    stop: &'a dyn Fn() -> bool,
}

impl DesignSpace {
    /// Number of designs that meet these constraints, given by position; nothing where that takes a look at more
    /// than about `work` designs, or where `stop` says so.
    pub fn count(&self, constraints: &[usize], work: u64, stop: &dyn Fn() -> bool) -> Option<u128> {
        let mut budget = Budget { left: work, stop };
        let groups = self.groups(constraints);
        let mut free: Vec<usize> = (0..self.dimensions()).collect();
        free.retain(|parameter| !groups.iter().any(|group| group.parameters.contains(parameter)));
        let mut count: u128 = free.iter().map(|&one| self.cardinalities[one] as u128).product();
        for group in &groups {
            count *= self.count_group(group, &mut Region::all(self), &mut budget)?;
        }
        Some(count)
    }

    /// Makes sure that bounds don't prove that no design meets the constraints; `origin` starts the error.
    pub fn check_possible(&self, origin: &str) -> Result<()> {
        let wrong = |message: String| Err(Error::Configuration(format!("{origin}: {message}")));
        let all = Region::all(self);
        for (position, constraint) in self.constraints.iter().enumerate() {
            if self.truth(&[position], &self.needs_of(position), &all) == Truth::Never {
                return wrong(format!(
                    "no design meets the constraint `{}`: {}",
                    constraint.name, constraint.text
                ));
            }
        }
        let conditions = Conditions::new(self, &[]);
        let mut region = all;
        if !conditions.shrink(self, &mut region) || conditions.truth(self, &region) == Truth::Never {
            let names: Vec<&str> = self.constraints.iter().map(|one| one.name.as_str()).collect();
            return wrong(format!("no design meets all constraints together: {}", names.join(", ")));
        }
        Ok(())
    }

    /// Parameters that decide a constraint, in order.
    fn deciding(&self, constraint: usize) -> Vec<usize> {
        let mut parameters = Vec::new();
        let condition = &self.constraints[constraint].condition;
        condition.leaves(&mut |leaf| match leaf {
            Number::Parameter(parameter) => parameters.push(*parameter),
            Number::Metric(metric) => parameters.extend(&self.metrics[*metric].parameters),
            _ => {}
        });
        condition.ranked(&mut |parameter| parameters.push(parameter));
        sort_unique(&mut parameters);
        parameters
    }

    fn needs_of(&self, constraint: usize) -> Vec<usize> {
        let mut needs = Vec::new();
        self.constraints[constraint].condition.leaves(&mut |leaf| {
            if let Number::Metric(metric) = leaf {
                needs.extend(self.all_needs(*metric));
            }
        });
        sort_unique(&mut needs);
        needs
    }

    fn groups(&self, constraints: &[usize]) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for &constraint in constraints {
            let mut group = Group {
                constraints: vec![constraint],
                parameters: self.deciding(constraint),
                needs: self.needs_of(constraint),
            };
            let (shared, apart) = groups.into_iter().partition::<Vec<_>, _>(|other| {
                other.parameters.iter().any(|parameter| group.parameters.contains(parameter))
            });
            groups = apart;
            for mut other in shared {
                group.constraints.append(&mut other.constraints);
                group.parameters.append(&mut other.parameters);
                group.needs.append(&mut other.needs);
            }
            sort_unique(&mut group.constraints);
            sort_unique(&mut group.parameters);
            sort_unique(&mut group.needs);
            groups.push(group);
        }
        groups
    }

    /// Combinations of a group's parameters in a box that meet its constraints.
    fn count_group(&self, group: &Group, region: &mut Region, budget: &mut Budget) -> Option<u128> {
        let count = |region: &Region| -> u128 {
            group.parameters.iter().map(|&one| region.spread(one) as u128 + 1).product()
        };
        let all = count(region);
        budget.spend(1)?;
        match self.truth(&group.constraints, &group.needs, region) {
            Truth::Always => return Some(all),
            Truth::Never => return Some(0),
            Truth::Unknown => {}
        }
        if all <= LEAF {
            budget.spend(all as u64)?;
            return Some(self.look(group, region) as u128);
        }
        let widest = group.parameters.iter().copied().max_by_key(|&one| region.spread(one))?;
        let (least, most) = (region.least[widest], region.most[widest]);
        let middle = least + (most - least) / 2;
        region.most[widest] = middle;
        let lower = self.count_group(group, region, budget)?;
        (region.least[widest], region.most[widest]) = (middle + 1, most);
        let upper = self.count_group(group, region, budget)?;
        region.least[widest] = least;
        Some(lower + upper)
    }

    /// The same, one by one.
    fn look(&self, group: &Group, region: &Region) -> usize {
        let (mut ranks, mut rows) = (region.least.clone(), Vec::new());
        loop {
            rows.extend_from_slice(&ranks);
            let next = group.parameters.iter().find(|&&one| ranks[one] < region.most[one]);
            let Some(&next) = next else { break };
            for &one in group.parameters.iter().take_while(|&&one| one != next) {
                ranks[one] = region.least[one];
            }
            ranks[next] += 1;
        }
        Batch::new(self, &rows).count(&group.constraints)
    }
}

impl Budget<'_> {
    fn spend(&mut self, work: u64) -> Option<()> {
        self.left = self.left.checked_sub(work).filter(|_| !(self.stop)())?;
        Some(())
    }
}
