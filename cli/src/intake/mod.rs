//! Reads conversions from a file, whatever its size, in constant memory: what is wrong is told by line and field.

mod columns;
mod csv;
mod ndjson;
mod record;
mod rejects;
mod source;

use std::io;
use std::panic::{self, AssertUnwindSafe};

use shared::domain::ProviderKey;
use shared::store::CONVERSIONS_MAX;
use tokio::sync::mpsc;

pub(crate) use record::Batch;
pub(crate) use rejects::Rejects;
pub(crate) use source::{Format, Source};

use self::csv::CsvReader;
use columns::Header;
use ndjson::NdjsonReader;
use record::Record;

/// Lines of one batch. Each becomes a conversion for every provider of its site, and all of them go in in one transaction.
const BATCH_RECORDS: usize = 2_000;
const _: () = assert!(BATCH_RECORDS * ProviderKey::ALL.len() <= CONVERSIONS_MAX);

/// Bytes of one batch, so that two thousand long lines do not fill the memory.
const BATCH_BYTES: u64 = 4 << 20;

/// Longest line of NDJSON and longest record of CSV. A conversion with every field full is a third of it.
pub(crate) const RECORD_BYTES_MAX: usize = 64 << 10;

/// Batches that wait to be checked: one, while the one before is.
const BATCHES_AHEAD: usize = 1;

/// A file of conversions, opened, its header read.
pub(crate) enum Intake {
    Ndjson(NdjsonReader),
    Csv(Box<CsvReader>),
}

impl Intake {
    /// Reads the beginning of a file, and refuses it by name where none of it could go in.
    ///
    /// # Errors
    /// A header with unknown columns, UTF-16, and the file's own.
    pub(crate) fn open(source: Source) -> anyhow::Result<Self> {
        Ok(match source.format {
            Format::Ndjson => Intake::Ndjson(NdjsonReader::new(source)),
            Format::Csv => Intake::Csv(Box::new(CsvReader::open(source)?)),
        })
    }

    /// The header of a CSV file, for the file of rejects.
    pub(crate) fn header(&self) -> Option<&Header> {
        match self {
            Intake::Ndjson(_) => None,
            Intake::Csv(reader) => Some(reader.header()),
        }
    }

    /// Reads in a thread of its own, for reading waits. A fault of the reader is an error of the file, not its end.
    pub(crate) fn start(mut self) -> mpsc::Receiver<io::Result<Batch>> {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        std::thread::spawn(move || {
            let read = panic::catch_unwind(AssertUnwindSafe(|| self.send_all(&sender)));
            if read.is_err() {
                sender.blocking_send(Err(io::Error::other("its reader broke off"))).ok();
            }
        });
        batches
    }

    fn send_all(&mut self, batches: &mpsc::Sender<io::Result<Batch>>) {
        // Whoever stopped listening wants no more.
        while let Some(batch) = self.next_batch().transpose() {
            let failed = batch.is_err();
            if batches.blocking_send(batch).is_err() || failed {
                break;
            }
        }
    }

    fn next_batch(&mut self) -> io::Result<Option<Batch>> {
        let mut batch = Batch::default();
        let start = self.bytes_read();
        while batch.origins.len() < BATCH_RECORDS && self.bytes_read() - start < BATCH_BYTES {
            match self.next()? {
                Some(record) => batch.push(record),
                None => break,
            }
        }
        batch.bytes = self.bytes_read() - start;
        Ok(Some(batch).filter(|batch| !batch.origins.is_empty()))
    }

    fn next(&mut self) -> io::Result<Option<Record>> {
        match self {
            Intake::Ndjson(reader) => reader.next(),
            Intake::Csv(reader) => reader.next(),
        }
    }

    fn bytes_read(&self) -> u64 {
        match self {
            Intake::Ndjson(reader) => reader.bytes_read(),
            Intake::Csv(reader) => reader.bytes_read(),
        }
    }
}
