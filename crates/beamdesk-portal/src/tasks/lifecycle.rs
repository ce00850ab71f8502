//! What to do next for one desktop: a pure function from what is wanted and seen.
//!
//! ```text
//!              no room            server built        agent answers
//!  [Pending] <-------> [Building] -----------> [Booting] -----------> [Ready]
//!                         |  ^                   |    ^                  |
//!      broken: delete,    |  | (max 3)   silent  |    | power on         | goal Stopped
//!      again -------------'--'           too long|    |                  v
//!                         v                      v    |             [Stopping]
//!                      [Failed] <----------------'  [Stopped] <----------'
//!   goal Deleted, from anywhere:  [Deleting] --server gone--> [Deleted]
//! ```
//!
//! The row's `generation` is that of the server we want. It rises with each new incarnation, and a
//! call that is repeated because its answer was lost repeats the same number. A server with a
//! lower one is a leftover and is never used as it is.
//!
//! Nothing starts without a claim: what a desktop has taken of a node. Others make it, while the
//! desktop is pending; here is decided when it is of no use any more.

use beamdesk_cloud::{CloudError, PowerState, Server, ServerId, ServerNote};
use beamdesk_types::{Claim, Desktop, Failure, FailureCode, Goal, NodeName, Phase, Timestamp};
use jiff::SignedDuration;

/// Creations or starts that may break before a person must decide.
pub const ATTEMPTS_MAX: u32 = 3;
/// A server that is not up by then is deleted and made anew. OpenStack needs up to a few minutes.
pub const BUILD_DEADLINE: SignedDuration = SignedDuration::from_mins(5);
/// An agent that has not answered by then fails the desktop. Windows guests are slow to boot.
pub const BOOT_DEADLINE: SignedDuration = SignedDuration::from_mins(3);
/// A server that does not power off by then is deleted.
pub const STOP_DEADLINE: SignedDuration = SignedDuration::from_mins(5);
/// Lists of servers lag: one that ran is believed gone only after so long.
pub const LOST_GRACE: SignedDuration = SignedDuration::from_secs(30);
/// A deletion that the cloud says is under way is ordered again after so long.
pub const DELETE_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// So long ready, and the attempts are forgiven. Shorter, and a desktop that dies as soon as it is
/// up would be started for ever.
pub const STABLE_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// A phase that the cloud's administrators hold does not age: it begins anew so often, and is
/// written no more often than that.
pub const HELD_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// What the reconciler found out just before.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    pub server: Option<&'a Server>,
    pub agent: AgentSeen,
    /// What it has taken of a node; `None`: it has to wait for room before it starts.
    pub claim: Option<&'a Claim>,
    /// The claim is no good for another start: it is on a node that failed for it a moment ago,
    /// or not of what it asks for now.
    pub shunned: bool,
    /// How long it may run from its start; `None`: without end.
    pub term: Option<SignedDuration>,
    /// How the last action for this desktop went wrong, if it did.
    pub trouble: Option<&'a Trouble>,
    /// Whether its image and size still exist.
    pub offered: bool,
    /// Nobody looked since the portal started. What happened while it was away, an orderly
    /// shutdown above all, is not the desktop's fault.
    pub first_look: bool,
    /// So long after it was asked for, a server may still appear that nobody saw before.
    pub late_birth: SignedDuration,
}

/// What the agent of the server in `Seen` answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentSeen {
    /// Its session is up.
    Up,
    /// Not asked, or it missed an answer or two: no reason to change anything.
    Unsure,
    /// No answer for so long that it must be taken for dead or not yet born.
    Silent,
}

/// How an action went wrong. Texts are for operators and name the cloud's request, where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    NoCapacity,
    DiskFull,
    Refused(String),
    /// Nobody knows whether it was done.
    Unknown(String),
    /// It was not done, and will not be for any desktop until a person has mended what the code
    /// names. Nobody's fault who waits.
    Blocked {
        code: &'static str,
        text: String,
    },
    /// It cannot be made as it is asked for, wherever it is tried.
    Impossible {
        code: FailureCode,
        text: String,
    },
}

