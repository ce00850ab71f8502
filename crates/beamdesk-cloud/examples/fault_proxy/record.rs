//! Keeps what was asked and answered, so that tests hear the same again without a cloud.
//!
//! A line of JSON for each exchange. No secrets: what is said to log in, and tokens, are left out.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hyper::Method;
use serde_json::{Value, json};

/// In place of the proxy's own address, which is another one at each run.
pub(crate) const HERE: &str = "recorded.invalid";

#[derive(Debug)]
pub(crate) struct Record(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    file: File,
    /// Answered so far. What is read depends on what was written before: so it is the recording's
    /// clock.
    writes: u64,
    /// Lines of this moment: who polls gets one answer many times.
    lines: BTreeSet<String>,
}

/// One request and its answer, as the client saw them.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a Method,
    /// With the query.
    pub(crate) path: &'a str,
    pub(crate) asked: &'a [u8],
    pub(crate) status: u16,
    pub(crate) answer: &'a [u8],
}

impl Record {
    pub(crate) fn new(file: File) -> Self {
        Self(Mutex::new(Kept { file, writes: 0, lines: BTreeSet::new() }))
    }

    /// To be asked for before the request is carried out.
    pub(crate) fn writes(&self) -> u64 {
        self.kept().writes
    }

    /// `writes`: as they were when the request came. `proxy`: the address to be left out.
    pub(crate) fn keep(&self, writes: u64, exchange: &Exchange<'_>, proxy: &str) {
        let login = exchange.path.contains("/auth/");
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace(proxy, HERE);
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        let mut answer = text(exchange.answer);
        if let Some(server) = answer.get_mut("server").and_then(Value::as_object_mut) {
            let _password = server.remove("adminPass");
        }
        let line = json!({
            "writes": writes,
            "method": exchange.method.as_str(),
            "path": exchange.path,
            "asked": if login { Value::Null } else { text(exchange.asked) },
            "status": exchange.status,
            "answer": answer,
        })
        .to_string();
        let mut kept = self.kept();
        if *exchange.method != Method::GET && !login {
            kept.writes += 1;
            kept.lines.clear();
        } else if !kept.lines.insert(line.clone()) {
            return;
        }
        // A recording that lacks a line fails the test that hears it.
        let _written = writeln!(kept.file, "{line}");
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
