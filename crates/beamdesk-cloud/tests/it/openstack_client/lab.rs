//! The client against the real services of the lab, alone and through the fault proxy.
//!
//! They need the lab: `BEAMDESK_LAB` names its lab.json; `cargo xtask test --openstack` sees to it.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use beamdesk_cloud::{
    RequestId,
    openstack::{Access, ApiError, Client, Microversion, Outcome, Service, Settings, Trouble},
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Lab {
    clouds_file: PathBuf,
    cloud: String,
    auth_url: String,
    image: String,
    #[serde(skip)]
    folder: PathBuf,
}

/// `None`, and a word, where there is no lab.
#[expect(clippy::print_stderr, reason = "a test that does nothing says so")]
fn lab() -> Option<Lab> {
    let Some(path) = env::var_os("BEAMDESK_LAB").map(PathBuf::from) else {
        eprintln!("not run: BEAMDESK_LAB is not set; cargo xtask test --openstack sets it");
        return None;
    };
    let mut lab: Lab = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    lab.folder = path.parent().unwrap().to_owned();
    Some(lab)
}

async fn connect(lab: &Lab) -> Client {
    let access = Access::from_file(&lab.clouds_file, &lab.cloud).unwrap();
    Client::connect(access, Settings::default()).await.unwrap()
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[tokio::test]
async fn real_services_are_spoken_to_each_in_its_own_way() {
    let Some(lab) = lab() else { return };
    let client = connect(&lab).await;
    let who = client.identity().await.unwrap();
    assert!(who.roles.iter().any(|role| role == "member"), "{who:?}");
    let nova = client.version(Service::Compute).await.unwrap().unwrap();
    assert!(nova >= Microversion::new(2, 93), "{nova}");
    let placement = client.version(Service::Placement).await.unwrap().unwrap();
    assert!(placement >= Microversion::new(1, 39), "{placement}");
    let _servers: Vec<Value> =
        client.pages(Service::Compute, "/servers/detail", &[], "servers").await.unwrap();
    // Page by page, however short the pages.
    let one = [("limit", "1".to_owned())];
    let flavors: Vec<Named> =
        client.pages(Service::Compute, "/flavors/detail", &one, "flavors").await.unwrap();
    let all: Vec<Named> =
        client.pages(Service::Compute, "/flavors/detail", &[], "flavors").await.unwrap();
    assert!(all.len() > 1);
    assert_eq!(flavors.len(), all.len());
    let images: Vec<Named> = client.pages(Service::Image, "/images", &one, "images").await.unwrap();
    assert!(images.iter().any(|image| image.name == lab.image), "{images:?}");
    let networks: Vec<Named> =
        client.pages(Service::Network, "/networks", &one, "networks").await.unwrap();
    assert!(!networks.is_empty());
}

#[tokio::test]
async fn our_request_id_is_in_novas_log_and_novas_in_our_error() {
    let Some(lab) = lab() else { return };
    let client = connect(&lab).await;
    let operation = RequestId::fresh();
    let id = "/servers/00000000-0000-4000-8000-000000000000";
    let call = client.get(Service::Compute, id).done();
    let error = operation.clone().scope(call).await.unwrap_err();
    assert!(error.is_missing(), "{error}");
    assert_eq!(error.code(), Some("itemNotFound"));
    let local = error.request().unwrap().to_owned();
    assert_ne!(local, operation.as_str());
    let log = fs::read_to_string(lab.folder.join("log/nova-api.log")).unwrap();
    let line = log.lines().find(|line| line.contains(operation.as_str()));
    assert!(line.is_some_and(|line| line.contains(&local)), "{operation} is not in Nova's log");
}

#[tokio::test]
async fn each_service_refuses_in_words_that_we_understand() {
    let Some(lab) = lab() else { return };
    let client = connect(&lab).await;
    let refused = |result: Result<(), ApiError>| result.unwrap_err();
    let port = json!({"port": {"network_id": "00000000-0000-4000-8000-000000000000"}});
    let neutron = refused(client.post(Service::Network, "/ports").json(&port).done().await);
    assert_eq!(
        (neutron.status(), neutron.code()),
        (Some(404), Some("NetworkNotFound")),
        "{neutron}"
    );
    let server = json!({"server": {"name": "x"}});
    let nova = refused(client.post(Service::Compute, "/servers").json(&server).done().await);
    assert_eq!((nova.status(), nova.code()), (Some(400), Some("badRequest")), "{nova}");
    assert_eq!(nova.outcome(), Outcome::NotDone);
    let glance = refused(client.get(Service::Image, "/images/none").done().await);
    assert_eq!(glance.status(), Some(404));
    assert!(!glance.message().is_empty(), "{glance}");
    let classes = json!({"name": "CUSTOM_X"});
    let placement =
        refused(client.post(Service::Placement, "/resource_classes").json(&classes).done().await);
    assert_eq!(placement.status(), Some(403), "{placement}");
    assert!(!placement.is_quota());
    let keystone = refused(client.get(Service::Identity, "/users").done().await);
    assert_eq!((keystone.status(), keystone.code()), (Some(403), Some("Forbidden")), "{keystone}");
}

#[tokio::test]
async fn a_wrong_secret_is_refused_by_keystone() {
    let Some(lab) = lab() else { return };
    let variable = |name: &str| {
        let found = match name {
            "OS_AUTH_URL" => lab.auth_url.as_str(),
            "OS_APPLICATION_CREDENTIAL_ID" => "0123456789abcdef0123456789abcdef",
            "OS_APPLICATION_CREDENTIAL_SECRET" => "wrong",
            _ => return None,
        };
        Some(found.to_owned())
    };
    let access = Access::from_env(&variable).unwrap();
    let error = Client::connect(access, Settings::default()).await.unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Credentials(_)), "{error}");
    assert!(error.request().unwrap().starts_with("req-"));
}

