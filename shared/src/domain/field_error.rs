//! What is wrong with one field of the input, said so that its sender can mend it.

use std::fmt;

use serde::Serialize;

/// A field by its path, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The path as the sender wrote it, such as `click_ids.gclid`.
    pub field: String,
    /// What would be right; never the value that was sent, which may be personal.
    pub reason: String,
}

impl FieldError {
    /// `field` as the sender knows it, `reason` as the rest of the sentence.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}
