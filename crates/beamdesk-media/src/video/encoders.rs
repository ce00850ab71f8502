//! Which video encoders this machine has, and which is the one for a stream.

use std::path::PathBuf;

use beamdesk_proto::control::{Quality, VideoCodec};

use crate::geometry::{PictureSize, Rect};
use crate::picture::Picture;
use crate::video::aom::Aom;
use crate::video::nvenc::Nvenc;
use crate::video::openh264::Openh264;
use crate::video::x264::X264;
use crate::video::{
    PlaneFormat, Planes, VideoEncoder, VideoError, VideoWish, aom, nvenc, openh264, x264,
};

/// Size and bytes of the trial: wide enough for each encoder's least.
const TRIAL_WIDTH: u16 = 256;
const TRIAL_HEIGHT: u16 = 128;
const TRIAL_BYTES: usize = 8192;

/// Where encoders that are not built in may be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodersConfig {
    /// The program `beamdesk-x264`.
    pub x264: Option<PathBuf>,
    /// Whether to look for a card that encodes.
    pub nvenc: bool,
}

/// An encoder together with what it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Choice {
    pub encoder: EncoderName,
    pub codec: VideoCodec,
}

impl Choice {
    pub const OPENH264: Self = Self::new(EncoderName::Openh264, VideoCodec::H264);

    pub const fn new(encoder: EncoderName, codec: VideoCodec) -> Self {
        Self { encoder, codec }
    }

    /// What its planes look like.
    pub fn format(self) -> PlaneFormat {
        match self.codec {
            VideoCodec::H264 | VideoCodec::Av1 | VideoCodec::Hevc | VideoCodec::Unknown => {
                PlaneFormat::I420
            }
            VideoCodec::H264Grey => PlaneFormat::I444,
            VideoCodec::H264Rgb => PlaneFormat::Gbr,
        }
    }

    /// Whether pixels come out as they went in; `H264Grey`: where they are grey.
    pub fn is_exact(self) -> bool {
        match self.codec {
            VideoCodec::H264Grey | VideoCodec::H264Rgb => true,
            VideoCodec::H264 | VideoCodec::Av1 | VideoCodec::Hevc | VideoCodec::Unknown => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EncoderName {
    Openh264,
    X264,
    Libaom,
    Nvenc,
}

impl EncoderName {
    /// As in [`beamdesk_proto::control::Status::encoder`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Openh264 => openh264::NAME,
            Self::X264 => x264::NAME,
            Self::Libaom => aom::NAME,
            Self::Nvenc => nvenc::NAME,
        }
    }
}

/// What moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// Text, lines and plain areas.
    Screen,
    /// Shaded views, noise, photographs.
    Natural,
    /// As `Natural`, without any colour.
    Grey,
}

/// All that there may be, each tried once.
const CANDIDATES: [Choice; 7] = [
    Choice::OPENH264,
    Choice::new(EncoderName::X264, VideoCodec::H264),
    Choice::new(EncoderName::X264, VideoCodec::H264Grey),
    Choice::new(EncoderName::X264, VideoCodec::H264Rgb),
    Choice::new(EncoderName::Libaom, VideoCodec::Av1),
    Choice::new(EncoderName::Nvenc, VideoCodec::H264),
    Choice::new(EncoderName::Nvenc, VideoCodec::Hevc),
];

enum Maker {
    Machine(EncodersConfig),
    Given(Box<dyn Fn(Choice, u16, u16) -> Opened + Send + Sync>),
}

impl std::fmt::Debug for Maker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Machine(config) => config.fmt(f),
            Self::Given(_) => f.write_str("Given"),
        }
    }
}

type Opened = Result<Box<dyn VideoEncoder>, VideoError>;

/// The encoders that were seen to work on this machine.
#[derive(Debug)]
pub struct Encoders {
    maker: Maker,
    found: Vec<Choice>,
    missing: Vec<(Choice, VideoError)>,
}

impl Encoders {
    /// Tries each with a picture: takes up to a second.
    pub fn probe(config: EncodersConfig) -> Self {
        let maker = Maker::Machine(config);
        let mut encoders = Self { maker, found: Vec::new(), missing: Vec::new() };
        for choice in CANDIDATES {
            match encoders.trial(choice) {
                Ok(()) => encoders.found.push(choice),
                Err(error) => encoders.missing.push((choice, error)),
            }
        }
        encoders
    }

    /// No video: everything goes as tiles.
    pub fn none() -> Self {
        let maker = Maker::Machine(EncodersConfig::default());
        Self { maker, found: Vec::new(), missing: Vec::new() }
    }

    /// Those that a function makes, in place of this machine's.
    pub fn given(
        found: Vec<Choice>,
        open: impl Fn(Choice, u16, u16) -> Opened + Send + Sync + 'static,
    ) -> Self {
        Self { maker: Maker::Given(Box::new(open)), found, missing: Vec::new() }
    }

