//! The socket on which Nova asks about hosts, and Nova's side of it in Python.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use beamdesk_cloud::sim::Sim;
use beamdesk_portal::Asks;
use beamdesk_types::Partitioning;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    task::JoinSet,
    time::timeout,
};

use crate::system::{DEADLINE, System};

/// Three nodes with one card each, a portal, and its socket.
struct Bed {
    system: System,
    folder: tempfile::TempDir,
    asks: JoinSet<()>,
}

impl Bed {
    async fn start() -> Self {
        let mut nodes = Sim::equal_nodes(3, 16, 65_536, 1000);
        for node in &mut nodes {
            node.cards = Sim::equal_cards(1, "RTX A6000", 49_152, &Partitioning::Whole);
        }
        let system = System::start_over(Arc::new(Sim::new(1, nodes))).await;
        let folder = tempfile::tempdir().unwrap();
        let mut asks = JoinSet::new();
        let bound = Asks::bind(&folder.path().join("sched.sock")).await.unwrap();
        asks.spawn(bound.run(system.app.clone()));
        Self { system, folder, asks }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sched.sock")
    }

    async fn ask(&self, line: &[u8]) -> Value {
        let mut link = Link::open(&self.path()).await;
        link.ask(line).await
    }

    async fn stop(mut self) {
        let path = self.path();
        self.system.stop().await;
        timeout(DEADLINE, self.asks.join_next()).await.unwrap().unwrap().unwrap();
        assert!(!path.exists(), "the socket goes with the portal");
    }
}

struct Link(BufReader<UnixStream>);

impl Link {
    async fn open(path: &Path) -> Self {
        Self(BufReader::new(UnixStream::connect(path).await.unwrap()))
    }

