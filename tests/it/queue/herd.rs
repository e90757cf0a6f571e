//! A circuit that is due for its probe, and everybody who comes at that moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use tests::world::World;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::{Answer, Claimed, claim, claim_one, enqueue, open_circuits, put_groups, settle};

const RUNNERS: usize = 50;

/// A group with twenty rows whose circuit is open and due.
async fn due_for_a_probe(world: &World) -> anyhow::Result<BTreeSet<i32>> {
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 20, "0 s").await?;
    open_circuits(&world.sql, &groups).await?;
    assert_eq!(state(&world.sql).await?, "OPEN");
    world.let_pass("7 minutes").await?;
    Ok(groups)
}

async fn state(sql: &Client) -> anyhow::Result<String> {
    Ok(sql.query_one("select state from relay.provider_health_state", &[]).await?.get(0))
}

/// Fifty runners, each with a connection of its own; the service's login gives up on a lock after five seconds.
async fn runners(world: &World) -> anyhow::Result<Vec<Client>> {
    let mut runners = Vec::with_capacity(RUNNERS);
    for _ in 0..RUNNERS {
        runners.push(world.database.connect_as("relay_service").await?);
    }
    Ok(runners)
}

/// All claim at the same moment; what each was given.
async fn stampede(runners: Vec<Client>) -> anyhow::Result<(Vec<Client>, Vec<Vec<Claimed>>)> {
    let line = Arc::new(Barrier::new(runners.len()));
    let mut running = JoinSet::new();
    for runner in runners {
        let line = Arc::clone(&line);
        running.spawn(async move {
            line.wait().await;
            let claimed = claim(&runner, 10, 100, 100).await?;
            anyhow::Ok((runner, claimed))
        });
    }
    let all = running.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok(all.into_iter().unzip())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_fifty_gets_the_probe_and_the_others_get_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    due_for_a_probe(&world).await?;
    let mut herd = runners(&world).await?;

    // Each round's prober dies: its probe is due again when its lease ends.
    for round in 0..4 {
        let (again, given) = stampede(herd).await?;
        herd = again;

        let claims: Vec<&Claimed> = given.iter().flatten().collect();
        assert_eq!(claims.len(), 1, "round {round}: {claims:?}");
        assert!(claims[0].is_probe && (1..=5).contains(&claims[0].rows), "{claims:?}");
        assert_eq!(state(&world.sql).await?, "HALF_OPEN");
        world.let_pass("31 seconds").await?;
    }
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_comes_in_during_a_probe_waits_for_its_end() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = due_for_a_probe(&world).await?;
    let probe = claim_one(&world.sql).await?;

    enqueue(&world.sql, &groups, 3, "-1 hour").await?;
    let meanwhile = claim(&world.sql, 10, 100, 100).await?;
    settle(
        &world.sql,
        probe.token,
        probe.rows,
        Answer { circuit: "answered", ..Answer::unsent("REJECTED", "PERM") },
    )
    .await?;
    let afterwards = claim_one(&world.sql).await?;

    assert!(meanwhile.is_empty(), "{meanwhile:?}");
    assert!(!afterwards.is_probe && afterwards.rows == 18, "{afterwards:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_probe_that_never_left_is_due_again_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    due_for_a_probe(&world).await?;
    let probe = claim_one(&world.sql).await?;

    settle(&world.sql, probe.token, probe.rows, Answer::unsent("RELEASED", "TRANSIENT")).await?;
    let again = claim_one(&world.sql).await?;

    assert!(again.is_probe && again.rows == 5, "{again:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_probe_that_never_left_and_gave_nothing_back_is_due_again_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    due_for_a_probe(&world).await?;
    let probe = claim_one(&world.sql).await?;

    settle(&world.sql, probe.token, probe.rows, Answer::unsent("REJECTED", "PERM")).await?;
    let again = claim_one(&world.sql).await?;

    assert!(again.is_probe && again.rows == 5, "{again:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_part_of_a_probe_that_never_left_does_not_end_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    due_for_a_probe(&world).await?;
    let probe = claim_one(&world.sql).await?;
    let split = "select claim_token from relay.split_claim($1, array[0, 1, 1, 1, 1], 30)";
    let first = world.sql.query(split, &[&probe.token]).await?[0].get(0);

    settle(&world.sql, first, 1, Answer { keep_slot: true, ..Answer::unsent("RELEASED", "SPLIT") }).await?;
    let meanwhile = claim(&world.sql, 10, 100, 100).await?;

    assert!(meanwhile.is_empty(), "{meanwhile:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn an_open_circuit_is_passed_over_whenever_its_groups_turn_comes() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 20, "0 s").await?;
    open_circuits(&world.sql, &groups).await?;
    let standing = "select count(*) from relay.delivery_group where turn_at < clock_timestamp()";
    assert_eq!(world.number(standing).await?, 0, "it left the line");
    // Wherever the line is wrong, the circuit itself is asked.
    world.sql.batch_execute("update relay.delivery_group set turn_at = clock_timestamp()").await?;

    let claimed = claim(&world.sql, 10, 100, 100).await?;

    assert!(claimed.is_empty(), "{claimed:?}");
    Ok(())
}
