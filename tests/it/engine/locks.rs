//! The lock of an exclusive task: one run at a time, and an owner that was replaced writes nothing more.

use std::time::Duration;

use serde_json::json;
use shared::engine::{Fault, Ran, SkipReason, Trigger};
use shared::store::{Begun, Ended, Fence, NewRun, RunEnd, RunStatus, StoreError};
use tests::world::World;

use super::{LOCK, chores, run_chores};

/// A run that has the lock and does nothing.
async fn begin(world: &World) -> anyhow::Result<(shared::domain::RunId, Fence)> {
    let new = NewRun {
        task_key: "chores",
        owner: "another program",
        provider: None,
        scheduled_time: None,
        request: &json!({}),
        lock: Some((LOCK, Duration::from_secs(60))),
    };
    match world.context.store.begin_task_run(&new).await? {
        Begun::Go { run, fence: Some(fence), .. } => Ok((run, fence)),
        other => anyhow::bail!("{other:?}"),
    }
}

fn nothing(status: RunStatus) -> RunEnd {
    RunEnd { status, requests: 0, http_429: 0, errors: 0, notes: String::new(), counters: json!({}) }
}

#[tokio::test]
async fn while_one_run_has_the_lock_another_is_skipped_and_says_so() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (run, fence) = begin(&world).await?;

    let during = run_chores(&world, &chores(), Trigger::default(), async |_| anyhow::bail!("it ran")).await?;
    let ended = world.context.store.end_task_run(run, Some(fence), &nothing(RunStatus::Done)).await?;
    let after = run_chores(&world, &chores(), Trigger::default(), async |_| Ok(())).await?;

    assert_eq!((during, ended), (Ran::Skipped(SkipReason::Locked), Ended::Written));
    assert!(matches!(after, Ran::Run(_)), "{after:?}");
    let skipped = "select count(*) from relay.task_runs where status = 'SKIPPED' and error_code = 'LOCKED' \
                   and ended_at = started_at and task_key = 'chores'";
    assert_eq!(world.number(skipped).await?, 1, "the history has the skipped run too");
    Ok(())
}

#[tokio::test]
async fn of_sixteen_runs_at_once_one_has_the_lock() -> anyhow::Result<()> {
    let world = World::new().await?;
    let begin = || async {
        let store = world.context.store.clone();
        let request = json!({});
        let new = NewRun {
            task_key: "chores",
            owner: "one of many",
            provider: None,
            scheduled_time: None,
            request: &request,
            lock: Some((LOCK, Duration::from_secs(60))),
        };
        store.begin_task_run(&new).await
    };

    let begun = futures_of(16, begin).await;

    let mut went = 0;
    for begun in begun {
        match begun? {
            Begun::Go { .. } => went += 1,
            Begun::Locked => {}
            other @ (Begun::Paused | Begun::Done) => anyhow::bail!("{other:?}"),
        }
    }
    assert_eq!(went, 1);
    Ok(())
}

/// So many futures at once, and what each gave.
async fn futures_of<T, F: Future<Output = T>>(count: usize, make: impl Fn() -> F) -> Vec<T> {
    let mut waiting: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn a_dead_runs_lock_lapses_and_its_history_says_that_it_is_lost() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (dead, _) = begin(&world).await?;
    let early = run_chores(&world, &chores(), Trigger::default(), async |_| Ok(())).await?;
    world.let_pass("61 seconds").await?;

    let late = run_chores(&world, &chores(), Trigger::default(), async |_| Ok(())).await?;

    assert_eq!(early, Ran::Skipped(SkipReason::Locked));
    assert!(matches!(late, Ran::Run(_)), "{late:?}");
    let lost = format!(
        "select count(*) from relay.task_runs where run_id = {dead} and status = 'ERROR' and error_code = 'RUN_LOST'"
    );
    assert_eq!(world.number(&lost).await?, 1);
    let state = "select count(*) from relay.task_state where task_key = 'chores' and status = 'IDLE' \
                 and consecutive_failures = 0 and error_code = 'RUN_LOST' and last_error_at is not null";
    assert_eq!(world.number(state).await?, 1, "it was told, and the run after it succeeded");
    Ok(())
}

