//! Stands in front of every API of a cloud and does to calls what networks and services do on bad
//! days, by a seed. Clients come through it because it rewrites the catalog in Keystone's answers.
//!
//! ```text
//! fault_proxy --keystone http://127.0.0.1:5000/v3 [--listen 127.0.0.1:0] [--control 127.0.0.1:0]
//!             [--seed 1] [--rate 0.2] [--off] [--list FILE] [--record FILE]
//!             [--clouds FILE --clouds-out FILE]
//! ```
//!
//! `--clouds-out` becomes a copy of `--clouds` whose addresses lead through the proxy. The first
//! line of output is JSON: `proxy`, `control`, `auth_url`. Control port: `POST /on`, `POST /off`,
//! `POST /rate/0.3`, `GET /counts`. The list has a line of JSON for each request: what was done to
//! it, what the service said (0: it was not asked), and what the client got (0: no answer). What
//! `--record` keeps, `tests/it/recorded.rs` plays.
#![expect(clippy::print_stdout, reason = "tells its caller where it listens")]

mod addresses;
mod chance;
mod record;
mod relay;
mod server;

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;

use self::{
    addresses::Addresses,
    relay::Relay,
    server::{carry, milli, serve, steer},
};

struct Options {
    keystone: Url,
    listen: String,
    control: String,
    seed: u64,
    rate_milli: u64,
    on: bool,
    list: Option<PathBuf>,
    record: Option<PathBuf>,
    clouds: Option<PathBuf>,
    clouds_out: Option<PathBuf>,
}

fn options() -> Result<Options> {
    let mut options = Options {
        keystone: Url::parse("http://127.0.0.1:5000/v3")?,
        listen: "127.0.0.1:0".to_owned(),
        control: "127.0.0.1:0".to_owned(),
        seed: 1,
        rate_milli: 200,
        on: true,
        list: None,
        record: None,
        clouds: None,
        clouds_out: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--off" {
            options.on = false;
            continue;
        }
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--keystone" => options.keystone = Url::parse(&value)?,
            "--listen" => options.listen = value,
            "--control" => options.control = value,
            "--seed" => options.seed = value.parse()?,
            "--rate" => options.rate_milli = milli(&value)?,
            "--list" => options.list = Some(value.into()),
            "--record" => options.record = Some(value.into()),
            "--clouds" => options.clouds = Some(value.into()),
            "--clouds-out" => options.clouds_out = Some(value.into()),
            _ => bail!("unknown option {name}"),
        }
    }
    ensure!(options.clouds.is_some() == options.clouds_out.is_some(), "--clouds and --clouds-out");
    Ok(options)
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = options()?;
    let proxy = TcpListener::bind(&options.listen).await.context("--listen")?;
    let control = TcpListener::bind(&options.control).await.context("--control")?;
    let address = proxy.local_addr()?.to_string();
    let mut addresses = Addresses::default();
    addresses.learn(&options.keystone)?;
    let auth_url = addresses.rewrite(options.keystone.as_str(), &address);
    if let (Some(from), Some(to)) = (&options.clouds, &options.clouds_out) {
        let text = fs::read_to_string(from).with_context(|| from.display().to_string())?;
        let mut file = OpenOptions::new();
        let file = file.write(true).create(true).truncate(true).mode(0o600).open(to);
        file?.write_all(addresses.rewrite(&text, &address).as_bytes())?;
    }
    let list = match &options.list {
        Some(path) => Some(OpenOptions::new().create(true).append(true).open(path)?),
        None => None,
    };
    let mut relay =
        Relay::new(address.clone(), addresses, options.seed, options.rate_milli, options.on, list)?;
    if let Some(path) = &options.record {
        relay = relay.recording(File::create(path).with_context(|| path.display().to_string())?);
    }
    let relay = Arc::new(relay);
    let where_ = json!({"proxy": address, "control": control.local_addr()?.to_string(), "auth_url": auth_url});
    println!("{where_}");
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(proxy, Arc::clone(&relay), carry));
    tasks.spawn(serve(control, relay, steer));
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}
