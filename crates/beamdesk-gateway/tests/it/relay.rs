//! What passes between viewer and agent, and what ends it.

use std::time::Duration;

use beamdesk_gateway::Times;
use beamdesk_http::Limits;
use beamdesk_proto::{
    control::{GateMessage, Open},
    wire::{self, DOWN_BYTES_MAX, UP_BYTES_MAX, flag, kind, message},
};
use beamdesk_types::CloseReason;
use bytes::Bytes;
use tokio::{io::AsyncWriteExt as _, time::timeout};
use tokio_tungstenite::tungstenite::protocol::Message as Frame;

use crate::world::{DESKTOP, STREAM, World};

#[tokio::test]
async fn messages_pass_both_ways_unchanged() {
    let world = World::new().await;
    let (handle, nonce) = world.attached().await;
    let mut viewer = world.socket(&handle).await.unwrap();
    viewer.hello(&nonce).await;
    let mut agent = world.agent.accept().await.unwrap();
    let open: Open = wire::json(&agent.next().await.unwrap().payload).unwrap();
    assert_eq!((open.stream, open.user_name.as_str()), (STREAM, "ada"));
    let welcome = GateMessage::Welcome {
        desktop: DESKTOP,
        desktop_name: "lab".to_owned(),
        user_name: "ada".to_owned(),
        recording: false,
    };
    assert_eq!(viewer.gate().await, Some(welcome));

    let largest = vec![7; DOWN_BYTES_MAX - wire::HEADER_BYTES];
    for (kind, flags, payload) in [
        (kind::AGENT, 0, b"{}".as_slice()),
        (kind::TILES, flag::LAST | flag::ZSTD, &largest),
        (kind::CURSOR, 0, &[]),
        (kind::VIDEO, flag::LAST, &largest),
        (kind::SLICE, 0, b"grey"),
    ] {
        agent.send(&message(kind, flags, payload)).await;
        let got = viewer.next().await.unwrap();
        assert_eq!((got.header.kind, got.header.flags), (kind, flags));
        assert_eq!(got.payload, payload);
    }
    let largest = vec![9; UP_BYTES_MAX - wire::HEADER_BYTES];
    for (kind, payload) in [(kind::VIEWER, b"{}".as_slice()), (kind::ACK, &largest)] {
        viewer.send(message(kind, 0, payload)).await;
        let got = agent.next().await.unwrap();
        assert_eq!((got.header.kind, got.payload.as_ref()), (kind, payload));
    }
    // An unknown kind that may be skipped is.
    agent.send(&message(0x7f, flag::OPTIONAL, b"new")).await;
    agent.send(&message(kind::AGENT, 0, b"next")).await;
    assert_eq!(viewer.next().await.unwrap().payload, b"next".as_slice());
    viewer.send(message(0x7f, flag::OPTIONAL, b"new")).await;
    viewer.send(message(kind::VIEWER, 0, b"next")).await;
    assert_eq!(agent.next().await.unwrap().payload, b"next".as_slice());
}

#[tokio::test]
async fn bytes_from_the_agent_are_cut_into_messages_wherever_they_break() {
    let world = World::new().await;
    let (mut viewer, mut agent, _) = world.streaming().await;
    let mut bytes = Vec::new();
    for n in 0..50_u8 {
        bytes.extend_from_slice(&message(kind::TILES, 0, &vec![n; usize::from(n) * 7]));
    }
    for piece in bytes.chunks(11) {
        agent.send(piece).await;
    }
    for n in 0..50_u8 {
        assert_eq!(viewer.next().await.unwrap().payload, vec![n; usize::from(n) * 7]);
    }
}

