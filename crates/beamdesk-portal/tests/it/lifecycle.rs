//! The life of desktops in a simulated cloud that breaks: they arrive, and they never do harm.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use beamdesk_cloud::{
    CloudError, Compute as _, Power, PowerState, Server, ServerId, ServerSpec,
    sim::{Faults, Pace, Sim},
};
use beamdesk_portal::{
    Books, Gathered,
    cluster::{Facts, hosts},
    lifecycle::{
        ATTEMPTS_MAX, Action, AgentSeen, BOOT_DEADLINE, BUILD_DEADLINE, STOP_DEADLINE, Seen, Step,
        Trouble, step,
    },
};
use beamdesk_sched::{
    Settings, fits,
    queue::{Held, plan},
};
use beamdesk_types::{
    AgentConfig, AgentStart, CardAddress, Claim, Desktop, DesktopId, Goal, GpuRequest, Image, Node,
    NodeName, Partitioning, Phase, Secret, SessionConfig, Size, Timestamp, UserId, WHOLE_CARD,
};
use futures_util::FutureExt as _;
use jiff::SignedDuration;

const WORLDS: u64 = 10_000;
/// Time of one turn of a world.
const TURN: Duration = Duration::from_secs(20);
/// Turns with faults and people who change their minds.
const WILD_TURNS: u32 = 40;
/// Turns after which all must have arrived once faults stopped: 3 × (build + boot), doubled.
const CALM_TURNS: u32 = 160;

/// Turns of rest after which nothing more is expected: longer than attempts take to be forgiven.
/// Some of the looks in between are lost.
const SETTLED_TURNS: u32 = 12;

#[test]
fn ten_thousand_worlds() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let threads = u64::try_from(threads).unwrap();
    let totals = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn(move || {
                    let mut ends = Ends::default();
                    for seed in (first..WORLDS).step_by(usize::try_from(threads).unwrap()) {
                        ends.add(&World::new(seed).run());
                    }
                    ends
                })
            })
            .collect();
        let mut totals = Ends::default();
        for worker in workers {
            totals.add(&worker.join().expect("a world broke, see its seed above"));
        }
        totals
    });
    println!("{WORLDS} worlds: {totals:?}");
    // The worlds must be wild enough to mean something, and not so wild that nothing works.
    let all = totals.ready + totals.stopped + totals.deleted + totals.failed;
    for (count, what) in [
        (totals.ready, "ready"),
        (totals.stopped, "stopped"),
        (totals.deleted, "deleted"),
        (totals.failed, "failed"),
    ] {
        assert!(count * 100 > all, "too few worlds end {what}: {totals:?}");
    }
    assert!(totals.crashes > WORLDS && totals.restarts > 100, "{totals:?}");
    assert!(totals.waited > 100 && totals.races > 100, "{totals:?}");
}

/// How desktops ended, over all worlds.
#[derive(Debug, Default)]
struct Ends {
    ready: u64,
    stopped: u64,
    deleted: u64,
    failed: u64,
    crashes: u64,
    restarts: u64,
    steps: u64,
    /// In the end for room that others had.
    waited: u64,
    /// For a claim, lost.
    races: u64,
}

impl Ends {
    fn add(&mut self, other: &Self) {
        self.ready += other.ready;
        self.stopped += other.stopped;
        self.deleted += other.deleted;
        self.failed += other.failed;
        self.crashes += other.crashes;
        self.restarts += other.restarts;
        self.steps += other.steps;
        self.waited += other.waited;
        self.races += other.races;
    }
}

/// One cloud, some desktops, their owners and a portal that is killed now and then.
struct World {
    seed: u64,
    chance: Chance,
    sim: Sim,
    now: Timestamp,
    rows: Vec<Desktop>,
    books: Books,
    /// As the database holds them.
    claims: HashMap<DesktopId, Claim>,
    /// What the portal remembers; lost when it is killed.
    memory: HashMap<DesktopId, Memory>,
    /// Which server had which generation of a desktop: never two.
    incarnations: HashMap<(DesktopId, u32), ServerId>,
    ends: Ends,
}

#[derive(Default)]
struct Memory {
    trouble: Option<Trouble>,
    probes_missed: u32,
    looked: bool,
    /// Its server is in the cloud's count.
    counted: bool,
    /// Nodes that failed for it, and until when they are left alone.
    shunned: Vec<(NodeName, Timestamp)>,
}

