//! The claim of 1,000 rows against what waits: at rest, under churn, and while somebody holds an old snapshot.

use std::time::Instant;

use anyhow::ensure;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::process;
use crate::report::{Report, number, quantile, times};
use crate::server::{Server, connect};
use crate::stage::Stage;

const FILL: &str = include_str!("../sql/fill.sql");
const REFILL: &str = include_str!("../sql/refill.sql");
const SETTLE: &str = include_str!("../sql/settle.sql");
const WINDOW_CLAIM: &str = include_str!("../sql/window_claim.sql");

/// As the runner asks: up to 2,000 rows of one group.
pub(crate) const CLAIM: &str = "select claim_token, group_id, cardinality(conversion_ids) \
     from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, $1, 1000, 2000, 75, $2)";

/// Puts a group first in the line, which nobody walks from further in front.
const NEXT_IN_LINE: &str =
    "update relay.delivery_group set turn_at = (select floor_at from relay.line) where group_id = $1";

/// Groups of one claim, as the runner asks at most.
const GROUPS: i32 = 50;

/// Claims that are timed in each state.
const ROUNDS: usize = 200;

/// Claims that are settled and filled up again while the snapshot is held, before the timing starts.
const HOUR_ROUNDS: usize = 300;

/// What the server's clock is turned forward by with each claim under the held snapshot, so that it becomes an hour old: floors
/// and leases go by time.
const ROUND_LASTS: SignedDuration = SignedDuration::from_millis(3_600_000 / (HOUR_ROUNDS + ROUNDS) as i64);

/// The yardstick takes seconds.
const WINDOW_ROUNDS: usize = 3;

const QUOTA_KEYS: usize = 100;

/// A backlog: rows and groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    rows: usize,
    groups: usize,
}

/// Which backlogs are measured; the first is what the others are compared with.
pub(crate) struct Sizes(Vec<Backlog>);

impl Sizes {
    pub(crate) fn of(full: bool) -> Self {
        let mut sizes =
            vec![Backlog { rows: 10_000, groups: 100 }, Backlog { rows: 1_000_000, groups: 10_000 }];
        if full {
            sizes.push(Backlog { rows: 10_000_000, groups: 10_000 });
        }
        Self(sizes)
    }
}

/// Whose rows are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// The groups whose turn it is, as the runner claims.
    Line,
    /// The largest group.
    Head,
}

/// Times of claims, and how much they took.
#[derive(Default)]
struct Times {
    milliseconds: Vec<f64>,
    /// Of the server's process, which does not wait for its turn on a busy machine.
    cpu_milliseconds: Vec<f64>,
    rows: f64,
    groups: f64,
}

/// A connection, the process that serves it, and its time where it is not the server's.
struct Connection {
    sql: Client,
    backend: u32,
    now: Option<Timestamp>,
}

/// Runs it.
pub(crate) async fn run(server: &Server, sizes: Sizes) -> anyhow::Result<Report> {
    let mut report = Report::new(
        format!("Claim of 1,000 rows, {ROUNDS} each"),
        &[
            "state, whose rows, backlog/groups",
            "median ms",
            "p99 ms",
            "median CPU ms",
            "rows",
            "groups",
            "to the small backlog",
            "to at rest",
        ],
    );
    let mut small: Vec<f64> = Vec::new();
    for size in sizes.0 {
        let stage = Stage::set(server, "relay", "http://127.0.0.1:1").await?;
        fill(&stage.sql, size).await?;
        let url = server.url("postgres", "relay")?;
        let measured = measure(&url).await?;
        let is_small = small.is_empty();
        let mut rest = [f64::NAN; 2];
        for (place, (name, from, times_of)) in measured.iter().enumerate() {
            let median = quantile(&times_of.cpu_milliseconds, 0.5);
            if is_small {
                small.push(median);
            }
            let column = usize::from(*from == From::Head);
            if place < 2 {
                rest[column] = median;
            }
            let rounds = times_of.milliseconds.len() as f64;
            report.row([
                format!("{name}, {}/{}", size.rows, size.groups),
                number(quantile(&times_of.milliseconds, 0.5)),
                number(quantile(&times_of.milliseconds, 0.99)),
                number(median),
                number(times_of.rows / rounds),
                number(times_of.groups / rounds),
                if is_small { String::new() } else { times(median / small[place]) },
                if place < 2 { String::new() } else { times(median / rest[column]) },
            ]);
        }
        drop(stage);
        server.drop_database("relay").await?;
    }
    report.note("ratios are of the CPU time of the server's process: this machine has other things to do");
    report.note("from the line: the groups whose turn it is, up to 50, as the runner asks; head: the largest group alone");
    report.note("snapshot held: an hour of 139 conversions/s, its clock turned forward with each claim");
    report.note("at rest: rolled back; under churn: committed, settled, and as many rows enqueued again");
    Ok(report)
}

