//! `relay status`: how each group stands.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::boot::{self, Config};
use shared::domain::SiteId;
use shared::providers::{Registry, reasons};
use shared::store::{ConversionCount, GroupStanding, Pause, ProviderCircuit};

use super::meaning::advice;
use crate::failure::Exit;
use crate::output::{Output, Set, grouped, table, time};

/// Counting stops here; what reaches it is shown as more than 10,000.
const COUNT_MAX: i64 = 10_001;

const GROUPS: [(&str, Set); 7] = [
    ("site", Set::Whole),
    ("provider", Set::Whole),
    ("waiting", Set::Number),
    ("at risk", Set::Number),
    ("held", Set::Number),
    ("oldest", Set::Number),
    ("stands", Set::Text),
];

const HOLDS: [(&str, Set); 3] =
    [("hold", Set::Text), ("sites", Set::Number), ("why, and what to do", Set::Text)];

const OUTCOMES: [(&str, Set); 5] = [
    ("provider", Set::Whole),
    ("status", Set::Whole),
    ("outcome", Set::Whole),
    ("code", Set::Text),
    ("conversions", Set::Number),
];

/// How each group stands, the worst first
#[derive(Args)]
pub(super) struct Arguments {
    /// One site only
    #[arg(long, value_name = "UUID", value_parser = super::parse_site)]
    site: Option<SiteId>,
    /// Most groups
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    limit: i32,
    /// Also what became of all conversions; walks the whole queue
    #[arg(long)]
    outcomes: bool,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let mut groups = context.store.read_groups(arguments.site, arguments.limit + 1).await?;
    let all = groups.len() <= usize::try_from(arguments.limit)?;
    groups.truncate(usize::try_from(arguments.limit)?);
    // A hold of the whole group writes nothing to its rows: they wait where they are, and are held all the same.
    for group in groups.iter_mut().filter(|group| group.hold_code.is_some()) {
        group.held += std::mem::take(&mut group.waiting);
    }
    let pauses = context.store.read_pauses().await?;
    let circuits = context.store.read_provider_circuits().await?;
    let outcomes = match arguments.outcomes {
        true => Some(context.store.count_conversions(arguments.site).await?),
        false => None,
    };
    let sum = |column: fn(&GroupStanding) -> i64| groups.iter().map(column).sum::<i64>();
    let totals = json!({
        "groups": groups.len(), "waiting": sum(|group| group.waiting), "at_risk": sum(|group| group.at_risk),
        "held": sum(|group| group.held), "processing": sum(|group| group.processing),
        "attempts": sum(|group| group.attempts_total), "completed": sum(|group| group.completed_total),
        "failed": sum(|group| group.failed_total), "retry": sum(|group| group.retry_total),
        "submitted": sum(|group| group.submitted_total),
    });
    let mut answer = json!({ "ok": true, "groups": groups, "all_groups": all, "totals": totals,
        "pauses": pauses, "providers": circuits, "holds": holds_json(&groups, context.access.registry()) });
    if let Some(outcomes) = &outcomes {
        answer["outcomes"] = json!(outcomes);
    }
    output.answer(&answer, || {
        let now = Timestamp::now();
        let stopped = providers_text(&pauses, &circuits);
        let mut text = stopped + &groups_text(&groups, &pauses, now);
        text += &holds_text(&groups, context.access.registry());
        if !all {
            text += &format!("\nthe {} worst groups; --limit shows more", groups.len());
        }
        if let Some(outcomes) = &outcomes {
            text += "\n\n";
            text += &outcomes_text(outcomes);
        }
        text
    })?;
    Ok(Exit::Done)
}

fn groups_text(groups: &[GroupStanding], pauses: &[Pause], now: Timestamp) -> String {
    if groups.is_empty() {
        return "no group yet: store credentials or enqueue a conversion".to_owned();
    }
    let row = |group: &GroupStanding| {
        vec![
            group.site_id.to_string(),
            group.provider_key.clone(),
            counted(group.waiting),
            counted(group.at_risk),
            counted(group.held),
            group.oldest_due_at.map_or_else(String::new, |due| since(due, now)),
            standing(group, pauses, now),
        ]
    };
    let sum = |column: fn(&GroupStanding) -> i64| groups.iter().map(column).sum::<i64>();
    let mut text = table(&GROUPS, groups.iter().map(row));
    text += &format!(
        "\n\ngroups {}: waiting {}, held {}, in flight {}; at risk, for they expire within 48 hours: {}\n\
         so far: requests {}, completed {}, submitted {}, failed {}, retries {}",
        grouped(groups.len() as u64),
        summed(groups, |group| group.waiting),
        summed(groups, |group| group.held),
        grouped(sum(|group| group.processing)),
        summed(groups, |group| group.at_risk),
        grouped(sum(|group| group.attempts_total)),
        grouped(sum(|group| group.completed_total)),
        grouped(sum(|group| group.submitted_total)),
        grouped(sum(|group| group.failed_total)),
        grouped(sum(|group| group.retry_total)),
    );
    text
}

