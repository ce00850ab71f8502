//! One behaviour for all drivers: each promise is tried on each of them.

use beamdesk_cloud::{CloudError, Power, PowerState, ServerId};
use beamdesk_types::DesktopId;

use crate::bed::{Bed, set_generation};

macro_rules! compute_suite {
    ($driver:ident, $bed:expr; $($promise:ident),* $(,)?) => {
        mod $driver {
            $(#[tokio::test]
            async fn $promise() {
                let open = $bed;
                let Some(bed) = open(stringify!($promise)).await else { return };
                super::$promise(&bed).await;
                bed.end().await;
            })*
        }
    };
}

macro_rules! for_each_driver {
    ($($promise:ident),* $(,)?) => {
        compute_suite!(sim, async |_| Some(crate::bed::Bed::sim()); $($promise),*);
        compute_suite!(sandbox, async |_| Some(crate::bed::Bed::sandbox().await); $($promise),*);
        compute_suite!(openstack, crate::bed::Bed::openstack; $($promise),*);
        compute_suite!(recorded, async |test| Some(crate::bed::Bed::recorded(test).await); $($promise),*);
    };
}

for_each_driver!(
    a_created_desktop_comes_up,
    creating_twice_gives_the_first_server,
    two_creates_at_once_give_one_server,
    off_and_on_gives_the_next_generation,
    power_on_leaves_a_running_server_alone,
    a_deleted_server_is_gone_and_deleting_again_succeeds,
    a_stopped_server_can_be_deleted,
    a_deleted_desktop_can_be_made_again,
    an_unknown_host_is_refused,
    an_unknown_server_has_no_power_switch,
    what_does_not_fit_is_no_capacity,
    room_is_taken_and_given_back,
    a_server_that_is_off_takes_no_room,
    all_servers_are_listed,
);

async fn a_created_desktop_comes_up(bed: &Bed) {
    let spec = bed.spec(7).await;
    assert_eq!(bed.cloud().find(spec.desktop).await.unwrap(), None);
    let id = bed.cloud().create(&spec).await.unwrap();
    let server = bed.until_state(spec.desktop, &PowerState::Active).await;
    assert_eq!((server.id, server.desktop, server.generation), (id, spec.desktop, 7));
    assert!(server.address.is_some_and(|address| address.contains(':')));
}

async fn creating_twice_gives_the_first_server(bed: &Bed) {
    let spec = bed.spec(1).await;
    let first = bed.cloud().create(&spec).await.unwrap();
    let before = bed.until_state(spec.desktop, &PowerState::Active).await;
    let mut later = spec.clone();
    set_generation(&mut later, 2);
    assert_eq!(bed.cloud().create(&later).await.unwrap(), first);
    assert_eq!(bed.cloud().find(spec.desktop).await.unwrap(), Some(before));
    assert_eq!(bed.cloud().list().await.unwrap().len(), 1);
}

async fn two_creates_at_once_give_one_server(bed: &Bed) {
    let spec = bed.spec(1).await;
    let cloud = bed.cloud();
    let (one, two, three) =
        tokio::join!(cloud.create(&spec), cloud.create(&spec), cloud.create(&spec));
    assert_eq!(one.unwrap(), two.unwrap());
    three.unwrap();
    bed.until_state(spec.desktop, &PowerState::Active).await;
    assert_eq!(cloud.list().await.unwrap().len(), 1);
}

async fn off_and_on_gives_the_next_generation(bed: &Bed) {
    let mut spec = bed.spec(1).await;
    let id = bed.cloud().create(&spec).await.unwrap();
    bed.until_state(spec.desktop, &PowerState::Active).await;
    bed.cloud().power(&id, Power::Off).await.unwrap();
    let off = bed.until_state(spec.desktop, &PowerState::Off).await;
    assert_eq!(off.address, None);
    set_generation(&mut spec, 2);
    bed.cloud().power(&id, Power::On(&spec)).await.unwrap();
    let on = bed.until_state(spec.desktop, &PowerState::Active).await;
    assert_eq!((on.id, on.generation), (id, 2));
}

async fn power_on_leaves_a_running_server_alone(bed: &Bed) {
    let mut spec = bed.spec(1).await;
    let id = bed.cloud().create(&spec).await.unwrap();
    let before = bed.until_state(spec.desktop, &PowerState::Active).await;
    set_generation(&mut spec, 2);
    bed.cloud().power(&id, Power::On(&spec)).await.unwrap();
    assert_eq!(bed.cloud().find(spec.desktop).await.unwrap(), Some(before));
}

