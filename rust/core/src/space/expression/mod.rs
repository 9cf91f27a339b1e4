//! Expressions over design parameters: the language of a space's constraints and metrics.
//!
//! Grammar, from weakest to strongest: `or`, `and`, `not`, one comparison (`<= < >= > == !=`), `+ -`,
//! `* / // %`, unary `-`, then numbers, `true`/`false`, `"text"`, names, parentheses and the functions `min`,
//! `max`, `abs`, `ceil`, `floor`, `log2`. `//` and `%` round towards minus infinity, as in Python; divisions by
//! zero give an infinity or NaN, as in IEEE 754.
//!
//! Parsing also checks types, so evaluation can't fail: an expression is a [`Number`] or a [`Condition`].
//! A comparison with NaN (0/0, say) does not hold, `!=` included. `min` and `max` pass over NaN, and give 0 where
//! they would give -0. `not` is moved inwards to the comparisons, so that neither of `a < b` and `not a < b` holds
//! where one side is NaN.

pub(crate) mod grid;
pub mod interval;
mod parser;

use std::collections::BTreeMap;

use parser::{Typed, located, parse};

/// An expression with a numeric value.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// A literal, or a constant of the space.
    Literal(f64),
    /// The value of a numeric parameter, by its position.
    Parameter(usize),
    /// The value of an earlier metric, by its position.
    Metric(usize),
    /// `-a`
    Negate(Box<Number>),
    /// `a op b`
    Arithmetic(Arithmetic, Box<Number>, Box<Number>),
    /// `f(a, ...)`
    Call(Function, Vec<Number>),
}

/// An expression that holds or doesn't.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// `true` or `false`
    Literal(bool),
    /// `parameter == "text"`, or a boolean parameter by itself: the parameter's rank is (or is not) this one.
    Rank {
        /// Position of the parameter.
        parameter: usize,
        /// Rank of the text, or of `true`, among its values.
        rank: usize,
        /// `==` or `!=`.
        equal: bool,
    },
    /// `a op b`
    Compare(Comparison, Number, Number),
    /// `a and b`
    And(Box<Condition>, Box<Condition>),
    /// `a or b`
    Or(Box<Condition>, Box<Condition>),
}

/// Arithmetic operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `//`
    FloorDivide,
    /// `%`
    Modulo,
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// Functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Least of its arguments.
    Min,
    /// Greatest of its arguments.
    Max,
    /// Magnitude.
    Abs,
    /// Round up.
    Ceil,
    /// Round down.
    Floor,
    /// Binary logarithm.
    Log2,
}

/// What a name stands for while an expression is parsed.
#[derive(Debug, Clone)]
pub enum Meaning {
    /// A parameter with numbers as values.
    NumericParameter(usize),
    /// A condition: a parameter with `true` and `false` as values.
    Condition(Condition),
    /// A parameter with texts as values.
    TextParameter(usize, Vec<String>),
    /// A constant, or a metric defined earlier.
    Number(Number),
}

/// The names an expression may use.
pub type Names = BTreeMap<String, Meaning>;

/// Words of the language that no name can be.
const KEYWORDS: [&str; 5] = ["and", "or", "not", "true", "false"];

/// Gives a name a meaning; the error says why it can't have it.
pub fn define(names: &mut Names, name: &str, meaning: Meaning) -> Result<(), String> {
    let word = name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_');
    if !word || name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(format!(
            "the name `{name}` is not a word of letters, digits and `_` that starts with no digit"
        ));
    }
    if KEYWORDS.contains(&name) {
        return Err(format!("the name `{name}` is a word of the expressions; choose another"));
    }
    match names.insert(name.to_owned(), meaning) {
        Some(_) => Err(format!("the name `{name}` stands for two things; rename one")),
        None => Ok(()),
    }
}

/// Values of a design's parameters as an expression sees them.
pub trait Values {
    /// Numeric value of a parameter (1 and 0 for a boolean one).
    fn value(&self, parameter: usize) -> f64;
    /// Rank of a parameter's value.
    fn rank(&self, parameter: usize) -> usize;
    /// Value of a metric.
    fn metric(&self, metric: usize) -> f64;
}

impl Number {
    /// Parses a numeric expression; the error says where and what is wrong.
    pub fn parse(text: &str, names: &Names) -> Result<Self, String> {
        match parse(text, names)? {
            Typed::Number(number) => Ok(number),
            other => Err(located(text, 0, &format!("this is {}; a metric needs a number", other.describe()))),
        }
    }

    /// Calls `f` with every literal, parameter and metric of the expression.
    pub fn leaves(&self, f: &mut impl FnMut(&Self)) {
        match self {
            Self::Literal(_) | Self::Parameter(_) | Self::Metric(_) => f(self),
            Self::Negate(a) => a.leaves(f),
            Self::Arithmetic(_, a, b) => {
                a.leaves(f);
                b.leaves(f);
            }
            Self::Call(_, arguments) => arguments.iter().for_each(|argument| argument.leaves(f)),
        }
    }

    /// Value for one design.
    pub fn evaluate<V: Values>(&self, values: &V) -> f64 {
        match self {
            Self::Literal(value) => *value,
            Self::Parameter(parameter) => values.value(*parameter),
            Self::Metric(metric) => values.metric(*metric),
            Self::Negate(a) => -a.evaluate(values),
            Self::Arithmetic(operator, a, b) => operator.apply(a.evaluate(values), b.evaluate(values)),
            Self::Call(function, arguments) => {
                let mut all = arguments.iter().map(|argument| argument.evaluate(values));
                let first = all.next().unwrap_or(f64::NAN);
                match function {
                    Function::Min => all.fold(first, least),
                    Function::Max => all.fold(first, most),
                    Function::Abs => first.abs(),
                    Function::Ceil => first.ceil(),
                    Function::Floor => first.floor(),
                    Function::Log2 => first.log2(),
                }
            }
        }
    }
}

