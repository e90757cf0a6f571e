//! One conversion of a file, read or refused, and what is needed to write it to the file of rejects.

use csv::ByteRecord;
use serde_json::{Map, Value};
use shared::domain::{ConversionInput, FieldError};

/// The field by which an error is told that concerns a line as a whole.
pub(super) const WHOLE_LINE: &str = "(line)";

/// The field that the file of rejects adds, and that is passed over on the way in.
pub(super) const REJECT_REASON: &str = "reject_reason";

/// One conversion as it was read.
pub(super) struct Record {
    pub(super) origin: Origin,
    pub(super) item: Result<ConversionInput, Vec<FieldError>>,
}

/// Where a conversion came from.
pub(crate) struct Origin {
    /// The line on which it begins, from 1.
    pub(crate) line: u64,
    pub(crate) raw: Raw,
}

/// A conversion as its sender wrote it.
pub(crate) enum Raw {
    /// NDJSON: a JSON object.
    Object(Map<String, Value>),
    /// NDJSON: anything else, with what is not UTF-8 replaced.
    Text(String),
    /// CSV: the fields, without a reason of an earlier refusal.
    Fields(ByteRecord),
    /// Too long to be kept.
    TooLong,
}

/// Conversions that go in together.
#[derive(Default)]
pub(crate) struct Batch {
    /// Bytes of the file that they take.
    pub(crate) bytes: u64,
    pub(crate) items: Vec<Result<ConversionInput, Vec<FieldError>>>,
    /// One for each item.
    pub(crate) origins: Vec<Origin>,
}

impl Batch {
    pub(super) fn push(&mut self, record: Record) {
        self.items.push(record.item);
        self.origins.push(record.origin);
    }
}

/// A record of which nothing can be read.
pub(super) fn refused(line: u64, raw: Raw, reason: impl Into<String>) -> Record {
    Record { origin: Origin { line, raw }, item: Err(vec![FieldError::new(WHOLE_LINE, reason)]) }
}
