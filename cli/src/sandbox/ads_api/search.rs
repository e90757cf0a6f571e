//! `googleAds:search`: the two questions that a look at an account asks, and no other; anything else is refused as
//! Google refuses what it does not understand.
//! <https://developers.google.com/google-ads/api/docs/query/grammar>, read 2026-11-22.

use super::Head;
use super::refusal::{self, Failure};
use crate::sandbox::account::{ActionFault, Fault, Mended};
use crate::sandbox::answer::Answer;
use crate::sandbox::shape::Shape::{self, Fields, Flag, Opaque, Text};
use crate::sandbox::shape::{self, Misfit, filled};
use serde_json::{Map, Value, json};

/// google/ads/googleads/v26/services/google_ads_service.proto; `pageSize` is refused since v17.
static SEARCH: Shape =
    Fields(&[("query", Text), ("pageToken", Text), ("validateOnly", Flag), ("searchSettings", Opaque)]);

/// The manager of every account that has one.
const MANAGER: &str = "customers/1000000000";

/// What can be asked for, as far as it is known here.
const FIELDS: [&str; 13] = [
    "customer.id",
    "customer.status",
    "customer.manager",
    "customer.test_account",
    "customer.conversion_tracking_setting.google_ads_conversion_customer",
    "customer.conversion_tracking_setting.accepted_customer_data_terms",
    "customer.conversion_tracking_setting.enhanced_conversions_for_leads_enabled",
    "conversion_action.id",
    "conversion_action.type",
    "conversion_action.status",
    "conversion_action.counting_type",
    "conversion_action.click_through_lookback_window_days",
    "conversion_action.owner_customer",
];

/// What is asked.
struct Query<'a> {
    fields: Vec<&'a str>,
    resource: &'a str,
    ids: Option<Vec<&'a str>>,
    limit: usize,
}

/// Answers a search.
pub(super) fn answer(head: &Head, mended: &Mended, body: &[u8], number: u64) -> Answer {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        let message = "Invalid JSON payload received. Unable to parse the body.".to_owned();
        return refusal::misfits(&[Misfit { at: String::new(), message }]);
    };
    let misfits = shape::check(&body, &SEARCH);
    if !misfits.is_empty() {
        return refusal::misfits(&misfits);
    }
    let Some(text) = filled(&body, "query") else {
        let missing =
            Failure::new("requestError", "REQUIRED_FIELD_MISSING", "The required field was not present.");
        return refusal::failure(head, number, &missing);
    };
    let spaced = text.replace(',', " , ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let query = match parse(&words) {
        Ok(query) => query,
        Err((code, why)) => return refusal::failure(head, number, &Failure::new("queryError", code, why)),
    };
    let rows: Vec<Value> = match query.resource {
        "customer" => vec![customer(head, mended)],
        _ => query.ids.iter().flatten().flat_map(|id| actions(head, mended, id)).collect(),
    };
    let results: Vec<Value> =
        rows.iter().take(query.limit).map(|row| select(row, query.resource, &query.fields)).collect();
    let mask: Vec<String> = query.fields.iter().map(|field| camel_case(field)).collect();
    let answer = json!({"results": results, "fieldMask": mask.join(","), "queryResourceConsumption": "120"});
    Answer::json(200, &answer).with_header("request-id", refusal::request_id(number)).about(results.len())
}

/// A code of `queryError`, and Google's sentence about it.
type Refused = (&'static str, &'static str);

