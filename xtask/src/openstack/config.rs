//! The services' configuration: the texts in `etc/`, with this lab's folders and password.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context as _, Result, bail};

use super::{
    guest::{self, Accelerator},
    place::{Place, SOCKETS},
};

macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!($folder, $name)))),+]
    };
}

const FILES: &[(&str, &str)] = files!["etc/":
    "my.cnf",
    "rabbitmq.conf",
    "keystone.conf",
    "placement.conf",
    "glance-api.conf",
    "nova.conf",
    "nova-control.conf",
    "nova-fake.conf",
    "nova-libvirt.conf",
    "neutron.conf",
    "ml2.ini",
    "linuxbridge.ini",
    "dhcp.ini",
    "dnsmasq.conf",
    "metadata.ini",
    "libvirtd.conf",
    "qemu.conf",
];

/// Roles and rights as every installation is told to set them.
const POLICIES: &[(&str, &str)] = files!["../../../deploy/openstack/": "nova-policy.yaml", "placement-policy.yaml", "glance-policy.yaml"];

/// How a service checks the tokens of its callers.
const AUTHTOKEN: &str = "\
www_authenticate_uri = http://127.0.0.1:5000/v3
auth_type = password
@CLIENT@
token_cache_time = 300
service_token_roles_required = true
service_token_roles = admin";

/// How one service calls another.
const CLIENT: &str = "\
auth_url = http://127.0.0.1:5000/v3
password = @PASSWORD@
project_name = service
user_domain_id = default
project_domain_id = default
region_name = RegionOne";

pub(super) fn write(place: &Place) -> Result<()> {
    place.make_folders()?;
    let accelerator = Accelerator::here();
    for (name, template) in FILES.iter().chain(POLICIES) {
        let text = fill(template, place, accelerator)?;
        let path = place.etc().join(name);
        fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    }
    // RabbitMQ wants an Erlang list of its plugins: none.
    Ok(fs::write(place.etc().join("rabbit-plugins"), "[].\n")?)
}

fn fill(template: &str, place: &Place, accelerator: Accelerator) -> Result<String> {
    let (etc, keys) = (place.etc().display().to_string(), place.keys().display().to_string());
    let database_end = format!("?unix_socket={SOCKETS}/mysql.sock&charset=utf8");
    let state = place.state().display().to_string();
    let host = guest::host();
    let mut text = template.to_owned();
    for (name, value) in [
        // These two hold further placeholders.
        ("@AUTHTOKEN@", AUTHTOKEN),
        ("@CLIENT@", CLIENT),
        ("@PASSWORD@", place.password()),
        ("@DATABASE@", "mysql+pymysql://root@localhost"),
        ("@DATABASE_END@", &database_end),
        ("@STATE@", &state),
        ("@ETC@", &etc),
        ("@KEYS@", &keys),
        ("@SOCKETS@", SOCKETS),
        ("@HOST@", &host),
        ("@VIRT_TYPE@", accelerator.virt_type()),
        ("@CPU@", accelerator.cpu()),
    ] {
        text = text.replace(name, value);
    }
    if let Some(left) = text.split('@').skip(1).find(|word| is_placeholder(word)) {
        bail!("nothing fills @{left}@");
    }
    Ok(text)
}

fn is_placeholder(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::{FILES, fill};
    use crate::openstack::{guest::Accelerator, place::Place};

    #[test]
    fn every_placeholder_of_every_file_is_filled() {
        let place = Place::new().unwrap();
        for (name, template) in FILES {
            let text = fill(template, &place, Accelerator::Emulated).unwrap();
            let left = text.lines().find(|line| line.contains("@S") || line.contains("@P"));
            assert_eq!(left, None, "{name}");
        }
    }

    #[test]
    fn an_unknown_placeholder_is_an_error() {
        let place = Place::new().unwrap();
        let error = fill("a = @NOBODY@\n", &place, Accelerator::Emulated).unwrap_err();
        assert_eq!(error.to_string(), "nothing fills @NOBODY@");
    }
}
