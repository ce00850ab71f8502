//! Addresses of services, rewritten so that whoever follows them comes through the proxy.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;
use url::Url;

/// Services that may be reached: `host:port` and the origin it stands for. A request for
/// `http://PROXY/host:port/path` goes to that origin's `/path`.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    origins: BTreeMap<String, String>,
}

impl Addresses {
    /// Gives the first part of the path by which it is reached.
    pub(crate) fn learn(&mut self, url: &Url) -> Result<String> {
        let host = url.host_str().context("an address without a host")?;
        let port = url.port_or_known_default().context("an address without a port")?;
        let part = format!("{host}:{port}");
        let origin = url.origin().ascii_serialization();
        self.origins.insert(part.clone(), origin);
        Ok(part)
    }

    /// From a catalog in an answer of Keystone.
    pub(crate) fn learn_catalog(&mut self, body: &[u8]) {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
        let catalog = body["token"]["catalog"].as_array().or_else(|| body["catalog"].as_array());
        let endpoints = catalog.into_iter().flatten().filter_map(|e| e["endpoints"].as_array());
        for endpoint in endpoints.flatten() {
            // One that is no address is not for us to tell of: the client does.
            if let Some(url) = endpoint["url"].as_str().and_then(|text| Url::parse(text).ok()) {
                let _part = self.learn(&url);
            }
        }
    }

    /// Where `path` of the proxy leads: the origin, and the rest with its query.
    pub(crate) fn target(&self, path: &str) -> Option<String> {
        let path = path.strip_prefix('/')?;
        let end = path.find(['/', '?']).unwrap_or(path.len());
        let (part, rest) = path.split_at(end);
        Some(format!("{}{rest}", self.origins.get(part)?))
    }

    /// `text` with each origin replaced by its way through the proxy.
    pub(crate) fn rewrite(&self, text: &str, proxy: &str) -> String {
        let mut written = String::with_capacity(text.len() + 256);
        let mut rest = text;
        while let Some(at) = rest.find("http") {
            let (before, from) = rest.split_at(at);
            written.push_str(before);
            let found = self.origins.iter().find(|(_, origin)| {
                let after = from.strip_prefix(origin.as_str()).map(|after| after.bytes().next());
                // `http://h:96` is not the beginning of `http://h:9696`.
                after.is_some_and(|next| next.is_none_or(|c| !is_of_authority(c)))
            });
            let skip = match found {
                Some((part, origin)) => {
                    written.push_str(&format!("http://{proxy}/{part}"));
                    origin.len()
                }
                None => {
                    written.push_str("http");
                    "http".len()
                }
            };
            (_, rest) = from.split_at(skip);
        }
        written.push_str(rest);
        written
    }
}

fn is_of_authority(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b':' | b'.' | b'-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::Addresses;

    #[test]
    fn a_catalog_leads_through_the_proxy_and_each_way_to_one_service() {
        let mut addresses = Addresses::default();
        addresses.learn(&Url::parse("http://127.0.0.1:5000/v3").unwrap()).unwrap();
        let catalog = json!({"token": {"catalog": [
            {"type": "compute", "endpoints": [{"url": "http://127.0.0.1:8774/v2.1"}]},
            {"type": "image", "endpoints": [{"url": "https://glance"}, {"url": 7}]},
        ]}})
        .to_string();
        addresses.learn_catalog(catalog.as_bytes());
        let rewritten = addresses.rewrite(&catalog, "127.0.0.1:7000");
        assert!(
            rewritten.contains(r#""http://127.0.0.1:7000/127.0.0.1:8774/v2.1""#),
            "{rewritten}"
        );
        assert!(rewritten.contains(r#""http://127.0.0.1:7000/glance:443""#), "{rewritten}");
        assert_eq!(
            addresses.target("/127.0.0.1:8774/v2.1/servers?x=/y").unwrap(),
            "http://127.0.0.1:8774/v2.1/servers?x=/y"
        );
        assert_eq!(addresses.target("/glance:443?a").unwrap(), "https://glance?a");
        assert_eq!(addresses.target("/127.0.0.1:22/"), None);
        assert_eq!(addresses.rewrite("http://127.0.0.1:50001/", "p"), "http://127.0.0.1:50001/");
        assert_eq!(
            addresses.rewrite("httphttp://127.0.0.1:5000", "p"),
            "httphttp://p/127.0.0.1:5000"
        );
    }
}
