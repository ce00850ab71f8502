//! Logging in with name and password.

use std::net::IpAddr;

use beamdesk_types::Role;
use secrecy::SecretString;

use crate::{Auth, LocalLogin, Login, LoginError, backoff::Place, locked, password::is_user_name};

impl Auth {
    /// Takes as long for an unknown name as for a known one (SR-38). An attempt that was begun
    /// counts, also when the caller goes away.
    pub async fn login(
        &self,
        name: &str,
        password: SecretString,
        address: IpAddr,
    ) -> Result<Login, LoginError> {
        let name = name.trim().to_lowercase();
        // Nobody has such a name, and the table of attempts need not hold it.
        if !is_user_name(&name) {
            return Err(LoginError::Wrong);
        }
        let place = Place::of(address);
        locked(&self.inner.backoff)
            .begin(&name, place, self.now())
            .map_err(|retry_after| LoginError::TooMany { retry_after })?;

        let user = self.store().user_by_name(&name).await?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let is_right = self.verify_password(password, hash).await?;
        let known = user.as_ref().map(|user| user.id);
        let Some(user) = user.filter(|_| is_right) else {
            let detail = format!("from {address}");
            match known {
                Some(id) => self.note(&name, "login_refused", format!("user:{id}"), detail).await?,
                // The name is not written down: it may be a password in the wrong field.
                None => {
                    self.note("unknown", "login_refused", "user:unknown".to_owned(), detail)
                        .await?;
                }
            }
            return Err(LoginError::Wrong);
        };
        locked(&self.inner.backoff).succeeded(&name, place);
        if user.disabled {
            self.note(&name, "login_refused", format!("user:{}", user.id), "disabled".to_owned())
                .await?;
            return Err(LoginError::Disabled);
        }
        if self.login_ways().local == LocalLogin::Administrators && user.role != Role::Administrator
        {
            self.note(
                &name,
                "login_refused",
                format!("user:{}", user.id),
                "by password".to_owned(),
            )
            .await?;
            return Err(LoginError::NotLocal);
        }
        let login = self.begin_session(&user, &format!("from {address}")).await?;
        Ok(login)
    }
}