impl Memory {
    fn is_shunned(&self, node: &NodeName, now: Timestamp) -> bool {
        self.shunned.iter().any(|(shunned, until)| shunned == node && *until > now)
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let sim = Sim::new(seed, nodes());
        let seconds = |chance: &mut Chance, max| Duration::from_secs(chance.below(max));
        sim.set_pace(Pace {
            build: seconds(&mut chance, 100),
            boot: seconds(&mut chance, 60),
            // Longer than a turn, and being asked again each turn it never ends.
            stop: seconds(&mut chance, 22),
            delete: seconds(&mut chance, 60),
        });
        let stale_find = if chance.below(2) == 0 { 0 } else { 100 };
        sim.set_faults(Faults { stale_find, ..Faults::harsh() });
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let rows = (0..=chance.below(4)).map(|n| {
            let size = ["small", "card", "share"][usize::try_from(chance.below(3)).unwrap()];
            desktop(u128::from(n) + 1, size, now)
        });
        let rows = rows.collect();
        let (memory, incarnations) = (HashMap::new(), HashMap::new());
        let (books, claims, ends) = (books(), HashMap::new(), Ends::default());
        Self { seed, chance, sim, now, rows, books, claims, memory, incarnations, ends }
    }

    fn run(mut self) -> Ends {
        for _ in 0..WILD_TURNS {
            self.people_decide();
            self.turn();
        }
        self.sim.set_faults(Faults::default());
        let mut settled = 0;
        for _ in 0..CALM_TURNS {
            self.turn();
            settled =
                if self.rows.iter().all(|row| self.has_arrived(row)) { settled + 1 } else { 0 };
            if settled == SETTLED_TURNS {
                break;
            }
        }
        self.check_arrived();
        self.check_at_rest();
        self.check_who_waits();
        self.ends
    }

    fn turn(&mut self) {
        self.sim.tick(TURN);
        self.now += SignedDuration::try_from(TURN).unwrap();
        for index in 0..self.rows.len() {
            // Several looks a turn, as the reconciler looks again after it acted.
            for _ in 0..=self.chance.below(3) {
                self.look(index);
                self.place();
            }
            self.check_deadline(&self.rows[index]);
        }
    }

    /// One look at one desktop. The portal may be killed before it stores, or before it acts, or
    /// before it learns how that went.
    fn look(&mut self, index: usize) {
        let row = self.rows[index].clone();
        if row.phase == Phase::Deleted {
            return;
        }
        let Ok(server) = self.sim.find(row.id).now_or_never().unwrap() else { return };
        let memory = self.memory.entry(row.id).or_default();
        let agent = probe(&self.sim, server.as_ref(), memory);
        let trouble = memory.trouble.take();
        let first_look = !std::mem::replace(&mut memory.looked, true);
        memory.counted = server.as_ref().is_some_and(|server| server.state != PowerState::Off);
        self.adopt(&row, server.as_ref());
        let claim = self.claims.get(&row.id).cloned();
        let memory = self.memory.entry(row.id).or_default();
        let shunned = claim.as_ref().is_some_and(|c| memory.is_shunned(&c.node, self.now));
        let seen = Seen {
            server: server.as_ref(),
            agent,
            claim: claim.as_ref(),
            shunned,
            term: self.books.term(&row),
            trouble: trouble.as_ref(),
            offered: true,
            first_look,
            late_birth: SignedDuration::ZERO,
        };
        let next = step(&row, &seen, self.now);
        self.ends.steps += 1;
        self.check_step(&row, &seen, &next);
        if self.chance.below(20) == 0 {
            return self.killed(); // Not stored.
        }
        if self.chance.below(20) == 0 {
            return; // Somebody else wrote the row first.
        }
        self.rows[index] = next.desktop.clone();
        if next.desktop.attempts > row.attempts {
            self.shun(&row);
        }
        if self.chance.below(20) == 0 {
            return self.killed(); // Stored, but its room is not given back.
        }
        if next.frees {
            self.claims.remove(&row.id);
        }
        let Some(action) = next.action else { return };
        if self.chance.below(20) == 0 {
            return self.killed(); // Stored, but not done.
        }
        let outcome = self.perform(&next.desktop, &action);
        self.check_incarnations();
        if self.chance.below(20) == 0 {
            return self.killed(); // Done, but nobody knows.
        }
        if let Err(error) = outcome {
            if matches!(error, CloudError::NoCapacity { .. } | CloudError::Refused { .. }) {
                self.shun(&next.desktop);
            }
            self.memory.entry(row.id).or_default().trouble = Some(error.into());
        }
    }

