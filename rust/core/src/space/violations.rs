//! Known violations of many designs at once: the constraints and limits as a list of operations, each of which runs
//! over a block of designs, with the same rounding as for one design.

use multiversion::multiversion;

use super::expression::{Arithmetic, Comparison, Condition, Function, Number, least, most};
use super::{DesignSpace, excess};

/// Designs that an operation runs over at a time: enough to hide what it costs to come to the operation.
const BLOCK: usize = 32;

/// Constraints of a space and upper limits on its metrics, prepared for [`Violations::of`].
#[derive(Debug, Clone)]
pub struct Violations {
    operations: Vec<Operation>,
    /// Operations whose values add up, in order.
    terms: Vec<usize>,
}

/// What makes a number of each design; operands are earlier operations, by position.
#[derive(Debug, Clone, PartialEq)]
enum Operation {
    /// The bits of a number: 0 and -0 differ.
    Literal(u64),
    /// The value of a parameter.
    Parameter(usize),
    /// The value of a metric that has a table.
    Table(usize),
    Negate(usize),
    Arithmetic(Arithmetic, usize, usize),
    /// A function's value of one number, or of two.
    One(Function, usize),
    Two(Function, usize, usize),
    /// 0 where a parameter has a rank, or has another, else 1.
    Rank {
        parameter: usize,
        rank: usize,
        equal: bool,
    },
    /// How far two numbers are from comparing so.
    Gap(Comparison, usize, usize),
    /// By how much of it a number is above a limit.
    Excess(usize, f64),
}

impl Violations {
    /// Those of the constraints of `space` and of limits on metrics, given by position.
    #[must_use]
    pub fn new(space: &DesignSpace, limits: &[(usize, f64)]) -> Self {
        let mut this = Self { operations: Vec::new(), terms: Vec::new() };
        for constraint in &space.constraints {
            let term = this.condition(space, &constraint.condition);
            this.terms.push(term);
        }
        for &(metric, limit) in limits {
            let value = this.number(space, &Number::Metric(metric));
            let term = this.add(Operation::Excess(value, limit));
            this.terms.push(term);
        }
        this
    }

    /// Adds an operation, unless there is one like it.
    fn add(&mut self, operation: Operation) -> usize {
        self.operations.iter().position(|known| *known == operation).unwrap_or_else(|| {
            self.operations.push(operation);
            self.operations.len() - 1
        })
    }

    fn number(&mut self, space: &DesignSpace, number: &Number) -> usize {
        let operation = match number {
            Number::Literal(value) => Operation::Literal(value.to_bits()),
            Number::Parameter(parameter) => Operation::Parameter(*parameter),
            Number::Metric(metric) if space.metrics[*metric].table.is_some() => Operation::Table(*metric),
            Number::Metric(metric) => return self.number(space, &space.metrics[*metric].expression),
            Number::Negate(a) => Operation::Negate(self.number(space, a)),
            Number::Arithmetic(operator, a, b) => {
                Operation::Arithmetic(*operator, self.number(space, a), self.number(space, b))
            }
            Number::Call(function @ (Function::Min | Function::Max), arguments) => {
                let all: Vec<usize> = arguments.iter().map(|argument| self.number(space, argument)).collect();
                let both = |a, b| self.add(Operation::Two(*function, a, b));
                return all
                    .into_iter()
                    .reduce(both)
                    .unwrap_or_else(|| self.add(Operation::Literal(f64::NAN.to_bits())));
            }
            Number::Call(function, arguments) => {
                let one = arguments.first().map(|argument| self.number(space, argument));
                one.map_or(Operation::Literal(f64::NAN.to_bits()), |one| Operation::One(*function, one))
            }
        };
        self.add(operation)
    }

    /// How far designs are from meeting a condition.
    fn condition(&mut self, space: &DesignSpace, condition: &Condition) -> usize {
        let operation = match condition {
            Condition::Literal(holds) => Operation::Literal(f64::from(u8::from(!holds)).to_bits()),
            Condition::Rank { parameter, rank, equal } => {
                Operation::Rank { parameter: *parameter, rank: *rank, equal: *equal }
            }
            Condition::Compare(comparison, a, b) => {
                Operation::Gap(*comparison, self.number(space, a), self.number(space, b))
            }
            Condition::And(a, b) => {
                Operation::Arithmetic(Arithmetic::Add, self.condition(space, a), self.condition(space, b))
            }
            Condition::Or(a, b) => {
                Operation::Two(Function::Min, self.condition(space, a), self.condition(space, b))
            }
        };
        self.add(operation)
    }

