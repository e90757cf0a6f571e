//! `relay keep-partitions`: makes the partitions of the weeks to come.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, json};
use shared::boot::{self, Config};
use shared::engine::tasks::keep_partitions::{self, Answer, Request};
use shared::engine::{Bounds, Fields, Reply};

use crate::failure::Exit;
use crate::output::{Output, grouped};

/// What is not made in so long goes with the next call.
const DEADLINE: Duration = Duration::from_secs(300);

/// Make the partitions of the weeks to come; every run does so too where few are left
#[derive(Args)]
pub(super) struct Arguments {
    /// Weeks after this one: 8 unless said
    #[arg(long, value_name = "N")]
    weeks_ahead: Option<String>,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let mut fields = Map::new();
    fields.insert("weeks_ahead".to_owned(), json!(arguments.weeks_ahead));
    let request = Request::parse(Fields::new(fields))?;
    let context = boot::open_context(&Config::from_env()).await?;
    let reply = keep_partitions::run(&context, &request, Bounds::after(DEADLINE)).await?;
    output.reply(&reply, text)?;
    Ok(match reply {
        Reply::Answer(answer) if !answer.ok => Exit::Failed,
        Reply::Answer(_) | Reply::Skipped { .. } => Exit::Done,
    })
}

fn text(answer: &Answer) -> String {
    let mut text = format!(
        "made {} partitions; {} weeks after this one have theirs",
        grouped(answer.processed),
        answer.weeks_ahead
    );
    for error in &answer.errors {
        text += &format!("\nerror: {error}");
    }
    text
}
