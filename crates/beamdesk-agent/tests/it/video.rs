//! Motion as video, rest as exact tiles: what an engine with an encoder promises.

use std::time::Duration;

use beamdesk_proto::control::{AgentMessage, Quality, Status, VideoCodec, ViewerMessage};
use tokio::io::DuplexStream;

use crate::{
    line::Line,
    rig::{Rig, now},
    viewer::{Seen, Viewer},
};

/// A browser to which each tile is dear and a picture of video is not.
const SLOW_WITH_TILES: (u32, u32) = (500, 700);

async fn watcher(rig: &Rig, decodes: &[VideoCodec], quality: Quality) -> Viewer<DuplexStream> {
    let size = (640, 512);
    let mut viewer = Viewer::greet_with(rig.connect(), size, decodes.to_vec(), quality).await;
    viewer.work_us = SLOW_WITH_TILES;
    viewer
}

async fn until_videos(viewer: &mut Viewer<DuplexStream>, count: u32) {
    while viewer.videos < count {
        assert_ne!(viewer.next().await, Seen::End);
    }
}

#[tokio::test]
async fn motion_comes_as_video_and_rest_is_exact() {
    let rig = Rig::start_movie();
    let mut viewer = watcher(&rig, &[VideoCodec::H264], Quality::Automatic).await;
    until_videos(&mut viewer, 15).await;
    assert!(!viewer.shows_what_it_holds(), "video is not exact");
    rig.stepper.end_movie();
    viewer.until_exact().await;
    for _ in 0..20 {
        rig.stepper.step();
        viewer.until_exact().await;
    }
    assert!(viewer.keys < viewer.videos / 3, "{} of {}", viewer.keys, viewer.videos);
    drop(viewer);
    rig.end().await;
}

#[tokio::test]
async fn a_browser_without_decoder_gets_tiles_only() {
    let rig = Rig::start_movie();
    for (decodes, quality) in [
        (&[][..], Quality::Automatic),
        (&[VideoCodec::Hevc][..], Quality::ThinLink),
        // Exact motion cannot be had of this codec.
        (&[VideoCodec::H264][..], Quality::ExactMotion),
    ] {
        let mut viewer = watcher(&rig, decodes, quality).await;
        while viewer.frames < 30 {
            assert_ne!(viewer.next().await, Seen::End);
        }
        assert_eq!(viewer.videos, 0);
    }
    rig.end().await;
}

#[tokio::test]
async fn a_decoder_that_fails_in_mid_stream_is_not_used_again() {
    let rig = Rig::start_movie();
    let mut viewer = watcher(&rig, &[VideoCodec::H264], Quality::Automatic).await;
    until_videos(&mut viewer, 10).await;
    viewer.say(&ViewerMessage::VideoFailed { codec: VideoCodec::H264 }).await;
    // Answered, so taken in by then.
    viewer.say(&ViewerMessage::Resize { width: 0, height: 0 }).await;
    while !matches!(viewer.next().await, Seen::Told(AgentMessage::ResizeRefused { .. })) {}
    let videos = viewer.videos;
    let frames = viewer.frames;
    while viewer.frames < frames + 10 {
        assert_ne!(viewer.next().await, Seen::End);
    }
    rig.stepper.end_movie();
    viewer.until_exact().await;
    assert_eq!(viewer.videos, videos);
    drop(viewer);
    rig.end().await;
}

#[tokio::test]
async fn a_viewer_that_lost_its_reference_gets_a_key_frame() {
    let rig = Rig::start_movie();
    let mut viewer = watcher(&rig, &[VideoCodec::H264], Quality::Automatic).await;
    until_videos(&mut viewer, 20).await;
    let keys = viewer.keys;
    viewer.say(&ViewerMessage::KeyFrame).await;
    viewer.say(&ViewerMessage::KeyFrame).await;
    let videos = viewer.videos;
    while viewer.keys == keys {
        assert_ne!(viewer.next().await, Seen::End);
    }
    assert!(viewer.videos - videos < 20, "{}", viewer.videos - videos);
    rig.stepper.end_movie();
    viewer.until_exact().await;
    drop(viewer);
    rig.end().await;
}

#[tokio::test]
async fn a_stalled_viewer_and_a_slow_one_do_not_hold_up_a_third() {
    let rig = Rig::start_movie();
    let mut stalled = watcher(&rig, &[VideoCodec::H264], Quality::Automatic).await;
    let mut slow = watcher(&rig, &[VideoCodec::H264], Quality::ThinLink).await;
    slow.work_us = (30_000, 2_000);
    let mut quick = watcher(&rig, &[VideoCodec::H264], Quality::Automatic).await;
    stalled.acknowledges = false;
    let both = async {
        until_videos(&mut quick, 12).await;
        rig.stepper.end_movie();
        quick.until_exact().await;
    };
    // The slow one goes on reading meanwhile.
    tokio::join!(both, slow.until_exact());
    drop((stalled, slow, quick));
    rig.end().await;
}