impl Arithmetic {
    pub(super) fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::FloorDivide if b == 0.0 => a / b,
            Self::FloorDivide => divide_with_rest(a, b).0,
            Self::Modulo => divide_with_rest(a, b).1,
        }
    }
}

/// The lesser number. Of which sign it is if both are zeros IEEE 754 leaves open, and with it what it divides: it
/// is 0, however the loop is compiled.
#[inline]
pub(super) fn least(a: f64, b: f64) -> f64 {
    a.min(b) + 0.0
}

/// The greater number, of zeros as for [`least`].
#[inline]
pub(super) fn most(a: f64, b: f64) -> f64 {
    a.max(b) + 0.0
}

/// Quotient rounded towards minus infinity, and the rest, which has the sign of `b`.
fn divide_with_rest(a: f64, b: f64) -> (f64, f64) {
    // Not from the rounded quotient: 1 / 0.1 is 10, though 0.1 as stored goes into 1 nine times.
    let rest = a % b;
    let quotient = ((a - rest) / b).round();
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) { (quotient - 1.0, rest + b) } else { (quotient, rest) }
}

impl Condition {
    /// Parses a condition; the error says where and what is wrong.
    pub fn parse(text: &str, names: &Names) -> Result<Self, String> {
        match parse(text, names)? {
            Typed::Condition(condition) => Ok(condition),
            other => {
                let what = other.describe();
                let message = format!("this is {what}; a constraint needs a comparison such as a <= b");
                Err(located(text, 0, &message))
            }
        }
    }

    /// Whether the condition holds for a design.
    pub fn holds<V: Values>(&self, values: &V) -> bool {
        match self {
            Self::Literal(value) => *value,
            Self::Rank { parameter, rank, equal } => (values.rank(*parameter) == *rank) == *equal,
            Self::Compare(operator, a, b) => operator.holds(a.evaluate(values), b.evaluate(values)),
            Self::And(a, b) => a.holds(values) && b.holds(values),
            Self::Or(a, b) => a.holds(values) || b.holds(values),
        }
    }

    /// How far a design is from meeting the condition: 0 when it holds, else positive. A comparison counts its
    /// gap relative to the larger side, `and` adds, `or` takes the smaller; what has no scale counts 1.
    pub fn violation<V: Values>(&self, values: &V) -> f64 {
        match self {
            Self::And(a, b) => a.violation(values) + b.violation(values),
            Self::Or(a, b) => a.violation(values).min(b.violation(values)),
            Self::Compare(operator, a, b) => operator.gap(a.evaluate(values), b.evaluate(values)),
            _ => f64::from(u8::from(!self.holds(values))),
        }
    }

    /// Calls `f` with every literal, parameter and metric of the numbers that the condition compares.
    pub fn leaves(&self, f: &mut impl FnMut(&Number)) {
        match self {
            Self::Literal(_) | Self::Rank { .. } => {}
            Self::Compare(_, a, b) => {
                a.leaves(f);
                b.leaves(f);
            }
            Self::And(a, b) | Self::Or(a, b) => {
                a.leaves(f);
                b.leaves(f);
            }
        }
    }

    /// Calls `f` with every parameter whose rank the condition asks for.
    pub fn ranked(&self, f: &mut impl FnMut(usize)) {
        match self {
            Self::Rank { parameter, .. } => f(*parameter),
            Self::Literal(_) | Self::Compare(..) => {}
            Self::And(a, b) | Self::Or(a, b) => {
                a.ranked(f);
                b.ranked(f);
            }
        }
    }

    fn negated(self) -> Self {
        match self {
            Self::Literal(value) => Self::Literal(!value),
            Self::Rank { parameter, rank, equal } => Self::Rank { parameter, rank, equal: !equal },
            Self::Compare(operator, a, b) => match operator {
                Comparison::Less => Self::Compare(Comparison::LessEqual, b, a),
                Comparison::LessEqual => Self::Compare(Comparison::Less, b, a),
                Comparison::Equal => Self::Compare(Comparison::NotEqual, a, b),
                Comparison::NotEqual => Self::Compare(Comparison::Equal, a, b),
            },
            Self::And(a, b) => Self::Or(Box::new(a.negated()), Box::new(b.negated())),
            Self::Or(a, b) => Self::And(Box::new(a.negated()), Box::new(b.negated())),
        }
    }
}

impl Comparison {
    #[expect(clippy::float_cmp, reason = "equality of listed values is meant exactly")]
    pub(super) fn holds(self, a: f64, b: f64) -> bool {
        match self {
            Self::Less => a < b,
            Self::LessEqual => a <= b,
            Self::Equal => a == b,
            Self::NotEqual => a != b && !a.is_nan() && !b.is_nan(),
        }
    }

    /// How far the numbers are from comparing so, relative to the larger one.
    pub(super) fn gap(self, a: f64, b: f64) -> f64 {
        if self.holds(a, b) {
            return 0.0;
        }
        let gap = (a - b).abs() / a.abs().max(b.abs());
        // Zero is a strict comparison of equals: broken, by the least amount.
        if self != Self::NotEqual && gap.is_finite() { gap.max(f64::EPSILON) } else { 1.0 }
    }
}
