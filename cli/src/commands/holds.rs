//! `relay holds`: what waits for a mend, why, and `release` where it is mended.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use shared::boot::{self, Config};
use shared::domain::{ProviderKey, SiteId};
use shared::engine::release_holds;
use shared::providers::{Registry, reasons};
use shared::store::{Hold, HoldFilter};

use super::meaning::advice;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Set, table, time};

/// Holds that one call lists.
const LIST_MOST: i32 = 1_000;

const HOLDS: [(&str, Set); 5] = [
    ("hold", Set::Whole),
    ("site", Set::Whole),
    ("waiting", Set::Number),
    ("since", Set::Whole),
    ("covers, and why", Set::Text),
];

const REASONS: [(&str, Set); 2] = [("code", Set::Text), ("why, and what to do", Set::Text)];

/// List what waits for a mend; conversions under a hold burn no retries and go on by themselves
#[derive(Args)]
pub(super) struct Arguments {
    /// At one provider
    #[arg(long, value_name = "KEY", value_parser = super::parse_provider)]
    provider: Option<ProviderKey>,
    /// Of one site
    #[arg(long, value_name = "UUID", value_parser = super::parse_site)]
    site: Option<SiteId>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Release(Release),
}

/// Let go what a hold stopped, because it is mended; where it is not, the next request holds it again
#[derive(Args)]
struct Release {
    /// The hold's number, as `relay holds` shows it
    #[arg(value_name = "HOLD", required_unless_present_any = ["site", "code"])]
    hold: Option<i64>,
    /// Every hold of one site
    #[arg(long, value_name = "UUID", value_parser = super::parse_site)]
    site: Option<SiteId>,
    /// Every hold for one reason
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// At one provider
    #[arg(long, value_name = "KEY", value_parser = super::parse_provider)]
    provider: Option<ProviderKey>,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    if let Some(Command::Release(release)) = arguments.command {
        let filter = HoldFilter {
            hold_id: release.hold,
            provider: release.provider.or(arguments.provider),
            site: release.site.or(arguments.site),
            code: release.code,
        };
        let released = release_holds(&context, &filter).await?;
        if released.holds == 0 && released.conversions == 0 {
            return Err(Failure::new(Exit::Failed, "no hold fits, or it ends by itself")
                .hint("relay holds")
                .into());
        }
        let answer = json!({
            "ok": true, "holds": released.holds, "sites": released.sites, "conversions": released.conversions,
        });
        output.answer(&answer, || {
            format!(
                "{} holds lifted: {} sites and {} parked conversions go on with the next run",
                released.holds, released.sites, released.conversions
            )
        })?;
        return Ok(Exit::Done);
    }
    let holds = context.store.read_holds(arguments.provider, arguments.site, LIST_MOST).await?;
    let registry = context.access.registry();
    let document = json!({ "ok": true, "holds": documents(&holds, registry) });
    output.answer(&document, || list(&holds, registry))?;
    Ok(Exit::Done)
}

fn documents(holds: &[Hold], registry: &Registry) -> Vec<Value> {
    let document = |hold: &Hold| {
        let mut document = json!(hold);
        document["reason"] = json!(reasons::find(registry, &hold.provider_key, &hold.code));
        document
    };
    holds.iter().map(document).collect()
}

fn list(holds: &[Hold], registry: &Registry) -> String {
    if holds.is_empty() {
        return "nothing is held".to_owned();
    }
    let codes: BTreeSet<_> = holds.iter().map(|hold| (&hold.provider_key, &hold.code)).collect();
    let reasons = codes.into_iter().filter_map(|(provider, code)| {
        let reason = reasons::find(registry, provider, code)?;
        Some(vec![code.clone(), advice(&reason)])
    });
    format!("{}\n\n{}", table(&HOLDS, holds.iter().map(line)), table(&REASONS, reasons))
}

fn line(hold: &Hold) -> Vec<String> {
    let covers = match (hold.scope.as_str(), hold.scope_key.as_deref()) {
        ("row", _) => format!("{} conversions", hold.holds),
        ("conversion_action", Some("")) => "the site's conversion action".to_owned(),
        ("conversion_action", Some(action)) => format!("conversion action {action}"),
        ("client", _) => "OAuth client".to_owned(),
        ("provider", Some(transport)) => format!("{} by {transport}", hold.provider_key),
        (scope, _) => scope.to_owned(),
    };
    let waiting = if hold.conversions > 10_000 { "10000+".to_owned() } else { hold.conversions.to_string() };
    let because = match hold.lifts_at {
        Some(lifts_at) => format!("{covers}: {}; ends by itself at {}", hold.code, time(lifts_at)),
        None => format!("{covers}: {}", hold.code),
    };
    vec![
        hold.hold_id.to_string(),
        hold.site_id.map_or_else(|| format!("{} sites", hold.sites), |site| site.to_string()),
        waiting,
        time(hold.opened_at),
        because,
    ]
}
