//! Where the cloud is and who we are there: clouds.yaml, secure.yaml or `OS_*` variables.

mod clouds;
mod login;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use beamdesk_types::Secret;
use url::Url;

use self::{clouds::Cloud, login::Login};
use super::catalog::{self, Interface, Service};

/// Everything that a [`Client`](super::Client) must know of a cloud before it asks it.
#[derive(Debug, Clone)]
pub struct Access {
    /// With `/v3`, without a slash at the end.
    pub(super) auth_url: Url,
    pub(super) login: Login,
    pub(super) region: Option<String>,
    pub(super) interface: Interface,
    /// PEM. Trusted instead of the system's authorities.
    pub(super) authority: Option<Vec<u8>>,
    /// PEM of certificate and key, for clouds that ask for one.
    pub(super) certificate: Option<Secret>,
    pub(super) overrides: BTreeMap<Service, Url>,
    /// Read again at each login, so that new credentials need no restart.
    source: Option<Source>,
}

#[derive(Debug, Clone)]
struct Source {
    path: PathBuf,
    cloud: String,
}

/// Why there is no access. Each is mended by an administrator of Beamdesk.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is longer than any clouds.yaml")]
    TooLong { path: PathBuf },
    #[error("{path} holds secrets and everybody may read it: chmod o= {path}")]
    Open { path: PathBuf },
    /// Without the words of the file, which may be secret.
    #[error("{path} is not understood{place}")]
    Yaml { path: PathBuf, place: String },
    #[error("{path} has no cloud {cloud:?}; it has: {has}")]
    NoCloud { path: PathBuf, cloud: String, has: String },
    #[error("the access to the cloud lacks {0}")]
    Missing(&'static str),
    #[error("the access to the cloud has {key} in a form that is not supported: {why}")]
    Unsupported { key: &'static str, why: &'static str },
    #[error("{key} of the access to the cloud is no http(s) address")]
    Address { key: &'static str },
}

impl Access {
    /// From a clouds.yaml, with what a secure.yaml beside it says on top.
    ///
    /// Profiles of vendors and clouds-public.yaml are not looked at.
    pub fn from_file(path: &Path, cloud: &str) -> Result<Self, AccessError> {
        let entry = clouds::read(path, cloud)?;
        let source = Source { path: path.to_owned(), cloud: cloud.to_owned() };
        Self::from_cloud(entry, Some(source))
    }

    /// From the variables that the `openstack` command reads: the same as keys of clouds.yaml, in
    /// capitals and with `OS_` before.
    pub fn from_env(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, AccessError> {
        Self::from_cloud(Cloud::from_env(variable), None)
    }

    /// As the file says now; as before, if there was no file.
    pub(super) fn again(&self) -> Result<Self, AccessError> {
        match &self.source {
            Some(source) => Self::from_file(&source.path, &source.cloud),
            None => Ok(self.clone()),
        }
    }

    fn from_cloud(cloud: Cloud, source: Option<Source>) -> Result<Self, AccessError> {
        if cloud.verify == Some(false) || cloud.insecure == Some(true) {
            let why = "certificates are always verified; name the site's authority in cacert";
            return Err(AccessError::Unsupported { key: "verify", why });
        }
        let auth_url = cloud.auth("auth_url").ok_or(AccessError::Missing("auth.auth_url"))?;
        let auth_url = address("auth_url", auth_url)?;
        let interface = cloud.interface.as_deref().unwrap_or("public");
        let why = "it is one of public, internal, admin";
        let interface = Interface::parse(interface)
            .ok_or(AccessError::Unsupported { key: "interface", why })?;
        let certificate = match (&cloud.cert, &cloud.key) {
            (Some(cert), key) => {
                let mut pem = text(&clouds::file(cert)?, cert)?;
                if let Some(key) = key {
                    pem.push_str(&text(&clouds::secret_file(key)?, key)?);
                }
                Some(Secret::new(pem))
            }
            (None, _) => None,
        };
        let mut overrides = BTreeMap::new();
        for (service, key, said) in cloud.overrides() {
            if let Some(said) = said {
                overrides.insert(service, address(key, said)?);
            }
        }
        Ok(Self {
            auth_url: catalog::versioned(Service::Identity, auth_url),
            login: Login::of(&cloud)?,
            authority: cloud.cacert.as_deref().map(clouds::file).transpose()?,
            region: cloud.region_name,
            interface,
            certificate,
            overrides,
            source,
        })
    }
}

fn text(bytes: &[u8], path: &Path) -> Result<String, AccessError> {
    let place = ": it is not PEM".to_owned();
    let no = |_| AccessError::Yaml { path: path.to_owned(), place };
    String::from_utf8(bytes.to_vec()).map_err(no)
}

fn address(key: &'static str, text: &str) -> Result<Url, AccessError> {
    let no = AccessError::Address { key };
    match Url::parse(text) {
        Ok(url) if catalog::plain(&url) => Ok(url),
        Ok(_) | Err(_) => Err(no),
    }
}

#[cfg(test)]
impl Access {
    pub(super) fn example() -> Self {
        let variable = |name: &str| {
            let found = match name {
                "OS_AUTH_URL" => "http://keystone:5000",
                "OS_USERNAME" | "OS_PASSWORD" | "OS_PROJECT_NAME" => "x",
                _ => return None,
            };
            Some(found.to_owned())
        };
        Self::from_env(&variable).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

    use serde_json::json;

    use super::{Access, AccessError, Service};

    const CLOUDS: &str = r#"
clouds:
  beamdesk:
    auth_type: v3applicationcredential
    auth:
      auth_url: https://keystone.example:5000
      application_credential_id: 12345678901234567890123456789012
      application_credential_secret: s3cret
    region_name: RegionOne
    interface: internalURL
    identity_api_version: 3
    compute_endpoint_override: https://nova.example/compute
    some_other_tool: {deep: [1, 2]}
  person:
    auth:
      auth_url: http://keystone.example/identity/v3/
      username: anna
      project_name: desktops
      user_domain_name: Users
  careless:
    auth: {auth_url: "http://k", username: a, password: b, project_name: c}
    verify: false
"#;

    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        fn new(clouds: &str) -> Self {
            let files = Self { folder: tempfile::tempdir().unwrap() };
            files.write("clouds.yaml", clouds, 0o600);
            files
        }

        fn write(&self, name: &str, text: &str, mode: u32) {
            let path = self.folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn clouds(&self) -> PathBuf {
            self.folder.path().join("clouds.yaml")
        }

        fn access(&self, cloud: &str) -> Result<Access, AccessError> {
            Access::from_file(&self.clouds(), cloud)
        }
    }

    #[test]
    fn an_application_credential_is_read() {
        let access = Files::new(CLOUDS).access("beamdesk").unwrap();
        assert_eq!(access.auth_url.as_str(), "https://keystone.example:5000/v3");
        assert_eq!(access.region.as_deref(), Some("RegionOne"));
        assert_eq!(access.interface.name(), "internal");
        assert_eq!(access.overrides[&Service::Compute].as_str(), "https://nova.example/compute");
        // An id of digits alone stays what it is.
        let expected = json!({"auth": {"identity": {
            "methods": ["application_credential"],
            "application_credential":
                {"id": "12345678901234567890123456789012", "secret": "s3cret"},
        }}});
        assert_eq!(access.login.body(), expected);
        assert!(!format!("{access:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_secret_may_stand_in_a_file_of_its_own() {
        let files = Files::new(CLOUDS);
        assert!(matches!(files.access("person"), Err(AccessError::Missing("auth.password"))));
        files.write("secure.yaml", "clouds: {person: {auth: {password: 0123}}}", 0o600);
        let access = files.access("person").unwrap();
        assert_eq!(access.auth_url.as_str(), "http://keystone.example/identity/v3");
        let expected = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user":
                {"name": "anna", "domain": {"name": "Users"}, "password": "0123"}}},
            "scope": {"project": {"name": "desktops", "domain": {"id": "default"}}},
        }});
        assert_eq!(access.login.body(), expected);
    }

    #[test]
    fn new_credentials_are_taken_from_the_file_without_a_restart() {
        let files = Files::new(CLOUDS);
        let before = files.access("beamdesk").unwrap();
        files.write("clouds.yaml", &CLOUDS.replace("s3cret", "newer"), 0o600);
        let after = before.again().unwrap().login.body().to_string();
        assert!(after.contains("newer") && !after.contains("s3cret"));
    }

    #[test]
    fn a_secret_that_everybody_may_read_is_refused() {
        let files = Files::new(CLOUDS);
        files.write("clouds.yaml", CLOUDS, 0o644);
        let error = files.access("beamdesk").unwrap_err();
        assert!(error.to_string().contains("chmod"), "{error}");
        files.write("clouds.yaml", CLOUDS, 0o640);
        files.access("beamdesk").unwrap();
    }

    #[test]
    fn bad_files_are_refused_in_words_without_their_secrets() {
        let files = Files::new(CLOUDS);
        let says = |cloud: &str| files.access(cloud).unwrap_err().to_string();
        assert!(says("other").contains("beamdesk, careless, person"));
        assert!(says("careless").contains("always verified"));
        for bad in [
            "clouds:\n  x:\n    auth: [s3cret",
            "clouds: {x: {auth: s3cret}}",
            "clouds: s3cret",
            "s3cret: *s3cret",
            "clouds:\n\t x: s3cret",
            "",
            "clouds: {}",
            "clouds: {x: {auth: {auth_url: s3cret, username: a, password: s3cret, project_id: b}}}",
            "clouds: {x: {auth: {auth_url: 'http://u:s3cret@k', username: a}}}",
            "clouds: {x: {auth_type: token, auth: {auth_url: 'http://k', token: s3cret}}}",
            "clouds: {x: {interface: mine, auth: {auth_url: 'http://k'}}}",
        ] {
            files.write("clouds.yaml", bad, 0o600);
            let mut error: &dyn std::error::Error = &files.access("x").unwrap_err();
            let mut words = format!("{error:?}");
            loop {
                words.push_str(&error.to_string());
                match error.source() {
                    Some(source) => error = source,
                    None => break,
                }
            }
            assert!(!words.contains("s3cret"), "{words}");
        }
        let missing = Access::from_file(&files.folder.path().join("none.yaml"), "x");
        assert!(matches!(missing, Err(AccessError::Read { .. })));
    }

    #[test]
    fn variables_say_the_same_as_a_file() {
        let variable = |name: &str| {
            let found = match name {
                "OS_AUTH_URL" => "http://k:5000/v3",
                "OS_APPLICATION_CREDENTIAL_NAME" => "portal",
                "OS_APPLICATION_CREDENTIAL_SECRET" => "s3cret",
                "OS_USERNAME" => "anna",
                "OS_USER_DOMAIN_ID" => "d1",
                "OS_REGION_NAME" => "One",
                "OS_PROJECT_NAME" => "",
                _ => return None,
            };
            Some(found.to_owned())
        };
        let access = Access::from_env(&variable).unwrap();
        assert_eq!(access.region.as_deref(), Some("One"));
        let expected = json!({"auth": {"identity": {
            "methods": ["application_credential"],
            "application_credential": {
                "name": "portal", "secret": "s3cret",
                "user": {"name": "anna", "domain": {"id": "d1"}},
            },
        }}});
        assert_eq!(access.login.body(), expected);
        assert_eq!(access.login.name(), "application credential portal of user anna");
        assert!(matches!(Access::from_env(&|_| None), Err(AccessError::Missing(_))));
        let insecure = |name: &str| (name == "OS_INSECURE").then(|| "true".to_owned());
        assert!(matches!(Access::from_env(&insecure), Err(AccessError::Unsupported { .. })));
    }
}
