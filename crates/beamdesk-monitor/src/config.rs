//! What a monitor is told at its start.

use std::{path::PathBuf, time::Duration};

use beamdesk_types::{NodeName, Secret};
use url::Url;

use crate::cards::Given;

/// Where to look, and how cards are given away here.
#[derive(Debug, Clone)]
pub struct ProbeConfig {
    /// `/`, or a folder with copies of another machine's `/sys`, `/proc` and `/etc`. Of such a copy
    /// the host's driver (NVML) is not asked.
    pub root: PathBuf,
    /// TOML like `data/cards.toml`, which it adds to and overrides.
    pub cards: Option<PathBuf>,
    /// In whose file system disks of desktops lie, below `root`.
    pub disk: PathBuf,
    pub given: Given,
    /// Whether NVML may be loaded: while it is, cards on the driver `nvidia` cannot be bound to another.
    pub nvml: bool,
}

impl ProbeConfig {
    /// Of the running machine, all by default.
    pub fn here(given: Given) -> Self {
        Self { root: PathBuf::from("/"), cards: None, disk: PathBuf::from("/"), given, nvml: true }
    }
}

/// A monitor that reports.
#[derive(Debug, Clone)]
pub struct Config {
    pub node: NodeName,
    pub probe: ProbeConfig,
    /// The portal's address for monitors, `https` only.
    pub portal: Url,
    pub entry: Entry,
    /// Between two samples.
    pub interval: Duration,
    /// Folder that keeps the identity and the last generation. Private to the monitor.
    pub state: PathBuf,
}

/// How the portal is to know the monitor.
#[derive(Debug, Clone)]
pub enum Entry {
    /// By the identity kept in the state folder; without one it enrols with the secret.
    Enrol { secret: Option<Secret> },
    /// By an identity made by whoever starts it; it is renewed, but never kept. PEM.
    Identity { certificate: String, key: Secret, authority: String },
}
