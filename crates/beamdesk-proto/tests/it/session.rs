//! The agent's session against viewers of all kinds: it becomes exact, it never says so wrongly,
//! it never has more in flight than it may.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use beamdesk_proto::{
    AgentSession, EncodedFrame, Event, Input, ProtocolError,
    control::{AgentMessage, Limit, Quality, VERSION, ViewerMessage},
    wire::{Ack, Header, kind, root_hash, root_text},
};
use proptest::prelude::*;

const TILES: u16 = 12;
const BYTES_MAX: usize = 4 << 20;
/// Of each kind.
const FRAMES_MAX: usize = 16;

#[test]
fn nothing_goes_out_before_a_hello_and_only_one_hello_comes() {
    let mut world = World::start();
    assert_eq!(world.session.budget(world.now), None);
    assert!(matches!(world.ack(&ack(0, &[])), Err(ProtocolError::Hello)));
    let resize = ViewerMessage::Resize { width: 100, height: 100 };
    assert!(matches!(world.say(&resize), Err(ProtocolError::Hello)));
    world.greet();
    assert!(world.session.budget(world.now).is_some());
    let again = ViewerMessage::Hello {
        version: VERSION,
        width: 1,
        height: 1,
        decodes: Vec::new(),
        quality: Quality::Automatic,
    };
    assert!(matches!(world.say(&again), Err(ProtocolError::Hello)));
}

#[test]
fn another_version_is_refused() {
    let hello = ViewerMessage::Hello {
        version: VERSION + 1,
        width: 1,
        height: 1,
        decodes: Vec::new(),
        quality: Quality::Automatic,
    };
    let refused = World::start().say(&hello);
    assert!(matches!(refused, Err(ProtocolError::Version { theirs, ours: VERSION }) if theirs > 1));
}

#[test]
fn exact_is_said_once_with_the_root_of_all_tiles() {
    let mut world = World::greeted();
    world.send(1, &whole(5));
    assert_eq!(world.session.exact(false), None, "nothing is acknowledged");
    world.ack(&ack(1, &whole(5))).unwrap();
    assert_eq!(world.session.exact(true), None, "something waits");
    let root = root_text(root_hash(whole(5).into_iter().map(|(_, hash)| hash)));
    assert_eq!(world.session.exact(false), Some(AgentMessage::Exact { frame: 1, root }));
    assert_eq!(world.session.exact(false), None, "it was said");
}

#[test]
fn a_tile_that_was_never_sent_is_not_exact() {
    let mut world = World::greeted();
    let most = &whole(5)[1..];
    world.send(1, most);
    world.ack(&ack(1, most)).unwrap();
    assert_eq!(world.session.exact(false), None);
}

#[test]
fn a_wrong_or_missing_hash_is_repaired() {
    let mut world = World::greeted();
    world.send(1, &whole(5));
    let mut held = whole(5);
    held[3].1 ^= 1;
    held.remove(7);
    let events = world.ack(&ack(1, &held)).unwrap();
    assert_eq!(events, [Event::Repair(vec![3, 7])]);
    assert_eq!(world.session.exact(false), None);
    let again = [whole(5)[3], whole(5)[7]];
    world.send(2, &again);
    assert_eq!(world.ack(&ack(2, &again)).unwrap(), []);
    assert!(world.session.exact(false).is_some());
}

#[test]
fn the_newest_frame_counts_though_an_older_one_was_right() {
    let mut world = World::greeted();
    world.send(1, &whole(5));
    world.send(2, &[(4, 99)]);
    world.ack(&ack(1, &whole(5))).unwrap();
    assert_eq!(world.session.exact(false), None);
    world.ack(&ack(2, &[(4, 99)])).unwrap();
    assert!(world.session.exact(false).is_some());
}

#[test]
fn a_tile_that_does_not_read_back_is_not_exact_until_sent_again() {
    let mut world = World::greeted();
    world.send(1, &whole(5));
    world.ack(&ack(1, &whole(5))).unwrap();
    assert!(world.session.exact(false).is_some());
    let repair = ViewerMessage::Repair { tiles: vec![4, 4, 2, TILES, u16::MAX] };
    assert_eq!(world.say(&repair).unwrap(), [Event::Repair(vec![2, 4])]);
    let again = [whole(5)[2], whole(5)[4]];
    world.send(2, &again);
    world.ack(&ack(2, &again)).unwrap();
    assert!(world.session.exact(false).is_some());
}

