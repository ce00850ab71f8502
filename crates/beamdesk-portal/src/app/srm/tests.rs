//! What is believed of a report and what is not.

use beamdesk_store::{NodeRecord, Quarantine};
use beamdesk_types::{
    CARDS_MAX, Card, CardAddress, CardState, DesktopId, NodeContent, NodeFacts, NodeName,
    NodeReport, Partitioning, Timestamp,
};

use super::{FaultCode, Known, Taken, Verdict, clock_off_s, is_gone, judge};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn name() -> NodeName {
    "gpu-1".parse().unwrap()
}

fn address(n: u32) -> CardAddress {
    format!("0000:{n:02x}:00.0").parse().unwrap()
}

fn card(n: u32) -> Card {
    Card {
        address: address(n),
        pci_id: "10de:2230".to_owned(),
        model: "RTX A6000".to_owned(),
        memory_mib: 49_140,
        cores: 10_752,
        bandwidth_gb_s: 768,
        clock_mhz: 1800,
        gflops: 38_709,
        numa_node: Some(0),
        iommu_group: Some(n),
        partitioning: Partitioning::Whole,
        state: CardState::Free,
        owner: None,
        fault: String::new(),
        busy_percent: None,
        memory_mib_used: None,
    }
}

fn facts() -> NodeFacts {
    NodeFacts {
        cpus: 64,
        cpu_model: "EPYC".to_owned(),
        cpu_busy_permille: 37,
        memory_mib: 262_144,
        memory_mib_used: 1000,
        disk_gib: 4000,
        disk_gib_used: 5,
        hints: Vec::new(),
    }
}

fn full(generation: u64, cards: &[u32]) -> NodeReport {
    NodeReport {
        node: name(),
        machine: "machine-1".to_owned(),
        generation,
        sampled: at(0),
        interval_s: 10,
        version: "0.1.0".to_owned(),
        content: NodeContent::Full {
            facts: facts(),
            cards: cards.iter().map(|&n| card(n)).collect(),
        },
    }
}

fn changes(generation: u64, since: u64, cards: Vec<Card>, gone: &[u32]) -> NodeReport {
    let gone = gone.iter().map(|&n| address(n)).collect();
    NodeReport {
        content: NodeContent::Changes { since, facts: None, cards, gone },
        ..full(generation, &[])
    }
}

fn judged(record: &NodeRecord, report: NodeReport, now: Timestamp) -> Verdict {
    let node = name();
    judge(&Known { node: &node, record, twin: None, held: &[] }, report, now)
}

fn taken(verdict: Verdict) -> Taken {
    match verdict {
        Verdict::Taken(taken) => *taken,
        other => panic!("{other:?}"),
    }
}

/// What is known after a first good report with cards 1, 2 and 3.
fn known() -> NodeRecord {
    taken(judged(&NodeRecord::new(name()), full(10, &[1, 2, 3]), at(1))).record
}

fn fault(verdict: Verdict) -> (FaultCode, String) {
    match verdict {
        Verdict::Quarantined(fault) => (fault.code, fault.detail),
        other => panic!("{other:?}"),
    }
}

fn addresses(record: &NodeRecord) -> Vec<&str> {
    record.cards.iter().map(|card| card.address.as_str()).collect()
}

#[test]
fn a_first_report_makes_the_record() {
    let record = known();
    assert_eq!(record.machine.as_deref(), Some("machine-1"));
    assert_eq!((record.generation, record.interval_s), (10, 10));
    assert_eq!((record.sampled, record.received), (Some(at(0)), Some(at(1))));
    assert_eq!(record.facts, Some(facts()));
    assert_eq!(record.cards, [card(1), card(2), card(3)]);
    assert_eq!(record.quarantine, None);
}

