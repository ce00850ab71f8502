//! SR-07, SR-10 to SR-12: tickets.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use beamdesk_auth::{HandleKey, RefusedReason, TicketError};
use beamdesk_store::UserChange;
use beamdesk_types::{Goal, Phase, Secret};
use tokio::{sync::Barrier, task::JoinSet};

use crate::world::{HandClock, World, gateway, open};

const HOUR: Duration = Duration::from_secs(3600);

/// 64 tasks at once, spread over three portals on one database. More rounds by
/// `BEAMDESK_RACE_ROUNDS`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn single_use_race() {
    const TASKS: usize = 64;
    let rounds = env::var("BEAMDESK_RACE_ROUNDS").map_or(25, |rounds| rounds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let world =
        World::in_file(dir.path()).await.with_config(|c| c.tickets_per_user_minute_max = u32::MAX);
    let mut portals = vec![world.clone()];
    for _ in 0..2 {
        let store = open(dir.path()).await;
        portals.push(World::replica(store, world.clock.clone(), world.config.clone()));
    }
    let (actor, desktop) = world.scene("ada").await;
    let mut accepted = 0;
    for round in 0..rounds {
        let ticket = world.ticket(&actor, &desktop).await;
        let barrier = Arc::new(Barrier::new(TASKS));
        let mut racing = JoinSet::new();
        for n in 0..TASKS {
            let portal = portals[n % portals.len()].clone();
            let (ticket, barrier) = (ticket.clone(), Arc::clone(&barrier));
            racing.spawn(async move {
                barrier.wait().await;
                portal.redeem(&ticket).await
            });
        }
        let mut here = 0;
        for outcome in racing.join_all().await {
            match outcome {
                Ok(_) => here += 1,
                Err(reason) => assert_eq!(reason, RefusedReason::AlreadyUsed),
            }
        }
        assert_eq!(here, 1, "round {round}");
        accepted += here;
    }
    assert_eq!(accepted, rounds);
}

/// A portal that is killed while it redeems leaves no ticket that opens a second time.
#[tokio::test]
async fn single_use_restart() {
    const DIR: &str = "BEAMDESK_TEST_REDEEM_IN";
    const TICKETS: usize = 40;
    if let Some(dir) = env::var_os(DIR) {
        return redeem_until_killed(PathBuf::from(dir)).await;
    }
    for kill_after in [1, 7, 20] {
        let dir = tempfile::tempdir().unwrap();
        let world = World::in_file(dir.path()).await.with_config(|c| {
            c.tickets_per_user_minute_max = 1000;
            c.tickets_live_per_desktop_max = 1000;
        });
        let (actor, desktop) = world.scene("ada").await;
        let mut tickets = Vec::new();
        for _ in 0..TICKETS {
            tickets.push(world.ticket(&actor, &desktop).await);
        }
        world.store.close().await;

        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "sec_ticket::single_use_restart", "--nocapture"])
            .env(DIR, dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        for ticket in &tickets {
            writeln!(input, "{}", ticket.expose()).unwrap();
        }
        // The input stays open: the child is killed in the middle of its work, not at its end.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut opened = Vec::new();
        for line in lines {
            let line = line.unwrap();
            if let Some(ticket) = line.strip_prefix("opened ") {
                opened.push(ticket.to_owned());
                if opened.len() == kill_after {
                    child.kill().unwrap(); // SIGKILL; what it still wrote is read on
                }
            }
        }
        child.wait().unwrap();
        assert!(opened.len() >= kill_after);

        let restarted = World::in_file(dir.path()).await;
        let (mut refused, mut good) = (0, 0);
        for ticket in &tickets {
            match restarted.redeem(ticket).await {
                Ok(_) => {
                    assert!(!opened.contains(&ticket.expose().to_owned()), "opened twice");
                    good += 1;
                }
                Err(reason) => {
                    assert_eq!(reason, RefusedReason::AlreadyUsed);
                    refused += 1;
                }
            }
            assert_eq!(restarted.redeem(ticket).await.unwrap_err(), RefusedReason::AlreadyUsed);
        }
        assert!(refused >= opened.len());
        assert_eq!(refused + good, TICKETS);
    }
}

