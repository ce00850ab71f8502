//! One-time values between `attach` and the WebSocket it is for. No I/O, time by parameter.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use beamdesk_types::{DesktopId, Grant};
use subtle::ConstantTimeEq as _;

/// Far more than viewers that reload in the same ten seconds.
const PENDING_MAX: usize = 1024;

/// A resumed stream that waits for its WebSocket.
#[derive(Debug)]
pub struct Pending {
    pub grant: Grant,
    /// The viewer asked that it be recorded.
    pub wants_recording: bool,
    nonce: String,
    expires: Instant,
}

/// By the resume handle that the cookie now holds: without it there is not even an upgrade.
#[derive(Debug)]
pub struct Attaches {
    pending: HashMap<String, Pending>,
    lifetime: Duration,
}

impl Attaches {
    pub fn new(lifetime: Duration) -> Self {
        Self { pending: HashMap::new(), lifetime }
    }

    /// Remembers a grant under its handle; an earlier one of the same stream is void.
    ///
    /// `false`: too many wait already.
    #[must_use]
    pub fn add(
        &mut self,
        grant: Grant,
        nonce: String,
        wants_recording: bool,
        now: Instant,
    ) -> bool {
        self.pending.retain(|_, other| other.expires > now && other.grant.stream != grant.stream);
        if self.pending.len() >= PENDING_MAX {
            return false;
        }
        let handle = grant.handle.expose().to_owned();
        let expires = now + self.lifetime;
        self.pending.insert(handle, Pending { grant, wants_recording, nonce, expires });
        true
    }

    /// Whether a WebSocket with this cookie is waited for.
    pub fn expects(&self, desktop: DesktopId, handle: &str, now: Instant) -> bool {
        let pending = self.pending.get(handle);
        pending.is_some_and(|p| p.grant.desktop == desktop && p.expires > now)
    }

    /// Opens what waits under the handle: once, and with a wrong nonce not at all.
    pub fn take(
        &mut self,
        desktop: DesktopId,
        handle: &str,
        nonce: &str,
        now: Instant,
    ) -> Option<Pending> {
        let pending = self.pending.remove(handle)?;
        let is_right: bool = pending.nonce.as_bytes().ct_eq(nonce.as_bytes()).into();
        let is_live = pending.grant.desktop == desktop && pending.expires > now;
        (is_right && is_live).then_some(pending)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use beamdesk_types::{DesktopId, Grant, RecordingPolicy, Secret, StreamId, UserId};
    use tokio::time::Instant;

    use super::{Attaches, PENDING_MAX};

    const DESKTOP: DesktopId = DesktopId::from_u128(7);
    const OTHER: DesktopId = DesktopId::from_u128(8);
    const LIFETIME: Duration = Duration::from_secs(10);

    fn grant(stream: u128, handle: &str) -> Grant {
        Grant {
            stream: StreamId::from_u128(stream),
            user: UserId::from_u128(1),
            user_name: "ada".to_owned(),
            desktop: DESKTOP,
            desktop_name: "lab".to_owned(),
            generation: 1,
            address: "127.0.0.1:1".to_owned(),
            agent_name: "g1.x".to_owned(),
            recording: RecordingPolicy::Off,
            handle: Secret::new(handle.to_owned()),
        }
    }

    #[test]
    fn a_nonce_opens_once_for_its_desktop_cookie_and_time() {
        let now = Instant::now().into_std();
        let late = now + LIFETIME;
        for (desktop, handle, nonce, at, opens) in [
            (DESKTOP, "h", "n", now, true),
            (OTHER, "h", "n", now, false),
            (DESKTOP, "i", "n", now, false),
            (DESKTOP, "h", "m", now, false),
            (DESKTOP, "h", "", now, false),
            (DESKTOP, "h", "n", late, false),
        ] {
            let mut attaches = Attaches::new(LIFETIME);
            assert!(attaches.add(grant(1, "h"), "n".to_owned(), false, now));
            let opened = attaches.take(desktop, handle, nonce, at);
            assert_eq!(opened.is_some(), opens, "{desktop} {handle} {nonce}");
            if handle == "h" {
                assert!(attaches.take(DESKTOP, "h", "n", now).is_none(), "burned");
            }
        }
    }

    #[test]
    fn a_later_attach_of_the_stream_voids_the_earlier() {
        let now = Instant::now().into_std();
        let mut attaches = Attaches::new(LIFETIME);
        assert!(attaches.add(grant(1, "h"), "n".to_owned(), false, now));
        assert!(attaches.expects(DESKTOP, "h", now));
        assert!(!attaches.expects(OTHER, "h", now));
        assert!(attaches.add(grant(1, "i"), "m".to_owned(), false, now));
        assert!(!attaches.expects(DESKTOP, "h", now));
        assert!(attaches.take(DESKTOP, "i", "m", now).is_some());
    }

    #[test]
    fn waiting_ones_are_bounded_and_old_ones_make_room() {
        let now = Instant::now().into_std();
        let mut attaches = Attaches::new(LIFETIME);
        for n in 0..PENDING_MAX {
            let n = u128::try_from(n).unwrap();
            assert!(attaches.add(grant(n, &n.to_string()), String::new(), false, now));
        }
        assert!(!attaches.add(grant(u128::MAX, "x"), String::new(), false, now));
        assert!(attaches.add(grant(u128::MAX, "x"), String::new(), false, now + LIFETIME));
    }
}
