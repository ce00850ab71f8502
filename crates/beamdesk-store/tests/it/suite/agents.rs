//! Secrets of seeds, and the one key that each desktop's agent may have.

use std::time::Duration;

use beamdesk_store::{AgentEnrolment, AgentRefused, AgentRenewal, NewAgentSecret, Store};
use beamdesk_types::{Desktop, DesktopId, Goal};
use tokio::task::JoinSet;

use crate::world::{HOUR, Scene, at, digest, scene};

const LIFE: Duration = Duration::from_secs(15 * 60);

/// Of a server that is made for this generation.
async fn issue(store: &Store, text: &str, desktop: &Desktop, makes_server: bool) {
    let secret = NewAgentSecret {
        hash: digest(text),
        desktop: desktop.id,
        generation: desktop.generation,
        ttl: LIFE,
        makes_server,
    };
    store.add_agent_secret(&secret).await.unwrap();
}

async fn enrol(
    store: &Store,
    text: &str,
    desktop: &Desktop,
    key: &str,
) -> Result<Desktop, AgentRefused> {
    let enrolment = AgentEnrolment {
        hash: digest(text),
        desktop: desktop.id,
        generation: desktop.generation,
        key: digest(key),
        from: "10.0.0.9",
    };
    store.enrol_agent(&enrolment).await.unwrap()
}

async fn renew(
    store: &Store,
    desktop: DesktopId,
    key: &str,
    signed: Option<u32>,
) -> Result<u32, AgentRefused> {
    let renewal = AgentRenewal { desktop, key: digest(key), signed };
    store.renew_agent(&renewal).await.unwrap().map(|desktop| desktop.generation)
}

/// The desktop's server starts again, or another is made.
async fn next_generation(scene: &mut Scene) {
    scene.desktop.generation += 1;
    assert!(scene.store.save_desktop(&scene.desktop).await.unwrap());
    scene.desktop.revision += 1;
}

/// What the audit has of agents, oldest first.
async fn audit(store: &Store) -> Vec<String> {
    let events = store.audit_events(None, 1000).await.unwrap();
    let of_agents = |action: &String| action.starts_with("agent_");
    events.into_iter().rev().map(|entry| entry.event.action).filter(of_agents).collect()
}

pub(crate) async fn a_seeds_secret_makes_one_key_the_desktops_however_many_try(store: Store) {
    let scene = scene(&store, "ada").await;
    let desktop = &scene.desktop;
    assert_eq!(enrol(&store, "none", desktop, "k").await, Err(AgentRefused::Unknown));
    issue(&store, "first", desktop, true).await;
    // The order was repeated: both are good, until one is used.
    issue(&store, "again", desktop, true).await;
    assert!(store.is_agent_secret(&digest("first")).await.unwrap());
    let mut asking = JoinSet::new();
    for n in 0..16 {
        let (store, desktop) = (store.clone(), desktop.clone());
        let secret = if n % 2 == 0 { "first" } else { "again" };
        asking.spawn(async move {
            let key = format!("key {n}");
            enrol(&store, secret, &desktop, &key).await.map(|_| (secret, key))
        });
    }
    let outcomes = asking.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 15));
    assert!(lost.iter().all(|lost| *lost == Err(AgentRefused::Used)), "{lost:?}");
    let (secret, key) = won[0].clone().unwrap();
    // Each secret raises one alarm, however often it comes.
    assert_eq!(audit(&store).await, ["agent_enrolled", "agent_alarm", "agent_alarm"]);
    // Its answer got lost: the same key may ask again, and nobody is alarmed.
    assert_eq!(enrol(&store, secret, desktop, &key).await.unwrap().id, desktop.id);
    assert_eq!(enrol(&store, secret, desktop, "thief").await, Err(AgentRefused::Used));
    assert_eq!(audit(&store).await.len(), 3);
    assert_eq!(renew(&store, desktop.id, &key, None).await, Ok(desktop.generation));
    assert_eq!(renew(&store, desktop.id, "thief", None).await, Err(AgentRefused::OtherKey));
}

