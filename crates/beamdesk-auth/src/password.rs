//! Passwords: the rule, and argon2id on blocking threads.

use std::time::Duration;

use argon2::{
    Argon2,
    password_hash::{self, PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use beamdesk_store::UserChange;
use beamdesk_types::Actor;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Auth, AuthError, Inner, Login, LoginError, PasswordError, SetupError, backoff::Place, locked,
    secret::random,
};

/// ASVS 5.0, 6.2.1 asks for at least 8; the account of a facility is worth a little more.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Bounds the work of hashing.
pub const PASSWORD_CHARS_MAX: usize = 256;

/// Hashes computed at once: each takes 19 MiB and a core for some 20 ms.
pub(crate) const HASHING_MAX: usize = 2;
/// Callers that may wait for a hash: the last of them waits about a second.
pub(crate) const WAITING_MAX: usize = 64;
const WAITING_RETRY: Duration = Duration::from_secs(2);

const USER_NAME_CHARS_MAX: usize = 32; // also a Unix user name inside the desktop

/// A hash no password has, with the parameters of [`Argon2::default`], so that an unknown name
/// takes as long as a known one. Also of accounts that only a provider vouches for.
pub(crate) const NOBODYS_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                            $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What is wrong with a new password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    #[error("a password has at least {PASSWORD_CHARS_MIN} characters")]
    TooShort,
    #[error("a password has at most {PASSWORD_CHARS_MAX} characters")]
    TooLong,
}

/// Whether an account may have this name: 1 to 32 characters `a-z 0-9 . - _`, the first a letter.
pub fn is_user_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= USER_NAME_CHARS_MAX
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.iter().all(|&c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'_')
        })
}

pub(crate) fn check(password: &SecretString) -> Result<(), PasswordFault> {
    match password.expose_secret().chars().count() {
        ..PASSWORD_CHARS_MIN => Err(PasswordFault::TooShort),
        PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX => Ok(()),
        _ => Err(PasswordFault::TooLong),
    }
}

impl Auth {
    /// Checks the rule and hashes, for an administrator who sets somebody's password.
    pub async fn hash_password(&self, password: SecretString) -> Result<String, PasswordError> {
        check(&password)?;
        Ok(self.hash(password).await?)
    }

    /// Ends all sessions of the user, this one too, and begins a new one (SR-03).
    pub async fn change_password(
        &self,
        actor: &Actor,
        old: SecretString,
        new: SecretString,
    ) -> Result<Login, PasswordError> {
        check(&new)?;
        locked(&self.inner.backoff)
            .begin(&actor.name, Place::Session, self.now())
            .map_err(|retry_after| PasswordError::TooMany { retry_after })?;
        let user = self.store().user(actor.user).await?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        if !self.verify_password(old, hash).await? {
            return Err(PasswordError::Wrong);
        }
        locked(&self.inner.backoff).succeeded(&actor.name, Place::Session);
        let change =
            UserChange { password_hash: Some(self.hash(new).await?), ..UserChange::default() };
        let user = self.store().update_user(actor.user, change, self.now()).await?;
        let user = user.filter(|user| !user.disabled).ok_or(PasswordError::Wrong)?;
        let login = self.begin_session(&user, "password changed").await?;
        Ok(login)
    }

    /// Whether this is the password of that hash. `None` takes as long and is never right.
    pub(crate) async fn verify_password(
        &self,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<bool, HashingError> {
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODYS_HASH.to_owned());
        let is_right = self
            .on_blocking_thread(move || {
                if check(&password) == Err(PasswordFault::TooLong) {
                    return Ok(false);
                }
                let hash = PasswordHash::new(&hash)?;
                let bytes = password.expose_secret().as_bytes();
                match Argon2::default().verify_password(bytes, &hash) {
                    Ok(()) => Ok(true),
                    Err(password_hash::Error::Password) => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .await?;
        Ok(is_right && is_known)
    }

    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, HashingError> {
        let salt = random::<16>().map_err(HashingError::Auth)?;
        self.on_blocking_thread(move || {
            let salt = SaltString::encode_b64(&salt)?;
            let bytes = password.expose_secret().as_bytes();
            Ok(Argon2::default().hash_password(bytes, &salt)?.to_string())
        })
        .await
    }

    async fn on_blocking_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, password_hash::Error> + Send + 'static,
    ) -> Result<T, HashingError> {
        let Inner { waiting, hashing, .. } = &*self.inner;
        let _place = waiting.try_acquire().map_err(|_| HashingError::TooMany)?;
        let _turn = hashing.acquire().await.map_err(|_| failed("closed"))?;
        let done = tokio::task::spawn_blocking(work).await.map_err(failed)?;
        done.map_err(failed)
    }
}

/// Why a hash was not computed.
#[derive(Debug)]
pub(crate) enum HashingError {
    TooMany,
    Auth(AuthError),
}

fn failed(reason: impl std::fmt::Display) -> HashingError {
    HashingError::Auth(AuthError::Hash { reason: reason.to_string() })
}

macro_rules! from_hashing {
    ($($error:ident),*) => {$(
        impl From<HashingError> for $error {
            fn from(error: HashingError) -> Self {
                match error {
                    HashingError::TooMany => Self::TooMany { retry_after: WAITING_RETRY },
                    HashingError::Auth(error) => Self::Auth(error),
                }
            }
        }
    )*};
}
from_hashing!(LoginError, PasswordError, SetupError);

#[cfg(test)]
mod tests {
    use argon2::{Argon2, Params, password_hash::PasswordHash};
    use secrecy::SecretString;

    use super::{NOBODYS_HASH, PasswordFault, check, is_user_name};

    #[test]
    fn nobodys_hash_costs_what_a_real_one_costs() {
        let hash = PasswordHash::new(NOBODYS_HASH).unwrap();
        let params = Params::try_from(&hash).unwrap();
        let real = Argon2::default();
        assert_eq!(params.m_cost(), real.params().m_cost());
        assert_eq!(params.t_cost(), real.params().t_cost());
        assert_eq!(params.p_cost(), real.params().p_cost());
        assert_eq!(hash.hash.unwrap().len(), 32);
    }

    #[test]
    fn the_rule_counts_characters() {
        let rule = |text: &str| check(&SecretString::from(text.to_owned()));
        assert_eq!(rule(&"a".repeat(9)), Err(PasswordFault::TooShort));
        assert_eq!(rule(&"光".repeat(10)), Ok(()));
        assert_eq!(rule(&"光".repeat(256)), Ok(()));
        assert_eq!(rule(&"a".repeat(257)), Err(PasswordFault::TooLong));
    }

    #[test]
    fn user_names_are_also_unix_names() {
        for good in ["a", "ada", "ada.lovelace-1_x", &"a".repeat(32)] {
            assert!(is_user_name(good), "{good}");
        }
        for bad in ["", "1a", "-a", ".a", "Ada", "a b", "ä", "a/b", "a:b", "a\n", &"a".repeat(33)]
        {
            assert!(!is_user_name(bad), "{bad:?}");
        }
    }
}
