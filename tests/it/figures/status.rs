//! `relay status`: the figures as a person and a script see them.

use std::process::Command;

use serde_json::{Value, json};
use tests::binaries::binary;
use tests::world::World;

use super::take;

async fn status(world: &World, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(binary("relay")?);
    command.arg("status").args(arguments).env_clear().envs(world.environment());
    let ran = tokio::task::spawn_blocking(move || command.output()).await??;
    anyhow::ensure!(ran.status.success(), "{ran:?}");
    Ok(String::from_utf8(ran.stdout)?)
}

async fn told(world: &World, arguments: &[&str]) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&status(world, &[arguments, &["--json"]].concat()).await?)?)
}

#[tokio::test]
async fn it_shows_providers_then_the_worst_groups_within_eighty_columns() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (well, open) = (world.site(json!({})).await?, world.site(json!({})).await?);
    world.enqueue_many(open, "outage", "http.503", 6).await?;
    world.enqueue_many(well, "bad", "error.UNPARSEABLE_GCLID", 2).await?;
    world.run_worker().await?;
    let bare = shared::domain::SiteId(uuid::Uuid::new_v4());
    world.enqueue_many(bare, "bare", "ok", 3).await?;
    take(&world).await?;

    let shown = status(&world, &[]).await?;
    let one = status(&world, &["--limit", "1"]).await?;

    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let at = |part: &str| shown.find(part).unwrap_or_else(|| panic!("{part}: {shown}"));
    let order = [
        at("figures of "),
        at("provider"),
        at("google_ads"),
        at("last hour: completed 0, failed 2"),
        at("worst groups of google_ads"),
        at(&bare.to_string()),
        at(&open.to_string()),
        at(&well.to_string()),
    ];
    assert!(order.is_sorted(), "{order:?}: {shown}");
    assert!(shown.contains("held:") && shown.contains("NO_CREDENTIALS"), "{shown}");
    assert!(shown.contains("open to") && shown.contains("2 dead"), "{shown}");
    assert!(one.contains("and 2 more"), "{one}");
    Ok(())
}

#[tokio::test]
async fn its_json_has_all_that_it_shows() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "bad", "error.UNPARSEABLE_GCLID", 2).await?;
    world.run_worker().await?;
    take(&world).await?;

    let told = told(&world, &["--limit", "0"]).await?;

    assert!(
        told["age_seconds"].as_f64().is_some_and(|age| age >= 0.0) && told["taken_at"].is_string(),
        "{told}"
    );
    let provider = &told["providers"][0];
    assert_eq!((&provider["provider_key"], &provider["dead_letters"]), (&json!("google_ads"), &json!(2)));
    assert!(provider["last_run_at"].is_string(), "{provider}");
    let group = &told["groups"][0];
    assert_eq!(
        (&group["site_id"], &group["failed_total"]),
        (&json!(site), &json!(2)),
        "whatever is shown to people"
    );
    for field in [
        "backlog",
        "oldest_waiting_at",
        "at_risk",
        "held",
        "processing",
        "submitted",
        "oldest_submitted_at",
        "dead_letters",
        "silent_groups",
        "open_circuits",
        "circuit",
        "hold_code",
        "approximate",
        "last_arrival_at",
        "score",
    ] {
        assert!(group.get(field).is_some() && told["all"].get(field).is_some(), "{field}: {told}");
    }
    for list in ["pauses", "circuits", "holds", "tasks"] {
        assert!(told[list].is_array(), "{list}: {told}");
    }
    Ok(())
}

#[tokio::test]
async fn it_reads_the_figures_and_not_the_queue_and_says_how_old_they_are() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "first", "ok", 2).await?;

    let none_yet = told(&world, &[]).await?;
    world.enqueue_many(site, "second", "ok", 3).await?;
    let same = told(&world, &[]).await?;
    world.let_pass("10 minutes").await?;
    let old = status(&world, &[]).await?;
    let fresh = told(&world, &["--fresh"]).await?;

    assert_eq!(none_yet["all"]["backlog"], json!(2), "where nobody takes them yet it takes them itself");
    assert_eq!((&same["all"]["backlog"], &same["taken_at"]), (&json!(2), &none_yet["taken_at"]));
    assert!(old.contains("10 min ago") && old.contains("nobody takes them"), "{old}");
    assert_eq!(fresh["all"]["backlog"], json!(5));
    Ok(())
}

#[tokio::test]
async fn a_task_that_fails_or_is_quiet_for_three_intervals_is_named() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.site(json!({})).await?;
    world.recover(json!({})).await?;
    world.confirm().await?;
    take(&world).await?;

    let well = told(&world, &[]).await?;
    world
        .sql
        .batch_execute(
            "update relay.task_state set last_success_at = now() - interval '91 minutes' where task_key = 'recover'; \
             update relay.task_state set last_success_at = now() - interval '89 minutes' where task_key = 'gauges'; \
             update relay.task_state set consecutive_failures = 2, error_code = 'TASK_FAILED' where task_key = 'confirm'",
        )
        .await?;
    let ill = status(&world, &["--fresh"]).await?;
    world.context.store.pause_task("recover", None, "we know").await?;
    world.context.store.pause_task("confirm", None, "we know").await?;
    let paused = told(&world, &[]).await?;

    assert_eq!(well["tasks"], json!([]));
    assert!(
        ill.contains("quiet for three of its intervals") && ill.contains("failed 2 times in a row"),
        "{ill}"
    );
    assert!(ill.contains("recover") && ill.contains("confirm"), "{ill}");
    assert_eq!(paused["tasks"], json!([]), "what somebody paused is no surprise");
    Ok(())
}

#[tokio::test]
async fn a_silent_group_and_what_is_at_risk_are_told() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 2).await?;
    world
        .sql
        .batch_execute(
            "update relay.provider_upload_metrics set arrivals = 9, usual_gap_seconds = 3600, \
             last_arrival_at = now() - interval '5 hours'; \
             update relay.ready set expires_at = now() + interval '1 day'",
        )
        .await?;
    take(&world).await?;

    let shown = status(&world, &[]).await?;
    let told = told(&world, &[]).await?;

    assert!(shown.contains("silent 5 h"), "{shown}");
    assert_eq!((&told["all"]["silent_groups"], &told["all"]["at_risk"]), (&json!(1), &json!(2)));
    Ok(())
}