#[tokio::test]
async fn a_malformed_message_from_the_agent_ends_only_its_stream() {
    let header = |kind: u8, flags: u8, stream: u8, len: u32| {
        let mut bytes = vec![kind, flags, stream, 0];
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes
    };
    let too_long = u32::try_from(DOWN_BYTES_MAX).unwrap();
    for bad in [
        header(kind::TILES, 0, 0, too_long),
        header(kind::TILES, 0, 0, u32::MAX),
        header(kind::TILES, 0, 1, 0),
        header(kind::TILES, 0xf0, 0, 0),
        header(0x7e, 0, 0, 0),
        header(kind::GATE, flag::OPTIONAL, 0, 0),
        header(kind::OPEN, 0, 0, 0),
        header(kind::VIEWER, flag::OPTIONAL, 0, 0),
        header(kind::ACK, 0, 0, 0),
    ] {
        let world = World::new().await;
        let (mut viewer, mut agent, handle) = world.streaming().await;
        agent.send(&bad).await;
        let closed = viewer.closed().await;
        assert_eq!(closed, Some((CloseReason::ProtocolError, false)), "{bad:?}");
        assert!(agent.next().await.is_none(), "hung up on");
        let (handle, nonce) = world.attached_again(&handle).await;
        world.opened(&handle, &nonce).await;
    }
}

#[tokio::test]
async fn a_malformed_message_from_the_browser_ends_only_its_stream() {
    let binary = |bytes: &[u8]| Frame::Binary(Bytes::copy_from_slice(bytes));
    let mut trailing = message(kind::VIEWER, 0, b"{}").to_vec();
    trailing.push(0);
    let mut short = message(kind::VIEWER, 0, b"{}").to_vec();
    short.pop();
    for bad in [
        binary(&[]),
        binary(&[0x11, 0, 0]),
        binary(&trailing),
        binary(&short),
        binary(&message(kind::TILES, 0, b"")),
        binary(&message(kind::VIDEO, flag::OPTIONAL, b"")),
        binary(&message(kind::SLICE, 0, b"")),
        binary(&message(kind::GATE, flag::OPTIONAL, b"")),
        binary(&message(kind::GATE_HELLO, 0, b"{}")),
        binary(&message(0x7e, 0, b"")),
        binary(&message(kind::VIEWER, 0x80, b"")),
        Frame::Text("{}".into()),
        binary(&vec![0; UP_BYTES_MAX + 1]),
    ] {
        let world = World::new().await;
        let (mut viewer, mut agent, handle) = world.streaming().await;
        let is_oversize = bad.len() > UP_BYTES_MAX;
        let text = format!("{bad:?}").chars().take(60).collect::<String>();
        viewer.frame(bad).await;
        let closed = viewer.closed().await;
        if !is_oversize {
            assert_eq!(closed, Some((CloseReason::ProtocolError, false)), "{text}");
        }
        assert!(agent.next().await.is_none(), "nothing of it reached the agent: {text}");
        let (handle, nonce) = world.attached_again(&handle).await;
        world.opened(&handle, &nonce).await;
    }
}

#[tokio::test]
async fn a_viewer_that_does_not_read_costs_a_bounded_amount_and_is_closed() {
    const CHUNK: usize = 512 << 10;
    /// What the kernel's buffers of three sockets may take, and the gateway's two messages.
    const TAKEN_MAX: usize = 48 << 20;
    let write = Duration::from_secs(1);
    let times = Times { write, ..Times::default() };
    let world = World::with(times, Limits::default()).await;
    let (mut viewer, mut agent, handle) = world.streaming().await;
    let tiles = message(kind::TILES, 0, &vec![0; CHUNK]);
    let mut taken = 0;
    let flood = async {
        while agent.tls.write_all(&tiles).await.is_ok() {
            taken += CHUNK;
            assert!(taken < TAKEN_MAX, "the gateway swallows everything");
        }
    };
    timeout(Duration::from_secs(10), flood).await.expect("the stalled stream is closed");
    assert!(taken > 0);
    // Its buffered messages may still arrive; whatever does, the socket ends.
    viewer.closed().await;
    let (handle, nonce) = world.attached_again(&handle).await;
    world.opened(&handle, &nonce).await;
}

