//! The simulated cloud's truth: hosts, servers and the passing of time.

use std::{collections::BTreeMap, time::Duration};

use beamdesk_types::{DesktopId, Node, NodeName};

use super::{
    Pace,
    chance::Chance,
    faults::{Fault, Faults},
};
use crate::{CloudError, PowerState, Server, ServerId, ServerSpec};

/// What a server takes of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    vcpus: u32,
    memory_mib: u64,
    disk_gib: u64,
}

#[derive(Debug, Clone)]
struct Machine {
    server: Server,
    node: NodeName,
    taken: Taken,
    cards_mib: Vec<u64>,
    /// What comes next, and when; `None`: nothing by itself.
    next: Option<(Duration, Step)>,
    /// When its agent starts to answer, if it ever does.
    answers_from: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Up,
    Break,
    Off,
    Gone,
}

/// What `list` and `nodes` show.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    pub(super) servers: BTreeMap<DesktopId, Server>,
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) chance: Chance,
    pub(super) faults: Faults,
    pub(super) ordered: Vec<Fault>,
    pub(super) pace: Pace,
    /// Writes that had an effect: creates, power changes, deletes.
    pub(super) writes: u64,
    nodes: BTreeMap<NodeName, Node>,
    machines: BTreeMap<DesktopId, Machine>,
    before_tick: View,
    made: u64,
}

impl World {
    pub(super) fn new(seed: u64, nodes: Vec<Node>) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            chance: Chance::new(seed),
            faults: Faults::default(),
            ordered: Vec::new(),
            pace: Pace::default(),
            writes: 0,
            nodes: nodes.into_iter().map(|node| (node.name.clone(), node)).collect(),
            machines: BTreeMap::new(),
            before_tick: View::default(),
            made: 0,
        };
        world.before_tick = world.view();
        world
    }

    /// Whether `fault` strikes now: because a test ordered it, or by chance.
    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        if let Some(at) = self.ordered.iter().position(|&ordered| ordered == fault) {
            self.ordered.remove(at);
            return true;
        }
        let rate = self.faults.rate(fault);
        self.chance.hits(rate)
    }

    pub(super) fn view(&self) -> View {
        View {
            servers: self.machines.iter().map(|(id, m)| (*id, m.server.clone())).collect(),
            nodes: self.nodes.values().cloned().collect(),
        }
    }

    pub(super) fn stale_view(&self) -> View {
        self.before_tick.clone()
    }

    pub(super) fn agent_answers(&self, address: &str) -> bool {
        self.machines.values().any(|machine| {
            machine.server.state == PowerState::Active
                && machine.server.address.as_deref() == Some(address)
                && machine.answers_from.is_some_and(|from| from <= self.now)
        })
    }

    pub(super) fn create(&mut self, spec: &ServerSpec) -> Result<ServerId, CloudError> {
        if let Some(machine) = self.machines.get(&spec.desktop) {
            return Ok(machine.server.id.clone());
        }
        let Some(node) = self.nodes.get_mut(&spec.node) else {
            return Err(CloudError::Refused(format!("there is no host {}", spec.node)));
        };
        let (taken, cards_mib) = take(node, spec).ok_or(CloudError::NoCapacity)?;
        self.made += 1;
        self.writes += 1;
        let id = ServerId(format!("sim-{}", self.made));
        let server = Server {
            id: id.clone(),
            desktop: spec.desktop,
            generation: spec.agent.generation,
            state: PowerState::Building,
            address: None,
        };
        let node = spec.node.clone();
        let machine = Machine { server, node, taken, cards_mib, next: None, answers_from: None };
        self.machines.insert(spec.desktop, machine);
        self.begin_start(spec.desktop);
        Ok(id)
    }

    /// `Ok(false)`: there is no such server.
    pub(super) fn power_on(&mut self, id: &ServerId, generation: u32) -> bool {
        let Some(machine) = self.machines.values_mut().find(|m| m.server.id == *id) else {
            return false;
        };
        if machine.server.state == PowerState::Off {
            machine.server.generation = generation;
            machine.server.state = PowerState::Building;
            let desktop = machine.server.desktop;
            self.writes += 1;
            self.begin_start(desktop);
        }
        true
    }

    pub(super) fn power_off(&mut self, id: &ServerId) -> bool {
        let Some(machine) = self.machines.values_mut().find(|m| m.server.id == *id) else {
            return false;
        };
        if matches!(machine.server.state, PowerState::Building | PowerState::Active) {
            machine.next = Some((self.now + self.pace.stop, Step::Off));
            self.writes += 1;
            self.settle();
        }
        true
    }

    pub(super) fn delete(&mut self, id: &ServerId) {
        let Some(machine) = self.machines.values_mut().find(|m| m.server.id == *id) else {
            return;
        };
        if machine.server.state != PowerState::Deleting {
            machine.server.state = PowerState::Deleting;
            machine.server.address = None;
            machine.next = Some((self.now + self.pace.delete, Step::Gone));
            self.writes += 1;
            self.settle();
        }
    }

    /// The server stops at once, as by a pulled plug.
    pub(super) fn pull_plug(&mut self, desktop: DesktopId) {
        if let Some(machine) = self.machines.get_mut(&desktop)
            && machine.server.state == PowerState::Active
        {
            machine.next = Some((self.now, Step::Off));
            self.settle();
        }
    }

    pub(super) fn tick(&mut self, by: Duration) {
        self.before_tick = self.view();
        self.now += by;
        let running: Vec<DesktopId> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.server.state == PowerState::Active)
            .map(|(desktop, _)| *desktop)
            .collect();
        for desktop in running {
            if self.chance.hits(self.faults.power_off) {
                self.pull_plug(desktop);
            }
        }
        self.settle();
    }

    fn begin_start(&mut self, desktop: DesktopId) {
        let step = if self.strikes(Fault::BuildStuck) {
            None
        } else if self.strikes(Fault::BuildError) {
            Some((self.now + self.pace.build, Step::Break))
        } else {
            Some((self.now + self.pace.build, Step::Up))
        };
        if let Some(machine) = self.machines.get_mut(&desktop) {
            machine.next = step;
        }
        self.settle();
    }

    /// Takes every step whose time has come.
    fn settle(&mut self) {
        let due: Vec<(DesktopId, Step)> = self
            .machines
            .iter()
            .filter_map(|(id, m)| m.next.map(|next| (*id, next)))
            .filter(|(_, (at, _))| *at <= self.now)
            .map(|(id, (_, step))| (id, step))
            .collect();
        for (desktop, step) in due {
            self.take_step(desktop, step);
        }
    }

    fn take_step(&mut self, desktop: DesktopId, step: Step) {
        let silent = matches!(step, Step::Up) && self.strikes(Fault::AgentSilent);
        let Some(machine) = self.machines.get_mut(&desktop) else { return };
        machine.next = None;
        machine.answers_from = None;
        match step {
            Step::Up => {
                machine.server.state = PowerState::Active;
                // Never the same address twice, so that a stale one is told from a fresh one.
                let id = &machine.server.id;
                machine.server.address = Some(format!("{id}-g{}:7000", machine.server.generation));
                machine.answers_from = (!silent).then(|| self.now + self.pace.boot);
            }
            Step::Break => {
                machine.server.state = PowerState::Error("simulated build error".to_owned());
                machine.server.address = None;
            }
            Step::Off => {
                machine.server.state = PowerState::Off;
                machine.server.address = None;
            }
            Step::Gone => {
                if let Some(machine) = self.machines.remove(&desktop)
                    && let Some(node) = self.nodes.get_mut(&machine.node)
                {
                    give_back(node, &machine);
                }
            }
        }
    }
}

