//! Programs of the desktop: what they show and mark reaches every viewer, and nothing they say can
//! harm anybody.

use std::{os::unix::process::CommandExt as _, path::PathBuf, process::Command};

use beamdesk_agent::local::{CLIENTS_MAX, Local, SOCKET};
use beamdesk_proto::{
    control::{AgentMessage, Region, ViewerMessage},
    local::{self, Answer, LENGTHS_BYTES, Refusal, Request, ScreenRect},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    net::UnixStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    rig::Rig,
    viewer::{DEADLINE, Seen, Viewer},
};

const RECT: ScreenRect = ScreenRect { x: 10, y: 20, width: 128, height: 64 };

#[tokio::test]
async fn a_slice_reaches_the_viewer_value_for_value_and_the_program_learns_it() {
    let desk = Desk::start();
    let mut viewer = desk.viewer().await;
    let mut program = desk.program().await;
    assert_eq!(program.screen, (640, 400));
    let values = noise(1, 300 * 200);
    assert_eq!(program.show(300, 200, &values).await, Answer::Done);
    until_whole(&mut viewer, 0).await;
    let (at, size, held) = viewer.slices.shown(0).unwrap();
    assert!(held == values);
    assert_eq!((at.rect.x, at.rect.y, at.rect.width, at.rect.height), (10, 20, 128, 64));
    assert_eq!((size.columns(), size.rows()), (300, 200));
    // Neither window nor level was asked for: from the smallest to the largest.
    let (lowest, highest) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
    assert!((at.window - f64::from(highest - lowest) - 1.0).abs() < 1e-9);
    viewer.until_exact().await;
    program.until_exact(1).await;

    let rect = Some(ScreenRect { x: -40, ..RECT });
    let elsewhere = Request::Move { rect, window: Some(7.0), level: None };
    assert_eq!(program.ask(&elsewhere, &[]).await, Answer::Done);
    while viewer.slices.shown(0).unwrap().0.rect.x != -40 {
        viewer.next().await;
    }
    program.until_exact(1).await;
    assert_eq!(program.ask(&Request::Hide, &[]).await, Answer::Done);
    while viewer.slices.shown(0).is_some() {
        viewer.next().await;
    }
    assert_eq!(
        program.ask(&elsewhere, &[]).await,
        Answer::Refused { code: Refusal::NoSlice },
        "hidden is gone"
    );
    // Shown again it is whole again, and goes with the program.
    program.show(300, 200, &values).await;
    until_whole(&mut viewer, 0).await;
    drop(program);
    while viewer.slices.shown(0).is_some() {
        viewer.next().await;
    }
    drop(viewer);
    desk.end().await;
}

#[tokio::test]
async fn each_viewer_gets_all_that_is_on_show_whenever_it_comes() {
    let desk = Desk::start();
    let (mut one, mut two) = (desk.program().await, desk.program().await);
    let (first, second) = (noise(1, 64 * 64), noise(2, 500 * 400));
    one.show(64, 64, &first).await;
    two.show(500, 400, &second).await;
    let mut early = desk.viewer().await;
    until_whole_in_turn(&mut early).await;
    let mut late = desk.viewer().await;
    until_whole_in_turn(&mut late).await;
    for viewer in [&early, &late] {
        assert!(viewer.slices.shown(0).unwrap().2 == first);
        assert!(viewer.slices.shown(1).unwrap().2 == second);
    }
    one.until_exact(2).await;
    two.until_exact(2).await;
    // A place that became free is taken by the next program.
    drop(one);
    while early.slices.shown(0).is_some() {
        early.next().await;
    }
    let mut three = desk.program().await;
    three.show(64, 64, &second[..4096]).await;
    until_whole(&mut early, 0).await;
    assert!(*early.slices.shown(0).unwrap().2 == second[..4096]);
    drop((early, late));
    desk.end().await;
}