async fn fill(sql: &Client, Backlog { rows, groups }: Backlog) -> anyhow::Result<()> {
    let fill = FILL.replace("{rows}", &rows.to_string()).replace("{groups}", &groups.to_string());
    sql.batch_execute(&fill.replace("{quota_keys}", &QUOTA_KEYS.to_string())).await?;
    sql.batch_execute("vacuum (analyze)").await?;
    Ok(sql.batch_execute("checkpoint").await?)
}

/// Every state in turn; the states that leave traces come last.
async fn measure(url: &str) -> anyhow::Result<Vec<(&'static str, From, Times)>> {
    let sql = connect(url).await?;
    let backend = sql.query_one("select pg_backend_pid()", &[]).await?.get::<_, i32>(0).unsigned_abs();
    let mut on = Connection { sql, backend, now: None };
    let head: i32 = on
        .sql
        .query_one("select group_id from relay.delivery_group order by group_id limit 1", &[])
        .await?
        .get(0);
    let mut measured = vec![
        ("at rest, line", From::Line, at_rest(&mut on, None).await?),
        ("at rest, head", From::Head, at_rest(&mut on, Some(head)).await?),
        ("window function, rolled back", From::Line, window(&mut on).await?),
        ("under churn, line", From::Line, under_churn(&mut on, None, ROUNDS).await?),
        ("under churn, head", From::Head, under_churn(&mut on, Some(head), ROUNDS).await?),
    ];
    let mut holder = connect(url).await?;
    let held = holder.build_transaction();
    let held =
        held.isolation_level(tokio_postgres::IsolationLevel::RepeatableRead).read_only(true).start().await?;
    held.query_one("select count(*) from relay.quota", &[]).await?;
    on.now = Some(Timestamp::now());
    under_churn(&mut on, None, HOUR_ROUNDS).await?;
    measured.push(("snapshot held, line", From::Line, under_churn(&mut on, None, ROUNDS).await?));
    measured.push(("snapshot held, head", From::Head, under_churn(&mut on, Some(head), ROUNDS).await?));
    held.rollback().await?;
    Ok(measured)
}

/// The same claim again and again, rolled back each time.
async fn at_rest(on: &mut Connection, head: Option<i32>) -> anyhow::Result<Times> {
    let mut times = Times::default();
    for _ in 0..ROUNDS {
        on.sql.batch_execute("begin").await?;
        let claimed = claim(on, head, &mut times).await?;
        on.sql.batch_execute("rollback").await?;
        ensure!(!claimed.is_empty(), "nothing was claimed");
    }
    Ok(times)
}

/// Each claim is settled, and as many rows come again.
async fn under_churn(on: &mut Connection, head: Option<i32>, rounds: usize) -> anyhow::Result<Times> {
    let mut times = Times::default();
    for _ in 0..rounds {
        let claimed = claim(on, head, &mut times).await?;
        ensure!(!claimed.is_empty(), "nothing was claimed");
        for (token, _, rows) in &claimed {
            let row = on.sql.query_one(SETTLE, &[token, rows, &on.now]).await?;
            ensure!(row.get::<_, bool>(0), "a claim was lost");
        }
        let groups: Vec<i32> = claimed.iter().map(|(_, group, _)| *group).collect();
        let sizes: Vec<i32> = claimed.iter().map(|(_, _, rows)| *rows).collect();
        on.sql.execute(REFILL, &[&groups, &sizes, &on.now]).await?;
        on.now = on.now.map(|now| now + ROUND_LASTS);
    }
    Ok(times)
}

async fn claim(
    Connection { sql, backend, now }: &mut Connection,
    head: Option<i32>,
    times: &mut Times,
) -> anyhow::Result<Vec<(Uuid, i32, i32)>> {
    if let Some(head) = head {
        sql.execute(NEXT_IN_LINE, &[&head]).await?;
    }
    let groups = head.map_or(GROUPS, |_| 1);
    let before = process::running_milliseconds(*backend)?;
    let started = Instant::now();
    let rows = sql.query(CLAIM, &[&groups, &*now]).await?;
    times.milliseconds.push(started.elapsed().as_secs_f64() * 1_000.0);
    times.cpu_milliseconds.push(process::running_milliseconds(*backend)? - before);
    let claimed: Vec<(Uuid, i32, i32)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    times.rows += claimed.iter().map(|(_, _, rows)| f64::from(*rows)).sum::<f64>();
    times.groups += claimed.len() as f64;
    Ok(claimed)
}

async fn window(Connection { sql, backend, .. }: &mut Connection) -> anyhow::Result<Times> {
    let mut times = Times::default();
    for _ in 0..WINDOW_ROUNDS {
        sql.batch_execute("begin").await?;
        let before = process::running_milliseconds(*backend)?;
        let started = Instant::now();
        let rows = sql.query(WINDOW_CLAIM, &[]).await?;
        times.milliseconds.push(started.elapsed().as_secs_f64() * 1_000.0);
        times.cpu_milliseconds.push(process::running_milliseconds(*backend)? - before);
        times.rows += rows.len() as f64;
        sql.batch_execute("rollback").await?;
    }
    Ok(times)
}
