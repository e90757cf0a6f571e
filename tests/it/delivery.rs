//! What becomes of conversions on their way: claims, circuits, retries, holds, crashes.

mod batches;
mod circuit;
mod crashes;
mod door;
mod fencing;
mod holds;
mod line;
mod retries;
mod taxonomy;
