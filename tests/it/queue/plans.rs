//! The shape of the plans over a million rows: what a call costs depends on what it takes and not on what waits.

use jiff::Timestamp;
use tests::database::Database;
use tests::world::migrated_database;
use tokio_postgres::Client;
use uuid::Uuid;

use super::explained::{Explained, Plans};
use super::model::seconds;

/// What a run asks for.
const BATCH: i32 = 1_000;

/// What has a row for each conversion or group, partitions included.
const GROWING: [&str; 5] = ["ready", "held", "delivery_group", "provider_", "conversion"];

/// Rows that one call may read for each that it takes: once to find it, once to delete it, and some at the edges.
const READ_PER_ROW: f64 = 3.0;

/// And four times what it takes where rows are scarce: so far it counts to share them out.
const READ_TO_SHARE: usize = 4;

/// And besides: what is next in each group that it visits, the group itself, its circuit; and another count where the first
/// groups had less than their share. A plan that is wrong reads tens of thousands.
const READ_BESIDES: f64 = 1_500.0;

/// A call of each function, checked or not.
struct Caller {
    connection: Explained,
    now: Timestamp,
    enqueued: usize,
}

impl Caller {
    async fn new(database: &Database) -> anyhow::Result<Self> {
        Ok(Self { connection: Explained::connect(database).await?, now: Timestamp::now(), enqueued: 0 })
    }

    /// So often that plans are made for good.
    async fn warm_up(&mut self, site: Uuid) -> anyhow::Result<()> {
        for _ in 0..8 {
            for (token, rows) in self.claim(6).await?.0 {
                self.settle(token, rows).await?;
            }
            self.expire(5).await?;
            self.claim(6).await?;
            self.recover().await?;
            self.enqueue(site, 6).await?;
            self.adjust(site, 6).await?;
        }
        Ok(())
    }

    async fn claim(&mut self, batch: i32) -> anyhow::Result<(Vec<(Uuid, usize)>, Plans)> {
        let claim = "select claim_token, conversion_ids \
                     from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, $1, $1, 600, $2)";
        let (rows, plans) = self.connection.query(claim, &[&batch, &self.now]).await?;
        Ok((rows.iter().map(|row| (row.get(0), row.get::<_, Vec<i64>>(1).len())).collect(), plans))
    }

    /// A third of the rows each is delivered, goes again, is parked.
    async fn settle(&mut self, token: Uuid, rows: usize) -> anyhow::Result<Plans> {
        let settle = "select accepted from relay.settle_offline_conversions($1, null, $2, $3, $4, $5, $6, $7, $8, \
                      'success', null, null, null, null, null, null, null, null, null, false, $9)";
        let outcomes: Vec<_> = (0..rows).map(|row| ["DELIVERED", "RETRY", "HELD"][row % 3]).collect();
        let parked: Vec<_> = outcomes.iter().map(|outcome| (*outcome == "HELD").then_some("row")).collect();
        let (none, waits) = (vec![None::<&str>; rows], vec![60; rows]);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
            &token,
            &outcomes,
            &none,
            &none,
            &waits,
            &vec![None::<Timestamp>; rows],
            &parked,
            &parked,
            &self.now,
        ];
        Ok(self.connection.query(settle, &parameters).await?.1)
    }

    /// Every second one is new.
    async fn enqueue(&mut self, site: Uuid, rows: usize) -> anyhow::Result<Plans> {
        let enqueue =
            "select result from relay.enqueue_offline_conversions($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let ids: Vec<_> = (0..rows).map(|row| format!("enqueued-{}", row / 2 + self.enqueued)).collect();
        self.enqueued += rows;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
            &vec![site; rows],
            &vec!["google_ads"; rows],
            &ids,
            &vec!["conversion"; rows],
            &vec![b"0".as_slice(); rows],
            &vec![None::<Timestamp>; rows],
            &vec![self.now + seconds(2_592_000); rows],
            &vec![serde_json::json!({}); rows],
            &self.now,
        ];
        Ok(self.connection.query(enqueue, &parameters).await?.1)
    }

    /// Restatements that name an order and nobody: whom it is known by is looked up.
    async fn adjust(&mut self, site: Uuid, rows: usize) -> anyhow::Result<Plans> {
        let adjust = "select result from relay.take_in_offline_conversions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let ids: Vec<_> = (0..rows).map(|row| format!("adjusted-{}", row + self.enqueued)).collect();
        let orders: Vec<_> = (0..rows).map(|row| format!("enqueued-{row}")).collect();
        self.enqueued += rows;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 11] = [
            &vec![site; rows],
            &vec!["google_ads"; rows],
            &ids,
            &vec!["restatement"; rows],
            &vec![b"0".as_slice(); rows],
            &vec![None::<Timestamp>; rows],
            &vec![self.now + seconds(2_592_000); rows],
            &vec![serde_json::json!({}); rows],
            &(0..rows).map(|_| Uuid::new_v4()).collect::<Vec<_>>(),
            &orders,
            &self.now,
        ];
        Ok(self.connection.query(adjust, &parameters).await?.1)
    }

    /// As after a crash, an hour later.
    async fn recover(&mut self) -> anyhow::Result<(i32, Plans)> {
        let recover = "select requeued from relay.recover_offline_conversions(0, null, 1, $1)";
        let (rows, plans) = self.connection.query(recover, &[&(self.now + seconds(3_600))]).await?;
        Ok((rows[0].get(0), plans))
    }

    async fn expire(&mut self, limit: i32) -> anyhow::Result<Plans> {
        let expire = "select examined from relay.expire_conversions($1, $2)";
        let (rows, plans) = self.connection.query(expire, &[&limit, &self.now]).await?;
        assert!(rows[0].get::<_, i32>(0) <= limit);
        Ok(plans)
    }

    /// One of each, over a million rows; what is wrong with it.
    async fn faults(&mut self, site: Uuid, whose: &str) -> anyhow::Result<Vec<String>> {
        let (claims, claimed) = self.claim(BATCH).await?;
        let taken: usize = claims.iter().map(|(_, rows)| rows).sum();
        assert!(
            claimed.uses("ready_pkey") && claimed.uses("delivery_group_turn"),
            "{whose}: no plans were told"
        );
        assert!(taken > 0 && claimed.rows_read("ready") >= taken as f64, "{whose}: no plans were told");
        let read = taken * (3 + READ_TO_SHARE) / 3;
        let mut faults = faults(&format!("{whose}: claim"), &claimed, read, &GROWING);

        let (token, rows) = claims.into_iter().max_by_key(|(_, rows)| *rows).expect("something was claimed");
        let settled = self.settle(token, rows).await?;
        faults.extend(self::faults(&format!("{whose}: settle"), &settled, rows, &GROWING));

        let expired = self.expire(BATCH).await?;
        assert!(expired.rows_read("ready") >= f64::from(BATCH), "{whose}: no plans were told");
        faults.extend(self::faults(&format!("{whose}: expire"), &expired, BATCH as usize, &GROWING));

        let (requeued, recovered) = self.recover().await?;
        assert!(requeued > 0, "{whose}: nothing was recovered");
        faults.extend(self::faults(&format!("{whose}: recover"), &recovered, requeued as usize, &GROWING));

        let enqueued = self.enqueue(site, BATCH as usize).await?;
        // A thousand conversions may be of a thousand groups: it may read them all, but nothing that waits.
        let what = format!("{whose}: enqueue");
        faults.extend(self::faults(&what, &enqueued, BATCH as usize, &["ready", "conversion"]));
        // As many as are planned for in general, and one alone.
        for few in [16, 1] {
            let enqueued = self.enqueue(site, few).await?;
            faults.extend(self::faults(&what, &enqueued, few, &["ready", "conversion", "delivery_group"]));
        }
        // Each of them sorts two keys.
        for rows in [BATCH as usize / 2, 16, 1] {
            let adjusted = self.adjust(site, rows).await?;
            assert!(adjusted.rows_read("conversion_key") >= 1.0, "{whose}: no plans were told");
            let what = format!("{whose}: adjust");
            faults.extend(self::faults(&what, &adjusted, rows, &["ready", "conversion", "order_"]));
        }
        Ok(faults)
    }
}

