//! What the Data Manager API refuses a request for, before it looks at any click.

use super::refusal::Violation;
use crate::sandbox::account::{ActionFault, Fault, Mended};
use crate::sandbox::shape::{ID_MAX, filled, has, list, snake_case, text};
use jiff::Timestamp;
use serde_json::Value;

/// Events, destinations and identifiers of one request; more is refused as a whole.
/// <https://developers.google.com/data-manager/api/devguides/limits>, read 2026-11-22.
const EVENTS_MAX: usize = 2000;
const DESTINATIONS_MAX: usize = 10;
const IDENTIFIERS_MAX: usize = 10;
/// Violations that one answer lists.
const VIOLATIONS_MAX: usize = 50;
/// A SHA-256 digest in hexadecimal and in base64.
const HEX_LENGTH: usize = 64;
const BASE64_LENGTH: usize = 44;

/// Everything that is wrong with a request whose shape is right.
pub(super) fn check(body: &Value, now: Timestamp) -> Vec<Violation> {
    let mut found = Vec::new();
    check_destinations(body, &mut found);
    let events = list(body, "events");
    if events.is_empty() {
        found.push(Violation::new("events", "REQUIRED_FIELD_MISSING", "The field is required."));
    }
    if events.len() > EVENTS_MAX {
        found.push(Violation::new("events", "TOO_MANY_EVENTS", "There can be at most 2000 events."));
        return found;
    }
    let identified = events.iter().any(|event| !list(&event["userData"], "userIdentifiers").is_empty());
    let encoding = filled(body, "encoding").filter(|name| *name != "ENCODING_UNSPECIFIED");
    if identified && encoding.is_none() {
        found.push(Violation::new(
            "encoding",
            "REQUIRED_FIELD_MISSING",
            "Encoding is required with user data.",
        ));
    }
    let encoding = if has(body, "encryptionInfo") { None } else { encoding };
    // The numeric transaction id passes a validation; superdesigndev/treg eb2bc9a, seen live 2026-08-18.
    let validating = body["validateOnly"] == true;
    for (index, event) in events.iter().enumerate() {
        if found.len() >= VIOLATIONS_MAX {
            break;
        }
        let mut event_check = EventCheck { index, event, found: &mut found };
        event_check.time(now);
        event_check.fields(validating);
        event_check.identifiers(encoding);
    }
    found
}

fn check_destinations(body: &Value, found: &mut Vec<Violation>) {
    let destinations = list(body, "destinations");
    if destinations.is_empty() {
        found.push(Violation::new("destinations", "REQUIRED_FIELD_MISSING", "The field is required."));
    }
    if destinations.len() > DESTINATIONS_MAX {
        found.push(Violation::new("destinations", "TOO_MANY_DESTINATIONS", "There can be at most 10."));
    }
    let mut references = Vec::new();
    for (index, destination) in destinations.iter().enumerate() {
        let at = |field: &str| format!("destinations[{index}].{field}");
        for account in ["operatingAccount", "loginAccount", "linkedAccount"] {
            if account == "operatingAccount" || has(destination, account) {
                check_account(&destination[account], &at(&snake_case(account)), found);
            }
        }
        let action = filled(destination, "productDestinationId").unwrap_or_default();
        if action.is_empty() || !action.bytes().all(|byte| byte.is_ascii_digit()) {
            let why = "The conversion action ID is invalid.";
            found.push(Violation::new(at("product_destination_id"), "INVALID_CONVERSION_ACTION_ID", why));
        }
        if let Some(reference) = filled(destination, "reference") {
            if references.contains(&reference) {
                let why = "Destination references must be unique.";
                found.push(Violation::new(at("reference"), "DUPLICATE_DESTINATION_REFERENCE", why));
            }
            references.push(reference);
        }
    }
}

fn check_account(account: &Value, at: &str, found: &mut Vec<Violation>) {
    let id = filled(account, "accountId").unwrap_or_default();
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        let why = "The account ID must be digits.";
        found.push(Violation::new(format!("{at}.account_id"), "INVALID_DESTINATION", why));
    }
    if text(account, "accountType") != Some("GOOGLE_ADS") {
        let why = "The sandbox has Google Ads accounts only.";
        found.push(Violation::new(format!("{at}.account_type"), "INVALID_DESTINATION", why));
    }
}

/// What is wrong with the accounts of a request, if one of them is out of order.
pub(super) fn check_access(body: &Value, mended: &Mended) -> Option<Violation> {
    let identified = |event: &Value| !list(&event["userData"], "userIdentifiers").is_empty();
    for (index, destination) in list(body, "destinations").iter().enumerate() {
        let account = filled(&destination["operatingAccount"], "accountId").unwrap_or_default();
        let at = format!("destinations[{index}].operating_account");
        match mended.fault(account) {
            // Closed to the Google Ads API only.
            None | Some(Fault::NotAllowlisted) => {}
            Some(Fault::NoPermission | Fault::NotEnabled) => {
                return Some(Violation::new(at, "PERMISSION_DENIED", "The caller does not have permission."));
            }
            Some(Fault::TermsNotAccepted) => {
                let reason = "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED";
                if list(body, "events").iter().any(identified) {
                    return Some(Violation::new(at, reason, "The account has not accepted the terms."));
                }
            }
        }
        let action = filled(destination, "productDestinationId").unwrap_or_default();
        let (reason, why) = match mended.action_fault(action) {
            // The account has to own the action.
            Some(ActionFault::Missing | ActionFault::OtherOwner) => {
                ("INVALID_CONVERSION_ACTION_ID", "The conversion action ID is invalid.")
            }
            Some(ActionFault::WrongType) => {
                ("INVALID_CONVERSION_ACTION_TYPE", "The conversion action type is invalid.")
            }
            Some(ActionFault::OnePerClick | ActionFault::TwiceThere) | None => continue,
        };
        return Some(Violation::new(format!("destinations[{index}].product_destination_id"), reason, why));
    }
    None
}

