//! A text that must not be printed, logged or shown.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A bearer value on its way between two processes.
///
/// `Debug` prints `***` and there is no `Display`. It serialises in full, because the bodies of
/// `/internal/v1` and an agent's configuration carry it; never put it into a log field.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = String))]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