    pub fn found(&self) -> &[Choice] {
        &self.found
    }

    /// What was tried in vain, and why.
    pub fn missing(&self) -> &[(Choice, VideoError)] {
        &self.missing
    }

    /// Of encoders that were found, each once.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.found.iter().map(|choice| choice.encoder.as_str()).collect();
        names.dedup();
        names
    }

    /// The best that is here, that the viewer decodes and that was not lost.
    pub fn choose(
        &self,
        quality: Quality,
        content: Content,
        decodes: &[VideoCodec],
        lost: &[Choice],
    ) -> Option<Choice> {
        let can = |choice: &&Choice| {
            self.found.contains(choice) && decodes.contains(&choice.codec) && !lost.contains(choice)
        };
        preference(quality, content).iter().find(can).copied()
    }

    /// Starts an encoder; its first frame is a key frame.
    pub fn open(&self, choice: Choice, width: u16, height: u16) -> Opened {
        match &self.maker {
            Maker::Machine(config) => open(config, choice, width, height),
            Maker::Given(open) => open(choice, width, height),
        }
    }

    /// Whether it gives a key frame of a picture, as it must.
    fn trial(&self, choice: Choice) -> Result<(), VideoError> {
        let mut encoder = self.open(choice, TRIAL_WIDTH, TRIAL_HEIGHT)?;
        let size = PictureSize::clamped(TRIAL_WIDTH.into(), TRIAL_HEIGHT.into());
        let region = Rect { x: 0, y: 0, width: TRIAL_WIDTH, height: TRIAL_HEIGHT };
        let mut planes = Planes::new(encoder.format(), TRIAL_WIDTH, TRIAL_HEIGHT);
        planes.fill(&Picture::black(size), region);
        let packet = encoder.encode(&planes, VideoWish { bytes: TRIAL_BYTES, is_key: true })?;
        if packet.is_key && !packet.bytes.is_empty() {
            Ok(())
        } else {
            let why = "its first frame was not a key frame".to_owned();
            Err(VideoError::Failed { name: choice.encoder.as_str(), why })
        }
    }
}

fn open(config: &EncodersConfig, choice: Choice, width: u16, height: u16) -> Opened {
    let missing =
        |why: &str| VideoError::Missing { name: choice.encoder.as_str(), why: why.to_owned() };
    match choice.encoder {
        EncoderName::Openh264 if choice == Choice::OPENH264 => {
            Ok(Box::new(Openh264::open(width, height)?))
        }
        EncoderName::Openh264 => Err(missing("it makes H.264 4:2:0 only")),
        EncoderName::X264 => match &config.x264 {
            Some(program) => Ok(Box::new(X264::open(program, choice.codec, width, height)?)),
            None => Err(missing("the program beamdesk-x264 is not installed")),
        },
        EncoderName::Libaom if choice.codec == VideoCodec::Av1 => {
            Ok(Box::new(Aom::open(width, height)?))
        }
        EncoderName::Libaom => Err(missing("it makes AV1 only")),
        EncoderName::Nvenc if !config.nvenc => Err(missing("switched off")),
        EncoderName::Nvenc => Ok(Box::new(Nvenc::open(choice.codec, width, height)?)),
    }
}

/// Best first. Openh264 is the cheaper one for what is natural; for scrolled text x264 makes a
/// quarter of its bytes and AV1's tools for screens a third of that again.
fn preference(quality: Quality, content: Content) -> &'static [Choice] {
    const OPENH264: Choice = Choice::OPENH264;
    const X264: Choice = Choice::new(EncoderName::X264, VideoCodec::H264);
    const AV1: Choice = Choice::new(EncoderName::Libaom, VideoCodec::Av1);
    const NVENC: Choice = Choice::new(EncoderName::Nvenc, VideoCodec::H264);
    const NVENC_HEVC: Choice = Choice::new(EncoderName::Nvenc, VideoCodec::Hevc);
    const GREY: Choice = Choice::new(EncoderName::X264, VideoCodec::H264Grey);
    const RGB: Choice = Choice::new(EncoderName::X264, VideoCodec::H264Rgb);
    match (quality, content) {
        (Quality::ExactMotion, Content::Grey) => &[GREY, RGB],
        (Quality::ExactMotion, Content::Screen | Content::Natural) => &[RGB],
        (Quality::ThinLink, Content::Screen) => &[AV1, X264, NVENC_HEVC, NVENC, OPENH264],
        (Quality::ThinLink, Content::Natural | Content::Grey) => {
            &[NVENC_HEVC, NVENC, X264, OPENH264, AV1]
        }
        (Quality::Automatic, Content::Screen) => &[NVENC, NVENC_HEVC, X264, OPENH264, AV1],
        (Quality::Automatic, Content::Natural | Content::Grey) => {
            &[NVENC, NVENC_HEVC, OPENH264, X264, AV1]
        }
    }
}

#[cfg(test)]
mod tests;
