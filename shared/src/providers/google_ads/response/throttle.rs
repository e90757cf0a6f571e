//! How long a used-up budget asks to wait, and whom.

use std::time::Duration;

use jiff::Timestamp;

use super::findings::Finding;
use super::judge::Judge;
use crate::providers::{
    QuotaScope, Reply, SendError,
    google_ads::{
        daily_budget::next_pacific_midnight,
        taxonomy::WaitFrom,
        wire::status::{Detail, QuotaErrorDetails},
    },
    http::RawAnswer,
    retry_after::{LONGEST_WAIT, parse_retry_after},
};

/// The least wait. Ours: budgets are per minute, and a wait of milliseconds would be answered with 429 again.
const LEAST_WAIT: Duration = Duration::from_secs(30);

/// The longest of all waits that the answer names; where it names none, until midnight in Pacific time for a daily
/// budget.
pub(super) fn throttled(
    raw: &RawAnswer,
    details: &[Detail],
    found: &[Finding],
    reply: Reply,
    judge: Judge<'_>,
) -> SendError {
    let now = judge.now;
    let quotas = || {
        details
            .iter()
            .flat_map(|detail| &detail.errors)
            .filter_map(|error| error.details.quota_error_details.as_ref())
    };
    let retry_infos = details.iter().map(|detail| &detail.retry_delay);
    let delays = retry_infos.chain(quotas().map(|quota| &quota.retry_delay));
    let header = raw.header("retry-after").and_then(|header| parse_retry_after(header, now));
    let named = delays.flatten().filter_map(|delay| parse_duration(delay)).chain(header).max();

    let is_daily = found
        .iter()
        .filter_map(|finding| finding.rule(judge))
        .any(|rule| rule.wait_from == Some(WaitFrom::PacificMidnight));
    let usual = if is_daily { until(next_pacific_midnight(now), now) } else { LEAST_WAIT };
    let wait = named.unwrap_or(usual).clamp(LEAST_WAIT, LONGEST_WAIT);
    SendError::Throttled { reply, wait, scope: scope(quotas()) }
}

/// The account only where the answer says nothing but that: a budget is shared by default.
fn scope<'a>(mut quotas: impl Iterator<Item = &'a QuotaErrorDetails>) -> QuotaScope {
    let is_account = |quota: &QuotaErrorDetails| quota.rate_scope.as_deref() == Some("ACCOUNT");
    match quotas.next() {
        Some(first) if is_account(first) && quotas.all(is_account) => QuotaScope::Account,
        Some(_) | None => QuotaScope::QuotaKey,
    }
}

/// Protobuf's JSON of a duration, such as `3.5s`, rounded up to seconds.
fn parse_duration(text: &str) -> Option<Duration> {
    let (seconds, fraction) = match text.strip_suffix('s')?.split_once('.') {
        Some((seconds, fraction)) => (seconds, fraction),
        None => (text.strip_suffix('s')?, "0"),
    };
    let rounded_up = u64::from(fraction.bytes().any(|digit| digit != b'0'));
    Some(Duration::from_secs(seconds.parse::<u64>().ok()?.saturating_add(rounded_up)))
}

fn until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}
