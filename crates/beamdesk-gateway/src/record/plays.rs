//! Who plays what: made by a ticket, held in memory, asked about again and again. Time by parameter.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use beamdesk_types::{PlayCheck, PlayGrant, RecordingId, SessionId};

/// Far more than people look at at once; the one used longest ago makes room.
const PLAYS_MAX: usize = 1024;
/// Nobody came back for so long.
const IDLE: Duration = Duration::from_secs(3600);
/// As soon as a stream ends after its reason: SR-13.
pub(crate) const CHECK: Duration = Duration::from_secs(2);

/// By the value of the browser's cookie.
#[derive(Debug, Default)]
pub(crate) struct Plays {
    plays: HashMap<String, Play>,
}

#[derive(Debug)]
struct Play {
    recording: RecordingId,
    session: SessionId,
    used: Instant,
    checked: Instant,
}

/// Whether a request for a recording is let through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The portal said yes a moment ago.
    Good(PlayCheck),
    /// The portal must say whether it still may.
    Ask(PlayCheck),
    Unknown,
}

impl Plays {
    /// The portal granted this just now.
    pub(crate) fn add(&mut self, value: String, grant: &PlayGrant, now: Instant) {
        self.plays.retain(|_, play| now.duration_since(play.used) < IDLE);
        if self.plays.len() >= PLAYS_MAX {
            let oldest = self.plays.iter().min_by_key(|(_, play)| play.used);
            if let Some(oldest) = oldest.map(|(value, _)| value.clone()) {
                self.plays.remove(&oldest);
            }
        }
        let (recording, session) = (grant.recording, grant.session);
        self.plays.insert(value, Play { recording, session, used: now, checked: now });
    }

    pub(crate) fn standing(
        &mut self,
        value: &str,
        recording: RecordingId,
        now: Instant,
    ) -> Standing {
        let Some(play) = self.plays.get_mut(value) else { return Standing::Unknown };
        if play.recording != recording || now.duration_since(play.used) >= IDLE {
            return Standing::Unknown;
        }
        play.used = now;
        let check = PlayCheck { recording, session: play.session };
        if now.duration_since(play.checked) < CHECK {
            Standing::Good(check)
        } else {
            Standing::Ask(check)
        }
    }

    /// The portal said yes at this time.
    pub(crate) fn checked(&mut self, value: &str, now: Instant) {
        if let Some(play) = self.plays.get_mut(value) {
            play.checked = now;
        }
    }

    /// The portal said no.
    pub(crate) fn end(&mut self, value: &str) {
        self.plays.remove(value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use beamdesk_types::{PlayCheck, PlayGrant, RecordingId, RecordingUse, SessionId};
    use tokio::time::Instant;

    use super::{CHECK, IDLE, PLAYS_MAX, Plays, Standing};

    fn grant(recording: u128) -> PlayGrant {
        PlayGrant {
            recording: RecordingId::from_u128(recording),
            session: SessionId::from_u128(7),
            purpose: RecordingUse::Play,
            desktop_name: "lab".to_owned(),
        }
    }

    #[test]
    fn a_cookie_opens_its_recording_alone_and_is_asked_about_every_two_seconds() {
        let start = Instant::now().into_std();
        let (one, two) = (RecordingId::from_u128(1), RecordingId::from_u128(2));
        let check = PlayCheck { recording: one, session: SessionId::from_u128(7) };
        let mut plays = Plays::default();
        plays.add("a".to_owned(), &grant(1), start);
        assert_eq!(plays.standing("a", two, start), Standing::Unknown);
        assert_eq!(plays.standing("b", one, start), Standing::Unknown);
        assert_eq!(plays.standing("a", one, start), Standing::Good(check.clone()));
        let later = start + CHECK;
        assert_eq!(plays.standing("a", one, later), Standing::Ask(check.clone()));
        plays.checked("a", later);
        assert_eq!(plays.standing("a", one, later), Standing::Good(check));
        plays.end("a");
        assert_eq!(plays.standing("a", one, later), Standing::Unknown);
    }

    #[test]
    fn plays_are_bounded_and_end_when_nobody_comes() {
        let start = Instant::now().into_std();
        let one = RecordingId::from_u128(1);
        let mut plays = Plays::default();
        for n in 0..=PLAYS_MAX {
            let at = start + Duration::from_millis(u64::try_from(n).unwrap());
            plays.add(n.to_string(), &grant(1), at);
        }
        assert_eq!(plays.plays.len(), PLAYS_MAX);
        assert_eq!(plays.standing("0", one, start), Standing::Unknown);
        assert_ne!(plays.standing("1", one, start + CHECK), Standing::Unknown);
        assert_eq!(plays.standing("2", one, start + 2 * IDLE), Standing::Unknown);
    }
}