impl Trouble {
    /// The word by which pages speak of it while it lasts; `None`: it is no trouble for people to
    /// know of, or the desktop's failure says it.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::NoCapacity | Self::DiskFull | Self::Impossible { .. } => None,
            Self::Refused(_) => Some("cloud_refused"),
            Self::Unknown(_) => Some("cloud_unavailable"),
            Self::Blocked { code, .. } => Some(code),
        }
    }

    /// For operators.
    pub fn text(&self) -> &str {
        match self {
            Self::NoCapacity => "no host has room",
            Self::DiskFull => "the host's disk is full",
            Self::Refused(text)
            | Self::Unknown(text)
            | Self::Blocked { text, .. }
            | Self::Impossible { text, .. } => text,
        }
    }
}

impl From<CloudError> for Trouble {
    fn from(error: CloudError) -> Self {
        let text = told(&error);
        match error {
            CloudError::NoCapacity { .. } | CloudError::NodeDisabled { .. } => Self::NoCapacity,
            CloudError::DiskFull => Self::DiskFull,
            CloudError::Refused { .. } => Self::Refused(text),
            CloudError::Unavailable { .. } => Self::Unknown(text),
            CloudError::Quota { .. } | CloudError::Credentials { .. } => {
                Self::Blocked { code: error.code(), text }
            }
            CloudError::ImageGone { .. } => Self::Impossible { code: FailureCode::ImageGone, text },
            CloudError::FlavorChanged { .. } => {
                Self::Impossible { code: FailureCode::SizeChanged, text }
            }
        }
    }
}

/// An error of the cloud with its cause and its request, in one line.
pub(crate) fn told(error: &CloudError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let request = error.request().map(|request| format!(" (request {request})"));
    format!("{error}{}{}", cause.unwrap_or_default(), request.unwrap_or_default())
}

/// What to ask of the cloud, after the row is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Create,
    PowerOn(ServerId),
    PowerOff(ServerId),
    Delete(ServerId),
}

/// The row as it shall be, and what to do once it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub desktop: Desktop,
    pub action: Option<Action>,
    /// The claim that was seen is of no use any more: to be given back.
    pub frees: bool,
}

/// What to do next for one desktop. Pure: the caller looks, asks, stores and acts.
pub fn step(desktop: &Desktop, seen: &Seen<'_>, now: Timestamp) -> Step {
    let plan = Plan { desktop: desktop.clone(), now };
    let step = match desktop.goal {
        Goal::Deleted => plan.deleted(seen),
        Goal::Stopped => plan.stopped(seen),
        Goal::Running => plan.running(seen),
    };
    Step { frees: is_useless(seen, &step.desktop), ..step }
}

/// Whether the claim can be given back: no server uses it, and none is about to.
fn is_useless(seen: &Seen<'_>, desktop: &Desktop) -> bool {
    let Some(claim) = seen.claim else { return false };
    if seen.server.is_some_and(|server| server.state != PowerState::Off) {
        return false;
    }
    match desktop.phase {
        Phase::Building | Phase::Booting | Phase::Ready => false,
        Phase::Pending => {
            let lies_elsewhere = seen.server.is_some_and(|server| server.node != claim.node);
            desktop.goal != Goal::Running || seen.shunned || lies_elsewhere
        }
        Phase::Stopping | Phase::Stopped | Phase::Failed | Phase::Deleting | Phase::Deleted => true,
    }
}

/// The row under way, with a word for each change.
struct Plan {
    desktop: Desktop,
    now: Timestamp,
}

