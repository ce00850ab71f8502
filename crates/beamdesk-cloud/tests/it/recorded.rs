//! What the lab's real services answered once, played again: the suite runs anywhere, and against
//! what Nova, Neutron, Glance, Placement and Keystone really say.
//!
//! `BEAMDESK_LAB=… BEAMDESK_RECORD=1 cargo nextest run --package beamdesk-cloud suite::recorded`
//! records anew, into `tests/recorded`. A request that is in no recording fails its test.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
};

use beamdesk_types::DesktopId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    fault_proxy::record::HERE,
    openstack_bed::{Lab, PORTAL},
    openstack_client::double::{Double, Reply, Seen},
    openstack_proxy::Proxy,
};

const RECORD: &str = "BEAMDESK_RECORD";
/// No service says so to what we ask, and nobody asks again.
const NOT_RECORDED: u16 = 418;

/// A lab that is recorded or played, under names that are the same each time.
pub(crate) struct Recorded {
    pub(crate) lab: Lab,
    /// Which desktops of ours are which.
    pub(crate) base: u128,
    _folder: TempDir,
    _between: Between,
}

#[expect(dead_code, reason = "held as long as the test runs")]
enum Between {
    Proxy(Proxy),
    Double(Double),
}

/// What the tests read of a lab, beside its addresses.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    network: String,
    image: String,
    fake_hosts: u32,
    fake_prefix: String,
}

impl Recorded {
    pub(crate) async fn open(test: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clouds = folder.path().join("clouds.yaml");
        let file = recordings().join(format!("{test}.jsonl"));
        let facts = recordings().join("lab.json");
        let between = if std::env::var_os(RECORD).is_some() {
            let lab = Lab::open().unwrap_or_else(|| panic!("{RECORD} without a lab"));
            fs::create_dir_all(recordings()).unwrap();
            let told = Facts {
                network: lab.network,
                image: lab.image,
                fake_hosts: lab.fake_hosts,
                fake_prefix: lab.fake_prefix,
            };
            fs::write(&facts, serde_json::to_string_pretty(&told).unwrap() + "\n").unwrap();
            let arguments = ["--off".as_ref(), "--record".as_ref(), file.as_os_str()];
            Between::Proxy(Proxy::start(&lab.clouds_file, &clouds, &arguments))
        } else {
            let player = Player::read(&file);
            let login = player.login();
            let double = Double::start(move |seen, _| Some(player.answer(seen))).await;
            write_clouds(&clouds, &format!("http://{}{login}", double.address));
            Between::Double(double)
        };
        let facts: Facts = serde_json::from_slice(&fs::read(&facts).unwrap()).unwrap();
        let lab = Lab {
            clouds_file: clouds,
            network: facts.network,
            image: facts.image,
            fake_hosts: facts.fake_hosts,
            fake_prefix: facts.fake_prefix,
        };
        let base = test.bytes().fold(1, |sum: u128, byte| sum.wrapping_mul(31) + u128::from(byte));
        Self { lab, base: base << 32, _folder: folder, _between: between }
    }

    pub(crate) fn desktop(&self, number: u32) -> DesktopId {
        DesktopId::from_u128(self.base + u128::from(number))
    }
}

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

/// Nothing in it is secret, but others that are read are.
fn write_clouds(file: &Path, auth_url: &str) {
    let text = format!(
        "clouds:\n  {PORTAL}:\n    auth_type: v3applicationcredential\n    region_name: RegionOne\n    \
         auth:\n      auth_url: {auth_url}\n      application_credential_id: recorded\n      \
         application_credential_secret: recorded\n"
    );
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// Answered before this was asked.
    writes: u64,
    method: String,
    path: String,
    asked: Value,
    status: u16,
    answer: Value,
}

impl Exchange {
    fn is_login(&self) -> bool {
        self.method == "POST" && self.path.ends_with("/auth/tokens")
    }

    fn is_of(&self, seen: &Seen, asked: &Value) -> bool {
        self.method == seen.method
            && self.path == seen.path
            && (self.is_login() || self.asked == *asked)
    }
}

/// Answers as the services did.
struct Player {
    exchanges: Vec<Exchange>,
    played: Mutex<Played>,
}

struct Played {
    once: Vec<bool>,
    writes: u64,
}

