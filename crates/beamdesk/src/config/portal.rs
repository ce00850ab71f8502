//! `portal.toml`.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, Result, anyhow, bail};
use beamdesk_auth::{KeystoneConfig, OidcConfig, Providers, ProvidersConfig};
use beamdesk_cloud::openstack::OpenStackConfig;
use beamdesk_http::Origins;
use beamdesk_types::{GatewayName, Secret};
use serde::Deserialize;
use url::Url;

use super::{Faults, PublicListen, is_plain_name, secret};

/// More gateways than this are not asked after for the sake of one address.
const GATEWAYS_MAX: usize = 64;
/// A drain that takes longer is a portal that does not end.
const DRAIN_SECONDS_MAX: u64 = 600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PortalFile {
    /// Of this portal: in its log, and who leads.
    pub(crate) name: String,
    /// Address of the database, where no password stands in it.
    database: Option<String>,
    /// File that holds the address of the database instead.
    database_file: Option<PathBuf>,
    /// Folder with `authority.json` and `handle.key`, the same for all portals.
    pub(crate) keys: PathBuf,
    /// Where monitors and agents find portals, https://HOST:PORT
    pub(crate) monitor_url: Option<Url>,
    /// Domain that portal and gateways have in common.
    pub(crate) bind_domain: Option<String>,
    /// Desktops one person may have.
    #[serde(default = "desktops_max")]
    pub(crate) desktops_max: u32,
    /// How long `/readyz` says no at an orderly end before listeners close.
    #[serde(default = "drain_seconds")]
    pub(crate) drain_seconds: u64,
    pub(crate) origins: Vec<OriginsEntry>,
    pub(crate) gateways: Vec<GatewayEntry>,
    pub(crate) listen: PortalListen,
    pub(crate) cloud: CloudTable,
    pub(crate) oidc: Option<OidcConfig>,
    pub(crate) keystone: Option<KeystoneConfig>,
}

/// Under which addresses browsers come.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OriginsEntry {
    pub(crate) portal: String,
    /// Of the balancer before the gateways, or of the one gateway.
    pub(crate) gateway: String,
}

/// A gateway that serves these addresses.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GatewayEntry {
    /// As in its certificate.
    pub(crate) name: GatewayName,
    /// Leads to this gateway alone.
    pub(crate) origin: Option<String>,
}

/// What gateways have, and two more. One by one, because serde lets no unknown key of a flattened
/// table be refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PortalListen {
    public: SocketAddr,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    #[serde(default)]
    proxies: Vec<IpAddr>,
    /// For gateways.
    pub(crate) internal: SocketAddr,
    /// For monitors and agents.
    pub(crate) monitors: SocketAddr,
}

impl PortalListen {
    pub(crate) fn browsers(&self) -> PublicListen {
        PublicListen {
            public: self.public,
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            proxies: self.proxies.clone(),
        }
    }
}

/// Where desktops run: one of these.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloudTable {
    pub(crate) openstack: Option<OpenStackConfig>,
    pub(crate) sandbox: Option<SandboxTable>,
}

/// Desktops on this machine, so for one portal only.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SandboxTable {
    /// Folder of desktops and homes.
    pub(crate) data: PathBuf,
}

fn desktops_max() -> u32 {
    3
}

fn drain_seconds() -> u64 {
    5
}

impl PortalFile {
    /// Address of the database, which may hold a password.
    pub(crate) fn database(&self) -> Result<Secret> {
        let url = match (&self.database, &self.database_file) {
            (Some(url), None) => Secret::new(url.clone()),
            (None, Some(path)) => secret(path)?,
            (Some(_), Some(_)) => bail!("database and database_file are both given"),
            (None, None) => bail!("neither database nor database_file is given"),
        };
        let text = url.expose();
        let known = ["postgres:", "postgresql:", "sqlite:"];
        if !known.iter().any(|scheme| text.starts_with(scheme)) {
            bail!("the address of the database must begin with postgres: (or sqlite:)");
        }
        Ok(url)
    }

    pub(crate) fn providers(&self) -> Result<Providers> {
        let config = ProvidersConfig { oidc: self.oidc.clone(), keystone: self.keystone.clone() };
        Ok(Providers::open(&config)?)
    }

    /// The gateways behind one address, if there are several.
    pub(crate) fn peers(&self) -> Vec<GatewayName> {
        match self.gateways.as_slice() {
            [_] => Vec::new(),
            several => several.iter().map(|gateway| gateway.name.clone()).collect(),
        }
    }

