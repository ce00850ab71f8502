//! Waiting times after wrong passwords, per name and place, in a table of bounded size.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use beamdesk_types::Timestamp;

use crate::{later, since};

/// Wrong passwords for one name from one place before waiting begins.
const FREE_PER_NAME: u32 = 5;
/// Attempts from one place for any names: a beamline hall behind one address logs in often.
const FREE_PER_PLACE: u32 = 100;
/// The longest wait, and how long quiet makes us forget.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// About 2 MiB. When it is full those unused for longest go, an eighth at once, so that the search
/// for them is not done for each.
const ENTRIES_MAX: usize = 10_000;
const EVICTED: usize = ENTRIES_MAX / 8;

/// Counts attempts when they begin, so that many at once are no way around it.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    entries: HashMap<Key, Entry>,
}

/// Where an attempt comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Address(IpAddr),
    /// Somebody logged in who changes the password.
    Session,
}

impl Place {
    /// One host may use a whole /64 of IPv6.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::Address(IpAddr::V4(v4)),
            IpAddr::V6(v6) => {
                let prefix = u128::from(v6) & !u128::from(u64::MAX);
                Self::Address(IpAddr::V6(Ipv6Addr::from(prefix)))
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Name(String, Place),
    Place(Place),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    attempts: u32,
    last: Timestamp,
    until: Timestamp,
}

impl Backoff {
    /// Counts an attempt; the error is how long to wait instead.
    pub(crate) fn begin(
        &mut self,
        name: &str,
        place: Place,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let keys = [
            (Key::Name(name.to_owned(), place), FREE_PER_NAME),
            (Key::Place(place), FREE_PER_PLACE),
        ];
        let wait = keys.iter().filter_map(|(key, _)| self.wait(key, now)).max();
        if let Some(wait) = wait {
            return Err(wait);
        }
        for (key, free) in keys {
            self.count(key, free, now);
        }
        Ok(())
    }

    /// The attempt was right after all.
    pub(crate) fn succeeded(&mut self, name: &str, place: Place) {
        self.entries.remove(&Key::Name(name.to_owned(), place));
        if let Some(entry) = self.entries.get_mut(&Key::Place(place)) {
            entry.attempts = entry.attempts.saturating_sub(1);
        }
    }

    fn wait(&self, key: &Key, now: Timestamp) -> Option<Duration> {
        let entry = self.entries.get(key)?;
        (entry.until > now).then(|| since(entry.until, now))
    }

    fn count(&mut self, key: Key, free: u32, now: Timestamp) {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&key) {
            self.make_room();
        }
        let entry = self.entries.entry(key).or_insert(Entry { attempts: 0, last: now, until: now });
        if since(now, entry.last) > WAIT_MAX {
            entry.attempts = 0;
        }
        entry.attempts = entry.attempts.saturating_add(1);
        entry.last = now;
        if let Some(over) = entry.attempts.checked_sub(free) {
            // 1 s, 2 s, 4 s …
            let seconds = 1_u64.checked_shl(over).unwrap_or(u64::MAX);
            entry.until = later(now, Duration::from_secs(seconds).min(WAIT_MAX));
        }
    }

    fn make_room(&mut self) {
        let mut times: Vec<Timestamp> = self.entries.values().map(|entry| entry.last).collect();
        if let Some(newest_evicted) = EVICTED.checked_sub(1).filter(|&n| n < times.len()) {
            let (_, &mut pivot, _) = times.select_nth_unstable(newest_evicted);
            self.entries.retain(|_, entry| entry.last > pivot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, time::Duration};

    use beamdesk_types::Timestamp;

    use super::{Backoff, ENTRIES_MAX, Key, Place};
    use crate::later;

    fn place(text: &str) -> Place {
        Place::of(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn waits_double_up_to_a_quarter_of_an_hour() {
        let mut backoff = Backoff::default();
        let mut now = Timestamp::UNIX_EPOCH;
        for _ in 0..5 {
            assert_eq!(backoff.begin("ada", place("10.0.0.1"), now), Ok(()));
        }
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            let wait = backoff.begin("ada", place("10.0.0.1"), now).unwrap_err();
            assert_eq!(wait, Duration::from_secs(expected));
            now = later(now, wait);
            assert_eq!(backoff.begin("ada", place("10.0.0.1"), now), Ok(()));
        }
    }

    #[test]
    fn one_persons_wait_is_nobody_elses() {
        let mut backoff = Backoff::default();
        let now = Timestamp::UNIX_EPOCH;
        while backoff.begin("ada", place("10.0.0.1"), now).is_ok() {}
        assert_eq!(backoff.begin("ada", place("10.0.0.2"), now), Ok(()));
        assert_eq!(backoff.begin("bob", place("10.0.0.1"), now), Ok(()));
    }

    #[test]
    fn a_right_password_clears_the_name() {
        let mut backoff = Backoff::default();
        let now = Timestamp::UNIX_EPOCH;
        for _ in 0..1000 {
            assert_eq!(backoff.begin("ada", place("10.0.0.1"), now), Ok(()));
            backoff.succeeded("ada", place("10.0.0.1"));
        }
    }

    #[test]
    fn trying_many_names_from_one_place_waits_too() {
        let mut backoff = Backoff::default();
        let now = Timestamp::UNIX_EPOCH;
        let tried = (0..1000)
            .take_while(|n| backoff.begin(&format!("name{n}"), place("2001:db8::1"), now).is_ok())
            .count();
        assert_eq!(tried, 100);
        // The same /64 is the same place.
        assert!(backoff.begin("other", place("2001:db8::ffff"), now).is_err());
        assert_eq!(backoff.begin("other", place("2001:db8:0:1::1"), now), Ok(()));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut backoff = Backoff::default();
        let mut now = Timestamp::UNIX_EPOCH;
        let places = u32::try_from(ENTRIES_MAX).unwrap();
        for n in 0..places {
            now = later(now, Duration::from_millis(1));
            let place = Place::Address(IpAddr::V4(n.into()));
            assert_eq!(backoff.begin("ada", place, now), Ok(()));
        }
        assert!(backoff.entries.len() <= ENTRIES_MAX);
        // The newest are still known.
        let newest = Place::Address(IpAddr::V4((places - 1).into()));
        assert!(backoff.entries.contains_key(&Key::Name("ada".to_owned(), newest)));
    }
}
