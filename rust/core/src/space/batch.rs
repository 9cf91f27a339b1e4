//! Metrics and constraints of many designs at once: each operation of an expression runs over all of them, with
//! the same rounding as for one design.

use super::expression::{Arithmetic, Condition, Function, Number, least, most};
use super::{DesignSpace, Rank, Table};

/// Designs that an operation runs over at a time: enough to hide what it costs to come to the operation.
const BLOCK: usize = 32;

/// Designs, rows of ranks within range, with the metrics worked out so far.
pub struct Batch<'a, R> {
    space: &'a DesignSpace,
    /// Ranks of the first block, parameter by parameter, then of the next; beyond the last design 0.
    columns: Vec<[R; BLOCK]>,
    designs: usize,
    /// Values of the first metric, block by block, then of the next.
    metrics: Vec<[f64; BLOCK]>,
    /// Whether a metric is worked out, a bit each.
    known: u64,
}

impl<'a, R: Rank> Batch<'a, R> {
    /// `ranks` are whole rows of ranks within range.
    #[must_use]
    pub fn new(space: &'a DesignSpace, ranks: &[R]) -> Self {
        let dimensions = space.dimensions();
        let designs = ranks.len() / dimensions;
        let mut columns = vec![[R::put(0); BLOCK]; designs.div_ceil(BLOCK) * dimensions];
        for (columns, ranks) in columns.chunks_exact_mut(dimensions).zip(ranks.chunks(BLOCK * dimensions)) {
            for (design, ranks) in ranks.chunks_exact(dimensions).enumerate() {
                for (column, &rank) in columns.iter_mut().zip(ranks) {
                    column[design] = rank;
                }
            }
        }
        let metrics = vec![[0.0; BLOCK]; designs.div_ceil(BLOCK) * space.metrics.len()];
        Self { space, columns, designs, metrics, known: 0 }
    }

    /// Ranks of a parameter in a block, given by its first design.
    fn ranks(&self, parameter: usize, first: usize) -> &[R; BLOCK] {
        &self.columns[first / BLOCK * self.space.dimensions() + parameter]
    }

