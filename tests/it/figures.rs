//! Figures, logs and traces: what an operator learns without asking, through the real binaries.

mod events;
mod gauges;
mod silence;
mod status;
mod template;
mod told;
mod trace;

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::SiteId;
use shared::engine::tasks::gauges::{self as task, Request};
use shared::engine::{Bounds, Reply};
use shared::store::Gauge;
use tests::binaries::binary;
use tests::lambda::{Invocation, LambdaProcess};
use tests::world::World;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

/// Starts a function with these settings.
async fn start(name: &str, settings: &[(&'static str, String)]) -> anyhow::Result<LambdaProcess> {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    LambdaProcess::start(&binary(name)?, &settings).await
}

/// What a function answered; anything else is a failure of the test.
async fn answer(function: &mut LambdaProcess, event: Value) -> anyhow::Result<Value> {
    match function.invoke(event, Duration::from_secs(30)).await? {
        Invocation::Answered(answer) => Ok(answer),
        other => anyhow::bail!("{other:?}; {:?}", function.stdout()),
    }
}

/// The JSON lines of a function's standard output.
fn lines(function: &LambdaProcess) -> Vec<Value> {
    function.stdout().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Those of one event.
fn of_event<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// Waits until a count of the database is above nothing.
async fn until(sql: &Client, count: &str) -> anyhow::Result<()> {
    let look = async {
        while sql.query_one(count, &[]).await?.get::<_, i64>(0) == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    timeout(Duration::from_secs(20), look).await?
}

/// Takes the figures; those of all providers, of each, of their groups.
async fn take(world: &World) -> anyhow::Result<Vec<Gauge>> {
    let taken =
        task::run(&world.context, &Request::default(), Bounds::after(Duration::from_secs(30))).await?;
    anyhow::ensure!(matches!(taken, Reply::Answer(_)), "{taken:?}");
    Ok(world.context.store.read_gauges(200).await?)
}

/// The row of all providers together.
fn all(gauges: &[Gauge]) -> &Gauge {
    gauges.iter().find(|gauge| gauge.provider_key.is_none()).expect("the figures of all are there")
}

/// The row of one site's group.
fn of_site(gauges: &[Gauge], site: SiteId) -> &Gauge {
    gauges.iter().find(|gauge| gauge.site_id == Some(site)).expect("the group is among the worst")
}

/// The event that asks the runner to empty the queue.
fn worker() -> Value {
    json!({ "mode": "worker", "provider_key": "google_ads" })
}