pub(crate) async fn a_seeds_secret_is_for_one_desktop_and_generation_for_a_while(store: Store) {
    let scene = scene(&store, "ada").await;
    let (ours, other) = (&scene.desktop, crate::world::desktop(scene.user.id));
    store.add_desktop(&other, 10).await.unwrap();
    let later = Desktop { generation: ours.generation + 1, ..ours.clone() };
    for (text, asked) in [("for other", &other), ("for later", &later)] {
        issue(&store, text, ours, true).await;
        assert_eq!(enrol(&store, text, asked, "k").await, Err(AgentRefused::Misused));
        assert_eq!(enrol(&store, text, ours, "x").await, Err(AgentRefused::Used), "it is burned");
    }
    assert_eq!(audit(&store).await, ["agent_alarm", "agent_alarm"]);

    issue(&store, "old", ours, true).await;
    issue(&store, "late", ours, true).await;
    let just = store.with_clock_shift(15 * 60_000 - 10_000);
    assert!(just.can_have_agent(ours.id).await.unwrap());
    let over = store.with_clock_shift(15 * 60_000 + 10_000);
    assert_eq!(enrol(&over, "old", ours, "k").await, Err(AgentRefused::Expired));
    assert!(!over.can_have_agent(ours.id).await.unwrap(), "only another server helps");
    enrol(&just, "late", ours, "k").await.unwrap();
    assert!(over.can_have_agent(ours.id).await.unwrap());
    assert!(store.can_have_agent(other.id).await.unwrap(), "nothing bad is known of it");
}

pub(crate) async fn a_desktop_that_is_not_meant_to_run_has_no_agent_but_may_again(store: Store) {
    let mut scene = scene(&store, "ada").await;
    issue(&store, "one", &scene.desktop, true).await;
    scene.desktop.goal = Goal::Stopped;
    assert!(store.save_desktop(&scene.desktop).await.unwrap());
    scene.desktop.revision += 1;
    let asked = enrol(&store, "one", &scene.desktop, "k").await;
    assert_eq!(asked, Err(AgentRefused::NotRunning));
    scene.desktop.goal = Goal::Running;
    assert!(store.save_desktop(&scene.desktop).await.unwrap());
    scene.desktop.revision += 1;
    enrol(&store, "one", &scene.desktop, "k").await.unwrap();
    assert!(store.forget_desktop(scene.desktop.id, scene.desktop.revision).await.unwrap());
    let id = scene.desktop.id;
    assert_eq!(renew(&store, id, "k", None).await, Err(AgentRefused::Unknown));
    assert_eq!(renew(&store, DesktopId::fresh(), "k", None).await, Err(AgentRefused::Unknown));
    // With its desktop goes what is kept of it.
    let late = store.with_clock_shift(3 * 3_600_000);
    late.sweep(at(0), HOUR).await.unwrap();
    assert!(!store.is_agent_secret(&digest("one")).await.unwrap());
}

pub(crate) async fn a_start_keeps_the_key_and_another_server_ends_it(store: Store) {
    let mut scene = scene(&store, "ada").await;
    let id = scene.desktop.id;
    issue(&store, "first", &scene.desktop, true).await;
    enrol(&store, "first", &scene.desktop, "k").await.unwrap();
    // It starts again.
    next_generation(&mut scene).await;
    issue(&store, "start", &scene.desktop, false).await;
    assert_eq!(renew(&store, id, "k", None).await, Ok(4));
    // Another is made: the old one's key is worth nothing from the order on.
    next_generation(&mut scene).await;
    issue(&store, "second", &scene.desktop, true).await;
    assert_eq!(renew(&store, id, "k", Some(4)).await, Err(AgentRefused::OtherKey));
    let old = Desktop { generation: 4, ..scene.desktop.clone() };
    assert_eq!(enrol(&store, "start", &old, "k").await, Err(AgentRefused::Superseded));
    enrol(&store, "second", &scene.desktop, "new").await.unwrap();
    assert_eq!(renew(&store, id, "k", Some(4)).await, Err(AgentRefused::OtherKey));
    // That same order again takes nothing away.
    issue(&store, "second again", &scene.desktop, true).await;
    assert_eq!(renew(&store, id, "new", None).await, Ok(5));
    assert_eq!(audit(&store).await, ["agent_enrolled", "agent_enrolled"]);
}

pub(crate) async fn after_a_restore_a_newer_certificate_is_believed_and_no_older(store: Store) {
    let mut scene = scene(&store, "ada").await;
    let id = scene.desktop.id;
    issue(&store, "first", &scene.desktop, true).await;
    enrol(&store, "first", &scene.desktop, "old").await.unwrap();
    // The backup is of now. Later another server was made, which the database knows nothing of until
    // it raises the generation to the server's.
    assert_eq!(renew(&store, id, "newer", Some(5)).await, Err(AgentRefused::OtherKey));
    next_generation(&mut scene).await;
    next_generation(&mut scene).await;
    assert_eq!(renew(&store, id, "newer", Some(3)).await, Err(AgentRefused::OtherKey));
    assert_eq!(renew(&store, id, "newer", None).await, Err(AgentRefused::OtherKey));
    assert_eq!(renew(&store, id, "newer", Some(5)).await, Ok(5));
    assert_eq!(renew(&store, id, "old", Some(3)).await, Err(AgentRefused::OtherKey));
    assert_eq!(renew(&store, id, "newer", None).await, Ok(5));
}
