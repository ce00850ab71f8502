//! Single steps that worlds meet too seldom.

use std::sync::LazyLock;

use beamdesk_cloud::{CloudError, PowerState, Server, ServerId, ServerNote};
use beamdesk_portal::lifecycle::{
    ATTEMPTS_MAX, Action, AgentSeen, BOOT_DEADLINE, HELD_AGAIN, LOST_GRACE, STOP_DEADLINE, Seen,
    Step, Trouble, step,
};
use beamdesk_types::{
    Claim, Desktop, DesktopId, Failure, FailureCode, Goal, GpuRequest, Phase, Timestamp, UserId,
    WHOLE_CARD,
};
use jiff::SignedDuration;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn desktop(goal: Goal, phase: Phase) -> Desktop {
    Desktop {
        id: DesktopId::from_u128(1),
        owner: UserId::from_u128(1),
        name: "x".to_owned(),
        image: "linux".parse().unwrap(),
        size: "small".parse().unwrap(),
        goal,
        phase,
        generation: 5,
        revision: 9,
        attempts: 0,
        phase_since: now() - SignedDuration::from_secs(10),
        node: Some("n1".parse().unwrap()),
        address: Some("n1:7000".to_owned()),
        failure: None,
        restart: false,
        created: now() - SignedDuration::from_hours(1),
        gpu: GpuRequest::default(),
        station: None,
        queued: now() - SignedDuration::from_hours(1),
        ends: None,
    }
}

/// Room on the node where the server lies.
fn claim() -> Claim {
    Claim {
        desktop: DesktopId::from_u128(1),
        node: "n1".parse().unwrap(),
        vcpus: 1,
        memory_mib: 1024,
        disk_gib: 10,
        cards: Vec::new(),
        share_milli: WHOLE_CARD,
    }
}

fn elsewhere() -> Claim {
    Claim { node: "n2".parse().unwrap(), ..claim() }
}

fn aged(desktop: Desktop, age: SignedDuration) -> Desktop {
    Desktop { phase_since: now() - age - SignedDuration::from_secs(1), ..desktop }
}

fn server(generation: u32, state: PowerState) -> Server {
    let address = (state == PowerState::Active).then(|| "n1:7001".to_owned());
    Server {
        id: ServerId("s".to_owned()),
        desktop: DesktopId::from_u128(1),
        generation,
        state,
        note: None,
        address,
        node: "n1".parse().unwrap(),
        cards: Vec::new(),
    }
}

/// With room.
fn seen(server: Option<&Server>) -> Seen<'_> {
    static CLAIM: LazyLock<Claim> = LazyLock::new(claim);
    Seen { claim: Some(&CLAIM), ..unplaced(server) }
}

/// Without room.
fn unplaced(server: Option<&Server>) -> Seen<'_> {
    Seen {
        server,
        agent: AgentSeen::Unsure,
        claim: None,
        shunned: false,
        term: None,
        trouble: None,
        offered: true,
        first_look: false,
        late_birth: SignedDuration::ZERO,
    }
}

fn same(desktop: Desktop, action: Option<Action>) -> Step {
    Step { desktop, action, frees: false }
}

fn id() -> ServerId {
    ServerId("s".to_owned())
}

fn failed(step: &Step) -> Option<FailureCode> {
    assert!(step.desktop.phase != Phase::Failed || step.desktop.failure.is_some());
    let failure = step.desktop.failure.as_ref().filter(|_| step.desktop.phase == Phase::Failed);
    failure.map(|failure| failure.code)
}

#[test]
fn a_leftover_server_is_never_used_as_it_is() {
    let row = desktop(Goal::Running, Phase::Building);
    let old = server(4, PowerState::Active);
    let next = step(&row, &Seen { agent: AgentSeen::Up, ..seen(Some(&old)) }, now());
    assert_eq!(next.action, Some(Action::PowerOff(id())), "its disk may be somebody's work");
    assert_eq!(next.desktop.phase, Phase::Stopping);

    let old = server(4, PowerState::Off);
    let next = step(&row, &seen(Some(&old)), now());
    assert_eq!(next.action, Some(Action::PowerOn(id())));
    assert_eq!(next.desktop.generation, 5, "nobody has this one yet");

    let old = server(4, PowerState::Building);
    let next = step(&row, &seen(Some(&old)), now());
    assert_eq!(next.action, Some(Action::Delete(id())), "nothing is in it yet");
}

