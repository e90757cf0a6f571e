//! Text that must not be printed, and is wiped when it is no longer needed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A credential, token or key as text.
///
/// `Debug` shows nothing of it, not even its length. There is no `Display`, `Serialize` or `Clone`: it cannot
/// slip into a message or an answer, and each copy is one more to wipe. The one way out is [`Secret::expose`].
///
/// It wipes the memory that it owns. Copies made before (by a parser, by a `String` that grew) or after (by an
/// HTTP client) are beyond it.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over, without a copy.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the line that sends it or parses it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the candidate is the same text, in a time that tells neither where they differ nor how long the
    /// secret is (beyond the 64-byte blocks that a digest works in).
    pub fn matches(&self, candidate: &str) -> bool {
        // Comparing texts of different length returns early; digests always have the same length.
        let expected = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(self.0.as_bytes())));
        let given = <[u8; 32]>::from(Sha256::digest(candidate.as_bytes()));
        subtle::ConstantTimeEq::ct_eq(&expected[..], &given[..]).into()
    }
}

impl From<String> for Secret {
    /// Takes the text over, without a copy.
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// Reads a string. Wiping is best effort here: the document that it stands in is the caller's.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // `deserialize_string` would let the format refuse a number, and quote it in the error.
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Refuses every other type by name alone; the refusals it inherits for numbers and booleans print the value.
struct SecretVisitor;

/// Says what was found instead of a string, without the value.
fn not_a_string<E: Error>(found: &str) -> Result<Secret, E> {
    Err(E::custom(format_args!("expected a string, found {found}")))
}

impl Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::from(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Secret, E> {
        Ok(Secret::from(text))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        not_a_string("a boolean")
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        not_a_string("a number")
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        not_a_string("a number")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        not_a_string("a number")
    }
}
