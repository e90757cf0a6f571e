//! Partitions: they lie ahead without a gap, whatever the calendar, the session or somebody's lock says.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::store::StoreError;
use tests::world::{World, migrated_database};

/// Weekly partitions whose bounds are no week of UTC, or do not follow the one before.
const CROOKED: &str = "select count(*) from (select id_from, id_to, name, lag(id_to) over (partition by parent order by id_from) as before \
    from relay.read_partitions()) as p \
    where id_to - id_from <> 604800::bigint << 22 or id_from % (604800::bigint << 22) <> 0 or before <> id_from";

#[tokio::test]
async fn weeks_follow_each_other_over_years_and_summer_times() -> anyhow::Result<()> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    sql.batch_execute(
        "set timezone = 'Europe/Berlin'; \
         select relay.drop_partition(parent, name) from relay.read_partitions(); \
         select relay.keep_partitions(104, '2026-01-15 12:00+01')",
    )
    .await?;

    let crooked: i64 = sql.query_one(CROOKED, &[]).await?.get(0);
    let names: String = sql
        .query_one(
            "select string_agg(name, ' ' order by id_from) from relay.read_partitions() \
             where parent = 'conversion' and id_from between relay.id_floor('2026-12-21Z') and relay.id_floor('2027-01-05Z')",
            &[],
        )
        .await?
        .get(0);

    assert_eq!(crooked, 0);
    assert_eq!(names, "conversion_2026w52 conversion_2026w53 conversion_2027w01");
    Ok(())
}

#[tokio::test]
async fn a_week_that_is_missing_in_the_middle_is_made() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;
    let missing = "relay.partition_name('conversion', clock_timestamp() + interval '3 weeks')";
    world.sql.batch_execute(&format!("select relay.drop_partition('conversion', {missing})")).await?;

    let gap = store.count_weeks_ahead().await?;
    let made = store.keep_partitions(8).await?;

    assert_eq!((gap, made, store.count_weeks_ahead().await?), (2, 1, 8));
    assert_eq!(world.number(CROOKED).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_lock_makes_it_give_up_and_nobody_waits_behind_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let curtain = world.database.connect().await?;
    // As a manual ANALYZE would.
    curtain.batch_execute("begin; lock table only relay.conversion in share update exclusive mode").await?;
    let store = world.context.store.clone();

    let keeping = tokio::spawn(async move { store.keep_partitions(20).await });
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    let limit = Instant::now() + Duration::from_secs(10);
    while world.number(waiting).await? == 0 {
        anyhow::ensure!(Instant::now() < limit, "it waits for nothing");
    }
    world.enqueue_many(site, "sale", "ok", 3).await?;
    let still = world.number(waiting).await?;
    let made = keeping.await??;
    curtain.batch_execute("rollback").await?;

    assert_eq!((still, made), (1, 0), "what came in did not wait");
    assert_eq!(world.context.store.keep_partitions(20).await?, 3 * 12);
    assert_eq!(world.run_worker().await?.completed, 3);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn whoever_runs_makes_the_weeks_ahead() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .sql
        .batch_execute(
            "select relay.drop_partition(parent, name) from relay.read_partitions() \
             where id_from > relay.id_floor(clock_timestamp() + interval '2 weeks')",
        )
        .await?;
    assert!(world.context.store.count_weeks_ahead().await? < 4);

    world.run_worker().await?;

    assert_eq!(world.context.store.count_weeks_ahead().await?, 8);
    Ok(())
}

#[tokio::test]
async fn what_comes_in_without_a_partition_makes_it_or_is_refused_whole() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.sql.batch_execute("select relay.drop_partition(parent, name) from relay.read_partitions()").await?;
    let curtain = world.database.connect().await?;
    curtain.batch_execute("begin; lock table only relay.conversion in share update exclusive mode").await?;

    let refused = world.enqueue_many(site, "sale", "ok", 3).await.expect_err("there is no room");
    let keys = world.number("select count(*) from relay.conversion_key").await?;
    curtain.batch_execute("rollback").await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;

    let error = refused.downcast_ref::<StoreError>();
    assert!(matches!(error, Some(StoreError::NoPartition(_))), "{refused:?}");
    assert!(format!("{refused:#}").contains("relay keep-partitions"), "{refused:#}");
    assert_eq!(keys, 0, "nothing was taken in");
    assert_eq!(world.run_worker().await?.completed, 3);
    world.assert_accounted_for().await
}
