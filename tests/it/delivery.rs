//! What becomes of conversions on their way: claims, circuits, retries, holds, crashes.

mod batches;
mod circuit;
mod claims;
mod crashes;
mod door;
mod expiry;
mod fencing;
mod holds;
mod line;
mod retries;
mod taxonomy;
