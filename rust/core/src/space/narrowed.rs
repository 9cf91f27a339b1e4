//! A space around one design, whose values need not be among those of the space it is made from.

use super::{DesignSpace, Value};
use crate::{Error, Result};

impl DesignSpace {
    /// The same space with each named numeric or boolean parameter reduced to one value, which a number need not
    /// have among its values; metrics and constraints stay as they are. A text must be among its parameter's
    /// values and leaves them as they are, since expressions may name the others. `flags` are boolean parameters
    /// that are added at the end where they are named and the space has none such.
    pub fn narrowed(&self, values: &[(&str, Value)], flags: &[&str]) -> Result<Self> {
        let wrong = |message: String| Error::Configuration(format!("space `{}`: {message}", self.name));
        let mut file: toml::Table =
            toml::from_str(&self.text).map_err(|error| wrong(error.message().to_owned()))?;
        let Some(toml::Value::Array(entries)) = file.get_mut("parameter") else { return Ok(self.clone()) };
        for (position, (name, value)) in values.iter().enumerate() {
            if values[..position].iter().any(|(other, _)| other == name) {
                return Err(wrong(format!("`{name}` is given twice")));
            }
            let known = self.position(name);
            if known.is_none() && !flags.contains(name) {
                let names = || self.parameters.iter().map(|parameter| parameter.name.as_str());
                return Err(wrong(format!(
                    "no parameter `{name}`{}; known: {}",
                    crate::suggest::did_you_mean(name, names().chain(flags.iter().copied())),
                    names().collect::<Vec<_>>().join(", ")
                )));
            }
            let allowed = known.map_or(&[][..], |parameter| &self.parameters[parameter].values);
            let unit = known.map_or("", |parameter| &self.parameters[parameter].unit);
            let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
            let wanted = match (allowed.first(), value) {
                (None | Some(Value::Boolean(_)), Value::Boolean(_)) => None,
                (None | Some(Value::Boolean(_)), _) => Some("true or false".to_owned()),
                (Some(Value::Text(_)), _) if allowed.contains(value) => None,
                (Some(Value::Text(_)), _) => {
                    let texts: Vec<String> = allowed.iter().map(ToString::to_string).collect();
                    Some(format!("one of {}", texts.join(", ")))
                }
                (Some(_), Value::Integer(_)) => None,
                (Some(_), Value::Number(number)) if number.is_finite() => None,
                (Some(_), _) => Some(format!("a finite number{unit}")),
            };
            if let Some(wanted) = wanted {
                return Err(wrong(format!("`{name}` is {value}; it must be {wanted}")));
            }
            let one = match value {
                Value::Text(_) => continue,
                Value::Boolean(value) => (*value).into(),
                Value::Integer(value) => (*value).into(),
                Value::Number(value) => (*value).into(),
            };
            let values = ("values".to_owned(), toml::Value::Array(vec![one]));
            if let Some(entry) = known.and_then(|parameter| entries[parameter].as_table_mut()) {
                entry.extend([values]);
            } else {
                let name = ("name".to_owned(), (*name).into());
                entries.push(toml::Value::Table(toml::Table::from_iter([name, values])));
            }
        }
        let text = toml::to_string(&file).map_err(|error| wrong(error.to_string()))?;
        Self::from_toml(&text, &self.name)
    }
}
