//! What the scheduler promises.
#![expect(clippy::unwrap_used, reason = "what helps tests may fail like a test")]

mod backfill;
mod fit;
mod golden;
mod oracle;
mod place;
mod properties;
mod queue;
mod simulate;
mod small;
mod world;