impl Plan {
    fn deleted(mut self, seen: &Seen<'_>) -> Step {
        self.desktop.restart = false;
        let Some(server) = seen.server else {
            // A request may be under way whose server nobody has seen yet.
            let is_born_late = match self.desktop.phase {
                _ if seen.late_birth.is_zero() => false,
                Phase::Building => true,
                Phase::Deleting => {
                    self.desktop.address.is_none() && !self.older_than(seen.late_birth)
                }
                Phase::Pending
                | Phase::Booting
                | Phase::Ready
                | Phase::Stopping
                | Phase::Stopped
                | Phase::Failed
                | Phase::Deleted => false,
            };
            if is_born_late {
                return self.to(Phase::Deleting);
            }
            self.forget_server();
            return self.to(Phase::Deleted);
        };
        // Whoever asked for it may have died in the middle: then nobody goes on with it.
        let waits = self.desktop.phase == Phase::Deleting
            && !seen.first_look
            && !self.older_than(DELETE_AGAIN);
        match server.state {
            PowerState::Deleting if waits => self.to(Phase::Deleting),
            PowerState::Deleting
            | PowerState::Building
            | PowerState::Active
            | PowerState::Off
            | PowerState::Error(_) => self.act(Phase::Deleting, Action::Delete(server.id.clone())),
        }
    }

    fn stopped(mut self, seen: &Seen<'_>) -> Step {
        self.desktop.restart = false;
        self.desktop.failure = None;
        let Some(server) = seen.server else {
            self.forget_server();
            self.desktop.ends = None;
            return self.to(Phase::Stopped);
        };
        match &server.state {
            PowerState::Off => {
                self.desktop.address = None;
                self.desktop.node = Some(server.node.clone());
                self.desktop.ends = None;
                self.to(Phase::Stopped)
            }
            PowerState::Error(_) => self.act(Phase::Stopping, Action::Delete(server.id.clone())),
            PowerState::Deleting => self.to(Phase::Stopping),
            PowerState::Building | PowerState::Active if server.note.is_some() => {
                self.held(Phase::Stopping)
            }
            PowerState::Building | PowerState::Active => {
                // Forced in the end: who says stop must not find it running tomorrow. What is
                // lost with the server is its own disk, never the home folder.
                let hopeless =
                    self.desktop.phase == Phase::Stopping && self.older_than(STOP_DEADLINE);
                let id = server.id.clone();
                let action = if hopeless { Action::Delete(id) } else { Action::PowerOff(id) };
                self.act(Phase::Stopping, action)
            }
        }
    }

    fn running(mut self, seen: &Seen<'_>) -> Step {
        if self.desktop.phase == Phase::Failed && self.desktop.failure.is_some() {
            return self.failed(seen);
        }
        if seen.trouble == Some(&Trouble::DiskFull) {
            return self.fail(FailureCode::DiskFull, "the host's disk is full");
        }
        if let Some(Trouble::Impossible { code, text }) = seen.trouble {
            return self.fail(*code, text);
        }
        let Some(server) = seen.server else {
            return self.without_server(seen);
        };
        if server.generation > self.desktop.generation {
            // The database is older than the cloud: it was restored from a backup.
            self.desktop.generation = server.generation;
        }
        if self.is_held(server, seen) {
            return match self.desktop.phase {
                Phase::Ready if seen.agent == AgentSeen::Unsure => self.stay(),
                Phase::Ready => self.to(Phase::Booting),
                phase => self.held(phase),
            };
        }
        let leftover = server.generation < self.desktop.generation;
        match &server.state {
            PowerState::Deleting => {
                self.forget_server();
                self.wait()
            }
            PowerState::Error(text) => {
                let text = text.clone();
                self.condemn(server, &text)
            }
            PowerState::Off => self.power_on(server, seen),
            PowerState::Building if leftover => {
                let delete = Action::Delete(server.id.clone());
                Step { action: Some(delete), ..self.wait() }
            }
            PowerState::Building => self.built_yet(server),
            PowerState::Active if leftover || self.desktop.restart => {
                let hopeless =
                    self.desktop.phase == Phase::Stopping && self.older_than(STOP_DEADLINE);
                let id = server.id.clone();
                let action = if hopeless { Action::Delete(id) } else { Action::PowerOff(id) };
                self.act(Phase::Stopping, action)
            }
            PowerState::Active => self.active(server, seen),
        }
    }

