//! `relay cancel`: ends what waits.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use shared::boot::{self, Config};
use shared::domain::{ConversionId, ProviderKey, SiteId};
use shared::engine::{Bounds, hands};
use shared::store::{Cancel, Cancelled};

use crate::failure::{Exit, Failure};
use crate::output::{Output, grouped};

/// What is not ended in so long is ended with the next call.
const DEADLINE: Duration = Duration::from_secs(900);

/// Ids that one call takes.
const IDS_MAX: usize = 10_000;

/// End what waits, for good: conversions of a site or those named; what is on its way to the platform is not called back
#[derive(Args)]
pub(super) struct Arguments {
    /// All that waits for this site
    #[arg(long, value_name = "UUID", value_parser = super::parse_site, conflicts_with = "id", required_unless_present = "id")]
    site: Option<SiteId>,
    /// With --site: at one ad platform only
    #[arg(long, value_name = "KEY", value_parser = super::parse_provider, requires = "site")]
    provider: Option<ProviderKey>,
    /// This conversion, by its number; may be given several times
    #[arg(long, value_name = "ID", num_args = 1.., value_parser = clap::value_parser!(i64).range(1..))]
    id: Vec<i64>,
    /// With --site: do it, and do not only say what would be done
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let cancel = match arguments.site {
        Some(_) if !arguments.yes => {
            let told = "what is cancelled is never sent, and stays known: say --yes to cancel all that waits";
            return Err(Failure::new(Exit::Usage, told).hint("relay status").into());
        }
        Some(site) => Cancel::Site { site, provider: arguments.provider },
        None if arguments.id.len() > IDS_MAX => {
            let told = format!("at most {} conversions in one call", grouped(IDS_MAX));
            return Err(Failure::new(Exit::Usage, told).into());
        }
        None => Cancel::Conversions(arguments.id.into_iter().map(ConversionId).collect()),
    };
    let context = boot::open_context(&Config::from_env()).await?;
    let cancelled = hands::cancel(&context, &cancel, &Bounds::after(DEADLINE)).await?;
    let whole = cancelled.finished && cancelled.unknown == 0;
    let mut answer = json!(cancelled);
    answer["ok"] = json!(whole);
    output.answer(&answer, || text(&cancelled))?;
    Ok(if whole { Exit::Done } else { Exit::Failed })
}

fn text(cancelled: &Cancelled) -> String {
    let mut text = format!("cancelled: {}", grouped(cancelled.cancelled));
    for (count, what) in [
        (cancelled.in_doubt, "of those may have been delivered: an earlier request had no answer"),
        (cancelled.in_flight, "not cancelled: on their way to the platform; call again if they come back"),
        (cancelled.submitted, "not cancelled: the platform has them and says later what became of them"),
        (cancelled.ended, "not cancelled: at their end already"),
        (cancelled.unknown, "unknown"),
    ] {
        if count > 0 {
            text += &format!("\n{} {what}", grouped(count));
        }
    }
    if !cancelled.finished {
        text += "\nnot finished; call again";
    }
    text
}
