//! The lab as a test sees it: a deployment of its own, which leaves nothing behind.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use beamdesk_cloud::{
    Compute, Server, ServerId, ServerSpec,
    openstack::{Access, Client, OpenStack, OpenStackConfig, Service, Settings},
};
use beamdesk_types::{
    AgentSeed, AgentStart, Clock, DesktopId, GpuRequest, NodeName, Secret, SessionConfig, Size,
    Timestamp, UserId, WHOLE_CARD,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    bed::{PATIENCE_ELSEWHERE, PAUSE_ELSEWHERE},
    recorded::Recorded,
};

/// What `cargo xtask openstack up` writes.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Lab {
    pub(crate) clouds_file: PathBuf,
    pub(crate) network: String,
    pub(crate) image: String,
    pub(crate) fake_hosts: u32,
    pub(crate) fake_prefix: String,
}

const LAB: &str = "BEAMDESK_LAB";
/// May also see hosts and make flavors.
pub(crate) const PORTAL: &str = "beamdesk-inventory";

impl Lab {
    /// `None`: there is none, and it says so.
    #[expect(clippy::print_stdout, reason = "a test that did nothing says why")]
    pub(crate) fn open() -> Option<Self> {
        let Some(path) = std::env::var_os(LAB) else {
            println!("skipped: {LAB} names no lab; `cargo xtask openstack up` makes one");
            return None;
        };
        let lab = std::fs::read(&path).unwrap_or_else(|error| panic!("{LAB}: {error}"));
        Some(serde_json::from_slice(&lab).unwrap())
    }

    pub(crate) fn config(&self, cloud: &str, deployment: &str) -> OpenStackConfig {
        let text = format!(
            "clouds_file = {:?}\ncloud = {cloud:?}\ndeployment = {deployment:?}\nnetwork = {:?}\n\
             portals = [\"https://127.0.0.1:8445\"]\ngateways = [\"127.0.0.0/8\"]\n\
             images = [{:?}]\n[pci_aliases]\n\"*\" = \"gpu\"\n",
            self.clouds_file, self.network, self.image
        );
        toml::from_str(&text).unwrap()
    }

    pub(crate) async fn client(&self, cloud: &str) -> Client {
        let access = Access::from_file(Path::new(&self.clouds_file), cloud).unwrap();
        Client::connect(access, Settings::default()).await.unwrap()
    }

    pub(crate) fn host(&self, number: u32) -> NodeName {
        let number = number % self.fake_hosts + 1;
        format!("{}{number:03}", self.fake_prefix).parse().unwrap()
    }
}

/// A clock that tests turn.
#[derive(Debug)]
pub(crate) struct Hands(Mutex<Timestamp>);

impl Hands {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Timestamp::from_second(1_800_000_000).unwrap()))
    }

    pub(crate) fn turn(&self, by: jiff::SignedDuration) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(by).unwrap();
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

pub(crate) struct OpenStackBed {
    pub(crate) lab: Lab,
    pub(crate) cloud: OpenStack,
    pub(crate) clock: Arc<Hands>,
    pub(crate) deployment: String,
    /// Where this test's servers go, so that those of others are no room of ours.
    pub(crate) node: NodeName,
    sizes: AtomicU32,
    recorded: Option<Recorded>,
}

impl OpenStackBed {
    pub(crate) async fn open(test: &str) -> Option<Self> {
        Self::with(test, PORTAL, |_| {}).await
    }

    pub(crate) async fn with(
        test: &str,
        cloud: &str,
        change: impl FnOnce(&mut OpenStackConfig),
    ) -> Option<Self> {
        let lab = Lab::open()?;
        let mut random = [0; 4];
        getrandom::fill(&mut random).unwrap();
        let deployment = format!("it-{:08x}", u32::from_ne_bytes(random));
        let mut config = lab.config(cloud, &deployment);
        change(&mut config);
        Some(Self::at(test, lab, (deployment, config), None).await)
    }

    /// Everything in it has the same name at each run, so that what was recorded can be played.
    pub(crate) async fn recorded(test: &str) -> Self {
        let recorded = Recorded::open(test).await;
        let lab = recorded.lab.clone();
        let deployment = format!("it-{:08x}", recorded.base >> 32 & 0xffff_ffff);
        let config = lab.config(PORTAL, &deployment);
        Self::at(test, lab, (deployment, config), Some(recorded)).await
    }

