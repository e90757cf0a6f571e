//! Partitions: they lie ahead without a gap, whatever the calendar, the session or somebody's lock says.

use serde_json::json;
use shared::domain::SiteId;
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
    // A week may have begun since the template was migrated.
    store.keep_partitions(8).await?;
    let missing = "relay.partition_name('conversion', clock_timestamp() + interval '3 weeks')";
    world.sql.batch_execute(&format!("select relay.drop_partition('conversion', {missing})")).await?;

    let gap = store.count_weeks_ahead().await?;
    let made = store.keep_partitions(8).await?;

    assert_eq!((gap, made, store.count_weeks_ahead().await?), (2, 1, 8));
    assert_eq!(world.number(CROOKED).await?, 0);
    Ok(())
}

/// Conversions come while it waits for a lock: the weeks that it made, and whether it still waited when they were in.
async fn keep_beside_a_door(world: &World, site: SiteId, name: &str) -> anyhow::Result<(i32, bool)> {
    let store = world.context.store.clone();
    let keeping = tokio::spawn(async move { store.keep_partitions(20).await });
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    while world.number(waiting).await? == 0 && !keeping.is_finished() {}
    world.enqueue_many(site, name, "ok", 3).await?;
    let still_waits = world.number(waiting).await? == 1;
    Ok((keeping.await??, still_waits))
}

#[tokio::test]
async fn a_lock_makes_it_give_up_and_nobody_waits_behind_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    // A week may have begun since the template was migrated.
    world.context.store.keep_partitions(8).await?;
    let curtain = world.database.connect().await?;
    // As a manual ANALYZE would.
    curtain.batch_execute("begin; lock table only relay.conversion in share update exclusive mode").await?;

    // It waits for a second: where the machine stood still for as long, another try tells.
    let mut came = 0;
    loop {
        anyhow::ensure!(came < 30, "what came in waited each time");
        let (made, still_waited) = keep_beside_a_door(&world, site, &format!("sale-{came}")).await?;
        assert_eq!(made, 0, "it gives up");
        came += 3;
        if still_waited {
            break;
        }
    }
    curtain.batch_execute("rollback").await?;

    assert_eq!(world.context.store.keep_partitions(20).await?, 3 * 12);
    assert_eq!(world.run_worker().await?.completed, came);
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
