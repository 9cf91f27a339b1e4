//! A design parameter: an ordered list of allowed values.

use std::fmt;

/// Most values that one parameter may have, so that a rank fits in 16 bits.
pub const MAX_VALUES: usize = 65_535;

/// One allowed value of a parameter.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(untagged, expecting = "a value must be a number, a text or a boolean")]
pub enum Value {
    /// `true` or `false`
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Number(f64),
    /// A name.
    Text(String),
}

impl Value {
    /// The value as a number: 1 and 0 for a boolean, nothing for a text.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Boolean(value) => Some(f64::from(u8::from(*value))),
            Self::Integer(value) => Some(*value as f64),
            Self::Number(value) => Some(*value),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(formatter, "{value}"),
            Self::Integer(value) => write!(formatter, "{value}"),
            Self::Number(value) => write!(formatter, "{value}"),
            Self::Text(value) => write!(formatter, "{value}"),
        }
    }
}

/// Whether the order of a parameter's values means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Neighbours in the list are alike: sizes, counts, widths.
    Ordinal,
    /// Any two values are equally far apart: data flows, algorithms.
    Categorical,
}

impl Kind {
    /// The name that files use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ordinal => "ordinal",
            Self::Categorical => "categorical",
        }
    }
}

/// A design parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name, unique in its space and usable in expressions.
    pub name: String,
    /// Unit of the values, for people; may be empty.
    pub unit: String,
    /// Name of the parameter's column in logs that call it otherwise.
    pub column: Option<String>,
    /// Whether the order of the values means anything.
    pub kind: Kind,
    /// Allowed values; a design holds the rank (position) of one.
    pub values: Vec<Value>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterEntry {
    name: String,
    #[serde(default)]
    unit: String,
    column: Option<String>,
    kind: Option<Kind>,
    values: Vec<Value>,
}

impl ParameterEntry {
    /// Checks the entry; the error is a sentence without the file's name.
    pub(super) fn check(self) -> Result<Parameter, String> {
        let Self { name, unit, column, kind, values } = self;
        if values.is_empty() {
            return Err(format!("parameter `{name}` has no values; list at least one"));
        }
        if values.len() > MAX_VALUES {
            return Err(format!("parameter `{name}` has {} values; at most {MAX_VALUES} fit", values.len()));
        }
        let count = |test: fn(&Value) -> bool| values.iter().filter(|value| test(value)).count();
        let texts = count(|value| matches!(value, Value::Text(_)));
        let booleans = count(|value| matches!(value, Value::Boolean(_)));
        if ![0, values.len()].contains(&texts) || ![0, values.len()].contains(&booleans) {
            return Err(format!(
                "parameter `{name}` mixes numbers, texts and booleans; use one type for all values"
            ));
        }
        let numeric = texts + booleans == 0;
        if let Some(value) =
            values.iter().find(|value| value.number().is_some_and(|number| !number.is_finite()))
        {
            return Err(format!("parameter `{name}` has the value {value}; values must be finite"));
        }
        let kind = kind.unwrap_or(if numeric { Kind::Ordinal } else { Kind::Categorical });
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = values.iter().find(|value| !seen.insert(key(value))) {
            return Err(format!("parameter `{name}` lists the value {twice} twice"));
        }
        if numeric && kind == Kind::Ordinal {
            let falls = |pair: &&[Value]| pair[0].number() > pair[1].number();
            if let Some([first, second]) = values.windows(2).find(falls) {
                return Err(format!(
                    "parameter `{name}` is ordinal but {first} comes before {second}; list its values in increasing order"
                ));
            }
        }
        Ok(Parameter { name, unit, column, kind, values })
    }
}

/// Equal for values that a log could not tell apart: 1 and 1.0.
fn key(value: &Value) -> String {
    match (value, value.number()) {
        (Value::Integer(_) | Value::Number(_), Some(number)) => format!("{:?}", number + 0.0),
        _ => value.to_string(),
    }
}
