//! Silence: a group that stays away for three times as long as it usually does.

use jiff::{Timestamp, ToSpan as _};
use serde_json::json;
use tests::world::World;

use super::{all, of_site, take};

/// Conversions come to the only group at these hours, counted from now.
async fn come(world: &World, hours: &[i64]) -> anyhow::Result<Timestamp> {
    let now = Timestamp::now();
    for hour in hours {
        let at = now + hour.hours();
        world.sql.query("select relay.note_arrivals(array[1], $1)", &[&at]).await?;
    }
    Ok(now)
}

async fn silent_at(world: &World, at: Timestamp) -> anyhow::Result<bool> {
    world.sql.query("select relay.take_gauges(10, p_now => $1)", &[&at]).await?;
    Ok(all(&world.context.store.read_gauges(0).await?).silent_groups == 1)
}

#[tokio::test]
async fn a_group_is_silent_after_three_times_its_usual_gap_and_until_it_comes_again() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.site(json!({})).await?;
    let now = come(&world, &[0, 1, 2, 3, 4, 5]).await?;

    let before = silent_at(&world, now + 7.hours() + 55.minutes()).await?;
    let after = silent_at(&world, now + 8.hours() + 5.minutes()).await?;
    world.sql.query("select relay.note_arrivals(array[1], $1)", &[&(now + 9.hours())]).await?;
    let again = silent_at(&world, now + 9.hours() + 1.minute()).await?;

    assert_eq!((before, after, again), (false, true, false));
    Ok(())
}

#[tokio::test]
async fn a_night_is_usual_to_who_has_nights() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.site(json!({})).await?;
    let hours: Vec<i64> = (0..3).flat_map(|day| (8..20).map(move |hour| day * 24 + hour)).collect();
    let now = come(&world, &hours).await?;
    let last = now + (2 * 24 + 19).hours();

    let in_the_night = silent_at(&world, last + 12.hours()).await?;
    let after_two_days = silent_at(&world, last + 48.hours()).await?;

    assert_eq!((in_the_night, after_two_days), (false, true));
    Ok(())
}

#[tokio::test]
async fn a_silence_that_was_told_of_does_not_become_usual_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.site(json!({})).await?;
    let now = come(&world, &[0, 1, 2, 3, 4, 5, 105]).await?;

    let silent = silent_at(&world, now + (105 + 10).hours()).await?;

    assert!(silent, "three hours are the most that it may have learnt from a hundred");
    Ok(())
}

#[tokio::test]
async fn nobody_is_watched_before_it_has_come_a_few_times() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.site(json!({})).await?;
    let now = come(&world, &[0, 1, 2]).await?;

    assert!(!silent_at(&world, now + 300.hours()).await?);
    Ok(())
}

#[tokio::test]
async fn the_door_notes_who_came_once_a_minute_and_waits_for_nobody() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let arrivals = "select arrivals from relay.provider_upload_metrics";

    world.enqueue_many(site, "one", "ok", 3).await?;
    world.enqueue_many(site, "two", "ok", 3).await?;
    let first = world.number(arrivals).await?;
    world.let_pass("2 minutes").await?;
    let mut other = world.database.connect().await?;
    let lock = other.transaction().await?;
    lock.batch_execute("select from relay.provider_upload_metrics for update").await?;
    world.enqueue_many(site, "three", "ok", 1).await?;
    lock.rollback().await?;
    let passed = world.number(arrivals).await?;
    world.enqueue_many(site, "four", "ok", 1).await?;

    assert_eq!((first, passed, world.number(arrivals).await?), (1, 1, 2));
    let gauges = take(&world).await?;
    assert!(of_site(&gauges, site).last_arrival_at.is_some());
    assert_eq!(of_site(&gauges, site).usual_gap_seconds.map(|gap| gap >= 120.0), Some(true));
    Ok(())
}