    /// Gave up. Only a person leads out of here, or an agent that answers after all.
    fn failed(mut self, seen: &Seen<'_>) -> Step {
        let Some(server) = seen.server else {
            self.forget_server();
            self.desktop.ends = None;
            return self.stay();
        };
        let ours = server.generation == self.desktop.generation;
        match server.state {
            PowerState::Active if ours && seen.agent == AgentSeen::Up => self.active(server, seen),
            _ if server.note.is_some() => self.stay(),
            // Not deleted: the host may come back, or an operator may look inside.
            PowerState::Active | PowerState::Building if ours => self.stay(),
            PowerState::Off | PowerState::Deleting => self.stay(),
            PowerState::Active | PowerState::Building | PowerState::Error(_) => {
                let delete = Action::Delete(server.id.clone());
                Step { action: Some(delete), ..self.stay() }
            }
        }
    }

    fn without_server(mut self, seen: &Seen<'_>) -> Step {
        match self.desktop.phase {
            Phase::Ready => return self.to(Phase::Booting),
            Phase::Booting if !self.older_than(LOST_GRACE) => return self.stay(),
            Phase::Booting => self.broke(FailureCode::BuildFailed, "its server vanished"),
            Phase::Building => match seen.trouble {
                Some(Trouble::Refused(text)) => self.broke(FailureCode::BuildFailed, text),
                Some(Trouble::NoCapacity | Trouble::Blocked { .. }) => {
                    self.forget_server();
                    return self.wait();
                }
                Some(Trouble::Unknown(text)) if self.older_than(BUILD_DEADLINE) => {
                    self.broke(FailureCode::BuildFailed, text);
                }
                Some(Trouble::DiskFull | Trouble::Impossible { .. } | Trouble::Unknown(_))
                | None => {
                    if self.older_than(BUILD_DEADLINE) {
                        self.broke(FailureCode::BuildFailed, "no server came of the request");
                    } else if !self.holds(seen.claim, self.desktop.node.as_ref()) {
                        // The portal died between the two, or the database is an older one.
                        self.forget_server();
                        return self.wait();
                    } else if seen.offered {
                        // The same request again, with the same generation: harmless if it worked.
                        return self.act(Phase::Building, Action::Create);
                    }
                }
            },
            Phase::Pending
            | Phase::Stopping
            | Phase::Stopped
            | Phase::Failed
            | Phase::Deleting
            | Phase::Deleted => {}
        }
        let just_broke = self.desktop.phase != Phase::Pending && seen.trouble.is_some();
        self.forget_server();
        self.desktop.restart = false;
        if self.desktop.attempts >= ATTEMPTS_MAX {
            return self.give_up();
        }
        if !seen.offered {
            return self.fail(FailureCode::NotOffered, "its image or size is not offered any more");
        }
        match seen.claim {
            Some(claim) if !just_broke && !seen.shunned => {
                self.desktop.node = Some(claim.node.clone());
                self.desktop.generation += 1;
                self.begin_term(seen);
                self.act_anew(Phase::Building, Action::Create)
            }
            Some(_) | None => self.wait(),
        }
    }

    fn built_yet(mut self, server: &Server) -> Step {
        match self.desktop.phase {
            Phase::Building | Phase::Booting => {
                let booting = self.desktop.phase == Phase::Booting;
                let deadline = if booting { BOOT_DEADLINE } else { BUILD_DEADLINE };
                if self.older_than(deadline) {
                    return self.condemn(server, "its server was not up in time");
                }
                self.desktop.address.clone_from(&server.address);
                self.stay()
            }
            // Seen before its row knew of it, or after the goal went to and fro.
            Phase::Pending
            | Phase::Ready
            | Phase::Stopping
            | Phase::Stopped
            | Phase::Failed
            | Phase::Deleting
            | Phase::Deleted => self.to(Phase::Building),
        }
    }

