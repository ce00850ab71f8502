//! The state of the cluster at one moment, and one pass through the queue.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use beamdesk_types::{Misfit, StationId};

use super::{
    QUEUE_MAX, Situation,
    order::{self, Amounts, Waiting},
    refusals::Refusals,
};
use crate::{
    Cluster, Guard, Host, Placement, Request, Settings,
    calendar::{Calendar, Hold, Holder, Kind, Shifts, Stay},
    fits,
};

/// Who waits, as a pass needs it.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    /// Index into the situation's queue.
    pub(super) job: usize,
    pub(super) kind: Kind,
    pub(super) group: usize,
    pub(super) queued: Timestamp,
    pub(super) term: Option<SignedDuration>,
}

/// The cluster, its calendar and who waits.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) cluster: Cluster,
    pub(super) calendar: Calendar,
    /// Who may start, the longest-waiting first.
    pub(super) waiting: Vec<Waiter>,
    /// Who is not looked at: those that never can, and those beyond [`QUEUE_MAX`].
    pub(super) never: Vec<usize>,
    pub(super) beyond: Vec<usize>,
    /// Who waits, in the order of the last pass.
    pub(super) in_order: Vec<usize>,
    /// For whom room is held: its number in the queue.
    pub(super) head: Option<usize>,
    refusals: Refusals,
    /// Somebody has started since room was held for the head.
    started_since: bool,
    capacity: Amounts,
    /// What each group has.
    used: Vec<Amounts>,
    /// The group of each who runs, by [`Stay::who`].
    groups: Vec<usize>,
    /// For each kind in the queue and each host whether it fits now.
    fit: Vec<Vec<Result<(), Misfit>>>,
    /// For each kind on how many hosts.
    open: Vec<usize>,
}

impl Desk {
    pub(super) fn new(situation: &Situation<'_>) -> Self {
        let hosts = situation.hosts.clone();
        let cluster = Cluster::new(hosts.clone(), situation.settings.clone());
        let guard = guard(&situation.settings);
        let capacity = order::capacity(&hosts);
        let mut desk = Self {
            cluster,
            calendar: Calendar::new(situation.now, hosts, guard),
            waiting: Vec::new(),
            never: Vec::new(),
            beyond: Vec::new(),
            in_order: Vec::new(),
            head: None,
            refusals: Refusals::default(),
            started_since: false,
            capacity,
            used: Vec::new(),
            groups: Vec::new(),
            fit: Vec::new(),
            open: Vec::new(),
        };
        let mut names = HashMap::new();
        desk.queue_up(situation, &mut names);
        desk.note_running(situation, &mut names);
        desk.calendar.keep(situation.reservations, None);
        desk
    }

