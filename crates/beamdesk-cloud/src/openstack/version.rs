//! Microversions: which one a service and we speak.

use std::{fmt, str::FromStr};

use serde::Deserialize;

/// Of a service's API, as `2.93` (OpenStack API-SIG, *Microversion Specification*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Microversion {
    major: u16,
    minor: u16,
}

impl Microversion {
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for Microversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("not a microversion")]
pub struct MicroversionError;

impl FromStr for Microversion {
    type Err = MicroversionError;

    fn from_str(text: &str) -> Result<Self, MicroversionError> {
        let (major, minor) = text.split_once('.').ok_or(MicroversionError)?;
        let number = |part: &str| part.parse().map_err(|_| MicroversionError);
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

/// What a service offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) least: Microversion,
    pub(super) most: Microversion,
}

impl Offered {
    /// From the document at the root of an endpoint: Nova and Cinder tell of one `version`,
    /// Placement and unversioned roots of `versions`. `None`: it has none.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(body).ok()?;
        let all = document.version.into_iter().chain(document.versions);
        all.filter_map(|entry| {
            let most = entry.max_version.or(entry.version)?.parse().ok()?;
            let least = entry.min_version.and_then(|text| text.parse().ok())?;
            Some(Self { least, most })
        })
        .max_by_key(|offered| offered.most)
    }

    pub(super) fn has(self, version: Microversion) -> bool {
        (self.least..=self.most).contains(&version)
    }

    /// The highest that both know, or `None`: too old or too new.
    pub(super) fn choose(self, needs: Microversion, knows: Microversion) -> Option<Microversion> {
        let best = self.most.min(knows);
        (best >= needs && best >= self.least).then_some(best)
    }
}

impl fmt::Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.least, self.most)
    }
}

#[derive(Deserialize)]
struct Document {
    version: Option<Entry>,
    #[serde(default)]
    versions: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// Nova and Cinder call the highest one so.
    version: Option<String>,
    max_version: Option<String>,
    min_version: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{Microversion, Offered};

    fn v(text: &str) -> Microversion {
        text.parse().unwrap()
    }

    #[test]
    fn they_are_ordered_by_number_not_by_text() {
        assert!(v("2.9") < v("2.74"));
        assert!(v("2.74") < v("3.0"));
        assert_eq!(v("2.93").to_string(), "2.93");
        for bad in ["", "2", "2.", "v2.1", "2.1.0", "2.-1", "2.99999"] {
            assert!(bad.parse::<Microversion>().is_err(), "{bad}");
        }
    }

    #[test]
    fn each_service_tells_them_in_its_own_way() {
        let nova =
            br#"{"version":{"id":"v2.1","status":"CURRENT","version":"2.93","min_version":"2.1"}}"#;
        let placement = br#"{"versions":[{"id":"v1.0","max_version":"1.39","min_version":"1.0"}]}"#;
        let root = br#"{"versions":[{"id":"v2.0","version":"","min_version":""},
            {"id":"v2.1","version":"2.95","min_version":"2.1"}]}"#;
        let read = |body: &[u8]| Offered::read(body).map(|o| (o.least, o.most));
        assert_eq!(read(nova), Some((v("2.1"), v("2.93"))));
        assert_eq!(read(placement), Some((v("1.0"), v("1.39"))));
        assert_eq!(read(root), Some((v("2.1"), v("2.95"))));
        assert_eq!(read(br#"{"versions":[{"id":"v2.0","status":"CURRENT"}]}"#), None);
        assert_eq!(read(b"<html>"), None);
    }

    #[test]
    fn the_highest_that_both_know_is_spoken() {
        let offered = |least, most| Offered { least: v(least), most: v(most) };
        let choose = |o: Offered| o.choose(v("2.74"), v("2.93"));
        assert_eq!(choose(offered("2.1", "2.93")), Some(v("2.93")));
        assert_eq!(choose(offered("2.1", "2.100")), Some(v("2.93")));
        assert_eq!(choose(offered("2.1", "2.79")), Some(v("2.79")));
        assert_eq!(choose(offered("2.1", "2.73")), None);
        assert_eq!(choose(offered("2.94", "2.120")), None);
    }
}
