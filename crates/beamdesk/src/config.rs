//! Configuration files of `beamdesk portal` and `beamdesk gateway`: what stands in them, and what
//! is wrong with it.

pub(crate) mod gateway;
pub(crate) mod portal;

use std::{
    fs::File,
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow, bail};
use beamdesk_auth::{Identity, site_config};
use beamdesk_types::Secret;
use rustls::ServerConfig;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::net::TcpListener;

/// The longest file that is read: with a long chain of certificates it has some ten KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A configuration file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = text(path)?;
    // Says in which line.
    toml::from_str(&text).with_context(|| format!("{} is not understood", path.display()))
}

/// A file of text.
pub(crate) fn text(path: &Path) -> Result<String> {
    let shown = path.display();
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    let length = read.with_context(|| format!("could not read {shown}"))?;
    if u64::try_from(length)? == FILE_BYTES_MAX {
        bail!("{shown} is too long");
    }
    Ok(text)
}

/// A file with a secret. Its group may read it, for services that share a machine; others may not.
pub(crate) fn secret(path: &Path) -> Result<Secret> {
    let shown = path.display();
    let text = text(path)?;
    let mode = path.metadata()?.permissions().mode();
    if mode & 0o007 != 0 {
        bail!("everybody may read {shown}; make it private with chmod 600");
    }
    Ok(Secret::new(text.trim().to_owned()))
}

/// Where browsers are listened for, in both files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublicListen {
    /// Address and port for browsers.
    pub(crate) public: SocketAddr,
    /// Certificate chain, PEM. Without it plain HTTP is spoken, which only loopback or a proxy that
    /// ends TLS should see.
    pub(crate) certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub(crate) key: Option<PathBuf>,
    /// Load balancers: what comes from these addresses begins with a header of the PROXY protocol,
    /// version 2, and counts as the client's that it names.
    #[serde(default)]
    pub(crate) proxies: Vec<IpAddr>,
}

impl PublicListen {
    pub(crate) fn tls(&self) -> Result<Option<Arc<ServerConfig>>> {
        let (certificate, key) = match (&self.certificate, &self.key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => bail!("listen.certificate has no listen.key"),
            (None, Some(_)) => bail!("listen.key has no listen.certificate"),
        };
        let identity = Identity { certificate_pem: text(certificate)?, key_pem: secret(key)? };
        let config = site_config(&identity).with_context(|| {
            format!("{} and {} do not go together", certificate.display(), key.display())
        })?;
        Ok(Some(config))
    }
}

/// Everything that is wrong, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// The value, or one fault more.
    pub(crate) fn of<T>(&mut self, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.push(format!("{error:#}"));
                None
            }
        }
    }

    pub(crate) fn add(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }

    pub(crate) fn result(self, path: &Path) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(anyhow!("{} is not right:\n  {}", path.display(), self.0.join("\n  ")))
    }
}

pub(crate) async fn bind(address: SocketAddr, key: &str) -> Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(anyhow!("{address} is in use by another program; choose another for {key}"))
        }
        bound => bound.with_context(|| format!("could not listen on {address} ({key})")),
    }
}

/// A name that certificates, logs and the database can take.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && name.len() <= 64 && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::{Faults, secret, text};

    #[test]
    fn a_secret_that_everybody_may_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        fs::write(&path, "postgres://x\n").unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o640);
        assert_eq!(secret(&path).unwrap().expose(), "postgres://x");
        for open in [0o644, 0o604, 0o642] {
            mode(open);
            let refused = secret(&path).unwrap_err().to_string();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
    }

    #[test]
    fn a_file_that_is_no_text_or_endless_is_refused() {
        assert!(text(Path::new("/dev/zero")).unwrap_err().to_string().contains("too long"));
        text(Path::new("/nowhere")).unwrap_err();
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let mut faults = Faults::default();
        faults.add("one");
        assert_eq!(faults.of::<()>(Err(anyhow::anyhow!("two"))), None);
        assert_eq!(faults.of(Ok(3)), Some(3));
        let told = faults.result(Path::new("f")).unwrap_err().to_string();
        assert!(told.contains("one\n  two"), "{told}");
    }
}