#[tokio::test]
async fn a_slow_viewer_does_not_slow_another() {
    let world = World::new().await;
    let (_stalled, mut flooding, _) = world.streaming().await;
    let tiles = message(kind::TILES, 0, &vec![0; 512 << 10]);
    let flood = async { while flooding.tls.write_all(&tiles).await.is_ok() {} };
    assert!(timeout(Duration::from_secs(2), flood).await.is_err(), "it is held back");

    // Another stream of the same gateway: the portal names it by another id.
    let other = serde_json::json!("01900000-0000-7000-8000-0000000000aa");
    let grant = crate::portal::grant(DESKTOP, STREAM, world.agent.address(), crate::world::AGENT);
    world.portal.answer_with(move |path, _| {
        let mut grant = grant.clone();
        grant["stream"] = other.clone();
        grant["handle"] = serde_json::json!(format!("k{}", path.len()));
        crate::portal::Answer::Json(200, grant)
    });
    let (handle, nonce) = world.attached().await;
    world.portal.answer_normally();
    let (mut viewer, mut agent) = world.opened(&handle, &nonce).await;
    for n in 0..100_u8 {
        agent.send(&message(kind::TILES, 0, &[n])).await;
        let got = timeout(Duration::from_secs(1), viewer.next()).await.unwrap().unwrap();
        assert_eq!(got.payload, [n].as_slice());
    }
}

#[tokio::test]
async fn a_dead_agent_is_told_to_the_viewer_who_may_come_back() {
    let world = World::new().await;
    let (mut viewer, agent, handle) = world.streaming().await;
    drop(agent);
    assert_eq!(viewer.closed().await, Some((CloseReason::AgentLost, true)));
    let (handle, nonce) = world.attached_again(&handle).await;
    world.opened(&handle, &nonce).await;
}

#[tokio::test]
async fn a_viewer_that_left_ends_the_agents_connection() {
    let world = World::new().await;
    let (viewer, mut agent, _) = world.streaming().await;
    drop(viewer);
    assert!(agent.next().await.is_none());
}

#[tokio::test]
async fn a_second_window_takes_the_stream_over() {
    let world = World::new().await;
    let (mut first, mut first_agent, handle) = world.streaming().await;
    let (handle, nonce) = world.attached_again(&handle).await;
    let (mut second, mut agent) = world.opened(&handle, &nonce).await;
    assert_eq!(first.closed().await, Some((CloseReason::Ended, false)));
    assert!(first_agent.next().await.is_none());
    agent.send(&message(kind::AGENT, 0, b"{}")).await;
    assert!(second.next().await.is_some());
}

#[tokio::test]
async fn a_viewer_without_a_sign_of_life_is_closed() {
    let times = Times {
        ping: Duration::from_millis(100),
        silence: Duration::from_millis(300),
        ..Times::default()
    };
    let world = World::with(times, Limits::default()).await;
    let (viewer, mut agent, _) = world.streaming().await;
    // Held open, but nobody reads it, so no ping is answered.
    let ended = timeout(Duration::from_secs(3), agent.next()).await;
    assert!(ended.expect("closed in time").is_none());
    drop(viewer);
}

#[tokio::test]
async fn a_viewer_that_answers_pings_stays() {
    let times = Times {
        ping: Duration::from_millis(100),
        silence: Duration::from_millis(300),
        ..Times::default()
    };
    let world = World::with(times, Limits::default()).await;
    let (mut viewer, mut agent, _) = world.streaming().await;
    // Reading answers pings, as a browser does by itself.
    let idle = timeout(Duration::from_secs(1), viewer.next()).await;
    assert!(idle.is_err(), "nothing came and nothing closed");
    agent.send(&message(kind::AGENT, 0, b"{}")).await;
    assert!(viewer.next().await.is_some());
}

#[tokio::test]
async fn at_shutdown_viewers_are_told_to_come_back() {
    let world = World::new().await;
    let (mut viewer, _agent, _) = world.streaming().await;
    world.shutdown.cancel();
    assert_eq!(viewer.closed().await, Some((CloseReason::GatewayClosing, true)));
    world.stop().await.unwrap();
}
