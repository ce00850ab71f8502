//! What the simulated cloud promises beyond the common suite.

use std::time::Duration;

use beamdesk_cloud::{
    CloudError, Compute, Power, PowerState,
    sim::{Fault, Faults, Pace, Sim},
};
use beamdesk_types::{CardState, DesktopId, Partitioning, UserId};

use crate::bed::{set_generation, spec_on};

fn small() -> Sim {
    Sim::new(1, Sim::equal_nodes(2, 4, 8192, 100))
}

#[tokio::test]
async fn a_lost_answer_had_its_effect() {
    let sim = small();
    let spec = spec_on(&sim, DesktopId::fresh(), UserId::fresh(), 1).await;
    sim.order(Fault::LostAnswer);
    let lost = sim.create(&spec).await;
    assert!(matches!(lost, Err(CloudError::Unavailable { .. })), "{lost:?}");
    let found = sim.find(spec.desktop).await.unwrap().unwrap();
    assert_eq!(sim.create(&spec).await.unwrap(), found.id);
    assert_eq!(sim.writes(), 1);
}

#[tokio::test]
async fn an_outage_a_refusal_and_a_full_cloud_have_no_effect() {
    let sim = small();
    let spec = spec_on(&sim, DesktopId::fresh(), UserId::fresh(), 1).await;
    for fault in [Fault::Unavailable, Fault::Refused, Fault::NoCapacity] {
        sim.order(fault);
        let failed = sim.create(&spec).await.unwrap_err();
        let is_right = match fault {
            Fault::Refused => matches!(failed, CloudError::Refused { .. }),
            Fault::NoCapacity => matches!(failed, CloudError::NoCapacity { .. }),
            _ => matches!(failed, CloudError::Unavailable { .. }),
        };
        assert!(is_right, "{fault:?}: {failed}");
    }
    assert_eq!(sim.servers(), []);
    assert_eq!(sim.writes(), 0);
}

#[tokio::test]
async fn a_stale_list_shows_the_world_before_the_last_tick() {
    let sim = small();
    let spec = spec_on(&sim, DesktopId::fresh(), UserId::fresh(), 1).await;
    let id = sim.create(&spec).await.unwrap();
    sim.order(Fault::StaleList);
    assert_eq!(sim.list().await.unwrap(), []);
    sim.tick(Duration::from_secs(1));
    sim.delete(&id).await.unwrap();
    sim.order(Fault::StaleList);
    assert_eq!(sim.list().await.unwrap().len(), 1);
    sim.order(Fault::StaleFind);
    assert!(sim.find(spec.desktop).await.unwrap().is_some());
    assert_eq!(sim.list().await.unwrap(), []);
}

#[tokio::test]
async fn builds_break_hang_or_come_up_silent_on_demand() {
    let sim = small();
    sim.set_pace(Pace { build: Duration::from_secs(5), ..Pace::default() });
    let mut desktops = Vec::new();
    for fault in [Fault::BuildError, Fault::BuildStuck, Fault::AgentSilent] {
        let spec = spec_on(&sim, DesktopId::fresh(), UserId::fresh(), 1).await;
        if fault != Fault::AgentSilent {
            sim.order(fault);
        }
        sim.create(&spec).await.unwrap();
        desktops.push(spec.desktop);
    }
    sim.order(Fault::AgentSilent);
    sim.tick(Duration::from_secs(3600));
    let mut states = Vec::new();
    for desktop in desktops {
        states.push(sim.find(desktop).await.unwrap().unwrap());
    }
    assert!(matches!(states[0].state, PowerState::Error(_)));
    assert_eq!(states[1].state, PowerState::Building);
    assert_eq!(states[2].state, PowerState::Active);
    assert!(!sim.agent_answers(states[2].address.as_deref().unwrap()));
}