    fn shun(&mut self, row: &Desktop) {
        let until = self.now + SignedDuration::from_mins(1);
        if let Some(node) = &row.node {
            self.memory.entry(row.id).or_default().shunned.push((node.clone(), until));
        }
    }

    /// A server that runs without a claim gets one, as the reconciler does.
    fn adopt(&mut self, row: &Desktop, server: Option<&Server>) {
        let Some(server) = server else { return };
        let runs = matches!(server.state, PowerState::Active | PowerState::Building);
        if row.goal != Goal::Running || !runs || self.claims.contains_key(&row.id) {
            return;
        }
        let (node, cards) = (server.node.clone(), server.cards.clone());
        self.claim(Claim { node, cards, ..claim_of(row, &self.books) });
    }

    /// What the database does: nothing is given twice.
    fn claim(&mut self, claim: Claim) -> bool {
        let fits = |card: &CardAddress| {
            let holds = |other: &&Claim| other.node == claim.node && other.cards.contains(card);
            let held: u32 = self.claims.values().filter(holds).map(|c| c.share_milli).sum();
            held + claim.share_milli <= WHOLE_CARD
        };
        if self.claims.contains_key(&claim.desktop) || !claim.cards.iter().all(fits) {
            return false;
        }
        self.claims.insert(claim.desktop, claim);
        true
    }

    /// One round of the placer. It may lose a race, or be killed between two claims.
    fn place(&mut self) {
        let waits = |row: &Desktop| is_waiting(row) && !self.claims.contains_key(&row.id);
        if !self.rows.iter().any(waits) {
            return;
        }
        let Ok(nodes) = self.sim.nodes().now_or_never().unwrap() else { return };
        let memory = &self.memory;
        let counts = |id: &DesktopId| memory.get(id).is_some_and(|memory| memory.counted);
        let counted: HashSet<DesktopId> = self.claims.keys().copied().filter(counts).collect();
        let excluded: HashMap<DesktopId, Vec<NodeName>> = memory
            .iter()
            .map(|(id, memory)| {
                let still = memory.shunned.iter().filter(|(_, until)| *until > self.now);
                (*id, still.map(|(node, _)| node.clone()).collect())
            })
            .collect();
        let facts = self.facts(nodes, counted);
        let open: Vec<Desktop> =
            self.rows.iter().filter(|row| row.phase != Phase::Deleted).cloned().collect();
        let gathered = Gathered::new(&facts, settings(), &self.books, &open, &[], &excluded);
        for claim in gathered.claims(&plan(&gathered.situation())) {
            if self.chance.below(10) == 0 {
                self.ends.races += 1;
                return;
            }
            let id = claim.desktop;
            assert!(self.claim(claim), "seed {}: planned what is taken, for {id}", self.seed);
        }
    }

    fn facts(&self, nodes: Vec<Node>, counted: HashSet<DesktopId>) -> Facts {
        Facts {
            now: self.now,
            nodes,
            records: Vec::new(),
            claims: self.claims.values().cloned().collect(),
            counted,
            stations: Vec::new(),
        }
    }

    fn perform(&self, desktop: &Desktop, action: &Action) -> Result<(), CloudError> {
        let sim = &self.sim;
        let spec = || {
            let claim = self.claims.get(&desktop.id).expect("nothing starts without a claim");
            assert_eq!(Some(&claim.node), desktop.node.as_ref(), "seed {}", self.seed);
            spec(desktop, claim, &self.books)
        };
        let outcome = match action {
            Action::Create => sim.create(&spec()).now_or_never().map(|done| done.map(|_| ())),
            Action::PowerOn(id) => sim.power(id, Power::On(&spec())).now_or_never(),
            Action::PowerOff(id) => sim.power(id, Power::Off).now_or_never(),
            Action::Delete(id) => sim.delete(id).now_or_never(),
        };
        outcome.expect("the simulated cloud never waits")
    }

    fn killed(&mut self) {
        self.ends.crashes += 1;
        self.memory.clear();
    }

    /// What request handlers write.
    fn people_decide(&mut self) {
        for row in &mut self.rows {
            if row.goal == Goal::Deleted || self.chance.below(4) != 0 {
                continue;
            }
            match self.chance.below(36) {
                0 => row.goal = Goal::Deleted,
                1..=9 => row.goal = Goal::Stopped,
                10..=23 => row.goal = Goal::Running,
                _ if row.goal == Goal::Running && row.phase == Phase::Ready => {
                    row.restart = true;
                    self.ends.restarts += 1;
                }
                _ if row.phase == Phase::Failed => row.restart = self.chance.below(2) == 0,
                _ => continue,
            }
            row.attempts = 0;
            row.failure = None;
        }
    }

