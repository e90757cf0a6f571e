//! What the model of `relay plan` was told was measured, measured again: with the real schema, producer, runner, and budget.

use std::collections::BTreeMap;
use std::time::Duration;

use relay_cli::plan::limits::{RECEIPT_AFTER, SLOTS};
use relay_cli::plan::measured::{
    BYTES_OF_KEY_INDEX, BYTES_PER_CONVERSION, BYTES_PER_OUTCOME, BYTES_PER_UPLOAD, ROWS_WRITTEN,
    RUNNER_ROW_CPU, UPLOAD_CPU, UPLOAD_ROW_CPU, WAL_PER_CONVERSION, WAL_PER_UPLOAD,
};
use relay_cli::plan::{Input, Limits, Transport};
use serde_json::{Value, json};
use shared::domain::SiteId;
use tests::world::World;

use super::plan::input;

const RESULTS: &str = include_str!("../../../bench/RESULTS.md");
const SETTLES: &str = include_str!("../../../migrations/functions/settle/settle_claimed_conversions.sql");

/// Bytes of tables and of their indexes.
type Sizes = BTreeMap<String, [i64; 2]>;

/// Bytes of a table with its indexes and partitions, and of its indexes alone. Without the maps that a vacuum makes beside them:
/// whether one came meanwhile is luck.
const SIZES: &str = "
    select coalesce(parent.relname, class.relname)::text,
      sum(pg_relation_size(class.oid) + of_indexes.bytes)::bigint, sum(of_indexes.bytes)::bigint
    from pg_class as class
    cross join lateral (
      select coalesce(sum(pg_relation_size(pg_index.indexrelid)), 0) as bytes from pg_index where pg_index.indrelid = class.oid
    ) as of_indexes
    left join pg_inherits on pg_inherits.inhrelid = class.oid
    left join pg_class as parent on parent.oid = pg_inherits.inhparent
    where class.relnamespace = 'relay'::regnamespace and class.relkind = 'r'
    group by 1";

/// Uploads of one conversion again, under other ids.
const COPY_UPLOADS: &str = "
    with copied as materialized (
      select attempt.attempt_id, max(attempt.attempt_id) over () + row_number() over () as copy_id, copy || left(attempt.provider_request_id, -length(copy::text)) as request
      from relay.provider_upload_attempts as attempt
      cross join generate_series(100, 99 + {copies}) as copy
      where attempt.conversions = 1
      order by 2
    ), booked as (
      insert into relay.provider_upload_attempts
      select (jsonb_populate_record(attempt, jsonb_build_object('attempt_id', copy_id, 'provider_request_id', request))).*
      from copied join relay.provider_upload_attempts as attempt using (attempt_id)
    ), promised as (
      insert into relay.receipt
      select (jsonb_populate_record(receipt, jsonb_build_object('attempt_id', copy_id, 'provider_request_id', request))).*
      from copied join relay.receipt using (attempt_id)
    )
    select count(*) from copied";

async fn sizes(world: &World) -> Sizes {
    let rows = world.sql.query(SIZES, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), [row.get(1), row.get(2)])).collect()
}

fn grown(before: &Sizes, after: &Sizes, table: &str) -> [f64; 2] {
    let at = |sizes: &Sizes, which| sizes[table][which];
    #[allow(clippy::cast_precision_loss)] // A few megabytes.
    [0, 1].map(|which| (at(after, which) - at(before, which)) as f64)
}

/// The conversion of the benchmarks: a click id of ninety characters and an e-mail address.
fn usual(name: &str, number: usize) -> Value {
    json!({
        "external_id": format!("{name}-{number:06}"),
        "click_ids": { "gclid": format!("Cj0KCQiA-plan-click-id-of-the-usual-length-of-about-ninety-characters-{number:09}-wcB") },
        "user": { "email": format!("person{number}@example.com") },
    })
}

/// One site after the other: who writes beside others makes PostgreSQL lengthen a table by many pages at once, and a small
/// one would be measured by its empty pages.
async fn enqueue_and_send(world: &World, site: SiteId, name: &str, count: usize) {
    let rows: Vec<Value> = (0..count).map(|number| usual(name, number)).collect();
    world.enqueue(site, &rows).await.unwrap();
    let event = json!({ "mode": "worker", "provider_key": "google_ads", "site_id": site.to_string() });
    let ran = world.run(event).await.unwrap();
    assert_eq!(ran.submitted, count as u64, "{ran:?}");
}

/// Within an eighth.
#[track_caller]
fn assert_near(what: &str, measured: f64, model: f64) {
    let off = (measured / model - 1.0).abs();
    assert!(off <= 0.125, "{what}: measured {measured:.3}, the model says {model:.3}");
}

