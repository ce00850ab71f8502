//! What a provider says of a person: in the ID token and, where that lacks what we need, if asked.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use beamdesk_types::Secret;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::{ProofError, TokenFault, person, provider::Provider, token::IdToken};

/// Everything that is said of who has this token.
pub(super) async fn claims(
    provider: &Provider,
    token: &IdToken,
    access: Option<Secret>,
) -> Result<Map<String, Value>, ProofError> {
    let config = &provider.config;
    let mut claims = token.rest.clone();
    let has = |path: &str| person::find(&claims, path).is_some();
    let needs_groups = !config.roles.is_empty() || !config.stations.is_empty();
    if has(&config.name_claim) && (!needs_groups || has(&config.groups_claim)) {
        return Ok(claims);
    }
    let Some(access) = access else { return Ok(claims) };
    if token.at_hash.as_ref().is_some_and(|hash| *hash != at_hash(&access, token.algorithm)) {
        return Err(TokenFault::Claim("at_hash").into());
    }
    let Some(said) = provider.user_info(&access).await? else { return Ok(claims) };
    // OpenID Connect Core 1.0, 5.3.2: else it may be somebody else's.
    if said.get("sub").and_then(Value::as_str) != Some(&token.subject) {
        return Err(TokenFault::Claim("sub").into());
    }
    for (name, value) in said {
        claims.entry(name).or_insert(value);
    }
    Ok(claims)
}

/// OpenID Connect Core 1.0, 3.1.3.6: the left half of the hash of the token's own algorithm.
fn at_hash(access: &Secret, algorithm: Algorithm) -> String {
    let bytes = access.expose().as_bytes();
    match algorithm {
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => half(&Sha384::digest(bytes)),
        // Ed25519 hashes by SHA-512.
        Algorithm::RS512 | Algorithm::PS512 | Algorithm::EdDSA => half(&Sha512::digest(bytes)),
        _ => half(&Sha256::digest(bytes)), // the enum is not ours and may grow
    }
}

fn half(hash: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(hash.get(..hash.len() / 2).unwrap_or(hash))
}