#[test]
fn a_database_restored_from_a_backup_adopts_what_runs() {
    let row = desktop(Goal::Running, Phase::Ready);
    let newer = server(8, PowerState::Active);
    let next = step(&row, &Seen { agent: AgentSeen::Up, ..seen(Some(&newer)) }, now());
    assert_eq!((next.desktop.phase, next.desktop.generation), (Phase::Ready, 8));
    assert_eq!(next.desktop.address.as_deref(), Some("n1:7001"));
    assert_eq!(next.action, None);
}

#[test]
fn a_server_that_is_not_listed_is_missed_for_a_while_before_it_is_made_anew() {
    let row = desktop(Goal::Running, Phase::Ready);
    let next = step(&row, &seen(None), now());
    assert_eq!((next.desktop.phase, &next.action), (Phase::Booting, &None));
    assert_eq!(step(&next.desktop, &seen(None), now()).action, None);
    let next = step(&aged(next.desktop, LOST_GRACE), &seen(None), now());
    assert_eq!((next.desktop.generation, next.desktop.attempts), (6, 1));
    assert_eq!(next.action, Some(Action::Create));
}

#[test]
fn a_full_disk_or_a_withdrawn_offer_fails_at_once_and_says_so() {
    let row = desktop(Goal::Running, Phase::Building);
    let full = Seen { trouble: Some(&Trouble::DiskFull), ..seen(None) };
    assert_eq!(failed(&step(&row, &full, now())), Some(FailureCode::DiskFull));
    let gone = Seen { offered: false, ..seen(None) };
    assert_eq!(failed(&step(&row, &gone, now())), Some(FailureCode::NotOffered));
    let off = server(5, PowerState::Off);
    let gone = Seen { offered: false, ..seen(Some(&off)) };
    let row = desktop(Goal::Running, Phase::Stopped);
    assert_eq!(failed(&step(&row, &gone, now())), Some(FailureCode::NotOffered));
}

#[test]
fn without_room_it_waits_and_counts_nothing() {
    let row = Desktop { node: None, address: None, ..desktop(Goal::Running, Phase::Pending) };
    assert_eq!(step(&row, &unplaced(None), now()), same(row, None));
    let row = desktop(Goal::Running, Phase::Building);
    let taken = Seen { trouble: Some(&Trouble::NoCapacity), shunned: true, ..seen(None) };
    let next = step(&row, &taken, now());
    assert_eq!((next.desktop.phase, next.desktop.attempts), (Phase::Pending, 0));
    assert_eq!(next.desktop.node, None);
    assert!(next.frees, "it is planned anew, not there");
    assert_eq!(next.desktop.queued, row.queued, "it keeps its place in the queue");
}

#[test]
fn an_unknown_outcome_is_asked_for_again_in_the_same_generation() {
    let row = desktop(Goal::Running, Phase::Building);
    let lost = Trouble::Unknown("reset".to_owned());
    let next = step(&row, &Seen { trouble: Some(&lost), ..seen(None) }, now());
    assert_eq!(next, same(row, Some(Action::Create)));
}

#[test]
fn the_third_broken_attempt_is_the_last() {
    let mut row = desktop(Goal::Running, Phase::Building);
    let refused = Trouble::Refused("no".to_owned());
    for attempt in 1..=ATTEMPTS_MAX {
        let next = step(&row, &Seen { trouble: Some(&refused), ..seen(None) }, now());
        assert_eq!((next.desktop.attempts, &next.action), (attempt, &None));
        let worn_out = attempt == ATTEMPTS_MAX;
        assert_eq!(failed(&next), worn_out.then_some(FailureCode::BuildFailed));
        row = Desktop { phase: Phase::Building, ..next.desktop };
    }
    let failed = Desktop { phase: Phase::Failed, ..row };
    assert_eq!(step(&failed, &seen(None), now()).action, None, "a retry is a person's act");
    let retried = Desktop { failure: None, attempts: 0, ..failed };
    assert_eq!(step(&retried, &seen(None), now()).action, Some(Action::Create));
}

#[test]
fn an_agent_that_comes_back_ends_the_failure() {
    let row = aged(desktop(Goal::Running, Phase::Booting), BOOT_DEADLINE);
    let active = server(5, PowerState::Active);
    let next = step(&row, &Seen { agent: AgentSeen::Silent, ..seen(Some(&active)) }, now());
    assert_eq!(failed(&next), Some(FailureCode::AgentSilent));
    assert_eq!(next.action, None, "nothing of the user's is thrown away");
    let back = step(&next.desktop, &Seen { agent: AgentSeen::Up, ..seen(Some(&active)) }, now());
    assert_eq!((back.desktop.phase, &back.desktop.failure), (Phase::Ready, &None));
}

