//! The pooler, where the run asks for one.

use std::collections::BTreeSet;
use std::env;

use serde_json::json;
use tests::database::{POOLER, connect, pooler};
use tests::world::World;
use tokio_postgres::SimpleQueryMessage;

/// One column of all rows that the pooler's console answers.
async fn told(console_url: &str, command: &str, column: &str) -> anyhow::Result<Vec<String>> {
    let console = connect(console_url).await?;
    let messages = console.simple_query(command).await?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(column).map(String::from),
        _ => None,
    });
    Ok(rows.collect())
}

/// A run that asks for the pooler and does not get it would prove nothing, and nobody would see.
#[tokio::test]
async fn the_service_speaks_through_a_pooler_where_the_run_asks_for_one_and_directly_where_not()
-> anyhow::Result<()> {
    let asked_for = env::var_os(POOLER).is_some_and(|value| value == "pgbouncer");
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;

    world.run_worker().await?;

    let sessions = "select pid::text from pg_stat_activity \
                    where usename = 'relay_service' and datname = current_database()";
    let sessions: BTreeSet<String> =
        world.sql.query(sessions, &[]).await?.iter().map(|row| row.get(0)).collect();
    assert!(!sessions.is_empty());
    let Some(pooler) = pooler() else {
        assert!(!asked_for);
        return Ok(());
    };
    assert!(asked_for);
    assert!(told(&pooler.console_url(), "show version", "version").await?[0].contains("PgBouncer"));
    let modes: BTreeSet<_> =
        told(&pooler.console_url(), "show pools", "pool_mode").await?.into_iter().collect();
    assert!(modes.contains("transaction"), "{modes:?}");
    let its_own: BTreeSet<_> =
        told(&pooler.console_url(), "show servers", "remote_pid").await?.into_iter().collect();
    assert!(sessions.is_subset(&its_own), "{sessions:?} {its_own:?}");
    Ok(())
}
