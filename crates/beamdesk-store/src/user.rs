//! People's accounts.

use beamdesk_types::{Role, Timestamp, UserId};
use sqlx::FromRow;

use crate::{
    Store, StoreError,
    db::{on, transaction},
    row,
};

#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub role: Role,
    pub disabled: bool,
    /// PHC string of argon2id.
    pub password_hash: String,
    /// `en` or `zh`.
    pub language: String,
    /// `system`, `light` or `dark`.
    pub theme: String,
    pub created: Timestamp,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("role", &self.role)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// What to change; `None` leaves as it is.
#[derive(Clone, Default)]
pub struct UserChange {
    pub role: Option<Role>,
    pub disabled: Option<bool>,
    pub password_hash: Option<String>,
    pub language: Option<String>,
    pub theme: Option<String>,
}

impl std::fmt::Debug for UserChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserChange")
            .field("role", &self.role)
            .field("disabled", &self.disabled)
            .field("password_hash", &self.password_hash.as_ref().map(|_| "***"))
            .field("language", &self.language)
            .field("theme", &self.theme)
            .finish()
    }
}

/// Adds a user through a pool or a transaction.
macro_rules! add_user {
    ($executor:expr, $user:expr) => {{
        let user: &$crate::User = $user;
        sqlx::query(
            "INSERT INTO users (id, name, role, disabled, password_hash, language, theme,
               created_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(user.id.to_string())
        .bind(&user.name)
        .bind(user.role.as_str())
        .bind(user.disabled)
        .bind(&user.password_hash)
        .bind(&user.language)
        .bind(&user.theme)
        .bind(user.created.as_millisecond())
        .execute($executor)
        .await?
    }};
}

/// How many there are that may administer, inside a transaction.
macro_rules! administrators {
    ($tx:ident) => {{
        let count: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM users WHERE role = 'administrator' AND NOT disabled",
        )
        .fetch_one(&mut *$tx)
        .await?;
        count
    }};
}
pub(crate) use {add_user, administrators};

impl Store {
    /// [`StoreError::Taken`] when the name is.
    pub async fn add_user(&self, user: &User) -> Result<(), StoreError> {
        on!(self, pool => {
            add_user!(pool, user);
        });
        Ok(())
    }

    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let row: Option<UserRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM users WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(pool)
                .await
        })?;
        row.map(UserRow::user).transpose()
    }

    pub async fn user_by_name(&self, name: &str) -> Result<Option<User>, StoreError> {
        let row: Option<UserRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM users WHERE name = $1")
                .bind(name)
                .fetch_optional(pool)
                .await
        })?;
        row.map(UserRow::user).transpose()
    }

    /// Oldest first.
    pub async fn users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, StoreError> {
        let rows: Vec<UserRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM users WHERE id > $1 ORDER BY id LIMIT $2")
                .bind(after.map(|id| id.to_string()).unwrap_or_default())
                .bind(row::rows_max(limit))
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(UserRow::user).collect()
    }

    /// The user as it is then; `None` when there is none.
    ///
    /// Ends all the user's sessions when the password or the role changes or the account is
    /// disabled (SR-03, SR-06). [`StoreError::LastAdministrator`] when nobody could administer
    /// afterwards.
    pub async fn update_user(
        &self,
        id: UserId,
        change: UserChange,
        now: Timestamp,
    ) -> Result<Option<User>, StoreError> {
        let row: Option<UserRow> = transaction!(self, tx => {
            // Locks all administrators, so that two who demote each other take turns.
            sqlx::query("UPDATE users SET name = name WHERE role = 'administrator' OR id = $1")
                .bind(id.to_string())
                .execute(&mut *tx)
                .await?;
            let before: Option<UserRow> = sqlx::query_as("SELECT * FROM users WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(&mut *tx)
                .await?;
            let Some(before) = before else { return Ok(None) };
            let before = before.user()?;
            let after = change.applied(&before);
            sqlx::query(
                "UPDATE users SET role = $1, disabled = $2, password_hash = $3, language = $4,
                   theme = $5
                 WHERE id = $6",
            )
            .bind(after.role.as_str())
            .bind(after.disabled)
            .bind(&after.password_hash)
            .bind(&after.language)
            .bind(&after.theme)
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
            let may_administer = |user: &User| user.role == Role::Administrator && !user.disabled;
            if may_administer(&before) && !may_administer(&after) && administrators!(tx) == 0 {
                return Err(StoreError::LastAdministrator);
            }
            if ends_sessions(&before, &after) {
                sqlx::query(
                    "UPDATE sessions SET ended_ms = $1 WHERE user_id = $2 AND ended_ms IS NULL",
                )
                .bind(now.as_millisecond())
                .bind(id.to_string())
                .execute(&mut *tx)
                .await?;
            }
            sqlx::query_as("SELECT * FROM users WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(&mut *tx)
                .await?
        });
        row.map(UserRow::user).transpose()
    }

    /// Administrators that are not disabled.
    pub async fn administrators_count(&self) -> Result<u64, StoreError> {
        let count: i64 = on!(self, pool => sqlx::query_scalar(
            "SELECT COUNT(*) FROM users WHERE role = 'administrator' AND NOT disabled",
        )
        .fetch_one(pool)
        .await)?;
        row::number(count, "count")
    }
}

impl UserChange {
    fn applied(&self, user: &User) -> User {
        let mut after = user.clone();
        if let Some(role) = self.role {
            after.role = role;
        }
        if let Some(disabled) = self.disabled {
            after.disabled = disabled;
        }
        if let Some(hash) = &self.password_hash {
            after.password_hash.clone_from(hash);
        }
        if let Some(language) = &self.language {
            after.language.clone_from(language);
        }
        if let Some(theme) = &self.theme {
            after.theme.clone_from(theme);
        }
        after
    }
}

fn ends_sessions(before: &User, after: &User) -> bool {
    before.role != after.role
        || before.password_hash != after.password_hash
        || (after.disabled && !before.disabled)
}

#[derive(FromRow)]
pub(crate) struct UserRow {
    id: String,
    name: String,
    role: String,
    disabled: bool,
    password_hash: String,
    language: String,
    theme: String,
    created_ms: i64,
}

impl UserRow {
    pub(crate) fn user(self) -> Result<User, StoreError> {
        Ok(User {
            id: row::parse(&self.id, "user id")?,
            name: self.name,
            role: Role::parse(&self.role).ok_or(StoreError::Corrupt { what: "role" })?,
            disabled: self.disabled,
            password_hash: self.password_hash,
            language: self.language,
            theme: self.theme,
            created: row::time(self.created_ms)?,
        })
    }
}
