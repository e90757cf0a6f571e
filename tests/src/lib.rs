//! What the tests stand on: real servers, real processes, the platforms' own message types.

pub mod aws;
pub mod binaries;
pub mod cases;
pub mod chaos;
pub mod database;
pub mod front;
pub mod fuzz;
pub mod lambda;
pub mod mutations;
pub mod proto;
pub mod served;
pub mod skew;
pub mod trial;
pub mod world;
