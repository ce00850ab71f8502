//! What somebody who waits is told: what is missing, for whom room is held, what would start now.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
};

use jiff::{SignedDuration, Timestamp};

use beamdesk_types::{Misfit, SizeId, StationId};

use super::{
    Held, Job, NEAREST_MAX, OFFERS_MAX, Situation, Told, Wait,
    desk::{Desk, Waiter, emptied, stations_that_matter},
};
use crate::{
    Host, Request,
    calendar::{Hold, Holder, Kind},
    fits,
};

/// Hosts that are looked at closely to say for whom their room is held.
const HOSTS_MAX: usize = 4;
/// Hosts on which a start is tried for an offer, those where nothing is held first.
const OFFER_HOSTS_MAX: usize = 8;
/// A time shorter than this is not worth starting for.
const SHORTER_MIN: SignedDuration = SignedDuration::from_mins(15);
/// How often a shorter time is tried on a host, each ending where the last was in somebody's way.
const SHORTER_TRIES: usize = 4;

/// What is the same for all who ask for the same: a kind, a term, and whether it is the head.
type Alike = (Kind, Option<SignedDuration>, bool);

/// Fills in what is known at the moment of the plan: all but the estimates.
pub(super) fn explain(desk: &mut Desk, situation: &Situation<'_>) -> Vec<Wait> {
    let mut explainer = Explainer::new(situation);
    let waiters: HashMap<usize, Waiter> =
        desk.waiting.iter().map(|waiter| (waiter.job, waiter.clone())).collect();
    let mut waits = Vec::with_capacity(situation.queue.len());
    for index in desk.in_order.clone() {
        if let (Some(job), Some(waiter)) = (situation.queue.get(index), waiters.get(&index)) {
            waits.push(explainer.wait(desk, job, waiter));
        }
    }
    for &index in &desk.beyond {
        waits.extend(situation.queue.get(index).map(|job| blank(job, situation.hosts.len())));
    }
    for index in desk.never.clone() {
        if let Some(job) = situation.queue.get(index) {
            waits.push(explainer.never(desk, job));
        }
    }
    for (index, wait) in waits.iter_mut().enumerate() {
        wait.place = index + 1;
    }
    waits
}

/// For each request whether a desktop that came last would start now; if not, on how many hosts it
/// has no room for which reason.
pub(super) fn offered(desk: &mut Desk, request: &Request, term: Option<SignedDuration>) -> Told {
    let kind = desk.calendar.kind(request);
    let candidate = desk.candidate(kind, term);
    let open = open(desk, request);
    if starts_now(desk, &open, candidate) {
        return Ok(());
    }
    let mut misfits = BTreeMap::new();
    for host in desk.calendar.hosts() {
        let misfit = fits(request, host, desk.calendar.guard()).err().unwrap_or(Misfit::Reserved);
        *misfits.entry(misfit).or_default() += 1;
    }
    Err(misfits)
}

fn blank(job: &Job, hosts: usize) -> Wait {
    Wait {
        id: job.id,
        place: 0,
        estimate: None,
        misfits: BTreeMap::new(),
        hosts,
        held: None,
        shorter: None,
        nearest: Vec::new(),
        never: false,
    }
}

/// Answers that many share.
struct Explainer<'a> {
    offers: &'a [(SizeId, Request)],
    hosts: &'a [Host],
    stations: HashSet<&'a StationId>,
    told: HashMap<Alike, Rc<Wait>>,
    /// Hosts into which an offer fits, were nothing held.
    open: HashMap<Kind, Rc<[usize]>>,
    /// For each offer, beside the head or in its place, the longest term known to start now and the
    /// shortest known not to.
    starts: HashMap<(Kind, bool), (Option<SignedDuration>, Option<SignedDuration>)>,
}

impl<'a> Explainer<'a> {
    fn new(situation: &'a Situation<'_>) -> Self {
        Self {
            offers: situation.offers.get(..OFFERS_MAX).unwrap_or(situation.offers),
            hosts: &situation.hosts,
            stations: stations_that_matter(situation),
            open: HashMap::new(),
            told: HashMap::new(),
            starts: HashMap::new(),
        }
    }

    fn wait(&mut self, desk: &mut Desk, job: &Job, waiter: &Waiter) -> Wait {
        let is_head = desk.head == Some(waiter.job);
        let alike = (waiter.kind, waiter.term, is_head);
        if let Some(told) = self.told.get(&alike) {
            return Wait { id: job.id, ..Wait::clone(told) };
        }
        if is_head {
            desk.calendar.drop_head();
        }
        let mut wait = blank(job, self.hosts.len());
        for misfit in desk.fit(waiter.kind).iter().map(|fit| fit.err().unwrap_or(Misfit::Reserved))
        {
            *wait.misfits.entry(misfit).or_default() += 1;
        }
        let candidate = desk.candidate(waiter.kind, waiter.term);
        let open = |fit: &(usize, &Result<(), Misfit>)| fit.1.is_ok();
        let hosts = desk.fit(waiter.kind).iter().enumerate().filter(open);
        let hosts: Vec<usize> = hosts.map(|(host, _)| host).take(HOSTS_MAX).collect();
        wait.held = held(desk, &hosts, candidate);
        wait.shorter = hosts.iter().filter_map(|&host| shorter(desk, host, candidate)).max();
        wait.nearest = self.nearest(desk, &job.request, waiter.term, is_head);
        if is_head {
            desk.calendar.hold_head(waiter.kind, waiter.term);
        }
        self.told.insert(alike, Rc::new(wait.clone()));
        wait
    }

