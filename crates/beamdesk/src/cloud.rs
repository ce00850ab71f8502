//! Where desktops run, for commands that have a choice.

use std::{env, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use beamdesk_cloud::{
    CloudError, Compute,
    openstack::{OpenStack, OpenStackConfig},
    sandbox::{Sandbox, SandboxConfig},
};
use beamdesk_types::Clock;
use tokio::time::sleep;
use tracing::warn;

use crate::config::portal::CloudTable;

/// Before a cloud that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(5);

pub(crate) async fn open(table: &CloudTable, clock: Arc<dyn Clock>) -> Result<Arc<dyn Compute>> {
    match (&table.openstack, &table.sandbox) {
        (Some(openstack), None) => Ok(Arc::new(connect(openstack, clock).await?)),
        (None, Some(sandbox)) => Ok(Arc::new(open_sandbox(&sandbox.data).await?)),
        (None, None) | (Some(_), Some(_)) => {
            bail!("cloud: is one of [cloud.openstack] and [cloud.sandbox]")
        }
    }
}

/// A cloud that is down now is waited for: portals may be started before it, after a power cut.
pub(crate) async fn connect(config: &OpenStackConfig, clock: Arc<dyn Clock>) -> Result<OpenStack> {
    loop {
        match OpenStack::connect(config.clone(), Arc::clone(&clock)).await {
            Err(error @ CloudError::Unavailable { .. }) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                warn!(%error, cause, "OpenStack does not answer, will try again");
                sleep(AGAIN).await;
            }
            connected => return connected.context("could not connect to OpenStack"),
        }
    }
}

/// Where the agents of this cloud's desktops find portals.
pub(crate) fn agent_portals(table: &CloudTable) -> Vec<String> {
    table.openstack.as_ref().map(|openstack| openstack.portals.clone()).unwrap_or_default()
}

/// The sandbox driver, with this program as its host and the agent that lies beside it.
pub(crate) async fn open_sandbox(data: &Path) -> Result<Sandbox> {
    let beamdesk = env::current_exe()?;
    let agent = beamdesk.with_file_name("beamdesk-agent");
    if !agent.exists() {
        bail!("{} is missing: it belongs beside {}", agent.display(), beamdesk.display());
    }
    Ok(Sandbox::open(SandboxConfig::new(data.to_owned(), beamdesk, agent)).await?)
}
