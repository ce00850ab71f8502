//! All streams this gateway holds, and how long it may hold them. No I/O, time by parameter.
//!
//! ```text
//!  granted ─▶ resting ─opened─▶ live ─left─▶ resting ─too long─▶ closed (told to the portal)
//!                │                │
//!                └────── ended by the portal ──▶ gone
//!  portal silent beyond the grace time: all live ones close and rest
//! ```

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use beamdesk_types::{CloseReason, LeaseAnswer, RenewRequest, StreamId};

/// More closed streams than this are reported in the next call.
const CLOSED_PER_CALL_MAX: usize = 1024;

/// One WebSocket of a stream; rises, so that a late `left` of an earlier one changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

/// `H` ends a live connection: the driver's business, opaque here.
#[derive(Debug)]
pub struct Leases<H> {
    streams: HashMap<StreamId, State<H>>,
    streams_max: usize,
    /// Streams given up here that the portal does not know of yet. Bounded by `streams_max`.
    closed: VecDeque<StreamId>,
    connections: u64,
    /// When the portal last said that our streams may go on.
    heard: Instant,
    grace: Duration,
    resting_max: Duration,
}

#[derive(Debug)]
enum State<H> {
    Resting { since: Instant },
    Live { connection: ConnectionId, handle: H },
}

impl<H> Leases<H> {
    pub fn new(streams_max: usize, grace: Duration, resting_max: Duration, now: Instant) -> Self {
        Self {
            streams: HashMap::new(),
            streams_max,
            closed: VecDeque::new(),
            connections: 0,
            heard: now,
            grace,
            resting_max,
        }
    }

    /// The portal granted this stream just now. `false`: no room for another.
    #[must_use]
    pub fn granted(&mut self, stream: StreamId, now: Instant) -> bool {
        if !self.has_live() {
            // Silence counts only while somebody's stream depends on it.
            self.heard = now;
        }
        if self.streams.contains_key(&stream) {
            return true;
        }
        if self.streams.len() >= self.streams_max && !self.give_up_oldest() {
            return false;
        }
        self.streams.insert(stream, State::Resting { since: now });
        true
    }

    /// A viewer opened the stream; whoever had it before must make room.
    ///
    /// `None`: the stream has ended since it was granted.
    pub fn opened(&mut self, stream: StreamId, handle: H) -> Option<(ConnectionId, Option<H>)> {
        let state = self.streams.get_mut(&stream)?;
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        match std::mem::replace(state, State::Live { connection, handle }) {
            State::Live { handle, .. } => Some((connection, Some(handle))),
            State::Resting { .. } => Some((connection, None)),
        }
    }

    /// The viewer's connection is over; the stream may be resumed.
    pub fn left(&mut self, stream: StreamId, connection: ConnectionId, now: Instant) {
        if let Some(state) = self.streams.get_mut(&stream)
            && matches!(state, State::Live { connection: live, .. } if *live == connection)
        {
            *state = State::Resting { since: now };
        }
    }

    /// What to ask the portal; `None`: nothing to ask about.
    pub fn renewal(&mut self, now: Instant) -> Option<RenewRequest> {
        let (resting_max, closed_max) = (self.resting_max, self.streams_max);
        let closed = &mut self.closed;
        self.streams.retain(|stream, state| match state {
            State::Resting { since } if now.duration_since(*since) >= resting_max => {
                if closed.len() < closed_max {
                    closed.push_back(*stream);
                }
                false
            }
            State::Resting { .. } | State::Live { .. } => true,
        });
        // Only live ones: they also keep the person's session alive, and a closed tab must not.
        let live = self.streams.iter().filter_map(|(stream, state)| match state {
            State::Live { .. } => Some(*stream),
            State::Resting { .. } => None,
        });
        let streams: Vec<StreamId> = live.collect();
        if streams.is_empty() && self.closed.is_empty() {
            return None;
        }
        let closed = self.closed.iter().take(CLOSED_PER_CALL_MAX).copied().collect();
        Some(RenewRequest { streams, closed })
    }

