//! Which reports are sent of which samples.

use beamdesk_monitor::{Reporter, Sample, changes, settle};
use beamdesk_types::{
    Card, CardState, NodeContent, NodeFacts, NodeName, NodeReportAnswer, Partitioning, Timestamp,
};

fn card(address: &str) -> Card {
    Card {
        address: address.parse().unwrap(),
        pci_id: "10de:2230".to_owned(),
        model: "RTX A6000".to_owned(),
        memory_mib: 49_152,
        cores: 10_752,
        bandwidth_gb_s: 768,
        clock_mhz: 1800,
        gflops: 38_700,
        numa_node: None,
        iommu_group: None,
        partitioning: Partitioning::Whole,
        state: CardState::Free,
        owner: None,
        fault: String::new(),
        busy_percent: Some(50),
        memory_mib_used: Some(10_000),
    }
}

fn sample(cards: &[&str]) -> Sample {
    let facts = NodeFacts {
        cpus: 8,
        cpu_busy_permille: 500,
        memory_mib: 65_536,
        memory_mib_used: 30_000,
        ..NodeFacts::default()
    };
    Sample { facts, cards: cards.iter().map(|address| card(address)).collect() }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn answer(wants_full: bool) -> NodeReportAnswer {
    NodeReportAnswer { wants_full, now: at(0) }
}

fn reporter(generation: u64) -> Reporter {
    Reporter::new(NodeName::of_host("n1"), "machine".to_owned(), 10, generation)
}

fn is_full(content: &NodeContent) -> bool {
    matches!(content, NodeContent::Full { .. })
}

#[test]
fn all_is_sent_first_and_then_what_changed() {
    let mut reporter = reporter(0);
    let first = reporter.report(sample(&["a", "b"]), at(100));
    assert!(is_full(&first.content));
    assert!(!reporter.answered(&answer(false)));

    let quiet = reporter.report(sample(&["a", "b"]), at(110));
    let expected =
        NodeContent::Changes { since: first.generation, facts: None, cards: vec![], gone: vec![] };
    assert_eq!(quiet.content, expected);
    reporter.answered(&answer(false));

    let mut moved = sample(&["b", "c"]);
    moved.cards[0].state = CardState::Assigned;
    let NodeContent::Changes { since, facts, cards, gone } =
        reporter.report(moved.clone(), at(120)).content
    else {
        panic!("not all again");
    };
    assert_eq!((since, facts), (quiet.generation, None));
    assert_eq!(cards, moved.cards, "the one that changed and the new one");
    assert_eq!(gone, ["a".parse().unwrap()]);
}

#[test]
fn a_lost_answer_is_built_on_what_was_answered_and_a_lack_brings_all() {
    let mut reporter = reporter(0);
    let first = reporter.report(sample(&["a"]), at(100));
    reporter.answered(&answer(false));
    let _lost = reporter.report(sample(&["a", "b"]), at(110));
    let NodeContent::Changes { since, cards, .. } =
        reporter.report(sample(&["a", "b"]), at(120)).content
    else {
        panic!("not all again");
    };
    assert_eq!((since, cards.len()), (first.generation, 1), "what was lost is said again");
    assert!(reporter.answered(&answer(true)));
    assert!(is_full(&reporter.report(sample(&["a", "b"]), at(120)).content));
}

#[test]
fn generations_rise_whatever_the_clock_does_and_over_restarts() {
    let mut reporter = reporter(5_000_000);
    let mut last = 5_000_000;
    for second in [100, 200, 150, 6_000, 10, 6_001] {
        let generation = reporter.report(sample(&[]), at(second)).generation;
        assert!(generation > last, "{generation} after {last}");
        last = generation;
    }
    assert!(last >= 6_001_000, "by the clock where it is ahead");
    let after = self::reporter(reporter.generation()).report(sample(&[]), at(0)).generation;
    assert!(after > last);
    assert_eq!(self::reporter(u64::MAX).report(sample(&[]), at(0)).generation, u64::MAX);
}

#[test]
fn jitter_is_not_worth_a_word_but_does_not_add_up_unseen() {
    let sent = sample(&["a"]);
    let mut now = sent.clone();
    now.facts.cpu_busy_permille += 15;
    now.facts.memory_mib_used += 600;
    now.cards[0].busy_percent = Some(53);
    now.cards[0].memory_mib_used = Some(10_400);
    assert_eq!(settle(&sent, now.clone()), sent);
    assert_eq!(
        changes(1, &sent, &settle(&sent, now.clone())),
        NodeContent::Changes { since: 1, facts: None, cards: vec![], gone: vec![] }
    );
    // Against what was sent, not against the last sample: slow drift is told in time.
    now.facts.cpu_busy_permille += 15;
    now.cards[0].busy_percent = Some(56);
    let settled = settle(&sent, now.clone());
    assert_eq!(settled.facts.cpu_busy_permille, 530);
    assert_eq!(settled.cards[0].busy_percent, Some(56));
    assert_eq!(settled.cards[0].memory_mib_used, Some(10_000), "each number by itself");
    // States are never jitter.
    now.cards[0].state = CardState::Faulty;
    assert_eq!(settle(&sent, now).cards[0].state, CardState::Faulty);
}
