//! From when until when a certificate is good (RFC 5280, 4.1.2.5).
//!
//! TLS libraries check it and do not tell it; to renew in time a monitor must know. These few fields of
//! DER are read by hand rather than by one more library. Whether the certificate is genuine is not
//! asked here: it is the monitor's own.

use beamdesk_types::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Life of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

impl Validity {
    /// Of the first certificate in a PEM text.
    pub(crate) fn of_pem(pem: &str) -> Option<Self> {
        Self::of_der(&CertificateDer::from_pem_slice(pem.as_bytes()).ok()?)
    }

    /// Whether no more than a third of its life is left.
    pub(crate) fn is_waning(&self, now: Timestamp) -> bool {
        let life = self.until.as_second().saturating_sub(self.from.as_second());
        self.until.as_second().saturating_sub(now.as_second()) <= life / 3
    }

    fn of_der(der: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(der, SEQUENCE)?;
        let (mut rest, _) = expect(certificate, SEQUENCE)?;
        if let Some((_, after)) = expect(rest, VERSION) {
            rest = after;
        }
        // Serial number, signature algorithm, issuer.
        for _ in 0..3 {
            (_, _, rest) = element(rest)?;
        }
        let (validity, _) = expect(rest, SEQUENCE)?;
        let (from, rest) = time(validity)?;
        let (until, _) = time(rest)?;
        Some(Self { from, until })
    }
}

/// Tag, content and what comes behind an element (X.690, 8.1).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        // Certificates are shorter than 16 MiB, and the indefinite form is no DER.
        if digits.is_empty() || digits.len() > 3 {
            return None;
        }
        length = digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn expect(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(der)?;
    (tag == wanted).then_some((content, rest))
}

/// `260101000000Z`, from 2050 on `20500101000000Z`.
fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (tag, content, rest) = element(der)?;
    let text = std::str::from_utf8(content).ok()?;
    let text = match tag {
        UTC_TIME => {
            // RFC 5280: 50 to 99 are of the last century.
            let century = if text.starts_with(['5', '6', '7', '8', '9']) { "19" } else { "20" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    let [date, clock] = [
        [part(0..4), part(4..6), part(6..8)].join("-"),
        [part(8..10), part(10..12), part(12..14)].join(":"),
    ];
    Some((format!("{date}T{clock}Z").parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::Validity;

    fn certificate(from: i32, until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 12, 31);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_life_of_a_certificate_is_read_and_its_last_third_known() {
        // Up to 2049 two digits are written, then four.
        let read = Validity::of_der(&certificate(2026, 2055)).unwrap();
        assert_eq!(read.from, "2026-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(read.until, "2055-12-31T00:00:00Z".parse().unwrap());
        assert!(!read.is_waning("2045-12-01T00:00:00Z".parse().unwrap()));
        assert!(read.is_waning("2046-02-01T00:00:00Z".parse().unwrap()));
        assert!(read.is_waning("2060-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_is_cut_or_flipped_is_never_a_panic() {
        let good = certificate(2026, 2030);
        for end in 0..good.len() {
            assert_eq!(Validity::of_der(&good[..end]), None, "{end}");
        }
        for place in 0..good.len().min(120) {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[place] ^= 1 << bit;
                let _ = Validity::of_der(&bad);
            }
        }
        assert_eq!(Validity::of_pem("no certificate"), None);
    }
}
