//! Health: live while the process is, ready while it can work, and never a word too much.

use std::time::Duration;

use relay_cli::postgres::{Durability, ThrowawayPostgres};
use serde_json::{Value, json};
use shared::boot::migrate;
use tests::front::{Front, Told};
use tests::lambda::Invocation;
use tests::world::{World, config};

use super::{invoke, start, with};

async fn get(front: &mut Front, path: &str) -> anyhow::Result<Told> {
    front.call("GET", path, &[], b"").await
}

/// The answer of `ready`, with the checks in the order of the contract: database, schema, config, workers.
fn ready(found: [&str; 4]) -> (u16, Value) {
    let good = found.iter().all(|found| *found == "ok");
    let [database, schema, config, workers] = found;
    let checks = json!({ "database": database, "schema": schema, "config": config, "workers": workers });
    (if good { 200 } else { 503 }, json!({ "status": if good { "ok" } else { "fail" }, "checks": checks }))
}

/// Asks until it is answered so: what was found is kept for a moment, and a look that takes half a second has failed.
async fn wait_for(front: &mut Front, wanted: (u16, Value)) -> anyhow::Result<()> {
    wait_at(front, "/health/ready", wanted).await
}

async fn wait_at(front: &mut Front, path: &str, wanted: (u16, Value)) -> anyhow::Result<()> {
    let mut last = None;
    for _ in 0..300 {
        let told = get(front, path).await?;
        if (told.status, &told.body) == (wanted.0, &wanted.1) {
            return Ok(());
        }
        last = Some(told);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("never {wanted:?}, at last {last:?}; {:?}", front.logged())
}

#[tokio::test]
async fn anybody_may_ask_and_is_told_nothing_but_ok_or_fail() -> anyhow::Result<()> {
    let world = World::new().await?;

    for mut front in Front::all("health", &world.environment()).await? {
        let live = get(&mut front, "/health/live").await?;
        wait_at(&mut front, "/health/ready?verbose=1", ready(["ok"; 4])).await?;
        let posted = front.call("POST", "/health/ready", &[], b"{}").await?;
        let elsewhere = get(&mut front, "/health").await?;

        assert_eq!((live.status, live.body), (200, json!({ "status": "ok" })));
        assert_eq!((posted.status, posted.headers["allow"].as_str()), (405, "GET"));
        assert_eq!(elsewhere.status, 404);
    }
    Ok(())
}

#[tokio::test]
async fn it_can_be_invoked_directly() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut health = start("health", &world.environment()).await?;

    let is_ok = |told: &Invocation| matches!(told, Invocation::Answered(body) if body["status"] == "ok");
    let mut ready = invoke(&mut health, json!({ "check": "ready" })).await?;
    // Its first look may take longer than it waits for one.
    for _ in 0..100 {
        if is_ok(&ready) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        ready = invoke(&mut health, json!({ "check": "ready" })).await?;
    }
    let refused = invoke(&mut health, json!({ "check": "dead" })).await?;

    assert!(is_ok(&ready), "{ready:?}");
    assert!(
        matches!(&refused, Invocation::Failed(error) if error.to_string().contains("live or ready")),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn ready_fails_while_the_database_is_gone_and_comes_back_by_itself() -> anyhow::Result<()> {
    // A server of its own: the one of all tests cannot be stopped.
    let mut server =
        tokio::task::spawn_blocking(|| ThrowawayPostgres::start(Durability::Durable, &[])).await??;
    let settings = |url: String| [("DATABASE_URL", url), ("APP_ENV", "development".to_owned())];
    migrate(&config(settings(server.url("postgres")))).await?;
    let mut fronts = Front::all("health", &settings(server.url_as("relay_service", "postgres"))).await?;
    for front in &mut fronts {
        wait_for(front, ready(["ok"; 4])).await?;
    }

    // SAFETY: kill takes two numbers and touches no memory of ours.
    assert_eq!(unsafe { libc::kill(i32::try_from(server.postmaster_pid())?, libc::SIGQUIT) }, 0);
    for front in &mut fronts {
        wait_for(front, ready(["fail", "fail", "ok", "fail"])).await?;
        assert_eq!(get(front, "/health/live").await?.status, 200);
    }

    let _server =
        tokio::task::spawn_blocking(move || server.restart_immediately().map(|()| server)).await??;
    for front in &mut fronts {
        wait_for(front, ready(["ok"; 4])).await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_check_fails_for_its_own_reason() -> anyhow::Result<()> {
    let world = World::new().await?;
    let nowhere = "postgresql://relay_service@127.0.0.1:1/nowhere";
    let bare = world.database.service_url().replace(world.database.name(), "postgres");

    for (settings, found) in [
        (vec![("DATABASE_URL", nowhere)], ["fail", "fail", "ok", "fail"]),
        (vec![("DATABASE_URL", "")], ["fail", "fail", "fail", "fail"]),
        (vec![("DATABASE_URL", bare.as_str())], ["ok", "fail", "ok", "fail"]),
        (vec![("APP_ENV", "staging")], ["ok", "fail", "ok", "ok"]),
        (vec![("VAULT_KEY", "no key")], ["ok", "ok", "fail", "ok"]),
        (vec![("GOOGLE_OAUTH_TOKEN_URL", "no url")], ["ok", "ok", "fail", "fail"]),
    ] {
        let mut front = Front::serve(&with(&world, &settings)).await?;

        wait_for(&mut front, ready(found)).await.map_err(|error| error.context(format!("{settings:?}")))?;
        let told = get(&mut front, "/health/ready").await?.body.to_string();

        assert!(!told.contains("127.0.0.1") && !told.contains(world.database.name()), "{told}");
        // Whoever reads the log learns why, once: and once more after a look that took too long, which is told once, too.
        let logged = front.logged();
        let told: Vec<_> = logged
            .iter()
            .filter(|line| line.contains("not ready"))
            .map(|line| line.contains("the database does not answer"))
            .collect();
        assert!(!told.is_empty() && told.windows(2).all(|pair| pair[0] != pair[1]), "{logged:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_task_that_is_late_fails_ready_unless_somebody_paused_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut front = Front::serve(&world.environment()).await?;
    wait_for(&mut front, ready(["ok"; 4])).await?;

    // recover runs every half an hour: three intervals and a little.
    let quiet = "update relay.task_state set registered_at = registered_at - interval '91 minutes' \
                 where task_key = 'recover'";
    world.sql.batch_execute(quiet).await?;
    wait_for(&mut front, ready(["ok", "ok", "ok", "fail"])).await?;

    world.context.store.pause_task("recover", None, "on purpose").await?;
    wait_for(&mut front, ready(["ok"; 4])).await?;

    world.context.store.resume_task("recover").await?;
    wait_for(&mut front, ready(["ok", "ok", "ok", "fail"])).await?;

    world.recover(json!({})).await?;
    wait_for(&mut front, ready(["ok"; 4])).await
}

#[tokio::test]
async fn a_task_that_was_never_registered_is_late() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.sql.batch_execute("delete from relay.task_state where task_key = 'confirm'").await?;

    let mut front = Front::serve(&world.environment()).await?;

    wait_for(&mut front, ready(["ok", "ok", "ok", "fail"])).await
}