#[tokio::test]
async fn a_credential_that_is_taken_away_is_told_of_by_the_next_call() {
    let Some(lab) = lab() else { return };
    // By password, because a credential may not make another.
    let access = Access::from_file(&lab.clouds_file, "beamdesk-user").unwrap();
    let user = Client::connect(access, Settings::default()).await.unwrap();
    let path = format!("/users/{}/application_credentials", user.identity().await.unwrap().user_id);
    let name = RequestId::fresh();
    let body = json!({"application_credential": {"name": name.as_str()}});
    let made: Value = user.post(Service::Identity, path.as_str()).json(&body).send().await.unwrap();
    let made = &made["application_credential"];
    let variable = |name: &str| {
        let found = match name {
            "OS_AUTH_URL" => lab.auth_url.as_str(),
            "OS_APPLICATION_CREDENTIAL_ID" => made["id"].as_str().unwrap(),
            "OS_APPLICATION_CREDENTIAL_SECRET" => made["secret"].as_str().unwrap(),
            _ => return None,
        };
        Some(found.to_owned())
    };
    let access = Access::from_env(&variable).unwrap();
    let client = Client::connect(access, Settings::default()).await.unwrap();
    client.get(Service::Identity, "/auth/projects").done().await.unwrap();
    let gone = format!("{path}/{}", made["id"].as_str().unwrap());
    assert!(user.delete(Service::Identity, gone).gone().await.unwrap());
    let error = client.get(Service::Identity, "/auth/projects").done().await.unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Credentials(_)), "{error}");
    assert!(error.to_string().contains(made["id"].as_str().unwrap()), "{error}");
}

/// The proxy, as a process of its own; ends with this value.
struct Proxy {
    process: Child,
    told: Value,
    _folder: tempfile::TempDir,
    clouds: PathBuf,
    list: PathBuf,
}