async fn redeem_until_killed(dir: PathBuf) {
    let world = World::in_file(&dir).await;
    for line in std::io::stdin().lines() {
        let ticket = Secret::new(line.unwrap());
        if world.redeem(&ticket).await.is_ok() {
            println!("opened {}", ticket.expose());
        }
    }
}

/// Of the sixteen ways to be right or wrong about user, generation, gateway and browser, one opens.
#[tokio::test]
async fn binding_matrix() {
    let world = World::in_memory().await;
    let mut opened = 0;
    for case in 0..16_u32 {
        let [other_user, other_generation, other_gateway, other_browser] =
            [1, 2, 4, 8].map(|bit| case & bit != 0);
        let (actor, mut desktop) = world.scene(&format!("user{case}")).await;
        let ticket = world.ticket(&actor, &desktop).await;
        if other_user {
            // A user who may no more: disabled since.
            let change = UserChange { disabled: Some(true), ..UserChange::default() };
            world.store.update_user(actor.user, change, world.now()).await.unwrap();
        }
        if other_generation {
            desktop.generation += 1;
            assert!(world.store.save_desktop(&desktop).await.unwrap());
            desktop.revision += 1;
        }
        let gateway = if other_gateway { "west" } else { "east" };
        let bind = if other_browser { "other" } else { "bind" };
        let outcome = world.redeem_from(&ticket, gateway, bind).await;
        assert_eq!(outcome.is_ok(), case == 0, "case {case:04b}: {outcome:?}");
        opened += u32::from(outcome.is_ok());

        // Burned in any case: put all right, and it is still refused.
        let change = UserChange { disabled: Some(false), ..UserChange::default() };
        world.store.update_user(actor.user, change, world.now()).await.unwrap();
        if other_generation {
            desktop.generation -= 1;
            assert!(world.store.save_desktop(&desktop).await.unwrap());
        }
        let again = world.redeem(&ticket).await.unwrap_err();
        assert_eq!(again, RefusedReason::AlreadyUsed, "case {case:04b}");
    }
    assert_eq!(opened, 1);

    // No field is optional: an empty browser binding is none.
    let (actor, desktop) = world.scene("ada").await;
    let refused = world.auth.issue_ticket(&actor, &desktop, &gateway("east"), "").await;
    assert!(matches!(refused, Err(TicketError::NoBind)));
    let ticket = world.ticket(&actor, &desktop).await;
    let refused = world.redeem_from(&ticket, "east", "").await.unwrap_err();
    assert_eq!(refused, RefusedReason::OtherBrowser);

    // Stopped, deleted, or without an address since.
    for (goal, phase) in [
        (Goal::Stopped, Phase::Ready),
        (Goal::Deleted, Phase::Ready),
        (Goal::Running, Phase::Booting),
        (Goal::Running, Phase::Failed),
    ] {
        let mut changed = world.desktop(actor.user).await;
        let ticket = world.ticket(&actor, &changed).await;
        (changed.goal, changed.phase) = (goal, phase);
        assert!(world.store.save_desktop(&changed).await.unwrap());
        let refused = world.redeem(&ticket).await.unwrap_err();
        assert_eq!(refused, RefusedReason::NotRunning, "{goal:?} {phase:?}");
    }
    // And logged out since.
    let ticket = world.ticket(&actor, &desktop).await;
    world.auth.logout(actor.session).await.unwrap();
    assert_eq!(world.redeem(&ticket).await.unwrap_err(), RefusedReason::SessionEnded);
}

