//! Where the services are, by the catalog in Keystone's answer.

use std::{collections::BTreeSet, fmt};

use serde::Deserialize;
use url::Url;

use super::{ApiError, Microversion, Trouble, access::Access};

/// An API that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Keystone
    Identity,
    /// Nova
    Compute,
    /// Placement
    Placement,
    /// Glance
    Image,
    /// Neutron
    Network,
    /// Cinder
    Volume,
}

/// Of a service with microversions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speaks {
    /// As the header `OpenStack-API-Version` calls the service.
    pub(super) name: &'static str,
    /// Below this, something that we must have is missing.
    pub(super) needs: Microversion,
    /// The highest whose meaning we know.
    pub(super) knows: Microversion,
}

impl Service {
    pub const ALL: [Self; 6] =
        [Self::Identity, Self::Compute, Self::Placement, Self::Image, Self::Network, Self::Volume];

    /// What the catalog may call it: the official type and its aliases (OpenStack Service Types
    /// Authority).
    fn types(self) -> &'static [&'static str] {
        match self {
            Self::Identity => &["identity"],
            Self::Compute => &["compute"],
            Self::Placement => &["placement"],
            Self::Image => &["image"],
            Self::Network => &["network"],
            Self::Volume => &["block-storage", "volumev3", "block-store"],
        }
    }

    /// What an endpoint without a version in its path lacks.
    fn version_path(self) -> Option<&'static str> {
        match self {
            Self::Identity | Self::Volume => Some("v3"),
            Self::Compute => Some("v2.1"),
            Self::Image => Some("v2"),
            Self::Network => Some("v2.0"),
            Self::Placement => None,
        }
    }

    pub(super) fn speaks(self) -> Option<Speaks> {
        match self {
            // 2.74: `host` at create. 2.93: Zed.
            Self::Compute => Some(Speaks {
                name: "compute",
                needs: Microversion::new(2, 74),
                knows: Microversion::new(2, 93),
            }),
            // 1.29: nested providers in allocation candidates. 1.39: Zed.
            Self::Placement => Some(Speaks {
                name: "placement",
                needs: Microversion::new(1, 29),
                knows: Microversion::new(1, 39),
            }),
            // 3.70: Zed.
            Self::Volume => Some(Speaks {
                name: "volume",
                needs: Microversion::new(3, 27),
                knows: Microversion::new(3, 70),
            }),
            Self::Identity | Self::Image | Self::Network => None,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::Compute => "compute",
            Self::Placement => "placement",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
        })
    }
}

/// Which of a service's doors we go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    Public,
    Internal,
    Admin,
}

