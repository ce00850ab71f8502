//! Sizes and images.

use beamdesk_store::{Store, StoreError};
use beamdesk_types::{GpuRequest, Image, Size};

use crate::{suite::reservations::coming_reservation, world::scene};

fn size(id: &str, vcpus: u32) -> Size {
    Size {
        id: id.parse().unwrap(),
        name: format!("Size {id}"),
        vcpus,
        memory_mib: 4096,
        disk_gib: 20,
        gpu: GpuRequest::default(),
        term_hours: 0,
        enabled: true,
    }
}

pub(crate) async fn sizes_and_images_come_back_as_they_were_put(store: Store) {
    let (large, small) = (size("large", 8), size("small", 2));
    let mut gpu = size("gpu", 4);
    gpu.gpu = demand();
    gpu.term_hours = 72;
    for size in [&gpu, &large, &small] {
        store.put_size(size).await.unwrap();
    }
    assert_eq!(store.sizes().await.unwrap(), [small.clone(), large.clone(), gpu.clone()]);
    let changed = Size { name: "新".to_owned(), enabled: false, memory_mib: 1, ..large };
    store.put_size(&changed).await.unwrap();
    assert_eq!(store.size(&changed.id).await.unwrap(), Some(changed.clone()));
    assert!(store.remove_size(&changed.id).await.unwrap());
    assert!(!store.remove_size(&changed.id).await.unwrap());
    assert_eq!(store.size(&changed.id).await.unwrap(), None);
    assert_eq!(store.sizes().await.unwrap(), [small, gpu]);

    let image = Image {
        id: "debian-desktop".parse().unwrap(),
        name: "Linux desktop".to_owned(),
        description: String::new(),
        gpu: GpuRequest::default(),
        enabled: true,
    };
    store.put_image(&image).await.unwrap();
    let changed = Image { enabled: false, description: "x".to_owned(), gpu: demand(), ..image };
    store.put_image(&changed).await.unwrap();
    assert_eq!(store.images().await.unwrap(), std::slice::from_ref(&changed));
    assert_eq!(store.image(&changed.id).await.unwrap(), Some(changed));
}

fn demand() -> GpuRequest {
    GpuRequest {
        cores: 4000,
        bandwidth_gb_s: 700,
        models: vec!["RTX A6000".to_owned(), "Karte \"neu\" 新".to_owned()],
        share_milli: 500,
        ..GpuRequest::whole(1, 81_920)
    }
}

pub(crate) async fn a_size_in_use_stays(store: Store) {
    let small = size("small", 2);
    store.put_size(&small).await.unwrap();
    let d = scene(&store, "ada").await.desktop;
    let refused = store.remove_size(&small.id).await.unwrap_err();
    assert!(matches!(refused, StoreError::InUse), "{refused:?}");
    assert!(store.forget_desktop(d.id, d.revision).await.unwrap());
    // Nor one that room is held for, until the reservation is over by the database's clock.
    let reservation = coming_reservation(&store, &small.id).await;
    let refused = store.remove_size(&small.id).await.unwrap_err();
    assert!(matches!(refused, StoreError::InUse), "{refused:?}");
    assert!(store.remove_reservation(reservation).await.unwrap());
    assert!(store.remove_size(&small.id).await.unwrap());
}

pub(crate) async fn sizes_are_seeded_once(store: Store) {
    store.seed_sizes(&[size("small", 2), size("large", 8)]).await.unwrap();
    assert!(store.remove_size(&"large".parse().unwrap()).await.unwrap());
    store.seed_sizes(&[size("small", 3), size("large", 8)]).await.unwrap();
    assert_eq!(store.sizes().await.unwrap(), [size("small", 2)]);
}
