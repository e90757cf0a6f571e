//! `relay quota`: what the sites of one quota key share.

use clap::{Args, Subcommand};
use serde_json::json;
use shared::boot::{self, Config};
use shared::store::Quota;

use crate::failure::{Exit, Failure};
use crate::output::{Output, Set, grouped, table, time};

const QUOTAS: [(&str, Set); 7] = [
    ("quota key", Set::Text),
    ("groups", Set::Number),
    ("slots", Set::Number),
    ("per minute", Set::Number),
    ("per day", Set::Number),
    ("used", Set::Number),
    ("next request", Set::Text),
];

/// What the sites of one quota key share: uploads in flight, requests per minute and per day
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Most keys
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    limit: i32,
}

#[derive(Subcommand)]
enum Action {
    /// Set them; what is not named stays as it is
    Put {
        /// The key, as the credentials name it or as the list shows it
        #[arg(long, value_name = "KEY")]
        key: String,
        /// Uploads in flight over all runners, 1 to 1,000
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1_000))]
        slots: Option<i32>,
        /// Requests in any minute, polls included; 0 for no limit
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=1_000_000))]
        per_minute: Option<i32>,
        /// Requests in any day, polls included; 0 for no limit
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=100_000_000))]
        per_day: Option<i32>,
    },
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    if let Some(Action::Put { key, slots, per_minute, per_day }) = arguments.action {
        if slots.is_none() && per_minute.is_none() && per_day.is_none() {
            let told = "nothing to set: say --slots, --per-minute or --per-day";
            return Err(Failure::new(Exit::Usage, told).into());
        }
        if !context.store.put_quota(&key, slots, per_minute, per_day).await? {
            let told = format!("no site has the quota key {key}");
            return Err(Failure::new(Exit::Failed, told).hint("relay quota").into());
        }
        let answer = json!({
            "ok": true, "quota_key": key, "slots": slots, "per_minute": per_minute, "per_day": per_day,
        });
        output.answer(&answer, || format!("{key} is set"))?;
        return Ok(Exit::Done);
    }
    let mut quotas = context.store.read_quotas(arguments.limit + 1).await?;
    let all = quotas.len() <= usize::try_from(arguments.limit)?;
    quotas.truncate(usize::try_from(arguments.limit)?);
    output.answer(&json!({ "ok": true, "quotas": quotas, "all_quotas": all }), || list(&quotas, all))?;
    Ok(Exit::Done)
}

fn list(quotas: &[Quota], all: bool) -> String {
    if quotas.is_empty() {
        return "no quota key yet: store credentials first".to_owned();
    }
    let limit = |limit: Option<i32>| limit.map_or_else(|| "no limit".to_owned(), grouped);
    let row = |quota: &Quota| {
        let next = match quota.throttled_until {
            Some(until) => format!("{}, as the provider asked", time(until)),
            None if quota.used > 0.0 => time(quota.next_at),
            None => "now".to_owned(),
        };
        vec![
            quota.quota_key.clone(),
            grouped(quota.groups),
            format!("{} of {}", quota.slots_in_use, quota.slots),
            limit(quota.per_minute),
            limit(quota.per_day),
            format!("{:.0} %", quota.used * 100.0),
            next,
        ]
    };
    let more = if all { "" } else { "\n--limit shows more" };
    format!("{}{more}", table(&QUOTAS, quotas.iter().map(row)))
}
