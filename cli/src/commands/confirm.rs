//! `relay confirm`: what the `confirm` function does, from here.

use std::time::Duration;

use clap::Args;
use shared::boot::{self, Config};
use shared::domain::{ProviderKey, SiteId};
use shared::engine::tasks::confirm::{self, Answer, Request};
use shared::engine::{Bounds, Reply, Trigger};

use crate::failure::Exit;
use crate::output::{Output, grouped};
use crate::signals::Stop;

/// What cannot be asked in so long goes to the next call.
const DEADLINE: Duration = Duration::from_secs(300);

/// Read the receipts that are due, and bring submitted conversions to their end
#[derive(Args)]
pub(super) struct Arguments {
    /// One provider only
    #[arg(long, value_name = "KEY", value_parser = super::parse_provider)]
    provider: Option<ProviderKey>,
    /// One site only
    #[arg(long, value_name = "UUID", value_parser = super::parse_site)]
    site: Option<SiteId>,
    /// Ask now, too, for those that are due within so many minutes, up to a day
    #[arg(long, value_name = "MINUTES", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1440))]
    early: u32,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let request = Request {
        provider: arguments.provider,
        site: arguments.site,
        early_minutes: arguments.early,
        trigger: Trigger::default(),
    };
    let bounds = Bounds { shutdown: Stop::listen()?.token(), ..Bounds::after(DEADLINE) };
    let reply = confirm::run(&context, &request, bounds).await?;
    output.reply(&reply, text)?;
    Ok(match reply {
        Reply::Answer(answer) if answer.errors_total > 0 => Exit::Failed,
        Reply::Answer(_) | Reply::Skipped { .. } => Exit::Done,
    })
}

fn text(answer: &Answer) -> String {
    let mut text = format!(
        "{} receipts were due: {} settled, {} asked for again later\n\
         conversions: {} completed, {} failed, {} go again, {} held",
        grouped(answer.total),
        grouped(answer.processed),
        grouped(answer.skipped),
        grouped(answer.completed),
        grouped(answer.failed),
        grouped(answer.retry),
        grouped(answer.held),
    );
    for error in &answer.errors {
        text.push_str(&format!("\n{} at {}: {}", error.site_id, error.provider_key, error.error));
    }
    text
}