fn faults(what: &str, plans: &Plans, rows: usize, tables: &[&str]) -> Vec<String> {
    let bound = READ_PER_ROW * rows as f64 + READ_BESIDES;
    let faults = plans.faults(tables, bound, f64::from(BATCH));
    faults.iter().map(|fault| format!("{what}: {fault}")).collect()
}

async fn fill(sql: &Client, groups: i32, rows: i32, after: &str) -> anyhow::Result<()> {
    let fill = include_str!("fill.sql")
        .replace("{groups}", &groups.to_string())
        .replace("{rows}", &rows.to_string())
        .replace("{after}", after);
    Ok(sql.batch_execute(&fill).await?)
}

/// A database whose statistics come when a test says so, and a caller whose plans were made over next to nothing and
/// are kept for as long as its connection lives.
async fn warm_caller() -> anyhow::Result<(Database, Client, Uuid, Caller)> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    // The look for strays, once in 30 seconds, does walk the groups: it is not what is looked at here.
    sql.batch_execute(
        "update relay.upkeep set done_at = now() + interval '1 day'; \
         select relay.keep_partitions(1, clock_timestamp() - interval '1 hour'); \
         do $$ declare name regclass; begin \
         for name in select oid from pg_class where relnamespace = 'relay'::regnamespace and relkind = 'r' loop \
         execute format('alter table %s set (autovacuum_enabled = off)', name); end loop; end $$",
    )
    .await?;
    fill(&sql, 3, 60, "-1 hour").await?;
    let site =
        sql.query_one("select site_id from relay.delivery_group where group_id = 1", &[]).await?.get(0);
    let mut warm = Caller::new(&database).await?;
    warm.warm_up(site).await?;
    Ok((database, sql, site, warm))
}

#[tokio::test]
async fn over_a_million_rows_no_call_reads_more_than_it_takes() -> anyhow::Result<()> {
    let (database, sql, site, mut warm) = warm_caller().await?;
    fill(&sql, 10_000, 1_000_000, "-1 minute").await?;

    let mut faults = warm.faults(site, "with plans of the empty table").await?;
    sql.batch_execute("analyze").await?;
    faults.extend(warm.faults(site, "with new statistics").await?);
    faults.extend(Caller::new(&database).await?.faults(site, "over a new connection").await?);

    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    Ok(())
}

/// Of a partition that was empty when the statistics were taken, plans think for a while that it still is.
#[tokio::test]
async fn in_a_new_week_no_call_reads_more_than_it_takes() -> anyhow::Result<()> {
    let (_database, sql, site, mut warm) = warm_caller().await?;
    sql.batch_execute("analyze").await?;
    warm.warm_up(site).await?;
    fill(&sql, 100, 50_000, "7 days").await?;
    sql.batch_execute(
        "update relay.delivery_group set turn_at = now() - interval '2 hours' where group_id > 3",
    )
    .await?;

    let faults = warm.faults(site, "in a new week").await?;

    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    Ok(())
}
