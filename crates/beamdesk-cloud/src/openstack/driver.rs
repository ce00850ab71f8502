//! The driver: what the portal asks, as calls to OpenStack.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use beamdesk_types::{
    Clock, DesktopId, Image, Inventory, MadeOf, Node, Protection, Size, Timestamp,
};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use tracing::{info, warn};
use url::Url;

use super::{
    Access, ApiError, Client, Microversion, OpenStackConfig, Service, Settings, lookup::Lookups,
    nodes::Inventories, server::chosen, tidy::Sightings,
};
use crate::{
    Alter, CloudError, Compute, HostCards, Power, Published, RequestId, Server, ServerId,
    ServerSpec,
};

/// Between two looks at a server that changes: Nova takes a second for anything.
pub(super) const POLL: Duration = Duration::from_millis(500);
/// A deletion takes seconds; one that takes longer goes on without us.
pub(super) const GONE_WAIT: Duration = Duration::from_secs(20);
/// When to ask again what could not be done just now.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// `host` at a server's creation (Compute API, 2.74).
const LEAST: Microversion = Microversion::new(2, 74);
/// What a page shows of a console.
const CONSOLE_LINES_MAX: u32 = 1000;

/// Desktops as servers of one project of an OpenStack cloud.
#[derive(Debug)]
pub struct OpenStack {
    client: Client,
    config: OpenStackConfig,
    project: String,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    lookups: Lookups,
    /// One change at a time per desktop; an entry is dropped when nobody waits for it.
    gates: Mutex<HashMap<DesktopId, Arc<tokio::sync::Mutex<()>>>>,
}

/// What seldom changes. All of it is asked anew when it turns out to be wrong.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) network: Option<String>,
    /// Ids by name.
    pub(super) flavors: HashMap<String, String>,
    /// By provider, each until it is old.
    pub(super) inventories: HashMap<String, (Timestamp, Option<Inventories>)>,
    pub(super) leftovers: Sightings,
    /// The server that each desktop had when last seen.
    pub(super) servers: HashMap<DesktopId, String>,
}

