//! What an administrator decides about desktops on OpenStack.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// One file, TOML; `beamdesk up --openstack FILE`, or the table `cloud.openstack` of a portal.
///
/// ```toml
/// clouds_file = "/etc/beamdesk/clouds.yaml"
/// cloud = "beamdesk"
/// deployment = "heps"
/// network = "desktops"
/// portals = ["https://portal.example.org:8445"]
/// gateways = ["10.0.0.0/24"]
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenStackConfig {
    /// Where the cloud is and how to log in: a `clouds.yaml`, with `secure.yaml` beside it. Read
    /// again at each login, so that new credentials work without a restart.
    pub clouds_file: PathBuf,
    /// Its entry.
    pub cloud: String,
    /// What our servers are tagged with (`beamdesk:<deployment>`). No two installations in one
    /// project may have the same; a server without the tag is never touched.
    pub deployment: Deployment,
    /// Name or id of the network desktops are in.
    pub network: String,
    /// Where agents listen.
    #[serde(default = "agent_port")]
    pub agent_port: u16,
    /// Where agents find portals, `https://host:port` each.
    pub portals: Vec<String>,
    /// Whence the agent port may be reached: the gateways' and the portals' networks, nobody else.
    pub gateways: Vec<Cidr>,
    /// Where desktops may connect to, besides the portals: networks, each with a port if need be.
    /// Empty: anywhere.
    #[serde(default)]
    pub egress: Vec<Egress>,
    /// What becomes of a server that is powered off.
    #[serde(default)]
    pub stop: Stop,
    /// Whether our scheduler's choice is asked of Nova: needs a role that its policy
    /// `compute:servers:create:requested_destination` names. Without, Nova chooses.
    #[serde(default = "yes")]
    pub choose_host: bool,
    /// How many servers may be in the making at once: Nova has a queue of its own, and one that is
    /// too long times out.
    #[serde(default = "builds_max")]
    pub builds_max: usize,
    /// Names or ids of images that are offered. Empty: those with a property `beamdesk_image`,
    /// which is then what they are called here.
    #[serde(default)]
    pub images: Vec<String>,
    /// Whether flavors that are missing are made: needs the rights for it.
    #[serde(default = "yes")]
    pub make_flavors: bool,
    /// What a flavor says for a desktop that wants cards: by model, or `*` for any, the name of
    /// a PCI alias in Nova's configuration.
    #[serde(default)]
    pub pci_aliases: BTreeMap<String, String>,
    /// What every flavor that is made has besides, as `hw:cpu_policy` or an aggregate's key.
    #[serde(default)]
    pub extra_specs: BTreeMap<String, String>,
    /// Where disks of desktops are.
    #[serde(default)]
    pub disk: Disk,
    /// Name of a Nova keypair, for administrators to look into desktops with.
    #[serde(default)]
    pub keypair: Option<String>,
    /// Shell commands that each desktop runs as root at its first boot, before the agent starts.
    #[serde(default)]
    pub first_boot: Vec<String>,
    /// How long one operation may take over all its tries, in seconds.
    #[serde(default = "deadline_s")]
    pub deadline_s: u64,
}

/// What becomes of a server that is powered off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Its disk is put away, and its host and cards are free for others. Starting takes longer.
    #[default]
    Shelve,
    /// It keeps its place on its host, and its cards.
    Stop,
}

/// Where disks of desktops are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Disk {
    /// On the host.
    #[default]
    Local,
    /// A volume made from the image, which goes with the server.
    Volume {
        /// Of the cloud's; its own default without.
        #[serde(default)]
        r#type: Option<String>,
    },
}

/// One installation in a cloud: 1 to 40 of `a-z 0-9 -`, the first a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Deployment(String);

/// With `beamdesk:` before it, it is a tag: those have 60 characters at most, and no comma.
const DEPLOYMENT_CHARS_MAX: usize = 40;

impl Deployment {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What every server of ours is tagged with.
    pub fn tag(&self) -> String {
        format!("beamdesk:{}", self.0)
    }
}

