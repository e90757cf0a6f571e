//! Schedules: a scheduled time is done once a run of it has succeeded.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use shared::engine::{self, Bounds, Ran, Running, Schedule, SkipReason, Tally, Trigger, Work};
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

/// A body whose time is up before its work is done, so many times.
struct Long(u32);

impl Work for Long {
    async fn work(&mut self, _: &Running) -> anyhow::Result<()> {
        Ok(())
    }

    fn tally(&self) -> Tally {
        Tally { cut_short: self.0 > 0, ..Tally::default() }
    }
}

#[tokio::test]
async fn a_run_that_was_cut_short_has_not_done_its_scheduled_time() -> anyhow::Result<()> {
    let world = World::new().await?;
    let night = scheduled("2026-11-22T02:00:00Z");
    let run = async |trigger: Trigger, long: u32| {
        let bounds = Bounds::after(Duration::from_secs(30));
        engine::run(&world.context, &chores(), trigger, &json!({}), bounds, &mut Long(long)).await
    };

    let cut = run(night, 1).await;
    let by_hand = run(Trigger::default(), 1).await?;
    let retried = run(night, 0).await?;
    let again = run(night, 0).await?;

    assert!(cut.expect_err("a schedule has to try again").to_string().contains("before its work was done"));
    assert!(matches!(by_hand, Ran::Run(_)) && matches!(retried, Ran::Run(_)), "{by_hand:?} {retried:?}");
    assert_eq!(again, Ran::Skipped(SkipReason::Done));
    let told = "select count(*) from relay.task_runs where status = 'ERROR' and error_code = 'NOT_FINISHED'";
    assert_eq!(world.number(told).await?, 2);
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
