//! From columns to words of the domain.

use std::{str::FromStr, time::Duration};

use beamdesk_types::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Digest, StoreError};

pub(crate) fn time(ms: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(ms).map_err(|_| StoreError::Corrupt { what: "time" })
}

pub(crate) fn parse<T: FromStr>(text: &str, what: &'static str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt { what })
}

pub(crate) fn number<T: TryFrom<i64>>(value: i64, what: &'static str) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| StoreError::Corrupt { what })
}

/// For what is counted in less than 2^63 but typed wider.
pub(crate) fn column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn digest_text(digest: &Digest) -> String {
    hex::encode(digest)
}

pub(crate) fn digest(text: &str) -> Result<Digest, StoreError> {
    let mut digest = Digest::default();
    hex::decode_to_slice(text, &mut digest).map_err(|_| StoreError::Corrupt { what: "digest" })?;
    Ok(digest)
}

/// Bounds what a caller asks for.
pub(crate) fn rows_max(limit: u32) -> i64 {
    i64::from(limit.min(crate::LIST_ROWS_MAX))
}

/// A JSON array of ids: the one kind of list that both databases take as a parameter. Ids hold no
/// character that JSON would escape.
pub(crate) fn id_list<T: std::fmt::Display>(ids: &[T]) -> String {
    let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", quoted.join(","))
}

pub(crate) fn json<T: Serialize + ?Sized>(
    value: &T,
    what: &'static str,
) -> Result<String, StoreError> {
    // Fails only for maps whose keys are no text, of which we have none.
    serde_json::to_string(value).map_err(|_| StoreError::Corrupt { what })
}

pub(crate) fn from_json<T: DeserializeOwned>(
    text: &str,
    what: &'static str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt { what })
}
