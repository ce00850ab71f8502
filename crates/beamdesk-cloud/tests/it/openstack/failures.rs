//! Bad input: each failure is told apart, says who can mend it, and leaves nothing behind.

use beamdesk_cloud::{
    CloudError, Compute, PowerState,
    openstack::{OpenStack, Service},
};
use serde_json::{Value, json};

use crate::openstack_bed::{Lab, OpenStackBed};

async fn nothing_is_left(bed: &OpenStackBed) {
    assert_eq!(bed.cloud.list().await.unwrap(), []);
    assert!(bed.things("/ports", "ports").await.is_empty());
    assert!(bed.things("/security-groups", "security_groups").await.is_empty());
}

#[tokio::test]
async fn no_room_on_the_host_is_no_capacity_and_leaves_nothing() {
    let Some(bed) = OpenStackBed::open("no_room_on_the_host").await else { return };
    let mut spec = bed.spec(1).await;
    spec.size.memory_mib = 300 << 10;
    let full = bed.cloud.create(&spec).await.unwrap_err();
    assert!(matches!(full, CloudError::NoCapacity { .. }), "{full:?}");
    assert!(full.request().is_some_and(|request| request.starts_with("req-")), "{full:?}");
    nothing_is_left(&bed).await;
    bed.end().await;
}

#[tokio::test]
async fn a_disabled_host_is_told_of_and_leaves_nothing() {
    let Some(bed) = OpenStackBed::open("a_disabled_host").await else { return };
    let spec = bed.spec(1).await;
    let admin = bed.lab.client("admin").await;
    let query = [("binary", "nova-compute".to_owned()), ("host", spec.node.to_string())];
    let services: Vec<Value> =
        admin.pages(Service::Compute, "/os-services", &query, "services").await.unwrap();
    let path = format!("/os-services/{}", services[0]["id"].as_str().unwrap());
    let set = async |status: &str| {
        let body = json!({ "status": status });
        admin.put(Service::Compute, &path).json(&body).done().await.unwrap();
    };
    set("disabled").await;
    let refused = bed.cloud.create(&spec).await;
    set("enabled").await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(&refused, CloudError::NodeDisabled { node, .. } if *node == spec.node),
        "{refused:?}"
    );
    nothing_is_left(&bed).await;
    bed.end().await;
}

#[tokio::test]
async fn an_image_that_is_gone_is_told_of() {
    let Some(bed) = OpenStackBed::open("an_image_that_is_gone").await else { return };
    let mut spec = bed.spec(1).await;
    spec.image.id = "withdrawn".parse().unwrap();
    let gone = bed.cloud.create(&spec).await.unwrap_err();
    assert!(
        matches!(&gone, CloudError::ImageGone { image, .. } if image == "withdrawn"),
        "{gone:?}"
    );
    nothing_is_left(&bed).await;
    bed.end().await;
}

#[tokio::test]
async fn a_changed_flavor_is_told_of_and_can_be_mended() {
    let Some(bed) = OpenStackBed::open("a_changed_flavor").await else { return };
    let spec = bed.spec(1).await;
    bed.cloud.mend_size(&spec.size).await.unwrap();
    let mut other = spec.clone();
    other.size.memory_mib = 512;
    let changed = bed.cloud.create(&other).await.unwrap_err();
    let CloudError::FlavorChanged { text, .. } = &changed else { panic!("{changed:?}") };
    assert!(text.contains("ram is 256 and should be 512"), "{text}");
    nothing_is_left(&bed).await;
    bed.cloud.mend_size(&other.size).await.unwrap();
    bed.cloud.create(&other).await.unwrap();
    bed.end().await;
}

