//! A private PostgreSQL server, where its programs are installed.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use beamdesk_store::Store;

/// A cold first start of the server on a loaded machine.
const START_MAX: Duration = Duration::from_secs(60);

/// A server on a Unix socket in a folder of its own; gone with the value, or with this process.
pub(crate) struct Server {
    dir: tempfile::TempDir,
    child: Child,
    bin: PathBuf,
    account: Account,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) async fn start() -> Option<Self> {
        let bin = programs()?;
        let dir = tempfile::Builder::new().prefix("beamdesk-pg").tempdir().unwrap();
        let account = Account::for_server();
        if let Some((uid, gid)) = account.ids {
            chown(dir.path(), Some(uid), Some(gid)).unwrap();
        }
        let data = dir.path().join("data");
        let made = account
            .command(&bin.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"])
            .arg("--pgdata")
            .arg(&data)
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = account
            .command(&bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(dir.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=120"])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { dir, child, bin, account };
        server.wait().await;
        Some(server)
    }

    async fn wait(&mut self) {
        let deadline = tokio::time::Instant::now() + START_MAX;
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            let log = self.dir.path().join("log");
            let told = || fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("PostgreSQL ended with {status}: {}", told());
            }
            if self.run("pg_isready", &[]) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "no answer: {}", told());
        }
    }

    /// One of its own programs; whether it did it.
    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = self.account.command(&self.bin.join(program));
        let command = command.arg("-h").arg(self.dir.path()).args(["-U", "postgres"]);
        let done = command.args(arguments).current_dir("/").stdout(Stdio::null()).status();
        done.unwrap().success()
    }

    pub(crate) fn url(&self, database: &str) -> String {
        let socket = self.dir.path().display();
        format!("postgres:///{database}?host={socket}&user=postgres")
    }

    pub(crate) async fn store(&self, database: &str) -> Store {
        assert!(self.run("createdb", &[database]), "could not make {database}");
        Store::open(&self.url(database)).await.unwrap()
    }
}

/// Where Debian puts the newest server's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
        .collect();
    folders.sort();
    folders.pop()
}

/// PostgreSQL refuses to run as root, so a test that runs as root lends it another account.
struct Account {
    ids: Option<(u32, u32)>,
}

impl Account {
    fn for_server() -> Self {
        if id(&["-u"]) != Some(0) {
            return Self { ids: None };
        }
        let ids = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)));
        Self { ids: Some(ids.expect("an account that is not root")) }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        // Also when this process is killed, the server goes.
        command.args(["--pdeathsig", "KILL"]);
        if let Some((uid, gid)) = self.ids {
            command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}"));
            command.arg("--clear-groups");
        }
        command.arg(program);
        command
    }
}

fn id(args: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(args).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
