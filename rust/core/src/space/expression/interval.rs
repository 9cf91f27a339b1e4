//! Bounds of expressions over many designs at once.
//!
//! Every bound is sound for values as computed: the operations of IEEE 754 are monotone with their rounding, so
//! what holds at the ends of an interval holds in between and nothing needs to be widened, `log2` aside, which
//! libraries round as they like.

use super::{Arithmetic, Comparison, Condition, Function, Number};

/// Share by which a bound of `log2` is moved outwards.
const SLACK: f64 = 1e-12;
/// Quotients below this are whole numbers that `//` finds exactly.
const EXACT: f64 = (1_u64 << 50) as f64;

/// Bounds of a number: any of its values is from `least` to `most`, or is NaN where `nan` says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// No value is below this.
    pub least: f64,
    /// No value is above this.
    pub most: f64,
    /// Whether a value may be NaN.
    pub nan: bool,
}

/// What is known of a condition over many designs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds for every design.
    Always,
    /// It holds for none.
    Never,
    /// It may hold for some and not for others.
    Unknown,
}

/// What an expression knows of a set of designs.
pub trait Ranges {
    /// Bounds of a numeric parameter.
    fn parameter(&self, parameter: usize) -> Interval;
    /// Least and greatest rank of a parameter's value; each in between occurs.
    fn ranks(&self, parameter: usize) -> (usize, usize);
    /// Bounds of a metric.
    fn metric(&self, metric: usize) -> Interval;
}

impl Interval {
    /// Nothing is known.
    pub const ANY: Self = Self { least: f64::NEG_INFINITY, most: f64::INFINITY, nan: true };

    /// One value.
    #[must_use]
    pub fn point(value: f64) -> Self {
        if value.is_nan() { Self::ANY } else { Self { least: value, most: value, nan: false } }
    }

    /// The least interval around some values.
    #[must_use]
    pub fn hull(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            if value.is_nan() {
                return Self::ANY;
            }
            (least, most) = (least.min(value), most.max(value));
        }
        if least > most { Self::ANY } else { Self { least, most, nan: false } }
    }

    fn contains_zero(self) -> bool {
        self.least <= 0.0 && self.most >= 0.0
    }

    fn is_infinite(self) -> bool {
        self.least == f64::NEG_INFINITY || self.most == f64::INFINITY
    }

    #[expect(clippy::float_cmp, reason = "a point has equal ends")]
    fn is_point(self) -> bool {
        self.least == self.most && !self.nan
    }

    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        let (a, b) = (f(self.least), f(self.most));
        Self { least: a.min(b), most: a.max(b), nan: self.nan }
    }

    fn min(self, other: Self) -> Self {
        // A NaN on one side leaves the other.
        let skipped = |nan: bool, left: Self| if nan { left.most } else { f64::NEG_INFINITY };
        let most = self.most.min(other.most).max(skipped(self.nan, other)).max(skipped(other.nan, self));
        Self { least: self.least.min(other.least), most, nan: self.nan && other.nan }
    }

    fn max(self, other: Self) -> Self {
        let skipped = |nan: bool, left: Self| if nan { left.least } else { f64::INFINITY };
        let least = self.least.max(other.least).min(skipped(self.nan, other)).min(skipped(other.nan, self));
        Self { least, most: self.most.max(other.most), nan: self.nan && other.nan }
    }

    fn abs(self) -> Self {
        let most = self.least.abs().max(self.most.abs());
        let least = if self.contains_zero() { 0.0 } else { self.least.abs().min(self.most.abs()) };
        Self { least, most, nan: self.nan }
    }

    fn log2(self) -> Self {
        if self.most < 0.0 {
            return Self::ANY;
        }
        if self.is_point() {
            return Self::point(self.least.log2());
        }
        let (least, most) = (self.least.max(0.0).log2(), self.most.log2());
        let wider = |value: f64| if value.is_finite() { value.abs() * SLACK } else { 0.0 };
        Self { least: least - wider(least), most: most + wider(most), nan: self.nan || self.least < 0.0 }
    }
}

