//! Our tiles beside what else keeps pictures exactly: bytes and time, one thread, whole pictures.

use std::time::Duration;

use anyhow::anyhow;
use beamdesk_media::Picture;
use zune_core::bit_depth::BitDepth;
use zune_core::colorspace::ColorSpace;
use zune_core::options::EncoderOptions;
use zune_jpegxl::JxlSimpleEncoder;

use crate::figures::{Figures, cpu, median, since, to_f64};

const ROUNDS: usize = 5;

/// A picture as the others want it: one byte a pixel where it is grey, three otherwise. Making
/// that is not timed; QOI knows no grey.
struct Still {
    width: u32,
    height: u32,
    is_grey: bool,
    samples: Vec<u8>,
    rgb: Vec<u8>,
}

/// Ours is given: time and bytes of a full-screen change, packing into messages with it.
pub(crate) fn compare(
    content: &str,
    picture: &Picture,
    ours: (Duration, usize),
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let still = Still::new(picture);
    add(figures, content, "tiles", ours);
    add(figures, content, "png", timed(|| png(&still, png::Compression::Fast))?);
    add(figures, content, "png_balanced", timed(|| png(&still, png::Compression::Balanced))?);
    add(
        figures,
        content,
        "qoi",
        timed(|| Ok(qoi::encode_to_vec(&still.rgb, still.width, still.height)?))?,
    );
    add(figures, content, "webp", timed(|| webp(&still))?);
    add(figures, content, "jxl", timed(|| jxl(&still))?);
    Ok(())
}

impl Still {
    fn new(picture: &Picture) -> Self {
        let pixels = || picture.pixels().chunks_exact(4);
        let rgb: Vec<u8> = pixels().flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
        let is_grey = pixels().all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]);
        let samples = if is_grey { pixels().map(|pixel| pixel[0]).collect() } else { rgb.clone() };
        let size = picture.size();
        Self { width: size.width().into(), height: size.height().into(), is_grey, samples, rgb }
    }
}

fn add(figures: &mut Figures, content: &str, coder: &str, (time, bytes): (Duration, usize)) {
    let name = format!("stills.{content}_{coder}");
    figures.add(&format!("{name}_cpu"), time.as_secs_f64() * 1e3, "ms", ROUNDS);
    figures.add(&format!("{name}_size"), to_f64(bytes), "bytes", 1);
}

fn timed(encode: impl Fn() -> anyhow::Result<Vec<u8>>) -> anyhow::Result<(Duration, usize)> {
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let before = cpu();
        bytes = encode()?.len();
        times.push(since(before));
    }
    Ok((median(&mut times), bytes))
}

fn png(still: &Still, compression: png::Compression) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, still.width, still.height);
    encoder.set_color(if still.is_grey { png::ColorType::Grayscale } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(compression);
    encoder.write_header()?.write_image_data(&still.samples)?;
    Ok(bytes)
}

fn webp(still: &Still) -> anyhow::Result<Vec<u8>> {
    let kind = if still.is_grey { image_webp::ColorType::L8 } else { image_webp::ColorType::Rgb8 };
    let mut bytes = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut bytes);
    encoder.encode(&still.samples, still.width, still.height, kind)?;
    Ok(bytes)
}

fn jxl(still: &Still) -> anyhow::Result<Vec<u8>> {
    let space = if still.is_grey { ColorSpace::Luma } else { ColorSpace::RGB };
    let (width, height) = (usize::try_from(still.width)?, usize::try_from(still.height)?);
    let options = EncoderOptions::new(width, height, space, BitDepth::Eight);
    let mut bytes = Vec::new();
    let encoder = JxlSimpleEncoder::new(&still.samples, options.set_num_threads(1));
    encoder.encode(&mut bytes).map_err(|error| anyhow!("{error:?}"))?;
    Ok(bytes)
}
