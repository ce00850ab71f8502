//! What a desktop has of the network: one port and one security group, both of its name.
//!
//! The port is made before the server and is the fence: Nova lets only one server have it, so a
//! create whose answer was lost and that is asked for again never ends in two.

use beamdesk_types::DesktopId;
use serde::Deserialize;
use serde_json::json;
use tracing::debug;

use super::{
    ApiError, OpenStack, Service,
    rules::{self, Found},
    server::{NAME_PREFIX, name},
};
use crate::CloudError;

/// Networking API, *List ports*.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Port {
    pub(super) id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    /// The server that has it; empty: none.
    #[serde(default)]
    pub(super) device_id: String,
    #[serde(default)]
    security_groups: Vec<String>,
}

/// Networking API, *List security groups*.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Group {
    pub(super) id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    security_group_rules: Vec<Found>,
}

#[derive(Deserialize)]
struct Network {
    id: String,
    #[serde(default)]
    name: String,
}

/// Whose a port or group is; `None`: not of a desktop.
fn desktop_of(name: &str) -> Option<DesktopId> {
    name.strip_prefix(NAME_PREFIX)?.parse().ok()
}

impl Port {
    pub(super) fn desktop(&self) -> Option<DesktopId> {
        desktop_of(&self.name)
    }
}

impl Group {
    pub(super) fn desktop(&self) -> Option<DesktopId> {
        desktop_of(&self.name)
    }
}

impl OpenStack {
    /// The port a desktop's server shall have, with its group.
    pub(super) async fn port_for(&self, desktop: DesktopId) -> Result<Port, CloudError> {
        let (network, group) = tokio::try_join!(self.network_id(), self.group_for(desktop))?;
        let mut ports = self.ports_of(Some(desktop)).await?;
        // A port that a server has already is the one; else all readers take the same.
        ports.sort_by_key(|port| (port.device_id.is_empty(), port.id.clone()));
        if let Some(port) = ports.into_iter().next() {
            if port.security_groups != [group.clone()] {
                let body = json!({ "port": { "security_groups": [group] } });
                let path = format!("/ports/{}", port.id);
                self.client().put(Service::Network, &path).json(&body).done().await?;
            }
            return Ok(port);
        }
        #[derive(Deserialize)]
        struct Answer {
            port: Port,
        }
        let body = json!({ "port": {
            "network_id": network, "name": name(desktop), "security_groups": [group],
            "description": self.config().deployment.tag(),
        }});
        let made =
            self.client().post(Service::Network, "/ports").json(&body).send::<Answer>().await;
        match made {
            Ok(answer) => Ok(answer.port),
            Err(error) => {
                if error.is_missing() {
                    // The network was made anew under its name.
                    self.known().network = None;
                }
                Err(error.into())
            }
        }
    }

    /// Removes port and group of a desktop. Both may be gone already.
    pub(super) async fn free_network(&self, desktop: DesktopId) -> Result<(), CloudError> {
        for port in self.ports_of(Some(desktop)).await? {
            self.remove_port(&port).await?;
        }
        for group in self.groups_of(Some(desktop)).await? {
            self.remove_group(&group).await?;
        }
        Ok(())
    }

    pub(super) async fn remove_port(&self, port: &Port) -> Result<(), ApiError> {
        let path = format!("/ports/{}", port.id);
        self.client().delete(Service::Network, &path).gone().await.map(drop)
    }

