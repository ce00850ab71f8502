//! Who may do what to which desktop, and when it can be done at all.

use beamdesk_types::{Actor, Desktop, Goal, Phase, Role};

use crate::PortalError;

/// What a person may do to a desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    See,
    Connect,
    Rename,
    Start,
    Stop,
    Restart,
    Retry,
    /// Of its term.
    Extend,
    /// Another size, while it waits.
    Resize,
    Remove,
}

/// Whether this person may, whatever state the desktop is in.
pub(crate) fn may(actor: &Actor, act: Act, desktop: &Desktop) -> bool {
    let owns = desktop.owner == actor.user;
    match act {
        // Nobody sees into somebody else's desktop without being invited.
        Act::Connect => owns,
        Act::See
        | Act::Rename
        | Act::Start
        | Act::Stop
        | Act::Restart
        | Act::Retry
        | Act::Extend
        | Act::Resize
        | Act::Remove => owns || actor.role >= Role::Operator,
    }
}

/// Whether the desktop's state allows it, whoever asks.
pub(crate) fn is_possible(act: Act, desktop: &Desktop) -> bool {
    let running = desktop.goal == Goal::Running;
    match act {
        Act::See => true,
        Act::Connect => running && desktop.phase == Phase::Ready && !desktop.restart,
        Act::Rename => desktop.goal != Goal::Deleted,
        Act::Start => desktop.goal == Goal::Stopped,
        Act::Stop => running,
        Act::Restart => {
            running && !desktop.restart && matches!(desktop.phase, Phase::Ready | Phase::Booting)
        }
        Act::Retry => running && desktop.phase == Phase::Failed,
        Act::Extend => running && desktop.ends.is_some(),
        Act::Resize => running && desktop.phase == Phase::Pending && desktop.node.is_none(),
        Act::Remove => desktop.goal != Goal::Deleted,
    }
}

/// Refuses what this person may not: as if it were not there, when it may not even be seen.
pub(crate) fn require(actor: &Actor, act: Act, desktop: &Desktop) -> Result<(), PortalError> {
    if !may(actor, Act::See, desktop) || desktop.phase == Phase::Deleted {
        return Err(PortalError::NotFound);
    }
    if may(actor, act, desktop) { Ok(()) } else { Err(PortalError::Forbidden) }
}
