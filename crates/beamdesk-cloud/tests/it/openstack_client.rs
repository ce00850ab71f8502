//! The OpenStack client against services that misbehave, each in its own way, on loopback.

mod bad_answers;
pub(crate) mod double;
mod lab;
mod lists;
mod tls;
mod tokens;
mod versions;
