//! A cloud that several portals share: it lives in the test, portals ask over a socket.
//!
//! As with Nova, each request to make a server makes one, whoever asks and however often: that no
//! desktop gets two is the portals' business.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use beamdesk_cloud::{CloudError, Compute, Power, PowerState, Server, ServerId, ServerSpec};
use beamdesk_portal::{AgentProbe, ProbeError};
use beamdesk_types::{AgentStatus, DesktopId, Image, Node, NodeName, Protection, SessionState};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::{Instant, sleep},
};

/// Between a driver's look whether there is a server and its request to make one, and until the
/// cloud shows it: where a portal is mostly killed.
const STEP: Duration = Duration::from_millis(80);

/// The cloud's side.
#[derive(Debug, Clone, Default)]
pub(super) struct World(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    servers: BTreeMap<u64, Made>,
    last: u64,
    calls: Vec<Call>,
}

#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) desktop: String,
    pub(super) generation: u64,
    node: String,
    is_on: bool,
}

/// Something that was asked of the cloud.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) portal: String,
    pub(super) what: String,
    pub(super) desktop: String,
    pub(super) at: Instant,
}

impl Call {
    pub(super) fn is_write(&self) -> bool {
        matches!(self.what.as_str(), "make" | "on" | "off" | "delete")
    }
}

impl World {
    /// Answers at this socket as long as the set lives.
    pub(super) fn serve(&self, path: &Path, tasks: &mut JoinSet<()>) {
        let listener = UnixListener::bind(path).unwrap();
        let world = self.clone();
        tasks.spawn(async move {
            let mut answers = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let world = world.clone();
                answers.spawn(async move { world.answer(stream).await });
                while answers.try_join_next().is_some() {}
            }
        });
    }

    pub(super) fn servers(&self) -> Vec<Made> {
        self.0.lock().unwrap().servers.values().cloned().collect()
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.0.lock().unwrap().calls.clone()
    }

    /// One question, one answer; the asker may be gone by then.
    async fn answer(&self, stream: UnixStream) {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        if stream.read_line(&mut line).await.is_err() || line.is_empty() {
            return;
        }
        let asked: Value = serde_json::from_str(&line).unwrap();
        let answer = self.act(&asked).await;
        let _ = stream.write_all(format!("{answer}\n").as_bytes()).await;
    }

    async fn act(&self, asked: &Value) -> Value {
        let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
        let (what, desktop) = (text("what"), text("desktop"));
        let call = Call {
            portal: text("portal"),
            what: what.clone(),
            desktop: desktop.clone(),
            at: Instant::now(),
        };
        self.0.lock().unwrap().calls.push(call);
        if what == "make" {
            sleep(STEP).await;
        }
        let mut state = self.0.lock().unwrap();
        let id = asked["id"].as_u64().unwrap_or_default();
        match what.as_str() {
            "make" => {
                state.last += 1;
                let made = Made {
                    desktop,
                    generation: asked["generation"].as_u64().unwrap(),
                    node: text("node"),
                    is_on: true,
                };
                let id = state.last;
                state.servers.insert(id, made);
                json!(id)
            }
            "list" => state.servers.iter().map(|(id, made)| row(*id, made)).collect(),
            "find" => {
                let found = state.servers.iter().find(|(_, made)| made.desktop == desktop);
                found.map_or(Value::Null, |(id, made)| row(*id, made))
            }
            "on" | "off" => {
                if let Some(made) = state.servers.get_mut(&id) {
                    made.is_on = what == "on";
                    if let Some(generation) = asked["generation"].as_u64() {
                        made.generation = generation;
                    }
                }
                Value::Null
            }
            "delete" => {
                state.servers.remove(&id);
                Value::Null
            }
            other => panic!("nobody asks {other}"),
        }
    }
}

fn row(id: u64, made: &Made) -> Value {
    json!({ "id": id, "desktop": made.desktop, "generation": made.generation, "node": made.node,
            "on": made.is_on })
}

/// A portal's side: the driver, and what tells how agents are.
#[derive(Debug, Clone)]
pub(super) struct Driver {
    socket: PathBuf,
    portal: String,
}

