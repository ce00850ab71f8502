//! How long to wait: for a portal that does not answer, and until a certificate is renewed.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

/// First wait for portals of which none answers; doubles with each failure.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Longest. Somebody waits for the desktop.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Doublings of the wait: five of a second are more than the longest.
const DOUBLINGS_MAX: u32 = 5;
/// A machine that was paused does not notice by its timers: the clock is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Bounds for what a portal says of when to renew.
const RENEW_MIN: Duration = Duration::from_secs(10);
const RENEW_MAX: Duration = Duration::from_secs(24 * 3600);

/// Reads the machine's clock.
pub type Wall = fn() -> SystemTime;

/// Up to a quarter more by `random`, so that servers that boot at once do not ask at once.
pub(super) fn backoff(failures: u32, random: u8) -> Duration {
    let wait = BACKOFF_FIRST.saturating_mul(1 << failures.min(DOUBLINGS_MAX)).min(BACKOFF_MAX);
    wait + wait * u32::from(random) / 1024
}

/// When to renew, of what the portal said; up to an eighth earlier by `random`.
pub(super) fn renewal(said_s: u64, random: u8) -> Duration {
    let said = Duration::from_secs(said_s).clamp(RENEW_MIN, RENEW_MAX);
    said - said * u32::from(random) / 2048
}

/// Waits for so long by the timer or by the machine's clock, whichever is sooner over: timers stand
/// still while a machine is paused, and clocks may be set back.
pub(super) async fn wait(span: Duration, wall: Wall) {
    let (began, wall_began) = (Instant::now(), wall());
    while let Some(left) = left(span, began.elapsed(), wall_began, wall()) {
        sleep(left.min(LOOK_EVERY)).await;
    }
}

fn left(
    span: Duration,
    timer: Duration,
    wall_began: SystemTime,
    wall_now: SystemTime,
) -> Option<Duration> {
    let wall = wall_now.duration_since(wall_began).unwrap_or_default();
    span.checked_sub(timer.max(wall)).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{BACKOFF_MAX, backoff, left, renewal};

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn waits_grow_to_a_bound_and_differ_between_servers() {
        assert_eq!(backoff(0, 0), Duration::from_secs(1));
        assert!(backoff(3, 0) < backoff(3, 255));
        for failures in [5, 31, 32, u32::MAX] {
            let (least, most) = (backoff(failures, 0), backoff(failures, 255));
            assert!(least == BACKOFF_MAX && most <= BACKOFF_MAX * 5 / 4, "{most:?}");
        }
    }

    #[test]
    fn a_certificate_is_renewed_no_later_than_the_portal_said() {
        assert_eq!(renewal(16 * 3600, 0), 16 * HOUR);
        let early = renewal(16 * 3600, 255);
        assert!(early < 15 * HOUR && early >= 14 * HOUR, "{early:?}");
        // Nonsense neither floods the portal nor stops renewing.
        assert!(renewal(0, 255) > Duration::from_secs(8));
        assert_eq!(renewal(u64::MAX, 0), 24 * HOUR);
    }

    #[test]
    fn a_paused_machine_renews_when_it_runs_again_and_a_clock_set_back_delays_nothing() {
        let began = SystemTime::UNIX_EPOCH + 500 * HOUR;
        let second = Duration::from_secs(1);
        assert_eq!(left(16 * HOUR, second, began, began + second), Some(16 * HOUR - second));
        assert_eq!(left(16 * HOUR, second, began, began + 20 * HOUR), None, "it was paused");
        assert_eq!(left(16 * HOUR, 16 * HOUR, began, began - 9 * HOUR), None, "set back");
        assert_eq!(left(16 * HOUR, HOUR, began, began - 9 * HOUR), Some(15 * HOUR));
        assert_eq!(left(Duration::ZERO, Duration::ZERO, began, began), None);
    }
}