/// Books what `spec` asks for, or leaves the node as it was.
fn take(node: &mut Node, spec: &ServerSpec) -> Option<(Taken, Vec<u64>)> {
    let size = &spec.size;
    let fits = node.vcpus.saturating_sub(node.vcpus_used) >= size.vcpus
        && node.memory_mib.saturating_sub(node.memory_mib_used) >= size.memory_mib
        && node.disk_gib.saturating_sub(node.disk_gib_used) >= size.disk_gib;
    if !fits {
        return None;
    }
    // The smallest cards that do, so that the large ones stay for those who need them.
    let mut free = node.gpus_free_mib.clone();
    free.sort_unstable();
    let mut cards_mib = Vec::new();
    for _ in 0..size.gpu.count {
        let at = free.iter().position(|&memory| memory >= size.gpu.memory_mib)?;
        cards_mib.push(free.remove(at));
    }
    node.gpus_free_mib = free;
    node.vcpus_used += size.vcpus;
    node.memory_mib_used += size.memory_mib;
    node.disk_gib_used += size.disk_gib;
    let taken = Taken { vcpus: size.vcpus, memory_mib: size.memory_mib, disk_gib: size.disk_gib };
    Some((taken, cards_mib))
}

fn give_back(node: &mut Node, machine: &Machine) {
    node.vcpus_used -= machine.taken.vcpus;
    node.memory_mib_used -= machine.taken.memory_mib;
    node.disk_gib_used -= machine.taken.disk_gib;
    node.gpus_free_mib.extend_from_slice(&machine.cards_mib);
}
