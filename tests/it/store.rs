//! The database itself: who may do what, how it came to be, what it says of itself, and how it lives for years.

mod audit;
mod budgets;
mod catalogue;
mod errors;
mod ingest;
mod long_life;
mod migrations;
mod partitions;
mod prune;
mod view;
