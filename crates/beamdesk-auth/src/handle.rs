//! Resume handles: `<stream>.<counter>.<hmac>`, one for each coming back.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use beamdesk_types::{Secret, StreamId};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::{HandleKey, secret::TEXT_BYTES_MAX};

type HmacSha256 = Hmac<Sha256>;

/// The handle of a stream with this counter.
pub(crate) fn sign(key: &HandleKey, stream: StreamId, counter: u64) -> Secret {
    let signature = mac(key, stream, counter).finalize().into_bytes();
    Secret::new(format!("{stream}.{counter}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The stream and counter of a handle that this key signed.
pub(crate) fn verify(key: &HandleKey, handle: &str) -> Option<(StreamId, u64)> {
    if handle.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut parts = handle.split('.');
    let (stream, counter, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let stream: StreamId = stream.parse().ok()?;
    let number: u64 = counter.parse().ok()?;
    // One spelling: no `+1`, no `01`.
    if number.to_string() != counter {
        return None;
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    mac(key, stream, number).verify_slice(&signature).ok()?; // in constant time
    Some((stream, number))
}

fn mac(key: &HandleKey, stream: StreamId, counter: u64) -> HmacSha256 {
    let mut mac = HmacSha256::new_from_slice(key.bytes()).expect("HMAC takes keys of every length");
    mac.update(format!("{stream}|{counter}").as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use beamdesk_types::StreamId;

    use super::{sign, verify};
    use crate::HandleKey;

    #[test]
    fn only_the_very_handle_verifies() {
        let key = HandleKey::fresh().unwrap();
        let stream = StreamId::fresh();
        let handle = sign(&key, stream, 7).expose().to_owned();
        assert_eq!(verify(&key, &handle), Some((stream, 7)));
        assert_eq!(verify(&HandleKey::fresh().unwrap(), &handle), None);

        // Every change of one character.
        for (at, old) in handle.char_indices() {
            for new in ['0', '8', 'a', 'Q', '.', '+', '='] {
                let mut changed = handle.clone();
                changed.replace_range(at..at + 1, &new.to_string());
                if new != old {
                    assert_eq!(verify(&key, &changed), None, "{changed}");
                }
            }
        }
        let signature = handle.rsplit('.').next().unwrap();
        for bad in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            format!("{handle}."),
            format!("{handle}.x"),
            format!("{stream}.07.{signature}"),
            format!("{stream}.+7.{signature}"),
            format!("{stream}.-7.{signature}"),
            format!("{stream}.99999999999999999999.{signature}"),
            format!("{stream}.7."),
            format!("{handle}{}", "A".repeat(300)),
        ] {
            assert_eq!(verify(&key, &bad), None, "{bad}");
        }
    }
}
