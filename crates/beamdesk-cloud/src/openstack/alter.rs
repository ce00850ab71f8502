//! Changing a server that there is: another size, a fresh disk, another host.

use beamdesk_types::AgentStart;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::{
    OpenStack,
    diary::Diary,
    driver::{POLL, busy, busy_if_conflict},
    power::diary,
    userdata::user_data,
};
use crate::{Alter, CloudError, PowerState, RequestId, ServerId, ServerNote, ServerSpec};

/// A resize moves a whole disk; one that takes longer waits for a person's word at Nova.
const RESIZED_WAIT: std::time::Duration = std::time::Duration::from_secs(90);

impl OpenStack {
    pub(super) async fn alter_one(
        &self,
        id: &ServerId,
        alter: Alter<'_>,
    ) -> Result<(), CloudError> {
        let (server, seen) = self.ours(id).await?;
        let gate = self.gate(seen.desktop);
        let _one_at_a_time = gate.lock().await;
        match alter {
            Alter::Resize(spec) => self.resize(id, spec).await?,
            Alter::Rebuild(spec) => {
                let known = diary(&server, &seen);
                self.rebuild(id, spec, known).await?;
            }
            Alter::Migrate(node) => {
                let to = json!({ "host": node.as_str(), "block_migration": "auto" });
                let action = json!({ "os-migrateLive": to });
                self.act(id, &action).await.map_err(busy_if_conflict)?;
            }
        }
        self.look_anew(seen.desktop);
        info!(
            desktop.id = %seen.desktop, server.id = %id, action = alter.word(),
            request.id = %RequestId::of_operation(), "Asked the cloud to change a server"
        );
        Ok(())
    }

    /// Confirms it by itself: whoever asked for it has seen the size, not the disk.
    async fn resize(&self, id: &ServerId, spec: &ServerSpec) -> Result<(), CloudError> {
        let flavor = self.flavor_for(spec).await?;
        let action = json!({ "resize": { "flavorRef": flavor } });
        self.act(id, &action).await.map_err(busy_if_conflict)?;
        let end = Instant::now() + RESIZED_WAIT;
        loop {
            sleep(POLL).await;
            let (server, seen) = self.ours(id).await?;
            if server.vm_state() == "resized" && server.task_state.is_none() {
                let confirmed = self.act(id, &json!({ "confirmResize": null })).await;
                return confirmed.map_err(busy_if_conflict);
            }
            if let PowerState::Error(why) = seen.state {
                return Err(CloudError::refused(format!("the resize broke: {why}")));
            }
            if seen.note != Some(ServerNote::Resizing) {
                // Nova leaves it as it was where no host has room for the new size.
                return Err(CloudError::NoCapacity { request: Some(RequestId::of_operation()) });
            }
            if Instant::now() > end {
                return Err(busy("the resize takes long"));
            }
        }
    }

    /// With a seed of its own: the agent's identity was on the disk.
    async fn rebuild(
        &self,
        id: &ServerId,
        spec: &ServerSpec,
        known: Diary,
    ) -> Result<(), CloudError> {
        let AgentStart::Seeded(seed) = &spec.agent else {
            return Err(CloudError::refused("servers of this cloud need a seed"));
        };
        let user_data = user_data(seed, &self.config().first_boot)?;
        let image = self.glance_id(&spec.image.id).await?;
        self.write(id, &Diary { next: Some(seed.generation), ..known }).await?;
        let action = json!({ "rebuild": { "imageRef": image, "user_data": user_data } });
        self.act(id, &action).await.map_err(busy_if_conflict)
    }
}
