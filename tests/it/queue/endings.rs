//! What ends by hand, by time and by night, and what is proven, costs what it takes and not what waits or was delivered.

use tests::database::Database;
use tests::world::migrated_database;
use tokio_postgres::Client;
use uuid::Uuid;

use super::explained::Explained;

const ROWS: i32 = 200_000;

/// What one call takes.
const STEP: i32 = 1_000;

/// Each row is found, locked and deleted, and its conversion looked at; some at the edges, and a look into each group.
const READ: f64 = 4.0 * 1_000.0 + 2_500.0;

async fn filled(groups: &str) -> anyhow::Result<(Database, Client, Explained)> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    // Plans that are made over next to nothing, and kept.
    let mut connection = Explained::connect(&database).await?;
    for call in [
        "select from relay.expire_waiting_conversions(null, 0::smallint, null, 1000)",
        "select from relay.cancel_conversions(gen_random_uuid(), null, null, 1000)",
        "select from relay.erase_person(null, 1000)",
        "select from relay.sweep_removed_sites(null, 1000)",
        "select from relay.audit_slice(null, null, 1000, 0)",
        "select from relay.audit_ready(null, 1000, 0)",
        "select from relay.audit_keys(null, 1000, 0)",
    ] {
        for _ in 0..6 {
            connection.query(call, &[]).await?;
        }
    }
    let fill = include_str!("fill.sql")
        .replace("{groups}", groups)
        .replace("{rows}", &ROWS.to_string())
        .replace("{after}", "-1 minute");
    sql.batch_execute(&fill).await?;
    sql.batch_execute("vacuum analyze").await?;
    Ok((database, sql, connection))
}

#[tokio::test]
async fn what_is_ended_costs_what_it_takes() -> anyhow::Result<()> {
    let (_database, sql, mut connection) = filled("1000").await?;
    let largest = "select site_id from relay.delivery_group join relay.ready using (group_id) group by 1 order by count(*) desc limit 1";
    let site: Uuid = sql.query_one(largest, &[]).await?.get(0);
    let ask = "select relay.request_erasure(array[repeat('0', 64)], array[repeat('1', 64)], clock_timestamp() + interval '1 hour')";
    sql.batch_execute(ask).await?;

    let walk = "select examined from relay.expire_waiting_conversions(null, 0::smallint, null, $1)";
    let (walked, of_walk) = connection.query(walk, &[&STEP]).await?;
    let cancel = "select cancelled from relay.cancel_conversions($1, null, null, $2)";
    let (cancelled, of_cancel) = connection.query(cancel, &[&site, &STEP]).await?;
    let erase = "select walked from relay.erase_person(null, $1)";
    let (erased, of_erase) = connection.query(erase, &[&STEP]).await?;
    let (_, of_sweep) = connection.query("select from relay.sweep_removed_sites(null, $1)", &[&STEP]).await?;

    assert_eq!(
        (walked[0].get::<_, i32>(0), cancelled[0].get::<_, i32>(0), erased[0].get::<_, i32>(0)),
        (STEP, STEP, STEP)
    );
    let tables = ["ready", "conversion", "held", "blocked"];
    for (name, plans) in [("walk", of_walk), ("cancel", of_cancel), ("erase", of_erase), ("sweep", of_sweep)]
    {
        assert_eq!(plans.faults(&tables, READ, f64::from(STEP)), [""; 0], "{name}");
    }
    Ok(())
}

/// A hundred days of outcomes: a night reads the pages of one of them.
#[tokio::test]
async fn a_day_is_counted_without_a_walk_through_history() -> anyhow::Result<()> {
    let (_database, sql, mut connection) = filled("100").await?;
    sql.batch_execute(&format!(
        "insert into relay.conversion_outcome (conversion_id, seq, outcome, code, recorded_at) \
         select conversion_id, 1, 'REJECTED', 'CODE', \
           now() - interval '100 days' + number * interval '100 days' / {ROWS} \
         from (select conversion_id, row_number() over (order by conversion_id) as number from relay.conversion) as conversion; \
         insert into relay.scored_day select day::date, now() from generate_series(now() - interval '200 days', now(), '1 day') as day \
           where day::date <> (now() at time zone 'UTC')::date - 50"
    ))
    .await?;
    sql.batch_execute("vacuum analyze").await?;

    let (days, plans) = connection.query("select groups from relay.tally_deliveries(180)", &[]).await?;

    assert!(days.len() == 1 && days[0].get::<_, i32>(0) > 0, "{days:?}");
    let counted = "select sum(failed)::bigint from relay.delivery_day";
    let counted: i64 = sql.query_one(counted, &[]).await?.get(0);
    let a_day = i64::from(ROWS / 100);
    assert!((a_day - 2..=a_day + 2).contains(&counted), "{counted} of a day's {a_day}");
    // The pages of a day, and those beside it that its ranges hold; and the conversion of each.
    let read = plans.rows_read("conversion_outcome");
    assert!(read > 0.0 && read < 20_000.0, "{read} outcomes read for a day's {a_day}");
    assert!(plans.rows_read("conversion_2") < 10_000.0, "{} read", plans.rows_read("conversion_2"));
    Ok(())
}

#[tokio::test]
async fn a_slice_of_the_proof_costs_what_it_holds() -> anyhow::Result<()> {
    let (_database, sql, mut connection) = filled("100").await?;
    let middle = "select conversion_id from relay.conversion order by 1 offset 50000 limit 1";
    let middle: i64 = sql.query_one(middle, &[]).await?.get(0);

    let slice = "select keys, faults_total from relay.audit_slice($1, null, $2, 0)";
    let (found, of_slice) = connection.query(slice, &[&middle, &STEP]).await?;
    let keys =
        "select walked, faults_total from relay.audit_keys('{\"external_id\":\"\",\"group_id\":0}', $1, 0)";
    let (walked, of_keys) = connection.query(keys, &[&STEP]).await?;

    assert_eq!((found[0].get::<_, i64>(0), found[0].get::<_, i64>(1)), (STEP.into(), 0));
    assert_eq!((walked[0].get::<_, i32>(0), walked[0].get::<_, i64>(1)), (STEP, 0));
    let middle = "select jsonb_build_object('group_id', group_id, 'band', band, 'next_attempt_at', next_attempt_at, \
                  'conversion_id', conversion_id) from relay.ready offset 50000 limit 1";
    let middle: serde_json::Value = sql.query_one(middle, &[]).await?.get(0);
    let ready = "select walked, faults_total from relay.audit_ready($1, $2, 0)";
    let (waits, of_ready) = connection.query(ready, &[&middle, &STEP]).await?;
    assert_eq!(waits[0].get::<_, i64>(1), 0);
    for (name, plans) in [("slice", of_slice), ("keys", of_keys), ("ready", of_ready)] {
        for table in ["conversion_2", "conversion_key", "conversion_outcome", "ready"] {
            let read = plans.rows_read(table);
            // The slice looks for where it ends, reads its conversions twice, and each once more for where it waits.
            assert!(read <= 4.0 * f64::from(STEP) + 1.0, "{name} reads {read} of {table}");
        }
    }
    Ok(())
}