fn parse<'a>(words: &[&'a str]) -> Result<Query<'a>, Refused> {
    const UNEXPECTED: Refused = ("UNEXPECTED_INPUT", "Error in query: unexpected input.");
    let (first, rest) = words.split_first().ok_or(("UNEXPECTED_END_OF_QUERY", "Unexpected end of query."))?;
    if !first.eq_ignore_ascii_case("select") {
        return Err(("EXPECTED_SELECT", "Error in query: expected SELECT."));
    }
    let from = rest.iter().position(|word| word.eq_ignore_ascii_case("from"));
    let (fields, rest) = rest.split_at(from.ok_or(("EXPECTED_FROM", "Error in query: expected FROM."))?);
    let fields = list(fields).ok_or(UNEXPECTED)?;
    if fields.iter().any(|field| !FIELDS.contains(field)) {
        return Err(("UNRECOGNIZED_FIELD", "Error in query: unrecognized field in the SELECT clause."));
    }
    let resource = rest.get(1).copied().ok_or(("UNEXPECTED_END_OF_QUERY", "Unexpected end of query."))?;
    if !matches!(resource, "customer" | "conversion_action") {
        return Err(("BAD_RESOURCE_TYPE_IN_FROM_CLAUSE", "Error in query: bad resource in the FROM clause."));
    }
    if fields.iter().any(|field| field.split('.').next() != Some(resource)) {
        return Err((
            "PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE",
            "Cannot select fields of another resource.",
        ));
    }
    let mut rest = &rest[2..];
    let mut ids = None;
    if rest.first().is_some_and(|word| word.eq_ignore_ascii_case("where")) {
        let end = rest.iter().position(|word| *word == ")").ok_or(UNEXPECTED)?;
        let is_in = rest.len() > 4
            && rest[1] == "conversion_action.id"
            && resource == "conversion_action"
            && rest[2].eq_ignore_ascii_case("in")
            && rest[3] == "(";
        let given = is_in.then(|| list(&rest[4..end])).flatten().ok_or(UNEXPECTED)?;
        if given.iter().any(|id| id.parse::<u64>().is_err()) {
            return Err(("BAD_VALUE", "Error in query: bad value in the WHERE clause."));
        }
        ids = Some(given);
        rest = &rest[end + 1..];
    }
    let limit = match rest {
        [] => usize::MAX,
        [word, limit] if word.eq_ignore_ascii_case("limit") => {
            limit.parse().map_err(|_| ("BAD_LIMIT_VALUE", "Error in query: bad LIMIT."))?
        }
        _ => return Err(UNEXPECTED),
    };
    Ok(Query { fields, resource, ids, limit })
}

/// Words with a comma between each two.
fn list<'a>(words: &[&'a str]) -> Option<Vec<&'a str>> {
    let is_list = !words.is_empty()
        && words.len() % 2 == 1
        && words.iter().enumerate().all(|(at, word)| (*word == ",") == (at % 2 == 1));
    is_list.then(|| words.iter().step_by(2).copied().collect())
}

fn customer(head: &Head, mended: &Mended) -> Value {
    let name = format!("customers/{}", head.customer);
    json!({
        "resourceName": name,
        "id": head.customer,
        "status": "ENABLED",
        "manager": false,
        "testAccount": false,
        "conversionTrackingSetting": {
            "googleAdsConversionCustomer": name,
            "acceptedCustomerDataTerms": mended.fault(&head.customer) != Some(Fault::TermsNotAccepted),
            "enhancedConversionsForLeadsEnabled": true,
        },
    })
}

/// An account has any action that is asked for, but for those out of order.
fn actions(head: &Head, mended: &Mended, id: &str) -> Vec<Value> {
    let own = format!("customers/{}", head.customer);
    let fault = mended.action_fault(id);
    let action = |owner: &str| {
        json!({
            "resourceName": format!("{owner}/conversionActions/{id}"),
            "id": id,
            "type": if fault == Some(ActionFault::WrongType) { "WEBPAGE" } else { "UPLOAD_CLICKS" },
            "status": "ENABLED",
            "countingType": if fault == Some(ActionFault::OnePerClick) { "ONE_PER_CLICK" } else { "MANY_PER_CLICK" },
            "clickThroughLookbackWindowDays": "30",
            "ownerCustomer": owner,
        })
    };
    match fault {
        Some(ActionFault::Missing) => Vec::new(),
        Some(ActionFault::OtherOwner) => vec![action(MANAGER)],
        Some(ActionFault::TwiceThere) => vec![action(MANAGER), action(&own)],
        Some(ActionFault::WrongType | ActionFault::OnePerClick) | None => vec![action(&own)],
    }
}

/// A row with the fields that were asked for, and the resource's name, which always comes along.
fn select(row: &Value, resource: &str, fields: &[&str]) -> Value {
    let mut kept = Map::new();
    kept.insert("resourceName".to_owned(), row["resourceName"].clone());
    for field in fields {
        let mut path = field.split('.').skip(1).map(camel_case);
        let first = path.next().unwrap_or_default();
        match path.next() {
            None => {
                kept.insert(first.clone(), row[&first].clone());
            }
            Some(second) => {
                let value = row[&first][&second].clone();
                kept.entry(first).or_insert_with(|| json!({}))[second] = value;
            }
        }
    }
    json!({ camel_case(resource): kept })
}

/// `conversion_action.id` is `conversionAction.id`.
fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        match letter {
            '_' => upper = true,
            _ if upper => {
                camel.push(letter.to_ascii_uppercase());
                upper = false;
            }
            _ => camel.push(letter),
        }
    }
    camel
}
