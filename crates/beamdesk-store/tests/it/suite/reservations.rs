//! Stations, room held for them, and the past.

use beamdesk_store::{Store, StoreError};
use beamdesk_types::{
    GpuRequest, Phase, Reservation, ReservationId, Size, SizeId, Station, Timestamp, UserId,
};

use crate::world::{at, scene, user};

fn station(id: &str) -> Station {
    Station {
        id: id.parse().unwrap(),
        name: format!("Beamline {id} 光束线"),
        gpu: GpuRequest::whole(1, 24_576),
        nodes: vec!["gpu-1".parse().unwrap(), "gpu_2.x".parse().unwrap()],
    }
}

fn reservation(station: &str, by: UserId, from: i64, to: i64) -> Reservation {
    Reservation {
        id: ReservationId::fresh(),
        station: station.parse().unwrap(),
        size: "small".parse().unwrap(),
        count: 3,
        from: at(from),
        to: at(to),
        note: "night shift".to_owned(),
        created_by: by,
    }
}

/// After any clock these tests run by.
fn far() -> i64 {
    Timestamp::from_second(4_000_000_000).unwrap().as_second() - at(0).as_second()
}

/// One that is not over, for desktops of this size.
pub(crate) async fn coming_reservation(store: &Store, size: &SizeId) -> ReservationId {
    let eve = user("eve");
    store.add_user(&eve).await.unwrap();
    store.put_station(&station("b7")).await.unwrap();
    let coming = reservation("b7", eve.id, far() - 10, far());
    let coming = Reservation { size: size.clone(), ..coming };
    store.add_reservation(&coming, 10).await.unwrap();
    coming.id
}

pub(crate) async fn a_station_in_use_stays(store: Store) {
    let b8 = station("b8");
    let none = Station { gpu: GpuRequest::default(), nodes: Vec::new(), ..station("a1") };
    for station in [&b8, &none] {
        store.put_station(station).await.unwrap();
    }
    assert_eq!(store.stations().await.unwrap(), [none.clone(), b8.clone()]);
    let renamed = Station { name: "B8".to_owned(), ..b8.clone() };
    store.put_station(&renamed).await.unwrap();
    assert_eq!(store.station(&b8.id).await.unwrap(), Some(renamed));

    let scene = scene(&store, "ada").await;
    let mut desktop = scene.desktop;
    desktop.station = Some(b8.id.clone());
    assert!(store.save_desktop(&desktop).await.unwrap());
    let refused = store.remove_station(&b8.id).await.unwrap_err();
    assert!(matches!(refused, StoreError::InUse), "{refused:?}");
    assert!(store.forget_desktop(desktop.id, desktop.revision + 1).await.unwrap());
    let coming = reservation("b8", scene.user.id, far() - 1, far());
    store.add_reservation(&coming, 10).await.unwrap();
    let refused = store.remove_station(&b8.id).await.unwrap_err();
    assert!(matches!(refused, StoreError::InUse), "{refused:?}");
    // One that is over goes with its station.
    assert!(store.remove_reservation(coming.id).await.unwrap());
    let over = reservation("b8", scene.user.id, -1_700_000_000, -1_600_000_000);
    store.add_reservation(&over, 10).await.unwrap();
    assert!(store.remove_station(&b8.id).await.unwrap());
    assert!(!store.remove_station(&b8.id).await.unwrap());
    assert_eq!(store.reservation(over.id).await.unwrap(), None);
}

pub(crate) async fn reservations_come_in_order_and_only_so_many(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    let refused = store.add_reservation(&reservation("b8", ada.id, 0, 10), 10).await.unwrap_err();
    assert!(matches!(refused, StoreError::Foreign), "{refused:?}");
    store.put_station(&station("b8")).await.unwrap();
    let far = far();
    let late = reservation("b8", ada.id, far + 50, far + 60);
    let early = reservation("b8", ada.id, far, far + 55);
    store.add_reservation(&late, 2).await.unwrap();
    store.add_reservation(&early, 2).await.unwrap();
    let third = reservation("b8", ada.id, far, far + 1);
    let refused = store.add_reservation(&third, 2).await.unwrap_err();
    assert!(matches!(refused, StoreError::QuotaReached { max: 2 }), "{refused:?}");
    assert_eq!(store.reservations(at(far)).await.unwrap(), [early.clone(), late.clone()]);
    assert_eq!(store.reservations(at(far + 55)).await.unwrap(), std::slice::from_ref(&late));
    assert_eq!(store.reservation(early.id).await.unwrap(), Some(early.clone()));
    assert!(store.remove_reservation(early.id).await.unwrap());
    assert!(!store.remove_reservation(early.id).await.unwrap());
    assert_eq!(store.reservations(at(0)).await.unwrap(), [late]);
    // What ends before it begins is not written.
    let backwards = reservation("b8", ada.id, far + 10, far + 10);
    store.add_reservation(&backwards, 9).await.unwrap_err();
}

pub(crate) async fn the_past_of_desktops_can_be_read(store: Store) {
    let size = Size {
        id: "small".parse().unwrap(),
        name: "S".to_owned(),
        vcpus: 2,
        memory_mib: 4096,
        disk_gib: 20,
        gpu: GpuRequest::default(),
        term_hours: 8,
        enabled: true,
    };
    store.put_size(&size).await.unwrap();
    let ada = scene(&store, "ada").await.desktop;
    let bob = scene(&store, "bob").await.desktop;
    assert!(store.forget_desktop(ada.id, ada.revision).await.unwrap());
    let past = store.desktop_history(None, 10).await.unwrap();
    assert_eq!(past.len(), 2);
    assert_eq!((past[0].desktop.id, past[0].desktop.phase), (ada.id, Phase::Deleted));
    assert_eq!(past[1].desktop, bob);
    assert!(past.iter().all(|past| past.size.as_ref() == Some(&size)));
    assert_eq!(store.desktop_history(None, 1).await.unwrap().len(), 1);
    assert_eq!(store.desktop_history(Some(bob.id), 10).await.unwrap(), []);
}