    /// It never: what must not happen in any step, whatever was seen.
    fn check_step(&self, before: &Desktop, seen: &Seen<'_>, next: &Step) {
        let after = &next.desktop;
        let says =
            |what: &str| format!("seed {}: {what}\n{before:#?}\n{seen:#?}\n{next:#?}", self.seed);
        let ours = seen.server.is_some_and(|server| server.generation == after.generation);
        let active = seen.server.is_some_and(|server| server.state == PowerState::Active);
        assert!(after.generation >= before.generation, "{}", says("generation fell"));
        assert!(after.attempts <= ATTEMPTS_MAX, "{}", says("tried too often"));
        assert!((after.goal, after.id) == (before.goal, before.id), "{}", says("not its to write"));
        if after.phase == Phase::Ready {
            let kept = before.phase == Phase::Ready && seen.agent == AgentSeen::Unsure;
            let up = seen.agent == AgentSeen::Up || kept;
            assert!(
                ours && active && up && after.address.is_some(),
                "{}",
                says("ready without agent")
            );
            assert!(after.goal == Goal::Running, "{}", says("ready though not wanted"));
        }
        if after.phase == Phase::Failed {
            assert!(after.failure.is_some(), "{}", says("failed without a reason"));
        }
        if after.phase == Phase::Deleted {
            let told = after.goal == Goal::Deleted && seen.server.is_none();
            assert!(told, "{}", says("deleted with a server or without being asked"));
        }
        match &next.action {
            Some(Action::Create) => {
                let told = after.goal == Goal::Running && seen.server.is_none();
                assert!(told && after.phase == Phase::Building, "{}", says("created for nothing"));
                assert!(before.attempts < ATTEMPTS_MAX, "{}", says("created when worn out"));
                let claimed = seen.claim.map(|claim| &claim.node);
                assert!(after.node.is_some(), "{}", says("created nowhere"));
                assert!(after.node.as_ref() == claimed, "{}", says("created without room"));
                assert!(!next.frees, "{}", says("gave its room back"));
            }
            Some(Action::PowerOn(_)) => {
                let off = seen.server.is_some_and(|server| server.state == PowerState::Off);
                assert!(off && after.goal == Goal::Running, "{}", says("powered on for nothing"));
                let fresh = seen.server.is_some_and(|s| s.generation < after.generation);
                assert!(fresh, "{}", says("powered on in an old generation"));
                let there = seen.server.map(|server| &server.node);
                let claimed = seen.claim.map(|claim| &claim.node);
                assert!(claimed.is_some() && claimed == there, "{}", says("on without room"));
                assert!(!next.frees, "{}", says("gave its room back"));
            }
            Some(Action::PowerOff(_)) => {
                let leftover = seen.server.is_some_and(|s| s.generation < after.generation);
                let told = after.goal == Goal::Stopped || before.restart || leftover;
                assert!(told, "{}", says("powered off for nothing"));
            }
            Some(Action::Delete(_)) => {
                // A person's live session is never thrown away, save one that must end and cannot.
                let age = self.now.duration_since(before.phase_since);
                let hopeless = before.phase == Phase::Stopping && age > STOP_DEADLINE;
                let kept = before.goal == Goal::Running && ours && active;
                assert!(
                    !kept || (before.restart && hopeless),
                    "{}",
                    says("deleted a live desktop")
                );
                assert!(after.phase != Phase::Ready, "{}", says("ready while deleting"));
            }
            None => {}
        }
    }

    /// It never: two servers, or two starts of one, that pass for each other.
    fn check_incarnations(&mut self) {
        for server in self.sim.servers() {
            let key = (server.desktop, server.generation);
            let first = self.incarnations.entry(key).or_insert_with(|| server.id.clone());
            assert_eq!(*first, server.id, "seed {}: one generation, two servers", self.seed);
        }
    }

    /// It never stays: every phase that should pass has a deadline (INV-7).
    fn check_deadline(&self, row: &Desktop) {
        let limit = match row.phase {
            Phase::Building => BUILD_DEADLINE,
            Phase::Booting => BOOT_DEADLINE,
            Phase::Stopping => STOP_DEADLINE,
            Phase::Deleting => SignedDuration::from_mins(10),
            Phase::Pending | Phase::Ready | Phase::Stopped | Phase::Failed | Phase::Deleted => {
                return;
            }
        };
        // A blind or killed portal may miss some turns.
        let age = self.now.duration_since(row.phase_since);
        let slack = SignedDuration::from_mins(5);
        assert!(age <= limit + slack, "seed {}: {age} in\n{row:#?}", self.seed);
    }