impl Arithmetic {
    fn bounds(self, a: Interval, b: Interval) -> Interval {
        let nan = a.nan || b.nan;
        let corners = || {
            let ends = [(a.least, b.least), (a.least, b.most), (a.most, b.least), (a.most, b.most)];
            let hull = Interval::hull(ends.map(|(a, b)| self.apply(a, b)));
            Interval { nan: nan || hull.nan, ..hull }
        };
        let divides = !b.contains_zero() && !b.is_infinite();
        match self {
            // Opposite infinities add to NaN; a zero times an infinity is NaN, at the ends or in between.
            Self::Add | Self::Subtract if a.is_infinite() && b.is_infinite() => Interval::ANY,
            Self::Multiply
                if a.is_infinite() && b.contains_zero() || b.is_infinite() && a.contains_zero() =>
            {
                Interval::ANY
            }
            Self::Divide | Self::FloorDivide | Self::Modulo if !divides || a.is_infinite() => Interval::ANY,
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide => corners(),
            Self::FloorDivide => {
                // Whole quotients as they are; beyond, rounding decides.
                let hull = corners();
                if hull.least.abs().max(hull.most.abs()) < EXACT { hull } else { Interval::ANY }
            }
            Self::Modulo if a.is_point() && b.is_point() => corners(),
            // The rest has the sign of the divisor, and may round up to it.
            Self::Modulo if b.least > 0.0 && a.least >= 0.0 && a.most < b.least => Interval { nan, ..a },
            Self::Modulo => Interval { least: b.least.min(0.0), most: b.most.max(0.0), nan },
        }
    }
}

impl Number {
    /// Bounds over a set of designs.
    pub fn bounds<R: Ranges>(&self, ranges: &R) -> Interval {
        match self {
            Self::Literal(value) => Interval::point(*value),
            Self::Parameter(parameter) => ranges.parameter(*parameter),
            Self::Metric(metric) => ranges.metric(*metric),
            Self::Negate(a) => a.bounds(ranges).map(|value| -value),
            Self::Arithmetic(operator, a, b) => operator.bounds(a.bounds(ranges), b.bounds(ranges)),
            Self::Call(function, arguments) => {
                let mut all = arguments.iter().map(|argument| argument.bounds(ranges));
                let first = all.next().unwrap_or(Interval::ANY);
                match function {
                    Function::Min => all.fold(first, Interval::min),
                    Function::Max => all.fold(first, Interval::max),
                    Function::Abs => first.abs(),
                    Function::Ceil => first.map(f64::ceil),
                    Function::Floor => first.map(f64::floor),
                    Function::Log2 => first.log2(),
                }
            }
        }
    }
}

impl Truth {
    /// Whether both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::Always, Self::Always) => Self::Always,
            _ => Self::Unknown,
        }
    }

    /// Whether one of the two holds.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Always, _) | (_, Self::Always) => Self::Always,
            (Self::Never, Self::Never) => Self::Never,
            _ => Self::Unknown,
        }
    }

    fn known(always: bool, never: bool) -> Self {
        match (always, never) {
            (_, true) => Self::Never,
            (true, _) => Self::Always,
            _ => Self::Unknown,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::Always => Self::Never,
            Self::Never => Self::Always,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl Condition {
    /// What is known of the condition over a set of designs.
    pub fn truth<R: Ranges>(&self, ranges: &R) -> Truth {
        match self {
            Self::Literal(value) => Truth::known(*value, !*value),
            Self::Rank { parameter, rank, equal } => {
                let (least, most) = ranges.ranks(*parameter);
                let is = Truth::known(least == *rank && most == *rank, *rank < least || *rank > most);
                if *equal { is } else { is.not() }
            }
            Self::Compare(operator, a, b) => operator.truth(a.bounds(ranges), b.bounds(ranges)),
            Self::And(a, b) => a.truth(ranges).and(b.truth(ranges)),
            Self::Or(a, b) => a.truth(ranges).or(b.truth(ranges)),
        }
    }
}

impl Comparison {
    /// What is known of `a op b`, which does not hold where one of them is NaN.
    #[expect(clippy::float_cmp, reason = "equality of listed values is meant exactly")]
    fn truth(self, a: Interval, b: Interval) -> Truth {
        let apart = a.most < b.least || b.most < a.least;
        let equal = a.least == a.most && b.least == b.most && a.least == b.least;
        let (always, never) = match self {
            Self::Less => (a.most < b.least, a.least >= b.most),
            Self::LessEqual => (a.most <= b.least, a.least > b.most),
            Self::Equal => (equal, apart),
            Self::NotEqual => (apart, equal),
        };
        Truth::known(always && !a.nan && !b.nan, never)
    }
}
