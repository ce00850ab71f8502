//! What relaying costs a gateway: bits per second of CPU time, memory of a stream at rest.
//!
//! `cargo run --release -p beamdesk-gateway --example relay [-- --json FILE]`
//!
//! The gateway is a process of its own, so that its CPU time and its memory are its own too. Agents
//! (TLS), viewers (WebSocket, in the clear and by TLS) and a portal are played by this one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "shares helpers with the tests")]

mod gateway;
mod viewers;

// What the tests play agents, browsers and portals with.
#[path = "../../tests/it/agent.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod agent;
#[path = "../../tests/it/browser.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod browser;
#[path = "../../tests/it/pki.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod pki;
#[path = "../../tests/it/portal.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod portal;

use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, bail};
use beamdesk_proto::wire::{DOWN_BYTES_MAX, HEADER_BYTES, flag, kind, message};
use bytes::Bytes;
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

use self::{
    gateway::Gateway,
    viewers::{Leg, World},
};

/// The tiles and the video of a busy picture are messages of some such size.
const MESSAGE_BYTES: usize = 64 << 10;
/// Before this the sockets' buffers grow.
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);
/// Streams at rest whose memory is shared out.
const IDLE_STREAMS: usize = 200;
/// What each has carried before it rests.
const IDLE_MESSAGES: usize = 32;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json_file = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--json", file] => Some(file),
        ["--gateway"] => return gateway::serve(),
        _ => bail!("usage: relay [--json FILE]"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut figures = Vec::new();
    runtime.block_on(async {
        for (leg, streams, name) in [
            (Leg::Plain, 1, "gateway.relay_gbit_per_core_s"),
            (Leg::Plain, 8, "gateway.relay_8_streams_gbit_per_core_s"),
            (Leg::Tls, 1, "gateway.relay_wss_gbit_per_core_s"),
        ] {
            let (per_core, per_second) = throughput(leg, streams).await?;
            figures.push((name.to_owned(), per_core, "Gbit"));
            figures.push((name.replace("_per_core", ""), per_second, "Gbit"));
        }
        figures.push(("gateway.idle_stream_kib".to_owned(), idle(MESSAGE_BYTES).await?, "KiB"));
        let largest = idle(DOWN_BYTES_MAX - HEADER_BYTES).await?;
        figures.push(("gateway.idle_stream_after_largest_kib".to_owned(), largest, "KiB"));
        anyhow::Ok(())
    })?;
    let mut out = std::io::stdout().lock();
    for (name, value, unit) in &figures {
        writeln!(out, "{name:48} {value:10.2} {unit}")?;
    }
    if let Some(file) = json_file {
        let command = "cargo run --release -p beamdesk-gateway --example relay";
        let objects: Vec<_> = figures
            .iter()
            .map(|(name, value, unit)| {
                json!({ "name": name, "value": value, "unit": unit, "n": 1, "command": command })
            })
            .collect();
        std::fs::write(file, serde_json::to_string_pretty(&objects)?).context("writing figures")?;
    }
    Ok(())
}

/// Gigabits per second of the gateway's CPU time, and per second.
async fn throughput(leg: Leg, streams: usize) -> anyhow::Result<(f64, f64)> {
    let gateway = Gateway::start(streams).await?;
    let world = World::new(&gateway, streams);
    let tiles = message(kind::TILES, flag::LAST, &vec![7; MESSAGE_BYTES]);
    let (counted_in, mut counted) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for number in 0..streams {
        let (mut viewer, mut agent) = world.open(number, leg).await?;
        let tiles = tiles.clone();
        tasks.spawn(async move { while agent.send(&tiles).await.is_ok() {} });
        let counted = counted_in.clone();
        tasks.spawn(async move {
            while let Some(bytes) = viewer.next().await {
                counted.send(bytes).unwrap_or_default();
            }
        });
    }
    let mut relayed = async |time| {
        let end = Instant::now() + time;
        let mut sum = 0;
        while let Ok(bytes) = tokio::time::timeout_at(end, counted.recv()).await {
            sum += bytes.context("the streams ended")?;
        }
        anyhow::Ok(sum)
    };
    relayed(WARM_UP).await?;
    let (before, began) = (gateway.cpu()?, Instant::now());
    let bytes = relayed(MEASURED).await?;
    let (cpu, wall) = (gateway.cpu()? - before, began.elapsed());
    let gbit = f64::from(u32::try_from(bytes / 1000)?) * 8.0 / 1e6;
    Ok((gbit / cpu.as_secs_f64(), gbit / wall.as_secs_f64()))
}

/// KiB of the gateway's own memory for each stream that has carried something and rests.
async fn idle(message_bytes: usize) -> anyhow::Result<f64> {
    let gateway = Gateway::start(IDLE_STREAMS + 8).await?;
    let world = World::new(&gateway, IDLE_STREAMS + 8);
    let tiles = message(kind::TILES, flag::LAST, &vec![7; message_bytes]);
    let mut open = Vec::new();
    // What the first streams cost once for all is not theirs.
    for number in 0..8 {
        open.push(carried(&world, number, &tiles).await?);
    }
    let before = gateway.memory_kib()?;
    for number in 8..IDLE_STREAMS + 8 {
        open.push(carried(&world, number, &tiles).await?);
    }
    let more = gateway.memory_kib()?.saturating_sub(before);
    Ok(f64::from(u32::try_from(more)?) / f64::from(u32::try_from(IDLE_STREAMS)?))
}

async fn carried(
    world: &World<'_>,
    number: usize,
    tiles: &Bytes,
) -> anyhow::Result<(viewers::Viewer, viewers::Agent)> {
    let (mut viewer, mut agent) = world.open(number, Leg::Plain).await?;
    for _ in 0..IDLE_MESSAGES {
        agent.send(tiles).await?;
        viewer.next().await.context("the stream ended")?;
    }
    Ok((viewer, agent))
}
