//! Bearer values: 256 random bits, stored only as digests (SR-05).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use beamdesk_store::Digest;
use beamdesk_types::Secret;
use sha2::{Digest as _, Sha256};

use crate::AuthError;

/// Longer than anything we give out; nothing longer is even hashed.
pub(crate) const TEXT_BYTES_MAX: usize = 256;

/// A value for the browser's bind cookie. It has no authority of its own.
pub fn new_bind() -> Result<Secret, AuthError> {
    fresh()
}

pub(crate) fn fresh() -> Result<Secret, AuthError> {
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(random::<32>()?)))
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], AuthError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| AuthError::Randomness)?;
    Ok(bytes)
}

/// What is stored of a value. The text is hashed as it came, so that each has one spelling.
pub(crate) fn digest(text: &str) -> Digest {
    Sha256::digest(text.as_bytes()).into()
}
