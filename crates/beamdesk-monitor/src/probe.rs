//! One look at the machine.

use std::collections::BTreeMap;

use beamdesk_types::{Card, NodeFacts};

use crate::{
    MonitorError, ProbeConfig,
    cards::{Given, Programs, Seen, cards},
    facts::{CpuTimes, facts, machine},
    holders::{holders, is_bystander},
    mdev::mdevs,
    nvml::{Driver, DriverCard},
    pci,
    table::CardTable,
    tree::Tree,
};

/// What a look at the machine found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub facts: NodeFacts,
    pub cards: Vec<Card>,
}

/// Looks at a machine again and again. All of it blocks.
#[derive(Debug)]
pub struct Probe {
    config: ProbeConfig,
    tree: Tree,
    table: CardTable,
    driver: Driver,
    machine: Option<String>,
    before: CpuTimes,
}

impl Probe {
    pub fn new(config: ProbeConfig) -> Result<Self, MonitorError> {
        let table = match &config.cards {
            Some(file) => CardTable::with_file(file)?,
            None => CardTable::shipped(),
        };
        let tree = Tree::new(config.root.clone());
        Ok(Self {
            machine: machine(&tree),
            config,
            tree,
            table,
            driver: Driver::default(),
            before: CpuTimes::default(),
        })
    }

    /// The machine's id; a container may have none.
    pub fn machine(&self) -> Option<&str> {
        self.machine.as_deref()
    }

    pub fn sample(&mut self) -> Sample {
        // The library asks the driver of this machine, whatever folder is looked at.
        let may_ask = self.config.nvml && self.tree.is_live();
        let driver = if may_ask { self.driver.look(&self.tree) } else { None };
        self.sample_with(driver.as_ref())
    }

    /// With what the host's driver says given, by address.
    pub fn sample_with(&mut self, driver: Option<&BTreeMap<String, DriverCard>>) -> Sample {
        let tree = &self.tree;
        let devices = pci::devices(tree, &self.table);
        let mdevs = mdevs(tree);
        let on_host = self.config.given == Given::Host;
        let holders = holders(tree, &devices, &mdevs, on_host);
        let groups = devices.iter().filter_map(|device| device.iommu_group);
        let (cards, hints) = cards(&Seen {
            given: self.config.given,
            table: &self.table,
            devices: &devices,
            mdevs: &mdevs,
            holders: &holders,
            groups: &groups.map(|group| (group, pci::group(tree, group))).collect(),
            has_iommu: pci::has_iommu(tree),
            driver,
            programs: tree,
        });
        let (facts, times) = facts(tree, &self.config.disk, self.before);
        self.before = times;
        Sample { facts: NodeFacts { hints, ..facts }, cards }
    }
}

impl Programs for Tree {
    fn name(&self, process: u32) -> Option<String> {
        self.text(&format!("proc/{process}/comm")).filter(|name| !is_bystander(name))
    }
}
