//! What an agent goes by at its start.

use beamdesk_types::{AgentSeed, DesktopId, Secret, SessionConfig};

use super::{Choice, Keeper, choose, state::Kept};

fn session() -> SessionConfig {
    SessionConfig { name: "n".to_owned(), language: "en".to_owned(), width: 800, height: 600 }
}

fn seed(desktop: DesktopId, generation: u32) -> AgentSeed {
    AgentSeed {
        desktop,
        generation,
        portals: vec!["https://portal.example".to_owned()],
        authority: "a".to_owned(),
        secret: Secret::new("s3cr3t".to_owned()),
        session: session(),
    }
}

fn kept(desktop: DesktopId, generation: u32, enrolled: bool) -> Kept {
    Kept {
        desktop,
        generation,
        portals: Vec::new(),
        authority: "a".to_owned(),
        key: Secret::new("key".to_owned()),
        certificate: enrolled.then(|| "c".to_owned()),
        session: session(),
    }
}

/// `keep`, `drop seed`, `enrol`, `same key` or `nothing`.
fn chosen(kept: Option<Kept>, seed: Option<AgentSeed>) -> &'static str {
    match choose(kept, seed) {
        Choice::Nothing => "nothing",
        Choice::Keep { old_seed: false, .. } => "keep",
        Choice::Keep { old_seed: true, .. } => "drop seed",
        Choice::Enrol { key: None, .. } => "enrol",
        Choice::Enrol { key: Some(_), .. } => "same key",
    }
}

#[test]
fn a_seed_is_used_once_and_an_identity_until_a_newer_seed_comes() {
    let (ours, other) = (DesktopId::fresh(), DesktopId::fresh());
    assert_eq!(chosen(None, None), "nothing");
    assert_eq!(chosen(None, Some(seed(ours, 1))), "enrol");
    assert_eq!(chosen(Some(kept(ours, 3, true)), None), "keep");
    assert_eq!(chosen(Some(kept(ours, 1, false)), None), "nothing");
    // The same user-data at every boot: the server was started twice since.
    assert_eq!(chosen(Some(kept(ours, 3, true)), Some(seed(ours, 1))), "drop seed");
    assert_eq!(chosen(Some(kept(ours, 1, true)), Some(seed(ours, 1))), "drop seed");
    assert_eq!(chosen(Some(kept(ours, 1, true)), Some(seed(ours, 2))), "enrol");
    // It died in the middle, and the portal may have taken the secret for this key.
    assert_eq!(chosen(Some(kept(ours, 1, false)), Some(seed(ours, 1))), "same key");
    assert_eq!(chosen(Some(kept(ours, 1, false)), Some(seed(ours, 2))), "enrol");
    // An image of another desktop's server.
    assert_eq!(chosen(Some(kept(other, 9, true)), Some(seed(ours, 1))), "enrol");
    assert_eq!(chosen(Some(kept(other, 1, false)), Some(seed(ours, 1))), "enrol");
}

#[test]
fn what_is_wrong_at_the_start_is_said_without_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (path, state) = (folder.path().join("seed.json"), folder.path().join("state"));
    let refused = || format!("{:#}", anyhow::Error::from(Keeper::open(&path, &state).unwrap_err()));
    assert!(refused().contains("seed.json"), "there is none: {}", refused());
    let good = serde_json::to_string(&seed(DesktopId::fresh(), 1)).unwrap();
    let hostile = [
        "{".to_owned(),
        good.replace("generation", "gen"),
        good.replace("\"s3cr3t\"", "{\"x\": \"s3cr3t\"}"),
        good.replace("\"https://portal.example\"", ""),
        good.replace("https", "http"),
        good.clone() + &" ".repeat(70_000),
        good.clone(), // Its authority is no certificate.
    ];
    for text in hostile {
        std::fs::write(&path, &text).unwrap();
        let said = refused();
        assert!(!said.contains("s3cr3t"), "{said}");
        assert!(said.len() > 20 && said.len() < 400, "{said}");
    }
    assert!(path.exists(), "what was not used is not removed");
}
