//! What an error envelope says, piece by piece: which code, about which row.

use serde_json::Value;

use super::judge::Judge;
use crate::domain::ErrorCode;
use crate::providers::{
    Memo, RowAnswer,
    google_ads::{
        taxonomy::Rule,
        wire::status::{Detail, FieldPathElement, FieldViolation, GoogleAdsError, Status},
    },
};

/// The fields that hold a request's rows, as paths name them.
const ROW_FIELDS: [&str; 3] = ["conversions", "conversion_adjustments", "events"];

/// One thing that is wrong.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) place: Place,
    /// The path of the field at fault; never shown, only compared.
    pub(super) field: String,
    pub(super) family: String,
    pub(super) code: String,
}

/// Where it is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In this row of the request.
    Row(usize),
    /// In a row whose number was left out: the first, if the rest of the answer agrees.
    FirstRow,
    /// In this destination of the request, and so in all of its rows.
    Destination(usize),
    /// In no row that is named.
    Nowhere,
}

impl Finding {
    /// Its code as ledger and outcomes keep it.
    pub(super) fn error_code(&self) -> ErrorCode {
        ErrorCode::foreign(&format!("{}.{}", self.family, self.code))
    }

    /// What it means for one row.
    pub(super) fn answer(&self, memo: Memo, judge: Judge<'_>) -> RowAnswer {
        let context = judge.context(Some(memo), &self.field);
        RowAnswer {
            verdict: judge.taxonomy.classify(&self.family, &self.code, &context),
            code: Some(self.error_code()),
        }
    }

    /// The rule for the request as a whole.
    pub(super) fn rule<'a>(&self, judge: Judge<'a>) -> Option<&'a Rule> {
        judge.taxonomy.find(&self.family, &self.code, &judge.context(None, &self.field))
    }

    /// Whether anybody has said what it means.
    pub(super) fn is_known(&self, judge: Judge<'_>) -> bool {
        judge.taxonomy.knows(&self.family, &self.code)
    }
}

/// The worst of several answers for one row; the first of the equally bad.
pub(super) fn worst(answers: impl Iterator<Item = RowAnswer>) -> Option<RowAnswer> {
    answers.reduce(|worst, next| {
        let is_worse = next.verdict.class().severity() > worst.verdict.class().severity();
        if is_worse { next } else { worst }
    })
}

/// All that is wrong. `ErrorInfo` counts only where nothing else does: it repeats in general what the others say.
pub(super) fn findings(status: &Status) -> Vec<Finding> {
    let failures = status.details.iter().flat_map(|detail| &detail.errors).map(of_google_ads_error);
    let violations = status
        .details
        .iter()
        .flat_map(|detail| &detail.field_violations)
        .map(|violation| of_violation(violation, status));
    let found: Vec<_> = failures.chain(violations).collect();
    if found.is_empty() { status.details.iter().filter_map(of_error_info).collect() } else { found }
}

fn of_google_ads_error(error: &GoogleAdsError) -> Finding {
    let elements = &error.location.field_path_elements;
    let (family, code) = match error.error_code.iter().next() {
        Some((family, Value::String(code))) => (family_name(family), enum_name(code)),
        Some((family, Value::Number(number))) => (family_name(family), number.to_string()),
        Some((family, Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_))) => {
            (family_name(family), "UNKNOWN".to_owned())
        }
        None => ("errorCode".to_owned(), "UNKNOWN".to_owned()),
    };
    let is_unknown = matches!(code.as_str(), "UNKNOWN" | "ERROR_CODE_NOT_PUBLISHED");
    let code = match &error.details.unpublished_error_code {
        Some(unpublished) if is_unknown => enum_name(unpublished.rsplit('.').next().unwrap_or_default()),
        Some(_) | None => code,
    };
    Finding {
        place: elements.iter().find_map(place_of_element).unwrap_or(Place::Nowhere),
        field: elements.iter().map(|element| element.field_name.as_str()).collect::<Vec<_>>().join("."),
        family,
        code,
    }
}

fn place_of_element(element: &FieldPathElement) -> Option<Place> {
    if !ROW_FIELDS.contains(&element.field_name.as_str()) {
        return None;
    }
    Some(match &element.index {
        None | Some(Value::Null) => Place::FirstRow,
        // int32 is a JSON number; some of Google's servers write numbers as texts.
        Some(Value::Number(number)) => parse_place(&number.to_string()),
        Some(Value::String(text)) => parse_place(text),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Place::Nowhere,
    })
}

fn parse_place(index: &str) -> Place {
    index.parse().map_or(Place::Nowhere, Place::Row)
}

fn of_violation(violation: &FieldViolation, status: &Status) -> Finding {
    let (family, code) = match &violation.reason {
        Some(reason) => ("dataManager.ErrorReason", enum_name(reason)),
        None => ("rpc.BadRequest", enum_name(status.status.as_deref().unwrap_or("INVALID_ARGUMENT"))),
    };
    Finding {
        place: place_of_path(&violation.field),
        field: violation.field.clone(),
        family: family.to_owned(),
        code,
    }
}

/// `events[3].transaction_id` is row 3.
fn place_of_path(path: &str) -> Place {
    let indexed = || {
        let (name, rest) = path.split_once('[')?;
        Some((name, rest.split_once(']')?.0.parse::<usize>().ok()?))
    };
    match indexed() {
        Some(("destinations", index)) => Place::Destination(index),
        Some((name, index)) if ROW_FIELDS.contains(&name) => Place::Row(index),
        Some(_) | None => Place::Nowhere,
    }
}

fn of_error_info(detail: &Detail) -> Option<Finding> {
    let family = match detail.domain.as_deref() {
        Some("datamanager.googleapis.com") => "dataManager.ErrorReason",
        Some(_) | None => "rpc.ErrorInfo",
    };
    Some(Finding {
        place: Place::Nowhere,
        field: String::new(),
        family: family.to_owned(),
        code: enum_name(detail.reason.as_deref()?),
    })
}

/// An enum value's name. Whatever is not shaped like one might be a text, and texts echo personal data.
pub(super) fn enum_name(text: &str) -> String {
    let is_name = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if is_name { text.to_owned() } else { "UNKNOWN".to_owned() }
}

/// An error family's name, such as `quotaError`.
fn family_name(text: &str) -> String {
    let is_name = !text.is_empty() && text.len() <= 60 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_name { text.to_owned() } else { "errorCode".to_owned() }
}
