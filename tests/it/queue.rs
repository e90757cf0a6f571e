//! What the queue promises to many at once: no claim too many, nobody starved, nothing lost.

mod chaos;
mod herd;
mod semaphore;
mod starvation;

use std::collections::BTreeSet;

use tokio_postgres::Client;
use uuid::Uuid;

/// What one group gave.
#[derive(Debug)]
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
