//! In which microversion services are asked.

use beamdesk_cloud::openstack::{Microversion, Service, Trouble};
use serde_json::{Value, json};

use super::double::{Double, Reply};

async fn nova(version: &'static str) -> Double {
    Double::start(move |seen, _| {
        (seen.path == "/compute/v2.1/").then(|| {
            Reply::Json(
                200,
                json!({"version": {"id": "v2.1", "version": version, "min_version": "2.1"}}),
            )
        })
    })
    .await
}

#[tokio::test]
async fn the_highest_that_both_speak_is_asked_for_once_and_said_in_each_call() {
    for (offered, spoken) in [("2.93", "2.93"), ("2.104", "2.93"), ("2.79", "2.79")] {
        let double = nova(offered).await;
        let client = double.client().await;
        for _ in 0..3 {
            client.get(Service::Compute, "/servers").send::<Value>().await.unwrap();
        }
        assert_eq!(double.count("GET", "/compute/v2.1/"), 1);
        let said: Vec<_> = double
            .seen()
            .iter()
            .filter(|seen| seen.path == "/compute/v2.1/servers")
            .map(|seen| seen.header("openstack-api-version").unwrap().to_owned())
            .collect();
        assert_eq!(said, vec![format!("compute {spoken}"); 3]);
    }
}

#[tokio::test]
async fn a_call_may_ask_in_another_that_the_service_has() {
    let double = nova("2.93").await;
    let client = double.client().await;
    let call = client.get(Service::Compute, "/servers").version(Microversion::new(2, 74));
    call.done().await.unwrap();
    let last = double.seen().pop().unwrap();
    assert_eq!(last.header("openstack-api-version"), Some("compute 2.74"));
    assert!(client.supports(Service::Compute, Microversion::new(2, 91)).await.unwrap());
    assert!(!client.supports(Service::Compute, Microversion::new(2, 94)).await.unwrap());
    let call = client.get(Service::Compute, "/servers").version(Microversion::new(2, 94));
    assert!(matches!(call.done().await.unwrap_err().trouble(), Trouble::Versions { .. }));
}

#[tokio::test]
async fn a_service_that_is_too_old_is_told_of_with_who_can_mend_it() {
    let double = nova("2.60").await;
    let client = double.client().await;
    let error = client.get(Service::Compute, "/servers").done().await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("2.1 to 2.60") && said.contains("2.74"), "{said}");
    assert!(said.contains("administrator of the cloud can upgrade it"), "{said}");
}

#[tokio::test]
async fn a_service_that_was_upgraded_is_asked_again_what_it_speaks() {
    let double = Double::start(|seen, before| {
        let refused = seen.path == "/compute/v2.1/servers" && before == 0;
        refused.then(|| Reply::Json(406, json!({"computeFault": {"message": "version"}})))
    })
    .await;
    let client = double.client().await;
    client.get(Service::Compute, "/servers").done().await.unwrap_err();
    client.get(Service::Compute, "/servers").done().await.unwrap();
    assert_eq!(double.count("GET", "/compute/v2.1/"), 2);
}

#[tokio::test]
async fn a_service_that_the_cloud_lacks_is_told_of() {
    let double = Double::start(|_, _| None).await;
    let client = double.client().await;
    let error = client.get(Service::Volume, "/volumes").done().await.unwrap_err();
    assert!(matches!(error.trouble(), Trouble::NoService { .. }), "{error}");
    assert!(error.to_string().contains("clouds.yaml"), "{error}");
    client.endpoint(Service::Network).await.unwrap();
}
