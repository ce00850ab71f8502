//! An orderly end: balancers hear of it first, then viewers, one after the other.
//!
//! ```text
//! SIGTERM ─ /readyz says no ─ wait ─▶ viewers are told, spread over a while ─▶ the listeners close
//! ```
//!
//! All viewers told at once would come to the other gateways in the same second. Whoever is told
//! attaches again by itself, through the balancer, and goes on at another gateway.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;

use crate::state::{self, Gateway};

/// How often some are told.
const TICK: Duration = Duration::from_millis(100);

/// Until nobody looks at anything here any more, or the time for that is over.
pub(crate) async fn drain(gateway: &Gateway) {
    let times = &gateway.times;
    gateway.drain();
    let live = gateway.leases(|leases| leases.live());
    info!(live, "Draining: asking to be sent nobody any more");
    sleep(times.drain_wait).await;
    gateway.close_doors();
    let until = Instant::now() + times.drain_spread;
    let mut told = 0;
    loop {
        let now = Instant::now();
        let left = until.saturating_duration_since(now);
        let ended = gateway
            .leases(|leases| leases.end_some(due(leases.live(), left, TICK), now.into_std()));
        told += state::end(ended);
        let live = gateway.leases(|leases| leases.live());
        if live == 0 || left.is_zero() {
            info!(told, live, "Drained");
            return;
        }
        sleep(TICK.min(left)).await;
    }
}

/// How many of so many to tell now, if the rest is told at the same pace in the time left.
fn due(live: usize, left: Duration, tick: Duration) -> usize {
    let ticks = left.as_millis().div_ceil(tick.as_millis().max(1)).saturating_add(1);
    live.div_ceil(usize::try_from(ticks).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{TICK, due};

    #[test]
    fn the_notices_are_spread_over_the_whole_time_and_nobody_is_left() {
        for (all, seconds) in [(500_usize, 20_u64), (7, 20), (1, 5), (10_000, 1), (3, 0)] {
            let window = Duration::from_secs(seconds);
            let (mut live, mut left, mut most) = (all, window, 0);
            loop {
                let now = due(live, left, TICK);
                most = most.max(now);
                live -= now;
                if left.is_zero() {
                    break;
                }
                left = left.saturating_sub(TICK);
            }
            assert_eq!(live, 0, "{all} in {seconds} s");
            let ticks = usize::try_from(window.as_millis() / TICK.as_millis()).unwrap() + 1;
            assert!(most <= all.div_ceil(ticks), "{all} in {seconds} s: {most} at once");
        }
    }
}
