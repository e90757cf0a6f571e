//! `relay probe-credentials`: finds grants that were revoked, and lets go what somebody has mended.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, json};
use shared::boot::{self, Config};
use shared::engine::tasks::probe_credentials::{self, Answer, Request};
use shared::engine::{Bounds, Fields, Reply};

use crate::failure::Exit;
use crate::output::{Output, Set, grouped, table};

/// What is not looked at in so long goes to the next call.
const DEADLINE: Duration = Duration::from_secs(600);

/// Look for grants that were revoked, and let go what somebody has mended: sites in turn, each once a day
#[derive(Args)]
pub(super) struct Arguments {
    /// One site only, and at once
    #[arg(long, value_name = "UUID")]
    site: Option<String>,
    /// Most groups; 2000 unless said
    #[arg(long, value_name = "N")]
    limit: Option<String>,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let mut fields = Map::new();
    fields.insert("site_id".to_owned(), json!(arguments.site));
    fields.insert("limit".to_owned(), json!(arguments.limit));
    let request = Request::parse(Fields::new(fields))?;
    let context = boot::open_context(&Config::from_env()).await?;
    let reply = probe_credentials::run(&context, &request, Bounds::after(DEADLINE)).await?;
    output.reply(&reply, text)?;
    Ok(match reply {
        Reply::Answer(answer) if answer.errors_total > 0 => Exit::Failed,
        Reply::Answer(_) | Reply::Skipped { .. } => Exit::Done,
    })
}

fn text(answer: &Answer) -> String {
    let mut text = format!(
        "looked at {} of {} groups whose turn it was: opened {} holds, lifted {}",
        grouped(answer.processed),
        grouped(answer.total),
        grouped(answer.held),
        grouped(answer.lifted),
    );
    if answer.errors_total > 0 {
        let rows = answer.errors.iter().map(|error| {
            vec![error.site_id.to_string(), error.provider_key.to_string(), error.error.clone()]
        });
        text += "\n\n";
        text += &table(&[("site", Set::Whole), ("provider", Set::Whole), ("error", Set::Text)], rows);
        let more = answer.errors_total.saturating_sub(answer.errors.len() as u64);
        if more > 0 {
            text += &format!("\nand {} more errors", grouped(more));
        }
    }
    text
}