    fn queue_up<'a>(&mut self, situation: &Situation<'a>, names: &mut HashMap<&'a str, usize>) {
        let mut jobs: Vec<usize> = (0..situation.queue.len()).collect();
        jobs.sort_by_key(|&job| situation.queue.get(job).map(|job| (job.queued, job.id)));
        let matter = stations_that_matter(situation);
        let mut can = Vec::new();
        for index in jobs {
            let Some(job) = situation.queue.get(index) else { continue };
            if self.waiting.len() >= QUEUE_MAX {
                self.beyond.push(index);
                continue;
            }
            let mut request = job.request.clone();
            request.station = request.station.filter(|station| matter.contains(station));
            let kind = self.calendar.kind(&request);
            if can.len() <= kind {
                can.push(situation.hosts.iter().any(|host| could_take(&job.request, host)));
            }
            if can.get(kind) == Some(&true) {
                let group = self.group(names, &job.group);
                let (queued, term) = (job.queued, job.term);
                self.waiting.push(Waiter { job: index, kind, group, queued, term });
            } else {
                self.never.push(index);
            }
        }
        self.fit = vec![vec![Err(Misfit::Disabled); situation.hosts.len()]; can.len()];
        self.open = vec![0; can.len()];
        for host in 0..situation.hosts.len() {
            self.refit(host);
        }
    }

    fn note_running<'a>(&mut self, situation: &Situation<'a>, names: &mut HashMap<&'a str, usize>) {
        for (who, running) in situation.running.iter().enumerate() {
            let kind = self.calendar.kind(&running.request);
            let group = self.group(names, &running.group);
            self.groups.push(group);
            if let Some(used) = self.used.get_mut(group) {
                *used = order::add(*used, order::needs(&running.request));
            }
            let ends = Calendar::leaves(situation.now, running.ends);
            let cards = running.cards.clone();
            self.calendar.note(running.host, Stay { who, kind, cards, ends });
        }
    }

    fn group<'a>(&mut self, names: &mut HashMap<&'a str, usize>, name: &'a str) -> usize {
        *names.entry(name).or_insert_with(|| {
            self.used.push(Amounts::default());
            self.used.len() - 1
        })
    }

    /// Whether somebody who waits fits anywhere, were nothing held.
    pub(super) fn anybody_fits(&self) -> bool {
        self.waiting.iter().any(|waiter| self.fits_somewhere(waiter.kind))
    }

    pub(super) fn fits_somewhere(&self, kind: Kind) -> bool {
        self.open.get(kind).is_some_and(|&hosts| hosts > 0)
    }

    /// For each host whether a kind of the queue fits now, were nothing held.
    pub(super) fn fit(&self, kind: Kind) -> &[Result<(), Misfit>] {
        self.fit.get(kind).map_or(&[], Vec::as_slice)
    }

    /// Who waits, in the order in which they come.
    pub(super) fn ordered(&self) -> Vec<usize> {
        let waiting: Vec<Waiting> = self
            .waiting
            .iter()
            .enumerate()
            .map(|(index, waiter)| Waiting {
                job: index,
                group: waiter.group,
                needs: self.needs(waiter.kind),
                queued: waiter.queued,
            })
            .collect();
        order::order(&waiting, &self.used, self.capacity)
    }

    /// Starts whoever can start now, in order; room is held for the first who cannot. Gives their
    /// numbers in the situation's queue and where they go.
    pub(super) fn step(&mut self) -> Vec<(usize, Placement)> {
        let before = self.calendar.drop_head().zip(self.head.take());
        let (mut started, mut in_order) = (Vec::new(), Vec::new());
        let mut gone = vec![false; self.waiting.len()];
        // Who was refused once is refused again in this pass: room only gets less.
        let mut refused: Vec<(Kind, Option<SignedDuration>)> = Vec::new();
        for index in self.ordered() {
            let Some(waiter) = self.waiting.get(index).cloned() else { continue };
            let alike = (waiter.kind, waiter.term);
            let may = self.fits_somewhere(waiter.kind) && !refused.contains(&alike);
            let placement = if may { self.start(&waiter) } else { None };
            match placement {
                Some(placement) => {
                    started.push((waiter.job, placement));
                    if let Some(gone) = gone.get_mut(index) {
                        *gone = true;
                    }
                }
                None => {
                    if may {
                        refused.push(alike);
                    }
                    in_order.push(waiter.job);
                    if self.head.is_none() && self.hold_head(&waiter, before, started.is_empty()) {
                        self.head = Some(waiter.job);
                    }
                }
            }
        }
        let mut gone = gone.into_iter();
        self.waiting.retain(|_| !gone.next().unwrap_or_default());
        self.in_order = in_order;
        self.started_since |= !started.is_empty();
        started
    }

    /// Holds room for the first that cannot start: the same as before, if it is the same one and
    /// nobody started since.
    fn hold_head(
        &mut self,
        waiter: &Waiter,
        before: Option<((usize, Hold), usize)>,
        nobody_started: bool,
    ) -> bool {
        if let Some(((host, hold), _)) = before.filter(|(_, job)| *job == waiter.job)
            && nobody_started
            && !self.started_since
            && self.calendar.hold_again(host, hold)
        {
            return true;
        }
        self.started_since = false;
        self.calendar.hold_head(waiter.kind, waiter.term).is_some()
    }

    /// Gives room to one, where the policy likes it best and nothing held is lost.
    fn start(&mut self, waiter: &Waiter) -> Option<Placement> {
        let candidate = self.candidate(waiter.kind, waiter.term);
        let request = self.calendar.requests.get(waiter.kind)?.clone();
        let (placement, shifts) = self.liked(&request, waiter.term, candidate)?;
        self.calendar.shift(shifts);
        self.cluster.take(&request, &placement);
        let who = self.groups.len();
        self.groups.push(waiter.group);
        if let Some(used) = self.used.get_mut(waiter.group) {
            *used = order::add(*used, order::needs(&request));
        }
        let cards = placement.cards.clone();
        let stay = Stay { who, kind: waiter.kind, cards, ends: candidate.to };
        self.calendar.start(placement.host, stay);
        self.refit(placement.host);
        Some(placement)
    }

    /// The host that the policy likes best of those that may be had.
    fn liked(
        &mut self,
        request: &Request,
        term: Option<SignedDuration>,
        candidate: Hold,
    ) -> Option<(Placement, Shifts)> {
        let (calendar, refusals, mut admitted) = (&mut self.calendar, &mut self.refusals, None);
        let mut refused = Vec::new();
        let allowed = |placement: &Placement| {
            let Placement { host, cards } = placement;
            if !refusals.knows(calendar, candidate.kind, term, *host) {
                admitted = calendar.admit(*host, candidate, Some(cards));
                if admitted.is_none() {
                    refusals.note(calendar, candidate.kind, term, *host);
                    refused.push(placement.clone());
                }
            }
            admitted.is_some()
        };
        if let Ok(placement) = self.cluster.place_where(request, allowed) {
            return admitted.map(|shifts| (placement, shifts));
        }
        self.possible(refused, candidate)
    }

    /// Other cards than the policy would take: what is held must be given when its time comes,
    /// whatever the policy says.
    fn possible(
        &mut self,
        refused: Vec<Placement>,
        candidate: Hold,
    ) -> Option<(Placement, Shifts)> {
        refused.into_iter().find_map(|Placement { host, cards: liked }| {
            let cards = self.calendar.cards_for(candidate.kind, host);
            if cards == liked {
                return None;
            }
            let shifts = self.calendar.admit(host, candidate, Some(&cards))?;
            Some((Placement { host, cards }, shifts))
        })
    }

    /// Somebody who would start now.
    pub(super) fn candidate(&self, kind: Kind, term: Option<SignedDuration>) -> Hold {
        let from = self.calendar.now;
        Hold { holder: Holder::Candidate, kind, from, to: Calendar::end_of(from, term) }
    }

    /// Moves on to a later time: whose end has come leaves.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let gone = self.calendar.advance(now);
        for (host, stay) in &gone {
            let Some(request) = self.calendar.requests.get(stay.kind) else { continue };
            let placement = Placement { host: *host, cards: stay.cards.clone() };
            self.cluster.release(request, &placement);
            let group = self.groups.get(stay.who).and_then(|&group| self.used.get_mut(group));
            if let Some(used) = group {
                *used = order::subtract(*used, order::needs(request));
            }
        }
        let mut hosts: Vec<usize> = gone.into_iter().map(|(host, _)| host).collect();
        hosts.dedup();
        for host in hosts {
            self.refit(host);
        }
    }

    fn needs(&self, kind: Kind) -> Amounts {
        self.calendar.requests.get(kind).map(order::needs).unwrap_or_default()
    }

    /// Looks anew who fits on a host.
    fn refit(&mut self, host: usize) {
        let Some(room) = self.calendar.hosts().get(host) else { return };
        let guard = self.calendar.guard();
        for (kind, (fit, open)) in self.fit.iter_mut().zip(&mut self.open).enumerate() {
            let (Some(fit), Some(request)) = (fit.get_mut(host), self.calendar.requests.get(kind))
            else {
                continue;
            };
            let fits = fits(request, room, guard);
            match (fit.is_ok(), fits.is_ok()) {
                (false, true) => *open += 1,
                (true, false) => *open -= 1,
                (true, true) | (false, false) => {}
            }
            *fit = fits;
        }
    }
}

