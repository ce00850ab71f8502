//! Whose time it was: while people waited, was anything of theirs in the cloud's hands?

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// From, to; milliseconds since the run began.
pub(crate) type Span = (u64, u64);

/// One line of the proxy's list.
#[derive(Deserialize)]
struct Request {
    /// When it ended, since the proxy began.
    at_ms: u64,
    took_ms: u64,
}

/// When requests of ours were under way, by the proxy's list. `began_ms`: how long after the proxy the
/// run began.
pub(crate) fn requests(list: &Path, began_ms: u64) -> Result<Vec<Span>> {
    let text = fs::read_to_string(list).context("the list of the proxy")?;
    let spans = text.lines().filter_map(|line| {
        let Request { at_ms, took_ms } = serde_json::from_str(line).ok()?;
        let (from, to) = (at_ms.saturating_sub(took_ms), at_ms);
        (to > began_ms).then(|| (from.saturating_sub(began_ms), to - began_ms))
    });
    Ok(spans.collect())
}

/// Of the time in `waits`, how much lies in none of `busy`; both in milliseconds.
pub(crate) fn own(waits: &[Span], busy: &[Span]) -> (u64, u64) {
    let (waits, busy) = (merged(waits), merged(busy));
    let waited = waits.iter().map(|(from, to)| to - from).sum();
    let both = |wait: &Span| -> u64 {
        let common = |one: &Span| one.1.min(wait.1).saturating_sub(one.0.max(wait.0));
        busy.iter().map(common).sum()
    };
    let shared: u64 = waits.iter().map(both).sum();
    (waited - shared, waited)
}

/// The same time, in spans that do not meet.
fn merged(spans: &[Span]) -> Vec<Span> {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for (from, to) in sorted {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            Some(_) | None => merged.push((from, to)),
        }
    }
    merged
}