#[test]
fn a_tile_painted_by_video_is_not_exact_until_a_whole_tile_replaces_it() {
    let mut world = World::greeted();
    world.send(1, &whole(5));
    world.ack(&ack(1, &whole(5))).unwrap();
    world.video(2, &[3, 4]);
    assert_eq!(world.session.exact(false), None, "it is under way");
    assert_eq!(
        world.ack(&ack(2, &[])).unwrap(),
        [],
        "a video frame proves nothing, and owes nothing"
    );
    assert_eq!(world.session.exact(false), None, "it was shown");
    world.send(3, &[whole(5)[3]]);
    world.ack(&ack(3, &[whole(5)[3]])).unwrap();
    assert_eq!(world.session.exact(false), None, "one is left");
    world.send(4, &[whole(5)[4]]);
    world.ack(&ack(4, &[whole(5)[4]])).unwrap();
    assert!(world.session.exact(false).is_some());
}

#[test]
fn an_acknowledgement_from_before_video_does_not_count_after_it() {
    let mut world = World::greeted();
    world.send(1, &whole(5));
    world.video(2, &[3]);
    world.send(3, &[whole(5)[3]]);
    world.ack(&ack(1, &whole(5))).unwrap();
    assert_eq!(world.session.exact(false), None);
    // Hashes of a video frame are nobody's word.
    world.ack(&ack(2, &[whole(5)[3]])).unwrap();
    assert_eq!(world.session.exact(false), None);
    let wrong = [(3, 77)];
    assert_eq!(world.ack(&ack(3, &wrong)).unwrap(), [Event::Repair(vec![3])]);
    assert_eq!(world.session.exact(false), None);
}

#[test]
fn after_a_resize_old_acknowledgements_free_room_and_prove_nothing() {
    let mut world = World::greeted();
    world.send(1, &whole(5));
    world.session.restart(usize::from(TILES));
    assert_eq!(world.ack(&ack(1, &whole(5))).unwrap(), []);
    assert_eq!(world.session.frames_in_flight(), 0);
    assert_eq!(world.session.exact(false), None);
    world.send(2, &whole(6));
    world.ack(&ack(2, &whole(6))).unwrap();
    assert!(world.session.exact(false).is_some());
}

#[test]
fn an_acknowledgement_of_another_frame_ends_the_stream() {
    let mut world = World::greeted();
    world.send(1, &whole(5));
    world.send(2, &whole(6));
    assert!(matches!(world.ack(&ack(2, &whole(6))), Err(ProtocolError::UnknownFrame(2))));
    world.ack(&ack(1, &whole(5))).unwrap();
    assert!(matches!(world.ack(&ack(1, &whole(5))), Err(ProtocolError::UnknownFrame(1))));
}

#[test]
fn acknowledgements_of_what_was_never_sent_end_the_stream() {
    for never in [0, 1, 7, u32::MAX] {
        let refused = World::greeted().ack(&ack(never, &[]));
        assert!(matches!(refused, Err(ProtocolError::UnknownFrame(frame)) if frame == never));
    }
    // From the future, and twice.
    for frame in [0, 2, 3, u32::MAX] {
        let mut world = World::greeted();
        world.send(1, &whole(5));
        assert!(world.ack(&ack(frame, &whole(5))).is_err(), "{frame} was not sent");
        world.ack(&ack(1, &whole(5))).unwrap();
        assert!(world.ack(&ack(1, &whole(5))).is_err(), "once is enough");
    }
}

#[test]
fn times_that_cannot_be_are_no_harm() {
    let mut world = World::greeted();
    for frame in 1..200 {
        world.now += Duration::from_millis(20);
        world.video(frame, &[1]);
        world.now += Duration::from_millis(5);
        let (decode_us, shown_us) = (u32::MAX, u32::MAX);
        world.ack(&Ack { frame, decode_us, shown_us, tiles: vec![] }).unwrap();
    }
    world.now += Duration::from_millis(50);
    assert!(world.session.budget(world.now).is_some());
    assert!(world.session.video_budget(world.now).is_some());
    assert!(world.session.viewer_cost().video_frame <= Duration::from_millis(5));
}

