//! Rules that compilers do not know: who may import whom, licences, file names, links in documents.
#![expect(clippy::print_stderr, reason = "lists what is wrong")]

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run::{Step, cargo, root};

/// Who may import whom, among our own crates. ARCHITECTURE.md draws it.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("proto", &["types"]),
    ("sched", &["types"]),
    ("store", &["types"]),
    ("cloud", &["types"]),
    ("auth", &["types", "store"]),
    ("media", &["types", "proto"]),
    ("http", &[]),
    ("portal", &["types", "sched", "store", "cloud", "auth", "http"]),
    ("gateway", &["types", "proto", "http"]),
    ("agent", &["types", "proto", "media"]),
    ("monitor", &["types"]),
    ("", &["types", "sched", "portal", "gateway", "monitor", "http", "store", "cloud", "auth"]),
];

/// Crates that only one (or a few) of ours may name, so that what they bring stays fenced in.
const FENCES: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("x11rb", &["media"]),
    ("zstd", &["media"]),
    ("openh264-sys2", &["media"]),
    ("libaom-sys", &["media"]),
    ("yuv", &["media"]),
    ("argon2", &["auth"]),
    ("jsonwebtoken", &["auth"]),
    ("nvml-wrapper", &["monitor"]),
    ("rcgen", &["auth", "agent"]),
    ("x509-parser", &["auth"]),
    ("axum", &["http", "portal", "gateway"]),
];

/// Licences a dependency may have (one of the alternatives it offers).
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
];

const FILE_BYTES_MAX: u64 = 700 << 10;

pub(crate) fn tidy() -> Result<()> {
    let metadata = cargo().args(["metadata", "--format-version", "1", "--locked"]).output()?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let mut wrong = arrows(&own_dependencies(&metadata));
    wrong.extend(licences(&metadata));
    wrong.extend(files()?);
    for line in &wrong {
        eprintln!("tidy: {line}");
    }
    if !wrong.is_empty() {
        bail!("{} things to tidy", wrong.len());
    }
    Ok(())
}

/// Our crates (short names) with the names of what they depend on outside tests.
fn own_dependencies(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(short) = short_name(name).filter(|_| package["source"].is_null()) else {
            continue;
        };
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let names = dependencies
            .filter(|d| d["kind"].as_str() != Some("dev"))
            .filter_map(|d| d["name"].as_str().map(str::to_owned));
        found.insert(short.to_owned(), names.collect());
    }
    found
}

fn short_name(name: &str) -> Option<&str> {
    if name == "beamdesk" { Some("") } else { name.strip_prefix("beamdesk-") }
}

/// Imports that the tables above do not allow.
fn arrows(dependencies: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (from, names) in dependencies {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == from) else {
            wrong.push(format!(
                "crate `{from}` stands in no tier; add it to ARROWS and ARCHITECTURE.md"
            ));
            continue;
        };
        for name in names {
            if let Some(to) = short_name(name) {
                if !allowed.contains(&to) {
                    wrong.push(format!("forbidden arrow: {from} -> {to}"));
                }
            } else if let Some((_, owners)) = FENCES.iter().find(|(fenced, _)| fenced == name)
                && !owners.contains(&from.as_str())
            {
                wrong.push(format!("`{name}` is fenced in by {owners:?}, but {from} names it"));
            }
        }
    }
    wrong
}

fn licences(metadata: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let licence = package["license"].as_str().unwrap_or_default();
        if !licence_fits(licence) {
            let name = package["name"].as_str().unwrap_or_default();
            wrong.push(format!("licence of {name} is not on the list: {licence:?}"));
        }
    }
    wrong
}

/// Every part joined by AND must offer one of the listed licences.
fn licence_fits(licence: &str) -> bool {
    let plain = licence.replace('/', " OR ");
    plain.split(" AND ").all(|part| {
        part.split(" OR ").any(|name| LICENCES.contains(&name.trim_matches(|c| "() ".contains(c))))
    })
}

/// File names, sizes and links of everything under version control.
fn files() -> Result<Vec<String>> {
    let listed = Step::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()?;
    let mut wrong = Vec::new();
    for name in listed.lines() {
        let path = root().join(name);
        let Ok(about) = path.metadata() else { continue };
        if name.ends_with("/mod.rs") {
            wrong.push(format!("{name}: write foo.rs beside foo/ instead of foo/mod.rs"));
        }
        if about.len() > FILE_BYTES_MAX {
            wrong.push(format!("{name}: {} KiB is too large to keep here", about.len() >> 10));
        }
        if name.ends_with(".rs") && name.contains("/src/") && !name.starts_with("fuzz/") {
            let text = fs::read_to_string(&path).with_context(|| name.to_owned())?;
            if !text.starts_with("//!") {
                wrong.push(format!("{name}: the first line (`//!`) says what the file is for"));
            }
        }
        if name.ends_with(".md") {
            let text = fs::read_to_string(&path).with_context(|| name.to_owned())?;
            wrong.extend(
                dead_links(&path, &text).into_iter().map(|l| format!("{name}: no such file: {l}")),
            );
        }
    }
    Ok(wrong)
}

/// Relative links of a Markdown text that lead nowhere.
fn dead_links(file: &Path, text: &str) -> Vec<String> {
    let folder = file.parent().unwrap_or(file);
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(|link| link.split('#').next().unwrap_or_default())
        .filter(|link| !link.is_empty() && !link.contains(':') && !folder.join(link).exists())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{arrows, licence_fits, own_dependencies};
    use std::collections::BTreeMap;

    fn world(from: &str, to: &str) -> BTreeMap<String, Vec<String>> {
        BTreeMap::from([(from.to_owned(), vec![to.to_owned()])])
    }

    #[test]
    fn a_forbidden_arrow_is_found() {
        assert_eq!(
            arrows(&world("gateway", "beamdesk-store")),
            ["forbidden arrow: gateway -> store"]
        );
        assert_eq!(arrows(&world("types", "beamdesk-proto")), ["forbidden arrow: types -> proto"]);
        assert!(arrows(&world("gateway", "beamdesk-proto")).is_empty());
    }

    #[test]
    fn a_fenced_crate_stays_behind_its_fence() {
        assert_eq!(arrows(&world("portal", "sqlx")).len(), 1);
        assert!(arrows(&world("store", "sqlx")).is_empty());
    }

    #[test]
    fn a_crate_without_a_tier_is_found() {
        assert_eq!(arrows(&world("extra", "serde")).len(), 1);
    }

    #[test]
    fn dependencies_of_tests_make_no_arrow() {
        let metadata = serde_json::json!({ "packages": [{
            "name": "beamdesk-proto", "source": null,
            "dependencies": [
                { "name": "beamdesk-types", "kind": null },
                { "name": "beamdesk-media", "kind": "dev" },
            ],
        }]});
        assert!(arrows(&own_dependencies(&metadata)).is_empty());
    }

    #[test]
    fn licences_are_read_as_alternatives() {
        assert!(licence_fits("MIT OR GPL-2.0"));
        assert!(licence_fits("MIT/Apache-2.0"));
        assert!(licence_fits("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!licence_fits("GPL-3.0"));
        assert!(!licence_fits("MIT AND GPL-2.0"));
        assert!(!licence_fits(""));
    }
}
