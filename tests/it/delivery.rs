//! What becomes of conversions on their way: claims, circuits, retries, holds, crashes.

mod batches;
mod budget;
mod circuit;
mod claims;
mod confirm;
mod crashes;
mod degrade;
mod door;
mod expiry;
mod fairness;
mod fencing;
mod floor;
mod holds;
mod line;
mod mixed_receipts;
mod mixtures;
mod odd_receipts;
mod one_order;
mod outage;
mod pauses;
mod probes;
mod retries;
mod taxonomy;
mod wide_holds;
