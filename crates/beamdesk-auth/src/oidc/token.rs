//! Judges ID tokens and logout tokens. Plain functions: the time is a parameter, the keys are given.
//!
//! The signature is checked by `jsonwebtoken` with an algorithm that we chose; what the claims must
//! say is checked here, by OpenID Connect Core 1.0, 3.1.3.7, and Back-Channel Logout 1.0, 2.6.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use beamdesk_types::Timestamp;
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::keys::Keys;
use crate::later;

/// Some hundred groups fit; a browser never carries it.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// How far the clocks of provider and portal may be apart.
const SKEW: Duration = Duration::from_secs(60);
/// A token comes straight from where it is made.
const AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// OpenID Connect Core 1.0, 2: a subject has at most 255 ASCII characters.
const SUBJECT_CHARS_MAX: usize = 255;
/// Far more than any provider's name of a session or token.
const ID_BYTES_MAX: usize = 512;
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Why a token proves nothing. Never says what stood in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("it is no signed token")]
    Form,
    #[error("its header has {0}, which is not taken")]
    Header(&'static str),
    #[error("its algorithm is not among those that are taken")]
    Algorithm,
    #[error("the provider publishes no key that fits it")]
    Key,
    #[error("its signature is wrong")]
    Signature,
    #[error("its claims are not understood")]
    Claims,
    #[error("its claim {0} is not as it must be")]
    Claim(&'static str),
    #[error("its claim {claim} is {seconds} s off; do the clocks of provider and portal agree?")]
    Time { claim: &'static str, seconds: i64 },
    #[error("it was used before")]
    Used,
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) algorithms: &'a [Algorithm],
}

/// Who logged in, by a token that was believed.
#[derive(Debug, Clone)]
pub(crate) struct IdToken {
    pub(crate) subject: String,
    pub(crate) sid: Option<String>,
    pub(crate) algorithm: Algorithm,
    /// Binds the access token that came along, where the provider says so.
    pub(crate) at_hash: Option<String>,
    /// Everything else that it says.
    pub(crate) rest: Map<String, Value>,
}

/// Whose sessions end, by a token that was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogoutToken {
    pub(crate) id: String,
    pub(crate) subject: Option<String>,
    pub(crate) sid: Option<String>,
    /// After this it is too old to be believed again.
    pub(crate) over: Timestamp,
}

pub(crate) fn id_token(
    text: &str,
    keys: &Keys,
    expected: &Expected<'_>,
    nonce: &str,
    now: Timestamp,
) -> Result<IdToken, TokenFault> {
    let (algorithm, claims): (_, IdClaims) = signed(text, keys, expected, &["jwt"])?;
    check(&claims.issuer, &claims.audience, claims.party.as_deref(), expected)?;
    check_end(claims.expires.0, now)?;
    check_issued(claims.issued.0, now)?;
    if let Some(Seconds(from)) = claims.not_before {
        not_later("nbf", from, now)?;
    }
    if claims.nonce.as_deref() != Some(nonce) {
        return Err(TokenFault::Claim("nonce"));
    }
    if claims.events.is_some() {
        return Err(TokenFault::Claim("events"));
    }
    check_subject(&claims.subject)?;
    check_id("sid", claims.sid.as_deref())?;
    Ok(IdToken {
        subject: claims.subject,
        sid: claims.sid,
        algorithm,
        at_hash: claims.at_hash,
        rest: claims.rest,
    })
}

