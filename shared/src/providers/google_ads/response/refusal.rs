//! Answers that are not 200: the request as a whole failed, and often the reason names the row that is to blame.

use std::collections::HashSet;

use super::findings::{Finding, Place, findings, worst};
use super::judge::{Judge, has_one_target, misconfigured};
use super::throttle::throttled;
use crate::domain::{Class, ErrorCode, HoldScope, Verdict};
use crate::providers::{
    Answer, Reply, Request, RowAnswer, SendError, Target,
    google_ads::{
        taxonomy::{Body, Context, Rule, Taxonomy},
        wire::status::{Detail, ErrorBody},
    },
    http::RawAnswer,
};

/// What an operator said of the code comes first, then the status, as the family `transport` has it; what it leaves
/// open, the codes decide.
pub(super) fn read_refusal(
    raw: &RawAnswer,
    request: &Request,
    judge: Judge<'_>,
) -> Result<Answer, SendError> {
    let body = serde_json::from_slice::<ErrorBody>(&raw.body).ok();
    let details = body.as_ref().map_or(&[][..], |body| &body.error.details);
    let found = body.as_ref().map(|body| findings(&body.error)).unwrap_or_default();
    let reply = envelope(raw, details, &found, judge);
    let who = if body.is_some() { Body::Api } else { Body::Page };
    let status = format!("HTTP_{}", raw.status);
    let signal = match found.is_empty() {
        true => judge.signal(&status, who),
        false => Taxonomy::built_in_signal(&status, &Context { body: who, ..Context::default() }),
    };
    let worst = judge.worst_rule(&found);
    let config = worst.filter(|rule| rule.class == Class::Config).and_then(|rule| rule.scope);
    let names_rows = found.iter().any(|finding| !rows_of(finding, request).is_empty());
    let decisive = if found.is_empty() { Some(signal) } else { worst };
    if let Some(said) = decisive.filter(|rule| rule.is_override) {
        // Where the status leaves no doubt, only the rows that are named are meant.
        return match names_rows && signal.class != Class::Ambiguous {
            true => read_invalid(reply, &found, request, judge),
            false => judge.whole(said, reply, request),
        };
    }

    if let Some(answer) = without_a_part(&reply, &found, request, judge) {
        return Ok(answer);
    }
    if let Some(to) = switch(worst, request) {
        return Err(SendError::Rerouted { reply, to });
    }
    Err(match (signal.class, config) {
        (Class::Split, _) if raw.status == 413 => SendError::TooLarge(reply),
        (Class::Split, _) => return read_invalid(reply, &found, request, judge),
        (Class::Config, Some(scope)) => misconfigured(reply, scope, request),
        (Class::Config, None) if raw.status == 401 => SendError::Unauthorised(reply),
        (Class::Config, None) if is_budget(&found, judge) => throttled(raw, details, &found, reply, judge),
        (Class::Transient, Some(scope)) if raw.status == 429 => misconfigured(reply, scope, request),
        (Class::Transient, None) if raw.status == 429 => throttled(raw, details, &found, reply, judge),
        (
            Class::Config
            | Class::Transient
            | Class::Delay
            | Class::Perm
            | Class::Ambiguous
            | Class::Ok
            | Class::Unmatched,
            _,
        ) => return judge.whole(signal, reply, request),
    })
}

/// The whole request is refused for an optional part of its rows: those that have it go again without it, the others as
/// they are. None where another fault of the request stands beside it.
fn without_a_part(reply: &Reply, found: &[Finding], request: &Request, judge: Judge<'_>) -> Option<Answer> {
    let mut whole = found.iter().filter(|finding| rows_of(finding, request).is_empty()).peekable();
    whole.peek()?;
    let parts: Vec<_> =
        whole.map(|finding| Some((finding, finding.rule(judge)?.part()?))).collect::<Option<_>>()?;
    let rows: Vec<_> = request
        .memo
        .iter()
        .map(|memo| {
            let at_fault = parts.iter().find(|(_, part)| memo.parts.contains(*part));
            at_fault.map_or(RowAnswer { verdict: Verdict::Resend, code: None }, |(finding, _)| {
                finding.answer(*memo, judge)
            })
        })
        .collect();
    let moves = rows.iter().any(|row| row.verdict != Verdict::Resend);
    moves.then(|| Answer { reply: reply.clone(), rows })
}

