//! NDJSON: one conversion a line.

use std::io::{self, BufRead};

use serde_json::Value;
use shared::domain::{ConversionInput, FieldError, read_json};

use super::RECORD_BYTES_MAX;
use super::record::{Origin, REJECT_REASON, Raw, Record, refused};
use super::source::{Bytes, Source};

/// The lines of a file.
pub(crate) struct NdjsonReader {
    bytes: Bytes,
    line: u64,
    bytes_read: u64,
    buffer: Vec<u8>,
}

/// What a line turned out to be; its text is in the buffer.
enum Line {
    Whole,
    TooLong,
}

impl NdjsonReader {
    pub(super) fn new(source: Source) -> Self {
        Self { bytes: source.bytes, line: 0, bytes_read: 0, buffer: Vec::new() }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next conversion. Empty lines are passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            match self.next_line()? {
                None => return Ok(None),
                Some(Line::TooLong) => {
                    let reason = format!("is longer than {RECORD_BYTES_MAX} bytes");
                    return Ok(Some(refused(self.line, Raw::TooLong, reason)));
                }
                Some(Line::Whole) if self.buffer.trim_ascii().is_empty() => {}
                Some(Line::Whole) => return Ok(Some(read(self.line, &self.buffer))),
            }
        }
    }

    /// Fills the buffer with the next line, or passes over it where it is too long to be kept.
    fn next_line(&mut self) -> io::Result<Option<Line>> {
        self.buffer.clear();
        let mut line = None;
        loop {
            let chunk = match self.bytes.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                chunk => chunk?,
            };
            if chunk.is_empty() {
                self.line += u64::from(line.is_some());
                return Ok(line);
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let text = &chunk[..end.unwrap_or(chunk.len())];
            if self.buffer.len() + text.len() > RECORD_BYTES_MAX {
                self.buffer.clear();
                line = Some(Line::TooLong);
            } else if !matches!(line, Some(Line::TooLong)) {
                self.buffer.extend_from_slice(text);
                line = Some(Line::Whole);
            }
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.bytes.consume(used);
            self.bytes_read += used as u64;
            if end.is_some() {
                self.line += 1;
                return Ok(line);
            }
        }
    }
}

fn read(line: u64, bytes: &[u8]) -> Record {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let text = String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
        return refused(line, Raw::Text(text), "is not UTF-8");
    };
    match read_json(bytes) {
        // As an object it would be written back with one of the two values alone.
        Ok((_, twice)) if !twice.is_empty() => Record {
            origin: Origin { line, raw: Raw::Text(text.trim().to_owned()) },
            item: Err(vec![FieldError::new(twice[0].to_string(), "is given twice")]),
        },
        Ok((Value::Object(mut object), _)) => {
            object.remove(REJECT_REASON);
            let json = Value::Object(object);
            let item = ConversionInput::parse(&json);
            let raw = match json {
                Value::Object(object) => Raw::Object(object),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    Raw::TooLong
                }
            };
            Record { origin: Origin { line, raw }, item }
        }
        Ok((other, _)) => Record {
            origin: Origin { line, raw: Raw::Text(text.trim().to_owned()) },
            item: ConversionInput::parse(&other),
        },
        Err(error) => {
            let reason = format!("is not JSON, from column {} on", error.column);
            refused(line, Raw::Text(text.trim().to_owned()), reason)
        }
    }
}
