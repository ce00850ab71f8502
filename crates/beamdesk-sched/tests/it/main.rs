//! What the scheduler promises.
#![expect(clippy::unwrap_used, reason = "what helps tests may fail like a test")]

mod place;
