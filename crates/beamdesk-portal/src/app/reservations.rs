//! Reservations for beam time, as operators make them.

use beamdesk_sched::queue::{Holdable, holdable};
use beamdesk_types::{Actor, Reservation, ReservationId, SizeId, StationId, Timestamp};
use jiff::SignedDuration;

use crate::{
    App, PortalError,
    app::{
        audit,
        demand::Books,
        planning::{self, booking},
    },
};

/// Still to come or going on, of all stations together: what plans look at.
const RESERVATIONS_MAX: u32 = 500;
const COUNT_MAX: u32 = 500;
const NOTE_CHARS_MAX: usize = 200;
/// Longer than any beam time; and how far ahead a calendar is made.
const LONGEST: SignedDuration = SignedDuration::from_hours(90 * 24);
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(2 * 366 * 24);

/// What an operator asks for.
#[derive(Debug, Clone)]
pub(crate) struct NewReservation {
    pub(crate) station: StationId,
    pub(crate) size: SizeId,
    pub(crate) count: u32,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) note: String,
}

/// Makes it unless it could never be held. Says for how many of its desktops there is room right
/// from its beginning, if everybody keeps to their term.
pub(crate) async fn add(
    app: &App,
    actor: &Actor,
    wanted: NewReservation,
) -> Result<(Reservation, u32), PortalError> {
    check(&wanted, app.clock.now())?;
    let books = Books::read(app).await?;
    let refused = |field| PortalError::Invalid { field, why: "there is none of this name" };
    let station = books.stations.get(&wanted.station).ok_or_else(|| refused("station"))?;
    let size = books.sizes.get(&wanted.size).ok_or_else(|| refused("size"))?;
    size.gpu.and(&station.gpu)?;
    let reservation = Reservation {
        id: ReservationId::fresh(),
        station: wanted.station,
        size: wanted.size,
        count: wanted.count,
        from: to_the_ms(wanted.from),
        to: to_the_ms(wanted.to),
        note: wanted.note.trim().to_owned(),
        created_by: actor.user,
    };
    let asked = booking(&reservation, &books).ok_or_else(|| refused("size"))?;
    let (gathered, _) = planning::gather(app).await?;
    let held = tokio::task::spawn_blocking(move || holdable(&gathered.situation(), &asked));
    let held = held.await.map_err(|_| PortalError::Unplanned)?;
    if held.ever < reservation.count {
        return Err(PortalError::CannotBeHeld { why: why_not(&held, reservation.count) });
    }
    app.store.add_reservation(&reservation, RESERVATIONS_MAX).await?;
    app.planning().changed();
    app.events().changed();
    let detail = format!("{} of {}", reservation.count, reservation.size);
    audit::note(app, actor, "reservation_made", subject(reservation.id), detail).await?;
    Ok((reservation, held.in_time))
}

pub(crate) async fn remove(app: &App, actor: &Actor, id: ReservationId) -> Result<(), PortalError> {
    if !app.store.remove_reservation(id).await? {
        return Err(PortalError::NotFound);
    }
    app.planning().changed();
    app.events().changed();
    audit::note(app, actor, "reservation_removed", subject(id), "").await
}

/// As the database keeps it.
fn to_the_ms(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

fn subject(id: ReservationId) -> String {
    format!("reservation:{id}")
}

fn check(wanted: &NewReservation, now: Timestamp) -> Result<(), PortalError> {
    let invalid = |field, why| Err(PortalError::Invalid { field, why });
    if wanted.count == 0 || wanted.count > COUNT_MAX {
        return invalid("count", "is 1 to 500 desktops");
    }
    if wanted.to <= wanted.from {
        return invalid("time", "ends before it begins");
    }
    if wanted.to <= now {
        return invalid("time", "is over already");
    }
    if wanted.to.duration_since(wanted.from) > LONGEST {
        return invalid("time", "is at most 90 days long");
    }
    if wanted.from.duration_since(now) > AHEAD_MAX {
        return invalid("time", "begins at most two years from now");
    }
    let note = &wanted.note;
    if note.chars().count() > NOTE_CHARS_MAX || note.chars().any(char::is_control) {
        return invalid("note", "has at most 200 characters, none of them control characters");
    }
    Ok(())
}

fn why_not(held: &Holdable, count: u32) -> String {
    let misfits: Vec<String> = held
        .misfits
        .iter()
        .filter_map(|(misfit, nodes)| {
            let word = serde_json::to_value(misfit).ok()?;
            Some(format!("{}: {nodes}", word.as_str()?))
        })
        .collect();
    let all = format!("beside other reservations there is room for {} of {count}", held.ever);
    if misfits.is_empty() {
        all
    } else {
        format!("{all}; nodes without room for one, by reason: {}", misfits.join(", "))
    }
}