    /// It arrives: calm for long enough, every goal is reached, or a failure says why not.
    fn check_arrived(&mut self) {
        let servers = self.sim.servers();
        for row in &self.rows {
            let server = servers.iter().find(|server| server.desktop == row.id);
            let state = server.map(|server| &server.state);
            let count = match (row.goal, row.phase) {
                (Goal::Running, Phase::Ready) => {
                    let server = server.expect("a ready desktop has a server");
                    assert_eq!(server.generation, row.generation, "seed {}", self.seed);
                    assert_eq!(server.state, PowerState::Active, "seed {}", self.seed);
                    let claim = self.claims.get(&row.id).expect("a ready desktop has a claim");
                    assert_eq!(claim.cards, server.cards, "seed {}", self.seed);
                    assert_eq!(claim.node, server.node, "seed {}", self.seed);
                    let wanted = self.books.sizes[&row.size].gpu.count;
                    assert_eq!(server.cards.len(), wanted as usize, "seed {}", self.seed);
                    &mut self.ends.ready
                }
                (Goal::Running, Phase::Failed) => &mut self.ends.failed,
                (Goal::Running, Phase::Pending) if !self.has_room(row) => &mut self.ends.waited,
                (Goal::Stopped, Phase::Stopped) => {
                    assert!(matches!(state, None | Some(PowerState::Off)), "seed {}", self.seed);
                    &mut self.ends.stopped
                }
                (Goal::Deleted, Phase::Deleted) => &mut self.ends.deleted,
                (Goal::Running | Goal::Stopped | Goal::Deleted, _) => {
                    panic!(
                        "seed {}: never arrives\n{row:#?}\n{server:#?}\n{:#?}\n{:#?}",
                        self.seed, self.claims, self.rows
                    )
                }
            };
            *count += 1;
        }
    }

    /// Whether it would fit anywhere, by the truth about the cloud, and nobody is before it who
    /// needs that room.
    fn has_room(&self, row: &Desktop) -> bool {
        let servers = self.sim.servers();
        let on = servers.iter().filter(|server| server.state != PowerState::Off);
        let facts = self.facts(self.sim.true_nodes(), on.map(|server| server.desktop).collect());
        let request = self.books.request(row, &[]).expect("its size is there");
        if !hosts(&facts).iter().any(|host| fits(&request, host, None).is_ok()) {
            return false;
        }
        let excluded = HashMap::new();
        let gathered = Gathered::new(&facts, settings(), &self.books, &self.rows, &[], &excluded);
        let waits = plan(&gathered.situation()).waits;
        let held = waits.iter().find(|wait| wait.id == row.id).and_then(|wait| wait.held);
        held != Some(Held::Earlier)
    }

    fn has_arrived(&self, row: &Desktop) -> bool {
        match row.goal {
            Goal::Running => match row.phase {
                Phase::Ready | Phase::Failed => true,
                Phase::Pending => !self.has_room(row),
                _ => false,
            },
            Goal::Stopped => row.phase == Phase::Stopped,
            Goal::Deleted => row.phase == Phase::Deleted,
        }
    }

    /// When room comes, whoever waited gets it.
    fn check_who_waits(&mut self) {
        let waiting: Vec<usize> =
            (0..self.rows.len()).filter(|&index| is_waiting(&self.rows[index])).collect();
        if waiting.is_empty() {
            return;
        }
        for row in self.rows.iter_mut().filter(|row| !is_waiting(row)) {
            if row.goal == Goal::Running {
                row.goal = Goal::Stopped;
            }
        }
        for _ in 0..CALM_TURNS {
            self.turn();
            if !self.rows.iter().any(is_waiting) {
                break;
            }
        }
        // Of two whose servers lie beside one card, one still waits for the other.
        let served = |row: &Desktop| !is_waiting(row) || !self.has_room(row);
        let all_served = waiting.iter().all(|&index| served(&self.rows[index]));
        assert!(all_served, "seed {}: waits for ever\n{:#?}", self.seed, self.rows);
    }

