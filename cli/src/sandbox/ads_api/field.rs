//! Checks that conversions and adjustments share, each of one field of one row.

use super::refusal::Failure;
use crate::sandbox::account::{ActionFault, Mended};
use crate::sandbox::shape::{filled, list, snake_case};
use jiff::Timestamp;
use serde_json::Value;

/// User identifiers of one row.
const IDENTIFIERS_MAX: usize = 5;
/// Letters of an order id.
/// <https://support.google.com/google-ads/answer/6386790>, read 2026-11-22.
const ORDER_ID_MAX: usize = 64;
/// A SHA-256 digest in hexadecimal.
const DIGEST_LENGTH: usize = 64;

/// Collects what is wrong with one row.
pub(super) struct RowCheck<'a> {
    pub(super) row: &'a Value,
    pub(super) rows_name: &'static str,
    pub(super) index: usize,
    pub(super) found: Vec<Failure>,
}

impl RowCheck<'_> {
    /// Notes an error at a field, in snake_case.
    pub(super) fn refuse(&mut self, family: &str, code: &str, field: &str, message: &str) {
        self.found.push(Failure::new(family, code, message).at(self.rows_name, self.index, field));
    }

    /// A field that has to be there.
    pub(super) fn required(&mut self, field: &str) {
        self.refuse("fieldError", "REQUIRED", field, "The required field was not present.");
    }

    /// A field that must not be there beside another.
    pub(super) fn unset(&mut self, field: &str) {
        self.refuse("fieldError", "VALUE_MUST_BE_UNSET", field, "The field must not be set here.");
    }

    /// Empty strings, wherever in the row: the API takes them for values that are too short.
    pub(super) fn blanks(&mut self) {
        let mut blanks = Vec::new();
        find_blanks(self.row, String::new(), &mut blanks);
        for field in blanks {
            self.refuse("stringLengthError", "TOO_SHORT", &field, "Too short.");
        }
    }

    /// The conversion action's resource name; only the number of the action is looked at, and one of the manager will do.
    pub(super) fn conversion_action(&mut self, own_family: &str, mended: &Mended) {
        let Some(name) = filled(self.row, "conversionAction") else {
            return self.required("conversion_action");
        };
        let Some(id) = action_id(name) else {
            let why = "A resource name is malformed.";
            return self.refuse("requestError", "RESOURCE_NAME_MALFORMED", "conversion_action", why);
        };
        let (code, why) = match mended.action_fault(id) {
            Some(ActionFault::Missing) => {
                ("NO_CONVERSION_ACTION_FOUND", "The conversion action doesn't exist or isn't enabled.")
            }
            Some(ActionFault::WrongType) => {
                ("INVALID_CONVERSION_ACTION_TYPE", "The conversion action's type takes no uploads.")
            }
            Some(ActionFault::OtherOwner | ActionFault::OnePerClick | ActionFault::TwiceThere) | None => {
                return;
            }
        };
        self.refuse(own_family, code, "conversion_action", why);
    }

    /// A time in the past.
    pub(super) fn time(&mut self, text: Option<&str>, field: &str, now: Timestamp) {
        match text.map(parse_time) {
            None => self.required(field),
            Some(None) => {
                let why = "The date and time must be yyyy-mm-dd hh:mm:ss+|-hh:mm.";
                self.refuse("dateError", "INVALID_STRING_DATE_TIME", field, why);
            }
            Some(Some(at)) if at > now => {
                let why = "The date is later than the latest one allowed.";
                self.refuse("dateError", "LATER_THAN_MAXIMUM_DATE", field, why);
            }
            Some(Some(_)) => {}
        }
    }

    /// An order id that is too long.
    pub(super) fn order_id(&mut self) {
        if filled(self.row, "orderId").is_some_and(|id| id.chars().count() > ORDER_ID_MAX) {
            self.refuse("stringLengthError", "TOO_LONG", "order_id", "Too long.");
        }
    }

    /// A currency that is no ISO 4217 code.
    pub(super) fn currency(&mut self, object: &Value, field: &str) {
        if filled(object, "currencyCode")
            .is_some_and(|code| code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()))
        {
            self.refuse("currencyCodeError", "UNSUPPORTED", field, "The currency code is not supported.");
        }
    }

    /// User identifiers: few enough, of the two kinds that uploads take, and hashed.
    pub(super) fn identifiers(&mut self, own_family: &str) {
        let identifiers = list(self.row, "userIdentifiers");
        if identifiers.len() > IDENTIFIERS_MAX {
            self.refuse("collectionSizeError", "TOO_MANY", "user_identifiers", "Too many.");
        }
        for (index, identifier) in identifiers.iter().enumerate() {
            let at = format!("user_identifiers[{index}]");
            let digest =
                filled(identifier, "hashedEmail").or_else(|| filled(identifier, "hashedPhoneNumber"));
            match digest {
                None => {
                    let why = "Only hashed email addresses and phone numbers are supported.";
                    self.refuse(own_family, "UNSUPPORTED_USER_IDENTIFIER", &at, why);
                }
                Some(digest) if !is_digest(digest) => {
                    let why = "The user identifiers are not hashed with SHA-256.";
                    self.refuse(own_family, "INVALID_USER_IDENTIFIER", &at, why);
                }
                Some(_) => {}
            }
        }
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == DIGEST_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn find_blanks(value: &Value, at: String, blanks: &mut Vec<String>) {
    if value.as_str().is_some_and(str::is_empty) {
        blanks.push(at);
    } else if let Some(object) = value.as_object() {
        let dot = if at.is_empty() { "" } else { "." };
        for (name, value) in object {
            find_blanks(value, format!("{at}{dot}{}", snake_case(name)), blanks);
        }
    } else if let Some(list) = value.as_array() {
        for (index, value) in list.iter().enumerate() {
            find_blanks(value, format!("{at}[{index}]"), blanks);
        }
    }
}

/// The number at the end of `customers/{customer}/conversionActions/{id}`.
pub(super) fn action_id(name: &str) -> Option<&str> {
    let (customer, id) = name.strip_prefix("customers/")?.split_once("/conversionActions/")?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(customer) && digits(id)).then_some(id)
}

/// `yyyy-mm-dd hh:mm:ss+|-hh:mm`, and nothing near it.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    let pattern = b"dddd-dd-dd dd:dd:dd+dd:dd";
    let fits = text.len() == pattern.len()
        && text.bytes().zip(pattern).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            b'+' => byte == b'+' || byte == b'-',
            exactly => byte == *exactly,
        });
    if fits { text.replacen(' ', "T", 1).parse().ok() } else { None }
}
