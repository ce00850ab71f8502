//! `systemctl` where no systemd runs: starts what units say, watches it, stops it.
//!
//! It runs a service as its user, with its folders, environment and restarts. The walls around it
//! (`ProtectSystem` and its like) are systemd's to build; what they are is checked by
//! `systemd-analyze`, in [`super::acts`].
#![expect(clippy::print_stdout, reason = "as the program that it stands for")]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, setsid};

use super::{
    unit::{Unit, words},
    wait::{pause, throughout, until},
};

const STATE: &str = "/run/systemd/stand-in";
/// First argument of the process that watches a service.
const WATCH: &str = "--watch";
/// systemd's own default.
const STOP_DEFAULT: Duration = Duration::from_secs(90);
/// A service that is up after this did not fail at its start.
const STEADY: Duration = Duration::from_millis(700);

/// What the command line asks for.
pub(super) fn systemctl(arguments: &[&str]) -> Result<()> {
    if let [first, name] = arguments
        && *first == WATCH
    {
        return watch(name);
    }
    let is_now = arguments.contains(&"--now");
    let mut given = arguments.iter().copied().filter(|word| !word.starts_with("--"));
    let Some(verb) = given.next() else { bail!("what to do?") };
    for name in given {
        for unit in instances(name)? {
            act(verb, &unit, is_now)?;
        }
    }
    Ok(())
}

fn act(verb: &str, name: &str, is_now: bool) -> Result<()> {
    match verb {
        "enable" => {
            Unit::read(name)?;
            if is_now { start(name) } else { Ok(()) }
        }
        "disable" => {
            if is_now {
                stop(name)
            } else {
                Ok(())
            }
        }
        "start" => start(name),
        "stop" => stop(name),
        "restart" => stop(name).and_then(|()| start(name)),
        "try-restart" if runs(name) => stop(name).and_then(|()| start(name)),
        "try-restart" | "daemon-reload" => Ok(()),
        "is-active" | "status" if runs(name) => {
            println!("active");
            Ok(())
        }
        "is-active" | "status" => bail!("{name} is inactive"),
        other => bail!("this stand-in knows no {other:?}"),
    }
}

/// The units meant by a name: Debian's PostgreSQL has one for each cluster.
fn instances(name: &str) -> Result<Vec<String>> {
    if name.trim_end_matches(".service") != "postgresql" {
        let has_kind =
            [".service", ".timer", ".socket", ".target"].iter().any(|kind| name.ends_with(kind));
        return Ok(vec![if has_kind { name.to_owned() } else { format!("{name}.service") }]);
    }
    let mut found = Vec::new();
    for version in fs::read_dir("/etc/postgresql").context("no PostgreSQL is installed")? {
        for cluster in fs::read_dir(version?.path())? {
            let path = cluster?.path();
            let parts: Vec<String> =
                path.iter().rev().take(2).map(|part| part.to_string_lossy().into_owned()).collect();
            if let [cluster, version] = parts.as_slice() {
                found.push(format!("postgresql@{version}-{cluster}.service"));
            }
        }
    }
    Ok(found)
}

fn file(name: &str, kind: &str) -> PathBuf {
    Path::new(STATE).join(format!("{name}.{kind}"))
}

fn pid_in(path: &Path) -> Option<Pid> {
    let pid = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    Pid::from_raw(pid).filter(|pid| lives(*pid))
}

