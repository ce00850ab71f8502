//! SRM's monitor: what a node has and who holds its cards, sampled and told to the portal.
//!
//! [`Probe`] looks at `/sys`, `/proc` and NVML below a folder, so that a copy of another machine's
//! trees can be looked at too. [`run`] reports what changed. Nothing here changes the machine.

mod backoff;
mod cards;
mod changes;
mod config;
mod enrol;
mod error;
mod facts;
mod hints;
mod holders;
mod libvirt;
mod mdev;
mod nvml;
mod pci;
mod portal;
mod probe;
mod report;
mod run;
mod state;
mod table;
mod tls;
mod tree;
mod validity;

pub use cards::Given;
pub use changes::{changes, settle};
pub use config::{Config, Entry, ProbeConfig};
pub use error::MonitorError;
pub use facts::host_name;
pub use nvml::{DriverCard, DriverPart};
pub use probe::{Probe, Sample};
pub use report::Reporter;
pub use run::run;
pub use table::{CardTable, Figures};
pub use tree::Tree;
