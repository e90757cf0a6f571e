//! A request that Google judges and does not execute, about a conversion that never was.

use std::borrow::Cow;

use std::collections::BTreeMap;

use iso_currency::Currency;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::{Batch, Call, Item};
use crate::domain::{ClickIds, Consent, Conversion, ErrorCode, Kind, User};
use crate::providers::Request;
use crate::providers::google_ads::{GoogleConfig, credentials::Credentials, hex::sha256_hex};

/// What anybody who meets it in a log sees it for.
const MADE_UP: &str = "relay-doctor-made-up";

/// An address of a domain that is nobody's (RFC 2606).
const NOBODY: &str = "relay-doctor-made-up@example.com";

/// What the made-up conversion carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// A click id alone.
    Click,
    /// A click id and the hash of an address, which accounts have to accept terms for.
    ClickAndIdentifier,
}

/// The request, for the action that a conversion would name, or the account's own.
pub(crate) fn validation(
    config: &GoogleConfig,
    credentials: &Credentials,
    action: Option<&str>,
    made: Made,
    now: Timestamp,
) -> Result<Request, ErrorCode> {
    let conversion = made_up(action, made, now);
    let mut batch = Batch::new(Call::of(credentials.transport, conversion.kind));
    batch.validate_only = Some(true);
    batch.add(Item::of(0, Cow::Borrowed(&conversion), credentials)?);
    Ok(batch.build(config, credentials, now))
}

/// Worth nothing, so that nothing could be lost where somebody executed it.
fn made_up(action: Option<&str>, made: Made, now: Timestamp) -> Conversion {
    let hashed_email = match made {
        Made::Click => None,
        Made::ClickAndIdentifier => Some(sha256_hex(NOBODY)),
    };
    Conversion {
        external_id: MADE_UP.to_owned(),
        kind: Kind::Conversion,
        // Old enough for its click, too young for anything to have expired.
        occurred_at: now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(now),
        clicked_at: None,
        value: Some(Decimal::ZERO),
        currency: Some(Currency::USD),
        order_id: None,
        click_ids: ClickIds { gclid: Some(MADE_UP.to_owned()), ..ClickIds::default() },
        user: User { hashed_email, hashed_phone: None },
        consent: Consent::default(),
        conversion_action: action.filter(|action| !action.is_empty()).map(str::to_owned),
        custom_variables: BTreeMap::new(),
    }
}
