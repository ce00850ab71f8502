//! The simulated cloud's truth: hosts, servers and the passing of time.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use beamdesk_types::{
    CardAddress, CardState, DesktopId, MadeOf, Node, NodeName, Partitioning, WHOLE_CARD,
};

use super::{
    Pace,
    chance::Chance,
    faults::{Fault, Faults},
};
use crate::{CloudError, PowerState, Server, ServerId, ServerNote, ServerSpec};

/// What a server takes of its host while it is not off.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Taken {
    vcpus: u32,
    memory_mib: u64,
    disk_gib: u64,
    cards: Vec<CardAddress>,
    share_milli: u32,
}

#[derive(Debug, Clone)]
struct Machine {
    server: Server,
    made_of: MadeOf,
    /// `None` while it is off.
    taken: Option<Taken>,
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
        if self.takes_order(fault) {
            return true;
        }
        let rate = self.faults.rate(fault);
        self.chance.hits(rate)
    }

    /// Whether a test ordered it; never by chance.
    pub(super) fn takes_order(&mut self, fault: Fault) -> bool {
        let at = self.ordered.iter().position(|&ordered| ordered == fault);
        at.map(|at| self.ordered.remove(at)).is_some()
    }

    pub(super) fn view(&self) -> View {
        View {
            servers: self.machines.iter().map(|(id, m)| (*id, m.server.clone())).collect(),
            nodes: self.nodes_seen(),
        }
    }

    pub(super) fn server(&self, desktop: DesktopId) -> Option<Server> {
        self.machines.get(&desktop).map(|machine| machine.server.clone())
    }

    /// The nodes with their cards as a driver would find them.
    fn nodes_seen(&self) -> Vec<Node> {
        let mut holders = HashMap::new();
        for Machine { server, .. } in self.machines.values() {
            for card in &server.cards {
                holders.entry((&server.node, card)).or_insert(&server.id);
            }
        }
        let mut nodes: Vec<Node> = self.nodes.values().cloned().collect();
        for node in &mut nodes {
            for card in &mut node.cards {
                if let Some(holder) = holders.get(&(&node.name, &card.address)) {
                    card.state = CardState::Assigned;
                    card.owner = Some(holder.to_string());
                }
            }
        }
        nodes
    }

    /// Thousandths of a card that servers hold.
    fn held_milli(&self, node: &NodeName, card: &CardAddress) -> u32 {
        let on_node = self.machines.values().filter(|machine| machine.server.node == *node);
        let taken = on_node.filter_map(|machine| machine.taken.as_ref());
        taken.filter(|taken| taken.cards.contains(card)).map(|taken| taken.share_milli).sum()
    }

    pub(super) fn made_of(&self, id: &ServerId) -> Option<MadeOf> {
        let mut machines = self.machines.values();
        machines.find(|machine| machine.server.id == *id).map(|machine| machine.made_of.clone())
    }

    pub(super) fn set_note(&mut self, desktop: DesktopId, note: Option<ServerNote>) {
        if let Some(machine) = self.machines.get_mut(&desktop) {
            machine.server.note = note;
        }
    }

    pub(super) fn stale_view(&self) -> View {
        self.before_tick.clone()
    }

    pub(super) fn agent_answers(&self, address: &str) -> bool {
        self.machines.values().any(|machine| {
            machine.server.state == PowerState::Active
                && matches!(machine.server.note, None | Some(ServerNote::Locked))
                && machine.server.address.as_deref() == Some(address)
                && machine.answers_from.is_some_and(|from| from <= self.now)
        })
    }

    pub(super) fn create(&mut self, spec: &ServerSpec) -> Result<ServerId, CloudError> {
        if let Some(machine) = self.machines.get(&spec.desktop) {
            return Ok(machine.server.id.clone());
        }
        if !self.nodes.contains_key(&spec.node) {
            return Err(CloudError::refused(format!("there is no host {}", spec.node)));
        }
        let taken = self.take(&spec.node, spec).ok_or_else(CloudError::no_capacity)?;
        self.made += 1;
        self.writes += 1;
        let id = ServerId(format!("sim-{}", self.made));
        let server = Server {
            id: id.clone(),
            desktop: spec.desktop,
            generation: spec.agent.generation(),
            state: PowerState::Building,
            note: None,
            address: None,
            node: spec.node.clone(),
            cards: taken.cards.clone(),
        };
        let made_of = MadeOf {
            owner: Some(spec.owner),
            image: Some(spec.image.id.clone()),
            size: Some(spec.size.id.clone()),
            name: id.to_string(),
        };
        let machine =
            Machine { server, made_of, taken: Some(taken), next: None, answers_from: None };
        self.machines.insert(spec.desktop, machine);
        self.begin_start(spec.desktop);
        Ok(id)
    }

    /// `Ok(false)`: there is no such server.
    pub(super) fn power_on(
        &mut self,
        id: &ServerId,
        spec: &ServerSpec,
    ) -> Result<bool, CloudError> {
        let Some(server) = self.machines.values().map(|m| &m.server).find(|s| s.id == *id) else {
            return Ok(false);
        };
        if server.state != PowerState::Off {
            return Ok(true);
        }
        let (desktop, node) = (server.desktop, server.node.clone());
        let taken = self.take(&node, spec).ok_or_else(CloudError::no_capacity)?;
        if let Some(machine) = self.machines.get_mut(&desktop) {
            machine.server.generation = spec.agent.generation();
            machine.server.state = PowerState::Building;
            machine.server.cards.clone_from(&taken.cards);
            machine.taken = Some(taken);
            self.writes += 1;
            self.begin_start(desktop);
        }
        Ok(true)
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
        if matches!(step, Step::Off | Step::Gone) {
            self.give_back(desktop);
        }
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
                self.machines.remove(&desktop);
            }
        }
    }

    /// Books what `spec` asks for, or leaves the node as it was.
    fn take(&mut self, name: &NodeName, spec: &ServerSpec) -> Option<Taken> {
        let size = &spec.size;
        let node = self.nodes.get(name)?;
        let fits = node.vcpus.saturating_sub(node.vcpus_used) >= size.vcpus
            && node.memory_mib.saturating_sub(node.memory_mib_used) >= size.memory_mib
            && node.disk_gib.saturating_sub(node.disk_gib_used) >= size.disk_gib
            && spec.cards.len() >= usize::try_from(size.gpu.count).unwrap_or(usize::MAX);
        if !fits || !spec.cards.iter().all(|card| self.has_card(node, card, spec.share_milli)) {
            return None;
        }
        let node = self.nodes.get_mut(name)?;
        node.vcpus_used += size.vcpus;
        node.memory_mib_used += size.memory_mib;
        node.disk_gib_used += size.disk_gib;
        Some(Taken {
            vcpus: size.vcpus,
            memory_mib: size.memory_mib,
            disk_gib: size.disk_gib,
            cards: spec.cards.clone(),
            share_milli: spec.share_milli,
        })
    }

    fn has_card(&self, node: &Node, address: &CardAddress, share_milli: u32) -> bool {
        let Some(card) = node.cards.iter().find(|card| card.address == *address) else {
            return false;
        };
        let is_cut = card.partitioning == Partitioning::Shared || share_milli == WHOLE_CARD;
        card.state == CardState::Free
            && is_cut
            && self.held_milli(&node.name, address) + share_milli <= WHOLE_CARD
    }

    fn give_back(&mut self, desktop: DesktopId) {
        let Some(machine) = self.machines.get_mut(&desktop) else { return };
        machine.server.cards.clear();
        if let Some(taken) = machine.taken.take()
            && let Some(node) = self.nodes.get_mut(&machine.server.node)
        {
            node.vcpus_used -= taken.vcpus;
            node.memory_mib_used -= taken.memory_mib;
            node.disk_gib_used -= taken.disk_gib;
        }
    }
}
