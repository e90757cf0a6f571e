//! PostgreSQL: what it works, writes and keeps, and which instance that takes.

use serde::Serialize;
use shared::store::POOL_SIZE;

use super::limits::Limits;
use super::measured::{
    BYTES_OF_KEY_INDEX, BYTES_PER_CONVERSION, BYTES_PER_OUTCOME, BYTES_PER_UPLOAD, CALLS_PER_POLL,
    CALLS_PER_UPLOAD, DOOR_CALL_CPU, DOOR_ROW_CPU, HOUSEKEEPING_CORES, POLL_CPU, ROWS_PER_RETRY,
    ROWS_PER_UPLOAD, ROWS_WRITTEN, UPLOAD_CPU, UPLOAD_ROW_CPU, WAL_PER_CONVERSION, WAL_PER_UPLOAD,
};
use super::{Input, Traffic};

/// An instance class of RDS: Graviton, vCPUs, GiB.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// vCPUs that may be used all the time. Those that burst are paid for a share of theirs.
    pub vcpus: f64,
    /// Memory.
    pub gib: f64,
}

/// From the smallest on. vCPUs of the burstable ones at their baseline: 10 % of two (micro), 20 % (small and medium).
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Concepts.DBInstanceClass.Summary.html>, from memory.
pub(super) const CLASSES: [Class; 11] = [
    class("db.t4g.micro", 0.2, 1.0),
    class("db.t4g.small", 0.4, 2.0),
    class("db.t4g.medium", 0.4, 4.0),
    class("db.r8g.large", 2.0, 16.0),
    class("db.r8g.xlarge", 4.0, 32.0),
    class("db.r8g.2xlarge", 8.0, 64.0),
    class("db.r8g.4xlarge", 16.0, 128.0),
    class("db.r8g.8xlarge", 32.0, 256.0),
    class("db.r8g.12xlarge", 48.0, 384.0),
    class("db.r8g.16xlarge", 64.0, 512.0),
    class("db.r8g.24xlarge", 96.0, 768.0),
];

const fn class(name: &'static str, vcpus: f64, gib: f64) -> Class {
    Class { name, vcpus, gib }
}

/// A database that is busier than this in its busiest hour has no room for a vacuum, a report or a bad day.
pub(super) const CPU_SHARE: f64 = 0.5;

/// GiB of one gp3 volume of RDS for PostgreSQL at most. <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Storage.html>,
/// from memory; so are the next four.
pub(super) const STORAGE_MAX: f64 = 65_536.0;

/// The smallest volume that is sold.
const STORAGE_MIN: f64 = 20.0;

/// From this size on a volume has more operations for nothing.
const STRIPED: f64 = 400.0;

/// Operations each second that a volume has for nothing, below and from [`STRIPED`] on.
const IOPS_FREE: (f64, f64) = (3_000.0, 12_000.0);

/// Operations each second that can be bought.
pub(super) const IOPS_MAX: f64 = 64_000.0;

/// Part of the memory that the rows of one day shall fit in: they are written, sent, settled, confirmed and counted within it.
/// A rule of thumb and not a measurement.
const DAY_SHARE: f64 = 0.5;

/// Connections that RDS allows for each byte of memory, and at all.
const BYTES_PER_CONNECTION: f64 = 9_531_392.0;
/// See [`BYTES_PER_CONNECTION`].
const CONNECTIONS_MAX: f64 = 5_000.0;

/// Memory that the operating system and RDS keep, in GiB.
const GIB_TAKEN: f64 = 0.3;

/// Connections of the functions that run alone: confirm, recover, maintain, health, migrate, somebody who looks.
const OTHER_CONNECTIONS: f64 = 20.0;

/// Part of the memory that holds pages of the index by which the door knows a conversion.
const KEY_INDEX_SHARE: f64 = 0.5;

/// Bytes that one operation on the volume carries at most where pages are written in a row.
const BYTES_PER_OPERATION: f64 = 65_536.0;

/// Room beside what is kept: the log, temporary files, dead rows, growth until somebody looks.
const ROOM: f64 = 1.2;

/// What PostgreSQL does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Database {
    /// Calls of our functions, each a transaction, each second in the busiest hour.
    pub transactions_per_second_at_peak: f64,
    /// Calls for each conversion over its life.
    pub statements_per_conversion: f64,
    /// Rows written for each conversion over its life, its share of what requests write included.
    pub rows_written_per_conversion: f64,
    /// CPU seconds each second in the busiest hour.
    pub cores_at_peak: f64,
    /// Bytes of the write-ahead log each second in the busiest hour, without full pages after a checkpoint.
    pub wal_bytes_per_second_at_peak: f64,
    /// Connections at most: every function at its reserved concurrency.
    pub connections: f64,
    /// GB that a day leaves behind.
    pub gb_per_day: f64,
    /// GiB of the volume once the retention is full.
    pub storage_gib: f64,
    /// Operations of the volume each second in the busiest hour, once the retention is full.
    pub iops_at_peak: f64,
    /// Operations that have to be bought.
    pub iops_bought: f64,
    /// The smallest class that does.
    pub class: Class,
    /// Of what even the largest is not enough.
    pub too_small: TooSmall,
}

