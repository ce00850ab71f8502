//! Lists that come in pages: all of them or an error.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

use super::{ApiError, Client, Service, Trouble};
use crate::RequestId;

/// 200 pages of 500 are more than any project has; a list that goes on is a loop.
const PAGES_MAX: usize = 200;
/// Nova gives at most 1000 a page by itself and refuses `limit` where it knows no pages; Neutron
/// gives everything at once, and Glance 25.
const PAGE_ITEMS: u32 = 500;

pub(super) async fn all<T: DeserializeOwned + Send>(
    client: &Client,
    service: Service,
    path: &str,
    query: &[(&str, String)],
    key: &str,
) -> Result<Vec<T>, ApiError> {
    let request = RequestId::of_operation();
    let mut query: Vec<(String, String)> =
        query.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    if matches!(service, Service::Network | Service::Image)
        && !query.iter().any(|(name, _)| name == "limit")
    {
        query.push(("limit".to_owned(), PAGE_ITEMS.to_string()));
    }
    let mut items = Vec::new();
    let mut seen = BTreeSet::new();
    for _ in 0..PAGES_MAX {
        let call = client.get(service, path).request(request.clone());
        let call = query.iter().fold(call, |call, (name, value)| call.query(name, value));
        let mut page: Map<String, Value> = call.send().await?;
        let next = next(&page, key);
        let broken = |why: String| {
            let error = ApiError::new(Trouble::Garbage(why)).of(service);
            error.call(format!("GET {path}"), request.clone())
        };
        let list = page.remove(key).ok_or_else(|| broken(format!("a page without {key}")))?;
        let list: Vec<T> =
            serde_json::from_value(list).map_err(|error| broken(error.to_string()))?;
        items.extend(list);
        let Some(next) = next else { return Ok(items) };
        if !seen.insert(next.clone()) {
            return Err(endless(service, path, &request, "a page comes again"));
        }
        query = next;
    }
    Err(endless(service, path, &request, "too many pages"))
}

fn endless(service: Service, path: &str, request: &RequestId, why: &str) -> ApiError {
    let error = ApiError::new(Trouble::Pages(why.to_owned())).of(service);
    error.call(format!("GET {path}"), request.clone())
}

/// The query of the next page. Only the query: host and scheme of such links are often wrong
/// behind a balancer, and the token goes where the catalog says, nowhere else.
fn next(page: &Map<String, Value>, key: &str) -> Option<Vec<(String, String)>> {
    // Nova, Neutron, Cinder: "servers_links": [{"rel": "next", "href": …}]
    let links = page.get(&format!("{key}_links")).and_then(Value::as_array);
    let linked = links.into_iter().flatten().find(|link| link["rel"] == "next");
    let href = linked.and_then(|link| link["href"].as_str());
    // Glance: "next": "/v2/images?marker=…"; Keystone: "links": {"next": …}
    let href = href.or_else(|| page.get("next")?.as_str());
    let href = href.or_else(|| page.get("links")?["next"].as_str())?;
    let base = Url::parse("http://unused/").ok()?;
    let pairs = base.join(href).ok()?;
    Some(pairs.query_pairs().into_owned().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::next;

    fn pairs(page: Value, key: &str) -> Option<String> {
        let Value::Object(page) = page else { panic!("no object") };
        let pairs = next(&page, key)?;
        Some(pairs.iter().map(|(k, v)| format!("{k}={v};")).collect())
    }

    #[test]
    fn each_service_tells_of_its_next_page_in_its_own_way() {
        let nova = json!({"servers": [], "servers_links": [
            {"rel": "next", "href": "http://wrong/v2.1/servers/detail?tags=a%3Ab&marker=x"}]});
        assert_eq!(pairs(nova, "servers").unwrap(), "tags=a:b;marker=x;");
        let neutron = json!({"ports": [], "ports_links": [
            {"rel": "previous", "href": "http://n/?page_reverse=True"}]});
        assert_eq!(pairs(neutron, "ports"), None);
        let glance = json!({"images": [], "next": "/v2/images?limit=2&marker=y", "first": "/"});
        assert_eq!(pairs(glance, "images").unwrap(), "limit=2;marker=y;");
        let keystone = json!({"users": [], "links": {"next": null, "self": "http://k"}});
        assert_eq!(pairs(keystone, "users"), None);
        let odd = json!({"servers": [], "servers_links": {"rel": 1}, "next": 7, "links": "x"});
        assert_eq!(pairs(odd, "servers"), None);
    }
}