    fn never(&mut self, desk: &mut Desk, job: &Job) -> Wait {
        let mut wait = blank(job, self.hosts.len());
        wait.never = true;
        for host in self.hosts {
            if let Err(misfit) = fits(&job.request, &emptied(host), None) {
                *wait.misfits.entry(misfit).or_default() += 1;
            }
        }
        wait.nearest = self.nearest(desk, &job.request, job.term, false);
        wait
    }

    /// Offers that would start now, the nearest first. None for one whose server lies on a node: it
    /// cannot become another.
    fn nearest(
        &mut self,
        desk: &mut Desk,
        request: &Request,
        term: Option<SignedDuration>,
        is_head: bool,
    ) -> Vec<SizeId> {
        if request.only.is_some() {
            return Vec::new();
        }
        let mut offers: Vec<&(SizeId, Request)> = self.offers.iter().collect();
        offers.sort_by_key(|(size, offer)| (distance(request, offer), size));
        let mut nearest = Vec::new();
        for (size, offer) in offers {
            if nearest.len() >= NEAREST_MAX {
                break;
            }
            let station = request.station.clone().filter(|station| self.stations.contains(station));
            let offer = Request { station, only: None, excluded: Vec::new(), ..offer.clone() };
            let kind = desk.calendar.kind(&offer);
            let open = self.open.entry(kind).or_insert_with(|| open(desk, &offer));
            // Without end is the longest of all.
            let term = term.unwrap_or(SignedDuration::MAX);
            let (yes, no) = self.starts.entry((kind, is_head)).or_default();
            let known = match (&yes, &no) {
                (Some(yes), _) if term <= *yes => Some(true),
                (_, Some(no)) if term >= *no => Some(false),
                (_, _) => None,
            };
            let starts = known.unwrap_or_else(|| {
                let candidate = desk.candidate(kind, Some(term));
                let starts = starts_now(desk, open, candidate);
                *(if starts { yes } else { no }) = Some(term);
                starts
            });
            if starts {
                nearest.push(size.clone());
            }
        }
        nearest
    }
}

/// The hosts into which a request fits, those where nothing is held first.
fn open(desk: &Desk, request: &Request) -> Rc<[usize]> {
    let (calendar, guard) = (&desk.calendar, desk.calendar.guard());
    let hosts = calendar.hosts().iter().enumerate();
    let open = hosts.filter(|(_, host)| fits(request, host, guard).is_ok());
    let mut open: Vec<usize> = open.map(|(host, _)| host).collect();
    open.sort_by_key(|&host| !calendar.held(host).is_empty());
    open.into()
}

fn starts_now(desk: &mut Desk, open: &[usize], candidate: Hold) -> bool {
    let may_start = |&host: &usize| desk.calendar.admit(host, candidate, None).is_some();
    open.iter().take(OFFER_HOSTS_MAX).any(may_start)
}

/// For whom the room of these hosts is held: for somebody before it if it is only that.
fn held(desk: &mut Desk, hosts: &[usize], candidate: Hold) -> Option<Held> {
    let mut reservation = None;
    for &host in hosts {
        match desk.calendar.in_the_way(host, candidate, false).map(|hold| hold.holder) {
            Some(Holder::Reservation(index)) => {
                let booking = desk.calendar.bookings.get(index);
                reservation = reservation.or(booking.map(|booking| Held::Reservation(booking.id)));
            }
            Some(Holder::Head | Holder::Candidate) | None => return Some(Held::Earlier),
        }
    }
    reservation
}

/// Until when the candidate could run on this host, if it started now and nothing were moved.
fn shorter(desk: &mut Desk, host: usize, candidate: Hold) -> Option<Timestamp> {
    let mut candidate = candidate;
    let worth_it = candidate.from.checked_add(SHORTER_MIN).ok()?;
    for _ in 0..SHORTER_TRIES {
        match desk.calendar.in_the_way(host, candidate, true) {
            None => return Some(candidate.to),
            Some(hold) if hold.from >= worth_it && hold.from < candidate.to => {
                candidate.to = hold.from;
            }
            Some(_) => return None,
        }
    }
    None
}

/// How far an offer is from what was asked for: for each resource what is missing or too much, in
/// millionths of the larger of the two. Cards count most: without one it is another kind of desktop.
fn distance(request: &Request, offer: &Request) -> u128 {
    let cards =
        |request: &Request| u128::from(request.gpu.count) * u128::from(request.gpu.share_milli);
    let parts = [
        (4, cards(request), cards(offer)),
        (2, request.gpu.memory_mib.into(), offer.gpu.memory_mib.into()),
        (1, request.cpu_milli.into(), offer.cpu_milli.into()),
        (1, request.memory_mib.into(), offer.memory_mib.into()),
        (1, request.disk_gib.into(), offer.disk_gib.into()),
    ];
    let apart = |one: u128, other: u128| match one.max(other) {
        0 => 0,
        most => one.abs_diff(other).saturating_mul(1_000_000) / most,
    };
    parts.iter().map(|&(weight, one, other)| weight * apart(one, other)).sum()
}
