//! `relay run`: what the `runner` function does, from here; with `--forever`, all that schedules do on AWS.

mod forever;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, json};
use shared::boot::{self, Config};
use shared::delivery::Stopped;
use shared::engine::tasks::upload::{self, Answer};
use shared::engine::{Bounds, Fields, Reply};
use shared::providers::Registry;

use super::meaning::meanings;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Set, grouped, table};
use crate::signals::Stop;

/// What is in flight when Ctrl-C comes has so long to come to its end.
const GRACE: Duration = Duration::from_secs(10);

/// Claim due conversions and upload them, until nothing is due
#[derive(Args)]
pub(super) struct Arguments {
    /// worker (empties one provider's queue) or cron (takes a limited share)
    #[arg(long)]
    mode: Option<String>,
    /// The ad platform, such as google_ads; worker mode needs it
    #[arg(long, value_name = "KEY")]
    provider: Option<String>,
    /// One site only
    #[arg(long, value_name = "UUID")]
    site: Option<String>,
    /// Most conversions of this run; in cron mode 200 unless said, at most 1000
    #[arg(long, value_name = "N")]
    limit: Option<String>,
    /// When the run has to be over
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400), conflicts_with = "forever")]
    deadline_seconds: u64,
    /// Go on until SIGTERM or Ctrl-C: uploads again and again (of every provider unless one is named), and every other
    /// task at its time
    #[arg(long)]
    forever: bool,
    /// Where a host says whether it is up and ready (/health/live, /health/ready); port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8789", requires = "forever")]
    listen: SocketAddr,
}

impl Arguments {
    /// The same fields as an event has, so that the same is refused, in the same words.
    fn fields(&self) -> Fields {
        let mut fields = Map::new();
        let given = [
            ("mode", &self.mode),
            ("provider_key", &self.provider),
            ("site_id", &self.site),
            ("limit", &self.limit),
        ];
        for (name, value) in given {
            fields.insert(name.to_owned(), json!(value));
        }
        Fields::new(fields)
    }
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    if arguments.forever {
        return forever::run(arguments, output).await;
    }
    let request = upload::Request::parse(arguments.fields())?;
    let stop = Stop::listen()?;
    let context = boot::open_context(&Config::from_env()).await?;
    let bounds =
        Bounds { shutdown: stop.token(), ..Bounds::after(Duration::from_secs(arguments.deadline_seconds)) };
    let work = upload::run(&context, &request, bounds);
    let token = stop.token();
    let reply = tokio::select! {
        reply = work => reply?,
        () = async { token.cancelled().await; tokio::time::sleep(GRACE).await } => {
            let told = "stopped: requests that were in flight did not end in time, their claims lapse by themselves";
            return Err(Failure::new(stop.exit().unwrap_or(Exit::Interrupted), told).hint("relay recover").into());
        }
    };
    output.reply(&reply, |answer| text(answer, context.access.registry()))?;
    let Reply::Answer(answer) = reply else {
        return Ok(Exit::Done);
    };
    Ok(match stop.exit() {
        Some(exit) if answer.stopped == Stopped::Shutdown => exit,
        Some(_) | None if answer.errors_total > 0 => Exit::Failed,
        Some(_) | None => Exit::Done,
    })
}

fn text(answer: &Answer, registry: &Registry) -> String {
    let counts = [
        ("processed", answer.processed),
        ("completed", answer.completed),
        ("submitted", answer.submitted),
        ("failed", answer.failed),
        ("retry", answer.retry),
        ("held", answer.held),
        ("released", answer.released),
    ];
    let columns = counts.map(|(name, _)| (name, Set::Number));
    let row = counts.iter().map(|(_, count)| grouped(*count)).collect();
    let why = match answer.stopped {
        Stopped::Drained => "nothing is due any more",
        Stopped::Limit => "the limit is reached",
        Stopped::Deadline => "the time is up",
        Stopped::Shutdown => "it was stopped",
    };
    let groups = grouped(answer.groups as u64);
    let mut text = format!("run {} ended: {why}; groups that had conversions: {groups}\n\n", answer.run_id);
    text += &table(&columns, [row]);
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
        // An error begins with its code, where it has one.
        text += &meanings(
            registry,
            answer.errors.iter().map(|error| {
                let code = error.error.split(": ").next().unwrap_or_default();
                (error.provider_key.as_str(), code)
            }),
        );
    }
    text
}
