//! The scheduler's judgement for programs of this machine, over a Unix socket: OpenStack Nova asks
//! which hosts a server may have and in which order. See docs/nova.md.
//!
//! ```text
//!  Nova's scheduler ──one JSON line──► question ──► ranks over the last plan's hosts ──one JSON line──►
//! ```
//! Whoever may open the socket may ask. Nothing is claimed: Nova's own claims stay the authority.

mod judge;

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use beamdesk_sched::Cluster;
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::{
    App,
    app::planning::{Planned, recent},
};

use judge::{Question, Verdict, judge, own_room};

/// Connections at once; others wait. Nova has a scheduler process per CPU, each with one or two.
const CONNECTIONS_MAX: usize = 32;
/// Longest question: 4096 names of 255 characters, and what is asked.
const LINE_BYTES_MAX: u64 = 1280 << 10;
/// A connection that asks nothing for so long is closed; Nova waits for 200 ms.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Nobody waits longer for an answer, nor do we for who does not read it.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// After a failed accept (out of descriptors): a moment for others to close some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Its owner and its group: the group of the folder, if that hands its group down.
const MODE: u32 = 0o660;

/// The socket cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer questions at {path}")]
pub struct AskError {
    path: PathBuf,
    source: io::Error,
}

/// The listening socket.
#[derive(Debug)]
pub struct Asks {
    listener: UnixListener,
    path: PathBuf,
}

impl Asks {
    /// Listens at a path. A socket that is left of a portal that is gone makes way.
    pub async fn bind(path: &Path) -> Result<Self, AskError> {
        let listener = listen(path).await;
        let failed = |source| AskError { path: path.to_owned(), source };
        Ok(Self { listener: listener.map_err(failed)?, path: path.to_owned() })
    }

    /// Answers until `app.shutdown`.
    pub async fn run(self, app: App) {
        info!(path = %self.path.display(), "Questions about hosts are answered");
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let view = Arc::new(View::default());
        let tasks = TaskTracker::new();
        while let Ok(place) = places.clone().acquire_owned().await {
            let accepted = tokio::select! {
                () = app.shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "Could not accept a question, will try again");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (app, view) = (app.clone(), Arc::clone(&view));
            tasks.spawn(async move {
                let served = tokio::select! {
                    () = app.shutdown.cancelled() => Ok(()),
                    served = serve(stream, &app, &view) => served,
                };
                if let Err(error) = served {
                    debug!(%error, "A connection with questions ended");
                }
                drop(place);
            });
        }
        tasks.close();
        tasks.wait().await;
        if let Err(error) = fs::remove_file(&self.path) {
            debug!(%error, "The socket for questions was gone");
        }
    }
}

/// Made under another name, so that nobody meets it before its mode is right.
async fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "no socket is there"));
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another portal answers there"));
        }
        Ok(_) | Err(_) => {}
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let made = PathBuf::from(name);
    match fs::remove_file(&made) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, fs::Permissions::from_mode(MODE))?;
    fs::rename(&made, path)?;
    Ok(listener)
}

/// One question after the other, until the other side ends or says what cannot be read.
async fn serve(stream: UnixStream, app: &App, view: &View) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut read).take(LINE_BYTES_MAX);
        timeout(SILENCE_MAX, limited.read_until(b'\n', &mut line)).await??;
        if line.is_empty() {
            return Ok(());
        }
        let answer = if line.ends_with(b"\n") {
            timeout(ANSWER_MAX, answered(&line, app, view)).await?
        } else if limited.limit() == 0 {
            Answer::error("too_long", "a question is one line of at most 1.25 MiB".to_owned())
        } else {
            return Ok(());
        };
        let is_last = matches!(answer, Answer::Error { .. });
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        timeout(ANSWER_MAX, write.write_all(&text)).await??;
        if is_last {
            return Ok(());
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Hosts { v: u32, hosts: Vec<Verdict> },
    Error { v: u32, error: Fault },
}

#[derive(Debug, Serialize)]
struct Fault {
    /// A stable word.
    code: &'static str,
    message: String,
}

impl Answer {
    fn error(code: &'static str, message: String) -> Self {
        Self::Error { v: judge::VERSION, error: Fault { code, message } }
    }
}

async fn answered(line: &[u8], app: &App, view: &View) -> Answer {
    let question = match Question::read(line) {
        Ok(question) => question,
        Err(why) => return Answer::error("invalid", why),
    };
    let planned = match recent(app).await {
        Ok(planned) => planned,
        Err(error) => {
            warn!(%error, "A question about hosts could not be answered");
            return Answer::error("not_now", "the portal cannot look at its nodes".to_owned());
        }
    };
    let cluster = view.of(&planned);
    // Thousands of hosts take milliseconds: not on the threads that serve requests.
    let judged =
        tokio::task::spawn_blocking(move || match own_room(&planned, &cluster, &question) {
            Some(own) => judge(&own, &question),
            None => judge(&cluster, &question),
        });
    match judged.await {
        Ok(hosts) => Answer::Hosts { v: judge::VERSION, hosts },
        Err(error) => {
            warn!(%error, "A question about hosts could not be answered");
            Answer::error("not_now", "the hosts could not be judged".to_owned())
        }
    }
}

/// The hosts of the last plan that was asked about, made ready to be ranked.
#[derive(Debug, Default)]
struct View {
    last: Mutex<Option<(Arc<Planned>, Arc<Cluster>)>>,
}

impl View {
    fn of(&self, planned: &Arc<Planned>) -> Arc<Cluster> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, cluster)) if Arc::ptr_eq(known, planned) => Arc::clone(cluster),
            Some(_) | None => {
                let settings = planned.gathered.settings.clone();
                let cluster = Arc::new(Cluster::new(planned.hosts.clone(), settings));
                *last = Some((Arc::clone(planned), Arc::clone(&cluster)));
                cluster
            }
        }
    }
}
