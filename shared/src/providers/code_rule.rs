//! One row of an adapter's table, as an operator reads it.

use serde::Serialize;

use crate::domain::{Class, HoldScope};

/// What a code means to an adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodeRule {
    /// The whole code, as outcomes keep it, or a beginning and `*`.
    pub code: String,
    /// Its class.
    pub class: Class,
    /// What waits, where the class is one of those.
    pub scope: Option<HoldScope>,
    /// How long, where the table says it.
    pub wait_seconds: Option<u64>,
    /// Attempts in all, where they are fewer than usual.
    pub max_attempts: Option<u8>,
    /// Whether it holds under a condition alone.
    pub is_conditional: bool,
    /// For the reader.
    pub note: Option<String>,
}