/// What it takes of its own time must not hold up the line's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_viewer_and_one_on_a_thin_line_do_not_hold_up_a_third() {
    // 4 Mbit/s. Unpaced, the movie would stand in line for seconds; paced, for 50 ms, and for some
    // hundreds where the machine is so busy that the line is taken for better than it is.
    const RATE: u32 = 500_000;
    const LONGEST_WAIT: Duration = Duration::from_secs(1);
    let rig = Rig::start_movie();
    let mut stalled = watcher(&rig, &[VideoCodec::H264], Quality::Automatic).await;
    stalled.acknowledges = false;
    let (stream, meter) = rig.connect_over(Line { rate: RATE, way: Duration::from_millis(60) });
    let decodes = vec![VideoCodec::H264];
    let mut thin = Viewer::greet_with(stream, (640, 512), decodes, Quality::Automatic).await;
    let mut quick = watcher(&rig, &[VideoCodec::H264], Quality::Automatic).await;
    // The first picture goes out before anything is known about the line.
    tokio::join!(until_videos(&mut quick, 5), until_videos(&mut thin, 5));
    meter.take();
    let before = (quick.bytes, quick.videos, thin.videos);
    let quickly = async {
        until_videos(&mut quick, before.1 + 60).await;
        let moved = meter.take();
        rig.stepper.end_movie();
        quick.until_exact().await;
        (quick.bytes - before.0, moved, now())
    };
    let slowly = async {
        thin.until_exact().await;
        now()
    };
    let ((quick_bytes, moved, quick_exact), thin_exact) = tokio::join!(quickly, slowly);
    eprintln!(
        "quick: {} videos, {quick_bytes} bytes; thin: {} videos, {moved:?}, exact {:?} later",
        quick.videos - before.1,
        thin.videos - before.2,
        thin_exact.saturating_duration_since(quick_exact),
    );
    assert!(quick_exact < thin_exact, "who has the wider line is exact first");
    assert!(quick_bytes > 2 * moved.bytes, "{quick_bytes} next to {}", moved.bytes);
    assert!(moved.longest_wait < LONGEST_WAIT, "{:?}", moved.longest_wait);
    assert!(thin.videos - before.2 >= 5, "{} pictures of the movie", thin.videos - before.2);
    // All that was kept for who read nothing, at once: it closes its side, and reads on.
    stalled.write(b"\xff\x00\x00\x00\x00\x00\x00\x00").await;
    stalled.until_end().await;
    assert!(stalled.frames + stalled.videos <= 8, "{} frames", stalled.frames + stalled.videos);
    assert!(stalled.bytes <= 1 << 20, "{} bytes", stalled.bytes);
    drop((stalled, thin, quick));
    rig.end().await;
}

#[tokio::test]
async fn resizes_in_the_middle_of_a_movie_end_exact() {
    let rig = Rig::start_movie();
    let mut viewer = watcher(&rig, &[VideoCodec::H264], Quality::Automatic).await;
    for (width, height) in [(641, 500), (900, 700), (560, 430), (640, 512)] {
        let before = viewer.videos;
        viewer.say(&ViewerMessage::Resize { width, height }).await;
        while viewer.videos < before + 3 {
            assert_ne!(viewer.next().await, Seen::End);
        }
    }
    rig.stepper.end_movie();
    viewer.until_exact().await;
    drop(viewer);
    rig.end().await;
}

#[tokio::test]
async fn who_watches_hears_of_the_encoder_and_nobody_else() {
    let rig = Rig::start_movie();
    let mut viewer = watcher(&rig, &[VideoCodec::H264], Quality::Automatic).await;
    until_videos(&mut viewer, 10).await;
    viewer.say(&ViewerMessage::Watch { on: true }).await;
    let status = loop {
        match viewer.next().await {
            Seen::Told(AgentMessage::Status(status)) if status.codec.is_some() => break status,
            Seen::End => panic!("the agent closed the connection"),
            _ => {}
        }
    };
    let Status { encoder, codec, qp, video_tiles, encode_us, .. } = status;
    assert_eq!((encoder.as_str(), codec), ("openh264", Some(VideoCodec::H264)));
    assert!(qp.is_some_and(|qp| (10..=51).contains(&qp)), "{qp:?}");
    assert!((30..=80).contains(&video_tiles) && encode_us > 100, "{video_tiles} {encode_us}");
    viewer.say(&ViewerMessage::Watch { on: false }).await;
    rig.stepper.end_movie();
    viewer.until_exact().await;
    drop(viewer);
    rig.end().await;
}
