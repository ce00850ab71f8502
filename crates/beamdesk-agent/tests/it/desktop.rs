//! The whole agent as a process: started with a socket, shows a desktop, ends cleanly.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    os::fd::AsRawFd as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
};

use beamdesk_proto::control::{AgentMessage, ViewerMessage};
use beamdesk_types::{ALPN_STATUS, ALPN_STREAM, AgentStatus, SessionState};
use rcgen::ExtendedKeyUsagePurpose;
use rustix::process::{Pid, Signal, kill_process};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Duration, Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    pki::{AGENT_NAME, Authority, client, config},
    viewer::{DEADLINE, Seen, Viewer},
};

#[tokio::test]
async fn a_person_works_in_a_desktop() {
    let mut agent = Agent::start(&[]);
    let started = Instant::now();
    agent.until_up().await;
    let up = started.elapsed();
    let mut viewer = Viewer::greet(agent.stream().await, 1280, 720).await;
    viewer.until_exact().await;
    println!("up after {up:?}, first exact picture after {:?}", started.elapsed());
    // The panel at the lower edge comes a moment later than the window manager.
    let panel = |viewer: &Viewer<_>| pixel(viewer, 640, 710) == [0x22, 0x31, 0x3d];
    agent.watch(&mut viewer, "the panel", panel).await;
    assert_eq!(pixel(&viewer, 900, 300), [0x40, 0x59, 0x6b], "the desktop's colour");
    for (code, down) in [
        ("ControlLeft", true),
        ("AltLeft", true),
        ("KeyT", true),
        ("KeyT", false),
        ("AltLeft", false),
        ("ControlLeft", false),
    ] {
        viewer.say(&ViewerMessage::Key { code: code.to_owned(), down }).await;
    }
    // The terminal's paper is nearly white, and wide.
    let is_paper = |pixel: [u8; 3]| pixel == [253, 253, 252];
    let terminal = |viewer: &Viewer<_>| is_paper(pixel(viewer, 640, 400));
    agent.watch(&mut viewer, "a terminal", terminal).await;
    viewer.say(&ViewerMessage::Resize { width: 1600, height: 900 }).await;
    let larger = |viewer: &Viewer<_>| {
        viewer.decoder.size().width() == 1600 && pixel(viewer, 1500, 890) == [0x22, 0x31, 0x3d]
    };
    agent.watch(&mut viewer, "the panel at its new place", larger).await;
    drop(viewer);
    let processes = agent.processes();
    assert!(processes.len() >= 4, "X server, window manager, panel, desktop: {processes:?}");
    agent.signal(Signal::TERM);
    assert!(agent.ended().await.success());
    for process in processes {
        gone(process).await;
    }
}

#[tokio::test]
async fn programs_of_the_session_that_die_are_started_again() {
    let mut agent = Agent::start(&[]);
    agent.until_up().await;
    for name in ["tint2", "openbox"] {
        let first = agent.until_process(name, None).await;
        kill_process(first, Signal::KILL).unwrap();
        agent.until_process(name, Some(first)).await;
    }
    agent.signal(Signal::TERM);
    assert!(agent.ended().await.success());
}

#[tokio::test]
async fn when_the_x_server_dies_viewers_are_told_and_the_agent_fails() {
    let mut agent = Agent::start(&[]);
    agent.until_up().await;
    let mut viewer = Viewer::greet(agent.stream().await, 800, 600).await;
    viewer.until_exact().await;
    let x_server = agent.until_process("Xvfb", None).await;
    kill_process(x_server, Signal::KILL).unwrap();
    let last = viewer.until_end().await;
    let notice = Seen::Told(AgentMessage::Notice { code: "x_server_gone".to_owned() });
    assert!(last.contains(&notice), "{last:?}");
    assert!(!agent.ended().await.success());
}

#[tokio::test]
async fn a_killed_agent_leaves_nothing_behind() {
    let mut agent = Agent::start(&[]);
    agent.until_up().await;
    let processes = agent.processes();
    agent.signal(Signal::KILL);
    agent.ended().await;
    for process in processes {
        gone(process).await;
    }
}

#[tokio::test]
async fn a_program_of_the_session_shows_its_slice_with_all_values() {
    let mut agent = Agent::start(&[]);
    agent.until_up().await;
    let mut viewer = Viewer::greet(agent.stream().await, 800, 600).await;
    viewer.until_exact().await;
    // As any program of the session finds it.
    let openbox = agent.until_process("openbox", None).await;
    let told = fs::read(format!("/proc/{}/environ", openbox.as_raw_nonzero())).unwrap();
    let told = String::from_utf8(told).unwrap();
    let socket = told.split('\0').find_map(|line| line.strip_prefix("BEAMDESK_SOCKET=")).unwrap();
    let script = "import beamdesk, sys\n\
                  from array import array\n\
                  rows = [array('H', range(y * 256, y * 256 + 256)) for y in range(256)]\n\
                  picture = beamdesk.show(rows, (50, 60, 256, 256), window=(400, 40))\n\
                  assert picture.wait_exact(), picture.state()\n\
                  sys.stdin.read()";
    let mut program = Command::new("python3")
        .args(["-c", script])
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/../../python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("BEAMDESK_SOCKET", socket)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    while viewer.next().await != Seen::Slice(Some(0)) {}
    let (at, size, values) = viewer.slices.shown(0).unwrap();
    assert_eq!((size.columns(), size.rows()), (256, 256));
    assert!(values.iter().copied().eq(0..=u16::MAX));
    assert_eq!((at.window.to_bits(), at.level.to_bits()), (400_f64.to_bits(), 40_f64.to_bits()));
    // The program goes when it knows that the viewer holds its values, and so does its slice.
    drop(program.stdin.take());
    while viewer.slices.shown(0).is_some() {
        viewer.next().await;
    }
    assert!(program.wait().unwrap().success());
    drop(viewer);
    agent.signal(Signal::TERM);
    assert!(agent.ended().await.success());
}

