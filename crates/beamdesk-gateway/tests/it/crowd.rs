//! Many viewers of one gateway at once, and the portal's word on all of their streams.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use beamdesk_gateway::Times;
use beamdesk_http::Limits;
use beamdesk_proto::{
    control::GateMessage,
    wire::{kind, message},
};
use beamdesk_types::{CloseReason, StreamId};
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    portal::{self, Answer},
    world::{AGENT, DESKTOP, World},
};

/// Viewers that open at the same time: more would only wait for each other.
const OPENING: usize = 16;
/// Of each desktop, so that there are last bytes to be late.
const BEAT: Duration = Duration::from_millis(250);

pub(crate) struct Crowd {
    pub(crate) world: Arc<World>,
    pub(crate) live: usize,
    viewers: JoinSet<Option<Closed>>,
    is_revoked: Arc<AtomicBool>,
    /// Streams in the newest question of the gateway that was answered.
    renewed: watch::Receiver<usize>,
    _agents: JoinSet<()>,
}

/// What a viewer saw of its end.
pub(crate) struct Closed {
    pub(crate) at: Instant,
    pub(crate) reason: Option<(CloseReason, bool)>,
}

impl Crowd {
    /// Opens streams until all are live, or at least the fewest and the time is over. Every one
    /// shows data.
    pub(crate) async fn open(fewest: usize, streams: usize, time: Duration) -> Self {
        Self::open_at(Times::default(), fewest, streams, time).await
    }

    pub(crate) async fn open_at(
        times: Times,
        fewest: usize,
        streams: usize,
        time: Duration,
    ) -> Self {
        let limits = Limits {
            per_address: 2 * streams,
            pending_per_address: 2 * streams,
            ..Limits::default()
        };
        let world = Arc::new(World::for_streams(times, limits, streams + 1).await);
        let is_revoked = Arc::new(AtomicBool::new(false));
        let renewed = answer(&world, is_revoked.clone());
        let mut agents = JoinSet::new();
        let beating = world.clone();
        agents.spawn(async move {
            let tile = message(kind::TILES, 0, &[7; 512]);
            match beating.agent.beat(tile, BEAT).await {}
        });

        let permits = Arc::new(Semaphore::new(OPENING));
        let (opened, mut live_ones) = mpsc::channel(streams);
        let mut viewers = JoinSet::new();
        for n in 0..streams {
            viewers.spawn(view(world.clone(), n, permits.clone(), opened.clone()));
        }
        drop(opened);
        let end = Instant::now() + time;
        let mut live = 0;
        loop {
            tokio::select! {
                one = live_ones.recv() => match one {
                    Some(()) => live += 1,
                    None => break,
                },
                () = sleep_until(end), if live >= fewest && !permits.is_closed() => permits.close(),
            }
        }
        Self { world, live, viewers, is_revoked, renewed, _agents: agents }
    }

    /// Waits until each is closed, by whom ever.
    pub(crate) async fn closed(&mut self) -> Vec<Closed> {
        let mut closed = Vec::new();
        while let Some(one) = self.viewers.join_next().await {
            closed.extend(one.unwrap());
        }
        closed
    }

    /// Revokes all streams just after the gateway asked about them, when its next question is
    /// farthest, and waits until each is closed. The time is that of the revocation.
    pub(crate) async fn revoke(mut self) -> (Instant, Vec<Closed>) {
        self.renewed.mark_unchanged();
        loop {
            self.renewed.changed().await.unwrap();
            if *self.renewed.borrow_and_update() == self.live {
                break;
            }
        }
        let revoked = Instant::now();
        self.is_revoked.store(true, Ordering::SeqCst);
        let closed = self.viewers.join_all().await;
        (revoked, closed.into_iter().flatten().collect())
    }
}

/// A portal that grants a stream of its own for each ticket, and ends all of them when told.
fn answer(world: &World, is_revoked: Arc<AtomicBool>) -> watch::Receiver<usize> {
    let (renewed, seen) = watch::channel(0);
    let agent = world.agent.address();
    let grant = move |number: &str, handle: u32| {
        let stream = StreamId::from_u128(1 + number.parse::<u128>().unwrap());
        let mut grant = portal::grant(DESKTOP, stream, agent, AGENT);
        grant["handle"] = json!(format!("{number}.{handle}"));
        Answer::Json(200, grant)
    };
    world.portal.answer_with(move |path, body| match path {
        "/internal/v1/tickets/redeem" => grant(body["ticket"].as_str().unwrap(), 0),
        "/internal/v1/streams/resume" => {
            let (number, handle) = body["handle"].as_str().unwrap().split_once('.').unwrap();
            grant(number, handle.parse::<u32>().unwrap() + 1)
        }
        "/internal/v1/leases/renew" => {
            let asked = body["streams"].as_array().unwrap();
            let is_over = is_revoked.load(Ordering::SeqCst);
            let end = |stream: &Value| json!({"stream": stream, "reason": "logged_out"});
            let ended: Vec<Value> = asked.iter().filter(|_| is_over).map(end).collect();
            renewed.send_replace(asked.len());
            Answer::Json(200, json!({"ended": ended, "now": "2026-01-01T00:00:00Z"}))
        }
        _ => Answer::Json(404, json!({})),
    });
    seen
}

/// One viewer from its ticket to its end; `None`: its turn did not come in time.
async fn view(
    world: Arc<World>,
    number: usize,
    permits: Arc<Semaphore>,
    opened: mpsc::Sender<()>,
) -> Option<Closed> {
    let permit = permits.acquire().await.ok()?;
    let answer = world.connect_with(&number.to_string()).await;
    let first = answer.cookie(&format!("__Host-gws-{DESKTOP}")).unwrap();
    let (handle, nonce) = world.attached_again(&first).await;
    let mut viewer = world.socket(&handle).await.unwrap();
    viewer.hello(&nonce).await;
    assert!(matches!(viewer.gate().await, Some(GateMessage::Welcome { .. })));
    assert_eq!(viewer.next().await.unwrap().header.kind, kind::TILES);
    drop(permit);
    opened.send(()).await.unwrap();
    // Else the count of those that opened would never end.
    drop(opened);
    let reason = viewer.closed().await;
    Some(Closed { at: Instant::now(), reason })
}