#[test]
fn a_viewer_that_acknowledges_nothing_gets_a_bounded_amount() {
    let mut world = World::greeted();
    let mut frame = 0;
    for _ in 0..10_000 {
        if let Some(budget) = world.session.budget(world.now) {
            frame += 1;
            world.sent(frame, budget, &[(0, 1)]);
        }
        if let Some(budget) = world.session.video_budget(world.now) {
            world.session.video_started(world.now);
            frame += 1;
            world.video_of(frame, budget, &[1]);
        }
        world.now += Duration::from_millis(1);
    }
    assert!(frame <= 5, "{frame} frames");
    assert!(world.session.bytes_in_flight() < 1 << 20);
    assert_eq!(world.session.ready_at(world.now), None, "no timer runs for it");
    assert_eq!(world.session.video_ready_at(world.now), None);
    assert_eq!(world.session.limit(world.now), Limit::Network);
}

#[test]
fn at_most_sixty_frames_a_second() {
    let mut world = World::greeted();
    let mut frames = 0;
    for _ in 0..1000 {
        if world.session.budget(world.now).is_some() {
            frames += 1;
            world.send(frames, &[(0, 1)]);
            world.ack(&ack(frames, &[(0, 1)])).unwrap();
        }
        world.now += Duration::from_millis(1);
    }
    assert!((55..=61).contains(&frames), "{frames} frames in a second");
}

#[test]
fn sixty_frames_a_second_survive_a_long_way() {
    let way = Duration::from_millis(80);
    let mut world = World::greeted();
    let mut due = VecDeque::new();
    let mut frames = 0;
    for _ in 0..5000 {
        while due.front().is_some_and(|&(at, _)| at <= world.now) {
            let (_, frame) = due.pop_front().unwrap();
            world.ack(&ack(frame, &[(0, 1)])).unwrap();
        }
        if world.session.budget(world.now).is_some() {
            frames += 1;
            world.send(frames, &[(0, 1)]);
            due.push_back((world.now + way, frames));
        }
        world.now += Duration::from_millis(1);
    }
    assert!(frames > 5 * 55, "{frames} frames in five seconds");
}

#[test]
fn a_narrow_line_holds_little_and_a_wide_one_is_filled() {
    // Bytes a second, and what may be in flight once it is known: way and 50 ms of queue.
    let lines = [
        (20, 1_000_000, 64_000, 150_000),
        (80, 10_000_000, 800_000, 2_000_000),
        (20, 100_000_000, 2_000_000, BYTES_MAX),
        (80, 30_000_000, 2_400_000, BYTES_MAX),
    ];
    for (way, rate, least, most) in lines {
        let way = Duration::from_millis(way);
        let mut world = World::greeted();
        let mut due: VecDeque<(Instant, u32)> = VecDeque::new();
        let mut free = world.now;
        let (mut frame, mut held, mut bytes) = (0, 0, 0);
        for step in 0..20_000 {
            while due.front().is_some_and(|&(at, _)| at <= world.now) {
                let (_, frame) = due.pop_front().unwrap();
                world.ack(&ack(frame, &[(0, 1)])).unwrap();
            }
            if let Some(budget) = world.session.budget(world.now) {
                frame += 1;
                world.sent(frame, budget, &[(0, 1)]);
                let micros = u64::try_from(budget).unwrap() * 1_000_000 / rate;
                free = free.max(world.now) + Duration::from_micros(micros);
                due.push_back((free + way, frame));
                if step >= 15_000 {
                    bytes += budget;
                }
            }
            if step >= 15_000 {
                held = held.max(world.session.bytes_in_flight());
            }
            world.now += Duration::from_millis(1);
        }
        assert!((least..=most).contains(&held), "{held} bytes in flight at {rate} a second");
        let used = u64::try_from(bytes).unwrap() / 5;
        assert!(used * 10 >= rate * 7, "{used} of {rate} bytes a second were used");
    }
}

