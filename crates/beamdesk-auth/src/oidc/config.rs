//! What a site says of its identity providers, as it stands in a TOML file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use beamdesk_types::{Role, StationId};
use jsonwebtoken::Algorithm;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::file;

/// A site has some; more would be a mistake, and each login looks through them.
const MAPPINGS_MAX: usize = 10_000;

/// Who proves who somebody is, besides this installation's own accounts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvidersConfig {
    pub oidc: Option<OidcConfig>,
    pub keystone: Option<KeystoneConfig>,
}

/// An OpenID Connect provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// The provider's name of itself, letter for letter: `https://…`, or `http://` on this machine.
    pub issuer: String,
    /// What the provider calls this installation.
    pub client_id: String,
    /// File with the client's secret, readable by its owner only. Without it the portal is a public
    /// client and proves itself by PKCE alone.
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for; `openid` is always among them.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The claim with a person's groups; dots lead into objects.
    #[serde(default = "groups_claim")]
    pub groups_claim: String,
    /// The claim that a new account's name is made of.
    #[serde(default = "name_claim")]
    pub name_claim: String,
    /// What people of a group may do: `user`, `operator` or `administrator`. The most counts.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
    /// What people of none of these groups may do. Without it they are not let in, unless `roles` is
    /// empty: then everybody is a user.
    pub role_of_others: Option<Role>,
    /// Stations that people of a group may choose. Empty: everybody may choose all.
    #[serde(default)]
    pub stations: BTreeMap<String, Stations>,
    /// Certificates of authorities that the provider is trusted by besides the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// What stands on the button.
    #[serde(default)]
    pub button: Button,
    /// Which of this installation's own accounts may log in by password.
    #[serde(default)]
    pub local_login: LocalLogin,
    /// Algorithms by which the provider may sign.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
}

/// One station or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Stations {
    One(StationId),
    Many(Vec<StationId>),
}

/// The same words in both languages of the pages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Button {
    pub en: String,
    pub zh: String,
}

/// Who may log in by a password of this installation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalLogin {
    #[default]
    Everybody,
    /// For the day on which the provider is away.
    Administrators,
}

/// Keystone's tokens as proof of who somebody is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeystoneConfig {
    /// Like `https://cloud.example.org:5000/v3`.
    pub auth_url: String,
    /// Application credential by which the portal has tokens validated.
    pub application_credential_id: String,
    /// File with its secret, readable by its owner only.
    pub application_credential_secret_file: PathBuf,
    /// What people with a role of Keystone's, in the project of their token, may do.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
    /// What people with none of these roles may do; without it they are not let in.
    pub role_of_others: Option<Role>,
    /// Stations that may be chosen by people of a project, by its id. Empty: all may be.
    #[serde(default)]
    pub stations: BTreeMap<String, Stations>,
    /// Ids of domains whose people are let in. Empty: all domains.
    #[serde(default)]
    pub domains: BTreeSet<String>,
    /// Certificates of authorities that Keystone is trusted by besides the system's, PEM.
    pub ca_file: Option<PathBuf>,
}

/// What is wrong with such a file.
#[derive(Debug, thiserror::Error)]
pub enum ProviderConfigError {
    #[error("[{table}] {key}: {why}")]
    Value { table: &'static str, key: &'static str, why: String },
    #[error("the HTTP client could not be made: {0}")]
    Client(#[source] reqwest::Error),
}

impl Default for Button {
    fn default() -> Self {
        Self {
            en: "Log in with your facility account".to_owned(),
            zh: "使用统一身份认证登录".to_owned(),
        }
    }
}

impl Stations {
    pub(crate) fn ids(&self) -> &[StationId] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

impl OidcConfig {
    /// The algorithms, unless one is not of the kind whose keys the provider may publish.
    pub(crate) fn checked_algorithms(&self) -> Result<Vec<Algorithm>, ProviderConfigError> {
        let wrong = |why: String| value("oidc", "algorithms", why);
        let known = self.algorithms.iter().map(|name| {
            let algorithm = name.parse().map_err(|_| wrong(format!("{name:?} is not known")))?;
            if ALGORITHMS.contains(&algorithm) {
                Ok(algorithm)
            } else {
                Err(wrong(format!("{name} is not signed by a key of the provider's alone")))
            }
        });
        let list: Vec<_> = known.collect::<Result<_, _>>()?;
        if list.is_empty() { Err(wrong("at least one is needed".to_owned())) } else { Ok(list) }
    }

    pub(crate) fn check(&self) -> Result<Url, ProviderConfigError> {
        let issuer = secure("oidc", "issuer", &self.issuer)?;
        if issuer.query().is_some() || issuer.fragment().is_some() {
            return Err(value("oidc", "issuer", "has no query and no fragment".to_owned()));
        }
        for (key, text) in [
            ("client_id", &self.client_id),
            ("groups_claim", &self.groups_claim),
            ("name_claim", &self.name_claim),
            ("button", &self.button.en),
            ("button", &self.button.zh),
        ] {
            if text.trim().is_empty() {
                return Err(value("oidc", key, "must not be empty".to_owned()));
            }
        }
        let is_scope = |scope: &String| {
            !scope.is_empty()
                && scope.bytes().all(|c| c.is_ascii_graphic() && !matches!(c, b'"' | b'\\'))
        };
        if !self.scopes.iter().all(is_scope) {
            return Err(value("oidc", "scopes", "each is one word".to_owned()));
        }
        if self.roles.len() + self.stations.len() > MAPPINGS_MAX {
            return Err(value("oidc", "roles", format!("at most {MAPPINGS_MAX} with stations")));
        }
        Ok(issuer)
    }
}

/// What may be in the list: signed by a key that only the provider has. An HMAC's key is the
/// client's secret, which others know as well.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

pub(crate) fn value(table: &'static str, key: &'static str, why: String) -> ProviderConfigError {
    ProviderConfigError::Value { table, key, why }
}

/// An address where nobody listens in: HTTPS, or this machine itself.
pub(crate) fn secure(
    table: &'static str,
    key: &'static str,
    text: &str,
) -> Result<Url, ProviderConfigError> {
    let url: Url = text.parse().map_err(|error| value(table, key, format!("{error}")))?;
    if is_secure(&url) {
        Ok(url)
    } else {
        Err(value(table, key, "must begin with https:// (http:// on this machine only)".to_owned()))
    }
}

pub(crate) fn is_secure(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(url),
        _ => false,
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The secret in a file that only its owner can read.
pub(crate) fn secret(
    table: &'static str,
    key: &'static str,
    path: &Path,
) -> Result<SecretString, ProviderConfigError> {
    let wrong = |why: String| value(table, key, format!("{}: {why}", path.display()));
    let bytes = file::read(path).map_err(|error| wrong(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| wrong("there is no such file".to_owned()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("it holds no text".to_owned()))?;
    match text.trim() {
        "" => Err(wrong("it is empty".to_owned())),
        secret => Ok(SecretString::from(secret.to_owned())),
    }
}

fn scopes() -> Vec<String> {
    ["openid", "profile"].map(str::to_owned).to_vec()
}

fn groups_claim() -> String {
    "groups".to_owned()
}

fn name_claim() -> String {
    "preferred_username".to_owned()
}

fn algorithms() -> Vec<String> {
    ["RS256", "PS256", "ES256", "EdDSA"].map(str::to_owned).to_vec()
}