#[tokio::test]
async fn a_test_pattern_needs_no_x_server() {
    let mut agent = Agent::start(&["--test-pattern"]);
    agent.until_up().await;
    let mut viewer = Viewer::greet(agent.stream().await, 640, 400).await;
    while viewer.frames < 10 {
        viewer.next().await;
    }
    assert!(agent.processes().is_empty());
    drop(viewer);
    agent.signal(Signal::TERM);
    assert!(agent.ended().await.success());
}

#[test]
fn a_bad_configuration_is_refused_in_words() {
    for (text, says) in [
        ("", "configuration on standard input is not valid"),
        ("{\"desktop\": 1}", "configuration on standard input is not valid"),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_beamdesk-agent"))
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(says), "{said}");
    }
}

struct Agent {
    child: Child,
    address: SocketAddr,
    status: Arc<ClientConfig>,
    stream: Arc<ClientConfig>,
    _home: tempfile::TempDir,
}

impl Agent {
    /// Starts one as the sandbox does: a listening socket at descriptor 3, everything else on
    /// standard input.
    fn start(arguments: &[&str]) -> Self {
        let authority = Authority::new();
        let home = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).unwrap();
        let number = listener.as_raw_fd();
        let script = format!("exec 3<&{number}; [ {number} = 3 ] || exec {number}<&-; exec \"$@\"");
        let mut child = Command::new("bash")
            .args(["-c", &script, "bash", env!("CARGO_BIN_EXE_beamdesk-agent")])
            .args(arguments)
            .env("HOME", home.path())
            .env("RUST_LOG", "info")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = serde_json::to_vec(&config(&authority, 1024, 768)).unwrap();
        child.stdin.take().unwrap().write_all(&text).unwrap();
        let gateway =
            authority.sign("one.gateway.beamdesk.internal", &[ExtendedKeyUsagePurpose::ClientAuth]);
        Self {
            child,
            address,
            status: client(&authority, Some(&gateway), ALPN_STATUS),
            stream: client(&authority, Some(&gateway), ALPN_STREAM),
            _home: home,
        }
    }

    async fn until_up(&self) {
        let up = async {
            while self.status().await.session != SessionState::Up {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, up).await.expect("the session comes up");
    }

    async fn status(&self) -> AgentStatus {
        let mut stream = self.connect(&self.status).await;
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    async fn stream(&self) -> TlsStream<TcpStream> {
        self.connect(&self.stream).await
    }

    async fn connect(&self, config: &Arc<ClientConfig>) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(AGENT_NAME).unwrap();
        TlsConnector::from(Arc::clone(config)).connect(name, stream).await.unwrap()
    }

    /// Watches until the exact picture shows something.
    async fn watch(
        &self,
        viewer: &mut Viewer<TlsStream<TcpStream>>,
        what: &str,
        shows: impl Fn(&Viewer<TlsStream<TcpStream>>) -> bool,
    ) {
        let watched = async {
            while !shows(viewer) {
                viewer.until_exact().await;
            }
        };
        assert!(timeout(DEADLINE, watched).await.is_ok(), "{what} is seen");
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the agent ends in time");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// All programs the agent started itself.
    fn processes(&self) -> Vec<Pid> {
        let task = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = fs::read_to_string(task).unwrap_or_default();
        children
            .split_whitespace()
            .map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap())
            .collect()
    }

    async fn until_process(&self, name: &str, other_than: Option<Pid>) -> Pid {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let is_it = |pid: &Pid| {
                let comm = format!("/proc/{}/comm", pid.as_raw_nonzero());
                Some(*pid) != other_than && fs::read_to_string(comm).is_ok_and(|c| c.trim() == name)
            };
            if let Some(pid) = self.processes().into_iter().find(is_it) {
                return pid;
            }
            assert!(Instant::now() < deadline, "{name} runs in time");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Already ended, or a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn gone(process: Pid) {
    let path = format!("/proc/{}/stat", process.as_raw_nonzero());
    let deadline = Instant::now() + DEADLINE;
    // One that nobody has buried yet is gone too.
    let is_gone = |stat: String| stat.contains(") Z ");
    while Path::new(&path).exists() && !fs::read_to_string(&path).is_ok_and(is_gone) {
        assert!(Instant::now() < deadline, "process {process:?} ends");
        sleep(Duration::from_millis(5)).await;
    }
}

fn pixel<S>(viewer: &Viewer<S>, x: usize, y: usize) -> [u8; 3] {
    let width = usize::from(viewer.decoder.size().width());
    let at = (y * width + x) * 4;
    viewer.decoder.pixels()[at..at + 3].try_into().unwrap()
}
