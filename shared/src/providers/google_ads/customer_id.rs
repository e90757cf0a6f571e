//! A Google Ads account's number.

use std::fmt;
use std::str::FromStr;

/// Ten digits, without the hyphens that the web pages show.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CustomerId(String);

impl CustomerId {
    /// The ten digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CustomerId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        if digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(digits))
        } else {
            Err("must be the account's ten digits, such as 123-456-7890".to_owned())
        }
    }
}