#[test]
fn changes_are_applied_to_what_they_build_on_and_to_nothing_else() {
    let record = known();
    let held = Card { state: CardState::Assigned, owner: Some("vm".to_owned()), ..card(2) };
    let report = changes(11, 10, vec![card(4), held.clone()], &[1]);
    let next = taken(judged(&record, report, at(11)));
    assert!(!next.is_sign_of_life);
    assert_eq!(addresses(&next.record), ["0000:02:00.0", "0000:03:00.0", "0000:04:00.0"]);
    assert_eq!(next.record.cards[0], held);
    assert_eq!(next.record.facts, Some(facts()), "unchanged");

    let other = changes(12, 9, vec![card(4)], &[]);
    assert_eq!(judged(&record, other, at(11)), Verdict::WantsFull);
    let first = changes(12, 0, Vec::new(), &[]);
    assert_eq!(judged(&NodeRecord::new(name()), first, at(11)), Verdict::WantsFull);
}

#[test]
fn a_sign_of_life_is_only_that() {
    let record = known();
    let report = NodeReport { sampled: at(9), ..changes(11, 10, Vec::new(), &[]) };
    let next = taken(judged(&record, report, at(11)));
    assert!(next.is_sign_of_life);
    let expected = NodeRecord {
        generation: 11,
        sampled: Some(at(9)),
        received: Some(at(11)),
        ..record.clone()
    };
    assert_eq!(next.record, expected);
    // A monitor of another version or pace is more than that.
    let updated = NodeReport { version: "0.2.0".to_owned(), ..changes(11, 10, Vec::new(), &[]) };
    let next = taken(judged(&record, updated, at(11)));
    assert!(!next.is_sign_of_life);
    assert_eq!((next.record.version.as_str(), next.record.cards.len()), ("0.2.0", 3));
}

#[test]
fn an_old_generation_is_refused_and_the_same_one_repeated() {
    let record = known();
    for old in [0, 1, 9] {
        let verdict = judged(&record, full(old, &[]), at(11));
        assert!(
            matches!(&verdict, Verdict::Refused(refused) if refused.code == "old_generation"),
            "{verdict:?}"
        );
    }
    assert_eq!(judged(&record, full(10, &[]), at(11)), Verdict::Repeated);
    // A replay cannot refresh a record: what is repeated changes nothing, also not the time.
    taken(judged(&record, full(11, &[]), at(11)));
}

#[test]
fn nobody_speaks_for_another() {
    let record = known();
    let report = NodeReport { node: "gpu-2".parse().unwrap(), ..full(11, &[]) };
    let (code, detail) = fault(judged(&record, report, at(11)));
    assert_eq!(code, FaultCode::Name);
    assert!(detail.contains("gpu-1") && detail.contains("gpu-2"), "{detail}");

    let report = NodeReport { machine: "machine-2\u{1b}[31m".to_owned(), ..full(11, &[]) };
    let (code, detail) = fault(judged(&record, report, at(11)));
    assert_eq!(code, FaultCode::Machine);
    assert!(detail.contains("machine-1") && detail.contains("machine-2"), "{detail}");
    assert!(!detail.contains('\u{1b}'), "{detail:?}");

    let (node, twin) = (name(), "gpu-2".parse().unwrap());
    let new = NodeRecord::new(name());
    let known = Known { node: &node, record: &new, twin: Some(&twin), held: &[] };
    let (code, detail) = fault(judge(&known, full(1, &[]), at(0)));
    assert_eq!(code, FaultCode::Twin);
    assert!(detail.contains("gpu-2"), "{detail}");
}

