//! 16-bit pictures beside the picture of the screen: they use what is left, and take nothing else.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use beamdesk_proto::{
    AgentSession, EncodedFrame, Event, ProtocolError,
    control::{Quality, VERSION, ViewerMessage},
    wire::{Ack, Header, kind},
};

const MS: Duration = Duration::from_millis(1);

/// A session and a line of some rate and way, in time that is turned by hand.
struct World {
    session: AgentSession,
    now: Instant,
    bytes_per_s: usize,
    way: Duration,
    free: Instant,
    coming: VecDeque<Coming>,
    frame: u32,
    /// Longest time that a frame waited for others to leave.
    queued: Duration,
}

/// An acknowledgement on its way.
struct Coming {
    at: Instant,
    frame: u32,
    tiles: Vec<(u16, u64)>,
}

impl World {
    fn start(bytes_per_s: usize, way: Duration) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a beginning; from here on time is ours")]
        let now = Instant::now();
        let mut session = AgentSession::new(4, now);
        let hello = ViewerMessage::Hello {
            version: VERSION,
            width: 128,
            height: 128,
            decodes: Vec::new(),
            quality: Quality::Automatic,
        };
        receive(&mut session, &hello, now).unwrap();
        let coming = VecDeque::new();
        let queued = Duration::ZERO;
        Self { session, now, bytes_per_s, way, free: now, coming, frame: 0, queued }
    }

    fn tiles(&mut self, bytes: usize) {
        let tiles: Vec<_> = (0..4).map(|tile| (tile, u64::from(self.frame))).collect();
        let frame = self.pass(bytes, tiles.clone());
        let frame = EncodedFrame { frame, bytes, tiles, lossy: Vec::new(), complete: true };
        self.session.sent(frame, self.now);
    }

    fn slices(&mut self, bytes: usize) {
        let frame = self.pass(bytes, Vec::new());
        self.session.sent_slices(frame, bytes, self.now);
    }

    fn pass(&mut self, bytes: usize, tiles: Vec<(u16, u64)>) -> u32 {
        self.frame += 1;
        self.queued = self.queued.max(self.free.saturating_duration_since(self.now));
        let micros = u64::try_from(bytes * 1_000_000 / self.bytes_per_s).unwrap();
        self.free = self.free.max(self.now) + Duration::from_micros(micros);
        self.coming.push_back(Coming { at: self.free + self.way, frame: self.frame, tiles });
        self.frame
    }

    fn turn(&mut self) {
        self.now += MS;
        while self.coming.front().is_some_and(|coming| coming.at <= self.now) {
            let Coming { frame, tiles, .. } = self.coming.pop_front().unwrap();
            let ack = Ack { frame, decode_us: 300, shown_us: 100, tiles }.encode();
            let len = u32::try_from(ack.len()).unwrap();
            let header = Header { kind: kind::ACK, flags: 0, len };
            self.session.received(header, &ack, self.now).unwrap();
        }
    }
}

fn receive(
    session: &mut AgentSession,
    message: &ViewerMessage,
    now: Instant,
) -> Result<Vec<Event>, ProtocolError> {
    let text = serde_json::to_vec(message).unwrap();
    let len = u32::try_from(text.len()).unwrap();
    session.received(Header { kind: kind::VIEWER, flags: 0, len }, &text, now)
}

#[test]
fn slices_wait_for_the_first_picture() {
    let mut world = World::start(10 << 20, 5 * MS);
    assert_eq!(world.session.slice_budget(world.now), None);
    world.tiles(1000);
    assert_eq!(world.session.slice_budget(world.now), None);
    for _ in 0..50 {
        world.turn();
    }
    assert!(world.session.slice_budget(world.now).is_some());
    let away = ViewerMessage::Visible { visible: false };
    receive(&mut world.session, &away, world.now).unwrap();
    assert_eq!(world.session.slice_budget(world.now), None, "nobody looks");
}

#[test]
fn slices_fill_the_line_and_tiles_keep_their_beat_beside_them() {
    for (bytes_per_s, way) in [(100 << 20, 2 * MS), (12 << 20, 10 * MS), (2 << 20, 40 * MS)] {
        let mut world = World::start(bytes_per_s, way);
        let (mut tiles, mut slices) = (0, 0);
        // A small change 60 times a second, and slices without an end.
        let mut next = world.now;
        for at in 0..6000 {
            world.turn();
            let counts = at >= 3000;
            if world.now >= next && world.session.budget(world.now).is_some() {
                world.tiles(2000);
                next =
                    next.max(world.now - Duration::from_millis(10)) + Duration::from_micros(16_667);
                tiles += usize::from(counts);
            }
            if let Some(bytes) = world.session.slice_budget(world.now) {
                world.slices(bytes.min(512 << 10));
                slices += if counts { bytes.min(512 << 10) } else { 0 };
            }
        }
        let rate = slices / 3;
        println!("{bytes_per_s} B/s: {tiles} frames in 3 s, slices {rate} B/s, {:?}", world.queued);
        assert!(tiles >= 150, "{tiles} frames of tiles in 3 s at {bytes_per_s} bytes/s");
        let possible = bytes_per_s.min(60 * (512 << 10));
        assert!(rate * 3 >= possible, "{rate} of {bytes_per_s} bytes/s");
        assert!(world.queued < 150 * MS, "{:?} at {bytes_per_s} bytes/s", world.queued);
    }
}

#[test]
fn a_picture_is_exact_while_a_slice_is_on_its_way_only_after_it() {
    let mut world = World::start(10 << 20, 5 * MS);
    world.tiles(1000);
    for _ in 0..50 {
        world.turn();
    }
    assert!(world.session.exact(false).is_some());
    world.slices(30_000);
    assert!(world.session.exact(false).is_none(), "the viewer's newest frame is another");
    for _ in 0..50 {
        world.turn();
    }
    assert!(world.session.exact(false).is_some());
}

#[test]
fn a_hash_that_is_none_breaks_the_protocol() {
    let mut world = World::start(10 << 20, 5 * MS);
    let mut say = |hash: &str| {
        let message = ViewerMessage::SliceShown { place: 3, picture: 7, hash: hash.to_owned() };
        receive(&mut world.session, &message, world.now)
    };
    let shown = Event::SliceShown { place: 3, picture: 7, hash: 0x0123_4567_89ab_cdef };
    assert_eq!(say("0123456789abcdef").unwrap(), [shown]);
    for hash in ["", "0123456789abcde", "0123456789abcdef0", "+123456789abcdef", "x123456789abcdef"]
    {
        assert!(say(hash).is_err(), "{hash}");
    }
}
