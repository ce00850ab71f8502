//! Whether a desktop may run longer.

use jiff::Timestamp;

use beamdesk_types::DesktopId;

use super::{Situation, desk::Desk};

/// The latest end that the calendar allows, where it is not the one wanted. Not later than the end
/// it has: it cannot run longer at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until(pub Timestamp);

/// The new end of a desktop's term. It may run longer as long as each reservation, and the desktop
/// that waits first, still gets its room at its time.
///
/// A desktop that does not run has no term: then it is until now. One without end needs none.
pub fn extension(
    situation: &Situation<'_>,
    desktop: DesktopId,
    wanted: Timestamp,
) -> Result<Timestamp, Until> {
    let found = situation.running.iter().enumerate().find(|(_, running)| running.id == desktop);
    let Some((who, running)) = found else { return Err(Until(situation.now)) };
    let Some(ends) = running.ends.filter(|&ends| wanted > ends) else { return Ok(wanted) };
    let mut desk = Desk::new(situation);
    desk.step();
    let begins = desk.calendar.begins();
    let between = begins.into_iter().rev().filter(|&at| at > ends && at < wanted);
    for to in std::iter::once(wanted).chain(between) {
        desk.calendar.look_anew();
        if desk.calendar.prolong(running.host, who, to) {
            return if to == wanted { Ok(wanted) } else { Err(Until(to)) };
        }
    }
    Err(Until(ends))
}
