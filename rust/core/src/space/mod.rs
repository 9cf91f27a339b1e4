//! Discrete design spaces: parameters, the codec between ranks and one index, constraints and metrics.
//!
//! A design is a row of ranks, one a parameter: the position of its value in the parameter's list. The index of
//! a design is the mixed-radix number with the ranks as digits, the first parameter the most significant; it
//! runs from 0 to `size - 1` and names every design once.

mod batch;
mod codec;
mod count;
pub mod expression;
mod narrowed;
mod parameter;
mod region;
mod violations;

pub use batch::Batch;
pub use codec::Rank;
pub use parameter::{Kind, MAX_VALUES, Parameter, Value};
pub use region::{Conditions, Region};
pub use violations::Violations;

use crate::{Error, Result};
use expression::{Comparison, Condition, Meaning, Names, Number, Values, define};
use parameter::ParameterEntry;

/// Design spaces that ship with the crate: name and TOML text.
const BUNDLED: [(&str, &str); 2] = [
    ("prime", include_str!("../../data/spaces/prime.toml")),
    ("gemmini", include_str!("../../data/spaces/gemmini.toml")),
];

/// Most parameters of a space.
pub const MAX_PARAMETERS: usize = 64;
/// Most metrics of a space.
pub const MAX_METRICS: usize = 64;
/// Most entries of a metric's table: 128 KiB, so that a few stay in the second-level cache.
const MAX_TABLE: usize = 1 << 14;

/// A named numeric property of a design that follows from its parameters alone, such as area.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Name, usable in later metrics, constraints and limits.
    pub name: String,
    /// Unit, for people; may be empty.
    pub unit: String,
    expression: Number,
    /// Positions of the parameters that decide it, in order.
    parameters: Vec<usize>,
    /// Its values, where the parameters that decide it have few enough combinations.
    table: Option<Table>,
    /// Positions of this metric and of those it is made of, in order, without those that have a table.
    needs: Vec<usize>,
}

/// A metric's value for every combination of the parameters that decide it.
#[derive(Debug, Clone, PartialEq)]
struct Table {
    /// Parameters with their weights in the position of a value.
    digits: Vec<(usize, usize)>,
    values: Vec<f64>,
}

impl Table {
    fn get<R: Rank>(&self, ranks: &[R]) -> f64 {
        self.values
            [self.digits.iter().map(|&(parameter, weight)| ranks[parameter].get() * weight).sum::<usize>()]
    }
}

/// A named condition that a buildable design meets.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    /// Name, reported for designs that break it.
    pub name: String,
    /// The condition as written.
    pub text: String,
    condition: Condition,
}

/// A discrete design space.
#[derive(Debug, Clone, PartialEq)]
pub struct DesignSpace {
    name: String,
    title: String,
    text: String,
    parameters: Vec<Parameter>,
    metrics: Vec<Metric>,
    constraints: Vec<Constraint>,
    cardinalities: Vec<usize>,
    strides: Vec<u64>,
    size: u128,
    numbers: Vec<Vec<f64>>,
    /// Positions of the metrics that constraints are made of, in order.
    needs: Vec<usize>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SpaceFile {
    name: String,
    #[serde(default)]
    title: String,
    #[serde(default, rename = "parameter")]
    parameters: Vec<ParameterEntry>,
    #[serde(default)]
    constants: std::collections::BTreeMap<String, f64>,
    #[serde(default, rename = "metric")]
    metrics: Vec<MetricEntry>,
    #[serde(default, rename = "constraint")]
    constraints: Vec<ConstraintEntry>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricEntry {
    name: String,
    #[serde(default)]
    unit: String,
    expression: toml::Spanned<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstraintEntry {
    name: String,
    expression: toml::Spanned<String>,
}

/// One design, as expressions see it: its ranks and the metrics worked out so far.
struct Design<'a, R> {
    space: &'a DesignSpace,
    ranks: &'a [R],
    metrics: [f64; MAX_METRICS],
}

impl<R: Rank> Values for Design<'_, R> {
    fn value(&self, parameter: usize) -> f64 {
        self.space.numbers[parameter][self.ranks[parameter].get()]
    }

    fn rank(&self, parameter: usize) -> usize {
        self.ranks[parameter].get()
    }

    fn metric(&self, metric: usize) -> f64 {
        match &self.space.metrics[metric].table {
            Some(table) => table.get(self.ranks),
            None => self.metrics[metric],
        }
    }
}

impl DesignSpace {
    /// Names of the spaces that ship with the crate.
    pub fn bundled_names() -> impl Iterator<Item = &'static str> {
        BUNDLED.iter().map(|(name, _)| *name)
    }