#[tokio::test]
async fn a_program_that_pages_fast_ends_with_its_newest_slice_at_every_viewer() {
    let desk = Desk::start();
    let mut viewer = desk.viewer().await;
    let mut program = desk.program().await;
    let mut last = Vec::new();
    for seed in 0..40 {
        last = noise(seed, 256 * 256);
        assert_eq!(program.show(256, 256, &last).await, Answer::Done);
    }
    while viewer.slices.shown(0).is_none_or(|(_, _, held)| held != last) {
        viewer.next().await;
    }
    program.until_exact_beside(&mut viewer).await;
    drop(viewer);
    desk.end().await;
}

#[tokio::test]
async fn the_screens_own_changes_do_not_wait_for_a_large_slice() {
    let desk = Desk::start();
    let mut viewer = desk.viewer().await;
    viewer.until_exact().await;
    let mut program = desk.program().await;
    let values = noise(1, 2048 * 1024);
    program.show(2048, 1024, &values).await;
    // 4 MiB that do not pack: many messages. Each change of the screen comes between them.
    let (mut steps, mut bytes) = (0, 0);
    let mut at_step = viewer.bytes;
    desk.rig.stepper.step();
    let mut longest = 0;
    loop {
        match viewer.next().await {
            Seen::Frame(_) => {
                longest = longest.max(viewer.bytes - at_step);
                steps += 1;
                at_step = viewer.bytes;
                desk.rig.stepper.step();
            }
            Seen::Slice(Some(0)) => break,
            Seen::Slice(_) => bytes = viewer.bytes,
            Seen::End => panic!("the agent closed the connection"),
            Seen::Told(_) | Seen::Cursor | Seen::Part | Seen::Video(_) => {}
        }
    }
    println!("{steps} changes came between; at most {longest} bytes before one");
    assert!(bytes > 4 << 20);
    assert!(steps >= 3, "{steps} changes came between");
    assert!(longest < 2 << 20, "{longest} bytes before a change");
    assert!(viewer.slices.shown(0).unwrap().2 == values);
    viewer.until_exact().await;
    drop((viewer, program));
    desk.end().await;
}

#[tokio::test]
async fn a_viewer_that_holds_wrong_values_is_sent_them_again() {
    let desk = Desk::start();
    let mut viewer = desk.viewer().await;
    let mut program = desk.program().await;
    viewer.lies_about_slices = 2;
    program.show(64, 64, &noise(1, 4096)).await;
    until_whole(&mut viewer, 0).await;
    assert_eq!(program.state().await, (1, 0));
    until_whole(&mut viewer, 0).await;
    until_whole(&mut viewer, 0).await;
    program.until_exact(1).await;
    drop(viewer);
    desk.end().await;
}

#[tokio::test]
async fn a_hidden_viewer_gets_the_newest_slice_when_it_is_seen_again() {
    let desk = Desk::start();
    let mut viewer = desk.viewer().await;
    viewer.until_exact().await;
    viewer.say(&ViewerMessage::Visible { visible: false }).await;
    // Answered, so taken in before the slices.
    viewer.say(&ViewerMessage::Resize { width: 0, height: 0 }).await;
    while !matches!(viewer.next().await, Seen::Told(AgentMessage::ResizeRefused { .. })) {}
    let mut program = desk.program().await;
    for seed in 0..5 {
        program.show(64, 64, &noise(seed, 4096)).await;
    }
    assert_eq!(program.state().await, (1, 0));
    viewer.say(&ViewerMessage::Visible { visible: true }).await;
    until_whole(&mut viewer, 0).await;
    assert!(viewer.slices.shown(0).unwrap().2 == noise(4, 4096), "only the newest came");
    drop(viewer);
    desk.end().await;
}

