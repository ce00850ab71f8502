//! Whether a reservation can be held, before it is made.

use std::collections::BTreeMap;

use beamdesk_types::Misfit;

use super::{Situation, desk};
use crate::{
    Booking, Host,
    calendar::{Calendar, Stay},
    fits,
};

/// How much of a reservation can be held beside the other reservations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdable {
    /// Of its desktops, so many have room from its beginning on, as long as everybody who runs
    /// keeps to the term. Those of its station who run and need as much count.
    pub in_time: u32,
    /// So many, if nobody else ran and all nodes were open.
    pub ever: u32,
    /// On how many hosts, empty and open, one of its desktops has no room for which reason.
    pub misfits: BTreeMap<Misfit, usize>,
}

/// Says how much of a new or changed reservation can be held. The queue does not matter: beam time
/// comes first.
pub fn holdable(situation: &Situation<'_>, booking: &Booking) -> Holdable {
    let emptied: Vec<Host> = situation.hosts.iter().map(desk::emptied).collect();
    let mut request = booking.request.clone();
    request.station = Some(booking.station.clone());
    let mut misfits = BTreeMap::new();
    for host in &emptied {
        if let Err(misfit) = fits(&request, host, None) {
            *misfits.entry(misfit).or_default() += 1;
        }
    }
    let in_time = kept(situation, situation.hosts.clone(), true, booking);
    Holdable { in_time, ever: kept(situation, emptied, false, booking), misfits }
}

fn kept(situation: &Situation<'_>, hosts: Vec<Host>, with_running: bool, booking: &Booking) -> u32 {
    let guard = desk::guard(&situation.settings);
    let mut calendar = Calendar::new(situation.now, hosts, guard);
    let running = situation.running.iter().enumerate().filter(|_| with_running);
    for (who, running) in running {
        let kind = calendar.kind(&running.request);
        let ends = Calendar::leaves(situation.now, running.ends);
        calendar.note(running.host, Stay { who, kind, cards: running.cards.clone(), ends });
    }
    let others = situation.reservations.iter().filter(|other| other.id != booking.id);
    let bookings: Vec<Booking> = others.chain([booking]).cloned().collect();
    let kept = calendar.keep(&bookings, Some(booking.id));
    kept.iter().find(|(id, _)| *id == booking.id).map_or(0, |(_, in_time)| *in_time)
}
