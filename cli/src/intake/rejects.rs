//! The file of rejects: every refused conversion with its reason, to be mended and sent again.
//!
//! NDJSON: the object as it came, and `reject_reason`. What was no object stands as text in `reject_raw`, which is
//! refused until somebody has made an object of it. CSV: the same columns, and `reject_reason`. Of what was too long
//! to be kept there is the line's number alone.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context as _;
use csv::{ByteRecord, Writer};
use serde_json::{Map, Value, json};

use super::columns::Header;
use super::record::{Origin, REJECT_REASON, Raw};
use crate::failure::{Exit, Failure};

/// A file of rejects, in the form of the file that they came from.
pub(crate) enum Rejects {
    Ndjson(BufWriter<File>),
    Csv(Box<Writer<File>>),
}

impl Rejects {
    /// Makes the file; what was in it before is gone. Only its owner can read it: rows hold personal data.
    ///
    /// # Errors
    /// The file system's, and a path that leads to `input` itself.
    pub(crate) fn create(path: &Path, input: &str, header: Option<&Header>) -> anyhow::Result<Self> {
        let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        if let (Ok(old), Ok(input)) = (path.metadata(), Path::new(input).metadata())
            && same(&old, &input)
        {
            let told = "--rejects names the file that is read: it would be lost";
            return Err(Failure::new(Exit::Usage, told).into());
        }
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = file.context("the file of rejects cannot be made")?;
        let Some(header) = header else { return Ok(Rejects::Ndjson(BufWriter::new(file))) };
        let mut options = csv::WriterBuilder::new();
        let mut writer = options.delimiter(header.delimiter).flexible(true).from_writer(file);
        let names = header.names.iter().enumerate().filter(|(index, _)| !header.is_reason(*index));
        let mut names: ByteRecord = names.map(|(_, name)| name).collect();
        names.push_field(REJECT_REASON.as_bytes());
        writer.write_byte_record(&names).context("the file of rejects cannot be written")?;
        Ok(Rejects::Csv(Box::new(writer)))
    }

    /// Adds one conversion.
    pub(crate) fn add(&mut self, origin: Origin, reason: &str) -> io::Result<()> {
        match self {
            Rejects::Ndjson(file) => {
                serde_json::to_writer(&mut *file, &to_json(origin, reason))?;
                file.write_all(b"\n")
            }
            Rejects::Csv(writer) => Ok(writer.write_byte_record(&to_cells(origin, reason))?),
        }
    }

    /// Brings to the file what was added.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Rejects::Ndjson(file) => file.flush(),
            Rejects::Csv(writer) => writer.flush(),
        }
    }
}

fn to_json(origin: Origin, reason: &str) -> Value {
    let mut object = match origin.raw {
        Raw::Object(object) => object,
        Raw::Text(text) => Map::from_iter([("reject_raw".to_owned(), json!(text))]),
        Raw::Fields(_) | Raw::TooLong => Map::from_iter([("reject_line".to_owned(), json!(origin.line))]),
    };
    object.insert(REJECT_REASON.to_owned(), json!(reason));
    Value::Object(object)
}

/// A record with more or fewer fields than the header keeps them all, the reason last.
fn to_cells(origin: Origin, reason: &str) -> ByteRecord {
    match origin.raw {
        Raw::Fields(mut cells) => {
            cells.push_field(reason.as_bytes());
            cells
        }
        Raw::Object(_) | Raw::Text(_) | Raw::TooLong => {
            let reason = format!("line {} {reason}", origin.line);
            ByteRecord::from(vec![reason.into_bytes()])
        }
    }
}
