//! MariaDB and RabbitMQ, and the services' databases: made once, then restored from a dump.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};

use super::{
    place::{Place, SOCKETS},
    process::{self, Daemon},
    tool,
    wait::{self, Progress},
};
use crate::run::Step;

const DATABASES: &[&str] =
    &["keystone", "placement", "glance", "nova_api", "nova_cell0", "nova_cell1", "neutron"];
/// Their versions say whether a dump fits.
const VERSIONED: &[&str] = &[
    "python3-keystone",
    "python3-placement",
    "python3-glance",
    "python3-nova",
    "python3-neutron",
    "mariadb-server",
];
/// A start on a machine that is busy with other things.
const START: Duration = Duration::from_secs(120);
pub(super) const RABBIT_PORT: u16 = 5672;
/// Not the usual one: a port mapper that is there already is left alone.
const EPMD_PORT: &str = "14369";

/// Whether there is a set of databases that is whole.
pub(super) fn is_whole(place: &Place) -> bool {
    whole(place).exists()
}

fn whole(place: &Place) -> PathBuf {
    place.state().join("databases-are-whole")
}

/// Starts both, with databases in which every service finds its tables.
pub(super) fn up(place: &Place, progress: &Progress) -> Result<()> {
    rabbit(place).start(place)?;
    let is_fresh = !is_whole(place);
    if is_fresh {
        let defaults = format!("--defaults-file={}", place.etc().join("my.cnf").display());
        let words = [
            "mariadb-install-db",
            &defaults,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--user=root",
        ];
        tool::run(place, &words)?;
    }
    let defaults = format!("--defaults-file={}", place.etc().join("my.cnf").display());
    Daemon::new("mariadbd", &["mariadbd", &defaults]).start(place)?;
    wait::until("MariaDB answers", START, || {
        process::must_run(place, "mariadbd")?;
        Ok(UnixStream::connect(Path::new(SOCKETS).join("mysql.sock")).is_ok())
    })?;
    if !is_fresh {
        return Ok(());
    }
    let key = versions()?;
    let (dump, key_file) =
        (place.cache().join("databases.sql"), place.cache().join("databases.key"));
    if dump.exists() && fs::read_to_string(&key_file).is_ok_and(|stored| stored == key) {
        restore(place, &dump)?;
        progress.say("databases restored");
        return Ok(fs::write(whole(place), "")?);
    }
    for name in ["fernet", "credential"] {
        // Keys of an earlier set of databases.
        drop(fs::remove_dir_all(place.keys().join(name)));
    }
    make(place)?;
    progress.say("databases made");
    store(place, &dump)?;
    fs::write(&key_file, key)?;
    progress.say("databases stored for the next start");
    Ok(fs::write(whole(place), "")?)
}

