//! Whatever a viewer says and whenever, the session goes on or ends: what is in flight stays
//! bounded, no budget is out of bounds, and nothing is exact that was not acknowledged as such.

use std::time::{Duration, Instant};

use beamdesk_proto::{
    AgentSession, EncodedFrame,
    control::AgentMessage,
    wire::{self, Ack, Framer, Header, UP_BYTES_MAX, kind},
};

const TILES: u16 = 16;
const HELLO: &[u8] = br#"{"type":"hello","version":2,"width":640,"height":480}"#;
/// What may be in flight, a video frame of four times its target behind it, and one of tiles.
const IN_FLIGHT_MAX: usize = 24 << 20;

pub(crate) fn check(bytes: &[u8], mut now: Instant) {
    let (first, mut bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let mut session = AgentSession::new(TILES.into(), now);
    if first % 2 == 0 {
        // The bytes of a viewer as they are.
        let mut framer = Framer::new(UP_BYTES_MAX);
        framer.feed(bytes);
        while let Ok(Some(message)) = framer.next_message() {
            if session.received(message.header, &message.payload, now).is_err() {
                break;
            }
        }
        assert_eq!(session.exact(false), None, "nothing was sent");
        return;
    }
    say(&mut session, kind::VIEWER, HELLO, now).expect("a hello is heard");
    let mut frame = 0;
    let mut sent: Vec<(u32, Vec<(u16, u64)>)> = Vec::new();
    let mut right = [false; TILES as usize];
    while let [op, value, rest @ ..] = bytes {
        bytes = rest;
        let (tile, number) = (u16::from(value % 16), usize::from(*value));
        match op % 8 {
            0 => now += Duration::from_millis(u64::from(*value)),
            1 => {
                let Some(budget) = session.budget(now) else { continue };
                assert!((1..=4 << 20).contains(&budget));
                frame += 1;
                let tiles = vec![(tile, u64::from(frame))];
                right[usize::from(tile)] = false;
                sent.push((frame, tiles.clone()));
                let bytes = budget * number / 255;
                let done = EncodedFrame { frame, bytes, tiles, lossy: vec![], complete: true };
                session.sent(done, now);
            }
            2 => {
                let Some(budget) = session.video_budget(now) else { continue };
                assert!((1..=4 << 20).contains(&budget));
                session.video_started(now);
                if number == 255 {
                    session.video_dropped();
                    continue;
                }
                frame += 1;
                right[usize::from(tile)] = false;
                sent.push((frame, vec![]));
                let (tiles, lossy) = (vec![], vec![tile]);
                // An encoder may miss its target by far.
                let bytes = budget * number / 64;
                session.sent(EncodedFrame { frame, bytes, tiles, lossy, complete: true }, now);
            }
            3 | 4 => {
                // A good acknowledgement, or one with a wrong hash.
                let Some((frame, tiles)) = (!sent.is_empty()).then(|| sent.remove(0)) else {
                    continue;
                };
                let is_wrong = op % 8 == 4;
                let told = |&(tile, hash): &(u16, u64)| (tile, hash ^ u64::from(is_wrong));
                let newest = |tile| {
                    !sent.iter().any(|(_, tiles)| tiles.iter().any(|&(other, _)| other == tile))
                };
                for &(tile, _) in &tiles {
                    if newest(tile) {
                        right[usize::from(tile)] = !is_wrong;
                    }
                }
                let tiles = tiles.iter().map(told).collect();
                let us = u32::from(*value) * 1000;
                let ack = Ack { frame, decode_us: us, shown_us: us, tiles };
                say(&mut session, kind::ACK, &ack.encode(), now).expect("it was sent");
            }
            5 => {
                // Anything for an acknowledgement.
                let length = number.min(rest.len());
                let (payload, behind) = rest.split_at(length);
                bytes = behind;
                let before = session.frames_in_flight();
                if say(&mut session, kind::ACK, payload, now).is_err() {
                    return; // The stream ends.
                }
                assert_eq!(session.frames_in_flight() + 1, before);
                for (tile, _) in sent.remove(0).1 {
                    right[usize::from(tile)] = true; // Perhaps it was right.
                }
            }
            6 => {
                let length = number.min(rest.len());
                let (payload, behind) = rest.split_at(length);
                bytes = behind;
                if say(&mut session, kind::VIEWER, payload, now).is_err() {
                    return;
                }
            }
            _ => {
                session.restart(TILES.into());
                right = [false; TILES as usize];
                sent.iter_mut().for_each(|(_, tiles)| tiles.clear());
            }
        }
        assert!(session.frames_in_flight() <= 33 && session.frames_in_flight() == sent.len());
        assert!(session.bytes_in_flight() <= IN_FLIGHT_MAX);
        let status = session.status(now);
        assert!(status.frames_per_s <= 64, "{}", status.frames_per_s);
        if let Some(AgentMessage::Exact { frame: of, .. }) = session.exact(false) {
            assert!(sent.is_empty() && of == frame && right.iter().all(|&right| right));
        }
    }
}

fn say(
    session: &mut AgentSession,
    kind: u8,
    payload: &[u8],
    now: Instant,
) -> Result<(), beamdesk_proto::ProtocolError> {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let header = Header { kind, flags: 0, len };
    // As the header would be refused before its payload came.
    if wire::HEADER_BYTES + payload.len() > UP_BYTES_MAX {
        return Ok(());
    }
    session.received(header, payload, now).map(drop)
}
