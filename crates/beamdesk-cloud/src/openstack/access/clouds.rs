//! The files clouds.yaml and secure.yaml, and the variables that say the same.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{ErrorKind, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{AccessError, Service};

/// A file with a hundred clouds has some 64 KiB, and a bundle of all authorities 256 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Deserialize)]
struct Clouds {
    #[serde(default)]
    clouds: BTreeMap<String, Cloud>,
}

/// What we understand of a cloud. All keys of `auth` are texts, so that an id of digits stays one.
#[derive(Default, Deserialize)]
pub(super) struct Cloud {
    #[serde(default)]
    auth: BTreeMap<String, Option<String>>,
    pub(super) auth_type: Option<String>,
    pub(super) region_name: Option<String>,
    #[serde(alias = "endpoint_type")]
    pub(super) interface: Option<String>,
    pub(super) cacert: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) verify: Option<bool>,
    pub(super) insecure: Option<bool>,
    identity_endpoint_override: Option<String>,
    compute_endpoint_override: Option<String>,
    placement_endpoint_override: Option<String>,
    image_endpoint_override: Option<String>,
    network_endpoint_override: Option<String>,
    #[serde(alias = "volume_endpoint_override", alias = "volumev3_endpoint_override")]
    block_storage_endpoint_override: Option<String>,
}

/// All keys of `auth` that a login may need.
const AUTH_KEYS: &[&str] = &[
    "auth_url",
    "username",
    "user_id",
    "user_domain_id",
    "user_domain_name",
    "password",
    "project_name",
    "project_id",
    "project_domain_id",
    "project_domain_name",
    "domain_id",
    "domain_name",
    "system_scope",
    "application_credential_id",
    "application_credential_name",
    "application_credential_secret",
];

impl Cloud {
    pub(super) fn from_env(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let said = |key: &str| {
            let value = variable(&format!("OS_{}", key.to_ascii_uppercase()));
            value.filter(|value| !value.is_empty())
        };
        let auth = AUTH_KEYS.iter().map(|key| ((*key).to_owned(), said(key)));
        let insecure = said("insecure").is_some_and(|text| {
            !matches!(text.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off")
        });
        Self {
            auth: auth.collect(),
            auth_type: said("auth_type"),
            region_name: said("region_name"),
            interface: said("interface").or_else(|| said("endpoint_type")),
            cacert: said("cacert").map(PathBuf::from),
            cert: said("cert").map(PathBuf::from),
            key: said("key").map(PathBuf::from),
            verify: None,
            insecure: Some(insecure),
            identity_endpoint_override: said("identity_endpoint_override"),
            compute_endpoint_override: said("compute_endpoint_override"),
            placement_endpoint_override: said("placement_endpoint_override"),
            image_endpoint_override: said("image_endpoint_override"),
            network_endpoint_override: said("network_endpoint_override"),
            block_storage_endpoint_override: said("block_storage_endpoint_override"),
        }
    }

    /// A key of `auth`; an empty one says nothing.
    pub(super) fn auth(&self, key: &str) -> Option<&str> {
        self.auth.get(key)?.as_deref().filter(|text| !text.is_empty())
    }

    pub(super) fn overrides(&self) -> [(Service, &'static str, Option<&str>); 6] {
        let said = Option::as_deref;
        [
            (
                Service::Identity,
                "identity_endpoint_override",
                said(&self.identity_endpoint_override),
            ),
            (Service::Compute, "compute_endpoint_override", said(&self.compute_endpoint_override)),
            (
                Service::Placement,
                "placement_endpoint_override",
                said(&self.placement_endpoint_override),
            ),
            (Service::Image, "image_endpoint_override", said(&self.image_endpoint_override)),
            (Service::Network, "network_endpoint_override", said(&self.network_endpoint_override)),
            (
                Service::Volume,
                "block_storage_endpoint_override",
                said(&self.block_storage_endpoint_override),
            ),
        ]
    }

    /// With what `over` says in place of what this one says.
    fn under(mut self, over: Self) -> Self {
        self.auth.extend(over.auth.into_iter().filter(|(_, value)| value.is_some()));
        Self {
            auth: self.auth,
            auth_type: over.auth_type.or(self.auth_type),
            region_name: over.region_name.or(self.region_name),
            interface: over.interface.or(self.interface),
            cacert: over.cacert.or(self.cacert),
            cert: over.cert.or(self.cert),
            key: over.key.or(self.key),
            verify: over.verify.or(self.verify),
            insecure: over.insecure.or(self.insecure),
            identity_endpoint_override: over
                .identity_endpoint_override
                .or(self.identity_endpoint_override),
            compute_endpoint_override: over
                .compute_endpoint_override
                .or(self.compute_endpoint_override),
            placement_endpoint_override: over
                .placement_endpoint_override
                .or(self.placement_endpoint_override),
            image_endpoint_override: over.image_endpoint_override.or(self.image_endpoint_override),
            network_endpoint_override: over
                .network_endpoint_override
                .or(self.network_endpoint_override),
            block_storage_endpoint_override: over
                .block_storage_endpoint_override
                .or(self.block_storage_endpoint_override),
        }
    }
}

/// The cloud of that name in a clouds.yaml, and in a secure.yaml beside it, if there is one.
pub(super) fn read(path: &Path, name: &str) -> Result<Cloud, AccessError> {
    let mut clouds = parse(path, &secret_file(path)?)?.clouds;
    let has = Vec::from_iter(clouds.keys().cloned()).join(", ");
    let Some(cloud) = clouds.remove(name) else {
        let path = path.to_owned();
        return Err(AccessError::NoCloud { path, cloud: name.to_owned(), has });
    };
    let beside = path.with_file_name("secure.yaml");
    let secret = match secret_file(&beside) {
        Ok(bytes) => parse(&beside, &bytes)?.clouds.remove(name),
        Err(AccessError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(match secret {
        Some(secret) => cloud.under(secret),
        None => cloud,
    })
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Clouds, AccessError> {
    serde_saphyr::from_slice(bytes).map_err(|error| {
        // Its own words quote the file.
        let place = error.location().map_or_else(String::new, |place| {
            format!(" at line {}, column {}", place.line(), place.column())
        });
        AccessError::Yaml { path: path.to_owned(), place }
    })
}

/// A file whose owner, and group at most, may read it.
pub(super) fn secret_file(path: &Path) -> Result<Vec<u8>, AccessError> {
    read_file(path, true)
}

pub(super) fn file(path: &Path) -> Result<Vec<u8>, AccessError> {
    read_file(path, false)
}

fn read_file(path: &Path, secret: bool) -> Result<Vec<u8>, AccessError> {
    let failed = |source| AccessError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let others = file.metadata().map_err(failed)?.mode() & 0o007;
    if secret && others != 0 {
        return Err(AccessError::Open { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(AccessError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}
