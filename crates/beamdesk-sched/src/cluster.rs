//! All hosts, and the decisions over them.

use std::{borrow::Cow, collections::BinaryHeap};

use beamdesk_types::{Misfit, NodeName};

use crate::{
    Guard, Host, NoRoom, Placement, Policy, Rank, Request, Settings, fits,
    index::{Candidate, Index, Misfits, number},
    policy::{Outlook, formula, nova_weights},
};

/// All hosts, with what is kept beside them to decide fast.
#[derive(Debug, Clone)]
pub struct Cluster {
    hosts: Vec<Host>,
    settings: Settings,
    outlook: Outlook,
    /// Indices of hosts in the order of their names: their positions in the index.
    by_name: Vec<usize>,
    /// For each host its position.
    positions: Vec<usize>,
    index: Index,
}

impl Cluster {
    /// Hosts have different names. Their order never matters.
    pub fn new(hosts: Vec<Host>, settings: Settings) -> Self {
        let mut by_name: Vec<usize> = (0..hosts.len()).collect();
        by_name.sort_by_key(|&index| &hosts[index].name);
        let mut positions = vec![0; hosts.len()];
        for (position, &index) in by_name.iter().enumerate() {
            positions[index] = position;
        }
        let outlook = Outlook::new(&hosts, &settings);
        let index = Index::new(hosts.len());
        Self { hosts, settings, outlook, by_name, positions, index }
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where the host of this name stands in [`Self::hosts`].
    pub fn index_of(&self, name: &NodeName) -> Option<usize> {
        let position = self.by_name.binary_search_by_key(&name, |&index| &self.hosts[index].name);
        self.by_name.get(position.ok()?).copied()
    }

    /// The best host for a request. It takes nothing yet: see [`Self::take`].
    pub fn place(&mut self, request: &Request) -> Result<Placement, NoRoom> {
        self.place_where(request, |_| true)
    }

    /// The best host of those that are allowed, asked for one after the other, the best first. A
    /// host that is not allowed counts as [`Misfit::Reserved`].
    pub fn place_where(
        &mut self,
        request: &Request,
        mut is_allowed: impl FnMut(&Placement) -> bool,
    ) -> Result<Placement, NoRoom> {
        self.outlook.decisions = self.outlook.decisions.wrapping_add(1);
        if let Some(only) = &request.only {
            return self.place_only(request, only, is_allowed);
        }
        if self.settings.policy.is_relative() {
            return self.place_by_ranks(request, is_allowed);
        }
        let mut excluded: Vec<usize> = request
            .excluded
            .iter()
            .filter_map(|name| self.positions.get(self.index_of(name)?).copied())
            .collect();
        excluded.sort_unstable();
        excluded.dedup();
        let kind = if request.excluded.is_empty() {
            Cow::Borrowed(request)
        } else {
            Cow::Owned(Request { excluded: Vec::new(), ..request.clone() })
        };
        let judge = Judge { settings: &self.settings, outlook: &self.outlook };
        let tournament = self.index.tournament(&kind, |position: usize| {
            judge.rank(&kind, &self.hosts[self.by_name[position]])
        });
        let mut misfits = tournament.misfits();
        for position in tournament.ranked() {
            if excluded.binary_search(&position).is_ok() {
                continue;
            }
            let host = self.by_name[position];
            let placement = judge.placement(request, &self.hosts, host);
            if is_allowed(&placement) {
                return Ok(placement);
            }
            misfits[number(Misfit::Reserved)] += 1;
        }
        for standing in excluded.into_iter().filter_map(|position| tournament.standing(position)) {
            match standing {
                // What is looked for before it stays the reason.
                Err(misfit) if *misfit < Misfit::Excluded => continue,
                Err(misfit) => misfits[number(*misfit)] -= 1,
                Ok(_) => {}
            }
            misfits[number(Misfit::Excluded)] += 1;
        }
        Err(self.no_room(misfits))
    }

    /// Books a placement.
    pub fn take(&mut self, request: &Request, placement: &Placement) {
        if let Some(host) = self.hosts.get_mut(placement.host) {
            host.take(request, &placement.cards);
            self.index.touch(self.positions[placement.host]);
        }
    }

    /// The inverse of [`Self::take`].
    pub fn release(&mut self, request: &Request, placement: &Placement) {
        if let Some(host) = self.hosts.get_mut(placement.host) {
            host.release(request, &placement.cards);
            self.index.touch(self.positions[placement.host]);
        }
    }

    /// What is known of a host, anew. Nothing happens where there is no such index.
    pub fn replace_host(&mut self, index: usize, host: Host) {
        let Some(present) = self.hosts.get_mut(index) else { return };
        let before = std::mem::replace(present, host);
        let after = &self.hosts[index];
        if before.name != after.name || !self.outlook.stays(&before, after, &self.hosts) {
            *self = Self::new(std::mem::take(&mut self.hosts), self.settings.clone());
        } else {
            self.index.touch(self.positions[index]);
        }
    }

    /// All hosts, in their order: how each would rank, or why it has no room. A plain look at each,
    /// without the index.
    pub fn ranks(&self, request: &Request) -> Vec<Result<Rank, Misfit>> {
        let judge = Judge { settings: &self.settings, outlook: &self.outlook };
        let mut ranks: Vec<_> = self.hosts.iter().map(|host| judge.rank(request, host)).collect();
        if self.settings.policy == Policy::Nova {
            weigh_as_nova(&self.hosts, &mut ranks);
        }
        ranks
    }

    /// Thousandths of cards that are free and of no use to the workload, on average (FGD's F, over
    /// all hosts).
    pub fn fragmentation_milli(&self) -> f64 {
        self.hosts.iter().map(|host| self.outlook.fragmentation.milli(host)).sum()
    }

    fn place_only(
        &self,
        request: &Request,
        only: &NodeName,
        mut is_allowed: impl FnMut(&Placement) -> bool,
    ) -> Result<Placement, NoRoom> {
        let judge = Judge { settings: &self.settings, outlook: &self.outlook };
        let guard = guard(&self.settings);
        let fits = |host: &usize| fits(request, &self.hosts[*host], guard).is_ok();
        if let Some(host) = self.index_of(only).filter(fits) {
            let placement = judge.placement(request, &self.hosts, host);
            if is_allowed(&placement) {
                return Ok(placement);
            }
        }
        self.place_by_ranks(request, |_| false)
    }

    fn place_by_ranks(
        &self,
        request: &Request,
        mut is_allowed: impl FnMut(&Placement) -> bool,
    ) -> Result<Placement, NoRoom> {
        let judge = Judge { settings: &self.settings, outlook: &self.outlook };
        let mut misfits = Misfits::default();
        let mut candidates = Vec::new();
        for (rank, &position) in self.ranks(request).into_iter().zip(&self.positions) {
            match rank {
                Ok(rank) => candidates.push(Candidate { rank, position }),
                Err(misfit) => misfits[number(misfit)] += 1,
            }
        }
        let mut candidates = BinaryHeap::from(candidates);
        while let Some(Candidate { position, .. }) = candidates.pop() {
            let placement = judge.placement(request, &self.hosts, self.by_name[position]);
            if is_allowed(&placement) {
                return Ok(placement);
            }
            misfits[number(Misfit::Reserved)] += 1;
        }
        Err(self.no_room(misfits))
    }

    fn no_room(&self, misfits: Misfits) -> NoRoom {
        let misfits =
            Misfit::ALL.into_iter().zip(misfits).filter(|(_, hosts)| *hosts > 0).collect();
        NoRoom { hosts: self.hosts.len(), misfits }
    }
}

/// Ranks one host by itself.
#[derive(Clone, Copy)]
struct Judge<'a> {
    settings: &'a Settings,
    outlook: &'a Outlook,
}