    /// The portal answered a question of [`Self::renewal`]; these connections must end.
    pub fn answered(
        &mut self,
        asked: &RenewRequest,
        answer: &LeaseAnswer,
        now: Instant,
    ) -> Vec<(H, CloseReason)> {
        self.heard = now;
        self.closed.drain(..asked.closed.len().min(self.closed.len()));
        let ended = answer.ended.iter();
        ended
            .filter_map(|end| match self.streams.remove(&end.stream)? {
                State::Live { handle, .. } => Some((handle, end.reason)),
                State::Resting { .. } => None,
            })
            .collect()
    }

    /// Until when the portal must answer; `None`: nothing live depends on it.
    pub fn deadline(&self) -> Option<Instant> {
        self.has_live().then(|| self.heard + self.grace)
    }

    /// Closes everything when the portal was silent for too long.
    pub fn lost(&mut self, now: Instant) -> Vec<(H, CloseReason)> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        let mut ended = Vec::new();
        for state in self.streams.values_mut() {
            match std::mem::replace(state, State::Resting { since: now }) {
                State::Live { handle, .. } => ended.push((handle, CloseReason::PortalLost)),
                State::Resting { since } => *state = State::Resting { since },
            }
        }
        ended
    }

    /// Ends every connection, for shutdown; the streams may be resumed at another gateway's start.
    pub fn end_all(&mut self, now: Instant) -> Vec<(H, CloseReason)> {
        let mut ended = Vec::new();
        for state in self.streams.values_mut() {
            if let State::Live { handle, .. } =
                std::mem::replace(state, State::Resting { since: now })
            {
                ended.push((handle, CloseReason::GatewayClosing));
            }
        }
        ended
    }

    /// Streams that somebody looks at.
    pub fn live(&self) -> usize {
        let live = |state: &&State<H>| matches!(state, State::Live { .. });
        self.streams.values().filter(live).count()
    }

    /// Ends so many connections; the streams may be resumed at another gateway.
    pub fn end_some(&mut self, count: usize, now: Instant) -> Vec<(H, CloseReason)> {
        let mut ended = Vec::new();
        for state in self.streams.values_mut() {
            if ended.len() >= count {
                break;
            }
            match std::mem::replace(state, State::Resting { since: now }) {
                State::Live { handle, .. } => ended.push((handle, CloseReason::GatewayClosing)),
                State::Resting { since } => *state = State::Resting { since },
            }
        }
        ended
    }

    pub fn len(&self) -> usize {
        self.streams.len()
    }

    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    fn has_live(&self) -> bool {
        self.streams.values().any(|state| matches!(state, State::Live { .. }))
    }

    fn give_up_oldest(&mut self) -> bool {
        let resting = self.streams.iter().filter_map(|(stream, state)| match state {
            State::Resting { since } => Some((*since, *stream)),
            State::Live { .. } => None,
        });
        let Some((_, oldest)) = resting.min() else { return false };
        self.streams.remove(&oldest);
        if self.closed.len() < self.streams_max {
            self.closed.push_back(oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use beamdesk_types::{CloseReason, LeaseAnswer, LeaseEnd, StreamId, Timestamp};
    use tokio::time::Instant;

    use super::Leases;

    const GRACE: Duration = Duration::from_secs(300);
    const RESTING: Duration = Duration::from_secs(600);

    fn leases() -> (Leases<&'static str>, std::time::Instant) {
        let now = Instant::now().into_std();
        (Leases::new(3, GRACE, RESTING, now), now)
    }

    fn stream(n: u128) -> StreamId {
        StreamId::from_u128(n)
    }

    fn answer(ended: &[(u128, CloseReason)]) -> LeaseAnswer {
        let ended = ended.iter().map(|&(n, reason)| LeaseEnd { stream: stream(n), reason });
        LeaseAnswer { ended: ended.collect(), now: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn an_ended_stream_closes_and_cannot_be_opened_again() {
        let (mut leases, now) = leases();
        assert!(leases.granted(stream(1), now));
        assert!(leases.granted(stream(2), now));
        assert!(leases.opened(stream(1), "one").is_some());
        let asked = leases.renewal(now).unwrap();
        assert_eq!(asked.streams, [stream(1)], "only what somebody looks at");
        let ends = [(1, CloseReason::LoggedOut), (2, CloseReason::DesktopGone)];
        let ended = leases.answered(&asked, &answer(&ends), now);
        assert_eq!(ended, [("one", CloseReason::LoggedOut)]);
        assert!(leases.opened(stream(1), "again").is_none());
        assert!(leases.opened(stream(2), "late").is_none());
        assert!(leases.renewal(now).is_none());
    }

    #[test]
    fn a_second_viewer_takes_the_stream_over() {
        let (mut leases, now) = leases();
        assert!(leases.granted(stream(1), now));
        let (first, none) = leases.opened(stream(1), "first").unwrap();
        assert_eq!(none, None);
        let (second, superseded) = leases.opened(stream(1), "second").unwrap();
        assert_eq!(superseded, Some("first"));
        leases.left(stream(1), first, now);
        let later = now + GRACE;
        assert_eq!(leases.lost(later), [("second", CloseReason::PortalLost)], "still live");
        leases.left(stream(1), second, later);
        assert!(leases.lost(later).is_empty());
    }

    #[test]
    fn silence_of_the_portal_closes_all_at_the_grace_time_and_not_before() {
        let (mut leases, start) = leases();
        let begin = start + Duration::from_secs(1000);
        assert!(leases.granted(stream(1), begin), "idle time is no silence");
        assert_eq!(leases.deadline(), None);
        leases.opened(stream(1), "one").unwrap();
        assert!(leases.lost(begin + GRACE - Duration::from_millis(1)).is_empty());
        let asked = leases.renewal(begin).unwrap();
        let heard = begin + Duration::from_secs(10);
        assert!(leases.answered(&asked, &answer(&[]), heard).is_empty());
        assert!(leases.lost(heard + GRACE - Duration::from_millis(1)).is_empty());
        assert_eq!(leases.deadline(), Some(heard + GRACE));
        assert_eq!(leases.lost(heard + GRACE), [("one", CloseReason::PortalLost)]);
        assert!(leases.opened(stream(1), "back").is_some(), "it rests and may come back");
    }

    #[test]
    fn a_stream_that_rests_too_long_is_closed_and_told_until_heard() {
        let (mut leases, now) = leases();
        assert!(leases.granted(stream(1), now));
        assert!(leases.renewal(now + RESTING - Duration::from_millis(1)).is_none());
        let later = now + RESTING;
        let asked = leases.renewal(later).unwrap();
        assert_eq!((asked.streams.len(), asked.closed.as_slice()), (0, [stream(1)].as_slice()));
        assert_eq!(leases.renewal(later).unwrap().closed, asked.closed, "not heard yet");
        leases.answered(&asked, &answer(&[]), later);
        assert!(leases.renewal(later).is_none());
    }

    #[test]
    fn the_table_is_bounded_and_live_streams_stay() {
        let (mut leases, now) = leases();
        for n in 1..=3 {
            assert!(leases.granted(stream(n), now + Duration::from_secs(1)));
        }
        leases.opened(stream(1), "one").unwrap();
        leases.opened(stream(2), "two").unwrap();
        assert!(leases.granted(stream(4), now), "the resting one makes room");
        assert!(leases.opened(stream(3), "three").is_none());
        leases.opened(stream(4), "four").unwrap();
        assert!(!leases.granted(stream(5), now));
        assert!(leases.granted(stream(1), now), "a known one needs no room");
        assert_eq!(leases.len(), 3);
        assert_eq!(leases.renewal(now).unwrap().closed, [stream(3)]);
        assert_eq!(leases.end_all(now).len(), 3);
    }
}
