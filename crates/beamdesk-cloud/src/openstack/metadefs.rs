//! What may be asked of cards, in Glance's catalog of keys, so that other programs offer our keys
//! with their meaning. A catalog only: nothing is enforced by it.

use serde_json::{Value, json};
use tracing::info;

use super::{ApiError, OpenStack, Service};

/// Image API, *Create namespace*.
const NAMESPACE: &str = "OS::Compute::HepsGpu";

/// As `GpuRequest` reads them, without the prefix that each kind of resource has.
fn properties() -> Value {
    let number = |title: &str, description: &str, minimum: u64, maximum: u64| {
        json!({ "title": title, "description": description, "type": "integer",
            "minimum": minimum, "maximum": maximum })
    };
    json!({
        "gpu_num": number("Cards", "How many graphics cards", 0, 64),
        "gpu_mem_mib": number("Memory", "Of each card, at least, in MiB", 0, 16_777_216),
        "gpu_cores": number("Cores", "CUDA cores or stream processors of each card, at least", 0, 1_000_000),
        "gpu_bandwidth": number("Bandwidth", "Of each card's memory, at least, in GB/s", 0, 100_000),
        "gpu_share": number("Share", "Of one card, in thousandths; 1000 is a card for oneself", 1, 1000),
        "gpu_model": { "title": "Models", "type": "string",
            "description": "One of these models, with | between" },
    })
}

fn namespace() -> Value {
    json!({
        "namespace": NAMESPACE,
        "display_name": "Graphics cards of desktops",
        "description": "What a desktop asks of graphics cards",
        "visibility": "public",
        "protected": false,
        "resource_type_associations": [
            { "name": "OS::Nova::Flavor", "prefix": "heps:" },
            { "name": "OS::Glance::Image", "prefix": "heps_" },
            { "name": "OS::Nova::Server", "prefix": "heps:", "properties_target": "metadata" },
        ],
        "properties": properties(),
    })
}

impl OpenStack {
    /// Makes the namespace, or adds to it what is missing. What others put there stays.
    pub(super) async fn publish_metadefs(&self) -> Result<(), ApiError> {
        let path = format!("/metadefs/namespaces/{NAMESPACE}");
        let Some(there) = self.client().get(Service::Image, path.as_str()).found::<Value>().await?
        else {
            let call = self.client().post(Service::Image, "/metadefs/namespaces");
            call.json(&namespace()).done().await?;
            info!("Made the catalog of keys {NAMESPACE}");
            return Ok(());
        };
        for (name, property) in missing(&there, &properties()) {
            let mut body = property;
            if let Some(body) = body.as_object_mut() {
                body.insert("name".to_owned(), json!(name));
            }
            let call = self.client().post(Service::Image, format!("{path}/properties"));
            call.json(&body).done().await?;
        }
        Ok(())
    }
}

/// Of the properties those that a namespace has not.
fn missing(there: &Value, wanted: &Value) -> Vec<(String, Value)> {
    let there = there.get("properties").and_then(Value::as_object);
    let is_missing = |name: &str| there.is_none_or(|there| !there.contains_key(name));
    let wanted = wanted.as_object().into_iter().flatten();
    let missing = wanted.filter(|(name, _)| is_missing(name));
    missing.map(|(name, property)| (name.clone(), property.clone())).collect()
}

#[cfg(test)]
mod tests {
    use beamdesk_types::GpuRequest;
    use serde_json::json;

    use super::{missing, namespace, properties};

    #[test]
    fn every_key_that_we_read_is_in_the_catalog() {
        let all = GpuRequest {
            count: 1,
            memory_mib: 1,
            cores: 1,
            bandwidth_gb_s: 1,
            models: vec!["T4".to_owned()],
            share_milli: 500,
        };
        for key in all.metadata().into_keys() {
            let name = key.strip_prefix("heps:").unwrap().to_owned();
            assert!(properties().get(&name).is_some(), "{name}");
        }
        assert_eq!(namespace()["resource_type_associations"][0]["prefix"], "heps:");
    }

    #[test]
    fn only_what_is_missing_is_added() {
        let there = json!({ "namespace": "x", "properties": { "gpu_num": {}, "other": {} } });
        let names: Vec<_> =
            missing(&there, &properties()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 5);
        assert!(!names.contains(&"gpu_num".to_owned()));
        assert_eq!(missing(&json!({}), &properties()).len(), 6);
    }
}
