//! The life of desktops in a simulated cloud that breaks: they arrive, and they never do harm.

use std::{collections::HashMap, time::Duration};

use beamdesk_cloud::{
    CloudError, Compute as _, Power, PowerState, Server, ServerId, ServerSpec,
    sim::{Faults, Pace, Sim},
};
use beamdesk_portal::lifecycle::{
    ATTEMPTS_MAX, Action, AgentSeen, BOOT_DEADLINE, BUILD_DEADLINE, STOP_DEADLINE, Seen, Step,
    Trouble, step,
};
use beamdesk_sched::{Request, place};
use beamdesk_types::{
    AgentConfig, Desktop, DesktopId, Goal, GpuRequest, Image, NodeName, Phase, Secret,
    SessionConfig, Size, Timestamp, UserId,
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
const SETTLED_TURNS: u32 = 6;

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
    }
}

/// One cloud, some desktops, their owners and a portal that is killed now and then.
struct World {
    seed: u64,
    chance: Chance,
    sim: Sim,
    now: Timestamp,
    rows: Vec<Desktop>,
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
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let sim = Sim::new(seed, Sim::equal_nodes(2, 4, 8192, 100));
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
        let rows = (0..=chance.below(3)).map(|n| desktop(u128::from(n) + 1, now)).collect();
        let (memory, incarnations) = (HashMap::new(), HashMap::new());
        Self { seed, chance, sim, now, rows, memory, incarnations, ends: Ends::default() }
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
            settled = if self.rows.iter().all(has_arrived) { settled + 1 } else { 0 };
            if settled == SETTLED_TURNS {
                break;
            }
        }
        self.check_arrived();
        self.check_at_rest();
        self.ends
    }

    fn turn(&mut self) {
        self.sim.tick(TURN);
        self.now += SignedDuration::try_from(TURN).unwrap();
        for index in 0..self.rows.len() {
            // Several looks a turn, as the reconciler looks again after it acted.
            for _ in 0..=self.chance.below(3) {
                self.look(index);
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
        let room = room(&self.sim);
        let trouble = trouble.as_ref();
        let seen =
            Seen { server: server.as_ref(), agent, room, trouble, offered: true, first_look };
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
        let Some(action) = next.action else { return };
        if self.chance.below(20) == 0 {
            return self.killed(); // Stored, but not done.
        }
        let outcome = perform(&self.sim, &next.desktop, &action);
        self.check_incarnations();
        if self.chance.below(20) == 0 {
            return self.killed(); // Done, but nobody knows.
        }
        if let Err(error) = outcome {
            self.memory.entry(row.id).or_default().trouble = Some(error.into());
        }
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
                assert!(after.node.is_some(), "{}", says("created nowhere"));
            }
            Some(Action::PowerOn(_)) => {
                let off = seen.server.is_some_and(|server| server.state == PowerState::Off);
                assert!(off && after.goal == Goal::Running, "{}", says("powered on for nothing"));
                let fresh = seen.server.is_some_and(|s| s.generation < after.generation);
                assert!(fresh, "{}", says("powered on in an old generation"));
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
                    &mut self.ends.ready
                }
                (Goal::Running, Phase::Failed) => &mut self.ends.failed,
                (Goal::Stopped, Phase::Stopped) => {
                    assert!(matches!(state, None | Some(PowerState::Off)), "seed {}", self.seed);
                    &mut self.ends.stopped
                }
                (Goal::Deleted, Phase::Deleted) => &mut self.ends.deleted,
                (Goal::Running | Goal::Stopped | Goal::Deleted, _) => {
                    panic!("seed {}: never arrives\n{row:#?}\n{server:#?}", self.seed)
                }
            };
            *count += 1;
        }
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

fn has_arrived(row: &Desktop) -> bool {
    match row.goal {
        Goal::Running => matches!(row.phase, Phase::Ready | Phase::Failed),
        Goal::Stopped => row.phase == Phase::Stopped,
        Goal::Deleted => row.phase == Phase::Deleted,
    }
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

fn room(sim: &Sim) -> Option<NodeName> {
    let nodes = sim.nodes().now_or_never().unwrap().ok()?;
    place(&Request::from(&size()), &nodes).ok()
}

fn perform(sim: &Sim, desktop: &Desktop, action: &Action) -> Result<(), CloudError> {
    let spec = spec(desktop);
    let outcome = match action {
        Action::Create => sim.create(&spec).now_or_never().map(|done| done.map(|_| ())),
        Action::PowerOn(id) => sim.power(id, Power::On(&spec)).now_or_never(),
        Action::PowerOff(id) => sim.power(id, Power::Off).now_or_never(),
        Action::Delete(id) => sim.delete(id).now_or_never(),
    };
    outcome.expect("the simulated cloud never waits")
}

fn desktop(n: u128, now: Timestamp) -> Desktop {
    Desktop {
        id: DesktopId::from_u128(n),
        owner: UserId::from_u128(n),
        name: format!("desktop {n}"),
        image: "linux".parse().unwrap(),
        size: "small".parse().unwrap(),
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
    }
}

fn size() -> Size {
    Size {
        id: "small".parse().unwrap(),
        name: "Small".to_owned(),
        vcpus: 2,
        memory_mib: 1024,
        disk_gib: 10,
        gpu: GpuRequest::default(),
        enabled: true,
    }
}

fn spec(desktop: &Desktop) -> ServerSpec {
    let image = Image {
        id: "linux".parse().unwrap(),
        name: "Linux".to_owned(),
        description: String::new(),
        enabled: true,
    };
    let session = SessionConfig {
        name: desktop.name.clone(),
        language: "en".to_owned(),
        width: 1280,
        height: 720,
    };
    let agent = AgentConfig {
        desktop: desktop.id,
        generation: desktop.generation,
        certificate: String::new(),
        key: Secret::new(String::new()),
        authority: String::new(),
        session,
    };
    let node = desktop.node.clone().unwrap_or_else(|| "none".parse().unwrap());
    ServerSpec { desktop: desktop.id, owner: desktop.owner, node, image, size: size(), agent }
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