    /// What is wrong with it, as far as can be told without the database and the cloud.
    pub(crate) fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if !is_plain_name(&self.name) {
            faults.add("name: is 1 to 64 letters, digits, dots, hyphens and underscores");
        }
        let database = faults.of(self.database());
        for file in ["authority.json", "handle.key"] {
            let path = self.keys.join(file);
            if !path.is_file() {
                faults.add(format!(
                    "keys: {} is missing; copy it from another portal, or make the first with \
                     `beamdesk keys new --keys {}`",
                    path.display(),
                    self.keys.display()
                ));
            }
        }
        if let Some(url) = &self.monitor_url
            && (url.scheme() != "https" || url.host_str().is_none() || url.path() != "/")
        {
            faults.add("monitor_url: is https://HOST:PORT and nothing more");
        }
        if self.desktops_max == 0 {
            faults.add("desktops_max: nobody could have a desktop");
        }
        if self.drain_seconds > DRAIN_SECONDS_MAX {
            faults.add(format!("drain_seconds: is at most {DRAIN_SECONDS_MAX}"));
        }
        self.origin_faults(&mut faults);
        self.gateway_faults(&mut faults);
        faults.of(self.listen.browsers().tls());
        faults.of(self.providers().context("oidc, keystone"));
        let is_shared = database.is_some_and(|url| !url.expose().starts_with("sqlite:"));
        match (&self.cloud.openstack, &self.cloud.sandbox) {
            (Some(openstack), None) => {
                faults.of(openstack.check().context("cloud.openstack"));
            }
            (None, Some(_)) => {}
            (None, None) | (Some(_), Some(_)) => {
                faults.add("cloud: is one of [cloud.openstack] and [cloud.sandbox]");
            }
        }
        if !is_shared && self.gateways.len() > 1 {
            faults.add("database: SQLite is for one machine; several gateways want PostgreSQL");
        }
        faults
    }

    fn origin_faults(&self, faults: &mut Faults) {
        if self.origins.is_empty() {
            faults.add("origins: at least one [[origins]] is needed");
        }
        let own = self.gateways.iter().filter_map(|gateway| gateway.origin.as_ref());
        let pairs = self.origins.iter().flat_map(|pair| [&pair.portal, &pair.gateway]);
        for origin in pairs.chain(own) {
            faults.of(Origins::new([origin.clone()]).map_err(|error| anyhow!("origins: {error}")));
        }
        for pair in &self.origins {
            let gateways = self.gateways.iter().filter_map(|gateway| gateway.origin.as_ref());
            for gateway in gateways.chain([&pair.gateway]) {
                faults.of(self.may_bind(&pair.portal, gateway));
            }
        }
    }

    /// The cookie that ties a ticket to its browser must reach both.
    fn may_bind(&self, portal: &str, gateway: &str) -> Result<()> {
        let host = |origin: &str| {
            let url = Url::parse(origin).ok()?;
            url.host_str().map(str::to_owned)
        };
        // What is no address is complained about elsewhere.
        let (Some(portal), Some(gateway)) = (host(portal), host(gateway)) else { return Ok(()) };
        if portal == gateway {
            return Ok(());
        }
        let Some(domain) = &self.bind_domain else {
            bail!(
                "bind_domain: is needed, because {portal} and {gateway} differ: the domain they \
                 have in common"
            );
        };
        for host in [portal, gateway] {
            let is_below = host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
            if host != *domain && !is_below {
                bail!("bind_domain: {host} is not in {domain}");
            }
        }
        Ok(())
    }

    fn gateway_faults(&self, faults: &mut Faults) {
        if self.gateways.is_empty() {
            faults.add("gateways: at least one [[gateways]] is needed");
        }
        if self.gateways.len() > GATEWAYS_MAX {
            faults.add(format!("gateways: are at most {GATEWAYS_MAX}"));
        }
        for (n, gateway) in self.gateways.iter().enumerate() {
            if self.gateways.iter().take(n).any(|other| other.name == gateway.name) {
                faults.add(format!("gateways: {} is there twice", gateway.name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::PortalFile;

    const GOOD: &str = r#"
name = "portal1"
database = "postgres:///beamdesk?host=/run/postgresql"
keys = "KEYS"
monitor_url = "https://portal.example.org:8445"
bind_domain = "example.org"

[[origins]]
portal = "https://portal.example.org"
gateway = "https://desk.example.org"

[[gateways]]
name = "gw1"
origin = "https://gw1.example.org"

[[gateways]]
name = "gw2"

[listen]
public = "127.0.0.1:8443"
internal = "0.0.0.0:8446"
monitors = "0.0.0.0:8445"
proxies = ["192.0.2.5"]

[cloud.sandbox]
data = "/var/lib/beamdesk"
"#;

    fn faults(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        for file in ["authority.json", "handle.key"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let text = text.replace("KEYS", folder.path().to_str().unwrap());
        match toml::from_str::<PortalFile>(&text) {
            Ok(file) => match file.faults().result(Path::new("portal.toml")) {
                Ok(()) => String::new(),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_file_of_the_document_is_right() {
        assert_eq!(faults(GOOD), "");
    }

    #[test]
    fn what_is_wrong_is_told_by_its_key() {
        for (from, to, told) in [
            ("name = \"portal1\"", "name = \"a b\"", "name:"),
            ("database = \"postgres:", "database = \"mysql:", "must begin with postgres:"),
            ("database = ", "database_file = \"/nowhere\"\ndatabase = ", "both given"),
            ("keys = \"KEYS\"", "keys = \"/nowhere\"", "beamdesk keys new"),
            ("monitor_url = \"https:", "monitor_url = \"http:", "monitor_url"),
            ("bind_domain = \"example.org\"", "", "bind_domain: is needed"),
            ("bind_domain = \"example.org\"", "bind_domain = \"ample.org\"", "is not in ample.org"),
            ("https://desk.example.org", "https://Desk.example.org", "not an origin"),
            ("https://gw1.example.org", "https://gw1.example.org/", "not an origin"),
            ("name = \"gw2\"", "name = \"gw1\"", "gw1 is there twice"),
            ("proxies = ", "certificate = \"/x\"\nproxies = ", "listen.certificate has no"),
            ("proxies = ", "proxys = ", "proxys"),
            ("[cloud.sandbox]\ndata = \"/var/lib/beamdesk\"", "[cloud]", "cloud: is one of"),
            ("name = \"portal1\"", "name = \"portal1\"\nnaem = 1", "naem"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let found = faults(&text);
            assert!(found.contains(told), "{to}: {found}");
        }
    }

    #[test]
    fn several_gateways_are_peers_and_one_is_by_itself() {
        let file: PortalFile = toml::from_str(GOOD).unwrap();
        assert_eq!(file.peers().len(), 2);
        let one = GOOD.replace("[[gateways]]\nname = \"gw2\"\n", "");
        let file: PortalFile = toml::from_str(&one).unwrap();
        assert_eq!(file.peers().len(), 0);
    }
}
