//! Which failed tries are made again, when, and what is known of their effect.

use std::time::Duration;

use super::Outcome;

/// What may happen when a request is carried out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: it changes nothing.
    Read,
    /// The same as once.
    Repeatable,
    /// Something else, a second server say.
    Once,
}

/// How one try ended, if not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// There was no connection, so nothing was sent.
    Unsent,
    /// Sent, and the connection ended before a whole answer had come, or the answer took too long.
    Lost,
    /// A whole answer said that it went well, but in words that are not the service's.
    Garbage,
    /// The answer is longer than anything we ask for.
    TooLong,
    Status {
        status: u16,
        retry_after: Option<Duration>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether another try makes sense.
    pub(super) again: bool,
    /// How long the service wants us to wait before it.
    pub(super) wait: Option<Duration>,
    pub(super) outcome: Outcome,
}

/// A service that says 503 may have done it all the same, and so may one whose answer never came.
/// Only a refusal by rate limit (429, and 413 with a time to wait) is surely not carried out.
pub(super) fn judge(kind: Kind, failure: Failure) -> Verdict {
    let outcome = match (kind, failure) {
        (Kind::Read, _) | (_, Failure::Unsent) => Outcome::NotDone,
        (_, Failure::Status { status, .. }) if !unsure(status) => Outcome::NotDone,
        (_, Failure::Lost | Failure::Garbage | Failure::TooLong | Failure::Status { .. }) => {
            Outcome::Unknown
        }
    };
    let harmless = kind != Kind::Once || outcome == Outcome::NotDone;
    let (passing, wait) = match failure {
        Failure::Unsent | Failure::Lost | Failure::Garbage => (true, None),
        Failure::TooLong => (false, None),
        Failure::Status { status, retry_after } => {
            let wait = retry_after.filter(|wait| !wait.is_zero());
            (passing(kind, status, wait), wait)
        }
    };
    Verdict { again: passing && harmless, wait, outcome }
}

/// Whether a request that was answered so may have been carried out.
fn unsure(status: u16) -> bool {
    matches!(status, 200..=299 | 408 | 500..=599)
}

fn passing(kind: Kind, status: u16, wait: Option<Duration>) -> bool {
    match status {
        408 | 425 | 429 => true,
        // Without a time to wait it is a quota or a body that is too large (RFC 9110, 15.5.14).
        413 => wait.is_some(),
        // Nothing conflicts with a read: something between us and the service said it.
        409 => kind == Kind::Read,
        501 | 505 => false,
        500..=599 => true,
        _ => false,
    }
}

/// How long the first wait may be; each further one up to twice as long.
const WAIT_FIRST: Duration = Duration::from_millis(200);
/// A service that is away comes back in seconds, or not while somebody waits.
const WAIT_MAX: Duration = Duration::from_secs(8);

/// How long to wait before the next try; `None` when it would not fit into the time that is left.
///
/// Full jitter: anything from nothing to the bound, which doubles, so that many callers who failed
/// together don't come back together. What the service asked for is waited in full, with jitter
/// on top. `chance` is random.
pub(super) fn pause(
    tries: u32,
    said: Option<Duration>,
    left: Duration,
    chance: u64,
) -> Option<Duration> {
    let doublings = tries.saturating_sub(1).min(16);
    let bound = WAIT_FIRST.saturating_mul(1 << doublings).min(WAIT_MAX);
    let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX).max(1);
    let jitter = Duration::from_millis(chance % bound_ms);
    let wait = said.unwrap_or_default().saturating_add(jitter);
    (wait < left).then_some(wait)
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3). OpenStack's services never send a date there.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Failure, Kind, WAIT_MAX, judge, pause, retry_after};
    use crate::openstack::Outcome::{self, NotDone, Unknown};

    fn status(status: u16) -> Failure {
        Failure::Status { status, retry_after: None }
    }

    /// (failure, [read, repeatable, once] as (again, outcome))
    type Row = (Failure, [(bool, Outcome); 3]);

    #[test]
    fn each_failure_is_judged_by_what_it_may_have_done() {
        let lost: [(bool, Outcome); 3] = [(true, NotDone), (true, Unknown), (false, Unknown)];
        let refused = [(false, NotDone), (false, NotDone), (false, NotDone)];
        let unsent = [(true, NotDone), (true, NotDone), (true, NotDone)];
        let limited = Failure::Status { status: 413, retry_after: Some(Duration::from_secs(2)) };
        let at_once = Failure::Status { status: 413, retry_after: Some(Duration::ZERO) };
        let rows: &[Row] = &[
            (Failure::Unsent, unsent),
            (Failure::Lost, lost),
            (Failure::Garbage, lost),
            (Failure::TooLong, [(false, NotDone), (false, Unknown), (false, Unknown)]),
            (status(500), lost),
            (status(502), lost),
            (status(503), lost),
            (status(504), lost),
            (status(408), lost),
            (status(501), [(false, NotDone), (false, Unknown), (false, Unknown)]),
            (status(429), unsent),
            (limited, unsent),
            (status(413), refused),
            (at_once, refused),
            (status(409), [(true, NotDone), (false, NotDone), (false, NotDone)]),
            (status(400), refused),
            (status(403), refused),
            (status(404), refused),
            (status(406), refused),
            (status(302), refused),
        ];
        for (failure, expected) in rows {
            for (kind, expected) in [Kind::Read, Kind::Repeatable, Kind::Once].iter().zip(expected)
            {
                let verdict = judge(*kind, *failure);
                assert_eq!((verdict.again, verdict.outcome), *expected, "{failure:?} {kind:?}");
            }
        }
        assert_eq!(judge(Kind::Once, limited).wait, Some(Duration::from_secs(2)));
    }

    #[test]
    fn nothing_that_may_be_done_is_done_again_unless_that_is_harmless() {
        for code in 0..=999 {
            let verdict = judge(Kind::Once, status(code));
            assert!(!(verdict.again && verdict.outcome == Unknown), "{code}");
        }
    }

    #[test]
    fn waits_grow_to_a_bound_and_are_spread_over_all_of_it() {
        let ample = Duration::from_secs(3600);
        for tries in 1..100 {
            assert!(pause(tries, None, ample, u64::MAX).unwrap() < WAIT_MAX);
            assert_eq!(pause(tries, None, ample, 0), Some(Duration::ZERO));
        }
        let top = |tries| (0..20_000).filter_map(|n| pause(tries, None, ample, n)).max().unwrap();
        assert_eq!(top(1), Duration::from_millis(199));
        assert_eq!(top(3), Duration::from_millis(799));
        assert_eq!(top(50), Duration::from_millis(7999));
    }

    #[test]
    fn what_the_service_asks_for_is_waited_or_not_tried_at_all() {
        let said = Some(Duration::from_secs(5));
        assert!(pause(1, said, Duration::from_secs(60), 7).unwrap() >= Duration::from_secs(5));
        assert_eq!(pause(1, said, Duration::from_secs(4), 7), None);
        assert_eq!(pause(1, None, Duration::ZERO, 0), None);
        assert_eq!(retry_after(" 30"), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        assert_eq!(retry_after("-1"), None);
    }
}