    async fn ask(&mut self, line: &[u8]) -> Value {
        self.0.get_mut().write_all(line).await.unwrap();
        let mut answer = String::new();
        timeout(DEADLINE, self.0.read_line(&mut answer)).await.unwrap().unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    async fn is_closed(&mut self) -> bool {
        let rest = timeout(DEADLINE, self.0.read(&mut [0; 16])).await.unwrap();
        rest.is_err() || rest.is_ok_and(|count| count == 0)
    }
}

fn question(more: &Value) -> Vec<u8> {
    let mut request = json!({ "vcpus": 4, "memory_mib": 8192, "disk_gib": 20,
        "metadata": { "heps:gpu_num": "1" } });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let hosts = ["sim-001", "sim-002", "sim-003", "elsewhere"];
    format!("{}\n", json!({ "v": 1, "request": request, "hosts": hosts })).into_bytes()
}

/// Reason of each host, or its rank.
fn said(answer: &Value) -> Vec<String> {
    let hosts = answer["hosts"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let word = |host: &Value| match host["reason"].as_str() {
        Some(reason) => format!("{reason} {}", host["passes"]),
        None => host["rank"].to_string(),
    };
    hosts.iter().map(word).collect()
}

#[tokio::test]
async fn hosts_are_judged_as_the_portal_sees_them_at_this_moment() {
    let bed = Bed::start().await;
    let mut user = bed.system.administrator().await;
    let mut link = Link::open(&bed.path()).await;
    let before = link.ask(&question(&json!({}))).await;
    assert_eq!(said(&before), ["0", "1", "2", "unknown true"]);

    let wish = json!({ "name": "x", "image": "sim-desktop", "size": "gpu" });
    let id =
        user.post("/api/v1/desktops", wish).await.expect(201)["id"].as_str().unwrap().to_owned();
    let ready = user.until(&id, "ready").await;
    assert_eq!(ready["node"], "sim-001");
    let after = link.ask(&question(&json!({}))).await;
    assert_eq!(said(&after), ["gpus false", "0", "1", "unknown true"]);
    // What it has itself is no reason against it: it moves, or is just being made there.
    let own = link.ask(&question(&json!({ "desktop": id, "move": true }))).await;
    assert_eq!(said(&own).iter().filter(|word| word.as_str() == "gpus false").count(), 0);
    let preferred = link.ask(&question(&json!({ "preferred_host": "sim-003" }))).await;
    assert_eq!(said(&preferred), ["gpus false", "1", "0", "unknown true"]);

    let body = json!({ "maintenance": true });
    user.send(reqwest::Method::PUT, "/api/v1/nodes/sim-002/maintenance", Some(body))
        .await
        .expect(204);
    let station = json!({ "id": "b7", "name": "B7", "nodes": ["sim-003"] });
    user.post("/api/v1/stations", station).await.expect(201);
    let closed = link.ask(&question(&json!({}))).await;
    assert_eq!(said(&closed)[1..], ["maintenance false", "station false", "unknown true"]);
    let hers = link.ask(&question(&json!({ "station": "b7" }))).await;
    assert_eq!(said(&hers)[1..], ["maintenance false", "0", "unknown true"]);
    bed.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_once_and_the_connection_closed() {
    let bed = Bed::start().await;
    let wrong = question(&json!({ "metadata": { "heps:gpu_num": "many" } }));
    for (line, code) in
        [(&b"{}\n"[..], "invalid"), (&b"\xff\xfe\n"[..], "invalid"), (&wrong, "invalid")]
    {
        let mut link = Link::open(&bed.path()).await;
        let answer = link.ask(line).await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
        assert!(link.is_closed().await);
    }
    let named = bed.ask(&wrong).await;
    assert!(named["error"]["message"].as_str().unwrap().starts_with("heps:gpu_num"), "{named}");
    let endless = vec![b' '; 1280 << 10];
    assert_eq!(bed.ask(&endless).await["error"]["code"], "too_long");
    // Who goes in the middle of a line harms nobody.
    drop(Link::open(&bed.path()).await.0.get_mut().write_all(b"{\"v\":").await);
    assert_eq!(said(&bed.ask(&question(&json!({}))).await)[0], "0");
    bed.stop().await;
}

#[tokio::test]
async fn more_connections_than_places_wait_for_their_turn() {
    let bed = Bed::start().await;
    let mut idle = Vec::new();
    for _ in 0..32 {
        let mut link = Link::open(&bed.path()).await;
        link.ask(&question(&json!({}))).await;
        idle.push(link);
    }
    let mut late = Link::open(&bed.path()).await;
    late.0.get_mut().write_all(&question(&json!({}))).await.unwrap();
    let mut answer = String::new();
    let none = timeout(std::time::Duration::from_millis(50), late.0.read_line(&mut answer)).await;
    assert!(none.is_err(), "answered beyond the bound");
    drop(idle.pop());
    timeout(DEADLINE, late.0.read_line(&mut answer)).await.unwrap().unwrap();
    assert!(answer.contains("\"rank\":0"), "{answer}");
    drop(idle);
    drop(late);
    bed.stop().await;
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_and_for_one_portal() {
    let bed = Bed::start().await;
    let mode = std::fs::metadata(bed.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let second = Asks::bind(&bed.path()).await.unwrap_err();
    assert!(second.to_string().contains("sched.sock"), "{second}");
    assert_eq!(said(&bed.ask(&question(&json!({}))).await)[0], "0", "the first still answers");

    let left = bed.folder.path().join("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    drop(Asks::bind(&left).await.expect("nobody answers there any more"));
    let file = bed.folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    Asks::bind(&file).await.unwrap_err();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    bed.stop().await;
}

#[tokio::test]
async fn novas_filter_and_weigher_follow_the_portal() {
    let bed = Bed::start().await;
    let mut user = bed.system.administrator().await;
    let wish = json!({ "name": "x", "image": "sim-desktop", "size": "gpu" });
    let id =
        user.post("/api/v1/desktops", wish).await.expect(201)["id"].as_str().unwrap().to_owned();
    user.until(&id, "ready").await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integrations/nova");
    let mut python = Command::new("python3");
    python
        .args(["-m", "unittest", "tests.against_portal"])
        .env("BEAMDESK_ASK_SOCKET", bed.path())
        .env("BEAMDESK_ASK_DESKTOP", &id)
        .current_dir(folder);
    let output = tokio::task::spawn_blocking(move || python.output()).await.unwrap();
    let output = output.expect("python3 is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("Ran 4 tests"), "{said}");
    bed.stop().await;
}