impl TryFrom<String> for Deployment {
    type Error = ConfigError;
    fn try_from(text: String) -> Result<Self, ConfigError> {
        let ok = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let bytes = text.as_bytes();
        let fits = bytes.len() <= DEPLOYMENT_CHARS_MAX
            && bytes.first().is_some_and(|&c| ok(c))
            && bytes.iter().all(|&c| ok(c) || c == b'-');
        if fits { Ok(Self(text)) } else { Err(ConfigError::Deployment) }
    }
}

/// A network, as `10.0.0.0/24`; an address alone is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Cidr {
    pub address: IpAddr,
    pub prefix: u8,
}

impl Cidr {
    /// `IPv4` or `IPv6`, as Neutron has it.
    pub fn ethertype(&self) -> &'static str {
        if self.address.is_ipv4() { "IPv4" } else { "IPv6" }
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = ConfigError;
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::Network(clipped(text));
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) => digits.parse().map_err(|_| wrong())?,
            None => whole,
        };
        let bits = match address {
            IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
            IpAddr::V6(ip) => ip.to_bits(),
        };
        // Neutron refuses 10.0.0.5/24 or takes it for another than was meant.
        let has_host = u32::from(prefix) < 128 && bits << u32::from(prefix) != 0;
        if prefix > whole || has_host {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for Cidr {
    type Error = ConfigError;
    fn try_from(text: String) -> Result<Self, ConfigError> {
        text.parse()
    }
}

/// Where a desktop may connect to: a network, or with a TCP port after a blank: `10.1.0.0/16 443`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Egress {
    pub to: Cidr,
    pub port: Option<u16>,
}

impl TryFrom<String> for Egress {
    type Error = ConfigError;
    fn try_from(text: String) -> Result<Self, ConfigError> {
        let (to, port) = match text.trim().split_once(' ') {
            Some((to, port)) => {
                let port = port.trim().parse().ok().filter(|port| *port > 0);
                (to, Some(port.ok_or_else(|| ConfigError::Network(clipped(&text)))?))
            }
            None => (text.trim(), None),
        };
        Ok(Self { to: to.parse()?, port })
    }
}

/// What of it cannot be. The file is named by who read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("deployment: 1 to 40 of a-z, 0-9 and -, the first no -")]
    Deployment,
    #[error("{0:?} is no network (as 10.0.0.0/24, without bits of a host)")]
    Network(String),
    #[error("portals: at least one, https://host:port each, without a path; {0:?} is none")]
    Portal(String),
    #[error("gateways: at least one network, or nobody could reach a desktop")]
    NoGateways,
    #[error("{key}: {why}")]
    Value { key: &'static str, why: &'static str },
}

/// More cannot be wanted: every one is a rule of each desktop's security group, and quotas of
/// these are 100 by default.
const RULES_MAX: usize = 40;
const BUILDS_MAX: usize = 1000;
const COMMANDS_MAX: usize = 100;
const DEADLINE_S_MAX: u64 = 110;

impl OpenStackConfig {
    /// What types alone do not see.
    pub fn check(&self) -> Result<(), ConfigError> {
        let value = |key, why| Err(ConfigError::Value { key, why });
        if self.portals.is_empty() {
            return Err(ConfigError::Portal(String::new()));
        }
        for portal in &self.portals {
            let url = url::Url::parse(portal).ok();
            let fits = url.is_some_and(|url| {
                url.scheme() == "https"
                    && url.host_str().is_some()
                    && url.path() == "/"
                    && url.query().is_none()
                    && url.username().is_empty()
            });
            if !fits {
                return Err(ConfigError::Portal(clipped(portal)));
            }
        }
        if self.gateways.is_empty() {
            return Err(ConfigError::NoGateways);
        }
        if self.gateways.len() + self.egress.len() > RULES_MAX {
            return value("egress", "with the gateways, 40 networks at most");
        }
        if self.agent_port == 0 {
            return value("agent_port", "is 1 to 65535");
        }
        if self.builds_max == 0 || self.builds_max > BUILDS_MAX {
            return value("builds_max", "is 1 to 1000");
        }
        if self.cloud.is_empty() {
            return value("cloud", "names an entry of the clouds file");
        }
        if self.network.is_empty() {
            return value("network", "names a network of the cloud");
        }
        if self.deadline_s == 0 || self.deadline_s > DEADLINE_S_MAX {
            return value("deadline_s", "is 1 to 110");
        }
        if self.first_boot.len() > COMMANDS_MAX {
            return value("first_boot", "has 100 commands at most");
        }
        // Unscoped keys are read by Nova's filters as demands on hosts, which none meets.
        if !self.extra_specs.keys().all(|key| key.contains(':') && !key.starts_with("heps:")) {
            return value(
                "extra_specs",
                "has keys with a scope, as hw:cpu_policy, not our own heps:",
            );
        }
        Ok(())
    }

