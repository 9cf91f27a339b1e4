//! Metrics and constraints of many designs at once: each operation of an expression runs over all of them, with
//! the same rounding as for one design.

use std::borrow::Cow;

use super::expression::{Arithmetic, Condition, Function, Number};
use super::{DesignSpace, Rank, Table, excess};

/// Designs, rows of ranks within range, with the metrics worked out so far.
pub struct Batch<'a, R> {
    space: &'a DesignSpace,
    ranks: &'a [R],
    metrics: Vec<Vec<f64>>,
}

/// Values of an expression.
enum Column<'a> {
    /// The same for every design.
    Same(f64),
    /// One for each.
    Each(Cow<'a, [f64]>),
}

impl Column<'_> {
    fn get(&self, design: usize) -> f64 {
        match self {
            Self::Same(value) => *value,
            Self::Each(values) => values[design],
        }
    }

    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Same(value) => Self::Same(f(value)),
            Self::Each(values) => {
                let mut values = values.into_owned();
                for value in &mut values {
                    *value = f(*value);
                }
                Self::Each(values.into())
            }
        }
    }

    fn zip(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::Same(a), other) => other.map(|b| f(a, b)),
            (one, Self::Same(b)) => one.map(|a| f(a, b)),
            (Self::Each(a), Self::Each(b)) => {
                let mut values = a.into_owned();
                for (a, &b) in values.iter_mut().zip(&*b) {
                    *a = f(*a, b);
                }
                Self::Each(values.into())
            }
        }
    }
}

impl<'a, R: Rank> Batch<'a, R> {
    /// `ranks` are whole rows of ranks within range.
    #[must_use]
    pub fn new(space: &'a DesignSpace, ranks: &'a [R]) -> Self {
        Self { space, ranks, metrics: vec![Vec::new(); space.metrics.len()] }
    }

