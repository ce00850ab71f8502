//! An engine that shows a test pattern, with viewers on pipes in memory.

use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use beamdesk_agent::{AgentError, engine, link};
use beamdesk_media::{
    CaptureError, Encoders, EncodersConfig, FrameSource, InputSink, PictureSize, Rect, Stepper,
    TestPattern,
};
use tokio::io::DuplexStream;
use tokio_util::task::TaskTracker;

use crate::{
    line::{Line, Meter},
    viewer::DEADLINE,
};

/// What a pipe holds: as little as a slow line.
const PIPE_BYTES: usize = 64 << 10;

pub(crate) struct Rig {
    pub(crate) engine: engine::Handle,
    pub(crate) stepper: Stepper,
    pub(crate) inputs: mpsc::Receiver<Input>,
    links: TaskTracker,
    thread: JoinHandle<Result<(), AgentError>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    Key(String, bool),
    Pointer(u16, u16),
    Button(u8, bool),
    Wheel(f32, f32),
    ReleaseAll,
    Layout(String),
}

impl Rig {
    pub(crate) fn start(width: u16, height: u16) -> Self {
        let pattern = TestPattern::new(PictureSize::new(width, height).unwrap()).unwrap();
        let stepper = pattern.stepper();
        Self::show(Box::new(pattern), stepper, Encoders::none())
    }

    /// A desktop of 640×512 with a movie in it, and a real encoder.
    pub(crate) fn start_movie() -> Self {
        let place = Rect { x: 70, y: 60, width: 450, height: 330 };
        let pattern = TestPattern::new(PictureSize::new(640, 512).unwrap()).unwrap();
        let pattern = pattern.every(Duration::from_millis(12)).movie(place);
        let stepper = pattern.stepper();
        let encoders = Encoders::probe(EncodersConfig::default());
        Self::show(Box::new(pattern), stepper, encoders)
    }

    pub(crate) fn show(source: Box<dyn FrameSource>, stepper: Stepper, encoders: Encoders) -> Self {
        let (told, inputs) = mpsc::channel();
        let (engine, thread) =
            engine::start(source, Box::new(Sink(told)), Arc::new(encoders), now).unwrap();
        Self { engine, stepper, inputs, links: TaskTracker::new(), thread }
    }

    /// The browser's end of a new link.
    pub(crate) fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let engine = self.engine.clone();
        self.links.spawn(async move { link::serve(theirs, &engine).await });
        ours
    }

    /// The same, over a line.
    pub(crate) fn connect_over(&self, line: Line) -> (DuplexStream, Meter) {
        line.from(self.connect(), &self.links)
    }

    /// The next input that came through, of those that `wanted` picks.
    pub(crate) fn input(&self, wanted: impl Fn(&Input) -> bool) -> Input {
        loop {
            let input = self.inputs.recv_timeout(DEADLINE).expect("an input comes in time");
            if wanted(&input) {
                return input;
            }
        }
    }

    /// Ends everything; all viewers must be dropped before.
    pub(crate) async fn end(self) {
        self.links.close();
        self.links.wait().await;
        drop(self.engine);
        tokio::task::spawn_blocking(|| self.thread.join().unwrap().unwrap()).await.unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "the engine under test waits in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

struct Sink(mpsc::Sender<Input>);

impl Sink {
    fn tell(&self, input: Input) -> Result<(), CaptureError> {
        self.0.send(input).map_err(|_| CaptureError::Unsupported("the test is over".to_owned()))
    }
}

impl InputSink for Sink {
    fn key(&mut self, code: &str, down: bool) -> Result<(), CaptureError> {
        self.tell(Input::Key(code.to_owned(), down))
    }

    fn pointer(&mut self, x: u16, y: u16) -> Result<(), CaptureError> {
        self.tell(Input::Pointer(x, y))
    }

    fn button(&mut self, button: u8, down: bool) -> Result<(), CaptureError> {
        self.tell(Input::Button(button, down))
    }

    fn wheel(&mut self, dx: f32, dy: f32) -> Result<(), CaptureError> {
        self.tell(Input::Wheel(dx, dy))
    }

    fn release_all(&mut self) -> Result<(), CaptureError> {
        self.tell(Input::ReleaseAll)
    }

    fn layout(&mut self, name: &str) -> Result<(), CaptureError> {
        self.tell(Input::Layout(name.to_owned()))
    }
}

/// Waits until something holds, looking again and again; for what no event tells of.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