    fn active(mut self, server: &Server, seen: &Seen<'_>) -> Step {
        self.desktop.address.clone_from(&server.address);
        if seen.agent == AgentSeen::Up && server.address.is_some() {
            self.desktop.failure = None;
            if self.desktop.phase == Phase::Ready && self.older_than(STABLE_AFTER) {
                self.desktop.attempts = 0;
            }
            return self.to(Phase::Ready);
        }
        match self.desktop.phase {
            Phase::Ready if seen.agent == AgentSeen::Unsure => self.stay(),
            Phase::Booting if self.older_than(BOOT_DEADLINE) => self
                .fail(FailureCode::AgentSilent, "its server runs, but its agent does not answer"),
            Phase::Booting => self.stay(),
            Phase::Pending
            | Phase::Building
            | Phase::Ready
            | Phase::Stopping
            | Phase::Stopped
            | Phase::Failed
            | Phase::Deleting
            | Phase::Deleted => self.to(Phase::Booting),
        }
    }

    fn power_on(mut self, server: &Server, seen: &Seen<'_>) -> Step {
        self.desktop.address = None;
        self.desktop.node = Some(server.node.clone());
        let ordered = self.desktop.generation > server.generation;
        if let Some(Trouble::NoCapacity | Trouble::Blocked { .. }) = seen.trouble {
            return self.wait();
        } else if let Some(Trouble::Refused(text)) = seen.trouble {
            self.broke(FailureCode::BuildFailed, text);
        } else if !ordered && !self.desktop.restart && !seen.first_look {
            match self.desktop.phase {
                Phase::Ready | Phase::Booting => {
                    self.broke(FailureCode::AgentSilent, "its server powered itself off");
                }
                Phase::Pending
                | Phase::Building
                | Phase::Stopping
                | Phase::Stopped
                | Phase::Failed
                | Phase::Deleting
                | Phase::Deleted => {}
            }
        } else if ordered && self.desktop.phase == Phase::Booting && self.older_than(BOOT_DEADLINE)
        {
            self.broke(FailureCode::BuildFailed, "its server could not be powered on in time");
            self.desktop.phase_since = self.now;
        }
        if self.desktop.attempts >= ATTEMPTS_MAX {
            return self.give_up();
        }
        if !seen.offered {
            return self.fail(FailureCode::NotOffered, "its image or size is not offered any more");
        }
        self.desktop.restart = false;
        if seen.shunned || !self.holds(seen.claim, Some(&server.node)) {
            return self.wait();
        }
        self.begin_term(seen);
        if !ordered {
            self.desktop.generation += 1;
        }
        let action = Action::PowerOn(server.id.clone());
        if ordered {
            self.act(Phase::Booting, action)
        } else {
            self.act_anew(Phase::Booting, action)
        }
    }

    /// Whether the cloud's administrators have this server in their hands: then it is left as it
    /// is, and nothing that it does not do counts against it.
    fn is_held(&self, server: &Server, seen: &Seen<'_>) -> bool {
        let Some(note) = &server.note else { return false };
        let is_on = server.state == PowerState::Active;
        match note {
            // Works as ever; only orders are refused.
            ServerNote::Locked => {
                !is_on || self.desktop.restart || server.generation != self.desktop.generation
            }
            // What we put away ourselves, or ordered back, is ours.
            ServerNote::Shelved if server.state == PowerState::Off => {
                let was_on = matches!(self.desktop.phase, Phase::Ready | Phase::Booting);
                let ordered = self.desktop.generation > server.generation;
                was_on && !ordered && !self.desktop.restart
            }
            ServerNote::Rescued
            | ServerNote::Paused
            | ServerNote::Suspended
            | ServerNote::Resizing
            | ServerNote::Migrating
            | ServerNote::Shelved
            | ServerNote::SoftDeleted
            | ServerNote::Unknown(_) => !(is_on && seen.agent == AgentSeen::Up),
        }
    }