impl Judge<'_> {
    /// With the cards that the policy gives on this host.
    fn placement(self, request: &Request, hosts: &[Host], host: usize) -> Placement {
        let best = self.settings.policy.best(self.outlook, request, &hosts[host]);
        Placement { host, cards: best.cards }
    }

    fn rank(self, request: &Request, host: &Host) -> Result<Rank, Misfit> {
        fits(request, host, guard(self.settings))?;
        let policy = self.settings.policy;
        let best = policy.best(self.outlook, request, host);
        let is_own = request.station.as_ref().is_some_and(|own| host.kept_for.contains(own));
        let is_first = policy.is_tiered() && !request.wants_cards() && host.cards.is_empty();
        let rank = Rank {
            tier: 2 * u8::from(is_first) + u8::from(is_own),
            // There is but one zero in an order of scores.
            score: best.score + 0.0,
            left_over: 0.0,
            cards_mib: 0,
        };
        if policy.is_tied_by_name() {
            return Ok(rank);
        }
        let cards = best.cards.iter().filter_map(|&card| host.cards.get(card));
        Ok(Rank {
            left_over: self.outlook.left_over(host),
            cards_mib: cards.fold(0, |sum, card| sum.saturating_add(card.memory_mib)),
            ..rank
        })
    }
}

fn guard(settings: &Settings) -> Option<&Guard> {
    settings.guard.as_ref().filter(|_| settings.policy.has_guard())
}

/// Scales each of Nova's weights to 0..1 over the hosts that fit, and adds them.
fn weigh_as_nova(hosts: &[Host], ranks: &mut [Result<Rank, Misfit>]) {
    let fitting = hosts.iter().zip(ranks.iter()).filter(|(_, rank)| rank.is_ok());
    let mut range = [(f64::INFINITY, f64::NEG_INFINITY); 3];
    for (host, _) in fitting {
        for ((least, most), weight) in range.iter_mut().zip(nova_weights(host)) {
            *least = least.min(weight);
            *most = most.max(weight);
        }
    }
    for (host, rank) in hosts.iter().zip(ranks) {
        if let Ok(rank) = rank {
            let weights = range.iter().zip(nova_weights(host));
            let scaled =
                weights.map(|((least, most), weight)| formula::ratio(weight - least, most - least));
            rank.score = scaled.sum();
        }
    }
}
