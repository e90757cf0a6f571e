//! The Google Ads API: two uploads, whose rows fail one by one and are judged at once, and the search.
//! <https://developers.google.com/google-ads/api/docs/conversions/upload-offline>, read 2026-11-22.

mod adjustments;
mod clicks;
mod field;
mod gate;
mod message;
mod refusal;
mod search;

use super::answer::Answer;
use super::codes;
use super::directive::{self, Code, Directive, Effect, Order, Whole};
use super::server::{Knobs, lock};
use super::shape::{self, Misfit, filled, list};
use super::state::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use gate::{OWN_JOB_IDS, read_integer};
use jiff::Timestamp;
use refusal::Failure;
use serde_json::{Value, json};
use std::sync::Mutex;

/// What every call says in its address.
pub(super) struct Head {
    version: String,
    customer: String,
}

/// One call of an upload method.
pub(super) struct Call {
    head: Head,
    service: Service,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    Clicks,
    Adjustments,
}

impl Service {
    /// The name of the rows in error paths.
    fn rows_name(self) -> &'static str {
        match self {
            Self::Clicks => "conversions",
            Self::Adjustments => "conversion_adjustments",
        }
    }

    fn rows(self, body: &Value) -> &[Value] {
        match self {
            Self::Clicks => list(body, "conversions"),
            Self::Adjustments => list(body, "conversionAdjustments"),
        }
    }

    /// The family of the service's own errors.
    fn family(self) -> &'static str {
        match self {
            Self::Clicks => "conversionUploadError",
            Self::Adjustments => "conversionAdjustmentUploadError",
        }
    }
}

impl Head {
    /// The method and the rest of `POST /{version}/customers/{customer}{separator}{method}`; a version that never was is no
    /// address.
    fn of<'a>(method: &Method, path: &'a str, separator: char, knobs: &Knobs) -> Option<(Self, &'a str)> {
        let (version, rest) = path.strip_prefix('/')?.split_once("/customers/")?;
        let (customer, name) = rest.split_once(separator)?;
        let head = Self { version: version.to_owned(), customer: customer.to_owned() };
        let known = head.version_number().is_some_and(|number| (1..=*knobs.versions.end()).contains(&number));
        (method == Method::POST && known).then_some((head, name))
    }

    fn version_number(&self) -> Option<u32> {
        self.version.strip_prefix('v').filter(|digits| !digits.starts_with('0'))?.parse().ok()
    }
}

impl Call {
    /// The call behind the address of an upload.
    fn of(method: &Method, path: &str, knobs: &Knobs) -> Option<Self> {
        let (head, name) = Head::of(method, path, ':', knobs)?;
        let service = match name {
            "uploadClickConversions" => Service::Clicks,
            "uploadConversionAdjustments" => Service::Adjustments,
            _ => return None,
        };
        Some(Self { head, service })
    }

    fn own_failure(&self, code: &str, message: &str) -> Failure {
        Failure::new(self.service.family(), code, message)
    }
}

/// Answers any call of the API; `None` where the address is none.
pub(super) fn answer(
    state: &Mutex<State>,
    request: &Parts,
    body: &[u8],
    knobs: &Knobs,
    now: Timestamp,
) -> Option<Answer> {
    let (method, path) = (&request.method, request.uri.path());
    if let Some((head, "googleAds:search")) = Head::of(method, path, '/', knobs) {
        let mut state = lock(state);
        if let Err(refusal) = gate::authorise(&mut state, &head, None, &request.headers, knobs, now) {
            return Some(refusal);
        }
        let number = state.number();
        return Some(search::answer(&head, &state.mended, body, number));
    }
    let call = Call::of(method, path, knobs)?;
    Some(upload(state, &call, &request.headers, body, knobs, now))
}

/// Answers an upload.
fn upload(
    state: &Mutex<State>,
    call: &Call,
    headers: &HeaderMap,
    body: &[u8],
    knobs: &Knobs,
    now: Timestamp,
) -> Answer {
    let mended = {
        let mut state = lock(state);
        if let Err(refusal) = gate::authorise(&mut state, &call.head, Some(call.service), headers, knobs, now)
        {
            return refusal;
        }
        state.mended.clone()
    };
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        let message = "Invalid JSON payload received. Unable to parse the body.".to_owned();
        return refusal::misfits(&[Misfit { at: String::new(), message }]);
    };
    let rows = call.service.rows(&body);
    let shape = match call.service {
        Service::Clicks => &message::CLICKS,
        Service::Adjustments => &message::ADJUSTMENTS,
    };
    let misfits = shape::check(&body, shape);
    if !misfits.is_empty() {
        return refusal::misfits(&misfits).about(rows.len());
    }
    let faults: Vec<Vec<Failure>> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| match call.service {
            Service::Clicks => clicks::check(row, index, call, &mended, now),
            Service::Adjustments => adjustments::check(row, index, &mended, now),
        })
        .collect();
    let orders = read_orders(call, rows);
    let mut state = lock(state);
    let number = state.number();
    let answer = match gate::check_request(call, &body).map_or(orders, Err) {
        Err(failure) => refusal::failure(&call.head, number, &failure),
        Ok(orders) => take(&mut state, call, &body, Judged { faults, orders }, number, knobs, now),
    };
    answer.about(rows.len())
}