fn rabbit(place: &Place) -> Daemon {
    let folder = |name: &str| place.state().join(name).display().to_string();
    let etc = |name: &str| place.etc().join(name).display().to_string();
    Daemon::new("rabbitmq", &["/usr/lib/rabbitmq/bin/rabbitmq-server"])
        .env("HOME", &folder("rabbit"))
        .env("RABBITMQ_NODENAME", "beamdesk@localhost")
        .env("RABBITMQ_CONFIG_FILE", &etc("rabbitmq.conf"))
        .env("RABBITMQ_MNESIA_BASE", &folder("rabbit"))
        .env("RABBITMQ_LOG_BASE", &folder("log"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", &etc("rabbit-plugins"))
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", EPMD_PORT)
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        )
}

/// Three chains at a time, as far as they do not need each other.
fn make(place: &Place) -> Result<()> {
    let statements: String = DATABASES
        .iter()
        .map(|name| format!("create database {name} character set utf8mb3;"))
        .collect();
    sql(place, statements.as_bytes())?;
    thread::scope(|scope| {
        let chains = [
            scope.spawn(|| keystone(place)),
            scope.spawn(|| nova(place)),
            scope.spawn(|| neutron(place)),
        ];
        chains.into_iter().try_for_each(|chain| {
            chain.join().map_err(|_| anyhow!("making the databases panicked"))?
        })
    })
}

fn keystone(place: &Place) -> Result<()> {
    let config = place.etc().join("keystone.conf").display().to_string();
    let manage = |words: &[&str]| {
        let words = [&["keystone-manage", "--config-file", &config], words].concat();
        tool::run(place, &words)
    };
    manage(&["db_sync"])?;
    let user = ["--keystone-user", "root", "--keystone-group", "root"];
    manage(&[&["fernet_setup"], &user[..]].concat())?;
    manage(&[&["credential_setup"], &user[..]].concat())?;
    // The password by the environment: arguments are everybody's to read.
    let mut bootstrap = tool::command(
        place,
        &[
            "keystone-manage",
            "--config-file",
            &config,
            "bootstrap",
            "--bootstrap-region-id",
            "RegionOne",
            "--bootstrap-public-url",
            "http://127.0.0.1:5000/v3",
            "--bootstrap-internal-url",
            "http://127.0.0.1:5000/v3",
            "--bootstrap-admin-url",
            "http://127.0.0.1:5000/v3",
        ],
    );
    let output = bootstrap.env("OS_BOOTSTRAP_PASSWORD", place.password()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(anyhow!("keystone-manage bootstrap failed:\n{}", tool::tail(&said)));
    }
    let placement = place.etc().join("placement.conf").display().to_string();
    tool::run(place, &["placement-manage", "--config-file", &placement, "db", "sync"])?;
    let glance = place.etc().join("glance-api.conf").display().to_string();
    tool::run(place, &["glance-manage", "--config-file", &glance, "db_sync"]).map(drop)
}

fn nova(place: &Place) -> Result<()> {
    let (shared, control) = (
        place.etc().join("nova.conf").display().to_string(),
        place.etc().join("nova-control.conf").display().to_string(),
    );
    let cell0 = format!(
        "mysql+pymysql://root@localhost/nova_cell0?unix_socket={SOCKETS}/mysql.sock&charset=utf8"
    );
    for words in [
        &["api_db", "sync"][..],
        &["cell_v2", "map_cell0", "--database_connection", &cell0],
        &["db", "sync"],
        &["cell_v2", "create_cell", "--name", "cell1"],
    ] {
        let program = ["nova-manage", "--config-file", &shared, "--config-file", &control];
        tool::run(place, &[&program[..], words].concat())?;
    }
    Ok(())
}

fn neutron(place: &Place) -> Result<()> {
    let (neutron, ml2) = (
        place.etc().join("neutron.conf").display().to_string(),
        place.etc().join("ml2.ini").display().to_string(),
    );
    let words = ["neutron-db-manage", "--config-file", &neutron, "--config-file", &ml2];
    tool::run(place, &[&words[..], &["upgrade", "heads"]].concat()).map(drop)
}

fn socket() -> String {
    format!("--socket={SOCKETS}/mysql.sock")
}

fn sql(place: &Place, statements: &[u8]) -> Result<()> {
    let words = ["mariadb", "--no-defaults", &socket(), "--user=root", "--batch"];
    tool::run_with_input(place, &words, statements).map(drop)
}

fn store(place: &Place, dump: &Path) -> Result<()> {
    let program = [
        "mariadb-dump",
        "--no-defaults",
        &socket(),
        "--user=root",
        "--skip-comments",
        "--databases",
    ];
    let output = tool::command(place, &[&program[..], DATABASES].concat())
        .output()
        .context("could not start mariadb-dump")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(anyhow!("mariadb-dump failed:\n{}", tool::tail(&said)));
    }
    let temporary = dump.with_extension("new");
    fs::write(&temporary, output.stdout)?;
    Ok(fs::rename(temporary, dump)?)
}

fn restore(place: &Place, dump: &Path) -> Result<()> {
    sql(place, &fs::read(dump)?)
}

fn versions() -> Result<String> {
    Step::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${Version}\n"])
        .args(VERSIONED)
        .output()
        .context("a part of OpenStack is not installed")
}
