//! Three portals as processes of their own on one PostgreSQL: killed, stopped and asked at once.

mod cloud;
mod process;
#[path = "../../../beamdesk-store/tests/it/postgres/server.rs"]
mod server;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use beamdesk_auth::{Auth, AuthConfig, HandleKey};
use beamdesk_store::Store;
use beamdesk_types::{Clock, Desktop, Goal, Phase, Timestamp};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use self::{
    cloud::{Call, World},
    process::{DESKTOPS_MAX, ORIGIN, Portal, Told},
    server::Server,
};
use crate::{browser::Browser, system::PASSWORD};

/// How long things are killed under load.
const LOAD: Duration = Duration::from_secs(30);
/// Between two kills: shorter than it takes to begin a new leadership after some of them.
const KILL_EVERY: Duration = Duration::from_secs(4);
/// For everything to come to rest after the last kill.
const REST: Duration = Duration::from_secs(60);
/// A stop of a leader, much longer than its lease.
const STOPPED: Duration = Duration::from_secs(15);
/// Answers of a portal that is not just being killed come within this.
const ANSWER: Duration = Duration::from_secs(3);

struct Site {
    portals: Vec<Portal>,
    world: World,
    store: Store,
    admin: BTreeMap<String, String>,
    _tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
    _server: Server,
}

#[derive(Debug)]
struct Now;

