//! `gateway.toml`, and the file with a gateway's identity.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use beamdesk_auth::{Identity, client_config, gateway_name_of};
use beamdesk_gateway::Recordings;
use beamdesk_http::Origins;
use beamdesk_types::{GatewayName, Secret};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};

use super::{Faults, PublicListen, secret};

/// A drain that takes longer is a gateway that does not end.
const DRAIN_SECONDS_MAX: u64 = 3600;
/// Each portal that does not answer costs a question its time.
const PORTALS_MAX: usize = 16;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GatewayFile {
    /// As in its certificate.
    pub(crate) name: GatewayName,
    /// File that `beamdesk keys gateway` made.
    identity: PathBuf,
    /// `listen.internal` of the portals, HOST:PORT each.
    pub(crate) portals: Vec<String>,
    /// Under which browsers come here.
    pub(crate) origins: Vec<String>,
    /// Under which browsers come to portals.
    pub(crate) portal_origins: Vec<String>,
    /// Streams at once; each live one costs some 300 KiB.
    #[serde(default = "streams_max")]
    pub(crate) streams_max: usize,
    pub(crate) listen: PublicListen,
    #[serde(default)]
    pub(crate) drain: DrainTable,
    pub(crate) recordings: Option<RecordingsTable>,
}

/// What happens between SIGTERM and the end.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DrainTable {
    pub(crate) wait_seconds: u64,
    pub(crate) spread_seconds: u64,
}

impl Default for DrainTable {
    fn default() -> Self {
        Self { wait_seconds: 5, spread_seconds: 20 }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordingsTable {
    folder: PathBuf,
    #[serde(default = "file_gib_max")]
    file_gib_max: u64,
    #[serde(default = "total_gib_max")]
    total_gib_max: u64,
    #[serde(default = "days")]
    days: u32,
}

fn streams_max() -> usize {
    1000
}

fn file_gib_max() -> u64 {
    4
}

fn total_gib_max() -> u64 {
    20
}

fn days() -> u32 {
    30
}

impl RecordingsTable {
    pub(crate) fn recordings(&self) -> Recordings {
        const GIB: u64 = 1 << 30;
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Recordings {
            folder: self.folder.clone(),
            bytes_max: self.file_gib_max.saturating_mul(GIB),
            total_bytes_max: self.total_gib_max.saturating_mul(GIB),
            age_max: DAY.saturating_mul(self.days),
        }
    }
}

/// By which a gateway shows who it is, and knows portals and agents.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GatewayIdentity {
    pub(crate) certificate: String,
    pub(crate) key: Secret,
    /// Certificate of the authority, PEM.
    pub(crate) authority: String,
}

impl GatewayIdentity {
    pub(crate) fn tls(&self) -> Result<std::sync::Arc<rustls::ClientConfig>> {
        let identity =
            Identity { certificate_pem: self.certificate.clone(), key_pem: self.key.clone() };
        Ok(client_config(&identity, &self.authority, &[])?)
    }

    /// Whom the certificate names.
    fn name(&self) -> Result<GatewayName> {
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes())
            .map_err(|error| anyhow!("its certificate is none: {error}"))?;
        gateway_name_of(&der).context("its certificate is not a gateway's")
    }
}

impl GatewayFile {
    pub(crate) fn identity(&self) -> Result<GatewayIdentity> {
        let shown = self.identity.display();
        let text = secret(&self.identity)?;
        let identity: GatewayIdentity = serde_json::from_str(text.expose())
            .map_err(|_| anyhow!("{shown} is not what `beamdesk keys gateway` makes"))?;
        let named = identity.name().with_context(|| format!("identity: {shown}"))?;
        if named != self.name {
            bail!("identity: {shown} is of gateway {named}, and this one's name is {}", self.name);
        }
        Ok(identity)
    }

    /// What is wrong with it, as far as can be told without portals.
    pub(crate) fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if let Some(identity) = faults.of(self.identity()) {
            faults.of(identity.tls().context("identity"));
        }
        if self.portals.is_empty() || self.portals.len() > PORTALS_MAX {
            faults.add(format!("portals: are 1 to {PORTALS_MAX}"));
        }
        for portal in &self.portals {
            if !is_host_and_port(portal) {
                faults.add(format!("portals: {portal:?} is not HOST:PORT"));
            }
        }
        for (key, origins) in [("origins", &self.origins), ("portal_origins", &self.portal_origins)]
        {
            if origins.is_empty() {
                faults.add(format!("{key}: at least one is needed"));
            }
            faults.of(Origins::new(origins.clone()).map_err(|error| anyhow!("{key}: {error}")));
        }
        if self.streams_max == 0 {
            faults.add("streams_max: nobody could connect");
        }
        for (key, seconds) in [
            ("drain.wait_seconds", self.drain.wait_seconds),
            ("drain.spread_seconds", self.drain.spread_seconds),
        ] {
            if seconds > DRAIN_SECONDS_MAX {
                faults.add(format!("{key}: is at most {DRAIN_SECONDS_MAX}"));
            }
        }
        faults.of(self.listen.tls());
        faults
    }
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

    use beamdesk_auth::Authority;

    use super::{GatewayFile, GatewayIdentity};
    use crate::clock::SystemClock;

    const GOOD: &str = r#"
name = "gw1"
identity = "IDENTITY"
portals = ["10.0.0.11:8446", "portal2.example.org:8446"]
origins = ["https://desk.example.org", "https://gw1.example.org"]
portal_origins = ["https://portal.example.org"]

[listen]
public = "127.0.0.1:8444"
proxies = ["192.0.2.5"]

[recordings]
folder = "/var/lib/beamdesk-gateway/recordings"
"#;

    fn faults(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(folder.path(), Arc::new(SystemClock)).unwrap();
        let made = authority.gateway_identity(&"gw1".parse().unwrap()).unwrap();
        let identity = GatewayIdentity {
            certificate: made.certificate_pem,
            key: made.key_pem,
            authority: authority.authority_pem().to_owned(),
        };
        let path = folder.path().join("gw1.json");
        fs::write(&path, serde_json::to_vec(&identity).unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let text = text.replace("IDENTITY", path.to_str().unwrap());
        match toml::from_str::<GatewayFile>(&text) {
            Ok(file) => match file.faults().result(Path::new("gateway.toml")) {
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
            ("name = \"gw1\"", "name = \"gw2\"", "is of gateway gw1"),
            ("IDENTITY", "/nowhere", "could not read /nowhere"),
            ("10.0.0.11:8446", "10.0.0.11", "is not HOST:PORT"),
            ("https://desk.example.org", "desk.example.org", "origins: not an origin"),
            ("[\"https://portal.example.org\"]", "[]", "portal_origins: at least one"),
            ("[listen]", "[drain]\nspread_seconds = 100000\n[listen]", "drain.spread_seconds"),
            ("[listen]", "[drain]\nspread = 1\n[listen]", "unknown field `spread`"),
            ("proxies = [\"192.0.2.5\"]", "proxies = [\"lb\"]", "proxies"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let found = faults(&text);
            assert!(found.contains(told), "{to}: {found}");
        }
    }
}
