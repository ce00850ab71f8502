//! Several portals: the next is asked when one does not answer.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use crate::world::World;

/// Two tries, the first of them in vain.
const PATIENCE: Duration = Duration::from_secs(3);

#[expect(clippy::disallowed_methods, reason = "real sockets take real time")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn a_portal_that_is_gone_costs_nobody_a_ticket() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let world = World::behind(&[gone]).await;
    for _ in 0..3 {
        assert_eq!(world.connect().await.status, 303);
    }
    assert_eq!(world.portal.asked("/internal/v1/tickets/redeem").len(), 3, "each is asked once");
    world.stop().await.unwrap();
}

#[tokio::test]
async fn a_portal_that_is_stopped_is_left_after_the_first_question() {
    // Its sockets take connections, and nobody answers.
    let stopped = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::behind(&[stopped.local_addr().unwrap()]).await;
    let begun = now();
    assert_eq!(world.connect().await.status, 303);
    let first = begun.elapsed();
    assert!(first < PATIENCE, "{first:?}");
    let begun = now();
    let (viewer, agent, _) = world.streaming().await;
    assert!(begun.elapsed() < first.max(Duration::from_millis(500)), "{:?}", begun.elapsed());
    drop((viewer, agent));
    world.stop().await.unwrap();
}