/// Of what even the largest is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TooSmall {
    /// The instance.
    pub class: bool,
    /// Its volume.
    pub volume: bool,
    /// The volume's operations each second.
    pub operations: bool,
}

impl TooSmall {
    /// Their names.
    pub fn names(self) -> Vec<&'static str> {
        let all = [("class", self.class), ("volume", self.volume), ("operations a second", self.operations)];
        all.into_iter().filter_map(|(name, is_short)| is_short.then_some(name)).collect()
    }
}

impl Database {
    pub(super) fn of(input: &Input, limits: &Limits, traffic: &Traffic) -> Self {
        let taken_in = traffic.sent_per_second_at_peak * (1.0 - input.retry_share);
        let uploads = traffic.at_peak.requests_per_second;
        let polls = traffic.requests_per_second_at_peak - uploads;
        let calls = traffic.door_calls_per_second_at_peak;
        let cores = HOUSEKEEPING_CORES
            + calls * DOOR_CALL_CPU
            + taken_in * DOOR_ROW_CPU
            + uploads * UPLOAD_CPU
            + traffic.sent_per_second_at_peak * UPLOAD_ROW_CPU
            + polls * POLL_CPU;
        let wal = taken_in * WAL_PER_CONVERSION + uploads * WAL_PER_UPLOAD;
        let connections = f64::from(input.runner_concurrency) * POOL_SIZE as f64
            + f64::from(input.ingest_concurrency)
            + OTHER_CONNECTIONS;
        let gb_per_day = gb_per_day(input, traffic);
        let storage = storage_gib(input, gb_per_day);
        let class = CLASSES.into_iter().find(|class| suffices(class, cores, connections, gb_per_day));
        let largest = CLASSES[CLASSES.len() - 1];
        let iops = iops(input, taken_in, wal, class.unwrap_or(largest));
        let free = if storage < STRIPED { IOPS_FREE.0 } else { IOPS_FREE.1 };
        let transactions = calls + uploads * CALLS_PER_UPLOAD + polls * CALLS_PER_POLL;
        let mean_uploads =
            traffic.mean.requests_per_second / (traffic.sent_per_second * (1.0 - input.retry_share));
        let tries = input.retry_share / (1.0 - input.retry_share);
        let polls_each = limits.polls_per_upload(input) * CALLS_PER_POLL;
        Self {
            transactions_per_second_at_peak: transactions,
            statements_per_conversion: 1.0 / f64::from(input.batch)
                + mean_uploads * (CALLS_PER_UPLOAD + polls_each),
            rows_written_per_conversion: ROWS_WRITTEN
                + tries * ROWS_PER_RETRY
                + mean_uploads * ROWS_PER_UPLOAD,
            cores_at_peak: cores,
            wal_bytes_per_second_at_peak: wal,
            connections,
            gb_per_day,
            storage_gib: storage,
            iops_at_peak: iops,
            iops_bought: (iops.min(IOPS_MAX) - free).max(0.0).ceil(),
            class: class.unwrap_or(largest),
            too_small: TooSmall {
                class: class.is_none(),
                volume: storage > STORAGE_MAX,
                operations: iops > IOPS_MAX,
            },
        }
    }
}

fn suffices(class: &Class, cores: f64, connections: f64, gb_per_day: f64) -> bool {
    cores <= class.vcpus * CPU_SHARE
        && connections <= connections_of(class)
        && gb_per_day * 1e9 / 1_073_741_824.0 <= class.gib * DAY_SHARE
}

/// Connections that a class allows by RDS's default.
pub(super) fn connections_of(class: &Class) -> f64 {
    ((class.gib - GIB_TAKEN) * 1_073_741_824.0 / BYTES_PER_CONNECTION).floor().min(CONNECTIONS_MAX)
}

fn gb_per_day(input: &Input, traffic: &Traffic) -> f64 {
    #[allow(clippy::cast_precision_loss)] // Far below 2^53.
    let conversions = input.conversions_per_day as f64;
    let tries = input.retry_share / (1.0 - input.retry_share);
    let each = BYTES_PER_CONVERSION + tries * BYTES_PER_OUTCOME;
    (conversions * each + traffic.uploads_per_day * BYTES_PER_UPLOAD) / 1e9
}

/// History goes by whole weeks, so up to one more week than the retention is kept.
fn storage_gib(input: &Input, gb_per_day: f64) -> f64 {
    let days = f64::from(input.retention_days) + 7.0;
    (gb_per_day * days * ROOM * 1e9 / 1_073_741_824.0).max(STORAGE_MIN).ceil()
}

/// A key lands anywhere in its index, whose pages are in memory or are read, and are written once either way; all else is
/// written in a row.
fn iops(input: &Input, taken_in: f64, wal: f64, class: Class) -> f64 {
    #[allow(clippy::cast_precision_loss)] // Far below 2^53.
    let keys = input.conversions_per_day as f64 * (f64::from(input.retention_days) + 7.0);
    let index_gib = keys * BYTES_OF_KEY_INDEX / 1_073_741_824.0;
    let missing = (1.0 - class.gib * KEY_INDEX_SHARE / index_gib.max(1e-9)).clamp(0.0, 1.0);
    taken_in * missing * 2.0 + wal * 2.0 / BYTES_PER_OPERATION
}
