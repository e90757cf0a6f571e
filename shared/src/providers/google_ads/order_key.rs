//! The key under which Google knows a sale: `orderId` at the Google Ads API, `transactionId` at the Data Manager API.

use sha2::{Digest, Sha256};

use super::hex::to_hex;
use crate::domain::Conversion;

/// Longest order id, in characters. <https://support.google.com/google-ads/answer/6386790>, read 2026-11-22.
const MAX_LENGTH: usize = 64;

/// Marks a key that is not the order id as the advertiser wrote it.
const PREFIX: &str = "oc_";

/// Hexadecimal digits of a digest that stands in for a key that is too long: 128 bits never collide by chance.
const DIGEST_DIGITS: usize = 32;

/// The conversion's key: its order id, or else its external id. The same on both transports and for the order's
/// adjustments, so that a resend is recognised wherever it arrives. Never purely numeric: the Data Manager API
/// refuses `2` and takes `row-2` (seen live 2026-08-18, superdesigndev/treg commit eb2bc9a).
pub(crate) fn order_key(conversion: &Conversion) -> String {
    let given = conversion.order_id.as_deref().unwrap_or(&conversion.external_id);
    let is_number = given.chars().all(char::is_numeric);
    let key = if is_number { format!("{PREFIX}{given}") } else { given.to_owned() };
    if key.chars().count() <= MAX_LENGTH {
        return key;
    }
    format!("{PREFIX}{}", &to_hex(&Sha256::digest(given.as_bytes()))[..DIGEST_DIGITS])
}
