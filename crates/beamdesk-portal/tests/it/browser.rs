//! A browser as far as the portal can tell: cookies, origin, JSON, event streams.

use std::{collections::BTreeMap, net::SocketAddr};

use reqwest::{Method, RequestBuilder, Response, header::HeaderMap};
use serde_json::{Value, json};

use crate::system::DEADLINE;

pub(crate) struct Browser {
    client: reqwest::Client,
    pub(crate) base: String,
    pub(crate) cookies: BTreeMap<String, String>,
    /// Every `Set-Cookie` line seen.
    pub(crate) set_cookies: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) what: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The body, when the status is this.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.what, self.body);
        self.body
    }

    /// Fails unless it is this error.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) {
        assert_eq!(
            self.body["error"]["code"], code,
            "{}: {} {}",
            self.what, self.status, self.body
        );
        assert_eq!(self.status, status, "{}: {}", self.what, self.body);
        let error = &self.body["error"];
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        assert_eq!(error["request_id"], self.headers["x-request-id"].to_str().unwrap());
    }
}

impl Browser {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            client: reqwest::Client::builder().timeout(DEADLINE).no_proxy().build().unwrap(),
            base: format!("http://{address}"),
            cookies: BTreeMap::new(),
            set_cookies: Vec::new(),
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn order(&mut self, path: &str) -> Answer {
        self.send(Method::POST, path, None).await
    }

    pub(crate) async fn delete(&mut self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub(crate) async fn send(&mut self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method.clone(), path).header("x-beamdesk", "1");
        if method != Method::GET {
            let base = self.base.clone();
            request = request.header("origin", base).header("sec-fetch-site", "same-origin");
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.answer(&format!("{method} {path}"), request).await
    }

    /// A bare request with this browser's cookies: for requests no page of ours makes.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies: Vec<_> = self.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let request = self.client.request(method, format!("{}{path}", self.base));
        if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) }
    }

    pub(crate) async fn answer(&mut self, what: &str, request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        for line in headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            self.set_cookies.push(line.to_owned());
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { what: what.to_owned(), status, headers, body }
    }

    /// Asks for a small desktop; gives its id.
    pub(crate) async fn new_desktop(&mut self, name: &str) -> String {
        let body = json!({ "name": name, "image": "sim-desktop", "size": "small" });
        let made = self.post("/api/v1/desktops", body).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    }

    /// Asks for a small desktop and waits until it is ready.
    pub(crate) async fn ready_desktop(&mut self, name: &str) -> String {
        let id = self.new_desktop(name).await;
        self.until(&id, "ready").await;
        id
    }

    /// Waits until the event stream shows the desktop in this phase.
    pub(crate) async fn until(&self, id: &str, phase: &str) -> Value {
        self.until_it(id, |desktop| desktop["phase"] == phase, phase).await
    }

    pub(crate) async fn until_it(
        &self,
        id: &str,
        is_so: impl Fn(&Value) -> bool,
        what: &str,
    ) -> Value {
        let mut events = self.events("").await;
        let mut last = Value::Null;
        let wait = async {
            loop {
                let list = events.next().await.expect("the event stream goes on");
                let desktops = list["desktops"].as_array().unwrap().clone();
                last = desktops.into_iter().find(|one| one["id"] == id).unwrap_or(Value::Null);
                if is_so(&last) {
                    return;
                }
            }
        };
        let waited = tokio::time::timeout(DEADLINE, wait).await;
        assert!(waited.is_ok(), "desktop never {what}: {last}");
        last
    }

    pub(crate) async fn events(&self, query: &str) -> Events {
        let request = self.request(Method::GET, &format!("/api/v1/events{query}"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { response, text: String::new() }
    }
}

/// An open event stream.
pub(crate) struct Events {
    response: Response,
    text: String,
}

impl Events {
    /// The data of the next event; `None` when the stream ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let value = data.map(|data| serde_json::from_str(data).unwrap());
                self.text = rest.to_owned();
                match value {
                    Some(value) => return Some(value),
                    None => continue, // A comment that keeps the connection open.
                }
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}
