//! The fault proxy's own tests: each fault is what its name says, for the client and for the
//! service behind.

#[path = "../../examples/fault_proxy/addresses.rs"]
mod addresses;
#[path = "../../examples/fault_proxy/chance.rs"]
mod chance;
#[path = "../../examples/fault_proxy/record.rs"]
pub(crate) mod record;
#[path = "../../examples/fault_proxy/relay.rs"]
mod relay;
#[path = "../../examples/fault_proxy/server.rs"]
mod server;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;

use self::{
    addresses::Addresses,
    chance::{Fault, fault},
    record::{Exchange, HERE, Record},
    relay::{Body, Relay, json_body, lock, says},
    server::{carry, serve, steer},
};

const SEED: u64 = 42;
/// Each fault some ten times.
const REQUESTS: u64 = 120;

/// A service that counts, and tells its own address in each answer.
async fn service(listener: TcpListener, count: Arc<AtomicU64>) {
    let address = listener.local_addr().unwrap();
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let count = Arc::clone(&count);
        connections.spawn(async move {
            let one = service_fn(move |request: Request<Incoming>| {
                count.fetch_add(1, Ordering::Relaxed);
                let body =
                    json!({"path": request.uri().path(), "self": format!("http://{address}/x")});
                let mut answer = says(202, "");
                *answer.body_mut() = json_body(&body);
                async move { Ok::<Response<Body>, Infallible>(answer) }
            });
            let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), one).await;
        });
    }
}

#[tokio::test]
async fn each_fault_is_what_its_name_says() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let behind = upstream.local_addr().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap().to_string();
    let mut addresses = Addresses::default();
    addresses.learn(&Url::parse(&format!("http://{behind}/")).unwrap()).unwrap();
    let record = tempfile::NamedTempFile::new().unwrap();
    let relay = Relay::new(address.clone(), addresses, SEED, 1000, true, None).unwrap();
    let relay = Arc::new(relay.recording(record.reopen().unwrap()));
    let mut tasks = JoinSet::new();
    tasks.spawn(service(upstream, Arc::clone(&count)));
    tasks.spawn(serve(proxy, Arc::clone(&relay), carry));
    let control = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let steering = format!("http://{}", control.local_addr().unwrap());
    tasks.spawn(serve(control, Arc::clone(&relay), steer));
    let client = reqwest::Client::builder()
        .no_proxy()
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();

    for number in 0..REQUESTS {
        let fault = fault(SEED, number, 1000).unwrap();
        if matches!(fault, Fault::Delay(_)) {
            relay.number.fetch_add(1, Ordering::Relaxed); // a test does not wait
            continue;
        }
        let before = count.load(Ordering::Relaxed);
        let url = format!("http://{address}/{behind}/servers");
        let answer = client.post(url).body("{}").send().await;
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        let body = match answer {
            Ok(answer) => answer.text().await.ok(),
            Err(_) => None,
        };
        let done = count.load(Ordering::Relaxed) - before;
        let name = fault.name();
        assert_eq!(done, u64::from(name.ends_with("_after")), "{name}");
        let expected = match fault {
            Fault::Delay(_) | Fault::HalfAfter => 202,
            Fault::ResetBefore | Fault::ResetAfter | Fault::CutAfter => 0,
            Fault::GarbageAfter => 200,
            Fault::Status500Before | Fault::Status500After => 500,
            Fault::Status503Before | Fault::Status503After => 503,
            Fault::Status409Before => 409,
            Fault::Status429Before => 429,
        };
        assert_eq!(status, expected, "{name}");
        assert_eq!(body.is_none(), status == 0 || fault == Fault::HalfAfter, "{name}");
    }
    assert_eq!(lock(&relay.counts).len(), 11);

    // Without faults, everything passes, and addresses lead through the proxy.
    let told = client.post(format!("{steering}/off")).send().await.unwrap();
    let told: serde_json::Value = told.json().await.unwrap();
    assert_eq!((&told["on"], &told["requests"]), (&json!(false), &json!(REQUESTS)));
    let answer = client.post(format!("http://{address}/{behind}/servers")).send().await.unwrap();
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body, json!({"path": "/servers", "self": format!("http://{address}/{behind}/x")}));
    let kept = std::fs::read_to_string(record.path()).unwrap();
    let kept: serde_json::Value = serde_json::from_str(kept.lines().last().unwrap()).unwrap();
    assert_eq!(kept["answer"]["self"], format!("http://{HERE}/{behind}/x"));
    assert_eq!((&kept["method"], &kept["status"]), (&json!("POST"), &json!(202)));
    let unknown = client.get(format!("http://{address}/127.0.0.1:1/")).send().await.unwrap();
    assert_eq!(unknown.status(), 502);

    // How much it misbehaves can be changed, and nothing else.
    for (path, status) in [("/rate/0.25", 200), ("/rate/2", 404), ("/rate/x", 404), ("/", 404)] {
        let told = client.post(format!("{steering}{path}")).send().await.unwrap();
        assert_eq!(told.status(), status, "{path}");
    }
    assert_eq!(relay.rate_milli.load(Ordering::Relaxed), 250);
}

#[test]
fn a_recording_has_no_secrets_and_each_answer_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let record = Record::new(file.reopen().unwrap());
    let keep = |method: &hyper::Method, path: &str, asked: &str, answer: &str| {
        let (asked, answer) = (asked.as_bytes(), answer.as_bytes());
        let exchange = Exchange { method, path, asked, status: 200, answer };
        record.keep(record.writes(), &exchange, "proxy:1");
    };
    keep(&hyper::Method::POST, "/k/v3/auth/tokens", r#"{"secret": "s3cr3t"}"#, "{}");
    for _ in 0..3 {
        keep(&hyper::Method::GET, "/n/servers", "", r#"["http://proxy:1/n/x"]"#);
    }
    let made = r#"{"server": {"id": "made", "adminPass": "s3cr3t"}}"#;
    keep(&hyper::Method::POST, "/n/servers", r#"{"name": "it"}"#, made);
    keep(&hyper::Method::GET, "/n/servers", "", r#"["http://proxy:1/n/x"]"#);
    let kept = std::fs::read_to_string(file.path()).unwrap();
    assert!(!kept.contains("s3cr3t") && !kept.contains("proxy:1"), "{kept}");
    let writes: Vec<u64> = kept
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["writes"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(writes, [0, 0, 0, 1]);
}
