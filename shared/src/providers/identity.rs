//! Who somebody is, in every form in which a conversion may have kept it: each platform's own, and what senders hash.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::Registry;
use crate::domain::{Personal, UserInput};

/// One thing by which a person is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// An e-mail address, or its hash.
    Email,
    /// A phone number, or its hash.
    Phone,
    /// A click id.
    ClickId,
}

/// What to look for to find a person: hashes alone, in lower-case hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Hashes of e-mail addresses and phone numbers, as conversions keep them.
    pub hashes: BTreeSet<String>,
    /// SHA-256 of click ids, which conversions keep as they are.
    pub click_hashes: BTreeSet<String>,
}

impl Identity {
    /// Adds one thing by which the person is known, by the rule of every platform. Phone numbers are international ones:
    /// the same national number is somebody else's in another country. Hashes that senders make themselves are guessed: of
    /// the text in lower case without white space, and of a number's digits with and without a `+`.
    ///
    /// # Errors
    /// Why no platform can use it; then nothing is added.
    pub fn add(&mut self, kind: IdentityKind, value: &Personal, registry: &Registry) -> Result<(), String> {
        let plain = value.expose().trim();
        if plain.is_empty() {
            return Err("is empty".to_owned());
        }
        if kind == IdentityKind::ClickId {
            self.click_hashes.insert(sha256(plain));
            return Ok(());
        }
        let lower: String = plain.to_lowercase().split_whitespace().collect();
        if lower.len() == 64 && lower.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            self.hashes.insert(lower);
            return Ok(());
        }
        let found = by_each_platform(kind, value, registry)?;
        self.hashes.extend(found);
        self.hashes.insert(sha256(&lower));
        if kind == IdentityKind::Phone {
            let digits: String = lower.chars().filter(char::is_ascii_digit).collect();
            self.hashes.extend([sha256(&digits), sha256(&format!("+{digits}"))]);
        }
        Ok(())
    }
}

fn by_each_platform(
    kind: IdentityKind,
    value: &Personal,
    registry: &Registry,
) -> Result<BTreeSet<String>, String> {
    let user = match kind {
        IdentityKind::Email => UserInput { email: Some(value.clone()), ..UserInput::default() },
        IdentityKind::Phone => UserInput { phone: Some(value.clone()), ..UserInput::default() },
        IdentityKind::ClickId => UserInput::default(),
    };
    let mut found = BTreeSet::new();
    let mut dropped = Vec::new();
    for adapter in registry.iter() {
        let hashed = adapter.hash_user(&user, None, &mut dropped);
        found.extend(hashed.hashed_email.into_iter().chain(hashed.hashed_phone));
    }
    let why = || dropped.first().map_or_else(|| "is of no use".to_owned(), |error| error.reason.clone());
    if found.is_empty() { Err(why()) } else { Ok(found) }
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
