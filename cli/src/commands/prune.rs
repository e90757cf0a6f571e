//! `relay prune`: takes away what is past its retention.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, json};
use shared::boot::{self, Config};
use shared::engine::tasks::prune::{self, Answer, Request};
use shared::engine::{Bounds, Fields, Reply};

use crate::failure::Exit;
use crate::output::{Output, grouped};

/// What is not taken away in so long goes with the next call.
const DEADLINE: Duration = Duration::from_secs(900);

/// Take away history past its retention, by whole weeks, and never what still lives
#[derive(Args)]
pub(super) struct Arguments {
    /// Days that conversions, outcomes and the ledger are kept: CONVERSION_RETENTION_DAYS or 400 unless said, 180 at least
    #[arg(long, value_name = "N")]
    retention_days: Option<String>,
    /// Days that the history of runs is kept: RUN_RETENTION_DAYS or 90 unless said, 30 at least
    #[arg(long, value_name = "N")]
    run_retention_days: Option<String>,
}

impl Arguments {
    fn request(&self) -> anyhow::Result<Request> {
        let mut fields = Map::new();
        fields.insert("retention_days".to_owned(), json!(self.retention_days));
        fields.insert("run_retention_days".to_owned(), json!(self.run_retention_days));
        Ok(Request::parse(Fields::new(fields))?)
    }
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let request = arguments.request()?;
    let context = boot::open_context(&Config::from_env()).await?;
    let reply = prune::run(&context, &request, Bounds::after(DEADLINE)).await?;
    output.reply(&reply, text)?;
    Ok(match reply {
        Reply::Answer(answer) if !answer.ok || !answer.finished => Exit::Failed,
        Reply::Answer(_) | Reply::Skipped { .. } => Exit::Done,
    })
}

fn text(answer: &Answer) -> String {
    let mut text = format!(
        "kept {} days of conversions: dropped {} partitions, deleted {} keys, {} receipts, {} lifted holds\n\
         kept {} days of runs: deleted {}",
        answer.retention_days,
        grouped(answer.processed),
        grouped(answer.keys),
        grouped(answer.receipts),
        grouped(answer.holds),
        answer.run_retention_days,
        grouped(answer.runs),
    );
    for week in &answer.skipped_weeks {
        text += &format!("\nstays: {week}");
    }
    for error in &answer.errors {
        text += &format!("\nerror: {error}");
    }
    if !answer.finished {
        text += "\nnot finished; call again";
    }
    text
}