impl Driver {
    pub(super) fn new(socket: PathBuf, portal: String) -> Self {
        Self { socket, portal }
    }

    async fn ask(&self, what: &str, mut question: Value) -> Result<Value, CloudError> {
        question["what"] = json!(what);
        question["portal"] = json!(self.portal);
        let answered = async {
            let mut stream = BufReader::new(UnixStream::connect(&self.socket).await?);
            stream.write_all(format!("{question}\n").as_bytes()).await?;
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            Ok::<_, std::io::Error>(line)
        };
        let line = answered.await.map_err(CloudError::unavailable)?;
        serde_json::from_str(&line).map_err(CloudError::unavailable)
    }
}

fn server(row: &Value) -> Server {
    let text = |key: &str| row[key].as_str().unwrap();
    Server {
        id: ServerId(row["id"].to_string()),
        desktop: text("desktop").parse().unwrap(),
        generation: u32::try_from(row["generation"].as_u64().unwrap()).unwrap(),
        state: if row["on"] == true { PowerState::Active } else { PowerState::Off },
        note: None,
        address: Some("agent:1".to_owned()),
        node: text("node").parse().unwrap(),
        cards: Vec::new(),
    }
}

fn number(id: &ServerId) -> u64 {
    id.0.parse().unwrap()
}

#[async_trait]
impl Compute for Driver {
    async fn nodes(&self) -> Result<Vec<Node>, CloudError> {
        let nodes = ["n1", "n2", "n3"].map(|name| Node {
            name: name.parse::<NodeName>().unwrap(),
            vcpus: 64,
            vcpus_used: 0,
            memory_mib: 1 << 20,
            memory_mib_used: 0,
            disk_gib: 10_000,
            disk_gib_used: 0,
            cards: Vec::new(),
            enabled: true,
        });
        Ok(nodes.into())
    }

    async fn images(&self) -> Result<Vec<Image>, CloudError> {
        Ok(vec![Image {
            id: "sim-desktop".parse().unwrap(),
            name: "Desktop".to_owned(),
            description: String::new(),
            gpu: beamdesk_types::GpuRequest::default(),
            enabled: true,
        }])
    }

    async fn create(&self, spec: &ServerSpec) -> Result<ServerId, CloudError> {
        if let Some(there) = self.find(spec.desktop).await? {
            return Ok(there.id);
        }
        sleep(STEP).await;
        let made = json!({
            "desktop": spec.desktop, "generation": spec.agent.generation(), "node": spec.node,
        });
        Ok(ServerId(self.ask("make", made).await?.to_string()))
    }

    async fn find(&self, desktop: DesktopId) -> Result<Option<Server>, CloudError> {
        let row = self.ask("find", json!({ "desktop": desktop })).await?;
        Ok((!row.is_null()).then(|| server(&row)))
    }

    async fn list(&self) -> Result<Vec<Server>, CloudError> {
        let rows = self.ask("list", json!({})).await?;
        Ok(rows.as_array().unwrap().iter().map(server).collect())
    }

    async fn power(&self, id: &ServerId, power: Power<'_>) -> Result<(), CloudError> {
        sleep(STEP).await;
        let (what, question) = match power {
            Power::On(spec) => {
                ("on", json!({ "id": number(id), "generation": spec.agent.generation() }))
            }
            Power::Off => ("off", json!({ "id": number(id) })),
        };
        self.ask(what, question).await.map(drop)
    }

    async fn delete(&self, id: &ServerId) -> Result<(), CloudError> {
        sleep(STEP).await;
        self.ask("delete", json!({ "id": number(id) })).await.map(drop)
    }

    fn protections(&self) -> Vec<Protection> {
        Vec::new()
    }

    async fn shutdown(&self) {}
}

#[async_trait]
impl AgentProbe for Driver {
    async fn status(&self, _: DesktopId, _: u32, _: &str) -> Result<AgentStatus, ProbeError> {
        Ok(AgentStatus { session: SessionState::Up, width: 1280, height: 720, viewers: 0 })
    }
}