impl Player {
    fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file)
            .unwrap_or_else(|error| panic!("{}: {error}; record it", file.display()));
        let exchanges: Vec<Exchange> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let played = Played { once: vec![false; exchanges.len()], writes: 0 };
        Self { exchanges, played: Mutex::new(played) }
    }

    /// The part of the address that stands for Keystone.
    fn login(&self) -> String {
        let login = self.exchanges.iter().find(|exchange| exchange.is_login()).unwrap();
        login.path.trim_end_matches("/auth/tokens").to_owned()
    }

    fn answer(&self, seen: &Seen) -> Reply {
        let asked: Value = if seen.body.is_empty() {
            Value::String(String::new())
        } else {
            serde_json::from_str(&seen.body).unwrap_or(Value::Null)
        };
        let like: Vec<usize> = (0..self.exchanges.len())
            .filter(|at| self.exchanges[*at].is_of(seen, &asked))
            .collect();
        let mut played = self.played.lock().unwrap();
        let Some(at) = self.choose(&like, &played, seen.method == "GET") else {
            let what = format!("{} {} {} is not recorded here", seen.method, seen.path, seen.body);
            return Reply::Json(NOT_RECORDED, serde_json::json!({"error": {"message": what}}));
        };
        let exchange = &self.exchanges[at];
        played.once[at] = true;
        if exchange.method != "GET" && !exchange.is_login() {
            played.writes += 1;
        }
        let host = seen.header("host").unwrap();
        let text = exchange.answer.to_string().replace(HERE, host);
        let answer = match serde_json::from_str(&text).unwrap() {
            Value::String(text) if text.is_empty() => Value::Null,
            other => other,
        };
        if exchange.is_login() {
            return Reply::With(exchange.status, "x-subject-token", "recorded".to_owned(), answer);
        }
        Reply::Json(exchange.status, answer)
    }

    /// What is written is answered in its order, once. What is read is answered as of now: the next
    /// answer that was given between the same writes, else the last one before, else the first
    /// after.
    fn choose(&self, like: &[usize], played: &Played, reads: bool) -> Option<usize> {
        let mut fresh = like.iter().copied().filter(|at| !played.once[*at]);
        if !reads {
            let login = like.last().copied().filter(|at| self.exchanges[*at].is_login());
            return fresh.next().or(login);
        }
        let writes = |at: &usize| self.exchanges[*at].writes;
        let next = fresh.find(|at| writes(at) == played.writes);
        let before = like.iter().copied().rfind(|at| writes(at) <= played.writes);
        next.or(before).or_else(|| like.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Exchange, NOT_RECORDED, Played, Player};
    use crate::openstack_client::double::{Reply, Seen};

    fn player(exchanges: &[(u64, &str, &str, Value)]) -> Player {
        let exchanges: Vec<Exchange> = exchanges
            .iter()
            .map(|(writes, method, path, answer)| Exchange {
                writes: *writes,
                method: (*method).to_owned(),
                path: (*path).to_owned(),
                asked: json!(""),
                status: 200,
                answer: answer.clone(),
            })
            .collect();
        let once = vec![false; exchanges.len()];
        Player { exchanges, played: Played { once, writes: 0 }.into() }
    }

    fn ask(player: &Player, method: &str, path: &str) -> Option<Value> {
        let head = "GET / HTTP/1.1\r\nHost: here:1".to_owned();
        let (method, path) = (method.to_owned(), path.to_owned());
        let seen = Seen { method, path, head, body: String::new() };
        match player.answer(&seen) {
            Reply::Json(NOT_RECORDED, _) => None,
            Reply::Json(_, answer) => Some(answer),
            _ => panic!("another kind of reply"),
        }
    }

    #[test]
    fn what_is_read_is_as_of_the_writes_before() {
        let player = player(&[
            (0, "GET", "/a", json!("none")),
            (0, "POST", "/a", json!("made")),
            (1, "GET", "/a", json!("building")),
            (1, "GET", "/a", json!("http://recorded.invalid/there")),
        ]);
        let told = |method, path| ask(&player, method, path);
        assert_eq!(told("GET", "/a"), Some(json!("none")));
        assert_eq!(told("GET", "/a"), Some(json!("none")));
        assert_eq!(told("POST", "/a"), Some(json!("made")));
        assert_eq!(told("GET", "/a"), Some(json!("building")));
        assert_eq!(told("GET", "/a"), Some(json!("http://here:1/there")));
        assert_eq!(told("GET", "/a"), Some(json!("http://here:1/there")));
    }

    #[test]
    fn nothing_is_made_up() {
        let player = player(&[(0, "POST", "/a", json!("made"))]);
        assert_eq!(ask(&player, "GET", "/a"), None);
        assert_eq!(ask(&player, "POST", "/a"), Some(json!("made")));
        assert_eq!(ask(&player, "POST", "/a"), None, "it was written once");
    }
}
