//! Our own workers, each a process by itself: the upload task as the runner runs it, and the producer.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde_json::json;
use shared::boot::{Config, open_context};
use shared::delivery::ItemAnswer;
use shared::domain::SiteId;
use shared::engine::tasks::upload;
use shared::engine::{Bounds, Fields};
use tokio::sync::mpsc;

use crate::stage::parse_input;
use crate::worker;

/// Longer than any benchmark takes.
const DEADLINE: Duration = Duration::from_secs(3_600);

/// The upload task in worker mode until nothing is due: what the `runner` function does.
pub(crate) async fn upload() -> anyhow::Result<()> {
    let context = open_context(&Config::from_env()).await?;
    let event = [("mode", "worker"), ("provider_key", "google_ads")];
    let fields =
        Fields::new(event.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect());
    let request = upload::Request::parse(fields)?;

    worker::ready(&json!({}))?;
    let started = Instant::now();
    let answer =
        upload::run(&context, &request, Bounds::after(DEADLINE)).await?.answer().context("skipped")?;
    let seconds = started.elapsed().as_secs_f64();

    ensure!(answer.errors_total == 0, "the run had faults: {:?}", answer.errors);
    worker::done(answer.completed, seconds)
}

/// The producer, in batches, over sites in turns.
pub(crate) async fn enqueue(rows: usize, batch: usize, sites: &[SiteId]) -> anyhow::Result<()> {
    let context = open_context(&Config::from_env()).await?;
    let producer = context.producer();

    worker::ready(&json!({}))?;
    let started = Instant::now();
    let now = Timestamp::now();
    // As `relay enqueue` does: the next batch is checked while one goes in.
    let (sender, mut batches) = mpsc::channel(1);
    let (ahead, sites) = (producer.clone(), sites.to_vec());
    let admitting = tokio::spawn(async move {
        for first in (0..rows).step_by(batch) {
            let numbers = first..(first + batch).min(rows);
            let items = numbers.map(|number| parse_input(sites[number % sites.len()], number, now)).collect();
            sender.send(ahead.admit(items, now).await?).await.context("nobody keeps what comes")?;
        }
        anyhow::Ok(())
    });
    while let Some(admitted) = batches.recv().await {
        let answers = producer.keep(admitted).await?;
        ensure!(answers.iter().all(|answer| matches!(answer, ItemAnswer::Taken { .. })), "not taken in");
    }
    admitting.await??;
    worker::done(rows as u64, started.elapsed().as_secs_f64())
}
