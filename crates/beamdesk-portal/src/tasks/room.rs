//! Room that was promised to desktops whose servers the cloud does not count yet.

use std::{collections::HashMap, time::Duration};

use beamdesk_cloud::{CloudError, Compute};
use beamdesk_sched::{Request, place};
use beamdesk_types::{DesktopId, Node, NodeName};
use tokio::sync::Mutex;

/// A cloud that cannot count its hosts by then places nobody this time.
const NODES_DEADLINE: Duration = Duration::from_secs(10);

/// Promises, by desktop: as many as there are creations under way.
#[derive(Debug, Default)]
pub(crate) struct Room(Mutex<HashMap<DesktopId, (NodeName, Request)>>);

impl Room {
    /// Finds a node and keeps its room, until `release`.
    pub(crate) async fn place(
        &self,
        cloud: &dyn Compute,
        desktop: DesktopId,
        request: &Request,
    ) -> Result<Option<NodeName>, CloudError> {
        // Held over the call: a promise that is released meanwhile might be in neither count.
        let mut promised = self.0.lock().await;
        promised.remove(&desktop);
        let nodes = tokio::time::timeout(NODES_DEADLINE, cloud.nodes()).await;
        let mut nodes = nodes.map_err(|_| CloudError::Unavailable {
            retry_after: None,
            source: "hosts not counted in time".into(),
        })??;
        for (name, taken) in promised.values() {
            if let Some(node) = nodes.iter_mut().find(|node| node.name == *name) {
                take(node, taken);
            }
        }
        let chosen = place(request, &nodes).ok();
        if let Some(node) = &chosen {
            promised.insert(desktop, (node.clone(), *request));
        }
        Ok(chosen)
    }

    /// Keeps room for a creation that an earlier process began.
    pub(crate) async fn keep(&self, desktop: DesktopId, node: NodeName, request: Request) {
        self.0.lock().await.insert(desktop, (node, request));
    }

    /// The cloud counts its server now, or there will be none.
    pub(crate) async fn release(&self, desktop: DesktopId) {
        self.0.lock().await.remove(&desktop);
    }
}

fn take(node: &mut Node, request: &Request) {
    node.vcpus_used = node.vcpus_used.saturating_add(request.vcpus);
    node.memory_mib_used = node.memory_mib_used.saturating_add(request.memory_mib);
    node.disk_gib_used = node.disk_gib_used.saturating_add(request.disk_gib);
    node.gpus_free_mib.sort_unstable();
    for _ in 0..request.gpu.count {
        let card = node.gpus_free_mib.iter().position(|&mib| mib >= request.gpu.memory_mib);
        if let Some(card) = card {
            node.gpus_free_mib.remove(card);
        }
    }
}
