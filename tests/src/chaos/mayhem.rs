//! What breaks around the runners: connections, the provider, and once the server.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rand::RngExt;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::ground::{Ground, Phase};
use super::stage::Stage;
use super::tally::Event;

/// How often a connection is killed and the outage moves on.
const TICK: Duration = Duration::from_millis(700);

/// Breaks things until chaos is over; the server restarts when so many attempts were made.
pub(super) async fn run(stage: Arc<Stage>, ground: Arc<Ground>, restart_after: u64) -> anyhow::Result<()> {
    let mut chance = ground.chance(u64::MAX);
    while ground.is(Phase::Chaos) {
        sleep(TICK).await;
        // One part of the groups, or none.
        ground.provider.set_outage(chance.random_range(1..=8));
        if ground.count(Event::Restart) == 0 && ground.count(Event::Attempt) >= restart_after {
            restart(Arc::clone(&stage)).await?;
            ground.add(Event::Restart, 1);
            continue;
        }
        let sql = stage.admin().await?;
        let service = "select pid from pg_stat_activity where usename = 'relay_service' order by pid";
        let pids: Vec<i32> = sql.query(service, &[]).await?.iter().map(|row| row.get(0)).collect();
        if !pids.is_empty() {
            let pid = pids[chance.random_range(0..pids.len())];
            sql.query("select pg_terminate_backend($1)", &[&pid]).await?;
            ground.add(Event::Killed, 1);
        }
    }
    ground.provider.set_outage(0);
    Ok(())
}

async fn restart(stage: Arc<Stage>) -> anyhow::Result<()> {
    let restarted = spawn_blocking(move || {
        stage.server.lock().unwrap_or_else(PoisonError::into_inner).restart_immediately()
    });
    restarted.await?.context("restart the server")
}
