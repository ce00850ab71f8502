//! How long desktops run, and longer.

use beamdesk_sched::queue::{Until, extension};
use beamdesk_types::{Actor, Desktop, DesktopId, Size, Timestamp};
use jiff::SignedDuration;

use crate::{
    App, PortalError,
    app::{
        audit, planning,
        policy::{self, Act},
    },
};

/// From so long before its end on, people are warned.
pub(crate) const WARN_BEFORE: SignedDuration = SignedDuration::from_mins(30);
/// Nobody reads a calendar further ahead, and room that is never asked for again is lost.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);
const HOURS_MAX: u32 = 30 * 24;
/// A shorter extension helps nobody.
const LEAST: SignedDuration = SignedDuration::from_mins(5);
/// Writers of one row are its owner and the reconciler; more conflicts in a row are no chance.
const SAVE_TRIES_MAX: usize = 8;

/// Whether its end is near.
pub(crate) fn ends_soon(desktop: &Desktop, now: Timestamp) -> bool {
    desktop.ends.is_some_and(|ends| ends.duration_since(now) <= WARN_BEFORE)
}

/// Lets it run so many hours longer, or another term of its size, or as long as the calendar allows.
pub(crate) async fn extend(
    app: &App,
    actor: &Actor,
    id: DesktopId,
    hours: Option<u32>,
) -> Result<Desktop, PortalError> {
    if hours.is_some_and(|hours| hours == 0 || hours > HOURS_MAX) {
        return Err(PortalError::Invalid { field: "hours", why: "is 1 to 720" });
    }
    for _ in 0..SAVE_TRIES_MAX {
        let desktop = app.store.desktop(id).await?.ok_or(PortalError::NotFound)?;
        policy::require(actor, Act::Extend, &desktop)?;
        let ends = desktop.ends.filter(|_| policy::is_possible(Act::Extend, &desktop));
        let Some(ends) = ends else { return Err(PortalError::NotNow) };
        let size = app.store.size(&desktop.size).await?;
        let now = app.clock.now();
        let wanted = wanted(ends, now, hours, size.as_ref()).ok_or(PortalError::CannotExtend)?;
        let (gathered, _) = planning::gather(app).await?;
        let asked =
            tokio::task::spawn_blocking(move || extension(&gathered.situation(), id, wanted));
        let until = match asked.await.map_err(|_| PortalError::Unplanned)? {
            Ok(until) | Err(Until(until)) => until,
        };
        if until.duration_since(ends) < LEAST {
            return Err(PortalError::CannotExtend);
        }
        let extended = Desktop { ends: Some(until), ..desktop };
        if app.store.save_desktop(&extended).await? {
            app.planning().changed();
            app.events().want(id);
            let detail = until.to_string();
            audit::note(app, actor, "desktop_extended", audit::desktop(id), detail).await?;
            return Ok(Desktop { revision: extended.revision + 1, ..extended });
        }
    }
    Err(PortalError::Contended)
}

/// `None`: it runs as long as may be already.
fn wanted(
    ends: Timestamp,
    now: Timestamp,
    hours: Option<u32>,
    size: Option<&Size>,
) -> Option<Timestamp> {
    let term = size.map_or(0, |size| size.term_hours).clamp(1, HOURS_MAX);
    let longer = SignedDuration::from_hours(i64::from(hours.unwrap_or(term)));
    let wanted = ends.max(now).checked_add(longer).ok()?.min(now.checked_add(AHEAD_MAX).ok()?);
    (wanted.duration_since(ends) >= LEAST).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use beamdesk_types::Timestamp;
    use jiff::SignedDuration;

    use super::wanted;

    #[test]
    fn a_term_grows_from_its_end_up_to_a_month_ahead() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let hours = SignedDuration::from_hours;
        assert_eq!(wanted(now + hours(2), now, Some(3), None), Some(now + hours(5)));
        assert_eq!(wanted(now - hours(1), now, Some(3), None), Some(now + hours(3)));
        assert_eq!(wanted(now + hours(2), now, Some(720), None), Some(now + hours(720)));
        assert_eq!(wanted(now + hours(720), now, Some(1), None), None);
    }
}
