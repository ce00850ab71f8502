//! Carries one request to its service and back, or does what the fault says.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write as _},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, future::ready, stream};
use http_body_util::{BodyExt as _, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderMap, TRANSFER_ENCODING},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    addresses::Addresses,
    chance::{Fault, fault},
    record::{Exchange, Record},
};

/// An image is uploaded whole.
const BODY_BYTES_MAX: usize = 1 << 30;
/// Longer than any service takes.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// How the connection ends after a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum End {
    #[error("closed")]
    Close,
    #[error("reset")]
    Reset,
}

pub(crate) struct Relay {
    /// `host:port` of the proxy itself.
    pub(crate) proxy: String,
    pub(crate) addresses: Mutex<Addresses>,
    pub(crate) on: AtomicBool,
    pub(crate) rate_milli: AtomicU64,
    pub(crate) counts: Mutex<BTreeMap<&'static str, u64>>,
    seed: u64,
    /// Of the next request.
    pub(crate) number: AtomicU64,
    list: Option<Mutex<File>>,
    record: Option<Record>,
    began: Instant,
    client: reqwest::Client,
}

struct Fetched {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Relay {
    pub(crate) fn new(
        proxy: String,
        addresses: Addresses,
        seed: u64,
        rate_milli: u64,
        on: bool,
        list: Option<File>,
    ) -> Result<Self> {
        let client = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(UPSTREAM_TIMEOUT)
            .pool_max_idle_per_host(0) // the lab's servers close what is idle
            .build()?;
        Ok(Self {
            proxy,
            addresses: Mutex::new(addresses),
            on: AtomicBool::new(on),
            rate_milli: AtomicU64::new(rate_milli),
            counts: Mutex::new(BTreeMap::new()),
            seed,
            number: AtomicU64::new(0),
            list: list.map(Mutex::new),
            record: None,
            began: Instant::now(),
            client,
        })
    }

    /// Keeps what passes.
    pub(crate) fn recording(self, file: File) -> Self {
        Self { record: Some(Record::new(file)), ..self }
    }

    pub(crate) async fn carry(&self, request: Request<Incoming>) -> Result<Response<Body>, End> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let rate = self.rate_milli.load(Ordering::Relaxed);
        let on = self.on.load(Ordering::Relaxed);
        let fault = fault(self.seed, number, rate).filter(|_| on);
        let method = request.method().to_string();
        let path = request.uri().to_string();
        let began = Instant::now();
        let ended = self.meet(request, fault).await;
        if let Some(fault) = fault {
            *lock(&self.counts).entry(fault.name()).or_insert(0) += 1;
        }
        if let (Some(list), name) = (&self.list, fault.map_or("none", Fault::name)) {
            let line = json!({
                "number": number,
                "at_ms": self.began.elapsed().as_millis(),
                "method": method,
                "path": path,
                "fault": name,
                "service": ended.service,
                "client": ended.answer.as_ref().map_or(0, |answer| answer.status().as_u16()),
                "took_ms": began.elapsed().as_millis(),
            });
            // A list that cannot be written makes no service of it unreachable.
            let _written = writeln!(lock(list), "{line}");
        }
        ended.answer
    }

