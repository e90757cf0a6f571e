//! The groups of one site, as they stand at this moment.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use shared::domain::SiteId;
use shared::engine::Context;
use shared::store::{ConversionCount, GroupStanding, Pause};

use super::told::{clock, counted_holds, holds_json, holds_text, outcomes_text, since, stops_text};
use crate::output::{Output, Set, grouped, table};

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

/// A site has one group at each provider.
const GROUPS_MAX: i32 = 100;

/// The groups of one site, counted at this moment: up to 10,000 of each, whatever else waits.
pub(super) async fn run(
    context: &Context,
    site: SiteId,
    outcomes: Option<Vec<ConversionCount>>,
    output: Output,
) -> anyhow::Result<()> {
    let mut groups = context.store.read_groups(Some(site), GROUPS_MAX).await?;
    // A hold of the whole group writes nothing to its rows: they wait where they are, and are held all the same.
    for group in groups.iter_mut().filter(|group| group.hold_code.is_some()) {
        group.held += std::mem::take(&mut group.waiting);
    }
    let pauses = context.store.read_pauses().await?;
    let circuits = context.store.read_provider_circuits().await?;
    let sum = |column: fn(&GroupStanding) -> i64| groups.iter().map(column).sum::<i64>();
    let totals = json!({
        "groups": groups.len(), "waiting": sum(|group| group.waiting), "at_risk": sum(|group| group.at_risk),
        "held": sum(|group| group.held), "processing": sum(|group| group.processing),
        "attempts": sum(|group| group.attempts_total), "completed": sum(|group| group.completed_total),
        "failed": sum(|group| group.failed_total), "retry": sum(|group| group.retry_total),
        "submitted": sum(|group| group.submitted_total),
    });
    let mut answer = json!({ "ok": true, "groups": groups, "totals": totals, "pauses": pauses, "circuits": circuits,
        "holds": holds_json(held(&groups), &context.registry) });
    if let Some(outcomes) = &outcomes {
        answer["outcomes"] = json!(outcomes);
    }
    output.answer(&answer, || {
        let mut text = stops_text(&pauses, &circuits) + &groups_text(&groups, &pauses, Timestamp::now());
        text += &holds_text(held(&groups), &context.registry);
        text += &outcomes_text(outcomes.as_deref());
        text
    })
}

fn held(groups: &[GroupStanding]) -> BTreeMap<(&str, &str), usize> {
    let held = groups.iter();
    counted_holds(held.filter_map(|group| Some((group.provider_key.as_str(), group.hold_code.as_deref()?))))
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
            group.oldest_due_at.map_or_else(String::new, |due| since(now.duration_since(due).as_secs())),
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

fn counted(count: i64) -> String {
    if count >= COUNT_MAX { format!(">{}", grouped(COUNT_MAX - 1)) } else { grouped(count) }
}

/// A sum of counts that stopped counting is a least.
fn summed(groups: &[GroupStanding], column: fn(&GroupStanding) -> i64) -> String {
    let sum = grouped(groups.iter().map(|group| column(group).min(COUNT_MAX - 1)).sum::<i64>());
    if groups.iter().any(|group| column(group) >= COUNT_MAX) { format!("more than {sum}") } else { sum }
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
