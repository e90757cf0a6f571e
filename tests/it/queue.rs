//! What the queue's SQL functions promise: to many at once, by a model, by the shapes of their plans, under chaos.

mod budget;
mod chaos;
mod dead_letters;
mod door;
mod endings;
mod explained;
mod follow;
mod gauges;
mod hammer;
mod hands;
mod herd;
mod lapsed;
mod limits;
mod marks;
mod model;
mod operation;
mod order_ground;
mod order_races;
mod order_walk;
mod orders;
mod outage;
mod plans;
mod requests;
mod semaphore;
mod slots;
mod starvation;
mod state_machine;
mod stops;
mod turns;
mod waits;

use std::collections::BTreeSet;

use tokio_postgres::Client;
use uuid::Uuid;

/// What one group gave.
#[derive(Debug, Clone)]
struct Claimed {
    group: i32,
    token: Uuid,
    is_probe: bool,
    rows: i32,
}

/// One claim call, with a lease of 30 seconds.
async fn claim(sql: &Client, groups: i32, rows: i32, batch: i32) -> anyhow::Result<Vec<Claimed>> {
    let statement = "select group_id, claim_token, is_probe, cardinality(conversion_ids) \
                     from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, $1, $2, $3, 30)";
    let claimed = sql.query(statement, &[&groups, &rows, &batch]).await?;
    let read = |row: &tokio_postgres::Row| Claimed {
        group: row.get(0),
        token: row.get(1),
        is_probe: row.get(2),
        rows: row.get(3),
    };
    Ok(claimed.iter().map(read).collect())
}

/// The claim of the only group that has something due.
async fn claim_one(sql: &Client) -> anyhow::Result<Claimed> {
    let mut claims = claim(sql, 10, 100, 100).await?;
    anyhow::ensure!(claims.len() == 1, "not one claim: {claims:?}");
    Ok(claims.remove(0))
}

/// Opens a request to a target, with a lease of 30 seconds.
async fn open(sql: &Client, token: Uuid, target: i64) -> anyhow::Result<Option<i64>> {
    let statement = "select attempt_id from relay.book_provider_upload_attempt($1, 'ads_api', '00', array[$2::bigint], 30)";
    Ok(sql.query_opt(statement, &[&token, &target]).await?.and_then(|row| row.get(0)))
}

/// One answer for all conversions of a claim.
#[derive(Debug, Clone, Copy)]
struct Answer<'a> {
    attempt: Option<i64>,
    outcome: &'a str,
    class: &'a str,
    /// How the request ended for the circuit.
    circuit: &'a str,
    /// Who is told to wait, and for how many seconds.
    throttle: Option<(&'a str, i32)>,
    /// Not before so long from now.
    not_before: Option<&'a str>,
    keep_slot: bool,
}

impl<'a> Answer<'a> {
    /// Nothing was sent.
    fn unsent(outcome: &'a str, class: &'a str) -> Self {
        Answer {
            attempt: None,
            outcome,
            class,
            circuit: "none",
            throttle: None,
            not_before: None,
            keep_slot: false,
        }
    }
}

/// Settles a claim of so many rows; whether that was accepted.
async fn settle(sql: &Client, token: Uuid, rows: i32, answer: Answer<'_>) -> anyhow::Result<bool> {
    let statement = "select accepted from relay.settle_offline_conversions($1, $2, array_fill($4::text, array[$3::integer]), \
                     array_fill($5::text, array[$3::integer]), array_fill('CODE'::text, array[$3::integer]), array_fill(0, array[$3::integer]), \
                     array_fill(clock_timestamp() + $6::text::interval, array[$3::integer]), array_fill(null::text, array[$3::integer]), \
                     array_fill(null::text, array[$3::integer]), $7, null, null, $8, $9, null, null, null, null, null, $10)";
    let (scope, seconds) = answer.throttle.unzip();
    let row = sql
        .query_one(
            statement,
            &[
                &token,
                &answer.attempt,
                &rows,
                &answer.outcome,
                &answer.class,
                &answer.not_before,
                &answer.circuit,
                &scope,
                &seconds,
                &answer.keep_slot,
            ],
        )
        .await?;
    Ok(row.get(0))
}

/// Opens the circuits of groups as five failed requests do.
async fn open_circuits(sql: &Client, groups: &BTreeSet<i32>) -> anyhow::Result<()> {
    let opened = "select relay.record_provider_outcome(group_id, epoch, 'transient') \
                  from relay.provider_health_state cross join generate_series(1, 5) where group_id = any ($1)";
    sql.query(opened, &[&groups.iter().copied().collect::<Vec<_>>()]).await?;
    Ok(())
}

/// Makes groups that may send, over a quota key with so many slots.
async fn put_groups(sql: &Client, quota_key: &str, slots: i32, count: i32) -> anyhow::Result<BTreeSet<i32>> {
    sql.batch_execute(
        "insert into relay.vault_key (key_version, source, wrapped, created_at) values (1, 'local', '', now()) \
         on conflict do nothing",
    )
    .await?;
    let quota = "insert into relay.quota (quota_key, slots) values ($1, $2) on conflict do nothing";
    sql.execute(quota, &[&quota_key, &slots]).await?;
    let put = "select (relay.put_provider_credentials(gen_random_uuid(), 'google_ads', 1, '', $1)).group_id \
               from generate_series(1, $2)";
    Ok(sql.query(put, &[&quota_key, &count]).await?.iter().map(|row| row.get(0)).collect())
}

/// Takes so many conversions in for each of the groups, due since (or from) that interval from now.
async fn enqueue(sql: &Client, groups: &BTreeSet<i32>, each: i32, due: &str) -> anyhow::Result<()> {
    let groups: Vec<i32> = groups.iter().copied().collect();
    let statement = format!(
        "with given as ( \
           select array_agg(g.site_id) as sites, array_agg(gen_random_uuid()::text) as ids, count(*)::integer as n \
           from relay.delivery_group as g cross join generate_series(1, $2) where g.group_id = any ($1)) \
         select count(*) from given cross join lateral relay.enqueue_offline_conversions( \
           given.sites, array_fill('google_ads'::text, array[n]), given.ids, array_fill('conversion'::text, array[n]), \
           array_fill('\\x00'::bytea, array[n]), array_fill(clock_timestamp() + interval '{due}', array[n]), \
           array_fill(clock_timestamp() + interval '60 days', array[n]), array_fill('{{}}'::jsonb, array[n])) \
         where result in ('queued', 'held')"
    );
    let taken: i64 = sql.query_one(&statement, &[&groups, &each]).await?.get(0);
    anyhow::ensure!(taken == groups.len() as i64 * i64::from(each), "only {taken} were taken in");
    Ok(())
}