#[test]
fn one_missed_answer_changes_nothing() {
    let row =
        Desktop { address: Some("n1:7001".to_owned()), ..desktop(Goal::Running, Phase::Ready) };
    let active = server(5, PowerState::Active);
    let next = step(&row, &seen(Some(&active)), now());
    assert_eq!(next, same(row.clone(), None));
    let silent = Seen { agent: AgentSeen::Silent, ..seen(Some(&active)) };
    assert_eq!(step(&row, &silent, now()).desktop.phase, Phase::Booting);
}

#[test]
fn what_stopped_while_the_portal_was_away_is_not_its_fault() {
    let row = desktop(Goal::Running, Phase::Ready);
    let off = server(5, PowerState::Off);
    let next = step(&row, &Seen { first_look: true, ..seen(Some(&off)) }, now());
    assert_eq!((next.desktop.attempts, next.desktop.generation), (0, 6));
    assert_eq!(next.action, Some(Action::PowerOn(id())));
    let next = step(&row, &seen(Some(&off)), now());
    assert_eq!(next.desktop.attempts, 1);
    let worn_out = Desktop { attempts: ATTEMPTS_MAX - 1, ..row };
    assert_eq!(failed(&step(&worn_out, &seen(Some(&off)), now())), Some(FailureCode::AgentSilent));
}

#[test]
fn who_says_stop_does_not_find_it_running_tomorrow() {
    let row = desktop(Goal::Stopped, Phase::Stopping);
    let active = server(5, PowerState::Active);
    assert_eq!(step(&row, &seen(Some(&active)), now()).action, Some(Action::PowerOff(id())));
    let late = aged(row, STOP_DEADLINE);
    assert_eq!(step(&late, &seen(Some(&active)), now()).action, Some(Action::Delete(id())));
}

#[test]
fn delete_wins_from_every_phase() {
    for &phase in Phase::ALL {
        let row = Desktop {
            restart: true,
            failure: Some(Failure { code: FailureCode::DiskFull, detail: String::new() }),
            ..desktop(Goal::Deleted, phase)
        };
        for state in [
            PowerState::Building,
            PowerState::Active,
            PowerState::Off,
            PowerState::Error("x".to_owned()),
        ] {
            let there = server(5, state);
            let next = step(&row, &Seen { agent: AgentSeen::Up, ..seen(Some(&there)) }, now());
            assert_eq!(next.desktop.phase, Phase::Deleting, "{phase:?} {there:?}");
            assert_eq!(next.action, Some(Action::Delete(id())), "{phase:?} {there:?}");
        }
        let next = step(&row, &seen(None), now());
        assert_eq!((next.desktop.phase, &next.action), (Phase::Deleted, &None), "{phase:?}");
        assert_eq!((next.desktop.node, next.desktop.address), (None, None));
    }
}

#[test]
fn nothing_starts_without_a_claim_where_it_would_run() {
    let row = desktop(Goal::Running, Phase::Pending);
    let started = step(&row, &seen(None), now());
    assert_eq!(started.action, Some(Action::Create));
    assert_eq!(started.desktop.node, Some(claim().node));

    let off = server(5, PowerState::Off);
    let row = desktop(Goal::Running, Phase::Stopped);
    let next = step(&row, &unplaced(Some(&off)), now());
    assert_eq!((next.desktop.phase, &next.action), (Phase::Pending, &None));
    assert_eq!(next.desktop.node, Some(off.node.clone()), "there it must be placed");
    assert_eq!(next.desktop.queued, now(), "it comes into the queue now");

    let other = elsewhere();
    let next = step(&row, &Seen { claim: Some(&other), ..seen(Some(&off)) }, now());
    assert_eq!((&next.action, next.frees), (&None, true), "room elsewhere is of no use");

    // Taken back, or lost with a database: what was begun is not begun again without room.
    let row = desktop(Goal::Running, Phase::Building);
    let next = step(&row, &unplaced(None), now());
    assert_eq!((next.desktop.phase, next.action), (Phase::Pending, None));
}

