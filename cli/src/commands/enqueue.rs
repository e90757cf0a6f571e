//! `relay enqueue`: takes the conversions of a file in, two thousand at a time, through the one producer.

mod report;

use std::path::PathBuf;
use std::{io, mem};

use anyhow::Context as _;
use clap::Args;
use indicatif::ProgressBar;
use jiff::Timestamp;
use shared::boot::{self, Config};
use shared::delivery::{Admitted, Producer};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::failure::{Exit, Failure};
use crate::intake::{Batch, Format, Intake, Rejects, Source};
use crate::output::{Output, grouped, progress};
use crate::signals::Stop;
use report::Report;

/// Take conversions in from NDJSON or CSV, any size; what is wrong is told by line and field, all else goes in
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// The file; - is standard input
    #[arg(long, value_name = "FILE")]
    file: String,
    /// By the file's ending (.ndjson .jsonl .json .csv .tsv) unless said, else by its first line
    #[arg(long)]
    format: Option<Format>,
    /// Write what was refused to a file, each with its reason: mend it there and send that file
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
CSV columns: site_id, provider_key, external_id, kind (conversion unless there is such a column), occurred_at, clicked_at,
value, currency, order_id, gclid, gbraid, wbraid, email, phone, hashed_email, hashed_phone, consent_ad_user_data,
consent_ad_personalization, conversion_action, custom_variables.NAME; also by the names of JSON, such as click_ids.gclid.
The delimiter is a comma, a semicolon or a tab; an empty cell is an absent field.

Sending a file again is safe: what is in already reads duplicate. In the file of rejects, reject_reason is passed over on
the way in. A line that is no JSON object stands there as reject_raw, until an object is made of it; of a line that is
longer than 64 KiB there is only its number.";

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let source = Source::open(&arguments.file, arguments.format)?;
    let bar = progress(source.length);
    let intake = Intake::open(source)?;
    let context = boot::open_context(&Config::from_env()).await?;
    let rejects = match &arguments.rejects {
        Some(path) => Some(Rejects::create(path, &arguments.file, intake.header())?),
        None => None,
    };
    let stop = Stop::listen()?;
    let mut counter =
        Counter { producer: context.producer(), rejects, report: Report::new(output.form()), bar };
    let ended = counter.take_all(intake, &stop).await;
    let Counter { mut report, bar, .. } = counter;
    bar.finish_and_clear();
    report.end();
    if let Err(error) = ended {
        return Err(unfinished(Failure::of(error), &report).into());
    }
    if let Some(exit) = stop.exit() {
        return Err(unfinished(Failure::new(exit, "stopped"), &report).into());
    }
    output.answer(&report, || report.text())?;
    Ok(if report.ok { Exit::Done } else { Exit::Failed })
}

/// What it takes to take a file in.
struct Counter {
    producer: Producer,
    rejects: Option<Rejects>,
    report: Report,
    bar: ProgressBar,
}

impl Counter {
    async fn take_all(&mut self, intake: Intake, stop: &Stop) -> anyhow::Result<()> {
        let stopped = stop.token();
        let (mut batches, admitting) = admit_ahead(self.producer.clone(), intake);
        loop {
            let next = tokio::select! {
                () = stopped.cancelled() => return Ok(()),
                next = batches.recv() => next,
            };
            let Some(next) = next else {
                return admitting.await.context("checking a batch broke off");
            };
            let (batch, admitted) = next?;
            self.take(batch, admitted).await?;
        }
    }

    async fn take(&mut self, batch: Batch, admitted: Admitted) -> anyhow::Result<()> {
        let answers = self.producer.keep(admitted).await?;
        for (origin, answer) in batch.origins.into_iter().zip(answers) {
            let refused = self.report.count(origin.line, &answer, &self.bar);
            if let (Some(reason), Some(rejects)) = (refused, &mut self.rejects) {
                rejects.add(origin, &reason).context("the file of rejects cannot be written")?;
            }
        }
        if let Some(rejects) = &mut self.rejects {
            rejects.flush().context("the file of rejects cannot be written")?;
        }
        self.bar.inc(batch.bytes);
        self.bar.set_message(format!("{} lines", grouped(self.report.lines)));
        Ok(())
    }
}

/// Checks the next batch while the one before it goes in. They go in one after the other, so that of two lines with one id
/// the first wins.
fn admit_ahead(
    producer: Producer,
    intake: Intake,
) -> (mpsc::Receiver<anyhow::Result<(Batch, Admitted)>>, JoinHandle<()>) {
    let (sender, admitted) = mpsc::channel(1);
    let admitting = tokio::spawn(async move {
        let mut batches = intake.start();
        while let Some(batch) = batches.recv().await {
            let next = admit(&producer, batch).await;
            let failed = next.is_err();
            // Whoever stopped listening wants no more.
            if sender.send(next).await.is_err() || failed {
                return;
            }
        }
    });
    (admitted, admitting)
}

async fn admit(producer: &Producer, batch: io::Result<Batch>) -> anyhow::Result<(Batch, Admitted)> {
    let mut batch = batch.context("the file cannot be read any further")?;
    let admitted = producer.admit(mem::take(&mut batch.items), Timestamp::now()).await?;
    Ok((batch, admitted))
}

/// An end before the file's: how far it came, and that it can be sent again.
fn unfinished(failure: Failure, report: &Report) -> Failure {
    let done = format!(
        "of the first {} lines all that could go in is in; send the same file again, what is in reads duplicate",
        grouped(report.lines)
    );
    failure.after(&done).figures(serde_json::to_value(report).unwrap_or_default())
}