/// Stations for which room is held, or hosts are kept: for others it does not matter for whom a
/// desktop is.
pub(super) fn stations_that_matter<'a>(situation: &'a Situation<'_>) -> HashSet<&'a StationId> {
    let kept_for = situation.hosts.iter().flat_map(|host| &host.kept_for);
    let reserved_for = situation.reservations.iter().map(|booking| &booking.station);
    kept_for.chain(reserved_for).collect()
}

/// As the cluster has it.
pub(super) fn guard(settings: &Settings) -> Option<Guard> {
    settings.guard.filter(|_| settings.policy.has_guard())
}

/// Whether the host could take it if it were empty and open.
pub(super) fn could_take(request: &Request, host: &Host) -> bool {
    let mut request = request.clone();
    request.excluded.clear();
    fits(&request, &emptied(host), None).is_ok()
}

/// The host with nobody on it and nothing against it, except for whom it is kept.
pub(super) fn emptied(host: &Host) -> Host {
    let mut host = host.clone();
    host.cpu_milli.used = 0;
    host.memory_mib.used = 0;
    host.disk_gib.used = 0;
    for card in &mut host.cards {
        card.free_milli = beamdesk_types::WHOLE_CARD;
    }
    host.closed = None;
    host.is_stale = false;
    host
}
