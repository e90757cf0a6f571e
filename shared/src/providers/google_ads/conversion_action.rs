//! A conversion action's name: the account that owns it and its number.

use std::fmt;
use std::str::FromStr;

use super::customer_id::CustomerId;

/// `customers/<account>/conversionActions/<number>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ActionName {
    /// The account that owns the action. The Data Manager API takes events for the owner only.
    pub(crate) owner: CustomerId,
    /// The action's number, as digits.
    pub(crate) id: String,
}

/// Digits of an int64 without its sign: what the number is in Google's message types.
const MAX_ID_DIGITS: usize = 19;

impl ActionName {
    /// Reads what a conversion names: the whole name, or the number alone, which is then an action of `owner`.
    pub(crate) fn of_conversion(text: &str, owner: &CustomerId) -> Option<Self> {
        if is_id(text) {
            return Some(Self { owner: owner.clone(), id: text.to_owned() });
        }
        text.parse().ok()
    }

    /// Checks what a conversion names where its site's account is not known yet.
    pub(crate) fn check(text: &str) -> Result<(), &'static str> {
        if is_id(text) || text.parse::<Self>().is_ok() {
            return Ok(());
        }
        Err(
            "must be the action's resource name, such as customers/1234567890/conversionActions/987654, or its \
             number alone",
        )
    }
}

/// The one form of what a conversion names: empty for the site's `own` action, the number of one of the same account, else
/// the whole name. Where `own` is not known, the number: Google validates nothing else of the name
/// (`ClickConversion.conversion_action` in conversion_upload_service.proto, v25, read 2026-11-22).
pub(crate) fn key(text: &str, own: Option<&ActionName>) -> String {
    let number = || text.rsplit('/').next().unwrap_or(text).to_owned();
    let Some(own) = own else {
        return number();
    };
    match ActionName::of_conversion(text, &own.owner) {
        Some(named) if named == *own => String::new(),
        Some(named) if named.owner == own.owner => named.id,
        Some(_) | None => text.to_owned(),
    }
}

impl FromStr for ActionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (owner, id) = text.strip_prefix("customers/")?.split_once("/conversionActions/")?;
            Some(Self { owner: owner.parse().ok()?, id: Some(id).filter(|id| is_id(id))?.to_owned() })
        };
        read().ok_or_else(|| {
            "must be the action's resource name, such as customers/1234567890/conversionActions/987654"
                .to_owned()
        })
    }
}

impl fmt::Display for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "customers/{}/conversionActions/{}", self.owner, self.id)
    }
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
