//! CSV: a header, and one conversion a record, which may run over several lines.

use std::io::{self, BufRead};

use csv::ByteRecord;
use csv_core::ReadRecordResult;
use shared::domain::{ConversionInput, FieldError};

use super::RECORD_BYTES_MAX;
use super::columns::Header;
use super::record::{Origin, Raw, Record, refused};
use super::source::{Bytes, Source};
use crate::failure::{Exit, Failure};

/// Fields of one record; there are 19 columns and at most 20 custom variables.
const FIELDS_MAX: usize = 256;

/// The records of a file. It parses with csv-core, below csv, which would keep a record of any length.
pub(crate) struct CsvReader {
    cells: Cells,
    header: Header,
}

/// The records of a file, whatever they mean.
struct Cells {
    bytes: Bytes,
    core: csv_core::Reader,
    /// Line ends so far.
    lines: u64,
    bytes_read: u64,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// One record: the lines that it takes, and its cells, where it is not too long.
struct Cut {
    first_line: u64,
    last_line: u64,
    cells: Option<ByteRecord>,
}

impl CsvReader {
    /// Reads the header.
    ///
    /// # Errors
    /// Columns that are unknown or missing, all by name, and the file's own.
    pub(super) fn open(source: Source) -> anyhow::Result<Self> {
        let delimiter = sniff(&source.first_line);
        let mut cells = Cells {
            bytes: source.bytes,
            core: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            lines: 0,
            bytes_read: 0,
            text: vec![0; RECORD_BYTES_MAX],
            ends: vec![0; FIELDS_MAX],
        };
        let names = cells.next()?.and_then(|cut| cut.cells).unwrap_or_default();
        let header = Header::parse(names, delimiter).map_err(|wrong| {
            let told = format!("the header of the CSV file is wrong, nothing went in: {}", wrong.join("; "));
            Failure::new(Exit::Failed, told)
                .hint(format!("relay enqueue --help  # columns: {}", Header::known()))
        })?;
        Ok(Self { cells, header })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.cells.bytes_read
    }

    /// The next conversion. Rows without any content, which spreadsheets leave at the end, are passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let Some(cut) = self.cells.next()? else { return Ok(None) };
            let Some(cells) = cut.cells else {
                let reason = format!(
                    "begins a record of more than {RECORD_BYTES_MAX} bytes or {FIELDS_MAX} fields; is a quote left open?"
                );
                return Ok(Some(refused(cut.first_line, Raw::TooLong, reason)));
            };
            if cells.iter().any(|cell| !cell.trim_ascii().is_empty()) {
                return Ok(Some(self.read(cut.first_line, cut.last_line, cells)));
            }
        }
    }

    fn read(&self, line: u64, last_line: u64, cells: ByteRecord) -> Record {
        if cells.len() != self.header.len() {
            let runs = if last_line > line { format!(", to line {last_line}") } else { String::new() };
            let reason = format!("has {} fields{runs}, the header names {}", cells.len(), self.header.len());
            return refused(line, Raw::Fields(self.without_reason(&cells)), reason);
        }
        let item = match self.header.to_json(&cells) {
            Ok(json) => ConversionInput::parse(&json).map_err(|errors| self.in_names_of_file(errors)),
            Err(name) => Err(vec![FieldError::new(name, "is not UTF-8: save the file as \"CSV UTF-8\"")]),
        };
        Record { origin: Origin { line, raw: Raw::Fields(self.without_reason(&cells)) }, item }
    }

    fn without_reason(&self, cells: &ByteRecord) -> ByteRecord {
        let kept = cells.iter().enumerate().filter(|(index, _)| !self.header.is_reason(*index));
        kept.map(|(_, cell)| cell).collect()
    }

    fn in_names_of_file(&self, errors: Vec<FieldError>) -> Vec<FieldError> {
        let rename = |error: FieldError| match self.header.name_of(&error.field) {
            Some(name) => FieldError::new(name, error.reason),
            None => error,
        };
        errors.into_iter().map(rename).collect()
    }
}

impl Cells {
    fn next(&mut self) -> io::Result<Option<Cut>> {
        self.pass_over_line_ends()?;
        let first_line = self.lines + 1;
        let (mut text, mut ends) = (0, 0);
        loop {
            let chunk = fill(&mut self.bytes)?;
            let (result, read, wrote, ended) =
                self.core.read_record(chunk, &mut self.text[text..], &mut self.ends[ends..]);
            let at_end = chunk.is_empty();
            self.lines += line_ends(&chunk[..read]);
            self.bytes.consume(read);
            self.bytes_read += read as u64;
            text += wrote;
            ends += ended;
            let cells = match result {
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::InputEmpty => continue,
                ReadRecordResult::Record => Some(self.cells(ends)),
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    if !at_end {
                        self.pass_over_line()?;
                    }
                    self.core.reset();
                    None
                }
            };
            return Ok(Some(Cut { first_line, last_line: self.lines.max(first_line), cells }));
        }
    }

    fn cells(&self, ends: usize) -> ByteRecord {
        let mut start = 0;
        let cell = |end: &usize| &self.text[std::mem::replace(&mut start, *end)..*end];
        self.ends[..ends].iter().map(cell).collect()
    }

    /// Also the second half of the line end before, so that a record's first line is counted right.
    fn pass_over_line_ends(&mut self) -> io::Result<()> {
        loop {
            let chunk = fill(&mut self.bytes)?;
            let read = chunk.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.lines += line_ends(&chunk[..read]);
            self.bytes.consume(read);
            self.bytes_read += read as u64;
            if read == 0 {
                return Ok(());
            }
        }
    }

    /// The record is lost from here to the end of its line; a quote that was left open loses no more than that.
    fn pass_over_line(&mut self) -> io::Result<()> {
        loop {
            let chunk = fill(&mut self.bytes)?;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let read = end.map_or(chunk.len(), |end| end + 1);
            self.lines += u64::from(end.is_some());
            self.bytes.consume(read);
            self.bytes_read += read as u64;
            if end.is_some() || read == 0 {
                return Ok(());
            }
        }
    }
}

fn fill(bytes: &mut Bytes) -> io::Result<&[u8]> {
    while let Err(error) = bytes.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // What was filled a moment ago is still there: this reads nothing.
    bytes.fill_buf()
}

fn line_ends(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The delimiter that the header has most of; names contain none of them.
fn sniff(header: &[u8]) -> u8 {
    let count = |delimiter: u8| header.iter().filter(|byte| **byte == delimiter).count();
    [b';', b'\t'].into_iter().fold(b',', |most, other| if count(other) > count(most) { other } else { most })
}
