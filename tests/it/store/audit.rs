//! The proof of accounting: it sees what is wrong, adds up, and is one aggregate over everything.

use serde_json::{Value, json};
use tests::world::World;

/// Conversions in every place there is.
async fn all_over(world: &World) -> anyhow::Result<()> {
    let site = world.site(json!({})).await?;
    let later = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(site, "good", "ok", 5).await?;
    world.enqueue_many(site, "bad", "error.UNPARSEABLE_GCLID", 2).await?;
    world.enqueue_many(site, "parked", "error.INVALID_CONVERSION_ACTION_TYPE", 3).await?;
    world.enqueue_many(site, "again", "error.internalError.INTERNAL_ERROR", 4).await?;
    world.enqueue_many(later, "later", "ok", 6).await?;
    world.run_worker().await?;
    world.enqueue_many(site, "new", "ok", 1).await
}

#[tokio::test]
async fn keys_are_what_waits_flies_is_held_or_ended() -> anyhow::Result<()> {
    let world = World::new().await?;
    all_over(&world).await?;

    let accounts = world.context.store.audit_accounts(10).await?;

    assert_eq!((accounts.keys, accounts.waiting, accounts.in_flight, accounts.held), (21, 5, 0, 3));
    assert_eq!((accounts.submitted, accounts.completed, accounts.failed), (6, 5, 2));
    assert!(accounts.balance() && accounts.faults_total == 0, "{accounts:?}");
    Ok(())
}

#[tokio::test]
async fn every_kind_of_fault_is_found() -> anyhow::Result<()> {
    let world = World::new().await?;
    all_over(&world).await?;
    let of =
        |name: &str| format!("(select conversion_id from relay.conversion_key where external_id = '{name}')");
    let triggerless = "set local session_replication_role = replica;";
    for (hand, fault, times) in [
        (
            format!("delete from relay.ready where conversion_id = {}", of("new-0")),
            "not in exactly one place",
            1,
        ),
        (
            format!("delete from relay.held where conversion_id = {}", of("parked-0")),
            "not in exactly one place",
            1,
        ),
        (
            format!("delete from relay.conversion where conversion_id = {}", of("good-0")),
            "a key without its conversion",
            1,
        ),
        (
            format!("delete from relay.conversion_outcome where conversion_id = {}", of("good-0")),
            "not in exactly one place",
            1,
        ),
        (
            "delete from relay.conversion_key where external_id = 'good-1'".to_owned(),
            "a conversion without its key",
            1,
        ),
        ("delete from relay.conversion_key where external_id = 'new-0'".to_owned(), "waits without a key", 1),
        (
            format!(
                "delete from relay.conversion where conversion_id = {}; delete from relay.conversion_key where external_id = 'bad-0'",
                of("bad-0")
            ),
            "outcomes without their conversion",
            1,
        ),
        (
            format!("update relay.conversion_outcome set seq = 3 where conversion_id = {}", of("good-2")),
            "gap or double in the sequence",
            1,
        ),
        (
            format!("update relay.ready set seq = 7 where conversion_id = {}", of("again-0")),
            "sequence of the place does not follow its history",
            1,
        ),
        (
            format!(
                "insert into relay.held select conversion_id, group_id, 1, seq, 0, null, false, expires_at from relay.ready where conversion_id = {}",
                of("new-0")
            ),
            "not in exactly one place",
            1,
        ),
        (
            format!(
                "{triggerless} delete from relay.provider_upload_attempts where attempt_id = (select attempt_id from relay.conversion_outcome where conversion_id = {})",
                of("later-0")
            ),
            "an outcome of a request that is not in the ledger",
            6,
        ),
    ] {
        world.sql.batch_execute(&format!("begin; {hand}")).await?;
        let row =
            world.sql.query_one("select faults_total, faults from relay.audit_accounts(50)", &[]).await?;
        world.sql.batch_execute("rollback").await?;

        let faults: Value = row.get(1);
        assert_eq!((row.get::<_, i64>(0), &faults[0]["fault"]), (times, &json!(fault)), "{hand}: {faults}");
    }
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_thousand_faults_are_counted_and_few_are_listed() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 1_000).await?;
    world.sql.batch_execute("delete from relay.ready").await?;

    let accounts = world.context.store.audit_accounts(10).await?;

    assert_eq!((accounts.faults_total, accounts.faults.len(), accounts.balance()), (1_000, 10, false));
    Ok(())
}

#[tokio::test]
async fn the_audit_joins_nothing_but_the_ledger() -> anyhow::Result<()> {
    let world = World::new().await?;
    all_over(&world).await?;
    world
        .sql
        .batch_execute("analyze; set enable_sort = off; set max_parallel_workers_per_gather = 0")
        .await?;

    let plan = world.sql.query("explain select count(fault) from relay.conversion_account", &[]).await?;

    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("HashAggregate"), "{plan}");
    for node in ["Hash Join", "Merge Join", "Sort", "GroupAggregate"] {
        assert!(!plan.contains(node), "{plan}");
    }
    Ok(())
}
