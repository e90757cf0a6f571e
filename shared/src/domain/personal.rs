//! Personal data on its way to being hashed.

use std::fmt;

/// An e-mail address or a phone number as it came in. It is hashed at the door and never stored;
/// `Debug` prints nothing of it, so that no log line can.
#[derive(Clone, PartialEq, Eq)]
pub struct Personal(String);

impl Personal {
    /// Takes the text as it came in.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself: for normalising and hashing, never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Personal(…)")
    }
}
