//! The first visit: a one-time token turns into the first administrator.

use beamdesk_types::Timestamp;

use crate::{
    Digest, Store, StoreError, User,
    db::transaction,
    row,
    user::{add_user, administrators},
};

/// Name of the setting that holds `<digest>:<expiry in ms>`.
const SETUP_TOKEN_KEY: &str = "setup_token";

impl Store {
    /// Lets this token, and no earlier one, make the first administrator. False: there is one.
    pub async fn put_setup_token(
        &self,
        token_hash: &Digest,
        expires: Timestamp,
    ) -> Result<bool, StoreError> {
        let value = format!("{}:{}", row::digest_text(token_hash), expires.as_millisecond());
        let is_needed = transaction!(self, tx => {
            let is_needed = administrators!(tx) == 0;
            if is_needed {
                sqlx::query(
                    "INSERT INTO settings (key, value) VALUES ($1, $2)
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                )
                .bind(SETUP_TOKEN_KEY)
                .bind(&value)
                .execute(&mut *tx)
                .await?;
            }
            is_needed
        });
        Ok(is_needed)
    }

    /// Whether this token would be taken now. It is not used up.
    pub async fn is_setup_token(
        &self,
        token_hash: &Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let value = self.setting(SETUP_TOKEN_KEY).await?;
        Ok(value.is_some_and(|value| is_good(&value, token_hash, now)))
    }

    /// Uses the token up and adds the administrator, both or neither. False: the token is wrong,
    /// expired or used, or there is an administrator already.
    pub async fn complete_setup(
        &self,
        token_hash: &Digest,
        now: Timestamp,
        administrator: &User,
    ) -> Result<bool, StoreError> {
        transaction!(self, tx => {
            // Taking the row out first makes the second of two at once find nothing.
            let value: Option<String> =
                sqlx::query_scalar("DELETE FROM settings WHERE key = $1 RETURNING value")
                    .bind(SETUP_TOKEN_KEY)
                    .fetch_optional(&mut *tx)
                    .await?;
            let is_good = value.is_some_and(|value| is_good(&value, token_hash, now));
            // Returning rolls back: a wrong guess must not use up the right token.
            if !is_good || administrators!(tx) > 0 {
                return Ok(false);
            }
            add_user!(&mut *tx, administrator);
        });
        Ok(true)
    }
}

fn is_good(value: &str, token_hash: &Digest, now: Timestamp) -> bool {
    let Some((digest, expires)) = value.split_once(':') else { return false };
    let is_alive = expires.parse::<i64>().is_ok_and(|expires| now.as_millisecond() < expires);
    // Both are digests, so the time of the comparison tells nothing of the token.
    is_alive && digest == row::digest_text(token_hash)
}
