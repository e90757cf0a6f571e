//! The door over HTTP: who signed, what was sent, and what became of each item.
//!
//! A site signs the time and the body with one of its keys (`x-relay-signature: t=…,v1=…`, HMAC-SHA256 over `t`, a point and
//! the raw body). The time may lie five minutes from the database's clock, to either side: that is the one clock of the house,
//! read with the site's keys, and carried on by this process's monotonic clock; what the host believes the hour to be neither
//! opens nor closes the door. Keys and defaults of a site are kept for [`LIFETIME`], so that a request costs one round trip:
//! the one that takes it in.
//!
//! Somebody who saw a request can send it again for five minutes. That is harmless: a conversion goes in once per (site,
//! provider, external id), and what is in already reads `duplicate`; so does what a client sends again that lost our answer.

mod items;
mod keys;
mod signature;

pub use items::{ITEMS_MAX, IngestAnswer, Items};
pub use keys::KnownSite;
pub(super) use keys::KnownSites;
#[cfg(doc)]
use keys::LIFETIME;
pub use signature::Signature;