impl Clock for Now {
    #[expect(clippy::disallowed_methods, reason = "as the portals have it")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl Site {
    /// `None`: PostgreSQL is not installed.
    #[expect(clippy::print_stderr, reason = "says what is not tested")]
    async fn start() -> Option<Self> {
        let Some(server) = Server::start().await else {
            assert!(
                std::env::var_os("BEAMDESK_REQUIRE_POSTGRESQL").is_none(),
                "PostgreSQL is required, but /usr/lib/postgresql/*/bin has none"
            );
            eprintln!("NOT TESTED: three portals need PostgreSQL; install the package postgresql");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let store = server.store("beamdesk").await;
        let (world, mut tasks) = (World::default(), JoinSet::new());
        world.serve(&folder.path().join("cloud"), &mut tasks);
        let mut portals = Vec::new();
        for name in ["one", "two", "three"] {
            let told = Told {
                name: name.to_owned(),
                database: server.url("beamdesk"),
                folder: folder.path().to_owned(),
            };
            portals.push(Portal::start(told).await);
        }
        let key = HandleKey::open_or_create(&folder.path().join("keys/handle.key")).unwrap();
        let clock = std::sync::Arc::new(Now);
        let token = Auth::new(store.clone(), clock, AuthConfig::new(key)).setup_link_token().await;
        let token = token.unwrap().unwrap();
        let mut browser = Browser::new(portals[0].address());
        let body = json!({ "token": token.expose(), "name": "root", "password": PASSWORD });
        let request = browser.request(Method::POST, "/api/v1/setup");
        let request = request.header("x-beamdesk", "1").header("origin", ORIGIN).json(&body);
        browser.answer("setup", request).await.expect(200);
        let admin = browser.cookies;
        let _tasks = tasks;
        Some(Self { portals, world, store, admin, _tasks, _folder: folder, _server: server })
    }

    /// An account, logged in at the first portal.
    async fn account(&self, name: &str) -> BTreeMap<String, String> {
        let mut browser = Browser::new(self.portals[0].address());
        browser.cookies = self.admin.clone();
        let body = json!({ "name": name, "password": PASSWORD, "role": "user" });
        let request = browser.request(Method::POST, "/api/v1/users");
        let request = request.header("x-beamdesk", "1").header("origin", ORIGIN).json(&body);
        browser.answer("user", request).await.expect(201);
        browser.cookies = BTreeMap::new();
        let request = browser.request(Method::POST, "/api/v1/session");
        let body = json!({ "name": name, "password": PASSWORD });
        let request = request.header("x-beamdesk", "1").header("origin", ORIGIN).json(&body);
        browser.answer("login", request).await.expect(200);
        browser.cookies
    }

    async fn leader(&self) -> Option<usize> {
        for (n, portal) in self.portals.iter().enumerate() {
            if portal.leads().await {
                return Some(n);
            }
        }
        None
    }

    async fn until_led(&self, but: Option<usize>) -> usize {
        let found = async {
            loop {
                match self.leader().await {
                    Some(leader) if Some(leader) != but => return leader,
                    Some(_) | None => sleep(Duration::from_millis(50)).await,
                }
            }
        };
        timeout(REST, found).await.expect("somebody leads")
    }

    async fn rows(&self) -> Vec<Desktop> {
        self.store.open_desktops().await.unwrap()
    }

    /// Until each desktop is where it was last wanted, and each server belongs to one.
    async fn until_at_rest(&self) {
        let deadline = Instant::now() + REST;
        loop {
            let unrest = unrest(&self.rows().await, &self.world);
            let Some(unrest) = unrest else { return };
            assert!(Instant::now() < deadline, "no rest: {unrest}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

fn unrest(rows: &[Desktop], world: &World) -> Option<String> {
    let mut servers: HashMap<String, usize> = HashMap::new();
    for server in world.servers() {
        *servers.entry(server.desktop).or_default() += 1;
    }
    for row in rows {
        let is_there = match (row.goal, row.phase) {
            (Goal::Running, Phase::Ready) => true,
            (Goal::Stopped, Phase::Stopped) => false,
            (goal, phase) => return Some(format!("{} is {phase:?}, wanted {goal:?}", row.id)),
        };
        let count = servers.remove(&row.id.to_string()).unwrap_or_default();
        if count > 1 || (is_there && count == 0) {
            return Some(format!("{} has {count} servers", row.id));
        }
    }
    (!servers.is_empty()).then(|| format!("servers without a desktop: {servers:?}"))
}

/// How often each desktop was given a server in one generation: more than once is a machine too many.
fn made_twice(calls: &[Call]) -> Vec<String> {
    let mut made: HashMap<&str, usize> = HashMap::new();
    for call in calls.iter().filter(|call| call.what == "make") {
        *made.entry(&call.desktop).or_default() += 1;
    }
    made.into_iter().filter(|(_, n)| *n > 1).map(|(id, n)| format!("{id}: {n} times")).collect()
}

/// One person at any portal: what was acknowledged must not be lost.
struct Person {
    client: Client,
    cookies: String,
    /// By desktop: the last name that was acknowledged, and the one that perhaps was not.
    names: HashMap<String, (String, Option<String>)>,
    goals: HashMap<String, (&'static str, Option<&'static str>)>,
    acknowledged: usize,
    unanswered: usize,
}

impl Person {
    fn new(cookies: &BTreeMap<String, String>) -> Self {
        let cookies: Vec<String> = cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
        Self {
            client: Client::builder().timeout(ANSWER).no_proxy().build().unwrap(),
            cookies: cookies.join("; "),
            names: HashMap::new(),
            goals: HashMap::new(),
            acknowledged: 0,
            unanswered: 0,
        }
    }

    /// `None`: no answer, so nobody knows whether it was done.
    async fn ask(
        &mut self,
        method: Method,
        address: std::net::SocketAddr,
        path: &str,
        body: Option<Value>,
    ) -> Option<(u16, Value)> {
        let request = self.client.request(method, format!("http://{address}/api/v1{path}"));
        let request = request.header("cookie", &self.cookies).header("x-beamdesk", "1");
        let request = request.header("origin", ORIGIN);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answered = async {
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, answer.json().await.unwrap_or_default()))
        };
        match answered.await {
            Ok((status, _)) if status >= 500 => {
                self.unanswered += 1;
                None
            }
            Ok(answer) => {
                self.acknowledged += usize::from(answer.0 < 300);
                Some(answer)
            }
            Err(_) => {
                self.unanswered += 1;
                None
            }
        }
    }

    /// The `n`th act, at that portal.
    async fn act(&mut self, n: usize, address: std::net::SocketAddr) {
        let known: Vec<String> = self.names.keys().cloned().collect();
        let pick = known.get(n / 3 % known.len().max(1)).cloned();
        match (n % 5, pick) {
            (0, Some(_)) if known.len() >= usize::try_from(DESKTOPS_MAX).unwrap() - 2 => {
                let gone = known[n % known.len()].clone();
                let path = format!("/desktops/{gone}");
                match self.ask(Method::DELETE, address, &path, None).await {
                    Some((200 | 202 | 204 | 404, _)) => {
                        self.names.remove(&gone);
                        self.goals.remove(&gone);
                    }
                    Some(_) => {}
                    None => self.goals.get_mut(&gone).unwrap().1 = Some("deleted"),
                }
            }
            (0, _) | (_, None) => {
                let body = json!({ "name": "new", "image": "sim-desktop", "size": "small" });
                let made = self.ask(Method::POST, address, "/desktops", Some(body)).await;
                if let Some((201, made)) = made {
                    let id = made["id"].as_str().unwrap().to_owned();
                    self.names.insert(id.clone(), ("new".to_owned(), None));
                    self.goals.insert(id, ("running", None));
                }
            }
            (1 | 2, Some(id)) => {
                let name = format!("name {n}");
                let path = format!("/desktops/{id}");
                let body = Some(json!({ "name": name }));
                let done = self.ask(Method::PATCH, address, &path, body).await;
                let entry = self.names.get_mut(&id).unwrap();
                match done {
                    Some((200, _)) => *entry = (name, None),
                    Some(_) => {}
                    None => entry.1 = Some(name),
                }
            }
            (way, Some(id)) => {
                let (act, goal) = if way == 3 { ("stop", "stopped") } else { ("start", "running") };
                let path = format!("/desktops/{id}/{act}");
                let done = self.ask(Method::POST, address, &path, None).await;
                let entry = self.goals.get_mut(&id).unwrap();
                match done {
                    Some((200 | 202, _)) => *entry = (goal, None),
                    Some(_) => {}
                    None => entry.1 = Some(goal),
                }
            }
        }
    }

    /// Everything acknowledged is in the rows.
    fn check(&self, rows: &[Desktop]) {
        let rows: HashMap<String, &Desktop> =
            rows.iter().map(|row| (row.id.to_string(), row)).collect();
        for (id, (name, maybe)) in &self.names {
            let row = rows.get(id);
            let is_maybe_gone = row.is_none() && self.goals[id].1.is_some();
            let Some(row) = row else {
                assert!(is_maybe_gone, "desktop {id} is lost");
                continue;
            };
            let is_kept = row.name == *name || maybe.as_ref() == Some(&row.name);
            assert!(is_kept, "{id} is called {:?}, not {name:?} or {maybe:?}", row.name);
            let (goal, maybe) = self.goals[id];
            let found = row.goal.as_str();
            let is_kept = found == goal || maybe == Some(found);
            assert!(is_kept, "{id} is wanted {found}, not {goal} or {maybe:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_made_twice_when_portals_are_killed_under_load() {
    let Some(mut site) = Site::start().await else { return };
    let mut people = Vec::new();
    for name in ["ada", "bob", "cleo"] {
        people.push(Person::new(&site.account(name).await));
    }
    site.until_led(None).await;
    let end = Instant::now() + LOAD;
    let (mut kill_at, mut back, mut n, mut kills) = (Instant::now() + KILL_EVERY, None, 0, 0);
    while Instant::now() < end {
        n += 1;
        let address = site.portals[n % 3].address();
        for person in &mut people {
            person.act(n, address).await;
        }
        if Instant::now() >= kill_at {
            // The leader every other time.
            let leader = site.leader().await.filter(|_| kills % 2 == 0);
            let victim = leader.unwrap_or(kills % 3);
            site.portals[victim].kill();
            kills += 1;
            kill_at = Instant::now() + KILL_EVERY;
            back = Some((victim, Instant::now() + KILL_EVERY / 4));
        }
        if let Some((victim, at)) = back
            && Instant::now() >= at
        {
            site.portals[victim].restart().await;
            back = None;
        }
    }
    if let Some((victim, _)) = back {
        site.portals[victim].restart().await;
    }
    site.until_at_rest().await;
    let rows = site.rows().await;
    for person in &people {
        person.check(&rows);
    }
    let calls = site.world.calls();
    assert_eq!(made_twice(&calls), Vec::<String>::new());
    let acknowledged: usize = people.iter().map(|person| person.acknowledged).sum();
    let unanswered: usize = people.iter().map(|person| person.unanswered).sum();
    let writes = calls.iter().filter(|call| call.is_write()).count();
    let epoch = site.store.leader().await.unwrap().epoch;
    eprintln!(
        "{kills} kills, {epoch} leaderships, {acknowledged} acknowledged and {unanswered} \
         unanswered requests, {writes} writes to the cloud"
    );
    assert!(kills >= 5 && epoch >= 3 && acknowledged > 50 && writes > 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fs_24_a_leader_that_slept_does_nothing_more() {
    let Some(site) = Site::start().await else { return };
    let mut ada = Person::new(&site.account("ada").await);
    let first = site.until_led(None).await;
    let others: Vec<usize> = (0..3).filter(|n| *n != first).collect();
    // It is stopped in the middle of making some, and has more to do.
    for n in 0..4 {
        let address = site.portals[others[n % 2]].address();
        let body = json!({ "name": "x", "image": "sim-desktop", "size": "small" });
        ada.ask(Method::POST, address, "/desktops", Some(body)).await.unwrap();
    }
    let busy = async {
        while !site.world.calls().iter().any(|call| call.what == "find") {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(ANSWER, busy).await.expect("the leader hears of it");
    site.portals[first].signal("STOP");
    let asleep = Instant::now();
    let second = site.until_led(Some(first)).await;
    let taken = asleep.elapsed();
    for n in 0..4 {
        let address = site.portals[others[n % 2]].address();
        let body = json!({ "name": "y", "image": "sim-desktop", "size": "small" });
        ada.ask(Method::POST, address, "/desktops", Some(body)).await.unwrap();
    }
    site.until_at_rest().await;
    sleep(STOPPED.saturating_sub(asleep.elapsed())).await;

    let epoch = site.store.leader().await.unwrap().epoch;
    let rows = site.rows().await;
    let woken = Instant::now();
    site.portals[first].signal("CONT");
    // Longer than it takes for all its timers, and for another leadership.
    sleep(Duration::from_secs(5)).await;
    let name = site.portals[first].name();
    let late: Vec<Call> = site.world.calls();
    let late: Vec<&Call> = late
        .iter()
        .filter(|call| call.portal == name && call.at >= woken && call.is_write())
        .collect();
    assert!(late.is_empty(), "it wrote after it slept: {late:?}");
    assert_eq!(site.store.leader().await.unwrap().epoch, epoch);
    assert_eq!(site.rows().await, rows);
    assert!(site.portals[second].leads().await && !site.portals[first].leads().await);
    assert_eq!(made_twice(&site.world.calls()), Vec::<String>::new());
    eprintln!("another portal led {} ms after the first was stopped", taken.as_millis());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_to_one_portal_wakes_the_leader_and_the_pages_of_all() {
    let Some(mut site) = Site::start().await else { return };
    let cookies = site.account("ada").await;
    let mut ada = Person::new(&cookies);
    let leader = site.until_led(None).await;
    let others: Vec<usize> = (0..3).filter(|n| *n != leader).collect();
    let mut page = Browser::new(site.portals[others[1]].address());
    page.cookies = cookies;
    let mut events = page.events("").await;
    assert_eq!(events.next().await.unwrap()["desktops"], json!([]));

    let (mut woken, mut shown) = (Duration::ZERO, Duration::ZERO);
    for n in 1..=5_usize {
        let body = json!({ "name": "x", "image": "sim-desktop", "size": "small" });
        let asked = Instant::now();
        let address = site.portals[others[0]].address();
        let made = ada.ask(Method::POST, address, "/desktops", Some(body)).await.unwrap().1;
        let id = made["id"].as_str().unwrap().to_owned();
        let list = timeout(ANSWER, events.next()).await.expect("pages hear of it").unwrap();
        assert_eq!(list["desktops"].as_array().unwrap().len(), n);
        shown = shown.max(asked.elapsed());
        let heard = async {
            loop {
                let calls = site.world.calls();
                if let Some(call) = calls.iter().find(|call| call.desktop == id) {
                    return call.clone();
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        let call = timeout(ANSWER, heard).await.expect("the leader hears of it");
        assert_eq!(call.portal, site.portals[leader].name(), "and nobody else acts");
        woken = woken.max(call.at.duration_since(asked));
        page.until_it(&id, |desktop| desktop["phase"] == "ready", "ready").await;
        while timeout(Duration::from_millis(500), events.next()).await.is_ok() {}
    }
    eprintln!(
        "of five requests at most: the leader asked the cloud after {} ms, a page at a third \
         portal showed it after {} ms",
        woken.as_millis(),
        shown.as_millis()
    );
    // Without notices it is seconds: the next look at all rows.
    assert!(woken < Duration::from_millis(1000) && shown < Duration::from_millis(1000));

    // An orderly end gives the leadership away at once.
    site.portals[leader].signal("TERM");
    let left = Instant::now();
    let next = site.until_led(Some(leader)).await;
    let taken = left.elapsed();
    site.portals[leader].ended().await;
    assert_ne!(next, leader);
    assert!(taken < Duration::from_secs(3), "it took {} ms", taken.as_millis());
    eprintln!("another portal led {} ms after the leader was asked to end", taken.as_millis());
}