#[test]
fn small_frames_too_are_few_in_flight() {
    let mut world = World::greeted();
    let mut frame = 0;
    // Two before anything is known of the way, then as many as a long way needs.
    for most in [2, FRAMES_MAX] {
        for _ in 0..100 {
            world.now += Duration::from_millis(20);
            if world.session.budget(world.now).is_some() {
                frame += 1;
                world.sent(frame, 100, &[(0, 1)]);
            }
        }
        assert_eq!(world.session.frames_in_flight(), most);
        let oldest = frame + 1 - u32::try_from(most).unwrap();
        for acked in oldest..=frame {
            world.ack(&ack(acked, &[(0, 1)])).unwrap();
        }
    }
}

#[test]
fn a_viewer_that_acknowledges_nothing_has_stalled_after_twenty_seconds() {
    let mut world = World::greeted();
    world.now += Duration::from_secs(100);
    assert!(!world.session.is_stalled(world.now), "nothing was sent");
    world.send(1, &whole(5));
    world.now += Duration::from_secs(19);
    assert!(!world.session.is_stalled(world.now));
    world.now += Duration::from_secs(1);
    assert!(world.session.is_stalled(world.now));
    assert_eq!(world.session.stalls_at(), Some(world.now));
}

#[test]
fn a_hidden_viewer_gets_nothing_and_does_not_stall() {
    let mut world = World::greeted();
    world.send(1, &whole(5));
    world.say(&ViewerMessage::Visible { visible: false }).unwrap();
    world.now += Duration::from_secs(1000);
    assert_eq!(world.session.budget(world.now), None);
    assert!(!world.session.is_stalled(world.now));
    world.say(&ViewerMessage::Visible { visible: true }).unwrap();
    assert!(!world.session.is_stalled(world.now), "it has just come back");
    assert!(world.session.budget(world.now).is_some());
}

#[test]
fn input_comes_through_and_nonsense_does_not() {
    let mut world = World::greeted();
    let key = ViewerMessage::Key { code: "KeyA".to_owned(), down: true };
    let came = Event::Input(Input::Key { code: "KeyA".to_owned(), down: true });
    assert_eq!(world.say(&key).unwrap(), [came]);
    for bad in [
        ViewerMessage::Key { code: "K".repeat(33), down: true },
        ViewerMessage::Key { code: String::new(), down: true },
        ViewerMessage::Layout { name: "ä".to_owned() },
        ViewerMessage::Wheel { x: 0, y: 0, dx: 1e9, dy: 0.0 },
    ] {
        assert!(matches!(world.say(&bad), Err(ProtocolError::OutOfBounds(_))), "{bad:?}");
    }
}

#[test]
fn what_a_newer_viewer_says_is_passed_over() {
    let mut world = World::greeted();
    let newer = br#"{ "type": "dance", "steps": 3 }"#;
    assert_eq!(world.receive(kind::VIEWER, newer).unwrap(), []);
    let more = br#"{ "type": "visible", "visible": true, "why": "the sun" }"#;
    assert_eq!(world.receive(kind::VIEWER, more).unwrap(), [Event::Visible(true)]);
    let header = Header { kind: 0x70, flags: 1, len: 0 };
    assert_eq!(world.session.received(header, &[], world.now).unwrap(), []);
    let header = Header { kind: 0x70, flags: 0, len: 0 };
    assert!(world.session.received(header, &[], world.now).is_err());
}

