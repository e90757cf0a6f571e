//! What the tests themselves stand on, held to its own promises.

mod binaries;
mod database;
mod lambda;
mod pooler;
mod postgres;
mod proto;
