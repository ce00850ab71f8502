//! The first visit: a one-time link makes the first administrator.

use std::{net::IpAddr, time::Duration};

use beamdesk_store::{StoreError, User};
use beamdesk_types::{Role, Secret, UserId};
use secrecy::SecretString;

use crate::{
    Auth, AuthError, Login, SetupError, later,
    password::{check, is_user_name},
    secret::{TEXT_BYTES_MAX, digest, fresh},
};

/// Long enough for a link that was printed the evening before.
const SETUP_TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);

impl Auth {
    /// Whether there is no administrator yet.
    pub async fn is_setup_needed(&self) -> Result<bool, AuthError> {
        Ok(self.store().administrators_count().await? == 0)
    }

    /// A fresh token for the set-up link, good for 24 hours and one use; earlier ones die. `None`
    /// when there is an administrator.
    pub async fn setup_link_token(&self) -> Result<Option<Secret>, AuthError> {
        let token = fresh()?;
        let expires = later(self.now(), SETUP_TOKEN_TTL);
        let is_needed = self.store().put_setup_token(&digest(token.expose()), expires).await?;
        Ok(is_needed.then_some(token))
    }

    /// Turns the token into the first administrator, logged in. Nothing uses the token up but
    /// success.
    pub async fn complete_setup(
        &self,
        token: &str,
        name: &str,
        password: SecretString,
        address: IpAddr,
    ) -> Result<Login, SetupError> {
        let now = self.now();
        // Before anything costly; 256 bits need no back-off.
        if token.len() > TEXT_BYTES_MAX || !self.store().is_setup_token(&digest(token), now).await?
        {
            return Err(SetupError::Refused);
        }
        let name = name.trim().to_lowercase();
        if !is_user_name(&name) {
            return Err(SetupError::Name);
        }
        check(&password)?;
        let user = User {
            id: UserId::fresh(),
            name,
            role: Role::Administrator,
            disabled: false,
            password_hash: self.hash(password).await?,
            language: "en".to_owned(),
            theme: "system".to_owned(),
            created: now,
        };
        let is_done =
            self.store().complete_setup(&digest(token), now, &user).await.map_err(|error| {
                match error {
                    StoreError::Taken => SetupError::Name,
                    other => other.into(),
                }
            })?;
        if !is_done {
            return Err(SetupError::Refused);
        }
        let login = self.begin_session(&user, &format!("set up from {address}")).await?;
        Ok(login)
    }
}