    /// A second run at rest asks nothing of the cloud and writes nothing (INV-12).
    fn check_at_rest(&mut self) {
        let (before, writes) = (self.rows.clone(), self.sim.writes());
        for _ in 0..3 {
            self.turn();
        }
        assert_eq!(self.rows, before, "seed {}: no rest", self.seed);
        assert_eq!(self.sim.writes(), writes, "seed {}: no rest in the cloud", self.seed);
    }
}

fn is_waiting(row: &Desktop) -> bool {
    row.goal == Goal::Running && row.phase == Phase::Pending
}

fn probe(sim: &Sim, server: Option<&Server>, memory: &mut Memory) -> AgentSeen {
    let Some(server) = server.filter(|server| server.state == PowerState::Active) else {
        return AgentSeen::Unsure;
    };
    if server.address.as_deref().is_some_and(|address| sim.agent_answers(address)) {
        memory.probes_missed = 0;
        return AgentSeen::Up;
    }
    memory.probes_missed += 1;
    if memory.probes_missed >= 3 { AgentSeen::Silent } else { AgentSeen::Unsure }
}

/// The first has a card for one at a time, the second one for several.
fn nodes() -> Vec<Node> {
    let mut nodes = Sim::equal_nodes(2, 6, 8192, 100);
    nodes[0].cards = Sim::equal_cards(1, "A40", 49_152, &Partitioning::Whole);
    nodes[1].cards = Sim::equal_cards(1, "A40", 49_152, &Partitioning::Shared);
    nodes
}

/// Without the guard, which would keep these small nodes for cards.
fn settings() -> Settings {
    Settings { guard: None, ..Settings::default() }
}

fn books() -> Books {
    let gpu = |count, share_milli| GpuRequest { share_milli, ..GpuRequest::whole(count, 0) };
    let sizes = [
        size("small", GpuRequest::default(), 0),
        size("card", gpu(1, WHOLE_CARD), 1),
        size("share", gpu(1, 500), 0),
    ];
    let sizes: BTreeMap<_, _> = sizes.into_iter().map(|size| (size.id.clone(), size)).collect();
    let images = HashMap::from([(image().id, image())]);
    Books { sizes, images, stations: BTreeMap::new() }
}

/// What it takes, without node and cards.
fn claim_of(row: &Desktop, books: &Books) -> Claim {
    let size = &books.sizes[&row.size];
    Claim {
        desktop: row.id,
        node: "none".parse().unwrap(),
        vcpus: size.vcpus,
        memory_mib: size.memory_mib,
        disk_gib: size.disk_gib,
        cards: Vec::new(),
        share_milli: size.gpu.share_milli,
    }
}

fn desktop(n: u128, size: &str, now: Timestamp) -> Desktop {
    Desktop {
        id: DesktopId::from_u128(n),
        owner: UserId::from_u128(n),
        name: format!("desktop {n}"),
        image: "linux".parse().unwrap(),
        size: size.parse().unwrap(),
        goal: Goal::Running,
        phase: Phase::Pending,
        generation: 0,
        revision: 0,
        attempts: 0,
        phase_since: now,
        node: None,
        address: None,
        failure: None,
        restart: false,
        created: now,
        gpu: GpuRequest::default(),
        station: None,
        queued: now,
        ends: None,
    }
}

fn size(id: &str, gpu: GpuRequest, term_hours: u32) -> Size {
    Size {
        id: id.parse().unwrap(),
        name: id.to_owned(),
        vcpus: 2,
        memory_mib: 1024,
        disk_gib: 10,
        gpu,
        term_hours,
        enabled: true,
    }
}

fn image() -> Image {
    Image {
        id: "linux".parse().unwrap(),
        name: "Linux".to_owned(),
        description: String::new(),
        gpu: GpuRequest::default(),
        enabled: true,
    }
}

fn spec(desktop: &Desktop, claim: &Claim, books: &Books) -> ServerSpec {
    let session = SessionConfig {
        name: desktop.name.clone(),
        language: "en".to_owned(),
        width: 1280,
        height: 720,
    };
    let agent = AgentStart::Handed(AgentConfig {
        desktop: desktop.id,
        generation: desktop.generation,
        certificate: String::new(),
        key: Secret::new(String::new()),
        authority: String::new(),
        session,
    });
    ServerSpec {
        desktop: desktop.id,
        owner: desktop.owner,
        node: claim.node.clone(),
        image: image(),
        size: books.sizes[&desktop.size].clone(),
        cards: claim.cards.clone(),
        share_milli: claim.share_milli,
        agent,
    }
}

/// SplitMix64: small, seeded, good enough to choose faults.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