impl Interface {
    pub(super) fn parse(text: &str) -> Option<Self> {
        // Keystone's v2 API called them publicURL and so on; clouds.yaml still may.
        match text.strip_suffix("URL").unwrap_or(text) {
            "public" => Some(Self::Public),
            "internal" => Some(Self::Internal),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

/// As it stands in Keystone's answer (Identity API v3, *The catalog and endpoints*).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Catalog(Vec<Entry>);

#[derive(Debug, Clone, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, Deserialize)]
struct Endpoint {
    interface: String,
    region_id: Option<String>,
    region: Option<String>,
    url: String,
}

impl Endpoint {
    fn region(&self) -> Option<&str> {
        self.region_id.as_deref().or(self.region.as_deref())
    }
}

impl Catalog {
    /// The address below which the service's paths begin: with its version, without a slash at
    /// the end. What the settings of the cloud say comes before the catalog.
    pub(super) fn base(&self, service: Service, access: &Access) -> Result<Url, ApiError> {
        if let Some(address) = access.overrides.get(&service) {
            return Ok(versioned(service, address.clone()));
        }
        if service == Service::Identity {
            return Ok(access.auth_url.clone());
        }
        let wanted = access.interface.name();
        // In the order of our names: a cloud may list one service under several types.
        let mut found = service.types().iter().flat_map(|kind| {
            let entries = self.0.iter().filter(move |entry| entry.kind == *kind);
            entries.flat_map(|entry| &entry.endpoints)
        });
        let here: Vec<&Endpoint> = found.by_ref().filter(|e| e.interface == wanted).collect();
        let region = access.region.as_deref();
        let regions: BTreeSet<&str> = here.iter().filter_map(|e| e.region()).collect();
        if region.is_none() && regions.len() > 1 {
            let all = Vec::from_iter(regions).join(", ");
            return Err(no_service(
                service,
                format!("in several regions ({all}): say region_name"),
            ));
        }
        let chosen = here.iter().find(|e| region.is_none() || e.region() == region);
        let Some(endpoint) = chosen else {
            let why = match region {
                Some(region) if !here.is_empty() => {
                    let all = Vec::from_iter(regions).join(", ");
                    format!("not in region {region}, but in: {all}")
                }
                Some(_) | None => format!("no {wanted} endpoint in Keystone's catalog"),
            };
            return Err(no_service(service, why));
        };
        match Url::parse(&endpoint.url) {
            Ok(address) if plain(&address) => Ok(versioned(service, address)),
            Ok(_) | Err(_) => {
                Err(no_service(service, format!("its address is no URL: {:?}", endpoint.url)))
            }
        }
    }
}

fn no_service(service: Service, why: String) -> ApiError {
    ApiError::new(Trouble::NoService { why }).of(service)
}

/// HTTP with a host, without user, query or fragment.
pub(super) fn plain(address: &Url) -> bool {
    matches!(address.scheme(), "http" | "https")
        && address.host().is_some()
        && address.username().is_empty()
        && address.password().is_none()
        && address.query().is_none()
        && address.fragment().is_none()
}

/// With the service's version at the end of the path, if there is none yet.
pub(super) fn versioned(service: Service, mut address: Url) -> Url {
    let path = address.path().trim_end_matches('/').to_owned();
    let path = match service.version_path() {
        Some(version) if !path.split('/').any(is_version) => format!("{path}/{version}"),
        Some(_) | None => path,
    };
    address.set_path(&path);
    address
}

/// Where a service tells of its versions: an endpoint may have the project behind it.
pub(super) fn root(base: &Url) -> Url {
    let mut root = base.clone();
    let mut kept = Vec::new();
    for part in base.path().trim_end_matches('/').split('/') {
        kept.push(part);
        if is_version(part) {
            break;
        }
    }
    root.set_path(&format!("{}/", kept.join("/")));
    root
}

fn is_version(part: &str) -> bool {
    let digits = part.strip_prefix('v').unwrap_or_default();
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|c| c.is_ascii_digit() || c == b'.')
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::{Catalog, Interface, Service, root, versioned};
    use crate::openstack::access::Access;

    fn endpoint(interface: &str, region: &str, url: &str) -> serde_json::Value {
        json!({"id": "1", "interface": interface, "region_id": region, "region": region, "url": url})
    }

    fn catalog() -> Catalog {
        serde_json::from_value(json!([
            {"type": "compute", "name": "nova", "id": "x", "endpoints": [
                endpoint("public", "One", "http://nova.one:8774/v2.1"),
                endpoint("internal", "One", "http://10.0.0.1:8774/v2.1/abc"),
                endpoint("public", "Two", "http://nova.two:8774/v2.1/"),
            ]},
            {"type": "image", "endpoints": [endpoint("public", "One", "http://glance/image")]},
            {"type": "volumev3", "endpoints": [endpoint("public", "One", "http://cinder/v3/abc")]},
            {"type": "network", "endpoints": [endpoint("public", "One", "not a url")]},
        ]))
        .unwrap()
    }

    fn access(region: Option<&str>, interface: Interface) -> Access {
        let mut access = Access::example();
        access.region = region.map(str::to_owned);
        access.interface = interface;
        access
    }

    #[test]
    fn an_endpoint_is_found_by_region_and_interface() {
        let catalog = catalog();
        let base = |service, region, interface| {
            catalog.base(service, &access(region, interface)).map(|url| url.to_string())
        };
        let public = Interface::Public;
        assert_eq!(
            base(Service::Compute, Some("Two"), public).unwrap(),
            "http://nova.two:8774/v2.1"
        );
        assert_eq!(
            base(Service::Compute, Some("One"), Interface::Internal).unwrap(),
            "http://10.0.0.1:8774/v2.1/abc"
        );
        assert_eq!(base(Service::Image, None, public).unwrap(), "http://glance/image/v2");
        assert_eq!(base(Service::Volume, None, public).unwrap(), "http://cinder/v3/abc");
        let says =
            |service, region, interface| base(service, region, interface).unwrap_err().to_string();
        assert!(says(Service::Compute, None, public).contains("One, Two"));
        assert!(says(Service::Compute, Some("Three"), public).contains("not in region Three"));
        assert!(says(Service::Placement, None, public).contains("no public endpoint"));
        assert!(says(Service::Compute, Some("One"), Interface::Admin).contains("no admin"));
        assert!(says(Service::Network, None, public).contains("no URL"));
    }

    #[test]
    fn what_the_settings_say_comes_before_the_catalog() {
        let mut access = access(Some("Three"), Interface::Public);
        let elsewhere = Url::parse("https://elsewhere:1/compute").unwrap();
        access.overrides.insert(Service::Compute, elsewhere);
        let base = catalog().base(Service::Compute, &access).unwrap();
        assert_eq!(base.as_str(), "https://elsewhere:1/compute/v2.1");
    }

    #[test]
    fn versions_are_told_at_the_root_of_the_version() {
        let at = |text: &str| root(&Url::parse(text).unwrap()).to_string();
        assert_eq!(at("http://a:1/v2.1"), "http://a:1/v2.1/");
        assert_eq!(at("http://a:1/x/v2.1/abc"), "http://a:1/x/v2.1/");
        assert_eq!(at("http://a:1/placement"), "http://a:1/placement/");
        assert_eq!(at("http://a:1"), "http://a:1/");
        let with = |service, text: &str| versioned(service, Url::parse(text).unwrap()).to_string();
        assert_eq!(with(Service::Network, "http://a:9696/"), "http://a:9696/v2.0");
        assert_eq!(with(Service::Placement, "http://a/placement/"), "http://a/placement");
        assert_eq!(with(Service::Identity, "http://a:5000"), "http://a:5000/v3");
    }
}
