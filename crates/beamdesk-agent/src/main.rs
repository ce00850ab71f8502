//! The agent inside a desktop.
fn main() {}
