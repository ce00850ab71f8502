//! A cloud in memory: hundreds of hosts, seeded faults, and time that passes when told to.
//!
//! ```text
//! create --build--> Active --boot--> agent answers
//!    \--fault--> Error | stuck        |--power off--> Off --power on--> Building
//! ```

mod chance;
mod faults;
mod world;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use beamdesk_types::{
    Card, CardAddress, CardState, DesktopId, GpuRequest, Image, MadeOf, Node, NodeName,
    Partitioning, Protection,
};

pub use self::faults::{Fault, Faults};
use self::world::World;
use crate::{CloudError, Compute, Power, RequestId, Server, ServerId, ServerNote, ServerSpec};

/// How long things take, in the sim's own time. All zero by default: at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// From create or power on until the server is active.
    pub build: Duration,
    /// From active until its agent answers.
    pub boot: Duration,
    /// From power off until it is off.
    pub stop: Duration,
    /// From delete until it is gone.
    pub delete: Duration,
}

/// The simulated cloud. With no faults set it does all it is asked.
#[derive(Debug)]
pub struct Sim {
    world: Mutex<World>,
    /// Servers it makes at once; 0: any number.
    builds_max: AtomicUsize,
    /// It does not let us see its hosts.
    hides_nodes: AtomicBool,
}

impl Sim {
    pub fn new(seed: u64, nodes: Vec<Node>) -> Self {
        Self {
            world: Mutex::new(World::new(seed, nodes)),
            builds_max: AtomicUsize::new(0),
            hides_nodes: AtomicBool::new(false),
        }
    }

    /// `count` equal, empty hosts without cards: `sim-001`, `sim-002`, ...
    pub fn equal_nodes(count: u32, vcpus: u32, memory_mib: u64, disk_gib: u64) -> Vec<Node> {
        (1..=count)
            .map(|number| Node {
                name: node_name(number),
                vcpus,
                vcpus_used: 0,
                memory_mib,
                memory_mib_used: 0,
                disk_gib,
                disk_gib_used: 0,
                cards: Vec::new(),
                enabled: true,
            })
            .collect()
    }

    /// `count` equal, free cards, to be put into a node: `0000:01:00.0`, `0000:02:00.0`, ...
    pub fn equal_cards(
        count: u8,
        model: &str,
        memory_mib: u64,
        partitioning: &Partitioning,
    ) -> Vec<Card> {
        let card = |number| Card {
            address: card_address(number),
            pci_id: "10de:0000".to_owned(),
            model: model.to_owned(),
            memory_mib,
            cores: 10_752,
            bandwidth_gb_s: 768,
            clock_mhz: 1800,
            gflops: 38_700,
            numa_node: None,
            iommu_group: None,
            partitioning: partitioning.clone(),
            state: CardState::Free,
            owner: None,
            fault: String::new(),
            busy_percent: None,
            memory_mib_used: None,
        };
        (1..=count).map(card).collect()
    }

    pub fn set_faults(&self, faults: Faults) {
        self.world().faults = faults;
    }

    pub fn set_pace(&self, pace: Pace) {
        self.world().pace = pace;
    }

    /// Orders one fault for the next call or build it can strike.
    pub fn order(&self, fault: Fault) {
        self.world().ordered.push(fault);
    }

    /// Lets time pass.
    pub fn tick(&self, by: Duration) {
        self.world().tick(by);
    }

    /// The truth about all servers, whatever the faults.
    pub fn servers(&self) -> Vec<Server> {
        self.world().view().servers.into_values().collect()
    }

    /// The truth about the hosts.
    pub fn true_nodes(&self) -> Vec<Node> {
        self.world().view().nodes
    }

    /// Whether an agent answers at `address` now: for probes of agents.
    pub fn agent_answers(&self, address: &str) -> bool {
        self.world().agent_answers(address)
    }

    /// A running server stops at once, by itself.
    pub fn pull_plug(&self, desktop: DesktopId) {
        self.world().pull_plug(desktop);
    }

    /// An administrator of the cloud does something with a server, or leaves it alone again.
    pub fn set_note(&self, desktop: DesktopId, note: Option<ServerNote>) {
        self.world().set_note(desktop, note);
    }

    /// At most so many in the making; whoever asks for more is told so by [`Compute::builds_max`].
    pub fn set_builds_max(&self, max: usize) {
        self.builds_max.store(max, Ordering::Relaxed);
    }

    /// From now on hosts are not listed, as where an account may not see them.
    pub fn hide_nodes(&self) {
        self.hides_nodes.store(true, Ordering::Relaxed);
    }

    /// How many calls have changed something so far.
    pub fn writes(&self) -> u64 {
        self.world().writes
    }

