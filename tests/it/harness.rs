//! What the tests themselves stand on, held to its own promises.

mod binaries;
mod database;
mod lambda;
mod postgres;
mod proto;