    /// First designs of all blocks.
    fn blocks(&self) -> impl Iterator<Item = usize> + use<'a, R> {
        (0..self.designs).step_by(BLOCK)
    }

    /// Values of a metric, given by position.
    pub fn metric(&mut self, position: usize) -> &[f64] {
        self.need(position);
        let start = position * self.designs.div_ceil(BLOCK);
        &self.metrics[start..].as_flattened()[..self.designs]
    }

    /// For each design 0 where it meets all constraints, else 1 plus the position of the first it breaks.
    pub fn check(&mut self, broken: &mut [u16]) {
        broken.fill(0);
        for (position, constraint) in self.space.constraints.iter().enumerate() {
            self.need_all(&constraint.condition);
            for first in self.blocks() {
                let holds = self.condition(&constraint.condition, first);
                for (broken, holds) in broken[first..].iter_mut().zip(holds) {
                    if *broken == 0 && !holds {
                        *broken = u16::try_from(position + 1).unwrap_or(u16::MAX);
                    }
                }
            }
        }
    }

    /// How many designs meet these constraints, given by position.
    pub(super) fn count(&mut self, constraints: &[usize]) -> usize {
        let mut meets = vec![true; self.designs];
        for &position in constraints {
            let condition = &self.space.constraints[position].condition;
            self.need_all(condition);
            for first in self.blocks() {
                let holds = self.condition(condition, first);
                meets[first..].iter_mut().zip(holds).for_each(|(meets, holds)| *meets &= holds);
            }
        }
        meets.iter().filter(|&&meets| meets).count()
    }

    /// Works out the metrics that a condition is made of.
    fn need_all(&mut self, condition: &Condition) {
        condition.leaves(&mut |leaf| {
            if let Number::Metric(metric) = leaf {
                self.need(*metric);
            }
        });
    }

    /// Works out a metric and those that it is made of.
    fn need(&mut self, position: usize) {
        if self.known >> position & 1 == 1 {
            return;
        }
        self.known |= 1 << position;
        let metric = &self.space.metrics[position];
        if metric.table.is_none() {
            metric.expression.leaves(&mut |leaf| {
                if let Number::Metric(inner) = leaf {
                    self.need(*inner);
                }
            });
        }
        let start = position * self.designs.div_ceil(BLOCK);
        for (block, first) in self.blocks().enumerate() {
            self.metrics[start + block] = match &metric.table {
                Some(table) => self.look_up(table, first),
                None => self.number(&metric.expression, first),
            };
        }
    }

    fn look_up(&self, table: &Table, first: usize) -> [f64; BLOCK] {
        // A table has at most 2^14 values: any processor multiplies vectors of such small numbers.
        let mut positions = [0_u16; BLOCK];
        for &(parameter, weight) in &table.digits {
            for (position, rank) in positions.iter_mut().zip(self.ranks(parameter, first)) {
                *position += rank.get() as u16 * weight as u16;
            }
        }
        map(positions, |position| table.values[usize::from(position)])
    }

    /// Values of an expression for a block of designs, its metrics worked out; beyond the last design anything.
    fn number(&self, number: &Number, first: usize) -> [f64; BLOCK] {
        match number {
            Number::Literal(value) => [*value; BLOCK],
            Number::Parameter(parameter) => {
                let numbers = self.space.numbers(*parameter);
                map(*self.ranks(*parameter, first), |rank| numbers[rank.get()])
            }
            Number::Metric(metric) => self.metrics[metric * self.designs.div_ceil(BLOCK) + first / BLOCK],
            Number::Negate(a) => map(self.number(a, first), |a| -a),
            Number::Arithmetic(operator, a, b) => {
                let (a, b) = (self.number(a, first), self.number(b, first));
                match operator {
                    // One loop for each of those that are vector instructions.
                    Arithmetic::Add => zip(a, b, |a, b| a + b),
                    Arithmetic::Subtract => zip(a, b, |a, b| a - b),
                    Arithmetic::Multiply => zip(a, b, |a, b| a * b),
                    Arithmetic::Divide => zip(a, b, |a, b| a / b),
                    Arithmetic::FloorDivide | Arithmetic::Modulo => zip(a, b, |a, b| operator.apply(a, b)),
                }
            }
            Number::Call(function, arguments) => {
                let mut all = arguments.iter().map(|argument| self.number(argument, first));
                let one = all.next().unwrap_or([f64::NAN; BLOCK]);
                match function {
                    Function::Min => all.fold(one, |a, b| zip(a, b, least)),
                    Function::Max => all.fold(one, |a, b| zip(a, b, most)),
                    Function::Abs => map(one, f64::abs),
                    Function::Ceil => map(one, f64::ceil),
                    Function::Floor => map(one, f64::floor),
                    Function::Log2 => map(one, f64::log2),
                }
            }
        }
    }

    /// Whether a condition holds, as for a number.
    fn condition(&self, condition: &Condition, first: usize) -> [bool; BLOCK] {
        match condition {
            Condition::Literal(value) => [*value; BLOCK],
            Condition::Rank { parameter, rank, equal } => {
                map(*self.ranks(*parameter, first), |one| (one.get() == *rank) == *equal)
            }
            Condition::Compare(comparison, a, b) => {
                zip(self.number(a, first), self.number(b, first), |a, b| comparison.holds(a, b))
            }
            Condition::And(a, b) => zip(self.condition(a, first), self.condition(b, first), |a, b| a && b),
            Condition::Or(a, b) => zip(self.condition(a, first), self.condition(b, first), |a, b| a || b),
        }
    }
}

fn map<T: Copy, U>(values: [T; BLOCK], f: impl Fn(T) -> U) -> [U; BLOCK] {
    std::array::from_fn(|design| f(values[design]))
}

fn zip<T: Copy, U>(a: [T; BLOCK], b: [T; BLOCK], f: impl Fn(T, T) -> U) -> [U; BLOCK] {
    std::array::from_fn(|design| f(a[design], b[design]))
}
