//! Control messages of every kind: what can be read means the same when it was written again.

use std::fmt::Debug;

use beamdesk_proto::{
    control::{AgentMessage, GateHello, GateMessage, Open, VideoCodec, ViewerMessage},
    wire,
};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) fn check(bytes: &[u8]) {
    let (which, text) = bytes.split_first().unwrap_or((&0, &[]));
    match which % 5 {
        0 => again::<AgentMessage>(text, |message| match message {
            AgentMessage::Unknown => true,
            AgentMessage::Status(status) => status.codec == Some(VideoCodec::Unknown),
            _ => false,
        }),
        1 => again::<ViewerMessage>(text, |message| match message {
            ViewerMessage::Unknown => true,
            // An unknown codec is read and never written; JSON knows no infinity.
            ViewerMessage::Hello { .. }
            | ViewerMessage::VideoFailed { .. }
            | ViewerMessage::Wheel { .. } => true,
            _ => false,
        }),
        2 => again::<GateMessage>(text, |_| false),
        3 => again::<GateHello>(text, |_| false),
        _ => again::<Open>(text, |_| false),
    }
}

fn again<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    text: &[u8],
    is_not_written: fn(&T) -> bool,
) {
    let Ok(message) = wire::json::<T>(text) else { return };
    if is_not_written(&message) {
        return;
    }
    let written = wire::json_message(wire::kind::AGENT, &message);
    let read: T = wire::json(&written[wire::HEADER_BYTES..]).expect("what was written is read");
    assert_eq!(read, message);
}
