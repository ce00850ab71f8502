//! The cloud as its administrator sees it, past the proxy.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, Result};
use beamdesk_cloud::openstack::{Access, Client, Service, Settings};
use serde::Deserialize;

use tokio::time::Instant;

use crate::{figures::millis, share::Span, site::Desktop};

/// What `cargo xtask openstack up` says of the lab.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Lab {
    pub(crate) clouds_file: PathBuf,
    pub(crate) auth_url: String,
    pub(crate) network: String,
    pub(crate) image: String,
    #[serde(default)]
    pub(crate) fake_hosts: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Cloud {
    pub(crate) lab: Lab,
    client: Client,
    /// Desktops that were seen with two servers at once, ever.
    doubled: Arc<AtomicUsize>,
}

/// A server with our tag.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Server {
    pub(crate) id: String,
    pub(crate) status: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default, rename = "OS-EXT-SRV-ATTR:user_data")]
    pub(crate) user_data: Option<String>,
    #[serde(default)]
    created: Option<jiff::Timestamp>,
    /// When its host had it running; without a time zone, in UTC.
    #[serde(default, rename = "OS-SRV-USG:launched_at")]
    launched: Option<jiff::civil::DateTime>,
}

impl Server {
    pub(crate) fn desktop(&self) -> Option<&str> {
        self.tags.iter().find_map(|tag| tag.strip_prefix("beamdesk-desktop:"))
    }
}

impl Cloud {
    pub(crate) async fn open(lab: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(lab).with_context(|| {
            format!("no lab at {}; `cargo xtask openstack up` makes one", lab.display())
        })?;
        let lab: Lab = serde_json::from_str(&text).context("the lab's file")?;
        let access = Access::from_file(&lab.clouds_file, "admin")?;
        let client = Client::connect(access, Settings::default()).await?;
        Ok(Self { lab, client, doubled: Arc::default() })
    }

    /// Hosts that take servers: those of the fake driver.
    pub(crate) fn hosts(&self) -> usize {
        self.lab.fake_hosts
    }

    /// All of one deployment, whatever their state.
    pub(crate) async fn servers(&self, deployment: &str) -> Result<Vec<Server>> {
        let query = of(deployment);
        let servers: Vec<Server> =
            self.client.pages(Service::Compute, "/servers/detail", &query, "servers").await?;
        let doubled = doubled(&servers).len();
        self.doubled.fetch_max(doubled, Ordering::Relaxed);
        Ok(servers)
    }

    /// Those that are not among `known`. Of all others Nova is asked for their names only: to tell of
    /// hundreds of servers in full costs it seconds.
    pub(crate) async fn others(
        &self,
        deployment: &str,
        known: &HashSet<String>,
    ) -> Result<Vec<Server>> {
        #[derive(Deserialize)]
        struct Short {
            id: String,
            name: String,
        }
        #[derive(Deserialize)]
        struct Whole {
            server: Server,
        }
        let query = of(deployment);
        let all: Vec<Short> =
            self.client.pages(Service::Compute, "/servers", &query, "servers").await?;
        let names: BTreeSet<&str> = all.iter().map(|server| server.name.as_str()).collect();
        self.doubled.fetch_max(all.len() - names.len(), Ordering::Relaxed);
        let mut others = Vec::new();
        for Short { id, .. } in all.iter().filter(|server| !known.contains(&server.id)) {
            let call = self.client.get(Service::Compute, format!("/servers/{id}"));
            if let Some(Whole { server }) = call.found().await? {
                others.push(server);
            }
        }
        Ok(others)
    }

    /// When servers were in the making, by Nova's own times, in milliseconds since `run` began.
    #[expect(clippy::unused_self, reason = "what a cloud tells of its servers")]
    pub(crate) fn builds(&self, servers: &[Server], run: Instant) -> Vec<Span> {
        let now = now();
        let since = |at: jiff::Timestamp| {
            let ago = u64::try_from(now.duration_since(at).as_millis()).unwrap_or_default();
            millis(run.elapsed()).saturating_sub(ago)
        };
        let build = |server: &Server| {
            let utc = jiff::tz::TimeZone::UTC;
            let launched = server.launched.and_then(|at| utc.to_timestamp(at).ok());
            // Both are cut to whole seconds.
            Some((since(server.created?), since(launched.unwrap_or(now)) + 1000))
        };
        servers.iter().filter_map(build).collect()
    }

    /// The most desktops that had two servers at one moment.
    pub(crate) fn doubled_ever(&self) -> usize {
        self.doubled.load(Ordering::Relaxed)
    }
}

fn of(deployment: &str) -> [(&'static str, String); 2] {
    [("all_tenants", "1".to_owned()), ("tags", format!("beamdesk:{deployment}"))]
}

#[expect(clippy::disallowed_methods, reason = "the edge: Nova tells times of the day")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// How many desktops are still on their way.
pub(crate) fn moving(rows: &[Desktop]) -> usize {
    let on_its_way = ["pending", "building", "booting", "stopping", "deleting"];
    rows.iter().filter(|row| on_its_way.contains(&row.phase.as_str())).count()
}

/// Desktops with more than one server.
pub(crate) fn doubled(servers: &[Server]) -> BTreeSet<&str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for desktop in servers.iter().filter_map(Server::desktop) {
        *counts.entry(desktop).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(desktop, _)| desktop).collect()
}

/// In what servers and rows do not match one to one.
pub(crate) fn differences(rows: &[Desktop], servers: &[Server]) -> Vec<String> {
    let mut differ = Vec::new();
    for desktop in doubled(servers) {
        differ.push(format!("{desktop} has two servers"));
    }
    let rows: BTreeMap<&str, &Desktop> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    let with: BTreeSet<&str> = servers.iter().filter_map(Server::desktop).collect();
    for server in servers {
        match server.desktop() {
            Some(desktop) if rows.contains_key(desktop) => {}
            Some(_) | None => {
                differ.push(format!("server {} ({}) has no row", server.id, server.status));
            }
        }
    }
    for (id, row) in &rows {
        match row.phase.as_str() {
            "ready" | "booting" | "stopped" if !with.contains(id) => {
                differ.push(format!("{id} is {} and has no server", row.phase));
            }
            _ => {}
        }
    }
    differ
}
