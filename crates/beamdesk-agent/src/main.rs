//! The agent of one desktop: learns who it is from standard input or a seed, and serves until stopped.
#![expect(unsafe_code, reason = "the environment is set once, before there are threads")]

use std::{
    ffi::OsStr,
    io::{IsTerminal as _, Read as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::Context as _;
use beamdesk_agent::{
    AgentError, engine,
    identity::Keeper,
    listener,
    local::Local,
    server::Server,
    session::{RunFolder, Session, XServer},
    tls,
};
use beamdesk_media::{
    Encoders, EncodersConfig, FrameSource, InputSink, PictureSize, Recorder, TestPattern, X11Input,
    X11Source,
};
use beamdesk_types::AgentConfig;
use clap::Parser;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};
use tracing_subscriber::EnvFilter;

/// Certificates, a key and a few words.
const CONFIG_BYTES_MAX: usize = 256 << 10;
/// Where an agent with a seed keeps its identity.
const STATE: &str = "/var/lib/beamdesk-agent";
/// The optional encoder, a program of its own.
const X264: &str = "beamdesk-x264";

/// Serves one desktop. Its configuration comes on standard input as one JSON document, or from a
/// portal that the server's seed names.
#[derive(Debug, Parser)]
struct Arguments {
    /// Listen here, rather than on the socket given as file descriptor 3.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Take the identity from a portal, with the secret in this file, which is removed then.
    #[arg(long)]
    seed: Option<PathBuf>,
    /// Keep the identity in this folder between boots.
    #[arg(long, default_value = STATE, requires = "seed")]
    state: PathBuf,
    /// Show a test pattern, without an X server.
    #[arg(long)]
    test_pattern: bool,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "Agent ends");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // First of all: descriptor 3 must still be what we were given.
    let listener = match arguments.listen {
        Some(address) => listener::bound(address)?,
        None => listener::inherited()?,
    };
    let start = match &arguments.seed {
        None => Start::Handed(Box::new(read_config()?)),
        Some(seed) => Start::Seeded(Box::new(Keeper::open(seed, &arguments.state)?)),
    };
    let folder = RunFolder::new()?;
    set_authority(&folder.authority());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(serve(arguments, start, listener, &folder));
    drop(runtime);
    done
}

/// Who this agent is.
enum Start {
    Handed(Box<AgentConfig>),
    Seeded(Box<Keeper>),
}

async fn serve(
    arguments: &Arguments,
    start: Start,
    listener: TcpListener,
    folder: &RunFolder,
) -> anyhow::Result<()> {
    let (config, keeper) = match start {
        Start::Handed(config) => (*config, None),
        Start::Seeded(mut keeper) => (keeper.enrolled().await?, Some(keeper)),
    };
    let (renewed, tls) = watch::channel(tls::server_config(&config)?);
    let size = PictureSize::clamped(config.session.width.into(), config.session.height.into());
    let stop = CancellationToken::new();
    // Takes a while, and so does the X server.
    let encoders = tokio::task::spawn_blocking(probe_encoders);
    let mut desktop = if arguments.test_pattern {
        None
    } else {
        let x_server = XServer::start(folder).await?;
        let session = Session::start(&config.session, folder, x_server.display(), &stop)?;
        Some((x_server, session))
    };
    let (source, input) = match &desktop {
        None => test_pattern(size)?,
        Some((x_server, _)) => display(x_server.display(), size)?,
    };
    let (always, is_up) = watch::channel(true);
    let up = desktop.as_ref().map_or(is_up, |(_, session)| session.up());
    let encoders = Arc::new(encoders.await.context("the search for video encoders failed")?);
    let (engine, thread) = engine::start(source, input, encoders, now)?;
    let server = Server { tls, engine: engine.clone(), up };
    let local = Local::bind(&folder.socket())?.run(engine.clone(), stop.clone());
    listener.set_nonblocking(true).context("cannot wait for connections")?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    info!(desktop.id = %config.desktop, address = %listener.local_addr()?, "Agent listens");
    let serving = server.run(listener, stop.clone());
    let renewing = async {
        if let Some(keeper) = keeper {
            let renewing = keeper.keep_renewed(renewed, wall);
            let _: Option<()> = stop.run_until_cancelled(Box::pin(renewing)).await;
        }
    };
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let until = async {
        let x_server_died = async {
            match &mut desktop {
                Some((x_server, _)) => x_server.died().await,
                None => std::future::pending().await,
            }
        };
        let done = tokio::select! {
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            error = x_server_died => Err(error),
            () = engine.ended() => Err(AgentError::XServerGone),
        };
        // An engine that ends tells its viewers, and then the server ends by itself.
        if done.is_ok() || !engine.ends_within_grace().await {
            stop.cancel();
        }
        done
    };
    let rest = async {
        let served = tokio::join!(serving, local);
        stop.cancel();
        served
    };
    let (done, ((), ()), ()) = tokio::join!(until, rest, renewing);
    info!("Agent stops");
    drop((engine, always));
    if let Some((x_server, session)) = desktop {
        session.ended().await;
        x_server.stop().await;
    }
    match thread.join() {
        Ok(Ok(())) => Ok(done?),
        // The engine knows more of what happened than the end of a process tells.
        Ok(Err(error)) => Err(error.into()),
        Err(_) => anyhow::bail!("the engine panicked"),
    }
}

/// Finds out what this machine can encode.
fn probe_encoders() -> Encoders {
    let encoders = Encoders::probe(EncodersConfig { x264: beside_us(X264), nvenc: true });
    for (choice, error) in encoders.missing() {
        debug!(?choice, %error, "No such video encoder here");
    }
    info!(found = ?encoders.names(), "Video encoders");
    encoders
}

/// A program that lies where we do.
fn beside_us(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name(name);
    path.is_file().then_some(path)
}

type Screen = (Box<dyn FrameSource>, Box<dyn InputSink>);

fn display(name: &str, size: PictureSize) -> anyhow::Result<Screen> {
    let mut source = X11Source::connect(name)?;
    let size = size.within(source.size_max());
    if size != source.size() {
        source.resize(size)?;
    }
    Ok((Box::new(source), Box::new(X11Input::connect(name)?)))
}

fn test_pattern(size: PictureSize) -> anyhow::Result<Screen> {
    let period = std::time::Duration::from_millis(100);
    Ok((Box::new(TestPattern::new(size)?.every(period)), Box::new(Recorder::default())))
}

fn read_config() -> Result<AgentConfig, AgentError> {
    let mut text = String::new();
    let limit = u64::try_from(CONFIG_BYTES_MAX + 1).unwrap_or(u64::MAX);
    std::io::stdin().take(limit).read_to_string(&mut text).map_err(|source| {
        AgentError::System { what: "cannot read the configuration from standard input", source }
    })?;
    if text.len() > CONFIG_BYTES_MAX {
        return Err(AgentError::ConfigTooLong(CONFIG_BYTES_MAX));
    }
    serde_json::from_str(&text).map_err(AgentError::Config)
}

/// The connection to the X server finds its cookie by this variable only.
#[expect(clippy::disallowed_methods, reason = "there is one thread as yet")]
fn set_authority(path: &Path) {
    let name: &OsStr = "XAUTHORITY".as_ref();
    // SAFETY: called from `main` before any thread is started, so nobody reads the environment.
    unsafe { std::env::set_var(name, path) };
}

#[expect(clippy::disallowed_methods, reason = "the clock that shows that the machine was paused")]
fn wall() -> SystemTime {
    SystemTime::now()
}

#[expect(clippy::disallowed_methods, reason = "the one clock of the engine")]
fn now() -> Instant {
    Instant::now()
}
