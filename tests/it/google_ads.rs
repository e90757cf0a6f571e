//! Google Ads: what is admitted, what is sent, what answers mean.

mod admission;
mod answers;
mod classes;
mod credentials;
mod exchange;
mod overrides;
mod refusals;
mod requests;
mod support;
mod tokens;