#[tokio::test]
async fn viewers_are_told_what_is_marked() {
    let desk = Desk::start();
    let mut viewer = desk.viewer().await;
    let (mut one, mut two) = (desk.program().await, desk.program().await);
    let region = |x, y, width, height| Region { x, y, width, height };
    one.ask(&Request::Mark { rect: RECT }, &[]).await;
    assert_eq!(marked(&mut viewer).await, [region(10, 20, 128, 64)]);
    // Reaches out of the screen, which is 640 by 400.
    let rect = ScreenRect { x: -10, y: 390, width: 1000, height: 1000 };
    two.ask(&Request::Mark { rect }, &[]).await;
    let both = [region(10, 20, 128, 64), region(0, 390, 640, 10)];
    assert_eq!(marked(&mut viewer).await, both);
    // One who comes later is told too, and so is everyone when the screen has another size.
    let mut late = desk.viewer().await;
    assert_eq!(marked(&mut late).await, both);
    late.say(&ViewerMessage::Resize { width: 320, height: 300 }).await;
    for viewer in [&mut viewer, &mut late] {
        assert_eq!(marked(viewer).await, [region(10, 20, 128, 64)]);
    }
    one.ask(&Request::Unmark, &[]).await;
    assert_eq!(marked(&mut viewer).await, []);
    one.ask(&Request::Mark { rect: RECT }, &[]).await;
    assert_eq!(marked(&mut viewer).await.len(), 1);
    drop(one);
    assert_eq!(marked(&mut viewer).await, []);
    drop((viewer, late));
    desk.end().await;
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_and_the_next_is_not() {
    let desk = Desk::start_with(1 << 20);
    let mut program = desk.program().await;
    let slice = |columns, rows, window, level| {
        let (window, level) = (Some(window), Some(level));
        Request::Slice { rect: RECT, columns, rows, window, level, offset: 0 }
    };
    let empty = ScreenRect { width: 0, ..RECT };
    let nowhere =
        Request::Slice { rect: empty, columns: 2, rows: 1, window: None, level: None, offset: 0 };
    let far = Request::Slice {
        rect: RECT,
        columns: 2,
        rows: 1,
        window: None,
        level: None,
        offset: i32::MIN,
    };
    for (what, request, data, code) in [
        ("no columns", slice(0, 1, 2.0, 1.0), 0, Refusal::Bounds),
        ("too many rows", slice(1, 8193, 2.0, 1.0), 16_386, Refusal::Bounds),
        ("less data than claimed", slice(2, 2, 2.0, 1.0), 6, Refusal::Bounds),
        ("more data than claimed", slice(2, 2, 2.0, 1.0), 10, Refusal::Bounds),
        ("a window below 1", slice(2, 1, 0.5, 1.0), 4, Refusal::Bounds),
        ("a level beyond all values", slice(2, 1, 2.0, 1e9), 4, Refusal::Bounds),
        ("an offset beyond all values", far, 4, Refusal::Bounds),
        ("an empty rectangle", nowhere, 4, Refusal::Bounds),
        ("an empty mark", Request::Mark { rect: empty }, 0, Refusal::Bounds),
        ("data where none belong", Request::Hide, 5, Refusal::Bounds),
        ("a second greeting", Request::Hello { version: 1 }, 0, Refusal::Version),
        ("a move of nothing", moved(9.0), 0, Refusal::NoSlice),
        ("more than all memory", slice(1024, 513, 2.0, 1.0), 1_050_624, Refusal::NoRoom),
    ] {
        let answer = program.ask(&request, &vec![7; data]).await;
        assert_eq!(answer, Answer::Refused { code }, "{what}");
    }
    for text in ["", "[]", "{", r#"{"type":"of_tomorrow"}"#, r#"{"type":"mark"}"#] {
        let answer = program.send(text.as_bytes(), &[0; 9]).await;
        assert_eq!(answer, Answer::Refused { code: Refusal::Malformed }, "{text}");
    }
    assert_eq!(program.show(512, 1024, &vec![3; 512 * 1024]).await, Answer::Done);
    assert_eq!(program.ask(&moved(9.0), &[]).await, Answer::Done);
    assert_eq!(program.ask(&moved(0.0), &[]).await, Answer::Refused { code: Refusal::Bounds });
    drop(program);
    desk.end().await;
}

#[tokio::test]
async fn what_cannot_be_understood_at_all_ends_the_connection() {
    let desk = Desk::start();
    let hello = local::ask(&Request::Hello { version: local::VERSION }, 0);
    let (later, hide) = (Request::Hello { version: 2 }, Request::Hide);
    let lengths = |header: u32, data: u32| [header.to_le_bytes(), data.to_le_bytes()].concat();
    let after = |bytes: Vec<u8>| [hello.clone(), bytes].concat();
    for (what, bytes) in [
        ("no greeting", local::ask(&hide, 0)),
        ("another version", local::ask(&later, 0)),
        ("a greeting with data", local::ask(&Request::Hello { version: 1 }, 3)),
        ("a header that is too long", lengths(4097, 0)),
        ("data that are too long", after(lengths(10, u32::MAX))),
        ("half a header", after(lengths(100, 0))),
        ("half a slice", after([local::ask(&whole(64, 64), 8192), vec![1; 100]].concat())),
    ] {
        let mut stream = desk.connect().await;
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let read = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect(what);
        // What was not read is a reset to the program.
        assert!(read.is_ok() || rest.is_empty(), "{what}");
    }
    // Nobody else was harmed.
    let mut program = desk.program().await;
    assert_eq!(program.show(1, 1, &[5]).await, Answer::Done);
    drop(program);
    desk.end().await;
}

#[tokio::test]
async fn there_is_room_for_eight_programs_and_not_for_nine() {
    let desk = Desk::start();
    let mut programs = Vec::new();
    for _ in 0..CLIENTS_MAX {
        programs.push(desk.program().await);
    }
    let mut ninth = Program { stream: desk.connect().await, screen: (0, 0) };
    let hello = Request::Hello { version: local::VERSION };
    let answer = ninth.ask(&hello, &[]).await;
    assert_eq!(answer, Answer::Refused { code: Refusal::TooMany });
    programs.pop();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let mut next = Program { stream: desk.connect().await, screen: (0, 0) };
        if let Answer::Hello { .. } = next.ask(&hello, &[]).await {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the place is free in time");
    }
    drop((programs, ninth));
    desk.end().await;
}

#[tokio::test]
async fn programs_of_other_users_are_not_heard() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can be somebody else.
    }
    let desk = Desk::start();
    // As if nothing but the question who they are kept them out.
    let open = std::os::unix::fs::PermissionsExt::from_mode;
    let path = desk.path();
    std::fs::set_permissions(path.parent().unwrap(), open(0o755)).unwrap();
    std::fs::set_permissions(&path, open(0o666)).unwrap();
    let script = "import socket, sys\n\
                  link = socket.socket(socket.AF_UNIX)\n\
                  link.connect(sys.argv[1])\n\
                  link.settimeout(10)\n\
                  try: heard = link.recv(1)\n\
                  except ConnectionError: heard = b''\n\
                  sys.exit(1 if heard else 42)";
    let mut stranger = Command::new("python3");
    stranger.args(["-c", script]).arg(&path).current_dir("/").uid(65_534).gid(65_534);
    let status = tokio::task::spawn_blocking(move || stranger.status().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(42), "the connection is closed without a word");
    let mut ours = desk.program().await;
    assert_eq!(ours.state().await, (0, 0));
    drop(ours);
    desk.end().await;
}

