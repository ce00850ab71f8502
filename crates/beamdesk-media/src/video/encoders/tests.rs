//! Which encoder is found, and which is chosen.

use super::*;

const ALL: [VideoCodec; 5] = [
    VideoCodec::H264,
    VideoCodec::H264Grey,
    VideoCodec::H264Rgb,
    VideoCodec::Av1,
    VideoCodec::Hevc,
];

fn all() -> Encoders {
    Encoders::given(CANDIDATES.to_vec(), |choice, width, height| {
        open(&EncodersConfig::default(), choice, width, height)
    })
}

fn name(choice: Option<Choice>) -> Option<(EncoderName, VideoCodec)> {
    choice.map(|choice| (choice.encoder, choice.codec))
}

#[test]
fn what_is_built_in_is_found_and_the_rest_is_missing_with_a_reason() {
    let encoders = Encoders::probe(EncodersConfig::default());
    assert!(encoders.found().contains(&Choice::OPENH264));
    assert_eq!(encoders.found().len() + encoders.missing().len(), CANDIDATES.len());
    for (choice, error) in encoders.missing() {
        assert!(matches!(error, VideoError::Missing { .. }), "{choice:?}: {error}");
    }
    assert_eq!(encoders.names().first(), Some(&openh264::NAME));
}

#[test]
fn a_program_that_is_not_there_is_missing_or_failed_and_nothing_else_is_lost() {
    let x264 = Some(PathBuf::from("/nowhere/beamdesk-x264"));
    let encoders = Encoders::probe(EncodersConfig { x264, nvenc: true });
    assert!(encoders.found().contains(&Choice::OPENH264));
    assert!(encoders.found().iter().all(|choice| choice.encoder != EncoderName::X264));
}

#[test]
fn motion_that_must_be_exact_gets_nothing_lossy() {
    for content in [Content::Screen, Content::Natural, Content::Grey] {
        let choice = all().choose(Quality::ExactMotion, content, &ALL, &[]);
        assert!(choice.unwrap().is_exact());
    }
    let lossy = [VideoCodec::H264, VideoCodec::Av1, VideoCodec::Hevc];
    assert_eq!(all().choose(Quality::ExactMotion, Content::Natural, &lossy, &[]), None);
}

#[test]
fn only_what_the_viewer_decodes_is_chosen() {
    let none = all().choose(Quality::Automatic, Content::Natural, &[], &[]);
    assert_eq!(none, None);
    let unknown = [VideoCodec::Unknown, VideoCodec::Av1];
    let av1 = all().choose(Quality::Automatic, Content::Natural, &unknown, &[]);
    assert_eq!(name(av1), Some((EncoderName::Libaom, VideoCodec::Av1)));
}

#[test]
fn text_on_a_thin_line_is_av1() {
    let choice = all().choose(Quality::ThinLink, Content::Screen, &ALL, &[]);
    assert_eq!(name(choice), Some((EncoderName::Libaom, VideoCodec::Av1)));
}

#[test]
fn encoders_that_are_lost_one_by_one_leave_none() {
    let mut lost = Vec::new();
    while let Some(choice) = all().choose(Quality::Automatic, Content::Natural, &ALL, &lost) {
        assert!(!lost.contains(&choice) && !choice.is_exact());
        lost.push(choice);
    }
    assert_eq!(lost.len(), 5);
}