struct EventCheck<'a> {
    index: usize,
    event: &'a Value,
    found: &'a mut Vec<Violation>,
}

impl EventCheck<'_> {
    fn refuse(&mut self, field: &str, reason: &str, description: &str) {
        let dot = if field.is_empty() { "" } else { "." };
        let field = format!("events[{}]{dot}{field}", self.index);
        self.found.push(Violation::new(field, reason, description));
    }

    fn time(&mut self, now: Timestamp) {
        match filled(self.event, "eventTimestamp").map(parse_time) {
            None => self.refuse("event_timestamp", "REQUIRED_FIELD_MISSING", "The field is required."),
            Some(None) => self.refuse("event_timestamp", "EVENT_TIME_INVALID", "The time is malformed."),
            Some(Some(at)) if at > now => {
                self.refuse("event_timestamp", "EVENT_TIME_INVALID", "There was a problem with the request.");
            }
            Some(Some(_)) => {}
        }
    }

    fn fields(&mut self, validating: bool) {
        let source = filled(self.event, "eventSource").unwrap_or("EVENT_SOURCE_UNSPECIFIED");
        if source == "EVENT_SOURCE_UNSPECIFIED" {
            self.refuse("event_source", "REQUIRED_FIELD_MISSING", "The field is required.");
        }
        let transaction = filled(self.event, "transactionId").unwrap_or("none");
        if !validating && transaction.bytes().all(|byte| byte.is_ascii_digit()) {
            self.refuse("", "INVALID_ARGUMENT", "Request contains an invalid argument.");
        }
        if transaction.len() > ID_MAX {
            self.refuse("transaction_id", "FIELD_VALUE_TOO_LONG", "The value is too long.");
        }
        if filled(self.event, "currency")
            .is_some_and(|code| code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()))
        {
            self.refuse("currency", "INVALID_CURRENCY_CODE", "The currency code is invalid.");
        }
    }

    fn identifiers(&mut self, encoding: Option<&str>) {
        let clicks = &self.event["adIdentifiers"];
        let identifiers = list(&self.event["userData"], "userIdentifiers");
        let clicked =
            ["gclid", "gbraid", "wbraid", "sessionAttributes"].iter().any(|id| filled(clicks, id).is_some());
        for id in ["gclid", "gbraid", "wbraid"] {
            if filled(clicks, id).is_some_and(|text| text.len() > ID_MAX) {
                self.refuse(
                    &format!("ad_identifiers.{id}"),
                    "FIELD_VALUE_TOO_LONG",
                    "The value is too long.",
                );
            }
        }
        if !clicked && identifiers.is_empty() {
            self.refuse("", "NO_IDENTIFIERS_PROVIDED", "At least one identifier is required.");
        }
        if identifiers.len() > IDENTIFIERS_MAX {
            let why = "There can be at most 10 user identifiers.";
            self.refuse("user_data.user_identifiers", "TOO_MANY_USER_IDENTIFIERS", why);
        }
        for (index, identifier) in identifiers.iter().enumerate() {
            let at = format!("user_data.user_identifiers[{index}]");
            self.identifier(identifier, &at, encoding);
        }
    }

    fn identifier(&mut self, identifier: &Value, at: &str, encoding: Option<&str>) {
        let kinds = ["emailAddress", "phoneNumber", "address"];
        if kinds.iter().filter(|kind| has(identifier, kind)).count() != 1 {
            self.refuse(at, "REQUIRED_FIELD_MISSING", "Exactly one kind of identifier must be set.");
        }
        let address = &identifier["address"];
        let hashed = [
            (identifier, "emailAddress", "email_address"),
            (identifier, "phoneNumber", "phone_number"),
            (address, "givenName", "address.given_name"),
            (address, "familyName", "address.family_name"),
        ];
        for (object, field, path) in hashed {
            if let Some(digest) = text(object, field)
                && let Some(reason) = digest_fault(digest, encoding)
            {
                self.refuse(&format!("{at}.{path}"), reason, "The identifier is not a SHA-256 digest.");
            }
        }
        if has(identifier, "address") {
            for field in ["givenName", "familyName", "regionCode", "postalCode"] {
                if filled(address, field).is_none() {
                    let path = snake_case(field);
                    let why = "The field is required.";
                    self.refuse(&format!("{at}.address.{path}"), "REQUIRED_FIELD_MISSING", why);
                }
            }
        }
    }
}

fn digest_fault(digest: &str, encoding: Option<&str>) -> Option<&'static str> {
    let is_hex = digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_base64 =
        digest.trim_end_matches('=').bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    match encoding {
        Some("HEX") if !is_hex => Some("INVALID_HEX_ENCODING"),
        Some("HEX") => (digest.len() != HEX_LENGTH).then_some("INVALID_SHA256_FORMAT"),
        Some(_) if !is_base64 => Some("INVALID_BASE64_ENCODING"),
        Some(_) => (digest.len() != BASE64_LENGTH).then_some("INVALID_SHA256_FORMAT"),
        // Encrypted, or refused already for its missing encoding.
        None => None,
    }
}

/// RFC 3339, as protocol buffers read a timestamp: with `T` and with an offset.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    if text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    text.parse().ok()
}
