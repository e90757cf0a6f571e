//! The proof of accounting: it sees what is wrong, adds up, and is one aggregate over everything.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use shared::engine::Bounds;
use shared::engine::tasks::audit;
use shared::store::Accounts;
use tests::world::World;
use tokio_postgres::Client;

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

/// The sums of slices of so many conversions, and the faults that they and the keys' walk find.
async fn in_slices(sql: &Client, conversions: i32) -> anyhow::Result<([i64; 7], Vec<String>)> {
    let (mut sums, mut found, mut before, mut after) = ([0; 7], Vec::new(), None::<i64>, None::<Value>);
    let mut note = |faults: Value| {
        let fault = |fault: &Value| fault["fault"].as_str().unwrap_or_default().to_owned();
        found.extend(faults.as_array().into_iter().flatten().map(fault));
    };
    let slice = "select reached, keys, waiting, in_flight, held, submitted, completed, failed, faults_total, faults \
                 from relay.audit_slice($1, null, $2, 50)";
    loop {
        let row = sql.query_one(slice, &[&before, &conversions]).await?;
        let listed: Value = row.get("faults");
        ensure!(
            row.get::<_, i64>("faults_total") == listed.as_array().map_or(0, Vec::len) as i64,
            "{listed}"
        );
        note(listed);
        for (place, sum) in sums.iter_mut().enumerate() {
            *sum += row.get::<_, i64>(place + 1);
        }
        before = row.get("reached");
        if before.is_none() {
            break;
        }
    }
    for walk in ["audit_ready", "audit_keys"] {
        let walk = format!("select next_after, faults from relay.{walk}($1, $2, 50)");
        loop {
            let row = sql.query_one(&walk, &[&after, &conversions]).await?;
            note(row.get("faults"));
            after = row.get("next_after");
            if after.is_none() {
                break;
            }
        }
    }
    Ok((sums, found))
}