    fn rows(&self) -> std::slice::ChunksExact<'a, R> {
        self.ranks.chunks_exact(self.space.dimensions())
    }

    /// Values of a metric, given by position.
    pub fn metric(&mut self, position: usize) -> &[f64] {
        self.need(position);
        &self.metrics[position]
    }

    /// For each design 0 where it meets all constraints, else 1 plus the position of the first it breaks.
    pub fn check(&mut self, broken: &mut [u16]) {
        broken.fill(0);
        for (position, constraint) in self.space.constraints.iter().enumerate() {
            self.need_all(&constraint.condition);
            let holds = self.condition(&constraint.condition);
            for (broken, holds) in broken.iter_mut().zip(holds) {
                if *broken == 0 && !holds {
                    *broken = u16::try_from(position + 1).unwrap_or(u16::MAX);
                }
            }
        }
    }

    /// Works out the metrics that a condition is made of.
    fn need_all(&mut self, condition: &Condition) {
        condition.leaves(&mut |leaf| {
            if let Number::Metric(metric) = leaf {
                self.need(*metric);
            }
        });
    }

    /// [`DesignSpace::violation`] of each design.
    pub fn violations(&mut self, limits: &[(usize, f64)], violations: &mut [f64]) {
        violations.fill(0.0);
        for constraint in &self.space.constraints {
            self.need_all(&constraint.condition);
            for (total, violation) in violations.iter_mut().zip(self.violation(&constraint.condition)) {
                *total += violation;
            }
        }
        for &(metric, limit) in limits {
            for (total, &value) in violations.iter_mut().zip(self.metric(metric)) {
                *total += excess(value, limit);
            }
        }
    }

    /// Works out a metric and those that it is made of.
    fn need(&mut self, position: usize) {
        if !self.metrics[position].is_empty() || self.ranks.is_empty() {
            return;
        }
        let metric = &self.space.metrics[position];
        let values = if let Some(table) = &metric.table {
            self.look_up(table)
        } else {
            metric.expression.leaves(&mut |leaf| {
                if let Number::Metric(inner) = leaf {
                    self.need(*inner);
                }
            });
            match self.number(&metric.expression) {
                Column::Same(value) => vec![value; self.rows().len()],
                Column::Each(values) => values.into_owned(),
            }
        };
        self.metrics[position] = values;
    }

    fn look_up(&self, table: &Table) -> Vec<f64> {
        let mut positions = vec![0; self.rows().len()];
        for &(parameter, weight) in &table.digits {
            for (position, ranks) in positions.iter_mut().zip(self.rows()) {
                *position += ranks[parameter].get() * weight;
            }
        }
        positions.into_iter().map(|position: usize| table.values[position]).collect()
    }

    /// Values of an expression whose metrics are worked out.
    fn number(&self, number: &Number) -> Column<'_> {
        match number {
            Number::Literal(value) => Column::Same(*value),
            Number::Parameter(parameter) => {
                let numbers = self.space.numbers(*parameter);
                Column::Each(self.rows().map(|ranks| numbers[ranks[*parameter].get()]).collect())
            }
            Number::Metric(metric) => Column::Each(Cow::Borrowed(&self.metrics[*metric])),
            Number::Negate(a) => self.number(a).map(|a| -a),
            Number::Arithmetic(operator, a, b) => {
                let (a, b) = (self.number(a), self.number(b));
                match operator {
                    // One loop for each of those that are vector instructions.
                    Arithmetic::Add => a.zip(b, |a, b| a + b),
                    Arithmetic::Subtract => a.zip(b, |a, b| a - b),
                    Arithmetic::Multiply => a.zip(b, |a, b| a * b),
                    Arithmetic::Divide => a.zip(b, |a, b| a / b),
                    Arithmetic::FloorDivide | Arithmetic::Modulo => a.zip(b, |a, b| operator.apply(a, b)),
                }
            }
            Number::Call(function, arguments) => {
                let mut all = arguments.iter().map(|argument| self.number(argument));
                let first = all.next().unwrap_or(Column::Same(f64::NAN));
                match function {
                    Function::Min => all.fold(first, |a, b| a.zip(b, f64::min)),
                    Function::Max => all.fold(first, |a, b| a.zip(b, f64::max)),
                    Function::Abs => first.map(f64::abs),
                    Function::Ceil => first.map(f64::ceil),
                    Function::Floor => first.map(f64::floor),
                    Function::Log2 => first.map(f64::log2),
                }
            }
        }
    }

    /// Whether a condition holds, its metrics worked out.
    fn condition(&self, condition: &Condition) -> Vec<bool> {
        match condition {
            Condition::Literal(value) => vec![*value; self.rows().len()],
            Condition::Rank { parameter, rank, equal } => {
                self.rows().map(|ranks| (ranks[*parameter].get() == *rank) == *equal).collect()
            }
            Condition::Compare(comparison, a, b) => {
                let (a, b) = (self.number(a), self.number(b));
                (0..self.rows().len()).map(|design| comparison.holds(a.get(design), b.get(design))).collect()
            }
            Condition::And(a, b) => self.both(a, b, |a, b| a && b),
            Condition::Or(a, b) => self.both(a, b, |a, b| a || b),
        }
    }

    /// How far each design is from meeting a condition, its metrics worked out.
    fn violation(&self, condition: &Condition) -> Vec<f64> {
        match condition {
            Condition::And(a, b) => {
                self.violation(a).into_iter().zip(self.violation(b)).map(|(a, b)| a + b).collect()
            }
            Condition::Or(a, b) => {
                self.violation(a).into_iter().zip(self.violation(b)).map(|(a, b)| a.min(b)).collect()
            }
            Condition::Compare(comparison, a, b) => {
                let (a, b) = (self.number(a), self.number(b));
                let gap = |design| comparison.gap(a.get(design), b.get(design));
                (0..self.rows().len()).map(gap).collect()
            }
            _ => self.condition(condition).into_iter().map(|holds| f64::from(u8::from(!holds))).collect(),
        }
    }

    fn both(&self, a: &Condition, b: &Condition, f: impl Fn(bool, bool) -> bool) -> Vec<bool> {
        let (mut a, b) = (self.condition(a), self.condition(b));
        for (a, b) in a.iter_mut().zip(b) {
            *a = f(*a, b);
        }
        a
    }
}