#[tokio::test]
async fn an_agent_answers_after_its_boot_and_only_at_its_own_address() {
    let sim = small();
    sim.set_pace(Pace { boot: Duration::from_secs(2), ..Pace::default() });
    let spec = spec_on(&sim, DesktopId::fresh(), UserId::fresh(), 1).await;
    sim.create(&spec).await.unwrap();
    let address = sim.find(spec.desktop).await.unwrap().unwrap().address.unwrap();
    assert!(!sim.agent_answers(&address));
    sim.tick(Duration::from_secs(2));
    assert!(sim.agent_answers(&address));
    sim.pull_plug(spec.desktop);
    assert!(!sim.agent_answers(&address));
    assert_eq!(sim.servers()[0].state, PowerState::Off);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_history() {
    let mut histories = Vec::new();
    for seed in [5, 5, 6] {
        histories.push(history(seed).await);
    }
    assert_eq!(histories[0], histories[1]);
    assert_ne!(histories[0], histories[2]);
}

/// What 300 calls under harsh faults answered.
async fn history(seed: u64) -> Vec<String> {
    let sim = Sim::new(seed, Sim::equal_nodes(1, 4, 8192, 100));
    let spec = spec_on(&sim, DesktopId::from_u128(1), UserId::from_u128(2), 1).await;
    sim.set_faults(Faults::harsh());
    let mut history = Vec::new();
    for _ in 0..100 {
        history.push(format!("{:?}", sim.create(&spec).await));
        sim.tick(Duration::from_secs(1));
        let found = sim.find(spec.desktop).await;
        history.push(format!("{found:?}"));
        if let Ok(Some(server)) = found {
            history.push(format!("{:?}", sim.delete(&server.id).await));
        }
    }
    history
}

#[tokio::test]
async fn a_card_is_given_once_and_comes_back_when_the_server_is_off() {
    let mut nodes = Sim::equal_nodes(1, 8, 16_384, 100);
    nodes[0].cards = Sim::equal_cards(1, "RTX A6000", 49_152, &Partitioning::Whole);
    let sim = Sim::new(1, nodes);
    let card = sim.true_nodes()[0].cards[0].address.clone();
    let mut one = spec_on(&sim, DesktopId::fresh(), UserId::fresh(), 1).await;
    one.size.gpu.count = 1;
    one.cards = vec![card.clone()];
    let mut other = spec_on(&sim, DesktopId::fresh(), UserId::fresh(), 1).await;
    other.size.gpu.count = 1;
    other.cards = vec![card.clone()];
    let id = sim.create(&one).await.unwrap();
    assert_eq!(sim.true_nodes()[0].cards[0].state, CardState::Assigned);
    assert_eq!(sim.find(one.desktop).await.unwrap().unwrap().cards, [card]);
    assert!(matches!(sim.create(&other).await, Err(CloudError::NoCapacity { .. })));
    sim.power(&id, Power::Off).await.unwrap();
    assert_eq!(sim.true_nodes()[0].cards[0].state, CardState::Free);
    sim.create(&other).await.unwrap();
    set_generation(&mut one, 2);
    let full = sim.power(&id, Power::On(&one)).await;
    assert!(matches!(full, Err(CloudError::NoCapacity { .. })), "{full:?}");
    assert_eq!(sim.find(one.desktop).await.unwrap().unwrap().state, PowerState::Off);
}

#[tokio::test]
async fn a_shared_card_is_given_up_to_a_thousand() {
    let mut nodes = Sim::equal_nodes(1, 8, 16_384, 100);
    nodes[0].cards = Sim::equal_cards(1, "A40", 49_152, &Partitioning::Shared);
    let sim = Sim::new(1, nodes);
    let card = sim.true_nodes()[0].cards[0].address.clone();
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let mut spec = spec_on(&sim, DesktopId::fresh(), UserId::fresh(), 1).await;
        spec.size.gpu.count = 1;
        spec.cards = vec![card.clone()];
        spec.share_milli = 400;
        outcomes.push(sim.create(&spec).await.is_ok());
    }
    assert_eq!(outcomes, [true, true, false]);
}

#[tokio::test]
async fn rooms_are_never_overbooked_and_all_come_back() {
    let sim = Sim::new(3, Sim::equal_nodes(200, 4, 8192, 100));
    let nodes = sim.nodes().await.unwrap();
    let mut made = Vec::new();
    for node in &nodes {
        for _ in 0..6 {
            let mut spec = spec_on(&sim, DesktopId::fresh(), UserId::fresh(), 1).await;
            spec.node = node.name.clone();
            match sim.create(&spec).await {
                Ok(id) => made.push(id),
                Err(CloudError::NoCapacity { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!(made.len(), 800);
    assert!(sim.true_nodes().iter().all(|node| node.vcpus_used == node.vcpus));
    for id in &made {
        sim.delete(id).await.unwrap();
    }
    assert_eq!(sim.true_nodes(), nodes);
}