#[tokio::test]
async fn what_waits_where_it_should_not_is_found() -> anyhow::Result<()> {
    let world = World::new().await?;
    all_over(&world).await?;
    let stray = |of: &str, at: &str| {
        format!(
            "insert into relay.ready (group_id, band, next_attempt_at, conversion_id, expires_at, seq) \
             select group_id, 1, {at}, conversion_id, expires_at, 1 from relay.conversion where external_id = '{of}'"
        )
    };
    for (hand, times) in [
        // One that has ended, one that waits already, and one that nobody took in.
        (stray("good-0", "due_at"), 1),
        (stray("new-0", "due_at + interval '1 hour'"), 1),
        ("insert into relay.ready (group_id, band, next_attempt_at, conversion_id, expires_at, seq) values (1, 1, now(), 7, now(), 0)".to_owned(), 1),
        ("update relay.ready set next_attempt_at = next_attempt_at + interval '1 hour' where conversion_id in (select conversion_id from relay.conversion where external_id = 'again-0')".to_owned(), 1),
    ] {
        world.sql.batch_execute(&format!("begin; {hand}")).await?;
        let found = in_slices(&world.sql, 4).await;
        world.sql.batch_execute("rollback").await?;

        let found = found?.1;
        let strays = found.iter().filter(|fault| *fault == "waits where its history does not say").count();
        assert_eq!(strays, times, "{hand}: {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn slices_of_any_size_add_up_to_the_whole() -> anyhow::Result<()> {
    let world = World::new().await?;
    all_over(&world).await?;
    let whole = world.context.store.audit_accounts(10).await?;
    let Accounts { keys, waiting, in_flight, held, submitted, completed, failed, .. } = whole;

    for conversions in [1, 2, 5, 20, 21, 22, 1_000] {
        let (sums, faults) = in_slices(&world.sql, conversions).await?;

        assert_eq!(sums, [keys, waiting, in_flight, held, submitted, completed, failed], "{conversions}");
        assert_eq!(faults, [""; 0], "{conversions}");
    }
    Ok(())
}

#[tokio::test]
async fn a_slice_ends_where_it_is_told_to() -> anyhow::Result<()> {
    let world = World::new().await?;
    all_over(&world).await?;
    let fifth = "select conversion_id from relay.conversion order by conversion_id desc offset 4 limit 1";
    let fifth: i64 = world.sql.query_one(fifth, &[]).await?.get(0);

    let slice = "select reached, keys from relay.audit_slice(null, $1, 10, 0)";
    let row = world.sql.query_one(slice, &[&fifth]).await?;

    assert_eq!((row.get::<_, Option<i64>>("reached"), row.get::<_, i64>("keys")), (None, 5));
    Ok(())
}

async fn audited(world: &World, bounds: Bounds) -> anyhow::Result<audit::Answer> {
    let reply = audit::run(&world.context, &audit::Request::default(), bounds).await?;
    reply.answer().ok_or_else(|| anyhow::anyhow!("it was skipped"))
}

fn bounds() -> Bounds {
    Bounds::after(Duration::from_secs(60))
}

async fn checkpoint(world: &World) -> anyhow::Result<Option<Value>> {
    let kept = "select checkpoint from relay.task_state where task_key = 'audit'";
    Ok(world.sql.query_one(kept, &[]).await?.get(0))
}

#[tokio::test]
async fn a_night_goes_on_where_the_last_one_ended_after_what_came_since() -> anyhow::Result<()> {
    let world = World::new().await?;
    all_over(&world).await?;
    let ids = "select conversion_id from relay.conversion order by conversion_id";
    let ids: Vec<i64> = world.sql.query(ids, &[]).await?.iter().map(|row| row.get(0)).collect();
    // As if a night had proven those from the fourth up to the fifteenth; one of them is lost since, and so is the second.
    let left = json!({
        "form": 1, "up_to": ids[15], "left": [{ "before": ids[3], "since": null }], "ready": "beginning", "keys": "beginning",
    });
    let keep = "update relay.task_state set checkpoint = $1 where task_key = 'audit'";
    anyhow::ensure!(world.sql.execute(keep, &[&left]).await? == 1);
    for lost in [ids[1], ids[5]] {
        world.sql.execute("delete from relay.conversion_key where conversion_id = $1", &[&lost]).await?;
    }

    let second = audited(&world, bounds()).await?;
    let third = audited(&world, bounds()).await?;

    assert_eq!((second.total, second.errors_total, second.finished), (8, 1, true), "{second:?}");
    assert_eq!((third.total, third.errors_total, third.finished), (19, 2, true), "{third:?}");
    assert_eq!(checkpoint(&world).await?, None);
    Ok(())
}

/// More came since the last night than fits into the next: what is left of it goes with the one after, below what is newer.
#[tokio::test]
async fn what_a_night_left_of_the_new_is_gone_on_with() -> anyhow::Result<()> {
    let world = World::new().await?;
    all_over(&world).await?;
    let ids = "select conversion_id from relay.conversion order by conversion_id";
    let ids: Vec<i64> = world.sql.query(ids, &[]).await?.iter().map(|row| row.get(0)).collect();
    let left = json!({
        "form": 1, "up_to": ids[18], "ready": "end", "keys": "beginning",
        "left": [{ "before": ids[2], "since": null }, { "before": ids[12], "since": ids[7] }],
    });
    let keep = "update relay.task_state set checkpoint = $1 where task_key = 'audit'";
    anyhow::ensure!(world.sql.execute(keep, &[&left]).await? == 1);
    let over = bounds();
    over.shutdown.cancel();

    let cut = audited(&world, over).await?;
    let kept = checkpoint(&world).await?;
    let next = audited(&world, bounds()).await?;

    assert_eq!((cut.total, cut.finished), (0, false));
    assert_eq!(kept, Some(left), "nothing was walked, and nothing is forgotten");
    assert_eq!((next.total, next.finished), (3 + 5 + 2, true), "{next:?}");
    Ok(())
}

#[tokio::test]
async fn a_checkpoint_of_another_form_is_begun_anew() -> anyhow::Result<()> {
    let world = World::new().await?;
    all_over(&world).await?;
    for form in [
        json!({ "form": 2, "up_to": 1, "left": [], "ready": "end", "keys": "end" }),
        json!({ "form": 1, "up_to": null, "left": [], "ready": "end", "keys": "end" }),
        json!({ "form": 1, "up_to": 1, "left": [], "ready": "end", "keys": "end", "later": true }),
        json!({ "conversions": true }),
        json!("end"),
    ] {
        let keep = "update relay.task_state set checkpoint = $1 where task_key = 'audit'";
        world.sql.execute(keep, &[&form]).await?;

        let night = audited(&world, bounds()).await?;

        assert_eq!((night.total, night.finished), (21, true), "{form}");
    }
    Ok(())
}

/// What began to be taken in before a slice, and is committed after it, has an id that the next night looks at.
#[tokio::test]
async fn what_was_on_its_way_in_is_looked_at_by_the_next_night() -> anyhow::Result<()> {
    let world = World::new().await?;
    all_over(&world).await?;
    let on_its_way = "select bool_and(settled_before < relay.id_floor(clock_timestamp() - interval '9 minutes')) \
                      from relay.audit_slice(null, null, 5, 0)";

    assert!(world.sql.query_one(on_its_way, &[]).await?.get::<_, bool>(0));
    Ok(())
}

#[tokio::test]
async fn a_night_that_is_over_before_the_new_is_proven_is_not_done() -> anyhow::Result<()> {
    let world = World::new().await?;
    all_over(&world).await?;
    let over = bounds();
    over.shutdown.cancel();

    let cut = audited(&world, over).await?;
    let counters = "select counters from relay.task_runs where task_key = 'audit' order by run_id limit 1";
    let counters: Value = world.sql.query_one(counters, &[]).await?.get(0);
    let whole = audited(&world, bounds()).await?;

    assert_eq!((cut.finished, cut.total, whole.finished, whole.total), (false, 0, true, 21));
    assert_eq!(counters["finished"], false, "{counters}");
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
        let (_, walked) = in_slices(&world.sql, 4).await?;
        world.sql.batch_execute("rollback").await?;

        // What stands without its conversion or key is seen from both sides.
        let kinds = walked.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert!(walked.iter().any(|found| found == fault) && kinds <= 2, "{hand}: {walked:?}");
        assert!(
            walked.iter().filter(|found| *found == fault).count() == times as usize,
            "{hand}: {walked:?}"
        );

        let faults: Value = row.get(1);
        assert_eq!((row.get::<_, i64>(0), &faults[0]["fault"]), (times, &json!(fault)), "{hand}: {faults}");
    }
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_key_of_another_conversion_is_found_from_both_sides() -> anyhow::Result<()> {
    let world = World::new().await?;
    all_over(&world).await?;
    let turn = "update relay.conversion_key set conversion_id = (\
                  select conversion_id from relay.conversion_key where external_id = 'bad-0'\
                ) where external_id = 'good-3'";
    world.sql.batch_execute(turn).await?;

    let whole = world.context.store.audit_accounts(10).await?;
    let (sums, mut walked) = in_slices(&world.sql, 4).await?;

    let mut kinds: Vec<_> = whole.faults.iter().map(|fault| fault.fault.as_str()).collect();
    kinds.sort_unstable();
    walked.sort_unstable();
    assert_eq!(kinds, ["a conversion of several keys", "a conversion without its key"]);
    assert_eq!(walked, ["a conversion without its key", "a key of another conversion"]);
    assert_eq!(sums[0], 20, "one conversion has no key");
    Ok(())
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
