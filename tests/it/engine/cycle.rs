//! Cycles: each task gets its turn, whatever becomes of the others.

use std::time::Duration;

use serde_json::json;
use shared::engine::{BadRequest, Bounds, maintain};
use tests::world::{World, fields};

fn request(event: serde_json::Value) -> anyhow::Result<maintain::Request> {
    Ok(maintain::Request::parse(fields(event))?)
}

fn bounds() -> Bounds {
    Bounds::after(Duration::from_secs(60))
}

#[tokio::test]
async fn one_task_that_fails_stops_no_other_and_the_summary_adds_up() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.context.store.pause_task("prune", None, "a holiday").await?;
    // The key of the vault does not open: probing fails, and nothing else needs it.
    world.site(json!({})).await?;
    world.sql.batch_execute("update relay.vault_key set wrapped = decode('00', 'hex')").await?;
    let context = shared::boot::open_context(&tests::world::config(world.environment())).await?;
    let asked = request(json!({ "tasks": ["probe-credentials", "prune", "keep-partitions", "recover"] }))?;

    let answer = maintain::run(&context, &asked, bounds()).await?;

    assert!(!answer.ok);
    assert_eq!(
        (answer.total, answer.processed, answer.skipped, answer.errors.len()),
        (4, 2, 1, 1),
        "{answer:?}"
    );
    assert_eq!(answer.errors[0]["task_key"], "probe-credentials");
    assert_eq!(answer.tasks["prune"], json!({ "skipped": true, "reason": "paused" }));
    assert_eq!(answer.tasks["recover"]["ok"], json!(true));
    assert_eq!(answer.paused, ["prune"]);
    Ok(())
}

#[tokio::test]
async fn without_names_every_exclusive_task_runs_and_with_a_site_those_that_know_sites() -> anyhow::Result<()>
{
    let world = World::new().await?;
    let site = world.site(json!({})).await?;

    let all = maintain::run(&world.context, &request(json!({}))?, bounds()).await?;
    let one =
        maintain::run(&world.context, &request(json!({ "site_id": site.to_string() }))?, bounds()).await?;

    assert!(all.ok && one.ok, "{all:?} {one:?}");
    assert!(
        all.tasks.contains_key("keep-partitions") && !one.tasks.contains_key("keep-partitions"),
        "{one:?}"
    );
    assert!(one.tasks.contains_key("recover") && one.tasks.contains_key("probe-credentials"));
    assert!(!all.tasks.contains_key("seed") && !all.tasks.contains_key("upload:google_ads"));
    Ok(())
}

#[tokio::test]
async fn what_no_task_takes_is_refused_by_name() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = uuid::Uuid::new_v4().to_string();
    for (event, told) in [
        (json!({ "tasks": ["sweep"] }), "tasks names \"sweep\", which is none of"),
        (json!({ "tasks": ["upload:google_ads"] }), "which is none of"),
        (json!({ "tasks": ["prune"], "site_id": site }), "site_id does not narrow prune"),
        (json!({ "lockId": 7 }), "lockId is for one task"),
        (json!({ "tasks": 7 }), "tasks must be a list of task keys"),
        (json!({ "task": "prune" }), "task is no field"),
    ] {
        let failed = match request(event.clone()) {
            Ok(request) => maintain::run(&world.context, &request, bounds()).await.map(drop),
            Err(failed) => Err(failed),
        };
        let failed = failed.expect_err(told);
        assert!(
            failed.downcast_ref::<BadRequest>().is_some_and(|bad| bad.0.contains(told)),
            "{event}: {failed:#}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_schedule_whose_task_failed_fails_and_its_retry_runs_what_is_not_done() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.site(json!({})).await?;
    let scheduled = || {
        request(json!({
            "tasks": ["probe-credentials", "keep-partitions"], "scheduled_time": "2026-11-22T02:00:00Z",
        }))
    };
    let mend = "update relay.vault_key set wrapped = decode(current_setting('test.wrapped'), 'hex')";
    let wrapped: String =
        world.sql.query_one("select encode(wrapped, 'hex') from relay.vault_key", &[]).await?.get(0);
    world.sql.batch_execute(&format!("set test.wrapped = '{wrapped}'")).await?;
    world.sql.batch_execute("update relay.vault_key set wrapped = decode('00', 'hex')").await?;
    let context = shared::boot::open_context(&tests::world::config(world.environment())).await?;

    let first = maintain::run(&context, &scheduled()?, bounds()).await;
    world.sql.batch_execute(mend).await?;
    let retry = maintain::run(&context, &scheduled()?, bounds()).await?;

    assert!(first.expect_err("a task failed").to_string().contains("1 of 2 tasks failed"));
    assert!(retry.ok, "{retry:?}");
    assert_eq!(retry.tasks["keep-partitions"], json!({ "skipped": true, "reason": "done" }));
    assert_eq!(retry.tasks["probe-credentials"]["processed"], json!(1), "{retry:?}");
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_gone_is_an_error_and_never_an_empty_summary() -> anyhow::Result<()> {
    let world = World::new().await?;
    let name = world.database.name();
    // Nobody gets in any more, and whoever is in is thrown out.
    let admin = tests::database::connect(&tests::database::server().url("postgres")).await?;
    admin.batch_execute(&format!("alter database \"{name}\" with allow_connections false")).await?;
    admin
        .execute("select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = $1", &[&name])
        .await?;

    let answer = maintain::run(&world.context, &request(json!({}))?, bounds()).await;
    let run = world.call_runner(json!({ "mode": "worker", "provider_key": "google_ads" })).await;

    admin.batch_execute(&format!("alter database \"{name}\" with allow_connections true")).await?;
    for failed in [answer.map(drop), run.map(drop)] {
        assert_eq!(
            shared::engine::Fault::of(&failed.expect_err("it is gone")),
            shared::engine::Fault::Transient
        );
    }
    Ok(())
}