#[test]
fn what_no_machine_is_puts_it_in_quarantine() {
    type Lie = (&'static str, fn(&mut NodeReport));
    fn with_facts(report: &mut NodeReport, change: impl Fn(&mut NodeFacts)) {
        if let NodeContent::Full { facts, .. } = &mut report.content {
            change(facts);
        }
    }
    fn with_cards(report: &mut NodeReport, change: impl Fn(&mut Vec<Card>)) {
        if let NodeContent::Full { cards, .. } = &mut report.content {
            change(cards);
        }
    }
    let lies: [Lie; 22] = [
        ("no CPU", |r| with_facts(r, |f| f.cpus = 0)),
        ("a billion CPUs", |r| with_facts(r, |f| f.cpus = 1_000_000_000)),
        ("no memory", |r| with_facts(r, |f| (f.memory_mib, f.memory_mib_used) = (0, 0))),
        ("memory of a planet", |r| with_facts(r, |f| f.memory_mib = u64::MAX)),
        ("more used than there is", |r| with_facts(r, |f| f.memory_mib_used = f.memory_mib + 1)),
        ("disk of a planet", |r| with_facts(r, |f| f.disk_gib = u64::MAX)),
        ("more disk used", |r| with_facts(r, |f| f.disk_gib_used = f.disk_gib + 1)),
        ("busier than busy", |r| with_facts(r, |f| f.cpu_busy_permille = 1001)),
        ("a novel for a CPU", |r| with_facts(r, |f| f.cpu_model = "x".repeat(257))),
        ("a million hints", |r| with_facts(r, |f| f.hints = vec![String::new(); 1_000_000])),
        ("ten thousand cards", |r| with_cards(r, |c| *c = (0..10_000).map(card).collect())),
        ("one card too many", |r| {
            with_cards(r, |c| *c = (0..=CARDS_MAX).map(|n| card(n.try_into().unwrap())).collect());
        }),
        ("one card twice", |r| with_cards(r, |c| *c = vec![card(1), card(2), card(1)])),
        ("a card too large", |r| with_cards(r, |c| c[0].memory_mib = u64::MAX)),
        ("a card too fast", |r| with_cards(r, |c| c[0].gflops = u32::MAX)),
        ("a card too busy", |r| with_cards(r, |c| c[0].busy_percent = Some(101))),
        ("more of a card used", |r| with_cards(r, |c| c[0].memory_mib_used = Some(49_141))),
        ("a card of itself", |r| {
            with_cards(r, |c| c[0].partitioning = Partitioning::Vf { parent: address(1) });
        }),
        ("a model of a megabyte", |r| with_cards(r, |c| c[0].model = "x".repeat(1 << 20))),
        ("no time between reports", |r| r.interval_s = 0),
        ("a year between reports", |r| r.interval_s = 31_536_000),
        ("the last of all generations", |r| r.generation = u64::MAX),
    ];
    let record = known();
    taken(judged(&record, full(11, &[1]), at(11)));
    for (what, lie) in lies {
        let mut report = full(11, &[1]);
        lie(&mut report);
        let (code, detail) = fault(judged(&record, report, at(11)));
        assert_eq!(code, FaultCode::Absurd, "{what}");
        assert!(!detail.is_empty() && detail.chars().count() < 200, "{what}: {detail}");
    }
    // Neither piece is too much, together they are.
    let many: Vec<Card> = (4..=u32::try_from(CARDS_MAX).unwrap()).map(card).collect();
    let next = taken(judged(&record, changes(11, 10, many, &[]), at(11))).record;
    assert_eq!(next.cards.len(), CARDS_MAX);
    let one_more = changes(12, 11, vec![card(0x1000)], &[]);
    assert_eq!(fault(judged(&next, one_more, at(21))).0, FaultCode::Absurd);
}

#[test]
fn a_clock_that_is_wrong_is_shown_and_one_that_is_an_hour_off_not_believed() {
    let record = known();
    for off_s in [-1800, -301, 0, 301, 1800] {
        let report = NodeReport { sampled: at(1000 + off_s), ..full(11, &[1]) };
        let next = taken(judged(&record, report, at(1000))).record;
        assert_eq!(clock_off_s(&next), Some(off_s));
        assert_eq!(next.received, Some(at(1000)), "its age is counted by our clock");
        assert!(!next.is_stale(at(1030)));
        assert!(next.is_stale(at(1031)));
    }
    for off_s in [-3600, -1801, 1801, 3600] {
        let report = NodeReport { sampled: at(1000 + off_s), ..full(11, &[1]) };
        assert_eq!(fault(judged(&record, report, at(1000))).0, FaultCode::Clock);
    }
    let ages = NodeReport { sampled: Timestamp::MIN, ..full(11, &[1]) };
    assert_eq!(fault(judged(&record, ages, at(1000))).0, FaultCode::Clock);
}

#[test]
fn what_puts_itself_right_ends_a_quarantine_and_a_lie_does_not() {
    for (code, heals) in [
        (FaultCode::Name, false),
        (FaultCode::Machine, false),
        (FaultCode::Twin, false),
        (FaultCode::Absurd, false),
        (FaultCode::Clock, true),
        (FaultCode::Unreadable, true),
    ] {
        let quarantine = Quarantine { code: code.as_str().to_owned(), detail: String::new() };
        let record = NodeRecord { quarantine: Some(quarantine), ..known() };
        let next = taken(judged(&record, full(11, &[1]), at(11)));
        assert_eq!(next.heals, heals, "{code:?}");
        // What heals must not take the place of what does not.
        let clock = super::Fault::new(FaultCode::Clock, "x");
        assert_eq!(clock.outweighs(code.as_str()), heals && code != FaultCode::Clock);
        let lie = super::Fault::new(FaultCode::Absurd, "x");
        assert_eq!(lie.outweighs(code.as_str()), heals);
    }
}

#[test]
fn after_a_quarantine_was_lifted_a_new_machine_may_begin_below() {
    let lifted = NodeRecord { machine: None, ..known() };
    let report = NodeReport { machine: "machine-2".to_owned(), ..full(3, &[7]) };
    let next = taken(judged(&lifted, report, at(11))).record;
    assert_eq!((next.generation, next.machine.as_deref()), (3, Some("machine-2")));
    assert_eq!(judged(&lifted, changes(12, 10, Vec::new(), &[]), at(11)), Verdict::WantsFull);
}

#[test]
fn a_card_that_vanishes_while_held_stays_out_of_use() {
    let record = known();
    let node = name();
    let desktop = DesktopId::fresh();
    let held = [(address(2), desktop), (address(9), DesktopId::fresh())];
    let judge = |record: &NodeRecord, report, held: &[(CardAddress, DesktopId)], s| {
        taken(judge(&Known { node: &node, record, twin: None, held }, report, at(s)))
    };
    for report in [full(11, &[1, 3]), changes(11, 10, Vec::new(), &[2])] {
        let next = judge(&record, report, &held, 11);
        assert_eq!(next.vanished, [(address(2), desktop)], "and not one never told of");
        let gone = next.record.cards.iter().find(|card| card.address == address(2)).unwrap();
        assert!(is_gone(gone));
        assert_eq!(gone.state, CardState::Faulty);
        assert!(gone.fault.contains(&desktop.to_string()), "{}", gone.fault);

        // It is told of once, and stays as long as it is held.
        let later = judge(&next.record, changes(12, 11, vec![card(4)], &[]), &held, 21);
        assert_eq!(later.vanished, []);
        assert!(later.record.cards.iter().any(|card| card == gone));
        // Given back, it goes with the next word about cards.
        let free = judge(&later.record, changes(13, 12, vec![card(5)], &[]), &[], 31);
        assert!(!addresses(&free.record).contains(&"0000:02:00.0"));
        // Seen again, it is what its monitor says.
        let back = judge(&later.record, changes(13, 12, vec![card(2)], &[]), &held, 31);
        assert!(back.record.cards.contains(&card(2)));
        assert_eq!(back.vanished, []);
    }
    // One that nobody holds just goes.
    let next = judge(&record, full(11, &[1, 3]), &[], 11);
    assert_eq!((next.record.cards.len(), next.vanished.len()), (2, 0));
}
