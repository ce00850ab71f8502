//! A login on its way: everything about it follows from one cookie and the site's key, so that any
//! portal may end what another began, and nothing is stored for people who never come back.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use beamdesk_types::{Secret, Timestamp};
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};

use crate::{HandleKey, later};

/// To find the telephone with the second factor.
pub(crate) const FLOW_LIFE: Duration = Duration::from_secs(10 * 60);
/// An origin of 253 characters, encoded, and the rest.
const TEXT_BYTES_MAX: usize = 512;

/// The cookie of a login: `<end in ms>.<origin>.<256 random bits>`. It needs no signature: what is
/// worth something is derived from it by a key that only portals have.
#[derive(Clone)]
pub(crate) struct Flow {
    text: String,
    /// Of the portal's page that the login began on.
    pub(crate) origin: String,
}

impl Flow {
    pub(crate) fn begin(origin: &str, random: &Secret, now: Timestamp) -> Self {
        let end = later(now, FLOW_LIFE).as_millisecond();
        let text = format!("{end}.{}.{}", URL_SAFE_NO_PAD.encode(origin), random.expose());
        Self { text, origin: origin.to_owned() }
    }

    /// `None`: not ours, or over.
    pub(crate) fn read(text: &str, now: Timestamp) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut parts = text.split('.');
        let (end, origin, random) = (parts.next()?, parts.next()?, parts.next()?);
        let end: i64 = end.parse().ok()?;
        if parts.next().is_some() || random.is_empty() || now.as_millisecond() >= end {
            return None;
        }
        let origin = String::from_utf8(URL_SAFE_NO_PAD.decode(origin).ok()?).ok()?;
        Some(Self { text: text.to_owned(), origin })
    }

    pub(crate) fn cookie(&self) -> Secret {
        Secret::new(self.text.clone())
    }

    /// Ties the provider's answer to this browser (RFC 6749, 10.12).
    pub(crate) fn state(&self, key: &HandleKey) -> String {
        encode(self.mac(key, "state"))
    }

    /// Takes as long for a wrong one as for the right one.
    pub(crate) fn is_state(&self, key: &HandleKey, state: &str) -> bool {
        URL_SAFE_NO_PAD
            .decode(state)
            .is_ok_and(|state| self.mac(key, "state").verify_slice(&state).is_ok())
    }

    /// Ties the ID token to this login (OpenID Connect Core, 3.1.2.1).
    pub(crate) fn nonce(&self, key: &HandleKey) -> String {
        encode(self.mac(key, "nonce"))
    }

    /// Opens the code (RFC 7636, 4.1); never leaves the portal before the code comes back.
    pub(crate) fn verifier(&self, key: &HandleKey) -> Secret {
        Secret::new(encode(self.mac(key, "verifier")))
    }

    /// What the provider is told of the verifier: `S256` (RFC 7636, 4.2).
    pub(crate) fn challenge(&self, key: &HandleKey) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier(key).expose().as_bytes()))
    }

    fn mac(&self, key: &HandleKey, what: &str) -> Hmac<Sha256> {
        let mut mac: Hmac<Sha256> =
            Mac::new_from_slice(key.bytes()).expect("HMAC takes keys of every length");
        // Apart from resume handles, which the same key signs: those begin with an id.
        mac.update(format!("oidc|{what}|{}", self.text).as_bytes());
        mac
    }
}

fn encode(mac: Hmac<Sha256>) -> String {
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use beamdesk_types::{Secret, Timestamp};

    use super::{FLOW_LIFE, Flow};
    use crate::{HandleKey, later, secret::fresh};

    #[test]
    fn a_flow_comes_back_until_its_time_is_over() {
        let now = Timestamp::UNIX_EPOCH;
        let flow = Flow::begin("https://desk.example.org", &fresh().unwrap(), now);
        let text = flow.cookie().expose().to_owned();
        let again = Flow::read(&text, now).unwrap();
        assert_eq!(again.origin, "https://desk.example.org");
        assert!(Flow::read(&text, later(now, FLOW_LIFE)).is_none());
        for odd in ["", ".", "..", "x.y.z", "9.aHR0.", &format!("{text}.x"), &"9".repeat(4000)] {
            assert!(Flow::read(odd, now).is_none(), "{odd}");
        }
    }

    #[test]
    fn state_nonce_and_verifier_are_of_one_cookie_and_one_key() {
        let (key, now) = (HandleKey::fresh().unwrap(), Timestamp::UNIX_EPOCH);
        let flow = |random: &str| Flow::begin("https://a", &Secret::new(random.to_owned()), now);
        let (one, two) = (flow("one"), flow("two"));
        assert!(one.is_state(&key, &one.state(&key)));
        assert!(!one.is_state(&key, &two.state(&key)));
        assert!(!one.is_state(&HandleKey::fresh().unwrap(), &one.state(&key)));
        for odd in ["", "x", "====", &one.nonce(&key), &one.state(&key).split_off(1)] {
            assert!(!one.is_state(&key, odd), "{odd}");
        }
        let all = [one.state(&key), one.nonce(&key), one.verifier(&key).expose().to_owned()];
        assert!(all.iter().all(|value| value.len() == 43), "RFC 7636: 43 characters at least");
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
        assert_ne!(one.challenge(&key), all[2]);
    }
}