    /// Whether there are none, so that every design meets them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// [`DesignSpace::violation`] of each design. `columns` are ranks within range, those of the first parameter,
    /// then those of the next.
    pub fn of(&self, space: &DesignSpace, columns: &[u16], violations: &mut [f64]) {
        violations.fill(0.0);
        if !self.is_empty() {
            run(self, space, columns, violations);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2", "x86_64+avx2+bmi1+bmi2"))]
fn run(this: &Violations, space: &DesignSpace, columns: &[u16], violations: &mut [f64]) {
    let mut values = vec![[0.0; BLOCK]; this.operations.len()];
    let designs = violations.len();
    for first in (0..designs).step_by(BLOCK) {
        let n = BLOCK.min(designs - first);
        // Beyond the last design anything.
        let ranks = |parameter: usize| {
            let rest = &columns[parameter * designs + first..];
            rest.first_chunk().copied().unwrap_or_else(|| {
                let mut ranks = [0_u16; BLOCK];
                ranks[..n].copy_from_slice(&rest[..n]);
                ranks
            })
        };
        for (position, operation) in this.operations.iter().enumerate() {
            let (known, rest) = values.split_at_mut(position);
            let Some(out) = rest.first_mut() else { break };
            match *operation {
                Operation::Literal(value) => {
                    if first == 0 {
                        out.fill(f64::from_bits(value));
                    }
                }
                Operation::Parameter(parameter) => {
                    let numbers = space.numbers(parameter);
                    let last = numbers.len() - 1;
                    map(&ranks(parameter), out, |rank| numbers[usize::from(rank).min(last)]);
                }
                Operation::Table(metric) => {
                    let Some(table) = &space.metrics[metric].table else { continue };
                    // A table has at most 2^14 values: any processor multiplies vectors of such small numbers.
                    let mut positions = [0_u16; BLOCK];
                    for &(parameter, weight) in &table.digits {
                        for (position, rank) in positions.iter_mut().zip(ranks(parameter)) {
                            *position = position.wrapping_add(rank.wrapping_mul(weight as u16));
                        }
                    }
                    let last = table.values.len() - 1;
                    map(&positions, out, |position| table.values[usize::from(position).min(last)]);
                }
                Operation::Negate(a) => map(&known[a], out, |a| -a),
                Operation::Arithmetic(operator, a, b) => {
                    let (a, b) = (&known[a], &known[b]);
                    match operator {
                        // One loop for each of those that are vector instructions.
                        Arithmetic::Add => zip(a, b, out, |a, b| a + b),
                        Arithmetic::Subtract => zip(a, b, out, |a, b| a - b),
                        Arithmetic::Multiply => zip(a, b, out, |a, b| a * b),
                        Arithmetic::Divide => zip(a, b, out, |a, b| a / b),
                        Arithmetic::FloorDivide | Arithmetic::Modulo => {
                            zip(a, b, out, |a, b| operator.apply(a, b));
                        }
                    }
                }
                Operation::One(function, a) => match function {
                    Function::Abs => map(&known[a], out, f64::abs),
                    Function::Ceil => map(&known[a], out, f64::ceil),
                    Function::Floor => map(&known[a], out, f64::floor),
                    Function::Log2 => map(&known[a], out, f64::log2),
                    Function::Min | Function::Max => *out = known[a],
                },
                Operation::Two(Function::Min, a, b) => zip(&known[a], &known[b], out, least),
                Operation::Two(_, a, b) => zip(&known[a], &known[b], out, most),
                Operation::Rank { parameter, rank, equal } => {
                    map(&ranks(parameter), out, |one| {
                        f64::from(u8::from((usize::from(one) == rank) != equal))
                    });
                }
                Operation::Gap(comparison, a, b) => {
                    let (a, b) = (&known[a], &known[b]);
                    match comparison {
                        Comparison::Less => zip(a, b, out, |a, b| Comparison::Less.gap(a, b)),
                        Comparison::LessEqual => zip(a, b, out, |a, b| Comparison::LessEqual.gap(a, b)),
                        other => zip(a, b, out, |a, b| other.gap(a, b)),
                    }
                }
                Operation::Excess(a, limit) => map(&known[a], out, |a| excess(a, limit)),
            }
        }
        for &term in &this.terms {
            violations[first..].iter_mut().zip(&values[term]).for_each(|(total, value)| *total += value);
        }
    }
}

#[inline]
fn map<T: Copy>(values: &[T; BLOCK], out: &mut [f64; BLOCK], f: impl Fn(T) -> f64) {
    for (out, &value) in out.iter_mut().zip(values) {
        *out = f(value);
    }
}

#[inline]
fn zip(a: &[f64; BLOCK], b: &[f64; BLOCK], out: &mut [f64; BLOCK], f: impl Fn(f64, f64) -> f64) {
    for (out, (&a, &b)) in out.iter_mut().zip(a.iter().zip(b)) {
        *out = f(a, b);
    }
}
