//! How long to wait for a portal that does not answer.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use beamdesk_types::NodeName;

use crate::portal::PortalError;

/// Longest wait for a portal that does not answer, unless the interval is longer: records are stale
/// after three intervals, and are wanted soon when it is back.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Doublings of the wait: ten of a tenth of a second are minutes already.
const DOUBLINGS_MAX: u32 = 10;

/// As long as the portal asked for.
pub(crate) fn wait_for(error: &PortalError) -> Option<Duration> {
    match error {
        PortalError::TooMany { retry_after } => Some(*retry_after),
        PortalError::Unreachable(_)
        | PortalError::Refused(_)
        | PortalError::Status(_)
        | PortalError::Garbage(_)
        | PortalError::TooLong => None,
    }
}

/// Doubles with each failure up to [`BACKOFF_MAX`], a little different on each node, so that all do not
/// come back at once.
pub(crate) fn backoff(first: Duration, failures: u32, node: &NodeName) -> Duration {
    let wait = first.saturating_mul(1 << failures.min(DOUBLINGS_MAX)).min(BACKOFF_MAX.max(first));
    let mut hasher = DefaultHasher::new();
    (node, failures).hash(&mut hasher);
    // Up to a quarter more.
    let spread = u32::try_from(hasher.finish() % 64).unwrap_or_default();
    wait + wait * spread / 256
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use beamdesk_types::NodeName;

    use super::{BACKOFF_MAX, backoff};

    #[test]
    fn waits_grow_to_a_bound_and_differ_between_nodes() {
        let node = NodeName::of_host("n1");
        let second = Duration::from_secs(1);
        assert!(backoff(second, 0, &node) < backoff(second, 3, &node));
        for failures in [5, 31, 32, u32::MAX] {
            let wait = backoff(second, failures, &node);
            assert!(wait >= BACKOFF_MAX && wait <= BACKOFF_MAX * 5 / 4, "{wait:?}");
        }
        let long = Duration::from_secs(300);
        assert!(backoff(long, 9, &node) >= long, "never more often than the interval");
        let other = NodeName::of_host("n2");
        assert_ne!(backoff(second, 9, &node), backoff(second, 9, &other));
    }
}
