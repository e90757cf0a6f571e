//! The books after a run: what the database says against itself, and against what was sent and accepted.

use std::sync::PoisonError;

use shared::domain::{ConversionId, Outcome};
use tokio_postgres::Client;

use super::ground::Ground;
use super::stage::Stage;
use super::tally::Event;

/// What must not be, and how to count it.
const FACTS: [(&str, &str); 10] = [
    (
        "conversions that are not at an end",
        "select (select count(*) from relay.ready) + (select count(*) from relay.inflight) \
         + (select count(*) from relay.held)",
    ),
    (
        "conversions that were delivered twice",
        "select count(*) from (select from relay.conversion_outcome where outcome in ('DELIVERED', 'DUPLICATE') \
         group by conversion_id having count(*) > 1) as twice",
    ),
    (
        "conversions that ended twice",
        "select count(*) from (select from relay.conversion_outcome \
         where outcome in ('DELIVERED', 'DUPLICATE', 'REJECTED', 'EXHAUSTED', 'EXPIRED', 'UNCONFIRMED') \
         group by conversion_id having count(*) > 1) as twice",
    ),
    (
        "outcomes of a request that was stale, lost or another group's",
        "select count(*) from relay.conversion_outcome as o \
         join relay.conversion as c on c.conversion_id = o.conversion_id \
         left join relay.provider_upload_attempts as a on a.attempt_id = o.attempt_id \
         where o.attempt_id is not null and (a.state is distinct from 'CLOSED' or a.group_id <> c.group_id)",
    ),
    (
        "ledger rows whose counts are not those of their outcomes",
        "select count(*) from relay.provider_upload_attempts as a \
         left join (select attempt_id, count(*) as outcomes from relay.conversion_outcome group by attempt_id) as o \
         on o.attempt_id = a.attempt_id where coalesce(a.completed_count + a.failed_count + a.retry_count \
         + a.held_count + a.submitted_count, 0) <> coalesce(o.outcomes, 0)",
    ),
    ("ledger rows left open", "select count(*) from relay.provider_upload_attempts where closed_at is null"),
    ("slots left taken", "select count(*) from relay.upload_slot where claim_token is not null"),
    (
        "groups whose metrics are not the sums of their outcomes",
        "select count(*) from relay.provider_upload_metrics as m join (\
         select c.group_id, \
         count(*) filter (where o.outcome = 'DELIVERED') as completed, \
         count(*) filter (where o.outcome in ('REJECTED', 'EXHAUSTED', 'EXPIRED', 'UNCONFIRMED')) as failed, \
         count(*) filter (where o.outcome in ('RETRY', 'UNANSWERED')) as retry \
         from relay.conversion_outcome as o join relay.conversion as c on c.conversion_id = o.conversion_id \
         group by c.group_id) as s on s.group_id = m.group_id \
         where (m.completed_total, m.failed_total, m.retry_total, m.held_total, m.submitted_total) \
         <> (s.completed, s.failed, s.retry, 0, 0)",
    ),
    (
        "groups whose metrics do not count their requests",
        "select count(*) from relay.provider_upload_metrics as m join (\
         select group_id, count(*) filter (where state = 'CLOSED') as requests \
         from relay.provider_upload_attempts group by group_id) as a on a.group_id = m.group_id \
         where m.attempts_total <> a.requests",
    ),
    (
        "keys without a conversion, and conversions without a key",
        "select count(*) from relay.conversion_key as k full join relay.conversion as c \
         on c.conversion_id = k.conversion_id where k.conversion_id is null or c.conversion_id is null",
    ),
];

/// Ends that are read at once.
const PAGE: i64 = 50_000;

/// Examines the books; what is wrong goes to the ground's faults. What the database counted, in words.
pub(super) async fn examine(stage: &Stage, ground: &Ground) -> anyhow::Result<Vec<(String, u64)>> {
    let store = stage.store().await?;
    // What the last runners left open is closed; nothing is left to be taken back.
    let recovered = store.recover_offline_conversions(0, None, 1_000).await?;
    if recovered.claims > 0 {
        ground.fault("a claim was left after the drain".to_owned());
    }
    let sql = stage.admin().await?;
    // The service's calls end after a minute; the walk over everything may take longer here.
    for row in
        sql.query("select fault, conversion_id, detail from relay.audit_conversions() limit 10", &[]).await?
    {
        let (fault, id, detail): (String, i64, String) = (row.get(0), row.get(1), row.get(2));
        ground.fault(format!("audit: {fault}: {id}: {detail}"));
    }
    for (fact, count) in FACTS {
        let number = number(&sql, count).await?;
        if number != 0 {
            ground.fault(format!("{number} {fact}"));
        }
    }
    compare_ends(&sql, ground).await?;
    examine_log(stage, ground)?;
    let counts = count(&sql).await?;
    expect(ground, &counts);
    Ok(counts)
}