    /// Nothing is done, and no deadline comes nearer.
    fn held(mut self, phase: Phase) -> Step {
        if self.desktop.phase == phase && self.older_than(HELD_AGAIN) {
            self.desktop.phase_since = self.now;
        }
        self.to(phase)
    }

    /// The server is no good: away with it, and count.
    fn condemn(mut self, server: &Server, why: &str) -> Step {
        if server.generation == self.desktop.generation && self.desktop.phase != Phase::Pending {
            self.broke(FailureCode::BuildFailed, why);
        }
        self.forget_server();
        if server.generation == self.desktop.generation {
            // So that it is known for a leftover if the deletion gets lost.
            self.desktop.generation += 1;
        }
        let delete = Action::Delete(server.id.clone());
        if self.desktop.attempts >= ATTEMPTS_MAX {
            return Step { action: Some(delete), ..self.give_up() };
        }
        Step { action: Some(delete), ..self.wait() }
    }

    fn broke(&mut self, code: FailureCode, detail: &str) {
        self.desktop.attempts += 1;
        self.desktop.failure = Some(Failure { code, detail: clipped(detail) });
    }

    fn fail(mut self, code: FailureCode, detail: &str) -> Step {
        self.desktop.failure = Some(Failure { code, detail: clipped(detail) });
        self.give_up()
    }

    fn give_up(mut self) -> Step {
        self.desktop.restart = false;
        if self.desktop.failure.is_none() {
            let detail = "every attempt broke".to_owned();
            self.desktop.failure = Some(Failure { code: FailureCode::BuildFailed, detail });
        }
        self.to(Phase::Failed)
    }

    /// Whether the claim is for this node.
    fn holds(&self, claim: Option<&Claim>, node: Option<&NodeName>) -> bool {
        debug_assert!(claim.is_none_or(|claim| claim.desktop == self.desktop.id));
        claim.is_some_and(|claim| Some(&claim.node) == node)
    }

    /// A start that follows on another within one term does not lengthen it.
    fn begin_term(&mut self, seen: &Seen<'_>) {
        if self.desktop.ends.is_none_or(|ends| ends <= self.now) {
            self.desktop.ends = seen.term.and_then(|term| self.now.checked_add(term).ok());
        }
    }

    /// Into the queue. Who lost its server through no fault of its owner keeps its old place.
    fn wait(mut self) -> Step {
        match self.desktop.phase {
            Phase::Stopping | Phase::Stopped | Phase::Failed => self.desktop.queued = self.now,
            Phase::Pending
            | Phase::Building
            | Phase::Booting
            | Phase::Ready
            | Phase::Deleting
            | Phase::Deleted => {}
        }
        self.desktop.ends = None;
        self.to(Phase::Pending)
    }

    fn forget_server(&mut self) {
        self.desktop.node = None;
        self.desktop.address = None;
    }

    fn older_than(&self, limit: SignedDuration) -> bool {
        self.now.duration_since(self.desktop.phase_since) > limit
    }

    fn stay(self) -> Step {
        Step { desktop: self.desktop, action: None, frees: false }
    }

    fn to(mut self, phase: Phase) -> Step {
        if self.desktop.phase != phase {
            self.desktop.phase = phase;
            self.desktop.phase_since = self.now;
        }
        self.stay()
    }

    fn act(self, phase: Phase, action: Action) -> Step {
        Step { action: Some(action), ..self.to(phase) }
    }

    /// Like `act`, for a new incarnation: its deadline begins now, whatever the phase was.
    fn act_anew(mut self, phase: Phase, action: Action) -> Step {
        self.desktop.phase_since = self.now;
        self.act(phase, action)
    }
}

/// Causes come from clouds and may be long; rows and pages are not.
const DETAIL_CHARS_MAX: usize = 500;

fn clipped(detail: &str) -> String {
    detail.chars().take(DETAIL_CHARS_MAX).collect()
}
