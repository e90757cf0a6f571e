//! The code that a provider, or we ourselves, gave as the reason of an outcome.

use std::borrow::Cow;
use std::fmt;

/// A reason's code, such as `conversionUploadError.EXPIRED_EVENT` or our own `NO_CREDENTIALS`.
/// Never a provider's free text: texts echo personal data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(Cow<'static, str>);

/// Longer codes are cut: no platform has one, and a hostile answer must not fill the ledger.
const MAX_LENGTH: usize = 120;

impl ErrorCode {
    /// One of our own codes.
    pub const fn own(code: &'static str) -> Self {
        Self(Cow::Borrowed(code))
    }

    /// A code that came over the wire. Anything but letters, digits, `_`, `.` and `-` becomes `_`, and it is cut at
    /// 120 characters: codes are printed and stored, so nothing else may hide in one.
    pub fn foreign(code: &str) -> Self {
        let clean = code
            .chars()
            .take(MAX_LENGTH)
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' })
            .collect::<String>();
        Self(Cow::Owned(clean))
    }

    /// The code's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