impl OpenStack {
    /// Logs in, and sees that the cloud is new enough and has the network.
    ///
    /// # Errors
    /// Each says who can mend it: the configuration, the credentials, or the cloud.
    pub async fn connect(
        config: OpenStackConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CloudError> {
        config.check().map_err(|error| CloudError::refused(error.to_string()))?;
        let access = Access::from_file(&config.clouds_file, &config.cloud)
            .map_err(|error| CloudError::Credentials { text: error.to_string(), request: None })?;
        let settings = Settings { deadline: config.deadline(), ..Settings::default() };
        let client = Client::connect(access, settings).await?;
        if !client.supports(Service::Compute, LEAST).await? {
            return Err(CloudError::refused(format!(
                "the cloud's Nova is too old: {LEAST} is needed (Train or later); an administrator \
                 of the cloud can upgrade it"
            )));
        }
        let identity = client.identity().await?;
        let cloud = Self {
            client,
            config,
            project: identity.project_id.clone(),
            clock,
            known: Mutex::default(),
            lookups: Lookups::default(),
            gates: Mutex::default(),
        };
        cloud.network_id().await?;
        info!(
            project = %identity.project_name, deployment = cloud.config.deployment.as_str(),
            "Connected to the cloud"
        );
        Ok(cloud)
    }

    pub fn config(&self) -> &OpenStackConfig {
        &self.config
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes of one desktop pass one by one.
    pub(super) fn gate(&self, desktop: DesktopId) -> Arc<tokio::sync::Mutex<()>> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        Arc::clone(gates.entry(desktop).or_default())
    }

    /// Whether something is done for it just now.
    pub(super) fn is_at_work(&self, desktop: DesktopId) -> bool {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.get(&desktop).is_some_and(|gate| Arc::strong_count(gate) > 1)
    }

    pub(super) fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// What we remember of this desktop's server is old.
    pub(super) fn look_anew(&self, desktop: DesktopId) {
        self.lookups.changed(desktop);
    }

    async fn find_one(&self, desktop: DesktopId) -> Result<Option<Server>, CloudError> {
        let port = self.config.agent_port;
        let servers = self.look_up(desktop).await?;
        if let Some(server) = chosen(&servers) {
            self.known().servers.insert(desktop, server.id.clone());
            return Ok(server.seen(port));
        }
        // Lists leave out what Nova keeps for a while after its deletion: that is not gone.
        let last = self.known().servers.get(&desktop).cloned();
        let Some(last) = last else { return Ok(None) };
        let asked = Instant::now();
        let server = self.server(&ServerId(last)).await?;
        let server =
            server.filter(|server| self.is_ours(server) && server.desktop() == Some(desktop));
        match &server {
            Some(server) => self.lookups.heard_one(desktop, server.clone(), asked),
            None => drop(self.known().servers.remove(&desktop)),
        }
        Ok(server.and_then(|server| server.seen(port)))
    }

    /// The project of our credentials, by its id.
    pub(super) fn project(&self) -> &str {
        &self.project
    }

    async fn delete_one(&self, id: &ServerId) -> Result<(), CloudError> {
        let Some(server) = self.guarded(id).await? else { return Ok(()) };
        let desktop = server.desktop();
        let gate = desktop.map(|desktop| self.gate(desktop));
        let _one_at_a_time = match &gate {
            Some(gate) => Some(gate.lock().await),
            None => None,
        };
        let is_gone = self.remove(&server).await?;
        info!(
            desktop.id = ?desktop, server.id = %id, request.id = %RequestId::of_operation(),
            is_gone, "Asked the cloud to delete a server"
        );
        let Some(desktop) = desktop else { return Ok(()) };
        self.look_anew(desktop);
        // Unless another server of the desktop has them: then this one was a double.
        if is_gone && self.servers_of(desktop).await?.is_empty() {
            self.free_network(desktop).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Compute for OpenStack {
    async fn nodes(&self) -> Result<Vec<Node>, CloudError> {
        Ok(self.hypervisor_nodes().await?)
    }

    async fn images(&self) -> Result<Vec<Image>, CloudError> {
        Ok(self.offered_images().await?.into_values().map(|offered| offered.image).collect())
    }

    async fn create(&self, spec: &ServerSpec) -> Result<ServerId, CloudError> {
        operation(self.create_one(spec)).await
    }

    async fn find(&self, desktop: DesktopId) -> Result<Option<Server>, CloudError> {
        self.find_one(desktop).await
    }

    async fn list(&self) -> Result<Vec<Server>, CloudError> {
        let servers = self.all().await?;
        let seen = servers.iter().filter_map(|server| {
            let seen = server.seen(self.config.agent_port);
            if seen.is_none() {
                warn!(server.id = %server.id, "A server with our tag does not say whose it is");
            }
            seen
        });
        Ok(seen.collect())
    }

    async fn power(&self, id: &ServerId, power: Power<'_>) -> Result<(), CloudError> {
        operation(async {
            match power {
                Power::On(spec) => {
                    let gate = self.gate(spec.desktop);
                    let _one_at_a_time = gate.lock().await;
                    self.power_on(id, spec).await
                }
                Power::Off => self.power_off(id).await,
            }
        })
        .await
    }

    async fn delete(&self, id: &ServerId) -> Result<(), CloudError> {
        operation(self.delete_one(id)).await
    }

    fn protections(&self) -> Vec<Protection> {
        let machine = ["user_id", "mount_namespace", "pid_namespace", "ipc_namespace"];
        let machine = machine.map(|code| (code, "a virtual machine of its own"));
        let flavor = ["memory_limit", "cpu_limit", "disk_limit"];
        let flavor = flavor.map(|code| (code, "the flavor, kept by the hypervisor"));
        let network = [("network_namespace", "a port and a security group of its own")];
        let all = machine.into_iter().chain(network).chain(flavor);
        all.map(|(code, detail)| Protection {
            code: code.to_owned(),
            in_force: true,
            detail: detail.to_owned(),
        })
        .collect()
    }

    async fn shutdown(&self) {}

    fn seeds(&self) -> bool {
        true
    }

    fn builds_max(&self) -> Option<usize> {
        Some(self.config.builds_max)
    }

    async fn console_log(&self, id: &ServerId, lines: u32) -> Result<Option<String>, CloudError> {
        #[derive(Deserialize)]
        struct Answer {
            output: Option<String>,
        }
        self.ours(id).await?;
        let length = lines.clamp(1, CONSOLE_LINES_MAX);
        let action = json!({ "os-getConsoleOutput": { "length": length } });
        let call = self.client.post(Service::Compute, format!("/servers/{id}/action"));
        let call = call.json(&action).safe_to_repeat();
        match call.send::<Answer>().await {
            Ok(answer) => Ok(answer.output),
            // 409: it has no host now. 501: its hypervisor keeps none.
            Err(error) if matches!(error.status(), Some(404 | 409 | 501)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn console_url(&self, id: &ServerId) -> Result<Option<Url>, CloudError> {
        #[derive(Deserialize)]
        struct Answer {
            remote_console: Console,
        }
        #[derive(Deserialize)]
        struct Console {
            url: Url,
        }
        self.ours(id).await?;
        let body = json!({ "remote_console": { "protocol": "vnc", "type": "novnc" } });
        let call = self.client.post(Service::Compute, format!("/servers/{id}/remote-consoles"));
        match call.json(&body).safe_to_repeat().send::<Answer>().await {
            Ok(answer) => Ok(Some(answer.remote_console.url)),
            // 400: consoles of this kind are switched off. 409: it is not on.
            Err(error) if matches!(error.status(), Some(400 | 404 | 409 | 501)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn alter(&self, id: &ServerId, alter: Alter<'_>) -> Result<(), CloudError> {
        operation(self.alter_one(id, alter)).await
    }

    async fn tidy(&self) -> Result<(), CloudError> {
        operation(self.tidy_up()).await
    }

    async fn mend_size(&self, size: &Size) -> Result<(), CloudError> {
        operation(self.mend_flavor(size)).await
    }

    async fn inventory(&self, sizes: &[Size]) -> Result<Option<Inventory>, CloudError> {
        operation(self.inventory_of(sizes)).await.map(Some)
    }

    async fn publish(&self, hosts: &[HostCards]) -> Result<Published, CloudError> {
        operation(self.publish_cards(hosts)).await
    }

    async fn made_of(&self, id: &ServerId) -> Result<Option<MadeOf>, CloudError> {
        operation(self.made_of_server(id)).await
    }
}

/// All calls in it carry one id, from our log to the cloud's.
async fn operation<F: Future>(calls: F) -> F::Output {
    RequestId::of_operation().scope(Box::pin(calls)).await
}

pub(super) fn busy(text: &'static str) -> CloudError {
    CloudError::Unavailable { retry_after: Some(RETRY_AFTER), source: text.into(), request: None }
}

/// 409 of an action: something else is being done to it just now.
pub(super) fn busy_if_conflict(error: ApiError) -> CloudError {
    if !error.is_conflict() || error.is_quota() {
        return error.into();
    }
    let request = error.request_id().cloned();
    CloudError::Unavailable { retry_after: Some(RETRY_AFTER), source: error.into(), request }
}

#[cfg(test)]
pub(super) mod tests {
    use beamdesk_types::{
        AgentSeed, AgentStart, DesktopId, GpuRequest, Image, Secret, SessionConfig, Size, UserId,
        WHOLE_CARD,
    };

    use crate::ServerSpec;

    pub(in super::super) fn spec() -> ServerSpec {
        let desktop = DesktopId::from_u128(7);
        ServerSpec {
            desktop,
            owner: UserId::from_u128(8),
            node: "fake001".parse().unwrap(),
            image: Image {
                id: "debian-12".parse().unwrap(),
                name: "Debian 12".to_owned(),
                description: String::new(),
                gpu: GpuRequest::default(),
                enabled: true,
            },
            size: Size {
                id: "small".parse().unwrap(),
                name: "Small".to_owned(),
                vcpus: 1,
                memory_mib: 2048,
                disk_gib: 10,
                gpu: GpuRequest::default(),
                term_hours: 0,
                enabled: true,
            },
            cards: Vec::new(),
            share_milli: WHOLE_CARD,
            agent: AgentStart::Seeded(AgentSeed {
                desktop,
                generation: 1,
                portals: vec!["https://portal:8445".to_owned()],
                authority: "an authority".to_owned(),
                secret: Secret::new("once".to_owned()),
                session: SessionConfig {
                    name: "My desktop".to_owned(),
                    language: "en".to_owned(),
                    width: 1280,
                    height: 720,
                },
            }),
        }
    }
}