impl Proxy {
    fn start(lab: &Lab, rate: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clouds = folder.path().join("clouds.yaml");
        let list = folder.path().join("list");
        // Beside the tests' own folder: cargo puts examples there.
        let deps = env::current_exe().unwrap();
        let program = deps.parent().and_then(Path::parent).unwrap().join("examples/fault_proxy");
        let mut process = Command::new(program)
            .args(["--keystone", &lab.auth_url, "--rate", rate, "--seed", "7"])
            .args(["--clouds".as_ref(), lab.clouds_file.as_os_str()])
            .args(["--clouds-out".as_ref(), clouds.as_os_str()])
            .args(["--list".as_ref(), list.as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("cargo build -p beamdesk-cloud --example fault_proxy");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told = serde_json::from_str(&line).unwrap();
        Self { process, told, _folder: folder, clouds, list }
    }

    async fn steer(&self, path: &str) -> Value {
        let control = self.told["control"].as_str().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.post(format!("http://{control}{path}")).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _ended = self.process.wait();
    }
}

#[derive(Debug, Deserialize)]
struct Group {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct GroupBody {
    security_group: Group,
}

const PATH: &str = "/security-groups";

async fn groups(client: &Client, prefix: &str) -> Result<Vec<Group>, ApiError> {
    let all: Vec<Group> = client.pages(Service::Network, PATH, &[], "security_groups").await?;
    Ok(all.into_iter().filter(|group| group.name.starts_with(prefix)).collect())
}

/// As the driver makes things: look, then make, and after an unknown outcome look again.
async fn make(client: &Client, name: &str) -> String {
    for _ in 0..100 {
        let Ok(there) = groups(client, name).await else { continue };
        if let Some(group) = there.first() {
            return group.id.clone();
        }
        let body = json!({"security_group": {"name": name, "description": "fault proxy"}});
        let made = client.post(Service::Network, PATH).json(&body).send::<GroupBody>().await;
        match made {
            Ok(made) => return made.security_group.id,
            // Whether it is there now, the next look tells.
            Err(error) => assert!(!matches!(error.trouble(), Trouble::Credentials(_)), "{error}"),
        }
    }
    panic!("{name} cannot be made");
}

#[tokio::test]
async fn through_every_fault_nothing_is_made_twice_and_nothing_is_left() {
    const COUNT: usize = 6;
    let Some(lab) = lab() else { return };
    let prefix = format!("fault-{}-", RequestId::fresh());
    let proxy = Proxy::start(&lab, "0.4");
    let access = Access::from_file(&proxy.clouds, &lab.cloud).unwrap();
    let settings =
        Settings { deadline: Duration::from_secs(120), tries: 12, ..Settings::default() };
    let client = Client::connect(access, settings).await.unwrap();
    let mut ids = BTreeMap::new();
    for number in 0..COUNT {
        let name = format!("{prefix}{number:02}");
        ids.insert(make(&client, &name).await, name);
    }
    // Seen without the proxy: each once.
    let direct = connect(&lab).await;
    let there = groups(&direct, &prefix).await.unwrap();
    let names: BTreeMap<_, _> = there.into_iter().map(|g| (g.id, g.name)).collect();
    assert_eq!(names, ids);
    for id in ids.keys() {
        let path = format!("{PATH}/{id}");
        while client.delete(Service::Network, path.as_str()).gone().await.is_err() {}
    }
    assert!(groups(&direct, &prefix).await.unwrap().is_empty());
    let counts = proxy.steer("/off").await;
    eprintln!("{counts}");
    assert!(counts["faults"].as_u64().unwrap() > 5, "{counts}");
    let lines = fs::read_to_string(&proxy.list).unwrap().lines().count();
    assert_eq!(u64::try_from(lines).unwrap(), counts["requests"].as_u64().unwrap());
    // A switch that is off lets everything pass.
    let quiet = proxy.steer("/off").await;
    client.pages::<Group>(Service::Network, PATH, &[], "security_groups").await.unwrap();
    assert_eq!(proxy.steer("/off").await["faults"], quiet["faults"]);
}
