//! Takes a conversion in at the door: hashes who bought, and says from when until when Google takes it.

use std::time::Duration;

use jiff::Timestamp;

use super::conversion_action::ActionName;
use super::identifiers::{hash_email, hash_phone};
use crate::domain::{Conversion, ConversionInput, Country, FieldError, Kind, Personal, User, UserInput};
use crate::providers::Admitted;

// The four windows: support.google.com/google-ads/answer/10029210, 3123169, 7012522 and 6386790, and the proto of
// `uploadConversionAdjustments`, all read 2026-11-22.

/// Youngest click that is taken (`TOO_RECENT_EVENT` before).
pub(crate) const SMALLEST_CLICK_AGE: Duration = Duration::from_secs(6 * 3_600);

/// How long a click id is kept.
pub(crate) const CLICK_ID_AGE: Duration = days(90);

/// How long hashed identifiers can be matched.
const IDENTIFIER_AGE: Duration = days(63);

/// How long a conversion can be adjusted (`CONVERSION_EXPIRED` after).
const ADJUSTMENT_AGE: Duration = days(54);

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3_600)
}

/// See [`Provider::admit`](crate::providers::Provider::admit).
pub(crate) fn admit(input: ConversionInput, country: Option<Country>) -> Result<Admitted, Vec<FieldError>> {
    let mut dropped = Vec::new();
    let user = hash_user(&input.user, country, &mut dropped);
    check(&input, &user, &dropped)?;

    let lifetime = match input.kind {
        Kind::Conversion if input.click_ids.is_empty() => IDENTIFIER_AGE,
        Kind::Conversion => CLICK_ID_AGE,
        Kind::Restatement | Kind::Retraction | Kind::Enhancement => ADJUSTMENT_AGE,
    };
    let due_at = match input.kind {
        Kind::Conversion => input.clicked_at.map(|clicked_at| later(clicked_at, SMALLEST_CLICK_AGE)),
        Kind::Restatement | Kind::Retraction | Kind::Enhancement => None,
    };
    let expires_at = later(input.clicked_at.unwrap_or(input.occurred_at), lifetime);

    let conversion = Conversion {
        external_id: input.external_id,
        kind: input.kind,
        occurred_at: input.occurred_at,
        clicked_at: input.clicked_at,
        value: input.value,
        currency: input.currency,
        order_id: input.order_id,
        click_ids: input.click_ids,
        user,
        consent: input.consent,
        conversion_action: input.conversion_action,
        custom_variables: input.custom_variables,
    };
    Ok(Admitted { conversion, dropped, due_at, expires_at })
}

/// Hashes what came raw; what the sender hashed stands in where nothing came raw or the raw one is unusable.
pub(crate) fn hash_user(input: &UserInput, country: Option<Country>, dropped: &mut Vec<FieldError>) -> User {
    let mut usable = |field: &str, raw: &Option<Personal>, hash: &dyn Fn(&str) -> Result<_, &'static str>| {
        hash(raw.as_ref()?.expose()).map_err(|reason| dropped.push(FieldError::new(field, reason))).ok()
    };
    let email = usable("user.email", &input.email, &hash_email);
    let phone = usable("user.phone", &input.phone, &|raw| hash_phone(raw, country));
    User {
        hashed_email: email.or_else(|| input.hashed_email.clone()),
        hashed_phone: phone.or_else(|| input.hashed_phone.clone()),
    }
}

/// What makes it impossible for Google ever to take the event.
fn check(input: &ConversionInput, user: &User, dropped: &[FieldError]) -> Result<(), Vec<FieldError>> {
    let mut errors = Vec::new();
    if let Some(Err(reason)) = input.conversion_action.as_deref().map(ActionName::check) {
        errors.push(FieldError::new("conversion_action", reason));
    }
    let missing = match input.kind {
        Kind::Conversion if input.click_ids.is_empty() && user.is_empty() => Some((
            "click_ids",
            "is missing, and no usable identifier is left: Google has nothing to match by",
        )),
        Kind::Enhancement if user.is_empty() => {
            Some(("user", "has no usable identifier left: an enhancement says who bought"))
        }
        Kind::Conversion | Kind::Enhancement | Kind::Restatement | Kind::Retraction => None,
    };
    if let Some((field, reason)) = missing {
        errors.extend_from_slice(dropped);
        errors.push(FieldError::new(field, reason));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The end of time is late enough for a date that lies beyond it.
fn later(from: Timestamp, by: Duration) -> Timestamp {
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}
