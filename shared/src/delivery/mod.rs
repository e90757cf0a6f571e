//! The way of a conversion through the queue: in at the door, claimed, packed, sent, settled. Knows no provider's name.

mod access;
mod claimed;
mod codes;
mod confirm;
mod decide;
mod decision;
mod enqueue;
mod examine;
mod flight;
mod ingest;
mod keys;
pub mod limits;
mod part_number;
mod receipts;
mod report;
mod run;
mod send;
mod settle;
mod suppose;
mod told;

pub use access::{Access, AccessError};
pub use confirm::Confirmed;
pub use enqueue::{Admitted, ItemAnswer, Producer, ProviderAnswer};
pub use examine::{Examination, Subject};
pub use ingest::{ITEMS_MAX, IngestAnswer, Items, KnownSite, Signature};
pub use keys::{Resealing, Rotated};
pub use report::{GroupReport, RunError, RunReport, Stopped};
pub use run::{Deadline, Mode, RunPolicy, Runner};
