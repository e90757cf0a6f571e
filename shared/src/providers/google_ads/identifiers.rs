//! Personal identifiers as Google wants them: normalised, then SHA-256 in lower-case hexadecimal.
//!
//! Google's own texts disagree; this follows the Data Manager formatting guide
//! (<https://developers.google.com/data-manager/api/devguides/concepts/formatting>, read 2026-11-22). A wrong
//! normalisation is delivered and never matched, without any error, so what is not surely right is refused.

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};

use super::hex::sha256_hex;
use crate::domain::Country;

/// Longest e-mail address (RFC 5321, section 4.5.3.1.3: a path of 256 with its brackets).
const MAX_EMAIL: usize = 254;

/// Hash of an e-mail address, or what is wrong with the address.
pub(crate) fn hash_email(raw: &str) -> Result<String, &'static str> {
    normalise_email(raw).map(|email| sha256_hex(&email))
}

/// Hash of a phone number, or what is wrong with the number.
pub(crate) fn hash_phone(raw: &str, country: Option<Country>) -> Result<String, &'static str> {
    normalise_phone(raw, country).map(|phone| sha256_hex(&phone))
}

/// Lower case, no white space; at gmail.com and googlemail.com also without dots and without what follows a `+`.
/// Other domains keep both.
fn normalise_email(raw: &str) -> Result<String, &'static str> {
    const MALFORMED: &str = "is no e-mail address: name@domain.tld is needed";
    let email: String = raw.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    if email.len() > MAX_EMAIL {
        return Err("is too long for an e-mail address: at most 254 characters");
    }
    if email.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err("contains invisible characters");
    }
    let (local, domain) = email.split_once('@').ok_or(MALFORMED)?;
    if !is_domain(domain) || local.contains(|c| "@,;:<>()[]\\\"".contains(c)) {
        return Err(MALFORMED);
    }
    let local = match domain {
        "gmail.com" | "googlemail.com" => local.split('+').next().unwrap_or_default().replace('.', ""),
        _ => local.to_owned(),
    };
    if local.is_empty() {
        return Err(MALFORMED);
    }
    Ok(format!("{local}@{domain}"))
}

/// Two labels or more, of letters, digits and inner hyphens.
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    domain.contains('.') && domain.split('.').all(is_label)
}

/// Zero-width characters that copies from web pages and spreadsheets carry.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// E.164: `+`, country code, number, digits only.
fn normalise_phone(raw: &str, country: Option<Country>) -> Result<String, &'static str> {
    let region = country.and_then(|country| Region::from_code(country.as_str()).ok());
    let is_international = raw.trim_start().starts_with(['+', '\u{ff0b}']);
    if region.is_none() && !is_international {
        return Err(
            "is a national number: write it with its country code, such as +49 30 123456, or give the \
                    site a default country",
        );
    }
    let number = PHONE_NUMBER_UTIL.parse(raw, region).map_err(|_| "is no phone number")?;
    if !PHONE_NUMBER_UTIL.is_valid_number(&number) {
        return Err("is no valid phone number");
    }
    Ok(number.format_as(PhoneNumberFormat::E164).into_owned())
}