    async fn at(
        test: &str,
        lab: Lab,
        (deployment, config): (String, OpenStackConfig),
        recorded: Option<Recorded>,
    ) -> Self {
        let clock = Arc::new(Hands::new());
        let cloud = OpenStack::connect(config, Arc::<Hands>::clone(&clock)).await.unwrap();
        let number = test
            .bytes()
            .fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let node = lab.host(number);
        Self { lab, cloud, clock, deployment, node, sizes: AtomicU32::new(0), recorded }
    }

    pub(crate) fn tag(&self) -> String {
        format!("beamdesk:{}", self.deployment)
    }

    pub(crate) async fn spec(&self, generation: u32) -> ServerSpec {
        let number = self.sizes.fetch_add(1, Ordering::Relaxed);
        let size = Size {
            id: format!("{}-{number}", self.deployment).parse().unwrap(),
            name: "Of a test".to_owned(),
            vcpus: 1,
            memory_mib: 256,
            disk_gib: 1,
            gpu: GpuRequest::default(),
            term_hours: 0,
            enabled: true,
        };
        let recorded = self.recorded.as_ref();
        let desktop = recorded.map_or_else(DesktopId::fresh, |it| it.desktop(number));
        ServerSpec {
            desktop,
            owner: UserId::from_u128(u128::from(number)),
            node: self.node.clone(),
            image: self.cloud.images().await.unwrap().remove(0),
            size,
            cards: Vec::new(),
            share_milli: WHOLE_CARD,
            agent: AgentStart::Seeded(AgentSeed {
                desktop,
                generation,
                portals: vec!["https://127.0.0.1:8445".to_owned()],
                authority: "an authority".to_owned(),
                secret: Secret::new("a secret that is good once".to_owned()),
                session: SessionConfig {
                    name: "Trial Desktop".to_owned(),
                    language: "en".to_owned(),
                    width: 1280,
                    height: 720,
                },
            }),
        }
    }

    pub(crate) async fn until(
        &self,
        desktop: DesktopId,
        awaited: impl Fn(Option<&Server>) -> bool,
    ) -> Option<Server> {
        let end = Instant::now() + PATIENCE_ELSEWHERE;
        loop {
            let server = self.cloud.find(desktop).await.unwrap();
            if awaited(server.as_ref()) {
                return server;
            }
            assert!(Instant::now() < end, "still {server:?}");
            sleep(PAUSE_ELSEWHERE).await;
        }
    }

    /// What Neutron has of this deployment: ports or security groups.
    pub(crate) async fn things(&self, path: &str, key: &str) -> Vec<Value> {
        let query = [("description", self.tag())];
        self.cloud.client().pages(Service::Network, path, &query, key).await.unwrap()
    }

    /// Deletes its servers and flavors, and sees that nothing else of it is there.
    pub(crate) async fn end(self) {
        for server in self.cloud.list().await.unwrap() {
            self.cloud.delete(&server.id).await.unwrap();
            self.until(server.desktop, |server| server.is_none()).await;
        }
        let client = self.cloud.client();
        let flavors: Vec<Value> =
            client.pages(Service::Compute, "/flavors/detail", &[], "flavors").await.unwrap();
        let prefix = format!("beamdesk-{}-", self.deployment);
        for flavor in flavors {
            if flavor["name"].as_str().unwrap().starts_with(&prefix) {
                let path = format!("/flavors/{}", flavor["id"].as_str().unwrap());
                client.delete(Service::Compute, path).gone().await.unwrap();
            }
        }
        let ports = self.things("/ports", "ports").await;
        assert!(ports.is_empty(), "ports are left: {ports:?}");
        let groups = self.things("/security-groups", "security_groups").await;
        assert!(groups.is_empty(), "security groups are left: {groups:?}");
    }
}

/// A server that the driver did not make. Nova does without network and host.
pub(crate) async fn by_hand(
    cloud: &OpenStack,
    name: &str,
    tags: &[String],
    metadata: &Value,
) -> ServerId {
    let client = cloud.client();
    let flavors: Vec<Value> =
        client.pages(Service::Compute, "/flavors/detail", &[], "flavors").await.unwrap();
    let tiny = flavors.iter().find(|flavor| flavor["name"] == "lab-tiny").unwrap();
    let query = [("name", "lab-image".to_owned())];
    let images: Vec<Value> =
        client.pages(Service::Image, "/images", &query, "images").await.unwrap();
    let body = json!({ "server": {
        "name": name, "flavorRef": tiny["id"], "imageRef": images[0]["id"], "networks": "none",
        "tags": tags, "metadata": metadata,
    }});
    let made: Value = client.post(Service::Compute, "/servers").json(&body).send().await.unwrap();
    ServerId(made["server"]["id"].as_str().unwrap().to_owned())
}
