//! SR-42: what is not ours is never touched.

use beamdesk_cloud::{
    Alter, CloudError, Compute, Power, ServerId,
    openstack::{OpenStack, Service},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    bed::PAUSE_ELSEWHERE,
    openstack_bed::{Lab, OpenStackBed, by_hand},
};

/// Made by somebody else in the same project.
async fn foreign(cloud: &OpenStack, name: &str, tags: &[String], metadata: Value) -> ServerId {
    let id = by_hand(cloud, name, tags, &metadata).await;
    until(cloud, &id.0, |server| server["status"] == "ACTIVE").await;
    id
}

async fn until(cloud: &OpenStack, id: &str, is: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..400 {
        let path = format!("/servers/{id}");
        let answer: Value = cloud.client().get(Service::Compute, path).send().await.unwrap();
        if is(&answer["server"]) {
            return answer["server"].clone();
        }
        sleep(PAUSE_ELSEWHERE).await;
    }
    panic!("it never came true of {id}");
}

#[tokio::test]
async fn foreign_server_untouched() {
    let Some(bed) = OpenStackBed::open("foreign_server_untouched").await else { return };
    let spec = bed.spec(1).await;
    let ours = bed.cloud.create(&spec).await.unwrap();
    let name = format!("beamdesk-{}", spec.desktop);
    let desktop_tag = format!("beamdesk-desktop:{}", spec.desktop);
    let metadata = json!({
        "beamdesk_deployment": bed.deployment, "beamdesk_desktop": spec.desktop.to_string(),
        "beamdesk_generation": "1", "beamdesk_node": spec.node.to_string(),
    });
    // Named and written on like ours, and of another deployment whose name begins like ours.
    let copied = foreign(&bed.cloud, &name, std::slice::from_ref(&desktop_tag), metadata).await;
    let tags = [format!("{}2", bed.tag()), desktop_tag];
    let neighbour = foreign(&bed.cloud, "neighbour", &tags, json!({})).await;
    for id in [&copied, &neighbour] {
        let before = until(&bed.cloud, &id.0, |_| true).await;
        let refused = [
            bed.cloud.power(id, Power::Off).await,
            bed.cloud.power(id, Power::On(&spec)).await,
            bed.cloud.delete(id).await,
            bed.cloud.alter(id, Alter::Rebuild(&spec)).await,
            bed.cloud.console_log(id, 10).await.map(drop),
            bed.cloud.console_url(id).await.map(drop),
        ];
        for refused in refused {
            assert!(matches!(refused, Err(CloudError::Refused { .. })), "{refused:?}");
        }
        assert_eq!(until(&bed.cloud, &id.0, |_| true).await, before);
    }
    assert_eq!(bed.cloud.find(spec.desktop).await.unwrap().unwrap().id, ours);
    assert_eq!(bed.cloud.create(&spec).await.unwrap(), ours);
    let listed: Vec<_> = bed.cloud.list().await.unwrap().into_iter().map(|s| s.id).collect();
    assert_eq!(listed, [ours]);
    bed.cloud.tidy().await.unwrap();
    bed.clock.turn(jiff::SignedDuration::from_hours(1));
    bed.cloud.tidy().await.unwrap();
    for id in [copied, neighbour] {
        until(&bed.cloud, &id.0, |server| server["status"] == "ACTIVE").await;
        let path = format!("/servers/{id}");
        bed.cloud.client().delete(Service::Compute, path).gone().await.unwrap();
    }
    bed.end().await;
}

#[tokio::test]
async fn another_project_is_not_even_seen() {
    let Some(bed) = OpenStackBed::open("another_project_is_not_even_seen").await else { return };
    let spec = bed.spec(1).await;
    let id = bed.cloud.create(&spec).await.unwrap();
    let Some(lab) = Lab::open() else { return };
    let config = lab.config("stranger", &bed.deployment);
    let stranger = OpenStack::connect(config, bed.clock.clone()).await.unwrap();
    assert_eq!(stranger.list().await.unwrap(), []);
    assert_eq!(stranger.find(spec.desktop).await.unwrap(), None);
    stranger.delete(&id).await.unwrap();
    let refused = stranger.power(&id, Power::Off).await;
    assert!(matches!(refused, Err(CloudError::Refused { .. })), "{refused:?}");
    assert!(bed.cloud.find(spec.desktop).await.unwrap().is_some());
    bed.end().await;
}
