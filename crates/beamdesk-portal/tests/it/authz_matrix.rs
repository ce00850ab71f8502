//! SR-22: every route, for every role, on what is one's own, another's, and nobody's.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{browser::Browser, system::System};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Anybody,
    LoggedIn,
    /// The owner of the desktop, and operators.
    OwnerAndOperators,
    /// Whose recording it is, and administrators.
    OwnerAndAdministrators,
    /// The owner of the desktop alone.
    Owner,
    Operators,
    Administrators,
}

/// The matrix. A route of the document that is missing here fails the test, and so does one that
/// is here and nowhere else.
fn matrix() -> BTreeMap<(&'static str, &'static str), For> {
    use For::{
        Administrators, Anybody, LoggedIn, Operators, Owner, OwnerAndAdministrators,
        OwnerAndOperators,
    };
    BTreeMap::from([
        (("get", "/session"), LoggedIn),
        (("post", "/session"), Anybody),
        (("delete", "/session"), LoggedIn),
        (("get", "/login-ways"), Anybody),
        (("post", "/oidc"), Anybody),
        (("post", "/session/keystone"), Anybody),
        (("post", "/session/password"), LoggedIn),
        (("patch", "/me"), LoggedIn),
        (("get", "/setup"), Anybody),
        (("post", "/setup"), Anybody),
        (("get", "/desktops"), LoggedIn),
        (("post", "/desktops"), LoggedIn),
        (("get", "/desktops/{id}"), OwnerAndOperators),
        (("patch", "/desktops/{id}"), OwnerAndOperators),
        (("delete", "/desktops/{id}"), OwnerAndOperators),
        (("post", "/desktops/{id}/start"), OwnerAndOperators),
        (("post", "/desktops/{id}/stop"), OwnerAndOperators),
        (("post", "/desktops/{id}/restart"), OwnerAndOperators),
        (("post", "/desktops/{id}/retry"), OwnerAndOperators),
        (("post", "/desktops/{id}/extend"), OwnerAndOperators),
        (("post", "/desktops/{id}/tickets"), Owner),
        (("get", "/recordings"), LoggedIn),
        (("delete", "/recordings/{id}"), OwnerAndAdministrators),
        (("post", "/recordings/{id}/tickets"), OwnerAndAdministrators),
        (("get", "/recording-policy"), LoggedIn),
        (("put", "/recording-policy"), Administrators),
        (("get", "/events"), LoggedIn),
        (("get", "/offers"), LoggedIn),
        (("post", "/offers/check"), LoggedIn),
        (("get", "/stations"), Operators),
        (("post", "/stations"), Administrators),
        (("put", "/stations/{id}"), Administrators),
        (("delete", "/stations/{id}"), Administrators),
        (("get", "/reservations"), Operators),
        (("post", "/reservations"), Operators),
        (("delete", "/reservations/{id}"), Operators),
        (("get", "/placement"), Operators),
        (("put", "/placement"), Administrators),
        (("post", "/whatif"), Operators),
        (("get", "/users"), Administrators),
        (("post", "/users"), Administrators),
        (("patch", "/users/{id}"), Administrators),
        (("get", "/sizes"), Operators),
        (("post", "/sizes"), Administrators),
        (("put", "/sizes/{id}"), Administrators),
        (("delete", "/sizes/{id}"), Administrators),
        (("get", "/images"), Operators),
        (("put", "/images/{id}"), Administrators),
        (("get", "/nodes"), Operators),
        (("delete", "/nodes/{id}"), Administrators),
        (("get", "/nodes/{id}/history"), Operators),
        (("put", "/nodes/{id}/maintenance"), Administrators),
        (("delete", "/nodes/{id}/quarantine"), Administrators),
        (("post", "/nodes/enrolments"), Administrators),
        (("post", "/metrics-token"), Administrators),
        (("delete", "/metrics-token"), Administrators),
        (("get", "/cloud"), Administrators),
        (("post", "/cloud/unclaimed/{id}"), Administrators),
        (("delete", "/cloud/unclaimed/{id}"), Administrators),
        (("post", "/cloud/sizes/{id}"), Administrators),
        (("post", "/cloud/images/{id}"), Administrators),
        (("get", "/desktops/{id}/console-log"), Administrators),
        (("post", "/desktops/{id}/console"), Administrators),
        (("get", "/audit"), Administrators),
    ])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Nobody,
    Owner,
    OtherUser,
    Operator,
    Administrator,
}

