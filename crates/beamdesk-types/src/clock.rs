//! Wall-clock time as a parameter.

use std::fmt;

use jiff::Timestamp;

/// Tells the time. The real one is made in `main`; tests turn theirs by hand.
pub trait Clock: Send + Sync + fmt::Debug {
    fn now(&self) -> Timestamp;
}
