//! Images that are offered, from Glance.

use std::collections::BTreeMap;

use beamdesk_types::{GpuRequest, Image, ImageId};
use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use super::{ApiError, OpenStack, Service};
use crate::CloudError;

/// Image API, *List images*: what an image has of its own stands beside what all have.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct GlanceImage {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) created_at: String,
    #[serde(flatten)]
    pub(super) properties: BTreeMap<String, Value>,
}

/// Says that an image is for desktops, and what it is called there.
const PROPERTY: &str = "beamdesk_image";
const DESCRIPTION: &str = "beamdesk_description";
/// Before the keys of [`GpuRequest`] (as the namespace `OS::Compute::HepsGpu` has it).
const GPU_PREFIX: &str = "heps_";
const TEXT_CHARS_MAX: usize = 200;

impl GlanceImage {
    fn property(&self, key: &str) -> Option<&str> {
        self.properties.get(key).and_then(Value::as_str)
    }

    /// What it is called here, if it is one of those offered.
    fn offered_as(&self, list: &[String]) -> Option<ImageId> {
        let called = self.property(PROPERTY).and_then(|name| name.parse().ok());
        if list.is_empty() {
            return called;
        }
        let name = self.name.as_deref().unwrap_or_default();
        if !list.iter().any(|listed| *listed == self.id || *listed == name) {
            return None;
        }
        called.or_else(|| slug(name).parse().ok()).or_else(|| self.id.parse().ok())
    }

    fn image(&self, id: ImageId) -> Image {
        let clip = |text: &str| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
        let name = self.name.as_deref().filter(|name| !name.is_empty());
        let (gpu, enabled) = match self.gpu() {
            Ok(gpu) => (gpu, true),
            Err(why) => {
                warn!(image.id = %self.id, "The image is not offered: {why}");
                (GpuRequest::default(), false)
            }
        };
        Image {
            name: clip(name.unwrap_or(id.as_str())),
            description: clip(self.property(DESCRIPTION).unwrap_or_default()),
            id,
            gpu,
            enabled,
        }
    }

    fn gpu(&self) -> Result<GpuRequest, beamdesk_types::GpuRequestError> {
        let ours = self.properties.iter().filter_map(|(key, value)| {
            let key = key.strip_prefix(GPU_PREFIX)?;
            Some((format!("heps:{key}"), value.as_str()?.to_owned()))
        });
        GpuRequest::from_metadata(&ours.collect())
    }
}

/// `Debian 12 (2026)` as `debian-12--2026-`.
fn slug(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_');
    name.to_ascii_lowercase().chars().map(|c| if plain(c) { c } else { '-' }).collect()
}

/// The images that are offered, each with what Glance calls it. Of several with one name the
/// newest is it: so an image is replaced by putting a newer one beside it.
pub(super) fn offered(mut images: Vec<GlanceImage>, list: &[String]) -> BTreeMap<ImageId, Offered> {
    images.retain(|image| image.status == "active");
    images.sort_by(|a, b| (&a.created_at, &a.id).cmp(&(&b.created_at, &b.id)));
    let named = images.into_iter().filter_map(|image| {
        let id = image.offered_as(list)?;
        let offered = Offered { image: image.image(id.clone()), glance_id: image.id };
        Some((id, offered))
    });
    named.collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) image: Image,
    pub(super) glance_id: String,
}

impl OpenStack {
    pub(super) async fn offered_images(&self) -> Result<BTreeMap<ImageId, Offered>, ApiError> {
        let query = [("status", "active".to_owned())];
        let images = self.client().pages(Service::Image, "/images", &query, "images").await?;
        Ok(offered(images, &self.config().images))
    }

    /// What Glance calls an image now: it may be deleted, or replaced by a newer one.
    pub(super) async fn glance_id(&self, image: &ImageId) -> Result<String, CloudError> {
        let mut offered = self.offered_images().await?;
        let found = offered.remove(image).map(|offered| offered.glance_id);
        found.ok_or_else(|| CloudError::ImageGone { image: image.to_string(), request: None })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{GlanceImage, offered};

    fn glance(more: &Value) -> GlanceImage {
        let mut image = json!({
            "id": "u1", "name": "Debian 12", "status": "active", "created_at": "2026-01-01T00:00:00Z",
            "min_disk": 10, "tags": [], "visibility": "public", "checksum": null,
        });
        image.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(image).unwrap()
    }

    #[test]
    fn an_image_is_offered_by_its_property() {
        let images = vec![
            glance(&json!({ "beamdesk_image": "debian-12", "heps_gpu_num": "1" })),
            glance(&json!({ "id": "u2", "name": "Something else" })),
            glance(&json!({ "id": "u3", "beamdesk_image": "Not A Name" })),
            glance(&json!({ "id": "u4", "beamdesk_image": "saving", "status": "saving" })),
        ];
        let offered = offered(images, &[]);
        assert_eq!(offered.len(), 1);
        let debian = &offered[&"debian-12".parse().unwrap()];
        assert_eq!((debian.glance_id.as_str(), debian.image.gpu.count), ("u1", 1));
        assert_eq!(debian.image.name, "Debian 12");
    }

    #[test]
    fn a_list_names_them_by_name_or_id() {
        let images = || {
            vec![
                glance(&json!({})),
                glance(&json!({ "id": "u2", "name": "" })),
                glance(&json!({ "id": "u3", "name": "x", "beamdesk_image": "other" })),
            ]
        };
        let list = ["Debian 12".to_owned(), "u2".to_owned()];
        let names: Vec<_> = offered(images(), &list).into_keys().map(|id| id.to_string()).collect();
        assert_eq!(names, ["debian-12", "u2"]);
    }

    #[test]
    fn the_newest_of_a_name_is_it() {
        let named = |id: &str, created: &str| {
            glance(&json!({ "id": id, "created_at": created, "beamdesk_image": "debian" }))
        };
        let images = vec![named("new", "2026-02-01"), named("old", "2026-01-01")];
        assert_eq!(offered(images, &[])[&"debian".parse().unwrap()].glance_id, "new");
    }

    #[test]
    fn an_image_that_asks_for_nonsense_is_not_for_new_desktops() {
        let image = glance(&json!({ "beamdesk_image": "debian", "heps_gpu_num": "many" }));
        assert!(!offered(vec![image], &[])[&"debian".parse().unwrap()].image.enabled);
    }
}
