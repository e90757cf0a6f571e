//! What was measured, once, and what nobody has measured yet. Each constant says which it is.

/// CPU seconds of PostgreSQL for each row that is claimed, sent and settled. Whole path of 2026-11-22 (`bench/RESULTS.md`):
/// 1.88 s for 100,000 rows in 100 requests, less what the requests take.
pub const UPLOAD_ROW_CPU: f64 = 15e-6;

/// CPU seconds of PostgreSQL for each upload, whatever it carries: its share of a claim, the booking, the settling. Whole path of
/// 200 and of 2,000 rows in 100 requests, 2026-11-22, on a busy machine: 0.42 s, connections and first plans included.
pub const UPLOAD_CPU: f64 = 4e-3;

/// CPU seconds of PostgreSQL for each row at the door: 1.84 s for 100,000 in batches of 1,000 (`bench/RESULTS.md`).
pub const DOOR_ROW_CPU: f64 = 18e-6;

/// CPU seconds of PostgreSQL for each call of the door: 86 to 92 s for 100,000 single calls (`bench/RESULTS.md`).
pub const DOOR_CALL_CPU: f64 = 0.9e-3;

/// CPU seconds of PostgreSQL for each question for a receipt. Not measured: taken for half an upload, for it is two calls of
/// four and touches one row.
pub const POLL_CPU: f64 = 2e-3;

/// Cores that the minute's gauges, the expiry and the night take. Not measured.
pub const HOUSEKEEPING_CORES: f64 = 0.02;

/// CPU seconds of the runner for each row, on a whole core: 0.42 s for 100,000 (`bench/RESULTS.md`).
pub const RUNNER_ROW_CPU: f64 = 4.2e-6;

/// CPU seconds of the runner for each upload, on a whole core. Not measured in a release build; 1.6 ms in a debug build,
/// 2026-11-22.
pub const RUNNER_UPLOAD_CPU: f64 = 0.5e-3;

/// CPU seconds of the door for each row, on a whole core: 0.50 s for 100,000 (`bench/RESULTS.md`).
pub const INGEST_ROW_CPU: f64 = 5e-6;

/// CPU seconds of the door for each call, on a whole core. Not measured in a release build; 0.8 to 1 ms in a debug build,
/// 2026-11-22.
pub const INGEST_CALL_CPU: f64 = 0.5e-3;

/// Seconds of one call to PostgreSQL over the network, its commit on network storage included. Not measured.
pub const DATABASE_CALL: f64 = 4e-3;

/// Calls to PostgreSQL that one upload waits for: its share of a claim, the booking, the settling.
pub const CALLS_PER_UPLOAD: f64 = 3.0;

/// Calls to PostgreSQL for one question for a receipt: its share of a claim, and the end.
pub const CALLS_PER_POLL: f64 = 2.0;

/// Seconds of a run that finds nothing: two claims, its history, holds. Not measured on Lambda.
pub const IDLE_RUN: f64 = 0.15;

/// Seconds from the tick to the first claim. Not measured on Lambda.
pub const START: f64 = 0.2;

/// Seconds of the nightly work. Not measured; it grows with history, and its function may take 900.
pub const NIGHT: f64 = 300.0;

/// MB of memory that buy a whole vCPU. <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>, from memory.
pub const MB_PER_VCPU: f64 = 1_769.0;

/// Rows that one conversion writes on its way: its key, its payload, its place in the line and out of it, its outcome.
/// `tests/it/cli/plan_measured.rs` counts them.
pub const ROWS_WRITTEN: f64 = 5.0;

/// Rows that each further try writes: into the line and out of it, and an outcome.
pub const ROWS_PER_RETRY: f64 = 3.0;

/// Rows that one upload writes: the claim and its end, the ledger twice, circuit, metrics, slot, group.
pub const ROWS_PER_UPLOAD: f64 = 8.0;

/// Bytes that a conversion leaves behind for its retention, indexes included: a click id of ninety characters, an e-mail address,
/// an external id of fourteen characters. Measured with the real schema by `tests/it/cli/plan_measured.rs`, which fails where
/// this or one of the next three is off by more than an eighth.
pub const BYTES_PER_CONVERSION: f64 = 750.0;

/// Bytes that each outcome beyond the first leaves behind.
pub const BYTES_PER_OUTCOME: f64 = 118.0;

/// Of the bytes of a conversion, those of the indexes by which the door knows it again: hot for all of its retention.
pub const BYTES_OF_KEY_INDEX: f64 = 41.0;

/// Bytes that an upload leaves behind: its ledger row and its receipt, without what they were before, which a vacuum gives back.
pub const BYTES_PER_UPLOAD: f64 = 560.0;

/// Bytes of the write-ahead log for each conversion: 1,025 at the door and 321 on its way (`bench/RESULTS.md`).
pub const WAL_PER_CONVERSION: f64 = 1_346.0;

/// Bytes of the write-ahead log for each upload: whole path of 200 and of 2,000 rows, 2026-11-22.
pub const WAL_PER_UPLOAD: f64 = 4_800.0;

/// Bytes that go to the platform for each row. Reckoned from its JSON, which goes uncompressed.
pub const SENT_PER_ROW: f64 = 600.0;

/// Bytes that each request costs besides, both ways: headers, TLS, answer. Reckoned.
pub const SENT_PER_REQUEST: f64 = 3_000.0;

/// Bytes of a conversion as a client sends it to the door. Reckoned from the benchmark's.
pub const TAKEN_PER_ROW: f64 = 480.0;

/// Bytes that an invocation logs: Lambda's three lines, our one, its figures. Reckoned.
pub const LOGGED_PER_INVOCATION: f64 = 2_500.0;

/// Bytes that a group's line in a run's log takes. Reckoned.
pub const LOGGED_PER_GROUP: f64 = 600.0;

/// Bytes that one call of the door logs: Lambda's lines and the API's. Reckoned.
pub const LOGGED_PER_CALL: f64 = 1_800.0;

/// Metrics in CloudWatch: gauges for all and for one provider, and what runs of each task count. Counted by hand.
pub const METRICS: f64 = 90.0;
