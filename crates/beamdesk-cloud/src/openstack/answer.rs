//! What a service says of itself in an answer: its request id, and why it refuses.

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::RequestId;

/// A service's own words, made fit for logs and pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: Option<String>,
    pub(super) message: String,
}

/// Of a service's words; they end in logs and on pages.
const MESSAGE_CHARS_MAX: usize = 400;
const CODE_CHARS_MAX: usize = 60;
/// Of a page of HTML, as proxies and Glance send; the words come early.
const HTML_CHARS_MAX: usize = 4000;

impl Said {
    /// From the body of an answer that refuses, in any of the five ways they have.
    pub(super) fn read(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::of_json(&value),
            Err(_) => Self { code: None, message: line(&html(body), MESSAGE_CHARS_MAX) },
        }
    }

    fn of_json(value: &Value) -> Self {
        // Placement: {"errors": [{"title", "detail", "code", …}]} (API-SIG, *Errors*)
        if let Some(first) = value["errors"].get(0) {
            return Self::of(first["code"].as_str(), first["detail"].as_str());
        }
        // Neutron: {"NeutronError": {"type", "message", …}}
        let neutron = &value["NeutronError"];
        if let Some(text) = neutron.as_str() {
            return Self::of(None, Some(text));
        }
        if neutron.is_object() {
            return Self::of(neutron["type"].as_str(), neutron["message"].as_str());
        }
        // Keystone: {"error": {"title", "message", …}}
        let keystone = &value["error"];
        if keystone.is_object() {
            return Self::of(keystone["title"].as_str(), keystone["message"].as_str());
        }
        // Nova and Cinder: {"badRequest": {"message", …}}; the name is the fault.
        let faults = value.as_object().into_iter().flatten();
        let mut faults = faults.filter(|(_, fault)| fault["message"].is_string());
        if let Some((name, fault)) = faults.next() {
            return Self::of(Some(name), fault["message"].as_str());
        }
        // {"message": "…"}, as oslo and proxies have it
        Self::of(None, value["message"].as_str())
    }

    fn of(code: Option<&str>, message: Option<&str>) -> Self {
        let code = code.map(|code| line(code, CODE_CHARS_MAX)).filter(|code| !code.is_empty());
        Self { code, message: line(message.unwrap_or_default(), MESSAGE_CHARS_MAX) }
    }
}

/// By which the service's own log knows the call.
pub(super) fn request_id(headers: &HeaderMap) -> Option<RequestId> {
    let names = ["x-openstack-request-id", "x-compute-request-id"];
    names.iter().find_map(|name| RequestId::parse(headers.get(*name)?.to_str().ok()?))
}

/// Without tags: the words of a page.
fn html(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut inside = false;
    let mut words = String::new();
    for c in text.chars().take(HTML_CHARS_MAX) {
        match c {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                words.push(' ');
            }
            c if !inside => words.push(c),
            _ => {}
        }
    }
    words
}

/// One line of plain characters, bounded.
fn line(text: &str, max: usize) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().take(max * 4).map(plain).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    let joined = words.join(" ");
    if joined.chars().count() > max {
        joined.chars().take(max).chain(['…']).collect()
    } else {
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE_CHARS_MAX, Said};

    fn said(body: &str) -> (String, String) {
        let said = Said::read(body.as_bytes());
        (said.code.unwrap_or_default(), said.message)
    }

    #[test]
    fn each_service_refuses_in_its_own_way() {
        let rows = [
            (
                r#"{"badRequest":{"code":400,"message":"Compute host nosuch could not be found."}}"#,
                ("badRequest", "Compute host nosuch could not be found."),
            ),
            (
                r#"{"NeutronError":{"type":"OverQuota","message":"Quota exceeded for resources: ['port'].","detail":""}}"#,
                ("OverQuota", "Quota exceeded for resources: ['port']."),
            ),
            (
                r#"{"error":{"code":401,"title":"Unauthorized","message":"The request you have made requires authentication."}}"#,
                ("Unauthorized", "The request you have made requires authentication."),
            ),
            (
                r#"{"errors":[{"status":409,"title":"Conflict","detail":"There was a conflict: generation","code":"placement.concurrent_update","request_id":"req-1"}]}"#,
                ("placement.concurrent_update", "There was a conflict: generation"),
            ),
            (
                "<html>\n <head><title>409 Conflict</title></head><body><h1>409 Conflict</h1>Image is in use.<br /></body></html>",
                ("", "409 Conflict 409 Conflict Image is in use."),
            ),
            (r#"{"message":"no upstream"}"#, ("", "no upstream")),
            ("", ("", "")),
            ("[1,2]", ("", "")),
            ("null", ("", "")),
        ];
        for (body, (code, message)) in rows {
            assert_eq!(said(body), (code.to_owned(), message.to_owned()), "{body}");
        }
    }

    #[test]
    fn words_of_a_service_are_one_bounded_line() {
        let long = "ä".repeat(10_000);
        let body = format!(r#"{{"badRequest":{{"message":"a\nb\u0007 {long}"}}}}"#);
        let (_, message) = said(&body);
        assert_eq!(message.chars().count(), MESSAGE_CHARS_MAX + 1);
        assert!(message.starts_with("a b ää"));
        Said::read(&[0xff, 0xfe, b'<', b'<']);
    }
}
