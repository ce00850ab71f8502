//! `beamdesk keys`: what portals and gateways of one installation know each other by.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use beamdesk_auth::{Authority, HandleKey};
use beamdesk_types::GatewayName;
use clap::{Args, Subcommand};

use crate::{
    clock::SystemClock,
    config::gateway::GatewayIdentity,
    portal::{self, said},
};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the keys of a new installation, which are then copied to all its portals.
    New {
        /// Folder for authority.json and handle.key; made when missing
        #[arg(long, value_name = "FOLDER", default_value = "/etc/beamdesk/keys")]
        keys: PathBuf,
    },
    /// Makes the identity of a gateway, good for a year: one file, to be copied there.
    Gateway {
        /// As in its gateway.toml and in the portals' portal.toml
        name: GatewayName,
        #[arg(long, value_name = "FOLDER", default_value = "/etc/beamdesk/keys")]
        keys: PathBuf,
        /// The file to make
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Takes a portal's keys as those of the installation, after all portals were given new ones.
    Accept {
        #[arg(long, value_name = "FILE", default_value = "/etc/beamdesk/portal.toml")]
        config: PathBuf,
    },
}

pub(crate) fn keys(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::New { keys } => new(keys),
        Command::Gateway { name, keys, out } => gateway(name, keys, out),
        Command::Accept { config } => {
            let file = portal::read(config)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(portal::accept_keys(&file))
        }
    }
}

/// Never replaces any: with other keys all agents, gateways and monitors are strangers.
fn new(folder: &Path) -> Result<()> {
    for file in ["authority.json", "handle.key"] {
        let path = folder.join(file);
        if path.exists() {
            bail!("{} is there already", path.display());
        }
    }
    let authority = Authority::open_or_create(folder, Arc::new(SystemClock))?;
    HandleKey::open_or_create(&folder.join("handle.key"))?;
    said(&format!("Made authority {} in {}", authority.fingerprint()?, folder.display()))
}

fn gateway(name: &GatewayName, folder: &Path, out: &Path) -> Result<()> {
    if !folder.join("authority.json").is_file() {
        bail!("{} holds no authority.json; see `beamdesk keys new --help`", folder.display());
    }
    let authority = Authority::open_or_create(folder, Arc::new(SystemClock))?;
    let made = authority.gateway_identity(name)?;
    let identity = GatewayIdentity {
        certificate: made.certificate_pem,
        key: made.key_pem,
        authority: authority.authority_pem().to_owned(),
    };
    let shown = out.display();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .with_context(|| format!("could not make {shown}"))?;
    file.write_all(&serde_json::to_vec(&identity)?)?;
    said(&format!("Made the identity of gateway {name}: {shown}"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::{gateway, new};
    use crate::config::gateway::GatewayIdentity;

    #[test]
    fn keys_are_made_once_and_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        new(&keys).unwrap();
        assert!(new(&keys).unwrap_err().to_string().contains("is there already"));
        let out = folder.path().join("gw1.json");
        gateway(&"gw1".parse().unwrap(), &keys, &out).unwrap();
        assert!(gateway(&"gw1".parse().unwrap(), &keys, &out).is_err(), "it is not replaced");
        for path in [out.clone(), keys.join("authority.json"), keys.join("handle.key")] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", path.display());
        }
        let made: GatewayIdentity = serde_json::from_slice(&fs::read(out).unwrap()).unwrap();
        made.tls().unwrap();
    }

    #[test]
    fn no_authority_is_made_for_a_gateway() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("gw1.json");
        let refused = gateway(&"gw1".parse().unwrap(), folder.path(), &out).unwrap_err();
        assert!(refused.to_string().contains("beamdesk keys new"), "{refused}");
    }
}