    /// A space that ships with the crate.
    pub fn bundled(name: &str) -> Result<Self> {
        let Some((_, text)) = BUNDLED.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = Self::bundled_names().collect();
            return Err(Error::Configuration(format!(
                "unknown design space `{name}`{}; bundled: {}",
                crate::suggest::did_you_mean(name, known.iter().copied()),
                known.join(", ")
            )));
        };
        Self::from_toml(text, name)
    }

    /// Reads a space from TOML text; `origin` (a file's name) starts every error.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let wrong = |message: String| Error::Configuration(format!("{origin}: {message}"));
        let line = |at: usize| format!("line {}: ", text[..at.min(text.len())].matches('\n').count() + 1);
        let file: SpaceFile = toml::from_str(text).map_err(|error| {
            let place = error.span().map_or_else(String::new, |span| line(span.start));
            wrong(format!("{place}{}", error.message().trim()))
        })?;
        if file.parameters.is_empty() {
            return Err(wrong("the space has no parameters; add at least one [[parameter]]".into()));
        }
        if file.parameters.len() > MAX_PARAMETERS {
            return Err(wrong(format!(
                "the space has {} parameters; at most {MAX_PARAMETERS} are supported",
                file.parameters.len()
            )));
        }
        let checked = file.parameters.into_iter().map(|entry| entry.check().map_err(wrong));
        let parameters = checked.collect::<Result<Vec<_>>>()?;

        let column =
            |parameter: &Parameter| parameter.column.clone().unwrap_or_else(|| parameter.name.clone());
        for (position, parameter) in parameters.iter().enumerate() {
            if let Some(other) =
                parameters[..position].iter().find(|other| column(other) == column(parameter))
            {
                return Err(wrong(format!(
                    "parameters `{}` and `{}` have the same column `{}`; give each its own",
                    other.name,
                    parameter.name,
                    column(parameter)
                )));
            }
        }

        let mut names = Names::new();
        for (position, parameter) in parameters.iter().enumerate() {
            define(&mut names, &parameter.name, meaning(parameter, position)).map_err(wrong)?;
        }
        for (name, value) in file.constants {
            if !value.is_finite() {
                return Err(wrong(format!("constant `{name}` is {value}; it must be finite")));
            }
            define(&mut names, &name, Meaning::Number(Number::Literal(value))).map_err(wrong)?;
        }
        if file.metrics.len() > MAX_METRICS {
            return Err(wrong(format!(
                "the space has {} metrics; at most {MAX_METRICS} are supported",
                file.metrics.len()
            )));
        }
        let mut metrics: Vec<Metric> = Vec::new();
        for MetricEntry { name, unit, expression } in file.metrics {
            let place = line(expression.span().start);
            let expression = Number::parse(expression.get_ref(), &names)
                .map_err(|message| wrong(format!("{place}metric `{name}`: {message}")))?;
            let position = metrics.len();
            define(&mut names, &name, Meaning::Number(Number::Metric(position))).map_err(wrong)?;
            metrics.push(Metric { name, unit, expression, parameters: vec![], table: None, needs: vec![] });
        }
        let mut constraints: Vec<Constraint> = Vec::new();
        for ConstraintEntry { name, expression } in file.constraints {
            if constraints.iter().any(|other| other.name == name) {
                return Err(wrong(format!("two constraints are called `{name}`; rename one")));
            }
            let place = line(expression.span().start);
            let text = expression.into_inner();
            let condition = Condition::parse(&text, &names)
                .map_err(|message| wrong(format!("{place}constraint `{name}`: {message}")))?;
            constraints.push(Constraint { name, text, condition });
        }

        let cardinalities: Vec<usize> = parameters.iter().map(|parameter| parameter.values.len()).collect();
        let (strides, size) = codec::strides(&cardinalities).ok_or_else(|| {
            wrong("the space has more than 2^64 designs; remove values or parameters".to_owned())
        })?;
        let numbers = parameters
            .iter()
            .map(|parameter| {
                let number = |(rank, value): (usize, &Value)| value.number().unwrap_or(rank as f64);
                parameter.values.iter().enumerate().map(number).collect()
            })
            .collect();
        let mut space = Self {
            name: file.name,
            title: file.title,
            text: text.to_owned(),
            parameters,
            metrics,
            constraints,
            cardinalities,
            strides,
            size,
            numbers,
            needs: vec![],
        };
        space.prepare();
        Ok(space)
    }

    /// Works out what each metric and the constraints depend on, and tabulates what few parameters decide.
    fn prepare(&mut self) {
        for position in 0..self.metrics.len() {
            let (mut parameters, mut needs) = (Vec::new(), vec![position]);
            self.metrics[position].expression.leaves(&mut |leaf| match leaf {
                Number::Parameter(parameter) => parameters.push(*parameter),
                Number::Metric(metric) => {
                    parameters.extend(&self.metrics[*metric].parameters);
                    needs.extend(&self.metrics[*metric].needs);
                }
                _ => {}
            });
            sort_unique(&mut parameters);
            sort_unique(&mut needs);
            let table = self.tabulate(position, &parameters, &needs);
            let metric = &mut self.metrics[position];
            metric.needs = if table.is_some() { vec![] } else { needs };
            (metric.parameters, metric.table) = (parameters, table);
        }
        let mut needs = Vec::new();
        for constraint in &self.constraints {
            constraint.condition.leaves(&mut |leaf| {
                if let Number::Metric(metric) = leaf {
                    needs.extend(&self.metrics[*metric].needs);
                }
            });
        }
        sort_unique(&mut needs);
        self.needs = needs;
    }

    fn tabulate(&self, metric: usize, parameters: &[usize], needs: &[usize]) -> Option<Table> {
        let (mut digits, mut size) = (Vec::with_capacity(parameters.len()), 1_usize);
        for &parameter in parameters {
            digits.push((parameter, size));
            size = size.checked_mul(self.cardinalities[parameter]).filter(|&size| size <= MAX_TABLE)?;
        }
        let mut ranks = vec![0_u16; self.dimensions()];
        let value = |position: usize| {
            for &(parameter, weight) in &digits {
                ranks[parameter] = u16::put(position / weight % self.cardinalities[parameter]);
            }
            self.design(&ranks, needs).metrics[metric]
        };
        let values = (0..size).map(value).collect();
        Some(Table { digits, values })
    }

    /// Name of the space.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One line on what the space is; may be empty.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The TOML text the space was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parameters, in order.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The metrics, in order.
    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The constraints, in the order in which they are checked.
    #[must_use]
    pub fn constraints(&self) -> &[Constraint] {
        &self.constraints
    }

    /// Number of parameters.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.parameters.len()
    }

    /// Number of values of each parameter.
    #[must_use]
    pub fn cardinalities(&self) -> &[usize] {
        &self.cardinalities
    }

    /// Number of designs, at most 2^64.
    #[must_use]
    pub fn size(&self) -> u128 {
        self.size
    }

    /// Numeric value of each rank of a parameter; a text counts its rank.
    #[must_use]
    pub fn numbers(&self, parameter: usize) -> &[f64] {
        &self.numbers[parameter]
    }

    /// Position of the parameter of that name.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.parameters.iter().position(|parameter| parameter.name == name)
    }

    /// Position of the metric of that name; the error lists those there are.
    pub fn metric_position(&self, name: &str) -> Result<usize> {
        self.metrics.iter().position(|metric| metric.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.metrics.iter().map(|metric| metric.name.as_str()).collect();
            let hint = crate::suggest::did_you_mean(name, known.iter().copied());
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Error::Configuration(format!(
                "space `{}` has no metric `{name}`{hint}; known: {known}",
                self.name
            ))
        })
    }

    /// One design with some metrics worked out.
    fn design<'a, R: Rank>(&'a self, ranks: &'a [R], needs: &[usize]) -> Design<'a, R> {
        let mut design = Design { space: self, ranks, metrics: [f64::NAN; MAX_METRICS] };
        for &metric in needs {
            design.metrics[metric] = self.metrics[metric].expression.evaluate(&design);
        }
        design
    }

    /// Value of a metric for one design, given by ranks within range.
    #[must_use]
    pub fn metric<R: Rank>(&self, position: usize, ranks: &[R]) -> f64 {
        self.design(ranks, &self.metrics[position].needs).metric(position)
    }

    /// The first constraint that one design breaks, if any.
    #[must_use]
    pub fn check<R: Rank>(&self, ranks: &[R]) -> Option<usize> {
        let design = self.design(ranks, &self.needs);
        self.constraints.iter().position(|constraint| !constraint.condition.holds(&design))
    }

    /// Whether one design meets a constraint, given by position.
    #[must_use]
    pub fn meets<R: Rank>(&self, constraint: usize, ranks: &[R]) -> bool {
        self.constraints[constraint].condition.holds(&self.design(ranks, &self.needs))
    }

    /// Both sides of a constraint for one design, the one that must not be the greater first, where the constraint
    /// is one such comparison.
    #[must_use]
    pub fn sides<R: Rank>(&self, constraint: usize, ranks: &[R]) -> Option<(f64, f64)> {
        let design = self.design(ranks, &self.needs);
        match &self.constraints[constraint].condition {
            Condition::Compare(Comparison::Less | Comparison::LessEqual, a, b) => {
                Some((a.evaluate(&design), b.evaluate(&design)))
            }
            _ => None,
        }
    }

    /// How far one design is from meeting all constraints and upper limits on metrics, given by position: 0
    /// when it meets them (see [`Condition::violation`]); the excess over a limit counts relative to it.
    #[must_use]
    pub fn violation<R: Rank>(&self, ranks: &[R], limits: &[(usize, f64)]) -> f64 {
        let mut design = self.design(ranks, &self.needs);
        let mut total: f64 = self.constraints.iter().map(|one| one.condition.violation(&design)).sum();
        for &(position, limit) in limits {
            for &metric in &self.metrics[position].needs {
                if design.metrics[metric].is_nan() {
                    design.metrics[metric] = self.metrics[metric].expression.evaluate(&design);
                }
            }
            total += excess(design.metric(position), limit);
        }
        total
    }
}

/// By how much of the limit a value is above it.
fn excess(value: f64, limit: f64) -> f64 {
    if value <= limit {
        return 0.0;
    }
    // NaN is no proof of keeping the limit, and rounding must not make the least excess none.
    let excess = value / limit - 1.0;
    if excess.is_finite() { excess.max(f64::EPSILON) } else { 1.0 }
}

fn sort_unique(positions: &mut Vec<usize>) {
    positions.sort_unstable();
    positions.dedup();
}

fn meaning(parameter: &Parameter, position: usize) -> Meaning {
    let texts: Vec<String> = parameter.values.iter().map(ToString::to_string).collect();
    match parameter.values.first() {
        Some(Value::Text(_)) => Meaning::TextParameter(position, texts),
        Some(Value::Boolean(_)) => {
            let holds = |value: &Value| *value == Value::Boolean(true);
            Meaning::Condition(match parameter.values.iter().position(holds) {
                Some(rank) => Condition::Rank { parameter: position, rank, equal: true },
                None => Condition::Literal(false),
            })
        }
        _ => Meaning::NumericParameter(position),
    }
}
