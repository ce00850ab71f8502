//! What may go wrong in the simulated cloud.

/// How often each fault strikes, in 1000 chances. The default is none at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// A call fails before it had any effect.
    pub unavailable: u16,
    /// A create, power or delete has its effect, and its answer is lost.
    pub lost_answer: u16,
    /// A create is refused for good.
    pub refused: u16,
    /// A create finds no room, though `nodes` said there was.
    pub no_capacity: u16,
    /// `list` and `nodes` tell the world as it was before the last tick.
    pub stale_list: u16,
    /// `find` does, too.
    pub stale_find: u16,
    /// A build ends in [`crate::PowerState::Error`].
    pub build_error: u16,
    /// A build never ends.
    pub build_stuck: u16,
    /// A server comes up, and its agent never answers.
    pub agent_silent: u16,
    /// A running server powers off by itself, per tick.
    pub power_off: u16,
}

impl Faults {
    /// A third of all requests go wrong, builds break, servers die: worse than any cloud in use.
    pub fn harsh() -> Self {
        Self {
            unavailable: 150,
            lost_answer: 200,
            refused: 20,
            no_capacity: 50,
            stale_list: 200,
            stale_find: 0,
            build_error: 100,
            build_stuck: 50,
            agent_silent: 50,
            power_off: 20,
        }
    }
}

/// One fault, ordered by a test for the next call or build that it can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Unavailable,
    LostAnswer,
    Refused,
    NoCapacity,
    StaleList,
    StaleFind,
    BuildError,
    BuildStuck,
    AgentSilent,
    /// A create is refused for what a person has to mend.
    Quota,
    Credentials,
    ImageGone,
    FlavorChanged,
    NodeDisabled,
}

impl Fault {
    /// Those that strike only when they are ordered.
    pub(super) const ASKED: [Self; 5] =
        [Self::Quota, Self::Credentials, Self::ImageGone, Self::FlavorChanged, Self::NodeDisabled];
}

impl Faults {
    pub(super) fn rate(&self, fault: Fault) -> u16 {
        match fault {
            Fault::Unavailable => self.unavailable,
            Fault::LostAnswer => self.lost_answer,
            Fault::Refused => self.refused,
            Fault::NoCapacity => self.no_capacity,
            Fault::StaleList => self.stale_list,
            Fault::StaleFind => self.stale_find,
            Fault::BuildError => self.build_error,
            Fault::BuildStuck => self.build_stuck,
            Fault::AgentSilent => self.agent_silent,
            Fault::Quota
            | Fault::Credentials
            | Fault::ImageGone
            | Fault::FlavorChanged
            | Fault::NodeDisabled => 0,
        }
    }
}
