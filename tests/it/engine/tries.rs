//! Tries: what passes is tried again, what comes again is not, and a checkpoint outlives a crash.

use std::time::Duration;

use serde_json::json;
use shared::engine::{Fault, Ran, TRIES_MAX, Trigger, wait};
use shared::store::StoreError;
use tests::world::World;

use super::{chores, run_chores};

#[tokio::test]
async fn a_connection_that_is_cut_in_the_middle_of_a_run_is_no_failure() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut tries = 0;

    let ran = run_chores(&world, &chores(), Trigger::default(), |running| {
        tries += 1;
        let (first, database) = (tries == 1, &world.database);
        async move {
            if first {
                let killer = database.connect().await?;
                // Until they are gone: one that goes later would cut the next try, too.
                let others = "select pg_terminate_backend(pid, 10000) from pg_stat_activity \
                              where datname = current_database() and pid <> pg_backend_pid()";
                killer.query(others, &[]).await?;
            }
            running.context.store.pause_task("prune", None, "it was written").await?;
            Ok(())
        }
    })
    .await?;

    assert!(matches!(ran, Ran::Run(_)), "{ran:?}");
    assert!(tries <= 2, "a connection that broke is noticed at once, or by the call: {tries}");
    assert_eq!(world.context.store.read_task_pauses().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_comes_again_is_not() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (mut passing, mut fatal) = (0, 0);

    let ran = run_chores(&world, &chores(), Trigger::default(), |_| {
        passing += 1;
        let away = passing < 3;
        async move {
            match away {
                true => Err(StoreError::Unavailable("it restarts".into()).into()),
                false => Ok(()),
            }
        }
    })
    .await?;
    let failed = run_chores(&world, &chores(), Trigger::default(), |_| {
        fatal += 1;
        async { anyhow::bail!("a wall") }
    })
    .await;

    assert!(matches!(ran, Ran::Run(_)), "{ran:?}");
    assert_eq!((passing, fatal), (3, 1));
    assert_eq!(Fault::of(&failed.expect_err("it failed")), Fault::Fatal);
    let told = "select count(*) from relay.task_state where task_key = 'chores' and status = 'ERROR' \
                and error_code = 'TASK_FAILED' and error_message = 'a wall' and consecutive_failures = 1";
    assert_eq!(world.number(told).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_run_stops_trying_in_time_for_its_deadline() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut tries = 0;
    let mut work = super::Doing(|_: shared::engine::Running| {
        tries += 1;
        async { Err(StoreError::Unavailable("it is gone".into()).into()) }
    });

    let bounds = shared::engine::Bounds::after(Duration::from_secs(2));
    let failed =
        shared::engine::run(&world.context, &chores(), Trigger::default(), &json!({}), bounds, &mut work)
            .await;

    assert_eq!(Fault::of(&failed.expect_err("it failed")), Fault::Transient);
    assert_eq!(tries, 1, "the time is kept for writing down how it ended");
    Ok(())
}

#[test]
fn waits_grow_to_four_seconds_and_keep_their_distance_by_chance() {
    let check =
        |next, random, expected| assert_eq!(wait(next, random).as_millis(), expected, "{next} {random}");
    check(2, 0.0, 250);
    check(2, 1.0, 500);
    check(3, 1.0, 1_000);
    check(5, 1.0, 4_000);
    check(50, 1.0, 4_000);
    let longest: Duration = (2..=TRIES_MAX).map(|next| wait(next, 1.0)).sum();
    assert_eq!(longest, Duration::from_millis(7_500), "a database that restarts is back by then");
}

#[tokio::test]
async fn a_checkpoint_is_there_for_the_run_after_a_crash_and_gone_when_the_work_is_done() -> anyhow::Result<()>
{
    let world = World::new().await?;

    run_chores(&world, &chores(), Trigger::default(), async |running| {
        assert_eq!(running.checkpoint, None);
        running.save_checkpoint(Some(&json!({ "week": 40 }))).await?;
        anyhow::bail!("and then the power went")
    })
    .await
    .expect_err("it failed");
    run_chores(&world, &chores(), Trigger::default(), async |running| {
        assert_eq!(running.checkpoint, Some(json!({ "week": 40 })));
        running.save_checkpoint(None).await?;
        Ok(())
    })
    .await?;

    assert_eq!(world.number("select count(*) from relay.task_state where checkpoint is not null").await?, 0);
    Ok(())
}
