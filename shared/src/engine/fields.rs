//! The fields of a call, from an event, a body or a query string: read by name, and nothing unknown is passed over.

use jiff::Timestamp;
use serde_json::{Map, Number, Value};

use crate::domain::FieldError;

/// A call that cannot be understood: the field, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRequest(pub String);

impl From<FieldError> for BadRequest {
    fn from(error: FieldError) -> Self {
        Self(format!("{} {}", error.field, error.reason))
    }
}

/// The last whole number that a float holds exactly.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A whole number; in JSON `5.0` and `5e0` are one, too.
pub fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT_MAX)?;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and no larger than EXACT_MAX")]
        Some(float as i64)
    })
}

/// The fields of one call, taken one after the other.
#[derive(Debug, Clone, Default)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Takes the fields of a JSON object.
    pub fn new(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    /// Adds a field that is known already; a call that says otherwise is refused.
    pub fn say(&mut self, name: &str, value: &str) -> Result<(), BadRequest> {
        match self.0.insert(name.to_owned(), Value::String(value.to_owned())) {
            Some(other) if other != value => Err(BadRequest(format!("{name} is {value} here"))),
            Some(_) | None => Ok(()),
        }
    }

    /// A field as it is; `null` counts as absent.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, BadRequest> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(BadRequest(format!("{name} must be a text")))
            }
        }
    }

    /// A text that becomes a type; its error completes the sentence that the field's name begins.
    pub fn parsed<T: std::str::FromStr<Err = String>>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, BadRequest> {
        self.text(name)?
            .map(|text| text.parse().map_err(|error| BadRequest(format!("{name} {error}"))))
            .transpose()
    }

    /// A whole number between two bounds, written as a number or, as query strings do, as a text.
    pub fn number(&mut self, name: &str, least: u32, most: u32) -> Result<Option<u32>, BadRequest> {
        let text = match self.take(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) => {
                whole(&number).map(|number| number.to_string()).unwrap_or_default()
            }
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => String::new(),
        };
        match text.parse::<u32>() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(BadRequest(format!("{name} must be a whole number from {least} to {most}"))),
        }
    }

    /// A time in RFC 3339.
    pub fn time(&mut self, name: &str) -> Result<Option<Timestamp>, BadRequest> {
        let wrong = || BadRequest(format!("{name} must be an RFC 3339 time, such as 2026-03-01T14:30:00Z"));
        self.text(name)?.map(|text| text.parse().map_err(|_| wrong())).transpose()
    }

    /// The end of reading: what is left is unknown, and refused by name. `known` is what there is.
    pub fn finish(self, known: &[&str]) -> Result<(), BadRequest> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => {
                let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
                Err(BadRequest(format!(
                    "{name} is no field of this call: the fields are {}",
                    known.join(", ")
                )))
            }
        }
    }
}
