//! What is kept between decisions: for each kind of request a tournament over all hosts.
//!
//! A decision is the winner of its tournament. When a host changes, only its own matches are played
//! again, in each tournament when that is next asked: the cost does not grow with the cluster.

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use beamdesk_types::Misfit;

use crate::{Rank, Request};

/// Kinds of requests that are kept. A facility has some tens of sizes; a trace some hundreds.
const KINDS_MAX: usize = 512;
/// Hosts of all tournaments together, some 40 bytes each: a large cluster keeps fewer kinds.
const LEAVES_MAX: usize = 4 << 20;

/// How a host stands in one tournament.
pub(crate) type Standing = Result<Rank, Misfit>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    kinds: Vec<Kind>,
    /// Positions that changed, the latest last.
    log: Vec<usize>,
    /// How many entries were taken off the front of the log.
    dropped: usize,
    /// For each position the number of its latest entry in the log.
    latest: Vec<Option<usize>>,
    /// How many trees were asked for.
    clock: u64,
}

/// One kind of request.
#[derive(Debug, Clone)]
struct Kind {
    hash: u64,
    request: Request,
    tournament: Tournament,
    /// All changes before this entry of the log are in.
    seen: usize,
    used: u64,
}

impl Index {
    /// For so many hosts, at positions in the order of their names.
    pub(crate) fn new(hosts: usize) -> Self {
        Self { latest: vec![None; hosts], ..Self::default() }
    }

    /// Notes that a host changed.
    pub(crate) fn touch(&mut self, position: usize) {
        let entry = self.next_entry();
        if let Some(latest) = self.latest.get_mut(position) {
            *latest = Some(entry);
            self.log.push(position);
        }
        // Who has not looked for so long is quicker made anew than brought up to date.
        if self.log.len() > 2 * self.latest.len() {
            self.log.drain(..self.latest.len());
            self.dropped += self.latest.len();
        }
    }

    /// The tournament of a request, up to date. `stand` says how the host at a position stands.
    pub(crate) fn tournament(
        &mut self,
        request: &Request,
        stand: impl Fn(usize) -> Standing,
    ) -> &mut Tournament {
        self.clock += 1;
        let (clock, next) = (self.clock, self.next_entry());
        let hash = hash(request);
        let found = self.kinds.iter().position(|kind| kind.hash == hash && kind.is_of(request));
        let index = found.unwrap_or_else(|| self.add(hash, request, &stand));
        let Self { kinds, log, dropped, latest, .. } = self;
        let kind = &mut kinds[index];
        kind.used = clock;
        match kind.seen.checked_sub(*dropped) {
            Some(seen) => {
                for (entry, position) in (kind.seen..).zip(&log[seen..]) {
                    if latest[*position] == Some(entry) {
                        kind.tournament.set(*position, stand(*position));
                    }
                }
            }
            None => kind.tournament = Tournament::new((0..latest.len()).map(stand).collect()),
        }
        kind.seen = next;
        &mut kind.tournament
    }

    fn add(&mut self, hash: u64, request: &Request, stand: impl Fn(usize) -> Standing) -> usize {
        let hosts = self.latest.len();
        let tournament = Tournament::new((0..hosts).map(stand).collect());
        let request = Request { only: None, excluded: Vec::new(), ..request.clone() };
        let kind = Kind { hash, request, tournament, seen: self.next_entry(), used: self.clock };
        if self.kinds.len() < KINDS_MAX.min(LEAVES_MAX / hosts.max(1)).max(1) {
            self.kinds.push(kind);
            return self.kinds.len() - 1;
        }
        let ages = self.kinds.iter().map(|kind| kind.used).enumerate();
        let oldest = ages.min_by_key(|(_, used)| *used).map_or(0, |(index, _)| index);
        self.kinds[oldest] = kind;
        oldest
    }

    fn next_entry(&self) -> usize {
        self.dropped + self.log.len()
    }
}

impl Kind {
    fn is_of(&self, request: &Request) -> bool {
        let Request { cpu_milli, memory_mib, disk_gib, gpu, station, only: _, excluded: _ } =
            request;
        (self.request.cpu_milli, self.request.memory_mib, self.request.disk_gib)
            == (*cpu_milli, *memory_mib, *disk_gib)
            && self.request.gpu == *gpu
            && self.request.station == *station
    }
}

/// Without the hosts that it may or may not have: those differ from one desktop to the next.
fn hash(request: &Request) -> u64 {
    let Request { cpu_milli, memory_mib, disk_gib, gpu, station, only: _, excluded: _ } = request;
    let mut hasher = DefaultHasher::new();
    (cpu_milli, memory_mib, disk_gib, gpu, station).hash(&mut hasher);
    hasher.finish()
}