/// Each hold of whole groups, with how many groups it has.
fn holds(groups: &[GroupStanding]) -> BTreeMap<(&str, &str), usize> {
    let mut holds = BTreeMap::new();
    for group in groups {
        if let Some(code) = &group.hold_code {
            *holds.entry((group.provider_key.as_str(), code.as_str())).or_default() += 1;
        }
    }
    holds
}

fn holds_json(groups: &[GroupStanding], registry: &Registry) -> Vec<Value> {
    let hold = |((provider, code), groups): ((&str, &str), usize)| {
        let reason = reasons::find(registry, provider, code);
        json!({ "provider_key": provider, "code": code, "groups": groups, "reason": reason })
    };
    holds(groups).into_iter().map(hold).collect()
}

fn holds_text(groups: &[GroupStanding], registry: &Registry) -> String {
    let row = |((provider, code), groups): ((&str, &str), usize)| {
        let why = reasons::find(registry, provider, code).as_ref().map_or_else(String::new, advice);
        vec![code.to_owned(), grouped(groups as u64), why]
    };
    let rows: Vec<_> = holds(groups).into_iter().map(row).collect();
    if rows.is_empty() { String::new() } else { format!("\n\n{}", table(&HOLDS, rows)) }
}

fn counted(count: i64) -> String {
    if count >= COUNT_MAX { format!(">{}", grouped(COUNT_MAX - 1)) } else { grouped(count) }
}

/// A sum of counts that stopped counting is a least.
fn summed(groups: &[GroupStanding], column: fn(&GroupStanding) -> i64) -> String {
    let sum = grouped(groups.iter().map(|group| column(group).min(COUNT_MAX - 1)).sum::<i64>());
    if groups.iter().any(|group| column(group) >= COUNT_MAX) { format!("more than {sum}") } else { sum }
}

/// How long ago, in the largest whole unit; nothing where it lies ahead.
fn since(then: Timestamp, now: Timestamp) -> String {
    match now.duration_since(then).as_secs() {
        ..0 => "not due".to_owned(),
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// What stops a provider as a whole, before all else.
fn providers_text(pauses: &[Pause], circuits: &[ProviderCircuit]) -> String {
    let mut text = String::new();
    for pause in pauses.iter().filter(|pause| pause.site_id.is_none()) {
        let until = pause
            .paused_until
            .map_or_else(|| "until it is resumed".to_owned(), |at| format!("until {}", time(at)));
        text += &format!("{} is paused {until}: {}\n", pause.provider_key, pause.reason);
    }
    for circuit in circuits.iter().filter(|circuit| circuit.state != "CLOSED") {
        let probe = circuit.next_probe_at.map_or_else(String::new, |at| format!(", probed at {}", clock(at)));
        text += &format!(
            "{} does not answer most of its groups: one request probes for all{probe}\n",
            circuit.provider_key
        );
    }
    if text.is_empty() { text } else { text + "\n" }
}

/// The one thing that stands in the way of the whole group.
fn standing(group: &GroupStanding, pauses: &[Pause], now: Timestamp) -> String {
    if let Some(code) = &group.hold_code {
        return format!("held: {code}");
    }
    let paused = pauses.iter().find(|pause| {
        pause.provider_key == group.provider_key && pause.site_id.is_none_or(|site| site == group.site_id)
    });
    if let Some(pause) = paused {
        return pause
            .paused_until
            .map_or_else(|| "paused".to_owned(), |at| format!("paused to {}", clock(at)));
    }
    match (group.circuit.as_str(), group.next_probe_at, group.throttled_until) {
        ("OPEN", Some(probe), _) => format!("open to {}", clock(probe)),
        ("HALF_OPEN", ..) => "half open".to_owned(),
        (_, _, Some(until)) if until > now => format!("throttled to {}", clock(until)),
        _ => "good".to_owned(),
    }
}

/// A time of the next hours.
fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

fn outcomes_text(outcomes: &[ConversionCount]) -> String {
    let row = |count: &ConversionCount| {
        vec![
            count.provider_key.clone(),
            count.status.clone(),
            count.outcome.clone().unwrap_or_default(),
            count.code.clone().unwrap_or_default(),
            grouped(count.conversions),
        ]
    };
    table(&OUTCOMES, outcomes.iter().map(row))
}
