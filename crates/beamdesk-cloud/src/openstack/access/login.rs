//! As whom we log in: by password or by an application credential.

use beamdesk_types::Secret;
use serde_json::{Value, json};

use super::{AccessError, clouds::Cloud};

#[derive(Debug, Clone)]
pub(in crate::openstack) enum Login {
    Password { user: Who, password: Secret, project: Who },
    ApplicationCredential { credential: Credential, secret: Secret },
}

/// A user or a project, by id or by name.
#[derive(Debug, Clone)]
pub(in crate::openstack) enum Who {
    Id(String),
    Name { name: String, domain: Domain },
}

#[derive(Debug, Clone)]
pub(in crate::openstack) enum Domain {
    Id(String),
    Name(String),
}

#[derive(Debug, Clone)]
pub(in crate::openstack) enum Credential {
    Id(String),
    Name { name: String, user: Who },
}

impl Login {
    pub(super) fn of(cloud: &Cloud) -> Result<Self, AccessError> {
        let by_credential = match cloud.auth_type.as_deref() {
            Some("v3applicationcredential") => true,
            Some("password" | "v3password") => false,
            Some(_) => {
                let why = "it is one of password, v3applicationcredential";
                return Err(AccessError::Unsupported { key: "auth_type", why });
            }
            None => cloud.auth("application_credential_secret").is_some(),
        };
        if by_credential {
            let secret = cloud.auth("application_credential_secret");
            let secret =
                secret.ok_or(AccessError::Missing("auth.application_credential_secret"))?;
            let credential = match cloud.auth("application_credential_id") {
                Some(id) => Credential::Id(id.to_owned()),
                None => {
                    let missing = AccessError::Missing("auth.application_credential_id");
                    let name = cloud.auth("application_credential_name").ok_or(missing)?;
                    let user = who(cloud, &USER).ok_or(AccessError::Missing("auth.username"))?;
                    Credential::Name { name: name.to_owned(), user }
                }
            };
            return Ok(Login::ApplicationCredential {
                credential,
                secret: Secret::new(secret.to_owned()),
            });
        }
        if cloud.auth("system_scope").is_some() {
            let why = "desktops are servers of a project: name one";
            return Err(AccessError::Unsupported { key: "auth.system_scope", why });
        }
        let password = cloud.auth("password").ok_or(AccessError::Missing("auth.password"))?;
        Ok(Login::Password {
            user: who(cloud, &USER).ok_or(AccessError::Missing("auth.username"))?,
            password: Secret::new(password.to_owned()),
            project: who(cloud, &PROJECT).ok_or(AccessError::Missing("auth.project_name"))?,
        })
    }

    /// What `POST /v3/auth/tokens` wants (Identity API v3, *Authentication and token management*).
    pub(in crate::openstack) fn body(&self) -> Value {
        match self {
            Self::Password { user, password, project } => {
                let mut user = user.json();
                user["password"] = json!(password.expose());
                json!({"auth": {
                    "identity": {"methods": ["password"], "password": {"user": user}},
                    "scope": {"project": project.json()},
                }})
            }
            // Always of the project in which it was made.
            Self::ApplicationCredential { credential, secret } => {
                let mut credential = match credential {
                    Credential::Id(id) => json!({"id": id}),
                    Credential::Name { name, user } => json!({"name": name, "user": user.json()}),
                };
                credential["secret"] = json!(secret.expose());
                json!({"auth": {"identity": {
                    "methods": ["application_credential"],
                    "application_credential": credential,
                }}})
            }
        }
    }

    /// Keystone's words when a token's credential is gone: 404, and not the 401 of everybody else.
    pub(in crate::openstack) fn is_missed_in(&self, message: &str) -> bool {
        match self {
            Self::ApplicationCredential { credential: Credential::Id(id), .. } => {
                message.contains("Application Credential") && message.contains(id)
            }
            Self::ApplicationCredential { .. } | Self::Password { .. } => false,
        }
    }

    /// Who it is, for an administrator to find in Keystone.
    pub(in crate::openstack) fn name(&self) -> String {
        match self {
            Self::Password { user, .. } => format!("user {}", user.name()),
            Self::ApplicationCredential { credential: Credential::Id(id), .. } => {
                format!("application credential {id}")
            }
            Self::ApplicationCredential { credential: Credential::Name { name, user }, .. } => {
                format!("application credential {name} of user {}", user.name())
            }
        }
    }
}

impl Who {
    fn json(&self) -> Value {
        match self {
            Self::Id(id) => json!({"id": id}),
            Self::Name { name, domain: Domain::Id(id) } => {
                json!({"name": name, "domain": {"id": id}})
            }
            Self::Name { name, domain: Domain::Name(domain) } => {
                json!({"name": name, "domain": {"name": domain}})
            }
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Id(name) | Self::Name { name, .. } => name,
        }
    }
}

/// The keys by which a user or a project is named.
struct Keys {
    id: &'static str,
    name: &'static str,
    domain_id: &'static str,
    domain_name: &'static str,
}

const USER: Keys = Keys {
    id: "user_id",
    name: "username",
    domain_id: "user_domain_id",
    domain_name: "user_domain_name",
};
const PROJECT: Keys = Keys {
    id: "project_id",
    name: "project_name",
    domain_id: "project_domain_id",
    domain_name: "project_domain_name",
};

/// A domain that nothing is said of is the one every Keystone begins with, as for the `openstack`
/// command.
fn who(cloud: &Cloud, keys: &Keys) -> Option<Who> {
    if let Some(id) = cloud.auth(keys.id) {
        return Some(Who::Id(id.to_owned()));
    }
    let name = cloud.auth(keys.name)?.to_owned();
    let domain_id = cloud.auth(keys.domain_id).or_else(|| cloud.auth("domain_id"));
    let domain_name = cloud.auth(keys.domain_name).or_else(|| cloud.auth("domain_name"));
    let domain = match (domain_id, domain_name) {
        (Some(id), _) => Domain::Id(id.to_owned()),
        (None, Some(name)) => Domain::Name(name.to_owned()),
        (None, None) => Domain::Id("default".to_owned()),
    };
    Some(Who::Name { name, domain })
}
