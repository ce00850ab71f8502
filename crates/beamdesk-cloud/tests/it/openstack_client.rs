//! The OpenStack client against services that misbehave, each in its own way, on loopback.

mod bad_answers;
mod double;
mod lab;
mod lists;
mod tls;
mod tokens;
mod versions;