#[tokio::test]
async fn only_its_user_can_open_the_socket() {
    let desk = Desk::start();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(desk.path()).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    desk.end().await;
}

fn moved(window: f64) -> Request {
    Request::Move { rect: None, window: Some(window), level: None }
}

fn whole(columns: u16, rows: u16) -> Request {
    Request::Slice { rect: RECT, columns, rows, window: None, level: None, offset: 0 }
}

/// Values that do not pack, the same for the same seed.
fn noise(seed: u32, count: usize) -> Vec<u16> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u16::try_from(state >> 16).unwrap()
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Reads on until a picture becomes whole at a place.
async fn until_whole(viewer: &mut Viewer<DuplexStream>, place: u8) {
    while viewer.next().await != Seen::Slice(Some(place)) {}
    assert!(viewer.slices.is_exact(place));
}

/// Both of two places, the smaller picture at the first.
async fn until_whole_in_turn(viewer: &mut Viewer<DuplexStream>) {
    until_whole(viewer, 0).await;
    until_whole(viewer, 1).await;
}

async fn marked(viewer: &mut Viewer<DuplexStream>) -> Vec<Region> {
    loop {
        if let Seen::Told(AgentMessage::Marked { regions }) = viewer.next().await {
            return regions;
        }
    }
}

/// An engine with a socket for programs.
struct Desk {
    rig: Rig,
    folder: tempfile::TempDir,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Desk {
    fn start() -> Self {
        Self::start_with(beamdesk_media::SLICES_BYTES_MAX)
    }

    fn start_with(room: usize) -> Self {
        let rig = Rig::start(640, 400);
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let local = Local::bind(&folder.path().join(SOCKET)).unwrap().with_room(room);
        #[expect(clippy::disallowed_methods, reason = "the test waits for it itself")]
        let serving = tokio::spawn(local.run(rig.engine.clone(), stop.clone()));
        Self { rig, folder, stop, serving }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.path()).await.unwrap()
    }

