//! A circuit that is due for its probe, and everybody who comes at that moment.

use std::sync::Arc;

use tests::world::World;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::{Claimed, claim, enqueue, put_groups};

const RUNNERS: usize = 50;

/// Whoever waits for a lock longer than that fails: a claim is to wait for none.
const NO_WAITING: &str = "set lock_timeout = '2s'";

/// A group with twenty rows whose circuit is open and due.
async fn due_for_a_probe(world: &World) -> anyhow::Result<()> {
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 20, "0 s").await?;
    let opened = "select relay.record_provider_outcome(group_id, epoch, 'transient') \
                  from relay.provider_health_state cross join generate_series(1, 5)";
    world.sql.query(opened, &[]).await?;
    assert_eq!(state(&world.sql).await?, "OPEN");
    world.let_pass("7 minutes").await
}

async fn state(sql: &Client) -> anyhow::Result<String> {
    Ok(sql.query_one("select state from relay.provider_health_state", &[]).await?.get(0))
}

/// Fifty runners, each with a connection of its own.
async fn runners(world: &World) -> anyhow::Result<Vec<Client>> {
    let mut runners = Vec::with_capacity(RUNNERS);
    for _ in 0..RUNNERS {
        let runner = world.database.connect_as("relay_service").await?;
        runner.batch_execute(NO_WAITING).await?;
        runners.push(runner);
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
async fn nobody_waits_while_somebody_else_has_the_circuit() -> anyhow::Result<()> {
    let world = World::new().await?;
    due_for_a_probe(&world).await?;
    let somebody = world.database.connect().await?;
    somebody.batch_execute("begin; select from relay.provider_health_state for update").await?;
    world.sql.batch_execute(NO_WAITING).await?;

    let meanwhile = claim(&world.sql, 10, 100, 100).await?;
    somebody.batch_execute("rollback").await?;
    let afterwards = claim(&world.sql, 10, 100, 100).await?;

    assert!(meanwhile.is_empty(), "{meanwhile:?}");
    assert!(matches!(afterwards[..], [Claimed { is_probe: true, rows: 5, .. }]), "{afterwards:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn nobody_waits_while_somebody_else_has_the_group() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 2).await?;
    enqueue(&world.sql, &groups, 3, "0 s").await?;
    let somebody = world.database.connect().await?;
    let first = "begin; select from relay.delivery_group where group_id = (select min(group_id) from relay.ready) \
                 for update";
    somebody.batch_execute(first).await?;
    world.sql.batch_execute(NO_WAITING).await?;

    let claimed = claim(&world.sql, 10, 100, 100).await?;

    assert_eq!(
        claimed.iter().map(|claim| claim.group).collect::<Vec<_>>(),
        groups.last().map_or(vec![], |last| vec![*last])
    );
    somebody.batch_execute("rollback").await?;
    world.assert_accounted_for().await
}
