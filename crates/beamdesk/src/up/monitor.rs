//! The monitor of this machine, in the process of the portal that it tells.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Result;
use beamdesk_auth::Authority;
use beamdesk_monitor::{Config, Entry, Given, ProbeConfig, Tree, host_name};
use beamdesk_types::NodeName;
use url::Url;

use super::Options;
use crate::data::Data;

/// What it looks at, as whom, and whom it tells.
pub(super) fn config(
    options: &Options,
    authority: &Authority,
    data: &Data,
    portal: SocketAddr,
) -> Result<Config> {
    // Desktops run here under the machine's own name, whatever devices are looked at.
    let node = NodeName::of_host(&host_name(&Tree::new(PathBuf::from("/"))));
    let identity = authority.monitor_identity(&node)?;
    let mut probe = ProbeConfig::here(Given::Host);
    probe.cards.clone_from(&options.cards);
    if let Some(root) = &options.monitor_root {
        probe.root.clone_from(root);
        // What a copy has is given away as where it comes from.
        probe.given = Given::Passthrough;
    }
    probe.disk.clone_from(&data.folder);
    Ok(Config {
        node,
        probe,
        portal: Url::parse(&format!("https://{portal}"))?,
        entry: Entry::Identity {
            certificate: identity.certificate_pem,
            key: identity.key_pem,
            authority: authority.authority_pem().to_owned(),
        },
        interval: options.monitor_interval(),
        state: data.folder.join("monitor"),
    })
}
