//! A site's default country: how its national phone numbers are read.

use std::fmt;
use std::str::FromStr;

use rlibphonenumber::{PHONE_NUMBER_UTIL, Region};

/// An ISO 3166-1 alpha-2 code in capitals, such as `DE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country([u8; 2]);

impl Country {
    /// The two capitals.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII letters were checked when it was made")
    }

    /// Whether there is such a country, as far as phone numbers go: `UK` and `XX` are none, and under them every
    /// national number would be dropped.
    pub fn has_phone_numbers(&self) -> bool {
        Region::from_code(self.as_str())
            .is_ok_and(|region| PHONE_NUMBER_UTIL.get_country_code_for_region(region).is_some())
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Country {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err("must be a two-letter ISO 3166 country code, such as DE".to_owned()),
        }
    }
}
