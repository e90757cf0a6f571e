//! The maintain function.

use serde_json::{Value, json};
use tests::lambda::Invocation;
use tests::world::{CRON_SECRET, World};

use super::{answer, http, invoke, start};

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