#[test]
fn a_claim_is_kept_as_long_as_a_server_may_use_it() {
    let active = server(5, PowerState::Active);
    for &phase in Phase::ALL {
        for goal in [Goal::Running, Goal::Stopped, Goal::Deleted] {
            for state in [
                PowerState::Building,
                PowerState::Active,
                PowerState::Deleting,
                PowerState::Error("x".to_owned()),
            ] {
                let there = Server { state, ..active.clone() };
                let next = step(&desktop(goal, phase), &seen(Some(&there)), now());
                assert!(!next.frees, "{goal:?} {phase:?} {there:?}");
            }
        }
    }
    let off = server(5, PowerState::Off);
    let next = step(&desktop(Goal::Stopped, Phase::Stopping), &seen(Some(&off)), now());
    assert!(next.frees && next.desktop.phase == Phase::Stopped);
    assert!(step(&desktop(Goal::Deleted, Phase::Deleting), &seen(None), now()).frees);
    let worn_out = Desktop { attempts: ATTEMPTS_MAX, ..desktop(Goal::Running, Phase::Pending) };
    assert!(step(&worn_out, &seen(None), now()).frees, "it failed");
}

#[test]
fn a_restart_keeps_its_room_and_its_term() {
    let term = Some(SignedDuration::from_hours(8));
    let off = server(5, PowerState::Off);
    let ends = Some(now() + SignedDuration::from_hours(1));
    let row = Desktop { restart: true, ends, ..desktop(Goal::Running, Phase::Stopping) };
    let next = step(&row, &Seen { term, ..seen(Some(&off)) }, now());
    assert_eq!(next.action, Some(Action::PowerOn(id())));
    assert_eq!((next.desktop.ends, next.frees), (ends, false));
}

#[test]
fn a_term_begins_with_the_start_and_goes_with_the_stop() {
    let term = Some(SignedDuration::from_hours(8));
    let row = desktop(Goal::Running, Phase::Pending);
    let next = step(&row, &Seen { term, ..seen(None) }, now());
    assert_eq!(next.desktop.ends, Some(now() + SignedDuration::from_hours(8)));
    assert_eq!(step(&row, &seen(None), now()).desktop.ends, None, "some run without end");
    let off = server(5, PowerState::Off);
    let row = Desktop { ends: Some(now()), ..desktop(Goal::Stopped, Phase::Stopping) };
    assert_eq!(step(&row, &seen(Some(&off)), now()).desktop.ends, None);
}

/// Every state that a cloud's administrators bring about.
fn notes() -> [ServerNote; 9] {
    [
        ServerNote::Rescued,
        ServerNote::Paused,
        ServerNote::Suspended,
        ServerNote::Resizing,
        ServerNote::Migrating,
        ServerNote::Shelved,
        ServerNote::SoftDeleted,
        ServerNote::Locked,
        ServerNote::Unknown("in orbit".to_owned()),
    ]
}

#[test]
fn what_an_administrator_of_the_cloud_did_on_purpose_is_left_as_it_is() {
    for note in notes() {
        for state in [PowerState::Building, PowerState::Active, PowerState::Off] {
            for phase in [Phase::Booting, Phase::Ready] {
                let row = aged(desktop(Goal::Running, phase), BOOT_DEADLINE);
                let there = Server { note: Some(note.clone()), ..server(5, state.clone()) };
                let next =
                    step(&row, &Seen { agent: AgentSeen::Silent, ..seen(Some(&there)) }, now());
                // A locked server works; that it is silent is its own fault.
                let is_own = note == ServerNote::Locked && state == PowerState::Active;
                assert_eq!(next.action, None, "{note:?} {state:?} {phase:?}");
                assert!(!next.frees, "{note:?} {state:?} {phase:?}");
                assert_eq!(next.desktop.attempts, 0);
                assert_eq!(failed(&next).is_some(), is_own && phase == Phase::Booting);
            }
        }
    }
}

#[test]
fn one_that_is_held_does_not_age() {
    let paused = Server { note: Some(ServerNote::Paused), ..server(5, PowerState::Active) };
    let silent = Seen { agent: AgentSeen::Silent, ..seen(Some(&paused)) };
    let row = aged(desktop(Goal::Running, Phase::Booting), HELD_AGAIN);
    let next = step(&row, &silent, now());
    assert_eq!(next.desktop.phase_since, now());
    let active = server(5, PowerState::Active);
    let let_go = Seen { agent: AgentSeen::Silent, ..seen(Some(&active)) };
    assert_eq!(failed(&step(&next.desktop, &let_go, now())), None, "it has its time to come up");
    // And one that was asked to stop is not deleted for it.
    let row = aged(desktop(Goal::Stopped, Phase::Stopping), STOP_DEADLINE);
    let next = step(&row, &seen(Some(&paused)), now());
    assert_eq!((next.action, next.desktop.phase_since), (None, now()));
}

