//! Lists in pages: the whole or an error.

use beamdesk_cloud::openstack::{Service, Trouble};
use serde::Deserialize;
use serde_json::{Value, json};

use super::double::{Double, Reply, Seen};

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Server {
    id: u32,
}

/// Page 0, 1, 2 of two servers each; the links name a host that is not there.
fn page(seen: &Seen) -> Option<(u32, Reply)> {
    let query = seen.path.strip_prefix("/compute/v2.1/servers/detail?tags=beamdesk%3Aheps")?;
    let number = query.strip_prefix("&marker=").map_or(0, |marker| marker.parse().unwrap());
    let mut body = json!({"servers": [{"id": number * 2}, {"id": number * 2 + 1}]});
    if number < 2 {
        let next = number + 1;
        let href = format!("https://wrong.invalid/x?tags=beamdesk%3Aheps&marker={next}");
        body["servers_links"] = json!([{"rel": "next", "href": href}]);
    }
    Some((number, Reply::Json(200, body)))
}

async fn list(double: &Double) -> Result<Vec<Server>, beamdesk_cloud::openstack::ApiError> {
    let client = double.client().await;
    let query = [("tags", "beamdesk:heps".to_owned())];
    client.pages(Service::Compute, "/servers/detail", &query, "servers").await
}

#[tokio::test]
async fn a_list_is_all_its_pages_wherever_the_links_point() {
    let double = Double::start(|seen, _| page(seen).map(|(_, reply)| reply)).await;
    let ids: Vec<u32> = list(&double).await.unwrap().iter().map(|server| server.id).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_page_that_comes_by_halves_is_asked_again() {
    let double = Double::start(|seen, before| {
        page(seen).map(|(number, reply)| match reply {
            Reply::Json(status, body) if number == 1 && before == 0 => Reply::Half(status, body),
            reply => reply,
        })
    })
    .await;
    assert_eq!(list(&double).await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_page_that_fails_fails_the_list() {
    let bad: [fn() -> Reply; 4] = [
        || Reply::Json(500, Value::Null),
        || Reply::Json(404, json!({"itemNotFound": {"message": "marker"}})),
        || Reply::Json(200, json!({"something": "else"})),
        || Reply::Json(200, json!({"servers": [{"id": "no number"}]})),
    ];
    for bad in bad {
        let double = Double::start(move |seen, _| {
            page(seen).map(|(number, reply)| if number == 2 { bad() } else { reply })
        })
        .await;
        list(&double).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_list_without_end_is_an_error() {
    let double = Double::start(|seen, _| {
        seen.path.contains("servers").then(|| {
            let body = json!({"servers": [{"id": 1}], "servers_links":
                [{"rel": "next", "href": "/v2.1/servers/detail?marker=same"}]});
            Reply::Json(200, body)
        })
    })
    .await;
    let error = list(&double).await.unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Pages(_)), "{error}");
    // The page that comes again is the last one.
    assert_eq!(double.count("GET", "/compute/v2.1/servers/detail?marker=same"), 1);

    let double = Double::start(|seen, _| {
        seen.path.contains("servers").then(|| {
            let number: u32 =
                seen.path.rsplit('=').next().and_then(|text| text.parse().ok()).unwrap_or(0);
            let href = format!("/v2.1/servers/detail?marker={}", number + 1);
            let body = json!({"servers": [], "servers_links": [{"rel": "next", "href": href}]});
            Reply::Json(200, body)
        })
    })
    .await;
    let error = list(&double).await.unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Pages(_)), "{error}");
}
