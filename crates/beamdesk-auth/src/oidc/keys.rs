//! The keys that a provider signs with, as it publishes them (RFC 7517).

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// A provider has a handful: the present ones, the next, and those that just went.
const KEYS_MAX: usize = 64;

/// What can verify a signature.
#[derive(Clone, Default)]
pub(crate) struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: Option<String>,
    kind: Kind,
    /// The one algorithm it says it is for.
    only: Option<String>,
    key: DecodingKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Row {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| (&key.id, key.kind))).finish()
    }
}

impl Keys {
    /// Those of the set that we can use; others are for others. `None`: it is no set.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let published: Published = serde_json::from_slice(body).ok()?;
        let rows = published.keys.into_iter().take(KEYS_MAX);
        Some(Self(rows.filter_map(|row| key(serde_json::from_value(row).ok()?)).collect()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What may have signed a token whose header says this. Without an id each key of the kind may.
    pub(crate) fn of(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&DecodingKey> {
        let fits = |key: &&Key| {
            (id.is_none() || key.id.as_deref() == id)
                && key.kind.signs(algorithm)
                && key.only.as_ref().is_none_or(|only| only.parse() == Ok(algorithm))
        };
        self.0.iter().filter(fits).map(|key| &key.key).collect()
    }
}

impl Kind {
    fn signs(self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa => matches!(
                algorithm,
                Algorithm::RS256
                    | Algorithm::RS384
                    | Algorithm::RS512
                    | Algorithm::PS256
                    | Algorithm::PS384
                    | Algorithm::PS512
            ),
            Self::P256 => algorithm == Algorithm::ES256,
            Self::P384 => algorithm == Algorithm::ES384,
            Self::Ed25519 => algorithm == Algorithm::EdDSA,
        }
    }
}

fn key(row: Row) -> Option<Key> {
    let is_for_signing = row.usage.as_deref().is_none_or(|usage| usage == "sig")
        && row.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !is_for_signing {
        return None;
    }
    let (kind, key) = match (row.kty.as_str(), row.crv.as_deref()) {
        ("RSA", _) => {
            (Kind::Rsa, DecodingKey::from_rsa_components(row.n.as_deref()?, row.e.as_deref()?))
        }
        ("EC", Some("P-256")) => {
            (Kind::P256, DecodingKey::from_ec_components(row.x.as_deref()?, row.y.as_deref()?))
        }
        ("EC", Some("P-384")) => {
            (Kind::P384, DecodingKey::from_ec_components(row.x.as_deref()?, row.y.as_deref()?))
        }
        ("OKP", Some("Ed25519")) => {
            (Kind::Ed25519, DecodingKey::from_ed_components(row.x.as_deref()?))
        }
        // A secret that is published is none; other kinds sign by nothing that we take.
        _ => return None,
    };
    Some(Key { id: row.kid, kind, only: row.alg, key: key.ok()? })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;

    use super::Keys;

    #[test]
    fn only_public_keys_for_signing_are_taken() {
        let set = br#"{"keys":[
            {"kty":"RSA","kid":"a","use":"sig","n":"AQAB","e":"AQAB"},
            {"kty":"RSA","kid":"b","use":"enc","n":"AQAB","e":"AQAB"},
            {"kty":"RSA","kid":"c","alg":"RS512","n":"AQAB","e":"AQAB"},
            {"kty":"RSA","kid":"d","key_ops":["encrypt"],"n":"AQAB","e":"AQAB"},
            {"kty":"oct","kid":"e","k":"AQAB"},
            {"kty":"EC","kid":"f","crv":"P-256","x":"AQAB","y":"AQAB"},
            {"kty":"EC","kid":"g","crv":"secp256k1","x":"AQAB","y":"AQAB"},
            {"kty":"RSA","kid":"h"}, {"kid":1}, 7, null
        ]}"#;
        let keys = Keys::read(set).unwrap();
        let count = |id, algorithm| keys.of(id, algorithm).len();
        assert_eq!(count(Some("a"), Algorithm::RS256), 1);
        assert_eq!(count(Some("a"), Algorithm::ES256), 0);
        assert_eq!(count(Some("a"), Algorithm::HS256), 0);
        assert_eq!(count(Some("c"), Algorithm::RS256), 0);
        assert_eq!(count(Some("c"), Algorithm::RS512), 1);
        assert_eq!(count(Some("f"), Algorithm::ES256), 1);
        for id in ["b", "d", "e", "g", "h", "unknown"] {
            assert_eq!(count(Some(id), Algorithm::RS256), 0, "{id}");
        }
        assert_eq!(count(None, Algorithm::RS256), 1);
        assert!(Keys::read(br#"{"keys":[]}"#).unwrap().is_empty());
        for odd in ["", "[]", "{}", r#"{"keys":{}}"#, "\u{feff}{}"] {
            assert!(Keys::read(odd.as_bytes()).is_none(), "{odd}");
        }
    }
}
