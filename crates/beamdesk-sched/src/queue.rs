//! Who waits for room: who starts now, in which order the others come, and when.
//!
//! The order is fair between groups ([`order`]). Who is first and does not fit gets room held at
//! the earliest time at which it can start (EASY backfill: Lifka, "The ANL/IBM SP scheduling
//! system", 1995); whoever comes after it starts now if that, and what is reserved, stays possible
//! at its time.

mod desk;
mod explain;
mod extend;
mod forecast;
mod holdable;
mod order;
mod refusals;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use beamdesk_types::{DesktopId, Misfit, ReservationId, SizeId};

pub use crate::calendar::Booking;
pub use extend::{Until, extension};
pub use holdable::{Holdable, holdable};
pub use order::WAIT_WORTH;

use crate::{Host, Placement, Request, Settings};
use desk::Desk;

/// Who waits beyond this is told its place, but is not looked at until others have left: a plan
/// takes time for each, and nobody far behind starts in the meantime.
pub const QUEUE_MAX: usize = 1000;
/// Sizes that are tried for somebody who waits. Beyond that nobody reads.
pub const OFFERS_MAX: usize = 64;
/// Offers told to one who waits.
pub const NEAREST_MAX: usize = 3;

/// A desktop that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: DesktopId,
    /// Who shares fairly: a station, or a person without one.
    pub group: String,
    pub request: Request,
    pub queued: Timestamp,
    /// How long it runs once started. `None`: without end.
    pub term: Option<SignedDuration>,
}

/// A desktop that has its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    pub id: DesktopId,
    pub group: String,
    pub request: Request,
    /// Index into [`Situation::hosts`].
    pub host: usize,
    /// Indices into [`Host::cards`].
    pub cards: Vec<usize>,
    /// `None`: without end.
    pub ends: Option<Timestamp>,
}

/// All that a plan is made of.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    pub now: Timestamp,
    /// With all that runs taken already. Their order never matters.
    pub hosts: Vec<Host>,
    pub settings: Settings,
    pub running: &'a [Running],
    pub reservations: &'a [Booking],
    pub queue: &'a [Job],
    /// What could be asked for instead.
    pub offers: &'a [(SizeId, Request)],
}

/// Who starts now and who waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they were given room.
    pub starts: Vec<Start>,
    /// The first to come first.
    pub waits: Vec<Wait>,
}

/// A desktop that can start now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub id: DesktopId,
    pub placement: Placement,
}

/// A desktop that waits, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    pub id: DesktopId,
    /// 1: the next to come. Those that never can come last.
    pub place: usize,
    /// When it starts if nobody else asks, and everybody stays to the end of the term. `None`: not
    /// to be told, because somebody without end is in the way.
    pub estimate: Option<Timestamp>,
    /// On how many hosts it has no room for which reason.
    pub misfits: BTreeMap<Misfit, usize>,
    /// How many hosts there are.
    pub hosts: usize,
    /// For whom the room is held that it would fit into now.
    pub held: Option<Held>,
    /// Until when it could run if it started now, where only its term keeps it from that.
    pub shorter: Option<Timestamp>,
    /// Offers that would start now, the nearest to what it asks for first; at most
    /// [`NEAREST_MAX`].
    pub nearest: Vec<SizeId>,
    /// No host could take it even when empty and open.
    pub never: bool,
}

/// For whom room is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Reservation(ReservationId),
    /// For somebody who is before it in the queue.
    Earlier,
    /// For itself, as soon as the cloud has made enough of those that were asked for before.
    Pace,
}

/// Says for everybody who waits whether it starts now, and if not, why and when.
pub fn plan(situation: &Situation<'_>) -> Plan {
    let mut desk = Desk::new(situation);
    let started = desk.step();
    let starts = started
        .into_iter()
        .filter_map(|(job, placement)| {
            situation.queue.get(job).map(|job| Start { id: job.id, placement })
        })
        .collect();
    let mut waits = explain::explain(&mut desk, situation);
    forecast::forecast(&mut desk, situation, &mut waits);
    Plan { starts, waits }
}

/// What could be asked for: its name, what it needs, and its term.
pub type Offer = (SizeId, Request, Option<SignedDuration>);

/// It would start, or on how many hosts it has no room for which reason.
pub type Told = Result<(), BTreeMap<Misfit, usize>>;

/// For each of these whether a desktop that came last in the queue would start now; if not, on how
/// many hosts it has no room for which reason.
pub fn offers(situation: &Situation<'_>, offers: &[Offer]) -> Vec<(SizeId, Told)> {
    let mut desk = Desk::new(situation);
    desk.step();
    let told = offers
        .iter()
        .map(|(size, request, term)| (size.clone(), explain::offered(&mut desk, request, *term)));
    told.collect()
}