/// The transport that is open to the site, where the worst that is wrong is that this one is closed.
fn switch(worst: Option<&Rule>, request: &Request) -> Option<&'static str> {
    let to = worst?.switch_to?.as_str();
    (to != request.transport).then_some(to)
}

/// A request that is wrong in itself. Nothing of it was taken; where rows are named, the others only have to be sent
/// again without them.
fn read_invalid(
    reply: Reply,
    found: &[Finding],
    request: &Request,
    judge: Judge<'_>,
) -> Result<Answer, SendError> {
    let whole: Vec<_> = found.iter().filter(|finding| rows_of(finding, request).is_empty()).collect();
    let worst_whole = judge.worst_rule(whole.iter().copied());
    if let Some(Rule { class: Class::Config, scope, .. }) = worst_whole {
        return Err(misconfigured(reply, scope.unwrap_or(HoldScope::Site), request));
    }
    if whole.len() < found.len() {
        return read_named_rows(reply, found, request, judge);
    }
    let is_unknown = !whole.is_empty() && whole.iter().all(|finding| !finding.is_known(judge));
    let of_each_row = |reply| {
        let answer = |memo| worst(whole.iter().map(|finding| finding.answer(memo, judge)));
        Ok(Answer { reply, rows: request.memo.iter().filter_map(|memo| answer(*memo)).collect() })
    };
    Err(match worst_whole.map(|rule| (rule.class, rule)) {
        // Alone, a row is what the code is about.
        _ if is_unknown && request.rows.len() == 1 => return of_each_row(reply),
        _ if is_unknown => SendError::Refused(reply),
        Some((Class::Split, _)) => SendError::TooLarge(reply),
        Some((Class::Delay, _)) if has_one_target(request) => return of_each_row(reply),
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
    judge: Judge<'_>,
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
            worst(errors.iter().map(|finding| finding.answer(*memo, judge)))
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

/// Whether the answer is about a used-up budget: some of Google's servers say 403 where others say 429.
fn is_budget(found: &[Finding], judge: Judge<'_>) -> bool {
    let is_wait = |finding: &Finding| {
        finding.rule(judge).is_none_or(|rule| matches!(rule.class, Class::Transient | Class::Delay))
    };
    let names_budget = |finding: &Finding| {
        finding.family == "quotaError"
            || matches!(
                finding.code.as_str(),
                "RATE_LIMIT_EXCEEDED" | "RESOURCE_EXHAUSTED" | "RESOURCE_QUOTA_EXCEEDED"
            )
    };
    found.iter().any(|finding| names_budget(finding) && is_wait(finding))
}

/// Faults inside Google, of which nobody knows when they struck.
fn is_internal(rule: &Rule) -> bool {
    matches!(rule.code.as_str(), "INTERNAL_ERROR" | "TRANSIENT_ERROR" | "DEADLINE_EXCEEDED")
}

/// The envelope; its code is that of the worst finding, or else the status.
fn envelope(raw: &RawAnswer, details: &[Detail], found: &[Finding], judge: Judge<'_>) -> Reply {
    let reply = super::reply(raw);
    let badness = |finding: &Finding| finding.rule(judge).map_or(0, |rule| rule.class.severity());
    let worst = found.iter().reduce(|worst, next| if badness(next) > badness(worst) { next } else { worst });
    let code = worst.map_or_else(|| ErrorCode::foreign(&format!("HTTP_{}", raw.status)), Finding::error_code);
    let in_body =
        || details.iter().filter_map(|detail| detail.request_id.as_deref()).find_map(super::request_id);
    let request_id = reply.request_id.clone().or_else(in_body);
    Reply { request_id, code: Some(code), unknown: judge.unknown(found), ..reply }
}