#[derive(Debug, Clone)]
enum Step {
    /// Change some tiles.
    Change(Vec<(u16, u64)>),
    /// Encode if there is room, into frames of at most so many tiles.
    Encode {
        tiles_max: usize,
    },
    /// Paint some tiles by video, if there is room.
    Video(Vec<u16>),
    /// The viewer draws and acknowledges the next frame; some tiles wrongly.
    Draw {
        wrong: Vec<u16>,
    },
    Wait(u16),
    Repair(Vec<u16>),
    Resize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let tile = || 0..TILES;
    let step = prop_oneof![
        4 => prop::collection::vec((tile(), 0u64..5), 1..6).prop_map(Step::Change),
        6 => (1usize..8).prop_map(|tiles_max| Step::Encode { tiles_max }),
        3 => prop::collection::vec(tile(), 1..6).prop_map(Step::Video),
        6 => prop::collection::vec(tile(), 0..2).prop_map(|wrong| Step::Draw { wrong }),
        2 => (0u16..40).prop_map(Step::Wait),
        1 => prop::collection::vec(tile(), 0..3).prop_map(Step::Repair),
        1 => Just(Step::Resize),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn it_arrives_and_it_never_lies(steps in steps()) {
        let mut world = World::greeted();
        for step in &steps {
            world.step(step);
            world.check();
        }
        // From here on nothing is lost and nothing is wrong.
        for _ in 0..10 * TILES {
            world.step(&Step::Encode { tiles_max: 3 });
            world.check();
            world.step(&Step::Draw { wrong: vec![] });
            world.check();
            world.step(&Step::Wait(20));
        }
        prop_assert!(world.is_exact, "loss-free acknowledgements make it exact");
    }

    #[test]
    fn no_message_of_a_viewer_breaks_the_session(
        messages in prop::collection::vec(
            (prop_oneof![Just(kind::VIEWER), Just(kind::ACK), any::<u8>()],
             prop::collection::vec(any::<u8>(), 0..60)),
            0..40,
        ),
    ) {
        let mut world = World::greeted();
        world.send(1, &whole(1));
        for (kind, payload) in messages {
            let events = world.receive(kind, &payload);
            prop_assert!(events.is_ok() || world.session.exact(false).is_none());
        }
    }
}

/// An agent with its session on one side, a viewer on the other, a wire between them.
struct World {
    session: AgentSession,
    now: Instant,
    /// The agent's picture and what of it waits to be sent.
    picture: Vec<u64>,
    waits: Vec<bool>,
    frame: u32,
    wire: VecDeque<OnTheWire>,
    /// The viewer's.
    held: Vec<Option<u64>>,
    is_exact: bool,
}

impl World {
    fn start() -> Self {
        let now = now();
        let tiles = usize::from(TILES);
        Self {
            session: AgentSession::new(tiles, now),
            now,
            picture: vec![0; tiles],
            waits: vec![true; tiles],
            frame: 0,
            wire: VecDeque::new(),
            held: vec![None; tiles],
            is_exact: false,
        }
    }

    fn greeted() -> Self {
        let mut world = Self::start();
        world.greet();
        world
    }

    fn greet(&mut self) {
        let hello = ViewerMessage::Hello {
            version: VERSION,
            width: 640,
            height: 480,
            decodes: Vec::new(),
            quality: Quality::Automatic,
        };
        let events = self.say(&hello).unwrap();
        assert_eq!(
            events,
            [Event::Hello {
                width: 640,
                height: 480,
                decodes: Vec::new(),
                quality: Quality::Automatic
            }]
        );
    }

    fn say(&mut self, message: &ViewerMessage) -> Result<Vec<Event>, ProtocolError> {
        self.receive(kind::VIEWER, &serde_json::to_vec(message).unwrap())
    }

    fn ack(&mut self, ack: &Ack) -> Result<Vec<Event>, ProtocolError> {
        self.receive(kind::ACK, &ack.encode())
    }

    fn receive(&mut self, kind: u8, payload: &[u8]) -> Result<Vec<Event>, ProtocolError> {
        let header = Header { kind, flags: 0, len: u32::try_from(payload.len()).unwrap() };
        self.session.received(header, payload, self.now)
    }

    fn send(&mut self, frame: u32, tiles: &[(u16, u64)]) {
        self.sent(frame, 1000, tiles);
    }

    fn sent(&mut self, frame: u32, bytes: usize, tiles: &[(u16, u64)]) {
        let tiles = tiles.to_vec();
        self.session.sent(
            EncodedFrame { frame, bytes, tiles, lossy: Vec::new(), complete: true },
            self.now,
        );
    }

    fn video(&mut self, frame: u32, lossy: &[u16]) {
        self.video_of(frame, 1000, lossy);
    }

