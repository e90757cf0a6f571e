//! Every column of the engine's tables is written by a program that lives.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shared::engine::Trigger;
use tests::world::World;

use super::{chores, run_chores};

/// The columns of a table that no row fills: null, or what they were made with.
async fn unwritten(world: &World, table: &str) -> anyhow::Result<Vec<String>> {
    let columns = world
        .sql
        .query(
            "select column_name::text, coalesce(column_default, 'null')::text from information_schema.columns \
             where table_schema = 'relay' and table_name = $1",
            &[&table],
        )
        .await?;
    let mut unwritten = Vec::new();
    for column in &columns {
        let (name, default): (&str, &str) = (column.get(0), column.get(1));
        let written = format!("select count(*) from relay.{table} where {name} is distinct from {default}");
        if world.number(&written).await? == 0 {
            unwritten.push(name.to_owned());
        }
    }
    assert!(columns.len() > 3, "{table} is there");
    Ok(unwritten)
}

#[tokio::test]
async fn every_column_of_state_history_locks_and_pauses_is_written_by_runs() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "limited", "http.429*1", 2).await?;
    world.enqueue_many(site, "bad", "http.503*1", 2).await?;
    let schedule = json!({
        "mode": "worker", "provider_key": "google_ads", "scheduled_time": "2026-11-22T10:00:00Z",
    });

    let answer = world.run(schedule).await?;
    run_chores(&world, &chores(), Trigger::default(), async |running| {
        running.save_checkpoint(Some(&json!({ "at": 7 }))).await?;
        anyhow::bail!("the first try of three")
    })
    .await
    .expect_err("it failed");
    let locks = Mutex::new(Vec::new());
    run_chores(&world, &chores(), Trigger::default(), |_| async {
        let unwritten = unwritten(&world, "task_lock").await?;
        locks.lock().expect("nobody panicked").extend(unwritten);
        Ok(())
    })
    .await?;
    run_chores(&world, &chores(), Trigger::default(), async |_| anyhow::bail!("again"))
        .await
        .expect_err("it failed");
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    world.context.store.pause_task("prune", Some(later), "a holiday").await?;
    for table in ["task_state", "task_runs", "task_pause", "pause"] {
        let mut unwritten = unwritten(&world, table).await?;
        // A rate limit pauses all sites of a provider: one site is paused by an operator alone.
        unwritten.retain(|column| (table, column.as_str()) != ("pause", "site_id"));
        assert_eq!(unwritten, [""; 0], "{table}");
    }
    assert_eq!(locks.into_inner().expect("nobody panicked"), [""; 0]);
    let run = "select requests_count, http_429_count, errors_count, counters->>'processed', notes \
               from relay.task_runs where run_id = $1";
    let run = world.sql.query_one(run, &[&answer.run_id.0]).await?;
    let counts: (i64, i64, i64) = (run.get(0), run.get(1), run.get(2));
    assert!(counts.0 >= counts.1 && counts.1 >= 1, "{counts:?}");
    let sent = "select count(*) from relay.provider_upload_attempts";
    assert_eq!(counts.0, world.number(sent).await?, "each request stands in the ledger");
    assert_eq!(run.get::<_, String>(3), answer.processed.to_string());
    assert_eq!(run.get::<_, String>(4), "stopped: drained");
    Ok(())
}

#[tokio::test]
async fn a_run_is_opened_once_and_closed_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.run_worker().await?;

    for change in [
        "update relay.task_runs set notes = 'better'",
        "update relay.task_runs set ended_at = null, status = null",
        "delete from relay.task_runs",
    ] {
        let refused = world.sql.batch_execute(change).await.expect_err(change);
        assert_eq!(refused.code().map(|code| code.code()), Some("CR005"), "{change}");
    }
    Ok(())
}