    pub(super) fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }
}

/// What is shown of a wrong value.
const SHOWN_CHARS_MAX: usize = 80;

fn clipped(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

fn agent_port() -> u16 {
    7443
}

fn builds_max() -> usize {
    8
}

fn deadline_s() -> u64 {
    60
}

fn yes() -> bool {
    true
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Cidr, ConfigError, Disk, Egress, OpenStackConfig, Stop};

    const LEAST: &str = r#"
        clouds_file = "/etc/beamdesk/clouds.yaml"
        cloud = "beamdesk"
        deployment = "heps"
        network = "desktops"
        portals = ["https://portal.example.org:8445"]
        gateways = ["10.0.0.0/24"]
    "#;

    pub(in super::super) fn least() -> OpenStackConfig {
        toml::from_str(LEAST).unwrap()
    }

    fn with(line: &str) -> Result<OpenStackConfig, String> {
        let config: OpenStackConfig =
            toml::from_str(&format!("{LEAST}\n{line}")).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn six_lines_are_enough() {
        let config = least();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.deployment.tag(), "beamdesk:heps");
        assert_eq!((config.agent_port, config.stop, config.builds_max), (7443, Stop::Shelve, 8));
        assert_eq!(config.disk, Disk::Local);
        assert!(config.choose_host && config.make_flavors);
    }

    #[test]
    fn what_may_be_said_besides() {
        let config = with(
            r#"
            egress = ["10.1.0.0/16", "10.2.0.7 443"]
            stop = "stop"
            images = ["debian-12"]
            first_boot = ["mount -a"]
            [pci_aliases]
            "RTX A6000" = "a6000"
            [disk]
            kind = "volume"
            type = "fast"
            "#,
        )
        .unwrap();
        assert_eq!(
            config.egress[1],
            Egress { to: "10.2.0.7/32".parse().unwrap(), port: Some(443) }
        );
        assert_eq!(config.stop, Stop::Stop);
        assert_eq!(config.disk, Disk::Volume { r#type: Some("fast".to_owned()) });
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (line, word) in [
            ("nonsense = 1", "nonsense"),
            ("builds_max = 0", "builds_max"),
            ("agent_port = 0", "agent_port"),
            ("deadline_s = 1000", "deadline_s"),
            ("egress = [\"10.0.0.5/24\"]", "10.0.0.5/24"),
            ("egress = [\"10.0.0.5 0\"]", "no network"),
            ("[extra_specs]\nbeamdesk_class = \"viz\"", "extra_specs"),
            ("[extra_specs]\n\"heps:gpu_num\" = \"1\"", "extra_specs"),
        ] {
            let said = with(line).unwrap_err();
            assert!(said.contains(word), "{line}: {said}");
        }
        for portal in ["http://p:1", "https://p:1/path", "p:1", "https://u@p:1", ""] {
            let config = OpenStackConfig { portals: vec![portal.to_owned()], ..least() };
            assert!(matches!(config.check(), Err(ConfigError::Portal(_))), "{portal}");
        }
        let config = OpenStackConfig { gateways: Vec::new(), ..least() };
        assert_eq!(config.check(), Err(ConfigError::NoGateways));
        for name in ["", "-a", "A", "a,b", "a b", &"a".repeat(41)] {
            let text = LEAST.replace("\"heps\"", &format!("{name:?}"));
            assert!(toml::from_str::<OpenStackConfig>(&text).is_err(), "{name}");
        }
    }

    #[test]
    fn a_network_has_no_bits_of_a_host() {
        for (good, shown) in [
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.0.0.1", "10.0.0.1/32"),
            ("10.128.0.0/9", "10.128.0.0/9"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(good.parse::<Cidr>().unwrap().to_string(), shown);
        }
        for bad in ["10.0.0.0/33", "10.0.0.1/31", "2001:db8::1/64", "::/129", "a/8", "10.0.0.0/-1"]
        {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}
