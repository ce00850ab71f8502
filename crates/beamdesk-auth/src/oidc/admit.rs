//! Lets somebody in whom a provider vouches for: finds or makes the account, begins a session.

use std::net::IpAddr;

use beamdesk_store::{ProviderSession, User, Vouched};
use beamdesk_types::UserId;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::{OidcConfig, ProofError, person, token::IdToken};
use crate::{Auth, Login, backoff::Place, locked, password::NOBODYS_HASH};

/// Under which tries with tokens count, in the table of those with passwords. No account is called so.
const KEYSTONE_TRIES: &str = "token of keystone";

impl Auth {
    pub(super) async fn admit(
        &self,
        config: &OidcConfig,
        token: &IdToken,
        claims: &Map<String, Value>,
        address: IpAddr,
    ) -> Result<Login, ProofError> {
        let groups = person::groups(claims, &config.groups_claim);
        let called = person::find(claims, &config.name_claim).and_then(Value::as_str);
        let name = person::account_name(called.unwrap_or_default());
        let stations = person::stations(&groups, &config.stations);
        let of = ProviderSession {
            issuer: config.issuer.clone(),
            subject: token.subject.clone(),
            sid: token.sid.clone(),
        };
        match person::role(&groups, &config.roles, config.role_of_others) {
            Some(role) => {
                let vouched = Vouched {
                    issuer: &config.issuer,
                    subject: &token.subject,
                    role,
                    stations: stations.as_deref(),
                };
                self.admit_vouched(&vouched, &name, &of, address).await
            }
            None => Err(self.not_let_in(&of, &name, address).await?),
        }
    }

    /// Nobody with these groups is let in: what such a person had here before ends, too.
    async fn not_let_in(
        &self,
        of: &ProviderSession,
        name: &str,
        address: IpAddr,
    ) -> Result<ProofError, ProofError> {
        let subject = Some(of.subject.as_str());
        self.store().end_provider_sessions(&of.issuer, subject, None, self.now()).await?;
        let detail = format!("in no group that may log in, from {address}");
        self.note(name, "login_refused", format!("issuer:{}", of.issuer), detail).await?;
        Ok(ProofError::NoAccess)
    }

    /// A session for somebody whom a provider vouches for; the account is made if there is none.
    async fn admit_vouched(
        &self,
        vouched: &Vouched<'_>,
        name: &str,
        of: &ProviderSession,
        address: IpAddr,
    ) -> Result<Login, ProofError> {
        let now = self.now();
        let new = User {
            id: UserId::fresh(),
            name: name.to_owned(),
            role: vouched.role,
            disabled: false,
            password_hash: NOBODYS_HASH.to_owned(),
            language: String::new(),
            theme: "system".to_owned(),
            created: now,
        };
        let user = self.store().vouched_user(vouched, &new, now).await?;
        let detail = format!("by {} from {address}", vouched.issuer);
        if user.id == new.id {
            let made = format!("{} as {}, by {}", user.name, user.role.as_str(), vouched.issuer);
            self.note(&user.name, "user_added", format!("user:{}", user.id), made).await?;
        }
        if user.disabled {
            self.note(
                &user.name,
                "login_refused",
                format!("user:{}", user.id),
                "disabled".to_owned(),
            )
            .await?;
            return Err(ProofError::Disabled);
        }
        let login = self.begin_session(&user, &detail).await?;
        self.store().add_provider_session(login.actor.session, of).await?;
        Ok(login)
    }

    /// Somebody with a token of Keystone's gets a session.
    pub async fn keystone_login(
        &self,
        token: SecretString,
        address: IpAddr,
    ) -> Result<Login, ProofError> {
        let keystone = self.config().providers.keystone.as_deref().ok_or(ProofError::Off)?;
        let place = Place::of(address);
        locked(&self.inner.backoff)
            .begin(KEYSTONE_TRIES, place, self.now())
            .map_err(|retry_after| ProofError::TooMany { retry_after })?;
        let person = match keystone.person(&token).await {
            Ok(person) => {
                locked(&self.inner.backoff).succeeded(KEYSTONE_TRIES, place);
                person
            }
            Err(error) => {
                let detail = format!("{error}, from {address}");
                self.note("unknown", "login_refused", "issuer:keystone".to_owned(), detail).await?;
                return Err(error);
            }
        };
        let of = ProviderSession {
            issuer: keystone.issuer().to_owned(),
            subject: person.subject.clone(),
            sid: None,
        };
        let Some(role) = person.role else {
            return Err(self.not_let_in(&of, &person.name, address).await?);
        };
        let vouched = Vouched {
            issuer: &of.issuer,
            subject: &of.subject,
            role,
            stations: person.stations.as_deref(),
        };
        self.admit_vouched(&vouched, &person.name, &of, address).await
    }
}
