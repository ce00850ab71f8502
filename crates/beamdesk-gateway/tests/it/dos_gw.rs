//! SR-16: before it has proved anything a connection costs little, and there are few of them.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use crate::world::{DESKTOP, World};

const OPENERS: usize = 2000;
const PER_ADDRESS: usize = 20;

/// Dials from one of the machine's own addresses, so that there can be several.
async fn dial(from: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{from}:0").parse().unwrap())?;
    socket.connect(to).await
}

#[tokio::test]
async fn preauth_budget() {
    let world = World::new().await;
    let mut held = Vec::new();
    let begun = Instant::now();
    for n in 0..OPENERS {
        let to = if n % 2 == 0 { world.gateway } else { world.gateway_tls };
        let mut stream = dial("127.0.0.2", to).await.unwrap();
        // Some say nothing, some begin a header or a handshake and never end it.
        let words: &[u8] = match n % 4 {
            0 | 1 => b"",
            2 => b"GET /d/x/stream HTTP/1.1\r\nupgrade: websocket\r\n",
            _ => &[0x16, 3, 1, 2, 0],
        };
        stream.write_all(words).await.unwrap_or_default();
        held.push(stream);
    }
    let good = timeout(Duration::from_secs(1), async {
        let mut stream = dial("127.0.0.3", world.gateway).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        answer
    });
    assert_eq!(&good.await.expect("a good client is served at once"), b"HTTP/1.1 200 OK");

    let mut refused = 0;
    for stream in &mut held {
        let mut byte = [0; 1];
        let read = timeout(Duration::from_millis(20), stream.read(&mut byte)).await;
        refused += usize::from(matches!(read, Ok(Ok(0) | Err(_))));
    }
    // Two listeners, each with its own count.
    assert!(refused >= OPENERS - 2 * PER_ADDRESS, "only {refused} were turned away");

    let all_closed = async {
        let mut rest = Vec::new();
        for stream in &mut held {
            rest.clear();
            stream.read_to_end(&mut rest).await.unwrap_or_default();
        }
    };
    let left = Duration::from_secs(10).saturating_sub(begun.elapsed());
    timeout(left.max(Duration::from_secs(6)), all_closed).await.expect("none is held for long");
}

#[tokio::test]
async fn a_pending_connection_is_closed_after_five_seconds_however_busy() {
    let world = World::new().await;
    let mut stream = dial("127.0.0.2", world.gateway).await.unwrap();
    let begun = Instant::now();
    let (mut reader, mut writer) = stream.split();
    let drip = async {
        loop {
            if writer.write_all(b"a").await.is_err() {
                return std::future::pending().await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let mut answer = Vec::new();
    let ended = async {
        let _ = reader.read_to_end(&mut answer).await;
    };
    tokio::select! {
        () = drip => unreachable!("it never ends by itself"),
        ended = timeout(Duration::from_secs(8), ended) => ended.expect("closed in time"),
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test]
async fn upgrades_without_a_cookie_cost_one_refusal_each() {
    let world = World::new().await;
    let path = format!("/d/{DESKTOP}/stream");
    for _ in 0..200 {
        let headers = [("origin", world.origin.as_str()), ("cookie", "a=b")];
        let refused = crate::browser::Viewer::open(world.gateway, &path, &headers).await;
        assert_eq!(refused.err(), Some(403));
    }
    assert!(world.portal.asked("/internal/v1/streams/resume").is_empty());
}
