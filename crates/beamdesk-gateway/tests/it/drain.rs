//! An orderly end: balancers first, then viewers, one after the other.

use std::time::Duration;

use beamdesk_gateway::Times;
use beamdesk_types::CloseReason;
use tokio::time::{Instant, sleep};

use crate::{browser::request, crowd::Crowd, world::World};

const WAIT: Duration = Duration::from_millis(1500);
const SPREAD: Duration = Duration::from_secs(2);
const STREAMS: usize = 40;
/// What a loaded machine may be late.
const LATE: Duration = Duration::from_secs(2);

async fn ready(world: &World) -> u16 {
    request(world.gateway, "GET", "/readyz", &[], "").await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fs_16_no_stream_is_cut_before_its_notice_and_notices_are_spread() {
    let times = Times { drain_wait: WAIT, drain_spread: SPREAD, ..Times::default() };
    let mut crowd = Crowd::open_at(times, STREAMS, STREAMS, Duration::from_secs(30)).await;
    let world = crowd.world.clone();
    assert_eq!(ready(&world).await, 200);

    let asked = Instant::now();
    world.shutdown.cancel();
    while ready(&world).await != 503 {
        assert!(asked.elapsed() < WAIT, "balancers are told first");
    }
    assert_eq!(request(world.gateway, "GET", "/healthz", &[], "").await.status, 200);
    // Until balancers have noticed, whoever still comes is served.
    let handle = world.connect_with("99").await.cookie(&cookie()).unwrap();
    assert_eq!(world.attach(&handle).await.status, 200);

    let closed = crowd.closed().await;
    assert_eq!(closed.len(), STREAMS);
    let mut ends: Vec<Duration> = closed.iter().map(|one| one.at.duration_since(asked)).collect();
    ends.sort_unstable();
    for one in &closed {
        assert_eq!(one.reason, Some((CloseReason::GatewayClosing, true)), "each is told");
    }
    assert!(ends[0] >= WAIT, "{:?}", ends[0]);
    assert!(ends[STREAMS - 1] <= WAIT + SPREAD + LATE, "{:?}", ends[STREAMS - 1]);
    let early = ends.iter().filter(|end| **end < WAIT + SPREAD / 4).count();
    assert!(early <= STREAMS / 2, "{early} of {STREAMS} in the first quarter");
    while !world.served.is_finished() {
        assert!(asked.elapsed() < WAIT + SPREAD + 4 * LATE, "it ends");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn nobody_attaches_while_others_are_told() {
    let times = Times { drain_spread: SPREAD, ..Times::default() };
    let world = World::with(times, beamdesk_http::Limits::default()).await;
    let (mut viewer, _agent, handle) = world.streaming().await;
    world.shutdown.cancel();
    // One stream of one: its turn comes within the time.
    let reason = viewer.closed().await;
    assert_eq!(reason, Some((CloseReason::GatewayClosing, true)));
    // The listeners may be closed by then; a gateway that still answers says to come again.
    let refused = tokio::net::TcpStream::connect(world.gateway).await;
    if refused.is_ok() {
        assert_ne!(world.attach(&handle).await.status, 200);
    }
    world.stop().await.unwrap();
}

fn cookie() -> String {
    format!("__Host-gws-{}", crate::world::DESKTOP)
}
