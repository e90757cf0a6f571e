//! What goes over the wire, named exactly as Google names it.

pub(crate) mod ads_api;
pub(crate) mod data_manager;
pub(crate) mod search;
pub(crate) mod status;

use rust_decimal::Decimal;
use serde_json::Number;

/// A decimal as a JSON number, digit for digit: it is a float nowhere in this program.
pub(crate) fn json_number(value: Decimal) -> Number {
    value.to_string().parse().expect("a decimal's text is a JSON number")
}