async fn number(sql: &Client, count: &str) -> anyhow::Result<i64> {
    Ok(sql.query_one(count, &[]).await?.get(0))
}

/// Each end in the database against what was sent and what runners were told was accepted.
async fn compare_ends(sql: &Client, ground: &Ground) -> anyhow::Result<()> {
    let ends = "select conversion_id, outcome, coalesce(code, '') from relay.conversion_outcome \
                where conversion_id > $1 and outcome in ('DELIVERED', 'DUPLICATE', 'REJECTED', 'EXHAUSTED', 'EXPIRED', 'UNCONFIRMED') \
                order by conversion_id limit $2";
    let mut last = 0_i64;
    let mut book = std::mem::take(&mut *ground.provider.book());
    loop {
        let rows = sql.query(ends, &[&last, &PAGE]).await?;
        let Some(end) = rows.last() else { break };
        last = end.get(0);
        for row in &rows {
            let (id, outcome, code) =
                (ConversionId(row.get(0)), row.get::<_, &str>(1), row.get::<_, &str>(2));
            let entry = book.remove(&id).unwrap_or_default();
            let perhaps = ["CLAIM_LOST", "EXPIRED_PERHAPS_DELIVERED"];
            if outcome == Outcome::Delivered.as_str() && !entry.taken {
                ground.fault(format!("{id} is delivered, and the provider never took it"));
            }
            if outcome != Outcome::Delivered.as_str() && entry.taken && !perhaps.contains(&code) {
                ground.fault(format!("{id} ended as {outcome}, and the provider took it"));
            }
            if entry.ended.is_some_and(|ended| ended.as_str() != outcome) {
                ground.fault(format!("{id} ended as {outcome}, and {:?} was accepted", entry.ended));
            }
        }
    }
    for (id, entry) in book.iter().filter(|(_, entry)| entry.sent > 0 || entry.ended.is_some()) {
        ground.fault(format!("{id} has no end: {entry:?}"));
    }
    Ok(())
}

/// No deadlock, and no error that a killed connection does not explain.
fn examine_log(stage: &Stage, ground: &Ground) -> anyhow::Result<()> {
    let log = stage.server.lock().unwrap_or_else(PoisonError::into_inner).log()?;
    for line in log.lines().filter(|line| line.contains(" ERROR: ") || line.contains(" PANIC: ")) {
        ground.fault(format!("the server's log: {line}"));
    }
    Ok(())
}

/// The table's second half.
async fn count(sql: &Client) -> anyhow::Result<Vec<(String, u64)>> {
    let mut counts = Vec::new();
    let outcomes = "select outcome, count(*) from relay.conversion_outcome group by outcome order by outcome";
    for row in sql.query(outcomes, &[]).await? {
        counts.push((format!("outcomes {}", row.get::<_, &str>(0)), u64::try_from(row.get::<_, i64>(1))?));
    }
    for (name, statement) in [
        ("outcomes in all", "select count(*) from relay.conversion_outcome"),
        ("keys", "select count(*) from relay.conversion_key"),
        ("ledger rows STALE", "select count(*) from relay.provider_upload_attempts where state = 'STALE'"),
        (
            "ledger rows AMBIGUOUS",
            "select count(*) from relay.provider_upload_attempts where state = 'AMBIGUOUS'",
        ),
        ("circuits opened", "select sum(opened_total)::bigint from relay.provider_health_state"),
    ] {
        counts.push((name.to_owned(), u64::try_from(number(sql, statement).await?)?));
    }
    Ok(counts)
}

/// A run in which nothing broke proves nothing.
fn expect(ground: &Ground, counts: &[(String, u64)]) {
    let counted =
        |name: &str| counts.iter().find(|(known, _)| known == name).map_or(0, |(_, number)| *number);
    if counted("keys") != ground.count(Event::Enqueued) {
        ground.fault(format!("{} keys for {} conversions", counted("keys"), ground.count(Event::Enqueued)));
    }
    // A claim whose answer was cut off is an attempt that its runner never heard of, so never less.
    if counted("outcomes in all") < ground.count(Event::Attempt) {
        ground.fault(format!("{} outcomes of more attempts", counted("outcomes in all")));
    }
    for happened in [
        Event::Stale,
        Event::Late,
        Event::DiedAfterClaim,
        Event::DiedAfterSending,
        Event::Killed,
        Event::Restart,
    ] {
        if ground.count(happened) == 0 {
            ground.fault(format!("nothing was proved: no {happened}"));
        }
    }
    if counted("outcomes LEASE_LOST") == 0 {
        ground.fault("nothing was proved: no lease was lost".to_owned());
    }
}
