//! What `beamdesk up` may be told.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use beamdesk_auth::{Providers, ProvidersConfig};
use beamdesk_cloud::openstack::OpenStackConfig;
use beamdesk_gateway::Recordings;
use clap::Args;

use crate::data::default_folder;

#[derive(Args)]
pub(crate) struct Options {
    /// Folder of database, keys and home folders [default: /var/lib/beamdesk for root, else
    /// ~/.local/share/beamdesk]
    #[arg(long, env = "BEAMDESK_DATA")]
    data: Option<PathBuf>,

    /// Name under which browsers reach this machine; may be repeated [default: its host name]
    #[arg(long = "host", value_name = "NAME", value_parser = host_name)]
    hosts: Vec<String>,

    /// Address the HTTPS ports listen on; plain HTTP is for this machine alone
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub(crate) listen: IpAddr,

    /// HTTPS port of the portal; 0 takes a free one, also below
    #[arg(long, default_value_t = 8443)]
    pub(crate) https_port: u16,

    /// Plain HTTP port of the portal, on 127.0.0.1 only
    #[arg(long, default_value_t = 8080)]
    pub(crate) http_port: u16,

    /// HTTPS port of the gateway, which serves the pages of desktops
    #[arg(long, default_value_t = 8444)]
    pub(crate) gateway_https_port: u16,

    /// Plain HTTP port of the gateway, on 127.0.0.1 only
    #[arg(long, default_value_t = 8081)]
    pub(crate) gateway_http_port: u16,

    /// Port of the portal for monitors of other nodes, HTTPS; see `beamdesk monitor --help`
    #[arg(long, default_value_t = 8445)]
    pub(crate) monitor_port: u16,

    /// How often the monitor of this machine looks at it, in seconds
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=300))]
    monitor_interval: u32,

    /// TOML file with graphics cards that the built-in table lacks or has otherwise
    #[arg(long, value_name = "FILE")]
    pub(crate) cards: Option<PathBuf>,

    /// Folder with the devices of another host, for trials without cards
    #[arg(long, value_name = "FOLDER", hide = true)]
    pub(crate) monitor_root: Option<PathBuf>,

    /// Certificate chain of this site, PEM; without it one is made
    #[arg(long, requires = "key")]
    pub(crate) certificate: Option<PathBuf>,

    /// Private key of that certificate, PEM
    #[arg(long, requires = "certificate")]
    pub(crate) key: Option<PathBuf>,

    /// Desktops one person may have
    #[arg(long, default_value_t = 3)]
    pub(crate) desktops_max: u32,

    /// Largest recording, in GiB; it ends there
    #[arg(long, default_value_t = 4, value_name = "GIB")]
    recording_gib_max: u32,

    /// Room for all recordings, in GiB; without room none are made, and 0 makes none at all
    #[arg(long, default_value_t = 20, value_name = "GIB")]
    recordings_gib_max: u32,

    /// Recordings are removed after so many days
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    recordings_days: u32,

    /// TOML file that says which identity providers people log in by; see docs/identity.md
    #[arg(long, value_name = "FILE")]
    oidc: Option<PathBuf>,

    /// TOML file that says which OpenStack cloud desktops run on, instead of this machine; see
    /// docs/openstack.md
    #[arg(long, value_name = "FILE")]
    openstack: Option<PathBuf>,

    /// Unix socket on which OpenStack Nova asks which hosts a server may have; see docs/nova.md
    #[arg(long, value_name = "PATH")]
    pub(crate) ask_socket: Option<PathBuf>,

    /// Writes the addresses here as JSON once the system can be used, for scripts
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

impl Options {
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(default_folder)
    }

    pub(crate) fn monitor_interval(&self) -> Duration {
        Duration::from_secs(self.monitor_interval.into())
    }

    /// Who proves who people are, besides passwords.
    pub(crate) fn providers(&self) -> Result<Providers> {
        let Some(path) = &self.oidc else { return Ok(Providers::default()) };
        let read = || -> Result<Providers> {
            let config: ProvidersConfig = toml::from_str(&fs::read_to_string(path)?)?;
            Ok(Providers::open(&config)?)
        };
        read().with_context(|| format!("could not use {}", path.display()))
    }

    /// The cloud elsewhere that desktops run on, if any.
    pub(crate) fn openstack(&self) -> Result<Option<OpenStackConfig>> {
        let Some(path) = &self.openstack else { return Ok(None) };
        let read = || -> Result<OpenStackConfig> {
            let config: OpenStackConfig = toml::from_str(&fs::read_to_string(path)?)?;
            config.check()?;
            Ok(config)
        };
        read().map(Some).with_context(|| format!("could not use {}", path.display()))
    }

    /// Where recordings go, if any are made.
    pub(crate) fn recordings(&self, data: &Path) -> Option<Recordings> {
        const GIB: u64 = 1 << 30;
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let total = u64::from(self.recordings_gib_max) * GIB;
        (total > 0).then(|| Recordings {
            folder: data.join("recordings"),
            bytes_max: u64::from(self.recording_gib_max) * GIB,
            total_bytes_max: total,
            age_max: DAY * self.recordings_days,
        })
    }

    /// Names browsers may use, the one to show first. `localhost` always works.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let mut hosts = self.hosts.clone();
        if hosts.is_empty() && !self.listen.is_loopback() {
            let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            hosts.extend(host_name(name.trim()).ok());
        }
        hosts.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        let mut seen = Vec::new();
        hosts.retain(|host| {
            let new = !seen.contains(host);
            seen.push(host.clone());
            new
        });
        hosts
    }
}

/// Longest name in the domain name system (RFC 1035, 2.3.4).
const HOST_CHARS_MAX: usize = 253;

/// A name or address as it may stand in an origin: lower case, no port.
fn host_name(text: &str) -> Result<String, String> {
    let host = text.to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if !host.is_empty() && host.len() <= HOST_CHARS_MAX && host.chars().all(fits) {
        Ok(host)
    } else {
        Err("a host name has letters, digits, dots and hyphens only".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn a_host_is_a_name_and_nothing_more() {
        assert_eq!(host_name("Desk.Example.org").as_deref(), Ok("desk.example.org"));
        for bad in ["", "a b", "https://a", "a:80", "a/b", "a\r\nb"] {
            assert!(host_name(bad).is_err(), "{bad:?}");
        }
    }
}