    async fn meet(&self, request: Request<Incoming>, fault: Option<Fault>) -> Ended {
        let before = match fault {
            Some(Fault::ResetBefore) => Some(Err(End::Reset)),
            Some(Fault::Status500Before) => Some(Ok(says(500, "made up"))),
            Some(Fault::Status503Before) => Some(Ok(says(503, "made up"))),
            Some(Fault::Status409Before) => Some(Ok(says(409, "made up"))),
            Some(Fault::Status429Before) => Some(Ok(says(429, "made up"))),
            Some(Fault::Delay(delay)) => {
                sleep(delay).await;
                None
            }
            Some(
                Fault::ResetAfter
                | Fault::CutAfter
                | Fault::HalfAfter
                | Fault::GarbageAfter
                | Fault::Status500After
                | Fault::Status503After,
            )
            | None => None,
        };
        if let Some(answer) = before {
            return Ended { service: 0, answer };
        }
        let fetched = match self.fetch(request).await {
            Ok(fetched) => fetched,
            Err(error) => {
                return Ended { service: 0, answer: Ok(says(502, &format!("{error:#}"))) };
            }
        };
        let service = fetched.status.as_u16();
        let answer = match fault {
            Some(Fault::ResetAfter) => Err(End::Reset),
            Some(Fault::CutAfter) => Err(End::Close),
            Some(Fault::GarbageAfter) => {
                Ok(whole(StatusCode::OK, HeaderMap::new(), "\u{0}<%garbage{[".into()))
            }
            Some(Fault::Status500After) => Ok(says(500, "made up, and done")),
            Some(Fault::Status503After) => Ok(says(503, "made up, and done")),
            // What has no body cannot come by halves: nothing comes.
            Some(Fault::HalfAfter) if fetched.body.len() < 2 => Err(End::Close),
            Some(Fault::HalfAfter) => Ok(half(fetched)),
            Some(
                Fault::Delay(_)
                | Fault::ResetBefore
                | Fault::Status500Before
                | Fault::Status503Before
                | Fault::Status409Before
                | Fault::Status429Before,
            )
            | None => Ok(whole(fetched.status, fetched.headers, fetched.body)),
        };
        Ended { service, answer }
    }

    /// Carried out by the service, with our addresses in its answer.
    async fn fetch(&self, request: Request<Incoming>) -> Result<Fetched> {
        let path = request.uri().to_string();
        let target = lock(&self.addresses).target(&path).context("no service of that name")?;
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let asked = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        let writes = self.record.as_ref().map_or(0, Record::writes);
        let mut headers = parts.headers;
        for name in [HOST, CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
            headers.remove(name);
        }
        headers.remove("accept-encoding"); // so that bodies can be rewritten
        let question = self.client.request(parts.method.clone(), target).headers(headers);
        let answer = question.body(asked.clone()).send().await?;
        let status = answer.status();
        let mut headers = answer.headers().clone();
        let mut body = answer.bytes().await?;
        for name in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH, CONTENT_ENCODING] {
            headers.remove(name);
        }
        let mut addresses = lock(&self.addresses);
        if path.contains("/auth/") {
            addresses.learn_catalog(&body);
        }
        let written = std::str::from_utf8(&body).ok().map(|t| addresses.rewrite(t, &self.proxy));
        if let Some(text) = written {
            body = text.into();
        }
        let location = headers.get("location").and_then(|value| value.to_str().ok());
        let location = location.map(|text| addresses.rewrite(text, &self.proxy));
        if let Some(value) = location.and_then(|text| text.parse().ok()) {
            headers.insert("location", value);
        }
        drop(addresses);
        if let Some(record) = &self.record {
            let exchange = Exchange {
                method: &parts.method,
                path: &path,
                asked: &asked,
                status: status.as_u16(),
                answer: &body,
            };
            record.keep(writes, &exchange, &self.proxy);
        }
        Ok(Fetched { status, headers, body })
    }
}

struct Ended {
    /// The service's status; 0 if it was never asked.
    service: u16,
    answer: Result<Response<Body>, End>,
}

fn whole(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Promises all of it, and ends after the half.
fn half(fetched: Fetched) -> Response<Body> {
    let Fetched { status, mut headers, mut body } = fetched;
    headers.insert(CONTENT_LENGTH, body.len().into());
    body.truncate(body.len() / 2);
    let end = stream::once(async {
        // So that the first half is sent before the connection ends.
        tokio::task::yield_now().await;
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "half"))
    });
    let frames = stream::once(ready(Ok(Frame::data(body)))).chain(end);
    let mut response = Response::new(BoxBody::new(StreamBody::new(frames)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

pub(crate) fn says(status: u16, text: &str) -> Response<Body> {
    let body = json!({"error": {"message": text, "title": "fault_proxy"}}).to_string();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    if matches!(status, 429 | 503) {
        headers.insert("retry-after", hyper::header::HeaderValue::from_static("1"));
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    whole(status, headers, body.into())
}

pub(crate) fn json_body(value: &serde_json::Value) -> Body {
    Full::new(value.to_string().into()).map_err(|never| match never {}).boxed()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