    async fn program(&self) -> Program {
        let mut program = Program { stream: self.connect().await, screen: (0, 0) };
        let answer = program.ask(&Request::Hello { version: local::VERSION }, &[]).await;
        let Answer::Hello { version, width, height } = answer else {
            panic!("a greeting is answered, not {answer:?}");
        };
        assert_eq!(version, local::VERSION);
        program.screen = (width, height);
        program
    }

    async fn viewer(&self) -> Viewer<DuplexStream> {
        Viewer::greet(self.rig.connect(), 640, 400).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
        self.rig.end().await;
    }
}

struct Program {
    stream: UnixStream,
    screen: (u16, u16),
}

impl Program {
    async fn show(&mut self, columns: u16, rows: u16, values: &[u16]) -> Answer {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.ask(&whole(columns, rows), &data).await
    }

    async fn state(&mut self) -> (usize, usize) {
        match self.ask(&Request::State, &[]).await {
            Answer::State { viewers, exact } => (viewers, exact),
            other => panic!("a state, not {other:?}"),
        }
    }

    /// Asks until so many viewers are there and all are exact.
    async fn until_exact(&mut self, viewers: usize) {
        let asked = async { while self.state().await != (viewers, viewers) {} };
        timeout(DEADLINE, asked).await.expect("all viewers become exact");
    }

    /// The same, for one viewer that has to read on meanwhile.
    async fn until_exact_beside(&mut self, viewer: &mut Viewer<DuplexStream>) {
        tokio::select! {
            () = self.until_exact(1) => {}
            () = async { loop { viewer.next().await; } } => {}
        }
    }

    async fn ask(&mut self, request: &Request, data: &[u8]) -> Answer {
        let bytes = local::ask(request, data.len().try_into().unwrap());
        self.send(&bytes[LENGTHS_BYTES..], data).await
    }

    async fn send(&mut self, header: &[u8], data: &[u8]) -> Answer {
        let lengths = [header.len(), data.len()].map(|len| u32::try_from(len).unwrap());
        for length in lengths {
            self.stream.write_all(&length.to_le_bytes()).await.unwrap();
        }
        self.stream.write_all(header).await.unwrap();
        self.stream.write_all(data).await.unwrap();
        let mut lengths = [0; LENGTHS_BYTES];
        timeout(DEADLINE, self.stream.read_exact(&mut lengths)).await.unwrap().unwrap();
        let (length, data) = local::lengths(lengths).unwrap();
        assert_eq!(data, 0);
        let mut text = vec![0; length];
        self.stream.read_exact(&mut text).await.unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}
