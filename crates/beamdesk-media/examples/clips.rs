//! Makes the clips by which a viewer finds out what its browser decodes: a grey ramp that moves.
//!
//! `cargo run --release -p beamdesk-media --example clips -- FILE [--x264 PROGRAM]`

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use beamdesk_media::{
    Choice, Encoders, EncodersConfig, Picture, PictureSize, PlaneFormat, Planes, VideoWish,
};
use serde_json::json;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 64;
/// By how many greys, and so pixels, a picture differs from the one before it.
const STEP: u16 = 8;
/// One that stands alone and two that build on it: enough to see whether a decoder holds any back.
const PICTURES: u16 = 3;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: clips FILE [--x264 PROGRAM]";
    let file = arguments.next().context(usage)?;
    let x264 = match (arguments.next().as_deref(), arguments.next()) {
        (None, None) => None,
        (Some("--x264"), Some(program)) => Some(PathBuf::from(program)),
        _ => bail!(usage),
    };
    // Not by a card: what it makes depends on the card.
    let encoders = Encoders::probe(EncodersConfig { x264, nvenc: false });
    let mut clips = BTreeMap::new();
    for &choice in encoders.found() {
        let codec = serde_json::to_value(choice.codec)?;
        let name = codec.as_str().context("codecs have names")?.to_owned();
        // The first that makes a codec is the one that is built in.
        if let Entry::Vacant(place) = clips.entry(name) {
            place.insert(clip(&encoders, choice)?);
        }
    }
    std::fs::write(&file, serde_json::to_string_pretty(&clips)? + "\n").context(file)
}

fn clip(encoders: &Encoders, choice: Choice) -> anyhow::Result<serde_json::Value> {
    let mut encoder = encoders.open(choice, WIDTH, HEIGHT)?;
    let mut frames = Vec::new();
    for number in 0..PICTURES {
        let planes = ramp(choice.format(), number * STEP)?;
        let is_key = number == 0;
        let packet = encoder.encode(&planes, VideoWish { bytes: usize::MAX, is_key })?;
        ensure!(packet.is_key == is_key, "picture {number} of {choice:?}");
        frames.push(base64(&packet.bytes));
    }
    Ok(json!({ "width": WIDTH, "height": HEIGHT, "step": STEP, "frames": frames }))
}

/// Each column has one grey, the one beside it the next.
fn ramp(format: PlaneFormat, from: u16) -> anyhow::Result<Planes> {
    let size = PictureSize::new(WIDTH, HEIGHT).context("a size of pictures")?;
    let row: Vec<u8> = (0..WIDTH)
        .flat_map(|x| {
            let [_, grey] = (x + from).to_be_bytes();
            [grey, grey, grey, u8::MAX]
        })
        .collect();
    let picture = Picture::from_bgrx(size, &row.repeat(HEIGHT.into())).context("its pixels")?;
    let mut planes = Planes::new(format, WIDTH, HEIGHT);
    planes.fill(&picture, size.rect());
    Ok(planes)
}

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|index| u32::from(group.get(index).copied().unwrap_or(0)));
        let bits = a << 16 | b << 8 | c;
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = usize::try_from(bits >> shift & 63).unwrap_or(0);
            text.push(if index <= group.len() { char::from(LETTERS[letter]) } else { '=' });
        }
    }
    text
}
