//! Watches one site's circuit, and writes down each change that it sees.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use shared::domain::SiteId;
use shared::store::{Store, StoreError};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How often to look: a probe takes some 50 ms, and must not be missed.
const LOOK: Duration = Duration::from_millis(4);

/// The time of several looks, after which the latest change has been seen.
const SETTLED: Duration = Duration::from_millis(50);

/// What the circuit was seen to be.
#[derive(Debug, Clone, Serialize)]
pub struct CircuitSeen {
    /// Seconds since the outage began.
    pub seconds: f64,
    /// `CLOSED`, `OPEN` or `HALF_OPEN`.
    pub state: String,
    /// Requests in a row that had failed as a whole by then.
    pub failure_count: i32,
    /// When it is probed, where it is open.
    pub next_probe_at: Option<Timestamp>,
}

/// Watches until it is dropped.
pub(super) struct Watch {
    seen: Arc<Mutex<Vec<CircuitSeen>>>,
    task: JoinHandle<StoreError>,
}

impl Watch {
    pub(super) fn begin(store: Store, site: SiteId) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(watch(store, site, Arc::clone(&seen)));
        Self { seen, task }
    }

    /// What was seen so far, the present included.
    pub(super) async fn seen(&mut self) -> anyhow::Result<Vec<CircuitSeen>> {
        sleep(SETTLED).await;
        if self.task.is_finished() {
            let error = (&mut self.task).await.context("the watch of the circuit panicked")?;
            return Err(error).context("watch the circuit");
        }
        Ok(self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends only where it cannot look.
async fn watch(store: Store, site: SiteId, seen: Arc<Mutex<Vec<CircuitSeen>>>) -> StoreError {
    let started = Instant::now();
    loop {
        let groups = match store.read_groups(Some(site), 1).await {
            Ok(groups) => groups,
            Err(error) => return error,
        };
        if let Some(group) = groups.into_iter().next() {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let is_news = seen.last().is_none_or(|last: &CircuitSeen| {
                last.state != group.circuit || last.next_probe_at != group.next_probe_at
            });
            if is_news {
                seen.push(CircuitSeen {
                    seconds: started.elapsed().as_secs_f64(),
                    state: group.circuit,
                    failure_count: group.failure_count,
                    next_probe_at: group.next_probe_at,
                });
            }
        }
        sleep(LOOK).await;
    }
}