#[test]
fn a_held_server_with_a_live_agent_is_ready() {
    for note in notes() {
        let row = desktop(Goal::Running, Phase::Booting);
        let there = Server { note: Some(note), ..server(5, PowerState::Active) };
        let next = step(&row, &Seen { agent: AgentSeen::Up, ..seen(Some(&there)) }, now());
        assert_eq!((next.desktop.phase, next.action), (Phase::Ready, None));
    }
}

#[test]
fn what_we_put_away_ourselves_is_brought_back() {
    let shelved = Server { note: Some(ServerNote::Shelved), ..server(5, PowerState::Off) };
    let row = desktop(Goal::Running, Phase::Pending);
    let next = step(&row, &seen(Some(&shelved)), now());
    assert_eq!(next.action, Some(Action::PowerOn(id())));
    // Also when that was asked for before, and when its owner restarts what others put away.
    let ordered = Desktop { generation: 6, ..desktop(Goal::Running, Phase::Booting) };
    assert_eq!(step(&ordered, &seen(Some(&shelved)), now()).action, Some(Action::PowerOn(id())));
    let restarted = Desktop { restart: true, ..desktop(Goal::Running, Phase::Booting) };
    assert_eq!(step(&restarted, &seen(Some(&shelved)), now()).action, Some(Action::PowerOn(id())));
}

#[test]
fn an_owner_may_delete_what_is_held() {
    for note in notes() {
        let there = Server { note: Some(note), ..server(5, PowerState::Active) };
        let next = step(&desktop(Goal::Deleted, Phase::Ready), &seen(Some(&there)), now());
        assert_eq!(next.action, Some(Action::Delete(id())));
    }
}

#[test]
fn what_a_person_has_to_mend_counts_against_nobody() {
    let row = desktop(Goal::Running, Phase::Building);
    let text = "the quota is used up".to_owned();
    let quota = Trouble::Blocked { code: "cloud_quota", text };
    let next = step(&row, &Seen { trouble: Some(&quota), ..seen(None) }, now());
    assert_eq!((next.desktop.phase, next.desktop.attempts), (Phase::Pending, 0));
    assert_eq!((next.action, next.frees), (None, false), "it keeps its room");
    let again = step(&next.desktop, &seen(None), now());
    assert_eq!(again.action, Some(Action::Create));
    let off = server(5, PowerState::Off);
    let row = Desktop { generation: 6, ..desktop(Goal::Running, Phase::Booting) };
    let next = step(&row, &Seen { trouble: Some(&quota), ..seen(Some(&off)) }, now());
    assert_eq!((next.desktop.phase, next.desktop.attempts), (Phase::Pending, 0));
}

#[test]
fn what_cannot_be_made_fails_at_once_with_its_reason() {
    for (error, code) in [
        (
            CloudError::ImageGone { image: "linux".to_owned(), request: None },
            FailureCode::ImageGone,
        ),
        (
            CloudError::FlavorChanged { text: "ram".to_owned(), request: None },
            FailureCode::SizeChanged,
        ),
    ] {
        let trouble = Trouble::from(error);
        let row = desktop(Goal::Running, Phase::Building);
        let next = step(&row, &Seen { trouble: Some(&trouble), ..seen(None) }, now());
        assert_eq!(failed(&next), Some(code));
        assert!(next.desktop.failure.unwrap().detail.contains("administrator"));
    }
}

#[test]
fn a_desktop_is_not_deleted_while_its_server_may_still_be_born() {
    let late = Seen { late_birth: SignedDuration::from_secs(20), ..seen(None) };
    let row = desktop(Goal::Deleted, Phase::Building);
    let row = Desktop { address: None, ..row };
    let next = step(&row, &late, now());
    assert_eq!((next.desktop.phase, next.desktop.phase_since), (Phase::Deleting, now()));
    let soon = now() + SignedDuration::from_secs(19);
    assert_eq!(step(&next.desktop, &late, soon).desktop.phase, Phase::Deleting);
    // It was born.
    let born = server(5, PowerState::Building);
    let there = Seen { server: Some(&born), ..late.clone() };
    assert_eq!(step(&next.desktop, &there, soon).action, Some(Action::Delete(id())));
    let later = now() + SignedDuration::from_secs(21);
    assert_eq!(step(&next.desktop, &late, later).desktop.phase, Phase::Deleted);
    // Where requests end with us, nobody waits.
    assert_eq!(step(&row, &seen(None), now()).desktop.phase, Phase::Deleted);
}