/// A complete binary tree whose inner nodes hold the position that wins among those below.
#[derive(Debug, Clone)]
pub(crate) struct Tournament {
    leaves: Vec<Standing>,
    /// Node 1 is the root, the children of `n` are `2n` and `2n + 1`; the leaves are not stored.
    winners: Vec<Option<u32>>,
    misfits: [usize; Misfit::ALL.len()],
}

impl Tournament {
    fn new(leaves: Vec<Standing>) -> Self {
        let size = leaves.len().next_power_of_two();
        let mut tournament =
            Self { leaves, winners: vec![None; size], misfits: [0; Misfit::ALL.len()] };
        for standing in &tournament.leaves {
            if let Err(misfit) = standing {
                tournament.misfits[number(*misfit)] += 1;
            }
        }
        for node in (1..size).rev() {
            tournament.winners[node] = tournament.play(node);
        }
        tournament
    }

    /// All positions that are in, the best first, found one after the other.
    pub(crate) fn ranked(&self) -> Ranked<'_> {
        let mut ranked = Ranked { tournament: self, open: BinaryHeap::new() };
        ranked.open(1);
        ranked
    }

    pub(crate) fn standing(&self, position: usize) -> Option<&Standing> {
        self.leaves.get(position)
    }

    /// How many hosts have no room, by reason.
    pub(crate) fn misfits(&self) -> Misfits {
        self.misfits
    }

    fn set(&mut self, position: usize, standing: Standing) {
        let Some(leaf) = self.leaves.get_mut(position) else { return };
        if let Err(misfit) = *leaf {
            self.misfits[number(misfit)] -= 1;
        }
        if let Err(misfit) = standing {
            self.misfits[number(misfit)] += 1;
        }
        *leaf = standing;
        let mut node = (self.winners.len() + position) / 2;
        while node > 0 {
            self.winners[node] = self.play(node);
            node /= 2;
        }
    }

    /// Who wins at an inner node. The left is of the smaller name: it wins a tie.
    fn play(&self, node: usize) -> Option<u32> {
        let (Some(left), Some(right)) = (self.winner(2 * node), self.winner(2 * node + 1)) else {
            return self.winner(2 * node).or(self.winner(2 * node + 1));
        };
        let better = |one: &Rank, other: &Rank| one.order(other).is_gt();
        match (self.rank(left), self.rank(right)) {
            (Some(one), Some(other)) if better(other, one) => Some(right),
            _ => Some(left),
        }
    }

    fn winner(&self, node: usize) -> Option<u32> {
        match node.checked_sub(self.winners.len()) {
            None => self.winners.get(node).copied().flatten(),
            Some(position) => {
                let is_in = self.leaves.get(position).is_some_and(Result::is_ok);
                is_in.then(|| u32::try_from(position).ok()).flatten()
            }
        }
    }

    fn rank(&self, position: u32) -> Option<&Rank> {
        self.leaves.get(usize::try_from(position).ok()?)?.as_ref().ok()
    }
}

/// See [`Tournament::ranked`]: a heap of subtrees, by their winners.
#[derive(Debug)]
pub(crate) struct Ranked<'a> {
    tournament: &'a Tournament,
    open: BinaryHeap<(Candidate, usize)>,
}

impl Ranked<'_> {
    fn open(&mut self, node: usize) {
        let tournament = self.tournament;
        if let Some(winner) = tournament.winner(node)
            && let (Some(rank), Ok(position)) = (tournament.rank(winner), usize::try_from(winner))
        {
            self.open.push((Candidate { rank: *rank, position }, node));
        }
    }
}

impl Iterator for Ranked<'_> {
    type Item = usize;
    fn next(&mut self) -> Option<usize> {
        let (Candidate { position, .. }, node) = self.open.pop()?;
        // What lost to it on its way up to this node.
        let mut below = self.tournament.winners.len() + position;
        while below > node {
            self.open(below ^ 1);
            below /= 2;
        }
        Some(position)
    }
}

/// A host that fits, at its position; the greater is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) rank: Rank,
    pub(crate) position: usize,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.order(&other.rank).then_with(|| other.position.cmp(&self.position))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By the position of a misfit in [`Misfit::ALL`].
pub(crate) type Misfits = [usize; Misfit::ALL.len()];

pub(crate) fn number(misfit: Misfit) -> usize {
    Misfit::ALL.iter().position(|present| *present == misfit).unwrap_or(0)
}
