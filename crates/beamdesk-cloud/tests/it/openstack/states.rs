//! States that administrators of the cloud bring about, and changes of what there is.

use beamdesk_cloud::{
    Alter, Compute, Power, PowerState, Server, ServerId, ServerNote,
    openstack::{OpenStackConfig, Service},
};
use serde_json::{Value, json};

use crate::{
    bed::set_generation,
    openstack_bed::{OpenStackBed, PORTAL, by_hand},
};

async fn act(bed: &OpenStackBed, id: &ServerId, action: Value) {
    let path = format!("/servers/{id}/action");
    bed.cloud.client().post(Service::Compute, path).json(&action).done().await.unwrap();
}

fn is(state: PowerState, note: Option<ServerNote>) -> impl Fn(Option<&Server>) -> bool {
    move |server| server.is_some_and(|server| server.state == state && server.note == note)
}

#[tokio::test]
async fn what_an_administrator_does_is_shown_as_it_is() {
    let Some(bed) = OpenStackBed::open("what_an_administrator_does").await else { return };
    let spec = bed.spec(1).await;
    let id = bed.cloud.create(&spec).await.unwrap();
    let until = async |state: PowerState, note: Option<ServerNote>| {
        bed.until(spec.desktop, is(state, note)).await.unwrap()
    };
    until(PowerState::Active, None).await;
    act(&bed, &id, json!({ "pause": null })).await;
    until(PowerState::Active, Some(ServerNote::Paused)).await;
    act(&bed, &id, json!({ "unpause": null })).await;
    until(PowerState::Active, None).await;
    act(&bed, &id, json!({ "suspend": null })).await;
    until(PowerState::Active, Some(ServerNote::Suspended)).await;
    act(&bed, &id, json!({ "resume": null })).await;
    until(PowerState::Active, None).await;
    act(&bed, &id, json!({ "lock": null })).await;
    until(PowerState::Active, Some(ServerNote::Locked)).await;
    act(&bed, &id, json!({ "unlock": null })).await;
    act(&bed, &id, json!({ "shelve": null })).await;
    let shelved = until(PowerState::Off, Some(ServerNote::Shelved)).await;
    assert_eq!((shelved.generation, shelved.address, shelved.cards), (1, None, vec![]));
    bed.end().await;
}

#[tokio::test]
async fn a_start_is_known_by_its_generation_and_mended_in_the_metadata() {
    let Some(bed) = OpenStackBed::open("a_start_is_known").await else { return };
    let mut spec = bed.spec(1).await;
    let id = bed.cloud.create(&spec).await.unwrap();
    bed.until(spec.desktop, is(PowerState::Active, None)).await;
    bed.cloud.power(&id, Power::Off).await.unwrap();
    bed.until(spec.desktop, is(PowerState::Off, None)).await;
    spec.node = bed.lab.host(7);
    spec.cards = vec!["0000:10:00.0".parse().unwrap()];
    set_generation(&mut spec, 2);
    bed.cloud.power(&id, Power::On(&spec)).await.unwrap();
    let on = bed.until(spec.desktop, is(PowerState::Active, None)).await.unwrap();
    assert_eq!((on.generation, on.cards.len()), (2, 1));
    bed.cloud.tidy().await.unwrap();
    let path = format!("/servers/{id}");
    let answer: Value = bed.cloud.client().get(Service::Compute, path).send().await.unwrap();
    assert_eq!(answer["server"]["metadata"]["beamdesk_generation"], "2");
    bed.end().await;
}

#[tokio::test]
async fn a_server_can_have_another_size_and_a_fresh_disk() {
    // Nova would move it to a host of another hypervisor, if the lab has one.
    let change = |config: &mut OpenStackConfig| {
        let key = "aggregate_instance_extra_specs:kind".to_owned();
        config.extra_specs.insert(key, "fake".to_owned());
    };
    let bed = OpenStackBed::with("a_server_can_have_another_size", PORTAL, change).await;
    let Some(bed) = bed else { return };
    let mut spec = bed.spec(1).await;
    let id = bed.cloud.create(&spec).await.unwrap();
    bed.until(spec.desktop, is(PowerState::Active, None)).await;
    spec.size = bed.spec(1).await.size;
    spec.size.vcpus = 2;
    bed.cloud.alter(&id, Alter::Resize(&spec)).await.unwrap();
    let resized = bed.until(spec.desktop, is(PowerState::Active, None)).await.unwrap();
    assert_eq!((resized.id.clone(), resized.generation), (id.clone(), 1));
    set_generation(&mut spec, 2);
    bed.cloud.alter(&id, Alter::Rebuild(&spec)).await.unwrap();
    let rebuilt = |server: Option<&Server>| {
        server.is_some_and(|s| s.state == PowerState::Active && s.generation == 2)
    };
    bed.until(spec.desktop, rebuilt).await;
    bed.end().await;
}

#[tokio::test]
async fn an_administrator_can_look_at_the_console() {
    let Some(bed) = OpenStackBed::open("an_administrator_can_look").await else { return };
    let spec = bed.spec(1).await;
    let id = bed.cloud.create(&spec).await.unwrap();
    bed.until(spec.desktop, is(PowerState::Active, None)).await;
    let said = bed.cloud.console_log(&id, 10).await.unwrap();
    assert!(said.is_some_and(|said| said.contains("FAKE CONSOLE OUTPUT")));
    bed.cloud.console_url(&id).await.unwrap();
    bed.cloud.power(&id, Power::Off).await.unwrap();
    bed.until(spec.desktop, is(PowerState::Off, None)).await;
    assert_eq!(bed.cloud.console_log(&id, 10).await.unwrap(), None);
    bed.end().await;
}

#[tokio::test]
async fn a_server_is_found_from_the_moment_that_nova_said_yes() {
    let Some(bed) = OpenStackBed::open("a_server_is_found").await else { return };
    let spec = bed.spec(1).await;
    let tags = [bed.tag(), format!("beamdesk-desktop:{}", spec.desktop)];
    let metadata = json!({ "beamdesk_generation": "1", "beamdesk_node": spec.node.to_string() });
    let name = format!("beamdesk-{}", spec.desktop);
    let id = by_hand(&bed.cloud, &name, &tags, &metadata).await;
    let found = bed.cloud.find(spec.desktop).await.unwrap();
    assert_eq!(found.map(|server| server.id), Some(id.clone()));
    assert_eq!(bed.cloud.create(&spec).await.unwrap(), id, "it made another");
    bed.end().await;
}
