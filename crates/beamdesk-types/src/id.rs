//! Typed ids: a desktop's id is not a user's id, by type.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id")]
pub struct IdError {
    kind: &'static str,
}

impl IdError {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "schema", schema(value_type = String, format = "uuid"))]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// A fresh UUID v7: sorted by the time it was made.
            pub fn fresh() -> Self {
                Self(uuid::Uuid::now_v7())
            }

            pub const fn from_u128(value: u128) -> Self {
                Self(uuid::Uuid::from_u128(value))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                // Only the canonical form, so that one id has one spelling.
                match uuid::Uuid::try_parse(text) {
                    Ok(id) if id.hyphenated().to_string() == text => Ok(Self(id)),
                    _ => Err(IdError { kind: $kind }),
                }
            }
        }
    };
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 64 characters of `a-z 0-9 . - _`, the first a letter or digit.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_name(text) { Ok(Self(text.to_owned())) } else { Err(IdError { kind: $kind }) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

uuid_id!(
    /// One desktop, from its request to its deletion.
    DesktopId, "desktop"
);
uuid_id!(
    /// One person's account.
    UserId, "user"
);
uuid_id!(
    /// One login of one person at the portal.
    SessionId, "session"
);
uuid_id!(
    /// One viewer's stream of one desktop, over all its reconnects.
    StreamId, "stream"
);
uuid_id!(
    /// One recording of a stream, from attach to end.
    RecordingId, "recording"
);
uuid_id!(
    /// Room held for a station from one time to another.
    ReservationId, "reservation"
);
name_id!(
    /// A station (beamline) that desktops serve.
    StationId, "station"
);
name_id!(
    /// A gateway, as its certificate names it.
    GatewayName, "gateway"
);
name_id!(
    /// A host that runs desktops.
    NodeName, "node"
);
name_id!(
    /// An operating-system image a desktop starts from.
    ImageId, "image"
);
name_id!(
    /// A size (OpenStack: flavor) a desktop may have.
    SizeId, "size"
);

impl NodeName {
    /// The node that a host of this name is; `this-machine` where the name is none for a node.
    pub fn of_host(hostname: &str) -> Self {
        let name = hostname.trim().to_ascii_lowercase();
        name.parse().unwrap_or_else(|_| Self("this-machine".to_owned()))
    }
}

const NAME_CHARS_MAX: usize = 64;

fn is_name(text: &str) -> bool {
    let ok = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= NAME_CHARS_MAX
        && bytes.first().is_some_and(|&c| ok(c))
        && bytes.iter().all(|&c| ok(c) || matches!(c, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::{DesktopId, ImageId};

    #[test]
    fn an_id_has_one_spelling() {
        let id = DesktopId::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        assert_eq!(id.to_string().parse::<DesktopId>().unwrap(), id);
        for other in [format!("{{{id}}}"), id.to_string().replace('-', "")] {
            assert_eq!(other.parse::<DesktopId>().ok(), None, "{other}");
        }
    }

    #[test]
    fn names_are_short_and_plain() {
        assert_eq!("debian-12.x_y".parse::<ImageId>().unwrap().as_str(), "debian-12.x_y");
        for bad in ["", "-a", "A", "a/b", "a b", &"a".repeat(65), "ä"] {
            assert_eq!(bad.parse::<ImageId>().ok(), None, "{bad:?}");
        }
    }
}
