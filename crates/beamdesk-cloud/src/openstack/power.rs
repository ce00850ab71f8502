//! Switching servers off and on again.
//!
//! Off is *shelve*: the disk becomes an image, the host and its cards are free for others. On is
//! *unshelve*, to the node that the scheduler chose. The diary says of each start, before and
//! after, which it is.

use beamdesk_types::NodeName;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::{
    ApiError, Microversion, OpenStack, Service, Stop,
    diary::Diary,
    driver::{POLL, busy, busy_if_conflict},
    server::{NovaServer, key},
};
use crate::{CloudError, PowerState, RequestId, Server, ServerId, ServerSpec};

/// A server that is being made is waited for before it is switched off.
const BUILT_WAIT: std::time::Duration = std::time::Duration::from_secs(60);
/// So long is waited to hear that there is no room for one that comes back.
const PLACED_WAIT: std::time::Duration = std::time::Duration::from_secs(15);
/// *Unshelve* takes a host since then (Compute API, 2.91).
const UNSHELVE_TO: Microversion = Microversion::new(2, 91);

impl OpenStack {
    pub(super) async fn power_off(&self, id: &ServerId) -> Result<(), CloudError> {
        let end = Instant::now() + BUILT_WAIT;
        let (server, seen) = loop {
            let (server, seen) = self.ours(id).await?;
            match &seen.state {
                PowerState::Active => break (server, seen),
                PowerState::Off => return self.offload(&server).await,
                PowerState::Building if Instant::now() < end => sleep(POLL).await,
                PowerState::Building => return Err(busy("the server is still being made")),
                PowerState::Error(_) | PowerState::Deleting => {
                    return Err(CloudError::refused(format!("server {id} cannot be switched off")));
                }
            }
        };
        if server.task_state.as_deref().is_some_and(is_going_off) {
            return Ok(());
        }
        let action = match self.config().stop {
            Stop::Stop => "os-stop",
            Stop::Shelve => {
                let diary = Diary { put_away: true, next: None, ..diary(&server, &seen) };
                self.write(id, &diary).await?;
                "shelve"
            }
        };
        self.act(id, &json!({ action: null })).await.map_err(busy_if_conflict)?;
        self.look_anew(seen.desktop);
        info!(
            desktop.id = %seen.desktop, server.id = %id, action,
            request.id = %RequestId::of_operation(), "Asked the cloud to switch a server off"
        );
        Ok(())
    }

    /// One that is shelved but holds its host yet, on a cloud that offloads late or never.
    async fn offload(&self, server: &NovaServer) -> Result<(), CloudError> {
        if server.vm_state() == "shelved" && server.task_state.is_none() {
            let id = ServerId(server.id.clone());
            if let Err(error) = self.act(&id, &json!({ "shelveOffload": null })).await {
                // For administrators only, by default.
                debug!(server.id = %id, %error, "The cloud does not free the host yet");
            }
        }
        Ok(())
    }

    pub(super) async fn power_on(
        &self,
        id: &ServerId,
        spec: &ServerSpec,
    ) -> Result<(), CloudError> {
        let (server, seen) = self.ours(id).await?;
        if seen.desktop != spec.desktop {
            let text = format!("server {id} is not desktop {}'s", spec.desktop);
            return Err(CloudError::refused(text));
        }
        match seen.state {
            PowerState::Off => {}
            PowerState::Building | PowerState::Active => return Ok(()),
            PowerState::Error(_) | PowerState::Deleting => {
                return Err(CloudError::refused(format!("server {id} cannot be switched on")));
            }
        }
        let generation = spec.agent.generation();
        let was_put_away = Diary::read(server.description.as_deref().unwrap_or_default()).put_away;
        let announced = Diary {
            generation: Some(seen.generation),
            node: Some(spec.node.clone()),
            cards: Some(spec.cards.clone()),
            next: Some(generation),
            put_away: was_put_away,
        };
        self.write(id, &announced).await?;
        let begun = self.begin(&server, &spec.node).await.map_err(busy_if_conflict);
        self.look_anew(spec.desktop);
        begun?;
        info!(
            desktop.id = %spec.desktop, server.id = %id, generation, node.name = %spec.node,
            request.id = %RequestId::of_operation(), "Asked the cloud to switch a server on"
        );
        let done = Diary {
            generation: Some(generation),
            next: None,
            put_away: false,
            ..announced.clone()
        };
        if server.vm_state().starts_with("shelved") {
            self.came_back(id, spec).await?;
        }
        // Until then the announcement does: it counts while the server is on.
        if let Err(error) = self.write(id, &done).await {
            warn!(server.id = %id, %error, "Could not write down a start");
        }
        Ok(())
    }

