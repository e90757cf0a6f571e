//! The registry: keys and locks are names that schedules, runbooks and other programs use.

use serde_json::json;
use shared::boot::open_context;
use shared::engine::{Tasks, Trigger, Turns};
use shared::providers::Registry;
use tests::world::{World, config, fields};

use super::{LOCK, chores, run_chores};

fn tasks() -> Tasks {
    Tasks::of(&registry())
}

fn registry() -> Registry {
    shared::boot::registry(&config([]).providers().expect("the defaults")).expect("a client")
}

#[test]
fn keys_and_locks_are_as_the_runbook_has_them() {
    let tasks = tasks();

    let lock = |key: &str| tasks.get(key).map(|task| task.descriptor.turns);
    assert_eq!(lock("upload:google_ads"), Some(Turns::Concurrent));
    assert_eq!(lock("recover"), Some(Turns::Exclusive(482_172)));
    assert_eq!(lock("confirm"), Some(Turns::Exclusive(482_173)));
    assert_eq!(lock("prune"), Some(Turns::Exclusive(482_176)));
    assert!(tasks.locks_differ());
}

#[test]
fn a_task_runs_by_itself_or_says_that_it_never_does() {
    let by_hand: Vec<_> = tasks()
        .iter()
        .filter(|task| task.descriptor.schedule.interval().is_none())
        .map(|task| task.descriptor.key.to_string())
        .collect();

    assert_eq!(by_hand, ["seed"]);
}

#[tokio::test]
async fn migration_registers_every_task_before_it_has_ever_run() -> anyhow::Result<()> {
    let world = World::new().await?;

    let standing = world.context.store.read_task_standing().await?;

    let known: Vec<_> = standing.iter().map(|task| task.task_key.as_str()).collect();
    for task in tasks().scheduled() {
        assert!(known.contains(&task.descriptor.key.as_str()), "{}: {known:?}", task.descriptor.key);
    }
    assert!(standing.iter().all(|task| task.quiet_seconds >= 0.0 && task.status == "IDLE"), "{standing:?}");
    Ok(())
}

#[tokio::test]
async fn a_lock_can_be_another_by_setting_and_by_call_outside_production() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut settings = world.environment();
    settings.push(("RECOVER_LOCK_ID", "999002".to_owned()));
    let context = open_context(&config(settings)).await?;
    let by_call = Trigger { lock_id: Some(999_003), ..Trigger::default() };
    let held = "select coalesce(max(lock_id), 0)::bigint from relay.task_lock where owner is not null";

    let request = shared::engine::tasks::recover::Request::parse(fields(json!({})))?;
    let bounds = shared::engine::Bounds::after(std::time::Duration::from_secs(30));
    shared::engine::tasks::recover::run(&context, &request, bounds).await?;
    run_chores(&world, &chores(), by_call, async |_| {
        assert_eq!(world.number(held).await?, 999_003);
        Ok(())
    })
    .await?;

    assert_eq!(world.number("select count(*) from relay.task_lock where lock_id = 999002").await?, 1);
    assert_eq!(
        world.number(&format!("select count(*) from relay.task_lock where lock_id = {LOCK}")).await?,
        0
    );
    Ok(())
}

#[tokio::test]
async fn a_lock_of_a_call_is_refused_in_production_and_a_bad_setting_by_its_name() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut context = world.context.clone();
    context.settings = std::sync::Arc::new(shared::engine::Settings {
        locks_by_call: shared::engine::LocksByCall::Refused,
        ..(*context.settings).clone()
    });
    let world = World { context, ..world };
    let by_call = Trigger { lock_id: Some(999_003), ..Trigger::default() };

    let refused = run_chores(&world, &chores(), by_call, async |_| anyhow::bail!("it ran")).await;
    let bad = config([("PRUNE_LOCK_ID", "none".to_owned())]).task_settings(&tasks());

    let told = refused.expect_err("it was refused");
    assert!(format!("{told:#}").contains("lockId is for tests"), "{told:#}");
    assert!(bad.expect_err("it is no number").to_string().starts_with("PRUNE_LOCK_ID must be"));
    let production = config([("APP_ENV", "production".to_owned())]).task_settings(&tasks())?;
    assert_eq!(production.locks_by_call, shared::engine::LocksByCall::Refused);
    Ok(())
}