/// A process that has ended and that nobody asked after is there still, as a zombie: the first
/// process of a machine asks after none.
fn lives(pid: Pid) -> bool {
    let about = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // proc(5): the state follows the name, which may have anything in it but ends with `)`.
    about.is_ok_and(|text| text.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')))
}

fn runs(name: &str) -> bool {
    let own = || Unit::read(name).ok()?.one("PIDFile").and_then(|file| pid_in(Path::new(&file)));
    pid_in(&file(name, "watcher")).or_else(own).is_some()
}

fn start(name: &str) -> Result<()> {
    fs::create_dir_all(STATE)?;
    let unit = Unit::read(name)?;
    if !name.ends_with(".service") {
        // Timers and their like: nobody waits for an hour here.
        return Ok(());
    }
    if runs(name) || !unit.may_start() {
        return Ok(());
    }
    if unit.is("Type", "oneshot") || unit.is("Type", "forking") {
        return commands(name, &unit, &["ExecStartPre", "ExecStart"]);
    }
    drop(fs::remove_file(file(name, "stopping")));
    let log = log(name)?;
    let mut watcher = Command::new("/proc/self/exe");
    watcher
        .arg0("systemctl")
        .args([WATCH, name])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .current_dir("/");
    let mut child = watcher.spawn().context("could not start the watcher")?;
    throughout(STEADY, || match child.try_wait()? {
        None => Ok(()),
        Some(_) => bail!("{name} failed at its start; see {}", log_path(name).display()),
    })?;
    if pid_in(&file(name, "main")).is_none() {
        bail!("{name} did not stay up; see {}", log_path(name).display());
    }
    Ok(())
}

fn stop(name: &str) -> Result<()> {
    let unit = Unit::read(name)?;
    if unit.is("Type", "forking") {
        return if runs(name) { commands(name, &unit, &["ExecStop"]) } else { Ok(()) };
    }
    let Some(watcher) = pid_in(&file(name, "watcher")) else { return Ok(()) };
    fs::write(file(name, "stopping"), "")?;
    let main = pid_in(&file(name, "main"));
    if let Some(main) = main {
        kill_process(main, Signal::TERM)?;
    }
    let patience = unit.time("TimeoutStopSec", STOP_DEFAULT);
    let ended =
        until(&format!("the end of {name}"), patience, || Ok((!lives(watcher)).then_some(())));
    if ended.is_err() {
        if let Some(main) = main {
            kill_process_group(main, Signal::KILL)?;
        }
        kill_process(watcher, Signal::KILL)?;
    }
    ended
}

/// Runs a service as long as it shall run; a process of its own.
fn watch(name: &str) -> Result<()> {
    // A session of its own: who started it may end. That it has one already is as good.
    let _ = setsid();
    fs::write(file(name, "watcher"), std::process::id().to_string())?;
    let unit = Unit::read(name)?;
    let is_stopping = || file(name, "stopping").exists();
    let outcome = loop {
        if let Err(error) = commands(name, &unit, &["ExecStartPre"]) {
            break Err(error);
        }
        let line = unit.one("ExecStart").context("a service without ExecStart")?;
        let mut child =
            prepared(name, &unit, &line)?.process_group(0).spawn().with_context(|| line.clone())?;
        fs::write(file(name, "main"), child.id().to_string())?;
        let status = child.wait()?;
        drop(fs::remove_file(file(name, "main")));
        println!("{name} ended: {status}");
        if is_stopping() || !unit.is("Restart", "always") {
            break Ok(());
        }
        pause(unit.time("RestartSec", Duration::from_millis(100)));
        if is_stopping() {
            break Ok(());
        }
    };
    drop(fs::remove_file(file(name, "watcher")));
    outcome
}

/// Runs the commands of these settings to their ends.
fn commands(name: &str, unit: &Unit, keys: &[&str]) -> Result<()> {
    for line in keys.iter().flat_map(|key| unit.all(key)) {
        let output = prepared(name, unit, &line)?.stdout(log(name)?).stderr(log(name)?).status();
        let status = output.with_context(|| line.clone())?;
        if !status.success() && !line.starts_with('-') {
            bail!("{line}: {status}; see {}", log_path(name).display());
        }
    }
    Ok(())
}

/// A command as the unit wants it run: user, folders, environment, limits.
fn prepared(name: &str, unit: &Unit, line: &str) -> Result<Command> {
    let is_full = line.starts_with('+');
    let line = line.trim_start_matches(['-', '+', '!', '@', ':']);
    let mut environment = BTreeMap::from([
        (
            "PATH".to_owned(),
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        ),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
    ]);
    for setting in unit.all("Environment").iter().flat_map(|line| words(line, &BTreeMap::new())) {
        set(&mut environment, &setting);
    }
    for path in unit.all("EnvironmentFile") {
        let is_optional = path.starts_with('-');
        match fs::read_to_string(path.trim_start_matches('-')) {
            Ok(text) => text.lines().for_each(|line| set(&mut environment, line)),
            Err(_) if is_optional => {}
            Err(error) => return Err(error).context(path),
        }
    }
    let user = unit.one("User").filter(|_| !is_full);
    folders(unit, user.as_deref())?;
    let words = words(line, &environment);
    let umask = unit.one("UMask").unwrap_or_else(|| "0022".to_owned());
    let mut all: Vec<String> = Vec::new();
    if unit.one("User").is_some() || unit.is("NoNewPrivileges", "yes") {
        all.push("setpriv".to_owned());
        if let Some(user) = &user {
            let group = unit.one("Group").unwrap_or_else(|| user.clone());
            all.extend([
                format!("--reuid={user}"),
                format!("--regid={group}"),
                "--init-groups".to_owned(),
            ]);
        }
        if unit.is("NoNewPrivileges", "yes") && !is_full {
            all.push("--no-new-privs".to_owned());
        }
    }
    all.extend(["sh", "-c", "umask \"$0\"; exec \"$@\""].map(str::to_owned));
    all.push(umask);
    all.extend(words);
    let mut command = Command::new(all.first().context(name.to_owned())?);
    let folder = unit.one("WorkingDirectory").unwrap_or_else(|| "/".to_owned());
    command
        .args(all.get(1..).unwrap_or_default())
        .env_clear()
        .envs(environment)
        .current_dir(folder);
    if let Some(user) = &user {
        command.env("USER", user).env("LOGNAME", user).env("HOME", home(user)?);
    }
    command.stdin(Stdio::null());
    Ok(command)
}

fn set(environment: &mut BTreeMap<String, String>, line: &str) {
    if let Some((name, value)) = line.split_once('=')
        && !name.starts_with('#')
    {
        environment.insert(name.trim().to_owned(), value.trim().trim_matches('"').to_owned());
    }
}

/// `StateDirectory` and `RuntimeDirectory`.
fn folders(unit: &Unit, user: Option<&str>) -> Result<()> {
    for (key, base) in [("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")] {
        let mode = unit.one(&format!("{key}Mode")).unwrap_or_else(|| "0755".to_owned());
        for name in unit.all(key).iter().flat_map(|names| names.split_whitespace()) {
            let owner = unit.one("User").unwrap_or_else(|| user.unwrap_or("root").to_owned());
            let status = Command::new("install")
                .args(["-d", "-m", &mode, "-o", &owner, &format!("{base}/{name}")])
                .status()?;
            if !status.success() {
                bail!("could not make {base}/{name}");
            }
        }
    }
    Ok(())
}

fn home(user: &str) -> Result<String> {
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.split(':').next() == Some(user));
    let line = line.with_context(|| format!("no user is called {user}"))?;
    Ok(line.split(':').nth(5).unwrap_or("/").to_owned())
}

fn log_path(name: &str) -> PathBuf {
    Path::new("/var/log").join(format!("{}.log", name.trim_end_matches(".service")))
}

/// Where what a service says goes.
fn log(name: &str) -> Result<File> {
    Ok(File::options().create(true).append(true).open(log_path(name))?)
}
