//! What the driver tells of the cloud, and the cloud of cards: against the lab's real services.

use beamdesk_cloud::{Compute as _, HostCards, openstack::Service, sim::Sim};
use beamdesk_types::{CardState, GpuRequest, Inventory, Partitioning, Size};
use serde_json::Value;

use crate::openstack_bed::OpenStackBed;

/// May make servers and nothing else.
const PLAIN: &str = "beamdesk";

fn size(bed: &OpenStackBed, memory_mib: u64) -> Size {
    Size {
        id: format!("{}-drift", bed.deployment).parse().unwrap(),
        name: "Of a test".to_owned(),
        vcpus: 1,
        memory_mib,
        disk_gib: 1,
        gpu: GpuRequest::default(),
        term_hours: 0,
        enabled: true,
    }
}

async fn inventory(bed: &OpenStackBed, sizes: &[Size]) -> Inventory {
    bed.cloud.inventory(sizes).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_administrator_sees_hosts_and_what_is_taken_of_them() {
    let Some(bed) = OpenStackBed::open("inventory-hosts").await else { return };
    let told = inventory(&bed, &[]).await;
    assert!(told.services.iter().any(|one| one.name == "compute" && one.version == "2.93"));
    let host = told.hosts.iter().find(|host| host.name == bed.node).unwrap();
    assert!(host.is_up && host.is_enabled, "{host:?}");
    let vcpus = host.resources.iter().find(|one| one.class == "VCPU" && one.part.is_empty());
    assert_eq!(vcpus.unwrap().total, 64);
    assert!(told.limits.iter().any(|limit| limit.what == "instances"));
    bed.end().await;
}

#[tokio::test]
async fn what_an_account_may_not_see_is_named() {
    let Some(bed) = OpenStackBed::with("inventory-plain", PLAIN, |_| {}).await else { return };
    let told = inventory(&bed, &[]).await;
    assert!(told.hosts.is_empty());
    let lack = told.lacks.iter().find(|lack| lack.what == "hypervisors").unwrap();
    assert!(lack.why.contains("req-"), "{lack:?}");
    let told = bed.cloud.publish(&[]).await.unwrap();
    assert!(told.refused.is_some(), "{told:?}");
    bed.end().await;
}

#[tokio::test]
async fn a_flavor_is_made_its_drift_is_told_and_mended() {
    let Some(bed) = OpenStackBed::open("inventory-flavor").await else { return };
    let small = size(&bed, 256);
    let told = inventory(&bed, std::slice::from_ref(&small)).await;
    assert_eq!(told.flavors[0].name, "", "missing");
    bed.cloud.mend_size(&small).await.unwrap();
    let told = inventory(&bed, std::slice::from_ref(&small)).await;
    assert_eq!(told.flavors[0].drift, []);
    let more = size(&bed, 512);
    let told = inventory(&bed, std::slice::from_ref(&more)).await;
    let drift = &told.flavors[0].drift[0];
    assert_eq!((&*drift.what, &*drift.wanted, &*drift.found), ("ram", "512", "256"));
    bed.cloud.mend_size(&more).await.unwrap();
    let told = inventory(&bed, std::slice::from_ref(&more)).await;
    assert_eq!(told.flavors[0].drift, []);
    bed.end().await;
}

#[tokio::test]
async fn a_server_tells_what_it_was_made_of() {
    let Some(bed) = OpenStackBed::open("inventory-made").await else { return };
    let spec = bed.spec(1).await;
    let id = bed.cloud.create(&spec).await.unwrap();
    let made = bed.cloud.made_of(&id).await.unwrap().unwrap();
    assert_eq!((made.owner, made.size), (Some(spec.owner), Some(spec.size.id.clone())));
    assert_eq!(made.image, Some(spec.image.id.clone()));
    let nobody = beamdesk_cloud::ServerId("00000000-0000-4000-8000-000000000000".to_owned());
    assert_eq!(bed.cloud.made_of(&nobody).await.unwrap(), None);
    bed.end().await;
}

#[tokio::test]
async fn placement_is_told_of_cards_and_what_others_said_stays() {
    let Some(bed) = OpenStackBed::open("inventory-cards").await else { return };
    // One that no other test asks for.
    let node = bed.lab.host(bed.lab.fake_hosts - 1);
    let mut cards = Sim::equal_cards(2, "Trial T4", 16_384, &Partitioning::Whole);
    cards[0].state = CardState::Assigned;
    let told = bed.cloud.publish(&[HostCards { node: node.clone(), cards }]).await.unwrap();
    if let Some(why) = told.refused {
        println!("skipped: the lab's account may not write to Placement: {why}");
        return bed.end().await;
    }
    assert_eq!((told.changed, told.unknown.len()), (1, 0));
    let host = |told: Inventory| told.hosts.into_iter().find(|host| host.name == node).unwrap();
    let seen = host(inventory(&bed, &[]).await);
    for name in ["CUSTOM_GPU_TRIAL_T4", "CUSTOM_GPU_MEM_GE_16G"] {
        assert!(seen.traits.iter().any(|one| one == name), "{name}: {:?}", seen.traits);
    }
    let others: Vec<_> = seen.traits.iter().filter(|one| !one.starts_with("CUSTOM_GPU_")).collect();
    assert!(!others.is_empty(), "Nova's own traits are still there: {:?}", seen.traits);
    let stock = seen.resources.iter().find(|one| one.class == "CUSTOM_GPU_CARD").unwrap();
    assert_eq!((stock.total, stock.reserved, stock.used), (2, 1, 0));
    let path = "/metadefs/namespaces/OS::Compute::HepsGpu";
    let catalog: Value = bed.cloud.client().get(Service::Image, path).send().await.unwrap();
    assert_eq!(catalog["properties"]["gpu_mem_mib"]["type"], "integer");
    // A second time nothing is to be done; without cards all of it goes again.
    let cards = vec![];
    let none = [HostCards { node: node.clone(), cards }];
    assert_eq!(bed.cloud.publish(&none).await.unwrap().changed, 1);
    assert_eq!(bed.cloud.publish(&none).await.unwrap().changed, 0);
    let seen = host(inventory(&bed, &[]).await);
    assert!(!seen.traits.iter().any(|one| one.starts_with("CUSTOM_GPU_")), "{:?}", seen.traits);
    bed.end().await;
}