/// The status that must come, or `None` when the route lets this person in.
fn refusal(route: For, who: Who) -> Option<u16> {
    let allowed = match route {
        For::Anybody => true,
        For::LoggedIn => who != Who::Nobody,
        For::OwnerAndOperators => matches!(who, Who::Owner | Who::Operator | Who::Administrator),
        For::OwnerAndAdministrators => matches!(who, Who::Owner | Who::Administrator),
        For::Owner => who == Who::Owner,
        For::Operators => who >= Who::Operator,
        For::Administrators => who == Who::Administrator,
    };
    match (allowed, who, route) {
        (true, ..) => None,
        (false, Who::Nobody, _) => Some(401),
        // One that may not know of it learns that it is not there.
        (false, Who::OtherUser, For::OwnerAndOperators | For::Owner)
        | (false, _, For::OwnerAndAdministrators) => Some(404),
        (false, ..) => Some(403),
    }
}

#[tokio::test]
async fn all_routes() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut people = BTreeMap::new();
    people.insert(Who::Owner, system.account(&mut root, "owner", "user").await);
    people.insert(Who::OtherUser, system.account(&mut root, "other", "user").await);
    people.insert(Who::Operator, system.account(&mut root, "operator", "operator").await);
    people.insert(Who::Nobody, system.browser());
    // Not the administrator who looks after the test: routes end sessions.
    people.insert(Who::Administrator, system.account(&mut root, "admin", "administrator").await);
    system.account(&mut root, "victim", "user").await;
    let mut tried = 0;
    let document: Value = serde_json::from_str(&beamdesk_portal::openapi()).unwrap();
    let mut matrix = matrix();
    let routes = matrix.len();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let short = path.strip_prefix("/api/v1").expect("all routes are under /api/v1");
        for method in methods.as_object().unwrap().keys() {
            let key = (method.as_str(), short);
            let route = matrix.remove(&key).unwrap_or_else(|| panic!("no row for {key:?}"));
            for (who, browser) in &mut people {
                let desktop = fresh_desktop(&system).await;
                let (address, body) =
                    request_for(&system, &mut root, method, short, &desktop).await;
                let verb: Method = method.to_uppercase().parse().unwrap();
                // A stream never ends by itself; that it begins is enough.
                let answer = if short == "/events" {
                    let request = browser.request(verb, &format!("{path}?all=false"));
                    let response = request.send().await.unwrap();
                    (response.status().as_u16(), Value::Null)
                } else {
                    let answer = browser.send(verb, &address, body).await;
                    (answer.status, answer.body)
                };
                let (status, body) = answer;
                match refusal(route, *who) {
                    Some(refused) => assert_eq!(status, refused, "{who:?} {key:?}: {body}"),
                    // 409: let in, but the desktop is not in the state for it.
                    None => assert!(
                        (200..300).contains(&status)
                            || status == 409
                            || (short == "/setup" && body["error"]["code"] == "setup_refused"),
                        "{who:?} {key:?}: {status} {body}"
                    ),
                }
                tried += 1;
                restore(&system, *who, browser).await;
            }
        }
    }
    assert!(matrix.is_empty(), "rows without a route: {:?}", matrix.keys());
    assert_eq!(tried, routes * 5);
    system.stop().await;
}

