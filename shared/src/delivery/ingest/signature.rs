//! A signature: the time that it was made at, and one digest for each key that the sender holds.

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

use crate::domain::Secret;

/// How far the time of a signature may lie from now, to either side.
const WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// Digests of one signature. A sender that changes its key has two.
const DIGESTS_MAX: usize = 8;

/// Longest header that is read: eight digests take 600 bytes.
const HEADER_MAX: usize = 1_024;

/// What `x-relay-signature` says: `t=1795342200,v1=5257a8…`, in seconds since 1970 and hexadecimal digits.
#[derive(Debug, Clone)]
pub struct Signature<'a> {
    time: &'a str,
    at: Timestamp,
    digests: Vec<[u8; 32]>,
}

impl<'a> Signature<'a> {
    /// Reads the header; nothing where it is none of ours. Schemes other than `v1` are passed over.
    pub fn parse(header: &'a str) -> Option<Self> {
        if header.len() > HEADER_MAX {
            return None;
        }
        let mut time = None;
        let mut digests = Vec::new();
        for part in header.split(',') {
            match part.trim().split_once('=')? {
                ("t", text) if time.is_none() => time = Some(text),
                ("t", _) => return None,
                ("v1", text) if digests.len() < DIGESTS_MAX => digests.push(digest(text)?),
                ("v1", _) => return None,
                _ => {}
            }
        }
        let time = time.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        let at = Timestamp::from_second(time.parse().ok()?).ok()?;
        Some(Self { time, at, digests }).filter(|signature| !signature.digests.is_empty())
    }

    /// Whether it was made close enough to this moment.
    pub fn is_timely(&self, now: Timestamp) -> bool {
        self.at.duration_since(now).unsigned_abs() <= WINDOW.unsigned_abs()
    }

    /// Whether one of its digests is that of the body under this key, in a time that tells neither which nor how nearly.
    pub fn is_made_with(&self, key: &Secret, body: &[u8]) -> bool {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes keys of any length");
        mac.update(self.time.as_bytes());
        mac.update(b".");
        mac.update(body);
        self.digests.iter().fold(false, |made, digest| {
            // `verify_slice` compares in constant time.
            made | mac.clone().verify_slice(digest).is_ok()
        })
    }
}

/// 64 hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_hexdigit))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(digest)
}