    /// One that a port still uses stays; whoever sees it next removes it.
    pub(super) async fn remove_group(&self, group: &Group) -> Result<(), ApiError> {
        let path = format!("/security-groups/{}", group.id);
        match self.client().delete(Service::Network, &path).gone().await {
            Err(error) if error.is_conflict() => {
                debug!(group.id = %group.id, "The security group is still in use");
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Ports of one desktop, or of all, that this installation made.
    pub(super) async fn ports_of(&self, desktop: Option<DesktopId>) -> Result<Vec<Port>, ApiError> {
        let tag = self.config().deployment.tag();
        let query = owned_by(&tag, desktop);
        let mut ports: Vec<Port> =
            self.client().pages(Service::Network, "/ports", &query, "ports").await?;
        // A filter that is not understood is passed over by Neutron.
        ports.retain(|port| {
            let named = port.desktop().is_some_and(|of| desktop.is_none_or(|one| one == of));
            port.description == tag && named
        });
        Ok(ports)
    }

    /// Groups of one desktop, or of all, that this installation made.
    pub(super) async fn groups_of(
        &self,
        desktop: Option<DesktopId>,
    ) -> Result<Vec<Group>, ApiError> {
        let tag = self.config().deployment.tag();
        let query = owned_by(&tag, desktop);
        let (path, key) = ("/security-groups", "security_groups");
        let mut groups: Vec<Group> =
            self.client().pages(Service::Network, path, &query, key).await?;
        groups.retain(|group| {
            let named = group.desktop().is_some_and(|of| desktop.is_none_or(|one| one == of));
            group.description == tag && named
        });
        groups.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(groups)
    }

    /// Id of the desktop's group, which has the wanted rules and no others.
    async fn group_for(&self, desktop: DesktopId) -> Result<String, CloudError> {
        #[derive(Deserialize)]
        struct Answer {
            security_group: Group,
        }
        let group = match self.groups_of(Some(desktop)).await?.into_iter().next() {
            Some(group) => group,
            None => {
                let tag = self.config().deployment.tag();
                let body =
                    json!({ "security_group": { "name": name(desktop), "description": tag } });
                let call = self.client().post(Service::Network, "/security-groups").json(&body);
                call.send::<Answer>().await?.security_group
            }
        };
        let portals = if self.config().egress.is_empty() {
            Vec::new()
        } else {
            let found = rules::addresses(&self.config().portals).await;
            found.map_err(CloudError::unavailable)?
        };
        let wanted = rules::wanted(self.config(), &portals);
        let (add, gone) = rules::changes(&wanted, &group.security_group_rules);
        for id in gone {
            let path = format!("/security-group-rules/{id}");
            self.client().delete(Service::Network, &path).gone().await?;
        }
        if !add.is_empty() {
            let mut rules = serde_json::to_value(add).map_err(CloudError::unavailable)?;
            for rule in rules.as_array_mut().into_iter().flatten() {
                rule["security_group_id"] = json!(group.id);
            }
            let body = json!({ "security_group_rules": rules });
            let call = self.client().post(Service::Network, "/security-group-rules").json(&body);
            call.done().await?;
        }
        Ok(group.id)
    }

    /// Of the network in the configuration, which may be its id.
    pub(super) async fn network_id(&self) -> Result<String, CloudError> {
        if let Some(id) = self.known().network.clone() {
            return Ok(id);
        }
        let wanted = &self.config().network;
        let query = [("name", wanted.clone())];
        let named: Vec<Network> =
            self.client().pages(Service::Network, "/networks", &query, "networks").await?;
        let mut ids: Vec<String> =
            named.into_iter().filter(|n| n.name == *wanted).map(|n| n.id).collect();
        if ids.is_empty() {
            #[derive(Deserialize)]
            struct Answer {
                network: Network,
            }
            let call = self.client().get(Service::Network, format!("/networks/{wanted}"));
            ids.extend(call.found::<Answer>().await?.map(|answer| answer.network.id));
        }
        let wrong = |what| {
            let who = "an administrator of Beamdesk can correct it in the configuration";
            Err(CloudError::refused(format!("there {what} {wanted:?}; {who}")))
        };
        match ids.as_slice() {
            [] => wrong("is no network"),
            [id] => {
                self.known().network = Some(id.clone());
                Ok(id.clone())
            }
            _several => wrong("are several networks"),
        }
    }
}

fn owned_by(tag: &str, desktop: Option<DesktopId>) -> Vec<(&'static str, String)> {
    let named = desktop.map(|desktop| ("name", name(desktop)));
    named.into_iter().chain([("description", tag.to_owned())]).collect()
}
