//! What a portal is told at its start.

use std::sync::Arc;

use beamdesk_http::{Limits, Origins, OriginsError};
use beamdesk_types::{GatewayName, Size};
use rustls::ServerConfig;
use tokio::net::TcpListener;

/// Settings of one portal.
#[derive(Debug, Clone)]
pub struct PortalConfig {
    /// Of this portal among others, for people: who leads.
    pub name: String,
    /// Where browsers find this portal, and which gateway serves them from there. The first pair
    /// is for requests that do not say where they come from.
    pub origins: Vec<OriginPair>,
    /// Name of that gateway, as its certificate gives it; of several behind one address, any.
    pub gateway: GatewayName,
    /// Addresses that lead to one gateway alone, where there are several behind the address above:
    /// recordings are played where they are kept.
    pub gateways: Vec<GatewayPlace>,
    /// Domain of the bind cookie, where portal and gateway have different hosts of one site.
    pub bind_domain: Option<String>,
    /// Where monitors find this portal (`https://host:port`), for the command that is shown when one is
    /// let in. `None`: none can be.
    pub monitor_url: Option<String>,
    /// Where agents of servers elsewhere find portals (`https://host:port` each, of listeners for
    /// monitors); empty: at `monitor_url`. For drivers with seeds.
    pub agent_portals: Vec<String>,
    /// Desktops one person may have.
    pub desktops_max: u32,
    /// Size of a new desktop's screen until a viewer asks for another, pixels.
    pub screen: (u16, u16),
    /// Put into an empty database.
    pub sizes: Vec<Size>,
    pub limits: Limits,
}

/// A portal origin and the gateway origin that belongs to it, both as browsers send them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPair {
    pub portal: String,
    pub gateway: String,
}

/// Where one gateway alone is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayPlace {
    pub name: GatewayName,
    /// As browsers send it.
    pub origin: String,
}

/// A bound socket, with TLS or without.
#[derive(Debug)]
pub struct Listener {
    pub socket: TcpListener,
    pub tls: Option<Arc<ServerConfig>>,
}

/// The sockets a portal serves.
#[derive(Debug)]
pub struct Listeners {
    /// For browsers.
    pub public: Vec<Listener>,
    /// For gateways: TLS that requires a client certificate.
    pub internal: Vec<Listener>,
    /// For monitors of nodes: TLS that takes a client certificate and does without one.
    pub monitors: Vec<Listener>,
}

#[derive(Debug, thiserror::Error)]
pub enum PortalConfigError {
    #[error("origins: at least one is needed")]
    NoOrigin,
    #[error("origins: {0}")]
    Origins(#[from] OriginsError),
}

impl PortalConfig {
    /// The origins of the portal's own pages.
    pub(crate) fn portal_origins(&self) -> Result<Origins, PortalConfigError> {
        if self.origins.is_empty() {
            return Err(PortalConfigError::NoOrigin);
        }
        // Checked, because they go into a policy header.
        Origins::new(self.gateway_origins())?;
        Ok(Origins::new(self.origins.iter().map(|pair| pair.portal.clone()))?)
    }

    /// Where tickets are posted to.
    pub(crate) fn gateway_origins(&self) -> Vec<String> {
        let shared = self.origins.iter().map(|pair| pair.gateway.clone());
        shared.chain(self.gateways.iter().map(|place| place.origin.clone())).collect()
    }

    /// Where a page of this origin reaches what this very gateway keeps; `None`: nowhere.
    pub(crate) fn place_of(&self, name: &GatewayName, portal_origin: Option<&str>) -> Option<&str> {
        let own = self.gateways.iter().find(|place| place.name == *name);
        match own {
            Some(place) => Some(place.origin.as_str()),
            None if self.gateway == *name && self.gateways.is_empty() => {
                self.gateway_of(portal_origin)
            }
            None => None,
        }
    }

    /// What seeds say of where portals are.
    pub(crate) fn agent_portals(&self) -> Vec<String> {
        if self.agent_portals.is_empty() {
            self.monitor_url.iter().cloned().collect()
        } else {
            self.agent_portals.clone()
        }
    }

    /// Where a page of this origin connects to desktops.
    pub(crate) fn gateway_of(&self, portal_origin: Option<&str>) -> Option<&str> {
        let asked = self.origins.iter().find(|pair| Some(pair.portal.as_str()) == portal_origin);
        asked.or(self.origins.first()).map(|pair| pair.gateway.as_str())
    }
}
