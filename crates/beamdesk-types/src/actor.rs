//! Who is asking.

use serde::{Deserialize, Serialize};

use crate::{SessionId, UserId};

/// What a person may do. Each role may do all that the one before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Has desktops of one's own.
    User,
    /// Sees and looks after everybody's desktops.
    Operator,
    /// Manages users, sizes and images too.
    Administrator,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::Operator, Self::Administrator].into_iter().find(|r| r.as_str() == text)
    }
}

/// A logged-in person in one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub user: UserId,
    pub session: SessionId,
    pub name: String,
    pub role: Role,
}
