//! SR-28 and SR-34 as Neutron has them, and that port and group go with their server.

use beamdesk_cloud::Compute;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::openstack_bed::{OpenStackBed, PORTAL};

fn shown(group: &Value) -> Vec<String> {
    let rules = group["security_group_rules"].as_array().unwrap();
    let mut shown: Vec<String> = rules
        .iter()
        .map(|rule| {
            assert_eq!(rule["remote_group_id"], Value::Null);
            assert_eq!(rule["port_range_min"], rule["port_range_max"]);
            let text = |key: &str| match &rule[key] {
                Value::String(text) => text.clone(),
                Value::Null => "any".to_owned(),
                other => other.to_string(),
            };
            let [direction, kind] = [text("direction"), text("ethertype")];
            let [protocol, port] = [text("protocol"), text("port_range_min")];
            format!("{direction} {kind} {protocol} {port} {}", text("remote_ip_prefix"))
        })
        .collect();
    shown.sort();
    shown
}

#[tokio::test]
async fn rules_exact() {
    let Some(bed) = OpenStackBed::open("rules_exact").await else { return };
    let spec = bed.spec(1).await;
    bed.cloud.create(&spec).await.unwrap();
    let groups = bed.things("/security-groups", "security_groups").await;
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0]["name"], format!("beamdesk-{}", spec.desktop));
    assert_eq!(
        shown(&groups[0]),
        ["egress IPv4 any any any", "egress IPv6 any any any", "ingress IPv4 tcp 7443 127.0.0.0/8"]
    );
    let ports = bed.things("/ports", "ports").await;
    assert_eq!(ports.len(), 1);
    assert_eq!(ports[0]["security_groups"], json!([groups[0]["id"]]));
    bed.end().await;
}

#[tokio::test]
async fn egress_exact() {
    let change = |config: &mut beamdesk_cloud::openstack::OpenStackConfig| {
        config.egress = vec!["10.9.0.0/16 2049".to_owned().try_into().unwrap()];
    };
    let Some(bed) = OpenStackBed::with("egress_exact", PORTAL, change).await else { return };
    bed.cloud.create(&bed.spec(1).await).await.unwrap();
    let groups = bed.things("/security-groups", "security_groups").await;
    assert_eq!(
        shown(&groups[0]),
        [
            "egress IPv4 tcp 2049 10.9.0.0/16",
            "egress IPv4 tcp 8445 127.0.0.1/32",
            "ingress IPv4 tcp 7443 127.0.0.0/8"
        ]
    );
    bed.end().await;
}

#[tokio::test]
async fn what_a_dead_portal_left_goes_after_minutes_and_what_is_in_use_stays() {
    let Some(bed) = OpenStackBed::open("what_a_dead_portal_left").await else { return };
    let spec = bed.spec(1).await;
    bed.cloud.create(&spec).await.unwrap();
    let before = bed.things("/ports", "ports").await;
    // As if it had died between port and server.
    let left = format!("beamdesk-{}", beamdesk_types::DesktopId::fresh());
    let client = bed.cloud.client();
    let network = before[0]["network_id"].clone();
    let service = beamdesk_cloud::openstack::Service::Network;
    let group = json!({ "security_group": { "name": left, "description": bed.tag() } });
    let group: Value = client.post(service, "/security-groups").json(&group).send().await.unwrap();
    let port = json!({ "port": {
        "name": left, "description": bed.tag(), "network_id": network,
        "security_groups": [group["security_group"]["id"]],
    }});
    client.post(service, "/ports").json(&port).done().await.unwrap();
    bed.cloud.tidy().await.unwrap();
    bed.clock.turn(SignedDuration::from_mins(3));
    bed.cloud.tidy().await.unwrap();
    assert_eq!(bed.things("/ports", "ports").await.len(), 2, "it went too soon");
    bed.clock.turn(SignedDuration::from_mins(2));
    bed.cloud.tidy().await.unwrap();
    let after = bed.things("/ports", "ports").await;
    assert_eq!(after.len(), 1);
    assert_eq!(after[0]["id"], before[0]["id"]);
    assert_eq!(bed.things("/security-groups", "security_groups").await.len(), 1);
    bed.end().await;
}
