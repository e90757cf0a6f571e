//! `relay tasks`, and pauses of tasks: what an operator sees and does.

use serde_json::json;
use tests::world::World;

use super::Relay;

#[tokio::test]
async fn tasks_are_listed_run_paused_resumed_and_unlocked_by_hand() -> anyhow::Result<()> {
    let world = World::new().await?;
    let relay = Relay::new(&world);

    let ran = relay.run(&["tasks", "run", "keep-partitions", "prune", "--json"]).await;
    let paused =
        relay.run(&["pause", "--task", "prune", "--for", "2h", "--reason", "a holiday", "--json"]).await;
    let skipped = relay.run(&["prune", "--json"]).await;
    let listed = relay.run(&["tasks", "--json"]).await;
    let pauses = relay.run(&["pause"]).await;
    let resumed = relay.run(&["resume", "--task", "prune", "--json"]).await;
    let unlocked = relay.run(&["tasks", "unlock", "prune", "--json"]).await;

    assert_eq!((ran.code, &ran.json()["ok"], &ran.json()["processed"]), (Some(0), &json!(true), &json!(2)));
    assert_eq!((paused.code, &paused.json()["task_key"]), (Some(0), &json!("prune")));
    assert_eq!((skipped.code, skipped.json()), (Some(0), json!({ "skipped": true, "reason": "paused" })));
    let listed = listed.json();
    let task = |key: &str| {
        let tasks = listed["tasks"].as_array().expect("a list");
        tasks.iter().find(|task| task["task_key"] == key).unwrap_or_else(|| panic!("{key}: {listed}"))
    };
    assert_eq!(
        (&task("prune")["status"], &task("prune")["paused_reason"]),
        (&json!("PAUSED"), &json!("a holiday"))
    );
    assert!(
        task("keep-partitions")["last_success_at"].is_string()
            && task("recover")["last_success_at"].is_null()
    );
    assert!(task("recover")["next_at"].is_string());
    assert!(pauses.stdout.contains("task prune") && pauses.stdout.contains("a holiday"), "{pauses:?}");
    assert_eq!(resumed.json()["resumed"], json!(true));
    assert_eq!((unlocked.code, &unlocked.json()["unlocked"]), (Some(0), &json!(false)));
    Ok(())
}

#[tokio::test]
async fn what_is_no_task_is_refused_with_what_there_is() -> anyhow::Result<()> {
    let world = World::new().await?;
    let relay = Relay::new(&world);

    for arguments in [
        vec!["tasks", "run", "sweep"],
        vec!["tasks", "unlock", "sweep"],
        vec!["tasks", "unlock", "upload:google_ads"],
        vec!["pause", "--task", "sweep", "--reason", "why not"],
        vec!["pause", "--task", "prune"],
        vec!["resume"],
        vec!["run", "--forever", "--mode", "sometimes"],
        vec!["run", "--listen", "127.0.0.1:0"],
    ] {
        let ran = relay.run(&arguments).await;
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(!ran.stderr.is_empty(), "{arguments:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_erasure_that_nothing_does_is_no_success() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.site(json!({})).await?;
    let relay = Relay::new(&world);

    relay.run(&["pause", "--task", "erase", "--reason", "legal"]).await;
    let paused = relay.run(&["erase", "--email", "ada@example.com", "--json"]).await;
    relay.run(&["resume", "--task", "erase"]).await;
    let done = relay.run(&["erase", "--email", "ada@example.com", "--json"]).await;

    assert_eq!(
        (paused.code, &paused.json()["ok"], &paused.json()["skipped"]),
        (Some(1), &json!(false), &json!("paused"))
    );
    assert_eq!(
        (done.code, &done.json()["ok"], &done.json()["finished"]),
        (Some(0), &json!(true), &json!(true))
    );
    Ok(())
}
