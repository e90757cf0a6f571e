//! `relay keep-partitions`: makes the partitions of the weeks to come.

use clap::Args;
use serde_json::{Map, json};
use shared::boot::{self, Config};
use shared::engine::Fields;
use shared::engine::tasks::keep_partitions::{self, Answer, Request};

use crate::failure::Exit;
use crate::output::{Output, grouped};

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
    let answer = keep_partitions::run(&context, &request).await?;
    output.answer(&answer, || text(&answer))?;
    Ok(if answer.ok { Exit::Done } else { Exit::Failed })
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