#[tokio::test]
async fn only_operators_may_list_everybodys() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut user = system.account(&mut root, "ada", "user").await;
    user.get("/api/v1/desktops?all=true").await.refused(403, "forbidden");
    user.get("/api/v1/events?all=true").await.refused(403, "forbidden");
    root.get("/api/v1/desktops?all=true").await.expect(200);
    system.stop().await;
}

/// A desktop of `owner`; others of its are taken away, so that the quota never refuses.
async fn fresh_desktop(system: &System) -> String {
    let owner = system.app.store.user_by_name("owner").await.unwrap().unwrap().id;
    let now = beamdesk_types::Clock::now(system.clock.as_ref());
    for old in system.app.store.open_desktops().await.unwrap() {
        // Quietly: the reconciler may be writing it just now, and then it is tried at the next.
        system.app.store.forget_desktop(old.id, old.revision).await.unwrap();
    }
    let desktop = crate::system::desktop(owner, now);
    system.app.store.add_desktop(&desktop, u32::MAX).await.unwrap();
    desktop.id.to_string()
}

/// A request that only the asker's rights can make fail.
async fn request_for(
    system: &System,
    root: &mut Browser,
    method: &str,
    path: &str,
    desktop: &str,
) -> (String, Option<Value>) {
    let size = |id: &str| {
        json!({ "id": id, "name": "S", "vcpus": 1, "memory_mib": 1024, "disk_gib": 1,
            "enabled": true })
    };
    let fresh = format!("x{}", beamdesk_types::DesktopId::fresh());
    let name: String = fresh.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    let password = crate::system::PASSWORD;
    let (id, body) = match (method, path) {
        ("post", "/session") => ("", Some(json!({ "name": "victim", "password": password }))),
        ("post", "/session/keystone") => ("", Some(json!({ "token": "x" }))),
        ("post", "/session/password") => ("", Some(json!({ "old": password, "new": password }))),
        ("patch", "/me") => ("", Some(json!({ "language": "zh", "theme": "dark" }))),
        ("post", "/setup") => {
            ("", Some(json!({ "token": "x", "name": name, "password": password })))
        }
        ("post", "/desktops") => {
            ("", Some(json!({ "name": "x", "image": "sim-desktop", "size": "small" })))
        }
        ("patch", "/desktops/{id}") => (desktop, Some(json!({ "name": "y" }))),
        ("post", "/users") => {
            ("", Some(json!({ "name": name, "password": password, "role": "user" })))
        }
        ("patch", "/users/{id}") => {
            let victim = system.app.store.user_by_name("victim").await.unwrap().unwrap();
            let path = format!("/api/v1/users/{}", victim.id);
            return (path, Some(json!({ "disabled": false })));
        }
        ("put", "/recording-policy") => ("", Some(json!({ "policy": "off" }))),
        ("delete", "/recordings/{id}") => return (fresh_recording(system).await, None),
        ("post", "/recordings/{id}/tickets") => {
            let path = format!("{}/tickets", fresh_recording(system).await);
            return (path, Some(json!({ "use": "play" })));
        }
        ("delete", "/nodes/{id}") | ("delete", "/nodes/{id}/quarantine") => {
            (fresh_node(system, &fresh).await, None)
        }
        ("get", "/nodes/{id}/history") => (fresh_node(system, &fresh).await, None),
        ("put", "/nodes/{id}/maintenance") => {
            (fresh_node(system, &fresh).await, Some(json!({ "maintenance": false })))
        }
        ("post", "/nodes/enrolments") => ("", Some(json!({}))),
        ("post", "/desktops/{id}/extend") => (desktop, Some(json!({}))),
        ("post", "/offers/check") => ("", Some(json!({ "image": "sim-desktop", "size": "small" }))),
        ("post", "/stations") => ("", Some(json!({ "id": fresh, "name": "B7" }))),
        ("put", "/stations/{id}") => {
            fresh_station(system, "b7").await;
            ("b7", Some(json!({ "id": "b7", "name": "B7" })))
        }
        ("delete", "/stations/{id}") => {
            fresh_station(system, &fresh).await;
            (fresh.as_str(), None)
        }
        ("post", "/reservations") => {
            fresh_station(system, "b7").await;
            ("", Some(reservation(system)))
        }
        ("delete", "/reservations/{id}") => {
            fresh_station(system, "b7").await;
            let made = root.post("/api/v1/reservations", reservation(system)).await.expect(201);
            let id = made["reservation"]["id"].as_str().unwrap();
            return (format!("/api/v1/reservations/{id}"), None);
        }
        ("put", "/placement") => ("", Some(json!({ "policy": "fit" }))),
        ("post", "/whatif") => {
            ("", Some(json!({ "policies": ["fit"], "trace": "heps", "load": 0.05 })))
        }
        ("post", "/sizes") => ("", Some(size(&fresh))),
        ("put", "/sizes/{id}") => ("small", Some(size("small"))),
        ("delete", "/sizes/{id}") => {
            root.post("/api/v1/sizes", size(&fresh)).await.expect(201);
            (fresh.as_str(), None)
        }
        ("post", "/cloud/unclaimed/{id}") => {
            let id = crate::cloud::unclaimed(&system.sim).await;
            let owner = system.app.store.user_by_name("owner").await.unwrap().unwrap().id;
            let body = json!({ "owner": owner, "image": "sim-desktop", "size": "small",
                "name": "found" });
            return (format!("/api/v1/cloud/unclaimed/{id}"), Some(body));
        }
        ("delete", "/cloud/unclaimed/{id}") => {
            let id = crate::cloud::unclaimed(&system.sim).await;
            return (format!("/api/v1/cloud/unclaimed/{id}"), None);
        }
        ("post", "/cloud/sizes/{id}") => ("small", None),
        ("post", "/cloud/images/{id}") => ("sim-desktop", None),
        ("put", "/images/{id}") => (
            "sim-desktop",
            Some(json!({ "id": "sim-desktop",
            "name": "Simulated desktop", "description": "", "enabled": true })),
        ),
        _ => (desktop, None),
    };
    (format!("/api/v1{}", path.replace("{id}", id)), body)
}