#[tokio::test]
async fn a_used_up_quota_is_told_of_and_others_keep_what_they_have() {
    let Some(lab) = Lab::open() else { return };
    let admin = lab.client("admin").await;
    // A member of another project, without any right of a portal: Nova chooses hosts.
    let change = |config: &mut beamdesk_cloud::openstack::OpenStackConfig| {
        config.choose_host = false;
        config.make_flavors = false;
    };
    let Some(bed) = OpenStackBed::with("a_used_up_quota", "stranger", change).await else { return };
    assert_eq!(bed.cloud.nodes().await.unwrap(), []);
    let project = bed.cloud.client().identity().await.unwrap().project_id;
    let path = format!("/os-quota-sets/{project}");
    let set = async |instances: i64| {
        let body = json!({ "quota_set": { "instances": instances, "force": true } });
        admin.put(Service::Compute, &path).json(&body).done().await.unwrap();
    };
    let small = |mut spec: beamdesk_cloud::ServerSpec| {
        spec.size.id = "small".parse().unwrap();
        (spec.size.memory_mib, spec.size.disk_gib) = (2048, 10);
        spec
    };
    let (one, two) = (small(bed.spec(1).await), small(bed.spec(1).await));
    set(1).await;
    let first = bed.cloud.create(&one).await;
    let second = bed.cloud.create(&two).await;
    set(-1).await;
    first.unwrap();
    let second = second.unwrap_err();
    let CloudError::Quota { what, request } = &second else { panic!("{second:?}") };
    assert!(what.contains("instances") && request.is_some(), "{second:?}");
    assert_eq!(bed.cloud.list().await.unwrap().len(), 1);
    assert_eq!(bed.things("/ports", "ports").await.len(), 1);
    bed.end().await;
}

#[tokio::test]
async fn who_may_not_choose_a_host_is_told_who_can_mend_it() {
    let change = |config: &mut beamdesk_cloud::openstack::OpenStackConfig| {
        config.make_flavors = false;
    };
    let bed = OpenStackBed::with("who_may_not_choose_a_host", "stranger", change).await;
    let Some(bed) = bed else { return };
    let mut spec = bed.spec(1).await;
    spec.size.id = "small".parse().unwrap();
    (spec.size.memory_mib, spec.size.disk_gib) = (2048, 10);
    let refused = bed.cloud.create(&spec).await.unwrap_err();
    let CloudError::Refused { text, request } = &refused else { panic!("{refused:?}") };
    assert!(text.contains("administrator of the cloud") && request.is_some(), "{refused:?}");
    nothing_is_left(&bed).await;
    bed.end().await;
}

#[tokio::test]
async fn a_network_that_is_none_is_said_at_once() {
    let Some(lab) = Lab::open() else { return };
    let mut config = lab.config("beamdesk", "it-none");
    config.network = "nowhere".to_owned();
    let clock = std::sync::Arc::new(crate::openstack_bed::Hands::new());
    let refused = OpenStack::connect(config, clock).await.unwrap_err();
    assert!(refused.to_string().contains("nowhere"), "{refused}");
}

#[tokio::test]
async fn a_portal_with_no_right_but_the_one_makes_desktops_where_it_wants() {
    let bed = OpenStackBed::with("a_portal_with_no_right", "beamdesk", |_| {}).await;
    let Some(bed) = bed else { return };
    let mut spec = bed.spec(1).await;
    spec.size.id = "small".parse().unwrap();
    (spec.size.memory_mib, spec.size.disk_gib) = (2048, 10);
    bed.cloud.create(&spec).await.unwrap();
    let is_up = |server: Option<&beamdesk_cloud::Server>| {
        server.is_some_and(|s| s.state == PowerState::Active)
    };
    let server = bed.until(spec.desktop, is_up).await.unwrap();
    assert_eq!(server.node, spec.node);
    // Only an administrator sees where it really is.
    let admin = bed.lab.client("admin").await;
    let answer: Value =
        admin.get(Service::Compute, format!("/servers/{}", server.id)).send().await.unwrap();
    assert_eq!(answer["server"]["OS-EXT-SRV-ATTR:host"], spec.node.as_str());
    bed.end().await;
}
