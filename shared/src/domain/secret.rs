//! Text that must not be seen: credentials, tokens, shared secrets.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text. It is wiped when dropped, its `Debug` prints nothing, it cannot be serialised or cloned.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the caller keeps no copy.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the line that sends, seals or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