/// A node that nobody but a monitor knows.
async fn fresh_node<'a>(system: &System, name: &'a str) -> &'a str {
    system.app.store.set_maintenance(&name.parse().unwrap(), false).await.unwrap();
    name
}

async fn fresh_station(system: &System, id: &str) {
    let station = beamdesk_types::Station {
        id: id.parse().unwrap(),
        name: "B7".to_owned(),
        gpu: beamdesk_types::GpuRequest::default(),
        nodes: Vec::new(),
    };
    system.app.store.put_station(&station).await.unwrap();
}

fn reservation(system: &System) -> Value {
    let now = beamdesk_types::Clock::now(system.clock.as_ref());
    let to = now + std::time::Duration::from_secs(3600);
    json!({ "station": "b7", "size": "small", "count": 1, "from": now.to_string(),
        "to": to.to_string() })
}

/// The path of a recording of `owner`.
async fn fresh_recording(system: &System) -> String {
    let owner = system.app.store.user_by_name("owner").await.unwrap().unwrap().id;
    let id = crate::recordings::recorded(system, owner).await;
    format!("/api/v1/recordings/{id}")
}

/// Logs in again whoever logged out, or became somebody else.
async fn restore(system: &System, who: Who, browser: &mut Browser) {
    let name = match who {
        Who::Nobody => return browser.cookies.clear(),
        Who::Owner => "owner",
        Who::OtherUser => "other",
        Who::Operator => "operator",
        Who::Administrator => "admin",
    };
    let session = browser.get("/api/v1/session").await;
    if session.body["user"]["name"] != name {
        *browser = system.log_in(name).await;
    }
}