pub(crate) fn logout_token(
    text: &str,
    keys: &Keys,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<LogoutToken, TokenFault> {
    let (_, claims): (_, LogoutClaims) = signed(text, keys, expected, &["jwt", "logout+jwt"])?;
    check(&claims.issuer, &claims.audience, None, expected)?;
    check_issued(claims.issued.0, now)?;
    if let Some(Seconds(end)) = claims.expires {
        check_end(end, now)?;
    }
    if claims.nonce.is_some() {
        return Err(TokenFault::Claim("nonce"));
    }
    if !claims.events.get(LOGOUT_EVENT).is_some_and(Value::is_object) {
        return Err(TokenFault::Claim("events"));
    }
    if claims.subject.is_none() && claims.sid.is_none() {
        return Err(TokenFault::Claim("sub"));
    }
    if let Some(subject) = &claims.subject {
        check_subject(subject)?;
    }
    check_id("sid", claims.sid.as_deref())?;
    if claims.id.is_empty() || claims.id.len() > ID_BYTES_MAX {
        return Err(TokenFault::Claim("jti"));
    }
    let over = later(now, AGE_MAX + SKEW + SKEW);
    Ok(LogoutToken { id: claims.id, subject: claims.subject, sid: claims.sid, over })
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<Value>,
    jku: Option<Value>,
    jwk: Option<Value>,
    x5u: Option<Value>,
    x5c: Option<Value>,
    b64: Option<Value>,
}

#[derive(Deserialize)]
struct IdClaims {
    #[serde(rename = "iss")]
    issuer: String,
    #[serde(rename = "sub")]
    subject: String,
    #[serde(rename = "aud")]
    audience: Audience,
    #[serde(rename = "azp")]
    party: Option<String>,
    #[serde(rename = "exp")]
    expires: Seconds,
    #[serde(rename = "iat")]
    issued: Seconds,
    #[serde(rename = "nbf")]
    not_before: Option<Seconds>,
    nonce: Option<String>,
    sid: Option<String>,
    at_hash: Option<String>,
    events: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct LogoutClaims {
    #[serde(rename = "iss")]
    issuer: String,
    #[serde(rename = "sub")]
    subject: Option<String>,
    #[serde(rename = "aud")]
    audience: Audience,
    #[serde(rename = "iat")]
    issued: Seconds,
    #[serde(rename = "exp")]
    expires: Option<Seconds>,
    #[serde(rename = "jti")]
    id: String,
    sid: Option<String>,
    nonce: Option<Value>,
    events: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Seconds since 1970 (RFC 7519, 2: they may have fractions).
#[derive(Debug, Clone, Copy)]
struct Seconds(i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        let fraction = || Duration::try_from_secs_f64(number.as_f64()?).ok();
        number
            .as_i64()
            .or_else(|| i64::try_from(fraction()?.as_secs()).ok())
            .filter(|seconds| Timestamp::from_second(*seconds).is_ok())
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("no time"))
    }
}

/// The claims, once one of the provider's keys is found to have signed them.
fn signed<T: DeserializeOwned>(
    text: &str,
    keys: &Keys,
    expected: &Expected<'_>,
    types: &[&str],
) -> Result<(Algorithm, T), TokenFault> {
    let is_token = text.len() <= TOKEN_BYTES_MAX && text.split('.').count() == 3;
    let header = text.split('.').next().filter(|_| is_token).ok_or(TokenFault::Form)?;
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenFault::Form)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| TokenFault::Form)?;
    for (name, value) in [
        ("crit", &header.crit),
        ("b64", &header.b64),
        // A token that brings its own key would prove that somebody has a key.
        ("jku", &header.jku),
        ("jwk", &header.jwk),
        ("x5u", &header.x5u),
        ("x5c", &header.x5c),
    ] {
        if value.is_some() {
            return Err(TokenFault::Header(name));
        }
    }
    if let Some(kind) = header.typ
        && !types.contains(&kind.to_ascii_lowercase().as_str())
    {
        return Err(TokenFault::Header("another typ"));
    }
    let algorithm: Algorithm = header.alg.parse().map_err(|_| TokenFault::Algorithm)?;
    if !expected.algorithms.contains(&algorithm) {
        return Err(TokenFault::Algorithm);
    }
    let candidates = keys.of(header.kid.as_deref(), algorithm);
    if candidates.is_empty() {
        return Err(TokenFault::Key);
    }
    let mut validation = Validation::new(algorithm);
    // By the clock and the rules of this file instead.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let mut fault = TokenFault::Signature;
    for key in candidates {
        match jsonwebtoken::decode::<T>(text, key, &validation) {
            Ok(token) => return Ok((algorithm, token.claims)),
            Err(error) if matches!(error.kind(), jsonwebtoken::errors::ErrorKind::Json(_)) => {
                fault = TokenFault::Claims;
            }
            Err(_) => {}
        }
    }
    Err(fault)
}

fn check(
    issuer: &str,
    audience: &Audience,
    party: Option<&str>,
    expected: &Expected<'_>,
) -> Result<(), TokenFault> {
    if issuer != expected.issuer {
        return Err(TokenFault::Claim("iss"));
    }
    let (is_for_us, is_for_others) = match audience {
        Audience::One(one) => (one == expected.client_id, false),
        Audience::Many(many) => (
            many.iter().any(|one| one == expected.client_id),
            many.iter().any(|one| one != expected.client_id),
        ),
    };
    if !is_for_us {
        return Err(TokenFault::Claim("aud"));
    }
    match party {
        Some(party) if party != expected.client_id => Err(TokenFault::Claim("azp")),
        // Made for several, it must say that it was made by our asking.
        None if is_for_others => Err(TokenFault::Claim("azp")),
        Some(_) | None => Ok(()),
    }
}

fn check_end(end: i64, now: Timestamp) -> Result<(), TokenFault> {
    let over = now.as_second().saturating_sub(end);
    if over >= seconds(SKEW) {
        return Err(TokenFault::Time { claim: "exp", seconds: over });
    }
    Ok(())
}

fn check_issued(issued: i64, now: Timestamp) -> Result<(), TokenFault> {
    let age = now.as_second().saturating_sub(issued);
    if age > seconds(AGE_MAX) {
        return Err(TokenFault::Time { claim: "iat", seconds: age });
    }
    not_later("iat", issued, now)
}

fn not_later(claim: &'static str, time: i64, now: Timestamp) -> Result<(), TokenFault> {
    let ahead = time.saturating_sub(now.as_second());
    if ahead > seconds(SKEW) {
        return Err(TokenFault::Time { claim, seconds: ahead });
    }
    Ok(())
}

fn check_subject(subject: &str) -> Result<(), TokenFault> {
    let is_good = !subject.is_empty()
        && subject.len() <= SUBJECT_CHARS_MAX
        && subject.bytes().all(|c| c.is_ascii() && !c.is_ascii_control());
    if is_good { Ok(()) } else { Err(TokenFault::Claim("sub")) }
}

fn check_id(claim: &'static str, id: Option<&str>) -> Result<(), TokenFault> {
    let is_good = id.is_none_or(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX);
    if is_good { Ok(()) } else { Err(TokenFault::Claim(claim)) }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
