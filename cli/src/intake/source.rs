//! Opens a file or standard input, and finds out from its first line what it is.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};

use anyhow::Context as _;
use clap::ValueEnum;

use super::RECORD_BYTES_MAX;
use crate::failure::{Exit, Failure};

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// How conversions are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line.
    Ndjson,
    /// A header, and one conversion a record; the delimiter is found out.
    Csv,
}

/// The bytes of a file, its byte order mark left out.
pub(super) type Bytes = BufReader<Box<dyn Read + Send>>;

/// A file that is open, and what it holds.
pub(crate) struct Source {
    pub(super) bytes: Bytes,
    pub(super) first_line: Vec<u8>,
    pub(super) format: Format,
    /// How long it is, where it is a file.
    pub(crate) length: Option<u64>,
}

impl Source {
    /// Opens `name`, `-` being standard input. Without a `format`, its ending says what it is, or else its first line.
    ///
    /// # Errors
    /// A file that cannot be opened, and UTF-16, which is refused by name.
    pub(crate) fn open(name: &str, format: Option<Format>) -> anyhow::Result<Self> {
        let (reader, length): (Box<dyn Read + Send>, _) = match name {
            "-" => (Box::new(io::stdin()), None),
            _ => {
                let file = File::open(name).context("the file cannot be opened")?;
                let length = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|file| file.len());
                (Box::new(file), length)
            }
        };
        Self::read(reader, length, format.or_else(|| by_ending(name))).context("the file cannot be read")?
    }

    fn read(
        mut reader: Box<dyn Read + Send>,
        length: Option<u64>,
        format: Option<Format>,
    ) -> io::Result<anyhow::Result<Self>> {
        let mut head = read_head(&mut reader)?;
        if is_utf16(&head) {
            let told = "the file is UTF-16, as Excel writes \"Unicode Text\": save it as \"CSV UTF-8\"; nothing went in";
            let hint = "iconv -f UTF-16 -t UTF-8 FILE > FILE.utf8";
            return Ok(Err(Failure::new(Exit::Failed, told).hint(hint).into()));
        }
        if head.starts_with(b"\xef\xbb\xbf") {
            head.drain(..3);
        }
        let end = head.iter().position(|byte| *byte == b'\n').unwrap_or(head.len());
        let first_line = head[..end].to_vec();
        let format = format.unwrap_or_else(|| by_first_line(&first_line));
        let bytes: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(reader));
        Ok(Ok(Self { bytes: BufReader::with_capacity(CHUNK, bytes), first_line, format, length }))
    }
}

/// At least the first line, unless it is longer than a line may be.
fn read_head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut chunk = vec![0; CHUNK];
    while !head.contains(&b'\n') && head.len() < RECORD_BYTES_MAX {
        match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => head.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

/// By its byte order mark, or by the zeros that every other byte is in Latin text.
fn is_utf16(head: &[u8]) -> bool {
    let marked = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
    marked || matches!(head, [first, second, ..] if (*first == 0) != (*second == 0))
}

fn by_ending(name: &str) -> Option<Format> {
    let ending = name.rsplit_once('.')?.1.to_ascii_lowercase();
    match ending.as_str() {
        "ndjson" | "jsonl" | "json" => Some(Format::Ndjson),
        "csv" | "tsv" => Some(Format::Csv),
        _ => None,
    }
}

/// A header names its columns, and no line of JSON begins as it does.
fn by_first_line(line: &[u8]) -> Format {
    let line = String::from_utf8_lossy(line);
    let json = line.trim_start().starts_with(['{', '[']);
    if !json && (line.contains("site_id") || line.contains("external_id")) {
        Format::Csv
    } else {
        Format::Ndjson
    }
}