#[tokio::test]
async fn issue_limits() {
    let world = World::in_memory().await;
    let (ada, desktop) = world.scene("ada").await;
    let (bob, bobs) = world.scene("bob").await;
    let east = gateway("east");
    let issue = async |world: &World| {
        world.auth.issue_ticket(&ada, &desktop, &east, "bind").await.map(|t| t.ticket)
    };
    // Three live ones for a desktop, and one more when one of them is used.
    let first = issue(&world).await.unwrap();
    issue(&world).await.unwrap();
    issue(&world).await.unwrap();
    let refused = issue(&world).await.unwrap_err();
    let TicketError::TooMany { retry_after } = refused else { panic!("{refused:?}") };
    assert!(retry_after <= Duration::from_secs(30), "{retry_after:?}");
    world.redeem(&first).await.unwrap();
    issue(&world).await.unwrap();
    // Nobody else is held up.
    world.ticket(&bob, &bobs).await;

    // Thirty a minute for a person, over all desktops.
    for n in 4..30 {
        let other = world.desktop(ada.user).await;
        let issued = world.auth.issue_ticket(&ada, &other, &east, "bind").await;
        assert!(issued.is_ok(), "{n}");
    }
    let other = world.desktop(ada.user).await;
    let refused = world.auth.issue_ticket(&ada, &other, &east, "bind").await.unwrap_err();
    assert!(matches!(refused, TicketError::TooMany { .. }), "{refused:?}");
    world.ticket(&bob, &bobs).await;
    let later = world.db_clock_shifted(Duration::from_secs(61));
    later.auth.issue_ticket(&ada, &other, &east, "bind").await.unwrap();

    // Not for somebody else's desktop, nor for one that is not ready.
    let refused = world.auth.issue_ticket(&bob, &desktop, &east, "bind").await.unwrap_err();
    assert!(matches!(refused, TicketError::NotYours), "{refused:?}");
    let mut stolen = desktop.clone();
    stolen.owner = bob.user;
    let refused = world.auth.issue_ticket(&bob, &stolen, &east, "bind").await.unwrap_err();
    assert!(matches!(refused, TicketError::NotYours), "{refused:?}");
    let mut booting = desktop.clone();
    booting.phase = Phase::Booting;
    let refused = world.auth.issue_ticket(&ada, &booting, &east, "bind").await.unwrap_err();
    assert!(matches!(refused, TicketError::NotReady), "{refused:?}");
}

/// Portals an hour off in either direction change nothing: the database's clock decides.
#[tokio::test]
async fn clock_skew() {
    let world = World::in_memory().await;
    let behind = HandClock::at(world.now().checked_sub(HOUR).unwrap());
    let ahead = HandClock::at(world.now().checked_add(HOUR).unwrap());
    let (actor, desktop) = world.scene("ada").await;
    for issuing in [&world.clock, &behind, &ahead] {
        for redeeming in [&world.clock, &behind, &ahead] {
            let portal = |clock: &Arc<HandClock>, db_shift_ms: i64| {
                let store = world.store.with_clock_shift(db_shift_ms);
                World::replica(store, Arc::clone(clock), world.config.clone())
            };
            let (in_time, late) = (
                portal(issuing, 0).ticket(&actor, &desktop).await,
                portal(issuing, 0).ticket(&actor, &desktop).await,
            );
            portal(redeeming, 29_000).redeem(&in_time).await.unwrap();
            let refused = portal(redeeming, 31_000).redeem(&late).await.unwrap_err();
            assert_eq!(refused, RefusedReason::Expired);
            // Out of the way of the next round's limit.
            portal(redeeming, 0).redeem(&late).await.unwrap();
        }
    }
}

/// What is no ticket opens nothing and breaks nothing.
#[tokio::test]
async fn odd_tickets() {
    let world = World::in_memory().await;
    let (actor, desktop) = world.scene("ada").await;
    let good = world.ticket(&actor, &desktop).await;
    assert_eq!(good.expose().len(), 43);
    let mut odd: Vec<String> =
        ["", " ", "null", "'; DROP TABLE tickets; --", "\0", "光"].map(str::to_owned).to_vec();
    odd.push("A".repeat(43));
    odd.push("A".repeat(1_000_000));
    odd.push(format!("{} ", good.expose()));
    odd.push(format!("{}=", good.expose()));
    odd.push(good.expose().to_lowercase());
    for text in odd {
        let refused = world.redeem(&Secret::new(text)).await.unwrap_err();
        assert_eq!(refused, RefusedReason::Unknown);
    }
    let other = world.with_config(|config| config.handle_key = HandleKey::fresh().unwrap());
    other.redeem(&good).await.unwrap();
}
