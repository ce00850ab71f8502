//! Making a server: look first, then the fence, then ask, then see that a host was found.
//!
//! ```text
//! adopt? ── flavor, image ── port and group ── POST ── placed? ──> its id
//!   └─> its id                                   │        └─ broke: delete it, say why
//!                              answer lost: look again ┘
//! ```

use beamdesk_types::{AgentStart, DesktopId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    ApiError, Disk, OpenStack, Outcome, Service,
    blame::{blame, fault},
    driver::{GONE_WAIT, POLL, busy, busy_if_conflict},
    server::{NovaServer, card_list, chosen, desktop_tag, key, name},
    state::clipped,
    userdata::user_data,
};
use crate::{CloudError, RequestId, ServerId, ServerSpec};

/// So long is waited for a host to be found. A busy Nova takes longer: then `find` tells.
const PLACED_WAIT: std::time::Duration = std::time::Duration::from_secs(30);

impl OpenStack {
    pub(super) async fn create_one(&self, spec: &ServerSpec) -> Result<ServerId, CloudError> {
        let AgentStart::Seeded(seed) = &spec.agent else {
            return Err(CloudError::refused("servers of this cloud need a seed"));
        };
        if seed.desktop != spec.desktop {
            return Err(CloudError::refused("the seed is another desktop's"));
        }
        let user_data = user_data(seed, &self.config().first_boot)?;
        let gate = self.gate(spec.desktop);
        let _one_at_a_time = gate.lock().await;
        if let Some(id) = self.adopt(spec.desktop).await? {
            return Ok(id);
        }
        let (flavor, image) =
            tokio::try_join!(self.flavor_for(spec), self.glance_id(&spec.image.id))?;
        let port = self.port_for(spec.desktop).await?;
        if !port.device_id.is_empty() {
            return Err(self.taken_port(spec.desktop, &port.device_id, &port.id).await);
        }
        let body = self.request(spec, &flavor, &image, &port.id, &user_data);
        let asked = self.post(&body).await;
        self.look_anew(spec.desktop);
        let id = match asked {
            Ok(id) => {
                self.known().servers.insert(spec.desktop, id.clone());
                id
            }
            Err(error) => return self.not_made(spec, error).await,
        };
        info!(
            desktop.id = %spec.desktop, server.id = %id, node.name = %spec.node,
            request.id = %RequestId::of_operation(), "Asked the cloud for a server"
        );
        self.placed(spec, ServerId(id)).await
    }

    /// The server that this desktop has already. Broken ones and doubles are removed.
    async fn adopt(&self, desktop: DesktopId) -> Result<Option<ServerId>, CloudError> {
        let servers = self.servers_of(desktop).await?;
        let Some(first) = chosen(&servers) else { return Ok(None) };
        for double in servers.iter().filter(|server| server.id != first.id && !server.is_going()) {
            warn!(desktop.id = %desktop, server.id = %double.id, "Removing a second server of a desktop");
            self.remove(double).await?;
        }
        if first.is_going() {
            return Err(busy("the desktop's last server is still being deleted"));
        }
        if first.is_broken() {
            info!(desktop.id = %desktop, server.id = %first.id, "Removing a broken server before the next");
            if !self.remove(first).await? {
                return Err(busy("the desktop's broken server is still being deleted"));
            }
            return Ok(None);
        }
        Ok(Some(ServerId(first.id.clone())))
    }

