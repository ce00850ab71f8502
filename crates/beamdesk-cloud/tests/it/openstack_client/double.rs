//! A double of all services at one address, which answers or misbehaves as a test says.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use beamdesk_cloud::openstack::{Access, ApiError, Client, Settings};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What it does with one request.
pub(crate) enum Reply {
    Json(u16, Value),
    /// With a header of its own.
    With(u16, &'static str, String, Value),
    /// Exactly these bytes, and the end.
    Raw(Vec<u8>),
    /// The first half of what `Json` would say.
    Half(u16, Value),
    /// The connection ends without a word.
    Close,
    /// The connection ends by RST.
    Reset,
    /// Nothing, for ever.
    Never,
}

/// One request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn is_login(&self) -> bool {
        self.method == "POST" && self.path == "/v3/auth/tokens"
    }
}

/// What a test says, given a request and how many like it (method and path) there were before.
/// `None`: as a good service does.
pub(crate) type Script = dyn Fn(&Seen, usize) -> Option<Reply> + Send + Sync;

pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<Seen>>>,
    _serves: JoinSet<()>,
}

impl Double {
    pub(crate) async fn start(
        script: impl Fn(&Seen, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let mut serves = JoinSet::new();
        let shared = Arc::clone(&log);
        serves.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log) = (Arc::clone(&script), Arc::clone(&shared));
                connections.spawn(plain(stream, address, script, log));
            }
        });
        Self { address, log, _serves: serves }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.method == method && seen.path == path).count()
    }

    pub(crate) fn logins(&self) -> usize {
        self.seen().iter().filter(|seen| seen.is_login()).count()
    }

    pub(crate) fn access(&self) -> Access {
        let url = format!("http://{}/v3", self.address);
        let variable = move |name: &str| match name {
            "OS_AUTH_URL" => Some(url.clone()),
            "OS_USERNAME" | "OS_PASSWORD" | "OS_PROJECT_NAME" => Some("x".to_owned()),
            _ => None,
        };
        Access::from_env(&variable).unwrap()
    }

    pub(crate) async fn connect(&self) -> Result<Client, ApiError> {
        Client::connect(self.access(), quick()).await
    }

    pub(crate) async fn client(&self) -> Client {
        self.connect().await.unwrap()
    }
}

/// So that what never answers is given up soon.
pub(crate) fn quick() -> Settings {
    Settings {
        deadline: Duration::from_secs(20),
        try_timeout: Duration::from_secs(2),
        ..Settings::default()
    }
}

async fn plain(
    stream: TcpStream,
    address: SocketAddr,
    script: Arc<Script>,
    log: Arc<Mutex<Vec<Seen>>>,
) {
    let linger = socket2::SockRef::from(&stream).try_clone().unwrap();
    let mut stream = stream;
    if serve(&mut stream, &format!("http://{address}"), &script, &log).await == End::Reset {
        linger.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

#[derive(PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

/// One request and its reply.
pub(crate) async fn serve(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    origin: &str,
    script: &Arc<Script>,
    log: &Arc<Mutex<Vec<Seen>>>,
) -> End {
    let Some(seen) = read(stream).await else { return End::Closed };
    let like = {
        let mut log = log.lock().unwrap();
        let path = seen.path.clone();
        let like = log.iter().filter(|s: &&Seen| s.method == seen.method && s.path == path).count();
        log.push(seen.clone());
        like
    };
    let reply = script(&seen, like).unwrap_or_else(|| good(&seen, origin, 3600));
    let bytes = match reply {
        Reply::Close => return End::Closed,
        Reply::Reset => return End::Reset,
        Reply::Never => return std::future::pending().await,
        Reply::Raw(bytes) => bytes,
        Reply::Json(status, body) => answer(status, "", &body),
        Reply::With(status, name, value, body) => {
            answer(status, &format!("{name}: {value}\r\n"), &body)
        }
        Reply::Half(status, body) => {
            let mut bytes = answer(status, "", &body);
            bytes.truncate(bytes.len() - body.to_string().len() / 2 - 1);
            bytes
        }
    };
    // The client may have gone away.
    if stream.write_all(&bytes).await.is_ok() {
        let _gone = stream.shutdown().await;
    }
    End::Closed
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(more.get(..count)?),
        }
    };
    let head = String::from_utf8(bytes.get(..end)?.to_vec()).ok()?;
    let mut body = bytes.split_off(end + 4);
    let mut first = head.lines().next()?.split(' ');
    let mut seen = Seen {
        method: first.next()?.to_owned(),
        path: first.next()?.to_owned(),
        head,
        body: String::new(),
    };
    let length: usize = seen.header("content-length").map_or(0, |text| text.parse().unwrap());
    let have = body.len();
    body.resize(length, 0);
    if have < length {
        stream.read_exact(body.get_mut(have..)?).await.ok()?;
    }
    seen.body = String::from_utf8(body).ok()?;
    Some(seen)
}

fn answer(status: u16, header: &str, body: &Value) -> Vec<u8> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         x-openstack-request-id: req-of-the-service\r\n{header}Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What a good service says.
pub(crate) fn good(seen: &Seen, origin: &str, life_s: i64) -> Reply {
    match (seen.method.as_str(), seen.path.as_str()) {
        ("POST", "/v3/auth/tokens") => token(origin, "token", life_s),
        ("GET", "/compute/v2.1/") => Reply::Json(
            200,
            json!({"version": {"id": "v2.1", "version": "2.93", "min_version": "2.1"}}),
        ),
        ("GET", "/placement/") => Reply::Json(
            200,
            json!({"versions": [{"id": "v1.0", "max_version": "1.39", "min_version": "1.0"}]}),
        ),
        ("DELETE", _) => Reply::Json(204, Value::Null),
        ("POST", _) => Reply::Json(202, json!({"server": {"id": "made"}})),
        _ => Reply::Json(200, json!({"servers": [], "ports": []})),
    }
}

/// Of a Keystone whose clock is years behind.
pub(crate) fn token(origin: &str, token: &str, life_s: i64) -> Reply {
    let issued: beamdesk_types::Timestamp = "2019-01-01T00:00:00.000000Z".parse().unwrap();
    let expires = issued + Duration::from_secs(u64::try_from(life_s).unwrap());
    let endpoint = |kind: &str, path: &str| {
        json!({"type": kind, "endpoints": [{
            "interface": "public", "region_id": "One", "region": "One",
            "url": format!("{origin}{path}"),
        }]})
    };
    let body = json!({"token": {
        "issued_at": issued.to_string(), "expires_at": expires.to_string(),
        "user": {"id": "u1", "name": "portal"},
        "project": {"id": "p1", "name": "desktops"},
        "roles": [{"id": "r1", "name": "member"}],
        "catalog": [
            endpoint("compute", "/compute/v2.1"), endpoint("placement", "/placement"),
            endpoint("network", "/network"), endpoint("image", "/image"),
        ],
    }});
    Reply::With(201, "x-subject-token", token.to_owned(), body)
}