    async fn begin(&self, server: &NovaServer, node: &NodeName) -> Result<(), ApiError> {
        let id = ServerId(server.id.clone());
        match server.vm_state() {
            "shelved" | "shelved_offloaded" => self.unshelve(&id, server.vm_state(), node).await,
            // The hypervisor says it is off, Nova has not noticed.
            "active" => self.act(&id, &json!({ "reboot": { "type": "HARD" } })).await,
            _stopped => self.act(&id, &json!({ "os-start": null })).await,
        }
    }

    async fn unshelve(&self, id: &ServerId, from: &str, node: &NodeName) -> Result<(), ApiError> {
        let chooses = self.config().choose_host && from == "shelved_offloaded";
        if chooses && self.client().supports(Service::Compute, UNSHELVE_TO).await? {
            let to = json!({ "unshelve": { "host": node.as_str() } });
            match self.act(id, &to).await {
                Err(error) if error.status() == Some(403) => {
                    debug!(server.id = %id, "The portal may not choose where a server comes back");
                }
                other => return other,
            }
        }
        self.act(id, &json!({ "unshelve": null })).await
    }

    /// Whether a host was found: if none is, Nova leaves it as it was and says nothing.
    async fn came_back(&self, id: &ServerId, spec: &ServerSpec) -> Result<(), CloudError> {
        let end = Instant::now() + PLACED_WAIT;
        loop {
            sleep(POLL).await;
            let (server, seen) = self.ours(id).await?;
            if seen.state == PowerState::Off && server.task_state.is_none() {
                warn!(desktop.id = %spec.desktop, server.id = %id, "No host for a server that comes back");
                return Err(CloudError::NoCapacity { request: Some(RequestId::of_operation()) });
            }
            let is_placed =
                !server.vm_state().starts_with("shelved") || !server.host_hash.is_empty();
            if is_placed || Instant::now() > end {
                return Ok(());
            }
        }
    }

    pub(super) async fn act(&self, id: &ServerId, action: &Value) -> Result<(), ApiError> {
        let path = format!("/servers/{id}/action");
        self.client().post(Service::Compute, path).json(action).done().await
    }

    /// For people and programs that look there; not while it is put away.
    pub(super) async fn write_generation(
        &self,
        id: &ServerId,
        generation: u32,
    ) -> Result<(), ApiError> {
        let body = json!({ "metadata": { key::GENERATION: generation.to_string() } });
        let call = self.client().post(Service::Compute, format!("/servers/{id}/metadata"));
        call.json(&body).safe_to_repeat().done().await
    }

    /// Works in each state, unlike metadata and tags.
    pub(super) async fn write(&self, id: &ServerId, diary: &Diary) -> Result<(), ApiError> {
        let body = json!({ "server": { "description": diary.write() } });
        self.client().put(Service::Compute, format!("/servers/{id}")).json(&body).done().await
    }
}

/// What is known of a server now, to be written down.
pub(super) fn diary(server: &NovaServer, seen: &Server) -> Diary {
    let written = Diary::read(server.description.as_deref().unwrap_or_default());
    Diary {
        generation: Some(seen.generation),
        node: Some(seen.node.clone()),
        cards: Some(seen.cards.clone()),
        ..written
    }
}

fn is_going_off(task: &str) -> bool {
    task.starts_with("shelving") || task == "powering-off"
}
