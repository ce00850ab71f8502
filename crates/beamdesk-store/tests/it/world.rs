//! Rows to begin with.

use std::time::Duration;

use beamdesk_store::{Digest, SessionRow, Store, TicketLimits, TicketRow, User};
use beamdesk_types::{
    Desktop, DesktopId, GatewayName, Goal, GpuRequest, Phase, Role, SessionId, Timestamp, UserId,
};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const LIMITS: TicketLimits =
    TicketLimits { live_per_desktop_max: 3, per_user_minute_max: 30 };

/// Times come back in milliseconds.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(crate) fn user(name: &str) -> User {
    User {
        id: UserId::fresh(),
        name: name.to_owned(),
        role: Role::User,
        disabled: false,
        password_hash: "hash".to_owned(),
        language: "en".to_owned(),
        theme: "system".to_owned(),
        created: at(0),
    }
}

pub(crate) fn desktop(owner: UserId) -> Desktop {
    Desktop {
        id: DesktopId::fresh(),
        owner,
        name: "Beamline 4B9A".to_owned(),
        image: "debian-desktop".parse().unwrap(),
        size: "small".parse().unwrap(),
        goal: Goal::Running,
        phase: Phase::Ready,
        generation: 3,
        revision: 0,
        attempts: 1,
        phase_since: at(1),
        node: Some("node-1".parse().unwrap()),
        address: Some("127.0.0.1:4000".to_owned()),
        failure: None,
        restart: false,
        created: at(0),
        gpu: GpuRequest::default(),
        station: None,
        queued: at(0),
        ends: None,
    }
}

pub(crate) fn session(user: UserId) -> SessionRow {
    let id = SessionId::fresh();
    SessionRow {
        id,
        token_hash: digest(&id.to_string()),
        user,
        created: at(0),
        last_seen: at(0),
        expires: at(1800),
        absolute: at(12 * 3600),
    }
}

/// Not a good digest, but a different one for each text of up to 32 bytes at its end.
pub(crate) fn digest(text: &str) -> Digest {
    let mut digest = Digest::default();
    for (to, from) in digest.iter_mut().rev().zip(text.bytes().rev()) {
        *to = from;
    }
    digest
}

pub(crate) fn gateway(name: &str) -> GatewayName {
    name.parse().unwrap()
}

/// One person, logged in, with one desktop that is ready.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) store: Store,
    pub(crate) user: User,
    pub(crate) session: SessionRow,
    pub(crate) desktop: Desktop,
}

pub(crate) async fn scene(store: &Store, name: &str) -> Scene {
    let user = user(name);
    store.add_user(&user).await.unwrap();
    let session = session(user.id);
    store.add_session(&session).await.unwrap();
    let desktop = desktop(user.id);
    store.add_desktop(&desktop, 10).await.unwrap();
    Scene { store: store.clone(), user, session, desktop }
}

impl Scene {
    pub(crate) fn ticket(&self, text: &str) -> TicketRow {
        TicketRow {
            hash: digest(text),
            user: self.user.id,
            session: self.session.id,
            desktop: self.desktop.id,
            generation: self.desktop.generation,
            gateway: gateway("east"),
            bind_hash: digest("bind"),
            ttl: Duration::from_secs(30),
        }
    }

    /// Opens a stream at gateway `east` from the browser `bind`.
    pub(crate) async fn open(&self, text: &str) -> beamdesk_store::Redeemed {
        self.store.add_ticket(&self.ticket(text), LIMITS).await.unwrap();
        let opened =
            self.store.redeem_ticket(&digest(text), &gateway("east"), &[], &digest("bind")).await;
        opened.unwrap().unwrap()
    }
}