#[tokio::test]
async fn a_replaced_owner_writes_nothing_more() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (run, fence) = begin(&world).await?;
    let owner = world.context.store.fenced(fence);
    owner.pause_task("prune", None, "while the lock is ours").await?;
    world.let_pass("61 seconds").await?;
    let (_, _) = begin(&world).await?;

    // One row, no row and a function of rows: none is called at all.
    let one = owner.pause_task("recover", None, "after it was lost").await.map(drop);
    let none = owner.resume_task("prune").await.map(drop);
    let rows = owner.read_task_pauses().await.map(drop);
    let ended = world.context.store.end_task_run(run, Some(fence), &nothing(RunStatus::Done)).await?;

    for refused in [one, none, rows] {
        assert!(matches!(refused, Err(StoreError::LockLost)), "{refused:?}");
    }
    assert_eq!(ended, Ended::LockLost);
    let pauses = world.context.store.read_task_pauses().await?;
    assert_eq!(pauses.iter().map(|pause| pause.task_key.as_str()).collect::<Vec<_>>(), ["prune"]);
    let held = format!("select count(*) from relay.task_lock where lock_id = {LOCK} and run_id <> {run}");
    assert_eq!(world.number(&held).await?, 1, "the new owner's lock stays");
    Ok(())
}

#[tokio::test]
async fn a_lapsed_lease_that_nobody_took_is_still_its_owners() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (run, fence) = begin(&world).await?;
    world.let_pass("5 minutes").await?;

    world.context.store.fenced(fence).pause_task("prune", None, "late, and alone").await?;
    assert!(world.context.store.refresh_task_lock(fence, Duration::from_secs(60)).await?);
    let ended = world.context.store.end_task_run(run, Some(fence), &nothing(RunStatus::Done)).await?;

    assert_eq!(ended, Ended::Written);
    Ok(())
}

#[tokio::test]
async fn a_task_whose_lock_is_taken_away_stops_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    let task = shared::engine::Descriptor { lease: Duration::from_millis(1_200), ..chores() };
    let thief = world.context.store.clone();
    let mut steps = 0;

    let failure = run_chores(&world, &task, Trigger::default(), |running| {
        steps += 1;
        let thief = thief.clone();
        async move {
            running.context.store.pause_task("prune", None, "before").await?;
            assert!(thief.break_task_lock(LOCK).await?);
            // It waits for somebody else, as for a platform's answer, and learns of its loss meanwhile.
            std::future::pending::<()>().await;
            running.context.store.pause_task("recover", None, "after").await?;
            Ok(())
        }
    })
    .await
    .expect_err("the lock was lost");

    assert_eq!((Fault::of(&failure), steps), (Fault::LockLost, 1), "{failure:#}");
    assert_eq!(world.context.store.read_task_pauses().await?.len(), 1, "nothing was written after it");
    let told = "select count(*) from relay.task_runs where task_key = 'chores' and status = 'ERROR'";
    assert_eq!(world.number(told).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_long_run_keeps_its_lock() -> anyhow::Result<()> {
    let world = World::new().await?;
    let task = shared::engine::Descriptor { lease: Duration::from_secs(1), ..chores() };
    let watcher = world.database.connect().await?;

    let ran = run_chores(&world, &task, Trigger::default(), |_| {
        let watcher = &watcher;
        async move {
            // Until the lease has been renewed well past the first one's end.
            let renewed = format!(
                "select lease_until > acquired_at + interval '2 s' from relay.task_lock where lock_id = {LOCK}"
            );
            while !watcher.query_one(&renewed, &[]).await?.get::<_, bool>(0) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        }
    })
    .await?;

    assert!(matches!(ran, Ran::Run(_)), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn an_upload_that_never_ended_is_lost_after_a_day_and_no_lock_that_is_renewed_is() -> anyhow::Result<()>
{
    let world = World::new().await?;
    let lost = tests::world::begin_run(&world.context.store, "upload:google_ads").await?;
    let (renewed, fence) = begin(&world).await?;
    let late = "select relay.close_lost_runs(25, 10, clock_timestamp() + interval '26 hours')::bigint";
    assert!(world.context.store.refresh_task_lock(fence, Duration::from_secs(3_600)).await?);
    world.let_pass("-26 hours").await?;

    let early = world.context.store.close_lost_runs(25, 10).await?;
    let closed = world.number(late).await?;

    assert_eq!((early, closed), (0, 1));
    let told = |run| {
        format!("select count(*) from relay.task_runs where run_id = {run} and error_code = 'RUN_LOST'")
    };
    assert_eq!(world.number(&told(lost)).await?, 1);
    assert_eq!(world.number(&told(renewed)).await?, 0);
    Ok(())
}