    /// What Nova is asked for. Nothing in it is a user's words but the desktop's name, in the seed.
    fn request(
        &self,
        spec: &ServerSpec,
        flavor: &str,
        image: &str,
        port: &str,
        user_data: &str,
    ) -> Value {
        let config = self.config();
        let mut server = json!({
            "name": name(spec.desktop),
            "flavorRef": flavor,
            "networks": [{ "port": port }],
            "tags": [config.deployment.tag(), desktop_tag(spec.desktop)],
            "metadata": {
                key::DEPLOYMENT: config.deployment.as_str(),
                key::DESKTOP: spec.desktop.to_string(),
                key::GENERATION: spec.agent.generation().to_string(),
                key::NODE: spec.node.as_str(),
                key::OWNER: spec.owner.to_string(),
                key::IMAGE: spec.image.id.as_str(),
                key::SIZE: spec.size.id.as_str(),
                key::CARDS: clipped_list(&card_list(&spec.cards)),
            },
            "config_drive": true,
            "user_data": user_data,
        });
        match &config.disk {
            Disk::Local => server["imageRef"] = json!(image),
            Disk::Volume { r#type } => {
                let mut volume = json!({
                    "boot_index": 0, "uuid": image, "source_type": "image",
                    "destination_type": "volume", "delete_on_termination": true,
                    "volume_size": spec.size.disk_gib,
                });
                if let Some(kind) = r#type {
                    volume["volume_type"] = json!(kind);
                }
                server["block_device_mapping_v2"] = json!([volume]);
            }
        }
        if config.choose_host {
            // Goes through filters and Placement, unlike `availability_zone=zone:host`.
            server["host"] = json!(spec.node.as_str());
        }
        if let Some(keypair) = &config.keypair {
            server["key_name"] = json!(keypair);
        }
        // Never read by a stock Nova; a weigher of ours may (docs/nova.md).
        json!({ "server": server, "os:scheduler_hints": { "heps_desktop": spec.desktop.to_string() } })
    }

    async fn post(&self, body: &Value) -> Result<String, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            server: Made,
        }
        #[derive(Deserialize)]
        struct Made {
            id: String,
        }
        let call = self.client().post(Service::Compute, "/servers").json(body);
        Ok(call.send::<Answer>().await?.server.id)
    }

    /// Nova did not say yes. Was it made all the same?
    async fn not_made(&self, spec: &ServerSpec, error: ApiError) -> Result<ServerId, CloudError> {
        let is_unsure = error.outcome() == Outcome::Unknown || error.is_conflict();
        let is_definite = error.outcome() == Outcome::NotDone && !error.is_conflict();
        if is_unsure && let Some(id) = self.adopt(spec.desktop).await? {
            info!(desktop.id = %spec.desktop, server.id = %id, "Found the server whose answer was lost");
            return Ok(id);
        }
        if is_definite {
            self.free_quietly(spec.desktop).await;
        }
        Err(blame(spec, error))
    }

    /// Waits until a host is found for it, or none.
    async fn placed(&self, spec: &ServerSpec, id: ServerId) -> Result<ServerId, CloudError> {
        let end = Instant::now() + PLACED_WAIT;
        loop {
            sleep(POLL).await;
            let Some(server) = self.server(&id).await? else {
                return Err(CloudError::unavailable("the server vanished while it was made"));
            };
            if server.is_broken() {
                return self.broke(spec, &server).await;
            }
            if server.is_placed() || Instant::now() > end {
                return Ok(id);
            }
        }
    }

    /// Away with it: it holds quota, and its port.
    async fn broke(&self, spec: &ServerSpec, server: &NovaServer) -> Result<ServerId, CloudError> {
        let mut error = fault(spec, server.fault.as_ref());
        if let CloudError::NoCapacity { request } = &error
            && self.is_disabled(spec).await
        {
            error = CloudError::NodeDisabled { node: spec.node.clone(), request: request.clone() };
        }
        let told = server.fault_text().unwrap_or_default();
        warn!(
            desktop.id = %spec.desktop, server.id = %server.id, node.name = %spec.node,
            request.id = error.request().unwrap_or_default(), fault = %clipped(told),
            "A server broke while it was made"
        );
        if self.remove(server).await? && self.servers_of(spec.desktop).await?.is_empty() {
            self.free_quietly(spec.desktop).await;
        }
        self.look_anew(spec.desktop);
        Err(error)
    }

    /// Whether the host was switched off for new servers, where we may ask.
    async fn is_disabled(&self, spec: &ServerSpec) -> bool {
        #[derive(Deserialize)]
        struct Answer {
            services: Vec<ComputeService>,
        }
        #[derive(Deserialize)]
        struct ComputeService {
            status: String,
        }
        let call = self.client().get(Service::Compute, "/os-services");
        let call = call.query("binary", "nova-compute").query("host", &spec.node);
        let answer: Result<Answer, _> = call.send().await;
        answer.is_ok_and(|answer| answer.services.iter().any(|one| one.status == "disabled"))
    }

    /// The desktop's port has a server that did not show up as the desktop's.
    async fn taken_port(&self, desktop: DesktopId, device: &str, port: &str) -> CloudError {
        match self.server(&ServerId(device.to_owned())).await {
            Ok(Some(server)) => {
                // Kept after its deletion, or not in lists yet: `find` asks for it by its id.
                self.known().servers.insert(desktop, server.id);
                busy("its port is in use by a server that is in no list")
            }
            Ok(None) => {
                warn!(desktop.id = %desktop, port.id = port, "Removing a port whose server is gone");
                let gone = self.client().delete(Service::Network, format!("/ports/{port}")).gone();
                gone.await.map_or_else(CloudError::from, |_| busy("its port is made anew"))
            }
            Err(error) => error.into(),
        }
    }

    /// What stays is found by `tidy`.
    async fn free_quietly(&self, desktop: DesktopId) {
        if let Err(error) = self.free_network(desktop).await {
            warn!(desktop.id = %desktop, %error, "Could not remove port and group yet");
        }
    }

    /// Deletes one server and waits for its end, within a bound; false: it goes on.
    pub(super) async fn remove(&self, server: &NovaServer) -> Result<bool, CloudError> {
        let id = ServerId(server.id.clone());
        if server.vm_state() == "soft-delete" {
            self.force(&id).await?;
        } else {
            let call = self.client().delete(Service::Compute, format!("/servers/{id}"));
            if !call.gone().await.map_err(busy_if_conflict)? {
                return Ok(true);
            }
        }
        let end = Instant::now() + GONE_WAIT;
        while Instant::now() < end {
            sleep(POLL).await;
            let Some(server) = self.server(&id).await? else { return Ok(true) };
            if server.vm_state() == "soft-delete" && server.task_state.is_none() {
                self.force(&id).await?;
            }
        }
        Ok(false)
    }

    /// The cloud keeps deleted servers for a while; ours would hold a quota and a port.
    async fn force(&self, id: &ServerId) -> Result<(), CloudError> {
        self.act(id, &json!({ "forceDelete": null })).await.map_err(busy_if_conflict)
    }
}

/// Nova's limit for a value of metadata; whole cards only.
const METADATA_CHARS_MAX: usize = 255;

fn clipped_list(list: &str) -> String {
    let mut list = list.to_owned();
    while list.len() > METADATA_CHARS_MAX {
        let end = list.rfind(',').unwrap_or(0);
        list.truncate(end);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::clipped_list;

    #[test]
    fn cards_fit_into_metadata_as_whole_ones() {
        let cards = vec!["0000:10:00.0"; 30].join(",");
        let kept = clipped_list(&cards);
        assert!(kept.len() <= 255 && kept.ends_with(".0"), "{kept}");
        assert_eq!(clipped_list(""), "");
    }
}
