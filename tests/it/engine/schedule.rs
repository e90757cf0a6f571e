//! Schedules: a scheduled time is done once a run of it has succeeded.

use std::time::Duration;

use jiff::Timestamp;
use shared::engine::{Ran, Schedule, SkipReason, Trigger};
use tests::world::World;

use super::{chores, run_chores};

fn at(time: &str) -> Timestamp {
    time.parse().expect("a time")
}

fn scheduled(time: &str) -> Trigger {
    Trigger { scheduled_time: Some(at(time)), lock_id: None }
}

#[tokio::test]
async fn a_scheduled_time_is_done_once_a_run_of_it_has_succeeded() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (morning, noon) = (scheduled("2026-11-22T06:00:00Z"), scheduled("2026-11-22T12:00:00Z"));

    let failed = run_chores(&world, &chores(), morning, async |_| anyhow::bail!("not today")).await;
    let retried = run_chores(&world, &chores(), morning, async |_| Ok(())).await?;
    let again = run_chores(&world, &chores(), morning, async |_| anyhow::bail!("it ran twice")).await?;
    let next = run_chores(&world, &chores(), noon, async |_| Ok(())).await?;
    let by_hand = run_chores(&world, &chores(), Trigger::default(), async |_| Ok(())).await?;

    assert!(failed.is_err());
    for ran in [retried, next, by_hand] {
        assert!(matches!(ran, Ran::Run(_)), "{ran:?}");
    }
    assert_eq!(again, Ran::Skipped(SkipReason::Done));
    Ok(())
}

#[test]
fn a_slot_is_the_last_scheduled_time_that_has_come() {
    let check = |schedule: Schedule, now: &str, expected: &str| {
        assert_eq!(schedule.slot(at(now)), Some(at(expected)), "{schedule:?} at {now}");
    };
    let five = Schedule::Every(Duration::from_secs(300));
    check(five, "2026-11-22T10:04:59Z", "2026-11-22T10:00:00Z");
    check(five, "2026-11-22T10:05:00Z", "2026-11-22T10:05:00Z");
    check(five, "2026-11-22T10:05:00.9Z", "2026-11-22T10:05:00Z");
    let night = Schedule::Daily { hour: 2 };
    check(night, "2026-11-22T02:00:00Z", "2026-11-22T02:00:00Z");
    check(night, "2026-11-22T01:59:59Z", "2026-11-21T02:00:00Z");
    check(night, "2026-11-22T23:00:00Z", "2026-11-22T02:00:00Z");
    assert_eq!(Schedule::OnRequest.slot(at("2026-11-22T10:00:00Z")), None);
}

#[test]
fn the_next_slot_is_a_whole_interval_after_the_last() {
    let now = at("2026-11-22T10:04:00Z");

    assert_eq!(Schedule::Every(Duration::from_secs(300)).until_next(now), Some(Duration::from_secs(60)));
    assert_eq!(Schedule::Daily { hour: 2 }.until_next(now), Some(Duration::from_secs(15 * 3_600 + 56 * 60)));
    assert_eq!(Schedule::OnRequest.until_next(now), None);
}
