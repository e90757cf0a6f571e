//! Answers that are not 200: the request as a whole failed, and often the reason names the row that is to blame.

use std::collections::HashSet;

use jiff::Timestamp;

use super::findings::{Finding, Place, findings, worst};
use super::throttle::throttled;
use crate::domain::{Class, ErrorCode, HoldScope, Verdict};
use crate::providers::{
    Answer, Reply, Request, RowAnswer, SendError, Target,
    google_ads::{
        taxonomy::Rule,
        wire::status::{Detail, ErrorBody},
    },
    http::RawAnswer,
};

/// The table of transport signals in the contract, then the table of codes.
pub(super) fn read_refusal(raw: &RawAnswer, request: &Request, now: Timestamp) -> Result<Answer, SendError> {
    let body = serde_json::from_slice::<ErrorBody>(&raw.body).ok();
    let details = body.as_ref().map_or(&[][..], |body| &body.error.details);
    let found = body.as_ref().map(|body| findings(&body.error)).unwrap_or_default();
    let reply = envelope(raw, details, &found, now);
    let config =
        worst_rule(&found, now).filter(|rule| rule.class == Class::Config).and_then(|rule| rule.scope);

    if let Some(answer) = without_a_part(&reply, &found, request, now) {
        return Ok(answer);
    }
    if let Some(to) = switch(&found, request, now) {
        return Err(SendError::Rerouted { reply, to });
    }
    Err(match (raw.status, config) {
        (409 | 499 | 500..=599, _) => SendError::Unconfirmed(reply),
        (413, _) => SendError::TooLarge(reply),
        (407 | 408 | 425, _) => SendError::Unavailable(reply),
        (401 | 403 | 404 | 405 | 429, Some(scope)) => misconfigured(reply, scope, request),
        (401, None) => SendError::Unauthorised(reply),
        (429, None) => throttled(raw, details, &found, reply, now),
        (403, None) if is_budget(&found, now) => throttled(raw, details, &found, reply, now),
        (403, None) => misconfigured(reply, HoldScope::Site, request),
        (404 | 405, None) if body.is_some() => misconfigured(reply, HoldScope::ConversionAction, request),
        // Not JSON: this is no API at all, so the address or the version in it is wrong.
        (404 | 405, None) => misconfigured(reply, HoldScope::Provider, request),
        (400..=498, _) => return read_invalid(reply, &found, request, now),
        (_, _) => SendError::Unconfirmed(reply),
    })
}

/// The whole request is refused for an optional part of its rows: those that have it go again without it, the others as
/// they are. None where another fault of the request stands beside it.
fn without_a_part(reply: &Reply, found: &[Finding], request: &Request, now: Timestamp) -> Option<Answer> {
    let mut whole = found.iter().filter(|finding| rows_of(finding, request).is_empty()).peekable();
    whole.peek()?;
    let parts: Vec<_> =
        whole.map(|finding| Some((finding, finding.rule(now)?.part()?))).collect::<Option<_>>()?;
    let rows: Vec<_> = request
        .memo
        .iter()
        .map(|memo| {
            let at_fault = parts.iter().find(|(_, part)| memo.parts.contains(*part));
            at_fault.map_or(RowAnswer { verdict: Verdict::Resend, code: None }, |(finding, _)| {
                finding.answer(*memo, now)
            })
        })
        .collect();
    let moves = rows.iter().any(|row| row.verdict != Verdict::Resend);
    moves.then(|| Answer { reply: reply.clone(), rows })
}

/// The transport that is open to the site, where the worst that is wrong is that this one is closed.
fn switch(found: &[Finding], request: &Request, now: Timestamp) -> Option<&'static str> {
    let to = worst_rule(found, now)?.switch_to?.as_str();
    (to != request.transport).then_some(to)
}

/// A request that is wrong in itself. Nothing of it was taken; where rows are named, the others only have to be sent
/// again without them.
fn read_invalid(
    reply: Reply,
    found: &[Finding],
    request: &Request,
    now: Timestamp,
) -> Result<Answer, SendError> {
    let whole: Vec<_> = found.iter().filter(|finding| rows_of(finding, request).is_empty()).collect();
    let worst_whole = worst_rule(whole.iter().copied(), now);
    if let Some(Rule { class: Class::Config, scope, .. }) = worst_whole {
        return Err(misconfigured(reply, scope.unwrap_or(HoldScope::Site), request));
    }
    if whole.len() < found.len() {
        return read_named_rows(reply, found, request, now);
    }
    Err(match worst_whole.map(|rule| (rule.class, rule)) {
        Some((Class::Split, _)) => SendError::TooLarge(reply),
        Some((Class::Delay, _)) if has_one_target(request) => {
            let delayed = |memo| worst(whole.iter().map(|finding| finding.answer(memo, now)));
            let rows = request.memo.iter().filter_map(|memo| delayed(*memo)).collect();
            return Ok(Answer { reply, rows });
        }
        Some((Class::Transient, rule)) if is_internal(rule) => SendError::Unconfirmed(reply),
        Some((Class::Transient, rule)) if !rule.code.ends_with('*') => SendError::Unavailable(reply),
        Some((Class::Ambiguous, _)) => SendError::Unconfirmed(reply),
        // The row has to be found by halves.
        Some((Class::Transient | Class::Delay | Class::Perm | Class::Ok | Class::Unmatched, _))
        | Some((Class::Config, _))
        | None => SendError::Refused(reply),
    })
}

