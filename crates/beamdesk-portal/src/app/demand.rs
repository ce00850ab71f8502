//! What a desktop needs: the most of what its size, its image, its station and its owner ask.

use std::collections::{BTreeMap, HashMap};

use beamdesk_sched::Request;
use beamdesk_types::{
    Desktop, GpuRequest, GpuRequestError, Image, ImageId, NodeName, Size, SizeId, Station,
    StationId, UserId,
};
use jiff::SignedDuration;

use crate::{App, PortalError};

/// Sizes, images and stations as they stand now.
#[derive(Debug, Clone, Default)]
pub struct Books {
    pub sizes: BTreeMap<SizeId, Size>,
    pub images: HashMap<ImageId, Image>,
    pub stations: BTreeMap<StationId, Station>,
}

impl Books {
    pub(crate) async fn read(app: &App) -> Result<Self, PortalError> {
        let (sizes, images) = (app.store.sizes().await?, app.store.images().await?);
        let stations = app.store.stations().await?;
        Ok(Self {
            sizes: sizes.into_iter().map(|size| (size.id.clone(), size)).collect(),
            images: images.into_iter().map(|image| (image.id.clone(), image)).collect(),
            stations: stations.into_iter().map(|station| (station.id.clone(), station)).collect(),
        })
    }

    /// `None`: its size or image is gone, or what they and others ask cannot be had together.
    pub fn request(&self, desktop: &Desktop, excluded: &[NodeName]) -> Option<Request> {
        let (size, image) = (self.sizes.get(&desktop.size)?, self.images.get(&desktop.image)?);
        let station = desktop.station.as_ref().and_then(|id| self.stations.get(id));
        let gpu = demand(size, image, station, &desktop.gpu).ok()?;
        Some(Request {
            gpu,
            station: desktop.station.clone(),
            // A server that is off lies where it lies.
            only: desktop.node.clone(),
            excluded: excluded.to_vec(),
            ..Request::from(size)
        })
    }

    /// How long a desktop of its size runs; `None`: without end.
    pub fn term(&self, desktop: &Desktop) -> Option<SignedDuration> {
        self.sizes.get(&desktop.size).and_then(term)
    }
}

/// How long desktops of this size run; `None`: without end.
pub(crate) fn term(size: &Size) -> Option<SignedDuration> {
    (size.term_hours > 0).then(|| SignedDuration::from_hours(i64::from(size.term_hours)))
}

/// What satisfies all four; the error names the key that cannot be satisfied.
pub(crate) fn demand(
    size: &Size,
    image: &Image,
    station: Option<&Station>,
    own: &GpuRequest,
) -> Result<GpuRequest, GpuRequestError> {
    let mut gpu = size.gpu.and(&image.gpu)?;
    if let Some(station) = station {
        gpu = gpu.and(&station.gpu)?;
    }
    gpu = gpu.and(own)?;
    gpu.check()?;
    Ok(gpu)
}

/// With whom a desktop shares fairly: its station or, without one, its owner.
pub(crate) fn group(desktop: &Desktop) -> String {
    group_of(desktop.station.as_ref(), desktop.owner)
}

pub(crate) fn group_of(station: Option<&StationId>, owner: UserId) -> String {
    match station {
        Some(station) => format!("station:{station}"),
        None => format!("user:{owner}"),
    }
}

#[cfg(test)]
mod tests {
    use beamdesk_types::{GpuRequest, Image, Size, Station};

    use super::demand;

    fn size(gpu: GpuRequest) -> Size {
        Size {
            id: "s".parse().unwrap(),
            name: "S".to_owned(),
            vcpus: 1,
            memory_mib: 1024,
            disk_gib: 1,
            gpu,
            term_hours: 0,
            enabled: true,
        }
    }

    fn image(gpu: GpuRequest) -> Image {
        Image {
            id: "i".parse().unwrap(),
            name: "I".to_owned(),
            description: String::new(),
            gpu,
            enabled: true,
        }
    }

    #[test]
    fn a_desktop_needs_what_all_four_ask_together() {
        let models = |models: &[&str]| GpuRequest {
            models: models.iter().map(|&model| model.to_owned()).collect(),
            ..GpuRequest::default()
        };
        let station = Station {
            id: "b7".parse().unwrap(),
            name: "B7".to_owned(),
            gpu: models(&["A40", "RTX A6000"]),
            nodes: Vec::new(),
        };
        let (size, image) = (size(GpuRequest::whole(1, 8192)), image(GpuRequest::whole(0, 16_384)));
        let own = GpuRequest::whole(2, 0);
        let all = demand(&size, &image, Some(&station), &own).unwrap();
        assert_eq!((all.count, all.memory_mib), (2, 16_384));
        assert_eq!(all.models, ["A40", "RTX A6000"]);
        let refused = demand(&size, &image, Some(&station), &models(&["T4"])).unwrap_err();
        assert_eq!(refused.key, "heps:gpu_model");
    }
}
