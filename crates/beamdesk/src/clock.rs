//! The real clock.

use beamdesk_types::{Clock, Timestamp};

#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the edge: the one place that asks")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