/// What is known about the rows before the lock is taken.
struct Judged {
    faults: Vec<Vec<Failure>>,
    orders: Vec<Option<Order>>,
}

/// The directive of each row; one that does not exist refuses the request at its row.
fn read_orders(call: &Call, rows: &[Value]) -> Result<Vec<Option<Order>>, Failure> {
    let mut orders = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let clicked = match call.service {
            Service::Clicks => row,
            Service::Adjustments => &row["gclidDateTimePair"],
        };
        let ids: Vec<&str> = ["gclid", "gbraid", "wbraid"]
            .iter()
            .filter_map(|id| filled(clicked, id))
            .chain(filled(row, "orderId"))
            .collect();
        let found = directive::find(ids.iter().copied()).and_then(|directive| match &directive {
            // Without a family the code has to be one of the two services'.
            Some(Directive { effect: Effect::Error(Code { family: None, name }), .. })
                if !codes::is_upload_code(name) =>
            {
                Err(format!("error.{name}"))
            }
            Some(_) | None => Ok(directive),
        });
        let directive = found.map_err(|unknown| {
            let why = format!("The sandbox has no directive {unknown}.");
            Failure::new("requestError", directive::UNKNOWN, &why).at(call.service.rows_name(), index, "")
        })?;
        let action = filled(row, "conversionAction").unwrap_or_default();
        orders.push(directive.map(|directive| Order {
            directive,
            seat: format!("{}/{action}/{}", call.head.customer, ids.join("/")),
        }));
    }
    Ok(orders)
}

/// Everything that happens under the lock: directives, verdicts, ledger.
fn take(
    state: &mut State,
    call: &Call,
    body: &Value,
    judged: Judged,
    number: u64,
    knobs: &Knobs,
    now: Timestamp,
) -> Answer {
    let rows = call.service.rows(body);
    let asked = judged.orders.iter().enumerate().filter_map(|(row, order)| Some((row, order.as_ref()?)));
    let (delay, end) = state.spent.rule_request(asked);
    if let Some(answer) = end.as_ref().and_then(|(row, end)| refusal::directed(call, number, *row, end)) {
        return answer.after(delay);
    }
    let end = end.map(|(_, whole)| whole);
    if end == Some(Whole::ResetBefore) {
        return refusal::full().ending(end.as_ref()).after(delay);
    }
    if state.ledger.len() + rows.len() > knobs.ledger_max {
        return refusal::full().after(delay);
    }
    let validate_only = body["validateOnly"] == true;
    let mut verdicts = judged.faults;
    for (index, (verdict, order)) in verdicts.iter_mut().zip(&judged.orders).enumerate() {
        if let Some(code) = state.spent.rule_row(order.as_ref()) {
            let family = code.family.as_deref().unwrap_or(call.service.family());
            let why = "The sandbox was told to refuse this row.";
            *verdict = vec![Failure::new(family, &code.name, why).at(call.service.rows_name(), index, "")];
        }
    }
    match call.service {
        Service::Clicks => clicks::refuse_twins(rows, &mut verdicts),
        Service::Adjustments => adjustments::refuse_twins(rows, &mut verdicts),
    }
    if !validate_only {
        for (index, (row, verdict)) in rows.iter().zip(&mut verdicts).enumerate() {
            state.totals.conversions_received += 1;
            match call.service {
                Service::Clicks => clicks::enter(state, call, row, index, verdict),
                Service::Adjustments => adjustments::apply(state, call, row, index, verdict, now),
            }
        }
    }
    respond(state, call, body, &verdicts, number).ending(end.as_ref()).after(delay)
}

fn respond(state: &mut State, call: &Call, body: &Value, verdicts: &[Vec<Failure>], number: u64) -> Answer {
    let mut answer = json!({});
    if body["validateOnly"] != true {
        let results: Vec<Value> = call
            .service
            .rows(body)
            .iter()
            .zip(verdicts)
            .map(|(row, verdict)| match call.service {
                Service::Clicks | Service::Adjustments if !verdict.is_empty() => json!({}),
                Service::Clicks => clicks::result(row),
                Service::Adjustments => adjustments::result(row),
            })
            .collect();
        answer["results"] = json!(results);
    }
    let job = body.get("jobId").and_then(read_integer);
    let own_job = i64::try_from(number).map_or(OWN_JOB_IDS, |number| OWN_JOB_IDS + number);
    answer["jobId"] = json!(job.unwrap_or(own_job).to_string());
    let failures: Vec<&Failure> = verdicts.iter().flatten().collect();
    for failure in &failures {
        state.totals.note_code(failure.code());
    }
    state.totals.rows_refused += verdicts.iter().filter(|verdict| !verdict.is_empty()).count() as u64;
    if !failures.is_empty() {
        answer["partialFailureError"] = refusal::partial(&call.head, number, &failures);
    }
    Answer::json(200, &answer).with_header("request-id", refusal::request_id(number))
}