/// Each named row has its own verdict; the others are to be sent again without it.
fn read_named_rows(
    reply: Reply,
    found: &[Finding],
    request: &Request,
    now: Timestamp,
) -> Result<Answer, SendError> {
    let mut by_row: Vec<Vec<&Finding>> = vec![Vec::new(); request.rows.len()];
    for finding in found {
        for row in rows_of(finding, request) {
            by_row[row].push(finding);
        }
    }
    let rows: Vec<_> = by_row
        .iter()
        .zip(&request.memo)
        .map(|(errors, memo)| {
            worst(errors.iter().map(|finding| finding.answer(*memo, now)))
                .unwrap_or(RowAnswer { verdict: Verdict::Resend, code: None })
        })
        .collect();
    // Where every row is to be sent again, the same request must not go round for ever.
    if rows.iter().all(|row| row.verdict == Verdict::Resend) {
        return Err(SendError::TooLarge(reply));
    }
    Ok(Answer { reply, rows })
}

/// The rows that a finding is about; none where it names none of this request.
fn rows_of(finding: &Finding, request: &Request) -> Vec<usize> {
    let count = request.rows.len();
    match finding.place {
        Place::Row(row) if row < count => vec![row],
        Place::FirstRow if count == 1 => vec![0],
        Place::Destination(destination) => {
            // Destinations stand in the order in which rows first name them.
            let mut seen = HashSet::new();
            let distinct: Vec<Target> =
                request.targets.iter().copied().filter(|target| seen.insert(*target)).collect();
            let named = distinct.get(destination);
            (0..count).filter(|row| request.targets.get(*row) == named && named.is_some()).collect()
        }
        Place::Row(_) | Place::FirstRow | Place::Nowhere => Vec::new(),
    }
}

/// A fault of one row or action can be laid on the request only where the request has no other.
fn misconfigured(reply: Reply, scope: HoldScope, request: &Request) -> SendError {
    let is_certain = match scope {
        HoldScope::Row => request.rows.len() == 1,
        HoldScope::ConversionAction => has_one_target(request),
        HoldScope::Site | HoldScope::Client | HoldScope::Provider => true,
    };
    if is_certain { SendError::Misconfigured { reply, scope } } else { SendError::Refused(reply) }
}

fn has_one_target(request: &Request) -> bool {
    request.targets.windows(2).all(|pair| pair[0] == pair[1])
}

fn worst_rule<'a>(found: impl IntoIterator<Item = &'a Finding>, now: Timestamp) -> Option<&'static Rule> {
    found
        .into_iter()
        .filter_map(|finding| finding.rule(now))
        .reduce(|worst, next| if next.class.severity() > worst.class.severity() { next } else { worst })
}

/// Whether the answer is about a used-up budget: some of Google's servers say 403 where others say 429.
fn is_budget(found: &[Finding], now: Timestamp) -> bool {
    let is_wait = |rule: &Rule| matches!(rule.class, Class::Transient | Class::Delay);
    let names_budget = |finding: &Finding| {
        finding.family == "quotaError"
            || matches!(finding.code.as_str(), "RATE_LIMIT_EXCEEDED" | "RESOURCE_EXHAUSTED")
    };
    found.iter().any(|finding| names_budget(finding) && finding.rule(now).is_some_and(is_wait))
}

/// Faults inside Google, of which nobody knows when they struck.
fn is_internal(rule: &Rule) -> bool {
    matches!(rule.code.as_str(), "INTERNAL_ERROR" | "TRANSIENT_ERROR" | "DEADLINE_EXCEEDED")
}

/// The envelope; its code is that of the worst finding, or else the status.
fn envelope(raw: &RawAnswer, details: &[Detail], found: &[Finding], now: Timestamp) -> Reply {
    let reply = super::reply(raw);
    let badness = |finding: &Finding| finding.rule(now).map_or(0, |rule| rule.class.severity());
    let worst = found.iter().reduce(|worst, next| if badness(next) > badness(worst) { next } else { worst });
    let code = worst.map_or_else(|| ErrorCode::foreign(&format!("HTTP_{}", raw.status)), Finding::error_code);
    let in_body =
        || details.iter().filter_map(|detail| detail.request_id.as_deref()).find_map(super::request_id);
    Reply { request_id: reply.request_id.clone().or_else(in_body), code: Some(code), ..reply }
}