    /// The world, unless the cloud cannot be reached just now.
    fn reached(&self) -> Result<MutexGuard<'_, World>, CloudError> {
        let mut world = self.world();
        if world.strikes(Fault::Unavailable) {
            return Err(unavailable("simulated outage"));
        }
        Ok(world)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A panic elsewhere while it was held is that test's failure, not ours.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Compute for Sim {
    async fn nodes(&self) -> Result<Vec<Node>, CloudError> {
        let mut world = self.reached()?;
        if self.hides_nodes.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let stale = world.strikes(Fault::StaleList);
        Ok(if stale { world.stale_view().nodes } else { world.view().nodes })
    }

    async fn images(&self) -> Result<Vec<Image>, CloudError> {
        drop(self.reached()?);
        Ok(vec![Image {
            id: "sim-desktop".to_owned().try_into().expect("a plain name"),
            name: "Simulated desktop".to_owned(),
            description: "Runs nothing".to_owned(),
            gpu: GpuRequest::default(),
            enabled: true,
        }])
    }

    async fn create(&self, spec: &ServerSpec) -> Result<ServerId, CloudError> {
        let mut world = self.reached()?;
        if world.strikes(Fault::Refused) {
            return Err(CloudError::refused("simulated refusal"));
        }
        if world.strikes(Fault::NoCapacity) {
            return Err(CloudError::no_capacity());
        }
        for fault in Fault::ASKED {
            if world.takes_order(fault) {
                return Err(ordered(fault, spec));
            }
        }
        let id = world.create(spec)?;
        answer(&mut world, id)
    }

    async fn find(&self, desktop: DesktopId) -> Result<Option<Server>, CloudError> {
        let mut world = self.reached()?;
        let stale = world.strikes(Fault::StaleFind);
        Ok(if stale { world.stale_view().servers.remove(&desktop) } else { world.server(desktop) })
    }

    async fn list(&self) -> Result<Vec<Server>, CloudError> {
        let mut world = self.reached()?;
        let stale = world.strikes(Fault::StaleList);
        let view = if stale { world.stale_view() } else { world.view() };
        Ok(view.servers.into_values().collect())
    }

    async fn power(&self, id: &ServerId, power: Power<'_>) -> Result<(), CloudError> {
        let mut world = self.reached()?;
        let known = match power {
            Power::On(spec) => world.power_on(id, spec)?,
            Power::Off => world.power_off(id),
        };
        if !known {
            return Err(CloudError::refused(format!("there is no server {id}")));
        }
        answer(&mut world, ())
    }

    async fn delete(&self, id: &ServerId) -> Result<(), CloudError> {
        let mut world = self.reached()?;
        world.delete(id);
        answer(&mut world, ())
    }

    fn protections(&self) -> Vec<Protection> {
        ["user_id", "mount_namespace", "pid_namespace", "ipc_namespace", "network_namespace"]
            .into_iter()
            .chain(["memory_limit", "cpu_limit"])
            .map(|code| Protection {
                code: code.to_owned(),
                in_force: false,
                detail: "simulated: nothing runs".to_owned(),
            })
            .collect()
    }

    async fn shutdown(&self) {}

    fn builds_max(&self) -> Option<usize> {
        Some(self.builds_max.load(Ordering::Relaxed)).filter(|max| *max > 0)
    }

    async fn made_of(&self, id: &ServerId) -> Result<Option<MadeOf>, CloudError> {
        Ok(self.reached()?.made_of(id))
    }
}

/// What a person has to mend, as the cloud says it.
fn ordered(fault: Fault, spec: &ServerSpec) -> CloudError {
    let request = RequestId::parse("req-simulated");
    match fault {
        Fault::Quota => CloudError::Quota { what: "instances".to_owned(), request },
        Fault::Credentials => CloudError::Credentials { text: "simulated".to_owned(), request },
        Fault::ImageGone => CloudError::ImageGone { image: spec.image.id.to_string(), request },
        Fault::FlavorChanged => CloudError::FlavorChanged { text: "simulated".to_owned(), request },
        Fault::NodeDisabled => CloudError::NodeDisabled { node: spec.node.clone(), request },
        Fault::Unavailable
        | Fault::LostAnswer
        | Fault::Refused
        | Fault::NoCapacity
        | Fault::StaleList
        | Fault::StaleFind
        | Fault::BuildError
        | Fault::BuildStuck
        | Fault::AgentSilent => unavailable("simulated"),
    }
}

/// The effect is there; the answer may be lost on its way.
fn answer<T>(world: &mut World, value: T) -> Result<T, CloudError> {
    if world.strikes(Fault::LostAnswer) {
        Err(unavailable("simulated lost answer"))
    } else {
        Ok(value)
    }
}

fn unavailable(text: &'static str) -> CloudError {
    CloudError::unavailable(text)
}

fn card_address(number: u8) -> CardAddress {
    format!("0000:{number:02x}:00.0").parse().expect("a plain address")
}

fn node_name(number: u32) -> NodeName {
    format!("sim-{number:03}").try_into().expect("a plain name")
}