async fn a_deleted_server_is_gone_and_deleting_again_succeeds(bed: &Bed) {
    let spec = bed.spec(1).await;
    let id = bed.cloud().create(&spec).await.unwrap();
    bed.until_state(spec.desktop, &PowerState::Active).await;
    bed.cloud().delete(&id).await.unwrap();
    bed.until(spec.desktop, |server| server.is_none()).await;
    assert!(bed.cloud().list().await.unwrap().is_empty());
    bed.cloud().delete(&id).await.unwrap();
    bed.cloud().delete(&ServerId("never was".to_owned())).await.unwrap();
}

async fn a_stopped_server_can_be_deleted(bed: &Bed) {
    let spec = bed.spec(1).await;
    let id = bed.cloud().create(&spec).await.unwrap();
    bed.cloud().power(&id, Power::Off).await.unwrap();
    bed.until_state(spec.desktop, &PowerState::Off).await;
    bed.cloud().delete(&id).await.unwrap();
    bed.until(spec.desktop, |server| server.is_none()).await;
}

async fn a_deleted_desktop_can_be_made_again(bed: &Bed) {
    let mut spec = bed.spec(1).await;
    for generation in 1..=2 {
        set_generation(&mut spec, generation);
        let id = bed.cloud().create(&spec).await.unwrap();
        let server = bed.until_state(spec.desktop, &PowerState::Active).await;
        assert_eq!(server.generation, generation);
        bed.cloud().delete(&id).await.unwrap();
        bed.until(spec.desktop, |server| server.is_none()).await;
    }
}

async fn an_unknown_host_is_refused(bed: &Bed) {
    let mut spec = bed.spec(1).await;
    spec.node = "elsewhere".to_owned().try_into().unwrap();
    let refused = bed.cloud().create(&spec).await;
    assert!(matches!(refused, Err(CloudError::Refused { .. })), "{refused:?}");
    assert_eq!(bed.cloud().find(spec.desktop).await.unwrap(), None);
}

async fn an_unknown_server_has_no_power_switch(bed: &Bed) {
    let unknown = ServerId(DesktopId::from_u128(404).to_string());
    let refused = bed.cloud().power(&unknown, Power::Off).await;
    assert!(matches!(refused, Err(CloudError::Refused { .. })), "{refused:?}");
    let spec = bed.spec(1).await;
    let refused = bed.cloud().power(&unknown, Power::On(&spec)).await;
    assert!(matches!(refused, Err(CloudError::Refused { .. })), "{refused:?}");
}

async fn what_does_not_fit_is_no_capacity(bed: &Bed) {
    let mut large = bed.spec(1).await;
    large.size.memory_mib = 1 << 40;
    let mut cards = bed.spec(1).await;
    cards.size.gpu.count = 1;
    let mut cpus = bed.spec(1).await;
    cpus.size.vcpus = u32::MAX;
    for spec in [large, cards, cpus] {
        let full = bed.cloud().create(&spec).await;
        assert!(matches!(full, Err(CloudError::NoCapacity { .. })), "{full:?}");
        assert_eq!(bed.cloud().find(spec.desktop).await.unwrap(), None);
    }
}

async fn room_is_taken_and_given_back(bed: &Bed) {
    let spec = bed.spec(1).await;
    let before = bed.used(&spec.node).await;
    let id = bed.cloud().create(&spec).await.unwrap();
    let taken = (before.0 + 1, before.1 + 256);
    bed.until_used(&spec.node, |used| used == taken).await;
    bed.cloud().delete(&id).await.unwrap();
    bed.until(spec.desktop, |server| server.is_none()).await;
    bed.until_used(&spec.node, |used| used == before).await;
}

async fn a_server_that_is_off_takes_no_room(bed: &Bed) {
    let mut spec = bed.spec(1).await;
    let before = bed.used(&spec.node).await;
    let id = bed.cloud().create(&spec).await.unwrap();
    let on = bed.until_state(spec.desktop, &PowerState::Active).await;
    assert_eq!(on.node, spec.node);
    bed.cloud().power(&id, Power::Off).await.unwrap();
    let off = bed.until_state(spec.desktop, &PowerState::Off).await;
    assert_eq!((off.node, off.cards), (spec.node.clone(), Vec::new()));
    bed.until_used(&spec.node, |used| used == before).await;
    set_generation(&mut spec, 2);
    bed.cloud().power(&id, Power::On(&spec)).await.unwrap();
    bed.until_used(&spec.node, |used| used != before).await;
}

async fn all_servers_are_listed(bed: &Bed) {
    let (one, two) = (bed.spec(1).await, bed.spec(1).await);
    for spec in [&one, &two] {
        bed.cloud().create(spec).await.unwrap();
    }
    let mut listed: Vec<_> =
        bed.cloud().list().await.unwrap().into_iter().map(|server| server.desktop).collect();
    listed.sort_unstable();
    let mut made = vec![one.desktop, two.desktop];
    made.sort_unstable();
    assert_eq!(listed, made);
}