    fn video_of(&mut self, frame: u32, bytes: usize, lossy: &[u16]) {
        let (tiles, lossy) = (Vec::new(), lossy.to_vec());
        self.session.sent(EncodedFrame { frame, bytes, tiles, lossy, complete: true }, self.now);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Change(tiles) => {
                for &(tile, hash) in tiles {
                    self.picture[usize::from(tile)] = hash;
                    self.waits[usize::from(tile)] = true;
                }
            }
            Step::Encode { tiles_max } => self.encode(*tiles_max),
            Step::Video(tiles) => self.paint(tiles),
            Step::Draw { wrong } => self.draw(wrong),
            Step::Wait(millis) => self.now += Duration::from_millis((*millis).into()),
            Step::Repair(tiles) => {
                let events = self.say(&ViewerMessage::Repair { tiles: tiles.clone() }).unwrap();
                self.heed(&events);
            }
            Step::Resize => {
                self.session.restart(usize::from(TILES));
                self.waits.fill(true);
                self.held.fill(None);
                self.wire.iter_mut().for_each(|frame| frame.is_old = true);
                self.is_exact = false;
            }
        }
    }

    fn encode(&mut self, tiles_max: usize) {
        let Some(budget) = self.session.budget(self.now) else { return };
        // Some frames are small, and some take all they may.
        let bytes = if tiles_max.is_multiple_of(2) { budget } else { budget.min(100) };
        let waiting = (0..TILES).filter(|&tile| self.waits[usize::from(tile)]);
        let tiles: Vec<_> =
            waiting.take(tiles_max).map(|tile| (tile, self.picture[usize::from(tile)])).collect();
        if tiles.is_empty() {
            return;
        }
        tiles.iter().for_each(|&(tile, _)| self.waits[usize::from(tile)] = false);
        self.frame += 1;
        self.sent(self.frame, bytes, &tiles);
        self.wire.push_back(OnTheWire { frame: self.frame, tiles, painted: vec![], is_old: false });
        self.is_exact = false;
    }

    fn paint(&mut self, tiles: &[u16]) {
        if self.session.video_budget(self.now).is_none() {
            return;
        }
        self.session.video_started(self.now);
        self.frame += 1;
        self.video(self.frame, tiles);
        tiles.iter().for_each(|&tile| self.waits[usize::from(tile)] = true);
        let painted = tiles.to_vec();
        self.wire.push_back(OnTheWire { frame: self.frame, tiles: vec![], painted, is_old: false });
        self.is_exact = false;
    }

    fn draw(&mut self, wrong: &[u16]) {
        let Some(sent) = self.wire.pop_front() else { return };
        let OnTheWire { frame, tiles: mut held, painted, is_old } = sent;
        if !is_old {
            painted.iter().for_each(|&tile| self.held[usize::from(tile)] = None);
        }
        for (tile, hash) in &mut held {
            *hash ^= u64::from(wrong.contains(tile)) << 60;
            if !is_old {
                self.held[usize::from(*tile)] = Some(*hash);
            }
        }
        let events = self.ack(&ack(frame, &held)).unwrap();
        self.heed(&events);
    }

    fn heed(&mut self, events: &[Event]) {
        for event in events {
            let Event::Repair(tiles) = event else { panic!("{event:?}") };
            tiles.iter().for_each(|&tile| self.waits[usize::from(tile)] = true);
        }
    }

    fn check(&mut self) {
        assert!(self.session.frames_in_flight() <= FRAMES_MAX);
        assert!(self.session.bytes_in_flight() <= BYTES_MAX);
        let has_work = self.waits.contains(&true);
        if let Some(AgentMessage::Exact { root, .. }) = self.session.exact(has_work) {
            let held: Vec<_> = self.held.iter().map(|tile| tile.unwrap()).collect();
            assert_eq!(held, self.picture, "what is said to be exact is so");
            assert_eq!(root, root_text(root_hash(held)));
            self.is_exact = true;
        }
    }
}

struct OnTheWire {
    frame: u32,
    tiles: Vec<(u16, u64)>,
    /// By video: what is there is unknown.
    painted: Vec<u16>,
    /// A resize came since.
    is_old: bool,
}

fn whole(hash: u64) -> Vec<(u16, u64)> {
    (0..TILES).map(|tile| (tile, hash + u64::from(tile))).collect()
}

fn ack(frame: u32, tiles: &[(u16, u64)]) -> Ack {
    Ack { frame, decode_us: 0, shown_us: 0, tiles: tiles.to_vec() }
}

#[expect(clippy::disallowed_methods, reason = "some instant to count from")]
fn now() -> Instant {
    Instant::now()
}
