//! A portal's authentication on a database of its own, with a clock turned by hand.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use beamdesk_auth::{Auth, AuthConfig, HandleKey, Login, RedeemError, Redeemed, RefusedReason};
use beamdesk_store::{Store, User};
use beamdesk_types::{
    Actor, Clock, Desktop, DesktopId, GatewayName, Goal, GpuRequest, Phase, RedeemRequest,
    ResumeRequest, Role, Secret, Timestamp, UserId,
};
use secrecy::SecretString;

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// A clock that stands until it is turned.
#[derive(Debug)]
pub(crate) struct HandClock(Mutex<Timestamp>);

impl HandClock {
    pub(crate) fn at(time: Timestamp) -> Arc<Self> {
        Arc::new(Self(Mutex::new(time)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(by).unwrap();
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// For certificates and tickets, which others check by the real time.
#[expect(clippy::disallowed_methods, reason = "the edge: this test's own real clock")]
pub(crate) fn real_now() -> Timestamp {
    // The database keeps milliseconds.
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap()
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) auth: Auth,
    pub(crate) store: Store,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) config: AuthConfig,
}

impl World {
    pub(crate) async fn in_memory() -> Self {
        Self::over(Store::open("sqlite::memory:").await.unwrap())
    }

    pub(crate) async fn in_file(dir: &Path) -> Self {
        Self::over(open(dir).await)
    }

    fn over(store: Store) -> Self {
        let clock = HandClock::at(real_now());
        let config = AuthConfig::new(HandleKey::fresh().unwrap());
        Self::replica(store, clock, config)
    }

    /// Another portal of the same site: same key, maybe other handle, clock or limits.
    pub(crate) fn replica(store: Store, clock: Arc<HandClock>, config: AuthConfig) -> Self {
        let auth = Auth::new(store.clone(), clock.clone(), config.clone());
        Self { auth, store, clock, config }
    }

    pub(crate) fn with_config(&self, change: impl FnOnce(&mut AuthConfig)) -> Self {
        let mut config = self.config.clone();
        change(&mut config);
        Self::replica(self.store.clone(), self.clock.clone(), config)
    }

    /// The same portal on a database whose clock went on.
    pub(crate) fn db_clock_shifted(&self, by: Duration) -> Self {
        let ms = i64::try_from(by.as_millis()).unwrap();
        Self::replica(self.store.with_clock_shift(ms), self.clock.clone(), self.config.clone())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn user(&self, name: &str, role: Role) -> User {
        let user = User {
            id: UserId::fresh(),
            name: name.to_owned(),
            role,
            disabled: false,
            password_hash: self.auth.hash_password(secret(PASSWORD)).await.unwrap(),
            language: "en".to_owned(),
            theme: "system".to_owned(),
            created: self.clock.now(),
        };
        self.store.add_user(&user).await.unwrap();
        user
    }

    pub(crate) async fn login(&self, name: &str) -> Login {
        self.auth.login(name, secret(PASSWORD), ADDRESS).await.unwrap()
    }

    pub(crate) async fn desktop(&self, owner: UserId) -> Desktop {
        let desktop = Desktop {
            id: DesktopId::fresh(),
            owner,
            name: "Beamline".to_owned(),
            image: "debian-desktop".parse().unwrap(),
            size: "small".parse().unwrap(),
            goal: Goal::Running,
            phase: Phase::Ready,
            generation: 1,
            revision: 0,
            attempts: 1,
            phase_since: self.clock.now(),
            node: None,
            address: Some("127.0.0.1:4000".to_owned()),
            failure: None,
            restart: false,
            created: self.clock.now(),
            gpu: GpuRequest::default(),
            station: None,
            queued: self.clock.now(),
            ends: None,
        };
        self.store.add_desktop(&desktop, 100).await.unwrap();
        desktop
    }

    /// A person, logged in, with a desktop that is ready.
    pub(crate) async fn scene(&self, name: &str) -> (Actor, Desktop) {
        let user = self.user(name, Role::User).await;
        let actor = self.login(name).await.actor;
        (actor, self.desktop(user.id).await)
    }

    pub(crate) async fn ticket(&self, actor: &Actor, desktop: &Desktop) -> Secret {
        self.auth.issue_ticket(actor, desktop, &gateway("east"), "bind").await.unwrap().ticket
    }

    /// Redeems from where the ticket was made for.
    pub(crate) async fn redeem(&self, ticket: &Secret) -> Result<Redeemed, RefusedReason> {
        self.redeem_from(ticket, "east", "bind").await
    }

    pub(crate) async fn redeem_from(
        &self,
        ticket: &Secret,
        at: &str,
        bind: &str,
    ) -> Result<Redeemed, RefusedReason> {
        let request = RedeemRequest { ticket: ticket.clone(), bind: Secret::new(bind.to_owned()) };
        reason(self.auth.redeem(&request, &gateway(at)).await)
    }

    pub(crate) async fn resume_from(
        &self,
        handle: &Secret,
        at: &str,
        bind: &str,
    ) -> Result<Redeemed, RefusedReason> {
        let request = ResumeRequest { handle: handle.clone(), bind: Secret::new(bind.to_owned()) };
        reason(self.auth.resume(&request, &gateway(at)).await)
    }
}

pub(crate) async fn open(dir: &Path) -> Store {
    Store::open(&format!("sqlite:{}", dir.join("beamdesk.db").display())).await.unwrap()
}

fn reason(outcome: Result<Redeemed, RedeemError>) -> Result<Redeemed, RefusedReason> {
    outcome.map_err(|error| match error {
        RedeemError::Refused(reason) => reason,
        RedeemError::TooMany { .. } => RefusedReason::TooMany,
        RedeemError::Auth(error) => panic!("{error:?}"),
    })
}

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

pub(crate) fn gateway(name: &str) -> GatewayName {
    name.parse().unwrap()
}
