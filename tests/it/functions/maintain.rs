//! The maintain function.

use serde_json::{Value, json};
use tests::lambda::Invocation;
use tests::world::{CRON_SECRET, World};

use super::{answer, http, invoke, start, with};

#[tokio::test]
async fn a_schedule_that_is_delivered_twice_runs_its_tasks_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut maintain = start("maintain", &world.environment()).await?;
    let event: Value = serde_json::from_str(include_str!("../../../events/maintain-nightly.json"))?;

    let first = answer(&mut maintain, event.clone()).await?;
    let second = answer(&mut maintain, event).await?;

    assert_eq!(
        (&first["ok"], &first["skipped"], &first["errors"]),
        (&json!(true), &json!(0), &json!([])),
        "{first}"
    );
    assert_eq!(first["processed"], first["total"]);
    assert_eq!((&second["ok"], &second["processed"]), (&json!(true), &json!(0)), "{second}");
    assert_eq!(second["skipped"], first["total"]);
    for (task, told) in second["tasks"].as_object().into_iter().flatten() {
        assert_eq!(told, &json!({ "skipped": true, "reason": "done" }), "{task}");
    }
    Ok(())
}

#[tokio::test]
async fn over_http_a_lock_of_another_run_is_an_answer_and_a_task_that_is_none_is_refused()
-> anyhow::Result<()> {
    let world = World::new().await?;
    let mut maintain = start("maintain", &world.environment()).await?;
    world
        .sql
        .batch_execute(
            "insert into relay.task_lock (lock_id, task_key, owner, run_id, fence, acquired_at, lease_until) \
             values (482177, 'keep-partitions', 'another', 7, 7, clock_timestamp(), clock_timestamp() + interval '1 h')",
        )
        .await?;
    let secret = || json!({ "x-cron-secret": CRON_SECRET });
    let path = "/api/cron/maintain";

    let (status, locked) = http(&mut maintain, "POST", path, "tasks=keep-partitions", secret(), None).await?;
    let (elsewhere_status, elsewhere) =
        http(&mut maintain, "POST", path, "tasks=keep-partitions&lockId=999009", secret(), None).await?;
    let (wrong_status, wrong) = http(&mut maintain, "POST", path, "tasks=sweep", secret(), None).await?;
    let (stranger_status, _) = http(&mut maintain, "POST", path, "", json!({}), None).await?;

    assert_eq!((status, &locked["skipped"]), (200, &json!(1)), "{locked}");
    assert_eq!(locked["tasks"]["keep-partitions"], json!({ "skipped": true, "reason": "locked" }));
    assert_eq!((elsewhere_status, &elsewhere["processed"]), (200, &json!(1)), "{elsewhere}");
    assert_eq!((wrong_status, stranger_status), (400, 401));
    assert!(wrong["error"].as_str().unwrap_or_default().contains("keep-partitions"), "{wrong}");
    Ok(())
}

#[tokio::test]
async fn an_overlapping_recovery_says_that_it_is_locked() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut recover = start("recover", &world.environment()).await?;
    world
        .sql
        .batch_execute(
            "insert into relay.task_lock (lock_id, task_key, owner, run_id, fence, acquired_at, lease_until) \
             values (482172, 'recover', 'another', 7, 7, clock_timestamp(), clock_timestamp() + interval '1 h')",
        )
        .await?;

    let told = invoke(&mut recover, json!({ "min_age_minutes": 15 })).await?;

    let Invocation::Answered(told) = told else { anyhow::bail!("{told:?}") };
    assert_eq!(told, json!({ "skipped": true, "reason": "locked" }));
    Ok(())
}

/// Answers one token request with a revoked grant, after `meanwhile` has come to its end.
async fn revoke_after<F: Future<Output = anyhow::Result<()>>>(
    listener: tokio::net::TcpListener,
    meanwhile: F,
) -> anyhow::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let (mut caller, _) = listener.accept().await?;
    let mut request = [0; 4096];
    let read = caller.read(&mut request).await?;
    anyhow::ensure!(read > 0, "nothing was asked");
    meanwhile.await?;
    let body = r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#;
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    caller.write_all(answer.as_bytes()).await?;
    caller.shutdown().await?;
    Ok(())
}

#[tokio::test]
async fn a_task_that_loses_its_lock_in_the_middle_stops_and_writes_nothing_more() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.site(json!({})).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let token_url = format!("http://{}/token", listener.local_addr()?);
    let mut maintain = start("maintain", &with(&world, &[("GOOGLE_OAUTH_TOKEN_URL", &token_url)])).await?;

    let (told, revoked) = tokio::join!(
        invoke(
            &mut maintain,
            json!({ "tasks": ["probe-credentials"], "scheduled_time": "2026-11-22T02:00:00Z" })
        ),
        revoke_after(listener, async {
            // Another program takes it over, as after a lease that lapsed.
            anyhow::ensure!(world.context.store.break_task_lock(482_178).await?, "nobody had the lock");
            Ok(())
        }),
    );

    revoked?;
    let Invocation::Failed(told) = told? else { anyhow::bail!("it did not fail") };
    assert!(told["errorMessage"].as_str().unwrap_or_default().contains("another owner"), "{told}");
    assert_eq!(
        world.number("select count(*) from relay.delivery_group where hold_id is not null").await?,
        0,
        "the hold was not written"
    );
    let lost = maintain.stdout().iter().any(|line| line.contains("\"event\":\"lock_lost\""));
    assert!(lost, "{:?}", maintain.stdout());
    let told =
        "select count(*) from relay.task_runs where task_key = 'probe-credentials' and status = 'ERROR'";
    assert_eq!(world.number(told).await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_refused_and_is_no_event_without_fields() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut maintain = start("maintain", &world.environment()).await?;

    for event in [
        r#"{"tasks":["expire"],"site_id":"\ud800"}"#.to_owned(),
        format!("{}1{}", "[".repeat(200), "]".repeat(200)),
    ] {
        let told = maintain.invoke_text(event, std::time::Duration::from_secs(30)).await?;
        let Invocation::Failed(told) = told else { anyhow::bail!("{told:?}") };
        assert_eq!(told["errorType"], "BadRequest", "{told}");
    }

    assert_eq!(world.number("select count(*) from relay.task_runs").await?, 0, "nothing was run");
    Ok(())
}
