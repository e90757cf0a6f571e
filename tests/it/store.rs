//! The database itself: who may do what, how it came to be, and what it says of itself.

mod catalogue;
mod errors;
mod migrations;
mod view;