#[tokio::test]
async fn what_a_conversion_and_an_upload_leave_behind_is_what_the_model_says() {
    const SITES: usize = 10;
    const EACH: usize = 2_000;
    const ALONE: usize = 20;
    const COPIES: i32 = 250;
    // Two thousand conversions in one request take their time without optimisation.
    let world = World::with(Duration::from_secs(60)).await.unwrap();
    let mut sites = Vec::new();
    for _ in 0..SITES + ALONE {
        sites.push(world.site(json!({ "transport": "data_manager" })).await.unwrap());
    }
    let before = sizes(&world).await;

    for (number, site) in sites[..SITES].iter().enumerate() {
        enqueue_and_send(&world, *site, &format!("order-{number}"), EACH).await;
    }
    let between = sizes(&world).await;
    for (number, site) in sites[SITES..].iter().enumerate() {
        enqueue_and_send(&world, *site, &format!("alone-{number}"), 1).await;
    }
    let conversions = (SITES * EACH) as f64;
    let [all, outcome, uploads] = [
        ["conversion", "conversion_key", "conversion_outcome"].as_slice(),
        &["conversion_outcome"],
        &["provider_upload_attempts", "receipt"],
    ]
    .map(|tables| tables.to_vec());
    let sum = |from: &Sizes, to: &Sizes, tables: &[&str]| -> f64 {
        tables.iter().map(|table| grown(from, to, table)[0]).sum()
    };
    assert_near("bytes", sum(&before, &between, &all) / conversions, BYTES_PER_CONVERSION);
    assert_near("bytes of an outcome", sum(&before, &between, &outcome) / conversions, BYTES_PER_OUTCOME);
    let index = grown(&before, &between, "conversion_key")[1] / conversions;
    assert_near("bytes of the key's indexes", index, BYTES_OF_KEY_INDEX);
    // In and out of the line makes five; what one request carries is one row of the ledger.
    let kept = "select (select count(*) from relay.conversion) + (select count(*) from relay.conversion_key) \
                + (select count(*) from relay.conversion_outcome) + 2 * count(*) from relay.conversion \
                where not exists (select from relay.ready) and not exists (select from relay.inflight)";
    let rows = world.number(kept).await.unwrap() as f64;
    assert!((rows / (conversions + ALONE as f64) - ROWS_WRITTEN).abs() < 1e-9, "{rows}");
    let requests = world.number("select count(*) from relay.provider_upload_attempts").await.unwrap();
    assert_eq!(requests, (SITES + ALONE) as i64);

    // A few pages would be measured by what is empty of them: the ledger's rows of those that went alone, often.
    let before = sizes(&world).await;
    let copies = world.number(&COPY_UPLOADS.replace("{copies}", &COPIES.to_string())).await.unwrap();
    let after = sizes(&world).await;
    assert_eq!(copies, (ALONE as i64) * i64::from(COPIES));
    assert_near("bytes of an upload", sum(&before, &after, &uploads) / copies as f64, BYTES_PER_UPLOAD);
}

#[tokio::test]
async fn the_database_has_the_slots_and_the_pace_that_the_model_takes() {
    let world = World::new().await.unwrap();
    let limits = Limits::read(Transport::DataManager).unwrap();
    let one = Input { clients: 1, sites: 1, ..input() };
    let (minute, day) = (limits.budget.per_minute.unwrap(), limits.budget.per_day.unwrap());

    let put =
        format!("insert into relay.quota (quota_key, per_minute, per_day) values ('plan', {minute}, {day})");
    world.sql.batch_execute(&put).await.unwrap();
    let read = "select quota.slots, extract(epoch from budget.minute_pace)::float8, \
                extract(epoch from budget.day_pace)::float8 \
                from relay.quota cross join lateral relay.read_budget(quota, clock_timestamp()) as budget \
                where quota.quota_key = 'plan'";
    let row = world.sql.query_one(read, &[]).await.unwrap();

    assert_eq!(u32::try_from(row.get::<_, i32>(0)).unwrap(), SLOTS);
    // Rounded up to the microsecond there.
    let each = [(1, limits.minute_per_second(&one)), (2, limits.day_per_second(&one))];
    for (column, pace) in each {
        let seconds: f64 = row.get(column);
        assert!((seconds - 1.0 / pace.unwrap()).abs() < 2e-6, "{seconds} {pace:?}");
    }
    let first_question = format!("v_now + interval '{} minutes'", RECEIPT_AFTER / 60.0);
    assert!(SETTLES.contains(&first_question), "{first_question}");
}

#[test]
fn the_recorded_benchmark_is_what_the_model_says() {
    // The first table of the whole path: 100,000 rows in 100 requests.
    let line = RESULTS.lines().find(|line| line.starts_with("| relay: HTTP upload, all persisted")).unwrap();
    let cells: Vec<f64> =
        line.split('|').map(|cell| cell.trim().replace(',', "").parse().unwrap_or(f64::NAN)).collect();
    let (rows, requests) = (100_000.0, 100.0);
    assert!((cells[2] - rows).abs() < 0.5, "{line}");

    assert_near("CPU seconds", cells[4], rows * UPLOAD_ROW_CPU + requests * UPLOAD_CPU);
    assert_near("worker's CPU seconds", cells[5], rows * RUNNER_ROW_CPU + requests * 0.0);
    let door = 1_025.0;
    let wal = (rows * (WAL_PER_CONVERSION - door) + requests * WAL_PER_UPLOAD) / rows;
    assert_near("bytes of WAL", cells[8], wal);
}
